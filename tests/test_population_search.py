"""PopulationSearchCV beside scikit-learn's searches."""

import itertools
import pickle
import re
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, TransformerMixin, clone, config_context
from sklearn.compose import make_column_transformer
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier, WideDeepRegressor
from sklearn_memgen import _joint_fits as joint_fits
from sklearn_memgen.model_selection import PopulationSearchCV
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.training import Population, ResidentNet


def make_wide_deep(kind=WideDeepClassifier, **params):
    small = {"hidden_layer_sizes": (16,), "n_members": 2, "max_epochs": 2}
    return kind(**small | {"caution": False, "random_state": 0} | params)


class MLP(nn.Sequential):
    """A user's own module."""

    def __init__(self, n_features, n_classes, n_units=8):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


def make_net(**params):
    fixed = {"max_epochs": 3, "batch_size": 32, "random_state": 0, "device": "cpu"}
    return NetClassifier(MLP, **fixed | params)


def draw_numbers(n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4))
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def assert_same_results(search, other, atol=1e-6):
    """Compare all that two searches found, but for the seconds."""
    results, others = search.cv_results_, other.cv_results_
    assert list(results) == list(others)
    assert results["params"] == others["params"]
    for key, values in results.items():
        if "score" in key and "time" not in key:
            np.testing.assert_allclose(values, others[key], atol=atol, err_msg=key)
        if "time" in key:
            assert np.isfinite(values).all() and (values >= 0).all()
    assert search.best_index_ == other.best_index_
    assert search.best_params_ == other.best_params_
    assert search.n_splits_ == other.n_splits_


def record_populations(monkeypatch):
    """Keep each population that is trained."""
    trained = []

    class Recorded(Population):
        def train(self, **kwargs):
            trained.append(self)
            return super().train(**kwargs)

    monkeypatch.setattr(joint_fits, "Population", Recorded)
    return trained


# What it finds


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_it_finds_what_a_grid_search_finds(mixed_table, n_jobs):
    X, y = mixed_table
    grid = [{"learning_rate": [1e-4, 1e-2], "wide": [True, False]}, {"n_members": [1]}]
    settings = {
        "cv": 3,
        "scoring": {"auc": "roc_auc", "loss": "neg_log_loss"},
        "refit": "loss",
        "return_train_score": True,
    }
    model = make_wide_deep(caution="auto", crosses=[("city", "grade")])
    search = PopulationSearchCV(model, grid, n_jobs=n_jobs, **settings).fit(X, y)
    other = GridSearchCV(model, grid, **settings).fit(X, y)
    # Threads, of which processes have fewer, change the order of sums.
    assert_same_results(search, other, atol=1e-6 if n_jobs == 1 else 1e-4)
    assert search.multimetric_ and set(search.scorer_) == {"auc", "loss"}
    np.testing.assert_allclose(
        search.predict_proba(X), other.predict_proba(X), atol=1e-6
    )
    assert search.score(X, y) == pytest.approx(other.score(X, y), abs=1e-6)
    assert list(search.classes_) == ["no", "yes"]
    assert list(search.feature_names_in_) == list(X.columns)
    assert search.refit_time_ > 0


def test_pilots_are_trained_together(monkeypatch):
    """Nets that decide on caution are nets of the fits, too."""
    rng = np.random.default_rng(0)
    shops = rng.integers(0, 100, 900)
    X = pd.DataFrame({"shop": [f"shop {i}" for i in shops], "size": rng.random(900)})
    y = (rng.random(900) < np.where(shops % 3, 0.3, 0.7)).astype(int)
    model, grid = make_wide_deep(caution="auto"), {"learning_rate": [1e-3, 1e-2]}
    populations = record_populations(monkeypatch)
    search = PopulationSearchCV(model, grid, cv=2).fit(X, y)
    assert [len(population) for population in populations] == [2] * 6
    assert_same_results(search, GridSearchCV(model, grid, cv=2).fit(X, y))


def test_a_regressor_is_searched(mixed_table):
    X, _ = mixed_table
    X = X.dropna()
    y = X.pop("number") * 3 + X["count"]
    model = make_wide_deep(WideDeepRegressor)
    grid = {"loss": ["squared_error", "absolute_error"]}
    search = PopulationSearchCV(model, grid, cv=2).fit(X, y)
    assert_same_results(search, GridSearchCV(model, grid, cv=2).fit(X, y))
    np.testing.assert_allclose(search.predict(X), search.best_estimator_.predict(X))


