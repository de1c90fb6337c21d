"""TokenTensors: rows of different length are cut, moved and padded without loss."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.tables.tokens import TokenTensors
from sklearn_memgen.training.batches import ResidentBatches, ResidentDataset

PADDING = 7


def pack(rows, *, marked=True, types=True):
    """Make tokens of lists of (id, mark, type)."""
    flat = [entry for row in rows for entry in row]
    lengths = torch.tensor([0, *map(len, rows)])
    return TokenTensors(
        torch.tensor([entry[0] for entry in flat], dtype=torch.int32),
        lengths.cumsum(0),
        PADDING,
        torch.tensor([e[1] for e in flat], dtype=torch.bool) if marked else None,
        torch.tensor([e[2] for e in flat], dtype=torch.uint8) if types else None,
    )


def pad(rows):
    """What `inputs` must give, as lists, by a loop over rows."""
    longest = max(map(len, rows), default=0)
    filled = [row + [(PADDING, False, 0)] * (longest - len(row)) for row in rows]
    there = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return {
        "input_ids": [[entry[0] for entry in row] for row in filled],
        "attention_mask": there,
        "token_type_ids": [[entry[2] for entry in row] for row in filled],
        "marked": [[entry[1] for entry in row] for row in filled],
    }


def assert_holds(tokens, rows):
    assert len(tokens) == len(rows)
    assert tokens.lengths.tolist() == list(map(len, rows))
    inputs = tokens.inputs()
    assert {name: tensor.tolist() for name, tensor in inputs.items()} == pad(rows)
    for name, tensor in inputs.items():
        assert tensor.dtype == (torch.bool if name == "marked" else torch.int64)
        assert tensor.shape == inputs["input_ids"].shape
    counts = [sum(entry[1] for entry in row) for row in rows]
    assert tokens.n_targets.tolist() == counts
    assert tokens.n_targets.dtype == tokens.lengths.dtype == torch.int64


entries = st.tuples(st.integers(0, 30_000), st.booleans(), st.integers(0, 1))
ragged = st.lists(st.lists(entries, max_size=6), max_size=8)


@given(ragged)
def test_padded_rows_are_those_of_a_loop(rows):
    """Rows without any token and no rows at all among them."""
    assert_holds(pack(rows), rows)


@given(ragged.filter(len), st.data())
def test_rows_by_index_are_those_of_a_list(rows, data):
    """In any order, some of them often, counted from the end as torch does."""
    number = st.integers(-len(rows), len(rows) - 1)
    numbers = data.draw(st.lists(number, max_size=12))
    part = pack(rows)[torch.tensor(numbers, dtype=torch.int64)]
    assert_holds(part, [rows[k] for k in numbers])


@given(ragged, st.data())
def test_rows_by_slice_are_those_of_a_list(rows, data):
    bound = st.none() | st.integers(-10, 10)
    step = st.sampled_from([None, 1, 2])
    cut = slice(data.draw(bound), data.draw(bound), data.draw(step))
    assert_holds(pack(rows)[cut], rows[cut])


@given(ragged, st.data())
def test_parts_of_parts(rows, data):
    """The engine takes a block of rows in some order, and slices of that."""
    order = data.draw(st.permutations(range(len(rows))))
    block = pack(rows)[torch.tensor(order, dtype=torch.int64)]
    assert_holds(block[1:3], [rows[k] for k in order][1:3])


ROWS = [[(5, True, 0), (6, False, 1)], [], [(8, True, 0), (9, True, 1), (4, False, 1)]]


@pytest.mark.parametrize("row", [3, -4])
def test_rows_that_are_not_there(row):
    with pytest.raises(IndexError):
        pack(ROWS)[torch.tensor([0, row])]


def test_slices_are_views():
    """Cutting a batch out of a block copies no token."""
    whole = pack(ROWS)
    part = whole[2:]
    for name in ("ids", "marked", "types"):
        storages = [getattr(t, name).untyped_storage() for t in (whole, part)]
        assert storages[0].data_ptr() == storages[1].data_ptr()


def test_what_is_not_there_is_no_input():
    """A model without token types or marks does not know their names."""
    plain = pack(ROWS, marked=False, types=False)
    for tokens in (plain, plain[1:], plain[torch.tensor([2, 0])], plain.to("cpu")):
        assert set(tokens.inputs()) == {"input_ids", "attention_mask"}
        assert tokens.n_targets is None


def test_repr_and_size():
    assert repr(pack(ROWS)) == (
        "TokenTensors(n_rows=3, n_tokens=5, marked=3, device=cpu)"
    )
    starts = 4 * 8
    assert pack(ROWS, marked=False, types=False).nbytes == 5 * 4 + starts
    assert pack(ROWS).nbytes == 5 * (4 + 1 + 1) + starts


def test_moved_as_a_whole():
    moved = pack(ROWS).to("meta")
    for name in ("ids", "starts", "marked", "types"):
        assert getattr(moved, name).device.type == "meta"
    assert moved.padding_id == PADDING


def test_pickled():
    """Also once the counts of targets have been asked for."""
    tokens = pack(ROWS)
    assert tokens.n_targets.tolist() == [1, 0, 2]
    assert_holds(pickle.loads(pickle.dumps(tokens)), ROWS)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_of_the_engine(shuffle):
    """Each marked token meets its own target, and each batch is padded for itself."""
    rows = [[(100 * k + j, j % 2 == 0, 0) for j in range(1 + k % 5)] for k in range(40)]
    tokens = pack(rows)
    targets = tokens.ids[tokens.marked].long()
    dataset = ResidentDataset(tokens, targets)
    seen = []
    for inputs, y in ResidentBatches(dataset, batch_size=4, shuffle=shuffle):
        assert torch.equal(inputs["input_ids"][inputs["marked"]], y)
        longest = inputs["attention_mask"].sum(1).max()
        assert inputs["input_ids"].shape[1] == longest
        seen += y.tolist()
    assert sorted(seen) == sorted(targets.tolist())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    """Pinned, moved and cut there, rows hold what they held."""
    moved = pack(ROWS).pin_memory().to("cuda", non_blocking=True)
    inputs = moved[torch.tensor([2, 0], device="cuda")].inputs()
    expected = pad([ROWS[2], ROWS[0]])
    for name, tensor in inputs.items():
        assert tensor.is_cuda and tensor.tolist() == expected[name]
