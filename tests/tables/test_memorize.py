"""Which numbers are remembered exactly."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_memgen.tables.memorize import choose_memorized, weigh_exact_values
from sklearn_memgen.tables.vocabulary import Vocabulary


def choose(columns, memorize="auto", y=None, weights=None, seed=0, **params):
    params = {"min_frequency": 2} | params
    series = {name: pd.Series(values, name=name) for name, values in columns.items()}
    rng = np.random.RandomState(seed)
    return choose_memorized(series, memorize, y, weights, rng=rng, **params)


def spikes(n_rows=4000, seed=0):
    """Amounts of which some exact values decide the class, as capital gains do."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 400, n_rows).astype(float)
    rule = rng.integers(0, 2, 400)
    return values, rule[values.astype(int)]


def smooth(n_rows=4000, seed=0):
    """Whole numbers of which only the size matters."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 400, n_rows).astype(float)
    return values, (values + rng.normal(0, 60, n_rows) > 200).astype(int)


def nearly_unique(n_rows=4000, seed=0):
    """Values that occur about twice each."""
    rng = np.random.default_rng(seed)
    values = rng.permutation(np.repeat(np.arange(n_rows / 2), 2))
    return values, rng.integers(0, 2, n_rows)


@pytest.mark.parametrize("seed", range(3))
def test_spikes_are_memorized(seed):
    values, y = spikes(seed=seed)
    chosen, evidence = choose({"amount": values}, y=y, seed=seed)
    assert list(chosen) == ["amount (exact)"]
    row = evidence.iloc[0]
    assert row["memorized"] and row["loss_exact"] < row["loss_bins"]
    assert row["gain"] == pytest.approx(row["loss_bins"] - row["loss_exact"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("draw", [smooth, nearly_unique])
def test_no_memory_where_there_is_nothing_exact_to_learn(draw, seed):
    values, y = draw(seed=seed)
    chosen, evidence = choose({"amount": values}, y=y, seed=seed)
    assert not chosen
    assert not evidence["memorized"].any() and evidence["gain"].notna().all()


def test_few_values_are_left_to_their_bins():
    """A bin tells each of them apart, so nothing is tested."""
    for n_values, tested in [(48, False), (49, True)]:
        values = np.tile(np.arange(float(n_values)), 50)
        chosen, evidence = choose({"amount": values}, y=values.astype(int) % 2)
        assert not chosen and evidence["gain"].notna().tolist() == [tested]


def test_none_exact_and_named():
    columns = {"a": [1.0, 1, 2, 2], "b": [1.0, 1, 2, 2], "unique": [1.0, 2, 3, 4]}
    chosen, evidence = choose(columns, "none")
    assert not chosen and evidence.empty
    chosen, evidence = choose(columns, "exact")
    assert list(chosen) == ["a (exact)", "b (exact)"]
    assert evidence["n_values"].tolist() == [2, 2]
    chosen, evidence = choose(columns, ["b"])
    assert list(chosen) == ["b (exact)"]
    assert evidence["memorized"].tolist() == [False, True]


def test_names_that_are_no_numbers():
    with pytest.raises(ValueError, match=r"memorize names columns \['city'\]"):
        choose({"a": [1.0, 2]}, ["city"])


def test_without_labels_nothing_is_tested():
    values, _ = spikes()
    chosen, evidence = choose({"amount": values})
    assert not chosen and evidence["gain"].isna().all()


def test_min_frequency_decides_what_repeats():
    columns = {"a": [1.0, 1, 2, 2, 2, 3, 3, 3]}
    _, evidence = choose(columns, "exact", min_frequency=3)
    assert evidence["n_values"].tolist() == [2]
    chosen, _ = choose(columns, "exact", min_frequency=4)
    assert not chosen


@pytest.mark.parametrize("draw", [spikes, smooth])
def test_weights_decide_as_repeated_rows_do(draw):
    """Other rows share the folds, but the decision is the same."""
    values, y = draw()
    weights = np.random.default_rng(0).integers(1, 3, len(y))
    weighted, _ = choose({"a": values}, y=y, weights=weights.astype(float))
    repeated, _ = choose({"a": values.repeat(weights)}, y=y.repeat(weights))
    assert list(weighted) == list(repeated) == (["a (exact)"] if draw is spikes else [])


def test_weights_make_no_evidence():
    """A heavy row is in one fold only, so that it cannot vouch for itself."""
    values, y = nearly_unique()
    chosen, evidence = choose({"a": values}, y=y, weights=np.full(len(y), 20.0))
    assert not chosen and evidence["gain"].iloc[0] < 0


@pytest.mark.parametrize("seed", range(3))
def test_weights_that_tell_the_class_make_no_evidence(seed):
    """Unique values of heavy rows have ids: known or unknown tells the class."""
    rng = np.random.default_rng(seed)
    values, y = rng.normal(size=6000), (rng.random(6000) < 0.1).astype(int)
    weights = compute_sample_weight("balanced", y)
    chosen, evidence = choose({"a": values}, y=y, weights=weights, seed=seed)
    assert evidence["n_values"].tolist() == [y.sum()]  # the leak is there,
    assert not chosen and evidence["gain"].iloc[0] < 0  # and is seen through
    chosen, evidence = choose({"a": values}, y=10.0 * y, weights=weights, seed=seed)
    assert not chosen and evidence["gain"].iloc[0] < 0


def test_values_the_other_folds_do_not_hold_are_judged_as_unknown():
    """With one heavy row of class 1 a value, among unknown ones of class 0."""
    ids = np.r_[np.zeros(500, dtype=int), np.arange(1, 101)]
    y = (ids > 0).astype(int)
    weights = np.where(y == 1, 5.0, 1.0)
    evidence = weigh_exact_values(
        ids.astype(float), ids, y, weights, np.random.RandomState(0)
    )
    # Half the weight is of class 1, to which unknown rows give less than 4.5 in 404.
    assert evidence["loss_exact"] > 0.5 * -np.log(4.5 / 404)


def test_weights_scale_the_evidence():
    """Rows of weight 2 in the same folds: the same frequencies, up to the prior."""
    values, y = spikes()
    ids = Vocabulary.fit(values).encode(values)
    plain = weigh_exact_values(values, ids, y, None, np.random.RandomState(0))
    ones = weigh_exact_values(values, ids, y, np.ones(len(y)), np.random.RandomState(0))
    assert ones == pytest.approx(plain)
    twos = weigh_exact_values(
        values, ids, y, np.full(len(y), 2.0), np.random.RandomState(0)
    )
    assert twos["loss_exact"] < plain["loss_exact"]  # the prior weighs half as much


def test_missing_values_are_a_value():
    """Missing values that decide the class are seen by both sides of the test."""
    values, y = spikes()
    values[::3], y[::3] = np.nan, 1
    ids = Vocabulary.fit(values).encode(values)
    evidence = weigh_exact_values(values, ids, y, None, np.random.RandomState(0))
    assert evidence["memorized"] and np.isfinite(evidence["gain"])


def test_nothing_but_missing_values_in_the_rows_looked_at():
    values = np.full(50, np.nan)
    ids, y = np.ones(50, dtype=np.int32), np.arange(50) % 2
    evidence = weigh_exact_values(values, ids, y, None, np.random.RandomState(0))
    assert not evidence["memorized"] and evidence["gain"] == 0


def test_many_rows_are_sampled(monkeypatch):
    """A large table is decided on a part of it, weights included."""
    monkeypatch.setattr("sklearn_memgen.tables.memorize._MAX_ROWS", 3000)
    values, y = spikes(6000)
    assert choose({"a": values}, y=y, weights=np.ones(6000))[0]


def test_random_state_draws_the_folds():
    values, y = smooth()
    first, again, other = (
        choose({"a": values}, y=y, seed=seed)[1]["gain"].iloc[0] for seed in (0, 0, 1)
    )
    assert first == again != other


# A numeric target


def spiked_means(n_rows=4000, seed=0):
    """One value in twenty adds much; bins of seven values blur it."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 400, n_rows).astype(float)
    bonus = np.where(rng.random(400) < 0.05, 5.0, 0.0)
    return values, bonus[values.astype(int)] + rng.normal(size=n_rows)


