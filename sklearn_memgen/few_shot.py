"""How well estimators learn from few rows of each class, and from more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed

from sklearn_memgen._shot_split import ShotSplit, rows_by_class
from sklearn_memgen._sklearn import _safe_split

__all__ = ["ShotSplit", "few_shot_curve"]


def few_shot_curve(
    estimators: Mapping[str, Any] | Iterable[tuple[str, Any]],
    X: Any,
    y: ArrayLike,
    *,
    shots: Sequence[int] = (1, 5, 10, 20, 100),
    n_ways: int | None = None,
    n_episodes: int = 20,
    n_test: int | None = None,
    groups: ArrayLike | None = None,
    scoring: str | Callable[..., float] | None = "accuracy",
    error_score: float | str = np.nan,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Score estimators that learn from few rows of each class, and from more.

    Every estimator learns and is scored on the very same rows, so that their scores can
    be compared pair by pair: `compare_shots` does. Episodes are those of `ShotSplit`;
    those of more shots add rows to those of fewer.

    Parameters
    ----------
    estimators : dict of str to classifier, or list of (str, classifier)
        What to compare, by name. Clones are fitted.
    X : DataFrame, array-like or sparse matrix, of n_rows rows
        What they learn from and predict.
    y : array-like of shape (n_rows,)
        Class labels.
    shots : sequence of int, default=(1, 5, 10, 20, 100)
        Numbers of training rows of each class. Those that the smallest class has not
        rows enough for, with one left to test on, are left out, with a warning.
    n_ways, n_episodes, n_test
        Parameters of `ShotSplit`; `n_episodes` is that of each number of shots.
    groups : array-like of shape (n_rows,), default=None
        Rows of the group of a training row are not tested on in its episode.
    scoring : str, callable or None, default="accuracy"
        A scorer of scikit-learn, by name or as ``scorer(estimator, X, y)``. None is the
        `score` of each estimator.
    error_score : "raise" or float, default=nan
        The score of an estimator that raises in an episode. There is one warning for
        each such estimator. "raise" lets the error through.
    random_state : int, RandomState instance or None, default=None
        Determines the episodes; estimators have their own. Pass an int for the same
        episodes at every call.
    n_jobs : int, default=None
        Number of joblib workers over episodes; see the glossary of scikit-learn.

    Returns
    -------
    curve : DataFrame of shape (n_estimators * n_shots * n_episodes, 5)
        `estimator`, `shots`, `episode` from 0 on, `score` and `fit_seconds`, which is
        missing where the fit raised.

    Raises
    ------
    ValueError
        If a parameter is none of its values, names repeat, no number of shots is left,
        or `ShotSplit` cannot draw.
    TypeError
        If an estimator has no `fit`.

    Warns
    -----
    FitFailedWarning
        If an estimator raised.
    UserWarning
        If numbers of shots are left out.

    See Also
    --------
    compare_shots : Which estimator is better, with intervals.
    FewShotCurveDisplay : The picture.

    References
    ----------
    .. [1] Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016,
       https://arxiv.org/abs/1606.04080

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_memgen import few_shot_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> curve = few_shot_curve(
    ...     {"neighbor": KNeighborsClassifier(1), "bayes": GaussianNB()},
    ...     X, y, shots=(1, 5, 20), random_state=0,
    ... )
    >>> curve.columns.tolist()
    ['estimator', 'shots', 'episode', 'score', 'fit_seconds']
    >>> curve.pivot_table(index="shots", columns="estimator", values="score").round(2)
    estimator  bayes  neighbor
    shots
    1           0.87      0.87
    5           0.92      0.93
    20          0.95      0.96
    """
    named = _check_estimators(estimators)
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise ValueError(
            f"scoring must be the name of a scorer, a callable or None; got {scoring!r}"
        )
    if error_score != "raise" and not isinstance(error_score, Real):
        raise ValueError(
            f"error_score must be 'raise' or a number; got {error_score!r}"
        )
    X, y, groups = indexable(X, y, groups)
    # One seed, so that episodes of more shots add rows to those of fewer.
    seed = random_state
    if not isinstance(seed, Integral):
        seed = check_random_state(random_state).randint(2**31)
    splits = [
        ShotSplit(n_shots, n_ways, n_episodes, n_test=n_test, random_state=seed)
        for n_shots in _check_shots(shots, y)
    ]
    scorers = {
        name: check_scoring(estimator, scoring) for name, estimator in named.items()
    }
    results = Parallel(n_jobs=n_jobs)(
        delayed(_run_episode)(named, scorers, X, y, train, test, error_score)
        for split in splits
        for train, test in split.split(X, y, groups)
    )
    episodes = [(split.n_shots, k) for split in splits for k in range(n_episodes)]
    for name in named:
        _warn_of_failures(name, [result[name][-1] for result in results], error_score)
    return pd.DataFrame(
        [
            (name, n_shots, episode, *result[name][:2])
            for name in named
            for (n_shots, episode), result in zip(episodes, results, strict=True)
        ],
        columns=["estimator", "shots", "episode", "score", "fit_seconds"],
    )


