"""Explanation: what of a prediction was memorized, and its picture."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen._axes import INK, SOFT, new_axes, set_title

__all__ = ["Explanation", "ExplanationDisplay"]

#: Terms in print, and the longest words of a picture.
_N_PRINTED, _MAX_WORD = 10, 42
#: Okabe and Ito's colors, which color-blind readers can tell apart.
_COLORS = {
    "wide id": "#E69F00",
    "wide cross": "#D55E00",
    "wide text": "#CC79A7",
    "wide number": "#56B4E9",
    "statistics": "#009E73",
    "deep": "#0072B2",
    "other terms": "#B8C0C8",
}


@dataclass(frozen=True, repr=False)
class Explanation:
    """Predictions taken apart into terms that add up to them.

    `WideDeepClassifier.explain` and `WideDeepRegressor.explain` make it. Print it to
    read it.

    Attributes
    ----------
    terms : DataFrame
        All terms that are not zero, each row's largest first: the `row`, by its
        position in `X`; the `column` of the encoded table; the `feature` in words, as
        in `wide_weights_`; its `value`: a number in the unit of its column (dates in
        days since 1970), the weight of a word in its text, a target statistic, 1 for an
        id, NaN for the deep part; the `part` that spoke; and its `contribution`.
    unit : str
        What contributions add up to, such as "log-odds of 'yes'".

    See Also
    --------
    ExplanationDisplay : Draws one row, or all.
    """

    terms: pd.DataFrame
    unit: str
    _rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self._rows)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each row of `X`, with its index if it has one.

        Returns
        -------
        frame : DataFrame of shape (n_rows, n_columns)
            Classifiers: the `target` class and its `probability`. Regressors: the
            `prediction`. Both: the `logit` that is explained, as `unit` says; its
            `bias` and the sums `wide_id`, `wide_cross`, `wide_text`, `wide_number`,
            `statistics` and `deep`, which add up to it; and the `memorized_share`.
        """
        return self._rows.copy()

    def of_row(self, row: int) -> pd.DataFrame:
        """Return the terms of one row, the largest first.

        Parameters
        ----------
        row : int
            Its position in `X`; -1 is the last.

        Returns
        -------
        terms : DataFrame
            Without the column `row`.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        terms = self.terms[self.terms["row"] == self._position(row)]
        return terms.drop(columns="row").reset_index(drop=True)

    def by_column(self) -> pd.DataFrame:
        """Return how much each column says on average, the most talkative first.

        Returns
        -------
        frame : DataFrame
            For each `column` and `part`: its `mean_absolute` contribution over all
            rows, several terms of a row added up, and the number of rows, `n_rows`, in
            which it spoke.
        """
        keys = ["column", "part"]
        added = self.terms.groupby(["row", *keys], as_index=False)["contribution"].sum()
        sizes = added.assign(contribution=added["contribution"].abs()).groupby(keys)
        frame = sizes["contribution"].agg(mean_absolute="sum", n_rows="size")
        frame["mean_absolute"] /= len(self)
        frame = frame.sort_values("mean_absolute", ascending=False, kind="stable")
        return frame.reset_index()

    def _position(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row={row!r} is not there: X has {len(self)} rows")
        return range(len(self))[row]

    def __repr__(self) -> str:
        rows = self._rows
        if len(rows) == 1:
            line = rows.iloc[0]
            lines = [
                f"1 row: {_say(line)}",
                f"{self.unit}: {line['logit']:.4g}",
                f"bias: {line['bias']:.4g}",
                f"memorized share: {line['memorized_share']:.0%}",
            ]
            table = self.of_row(0)[["feature", "value", "part", "contribution"]]
            title = "terms:"
        else:
            share = rows["memorized_share"]
            low, high = share.quantile([0.1, 0.9])
            lines = [
                f"{len(rows):,} rows: {self.unit}",
                f"memorized share: mean {share.mean():.0%}, from {low:.0%} to "
                f"{high:.0%} in 80 % of the rows",
            ]
            table, title = self.by_column(), "mean absolute contribution:"
        if len(table):
            printed = table.head(_N_PRINTED).to_string(
                index=False, na_rep="", float_format="{:.4g}".format
            )
            lines += ["", title, printed]
        if len(table) > _N_PRINTED:
            lines.append(f"... and {len(table) - _N_PRINTED:,} more")
        return "\n".join(lines)


def _say(line: pd.Series) -> str:
    """Say in words what is predicted of a row."""
    if "probability" in line:
        label = quote(line["target"])
        return f"probability of {label} {line['probability']:.3g}"
    return f"prediction {line['prediction']:.4g}"


def quote(label: Any) -> str:
    """Write a class label as Python's own types are written."""
    return repr(label.item() if isinstance(label, np.generic) else label)