def smooth_means(n_rows=4000, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 400, n_rows).astype(float)
    return values, np.sin(values / 60) + rng.normal(size=n_rows)


def nearly_unique_means(n_rows=4000, seed=0):
    values, _ = nearly_unique(n_rows, seed)
    return values, np.random.default_rng(seed).normal(size=n_rows)


@pytest.mark.parametrize("seed", range(3))
def test_means_of_exact_values_are_memorized(seed):
    values, y = spiked_means(seed=seed)
    chosen, evidence = choose({"amount": values}, y=y, seed=seed)
    assert list(chosen) == ["amount (exact)"]
    assert evidence["gain"].iloc[0] > 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("draw", [smooth_means, nearly_unique_means])
def test_no_memory_of_means_where_there_is_nothing_exact_to_learn(draw, seed):
    values, y = draw(seed=seed)
    chosen, evidence = choose({"amount": values}, y=y, seed=seed)
    assert not chosen and evidence["gain"].iloc[0] < 0


def test_the_unit_of_the_target_does_not_matter():
    values, y = spiked_means()
    ids = Vocabulary.fit(values).encode(values)
    here, there = (
        weigh_exact_values(values, ids, target, None, np.random.RandomState(0))
        for target in (y, 1e6 * y - 5e5)
    )
    assert here == pytest.approx(there)


