"""Steps of the optimizers of several nets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from sklearn_memgen.training.ftrl import FTRL
from sklearn_memgen.training.guided_step import read_guide
from sklearn_memgen.training.net import ResidentNet

__all__ = ["StackedOptimizers"]

#: The state of each optimizer, in the shape of the weights.
_STATES: dict[type[Optimizer], tuple[str, ...]] = {
    AdamW: ("exp_avg", "exp_avg_sq"),
    Adam: ("exp_avg", "exp_avg_sq"),
    SGD: ("momentum_buffer",),
    FTRL: ("n", "z"),
}
#: Settings that members may have of their own. Those of how a step is computed, on the
#: other hand, change no results.
_OWN = {"params", "lr", "weight_decay", "initial_lr"}
_HOW = {"fused", "foreach"}
#: Settings that only the optimizers themselves know.
_OTHERS = ("amsgrad", "maximize", "capturable", "differentiable", "dampening")


class StackedOptimizers:
    """The optimizers of several nets, for one pass.

    Parameters
    ----------
    nets : sequence of ResidentNet
        The nets.
    slabs : sequence of _Slab
        One for each optimizer of a net.
    """

    def __init__(self, nets: Sequence[ResidentNet], slabs: Sequence[_Slab]) -> None:
        self.nets = nets
        self.slabs = slabs
        limits = [torch.inf if n.clip_norm is None else n.clip_norm for n in nets]
        self._clips = any(net.clip_norm is not None for net in nets)
        self._limits = slabs[0].weights.new_tensor(limits)

    @classmethod
    def make(
        cls, nets: Sequence[ResidentNet], weights: Tensor, places: Mapping[str, slice]
    ) -> Self | None:
        """Return what steps for the nets, or None if only their own optimizers can.

        Parameters
        ----------
        nets : sequence of ResidentNet
            The nets.
        weights : Tensor of shape (n_nets, n_parameters)
            Their weights, of which the parameters are views.
        places : mapping of str to slice
            Where in `weights` each parameter that learns is, one after another.
        """
        slabs = []
        for name in nets[0]._optimizers:
            optimizers = [getattr(net, f"{name}_") for net in nets]
            slab = _Slab.make(nets, optimizers, weights, places)
            if slab is None:
                return None
            slabs.append(slab)
        found = sorted(column for slab in slabs for column in slab.names)
        return cls(nets, slabs) if found == sorted(places) else None

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Take a step with the first nets.

        Parameters
        ----------
        gradients : mapping of str to Tensor of shape (n_first, ...)
            By name of the parameter.
        """
        flat = {name: gradient.flatten(1) for name, gradient in gradients.items()}
        parts = [torch.cat([flat[n] for n in slab.names], 1) for slab in self.slabs]
        n_first = len(parts[0])
        if self._clips:
            norms = [torch.linalg.vector_norm(part, dim=1) for part in parts]
            norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
            factors = (self._limits[:n_first] / (norm + 1e-6)).clamp(max=1)
            for part in parts:
                part.mul_(factors[:, None])
        for net in self.nets[:n_first]:
            net._set_rates()
        for slab, part in zip(self.slabs, parts, strict=True):
            slab.step(part)

    def write(self) -> None:
        """Give the optimizers the state that they would have."""
        for slab in self.slabs:
            slab.write()


