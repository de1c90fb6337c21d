"""Nets learn corrupted data beside the data as given, and are measured alike."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import NetClassifier, TokenClassifier, WideDeepClassifier
from sklearn_memgen.inspection._random_nets import FitCourse
from sklearn_memgen.inspection._regularizers import NoDropout, unregularized
from sklearn_memgen.inspection._subject import read_subject
from sklearn_memgen.inspection.randomization import (
    RandomizationTest,
    randomization_test,
)
from sklearn_memgen.inspection.randomization_display import RandomizationTestDisplay
from tests.tiny_text import make_sentences


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=128):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


MODEL = NetClassifier(
    MLP, weight_decay=0.0, learning_rate=0.03, batch_size=32, max_epochs=40
)
DEFAULTS = ["labels", "partial_labels", "shuffled_features", "random_features"]


@pytest.fixture(scope="module")
def blobs():
    return make_classification(
        200, 20, n_informative=8, n_redundant=0, class_sep=1.5, random_state=0
    )


@pytest.fixture(scope="module")
def test(blobs):
    return randomization_test(
        MODEL,
        *blobs,
        corruptions=[*DEFAULTS, "permuted_values"],
        regularizers=True,
        capacity=True,
        random_state=0,
    )


# What is found


def test_frame_and_curves_have_a_row_for_each_net_and_epoch(test):
    frame = test.to_frame()
    kinds = ["none", *DEFAULTS, "permuted_values"]
    assert frame[["corruption", "regularized", "repeat"]].to_numpy().tolist() == [
        [kind, on, 0] for kind in kinds for on in (True, False)
    ]
    assert (test.n_rows, test.n_test_rows) == (160, 40)
    curves = test.curves
    assert len(curves) == 6 * 2 * 40
    assert curves["epoch"].tolist()[:40] == list(range(1, 41))
    last = curves[curves["epoch"] == 40].reset_index(drop=True)
    pd.testing.assert_series_equal(last["train_accuracy"], frame["train_accuracy"])
    pd.testing.assert_series_equal(last["train_loss"], frame["train_loss"], rtol=1e-4)


def test_random_labels_are_fitted_but_generalize_by_chance_only(test):
    means = test.means().loc[(slice(None), True), :].droplevel("regularized")
    assert (means["train_accuracy"] > 0.99).all()
    assert means.loc["none", "test_accuracy"] > 0.85
    assert means.loc["shuffled_features", "test_accuracy"] > 0.85  # no neighbors here
    for kind in ("labels", "random_features", "permuted_values"):
        assert abs(means.loc[kind, "test_accuracy"] - 0.5) < 0.2
    fitted = means["first_fitted_epoch"]
    assert fitted["none"] < fitted["labels"]
    np.testing.assert_allclose(means["chance"], 0.5, atol=0.02)


def test_first_fitted_epoch_is_read_off_the_curve(test):
    groups = test.curves.groupby(["corruption", "regularized", "repeat"])
    for row in test.to_frame().itertuples():
        curve = groups.get_group((row.corruption, row.regularized, row.repeat))
        fitted = curve["epoch"][curve["train_accuracy"] >= test.fitted_at]
        assert row.first_fitted_epoch == fitted.iloc[0]


def test_capacity_is_the_largest_rung_that_is_fitted(test):
    ladder = test.ladder
    assert sorted(ladder["n_rows"].unique()) == [10, 20, 40, 80, 160]
    assert len(ladder) == 5 * 2
    assert test.effective_capacity.to_dict() == {False: 160, True: 160}
    small = pd.DataFrame(
        {
            "regularized": True,
            "n_rows": [8, 8, 16, 16, 32, 32],
            "repeat": [0, 1] * 3,
            "train_accuracy": [1, 1, 1, 0.98, 1, 0.7],
        }
    )
    found = RandomizationTest(test.runs, test.curves, small, 0.99, 32, 8)
    assert found.effective_capacity.to_dict() == {True: 16}
    none = small.assign(train_accuracy=0.5)
    found = RandomizationTest(test.runs, test.curves, none, 0.99, 32, 8)
    assert found.effective_capacity.to_dict() == {True: 0}


def test_net_of_few_units_has_less_capacity(blobs):
    X, y = make_classification(400, 5, n_redundant=0, random_state=0)
    small = clone(MODEL).set_params(module_params={"n_units": 4}, max_epochs=20)
    found = randomization_test(
        small, X, y, corruptions="labels", capacity=True, random_state=0
    )
    assert 0 <= found.effective_capacity[True] < 160
    assert found.to_frame()["first_fitted_epoch"].isna()[1]


def test_random_state_repeats_everything_and_leaves_the_rest_alone(blobs):
    torch.manual_seed(3)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    frames = [
        randomization_test(
            MODEL, *blobs, max_epochs=2, random_state=seed, strategy=strategy
        ).to_frame()
        for seed, strategy in ((0, "auto"), (0, "stacked"), (1, "auto"))
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1], rtol=1e-3)
    assert not np.allclose(frames[0]["train_loss"], frames[2]["train_loss"])
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])
    assert not hasattr(MODEL, "net_")


def test_repeats_have_labels_and_seeds_of_their_own(blobs):
    found = randomization_test(
        MODEL,
        *blobs,
        corruptions=["labels", "random_features"],
        capacity=True,
        max_epochs=2,
        n_repeats=2,
        random_state=0,
    )
    frame = found.to_frame()
    assert frame["repeat"].tolist() == [0, 1] * 3
    losses = frame["train_loss"].to_numpy().reshape(3, 2)
    assert (losses[:, 0] != losses[:, 1]).all()
    assert found.ladder["repeat"].tolist() == [0] * 5 + [1] * 5
    np.testing.assert_allclose(
        found.means()["train_loss"].to_numpy(), losses.mean(axis=1)
    )


def test_course_keeps_no_data(blobs):
    """It is sent back from other processes, and held by every net."""
    subject = read_subject(MODEL, *blobs, random_state=0)
    member = subject.member(callbacks=[FitCourse()], max_epochs=3)
    [trained] = subject.train([member])
    [course] = trained.callbacks
    assert list(vars(course)) == ["course_"]
    assert len(course.course_) == 3


def test_chance_follows_from_the_shares_of_the_classes():
    X, y = np.zeros((300, 2)), np.repeat([0, 0, 1], 100)
    found = randomization_test(
        MODEL,
        *(X, y),
        corruptions=["labels", "random_features"],
        max_epochs=1,
        X_test=X[:10],
        y_test=[1] + 9 * [0],
        random_state=0,
    ).to_frame()
    expected = 2 / 3 * 0.9 + 1 / 3 * 0.1
    assert found["chance"][0] == pytest.approx(expected)
    assert found["chance"][2] == pytest.approx(expected)
    assert found["chance"][1] == pytest.approx(0.5, abs=0.1)


# Regularizers


def test_regularizers_are_switched_off():
    model = WideDeepClassifier(
        dropout=0.3,
        wide_l2=1.0,
        caution=True,
        net_params={"optimizer__weight_decay": 0.5, "optimizer__betas": (0.8, 0.9)},
    )
    model.cautious_ = True
    off = unregularized(model)
    assert (off.dropout, off.weight_decay, off.ema_decay) == (0, 0, None)
    assert (off.wide_l1, off.wide_l2, off.unknown_rate) == (0, 0, 0)
    assert not off._is_cautious and model._is_cautious
    assert off.net_params == {
        "optimizer__weight_decay": 0.0,
        "optimizer__betas": (0.8, 0.9),
    }
    assert (model.dropout, model.wide_l2, model.ema_decay) == (0.3, 1.0, 0.99)


def test_dropout_of_a_module_is_switched_off(blobs):
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 2))
    model = clone(MODEL).set_params(module=net, max_epochs=30)
    means = randomization_test(
        model, *blobs, corruptions="labels", regularizers=True, random_state=0
    ).means()
    accuracy = means["train_accuracy"]
    assert accuracy["labels", False] > accuracy["labels", True] + 0.1
    assert net[2].p == 0.9

    class Holder:
        module_ = net

    NoDropout().on_train_begin(Holder)
    assert net[2].p == 0


# Other estimators and data


def test_table_of_words_and_numbers():
    X, y = load_iris(return_X_y=True, as_frame=True)
    X = X.assign(size=np.where(X.iloc[:, 0] > 5.8, "large", "small"))
    X.iloc[::7, 1] = np.nan
    model = WideDeepClassifier(max_epochs=3, n_members=2, caution=False)
    found = randomization_test(
        model,
        *(X, y.map(str)),
        corruptions=[*DEFAULTS, "permuted_values"],
        regularizers=True,
        capacity=True,
        random_state=0,
    )
    assert len(found.to_frame()) == 12
    assert found.curves["train_accuracy"].between(0, 1).all()


def test_sparse_matrix_leaves_out_what_has_no_effect():
    X, y = make_classification(120, 30, random_state=0)
    X[X < 1] = 0
    model = WideDeepClassifier(max_epochs=2, n_members=1)
    with pytest.warns(UserWarning, match="shuffled_features.*are left out") as caught:
        found = randomization_test(model, csr_array(X), y, random_state=0)
    assert caught[0].filename == __file__
    kinds = ["none", "labels", "partial_labels", "random_features"]
    assert found.to_frame()["corruption"].tolist() == kinds
    with pytest.raises(ValueError, match=r"\['shuffled_features'\]: the inputs"):
        randomization_test(model, csr_array(X), y, corruptions="shuffled_features")


def test_dict_of_arrays():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(5, 4)
            self.last = nn.Linear(8, 3)

        def forward(self, numbers, word):
            return self.last(torch.cat([numbers, self.words(word)], dim=1))

    rng = np.random.default_rng(0)
    X = {"numbers": rng.normal(size=(90, 4)), "word": rng.integers(5, size=90)}
    model = NetClassifier(Two, max_epochs=2)
    found = randomization_test(
        model,
        X,
        np.arange(90) % 3,
        corruptions=["shuffled_features", "random_features"],
    )
    assert len(found.to_frame()) == 3


def test_tags_of_sentences(tiny_model):
    """Rows have several labels each, and no features that could be corrupted."""
    X, y = make_sentences(60)
    model = TokenClassifier(tiny_model, max_length=64, learning_rate=1e-2, max_epochs=4)
    with pytest.warns(UserWarning, match="'random_features'. are left out"):
        found = randomization_test(model, X, y, capacity=True, random_state=0)
    assert found.n_rows + found.n_test_rows == sum(map(len, y))
    frame = found.to_frame().set_index("corruption")
    assert frame["chance"]["labels"] == pytest.approx(1 / 5, abs=0.05)
    assert frame["train_accuracy"]["none"] > frame["train_accuracy"]["labels"]
    assert sorted(found.ladder["n_rows"]) == [12, 24, 48]


def test_class_of_one_row_and_callbacks_of_the_estimator(blobs):
    class Counter(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    X, y = blobs
    y = y.copy()
    y[0] = 2
    counter = Counter()
    model = clone(MODEL).set_params(callbacks=[counter], early_stopping=True)
    found = randomization_test(model, X, y, corruptions="labels", max_epochs=4)
    assert len(found.curves) == 8
    assert counter.n_epochs == 0  # copies were called


def test_many_classes():
    X, y = np.random.default_rng(0).normal(size=(120, 6)), np.arange(120) % 40
    found = randomization_test(MODEL, X, y, corruptions="labels", random_state=0)
    means = found.means()["train_accuracy"]
    assert means["labels", True] > 0.9
    assert found.to_frame()["chance"][0] == pytest.approx(1 / 40, abs=0.01)


def test_data_without_a_warning(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        randomization_test(MODEL, *blobs, max_epochs=1)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"corruptions": ["label"]}, r"corruptions must be among .*; got 'label'"),
        ({"corruptions": "pixels"}, r"corruptions must be among .*; got 'pixels'"),
        ({"corruptions": []}, "corruptions must name at least one"),
        ({"corruptions": ["labels", "labels"]}, "corruptions must differ"),
        ({"corruptions": 3}, "'corruptions' parameter.*Got 3"),
        ({"partial": 0.0}, "'partial' parameter of randomization_test.*Got 0.0"),
        ({"fitted_at": 1.1}, "'fitted_at' parameter.*Got 1.1"),
        ({"regularizers": "l2"}, "'regularizers' parameter.*Got 'l2'"),
        ({"capacity": 5}, "'capacity' parameter.*Got 5"),
        ({"n_repeats": 0}, "'n_repeats' parameter.*Got 0"),
        ({"max_epochs": 0}, "'max_epochs' parameter.*Got 0"),
        ({"test_fraction": 0.0}, "'test_fraction' parameter.*Got 0.0"),
        ({"y_test": [0]}, "X_test and y_test must be given together"),
    ],
)
def test_bad_parameters_are_named_with_their_value(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        randomization_test(MODEL, *blobs, **params)


def test_estimator_without_a_net(blobs):
    with pytest.raises(TypeError, match="must be an instance"):
        randomization_test(NetClassifier, *blobs)


# The picture


def test_picture_has_a_line_and_two_marks_for_each_kind(test):
    display = test.plot()
    assert isinstance(display, RandomizationTestDisplay)
    ax = display.ax_
    curves = [line for line in ax.lines if len(line.get_xdata()) == 40]
    assert len(curves) == 12
    assert [line.get_linestyle() for line in curves] == ["-", "--"] * 6
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
    found = [float(line.get_ydata()[0]) for line in marks]
    means = test.means()[["test_accuracy", "chance"]].to_numpy()
    np.testing.assert_allclose(found, means.ravel())
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(words) == 7
    assert words[-1] == "without regularizers"


def test_display_inspects_an_estimator(blobs):
    display = RandomizationTestDisplay.from_estimator(
        MODEL, *blobs, corruptions="labels", max_epochs=1
    )
    assert len(display.plot().ax_.get_legend().get_texts()) == 2
