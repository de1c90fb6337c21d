"""Fits that were ended go on, and come out as if nothing had happened."""

import contextlib
import copy
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EpochScoring, LRScheduler
from torch import nn

from sklearn_memgen import (
    LotteryPrunedNet,
    NetClassifier,
    NoisyFineTuneProbe,
    WideDeepClassifier,
)
from sklearn_memgen.training import (
    FTRL,
    AnchorCallback,
    ArrayTensors,
    Checkpoint,
    Guide,
    GuideCallback,
    GuidePath,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    Trace,
    train,
)


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, dropout=0.3):
        super().__init__(
            nn.Linear(n_features, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(16, n_classes),
        )


class SmallMLP(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_classes))


def make_table(n_rows=300, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n_rows, 4)).astype(np.float32)
    y = (X[:, 0] + 0.5 * rng.normal(size=n_rows) > 0).astype(int)
    return X, y + (X[:, 1] > 0.7)


class Stop(Callback):
    """Ends training in the midst of an epoch, which is no parameter of the fit."""

    epoch = None

    def on_train_begin(self, net, **kwargs):
        self.net_ = net

    def on_epoch_begin(self, net, **kwargs):
        self.n_steps_ = 0

    def observe(self, batch, logits, losses):
        self.n_steps_ += 1
        if len(self.net_.history) == Stop.epoch and self.n_steps_ == 3:
            self.stop()

    def stop(self):
        raise KeyboardInterrupt


@contextlib.contextmanager
def ended_in(epoch):
    """Press Ctrl-C in an epoch."""
    Stop.epoch = epoch
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Stop.epoch = None


def make_model(folder, *callbacks, every_n_epochs=1, **params):
    checkpoint = Checkpoint(folder, every_n_epochs=every_n_epochs)
    callbacks = [Trace(), *callbacks, Stop()]
    if folder is not None:
        callbacks.append(checkpoint)
    settings = {"max_epochs": 6, "batch_size": 32, "random_state": 0} | params
    return NetClassifier(MLP, callbacks=callbacks, **settings)


def last_of(net, kind):
    return next(c for _, c in net.callbacks_ if isinstance(c, kind))


def checkpoint_of(model):
    return last_of(model.net_, Checkpoint)


