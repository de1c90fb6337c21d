"""Target statistics: what the rows of an id were like, never what a row itself is."""

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.tables.ids import IdColumn
from sklearn_memgen.tables.statistics import N_FOLDS, TargetStatistic, cross_fit

PRIOR_ROWS = 10


def draw(n_rows=600, n_classes=2, seed=0, n_values=20):
    rng = np.random.default_rng(seed)
    values = pd.Series(rng.integers(0, n_values, n_rows).astype(str), name="city")
    y = (rng.random(n_rows) * n_classes).astype(int)
    y = np.where(rng.random(n_rows) < 0.5, values.astype(int) % n_classes, y)
    folds = rng.permutation(n_rows) % N_FOLDS
    return values, y, folds


def fit(values, y, folds, weights=None, n_classes=2, min_frequency=2):
    column = IdColumn.fit(values, "category", weights, min_frequency=min_frequency)
    ids = column.encode(values)
    return ids, *TargetStatistic.fit(column, ids, y, weights, folds, n_classes)


def reference(ids, target, prior, weights, rows):
    """Shrunken means by id, and the numbers of rows, by `groupby`."""
    frame = pd.DataFrame(target * weights[:, None])[rows]
    frame["n"] = weights[rows]
    sums = frame.groupby(ids[rows]).sum()
    counts = sums.pop("n")
    means = (sums + PRIOR_ROWS * prior).div(counts + PRIOR_ROWS, axis=0)
    return means, counts


