"""Nets without their dead units compute the same."""

import copy
import itertools
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from sklearn_memgen.nets import (
    CannotCompactError,
    HeadedNet,
    HeadedTableNet,
    TableBody,
    WideDeep,
    compact_module,
    store_sparsely,
)
from sklearn_memgen.nets.members import MemberLinear

ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "leaky relu": lambda: nn.LeakyReLU(0.1),
    "softplus": nn.Softplus,
    "none": nn.Identity,
}


@torch.no_grad()
def mask_at_random(module, density, generator):
    """Zero weights at random, and those of some whole units."""
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if weight is None or weight.ndim < 2:
            continue
        weight.mul_(torch.rand(weight.shape, generator=generator) < density)
        axes = (0, 1) if weight.ndim != 3 else (1, 2)
        for axis in axes:
            gone = torch.rand(weight.shape[axis], generator=generator) < 0.3
            weight.index_fill_(axis, gone.nonzero().flatten(), 0)


@torch.no_grad()
def randomize_norms(module, generator):
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for values in (norm.weight, norm.bias, norm.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator))
            norm.running_var.uniform_(0.5, 2, generator=generator)


def assert_same_outputs(module, compacted, inputs):
    named = inputs if isinstance(inputs, dict) else {"input": inputs}
    args = [] if isinstance(inputs, dict) else [inputs]
    with torch.no_grad():
        expected = module.eval()(*args, **(named if not args else {}))
        outputs = compacted.eval()(*args, **(named if not args else {}))
    scale = float(expected.abs().max().clamp(min=1))
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5 * scale)


def n_weights(module):
    return sum(p.numel() for p in module.parameters())


def widths(module):
    return [m.out_features for m in module.modules() if isinstance(m, nn.Linear)]


@st.composite
def chains(draw):
    """A perceptron of random sizes, with what may stand between its layers."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=5))
    layers = []
    for n_inputs, n_units in itertools.pairwise(sizes):
        layers.append(nn.Linear(n_inputs, n_units, bias=draw(st.booleans())))
        if draw(st.booleans()):
            layers.append(nn.BatchNorm1d(n_units))
        layers.append(ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]())
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.Dropout(0.5), nn.Flatten()])))
    layers.append(nn.Linear(sizes[-1], 3))
    if draw(st.booleans()):  # nested
        layers = [nn.Sequential(*layers[:2]), *layers[2:]]
    return nn.Sequential(*layers)


@settings(max_examples=150, deadline=None)
@given(chains(), st.floats(0, 1), st.integers(0, 2**31))
def test_outputs_are_those_of_the_whole_net(module, density, seed):
    generator = torch.Generator().manual_seed(seed)
    randomize_norms(module, generator)
    mask_at_random(module, density, generator)
    first = next(m for m in module.modules() if isinstance(m, nn.Linear))
    inputs = torch.randn(7, first.in_features, generator=generator)
    compacted = compact_module(module, inputs[:2])
    assert_same_outputs(module, compacted, inputs)
    assert_same_outputs(module, store_sparsely(copy.deepcopy(compacted)), inputs)
    assert n_weights(compacted) <= n_weights(module) + sum(
        m.out_features for m in module.modules() if isinstance(m, nn.Linear)
    )
    # Nothing is left to take out.
    assert widths(compact_module(compacted, inputs)) == widths(compacted)


def three_layers():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 2))
    )


@torch.no_grad()
def test_dead_units_of_known_number_go():
    module = three_layers()
    module[2].weight[:, :3] = 0  # three units that nothing sees
    module[0].weight[5] = 0  # one that sees nothing
    compacted = compact_module(module, torch.randn(2, 6))
    assert widths(compacted) == [4, 5, 2]
    assert_same_outputs(module, compacted, torch.randn(9, 6))


@torch.no_grad()
def test_constants_pass_the_activation_into_the_next_bias():
    module = three_layers()
    module[2].weight[1] = 0
    compacted = compact_module(module, torch.randn(2, 6))
    shift = torch.tanh(module[2].bias[1]) * module[4].weight[:, 1]
    torch.testing.assert_close(compacted[4].bias, module[4].bias + shift)


@torch.no_grad()
def test_what_goes_takes_along_what_only_it_saw():
    module = three_layers()
    module[4].weight[:, 2:] = 0  # so units 2 to 4 of the second layer go,
    module[2].weight[:2, 3:] = 0  # and units 3 to 7 of the first, which only they saw
    assert widths(compact_module(module, torch.randn(2, 6))) == [3, 2, 2]


@torch.no_grad()
@pytest.mark.parametrize("dead", [0, 2, 4])
def test_a_layer_without_weights_leaves_a_constant(dead):
    module = three_layers()
    module[dead].weight.zero_()
    compacted = compact_module(module, torch.randn(2, 6))
    assert widths(compacted)[:-1] == [0, 0]
    assert_same_outputs(module, compacted, torch.randn(9, 6))
    assert_same_outputs(module, store_sparsely(compacted), torch.randn(9, 6))


def test_a_net_without_dead_units_stays_as_it_is():
    module = three_layers()
    compacted = compact_module(module, torch.randn(2, 6))
    for name, values in module.state_dict().items():
        assert torch.equal(compacted.state_dict()[name], values)


@torch.no_grad()
def test_the_given_module_is_not_changed():
    module = three_layers().train()
    mask_at_random(module, 0.2, torch.Generator().manual_seed(0))
    module[3].eval()
    before = pickle.dumps(module)
    inputs = torch.randn(2, 6)
    compacted = compact_module(module, inputs)
    assert pickle.dumps(module) == before
    assert compacted.training and not compacted[3].training
    assert all(p.requires_grad for p in compacted.parameters())


class Functional(nn.Module):
    """A net of functions and methods, whose flag is not an input."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 30), nn.Linear(30, 20)
        self.third, self.last = nn.Linear(20, 20), nn.Linear(20, 2)

    def forward(self, x, *, doubled=None):
        if doubled is not None:
            x = x * 2
        hidden = F.leaky_relu(self.first(x.view(x.size(0), -1)), 0.2)
        hidden = self.second(F.dropout(hidden, 0.5, training=self.training)).relu()
        return self.last(torch.tanh(self.third(hidden)) + hidden)  # residual


