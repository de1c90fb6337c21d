"""What is stacked together, and what is trained alone."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen.training import (
    Member,
    Population,
    ResidentDataset,
    Trace,
)
from tests.training.populations import (
    ARRAY,
    LABELS,
    assert_equal_nets,
    make_members,
    make_mlp,
    make_net,
    train_alone,
)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x) * (1.0 if x.sum() > 0 else 0.5)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.register_buffer("n", torch.zeros(()))

    def forward(self, x):
        self.n += 1
        return self.layer(x)


class Watching(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x + torch.randn_like(x) if self.training else x)


def batch_norm():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))


def dropout():
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))


@pytest.mark.parametrize(
    ("make_module", "callbacks", "message"),
    [
        (batch_norm, (), "BatchNorm1d '1' keeps running statistics"),
        (dropout, (), "Dropout '1' draws at random"),
        (Random, (), "Random cannot be computed by vmap"),
        (Branching, (), "Branching cannot be computed by vmap"),
        (Unused, (), "'other.weight' has no part in the loss"),
        (Counting, (), "buffers or attributes change"),
        (make_mlp, (Watching,), "a hook for batches"),
    ],
)
def test_what_cannot_be_stacked_is_trained_alone(make_module, callbacks, message):
    data = ResidentDataset(ARRAY, LABELS)
    members = [
        Member(
            partial(make_net, make_module),
            data,
            seed=k,
            callbacks=[make() for make in callbacks],
        )
        for k in range(2)
    ]
    with pytest.raises(ValueError, match="member 0 cannot be stacked: .*" + message):
        Population(members, strategy="stacked").train()
    population = Population(members).train()
    assert {result.strategy for result in population} == {"sequential"}
    for member, result in zip(members, population, strict=True):
        torch.testing.assert_close(
            torch.nn.utils.parameters_to_vector(result.net.module_.parameters()),
            torch.nn.utils.parameters_to_vector(
                train_alone(member).module_.parameters()
            ),
            rtol=0,
            atol=0,
        )


def test_members_of_other_structure_or_settings_are_stacked_apart():
    data = ResidentDataset(ARRAY, LABELS)

    def leaky(slope):
        return nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(slope), nn.Linear(8, 1))

    makers = [partial(leaky, 0.1), partial(leaky, 0.5), make_mlp, partial(leaky, 0.1)]
    members = [
        Member(partial(make_net, make), data, seed=k) for k, make in enumerate(makers)
    ]
    population = Population(members, strategy="stacked").train()
    assert_equal_nets(members, population.results_, 1e-4)


def test_chunks_change_nothing(monkeypatch):
    names = Population.train.__globals__
    monkeypatch.setitem(names, "members_a_chunk", lambda net: 2)
    members = make_members(n_members=5)
    results = Population(members, strategy="stacked").train().results_
    assert_equal_nets(members, results, 1e-4)


def test_auto_stacks_many_small_nets_only():
    data = ResidentDataset(ARRAY, LABELS)

    def strategies(n_members, n_units, **settings):
        def make():
            layers = nn.Linear(4, n_units), nn.ReLU(), nn.Linear(n_units, 1)
            return make_net(lambda: nn.Sequential(*layers), max_epochs=1)

        members = [Member(make, data, seed=k) for k in range(n_members)]
        population = Population(members, device="cpu", **settings).train()
        return {result.strategy for result in population}

    assert strategies(8, 16) == {"stacked"}
    assert strategies(2, 16) == {"sequential"}
    assert strategies(8, 20_000) == {"sequential"}
    assert strategies(8, 1_000, n_jobs=2) == {"stacked"}  # in one process
    assert strategies(8, 1_000, n_jobs=3) == {"joblib"}


def test_members_share_no_callbacks():
    trace = Trace()
    members = [replace(m, callbacks=[trace]) for m in make_members()]
    with pytest.raises(ValueError, match="members 0 and 1 have the same Trace"):
        Population(members).train()


def test_members_share_no_parameters():
    module = make_mlp()
    data = ResidentDataset(ARRAY, LABELS)
    members = [Member(partial(make_net, lambda: module), data) for _ in range(2)]
    with pytest.raises(ValueError, match="are those of another member, too"):
        Population(members, strategy="stacked").train()
