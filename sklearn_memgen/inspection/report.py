"""A report of what a model has learned and what it knows by heart, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from tqdm import tqdm  # skorch's own progress bar depends on it

from sklearn_memgen._inputs import hold_out
from sklearn_memgen._labels import check_labels
from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.inspection._findings import Finding, find, rows_to_look_at
from sklearn_memgen.inspection._page import make_page
from sklearn_memgen.inspection._subject import net_classifier, take_rows
from sklearn_memgen.inspection.data_maps import DataMap, data_map
from sklearn_memgen.inspection.memorization import score_subsets
from sklearn_memgen.inspection.memorized_rows import MemorizationScores
from sklearn_memgen.inspection.randomization import (
    RandomizationTest,
    randomization_test,
)
from sklearn_memgen.inspection.report_display import MemorizationReportDisplay
from sklearn_memgen.token_classifier import TokenClassifier

__all__ = ["MemorizationReport", "memorization_report"]

#: Share of the labels that are made random to see whether that would hurt.
_NOISE = 0.2


@dataclass(frozen=True, kw_only=True)
class MemorizationReport:
    """What a model has learned from a table, and what it knows by heart.

    Parameters
    ----------
    estimator : estimator
        What was inspected, not fitted.
    n_rows, n_given : int
        Rows that were looked at, and rows that there were.
    n_columns : int
        Columns of the table.
    performance : Series
        `train_accuracy`, `test_accuracy`, `train_loss`, `test_loss` (in nats), and
        `majority`, the test accuracy of always saying the most frequent class.
    memorization : MemorizationScores
        By nets on subsets of the rows.
    randomization : RandomizationTest
        With true, partly random and random labels.
    data_map : DataMap
        How each row was learned.
    values : DataFrame of shape (n_rows, n_columns)
        The rows, to look at.

    See Also
    --------
    memorization_report : Makes it.
    """

    estimator: Any
    n_rows: int
    n_given: int
    n_columns: int
    performance: pd.Series
    memorization: MemorizationScores
    randomization: RandomizationTest
    data_map: DataMap
    values: pd.DataFrame

    @property
    def findings(self) -> list[Finding]:
        """What was found, in plain words: `question`, `answer` and `verdict` each."""
        return find(
            self.performance, self.memorization, self.randomization, self.data_map
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row that was looked at.

        Returns
        -------
        frame : DataFrame of shape (n_rows, 14)
            The columns of `MemorizationScores.to_frame` and of `DataMap.to_frame`.
        """
        scores, traced = self.memorization.to_frame(), self.data_map.to_frame()
        return scores.assign(**{name: traced[name].array for name in traced})

    def rows_to_look_at(self, n_rows: int = 25) -> pd.DataFrame:
        """Return the rows whose labels should be looked at, with their values.

        First those that other rows speak against: nets that have not learned the row
        give its label a probability below 0.1. Then those that the model knows by heart
        only.

        Parameters
        ----------
        n_rows : int, default=25
            Most rows.

        Returns
        -------
        rows : DataFrame
            `label`, `others_say` (what nets predict that have not learned the row),
            `memorization`, `std_error`, `why`, and the columns of the table.
        """
        return rows_to_look_at(self.to_frame(), self.values, n_rows)

    def to_html(self) -> str:
        """Return one page that needs nothing else: no network, no other file.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return make_page(self)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page to a file.

        Parameters
        ----------
        path : path
            Such as ``report.html``.

        Returns
        -------
        path : Path
            The file.
        """
        path = Path(path)
        path.write_text(self.to_html(), encoding="utf-8")
        return path

    def plot(self, axes: Any = None) -> MemorizationReportDisplay:
        """Draw the three pictures of the report beside each other.

        Parameters
        ----------
        axes : array of three matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : MemorizationReportDisplay
            The pictures.
        """
        return MemorizationReportDisplay(self).plot(axes)

    def _repr_html_(self) -> str:
        """Show the page in a notebook."""
        page = escape(self.to_html(), quote=True)
        style = "width: 100%; height: 640px; border: 1px solid #d5dbe1"
        return f'<iframe srcdoc="{page}" style="{style}"></iframe>'

    def __repr__(self) -> str:
        lines = [f"MemorizationReport of {self.n_rows:,} rows"]
        lines += [f"- {finding.answer}" for finding in self.findings]
        return "\n".join(lines)