def test_samples_are_those_of_a_randomized_search():
    X, y = draw_numbers()
    space = {"learning_rate": loguniform(1e-4, 1e-1), "optimizer": ["adam", "sgd"]}
    settings = {"n_iter": 3, "cv": ShuffleSplit(2, random_state=0), "random_state": 1}
    search = PopulationSearchCV(make_net(), space, **settings).fit(X, y)
    other = RandomizedSearchCV(make_net(), space, **settings).fit(X, y)
    assert_same_results(search, other, atol=1e-3)
    with pytest.raises(
        ValueError, match="distribution for 'learning_rate'; set n_iter"
    ):
        PopulationSearchCV(make_net(), space).fit(X, y)


def test_metadata_reach_fits_scores_and_splits(mixed_table):
    X, y = mixed_table
    rng = np.random.default_rng(0)
    metadata = {
        "sample_weight": rng.integers(0, 3, len(X)).astype(float),
        "groups": np.arange(len(X)) % 5,
    }
    grid, cv = {"learning_rate": [1e-3, 1e-2]}, GroupKFold(3)
    model = make_wide_deep()
    search = PopulationSearchCV(model, grid, cv=cv).fit(X, y, **metadata)
    assert_same_results(search, GridSearchCV(model, grid, cv=cv).fit(X, y, **metadata))
    unweighted = PopulationSearchCV(model, grid, cv=cv)
    unweighted.fit(X, y, groups=metadata["groups"])
    scores = search.cv_results_["mean_test_score"]
    assert not np.allclose(scores, unweighted.cv_results_["mean_test_score"])
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(roc_auc_score, response_method="predict_proba")
        steps = Pipeline([("same", Same()), ("net", model)])
        steps.named_steps["net"].set_fit_request(sample_weight=True)
        settings = {"cv": cv, "scoring": scorer.set_score_request(sample_weight=True)}
        grid = {"net__learning_rate": [1e-3, 1e-2]}
        routed = PopulationSearchCV(steps, grid, **settings).fit(X, y, **metadata)
        other = GridSearchCV(steps, grid, **settings).fit(X, y, **metadata)
        assert_same_results(routed, other)


def test_scorers_that_are_functions(mixed_table):
    X, y = mixed_table
    X = X.assign(number=X["number"].fillna(0))

    def rate(estimator, X, y):
        return {"right": estimator.score(X, y), "rows": len(X)}

    def choose(results):
        return int(results["mean_test_right"].argmin())

    grid = {"learning_rate": [1e-3, 1e-2]}
    settings = {"scoring": rate, "refit": choose, "cv": 2}
    search = PopulationSearchCV(make_wide_deep(), grid, **settings).fit(X, y)
    other = GridSearchCV(make_wide_deep(), grid, **settings).fit(X, y)
    assert_same_results(search, other)
    assert not hasattr(search, "best_score_")


def test_candidates_without_a_seed_differ_in_their_parameters_alone():
    X, y = draw_numbers()
    grid = {"verbose": [0, False]}  # which changes nothing
    results = [
        PopulationSearchCV(
            make_net(random_state=None), grid, cv=2, random_state=seed, scoring=score
        )
        .fit(X, y)
        .cv_results_
        for seed, score in [
            (0, "neg_log_loss"),
            (0, "neg_log_loss"),
            (1, "neg_log_loss"),
        ]
    ]
    first, again, other = (result["mean_test_score"] for result in results)
    assert first[0] == first[1]
    np.testing.assert_array_equal(first, again)
    assert first[0] != other[0]


# What is shared


def test_a_table_is_encoded_once_a_fold(mixed_table, monkeypatch):
    encoded, fit_transform = [], TableEncoder.fit_transform

    def recorded(self, X, *args, **kwargs):
        encoded.append(len(X))
        return fit_transform(self, X, *args, **kwargs)

    monkeypatch.setattr(TableEncoder, "fit_transform", recorded)
    X, y = mixed_table
    grid = {"learning_rate": [1e-3, 1e-2], "hidden_layer_sizes": [(8,), (16,)]}
    search = PopulationSearchCV(make_wide_deep(), grid, cv=4, refit=False).fit(X, y)
    assert encoded == [270] * 4
    encoded.clear()
    grid = {"learning_rate": [1e-3, 1e-2], "n_bins": [8, 16]}
    search.set_params(param_grid=grid).fit(X, y)
    assert len(encoded) == 4 * 2  # settings of the encoder


