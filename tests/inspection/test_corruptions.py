"""Labels and features are made random as they are said to be."""

import numpy as np
import pytest
import torch

from sklearn_memgen.inspection._corruptions import corrupt_features, corrupt_labels
from sklearn_memgen.tables import TableTensors
from sklearn_memgen.tables.tensors import CSRParts
from sklearn_memgen.training import ArrayTensors


def test_labels_are_drawn_from_all_classes():
    codes = np.zeros(9000, dtype=np.int64)
    drawn = corrupt_labels(codes, 3, 1.0, np.random.RandomState(0))
    np.testing.assert_allclose(np.bincount(drawn) / 9000, 1 / 3, atol=0.02)
    part = corrupt_labels(codes, 3, 0.3, np.random.RandomState(0))
    assert np.mean(part != 0) == pytest.approx(0.2, abs=0.02)
    assert not codes.any()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return [
        ArrayTensors({"": 3 + 2 * torch.randn(n, 2, 5, generator=generator)})
        for n in (500, 200)
    ]


def test_entries_are_moved_in_all_rows_alike(images):
    moved = corrupt_features("shuffled_features", *images, np.random.RandomState(0))
    flat = [part.arrays[""].flatten(1) for part in images]
    order = [
        int((flat[0] == c[:, None]).all(0).nonzero())
        for c in moved[0].arrays[""].flatten(1).T
    ]
    assert sorted(order) == list(range(10))
    assert all(k != place for k, place in enumerate(order))
    assert torch.equal(moved[1].arrays[""].flatten(1), flat[1][:, order])


def test_values_are_dealt_anew_in_each_entry(images):
    dealt = corrupt_features("permuted_values", *images, np.random.RandomState(0))
    for one, other in zip(images, dealt, strict=True):
        before, after = one.arrays[""], other.arrays[""]
        assert torch.equal(before.sort(0).values, after.sort(0).values)
        assert not torch.equal(before, after)
        correlation = np.corrcoef(after.flatten(1).T)
        assert np.abs(correlation - np.eye(10)).max() < 0.3


def test_random_numbers_have_mean_and_variance_of_their_entry(images):
    images[0].arrays[""][:, 0, 0] += 100
    images[0].arrays[""][:, 1, 0] = 7.0
    drawn = corrupt_features("random_features", *images, np.random.RandomState(0))
    for part in drawn:
        flat = part.arrays[""]
        assert flat.dtype == torch.float32
        assert float(flat[:, 0, 0].mean()) == pytest.approx(103, abs=0.5)
        assert float(flat[:, 0, 1].std()) == pytest.approx(2, abs=0.3)
        assert (flat[:, 1, 0] == 7).all()


def test_whole_numbers_are_drawn_from_their_own_and_never_moved():
    ids = torch.stack([torch.arange(50) % 3, 10 + torch.arange(50) % 4], dim=1)
    X = ArrayTensors({"": ids})
    rng = np.random.RandomState(0)
    assert corrupt_features("shuffled_features", X, X, rng) is None
    for kind in ("random_features", "permuted_values"):
        drawn = corrupt_features(kind, X, X, rng)[0].arrays[""]
        assert drawn.dtype == torch.int64
        assert set(drawn[:, 0].tolist()) == {0, 1, 2}
        assert set(drawn[:, 1].tolist()) == {10, 11, 12, 13}
        assert not torch.equal(drawn, ids)


def make_table(n):
    generator = torch.Generator().manual_seed(n)
    numbers = torch.randn(n, 4, generator=generator)
    numbers[::3, 2] = torch.nan
    numbers[::5, 3] = torch.nan
    ids = torch.randint(0, 4, (n, 2), generator=generator).int()
    ids[:, 1] += 4
    indptr = torch.arange(n + 1) * 2
    csr = CSRParts(indptr, torch.arange(2 * n) % 7, torch.arange(2.0 * n))
    return TableTensors(numbers, ids, csr)


def test_numbers_of_a_table_move_where_missing_ones_may_be():
    tables = make_table(60), make_table(30)
    moved = corrupt_features("shuffled_features", *tables, np.random.RandomState(0))
    for before, after in zip(tables, moved, strict=True):
        expected = before.numbers[:, [1, 0, 3, 2]]
        np.testing.assert_array_equal(after.numbers, expected)
        assert after.ids is before.ids and after.csr is before.csr
    single = TableTensors(torch.randn(9, 1), torch.zeros(9, 2, dtype=torch.int32))
    rng = np.random.RandomState(0)
    assert corrupt_features("shuffled_features", single, single, rng) is None


@pytest.mark.parametrize("kind", ["permuted_values", "random_features"])
def test_random_tables_have_ids_of_their_columns_and_missing_where_they_were(kind):
    tables = make_table(600), make_table(300)
    drawn = corrupt_features(kind, *tables, np.random.RandomState(0))
    for before, after in zip(tables, drawn, strict=True):
        share = after.numbers.isnan().double().mean(dim=0)
        np.testing.assert_allclose(share, [0, 0, 1 / 3, 1 / 5], atol=0.06)
        assert after.ids.dtype == torch.int32
        assert after.ids[:, 0].unique().tolist() == [0, 1, 2, 3]
        assert after.ids[:, 1].unique().tolist() == [4, 5, 6, 7]
        assert torch.equal(after.csr.indptr, before.csr.indptr)
        assert torch.equal(after.csr.values.long() % 7, after.csr.indices)
        assert not torch.equal(after.csr.indices, before.csr.indices)
