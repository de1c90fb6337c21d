"""Temperatures: found where they help, and put into the weights exactly."""

import pytest
import torch

from sklearn_memgen.nets import WideDeep
from sklearn_memgen.training import FTRL, LogisticLoss
from sklearn_memgen.training.calibration import find_temperature


def draw_logits(n_rows, true_temperature, n_classes=3, seed=0):
    """Logits that are as sure as the labels bear out at a temperature."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(n_rows, n_classes, generator=generator)
    chances = (logits / true_temperature).softmax(1)
    return logits, torch.multinomial(chances, 1, generator=generator).flatten()


def find(logits, y, weight=None):
    return find_temperature(logits, lambda z: LogisticLoss()(z, y), weight)


def test_the_temperature_of_the_labels_is_found():
    logits, y = draw_logits(20_000, true_temperature=2.0)
    assert find(logits, y) == pytest.approx(2.0, rel=0.05)


def test_members_are_pooled_before_they_are_judged():
    logits, y = draw_logits(20_000, true_temperature=2.0)
    assert find(logits[:, None].repeat(1, 3, 1), y) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0])
def test_a_net_is_never_made_surer(true_temperature):
    logits, y = draw_logits(20_000, true_temperature)
    assert find(logits, y) == 1.0


def test_a_gain_within_a_standard_error_changes_nothing():
    """A single mistake among few rows is no evidence."""
    logits = torch.full((40, 1), 4.5)
    y = torch.ones(40, dtype=torch.int64)
    y[0] = 0
    assert find(logits, y) == 1.0
    logits, y = logits.repeat(50, 1), y.repeat(50)
    assert find(logits, y) > 1.1


def test_weights_count_as_rows_do():
    logits, y = draw_logits(2000, true_temperature=2.0)
    weight = torch.arange(2000) % 3
    rows = torch.repeat_interleave(torch.arange(2000), weight)
    found = find(logits, y, weight.float())
    assert found == pytest.approx(find(logits[rows], y[rows]), rel=1e-3)
    assert found != pytest.approx(find(logits, y), rel=1e-3)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_members": 3},
        {"wide": False},
        {"hidden_layer_sizes": ()},
        {"n_sparse_features": 5},
    ],
)
def test_scaled_weights_scale_the_logits(params):
    torch.manual_seed(0)
    net = WideDeep(
        3,
        bin_edges=[[-1.0, 0.0, 1.0], []],
        missing=[True, False],
        id_offsets=[0, 4, 9],
        n_deep_id_columns=1,
        **params,
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    ids = torch.stack([torch.randint(0, 4, (50,)), torch.randint(4, 9, (50,))], 1)
    inputs = [torch.randn(50, 2), ids]
    if "n_sparse_features" in params:
        inputs += [torch.randint(0, 5, (50,)), torch.randn(50), torch.arange(50)]
    net.eval()
    before = net(*inputs)
    net.scale_logits(0.5)
    torch.testing.assert_close(net(*inputs), before / 2)


@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_ftrl_goes_on_from_rescaled_weights(l1):
    """A step without a gradient leaves them, instead of going back."""
    torch.manual_seed(0)
    weights = torch.nn.Parameter(torch.zeros(100))
    optimizer = FTRL([weights], lr=0.5, l1=l1, l2=0.1, beta=0.2)
    for _ in range(5):
        weights.grad = torch.randn(100)
        optimizer.step()
    learned = weights.detach().clone()
    assert bool((learned == 0).any()) == (l1 > 0)
    with torch.no_grad():
        weights.mul_(0.4)
    optimizer.rescale(0.4)
    weights.grad = torch.zeros(100)
    optimizer.step()
    torch.testing.assert_close(weights.detach(), 0.4 * learned)
