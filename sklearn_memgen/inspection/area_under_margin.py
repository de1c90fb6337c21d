"""Labels that nets learn less readily than labels that cannot be right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_memgen._label_noise import draw_other_classes
from sklearn_memgen._label_quality import mean_trace
from sklearn_memgen._probe_nets import takes_outputs
from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.inspection._subject import (
    TRAINING_PARAMETERS,
    Subject,
    read_subject,
)
from sklearn_memgen.inspection._traced import (
    learned_rows,
    n_epochs_of,
    read_traces,
    train_traced,
)
from sklearn_memgen.inspection.dynamics_display import AumDisplay

__all__ = ["AreaUnderMargin", "aum"]


@dataclass(frozen=True, kw_only=True)
class AreaUnderMargin:
    """How far each label was ahead of all other classes while nets learned.

    Parameters
    ----------
    aum : ndarray of shape (n_rows,)
        The area under the margin: the mean over the epochs of the logit of the label
        less the largest other one.
    threshold : ndarray of shape (n_rows,)
        Below which a label is an issue, the mean over the nets that learned it; NaN if
        there were no threshold samples.
    thresholds : ndarray of shape (n_nets,)
        That of each net.
    threshold_aum : ndarray of shape (n_threshold_samples,)
        The area of the threshold samples of all nets.
    rows : ndarray of shape (n_rows,), int
        The number of each in the given `X`; rows that were not learned are left out.
    index : Index of shape (n_rows,)
        Their index.

    See Also
    --------
    aum : Trains the nets.
    """

    aum: np.ndarray
    threshold: np.ndarray
    thresholds: np.ndarray
    threshold_aum: np.ndarray
    rows: np.ndarray
    index: pd.Index

    @classmethod
    def from_trace(cls, trace: Any, index: Any = None) -> AreaUnderMargin:
        """Read the areas off what a classifier has learned already.

        There are no threshold samples then, and no label is called an issue.

        Parameters
        ----------
        trace : Trace or list of Trace
            Such as the `trace_` of a fitted classifier; several of the same rows are
            averaged.
        index : Index or array-like of shape (n_samples,), default=None
            The index of the rows, such as ``X.index``. By default they are numbered.
        """
        frames, rows, index = learned_rows(*read_traces(trace, index))
        areas = mean_trace(frames)["aum"].to_numpy()
        return cls(
            aum=areas,
            threshold=np.full(len(areas), np.nan),
            thresholds=np.zeros(0),
            threshold_aum=np.zeros(0),
            rows=rows,
            index=index,
        )

    @property
    def has_threshold(self) -> bool:
        """Whether there were threshold samples."""
        return len(self.thresholds) > 0

    @property
    def is_issue(self) -> np.ndarray:
        """Whether the area of each label is below its threshold, shape (n_rows,)."""
        return self.aum < self.threshold

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row that was learned.

        Returns
        -------
        frame : DataFrame of shape (n_rows, 3)
            `aum`, `threshold` and `is_issue`.
        """
        columns = {name: getattr(self, name) for name in ("aum", "threshold")}
        return pd.DataFrame(columns | {"is_issue": self.is_issue}, index=self.index)

    def plot(self, ax: Any = None) -> AumDisplay:
        """Draw how many labels have which area; see `AumDisplay`."""
        return AumDisplay(self).plot(ax)


