"""A compacted estimator predicts the same, is smaller, and does not learn."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier, WideDeepRegressor
from sklearn_memgen.compaction import compact
from sklearn_memgen.nets import CannotCompactError, SparseLinear
from sklearn_memgen.nets.members import MemberLinear
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.training import Trace

FAST = {"max_epochs": 2, "device": "cpu", "random_state": 0}


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=100):
        super().__init__(
            *(nn.Linear(n_features, n_units), nn.ReLU()),
            *(nn.Linear(n_units, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)),
        )


@torch.no_grad()
def prune(model, share=0.05):
    """Keep the share of each layer's weights that are largest."""
    for layer in model.net_.module_.modules():
        if isinstance(layer, (nn.Linear, MemberLinear)):
            size = layer.weight.abs()
            layer.weight.mul_(size >= size.flatten().quantile(1 - share))
    return model


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def assert_same(model, compacted, X):
    # Logits of many members are large where all are sure; a float has seven digits.
    scale = max(1, np.abs(model.decision_function(X)).max())
    np.testing.assert_allclose(
        compacted.decision_function(X), model.decision_function(X), atol=1e-5 * scale
    )
    np.testing.assert_allclose(
        compacted.predict_proba(X), model.predict_proba(X), atol=1e-5
    )
    assert (compacted.predict(X) == model.predict(X)).mean() > 0.99


@pytest.mark.parametrize("labels", ["numbers", "strings", "two"])
def test_predictions_and_size(digits, labels):
    X, y = digits
    if labels == "strings":
        y = np.array([f"digit {label}" for label in y])
    elif labels == "two":
        y = np.where(y > 4, "large", "small")
    model = prune(NetClassifier(MLP, **FAST).fit(X, y))
    before = pickle.dumps(model)
    compacted = compact(model)
    assert pickle.dumps(model) == before
    assert type(compacted) is NetClassifier
    check_is_fitted(compacted)
    assert_same(model, compacted, X)
    assert compacted.n_features_in_ == 64
    np.testing.assert_array_equal(compacted.classes_, model.classes_)
    assert len(pickle.dumps(compacted)) < len(before) / 10


def test_copies_predict_the_same(digits, tmp_path):
    X, y = digits
    model = prune(NetClassifier(MLP, **FAST).fit(X, y))
    compacted = compact(model)
    expected = compacted.predict_proba(X)
    joblib.dump(compacted, tmp_path / "model.joblib")
    for again in (
        pickle.loads(pickle.dumps(compacted)),
        copy.deepcopy(compacted),
        joblib.load(tmp_path / "model.joblib"),
        compact(compacted),
    ):
        np.testing.assert_allclose(again.predict_proba(X), expected, atol=1e-6)
        assert any(isinstance(m, SparseLinear) for m in again.net_.module_.modules())
    assert clone(compacted).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        clone(compacted).predict(X)


def test_what_training_needed_is_gone(digits):
    X, y = digits
    model = NetClassifier(MLP, callbacks=[Trace()], **FAST).fit(X, y)
    compacted = compact(prune(model))
    assert not hasattr(compacted, "history_") and not compacted.net_.history
    assert not hasattr(compacted, "trace_")
    assert not hasattr(compacted.net_, "optimizer_")
    assert model.trace_ is not None and len(model.history_)


def test_no_further_learning_but_a_new_fit(digits):
    X, y = digits
    model = prune(NetClassifier(MLP, **FAST).fit(X, y))
    compacted = compact(model)
    with pytest.raises(ValueError, match="was compacted"):
        compacted.partial_fit(X, y)
    with pytest.raises(ValueError, match="was compacted"):
        compacted.set_params(warm_start=True).fit(X, y)
    assert_same(model, compacted, X)  # nothing has happened to it
    compacted.set_params(warm_start=False).fit(X, y)
    assert hasattr(compacted.net_, "optimizer_")
    compacted.partial_fit(X, y)


def test_a_module_given_as_an_instance_is_not_pickled_whole(digits):
    X, y = digits
    model = prune(NetClassifier(MLP(64, 10, 400), **FAST).fit(X, y), 0.02)
    compacted = compact(model)
    assert_same(model, compacted, X)
    assert len(pickle.dumps(compacted)) < len(pickle.dumps(model)) / 10
    assert_same(compacted, pickle.loads(pickle.dumps(compacted)), X)
    clone(compacted).fit(X, y).predict(X)


def test_images_need_rows(digits):
    X, y = digits
    X = X.reshape(-1, 1, 8, 8)
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(144, 50), nn.ReLU(), nn.Linear(50, 10)),
    )
    model = NetClassifier(net, **FAST).fit(X, y)
    with torch.no_grad():
        model.net_.module_[0].weight[:9] = 0
        model.net_.module_[6].weight[:, 20:] = 0
    with pytest.raises(CannotCompactError, match="does not take the inputs"):
        compact(model)
    compacted = compact(model, X[:1])
    assert compacted.net_.module_[0].out_channels == 7
    assert compacted.net_.module_[4].weight.shape == (20, 63)
    assert_same(model, compacted, X)


def test_an_encoder_needs_rows(digits):
    X, y = digits
    model = prune(NetClassifier(MLP, encoder=StandardScaler(), **FAST).fit(X, y))
    with pytest.raises(CannotCompactError, match="pass a few rows as X"):
        compact(model)
    assert_same(model, compact(model, X[:2]), X)


@pytest.mark.parametrize("n_members", [1, 4])
def test_wide_and_deep(mixed_table, n_members):
    X, y = mixed_table
    model = WideDeepClassifier(n_members=n_members, **FAST).fit(X, y)
    compacted = compact(prune(model))
    assert_same(model, compacted, X)
    assert_same(model, pickle.loads(pickle.dumps(compacted)), X)
    assert len(pickle.dumps(compacted)) < len(pickle.dumps(model)) / 2
    deep = compacted.net_.module_.deep
    assert deep.layers[0].out_features < 128 * n_members
    assert compacted.wide_weights_.equals(model.wide_weights_)
    explained = [m.explain(X[:20]).to_frame() for m in (model, compacted)]
    np.testing.assert_allclose(
        *(frame["memorized_share"] for frame in explained), atol=1e-4
    )
    with pytest.raises(ValueError, match="was compacted"):
        compacted.partial_fit(X, y)


def test_a_regressor(mixed_table):
    X, _ = mixed_table
    y = X["count"].to_numpy()
    model = prune(WideDeepRegressor(**FAST).fit(X, y))
    compacted = compact(model)
    np.testing.assert_allclose(compacted.predict(X), model.predict(X), atol=1e-4)


def test_a_module_over_encoded_tables(mixed_table):
    X, y = mixed_table
    model = NetClassifier(OverTable, encoder=TableEncoder(), **FAST).fit(X, y)
    with torch.no_grad():
        model.net_.module_.last.weight[:, 3:] = 0
    compacted = compact(model, X)
    assert compacted.net_.module_.first.out_features == 3
    assert_same(model, compacted, X)


class OverTable(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.embedding = nn.EmbeddingBag(500, 6)
        self.first, self.last = nn.Linear(6, 20), nn.Linear(20, n_classes)

    def forward(self, numbers, ids):
        return self.last(self.first(self.embedding(ids)).relu())


def test_what_is_not_fitted_or_has_no_net_is_refused(digits):
    with pytest.raises(NotFittedError):
        compact(NetClassifier(MLP))
    with pytest.raises(TypeError, match="LogisticRegression"):
        compact(LogisticRegression().fit(*digits))
