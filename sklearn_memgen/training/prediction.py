"""How a trained net computes the logits of many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sklearn_memgen.training.batches import ResidentBatches, ResidentDataset, Rows
from sklearn_memgen.training.devices import at_most_threads, in_bfloat16
from sklearn_memgen.training.ragged import (
    by_length,
    cut_by_length,
    lengths_of,
    targets_of,
)

__all__ = ["PredictsBatches"]

#: Fewest and most rows of a batch in prediction.
_MIN_PREDICTED, _MAX_PREDICTED = 16, 2**12
#: Most entries of a padded batch of rows of different length, in prediction. More make
#: nothing faster on a CPU, and take memory; a GPU has more to do at once.
_MAX_ENTRIES = {"cpu": 2**11, "cuda": 2**16}
#: Up to so many rows a small module predicts in one thread.
_FEW_ROWS = 1000


def _call(module: Any, inputs: Any, **named: Any) -> Tensor:
    if isinstance(inputs, Mapping):
        return module(**inputs, **named)
    return module(inputs, **named)


class PredictsBatches:
    """The part of `ResidentNet` that computes logits."""

    module_: Any
    device: Any
    precision: str
    _set_training: Any

    #: Most rows of a batch in prediction on a CPU.
    max_predicted = _MAX_PREDICTED

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Return the logits of a batch's inputs; `fit_params` go to the module, too."""
        if not in_bfloat16(self.precision, self.device):
            return _call(self.module_, x, **fit_params)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return _call(self.module_, x, **fit_params)

    def logits(self, X: Rows) -> Tensor:
        """Compute the logits of many rows.

        Parameters
        ----------
        X : Rows of length n_rows
            The inputs, on any device.

        Returns
        -------
        logits : Tensor of shape (n_rows, n_outputs)
            On the host. A row's logits do not depend on the rows beside it: a batch of
            few rows is filled up, since other routines multiply small matrices, which
            round otherwise. Of rows of different length that holds but for rounding.
            If rows have several targets, it is one of shape (n_targets, n_outputs).
        """
        lengths = lengths_of(X)
        if lengths is not None:
            return self._logits_by_length(X, lengths)
        n_rows = len(X)
        if n_rows < _MIN_PREDICTED:
            X = X[torch.arange(_MIN_PREDICTED).clamp(max=n_rows - 1)]
        self._set_training(False)
        # A module that says how to be fast is small: few rows gain nothing from
        # threads, and on a busy machine wait for them a hundred times as long.
        few = n_rows <= _FEW_ROWS and hasattr(self.module_, "fast_forward")
        with torch.inference_mode(), at_most_threads(1 if few else None):
            logits = [self._predict(i).float().cpu() for i in self._in_batches(X)]
        return torch.cat(logits)[:n_rows]

    def _logits_by_length(self, X: Rows, lengths: Tensor) -> Tensor:
        """Compute the logits of rows of like length together."""
        order = by_length(lengths)
        on_cpu = torch.device(self.device).type == "cpu"
        entries = _MAX_ENTRIES["cpu" if on_cpu else "cuda"]
        self._set_training(False)
        with torch.inference_mode():
            parts = [
                self._predict(X[order[part]].to(self.device).inputs()).float().cpu()
                for part in cut_by_length(lengths[order], entries)
            ]
            by_rank = torch.cat(parts)
            logits = torch.empty_like(by_rank)
            places = targets_of(X, order)
            assert isinstance(places, Tensor)
            logits[places.cpu()] = by_rank
        return logits

    def _in_batches(self, X: Rows) -> Iterator[Any]:
        """Yield the inputs of batches of even size, so that the last is not small."""
        on_cpu = torch.device(self.device).type == "cpu"
        n_batches = -(-len(X) // (self.max_predicted if on_cpu else _MAX_PREDICTED))
        if n_batches == 1:
            yield X.to(self.device).inputs()
            return
        size = -(-len(X) // n_batches)
        data = ResidentDataset(X)
        for inputs, _ in ResidentBatches(data, batch_size=size, device=self.device):
            yield inputs

    def _predict(self, inputs: Any) -> Tensor:
        """Return the logits of a batch, by `fast_forward` if the module has it."""
        on_cpu = torch.device(self.device).type == "cpu"
        if on_cpu and not in_bfloat16(self.precision, self.device):
            return _call(getattr(self.module_, "fast_forward", self.module_), inputs)
        return self.infer(inputs)
