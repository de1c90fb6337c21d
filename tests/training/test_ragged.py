"""Rows of different length, and rows of several targets, in the engine."""

import pytest
import torch
from torch import nn

from sklearn_memgen.tables.tokens import TokenTensors
from sklearn_memgen.training import (
    Member,
    Population,
    ResidentBatches,
    ResidentDataset,
    ResidentNet,
    Trace,
)
from sklearn_memgen.training import prediction as prediction_module
from sklearn_memgen.training.ragged import cut_by_length, pool_by_length, targets_of


def make_rows(n_rows=200, marked=False, seed=0):
    """Rows of 1 to 30 tokens; token ids tell the row."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 31, (n_rows,), generator=generator)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    ids = torch.arange(n_rows, dtype=torch.int32).repeat_interleave(lengths) + 1
    marks = torch.rand(len(ids), generator=generator) < 0.4 if marked else None
    if marks is not None:
        marks[starts[:-1]] = True  # one at least
    return TokenTensors(ids, starts, 0, marks)


class RowNet(nn.Module):
    """Logits of a row, of the mean of its token ids."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.float()
        means = (input_ids * mask).sum(1) / mask.sum(1)
        return self.linear(means[:, None] / 200)


class MarkedNet(RowNet):
    """Logits of the marked tokens, row by row."""

    def forward(self, input_ids, attention_mask, marked):
        return self.linear(input_ids[marked][:, None] / 200)


def test_targets_of_rows_are_those_that_a_loop_finds():
    rows = make_rows(50, marked=True)
    counts = rows.n_targets.tolist()
    starts = [sum(counts[:k]) for k in range(50)]
    chosen = torch.tensor([7, 7, 0, 49, 21])
    expected = [
        target
        for k in chosen.tolist()
        for target in range(starts[k], starts[k] + counts[k])
    ]
    assert targets_of(rows, chosen).tolist() == expected
    assert targets_of(rows, slice(3, 3)) == slice(starts[3], starts[3])
    assert targets_of(rows, slice(10, None)) == slice(starts[10], sum(counts))
    assert targets_of(rows, chosen[:0]).tolist() == []
    assert targets_of(make_rows(50), chosen) is chosen


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_each_target_comes_once_with_its_row(shuffle, marked):
    """Whatever order rows are in, a target, its weight and its number stay with it."""
    rows = make_rows(marked=marked)
    owner = torch.arange(200)
    if marked:
        owner = owner.repeat_interleave(rows.n_targets)
    data = ResidentDataset(rows, owner, owner.float())
    seen = []
    for batch in ResidentBatches(data, batch_size=16, shuffle=shuffle):
        inputs, y = batch
        of_target = (
            inputs["input_ids"][inputs["marked"]] if marked else inputs["input_ids"]
        )
        first = of_target if marked else of_target[:, 0]
        assert torch.equal(first.long() - 1, y)
        assert torch.equal(batch.weight.long(), y)
        assert torch.equal(owner[batch.rows], y)
        seen += torch.arange(len(owner))[batch.rows].tolist()
    assert sorted(seen) == list(range(len(owner)))


def test_batches_have_rows_of_like_length_and_little_padding():
    """A tenth of the entries at most; in a random order it is nearly a half."""
    rows = make_rows(2000)
    data = ResidentDataset(rows, torch.zeros(2000, dtype=torch.int64))
    sizes = []
    for inputs, _ in ResidentBatches(data, batch_size=16, shuffle=True):
        sizes.append(inputs["input_ids"].shape)
    entries = sum(n * longest for n, longest in sizes)
    assert len(rows.ids) > 0.9 * entries
    longest = [longest for _, longest in sizes]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_the_order_is_drawn_anew_and_the_seed_decides():
    lengths = torch.randint(1, 30, (300,), generator=torch.Generator().manual_seed(1))

    def draw(seed):
        torch.manual_seed(seed)
        return pool_by_length(torch.randperm(300), lengths, 8).tolist()

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert sorted(draw(0)) == list(range(300))


def test_the_small_batch_at_the_end_holds_any_rows():
    """Else the longest or the shortest rows would always be learned in it."""
    lengths = torch.arange(101)
    ends = []
    for seed in range(20):
        torch.manual_seed(seed)
        ends.append(pool_by_length(torch.randperm(101), lengths, 10)[-1].item())
    assert len(set(ends)) > 10


def test_parts_are_of_like_size_when_padded():
    lengths = torch.tensor([50, 20, 20, 9, 3, 3, 3, 0])
    parts = list(cut_by_length(lengths, 40))
    assert parts == [slice(0, 1), slice(1, 3), slice(3, 7), slice(7, 8)]


@pytest.mark.parametrize("marked", [False, True])
def test_logits_come_in_the_order_of_the_rows(marked, monkeypatch):
    """Whatever the lengths are, and wherever batches are cut."""
    rows = make_rows(marked=marked)
    module = (MarkedNet if marked else RowNet)()
    net = ResidentNet(module, device="cpu").initialize()
    whole = net.logits(rows)
    expected = torch.arange(200.0) + 1
    if marked:
        expected = expected.repeat_interleave(rows.n_targets)
    with torch.no_grad():
        expected = module.linear(expected[:, None] / 200)
    torch.testing.assert_close(whole, expected)
    monkeypatch.setattr(prediction_module, "_MAX_ENTRIES", {"cpu": 40})
    torch.testing.assert_close(net.logits(rows), expected)
    some = torch.tensor([5, 3, 5])
    places = targets_of(rows, some)
    torch.testing.assert_close(net.logits(rows[some]), expected[places])


@pytest.mark.parametrize("marked", [False, True])
def test_a_trace_has_a_row_for_each_target(marked):
    """Those of rows that are learned are seen once an epoch, others never."""
    rows = make_rows(60, marked=marked)
    owner = torch.arange(60)
    if marked:
        owner = owner.repeat_interleave(rows.n_targets)
    data = ResidentDataset(rows, (owner > 30).long())
    learned = torch.arange(0, 60, 2)
    settings = {"lr": 0.1, "batch_size": 8, "max_epochs": 3, "verbose": 0}
    module = MarkedNet if marked else RowNet
    members = [
        Member(
            lambda: ResidentNet(module, **settings),
            data,
            rows=learned,
            callbacks=[Trace()],
        )
        for _ in range(2)
    ]
    population = Population(members, strategy="auto", device="cpu")
    population.train()
    assert {trained.strategy for trained in population} == {"sequential"}
    frame = population[0].trace.to_frame()
    assert len(frame) == len(owner)
    assert frame["n_seen"].tolist() == [3 * (k % 2 == 0) for k in owner.tolist()]


def test_rows_of_different_length_cannot_be_stacked():
    data = ResidentDataset(make_rows(40), torch.arange(40) % 2)
    members = [
        Member(lambda: ResidentNet(RowNet, max_epochs=1, verbose=0), data, seed=k)
        for k in range(2)
    ]
    population = Population(members, strategy="stacked", device="cpu")
    with pytest.raises(ValueError, match="of different length"):
        population.train()
