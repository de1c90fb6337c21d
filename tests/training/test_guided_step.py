"""Steps under a guide: on every optimizer, dense and sparse, and at what cost."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, SparseAdam

from sklearn_memgen.training import FTRL, Guide

DENSE = {
    "sgd": partial(SGD, lr=0.1),
    "nesterov": partial(SGD, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    "sgd decay": partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": partial(Adam, lr=0.1),
    "adamw": partial(AdamW, lr=0.1, weight_decay=0.5),
    "adamw fused": partial(AdamW, lr=0.1, weight_decay=0.5, fused=True),
    "ftrl": partial(FTRL, lr=0.1, l1=0.01, l2=0.1),
}
SPARSE = {
    "sparse adam": partial(SparseAdam, lr=0.1),
    "ftrl": partial(FTRL, lr=0.1),
    "adagrad": partial(Adagrad, lr=0.1),
    "sgd": partial(SGD, lr=0.1),
    "momentum": partial(SGD, lr=0.1, momentum=0.9),
}
N_ROWS = 12


def make_table(start=None):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(N_ROWS, 3, generator=generator) if start is None else start
    return nn.Parameter(start.clone())


def draw_gradients(n_steps=30, *, sparse=False):
    """The same for all, whatever the weights; row 0 of sparse ones is never there."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        if not sparse:
            yield torch.randn(N_ROWS, 3, generator=generator) + 0.5
            continue
        rows = torch.randint(1, N_ROWS, (5,), generator=generator)  # some are twice
        values = torch.randn(5, 3, generator=generator) + 0.5
        shape = (N_ROWS, 3)
        yield torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=False)


def train(make, multiplier, *, start=None, apply_to="update", n_steps=30, sparse=False):
    """Return a table trained on given gradients, under a guide."""
    table = make_table(start)
    optimizer = make([table])
    guide = Guide({} if multiplier is None else {"table": multiplier})
    with guide.attach(optimizer, {"table": table}, apply_to=apply_to):
        for gradient in draw_gradients(n_steps, sparse=sparse):
            table.grad = gradient
            optimizer.step()
    return table.detach()


@pytest.mark.parametrize("name", DENSE)
def test_one_step_moves_as_far_as_the_guide_says(name):
    """Weight decay included, which AdamW takes off beside the gradient."""
    start = make_table().detach()
    multiplier = torch.rand(N_ROWS, 1, generator=torch.Generator().manual_seed(2))
    multiplier[0], multiplier[1], multiplier[2] = 0, 1, 2
    whole = train(DENSE[name], None, n_steps=1)
    guided = train(DENSE[name], multiplier, n_steps=1)
    torch.testing.assert_close(guided - start, multiplier * (whole - start))
    assert torch.equal(guided[0], start[0])
    if name != "ftrl":  # which computes even weights that stay anew
        assert torch.equal(guided[1], whole[1])


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "ftrl"])
def test_many_steps_move_a_tenth_as_far(name):
    """From gradients that do not depend on the weights. FTRL would jump back."""
    start = torch.zeros(N_ROWS, 3)
    whole = train(DENSE[name], None, start=start, n_steps=200)
    guided = train(DENSE[name], 0.1, start=start, n_steps=200)
    torch.testing.assert_close(guided, 0.1 * whole, rtol=1e-3, atol=1e-5)
    assert whole.abs().min() > 0.1


@pytest.mark.parametrize("name", SPARSE)
def test_many_sparse_steps_move_a_tenth_as_far(name):
    start = torch.zeros(N_ROWS, 3)
    whole = train(SPARSE[name], None, start=start, n_steps=200, sparse=True)
    guided = train(SPARSE[name], 0.1, start=start, n_steps=200, sparse=True)
    torch.testing.assert_close(guided, 0.1 * whole, rtol=1e-3, atol=1e-5)
    assert whole[1:].abs().min() > 0.01 and not guided[0].any()


@pytest.mark.parametrize("apply_to", ["update", "gradient"])
@pytest.mark.parametrize(
    ("name", "sparse"),
    [(name, False) for name in DENSE] + [(name, True) for name in SPARSE],
)
@pytest.mark.parametrize("by_row", [False, True])
def test_zero_keeps_weights_to_the_bit(name, sparse, by_row, apply_to):
    """Neither weight decay nor momentum moves them, nor rounding."""
    start = make_table().detach()
    make = (SPARSE if sparse else DENSE)[name]
    multiplier = torch.zeros(N_ROWS, 1)
    if by_row:
        multiplier[1::2] = 0.5
    guided = train(make, multiplier, sparse=sparse, apply_to=apply_to)
    assert torch.equal(guided[::2], start[::2])
    assert torch.equal(guided[1::2], start[1::2]) is not by_row