def _check_estimators(estimators: Any) -> dict[str, BaseEstimator]:
    """Return the estimators by name."""
    pairs = list(estimators.items() if isinstance(estimators, Mapping) else estimators)
    if not pairs:
        raise ValueError("estimators must have at least one estimator; got none")
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(
                "estimators must be a dict of names to estimators, or a list of "
                f"(name, estimator); got the element {pair!r}"
            )
        if not hasattr(pair[1], "fit") or isinstance(pair[1], type):
            raise TypeError(
                f"estimators: {pair[0]!r} must be an estimator with fit; got "
                f"{pair[1]!r}"
            )
    names = [name for name, _ in pairs]
    if repeated := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ValueError(f"names of estimators must be unique; {repeated!r} repeat")
    return dict(pairs)


def _check_shots(shots: Any, y: ArrayLike) -> list[int]:
    """Return the numbers of shots that there are rows for, in ascending order."""
    wanted = np.ravel(np.asarray(shots)).tolist()
    for n_shots in wanted:
        if not isinstance(n_shots, int) or isinstance(n_shots, bool) or n_shots < 1:
            raise ValueError(f"shots must be positive integers; got {n_shots!r}")
    classes, rows = rows_by_class(y)
    n_rows, smallest = min(zip(map(len, rows), classes, strict=True))
    kept = sorted({n_shots for n_shots in wanted if n_shots < n_rows})
    left_out = sorted(set(wanted) - set(kept))
    reason = f"class {smallest!r} has {n_rows} rows, one of them to test on"
    if not kept:
        raise ValueError(f"shots={wanted} are all too many: {reason}")
    if left_out:
        warnings.warn(f"shots {left_out} are left out: {reason}", stacklevel=3)
    return kept


def _run_episode(
    estimators: dict[str, BaseEstimator],
    scorers: dict[str, Callable[..., float]],
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray,
    error_score: float | str,
) -> dict[str, tuple[float | str, float, str | None]]:
    """Return score, seconds of the fit and the error of each estimator."""
    results = {}
    for name, estimator in estimators.items():
        model = clone(estimator)
        X_train, y_train = _safe_split(model, X, y, train)
        X_test, y_test = _safe_split(model, X, y, test, train)
        seconds, score, error = np.nan, error_score, None
        try:
            start = perf_counter()
            model.fit(X_train, y_train)
            seconds = perf_counter() - start
            score = float(scorers[name](model, X_test, y_test))
        except Exception as exception:
            if error_score == "raise":
                raise
            error = f"{type(exception).__name__}: {exception}"
        results[name] = score, seconds, error
    return results


def _warn_of_failures(
    name: str, errors: list[str | None], error_score: float | str
) -> None:
    """Warn if an estimator raised; `errors` has None for each episode it did not."""
    raised = [error for error in errors if error is not None]
    if raised:
        warnings.warn(
            f"estimator {name!r} raised in {len(raised)} of {len(errors)} episodes, "
            f"whose score is {error_score}; the first error: {raised[0]}",
            FitFailedWarning,
            stacklevel=3,
        )
