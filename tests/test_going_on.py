"""Going on from a fitted model: new values get ids, and what was learned stays."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_memgen import WideDeepClassifier, WideDeepRegressor
from sklearn_memgen.datasets import fetch_adult, make_memgen_classification
from tests.conftest import make_mixed_table


@pytest.fixture
def untrained(monkeypatch):
    """Stop `fit` short of the training, to see what it starts from."""

    def stop_short():
        monkeypatch.setattr(
            "sklearn_memgen.training.member.train", lambda net, *_, **__: None
        )

    return stop_short


# Faster than the defaults, which are not the point.
SMALL = {"hidden_layer_sizes": (64,), "n_members": 2, "random_state": 0}
PARAMS = SMALL | {
    "crosses": [("city", "grade"), ("nullable", "city")],
    "max_epochs": 5,
    "early_stopping": False,
    "warm_start": True,
}


def make_model(**params):
    return WideDeepClassifier(**PARAMS | params)


def make_regressor(**params):
    return WideDeepRegressor(**PARAMS | params)


def later_table(seed=1):
    """A table with new categories, a new number, and missing values."""
    X, y = make_mixed_table(400, seed=seed)
    X["city"] = X["city"].replace({"Oslo": "Quito", "Rome": "Lagos"})
    X["grade"] = X["grade"].astype(str).replace({"a": "z"})
    return X, y


def parameters(model):
    return dict(model.net_.module_.named_parameters())


def test_unchanged_data_start_from_the_same_weights(mixed_table, untrained):
    X, y = mixed_table
    model = make_model().fit(X, y)
    net, before, expected = model.net_, _states(model), model.predict_proba(X)
    untrained()
    model.fit(X, y)
    assert model.net_ is net
    for key, value in _states(model).items():
        assert torch.equal(value, before[key]), key
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("hashed", [False, True])
def test_new_values_leave_what_was_learned(mixed_table, untrained, hashed):
    """Before it learns anew, the grown model answers old rows as before, to the bit."""
    X, y = mixed_table
    X["grade"] = X["grade"].astype(str)
    model = make_model(n_cross_buckets=20 if hashed else 2**16).fit(X, y)
    cross, words = model.encoder_.crosses_["nullable & city"], model.encoder_.words()
    assert (cross.n_buckets == 20) == hashed
    expected, encoder = model.predict_proba(X), model.encoder_
    untrained()
    model.fit(*later_table())
    assert model.encoder_.id_offsets_[-1] > encoder.id_offsets_[-1] == len(words)
    assert model.encoder_.crosses_["nullable & city"].n_buckets == cross.n_buckets
    assert hashed or set(words) < set(model.encoder_.words())
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert np.isfinite(model.predict_proba(later_table()[0])).all()


def test_encoder_and_net_fit_each_other_where_training_fails(mixed_table):
    X, y = mixed_table
    model = make_model(max_epochs=2).fit(X, y)
    model.net_.criterion_.register_forward_hook(lambda *a: a[-1] * np.inf)
    later, later_y = later_table()
    model.set_params(learning_rate=1e30)
    with pytest.raises(FloatingPointError):
        model.fit(later, later_y)
    assert model.encoder_.id_offsets_[-1] == len(parameters(model)["wide.ids.weight"])


@pytest.mark.parametrize("wide_optimizer", ["ftrl", "adagrad"])
def test_optimizers_go_on(mixed_table, untrained, wide_optimizer):
    """State of each id moves with it; new ids begin with none."""
    X, y = mixed_table
    model = make_model(wide_optimizer=wide_optimizer).fit(X, y)
    before = _states(model)
    words, history = model.encoder_.words(), list(model.net_.history)
    untrained()
    model.fit(*later_table())
    after = _states(model)
    assert list(model.net_.history) == history
    assert before.keys() == after.keys()
    position = {word: i for i, word in enumerate(model.encoder_.words())}
    rows = np.array([position[word] for word in words])
    for (name, key), value in before.items():
        new = after[name, key]
        if name not in ("wide.ids.weight", "deep.embedding.weight") or value.ndim == 0:
            assert torch.equal(new, value), (name, key)
            continue
        kept = rows[: len(value)]
        assert torch.equal(new[kept], value), (name, key)
        fresh = np.setdiff1d(np.arange(len(new)), kept)
        assert len(fresh)
        assert (new[fresh] == 0).all() or key == "value"
    assert (after["wide.ids.weight", "value"] != 0).any()


def _states(model):
    """Weights and optimizer state of each parameter, copied."""
    net = model.net_
    names = {p: name for name, p in net.module_.named_parameters()}
    states = {(name, "value"): p.detach().clone() for p, name in names.items()}
    for optimizer in (getattr(net, f"{name}_") for name in net._optimizers):
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                states[names[parameter], key] = torch.as_tensor(value).clone()
    return states


def test_new_categories_are_learned_and_old_ones_kept():
    """Half of the levels come later; their exceptions are learned as well."""
    X, y = make_memgen_classification(12_000, random_state=0)
    X, test_X, y, test_y = train_test_split(X, y, random_state=0)
    levels = X["cat_0"].unique()
    early = X["cat_0"].isin(levels[: len(levels) // 2])
    crosses = [("cat_0", "cat_1")]
    model = WideDeepClassifier(crosses=crosses, warm_start=True, **SMALL)
    model.fit(X[early], y[early])
    known = set(model.encoder_.words())
    test_late = ~test_X["cat_0"].isin(levels[: len(levels) // 2])
    before = model.score(test_X[test_late], test_y[test_late])
    kept = model.score(test_X[~test_late], test_y[~test_late])
    model.fit(X, y)
    assert known < set(model.encoder_.words())
    assert model.score(test_X[test_late], test_y[test_late]) > before + 0.05
    assert model.score(test_X[~test_late], test_y[~test_late]) > kept - 0.02


def test_values_that_are_gone_are_not_forgotten(mixed_table):
    X, y = mixed_table
    model = make_model().fit(X, y)
    oslo = X["city"] == "Oslo"
    model.fit(X[~oslo], y[~oslo])
    assert "city=Oslo" in model.encoder_.words()
    assert model.score(X[oslo], y[oslo]) > 0.8


def test_hidden_layers_of_another_size_begin_anew(mixed_table):
    X, y = mixed_table
    model = make_model(n_members=1).fit(X, y)
    embedding = parameters(model)["deep.embedding.weight"].detach().clone()
    wide = parameters(model)["wide.ids.weight"].detach().clone()
    model.set_params(hidden_layer_sizes=(16,), max_epochs=1).fit(X, y)
    assert parameters(model)["deep.layers.0.weight"].shape[0] == 16
    # One short epoch from where they were, not from where a new net begins.
    correlation = np.corrcoef(
        embedding.flatten(),
        parameters(model)["deep.embedding.weight"].detach().flatten(),
    )[0, 1]
    assert correlation > 0.9
    assert (
        parameters(model)["wide.ids.weight"] - wide
    ).abs().mean() < wide.abs().mean()


def test_columns_and_classes_must_be_the_same(mixed_table):
    X, y = mixed_table
    model = make_model().fit(X, y)
    with pytest.raises(ValueError, match="town"):
        model.fit(X.rename(columns={"city": "town"}), y)
    with pytest.raises(ValueError, match=r"classes \['maybe'\] that were not there"):
        model.fit(X, y.replace("yes", "maybe"))
    assert model.score(X, y) > 0.8


def test_tables_that_grow_large_get_sparse_gradients():
    """Dense gradients at first; the state of the wide part goes on, the net learns."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": rng.integers(0, 1000, 3000), "b": rng.integers(0, 9, 3000)})
    later = pd.DataFrame({"id": np.arange(80_000) // 2, "b": 1})
    model = WideDeepClassifier(
        categorical_features=["id"], hidden_layer_sizes=(8,), max_epochs=1
    )
    model.set_params(warm_start=True, early_stopping=False, random_state=0)
    model.fit(X, X["id"] % 2)
    assert not model.net_.module_.deep.embedding.sparse
    model.fit(later, later["id"] % 2)
    assert model.net_.module_.deep.embedding.sparse
    assert model.net_.module_.deep.embedding.weight.shape[0] > 40_000
    model.set_params(max_epochs=10).fit(later, later["id"] % 2)
    assert model.score(later, later["id"] % 2) > 0.95


# Chunks


def test_chunks_bring_new_values(mixed_table):
    X, y = mixed_table
    model = make_model(warm_start=False)
    model.partial_fit(X, y, classes=["no", "yes"])
    later, later_y = later_table()
    model.partial_fit(later, later_y)
    words = set(model.encoder_.words())
    assert {"city=Oslo", "city=Quito", "city=Lagos & grade=z"} <= words
    counts = model.wide_weights_.set_index("feature")["count"]
    both = (X["city"] == "Lima").sum() + (later["city"] == "Lima").sum()
    assert counts["city=Lima"] == both
    model.partial_fit(X[:1].assign(city="Atlantis"), y[:1])  # once is too rare
    assert "city=Atlantis" not in model.encoder_.words()
    assert len(model.history_) == 3


def test_chunks_of_adult_come_close_to_a_fit(data_folder):
    X, y = fetch_adult(download_if_missing=False, return_X_y=True)
    X, test_X, y, test_y = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=0
    )
    crosses = [("education", "occupation")]
    fitted = WideDeepClassifier(crosses=crosses, **SMALL).fit(X, y)
    # The first chunk has too few rows to tell which numbers to memorize.
    memorized = fitted.encoder_.memorized_.query("memorized")["column"].tolist()
    chunked = WideDeepClassifier(
        crosses=crosses,
        memorize=memorized,
        learning_rate=1e-3,
        batch_size=256,
        **SMALL,
    )
    rng = np.random.default_rng(0)
    for _ in range(4):
        for rows in np.array_split(rng.permutation(len(X)), 20):
            chunked.partial_fit(X.iloc[rows], y.iloc[rows], classes=np.unique(y))
    losses = [
        log_loss(test_y, model.predict_proba(test_X)) for model in (fitted, chunked)
    ]
    assert losses[1] < losses[0] + 0.01
    words = set(chunked.encoder_.words())
    assert {w for w in fitted.encoder_.words() if w.startswith("native")} <= words


# Numbers as targets


def later_numbers(seed=1):
    """Cities that are new, of which one has a level that no other has."""
    X, _ = later_table(seed)
    return X, 3 + X["number"].fillna(0) + 9 * (X["city"] == "Quito")


@pytest.mark.parametrize("loss", ["squared_error", "quantile", "poisson"])
def test_a_regressor_keeps_what_was_learned(mixed_table, untrained, loss):
    """Before it learns anew, the grown model answers old rows as before, to the bit."""
    X, y = mixed_table
    model = make_regressor(loss=loss, quantile=0.8).fit(X, 2.0 + (y == "yes"))
    expected, words = model.predict(X), set(model.encoder_.words())
    before, scale = _states(model), model.target_scale_
    untrained()
    model.fit(later_numbers()[0], np.ones(400))
    assert words < set(model.encoder_.words())
    assert model.target_scale_ is scale
    assert _states(model).keys() == before.keys()
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_regressor_learns_new_categories(mixed_table, method):
    X, _ = mixed_table
    later, later_y = later_numbers()
    model = make_regressor(max_epochs=10).fit(X, 3.0 + X["number"].fillna(0))
    quito = later["city"] == "Quito"
    before = model.predict(later)[quito].mean() - later_y[quito].mean()
    assert before < -6
    for _ in range(1 if method == "fit" else 10):
        getattr(model, method)(later, later_y)
    assert "city=Quito" in model.encoder_.words()
    assert abs(model.predict(later)[quito].mean() - later_y[quito].mean()) < 2
    weights = model.wide_weights_.set_index("feature")["weight"]
    assert weights["city=Quito"] > 0
    assert len(weights) == model.encoder_.id_offsets_[-1]


def test_a_module_of_ones_own_keeps_its_encoder():
    """Its tables were made for the ids of the first data."""
    from sklearn_memgen import NetClassifier
    from sklearn_memgen.tables import TableEncoder

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = torch.nn.EmbeddingBag(4, 1, mode="sum")

        def forward(self, numbers, ids, **_):
            return self.weights(ids)

    X = pd.DataFrame({"c": list("aabb") * 10})
    model = NetClassifier(Linear, encoder=TableEncoder(), warm_start=True, max_epochs=1)
    model.fit(X, X["c"] == "a")
    later = pd.DataFrame({"c": list("xxbb") * 10})
    model.fit(later, later["c"] == "b").partial_fit(later, later["c"] == "b")
    assert model.encoder_.id_offsets_[-1] == 4
