"""PopulationSearchCV: a grid search whose nets are trained together."""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from itertools import product
from numbers import Integral
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed

from sklearn_memgen._joint_fits import (
    ALL_ROWS,
    Evaluation,
    Task,
    fit_and_score,
    sharing_key,
)
from sklearn_memgen._sklearn import (
    BaseSearchCV,
    Interval,
    StrOptions,
    _check_method_params,
    _fit_context,
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)

__all__ = ["PopulationSearchCV"]

#: What a fit has come to; see `fit_and_score`.
_Outcome = dict[str, Any]

#: Finished fits of a part, by candidate and split, and whether Ctrl-C ended it.
_Finished = tuple[list[tuple[tuple[int, int], _Outcome]], bool]

#: What joblib raises when workers died: that of dask, where data went with them, and
#: that of its own processes.
_WORKER_LOST = (CancelledError, BrokenExecutor)

#: How often in a row, with no fit finished in between, workers may be lost.
_MAX_LOSSES = 3


class PopulationSearchCV(BaseSearchCV):
    """A search over parameters by cross-validation, whose nets are trained together.

    It takes and gives what `GridSearchCV` does. But where that fits every candidate on
    every split by itself, candidates here share the encoded table of a split, and steps
    of a pipeline that come before, and their nets are one `Population`. What each
    candidate learns is what it learns alone.

    Parameters
    ----------
    estimator : estimator
        A `WideDeepClassifier`, `NetClassifier` or another of this package, or a
        `Pipeline` that ends in one. Others are accepted, among the candidates too, and
        are fitted one by one.
    param_grid : dict or list of dict
        Values to try by name of the parameter, all combinations of them; of a list of
        such grids those of each. With `n_iter` distributions may stand for lists: what
        has a method ``rvs``, such as those of `scipy.stats`.
    n_iter : int, default=None
        How many settings to sample, as `RandomizedSearchCV` does. None tries all.
    scoring, refit, cv, error_score, return_train_score
        See `sklearn.model_selection.GridSearchCV`.
    n_jobs : int, default=None
        Processes among which the fits are divided, as joblib has it.
    verbose : int, default=0
        1 prints how many fits there are, 2 a line for each.
    pre_dispatch : int or str, default="2*n_jobs"
        How many of the parts that fits are divided into are sent ahead.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        How the nets of a part are trained; see `training.Population`.
    random_state : int, RandomState instance or None, default=None
        Samples the settings, and draws a seed for each split if the estimator's own
        `random_state` is None. All candidates of a split start from that seed, so that
        they differ in their parameters alone.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        The keys of `GridSearchCV`. `fit_time` of nets trained together is their share
        of the seconds, by epochs; the first fit that needs a table pays for it.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, \
            refit_time_, multimetric_, classes_, n_features_in_, feature_names_in_
        See `sklearn.model_selection.GridSearchCV`.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C. `cv_results_` then has the scores of all fits that were finished, NaN
        for the others; `best_index_`, `best_params_` and `best_score_` are of the
        candidates finished on all splits, if there are any. Nothing is refitted.

    See Also
    --------
    training.Population : How nets are trained together, and when that pays.

    Notes
    -----
    What fits share decides how they are divided among processes. Nets without an
    encoder share one table over all splits; those with an encoder the table of a split;
    those in a pipeline the output of equal steps on a split. The first are divided
    evenly. Of the others each part has fits that share, the first parts many and the
    last few [1]_, so that all processes end at about the same time; a table is encoded
    once for each part, and each setting of encoder parameters.

    References
    ----------
    .. [1] Polychronopoulos and Kuck, "Guided Self-Scheduling", 1987,
       https://doi.org/10.1109/TC.1987.5009495

    Examples
    --------
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.datasets import make_memgen_classification
    >>> from sklearn_memgen.model_selection import PopulationSearchCV
    >>> X, y = make_memgen_classification(n_samples=600, random_state=0)
    >>> model = WideDeepClassifier(max_epochs=5, random_state=0)
    >>> grid = {"learning_rate": [1e-5, 3e-3], "wide": [True, False]}
    >>> search = PopulationSearchCV(model, grid, cv=3).fit(X, y)
    >>> search.best_params_["learning_rate"]
    0.003
    >>> search.cv_results_["split2_test_score"].shape
    (4,)
    """

    _parameter_constraints: dict = {
        **BaseSearchCV._parameter_constraints,
        "param_grid": [dict, list],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "strategy": [StrOptions({"auto", "stacked", "sequential"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_iter: int | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[[dict], int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = np.nan,
        return_train_score: bool = False,
        strategy: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.n_iter = n_iter
        self.strategy = strategy
        self.random_state = random_state

    # Candidates and their fits

    def _run_search(self, evaluate_candidates: Callable[[Iterable[dict]], Any]) -> None:
        """Evaluate all candidates, or a sample of them."""
        if self.n_iter is None:
            self._check_lists()
            evaluate_candidates(ParameterGrid(self.param_grid))
        else:
            evaluate_candidates(
                ParameterSampler(self.param_grid, self.n_iter, random_state=self._rng)
            )

    def _check_lists(self) -> None:
        grids = self.param_grid
        for grid in [grids] if isinstance(grids, Mapping) else grids:
            for name, values in grid.items():
                if hasattr(values, "rvs"):
                    raise ValueError(
                        f"param_grid has a distribution for {name!r}; set n_iter to "
                        "the number of settings that are to be sampled"
                    )

    def _make_tasks(self, candidates: Sequence[dict], n_splits: int) -> list[Task]:
        seeds = self._rng.randint(2**31, size=n_splits).tolist()
        base = clone(self.estimator)
        estimators = [
            clone(base).set_params(**clone(params, safe=False)) for params in candidates
        ]
        words = [
            ", ".join(f"{name}={value}" for name, value in sorted(params.items()))
            if self.verbose > 1
            else ""
            for params in candidates
        ]
        return [
            Task(k, i, estimator, seed, words[k])
            for (k, estimator), (i, seed) in product(
                enumerate(estimators), enumerate(seeds)
            )
        ]

    def _divide(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Divide fits into parts that share tables, ever smaller ones."""
        groups: dict[Hashable, list[Task]] = {}
        for task in tasks:
            groups.setdefault(sharing_key(task), []).append(task)
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        left = len(tasks)
        for key, group in groups.items():
            even = math.ceil(len(group) / n_jobs)
            while group:
                # Nets on one table may be stacked, for which they have to be many.
                size = even if key == ALL_ROWS else math.ceil(left / (2 * n_jobs))
                if n_jobs == 1:
                    size = len(group)
                part, group = group[:size], group[size:]
                left -= len(part)
                yield part

    # Fitting

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: ArrayLike | None = None, **params: Any
    ) -> PopulationSearchCV:
        """Fit and score all candidates on all splits, then the best on all rows.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The inputs.
        y : array-like of shape (n_rows,), default=None
            The target.
        **params : dict of str -> object
            Metadata for the estimator's `fit`, the scorer and the splitter, such as
            `sample_weight` and `groups`. What has a value a row is split as `X` is.

        Returns
        -------
        self : PopulationSearchCV
            The fitted search.
        """
        if getattr(self, "_skl_callbacks", None):
            raise ValueError(
                "callbacks of scikit-learn are called for each fit by itself, and here "
                "fits are not made by themselves; use GridSearchCV"
            )
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)  # of an earlier fit, which Ctrl-C would leave
        self._rng = check_random_state(self.random_state)
        scorer, _ = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = len(splits)
        self.scorer_ = getattr(scorer, "_scorers", scorer)
        evaluation = Evaluation(
            splits,
            scorer,
            routed.estimator.fit,
            routed.scorer.score,
            self.error_score,
            self.return_train_score,
            self.verbose,
        )

        def evaluate(candidates: Iterable[dict]) -> None:
            self._evaluate(list(candidates), X, y, evaluation)

        self._run_search(evaluate)
        if self.refit:
            self._fit_best(X, y, routed.estimator.fit)
        return self

    def _evaluate(
        self,
        candidates: list[dict],
        X: Any,
        y: Any,
        evaluation: Evaluation,
    ) -> None:
        """Fit and score candidates on all splits, and keep what comes of it."""
        tasks = self._make_tasks(candidates, self.n_splits_)
        if not tasks:
            raise ValueError(
                f"there is nothing to fit: {len(candidates)} candidates and "
                f"{self.n_splits_} splits"
            )
        if self.verbose > 0:
            print(
                f"Fitting {self.n_splits_} folds for each of {len(candidates)} "
                f"candidates, totalling {len(tasks)} fits"
            )
        outcomes: dict[tuple[int, int], _Outcome] = {}
        try:
            for finished, interrupted in self._fit_parts(tasks, X, y, evaluation):
                outcomes |= dict(finished)
                if interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if outcomes:
                self._keep_interrupted(candidates, outcomes)
            raise
        in_order = [outcomes[task.key] for task in tasks]
        _warn_or_raise_about_fit_failures(in_order, self.error_score)
        self._keep(candidates, in_order)
        self._choose_best()

    def _fit_parts(
        self, tasks: Sequence[Task], X: Any, y: Any, evaluation: Evaluation
    ) -> Iterator[_Finished]:
        """Fit part after part; what was lost with a worker is fitted anew."""
        left = {task.key: task for task in tasks}
        n_losses = 0
        while left:
            parts = self._divide(list(left.values()))
            try:
                for finished, interrupted in self._run_parts(parts, X, y, evaluation):
                    n_losses = 0
                    for key, _ in finished:
                        del left[key]
                    yield finished, interrupted
            except _WORKER_LOST as error:
                n_losses += 1
                if n_losses > _MAX_LOSSES:
                    raise
                warnings.warn(
                    f"a worker was lost, and with it what others needed: {error!r}; "
                    f"{len(left)} of {len(tasks)} fits are left and are sent again",
                    UserWarning,
                    stacklevel=2,
                )

    def _run_parts(
        self, parts: Iterable[list[Task]], X: Any, y: Any, evaluation: Evaluation
    ) -> Iterator[_Finished]:
        """Fit parts by joblib, and yield them in whatever order they are finished."""
        jobs = (
            delayed(fit_and_score)(part, X, y, evaluation, self.strategy)
            for part in parts
        )
        settings = {"n_jobs": self.n_jobs, "pre_dispatch": self.pre_dispatch}
        try:
            parallel = Parallel(return_as="generator_unordered", **settings)
        except ValueError:  # a backend that gives all results at once
            parallel = Parallel(**settings)
        yield from parallel(jobs)

    def _keep(self, candidates: list[dict], outcomes: list[_Outcome]) -> None:
        """Set the results from outcomes, one for each fit."""
        if callable(self.scoring):  # only now it is known what it returns
            _insert_error_scores(outcomes, self.error_score)
        scores = outcomes[0]["test_scores"]
        self.multimetric_ = isinstance(scores, dict)
        if self.multimetric_:
            self._check_refit_for_multimetric(scores)
        self.cv_results_ = self._format_results(candidates, self.n_splits_, outcomes)

    def _choose_best(self) -> None:
        """Set what is best in the results, if that is defined."""
        if self.multimetric_ and not self.refit:
            return
        results, metric = self.cv_results_, self.refit if self.multimetric_ else "score"
        self.best_index_ = self._select_best_index(self.refit, metric, results)
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]

    def _keep_interrupted(
        self, candidates: list[dict], outcomes: dict[tuple[int, int], _Outcome]
    ) -> None:
        """Keep what was finished before Ctrl-C, and say how much that is."""
        some = next(iter(outcomes.values()))
        scores = some["test_scores"]
        nothing = dict.fromkeys(scores, np.nan) if isinstance(scores, dict) else np.nan
        missing: _Outcome = dict.fromkeys(some, np.nan)
        missing |= {name: nothing for name in some if name.endswith("_scores")}
        missing["fit_error"] = None
        fits = list(product(range(len(candidates)), range(self.n_splits_)))
        n_by_candidate = Counter(candidate for candidate, _ in outcomes)
        n_complete = list(n_by_candidate.values()).count(self.n_splits_)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*scores are non-finite")
            self._keep(candidates, [outcomes.get(fit, missing) for fit in fits])
        if n_complete and not callable(self.refit):
            self._choose_best()
        warnings.warn(
            f"the search was interrupted: {len(outcomes)} of {len(fits)} fits are "
            f"finished, {n_complete} of {len(candidates)} candidates on all splits; "
            "cv_results_ has their scores",
            UserWarning,
            stacklevel=2,
        )

    def _fit_best(self, X: Any, y: Any, params: Mapping[str, Any]) -> None:
        """Fit the best candidate on all rows."""
        best = clone(self.best_params_, safe=False)
        self.best_estimator_ = clone(self.estimator).set_params(**best)
        started = time.perf_counter()
        self.best_estimator_.fit(X, *([] if y is None else [y]), **params)
        self.refit_time_ = time.perf_counter() - started
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
