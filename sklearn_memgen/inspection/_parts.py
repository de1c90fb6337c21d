"""Nets of which only a part is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_memgen._trainable import NORMALIZATIONS, normalization_names
from sklearn_memgen.inspection._batch_statistics import has_running_statistics
from sklearn_memgen.inspection._subject import Subject, accuracy_of
from sklearn_memgen.training import (
    Guide,
    Member,
    ResidentNet,
    Rows,
    auto_batch_size,
    random_masks,
    resolve_device,
    seeded,
)

__all__ = ["PartNet", "PartNets", "draw_others", "output_names", "start_scales"]


@dataclass(frozen=True, eq=False)
class PartNet:
    """A net of a study: what is trained of which first weights.

    Parameters
    ----------
    trained : {"all", "batch_norm", "random", "output", "none"}
        What.
    repeat, seed : int
        Which first weights, and the seed that draws them.
    n_trained : int
        Number of parameters that are trained.
    guide : Guide or None, default=None
        Lets them change, and no others; None if all may.
    draw : int, default=0
        Of "random", which draw.
    batch_size : int or None, default=None
        Rows of a step; by default as the estimator says.
    """

    trained: str
    repeat: int
    seed: int
    n_trained: int
    guide: Guide | None = None
    draw: int = 0
    batch_size: int | None = None

    @property
    def learns(self) -> bool:
        """Whether anything is trained."""
        return self.trained != "none"


class PartNets:
    """How the nets of a study are made.

    Parameters
    ----------
    subject : Subject
        What the nets are, and their rows.
    random_from, scale_init, max_epochs
        See `batch_norm_study`.
    """

    def __init__(
        self,
        subject: Subject,
        random_from: str,
        scale_init: str | None,
        max_epochs: int | None,
    ) -> None:
        self.subject = subject
        self.random_from = random_from
        self.scale_init = scale_init
        self.max_epochs = max_epochs
        self.device = resolve_device(subject.estimator.device)
        with seeded(0, self.device):
            net = self._make_net(subject.member(seed=0))()
        module = net.module_
        self.names = [name for name, _ in module.named_parameters()]
        self.shapes = {n: p.shape for n, p in module.named_parameters()}
        self.norms = normalization_names(module)
        self.output = output_names(net, subject.training.X)
        self.needs_two_rows = has_running_statistics(module)

    def count(self, names: Sequence[str]) -> int:
        """Return how many parameters there are in some tensors."""
        return sum(self.shapes[name].numel() for name in names)

    def plan(self, repeat: int, seed: int, n_random: int) -> list[PartNet]:
        """Return the nets that begin with the same weights."""
        n_norms, others = self.count(self.norms), self._others()
        n_others = self.count(list(others))
        if n_random and n_others < n_norms:
            raise ValueError(
                f"n_random={n_random}: the net has {n_norms} parameters in its "
                f"normalizations, but random_from={self.random_from!r} has only "
                f"{n_others} others, so that as many cannot be drawn; pass n_random=0"
            )
        nets = [
            PartNet("all", repeat, seed, self.count(self.names)),
            PartNet("batch_norm", repeat, seed, n_norms, self._guide(self.norms)),
        ]
        for draw in range(n_random):
            drawn = draw_others(
                others,
                n_norms,
                self.names,
                self.subject.rng.randint(2**31),
                by_units=self.random_from == "hidden",
            )
            nets.append(PartNet("random", repeat, seed, n_norms, drawn, draw))
        if self.output:
            n_output = self.count(self.output)
            guide = self._guide(self.output)
            nets.append(PartNet("output", repeat, seed, n_output, guide))
        return [*nets, PartNet("none", repeat, seed, 0)]

    def _others(self) -> dict[str, torch.Size]:
        """Return the tensors that other parameters are drawn from."""
        others = {n: shape for n, shape in self.shapes.items() if n not in self.norms}
        if self.random_from == "all":
            return others
        return {
            name: shape
            for name, shape in others.items()
            if len(shape) > 1 and name not in self.output
        }

    def _guide(self, chosen: Sequence[str]) -> Guide:
        return Guide({name: float(name in chosen) for name in self.names})

    def member(self, net: PartNet) -> Member:
        """Return a net that is to be trained."""
        estimator, n_rows = self.subject.estimator, len(self.subject.training)
        if net.batch_size is not None:
            estimator = copy(estimator).set_params(batch_size=net.batch_size)
        batch_size = auto_batch_size(estimator.batch_size, n_rows)
        single = self.needs_two_rows and n_rows % batch_size == 1
        member = self.subject.member(
            estimator=estimator,
            rows=np.arange(n_rows - 1) if single else None,
            max_epochs=self.max_epochs,
            guide=net.guide,
            seed=net.seed,
        )
        return replace(member, make_net=self._make_net(member))

    def untrained(self, net: PartNet) -> ResidentNet:
        """Return a net as it is before training."""
        with seeded(net.seed, self.device):
            return self._make_net(self.subject.member(seed=net.seed))()

    def _make_net(self, member: Member) -> Callable[[], ResidentNet]:
        return partial(_begin, member.make_net, str(self.device), self.scale_init)

    def measure(self, net: PartNet, made: ResidentNet) -> dict[str, Any]:
        """Return what is to be known of a net; see `BatchNormStudy.to_frame`."""
        assert self.subject.test is not None
        return {
            "trained": net.trained,
            "repeat": net.repeat,
            "draw": net.draw,
            "n_trained": net.n_trained,
            "share": net.n_trained / self.count(self.names),
            "train_accuracy": accuracy_of(made, self.subject.training),
            "test_accuracy": accuracy_of(made, self.subject.test),
        }


def _begin(
    make_net: Callable[[], ResidentNet], device: str, scale_init: str | None
) -> ResidentNet:
    """Make a net, and let its scales begin as is wanted."""
    net = make_net()
    if not net.initialized_:
        net.set_params(device=device).initialize()
    start_scales(net.module_, scale_init)
    return net


def draw_others(
    shapes: Mapping[str, torch.Size],
    n_wanted: int,
    all_names: Iterable[str],
    seed: int,
    *,
    by_units: bool = True,
) -> Guide:
    """Draw single parameters that may change, from each tensor its share.

    Parameters
    ----------
    shapes : mapping of str to Size
        The tensors to draw from.
    n_wanted : int
        How many, at most as many as there are.
    all_names : iterable of str
        The parameters of the net, of which the others are frozen.
    seed : int
        Draws them.
    by_units : bool, default=True
        Whether the share of a tensor is in proportion to its units, the length of its
        first axis, or to its size. One that is too small for its share is drawn whole.
    """
    sizes = np.array([shape.numel() for shape in shapes.values()])
    weights = np.array([s[0] if by_units else s.numel() for s in shapes.values()])
    shares = _divide(n_wanted, weights.astype(np.float64), sizes)
    masks = {
        name: (torch.arange(shape.numel()) < int(share)).view(shape)
        for (name, shape), share in zip(shapes.items(), shares, strict=True)
    }
    frozen: dict[str, Any] = dict.fromkeys(all_names, 0.0)
    return Guide.from_mask(frozen | random_masks(masks, seed=seed))


def _divide(n_wanted: int, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Divide a number in proportion to weights, exactly, with no share above a size."""
    shares, is_full = np.zeros(len(sizes)), np.zeros(len(sizes), dtype=bool)
    while True:
        left = n_wanted - sizes[is_full].sum()
        shares = np.where(
            is_full, sizes, left * weights / max(weights[~is_full].sum(), 1)
        )
        if not (over := ~is_full & (shares >= sizes)).any():
            break
        is_full |= over
    whole = np.floor(shares).astype(np.int64)
    # What rounding leaves goes to the largest remainders.
    most = np.argsort(whole - shares, kind="stable")[: n_wanted - whole.sum()]
    whole[most] += 1
    return whole


