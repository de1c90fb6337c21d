"""WideDeepRegressor: numbers out, in the unit they came in."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring

from sklearn_memgen import WideDeepRegressor
from sklearn_memgen._targets import TargetScale
from tests.conftest import make_mixed_table

LOSSES = ["squared_error", "absolute_error", "quantile", "poisson"]


# Faster than the defaults, where these are not the point.
SMALL = {"hidden_layer_sizes": (64,), "n_members": 2, "random_state": 0}


def make_model(**params):
    return WideDeepRegressor(**SMALL | {"max_epochs": 15} | params)


def make_table(n_rows=400, seed=0):
    """The mixed table, and a number of 0 or more that it predicts."""
    X, _ = make_mixed_table(n_rows, seed)
    noise = np.random.default_rng(seed + 100).normal(size=n_rows)
    level = X["city"].map({"Rome": 4.0, "Oslo": 0.0}).fillna(2.0)
    y = 10 + X["number"].fillna(0) * 2 + level + X["flag"] + 0.3 * noise
    return X, y.clip(lower=0)


# Learning


def test_a_mixed_table_is_learned():
    X, y = make_table(2000)
    test_X, test_y = make_table(400, seed=1)
    assert make_model().fit(X, y).score(test_X, test_y) > 0.75


def test_a_cross_is_memorized():
    """What only a pair of categories tells, a wide model without crosses cannot."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.integers(0, 8, 4000), "b": rng.integers(0, 8, 4000)})
    X = X.astype(str)
    y = rng.normal(size=(8, 8))[X["a"].astype(int), X["b"].astype(int)] * 100
    scores = [
        make_model(hidden_layer_sizes=(), crosses=crosses)
        .fit(X[:3000], y[:3000])
        .score(X[3000:], y[3000:])
        for crosses in ([], [("a", "b")])
    ]
    assert scores[0] < 0.6
    assert scores[1] > 0.95


def test_exact_numbers_that_settle_the_target_are_memorized():
    """By the default: the column of promoted prices, and not that of weights."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"price": rng.integers(0, 400, 4000), "weight": rng.integers(0, 400, 4000)}
    )
    y = 5 * (rng.random(400) < 0.1)[X["price"]] + rng.normal(size=4000)
    X, test_X, y, test_y = train_test_split(X, y, random_state=0)
    models = [make_model(memorize=m).fit(X, y) for m in ("auto", "none")]
    memorized = models[0].encoder_.memorized_.set_index("column")["memorized"]
    assert memorized.to_dict() == {"price": True, "weight": False}
    auto, none = (root_mean_squared_error(test_y, m.predict(test_X)) for m in models)
    assert auto < 1.25 < none - 0.1


def test_friedman():
    """Smooth: noise of 1 is the best possible error, 4.9 that of the mean."""
    X, y = make_friedman1(5000, noise=1.0, random_state=0)
    X, test_X, y, test_y = train_test_split(X, y, random_state=0)
    model = WideDeepRegressor(random_state=0).fit(X, y)
    assert root_mean_squared_error(test_y, model.predict(test_X)) < 1.25


def test_a_small_noisy_table_is_not_overfitted():
    """442 rows: by default no worse than a linear model, by more than a tenth."""
    X, y = load_diabetes(return_X_y=True)
    errors = [
        root_mean_squared_error(y, cross_val_predict(model, X, y, cv=3))
        for model in (WideDeepRegressor(random_state=0), LinearRegression())
    ]
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize(
    ("name", "target", "largest"),
    [("wine_quality", "target", 0.70), ("adult", "age", 9.4)],
)
def test_real_tables(data_folder, name, target, largest):
    """LightGBM has 0.65 and 9.74, and the mean 0.88 and 13.8.

    Census weights repeat for people of the same age: "auto" has to remember them.
    """
    frame = pd.read_parquet(data_folder / "tabular" / f"{name}.parquet")
    y = frame.pop(target)
    X, test_X, y, test_y = train_test_split(frame, y, test_size=0.2, random_state=0)
    model = WideDeepRegressor(random_state=0).fit(X, y)
    assert root_mean_squared_error(test_y, model.predict(test_X)) < largest


# Losses


def skewed(n_rows=6000, seed=0):
    """A target whose mean and spread grow with a column, the spread to one side."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.random(n_rows), "b": rng.choice(list("xyz"), n_rows)})
    scale = 1 + 4 * X["a"] + 3 * (X["b"] == "x")
    return X, (100 + 5 * X["a"] + scale * rng.exponential(size=n_rows)).to_numpy()


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantiles_cover_their_share(quantile):
    """Over all held-out rows, and where the spread is small as well as large."""
    X, y = skewed()
    X, test_X, y, test_y = train_test_split(X, y, random_state=0)
    model = WideDeepRegressor(loss="quantile", quantile=quantile, **SMALL)
    predictions = model.fit(X, y).predict(test_X)
    below = pd.Series(test_y <= predictions)
    assert abs(below.mean() - quantile) < 0.04
    by_spread = below.groupby(test_X["b"].eq("x").to_numpy()).mean()
    assert (by_spread - quantile).abs().max() < 0.07
    constant = np.full(len(test_y), np.quantile(y, quantile))
    loss, worst = (
        mean_pinball_loss(test_y, p, alpha=quantile) for p in (predictions, constant)
    )
    assert loss < 0.95 * worst


