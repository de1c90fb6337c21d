"""Caution with rare values: where it is chosen, and what it changes."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from sklearn_memgen import WideDeepClassifier, WideDeepRegressor
from sklearn_memgen._net_estimator import NetEstimator
from sklearn_memgen.tables import TableEncoder

SMALL = {
    "hidden_layer_sizes": (16,),
    "n_members": 1,
    "max_epochs": 12,
    "batch_size": 64,
    "random_state": 0,
}


def make_model(**params):
    return WideDeepClassifier(**SMALL | params)


def draw_noise(n_rows=1500, n_shops=300, seed=0):
    """A category of rare values that tell nothing; a number does."""
    rng = np.random.default_rng(seed)
    shops = [f"shop {i}" for i in rng.integers(0, n_shops, n_rows)]
    X = pd.DataFrame({"size": rng.normal(size=n_rows), "shop": shops})
    return X, (rng.random(n_rows) < 1 / (1 + np.exp(-X["size"]))).astype(int)


def draw_signs(n_rows=1800, n_shops=40, seed=0):
    """A category whose values, each of 45 rows, say which way a number counts.

    Its target statistics do not tell: half of the rows of each value are positive.
    """
    rng = np.random.default_rng(seed)
    shops = rng.permutation(n_rows) % n_shops
    X = pd.DataFrame({"size": rng.normal(size=n_rows)})
    X["shop"] = [f"shop {i}" for i in shops]
    return X, (X["size"].to_numpy() * np.where(shops % 2, 1, -1) > 0).astype(int)


# The decision


@pytest.mark.parametrize("kind", [WideDeepClassifier, WideDeepRegressor])
def test_rare_values_that_are_noise_call_for_it(kind):
    X, y = draw_noise()
    # Weights that learn fast, so that the noise is sure to be learned by heart.
    model = kind(**SMALL | {"wide_learning_rate": 2.0})
    assert model.fit(X, y).cautious_ is True
    assert not any("shop=shop" in word for word in model.encoder_.words())


def test_rare_values_that_count_forbid_it():
    X, y = draw_signs()
    model = make_model().fit(X, y)
    assert model.cautious_ is False
    assert sum("shop=shop" in word for word in model.encoder_.words()) == 40


@pytest.mark.parametrize("change", ["no validation rows", "few rows", "few values"])
def test_nothing_is_tried_where_there_is_nothing_to_decide(change, monkeypatch):
    X, y = draw_noise(n_shops=29 if change == "few values" else 300)
    if change == "few rows":
        X, y = X[:199], y[:199]
    fits = count_fits(monkeypatch)
    early_stopping = False if change == "no validation rows" else "auto"
    model = make_model(max_epochs=1, early_stopping=early_stopping).fit(X, y)
    assert model.cautious_ is False and fits == [False]


def test_rows_of_weight_zero_are_not_asked():
    """They left no row to hold out, and a pilot without a validation loss."""
    X, y = draw_noise()
    weights = np.where(np.arange(len(y)) < 199, 1.0, 0.0)
    model = make_model(max_epochs=1).fit(X, y, sample_weight=weights)
    assert model.cautious_ is False and "valid_loss" not in model.history_


@pytest.mark.parametrize("caution", [True, False])
def test_what_is_given_is_taken(caution, monkeypatch):
    X, y = draw_noise()
    fits = count_fits(monkeypatch)
    model = make_model(max_epochs=1, caution=caution).fit(X, y)
    assert model.cautious_ is caution and fits == [caution]


def test_two_small_pilots_decide(monkeypatch):
    X, y = draw_noise()
    fits = count_fits(monkeypatch)
    model = make_model(max_epochs=1, n_members=2).fit(X, y)
    assert fits == [False, True, model.cautious_]
    assert model.net_.module_.deep is not None and len(model.history_) == 1


def count_fits(monkeypatch):
    """Record for each net that is trained whether it is cautious."""
    fits, train = [], NetEstimator._train

    def recorded(self, *args, **kwargs):
        fits.append(self._is_cautious)
        return train(self, *args, **kwargs)

    monkeypatch.setattr(NetEstimator, "_train", recorded)
    return fits


def test_the_net_learns_from_the_table_of_its_pilot(monkeypatch):
    """To encode it a third time would take as long, and tell no more."""
    X, y = draw_noise()
    encoders, encode = [], NetEstimator._encode_by

    def recorded(self, encoder, *args):
        encoders.append(encoder)
        return encode(self, encoder, *args)

    monkeypatch.setattr(NetEstimator, "_encode_by", recorded)
    model = make_model(max_epochs=1).fit(X, y)
    assert len(encoders) == 2
    assert model.encoder_ is encoders[model.cautious_]


def test_random_state_repeats_the_decision():
    X, y = draw_noise()
    first, again = (make_model(max_epochs=3).fit(X, y) for _ in range(2))
    assert first.cautious_ == again.cautious_
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))


# What it changes


def test_ids_are_of_frequent_values_and_statistics_of_all():
    rng = np.random.default_rng(0)
    shops = np.append(
        np.arange(400) // 10, np.full(60, 99)
    )  # 40 of ten rows, one of 60
    X = pd.DataFrame(
        {"shop": [f"shop {i}" for i in shops], "flag": rng.random(460) < 0.5}
    )
    y = shops % 2
    bold, careful = (
        TableEncoder(many_min_frequency=least, random_state=0) for least in (None, 50)
    )
    tables = bold.fit_transform(X, y), careful.fit_transform(X, y)
    assert len(bold.id_columns_["shop"]) == 2 + 41
    words = careful.id_columns_["shop (frequent)"].words()
    assert words[2:] == ["shop=shop 99"]
    assert list(bold.statistics_) == list(careful.statistics_)
    for name, statistic in bold.statistics_.items():
        np.testing.assert_array_equal(
            statistic.table, careful.statistics_[name].table, err_msg=name
        )
    assert torch.equal(tables[0].numbers, tables[1].numbers)
    assert np.corrcoef(tables[1].numbers[:, -2], y)[0, 1] > 0.9


def test_a_category_of_few_values_keeps_its_rare_ones():
    X = pd.DataFrame({"city": ["Rome"] * 60 + ["Oslo"] * 3})
    encoder = TableEncoder(many_min_frequency=50).fit(X)
    assert (
        list(encoder.id_columns_) == ["city"] and len(encoder.id_columns_["city"]) == 4
    )


def test_wide_weights_move_less():
    X, y = draw_noise(n_shops=20)
    sizes = [
        make_model(caution=caution).fit(X, y).wide_weights_["weight"].abs().mean()
        for caution in (False, True)
    ]
    assert sizes[1] < 0.7 * sizes[0]


# Going on, and away


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_cautious_model_goes_on_as_such(method, monkeypatch):
    X, y = draw_noise()
    model = make_model(caution=True, warm_start=True, max_epochs=2).fit(X, y)
    words = model.encoder_.words()
    later = X.assign(shop=np.where(np.arange(len(X)) < 80, "shop new", X["shop"]))
    later.loc[80:110, "shop"] = "shop rare"
    model.set_params(caution="auto")
    if method == "fit":
        fits = count_fits(monkeypatch)
        model.fit(later, y)
        assert fits == [True]
    else:
        model.partial_fit(later, y)
    assert model.cautious_ is True
    new = set(model.encoder_.words()) - set(words)
    assert new == {"shop=shop new"}
    source = model.encoder_.statistics_["shop (target)"].source
    assert {"shop=shop new", "shop=shop rare"} <= set(source.words())
    assert np.isfinite(model.predict_proba(later)).all()


def test_a_later_fit_decides_anew():
    X, y = draw_signs()
    model = make_model(caution=True, max_epochs=1).fit(X, y)
    assert model.set_params(caution=False).fit(X, y).cautious_ is False
    assert sum("shop=shop" in word for word in model.encoder_.words()) == 40


@pytest.mark.parametrize("caution", [True, False, "auto"])
def test_chunks_try_nothing(caution):
    X, y = draw_noise()
    model = make_model(caution=caution).partial_fit(X, y, classes=[0, 1])
    assert model.cautious_ is (caution is True)
    known = any("shop=shop" in word for word in model.encoder_.words())
    assert known is not model.cautious_


def test_pickles_and_clones():
    X, y = draw_noise()
    model = make_model(caution=True, max_epochs=1).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.cautious_ is True
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    again = clone(model.set_params(caution="auto"))
    assert again.caution == "auto" and not hasattr(again, "cautious_")


def test_what_is_rare_is_unknown_to_explain():
    X, y = draw_noise()
    X.loc[:79, "shop"] = "shop known"
    terms = make_model(caution=True, max_epochs=2).fit(X, y).explain(X[:200]).terms
    of_ids = terms[terms["part"] == "wide id"]
    assert set(of_ids["feature"]) == {"shop=shop known", "shop=<unknown>"}


@pytest.mark.parametrize("caution", ["always", 2, None])
def test_other_values_are_refused(caution):
    X, y = draw_noise()
    with pytest.raises(ValueError, match="caution"):
        make_model(caution=caution).fit(X, y)
