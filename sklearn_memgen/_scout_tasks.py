"""What scouts are sent to learn: classes, clusters of rows, columns, or any rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.utils.random import sample_without_replacement

__all__ = [
    "ScoutTask",
    "choose_kind",
    "column_tasks",
    "count_scouts",
    "draw_subsets",
    "find_clusters",
    "group_tasks",
    "user_tasks",
]

#: Clusters that rows are put in, as many as the digits of the paper's experiment.
_N_CLUSTERS = 10
#: Rows that centers of clusters are found in.
_MOST_ROWS = 10_000


@dataclass(frozen=True)
class ScoutTask:
    """What one scout learns.

    Parameters
    ----------
    name : tuple or int
        Its classes, clusters or columns, or its number.
    rows : ndarray of int or None
        The rows; None for all.
    cells : tuple of int or None
        The columns to predict; None for all.
    """

    name: Any
    rows: np.ndarray | None = None
    cells: tuple[int, ...] | None = None


def choose_kind(
    wanted: str | Callable[..., Any],
    objective: str,
    *,
    n_classes: int | None,
    n_cells: int | None,
    size: int,
) -> str:
    """Return the kind of tasks: "classes", "clusters", "columns" or "task".

    Parameters
    ----------
    wanted : str or callable
        The parameter `scout_tasks`.
    objective : {"supervised", "masked"}
        What the source learns.
    n_classes, n_cells : int or None
        Number of classes, and of columns that can be predicted, if there are such.
    size : int
        Classes, clusters or columns a scout.

    Raises
    ------
    ValueError
        If there are no classes or columns to choose from.
    """
    if callable(wanted):
        return "task"
    if wanted == "classes" and n_classes is None:
        raise ValueError(
            "scout_tasks='classes' needs objective='supervised'; got "
            f"objective={objective!r}"
        )
    if wanted == "columns" and n_cells is None:
        raise ValueError(
            "scout_tasks='columns' lets scouts predict some columns of a table, for "
            "which it needs objective='masked' and no module"
        )
    if wanted != "auto":
        return wanted
    if n_classes is not None and n_classes > size:
        return "classes"
    if n_cells is not None and n_cells > size:
        return "columns"
    return "clusters"


def count_scouts(n_scouts: int | str, n_groups: int, size: int, kind: str) -> int:
    """Return how many scouts there are to be, by their parameter `n_scouts`.

    Raises
    ------
    ValueError
        If a scout is to have more groups than there are, or there are fewer subsets
        than scouts.
    """
    if size > n_groups:
        raise ValueError(
            f"classes_per_scout={size} is more than the {n_groups} {kind} there are"
        )
    n_subsets = math.comb(n_groups, size)
    if isinstance(n_scouts, str):
        return n_subsets
    if n_scouts > n_subsets:
        raise ValueError(
            f"n_scouts={n_scouts} is more than the {n_subsets} different choices of "
            f"{size} out of {n_groups} {kind}; n_scouts='all' takes all of them"
        )
    return n_scouts


def draw_subsets(
    n_scouts: int | str,
    n_groups: int,
    size: int,
    kind: str,
    rng: np.random.RandomState,
) -> list[tuple[int, ...]]:
    """Draw different subsets of the numbers below `n_groups`, or return all of them.

    Parameters
    ----------
    n_scouts : int or "all"
        How many.
    n_groups, size : int
        How many numbers there are, and how many are in a subset.
    kind : str
        What is counted, for messages.
    rng : RandomState
        Draws them.

    Raises
    ------
    ValueError
        See `count_scouts`.
    """
    n_wanted = count_scouts(n_scouts, n_groups, size, kind)
    n_subsets = math.comb(n_groups, size)
    if n_wanted == n_subsets:
        return list(itertools.combinations(range(n_groups), size))
    if n_subsets < 2**31:
        ranks = sample_without_replacement(n_subsets, n_wanted, random_state=rng)
        return [_unrank(int(rank), n_groups, size) for rank in np.sort(ranks)]
    # So many that hardly any is drawn twice.
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < n_wanted:
        chosen = rng.choice(n_groups, size, replace=False)
        drawn.add(tuple(sorted(int(group) for group in chosen)))
    return sorted(drawn)


def _unrank(rank: int, n_groups: int, size: int) -> tuple[int, ...]:
    """Return the subset at a place in the order of `itertools.combinations`."""
    subset: list[int] = []
    group = 0
    while len(subset) < size:
        n_with = math.comb(n_groups - group - 1, size - len(subset) - 1)
        if rank < n_with:
            subset.append(group)
        else:
            rank -= n_with
        group += 1
    return tuple(subset)


def find_clusters(features: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return the cluster of each row, by k-means.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
        Features of the rows.
    rng : RandomState
        Draws the first centers, and the rows that they are found in if there are many.

    Returns
    -------
    clusters : ndarray of shape (n_rows,)
        Numbers from 0, ten at most.
    """
    sample = features
    if len(features) > _MOST_ROWS:
        sample = features[rng.choice(len(features), _MOST_ROWS, replace=False)]
    n_clusters = min(_N_CLUSTERS, len(np.unique(sample, axis=0)))
    means = KMeans(n_clusters, n_init=1, random_state=rng.randint(2**31)).fit(sample)
    return means.predict(features)


