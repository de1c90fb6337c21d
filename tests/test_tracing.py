"""Traces of estimators: which row is which, and how a user gets at them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier, WideDeepRegressor
from sklearn_memgen.training import Trace
from tests.conftest import make_mixed_table
from tests.training.recording import Recorder, assert_equals_recorded


def make_mlp(n_features, n_classes):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, n_classes)
    )


def make_data(n_rows=200, n_classes=3, seed=0):
    return make_classification(
        n_rows,
        6,
        n_informative=4,
        n_redundant=0,
        n_classes=n_classes,
        flip_y=0.2,
        random_state=seed,
    )


def make_model(module=make_mlp, **params):
    defaults = {"max_epochs": 5, "batch_size": 32, "random_state": 0, "device": "cpu"}
    return NetClassifier(module, **defaults | params)


def make_wide_deep(**params):
    defaults = {
        "hidden_layer_sizes": (8, 8),
        "n_members": 4,
        "ema_decay": 0.9,
        "crosses": (),
        "max_epochs": 4,
        "random_state": 0,
        "device": "cpu",
    }
    return WideDeepClassifier(**defaults | params)


class Still(nn.Linear):
    """A linear model that a learning rate of almost nothing leaves as it is."""

    params = {"learning_rate": 1e-12, "weight_decay": 0.0, "schedule": "constant"}

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)


def margins_of(model, X, y):
    """Return the margins of the labels, from the logits of all rows."""
    logits = model.decision_function(X)
    codes = np.searchsorted(model.classes_, y)
    own = np.take_along_axis(logits, codes[:, None], axis=1)[:, 0]
    np.put_along_axis(logits, codes[:, None], -np.inf, axis=1)
    return own - logits.max(axis=1)


# Which row is which


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_row_has_its_own_numbers(early_stopping, weighted):
    """Also where rows are held out, have no weight, or both."""
    X, y = make_data()
    labels = np.array(["c", "a", "b"])[y]
    weight = np.random.default_rng(0).integers(0, 3, 200) if weighted else None
    trace = Trace()
    model = make_model(
        Still, callbacks=[trace], early_stopping=early_stopping, **Still.params
    )
    model.fit(X, labels, sample_weight=weight)
    frame = trace.to_frame()
    seen = frame["n_seen"] > 0
    counted = np.full(200, True) if weight is None else weight > 0
    assert not (seen & ~counted).any()
    n_held_out = (counted & ~seen).sum()
    assert n_held_out == (round(counted.sum() * 0.1) if early_stopping else 0)
    np.testing.assert_allclose(
        frame["aum"][seen], margins_of(model, X, labels)[seen], rtol=1e-4, atol=1e-5
    )
    assert (frame["n_seen"][seen] == len(model.history_)).all()
    assert frame[~seen].drop(columns="n_seen").isna().all(axis=None)
    assert frame[seen].drop(columns="first_learned_epoch").notna().all(axis=None)


def test_weights_change_nothing_in_what_is_observed():
    X, y = make_data()
    weight = np.random.default_rng(0).uniform(0.1, 9, 200)
    frames = []
    for params, fit_params in (
        ({}, {}),
        ({}, {"sample_weight": weight}),
        ({"class_weight": "balanced"}, {}),
    ):
        model = make_model(Still, callbacks=[Trace()], **Still.params, **params)
        frames.append(model.fit(X, y, **fit_params).trace_.to_frame())
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0], rtol=1e-5)


def test_wide_deep_with_members_equals_a_record_of_every_logit():
    X, y = make_mixed_table(400)
    recorder = Recorder()
    model = make_wide_deep(callbacks=[Trace(), recorder], early_stopping=False)
    frame = model.fit(X, y).trace_.to_frame(index=X.index)
    assert model.net_.module_(**model.encoder_.transform(X).inputs()).shape[1] == 4
    assert_equals_recorded(frame, recorder.rows())


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("make", [make_model, make_wide_deep])
def test_predictions_are_the_same_to_the_bit(make, early_stopping):
    X, y = make_data(400)
    models = [
        make(callbacks=callbacks, early_stopping=early_stopping).fit(X, y)
        for callbacks in (None, [Trace()])
    ]
    first, second = (model.predict_proba(X) for model in models)
    np.testing.assert_array_equal(first, second)


def test_pilots_that_decide_on_caution_are_not_observed():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"user": rng.integers(0, 60, 400).astype(str)})
    y = rng.integers(0, 2, 400)
    trace = Trace()
    model = make_wide_deep(caution="auto", early_stopping=True, callbacks=[trace])
    model.fit(X, y)
    assert trace.to_frame()["n_seen"].max() == len(model.history_)


# Fitting again


def test_fit_starts_anew():
    X, y = make_data()
    model = make_model(callbacks=[Trace()]).fit(X, y)
    first = model.trace_.to_frame()
    pd.testing.assert_frame_equal(model.fit(X, y).trace_.to_frame(), first)
    other, labels = make_data(150, seed=1)
    assert len(model.fit(other, labels).trace_.to_frame()) == 150


@pytest.mark.parametrize("random_state", [0, None])
def test_warm_start_goes_on(random_state):
    """Epochs are those of `history_`, even if other rows are held out."""
    X, y = make_data()
    model = make_model(
        callbacks=[Trace()],
        warm_start=True,
        random_state=random_state,
        early_stopping=True,
        n_iter_no_change=9,
    )
    model.fit(X, y).fit(X, y)
    frame = model.trace_.to_frame()
    assert len(model.history_) == 10
    assert frame["n_seen"].max() == 10
    assert frame["n_seen"].sum() == 10 * 180
    assert frame["first_learned_epoch"].max() > 5


def test_partial_fit_goes_on_with_the_same_rows_only():
    X, y = make_data()
    model = make_model(callbacks=[Trace()])
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert model.trace_.to_frame()["n_seen"].tolist() == [3] * 200
    model.partial_fit(*make_data(seed=1))  # a chunk of the same size
    frame = model.trace_.to_frame()
    assert frame["n_seen"].tolist() == [1] * 200
    assert frame["first_learned_epoch"].dropna().eq(4).all()


@pytest.mark.parametrize("labels", [[True, False], ["b", "a"], [1.0, 2.0], [7, -7]])
def test_labels_of_any_kind(labels):
    X, y = make_data(n_classes=2)
    y = pd.Series(np.array(labels)[y], dtype=object)
    model = make_model(callbacks=[Trace()], warm_start=True)
    frame = model.fit(X, y.infer_objects()).fit(X, y.infer_objects()).trace_.to_frame()
    assert frame["n_seen"].tolist() == [10] * 200


# Getting at it


def test_the_very_object_is_filled_and_a_clone_is_empty():
    X, y = make_data()
    trace = Trace()
    model = make_model(callbacks=[trace]).fit(X, y)
    assert model.trace_ is trace
    copy = clone(model)
    assert copy.callbacks[0].state_ is None
    copy.fit(X[:50], y[:50])
    assert len(copy.trace_.to_frame()) == 50
    assert len(trace.to_frame()) == 200


def test_tools_of_scikit_learn_fill_the_traces_of_clones():
    X, y = make_data()
    trace = Trace()
    model = make_pipeline(StandardScaler(), make_model(callbacks=[trace]))
    folds = cross_validate(model, X, y, cv=4, return_estimator=True)["estimator"]
    assert [len(fold[-1].trace_.to_frame()) for fold in folds] == [150] * 4
    search = GridSearchCV(model, {"netclassifier__learning_rate": [0.01, 0.1]}, cv=2)
    best = search.fit(X, y).best_estimator_
    assert len(best[-1].trace_.to_frame()) == 200
    assert trace.state_ is None


def test_it_travels_with_the_model():
    X, y = make_data()
    model = make_model(callbacks=[Trace()]).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(loaded.trace_.to_frame(), model.trace_.to_frame())
    assert loaded.trace_ is loaded.callbacks[0]
    size = len(pickle.dumps(model)) - len(pickle.dumps(make_model().fit(X, y)))
    assert size < 200 * 9 * 4 + 3000


def test_without_a_trace_there_is_none():
    X, y = make_data()
    with pytest.raises(NotFittedError):
        _ = make_model(callbacks=[Trace()]).trace_
    model = make_model().fit(X, y)
    with pytest.raises(AttributeError, match=r"callbacks=\[Trace\(\)\]"):
        _ = model.trace_
    assert not hasattr(model, "trace_")


def test_regressors_are_refused():
    X, y = make_data()
    model = WideDeepRegressor(callbacks=[Trace()], max_epochs=1, device="cpu")
    with pytest.raises(TypeError, match="Trace follows classifiers"):
        model.fit(X, y.astype(float))
