"""Logits are negative squared distances to class means, and nets learn by them."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.nets import PrototypeNet, TableBody
from sklearn_memgen.training import (
    ArrayTensors,
    ClassMeans,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
)

FEATURES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 5.0]])
CLASSES = torch.tensor([0, 0, 2, 2])


def make_net(n_features=4, n_classes=3):
    body = nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, 8))
    return PrototypeNet(body, 8, n_classes)


def blobs(n_rows=300):
    X, y = make_blobs(n_rows, n_features=4, centers=3, random_state=0)
    X = torch.from_numpy((X / X.std()).astype(np.float32))
    return ResidentDataset(ArrayTensors({"": X}), torch.from_numpy(y))


def test_logits_are_those_of_the_means():
    net = PrototypeNet(nn.Identity(), 2, 3)
    net.set_prototypes(FEATURES, CLASSES)
    assert net.prototypes.tolist() == [[1, 0], [0, 0], [0, 4]]
    assert net.has_prototype.tolist() == [True, False, True]
    logits = net(torch.tensor([[1.0, 2.0], [0.0, 4.0]]))
    assert logits.tolist() == [[-4, -400, -5], [-17, -400, 0]]


def test_no_class_has_a_prototype_at_first():
    assert (PrototypeNet(nn.Identity(), 2, 3)(FEATURES) == -400).all()


def test_rows_count_by_their_weights():
    net = PrototypeNet(nn.Identity(), 2, 3)
    net.set_prototypes(FEATURES, CLASSES, torch.tensor([3.0, 1.0, 1.0, 1.0]))
    assert net.prototypes[0].tolist() == [0.5, 0]
    twice = torch.cat([FEATURES, FEATURES[:1], FEATURES[:1]])
    other = PrototypeNet(nn.Identity(), 2, 3)
    other.set_prototypes(twice, torch.cat([CLASSES, CLASSES[:1], CLASSES[:1]]))
    torch.testing.assert_close(net.prototypes, other.prototypes)


def test_prototypes_are_replaced_and_a_class_may_lose_its_own():
    net = PrototypeNet(nn.Identity(), 2, 3)
    net.set_prototypes(FEATURES, CLASSES)
    net.set_prototypes(FEATURES[:2], torch.tensor([1, 1]))
    assert net.has_prototype.tolist() == [False, True, False]
    assert net.prototypes[1].tolist() == [1, 0]


def test_each_member_of_an_ensemble_has_its_own():
    net = PrototypeNet(nn.Identity(), 2, 3, n_members=2)
    both = torch.stack([FEATURES, 10 * FEATURES], dim=1)
    net.set_prototypes(both, CLASSES)
    logits = net(both)
    assert logits.shape == (4, 2, 3)
    for member, factor in enumerate((1, 10)):
        alone = PrototypeNet(nn.Identity(), 2, 3)
        alone.set_prototypes(factor * FEATURES, CLASSES)
        torch.testing.assert_close(logits[:, member], alone(factor * FEATURES))


def test_features_of_one_dimension():
    net = PrototypeNet(nn.Flatten(0), 1, 2)
    net.set_prototypes(torch.tensor([0.0, 2.0]), torch.tensor([0, 1]))
    assert net(torch.tensor([[1.5]])).tolist() == [[-2.25, -0.25]]


def test_gradients_reach_the_body_and_no_prototype():
    net = make_net()
    features = net.body(torch.eye(4))
    net.set_prototypes(features, torch.tensor([0, 1, 2, 2]))
    assert not net.prototypes.requires_grad
    nn.functional.cross_entropy(
        net(torch.eye(4)), torch.tensor([0, 1, 2, 2])
    ).backward()
    assert all(p.grad.abs().sum() > 0 for p in net.body.parameters())
    assert [name for name, _ in net.named_parameters() if "proto" in name] == []


def test_forward_moves_no_prototype():
    net = make_net()
    net.set_prototypes(torch.randn(9, 8), torch.arange(9) % 3)
    before = net.prototypes.clone()
    for mode in (True, False):
        net.train(mode)(torch.randn(20, 4))
        assert torch.equal(net.prototypes, before)


def test_state_and_pickle_keep_prototypes():
    net = make_net()
    net.set_prototypes(torch.randn(9, 8), torch.arange(9) % 3)
    X = torch.randn(5, 4)
    other = make_net()
    other.load_state_dict(net.state_dict())
    for same in (other, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        torch.testing.assert_close(same(X), net(X))


def test_what_the_body_offers_is_passed_on():
    body = TableBody(
        bin_edges=[[-1.0, 1.0]],
        missing=[False],
        id_offsets=[0, 4],
        hidden_layer_sizes=(8,),
        unknown_rate=1.0,
    )
    net = PrototypeNet(body, 8, 2)
    inputs = {"numbers": torch.zeros(5, 1), "ids": torch.full((5, 1), 2)}
    net.set_prototypes(body(**inputs), torch.tensor([0, 1, 0, 1, 0]))
    assert set(net.optimizer_groups()) == set(body.optimizer_groups())
    assert (net.draw_inputs(inputs)["ids"] == 0).all()  # all unknown
    torch.testing.assert_close(net.fast_forward(**inputs), net.eval()(**inputs))
    plain = make_net()
    assert not hasattr(plain, "fast_forward")
    assert plain.optimizer_groups() == {}
    assert plain.draw_inputs(inputs) is inputs


def test_class_means_are_those_of_the_last_weights():
    data = blobs()
    net = ResidentNet(make_net, lr=0.01, max_epochs=3, callbacks=[ClassMeans()])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net.fit(data)
    module = net.module_
    with torch.no_grad():
        features = module.body(data.X.arrays[""])
    for code in range(3):
        mean = features[data.y == code].mean(0)
        torch.testing.assert_close(module.prototypes[code], mean)


def test_classifier_learns_blobs():
    X, y = make_blobs(300, n_features=4, centers=3, random_state=0)
    model = NetClassifier(make_net, callbacks=[ClassMeans()], random_state=0)
    model.fit(X / 10, np.array(["ash", "elm", "oak"])[y])
    assert model.score(X / 10, np.array(["ash", "elm", "oak"])[y]) > 0.95
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(copied.predict_proba(X), model.predict_proba(X))


def test_two_classes_have_two_logits():
    X, y = make_blobs(200, n_features=4, centers=2, random_state=0)
    model = NetClassifier(make_net, callbacks=[ClassMeans()], random_state=0)
    assert model.fit(X / 10, y).score(X / 10, y) > 0.95
    assert model.net_.module_.has_prototype.tolist() == [True, True]


@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_members_of_a_population_keep_their_own_prototypes(strategy):
    """In a stack buffers that a callback sets reach the next pass."""
    data = blobs()
    rows = [np.arange(250), np.arange(50, 300)]

    def make():
        return ResidentNet(make_net, lr=0.01, max_epochs=4, batch_size=32)

    members = [
        Member(make, data, seed=seed, rows=chosen, callbacks=[ClassMeans()])
        for seed, chosen in enumerate(rows)
    ]
    population = Population(members, strategy=strategy, device="cpu").train()
    for member, result in zip(members, population, strict=True):
        assert result.error is None and result.strategy == strategy
        alone = Population(
            [copy.copy(member)], strategy="sequential", device="cpu"
        ).train()
        np.testing.assert_allclose(
            result.history["train_loss"], alone[0].history["train_loss"], rtol=1e-3
        )
        torch.testing.assert_close(
            result.net.module_.prototypes,
            alone[0].net.module_.prototypes,
            rtol=1e-2,
            atol=1e-2,
        )
    first, second = (result.net.module_.prototypes for result in population)
    assert not torch.allclose(first, second)