def assert_same(one, other, X):
    """Compare two fitted classifiers to the bit."""
    for name, tensor in one.net_.module_.state_dict().items():
        assert torch.equal(tensor, other.net_.module_.state_dict()[name]), name
    for name in one.net_._optimizers:
        states = [getattr(m.net_, f"{name}_").state_dict() for m in (one, other)]
        assert states[0]["param_groups"] == states[1]["param_groups"]
        for k, state in states[0]["state"].items():
            for key, value in state.items():
                assert torch.equal(value, states[1]["state"][k][key]), key
    histories = [m.history_.drop(columns="duration") for m in (one, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    if any(isinstance(c, Trace) for _, c in one.net_.callbacks_):
        traces = [m.trace_.to_frame() for m in (one, other)]
        pd.testing.assert_frame_equal(*traces, check_exact=True)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    "params",
    [
        {"schedule": "cosine", "early_stopping": False},
        {"schedule": "linear", "ema_decay": 0.95, "clip_norm": 0.5},
        {"schedule": "constant", "ema_decay": 0.95, "early_stopping": False},
        {"optimizer": "sgd", "net_params": {"micro_batch_size": 10}},
    ],
)
@pytest.mark.parametrize("epoch", [2, 5])
def test_a_fit_that_was_ended_comes_out_the_same(tmp_path, params, epoch):
    """With dropout, shuffling, running statistics, averages, a trace, held-out rows."""
    X, y = make_table()
    whole = make_model(None, **params).fit(X, y)
    with ended_in(epoch):
        ended = make_model(tmp_path, **params).fit(X, y)
    assert len(ended.history_) == epoch
    gone_on = make_model(tmp_path, **params).fit(X, y)
    assert checkpoint_of(gone_on).n_resumed_ == epoch - 1
    assert_same(whole, gone_on, X)


def test_the_same_estimator_can_be_fitted_again(tmp_path):
    """Its callbacks, which have seen something already, begin where the file ends."""
    X, y = make_table()
    whole = make_model(None).fit(X, y)
    model = make_model(tmp_path)
    for epoch in (2, 3, 5):
        with ended_in(epoch):
            model.fit(X, y)
    model.fit(X, y)
    assert checkpoint_of(model).n_resumed_ == 4
    assert_same(whole, model, X)


def test_a_finished_fit_is_done_at_once(tmp_path):
    X, y = make_table()
    first = make_model(tmp_path).fit(X, y)
    with ended_in(1):  # in which no epoch is made
        second = make_model(tmp_path).fit(X, y)
    assert checkpoint_of(second).n_resumed_ == 6
    assert_same(first, second, X)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("epoch", [None, 3])
def test_early_stopping_stops_again_at_the_best_weights(tmp_path, epoch):
    X, y = make_table()
    y = np.random.RandomState(0).permutation(y)  # nothing to learn
    params = {
        "early_stopping": True,
        "n_iter_no_change": 2,
        "max_epochs": 60,
        "learning_rate": 0.05,
    }
    whole = make_model(None, **params).fit(X, y)
    n_epochs = len(whole.history_)
    assert 3 < n_epochs < 60
    with ended_in(epoch):
        make_model(tmp_path, **params).fit(X, y)
    again = make_model(tmp_path, **params).fit(X, y)
    assert checkpoint_of(again).n_resumed_ == (n_epochs if epoch is None else epoch) - 1
    assert_same(whole, again, X)
    assert not again.net_.interrupted_


def test_every_few_epochs_and_the_last(tmp_path):
    X, y = make_table()
    whole = make_model(None).fit(X, y)
    for epoch, n_resumed in ((4, 0), (5, 0), (6, 4), (None, 4), (None, 6)):
        with ended_in(epoch):
            model = make_model(tmp_path, every_n_epochs=4).fit(X, y)
        assert checkpoint_of(model).n_resumed_ == n_resumed
    assert_same(whole, model, X)


def test_a_process_that_was_killed(tmp_path):
    """Another one goes on."""
    X, y = make_table()
    script = f"""
    import os
    from {__name__} import Stop, make_model, make_table

    Stop.epoch = 4
    Stop.stop = lambda self: os._exit(7)
    params = {{"schedule": "linear", "ema_decay": 0.9}}
    make_model({str(tmp_path)!r}, **params).fit(*make_table())
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, cwd=root).returncode == 7
    params = {"schedule": "linear", "ema_decay": 0.9}
    gone_on = make_model(tmp_path, **params).fit(X, y)
    assert checkpoint_of(gone_on).n_resumed_ == 3
    assert_same(make_model(None, **params).fit(X, y), gone_on, X)


# Whatever takes part in training


class Counts(Callback):
    """Has gathered by names of any kind, and refers to the net."""

    def __init__(self, factor=1):
        self.factor = factor
        self.losses = []

    def on_train_begin(self, net, **kwargs):
        self.net = net
        self.layer = net.module_[0]
        self.total_ = torch.zeros(())

    def on_epoch_end(self, net, **kwargs):
        assert self.net is net and self.layer is net.module_[0]
        self.losses.append(self.factor * net.history[-1, "train_loss"])
        self.total_ += self.losses[-1]


def test_what_callbacks_have_gathered_comes_back(tmp_path):
    X, y = make_table()

    def callbacks():
        return [
            Counts(2),
            EpochScoring("accuracy", name="accuracy", lower_is_better=False),
            LRScheduler("StepLR", step_size=2, gamma=0.5),
        ]

    params = {"schedule": "constant"}
    whole = make_model(None, *callbacks(), **params).fit(X, y)
    rates = whole.net_.optimizer_.param_groups[0]["lr"]
    with ended_in(4):
        make_model(tmp_path, *callbacks(), **params).fit(X, y)
    gone_on = make_model(tmp_path, *callbacks(), **params).fit(X, y)
    assert checkpoint_of(gone_on).n_resumed_ == 3
    assert_same(whole, gone_on, X)
    counts = [last_of(model.net_, Counts) for model in (whole, gone_on)]
    assert len(counts[0].losses) == 6
    assert counts[0].losses == counts[1].losses
    assert torch.equal(counts[0].total_, counts[1].total_)
    assert gone_on.net_.optimizer_.param_groups[0]["lr"] == rates
    ours, theirs = (
        last_of(m.net_, LRScheduler).lr_scheduler_ for m in (whole, gone_on)
    )
    assert ours.state_dict() == theirs.state_dict()
    assert theirs.optimizer is gone_on.net_.optimizer_


def make_path():
    """Return guides for three parts of the way."""
    shares = torch.tensor([[1.0], [0.5], [0.0]])
    guides = [
        Guide({"0.weight": torch.full((8, 4), 1.0), "2.weight": shares}),
        Guide({"0.weight": torch.rand(8, 4), "2.weight": 1.0}),
        Guide({"0.weight": 0.3, "2.weight": shares.flip(0)}),
    ]
    return GuidePath(guides, [0.05, 0.15])


@pytest.mark.parametrize("kind", ["adamw", "ftrl"])
def test_guides_and_anchors_hold_as_before(tmp_path, kind):
    """FTRL's state is that under a guide, which need not be the first of a path."""
    X, y = make_table()
    data = ResidentDataset(ArrayTensors({"": torch.from_numpy(X)}), torch.from_numpy(y))
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    path = make_path()
    optimizer = (
        {"optimizer": partial(FTRL, l1=0.02), "lr": 0.3}
        if kind == "ftrl"
        else {"lr": 0.01}
    )

    def fit(folder):
        guide = GuideCallback(path)
        callbacks = [guide, AnchorCallback(0.5), Stop()]
        if folder is not None:
            callbacks.append(Checkpoint(folder))
        net = ResidentNet(
            copy.deepcopy(module), max_epochs=8, batch_size=32, verbose=0, **optimizer
        )
        net.initialize()
        torch.manual_seed(3)
        train(net, data, None, callbacks=callbacks)
        return net, guide

    whole, guide = fit(None)
    places = guide.place_
    for epoch in (4, 7):
        with ended_in(epoch):
            _, ended = fit(tmp_path)
    gone_on, guide = fit(tmp_path)
    assert last_of(gone_on, Checkpoint).n_resumed_ == 6
    assert places == guide.place_ == 2 and ended.place_ > 0
    for name, weight in whole.module_.state_dict().items():
        assert torch.equal(weight, gone_on.module_.state_dict()[name])
    for k, state in whole.optimizer_.state_dict()["state"].items():
        for key, value in state.items():
            other = gone_on.optimizer_.state_dict()["state"][k][key]
            assert torch.equal(value, other)


def test_a_probe_that_was_ended_goes_on(tmp_path):
    """Its nets have files of their own, those that were finished and the others."""
    X, y = make_table()

    def fit(*callbacks):
        estimator = NetClassifier(MLP, batch_size=32, callbacks=[*callbacks, Stop()])
        probe = NoisyFineTuneProbe(
            estimator, noise_levels=(0.0, 0.3), max_epochs=4, random_state=0
        )
        return probe.fit(X, y)

    whole, checkpoint = fit(), Checkpoint(tmp_path)
    with ended_in(3), contextlib.suppress(KeyboardInterrupt):
        fit(checkpoint)
    assert len(list(tmp_path.iterdir())) == 1
    gone_on = fit(checkpoint)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) > 2
    fit(checkpoint)
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for name in ("curves_", "phases_", "learning_events_", "examples_"):
        frames = getattr(whole, name), getattr(gone_on, name)
        pd.testing.assert_frame_equal(*frames, check_exact=True)
    np.testing.assert_array_equal(whole.predict_proba(X), gone_on.predict_proba(X))


