"""A small source of digits, and what starts from it."""

from functools import cache

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from sklearn_memgen import GuidedTransferClassifier, SourceNet

SMALL = {"hidden_layer_sizes": (16, 8), "random_state": 0, "device": "cpu"}
QUICK = {"max_epochs": 3, "scout_epochs": 2}


@cache
def named_digits():
    """Return digits as a table, and their labels."""
    X, y = load_digits(return_X_y=True)
    return pd.DataFrame(X, columns=[f"pixel_{j}" for j in range(64)]), y


@cache
def digit_source():
    """Return a source of the digits 0 to 5, and six scouts."""
    X, y = named_digits()
    made = SourceNet(**SMALL, **QUICK, objective="supervised", n_scouts=6)
    return made.fit(X[y < 6], y[y < 6])


@cache
def few_digits():
    """Return five rows of each of four digits that the source has not seen."""
    X, y = named_digits()
    rows = np.concatenate([np.flatnonzero(y == c)[:5] for c in range(6, 10)])
    return X.iloc[rows], y[rows]


def parameters_of(model):
    return {n: p.detach().clone() for n, p in model.net_.module_.named_parameters()}


def still(source, **params):
    """Return a classifier that learns next to nothing, so that it shows its start."""
    return GuidedTransferClassifier(
        source=source,
        optimizer=torch.optim.SGD,
        learning_rate=1e-30,
        max_epochs=1,
        random_state=0,
        device="cpu",
        **params,
    )
