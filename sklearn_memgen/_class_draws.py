"""The rows of a class that nets learn and are judged by, repeat by repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from sklearn_memgen._label_noise import draw_folds
from sklearn_memgen._table_nets import labels_of, row_classes, rows_with
from sklearn_memgen.training import (
    Member,
    ResidentDataset,
    ResidentNet,
    Rows,
    Trace,
    probabilities,
)

__all__ = ["ClassPredictions", "Repeat", "draw_repeats"]


@dataclass(frozen=True)
class Repeat:
    """The rows that the nets of a repeat share.

    Parameters
    ----------
    repeat : int
        Which repeat it is.
    codes : ndarray of int
        The class, or the classes that count as one.
    own : ndarray of shape (n_own,), int
        Rows of the class that can be learned, in random order: nets take the first.
    others : ndarray of shape (n_others,), int
        Rows of the other classes, which are all learned.
    held_out : Rows
        Inputs of the rows held out.
    is_class : ndarray of shape (n_held_out_labels,), bool
        Which of their labels are of the class.
    seed : int
        The seed of the nets.
    """

    repeat: int
    codes: np.ndarray
    own: np.ndarray
    others: np.ndarray
    held_out: Rows
    is_class: np.ndarray
    seed: int

    def member(
        self,
        training: ResidentDataset,
        make_net: Callable[[], ResidentNet],
        count: int,
        callbacks: list[Any],
    ) -> Member:
        """Return a net that learns `count` rows of the class."""
        watch = ClassPredictions(self.held_out, self.is_class, self.codes)
        return Member(
            make_net,
            training,
            seed=self.seed,
            rows=np.sort(np.concatenate([self.others, self.own[:count]])),
            callbacks=[*callbacks, watch, Trace()],
        )

    def labels_of_class(self, training: ResidentDataset, count: int) -> np.ndarray:
        """Return the numbers of the labels of the class that a net learns."""
        labels = labels_of(training, self.own[:count])
        return labels[np.isin(training.targets.numpy()[labels], self.codes)]


def draw_repeats(
    training: ResidentDataset,
    class_codes: np.ndarray,
    n_repeats: int,
    n_folds: int,
    rng: np.random.RandomState,
) -> list[Repeat]:
    """Draw held-out rows, others in each repeat, and the order of those to learn.

    Of the class one row at least is held out and one learned, if it has two.
    """
    is_class = np.isin(training.targets.numpy(), class_codes)
    of_class = rows_with(training, is_class)
    own = np.flatnonzero(of_class)
    n_own_folds = min(n_folds, len(own))
    folds = draw_folds(row_classes(training), n_folds, rng)
    own_folds = draw_folds(np.zeros(len(own), dtype=int), n_own_folds, rng)
    draws = []
    for repeat in range(n_repeats):
        is_held_out = folds == repeat % n_folds
        is_held_out[own] = own_folds % n_own_folds == repeat % n_own_folds
        held_out = np.flatnonzero(is_held_out)
        draws.append(
            Repeat(
                repeat,
                class_codes,
                rng.permutation(own[~is_held_out[own]]),
                np.flatnonzero(~is_held_out & ~of_class),
                training.X[torch.from_numpy(held_out)],
                is_class[labels_of(training, held_out)],
                rng.randint(2**31),
            )
        )
    return draws


class ClassPredictions(Callback):
    """Count after each epoch how held-out rows of a class are predicted.

    Parameters
    ----------
    X : Rows of length n_rows or None
        The rows; let go of when training ends.
    is_class : ndarray of shape (n_labels,), bool
        Which of their labels are of the class.
    codes : ndarray of int
        The class, or the classes that count as one.

    Attributes
    ----------
    counts_ : list of (int, int)
        Rows predicted as the class, rightly and in all, one pair an epoch.
    """

    def __init__(self, X: Rows | None, is_class: np.ndarray, codes: np.ndarray) -> None:
        self.X = X
        self.is_class = is_class
        self.codes = codes
        self.counts_: list[tuple[int, int]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Predict."""
        codes = probabilities(net.logits(self.X)).argmax(dim=1).numpy()
        predicted = np.isin(codes, self.codes)
        self.counts_.append((int(predicted[self.is_class].sum()), int(predicted.sum())))

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Let go of the inputs."""
        self.X = None