@pytest.mark.parametrize("apply_to", ["update", "gradient"])
@pytest.mark.parametrize("name", DENSE)
def test_one_changes_nothing_to_the_bit(name, apply_to):
    whole = train(DENSE[name], None)
    assert torch.equal(train(DENSE[name], 1.0, apply_to=apply_to), whole)


@pytest.mark.parametrize("name", ["sgd", "nesterov"])
def test_update_and_gradient_agree_under_sgd(name):
    multiplier = torch.rand(3, generator=torch.Generator().manual_seed(2))
    update = train(DENSE[name], multiplier)
    gradient = train(DENSE[name], multiplier, apply_to="gradient")
    torch.testing.assert_close(update, gradient)
    assert not torch.equal(update, train(DENSE[name], None))


def test_update_and_gradient_agree_under_sgd_on_sparse_gradients():
    multiplier = torch.rand(N_ROWS, 3, generator=torch.Generator().manual_seed(2))
    for name in ("sgd", "momentum"):
        update = train(SPARSE[name], multiplier, sparse=True)
        gradient = train(SPARSE[name], multiplier, sparse=True, apply_to="gradient")
        torch.testing.assert_close(update, gradient)


def test_under_adam_a_factor_of_the_gradient_is_lost():
    """Which is why the update is the default."""
    start = make_table().detach()
    whole = train(DENSE["adam"], None)
    gradient = train(DENSE["adam"], 0.1, apply_to="gradient")
    torch.testing.assert_close(gradient, whole, rtol=1e-4, atol=1e-5)
    update = train(DENSE["adam"], 0.1)
    torch.testing.assert_close(update - start, 0.1 * (whole - start))


@pytest.mark.parametrize("name", SPARSE)
def test_each_sparse_step_moves_as_far_as_the_guide_says(name):
    """Of all rows it touches, those that momentum alone still moves among them."""
    multiplier = torch.rand(N_ROWS, 1, generator=torch.Generator().manual_seed(2))
    tables = whole, guided = make_table(), make_table()
    optimizers = [SPARSE[name]([table]) for table in tables]
    Guide({"table": multiplier}).attach(optimizers[1], {"table": guided})
    for gradient in draw_gradients(8, sparse=True):
        before = [table.detach().clone() for table in tables]
        for table, optimizer in zip(tables, optimizers, strict=True):
            table.grad = gradient.clone()
            optimizer.step()
        expected = multiplier * (whole.detach() - before[0])
        moved = guided.detach() - before[1]
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["sparse adam", "ftrl", "adagrad", "sgd"])
@pytest.mark.parametrize("apply_to", ["update", "gradient"])
def test_a_sparse_step_costs_what_the_batch_touches(name, apply_to):
    """Nothing of the size of the table is made in a step."""
    n_rows = 100_000
    table = nn.Parameter(torch.zeros(n_rows, 4))
    optimizer = SPARSE[name]([table])
    multiplier = torch.full((n_rows, 1), 0.5)
    multiplier[:10] = 0
    Guide({"t": multiplier}).attach(optimizer, {"t": table}, apply_to=apply_to)

    def step():
        rows, values = torch.arange(20)[None], torch.ones(20, 4)
        table.grad = torch.sparse_coo_tensor(
            rows, values, table.shape, check_invariants=False
        )
        optimizer.step()

    step()  # the state is made in the first
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    made = [e.cpu_memory_usage for e in profile.events() if e.cpu_memory_usage > 0]
    assert max(made) < 100_000  # bytes, of the 1,600,000 that the table has
    assert not table[:10].any() and table[10:20].all() and not table[20:].any()


def test_parameters_of_one_or_zero_cost_nothing():
    """No hook for the first; the optimizer has no state of the second."""
    free, frozen = make_table(), make_table()
    optimizer = AdamW([free])
    handle = Guide({"free": 1.0}).attach(optimizer, {"free": free})
    assert not optimizer._optimizer_step_pre_hooks
    handle.remove()
    optimizer = AdamW([frozen])
    Guide({"frozen": 0.0}).attach(optimizer, {"frozen": frozen})
    frozen.grad = gradient = torch.ones_like(frozen)
    optimizer.step()
    assert not optimizer.state
    assert frozen.grad is gradient  # for whoever looks at it after the step