def output_names(net: ResidentNet, X: Rows) -> list[str]:
    """Return the parameters of the layer that is computed last.

    Layers are modules that have parameters but no modules with parameters in them;
    normalizations are none.
    """
    module = net.module_
    called: list[str] = []

    def note(name: str, *_: Any) -> None:
        called.append(name)

    hooks = [
        layer.register_forward_hook(partial(note, name))
        for name, layer in module.named_modules()
        if _is_layer(layer)
    ]
    modes = {m: m.training for m in module.modules()}
    try:
        module.eval()
        with torch.inference_mode():
            net.infer(X[:2].to(torch.device(net.device)).inputs())
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes.items():
            part.training = mode
    if not called:
        return []
    prefix = f"{called[-1]}." if called[-1] else ""
    return [n for n, _ in module.named_parameters() if n.startswith(prefix)]


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, NORMALIZATIONS) or not any(True for _ in module.parameters()):
        return False
    return not any(any(True for _ in m.parameters()) for m in module.children())


def start_scales(module: nn.Module, scale_init: str | None) -> None:
    """Draw scales and set shifts to zero, or leave them as the module made them."""
    if scale_init is None:
        return
    for norm in module.modules():
        if not isinstance(norm, NORMALIZATIONS):
            continue
        weight, bias = norm.weight, getattr(norm, "bias", None)
        if isinstance(weight, Tensor):
            if scale_init == "uniform":
                nn.init.uniform_(weight)
            else:
                nn.init.ones_(weight)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)
