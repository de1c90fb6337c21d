"""Draw the picture of the user guide's page on data maps, from nets trained here.

Run ``python docs/make_data_maps.py``; it writes docs/_static/data_maps.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.inspection import aum, data_map, forgetting

PICTURE = Path(__file__).parent / "_static" / "data_maps.png"


def main() -> None:
    """Look at handwritten digits, 5 % of them with a wrong label."""
    X, y = load_digits(return_X_y=True, as_frame=True)
    rng = np.random.RandomState(0)
    wrong = rng.permutation(len(y))[: len(y) // 20]
    y = y.to_numpy(copy=True)
    y[wrong] = (y[wrong] + rng.randint(1, 10, size=len(wrong))) % 10
    model = WideDeepClassifier(random_state=0)
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    data_map(model, X, y, random_state=0).plot(axes[0])
    forgetting(model, X, y, n_repeats=3, random_state=0).plot(axes[1])
    aum(model, X, y, random_state=0).plot(axes[2])
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
