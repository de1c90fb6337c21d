"""The steps of a net: loss, gradients, learning rates, and optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_memgen.training.averaging import WeightAverage
from sklearn_memgen.training.batches import Batch, ResidentBatches
from sklearn_memgen.training.observers import Observer
from sklearn_memgen.training.schedules import schedule_factor

__all__ = ["TakesSteps"]


class TakesSteps:
    """The part of `ResidentNet` that takes steps."""

    module_: Any
    criterion_: Any
    device: Any
    schedule: str
    clip_norm: float | None
    infer: Any
    notify: Any
    get_all_learnable_params: Any
    _optimizers: Any
    _set_training: Any
    _step_optimizer: Any
    _zero_grad_optimizer: Any
    _average: WeightAverage | None
    _n_batches: int
    _n_epochs: int
    _rates: list[tuple[dict[str, Any], float]]
    _step: int

    def _run_quietly(self, iterator: ResidentBatches, training: bool) -> float:
        """Pass over the batches without callbacks, and synchronize once, at the end."""
        self._set_training(training)
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        optimizers = [getattr(self, f"{name}_") for name in self._optimizers]
        parameters = [
            p for o in optimizers for g in o.param_groups for p in g["params"]
        ]
        n_rows = 0
        with torch.set_grad_enabled(training):
            for batch in iterator:
                loss, _ = self._loss(batch)
                n = len(batch[1])
                n_rows += n
                total.add_(loss.detach(), alpha=n)
                if not training:
                    continue
                if getattr(batch, "begins_step", True):
                    for parameter in parameters:
                        parameter.grad = None
                self._backward(loss, batch)
                if not getattr(batch, "ends_step", True):
                    continue
                self._before_step()
                for optimizer in optimizers:
                    optimizer.step()
                if self._average is not None:
                    self._average.update()
        return total.item() / n_rows

    #: Who looks at the batches of this pass.
    _observers: Sequence[Observer] = ()

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean weighted loss and the logits of a batch."""
        inputs, y = batch
        module, labels = self.module_, {}
        if module.training and hasattr(module, "draw_inputs"):
            inputs = module.draw_inputs(inputs)
        if module.training and getattr(module, "takes_labels", False):
            support = getattr(batch, "support", None)
            labels = {"labels": y if support is None else y.where(support, -1)}
        logits = self.infer(inputs, **labels)
        losses = self.criterion_(logits, y)
        for observer in self._observers:
            observer.observe(batch, logits.detach(), losses.detach())
        weight = getattr(batch, "weight", None)
        weighted = losses if weight is None else losses * weight
        # A part of a batch may be of rows that have no targets.
        return weighted.mean() if weighted.numel() else weighted.sum(), logits

    def _backward(self, loss: Tensor, batch: Batch) -> None:
        """Compute the gradients of a batch, or add those of a part of it."""
        share = getattr(batch, "share", 1.0)
        (loss if share == 1 else loss * share).backward()

    def _before_step(self) -> None:
        """Clip the gradients and set the learning rates of this step."""
        if self.clip_norm is not None:
            dense = [
                p
                for p in self.module_.parameters()
                if p.grad is not None and not p.grad.is_sparse
            ]
            nn.utils.clip_grad_norm_(dense, self.clip_norm)
        self._set_rates()

    def _set_rates(self) -> None:
        """Set the learning rates of this step, and count it."""
        if self.schedule != "constant":
            # Between the ends, so that neither the first step nor the last is lost.
            progress = (self._step + 0.5) / (self._n_epochs * self._n_batches)
            factor = schedule_factor(self.schedule, progress)
            for group, rate in self._rates:
                group["lr"] = rate * factor
        self._step += 1

    def _scheduled_rates(self) -> list[tuple[dict[str, Any], float]]:
        names = [
            name
            for name in ("optimizer", "sparse_optimizer")
            if name in self._optimizers
        ]
        groups = [g for name in names for g in getattr(self, f"{name}_").param_groups]
        return [(group, group["lr"]) for group in groups]

    # The same steps, for callbacks that look at batches

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients of a batch; see skorch."""
        self._set_training(True)
        loss, logits = self._loss(batch)
        self._backward(loss, batch)
        return {"loss": loss, "y_pred": logits}

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Take a step on a batch; see skorch."""
        if getattr(batch, "begins_step", True):
            self._zero_grad_optimizer()
        step = self.train_step_single(batch, **fit_params)
        if not getattr(batch, "ends_step", True):
            return step
        self.notify(
            "on_grad_computed",
            named_parameters=list(self.get_all_learnable_params()),
            batch=batch,
            training=True,
        )
        self._before_step()
        self._step_optimizer(None)
        if self._average is not None:
            self._average.update()
        return step

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of a batch; see skorch."""
        self._set_training(False)
        with torch.no_grad():
            loss, logits = self._loss(batch)
        return {"loss": loss, "y_pred": logits}