def test_functions_and_methods_are_understood_and_residuals_left():
    module = Functional()
    mask_at_random(module, 0.05, torch.Generator().manual_seed(0))
    inputs = torch.randn(5, 2, 3)
    compacted = compact_module(module, inputs)
    assert compacted.first.out_features < 25
    assert compacted.second.out_features == compacted.third.out_features == 20
    assert_same_outputs(module, compacted, inputs)
    assert_same_outputs(module, compact_module(module, {"x": inputs}), {"x": inputs})


def convolutional(padding, pool):
    return nn.Sequential(
        *(nn.Conv2d(1, 12, 3, padding=padding), nn.BatchNorm2d(12), nn.ReLU()),
        *(pool, nn.Conv2d(12, 10, 3, padding=padding, bias=False), nn.GELU()),
        *(nn.Flatten(), nn.LazyLinear(20), nn.ReLU(), nn.Linear(20, 3)),
    )


@pytest.mark.parametrize("padding", [0, 1, "same"])
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2, padding=1), nn.AdaptiveAvgPool2d(5)])
@pytest.mark.parametrize("seed", range(5))
def test_convolutions(padding, pool, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, 1, 11, 11, generator=generator)
    module = convolutional(padding, pool).eval()
    module(inputs)
    randomize_norms(module, generator)
    mask_at_random(module, 0.15, generator)
    compacted = compact_module(module, inputs)
    assert n_weights(compacted) < n_weights(module)
    assert compacted[4].out_channels < 10
    assert_same_outputs(module, compacted, inputs)


def test_fixed_shapes_between_convolution_and_layer_are_left():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(36, 2)

        def forward(self, x):
            return self.linear(self.convolution(x).view(-1, 36))

    module = Fixed()
    with torch.no_grad():
        module.convolution.weight[:2] = 0
    inputs = torch.randn(3, 1, 5, 5)
    compacted = compact_module(module, inputs)
    assert compacted.convolution.out_channels == 4
    assert_same_outputs(module, compacted, inputs)


@torch.no_grad()
def test_layers_that_are_used_twice_or_share_weights_are_left():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])
            self.layers[3].weight = self.layers[2].weight

        def forward(self, x):
            for i in (0, 1, 0, 2, 3):
                x = self.layers[i](x).relu()
            return x

    module = Twice()
    for layer in module.layers:
        layer.weight[:2] = 0
    compacted = compact_module(module, torch.randn(3, 4))
    assert widths(compacted) == [4] * 4
    assert compacted.layers[3].weight is compacted.layers[2].weight


