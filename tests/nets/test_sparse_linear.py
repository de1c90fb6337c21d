"""A layer that leaves its zeros out: the same products, whichever kernel is taken."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from sklearn_memgen.nets import SparseLinear, choose_kernel, store_sparsely
from sklearn_memgen.nets import sparse_linear as this


@torch.no_grad()
def make_linear(n_inputs, n_outputs, density, *, bias=True, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(n_inputs, n_outputs, bias=bias, dtype=dtype).eval()
    shape = (n_outputs, n_inputs)
    layer.weight.copy_(torch.randn(shape, generator=generator))
    layer.weight.mul_(torch.rand(shape, generator=generator) < density)
    layer.weight[:, : n_inputs // 3] = 0
    return layer


@torch.inference_mode()
def products(layer, n_rows, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(n_rows, layer.in_features, generator=generator)
    return layer(rows.to(dtype))


@pytest.fixture
def kernel(monkeypatch, request):
    """Take a kernel whether it wins or not."""
    monkeypatch.setattr(this, "choose_kernel", lambda *_, **__: (request.param,) * 3)


@pytest.mark.parametrize("kernel", ["dense", "gather", "csr"], indirect=True)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_rows", [1, 16, 256, 700])
def test_kernels_multiply_alike(kernel, bias, n_rows):
    layer = make_linear(60, 40, 0.1, bias=bias)
    sparse = SparseLinear.from_linear(layer)
    expected = products(layer, n_rows)
    torch.testing.assert_close(products(sparse, n_rows), expected)
    columns = torch.randn(60, n_rows).T  # as a layer in CSR form leaves them
    with torch.inference_mode():
        torch.testing.assert_close(sparse(columns), layer(columns))


@pytest.mark.parametrize("kernel", ["gather", "csr"], indirect=True)
def test_kernels_follow_the_weights(kernel):
    layer = make_linear(60, 40, 0.1)
    sparse = SparseLinear.from_linear(layer)
    products(sparse, 16)
    with torch.no_grad():
        layer.weight[3, 5] = 7.0
    torch.testing.assert_close(products(sparse, 16), products(layer, 16))
    other = make_linear(60, 40, 0.2)
    sparse.load_state_dict(other.state_dict())
    torch.testing.assert_close(products(sparse, 16), products(other, 16))


@pytest.mark.parametrize("kernel", ["csr"], indirect=True)
def test_it_learns_as_an_ordinary_layer(kernel):
    layer = make_linear(60, 40, 0.1)
    sparse = SparseLinear.from_linear(copy.deepcopy(layer)).train()
    for module in (layer, sparse):
        module(torch.ones(3, 60)).square().sum().backward()
    torch.testing.assert_close(sparse.weight.grad, layer.weight.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(300, 20), (40_000, 3), (5, 0), (0, 4)])
def test_pickles_hold_the_same_weights(dtype, bias, shape):
    layer = nn.Linear(1, 1, bias=bias, dtype=dtype)
    if 0 not in shape:
        layer = make_linear(*shape, 0.05, bias=bias, dtype=dtype)
    else:  # layers that lost all their units
        layer.in_features, layer.out_features = shape
        layer.weight = nn.Parameter(torch.zeros(shape[::-1], dtype=dtype))
        if bias:
            layer.bias = nn.Parameter(torch.ones(shape[1], dtype=dtype))
    sparse = SparseLinear.from_linear(layer)
    # Sums of 2,000 products round by the order in which they are taken; these may lose
    # float32's epsilon times the sum of their absolute values, which is about 1,000.
    many = dtype == torch.float32 and shape[0] == 40_000
    tolerance = {"rtol": 0, "atol": 1.2e-4} if many else {}
    file = io.BytesIO()
    torch.save(sparse, file)
    file.seek(0)
    for again in (
        pickle.loads(pickle.dumps(sparse)),
        copy.deepcopy(sparse),
        torch.load(file, weights_only=False),
    ):
        assert again.weight.dtype == dtype
        assert torch.equal(again.weight, layer.weight)
        assert list(again.state_dict()) == list(layer.state_dict())
        assert again.training == layer.training and again.weight.requires_grad
        out = products(again, 5, dtype)
        torch.testing.assert_close(out, products(layer, 5, dtype), **tolerance)


def test_the_pickle_is_as_large_as_what_is_left():
    layer = make_linear(784, 300, 0.036)
    n_left = int(layer.weight.count_nonzero())
    n_bytes = len(pickle.dumps(SparseLinear.from_linear(layer)))
    assert n_bytes < 6 * n_left + 4 * 300 + 300 + 2000
    products(sparse := SparseLinear.from_linear(layer), 16)
    assert len(pickle.dumps(sparse)) == n_bytes  # whatever kernels were made


def test_kernels_are_timed_once():
    weight = make_linear(50, 30, 0.1).weight.detach()
    chosen = choose_kernel(weight, (1, 64))
    assert len(chosen) == 2 and set(chosen) <= {"dense", "gather", "csr"}
    n_timed = len(this._CHOSEN)
    assert choose_kernel(weight.clone(), (1, 64)) is chosen
    choose_kernel(weight, (1, 64), transposed=True)
    n_timed += 1
    assert len(this._CHOSEN) == n_timed
    full = torch.ones(7, 5)
    assert choose_kernel(full) == ("dense",) * 3


def test_another_kernel_must_win(monkeypatch):
    """The slower kernel is not taken, nor one that torch was built without."""

    def slow(weight, bias):
        return lambda rows: [rows @ weight.T for _ in range(20)]

    def missing(weight, bias):
        def multiply(rows):
            raise RuntimeError("torch was built without it")

        return multiply

    monkeypatch.setattr(this, "_CHOSEN", {})
    weight = make_linear(100, 80, 0.1).weight.detach()
    for maker in (slow, missing):
        kernels = {
            "dense": this._dense_kernel(weight, None),
            "csr": maker(weight, None),
        }
        assert this._fastest(kernels, torch.ones(64, 100)) == "dense"
    empty = {
        "dense": slow(weight, None),
        "csr": this._dense_kernel(weight, None),
    }
    assert this._fastest(empty, torch.ones(64, 100)) == "csr"


def test_only_layers_that_are_half_zeros_are_stored_sparsely():
    full, sparse = nn.Linear(9, 9), make_linear(9, 9, 0.2)
    module = store_sparsely(nn.Sequential(full, nn.Sequential(nn.ReLU(), sparse)))
    assert type(module[0]) is nn.Linear and type(module[1][1]) is SparseLinear
    assert module[1][1].weight is sparse.weight
    assert type(store_sparsely(sparse)) is SparseLinear
    assert type(module[1][1].to_linear()) is nn.Linear
