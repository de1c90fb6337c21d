"""TableEncoder: any table in, tensors for a network out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._sklearn import Interval, StrOptions, _fit_context
from sklearn_memgen.tables.id_space import IdReader
from sklearn_memgen.tables.learning import LearnedColumns, with_statistics
from sklearn_memgen.tables.tensors import TableTensors
from sklearn_memgen.tables.values import read_columns, smooth_values

__all__ = ["TableEncoder"]


# `set_output` and its global setting are switched off: there is no array to wrap.
class TableEncoder(  # type: ignore[call-arg]
    LearnedColumns, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Encode a table of mixed columns as tensors, smoothly and exactly.

    Numbers go in smoothly, by a robust scale and piecewise-linear bins, and, where it
    pays, once more exactly: a value that repeats gets an id of its own, so that a
    model can memorize what is special about it. Categories, calendar parts of dates
    and crosses of columns are ids, too. Text goes in as hashed word n-grams.

    Parameters
    ----------
    categorical_features, numeric_features, text_features : \
            array-like of column names, positions or bool of shape (n_columns,), \
            default=None
        Columns whose kind is given rather than found. By default numbers, booleans
        and durations are numeric, dates are dates (strings such as 2024-01-31
        included), strings of many words that are mostly distinct are text, and all
        else is categorical. Name integer-coded categories in `categorical_features`.
    memorize : {"auto", "none", "exact"} or array-like of column names or positions, \
            default="auto"
        Which numeric columns are remembered exactly, beside going in smoothly.
        "exact" takes all columns with values that repeat; "auto" those of them in
        which exact values predict `y` better than smooth bins out of fold.
    crosses : "auto" or sequence of tuple of column names or positions, default="auto"
        Columns to combine, such as ``[("education", "occupation")]``. Numbers take
        part by their exact values if they have few, else by deciles. "auto" looks for
        pairs and triples that tell of `y` what no sum over the columns tells; these,
        whole rows that repeat, and categories of many values, go in by target
        statistics.
    min_frequency : float, default=2
        How often a value or combination must occur, in rows or in units of
        `sample_weight`, to get an id of its own.
    many_min_frequency : float or None, default=None
        The same for the values of categories that have 30 or more, whose target
        statistics know the rarer ones; by default `min_frequency`.
    bins : {"target", "quantile"}, default="target"
        Where the piecewise-linear bins of a number end: where `y` changes, or at
        quantiles. Without `y` at quantiles.
    n_bins : int, default=256
        Largest number of piecewise-linear bins a column. Tables of many columns get
        fewer, so that there are no more than 1,536 in all. 0 leaves the scaled value.
    n_cross_buckets : int, default=65536
        Crosses with more combinations than this are hashed into so many buckets.
    n_text_buckets : int, default=131072
        Buckets that the n-grams of each text column are hashed into.
    target_type : {"classes", "continuous"}, default="classes"
        Whether `memorize="auto"` takes the `y` of `fit` for class labels or numbers.
    random_state : int, RandomState instance or None, default=None
        Draws the folds by which `memorize="auto"` decides.

    Attributes
    ----------
    column_kinds_ : Series of shape (n_columns,)
        "number", "category", "datetime" or "text" by column. Empty for sparse input.
    numbers_ : dict of str to SmoothNumber
        Scale and bins of each numeric output, in the order of output.
    id_columns_ : dict of str to IdColumn
        The values that have ids: categories, calendar parts, and exact numbers.
    crosses_ : dict of str to Cross
        The combinations that have ids. They come behind `id_columns_`.
    statistics_ : dict of str to TargetStatistic
        The target statistics of whole rows, of categories with many values and of
        found crosses. They are the last columns of the encoded numbers.
    memorized_ : DataFrame
        One row per `column` of numbers with values that repeat (`kind` "number") and
        per cross that was found (`kind` "cross"): the number `n_values` of its values
        that have ids, whether it is `memorized`, and the evidence where it was tested:
        `gain` and its `standard_error`. The gain of a number is `loss_bins` minus
        `loss_exact`, in nats a row out of fold; the losses of a continuous target are
        of Gaussian errors. The gain of a cross is the share of the target's variance
        that it explains out of fold beyond what was chosen before it. Whole rows that
        repeat, if they tell of the target, are the cross "whole row"; their gain is all
        that they explain.
    id_offsets_ : ndarray of shape (n_id_columns + 1,), int64
        Where the ids of each id column begin; the last entry is the number of ids.
    id_counts_ : ndarray of shape (n_ids,)
        Weighted number of training rows of each id, added up over `fit` and `extend`.
    n_sparse_features_ : int
        Width of the sparse part: columns of sparse input, or buckets of text.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of shape (n_columns,)
        Column names, if all are strings.

    See Also
    --------
    WideDeepClassifier, WideDeepRegressor : A classifier and a regressor on top of it.

    Notes
    -----
    The output is not an array but a `TableTensors`, so the encoder serves estimators
    of this package rather than those of scikit-learn.

    Unknown values get an id that is trained: values that are too rare for an id share
    it in training, and nets mask some ids at random.

    References
    ----------
    .. [1] Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016.
    .. [2] Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in
       Tabular Deep Learning", 2022 (piecewise-linear bins).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_memgen.tables import TableEncoder
    >>> X = pd.DataFrame({
    ...     "age": [39, 50, None, 28], "city": ["Rome", "Oslo", "Rome", "Oslo"]
    ... })
    >>> encoder = TableEncoder().fit(X)
    >>> table = encoder.transform(X)
    >>> table
    TableTensors(n_rows=4, numbers=1, ids=1, csr=None, device=cpu)
    >>> encoder.inverse(table.ids[0])
    array(['city=Rome'], dtype=object)
    >>> encoder.inverse(encoder.transform(X.assign(city="Lima")).ids[0])
    array(['city=<unknown>'], dtype=object)
    """

    _parameter_constraints: dict = {
        "categorical_features": ["array-like", None],
        "numeric_features": ["array-like", None],
        "text_features": ["array-like", None],
        "memorize": [StrOptions({"auto", "none", "exact"}), "array-like"],
        "crosses": [StrOptions({"auto"}), list, tuple],
        "bins": [StrOptions({"target", "quantile"})],
        "min_frequency": [Interval(Real, 0, None, closed="neither")],
        "many_min_frequency": [Interval(Real, 0, None, closed="neither"), None],
        "n_bins": [Interval(Integral, 0, None, closed="left")],
        "n_cross_buckets": [Interval(Integral, 1, None, closed="left")],
        "n_text_buckets": [Interval(Integral, 1, None, closed="left")],
        "target_type": [StrOptions({"classes", "continuous"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        categorical_features: Iterable[Hashable] | None = None,
        numeric_features: Iterable[Hashable] | None = None,
        text_features: Iterable[Hashable] | None = None,
        memorize: str | Iterable[Hashable] = "auto",
        crosses: str | Sequence[tuple[Hashable, ...]] = "auto",
        min_frequency: float = 2,
        many_min_frequency: float | None = None,
        bins: str = "target",
        n_bins: int = 256,
        n_cross_buckets: int = 2**16,
        n_text_buckets: int = 2**17,
        target_type: str = "classes",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.categorical_features = categorical_features
        self.numeric_features = numeric_features
        self.text_features = text_features
        self.memorize = memorize
        self.crosses = crosses
        self.min_frequency = min_frequency
        self.many_min_frequency = many_min_frequency
        self.bins = bins
        self.n_bins = n_bins
        self.n_cross_buckets = n_cross_buckets
        self.n_text_buckets = n_text_buckets
        self.target_type = target_type
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TableEncoder:
        """Learn scales, bins, vocabularies and what to memorize.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The table.
        y : array-like of shape (n_rows,), default=None
            Class labels, or numbers if `target_type` is "continuous". Without them
            `memorize="auto"` remembers nothing.
        sample_weight : array-like of shape (n_rows,), default=None
            Rows count by their weight.

        Returns
        -------
        self : TableEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If the table is empty, holds infinities or complex numbers, has two
            columns of one name, or lacks a column that a parameter names.
        TypeError
            If a column holds values that cannot be told apart, such as dicts.
        """
        self._fit(X, y, sample_weight)
        return self

    def fit_transform(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> TableTensors:
        """Fit, and encode the rows with target statistics of other rows than their own.

        A net should be trained on these rather than on those of `transform`.

        Parameters
        ----------
        X, y, sample_weight
            See `fit`.

        Returns
        -------
        table : TableTensors
            The encoded table, on the host.

        Raises
        ------
        ValueError, TypeError
            See `fit`.
        """
        cross_fitted = self._fit(X, y, sample_weight)
        return with_statistics(self.transform(X), cross_fitted, sample_weight)

    def extend(self, X: Any, y: Any = None, sample_weight: Any = None) -> TableEncoder:
        """Give ids to values and combinations that only further rows have.

        The ids there are keep their order: new ones come behind those of their column.
        All else stays: scales, bins, which numbers are remembered exactly, buckets of
        hashed crosses and of text. Target statistics are learned again from these rows,
        if `y` is given; values that do not occur in them keep theirs.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            A table of the columns seen in `fit`.
        y : array-like of shape (n_rows,), default=None
            The target, of the same classes as in `fit`.
        sample_weight : array-like of shape (n_rows,), default=None
            Rows count by their weight.

        Returns
        -------
        self : TableEncoder
            The encoder. A value has an id if it had one before, or occurs
            `min_frequency` times in `X`.

        Raises
        ------
        ValueError
            If columns are missing, unknown, or in another order than in `fit`.
        """
        self._extend(X, y, sample_weight)
        return self

    def extend_transform(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> TableTensors:
        """Extend, and encode the rows with target statistics of other rows than theirs.

        Parameters
        ----------
        X, y, sample_weight
            See `extend`.

        Returns
        -------
        table : TableTensors
            The encoded table, on the host.

        Raises
        ------
        ValueError
            See `extend`.
        """
        cross_fitted = self._extend(X, y, sample_weight)
        return with_statistics(self.transform(X), cross_fitted, sample_weight)

    def transform(self, X: Any) -> TableTensors:
        """Encode a table.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            A table of the columns seen in `fit`.

        Returns
        -------
        table : TableTensors
            The encoded table, on the host.

        Raises
        ------
        ValueError
            If columns are missing, unknown, or in another order than in `fit`.

        Warns
        -----
        UserWarning
            If a column of numbers or dates holds values that are none; they are
            taken as missing.
        """
        check_is_fitted(self)
        table = self._checked(X)
        if self._labels is None:
            nothing = torch.empty(table.shape[0], 0)
            return TableTensors(nothing, nothing.int(), self._sparse.transform(table))
        columns = read_columns(table, self._kinds)
        n_smooth = len(self.numbers_)
        numbers = np.empty((len(table), n_smooth + self.n_statistics_), np.float32)
        for j, (label, values) in enumerate(smooth_values(columns, self._kinds)):
            numbers[:, j] = self.numbers_[str(label)].transform(values)
        ids = np.empty((len(table), len(self.id_offsets_) - 1), dtype=np.int32)
        codes = IdReader(columns)
        for j, column in enumerate(self._with_ids()):
            ids[:, j] = codes.read(column)
            ids[:, j] += self.id_offsets_[j]
        for statistic in self.statistics_.values():
            values = statistic.transform(codes.read(statistic.source))
            numbers[:, n_smooth : n_smooth + values.shape[1]] = values
            n_smooth += values.shape[1]
        csr = self._sparse.transform(table)
        return TableTensors(torch.from_numpy(numbers), torch.from_numpy(ids), csr)

    def statistic_ids(self, X: Any) -> dict[str, np.ndarray]:
        """Look up whose target statistics each row has.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            A table of the columns seen in `fit`.

        Returns
        -------
        ids : dict of str to ndarray of shape (n_rows,)
            By name, as in ``statistics_``; positions in the words of its source.
        """
        if not self.statistics_:
            return {}
        codes = IdReader(read_columns(self._checked(X), self._kinds))
        return {name: codes.read(s.source) for name, s in self.statistics_.items()}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