def test_arrays_are_one_table_and_one_population(monkeypatch):
    X, y = draw_numbers()
    grid = {"learning_rate": [1e-3, 1e-2], "weight_decay": [0.0, 0.1]}
    settings = {"cv": 5, "scoring": "neg_log_loss"}
    populations = record_populations(monkeypatch)
    search = PopulationSearchCV(make_net(), grid, strategy="stacked", **settings)
    search.fit(X, y)
    (population,) = populations
    assert len(population) == 20
    assert {result.strategy for result in population} == {"stacked"}
    tables = {id(member.training.X.table) for member in population.members}
    assert len(tables) == 1
    other = GridSearchCV(make_net(), grid, **settings).fit(X, y)
    assert_same_results(search, other, atol=1e-4)


def test_candidates_of_other_shapes_are_groups_of_their_own():
    X, y = draw_numbers()
    grid = {"module_params": [{"n_units": n} for n in (4, 8, 16)]}
    settings = {"cv": 3, "scoring": "neg_log_loss"}
    search = PopulationSearchCV(make_net(), grid, strategy="stacked", **settings)
    assert_same_results(
        search.fit(X, y), GridSearchCV(make_net(), grid, **settings).fit(X, y), 1e-4
    )


class Same(TransformerMixin, BaseEstimator):
    """Changes nothing, and counts its fits."""

    n_fits = 0

    def __init__(self, setting=0):
        self.setting = setting

    def fit(self, X, y=None):
        Same.n_fits += 1
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("name", ["table", "array"])
def test_steps_are_fitted_once_a_fold_and_setting(mixed_table, name):
    X, y = mixed_table if name == "table" else draw_numbers()
    net = make_wide_deep() if name == "table" else make_net()
    steps = Pipeline([("same", Same()), ("net", net)])
    grid = {"same__setting": [0, 1], "net__learning_rate": [1e-3, 1e-2]}
    settings = {"cv": 3, "scoring": "neg_log_loss", "refit": False}
    Same.n_fits = 0
    search = PopulationSearchCV(steps, grid, **settings).fit(X, y)
    assert Same.n_fits == 3 * 2
    other = GridSearchCV(steps, grid, **settings).fit(X, y)
    assert_same_results(search, other, atol=1e-4)
    weight = np.where(np.arange(len(X)) % 2, 1.0, 0.0)
    assert_same_results(
        search.fit(X, y, net__sample_weight=weight),
        other.fit(X, y, net__sample_weight=weight),
        atol=1e-4,
    )


def test_steps_learn_from_their_fold_alone():
    """A scaler that saw the test rows would make another net of the same seed."""
    X, y = draw_numbers()
    X[::2] *= 100
    steps = make_pipeline(
        make_column_transformer((StandardScaler(), [0, 1, 2])), make_net()
    )
    grid = {"netclassifier__learning_rate": [1e-3, 1e-2]}
    cv = [
        (np.arange(1, 300, 2), np.arange(0, 300, 2)),
        (np.arange(150), np.arange(150, 300)),
    ]
    settings = {"cv": cv, "scoring": "neg_log_loss"}
    search = PopulationSearchCV(steps, grid, **settings).fit(X, y)
    assert_same_results(search, GridSearchCV(steps, grid, **settings).fit(X, y), 1e-3)


def test_others_are_fitted_by_themselves():
    """Candidates may be estimators that have nothing to do with nets."""
    X, y = draw_numbers()
    steps = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    grid = {"model": [LogisticRegression(), make_net()], "scale": ["passthrough"]}
    search = PopulationSearchCV(steps, grid, cv=3).fit(X, y)
    other = GridSearchCV(steps, grid, cv=3).fit(X, y)
    scores, others = search.cv_results_, other.cv_results_
    for key in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(scores[key], others[key], atol=0.01)


