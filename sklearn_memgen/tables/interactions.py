"""What goes in by its target statistics: whole rows, crosses, and many values."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from sklearn_memgen.tables.crosses import Cross, crossed_part
from sklearn_memgen.tables.id_space import IdReader
from sklearn_memgen.tables.ids import IdColumn, has_many_values
from sklearn_memgen.tables.screening import explained, find_crosses
from sklearn_memgen.tables.statistics import N_FOLDS, TargetStatistic
from sklearn_memgen.tables.whole_rows import WholeRow

__all__ = ["fit_statistics", "refit_statistics"]

#: Most pairs, and most triples, that are looked for; and most numbers that all
#: statistics make together.
_MAX_CROSSES, _MAX_NUMBERS = 8, 64
#: The share of the rows that must repeat for whole rows to be looked at, and the
#: standard errors by which what they explain must be above zero.
_MIN_REPEATED, _MIN_ERRORS = 0.01, 3.0
#: In fewer rows a row that repeats is more often one that was drawn twice, as in a
#: bootstrap, than one that comes back.
_FEWEST_ROWS = 1000
_EVIDENCE = ["column", "kind", "n_values", "memorized", "gain", "standard_error"]


def fit_statistics(
    columns: dict[Hashable, pd.Series],
    kinds: dict[Hashable, str],
    id_columns: dict[str, IdColumn],
    y: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.RandomState,
    *,
    n_classes: int,
    min_frequency: float,
    n_buckets: int,
) -> tuple[dict[str, TargetStatistic], np.ndarray, pd.DataFrame]:
    """Find what deserves target statistics, and learn them.

    Parameters
    ----------
    columns : dict of Series of shape (n_rows,)
        The columns of the table, as `read_columns` returns them.
    kinds : dict of str
        Kinds by column label.
    id_columns : dict of str to IdColumn
        Ids that columns have already; they take part by these.
    y : ndarray of shape (n_rows,), int or float
        Class indices, or a numeric target if of floats.
    weights : ndarray of shape (n_rows,) or None
        Weights of the rows.
    rng : RandomState
        Draws rows of the screen, and folds.
    n_classes : int
        Number of classes, if `y` has any.
    min_frequency : float
        How often a value or combination must occur to have statistics of its own; rarer
        ones share theirs.
    n_buckets : int
        Crosses with more combinations are hashed into so many buckets.

    Returns
    -------
    statistics : dict of str to TargetStatistic
        Those of whole rows, of categories with many values, and of crosses, by name.
    cross_fitted : ndarray of shape (n_rows, n_numbers), float32
        Their values for the training rows.
    evidence : DataFrame
        A row per cross, and one for whole rows; see `TableEncoder.memorized_`.
    """
    parts = [
        crossed_part(
            columns[label], kind, id_columns, weights, min_frequency=min_frequency
        )
        for label, kind in kinds.items()
        if kind in ("category", "number")
    ]
    # Ranges of numbers are left out: a net is good at these.
    parts = [part for part in parts if part.part != "decile"]
    parts += [c for c in id_columns.values() if kinds[c.label] == "datetime"]
    reader = IdReader(columns)
    ids = [reader.read(part) for part in parts]
    sources: list[tuple[IdColumn | Cross | WholeRow, np.ndarray]] = [
        (part, codes)
        for part, codes in zip(parts, ids, strict=True)
        if part.part == "category" and has_many_values(columns[part.label])
    ]
    evidence, taken = [], {*id_columns, *(part.name for part, _ in sources)}
    for chosen, gain, error in find_crosses(
        ids, y, weights, rng, max_crosses=_MAX_CROSSES
    ):
        cross = Cross.fit(
            tuple(parts[i] for i in chosen),
            [ids[i] for i in chosen],
            weights,
            min_frequency=min_frequency,
            n_buckets=n_buckets,
        )
        if cross.name in taken:  # such as "a & b" of a column of that name
            continue
        taken.add(cross.name)
        sources.append((cross, cross.encode([ids[i] for i in chosen])))
        evidence.append((cross.name, "cross", len(cross), True, gain, error))
    rows = repeated_rows(reader, kinds, parts, min_frequency=min_frequency)
    if rows is not None and rows.name not in taken:
        codes = reader.read(rows)
        gain, error = explained(codes, y, weights, rng)
        if gain > _MIN_ERRORS * error:
            sources.insert(0, (rows, codes))
            evidence.append((rows.name, "cross", len(rows), True, gain, error))
    folds = rng.permutation(len(y)) % N_FOLDS
    statistics, values, n_numbers = {}, [], 0
    for source, codes in sources:
        statistic, cross_fitted = TargetStatistic.fit(
            source, codes, y, weights, folds, n_classes
        )
        n_numbers += cross_fitted.shape[1]
        if n_numbers > _MAX_NUMBERS:
            break
        statistics[statistic.name] = statistic
        values.append(cross_fitted)
    nothing = np.empty((len(y), 0), dtype=np.float32)
    names = {statistic.source.name for statistic in statistics.values()}
    kept = [row for row in evidence if row[0] in names]
    return (
        statistics,
        np.concatenate([nothing, *values], axis=1),
        pd.DataFrame(kept, columns=_EVIDENCE),
    )


def repeated_rows(
    reader: IdReader,
    kinds: dict[Hashable, str],
    parts: list[IdColumn],
    *,
    min_frequency: float,
) -> WholeRow | None:
    """Return the whole rows that repeat, if a hundredth of 1,000 rows or more do.

    Parameters
    ----------
    reader : IdReader
        Reads the ids of the rows.
    kinds, min_frequency
        See `fit_statistics`.
    parts : list of IdColumn
        The columns that take part in crosses; of these the categories.

    Returns
    -------
    rows : WholeRow or None
        None also for a table of one column, or with columns of text.
    """
    columns = reader.columns
    if len(columns) < 2 or "text" in kinds.values():
        return None
    if len(next(iter(columns.values()))) < _FEWEST_ROWS:
        return None
    rows = WholeRow.fit(
        columns,
        tuple(label for label, kind in kinds.items() if kind in ("number", "datetime")),
        tuple(part for part in parts if part.part == "category"),
        reader.read,
        min_frequency=min_frequency,
    )
    counts = rows.vocabulary.counts
    return rows if counts[2:].sum() >= _MIN_REPEATED * counts.sum() else None


def refit_statistics(
    statistics: dict[str, TargetStatistic],
    ids: IdReader,
    y: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.RandomState,
    *,
    n_classes: int,
) -> tuple[dict[str, TargetStatistic], np.ndarray]:
    """Learn statistics again from further rows; ids without such rows keep theirs.

    Parameters
    ----------
    statistics : dict of str to TargetStatistic
        What is there, by name.
    ids : IdReader
        Reads the ids of the further rows.
    y, weights, rng, n_classes
        See `fit_statistics`.

    Returns
    -------
    statistics : dict of str to TargetStatistic
        New ones.
    cross_fitted : ndarray of shape (n_rows, n_numbers), float32
        Their values for the further rows.
    """
    folds = rng.permutation(len(y)) % N_FOLDS
    new, values = {}, [np.empty((len(y), 0), dtype=np.float32)]
    for name, statistic in statistics.items():
        codes = ids.read(statistic.source)
        fitted, cross_fitted = TargetStatistic.fit(
            statistic.source, codes, y, weights, folds, n_classes
        )
        new[name] = statistic.update(fitted, codes)
        values.append(cross_fitted)
    return new, np.concatenate(values, axis=1)
