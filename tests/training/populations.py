"""Members and nets of the tests of populations."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from sklearn_memgen.nets import WideDeep
from sklearn_memgen.tables import TableTensors
from sklearn_memgen.training import (
    FTRL,
    ArrayTensors,
    GuideCallback,
    Member,
    ResidentDataset,
    ResidentNet,
    at_most_threads,
    seeded,
    train,
)

GENERATOR = torch.Generator().manual_seed(0)
NUMBERS = torch.randn(420, 4, generator=GENERATOR)
IDS = torch.stack(
    [torch.randint(10 * c, 10 * c + 10, (420,), generator=GENERATOR) for c in range(3)],
    dim=1,
).int()
LABELS = (NUMBERS[:, 0] * NUMBERS[:, 1] + 0.3 * (IDS[:, 0] % 3) > 0.2).long()
WEIGHT = torch.rand(420, generator=GENERATOR) + 0.5
TABLE = TableTensors(NUMBERS, IDS)
ARRAY = ArrayTensors({"": NUMBERS})
#: Rows of members: of unequal length, with other remainders after the last full batch.
ROWS = [None, np.arange(300), np.arange(100, 237), torch.arange(0, 420, 3)]


def make_mlp(n_outputs=1):
    return nn.Sequential(
        nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Linear(16, n_outputs)
    )


def make_wide_deep(n_members=1, unknown_rate=0.1, n_outputs=1):
    return WideDeep(
        n_outputs,
        bin_edges=[[-1.0, 0.0, 1.0]] * 4,
        missing=[False] * 4,
        id_offsets=[0, 10, 20, 30],
        n_deep_id_columns=2,
        hidden_layer_sizes=(16, 8),
        embedding_dim=4,
        unknown_rate=unknown_rate,
        n_members=n_members,
    )


class OwnModule(nn.Module):
    """What a user may write: functions, constants and a buffer of each net's own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.randn(4))
        self.scale = nn.Parameter(torch.ones(1))
        self.hidden = nn.ModuleDict({"a": nn.Linear(4, 8), "b": nn.Linear(8, 3)})
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = torch.tanh(self.hidden["a"](x + self.shift)) * self.scale
        return self.hidden["b"](self.norm(x))


MODULES = {
    "mlp": (make_mlp, ARRAY),
    "wide_deep": (make_wide_deep, TABLE),
    "perceptrons": (partial(make_wide_deep, 3), TABLE),
    "own": (OwnModule, ARRAY),
}


def make_net(make_module=make_mlp, **params):
    defaults = {"lr": 0.01, "max_epochs": 3, "batch_size": 64, "verbose": 0}
    if make_module is not make_mlp and "group_optimizers" not in params:
        params["group_optimizers"] = {"wide": partial(FTRL, lr=0.1, l1=0.01)}
    return ResidentNet(make_module(), **defaults | params)


def train_alone(member):
    """Do what an estimator does for one net."""
    with seeded(member.seed, torch.device("cpu")), at_most_threads(1):
        net = member.make_net()
        net.initialize()
        callbacks = list(member.callbacks)
        if member.guide is not None:
            callbacks.append(GuideCallback(member.guide))
        train(
            net,
            member.dataset(),
            member.validation,
            callbacks=callbacks,
            n_iter_no_change=member.n_iter_no_change,
            tol=member.tol,
        )
    return net


def make_members(kind="mlp", n_members=4, **settings):
    """Members that differ in all that may differ in a stack."""
    make_module, X = MODULES[kind]
    data = ResidentDataset(X, LABELS)
    params = settings.pop("params", {})
    own = settings.pop("own", {})
    members = []
    for k in range(n_members):
        training = data
        if k % 2:
            flipped = torch.where(torch.arange(420) % 9 == k, 1 - LABELS, LABELS)
            training = replace(data, y=flipped, weight=WEIGHT)
        mine = {name: values[k % len(values)] for name, values in own.items()}
        members.append(
            Member(
                partial(make_net, make_module, **params | mine),
                training,
                seed=k,
                rows=ROWS[k % len(ROWS)],
                **settings,
            )
        )
    return members


def probabilities_of(net, X):
    return torch.from_numpy(net.predict_proba(ResidentDataset(X)))


def assert_equal_nets(members, results, tolerance):
    for member, result in zip(members, results, strict=True):
        assert result.error is None
        alone = train_alone(member)
        table = member.training.X
        torch.testing.assert_close(
            probabilities_of(result.net, table),
            probabilities_of(alone, table),
            rtol=0,
            atol=tolerance,
        )
        there = [(r["epoch"], r["learning_rate"]) for r in result.net.history]
        assert there == [(r["epoch"], r["learning_rate"]) for r in alone.history]
        for name in ("train_loss", "valid_loss"):
            if name in alone.history[0]:
                np.testing.assert_allclose(
                    result.net.history[:, name],
                    alone.history[:, name],
                    atol=10 * tolerance,
                )
