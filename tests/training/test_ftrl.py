"""FTRL-Proximal against a plain reference, coordinate by coordinate."""

import copy
import math

import numpy as np
import pytest
import torch

from sklearn_memgen.training import FTRL


def reference(gradients, lr, l1, l2, beta):
    """Algorithm 1 of McMahan et al. (2013), for one coordinate."""
    n = z = w = 0.0
    for g in gradients:
        sigma = (math.sqrt(n + g * g) - math.sqrt(n)) / lr
        z += g - sigma * w
        n += g * g
        if abs(z) <= l1:
            w = 0.0
        else:
            w = -(z - math.copysign(l1, z)) / ((beta + math.sqrt(n)) / lr + l2)
    return w


@pytest.mark.parametrize("l1", [0.0, 0.7])
@pytest.mark.parametrize("l2", [0.0, 0.5])
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_equals_the_reference(l1, l2, beta):
    gradients = np.random.default_rng(0).normal(size=(20, 7))
    weights = torch.nn.Parameter(torch.zeros(7, dtype=torch.float64))
    optimizer = FTRL([weights], lr=0.3, l1=l1, l2=l2, beta=beta)
    for g in gradients:
        weights.grad = torch.from_numpy(g)
        optimizer.step()
    expected = [reference(column, 0.3, l1, l2, beta) for column in gradients.T]
    np.testing.assert_allclose(weights.detach(), expected, atol=1e-12)


@pytest.mark.parametrize("l1", [0.0, 0.7])
@pytest.mark.parametrize("l2", [0.0, 0.5])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_sparse_steps_equal_the_reference_of_the_rows_they_touch(l1, l2, beta):
    """A row's weight is that of its own gradients; steps without it do not count."""
    rng = np.random.default_rng(0)
    table = torch.nn.Parameter(torch.zeros(9, 2, dtype=torch.float64))
    optimizer = FTRL([table], lr=0.3, l1=l1, l2=l2, beta=beta)
    seen = {row: [] for row in range(9)}
    for _ in range(20):
        rows = rng.integers(0, 8, 4)  # some of them twice: their gradients add up
        values = rng.normal(size=(4, 2))
        table.grad = torch.sparse_coo_tensor(
            rows[None], torch.from_numpy(values), table.shape, check_invariants=False
        )
        optimizer.step()
        for row in set(rows):
            seen[row].append(values[rows == row].sum(axis=0))
    for row, gradients in seen.items():
        columns = np.reshape(gradients, (-1, 2)).T
        expected = [reference(column, 0.3, l1, l2, beta) for column in columns]
        np.testing.assert_allclose(table[row].detach(), expected, atol=1e-12)
    assert not seen[8]
    if l1:
        assert (table[:8] == 0).any()
        assert (table != 0).any()


@pytest.mark.parametrize("l1", [0.0, 0.2])
def test_sparse_gradients_equal_dense_ones(l1):
    """Duplicate rows in a batch included; rows that are not touched do not move."""
    rng = np.random.default_rng(0)
    tables = [torch.nn.Parameter(torch.zeros(9, 3)) for _ in range(2)]
    optimizers = [FTRL([table], lr=0.5, l1=l1) for table in tables]
    for _ in range(10):
        ids = torch.from_numpy(rng.integers(0, 8, 6))
        targets = torch.from_numpy(rng.normal(size=(6, 3))).float()
        for table, optimizer, sparse in zip(
            tables, optimizers, (False, True), strict=True
        ):
            optimizer.zero_grad()
            rows = torch.nn.functional.embedding(ids, table, sparse=sparse)
            (rows - targets).square().sum().backward()
            assert table.grad.is_sparse is sparse
            optimizer.step()
    torch.testing.assert_close(tables[0], tables[1])
    assert (tables[1][8] == 0).all()
    assert (tables[1][:8] != 0).any()


def test_l1_gives_exact_zeros():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(500, 20, generator=generator)
    y = (X[:, 0] > 0).float()
    weights = torch.nn.Parameter(torch.zeros(20))
    optimizer = FTRL([weights], lr=0.5, l1=200.0)
    for _ in range(20):
        optimizer.zero_grad()
        logits = X @ weights
        torch.nn.functional.binary_cross_entropy_with_logits(logits, y).backward()
        weights.grad *= len(X)
        optimizer.step()
    assert weights[0] > 1
    assert (weights[1:] == 0).sum() > 10


def test_starts_from_weights_that_are_not_zero():
    """A step of gradient zero leaves weights where they were."""
    start = torch.tensor([0.5, -2.0, 0.0])
    weights = torch.nn.Parameter(start.clone())
    optimizer = FTRL([weights], lr=0.2, l1=0.3, l2=0.1)
    weights.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(weights.detach(), start)


