"""Probabilities of a learner, brought to the scale of the precision of rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

__all__ = ["find_temperature", "temper"]

#: Smaller probabilities, such as the zeros of trees, count as this one.
_SMALLEST = 1e-9
#: Temperatures lie between the inverse of this one and this one.
_LARGEST = 1e3


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, _SMALLEST))


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Make probabilities more alike, or less.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Of a learner.
    temperature : float
        By which their logarithms are divided; above 1 they become more alike.

    Returns
    -------
    probabilities : ndarray of shape (n_rows, n_classes)
        Of the same order in each row.
    """
    if temperature == 1:
        return probabilities
    return softmax(_log(probabilities) / temperature, axis=1)


def find_temperature(
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> float:
    """Return the temperature of the lowest log-loss.

    Parameters
    ----------
    parts : sequence of (probabilities, codes, weight)
        Of rows that the learner has not seen, fold by fold: probabilities of shape
        (n_rows, n_classes), the classes of the rows, and their weights.

    Returns
    -------
    temperature : float
        Between 0.001 and 1000.

    Notes
    -----
    Temperature scaling [1]_: one number, found on held-out rows, so that a learner that
    is right in 80 of 100 rows says so, whether it was too sure of itself, as naive
    Bayes is, or too little. As in Platt's method [2]_ labels are believed but for one
    in :math:`n + 2`, so that few rows that are all right do not make it certain.

    References
    ----------
    .. [1] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
       https://arxiv.org/abs/1706.04599
    .. [2] Platt, "Probabilistic Outputs for Support Vector Machines", 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen.rules.calibration import find_temperature, temper
    >>> sure = np.array([[0.999, 0.001]] * 10)
    >>> found = find_temperature([(sure, np.array([0] * 8 + [1] * 2), np.ones(10))])
    >>> temper(sure, found)[0].round(2)
    array([0.78, 0.22])
    """
    logs = [_log(probabilities) for probabilities, _, _ in parts]
    doubt = 1 / (2 + sum(weight.sum() for _, _, weight in parts))

    def loss(log_temperature: float) -> float:
        total = 0.0
        for log, (_, codes, weight) in zip(logs, parts, strict=True):
            found = log_softmax(log / np.exp(log_temperature), axis=1)
            right = found[np.arange(len(codes)), codes]
            total -= weight @ ((1 - doubt) * right + doubt * found.mean(axis=1))
        return float(total)

    end = np.log(_LARGEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-end, end), method="bounded").x))
