"""A guide in print and in a picture."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from sklearn_memgen.training import Guide, GuideDisplay

GUIDE = Guide(
    {
        "deep.weight": torch.tensor([[0.0, 0.0, 0.05], [0.0, 0.5, 1.0]]),
        "deep.bias": 0.25,
        "wide.$weight": torch.zeros(0, 1),
    }
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_printed_guide_is_a_table():
    lines = repr(GUIDE).splitlines()
    assert lines[0] == "Guide of 3 parameters"
    assert lines[1].split() == ["parameter", "shape", "zeros", "mean", "histogram"]
    assert lines[2].split() == ["deep.weight", "2,", "3", "50%", "0.258", "█···▂··▂"]
    assert lines[3].split() == ["deep.bias", "-", "0%", "0.25", "··█·····"]
    assert repr(Guide({})) == "Guide of 0 parameters"


def test_histograms_end_at_one_or_the_largest_multiplier():
    assert Guide({"w": 0.4}).summary()["histogram"].tolist() == ["···█····"]
    wide = Guide({"w": 0.4, "v": torch.tensor([4.0, 1.0])})
    assert wide.summary()["histogram"].tolist() == ["█·······", "··█····█"]


def test_the_summary_is_a_frame():
    frame = GUIDE.summary()
    assert frame["shape"].tolist() == [(2, 3), (), (0, 1)]
    assert frame["zeros"].tolist() == [0.5, 0, 0]
    assert frame.loc[0, "mean"] == pytest.approx(1.55 / 6)


def test_from_guide_counts():
    display = GuideDisplay.from_guide(GUIDE, n_bins=4)
    np.testing.assert_allclose(display.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(display.shares[0], [4 / 6, 0, 1 / 6, 1 / 6])
    np.testing.assert_allclose(display.shares[1:], [[0, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(display.zeros, [0.5, 0, 0])


def test_plot_draws_on_the_axes_given():
    _, ax = plt.subplots()
    display = GuideDisplay.from_guide(GUIDE)
    assert display.plot(ax=ax) is display
    assert display.ax_ is ax and display.figure_ is ax.figure
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["deep.weight", "deep.bias", r"wide.\$weight"]
    ax.figure.canvas.draw()


@pytest.mark.parametrize("guide", [Guide({}), Guide({"w": 0.0})])
def test_small_guides_are_drawn_too(guide):
    display = GuideDisplay.from_guide(guide).plot()
    display.figure_.canvas.draw()
