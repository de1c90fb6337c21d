"""Conditions from paths of trees: what they say is what the trees found."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.rules import Rule, RuleSet
from sklearn_memgen.rules.features import NumberFeature, read_features, round_between
from sklearn_memgen.rules.paths import PathMiner

NUMBERS = st.floats(allow_nan=False, width=32) | st.integers(-1000, 1000)


def mine(X, positive, roles, **settings):
    defaults = {"min_count": 5, "bars": [0.9], "max_length": 3, "n_trees": 20}
    miner = PathMiner(
        X, roles, random_state=np.random.RandomState(0), **defaults | settings
    )
    return miner.mine(np.asarray(positive), np.ones(len(X), dtype=bool))


def evaluate(conditions, X):
    rules = RuleSet(Rule(c, "a", id=f"{i:05d}") for i, c in enumerate(conditions))
    return rules.match(X).toarray()


# Thresholds


@given(NUMBERS, NUMBERS)
def test_round_between(one, two):
    low, high = sorted((one, two))
    if low < high:
        number = round_between(low, high)
        assert low <= number < high and np.isfinite(number)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (17, 40, 30),
        (5, 6, 5),
        (0.1 + 0.2, 0.4, 0.35),
        (-3, 10, 0),
        (99.99, 100.01, 100),
        (1e-9, 2e-9, 2e-9 - 1e-9),
    ],
)
def test_few_digits(low, high, expected):
    """A threshold that parts the same rows is as short as can be."""
    assert round_between(low, high) == pytest.approx(expected)
    assert len(repr(round_between(low, high))) <= 5


@given(
    st.lists(st.none() | st.integers(-20, 20) | st.floats(-5, 5), min_size=2),
    st.lists(
        st.tuples(st.integers(-4, 80).map(lambda i: i / 4), st.booleans()),
        min_size=1,
        max_size=4,
    ),
)
def test_splits_of_a_number_become_one_condition(values, splits):
    """With missing values the condition holds of exactly the rows of the path."""
    X = pd.DataFrame({"a": pd.array(values, dtype="Float64")})
    features = read_features(X, {"a": "number"}, 1)
    if not features:
        return
    ranks = features[0].matrix[:, 0]
    splits = [(0, t, above) for t, above in splits if -1 <= np.floor(t) < ranks.max()]
    rows = np.ones(len(X), dtype=bool)
    for _, threshold, above in splits:
        rows &= (ranks > threshold) == above
    if not rows.any() or rows.all():
        return
    conditions = features[0].write(splits)
    found = evaluate(conditions, X)
    assert (found[:, -1] == rows).all()
    assert (found[:, 0] == rows & (X["a"].notna() | ~(ranks[rows] >= 0).any())).all()
    assert all(condition.depth <= 1 for condition in conditions)


def test_infinite_numbers():
    X = pd.DataFrame({"a": [-np.inf, 1.0, np.inf]})
    feature = read_features(X, {"a": "number"}, 1)[0]
    assert isinstance(feature, NumberFeature)
    for threshold, rows in [(0.5, [1, 0, 0]), (1.5, [1, 1, 0])]:
        below, above = (feature.write([(0, threshold, side)]) for side in (False, True))
        assert evaluate(below, X)[:, 0].tolist() == rows
        assert evaluate(above, X)[:, 0].tolist() == [not row for row in rows]


# Categories


@pytest.mark.parametrize(
    ("values", "splits", "texts"),
    [
        (["x", "y", "z"], [(0, 0.5, True)], ['a == "x"']),
        (["x", "y", "z"], [(0, 0.5, False)], ['a != "x"']),
        (["x", "y", "z"], [(0, 0.5, False), (1, 0.5, False)], ['a == "z"']),
        (
            ["x", "y", "z", None],
            [(0, 0.5, False)],
            ['a != "x"', '(a != "x") | a.isna()'],
        ),
        (["x", None], [(1, 0.5, True)], ["a.isna()"]),
        (["x", None], [(1, 0.5, False)], ["~a.isna()"]),
        (
            [*"uvwxyz"],
            [(i, 0.5, False) for i in range(4)],
            ['a.isin(["y", "z"])'],
        ),
        ([True, False], [(0, 0.5, False)], ["a == False"]),
        ([3, 4, 5], [(2, 0.5, True)], ["a == 5"]),
    ],
)
def test_splits_of_a_category(values, splits, texts):
    X = pd.DataFrame({"a": pd.Series(values * 2, dtype=object)})
    feature = read_features(X, {"a": "category"}, 1)[0]
    order = {value: place for place, value in enumerate(feature.values)}
    splits = [(order[values[place]], *rest) for place, *rest in splits]
    conditions = feature.write(splits)
    assert [str(condition) for condition in conditions] == texts
    rows = np.ones(len(X), dtype=bool)
    for place, threshold, above in splits:
        rows &= (feature.matrix[:, place] > threshold) == above
    assert (evaluate(conditions, X)[:, -1] == rows).all()


def test_rare_and_long_values_are_no_categories():
    values = ["x"] * 5 + ["y"] * 5 + ["rare"] * 2 + ["long " * 100] * 5
    feature = read_features(pd.DataFrame({"a": values}), {"a": "category"}, 3)[0]
    assert feature.values == ["x", "y"] and not feature.is_complete
    # So it is unknown what else there may be.
    assert str(feature.write([(0, 0.5, False)])[0]) == 'a != "x"'


# Mining


def test_planted_rule():
    """A conjunction is found, without what it can do without."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "price": rng.uniform(0, 100, 2000),
            "brand": rng.choice(["Acme", "Bolt", "Cora"], 2000),
            "noise": rng.normal(size=2000),
        }
    )
    positive = (X["price"] > 70) & (X["brand"] == "Acme")
    roles = {"price": "number", "brand": "category", "noise": "number"}
    conditions = mine(X, positive, roles, bars=[1.0])
    rows = evaluate(conditions, X)[:, 0].astype(bool)
    assert conditions[0].columns == {"price", "brand"}
    assert (rows == positive).all()


