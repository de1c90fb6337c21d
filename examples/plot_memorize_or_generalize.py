"""
Memorize or generalize?
=======================

A table in which each row is known to be *general* (it follows a smooth rule), an
*exception* (its pair of categories always has the same label, against the rule) or
*noise* (its label is wrong) shows what a model memorizes and what it generalizes.
"""

# %%
# The table
# ---------
#
# Most rows follow the rule. The exceptions are pairs of `cat_0` and `cat_1` that come
# back about ten times each: few, but worth knowing by heart. Noise is not worth it.

from sklearn.model_selection import train_test_split

from sklearn_memgen.datasets import make_memgen_classification

X, y, parts = make_memgen_classification(
    n_samples=6_000, random_state=0, return_parts=True
)
X_train, X_test, y_train, y_test, _, parts_test = train_test_split(
    X, y, parts, stratify=parts, random_state=0
)
parts.value_counts()

# %%
# Wide, deep, and both
# --------------------
#
# All three are settings of one estimator. `crosses` gives each pair of categories a
# weight in the wide part; `hidden_layer_sizes=()` leaves the deep part out, and
# `wide=False` the wide part. The pairs are rare, and rare weights move slowly: a
# `wide_learning_rate` above its default lets them be learned before the deep part
# overfits.

import pandas as pd

from sklearn_memgen import WideDeepClassifier

memorize_pairs = {"crosses": [("cat_0", "cat_1")], "wide_learning_rate": 0.5}
models = {
    "wide only": WideDeepClassifier(
        hidden_layer_sizes=(), random_state=0, **memorize_pairs
    ),
    "deep only": WideDeepClassifier(wide=False, crosses=(), random_state=0),
    "wide & deep": WideDeepClassifier(random_state=0, **memorize_pairs),
}
accuracy = {}
for name, model in models.items():
    right = model.fit(X_train, y_train).predict(X_test) == y_test
    accuracy[name] = right.groupby(parts_test).mean()
accuracy = pd.DataFrame(accuracy).loc[["general", "exception", "noise"]]
accuracy.round(3)

# %%
# On noise rows a low accuracy is the good one: the label in the table is wrong, and the
# rule would have been right.

import matplotlib.pyplot as plt

colors = ["#E69F00", "#0072B2", "#009E73"]
ax = accuracy.plot.bar(color=colors, rot=0, width=0.75, figsize=(7, 3.6))
for bars in ax.containers:
    ax.bar_label(bars, fmt="{:.2f}", padding=2, fontsize=8)
ax.set(xlabel="kind of row", ylabel="accuracy on test rows", ylim=(0, 1.1))
ax.set_title("Who knows the exceptions?", pad=28)
ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
ax.spines[["top", "right"]].set_visible(False)
plt.tight_layout()

# %%
# What was memorized
# ------------------
#
# The wide part can be read: a line for each value and each pair, with its weight on the
# log-odds of class 1 and the number of training rows behind it.

joint = models["wide & deep"]
joint.wide_weights_.head(8)

# %%
# They are the exceptions: as many pairs as there are exceptions, those of the largest
# weights, and all other pairs have this share of exceptions among them.

exceptions = X[parts == "exception"]
words = set("cat_0=" + exceptions["cat_0"] + " & cat_1=" + exceptions["cat_1"])
weights = joint.wide_weights_
pairs = weights[weights["feature"].str.contains(" & cat_1=level_", regex=False)]
is_exception = pairs["feature"].isin(words)
pd.Series(
    {
        f"the {len(words)} largest": is_exception[: len(words)].mean(),
        f"the other {len(pairs) - len(words)}": is_exception[len(words) :].mean(),
    }
).round(2)

# %%
# How they learned
# ----------------
#
# `history_` has a row for each epoch. Training stops when the loss on held-out rows no
# longer falls, and the model goes back to its best epoch.

fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
for ax, color, (name, model) in zip(axes, colors, models.items(), strict=True):
    history = model.history_.set_index("epoch")
    ax.plot(history["train_loss"], color=color, linestyle="--", label="training rows")
    ax.plot(history["valid_loss"], color=color, label="held-out rows")
    best = history["valid_loss"].idxmin()
    ax.plot(best, history["valid_loss"][best], "o", color=color, label="best epoch")
    ax.set(title=name, xlabel="epoch")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("log-loss")
axes[-1].legend(frameon=False)
plt.show()