# How fits are divided


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 40])
def test_parts_have_every_fit_once_and_grow_smaller(n_jobs):
    search = PopulationSearchCV(
        make_wide_deep(), {"learning_rate": [1e-3, 1e-2, 1e-1]}, n_jobs=n_jobs
    )
    search._rng = np.random.RandomState(0)
    rates = [{"learning_rate": rate} for rate in (1e-3, 1e-2, 1e-1)]
    tasks = search._make_tasks(rates, 5)
    parts = list(search._divide(tasks))
    pairs = [(task.candidate, task.split) for part in parts for task in part]
    assert sorted(pairs) == [(k, i) for k in range(3) for i in range(5)]
    assert all(len({task.split for task in part}) == 1 for part in parts)
    if n_jobs == 1:
        assert [len(part) for part in parts] == [3] * 5
    elif n_jobs == 2:
        assert [len(part) for part in parts][-3:] == [1, 1, 1]
    else:
        assert len(parts) >= min(n_jobs, 15)


# What goes wrong


class Raise(Callback):
    """Raise an error in the first epoch."""

    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("out of order")


def test_a_candidate_that_fails_has_the_error_score():
    X, y = draw_numbers()
    grid = [
        {"learning_rate": [1e-3]},
        {"learning_rate": [1e30]},
        {"callbacks": [[Raise()]]},
        {"weight_decay": [-1.0]},
        {"device": ["cuda:77"]},
    ]
    model = make_net(optimizer="sgd")
    search = PopulationSearchCV(model, grid, cv=3, error_score=-5.0)
    with pytest.warns(FitFailedWarning, match=r"12 fits failed out of a total of 15"):
        search.fit(X, y)
    alone = cross_val_score(clone(model).set_params(learning_rate=1e-3), X, y, cv=3)
    np.testing.assert_allclose(
        [search.cv_results_[f"split{i}_test_score"][0] for i in range(3)], alone
    )
    assert search.cv_results_["mean_test_score"][1:].tolist() == [-5.0] * 4
    assert search.best_index_ == 0
    with pytest.raises(FloatingPointError, match="became"):
        search.set_params(error_score="raise", param_grid=grid[1]).fit(X, y)
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        search.set_params(error_score=np.nan).fit(X, y)


class Picky(Same):
    """Raise an error with some settings."""

    def fit(self, X, y=None):
        if self.setting:
            raise ValueError("not with this setting")
        return super().fit(X)


def test_a_step_that_fails_fails_its_candidates_alone():
    X, y = draw_numbers()
    steps = Pipeline([("same", Picky()), ("net", make_net())])
    grid = {"same__setting": [0, 1], "net__learning_rate": [1e-3, 1e-2]}
    search = PopulationSearchCV(steps, grid, cv=2, refit=False)
    with pytest.warns(UserWarning) as warned:
        search.fit(X, y)
    assert any("4 fits failed out of a total of 8" in str(w.message) for w in warned)
    failed = np.isnan(search.cv_results_["mean_test_score"])
    assert failed.tolist() == [False, True] * 2


def test_steps_that_cannot_be_compared_are_fitted_each_time():
    X, y = draw_numbers()
    steps = make_pipeline(FunctionTransformer(lambda X: X + 1), make_net())
    grid = {"netclassifier__learning_rate": [1e-3, 1e-2]}
    settings = {"cv": 2, "scoring": "neg_log_loss"}
    search = PopulationSearchCV(steps, grid, **settings).fit(X, y)
    assert_same_results(search, GridSearchCV(steps, grid, **settings).fit(X, y))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_wrong_name_is_told_before_anything_is_fitted(n_jobs):
    X, y = draw_numbers()
    search = PopulationSearchCV(make_net(), {"learning_rat": [1]}, n_jobs=n_jobs)
    with pytest.raises(ValueError, match="learning_rat"):
        search.fit(X, y)
    with pytest.raises(ValueError, match="strategy"):
        PopulationSearchCV(make_net(), {}, strategy="together").fit(X, y)


@pytest.fixture
def press_ctrl_c(monkeypatch, interruptible):
    """Press Ctrl-C at the beginning of a pass over batches, of all nets together."""
    begin = ResidentNet._begin_pass

    def prepare(n_passes):
        passes = itertools.count(1)

        def pressed(self, *args):
            if next(passes) == n_passes:
                signal.raise_signal(signal.SIGINT)
            begin(self, *args)

        monkeypatch.setattr(ResidentNet, "_begin_pass", pressed)

    yield prepare
    monkeypatch.undo()


