"""Without units that nothing sees a net is trained as it is with them."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_memgen.nets import CannotCompactError, HeadedTableNet, SeenUnits, TableBody
from sklearn_memgen.training import Guide
from tests.nets.test_compaction import (
    TABLE,
    chains,
    convolutional,
    mask_at_random,
    randomize_norms,
    widths,
)


def masks_of(module):
    return {
        name: parameter.detach() != 0
        for name, parameter in module.named_parameters()
        if name.endswith("weight") and parameter.ndim > 1
    }


def train(module, masks, inputs, n_steps=5):
    """Train weights under masks."""
    optimizer = torch.optim.SGD(module.train().parameters(), lr=0.02, momentum=0.9)
    with Guide.from_mask(masks).attach(optimizer, module.named_parameters()):
        for _ in range(n_steps):
            optimizer.zero_grad()
            module(inputs).square().mean().backward()
            optimizer.step()


def without_dropout(module):
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # other units draw other numbers
    return module


def check_training(module, inputs):
    masks = masks_of(module)
    whole, small = copy.deepcopy(module), copy.deepcopy(module)
    seen = SeenUnits.find(module, masks, inputs)
    seen.keep(small)
    train(whole, masks, inputs)
    train(small, seen.take(masks), inputs)
    state = seen.put(small.state_dict(), whole.state_dict())
    torch.testing.assert_close(state, dict(whole.state_dict()), rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        expected, outputs = whole(inputs), small(inputs)
    scale = float(expected.abs().max().clamp(min=1))
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-3 * scale)


@given(
    module=chains(),
    density=st.floats(0.2, 1.0),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_training_is_that_of_the_whole_net(module, density, seed):
    generator = torch.Generator().manual_seed(seed)
    # Else the norm of a constant unit is zero but for rounding, where a ReLU bends.
    randomize_norms(module, generator)
    mask_at_random(module, density, generator)
    first = next(m for m in module.modules() if isinstance(m, nn.Linear))
    inputs = torch.randn(9, first.in_features, generator=generator)
    check_training(without_dropout(module), inputs)


def test_training_of_convolutions():
    generator = torch.Generator().manual_seed(0)
    module = convolutional(0, nn.MaxPool2d(2))
    inputs = torch.randn(6, 1, 9, 9, generator=generator)
    module(inputs)
    randomize_norms(module, generator)
    mask_at_random(module, 0.5, generator)
    check_training(
        without_dropout(module), torch.randn(6, 1, 9, 9, generator=generator)
    )


def test_units_go_with_all_that_only_they_saw():
    module = nn.Sequential(
        nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)
    )
    masks = {
        "2.weight": torch.eye(5, 4).bool(),  # each unit sees one, the last none
        "4.weight": torch.tensor([[1, 0, 0, 0, 1], [0, 0, 1, 0, 0]]).bool(),
    }
    seen = SeenUnits.find(module, masks, torch.randn(2, 3))
    small = seen.keep(copy.deepcopy(module))
    assert widths(small) == [2, 3, 2]  # what is constant is seen, and learns
    assert torch.equal(small[0].weight, module[0].weight[[0, 2]])
    assert torch.equal(small[2].bias, module[2].bias[[0, 2, 4]])


def test_there_and_back():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    masks = {"2.weight": torch.tensor([[1, 0, 0, 1], [0, 0, 0, 1]]).bool()}
    seen = SeenUnits.find(module, masks, torch.randn(2, 3))
    state = module.state_dict()
    small = seen.take(state)
    assert small["1.running_var"].shape == (2,)
    back = seen.put({name: value + 1 for name, value in small.items()}, state)
    changed = torch.tensor([True, False, False, True])
    for name in ("0.weight", "0.bias", "1.running_mean"):
        assert torch.equal(back[name][changed], state[name][changed] + 1)
        assert torch.equal(back[name][~changed], state[name][~changed])


def test_zero_weights_that_are_not_pruned_are_seen():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.zeros_(module[2].weight)
    assert not SeenUnits.find(module, {}, torch.randn(2, 3)).positions


def test_a_net_of_a_table_needs_no_inputs():
    module = HeadedTableNet(TableBody(**TABLE), 12, 2)
    mask = torch.arange(12).expand(2, 12) < 3
    seen = SeenUnits.find(module, {"head.weight": mask})
    before = widths(module)
    assert widths(seen.keep(module)) == [*before[:-2], 3, 2]


def test_a_net_that_cannot_be_traced():
    class Branch(nn.Linear):
        def forward(self, X):
            return super().forward(X) if X.sum() > 0 else X

    with pytest.raises(CannotCompactError, match="control flow"):
        SeenUnits.find(
            nn.Sequential(Branch(3, 3), nn.Linear(3, 2)), {}, torch.ones(2, 3)
        )
