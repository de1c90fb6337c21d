"""Rows with a mask of their own, and the losses of nets that fill it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sklearn_memgen.training.batches import Rows
from sklearn_memgen.training.prediction import PredictsBatches

__all__ = ["BodyFeatures", "MaskedRows", "OwnLosses"]


@dataclass(frozen=True)
class MaskedRows:
    """Rows and which of their cells are masked, the same at every pass.

    Parameters
    ----------
    rows : Rows
        The rows.
    masked : Tensor of shape (n_rows, ...), bool
        Their mask, an input of the module by the name ``masked``.
    """

    rows: Rows
    masked: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Tensor | slice) -> MaskedRows:
        return MaskedRows(self.rows[rows], self.masked[rows])

    def to(self, device: Any, *, non_blocking: bool = False) -> MaskedRows:
        """Return the rows on `device`."""
        return MaskedRows(
            self.rows.to(device, non_blocking=non_blocking),
            self.masked.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> MaskedRows:
        """Return the rows in page-locked host memory."""
        return MaskedRows(self.rows.pin_memory(), self.masked.pin_memory())

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.rows.nbytes + self.masked.nbytes

    def inputs(self) -> dict[str, Tensor]:
        """Return what the module is called with; a single array is its `x`."""
        inputs = self.rows.inputs()
        named = {"x": inputs} if isinstance(inputs, Tensor) else inputs
        return named | {"masked": self.masked}


class OwnLosses(nn.Module):
    """The loss of a net that computes the loss of each row itself."""

    def forward(self, losses: Tensor, y: Tensor) -> Tensor:
        """Return `losses`, shape (batch,)."""
        return losses


class BodyFeatures(PredictsBatches):
    """Computes the features of a body for many rows, as nets compute logits.

    Parameters
    ----------
    module : Module
        The body.
    device : str
        Where it is.
    precision : {"auto", "float32", "bfloat16"}
        See `ResidentNet`.
    """

    def __init__(self, module: nn.Module, device: str, precision: str) -> None:
        self.module_ = module
        self.device = device
        self.precision = precision

    def _set_training(self, training: bool) -> None:
        self.module_.train(training)

    def features(self, X: Rows) -> Tensor:
        """Compute the features, shape (n_rows, n_features), on the host."""
        return self.logits(X)