@pytest.mark.parametrize("n_done", [0, 1, 5])
def test_ctrl_c_leaves_what_is_finished(mixed_table, press_ctrl_c, n_done):
    """Two candidates on each of four splits, one split after the other."""
    X, y = mixed_table
    grid, model = {"learning_rate": [1e-3, 1e-2]}, make_wide_deep(early_stopping=False)
    complete = PopulationSearchCV(model, grid, cv=4).fit(X, y)
    expected = [complete.cv_results_[f"split{i}_test_score"] for i in range(4)]
    search = PopulationSearchCV(model, grid, cv=4, verbose=2).fit(X, y)
    press_ctrl_c(2 * n_done + 2)  # in the second epoch of the next net
    with (
        warnings.catch_warnings(record=True) as caught,
        pytest.raises(KeyboardInterrupt),
    ):
        warnings.simplefilter("always")
        search.fit(X, y)
    assert not hasattr(search, "best_estimator_")
    if n_done == 0:
        assert not hasattr(search, "cv_results_")
        return
    assert any(f"{n_done} of 8 fits are finished" in str(w.message) for w in caught)
    scores = np.stack([search.cv_results_[f"split{i}_test_score"] for i in range(4)])
    assert np.isfinite(scores).ravel().tolist() == [k < n_done for k in range(8)]
    np.testing.assert_array_equal(
        scores.ravel()[:n_done], np.stack(expected).ravel()[:n_done]
    )
    assert not hasattr(search, "best_index_")  # no candidate has all scores


@pytest.mark.parametrize("refit", [True, max])
def test_of_candidates_finished_before_ctrl_c_the_best_is_known(press_ctrl_c, refit):
    """Without an encoder one candidate after the other is fitted on all splits."""
    X, y = draw_numbers()
    grid = {"learning_rate": [1e-2, 1e-3]}
    model = make_net(max_epochs=2, early_stopping=False)
    search = PopulationSearchCV(model, grid, cv=3, strategy="sequential", refit=refit)
    press_ctrl_c(3 * 2 + 2)
    with (
        pytest.warns(UserWarning, match="1 of 2 candidates on all splits"),
        pytest.raises(KeyboardInterrupt),
    ):
        search.fit(X, y)
    if refit is True:  # a function is not asked about candidates without a score
        assert search.best_params_ == {"learning_rate": 1e-2}
    assert search.cv_results_["rank_test_score"].tolist() == [1, 2]
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


# scikit-learn's habits


def test_callbacks_of_scikit_learn_are_refused():
    X, y = draw_numbers()
    search = PopulationSearchCV(make_net(), {}, cv=2)
    if not hasattr(search, "set_callbacks"):
        pytest.skip("scikit-learn has callbacks from 1.9 on")
    monitor = pytest.importorskip("sklearn.callback").ScoringMonitor(scoring="accuracy")
    with pytest.raises(ValueError, match="callbacks of scikit-learn"):
        search.set_callbacks(monitor).fit(X, y)


def test_it_is_cloned_pickled_and_nested(mixed_table):
    X, y = mixed_table
    grid = {"learning_rate": [1e-3, 1e-2]}
    search = PopulationSearchCV(make_wide_deep(), grid, cv=2)
    assert clone(search).get_params()["param_grid"] == grid
    scores = cross_val_score(search, X, y, cv=2)
    assert scores.shape == (2,) and np.isfinite(scores).all()
    loaded = pickle.loads(pickle.dumps(search.fit(X, y)))
    np.testing.assert_array_equal(loaded.predict(X), search.predict(X))
    assert "PopulationSearchCV" in repr(search)


def test_the_lines_it_prints(capsys):
    X, y = draw_numbers()
    PopulationSearchCV(make_net(), {"learning_rate": [1e-3]}, cv=2, verbose=2).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Fitting 2 folds for each of 1 candidates, totalling 2 fits"
    assert [line[:33] for line in lines[1:]] == [
        "[CV 1/2] END learning_rate=0.001;",
        "[CV 2/2] END learning_rate=0.001;",
    ]
    assert all(re.search(r"score=\d\.\d+ total time=", line) for line in lines[1:])


def test_global_seeds_stay_as_they_were():
    X, y = draw_numbers()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    PopulationSearchCV(
        make_net(random_state=None), {"learning_rate": [1e-3]}, cv=2, random_state=0
    ).fit(X, y)
    assert torch.equal(before[0], torch.get_rng_state())
