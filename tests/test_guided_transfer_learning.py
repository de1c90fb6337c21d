"""GuidedTransferClassifier: few rows, one more at a time, and its own source."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sklearn_memgen import GuidedTransferClassifier, SourceNet
from sklearn_memgen.datasets import make_xor
from tests.clusters import make_clusters
from tests.transfers import QUICK, digit_source, few_digits, named_digits, parameters_of


@pytest.fixture
def digits():
    return named_digits()


@pytest.fixture
def source():
    return digit_source()


@pytest.fixture
def few():
    return few_digits()


# Few rows


def test_few_rows_of_new_digits(digits):
    """Beside the same net, with the same encoder and settings, from random weights.

    At a tenth of the learning rate the random net is ahead: to tell these digits apart
    hardly anything has to be known before.
    """
    X, y = digits
    known, new = y < 6, np.flatnonzero(y >= 6)
    params = {"random_state": 0, "device": "cpu"}
    source = SourceNet(**params, max_epochs=10, n_scouts=8, scout_epochs=10)
    source.fit(X[known])
    untrained = SourceNet(
        **params, max_epochs=1, learning_rate=1e-12, ema_decay=None
    ).fit(X[known])
    gains = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(y == c), 5, False) for c in range(6, 10)]
        )
        rest = np.setdiff1d(new, rows)
        model = GuidedTransferClassifier(
            source=source, spread="absolute", random_state=seed, device="cpu"
        )
        scratch = clone(model).set_params(source=untrained, guide=None)
        scores = [
            one.fit(X.iloc[rows], y[rows]).score(X.iloc[rest], y[rest])
            for one in (model, scratch)
        ]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.0


def test_few_rows_of_a_table():
    """Columns that a source knows; the guide keeps what forty rows would spoil."""
    params = {"hidden_layer_sizes": (64, 32), "random_state": 0, "device": "cpu"}
    X, _ = make_clusters(3000)
    source = SourceNet(**params, max_epochs=15, n_scouts=8, scout_epochs=10).fit(X)
    untrained = SourceNet(**params, max_epochs=1, learning_rate=1e-12, ema_decay=None)
    untrained.fit(X)
    test_X, test_y = make_clusters(2000, seed=1)
    scores = []
    for seed in range(4):
        few_X, few_y = make_clusters(40, seed=10 + seed)
        guided = GuidedTransferClassifier(source, random_state=seed, device="cpu")
        plain = clone(guided).set_params(guide=None)
        scratch = clone(plain).set_params(source=untrained)
        models = (guided, plain, scratch)
        scores.append([m.fit(few_X, few_y).score(test_X, test_y) for m in models])
    guided, plain, scratch = np.mean(scores, axis=0)
    assert guided > plain + 0.01
    assert guided > scratch + 0.04


# One example at a time


def test_one_row_of_each_of_many_classes_is_no_regression(digits):
    X, _ = digits
    many = np.arange(40)  # one row of each
    model = GuidedTransferClassifier(
        source_params={"max_epochs": 1},
        guide=None,
        max_epochs=1,
        device="cpu",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X[:40], many)
    assert len(model.classes_) == 40
    with pytest.raises(ValueError, match="continuous"):
        model.fit(X[:40], many + 0.5)


def test_partial_fit_learns_one_example_at_a_time(source, digits, few):
    X, y = digits
    new = np.flatnonzero(y >= 6)[100:110]
    model = GuidedTransferClassifier(
        source=source, epochs_per_call=5, random_state=0, device="cpu"
    ).fit(*few)
    n_epochs = len(model.history_)
    before = parameters_of(model)
    for row in new:
        model.partial_fit(X.iloc[[row]], y[[row]])
    assert len(model.history_) == n_epochs + 50
    after = parameters_of(model)
    for name, multiplier in model.guide_.items():
        frozen = (multiplier == 0).expand_as(before[name])
        assert torch.equal(before[name][frozen], after[name][frozen])
    assert not torch.equal(before["head.weight"], after["head.weight"])
    fresh = GuidedTransferClassifier(source=source, random_state=0)
    fresh.partial_fit(X.iloc[[new[0]]], y[[new[0]]], classes=[6, 7, 8, 9])
    assert fresh.predict_proba(few[0]).shape == (20, 4)


def test_warm_start_goes_on(source, few):
    model = GuidedTransferClassifier(
        source=source, warm_start=True, max_epochs=10, random_state=0
    )
    loss = model.fit(*few).history_["train_loss"].iloc[-1]
    model.set_params(temperature="warm")
    assert model.fit(*few).history_["train_loss"].iloc[-1] < loss
    assert (model.guide_["body.deep.layers.0.weight"] >= 0.5).all()


# Without a source


def test_it_pretrains_on_its_own_rows(digits):
    X, y = digits
    model = GuidedTransferClassifier(
        source_params={"hidden_layer_sizes": (16,), **QUICK}, random_state=0
    )
    model.fit(X[:300], y[:300])
    assert model.source_.classes_.tolist() == list(range(10))
    assert len(model.source_.scouts_) == 10
    assert model.encoder_ is model.source_.encoder_
    assert model.source is None
    assert model.score(X, y) > 0.8
    again = clone(model).fit(X[:300], y[:300])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_few_subsets_of_its_own_rows(digits):
    """Four clouds of points are four clusters, and four triples of them."""
    X = np.repeat([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], 5, axis=0)
    y = (X[:, 0] != X[:, 1]).astype(int)
    model = GuidedTransferClassifier(
        source_params={"hidden_layer_sizes": (8,), "scout_epochs": 5}, random_state=0
    ).fit(X, y)
    assert len(model.source_.scouts_) == 4
    assert model.score(X, y) == 1
    plain = clone(model).set_params(guide=None).fit(X, y)
    assert not hasattr(plain.source_, "guide_")
    with pytest.raises(ValueError, match="classes_per_scout=30 is more than the"):
        GuidedTransferClassifier(
            source_params={"n_scouts": 3, "classes_per_scout": 30}
        ).fit(X, y)


def test_xor_without_pretraining():
    """Scouts learn three of the four rows each, and begin where the net begins."""
    X, y = make_xor(4, noise=0.0, random_state=0)
    triples = [np.delete(np.arange(4), row) for row in range(4)]
    model = GuidedTransferClassifier(
        source_params={
            "module": lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh()),
            "max_epochs": 0,
            "learning_rate": 0.03,
            "n_scouts": 4,
            "scout_tasks": lambda *given: triples,
            "scout_epochs": 100,
        },
        guide="global",
        head="kept",
        learning_rate=0.03,
        max_epochs=300,
        random_state=0,
        device="cpu",
    ).fit(X, y)
    assert model.score(X, y) == 1
    assert model.source_.scouts_["n_rows"].tolist() == [3, 3, 3, 3]
    assert (model.source_.scouts_["accuracy"] == 1).all()
    values = torch.cat([value.flatten() for value in model.guide_.values()])
    assert values.min() == 0 and values.max() == 1


def test_images_with_a_module(digits):
    X, y = digits
    images = X.to_numpy(np.float32).reshape(-1, 8, 8) / 16
    body = nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 16),
        nn.ReLU(),
    )
    source = SourceNet(
        module=body, objective="supervised", n_scouts=3, random_state=0, **QUICK
    ).fit(images[y < 6], y[y < 6])
    model = GuidedTransferClassifier(source=source, random_state=0)
    new = y >= 6
    model.fit(images[new][:60], y[new][:60])
    assert model.score(images[new], y[new]) > 0.7
    frame = model.explain_guide()
    assert set(frame["kind"]) == {"layer", "unit"}
    own = GuidedTransferClassifier(
        source_params={"module": body, **QUICK}, max_epochs=2, random_state=0
    )
    assert own.fit(images[:100], y[:100]).predict(images).shape == (1797,)