def test_the_loss_of_means_is_that_of_a_gaussian():
    """A target of noise has the entropy of the normal distribution, 1.419 nats."""
    values, y = smooth_means()
    y = np.random.default_rng(1).normal(size=len(y))
    ids = np.zeros(len(y), dtype=int)
    loss = weigh_exact_values(values, ids, y, None, np.random.RandomState(0))
    assert loss["loss_exact"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e), abs=0.01)


def test_weights_of_means_are_numbers_of_rows():
    """Noisy rows of weight zero change nothing."""
    values, y = spiked_means()
    weights = (np.arange(len(y)) % 2).astype(float)
    ids = Vocabulary.fit(values).encode(values)
    noisy = np.where(weights == 0, 1e3, y)
    evidence = [
        weigh_exact_values(values, ids, target, weights, np.random.RandomState(0))
        for target in (y, noisy)
    ]
    assert evidence[0] == pytest.approx(evidence[1])
    ones = np.ones(len(y))
    plain, weighted = (
        weigh_exact_values(values, ids, y, w, np.random.RandomState(0))
        for w in (None, ones)
    )
    assert plain == pytest.approx(weighted)


@pytest.mark.parametrize("y", [np.zeros(4000), np.full(4000, 0.1)])
def test_a_constant_target_needs_no_memory(y):
    values, _ = smooth_means()
    chosen, evidence = choose({"amount": values}, y=y)
    assert not chosen and np.isfinite(evidence["gain"].iloc[0])


def test_a_target_that_exact_values_tell_without_error():
    values, _ = smooth_means()
    y = np.random.default_rng(0).normal(size=400)[values.astype(int)]
    chosen, evidence = choose({"amount": values}, y=y)
    assert chosen and np.isfinite(evidence["gain"].iloc[0])


def test_adult(data_folder):
    """What the table is known for: amounts decide, census weights do not."""
    X = pd.read_parquet(data_folder / "tabular" / "adult.parquet")
    y = pd.factorize(X.pop("target"))[0]
    names = X.select_dtypes("number").columns
    for seed in range(2):
        chosen, evidence = choose(
            {n: X[n].astype(float) for n in names}, y=y, seed=seed
        )
        assert {"capital-gain (exact)", "capital-loss (exact)"} <= set(chosen)
        assert "fnlwgt (exact)" not in chosen
        assert (evidence.set_index("column").loc[["capital-gain"], "gain"] > 0.01).all()
