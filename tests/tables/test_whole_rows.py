"""Whole rows that repeat, and their target statistics."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.tables.screening import explained

NAME = "whole row (target)"
N_ROWS = 2400


def draw(n_rows=N_ROWS, seed=0, share=1 / 3):
    """Rows of a grid, too fine to hit twice; a share of them are old acquaintances.

    These have a label of their own, which no column and no pair of columns tells.
    """
    rng = np.random.default_rng(seed)
    names = [f"x{j}" for j in range(5)]
    known = np.random.default_rng(99)
    n_known = 80
    of_known = pd.DataFrame(known.integers(0, 20, (n_known, 5)), columns=names)
    of_known["city"] = known.choice(["Rome", "Oslo", "Bern"], n_known)
    answers = known.integers(0, 2, n_known)
    X = pd.DataFrame(rng.integers(0, 20, (n_rows, 5)), columns=names)
    X["city"] = rng.choice(["Rome", "Oslo", "Bern"], n_rows)
    y = rng.integers(0, 2, n_rows)
    repeats = rng.random(n_rows) < share
    drawn = rng.integers(0, n_known, repeats.sum())
    X[repeats] = of_known.iloc[drawn].to_numpy()
    X = X.astype(dict.fromkeys(names, float))
    y[repeats] = answers[drawn]
    return X, y, repeats


def make_encoder(**params):
    return TableEncoder(**{"random_state": 0} | params)


def statistic(encoder, table):
    """Return the statistics of whole rows, shape (n_rows, 2): they are the first."""
    first = len(encoder.numbers_)
    return table.numbers[:, first : first + 2].numpy()


@pytest.mark.parametrize("numeric", [False, True])
def test_rows_that_repeat_are_found(numeric):
    X, y, repeats = draw()
    target_type = "continuous" if numeric else "classes"
    encoder = make_encoder(target_type=target_type).fit(X, y * 2.0 if numeric else y)
    assert next(iter(encoder.statistics_)) == NAME
    found = encoder.memorized_.set_index("column").loc["whole row"]
    assert found["memorized"] and found["n_values"] == 80 + 2
    assert 0.1 < found["gain"] < 0.4 and found["standard_error"] < found["gain"] / 3
    counts = encoder.statistics_[NAME].source.vocabulary.counts
    assert counts[2:].sum() == repeats.sum() and counts.sum() == N_ROWS


def test_they_lower_the_loss():
    X, y, _ = draw()
    test_X, test_y, test_repeats = draw(seed=1)
    losses = []
    for crosses in ("auto", ()):
        model = WideDeepClassifier(
            hidden_layer_sizes=(32,),
            n_members=1,
            crosses=crosses,
            max_epochs=8,
            random_state=0,
        )
        predicted = model.fit(X, y).predict_proba(test_X)
        losses.append(log_loss(test_y[test_repeats], predicted[test_repeats]))
    assert losses[0] < losses[1] - 0.1
    assert losses[0] < 0.45


@pytest.mark.parametrize("change", ["unique rows", "one column", "text", "by request"])
def test_there_are_none(change):
    X, y, _ = draw(share=0 if change == "unique rows" else 1 / 3)
    if change == "one column":
        X = X[["x0"]]
    if change == "text":
        X["note"] = "one and the same note for all"
    params = {"text_features": ["note"] if change == "text" else None}
    crosses = () if change == "by request" else "auto"
    encoder = make_encoder(crosses=crosses, **params).fit(X, y)
    assert NAME not in encoder.statistics_
    assert "whole row" not in set(encoder.memorized_["column"])


def test_rows_that_repeat_without_telling_anything_are_left_out():
    X, _, _ = draw()
    y = np.random.default_rng(5).integers(0, 2, N_ROWS)
    assert NAME not in make_encoder().fit(X, y).statistics_


def test_what_codes_explain_is_out_of_fold():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    pairs = np.arange(2000) // 2
    gain, error = explained(pairs, y, None, np.random.RandomState(0))
    assert gain < 2 * error
    gain, error = explained(2 * pairs % 7 + y, y, None, np.random.RandomState(0))
    assert 0 < 3 * error < gain < 1


def test_a_row_does_not_tell_its_own_label():
    """Pairs of rows with labels by chance, beside rows worth knowing."""
    X, y, _ = draw()
    rng = np.random.default_rng(7)
    pairs = pd.DataFrame(rng.integers(0, 20, (500, 5)) + 0.5, columns=X.columns[:5])
    pairs = pairs.assign(city="Rome").iloc[np.repeat(np.arange(500), 2)]
    both = pd.concat([X, pairs], ignore_index=True)
    labels = np.append(y, rng.integers(0, 2, len(pairs)))
    encoder = make_encoder()
    trained = statistic(encoder, encoder.fit_transform(both, labels))[N_ROWS:, 0]
    looked_up = statistic(encoder, encoder.transform(both))[N_ROWS:, 0]
    assert np.corrcoef(looked_up, labels[N_ROWS:])[0, 1] > 0.5
    assert abs(np.corrcoef(trained, labels[N_ROWS:])[0, 1]) < 0.12


def test_zeros_of_both_signs_and_all_nan_are_one():
    X, y, _ = draw()
    X["x1"] = X["x1"].where(X["x1"] > 9)  # half of them missing
    encoder = make_encoder().fit(X, y)
    ids = encoder.statistic_ids(X)[NAME]
    assert (ids[X["x1"].isna()] > 0).any() and ((ids > 0) & (X["x0"] == 0)).any()
    negative = X.assign(x0=X["x0"].where(X["x0"] != 0, -0.0))
    assert np.signbit(negative["x0"]).any()
    other = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
    negative["x1"] = np.where(X["x1"].isna(), other, X["x1"])
    np.testing.assert_array_equal(encoder.statistic_ids(negative)[NAME], ids)
    missing = X.assign(x0=X["x0"].where(X["x0"] != 0))  # missing is not zero
    assert not encoder.statistic_ids(missing)[NAME][X["x0"] == 0].any()


def test_every_column_counts():
    X, y, _ = draw()
    X["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(X["x0"], unit="D")
    encoder = make_encoder().fit(X, y)
    ids = encoder.statistic_ids(X)[NAME]
    assert (ids > 0).sum() > N_ROWS / 4
    shifted = {name: X[name] + 0.25 for name in X.columns[:5]}
    shifted["city"] = X["city"].replace(
        {"Rome": "Oslo", "Oslo": "Bern", "Bern": "Rome"}
    )
    shifted["day"] = X["day"] + pd.Timedelta(days=1)
    for name, values in shifted.items():
        changed = encoder.statistic_ids(X.assign(**{name: values}))[NAME]
        assert not changed.any(), name
    swapped = encoder.statistic_ids(X.assign(x0=X["x1"], x1=X["x0"]))[NAME]
    differ = (X["x0"] != X["x1"]).to_numpy()
    assert not swapped[differ].any()


def test_the_order_of_rows_does_not_matter():
    X, y, _ = draw()
    order = np.random.default_rng(3).permutation(N_ROWS)
    encoder, other = (make_encoder().fit(X.iloc[i], y[i]) for i in (order, slice(None)))
    np.testing.assert_array_equal(
        statistic(encoder, encoder.transform(X)), statistic(other, other.transform(X))
    )


def test_few_rows_and_many_are_looked_up_alike():
    X, y, _ = draw()
    encoder = make_encoder().fit(X, y)
    at_once = encoder.statistic_ids(X)[NAME]
    by_row = [encoder.statistic_ids(X[i : i + 1])[NAME][0] for i in range(40)]
    assert by_row == at_once[:40].tolist() and max(by_row) > 0


def test_further_rows_are_remembered():
    X, y, _ = draw()
    encoder = make_encoder().fit(X, y)
    before = encoder.statistics_[NAME]
    ids = encoder.statistic_ids(X)[NAME]
    later = X.assign(city=X["city"].replace({"Rome": "Lima"}))
    assert not encoder.statistic_ids(later)[NAME][X["city"] == "Rome"].any()
    encoder.extend_transform(later, 1 - y)
    after = encoder.statistics_[NAME]
    new = encoder.statistic_ids(later)[NAME]
    known = (ids > 0) & (X["city"] == "Rome")
    assert (new[known] >= len(before.table)).all()
    np.testing.assert_array_equal(encoder.statistic_ids(X)[NAME], ids)
    # Those that did not come again keep their statistics, the others learn anew.
    np.testing.assert_array_equal(after.table[ids[known]], before.table[ids[known]])
    again = (ids > 0) & (X["city"] != "Rome")
    changed = np.corrcoef(after.table[ids[again], 0], before.table[ids[again], 0])
    assert changed[0, 1] < -0.9
    assert np.corrcoef(after.table[new[known], 0], (1 - y)[known])[0, 1] > 0.9


def test_a_chunk_without_target_gives_ids_without_statistics():
    X, y, _ = draw()
    encoder = make_encoder().fit(X, y)
    numbers = encoder.transform(X).numbers
    n_ids = len(encoder.statistics_[NAME].table)
    encoder.extend(X.assign(city="Lima"))
    table = encoder.statistics_[NAME].table
    assert len(table) > n_ids and (table[n_ids:, 0] == 0).all()
    assert torch.equal(encoder.transform(X).numbers, numbers)


def test_a_column_of_that_name_comes_first():
    """Two statistics of one name would hide each other."""
    X, y, _ = draw()
    shops = np.random.default_rng(0).integers(0, 40, N_ROWS)
    X["whole row"] = [f"shop {i}" for i in np.where(y == 1, shops // 2, shops)]
    X["x4"] = 0.0
    for many_min_frequency in (None, 50):
        encoder = make_encoder(many_min_frequency=many_min_frequency)
        trained = encoder.fit_transform(X, y)
        assert list(encoder.statistics_).count(NAME) == 1
        assert encoder.statistics_[NAME].source.label == "whole row"
        assert trained.numbers.shape == encoder.transform(X).numbers.shape
        assert trained.numbers.shape[1] == len(encoder.numbers_) + encoder.n_statistics_
        encoder.extend_transform(X, y)


def test_weights_count_as_rows():
    X, y, repeats = draw()
    weights = np.where(repeats, 1.0, 0.0)
    weights[np.flatnonzero(~repeats)[:300]] = 1
    encoder = make_encoder().fit(X, y, sample_weight=weights)
    counts = encoder.statistics_[NAME].source.vocabulary.counts
    assert counts.sum() == repeats.sum() + 300 and counts[2:].sum() == repeats.sum()


@pytest.mark.parametrize("min_frequency", [1, 2])
def test_a_row_of_a_large_weight_does_not_repeat(min_frequency):
    """Balanced weights made every row of the rare class known, and so its label."""
    X, _, _ = draw(share=0)
    y = (np.arange(N_ROWS) % 10 == 0).astype(int)
    weights = np.where(y == 1, 5.0, 0.6)
    encoder = make_encoder(min_frequency=min_frequency)
    encoder.fit(X, y, sample_weight=weights)
    assert NAME not in encoder.statistics_


def test_an_encoder_that_is_pickled_knows_them():
    X, y, _ = draw()
    encoder = make_encoder().fit(X, y)
    loaded = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(loaded.transform(X).numbers, encoder.transform(X).numbers)


def test_they_are_explained_in_words():
    X, y, repeats = draw()
    model = WideDeepClassifier(
        hidden_layer_sizes=(16,), n_members=1, max_epochs=8, random_state=0
    )
    terms = model.fit(X, y).explain(X[repeats]).terms
    of_rows = terms[terms["column"] == NAME]
    assert len(of_rows) and set(of_rows["part"]) == {"statistics"}
    assert (
        of_rows["feature"]
        .str.fullmatch(r"whole row(=<unknown>| seen \d+ times) \(target\)")
        .all()
    )