@validate_params(
    {
        "threshold_fraction": [Interval(Real, 0, 0.5, closed="neither"), None],
        "percentile": [Interval(Real, 0, 100, closed="neither")],
        **TRAINING_PARAMETERS,
    },
    prefer_skip_nested_validation=True,
)
def aum(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    threshold_fraction: float | None = None,
    percentile: float = 99,
    max_epochs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> AreaUnderMargin:
    r"""Find wrong labels by the area under the margin.

    While a net learns, rows like it pull a row with a wrong label toward its true
    class. The label's logit is then late to lead, and the mean of its lead over the
    epochs is low. How low is too low is found out with *threshold samples* [1]_: rows
    whose label is replaced by a further class, which cannot be right.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What is trained, on all rows as it says, but for early stopping; it stays as it
        is.
    X, y : inputs and labels, of n_rows rows
        What is learned.
    threshold_fraction : float, default=None
        Share of the rows that are threshold samples of a net, below 0.5. By default one
        over the number of classes plus one, so that their class is as large as others.
    percentile : float, default=99
        Percentile of the threshold samples' areas below which a label is an issue.
    max_epochs : int, default=None
        Epochs; by default those of the estimator, all of them. The fewer there are, the
        less of the wrong labels is learned by heart; the paper stops where the learning
        rate first drops.
    random_state, strategy, n_jobs
        See `data_map`.

    Returns
    -------
    areas : AreaUnderMargin
        Its `to_frame` has a row for each row (or token), `is_issue` tells the labels to
        look at, and `plot` draws. `AreaUnderMargin.from_trace` reads the areas of a
        classifier that has learned with a `training.Trace`.

    Raises
    ------
    ValueError
        If a parameter is none of its values, there are too few rows for two sets of
        threshold samples, or the rows cannot be learned from.
    TypeError
        If `estimator` has no net that learns classes.

    See Also
    --------
    NoisyFineTuneProbe : Finds wrong labels by the phases of training.
    AumDisplay : The picture.

    Notes
    -----
    With the logits :math:`z^{(e)}` of epoch e of E and the label :math:`y`,

    .. math:: \mathrm{AUM} = \frac 1 E \sum_e
        \left( z_y^{(e)} - \max_{k \ne y} z_k^{(e)} \right)

    Two nets are trained, with different rows as threshold samples. A row has the mean
    of the nets in which its own label was learned, and is compared with the mean of
    their thresholds. Where a user's module cannot be made for one class more, threshold
    samples have another class at random.

    References
    ----------
    .. [1] Pleiss, Zhang, Elenberg and Weinberger, "Identifying Mislabeled Data using
       the Area Under the Margin Ranking", 2020, https://arxiv.org/abs/2001.10528

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import aum
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> y[:5] = 2  # mistakes
    >>> model = WideDeepClassifier(random_state=0)
    >>> frame = aum(model, X, y, max_epochs=20, random_state=0).to_frame()
    >>> sorted(frame["aum"].nsmallest(5).index)
    [0, 1, 2, 3, 4]
    """
    subject = read_subject(
        estimator, X, y, random_state=random_state, strategy=strategy, n_jobs=n_jobs
    )
    chosen = _draw_threshold_samples(subject, threshold_fraction)
    subject, codes = _with_samples(subject, chosen)
    frames = train_traced(subject, codes, max_epochs=n_epochs_of(subject, max_epochs))
    frames, rows, index = learned_rows(frames, subject.index)
    areas = np.array([frame["aum"].to_numpy(dtype=float) for frame in frames])
    is_sample = np.zeros(areas.shape, dtype=bool)
    np.put_along_axis(is_sample, chosen, True, axis=1)
    samples = areas[is_sample].reshape(len(areas), -1)
    thresholds = np.percentile(samples, percentile, axis=1)
    n_own = (~is_sample).sum(axis=0)
    return AreaUnderMargin(
        aum=np.where(is_sample, 0, areas).sum(axis=0) / n_own,
        threshold=np.where(is_sample, 0, thresholds[:, None]).sum(axis=0) / n_own,
        thresholds=thresholds,
        threshold_aum=samples.ravel(),
        rows=rows,
        index=index,
    )


def _draw_threshold_samples(subject: Subject, fraction: float | None) -> np.ndarray:
    """Return the labels that are replaced in each of two nets, shape (2, n_samples)."""
    n_labels = len(subject.codes)
    if fraction is None:
        fraction = 1 / (subject.n_classes + 1)
    n_samples = max(round(fraction * n_labels), 1)
    if 2 * n_samples >= n_labels:
        raise ValueError(
            f"threshold_fraction={fraction:g} of {n_labels} rows are {n_samples} "
            "threshold samples; two sets of them must leave a row"
        )
    return subject.rng.permutation(n_labels)[: 2 * n_samples].reshape(2, -1)


def _with_samples(
    subject: Subject, chosen: np.ndarray
) -> tuple[Subject, list[np.ndarray]]:
    """Return nets of one class more, if they can be made, and what each learns."""
    n_classes = subject.n_classes
    larger = replace(subject, classes=np.arange(n_classes + 1))
    takes_more = takes_outputs(
        larger.member(seed=0).make_net, subject.training, n_classes + 1
    )
    codes = []
    for samples in chosen:
        learned = subject.codes.copy()
        learned[samples] = (
            n_classes
            if takes_more
            else draw_other_classes(learned[samples], n_classes, subject.rng)
        )
        codes.append(learned)
    return larger if takes_more else subject, codes
