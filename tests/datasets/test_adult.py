"""The Adult table comes in one form, from wherever it is, or says where it is not."""

import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from sklearn_memgen.datasets import _adult, fetch_adult

DATA = os.environ.get("SKLEARN_MEMGEN_DATA")
REAL_FILE = Path(DATA or "", "tabular", "adult.parquet")
NUMERIC = ["age", "fnlwgt", "education-num"]
NUMERIC += ["capital-gain", "capital-loss", "hours-per-week"]
FEATURES = ["age", "workclass", "fnlwgt", "education", "education-num"]
FEATURES += ["marital-status", "occupation", "relationship", "race", "sex"]
FEATURES += ["capital-gain", "capital-loss", "hours-per-week", "native-country"]

needs_real_file = pytest.mark.skipif(
    not (DATA and REAL_FILE.is_file()),
    reason="SKLEARN_MEMGEN_DATA is not set to a folder with tabular/adult.parquet",
)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch, tmp_path):
    """Keep tests from the user's folders, the real file and the network."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "default_home"))
    monkeypatch.delenv("SKLEARN_MEMGEN_DATA", raising=False)

    def no_network(**params):
        raise URLError("no route to host")

    monkeypatch.setattr(_adult, "fetch_openml", no_network)


@pytest.fixture
def small():
    """Three rows in the form that `fetch_adult` promises."""
    frame = pd.DataFrame({name: ["a", np.nan, "b"] for name in FEATURES})
    for name in NUMERIC:
        frame[name] = [0, 50, 99]
    return frame.assign(target=["<=50K", ">50K", "<=50K"])


def write(frame, folder):
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "adult.parquet")
    return folder


@needs_real_file
def test_real_file(monkeypatch):
    monkeypatch.setenv("SKLEARN_MEMGEN_DATA", DATA)
    adult = fetch_adult(download_if_missing=False)
    assert adult.data.shape == (48_842, 14)
    assert adult.data.select_dtypes("int64").columns.tolist() == NUMERIC
    assert adult.data.isna().sum()[lambda n: n > 0].to_dict() == {
        "workclass": 2_799,
        "occupation": 2_809,
        "native-country": 857,
    }
    assert adult.target.value_counts().to_dict() == {"<=50K": 37_155, ">50K": 11_687}
    # Of the official train split, 7,841 are known to earn more.
    assert (adult.target[:32_561] == ">50K").sum() == 7_841
    pd.testing.assert_frame_equal(adult.frame, pd.read_parquet(REAL_FILE))


def test_bunch_and_X_y(small, tmp_path):
    home = write(small, tmp_path)
    adult = fetch_adult(home)
    pd.testing.assert_frame_equal(adult.frame, small)
    pd.testing.assert_frame_equal(adult.data, small[FEATURES])
    pd.testing.assert_series_equal(adult.target, small["target"])
    assert adult.feature_names == FEATURES
    assert adult.target_names == ["<=50K", ">50K"]
    assert "census" in adult.DESCR
    X, y = fetch_adult(home, return_X_y=True)
    pd.testing.assert_frame_equal(X, adult.data)
    pd.testing.assert_series_equal(y, adult.target)


def test_where_the_file_is_looked_for_first(small, tmp_path, monkeypatch):
    default = write(small.assign(age=1), tmp_path / "default_home")
    assert (fetch_adult().data["age"] == 1).all()

    write(small.assign(age=2), tmp_path / "variable" / "tabular")
    monkeypatch.setenv("SKLEARN_MEMGEN_DATA", str(tmp_path / "variable"))
    assert (fetch_adult().data["age"] == 2).all()
    assert (fetch_adult(tmp_path / "elsewhere").data["age"] == 2).all()

    given = write(small.assign(age=3), tmp_path / "given")
    assert (fetch_adult(str(given)).data["age"] == 3).all()
    assert (fetch_adult(default).data["age"] == 1).all()


def test_openml_answer_is_brought_to_the_same_form(small, tmp_path, monkeypatch):
    asked = {}

    def from_openml(**params):
        asked.update(params)
        frame = small.rename(columns={"target": "class"})
        words = [name for name in frame if name not in NUMERIC]
        frame[words] = frame[words].astype("category")
        frame[NUMERIC] = frame[NUMERIC].astype("float64")
        return Bunch(frame=frame)

    monkeypatch.setattr(_adult, "fetch_openml", from_openml)
    adult = fetch_adult(tmp_path)
    pd.testing.assert_frame_equal(adult.frame, small)
    assert asked == {
        "name": "adult",
        "version": 2,
        "as_frame": True,
        "data_home": tmp_path,
    }


def test_no_network_says_what_was_tried_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_MEMGEN_DATA", str(tmp_path / "variable"))
    with pytest.raises(OSError, match="OpenML .* could not be reached") as caught:
        fetch_adult(tmp_path / "given")
    message = str(caught.value)
    assert str(tmp_path / "given" / "adult.parquet") in message
    assert str(tmp_path / "variable" / "tabular" / "adult.parquet") in message
    assert "no route to host" in message
    assert "SKLEARN_MEMGEN_DATA" in message
    assert isinstance(caught.value.__cause__, URLError)


def test_without_download_the_network_is_not_asked(tmp_path):
    with pytest.raises(OSError, match="not in .*adult.parquet.*data_home") as caught:
        fetch_adult(tmp_path, download_if_missing=False)
    assert "OpenML" not in str(caught.value)


def test_another_table_under_the_name_is_refused(small, tmp_path):
    home = write(small.drop(columns=["sex", "target"]), tmp_path)
    with pytest.raises(ValueError, match=r"not the Adult table.*'sex', 'target'"):
        fetch_adult(home)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"data_home": 3}, "'data_home'.*Got 3"),
        ({"download_if_missing": "no"}, "'download_if_missing'.*Got 'no'"),
    ],
)
def test_bad_parameters_are_named_with_their_value(params, message):
    with pytest.raises(ValueError, match=message):
        fetch_adult(**params)
