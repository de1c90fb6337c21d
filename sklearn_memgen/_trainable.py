"""What of a net may change in training, as an estimator's `trainable` says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from sklearn_memgen._sklearn import StrOptions
from sklearn_memgen.training import Guide, GuideCallback

__all__ = [
    "NORMALIZATIONS",
    "TRAINABLE_CONSTRAINT",
    "Trainable",
    "normalization_names",
    "trainable_callbacks",
]

#: Modules that normalize, then scale and shift by parameters of their own.
NORMALIZATIONS: tuple[type[nn.Module], ...] = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
)

#: What `trainable` may be.
Trainable = str | list[str] | tuple[str, ...] | Guide | Callable[[nn.Module], Guide]

TRAINABLE_CONSTRAINT: list[Any] = [
    StrOptions({"all", "batch_norm"}),
    list,
    tuple,
    Guide,
    callable,
]


def normalization_names(module: nn.Module) -> list[str]:
    """Return the names of the scales and shifts of a net's normalizations.

    Raises
    ------
    ValueError
        If it has none; says what it needs.
    """
    norms = {n: m for n, m in module.named_modules() if isinstance(m, NORMALIZATIONS)}
    owned = {
        f"{owner}.{name}" if owner else name
        for owner, norm in norms.items()
        for name, _ in norm.named_parameters(recurse=False)
    }
    if owned:
        return [name for name, _ in module.named_parameters() if name in owned]
    kinds = sorted({type(norm).__name__ for norm in norms.values()})
    found = (
        f"the normalizations of this net ({', '.join(kinds)}) have no scale and shift; "
        "make them with affine=True, or elementwise_affine=True"
        if norms
        else f"this net, {type(module).__name__}, has no normalization; it needs "
        "layers such as torch.nn.BatchNorm1d, BatchNorm2d, LayerNorm or GroupNorm"
    )
    raise ValueError(f"only scale and shift of normalizations may change, but {found}")


def trainable_callbacks(trainable: Trainable) -> list[GuideCallback]:
    """Return what holds fast all that may not change, if there is anything.

    Raises
    ------
    ValueError
        If `trainable` names no patterns, or something else than patterns.
    """
    if isinstance(trainable, str) and trainable == "all":
        return []
    if isinstance(trainable, list | tuple) and not (
        trainable and all(isinstance(pattern, str) for pattern in trainable)
    ):
        raise ValueError(
            "trainable must name parameters by one pattern or more, such as "
            f"['head.*']; got {trainable!r}"
        )
    return [GuideCallback(partial(_make_guide, trainable=trainable))]


def _make_guide(module: nn.Module, trainable: Trainable) -> Guide:
    """Return the guide of a net, once it is there."""
    if isinstance(trainable, str):
        try:
            return Guide.only(module, normalization_names(module))
        except ValueError as error:
            raise ValueError(f"trainable={trainable!r}: {error}") from error
    if isinstance(trainable, list | tuple):
        try:
            return Guide.only(module, trainable)
        except ValueError as error:
            raise ValueError(f"trainable={trainable!r}: {error}") from error
    guide = trainable if isinstance(trainable, Guide) else trainable(module)
    if not isinstance(guide, Guide):
        raise TypeError(
            f"trainable must be, or make, a Guide; {trainable!r} made {guide!r}"
        )
    return guide
