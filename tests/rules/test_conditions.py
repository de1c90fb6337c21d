"""Conditions hold of the rows that they should, and wrong use is told at once."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.rules import FunctionCondition, col, parse_condition

X = pd.DataFrame(
    {
        "title": ["Gold rings", "ring binder", None, "", "motor oil"],
        "price": [80.0, 4.5, 20.0, np.nan, 50.0],
        "Unit price": [1, 2, 3, 4, 5],
        "stock": [True, False, True, True, False],
    }
)


def holds(condition, frame=X):
    return np.flatnonzero(condition.evaluate(frame)).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('title.matches("rings?")', [0, 1]),
        (r'title.matches(r"\bring\b")', [1]),
        ('title.matches("gold")', []),
        ('title.matches("gold", case=False)', [0]),
        ('title.contains(".")', []),
        ('title.contains("OIL", case=False)', [4]),
        ('title.isin(["", "motor oil"])', [3, 4]),
        ('title == ""', [3]),
        ('title != ""', [0, 1, 4]),
        ("price < 50", [1, 2]),
        ("price <= 50", [1, 2, 4]),
        ("price > 50", [0]),
        ("50 <= price", [0, 4]),
        ("price.between(4.5, 50)", [1, 2, 4]),
        ("~price.between(4.5, 50)", [0]),
        ("price.isin([20, 80])", [0, 2]),
        ("~price.isin([20, 80])", [1, 4]),
        ("price.isna()", [3]),
        ("~price.isna()", [0, 1, 2, 4]),
        ('col("Unit price") == 3', [2]),
        ('col("Unit price").isin([2.5, 4, 99999999999])', [3]),
        ("stock == True", [0, 2, 3]),
        ("stock != True", [1, 4]),
        # Unknown and false is false, unknown or true is true.
        ('title.contains("o") | (price == 20)', [0, 2, 4]),
        ('~(title.contains("o") & (price > 60))', [1, 2, 3, 4]),
        ('~(title.contains("o") & (price > 10))', [1, 3]),
        ('title.isna() | ~title.contains("i")', [2, 3]),
    ],
)
def test_rows(text, rows):
    assert holds(parse_condition(text)) == rows


@pytest.mark.parametrize(
    ("dtype", "column"),
    [
        (object, "title"),
        ("category", "title"),
        ("string", "title"),
        ("string[pyarrow]", "title"),
        ("Float64", "price"),
        ("float32", "price"),
        ("category", "price"),
        ("double[pyarrow]", "price"),
        (object, "price"),
        ("boolean", "stock"),
        (object, "stock"),
        ("category", "stock"),
        ("Int64", "Unit price"),
        ("uint8", "Unit price"),
        (object, "Unit price"),
    ],
)
def test_dtypes_make_no_difference(dtype, column):
    other = X.astype({column: dtype})
    conditions = {
        "title": [col("title").matches("i"), col("title") == "motor oil"],
        "price": [col("price") < 50, col("price").isin([80, 4.5])],
        "stock": [col("stock") == True, col("stock").isin([False])],  # noqa: E712
        "Unit price": [col("Unit price") > 2, col("Unit price").isin([1, 300, -1])],
    }[column]
    for condition in [*conditions, col(column).isna()]:
        assert holds(condition, other) == holds(condition)
        assert holds(~condition, other) == holds(~condition)


def test_missing_values_match_isna_only():
    for empty in ([None, None], [np.nan, np.nan], [pd.NA, pd.NA], [pd.NaT, pd.NaT]):
        frame = pd.DataFrame({"a": empty})
        for condition in (col("a").matches("x"), col("a") == 1, col("a") < 2):
            assert holds(condition, frame) == holds(~condition, frame) == []
        assert holds(col("a").isna(), frame) == [0, 1]
    assert holds(col("title").matches("x"), X[:0]) == []


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (col("price").matches("4"), r"for text, but column 'price' holds numbers"),
        (col("title") < 5, r"column 'title' holds text; convert it with pd.to_numeric"),
        (col("title") == 5, "holds text"),
        (col("price") == "80", "holds numbers"),
        (col("stock") == 1, "compare with True or False"),
        (col("mixed").contains("a"), "holds mixed values"),
        (col("day") == "2024-01-01", "holds dates"),
    ],
)
def test_columns_of_another_kind_are_refused(condition, message):
    frame = X.assign(mixed=["a", 1, "b", 2.5, None], day=pd.Timestamp("2024-01-01"))
    with pytest.raises(TypeError, match=message):
        condition.evaluate(frame)


def test_missing_and_double_columns():
    with pytest.raises(ValueError, match=r'X has no column col\("a b"\)'):
        col("a b").isna().evaluate(X)
    with pytest.raises(ValueError, match="2 columns named 'a'"):
        col("a").isna().evaluate(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(TypeError, match="pandas DataFrame; got ndarray"):
        col(0).isna().evaluate(np.zeros((2, 2)))
    assert holds(col(1) == 2, pd.DataFrame([[1, 2]])) == [0]


@pytest.mark.parametrize(
    "use",
    [
        lambda: (col("a") == 1) and (col("b") == 2),
        lambda: 1 < col("a") < 5,
        lambda: not col("a").isna(),
        lambda: bool(col("a")),
        lambda: col("a") == 1 & col("b"),
        lambda: col("a") & (col("b") == 1),
        lambda: (col("a") == 1) & 5,
        lambda: ~col("a"),
        lambda: "x" in col("a"),
        lambda: col("a") == col("b"),
        lambda: col("a") < "5",
        lambda: col("a") < True,
        lambda: col("a").isin("abc"),
        lambda: col("a").matches(5),
        lambda: col(1.5),
        lambda: col("a") == [1],
    ],
)
def test_wrong_use_is_a_type_error(use):
    with pytest.raises(TypeError):
        use()


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: col("a").matches("rings?("), "unterminated subpattern"),
        (lambda: col("a").matches("\bring"), "raw string"),
        (lambda: col("a").matches("(" * 10_000 + ")" * 10_000), "bad pattern"),
        (lambda: col("a").matches(""), "empty"),
        (lambda: col("a").isin([]), "empty list"),
        (lambda: col("a").isin([1, "a"]), "one kind"),
        (lambda: col("a").between(5, 1), "swap the ends"),
        (lambda: col("a") < float("nan"), "finite"),
        (lambda: col("a") == float("nan"), "isna"),
        (lambda: col("a") == None, "isna"),  # noqa: E711
        (lambda: col("a") < 10**5000, "huge number"),
    ],
)
def test_values_out_of_range(use, message):
    with pytest.raises(ValueError, match=message):
        use()


def test_messages_help():
    with pytest.raises(TypeError, match="between"):
        assert 1 < col("a") < 5
    with pytest.raises(TypeError, match="parentheses"):
        assert col("a") == 1 & col("b")


def test_conditions_are_values():
    one, two = col("a").isin(["x", "y"]), col("b") < 50.0
    assert one == col("a").isin(["y", "x", "y"])
    assert two == (col("b") < 50) and str(two) == "b < 50"
    assert one & two == two & one and hash(one & two) == hash(two & one)
    assert one & two != one | two and one & one == one and ~~one == one
    assert (col("a") == 1) != (col("a") == True)  # noqa: E712
    assert (one & two & ~one).columns == {"a", "b"}
    for condition in (one, two, one & ~two, ~(one | two)):
        assert pickle.loads(pickle.dumps(condition)) == condition
        assert copy.deepcopy(condition) == condition
    with pytest.raises(AttributeError):
        one.column = "b"


def test_functions():
    def cheap(X):
        return X["price"] < 50

    condition = FunctionCondition(cheap)
    assert holds(condition & ~col("title").contains("o")) == [1]
    with pytest.raises(ValueError, match="no text form"):
        (condition | col("price").isna()).to_text()
    unknown = FunctionCondition(lambda X: X["price"].astype("Float64") < 50)
    assert holds(unknown) == [1, 2] and holds(~unknown) == [0, 4]
    with pytest.raises(ValueError, match="one boolean a row, 5; got 1"):
        FunctionCondition(lambda X: [True]).evaluate(X)
    with pytest.raises(TypeError, match="must return booleans; got 1"):
        FunctionCondition(lambda X: [1] * 5).evaluate(X)


def test_nesting_ends():
    condition = col("a").isna()
    with pytest.raises(ValueError, match="50 deep"):
        for i in range(200):
            condition = ~(condition & (col("b") == i))
    joined = col("a") == 0
    for i in range(1, 2000):
        joined |= col("a") == i
    assert joined.depth == 1


values = st.sampled_from([None, 0.0, 1.0, 2.5])
atoms = st.one_of(
    st.builds(lambda c, v: col(c) < v, st.sampled_from("ab"), st.integers(0, 3)),
    st.builds(lambda c, v: col(c) == v, st.sampled_from("ab"), st.integers(0, 3)),
    st.builds(lambda c: col(c).isna(), st.sampled_from("ab")),
    st.builds(lambda c: col(c).between(1, 2), st.sampled_from("ab")),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=8,
)
tables = st.lists(st.tuples(values, values), max_size=6).map(
    lambda rows: pd.DataFrame(rows, columns=["a", "b"], dtype=float)
)


@given(one=conditions, two=conditions, frame=tables)
def test_laws_of_logic(one, two, frame):
    def same(left, right):
        assert holds(left, frame) == holds(right, frame)

    same(~(one & two), ~one | ~two)
    same(~(one | two), ~one & ~two)
    same(one & two, two & one)
    same(one | (one & two), one)
    assert not set(holds(one, frame)) & set(holds(~one, frame))
