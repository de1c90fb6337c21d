"""Several nets of one structure, computed as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from sklearn_memgen.training.batches import Rows
from sklearn_memgen.training.devices import at_most_threads, in_bfloat16
from sklearn_memgen.training.member import StartedMember
from sklearn_memgen.training.net import ResidentNet
from sklearn_memgen.training.stackable import (
    CannotStackError,
    as_arguments,
    skeleton,
    values_differ,
)
from sklearn_memgen.training.stacked_optimizers import StackedOptimizers
from sklearn_memgen.training.stacked_rows import StackedBatch, StackedRows
from sklearn_memgen.training.threads import worthwhile_threads

__all__ = ["Stack", "train_stacked"]

#: By how much logits may differ, of those computed together and alone.
_ROUNDING = 1e-3


class Stack:
    """The parameters of several nets in one matrix, of which the nets have views.

    Whatever looks at a net or changes it between passes, such as early stopping that
    goes back to the best weights, looks at the stack and changes it.

    Parameters
    ----------
    members : sequence of StartedMember
        They wait for a pass. Those with more rows come first.
    device : torch.device
        Where they are.

    Attributes
    ----------
    weights : Tensor of shape (n_members, n_parameters)
        The parameters of each member.
    """

    def __init__(self, members: Sequence[StartedMember], device: torch.device) -> None:
        self.members = list(members)
        self.device = device
        self.nets = [member.net for member in members]
        self.module = self.nets[0].module_
        self.parameters = [_by_optimizer(net) for net in self.nets]
        self.weights = torch.stack([_flat(p.values()) for p in self.parameters])
        self.places: dict[str, slice] = {}
        begin = 0
        for name, parameter in self.parameters[0].items():
            self.places[name] = slice(begin, begin + parameter.numel())
            begin += parameter.numel()
        for k, parameters in enumerate(self.parameters):
            for name, parameter in parameters.items():
                view = self.weights[k, self.places[name]].view_as(parameter)
                parameter.data = view
        self.learned = [n for n, p in self.parameters[0].items() if p.requires_grad]
        self._optimizers: StackedOptimizers | None = None
        self._leaves: dict[str, Tensor] = {}
        self._set_buffers()

    def _set_buffers(self) -> None:
        """Keep buffers once where they are the same, else stacked."""
        buffers = [dict(net.module_.named_buffers()) for net in self.nets]
        self.buffers: dict[str, Tensor] = {}
        self.buffer_dims: dict[str, int | None] = {}
        for name, first in buffers[0].items():
            all_of_it = [one[name] for one in buffers]
            differ = values_differ(all_of_it)
            self.buffers[name] = torch.stack(all_of_it) if differ else first
            self.buffer_dims[name] = 0 if differ else None

    def release(self) -> None:
        """Give each net memory of its own again."""
        for parameters in self.parameters:
            for parameter in parameters.values():
                parameter.data = parameter.data.clone()
                parameter.grad = None
        for net in self.nets:
            for name in net._optimizers:
                for state in getattr(net, f"{name}_").state.values():
                    for key, value in state.items():
                        if isinstance(value, Tensor):
                            state[key] = value.clone()

    # Computing

    def leaves(self, n_members: int) -> dict[str, Tensor]:
        """Return the parameters of the first members, (n_members, ...), to learn."""
        kept = self._leaves
        if kept and len(next(iter(kept.values()))) == n_members:
            return kept
        leaves: dict[str, Tensor] = {}
        for name, place in self.places.items():
            shape = self.parameters[0][name].shape
            leaf = self.weights[:n_members, place].detach().view(n_members, *shape)
            leaves[name] = leaf.requires_grad_(name in self.learned)
        self._leaves = leaves
        return leaves

    def logits(self, leaves: dict[str, Tensor], inputs: Any) -> Tensor:
        """Return the logits, shape (n_members, batch, ...)."""

        def call(parameters: Any, buffers: Any, inputs: Any) -> Tensor:
            args, kwargs = as_arguments(inputs)
            return functional_call(self.module, (parameters, buffers), args, kwargs)

        n_members = len(next(iter(leaves.values())))
        buffers = {
            name: buffer if self.buffer_dims[name] is None else buffer[:n_members]
            for name, buffer in self.buffers.items()
        }
        autocast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if in_bfloat16(self.nets[0].precision, self.nets[0].device)
            else nullcontext()
        )
        in_dims = (0, self.buffer_dims, 0)
        with autocast:
            together = vmap(call, in_dims=in_dims, randomness="error")
            return together(leaves, buffers, inputs)

    def losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each row, shape (n_members, batch)."""
        criterion = self.nets[0].criterion_
        return criterion(logits.flatten(0, 1), y.flatten()).view(y.shape)

    # Passes

    def run(self) -> list[float]:
        """Compute the passes that the members wait for, and return their losses."""
        rows = StackedRows(self.members, self.device)
        training = self.members[0].learns
        for net in self.nets:
            net._set_training(training)
        totals = torch.zeros(len(self.nets), device=self.device, dtype=torch.float64)
        run_step = self._learn if training else self._validate
        if training:
            learned = {name: self.places[name] for name in self.learned}
            self._optimizers = StackedOptimizers.make(self.nets, self.weights, learned)
        try:
            for batch in rows:
                losses = run_step(batch)
                totals[: len(losses)] += (losses * batch.weight).sum(1)
        finally:
            if training and self._optimizers is not None:
                self._optimizers.write()
        lengths = torch.tensor(rows.lengths, device=self.device)
        return (totals / lengths).tolist()

    @torch.no_grad()
    def _validate(self, batch: StackedBatch) -> Tensor:
        leaves = self.leaves(len(batch.y))
        return self.losses(self.logits(leaves, batch.inputs), batch.y)

    @torch.enable_grad()
    def _learn(self, batch: StackedBatch) -> Tensor:
        n_members = len(batch.sizes)
        self._draw_inputs(batch)
        leaves = self.leaves(n_members)
        logits = self.logits(leaves, batch.inputs)
        losses = self.losses(logits, batch.y)
        sizes = torch.tensor(batch.sizes, device=self.device)
        loss = ((losses * batch.weight).sum(1) / sizes).sum()
        learned = [leaves[name] for name in self.learned]
        gradients = torch.autograd.grad(loss, learned)
        for k, net in enumerate(self.nets[:n_members]):
            for observer in net._observers:
                n = batch.sizes[k]
                observer.observe(
                    batch.of(k), logits[k, :n].detach(), losses[k, :n].detach()
                )
        self._step(n_members, dict(zip(self.learned, gradients, strict=True)))
        return losses.detach()

    def _draw_inputs(self, batch: StackedBatch) -> None:
        """Let each member draw what is random in its inputs."""
        draws = hasattr(self.module, "draw_inputs")
        if not getattr(self.module, "draws_inputs", draws):
            return  # and no time is spent on the random numbers of each
        for k in range(len(batch.sizes)):
            inputs = batch.of(k)[0]
            with self.members[k].randomness:
                drawn = self.nets[k].module_.draw_inputs(inputs)
            if drawn is not inputs:
                batch.replace_inputs(k, drawn)

    def _step(self, n_members: int, gradients: dict[str, Tensor]) -> None:
        """Step with the first members, together or by the optimizer of each."""
        if self._optimizers is not None:
            self._optimizers.step(gradients)
        else:
            # Fused optimizers take it for granted that a gradient lies as its weight.
            gradients = {name: g.contiguous() for name, g in gradients.items()}
            for k, net in enumerate(self.nets[:n_members]):
                for name, gradient in gradients.items():
                    self.parameters[k][name].grad = gradient[k]
                net._before_step()
                for name in net._optimizers:
                    getattr(net, f"{name}_").step()
        for net in self.nets[:n_members]:
            if net._average is not None:
                net._average.update()

    # Trying

    def check(self) -> None:
        """Compare logits and gradients of a few rows with those of each net alone.

        Raises
        ------
        CannotStackError
            If they cannot be computed together, or only slowly, or come out otherwise.
        """
        each = [p for parameters in self.parameters for p in parameters.values()]
        if len(set(each)) < len(each):
            raise CannotStackError("its parameters are those of another member, too")
        rows = self.members[0].training.take(slice(0, 8))
        batch = rows.to(self.device).batch(slice(0, 8))
        args, kwargs = as_arguments(batch[0])
        before = skeleton(self.module), [b.clone() for b in self.buffers.values()]
        for net in self.nets:
            net._set_training(True)
        n = len(self.nets)
        inputs = (
            {name: torch.stack([t] * n) for name, t in kwargs.items()}
            if kwargs
            else torch.stack([args[0]] * n)
        )
        leaves = self.leaves(n)
        try:
            with warnings.catch_warnings():
                # What vmap has no rule for it computes one by one, and warns.
                warnings.filterwarnings("error", message=".*performance drop")
                logits = self.logits(leaves, inputs)
                losses = self.losses(logits, batch[1].expand(n, -1))
                learned = [leaves[name] for name in self.learned]
                gradients = torch.autograd.grad(
                    losses.sum(), learned, allow_unused=True
                )
        except Exception as error:
            raise CannotStackError(
                f"{type(self.module).__name__} cannot be computed by vmap: {error}"
            ) from error
        unused = [n for n, g in zip(self.learned, gradients, strict=True) if g is None]
        if unused:
            raise CannotStackError(
                f"its parameter {unused[0]!r} has no part in the loss"
            )
        for net, together in zip(self.nets, logits, strict=True):
            with torch.no_grad():
                alone = net.infer(batch[0])
            close = torch.allclose(
                alone.float(),
                together.float(),
                rtol=_ROUNDING,
                atol=_ROUNDING,
                equal_nan=True,
            )
            if not close:
                raise CannotStackError("its logits are others when computed together")
        changed = any(
            not torch.equal(old, new)
            for old, new in zip(before[1], self.buffers.values(), strict=True)
        )
        if changed or skeleton(self.module) != before[0]:
            raise CannotStackError("its buffers or attributes change in forward")


