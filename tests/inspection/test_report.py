"""The report: what it finds, the page, and the rows to look at."""

import re
import signal
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from sklearn_memgen import NetClassifier, TokenClassifier, WideDeepClassifier
from sklearn_memgen.inspection import (
    MemorizationReport,
    MemorizationReportDisplay,
    memorization_report,
)
from sklearn_memgen.inspection import report as report_module
from tests.inspection.test_memorization import MLP


@pytest.fixture(scope="module")
def table():
    """300 rows of two classes far apart, six of them with the label of the other."""
    rng = np.random.default_rng(0)
    y = np.repeat(["left", "right"], 150)
    X = pd.DataFrame(
        rng.normal(size=(300, 6)) + 2.5 * (y == "right")[:, None],
        columns=[f"x{k}" for k in range(6)],
        index=np.arange(300) + 5000,
    )
    X["note <b>"] = np.where(np.arange(300) % 2, "<script>alert(1)</script>", "a & b")
    wrong = np.array([3, 40, 90, 200, 250, 290])
    y[wrong] = np.where(y[wrong] == "left", "right", "left")
    return X, pd.Series(y, index=X.index), wrong


@pytest.fixture(scope="module")
def report(table):
    X, y, _ = table
    model = WideDeepClassifier(
        hidden_layer_sizes=(32,),
        n_members=1,
        max_epochs=30,
        batch_size=32,
        learning_rate=0.01,
        crosses=(),
        early_stopping=False,
    )
    return memorization_report(model, X, y, n_models=12, random_state=0)


