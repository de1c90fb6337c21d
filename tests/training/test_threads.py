"""How many threads a step is given: as many as it keeps busy."""

import pytest
import torch
from torch import nn

from sklearn_memgen.training import (
    ArrayTensors,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    worthwhile_threads,
)


def make_net(module, batch_size=256):
    net = ResidentNet(module, batch_size=batch_size, max_epochs=1, verbose=0)
    return net.set_params(device="cpu").initialize()


def make_data(*shape):
    X = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return ResidentDataset(ArrayTensors({"": X}), torch.arange(len(X)) % 2)


@pytest.mark.parametrize(
    ("n_units", "batch_size", "n_nets", "expected"),
    # 6 operations for each row and weight, of which there are 21 for each unit.
    [
        (32, 256, 1, 1),
        (2000, 256, 1, 6 * 256 * 2000 * 21 // 50_000_000),
        (2000, 1024, 1, 6 * 1024 * 2000 * 21 // 50_000_000),
        (2000, 256, 10, 6 * 256 * 2000 * 21 * 10 // 50_000_000),
    ],
)
def test_it_grows_with_the_operations_of_a_step(n_units, batch_size, n_nets, expected):
    module = nn.Sequential(nn.Linear(20, n_units), nn.ReLU(), nn.Linear(n_units, 1))
    net, data = make_net(module, batch_size), make_data(1024, 20)
    assert worthwhile_threads(net, data, n_nets) == expected


def test_weights_that_are_used_more_than_once_count_as_often():
    """A convolution of few weights is much work."""
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 32 * 32, 1)
    )
    convolution, head = 2 * 8 * 9 * 32 * 32, 2 * 8 * 32 * 32
    expected = 3 * 512 * (convolution + head) // 50_000_000
    net, data = make_net(module, batch_size=512), make_data(512, 1, 32, 32)
    assert expected > 1 and worthwhile_threads(net, data) == expected


class Broken(nn.Linear):
    def forward(self, X):
        raise RuntimeError("no such thing")


def test_what_cannot_be_counted_is_left_to_torch():
    assert worthwhile_threads(make_net(Broken(3, 1)), make_data(50, 3)) is None


def test_counting_leaves_the_net_as_it_was():
    """Else a net in a search would not be the net alone."""
    module = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1)
    )
    net = make_net(module)
    before = {name: t.clone() for name, t in net.module_.state_dict().items()}
    state = torch.get_rng_state()
    worthwhile_threads(net, make_data(50, 3))
    assert torch.equal(state, torch.get_rng_state())
    for name, tensor in net.module_.state_dict().items():
        assert torch.equal(tensor, before[name]), name


class Threads(nn.Linear):
    """Notes how many threads there are when it learns."""

    seen: list[int] = []

    def forward(self, X):
        if self.training:
            Threads.seen.append(torch.get_num_threads())
        return super().forward(X)


@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_small_nets_are_trained_in_one_thread(strategy):
    before, data = torch.get_num_threads(), make_data(50, 3)
    torch.set_num_threads(2)
    try:
        Threads.seen.clear()
        members = [Member(lambda: ResidentNet(Threads(3, 1), max_epochs=1), data)] * 2
        Population(members, strategy=strategy, device="cpu").train()
        assert Threads.seen[-1] == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