def test_a_lottery_that_was_ended_goes_on(tmp_path):
    X, y = make_table()

    def fit(*callbacks):
        estimator = NetClassifier(
            SmallMLP, batch_size=32, max_epochs=4, callbacks=[*callbacks, Stop()]
        )
        lottery = LotteryPrunedNet(estimator, n_rounds=2, random_state=0)
        return lottery.fit(X, y)

    whole = fit()
    checkpoint = Checkpoint(tmp_path)
    with ended_in(3), contextlib.suppress(KeyboardInterrupt):
        fit(checkpoint)
    gone_on = fit(checkpoint)
    rounds = [lottery.rounds_.drop(columns="seconds") for lottery in (whole, gone_on)]
    pd.testing.assert_frame_equal(*rounds, check_exact=True)
    np.testing.assert_array_equal(whole.predict_proba(X), gone_on.predict_proba(X))


def test_folds_at_once_share_a_folder(tmp_path):
    X, y = make_table()
    model = make_model(tmp_path)
    fits = [
        cross_validate(model, X, y, cv=3, n_jobs=n_jobs, return_estimator=True)
        for n_jobs in (2, 2, None)
    ]
    assert len(list(tmp_path.iterdir())) == 3
    resumed = [[checkpoint_of(m).n_resumed_ for m in f["estimator"]] for f in fits]
    assert resumed == [[0] * 3, [6] * 3, [6] * 3]
    for one, other in zip(fits[0]["estimator"], fits[2]["estimator"], strict=True):
        assert_same(one, other, X)