def test_absolute_error_predicts_the_median_and_squared_error_the_mean():
    X, y = skewed()
    predictions = {
        loss: WideDeepRegressor(loss=loss, **SMALL).fit(X, y).predict(X)
        for loss in ("squared_error", "absolute_error")
    }
    assert (predictions["absolute_error"] < predictions["squared_error"]).mean() > 0.9
    assert (predictions["absolute_error"] > y).mean() == pytest.approx(0.5, abs=0.04)
    assert predictions["squared_error"].mean() == pytest.approx(y.mean(), rel=0.01)
    assert mean_absolute_error(y, predictions["absolute_error"]) < (
        mean_absolute_error(y, predictions["squared_error"])
    )


def test_absolute_error_shrugs_off_outliers():
    X, y = make_friedman1(2000, random_state=0)
    spoiled = np.where(np.arange(2000) % 50 == 0, 1e4, y)
    errors = [
        mean_absolute_error(y, make_model(loss=loss).fit(X, spoiled).predict(X))
        for loss in ("absolute_error", "squared_error")
    ]
    assert errors[0] < 1.5
    assert errors[1] > 20


def test_poisson_predicts_rates_above_zero():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=6000), "b": rng.choice(list("xyz"), 6000)})
    rate = np.exp(X["a"] - 2 + 2 * (X["b"] == "x")).to_numpy()
    y = rng.poisson(rate)
    model = WideDeepRegressor(loss="poisson", **SMALL).fit(X[:5000], y[:5000])
    predictions, true = model.predict(X[5000:]), rate[5000:]
    assert (predictions > 0).all()
    assert np.corrcoef(np.log(predictions), np.log(true))[0, 1] > 0.97
    mean = np.full(1000, y[:5000].mean())
    deviance, best, worst = (
        mean_poisson_deviance(y[5000:], p) for p in (predictions, true, mean)
    )
    assert deviance < best + 0.1 * (worst - best)


def test_poisson_of_extreme_rows_stays_above_zero_and_finite():
    X, y = make_table()
    model = make_model(loss="poisson").fit(X, y)
    predictions = model.predict(X.assign(number=[1e300, -1e300] * 200))
    assert (predictions > 0).all() and np.isfinite(predictions).all()


# The target


@pytest.mark.parametrize("loss", LOSSES[:3])
def test_predictions_follow_the_unit_of_the_target(loss):
    X, y = make_table()
    model = make_model(loss=loss, quantile=0.8)
    here = model.fit(X, y).predict(X)
    there = model.fit(X, 1000 * y + 5).predict(X)
    np.testing.assert_allclose(there, 1000 * here + 5, rtol=1e-3)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
