"""The training loop: the same steps as a hand-written one, with skorch's manners."""

import math
import pickle
import signal
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, GradientNormClipping
from torch import nn

from sklearn_memgen.training import (
    FTRL,
    ArrayTensors,
    LogisticLoss,
    ResidentDataset,
    ResidentNet,
    train,
)


def make_data(n_rows=200, n_classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n_rows, 4, generator=generator)
    y = (X[:, 0] + 0.5 * X[:, 1]).mul(2).round().long().clamp(0, n_classes - 1)
    return X, y


def make_module(n_outputs=1):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, n_outputs))


def make_net(module=None, **params):
    defaults = {"lr": 0.01, "max_epochs": 3, "batch_size": 32, "verbose": 0}
    return ResidentNet(module or make_module(), **defaults | params)


def dataset(X, y, weight=None):
    return ResidentDataset(ArrayTensors({"": X}), y, weight)


def weights_of(net):
    return torch.cat([p.detach().flatten() for p in net.module_.parameters()])


def test_equals_a_hand_written_loop_to_the_bit():
    X, y = make_data()
    net = make_net().initialize()
    torch.manual_seed(7)
    net.partial_fit(dataset(X, y))

    module = make_module()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    torch.manual_seed(7)
    for _ in range(3):
        order = torch.randperm(len(X))
        for rows in order.split(32):
            optimizer.zero_grad()
            logits = module(X[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits, y[rows].float()
            )
            loss.backward()
            optimizer.step()
    expected = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert torch.equal(weights_of(net), expected)


class Recorder(Callback):
    """Looks at batches, so that the loop has to go skorch's way."""

    def __init__(self):
        self.batches, self.gradients = [], 0

    def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
        self.batches.append((training, len(batch[1]), loss.item(), len(y_pred)))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients += sum(p.grad is not None for _, p in named_parameters)


class Onlooker(Callback):
    """An observer."""

    def __init__(self):
        self.steps = []

    def observe(self, batch, logits, losses):
        assert not logits.requires_grad
        self.steps.append((batch.rows, logits, losses))


@pytest.mark.parametrize("callbacks", [[], [Recorder()]])
def test_observers_see_each_training_step_once(callbacks):
    """Beside a hook for batches, too; but not the rows of validation."""
    X, y = make_data()
    onlooker = Onlooker()
    net = make_net().initialize()
    weight = torch.full((150,), 3.0)
    data = dataset(X[:150], y[:150], weight)
    train(net, data, dataset(X[150:], y[150:]), callbacks=[onlooker, *callbacks])
    assert len(onlooker.steps) == 3 * 5
    for pass_ in range(3):
        steps = onlooker.steps[5 * pass_ : 5 * pass_ + 5]
        rows, logits, losses = map(torch.cat, zip(*steps, strict=True))
        assert rows.sort().values.tolist() == list(range(150))
        torch.testing.assert_close(losses, LogisticLoss()(logits, y[rows]))
    assert not net._observers  # nothing of the training is left


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_callbacks_for_batches_change_nothing(schedule):
    """The quick loop and skorch's own take the same steps and tell the same losses."""
    X, y = make_data()
    weight = torch.rand(len(X), generator=torch.Generator().manual_seed(2)) * 2
    recorder = Recorder()
    nets = [
        make_net(schedule=schedule).initialize(),
        make_net(schedule=schedule).initialize(),
    ]
    histories = []
    for net, callbacks in zip(nets, ([], [("recorder", recorder)]), strict=True):
        torch.manual_seed(3)
        data = dataset(X[:150], y[:150], weight[:150])
        valid = dataset(X[150:], y[150:], weight[150:])
        histories.append(train(net, data, valid, callbacks=callbacks))
    assert torch.equal(weights_of(nets[0]), weights_of(nets[1]))
    for column in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(
            histories[0][column], histories[1][column], rtol=1e-6
        )
    assert len(recorder.batches) == 3 * (5 + 2)
    assert recorder.gradients == 3 * 5 * 4


def test_skorchs_own_callbacks_run():
    X, y = make_data()
    scoring = EpochScoring("accuracy", lower_is_better=False, name="valid_acc")
    auc = EpochScoring("roc_auc", name="train_auc", on_train=True)
    clipping = GradientNormClipping(0.1)
    net = make_net(classes=[0, 1], max_epochs=10).initialize()
    history = train(
        net, dataset(X, y), dataset(X, y), callbacks=[scoring, auc, clipping]
    )
    assert history["valid_acc"].iloc[-1] > 0.8
    assert history["train_auc"].iloc[-1] > 0.8


def test_weight_two_is_a_row_seen_twice():
    X, y = make_data(64)
    weight = torch.ones(64)
    weight[:20] = 2
    repeated = torch.cat([torch.arange(64), torch.arange(20)])
    nets = [make_net(batch_size=1000, max_epochs=5) for _ in range(2)]
    nets[0].fit(dataset(X, y, weight / weight.mean()))
    nets[1].fit(dataset(X[repeated], y[repeated]))
    torch.testing.assert_close(
        weights_of(nets[0]), weights_of(nets[1]), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(("n_classes", "n_outputs"), [(2, 1), (2, 2), (3, 3)])
def test_loss_is_the_cross_entropy(n_classes, n_outputs):
    X, y = make_data(50, n_classes)
    logits = make_module(n_outputs)(X).double()
    losses = LogisticLoss()(logits, y)
    full = logits
    if n_outputs == 1:
        full = torch.cat([torch.zeros_like(logits), logits], dim=1)
    expected = nn.functional.cross_entropy(full, y, reduction="none")
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-6)


def test_cosine_schedule_rises_and_falls_to_zero():
    rates = []

    class Watch(Callback):
        def on_batch_end(self, net, training, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    X, y = make_data(320)
    net = make_net(schedule="cosine", max_epochs=10, callbacks=[Watch()])
    net.fit(dataset(X, y))
    top = int(np.argmax(rates))
    assert len(rates) == 100
    assert max(rates) == pytest.approx(0.01, rel=0.01)
    assert top in range(3, 7)
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert 0 < rates[-1] < 1e-5
    assert net.optimizer_.param_groups[0]["lr"] == 0.01  # as the next fit needs it


class TwoGroups(nn.Module):
    """A table with sparse gradients beside a linear layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 1, sparse=True)
        self.linear = nn.Linear(4, 1)

    def forward(self, numbers, ids):
        return self.linear(numbers) + self.table(ids)

    def optimizer_groups(self):
        return {"wide": [self.table.weight]}


def test_groups_have_optimizers_of_their_own():
    X, y = make_data()
    rows = ArrayTensors({"numbers": X, "ids": torch.arange(200) % 50})
    net = make_net(
        TwoGroups(), group_optimizers={"wide": partial(FTRL, lr=0.5)}, clip_norm=1.0
    )
    before = net.module.table.weight.detach().clone()
    net.fit(ResidentDataset(rows, y))
    owned = [p for g in net.wide_optimizer_.param_groups for p in g["params"]]
    main = [p for g in net.optimizer_.param_groups for p in g["params"]]
    assert owned == [net.module_.table.weight]
    assert len(main) == 2
    assert (net.module_.table.weight != before).all()


def test_gradients_are_clipped():
    X, y = make_data()
    norms = []

    class Watch(Callback):
        def on_batch_end(self, net, training, **kwargs):
            grads = [p.grad.flatten() for p in net.module_.parameters()]
            norms.append(torch.cat(grads).norm().item())

    make_net(clip_norm=0.01, callbacks=[Watch()]).fit(dataset(X, y))
    assert max(norms) <= 0.01 * (1 + 1e-4)


def test_early_stopping_returns_to_the_best_epoch():
    X, y = make_data(60)
    noise = torch.randint(0, 2, (40,), generator=torch.Generator().manual_seed(0))
    valid = dataset(*make_data(40, seed=5)[:1], noise)
    net = make_net(lr=0.05, max_epochs=200).initialize()
    history = train(net, dataset(X, y), valid, n_iter_no_change=4)
    assert len(history) < 200
    best = history["valid_loss"].min()
    assert history["valid_loss"].iloc[-1] > best
    logits = net.logits(valid.X)
    loss = LogisticLoss()(logits, noise).mean().item()
    assert loss == pytest.approx(best, rel=1e-5)


def test_a_user_stopping_early_is_no_interruption():
    X, y = make_data()
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0, sink=print)
    net = make_net(max_epochs=50).initialize()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(net, dataset(X, y), None, callbacks=[stop])
    assert len(history) < 50
    assert not net.interrupted_


class Interrupt(nn.Module):
    """Presses Ctrl-C in the middle of the third epoch."""

    def __init__(self):
        super().__init__()
        self.inner = make_module()
        self.calls = 0

    def forward(self, X):
        self.calls += self.training
        if self.training and self.calls == 2 * 7 + 3:
            raise KeyboardInterrupt
        return self.inner(X)


def test_ctrl_c_leaves_a_usable_net_and_says_so():
    X, y = make_data()
    net = make_net(Interrupt(), max_epochs=50).initialize()
    with pytest.warns(UserWarning, match="interrupted in epoch 3; the model keeps"):
        history = train(net, dataset(X, y), None)
    assert net.interrupted_
    assert len(history) == 3
    assert net.predict_proba(dataset(X, y)).shape == (200, 2)


class Ends(Callback):
    """Ends training after two epochs as skorch's callbacks do, or presses Ctrl-C."""

    def __init__(self, how):
        self.how = how

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            if self.how == "raise":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("how", ["raise", "press"])
def test_ctrl_c_in_a_callback_is_no_early_stopping(how, interruptible):
    X, y = make_data()
    net = make_net(make_module(), max_epochs=50).initialize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(net, dataset(X, y), None, callbacks=[Ends(how)])
    assert len(net.history) == 2
    assert net.interrupted_ == (how == "press")
    said = [w for w in caught if "interrupted in epoch 2" in str(w.message)]
    assert bool(said) == net.interrupted_


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_cause(bad):
    X, y = make_data()
    X[10] = bad
    with pytest.raises(FloatingPointError, match="epoch 1, at learning_rate=0.01. "):
        make_net().fit(dataset(X, y))


def test_bfloat16_trains_and_the_loss_is_float32():
    X, y = make_data()
    dtypes = []

    class Watch(Callback):
        def on_batch_end(self, net, loss, y_pred, **kwargs):
            dtypes.append((loss.dtype, y_pred.dtype))

    net = make_net(precision="bfloat16", callbacks=[Watch()], max_epochs=10)
    net.fit(dataset(X, y))
    assert set(dtypes) == {(torch.float32, torch.bfloat16)}
    accuracy = (net.predict(dataset(X, y)) == y.numpy()).mean()
    assert accuracy > 0.8


def test_logits_do_not_depend_on_the_rows_beside():
    X, _ = make_data(9000)
    net = make_net().initialize()
    together = net.logits(ArrayTensors({"": X}))
    for rows in ([0], [1, 2], range(3, 20), range(20, 8300)):
        alone = net.logits(ArrayTensors({"": X[list(rows)]}))
        assert torch.equal(alone, together[list(rows)])


def test_a_module_that_was_an_instance_is_pickled_once():
    """As `module_`, which is kept device-free; as `module` it would not be."""
    large = nn.Linear(1000, 100)
    net = make_net(nn.Sequential(large, nn.Linear(100, 1))).initialize()
    saved = pickle.dumps(net)
    assert len(saved) < 1.5 * large.weight.nbytes
    loaded = pickle.loads(saved)
    assert loaded.module is loaded.module_
    assert torch.equal(weights_of(loaded), weights_of(net))
    assert net.module is net.module_


def test_pickle_is_free_of_devices_and_goes_on_training():
    X, y = make_data()
    net = make_net().fit(dataset(X, y))
    loaded = pickle.loads(pickle.dumps(net))
    assert loaded.device == "cpu"
    assert torch.equal(weights_of(loaded), weights_of(net))
    for each in (net, loaded):
        torch.manual_seed(0)
        each.partial_fit(dataset(X, y))
    assert torch.equal(weights_of(loaded), weights_of(net))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_and_its_pickle_loads_on_the_cpu():
    X, y = make_data()
    net = make_net(device="cuda").fit(dataset(X, y))
    loaded = pickle.loads(pickle.dumps(net))
    assert net.device == "cuda"
    assert loaded.device == "cpu"
    torch.testing.assert_close(
        loaded.logits(ArrayTensors({"": X})),
        net.logits(ArrayTensors({"": X})),
        rtol=0.05,
        atol=0.05,
    )
