"""Draw the picture of the user guide's page on margins, from descents done here.

Run ``python docs/make_margins.py``; it writes docs/_static/margins.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from sklearn.datasets import load_digits

from sklearn_memgen.inspection import margin_path

PICTURE = Path(__file__).parent / "_static" / "margins.png"


def main() -> None:
    """Follow three optimizers that tell handwritten zeros from ones."""
    X, y = load_digits(return_X_y=True)
    rows = y < 2
    path = margin_path(None, X[rows] / 16, y[rows], n_steps=100_000)
    path.plot().figure_.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
