"""Losses of numeric targets, and the net that has them."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)
from skorch.callbacks import EpochScoring

from sklearn_memgen.training import (
    ArrayTensors,
    RegressionLoss,
    ResidentDataset,
    ResidentRegressionNet,
)


@pytest.mark.parametrize(
    ("loss", "metric"),
    [
        ("squared_error", lambda y, z: mean_squared_error(y, z) / 2),
        ("absolute_error", mean_absolute_error),
        ("quantile", lambda y, z: mean_pinball_loss(y, z, alpha=0.8)),
        ("poisson", lambda y, z: mean_poisson_deviance(y, np.exp(z)) / 2),
    ],
)
@pytest.mark.parametrize("shape", [(50,), (50, 1)])
def test_losses_are_those_of_scikit_learn(loss, metric, shape):
    """And there is one for each row, whether the module returns a column or not."""
    rng = np.random.default_rng(0)
    y = rng.poisson(1.5, 50).astype(np.float32)
    z = rng.normal(size=50).astype(np.float32)
    losses = RegressionLoss(loss, 0.8)(
        torch.from_numpy(z).view(shape), torch.from_numpy(y)
    )
    assert losses.shape == (50,)
    assert losses.mean().item() == pytest.approx(metric(y, z), rel=1e-5)


def test_the_loss_of_half_precision_is_computed_in_float32():
    outputs = torch.full((4, 1), 1000.0, dtype=torch.bfloat16)
    losses = RegressionLoss()(outputs, torch.full((4,), 999.0))
    torch.testing.assert_close(losses, torch.full((4,), 0.5))


def test_callbacks_score_numbers_not_classes():
    """skorch's scoring sees outputs, where a classifier's net would give classes."""
    X = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    data = ResidentDataset(ArrayTensors({"": X}), 2 * X[:, 0])
    net = ResidentRegressionNet(
        torch.nn.Linear(3, 1),
        lr=0.1,
        max_epochs=30,
        verbose=0,
        callbacks=[EpochScoring("r2", name="r2", on_train=True)],
    )
    net.fit(data)
    assert net.predict(data).shape == (300,)
    assert net.history[-1]["r2"] > 0.95
