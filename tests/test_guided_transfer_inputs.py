"""GuidedTransferClassifier: columns, words, scikit-learn's tools and bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sklearn_memgen import (
    GuidedTransferClassifier,
    NoisyFineTuneProbe,
    PopulationSearchCV,
    SourceNet,
)
from sklearn_memgen.training import Guide
from tests.transfers import QUICK, SMALL, digit_source, few_digits, named_digits


@pytest.fixture
def digits():
    return named_digits()


@pytest.fixture
def source():
    return digit_source()


@pytest.fixture
def few():
    return few_digits()


@pytest.fixture(scope="module")
def unguided():
    """A source without scouts."""
    rng = np.random.default_rng(0)
    return SourceNet(**SMALL, max_epochs=1).fit(rng.random((60, 3)))


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
    with pytest.warns(UserWarning, match="none of the 2 scouts differs") as caught:
        lazy.fit(X[:200])
    assert [record.filename for record in caught] == [__file__]
    model = GuidedTransferClassifier(source=lazy, random_state=0)
    with pytest.warns(UserWarning, match="none of the 2 scouts differs") as caught:
        model.fit(*few)
    assert [record.filename for record in caught] == [__file__]
    before = lazy.make_body().state_dict()
    after = model.net_.module_.body.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.score(*few) > 0.3  # of the head alone
