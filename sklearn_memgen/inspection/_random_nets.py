"""The nets of a randomization test: what they learn, and what becomes of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback

from sklearn_memgen.base import NetClassifier
from sklearn_memgen.inspection._corruptions import (
    LABELS,
    corrupt_features,
    corrupt_labels,
)
from sklearn_memgen.inspection._measures import accuracy_and_loss
from sklearn_memgen.inspection._regularizers import NoDropout
from sklearn_memgen.inspection._subject import Subject
from sklearn_memgen.training import (
    Member,
    ResidentDataset,
    TrainedMember,
    auto_batch_size,
    auto_max_epochs,
)

__all__ = [
    "FitCourse",
    "corrupt_data",
    "ladder_members",
    "make_member",
    "measure",
    "measure_ladder",
]

#: What data is called that is as it was given.
_NONE = "none"
#: Halvings of the rows, and fewest of them, in the search for the capacity.
_MOST_HALVINGS, _FEWEST_ROWS = 6, 8


class FitCourse(Callback):
    """Record accuracy and loss of the labels that are learned after each epoch."""

    #: What training makes anew.
    made_anew = ("data_",)

    def __init__(self) -> None:
        self.course_: list[tuple[float, float]] = []

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Bring the rows to the device of the net."""
        self.data_ = X.resident(torch.device(net.device))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Predict the rows."""
        self.course_.append(accuracy_and_loss(net, self.data_))

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Keep no data."""
        del self.data_


def corrupt_data(
    subject: Subject, kinds: Sequence[str], partial: float, n_repeats: int
) -> dict[str, list[tuple[ResidentDataset, ResidentDataset]]]:
    """Return what to learn and what to test on, of each kind and repeat."""
    training, test, rng = subject.training, subject.test, subject.rng
    assert test is not None
    data = {_NONE: [(training, test)] * n_repeats}
    unfit = []
    for kind in kinds:
        if kind in LABELS:
            share = 1.0 if kind == "labels" else partial
            draws = [
                corrupt_labels(subject.codes, subject.n_classes, share, rng)
                for _ in range(n_repeats)
            ]
            data[kind] = [(_relabeled(training, codes), test) for codes in draws]
            continue
        rows = corrupt_features(kind, training.X, test.X, rng)
        if rows is None:
            unfit.append(kind)
            continue
        pair = replace(training, X=rows[0]), replace(test, X=rows[1])
        data[kind] = [pair] * n_repeats
    if unfit:
        inputs = type(training.X).__name__
        why = f"the inputs ({inputs}) have nothing that could be so corrupted"
        if len(data) == 1:
            raise ValueError(f"corruptions={list(kinds)}: {why}")
        warnings.warn(
            f"corruptions {unfit} are left out: {why}", UserWarning, stacklevel=4
        )
    return data


def _relabeled(data: ResidentDataset, codes: np.ndarray) -> ResidentDataset:
    return replace(data, y=data.targets.new_tensor(codes))


def make_member(
    subject: Subject,
    estimator: NetClassifier,
    data: ResidentDataset,
    seed: int,
    *,
    regularized: bool,
    callbacks: Sequence[Callback] = (),
    rows: np.ndarray | None = None,
) -> Member:
    """Return a net that learns corrupted data, or some of their rows."""
    if not regularized:
        callbacks = [*callbacks, NoDropout()]
    return subject.member(
        codes=data.targets.numpy(),
        X=data.X,
        rows=rows,
        estimator=estimator,
        callbacks=callbacks,
        seed=seed,
    )


def ladder_members(
    subject: Subject, settings: dict[bool, NetClassifier], seeds: Sequence[int]
) -> list[tuple[tuple[bool, int, int], Member]]:
    """Return nets that learn ever fewer rows with random labels, in as many steps."""
    training, rng = subject.training, subject.rng
    n_rows = len(training)
    sizes = [n_rows >> k for k in range(_MOST_HALVINGS + 1)]
    sizes = [n for n in sizes if n >= _FEWEST_ROWS] or [n_rows]
    members = []
    for repeat, seed in enumerate(seeds):
        codes = corrupt_labels(subject.codes, subject.n_classes, 1.0, rng)
        data, order = _relabeled(training, codes), rng.permutation(n_rows)
        for regularized, one in settings.items():
            batch_size = auto_batch_size(one.batch_size, n_rows)
            epochs = auto_max_epochs(one.max_epochs, n_rows, batch_size)
            n_steps = epochs * -(-n_rows // batch_size)
            for n in sizes:
                longer = copy(one).set_params(
                    max_epochs=-(-n_steps // -(-n // batch_size))
                )
                rows = np.sort(order[:n])
                member = make_member(
                    subject, longer, data, seed, regularized=regularized, rows=rows
                )
                members.append(((regularized, n, repeat), member))
    return members


def measure_ladder(
    steps: Sequence[tuple[tuple[bool, int, int], Member]],
    results: Sequence[TrainedMember],
) -> pd.DataFrame:
    """Return how well the nets of `ladder_members` have learned their rows."""
    rows = []
    for (key, member), result in zip(steps, results, strict=True):
        assert result.net is not None
        rows.append((*key, accuracy_and_loss(result.net, member.dataset())[0]))
    columns = ["regularized", "n_rows", "repeat", "train_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def measure(
    key: tuple[str, bool, int],
    training: ResidentDataset,
    test: ResidentDataset,
    result: TrainedMember,
    fitted_at: float,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what is to be known of a trained net, and its course."""
    net = result.net
    assert net is not None
    course = next(c for c in result.callbacks if isinstance(c, FitCourse))
    accuracy, loss = accuracy_and_loss(net, training)
    test_accuracy, test_loss = accuracy_and_loss(net, test)
    named = dict(zip(("corruption", "regularized", "repeat"), key, strict=True))
    curve = pd.DataFrame(course.course_, columns=["train_accuracy", "train_loss"])
    curve.insert(0, "epoch", np.arange(1, len(curve) + 1))
    fitted = curve["epoch"][curve["train_accuracy"] >= fitted_at]
    learned, tested = training.targets.numpy(), test.targets.numpy()
    n = max(learned.max(), tested.max()) + 1
    shares = [np.bincount(c, minlength=n) / len(c) for c in (learned, tested)]
    run = {
        **named,
        "train_accuracy": accuracy,
        "train_loss": loss,
        "first_fitted_epoch": float(fitted.min()) if len(fitted) else np.nan,
        "test_accuracy": test_accuracy,
        "test_loss": test_loss,
        "chance": float(shares[0] @ shares[1]),
    }
    return run, pd.DataFrame(named, index=curve.index).join(curve)