def test_all_conditions_are_precise_frequent_and_short(mixed_table):
    """On columns of all kinds, as counted by the conditions themselves."""
    X, y = mixed_table
    positive = (y == "yes").to_numpy()
    roles = {
        "number": "number",
        "count": "number",
        "nullable": "number",
        "flag": "category",
        "city": "category",
        "grade": "category",
    }
    conditions = mine(X, positive, roles, bars=[0.8, 0.9])
    matched = evaluate(conditions, X)
    assert len(conditions) > 3
    for condition, rows in zip(conditions, matched.T, strict=True):
        assert positive[rows].mean() >= 0.8 and positive[rows].sum() >= 5
        assert len(getattr(condition, "terms", (condition,))) <= 3
    counts = matched[positive].sum(axis=0)
    assert (np.diff(counts) <= 0).all()


def test_paths_are_kept_at_each_length():
    """The longer form, more precise, may be right where the shorter one is not."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.uniform(size=2000), "b": rng.uniform(size=2000)})
    positive = (X["a"] > 0.5) & ((X["b"] > 0.5) | (rng.random(2000) < 0.9))
    conditions = mine(X, positive, {"a": "number", "b": "number"}, bars=[0.9])
    columns = [condition.columns for condition in conditions]
    assert columns[0] == {"a"} and {"a", "b"} in columns


def test_nothing_to_find():
    X = pd.DataFrame({"a": np.arange(20.0), "c": ["x"] * 20})
    assert mine(X, [False] * 20, {"a": "number"}) == []
    assert mine(X, [True] * 20, {"a": "number"}) == []
    assert mine(X, [True, False] * 10, {"c": "category"}) == []
    assert mine(X, [True, False] * 10, {}) == []
