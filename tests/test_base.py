"""NetClassifier: the contract between scikit-learn and a torch module."""

import io
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import EpochScoring
from torch import nn

from sklearn_memgen import NetClassifier


class MLP(nn.Sequential):
    """A module that is told its sizes."""

    def __init__(self, n_features, n_classes, n_units=16):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


class TwoInputs(nn.Module):
    """A module of two inputs: numbers, and ids for an embedding."""

    def __init__(self, n_classes):
        super().__init__()
        self.embedding = nn.Embedding(4, 8)
        self.linear = nn.Linear(8 + 3, n_classes)

    def forward(self, numbers, ids):
        return self.linear(torch.cat([self.embedding(ids), numbers], dim=1))


def make_data(n_rows=300, n_classes=2, seed=0):
    return make_classification(
        n_rows,
        8,
        n_informative=6,
        n_redundant=0,
        n_classes=n_classes,
        class_sep=2.0,
        random_state=seed,
    )


def make_model(module=MLP, **params):
    return NetClassifier(module, **{"max_epochs": 20, "random_state": 0} | params)


# Modules and inputs


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "labels", [["a", "b", "c"], [10, 20, 30], [5, -1, 7], np.array(["x", "y", "z"])]
)
def test_labels_of_any_kind_come_back(n_classes, labels):
    X, codes = make_data(n_classes=n_classes)
    y = np.asarray(labels)[codes]
    model = make_model().fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert model.score(X, y) > 0.8
    assert set(model.predict(X)) <= set(y)


@pytest.mark.parametrize("dtype", ["bool", "boolean", "Int64", "category", "str"])
def test_labels_in_a_series_of_any_dtype(dtype):
    X, codes = make_data()
    model = make_model().fit(X, pd.Series(codes).astype(dtype))
    assert len(model.classes_) == 2
    assert model.predict(X).dtype == model.classes_.dtype


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_two_classes_by_one_logit_or_two(n_outputs):
    X, y = make_data()
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, n_outputs))
    model = make_model(module, learning_rate=0.02).fit(X, y)
    logits, probabilities = model.decision_function(X), model.predict_proba(X)
    assert logits.shape == (300,)
    np.testing.assert_allclose(
        probabilities[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-5
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X), logits > 0)
    assert model.score(X, y) > 0.85


