"""Roles of columns: what a reader of the table would expect."""

import numpy as np
import pandas as pd
import pytest

from sklearn_memgen.rules.roles import find_roles

N = 300
X = pd.DataFrame(
    {
        "title": [f"gold ring {i}" for i in range(N)],
        "brand": ["Acme", "Big Corp", "Old & Sons"] * 100,
        "code": [f"id{i}" for i in range(N)],
        "price": np.linspace(0, 1, N),
        "sold": [True, False] * 150,
        "grade": pd.Categorical([1, 2, 3] * 100),
        "review": ["this is a long text that is there many times"] * N,
        "day": pd.Timestamp("2024-05-31"),
        "nothing": None,
        "things": [object()] * N,
        ("a", 1): 0.0,
    }
)
ROLES = {
    "title": "text",
    "brand": "category",
    "code": "category",
    "price": "number",
    "sold": "category",
    "grade": "category",
    "review": "text",
}


def test_roles():
    assert find_roles(X) == ROLES
    assert find_roles(X.head(4)[["title", "brand"]]) == {
        "title": "text",
        "brand": "text",
    }


@pytest.mark.parametrize("dtype", ["object", "string", "string[pyarrow]"])
def test_dtypes_of_strings(dtype):
    frame = X[["title", "brand"]].astype(dtype)
    frame.loc[3] = None
    assert find_roles(frame) == {"title": "text", "brand": "category"}


def test_columns_that_are_asked_for():
    assert find_roles(X, ["price", "brand"]) == {"price": "number", "brand": "category"}
    asked = {"brand": "text", "price": "category", "grade": "number", "title": None}
    assert find_roles(X, asked) == {**asked, "title": "text"}
    assert find_roles(X, ["nothing"]) == {}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["size"], "no column 'size'"),
        (["day"], "'day' holds dates"),
        (["things"], "'things' holds mixed values"),
        ({"title": "number"}, "'title' holds text; the role 'number' is for numbers"),
        ({"price": "text"}, "'price' holds numbers; the role 'text' is for text"),
        ({"title": "words"}, "role of column 'title' must be one of"),
        ("title", "must be a list of names"),
        ([("a", 1)], "must be a string or an integer"),
    ],
)
def test_wrong_columns(columns, message):
    with pytest.raises((TypeError, ValueError), match=message):
        find_roles(X, columns)


def test_wrong_tables():
    with pytest.raises(TypeError, match="DataFrame; got list"):
        find_roles([["a"]])
    with pytest.raises(ValueError, match="several columns named price"):
        find_roles(X[["price", "price"]])
