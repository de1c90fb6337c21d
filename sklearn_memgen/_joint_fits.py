"""Fits of several candidates on several splits, whose nets are trained together."""

from __future__ import annotations

import copy
import sys
import time
import traceback
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib.logger import short_format_time
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from sklearn_memgen._encodings import SharedEncodings, content_key
from sklearn_memgen._inputs import as_rows, read_inputs
from sklearn_memgen._net_estimator import Learning, NetEstimator
from sklearn_memgen._sklearn import _check_method_params, _safe_split, _score
from sklearn_memgen.training import Member, Population, TrainedMember, resolve_device

__all__ = ["ALL_ROWS", "Evaluation", "Task", "fit_and_score", "sharing_key"]

#: The sharing key of nets without an encoder.
ALL_ROWS = ("all rows",)


@dataclass(frozen=True)
class Task:
    """A candidate to be fitted on the training rows of a split.

    Parameters
    ----------
    candidate, split : int
        Their numbers.
    estimator : estimator
        The candidate, not fitted.
    seed : int
        The `random_state` of a net that has none. Where it is the same for all
        candidates of a split they differ in nothing but their parameters.
    words : str, default=""
        What the candidate's parameters are, for the lines that are printed.
    """

    candidate: int
    split: int
    estimator: BaseEstimator
    seed: int
    words: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """The numbers, by which the fit is known."""
        return self.candidate, self.split


@dataclass(frozen=True)
class Evaluation:
    """What fits learn and are scored on, and how.

    It has all that grows with the number of rows, but for the data, so that tasks are
    small.

    Parameters
    ----------
    splits : sequence of (ndarray of int, ndarray of int)
        The training and the test rows of each split.
    scorer : callable
        As `sklearn.model_selection` has it.
    fit_params, score_params : mapping
        Metadata for `fit` and the scorer.
    error_score : "raise" or float
        The score of a fit that fails.
    return_train_score : bool
        Whether to score on the training rows, too.
    verbose : int
        Whether to print a line for each fit, from 2 on.
    """

    splits: Sequence[tuple[np.ndarray, np.ndarray]]
    scorer: Any
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]
    error_score: Any
    return_train_score: bool
    verbose: int

    def __sizeof__(self) -> int:
        """Return the bytes of all rows, by which joblib's dask sends them just once."""
        metadata = [*self.fit_params.values(), *self.score_params.values()]
        rows = [indices for split in self.splits for indices in split]
        return sum(sys.getsizeof(values) for values in metadata + rows)

    def failed(self) -> Any:
        """Return the scores of a fit that failed, or was not made."""
        names = getattr(self.scorer, "_scorers", None)
        if names is None:
            return self.error_score
        return dict.fromkeys(names, self.error_score)


def sharing_key(task: Task) -> Hashable:
    """Return what tasks must have in common to share tables.

    Nets without an encoder all share the one table that is given, those with an encoder
    the tables of their split, and those in a pipeline what the same steps make of it.
    Other estimators share nothing.
    """
    final = _final_step(task.estimator)
    alone = "alone", task.split, task.candidate
    if not isinstance(final, NetEstimator):
        return alone
    if final is task.estimator:
        return ALL_ROWS if final._make_encoder() is None else ("split", task.split)
    steps = content_key(task.estimator.steps[:-1])
    return alone if steps is None else ("steps", task.split, steps)


def _final_step(estimator: Any) -> Any:
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def fit_and_score(
    tasks: Iterable[Task], X: Any, y: Any, evaluation: Evaluation, strategy: str
) -> tuple[list[tuple[tuple[int, int], dict[str, Any]]], bool]:
    """Fit and score candidates, and train the nets of all of them together.

    Parameters
    ----------
    tasks : iterable of Task
        What to fit.
    X, y : data and targets
        All rows.
    evaluation : Evaluation
        On what, and how to score.
    strategy : {"auto", "stacked", "sequential"}
        See `Population`.

    Returns
    -------
    outcomes : list of ((int, int), dict)
        What has come of those that are finished, as scikit-learn's searches keep it, by
        the key of the task.
    interrupted : bool
        Whether Ctrl-C ended it.
    """
    shared = _Shared(X, y, evaluation)
    fits = [_Fit(task, shared) for task in tasks]
    interrupted = False
    try:
        for fit in fits:
            fit.begin()
        while waiting := [fit for fit in fits if fit.wanted is not None]:
            _train(waiting, strategy)
    except KeyboardInterrupt:
        interrupted = True
    finished = [(fit.task.key, fit.outcome) for fit in fits if fit.outcome is not None]
    return finished, interrupted


def _train(fits: list[_Fit], strategy: str) -> None:
    """Train the nets that fits wait for."""
    by_device: dict[Any, list[_Fit]] = {}
    for fit in fits:
        by_device.setdefault(resolve_device(fit.final.device), []).append(fit)
    for device, some in by_device.items():
        members = [fit.wanted for fit in some if fit.wanted is not None]
        started = time.perf_counter()
        population = Population(members, strategy=strategy, n_jobs=1, device=device)
        population.train(warn=False)
        seconds = time.perf_counter() - started
        n_epochs = [len(result.history) for result in population]
        for fit, result, n in zip(some, population, n_epochs, strict=True):
            fit.seconds += seconds * n / max(sum(n_epochs), 1)
            if result.finished or result.error is not None:
                fit.go_on(result)
        if population.interrupted_:
            raise KeyboardInterrupt