def test_a_fitted_model_can_be_cloned_and_pickled(tmp_path):
    X, y = make_table()
    model = make_model(tmp_path).fit(X, y)
    for again in (clone(model), pickle.loads(pickle.dumps(model))):
        assert checkpoint_of(again.fit(X, y)).n_resumed_ == 6


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(tmp_path):
    X, y = make_table()
    params = {"device": "cuda", "ema_decay": 0.9, "early_stopping": True}
    whole = make_model(None, **params).fit(X, y)
    with ended_in(4):
        make_model(tmp_path, **params).fit(X, y)
    gone_on = make_model(tmp_path, **params).fit(X, y)
    assert checkpoint_of(gone_on).n_resumed_ == 3
    assert_same(whole, gone_on, X)


# Other fits


def changed(X, y, which):
    """Return a fit that differs in one thing from that of `make_model()`."""
    params, callbacks, weight = {}, [], None
    if which == "input":
        X = X.copy()
        X[150, 2] += 1e-3
    elif which == "target":
        y = y.copy()
        y[150] = (y[150] + 1) % 3
    elif which == "weight":
        weight = np.ones(len(y))
        weight[150] = 2
    elif which == "callback":
        callbacks = [Counts()]
    elif which == "guide":
        callbacks = [GuideCallback(partial(Guide.only, names="4.*"))]
    else:
        params = {
            "seed": {"random_state": 1},
            "dropout": {"module_params": {"dropout": 0.4}},
            "rate": {"learning_rate": 0.002},
            "epochs": {"max_epochs": 7},
            "loss": {"criterion": partial(nn.CrossEntropyLoss, label_smoothing=0.1)},
            "lambda": {
                "optimizer": lambda p, **k: torch.optim.SGD(p, momentum=0.5, **k)
            },
            "other lambda": {"optimizer": lambda p, **k: torch.optim.SGD(p, **k)},
            "stopping": {"n_iter_no_change": 6},
            "part of a batch": {"net_params": {"micro_batch_size": 10}},
        }[which]
    return params, callbacks, (X, y, weight)


def test_a_fit_with_anything_changed_starts_anew(tmp_path):
    X, y = make_table()
    make_model(tmp_path).fit(X, y)
    kinds = "input target weight callback guide seed dropout rate epochs loss lambda"
    kinds = [*kinds.split(), "other lambda", "stopping", "part of a batch"]
    for n, which in enumerate(kinds, 2):
        params, callbacks, data = changed(X, y, which)
        for is_there in (False, True):
            model = make_model(tmp_path, *callbacks, **params).fit(*data)
            assert (checkpoint_of(model).n_resumed_ > 0) is is_there, which
        assert len(list(tmp_path.iterdir())) == n, which


def test_what_changes_nothing_goes_on(tmp_path, capsys):
    X, y = make_table()
    with ended_in(4):
        make_model(tmp_path).fit(X, y)
    for n_resumed in (3, 6):
        model = make_model(tmp_path, verbose=1, every_n_epochs=6).fit(X, y)
        assert checkpoint_of(model).n_resumed_ == n_resumed
        shown = capsys.readouterr().err
        assert f"| {n_resumed}.0/6" in shown and "| 6.0/6" in shown
        assert "| 1.0/6" not in shown


def test_further_fits_have_files_of_their_own(tmp_path):
    """A chain of fits that go on with a net, and of chunks, can be made again."""
    X, y = make_table()
    results = {}
    for folder in ("one", "one", "other"):
        model = make_model(tmp_path / folder, warm_start=True, ema_decay=0.9)
        resumed = []
        for rows in (slice(0, 300), slice(0, 300), slice(0, 260)):
            model.fit(X[rows], y[rows])
            resumed.append(checkpoint_of(model).n_resumed_)
        for _ in range(2):
            model.partial_fit(X[:100], y[:100])
            resumed.append(checkpoint_of(model).n_resumed_)
        results.setdefault(folder, []).append((model, resumed))
    (first, anew), (again, all_there) = results["one"]
    assert anew == [0] * 5 and all_there == [6, 6, 6, 1, 1]
    assert len(list((tmp_path / "one").iterdir())) == 5
    assert_same(first, again, X)
    assert_same(first, results["other"][0][0], X)


# What can go wrong


