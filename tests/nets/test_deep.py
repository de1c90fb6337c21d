"""Number inputs and the deep part."""

import torch

from sklearn_memgen.nets import DeepPart, NumberInput
from sklearn_memgen.nets.deep import squash

NAN = float("nan")


def test_bins_fill_from_left_to_right():
    """A bin is empty below it, full above it, and linear inside."""
    module = NumberInput([[-1.0, 0.0, 2.0]], [False])
    numbers = torch.tensor([[-2.0], [-0.5], [0.0], [1.0], [9.0]])
    bins = module(numbers)[:, 1:]
    expected = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1]]
    torch.testing.assert_close(bins, torch.tensor(expected, dtype=torch.float32))


def test_missing_has_a_flag_and_zeros_elsewhere():
    module = NumberInput([[0.0, 1.0], [0.0, 1.0]], [True, False])
    out = module(torch.tensor([[NAN, 0.5], [0.5, 0.5]]))
    # flag of column 0, squashed numbers, one bin of each column
    assert module.n_outputs == out.shape[1] == 5
    assert out[:, 0].tolist() == [1.0, 0.0]
    assert out[0, 1] == out[0, 3] == 0
    torch.testing.assert_close(out[:, 4], torch.tensor([0.5, 0.5]))


def test_squash_is_bounded_and_keeps_order():
    numbers = torch.tensor([-1e6, -3.0, 0.0, 0.1, 3.0, 1e6])
    squashed = squash(numbers)
    assert squashed.diff().gt(0).all()
    assert squashed.abs().max() <= 3
    torch.testing.assert_close(squashed[3], torch.tensor(0.1), rtol=1e-3, atol=0)


def test_columns_without_bins_and_no_columns_at_all():
    assert NumberInput([[], [0.0]], [False, False])(torch.zeros(4, 2)).shape == (4, 2)
    assert NumberInput([], [])(torch.zeros(4, 0)).shape == (4, 0)


def make_deep(**changes):
    params = {
        "bin_edges": [],
        "missing": [],
        "n_ids": 0,
        "n_id_columns": 0,
        "n_sparse_features": 0,
        "hidden_layer_sizes": (4,),
        "embedding_dim": 2,
        "dropout": 0.0,
    }
    return DeepPart(1, **params | changes)


def test_large_tables_have_sparse_gradients_and_small_ones_dense():
    small = make_deep(n_ids=10, n_id_columns=1)
    large = make_deep(n_ids=200_000, n_id_columns=1)
    assert small.sparse_parameters() == []
    assert large.sparse_parameters()[0] is large.embedding.weight
    large(torch.zeros(3, 0), torch.zeros(3, 1, dtype=torch.int32)).sum().backward()
    assert large.embedding.weight.grad.is_sparse


def test_sparse_features_that_were_never_seen_add_nothing():
    deep = make_deep(n_sparse_features=6)
    numbers, ids = torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.int32)
    offsets = torch.tensor([0, 1])
    out = deep(numbers, ids, torch.tensor([2]), torch.tensor([1.0]), offsets)
    assert out[0] == out[1]  # the second row is empty
