"""Data maps: which rows are easy, ambiguous or hard to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_memgen._label_quality import mean_trace
from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.inspection._subject import TRAINING_PARAMETERS, read_subject
from sklearn_memgen.inspection._traced import (
    learned_rows,
    n_epochs_of,
    read_traces,
    train_traced,
)
from sklearn_memgen.inspection.dynamics_display import DataMapDisplay

__all__ = ["DataMap", "data_map"]

#: What rows can be selected by, and whether those of the largest values come first.
_ORDERS = {
    "variability": True,
    "closeness": True,
    "n_forgotten": True,
    "confidence": False,
    "correctness": False,
}


@dataclass(frozen=True, kw_only=True)
class DataMap:
    """Where each row is on the map of confidence and variability.

    Parameters
    ----------
    confidence : ndarray of shape (n_rows,)
        Mean probability of the label over the epochs.
    variability : ndarray of shape (n_rows,)
        Its standard deviation over the epochs, that of the population.
    correctness : ndarray of shape (n_rows,)
        Share of the epochs in which the label was predicted.
    n_forgotten : ndarray of shape (n_rows,)
        How often the row was forgotten. All are means over the repeats.
    rows : ndarray of shape (n_rows,), int
        The number of each in the given `X`; rows that were not learned are left out.
    index : Index of shape (n_rows,)
        Their index.
    ambiguous_share : float
        Share of the rows, of those that vary most, that are called ambiguous.
    is_issue : ndarray of shape (n_rows,), bool, or None
        Whether the label is suspect, if that was asked.

    See Also
    --------
    data_map : Trains nets and draws the map of their rows.
    """

    confidence: np.ndarray
    variability: np.ndarray
    correctness: np.ndarray
    n_forgotten: np.ndarray
    rows: np.ndarray
    index: pd.Index
    ambiguous_share: float = 1 / 3
    is_issue: np.ndarray | None = None

    @classmethod
    def from_trace(
        cls, trace: Any, index: Any = None, *, ambiguous_share: float = 1 / 3
    ) -> DataMap:
        """Read the map off what a classifier has learned already.

        Parameters
        ----------
        trace : Trace or list of Trace
            Such as the `trace_` of a fitted classifier; several of the same rows are
            averaged.
        index : Index or array-like of shape (n_samples,), default=None
            The index of the rows, such as ``X.index``. By default they are numbered.
        ambiguous_share : float, default=1/3
            See `data_map`.
        """
        return cls._of(*read_traces(trace, index), ambiguous_share)

    @classmethod
    def _of(
        cls, frames: Sequence[pd.DataFrame], index: pd.Index, ambiguous_share: float
    ) -> DataMap:
        frames, rows, index = learned_rows(frames, index)
        means = mean_trace(frames)
        names = ("confidence", "variability", "correctness", "n_forgotten")
        return cls(
            **{name: means[name].to_numpy() for name in names},
            rows=rows,
            index=index,
            ambiguous_share=ambiguous_share,
        )

    @property
    def closeness(self) -> np.ndarray:
        """Confidence times its complement: largest at 0.5, shape (n_rows,)."""
        return self.confidence * (1 - self.confidence)

    @property
    def region(self) -> np.ndarray:
        """What each row is: "easy", "ambiguous" or "hard", shape (n_rows,).

        Ambiguous are the rows that vary most; of the others those of a confidence of
        0.5 or more are easy, and the rest are hard.
        """
        region = np.where(self.confidence >= 0.5, "easy", "hard").astype("<U9")
        region[self._order("variability")[: self._count(self.ambiguous_share)]] = (
            "ambiguous"
        )
        return region

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row that was learned.

        Returns
        -------
        frame : DataFrame of shape (n_rows, 6)
            `confidence`, `variability`, `correctness`, `n_forgotten`, `closeness` and
            `region`.
        """
        names = ("confidence", "variability", "correctness", "n_forgotten", "closeness")
        columns = {name: getattr(self, name) for name in names}
        return pd.DataFrame(columns | {"region": self.region}, index=self.index)

    def select(self, share: float, *, by: str = "variability") -> np.ndarray:
        """Choose a share of the rows, as for a smaller training table.

        Parameters
        ----------
        share : float
            Share of the rows, above 0 and at most 1.
        by : {"variability", "closeness", "n_forgotten", "confidence", "correctness"}, \
                default="variability"
            Taken are the rows with the largest values, of the last two with the
            smallest: the ambiguous ones, or the hard ones.

        Returns
        -------
        rows : ndarray of int
            Their numbers in the given `X`, the first choice first:
            ``X.iloc[rows]``.

        Raises
        ------
        ValueError
            If `share` or `by` is none of these.
        """
        if by not in _ORDERS:
            raise ValueError(f"by must be one of {list(_ORDERS)}; got {by!r}")
        if not (isinstance(share, Real) and 0 < share <= 1):
            raise ValueError(f"share must be above 0 and at most 1; got {share!r}")
        return self.rows[self._order(by)[: self._count(float(share))]]

    def plot(self, ax: Any = None) -> DataMapDisplay:
        """Draw the map; see `DataMapDisplay`."""
        return DataMapDisplay(self).plot(ax)

    def _order(self, by: str) -> np.ndarray:
        values = getattr(self, by)
        return np.argsort(-values if _ORDERS[by] else values, kind="stable")

    def _count(self, share: float) -> int:
        return max(round(share * len(self.rows)), 1)