@pytest.mark.parametrize("loss", LOSSES)
def test_units_far_from_one(loss, unit):
    X, y = make_table()
    y = y + 1
    here = make_model(loss=loss).fit(X, y).predict(X)
    there = make_model(loss=loss).fit(X, y * unit).predict(X)
    np.testing.assert_allclose(there / unit, here, rtol=1e-2)


def test_wide_weights_are_in_the_unit_of_the_target():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"city": rng.choice(["Rome", "Oslo"], 2000)})
    y = np.where(X["city"] == "Rome", 5000.0, 3000.0) + rng.normal(size=2000)
    model = make_model(hidden_layer_sizes=(), unknown_rate=0, max_epochs=40)
    weights = model.fit(X, y).wide_weights_
    assert list(weights) == ["feature", "weight", "count"]
    weights = weights.set_index("feature")["weight"]
    gap = weights["city=Rome"] - weights["city=Oslo"]
    assert gap == pytest.approx(2000, rel=0.05)


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "Float64", "boolean"])
def test_a_series_of_any_numeric_dtype(dtype):
    X, y = make_table()
    y = (y > 12).astype(float) if dtype == "boolean" else y.round()
    expected = make_model(max_epochs=2).fit(X, y).predict(X)
    model = make_model(max_epochs=2).fit(X, y.astype(dtype))
    assert model.predict(X).dtype == np.float64
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, np.nan, 2], "y contains NaN"),
        (pd.Series([1, None, 2], dtype="Int64"), "y contains NaN"),
        ([1.0, np.inf, 2], "y contains infinity"),
        ([1 + 2j, 2, 3], "Complex data not supported"),
        (["one", "two", "three"], "could not convert string to float: 'one'"),
        ([1.0, 2], "inconsistent numbers of samples"),
        (np.ones((3, 2)), "predicts one number a row, but y has 2 columns.*MultiOutp"),
        (None, "requires y to be passed"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        make_model().fit(pd.DataFrame({"a": [1.0, 2, 3]}), y)


def test_a_column_vector_warns_and_is_taken():
    X, y = make_table()
    expected = make_model(max_epochs=2).fit(X, y).predict(X)
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = make_model(max_epochs=2).fit(X, y.to_numpy()[:, None])
    np.testing.assert_array_equal(model.predict(X), expected)


def test_poisson_wants_counts():
    X = pd.DataFrame({"a": [1.0, 2, 3]})
    model = make_model(loss="poisson")
    with pytest.raises(ValueError, match=r"y >= 0, but y has the value -0\.5"):
        model.fit(X, [1, -0.5, 2])
    with pytest.raises(ValueError, match="needs a value of y above zero"):
        model.fit(X, [0, 0, 0])
    with pytest.raises(ValueError, match="needs a value of y above zero"):
        model.fit(X, [0, 0, 1], sample_weight=[1, 1, 0])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_constant_target_is_predicted(loss):
    X, _ = make_table(100)
    model = make_model(loss=loss).fit(X, np.full(100, 7.0))
    np.testing.assert_allclose(model.predict(X), 7.0, rtol=0.1)
    one_row = make_model(loss=loss).fit(X[:1], [7.0])
    np.testing.assert_allclose(one_row.predict(X[:1]), 7.0, rtol=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_scale_of_the_target_counts_weights_as_rows(loss):
    rng = np.random.default_rng(0)
    y, weights = rng.gamma(2.0, size=300), rng.integers(0, 4, 300)
    params = {"loss": loss, "quantile": 0.8}
    weighted = TargetScale.fit(y, weights.astype(float), **params)
    repeated = TargetScale.fit(y.repeat(weights), None, **params)
    assert weighted.center == pytest.approx(repeated.center)
    assert weighted.scale == pytest.approx(repeated.scale)
    restored = weighted.restore(weighted.standardize(y))
    if loss != "poisson":
        np.testing.assert_allclose(restored, y, rtol=1e-5)


def test_the_scale_of_a_target_that_is_mostly_zero():
    """Its interquartile range is zero; the standard deviation is not."""
    y = np.array([0.0] * 90 + [10.0] * 10)
    scale = TargetScale.fit(y, None, loss="quantile", quantile=0.95)
    assert (scale.center, scale.scale) == (10.0, pytest.approx(3.0))


# Weights


def test_a_row_of_weight_two_is_a_row_twice():
    """Up to the order of rows in batches, which a linear model forgets."""
    X, y = make_friedman1(600, noise=1.0, random_state=0)
    weights = np.where(y > np.median(y), 4, 1)
    model = make_model(
        hidden_layer_sizes=(),
        memorize="none",
        crosses=(),  # to its statistics a row that is there twice is one that repeats
        early_stopping=False,
        max_epochs=40,
        learning_rate=0.1,
    )
    plain, weighted, repeated = (
        model.fit(*data).predict(X)
        for data in (
            (X, y),
            (X, y, weights),
            (X.repeat(weights, axis=0), y.repeat(weights)),
        )
    )
    distance = np.abs(weighted - repeated).mean()
    assert distance < 0.1 * np.abs(plain - repeated).mean()


@pytest.mark.parametrize("loss", ["absolute_error", "poisson"])
def test_weights_are_in_the_other_losses(loss):
    """Half of the weight lies below the median; the weighted mean is that of y."""
    X, y = make_friedman1(600, noise=1.0, random_state=0)
    weights = np.where(y > np.median(y), 9.0, 1.0)
    model = make_model(
        loss=loss,
        hidden_layer_sizes=(),
        memorize="none",
        early_stopping=False,
        learning_rate=0.03,
        max_epochs=30,
    )
    predictions = model.fit(X[:, 5:], y, weights).predict(X[:, 5:])
    if loss == "absolute_error":
        below = np.average(y <= predictions, weights=weights)
        assert below == pytest.approx(0.5, abs=0.07)
    else:
        mean = np.average(predictions, weights=weights)
        assert mean == pytest.approx(np.average(y, weights=weights), rel=0.03)
    assert np.mean(y <= predictions) > 0.6


def test_rows_of_weight_zero_are_not_seen():
    X, y = make_table()
    kept = np.arange(400) >= 150
    spoiled = np.where(kept, y, 1e6)
    weighted = make_model().fit(X, spoiled, sample_weight=kept.astype(float))
    alone = make_model().fit(X[kept], y[kept])
    np.testing.assert_allclose(weighted.predict(X), alone.predict(X), rtol=1e-4)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(399), r"sample_weight.shape == \(399,\)"),
        (-np.ones(400), "Negative values"),
        (np.zeros(400), "zero|positive"),
    ],
)
def test_bad_weights_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        make_model().fit(*make_table(), sample_weight=weight)


