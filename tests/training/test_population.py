"""Populations: however they are trained, each net is the one that is trained alone."""

import pickle
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen.nets import WideDeep
from sklearn_memgen.tables import TableTensors
from sklearn_memgen.training import (
    FTRL,
    ArrayTensors,
    Guide,
    GuideCallback,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    Trace,
    seeded,
    train,
)
from sklearn_memgen.training.member import StartedMember
from sklearn_memgen.training.stackable import stacking_key
from sklearn_memgen.training.stacked import Stack
from sklearn_memgen.training.stacked_optimizers import StackedOptimizers

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
    with seeded(member.seed, torch.device("cpu")):
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


OPTIONS = {
    "plain": {},
    "rates": {
        "own": {"lr": [0.003, 0.01, 0.03], "optimizer__weight_decay": [0, 0.1, 1.0]}
    },
    "schedule": {
        "params": {"schedule": "cosine"},
        "own": {"clip_norm": [0.1, None], "max_epochs": [10, 7]},
    },
    "average": {"params": {"ema_decay": 0.9}},
    "sgd": {
        "params": {
            "optimizer": torch.optim.SGD,
            "optimizer__momentum": 0.9,
            "optimizer__nesterov": True,
        }
    },
    "adam": {
        "params": {
            "optimizer": torch.optim.Adam,
            "optimizer__weight_decay": 0.01,
            "optimizer__fused": True,
        }
    },
    "rmsprop": {"params": {"optimizer": torch.optim.RMSprop}},
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_stack_equals_nets_alone(kind, option):
    settings = {k: dict(v) for k, v in OPTIONS[option].items()}
    members = make_members(kind, **settings)
    members = [replace(m, make_net=partial(m.make_net, max_epochs=1)) for m in members]
    results = Population(members, strategy="stacked").train().results_
    assert_equal_nets(members, results, 1e-4)
    settings.setdefault("params", {})
    settings["params"] = {"max_epochs": 10} | settings["params"]
    members = make_members(kind, **settings)
    results = Population(members, strategy="stacked").train().results_
    assert {result.strategy for result in results} == {"stacked"}
    assert_equal_nets(members, results, 1e-2)


@pytest.mark.parametrize("option", OPTIONS)
def test_optimizers_step_as_one(option, monkeypatch):
    """All but those that only they themselves know, such as RMSprop here."""
    made = []
    make = StackedOptimizers.make

    def spying(*args):
        made.append(make(*args))
        return made[-1]

    monkeypatch.setattr(StackedOptimizers, "make", spying)
    members = make_members("wide_deep", **OPTIONS[option])
    Population(members, strategy="stacked").train()
    assert made
    assert all((stacked is None) == (option == "rmsprop") for stacked in made)


def test_stacks_have_several_nets_at_once():
    """The equalities would be empty if each stack had one net."""
    for kind in MODULES:
        keys = {
            stacking_key(StartedMember(member, torch.device("cpu")))
            for member in make_members(kind)
        }
        assert len(keys) == 1


def test_early_stopping_freezes_a_member_and_keeps_its_best_weights():
    validation = ResidentDataset(ARRAY, LABELS).select(torch.arange(300, 420))
    members = make_members(
        params={"max_epochs": 30},
        own={"lr": [0.001, 0.3, 0.1, 0.03]},
        validation=validation,
        n_iter_no_change=2,
    )
    population = Population(members, strategy="stacked").train()
    n_epochs = [len(result.history) for result in population]
    assert len(set(n_epochs)) > 1 and min(n_epochs) < 30
    assert_equal_nets(members, population.results_, 1e-2)


@pytest.mark.parametrize("apply_to", ["update", "gradient"])
@pytest.mark.parametrize("kind", ["mlp", "wide_deep"])
def test_guides(kind, apply_to):
    """Whole, partly and not at all frozen, also of FTRL and with weight decay."""
    guides = [
        Guide({"0.weight": torch.rand(16, 4), "2.bias": 0.0}),
        Guide({"0.bias": 0.5}),
        None,
        Guide({"0.weight": 0.0, "0.bias": 0.0}),
    ]
    if kind == "wide_deep":
        guides = [
            Guide({"wide.ids.weight": torch.rand(30, 1), "wide.bias": 0.0}),
            Guide({"wide.ids.weight": 0.0}),
            None,
            Guide({"deep.layers.0.weight": torch.rand(16, 1)}),
        ]
    members = [
        replace(m, callbacks=[GuideCallback(g, apply_to=apply_to)] if g else ())
        for m, g in zip(
            make_members(
                kind, params={"max_epochs": 10, "optimizer__weight_decay": 0.1}
            ),
            guides,
            strict=True,
        )
    ]
    results = Population(members, strategy="stacked").train().results_
    assert_equal_nets(members, results, 1e-2)
    frozen = guides[3 if kind == "mlp" else 1]
    k = guides.index(frozen)
    with seeded(members[k].seed, torch.device("cpu")):
        fresh = members[k].make_net().initialize().module_
    for name, multiplier in frozen.items():
        if not multiplier.any():
            assert torch.equal(
                results[k].net.module_.get_parameter(name), fresh.get_parameter(name)
            )


def test_a_member_has_a_guide_of_its_own():
    members = make_members(n_members=3)
    members[1] = replace(members[1], guide=Guide({"0.weight": 0.0}))
    results = Population(members, strategy="stacked").train().results_
    assert_equal_nets(members, results, 1e-4)
    assert members[1].callbacks == ()


@pytest.mark.parametrize("strategy", ["stacked", "sequential", "joblib"])
def test_all_strategies_have_the_same_results(strategy):
    validation = ResidentDataset(TABLE, LABELS).select(torch.arange(50))
    members = make_members("wide_deep", validation=validation, params={"max_epochs": 5})
    members = [replace(m, callbacks=[Trace()]) for m in members]
    population = Population(members, strategy=strategy, n_jobs=2).train()
    frames = [result.trace.to_frame() for result in population]
    assert_equal_nets(members, population.results_, 1e-3)
    for member, frame in zip(members, frames, strict=True):
        again = replace(member, callbacks=[Trace()])
        train_alone(again)
        expected = again.callbacks[0].to_frame()
        # Of a row whose logits are nearly equal, rounding may decide.
        assert (frame["n_correct"] == expected["n_correct"]).mean() > 0.98
        pd.testing.assert_series_equal(frame["aum"], expected["aum"], atol=1e-3)
        assert frame["n_seen"].tolist() == expected["n_seen"].tolist()
    history = population.history_
    assert history.index.names == ["member", "epoch"]
    assert set(history.reset_index()["member"]) == {0, 1, 2, 3}


def test_a_trace_has_a_place_for_each_row_of_the_table():
    members = [replace(make_members()[2], callbacks=[Trace()]) for _ in range(2)]
    population = Population(members, strategy="stacked").train()
    seen = population[0].trace.to_frame()["n_seen"]
    assert len(seen) == 420
    assert seen[seen > 0].index.tolist() == list(range(100, 237))


class Diverging(nn.Module):
    """Overflows, if it is told to."""

    def __init__(self, factor):
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x):
        return self.layer(x) * self.factor


