"""How learning rates change while a net learns."""

import numpy as np
import pytest
import torch

from sklearn_memgen.training import (
    SCHEDULES,
    ArrayTensors,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    schedule_factor,
)


@pytest.mark.parametrize(("schedule", "top"), [("cosine", 0.05), ("linear", 0.1)])
def test_rates_rise_to_the_whole_and_fall_to_zero(schedule, top):
    steps = np.linspace(0, 1, 201)
    factors = np.array([schedule_factor(schedule, step) for step in steps])
    assert factors[0] == 0
    assert factors[-1] == pytest.approx(0)
    assert steps[factors.argmax()] == pytest.approx(top)
    assert factors.max() == pytest.approx(1)
    assert (np.diff(factors[steps <= top]) > 0).all()
    assert (np.diff(factors[steps >= top]) < 0).all()


def test_the_linear_schedule_has_two_slopes():
    for progress, factor in ((0.02, 0.2), (0.325, 0.75), (0.775, 0.25)):
        assert schedule_factor("linear", progress) == pytest.approx(factor)
    assert schedule_factor("constant", 0.01) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_net_in_a_stack_has_the_rates_that_it_has_alone(schedule):
    X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    data = ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())

    def make_net():
        return ResidentNet(
            torch.nn.Linear,
            module__in_features=3,
            module__out_features=2,
            lr=0.05,
            batch_size=16,
            max_epochs=4,
            schedule=schedule,
            device="cpu",
            verbose=0,
        )

    results = {}
    for strategy in ("stacked", "sequential"):
        members = [Member(make_net, data, seed=seed) for seed in range(3)]
        population = Population(members, strategy=strategy, device="cpu")
        population.train()
        results[strategy] = list(population)
    for one, other in zip(*results.values(), strict=True):
        rates = one.history["learning_rate"].to_numpy()
        np.testing.assert_allclose(rates, other.history["learning_rate"])
        assert (len(set(rates)) == 1) is (schedule == "constant")
        torch.testing.assert_close(one.net.module_.weight, other.net.module_.weight)