@validate_params(
    {
        **TRAINING_PARAMETERS,
        "burn_out": [Interval(Integral, 1, None, closed="left"), None],
        "ambiguous_share": [Interval(Real, 0, 1, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def data_map(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_repeats: int = 1,
    max_epochs: int | None = None,
    burn_out: int | None = None,
    ambiguous_share: float = 1 / 3,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> DataMap:
    r"""Find out which rows are easy, ambiguous or hard to learn.

    Nets are trained on all rows as the estimator says, but for early stopping, which
    would hold rows out. A map by Swayamdipta et al. [1]_ has each row at the mean and
    the standard deviation of the probability that its label had from epoch to epoch.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What is trained; it stays as it is.
    X, y : inputs and labels, of n_rows rows
        What is learned.
    n_repeats : int, default=1
        Nets, of other seeds, whose maps are averaged.
    max_epochs : int, default=None
        Epochs; by default those of the estimator, all of them.
    burn_out : int, default=None
        Read the first so many epochs only, in which a large net has not yet learned
        all by heart. Training ends with them, its schedule is that of all.
    ambiguous_share : float, default=1/3
        Share of the rows that are called ambiguous.
    random_state : int, RandomState instance or None, default=None
        Draws seeds.
    strategy : {"auto", "stacked", "sequential", "joblib"}, default="auto"
        How several nets are trained; see `training.Population`.
    n_jobs : int, default=None
        Processes.

    Returns
    -------
    map : DataMap
        Its `to_frame` has a row for each row (or token), `select` chooses rows, and
        `plot` draws. `DataMap.from_trace` reads that of a classifier that has learned
        with a `training.Trace`.

    Raises
    ------
    ValueError
        If a parameter is none of its values, `burn_out` is beyond the last epoch, or
        the rows cannot be learned from.
    TypeError
        If `estimator` has no net that learns classes.

    See Also
    --------
    forgetting : How often rows are forgotten.
    aum : Which labels are wrong.
    DataMapDisplay : The picture.

    Notes
    -----
    With :math:`p_e` the probability of the label in epoch e of E,

    .. math:: \mu = \frac 1 E \sum_e p_e, \quad
        \sigma = \sqrt{\frac 1 E \sum_e (p_e - \mu)^2}

    are confidence and variability. They are those of the forward pass of training; the
    paper's own code does the same. The regions are a third by default, as the paper
    takes the third that varies most to train on.

    References
    ----------
    .. [1] Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets
       with Training Dynamics", 2020, https://arxiv.org/abs/2009.10795

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import data_map
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(random_state=0)
    >>> frame = data_map(model, X, y, max_epochs=10, random_state=0).to_frame()
    >>> int((frame["region"] == "ambiguous").sum())
    50
    >>> int(frame["confidence"].groupby(y).mean().idxmax())  # setosa is easiest
    0
    """
    subject = read_subject(
        estimator, X, y, random_state=random_state, strategy=strategy, n_jobs=n_jobs
    )
    n_epochs = n_epochs_of(subject, max_epochs)
    if burn_out is not None and burn_out > n_epochs:
        raise ValueError(
            f"burn_out={burn_out} is beyond the last epoch: nets are trained for "
            f"{n_epochs}"
        )
    frames = train_traced(
        subject, [None] * n_repeats, max_epochs=n_epochs, burn_out=burn_out
    )
    return DataMap._of(frames, subject.index, ambiguous_share)
