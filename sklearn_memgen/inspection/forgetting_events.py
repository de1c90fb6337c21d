"""Forgetting: how often nets lose a row that they had learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_memgen._label_quality import mean_trace
from sklearn_memgen._sklearn import validate_params
from sklearn_memgen.inspection._subject import TRAINING_PARAMETERS, read_subject
from sklearn_memgen.inspection._traced import (
    learned_rows,
    n_epochs_of,
    read_traces,
    train_traced,
)
from sklearn_memgen.inspection.dynamics_display import ForgettingDisplay

__all__ = ["ForgettingEvents", "forgetting"]


@dataclass(frozen=True, kw_only=True)
class ForgettingEvents:
    """How often nets forgot each row that they had learned.

    Parameters
    ----------
    counts : ndarray of shape (n_repeats, n_rows)
        Forgetting events in each net; of a row that it never learned as many as it saw
        it.
    learned : ndarray of shape (n_repeats, n_rows), bool
        Whether each net ever got the row right.
    first_learned_epoch : ndarray of shape (n_rows,)
        The first epoch in which it did, the mean of the nets that did; NaN if none.
    rows : ndarray of shape (n_rows,), int
        The number of each in the given `X`; rows that were not learned are left out.
    index : Index of shape (n_rows,)
        Their index.
    is_issue : ndarray of shape (n_rows,), bool, or None
        Whether the label is suspect, if that was asked.

    See Also
    --------
    forgetting : Trains the nets.
    """

    counts: np.ndarray
    learned: np.ndarray
    first_learned_epoch: np.ndarray
    rows: np.ndarray
    index: pd.Index
    is_issue: np.ndarray | None = None

    @classmethod
    def from_trace(cls, trace: Any, index: Any = None) -> ForgettingEvents:
        """Count the events of a classifier that has learned already.

        Parameters
        ----------
        trace : Trace or list of Trace
            Such as the `trace_` of a fitted classifier; each of several is a repeat.
        index : Index or array-like of shape (n_samples,), default=None
            The index of the rows, such as ``X.index``. By default they are numbered.
        """
        return cls._of(*read_traces(trace, index))

    @classmethod
    def _of(cls, frames: Sequence[pd.DataFrame], index: pd.Index) -> ForgettingEvents:
        frames, rows, index = learned_rows(frames, index)
        seen, forgotten, correct = (
            np.array(
                [frame[name].to_numpy(dtype=float, na_value=0) for frame in frames]
            )
            for name in ("n_seen", "n_forgotten", "n_correct")
        )
        learned = correct > 0
        return cls(
            counts=np.where(learned, forgotten, seen).astype(int),
            learned=learned,
            first_learned_epoch=mean_trace(frames)["first_learned_epoch"].to_numpy(),
            rows=rows,
            index=index,
        )

    @property
    def n_forgotten(self) -> np.ndarray:
        """The events of all nets together, shape (n_rows,), int."""
        return self.counts.sum(axis=0)

    @property
    def is_unforgettable(self) -> np.ndarray:
        """Whether each row was learned by all nets and never forgotten, (n_rows,)."""
        return self.n_forgotten == 0

    @property
    def unforgettable_share(self) -> float:
        """The share of the rows that are unforgettable."""
        return float(self.is_unforgettable.mean())

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row that was learned.

        Returns
        -------
        frame : DataFrame of shape (n_rows, 4)
            `n_forgotten`, `n_learned` (by how many nets), `first_learned_epoch` and
            `is_unforgettable`.
        """
        return pd.DataFrame(
            {
                "n_forgotten": self.n_forgotten,
                "n_learned": self.learned.sum(axis=0),
                "first_learned_epoch": self.first_learned_epoch,
                "is_unforgettable": self.is_unforgettable,
            },
            index=self.index,
        )

    def plot(self, ax: Any = None) -> ForgettingDisplay:
        """Draw how many rows were forgotten how often; see `ForgettingDisplay`."""
        return ForgettingDisplay(self).plot(ax)


@validate_params(TRAINING_PARAMETERS, prefer_skip_nested_validation=True)
def forgetting(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_repeats: int = 5,
    max_epochs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> ForgettingEvents:
    """Count how often nets forget each row that they had learned.

    Rows that are learned once and for all are told from those that are forgotten and
    learned again, as Toneva et al. [1]_ do. The former can be left out of training with
    little loss; the latter are rare, ambiguous, or have wrong labels.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What is trained, on all rows as it says, but for early stopping; it stays as it
        is.
    X, y : inputs and labels, of n_rows rows
        What is learned.
    n_repeats : int, default=5
        Nets, of other seeds, whose events are added up.
    max_epochs : int, default=None
        Epochs; by default those of the estimator, all of them.
    random_state, strategy, n_jobs
        See `data_map`.

    Returns
    -------
    events : ForgettingEvents
        Its `to_frame` has a row for each row (or token), `unforgettable_share` is a
        number, and `plot` draws. `ForgettingEvents.from_trace` counts those of a
        classifier that has learned with a `training.Trace`.

    Raises
    ------
    ValueError
        If a parameter is none of its values, or the rows cannot be learned from.
    TypeError
        If `estimator` has no net that learns classes.

    See Also
    --------
    data_map : Which rows are easy, ambiguous or hard.
    ForgettingDisplay : The picture.

    Notes
    -----
    A row is forgotten at an epoch if it is wrong then and was right in the epoch
    before. One that a net never got right counts as forgotten in each epoch. A row is
    *unforgettable* if all nets learned it and none forgot it. The more epochs and
    repeats there are, the fewer rows are.

    References
    ----------
    .. [1] Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural
       Network Learning", 2019, https://arxiv.org/abs/1812.05159

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import forgetting
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(random_state=0)
    >>> events = forgetting(model, X, y, n_repeats=2, max_epochs=10, random_state=0)
    >>> events.to_frame().columns.tolist()
    ['n_forgotten', 'n_learned', 'first_learned_epoch', 'is_unforgettable']
    >>> events.unforgettable_share > 0.3
    True
    """
    subject = read_subject(
        estimator, X, y, random_state=random_state, strategy=strategy, n_jobs=n_jobs
    )
    frames = train_traced(
        subject, [None] * n_repeats, max_epochs=n_epochs_of(subject, max_epochs)
    )
    return ForgettingEvents._of(frames, subject.index)
