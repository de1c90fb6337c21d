"""What each part of a wide and deep net adds to a prediction, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sklearn_memgen.nets import WideDeep, WidePart, attribute_last_numbers
from sklearn_memgen.tables import TableEncoder, TableTensors
from sklearn_memgen.training import ResidentNet

__all__ = ["PARTS", "Explained", "find_contributions"]

#: The parts of a prediction beside the bias, in the order of display.
PARTS = ("wide id", "wide cross", "wide text", "wide number", "statistics", "deep")
_ID, _CROSS, _TEXT, _NUMBER, _STATISTICS, _DEEP = range(len(PARTS))
#: Those that are tied to exact values.
_MEMORIZED = [_ID, _CROSS, _TEXT, _STATISTICS]
#: Rows whose statistics are attributed at once.
_BATCH = 2**10


@dataclass(frozen=True)
class Explained:
    """Which output of a net is explained in each row, and in which unit.

    Parameters
    ----------
    outputs : ndarray of shape (n_rows,), int
        The output, by its position.
    centered : bool
        Whether the mean over all outputs is taken off, as for classes, of which only
        the differences mean anything.
    factor, offset : float
        What brings an output to the unit of the explanation.
    """

    outputs: np.ndarray
    centered: bool = False
    factor: float = 1.0
    offset: float = 0.0

    def read(self, table: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Look up what the rows of a table add to the outputs that are explained.

        Parameters
        ----------
        table : ndarray of shape (n_keys, n_outputs)
            What each key adds to each output.
        keys, rows : ndarray of shape (n,), int
            The key, and the explained row that has it.

        Returns
        -------
        contributions : ndarray of shape (n,), float64
            In the unit of the explanation.
        """
        added = table[keys, self.outputs[rows]].astype(np.float64)
        if self.centered:
            added -= table.mean(axis=1, dtype=np.float64)[keys]
        return self.factor * added

    def of_rows(self, outputs: torch.Tensor, rows: slice) -> torch.Tensor:
        """Take what is explained of some rows from their outputs (batch, n_outputs)."""
        at = torch.from_numpy(self.outputs[rows]).to(outputs.device)
        taken = outputs.gather(1, at[:, None])[:, 0]
        if self.centered:
            taken = taken - outputs.mean(dim=1)
        return self.factor * taken


