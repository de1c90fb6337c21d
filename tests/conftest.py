"""Data that many tests share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tests.probes import make_blobs
from tests.tiny_text import make_tiny_model

# No test asks the Hugging Face hub.
os.environ["HF_HUB_OFFLINE"] = "1"


def make_mixed_table(n_rows: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Draw a table of many dtypes with missing values, and labels that it predicts."""
    rng = np.random.default_rng(seed)
    number = rng.normal(size=n_rows)
    level = rng.integers(0, 5, n_rows)
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(n_rows) < 0.1, np.nan, number),
            "count": rng.poisson(3, n_rows),
            "flag": rng.random(n_rows) < 0.5,
            "nullable": pd.array(rng.integers(0, 9, n_rows), dtype="Int64"),
            "city": np.array(["Rome", "Oslo", "Lima", "Kyiv", "Bern"])[level],
            "grade": pd.Categorical(np.array(list("abc"))[level % 3]),
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 300, n_rows), unit="D"),
        }
    )
    frame.loc[rng.random(n_rows) < 0.1, "city"] = None
    frame.loc[rng.random(n_rows) < 0.1, "nullable"] = pd.NA
    positive = number + (level == 2) + 0.3 * rng.normal(size=n_rows) > 0.2
    y = pd.Series(np.where(positive, "yes", "no"), name="answer")
    return frame, y


@pytest.fixture
def mixed_table() -> tuple[pd.DataFrame, pd.Series]:
    """A mixed table of 400 rows and its labels."""
    return make_mixed_table(400)


@pytest.fixture(scope="session")
def digits() -> list[np.ndarray]:
    """Handwritten digits: X to train, X to test, y to train, y to test."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, random_state=0)


@pytest.fixture(scope="session")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 400 rows."""
    X, y, _, _ = make_blobs(400)
    return X, y


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> str:
    """The folder of a tiny transformer and its tokenizer; see `tests.tiny_text`."""
    pytest.importorskip("transformers")
    return make_tiny_model(tmp_path_factory.mktemp("tiny_model"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """See that Ctrl-C interrupts, which programs in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real tables; tests that need it skip without it."""
    folder = os.environ.get("SKLEARN_MEMGEN_DATA")
    if folder is None or not Path(folder).is_dir():
        pytest.skip("SKLEARN_MEMGEN_DATA names no folder of real tables")
    return Path(folder)


@pytest.fixture(scope="session")
def offers(data_folder) -> pd.DataFrame:
    """Product offers of pricerunner: titles, products (`cluster_id`) and categories."""
    names = "product_id title merchant_id cluster_id cluster_label category_id category"
    path = data_folder / "pricerunner" / "pricerunner_aggregate.csv"
    if not path.exists():
        pytest.skip(f"SKLEARN_MEMGEN_DATA has no {path.name}")
    return pd.read_csv(path, header=None, names=names.split())
