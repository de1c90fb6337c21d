"""
Which rows a model knows by heart
=================================

A net that is right on all its training rows has learned some of them and memorized
others. Here some labels of a real table are made wrong, nets learn random subsets of
it, and :func:`~sklearn_memgen.inspection.memorization_scores` says which rows are known
only by those that have seen them.
"""

# %%
# A table with wrong labels
# -------------------------
#
# 569 tumors, 30 measures of each. Twelve labels are swapped; the model is not told.

import numpy as np
from sklearn.datasets import load_breast_cancer

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
y = y.map({0: "malignant", 1: "benign"})
wrong = np.random.default_rng(0).choice(len(y), 12, replace=False)
y.iloc[wrong] = y.iloc[wrong].map({"malignant": "benign", "benign": "malignant"})

# %%
# Nets that learn to the end, and as they do by default
# -----------------------------------------------------
#
# Trained to the end, a small net learns all of the table by heart.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier
from sklearn_memgen.inspection import memorization_scores

net = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2))
params = {"learning_rate": 0.01, "max_epochs": 60, "device": "cpu"}
to_the_end = make_pipeline(
    StandardScaler(), NetClassifier(net, early_stopping=False, **params)
)
scores = memorization_scores(to_the_end, X, y, n_models=60, random_state=0)
scores.plot()

# %%
# The rows at the right are those with wrong labels, and a few real ones.

frame = scores.to_frame()
memorized = frame.nlargest(15, "memorization")
memorized.assign(is_wrong=memorized.index.isin(wrong)).drop(columns=["n_in", "n_out"])

# %%
# Stopped early, the same net hardly memorizes: it is right on fewer of its own rows,
# and on as many others.

import pandas as pd

stopped = make_pipeline(StandardScaler(), NetClassifier(net, **params))
early = memorization_scores(stopped, X, y, n_models=60, random_state=0).to_frame()
right = ~frame.index.isin(wrong)
pd.DataFrame(
    {
        name: {
            "memorized rows": (table["memorization"] >= 0.25).mean(),
            "right on rows learned": table["correct_in"].mean(),
            "right on others, true labels": table["correct_out"][right].mean(),
        }
        for name, table in (("to the end", frame), ("stopped early", early))
    }
).round(3)

# %%
# How sure that is
# ----------------
#
# Each score has a standard error, and two disjoint halves of the nets can be compared.

print(f"median standard error {frame['std_error'].median():.3f}")
print(f"rank correlation of two halves {scores.agreement():.2f}")