def find_contributions(
    net: ResidentNet,
    encoder: TableEncoder,
    X: Any,
    pool: Callable[[torch.Tensor], torch.Tensor],
    choose: Callable[[np.ndarray], Explained],
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Take predictions apart into terms that add up to them.

    Parameters
    ----------
    net : ResidentNet
        The net; its module is a `WideDeep`.
    encoder : TableEncoder
        What encodes the rows; it has the words.
    X : DataFrame or sparse matrix of shape (n_rows, n_columns)
        The rows, checked.
    pool : callable
        Averages what the members return, to (n_rows, n_outputs).
    choose : callable
        Says what of these outputs is explained.

    Returns
    -------
    outputs : ndarray of shape (n_rows, n_outputs)
        What the net returned, pooled.
    sums : DataFrame of shape (n_rows, n_columns)
        `logit`, `bias`, the sum of each part and the `memorized_share`.
    terms : DataFrame
        The terms that are not zero; see `Explanation.terms`.
    """
    table = encoder.transform(X)

    def predict(table: TableTensors) -> np.ndarray:
        outputs = pool(net.logits(table)).double().numpy()
        return outputs.reshape(len(table), -1)

    outputs = predict(table)
    explained = choose(outputs)
    rows = np.arange(len(table))
    logit = explained.offset + explained.read(outputs, rows, rows)
    bias = np.full(len(table), explained.offset)
    terms: list[pd.DataFrame] = []
    module = net.module_
    if module.wide is not None:
        of_wide, terms = _wide_terms(module.wide, encoder, table, explained)
        bias += of_wide
    smooth = logit
    n_named = len(encoder.id_counts_) + encoder.n_sparse_features_ + _n_slopes(module)
    if encoder.n_statistics_:
        blank = predict(encoder.without_statistics(table))
        smooth = explained.offset + explained.read(blank, rows, rows)
    if module.deep is not None:
        linear = sum((_sum_by_row(part, len(table)) for part in terms), bias)
        terms.append(_terms(rows, n_named, _DEEP, np.nan, smooth - linear))
    if encoder.n_statistics_:
        added = _attribute_statistics(net, encoder, table, pool, explained)
        added = _brought_to(logit - smooth, added)
        ids = encoder.statistic_ids(X)
        first_key, column = n_named + 1, len(encoder.numbers_)
        for j, (name, statistic) in enumerate(encoder.statistics_.items()):
            keys = first_key + ids[name]
            width = statistic.table.shape[1]  # one of each output, and the count
            values: Any = np.nan
            if width == outputs.shape[1] + 1:
                values = table.numbers.numpy()[rows, column + explained.outputs]
            terms.append(_terms(rows, keys, _STATISTICS, values, added[:, j]))
            first_key += len(statistic.source)
            column += width
    joined = pd.concat(terms, ignore_index=True)
    sums = _summarize(joined, logit, bias)
    return outputs, sums, _in_words(joined, module, encoder)


def _attribute_statistics(
    net: ResidentNet,
    encoder: TableEncoder,
    table: TableTensors,
    pool: Callable[[torch.Tensor], torch.Tensor],
    explained: Explained,
) -> np.ndarray:
    """Return what the statistics of each source add, shape (n_rows, n_sources)."""
    parts = []
    for start in range(0, len(table), _BATCH):
        rows = slice(start, start + _BATCH)

        def choose(logits: torch.Tensor, rows: slice = rows) -> torch.Tensor:
            return explained.of_rows(pool(logits), rows)

        inputs = table[rows].to(net.device).inputs()
        added = attribute_last_numbers(
            net.module_, inputs, encoder.n_statistics_, choose
        )
        parts.append(added.cpu().numpy())
    widths = [statistic.table.shape[1] for statistic in encoder.statistics_.values()]
    starts = np.cumsum([0, *widths[:-1]])
    return np.add.reduceat(np.concatenate(parts).astype(np.float64), starts, axis=1)


def _brought_to(total: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Let parts (n_rows, n_parts) add up to totals; the larger ones give way more."""
    sizes = np.abs(parts)
    sizes[sizes.sum(axis=1) == 0] = 1.0
    missing = total - parts.sum(axis=1)
    return parts + (missing / sizes.sum(axis=1))[:, None] * sizes


def _terms(
    rows: np.ndarray, keys: Any, parts: Any, values: Any, contributions: np.ndarray
) -> pd.DataFrame:
    """Make a frame of terms; a key is the position of a word."""
    columns = {"row": rows, "key": keys, "part": parts, "value": values}
    return pd.DataFrame(columns | {"contribution": contributions})


def _wide_terms(
    wide: WidePart, encoder: TableEncoder, table: TableTensors, explained: Explained
) -> tuple[np.ndarray, list[pd.DataFrame]]:
    """Return the bias of each row, and the terms of ids, sparse part and slopes.

    Slopes of statistics, which add nothing to a 0, belong to the statistics' effect.
    """
    every = np.arange(len(table))
    n_ids = len(encoder.id_counts_)
    terms = []
    if wide.ids is not None:
        rows = every.repeat(table.ids.shape[1])
        ids = table.ids.flatten().numpy()
        first_cross = encoder.id_offsets_[len(encoder.id_columns_)]
        parts = np.where(ids < first_cross, _ID, _CROSS)
        added = explained.read(_host(wide.ids.weight), ids, rows)
        terms.append(_terms(rows, ids, parts, 1.0, added))
    if wide.bag is not None and table.csr is not None:
        rows = every.repeat(table.csr.indptr.diff().numpy())
        keys, values = table.csr.indices.numpy(), table.csr.values.numpy()
        part = _TEXT if (encoder.column_kinds_ == "text").any() else _NUMBER
        added = values * explained.read(_host(wide.bag.weight), keys, rows)
        terms.append(_terms(rows, n_ids + keys, part, values, added))
    slopes, zeros = _host(wide.slopes), np.zeros_like(every)
    bias = explained.read(_host(wide.bias)[None], zeros, every)
    features = _host(wide.numbers(table.numbers.to(wide.bias.device)))
    n_slopes = len(slopes) - encoder.n_statistics_
    rows = every.repeat(n_slopes)
    keys = np.tile(np.arange(n_slopes), len(every))
    added = features[:, :n_slopes].ravel() * explained.read(slopes, keys, rows)
    values = _in_units(encoder, table, n_slopes).ravel()
    keys += n_ids + encoder.n_sparse_features_
    terms.append(_terms(rows, keys, _NUMBER, values, added))
    return bias, terms


def _host(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _n_slopes(module: WideDeep) -> int:
    """Return the number of slopes of the wide part, those of statistics among them."""
    return 0 if module.wide is None else len(module.wide.slopes)


def _in_units(encoder: TableEncoder, table: TableTensors, n_slopes: int) -> np.ndarray:
    """Return the numbers in the unit of their columns, behind NaN for the flags."""
    smooth = list(encoder.numbers_.values())
    scaled = table.numbers[:, : len(smooth)].double().numpy()
    scales = np.array([number.scale for number in smooth])
    centers = np.array([number.center for number in smooth])
    flags = np.full((len(table), n_slopes - len(smooth)), np.nan)
    return np.concatenate([flags, centers + scales * scaled], axis=1)


def _sum_by_row(terms: pd.DataFrame, n_rows: int) -> np.ndarray:
    return np.bincount(terms["row"], terms["contribution"], n_rows)


def _summarize(
    terms: pd.DataFrame, logit: np.ndarray, bias: np.ndarray
) -> pd.DataFrame:
    """Sum the terms of each row by part, and find the share of what is memorized."""
    cells = terms["row"] * len(PARTS) + terms["part"]
    shape = len(logit), len(PARTS)
    added, sizes = (
        np.bincount(cells, values, len(logit) * len(PARTS)).reshape(shape)
        for values in (terms["contribution"], terms["contribution"].abs())
    )
    sums = pd.DataFrame({"logit": logit, "bias": bias})
    sums[[part.replace(" ", "_") for part in PARTS]] = added
    memorized, spoken = sizes[:, _MEMORIZED].sum(axis=1), sizes.sum(axis=1)
    sums["memorized_share"] = np.divide(
        memorized, spoken, out=np.zeros(len(logit)), where=spoken > 0
    )
    return sums


def _in_words(
    terms: pd.DataFrame, module: WideDeep, encoder: TableEncoder
) -> pd.DataFrame:
    """Name the terms that are not zero, each row's largest first."""
    spoke = terms[terms["contribution"] != 0]
    order = np.lexsort((-spoke["contribution"].abs(), spoke["row"]))
    spoke = spoke.iloc[order]
    words, columns = encoder.words(), encoder.columns_of_words()
    if module.wide is not None:
        names = list(encoder.numbers_)
        flagged = [name for name in names if encoder.numbers_[name].has_missing]
        flags = [f"{name}=<missing>" for name in flagged]
        unnamed = [""] * encoder.n_statistics_  # they have terms of their own
        words = np.concatenate([words, flags, names, unnamed])
        columns = np.concatenate([columns, flagged, names, unnamed])
    of_source = [statistic.source.words() for statistic in encoder.statistics_.values()]
    told = [f"{word} (target)" for words_ in of_source for word in words_]
    sources = np.array(list(encoder.statistics_), dtype=object)
    sources = sources.repeat([len(words_) for words_ in of_source])
    words = np.concatenate([words, ["deep part"], told])
    columns = np.concatenate([columns, ["deep part"], sources])
    keys = spoke["key"].to_numpy()
    return pd.DataFrame(
        {
            "row": spoke["row"].to_numpy(),
            # An index knows its dtype: pandas would infer it from all values.
            "column": pd.Index(columns).take(keys),
            "feature": pd.Index(words).take(keys),
            "value": spoke["value"].to_numpy(),
            "part": pd.Index(PARTS).take(spoke["part"]),
            "contribution": spoke["contribution"].to_numpy(),
        }
    )
