"""What is inspected: a classifier, and the rows that it learns or has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable

from sklearn_memgen._inputs import hold_out
from sklearn_memgen._labels import LabeledExamples, check_labels
from sklearn_memgen._many_nets import ManyNetsMixin
from sklearn_memgen._sklearn import Interval, StrOptions, _safe_indexing
from sklearn_memgen._table_nets import encode_all, net_maker, own_callbacks, train_all
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.rule_augmented import RuleAugmentedClassifier
from sklearn_memgen.training import (
    Guide,
    Member,
    ResidentDataset,
    ResidentNet,
    Rows,
    TrainedMember,
    probabilities,
    resolve_device,
)

__all__ = [
    "TRAINING_PARAMETERS",
    "Subject",
    "accuracy_of",
    "net_classifier",
    "read_subject",
    "take_rows",
]


#: What those parameters may be that functions which train nets have in common.
TRAINING_PARAMETERS: dict[str, list[Any]] = {
    "test_fraction": [Interval(Real, 0, 1, closed="neither")],
    "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
    "n_repeats": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
    "strategy": [StrOptions({"auto", "stacked", "sequential", "joblib"})],
    "n_jobs": [Integral, None],
}


@dataclass(frozen=True)
class Subject:
    """A classifier that is to be trained, often, on rows that are encoded once.

    Parameters
    ----------
    estimator : NetClassifier
        A checked copy, with a seed; says what the nets are.
    encoder : estimator or None
        Fitted on the training rows.
    training : ResidentDataset
        The rows to learn.
    test : ResidentDataset or None
        Rows that no net learns.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    rows, test_rows : ndarray of int
        Of each row the number in the `X` it comes from: the one to learn or, if they
        were given apart, the one to test.
    index, test_index : Index of length n_labels, n_test_labels
        Index entries of the labels to learn and to test.
    examples, test_examples : LabeledExamples
        The rows to learn and those to test, if there are any, before they were encoded.
    rng : RandomState
        Draws seeds.
    strategy, n_jobs
        See `training.Population`.
    """

    estimator: NetClassifier
    encoder: Any
    training: ResidentDataset
    test: ResidentDataset | None
    classes: np.ndarray
    rows: np.ndarray
    test_rows: np.ndarray
    index: pd.Index
    test_index: pd.Index
    examples: LabeledExamples
    test_examples: LabeledExamples | None
    rng: np.random.RandomState
    strategy: str
    n_jobs: int | None

    @property
    def codes(self) -> np.ndarray:
        """The class index of each label to learn, shape (n_labels,)."""
        return self.training.targets.numpy()

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def member(
        self,
        *,
        codes: np.ndarray | None = None,
        X: Rows | None = None,
        rows: np.ndarray | None = None,
        stop_by: ResidentDataset | None = None,
        estimator: NetClassifier | None = None,
        max_epochs: int | None = None,
        schedule: str | None = None,
        callbacks: Sequence[Any] = (),
        guide: Guide | Any = None,
        seed: int | None = None,
    ) -> Member:
        """Return a net to be trained.

        Parameters
        ----------
        codes : ndarray of shape (n_labels,), int, default=None
            Other class indices to learn.
        X : Rows, default=None
            Other inputs. Members that share them can be stacked.
        rows : ndarray of int, default=None
            The rows of `training` to learn; all by default.
        stop_by : ResidentDataset, default=None
            Rows by whose loss training stops; by default it goes on to the end.
        estimator : NetClassifier, default=None
            Another one that says what the net is.
        max_epochs : int, default=None
            Epochs, then without a running average of the weights; by default both are
            as the estimator says.
        schedule : str, default=None
            With `max_epochs`, how the learning rate changes; by default as the
            estimator says.
        callbacks : sequence, default=()
            Callbacks beside copies of the estimator's own.
        guide : Guide or callable, default=None
            See `Member`.
        seed : int, default=None
            Of the net; drawn by default.
        """
        estimator = self.estimator if estimator is None else estimator
        training = self.training if X is None else replace(self.training, X=X)
        if codes is not None:
            training = replace(training, y=torch.from_numpy(codes))
        make_net = net_maker(
            estimator,
            self.encoder,
            training,
            self.n_classes,
            max_epochs,
            estimator.schedule if schedule is None else schedule,
        )
        return Member(
            make_net,
            training,
            stop_by,
            seed=self.rng.randint(2**31) if seed is None else seed,
            rows=rows,
            guide=guide,
            callbacks=[*callbacks, *own_callbacks(estimator)],
            n_iter_no_change=estimator.n_iter_no_change,
            tol=estimator.tol,
        )

    def train(self, members: Sequence[Member]) -> list[TrainedMember]:
        """Train nets, or raise the error of the first that failed."""
        device = resolve_device(self.estimator.device)
        return train_all(members, self.strategy, self.n_jobs, device)


def read_subject(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    X_test: Any = None,
    y_test: Any = None,
    test_fraction: float | None = None,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> Subject:
    """Check a classifier and the rows it is to learn, and encode them.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What is inspected. Of one that trains nets of another estimator, or asks one
        where rules are silent, it is that other.
    X, y : inputs and labels, of n_rows rows
        What it is to learn.
    X_test, y_test : inputs and labels, default=None
        What to test it on.
    test_fraction : float, default=None
        Share of the rows, of every class, that are held out to test, if there is no
        `X_test`; none by default.
    random_state : int, RandomState instance or None, default=None
        Draws what is held out, and seeds.
    strategy, n_jobs
        See `training.Population`.

    Raises
    ------
    TypeError
        If `estimator` has no such net.
    ValueError
        If data cannot be learned from, one of `X_test` and `y_test` is missing, or
        there are labels in `y_test` that `y` has not.
    """
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test must be given together")
    rng = check_random_state(random_state)
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        params = {"random_state": rng, "strategy": strategy, "n_jobs": n_jobs}
        if X_test is None and test_fraction is not None:
            return _read_divided(estimator, X, y, test_fraction, params)
        steps = clone(estimator[:-1])
        subject = read_subject(
            estimator.steps[-1][1],
            steps.fit_transform(X, y),
            y,
            X_test=None if X_test is None else steps.transform(X_test),
            y_test=y_test,
            **params,
        )
        known = {
            name: table.index[rows]
            for name, table, rows in (
                ("index", X, subject.rows),
                ("test_index", X_test, subject.test_rows),
            )
            if isinstance(table, pd.DataFrame)
        }
        return replace(subject, **known)
    base = clone(net_classifier(estimator))
    base._validate_params()
    base._check_source()
    if base.random_state is None:
        base.set_params(random_state=rng.randint(2**31))
    examples = base._read(
        X, y, None, encoder=base._make_encoder(), classes=None, reset=True
    )
    index = _index(base, X, len(examples.y))
    rows, examples = np.arange(len(examples)), examples.counted()
    if examples.origin is not None:  # classes of weight zero are left out
        rows = examples.origin.rows
        index = index[rows]
    test_rows, held_out = np.arange(0), None
    test_index = index[:0]
    if X_test is not None:
        held_out = base._read(
            X_test,
            y_test,
            None,
            encoder=base._make_encoder(),
            classes=examples.classes,
            reset=False,
        )
        test_rows = np.arange(len(held_out))
        test_index = _index(base, X_test, len(held_out.y))
    elif test_fraction is not None:
        kept, others = _divide(examples.strata, test_fraction, rng)
        examples, held_out = examples.take(kept), examples.take(others)
        rows, test_rows = rows[kept], rows[others]
        index, test_index = index[kept], index[others]
    # Rows to test on have no say in how others are encoded.
    encoded = encode_all(base, examples)
    base.encoder_, base.classes_ = encoded.encoder, examples.classes
    return Subject(
        base,
        encoded.encoder,
        encoded.training,
        None if held_out is None else held_out.encode(encoded.encoder),
        examples.classes,
        rows,
        test_rows,
        index,
        test_index,
        examples,
        held_out,
        rng,
        strategy,
        n_jobs,
    )


def _read_divided(
    estimator: Pipeline, X: Any, y: Any, test_fraction: float, params: dict[str, Any]
) -> Subject:
    """Hold rows out before the steps of a pipeline are fitted, which see no others."""
    labels = check_labels(y)
    _, codes = np.unique(labels, return_inverse=True)
    kept, others = _divide(codes, test_fraction, params["random_state"])
    subject = read_subject(
        estimator,
        take_rows(X, kept),
        labels[kept],
        X_test=take_rows(X, others),
        y_test=labels[others],
        **params,
    )
    return replace(
        subject, rows=kept[subject.rows], test_rows=others[subject.test_rows]
    )


def _divide(
    strata: np.ndarray, test_fraction: float, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn and those to test."""
    kept, others = hold_out(strata, test_fraction, rng)
    if not len(others):
        raise ValueError(
            f"test_fraction={test_fraction} of {len(strata)} rows leaves no row to "
            "test on"
        )
    return kept, others


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Take some rows of inputs of any kind."""
    if isinstance(X, Mapping) and not hasattr(X, "tocsr"):  # SciPy's DOK is both
        return {name: np.asarray(array)[rows] for name, array in X.items()}
    (X,) = indexable(X)
    return _safe_indexing(X, rows)


def net_classifier(estimator: Any) -> NetClassifier:
    """Return the classifier whose nets are inspected, not fitted.

    Of one that trains nets of another estimator, or asks one where rules are silent, it
    is that other, and of a Pipeline that at its end.

    Raises
    ------
    TypeError
        If there is none.
    """
    if isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    if isinstance(estimator, type):
        raise TypeError(
            f"estimator must be an instance, such as {estimator.__name__}(); got the "
            "class"
        )
    made = estimator
    if isinstance(estimator, ManyNetsMixin | RuleAugmentedClassifier):
        made = estimator._make_estimator()
    if not isinstance(made, NetClassifier):
        raise TypeError(
            "estimator must be a classifier with a net, such as WideDeepClassifier or "
            f"NetClassifier; got {estimator!r}"
        )
    return made


def accuracy_of(net: ResidentNet, data: ResidentDataset) -> float:
    """Return the share of labels that a net predicts."""
    predicted = probabilities(net.logits(data.X)).argmax(dim=1)
    return float((predicted == data.targets.cpu()).double().mean())


def _index(reader: NetClassifier, X: Any, n_labels: int) -> pd.Index:
    index = reader._index_of(X)
    return pd.RangeIndex(n_labels) if index is None else index
