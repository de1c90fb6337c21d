"""explain: what of a prediction was memorized, in terms that add up to it."""

import pickle
import time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sklearn_memgen import ExplanationDisplay, WideDeepClassifier, WideDeepRegressor
from sklearn_memgen.nets.deep import squash
from tests.conftest import make_mixed_table

PARTS = ["wide_id", "wide_cross", "wide_text", "wide_number", "statistics", "deep"]


def fit(X, y, kind=WideDeepClassifier, **params):
    return kind(**{"max_epochs": 3, "random_state": 0} | params).fit(X, y)


def check_sums(explanation, expected, atol=1e-5):
    """Bias and parts add up to the logit, and so do the terms."""
    frame = explanation.to_frame()
    np.testing.assert_allclose(frame["logit"], expected, atol=atol)
    np.testing.assert_allclose(frame[["bias", *PARTS]].sum(axis=1), expected, atol=atol)
    terms = explanation.terms
    summed = np.bincount(terms["row"], terms["contribution"], len(frame))
    np.testing.assert_allclose(summed + frame["bias"], expected, atol=atol)
    assert (terms["contribution"] != 0).all()
    assert frame["memorized_share"].between(0, 1).all()


def make_crossed_table(n_rows=1500):
    """Draw pairs whose combination is the answer, and a category of many values."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "a": rng.integers(12, size=n_rows).astype(str),
            "b": rng.integers(12, size=n_rows).astype(str),
            "many": rng.integers(60, size=n_rows).astype(str),
            "x": rng.normal(size=n_rows),
        }
    )
    answer = rng.normal(size=(12, 12))[X["a"].astype(int), X["b"].astype(int)]
    answer += rng.normal(size=60)[X["many"].astype(int)]
    return X, answer


# Sums


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_members": 1},
        {"wide": False},
        {"hidden_layer_sizes": ()},
        {"crosses": [("city", "grade")]},
        {"wide_l1": 5.0},
    ],
    ids=str,
)
def test_terms_add_up_to_the_decision_function(mixed_table, params):
    X, y = mixed_table
    model = fit(X, y, **params)
    explanation = model.explain(X)
    check_sums(explanation, model.decision_function(X))
    frame = explanation.to_frame()
    np.testing.assert_allclose(frame["probability"], model.predict_proba(X)[:, 1])
    assert set(frame["target"]) == {"yes"}
    other = model.explain(X, target="no")
    check_sums(other, -model.decision_function(X))
    pd.testing.assert_series_equal(
        other.to_frame()["memorized_share"], frame["memorized_share"]
    )


def test_logits_of_many_classes_are_centered():
    X, answer = make_crossed_table()
    y = np.array(["low", "mid", "top"])[np.digitize(answer, [-1, 1])]
    model = fit(X, y)
    logits = model.decision_function(X)
    logits = logits - logits.mean(axis=1, keepdims=True)
    explanation = model.explain(X)
    check_sums(explanation, logits.max(axis=1))
    frame = explanation.to_frame()
    assert (frame["target"] == model.predict(X)).all()
    np.testing.assert_allclose(frame["probability"], model.predict_proba(X).max(axis=1))
    for code, label in enumerate(model.classes_):
        check_sums(model.explain(X, target=label), logits[:, code])


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
def test_terms_of_a_regressor_are_in_the_unit_of_the_target(loss):
    X, answer = make_crossed_table()
    y = np.exp(answer) if loss == "poisson" else 1000 + 50 * answer
    model = fit(X, y, WideDeepRegressor, loss=loss)
    predictions = model.predict(X)
    explanation = model.explain(X)
    is_log = loss == "poisson"
    expected = np.log(predictions) if is_log else predictions
    check_sums(explanation, expected, atol=1e-5 if is_log else 1e-3)
    np.testing.assert_allclose(explanation.to_frame()["prediction"], predictions)
    assert ("logarithm" in explanation.unit) == is_log


def test_sparse_columns_are_numbers_not_memory():
    rng = np.random.default_rng(0)
    X = sparse.random(300, 8, density=0.4, random_state=0, format="csr")
    y = rng.integers(2, size=300)
    model = fit(X, y)
    explanation = model.explain(X)
    check_sums(explanation, model.decision_function(X))
    terms = explanation.terms
    assert set(terms["part"]) == {"wide number", "deep"}
    assert set(terms["feature"]) == {f"x{j}" for j in range(8)} | {"deep part"}
    assert (explanation.to_frame()["memorized_share"] == 0).all()


def test_words_of_texts_are_named():
    rng = np.random.default_rng(0)
    words = np.array(
        ["soft", "warm", "bright", "sturdy", "flimsy", "cheap", "dull", "itchy"]
    )
    drawn = rng.integers(8, size=(500, 5))
    X = pd.DataFrame({"review": [" ".join(row) for row in words[drawn]]})
    model = fit(X, (drawn == 0).any(axis=1), text_features=["review"])
    explanation = model.explain(X)
    check_sums(explanation, model.decision_function(X))
    of_text = explanation.terms[explanation.terms["part"] == "wide text"]
    assert set(of_text["column"]) == {"review"}
    assert "review: soft" in set(of_text["feature"])
    assert of_text["value"].between(0, 1, inclusive="right").all()


# Words and weights


def test_a_wide_model_is_its_weights(mixed_table):
    """Each term of an id is the weight that `wide_weights_` lists."""
    X, y = mixed_table
    model = fit(X, y, hidden_layer_sizes=(), crosses=[("city", "grade")])
    explanation = model.explain(X)
    terms = explanation.terms
    assert "deep" not in set(terms["part"])
    assert (explanation.to_frame()["deep"] == 0).all()
    weights = model.wide_weights_.set_index("feature")["weight"]
    ids = terms[terms["part"].isin(["wide id", "wide cross"])]
    np.testing.assert_allclose(ids["contribution"], weights[ids["feature"]], rtol=1e-6)
    assert (ids["value"] == 1).all()
    crosses = terms[terms["part"] == "wide cross"]
    assert set(crosses["column"]) == {"city & grade"}
    known = X["city"].notna()
    expected = "city=" + X["city"][known]
    spoken = ids[ids["column"] == "city"].set_index("row")["feature"]
    assert (spoken[expected.index] == expected).all()


def test_the_memorized_share_of_a_sum_by_hand(mixed_table):
    X, y = mixed_table
    explanation = fit(X, y, crosses=[("city", "grade")]).explain(X)
    for row in (0, 7, -1):
        sizes = explanation.of_row(row).set_index("part")["contribution"].abs()
        share = sizes.filter(regex="wide id|wide cross").sum() / sizes.sum()
        found = explanation.to_frame()["memorized_share"].iloc[row]
        assert share == pytest.approx(found)


def test_numbers_are_told_in_their_unit_and_missing_ones_as_such(mixed_table):
    X, y = mixed_table
    terms = fit(X, y).explain(X).terms
    numbers = terms[terms["feature"] == "number"].set_index("row")
    np.testing.assert_allclose(
        numbers["value"], X["number"].to_numpy()[numbers.index], atol=1e-5
    )
    missing = terms[terms["feature"] == "number=<missing>"]["row"]
    assert set(missing) == set(np.flatnonzero(X["number"].isna()))


def test_unknown_categories_are_named():
    X, answer = make_crossed_table()
    X.loc[::100, "a"] = [f"rare {i}" for i in range(15)]  # so that unknown is trained
    model = fit(X, answer > 0, crosses=())
    explanation = model.explain(X[:1].assign(a="never seen"))
    assert "a=<unknown>" in set(explanation.terms["feature"])
    assert "never seen" not in repr(explanation)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (32,)], ids=str)
def test_statistics_of_found_crosses_are_memory(hidden_layer_sizes):
    """What the statistics say together is the logit minus that without them."""
    X, answer = make_crossed_table(4000)
    model = fit(X, answer > 0, hidden_layer_sizes=hidden_layer_sizes)
    encoder = model.encoder_
    names = [statistic.source.name for statistic in encoder.statistics_.values()]
    assert {"a & b", "many"} <= set(names)
    explanation = model.explain(X)
    check_sums(explanation, model.decision_function(X))
    table = encoder.transform(X)
    left = model._pool(model.net_.logits(encoder.without_statistics(table)))
    np.testing.assert_allclose(
        explanation.to_frame()["statistics"],
        model.decision_function(X) - left.numpy().ravel(),
        atol=1e-5,
    )
    terms = explanation.terms
    told = terms[terms["column"] == "a & b (target)"].set_index("row")
    pairs = "a=" + X["a"] + " & b=" + X["b"] + " (target)"
    assert (told["feature"] == pairs[told.index]).all()
    column = len(encoder.numbers_)
    for name, statistic in encoder.statistics_.items():
        told = terms[terms["column"] == name].set_index("row")
        values = table.numbers.numpy()[told.index, column]
        np.testing.assert_allclose(told["value"], values)
        # Where the statistic is high, it speaks for the class.
        if statistic.source.name == "a & b":
            assert np.corrcoef(values, told["contribution"])[0, 1] > 0.8
        if not hidden_layer_sizes:
            end = column + statistic.table.shape[1]
            numbers = squash(table.numbers[:, column:end])
            slopes = model.net_.module_.wide.slopes[column:end]  # no flags here
            linear = (numbers @ slopes).detach().numpy()[told.index, 0]
            np.testing.assert_allclose(told["contribution"], linear, atol=2e-2)
        column += statistic.table.shape[1]
    without = fit(X, answer > 0, crosses=()).explain(X)
    assert (without.to_frame()["statistics"] == 0).all()


# Inputs and results


def test_rows_keep_their_index_and_other_frames_are_taken(mixed_table):
    X, y = mixed_table
    model = fit(X, y)
    frame = model.explain(X[10:20]).to_frame()
    assert frame.index.tolist() == list(range(10, 20))
    X = X.drop(columns=["day", "nullable"]).astype({"grade": str})
    model = fit(X, y)
    frame = model.explain(pl.from_pandas(X)).to_frame()
    np.testing.assert_allclose(frame["logit"], model.decision_function(X), atol=1e-5)


def test_wrong_arguments_are_named(mixed_table):
    X, y = mixed_table
    with pytest.raises(NotFittedError):
        WideDeepClassifier().explain(X)
    with pytest.raises(NotFittedError):
        WideDeepRegressor().explain(X)
    model = fit(X, y)
    with pytest.raises(ValueError, match="target='maybe' is no class"):
        model.explain(X, target="maybe")
    with pytest.raises(IndexError, match="row=400 is not there: X has 400 rows"):
        model.explain(X).of_row(400)
    with pytest.raises(IndexError, match="row=-401"):
        ExplanationDisplay.from_estimator(model, X, row=-401)


def test_it_prints_itself_and_can_be_pickled(mixed_table):
    X, y = mixed_table
    model = fit(X, y)
    explanation = pickle.loads(pickle.dumps(model.explain(X)))
    assert len(explanation) == 400
    assert repr(explanation).startswith("400 rows: log-odds of 'yes'")
    assert "memorized share: mean" in repr(explanation)
    assert "deep part" in repr(explanation)
    alone = repr(model.explain(X[:1]))
    assert alone.startswith("1 row: probability of 'yes'")
    assert "log-odds of 'yes': " in alone


def test_columns_are_averaged_over_all_rows():
    X, answer = make_crossed_table()
    explanation = fit(X, answer > 0, crosses=()).explain(X)
    columns = explanation.by_column().set_index("column")
    terms = explanation.terms
    of_a = terms[terms["column"] == "a"]["contribution"].abs()
    assert columns.loc["a", "mean_absolute"] == pytest.approx(of_a.sum() / len(X))
    assert columns.loc["a", "n_rows"] == len(of_a)


def test_thousands_of_rows_take_a_few_predictions_time():
    X, y = make_mixed_table(10_000)
    model = fit(X, y, max_epochs=1)

    def seconds(method):
        start = time.perf_counter()
        method(X)
        return time.perf_counter() - start

    model.explain(X)
    predicted = min(seconds(model.predict_proba) for _ in range(3))
    assert min(seconds(model.explain) for _ in range(3)) < 10 * predicted + 0.5


# Pictures


def test_a_row_is_drawn(mixed_table):
    X, y = mixed_table
    model = fit(X, y)
    display = ExplanationDisplay.from_estimator(model, X, row=-1, max_terms=4)
    assert display.plot() is display
    ax = display.ax_
    terms = model.explain(X).of_row(399)
    lengths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(lengths[:4], terms["contribution"][:4])
    assert sum(lengths) == pytest.approx(terms["contribution"].sum())
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[-1] == f"{len(terms) - 4} other terms"
    plt.close(display.figure_)


def test_all_rows_are_drawn_on_given_axes(mixed_table):
    X, y = mixed_table
    model = fit(X, y)
    figure, ax = plt.subplots()
    display = ExplanationDisplay.from_estimator(model, X, row=None, target="no")
    display.plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert "log-odds of 'no'" in ax.get_xlabel()
    plt.close(figure)


def test_a_row_without_terms_and_long_words_are_drawn():
    X = pd.DataFrame({"a $very$ " + "long name " * 20: ["v" * 500] * 200})
    y = np.arange(200) % 2
    silent = fit(X, y, hidden_layer_sizes=(), wide_l1=1e6, crosses=())
    display = ExplanationDisplay.from_estimator(silent, X).plot()
    assert [text.get_text() for text in display.ax_.texts] == ["no term spoke"]
    plt.close(display.figure_)
    display = ExplanationDisplay.from_estimator(fit(X, y), X).plot()
    assert all(len(label.get_text()) < 45 for label in display.ax_.get_yticklabels())
    display.figure_.canvas.draw()
    plt.close(display.figure_)
