"""What a guide is: its values, where they come from, what can be done with them."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_memgen.training import Guide


def make_module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def open_names(guide):
    return [name for name, multiplier in guide.items() if multiplier.any()]


# Values


def test_values_are_copied():
    """A guide does not change when what it was made of does."""
    value = torch.ones(2)
    guide = Guide({"w": value})
    value.zero_()
    assert guide["w"].tolist() == [1, 1]


@pytest.mark.parametrize("value", [0.5, [0.5], np.full(1, 0.5), torch.full((1,), 0.5)])
def test_numbers_lists_arrays_and_tensors_are_multipliers(value):
    assert Guide({"w": value})["w"].reshape(-1).tolist() == [0.5]


def test_booleans_and_integers_are_numbers():
    assert Guide({"a": True, "b": [False, True], "c": 2})["b"].tolist() == [0, 1]


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_other_values_are_refused_by_name(value):
    with pytest.raises(ValueError, match=f"'deep.weight'.*not negative; got {value:g}"):
        Guide({"deep.weight": torch.tensor([0.1, value])})
    with pytest.raises(TypeError, match="'deep.weight' must be a number.*got 'half'"):
        Guide({"deep.weight": "half"})


def test_a_guide_is_pickled_and_copied_by_value():
    guide = Guide({"w": torch.rand(3), "b": 0.1})
    assert pickle.loads(pickle.dumps(guide)) == guide == copy.deepcopy(guide)
    assert guide != Guide({"w": guide["w"]})
    assert guide != {"w": 1}


# Constructors


def test_a_mask_has_zeros_and_ones_only():
    mask = torch.tensor([True, False])
    assert Guide.from_mask({"w": mask})["w"].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"mask of 'w' must hold .* got 0\.3"):
        Guide.from_mask({"w": [0.0, 0.3]})


def test_only_opens_types_and_names_and_names_all():
    net = make_module()
    everything = [name for name, _ in net.named_parameters()]
    for guide, expected in [
        (Guide.only(net, types=nn.BatchNorm1d), ["1.weight", "1.bias"]),
        (Guide.only(net, "3.*"), ["3.weight", "3.bias"]),
        (Guide.only(net, ["3.bias"], types=nn.BatchNorm1d), None),
        (Guide.only(dict(net.named_parameters()), "*.bias"), None),
        (Guide.only(net, types=nn.Sequential), everything),  # with what is in it
    ]:
        assert list(guide) == everything
        assert expected is None or open_names(guide) == expected
        assert {m.item() for m in guide.values()} <= {0.0, 1.0}


def test_a_type_ends_at_a_dot():
    """Module 1 does not take the parameters of module 10."""
    net = nn.Sequential(*[nn.Linear(1, 1) for _ in range(11)])
    net[1] = nn.BatchNorm1d(1)
    guide = Guide.only(net, types=nn.BatchNorm1d)
    assert open_names(guide) == ["1.weight", "1.bias"]


def test_what_fits_nothing_is_refused():
    net = make_module()
    with pytest.raises(ValueError, match=r"'head\.\*' fits no parameter of '0.weight'"):
        Guide.only(net, ["3.*", "head.*"])
    with pytest.raises(ValueError, match="no such module has parameters"):
        Guide.only(net, types=nn.LayerNorm)
    with pytest.raises(ValueError, match="neither names nor types"):
        Guide.only(net)
    with pytest.raises(TypeError, match="needs a module"):
        Guide.only(dict(net.named_parameters()), types=nn.Linear)


def test_layers_decay_from_the_output():
    net = make_module()
    guide = Guide.layerwise(net, 0.5)
    assert [m.item() for m in guide.values()] == [0.25] * 2 + [0.5] * 2 + [1.0] * 2
    guide = Guide.layerwise(net, 0.5, layers=["0.*", "1.*"])  # the rest is whole
    assert [m.item() for m in guide.values()] == [0.5] * 2 + [1.0] * 4
    with pytest.raises(ValueError, match=r"'9\.\*' fits no parameter"):
        Guide.layerwise(net, 0.5, layers=["9.*"])


# Displacements


def draw_scouts(n_scouts=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = {"w": torch.randn(4, 3, generator=generator), "b": torch.zeros(5)}
    scouts = [
        {
            name: value + 10**i * torch.randn(value.shape, generator=generator)
            for i, (name, value) in enumerate(base.items())
        }
        for _ in range(n_scouts)
    ]
    return base, scouts


@pytest.mark.parametrize("scope", ["tensor", "global"])
@pytest.mark.parametrize("squared", [True, False])
def test_displacements_give_the_formula(scope, squared):
    base, scouts = draw_scouts()
    power = 2 if squared else 1
    spread = {
        name: torch.stack([(s[name] - base[name]).abs() ** power for s in scouts])
        .mean(0)
        .numpy()
        for name in base
    }
    guide = Guide.from_displacements(base, scouts, scope=scope, squared=squared)
    everything = np.concatenate([value.ravel() for value in spread.values()])
    for name, m in spread.items():
        over = m if scope == "tensor" else everything
        expected = (m - over.min()) / (over.max() - over.min())
        np.testing.assert_allclose(guide[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("focus", "expected"),
    [
        ("raw", [1, 4, 9]),
        ("zero_enforced", [0, 3, 8]),
        ("normalized", [1 / 9, 4 / 9, 1]),
        ("zero_enforced_and_normalized", [0, 3 / 8, 1]),
        ("unit_mean", [3 / 14, 12 / 14, 27 / 14]),
    ],
)
def test_focus(focus, expected):
    base, scout = {"w": torch.zeros(3)}, {"w": torch.tensor([1.0, -2.0, 3.0])}
    guide = Guide.from_displacements(base, [scout], focus=focus)
    np.testing.assert_allclose(guide["w"], expected, rtol=1e-6)


def test_a_mean_of_one_is_that_of_the_scope_and_no_multiplier_exceeds_three():
    base = {"w": torch.zeros(10), "v": torch.zeros(10)}
    scout = {"w": torch.ones(10), "v": torch.full((10,), 3.0)}
    scout["w"][0] = 10.0
    of_tensor = Guide.from_displacements(base, [scout], focus="unit_mean")
    np.testing.assert_allclose(of_tensor["w"], [3.0] + [10 / 109] * 9, rtol=1e-6)
    np.testing.assert_allclose(of_tensor["v"], 1.0, rtol=1e-6)
    scopes = {"scope": "global", "focus": "unit_mean"}
    of_all = Guide.from_displacements(base, [scout], **scopes)
    np.testing.assert_allclose(of_all["v"], 9 * 20 / 199, rtol=1e-6)


@pytest.mark.parametrize(
    "focus", ["normalized", "zero_enforced_and_normalized", "unit_mean"]
)
def test_tensors_of_equal_displacement_are_open_or_frozen(focus):
    """No division by zero: what did not move is frozen, what moved may move."""
    base = {"moved": torch.zeros(2), "still": torch.ones(2), "one": torch.zeros(1)}
    moved, one = torch.full((2,), 0.3), -torch.ones(1)
    scout = {"moved": moved, "still": torch.ones(2), "one": one}
    guide = Guide.from_displacements(base, [scout], focus=focus)
    assert guide["moved"].tolist() == [1, 1]
    assert guide["still"].tolist() == [0, 0]
    assert guide["one"].tolist() == [1]


def test_scouts_that_are_the_same_give_the_guide_of_one():
    base, scouts = draw_scouts(1)
    one = Guide.from_displacements(base, scouts)
    many = Guide.from_displacements(base, (copy.copy(scouts[0]) for _ in range(4)))
    assert one == many


def test_one_module_can_be_trained_as_every_scout():
    """Each is read before the next; a copy of the base is all that is needed."""
    net = make_module()
    base = copy.deepcopy(net)

    def scouts():
        for k in range(3):
            net.load_state_dict(base.state_dict())
            with torch.no_grad():
                net[3].weight[0, k] += k + 1
            yield net

    guide = Guide.from_displacements(base, scouts())
    np.testing.assert_allclose(guide["3.weight"][0], [1 / 9, 4 / 9, 1, 0], rtol=1e-3)
    assert open_names(guide) == ["3.weight"]


def test_scouts_that_never_left_are_suspicious():
    """As when the base is no copy, and goes along with them."""
    net = make_module()
    with pytest.warns(
        UserWarning, match="none of the 2 scouts differs from the base"
    ) as (caught):
        guide = Guide.from_displacements(net, [net, net])
    assert caught[0].filename == __file__
    assert not open_names(guide)


def test_bad_scouts_are_refused_by_name():
    base, scouts = draw_scouts(2)
    with pytest.raises(ValueError, match="scouts is empty"):
        Guide.from_displacements(base, [])
    with pytest.raises(ValueError, match=r"scout 1 .* have the same .* \['b'\]"):
        Guide.from_displacements(base, [scouts[0], {"w": scouts[1]["w"]}])
    with pytest.raises(ValueError, match=r"'b' of scout 0 has the shape \(2,\)"):
        Guide.from_displacements(base, [scouts[0] | {"b": torch.zeros(2)}])
    with pytest.raises(ValueError, match="'b' of scout 0 is not finite.*nan"):
        Guide.from_displacements(base, [scouts[0] | {"b": torch.full((5,), np.nan)}])
    with pytest.raises(ValueError, match="scope must be one of .* got 'layer'"):
        Guide.from_displacements(base, scouts, scope="layer")
    with pytest.raises(ValueError, match="focus must be one of .* got 'minmax'"):
        Guide.from_displacements(base, scouts, focus="minmax")


# Algebra


def test_the_product_multiplies_and_names_what_either_names():
    one = Guide({"a": 0.5, "b": torch.tensor([1.0, 2.0])})
    other = Guide({"b": torch.tensor([[0.0], [3.0]]), "c": 0.25})
    product = one * other
    assert list(product) == ["a", "b", "c"]
    assert product["b"].tolist() == [[0, 0], [3, 6]]
    assert (product["a"].item(), product["c"].item()) == (0.5, 0.25)
    assert one * 2 == 2 * one == Guide({"a": 1.0, "b": torch.tensor([2.0, 4.0])})
    with pytest.raises(ValueError, match=r"'b' do not broadcast: \(2,\) and \(3,\)"):
        one * Guide({"b": torch.ones(3)})
    with pytest.raises(TypeError):
        one * "2"


def test_clip_and_sparsify():
    guide = Guide({"w": torch.tensor([0.0, 0.1, 0.2, 3.0])})
    assert guide.clip()["w"].tolist() == pytest.approx([0, 0.1, 0.2, 1])
    assert guide.clip(0.1, 2)["w"].tolist() == pytest.approx([0.1, 0.1, 0.2, 2])
    assert guide.sparsify()["w"].tolist() == pytest.approx([0, 0, 0.2, 3])


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        ("freezing", [0, 0, 0, 1]),
        ("icy", [0, 0, 0.5, 1]),
        ("chilly", [0, 0.25, 0.75, 1]),
        ("room", [0, 0.25, 0.75, 1]),
        ("warm", [0.5, 0.625, 0.875, 1]),
        ("evaporating", [1, 1.0625, 1.1875, 1.25]),
    ],
)
def test_temperatures(temperature, expected):
    guide = Guide(
        {"w": torch.tensor([0, 0.25, 0.75, 1]), "open": 1.0, "frozen": torch.zeros(3)}
    )
    tempered = guide.temper(temperature)
    assert tempered["w"].tolist() == expected
    # Tensors of equal values: what is open stays open, what is frozen stays frozen.
    assert tempered["open"].item() == expected[-1]
    assert tempered["frozen"].tolist() == [0, 0, 0]


def test_freezing_keeps_one_in_a_hundred_and_no_zeros():
    values = torch.arange(1000.0) / 1000
    assert Guide({"w": values}).temper("freezing")["w"].sum() == 11  # from rank 990 on
    values[:995] = 0
    assert Guide({"w": values}).temper("freezing")["w"].sum() == 5


def test_a_line_takes_the_place_of_a_temperature():
    guide = Guide({"w": torch.tensor([0.0, 0.5, 1.0])})
    assert guide.temper(slope=2, intercept=0.5)["w"].tolist() == [0, 0.5, 1.5]
    with pytest.raises(ValueError, match="temperature must be one of.*got 'hot'"):
        guide.temper("hot")
    for wrong in ({}, {"slope": 1.0}, {"temperature": "icy", "slope": 1.0}):
        with pytest.raises(ValueError, match="either temperature or both slope"):
            guide.temper(**wrong)
