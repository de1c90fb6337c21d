"""Randomization: how a net that learns a table learns what cannot be learned."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.inspection._corruptions import FEATURES, LABELS
from sklearn_memgen.inspection._random_nets import (
    FitCourse,
    corrupt_data,
    ladder_members,
    make_member,
    measure,
    measure_ladder,
)
from sklearn_memgen.inspection._regularizers import unregularized
from sklearn_memgen.inspection._subject import TRAINING_PARAMETERS, read_subject
from sklearn_memgen.inspection.randomization_display import RandomizationTestDisplay

__all__ = ["RandomizationTest", "randomization_test"]


@dataclass(frozen=True)
class RandomizationTest:
    """How nets learn data as given, and data made random.

    Parameters
    ----------
    runs : DataFrame of shape (n_nets, 9)
        A row for each net; see `to_frame`.
    curves : DataFrame of shape (n_nets * n_epochs, 6)
        `corruption`, `regularized`, `repeat`, `epoch` from 1 on, and `train_accuracy`
        and `train_loss` after it.
    ladder : DataFrame or None
        `regularized`, `n_rows`, `repeat` and the `train_accuracy` of nets that learned
        so many rows with random labels, if the capacity was asked for.
    fitted_at : float
        Training accuracy from which on labels are said to be fitted.
    n_rows, n_test_rows : int
        Numbers of labels that were learned and tested.

    See Also
    --------
    randomization_test : Trains the nets.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    ladder: pd.DataFrame | None
    fitted_at: float
    n_rows: int
    n_test_rows: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each net.

        Returns
        -------
        frame : DataFrame of shape (n_nets, 9)
            - `corruption`: what was made random; "none" is the data as given;
            - `regularized`: whether with the regularizers of the estimator;
            - `repeat`;
            - `train_accuracy`, `train_loss`: of the trained net on the labels that it
              learned, random or not; losses are means in nats;
            - `first_fitted_epoch`: the first after which the training accuracy was
              at least `fitted_at`; NaN if it never was;
            - `test_accuracy`, `test_loss`: on the test rows, with their true labels,
              and features corrupted as those of the training rows are;
            - `chance`: the test accuracy of labels that are drawn with the shares that
              the classes have among those that were learned.
        """
        return self.runs.copy()

    def means(self) -> pd.DataFrame:
        """Return the means over repeats, by `corruption` and `regularized`."""
        keys = ["corruption", "regularized"]
        groups = self.runs.drop(columns="repeat").groupby(keys, sort=False)
        return groups.mean()

    @property
    def effective_capacity(self) -> pd.Series | None:
        """The most rows with random labels that are fitted, by `regularized`.

        Those of the ladder whose mean training accuracy over repeats is at least
        `fitted_at`; 0 if there are none. If it is `n_rows` the nets might fit more.
        None if the capacity was not asked for.
        """
        if self.ladder is None:
            return None
        accuracy = self.ladder.groupby(["regularized", "n_rows"])["train_accuracy"]
        table = accuracy.mean().unstack("n_rows")
        fitted = np.where(table >= self.fitted_at, table.columns, 0).max(axis=1)
        return pd.Series(fitted, index=table.index, name="effective_capacity")

    def plot(self, ax: Any = None) -> RandomizationTestDisplay:
        """Draw training accuracy by epoch, and test accuracy.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : RandomizationTestDisplay
            The picture.
        """
        return RandomizationTestDisplay(self).plot(ax)


@validate_params(
    {
        **TRAINING_PARAMETERS,
        "corruptions": ["array-like", str],
        "partial": [Interval(Real, 0, 1, closed="right")],
        "regularizers": ["boolean"],
        "capacity": ["boolean"],
        "fitted_at": [Interval(Real, 0, 1, closed="right")],
    },
    prefer_skip_nested_validation=True,
)
def randomization_test(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    corruptions: str | Sequence[str] = (
        "labels",
        "partial_labels",
        "shuffled_features",
        "random_features",
    ),
    partial: float = 0.5,
    regularizers: bool = False,
    capacity: bool = False,
    fitted_at: float = 0.99,
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    test_fraction: float = 0.2,
    max_epochs: int | None = None,
    n_repeats: int = 1,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> RandomizationTest:
    r"""Let the same net learn data as given and data made random, and compare.

    A net that fits random labels has capacity enough to know all its rows by heart. If
    it generalizes from true labels nevertheless, it is not its size, and not a
    regularizer that was on both times, which makes it do so [1]_.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What the nets are, and how they learn; to the end, without early stopping. It
        stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
        The inputs.
    y : array-like of shape (n_rows,)
        Class labels.
    corruptions : str or sequence of str, default=all but "permuted_values"
        What is made random:

        - "labels": every label is any class, with the same probability;
        - "partial_labels": so is a share of them, `partial`;
        - "shuffled_features": the entries of a row are moved, in all rows in the same
          way. Pixels of an image lose their neighbors; a plain perceptron notices
          nothing. Of a table that an encoder made, numbers move among numbers, and ids
          and sparse features stay where they are: that a net could not notice;
        - "permuted_values": the values of each column, or entry, are dealt anew to the
          rows. Each column looks as before, but says nothing of labels or others;
        - "random_features": numbers are drawn from a normal distribution of the mean
          and variance of their column, or entry, and ids and whole numbers from those
          that the column has. Values of sparse features are drawn with their column.

        Test rows have their true labels, and features corrupted in the same way. What
        has no effect on the inputs is left out, with a warning.
    partial : float, default=0.5
        Share of the labels that "partial_labels" makes random.
    regularizers : bool, default=False
        Whether to train all nets a second time, without weight decay, dropout, average
        of weights, and the penalties, the caution and the unknown ids of a
        `WideDeepClassifier`.
    capacity : bool, default=False
        Whether to look for the most rows with random labels that the net fits: of all
        rows, a half, a quarter, down to a 64th. Fewer rows are learned for more epochs,
        so that all nets take as many steps.
    fitted_at : float, default=0.99
        Training accuracy from which on labels are said to be fitted.
    X_test, y_test : inputs of n_test_rows rows and their labels, default=None
        What to test on.
    test_fraction : float, default=0.2
        Share of the rows that are held out to test, of every class, if there is no
        `X_test`.
    max_epochs : int, default=None
        Epochs of every net; by default those of the estimator.
    n_repeats : int, default=1
        Nets of each kind. Each repeat has a seed and random labels of its own, the same
        for all kinds.
    random_state : int, RandomState instance or None, default=None
        Draws test rows, what is random, and seeds.
    strategy, n_jobs
        See `training.Population`.

    Returns
    -------
    test : RandomizationTest
        `to_frame` has a row for each net, `curves` the training accuracy by epoch,
        `effective_capacity` the rows that are fitted, and `plot` draws.

    Raises
    ------
    ValueError
        If a parameter is out of its range, a corruption is unknown, repeats or none is
        left, or data cannot be learned from.
    TypeError
        If `estimator` has no net.

    Warns
    -----
    UserWarning
        If a corruption has no effect on the inputs, and is left out.

    See Also
    --------
    finite_sample_net : A net of two layers that fits any labels, without training.

    Notes
    -----
    Rows are encoded once, by an encoder that was fitted with the labels given. Features
    are corrupted as the net sees them, once for all repeats. Training accuracy is that
    of the net in evaluation mode after each epoch. Two rows that are equal cannot both
    be fitted if their labels differ, so that not every table can be learned by heart.

    `chance` is :math:`\sum_k p_k q_k` with :math:`p_k` the share of class k among the
    labels that the net learned, and :math:`q_k` among those of the test rows.

    References
    ----------
    .. [1] Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding Deep Learning
       Requires Rethinking Generalization", 2017, https://arxiv.org/abs/1611.03530

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import randomization_test
    >>> X, y = load_iris(return_X_y=True)
    >>> net = nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 3))
    >>> model = NetClassifier(net, learning_rate=0.01, max_epochs=60)
    >>> test = randomization_test(
    ...     model, X, y, corruptions=["labels", "random_features"], random_state=0
    ... )
    >>> test.to_frame()["corruption"].tolist()
    ['none', 'labels', 'random_features']
    >>> means = test.means()["train_accuracy"].droplevel("regularized")
    >>> bool(means["none"] > means["labels"] > 0.4)  # a third is right by chance
    True
    """
    kinds = _check_corruptions(corruptions)
    subject = read_subject(
        estimator,
        X,
        y,
        X_test=X_test,
        y_test=y_test,
        test_fraction=test_fraction,
        random_state=random_state,
        strategy=strategy,
        n_jobs=n_jobs,
    )
    own = subject.estimator
    settings = {True: own, False: unregularized(own)} if regularizers else {True: own}
    if max_epochs is not None:
        settings = {
            key: copy(one).set_params(max_epochs=max_epochs)
            for key, one in settings.items()
        }
    data = corrupt_data(subject, kinds, partial, n_repeats)
    seeds = subject.rng.randint(2**31, size=n_repeats).tolist()
    keys, members, tests = [], [], []
    for kind, repeats in data.items():
        for regularized, one in settings.items():
            for repeat, (training, test) in enumerate(repeats):
                keys.append((kind, regularized, repeat))
                tests.append(test)
                members.append(
                    make_member(
                        subject,
                        one,
                        training,
                        seeds[repeat],
                        regularized=regularized,
                        callbacks=[FitCourse()],
                    )
                )
    steps = ladder_members(subject, settings, seeds) if capacity else []
    trained = subject.train([*members, *(member for _, member in steps)])
    runs, curves = [], []
    for key, member, test, result in zip(keys, members, tests, trained, strict=False):
        run, curve = measure(key, member.training, test, result, fitted_at)
        runs.append(run)
        curves.append(curve)
    return RandomizationTest(
        pd.DataFrame(runs),
        pd.concat(curves, ignore_index=True),
        measure_ladder(steps, trained[len(members) :]) if capacity else None,
        float(fitted_at),
        len(subject.codes),
        len(tests[0].targets),
    )


def _check_corruptions(corruptions: Any) -> list[str]:
    """Return the names of the corruptions."""
    known = [*LABELS, *FEATURES]
    kinds = [corruptions] if isinstance(corruptions, str) else list(corruptions)
    if not kinds:
        raise ValueError(f"corruptions must name at least one of {known}; got none")
    if strange := [kind for kind in kinds if kind not in known]:
        raise ValueError(f"corruptions must be among {known}; got {strange[0]!r}")
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"corruptions must differ from one another; got {kinds}")
    return kinds
