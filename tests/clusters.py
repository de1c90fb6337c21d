"""A table whose columns tell of a hidden group, and the label, too."""

import numpy as np
import pandas as pd


def make_clusters(n_rows, seed=0):
    """Draw rows of which every column tells a little of a hidden group of 16.

    The label is that of the group: "in" in half of them.
    """
    rng = np.random.default_rng(seed)
    shapes = np.random.default_rng(99)
    group = rng.integers(0, 16, n_rows)
    frame = pd.DataFrame({"number": shapes.normal(size=16)[group]})
    frame["number"] += 0.5 * rng.normal(size=n_rows)
    for j in range(10):
        usual = shapes.integers(0, 5, 16)[group]
        value = np.where(rng.random(n_rows) < 0.8, usual, rng.integers(0, 5, n_rows))
        frame[f"cat_{j}"] = np.array(list("abcde"))[value]
    return frame, np.where(group % 2 == 0, "in", "out")
