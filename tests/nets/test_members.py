"""Perceptrons computed at once: each is a net of its own."""

import math

import pytest
import torch
from torch import nn

from sklearn_memgen.nets import WideDeep
from sklearn_memgen.nets.members import JoinMembers, MemberLinear, SplitMembers

N_MEMBERS, SIZES = 3, (5, 4)


def make_net(n_members, n_outputs=2, seed=0, **changes):
    torch.manual_seed(seed)
    params = {
        "bin_edges": [[-1.0, 0.0, 1.0], []],
        "missing": [False, True],
        "id_offsets": [0, 4, 9],
        "n_deep_id_columns": 1,
        "hidden_layer_sizes": SIZES,
        "embedding_dim": 2,
        "n_members": n_members,
    }
    return WideDeep(n_outputs, **params | changes)


def make_inputs(n_rows=7):
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(n_rows, 2, generator=generator)
    numbers[0, 1] = math.nan
    ids = torch.randint(0, 4, (n_rows, 2), generator=generator)
    return numbers, ids + torch.tensor([0, 4])


def alone(net, member):
    """A net of one perceptron, which has the weights of a member."""
    single = make_net(1, seed=9)
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("deep.lay")}
    single.load_state_dict(state, strict=False)
    nn.init.normal_(single.wide.bias)
    single.wide.load_state_dict(net.wide.state_dict())
    of_net = [m for m in net.deep.layers if isinstance(m, (nn.Linear, MemberLinear))]
    first, *others = (m for m in single.deep.layers if isinstance(m, nn.Linear))
    with torch.no_grad():
        units = slice(member * SIZES[0], (member + 1) * SIZES[0])
        first.weight.copy_(of_net[0].weight[units])
        first.bias.copy_(of_net[0].bias[units])
        for layer, stacked in zip(others, of_net[1:], strict=True):
            layer.weight.copy_(stacked.weight[member].T)
            layer.bias.copy_(stacked.bias[member, 0])
    return single


@pytest.mark.parametrize("member", range(N_MEMBERS))
def test_a_member_is_a_net_of_its_own(member):
    """Same logits, and the same gradients of its own weights."""
    net, inputs = make_net(N_MEMBERS), make_inputs()
    nn.init.normal_(net.wide.ids.weight)
    single = alone(net, member)
    logits, own = net(*inputs), single(*inputs)
    assert logits.shape == (7, N_MEMBERS, 2) and own.shape == (7, 2)
    torch.testing.assert_close(logits[:, member], own)
    logits.square().sum().backward()
    own.square().sum().backward()
    stacked, layer = net.deep.layers[-2], single.deep.layers[-1]
    torch.testing.assert_close(stacked.weight.grad[member].T, layer.weight.grad)
    torch.testing.assert_close(stacked.bias.grad[member, 0], layer.bias.grad)


def test_members_differ():
    logits = make_net(N_MEMBERS)(*make_inputs())
    assert (logits[:, 0] - logits[:, 1]).abs().min() > 0


def test_the_wide_part_is_shared():
    net, inputs = make_net(N_MEMBERS), make_inputs()
    before = net(*inputs)
    with torch.no_grad():
        net.wide.bias += torch.tensor([1.0, -2.0])
    added = (net(*inputs) - before).reshape(-1, 2)
    torch.testing.assert_close(added, torch.tensor([[1.0, -2.0]]).expand(21, 2))


def test_fast_forward_returns_what_forward_does():
    edges = torch.linspace(-2, 2, 400).tolist()
    net, inputs = make_net(N_MEMBERS, bin_edges=[edges, edges]), make_inputs()
    net.eval()
    torch.testing.assert_close(net.fast_forward(*inputs), net(*inputs))


def test_one_member_needs_no_stacks():
    modules = [type(module) for module in make_net(1).modules()]
    assert not {MemberLinear, SplitMembers, JoinMembers} & set(modules)


def test_wide_only_has_no_members():
    net = make_net(N_MEMBERS, hidden_layer_sizes=())
    assert net(*make_inputs()).shape == (7, 2)


def test_initialized_as_a_linear_layer_is():
    torch.manual_seed(0)
    layer, linear = MemberLinear(4, 100, 50), nn.Linear(100, 200)
    for stacked, plain in zip(layer.parameters(), linear.parameters(), strict=True):
        stacked, plain = stacked.detach(), plain.detach()
        assert stacked.abs().max() <= 0.1
        assert stacked.std() == pytest.approx(plain.std().item(), rel=0.1)
