"""The page of a report: HTML with the pictures inside."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Sequence
from datetime import date
from html import escape
from importlib.metadata import version
from io import BytesIO
from string import Template
from typing import Any

import pandas as pd

from sklearn_memgen._axes import import_pyplot

__all__ = ["make_page"]

#: Most characters of a value in the table of rows, and most columns of the table.
_MOST_CHARACTERS, _MOST_COLUMNS = 60, 30

_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #22303c; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.facts, figcaption, footer { color: #5a6874; font-size: .9rem; }
ul.findings { list-style: none; padding: 0; }
ul.findings li { border-left: 4px solid #009e73; padding: .1rem 0 .1rem .9rem;
  margin: .9rem 0; }
ul.findings li.look { border-color: #d55e00; }
ul.findings b { display: block; }
ul.findings .mark { font-weight: 600; font-size: .8rem; color: #00724f;
  margin-left: .5rem; }
ul.findings .look .mark { color: #b34a00; }
figure { margin: 1.2rem 0; }
figure img { width: 100%; max-width: 45rem; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #e1e6ea;
  white-space: nowrap; }
thead th { border-bottom: 2px solid #b9c3cb; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
footer { border-top: 1px solid #e1e6ea; margin-top: 2.5rem; padding-top: .8rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="facts">$facts</p>
<h2>In short</h2>
<ul class="findings">
$findings
</ul>
<h2>Rows to look at</h2>
<p>$introduction</p>
<div class="scroll">
$rows
</div>
<h2>Pictures</h2>
$figures
<footer>$footer</footer>
</body>
</html>
"""
)
_CAPTIONS = (
    (
        "memorization",
        "How many rows are memorized how much. 0: nets that have not learned the row "
        "say its label as surely as those that have. 1: only those that have learned "
        "it say it. Rows from 0.25 on are called memorized (Feldman and Zhang 2020).",
    ),
    (
        "randomization",
        "How fast and how fully the model fits true labels, labels of which a fifth is "
        "random, and labels that are all random (Zhang et al. 2017).",
    ),
    (
        "data_map",
        "Each point is a row: how sure the net was of its label while it learned, on "
        "average over the epochs, and how much that changed (Swayamdipta et al. 2020).",
    ),
)


def make_page(report: Any) -> str:
    """Return the page of a `MemorizationReport`."""
    name = type(report.estimator).__name__
    rows = report.rows_to_look_at()
    return _PAGE.substitute(
        title=escape(f"What {name} knows by heart"),
        facts=_facts(report),
        findings="\n".join(map(_finding, report.findings)),
        introduction=_introduction(report, rows),
        rows=_table(rows) if len(rows) else "",
        figures="\n".join(
            _figure(getattr(report, part), words) for part, words in _CAPTIONS
        ),
        footer=_footer(report),
    )


def _facts(report: Any) -> str:
    n_classes = len(report.memorization.classes)
    facts = f"{report.n_rows:,} rows, {report.n_columns:,} columns, {n_classes} classes"
    if report.n_rows < report.n_given:
        facts += (
            f". The table has {report.n_given:,} rows; {report.n_rows:,} of them were "
            "drawn at random, of every class, and all figures are of these"
        )
    return escape(f"{facts}.")


def _finding(finding: Any) -> str:
    mark = "look at this" if finding.verdict == "look" else "all is well"
    return (
        f'<li class="{finding.verdict}"><b>{escape(finding.question)}'
        f'<span class="mark">{mark}</span></b>{escape(finding.answer)}</li>'
    )


def _introduction(report: Any, rows: pd.DataFrame) -> str:
    if not len(rows):
        return "No row is known only by heart with any certainty."
    words = (
        f"{len(rows)} rows whose labels other rows speak against, the clearest cases "
        "first, and then rows that the model gets right only because it has seen them: "
        "check whether their labels are right. `memorization` is the probability of "
        "the label by nets that have learned the row, less that by nets that have not; "
        "`std_error` is its standard error."
    )
    return (
        escape(words)
        .replace("`memorization`", "<i>memorization</i>")
        .replace("`std_error`", "<i>std_error</i>")
    )


def _table(rows: pd.DataFrame) -> str:
    """Return a table; values are cut where they are long, and so are many columns."""
    cut = rows.iloc[:, :_MOST_COLUMNS]
    numeric = [pd.api.types.is_numeric_dtype(cut[name].dtype) for name in cut]
    index_name = rows.index.name or "row"
    head = _cells([index_name, *cut.columns], [False, *numeric], "th")
    lines = []
    for key, *values in cut.itertuples(name=None):
        lines.append(_cells([key, *values], [False, *numeric], "td"))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _cells(values: Sequence[Any], numeric: Sequence[bool], tag: str) -> str:
    cells = []
    for value, is_number in zip(values, numeric, strict=True):
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        if pd.api.types.is_scalar(value) and pd.isna(value):
            text = "missing"
        if len(text) > _MOST_CHARACTERS:
            text = f"{text[:_MOST_CHARACTERS]}…"
        kind = ' class="number"' if is_number else ""
        cells.append(f"<{tag}{kind}>{escape(text)}</{tag}>")
    return "".join(cells)


def _figure(part: Any, words: str) -> str:
    """Return a picture as part of the page."""
    import_pyplot()  # says what is missing
    figures = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(7.2, 4.2), layout="constrained")
    part.plot(figure.subplots())
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=144)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{escape(words)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(words)}</figcaption></figure>"
    )


def _footer(report: Any) -> str:
    estimator = escape(" ".join(repr(report.estimator).split()))
    scores = report.memorization
    words = (
        f"Made on {date.today()} by sklearn_memgen {version('sklearn-memgen')}: "
        f"{scores.n_models} nets on {scores.included.mean():.0%} of the rows each, "
        "nets on true, partly random and random labels, and one on all rows. Model: "
    )
    return f"{escape(words)}<code>{estimator}</code>"
