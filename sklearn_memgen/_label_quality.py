"""How well each label fits what nets learned of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from sklearn_memgen._probe_nets import ProbeNet

__all__ = [
    "aum_count",
    "known_noise_count",
    "label_quality",
    "mean_trace",
    "rows_learned",
    "settling_losses",
    "suggested_codes",
    "two_means_count",
]

#: How fast the say of a net falls with the noise that it learned. Of 0, 2, 4, 8 and a
#: say for level 0 alone, 4 was among the best on each of four tables.
_POWER = 4
#: Share of the wrong labels, from the least probable on, and their number, below which
#: no share of the given labels is compared with them.
_LEAST_SHARE, _LEAST_WRONG = 0.3, 5
#: Percentile of the margins of threshold samples below which a label is an issue.
_PERCENTILE = 99


def label_quality(
    nets: Sequence[ProbeNet],
    settling_end: int,
    reference_losses: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean probability of each given label until settling ends.

    Parameters
    ----------
    nets : sequence of ProbeNet
        Trained nets.
    settling_end : int
        The last epoch that counts.
    reference_losses : ndarray of shape (n_rows,), default=None
        Losses of the given labels in nets of ordinary fits, in nats.

    Returns
    -------
    quality : ndarray of shape (n_rows,)
        From 0 to 1. A net whose label of a row was made wrong has no say, others have
        one of :math:`(1 - l)^4` at level l. Rows held out have a say as those learned.
        The probability in nets of ordinary fits, if there are any, makes a half.
    """
    total, weight = _weighted(
        nets, lambda net: np.exp(-np.array(net.course.losses_[:settling_end])).mean(0)
    )
    quality = np.divide(total, weight, out=np.full(len(total), 0.5), where=weight > 0)
    if reference_losses is None:
        return quality
    return (quality + np.exp(-reference_losses)) / 2


def suggested_codes(
    nets: Sequence[ProbeNet], settling_end: int, n_classes: int
) -> np.ndarray:
    """Return the class that nets predicted most of the time until settling ended."""
    n_rows = len(nets[0].course.given)
    votes = np.zeros((n_rows, n_classes + 1))  # and one for that of threshold samples
    rows = np.arange(n_rows)
    for net in nets:
        say = _say(net)
        for predictions in net.course.predictions_[:settling_end]:
            votes[rows, predictions] += say
    return votes[:, :n_classes].argmax(axis=1)


def settling_losses(nets: Sequence[ProbeNet], settling_end: int) -> np.ndarray:
    """Return the loss of each row in the epoch in which settling ends, in nats."""
    unnoisy = [net for net in nets if net.level == 0]
    return np.mean([net.course.losses_[settling_end - 1] for net in unnoisy], axis=0)


def rows_learned(nets: Sequence[ProbeNet]) -> pd.DataFrame:
    """Return what each row of the given `X` did in the nets of level 0, on average."""
    return mean_trace([net.trace.to_frame() for net in nets if net.level == 0])


