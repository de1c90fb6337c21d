"""Nets whose training is watched, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from skorch.callbacks import Callback

from sklearn_memgen.inspection._subject import Subject
from sklearn_memgen.training import Trace, auto_batch_size, auto_max_epochs

__all__ = [
    "learned_rows",
    "n_epochs_of",
    "read_traces",
    "train_traced",
]


class EndAfter(Callback):
    """End training after some epochs, as its schedule has them.

    Parameters
    ----------
    n_epochs : int
        How many.
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End it."""
        if len(net.history) >= self.n_epochs:
            raise KeyboardInterrupt  # by which skorch's callbacks end training


def n_epochs_of(subject: Subject, max_epochs: int | None) -> int:
    """Return the epochs that nets are trained for: all that the estimator says."""
    if max_epochs is not None:
        return max_epochs
    estimator, n_rows = subject.estimator, len(subject.training)
    return auto_max_epochs(
        estimator.max_epochs,
        n_rows,
        auto_batch_size(estimator.batch_size, n_rows),
        most=estimator._most_epochs,
    )


def train_traced(
    subject: Subject,
    codes: Sequence[np.ndarray | None],
    *,
    max_epochs: int,
    burn_out: int | None = None,
) -> list[pd.DataFrame]:
    """Train nets on all rows to the end, and return what each row did.

    Parameters
    ----------
    subject : Subject
        What the nets are.
    codes : sequence of (ndarray of shape (n_labels,) or None)
        For each net the class indices that it learns; None for those given.
    max_epochs : int
        Epochs, by which the learning rate changes as the estimator says.
    burn_out : int, default=None
        Epochs after which they end nevertheless.

    Returns
    -------
    frames : list of DataFrame
        See `Trace.to_frame`; each row of the given `X` has one.
    """
    last = max_epochs if burn_out is None else burn_out
    members = [
        subject.member(
            codes=labels, max_epochs=max_epochs, callbacks=[Trace(), EndAfter(last)]
        )
        for labels in codes
    ]
    frames = []
    for trained in subject.train(members):
        assert trained.trace is not None
        frames.append(trained.trace.to_frame())
    return frames


def read_traces(traces: Any, index: Any = None) -> tuple[list[pd.DataFrame], pd.Index]:
    """Return what rows did in one trace or several, and their index.

    Raises
    ------
    TypeError
        If there is anything else than traces.
    ValueError
        If there is none, or traces have different numbers of rows.
    """
    traces = [traces] if isinstance(traces, Trace) else list(traces)
    if strange := [trace for trace in traces if not isinstance(trace, Trace)]:
        raise TypeError(
            "trace must be a Trace, such as the trace_ of a fitted classifier, or a "
            f"list of them; got {strange[0]!r}"
        )
    if not traces:
        raise ValueError("trace is an empty list; one Trace at least is needed")
    frames = [trace.to_frame(index) for trace in traces]
    if len(lengths := {len(frame) for frame in frames}) > 1:
        raise ValueError(f"traces are of different numbers of rows: {sorted(lengths)}")
    return frames, frames[0].index


def learned_rows(
    frames: Sequence[pd.DataFrame], index: pd.Index
) -> tuple[list[pd.DataFrame], np.ndarray, pd.Index]:
    """Leave out the rows that were not learned.

    Parameters
    ----------
    frames : sequence of DataFrame
        What rows did.
    index : Index of all rows, or of those that were learned
        Their index.

    Returns
    -------
    frames : list of DataFrame
        Those of rows that were learned.
    rows : ndarray of int
        Their numbers.
    index : Index
        Their index.

    Raises
    ------
    ValueError
        If no row was learned.
    """
    seen = np.any([frame["n_seen"].to_numpy() > 0 for frame in frames], axis=0)
    if not seen.any():
        raise ValueError("no row was learned: the trace has seen no epoch")
    if len(index) == len(seen):
        index = index[seen]
    return [frame[seen] for frame in frames], np.flatnonzero(seen), index
