"""TextEncoder: texts in, sub-word tokens for a transformer out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from numbers import Integral, Number
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._sklearn import (
    HasMethods,
    Interval,
    _fit_context,
    validate_data,
)
from sklearn_memgen.tables.columns import as_table, resolve_columns
from sklearn_memgen.tables.tokenizing import (
    check_max_length,
    load_tokenizer,
    tokenize,
)
from sklearn_memgen.tables.tokens import TokenTensors
from sklearn_memgen.tables.values import to_strings

__all__ = ["TextEncoder"]


# `set_output` and its global setting are switched off: there is no array to wrap.
class TextEncoder(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Encode texts as the sub-word tokens that a pretrained transformer reads.

    Needs the extra ``text``: ``pip install "sklearn-memgen[text]"``.

    Parameters
    ----------
    tokenizer : str, Path or transformers tokenizer
        A local folder with a tokenizer, the name of a model on the Hugging Face hub,
        or the tokenizer itself, which is copied.
    columns : str, int or sequence of two of them, default=None
        Which column of a table is the text, by name or position, or which two are the
        texts of a pair. A table of one column needs no name.
    max_length : int, default=128
        Most tokens of a text, special tokens included; the rest is cut off. Of a pair
        the longer text is cut first.

    Attributes
    ----------
    tokenizer_ : transformers.PreTrainedTokenizerBase
        The tokenizer, which is kept in the pickle.
    n_features_in_ : int
        Number of columns, if a table was given.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of the columns, if a table was given and all of them are strings.

    See Also
    --------
    TokenEncoder : Encodes sentences that are lists of words.
    TextClassifier : Classifies texts.

    Notes
    -----
    The output is not an array but a `TokenTensors`, so that each batch is padded to
    its own longest text. skorch's ``HuggingfacePretrainedTokenizer`` pads all texts to
    one length.

    Missing values (None, NaN, NA) are the empty text, which has special tokens only.
    Numbers are read as they print.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> from sklearn_memgen.tables import TextEncoder
    >>> words = ["[PAD]", "[UNK]", "card", "is", "lost", "my"]
    >>> ids = {word: k for k, word in enumerate(words)}
    >>> made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    >>> made.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(
    ...     tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]"
    ... )
    >>> X = ["my card is lost", "my cat", None]
    >>> tokens = TextEncoder(tokenizer).fit_transform(X)
    >>> tokens
    TokenTensors(n_rows=3, n_tokens=6, marked=None, device=cpu)
    >>> tokens.inputs()["input_ids"]
    tensor([[5, 2, 3, 4],
            [5, 1, 0, 0],
            [0, 0, 0, 0]])
    """

    _parameter_constraints: dict = {
        "tokenizer": [str, Path, HasMethods("convert_tokens_to_ids")],
        "columns": [str, Integral, "array-like", None],
        "max_length": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        tokenizer: Any,
        *,
        columns: str | int | Sequence[Hashable] | None = None,
        max_length: int = 128,
    ) -> None:
        self.tokenizer = tokenizer
        self.columns = columns
        self.max_length = max_length

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TextEncoder:
        """Load the tokenizer, and find the columns of the texts.

        Parameters
        ----------
        X : array-like of str of shape (n_rows,), or DataFrame or array-like of shape \
                (n_rows, n_columns)
            The texts, or a table of which `columns` are texts.
        y, sample_weight : ignored
            They are here for pipelines.

        Returns
        -------
        self : TextEncoder
            The fitted encoder.

        Raises
        ------
        ImportError
            If transformers is not installed.
        OSError
            If the tokenizer is no local folder and cannot be had from the hub.
        TypeError
            If a text is neither a string nor a number nor missing.
        ValueError
            If there are no texts, columns that do not exist, a folder without a
            tokenizer, or a `max_length` that its model cannot read.
        """
        for name in {"n_features_in_", "feature_names_in_"} & vars(self).keys():
            delattr(self, name)
        data = _as_series_or_table(X)
        is_table = isinstance(data, pd.DataFrame)
        if is_table:
            validate_data(self, data, skip_check_array=True, reset=True)
        self._labels = data.columns if is_table else None
        texts = self._read(data)
        tokenizer = load_tokenizer(self.tokenizer)
        n_special = tokenizer.num_special_tokens_to_add(pair=len(texts) == 2)
        check_max_length(tokenizer, self.max_length, n_special)
        self.tokenizer_ = tokenizer
        return self

    def transform(self, X: Any) -> TokenTensors:
        """Encode texts.

        Parameters
        ----------
        X : array-like of str of shape (n_rows,), or DataFrame or array-like of shape \
                (n_rows, n_columns)
            The texts, or a table of the columns seen in `fit`.

        Returns
        -------
        tokens : TokenTensors of n_rows rows
            Their tokens, on the host.

        Raises
        ------
        TypeError
            If a text is neither a string nor a number nor missing.
        ValueError
            If there are no texts, or columns are missing.
        """
        check_is_fitted(self)
        data = _as_series_or_table(X)
        # A list has no columns that those of a table could be compared with.
        if isinstance(data, pd.DataFrame) and self._labels is not None:
            validate_data(self, X, skip_check_array=True, reset=False)
            data = data.set_axis(self._labels, axis=1)
        texts = self._read(data)
        return tokenize(self.tokenizer_, *texts, max_length=self.max_length)

    def _read(self, data: pd.Series | pd.DataFrame) -> list[np.ndarray]:
        """Return the texts of all rows, or first and second texts."""
        if isinstance(data, pd.Series):
            if len(self._given_columns()) > 1:
                raise ValueError(
                    f"X is a list of texts, but columns={self.columns!r} names two; "
                    "expected a table that has them"
                )
            return [_as_texts(data)]
        return [_as_texts(data[label]) for label in self._find_columns(data)]

    def _given_columns(self) -> list[Hashable]:
        given = self.columns
        if given is None:
            return []
        return [given] if isinstance(given, str | int | Integral) else list(given)

    def _find_columns(self, table: pd.DataFrame) -> list[Hashable]:
        labels = table.columns.tolist()
        if self.columns is None:
            if len(labels) > 1:
                raise ValueError(
                    f"X has the columns {labels}; name that of the text, or those of "
                    "two texts, by the parameter columns"
                )
            return labels
        labels = resolve_columns(table, self._given_columns(), "columns")
        if len(labels) not in (1, 2):
            raise ValueError(
                f"columns={self.columns!r} names {len(labels)} columns; expected that "
                "of the text, or those of the two texts of a pair"
            )
        return labels

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags


