"""WideDeepClassifier: raw tables in, scikit-learn behavior out."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult, make_memgen_classification
from tests.conftest import make_mixed_table

# Faster than the defaults, where these are not the point.
SMALL = {"hidden_layer_sizes": (64,), "n_members": 2, "random_state": 0}


def make_model(**params):
    return WideDeepClassifier(**SMALL | {"max_epochs": 15} | params)


# Learning


def test_a_mixed_table_is_learned(mixed_table):
    X, y = mixed_table
    model = make_model(crosses=[("city", "grade")]).fit(X, y)
    test_X, test_y = make_mixed_table(400, seed=1)
    assert model.score(test_X, test_y) > 0.82
    probabilities = model.predict_proba(test_X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert roc_auc_score(test_y, probabilities[:, 1]) > 0.92


def test_small_tables_are_not_learned_by_heart():
    """Without held-out rows nothing stops the net but the number of epochs."""
    X, y = make_mixed_table(150)
    assert len(WideDeepClassifier(**SMALL).fit(X, y).history_) == 20


def test_wide_memorizes_deep_generalizes_and_joint_does_both():
    """The paper's ablation, on rows that are known to be general or exceptions."""
    X, y, parts = make_memgen_classification(10_000, random_state=0, return_parts=True)
    X, test_X, y, test_y, _, parts = train_test_split(X, y, parts, random_state=0)
    scores = {}
    for name, changes in {
        "wide": {"hidden_layer_sizes": ()},
        "deep": {"wide": False},
        "joint": {},
    }.items():
        params = SMALL | {"crosses": [("cat_0", "cat_1")]} | changes
        model = WideDeepClassifier(**params)
        right = model.fit(X, y).predict(test_X) == test_y
        scores[name] = right.groupby(parts).mean()
    assert scores["wide"]["exception"] > scores["deep"]["exception"] + 0.2
    assert scores["deep"]["general"] > scores["wide"]["general"] + 0.02
    assert scores["joint"]["exception"] > scores["deep"]["exception"] + 0.2
    assert scores["joint"]["general"] > scores["wide"]["general"]


def test_exact_values_that_settle_the_label_are_remembered():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"amount": rng.integers(0, 200, 4000), "noise": rng.random(4000)})
    lucky = rng.permutation(200)[:100]
    y = X["amount"].isin(lucky)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    scores = {
        memorize: WideDeepClassifier(memorize=memorize, **SMALL)
        .fit(X_train, y_train)
        .score(X_test, y_test)
        for memorize in ("none", "auto")
    }
    assert scores["auto"] > 0.97
    assert scores["none"] < 0.85


def test_balanced_sample_weights_make_nothing_worth_memorizing():
    """Of 20 columns of unique values all were, and ROC AUC was 0.805, not 0.91."""
    X, y = make_classification(6000, weights=[0.9], random_state=0)
    X, test_X, y, test_y = train_test_split(X, y, stratify=y, random_state=0)
    weights = compute_sample_weight("balanced", y)
    model = make_model(max_epochs=5).fit(X, y, sample_weight=weights)
    assert len(model.memorized_) == 20 and not model.memorized_["memorized"].any()
    assert roc_auc_score(test_y, model.predict_proba(test_X)[:, 1]) > 0.93


