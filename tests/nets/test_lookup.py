"""Numbers that are looked up instead of multiplied."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.nets import DeepPart, NumberInput, WideDeep
from sklearn_memgen.nets.lookup import BinTable

EDGES = [[-1.0, 0.0, 0.5, 2.0], [], [0.0, 0.125], [-5.0, -4.0, 7.0]]


@given(st.data())
def test_table_is_the_product_of_bins_and_weights(data):
    """Inside bins, on their edges, beyond them, and where a number is missing."""
    some = st.floats(-10, 10, width=32) | st.sampled_from(
        [float("nan"), -1e6, 1e6, *EDGES[0], *EDGES[2], *EDGES[3]]
    )
    row = st.tuples(some, some, some, some)
    numbers = torch.tensor(data.draw(st.lists(row, min_size=1, max_size=20)))
    bins = NumberInput(EDGES, [True] * 4)
    weight = torch.randn(len(bins.columns), 5, generator=torch.manual_seed(0))
    table = BinTable(bins.columns, bins.lefts, bins.slopes, weight)
    expected = bins(numbers)[:, bins.n_unbinned :].double() @ weight.double()
    torch.testing.assert_close(table(numbers), expected.float(), rtol=1e-5, atol=1e-5)


def make_net(n_columns=8, **params):
    edges = torch.linspace(-2, 2, 41).tolist()
    return WideDeep(
        3,
        bin_edges=[edges] * n_columns,
        missing=[True] * n_columns,
        id_offsets=[0, 4, 9],
        n_deep_id_columns=1,
        **params,
    ).eval()


def draw_inputs(n_rows=50, n_columns=8):
    numbers = torch.randn(n_rows, n_columns, generator=torch.manual_seed(1))
    numbers[::7] = torch.nan
    ids = torch.tensor([[1, 5], [2, 8]]).repeat(n_rows // 2, 1)
    return numbers, ids


@pytest.mark.parametrize(
    "params", [{}, {"wide": False}, {"hidden_layer_sizes": ()}, {"dropout": 0.5}]
)
@torch.inference_mode()
def test_fast_forward_computes_what_forward_does(params):
    net, inputs = make_net(**params), draw_inputs()
    fast, slow = net.fast_forward(*inputs), net(*inputs)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


def change_by_optimizer(net):
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
    net(*draw_inputs()).square().sum().backward()
    optimizer.step()


def change_in_place(net):
    with torch.no_grad():
        net.deep.layers[0].weight.mul_(2)


def change_by_state(net):
    state = {name: value * 3 for name, value in net.deep.layers.state_dict().items()}
    net.deep.layers.load_state_dict(state)


def change_by_new_parameter(net):
    weight = net.deep.layers[0].weight
    net.deep.layers[0].weight = torch.nn.Parameter(weight.detach() * 5)


@pytest.mark.parametrize(
    "change",
    [change_by_optimizer, change_in_place, change_by_state, change_by_new_parameter],
)
def test_the_table_follows_the_weights(change):
    """Training, loading and editing a net never leave an old table in use."""
    net, inputs = make_net(), draw_inputs()
    with torch.inference_mode():
        before = net.fast_forward(*inputs)
    change(net)
    with torch.inference_mode():
        after = net.fast_forward(*inputs)
        torch.testing.assert_close(after, net(*inputs), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, after)


def test_the_table_is_made_once_and_is_no_part_of_copies():
    deep = make_net().deep
    with torch.inference_mode():
        deep.fast_forward(*draw_inputs())
        first = deep._kept
        deep.fast_forward(*draw_inputs())
    assert deep._kept is first is not None
    assert copy.deepcopy(deep)._kept is None
    assert pickle.loads(pickle.dumps(deep))._kept is None
    assert isinstance(deep, DeepPart)
