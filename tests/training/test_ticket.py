"""A ticket is kept, saved and handed on whole, and zeros stay zeros."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from sklearn_memgen import Ticket
from sklearn_memgen.training import (
    ArrayTensors,
    Member,
    Population,
    PruningRule,
    ResidentDataset,
    ResidentNet,
    full_masks,
)


def make_net(seed=0, n_inputs=4):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(n_inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
    )


def make_ticket(seed=0, rate=0.7):
    net = make_net(seed)
    weights = net.state_dict()
    masks = PruningRule(rate, None).draw(full_masks(net), weights, weights)
    return Ticket(masks, weights), net


def is_zero(net, ticket):
    return all(
        (net.get_parameter(name)[~mask] == 0).all()
        for name, mask in ticket.masks.items()
    )


@pytest.mark.parametrize("strategy", ["sequential", "stacked"])
@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (torch.optim.Adam, {"weight_decay": 0.1}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
        (partial(torch.optim.AdamW, fused=True), {"weight_decay": 0.1}),
        (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (torch.optim.RMSprop, {"momentum": 0.9, "weight_decay": 0.1}),
        (torch.optim.Adagrad, {"weight_decay": 0.1}),
    ],
)
def test_zeros_stay_zeros_under_every_optimizer(optimizer, settings, strategy):
    torch.manual_seed(0)
    X = torch.randn(200, 4)
    data = ResidentDataset(ArrayTensors({"": X}), X[:, :3].argmax(1))
    ticket, _ = make_ticket()
    ticket = ticket.drop("1.*")  # nets with running statistics are not stacked
    module = nn.Sequential(nn.Linear(4, 16), nn.Identity(), nn.ReLU(), nn.Linear(16, 3))

    def make():
        return ResidentNet(
            ticket.apply(copy.deepcopy(module)),
            optimizer=optimizer,
            lr=0.01,
            max_epochs=5,
            batch_size=32,
            verbose=0,
            **{f"optimizer__{name}": value for name, value in settings.items()},
        )

    members = [Member(make, data, seed=k, guide=ticket.guide()) for k in range(2)]
    population = Population(members, strategy=strategy, device="cpu").train()
    for net in population.nets_:
        assert is_zero(net.module_, ticket)
        kept = ticket.masks["0.weight"]
        assert (net.module_[0].weight[kept] != ticket.initial["0.weight"][kept]).all()


def test_apply_gives_the_initial_weights_and_zeros():
    ticket, net = make_ticket()
    other = ticket.apply(make_net(1))
    mask = ticket.masks["0.weight"]
    assert torch.equal(other[0].weight[mask], net[0].weight[mask])
    assert torch.equal(other[3].bias, net[3].bias)
    assert is_zero(other, ticket)


def test_a_ticket_does_not_change_with_the_net():
    ticket, net = make_ticket()
    before = ticket.initial["0.weight"].clone()
    with torch.no_grad():
        net[0].weight.zero_()
    assert torch.equal(ticket.initial["0.weight"], before)
    with pytest.raises(AttributeError):
        ticket.masks = {}


def test_it_says_what_remains():
    ticket, _ = make_ticket(rate=0.75)
    frame = ticket.to_frame()
    assert frame["layer"].tolist() == ["0.weight", "3.weight"]
    assert frame["n_weights"].tolist() == [64, 48]
    assert frame["n_remaining"].tolist() == [16, 12]
    assert ticket.remaining == 0.25
    assert repr(ticket).startswith("Ticket with 28 of 112 weights (25 %)\n")
    assert repr(Ticket({}, {})) == "Ticket with 0 of 0 weights (100 %)"


def test_the_guide_is_zeros_and_ones():
    ticket, _ = make_ticket()
    for name, multiplier in ticket.guide().items():
        assert torch.equal(multiplier.bool(), ticket.masks[name])


def same(one, other):
    return all(
        getattr(one, part).keys() == getattr(other, part).keys()
        and all(
            torch.equal(v, getattr(other, part)[n])
            for n, v in getattr(one, part).items()
        )
        for part in ("masks", "initial")
    )


def test_round_trip(tmp_path):
    ticket, _ = make_ticket()
    ticket.save(tmp_path / "ticket.pt")
    assert same(Ticket.load(tmp_path / "ticket.pt"), ticket)
    assert same(pickle.loads(pickle.dumps(ticket)), ticket)
    assert same(copy.deepcopy(ticket), ticket)


def test_a_file_that_is_no_ticket(tmp_path):
    torch.save({"masks": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no ticket"):
        Ticket.load(tmp_path / "other.pt")


def test_shapes_that_do_not_match_are_named():
    ticket, _ = make_ticket()
    with pytest.raises(
        ValueError, match=r"'0.weight' \(16, 4\) in the ticket, \(16, 7\)"
    ):
        ticket.apply(make_net(n_inputs=7))
    with pytest.raises(ValueError, match=r"'3.bias' \(3,\) in the ticket, not there"):
        ticket.apply(make_net()[:3])
    with pytest.raises(ValueError, match="of '0.weight' has the shape"):
        Ticket({"0.weight": torch.ones(2, 2)}, ticket.initial)
    with pytest.raises(ValueError, match="the mask names '9.weight'"):
        Ticket({"9.weight": torch.ones(2, 2)}, ticket.initial)


def test_what_is_dropped_begins_anew():
    ticket, _ = make_ticket()
    body = ticket.drop("3.*")
    net = nn.Sequential(*make_net(1)[:3], nn.Linear(16, 7))
    before = net[3].weight.clone()
    assert torch.equal(body.apply(net)[3].weight, before)
    assert list(body.masks) == ["0.weight"]
    with pytest.raises(ValueError, match="fits none of the names"):
        ticket.drop("head.*")
