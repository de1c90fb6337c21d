"""Draw the picture of the user guide's page on label noise, from nets trained here.

Run ``python docs/make_noise_probe.py``; it writes docs/_static/noise_probe.png.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from sklearn_memgen import (
    ClassCurveDisplay,
    DataMapDisplay,
    ForgettingDisplay,
    NoiseCurvesDisplay,
    NoisyFineTuneProbe,
)
from sklearn_memgen.datasets import make_memgen_classification

PICTURE = Path(__file__).parent / "_static" / "noise_probe.png"


def main() -> None:
    """Fit a probe, and draw what it saw."""
    X, y = make_memgen_classification(
        n_samples=4000, exception_fraction=0, noise=0.1, random_state=0
    )
    probe = NoisyFineTuneProbe(noise_levels=(0.0, 0.1, 0.3), random_state=0).fit(X, y)
    repeated = NoisyFineTuneProbe(noise_levels=(0.0,), n_repeats=3, random_state=0).fit(
        X, y
    )
    fig, axes = plt.subplots(2, 2, figsize=(11, 8.2), layout="constrained")
    NoiseCurvesDisplay.from_estimator(probe, level=0.3).plot(axes[0, 0])
    DataMapDisplay.from_estimator(probe).plot(axes[0, 1])
    ForgettingDisplay.from_estimator(probe).plot(axes[1, 0])
    ClassCurveDisplay.from_estimator(repeated, 1).plot(axes[1, 1])
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