def test_memorized_says_which_numbers_and_crosses():
    """With a gain in nats a row for numbers, and in shares of variance for crosses."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 12, (3000, 2)), columns=["row", "column"])
    X = X.astype(str).assign(amount=rng.integers(0, 200, 3000))
    board, lucky = rng.random((12, 12)) < 0.5, rng.permutation(200)[:100]
    y = board[X["row"].astype(int), X["column"].astype(int)] & X["amount"].isin(lucky)
    model = make_model(categorical_features=["row", "column"], max_epochs=1).fit(X, y)
    assert model.memorized_ is model.encoder_.memorized_
    kinds = model.memorized_.set_index("column")["kind"].to_dict()
    assert kinds["amount"] == "number" and kinds["row & column"] == "cross"
    assert model.memorized_["memorized"].all()
    number, cross, *_ = (row for _, row in model.memorized_.iterrows())
    assert number["gain"] == pytest.approx(number["loss_bins"] - number["loss_exact"])
    assert 0.1 < cross["gain"] < 0.5 and np.isnan(cross["loss_bins"])
    with pytest.raises(NotFittedError):
        _ = WideDeepClassifier().memorized_


@pytest.mark.parametrize("seed", [0])
def test_adult_by_default(data_folder, seed):
    """The issue of the first release: log-loss and ROC AUC of one of three splits."""
    X, y = fetch_adult(download_if_missing=False, return_X_y=True)
    X, test_X, y, test_y = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=seed
    )
    probabilities = (
        WideDeepClassifier(random_state=seed).fit(X, y).predict_proba(test_X)
    )
    assert log_loss(test_y, probabilities) < 0.280
    assert roc_auc_score(test_y, probabilities[:, 1]) > 0.928


@pytest.mark.parametrize("name", ["nursery", "wine_quality"])
def test_tables_with_classes_of_a_few_rows(data_folder, name):
    """One class of nursery has two rows; wine has classes of 5 and 30."""
    frame = pd.read_parquet(data_folder / "tabular" / f"{name}.parquet")
    y = frame.pop("target")
    model = make_model(max_epochs=3).fit(frame, y)
    assert set(model.classes_) == set(y)
    prior = y.value_counts(normalize=True)
    assert log_loss(y, model.predict_proba(frame)) < -(prior * np.log(prior)).sum()


def test_text_columns_are_read(data_folder):
    frame = pd.read_parquet(data_folder / "tabular" / "womens_clothing.parquet")[:4000]
    y = frame.pop("target") >= 4
    X, test_X, y, test_y = train_test_split(frame, y, random_state=0)
    with_text = make_model(max_epochs=5).fit(X, y)
    kinds = with_text.encoder_.column_kinds_
    columns = [column for column in X if kinds[column] != "text"]
    without = make_model(max_epochs=5).fit(X[columns], y)
    auc = [
        roc_auc_score(test_y, model.predict_proba(part)[:, 1])
        for model, part in ((with_text, test_X), (without, test_X[columns]))
    ]
    assert (kinds == "text").sum() == 2
    assert auc[0] > auc[1] + 0.005


# Inputs


def test_arrays_sparse_matrices_and_polars_frames():
    X, y = make_classification(400, 10, n_informative=6, random_state=0)
    X[np.abs(X) < 0.7] = 0
    from scipy import sparse

    for table in (
        X,
        X.tolist(),
        sparse.csr_array(X),
        sparse.coo_matrix(X),
        pl.DataFrame(X),
        pd.DataFrame(X),
    ):
        model = make_model(hidden_layer_sizes=(256, 256), max_epochs=60).fit(table, y)
        assert model.score(table, y) > 0.85
        assert model.n_features_in_ == 10


def test_polars_equals_pandas(mixed_table):
    X, y = mixed_table
    X = X.assign(grade=X["grade"].astype(str))
    model = make_model().fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(pl.from_pandas(X)), model.predict_proba(X), atol=1e-6
    )


def test_unknown_categories_meet_a_trained_row(mixed_table):
    X, y = mixed_table
    model = make_model(unknown_rate=0.2).fit(X, y)
    strange = X.assign(city="Atlantis")
    probabilities = model.predict_proba(strange)
    assert np.isfinite(probabilities).all()
    # It says as much as the other columns tell.
    assert roc_auc_score(y, probabilities[:, 1]) > 0.75
    unknown = model.encoder_.transform(strange).ids[0, 0]
    untrained = make_model(unknown_rate=0.0).fit(X.fillna({"city": "Rome"}), y)
    before = untrained.net_.module_.deep.embedding.weight[0]
    assert unknown == model.net_.module_.unknown_ids[0]
    assert before.isfinite().all()


def test_garbage_at_predict_time_does_not_touch_other_rows(mixed_table):
    X, y = mixed_table
    model = make_model().fit(X, y)
    expected = model.predict_proba(X)
    bad = X.astype(object)
    bad.loc[0] = ["many", np.inf, None, "\0", {"a": 1}, "\N{PILE OF POO}", "yesterday"]
    bad.loc[1] = [np.inf, -np.inf, 7, 1e300, ["list"], 3.5, pd.NaT]
    with pytest.warns(UserWarning, match="taken as missing"):
        probabilities = model.predict_proba(bad)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities[2:], expected[2:], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.drop(columns="city"), "missing.*\n.*city|city"),
        (lambda X: X[X.columns[::-1]], "same order"),
        (lambda X: X.rename(columns={"city": "town"}), "town"),
        (lambda X: X.assign(extra=1), "extra"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: pd.concat([X, X[["city"]]], axis=1), "more than one column"),
    ],
)
def test_other_columns_at_predict_time(mixed_table, change, message):
    X, y = mixed_table
    model = make_model(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.predict(change(X))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (pd.DataFrame({"a": []}), [], "0 sample"),
        (pd.DataFrame({"a": [1.0]}), [1], "1 class|one class|1 sample"),
        (pd.DataFrame({"a": [1, 2]}), [1, 1], "at least 2 classes.* got 1 class: .1."),
        (pd.DataFrame({"a": [1, 2]}), [1, None], "y contains NaN"),
        (pd.DataFrame({"a": [1, 2]}), [1, np.nan], "y contains NaN"),
        (pd.DataFrame({"a": [1, 2, 3]}), [0.1, 0.2, 0.35], "continuous"),
        (pd.DataFrame({"a": [1, 2]}), [1, 2, 3], "inconsistent numbers of samples"),
        (pd.DataFrame({"a": [1, np.inf]}), [0, 1], "infinity in column 'a'"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [0, 1], "name .'a'."),
        (pd.DataFrame({"a": [1 + 2j, 2]}), [0, 1], "Complex data not supported"),
        (pd.DataFrame(index=[0, 1]), [0, 1], "0 feature"),
        (pd.DataFrame({"a": [1, 2]}), None, "requires y to be passed"),
    ],
)
def test_bad_input_is_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        make_model().fit(X, y)


def test_values_that_are_no_keys():
    X = pd.DataFrame({"a": [{"b": 1}, {"b": 2}, {"b": 3}, {"b": 4}]})
    with pytest.raises(TypeError, match="column 'a' .* must be a string or a number"):
        make_model().fit(X, [0, 1, 0, 1])


def test_columns_that_say_nothing(mixed_table):
    """All missing, constant, or all different: no error, and no harm."""
    X, y = mixed_table
    plain = make_model().fit(X, y).score(X, y)
    X = X.assign(
        empty=np.nan,
        nothing=None,
        constant=1,
        one="x",
        key=[f"id-{i}" for i in range(len(X))],
        mixed=[1, "a", None, 2.5] * (len(X) // 4),
    )
    assert make_model().fit(X, y).score(X, y) > plain - 0.05


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"crosses": [("city", "grad")]}, "crosses names column 'grad'.*'grade'"),
        ({"crosses": [("city",)]}, "two or more different columns"),
        ({"categorical_features": ["cty"]}, "categorical_features .* 'city'"),
        ({"memorize": ["cuont"]}, "memorize names column 'cuont'.*'count'"),
        ({"memorize": "some"}, "memorize.* Got 'some' instead"),
        ({"dropout": 1.0}, "dropout.* Got 1.0 instead"),
        ({"learning_rate": "fast"}, "learning_rate.* Got 'fast' instead"),
        ({"hidden_layer_sizes": 100}, "hidden_layer_sizes.* Got 100 instead"),
        ({"hidden_layer_sizes": (0,)}, r"hidden_layer_sizes.* got \(0,\)"),
        ({"hidden_layer_sizes": (), "wide": False}, "leaves no model"),
        ({"wide_optimizer": "fast"}, "wide_optimizer.* Got 'fast' instead"),
        ({"device": "cuda:99"}, "device='cuda:99' was asked for"),
    ],
)
def test_bad_parameters_are_named(mixed_table, params, message):
    with pytest.raises(ValueError, match=message):
        make_model(**params).fit(*mixed_table)


def test_ten_thousand_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10_000))
    y = X[:, 0] > 0
    model = make_model(max_epochs=2).fit(X, y)
    assert model.predict(X).shape == (200,)


# What was memorized


def test_wide_weights_are_readable():
    X, y = make_memgen_classification(4000, random_state=0)
    model = make_model(crosses=[("cat_0", "cat_1")]).fit(X, y)
    weights = model.wide_weights_
    assert list(weights) == ["feature", "weight", "count"]
    assert len(weights) == model.encoder_.id_offsets_[-1]
    assert weights["weight"].abs().is_monotonic_decreasing
    pair = weights[weights["feature"].str.contains(" & ")].iloc[0]
    first, second = (part.split("=") for part in pair["feature"].split(" & "))
    rows = (X["cat_0"] == first[1]) & (X["cat_1"] == second[1])
    assert (first[0], second[0]) == ("cat_0", "cat_1")
    assert abs(rows.sum() - pair["count"]) < rows.sum()  # 0 with no rows held out
    lean = y[rows].mean() - y.mean()
    assert np.sign(pair["weight"]) == np.sign(lean)


def test_wide_weights_of_three_classes_and_of_none():
    X, y = make_memgen_classification(1000, n_classes=3, random_state=0)
    weights = make_model(max_epochs=2).fit(X, y).wide_weights_
    assert list(weights)[1:-1] == ["weight_0", "weight_1", "weight_2"]
    with pytest.raises(AttributeError, match="wide=False"):
        _ = make_model(max_epochs=2, wide=False).fit(X, y).wide_weights_


def test_l1_makes_wide_weights_exactly_zero():
    X, y = make_memgen_classification(4000, random_state=0)
    params = {"crosses": [("cat_0", "cat_1")], "max_epochs": 10}
    weights = [
        make_model(wide_l1=l1, **params).fit(X, y).wide_weights_ for l1 in (0.0, 5.0)
    ]
    zeros = [(frame["weight"] == 0).mean() for frame in weights]
    assert zeros[0] < 0.2  # ids that no row of a batch had
    assert zeros[1] > zeros[0] + 0.3
    # The zeros come last, so what is left is at the top.
    n_left = (weights[1]["weight"] != 0).sum()
    assert (weights[1]["weight"][:n_left] != 0).all()
    assert weights[1].loc[: n_left - 1, "count"].mean() > weights[1]["count"].mean()


@pytest.mark.parametrize("wide_optimizer", ["adagrad", torch.optim.Adam])
def test_other_optimizers_of_the_wide_part(mixed_table, wide_optimizer):
    model = make_model(wide_optimizer=wide_optimizer).fit(*mixed_table)
    assert model.score(*mixed_table) > 0.85
    assert type(model.net_.wide_optimizer_).__name__ in ("Adagrad", "Adam")


def test_tables_of_millions_of_ids_train_with_sparse_gradients():
    """Hashed crosses of 300,000 ids: a step costs what the batch touches."""
    rng = np.random.default_rng(0)
    n_rows = 20_000
    X = pd.DataFrame(
        {"a": rng.integers(0, 1000, n_rows), "b": rng.integers(0, 900, n_rows)}
    )
    y = (X["a"] * 7 + X["b"]) % 2
    model = make_model(
        categorical_features=["a", "b"],
        crosses=[("a", "b")],
        min_frequency=1,
        n_cross_buckets=2**19,
        max_epochs=2,
    )
    # More combinations than buckets would be hashed; these fit into a vocabulary.
    model.fit(X, y)
    assert model.net_.module_.wide.ids.sparse == (
        model.encoder_.id_offsets_[-1] > 2**16
    )
    hashed = model.set_params(n_cross_buckets=1000).fit(X, y)
    assert hashed.encoder_.crosses_["a & b"].n_buckets == 1000


# State


def test_partial_fit_over_chunks():
    X, y = make_memgen_classification(6000, random_state=0)
    model = WideDeepClassifier(
        crosses=[("cat_0", "cat_1")], batch_size=64, random_state=0
    )
    for _ in range(4):
        for start in range(0, 6000, 1500):
            rows = slice(start, start + 1500)
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
    assert model.score(X, y) > 0.8


def test_pickle(mixed_table):
    X, y = mixed_table
    model = make_model().fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    pd.testing.assert_frame_equal(loaded.wide_weights_, model.wide_weights_)


def test_weights_below_one_still_give_ids(mixed_table):
    """Weights that sum to 1 are no numbers of rows; nothing becomes too rare."""
    X, y = mixed_table
    weight = np.full(len(y), 1 / len(y))
    weighted = make_model().fit(X, y, sample_weight=weight)
    plain = make_model().fit(X, y)
    assert weighted.encoder_.id_offsets_.tolist() == plain.encoder_.id_offsets_.tolist()
    np.testing.assert_allclose(
        weighted.predict_proba(X), plain.predict_proba(X), atol=1e-3
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_and_cpu_agree(mixed_table):
    X, y = mixed_table
    model = make_model(device="cuda").fit(X, y)
    assert model.score(X, y) > 0.85
    on_gpu = model.predict_proba(X)
    model.set_params(device="cpu")
    np.testing.assert_allclose(model.predict_proba(X), on_gpu, atol=0.05)