@validate_params(
    {
        "n_models": [Interval(Integral, 4, None, closed="left")],
        "max_rows": [Interval(Integral, 20, None, closed="left"), None],
        "test_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def memorization_report(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_models: int = 40,
    max_rows: int | None = 5_000,
    test_fraction: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> MemorizationReport:
    """Say in plain words what a model learns from a table and what it knows by heart.

    Is it good? Is it large enough to learn the table by heart? Does it, and which
    rows? Would wrong labels hurt? Which labels may be wrong?

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        The model. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
        The inputs.
    y : array-like of shape (n_rows,)
        Class labels.
    n_models : int, default=40
        Nets on subsets of the rows; see `memorization_scores`. They take most of the
        time: about 0.7 of a fit each.
    max_rows : int or None, default=5000
        Of more rows so many are drawn, of every class; the report says so.
    test_fraction : float, default=0.2
        Share of the rows that are held out to test, of every class.
    random_state : int, RandomState instance or None, default=None
        Draws rows, subsets and seeds.
    n_jobs : int, default=None
        Processes; see `training.Population`.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    report : MemorizationReport
        ``report.save("report.html")`` writes the page.

    Raises
    ------
    TypeError
        If `estimator` has no net, or learns tokens.
    ValueError
        If a parameter is out of its range, or the rows cannot be learned from, or are
        too few.

    See Also
    --------
    memorization_scores, randomization_test, data_map : What it is made of.

    Notes
    -----
    The same from the command line, for a table in a file::

        python -m sklearn_memgen report data.csv --target y -o report.html

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import memorization_report
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(hidden_layer_sizes=(16,), n_members=1, max_epochs=10)
    >>> report = memorization_report(model, X, y, n_models=4, random_state=0)
    >>> [finding.question for finding in report.findings][:2]
    ['Is the model good?', 'Does it know rows only by heart?']
    >>> report.to_html()[:15]
    '<!DOCTYPE html>'
    """
    reader = net_classifier(estimator)
    if isinstance(reader, TokenClassifier):
        raise TypeError(
            "memorization_report takes rows with one label each, but a TokenClassifier "
            "has several; use memorization_scores and data_map"
        )
    rng = check_random_state(random_state)
    seeds = rng.randint(2**31, size=4)
    labels = check_labels(y)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must have labels of at least 2 classes; got only {classes.tolist()!r}"
        )
    n_given = len(labels)
    rows = np.arange(n_given)
    if max_rows is not None and n_given > max_rows:
        rows, _ = hold_out(codes, 1 - max_rows / n_given, rng)
    X, labels, codes = take_rows(X, rows), labels[rows], codes[rows]
    values = reader._as_frame(X)
    with tqdm(total=n_models + 5, desc="fit", disable=not verbose) as bar:
        performance = _score(estimator, X, labels, codes, test_fraction, seeds[0])
        bar.update(1)
        bar.set_description("random labels")
        randomization = randomization_test(
            estimator,
            X,
            labels,
            corruptions=("labels", "partial_labels"),
            partial=_NOISE,
            test_fraction=test_fraction,
            random_state=int(seeds[1]),
            n_jobs=n_jobs,
        )
        bar.update(3)
        bar.set_description("data map")
        mapped = data_map(
            estimator, X, labels, random_state=int(seeds[2]), n_jobs=n_jobs
        )
        bar.update(1)
        bar.set_description("nets on subsets")
        scores = score_subsets(
            estimator,
            X,
            labels,
            n_models=n_models,
            outcome="probability",
            random_state=int(seeds[3]),
            n_jobs=n_jobs,
            advance=bar.update,
        )
    return MemorizationReport(
        estimator=clone(estimator),
        n_rows=len(labels),
        n_given=n_given,
        n_columns=values.shape[1],
        performance=performance,
        memorization=scores,
        randomization=randomization,
        data_map=mapped,
        values=values,
    )


def _score(
    estimator: Any,
    X: Any,
    labels: np.ndarray,
    codes: np.ndarray,
    test_fraction: float,
    seed: int,
) -> pd.Series:
    """Fit the estimator as its user would, and score it on rows held out."""
    kept, others = hold_out(codes, test_fraction, np.random.RandomState(seed))
    if not len(others):
        raise ValueError(
            f"test_fraction={test_fraction} of {len(codes)} rows leaves no row to test"
        )
    model = clone(estimator)
    if "random_state" in model.get_params() and model.random_state is None:
        model.set_params(random_state=int(seed))
    model.fit(take_rows(X, kept), labels[kept])
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    if getattr(getattr(last, "net_", None), "interrupted_", False):
        raise KeyboardInterrupt  # which a fit takes for the end of training
    scores = {}
    for name, rows in (("train", kept), ("test", others)):
        part = take_rows(X, rows)
        proba = model.predict_proba(part)
        scores[f"{name}_accuracy"] = accuracy_score(labels[rows], model.predict(part))
        scores[f"{name}_loss"] = log_loss(labels[rows], proba, labels=model.classes_)
    frequent = np.bincount(codes[kept]).argmax()
    scores["majority"] = float((codes[others] == frequent).mean())
    return pd.Series(scores)