class _Page(HTMLParser):
    """Counts the elements of a page and collects what it would load."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.sources, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_wrong_labels_are_the_first_rows_to_look_at(report, table):
    X, y, wrong = table
    rows = report.rows_to_look_at(12)
    assert set(X.index[wrong]) <= set(rows.index)
    suspects = rows[rows["why"] == "other rows speak against it"]
    assert set(X.index[wrong]) & set(suspects.index)
    assert (suspects["others_say"] != suspects["label"]).all()
    assert (rows["label"] == y.loc[rows.index]).all()
    assert rows["x3"].equals(X.loc[rows.index, "x3"])


def test_each_row_has_its_scores_and_its_place_on_the_map(report, table):
    X, y, _ = table
    frame = report.to_frame()
    assert frame.index.equals(X.index) and (frame["label"] == y).all()
    assert {"memorization", "std_error", "region", "confidence"} <= set(frame)
    one = report.data_map.to_frame()["confidence"].iloc[17]
    assert frame["confidence"].iloc[17] == one


def test_findings_say_what_was_measured(report):
    answers = {finding.question: finding for finding in report.findings}
    test = report.performance["test_accuracy"]
    assert f"{test:.1%} of the rows that it has not seen" in (
        answers["Is the model good?"].answer
    )
    memorized = (report.memorization.memorization >= 0.25).mean()
    heart = answers["Does it know rows only by heart?"]
    assert heart.answer.startswith(f"{memorized:.1%} of the rows")
    fitted = report.randomization.means()["train_accuracy"]["labels"].iloc[0]
    assert f"{fitted:.1%}" in (
        answers["Is it large enough to learn the table by heart?"].answer
    )
    assert {finding.verdict for finding in report.findings} <= {"good", "look"}
    assert repr(report).count("\n") == len(report.findings)


def test_performance_is_that_of_the_estimator(report):
    performance = report.performance
    assert performance["majority"] < 0.6 < performance["test_accuracy"]
    assert performance["test_loss"] > performance["train_loss"] > 0


def test_the_page_needs_nothing_else_and_is_well_formed(report):
    page = _Page(report.to_html())
    assert not page.open
    assert page.tags.count("img") == 3
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "script" not in page.tags


def test_values_cannot_become_part_of_the_page(report):
    html = report.to_html()
    assert "<script" not in html and "note <b>" not in html
    assert "&lt;script&gt;alert(1)" in html or "a &amp; b" in html


def test_missing_values_are_said_to_be_missing_and_long_ones_cut(report):
    values = report.values.assign(x0=np.nan, x1="y" * 200)
    html = replace(report, values=values).to_html()
    assert "missing" in html and "nan" not in html
    assert "y" * 60 + "…" in html and "y" * 61 not in html


def test_the_page_is_written_and_shown_in_notebooks(report, tmp_path):
    path = report.save(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and "WideDeepClassifier" in text
    assert report._repr_html_().startswith("<iframe srcdoc=")


def test_pictures_stand_beside_each_other(report):
    display = report.plot()
    assert isinstance(display, MemorizationReportDisplay)
    assert len(display.axes_) == 3 and all(ax.get_title("left") for ax in display.axes_)


def test_of_many_rows_some_are_drawn_and_that_is_said(table):
    X, y, _ = table
    model = NetClassifier(MLP, max_epochs=1, early_stopping=False)
    numbers = X.drop(columns="note <b>")
    report = memorization_report(
        model, numbers, y, n_models=4, max_rows=100, random_state=0
    )
    assert (report.n_rows, report.n_given) == (100, 300)
    assert (report.to_frame()["label"] == "left").sum() == 50
    assert "The table has 300 rows; 100 of them were drawn at random" in (
        report.to_html()
    )
    again = memorization_report(
        model, numbers, y, n_models=4, max_rows=100, random_state=0
    )
    pd.testing.assert_frame_equal(report.to_frame(), again.to_frame())


def test_arrays_and_dicts_go_in(table):
    X, y, _ = table
    numbers = X.drop(columns="note <b>").to_numpy(dtype=np.float32)
    model = NetClassifier(MLP, max_epochs=1)
    report = memorization_report(
        model, numbers, y.to_numpy(), n_models=4, max_rows=60, random_state=0
    )
    assert isinstance(report, MemorizationReport)
    assert report.rows_to_look_at().columns[5:].tolist() == list(range(6))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_models": 2}, "The 'n_models' parameter"),
        ({"max_rows": 3}, "The 'max_rows' parameter"),
        ({"test_fraction": 1.0}, "The 'test_fraction' parameter"),
        ({"test_fraction": 0.001}, "test_fraction=0.001 of 300 rows leaves no row"),
    ],
)
def test_bad_parameters_are_named(table, params, message):
    X, y, _ = table
    with pytest.raises(ValueError, match=re.escape(message)):
        memorization_report(WideDeepClassifier(max_epochs=1), X, y, **params)


class _Interrupt(Callback):
    """Presses Ctrl-C after an epoch."""

    def on_epoch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_ctrl_c_ends_the_report_and_not_only_a_fit(table, interruptible, in_pipeline):
    X, y, _ = table
    model = NetClassifier(MLP, max_epochs=3, callbacks=[_Interrupt()])
    model = make_pipeline(StandardScaler(), model) if in_pipeline else model
    numbers = X.drop(columns="note <b>")
    with (
        pytest.warns(UserWarning, match="interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        memorization_report(model, numbers, y, n_models=4, random_state=0)


def test_one_class_and_no_net_are_refused(table):
    X, y, _ = table
    with pytest.raises(ValueError, match=r"at least 2 classes; got only \['a'\]"):
        memorization_report(WideDeepClassifier(), X, ["a"] * 300)
    with pytest.raises(TypeError, match="must be a classifier with a net"):
        memorization_report(LogisticRegression(), X, y)
    with pytest.raises(TypeError, match="a TokenClassifier has several"):
        memorization_report(TokenClassifier("model"), X, y)


def test_a_row_that_all_nets_know_is_not_worth_looking_at(report, monkeypatch):
    """With no row memorized there is a sentence in the place of the table."""
    monkeypatch.setattr(
        report_module, "rows_to_look_at", lambda frame, values, n: frame.iloc[:0]
    )
    assert "No row is known only by heart with any certainty." in report.to_html()