def described(means, counts, prior, numeric=False):
    if not numeric:
        means = np.log(means) - np.log(prior)
        if len(prior) == 2:
            means = (means[1] - means[0]).to_frame()
    return np.column_stack([means, np.log1p(counts) / 4 - 1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_all_rows_and_those_of_other_folds(n_classes, weighted):
    """The table by all rows of an id, a training row by those of the other folds."""
    values, y, folds = draw(n_classes=n_classes)
    weights = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    weights = weights if weighted else np.ones(len(y))
    ids, statistic, cross_fitted = fit(
        values, y, folds, weights if weighted else None, n_classes
    )
    target = np.eye(n_classes)[y]
    prior = weights @ target + 0.5
    prior /= prior.sum()
    every = np.ones(len(y), dtype=bool)
    means, counts = reference(ids, target, prior, weights, every)
    np.testing.assert_allclose(
        statistic.table[means.index], described(means, counts, prior), rtol=1e-4
    )
    for fold in range(N_FOLDS):
        means, counts = reference(ids, target, prior, weights, folds != fold)
        expected = described(means, counts, prior)
        rows = np.flatnonzero(folds == fold)
        at = means.index.get_indexer(ids[rows])
        np.testing.assert_allclose(cross_fitted[rows], expected[at], rtol=1e-4)
    assert cross_fitted.shape == (len(y), (1 if n_classes == 2 else n_classes) + 1)
    assert cross_fitted.dtype == statistic.table.dtype == np.float32


def test_a_numeric_target():
    values, y, folds = draw(n_classes=5)
    y = 1000.0 * y + 7
    ids, statistic, cross_fitted = fit(values, y, folds, n_classes=0)
    ones, prior = np.ones(len(y)), np.zeros(1)
    target = ((y - y.mean()) / y.std())[:, None]
    means, counts = reference(ids, target, prior, ones, ones == 1)
    np.testing.assert_allclose(
        statistic.table[means.index],
        described(means, counts, prior, numeric=True),
        rtol=1e-3,
        atol=1e-6,
    )
    means, counts = reference(ids, target, prior, ones, folds != 0)
    rows = np.flatnonzero(folds == 0)
    at = means.index.get_indexer(ids[rows])
    np.testing.assert_allclose(
        cross_fitted[rows],
        described(means, counts, prior, numeric=True)[at],
        rtol=1e-3,
        atol=1e-6,
    )


@pytest.mark.parametrize("numeric", [False, True])
def test_a_label_has_no_effect_on_its_own_row(numeric):
    """Nor have those of its fold: shuffled there, they change the other folds only."""
    values, y, folds = draw(n_classes=3)
    y = y.astype(float) if numeric else y
    shuffled, inside = y.copy(), np.flatnonzero(folds == 2)
    shuffled[inside] = np.random.default_rng(0).permutation(y[inside])
    assert (shuffled != y).any()
    _, _, before = fit(values, y, folds, n_classes=3)
    _, _, after = fit(values, shuffled, folds, n_classes=3)
    np.testing.assert_array_equal(before[inside], after[inside])
    assert (before[folds != 2] != after[folds != 2]).any()


def test_nothing_to_learn_from_unique_values():
    """Full statistics of unique values tell each label; cross-fitted ones tell none."""
    y = np.arange(500) % 2
    values = pd.Series(np.arange(500).astype(str), name="name")
    folds = np.random.default_rng(0).permutation(500) % N_FOLDS
    ids, statistic, cross_fitted = fit(values, y, folds, min_frequency=1)
    assert (np.sign(statistic.transform(ids)[:, 0]) == 2 * y - 1).all()
    assert (cross_fitted == cross_fitted[0]).all() and cross_fitted[0].tolist() == [
        0,
        -1,
    ]


def test_rows_of_weight_two_are_rows_seen_twice():
    """In the same fold; the prior has half a row of each class beside them."""
    values, y, folds = draw()
    weights = np.random.default_rng(1).integers(1, 4, len(y))
    _, weighted, cross_fitted = fit(values, y, folds, weights.astype(float))
    _, repeated, cross_repeated = fit(
        values.repeat(weights).reset_index(drop=True),
        y.repeat(weights),
        folds.repeat(weights),
    )
    # Values of the same frequency may be numbered otherwise: compare them by value.
    assert weighted.source.vocabulary.keys.tolist() == (
        repeated.source.vocabulary.keys.tolist()
    )
    np.testing.assert_allclose(weighted.table, repeated.table, rtol=1e-5)
    np.testing.assert_allclose(
        cross_fitted.repeat(weights, axis=0), cross_repeated, rtol=1e-5
    )


def test_an_id_without_rows_has_the_prior():
    """The unknown id of a column without rare values, and ids that came later."""
    values, y, folds = draw()
    ids, statistic, _ = fit(values, y, folds)
    assert (ids > 0).all()
    assert statistic.transform(np.array([0])).tolist() == [[0, -1]]
    more = statistic.source.extend(
        pd.Series(["new"] * 3, name="city"), None, min_frequency=2
    )
    extended = statistic.extend(more)
    assert len(extended.table) == len(statistic.table) + 1
    assert extended.table[-1].tolist() == [0, -1]
    np.testing.assert_array_equal(extended.table[:-1], statistic.table)


def test_rare_values_share_the_statistics_of_the_unknown_id():
    values, y, folds = draw(200)
    values[:30], y[:30] = [f"rare {i}" for i in range(30)], 1
    ids, statistic, cross_fitted = fit(values, y, folds)
    assert (ids[:30] == 0).all()
    assert statistic.table[0, 0] > 0.5 and (cross_fitted[:30, 0] > 0.5).all()


def test_weights_that_tell_the_class_do_not_leak():
    """Unique values of heavy rows have ids, those of light rows are unknown ones."""
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.1).astype(int)
    values = pd.Series([f"name {i}" for i in range(4000)], name="name")
    weights = np.where(y == 1, 5.0, 0.5)
    for target in (y, y.astype(float)):
        ids, _, cross_fitted = fit(
            values, target, rng.permutation(4000) % N_FOLDS, weights
        )
        assert ((ids > 0) == (y == 1)).all()  # the leak is there,
        statistic = cross_fitted[:, 0]  # and has no effect but that of the folds
        assert abs(statistic[y == 1].mean() - statistic[y == 0].mean()) < 0.01


def test_an_update_keeps_ids_that_did_not_occur():
    values, y, folds = draw()
    ids, statistic, _ = fit(values, y, folds)
    seen = ids < 5
    newer, _ = TargetStatistic.fit(
        statistic.source, ids[seen], 1 - y[seen], None, folds[seen], 2
    )
    updated = statistic.update(newer, ids[seen])
    np.testing.assert_array_equal(updated.table[5:], statistic.table[5:])
    np.testing.assert_array_equal(updated.table[2:5], newer.table[2:5])
    np.testing.assert_array_equal(updated.table[:2], statistic.table[:2])


def test_cross_fit_sums_over_other_folds():
    codes = np.array([0, 0, 0, 1, 1])
    folds = np.array([0, 1, 1, 0, 0])
    values, weights = (
        np.array([[1.0], [2], [4], [8], [16]]),
        np.array([1.0, 1, 2, 1, 1]),
    )
    sums, counts = cross_fit(codes, values, weights, folds, 2)
    assert sums[:, 0].tolist() == [10, 1, 1, 0, 0]
    assert counts.tolist() == [3, 1, 1, 0, 0]
