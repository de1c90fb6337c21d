"""A table of all kinds of columns, and an encoder fitted to it."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, settings

from sklearn_memgen.tables import TableEncoder

# A busy machine is no failure.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def draw_table(n_rows=300, seed=0):
    """A table of all kinds of columns, with missing values, and its labels."""
    rng = np.random.default_rng(seed)
    amount = rng.integers(0, 60, n_rows).astype(float)
    rule = np.random.default_rng(99).integers(0, 2, 60)
    colors = rng.choice(["red", "green", "blue"], (n_rows, 4))
    frame = pd.DataFrame(
        {
            "amount": amount,
            "size": rng.normal(size=n_rows),
            "level": pd.array(rng.integers(0, 3, n_rows), dtype="Int64"),
            "city": rng.choice(["Rome", "Oslo", "Bern"], n_rows),
            "grade": pd.Categorical(rng.choice(list("abc"), n_rows)),
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 40, n_rows), unit="D"),
            "note": [f"{' '.join(c)} number {i}" for i, c in enumerate(colors)],
        }
    )
    for name in ("size", "level", "city", "day", "note"):
        frame.loc[rng.random(n_rows) < 0.1, name] = None
    return frame, rule[amount.astype(int)]


@pytest.fixture(scope="session")
def make_table():
    """Draw a table and its labels."""
    return draw_table


@pytest.fixture(scope="session")
def fitted():
    X, y = draw_table()
    encoder = TableEncoder(
        memorize=["amount"],
        crosses=[("city", "grade"), ("city", "level", "size")],
        n_text_buckets=2**12,
        random_state=0,
    )
    return encoder.fit(X, y), X, y


def compare(table, other):
    torch.testing.assert_close(
        table.numbers, other.numbers, rtol=0, atol=0, equal_nan=True
    )
    assert torch.equal(table.ids, other.ids)
    assert (table.csr is None) == (other.csr is None)
    if table.csr is not None:
        for name in ("indptr", "indices", "values"):
            assert torch.equal(getattr(table.csr, name), getattr(other.csr, name))


@pytest.fixture(scope="session")
def assert_equal():
    """Compare two encoded tables bit by bit."""
    return compare