def group_tasks(
    groups: np.ndarray, names: Sequence[Any], subsets: Sequence[tuple[int, ...]]
) -> list[ScoutTask]:
    """Send scouts to the rows of some groups.

    Parameters
    ----------
    groups : ndarray of shape (n_rows,)
        The group of each row.
    names : sequence
        Names of the groups.
    subsets : sequence of tuple of int
        The groups of each scout.
    """
    return [
        ScoutTask(
            tuple(names[group] for group in subset),
            np.flatnonzero(np.isin(groups, subset)),
        )
        for subset in subsets
    ]


def column_tasks(
    columns: Sequence[str], cells: Sequence[int], subsets: Sequence[tuple[int, ...]]
) -> list[ScoutTask]:
    """Send scouts to predict some columns of all rows.

    Parameters
    ----------
    columns : sequence of str
        Names of all cells of a row.
    cells : sequence of int
        Those that can be predicted.
    subsets : sequence of tuple of int
        Which of `cells` each scout predicts.
    """
    chosen = [tuple(cells[place] for place in subset) for subset in subsets]
    return [
        ScoutTask(tuple(columns[cell] for cell in some), cells=some) for some in chosen
    ]


def user_tasks(
    function: Callable[..., Any],
    X: Any,
    y: Any,
    n_scouts: int | str,
    rng: np.random.RandomState,
    *,
    places: np.ndarray,
) -> list[ScoutTask]:
    """Ask a user's function for the rows of each scout.

    Parameters
    ----------
    function : callable
        The parameter `scout_tasks`.
    X, y, n_scouts, rng
        What it is called with.
    places : ndarray of shape (n_given_rows,)
        Where each row of `X` is among those that can be learned; -1 for rows of weight
        zero.

    Raises
    ------
    ValueError
        If it returns no scouts, a scout without rows, or rows that do not exist.
    """
    name = getattr(function, "__name__", repr(function))
    tasks = []
    for number, wanted in enumerate(function(X, y, n_scouts, rng)):
        rows = np.asarray(wanted)
        if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
            raise ValueError(
                f"scout_tasks={name} must return one-dimensional arrays of row "
                f"numbers; that of scout {number} has the shape {rows.shape} and the "
                f"dtype {rows.dtype}"
            )
        rows = rows.astype(np.int64)
        outside = rows[(rows < 0) | (rows >= len(places))]
        if len(outside):
            raise ValueError(
                f"scout_tasks={name} returned row {outside[0]} for scout {number}, but "
                f"X has {len(places)} rows, from 0"
            )
        rows = places[rows]
        rows = rows[rows >= 0]
        if not len(rows):
            raise ValueError(
                f"scout_tasks={name} returned no rows for scout {number}, or only rows "
                "of weight zero"
            )
        tasks.append(ScoutTask(number, rows))
    if not tasks:
        raise ValueError(f"scout_tasks={name} returned no scouts")
    return tasks
