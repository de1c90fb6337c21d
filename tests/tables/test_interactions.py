"""Found crosses and columns of many values, in the encoded table."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from sklearn_memgen.tables import TableEncoder

N_ROWS = 3000


def draw(n_rows=N_ROWS, seed=0):
    """Two columns whose combination decides, a column of many values, and numbers."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "size": rng.normal(size=n_rows),
            "color": rng.choice([f"color {i}" for i in range(12)], n_rows),
            "shape": rng.choice([f"shape {i}" for i in range(12)], n_rows),
            "shop": rng.choice([f"shop {i}" for i in range(60)], n_rows),
        }
    )
    rule = np.random.default_rng(99).integers(0, 2, (12, 12))
    codes = [X[name].str.split().str[1].astype(int) for name in ("color", "shape")]
    return X, np.where(rng.random(n_rows) < 0.9, rule[tuple(codes)], 0)


def make_encoder(**params):
    return TableEncoder(**{"random_state": 0} | params)


NAMES = ["shop (target)", "color & shape (target)"]


@pytest.mark.parametrize("numeric", [False, True])
def test_what_is_found(numeric):
    X, y = draw()
    target_type = "continuous" if numeric else "classes"
    encoder = make_encoder(target_type=target_type).fit(X, y * 2.0 if numeric else y)
    assert list(encoder.statistics_) == NAMES
    assert encoder.n_statistics_ == 4
    assert encoder.get_feature_names_out().tolist() == [
        "size",
        *NAMES,
        "color",
        "shape",
        "shop",
    ]
    assert encoder.transform(X).numbers.shape == (N_ROWS, 5)
    found = encoder.memorized_.set_index("column").loc["color & shape"]
    assert found["kind"] == "cross" and found["memorized"]
    assert 0.3 < found["gain"] < 1 and 0 < found["standard_error"] < found["gain"] / 3
    assert found["n_values"] > 100 and np.isnan(found["loss_bins"])


