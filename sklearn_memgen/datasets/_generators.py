"""A table whose rows are known to be general, exceptions or noise."""

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sklearn_memgen._sklearn import Interval, validate_params

PARTS = ("general", "exception", "noise")

# Shares of the variance of a class score. The waves are the larger part, or a
# linear model would do; the categories are the smaller part, or some pairs of them
# would settle the class and leave no rows to contradict.
LINEAR_SHARE, WAVE_SHARE, CATEGORY_SHARE = 0.2, 0.6, 0.2
# Rows on which the class scores are centered and scaled; fixed, so that the rule
# depends on the seed and the columns but not on the number of rows asked for.
N_PILOT = 10_000
# Without `n_exceptions`, an exception pair has about this many rows or more.
ROWS_PER_PAIR = 10


@dataclass(frozen=True)
class _SmoothRule:
    """The class with the largest score, where each score is a smooth function.

    The score of a class is a linear term, plus one wave over each two neighboring
    numeric columns (nonlinear, and not additive), plus one effect per category. There
    are no interactions of categories: those are left to the exceptions.
    """

    linear: np.ndarray  # (n_numeric, n_classes)
    frequencies: np.ndarray  # (2, n_numeric, n_classes)
    phases: np.ndarray  # (n_numeric, n_classes)
    effects: np.ndarray  # (n_categorical, n_categories, n_classes)
    center: np.ndarray | float = 0.0  # (n_classes,)
    scale: np.ndarray | float = 1.0  # (n_classes,)

    @classmethod
    def draw(cls, rng, n_numeric, n_categorical, n_categories, n_classes):
        """Draw a rule under which the classes are about equally frequent."""
        # Every column tells the classes apart: the same weights, in another order.
        slopes = np.linspace(-1, 1, n_classes)
        slopes /= slopes.std()
        order = rng.uniform(size=(n_numeric, n_classes)).argsort(axis=1)
        frequencies = rng.uniform(0.6, 1.4, size=(2, n_numeric, n_classes))
        phases = rng.uniform(0, 2 * np.pi, size=(n_numeric, n_classes))
        effects = rng.uniform(-1, 1, size=(n_categorical, n_categories, n_classes))
        effects -= effects.mean(axis=1, keepdims=True)
        effects /= effects.std(axis=1, keepdims=True)
        # Of few categorical columns, none may take all of the share: see above.
        n_sharing = max(n_categorical, 4)
        raw = cls(
            linear=slopes[order] * np.sqrt(LINEAR_SHARE / n_numeric),
            frequencies=frequencies,
            phases=phases,
            effects=effects * np.sqrt(CATEGORY_SHARE / n_sharing),
        )
        numeric = rng.standard_normal((N_PILOT, n_numeric))
        codes = rng.randint(n_categories, size=(N_PILOT, n_categorical))
        scores = raw.scores(numeric, codes)
        return replace(raw, center=scores.mean(axis=0), scale=scores.std(axis=0))

    def scores(self, numeric, codes):
        """Score of each class, shape (n_samples, n_classes)."""
        n_numeric = numeric.shape[1]
        # A cosine of a random phase has variance 1/2, hence the factor 2.
        height = np.sqrt(2 * WAVE_SHARE / n_numeric)
        scores = numeric @ self.linear
        for j in range(n_numeric):
            k = (j + 1) % n_numeric
            wave = np.multiply.outer(numeric[:, j], self.frequencies[0, j])
            wave += np.multiply.outer(numeric[:, k], self.frequencies[1, j])
            wave += self.phases[j]
            scores += height * np.cos(wave)
        for effect, code in zip(self.effects, codes.T, strict=True):
            scores += effect[code]
        return (scores - self.center) / self.scale

    def labels(self, numeric, codes):
        """Class of each row, shape (n_samples,)."""
        return self.scores(numeric, codes).argmax(axis=1)


def _exception_pairs(rng, n_exceptions, n_categories, n_classes):
    """Draw pairs of levels and the class of each, balanced level by level.

    Think of a square with the levels of the first column as rows and of the second
    as columns, both shuffled. Pairs lie on its diagonals, and each diagonal has one
    class, so that each diagonal meets every level of both columns once. With
    `n_classes` whole diagonals, or a multiple, each level is in equally many
    exceptions of every class and tells nothing about them by itself.

    Returns
    -------
    pairs : ndarray of shape (n_exceptions, 2)
    labels : ndarray of shape (n_exceptions,)
    """
    first, second = rng.permutation(n_categories), rng.permutation(n_categories)
    block, rest = np.divmod(np.arange(n_exceptions), n_categories * n_classes)
    row, labels = np.divmod(rest, n_classes)
    diagonal = block * n_classes + labels
    pairs = np.column_stack([first[row], second[(row + diagonal) % n_categories]])
    return pairs, labels


def _other_pairs(rng, pairs, n_rows, n_categories):
    """Draw pairs of levels, uniformly out of those that are not in `pairs`."""
    free = np.ones((n_categories, n_categories), dtype=bool)
    free[pairs[:, 0], pairs[:, 1]] = False
    free = np.argwhere(free)
    return free[rng.randint(len(free), size=n_rows)]