# Training and state


def test_early_stopping_holds_out_rows_whatever_the_target():
    """Every target differs here, so that no class of them could be split."""
    X, y = make_friedman1(500, random_state=0)
    sizes = []

    class CountRows(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            sizes.append(len(X))

    def fit(n_rows, **params):
        model = make_model(max_epochs=2, callbacks=[CountRows()], **params)
        return model.fit(X[:n_rows], y[:n_rows])

    assert "valid_loss" in fit(200).history_  # "auto": on from 200 rows
    assert "valid_loss" not in fit(199).history_
    assert "valid_loss" not in fit(500, early_stopping=False).history_
    fit(100, early_stopping=True, validation_fraction=0.3)
    assert sizes == [180, 199, 500, 70]
    with pytest.raises(ValueError, match=r"0\.1 of 4 rows is less than one row$"):
        fit(4, early_stopping=True)


def test_partial_fit_over_chunks():
    X, y = make_friedman1(4000, noise=0.5, random_state=0)
    y = 1000 * y
    model = WideDeepRegressor(batch_size=64, random_state=0)
    for _ in range(3):
        for rows in np.array_split(np.arange(4000), 8):
            model.partial_fit(X[rows], y[rows])
    assert model.score(X, y) > 0.9
    assert len(model.history_) == 24


def test_warm_start_goes_on_with_the_scale_of_the_first_fit():
    X, y = make_table()
    model = make_model(warm_start=True, max_epochs=3).fit(X, y)
    net, scale = model.net_, model.target_scale_
    model.fit(X, y + 1)
    assert model.net_ is net and model.target_scale_ is scale
    assert len(model.history_) == 6
    model.set_params(loss="poisson")
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="with loss='squared_error', but loss='po"):
            method(X, y)
    assert model.set_params(warm_start=False).fit(X, y).target_scale_.loss == "poisson"