@pytest.mark.parametrize("strategy", ["auto", "stacked", "sequential", "joblib"])
def test_a_member_that_diverges_does_not_disturb_the_others(strategy):
    data = ResidentDataset(ARRAY, LABELS)
    members = [
        Member(partial(make_net, partial(Diverging, f)), data, seed=k)
        for k, f in enumerate([1.0, 1e39, 2.0])
    ]
    with pytest.warns(
        UserWarning, match="1 of 3 members failed; the first is member 1"
    ):
        population = Population(members, strategy=strategy, n_jobs=2).train()
    assert list(population.errors_) == [1]
    assert isinstance(population.errors_[1], FloatingPointError)
    assert [result.finished for result in population] == [True, False, True]
    assert_equal_nets(members[::2], population.results_[::2], 1e-4)


def test_a_member_that_cannot_be_made_has_its_error():
    def fail():
        raise RuntimeError("no such net")

    data = ResidentDataset(ARRAY, LABELS)
    members = [Member(fail, data), *make_members(n_members=2)]
    with pytest.warns(UserWarning, match="no such net"):
        population = Population(members).train()
    assert population.nets_[0] is None and population[0].history.empty
    assert population[1].finished and population[2].finished


def test_an_error_in_a_stack_is_that_of_its_member():
    """A label out of range: the other members are trained alone, without it."""
    module = partial(make_mlp, 3)
    data = ResidentDataset(ARRAY, LABELS)
    wrong = replace(data, y=torch.full_like(LABELS, 7))
    members = [
        Member(partial(make_net, module), y, seed=k)
        for k, y in enumerate([data, wrong])
    ]
    with pytest.warns(UserWarning, match="1 of 2 members failed"):
        population = Population(members, strategy="stacked").train()
    assert list(population.errors_) == [1]
    assert_equal_nets(members[:1], population.results_[:1], 1e-6)


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
    assert strategies(8, 1_000, n_jobs=2) == {"joblib"}


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


