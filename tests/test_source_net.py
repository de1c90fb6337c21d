"""SourceNet: pretrained without labels, unchanging, and where other nets start."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_memgen import (
    NetClassifier,
    PopulationSearchCV,
    SourceNet,
    WideDeepClassifier,
    WideDeepRegressor,
)
from sklearn_memgen.tables import TableEncoder
from tests.clusters import make_clusters

SMALL = {"hidden_layer_sizes": (64, 32), "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def table():
    return make_clusters(3000)


@pytest.fixture(scope="module")
def source(table):
    return SourceNet(**SMALL, max_epochs=15).fit(table[0])


def weights_of(net):
    return {name: t.clone() for name, t in net.state_dict().items()}


def same_weights(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# Pretraining


def test_cells_are_predicted_better_than_by_their_columns(table, source):
    """Nats a masked cell: below the entropy of the columns, which tell of each other.

    By bins of about equally many rows a number has the entropy of a uniform variable.
    """
    shares = [table[0][c].value_counts(normalize=True) for c in table[0].columns[1:]]
    entropies = [-(share * np.log(share)).sum() for share in shares] + [np.log(16)]
    assert source.history_["valid_loss"].min() < np.mean(entropies) - 0.3


def test_columns_that_tell_nothing_cannot_be_predicted():
    """A net that saw what it predicts would."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 6, (2000, 5)).astype(str), columns=list("abcde"))
    X["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        rng.integers(0, 300, 2000), unit="D"
    )
    X["amount"] = rng.integers(0, 6, 2000)  # goes in twice, as a number and exactly
    model = SourceNet(**SMALL, max_epochs=5, memorize="exact").fit(X)
    assert {"amount", "when"} == set(model.encoder_.numbers_)
    assert "amount" in {c.label for c in model.encoder_.id_columns_.values()}
    # Seven of six values, a date in 16 bins, its months, days and weekdays.
    entropies = np.log([6] * 7 + [16, 9.8, 30.4, 7])
    assert model.history_["valid_loss"].min() > entropies.mean() - 0.05


def test_labels_say_which_exact_numbers_are_worth_it():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"code": rng.integers(400, size=3000), "noise": rng.random(3000)})
    y = np.random.default_rng(1).integers(2, size=400)[X["code"]]
    settings = {**SMALL, "max_epochs": 1}
    known = SourceNet(**settings, objective="supervised").fit(X, y).encoder_
    assert list(known.id_columns_) == ["code (exact)"]
    assert not SourceNet(**settings).fit(X).encoder_.id_columns_
    none = SourceNet(**settings, objective="supervised", memorize="none").fit(X, y)
    assert not none.encoder_.id_columns_


def test_validation_rows_have_one_mask(table, monkeypatch):
    """So the loss that stops training is that of the same cells in each epoch."""
    from sklearn_memgen.nets import MaskedTableNet

    seen = []
    forward = MaskedTableNet.forward

    def record(self, *inputs, masked=None, **named):
        if not self.training and masked is not None:
            seen.append(masked.clone())
        return forward(self, *inputs, masked=masked, **named)

    monkeypatch.setattr(MaskedTableNet, "forward", record)
    for _ in range(2):
        SourceNet(**SMALL, max_epochs=3).fit(table[0])
    passes = torch.cat(seen).view(6, 300, 11)
    assert 0.13 < passes[0].float().mean() < 0.17
    assert all(torch.equal(passes[0], masked) for masked in passes[1:])


def test_labels_are_ignored_and_a_seed_repeats_the_fit(table, source):
    X, y = table
    again = SourceNet(**SMALL, max_epochs=15).fit(X, y)
    np.testing.assert_array_equal(again.transform(X[:9]), source.transform(X[:9]))
    assert not hasattr(again, "classes_")
    other = SourceNet(**SMALL | {"random_state": 1}, max_epochs=1).fit(X)
    assert not np.allclose(other.transform(X[:9]), source.transform(X[:9]))