class _Slab:
    """The parameters of one optimizer of each net, side by side."""

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        names: list[str],
        parameters: Sequence[list[Tensor]],
        weights: Tensor,
        state: Mapping[str, Tensor],
        steps: list[float],
        guides: _Guides,
    ) -> None:
        self.optimizers = optimizers
        self.names = names
        self.parameters = parameters
        self.weights = weights  # (n_nets, n_columns), as what follows
        self.state = state
        self.steps = steps
        self.guides = guides
        self.groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self.kind = type(optimizers[0])

    @classmethod
    def make(
        cls,
        nets: Sequence[ResidentNet],
        optimizers: Sequence[Optimizer],
        weights: Tensor,
        places: Mapping[str, slice],
    ) -> _Slab | None:
        """Return the slab, or None where the optimizers have to step for themselves."""
        if not _alike(optimizers):
            return None
        kind = type(optimizers[0])
        parameters: list[list[Tensor]] = []
        values: dict[str, list[Tensor]] = {key: [] for key in _STATES[kind]}
        names: list[str] = []
        steps, guides = [], []
        for net, optimizer in zip(nets, optimizers, strict=True):
            guide = read_guide(optimizer)
            if guide is None:
                return None
            group = optimizer.param_groups[0]
            mine = set(group["params"])
            known = dict(net.module_.named_parameters())
            names = [name for name, parameter in known.items() if parameter in mine]
            own = [known[name] for name in names]
            if len(own) != len(mine) or not set(names) <= set(places):
                return None
            counts = set()
            for parameter in own:
                if isinstance(optimizer, FTRL) and not optimizer.state[parameter]:
                    optimizer._begin(parameter, group)
                if parameter not in guide.frozen:
                    counts.add(float(optimizer.state[parameter].get("step", 0)))
            if len(counts) > 1:
                return None  # something else has begun the state of some of them
            steps.append(counts.pop() if counts else 0.0)
            parameters.append(own)
            for key, rows in values.items():
                rows.append(torch.cat([_read(optimizer, p, key) for p in own]))
            guides.append(guide)
        begin, end = places[names[0]].start, places[names[-1]].stop
        if end - begin != len(values[_STATES[kind][0]][0]):
            return None  # parameters of another optimizer lie between
        state = {key: torch.stack(rows) for key, rows in values.items()}
        together = _Guides(optimizers, parameters, guides)
        part = weights[:, begin:end]
        return cls(optimizers, names, parameters, part, state, steps, together)

    def step(self, gradient: Tensor) -> None:
        """Take a step with the first nets; the gradient may be overwritten."""
        n = len(gradient)
        weights = self.weights[:n]
        state = [self.state[key][:n] for key in _STATES[self.kind]]
        self.steps[:n] = [count + 1 for count in self.steps[:n]]
        gradient = self.guides.on_gradient(gradient)
        kept = self.guides.keep(weights)
        if self.kind is FTRL:
            ftrl = self.guides.ftrl
            ftrl = None if ftrl is None else ftrl[:n]
            FTRL._update(weights, gradient, state[0], state[1], self.groups[0], ftrl)
        elif self.kind is SGD:
            self._step_sgd(weights, gradient, *state)
        else:
            self._step_adam(weights, gradient, *state)
        self.guides.go_back(weights, kept)

    def _step_sgd(self, weights: Tensor, gradient: Tensor, buffer: Tensor) -> None:
        self._decay(weights, gradient)
        momentum = self.groups[0]["momentum"]
        if momentum:
            buffer.mul_(momentum).add_(gradient)
            if self.groups[0]["nesterov"]:
                gradient = gradient.add_(buffer, alpha=momentum)
            else:
                gradient = buffer
        weights.addcmul_(gradient, self._column("lr", len(weights)), value=-1)

    def _step_adam(
        self, weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor
    ) -> None:
        n = len(weights)
        beta1, beta2 = self.groups[0]["betas"]
        rates = [group["lr"] for group in self.groups[:n]]
        if self.kind is AdamW:
            decays = [group["weight_decay"] for group in self.groups[:n]]
            if any(decays):
                shares = [1 - r * d for r, d in zip(rates, decays, strict=True)]
                weights.mul_(weights.new_tensor(shares)[:, None])
        else:
            self._decay(weights, gradient)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        sizes, roots = [], []
        for rate, count in zip(rates, self.steps, strict=False):
            sizes.append(-rate / (1 - beta1**count))
            roots.append((1 - beta2**count) ** -0.5)
        size, root = weights.new_tensor([sizes, roots])[:, :, None]
        # The gradient is of no more use, and its memory is.
        scale = torch.sqrt(square, out=gradient).mul_(root).add_(self.groups[0]["eps"])
        weights.addcdiv_(mean * size, scale)

    def _decay(self, weights: Tensor, gradient: Tensor) -> None:
        """Add weight decay to a gradient."""
        if any(group["weight_decay"] for group in self.groups):
            decay = self._column("weight_decay", len(weights))
            gradient.addcmul_(weights, decay)

    def _column(self, name: str, n_first: int) -> Tensor:
        values = [group[name] for group in self.groups[:n_first]]
        return self.weights.new_tensor(values)[:, None]

    def write(self) -> None:
        """Give the optimizers the state that they would have."""
        for k, optimizer in enumerate(self.optimizers):
            if not self.steps[k]:
                continue
            group, begin = self.groups[k], 0
            for parameter in self.parameters[k]:
                end = begin + parameter.numel()
                if parameter not in self.guides.each[k].frozen:
                    state = optimizer.state[parameter]
                    for key, rows in self.state.items():
                        if key != "momentum_buffer" or group["momentum"]:
                            state[key] = rows[k, begin:end].view_as(parameter)
                    if self.kind in (Adam, AdamW):
                        where = parameter.device if group.get("fused") else "cpu"
                        state["step"] = torch.tensor(self.steps[k], device=where)
                begin = end


