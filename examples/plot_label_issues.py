"""
Which labels are wrong?
=======================

A probe trains nets on the labels it is given and on copies with labels made wrong, and
watches them learn. From that it says how noisy the labels are, when to stop, and which
rows to look at. Here it reads the census table Adult, in which a few labels were
changed beforehand, so that it can be checked.
"""

# %%
# A table with mistakes
# ---------------------
#
# The label says whether a person earns more than 50,000 dollars a year. Of 8,000 rows,
# 400 get the other label.

import numpy as np

from sklearn_memgen.datasets import fetch_adult

X, y_true = fetch_adult(return_X_y=True)
X = X.sample(8000, random_state=0)
y_true = y_true.loc[X.index]
rng = np.random.default_rng(0)
changed = rng.permutation(np.arange(8000) < 400)
y = y_true.where(~changed, y_true.map({"<=50K": ">50K", ">50K": "<=50K"}))

# %%
# What the nets did
# -----------------
#
# Where the nets begin to reproduce labels that were made wrong, they have stopped to
# generalize: that is the end of settling.

from sklearn_memgen import NoiseCurvesDisplay, NoisyFineTuneProbe

probe = NoisyFineTuneProbe(random_state=0).fit(X, y)
probe.phases_

# %%

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
for ax, level in zip(axes, (0.1, 0.4), strict=True):
    NoiseCurvesDisplay.from_estimator(probe, level=level).plot(ax)
axes[1].get_legend().remove()
plt.show()

# %%
# How noisy the labels are
# ------------------------
#
# The probe compares the given labels with those that it made wrong itself. It counts
# the 400, and people whose income their row does not tell.

print(f"{probe.n_label_issues_} labels of {len(y)} look wrong")

# %%
# Whom to look at
# ---------------
#
# Those whose label was changed are found long before the others:

order = probe.examples_["label_quality"].argsort().to_numpy()
for n in (50, 100, 200, 400):
    print(f"of the {n:3} most suspect rows, {changed[order[:n]].sum():3} were changed")

# %%
# The list for the analyst: the given label, what the nets would say, and the row.

columns = ["age", "education", "occupation", "relationship", "capital-gain"]
suspects = probe.suspects(12, X[columns])
suspects.drop(columns=["loss_at_settling", "n_forgotten"]).round(3)

# %%
# Rows that were not changed are on the list as well, for a reason: the nets learned
# from all the others that such people earn more, or less. Some of these labels will be
# wrong, some of these people rare. A low quality is a reason to look, not to delete.

unchanged = ~changed[order]
suspects = probe.suspects(len(X), X[columns])[unchanged]
suspects.drop(columns=["loss_at_settling", "n_forgotten"]).head(12).round(3)
