"""Draw the picture of the user guide's page on few rows, from estimators scored here.

Run ``python docs/make_few_shot.py``; it writes docs/_static/few_shot.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from sklearn_memgen import FewShotCurveDisplay

PICTURE = Path(__file__).parent / "_static" / "few_shot.png"


def main() -> None:
    """Score four estimators, and draw their scores and differences."""
    X, y = load_digits(return_X_y=True)
    display = FewShotCurveDisplay.from_estimators(
        {
            "nearest neighbor": KNeighborsClassifier(1),
            "logistic regression": LogisticRegression(max_iter=1000),
            "random forest": RandomForestClassifier(random_state=0),
            "decision tree": DecisionTreeClassifier(random_state=0),
        },
        X / 16,
        y,
        n_test=30,
        random_state=0,
    )
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    display.plot(axes[0])
    display.plot(axes[1], reference="nearest neighbor")
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
