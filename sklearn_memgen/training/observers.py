"""Callbacks that look at training steps, at full speed or in skorch's way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from skorch.callbacks import Callback
from torch import Tensor

from sklearn_memgen.training.batches import Batch

__all__ = ["Observer", "find_observers", "wants_batches"]

_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


@runtime_checkable
class Observer(Protocol):
    """A skorch callback that looks at training steps without slowing them down.

    `ResidentNet` calls `observe` in every training step, between the forward and the
    backward pass, whether or not other callbacks have hooks for batches. Passes over
    validation rows are not observed.
    """

    def observe(self, batch: Batch, logits: Tensor, losses: Tensor) -> None:
        """Look at a step.

        Parameters
        ----------
        batch : Batch
            The inputs, targets and row numbers.
        logits : Tensor of shape (batch, ...)
            What the module returned, detached, on the device of the net. It may be
            kept, but must not be changed or, for the sake of speed, read on the host.
        losses : Tensor of shape (batch,)
            The loss of each row, without its weight, detached.
        """


def find_observers(callbacks: Iterable[tuple[str, Any]]) -> list[Observer]:
    """Return the observers among named callbacks."""
    return [callback for _, callback in callbacks if isinstance(callback, Observer)]


def wants_batches(callbacks: Iterable[tuple[str, Any]]) -> bool:
    """Tell whether a callback has one of skorch's hooks for batches or gradients."""
    return any(
        getattr(type(callback), hook) is not getattr(Callback, hook)
        for _, callback in callbacks
        for hook in _BATCH_HOOKS
    )
