"""Episodes: a few training rows of each class, and others to test on."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state, column_or_1d, indexable

from sklearn_memgen._labels import check_labels
from sklearn_memgen._sklearn import Interval, validate_params

__all__ = ["ShotSplit", "rows_by_class"]

_POSITIVE = Interval(Integral, 1, None, closed="left")


class ShotSplit(BaseCrossValidator):
    """Draw episodes: a few training rows of each class, and others to test on.

    A splitter for the `cv` of :class:`~sklearn.model_selection.GridSearchCV`,
    :func:`~sklearn.model_selection.cross_validate` and the like. Each episode draws
    `n_ways` of the classes, and of each of them `n_shots` training rows. Test rows are
    of the same classes.

    Parameters
    ----------
    n_shots : int, default=1
        Number of training rows of each class in an episode.
    n_ways : int, default=None
        Number of classes in an episode, at least 2. By default all.
    n_episodes : int, default=20
        Number of episodes, that is of splits.
    n_test : int, default=None
        Number of test rows of each class in an episode; a class that has fewer left
        gives these. By default all rows that are left.
    random_state : int, RandomState instance or None, default=None
        Determines the episodes. Pass an int for the same ones at every call of `split`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    See Also
    --------
    few_shot_curve : Compare estimators over episodes of more and more rows.

    Notes
    -----
    Training rows come in turns, one of each class, then another of each, and so on.
    For one integer `random_state`, episodes of more shots begin with the training rows
    of those of fewer: the five-shot episode adds four rows of each class to the
    one-shot episode. Test rows are taken from the other end of a class, so that with
    `n_test` they are the same for all `n_shots`, where the class has rows enough.

    Test rows of two episodes overlap, as they do in
    :class:`~sklearn.model_selection.StratifiedShuffleSplit`.

    References
    ----------
    .. [1] Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016,
       https://arxiv.org/abs/1606.04080

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_memgen import ShotSplit
    >>> X, y = load_iris(return_X_y=True)
    >>> shots = ShotSplit(n_shots=5, random_state=0)
    >>> shots
    ShotSplit(n_episodes=20, n_shots=5, n_test=None, n_ways=None, random_state=0)
    >>> train, test = next(shots.split(X, y))
    >>> y[train]
    array([2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0])
    >>> scores = cross_val_score(KNeighborsClassifier(3), X, y, cv=shots)
    >>> scores.shape
    (20,)
    >>> bool(scores.mean() > 0.8)
    True
    """

    # Groups are taken, but not asked for; see "Metadata routing" of scikit-learn.
    __metadata_request__split = {"groups": True}

    @validate_params(
        {
            "n_shots": [_POSITIVE],
            "n_ways": [Interval(Integral, 2, None, closed="left"), None],
            "n_episodes": [_POSITIVE],
            "n_test": [_POSITIVE, None],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        n_shots: int = 1,
        n_ways: int | None = None,
        n_episodes: int = 20,
        *,
        n_test: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_shots = n_shots
        self.n_ways = n_ways
        self.n_episodes = n_episodes
        self.n_test = n_test
        self.random_state = random_state

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Return an iterator over the episodes.

        Parameters
        ----------
        X : array-like of n_rows rows
            Only its length is looked at; None will do.
        y : array-like of shape (n_rows,)
            Class labels: strings, integers or booleans.
        groups : array-like of shape (n_rows,), default=None
            Rows of the group of a training row are not tested on in its episode, such
            as near-duplicates, or other visits of the same patient.

        Yields
        ------
        train : ndarray of shape (n_ways * n_shots,), int
            Training rows, in turns of the classes.
        test : ndarray of shape (n_test_rows,), int
            Test rows, in ascending order.

        Raises
        ------
        ValueError
            If there is no `y`, if it has one class or fewer than `n_ways`, if a class
            has not one row more than `n_shots`, or if in an episode groups leave a
            class without test rows.
        """
        if y is None:
            raise ValueError(
                "ShotSplit needs the classes of the rows in y, but the target y is None"
            )
        classes, rows = rows_by_class(y)
        _, _, groups = indexable(X, y, groups)
        if self.n_ways is not None and self.n_ways > len(classes):
            raise ValueError(
                f"n_ways={self.n_ways} classes are to be drawn, but y has "
                f"{len(classes)}"
            )
        smallest = min(range(len(rows)), key=lambda code: len(rows[code]))
        if len(rows[smallest]) <= self.n_shots:
            raise ValueError(
                f"n_shots={self.n_shots} and a test row take {self.n_shots + 1} rows "
                f"of each class, but class {classes[smallest]!r} has "
                f"{len(rows[smallest])}"
            )
        codes = None
        if groups is not None:
            codes = np.unique(column_or_1d(groups), return_inverse=True)[1]
        return self._episodes(classes, rows, codes)

    def _episodes(
        self, classes: list[Any], rows: list[np.ndarray], groups: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw; `rows` are those of each of the `classes`, `groups` those of all."""
        rng = check_random_state(self.random_state)
        for _ in range(self.n_episodes):
            # What is drawn does not depend on n_shots and n_test: see the notes.
            drawn = rng.permutation(len(classes))[: self.n_ways]
            orders = [rng.permutation(rows[code]) for code in drawn]
            train = np.column_stack([order[: self.n_shots] for order in orders]).ravel()
            rest = [order[: self.n_shots - 1 : -1] for order in orders]
            if groups is not None:
                taken = groups[train]
                rest = [left[~np.isin(groups[left], taken)] for left in rest]
                for code, left in zip(drawn, rest, strict=True):
                    if not len(left):
                        raise ValueError(
                            f"class {classes[code]!r} has no row to test on whose "
                            "group has no training row in the episode"
                        )
            test = np.concatenate([left[: self.n_test] for left in rest])
            yield train, np.sort(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of episodes.

        Parameters
        ----------
        X, y, groups : object
            Not used; scikit-learn passes them.

        Returns
        -------
        n_splits : int
            `n_episodes`.
        """
        return self.n_episodes


def rows_by_class(y: ArrayLike) -> tuple[list[Any], list[np.ndarray]]:
    """Return the classes, sorted, and the rows of each."""
    labels = check_labels(y)
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must have at least 2 classes; got {len(classes)}: {classes.tolist()!r}"
        )
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    return classes.tolist(), rows
