"""The command line: a page for a table in a file, and what is wrong with others."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen import _command_line
from sklearn_memgen._command_line import main


@pytest.fixture
def quick(monkeypatch):
    """Let the command train a net for a moment."""
    whole = _command_line.WideDeepClassifier

    def make(random_state):
        return whole(
            hidden_layer_sizes=(8,),
            n_members=1,
            max_epochs=1,
            caution=False,
            random_state=random_state,
        )

    monkeypatch.setattr(_command_line, "WideDeepClassifier", make)


@pytest.fixture
def table(mixed_table):
    X, y = mixed_table
    return X.assign(answer=y)


@pytest.fixture
def csv(table, tmp_path):
    path = tmp_path / "data.csv"
    table.to_csv(path, index=False)
    return path


def run(*arguments):
    return main(["report", *map(str, arguments)])


def test_a_page_is_written_and_findings_are_printed(quick, csv, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert run(csv, "--target", "answer", "-o", out, "--n-models", 4) == 0
    printed = capsys.readouterr()
    assert "It is right on" in printed.out and f"Written: {out}" in printed.out
    assert "9/9" in printed.err  # the progress bar
    assert out.read_text(encoding="utf-8").endswith("</html>\n")


def test_the_command_runs_as_a_module(csv):
    command = [sys.executable, "-m", "sklearn_memgen", "report", str(csv)]
    done = subprocess.run(
        [*command, "--target", "anser"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "has no column 'anser'; did you mean 'answer'." in done.stderr
    assert "Traceback" not in done.stderr


def test_rows_are_drawn_columns_dropped_and_missing_labels_left_out(
    quick, table, tmp_path, capsys
):
    table.insert(0, "customer", [f"c{k}" for k in range(len(table))])
    table.loc[[3, 9], "answer"] = None
    path, out = tmp_path / "data.parquet", tmp_path / "page.html"
    table.to_parquet(path)
    arguments = [path, "--target", "answer", "-o", out, "--n-models", 4]
    assert run(*arguments, "--max-rows", 150, "--quiet") == 0
    notes = capsys.readouterr().err
    assert "2 rows without a value of 'answer' are left out" in notes
    assert "columns ['customer'] have another value in nearly every row" in notes
    assert "150 of 398 rows are drawn at random" in notes
    assert "The table has 398 rows; 150 of them were drawn" in out.read_text("utf-8")
    assert run(*arguments, "--max-rows", 150, "--quiet", "--drop", "customer") == 0
    assert "customer" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_files_of_other_encodings_are_read_if_they_are_named(
    quick, table, tmp_path, encoding
):
    path, out = tmp_path / "data.csv", tmp_path / "page.html"
    table.assign(city="Zürich").to_csv(path, index=False, encoding=encoding)
    arguments = [path, "--target", "answer", "-o", out, "--n-models", 4, "--quiet"]
    assert run(*arguments, "--encoding", encoding) == 0


def test_a_wrong_encoding_is_explained(table, tmp_path, capsys):
    path = tmp_path / "data.csv"
    table.assign(city="Zürich").to_csv(path, index=False, encoding="latin-1")
    assert run(path, "--target", "answer") == 1
    words = capsys.readouterr().err
    assert "is not text in utf-8-sig" in words and "0xfc" in words
    assert "--encoding cp1252" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "anwser"], "has no column 'anwser'; did you mean 'answer'."),
        (["--target", "zzz"], "has no column 'zzz'. Its columns are ['number'"),
        (["--target", "answer", "--drop", "zzz"], "has no column 'zzz'"),
        (["--target", "answer", "--sep", ";"], "is --sep ';' right?"),
        (["--target", "number"], "it is no column of class labels"),
        (["--target", "answer", "--encoding", "utf-9"], "--encoding utf-9"),
        (["--target", "answer", "-o", "no/such/page.html"], "there is no folder"),
        (["--target", "answer", "-o", "."], "is a folder; name a file in it"),
        (["--target", "answer", "--n-models", "1"], "The 'n_models' parameter"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(csv, capsys, arguments, message):
    assert run(csv, *arguments) == 1
    words = capsys.readouterr().err.strip()
    assert message in words.replace("\\'", "'")
    assert words.splitlines()[-1].startswith("python -m sklearn_memgen report: ")


def test_files_that_are_no_tables_are_refused(tmp_path, capsys):
    assert run(tmp_path / "none.csv", "--target", "y") == 1
    assert "there is no file" in capsys.readouterr().err
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert run(empty, "--target", "y") == 1
    assert "cannot be read as a table" in capsys.readouterr().err
    odd = tmp_path / "odd.parquet"
    odd.write_bytes(b"no parquet")
    assert run(odd, "--target", "y") == 1
    assert "cannot be read as a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"x": [1, 2], "y": ["a", "a"]}, "'y' has the value 'a' in all rows"),
        ({"y": ["a", "b"]}, "has no column but 'y'"),
        ({"x": [1.0, 2.0], "y": [None, None]}, "has no rows with 'y'"),
    ],
)
def test_tables_without_anything_to_learn_are_refused(tmp_path, capsys, frame, message):
    path = tmp_path / "data.csv"
    pd.DataFrame(frame).to_csv(path, index=False)
    assert run(path, "--target", "y") == 1
    assert message in capsys.readouterr().err


def test_measures_and_days_do_not_name_rows():
    n = np.arange(100)
    assert _command_line._names_rows(pd.Series(n))
    assert _command_line._names_rows(pd.Series(n.astype(str)))
    assert not _command_line._names_rows(pd.Series(n / 7))
    assert not _command_line._names_rows(pd.Series(pd.date_range("2026", periods=100)))
    assert not _command_line._names_rows(pd.Series(n // 2))
    assert not _command_line._names_rows(pd.Series([f"a text of {k}" for k in n]))


def test_without_matplotlib_nothing_is_trained(csv, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert run(csv, "--target", "answer") == 1
    assert "pip install 'sklearn-memgen[plot]'" in capsys.readouterr().err


def test_ctrl_c_leaves_no_page(quick, csv, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **params):
        raise KeyboardInterrupt

    monkeypatch.setattr(_command_line, "memorization_report", interrupted)
    out = tmp_path / "page.html"
    assert run(csv, "--target", "answer", "-o", out) == 130
    assert re.search("interrupted; no report was written", capsys.readouterr().err)
    assert not out.exists()
