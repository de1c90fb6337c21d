"""How learning rates change while a net learns."""

from __future__ import annotations

import math

__all__ = ["SCHEDULES", "schedule_factor"]

#: What there is; see `schedule_factor`.
SCHEDULES = ("cosine", "linear", "constant")
#: Share of the steps in which the learning rate rises.
_WARM_UP = {"cosine": 0.05, "linear": 0.1}


def schedule_factor(schedule: str, progress: float) -> float:
    """Return the factor of the learning rate.

    Parameters
    ----------
    schedule : {"cosine", "linear", "constant"}
        "cosine" rises over the first 5 % of the steps and falls to zero along a cosine.
        "linear" rises over the first 10 % and falls linearly to zero [1]_. "constant"
        is 1.
    progress : float
        Share of the steps that are done, from 0 to 1.

    Returns
    -------
    factor : float
        From 0 to 1.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", 2019, https://arxiv.org/abs/1810.04805

    Examples
    --------
    >>> from sklearn_memgen.training.schedules import schedule_factor
    >>> [schedule_factor("linear", progress) for progress in (0.05, 0.1, 1.0)]
    [0.5, 1.0, 0.0]
    """
    if schedule == "constant":
        return 1.0
    warm_up = _WARM_UP[schedule]
    if progress < warm_up:
        return progress / warm_up
    rest = (1 - progress) / (1 - warm_up)
    if schedule == "linear":
        return rest
    return 0.5 * (1 - math.cos(math.pi * rest))