def test_warm_start_goes_on_with_the_quantile_of_the_first_fit():
    """Another one would be learned around the wrong center, by the old loss."""
    X, y = make_table()
    model = make_model(loss="quantile", quantile=0.9, warm_start=True, max_epochs=3)
    model.fit(X, y).fit(X, y)
    model.set_params(quantile=0.1)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="with quantile=0.9, but quantile=0.1 now"):
            method(X, y)
    assert len(model.history_) == 6
    new = model.set_params(warm_start=False).fit(X, y)
    assert (y < new.predict(X)).mean() < 0.5


def test_a_quantile_that_is_not_learned_may_change():
    X, y = make_table()
    model = make_model(warm_start=True, max_epochs=3).fit(X, y)
    assert len(model.set_params(quantile=0.9).fit(X, y).history_) == 6


def test_random_state_repeats_a_fit():
    X, y = make_table()
    first, again, other = (
        make_model(random_state=seed, max_epochs=3).fit(X, y).predict(X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_pickle(tmp_path, loss):
    X, y = make_table()
    model = make_model(loss=loss, max_epochs=2).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    pd.testing.assert_frame_equal(loaded.wide_weights_, model.wide_weights_)
    loaded.partial_fit(X, y)


def test_users_callbacks_show_up_in_the_history():
    X, y = make_table()
    scoring = EpochScoring("r2", name="r2", on_train=True)
    model = make_model(callbacks=[scoring]).fit(X, y)
    assert model.history_["r2"].iloc[-1] > 0.7


# Inputs at predict time, and parameters


def test_unknown_categories_are_predicted_by_the_other_columns():
    X, y = make_table(2000)
    model = make_model(unknown_rate=0.1).fit(X, y)
    predictions = model.predict(X.assign(city="Atlantis"))
    assert r2_score(y, predictions) > 0.4


def test_garbage_at_predict_time_does_not_touch_other_rows():
    X, y = make_table()
    model = make_model().fit(X, y)
    bad = X.astype(object)
    bad.loc[0] = ["many", np.inf, None, "\0", {"a": 1}, 3, "yesterday"]
    with pytest.warns(UserWarning, match="taken as missing"):
        predictions = model.predict(bad)
    assert np.isfinite(predictions).all()
    np.testing.assert_allclose(predictions[1:], model.predict(X)[1:], rtol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "loss.* Got 'hinge' instead"),
        ({"quantile": 1.0}, "quantile.* Got 1.0 instead"),
        ({"learning_rate": -1}, "learning_rate.* Got -1 instead"),
        ({"hidden_layer_sizes": (), "wide": False}, "leaves no model"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        make_model(**params).fit(*make_table())


def test_unfitted():
    with pytest.raises(NotFittedError):
        make_model().predict(make_table()[0])


# scikit-learn's tools


def test_pipeline_and_grid_search():
    X, y = make_friedman1(300, random_state=0)
    pipeline = make_pipeline(StandardScaler(), make_model())
    name = "widedeepregressor__"
    grid = {f"{name}learning_rate": [1e-6, 1e-2], f"{name}loss": ["squared_error"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_[f"{name}learning_rate"] == 1e-2
    assert search.best_score_ > 0.5
    twin = clone(search.best_estimator_)[-1]
    assert twin.get_params() == search.best_estimator_[-1].get_params()


def test_transformed_target():
    X, y = make_table(1000)
    model = TransformedTargetRegressor(make_model(), func=np.log, inverse_func=np.exp)
    predictions = model.fit(X, y + 1).predict(X)
    assert (predictions > 0).all()
    assert r2_score(y + 1, predictions) > 0.7


def test_several_outputs_by_a_model_each():
    X, y = make_table()
    both = np.column_stack([y, -100 * y])
    predictions = MultiOutputRegressor(make_model()).fit(X, both).predict(X)
    assert r2_score(both, predictions) > 0.7
