"""Nets that predict masked cells: what counts in the loss, and what does not."""

import pytest
import torch
import torch.nn.functional as F

from sklearn_memgen.nets import (
    DeepPart,
    HeadedNet,
    MaskedArrayNet,
    MaskedTableNet,
    PrototypeNet,
    TableBody,
    count_features,
    draw_mask,
    inherit_body,
)

OFFSETS = [0, 4, 9]  # two id columns: unknown, missing, and two or three values


def make_net(mask_rate=0.3):
    torch.manual_seed(0)
    body = TableBody(
        bin_edges=[[-1.0, 0.0, 1.0]],
        missing=[True],
        id_offsets=OFFSETS,
        hidden_layer_sizes=(16, 8),
    )
    return MaskedTableNet(
        body,
        id_offsets=OFFSETS,
        number_edges=[[-0.5, 0.5]],
        number_cells=[0],
        id_cells=[1, 2],
        mask_rate=mask_rate,
    )


def make_rows(n_rows=6):
    numbers = torch.linspace(-1, 1, n_rows)[:, None]
    ids = torch.stack([torch.arange(n_rows) % 2 + 2, torch.arange(n_rows) % 3 + 6], 1)
    return numbers, ids.int()


def test_the_loss_is_the_cross_entropy_of_each_masked_cell():
    """Column by column, as torch computes it."""
    net = make_net()
    numbers, ids = make_rows()
    masked = torch.zeros(6, 3, dtype=torch.bool)
    masked[0, 0] = masked[1, 1] = masked[2, 2] = masked[3, 1] = masked[3, 2] = True
    hidden = numbers.masked_fill(masked[:, :1], torch.nan)
    unknown = torch.where(masked[:, 1:], torch.tensor([0, 4]), ids)
    logits = net.decoder(net.body(hidden, unknown))
    parts = logits.split([3, 4, 5], dim=1)
    expected = torch.zeros(6)
    bins = torch.bucketize(numbers[:, 0], torch.tensor([-0.5, 0.5]))
    targets = [bins, ids[:, 0].long(), ids[:, 1].long() - 4]
    for column, (part, target) in enumerate(zip(parts, targets, strict=True)):
        losses = F.cross_entropy(part, target, reduction="none")
        expected += torch.where(masked[:, column], losses, 0)
    losses = net(numbers, ids, masked=masked)
    torch.testing.assert_close(losses, expected / (5 / 6))
    assert losses.mean().item() == pytest.approx(expected.sum().item() / 5)


def test_cells_that_are_not_masked_have_no_loss():
    net = make_net()
    numbers, ids = make_rows()
    masked = torch.zeros(6, 3, dtype=torch.bool)
    assert net(numbers, ids, masked=masked).tolist() == [0] * 6
    masked[0, 1] = True
    loss = net(numbers, ids, masked=masked)
    assert loss[0] > 0 and (loss[1:] == 0).all()
    loss.sum().backward()
    moved = net.decoder.bias.grad != 0
    assert moved[3:7].all() and not moved[:3].any() and not moved[7:].any()


def test_missing_and_unknown_values_are_no_targets():
    net = make_net()
    numbers, ids = make_rows()
    numbers[0] = torch.nan
    ids[1, 0], ids[2, 1] = 0, 5  # unknown, missing
    alone = torch.zeros(6, 3, dtype=torch.bool)
    alone[0, 0] = alone[1, 1] = alone[2, 2] = True
    losses = net(numbers, ids, masked=alone)
    assert losses.tolist() == [0] * 6
    losses.sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_columns_of_a_single_value_are_no_targets():
    body = TableBody(
        bin_edges=[[]], missing=[True], id_offsets=[0, 3], hidden_layer_sizes=(4,)
    )
    net = MaskedTableNet(
        body,
        id_offsets=[0, 3],
        number_edges=[[]],
        number_cells=[0],
        id_cells=[1],
        mask_rate=0.5,
    )
    masked = torch.ones(5, 2, dtype=torch.bool)
    losses = net(torch.zeros(5, 1), torch.full((5, 1), 2), masked=masked)
    assert losses.tolist() == [0] * 5


