"""Injected noise has the rate and the direction that were asked for."""

import numpy as np
import pytest

from sklearn_memgen._label_noise import LabelNoise, draw_folds, draw_other_classes

CLASSES = np.array(["a", "b", "c"])
CODES = np.repeat([0, 1, 2], [500, 300, 200])


def rng():
    return np.random.RandomState(0)


@pytest.mark.parametrize("level", [0.1, 0.333, 0.9])
def test_exact_noise_has_the_exact_count(level):
    noisy = LabelNoise("uniform", CLASSES, exact=True).inject(CODES, level, rng())
    assert (noisy != CODES).sum() == round(level * 1000)
    assert set(noisy) == {0, 1, 2}


def test_bernoulli_noise_has_the_rate_on_average_only():
    noise = LabelNoise("uniform", CLASSES, exact=False)
    random = rng()
    counts = [(noise.inject(CODES, 0.2, random) != CODES).sum() for _ in range(40)]
    assert np.std(counts) > 5  # 12.6 are expected
    assert abs(np.mean(counts) - 200) < 8


def test_uniform_noise_takes_all_other_classes_alike():
    noisy = LabelNoise("uniform", CLASSES, exact=True).inject(CODES, 0.9, rng())
    counts = np.bincount(noisy[CODES == 0], minlength=3)
    assert abs(counts[1] - counts[2]) < 80


def test_level_zero_changes_nothing():
    noise = LabelNoise(lambda *_: pytest.fail("called"), CLASSES, exact=True)
    assert (noise.inject(CODES, 0.0, rng()) == CODES).all()


def test_matrix_says_where_labels_go_and_which_change():
    matrix = [[0.8, 0.2, 0.0], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]]
    noisy = LabelNoise(matrix, CLASSES, exact=True).inject(CODES, 0.1, rng())
    assert (noisy != CODES).sum() == 100
    assert set(noisy[CODES == 0]) == {0, 1}
    assert (noisy[CODES == 1] == 1).all()
    rates = [(noisy != CODES)[k == CODES].mean() for k in range(3)]
    assert rates[2] == pytest.approx(3 * rates[0], rel=0.3)  # 0.6 beside 0.2


def test_matrix_of_classes_that_are_not_there_changes_nothing():
    matrix = [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    noise = LabelNoise(matrix, CLASSES, exact=True)
    codes = np.zeros(10, dtype=int)
    assert (noise.inject(codes, 0.5, rng()) == codes).all()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), r"shape \(2, 2\).*\(3, 3\)"),
        (np.full((3, 3), 0.3), "sums to 0.9; each row must sum to 1"),
        ([[1.5, -0.5, 0], [0, 1, 0], [0, 0, 1]], "negative"),
        (np.eye(3), "changes no label"),
    ],
)
def test_bad_matrices_are_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        LabelNoise(matrix, CLASSES, exact=True)


def test_function_sees_labels_and_its_labels_are_taken():
    def swap(y, level, random):
        assert level == 0.4
        random.uniform()
        return np.where(y == "a", "b", y)

    noisy = LabelNoise(swap, CLASSES, exact=True).inject(CODES, 0.4, rng())
    assert (noisy == np.where(CODES == 0, 1, CODES)).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda y, level, rng: y[:-1], "shape"),
        (lambda y, level, rng: np.full(len(y), "z"), r"it returned \['z'\]"),
    ],
)
def test_functions_that_return_no_labels_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        LabelNoise(function, CLASSES, exact=True).inject(CODES, 0.4, rng())


def test_other_classes_are_other():
    assert (draw_other_classes(CODES, 3, rng()) != CODES).all()


def test_folds_are_even_in_each_class_and_leave_no_class_out():
    codes = np.append(CODES, 3)
    folds = draw_folds(codes, 10, rng())
    assert folds[-1] == -1
    for k in range(3):
        sizes = np.bincount(folds[codes == k], minlength=10)
        assert sizes.max() - sizes.min() <= 1
