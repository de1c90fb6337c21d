"""Rows that are held out."""

import numpy as np

from sklearn_memgen._inputs import hold_out
from sklearn_memgen._labels import LabeledExamples


def test_hold_out_keeps_every_class_in_training():
    y = np.array([0] * 100 + [1] * 10 + [2] * 2 + [3])
    kept, held_out = hold_out(y, 0.5, np.random.RandomState(0))
    assert np.bincount(y[held_out], minlength=4).tolist() == [50, 5, 1, 0]
    assert set(y[kept]) == {0, 1, 2, 3}
    assert sorted([*kept, *held_out]) == list(range(113))
    assert len(hold_out(np.arange(5), 0.5, np.random.RandomState(0))[1]) == 0


def test_classes_of_a_few_rows_give_some_together():
    y = np.repeat(np.arange(40), 4)
    _, held_out = hold_out(y, 0.1, np.random.RandomState(0))
    assert len(held_out) == 16
    assert len(set(y[held_out])) == 16


def test_rows_are_taken_in_the_order_asked_for():
    """Also if as many are asked for as there are."""
    X, y = np.arange(4.0)[:, None], np.array([0, 1, 0, 1])
    examples = LabeledExamples(X, y, classes=np.array([0, 1]))
    for rows in ([3, 2, 1, 0], [0, 0, 1, 1], [2]):
        taken = examples.take(np.array(rows))
        assert taken.data[:, 0].tolist() == rows
        assert taken.y.tolist() == y[rows].tolist()
        assert taken.origin.rows.tolist() == rows
    assert examples.take(np.arange(4)) is examples
