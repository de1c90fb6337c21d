"""
Which inputs does a winning ticket keep?
========================================

Most weights of a net can be pruned before it is trained, if one knows which. Here a
table of measurements of cells, benign or malignant, is learned by a net of 33,000
weights; a ticket of about a twentieth of them is found, and read as a selection of
features.
"""

# %%
# Find a ticket
# -------------
#
# The cheap search takes less than four trainings of the whole net.

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from sklearn_memgen import LotteryPrunedNet, TicketInputsDisplay, WideDeepClassifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = LotteryPrunedNet(scope="global", keep_weights=True, random_state=0)
model.fit(X_train, y_train)
print(model.ticket_)
print(f"The search cost {model.cost_['dense_trainings']:.1f} trainings")

# %%
# Every net of the search, scored on the test rows. Round 0 is the whole net.

columns = ["round", "stage", "remaining", "n_epochs", "valid_loss", "accuracy", "loss"]
model.score_rounds(X_test, y_test)[columns].round(3)

# %%
# What survives
# -------------
#
# For each column the share of the weights that leave it in the first layer: its scaled
# value and its bins count together. The dashed line is the mean.

display = TicketInputsDisplay.from_estimator(model).plot(n_inputs=15)

# %%
# The upper half of the columns alone, in a net trained without pruning:

kept = display.inputs.index[: X.shape[1] // 2]
kept = [name for name in kept if name in X.columns]
for words, names in (("all columns", X.columns), ("those that survive", kept)):
    net = WideDeepClassifier(wide=False, n_members=1, random_state=0)
    score = net.fit(X_train[names], y_train).score(X_test[names], y_test)
    print(f"{words}: {len(names)} columns, accuracy {score:.3f}")
