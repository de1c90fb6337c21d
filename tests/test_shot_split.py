"""Episodes have the rows they should have, and go where scikit-learn takes a `cv`."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    check_cv,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_memgen import ShotSplit

NAMES = np.array(["ash", "elm", "oak", "yew", "fir"])


def make_labels(*counts):
    """Return labels of so many rows of each tree, shuffled."""
    labels = np.repeat(NAMES[: len(counts)], counts)
    return np.random.RandomState(0).permutation(labels)


def splits_of(split, y, groups=None):
    return [
        (train.tolist(), test.tolist()) for train, test in split.split(None, y, groups)
    ]


@given(data=st.data())
def test_episodes_have_the_rows_they_should_have(data):
    n_shots = data.draw(st.integers(1, 4))
    counts = data.draw(st.lists(st.integers(n_shots + 1, 12), min_size=2, max_size=5))
    n_ways = data.draw(st.none() | st.integers(2, len(counts)))
    n_test = data.draw(st.none() | st.integers(1, 10))
    y = make_labels(*counts)
    split = ShotSplit(n_shots, n_ways, 3, n_test=n_test, random_state=0)
    episodes = list(split.split(np.zeros(len(y)), y))
    assert len(episodes) == 3
    for train, test in episodes:
        assert not set(train) & set(test)
        assert len(set(train)) == len(train) and len(set(test)) == len(test)
        drawn, n_train = np.unique(y[train], return_counts=True)
        assert len(drawn) == (n_ways or len(counts))
        assert (n_train == n_shots).all()
        tested, n_tested = np.unique(y[test], return_counts=True)
        assert tested.tolist() == drawn.tolist()
        for name, n in zip(tested, n_tested, strict=True):
            left = (y == name).sum() - n_shots
            assert n == (left if n_test is None else min(left, n_test))


def test_training_rows_come_in_turns():
    y = make_labels(9, 9, 9)
    train, _ = next(ShotSplit(3, random_state=0).split(y, y))
    assert len(set(y[train][:3])) == 3
    assert y[train].tolist() == 3 * y[train][:3].tolist()


def test_every_row_and_every_class_is_drawn_at_times():
    y = make_labels(4, 8, 4)
    split = ShotSplit(1, 2, 300, n_test=1, random_state=0)
    trained, tested = map(np.concatenate, zip(*split.split(y, y), strict=True))
    for rows in (trained, tested):
        by_class = pd.Series(y[rows]).value_counts()
        assert by_class.between(150, 250).all()  # of 300, two in three
        counts = np.bincount(rows, minlength=len(y))
        assert (counts[y != "elm"] > 25).all()
        assert (counts[y == "elm"] > 10).all()


@given(few=st.integers(1, 5), more=st.integers(0, 4), n_ways=st.sampled_from([2, 3]))
def test_more_shots_add_rows_and_leave_test_rows(few, more, n_ways):
    y = make_labels(15, 12, 20)
    episodes = [
        splits_of(ShotSplit(n, n_ways, 3, n_test=2, random_state=5), y)
        for n in (few, few + more)
    ]
    for (train, test), (longer, same_test) in zip(*episodes, strict=True):
        assert longer[: len(train)] == train
        assert same_test == test


# Randomness


def test_an_int_gives_the_same_episodes_at_every_call():
    y = make_labels(9, 9)
    split = ShotSplit(2, random_state=0)
    assert splits_of(split, y) == splits_of(split, y)
    assert splits_of(split, y) != splits_of(ShotSplit(2, random_state=1), y)
    first, second, *_ = splits_of(split, y)
    assert first != second


def test_an_instance_moves_on():
    y = make_labels(9, 9)
    split = ShotSplit(2, random_state=np.random.RandomState(0))
    assert splits_of(split, y) != splits_of(split, y)


def test_none_draws_from_the_global_generator():
    y = make_labels(9, 9)
    np.random.seed(0)
    first = splits_of(ShotSplit(), y)
    assert splits_of(ShotSplit(), y) != first
    np.random.seed(0)
    assert splits_of(ShotSplit(), y) == first


# Kinds of labels


@pytest.mark.parametrize(
    "convert",
    [
        list,
        lambda y: y.astype(object),
        lambda y: np.searchsorted(np.sort(NAMES), y) - 7,
        pd.Series,
        lambda y: pd.Series(y, index=np.arange(len(y))[::-1] + 100),
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Series(y, dtype="string"),
    ],
    ids=["list", "object", "int", "Series", "index", "category", "string"],
)
def test_kinds_of_labels_make_no_difference(convert):
    y = make_labels(6, 7, 8)
    split = ShotSplit(2, 2, n_test=3, random_state=0)
    assert splits_of(split, convert(y)) == splits_of(split, y)


def test_booleans_and_nullable_integers():
    y = make_labels(6, 7) == "ash"
    expected = splits_of(ShotSplit(random_state=0), y.astype(int))
    assert splits_of(ShotSplit(random_state=0), y) == expected
    nullable = pd.Series(y.astype(int), dtype="Int64")
    assert splits_of(ShotSplit(random_state=0), nullable) == expected


# Groups


@given(groups=st.lists(st.integers(0, 9), min_size=40, max_size=40))
def test_rows_of_the_group_of_a_training_row_are_not_tested(groups):
    y = make_labels(20, 20)
    groups = np.array(groups)
    groups[[np.flatnonzero(y == name)[:3] for name in ("ash", "elm")]] = [10, 11, 12]
    split = ShotSplit(1, random_state=0)
    ungrouped = splits_of(split, y)
    for (train, test), (same, every) in zip(
        splits_of(split, y, groups), ungrouped, strict=True
    ):
        assert train == same
        assert test == [row for row in every if groups[row] not in groups[train]]


def test_groups_that_leave_no_test_row_are_an_error():
    y = make_labels(5, 5)
    groups = np.where(y == "ash", "same", np.arange(10).astype(str))
    with pytest.raises(ValueError, match="class 'ash' has no row to test on"):
        splits_of(ShotSplit(random_state=0), y, groups)


# Within scikit-learn


def test_cross_validation():
    X, y = load_iris(return_X_y=True, as_frame=True)
    split = ShotSplit(5, n_episodes=7, random_state=0)
    assert check_cv(split) is split
    assert split.get_n_splits(X, y) == 7
    scores = cross_val_score(KNeighborsClassifier(1), X, y, cv=split)
    assert scores.shape == (7,)
    assert scores.mean() > 0.85
    expected = [
        KNeighborsClassifier(1)
        .fit(X.iloc[train], y.iloc[train])
        .score(X.iloc[test], y.iloc[test])
        for train, test in split.split(X, y)
    ]
    np.testing.assert_array_equal(scores, expected)


def test_grid_search():
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        {"kneighborsclassifier__n_neighbors": [1, 15]},
        cv=ShotSplit(5, n_episodes=4, random_state=0),
    )
    search.fit(X, y)
    assert search.n_splits_ == 4
    # All 15 training rows have the vote: one class in three.
    assert search.best_params_ == {"kneighborsclassifier__n_neighbors": 1}
    assert search.cv_results_["mean_test_score"][1] == pytest.approx(1 / 3)


def test_groups_reach_it_without_and_with_metadata_routing():
    y = make_labels(20, 20)
    X, groups = np.zeros((40, 1)), np.arange(40) // 2
    split = ShotSplit(random_state=0)
    params = {"cv": split, "return_indices": True}
    expected = splits_of(split, y, groups)
    plain = cross_validate(DummyClassifier(), X, y, groups=groups, **params)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(
            DummyClassifier(), X, y, params={"groups": groups}, **params
        )
        unneeded = cross_validate(DummyClassifier(), X, y, **params)
    for result, wanted in (
        (plain, expected),
        (routed, expected),
        (unneeded, splits_of(split, y)),
    ):
        assert [test.tolist() for test in result["indices"]["test"]] == [
            test for _, test in wanted
        ]


def test_pickle_and_representation():
    split = ShotSplit(3, 2, random_state=1)
    assert repr(split) == (
        "ShotSplit(n_episodes=20, n_shots=3, n_test=None, n_ways=2, random_state=1)"
    )
    y = make_labels(9, 9, 9)
    assert splits_of(pickle.loads(pickle.dumps(split)), y) == splits_of(split, y)


# Errors


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_shots": 0}, "'n_shots'.*Got 0"),
        ({"n_shots": 1.5}, "'n_shots'.*Got 1.5"),
        ({"n_ways": 1}, "'n_ways'.*Got 1"),
        ({"n_episodes": 0}, "'n_episodes'.*Got 0"),
        ({"n_test": 0}, "'n_test'.*Got 0"),
        ({"random_state": "seed"}, "'random_state'.*Got 'seed'"),
    ],
)
def test_bad_parameters_are_named_with_their_value(params, message):
    with pytest.raises(ValueError, match=message):
        ShotSplit(**params)


@pytest.mark.parametrize(
    "params, y, message",
    [
        ({}, None, "needs the classes.*y is None"),
        ({}, ["a"] * 5, "at least 2 classes; got 1: \\['a'\\]"),
        ({}, [], "0"),
        ({"n_ways": 3}, make_labels(5, 5), "n_ways=3.*y has 2"),
        ({"n_shots": 5}, make_labels(9, 5, 8), "n_shots=5.*6 rows.*'elm' has 5"),
        ({"n_shots": 3}, [0, 0, 0, 0, 7, 7, 7], "class 7 has 3"),
        ({}, np.linspace(0, 1, 9), "continuous"),
        ({}, ["a", "a", None, "b"], "NaN"),
        ({}, np.zeros((4, 2)), "shape"),
    ],
)
def test_labels_that_no_episode_can_be_drawn_from(params, y, message):
    """At the call, not when the first episode is asked for."""
    with pytest.raises(ValueError, match=message):
        ShotSplit(**params).split(None, y)


def test_lengths_must_agree():
    y = make_labels(5, 5)
    for X, groups in ((np.zeros(9), None), (np.zeros(10), np.zeros(9))):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            ShotSplit().split(X, y, groups)
