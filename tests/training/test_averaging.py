"""The running average of the weights: what is validated, and what is kept."""

import itertools

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen.nets import WideDeep
from sklearn_memgen.training import (
    ArrayTensors,
    LogisticLoss,
    ResidentDataset,
    ResidentNet,
    train,
)
from sklearn_memgen.training.averaging import WeightAverage


def make_data(n_rows=200, seed=0):
    X = torch.randn(n_rows, 4, generator=torch.Generator().manual_seed(seed))
    return ResidentDataset(ArrayTensors({"": X}), (X[:, 0] + X[:, 1] > 0).long())


def make_net(**params):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    params = {"lr": 0.05, "max_epochs": 3, "batch_size": 16, "verbose": 0} | params
    net = ResidentNet(module, **params).initialize()
    torch.manual_seed(7)
    return net


def weights_of(net):
    return torch.cat([p.detach().flatten() for p in net.module_.parameters()])


def test_the_average_is_that_of_its_definition():
    """Every fourth step, with a decay that rises to that of four steps."""
    weight, decay = torch.zeros(3), 0.9
    average = WeightAverage([weight], decay)
    expected = weight.clone()
    for step in range(1, 201):
        weight += torch.tensor([1.0, -0.5, step / 100])
        average.update()
        if step % 4 == 0:
            t = step // 4
            d = min(decay**4, (1 + t) / (10 + t))
            expected = d * expected + (1 - d) * weight
    torch.testing.assert_close(average.average[0], expected)
    assert decay**4 < 51 / 60  # so that both decays have been taken


def test_average_and_weights_change_places_and_back():
    weight = torch.ones(2, requires_grad=True)
    average = WeightAverage([weight], 0.5)
    for _ in range(8):
        with torch.no_grad():
            weight += 1
        average.update()
    last, mean = weight.detach().clone(), average.average[0].clone()
    assert not torch.equal(last, mean)
    for in_place, expected in [(True, mean), (True, mean), (False, last)] * 2:
        with torch.no_grad():
            average.swap(in_place=in_place)
        assert torch.equal(weight, expected) and average.in_place is in_place


def test_before_there_is_an_average_nothing_is_swapped():
    weight = torch.ones(2)
    average = WeightAverage([weight], 0.5)
    weight += 1
    average.update()
    average.swap(in_place=True)
    assert weight.tolist() == [2, 2] and not average.in_place


def average_by_hand(n_steps):
    """The average after some steps of a hand-written loop, and the weights."""
    data, net = make_data(), make_net()
    module = net.module_
    average = WeightAverage(module.parameters(), 0.9)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05)
    batches = (b for _ in range(3) for b in torch.randperm(200).split(16))
    for rows in itertools.islice(batches, n_steps):
        optimizer.zero_grad()
        LogisticLoss()(module(data.X[rows].inputs()), data.y[rows]).mean().backward()
        optimizer.step()
        average.update()
    return torch.cat([a.flatten() for a in average.average]), weights_of(net)


def test_a_net_keeps_the_average_of_its_path():
    net = make_net(ema_decay=0.9).partial_fit(make_data())
    average, last = average_by_hand(39)
    torch.testing.assert_close(weights_of(net), average)
    assert not torch.allclose(average, last)


class Watcher(Callback):
    """Looks at batches, so that the loop goes skorch's way."""

    def on_batch_end(self, net, **kwargs):
        pass


def test_callbacks_for_batches_see_the_same_average():
    plain = make_net(ema_decay=0.9).partial_fit(make_data())
    watched = make_net(ema_decay=0.9, callbacks=[Watcher()]).partial_fit(make_data())
    assert torch.equal(weights_of(plain), weights_of(watched))
    assert plain.history[:, "train_loss"] == pytest.approx(
        watched.history[:, "train_loss"]
    )


def loss_of(net, data):
    net.module_.eval()
    with torch.no_grad():
        losses = LogisticLoss().eval()(net.module_(data.X.inputs()), data.y)
    return losses.mean().item()


def test_the_average_is_what_is_validated():
    """The loss of the last epoch is that of the net that is left."""
    validation = make_data(seed=1)
    losses = {}
    for decay in (None, 0.97):
        net = make_net(ema_decay=decay)
        history = train(net, make_data(), validation, n_iter_no_change=99)
        best = history["valid_loss"].min()
        assert loss_of(net, validation) == pytest.approx(best, rel=1e-5)
        losses[decay] = best
    assert losses[None] != losses[0.97]


def test_the_best_average_is_kept():
    """Early stopping goes back to the average of the best epoch, not to weights."""
    data, validation = make_data(), make_data(seed=1)
    validation = ResidentDataset(validation.X, 1 - validation.y)  # soon gets worse
    net = make_net(ema_decay=0.9, max_epochs=20)
    history = train(net, data, validation, n_iter_no_change=3)
    assert len(history) < 20 and history["valid_loss"].idxmin() < len(history) - 1
    best = history["valid_loss"].min()
    assert loss_of(net, validation) == pytest.approx(best, rel=1e-5)


def test_training_goes_on_from_the_weights_not_from_the_average():
    """A validation in between changes nothing of the path."""
    plain = make_net(ema_decay=0.9).partial_fit(make_data())
    validated = make_net(ema_decay=0.9)
    train(validated, make_data(), make_data(seed=1), n_iter_no_change=99)
    late = validated.history[:, "train_loss"]
    assert late == pytest.approx(plain.history[:, "train_loss"])


@pytest.mark.parametrize("n_steps", [20, 30])
def test_an_interrupted_net_has_the_average(n_steps):
    """Up to the step at which Ctrl-C was pressed, in the midst of an epoch."""
    net, steps = make_net(ema_decay=0.9), itertools.count()

    def interrupt(*_):
        if next(steps) == n_steps:
            raise KeyboardInterrupt

    net.module_.register_forward_hook(interrupt)
    with pytest.warns(UserWarning, match="interrupted"):
        net.partial_fit(make_data())
    torch.testing.assert_close(weights_of(net), average_by_hand(n_steps)[0])


def test_sparse_tables_are_left_out():
    """An average would touch all of a table: it keeps what the optimizer leaves."""
    ids = torch.arange(200)[:, None] % 50
    X = ArrayTensors({"numbers": torch.zeros(200, 0), "ids": ids})
    y = (ids[:, 0] % 2).long()
    nets = {}
    for decay in (None, 0.9):
        torch.manual_seed(0)
        module = WideDeep(
            1,
            bin_edges=[],
            missing=[],
            id_offsets=[0, 2**17],
            n_deep_id_columns=1,
            embedding_dim=4,
            hidden_layer_sizes=(4,),
        )
        assert module.deep.embedding.sparse and module.wide.ids.sparse
        net = ResidentNet(
            module,
            ema_decay=decay,
            max_epochs=1,
            batch_size=32,
            lr=0.1,
            verbose=0,
            group_optimizers={
                "sparse": torch.optim.SparseAdam,
                "wide": torch.optim.Adagrad,
            },
        ).initialize()
        torch.manual_seed(7)
        nets[decay] = net.partial_fit(ResidentDataset(X, y)).module_
    tables = {"deep.embedding.weight", "wide.ids.weight"}
    others = dict(nets[None].named_parameters())
    for name, weight in nets[0.9].named_parameters():
        if weight.numel():
            assert torch.equal(weight, others[name]) == (name in tables), name