@pytest.mark.parametrize("content", [b"", b"no pickle", "half"])
def test_a_broken_file_is_named_and_the_fit_starts_anew(tmp_path, content):
    X, y = make_table()
    first = make_model(tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.warns(UserWarning, match=f"{path.name} cannot be read .* starts anew"):
        again = make_model(tmp_path).fit(X, y)
    assert checkpoint_of(again).n_resumed_ == 0
    assert_same(first, again, X)
    assert checkpoint_of(make_model(tmp_path).fit(X, y)).n_resumed_ == 6


def test_the_file_of_another_fit_is_no_file_of_this_one(tmp_path):
    X, y = make_table()
    make_model(tmp_path).fit(X, y)
    (path,) = tmp_path.iterdir()
    other = tmp_path / "other"
    make_model(other, learning_rate=0.01).fit(X, y)
    (theirs,) = other.iterdir()
    theirs.replace(path)
    with pytest.warns(UserWarning, match="it is that of another fit"):
        make_model(tmp_path).fit(X, y)


def test_a_full_disk_does_not_end_training(tmp_path, monkeypatch):
    X, y = make_table()

    def save(snapshot, file):
        file.write(b"begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.warns(UserWarning, match="cannot be written .*No space left"):
        model = make_model(tmp_path).fit(X, y)
    assert len(model.history_) == 6
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_pickled_is_left_out_and_named(tmp_path):
    class Holds(Callback):
        def on_train_begin(self, net, **kwargs):
            self.lock_ = threading.Lock()
            self.n_epochs_ = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs_ += 1

    X, y = make_table()
    with pytest.warns(
        UserWarning, match="has no 'lock_' of the callback 'Holds'"
    ) as all_:
        make_model(tmp_path, Holds()).fit(X, y)
    assert sum("lock_" in str(w.message) for w in all_) == 1
    model = make_model(tmp_path, Holds()).fit(X, y)
    assert checkpoint_of(model).n_resumed_ == 6
    assert last_of(model.net_, Holds).n_epochs_ == 6


@pytest.mark.parametrize("every", [0, -2, 1.5, "1"])
def test_a_number_of_epochs_that_is_none(tmp_path, every):
    with pytest.raises(ValueError, match=f"every_n_epochs must be .* got {every!r}"):
        make_model(tmp_path, every_n_epochs=every).fit(*make_table())


def test_one_checkpoint_is_enough(tmp_path):
    with pytest.raises(ValueError, match="more than one Checkpoint"):
        make_model(tmp_path, Checkpoint(tmp_path)).fit(*make_table())


def test_another_net_is_no_fit_to_go_on_with(tmp_path):
    net = NeuralNetClassifier(
        nn.Linear(4, 3), criterion=nn.CrossEntropyLoss, callbacks=[Checkpoint(tmp_path)]
    )
    with pytest.raises(TypeError, match="Checkpoint follows nets .* got ndarray"):
        net.fit(*make_table())


@pytest.mark.parametrize("strategy", ["auto", "stacked", "sequential", "joblib"])
def test_in_a_population_nets_with_checkpoints_are_alone(tmp_path, strategy):
    X, y = map(torch.from_numpy, make_table())
    data = ResidentDataset(ArrayTensors({"": X}), y)
    members = [
        Member(make_linear_net, data, seed=k, callbacks=[Checkpoint(tmp_path)])
        for k in range(9)
    ]
    population = Population(members, strategy=strategy, device="cpu")
    if strategy == "stacked":
        with pytest.raises(ValueError, match="cannot be stacked: it is checkpointed"):
            population.train()
        return
    for n_resumed in (0, 2):
        population.train()
        found = [last_of(net, Checkpoint).n_resumed_ for net in population.nets_]
        assert found == [n_resumed] * 9
    assert not any(result.strategy == "stacked" for result in population)


def make_linear_net():
    return ResidentNet(
        nn.Linear,
        module__in_features=4,
        module__out_features=3,
        max_epochs=2,
        batch_size=100,
        verbose=0,
    )


def test_tables_of_many_columns(tmp_path):
    """With sparse gradients, and an optimizer of their own for the wide part."""
    rng = np.random.RandomState(0)
    X = pd.DataFrame(
        {"word": rng.choice([f"w{k}" for k in range(60)], 400), "x": rng.rand(400)}
    )
    y = (X["x"] + X["word"].isin([f"w{k}" for k in range(20)]) > 0.9).to_numpy()

    def fit(*callbacks):
        model = WideDeepClassifier(
            max_epochs=4, callbacks=[*callbacks, Stop()], random_state=0
        )
        return model.fit(X, y)

    whole = fit()
    with ended_in(3):
        fit(Checkpoint(tmp_path))
    gone_on = fit(Checkpoint(tmp_path))
    assert checkpoint_of(gone_on).n_resumed_ == 2
    assert_same(whole, gone_on, X)