def test_features_are_those_of_the_last_hidden_layer(table, source):
    features = source.transform(table[0])
    assert features.shape == (3000, 32) and features.dtype == np.float32
    assert (features >= 0).all() and features.std(axis=0).max() > 0.1
    assert len(source.get_feature_names_out()) == 32
    frame = copy.deepcopy(source).set_output(transform="pandas").transform(table[0][:3])
    assert list(frame.columns) == list(source.get_feature_names_out())


def test_a_mixed_table_with_missing_and_unknown_values(mixed_table):
    X, y = mixed_table
    model = SourceNet(**SMALL, max_epochs=3).fit(X)
    strange = X[:20].assign(city="Atlantis", number=np.nan, count=np.nan)
    assert np.isfinite(model.transform(strange)).all()
    tuned = NetClassifier(source=model, max_epochs=3, random_state=0).fit(X, y)
    assert np.isfinite(tuned.predict_proba(strange)).all()


def test_a_missing_number_is_what_a_masked_one_is(table, source):
    """No number was missing in training, yet the net has learned of missing ones."""
    X = table[0][:5].assign(number=np.nan)
    numbers = source.encoder_.transform(X).numbers
    assert numbers.isnan().all()
    average = X.assign(number=table[0]["number"].median())
    assert not np.allclose(source.transform(X), source.transform(average))


def test_text_and_sparse_tables():
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue", "old", "new", "small", "large"])
    text = [" ".join(rng.choice(words, 8)) + f" {i}" for i in range(300)]
    X = pd.DataFrame({"text": text, "a": rng.random(300), "b": rng.random(300)})
    model = SourceNet(**SMALL, max_epochs=1, text_features=["text"]).fit(X)
    assert model.transform(X).shape == (300, 32)
    matrix = sparse.random(100, 8, 0.3, format="csr", random_state=0)
    with pytest.raises(ValueError, match="sparse input is not supported"):
        SourceNet(**SMALL).fit(matrix)
    y = np.arange(100) % 2
    labeled = SourceNet(**SMALL, objective="supervised", max_epochs=2).fit(matrix, y)
    assert labeled.transform(matrix).shape == (100, 32)


def test_weights_count(table):
    X, _ = table
    weight = (np.arange(len(X)) < 1000).astype(float)
    model = SourceNet(**SMALL, max_epochs=2, early_stopping=False)
    some = clone(model).fit(X[:1000])
    weighted = clone(model).fit(X, sample_weight=weight)
    np.testing.assert_allclose(
        weighted.transform(X[:9]), some.transform(X[:9]), rtol=1e-5
    )


# With labels, and arrays


def test_a_source_task_with_labels(table):
    X, y = table
    model = SourceNet(**SMALL, objective="supervised", max_epochs=5).fit(X, y)
    assert model.classes_.tolist() == ["in", "out"]
    features = model.transform(X)
    assert LogisticRegression(max_iter=500).fit(features, y).score(features, y) > 0.9
    tuned = NetClassifier(source=model, random_state=0).fit(X[:300], np.arange(300) % 3)
    assert tuned.predict_proba(X[:4]).shape == (4, 3)


class Convolution(nn.Sequential):
    """A user's own body for images of 8 x 8."""

    def __init__(self, n_units=12):
        super().__init__(
            nn.Unflatten(1, (1, 8)),
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, n_units),
            nn.ReLU(),
        )


