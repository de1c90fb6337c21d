"""Landscapes are the loss at the weights that they say, and tell what differs."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.inspection.landscape import (
    LossLandscape,
    filter_axes,
    loss_landscape,
)
from sklearn_memgen.inspection.landscape_display import LossLandscapeDisplay


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=6):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


class Normed(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(
            nn.Linear(n_features, 6),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(6, n_classes),
        )


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def fit(module, X, y, seed=0, **params):
    return NetClassifier(
        module, random_state=seed, max_epochs=10, learning_rate=0.03, **params
    ).fit(X, y)


@pytest.fixture(scope="module")
def mlp(iris):
    return fit(MLP, *iris)


@pytest.fixture(scope="module")
def second(iris):
    return fit(MLP, *iris, seed=1)


def moved(model, weights):
    """Return a copy of a classifier with other weights."""
    made = copy.deepcopy(model)
    made.net_.module_.load_state_dict(weights, strict=False)
    return made


def score(model, X, y):
    return log_loss(y, model.predict_proba(X)), 1 - model.score(X, y)


# Around a net


def test_points_are_the_loss_at_moved_weights(mlp, iris):
    found = loss_landscape(
        mlp, *iris, normalization=None, n_points=5, span=0.8, random_state=3
    )
    assert isinstance(found, LossLandscape)
    np.testing.assert_allclose(found.a, [-0.8, -0.4, 0, 0.4, 0.8])
    seed = int(np.random.RandomState(3).randint(2**31))
    draw = torch.Generator().manual_seed(seed)
    weights = mlp.net_.module_.state_dict()
    step = {name: torch.randn(w.shape, generator=draw) for name, w in weights.items()}
    for a, loss, error in zip(found.a, found.loss, found.error, strict=True):
        there = {
            name: w + a * step[name] if w.ndim == 2 else w
            for name, w in weights.items()
        }
        expected = score(moved(mlp, there), *iris)
        np.testing.assert_allclose([loss[0], error[0]], expected, rtol=1e-4)


@pytest.mark.parametrize("normalization", ["filter", "layer", "weight"])
@pytest.mark.parametrize("one_dimensional", ["zero", "copy"])
def test_layers_that_differ_in_scale_have_one_picture(
    mlp, iris, normalization, one_dimensional
):
    scaled = copy.deepcopy(mlp)
    first, _, last = scaled.net_.module_
    with torch.no_grad():
        first.weight *= 16
        first.bias *= 16
        last.weight /= 16
    options = {"one_dimensional": one_dimensional, "n_points": 7, "random_state": 0}
    one, other, bare_one, bare_other = (
        loss_landscape(model, *iris, normalization=n, **options)
        for n in (normalization, None)
        for model in (mlp, scaled)
    )
    np.testing.assert_allclose(other.loss, one.loss, rtol=1e-4)
    assert np.abs(np.log(bare_other.loss / bare_one.loss)).max() > 0.3


def test_directions_are_as_long_as_their_filters(iris, monkeypatch):
    X, y = iris
    model = WideDeepClassifier(
        n_members=2, hidden_layer_sizes=(4, 3), max_epochs=2, random_state=0
    ).fit(pd.DataFrame(X), y)
    module = model.net_.module_
    axes = filter_axes(module)
    members = [n for n, p in module.named_parameters() if p.ndim == 3]
    assert {axes[n] for n in members if "weight" in n} == {(1,)}
    assert {axes[n] for n in members if "bias" in n} == {()}
    assert axes["deep.layers.0.weight"] == (1,)
    places = []
    monkeypatch.setattr(
        "sklearn_memgen.inspection.landscape.LossSurface.place",
        lambda self, weights: places.append((self.weights, dict(weights))),
    )
    loss_landscape(model, pd.DataFrame(X), y, n_points=3, random_state=0)
    weights, there = next(p for p in places if p[1])
    for name, over in axes.items():
        shift = there[name] - weights[name]
        if not over:
            assert not shift.any(), name
            continue
        np.testing.assert_allclose(
            shift.norm(dim=over), weights[name].norm(dim=over), rtol=1e-4, atol=1e-6
        )


def test_plane_has_the_line_in_its_middle(mlp, iris):
    params = {"n_points": 5, "random_state": 0}
    line = loss_landscape(mlp, *iris, **params)
    plane = loss_landscape(mlp, *iris, dimensions=2, **params)
    assert plane.loss.shape == plane.error.shape == (5, 5)
    np.testing.assert_allclose(plane.loss[:, 2], line.loss[:, 0], rtol=1e-5)
    frame = plane.to_frame()
    assert frame.columns.tolist() == ["a", "b", "loss", "error"]
    at = frame.query("a == 0 and b == 0").iloc[0]
    np.testing.assert_allclose(at[["loss", "error"]], score(mlp, *iris), rtol=1e-5)
    assert frame.iloc[1][["a", "b"]].tolist() == [-1, -0.5]
    assert frame["loss"].tolist() == plane.loss.ravel().tolist()


# Between nets


def test_line_goes_from_one_net_to_the_other(mlp, second, iris):
    found = loss_landscape(mlp, *iris, other=second, n_points=5)
    np.testing.assert_allclose(found.a, [0, 0.25, 0.5, 0.75, 1])
    for end, model in ((0, mlp), (-1, second)):
        np.testing.assert_allclose(
            [found.loss[end, 0], found.error[end, 0]], score(model, *iris), rtol=1e-5
        )
    one, other = (m.net_.module_.state_dict() for m in (mlp, second))
    between = moved(mlp, {n: (one[n] + 3 * other[n]) / 4 for n in one})
    np.testing.assert_allclose(found.loss[3, 0], score(between, *iris)[0], rtol=1e-5)
    assert found.barrier == {
        name: pytest.approx(values.max() - (values[0, 0] + values[-1, 0]) / 2)
        for name, values in (("loss", found.loss), ("error", found.error))
    }
    again = loss_landscape(mlp, *iris, other=mlp, n_points=5)
    assert again.barrier == pytest.approx({"loss": 0, "error": 0}, abs=1e-6)


def test_same_function_with_units_in_other_places_is_beyond_a_barrier(mlp, iris):
    swapped = copy.deepcopy(mlp)
    first, _, last = swapped.net_.module_
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(0))
        first.bias.copy_(first.bias.flip(0))
        last.weight.copy_(last.weight.flip(1))
    found = loss_landscape(mlp, *iris, other=swapped, span=0.2)
    assert found.a[0] == -0.2
    assert found.a[-1] == 1.2
    assert {0.0, 1.0} <= set(found.a)
    ends = found.loss[np.isin(found.a, [0, 1]), 0]
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)
    assert found.barrier["loss"] > 0.05


def test_frozen_parameters_are_on_the_line(mlp, second, iris):
    one, other = copy.deepcopy(mlp), copy.deepcopy(second)
    for model in (one, other):
        model.net_.module_[0].requires_grad_(False)
    free, frozen = (
        loss_landscape(*pair, other=target, n_points=5).loss
        for pair, target in (((mlp, *iris), second), ((one, *iris), other))
    )
    np.testing.assert_array_equal(frozen, free)


def test_statistics_of_normalizations(iris):
    X, y = iris
    one, other = (fit(Normed, X, y, seed=seed, early_stopping=False) for seed in (0, 1))
    states = [model.net_.module_.state_dict() for model in (one, other)]
    middle = {
        name: torch.lerp(w, states[1][name], 0.5) if w.is_floating_point() else w
        for name, w in states[0].items()
    }
    found = loss_landscape(one, X, y, other=other, n_points=3)
    between = moved(one, middle)
    np.testing.assert_allclose(found.loss[1, 0], score(between, X, y)[0], rtol=1e-5)
    anew = loss_landscape(one, X, y, other=other, n_points=3, batch_norm="reestimate")
    layers = between.net_.module_
    with torch.no_grad():
        hidden = layers[0](torch.from_numpy(X).float())
        layers[1].running_mean.copy_(hidden.mean(0))
        layers[1].running_var.copy_(hidden.var(0))
    np.testing.assert_allclose(anew.loss[1, 0], score(between, X, y)[0], rtol=1e-4)
    around = [
        loss_landscape(one, X, y, n_points=3, batch_norm=option, random_state=0).loss
        for option in ("interpolate", "reestimate")
    ]
    np.testing.assert_allclose(around[0][1, 0], score(one, X, y)[0], rtol=1e-5)
    assert not np.allclose(*around)


# The classifier and the rows


def test_classifiers_stay_as_they_are(iris):
    one, other = (fit(Normed, *iris, seed=seed) for seed in (0, 1))
    before = [pickle.dumps(m.net_.module_.state_dict()) for m in (one, other)]
    state = torch.get_rng_state()
    for params in ({"other": other}, {"dimensions": 2}):
        loss_landscape(one, *iris, n_points=3, batch_norm="reestimate", **params)
    after = [pickle.dumps(m.net_.module_.state_dict()) for m in (one, other)]
    assert before == after
    assert torch.equal(torch.get_rng_state(), state)


def test_rows_are_sampled_and_draws_repeated(mlp, iris):
    one, two, three = (
        loss_landscape(mlp, *iris, n_rows=30, n_points=3, random_state=seed)
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    assert not np.allclose(one.loss, three.loss)
    assert (one.n_rows, one.n_given) == (30, 150)


def test_losses_that_overflow_are_kept_and_drawn(mlp, iris):
    pytest.importorskip("matplotlib")
    for dimensions in (1, 2):
        found = loss_landscape(
            mlp, *iris, span=1e30, n_points=5, dimensions=dimensions, random_state=0
        )
        middle = len(found.b) // 2
        assert not np.isfinite(found.loss).all()
        assert np.isfinite(found.loss[2, middle])
        found.plot().figure_.canvas.draw()


def test_pictures(mlp, second, iris):
    plt = pytest.importorskip("matplotlib.pyplot")
    display = LossLandscapeDisplay.from_estimator(
        mlp, *iris, n_points=5, random_state=0
    ).plot()
    assert len(display.ax_.lines) == 2  # the loss, and where the net is
    assert len(display.error_ax_.lines) == 1
    line = loss_landscape(mlp, *iris, other=second, n_points=5).plot()
    assert "Barrier between two nets: " in line.ax_.get_title(loc="left")
    _, ax = plt.subplots()
    plane = loss_landscape(mlp, *iris, n_points=5, dimensions=2).plot(ax)
    assert plane.ax_ is ax
    words = [text.get_text() for text in ax.get_legend().texts]
    assert words[0] == "the net"
    plt.close("all")


# What goes wrong


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"dimensions": 3}, ValueError, "dimensions must be 1 or 2; got 3"),
        ({"n_points": 1}, ValueError, "n_points == 1"),
        ({"span": 0}, ValueError, "span == 0"),
        ({"normalization": "unit"}, ValueError, "normalization must.*'unit'"),
        ({"one_dimensional": "drop"}, ValueError, "one_dimensional must.*'drop'"),
        ({"batch_norm": "train"}, ValueError, "batch_norm must.*'train'"),
        ({"n_rows": -1}, ValueError, "n_rows == -1"),
    ],
)
def test_bad_parameters_are_named_with_their_value(mlp, iris, params, error, message):
    with pytest.raises(error, match=message):
        loss_landscape(mlp, *iris, **params)


def test_nets_between_which_there_is_no_line(mlp, iris):
    X, y = iris
    with pytest.raises(NotFittedError):
        loss_landscape(NetClassifier(MLP), X, y)
    with pytest.raises(NotFittedError):
        loss_landscape(mlp, X, y, other=NetClassifier(MLP))
    with pytest.raises(ValueError, match="dimensions=2 does not go with other="):
        loss_landscape(mlp, X, y, other=mlp, dimensions=2)
    few = fit(MLP, X, y, module_params={"n_units": 3})
    with pytest.raises(ValueError, match=r"'0.weight' has the shape \(3, 4\) there"):
        loss_landscape(mlp, X, y, other=few)
    normed = fit(Normed, X, y)
    with pytest.raises(ValueError, match="the parameter '1.bias' is there in one"):
        loss_landscape(mlp, X, y, other=normed)
    named = fit(MLP, X, np.array(["a", "b", "c"])[y])
    with pytest.raises(ValueError, match="b"):
        loss_landscape(mlp, X, y, other=named)
    table = pd.DataFrame(X)
    wide = WideDeepClassifier(max_epochs=1, early_stopping=False, random_state=0)
    halves = [copy.deepcopy(wide).fit(table[k::2], y[k::2]) for k in range(2)]
    with pytest.raises(ValueError, match="encode rows as it does; the"):
        loss_landscape(halves[0], table, y, other=halves[1])
    X = X.astype(np.float32)  # which the scaler keeps
    scaled = fit(MLP, X, y, encoder=StandardScaler())
    doubled = fit(MLP, 2 * X, y, encoder=StandardScaler())
    with pytest.raises(ValueError, match="encoded input 'X' has other values"):
        loss_landscape(scaled, X, y, other=doubled)
    with pytest.raises(AttributeError, match="between two nets"):
        _ = loss_landscape(mlp, X, y, n_points=3).barrier
