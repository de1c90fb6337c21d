"""What the command line does: a report on a table in a file."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_memgen._axes import import_pyplot
from sklearn_memgen.inspection import memorization_report
from sklearn_memgen.wide_deep import WideDeepClassifier

__all__ = ["main"]

#: A target of numbers with more values than this, and than a twentieth of its rows, is
#: no class.
_MOST_CLASSES = 50
#: From so many different values a row on a column of texts or whole numbers only names
#: the rows.
_NAMING = 0.95


class UnusableError(Exception):
    """Says why there can be no report."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Those of the command; by default of this process.

    Returns
    -------
    status : int
        0 if a report was written, 1 if it could not be, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        _report(options)
    except (UnusableError, ImportError) as error:
        print(f"{options.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.prog}: interrupted; no report was written", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_memgen",
        description="What models memorize, and what they generalize.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    report = commands.add_parser(
        "report",
        help="write a page on what a model learns from a table, and knows by heart",
        description="Train a WideDeepClassifier, and nets on subsets of the rows, and "
        "write a page on what it learns from the table, and what it knows by heart.",
    )
    report.set_defaults(prog=report.prog)
    report.add_argument("table", type=Path, help="a CSV or Parquet file")
    report.add_argument("--target", required=True, help="the column of the labels")
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        help="the page to write (default: report.html)",
    )
    report.add_argument(
        "--drop",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns that the model is not to see, such as numbers of customers",
    )
    report.add_argument("--sep", default=",", help="what parts the columns of a CSV")
    report.add_argument(
        "--encoding", default="utf-8-sig", help="of a CSV (default: UTF-8)"
    )
    report.add_argument(
        "--max-rows",
        type=int,
        default=5_000,
        help="of more rows so many are drawn (default: 5000)",
    )
    report.add_argument(
        "--n-models",
        type=int,
        default=40,
        help="nets on subsets: more are slower and more certain (default: 40)",
    )
    report.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")
    report.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _report(options: argparse.Namespace) -> None:
    """Read the table, inspect the model, and write the page."""
    import_pyplot()  # before the work, not after
    _check_output(options.output)
    X, y = _read(options)
    try:
        report = memorization_report(
            WideDeepClassifier(random_state=options.random_state),
            X,
            y,
            n_models=options.n_models,
            max_rows=options.max_rows,
            random_state=options.random_state,
            verbose=not options.quiet,
        )
    except ValueError as error:
        raise UnusableError(str(error)) from error
    print(report)
    path = report.save(options.output)
    print(f"Written: {path} ({path.stat().st_size / 1000:,.0f} kB)")


def _check_output(path: Path) -> None:
    if path.is_dir():
        raise UnusableError(f"--output {path} is a folder; name a file in it")
    if not path.absolute().parent.is_dir():
        raise UnusableError(f"--output {path}: there is no folder {path.parent}")


def _read(options: argparse.Namespace) -> tuple[pd.DataFrame, pd.Series]:
    """Return the columns to learn from and the labels, with notes on what is odd."""
    table = _read_table(options)
    for name in [options.target, *options.drop]:
        if name not in table.columns:
            raise UnusableError(_no_column(name, table, options))
    y = table[options.target]
    X = table.drop(columns=[options.target, *options.drop])
    if not X.shape[1]:
        raise UnusableError(f"{options.table} has no column but {options.target!r}")
    if missing := int(y.isna().sum()):
        _note(f"{missing:,} rows without a value of {options.target!r} are left out")
        X, y = X[y.notna()], y[y.notna()]
    if not len(y):
        raise UnusableError(f"{options.table} has no rows with {options.target!r}")
    _check_classes(y, options.target)
    naming = [str(name) for name in X if _names_rows(X[name])]
    if naming:
        _note(
            f"columns {naming} have another value in nearly every row; --drop them if "
            "they only name the rows"
        )
    if len(y) > options.max_rows:
        _note(f"{options.max_rows:,} of {len(y):,} rows are drawn at random")
    return X, y


def _read_table(options: argparse.Namespace) -> pd.DataFrame:
    path = options.table
    if not path.is_file():
        raise UnusableError(f"there is no file {path}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, sep=options.sep, encoding=options.encoding)
    except UnicodeDecodeError as error:
        raise UnusableError(
            f"{path} is not text in {options.encoding}: its byte {error.start:,} is "
            f"0x{error.object[error.start]:02x}. Say what it is in, such as "
            "--encoding cp1252 or --encoding latin-1"
        ) from error
    except LookupError as error:
        raise UnusableError(f"--encoding {options.encoding}: {error}") from error
    except (ValueError, OSError) as error:  # parsers raise subclasses of it
        raise UnusableError(f"{path} cannot be read as a table: {error}") from error


def _no_column(name: str, table: pd.DataFrame, options: argparse.Namespace) -> str:
    known = [str(column) for column in table.columns]
    words = f"{options.table} has no column {name!r}"
    if close := difflib.get_close_matches(name, known, 1):
        words += f"; did you mean {close[0]!r}"
    elif len(known) == 1:
        words += (
            f"; it has one column only, {known[0]!r}: is --sep {options.sep!r} right?"
        )
    return f"{words}. Its columns are {known}" if len(known) > 1 else words


def _check_classes(y: pd.Series, target: str) -> None:
    n_values, n_rows = y.nunique(), len(y)
    if n_values < 2:
        raise UnusableError(
            f"{target!r} has the value {y.iloc[0]!r} in all rows; there must be two "
            "classes"
        )
    many = n_values > _MOST_CLASSES and n_values > n_rows / 20
    if many or (pd.api.types.is_float_dtype(y) and not np.all(y == np.rint(y))):
        raise UnusableError(
            f"{target!r} has {n_values:,} values in {n_rows:,} rows: it is no column "
            "of class labels"
        )


def _names_rows(column: pd.Series) -> bool:
    """Tell whether a column is no measure but has a value of its own in most rows."""
    if pd.api.types.is_float_dtype(column) or len(column) < 20:
        return False
    if pd.api.types.is_datetime64_any_dtype(column):
        return False
    if column.astype(str).str.contains(r"\s").mean() > 0.5:  # texts, or full names
        return False
    return column.nunique() > _NAMING * len(column)


def _note(words: str) -> None:
    print(f"Note: {words}.", file=sys.stderr)
