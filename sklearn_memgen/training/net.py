"""ResidentNet: skorch's net, with a training loop that never leaves the device."""

from __future__ import annotations

import dis
import math
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EpochTimer
from torch import Tensor
from torch.optim import Optimizer

from sklearn_memgen.training.averaging import WeightAverage
from sklearn_memgen.training.batches import (
    Pass,
    ResidentBatches,
    ResidentDataset,
)
from sklearn_memgen.training.checkpoint import Checkpoint
from sklearn_memgen.training.losses import LogisticLoss, probabilities
from sklearn_memgen.training.moving import MovesDevices
from sklearn_memgen.training.observers import find_observers, wants_batches
from sklearn_memgen.training.prediction import PredictsBatches
from sklearn_memgen.training.steps import TakesSteps

__all__ = ["ResidentNet"]


class ResidentNet(TakesSteps, PredictsBatches, MovesDevices, NeuralNetClassifier):
    """A skorch net whose data stays on the device.

    Batches are indexed out of tensors on the device, the loss is summed there and read
    once an epoch, and nothing is called for a batch unless a callback asks for it. A
    callback that has a hook for batches or gradients is served as in skorch, at
    skorch's speed; an `Observer`, such as `Trace`, looks on at full speed.

    Parameters
    ----------
    module : torch.nn.Module class or instance
        The net. Called with what `Rows.inputs` gives, returns logits. If it has a
        method `optimizer_groups`, the parameters of each group it names go to an
        optimizer of their own. If it has a method `draw_inputs`, it is called in
        training with the inputs of each batch, and returns those that the module gets:
        the place for what is random. An attribute `draws_inputs` that is false says
        that there is nothing random in it, and saves time in a `Population`. If its
        attribute `takes_labels` is true, it gets the labels of each batch in training,
        by the name `labels`.
    group_optimizers : dict of str to callable, default=None
        Makes the optimizer of each group from its parameters. Groups not named here
        belong to the main optimizer.
    schedule : {"constant", "cosine", "linear"}, default="constant"
        "cosine" raises the main learning rate over the first 5 % of the steps and
        lowers it to zero along a cosine, "linear" over the first 10 % and linearly.
        Optimizers of groups keep their rate, except for "sparse", the embeddings,
        which follow.
    clip_norm : float or None, default=None
        Largest norm of the dense gradients together.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" computes in bfloat16 on a CUDA device that has it, else in float32.
    ema_decay : float or None, default=None
        Share of the running average of the dense weights that remains after a step. The
        net is validated with the average in the place of its weights, and keeps it.
    micro_batch_size : int or None, default=None
        Most rows that are computed at once in training. The gradients of the parts of a
        batch are added up, which takes less memory, and changes results by rounding
        only. But what a module makes of a batch as a whole it makes of each part, such
        as the statistics of BatchNorm and means of classes, and random numbers are
        drawn for each part. Callbacks with hooks for batches get to see parts, and
        gradients once a step.
    criterion : callable, default=LogisticLoss
        Makes the loss: a module that returns one loss a row.
    **kwargs
        See `skorch.NeuralNetClassifier`.

    Attributes
    ----------
    module_, criterion_, optimizer_, history
        See skorch.
    interrupted_ : bool
        Whether Ctrl-C ended the last fit.

    Warns
    -----
    UserWarning
        On Ctrl-C during training; the net keeps what it has learned.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import ArrayTensors, ResidentDataset, ResidentNet
    >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> data = ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())
    >>> net = ResidentNet(torch.nn.Linear(3, 1), lr=0.1, max_epochs=20, verbose=0)
    >>> net = net.fit(data)
    >>> bool((net.predict(data) == data.y.numpy()).mean() > 0.95)
    True
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        criterion: Any = LogisticLoss,
        optimizer: Any = torch.optim.AdamW,
        group_optimizers: Mapping[str, Callable[..., Optimizer]] | None = None,
        schedule: str = "constant",
        clip_norm: float | None = None,
        precision: str = "auto",
        ema_decay: float | None = None,
        micro_batch_size: int | None = None,
        iterator_train: Any = ResidentBatches,
        iterator_train__shuffle: bool = True,
        iterator_valid: Any = ResidentBatches,
        dataset: Any = ResidentDataset,
        train_split: Any = None,
        predict_nonlinearity: Any = probabilities,
        **kwargs: Any,
    ) -> None:
        self.group_optimizers = group_optimizers
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.precision = precision
        self.ema_decay = ema_decay
        self.micro_batch_size = micro_batch_size
        super().__init__(
            module,
            *args,
            criterion=criterion,
            optimizer=optimizer,
            iterator_train=iterator_train,
            iterator_train__shuffle=iterator_train__shuffle,
            iterator_valid=iterator_valid,
            dataset=dataset,
            train_split=train_split,
            predict_nonlinearity=predict_nonlinearity,
            **kwargs,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave a module out that was given as an instance: it is `module_` already.

        That one is kept device-free.
        """
        state = super().__getstate__()
        if "module_" in self.__dict__ and self.module is self.module_:
            state["module"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.__dict__["module"] is None:
            self.module = self.module_

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("epoch_timer", EpochTimer())]

    # Setting up

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> ResidentNet:
        """Make the main optimizer and those of the module's groups."""
        groups: dict[str, list[Tensor]]
        groups = getattr(self.module_, "optimizer_groups", dict)()
        makers = self.group_optimizers or {}
        own: set[Tensor] = set()
        for name, parameters in groups.items():
            if parameters and name in makers:
                setattr(self, f"{name}_optimizer_", makers[name](parameters))
                own.update(parameters)
        rest = [(n, p) for n, p in self.get_all_learnable_params() if p not in own]
        args, kwargs = self.get_params_for_optimizer("optimizer", rest)
        self.optimizer_ = self.optimizer(*args, **kwargs)
        return self

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches of a dataset, on the net's device."""
        iterator = super().get_iterator(dataset, training=training)
        if isinstance(iterator, ResidentBatches):
            iterator.device = torch.device(self.device)
            iterator.dataset = iterator.dataset.resident(iterator.device)
        if training and self.micro_batch_size is not None:
            self._divide_batches(iterator)
        return iterator

    def _divide_batches(self, iterator: Any) -> None:
        size = self.micro_batch_size
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(
                f"micro_batch_size must be a number of rows, 1 at least; got {size!r}"
            )
        kind = type(iterator)
        if getattr(kind, "__iter__", None) is not ResidentBatches.__iter__:
            raise ValueError(
                f"micro_batch_size={size} needs the batches of ResidentBatches; those "
                f"of {kind.__name__} cannot be computed in parts"
            )
        iterator.micro_batch_size = int(size)

    # Training

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> ResidentNet:
        """Initialize and train; `y` is part of a `ResidentDataset`."""
        return super().fit(X, y, **fit_params)

    def fit_loop(
        self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any
    ) -> ResidentNet:
        """Train; see skorch. Ctrl-C ends it and leaves a usable net."""
        with self._looping(epochs):
            n_left = self._n_epochs - self._resume(X, y)
            super().fit_loop(X, y, epochs=n_left, **fit_params)
        return self

    def passes(self, X: Any, y: Any = None) -> Generator[Pass, float, None]:
        """Do what `fit_loop` does, but let the caller compute the passes.

        Parameters
        ----------
        X, y : dataset and targets
            See `fit`.

        Yields
        ------
        wanted : Pass
            Is to be answered, by ``send``, with the mean loss. A ``KeyboardInterrupt``
            that is thrown in ends the training as Ctrl-C does.
        """
        with self._looping(None):
            training, validation = self.get_split_datasets(X, y)
            datasets = {"dataset_train": training, "dataset_valid": validation}
            kinds = [(self.get_iterator(training, training=True), True, "train")]
            if validation is not None:
                kinds.append((self.get_iterator(validation), False, "valid"))
            for _ in range(self._n_epochs - self._resume(X, y)):
                self.notify("on_epoch_begin", **datasets)
                for iterator, learning, prefix in kinds:
                    self._begin_pass(iterator, learning)
                    loss = yield Pass(iterator, learning)
                    self._end_pass(loss, learning, prefix)
                self.notify("on_epoch_end", **datasets)

    @contextmanager
    def _looping(self, epochs: int | None) -> Iterator[None]:
        """Prepare for epochs, and leave a usable net however they end."""
        self._n_epochs = self.max_epochs if epochs is None else epochs
        self._step = 0
        self._stopped_by_callback = False
        self.interrupted_ = False
        self._rates = self._scheduled_rates()
        self._average = self._make_average()
        try:
            yield
        except KeyboardInterrupt:
            # skorch's callbacks end training by the same exception.
            if not self._stopped_by_callback:
                self.interrupted_ = True
                warnings.warn(
                    f"training was interrupted in epoch {len(self.history)}; the "
                    "model keeps what it has learned so far",
                    UserWarning,
                    stacklevel=4,
                )
        finally:
            for group, rate in self._rates:
                group["lr"] = rate
            if self._average is not None:
                self._average.swap(in_place=True)
            del self._rates, self._average
            self._observers = ()

    @property
    def _checkpoints(self) -> list[Checkpoint]:
        return [c for _, c in self.callbacks_ if isinstance(c, Checkpoint)]

    def _resume(self, X: Any, y: Any) -> int:
        """Go on from a checkpoint, if there is one, and return the epochs it has."""
        resumed = [
            c.resume(self, *self.get_split_datasets(X, y)) for c in self._checkpoints
        ]
        return sum(resumed)

    def _make_average(self) -> WeightAverage | None:
        if self.ema_decay is None:
            return None
        # An average would touch all of a table that a step touches in a few places.
        tables = [m for m in self.module_.modules() if getattr(m, "sparse", False)]
        large = {parameter for table in tables for parameter in table.parameters()}
        dense = [p for p in self.module_.parameters() if p not in large]
        return WeightAverage(dense, self.ema_decay)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a hook of all callbacks."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as error:
            self._stopped_by_callback = _was_raised(error)
            raise
        if method_name == "on_epoch_end":
            for checkpoint in self._checkpoints:
                checkpoint.write(self)

    def run_single_epoch(
        self,
        iterator: ResidentBatches | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Pass over the batches once, and record the mean loss `<prefix>_loss`."""
        if iterator is None:
            return
        self._begin_pass(iterator, training)
        if wants_batches(self.callbacks_):
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            seen = [
                (batch[f"{prefix}_batch_size"], batch[f"{prefix}_loss"])
                for batch in self.history[-1]["batches"]
                if f"{prefix}_loss" in batch
            ]
            loss = sum(n * x for n, x in seen) / sum(n for n, _ in seen)
        else:
            loss = self._run_quietly(iterator, training)
        self._end_pass(loss, training, prefix)

    def _begin_pass(self, iterator: ResidentBatches, training: bool) -> None:
        self._n_batches = len(iterator)
        if self._average is not None:
            self._average.swap(in_place=not training)
        self._observers = find_observers(self.callbacks_) if training else ()

    def _end_pass(self, loss: float, training: bool, prefix: str) -> None:
        self.history.record(f"{prefix}_loss", loss)
        if training:
            self.history.record("learning_rate", self._rates[0][0]["lr"])
        if not math.isfinite(loss):
            self._raise_diverged(loss, prefix)

    def _raise_diverged(self, loss: float, prefix: str) -> None:
        what = "training" if prefix == "train" else "validation"
        raise FloatingPointError(
            f"the {what} loss became {loss} in epoch {len(self.history)}, at "
            f"learning_rate={self._rates[0][1]:g}. Most likely the learning rate is "
            "too high: lower it, or limit the gradients by clip_norm=1.0."
        )


def _was_raised(error: BaseException) -> bool:
    """Tell whether a statement raised it, and not Ctrl-C, which may come anywhere."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    operation = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    return dis.opname[operation] == "RAISE_VARARGS"
