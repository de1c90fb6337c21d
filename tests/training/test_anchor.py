"""AnchorCallback: L2-SP as a pull back to the start, decoupled from the gradient."""

import pickle

import pytest
import torch
from torch import nn

from sklearn_memgen.training import (
    AnchorCallback,
    ArrayTensors,
    Guide,
    GuideCallback,
    ResidentDataset,
    ResidentNet,
    train,
)


def make_data():
    X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    return ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())


def train_one(callbacks, optimizer=torch.optim.SGD, epochs=1, start=None, **params):
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    if start is not None:
        module.load_state_dict(start)
    net = ResidentNet(
        module,
        optimizer=optimizer,
        lr=0.1,
        batch_size=40,
        max_epochs=epochs,
        verbose=0,
        **params,
    ).initialize()
    train(net, make_data(), None, callbacks=callbacks)
    return net


def start_weights():
    torch.manual_seed(0)
    return {n: p.detach().clone() for n, p in nn.Linear(3, 2).named_parameters()}


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_step_goes_a_share_of_the_way_back_first(optimizer):
    before = start_weights()
    free = train_one([], optimizer).module_
    target = {"weight": before["weight"] + 1}
    pulled = train_one([AnchorCallback(2.0, target)], optimizer).module_
    way = 0.1 * 2.0 * (target["weight"] - before["weight"])
    torch.testing.assert_close(pulled.weight, free.weight + way)
    assert torch.equal(pulled.bias, free.bias)  # it has no anchor


def test_with_sgd_it_is_the_penalty():
    """The gradient of strength / 2 * squared distance, beside that of the loss."""
    anchor = {n: p + 0.5 for n, p in start_weights().items()}

    class Penalized(ResidentNet):
        def _loss(self, batch):
            loss, logits = super()._loss(batch)
            squares = [
                (p - anchor[n]).square().sum()
                for n, p in self.module_.named_parameters()
            ]
            return loss + 2.0 / 2 * sum(squares), logits

    torch.manual_seed(0)
    net = Penalized(
        nn.Linear(3, 2),
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=40,
        max_epochs=5,
        verbose=0,
    ).initialize()
    train(net, make_data(), None)
    pulled = train_one([AnchorCallback(2.0, anchor)], epochs=5)
    torch.testing.assert_close(pulled.module_.weight, net.module_.weight)


def test_the_start_is_where_training_begins_by_default():
    far = train_one([], epochs=30).module_.weight
    near = train_one([AnchorCallback(5.0)], epochs=30).module_.weight
    before = start_weights()["weight"]
    assert (near - before).norm() < 0.5 * (far - before).norm()
    held = train_one([AnchorCallback(1e9)], epochs=30).module_.weight  # all the way
    one_step = train_one([]).module_.weight
    assert (held - before).norm() < 2 * (one_step - before).norm()


def test_a_guide_that_is_listed_first_limits_the_way_back():
    before = start_weights()
    guide = Guide({"weight": 0.25, "bias": 0.0})
    target = {n: p + 1 for n, p in before.items()}
    anchor = AnchorCallback(2.0, target)
    free = train_one([anchor]).module_
    both = train_one([GuideCallback(guide), anchor]).module_
    expected = before["weight"] + 0.25 * (free.weight - before["weight"])
    torch.testing.assert_close(both.weight, expected)
    assert torch.equal(both.bias, before["bias"])


def test_nothing_remains_afterwards():
    anchor = AnchorCallback(1.0)
    net = train_one([anchor])
    assert not net.optimizer_._optimizer_step_pre_hooks
    assert "_anchors" not in anchor.__dict__

    class Stumbles(nn.Linear):
        def forward(self, x):
            raise RuntimeError("stumbled")

    net = ResidentNet(Stumbles(3, 2), verbose=0).initialize()
    with pytest.raises(RuntimeError, match="stumbled"):
        train(net, make_data(), None, callbacks=[anchor])
    assert not net.optimizer_._optimizer_step_pre_hooks
    assert pickle.loads(pickle.dumps(anchor)).strength == 1.0


def test_bad_anchors_are_named():
    with pytest.raises(ValueError, match=r"names 'other' of shape \(2,\)"):
        train_one([AnchorCallback(1.0, {"other": torch.zeros(2)})])
    with pytest.raises(ValueError, match=r"names 'weight' of shape \(2,\)"):
        train_one([AnchorCallback(1.0, {"weight": torch.zeros(2)})])
