"""Phases are found in curves whose phases are known."""

import numpy as np
import pandas as pd

from sklearn_memgen._phases import find_fitting_end, find_phases, find_settling_end

NONE = np.full(8, np.nan)
PLATEAU = np.array([0.30, 0.12, 0.10, 0.10, 0.11, 0.25, 0.40, 0.60])


def make_curves(n_repeats, levels=(0.0, 0.2, 0.4)):
    frames = []
    for repeat in range(n_repeats):
        for level in levels:
            # The higher the level, the earlier the rise; repeats differ by an epoch.
            wrong = np.roll(PLATEAU, repeat) if level == 0.2 else PLATEAU
            frames.append(
                pd.DataFrame(
                    {
                        "level": level,
                        "repeat": repeat,
                        "epoch": np.arange(1, 9),
                        "accuracy": [0.5, 0.7, 0.8, 0.8, 0.8, 0.85, 0.9, 0.95],
                        "wrong_accuracy": wrong if level else NONE,
                        "validation_accuracy": [0.6, 0.8, 0.9] + [0.9] * 5,
                        "n_corrupted": 500 if level else 0,
                        "n_validation": 100,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def test_settling_ends_before_wrong_labels_come_back_for_good():
    assert find_settling_end(PLATEAU, 500) == 5


def test_a_bump_that_passes_is_not_memorizing():
    bump = np.array([0.3, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1])
    assert find_settling_end(bump, 500) == 8


def test_few_corrupted_rows_do_not_show_a_small_rise():
    rise = np.array([0.3, 0.1, 0.1, 0.12, 0.13, 0.14, 0.15, 0.15])
    assert find_settling_end(rise, 20) == 8
    assert find_settling_end(rise, 20_000) == 3


def test_a_net_that_memorizes_at_once_settles_for_one_epoch():
    assert find_settling_end(np.linspace(0.1, 0.9, 8), 1000) == 1


def test_wrong_labels_that_are_right_are_not_memorized_while_the_net_fits():
    curve = np.array([0.05, 0.15, 0.2, 0.2, 0.2, 0.3, 0.4, 0.5])
    assert find_settling_end(curve, 500) == 1
    assert find_settling_end(curve, 500, start=3) == 5


def test_nothing_corrupted_never_ends():
    assert find_settling_end(NONE, 0) == 8


def test_fitting_goes_on_while_validation_rises_beyond_its_error():
    training = np.full(4, 0.9)
    validation = np.array([0.5, 0.7, 0.71, 0.71])
    assert find_fitting_end(training, validation, 100_000) == 3
    assert find_fitting_end(training, validation, 100) == 2
    assert find_fitting_end(np.linspace(0, 1, 4), validation, 100) == 4


def test_level_zero_settles_as_the_nearest_level():
    phases = find_phases(make_curves(1), np.random.RandomState(0))
    assert phases.index.tolist() == [0.0, 0.2, 0.4]
    assert phases.columns.tolist() == ["fitting_end", "settling_end", "memorizes"]
    assert phases.loc[0.0, "settling_end"] == phases.loc[0.2, "settling_end"] == 5
    assert (phases["fitting_end"] == 3).all()
    assert phases["memorizes"].all()


def test_intervals_hold_the_estimate_and_know_what_does_not_vary():
    phases = find_phases(make_curves(4), np.random.RandomState(0))
    for name in ("fitting_end", "settling_end"):
        assert (phases[f"{name}_low"] <= phases[name]).all()
        assert (phases[name] <= phases[f"{name}_high"]).all()
    widths = phases["settling_end_high"] - phases["settling_end_low"]
    assert widths[0.2] > 0
    assert widths[0.4] == 0


def test_threshold_samples_serve_where_there_is_only_level_zero():
    curves = make_curves(1, levels=(0.0, 0.4))
    curves.loc[curves["level"] == 0.4, "level"] = np.nan
    phases = find_phases(curves, np.random.RandomState(0))
    assert phases["settling_end"].tolist() == [5]
