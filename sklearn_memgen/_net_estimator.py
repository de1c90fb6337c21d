"""NetEstimator: what classifiers and regressors around a torch net share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from sklearn_memgen._encodings import SharedEncodings
from sklearn_memgen._inputs import Examples, as_rows, read_inputs
from sklearn_memgen._sklearn import HasMethods, Interval, StrOptions
from sklearn_memgen._trainable import (
    TRAINABLE_CONSTRAINT,
    Trainable,
    trainable_callbacks,
)
from sklearn_memgen.training import (
    SCHEDULES,
    Member,
    ResidentDataset,
    ResidentNet,
    TrainedMember,
    auto_batch_size,
    auto_max_epochs,
    pool_logits,
    resolve_device,
    train_alone,
)

__all__ = ["Encoded", "Learning", "NetEstimator"]

_T = TypeVar("_T")

#: What a fit is: it yields each net that it wants to be trained, is sent what has
#: become of it, and goes on. So `fit` can train its nets alone, and a search those of
#: many fits together.
Learning = Generator[Member, TrainedMember, _T]


@dataclass(frozen=True)
class Encoded:
    """Rows to learn and rows to stop by, as an encoder that was fitted makes them."""

    encoder: Any
    training: ResidentDataset
    validation: ResidentDataset | None

    def with_even_weights(self) -> Encoded:
        """Return them with weights of mean 1, which do not change the learning rate."""
        if self.training.weight is None:
            return self
        scale = 1 / self.training.weight.mean()
        training = self.training.weighted(scale)
        validation = self.validation and self.validation.weighted(scale)
        return Encoded(self.encoder, training, validation)


_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
}


class NetEstimator(BaseEstimator):
    """Training, state and prediction of an estimator around a torch net.

    A subclass reads its examples in `fit` and `partial_fit`, hands them to `_fit` and
    `_partial_fit`, and turns `_logits` into predictions. It says what the net is by
    `_make_encoder`, `_make_module` and `_make_criterion`.

    Parameters
    ----------
    optimizer, learning_rate, weight_decay, schedule, batch_size, max_epochs, \
            early_stopping, validation_fraction, n_iter_no_change, tol, clip_norm, \
            ema_decay, precision, device, warm_start, callbacks, net_params, \
            random_state, verbose, source, trainable
        See `NetClassifier`. They have no defaults here; scikit-learn reads parameters
        and their defaults off the signature of the subclass.
    """

    _parameter_constraints: dict = {
        "optimizer": [StrOptions(set(_OPTIMIZERS)), callable],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions(set(SCHEDULES))],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="neither"), None],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str, torch.device],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "source": [HasMethods(["make_body", "transform"]), None],
        "trainable": TRAINABLE_CONSTRAINT,
    }

    def __init__(
        self,
        *,
        optimizer: str | Callable[..., Optimizer],
        learning_rate: float,
        weight_decay: float,
        schedule: str,
        batch_size: int | str,
        max_epochs: int | str,
        early_stopping: bool | str,
        validation_fraction: float,
        n_iter_no_change: int,
        tol: float,
        clip_norm: float | None,
        ema_decay: float | None,
        precision: str,
        device: str | torch.device,
        warm_start: bool,
        callbacks: list[Callback] | None,
        net_params: dict[str, Any] | None,
        random_state: int | np.random.RandomState | None,
        verbose: int,
        source: Any = None,
        trainable: Trainable = "all",
    ) -> None:
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.precision = precision
        self.device = device
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose
        self.source = source
        self.trainable = trainable

    encoder_: Any
    net_: ResidentNet

    # What subclasses replace

    #: Most epochs that "auto" takes where no held-out rows stop the net.
    _most_epochs: int | None = None
    #: What trains the module.
    _net_type: type[ResidentNet] = ResidentNet

    def _make_encoder(self) -> Any:
        """Return an encoder to be fitted, or None."""
        raise NotImplementedError

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        """Return the module, or what makes it.

        `n_outputs` is the number of classes, or 1 for a regressor.
        """
        raise NotImplementedError

    def _make_criterion(self) -> Callable[..., nn.Module]:
        """Return what makes the loss."""
        raise NotImplementedError

    def _group_optimizers(self, batch_size: int) -> dict[str, Callable[..., Optimizer]]:
        """Return what makes the optimizers of a module's `optimizer_groups`."""
        return {"sparse": partial(torch.optim.SparseAdam, lr=self.learning_rate)}

    def _net_settings(self) -> dict[str, Any]:
        """Return further parameters of the skorch net."""
        return dict(self.net_params or {})

    def _make_callbacks(self) -> list[Any]:
        """Return what looks on while a net learns, or guides it."""
        return [*(self.callbacks or ()), *trainable_callbacks(self.trainable)]

    def _encode(
        self, examples: Examples, held_out: Examples | None
    ) -> Learning[Encoded]:
        """Fit an encoder, and encode the rows to learn and those held out.

        It may have nets trained to find out which encoder is best.
        """
        yield from ()
        return self._encode_by(self._make_encoder(), examples, held_out)

    def _encode_further(
        self, encoder: Any, examples: Examples, *, relearn: bool
    ) -> tuple[Any, ResidentDataset]:
        """Return the encoder to go on with, which may know more, and the tensors.

        With `relearn` the rows are all there are from now on, else they are a chunk.
        """
        return encoder, examples.encode(encoder)

    def _make_heir(
        self,
        net: ResidentNet,
        encoder: Any,
        training: ResidentDataset,
        n_outputs: int,
        batch_size: int,
    ) -> ResidentNet:
        """Return the net to go on with: `net`, or one that inherits from it."""
        return net

    def _finish(self, net: ResidentNet, validation: ResidentDataset | None) -> None:
        """Do what remains to be done with a trained net and the rows held out."""

    def _pool(self, outputs: torch.Tensor) -> torch.Tensor:
        """Average what the members of an ensemble return, (n_rows, n_outputs)."""
        return pool_logits(outputs)

    # Fitting

    @property
    def _goes_on(self) -> bool:
        """Whether `fit` goes on with the net that is there."""
        return self.warm_start and hasattr(self, "net_")

    def _check_source(self) -> None:
        """Raise a ValueError if the source does not go with the other parameters."""
        if self.source is not None:
            check_is_fitted(
                self.source,
                msg="source=%(name)s() is not fitted; call its fit before this one",
            )

    def _check_can_go_on(self) -> None:
        """Raise a ValueError if the net that is there cannot be trained."""
        if not hasattr(self.net_, "optimizer_"):
            raise ValueError(
                f"this {type(self).__name__} was compacted, so it cannot learn "
                "further; call partial_fit, or fit with warm_start=True, on the one "
                "it was made of, and compact that one again"
            )

    def _fit_encoder(
        self, encoder: Any, examples: Examples
    ) -> tuple[Any, ResidentDataset]:
        """Fit an encoder, unless it is that of the source, and make tensors."""
        if self.source is not None:
            return encoder, examples.encode(encoder)
        return examples.fit_encoder(encoder)

    def _encode_by(
        self, encoder: Any, examples: Examples, held_out: Examples | None
    ) -> Encoded:
        encoder, training = self._fit_encoder(encoder, examples)
        validation = None if held_out is None else held_out.encode(encoder)
        return Encoded(encoder, training, validation)

    def _learning(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        encodings: SharedEncodings | None = None,
    ) -> Learning[None]:
        """Do what `fit` does, but let the caller train the nets.

        Fits on the same rows that are given the same `encodings` share tables.
        """
        raise NotImplementedError

    def _learn_alone(self, learning: Learning[None]) -> None:
        """Train the nets that a fit wants, one after another."""
        try:
            member = next(learning)
            while True:
                trained = train_alone(member, resolve_device(self.device))
                member = learning.send(trained)
        except StopIteration:
            return

    def _fit(
        self, examples: Examples, encoder: Any, *, going_on: bool
    ) -> Learning[None]:
        """Train a net to the end, the one that is there or a new one."""
        if going_on:
            self._check_can_go_on()
        self._rng = check_random_state(self.random_state)
        examples, held_out = examples.split(
            self.early_stopping, self.validation_fraction, self._rng
        )
        if going_on:
            encoder, training = self._encode_further(encoder, examples, relearn=True)
            validation = None if held_out is None else held_out.encode(encoder)
            encoded = Encoded(encoder, training, validation)
        else:
            encoded = yield from self._encode(examples, held_out)
        n_outputs = examples.n_outputs
        del examples, held_out  # only tensors are learned from
        yield from self._train(
            self.net_ if going_on else None,
            encoded.with_even_weights(),
            n_outputs,
            schedule=self.schedule,
            max_epochs=self.max_epochs,
            ema_decay=self.ema_decay,
        )

    def _partial_fit(
        self, examples: Examples, encoder: Any, *, first: bool, n_epochs: int = 1
    ) -> Learning[None]:
        """Learn a chunk, at a constant learning rate."""
        if not first:
            self._check_can_go_on()
            encoder, chunk = self._encode_further(encoder, examples, relearn=False)
        else:
            encoder, chunk = self._fit_encoder(encoder, examples)
            # Kept, so that each chunk is shuffled anew.
            self._rng = check_random_state(self.random_state)
        yield from self._train(
            None if first else self.net_,
            Encoded(encoder, chunk, None),
            examples.n_outputs,
            schedule="constant",
            max_epochs=n_epochs,
            ema_decay=None,  # the next chunk goes on from the weights themselves
        )

    def _train(
        self,
        net: ResidentNet | None,
        encoded: Encoded,
        n_outputs: int,
        *,
        schedule: str,
        max_epochs: int | str,
        ema_decay: float | None,
    ) -> Learning[None]:
        """Train a net, or a new one, and keep it."""
        device = resolve_device(self.device)
        encoder, training = encoded.encoder, encoded.training
        validation = encoded.validation
        batch_size = auto_batch_size(self.batch_size, len(training))

        def make_net() -> ResidentNet:
            if net is None:
                made = self._make_net(encoder, training, n_outputs, batch_size)
            else:
                made = self._make_heir(
                    net.to(device), encoder, training, n_outputs, batch_size
                )
                # Together, and before training, which may fail.
                self.encoder_, self.net_ = encoder, made
                made.set_params(  # they may have been set since the net was made
                    lr=self.learning_rate,
                    optimizer__weight_decay=self.weight_decay,
                    clip_norm=self.clip_norm,
                    precision=self.precision,
                )
            made.batch_size = batch_size
            made.max_epochs = auto_max_epochs(
                max_epochs,
                len(training),
                batch_size,
                most=self._most_epochs if validation is None else None,
            )
            made.schedule = schedule
            made.ema_decay = ema_decay
            return made

        trained = yield Member(
            make_net,
            training,
            validation,
            seed=self._rng.randint(2**31),
            callbacks=self._make_callbacks(),
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            verbose=self.verbose,
        )
        if trained.error is not None:
            raise trained.error
        assert trained.net is not None
        self.history_ = trained.history
        self._finish(trained.net, validation)
        self.encoder_, self.net_ = encoder, trained.net

    def _make_net(
        self, encoder: Any, training: ResidentDataset, n_outputs: int, batch_size: int
    ) -> ResidentNet:
        inputs = training.X[:1].inputs()
        n_features = inputs.shape[-1] if isinstance(inputs, torch.Tensor) else None
        module = self._make_module(encoder, n_features, n_outputs)
        return self._wrap(module, n_outputs, batch_size)

    def _wrap(self, module: Any, n_outputs: int, batch_size: int) -> ResidentNet:
        """Return the net that trains a module, or what makes it."""
        optimizer = self.optimizer
        net = self._net_type(
            module,
            criterion=self._make_criterion(),
            optimizer=_OPTIMIZERS[optimizer]
            if isinstance(optimizer, str)
            else optimizer,
            optimizer__weight_decay=self.weight_decay,
            lr=self.learning_rate,
            group_optimizers=self._group_optimizers(batch_size),
            clip_norm=self.clip_norm,
            precision=self.precision,
            classes=list(range(n_outputs)),
            verbose=0,
        )
        return net.set_params(**self._net_settings())

    # Predicting

    def _logits(self, X: Any) -> torch.Tensor:
        """Compute what the module returns, shape (n_rows, n_outputs), on the host."""
        check_is_fitted(self)
        data = read_inputs(self, X, self.encoder_, reset=False)
        if self.encoder_ is not None:
            data = self.encoder_.transform(data)
        self._follow_device()
        return self._pool(self.net_.logits(as_rows(data)))

    def _follow_device(self) -> None:
        """Move the net where `device` says; to the CPU where there is no such device.

        A model fitted on a GPU is loaded on the CPU, and moves from there.
        """
        try:
            device = resolve_device(self.device)
        except ValueError:
            device = torch.device("cpu")
        if str(device) != self.net_.device:
            self.net_.to(device)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encoder = self._make_encoder()
        if encoder is not None:
            tags.input_tags = get_tags(encoder).input_tags
        return tags
