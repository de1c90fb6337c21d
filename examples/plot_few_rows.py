"""
A new shop, and a handful of rows
=================================

Customers of many shops, and whether they buy. What they like is the same everywhere,
but for two things: how much price and hour count differs from shop to shop. A new shop
has a few rows of its own. What should a net that knows the other shops change for it,
and what not? :class:`~sklearn_memgen.GuidedTransferClassifier` asks scouts.
"""

# %%
# The shops
# ---------
#
# The table is made up, so that the truth is known. The number of the shop is no column.

import numpy as np
import pandas as pd


def make_shops(n_shops, n_rows, seed):
    rng = np.random.default_rng(seed)
    names = ["price", "hour", *(f"item_{k}" for k in range(8))]
    X = pd.DataFrame(rng.normal(size=(n_rows, 10)).round(2), columns=names)
    shop = rng.integers(n_shops, size=n_rows)
    a, b, c, d, e, f = (X[f"item_{k}"] for k in range(6))
    liked = 1.5 * np.sign(a * b) + 1.5 * abs(c) - 1.2 + np.where(d > 0, e, -f)
    habits = 2.5 * rng.normal(size=(n_shops, 2))[shop]
    liked += (habits * X[["price", "hour"]]).sum(axis=1)
    noise = rng.logistic(scale=0.3, size=n_rows)
    return X, np.where(liked + noise > 0, "buys", "leaves"), shop


X, y, shop = make_shops(n_shops=21, n_rows=8400, seed=0)
new = shop == 20
X.assign(y=y, shop=shop).head(3)

# %%
# A base and its scouts
# ---------------------
#
# The base learns the rows of twenty shops, and what they have in common. Then each
# scout learns those of one shop: `scout_tasks` says which rows these are.

from sklearn_memgen import GuidedTransferClassifier, SourceNet

known_shop = shop[~new]


def one_shop_each(X, y, n_scouts, random_state):
    return [np.flatnonzero(known_shop == number) for number in range(20)]


sizes = (64, 64)
source = SourceNet(
    objective="supervised",
    n_scouts="all",
    scout_tasks=one_shop_each,
    hidden_layer_sizes=sizes,
    n_bins=16,
    max_epochs=10,
    scout_epochs=10,
    random_state=0,
)
source.fit(X[~new], y[~new])
source.scouts_[["task", "n_rows", "accuracy"]].head(3).round(2)

# %%
# What may change
# ---------------
#
# The guide is made of how far the scouts went. It has a multiplier for each parameter;
# of the parameters of a column, the mean:

import matplotlib.pyplot as plt

few = np.flatnonzero(new)[:40]
model = GuidedTransferClassifier(source, head="kept", random_state=0)
model.fit(X.iloc[few], y[few])
guide = model.explain_guide().query("kind == 'feature'").set_index("name")["mean"]
ax = guide[::-1].plot.barh(color="#4477aa", title="How much the net may change")
ax.set(xlabel="mean multiplier", ylabel="")
plt.tight_layout()

# %%
# Nobody told the scouts of price and hour. What the base makes of these two they had to
# change most.
#
# From two rows to fifty
# ----------------------
#
# Three ways to learn the new shop. "From scratch" is such a net from random weights. A
# guide slows a net down, so learning rates are of importance: each way has the one that
# was best, or near it, for other new shops. `head="kept"` goes on with the base's head,
# as the classes are the same.

from sklearn_memgen import FewShotCurveDisplay, WideDeepClassifier

common = {"max_epochs": 30, "early_stopping": False, "random_state": 0}
ways = {
    "guided": GuidedTransferClassifier(
        source, head="kept", learning_rate=0.01, **common
    ),
    "plain transfer": GuidedTransferClassifier(
        source, head="kept", guide=None, learning_rate=0.002, **common
    ),
    "from scratch": WideDeepClassifier(
        wide=False,
        n_members=1,
        hidden_layer_sizes=sizes,
        n_bins=16,
        learning_rate=0.01,
        **common,
    ),
}
display = FewShotCurveDisplay.from_estimators(
    ways, X[new], y[new], shots=(2, 5, 20, 50), n_episodes=10, random_state=0
)
display.plot()

# %%
# Guided is ahead of plain transfer where rows are few, and the two meet as they become
# more. Episode by episode:

from sklearn_memgen import compare_shots

compare_shots(display.curve, reference="plain transfer").round(3)

# %%
# This table was made for the idea: shops differ in little, and always in the same
# columns. Where a new group differs in anything at all, or in nothing, a guide may
# be of no use; so compare, as here, before you trust one.
