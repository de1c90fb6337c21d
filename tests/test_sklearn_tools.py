"""scikit-learn's meta-estimators and tools around WideDeepClassifier."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from sklearn_memgen import WideDeepClassifier


def make_model(**params):
    small = {"hidden_layer_sizes": (64,), "n_members": 2, "max_epochs": 10}
    return WideDeepClassifier(**small | {"random_state": 0} | params)


def test_grid_search_in_parallel(mixed_table):
    """The paper's ablation as one search; the winner is refitted."""
    grid = [{"hidden_layer_sizes": [(), (32,)]}, {"wide": [False]}]
    search = GridSearchCV(make_model(), grid, cv=2, n_jobs=2, scoring="roc_auc")
    search.fit(*mixed_table)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.85
    serial = clone(search).set_params(n_jobs=1).fit(*mixed_table)
    np.testing.assert_allclose(
        serial.cv_results_["mean_test_score"],
        search.cv_results_["mean_test_score"],
        atol=0.01,
    )


def test_a_worker_keeps_to_its_share_of_the_cores():
    """Without variables that limit the threads of this process."""
    script = """
import joblib, torch
share = max(1, joblib.cpu_count() // 2)
jobs = (joblib.delayed(torch.get_num_threads)() for _ in range(2))
assert max(joblib.Parallel(n_jobs=2)(jobs)) <= share
"""
    free = {name: value for name, value in os.environ.items() if "_THREADS" not in name}
    subprocess.run([sys.executable, "-c", script], check=True, env=free)


def test_a_small_fit_uses_one_thread_and_gives_the_others_back(mixed_table):
    seen = []

    class Watch(Callback):
        def on_epoch_begin(self, net, **kwargs):
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        make_model(max_epochs=1, callbacks=[Watch()]).fit(*mixed_table)
        wide = make_model(
            max_epochs=1, callbacks=[Watch()], hidden_layer_sizes=(4096, 1024)
        )
        wide.fit(*mixed_table)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


def test_halving_search_over_epochs(mixed_table):
    search = HalvingGridSearchCV(
        make_model(early_stopping=False),
        {"learning_rate": [1e-4, 1e-2]},
        resource="max_epochs",
        max_resources=8,
        cv=2,
    ).fit(*mixed_table)
    assert search.best_params_["learning_rate"] == 1e-2
    assert search.best_estimator_.max_epochs == 8
    assert len(search.best_estimator_.history_) == 8


def test_cross_validation(mixed_table):
    X, y = mixed_table
    assert cross_val_score(make_model(), X, y, cv=3).mean() > 0.8
    probabilities = cross_val_predict(make_model(), X, y, cv=2, method="predict_proba")
    assert probabilities.shape == (400, 2)


def test_pipeline_with_pandas_output(mixed_table):
    X, y = mixed_table
    scaled = ColumnTransformer(
        [("scale", StandardScaler(), ["number", "count"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    pipeline = Pipeline([("prepare", scaled), ("model", make_model())])
    pipeline.set_output(transform="pandas").fit(X, y)
    assert "city" in pipeline["model"].feature_names_in_
    assert pipeline.score(X, y) > 0.85
    search = GridSearchCV(pipeline, {"model__embedding_dim": [2, 4]}, cv=4).fit(X, y)
    assert search.best_score_ > 0.75


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration(mixed_table, ensemble):
    X, y = mixed_table
    model = CalibratedClassifierCV(make_model(), cv=2, ensemble=ensemble).fit(X, y)
    assert model.score(X, y) > 0.8


def test_stacking(mixed_table):
    X, y = mixed_table
    numeric = make_pipeline(
        ColumnTransformer([("number", "passthrough", ["count"])]), LogisticRegression()
    )
    stack = StackingClassifier(
        [("wide_deep", make_model()), ("linear", numeric)],
        final_estimator=LogisticRegression(),
        cv=2,
    ).fit(X, y)
    assert stack.score(X, y) > 0.8


def test_permutation_importance_finds_the_columns_that_matter(mixed_table):
    X, y = mixed_table
    model = make_model().fit(X, y)
    result = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    importance = pd.Series(result.importances_mean, index=X.columns)
    assert importance.idxmax() == "number"
    assert importance["number"] > 3 * importance["flag"]


def test_clone_and_dump(mixed_table, tmp_path):
    X, y = mixed_table
    model = make_model(crosses=[("city", "grade")], memorize=["count"])
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    model.fit(X, y)
    np.testing.assert_array_equal(
        twin.fit(X, y).predict_proba(X), model.predict_proba(X)
    )
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
