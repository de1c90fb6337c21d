"""Displacement: sums over scouts, of which guides are made."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_memgen.training import Displacement, Guide


def make_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def make_scouts(net, n_scouts=4):
    scouts = []
    for seed in range(n_scouts):
        generator = torch.Generator().manual_seed(seed)
        scout = copy.deepcopy(net)
        with torch.no_grad():
            for depth, parameter in enumerate(scout.parameters()):
                way = torch.randn(parameter.shape, generator=generator)
                parameter += 0.1 * (depth + 1) * way
        scouts.append(scout)
    return scouts


def displacement_of(net, scouts):
    displacement = Displacement(net)
    for scout in scouts:
        displacement.add(scout)
    return displacement


@pytest.mark.parametrize("scope", ["tensor", "global"])
@pytest.mark.parametrize("spread", ["squared", "absolute"])
@pytest.mark.parametrize("focus", ["raw", "zero_enforced_and_normalized"])
def test_guides_are_those_of_all_scouts_at_once(scope, spread, focus):
    net = make_net()
    scouts = make_scouts(net)
    expected = Guide.from_displacements(
        net, scouts, scope=scope, squared=spread == "squared", focus=focus
    )
    displacement = displacement_of(net, scouts)
    assert displacement.n_scouts == 4
    assert displacement.guide(scope=scope, spread=spread, focus=focus) == expected


def test_the_formula():
    """Mean squares, from the smallest to the largest of the tensor."""
    displacement = Displacement({"w": torch.tensor([1.0, 1.0, 1.0])})
    displacement.add({"w": torch.tensor([1.0, 2.0, 4.0])})
    displacement.add({"w": torch.tensor([2.0, 0.0, 0.0])})
    spread = np.array([0.5, 1.0, 5.0])
    np.testing.assert_allclose(
        displacement.guide()["w"], (spread - 0.5) / 4.5, rtol=1e-6
    )


def test_the_base_is_a_copy():
    """One net may be trained in place as every scout: the base stays behind."""
    net = make_net()
    start = copy.deepcopy(net.state_dict())
    displacement = Displacement(net)
    for k in range(2):
        net.load_state_dict(start)
        with torch.no_grad():
            net[0].weight[k] += 1
        displacement.add(net)
    assert displacement.guide()["0.weight"].sum(1).tolist() == [3, 3, 0, 0]


def test_identical_scouts_give_the_guide_of_one():
    net = make_net()
    (scout,) = make_scouts(net, 1)
    one, many = displacement_of(net, [scout]), displacement_of(net, [scout] * 4)
    assert one.guide() == many.guide()


def test_the_order_of_the_scouts_does_not_matter():
    net = make_net()
    scouts = make_scouts(net)
    there = displacement_of(net, scouts).guide()
    back = displacement_of(net, scouts[::-1]).guide()
    for name in there:
        np.testing.assert_allclose(there[name], back[name], rtol=1e-6)


def test_layers():
    net = make_net()
    (scout,) = make_scouts(net, 1)
    displacement = displacement_of(net, [scout])
    frame = displacement.by_layer()
    assert frame.index.tolist() == ["0", "2"]
    assert frame["n_parameters"].tolist() == [16, 10]
    ways = torch.cat(
        [
            (one - other).detach().flatten()
            for one, other in zip(
                scout[0].parameters(), net[0].parameters(), strict=True
            )
        ]
    ).double()
    assert frame.loc["0", "rms"] == pytest.approx(ways.square().mean().sqrt().item())
    assert frame.loc["0", "mean"] == pytest.approx(ways.abs().mean().item())
    distances = displacement.measure(scout)
    np.testing.assert_allclose(distances, frame["rms"])
    assert displacement.n_scouts == 1


def test_a_part_has_ends_of_its_own():
    """A global guide of a part is scaled by the part alone."""
    displacement = Displacement({"body.w": torch.zeros(2), "head.w": torch.zeros(1)})
    displacement.add({"body.w": torch.tensor([0.0, 1.0]), "head.w": torch.ones(1) * 10})
    assert displacement.guide(scope="global")["body.w"].max() == pytest.approx(0.01)
    body = displacement.only("body.")
    assert list(body.guide(scope="global")) == ["body.w"]
    assert body.guide(scope="global")["body.w"].tolist() == [0, 1]
    assert body.n_scouts == 1
    displacement.add({"body.w": torch.ones(2), "head.w": torch.zeros(1)})
    assert body.guide()["body.w"].tolist() == [0, 1]  # it is a copy


def test_no_displacement_is_suspicious_and_divides_by_nothing():
    net = make_net()
    displacement = displacement_of(net, [net])
    with pytest.warns(
        UserWarning, match="none of the 1 scouts differs from the base"
    ) as (caught):
        guide = displacement.guide()
    assert caught[0].filename == __file__
    assert all(not value.any() for value in guide.values())


def test_sums_are_exact_for_many_scouts():
    """In float32 a scout would not count any more after 2 ** 24 others."""
    displacement = Displacement({"w": torch.zeros(2)})
    displacement._sums.squares["w"][:] = 2.0**24
    displacement.add({"w": torch.tensor([0.0, 1.0])})
    first, second = displacement._sums.squares["w"].tolist()
    assert second - first == 1


def test_bad_scouts_and_options_are_named():
    displacement = Displacement({"w": torch.zeros(2)})
    with pytest.raises(ValueError, match="scouts is empty"):
        displacement.guide()
    with pytest.raises(ValueError, match=r"scout 0 .* have the same .* \['b', 'w'\]"):
        displacement.add({"b": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"'w' of scout 0 has the shape \(3,\)"):
        displacement.add({"w": torch.zeros(3)})
    with pytest.raises(ValueError, match="'w' of scout 0 is not finite.*inf"):
        displacement.add({"w": torch.tensor([0.0, torch.inf])})
    assert displacement.n_scouts == 0
    displacement.add({"w": torch.ones(2)})
    with pytest.raises(ValueError, match="spread must be one of .* got 'cubed'"):
        displacement.guide(spread="cubed")
    with pytest.raises(ValueError, match="scope must be one of .* got 'layer'"):
        displacement.guide(scope="layer")


def test_pickles_and_printing():
    net = make_net()
    displacement = displacement_of(net, make_scouts(net, 2)).cpu()
    twin = pickle.loads(pickle.dumps(displacement))
    assert twin.guide() == displacement.guide()
    assert repr(twin) == "Displacement of 4 parameters by 2 scouts"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_sums_stay_on_the_device():
    net = make_net()
    scouts = make_scouts(net)
    expected = displacement_of(net, scouts).guide()
    there = displacement_of(net.cuda(), [scout.cuda() for scout in scouts])
    assert there._sums.squares["0.weight"].device.type == "cuda"
    for name, value in there.guide().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5)
    assert there.cpu()._sums.base["0.weight"].device.type == "cpu"
