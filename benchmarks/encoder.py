"""How fast and how lean TableEncoder is, beside scikit-learn's own encoders.

Encodes a table of 14 mixed columns: rows of Adult, resampled, where
`sklearn_memgen.datasets.fetch_adult` finds its file, else a generated table. There are
two peers. One is a ColumnTransformer of an OrdinalEncoder for strings and a
RobustScaler for numbers, the other what pytorch-widedeep takes for its wide and its
deep part: a WidePreprocessor, without crosses, and a TabPreprocessor. Both do less:
they keep rare values, count nothing, have no bins, remember no exact numbers and look
at no labels.

    python benchmarks/encoder.py --rows 1000000

pytorch-widedeep, which loops over the values, gets a tenth of the rows: compare rows
per second, not seconds.

Seconds are the least of several calls. Memory is what the process grows by, at most,
from holding the table to having it fitted and transformed, as a multiple of the table.
Each encoder runs in a process of its own, so that none lives on what another freed.
"""

import argparse
import gc
import multiprocessing
import platform
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psutil
import sklearn
from peers import PytorchWideDeep
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.preprocessing import OrdinalEncoder, RobustScaler

from sklearn_memgen.datasets import fetch_adult
from sklearn_memgen.tables import TableEncoder

MIB = 2**20


def load_adult(n_rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.Series]:
    """Draw rows of Adult with replacement."""
    adult = fetch_adult(download_if_missing=False)
    rows = rng.integers(len(adult.data), size=n_rows)
    X = adult.data.iloc[rows].reset_index(drop=True)
    return X, adult.target.iloc[rows].reset_index(drop=True)


def make_table(n_rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.Series]:
    """Generate 6 columns of numbers and 8 of strings, some values missing."""
    columns = {}
    for j, n_values in enumerate((70, 16, 100, 120, 90, 20_000)):
        columns[f"number_{j}"] = rng.integers(0, n_values, n_rows)
    for j, n_values in enumerate((2, 5, 6, 7, 9, 15, 16, 42)):
        words = np.array(
            [f"a value such as {k}" for k in range(n_values)], dtype=object
        )
        words[-1] = None
        columns[f"string_{j}"] = words[rng.integers(0, n_values, n_rows)]
    X = pd.DataFrame(columns).infer_objects()
    y = (X["number_0"] + rng.normal(0, 30, n_rows) > 35).rename("target")
    return X, y


def load_table(n_rows: int) -> tuple[pd.DataFrame, pd.Series, str]:
    """Return the columns, the labels, and where they come from."""
    rng = np.random.default_rng(0)
    try:
        return *load_adult(n_rows, rng), "Adult, resampled"
    except OSError:
        return *make_table(n_rows, rng), "generated"


def make_peer() -> ColumnTransformer:
    """The parts of scikit-learn from which such an encoding is usually put together."""
    strings = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    is_number = make_column_selector(dtype_include="number")
    is_string = make_column_selector(dtype_exclude="number")
    return ColumnTransformer(
        [("numbers", RobustScaler(), is_number), ("strings", strings, is_string)]
    )


def least_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Time a call."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_growth(call: Callable[[], Any]) -> int:
    """Return by how many bytes the process grows, at most, during a call."""
    gc.collect()
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return peak - before


class PytorchWideDeepPreprocessors(PytorchWideDeep):
    """The encoding alone, with the methods of an encoder."""

    def fit(self, X: pd.DataFrame, y: pd.Series) -> Any:
        return self.fit_preprocessors(X)


#: How to make each encoder, and its share of the rows.
ENCODERS: dict[str, tuple[Callable[[], Any], float]] = {
    "scikit-learn parts": (make_peer, 1),
    "pytorch-widedeep": (lambda: PytorchWideDeepPreprocessors(crosses=()), 0.1),
    "TableEncoder": (lambda: TableEncoder(random_state=0), 1),
}


def run(name: str, n_rows: int, repeats: int) -> tuple[str, dict[str, str]]:
    """Describe the table, and measure one encoder on it."""
    make, share = ENCODERS[name]
    n_rows = int(n_rows * share)
    X, y, source = load_table(n_rows)
    size = X.memory_usage(deep=True).sum()
    encoder = make().fit(X[:1000], y[:1000])  # which loads what is loaded late
    growth = peak_growth(lambda: encoder.fit(X, y).transform(X))
    fit = least_seconds(lambda: encoder.fit(X, y), repeats)
    transform = least_seconds(lambda: encoder.transform(X), repeats)
    table = f"{source}: {n_rows:,} rows x {X.shape[1]} columns, {size / MIB:,.0f} MiB"
    return table, {
        "encoder": name,
        "rows": f"{n_rows:,}",
        "fit (s)": f"{fit:.2f}",
        "transform (s)": f"{transform:.2f}",
        "transform (rows/s)": f"{n_rows / transform:,.0f}",
        "peak extra memory (x table)": f"{growth / size:.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name in ENCODERS:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as alone:
            job = alone.submit(run, name, options.rows, options.repeats)
            table, row = job.result()
            rows.append(row)
    print(
        f"{table}; {joblib.cpu_count()} cores, Python {platform.python_version()}, "
        f"pandas {pd.__version__}, scikit-learn {sklearn.__version__}\n"
    )
    print(pd.DataFrame(rows).set_index("encoder").T.to_string())


if __name__ == "__main__":
    main()
