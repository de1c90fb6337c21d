"""
Wide and narrow minima
======================

Two nets fit the same images of digits. One was trained in small batches, one in large
ones. Which of them is in the wider valley, and is there a way from one to the other?
"""

# %%
# Two nets
# --------
#
# Both have the same first weights, the same optimizer and as many epochs.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_memgen import NetClassifier


class Perceptron(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=32):
        super().__init__(
            nn.Linear(n_features, n_units),
            nn.ReLU(),
            nn.Linear(n_units, n_units),
            nn.ReLU(),
            nn.Linear(n_units, n_classes),
        )


X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)
nets = {
    f"batches of {size}": NetClassifier(
        Perceptron,
        optimizer="adam",
        weight_decay=0,
        batch_size=size,
        max_epochs=30,
        early_stopping=False,
        random_state=0,
    ).fit(X_train, y_train)
    for size in (16, 128)
}

# %%
# Sharpness
# ---------
#
# Five measures of how fast the loss rises around the weights, on the rows that were
# learned.

import pandas as pd

from sklearn_memgen.inspection import SharpnessDisplay, sharpness

found = {
    name: sharpness(net, X_train, y_train, random_state=0) for name, net in nets.items()
}
pd.DataFrame(
    {
        name: result.values
        | {"training loss": result.loss, "test": nets[name].score(X_test, y_test)}
        for name, result in found.items()
    }
).round(4)

# %%
# The net of large batches is in the sharper minimum. But it also fits its rows less
# closely, as it took fewer steps, and where the loss is larger curvatures mostly are:
# this alone is no reason to prefer the other.

import matplotlib.pyplot as plt

SharpnessDisplay(found).plot()
plt.show()

# %%
# Around each net
# ---------------
#
# Random directions, each filter as long as that of the weights. The same seed gives
# both nets the same random numbers.

from sklearn_memgen.inspection import loss_landscape

fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, (name, net) in zip(axes, nets.items(), strict=True):
    landscape = loss_landscape(
        net, X_train, y_train, dimensions=2, n_points=15, random_state=0
    )
    landscape.plot(ax)
    ax.set_title(f"{name}: loss, nats", loc="left", fontsize=10)
plt.show()

# %%
# Between the nets
# ----------------
#
# Both began with the same weights. This is the line from one to the other, on test
# rows. The barrier is its highest point minus the mean of both ends; where the ends
# differ, as here, the line may rise from one to the other without any hill between.

small, large = nets.values()
line = loss_landscape(small, X_test, y_test, other=large, span=0.3)
line.plot()
plt.show()
line.barrier

# %%
# A layer times ten
# -----------------
#
# Multiply the first layer by ten, divide the second by ten: no prediction changes, and
# yet all measures do, except for the adaptive one.

import copy

import torch

scaled = copy.deepcopy(small)
first, _, second, *_ = scaled.net_.module_
with torch.no_grad():
    first.weight *= 10
    first.bias *= 10
    second.weight /= 10
again = sharpness(scaled, X_train, y_train, random_state=0)
pd.DataFrame(
    {"as it was": found["batches of 16"].values, "scaled": again.values}
).round(4)
