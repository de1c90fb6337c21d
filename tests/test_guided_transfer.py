"""GuidedTransferClassifier: what it starts from, what may move, and what it learns."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sklearn_memgen import (
    GuidedTransferClassifier,
    NetClassifier,
    NoisyFineTuneProbe,
    PopulationSearchCV,
    SourceNet,
)
from sklearn_memgen.training import Guide
from tests.clusters import make_clusters

SMALL = {"hidden_layer_sizes": (16, 8), "random_state": 0, "device": "cpu"}
QUICK = {"max_epochs": 3, "scout_epochs": 2}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return pd.DataFrame(X, columns=[f"pixel_{j}" for j in range(64)]), y


@pytest.fixture(scope="module")
def source(digits):
    X, y = digits
    made = SourceNet(**SMALL, **QUICK, objective="supervised", n_scouts=6)
    return made.fit(X[y < 6], y[y < 6])


@pytest.fixture(scope="module")
def few(digits):
    """Five rows of each of four digits that the source has not seen."""
    X, y = digits
    rows = np.concatenate([np.flatnonzero(y == c)[:5] for c in range(6, 10)])
    return X.iloc[rows], y[rows]


@pytest.fixture(scope="module")
def unguided():
    """A source without scouts."""
    rng = np.random.default_rng(0)
    return SourceNet(**SMALL, max_epochs=1).fit(rng.random((60, 3)))


def parameters_of(model):
    return {n: p.detach().clone() for n, p in model.net_.module_.named_parameters()}


def started(source, n_outputs, seed=0, **params):
    """Return the parameters that a classifier starts with."""
    model = GuidedTransferClassifier(
        source=source,
        guide=None,
        optimizer=torch.optim.SGD,
        learning_rate=1e-30,
        max_epochs=1,
        random_state=seed,
        device="cpu",
        **params,
    )
    return model


# Steps obey the guide


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_is_the_guide_times_that_of_plain_transfer(
    source, few, name, weight_decay
):
    """Exactly, for every optimizer, weight decay included."""
    optimizer, net_params = OPTIMIZERS[name]
    common = {
        "source": source,
        "optimizer": optimizer,
        "net_params": net_params,
        "weight_decay": weight_decay,
        "learning_rate": 0.01,
        "schedule": "constant",
        "batch_size": 64,
        "max_epochs": 1,
        "random_state": 0,
        "device": "cpu",
    }
    start = parameters_of(started(source, 4).fit(*few))
    plain = GuidedTransferClassifier(guide=None, **common).fit(*few)
    guided = GuidedTransferClassifier(**common).fit(*few)
    there, here = parameters_of(plain), parameters_of(guided)
    assert len(guided.history_) == 1
    for parameter, multiplier in guided.guide_.items():
        way = there[parameter] - start[parameter]
        assert way.any()
        expected = start[parameter] + multiplier.float() * way
        torch.testing.assert_close(here[parameter], expected, rtol=1e-6, atol=1e-8)
        frozen = (multiplier == 0).expand_as(way)
        assert torch.equal(here[parameter][frozen], start[parameter][frozen])


def test_the_gradient_is_the_other_place(source, few):
    """Under plain SGD it is the same; under Adam the guide hardly counts there."""
    start = parameters_of(started(source, 4).fit(*few))

    def went(optimizer, apply_to):
        model = GuidedTransferClassifier(
            source=source,
            optimizer=optimizer,
            apply_to=apply_to,
            learning_rate=0.001,
            max_epochs=3,
            random_state=0,
            device="cpu",
        )
        found = parameters_of(model.fit(*few))
        name = "body.deep.layers.0.weight"
        return found[name] - start[name]

    torch.testing.assert_close(
        went(torch.optim.SGD, "gradient"), went(torch.optim.SGD, "update")
    )
    adam = {place: went(torch.optim.Adam, place) for place in ("gradient", "update")}
    assert adam["gradient"].norm() > 3 * adam["update"].norm()


def test_no_guide_is_a_net_classifier_with_that_source(source, few):
    params = {
        "source": source,
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "max_epochs": 4,
        "random_state": 3,
        "device": "cpu",
    }
    plain = NetClassifier(**params).fit(*few)
    same = GuidedTransferClassifier(guide=None, **params).fit(*few)
    np.testing.assert_array_equal(
        plain.predict_proba(few[0]), same.predict_proba(few[0])
    )
    assert same.guide_ is None
    open_guide = Guide({name: 1.0 for name, _ in plain.net_.module_.named_parameters()})
    also = GuidedTransferClassifier(guide=open_guide, **params).fit(*few)
    np.testing.assert_array_equal(
        plain.predict_proba(few[0]), also.predict_proba(few[0])
    )


# The guide


def test_a_new_head_is_free_to_move(source, few):
    model = GuidedTransferClassifier(source=source, random_state=0).fit(*few)
    names = [name for name, _ in model.net_.module_.named_parameters()]
    assert sorted(model.guide_) == sorted(names)
    assert model.guide_["head.weight"] == model.guide_["head.bias"] == 1
    body = source.displacement_.only("body.").guide()
    assert all(torch.equal(model.guide_[name], body[name]) for name in body)


def test_scopes_spreads_temperatures_and_thresholds(source, few):
    def guide_of(**params):
        model = GuidedTransferClassifier(
            source=source, max_epochs=1, random_state=0, **params
        )
        guide = model.fit(*few).guide_
        return {name: guide[name] for name in guide if name.startswith("body.")}

    body = source.displacement_.only("body.")
    for params, expected in [
        ({"guide": "global"}, body.guide(scope="global")),
        ({"spread": "absolute"}, body.guide(spread="absolute")),
        ({"focus": "normalized"}, body.guide(focus="normalized")),
        ({"temperature": "icy"}, body.guide().temper("icy")),
        ({"temperature": (2.0, 0.5)}, body.guide().temper(slope=2.0, intercept=0.5)),
        ({"sparsify_below": 0.3}, body.guide().sparsify(0.3)),
    ]:
        found = guide_of(**params)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    # A global guide is scaled by what is transferred, not by the head left behind.
    found = guide_of(guide="global")
    assert max(float(value.max()) for value in found.values()) == 1


def test_a_guide_of_ones_own(source, few):
    frozen = Guide({"body.deep.layers.0.weight": 0.0, "head.bias": 0.5})
    model = GuidedTransferClassifier(source=source, guide=frozen, random_state=0)
    model.fit(*few)
    before = source.make_body().deep.layers[0].weight
    assert torch.equal(model.net_.module_.body.deep.layers[0].weight, before)
    assert model.guide_ == frozen
    other = GuidedTransferClassifier(source=source, guide=Guide({"deep.weight": 0.5}))
    with pytest.raises(ValueError, match="the guide names 'deep.weight'"):
        other.fit(*few)


def test_the_source_stays_as_it_is(source, few):
    before = {n: v.clone() for n, v in source.net_.module_.state_dict().items()}
    GuidedTransferClassifier(source=source, anchor=1.0, head="averaged").fit(*few)
    after = source.net_.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# Heads


def still(source, head):
    """Return a classifier that learns next to nothing."""
    return GuidedTransferClassifier(
        source=source,
        head=head,
        optimizer=torch.optim.SGD,
        learning_rate=1e-30,
        max_epochs=1,
        random_state=0,
        device="cpu",
    )


def test_a_kept_head_predicts_what_the_source_does(digits, source):
    X, y = digits
    model = still(source, "kept").fit(X[y < 6][:60], y[y < 6][:60])
    expected = source.net_.predict_proba(source.encoder_.transform(X[:50]))
    np.testing.assert_allclose(model.predict_proba(X[:50]), expected, rtol=1e-4)
    whole = source.displacement_.guide()
    assert torch.equal(model.guide_["head.weight"], whole["head.weight"])
    with pytest.raises(ValueError, match=r"needs the classes of the source, \[0, 1"):
        still(source, "kept").fit(X[y > 3], y[y > 3])


def test_an_averaged_head_has_no_class_ahead(source, few):
    model = still(source, "averaged").fit(*few)
    np.testing.assert_allclose(model.predict_proba(few[0]), 0.25, rtol=1e-5)
    mean = source.net_.module_.head.weight.mean(0)
    assert torch.allclose(model.net_.module_.head.weight, mean.expand(4, -1))
    whole = source.displacement_.guide()["head.weight"]
    assert torch.equal(model.guide_["head.weight"], whole.mean(0, keepdim=True))
    X, y = few
    two = still(source, "averaged").fit(X[:10], y[:10])  # one logit, a difference
    np.testing.assert_allclose(two.predict_proba(X), 0.5)
    learned = GuidedTransferClassifier(source=source, head="averaged", random_state=0)
    assert learned.fit(X, y).score(X, y) > 0.5


def test_a_head_needs_a_source_with_classes(digits, few):
    X, _ = digits
    masked = SourceNet(**SMALL, **QUICK, n_scouts=2).fit(X[:200])
    for head in ("kept", "averaged"):
        with pytest.raises(
            ValueError, match=f"head='{head}' needs a source with a head"
        ):
            GuidedTransferClassifier(source=masked, head=head).fit(*few)
    model = GuidedTransferClassifier(source=masked, random_state=0).fit(*few)
    assert not any(name.startswith("decoder") for name in model.guide_)


# Beside the guide


def test_an_anchor_keeps_the_net_near_the_source(source, few):
    start = parameters_of(started(source, 4).fit(*few))

    def distance(**params):
        model = GuidedTransferClassifier(source=source, random_state=0, **params)
        found = parameters_of(model.fit(*few))
        body = [n for n in found if n.startswith("body.")]
        head = (found["head.weight"] - start["head.weight"]).norm().item()
        return sum((found[n] - start[n]).norm().item() for n in body), head

    for guide in (None, "tensor"):
        free, pulled = distance(guide=guide), distance(guide=guide, anchor=20.0)
        assert pulled[0] < 0.7 * free[0]
        assert pulled[1] > 0.5 * free[1]  # the new head is not pulled
    assert distance(anchor=0.0) == distance()


@pytest.mark.parametrize("guide", [None, "tensor"])
def test_the_anchor_is_decoupled(source, few, guide):
    """A step goes a share of the way back, whatever the gradients are, by the guide."""
    X, y = few
    params = {
        "source": source,
        "guide": guide,
        "optimizer": torch.optim.Adam,
        "learning_rate": 0.05,
        "random_state": 0,
        "device": "cpu",
    }
    start = parameters_of(started(source, 4).fit(X, y))
    pulled = GuidedTransferClassifier(anchor=2.0, **params)
    pulled.partial_fit(X, y, classes=[6, 7, 8, 9])
    first = parameters_of(pulled)
    free = pickle.loads(pickle.dumps(pulled)).set_params(anchor=None, guide=None)
    step = parameters_of(free.partial_fit(X, y))
    back = parameters_of(pulled.partial_fit(X, y))
    for name in first:
        way = step[name] - first[name]
        if name.startswith("body."):  # a new head is free
            way += 0.05 * 2.0 * (start[name] - first[name])
        multiplier = 1.0 if guide is None else pulled.guide_[name].float()
        torch.testing.assert_close(
            back[name], first[name] + multiplier * way, rtol=1e-5, atol=1e-7
        )


# One example at a time


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


# Columns


def test_columns_are_matched_by_name(source, few):
    X, y = few
    model = GuidedTransferClassifier(source=source, random_state=0, device="cpu")
    expected = model.fit(X, y).predict_proba(X)
    with pytest.warns(UserWarning, match=r"are left out: \['extra'\]"):
        turned = clone(model).fit(X[X.columns[::-1]].assign(extra=1), y)
    np.testing.assert_array_equal(
        turned.predict_proba(X[X.columns[::-1]].assign(extra=2)), expected
    )


def test_missing_columns_are_named_and_filled(source, few):
    X, y = few
    part = X.drop(columns=["pixel_20", "pixel_21"])
    model = GuidedTransferClassifier(source=source, random_state=0, device="cpu")
    with pytest.warns(UserWarning, match=r"taken as missing: \['pixel_20', 'pixel"):
        model.fit(part, y)
    filled = X.assign(pixel_20=np.nan, pixel_21=np.nan)
    expected = clone(model).fit(filled, y).predict_proba(filled)
    np.testing.assert_array_equal(model.predict_proba(part), expected)
    assert model.n_features_in_ == 62
    with pytest.raises(ValueError, match="lacks columns that the source was fitted on"):
        model.fit(pd.DataFrame({"other": np.arange(20.0)}), y)


def test_missing_columns_of_every_kind(mixed_table):
    X, y = mixed_table
    source = SourceNet(**SMALL, **QUICK, n_scouts=2).fit(X)
    model = GuidedTransferClassifier(source=source, max_epochs=2, random_state=0)
    for name in X.columns:
        with pytest.warns(UserWarning, match="are taken as missing"):
            twin = clone(model).fit(X.drop(columns=name)[:100], y[:100])
        probabilities = twin.predict_proba(X.drop(columns=name))
        assert np.isfinite(probabilities).all()
    frame = model.fit(X[:100], y[:100]).explain_guide()
    named = frame.loc[frame["kind"] == "feature", "name"]
    assert set(named) <= set(map(str, X.columns)) and len(named) > 2


# In words


def test_the_guide_is_explained_by_columns_layers_and_units(source, few):
    model = GuidedTransferClassifier(source=source, random_state=0).fit(*few)
    frame = model.explain_guide()
    assert list(frame) == ["kind", "name", "n_parameters", "mean", "zeros"]
    features = frame[frame["kind"] == "feature"].set_index("name")
    assert set(features.index) <= set(few[0].columns)
    # What a pixel goes in by is all that changes with it.
    module, encoder = model.net_.module_, model.encoder_
    table = encoder.transform(few[0])
    numbers = module.body.deep.numbers
    j = list(encoder.numbers_).index("pixel_20")
    moved = table.numbers.clone()
    moved[:, j] = moved[:, j].flip(0) + 3
    changed = (numbers(moved) != numbers(table.numbers)).any(0)
    own = model.guide_["body.deep.layers.0.weight"][:, : len(changed)]
    n_own = features.loc["pixel_20", "n_parameters"]
    assert 16 * changed.sum() <= n_own < own.numel()
    layers = frame[frame["kind"] == "layer"].set_index("name")
    assert layers.index.tolist() == ["body.deep.layers.0", "body.deep.layers.2", "head"]
    assert layers.loc["head", "mean"] == 1
    multipliers = torch.cat(
        [
            model.guide_[f"body.deep.layers.2.{part}"].flatten()
            for part in ("weight", "bias")
        ]
    )
    assert layers.loc["body.deep.layers.2", "mean"] == pytest.approx(
        multipliers.mean().item(), rel=1e-5
    )
    units = frame[frame["kind"] == "unit"].set_index("name")
    assert units.loc["body.deep.layers.2[3]", "n_parameters"] == 17
    assert len(units) == 16 + 8 + 4
    with pytest.raises(ValueError, match="there is no guide to explain"):
        model.set_params(guide=None).fit(*few).explain_guide()
    with pytest.raises(NotFittedError):
        GuidedTransferClassifier().explain_guide()


def test_the_inputs_of_a_module_are_features(digits):
    X, y = digits
    body = nn.Sequential(nn.Linear(64, 8), nn.ReLU())
    source = SourceNet(module=body, **QUICK, n_scouts=2, random_state=0).fit(X)
    model = GuidedTransferClassifier(source=source, random_state=0).fit(X[:50], y[:50])
    features = model.explain_guide().query("kind == 'feature'")
    assert features["name"].tolist() == X.columns.tolist()
    weight = model.guide_["body.0.weight"]
    np.testing.assert_allclose(features["mean"], weight.mean(0), rtol=1e-4)


# As one of scikit-learn's


def test_searches_pipelines_clones_and_pickles(source, few):
    X, y = few
    model = GuidedTransferClassifier(source=source, max_epochs=5, random_state=0)
    assert clone(model).source is source
    pipeline = make_pipeline(FunctionTransformer(), model)
    assert pipeline.fit(X, y).predict(X).shape == (20,)
    grid = {"temperature": ["icy", "warm", (1.0, 0.1)], "guide": ["tensor", None]}
    found = {}
    for search in (GridSearchCV, PopulationSearchCV):
        found[search] = search(model, grid, cv=2).fit(X, y)
        assert found[search].best_estimator_.source is source
    np.testing.assert_allclose(
        *(search.cv_results_["mean_test_score"] for search in found.values())
    )
    anchored = model.set_params(anchor=1.0).fit(X, y)
    twin = pickle.loads(pickle.dumps(anchored))
    np.testing.assert_array_equal(twin.predict_proba(X), anchored.predict_proba(X))
    assert twin.guide_ == anchored.guide_
    twin.partial_fit(X, y)


def test_a_search_without_a_source(digits):
    X, y = digits
    model = GuidedTransferClassifier(
        source_params={"hidden_layer_sizes": (8,), **QUICK},
        max_epochs=2,
        random_state=0,
    )
    search = PopulationSearchCV(model, {"temperature": ["room", "warm"]}, cv=2)
    assert np.isfinite(search.fit(X[:80], y[:80]).cv_results_["mean_test_score"]).all()


def test_estimators_around_it_train_under_its_guide(source, few):
    """Those that train many nets of one table make them by themselves."""
    named = source.make_body().named_parameters()
    frozen = Guide({f"body.{name}": 0.0 for name, _ in named})
    model = GuidedTransferClassifier(source=source, guide=frozen, random_state=0)
    probe = NoisyFineTuneProbe(
        model, noise_levels=(0.0, 0.3), n_repeats=1, max_epochs=3, random_state=0
    )
    before = source.make_body().state_dict()
    for fitted in probe.fit(*few).estimators_:
        after = fitted.net_.module_.body.state_dict()
        torch.testing.assert_close(dict(after), dict(before))  # a mean over epochs


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


# Bad input


def test_a_source_must_be_fitted_and_have_scouts(few, unguided):
    with pytest.raises(NotFittedError, match=r"source=SourceNet\(\) is not fitted"):
        GuidedTransferClassifier(source=SourceNet()).fit(*few)
    with pytest.raises(ValueError, match="'source' parameter"):
        GuidedTransferClassifier(source="bert").fit(*few)
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match="guide='tensor' is made of what scouts found"):
        GuidedTransferClassifier(source=unguided).fit(X, y)
    model = GuidedTransferClassifier(source=unguided, guide=None, max_epochs=1)
    assert model.fit(X, y).predict(X).shape == (20,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temperature": "hot"}, "'temperature' parameter"),
        ({"temperature": (1.0,)}, "a pair of numbers"),
        ({"temperature": ("1", 2)}, "a pair of numbers"),
        ({"guide": "layer"}, "'guide' parameter"),
        ({"head": "old"}, "'head' parameter"),
        ({"anchor": -1}, "'anchor' parameter"),
        ({"sparsify_below": -0.1}, "'sparsify_below' parameter"),
        ({"epochs_per_call": 0}, "'epochs_per_call' parameter"),
        ({"spread": "cubed"}, "'spread' parameter"),
        ({"apply_to": "loss"}, "'apply_to' parameter"),
    ],
)
def test_bad_parameters(source, few, params, message):
    with pytest.raises(ValueError, match=message):
        GuidedTransferClassifier(source=source, **params).fit(*few)


def test_one_class_is_too_few(source, few):
    X, y = few
    for given in (source, None):
        with pytest.raises(ValueError, match="GuidedTransferClassifier needs samples"):
            GuidedTransferClassifier(source=given).fit(X[:5], y[:5])


def test_a_guide_that_freezes_everything_is_warned_of(digits, few):
    X, _ = digits
    lazy = SourceNet(**SMALL, **QUICK, n_scouts=2, scout_learning_rate=1e-30)
    with pytest.warns(UserWarning, match="none of the 2 scouts differs"):
        lazy.fit(X[:200])
    with pytest.warns(UserWarning, match="none of the 2 scouts differs"):
        model = GuidedTransferClassifier(source=lazy, random_state=0).fit(*few)
    before = lazy.make_body().state_dict()
    after = model.net_.module_.body.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.score(*few) > 0.3  # of the head alone
