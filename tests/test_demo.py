"""The demo runs as `make demo` runs it, and its errors are one clear line."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
import torch

pytest.importorskip("matplotlib")

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Tests run side by side: more threads than cores would wait for each other.
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def main_job(demo, tmp_path_factory):
    """Run the main job once; return its text and its folder."""
    output = tmp_path_factory.mktemp("demo") / "made" / "here"
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lambda *args, **_: lines.append(" ".join(args)))
        assert demo.main(["--quick", "--output", str(output)]) == 0
    return "\n".join(lines), output


@pytest.fixture
def csv_file(tmp_path):
    """A table with missing labels and a class of one row."""
    frame = pd.DataFrame({"size": [1.5, 2.5, None, 4.0] * 30, "color": ["red"] * 120})
    frame.loc[::2, "color"] = "blue"
    frame["Label"] = frame["color"].map({"red": "yes", "blue": "no"})
    frame.loc[:2, "Label"] = None
    frame.loc[3, "Label"] = "perhaps"
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def table_of(text):
    """Read the accuracies that the demo printed."""
    kinds = ["wide only", "deep only", "wide & deep", "gradient boosting"]
    scores = text.split("The best of each kind")[1].splitlines()
    header = next(line for line in scores if "exception" in line).split()[1:]
    rows = {
        kind: line.split()[-len(header) - 2 :]
        for kind in kinds
        for line in scores
        if line.strip().startswith(kind)
    }
    names = [*header[:5], "fit s"]
    return pd.DataFrame(
        {kind: map(float, row[-len(names) :]) for kind, row in rows.items()}, names
    ).T


def test_main_job_saves_a_picture(main_job):
    """Protects the picture: a PNG that shows more than an empty sheet."""
    from matplotlib.image import imread

    _, output = main_job
    picture = imread(output / "memorize_or_generalize.png")
    assert min(picture.shape[:2]) > 400
    assert picture.std() > 0.05


def test_main_job_prints_its_tables(main_job):
    """Protects what a newcomer is to see: search, scores, sentence, weights."""
    text, _ = main_job
    assert list(table_of(text).columns[:3]) == ["general", "exception", "noise"]
    assert len(table_of(text)) == 4
    assert "Grid search" in text
    assert "Of the exceptions" in text
    assert "cat_0=level_" in text


def test_joint_model_memorizes_exceptions(main_job):
    """Protects the point of the demo: only a model with crosses learns exceptions."""
    exception = table_of(main_job[0])["exception"]
    assert exception["wide & deep"] > exception["deep only"] + 0.1


def test_main_job_takes_adult_or_says_why_not(main_job, demo, monkeypatch, capsys):
    """Protects the second table: fitted where there is a file, else one line."""
    adult = main_job[0].split("Adult")[1]
    assert "ROC AUC" in adult or "Skipped" in adult

    def fetch_nothing(**_):
        raise OSError("there is no file")

    monkeypatch.setattr(demo, "fetch_adult", fetch_nothing)
    demo.run_adult(quick=True)
    assert "Skipped: there is no file" in capsys.readouterr().out


def test_csv(demo, csv_file, capsys):
    """Protects the run on a user's own file, and that left-out rows are told."""
    assert demo.main(["--csv", str(csv_file), "--target", "Label"]) == 0
    text = capsys.readouterr().out
    assert "without a value of 'Label' are left out: 3." in text
    assert "only one of their class are left out: 1." in text
    for part in ("116 rows", "Log-loss", "ROC AUC", "1 number", "color=blue"):
        assert part in text


def test_csv_with_many_classes(demo, tmp_path, capsys):
    """Protects the weights of many classes: one line each, not one column a class."""
    frame = pd.DataFrame({"x": list("abcd") * 25, "y": [1, 2, 3, 4] * 25})
    frame.to_csv(tmp_path / "many.csv", index=False)
    assert demo.main(["--csv", str(tmp_path / "many.csv"), "--target", "y"]) == 0
    text = capsys.readouterr().out
    assert "ROC AUC" not in text
    assert "weight_1" not in text


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        (None, "y", "there is no file"),
        ("", "y", "cannot be read as CSV"),
        ("a,b\n" + "1,2\n" * 30, "B ", "did you mean 'b'?"),
        ("a,b\n" + "1,2\n" * 30, "price", "the columns are a, b"),
        ("a;y\n" + "1;2\n" * 30, "y", "separated by commas?"),
        ("y\n" + "1\n2\n" * 30, "y", "no column beside the target"),
        ("a,y\n" + "1,2\n" * 30, "y", "one class only"),
        ("a,y\n" + "1,2\n1,3\n" * 3, "y", "at least 20 are needed"),
        ("a,y\n" + "1,2.5\n1,3.5\n" * 30, "y", "expected classes"),
        ("a,y\n" + "".join(f"1,{i}\n" for i in range(60)), "y", "expected classes"),
        ("a,y\n" + "inf,2\n1,3\n" * 30, "y", "infinity in column 'a'"),
    ],
)
def test_csv_errors(demo, tmp_path, capsys, content, target, message):
    """Protects users from tracebacks: one line on stderr, exit code 2."""
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    assert demo.main(["--csv", str(path), "--target", target]) == 2
    error = capsys.readouterr().err
    assert error.startswith("demo.py: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_csv_and_target_go_together(demo, capsys):
    """Protects from running the wrong job when one of the two is forgotten."""
    assert demo.main(["--csv", "table.csv"]) == 2
    assert demo.main(["--target", "y"]) == 2
    assert "go together" in capsys.readouterr().err
