"""Samples are spread as they say, and intervals hold what they should."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.rules.reviewing import estimate_precision, review_sample


def make_decisions(*strata):
    """Rows of (source, label, number) each."""
    rows = [(s, c) for s, c, n in strata for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["source", "label"])
    frame.index = [f"r{i}" for i in range(len(frame))]
    frame["rules"] = [()] * len(frame)
    return frame


DECISIONS = make_decisions(
    ("learner", "ring", 600),
    ("learner", "oil", 300),
    ("rule", "ring", 90),
    ("both", "oil", 9),
    ("gate", "oil", 1),
    ("declined", "none", 50),
)


# The sample


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    n=st.integers(1, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_sample_has_what_was_asked_of_each_stratum(sizes, n, seed):
    strata = [("rule", f"c{i}", size) for i, size in enumerate(sizes)]
    decisions = make_decisions(*strata, ("declined", "c0", 3))
    sample = review_sample(decisions, n, random_state=seed)
    total, names = sum(sizes), [f"c{i}" for i in range(len(sizes))]
    assert len(sample) == min(n, total) and sample.index.is_unique
    pd.testing.assert_frame_equal(
        sample[decisions.columns], decisions[decisions.index.isin(sample.index)]
    )
    assert not (sample["source"] == "declined").any()
    taken = sample["label"].value_counts().reindex(names)
    taken = taken.fillna(0).to_numpy()
    if n >= len(sizes):
        assert taken.min() >= 1
        expected = 1 + (min(n, total) - len(sizes)) * (np.array(sizes) - 1) / max(
            total - len(sizes), 1
        )
    else:
        expected = n * np.array(sizes) / total
    assert np.abs(taken - expected).max() < 1 + 1e-9
    probability = dict(zip(names, expected / sizes, strict=True))
    assert sample["inclusion_probability"].to_numpy() == pytest.approx(
        sample["label"].map(probability).to_numpy()
    )
    assert sample["stratum_size"].tolist() == [
        sizes[int(label[1:])] for label in sample["label"]
    ]


@pytest.mark.parametrize("n", [3, 12])
def test_rows_are_drawn_as_often_as_said(n):
    decisions = make_decisions(
        ("rule", "a", 2), ("rule", "b", 7), ("learner", "a", 11), ("both", "a", 1)
    )
    decisions = decisions.sample(frac=1, random_state=0)
    rng = np.random.RandomState(0)
    counts = pd.Series(0, index=decisions.index)
    said = pd.Series(np.nan, index=decisions.index)
    for _ in range(250):
        sample = review_sample(decisions, n, random_state=rng)
        counts[sample.index] += 1
        said[sample.index] = sample["inclusion_probability"]
    assert np.abs(counts / 250 - said).max() < 0.1
    assert said.sum() == pytest.approx(n)


def test_strata_are_named_and_may_be_none():
    sample = review_sample(DECISIONS, 20, random_state=0)
    assert set(sample["stratum"]) == {
        "learner / ring",
        "learner / oil",
        "rule / ring",
        "both / oil",
        "gate / oil",
    }
    again = review_sample(DECISIONS, 20, random_state=0)
    pd.testing.assert_frame_equal(sample, again)
    simple = review_sample(DECISIONS, 20, by=(), random_state=0)
    assert set(simple["stratum"]) == {"all"} and len(simple) == 20
    assert simple["inclusion_probability"].to_numpy() == pytest.approx(20 / 1000)
    by_source = review_sample(DECISIONS, 4, by="source", random_state=0)
    assert sorted(by_source["stratum"]) == ["both", "gate", "learner", "rule"]


def test_labels_may_be_of_any_kind():
    for dtype in ("category", "string", "string[pyarrow]"):
        same = DECISIONS.astype({"label": dtype, "source": dtype})
        sample = review_sample(same, 20, random_state=0)
        wanted = review_sample(DECISIONS, 20, random_state=0)
        assert sample.index.tolist() == wanted.index.tolist()
        assert sample["label"].dtype == same["label"].dtype
        estimate = estimate_precision(same, dict.fromkeys(sample.index, True))
        assert (estimate.n_judged, estimate.precision) == (20, 1)
    numbers = DECISIONS.replace({"label": {"ring": 1, "oil": 2, "none": 0}})
    assert len(review_sample(numbers, 20)) == 20


def test_no_decisions():
    nothing = DECISIONS[DECISIONS["source"] == "declined"]
    for by in (("source", "label"), ()):
        assert review_sample(nothing, 5, by=by).empty
        estimate = estimate_precision(nothing, {}, by=by)
        assert np.isnan(estimate.precision) and estimate.passes is None
        assert (estimate.low, estimate.high, estimate.n_more) == (0, 1, 0)


# The estimate


def judge(decisions, share_right, n_judged):
    """Verdicts on the first rows of each stratum."""
    verdicts = {}
    for key, rows in decisions.groupby(["source", "label"]):
        if key in share_right:
            n_right = round(share_right[key] * n_judged[key])
            for i, row in enumerate(rows.index[: n_judged[key]]):
                verdicts[row] = i < n_right
    return verdicts


KEYS = [
    ("learner", "ring"),
    ("learner", "oil"),
    ("rule", "ring"),
    ("both", "oil"),
    ("gate", "oil"),
]


def test_the_estimate_is_weighted_by_the_sizes_of_strata():
    shares = dict(zip(KEYS, [0.9, 0.8, 1, 1, 0], strict=True))
    counts = dict(zip(KEYS, [10, 50, 30, 9, 1], strict=True))
    estimate = estimate_precision(DECISIONS, judge(DECISIONS, shares, counts))
    wanted = 0.6 * 0.9 + 0.3 * 0.8 + 0.09 + 0.009
    assert estimate.precision == pytest.approx(wanted)
    assert (estimate.n_rows, estimate.n_judged, estimate.n_unknown) == (1000, 100, 0)
    table = estimate.by_stratum.set_index(["source", "label"])
    assert table.loc[("learner", "oil"), "n_right"] == 40
    # All rows are judged: nothing is left to be unsure of.
    assert table.loc[("both", "oil"), ["low", "high"]].tolist() == [1, 1]
    assert table.loc[("gate", "oil"), ["low", "high"]].tolist() == [0, 0]
    # Wilson's interval, of 50 / (1 - 50 / 300) = 60 rows.
    assert table.loc[("learner", "oil"), "low"] == pytest.approx(0.6822, abs=1e-4)


def test_without_strata_it_is_the_interval_of_wilson():
    verdicts = {row: row > 1 for row in range(100)}
    many = pd.DataFrame({"label": "ring", "source": "rule"}, index=range(100_000))
    estimate = estimate_precision(many, verdicts, by=())
    assert estimate.precision == 0.98
    # As statsmodels.stats.proportion.proportion_confint(98, 100, method="wilson").
    assert estimate.low == pytest.approx(0.93000, abs=1e-4)
    assert estimate.high == pytest.approx(0.99449, abs=1e-4)


def test_all_rows_judged_leave_no_doubt():
    rng = np.random.default_rng(0)
    verdicts = pd.Series(rng.random(len(DECISIONS)) < 0.95, index=DECISIONS.index)
    estimate = estimate_precision(DECISIONS, verdicts, bar=0.9)
    share = verdicts[DECISIONS["source"] != "declined"].mean()
    assert estimate.low == estimate.high == estimate.precision == pytest.approx(share)
    assert estimate.passes is True and estimate.n_more == 0
    failed = estimate_precision(DECISIONS, verdicts, bar=0.99)
    assert failed.passes is False
    assert "1000 with verdicts: fails 0.99" in repr(failed)


@pytest.mark.parametrize("share", [0.88, 0.94, 0.96])
def test_as_many_more_rows_as_said_settle_it(share):
    decisions = make_decisions(("rule", "a", 5000), ("learner", "a", 5000))
    keys = [("rule", "a"), ("learner", "a")]

    def estimate(n_each):
        n_each = 50 * round(n_each / 50)  # for shares that need no rounding
        counts, shares = dict.fromkeys(keys, n_each), dict.fromkeys(keys, share)
        return estimate_precision(decisions, judge(decisions, shares, counts))

    few = estimate(50)
    assert few.passes is None and few.precision == pytest.approx(share)
    assert f"open at 0.92, about {few.n_more} more rows needed" in repr(few)
    assert estimate((few.n_judged + few.n_more) / 2 + 25).passes is (share > 0.92)
    assert estimate((few.n_judged + few.n_more) / 2 - 50).passes is None


def test_strata_without_verdicts():
    shares = {("learner", "ring"): 1, ("rule", "ring"): 1}
    counts = {("learner", "ring"): 100, ("rule", "ring"): 50}
    estimate = estimate_precision(DECISIONS, judge(DECISIONS, shares, counts))
    # The other label of the learner is taken to be alike; the other sources are not.
    assert estimate.n_unknown == 10
    assert estimate.high == 1 and estimate.precision == 1
    known = DECISIONS[~DECISIONS["source"].isin(["both", "gate"])]
    alone = estimate_precision(known, judge(known, shares, counts))
    assert alone.n_unknown == 0
    assert estimate.low == pytest.approx(alone.low * 990 / 1000)
    assert "10 of strata without" in repr(estimate)
    # A row that stands for others leaves doubt, though its own stratum is all judged.
    pair = make_decisions(("rule", "a", 1), ("rule", "b", 99))
    assert estimate_precision(pair, {"r0": True}).low < 0.3

    none = estimate_precision(DECISIONS, {})
    assert (none.low, none.high, none.passes) == (0, 1, None)
    assert none.n_unknown == 1000 and 30 < none.n_more < 60


def test_right_labels_are_compared():
    right = DECISIONS["label"].iloc[:100].copy()
    right.iloc[:5] = "a class that was not chosen"
    estimate = estimate_precision(DECISIONS, right)
    assert estimate.n_judged == 100 and estimate.precision == pytest.approx(0.95)
    for dtype in ("category", "string[pyarrow]", object):
        same = estimate_precision(DECISIONS, right.astype(dtype))
        assert same.to_frame().equals(estimate.to_frame())
    mixed = right.astype(object)
    mixed.iloc[:10] = [False] * 5 + [True] * 5
    mixed.iloc[10:20] = [None, np.nan, pd.NA, None, None] + ["ring"] * 5
    assert estimate_precision(DECISIONS, mixed).n_judged == 95
    numbers = DECISIONS.assign(label=np.arange(len(DECISIONS)) % 3)
    verdicts = pd.Series([0.0, 1.0, 2.0, 1.0], index=["r0", "r1", "r2", "r3"])
    estimate = estimate_precision(numbers, verdicts, by=())
    assert estimate.precision == 0.75
    with pytest.raises(TypeError, match="which are text; got numbers, such as 1"):
        estimate_precision(DECISIONS, {"r0": 1, "r1": 0})
    with pytest.raises(TypeError, match="which are numbers; got text, such as '1'"):
        estimate_precision(numbers, {"r0": "1"})


def test_declined_rows_do_not_count():
    declined = DECISIONS.index[DECISIONS["source"] == "declined"]
    verdicts = dict.fromkeys(DECISIONS.index[:100], True)
    one = estimate_precision(DECISIONS, verdicts)
    two = estimate_precision(DECISIONS, verdicts | dict.fromkeys(declined, False))
    assert one == two and one.n_rows == 1000


def test_as_a_table():
    estimate = estimate_precision(DECISIONS, {"r0": True, "r1": None})
    table = pd.concat([estimate.to_frame(), estimate.to_frame()])
    assert table["n_judged"].tolist() == [1, 1] and table["passes"].isna().all()
    assert table["passes"].dtype == "boolean"


@pytest.mark.parametrize(
    ("error", "message", "use"),
    [
        (
            TypeError,
            "must be a pandas DataFrame.*got list",
            lambda d: review_sample([], 3),
        ),
        (ValueError, "'n' parameter.*Got 0", lambda d: review_sample(d, 0)),
        (ValueError, "no column 'x'", lambda d: review_sample(d, 3, by="x")),
        (ValueError, "no column 'source'", lambda d: review_sample(d[["label"]], 3)),
        (
            ValueError,
            "got 'r0' more than once",
            lambda d: review_sample(pd.concat([d, d]), 3),
        ),
        (
            ValueError,
            "column 'stratum', which is to be added",
            lambda d: review_sample(review_sample(d, 9), 3),
        ),
        (TypeError, "Series or a dict.*got list", lambda d: estimate_precision(d, [1])),
        (
            ValueError,
            "does not have, such as 'x'",
            lambda d: estimate_precision(d, {"x": 1}),
        ),
        (
            ValueError,
            "several verdicts on row 'r0'",
            lambda d: estimate_precision(d, pd.Series([True] * 2, index=["r0"] * 2)),
        ),
        (
            ValueError,
            "'bar' parameter.*Got 1",
            lambda d: estimate_precision(d, {}, bar=1),
        ),
    ],
)
def test_wrong_use(error, message, use):
    with pytest.raises(error, match=message):
        use(DECISIONS)
