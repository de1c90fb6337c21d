"""What of a table or an array is masked, and rows without labels to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_memgen._inputs import (
    Examples,
    check_same_length,
    check_weights,
    read_inputs,
)
from sklearn_memgen.tables import TableEncoder

__all__ = [
    "MaskedCells",
    "UnlabeledExamples",
    "find_cells",
    "flag_all_numbers",
    "read_unlabeled",
]


@dataclass(frozen=True)
class UnlabeledExamples(Examples):
    """Rows without a target; see `Examples`. `y` is all zeros."""

    @property
    def n_outputs(self) -> int:
        return 1

    @property
    def strata(self) -> np.ndarray:
        return self.y

    def learned(self) -> np.ndarray:
        return self.y

    def check_weighted(self) -> None:
        """Nothing remains to be checked: weights are not all zero."""


def read_unlabeled(
    estimator: BaseEstimator, X: Any, sample_weight: Any, *, encoder: Any
) -> UnlabeledExamples:
    """Check rows without labels; see `read_inputs` and `check_weights`."""
    data = read_inputs(estimator, X, encoder, reset=True)
    first = next(iter(data.values())) if isinstance(data, dict) else data
    y = np.zeros(first.shape[0], dtype=np.int64)
    check_same_length(data, y)
    return UnlabeledExamples(data, y, check_weights(sample_weight, y))


@dataclass(frozen=True)
class MaskedCells:
    """The columns of a table that can be masked and predicted.

    Parameters
    ----------
    columns : list of str
        Their names.
    number_edges, number_cells, id_cells
        See `nets.MaskedTableNet`.
    """

    columns: list[str]
    number_edges: list[list[float]]
    number_cells: list[int]
    id_cells: list[int]

    def __len__(self) -> int:
        return len(self.columns)

    def rate(self, mask_rate: float) -> float:
        """Return the share of cells to mask: one a row on average at least."""
        return max(mask_rate, 1 / len(self))


def flag_all_numbers(encoder: TableEncoder) -> None:
    """Let missing numbers be missing in all columns, as masked ones are."""
    encoder.numbers_ = {
        name: replace(number, has_missing=True)
        for name, number in encoder.numbers_.items()
    }


def find_cells(encoder: TableEncoder, table: Any, n_target_bins: int) -> MaskedCells:
    """Find what of a table can be masked.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    table : TableTensors or rows of one
        The training rows.
    n_target_bins : int
        Largest number of bins of a number to predict.

    Raises
    ------
    ValueError
        If there are fewer than two columns, so that nothing would be predicted from
        the rest.
    """
    of_numbers = list(encoder.numbers_)
    of_ids = [str(column.label) for column in encoder.id_columns_.values()]
    columns = list(dict.fromkeys(of_numbers + of_ids))
    if len(columns) < 2:
        raise ValueError(
            "objective='masked' predicts cells from the other cells of a row, for "
            "which it needs 2 columns of numbers, categories or dates; got "
            f"{columns} (n_features={encoder.n_features_in_})"
        )
    place = {name: position for position, name in enumerate(columns)}
    numbers = table.inputs()["numbers"].cpu().numpy()
    edges = [target_bins(values, n_target_bins).tolist() for values in numbers.T]
    return MaskedCells(
        columns,
        edges,
        [place[name] for name in of_numbers],
        [place[name] for name in of_ids],
    )


def target_bins(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Find the inner edges of bins of about as many rows each, none of them empty.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Numbers, NaN where missing.
    n_bins : int
        Largest number of bins.

    Returns
    -------
    edges : ndarray of shape (n_edges,), float32
        Ascending. A value equal to an edge belongs to the bin before it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._masking import target_bins
    >>> target_bins(np.array([1.0, 1.0, 5.0, 7.0, np.nan]), 16).tolist()
    [1.0, 5.0]
    >>> target_bins(np.arange(8.0), 2).tolist()
    [3.0]
    """
    values = np.sort(values[~np.isnan(values)]).astype(np.float32)
    if len(values) == 0:
        return values
    edges = np.unique(values)
    if len(edges) > n_bins:
        ranks = np.arange(1, n_bins) * len(values) // n_bins - 1
        edges = np.unique(values[np.maximum(ranks, 0)])
    return edges[edges < values[-1]]