def mean_trace(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the means of what rows did in several nets, of those that saw them.

    Parameters
    ----------
    frames : sequence of DataFrame
        As `Trace.to_frame` returns them, of the same rows.

    Returns
    -------
    means : DataFrame of shape (n_rows, 6)
        `first_learned_epoch`, `n_forgotten`, `aum`, `confidence`, `variability` and
        `correctness`, the share of epochs in which the row was correct; missing for
        rows that no net saw, and the first for those that none learned.
    """
    names = ["first_learned_epoch", "n_forgotten", "aum", "confidence", "variability"]
    stacked = []
    for frame in frames:
        kept = frame[names].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        n_correct = frame["n_correct"].to_numpy(dtype=float, na_value=np.nan)
        correctness = n_correct / frame["n_seen"].clip(lower=1)
        stacked.append(np.column_stack([kept, correctness]))
    values = np.array(stacked)  # (n_nets, n_rows, n_columns)
    there = ~np.isnan(values)
    counts = there.sum(axis=0)
    total = np.where(there, values, 0).sum(axis=0)
    means = np.divide(total, counts, out=np.full_like(total, np.nan), where=counts > 0)
    return pd.DataFrame(means, columns=[*names, "correctness"])


def two_means_count(losses: np.ndarray) -> int:
    """Return how many losses are in the higher of two clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._label_quality import two_means_count
    >>> two_means_count(np.array([0.1, 0.2, 0.1, 2.5, 0.3, 2.2]))
    2
    """
    low, high = losses.min(), losses.max()
    if low == high:
        return 0
    start = np.array([[low], [high]])
    clusters = KMeans(2, init=start, n_init=1).fit_predict(losses[:, None])
    return int(clusters.sum())


def known_noise_count(
    nets: Sequence[ProbeNet], level: float, settling_end: int, n_classes: int
) -> int | None:
    """Return how many given labels are like those that were made wrong.

    Parameters
    ----------
    nets : sequence of ProbeNet
        Trained nets.
    level : float
        The level whose nets count.
    settling_end : int
        The last epoch that counts.
    n_classes : int
        Number of classes.

    Returns
    -------
    n_issues : int or None
        Of all rows; None if the nets learned no label that was made wrong.

    Notes
    -----
    Whatever the share of wrong labels is, it is at most the largest share that a
    mixture of right labels and of such as were made wrong can have: the lowest ratio of
    their distribution functions [1]_. Of those that were made wrong some became right,
    where the given ones were wrong. If mistakes are spread evenly over k classes and a
    share r of the given labels is wrong, r / (k - 1) of them; the ratio is then
    r / (1 - r / (k - 1)).

    References
    ----------
    .. [1] Blanchard, Lee and Scott, "Semi-Supervised Novelty Detection", 2010,
       https://jmlr.org/papers/v11/blanchard10a.html
    """
    kept, wrong = [], []
    for net in nets:
        if net.level != level or net.has_threshold:
            continue
        course = net.course
        is_kept = course.is_learned & ~course.corrupted
        losses = np.array(course.losses_[:settling_end])[:, is_kept]
        kept.append(np.exp(-losses).mean(axis=0))
        wrong.append(
            np.exp(-np.array(course.wrong_losses_[:settling_end])).mean(axis=0)
        )
    ratio = mixture_share(np.concatenate(kept), np.concatenate(wrong))
    if ratio is None:
        return None
    share = ratio / (1 + ratio / (n_classes - 1))
    return round(share * len(nets[0].course.given))


def mixture_share(mixture: np.ndarray, component: np.ndarray) -> float | None:
    """Return the largest share of a mixture that can be of a component.

    Parameters
    ----------
    mixture, component : ndarray of shape (n,) and (m,)
        Samples of both. The other component is thought to have larger values.

    Returns
    -------
    share : float or None
        The lowest ratio of the distribution functions, where that of the component is
        0.3 at least, from 0 to 1; None if there are fewer than 5 such values.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_memgen._label_quality import mixture_share
    >>> low, high = np.linspace(0, 1, 100), np.linspace(2, 3, 300)
    >>> mixture_share(np.concatenate([low, high]), low)
    0.25
    """
    points = np.sort(component)
    first = max(int(np.ceil(_LEAST_SHARE * len(points))), _LEAST_WRONG)
    if len(points) < first:
        return None
    below = np.searchsorted(np.sort(mixture), points, side="right") / len(mixture)
    ratios = below / (np.arange(1, len(points) + 1) / len(points))
    return float(min(ratios[first - 1 :].min(), 1.0))


def aum_count(nets: Sequence[ProbeNet], settling_end: int) -> int | None:
    """Return how many labels fit worse than nearly all threshold samples do.

    Parameters
    ----------
    nets : sequence of ProbeNet
        Trained nets.
    settling_end : int
        The last epoch whose margins count.

    Returns
    -------
    n_issues : int or None
        Of all rows; None if there are no threshold samples.
    """
    shares = []
    for net in nets:
        if not net.has_threshold:
            continue
        course = net.course
        learned = course.is_learned
        own = np.mean(course.margins_[:settling_end], axis=0)
        limit = np.percentile(own[learned & course.corrupted], _PERCENTILE)
        shares.append((own[learned & ~course.corrupted] < limit).mean())
    if not shares:
        return None
    return round(float(np.mean(shares)) * len(nets[0].course.given))


def _say(net: ProbeNet) -> np.ndarray:
    """Return the weight of a net's word on each row, shape (n_rows,)."""
    return (1 - net.level) ** _POWER * ~net.course.corrupted


def _weighted(
    nets: Sequence[ProbeNet], values: Callable[[ProbeNet], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted sum of values of all nets, and the sum of the weights."""
    says = [_say(net) for net in nets]
    total = sum(say * values(net) for say, net in zip(says, nets, strict=True))
    return np.asarray(total), np.sum(says, axis=0)
