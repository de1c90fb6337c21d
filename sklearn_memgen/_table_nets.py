"""Nets of one table, as an estimator makes them, to be trained as a Population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch

from sklearn_memgen._inputs import hold_out
from sklearn_memgen._labels import LabeledExamples, rarest_classes
from sklearn_memgen._net_estimator import Encoded
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.training import (
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    Trace,
    TrainedMember,
    auto_batch_size,
    auto_max_epochs,
    resolve_device,
    train_alone,
)

__all__ = [
    "encode_all",
    "encode_parts",
    "labels_of",
    "net_maker",
    "own_callbacks",
    "row_classes",
    "rows_with",
    "train_all",
]


def own_callbacks(estimator: NetClassifier) -> list[Any]:
    """Return copies of an estimator's own callbacks, but for traces."""
    copies = deepcopy(estimator._make_callbacks())
    return [c for c in copies if not isinstance(_bare(c), Trace)]


def _bare(callback: Any) -> Any:
    """Return a callback without its name."""
    return callback[1] if isinstance(callback, tuple) else callback


def net_maker(
    estimator: NetClassifier,
    encoder: Any,
    training: ResidentDataset,
    n_outputs: int,
    max_epochs: int | None = None,
    schedule: str = "constant",
) -> Callable[[], ResidentNet]:
    """Return what makes a net; it may be sent away, and has no data.

    With `max_epochs` it has that schedule and no running average of its weights, which
    would blur its course; else both are as the estimator says.
    """
    return partial(
        _make_net,
        estimator,
        encoder,
        training.take(slice(0, 1)),
        len(training),
        n_outputs,
        max_epochs,
        schedule,
    )


def _make_net(
    estimator: NetClassifier,
    encoder: Any,
    sample: ResidentDataset,
    n_rows: int,
    n_outputs: int,
    max_epochs: int | None,
    schedule: str,
) -> ResidentNet:
    batch_size = auto_batch_size(estimator.batch_size, n_rows)
    net = estimator._make_net(encoder, sample, n_outputs, batch_size)
    net.batch_size = batch_size
    if max_epochs is not None:
        net.max_epochs, net.schedule, net.ema_decay = max_epochs, schedule, None
    else:
        net.max_epochs = auto_max_epochs(estimator.max_epochs, n_rows, batch_size)
        net.schedule, net.ema_decay = estimator.schedule, estimator.ema_decay
    return net


def train_all(
    members: Sequence[Member], strategy: str, n_jobs: int | None, device: torch.device
) -> list[TrainedMember]:
    """Train all nets, or raise KeyboardInterrupt or the error of the first that failed.

    See `Population` for the parameters.
    """
    population = Population(members, strategy=strategy, n_jobs=n_jobs, device=device)
    population.train(warn=False)
    if population.interrupted_:
        raise KeyboardInterrupt
    for error in population.errors_.values():
        raise error
    return list(population)


def encode_all(
    estimator: NetClassifier,
    examples: LabeledExamples,
    held_out: LabeledExamples | None = None,
) -> Encoded:
    """Encode all rows; nets that are asked how, of rows held out, are trained alone."""
    encoding = estimator._encode(examples, held_out)
    try:
        member = next(encoding)
        while True:
            trained = train_alone(member, resolve_device(estimator.device))
            member = encoding.send(trained)
    except StopIteration as done:
        return done.value.with_even_weights()


def encode_parts(
    estimator: NetClassifier,
    examples: LabeledExamples,
    validation_fraction: float,
    rng: np.random.RandomState,
    *,
    encoder: Any = None,
) -> Encoded:
    """Hold rows out, and encode both parts.

    Parameters
    ----------
    estimator : NetClassifier
        Says how.
    examples : LabeledExamples
        All rows.
    validation_fraction : float
        Share of them to hold out; none if there are too few.
    rng : RandomState
        Draws them.
    encoder : estimator, default=None
        A fitted one, to encode with instead.

    Returns
    -------
    encoded : Encoded
        Rows to learn, and rows to validate with.
    """
    examples = examples.counted()
    kept, others = hold_out(examples.strata, validation_fraction, rng)
    held_out = examples.take(others) if len(others) else None
    examples = examples.take(kept)
    if encoder is None:
        return encode_all(estimator, examples, held_out)
    validation = None if held_out is None else held_out.encode(encoder)
    encoded = Encoded(encoder, examples.encode(encoder), validation)
    return encoded.with_even_weights()


def labels_of(data: ResidentDataset, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of the labels of some rows; each may have several."""
    labels = data.targets_of(torch.from_numpy(rows))
    assert isinstance(labels, torch.Tensor)
    return labels.numpy()


def row_classes(data: ResidentDataset) -> np.ndarray:
    """Return the class of each row: of rows of several labels the rarest."""
    codes, counts = data.targets.numpy(), _label_counts(data)
    return codes if counts is None else rarest_classes(codes, counts)


def rows_with(data: ResidentDataset, is_wanted: np.ndarray) -> np.ndarray:
    """Tell which rows have a wanted label, shape (n_rows,), bool."""
    counts = _label_counts(data)
    if counts is None:
        return is_wanted
    return np.logical_or.reduceat(is_wanted, counts.cumsum() - counts)


def _label_counts(data: ResidentDataset) -> np.ndarray | None:
    """Return the number of labels of each row, if there may be several."""
    counts = getattr(data.X, "n_targets", None)
    return None if counts is None else counts.numpy()
