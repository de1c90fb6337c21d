"""Conditions on the numbers and categories of a table, from paths of trees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from sklearn_memgen.rules.conditions import And, Condition
from sklearn_memgen.rules.features import (
    read_features,
)
from sklearn_memgen.rules.judging import match_conditions

__all__ = ["PathMiner"]

#: A forest is grown on no more rows of a class, and of all others; of these on so many
#: at least, or for each row of the class.
_MAX_ROWS = 10_000
_MIN_OTHERS = 1_000
_OTHERS_PER_ROW = 20


class PathMiner:
    """Finds conditions on a table that a class makes true, and others rarely.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The table that is mined.
    roles : dict of str or int to {"text", "number", "category"}
        Of its columns; texts are left out.
    min_count : int
        In so many rows of the class a condition holds at least.
    bars : sequence of float
        Shares of rows of the class, of those where it holds, each of which is tried.
    max_length : int
        The largest number of simple conditions in one.
    n_trees : int
        For each class.
    random_state : RandomState
        For the rows and columns that each tree sees.

    Notes
    -----
    For each class a small random forest is grown [1]_ that tells it from the others. A
    path from the root to a node is a conjunction, as in SkopeRules and RuleFit [2]_;
    taken is the first node on each path that is precise enough. Splits of one column
    become one condition, and thresholds are rounded as far as they part the same rows.
    Conditions without which a path is still precise enough are dropped one by one, that
    which leaves most rows of the class first; the path is kept as it is after each.

    References
    ----------
    .. [1] Breiman, "Random Forests", Machine Learning 45, 2001.
    .. [2] Friedman and Popescu, "Predictive Learning via Rule Ensembles", Annals of
       Applied Statistics 2, 2008.
    """

    def __init__(
        self,
        X: pd.DataFrame,
        roles: dict[str | int, str],
        *,
        min_count: int,
        bars: Sequence[float],
        max_length: int,
        n_trees: int,
        random_state: np.random.RandomState,
    ) -> None:
        self.X, self.min_count, self.bars = X, min_count, tuple(bars)
        self.max_length, self.n_trees = max_length, n_trees
        self.random_state = random_state
        self.features = read_features(X, roles, min_count)
        matrices = [feature.matrix for feature in self.features]
        self.matrix = np.hstack(matrices) if matrices else np.empty((len(X), 0))
        widths = [matrix.shape[1] for matrix in matrices]
        self._owner = np.repeat(np.arange(len(widths)), widths)
        self._place = np.concatenate([np.arange(w) for w in [0, *widths]])

    def mine(self, positive: np.ndarray, relevant: np.ndarray) -> list[Condition]:
        """Return conditions under which rows are of a class.

        Parameters
        ----------
        positive : ndarray of shape (n_rows,), bool
            Rows of the class.
        relevant : ndarray of shape (n_rows,), bool
            Rows that count, those of the class among them.

        Returns
        -------
        conditions : list of Condition
            Each once, the ones that cover most rows of the class first.
        """
        negative = relevant & ~positive
        enough = positive.sum() >= self.min_count and negative.any()
        if not enough or not self.features:
            return []
        paths = list(dict.fromkeys(self._find_paths(positive, negative)))
        terms = list(dict.fromkeys(term for path, _ in paths for term in path))
        matched = match_conditions(terms, self.X)
        holds = {
            term: np.asarray(matched[:, [j]].todense()).ravel()
            for j, term in enumerate(terms)
        }
        found: dict[Condition, int] = {}
        for path, bar in paths:
            for kept, count in self._generalize(path, bar, holds, positive, relevant):
                if len(kept) <= self.max_length and count >= self.min_count:
                    found[And.of(*kept)] = count
        return sorted(found, key=lambda condition: -found[condition])

    def _find_paths(
        self, positive: np.ndarray, negative: np.ndarray
    ) -> Iterator[tuple[tuple[Condition, ...], float]]:
        """Yield paths to nodes, and the bar that each clears."""
        some = self._draw(positive, _MAX_ROWS)
        most = min(_MAX_ROWS, max(_MIN_OTHERS, _OTHERS_PER_ROW * len(some)))
        others = self._draw(negative, most)
        rows = np.concatenate([some, others])
        # The class weighs as much as all others, so that a rare one has a say.
        weights = np.repeat([1 / len(some), 1 / len(others)], [len(some), len(others)])
        forest = RandomForestClassifier(
            self.n_trees,
            max_depth=self.max_length,
            min_samples_leaf=self.min_count,
            max_features=0.5,
            random_state=self.random_state,
        ).fit(self.matrix[rows], positive[rows], weights)
        for estimator in forest.estimators_:
            on_path = estimator.decision_path(self.matrix).T
            counts = on_path @ np.column_stack([positive, negative]).astype(np.int64)
            for bar in self.bars:
                precise = counts[:, 0] >= bar * counts.sum(axis=1)
                precise &= counts[:, 0] >= self.min_count
                for nodes in _first_nodes(estimator.tree_, precise):
                    for path in self._write(estimator.tree_, nodes):
                        yield path, bar

    def _draw(self, mask: np.ndarray, most: int) -> np.ndarray:
        rows = np.flatnonzero(mask)
        if len(rows) <= most:
            return rows
        return self.random_state.choice(rows, most, replace=False)

    def _write(
        self, tree: object, nodes: Sequence[int]
    ) -> Iterator[tuple[Condition, ...]]:
        """Yield a path as simple conditions, without missing values and with them."""
        splits: dict[int, list[tuple[int, float, bool]]] = defaultdict(list)
        for node, child in pairwise(nodes):
            column = tree.feature[node]  # type: ignore[attr-defined]
            threshold = tree.threshold[node]  # type: ignore[attr-defined]
            above = child == tree.children_right[node]  # type: ignore[attr-defined]
            splits[self._owner[column]].append((self._place[column], threshold, above))
        forms = [self.features[owner].write(each) for owner, each in splits.items()]
        yield tuple(form[0] for form in forms)
        if any(len(form) > 1 for form in forms):
            yield tuple(form[-1] for form in forms)

    def _generalize(
        self,
        path: tuple[Condition, ...],
        bar: float,
        holds: dict[Condition, np.ndarray],
        positive: np.ndarray,
        relevant: np.ndarray,
    ) -> Iterator[tuple[tuple[Condition, ...], int]]:
        """Yield a path, and what is left of it without one condition after another.

        Each with its number of rows of the class. What is left of them at the end
        covers most rows, but may no longer be precise where it was not found.
        """

        def count(terms: tuple[Condition, ...]) -> int:
            """Return how many rows of the class there are, 0 if too many others."""
            rows = np.logical_and.reduce([holds[term] for term in terms]) & relevant
            n_positive = int((rows & positive).sum())
            return n_positive if n_positive >= bar * rows.sum() else 0

        most = count(path)
        yield path, most
        while len(path) > 1:
            shorter = [path[:i] + path[i + 1 :] for i in range(len(path))]
            counts = [count(terms) for terms in shorter]
            if max(counts) < max(most, 1):
                break
            most = max(counts)
            path = shorter[counts.index(most)]
            yield path, most


def _first_nodes(tree: object, precise: np.ndarray) -> Iterator[list[int]]:
    """Yield the ways from the root to the first nodes that are precise enough."""
    ways = [[0]]
    while ways:
        way = ways.pop()
        node = way[-1]
        left = tree.children_left[node]  # type: ignore[attr-defined]
        right = tree.children_right[node]  # type: ignore[attr-defined]
        if precise[node] and len(way) > 1:
            yield way
        elif left >= 0:
            ways += [[*way, right], [*way, left]]