def test_a_module_instance_is_copied_not_trained():
    module = MLP(8, 2)
    before = module[0].weight.detach().clone()
    X, y = make_data()
    first = make_model(module=module).fit(X, y)
    assert torch.equal(module[0].weight, before)
    second = clone(first).fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_arrays_of_any_rank():
    """Digits as images, into a convolution."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 1, 8, 8)[:600] / 16
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)
    )
    model = make_model(module=module, batch_size=32).fit(images, y[:600])
    assert model.score(images, y[:600]) > 0.95


def test_a_dict_of_arrays():
    rng = np.random.default_rng(0)
    X = {"numbers": rng.normal(size=(400, 3)), "ids": rng.integers(0, 4, 400)}
    y = (X["numbers"][:, 0] > 0) ^ (X["ids"] == 2)
    model = NetClassifier(TwoInputs, max_epochs=3, random_state=0).fit(X, y)
    assert model.predict_proba(X).shape == (400, 2)
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(ValueError, match=r"X\['ids'\] must be an array of numbers"):
        model.fit({**X, "ids": np.array(["a"] * 400)}, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit({**X, "ids": X["ids"][:-1]}, y)
    with pytest.raises(ValueError, match="empty dict"):
        model.fit({}, y)


def test_module_params_and_criterion_reach_the_net():
    X, y = make_data(n_classes=3)
    model = make_model(
        module_params={"n_units": 5},
        criterion=nn.CrossEntropyLoss,
        net_params={"optimizer__betas": (0.8, 0.9)},
    ).fit(X, y)
    assert model.net_.module_[0].out_features == 5
    assert model.net_.optimizer_.param_groups[0]["betas"] == (0.8, 0.9)
    reference = make_model(
        module_params={"n_units": 5}, net_params={"optimizer__betas": (0.8, 0.9)}
    ).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X))


def test_missing_module_and_misspelt_net_params():
    X, y = make_data()
    with pytest.raises(ValueError, match="needs a torch module"):
        NetClassifier().fit(X, y)
    with pytest.raises(ValueError, match="optimizer__bettas|bettas"):
        make_model(net_params={"bettas": 1}).fit(X, y)


# Weights


def test_sample_weight_is_in_the_loss():
    """Rows of weight zero are as if they were not there."""
    X, y = make_data()
    flipped = np.where(np.arange(300) < 150, 1 - y, y)
    weight = (np.arange(300) >= 150).astype(float)
    model = make_model().fit(X, flipped, sample_weight=weight)
    alone = make_model().fit(X[150:], y[150:])
    np.testing.assert_allclose(
        model.predict_proba(X), alone.predict_proba(X), atol=1e-5
    )


def test_the_scale_of_weights_does_not_matter():
    X, y = make_data()
    weight = np.random.default_rng(0).uniform(0.5, 2, 300)
    one, thousand = (
        make_model(optimizer="sgd", learning_rate=0.05)
        .fit(X, y, sample_weight=scale * weight)
        .predict_proba(X)
        for scale in (1, 1000)
    )
    np.testing.assert_allclose(one, thousand, atol=1e-4)


def test_class_weight_balances():
    X, y = make_classification(1000, 8, weights=[0.95], flip_y=0.1, random_state=0)
    plain = make_model().fit(X, y).predict(X).mean()
    balanced = make_model(class_weight="balanced").fit(X, y).predict(X).mean()
    by_hand = make_model(class_weight={0: 1, 1: 10}).fit(X, y).predict(X).mean()
    assert balanced > 2 * plain
    assert by_hand > plain


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(299), r"sample_weight.shape == \(299,\)"),
        (-np.ones(300), "Negative values"),
        (np.zeros(300), "zero|positive"),
        (np.full(300, np.nan), "NaN"),
    ],
)
def test_bad_weights_are_refused(weight, message):
    X, y = make_data()
    with pytest.raises(ValueError, match=message):
        make_model().fit(X, y, sample_weight=weight)


def test_weights_that_leave_one_class():
    X, y = make_data()
    with pytest.raises(ValueError, match="at least 2 classes need rows of a weight"):
        make_model().fit(X, y, sample_weight=y.astype(float))


# Repeatability and state


def test_random_state_repeats_a_fit_and_leaves_global_seeds_alone():
    X, y = make_data()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    first, second = (make_model().fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    other = make_model(random_state=1).fit(X, y).predict_proba(X)
    assert np.abs(first - other).max() > 1e-3


def test_pickle_keeps_predictions_and_no_data(tmp_path):
    X, y = make_data(2000)
    model = make_model(early_stopping=True).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(model.predict_proba(X), loaded.predict_proba(X))
    small = make_model(early_stopping=True).fit(X[:1000], y[:1000])
    sizes = [len(pickle.dumps(each)) for each in (model, small)]
    assert abs(sizes[0] - sizes[1]) < 4000  # twice the rows, the same size
    loaded.partial_fit(X, y)


def test_a_model_for_a_gpu_loads_where_there_is_none():
    """Its parameter says "cuda", its weights lie on the CPU; prediction goes there."""
    X, y = make_data()
    model = make_model().fit(X, y)
    model.set_params(device="cuda:7")
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device='cuda:7' was asked for"):
            loaded.fit(X, y)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_names_that_are_no_devices(device):
    X, y = make_data()
    with pytest.raises(ValueError, match=f"device must be .* got {device!r}"):
        make_model(device=device).fit(X, y)


def test_warm_start_goes_on():
    X, y = make_data()
    model = make_model(warm_start=True, max_epochs=3).fit(X, y)
    net = model.net_
    losses = model.history_["train_loss"].iloc[-1]
    model.fit(X, y)
    assert model.net_ is net
    assert len(model.history_) == 6
    assert model.history_["train_loss"].iloc[-1] < losses
    with pytest.raises(ValueError, match=r"classes \[7\] that were not there"):
        model.fit(X, np.where(y == 1, 7, 0))
    assert len(model.set_params(warm_start=False).fit(X, y).history_) == 3


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_going_on_heeds_parameters_that_were_set_since(method):
    """A net that is there has its optimizer's state, but not its old settings."""
    X, y = make_data()
    model = make_model(warm_start=True, schedule="constant", max_epochs=2).fit(X, y)
    optimizer = model.net_.optimizer_
    model.set_params(learning_rate=0.02, weight_decay=0.5, clip_norm=1.0)
    getattr(model, method)(X, y)
    assert model.net_.optimizer_ is optimizer
    assert optimizer.param_groups[0]["lr"] == 0.02
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert model.net_.clip_norm == 1.0
    assert model.history_["learning_rate"].iloc[[0, -1]].tolist() == [3e-3, 0.02]


def test_partial_fit_learns_from_chunks():
    X, y = make_data(1000, n_classes=3)
    model = make_model(learning_rate=0.01)
    for _ in range(5):
        for rows in np.array_split(np.arange(1000), 10):
            model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert model.score(X, y) > 0.85
    assert len(model.history_) == 50