def test_the_net_does_not_see_what_it_predicts():
    net = make_net()
    numbers, ids = make_rows()
    seen = []
    net.body.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    net(numbers, ids, masked=torch.ones(6, 3, dtype=torch.bool))
    blank_numbers, blank_ids = seen[0]
    assert blank_numbers.isnan().all()
    assert (blank_ids == torch.tensor([0, 4])).all()


def test_masks_are_drawn_in_training_at_their_rate():
    net = make_net(mask_rate=0.3)
    numbers, ids = torch.zeros(4000, 1), torch.full((4000, 2), 2)
    drawn = net.draw_inputs({"numbers": numbers, "ids": ids})["masked"]
    assert drawn.shape == (4000, 3)
    assert drawn.float().mean().item() == pytest.approx(0.3, abs=0.02)
    generator = torch.Generator().manual_seed(0)
    first = draw_mask((5, 3), 0.5, generator=generator)
    again = draw_mask((5, 3), 0.5, generator=generator.manual_seed(0))
    assert torch.equal(first, again)


def test_masked_entries_of_arrays_are_zero_and_rebuilt():
    net = MaskedArrayNet(torch.nn.Flatten(), 4, 4, mask_rate=0.5)
    with torch.no_grad():
        net.decoder.weight.zero_()
        net.decoder.bias.fill_(1.0)
    x = torch.full((2, 2, 2), 3.0)
    masked = torch.zeros(2, 2, 2, dtype=torch.bool)
    masked[0, 0, 0] = masked[0, 1, 1] = True
    # Two errors of (1 - 3)^2, all of them in one row of two.
    assert net(x, masked=masked).tolist() == [8.0, 0.0]
    assert net(x).shape == (2, 4)


def test_a_body_of_another_shape_is_refused():
    assert count_features(torch.nn.Flatten(), torch.zeros(2, 3, 4)) == 12
    with pytest.raises(ValueError, match=r"for 2 rows it returned \(2, 3, 4\)"):
        count_features(torch.nn.Identity(), torch.zeros(2, 3, 4))


def test_counting_features_changes_no_running_statistics():
    body = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    assert count_features(body, torch.ones(2, 3)) == 3
    assert body.training and body[0].num_batches_tracked == 0


@pytest.mark.parametrize("n_members", [1, 3])
def test_all_members_begin_with_the_body(n_members):
    """The hidden activations of each are the features of the body."""
    shape = {
        "bin_edges": [[-1.0, 0.0, 1.0]],
        "missing": [True],
        "n_sparse_features": 0,
        "embedding_dim": 8,
        "dropout": 0.0,
    }
    body = make_net().body
    deep = DeepPart(
        5,
        n_ids=9,
        n_id_columns=2,
        hidden_layer_sizes=(16, 8),
        n_members=n_members,
        **shape,
    )
    inherit_body(deep, body.deep)
    numbers, ids = make_rows()
    weight, bias = deep.last_parameters()
    features = body(numbers, ids)
    if n_members == 1:
        expected = features @ weight.T + bias
    else:
        expected = (features @ weight + bias).transpose(0, 1)
    torch.testing.assert_close(deep(numbers, ids), expected)


def test_a_head_draws_and_groups_as_its_body_does():
    body = make_net().body
    body.unknown_rate = 1.0
    net = HeadedNet(body, 8, 3)
    numbers, ids = make_rows()
    drawn = net.draw_inputs({"numbers": numbers, "ids": ids})["ids"]
    assert (drawn == torch.tensor([0, 4])).all()
    assert net.optimizer_groups() == {"sparse": []}
    assert HeadedNet(torch.nn.Flatten(), 4, 2).draw_inputs(numbers) is numbers


def test_a_net_says_whether_its_inputs_are_drawn():
    """So that no random numbers are put in order for nets that draw none."""

    def body(unknown_rate, id_offsets=(0, 4)):
        return TableBody(
            bin_edges=[[-1.0, 1.0]],
            missing=[False],
            id_offsets=id_offsets,
            unknown_rate=unknown_rate,
        )

    assert HeadedNet(body(0.1), 128, 2).draws_inputs
    assert not HeadedNet(body(0.0), 128, 2).draws_inputs
    assert not HeadedNet(body(0.1, id_offsets=(0,)), 128, 2).draws_inputs
    assert not HeadedNet(torch.nn.Flatten(), 4, 2).draws_inputs
    assert PrototypeNet(body(0.1), 128, 2).draws_inputs