class ExplanationDisplay:
    """A picture of an `Explanation`: the terms of one row, or the columns of all.

    Make it with `from_estimator`.

    Parameters
    ----------
    explanation : Explanation
        What is drawn.
    row : int or None, default=0
        The row of which the terms are drawn, by its position. None draws the mean
        absolute contribution of each column over all rows.
    max_terms : int, default=10
        How many terms have a bar of their own. The others of a row share one, other
        columns are left out.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn_memgen import ExplanationDisplay, WideDeepClassifier
    >>> from sklearn_memgen.datasets import make_memgen_classification
    >>> X, y = make_memgen_classification(n_samples=1000, random_state=0)
    >>> model = WideDeepClassifier(max_epochs=3, random_state=0).fit(X, y)
    >>> display = ExplanationDisplay.from_estimator(model, X, row=3)
    >>> display.plot()  # doctest: +ELLIPSIS
    <sklearn_memgen.explanation.ExplanationDisplay object at ...>
    """

    def __init__(
        self, explanation: Explanation, *, row: int | None = 0, max_terms: int = 10
    ) -> None:
        self.explanation = explanation
        self.row = row
        self.max_terms = max_terms

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        row: int | None = 0,
        max_terms: int = 10,
        **params: Any,
    ) -> ExplanationDisplay:
        """Explain the predictions of a fitted estimator.

        Parameters
        ----------
        estimator : fitted WideDeepClassifier or WideDeepRegressor
            The model.
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.
        row : int or None, default=0
            The row to draw, by its position; None draws all in one.
        max_terms : int, default=10
            How many terms have a bar of their own.
        **params
            Parameters of `explain`, such as `target`.

        Returns
        -------
        display : ExplanationDisplay
            What `plot` draws.

        Raises
        ------
        IndexError
            If `X` has no such row.
        """
        explanation = estimator.explain(X, **params)
        if row is not None:
            row = explanation._position(row)
        return cls(explanation, row=row, max_terms=max_terms)

    def plot(self, ax: Any = None) -> ExplanationDisplay:
        """Draw horizontal bars, the largest on top.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : ExplanationDisplay
            Itself, with `ax_` and `figure_`.
        """
        from matplotlib.patches import Patch

        bars = self._row_bars() if self.row is not None else self._column_bars()
        height = 1.3 + 0.3 * max(len(bars), 2)
        ax = new_axes(ax, height=height, hidden=("top", "right", "left"))
        positions = np.arange(len(bars))
        ax.barh(
            positions, bars["size"], color=bars["part"].map(_COLORS), height=0.68, lw=0
        )
        signed = self.row is not None
        for position, size in zip(positions, bars["size"], strict=True):
            ax.annotate(
                f"{size:+.3g}" if signed else f"{size:.3g}",
                (size, position),
                xytext=(4 if size >= 0 else -4, 0),
                textcoords="offset points",
                ha="left" if size >= 0 else "right",
                va="center",
                fontsize=8,
                color=SOFT,
            )
        if len(bars):
            ax.axvline(0, color=INK, lw=0.8)
        else:
            ax.set_xticks([])
            ax.text(
                0.5,
                0.5,
                "no term spoke",
                transform=ax.transAxes,
                ha="center",
                va="center",
                color=SOFT,
            )
        ax.set_yticks(positions, [_clip(word) for word in bars["word"]])
        ax.set_ylim(max(len(bars), 1) - 0.4, -0.6)
        # Room for the figures, which on the left would run into the words.
        low, high = min(bars["size"].min(), 0), max(bars["size"].max(), 0)
        if high > low:
            room = 0.13 * (high - low)
            ax.set_xlim(low - (room if low < 0 else 0), high + (room if high else 0))
        ax.tick_params(axis="y", length=0)
        xlabel = f"contribution to the {self.explanation.unit}"
        ax.set_xlabel(xlabel if signed else f"mean absolute {xlabel}")
        set_title(ax, self._title())
        parts = [part for part in _COLORS if (bars["part"] == part).any()]
        if len(parts) > 1:
            ax.legend(
                handles=[Patch(color=_COLORS[part], label=part) for part in parts],
                frameon=False,
                fontsize=8,
                loc="center left",
                bbox_to_anchor=(1.01, 0.5),
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _row_bars(self) -> pd.DataFrame:
        terms = self.explanation.of_row(self.row or 0)
        words = terms["feature"].astype(object)
        is_number = (terms["part"] == "wide number") & terms["value"].notna()
        values = terms["value"].map("{:.4g}".format)
        words = words.mask(is_number, words + "=" + values)
        return self._largest(words, terms["part"], terms["contribution"])

    def _column_bars(self) -> pd.DataFrame:
        columns = self.explanation.by_column()
        return self._largest(
            columns["column"], columns["part"], columns["mean_absolute"]
        )

    def _largest(
        self, words: pd.Series, parts: pd.Series, sizes: pd.Series
    ) -> pd.DataFrame:
        """Return the largest bars, and one for all others."""
        bars = pd.DataFrame({"word": words, "part": parts, "size": sizes})
        rest = bars[self.max_terms :]
        bars = bars[: self.max_terms]
        if len(rest) and self.row is not None:  # means are not for adding up
            bars.loc[len(bars)] = [
                f"{len(rest):,} other term{'s' if len(rest) > 1 else ''}",
                "other terms",
                rest["size"].sum(),
            ]
        return bars

    def _title(self) -> str:
        rows = self.explanation._rows
        if self.row is None:
            share = rows["memorized_share"].mean()
            return f"{len(rows):,} rows, memorized share {share:.0%} on average"
        line = rows.iloc[self.row]
        return (
            f"row {rows.index[self.row]}: {_say(line)}\nsum {line['logit']:.4g}, of "
            f"which bias {line['bias']:.4g}; memorized share "
            f"{line['memorized_share']:.0%}"
        )


def _clip(word: Any) -> str:
    """Shorten words of any length in the middle, where they differ least."""
    text = textwrap.shorten(str(word), 10**6).replace("$", r"\$")
    if len(text) <= _MAX_WORD:
        return text
    half = _MAX_WORD // 2
    return f"{text[: half - 1]}…{text[-half:]}"