def _by_optimizer(net: ResidentNet) -> dict[str, Tensor]:
    """Return the parameters by name, those of each optimizer one after another."""
    optimizers = [getattr(net, f"{name}_") for name in net._optimizers]
    place = {
        parameter: k
        for k, optimizer in enumerate(optimizers)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    named = net.module_.named_parameters()
    return dict(sorted(named, key=lambda item: place.get(item[1], len(optimizers))))


def _flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def train_stacked(members: Sequence[StartedMember], device: torch.device) -> None:
    """Train members to their ends, together.

    Parameters
    ----------
    members : sequence of StartedMember
        Members of one `stacking_key`. What ended the training of one is in its `error`.
    device : torch.device
        Where they are.

    Raises
    ------
    CannotStackError
        If it turns out that they cannot be computed together; nothing is trained then.
    KeyboardInterrupt
        On Ctrl-C; the nets keep what they have learned.
    """
    active = sorted(members, key=lambda member: -len(member.training))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        tables: dict[int, Rows] = {}
        for member in active:
            member.place(tables)
        stack = Stack(active, device)
        try:
            stack.check()
        finally:
            stack.release()
        n_threads = worthwhile_threads(active[0].net, active[0].training, len(active))
        with at_most_threads(n_threads):
            _train_to_the_end(active, device)


def _train_to_the_end(active: list[StartedMember], device: torch.device) -> None:
    """Train members whose data is on the device, those that go on together."""
    try:
        for member in active:
            member.begin()
        while active := [m for m in active if m.wanted is not None]:
            stack = Stack(active, device)
            try:
                while all(member.wanted for member in active):
                    for member, loss in zip(active, stack.run(), strict=True):
                        member.answer(loss)
            finally:
                stack.release()
    except KeyboardInterrupt:
        for member in active:
            member.interrupt()
        raise
    except BaseException:
        for member in active:
            member.abandon()
        raise
