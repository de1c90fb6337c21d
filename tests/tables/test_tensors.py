"""The encoded table: rows are cut, moved and counted without loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklearn_memgen.tables import CSRParts, TableTensors


def parts_of(matrix):
    return CSRParts(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data.astype(np.float32)),
    )


@st.composite
def matrices(draw):
    """CSR matrices with empty rows at any place, or only empty ones."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=12))
    n = sum(lengths)
    indices = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    indptr = np.cumsum([0, *lengths])
    values = np.arange(1, n + 1, dtype=np.float32)
    return sparse.csr_matrix((values, indices, indptr), (len(lengths), 7))


def assert_same(parts, matrix):
    assert parts.indptr.tolist() == matrix.indptr.tolist()
    assert parts.indices.tolist() == matrix.indices.tolist()
    assert parts.values.tolist() == matrix.data.tolist()
    assert parts.indptr.dtype == parts.indices.dtype == torch.int64


@given(matrices(), st.data())
def test_rows_by_index_are_those_of_scipy(matrix, data):
    n = matrix.shape[0]
    rows = data.draw(st.lists(st.integers(-n, n - 1), max_size=20))
    picked = matrix[np.array(rows, dtype=int)]
    assert_same(parts_of(matrix)[torch.tensor(rows, dtype=torch.int64)], picked)


@given(matrices(), st.data())
def test_rows_by_slice_are_those_of_scipy(matrix, data):
    """Any slice that a tensor takes: beyond the end, backwards to nothing, stepped."""
    bound = st.none() | st.integers(-15, 15)
    rows = slice(
        data.draw(bound), data.draw(bound), data.draw(st.sampled_from([None, 1, 2]))
    )
    assert_same(parts_of(matrix)[rows], matrix[rows])


@given(matrices(), st.data())
def test_rows_by_mask_are_those_of_scipy(matrix, data):
    n = matrix.shape[0]
    mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    assert_same(parts_of(matrix)[torch.tensor(mask)], matrix[np.array(mask)])


def table(csr=True):
    matrix = sparse.csr_matrix(np.array([[0, 1], [0, 0], [2, 3]], dtype=np.float32))
    numbers = torch.arange(6.0).reshape(3, 2)
    ids = torch.arange(3, dtype=torch.int32).reshape(3, 1)
    return TableTensors(numbers, ids, parts_of(matrix) if csr else None)


@pytest.mark.parametrize(
    "rows", [slice(1, 3), slice(None, None, 2), torch.tensor([2, 0])], ids=repr
)
def test_all_parts_are_cut_alike(rows):
    whole, part = table(), table()[rows]
    assert torch.equal(part.numbers, whole.numbers[rows])
    assert torch.equal(part.ids, whole.ids[rows])
    assert len(part) == len(part.csr) == len(part.numbers) == 2


def test_slices_are_views():
    """Cutting a run of rows out copies nothing."""
    whole = table()
    part = whole[1:]
    for name in ("numbers", "ids"):
        of_part, of_whole = getattr(part, name), getattr(whole, name)
        assert (
            of_part.untyped_storage().data_ptr()
            == of_whole.untyped_storage().data_ptr()
        )


def test_inputs_feed_an_embedding_bag():
    """Offsets are those of the rows taken, so that sums are right after any cut."""
    whole = table()
    assert set(whole.inputs()) == {"numbers", "ids", "indices", "values", "offsets"}
    assert set(table(csr=False).inputs()) == {"numbers", "ids"}
    weight = torch.tensor([[10.0], [1.0]])
    for rows in (slice(None), slice(1, 3), torch.tensor([2, 1, 0, 2])):
        inputs = whole[rows].inputs()
        sums = torch.nn.functional.embedding_bag(
            inputs["indices"],
            weight,
            inputs["offsets"],
            mode="sum",
            per_sample_weights=inputs["values"],
        )
        expected = torch.tensor([[1.0], [0.0], [23.0]])[rows]
        assert torch.equal(sums, expected)


def test_repr_and_size():
    assert repr(table()) == (
        "TableTensors(n_rows=3, numbers=2, ids=1, csr=3 values, device=cpu)"
    )
    assert table(csr=False).nbytes == 6 * 4 + 3 * 4
    assert table().nbytes == table(csr=False).nbytes + 3 * (8 + 4)


def test_row_lengths_stay_on_the_host():
    """Reading them from another device would stall it."""
    moved = table().to("meta")
    assert moved.numbers.device.type == moved.ids.device.type == "meta"
    assert moved.csr.indices.device.type == moved.csr.values.device.type == "meta"
    assert moved.csr.indptr.device.type == "cpu"
    assert table(csr=False).to("meta").csr is None


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    """Pinned, moved and cut there, a table holds what it held."""
    moved = table().pin_memory().to("cuda", non_blocking=True)
    rows = torch.tensor([2, 0], device="cuda")
    inputs, expected = moved[rows].inputs(), table()[rows.cpu()].inputs()
    for name, tensor in inputs.items():
        assert tensor.is_cuda and torch.equal(tensor.cpu(), expected[name])
