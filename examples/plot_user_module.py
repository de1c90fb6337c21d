"""
A module of your own
====================

:class:`~sklearn_memgen.NetClassifier` makes a scikit-learn classifier of any torch
module. Here it is a small convolutional net on images of digits, scored by
cross-validation beside a linear model.
"""

# %%
# Images keep their shape
# -----------------------
#
# Without an encoder the module sees the array as it is, so that images can be arrays of
# shape (n, 1, 8, 8). Types, lengths and missing values are checked all the same.

from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 1, 8, 8) / 16
X.shape

# %%
# The module
# ----------
#
# It returns logits. `n_classes` is in its signature, so the classifier fills it in; the
# other arguments are parameters.

from torch import nn


class SmallConvNet(nn.Sequential):
    def __init__(self, n_classes, n_channels=16):
        super().__init__(
            nn.Conv2d(1, n_channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(n_channels, 2 * n_channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * n_channels * 4, n_classes),
        )


# %%
# Cross-validation
# ----------------
#
# From here on it is an estimator like any other.

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from sklearn_memgen import NetClassifier

conv = NetClassifier(
    SmallConvNet, module_params={"n_channels": 16}, max_epochs=15, random_state=0
)
linear = LogisticRegression(max_iter=1000)
pd.DataFrame(
    {
        "convolutional net": cross_val_score(conv, X, y, cv=3),
        "logistic regression": cross_val_score(linear, X.reshape(-1, 64), y, cv=3),
    },
    index=pd.Index([1, 2, 3], name="fold"),
).round(3)

# %%
# Where it errs
# -------------
#
# Predictions and probabilities have scikit-learn's form. These are the test images of
# whose true class the net is least sure.

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
probabilities = conv.fit(X_train, y_train).predict_proba(X_test)
sureness = probabilities[range(len(y_test)), y_test]
fig, axes = plt.subplots(1, 6, figsize=(8, 1.9), layout="constrained")
for ax, i in zip(axes, sureness.argsort(), strict=False):
    ax.imshow(X_test[i, 0], cmap="gray_r")
    ax.set_title(f"{y_test[i]}, taken for {probabilities[i].argmax()}", fontsize=8)
    ax.axis("off")
plt.show()
