"""The progress bar: it moves within epochs, and leaves nothing behind."""

import io
import pickle
import re

import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_memgen import NetClassifier
from sklearn_memgen.training import (
    ArrayTensors,
    ProgressBar,
    ResidentDataset,
    ResidentNet,
    train,
)
from sklearn_memgen.training import progress as module_under_test


def make_data(n_rows=100):
    X = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(0))
    return ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())


def make_net(**params):
    defaults = {"lr": 0.1, "batch_size": 10, "max_epochs": 3, "verbose": 0}
    return ResidentNet(torch.nn.Linear(3, 1), **defaults | params).initialize()


class Positions(Callback):
    """Reads the bar at each step."""

    def __init__(self):
        self.seen = []

    def observe(self, batch, logits, losses):
        self.seen.append(self.bar.n)

    def on_epoch_begin(self, net, **kwargs):
        bars = (c for _, c in net.callbacks_ if isinstance(c, ProgressBar))
        self.bar = next(bars)._bar


@pytest.mark.parametrize("micro_batch_size", [None, 5])
def test_it_moves_by_the_share_of_an_epoch(micro_batch_size):
    positions = Positions()
    net = make_net(micro_batch_size=micro_batch_size)
    train(net, make_data(), make_data(40), callbacks=[positions], verbose=1)
    step = 0.1 if micro_batch_size is None else 0.05
    expected = [k * step for k in range(round(3 / step))]
    assert positions.seen == pytest.approx(expected)


def test_it_shows_shares_losses_and_the_time_that_remains(monkeypatch):
    written = io.StringIO()

    def tqdm(**params):
        return real(**params, file=written, mininterval=0)

    real = module_under_test.tqdm
    monkeypatch.setattr(module_under_test, "tqdm", tqdm)
    train(make_net(), make_data(), make_data(40), verbose=1)
    lines = written.getvalue().split("\r")
    middle = next(line for line in lines if "| 1.5/3 " in line)
    assert re.search(r" 50%.*\[\d\d:\d\d<\d\d:\d\d,.*train_loss=0\.\d{4}", middle)
    assert "valid_loss=0." in middle
    assert "| 3.0/3 " in lines[-1]


def test_it_keeps_the_loop_quick_and_says_nothing_unless_asked(capsys):
    """It is no hook for batches."""
    data = make_data()
    X, y = data.X.arrays[""].numpy(), data.y.numpy()
    quiet = NetClassifier(torch.nn.Linear(3, 1), max_epochs=2, random_state=0)
    quiet.fit(X, y)
    assert capsys.readouterr().err == ""
    shown = clone(quiet).set_params(verbose=1).fit(X, y)
    assert "2.0/2" in capsys.readouterr().err
    assert (shown.predict_proba(X) == quiet.predict_proba(X)).all()
    assert all("batches" not in e or not e["batches"] for e in shown.net_.history)


class Pickles(Callback):
    """Pickles the net in the middle of its training."""

    def on_epoch_end(self, net, **kwargs):
        self.loaded = pickle.loads(pickle.dumps(net))


def test_a_pickle_has_no_bar():
    pickles = Pickles()
    train(make_net(), make_data(), None, callbacks=[pickles], verbose=1)
    bar = next(c for _, c in pickles.loaded.callbacks_ if isinstance(c, ProgressBar))
    assert not {"_bar", "_net"} & set(vars(bar))


def test_an_error_closes_it():
    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("on purpose")

    net = make_net()
    with pytest.raises(RuntimeError, match="on purpose"):
        train(net, make_data(), None, callbacks=[Fails()], verbose=1)
    bar = next(c for _, c in net.callbacks_ if isinstance(c, ProgressBar))
    assert "_bar" not in vars(bar)
