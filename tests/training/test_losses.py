"""Losses and predictions of ensembles."""

import math

import pytest
import torch
import torch.nn.functional as F

from sklearn_memgen.training import pool_logits, pool_outputs
from sklearn_memgen.training.losses import LogisticLoss, RegressionLoss, probabilities


def draw(*shape, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_pool_of_two_classes_has_the_mean_probability():
    logits = draw(20, 5, 1).double()
    pooled = pool_logits(logits)
    assert pooled.shape == (20, 1)
    torch.testing.assert_close(pooled.sigmoid(), logits.sigmoid().mean(dim=1))


def test_the_pool_of_many_classes_has_the_mean_probabilities():
    logits = draw(20, 5, 3).double()
    pooled = pool_logits(logits)
    mean = logits.softmax(dim=2).mean(dim=1)
    torch.testing.assert_close(pooled.exp(), mean)  # normalized already
    torch.testing.assert_close(probabilities(logits), mean)


def test_the_logit_of_the_mean_is_not_the_mean_logit():
    logits = torch.tensor([[[-4.0], [0.0]]])
    mean = (torch.sigmoid(torch.tensor(-4.0)) + 0.5) / 2
    assert pool_logits(logits).item() == pytest.approx(mean.logit().item())
    assert pool_logits(logits).item() > -2


@pytest.mark.parametrize("size", [100.0, 1e4])
def test_pools_of_large_logits_stay_finite(size):
    logits = torch.tensor([[[size], [size]], [[-size], [-size]]])
    assert pool_logits(logits).tolist() == [[size], [-size]]
    assert pool_logits(logits.expand(2, 2, 3)).isfinite().all()


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3)])
def test_a_single_net_is_no_pool(shape):
    logits = draw(*shape)
    assert pool_logits(logits) is logits
    assert pool_outputs(logits, "poisson") is logits


def test_pools_of_numbers():
    outputs = draw(20, 5, 1)
    torch.testing.assert_close(pool_outputs(outputs, "squared_error"), outputs.mean(1))
    rate = pool_outputs(outputs, "poisson").exp()
    torch.testing.assert_close(rate, outputs.exp().mean(1))


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_members_learn_by_themselves_and_are_judged_together(n_outputs):
    """In training the mean of their losses, in evaluation the loss of their mean."""
    logits = draw(20, 4, n_outputs)
    y = torch.arange(20) % max(n_outputs, 2)
    loss = LogisticLoss()
    own = torch.stack([loss(logits[:, k], y) for k in range(4)])
    torch.testing.assert_close(loss.train()(logits, y), own.mean(dim=0))
    right = probabilities(logits)[torch.arange(20), y]
    torch.testing.assert_close(loss.eval()(logits, y).double(), -right.log())
    assert (loss.eval()(logits, y) <= loss.train()(logits, y) + 1e-6).all()  # Jensen


@pytest.mark.parametrize(
    "name", ["squared_error", "absolute_error", "quantile", "poisson"]
)
def test_members_of_a_regressor(name):
    outputs, y = draw(20, 4, 1, scale=1.0), torch.arange(20.0)
    loss = RegressionLoss(name, 0.8)
    own = torch.stack([loss(outputs[:, k], y) for k in range(4)])
    torch.testing.assert_close(loss.train()(outputs, y), own.mean(dim=0))
    together = loss.eval()(outputs, y)
    torch.testing.assert_close(together, loss(pool_outputs(outputs, name), y))
    assert (together <= own.mean(dim=0) + 1e-5).all()


def test_the_loss_of_a_single_net_is_cross_entropy():
    logits, y = draw(6, 3), torch.arange(6) % 3
    expected = F.cross_entropy(logits, y, reduction="none")
    for loss in (LogisticLoss().train(), LogisticLoss().eval()):
        torch.testing.assert_close(loss(logits, y), expected)
    assert math.isclose(probabilities(logits).sum(), 6, rel_tol=1e-6)