def test_a_headed_net():
    body = nn.Sequential(nn.Flatten(), nn.Linear(6, 10), nn.ReLU())
    module = HeadedNet(body, 10, 2)
    with torch.no_grad():
        module.head.weight[:, :7] = 0
    compacted = compact_module(module, torch.randn(2, 2, 3))
    assert type(compacted) is HeadedNet
    assert widths(compacted) == [3, 2]
    assert_same_outputs(module, compacted, torch.randn(5, 2, 3))


TABLE = {
    "bin_edges": [[-1.0, 0.0, 1.0], [0.0, 0.5, 2.0]],
    "missing": [True, False],
    "id_offsets": [0, 4, 9],
    "hidden_layer_sizes": (16, 12),
    "dropout": 0.3,
}
ROWS = {
    "numbers": torch.tensor([[0.5, float("nan")], [float("nan"), 1.0], [2.0, -1.0]]),
    "ids": torch.tensor([[0, 4], [3, 8], [1, 5]]),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_members", [1, 3])
def test_wide_and_deep_with_members(n_members, seed):
    generator = torch.Generator().manual_seed(seed)
    module = WideDeep(2, n_deep_id_columns=2, n_members=n_members, **TABLE)
    mask_at_random(module.deep.layers, 0.3, generator)
    compacted = compact_module(module)
    before, after = (widths(m.deep.layers)[0] for m in (module, compacted))
    assert after < before and after % n_members == 0
    rows = ROWS | {"numbers": ROWS["numbers"].nan_to_num()}
    assert_same_outputs(module, compacted, rows)
    for part in (module, compacted):
        part.eval()
    expected, outputs = module.fast_forward(**ROWS), compacted.fast_forward(**ROWS)
    torch.testing.assert_close(outputs, expected, equal_nan=True, rtol=0, atol=1e-5)


@torch.no_grad()
def test_members_keep_as_many_units_as_the_largest():
    module = WideDeep(1, n_deep_id_columns=2, n_members=2, **TABLE)
    second, third = (m for m in module.modules() if isinstance(m, MemberLinear))
    third.weight[0, 3:] = 0  # the first member has 3 units left, the second 5
    third.weight[1, :7] = 0
    compacted = compact_module(module)
    second, third = (m for m in compacted.modules() if isinstance(m, MemberLinear))
    assert second.weight.shape == (2, 16, 5) and third.weight.shape == (2, 5, 1)
    assert_same_outputs(module, compacted, ROWS)


@torch.no_grad()
@pytest.mark.parametrize("n_members", [1, 3])
def test_members_without_any_weights_are_constant(n_members):
    module = WideDeep(2, n_deep_id_columns=2, n_members=n_members, **TABLE)
    for layer in module.deep.linear_layers():
        layer.weight.zero_()
    compacted = compact_module(module)
    assert compacted.deep.layers[0].out_features == 0
    assert_same_outputs(module, compacted, ROWS)


@torch.no_grad()
def test_a_table_body_under_a_head():
    module = HeadedTableNet(TableBody(**TABLE), 12, 2)
    module.head.weight[:, ::2] = 0
    module.body.deep.layers[0].weight[:4] = 0
    compacted = compact_module(module)
    assert widths(compacted) == [12, 6, 2]
    assert_same_outputs(module, compacted, ROWS)


def test_what_cannot_be_compacted_says_why():
    class Branches(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(CannotCompactError, match=r"tracing.*control flow"):
        compact_module(nn.Sequential(Branches(3, 3)), torch.ones(2, 3))
    with pytest.raises(CannotCompactError, match="without inputs"):
        compact_module(three_layers())
    with pytest.raises(CannotCompactError, match="does not take"):
        compact_module(three_layers(), torch.randn(2, 7))
    with pytest.raises(CannotCompactError, match="not a tensor"):
        compact_module(nn.LSTM(3, 4), torch.randn(2, 5, 3))


@torch.no_grad()
def test_weights_that_are_no_numbers_are_refused():
    module = three_layers()
    module[2].weight[0, 0] = torch.nan
    with pytest.raises(CannotCompactError, match="NaN or infinite"):
        compact_module(module, torch.randn(2, 6))


def test_masks_of_torch_must_be_made_permanent():
    module = three_layers()
    prune.random_unstructured(module[2], "weight", 0.5)
    with pytest.raises(CannotCompactError, match="remove"):
        compact_module(module, torch.randn(2, 6))
    prune.remove(module[2], "weight")
    compact_module(module, torch.randn(2, 6))


def test_random_outputs_are_refused():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = three_layers()

        def forward(self, x):
            return self.layers(x) + torch.randn(2)

    with pytest.raises(CannotCompactError, match="Are they random"):
        compact_module(Noisy(), torch.randn(2, 6))