def _as_series_or_table(X: Any) -> pd.Series | pd.DataFrame:
    """Return texts as a Series, or a table of them."""
    if isinstance(X, str | bytes):
        raise ValueError(f"X is one text, {X!r:.80}; pass a list of texts")
    if sparse.issparse(X):
        raise ValueError("X is a sparse matrix; expected texts")
    X = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(X, nw.DataFrame | nw.Series):
        X = X.to_pandas()
    elif isinstance(X, list | tuple | pd.Index):
        # As objects, so that numbers among texts stay what they are.
        X = np.array(X, dtype=object)
    if isinstance(X, np.ndarray) and X.ndim == 1:
        X = pd.Series(X, dtype=object)
    if not isinstance(X, pd.Series):
        return as_table(X)
    if X.empty:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is "
            "required."
        )
    return X


def _as_texts(values: pd.Series) -> np.ndarray:
    """Return str; missing values are empty."""
    types = values.dropna().astype(object).map(type)
    strange = [t for t in types.unique() if not issubclass(t, str | Number | np.bool_)]
    if strange:
        row = int((values.notna() & types.isin(strange)).to_numpy().argmax())
        where = "" if values.name is None else f" of column {values.name!r}"
        raise TypeError(
            f"texts must be strings; row {row}{where} is {values.iloc[row]!r:.80}"
        )
    return to_strings(values)
