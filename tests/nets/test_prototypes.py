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
from sklearn_memgen.tables import TokenTensors
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


def test_a_class_without_rows_keeps_its_prototype():
    net = PrototypeNet(nn.Identity(), 2, 3)
    net.set_prototypes(FEATURES, CLASSES)
    net.set_prototypes(FEATURES[:2], torch.tensor([1, 1]))
    assert net.has_prototype.all()
    assert net.prototypes.tolist() == [[1, 0], [1, 0], [0, 4]]


def test_running_means_move_by_a_tenth():
    net = PrototypeNet(nn.Identity(), 2, 3)
    logits = net(FEATURES, labels=CLASSES)
    assert net.running_means.tolist() == [[1, 0], [0, 0], [0, 4]]  # the first batch
    assert logits[0].tolist() == [-1, -400, -16]
    logits = net(torch.tensor([[11.0, 0.0], [0.0, 7.0]]), labels=torch.tensor([0, 1]))
    expected = torch.tensor([[2.0, 0.0], [0.0, 7.0], [0.0, 4.0]])
    torch.testing.assert_close(net.running_means, expected)
    torch.testing.assert_close(net.prototypes, expected)
    torch.testing.assert_close(logits[1], -torch.tensor([53.0, 0.0, 9.0]))
    assert net.has_prototype.all()


def test_learning_goes_on_from_running_means():
    """Those that were set are for prediction only."""
    net = PrototypeNet(nn.Identity(), 2, 3)
    net(FEATURES, labels=CLASSES)
    net.set_prototypes(FEATURES + 5, CLASSES)
    assert net.running_means[0].tolist() == [1, 0]
    assert net.prototypes[0].tolist() == [6, 5]
    net(FEATURES, labels=CLASSES)
    torch.testing.assert_close(net.prototypes[0], torch.tensor([1.0, 0.0]))


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
    y = torch.tensor([0, 1, 2, 2])
    net = make_net()
    net(torch.randn(4, 4), labels=y)
    nn.functional.cross_entropy(net(torch.eye(4), labels=y), y).backward()
    assert all(p.grad.abs().sum() > 0 for p in net.body.parameters())
    assert not any(buffer.requires_grad for buffer in net.buffers())
    assert len(list(net.parameters())) == len(list(net.body.parameters()))


def test_gradients_pass_through_the_mean_of_the_batch():
    net = PrototypeNet(nn.Identity(), 1, 2)
    net(torch.tensor([[0.0], [5.0]]), labels=torch.tensor([0, 1]))
    x = torch.tensor([[1.0]], requires_grad=True)
    net(x, labels=torch.tensor([0]))[0, 0].backward()
    # -(x - 0.9 * 0 - 0.1 * x)^2, at 1
    torch.testing.assert_close(x.grad, torch.tensor([[-2 * 0.9**2]]))


def test_without_labels_nothing_moves():
    net = make_net()
    net.set_prototypes(torch.randn(9, 8), torch.arange(9) % 3)
    before = net.prototypes.clone()
    for mode in (True, False):
        net.train(mode)(torch.randn(20, 4))
        assert torch.equal(net.prototypes, before)


