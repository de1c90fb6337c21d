"""Held-out rows: parted evenly, and never both choosing and judging a rule."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.rules.judging import judge, part_rows
from sklearn_memgen.rules.targets import MINED, PARTS, Target, Targets


def judge_one(counts, right, *, share=0.1, min_support=1, min_precision=0.9):
    return judge(
        np.array(counts)[:, None],
        np.array(right)[:, None],
        np.full((3, 1), share),
        np.zeros(1, dtype=int),
        min_support=min_support,
        min_precision=min_precision,
    )


# Parts


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(0, 9))
def test_each_class_is_parted_evenly(codes, seed):
    codes = np.array(codes)
    parts = part_rows(codes, None, np.random.RandomState(seed))
    assert ((parts < 0) == (codes < 0)).all()
    for code in range(4):
        n = np.bincount(parts[codes == code], minlength=3)
        assert abs(n[MINED] - n.sum() / 2) <= 1
        assert all(abs(n[part] - n.sum() / 4) <= 1 for part in PARTS[1:])


def test_rows_of_a_group_stay_together():
    rng = np.random.RandomState(0)
    codes, groups = rng.randint(-1, 3, 500), rng.randint(0, 100, 500)
    parts = pd.Series(part_rows(codes, groups, rng))[codes >= 0]
    assert (parts.groupby(groups[codes >= 0]).nunique() == 1).all()
    assert set(parts) == set(PARTS)


# Judgment


@pytest.mark.parametrize(
    ("counts", "right", "kept", "held_out", "precision"),
    [
        ([9, 10, 20], [9, 10, 10], True, 20, 0.5),  # the second half judges
        ([9, 10, 20], [9, 8, 20], True, 10, 0.8),  # the first one
        ([9, 10, 20], [9, 10, 19], True, 30, 29 / 30),  # both
        ([9, 10, 20], [9, 8, 10], False, 0, None),
        ([9, 10, 0], [9, 10, 0], True, 0, None),
        ([99, 0, 0], [99, 0, 0], False, 0, None),  # the rows mined have no say
    ],
)
def test_one_half_chooses_and_the_other_judges(
    counts, right, kept, held_out, precision
):
    judgment = judge_one(counts, right)
    assert judgment.kept[0] == kept and judgment.support[0] == sum(counts)
    if kept:
        assert judgment.held_out[0] == held_out
    if precision is None:
        assert np.isnan(judgment.precision[0]) and judgment.precision_low[0] == 0
    else:
        assert judgment.precision[0] == pytest.approx(precision)
        assert judgment.precision_low[0] < precision


def test_chance():
    """Two right ones of two are something for a rare class only."""
    assert judge_one([2, 2, 2], [2, 2, 2], share=0.1).kept[0]
    assert not judge_one([2, 2, 2], [2, 2, 2], share=0.5).kept[0]


def test_many_candidates_need_more():
    """The luckiest of many rules that know nothing is not kept."""
    rng = np.random.default_rng(0)
    counts = np.full((3, 2000), 6)
    right = rng.binomial(counts, 0.5)
    shares, families = np.full((3, 2000), 0.5), np.zeros(2000, dtype=int)
    settings = {"min_support": 1, "min_precision": 0.9}
    kept = judge(counts, right, shares, families, **settings).kept
    assert (right[1:] == 6).any(axis=0).sum() > 30 and not kept.any()
    # One by one each of them would have passed.
    alone = judge(counts, right, shares, np.arange(2000), **settings).kept
    assert alone.sum() > 30


def test_support():
    assert not judge_one([9, 10, 20], [9, 10, 20], min_support=40).kept[0]
    assert judge_one([9, 10, 20], [9, 10, 20], min_support=39).kept[0]


def test_precision_of_chosen_rules_is_not_optimistic():
    """Rules of many true precisions: what is reported is what is true on average."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.3, 1, 20_000)
    counts = rng.integers(1, 15, (3, 20_000))
    right = rng.binomial(counts, truth)
    judgment = judge(
        counts,
        right,
        np.full((3, 20_000), 0.1),
        np.arange(20_000),
        min_support=1,
        min_precision=0.9,
    )
    kept = judgment.kept & (judgment.held_out > 0)
    held_out = judgment.held_out[kept]
    reported = np.average(judgment.precision[kept], weights=held_out)
    assert reported == pytest.approx(
        np.average(truth[kept], weights=held_out), abs=0.01
    )
    # Where they were chosen they look better.
    half = right[1] >= 0.9 * counts[1]
    assert (right[1, half] / counts[1, half]).mean() > truth[half].mean() + 0.1
    assert (judgment.precision_low[kept] <= truth[kept]).mean() > 0.93


# Targets


def test_labels_of_all_types():
    targets = Targets(["c", "a", None, 1], ["b", None, 2, "a"], 4)
    assert targets.classes == [1, 2, "a", "b", "c"]
    assert targets.codes.tolist() == [4, 2, -1, 0]
    assert targets.predicted.tolist() == [3, -1, 1, 2]
    for y in [
        np.array([1.0, 2.0, np.nan]),
        pd.array([1, 2, None], dtype="Int64"),
        pd.Series([1, 2, None], dtype="int64[pyarrow]", index=[7, 7, 7]),
        pd.Categorical([1, 2, None]),
    ]:
        targets = Targets(y, None, 3)
        assert targets.classes == [1, 2] and targets.codes.tolist() == [0, 1, -1]
        assert all(type(label) is int for label in targets.classes)


def test_what_rows_say():
    """A wrong prediction speaks for forbidding its class, a row against its own."""
    y = ["a", "a", "b", None, "b"]
    targets = Targets(y, ["a", "b", "b", "b", None], 5)
    positive, relevant = targets.masks(Target("assign", 1))
    assert positive.tolist() == [0, 0, 1, 0, 1]
    assert relevant.tolist() == [1, 1, 1, 0, 1]
    positive, relevant = targets.masks(Target("forbid", 1))
    assert positive.tolist() == [0, 1, 0, 0, 0]
    assert relevant.tolist() == [0, 1, 1, 0, 1]
    # Forbidding makes a difference to unlabeled rows with such a prediction only.
    assert targets.undecided(Target("forbid", 1)).tolist() == [0, 0, 0, 1, 0]
    assert targets.undecided(Target("forbid", 0)).tolist() == [0] * 5
    assert targets.undecided(Target("assign", 0)).tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"], "one label a row of X, 2; got 1"),
        ("ab", "one-dimensional"),
        (np.zeros((2, 1)), "one-dimensional"),
        ([None, np.nan], "y has no labels"),
        ([0.5, 1.0], "got 0.5"),
        ([pd.Timestamp(0)] * 2, "y or predicted: a value must be text"),
    ],
)
def test_wrong_labels(y, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Targets(y, None, 2)
