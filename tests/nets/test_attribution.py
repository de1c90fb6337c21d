"""Integrated gradients of the last numbers of a wide and deep net."""

import pytest
import torch

from sklearn_memgen.nets import WideDeep, attribute_last_numbers


def make_net(**params):
    torch.manual_seed(0)
    net = WideDeep(
        1,
        bin_edges=[torch.linspace(-2, 2, 300).tolist(), [], []],
        missing=[True, False, False],
        id_offsets=[0, 4],
        n_deep_id_columns=1,
        **params,
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net.eval()


def make_inputs():
    numbers = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    numbers[::7, 0] = torch.nan
    return {"numbers": numbers, "ids": torch.arange(50)[:, None] % 4}


def answer(outputs):
    return outputs.view(len(outputs), -1).mean(dim=1)


@pytest.mark.parametrize(
    "params",
    [{}, {"n_members": 3}, {"wide": False}, {"hidden_layer_sizes": ()}],
    ids=str,
)
def test_attributions_add_up_to_the_difference_from_zero(params):
    net, inputs = make_net(**params), make_inputs()
    added = attribute_last_numbers(net, inputs, 2, answer)
    blank = inputs["numbers"].clone()
    blank[:, -2:] = 0
    with torch.no_grad():
        expected = answer(net(**inputs)) - answer(net(blank, inputs["ids"]))
    error = (added.sum(dim=1) - expected).abs().mean()
    assert error < 0.15 * expected.abs().mean()


def test_a_number_without_a_say_gets_nothing():
    net, inputs = make_net(), make_inputs()
    with torch.no_grad():
        net.wide.slopes[-1] = 0
        net.deep.layers[0].weight[:, net.deep.numbers.n_unbinned - 1] = 0
    added = attribute_last_numbers(net, inputs, 2, answer)
    assert (added[:, 1] == 0).all()
    assert (added[:, 0] != 0).all()