def test_without_target_or_by_request_there_are_none():
    X, y = draw()
    for encoder in (make_encoder().fit(X), make_encoder(crosses=()).fit(X, y)):
        assert encoder.statistics_ == {} and encoder.n_statistics_ == 0
        assert encoder.transform(X).numbers.shape == (N_ROWS, 1)
        assert torch.equal(
            encoder.transform(X).numbers, encoder.fit_transform(X).numbers
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_training_rows_differ_in_their_statistics_only(weighted):
    X, y = draw()
    weights = np.ones(N_ROWS) if weighted else None
    if weighted:
        weights[::7] = 0
    encoder = make_encoder()
    trained = encoder.fit_transform(X, y, sample_weight=weights)
    looked_up = encoder.transform(X)
    assert torch.equal(trained.ids, looked_up.ids)
    assert torch.equal(trained.numbers[:, :1], looked_up.numbers[:, :1])
    differ = (trained.numbers[:, 1:] != looked_up.numbers[:, 1:]).any(dim=1).numpy()
    # A row of weight zero is in no statistic, and so has none to be spared from.
    counted = np.ones(N_ROWS, dtype=bool) if weights is None else weights > 0
    assert differ[counted].mean() > 0.99 and not differ[~counted].any()
    again = make_encoder().fit(X, y, sample_weight=weights).transform(X)
    assert torch.equal(again.numbers, looked_up.numbers)


def test_training_rows_do_not_tell_their_own_label():
    """Full statistics of rare combinations do, and a net would trust them."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = pd.DataFrame({"name": np.repeat([f"name {i}" for i in range(300)], 2)})
    encoder = make_encoder()
    trained = encoder.fit_transform(X, y).numbers[:, 0].numpy()
    looked_up = encoder.transform(X).numbers[:, 0].numpy()
    assert np.corrcoef(looked_up, y)[0, 1] > 0.6
    assert abs(np.corrcoef(trained, y)[0, 1]) < 0.15


def test_random_state_repeats_the_folds():
    X, y = draw()
    first, again, other = (
        make_encoder(random_state=seed).fit_transform(X, y).numbers
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_unknown_values_have_the_prior():
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    row = X[:1].assign(shop="nowhere", color="mauve")
    numbers = encoder.transform(row).numbers[0, 1:].tolist()
    assert numbers == pytest.approx([0, -1, 0, -1])  # no row had them


def test_few_rows_and_many_are_looked_up_alike():
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    rows = torch.cat([encoder.transform(X[i : i + 1]).numbers for i in range(20)])
    assert torch.equal(rows, encoder.transform(X).numbers[:20])


def test_an_extended_encoder_learns_statistics_again():
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    before = {name: s.table for name, s in encoder.statistics_.items()}
    later, later_y = draw(seed=1)
    later["shop"] = later["shop"].replace("shop 7", "shop 77")
    trained = encoder.extend_transform(later, 1 - later_y)
    looked_up = encoder.transform(later)
    assert torch.equal(trained.ids, looked_up.ids)
    assert torch.equal(trained.numbers[:, :1], looked_up.numbers[:, :1])
    assert (trained.numbers[:, 1:] != looked_up.numbers[:, 1:]).any(dim=1).all()
    shops = encoder.statistics_["shop (target)"]
    ids = shops.source.encode(pd.Series(["shop 7", "shop 77", "shop 1"], name="shop"))
    table = before["shop (target)"]
    assert len(shops.table) == len(table) + 1 and ids[1] == len(table)
    np.testing.assert_array_equal(shops.table[ids[0]], table[ids[0]])  # not seen again
    assert shops.table[ids[1], 1] > -1 and shops.table[ids[2], 0] != table[ids[2], 0]
    crossed = encoder.statistics_[NAMES[1]].table[:, 0]
    was = before[NAMES[1]][:, 0]
    assert np.corrcoef(crossed[2 : len(was)], was[2:])[0, 1] < -0.8


def test_chunks_without_target_keep_statistics():
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    before = {name: s.table for name, s in encoder.statistics_.items()}
    numbers = encoder.transform(X).numbers
    later, _ = draw(seed=1)
    later["shop"] = later["shop"].replace("shop 7", "shop 77")
    encoder.extend(later)
    for name, statistic in encoder.statistics_.items():
        table = statistic.table
        np.testing.assert_array_equal(table[: len(before[name])], before[name])
        assert (table[len(before[name]) :, 0] == 0).all()
    assert torch.equal(encoder.transform(X).numbers, numbers)


def test_unchanged_rows_change_no_statistics():
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    before = encoder.transform(X).numbers
    trained = encoder.extend_transform(X, y)
    assert torch.equal(encoder.transform(X).numbers, before)
    assert not torch.equal(trained.numbers, before)


def test_parts_of_a_date_are_crossed_by_name():
    """Month by weekday and weekday by hour are two crosses of one column."""
    rng = np.random.default_rng(0)
    hours = rng.integers(0, 24 * 365, 12_000)
    when = pd.Timestamp("2023-01-01") + pd.to_timedelta(hours, unit="h")
    X = pd.DataFrame({"when": when})
    rules = rng.normal(size=(13, 24)), rng.normal(size=(7, 24))
    y = rules[0][when.month, when.hour] + rules[1][when.day_of_week, when.hour]
    encoder = make_encoder(target_type="continuous").fit(X, y)
    names = list(encoder.statistics_)
    assert "when (month) & when (hour) (target)" in names
    assert "when (weekday) & when (hour) (target)" in names
    table = encoder.transform(X)
    assert table.numbers.shape[1] == len(encoder.numbers_) + encoder.n_statistics_
    trained = make_encoder(target_type="continuous").fit_transform(X, y)
    assert trained.numbers.shape == table.numbers.shape


def test_a_cross_named_as_a_column_is_left_out():
    """Two encoded columns of one name would hide each other."""
    X, y = draw()
    X["color & shape"] = X["shop"].to_numpy()[::-1]
    encoder = make_encoder()
    trained = encoder.fit_transform(X, y)
    assert "color & shape (target)" in encoder.statistics_  # those of the column
    assert trained.numbers.shape == encoder.transform(X).numbers.shape
    names = encoder.get_feature_names_out().tolist()
    assert len(set(names)) == len(names)
    encoder.extend_transform(X, y)


def test_an_encoder_that_is_pickled_knows_the_statistics():
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    loaded = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(loaded.transform(X).numbers, encoder.transform(X).numbers)
    assert len(pickle.dumps(encoder)) < 60_000  # not by the rows


def test_classes_that_come_later_belong_to_none():
    """They are no reason to count their rows for the last class."""
    X, y = draw()
    encoder = make_encoder().fit(X, y)
    shops = encoder.statistics_["shop (target)"].source
    later = np.where(X["shop"] == "shop 3", 2, 0)
    encoder.extend_transform(X, later)
    table = encoder.statistics_["shop (target)"].table
    third, other = shops.encode(pd.Series(["shop 3", "shop 4"], name="shop"))
    assert abs(table[third, 0]) < 0.1 and table[other, 0] < -0.5


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], [False, True]])
def test_statistics_are_of_the_second_class(labels):
    """Whichever class the first row has."""
    X, y = draw()
    for rows in (np.argsort(y), np.argsort(-y)):
        encoder = make_encoder().fit(X.iloc[rows], np.array(labels)[y[rows]])
        values = encoder.transform(X).numbers[:, -2].numpy()
        assert np.corrcoef(values, y)[0, 1] > 0.5