def _check_sizes(n_exceptions, n_exception_rows, n_categories, n_classes):
    """Return the number of exception pairs, or say which sizes do not fit."""
    if n_categories < 2 * n_classes:
        raise ValueError(
            f"n_categories must be at least twice n_classes={n_classes}, so that the "
            f"exceptions of all classes can be spread; got {n_categories}."
        )
    if n_exception_rows == 0:
        return 0
    at_most = n_categories**2 // 2
    if n_exceptions is None:
        balanced = n_classes * n_categories
        n_exceptions = min(n_exception_rows // ROWS_PER_PAIR, 2 * balanced, at_most)
        if n_exceptions > balanced:
            n_exceptions -= n_exceptions % balanced
        return max(1, n_exceptions)
    if n_exceptions > at_most:
        raise ValueError(
            f"n_exceptions must be at most half of the {n_categories**2} pairs of "
            f"categories, that is {at_most}; got {n_exceptions}."
        )
    if n_exception_rows < 2 * n_exceptions:
        raise ValueError(
            f"n_exceptions={n_exceptions} pairs cannot repeat in {n_exception_rows} "
            f"exception rows: expected at most {n_exception_rows // 2} pairs. Raise "
            "n_samples or exception_fraction, or lower n_exceptions."
        )
    return n_exceptions


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_numeric": [Interval(Integral, 1, None, closed="left")],
        "n_categorical": [Interval(Integral, 2, None, closed="left")],
        "n_categories": [Interval(Integral, 4, None, closed="left")],
        "n_exceptions": [Interval(Integral, 1, None, closed="left"), None],
        "exception_fraction": [Interval(Real, 0, 1, closed="left")],
        "noise": [Interval(Real, 0, 1, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "return_parts": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_memgen_classification(
    n_samples: int = 10_000,
    *,
    n_numeric: int = 6,
    n_categorical: int = 4,
    n_categories: int = 32,
    n_exceptions: int | None = None,
    exception_fraction: float = 0.15,
    noise: float = 0.05,
    n_classes: int = 2,
    random_state: int | np.random.RandomState | None = None,
    return_parts: bool = False,
) -> tuple[pd.DataFrame, pd.Series] | tuple[pd.DataFrame, pd.Series, pd.Series]:
    r"""Make a mixed table whose rows are general, exceptions or noise.

    The label of a row comes about in one of three ways, and which one is known:

    - *general* rows follow a smooth rule over all columns, to be generalized;
    - *exception* rows have a pair of categories in `cat_0` and `cat_1` that always
      has the same label, against the rule, in every row: worth memorizing;
    - *noise* rows have a label other than the rule's, at random: not worth
      memorizing.

    Scored apart, they show what a model generalizes and what it memorizes. On rows
    not seen in training, a model of the rule alone is right on general rows and
    wrong on exceptions, and one that looks up the pair is right on exceptions. Noise
    rows should then get the label of the rule, that is, be counted as errors; where
    a model is right on the noise rows of its training data, it memorized them.

    Parameters
    ----------
    n_samples : int, default=10000
        Number of rows.
    n_numeric : int, default=6
        Number of numeric columns `num_0`, `num_1`, ..., at least 1. They are
        independent and standard normal, but for what the exceptions select.
    n_categorical : int, default=4
        Number of categorical columns `cat_0`, `cat_1`, ..., at least 2. The
        exceptions are pairs of `cat_0` and `cat_1`; the others, as these two, have
        an effect of their own on the rule.
    n_categories : int, default=32
        Number of levels `level_00`, `level_01`, ... of each categorical column, at
        least `2 * n_classes`.
    n_exceptions : int, default=None
        Number of pairs of `cat_0` and `cat_1` that are exceptions, at most half of
        all pairs. Each has the same number of rows, give or take one, and at least
        two. By default as many as can have ten rows each, at most
        `2 * n_classes * n_categories`. In multiples of `n_classes * n_categories`,
        to which the default is rounded down where it is larger than one, each
        single category has equally many exceptions of every class, and so tells
        nothing about them. Not used where there are no exception rows.
    exception_fraction : float, default=0.15
        Fraction of the rows that are exceptions, in [0, 1).
    noise : float, default=0.05
        Fraction of the rows that are noise, in [0, 1). Together with
        `exception_fraction` it must be less than 1.
    n_classes : int, default=2
        Number of classes, at least 2. They are about equally frequent.
    random_state : int, RandomState instance or None, default=None
        Determines the rule, the exceptions and the rows. Pass an int for the same
        table at every call.
    return_parts : bool, default=False
        Whether to return the part of each row too.

    Returns
    -------
    X : DataFrame of shape (n_samples, n_numeric + n_categorical)
        float64 numeric columns, then string columns. No value is missing.
    y : Series of shape (n_samples,)
        Integer labels from 0 to `n_classes - 1`, named `target`.
    parts : Series of shape (n_samples,)
        `"general"`, `"exception"` or `"noise"`, named `part`. Only returned where
        `return_parts=True`. The counts of exceptions and of noise are exact: the
        fraction times `n_samples`, rounded.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the sizes do not fit together.

    Notes
    -----
    The rule gives a row :math:`x` the class :math:`c` with the largest score

    .. math::

        s_c(x) = \sum_j a_{cj} x_j
               + \sum_j h \cos(u_{cj} x_j + v_{cj} x_{j+1} + b_{cj})
               + \sum_k e_{ck}(z_k),

    standardized per class, where :math:`x_j` are the numbers (the last one's
    neighbor is the first) and :math:`z_k` the categories. It has interactions of
    numbers, but none of categories.

    Exception pairs are drawn first, with their labels; the other columns of an
    exception row are then drawn until the rule gives the row another class. No
    general or noise row has an exception pair.

    For one integer `random_state`, the rule and the first pairs in the list of
    exceptions do not depend on `n_samples`, and tables with different `noise` are
    the same but for the labels of the noise rows; a lower noise has a subset of the
    noise rows of a higher one.

    That rare but repeating cases must be memorized for the least error is argued in
    [1]_; memorizing pairs of categories beside a model that generalizes is the idea
    of [2]_.

    References
    ----------
    .. [1] V. Feldman, "Does learning require memorization? A short tale about a
       long tail", STOC 2020.
    .. [2] H.-T. Cheng et al., "Wide & deep learning for recommender systems",
       DLRS 2016.

    Examples
    --------
    >>> from sklearn_memgen.datasets import make_memgen_classification
    >>> X, y, parts = make_memgen_classification(
    ...     n_numeric=2, n_categorical=3, random_state=0, return_parts=True
    ... )
    >>> X.head(3).round(2)
       num_0  num_1     cat_0     cat_1     cat_2
    0  -1.52  -0.82  level_16  level_11  level_30
    1  -1.42  -0.70  level_27  level_26  level_00
    2  -0.04   1.92  level_14  level_22  level_05
    >>> parts.value_counts().to_dict()
    {'general': 8000, 'exception': 1500, 'noise': 500}

    The exceptions repeat, and each has one label:

    >>> pairs = y[parts == "exception"].groupby([X["cat_0"], X["cat_1"]])
    >>> pairs.agg(["size", "nunique", "first"]).head(3)
                       size  nunique  first
    cat_0    cat_1
    level_00 level_01    12        1      1
             level_02    12        1      0
             level_20    12        1      0
    """
    if not exception_fraction + noise < 1:
        raise ValueError(
            "exception_fraction + noise must be less than 1; got "
            f"exception_fraction={exception_fraction} and noise={noise}."
        )
    n_exception_rows = round(exception_fraction * n_samples)
    n_exceptions = _check_sizes(n_exceptions, n_exception_rows, n_categories, n_classes)
    rng = check_random_state(random_state)
    rule = _SmoothRule.draw(rng, n_numeric, n_categorical, n_categories, n_classes)
    pairs, pair_labels = _exception_pairs(rng, n_exceptions, n_categories, n_classes)

    order = rng.permutation(n_samples)
    exceptional, ordinary = order[:n_exception_rows], order[n_exception_rows:]
    numeric = rng.standard_normal((n_samples, n_numeric))
    codes = rng.randint(n_categories, size=(n_samples, n_categorical))
    codes[ordinary, :2] = _other_pairs(rng, pairs, len(ordinary), n_categories)
    pair_of_row = np.arange(n_exception_rows) % max(n_exceptions, 1)
    codes[exceptional, :2] = pairs[pair_of_row]
    labels = rule.labels(numeric, codes)

    # Draw again what surrounds an exception until it contradicts the rule.
    agreeing = np.flatnonzero(labels[exceptional] == pair_labels[pair_of_row])
    while len(agreeing):
        rows = exceptional[agreeing]
        numeric[rows] = rng.standard_normal((len(rows), n_numeric))
        codes[rows, 2:] = rng.randint(n_categories, size=(len(rows), n_categorical - 2))
        labels[rows] = rule.labels(numeric[rows], codes[rows])
        agreeing = agreeing[labels[rows] == pair_labels[pair_of_row[agreeing]]]
    labels[exceptional] = pair_labels[pair_of_row]

    # Last of all, so that other amounts of noise leave the rest as it is.
    noisy = ordinary[: round(noise * n_samples)]
    labels[noisy] += rng.randint(1, n_classes, size=len(noisy))
    labels[noisy] %= n_classes

    X = pd.DataFrame(numeric, columns=[f"num_{j}" for j in range(n_numeric)])
    width = max(2, len(str(n_categories - 1)))
    levels = pd.Index([f"level_{i:0{width}d}" for i in range(n_categories)])
    for j in range(n_categorical):
        X[f"cat_{j}"] = levels.take(codes[:, j])
    y = pd.Series(labels, name="target", dtype="int64")
    if not return_parts:
        return X, y
    part_codes = np.zeros(n_samples, dtype=np.intp)
    part_codes[exceptional] = PARTS.index("exception")
    part_codes[noisy] = PARTS.index("noise")
    return X, y, pd.Series(pd.Index(PARTS).take(part_codes), name="part")
