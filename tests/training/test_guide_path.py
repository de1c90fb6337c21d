"""Guides by the distance from the start, and the scouts they are made of."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_memgen.training import (
    AnchorCallback,
    ArrayTensors,
    DisplacementPath,
    Guide,
    GuideCallback,
    GuidePath,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    WayPoints,
    train,
)
from sklearn_memgen.training.guide_path import rms_distance


def make_data():
    X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    return ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())


def make_net(epochs=6, optimizer=torch.optim.Adam):
    torch.manual_seed(0)
    return ResidentNet(
        nn.Linear(3, 2),
        optimizer=optimizer,
        lr=0.1,
        batch_size=40,
        max_epochs=epochs,
        verbose=0,
    )


def trained(callbacks, **params):
    net = make_net(**params).initialize()
    train(net, make_data(), None, callbacks=callbacks)
    return net


def free_then_frozen(distance):
    open_, shut = Guide({"weight": 1.0, "bias": 1.0}), Guide({"weight": 0, "bias": 0})
    return GuidePath([open_, shut], [distance])


# The path


def test_the_guide_is_that_of_the_distance():
    guides = [Guide({"w": value}) for value in (0.1, 0.2, 0.3)]
    path = GuidePath(guides, [1.0, 2.0])
    at = [path.at(d)["w"].item() for d in (0.0, 0.99, 1.0, 1.5, 2.0, 1e9)]
    assert at == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    doubled = path.map(lambda guide: guide * 2.0)
    assert doubled.at(1.0)["w"].item() == 0.4
    assert doubled.distances == path.distances and len(doubled) == 3
    assert path == GuidePath(guides, (1, 2)) != doubled
    assert pickle.loads(pickle.dumps(path)) == path
    assert repr(path) == "GuidePath of 3 guides, from distances 0, 1, 2 on"


@pytest.mark.parametrize(
    ("guides", "distances", "says"),
    [
        ([], [], "guides is empty"),
        ([Guide({"w": 1})], [1.0], "1 guides need 0 distances"),
        ([Guide({"w": 1})] * 2, [0.0], "positive and ascending"),
        ([Guide({"w": 1})] * 3, [2.0, 1.0], "positive and ascending"),
        ([Guide({"w": 1})] * 2, [float("nan")], "positive and ascending"),
        ([Guide({"w": 1}), Guide({"v": 1})], [1.0], "the same parameters"),
    ],
)
def test_a_path_that_is_none_is_refused(guides, distances, says):
    with pytest.raises(ValueError, match=says):
        GuidePath(guides, distances)


def test_the_distance_is_the_root_mean_square():
    start = {"w": torch.zeros(3), "v": torch.ones(1)}
    now = {"w": torch.tensor([3.0, 0, 0]), "v": torch.ones(1), "head": torch.ones(9)}
    assert rms_distance(now, start) == pytest.approx(1.5)
    assert rms_distance(now, {}) == 0.0


# Training along it


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_net_changes_its_guide_with_the_first_epoch_beyond_the_distance(optimizer):
    free = WayPoints(range(1, 7))
    trained([free], optimizer=optimizer)
    start = dict(make_net().initialize().module_.named_parameters())
    distances = [rms_distance(point, start) for point in free.points]
    assert distances == sorted(distances)
    held = WayPoints(range(1, 7))
    # Two epochs end before this distance, and the third ends beyond it.
    callback = GuideCallback(free_then_frozen(np.mean(distances[1:3])))
    trained([callback, held], optimizer=optimizer)
    for epoch in range(3):
        assert torch.equal(held.points[epoch]["weight"], free.points[epoch]["weight"])
    for epoch in range(3, 6):
        assert torch.equal(held.points[epoch]["weight"], held.points[2]["weight"])


def test_the_distance_is_measured_from_a_given_start():
    far = {"weight": torch.full((2, 3), 100.0)}  # the bias does not count
    callback = GuideCallback(free_then_frozen(50.0), start=far)
    before = make_net().initialize().module_.weight
    assert torch.equal(trained([callback]).module_.weight, before)
    near = {"weight": before.detach()}
    callback = GuideCallback(free_then_frozen(50.0), start=near)
    free = trained([]).module_.weight
    assert torch.equal(trained([callback]).module_.weight, free)


def test_a_path_of_one_guide_is_the_guide():
    guide = Guide({"weight": 0.3, "bias": 0.1})
    path = GuideCallback(GuidePath([guide], []))
    expected = trained([GuideCallback(guide)]).module_
    assert torch.equal(trained([path]).module_.weight, expected.weight)


def test_an_anchor_behind_a_changing_guide_obeys_it():
    net = make_net().initialize()
    anchor = AnchorCallback(1.0, {"weight": torch.full((2, 3), 9.0)})
    callback = GuideCallback(free_then_frozen(1e-6))
    points = WayPoints(range(1, 7))
    train(net, make_data(), None, callbacks=[callback, anchor, points])
    first, last = points.points[0]["weight"], points.points[-1]["weight"]
    assert torch.equal(first, last)  # frozen, whatever pulls


def test_nothing_is_left_behind():
    callback = GuideCallback(free_then_frozen(1e-6))
    net = trained([callback])
    assert not net.optimizer_._optimizer_step_pre_hooks
    assert set(vars(callback)) == {"guide", "apply_to", "start", "guide_", "place_"}
    pickle.dumps(net)


def test_stacked_nets_follow_their_own_paths():
    data = make_data()
    paths = [free_then_frozen(0.05 * (k + 1)) for k in range(9)]

    def weights(strategy):
        members = [
            Member(make_net, data, seed=k, callbacks=[GuideCallback(path)])
            for k, path in enumerate(paths)
        ]
        population = Population(members, strategy=strategy).train()
        assert {result.strategy for result in population} == {strategy}
        return [net.module_.weight for net in population.nets_]

    for one, other in zip(weights("stacked"), weights("sequential"), strict=True):
        torch.testing.assert_close(one, other)


# Scouts on their way


def test_stages_are_measured_from_where_the_one_before_ended():
    base = {"w": torch.tensor([1.0, 1.0]), "b": torch.zeros(2)}
    way = [
        {"w": torch.tensor([2.0, 1.0]), "b": torch.zeros(2)},
        {"w": torch.tensor([2.0, 4.0]), "b": torch.zeros(2)},
    ]
    path = DisplacementPath(base, 2).add(way).add(way)
    assert path.n_scouts == 2
    np.testing.assert_allclose(path.distances(), [(1 / 4) ** 0.5, (10 / 4) ** 0.5])
    np.testing.assert_allclose(path.only("w").distances(), [0.5**0.5, 5**0.5])
    raw = path.only("w").guide(focus="raw")
    assert raw.at(0.0)["w"].tolist() == [1.0, 0.0]
    assert raw.at(1.0)["w"].tolist() == [0.0, 9.0]
    assert raw.distances == pytest.approx([0.5**0.5])
    assert "2 stages by 2 scouts" in repr(path)


def test_one_stage_is_the_displacement():
    base = {"w": torch.zeros(3)}
    path = DisplacementPath(base, 1).add([{"w": torch.tensor([1.0, 2.0, 3.0])}])
    assert path.guide() == GuidePath([path.stages[0].guide()], [])


def test_scouts_that_come_back_leave_no_stage_of_its_own():
    base = {"w": torch.zeros(2)}
    points = [
        torch.tensor([2.0, 0.0]),
        torch.tensor([1.0, 0.0]),
        torch.tensor([3.0, 1]),
    ]
    path = DisplacementPath(base, 3).add([{"w": point} for point in points])
    guides = path.guide(focus="raw")
    assert len(guides) == 2  # the third would begin nearer than the second
    assert guides.at(9.0)["w"].tolist() == [1.0, 0.0]


def test_another_number_of_points_is_refused():
    path = DisplacementPath({"w": torch.zeros(2)}, 2)
    with pytest.raises(ValueError, match="1 points on its way; there are 2 stages"):
        path.add([{"w": torch.ones(2)}])
    with pytest.raises(ValueError, match="is not finite"):
        path.add([{"w": torch.ones(2)}, {"w": torch.tensor([1.0, torch.inf])}])
    assert path.n_scouts == 0 and path.distances() == [0.0, 0.0]


def test_way_points_are_copies_of_the_epochs_asked_for():
    some, every = WayPoints([2, 5]), WayPoints(range(1, 7))
    trained([some, every])
    for point, epoch in zip(some.points, (2, 5), strict=True):
        assert torch.equal(point["weight"], every.points[epoch - 1]["weight"])
    assert not torch.equal(some.points[0]["weight"], some.points[1]["weight"])