class _Guides:
    """The multipliers of several nets, where there are any, in the shape of a slab."""

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        parameters: Sequence[list[Tensor]],
        guides: Sequence[Any],
    ) -> None:
        self.each = guides
        frozen = [dict.fromkeys(g.frozen, 0.0) for g in guides]
        gradients = [{p: m for p, m, _, _ in g.parameters} for g in guides]
        updates = [{p: m for p, _, m, _ in g.parameters} for g in guides]
        updates = [a | b for a, b in zip(frozen, updates, strict=True)]
        ftrl = [getattr(optimizer, "_multipliers", {}) for optimizer in optimizers]
        self._gradient = _multipliers(parameters, gradients)
        self._update = _multipliers(parameters, updates)
        self.ftrl = _multipliers(parameters, ftrl)

    def on_gradient(self, gradient: Tensor) -> Tensor:
        """Guide the gradients of the first nets."""
        if self._gradient is not None:
            gradient.mul_(self._gradient[: len(gradient)])
        return gradient

    def keep(self, weights: Tensor) -> Tensor | None:
        """Return what `go_back` needs of the weights before the step."""
        return None if self._update is None else weights.clone()

    def go_back(self, weights: Tensor, kept: Tensor | None) -> None:
        """Go back a part of the way."""
        if kept is not None and self._update is not None:
            weights.copy_(torch.lerp(kept, weights, self._update[: len(kept)]))


def _multipliers(
    parameters: Sequence[list[Tensor]], multipliers: Sequence[Mapping[Tensor, Any]]
) -> Tensor | None:
    """Return multipliers as a matrix, ones where there are none, or None."""
    if not any(m is not None for one in multipliers for m in one.values()):
        return None
    rows = []
    for own, found in zip(parameters, multipliers, strict=True):
        parts = []
        for parameter in own:
            multiplier = found.get(parameter)
            value = 1.0 if multiplier is None else multiplier
            value = torch.as_tensor(value).to(parameter).expand_as(parameter)
            parts.append(value.flatten())
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def _read(optimizer: Optimizer, parameter: Tensor, key: str) -> Tensor:
    """Return a part of the state of a parameter, zeros before the first step."""
    value = optimizer.state.get(parameter, {}).get(key)
    if value is None:
        return torch.zeros_like(parameter).flatten()
    return value.detach().flatten()


def _alike(optimizers: Sequence[Optimizer]) -> bool:
    """Tell whether optimizers can step as one."""
    first = optimizers[0]
    if type(first) not in _STATES or any(
        type(o) is not type(first) for o in optimizers
    ):
        return False
    if any(len(optimizer.param_groups) != 1 for optimizer in optimizers):
        return False
    groups = [optimizer.param_groups[0] for optimizer in optimizers]
    if any(group.get(name) for group in groups for name in _OTHERS):
        return False
    if any(isinstance(group["lr"], Tensor) for group in groups):
        return False
    free = _HOW | (_OWN if type(first) is not FTRL else {"params"})
    settings = [{k: v for k, v in g.items() if k not in free} for g in groups]
    return all(other == settings[0] for other in settings)
