"""Checks and splits that come before a net sees data."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, check_consistent_length

from sklearn_memgen._encodings import SharedEncodings
from sklearn_memgen._sklearn import (
    _check_sample_weight,
    _safe_indexing,
    validate_data,
)
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.tables.columns import as_table
from sklearn_memgen.training import ArrayTensors, Origin, ResidentDataset, Rows

__all__ = [
    "Examples",
    "as_rows",
    "check_same_length",
    "check_weights",
    "columns_of",
    "hold_out",
    "read_inputs",
]


def read_inputs(estimator: BaseEstimator, X: Any, encoder: Any, *, reset: bool) -> Any:
    """Check the inputs of an estimator as far as can be done before they are encoded.

    Parameters
    ----------
    estimator : estimator
        Its number and names of features are set, or compared.
    X : DataFrame, array-like, sparse matrix or dict of arrays, of n_rows rows
        The inputs.
    encoder : estimator or None
        What will encode them.
    reset : bool
        Whether to set number and names of features.

    Returns
    -------
    data : DataFrame, sparse matrix, array, or dict of arrays
        A DataFrame or sparse matrix for a `TableEncoder`, `X` itself for any other
        encoder, else numbers. Of an estimator that has a `source`, the columns of that.
    """
    source = getattr(estimator, "source", None)
    data: Any
    if encoder is not None:
        is_table = isinstance(encoder, TableEncoder)
        if isinstance(X, str | bytes):
            raise ValueError(
                f"X must be a list or table of rows; got a {type(X).__name__}"
            )
        if isinstance(X, list | tuple) and not X:
            raise ValueError("Found array with 0 sample(s): X is an empty list")
        data = as_table(X) if is_table else X
        if is_table and not reset and encoder.has_columns_of(X):
            return data
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        if source is not None:
            fill = getattr(estimator, "_fills_columns", False)
            return columns_of(source, data, warn=reset, fill=fill)
        return data
    if isinstance(X, Mapping) and not issparse(X):  # SciPy's DOK matrix is both
        data = _check_arrays(X)
    else:
        data = validate_data(estimator, X, dtype=np.float32, allow_nd=True, reset=reset)
    if source is not None:
        source.check_arrays(data)
    return data


def columns_of(source: Any, data: Any, *, warn: bool, fill: bool = False) -> Any:
    """Take the columns that a source was fitted on, in its order.

    Parameters
    ----------
    source : SourceNet
        Fitted.
    data : DataFrame or sparse matrix
        A table. Without names it must have as many columns.
    warn : bool
        Whether to warn of columns that the source does not know, or that are filled.
    fill : bool, default=False
        Whether columns may be missing, but not all; their values are missing then.

    Raises
    ------
    ValueError
        If columns are missing.
    """
    wanted = getattr(source, "feature_names_in_", None)
    if wanted is None or not hasattr(data, "columns"):
        n_wanted = getattr(source, "n_features_in_", None)
        if n_wanted is None:  # texts have no columns
            return data
        if data.shape[1] != n_wanted:
            raise ValueError(
                f"X has {data.shape[1]} columns, but the source was fitted on "
                f"{n_wanted}"
            )
        return data
    if not any(isinstance(name, str) for name in data.columns):
        raise ValueError(
            "X has no column names, but the source was fitted on columns "
            f"{list(wanted)}; pass a DataFrame of them"
        )
    missing = [name for name in wanted if name not in data.columns]
    if missing and (not fill or len(missing) == len(wanted)):
        raise ValueError(f"X lacks columns that the source was fitted on: {missing}")
    if missing and warn:
        warnings.warn(
            "X lacks columns that the source was fitted on; their values are taken as "
            f"missing: {missing}",
            UserWarning,
            stacklevel=2,
        )
    extra = [name for name in data.columns if name not in set(wanted)]
    if extra and warn:
        warnings.warn(
            f"columns that the source does not know are left out: {extra}",
            UserWarning,
            stacklevel=2,
        )
    return data.reindex(columns=list(wanted)) if missing else data[list(wanted)]


@dataclass(frozen=True)
class Examples(ABC):
    """Inputs, targets and weights of some rows, checked.

    Parameters
    ----------
    data : DataFrame, array, sparse matrix, or dict of arrays, of n_rows rows
        The inputs, as `read_inputs` returns them.
    y : ndarray of shape (n_rows,)
        The targets.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of the rows: how often each counts.
    origin : Origin or None
        Which of the rows given to the estimator these are; None for all of them.
    encodings : SharedEncodings or None
        Where encoders and tables are kept for other fits on the same rows.
    """

    data: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    origin: Origin | None = None
    encodings: SharedEncodings | None = None

    def __len__(self) -> int:
        return len(self.y)

    #: From so many rows on some are held out by default. With 200 rows that was better
    #: than 20 epochs on eight of twelve tables, with 100 rows on five.
    early_stopping_from: ClassVar[int] = 200

    # What subclasses replace

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """The number of classes, or 1 for a target that is a number."""

    @property
    def weight(self) -> np.ndarray | None:
        """The weight of each row in the loss, shape (n_rows,), if there are any."""
        return self.sample_weight

    @property
    @abstractmethod
    def strata(self) -> np.ndarray:
        """The stratum of each row, from which as large a share is held out."""

    @abstractmethod
    def learned(self) -> np.ndarray:
        """Return what the net learns to return, shape (n_rows,)."""

    @abstractmethod
    def check_weighted(self) -> None:
        """Raise a ValueError if rows of a weight above zero are too few."""

    # What is done with them

    def take(self, rows: np.ndarray) -> Self:
        """Take some rows."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        if isinstance(self.data, dict):
            data = {name: array[rows] for name, array in self.data.items()}
        else:
            data = _safe_indexing(self.data, rows)
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        if self.origin is None:
            origin = Origin(rows, self.y)
        else:
            origin = replace(self.origin, rows=self.origin.rows[rows])
        return replace(
            self, data=data, y=self.y[rows], sample_weight=weight, origin=origin
        )

    def counted(self) -> Self:
        """Drop the rows of weight zero.

        Raises
        ------
        ValueError
            If the weights leave too few rows.
        """
        if self.weight is None:
            return self
        examples = self.take(np.flatnonzero(self.weight))
        examples.check_weighted()
        return examples

    def split(
        self, early_stopping: bool | str, fraction: float, rng: np.random.RandomState
    ) -> tuple[Self, Self | None]:
        """Drop the rows of weight zero, and hold out those for early stopping, if any.

        Parameters
        ----------
        early_stopping : bool or "auto"
            Whether to hold rows out; "auto" does so from
            `early_stopping_from` rows on, if classes have enough of them.
        fraction : float
            Share of the rows to hold out, in every stratum as far as can be.
        rng : RandomState
            Draws them.

        Raises
        ------
        ValueError
            If the weights leave too few rows, or no row can be held out.
        """
        examples = self.counted()
        if not examples.holds_out(early_stopping):
            return examples, None
        kept, held_out = hold_out(examples.strata, fraction, rng)
        if len(held_out) == 0:
            if isinstance(early_stopping, str):
                return examples, None
            of_any = " of any class" if self.n_outputs > 1 else ""
            raise ValueError(
                f"early stopping finds no row to hold out: validation_fraction="
                f"{fraction} of {len(examples)} rows is less than one row{of_any}"
            )
        return examples.take(kept), examples.take(held_out)

    def fit_encoder(self, encoder: Any) -> tuple[Any, ResidentDataset]:
        """Fit an encoder on them, and make tensors of them.

        The encoder returned is another, if `encodings` has its like.
        """
        if encoder is None:
            return None, self.encode(None)

        def fit() -> tuple[Any, Rows]:
            if hasattr(encoder, "fit_transform"):  # which may differ from what follows
                data = encoder.fit_transform(self.data, self.y, **self._frequencies())
            else:
                encoder.fit(self.data, self.y, **self._frequencies())
                data = encoder.transform(self.data)
            return encoder, as_rows(data)

        if self.encodings is None:
            fitted, rows = fit()
        else:
            fitted, rows = self.encodings.fit(encoder, self.origin, fit)
        return fitted, self._dataset(rows)

    def encode(self, encoder: Any) -> ResidentDataset:
        """Make tensors of them."""

        def transform() -> Rows:
            return as_rows(
                self.data if encoder is None else encoder.transform(self.data)
            )

        if self.encodings is None:
            return self._dataset(transform())
        return self._dataset(self.encodings.encode(encoder, self.origin, transform))

    def holds_out(self, early_stopping: bool | str) -> bool:
        """Tell whether rows are held out; "auto" does so if there are enough."""
        if isinstance(early_stopping, str):
            return len(self) >= self.early_stopping_from
        return early_stopping

    def encode_further(
        self, encoder: Any, *, relearn: bool
    ) -> tuple[Any, ResidentDataset]:
        """Make tensors of them by a copy of an encoder that knows their values as well.

        With `relearn` it learns its target statistics from them.
        """
        encoder = copy.copy(encoder)
        if relearn:
            data = encoder.extend_transform(self.data, self.y, **self._frequencies())
        else:
            encoder.extend(self.data, **self._frequencies())
            data = encoder.transform(self.data)
        return encoder, self._dataset(as_rows(data))

    def _dataset(self, rows: Rows) -> ResidentDataset:
        weight = self.weight
        return ResidentDataset(
            rows,
            torch.from_numpy(self.learned()),
            None if weight is None else torch.from_numpy(weight).float(),
            self.origin,
        )

    def _frequencies(self) -> dict[str, np.ndarray]:
        """Return the weights by which an encoder counts values.

        Weights below 1 on average, such as those that sum to 1, are no numbers of
        rows; they are scaled up, or every value would look too rare to remember.
        """
        if self.sample_weight is None:
            return {}
        return {"sample_weight": self.sample_weight / min(self.sample_weight.mean(), 1)}


