"""Draw the picture of the user guide's page on reports, from a report made here.

Run ``python docs/make_report.py``; it writes docs/_static/report.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from sklearn_memgen import WideDeepClassifier
from sklearn_memgen.datasets import fetch_adult
from sklearn_memgen.inspection import memorization_report

PICTURE = Path(__file__).parent / "_static" / "report.png"


def main() -> None:
    """Report on 1,500 people of the census."""
    X, y = fetch_adult(return_X_y=True)
    model = WideDeepClassifier(n_members=1, random_state=0)
    report = memorization_report(
        model, X, y, n_models=30, max_rows=1500, random_state=0, verbose=1
    )
    print(report)
    report.plot().figure_.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
