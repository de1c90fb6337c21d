"""Pairs of nets part where they are said to, and meet where nothing is random."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.inspection.connectivity import (
    Instability,
    InstabilityDisplay,
    instability,
)

COLUMNS = [
    "epoch",
    "repeat",
    "error",
    "error_between",
    "instability",
    "loss_barrier",
    "train_loss_barrier",
]


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=16):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


class Normed(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(
            nn.Linear(n_features, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Linear(16, n_classes),
        )


def make(module=MLP, max_epochs=8, **params):
    params = {"schedule": "constant", "learning_rate": 0.01} | params
    return NetClassifier(module, max_epochs=max_epochs, **params)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def found(digits):
    return instability(
        make(), *digits, epochs=(0, 7), n_repeats=2, n_points=9, random_state=0
    )


def test_nets_that_part_late_are_connected(found):
    frame = found.to_frame()
    assert isinstance(found, Instability)
    assert frame.columns.tolist() == COLUMNS
    assert frame[["epoch", "repeat"]].to_numpy().tolist() == [
        [0, 0],
        [0, 1],
        [7, 0],
        [7, 1],
    ]
    early, late = (frame[frame["epoch"] == k] for k in (0, 7))
    assert early["train_loss_barrier"].min() > 3 * late["train_loss_barrier"].max()
    assert late["instability"].max() < 0.02
    assert found.error.shape == found.loss.shape == (2, 2, 9)
    assert (found.max_epochs, found.n_test) == (8, 150)


def test_numbers_are_those_of_the_lines(found):
    frame, error = found.to_frame(), found.error.reshape(4, 9)
    ends = error[:, [0, -1]].mean(axis=1)
    np.testing.assert_allclose(frame["error"], ends)
    np.testing.assert_allclose(frame["error_between"], error.max(axis=1))
    np.testing.assert_allclose(frame["instability"], error.max(axis=1) - ends)
    loss = found.loss.reshape(4, 9)
    expected = loss.max(axis=1) - loss[:, [0, -1]].mean(axis=1)
    np.testing.assert_allclose(frame["loss_barrier"], expected)


@pytest.mark.parametrize("epoch", [0, 3])
def test_pairs_go_on_from_the_same_weights(iris, epoch):
    # In one batch the order of rows means nothing, so that both end in one place.
    model = make(batch_size=1000, optimizer="sgd", learning_rate=0.1)
    result = instability(
        model, *iris, epochs=[epoch], n_repeats=2, n_points=3, random_state=0
    )
    np.testing.assert_allclose(
        result.loss, result.loss[..., :1] + 0 * result.loss, rtol=1e-4
    )
    one, other = result.loss[0, :, 0]
    assert one != pytest.approx(other, rel=1e-3)


def test_epochs_before_the_parting_are_learned(iris):
    model = make(max_epochs=60, schedule="constant", batch_size=1000, optimizer="sgd")
    result = instability(model, *iris, epochs=(0, 59), n_points=3, random_state=0)
    # The first 59 epochs are learned once, the last by each of the pair.
    np.testing.assert_allclose(result.loss[0], result.loss[1], rtol=0.1)


def test_strategies_agree_and_seeds_repeat(digits):
    X, y = digits[0][:200], digits[1][:200]
    frames = [
        instability(
            make(max_epochs=2), X, y, n_points=3, random_state=0, strategy=strategy
        ).to_frame()
        for strategy in ("sequential", "stacked", "sequential")
    ]
    pd.testing.assert_frame_equal(frames[0], frames[2])
    pd.testing.assert_frame_equal(frames[0], frames[1], rtol=1e-3, atol=1e-4)


def test_rows_to_test_on_and_normalizations(digits):
    X, y = digits
    params = {"epochs": [1], "n_points": 5, "random_state": 0}
    params |= {"X_test": X[400:], "y_test": y[400:]}
    state = torch.get_rng_state()
    model = make(Normed, max_epochs=3)
    between, anew = (
        instability(model, X[:400], y[:400], batch_norm=option, **params)
        for option in ("interpolate", "reestimate")
    )
    assert between.n_test == 200
    assert not np.allclose(between.loss, anew.loss)
    assert not hasattr(model, "net_")
    assert torch.equal(torch.get_rng_state(), state)


def test_picture(found, iris):
    pytest.importorskip("matplotlib")
    ax = found.plot().ax_
    texts = [text.get_text() for text in ax.get_legend().texts]
    assert texts == ["before training", "after epoch 7"]
    assert len(ax.lines) == 2 * (2 + 1) + 1
    model = make(max_epochs=2)
    display = InstabilityDisplay.from_estimator(model, *iris, n_points=3)
    assert display.plot(ax).ax_ is ax


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"epochs": (0, 8)}, ValueError, "epochs must hold epochs from 0 to 7; got 8"),
        ({"epochs": (0.5,)}, ValueError, "epochs must hold.*got 0.5"),
        ({"epochs": ()}, ValueError, "epochs must hold one.*none"),
        ({"n_repeats": 0}, ValueError, "n_repeats == 0"),
        ({"n_points": 2}, ValueError, "n_points == 2"),
        ({"batch_norm": "train"}, ValueError, "batch_norm must.*'train'"),
        ({"estimator": StandardScaler()}, TypeError, "classifier with a net"),
    ],
)
def test_bad_parameters_are_named_with_their_value(iris, params, error, message):
    with pytest.raises(error, match=message):
        instability(**({"estimator": make(), "X": iris[0], "y": iris[1]} | params))
