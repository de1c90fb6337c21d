"""What all inspections read: a classifier, its rows, and those held out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_memgen import (
    LotteryPrunedNet,
    NetClassifier,
    NoisyFineTuneProbe,
    RuleAugmentedClassifier,
    WideDeepClassifier,
)
from sklearn_memgen.inspection._fitted_subject import read_fitted
from sklearn_memgen.inspection._subject import accuracy_of, read_subject
from tests.probes import MLP

QUICK = WideDeepClassifier(hidden_layer_sizes=(8,), n_members=1, max_epochs=1)


class Noted(TransformerMixin, BaseEstimator):
    """Notes how many rows it was fitted on."""

    seen: list = []

    def fit(self, X, y):
        self.n_fitted_ = len(X)
        self.seen.append((len(X), len(y)))
        return self

    def transform(self, X):
        return np.asarray(X, dtype=np.float32)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(100, 4)), index=[f"r{k}" for k in range(100)])
    return X.add_prefix("x"), np.where(X[0] > 0, "up", "down")


@pytest.mark.parametrize(
    "estimator",
    [
        QUICK,
        make_pipeline(QUICK),
        NoisyFineTuneProbe(QUICK),
        LotteryPrunedNet(QUICK),
        RuleAugmentedClassifier(QUICK),
    ],
    ids=lambda e: type(e).__name__,
)
def test_the_net_of_each_estimator_is_found(table, estimator):
    X, y = table
    subject = read_subject(estimator, X, y, test_fraction=0.2, random_state=0)
    assert type(subject.estimator) is WideDeepClassifier
    assert len(subject.training) == 80 and len(subject.test) == 20
    assert sorted([*subject.rows, *subject.test_rows]) == list(range(100))
    assert subject.index.equals(X.index[subject.rows])


@pytest.mark.parametrize("given", [False, True])
def test_steps_before_the_net_do_not_see_rows_to_test_on(table, given):
    X, y = table
    Noted.seen.clear()
    pipeline = make_pipeline(Noted(), NetClassifier(MLP, max_epochs=1))
    test = {"test_fraction": 0.25}
    if given:
        X, y, test = X[:75], y[:75], {"X_test": X[75:], "y_test": y[75:]}
    subject = read_subject(pipeline, X, y, random_state=0, **test)
    assert Noted.seen == [(75, 75)]
    assert (len(subject.training), len(subject.test)) == (75, 25)
    assert subject.index.equals(X.index[subject.rows])
    assert subject.test_index.str.startswith("r").all()
    values = subject.training.X.inputs().numpy()
    np.testing.assert_allclose(values, X.iloc[subject.rows], rtol=1e-6)


def test_a_fitted_pipeline_is_read_with_its_steps(table):
    X, y = table
    model = make_pipeline(StandardScaler(), NetClassifier(MLP, max_epochs=5)).fit(X, y)
    subject = read_fitted(model, X, y)
    assert accuracy_of(subject.net, subject.data) == pytest.approx(model.score(X, y))


def test_a_fitted_classifier_stays_as_it_is(table):
    X, y = table
    model = NetClassifier(MLP, max_epochs=1).fit(X, y)
    before = {k: v for k, v in vars(model).items() if k.endswith("_")}
    read_fitted(model, X[::-1], y[::-1])
    assert {k: v for k, v in vars(model).items() if k.endswith("_")} == before


def test_what_is_not_fitted_or_has_no_net_is_refused(table):
    X, y = table
    for model in (QUICK, NoisyFineTuneProbe(QUICK), make_pipeline(Noted(), QUICK)):
        with pytest.raises(NotFittedError):
            read_fitted(model, X, y)
    with pytest.raises(TypeError, match="must be a classifier with a net"):
        read_fitted(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(TypeError, match="must be an instance"):
        read_subject(NetClassifier, X, y)


def test_a_share_without_rows_is_refused(table):
    X, y = table
    for model in (QUICK, make_pipeline(Noted(), QUICK)):
        with pytest.raises(ValueError, match="of 100 rows leaves no row to test on"):
            read_subject(model, X, y, test_fraction=0.001)


def test_classes_of_weight_zero_are_left_out():
    X, y = np.eye(6, dtype=np.float32), np.array([0, 1, 2, 0, 1, 2])
    model = NetClassifier(MLP, max_epochs=1, class_weight={0: 1, 1: 0, 2: 1})
    subject = read_subject(model, X, y)
    assert subject.rows.tolist() == subject.index.tolist() == [0, 2, 3, 5]
