"""Trace: equal to a slow record of every logit, and no burden to training."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from skorch.callbacks import Callback
from skorch.exceptions import NotInitializedError
from torch import nn

from sklearn_memgen.training import (
    ArrayTensors,
    ResidentDataset,
    ResidentNet,
    ResidentRegressionNet,
    Trace,
    train,
)
from sklearn_memgen.training import trace as trace_module
from sklearn_memgen.training.accumulators import (
    ACCUMULATORS,
    accumulate,
    label_margins,
)
from tests.training.recording import Recorder, assert_equals_recorded


class Module(nn.Module):
    """Logits of any shape, with dropout, which is on in training only."""

    def __init__(self, *shape):
        super().__init__()
        torch.manual_seed(1)
        n_outputs = int(np.prod(shape))
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, n_outputs)
        )
        self.shape = shape

    def forward(self, X):
        return self.layers(X).view(len(X), *self.shape)


def make_data(n_rows=120, n_classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n_rows, 4, generator=generator)
    y = (X[:, 0] + torch.randn(n_rows, generator=generator)).mul(2).round().long()
    return ResidentDataset(ArrayTensors({"": X}), y.clamp(0, n_classes - 1))


def make_net(shape=(1,), **params):
    defaults = {"lr": 0.05, "max_epochs": 6, "batch_size": 32, "verbose": 0}
    return ResidentNet(Module(*shape), **defaults | params)


def fit(data, *callbacks, **params):
    net = make_net(callbacks=list(callbacks), **params).initialize()
    torch.manual_seed(3)
    net.partial_fit(data)
    return net


# The numbers


@pytest.mark.parametrize(
    ("n_classes", "shape"),
    [(2, ()), (2, (1,)), (2, (2,)), (3, (3,)), (2, (4, 1)), (2, (4, 2)), (3, (4, 3))],
)
def test_equals_a_record_of_every_logit(n_classes, shape):
    """One logit, one a class, and ensembles, whose probabilities are pooled."""
    data = make_data(n_classes=n_classes)
    trace, recorder = Trace(), Recorder()
    fit(data, trace, recorder, shape=shape)
    frame = trace.to_frame()
    assert frame["n_forgotten"].sum() > 5  # or the test would see too little
    assert frame["first_learned_epoch"].isna().any()
    assert_equals_recorded(frame, recorder.rows())


def test_the_loss_is_what_the_net_is_trained_on():
    trace = Trace()
    net = fit(make_data(), trace, max_epochs=1)
    mean = trace.to_frame()["mean_loss"].mean()
    assert mean == pytest.approx(net.history[-1, "train_loss"], rel=1e-5)


@pytest.mark.parametrize("params", [{}, {"ema_decay": 0.9}, {"precision": "bfloat16"}])
def test_the_same_with_and_without_hooks_for_batches(params):
    frames = []
    for others in ([], [Recorder()]):
        trace = Trace()
        fit(make_data(), trace, *others, **params)
        frames.append(trace.to_frame())
    pd.testing.assert_frame_equal(*frames)


@pytest.mark.parametrize("n_rows", [1, 50, 10**6])
def test_the_same_however_many_steps_are_looked_at_together(n_rows, monkeypatch):
    recorder, trace = Recorder(), Trace()
    monkeypatch.setattr(trace_module, "_BLOCK_ROWS", n_rows)
    fit(make_data(), trace, recorder)
    assert_equals_recorded(trace.to_frame(), recorder.rows())


def test_rows_in_order_are_known_too():
    """Batches that are not shuffled say which rows they are by a slice."""
    trace, recorder = Trace(), Recorder()
    fit(make_data(), trace, recorder, iterator_train__shuffle=False)
    assert_equals_recorded(trace.to_frame(), recorder.rows())


def test_looking_on_changes_no_weight():
    data = make_data()
    nets = [fit(data), fit(data, Trace())]
    weights = [torch.cat([p.flatten() for p in n.module_.parameters()]) for n in nets]
    assert torch.equal(*weights)


def test_rows_of_validation_are_not_observed():
    trace = Trace()
    net = make_net(max_epochs=3).initialize()
    train(net, make_data(), make_data(seed=1), callbacks=[trace])
    assert trace.to_frame()["n_seen"].tolist() == [3] * 120


def observe(*margins):
    """Accumulate what happens to one row; None is an epoch that does not see it."""
    state = torch.zeros(len(ACCUMULATORS), 1)
    for epoch, margin in enumerate(margins, start=1):
        seen = torch.tensor([torch.nan if margin is None else margin])
        observed = torch.stack([seen, seen.sigmoid(), -seen])
        state = accumulate(state, observed, epoch)
    return dict(zip(ACCUMULATORS, state[:, 0].tolist(), strict=True))


def test_events_of_a_row():
    row = observe(-1.0, 2.0, 3.0, None, 0.0, None, 1.0, -2.0)
    assert row["n_seen"] == 6
    assert row["n_correct"] == 3
    assert row["last_correct"] == 0
    assert row["first_learned_epoch"] == 2
    assert row["n_forgotten"] == 2  # a tie is not correct
    assert row["mean_margin"] == pytest.approx(0.5)
    assert row["mean_loss"] == pytest.approx(-0.5)


def test_a_row_that_is_never_learned_is_never_forgotten():
    row = observe(-1.0, -2.0, 0.0)
    assert row["n_seen"] == 3
    assert row["first_learned_epoch"] == row["n_forgotten"] == row["n_correct"] == 0


def test_small_variances_survive_float32():
    """Sums of squares would say 0, or the root of a negative number."""
    rng = np.random.default_rng(0)
    chances = 0.9995 + 1e-5 * rng.normal(size=(3000, 7))
    state = torch.zeros(len(ACCUMULATORS), 7)
    for epoch, p in enumerate(torch.from_numpy(chances).float(), start=1):
        state = accumulate(state, torch.stack([p, p, p]), epoch)
    squares = state[ACCUMULATORS.index("squares")].double().numpy()
    np.testing.assert_allclose(np.sqrt(squares / 3000), chances.std(axis=0), rtol=0.01)


def test_several_nets_at_once_equal_one_by_one():
    generator = torch.Generator().manual_seed(0)
    states = torch.zeros(3, len(ACCUMULATORS), 20)
    singles = [state.clone() for state in states]
    for epoch in range(1, 6):
        observed = torch.randn(3, 3, 20, generator=generator)
        observed[:, :, torch.rand(20, generator=generator) < 0.3] = torch.nan
        states = accumulate(states, observed, epoch)
        pairs = zip(singles, observed, strict=True)
        singles = [accumulate(state, seen, epoch) for state, seen in pairs]
    assert torch.equal(states, torch.stack(singles))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logits_of_any_size_have_a_probability(n_classes):
    logits = torch.tensor([[3e4, -3e4, 0.0], [-3e4, 3e4, 0.0]])[:, :n_classes]
    margins, chances = label_margins(logits, torch.tensor([0, 0]))
    assert margins.isfinite().all()
    assert chances.tolist() == [1.0, 0.0]


# Interrupted, pickled, gone on with


class AfterEpoch(Callback):
    """Does something at the end of an epoch."""

    def __init__(self, action, epoch=3):
        self.action = action
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            self.action()


class CtrlC(nn.Module):
    """Presses Ctrl-C in the middle of the third epoch."""

    def __init__(self):
        super().__init__()
        self.inner = Module(1)
        self.calls = 0

    def forward(self, X):
        self.calls += self.training
        if self.training and self.calls == 2 * 4 + 3:
            raise KeyboardInterrupt
        return self.inner(X)


def test_ctrl_c_leaves_a_readable_trace():
    trace, recorder = Trace(), Recorder()
    net = ResidentNet(
        CtrlC(), lr=0.05, batch_size=32, verbose=0, callbacks=[trace, recorder]
    )
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        net.fit(make_data())
    frame = trace.to_frame()
    assert frame["n_seen"].value_counts().to_dict() == {3: 64, 2: 56}
    assert_equals_recorded(frame, recorder.rows())


def test_a_loss_that_is_not_finite_leaves_a_trace_that_starts_anew():
    data, trace = make_data(), Trace()
    bad = make_data()
    bad.X.arrays[""][5] = torch.nan
    with pytest.raises(FloatingPointError):
        fit(bad, trace)
    assert len(trace.to_frame()) == 120
    fit(data, trace)
    assert trace.to_frame()["n_seen"].tolist() == [6] * 120


def test_other_callbacks_may_read_it_during_training():
    trace, frames = Trace(), []
    fit(make_data(), trace, AfterEpoch(lambda: frames.append(trace.to_frame())))
    undisturbed = Trace()
    fit(make_data(), undisturbed)
    assert frames[0]["n_seen"].tolist() == [3] * 120
    pd.testing.assert_frame_equal(trace.to_frame(), undisturbed.to_frame())


def test_fit_starts_anew_and_going_on_goes_on():
    data, trace, recorder = make_data(), Trace(), Recorder()
    fit(data, trace)
    once = trace.to_frame()
    net = fit(data, trace, recorder)
    pd.testing.assert_frame_equal(trace.to_frame(), once)
    net.partial_fit(data)
    frame = trace.to_frame()
    assert frame["n_seen"].tolist() == [12] * 120
    assert frame["first_learned_epoch"].max() > 6
    assert_equals_recorded(frame, recorder.rows())


@pytest.mark.parametrize("n_rows", [120, 90])
def test_other_rows_are_not_mixed_up_with_those_before(n_rows):
    """As many rows with other targets, such as the next chunk of a stream."""
    trace = Trace()
    net = fit(make_data(), trace)
    net.partial_fit(make_data(n_rows, seed=5))
    assert trace.to_frame()["n_seen"].tolist() == [6] * n_rows


def test_a_trace_that_missed_epochs_starts_anew():
    data, trace = make_data(), Trace()
    net = fit(data, trace)
    train(net, data, None)
    train(net, data, None, callbacks=[trace])
    frame = trace.to_frame()
    assert frame["n_seen"].tolist() == [6] * 120
    assert frame["first_learned_epoch"].min() == 13  # as the history counts


def test_pickle_has_the_accumulators_and_nothing_of_the_data():
    data, trace = make_data(5000), Trace()
    net = fit(data, trace, max_epochs=2)
    size = len(pickle.dumps(trace))
    assert size < 5000 * len(ACCUMULATORS) * 4 + 2000
    loaded = pickle.loads(pickle.dumps(net))
    copy = dict(loaded.callbacks_)["Trace"]
    pd.testing.assert_frame_equal(copy.to_frame(), trace.to_frame())
    for each in (net, loaded):
        torch.manual_seed(0)
        each.partial_fit(data)
    assert copy.to_frame()["n_seen"].tolist() == [4] * 5000
    pd.testing.assert_frame_equal(copy.to_frame(), trace.to_frame())


def test_pickle_in_the_middle_of_training_disturbs_nothing():
    trace, undisturbed, pickles = Trace(), Trace(), []
    fit(make_data(), trace, AfterEpoch(lambda: pickles.append(pickle.dumps(trace))))
    fit(make_data(), undisturbed)
    pd.testing.assert_frame_equal(trace.to_frame(), undisturbed.to_frame())
    assert pickle.loads(pickles[0]).to_frame()["n_seen"].tolist() == [3] * 120


# The frame, and what is refused


def test_types_and_index_of_the_frame():
    trace = Trace()
    fit(make_data(), trace)
    index = pd.Index([f"row {i}" for i in range(120)], name="name")
    frame = trace.to_frame(index=index)
    pd.testing.assert_index_equal(frame.index, index)
    assert frame.dtypes.astype(str).to_dict() == {
        "n_seen": "int64",
        "n_correct": "Int64",
        "last_correct": "boolean",
        "first_learned_epoch": "Int64",
        "n_learned": "Int64",
        "n_forgotten": "Int64",
        "aum": "float64",
        "confidence": "float64",
        "variability": "float64",
        "mean_loss": "float64",
    }
    with pytest.raises(ValueError, match="index has 3 entries, but the trace has 120"):
        trace.to_frame(index=[1, 2, 3])


def test_an_empty_trace_says_what_to_do():
    with pytest.raises(NotInitializedError, match="by callbacks=\\[trace\\]"):
        Trace().to_frame()


def test_targets_that_are_numbers_are_refused():
    data = make_data()
    data = ResidentDataset(data.X, data.y.float())
    net = ResidentRegressionNet(Module(1), callbacks=[Trace()], verbose=0)
    with pytest.raises(TypeError, match="the targets are numbers of torch.float32"):
        net.fit(data)


def test_a_stock_skorch_net_is_refused():
    data = make_data()
    net = skorch.NeuralNetClassifier(Module(2), callbacks=[Trace()], verbose=0)
    with pytest.raises(TypeError, match="ResidentDataset with targets.* got ndarray"):
        net.fit(data.X.arrays[""].numpy(), data.y.numpy())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_not_waited_for_and_the_pickle_loads_on_the_cpu():
    trace, recorder = Trace(), Recorder()
    net = fit(make_data(), trace, recorder, device="cuda", precision="float32")
    assert_equals_recorded(trace.to_frame(), recorder.rows())
    loaded = pickle.loads(pickle.dumps(net))
    assert dict(loaded.callbacks_)["Trace"].state_.device.type == "cpu"

    net = make_net(device="cuda", callbacks=[trace]).initialize()
    trace.on_train_begin(net, X=make_data())
    batches = list(net.get_iterator(make_data(), training=True))
    logits = torch.randn(32, 1, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            for batch in batches:
                n = len(batch[1])
                trace.observe(batch, logits[:n], logits[:n, 0])
            trace.on_epoch_begin(net)
    finally:
        torch.cuda.set_sync_debug_mode("default")
