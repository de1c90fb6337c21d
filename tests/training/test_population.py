"""Populations: however they are trained, each net is the one that is trained alone."""

import os
import pickle
import warnings
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen.training import (
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
from tests.training.populations import (
    ARRAY,
    LABELS,
    MODULES,
    TABLE,
    assert_equal_nets,
    make_members,
    make_mlp,
    make_net,
    probabilities_of,
    train_alone,
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


class Process(Callback):
    """Notes the process in which a net is trained."""

    def on_train_begin(self, net, **kwargs):
        self.pid_ = os.getpid()


@pytest.mark.parametrize("strategy", ["auto", "stacked"])
def test_processes_have_stacks_of_their_own(strategy):
    members = [
        replace(member, callbacks=[Process(), Trace()])
        for member in make_members(n_members=16)
    ]
    population = Population(members, strategy=strategy, n_jobs=2, device="cpu").train()
    assert {result.strategy for result in population} == {"stacked"}
    pids = [result.callbacks[0].pid_ for result in population]
    assert len(set(pids[:8])) == len(set(pids[8:])) == 1
    assert os.getpid() not in pids
    assert population[3].trace.to_frame()["n_seen"].sum() == 3 * 140
    assert_equal_nets(members, population.results_, 1e-4)


def test_what_only_a_trial_shows_to_be_unfit_is_trained_alone():
    """A stack in another process that cannot be computed, beside one that can."""
    data = ResidentDataset(ARRAY, LABELS)
    members = [Member(partial(make_net, Choosy), data, seed=k) for k in range(16)]
    members += make_members(n_members=16)
    population = Population(members, n_jobs=2, device="cpu").train()
    strategies = [result.strategy for result in population]
    assert strategies == ["joblib"] * 16 + ["stacked"] * 16
    assert_equal_nets(members[:2], population.results_[:2], 1e-6)
    with pytest.raises(ValueError, match="member 0 cannot be stacked"):
        Population(members, strategy="stacked", n_jobs=2, device="cpu").train()


class Choosy(nn.Linear):
    """Looks at values, which a stack has several of."""

    def __init__(self):
        super().__init__(4, 1)

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


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
