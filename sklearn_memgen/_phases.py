"""Phases of learning: when a net has fitted, has settled, and memorizes noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

__all__ = ["find_fitting_end", "find_phases", "find_settling_end"]

#: Gain of accuracy an epoch below which a curve counts as flat.
_FLAT = 0.005
#: Standard errors by which validation must rise for the net to fit still, and corrupted
#: labels must be reproduced more often than before for it to memorize.
_N_ERRORS = 2.0
#: What of the curves is looked at.
_ACCURACIES = ("accuracy", "wrong_accuracy", "validation_accuracy")
_COUNTS = ("n_corrupted", "n_validation")
#: Bootstrap samples over repeats, and the share of them that an interval holds.
_N_BOOTSTRAPS, _COVERAGE = 200, 0.9


def find_fitting_end(
    training: np.ndarray, validation: np.ndarray, n_validation: float
) -> int:
    """Find the epoch in which accuracies cease to rise.

    Parameters
    ----------
    training, validation : ndarray of shape (n_epochs,)
        Accuracy of each epoch; that of validation is NaN if no rows are held out.
    n_validation : int
        How many rows it is counted on.

    Returns
    -------
    epoch : int
        The first epoch, counted from 1, after which neither rises by more than 0.005 in
        the next, and validation by no more than two standard errors; the last if there
        is none.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._phases import find_fitting_end
    >>> find_fitting_end(np.array([0.6, 0.8, 0.801, 0.9]), np.full(4, np.nan), 0)
    2
    """
    flat = np.diff(training) < _FLAT
    if n_validation:
        error = np.sqrt(validation * (1 - validation) / n_validation)[:-1]
        flat &= np.diff(validation) < np.maximum(_FLAT, _N_ERRORS * error)
    return int(flat.argmax()) + 1 if flat.any() else len(training)


def find_settling_end(
    reproduced: np.ndarray, n_corrupted: float, start: int = 1
) -> int:
    """Find the last epoch before corrupted labels begin to be reproduced.

    Parameters
    ----------
    reproduced : ndarray of shape (n_epochs,)
        Share of the corrupted rows whose wrong label was predicted, an epoch each.
    n_corrupted : int
        How many they are.
    start : int, default=1
        The first epoch that is looked at. Before, while the net learns the pattern, it
        may come upon wrong labels that are right: where those given are wrong.

    Returns
    -------
    epoch : int
        The chance level of an epoch is the lowest share from `start` to then: a net
        that has the pattern right still takes some rows for what their wrong label
        says. Memorizing has begun for good where the share is above it by two standard
        errors of their difference, and stays there to the end. The epoch is the last
        before in which it is above by less than one; the last of all if memorizing
        never begins.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._phases import find_settling_end
    >>> find_settling_end(np.array([0.3, 0.2, 0.1, 0.1, 0.11, 0.2, 0.3, 0.4]), 500)
    5
    """
    n_epochs = len(reproduced)
    if n_corrupted == 0 or np.isnan(reproduced).any():
        return n_epochs
    reproduced = reproduced[start - 1 :]
    chance = np.minimum.accumulate(reproduced)
    # Not zero where none is reproduced: one of n could have been.
    p = np.maximum(chance, 1 / n_corrupted)
    excess = (reproduced - chance) / np.sqrt(2 * p * (1 - p) / n_corrupted).clip(1e-12)
    below = np.flatnonzero(excess <= _N_ERRORS)
    begun = below[-1] + 1  # the first is at its own chance level
    if begun == len(reproduced):
        return n_epochs
    return int(np.flatnonzero(excess[:begun] <= 1)[-1]) + start


def find_phases(curves: pd.DataFrame, rng: np.random.RandomState) -> pd.DataFrame:
    """Find the phases of each level from the curves of all repeats.

    Parameters
    ----------
    curves : DataFrame
        A row for each `level`, `repeat` and `epoch`: the columns of
        `NoisyFineTuneProbe.curves_`, and `n_corrupted` and `n_validation`, the numbers
        of rows. Level NaN is that of threshold samples, if there are any.
    rng : RandomState
        Draws repeats, with replacement, for the intervals.

    Returns
    -------
    phases : DataFrame
        `NoisyFineTuneProbe.phases_`.
    """
    repeats = np.unique(curves["repeat"])
    levels = sorted(curves["level"].dropna().unique())
    nets = {}
    for (level, repeat), part in curves.groupby(["level", "repeat"], dropna=False):
        key = None if np.isnan(level) else level
        nets[key, repeat] = part[[*_ACCURACIES, *_COUNTS]].to_numpy(dtype=float)
    found = [_find_ends(nets, levels, repeats)]
    if len(repeats) > 1:
        for sample in rng.choice(repeats, (_N_BOOTSTRAPS, len(repeats))):
            found.append(_find_ends(nets, levels, sample))
    ends = np.array(found)  # (1 + n_bootstraps, n_levels, 2)
    phases = pd.DataFrame(index=pd.Index(levels, name="level"))
    tail = (1 - _COVERAGE) / 2
    for k, name in enumerate(("fitting_end", "settling_end")):
        phases[name] = ends[0, :, k]
        if len(repeats) > 1:
            phases[f"{name}_low"] = np.quantile(ends[1:, :, k], tail, axis=0)
            phases[f"{name}_high"] = np.quantile(ends[1:, :, k], 1 - tail, axis=0)
    phases["memorizes"] = phases["settling_end"] < curves["epoch"].max()
    return phases


def _find_ends(
    nets: Mapping[tuple[float | None, int], np.ndarray],
    levels: Sequence[float],
    sample: np.ndarray,
) -> list[tuple[int, int]]:
    """Return the ends of fitting and settling of each level, ascending, 0 first."""
    fitted, settled = {}, {}
    has_threshold = any(level is None for level, _ in nets)
    for level in [*levels, *([None] if has_threshold else [])]:
        parts = np.array([nets[level, repeat] for repeat in sample])
        training, reproduced, validation = parts[:, :, :3].mean(axis=0).T
        n_corrupted, n_validation = parts[:, 0, 3:].sum(axis=0)
        fitted[level] = find_fitting_end(training, validation, n_validation)
        # By validation alone: memorizing lets training accuracy rise as well.
        start = find_fitting_end(np.zeros_like(training), validation, n_validation)
        settled[level] = find_settling_end(reproduced, n_corrupted, start)
    # Nothing is corrupted at level 0. The nearest that there is shows its course.
    nearest = levels[1] if len(levels) > 1 else None
    if nearest in settled:
        settled[levels[0]] = settled[nearest]
    # Training accuracy may rise on, by what is memorized: then nothing is settled.
    return [(min(fitted[level], settled[level]), settled[level]) for level in levels]