@pytest.mark.parametrize("objective", ["masked", "supervised"])
def test_images_with_a_module(objective):
    """Every image is a stripe of one of eight places; a pixel tells of its row."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 8, 600)
    X = np.zeros((600, 8, 8), dtype=np.float32)
    X[np.arange(600), place] = 1
    source = SourceNet(
        module=Convolution,
        module_params={"n_units": 24},
        objective=objective,
        mask_rate=0.5,
        max_epochs=15,
        random_state=0,
    ).fit(X, place)
    assert source.encoder_ is None
    assert source.transform(X).shape == (600, 24)
    if objective == "masked":
        assert source.history_["valid_loss"].min() < 0.5 * X.var()
    tuned = NetClassifier(source=source, random_state=0).fit(X[:60], place[:60])
    assert tuned.score(X[60:], place[60:]) > 0.95
    with pytest.raises(ValueError, match=r"\(n_rows, 8, 8\), but X has the shape"):
        NetClassifier(source=source).fit(X[:, :4], place)
    with pytest.raises(ValueError, match="WideDeepClassifier reads tables"):
        WideDeepClassifier(source=source).fit(X[:, 0], place)
    search = PopulationSearchCV(
        NetClassifier(source=source, max_epochs=2, random_state=0),
        {"learning_rate": [1e-3, 1e-2]},
        cv=2,
    )
    assert search.fit(X[:60], place[:60]).best_score_ > 0


def test_an_instance_is_copied():
    body = nn.Linear(4, 3)
    before = weights_of(body)
    X = np.random.default_rng(0).normal(size=(50, 4))
    source = SourceNet(module=body, max_epochs=2, random_state=0).fit(X)
    assert same_weights(weights_of(body), before)
    assert not same_weights(weights_of(source.make_body()), before)


# A source does not change


def test_a_fitted_source_clones_to_itself(table, source):
    assert clone(source) is source
    model = NetClassifier(source=source)
    assert clone(model).source is source
    new = SourceNet(hidden_layer_sizes=[8])
    assert clone(new) is not new and clone(new).get_params() == new.get_params()


def test_a_fitted_source_cannot_be_changed(table, source):
    with pytest.raises(ValueError, match=r"fit was called.*source\.get_params"):
        source.fit(table[0])
    with pytest.raises(ValueError, match="set_params was called"):
        source.set_params(max_epochs=3)
    assert SourceNet(**source.get_params()).set_params(max_epochs=3).max_epochs == 3


def test_a_fit_that_fails_can_be_repeated(table):
    model = SourceNet(**SMALL, max_epochs=1)
    with pytest.raises(ValueError, match="needs 2 columns"):
        model.fit(table[0][["cat_0"]])
    assert model.fit(table[0]).n_features_in_ == 11


def test_fine_tuning_leaves_the_source_as_it_is(table, source):
    """And two nets that start from it have nothing in common but the start."""
    X, y = table
    before = weights_of(source.net_.module_)
    body = source.make_body()
    assert same_weights(weights_of(body), weights_of(source.net_.module_.body))
    models = [
        make(source=source, random_state=seed, max_epochs=3).fit(X[:300], y[:300])
        for seed in (0, 1)
        for make in (NetClassifier, WideDeepClassifier)
    ]
    assert same_weights(weights_of(source.net_.module_), before)
    storages = [source.net_.module_, body, *(m.net_.module_ for m in models)]
    places = [p.data_ptr() for net in storages for p in net.parameters()]
    assert len(places) == len(set(places))
    assert all(model.encoder_ is source.encoder_ for model in models)
    moved = [weights_of(m.net_.module_.body) for m in models[::2]]
    assert not same_weights(moved[0], moved[1])


def test_copies_and_pickles(table, source):
    X, y = table
    expected = source.transform(X[:20])
    restored = pickle.loads(pickle.dumps(source))
    for twin in (restored, copy.deepcopy(source)):
        assert twin is not source
        np.testing.assert_array_equal(twin.transform(X[:20]), expected)
    tuned = NetClassifier(source=source, random_state=0, max_epochs=2)
    tuned.fit(X[:100], y[:100])
    twin = pickle.loads(pickle.dumps(tuned))
    np.testing.assert_array_equal(
        twin.predict_proba(X[:20]), tuned.predict_proba(X[:20])
    )
    assert twin.encoder_ is twin.source.encoder_
    assert twin.net_.module is twin.net_.module_
    assert len(pickle.dumps(source)) < 1_000_000


# Where other nets start


@pytest.mark.parametrize("make", [NetClassifier, WideDeepClassifier])
def test_few_labels_suffice_after_pretraining(table, source, make):
    """Beside the same net, with the same encoder, from random weights."""
    X, _ = table
    untrained = SourceNet(**SMALL, max_epochs=1, learning_rate=1e-12, ema_decay=None)
    untrained.fit(X)
    test_X, test_y = make_clusters(2000, seed=1)
    gains = []
    for seed in range(4):
        few_X, few_y = make_clusters(60, seed=10 + seed)
        scores = [
            make(source=start, random_state=seed)
            .fit(few_X, few_y)
            .score(test_X, test_y)
            for start in (source, untrained)
        ]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.02


def test_a_wide_deep_net_from_a_source_explains_itself(table, source):
    X, y = table
    model = WideDeepClassifier(source=source, random_state=0, max_epochs=2)
    explanation = model.fit(X[:300], y[:300]).explain(X[:5])
    assert {"wide id", "deep"} <= set(explanation.terms["part"])
    assert len(model.wide_weights_) == len(source.encoder_.words())
    assert not model.cautious_


def test_regression_from_a_source(table, source):
    X, y = table
    model = WideDeepRegressor(source=source, random_state=0, max_epochs=3)
    model.fit(X[:500], (y[:500] == "in") * 10.0)
    assert model.score(X[500:], (y[500:] == "in") * 10.0) > 0.5


def test_weights_of_rows_and_classes_and_going_on(table, source):
    X, y = table
    model = NetClassifier(source=source, random_state=0, max_epochs=4)
    plain = model.fit(X[:200], y[:200]).predict_proba(X[:50])
    again = clone(model).fit(X[:200], y[:200]).predict_proba(X[:50])
    np.testing.assert_array_equal(plain, again)
    heavy = clone(model).set_params(class_weight={"in": 20, "out": 1})
    assert heavy.fit(X[:200], y[:200]).predict_proba(X[:50])[:, 0].mean() > (
        plain[:, 0].mean() + 0.05
    )
    weight = np.where(y[:200] == "in", 20.0, 1.0)
    weighted = clone(model).fit(X[:200], y[:200], sample_weight=weight)
    assert weighted.predict_proba(X[:50])[:, 0].mean() > plain[:, 0].mean() + 0.05
    chunks = clone(model)
    for _ in range(20):
        chunks.partial_fit(X[:300], y[:300], classes=["in", "out"])
    assert chunks.score(X, y) > 0.8
    before = weights_of(source.net_.module_)
    for make in (NetClassifier, WideDeepClassifier):
        warm = make(source=source, random_state=0, warm_start=True, max_epochs=3)
        warm.fit(X[:300], y[:300])
        loss = warm.history_["train_loss"].iloc[-1]
        new = X[:300].assign(cat_0=["new", "newer", *X["cat_0"][2:300]])
        assert warm.fit(new, y[:300]).history_["train_loss"].iloc[-1] < loss
    assert same_weights(weights_of(source.net_.module_), before)


@pytest.mark.parametrize("search", [GridSearchCV, PopulationSearchCV])
def test_sources_are_parameters_of_a_search(table, source, search):
    X, y = table
    other = SourceNet(**SMALL | {"random_state": 1}, max_epochs=1).fit(X)
    grid = {"source": [other, source], "learning_rate": [1e-3]}
    model = NetClassifier(max_epochs=3, random_state=0)
    found = search(model, grid, cv=2).fit(X[:200], y[:200])
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    assert found.best_estimator_.source in (source, other)
    wide = WideDeepClassifier(max_epochs=2, n_members=2, random_state=0)
    found = search(wide, {"source": [None, source]}, cv=2).fit(X[:200], y[:200])
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()


def test_a_frozen_source_is_a_step_of_a_pipeline(table, source):
    X, y = table
    model = make_pipeline(FrozenEstimator(source), LogisticRegression(max_iter=500))
    assert clone(model).fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.8


# Columns


def test_columns_are_taken_by_name(table, source):
    X, y = table
    model = NetClassifier(source=source, random_state=0, max_epochs=2)
    expected = model.fit(X[:100], y[:100]).predict_proba(X[:9])
    turned = X[X.columns[::-1]].assign(extra=1.0)
    with pytest.warns(UserWarning, match=r"are left out: \['extra'\]"):
        model.fit(turned[:100], y[:100])
    np.testing.assert_array_equal(model.predict_proba(turned[:9]), expected)
    assert model.n_features_in_ == 12


def test_columns_that_are_missing_are_named(table, source):
    X, y = table
    for make in (NetClassifier, WideDeepClassifier):
        with pytest.raises(ValueError, match=r"lacks columns.*\['number', 'cat_3'\]"):
            make(source=source).fit(X.drop(columns=["number", "cat_3"]), y)
    with pytest.raises(ValueError, match="no column names"):
        NetClassifier(source=source).fit(X.to_numpy(), y)
    nameless = SourceNet(**SMALL, max_epochs=1).fit(np.random.rand(50, 4))
    with pytest.raises(ValueError, match="3 columns, but the source was fitted on 4"):
        NetClassifier(source=nameless).fit(np.random.rand(50, 3), np.arange(50) % 2)


# Bad input


@pytest.mark.parametrize("make", [NetClassifier, WideDeepClassifier])
def test_a_source_must_be_fitted(table, make):
    with pytest.raises(NotFittedError, match=r"source=SourceNet\(\) is not fitted"):
        make(source=SourceNet()).fit(*table)
    with pytest.raises(ValueError, match="'source' parameter"):
        make(source="bert").fit(*table)


def test_a_source_excludes_what_it_brings(table, source):
    X, y = table
    with pytest.raises(ValueError, match="module and encoder must be None; got module"):
        NetClassifier(nn.Linear(3, 2), source=source).fit(X, y)
    with pytest.raises(ValueError, match="must be None; got encoder=TableEncoder"):
        NetClassifier(encoder=TableEncoder(), source=source).fit(X, y)
    for name, value in {
        "hidden_layer_sizes": (64, 64),
        "embedding_dim": 4,
        "memorize": "exact",
        "crosses": [("cat_0", "cat_1")],
    }.items():
        with pytest.raises(ValueError, match=f"{name}=.*comes from the source"):
            WideDeepClassifier(source=source, **{name: value}).fit(X, y)
    same = WideDeepClassifier(
        source=source, hidden_layer_sizes=[64, 32], max_epochs=1, random_state=0
    )
    assert same.fit(X[:300], y[:300]).net_.module_.deep is not None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes must be one"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes must be one"),
        ({"objective": "supervised"}, "needs class labels"),
        ({"mask_rate": 1.0}, "'mask_rate' parameter"),
        ({"objective": "bert"}, "'objective' parameter"),
        ({"module": nn.Identity, "device": "cuda:9"}, "device='cuda:9'"),
    ],
)
def test_bad_parameters(params, message):
    X = np.random.default_rng(0).random((40, 3))
    with pytest.raises(ValueError, match=message):
        SourceNet(**params).fit(X)


def test_bad_inputs():
    with pytest.raises(ValueError, match="masks one array"):
        SourceNet(module=nn.Identity).fit({"a": np.ones((9, 2)), "b": np.ones((9, 2))})
    with pytest.raises(ValueError, match=r"it returned \(2, 3, 4\)"):
        SourceNet(module=nn.Identity).fit(np.ones((9, 3, 4)))
    with pytest.raises(NotFittedError):
        SourceNet().transform(np.ones((3, 2)))
    with pytest.raises(NotFittedError):
        SourceNet().make_body()
    with pytest.raises(ValueError, match="at least 2 classes"):
        SourceNet(objective="supervised").fit(np.random.rand(9, 2), np.ones(9))


def test_constant_columns_and_few_rows_do_no_harm():
    X = pd.DataFrame(
        {"same": [1.0] * 9, "empty": [np.nan] * 9, "cat": list("aabbccaab")}
    )
    model = SourceNet(**SMALL, max_epochs=2).fit(X)
    assert np.isfinite(model.history_["train_loss"]).all()
    assert np.isfinite(model.transform(X)).all()