def test_partial_fit_wants_classes_and_takes_chunks_of_one_class():
    X, y = make_data()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        make_model().partial_fit(X, y)
    model = make_model().partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    model.partial_fit(X[:1], y[:1], sample_weight=[2.0])
    with pytest.raises(ValueError, match=r"classes \[2\] that were not there"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        make_model(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    weighted = make_model(class_weight={1: 3.0})
    weighted.partial_fit(X[y == 0], y[y == 0], classes=[0, 1])


def test_unfitted():
    with pytest.raises(NotFittedError):
        make_model().predict(np.zeros((2, 8)))


# Training


def test_early_stopping_holds_out_rows_and_records_their_loss():
    X, y = make_data(2000)
    model = make_model(max_epochs=100).fit(X, y)  # "auto": on from 200 rows
    assert {"train_loss", "valid_loss", "learning_rate", "duration"} <= set(
        model.history_
    )
    assert "valid_loss" in make_model().fit(X[:200], y[:200]).history_
    assert "valid_loss" not in make_model().fit(X[:199], y[:199]).history_
    few = make_model(early_stopping=True).fit(X[:199], y[:199])
    assert "valid_loss" in few.history_
    assert len(make_model(early_stopping=False).fit(X, y).history_) == 20


def test_early_stopping_with_nothing_to_hold_out():
    X, y = make_data(4)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 of 4 rows"):
        make_model(early_stopping=True).fit(X, y)


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_classes_that_can_spare_no_row_are_all_trained_on():
    """By default that is no error."""
    X, _ = make_data(300)
    model = make_model(max_epochs=1).fit(X, np.arange(300))
    assert "valid_loss" not in model.history_


def test_users_callbacks_show_up_in_the_history():
    X, y = make_data()
    scoring = EpochScoring("accuracy", name="train_acc", on_train=True)
    model = make_model(callbacks=[scoring]).fit(X, y)
    assert model.history_["train_acc"].iloc[-1] > 0.85


def test_verbose_shows_a_bar_and_silence_is_the_default(capsys):
    X, y = make_data()
    make_model().fit(X, y)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    make_model(verbose=1).fit(X, y)
    bar = capsys.readouterr().err
    assert "20.0/20" in bar
    assert "train_loss=" in bar


def test_a_loss_that_explodes_names_the_learning_rate():
    X, y = make_data()
    with pytest.raises(FloatingPointError, match=r"epoch \d+, at learning_rate=1e\+30"):
        make_model(optimizer="sgd", learning_rate=1e30, schedule="constant").fit(X, y)


def test_ctrl_c_leaves_a_fitted_model():
    """For real: another process gets the signal in the middle of a long fit."""
    script = """
import _thread, threading, warnings, numpy as np
from sklearn_memgen import NetClassifier
from torch import nn
X = np.random.default_rng(0).normal(size=(2000, 8)); y = X[:, 0] > 0
NetClassifier(nn.Linear(8, 1), max_epochs=1).fit(X, y)  # torch loads the rest of itself
threading.Timer(1, _thread.interrupt_main).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = NetClassifier(
        nn.Linear(8, 1), max_epochs=10**6, early_stopping=False, schedule="constant"
    ).fit(X, y)
assert any("training was interrupted in epoch" in str(w.message) for w in caught)
assert model.score(X, y) > 0.9, model.score(X, y)
assert 1 < len(model.history_) < 10**6
print("usable")
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert run.stdout.strip() == "usable", run.stderr


# scikit-learn's tools


def test_grid_search_and_metadata_routing():
    X, y = make_data()
    weight = np.random.default_rng(0).uniform(size=300)
    with config_context(enable_metadata_routing=True):
        model = make_model(max_epochs=2).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=False)
        search = GridSearchCV(model, {"learning_rate": [1e-3, 1e-2]}, cv=2)
        search.fit(X, y, sample_weight=weight)
        scores = cross_val_score(model, X, y, params={"sample_weight": weight}, cv=2)
    assert search.best_params_["learning_rate"] == 1e-2
    assert scores.shape == (2,)


def test_repr_and_misspelt_parameters():
    assert "learning_rate=0.1" in repr(make_model(learning_rate=0.1))
    with pytest.raises(TypeError, match="learning_rat"):
        NetClassifier(MLP, learning_rat=0.1)
    with pytest.raises(ValueError, match="Invalid parameter 'learning_rat'"):
        make_model().set_params(learning_rat=0.1)
    X, y = make_data()
    with pytest.raises(ValueError, match="learning_rate.* Got -1 instead"):
        make_model(learning_rate=-1).fit(X, y)


def test_no_warnings_in_a_plain_fit():
    X, y = make_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        buffer = io.BytesIO()
        joblib.dump(make_model(early_stopping=True).fit(X, y), buffer)
        buffer.seek(0)
        joblib.load(buffer).predict(X)