@pytest.mark.parametrize("name", ["l1", "l2", "beta"])
def test_negative_parameters_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must not be negative; got -1"):
        FTRL([torch.nn.Parameter(torch.zeros(1))], **{name: -1.0})
    with pytest.raises(ValueError, match="lr must be positive; got 0"):
        FTRL([torch.nn.Parameter(torch.zeros(1))], lr=0.0)


def take_steps(optimizer, table, gradients, *, sparse):
    """Take a step on each gradient, dense or as rows of a table."""
    for gradient in gradients:
        if sparse:
            rows = gradient.abs().sum(dim=1).nonzero()[:, 0]
            gradient = torch.sparse_coo_tensor(
                rows[None], gradient[rows], table.shape, check_invariants=False
            )
        table.grad = gradient
        optimizer.step()


def draw_gradients(n_steps=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(n_steps, 9, 2, generator=generator, dtype=torch.float64)
    touched = torch.rand(n_steps, 9, 1, generator=generator) < 0.5
    return (gradients + 0.5) * touched


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("l1", [0.0, 12.0])
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_a_multiplier_scales_the_way_of_many_steps(sparse, l1, l2):
    """A tenth is a tenth after 60 steps, and what l1 holds at zero is the same."""
    tables = [torch.nn.Parameter(torch.zeros(9, 2).double()) for _ in range(2)]
    whole, tenth = (FTRL([table], lr=0.3, l1=l1, l2=l2) for table in tables)
    tenth.set_multiplier(tables[1], torch.tensor(0.1, dtype=torch.float64))
    for optimizer, table in zip((whole, tenth), tables, strict=True):
        take_steps(optimizer, table, draw_gradients(), sparse=sparse)
    torch.testing.assert_close(tables[1], 0.1 * tables[0])
    assert tables[0].abs().max() > 0.1
    assert bool((tables[0] == 0).any()) == bool(l1)


@pytest.mark.parametrize("sparse", [False, True])
def test_weights_of_multiplier_zero_stay_to_the_bit(sparse):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(9, 2, generator=generator)
    table = torch.nn.Parameter(start.clone())
    optimizer = FTRL([table], lr=0.3, l1=0.1, l2=0.1)
    multiplier = torch.ones(9, 1)
    multiplier[::2] = 0
    optimizer.set_multiplier(table, multiplier)
    take_steps(optimizer, table, draw_gradients().float(), sparse=sparse)
    assert torch.equal(table[::2], start[::2])
    assert (table[1::2] != start[1::2]).all()


@pytest.mark.parametrize("factor", [0.0, 0.1, 3.0])
def test_weights_stay_where_they_are_when_a_multiplier_comes_and_goes(factor):
    """The next step, of no gradient, does not jump; evidence below l1 is kept."""
    table = torch.nn.Parameter(torch.zeros(9, 2).double())
    optimizer = FTRL([table], lr=0.3, l1=3.0, l2=0.1)
    take_steps(optimizer, table, draw_gradients(20), sparse=False)
    before = table.detach().clone()
    state = optimizer.state[table]["z"].clone()
    assert (before == 0).any() and (before != 0).any()
    optimizer.set_multiplier(table, torch.tensor(factor, dtype=torch.float64))
    take_steps(optimizer, table, torch.zeros(3, 9, 2).double(), sparse=False)
    torch.testing.assert_close(table.detach(), before)
    optimizer.set_multiplier(table, None)
    take_steps(optimizer, table, torch.zeros(3, 9, 2).double(), sparse=False)
    torch.testing.assert_close(table.detach(), before)
    if factor:
        torch.testing.assert_close(optimizer.state[table]["z"], state)


def test_a_second_multiplier_is_refused():
    table = torch.nn.Parameter(torch.zeros(3))
    optimizer = FTRL([table])
    optimizer.set_multiplier(table, torch.tensor(0.5))
    with pytest.raises(ValueError, match=r"shape \(3,\) has a multiplier already"):
        optimizer.set_multiplier(table, torch.tensor(0.5))


def test_a_copy_of_an_optimizer_has_no_multipliers():
    """They belong to a training that goes on, like hooks."""
    table = torch.nn.Parameter(torch.zeros(3))
    optimizer = FTRL([table])
    optimizer.set_multiplier(table, torch.tensor(0.0))
    copied = copy.deepcopy(optimizer)
    (weights,) = copied.param_groups[0]["params"]
    weights.grad = torch.ones(3)
    copied.step()
    assert (weights != 0).all()
