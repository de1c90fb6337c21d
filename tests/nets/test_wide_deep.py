"""The joint net: its formula, its parts, and what it does with unknown ids."""

import pytest
import torch

from sklearn_memgen.nets import WideDeep

IDS = torch.tensor([[1, 4, 7], [2, 3, 8]], dtype=torch.int32)
NUMBERS = torch.tensor([[0.5], [-1.0]])


def make_net(**changes):
    params = {
        "bin_edges": [[-1.0, 0.0, 1.0]],
        "missing": [False],
        "id_offsets": [0, 3, 6, 10],
        "n_deep_id_columns": 2,
        "hidden_layer_sizes": (5,),
        "embedding_dim": 2,
    }
    return WideDeep(3, **params | changes)


def test_wide_part_is_the_sum_of_its_weights():
    net = make_net(hidden_layer_sizes=())
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    logits = net(NUMBERS, IDS)
    linear = net.wide.numbers(NUMBERS) @ net.wide.slopes + net.wide.bias
    expected = linear + net.wide.ids.weight[IDS.long()].sum(dim=1)
    torch.testing.assert_close(logits, expected)


def test_joint_logits_are_the_sum_of_both_parts():
    net = make_net()
    torch.nn.init.normal_(net.wide.ids.weight)
    expected = net.wide(NUMBERS, IDS) + net.deep(NUMBERS, IDS)
    torch.testing.assert_close(net(NUMBERS, IDS), expected)


def test_crosses_reach_the_wide_part_only():
    net = make_net()
    torch.nn.init.normal_(net.wide.ids.weight)
    other = IDS.clone()
    other[:, 2] = 9
    assert not torch.equal(net(NUMBERS, IDS), net(NUMBERS, other))
    torch.testing.assert_close(net.deep(NUMBERS, IDS), net.deep(NUMBERS, other))


def test_ids_are_masked_in_training_only():
    net = make_net(unknown_rate=0.5, hidden_layer_sizes=())
    with torch.no_grad():
        net.wide.ids.weight.copy_(torch.arange(10.0)[:, None].expand(10, 3))
    ids = IDS.repeat(2000, 1)
    numbers = NUMBERS.repeat(2000, 1)
    assert net(numbers, ids)[::2, 0].unique().tolist() == [12.0]
    torch.manual_seed(0)
    sums = net(**net.draw_inputs({"numbers": numbers, "ids": ids}))[::2, 0]
    # Each of the ids 1, 4, 7 is itself or the unknown id of its column: 0, 3, 6.
    assert sums.unique().tolist() == [9.0, 10.0, 11.0, 12.0]
    assert abs(sums.mean() - 10.5) < 0.1


def test_groups_of_the_optimizers():
    net = make_net()
    groups = net.optimizer_groups()
    assert groups["wide"] == net.wide.tables()
    assert groups["sparse"] == []
    assert make_net(wide=False).optimizer_groups()["wide"] == []
    assert make_net(hidden_layer_sizes=()).deep is None


def test_a_table_without_ids():
    net = WideDeep(
        1, bin_edges=[[]], missing=[True], id_offsets=[0], n_deep_id_columns=0
    )
    no_ids = torch.zeros(2, 0, dtype=torch.int32)
    logits = net(torch.tensor([[1.0], [float("nan")]]), no_ids)
    assert logits.isfinite().all()


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_large_wide_tables_have_sparse_gradients(n_outputs):
    net = WideDeep(
        n_outputs,
        bin_edges=[],
        missing=[],
        id_offsets=[0, 10_000_000 // n_outputs],
        n_deep_id_columns=0,
        hidden_layer_sizes=(),
    )
    ids = torch.tensor([[5], [9_999]], dtype=torch.int32)
    net(torch.zeros(2, 0), ids).sum().backward()
    gradient = net.wide.ids.weight.grad
    assert gradient.is_sparse
    assert gradient.coalesce().indices()[0].tolist() == [5, 9_999]
