"""The sparse part: sparse input and text columns."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklearn_memgen.tables.sparse import SparseColumns, TextColumns


def dense(parts, n_columns):
    shape = (len(parts), n_columns)
    arrays = (parts.values.numpy(), parts.indices.numpy(), parts.indptr.numpy())
    return sparse.csr_matrix(arrays, shape).toarray()


MATRIX = sparse.csr_matrix(np.array([[0, -4, 0], [2, 1, 0]], dtype=np.float32))


def test_columns_are_scaled_to_one():
    columns = SparseColumns.fit(MATRIX)
    assert columns.n_features == 3 and columns.words() == ["x0", "x1", "x2"]
    parts = columns.transform(MATRIX)
    np.testing.assert_array_equal(dense(parts, 3), [[0, -1, 0], [1, 0.25, 0]])


def test_input_is_left_alone():
    matrix = MATRIX.copy()
    matrix.data[0] = np.inf
    before = matrix.data.copy()
    with pytest.warns(UserWarning, match="NaN or infinity"):
        SparseColumns.fit(MATRIX).transform(sparse.csr_matrix(matrix))
    np.testing.assert_array_equal(matrix.data, before)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_no_missing_values(strange):
    """A sparse matrix has no place for them: refused in fit, zero later."""
    matrix = MATRIX.copy()
    matrix.data[0] = strange
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        SparseColumns.fit(matrix)
    with pytest.warns(UserWarning, match="taken as zero"):
        parts = SparseColumns.fit(MATRIX).transform(matrix)
    np.testing.assert_array_equal(dense(parts, 3), [[0, 0, 0], [1, 0.25, 0]])


def test_a_frame_of_the_same_columns():
    frame = pd.DataFrame(MATRIX.toarray())
    parts = SparseColumns.fit(MATRIX).transform(frame)
    np.testing.assert_array_equal(dense(parts, 3), [[0, -1, 0], [1, 0.25, 0]])


def test_garbage_in_a_frame_is_zero():
    frame = pd.DataFrame({0: ["x", 2], 1: [-4, None], 2: [10**400, 0]}, dtype=object)
    with pytest.warns(UserWarning):
        parts = SparseColumns.fit(MATRIX).transform(frame)
    np.testing.assert_array_equal(dense(parts, 3), [[0, -1, 0], [1, 0, 0]])


def test_no_text_no_sparse_part():
    columns = TextColumns.fit(pd.DataFrame(index=range(3)), 16)
    assert columns.transform(pd.DataFrame(index=range(3))) is None
    assert columns.n_features == 0 and columns.words() == []


def test_text_columns_stand_side_by_side():
    table = pd.DataFrame({"t": ["red wine", None], "u": ["wine", "wine"]})
    columns = TextColumns.fit(table, 2**10)
    assert columns.names() == ["t", "u"] and columns.n_features == 2**11
    parts, words = columns.transform(table), columns.words()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = [[words[i] for i in parts[slice(r, r + 1)].indices] for r in range(2)]
    assert sorted(rows[0]) == ["t: red", "t: red wine", "t: wine", "u: wine"]
    assert rows[1] == ["u: wine"]