def test_unknown_strategy():
    with pytest.raises(ValueError, match="strategy must be one of .*got 'fast'"):
        Population(make_members(), strategy="fast").train()


def test_training_goes_on_and_pickles():
    """A net of a stack is an ordinary one: of its own memory, with its optimizers."""
    members = make_members("wide_deep")
    results = Population(members, strategy="stacked").train().results_
    for member, result in zip(members, results, strict=True):
        alone = train_alone(member)
        copy = pickle.loads(pickle.dumps(result))
        nets = (alone, result.net, copy.net)
        for net in nets:
            size = sum(p.numel() for p in net.module_.parameters())
            memory = {p.untyped_storage().nbytes() for p in net.module_.parameters()}
            assert max(memory) < 4 * size
            with seeded(5, torch.device("cpu")):
                train(net, member.dataset(), None)
        expected = probabilities_of(alone, TABLE)
        for net in nets[1:]:
            torch.testing.assert_close(
                probabilities_of(net, TABLE), expected, rtol=0, atol=1e-3
            )


@pytest.mark.parametrize("where", ["between", "within"])
@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_ctrl_c_leaves_readable_members(strategy, where, monkeypatch):
    """Pressed in the second epoch of a net, between two passes or within one."""
    owner, name = (ResidentNet, "_begin_pass")
    if where == "within":
        owner, name = (
            (Stack, "run") if strategy == "stacked" else (ResidentNet, "_loss")
        )
    method = getattr(owner, name)

    def pressing(self, *args):
        nets = self.nets if isinstance(self, Stack) else [self]
        if any(len(net.history) == 2 for net in nets):
            raise KeyboardInterrupt
        return method(self, *args)

    monkeypatch.setattr(owner, name, pressing)
    members = make_members(n_members=3, params={"max_epochs": 5})
    members[0] = replace(members[0], make_net=partial(make_net, max_epochs=1))
    with pytest.warns(UserWarning, match="1 of 3 members are finished"):
        population = Population(members, strategy=strategy).train()
    monkeypatch.setattr(owner, name, method)
    assert population.interrupted_
    assert [result.finished for result in population] == [True, False, False]
    assert population[1].net.interrupted_
    assert len(population[1].history) == 2
    assert (population.nets_[2] is None) == (strategy == "sequential")
    assert_equal_nets(members[:1], population.results_[:1], 1e-4)


def test_randomness_outside_is_untouched():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    Population(make_members("wide_deep"), strategy="stacked").train()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_stack_on_a_gpu():
    settings = {"precision": "float32", "device": "cuda"}
    members = make_members("wide_deep", params=settings)
    population = Population(members, strategy="stacked", device="cuda").train()
    alone = Population(members, strategy="sequential", device="cuda").train()
    for one, other in zip(population, alone, strict=True):
        torch.testing.assert_close(
            probabilities_of(one.net, TABLE),
            probabilities_of(other.net, TABLE),
            rtol=0,
            atol=1e-3,
        )


def test_stacking_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in MODULES:
            Population(make_members(kind), strategy="stacked").train()
