"""Hashed crosses of millions of buckets: a step costs what the batch touches."""

import pickle
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.tables import TableEncoder

N_ROWS, BATCH_SIZE = 20_480, 512


class Hashing(TableEncoder):
    """Hashes its crosses, however few combinations there are.

    By itself it would take a table of more than 10**7 combinations.
    """

    def _fit(self, X, y, sample_weight):
        statistics = super()._fit(X, y, sample_weight)
        n_buckets = self.n_cross_buckets
        self.crosses_ = {
            name: replace(cross, n_buckets=n_buckets, counts=np.zeros(n_buckets + 1))
            for name, cross in self.crosses_.items()
        }
        self._number_ids()
        return statistics


class Model(WideDeepClassifier):
    def _make_encoder(self):
        return Hashing(
            categorical_features=["a", "b"],
            crosses=[("a", "b")],
            min_frequency=1,
            n_cross_buckets=self.n_cross_buckets,
        )


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 5000, (N_ROWS, 2)), columns=["a", "b"])
    return X, (X["a"] * 7 + X["b"]) % 2


@pytest.fixture(scope="module")
def models(table):
    return {
        n_buckets: Model(
            n_cross_buckets=n_buckets,
            hidden_layer_sizes=(16,),
            embedding_dim=2,
            batch_size=BATCH_SIZE,
            max_epochs=1,
            early_stopping=False,
            warm_start=True,
            random_state=0,
        ).fit(*table)
        for n_buckets in (10**5, 10**7)
    }


def test_a_step_hardly_depends_on_the_number_of_buckets(models, table):
    seconds = {n_buckets: [] for n_buckets in models}
    for _ in range(8):  # in turn, since the machine may have other things to do
        for n_buckets, model in models.items():
            assert model.net_.module_.wide.ids.sparse
            history = model.fit(*table).history_
            seconds[n_buckets].append(history["duration"].iloc[-1])
    assert min(seconds[10**7]) < 1.5 * min(seconds[10**5])


def test_prediction_and_pickling(models, table):
    """A row costs nothing for other buckets; a weight, its state and count are kept."""
    X, _ = table
    model = models[10**7]
    expected = model.predict_proba(X)
    started = time.perf_counter()
    for row in range(20):
        model.predict_proba(X[row : row + 1])
    assert (time.perf_counter() - started) / 20 < 0.05
    dump = pickle.dumps(model)
    weights, counts = 3 * 4 * 10**7, 8 * 10**7
    assert len(dump) < 1.05 * (weights + counts)
    np.testing.assert_array_equal(pickle.loads(dump).predict_proba(X), expected)


def test_early_stopping_returns_to_the_best_epoch(table):
    """It copies the weights at each improvement: 40 MB, much less than an epoch."""
    X, y = table
    model = Model(n_cross_buckets=10**7, hidden_layer_sizes=(16,), max_epochs=3)
    model.set_params(early_stopping=True, random_state=0).fit(X, y)
    assert (model.net_.module_.wide.ids.weight != 0).any()
    assert model.history_["valid_loss"].notna().all()