def test_state_and_pickle_keep_prototypes_and_running_means():
    net = make_net()
    net(torch.randn(9, 4), labels=torch.arange(9) % 3)
    net.set_prototypes(torch.randn(9, 8), torch.arange(9) % 3)
    X = torch.randn(5, 4)
    other = make_net()
    other(torch.randn(9, 4), labels=torch.arange(9) % 3)
    other.load_state_dict(net.state_dict())
    for same in (other, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        torch.testing.assert_close(same(X), net(X))
        torch.testing.assert_close(same.running_means, net.running_means)


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
    assert not torch.allclose(module.prototypes, module.running_means)


def test_validation_and_prediction_move_no_means():
    X, y = make_blobs(300, n_features=4, centers=3, random_state=0)
    model = NetClassifier(make_net, random_state=0, early_stopping=True).fit(X / 10, y)
    assert model.score(X / 10, y) > 0.95  # by running means
    before = {n: b.clone() for n, b in model.net_.module_.named_buffers()}
    model.predict_proba(X)
    model.predict_proba(np.zeros((1, 4)))
    for name, buffer in model.net_.module_.named_buffers():
        assert torch.equal(buffer, before[name]), name


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


def test_population_trains_it_alone_beside_standard_nets():
    """Running means of several nets cannot be computed together."""
    data = blobs()

    def standard():
        module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        return ResidentNet(module, lr=0.01, max_epochs=4, batch_size=32)

    def prototype():
        return ResidentNet(make_net, lr=0.01, max_epochs=4, batch_size=32)

    members = [
        Member(make, data, seed=seed, callbacks=[ClassMeans()] * (make is prototype))
        for make in (standard, prototype)
        for seed in range(8)
    ]
    population = Population(members, device="cpu", n_jobs=1).train()
    assert not population.errors_
    assert [result.strategy for result in population] == ["stacked"] * 8 + [
        "sequential"
    ] * 8
    for result in population:
        predicted = result.net.logits(data.X).argmax(1)
        assert (predicted == data.y).float().mean() > 0.95
    with pytest.raises(ValueError, match="takes labels in training"):
        Population(members[8:], strategy="stacked", device="cpu").train()


@pytest.mark.parametrize("name", ["left", ""])
def test_named_and_single_inputs_get_labels(name):
    class Body(nn.Linear):
        def forward(self, left):
            return super().forward(left)

    data = blobs()
    data = ResidentDataset(ArrayTensors({name: data.X.arrays[""]}), data.y)
    net = ResidentNet(PrototypeNet(Body(4, 3), 3, 3), lr=0.01, max_epochs=3)
    net.fit(data)
    assert net.module_.has_prototype.all()


# A class without a prototype, and episodes


def test_the_background_has_a_logit_in_the_place_of_a_prototype():
    net = PrototypeNet(nn.Identity(), 2, 3, background=2)
    assert net(FEATURES).tolist() == [[-400, -400, -4]] * 4
    net.set_prototypes(FEATURES, CLASSES)
    assert net.has_prototype.tolist() == [True, False, False]
    assert net(torch.tensor([[1.0, 2.0]])).tolist() == [[-4, -400, -4]]
    logits = net(FEATURES, labels=CLASSES)
    assert net.is_running.tolist() == [True, False, False]
    assert (net.running_means[2] == 0).all()
    logits[:, 2].sum().backward()
    assert net.background_logit.grad == 4
    assert dict(net.named_parameters()).keys() == {"background_logit"}


def test_members_share_the_logit_of_the_background():
    net = PrototypeNet(nn.Identity(), 2, 3, n_members=2, background=0)
    both = torch.stack([FEATURES, 10 * FEATURES], dim=1)
    net.set_prototypes(both, CLASSES)
    logits = net(both)
    assert (logits[..., 0] == -4).all()
    assert (logits[..., 1] == -400).all()
    assert logits[2, :, 2].tolist() == [-1, -100]


def test_a_batch_of_the_background_alone_moves_nothing():
    net = PrototypeNet(nn.Identity(), 2, 3, background=0)
    net(FEATURES, labels=torch.tensor([1, 1, 2, 2]))
    before = net.running_means.clone()
    net(FEATURES + 9, labels=torch.tensor([0, 0, 0, 0]))
    assert torch.equal(net.running_means, before)
    assert torch.equal(net.prototypes, before)


def test_queries_are_compared_with_the_support_of_their_batch():
    """Not with running means, which are of older features, except for other classes."""
    net = PrototypeNet(nn.Identity(), 2, 4)
    net(FEATURES, labels=CLASSES)  # means (1, 0) of class 0 and (0, 4) of class 2
    support = torch.tensor([[11.0, 0.0], [0.0, 7.0]])
    query = torch.tensor([[9.0, 0.0]])
    labels = torch.tensor([0, 1, -1])
    logits = net(torch.cat([support, query]), labels=labels)[2]
    assert logits.tolist() == [-4, -130, -97, -400]
    # The query is in no mean, and those that run on move by a tenth as ever.
    expected = torch.tensor([[2.0, 0.0], [0.0, 7.0], [0.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(net.running_means, expected)
    torch.testing.assert_close(net.prototypes, expected)


def test_the_loss_of_queries_reaches_the_support():
    net = PrototypeNet(nn.Identity(), 1, 2)
    net(torch.tensor([[0.0], [5.0]]), labels=torch.tensor([0, 1]))
    x = torch.tensor([[1.0], [3.0]], requires_grad=True)
    net(x, labels=torch.tensor([0, -1]))[1, 0].backward()
    # -(query - support)^2, at 3 and 1
    assert x.grad.tolist() == [[4], [-4]]


def test_an_episode_without_support_compares_with_running_means():
    net = PrototypeNet(nn.Identity(), 2, 3)
    queries = torch.full((4,), -1)
    assert (net(FEATURES, labels=queries) == -400).all()
    assert not net.has_prototype.any()
    net(FEATURES, labels=CLASSES)
    expected = net(FEATURES)
    torch.testing.assert_close(net(FEATURES, labels=queries), expected)


class Embed(nn.Module):
    """Features of marked tokens, as transformers have them."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, input_ids, attention_mask, marked):
        return self.table(input_ids)[marked]


@pytest.mark.parametrize("weighted", [False, True])
def test_class_means_of_rows_that_have_several_targets(weighted):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 12, (60,), generator=generator)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    n_tokens = int(starts[-1])
    ids = torch.randint(1, 10, (n_tokens,), dtype=torch.int32, generator=generator)
    marked = torch.rand(n_tokens, generator=generator) < 0.7
    y = ids[marked].long() % 3
    weight = torch.rand(len(y), generator=generator) + 0.1 if weighted else None
    rows = TokenTensors(ids, starts, padding_id=0, marked=marked)
    net = ResidentNet(
        PrototypeNet(Embed(), 4, 3, background=0),
        lr=0.01,
        max_epochs=2,
        batch_size=8,
        callbacks=[ClassMeans()],
    ).fit(ResidentDataset(rows, y, weight))
    module = net.module_
    features = module.body.table.weight.detach()[ids[marked]]
    assert module.has_prototype.tolist() == [False, True, True]
    for code in (1, 2):
        own = torch.ones(len(y)) if weight is None else weight
        own = (own * (y == code))[:, None]
        mean = (features * own).sum(0) / own.sum()
        torch.testing.assert_close(module.prototypes[code], mean)