def check_weights(sample_weight: Any, y: np.ndarray) -> np.ndarray | None:
    """Check the weights of rows: not negative, not all zero, one for each target."""
    if sample_weight is None:
        return None
    return _check_sample_weight(
        sample_weight, y, dtype=np.float64, ensure_non_negative=True
    )


def check_same_length(data: Any, y: np.ndarray) -> None:
    """Check that there is a target for each row of what `read_inputs` returned."""
    first = next(iter(data.values())) if isinstance(data, dict) else data
    check_consistent_length(first, y)


def hold_out(
    y: np.ndarray, fraction: float, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of the rows, as large a share of every class as can be.

    Unlike scikit-learn's stratified splits it takes classes of any size: each keeps at
    least one row for training, and of classes of a few rows some give one and some
    give none.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class indices.
    fraction : float
        Share of the rows to hold out.
    rng : RandomState
        Draws them.

    Returns
    -------
    kept, held_out : ndarray of int
        Row numbers, ascending.
    """
    shuffled = rng.permutation(len(y))
    grouped = shuffled[np.argsort(y[shuffled], kind="stable")]
    sizes = np.bincount(y)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(y)) - np.repeat(starts, sizes)
    wanted = np.diff(np.rint(fraction * sizes.cumsum()), prepend=0)
    n_held_out = np.minimum(wanted, np.maximum(sizes - 1, 0))
    is_held_out = rank < np.repeat(n_held_out, sizes)
    return np.sort(grouped[~is_held_out]), np.sort(grouped[is_held_out])


def _check_arrays(X: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check a dict of arrays, the inputs of a user's own module by name.

    Floats become float32 and integers int64, the types of embeddings' indices.
    """
    if not X:
        raise ValueError("X is an empty dict; at least one array is needed")
    arrays = {}
    for name, array in X.items():
        array = np.asarray(array)
        if array.dtype.kind not in "fiub" or array.ndim == 0:
            raise ValueError(
                f"X[{name!r}] must be an array of numbers; got {array.ndim} dimensions "
                f"of dtype {array.dtype}"
            )
        arrays[name] = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        assert_all_finite(arrays[name], input_name=f"X[{name!r}]")
    check_consistent_length(*arrays.values())
    return arrays


def as_rows(X: Any) -> Rows:
    """Make encoded data, an array or a dict of arrays into rows of tensors."""
    if hasattr(X, "inputs"):
        return X
    arrays = X if isinstance(X, Mapping) else {"": X}
    return ArrayTensors({name: _as_tensor(array) for name, array in arrays.items()})


def _as_tensor(array: Any) -> torch.Tensor:
    """Return an array as a tensor; one that must not be written to is copied."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.copy()
    return torch.as_tensor(array)