class _Shared:
    """What the fits of one call share: data, tables, and steps before the nets."""

    def __init__(self, X: Any, y: Any, evaluation: Evaluation) -> None:
        self.X, self.y, self.evaluation = X, y, evaluation
        self._kept: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Any) -> Any:
        """Return what `make` returned or raised when it was first called."""
        if key not in self._kept:
            try:
                self._kept[key] = make(), None
            except Exception as raised:
                self._kept[key] = None, raised
        made, error = self._kept[key]
        if error is not None:
            raise error
        return made


class _FinalStep(BaseEstimator):
    """Stands in a pipeline for its final step, and keeps what that is fitted on."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def fit(self, X: Any, y: Any = None, **params: Any) -> _FinalStep:
        """Keep inputs and metadata."""
        self.X_, self.params_ = X, params
        return self

    def get_metadata_routing(self) -> Any:
        """Ask for the metadata that the step asks for."""
        return self.step.get_metadata_routing()

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.step)


class _Fit:
    """A fit from its start to its score."""

    def __init__(self, task: Task, shared: _Shared) -> None:
        self.task = task
        self.shared = shared
        self.train, self.test = shared.evaluation.splits[task.split]
        self.estimator = clone(task.estimator)
        self.final = _final_step(self.estimator)
        if isinstance(self.final, NetEstimator) and self.final.random_state is None:
            self.final.set_params(random_state=task.seed)
        self.seconds = 0.0
        #: The net that it waits for.
        self.wanted: Member | None = None
        self.outcome: dict[str, Any] | None = None

    def begin(self) -> None:
        """Fit, up to the first net that is to be trained."""
        with self._running():
            if isinstance(self.final, NetEstimator):
                self.final._validate_params()
                self._learning = self._learn()
                self.wanted = next(self._learning)
            else:
                X, y, params = self._rows()
                self.estimator.fit(X, *([] if y is None else [y]), **params)

    def go_on(self, result: TrainedMember) -> None:
        """Take the trained net, and fit on, up to the next or to the end."""
        self.wanted = None
        with self._running():
            self.wanted = self._learning.send(result)

    @contextmanager
    def _running(self) -> Any:
        started = time.perf_counter()
        error = None
        try:
            yield
        except StopIteration:
            pass
        except Exception as raised:
            if self.shared.evaluation.error_score == "raise":
                raise
            error = raised
        self.seconds += time.perf_counter() - started
        if self.wanted is None:
            self._finish(error)

    def _learn(self) -> Learning[None]:
        """Begin the fit of the net, on what the steps before it return."""
        task, shared = self.task, self.shared
        X, y, params = self._rows()
        key = sharing_key(task)
        if isinstance(self.estimator, Pipeline):
            before = shared.once((key, "steps"), lambda: self._fit_steps(X, y, params))
            *steps, (name, waiting) = before.steps
            X, params = waiting.X_, waiting.params_
            self.estimator = copy.copy(before)
            self.estimator.steps = [*steps, (name, self.final)]
        encodings = shared.once((key, task.split), lambda: self._share_tables(key))
        return self.final._learning(X, y, encodings=encodings, **params)

    def _share_tables(self, key: Hashable) -> SharedEncodings:
        if key != ALL_ROWS:
            return SharedEncodings()
        table = self.shared.once(
            "table",
            lambda: as_rows(
                read_inputs(clone(self.final), self.shared.X, None, reset=True)
            ),
        )
        return SharedEncodings(table, self.train)

    def _rows(self) -> tuple[Any, Any, dict[str, Any]]:
        """Return the rows of the split, and their metadata."""
        task, shared = self.task, self.shared
        pairwise = get_tags(self.estimator).input_tags.pairwise  # rows are columns, too
        X, y = shared.once(
            ("rows", task.split, pairwise),
            lambda: _safe_split(self.estimator, shared.X, shared.y, self.train),
        )
        params = shared.evaluation.fit_params
        return X, y, _check_method_params(shared.X, params=params, indices=self.train)

    def _fit_steps(self, X: Any, y: Any, params: Mapping[str, Any]) -> Pipeline:
        pipeline = clone(self.estimator)
        name, final = pipeline.steps[-1]
        pipeline.steps[-1] = (name, _FinalStep(final))
        return pipeline.fit(X, y, **params)

    def _finish(self, error: Exception | None) -> None:
        """Score the fit, and let go of what it has learned."""
        by = self.shared.evaluation
        started = time.perf_counter()
        scores = {}
        for name, rows in {"test": self.test, "train": self.train}.items():
            if name == "test" or by.return_train_score:
                scores[name] = self._score(rows) if error is None else by.failed()
        self.outcome = {
            "fit_error": error and "".join(traceback.format_exception(error)),
            "fit_time": self.seconds,
            "score_time": 0.0 if error else time.perf_counter() - started,
            **{f"{name}_scores": values for name, values in scores.items()},
        }
        if by.verbose > 1:
            self._print(scores)
        del self.estimator, self.final

    def _print(self, scores: Mapping[str, Any]) -> None:
        """Print a line much like that of scikit-learn's searches."""
        n_splits = len(self.shared.evaluation.splits)
        told = str(scores["test"])
        if "train" in scores:
            told = f"(train={scores['train']}, test={scores['test']})"
        print(
            f"[CV {self.task.split + 1}/{n_splits}] END {self.task.words};, "
            f"score={told} total time={short_format_time(self.seconds)}"
        )

    def _score(self, rows: np.ndarray) -> Any:
        by, shared = self.shared.evaluation, self.shared
        train = None if rows is self.train else self.train
        X, y = _safe_split(self.estimator, shared.X, shared.y, rows, train)
        params = _check_method_params(shared.X, params=by.score_params, indices=rows)
        return _score(self.estimator, X, y, by.scorer, params, by.error_score)
