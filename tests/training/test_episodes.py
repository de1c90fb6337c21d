"""Episodes have support and queries of a class, and all losses are of queries."""

import pytest
import torch

from sklearn_memgen.tables.tokens import TokenTensors
from sklearn_memgen.training import ArrayTensors, EpisodicBatches, ResidentDataset


def make_data(weighted=False):
    y = torch.tensor([0] * 180 + [1] * 15 + [2] * 5)
    X = ArrayTensors({"": torch.arange(200.0)[:, None]})
    return ResidentDataset(X, y, torch.linspace(1, 2, 200) if weighted else None)


def test_a_rare_class_is_in_as_many_episodes_as_others():
    torch.manual_seed(0)
    batches = EpisodicBatches(make_data(), batch_size=20, shuffle=True)
    assert len(list(batches)) == len(batches) == 10
    about = [int((batch[1] == 2).sum()) for _ in range(20) for batch in batches]
    # A third is about the class, and has all of its five rows.
    assert 0.2 < sum(n == 5 for n in about) / len(about) < 0.5


def test_support_and_queries_share_no_row_and_both_have_the_class():
    torch.manual_seed(0)
    for batch in EpisodicBatches(make_data(), batch_size=20, shuffle=True):
        inputs, y = batch
        rows = batch.rows
        assert len(rows) == len(set(rows.tolist())) == 20
        assert torch.equal(inputs[:, 0].long(), rows)
        support, queries = y[batch.support], y[~batch.support]
        assert len(support) == len(queries) == 10
        rare = 2 if (y == 2).sum() == 5 else None
        if rare is not None:
            assert (support == rare).any() and (queries == rare).any()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_loss_is_that_of_the_queries(weighted):
    torch.manual_seed(0)
    data = make_data(weighted)
    for batch in EpisodicBatches(data, batch_size=20, shuffle=True):
        losses = torch.rand(20)
        own = losses * data.weight[batch.rows] if weighted else losses
        expected = own[~batch.support].mean()
        torch.testing.assert_close((losses * batch.weight).mean(), expected)


def test_rows_of_several_targets_are_not_divided():
    starts = torch.arange(0, 301, 3)
    marked = torch.tensor([True, True, False]).repeat(100)
    rows = TokenTensors(torch.arange(300, dtype=torch.int32), starts, 0, marked)
    y = torch.zeros(200, dtype=torch.int64)
    y[[20, 80, 81]] = 1
    torch.manual_seed(0)
    batches = EpisodicBatches(
        ResidentDataset(rows, y), batch_size=8, shuffle=True, background=0
    )
    for batch in batches:
        inputs, labels = batch
        ids = inputs["input_ids"][inputs["marked"]]
        assert torch.equal(ids // 3, batch.rows // 2)
        assert torch.equal(labels, y[batch.rows])
        assert {10, 40} <= set((batch.rows // 2).tolist())  # the rows with class 1
        assert int(batch.support.sum()) == 8


def test_without_shuffling_batches_are_ordinary():
    seen = torch.cat([y for _, y in EpisodicBatches(make_data(), batch_size=16)])
    assert torch.equal(seen, make_data().y)


def test_a_batch_of_three_rows_is_no_episode():
    with pytest.raises(ValueError, match="got batch_size=3"):
        EpisodicBatches(make_data(), batch_size=3, shuffle=True)
