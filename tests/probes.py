"""A small probe, and labels of known mistakes."""

import numpy as np
from torch import nn

from sklearn_memgen import NoisyFineTuneProbe

LEVELS = (0.0, 0.2, 0.4)


class MLP(nn.Sequential):
    """A user's own module."""

    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, n_classes))


def small_probe(**params):
    defaults = {"noise_levels": (0.0, 0.3), "max_epochs": 4, "random_state": 0}
    return NoisyFineTuneProbe(**(defaults | params))


def make_blobs(n_rows=600, n_wrong=None, n_classes=3, seed=0):
    """Return numbers whose classes are plain, some of them wrong, and which."""
    random = np.random.RandomState(seed)
    true = random.randint(n_classes, size=n_rows)
    X = random.normal(size=(n_rows, 4))
    X[np.arange(n_rows), true] += 4
    wrong = np.zeros(n_rows, dtype=bool)
    n_wrong = n_rows // 10 if n_wrong is None else n_wrong
    wrong[random.choice(n_rows, n_wrong, replace=False)] = True
    labels = np.where(wrong, (true + 1) % n_classes, true)
    return X, np.array(["ash", "elm", "oak"])[labels], true, wrong
