"""Batches that are indexed out of resident data."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_memgen.tables import CSRParts, TableTensors
from sklearn_memgen.training import ArrayTensors, ResidentBatches, ResidentDataset
from sklearn_memgen.training import batches as batches_module


def make_dataset(n_rows=100, weighted=True):
    X = torch.arange(n_rows, dtype=torch.float32)[:, None].expand(n_rows, 2)
    y = torch.arange(n_rows)
    weight = torch.arange(n_rows, dtype=torch.float32) if weighted else None
    return ResidentDataset(ArrayTensors({"": X}), y, weight)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("block", [1, 30, 10_000])
@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_each_row_comes_once_with_what_belongs_to_it(
    shuffle, block, batch_size, monkeypatch
):
    """Whatever the sizes of batches and of the blocks they are cut from."""
    monkeypatch.setattr(batches_module, "_BLOCK_ROWS", block)
    dataset = make_dataset()
    iterator = ResidentBatches(dataset, batch_size=batch_size, shuffle=shuffle)
    seen, n_batches = [], 0
    for batch in iterator:
        X, y = batch
        assert len(X) <= batch_size
        assert torch.equal(X[:, 0].long(), y)
        assert torch.equal(batch.weight.long(), y)
        assert torch.equal(torch.arange(100)[batch.rows], y)
        seen += y.tolist()
        n_batches += 1
    assert n_batches == len(iterator)
    assert sorted(seen) == list(range(100))
    assert (seen == sorted(seen)) is not shuffle


def test_every_pass_has_another_order_and_the_seed_decides():
    torch.manual_seed(0)
    iterator = ResidentBatches(make_dataset(), batch_size=100, shuffle=True)
    first, second = ([y.tolist() for _, y in iterator] for _ in range(2))
    torch.manual_seed(0)
    assert [y.tolist() for _, y in iterator] == first
    assert first != second


def test_sparse_rows_are_cut_out_right():
    """Blocks of a shuffled sparse matrix hold the values of their rows."""
    matrix = sparse.random_array((50, 8), density=0.2, rng=0, format="csr")
    parts = CSRParts(
        *(torch.from_numpy(a.copy()) for a in (matrix.indptr, matrix.indices)),
        torch.from_numpy(matrix.data),
    )
    table = TableTensors(torch.zeros(50, 0), torch.zeros(50, 0), parts)
    dataset = ResidentDataset(table, torch.arange(50))
    for inputs, y in ResidentBatches(dataset, batch_size=7, shuffle=True):
        ends = torch.cat([inputs["offsets"][1:], torch.tensor([len(inputs["values"])])])
        for k, row in enumerate(y.tolist()):
            span = slice(int(inputs["offsets"][k]), int(ends[k]))
            dense = np.zeros(8)
            dense[inputs["indices"][span]] = inputs["values"][span]
            np.testing.assert_array_equal(dense, matrix[[row]].toarray()[0])


def test_data_too_large_for_the_device_stay_pinned_on_the_host(monkeypatch):
    """And batches are streamed from there."""
    moves = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 1000))
    monkeypatch.setattr(
        ResidentDataset, "to", lambda self, device, **kw: moves.append("to") or self
    )
    monkeypatch.setattr(
        ResidentDataset, "pin_memory", lambda self: moves.append("pin") or self
    )
    cuda = torch.device("cuda")
    make_dataset(50).resident(cuda)  # 400 of 1000 bytes
    make_dataset(100).resident(cuda)  # 800 of 1000 bytes
    assert moves == ["to", "pin"]


def test_dataset_serves_skorch_and_single_rows():
    X, y = make_dataset()[3]
    assert X[0, 0] == 3
    assert y.tolist() == [3]


def test_dict_of_arrays_goes_in_by_name():
    arrays = {"a": torch.zeros(4, 2), "b": torch.ones(4, dtype=torch.int64)}
    rows = ArrayTensors(arrays)
    assert rows[1:3].inputs().keys() == arrays.keys()
    assert len(rows) == 4
    assert rows.nbytes == 4 * 2 * 4 + 4 * 8
