"""Few-shot curves are compared pair by pair, and drawn."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from sklearn_memgen import FewShotCurveDisplay, compare_shots, few_shot_curve

COLUMNS = ["estimator", "shots", "episode", "score", "fit_seconds"]
PAIR = {"neighbor": KNeighborsClassifier(1), "svm": SVC()}


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def curve(iris):
    return few_shot_curve(PAIR, *iris, shots=(1, 5, 20), n_episodes=6, random_state=0)


def make_curve(**scores):
    """Return a curve of scores, one an episode, at one and at five shots."""
    return pd.DataFrame(
        [
            (name, n_shots, episode, score + n_shots / 100, 0.1)
            for name, values in scores.items()
            for n_shots in (1, 5)
            for episode, score in enumerate(values)
        ],
        columns=COLUMNS,
    )


# Which one is better


def test_differences_are_those_of_students_t():
    rng = np.random.RandomState(0)
    easy = rng.normal(0.6, 0.2, size=12)  # of the episodes, for all alike
    better = easy + rng.normal(0.05, 0.01, size=12)
    curve = make_curve(reference=easy, better=better, zero=easy)
    table = compare_shots(curve, reference="reference")
    assert table.columns.tolist() == [
        *("estimator", "shots", "mean_difference", "low", "high", "n_episodes")
    ]
    assert table["estimator"].tolist() == ["better", "better", "zero", "zero"]
    assert table["shots"].tolist() == [1, 5, 1, 5]
    assert (table["n_episodes"] == 12).all()
    expected = ttest_1samp(better - easy, 0).confidence_interval()
    found = table.loc[0, ["low", "high"]].tolist()
    np.testing.assert_allclose(found, [expected.low, expected.high])
    # Scores themselves overlap: only pairs tell.
    assert found[0] > 0
    assert better.mean() - easy.mean() < easy.std() / 2
    assert (table.loc[2:, ["mean_difference", "low", "high"]].abs() < 1e-12).all(
        axis=None
    )


def test_pairs_are_found_by_episode_not_by_place():
    curve = make_curve(one=[0.1, 0.5, 0.9], two=[0.2, 0.6, 1.0])
    shuffled = pd.concat(
        [curve.iloc[:6], curve.iloc[6:].sample(frac=1, random_state=0)]
    )
    table = compare_shots(shuffled, reference="one")
    np.testing.assert_allclose(table["mean_difference"], 0.1)
    np.testing.assert_allclose(table["low"], 0.1)


def test_curves_of_two_runs_are_compared(iris, curve):
    parts = [
        few_shot_curve(
            {name: estimator}, *iris, shots=(1, 5, 20), n_episodes=6, random_state=0
        )
        for name, estimator in PAIR.items()
    ]
    pd.testing.assert_frame_equal(
        compare_shots(pd.concat(parts), reference="svm"),
        compare_shots(curve, reference="svm"),
    )


def test_episodes_without_a_score_are_left_out():
    table = compare_shots(
        make_curve(
            one=[0.1, 0.5, 0.9, 0.4],
            two=[0.2, np.nan, 1.0, 0.5],
            none=[np.nan] * 4,
            single=[np.nan, 0.7, np.nan, np.nan],
        ),
        reference="one",
    ).set_index(["estimator", "shots"])
    assert table["n_episodes"].groupby("estimator").first().to_dict() == {
        "two": 3,
        "none": 0,
        "single": 1,
    }
    assert table.loc[("two", 1), "mean_difference"] == pytest.approx(0.1)
    assert table.loc[("single", 1), "mean_difference"] == pytest.approx(0.2)
    assert (
        table.loc[[("single", 1), ("none", 1)], ["low", "high"]].isna().all(axis=None)
    )


def test_reference_must_be_there_and_not_alone():
    with pytest.raises(ValueError, match=r"one of \['one', 'two'\]; got 'three'"):
        compare_shots(make_curve(one=[0, 1], two=[0, 1]), reference="three")
    with pytest.raises(ValueError, match="nothing to compare with 'one'"):
        compare_shots(make_curve(one=[0, 1]), reference="one")


# The picture


def test_display_draws_means_and_intervals(curve):
    display = FewShotCurveDisplay(curve, score_name="accuracy")
    assert display.plot() is display
    ax = display.ax_
    assert display.figure_ is ax.figure
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "20"]
    assert "accuracy" in ax.get_ylabel()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["neighbor", "svm"]
    for name, container in zip(names, ax.containers, strict=True):
        scores = curve[curve["estimator"] == name].groupby("shots")["score"]
        line, _, (bars,) = container
        np.testing.assert_allclose(line.get_ydata(orig=False), scores.mean())
        np.testing.assert_allclose(line.get_xdata(orig=False), [1, 5, 20], rtol=0.05)
        for segment, (_, values) in zip(bars.get_segments(), scores, strict=True):
            expected = ttest_1samp(values, 0).confidence_interval()
            np.testing.assert_allclose(
                segment[:, 1], [expected.low, expected.high], atol=1e-12
            )


def test_display_draws_differences(curve):
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    display = FewShotCurveDisplay(curve).plot(ax, reference="svm")
    assert display.ax_ is ax
    [container] = ax.containers
    expected = compare_shots(curve, reference="svm")["mean_difference"]
    np.testing.assert_allclose(container[0].get_ydata(orig=False), expected)
    assert "svm" in ax.get_title(loc="left")


def test_an_estimator_keeps_its_color(curve):
    display = FewShotCurveDisplay(curve)
    colors = [c[0].get_color() for c in display.plot().ax_.containers]
    [other] = display.plot(reference="neighbor").ax_.containers
    assert colors[0] != colors[1] == other[0].get_color()


def test_display_from_estimators(iris):
    display = FewShotCurveDisplay.from_estimators(
        PAIR, *iris, shots=[2], n_episodes=2, scoring="balanced_accuracy"
    )
    assert display.curve.shape == (4, 5)
    assert "balanced accuracy" in display.plot().ax_.get_ylabel()


def test_display_of_missing_scores_and_single_episodes():
    """A line has gaps where nothing is known, and no interval from one episode."""
    curve = make_curve(**{"$a": [0.5], "b": [np.nan]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = FewShotCurveDisplay(curve).plot()
        display.figure_.canvas.draw()
    np.testing.assert_allclose(
        display.ax_.containers[0][0].get_ydata(orig=False), [0.51, 0.55]
    )
