"""The guide and the head of a net for another task, made of those of a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_memgen.training import Displacement, DisplacementPath, Guide, GuidePath

__all__ = ["HEADS", "choose_head", "make_guide", "set_head", "transferred"]

#: Where the weights of the head come from.
HEADS = ("auto", "new", "kept", "averaged")


def choose_head(head: str, source: Any, classes: np.ndarray) -> str:
    """Return where the head comes from.

    Parameters
    ----------
    head : {"auto", "new", "kept", "averaged"}
        See `GuidedTransferClassifier`.
    source : SourceNet
        Fitted.
    classes : ndarray of shape (n_classes,)
        The classes to learn.

    Returns
    -------
    head : {"new", "kept", "averaged"}
        What "auto" is, and any other one as it is.

    Raises
    ------
    ValueError
        If it cannot be taken from the source.
    """
    known = getattr(source, "classes_", None)
    if head == "auto":
        same = known is not None and known.tolist() == classes.tolist()
        return "kept" if same else "new"
    if head == "new":
        return head
    if known is None:
        raise ValueError(
            f"head={head!r} needs a source with a head, but this one was fitted with "
            f"objective={source.objective!r}; use head='new'"
        )
    if head == "kept" and known.tolist() != classes.tolist():
        raise ValueError(
            f"head='kept' needs the classes of the source, {known.tolist()!r}; y has "
            f"{classes.tolist()!r}; use head='new' or 'averaged'"
        )
    return head


def set_head(net: nn.Module, head: str, source: Any) -> None:
    """Give a net the weights of the source's head, as they are or averaged.

    Averaged, all outputs are the mean of the source's outputs, so that no class is
    ahead of another. One output, which is the difference of two classes, is zero then.

    Parameters
    ----------
    net : HeadedNet
        The net, on the host; changed in place.
    head : {"new", "kept", "averaged"}
        "new" leaves it as it is.
    source : SourceNet
        Fitted.
    """
    if head == "new":
        return
    own: Any = net.head
    learned = source.net_.module_.head
    with torch.no_grad():
        for name in ("weight", "bias"):
            value, target = getattr(learned, name).cpu(), getattr(own, name)
            if head == "averaged":
                value = torch.zeros(1) if 1 in (len(value), len(target)) else value
                value = value.mean(0)
            target.copy_(value.expand_as(target))


def make_guide(
    source: Any,
    guide: str | Guide | GuidePath | None,
    *,
    by_distance: bool,
    scale: Mapping[str, str],
    temperature: Any,
    sparsify_below: float | None,
    layer_decay: float,
    head: str,
) -> Guide | GuidePath | None:
    """Make the guide of a net that starts from a source.

    Parameters
    ----------
    source : SourceNet
        Fitted.
    guide : {"tensor", "global"}, Guide, GuidePath or None
        See `GuidedTransferClassifier`.
    by_distance : bool
        Whether to make a path of guides.
    scale : mapping
        `spread` and `focus` of `Displacement.guide`.
    temperature : str or pair of float
        See `Guide.temper`.
    sparsify_below : float or None
        See `Guide.sparsify`.
    layer_decay : float
        Multiplier of a layer of the body over that of the one behind it.
    head : {"new", "kept", "averaged"}
        What becomes of the source's head.

    Returns
    -------
    guide : Guide, GuidePath or None
        By the names of the net; None if nothing is to be guided.

    Raises
    ------
    ValueError
        If the source has sent no scouts, or none that were measured on their way.
    """
    layers = Guide({})
    if layer_decay != 1:
        layers = Guide.layerwise(transferred(source, "new"), layer_decay)
    if guide is None:
        return layers if layers else None

    def change(made: Guide) -> Guide:
        if isinstance(temperature, str):
            made = made.temper(temperature)
        else:
            slope, intercept = temperature
            made = made.temper(slope=slope, intercept=intercept)
        if sparsify_below is not None:
            made = made.sparsify(sparsify_below)
        made = made * layers
        return _with_head(made, head) if isinstance(guide, str) else made

    made = guide
    if isinstance(made, str):
        displacement = _find_displacement(source, made, by_distance)
        if head == "new":  # what is left behind does not count
            displacement = displacement.only("body.")
        made = displacement.guide(scope=made, **scale)
    return made.map(change) if isinstance(made, GuidePath) else change(made)


def _find_displacement(
    source: Any, guide: str, by_distance: bool
) -> Displacement | DisplacementPath:
    """Return what scouts found, on their whole way or on its parts."""
    displacement = getattr(source, "displacement_", None)
    if displacement is None:
        raise ValueError(
            f"guide={guide!r} is made of what scouts found, but the source has "
            "sent none; fit SourceNet(n_scouts=...), or use guide=None"
        )
    if not by_distance:
        return displacement
    path = getattr(source, "displacement_path_", None)
    if path is None:
        raise ValueError(
            "by_distance=True needs scouts that were measured on their way, but those "
            "of the source were at its end alone; fit SourceNet(scout_stages=3)"
        )
    return path


def _with_head(guide: Guide, head: str) -> Guide:
    """Return a guide with the multipliers that a head has."""
    multipliers: dict[str, Any] = dict(guide)
    for name in ("head.weight", "head.bias"):
        if head == "new":
            multipliers[name] = 1.0
        elif head == "averaged":
            multipliers[name] = multipliers[name].mean(0, keepdim=True)
    return Guide(multipliers)


def transferred(source: Any, head: str) -> dict[str, Tensor]:
    """Return the parameters of a net that come from the source, by name."""
    parameters = dict(source.net_.module_.named_parameters())
    parts = ("body.", "head.") if head == "kept" else ("body.",)
    return {name: p for name, p in parameters.items() if name.startswith(parts)}