@pytest.mark.parametrize("name", DENSE)
def test_after_remove_steps_are_whole(name):
    table = make_table()
    optimizer = DENSE[name]([table])
    handle = Guide({"table": 0.0}).attach(optimizer, {"table": table})
    handle.remove()
    handle.remove()  # a second call does nothing
    for gradient in draw_gradients(5):
        table.grad = gradient
        optimizer.step()
    assert torch.equal(table, train(DENSE[name], None, n_steps=5))
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("apply_to", ["update", "gradient"])
@pytest.mark.parametrize("multiplier", [0.0, 0.3])
def test_a_closure_is_waited_for(multiplier, apply_to):
    """Gradients that are there only within the step are guided as others."""
    tables = make_table(), make_table()
    optimizers = [SGD([table], lr=0.1) for table in tables]
    for table, optimizer in zip(tables, optimizers, strict=True):
        Guide({"t": multiplier}).attach(optimizer, {"t": table}, apply_to=apply_to)

    def closure():
        optimizers[1].zero_grad()
        loss = tables[1].square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizers[0].zero_grad()
        tables[0].square().sum().backward()
        optimizers[0].step()
        loss = optimizers[1].step(closure)
    assert loss.item() > 0
    assert torch.equal(*tables)


def test_two_guides_at_once_are_their_product():
    start, table = make_table().detach(), make_table()
    optimizer = Adam([table], lr=0.1)
    for multiplier in (0.5, 0.2):
        Guide({"table": multiplier}).attach(optimizer, {"table": table})
    table.grad = torch.ones_like(table)
    optimizer.step()
    torch.testing.assert_close(start - table.detach(), torch.full_like(start, 0.01))


def test_a_guide_of_ftrl_is_taken_off_when_another_is_in_the_way():
    """An error leaves nothing behind."""
    tables = {"first": make_table(), "second": make_table()}
    optimizer = FTRL(tables.values())
    held = Guide({"second": 0.5}).attach(optimizer, tables)
    with pytest.raises(ValueError, match="has a multiplier already"):
        Guide({"first": 0.5, "second": 0.5}).attach(optimizer, tables)
    held.remove()
    Guide({"first": 0.5, "second": 0.5}).attach(optimizer, tables)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype):
    table = nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = SGD([table], lr=1.0)
    Guide({"t": torch.tensor([0, 0.5, 0.5, 1])}).attach(optimizer, {"t": table})
    table.grad = torch.ones_like(table)
    optimizer.step()
    assert table.tolist() == [1, 0.5, 0.5, 0]


def test_attach_refuses_what_does_not_fit():
    net = nn.Linear(3, 2)
    optimizer = SGD(net.parameters())
    with pytest.raises(ValueError, match="names 'head'; the parameters are 'weight'"):
        Guide({"head": 1.0}).attach(optimizer, net)
    with pytest.raises(ValueError, match=r"'bias' has the shape \(3,\).*\(2,\)"):
        Guide({"bias": torch.ones(3)}).attach(optimizer, net)
    with pytest.raises(ValueError, match=r"'bias' has the shape \(4, 2\)"):
        Guide({"bias": torch.ones(4, 2)}).attach(optimizer, net)
    with pytest.raises(
        ValueError, match="'bias' of the guide belongs to none of the 1"
    ):
        Guide({"bias": 0.5}).attach(SGD([net.weight]), net)
    Guide({"bias": 0.0}).attach(SGD([net.weight]), net)  # it does not move anyway
    with pytest.raises(TypeError, match="optimizers do not know their names"):
        Guide({"bias": 0.5}).attach(optimizer)
    with pytest.raises(ValueError, match="apply_to must be one of .* got 'weights'"):
        Guide({}).attach(optimizer, net, apply_to="weights")
    with pytest.raises(ValueError, match="'bias' of the guide belongs to LBFGS"):
        Guide({"bias": 0.5}).attach(torch.optim.LBFGS(net.parameters()), net)
    assert not optimizer._optimizer_step_pre_hooks


def test_a_copy_of_a_guided_optimizer_is_free():
    """As a net that is saved in the midst of training is."""
    table = make_table()
    optimizer = SGD([table], lr=1.0)
    Guide({"t": 0.5}).attach(optimizer, {"t": table})
    copied = copy.deepcopy(optimizer)
    assert not copied._optimizer_step_pre_hooks


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", DENSE)
def test_cuda_moves_as_far(name):
    table = nn.Parameter(make_table().detach().cuda())
    optimizer = DENSE[name]([table])
    multiplier = torch.rand(N_ROWS, 1, generator=torch.Generator().manual_seed(2))
    multiplier[0] = 0
    with Guide({"t": multiplier}).attach(optimizer, {"t": table}):
        for gradient in draw_gradients():
            table.grad = gradient.cuda()
            optimizer.step()
    expected = train(DENSE[name], multiplier)
    torch.testing.assert_close(table.detach().cpu(), expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(table[0].detach().cpu(), make_table()[0])
