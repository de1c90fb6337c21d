"""Masks keep exactly as many weights as stated, those that score most, for good."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_memgen.nets import WideDeep
from sklearn_memgen.nets.members import MemberLinear
from sklearn_memgen.training import (
    PruningRule,
    full_masks,
    mask_distance,
    prunable_weights,
    random_masks,
)
from sklearn_memgen.training.pruning import CRITERIA, SCOPES


def make_layers(seed, sizes=((6, 5), (4, 6), (3, 4))):
    generator = torch.Generator().manual_seed(seed)
    # Of few values, so that there are ties.
    return {
        f"layer{k}": torch.randint(-3, 4, size, generator=generator).float()
        for k, size in enumerate(sizes)
    }


def ones(layers):
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in layers.items()}


@given(
    seed=st.integers(0, 1000),
    rate=st.floats(0.01, 0.5),
    output_rate=st.one_of(st.none(), st.floats(0.0, 0.5)),
    scope=st.sampled_from(SCOPES),
    criterion=st.sampled_from(CRITERIA),
)
@settings(max_examples=100, deadline=None)
def test_counts_are_exact_and_what_is_pruned_stays_pruned(
    seed, rate, output_rate, scope, criterion
):
    rule = PruningRule(rate, output_rate, scope, criterion)
    initial, masks = make_layers(seed), ones(make_layers(seed))
    for round_ in range(3):
        final = make_layers(seed + round_ + 1)
        before = {name: int(mask.sum()) for name, mask in masks.items()}
        try:
            drawn = rule.draw(masks, final, initial, seed=seed)
        except ValueError as error:
            assert "pruned to nothing" in str(error)
            return
        after = {name: int(mask.sum()) for name, mask in drawn.items()}
        own = rate if output_rate is None else output_rate
        if scope == "layer":
            expected = {n: round(k * (1 - rate)) for n, k in before.items()}
            expected["layer2"] = round(before["layer2"] * (1 - own))
            assert after == expected
        elif output_rate is None:
            total = round(sum(before.values()) * (1 - rate))
            assert sum(after.values()) == total
        else:
            hidden = before["layer0"] + before["layer1"]
            assert after["layer0"] + after["layer1"] == round(hidden * (1 - rate))
            assert after["layer2"] == round(before["layer2"] * (1 - own))
        for name, mask in drawn.items():
            assert not (mask & ~masks[name]).any()
        masks = drawn


def test_the_counts_of_the_paper():
    """LeNet-300-100 by 20 % and 10 % a round."""
    sizes = {"fc1": 235_200, "fc2": 30_000, "fc3": 1_000}
    n_remaining = dict(sizes)
    for share in (80.0, 64.1, 51.3, 41.1, 32.9, 26.3, 21.1, 16.9, 13.5):
        counts = PruningRule().counts(n_remaining)
        n_remaining = {group[0]: n for group, n in counts.items()}
        total = 100 * sum(n_remaining.values()) / 266_200
        assert total == pytest.approx(share, abs=0.06)
    assert PruningRule().strength_for(sizes, 0.135) == pytest.approx(9, abs=0.02)


@pytest.mark.parametrize(
    ("criterion", "kept"),
    [
        ("magnitude", [True, False, False, True]),
        ("magnitude_increase", [False, True, True, False]),
        ("movement", [True, False, True, False]),
    ],
)
def test_criteria_keep_what_scores_most(criterion, kept):
    initial = {"w": torch.tensor([4.0, 0.0, 2.0, -5.0])}
    final = {"w": torch.tensor([-3.0, 1.0, -2.5, -4.0])}
    rule = PruningRule(0.5, None, criterion=criterion)
    assert rule.draw(ones(final), final, initial)["w"].tolist() == kept


def test_random_is_fixed_by_the_seed():
    layers = {"w": torch.zeros(100)}
    rule = PruningRule(0.5, None, criterion="random")
    draws = [rule.draw(ones(layers), layers, layers, seed=k)["w"] for k in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_of_ties_the_first_are_kept():
    layers = {"w": torch.ones(2, 3)}
    mask = PruningRule(0.5, None).draw(ones(layers), layers, layers)["w"]
    assert mask.tolist() == [[True, True, True], [False, False, False]]


def test_global_scope_takes_the_smallest_wherever_they_are():
    final = {
        "a": torch.full((10,), 0.1),
        "b": torch.arange(1.0, 11),
        "c": torch.ones(4),
    }
    final["a"][0] = 20
    drawn = PruningRule(0.5, None, "global").draw(ones(final), final, final)
    assert [int(mask.sum()) for mask in drawn.values()] == [1, 10, 1]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_layer_pruned_to_nothing_is_named(scope):
    final = {"a": torch.zeros(3), "b": torch.ones(30)}
    rule = PruningRule(0.9 if scope == "layer" else 0.5, None, scope)
    with pytest.raises(ValueError, match="'a' would be pruned to nothing: 3"):
        rule.draw(ones(final), final, final)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_cannot_be_ranked(bad):
    final = {"w": torch.tensor([1.0, bad])}
    with pytest.raises(ValueError, match="weights of 'w' are NaN or infinite"):
        PruningRule(0.5, None).draw(ones(final), final, final)


def test_a_share_that_is_never_reached():
    with pytest.raises(ValueError, match="remaining=0.01 is never reached"):
        PruningRule(0.2, 0.0).strength_for({"a": 10, "b": 10}, 0.01)


@pytest.mark.parametrize("name", ["scope", "criterion"])
def test_unknown_options(name):
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        PruningRule(**{name: "weight"})


def test_what_can_be_pruned():
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.BatchNorm1d(4),
        nn.Flatten(),
        nn.Linear(8, 5),
        MemberLinear(2, 5, 3),
    )
    assert list(prunable_weights(net)) == ["0.weight", "3.weight", "4.weight"]
    assert all(mask.all() for mask in full_masks(net).values())
    net[3].weight.requires_grad_(False)
    assert list(prunable_weights(net)) == ["0.weight", "4.weight"]


def test_of_wide_and_deep_the_layers_of_the_deep_part():
    net = WideDeep(
        2, bin_edges=[[-1.0, 1.0]], missing=[False], id_offsets=[0, 4],
        n_deep_id_columns=1, hidden_layer_sizes=(8,), n_members=2,
    )  # fmt: skip
    assert list(prunable_weights(net)) == [
        "deep.layers.0.weight",
        "deep.layers.3.weight",
    ]


def test_a_net_without_layers_to_prune():
    with pytest.raises(ValueError, match="Sequential has no layer that can be pruned"):
        prunable_weights(nn.Sequential(nn.Embedding(4, 3), nn.LayerNorm(3)))


def test_random_masks_keep_as_many():
    masks = {"a": torch.arange(40).view(5, 8) < 7, "b": torch.ones(3, dtype=torch.bool)}
    drawn = random_masks(masks, seed=0)
    assert {n: int(m.sum()) for n, m in drawn.items()} == {"a": 7, "b": 3}
    assert not torch.equal(drawn["a"], masks["a"])
    again = random_masks(masks, seed=0)
    assert torch.equal(drawn["a"], again["a"])


def test_distance_of_masks_is_the_share_that_is_new():
    before = {"w": torch.tensor([True, True, True, True, False])}
    one = {"w": torch.tensor([True, True, False, False, False])}
    other = {"w": torch.tensor([True, False, True, False, False])}
    assert mask_distance(one, one, before) == 0
    assert mask_distance(one, other, before) == 0.5
    assert mask_distance(before, before, before) == 0
