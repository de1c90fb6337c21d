"""Wider nets are trained beside one another, and measured as they should be."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.inspection._fitted_subject import read_fitted
from sklearn_memgen.inspection._measures import accuracy_and_loss
from sklearn_memgen.inspection._norms import norms_of
from sklearn_memgen.inspection._widths import find_width, with_width
from sklearn_memgen.inspection.capacity import CapacityCurve, capacity_curve
from sklearn_memgen.inspection.capacity_display import CapacityCurveDisplay
from sklearn_memgen.training import ArrayTensors


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=16):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


class Custom(nn.Module):
    """The same chain, written by hand, whose width has a name of its own."""

    def __init__(self, n_features, n_classes, wideness=4):
        super().__init__()
        self.one = nn.Linear(n_features, wideness)
        self.two = nn.Linear(wideness, n_classes)

    def forward(self, x):
        return self.two(self.one(x).relu())


MODEL = NetClassifier(
    MLP, weight_decay=0.0, learning_rate=0.02, batch_size=32, max_epochs=40
)


@pytest.fixture(scope="module")
def blobs():
    """Rows of two classes that a few units tell apart."""
    return make_classification(
        200, 8, n_informative=6, n_redundant=0, class_sep=1.5, random_state=0
    )


@pytest.fixture(scope="module")
def curve(blobs):
    return capacity_curve(
        MODEL, *blobs, (64, 1, 8), max_epochs=40, n_repeats=2, random_state=0
    )


# What is found


def test_frame_has_a_row_for_each_net_in_order(curve):
    frame = curve.to_frame()
    keys = frame[["label_noise", "width", "repeat"]].to_numpy().tolist()
    assert keys == [[p, n, k] for p in (0, 0.05) for n in (1, 8, 64) for k in (0, 1)]
    # One logit would do for two classes; this module has two.
    assert (
        frame["n_parameters"].tolist()
        == [8 * n + n + 2 * n + 2 for n in (1, 1, 8, 8, 64, 64)] * 2
    )
    assert curve.train_error.shape == curve.test_error.shape == (2, 3, 2)
    assert curve.train_error[1, 2, 1] == frame["train_error"].iloc[-1]
    assert (curve.n_rows, curve.n_test_rows) == (160, 40)
    assert frame.drop(columns="repeat").notna().all().all()


def test_wider_nets_fit_more_and_noise_is_harder_to_fit(curve):
    error = curve.means()["train_error"].unstack()
    assert (error.diff(axis=1).iloc[:, 1:] <= 0).all().all()
    assert (error.loc[0.05] >= error.loc[0]).all()
    assert error.loc[0, 64] == 0
    # Random labels cannot be predicted, true ones can.
    assert (curve.means()["test_error"].unstack()[64] < 0.2).all()


def test_interpolation_width_is_the_smallest_that_fits(curve):
    error = curve.means()["train_error"]
    for level, width in curve.interpolation_width.items():
        fits = [n for n in curve.widths if error[level, n] <= 0]
        assert (fits[0] if fits else math.isnan(width)) in (width, True)
    everything = CapacityCurve(curve.runs, 1.0, 160, 40, 0.5)
    assert everything.interpolation_width.tolist() == [1, 1]
    nothing = curve.runs.assign(train_error=0.5)
    assert CapacityCurve(nothing, 0.0, 160, 40, 0.5).interpolation_width.isna().all()


def test_noise_is_in_the_training_labels_alone():
    """A net that learns nothing but one class has the shares of the labels."""
    X, y = np.random.default_rng(0).normal(size=(400, 2)), np.arange(400) % 2
    y[:300] = 0
    still = clone(MODEL).set_params(learning_rate=1e-9)
    test = X[:50], np.zeros(50, dtype=int)
    test[1][:10] = 1
    frames = [
        capacity_curve(
            still,
            *(X, y, (2,)),
            label_noise=(0.0, 0.25),
            max_epochs=1,
            random_state=seed,
            X_test=test[0],
            y_test=test[1],
        ).to_frame()
        for seed in range(2)
    ]
    for frame in frames:  # the same net, whatever the noise is
        assert frame["test_error"].nunique() == 1
        assert frame["train_error"].nunique() == 2
        assert frame["weight_norm"].round(5).nunique() == 1


def test_error_and_loss_are_those_of_scikit_learn(blobs):
    X, y = blobs
    model = clone(MODEL).set_params(max_epochs=3, random_state=0).fit(X, y)
    accuracy, loss = accuracy_and_loss(model.net_, read_fitted(model, X, y).data)
    assert accuracy == pytest.approx(model.score(X, y))
    assert loss == pytest.approx(log_loss(y, model.predict_proba(X)), rel=1e-5)


def test_random_state_repeats_everything_and_leaves_the_rest_alone(blobs):
    torch.manual_seed(3)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    model = clone(MODEL).set_params(random_state=None)
    frames = [
        capacity_curve(
            model, *blobs, (2, 4), max_epochs=2, random_state=seed, strategy=strategy
        ).to_frame()
        for seed, strategy in ((0, "auto"), (0, "sequential"), (1, "auto"))
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1], rtol=1e-4)
    assert not np.allclose(frames[0]["test_loss"], frames[2]["test_loss"])
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])
    assert not hasattr(model, "net_") and model.random_state is None


def test_nets_go_on_to_the_end_of_their_epochs(blobs):
    """Early stopping, which is on by default, would hide what a net can fit."""
    model = clone(MODEL).set_params(early_stopping=True, n_iter_no_change=1)
    curves = [
        capacity_curve(one, *blobs, (32,), label_noise=0, random_state=0)
        for one in (model, MODEL)
    ]
    pd.testing.assert_frame_equal(curves[0].to_frame(), curves[1].to_frame())


# Norms


def test_norms_of_a_chain_against_their_definitions():
    torch.manual_seed(0)
    module = Custom(3, 2, 5).double()
    initial = {name: p.detach() * 0 for name, p in module.named_parameters()}
    X = ArrayTensors({"": torch.randn(7, 3, dtype=torch.float64)})
    norms = norms_of(module, initial, X)
    flat = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert norms["weight_norm"] == pytest.approx(float(flat.norm()))
    assert norms["distance"] == pytest.approx(float(flat.norm()))
    w1, b1, w2, b2 = (p.detach().numpy() for p in module.parameters())
    spectral = np.linalg.norm(w1, 2) * np.linalg.norm(w2, 2)
    assert norms["spectral_product"] == pytest.approx(spectral)
    paths = sum(
        (w2[k, j] * w1[j, i]) ** 2 for k in range(2) for j in range(5) for i in range(3)
    )
    paths += sum((w2[k, j] * b1[j]) ** 2 for k in range(2) for j in range(5))
    paths += (b2**2).sum()
    assert norms["path_norm"] == pytest.approx(math.sqrt(paths))


def test_path_norm_is_blind_to_rescaling_and_missing_where_there_is_no_chain():
    torch.manual_seed(0)
    X = ArrayTensors({"": torch.randn(20, 3)})
    module = MLP(3, 2, 8)
    nothing = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    before = norms_of(module, nothing, X)
    with torch.no_grad():
        module[0].weight *= 10
        module[0].bias *= 10
        module[2].weight /= 10
    after = norms_of(module, nothing, X)
    assert after["path_norm"] == pytest.approx(before["path_norm"], rel=1e-5)
    assert after["weight_norm"] > 2 * before["weight_norm"]
    tanh = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    embedded = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Embedding(5, 2))
    embedded.forward = lambda x: embedded[1](embedded[0](x).relu())
    for net, misses in ((tanh, "path_norm"), (embedded, "spectral_product")):
        nothing = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
        norms = norms_of(net, nothing, X)
        assert math.isnan(norms["path_norm"])
        assert math.isnan(norms[misses])
        assert norms["weight_norm"] > 0


def test_distance_begins_at_the_initial_weights(blobs):
    still = clone(MODEL).set_params(learning_rate=1e-9)
    frame = capacity_curve(still, *blobs, (4, 8), max_epochs=2, n_jobs=None).to_frame()
    assert (frame["distance"] < 1e-5).all()
    assert (frame["weight_norm"] > 0.5).all()


# Which parameter is the width


def test_width_is_found_by_its_name():
    assert find_width(MODEL, None) == "module_params__n_units"
    assert find_width(WideDeepClassifier(), None) == "hidden_layer_sizes"
    made = with_width(MODEL, "module_params__n_units", 5)
    assert made.module_params == {"n_units": 5}
    assert MODEL.module_params is None
    deep = WideDeepClassifier(hidden_layer_sizes=(3, 3, 3))
    assert with_width(deep, "hidden_layer_sizes", 7).hidden_layer_sizes == (7,) * 3
    deep = with_width(WideDeepClassifier(), "hidden_layer_sizes", 7)
    assert deep.hidden_layer_sizes == (7, 7)

    def build(n_features, n_classes, hidden, width):
        """`width` comes after `hidden`, unless the user has set it."""

    assert find_width(NetClassifier(build), None) == "module_params__hidden"
    own = NetClassifier(build, module_params={"width": 3})
    assert find_width(own, None) == "module_params__width"


@pytest.mark.parametrize(
    "width",
    [
        "module_params__wideness",
        lambda estimator, n: estimator.set_params(module_params={"wideness": n}),
        lambda _, n: NetClassifier(
            Custom, module_params={"wideness": n}, max_epochs=1, random_state=0
        ),
    ],
)
def test_width_by_name_and_by_function(blobs, width):
    model = NetClassifier(Custom, max_epochs=1)
    curve = capacity_curve(model, *blobs, (2, 3), width=width, label_noise=0)
    assert curve.to_frame()["n_parameters"].tolist() == [24, 35]
    assert curve.to_frame()["path_norm"].notna().all()
    assert model.module_params is None


@pytest.mark.parametrize(
    "estimator, width, message",
    [
        (
            NetClassifier(Custom),
            None,
            r"(?s)width=None found no .*module_params__n_units",
        ),
        (NetClassifier(nn.Linear(8, 2)), None, "width=None found no"),
        (NetClassifier(Custom), "n_units", "width='n_units' is no parameter.*wideness"),
        (NetClassifier(Custom), "module_params__units", "width='module_params__units'"),
        (WideDeepClassifier(), "units", "width='units' is no parameter"),
    ],
)
def test_width_that_is_not_there(blobs, estimator, width, message):
    with pytest.raises(ValueError, match=message):
        capacity_curve(estimator, *blobs, (2,), width=width)


def test_function_must_return_an_estimator_of_the_same_kind(blobs):
    with pytest.raises(TypeError, match="must return a NetClassifier; for 2 .*None"):
        capacity_curve(MODEL, *blobs, (2,), width=lambda *_: None)


# Other estimators and data


def test_table_of_words_and_numbers(blobs):
    X, y = load_iris(return_X_y=True, as_frame=True)
    X = X.assign(size=np.where(X.iloc[:, 0] > 5.8, "large", "small"))
    model = WideDeepClassifier(max_epochs=3, n_members=2)
    curve = capacity_curve(model, X, y.map(str), (2, 16), label_noise=0.1)
    frame = curve.to_frame()
    assert frame["n_parameters"].is_monotonic_increasing
    assert frame["path_norm"].isna().all() and frame["distance"].notna().all()


def test_pipeline_and_its_last_step(blobs):
    model = make_pipeline(StandardScaler(), clone(MODEL))
    curve = capacity_curve(model, *blobs, (2,), max_epochs=1)
    assert len(curve.to_frame()) == 2


@pytest.mark.parametrize(
    "params, message",
    [
        ({"widths": ()}, "widths must be positive integers"),
        ({"widths": (4, 0)}, r"widths must be positive integers; got \(4, 0\)"),
        ({"widths": (2.5,)}, r"widths must be positive integers; got \(2.5,\)"),
        ({"widths": (4, 4)}, r"widths must differ.*\(4, 4\)"),
        ({"label_noise": (0, 1)}, r"label_noise must be shares.*\(0, 1\)"),
        ({"label_noise": (0, -0.1)}, "label_noise must be shares"),
        ({"label_noise": (0.1, 0.1)}, "label_noise must have each level once"),
        ({"label_noise": ("a",)}, "label_noise must be numbers"),
        ({"label_noise": float("nan")}, "label_noise"),
        ({"n_repeats": 0}, "'n_repeats' parameter of capacity_curve.*Got 0"),
        ({"max_epochs": 0}, "'max_epochs' parameter.*Got 0"),
        ({"tolerance": 1.0}, "'tolerance' parameter.*Got 1.0"),
        ({"test_fraction": 1.5}, "'test_fraction' parameter.*Got 1.5"),
        ({"strategy": "fast"}, "'strategy' parameter.*Got 'fast'"),
        ({"width": 3}, "'width' parameter.*Got 3"),
        ({"X_test": [[0.0] * 8]}, "X_test and y_test must be given together"),
    ],
)
def test_bad_parameters_are_named_with_their_value(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        capacity_curve(MODEL, *blobs, **params)


def test_estimator_without_a_net(blobs):
    with pytest.raises(TypeError, match="LogisticRegression"):
        capacity_curve(LogisticRegression(), *blobs)


def test_net_that_diverges_says_so(blobs):
    model = clone(MODEL).set_params(optimizer="sgd", learning_rate=1e20)
    with pytest.raises(FloatingPointError, match="learning_rate"):
        capacity_curve(model, *blobs, (4,))


# The picture


def test_picture_has_two_lines_a_level_and_a_mark(curve):
    display = curve.plot()
    assert isinstance(display, CapacityCurveDisplay)
    ax = display.ax_
    n_marks = int(curve.interpolation_width.notna().sum())
    assert len(ax.lines) == 4 + n_marks
    test = ax.lines[0]
    np.testing.assert_array_equal(test.get_xdata(), [1, 8, 64])
    np.testing.assert_allclose(test.get_ydata(), curve.test_error[0].mean(axis=1))
    assert len(ax.get_legend().get_texts()) == 4
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "8", "64"]


def test_display_inspects_an_estimator(blobs):
    display = CapacityCurveDisplay.from_estimator(
        MODEL, *blobs, widths=(2, 4), max_epochs=1, label_noise=0.2
    )
    assert not hasattr(display, "ax_")
    assert len(display.plot().ax_.get_legend().get_texts()) == 2
