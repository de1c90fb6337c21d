"""The loss of a net along lines and planes through its weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state, check_scalar
from torch import Tensor, nn

from sklearn_memgen._lottery_evidence import weights_between
from sklearn_memgen.inspection._alike import check_alike
from sklearn_memgen.inspection._fitted_subject import read_fitted
from sklearn_memgen.inspection._loss_surface import (
    LossSurface,
    running_statistics,
    sample_rows,
)
from sklearn_memgen.inspection.landscape_display import LossLandscapeDisplay
from sklearn_memgen.nets.members import MemberLinear
from sklearn_memgen.training.multipliers import check_option

__all__ = ["LossLandscape", "loss_landscape"]

_NORMALIZATIONS = ("filter", "layer", "weight")
#: So that a direction of zeros stays one.
_SMALL = 1e-10


@dataclass(frozen=True)
class LossLandscape:
    """Loss and error at points around a net, or between two.

    Parameters
    ----------
    a : ndarray of shape (n_points_a,)
        Coordinates along the first direction, or the share of the other net.
    b : ndarray of shape (n_points_b,)
        Those along the second; a single 0 if there is none.
    loss : ndarray of shape (n_points_a, n_points_b)
        Mean loss, nats; infinite or NaN where the net overflows.
    error : ndarray of shape (n_points_a, n_points_b)
        Share of wrong predictions.
    n_rows, n_given : int
        How many rows were looked at, and how many were given.
    is_line : bool
        Whether it is the line from one net, at 0, to another, at 1.
    normalization : str or None
        See `loss_landscape`.
    """

    a: np.ndarray
    b: np.ndarray
    loss: np.ndarray
    error: np.ndarray
    n_rows: int
    n_given: int
    is_line: bool
    normalization: str | None

    @property
    def barrier(self) -> dict[str, float]:
        """How much higher `loss` and `error` are between two nets than at their ends.

        The highest point of the line minus the mean of both ends.
        """
        if not self.is_line:
            raise AttributeError(
                "barrier is that between two nets; call loss_landscape with other="
            )
        between = (self.a >= 0) & (self.a <= 1)
        return {
            name: float(barrier_of(getattr(self, name)[between, 0]))
            for name in ("loss", "error")
        }

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each point: `a`, `b`, `loss` and `error`."""
        a, b = np.meshgrid(self.a, self.b, indexing="ij")
        columns = {"a": a, "b": b, "loss": self.loss, "error": self.error}
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()})

    def plot(self, ax: Any = None) -> LossLandscapeDisplay:
        """Draw lines or contours; see `LossLandscapeDisplay`."""
        return LossLandscapeDisplay(self).plot(ax)


def barrier_of(values: np.ndarray) -> Any:
    """Return how much higher a line is than its ends, on average, from its points."""
    return values.max() - (values[0] + values[-1]) / 2


def loss_landscape(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    other: Any = None,
    dimensions: int = 1,
    n_points: int = 31,
    span: float | None = None,
    normalization: str | None = "filter",
    one_dimensional: str = "zero",
    batch_norm: str = "interpolate",
    n_rows: int | None = 2000,
    random_state: int | np.random.RandomState | None = None,
) -> LossLandscape:
    r"""Compute the loss along random directions, or between two nets.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline that ends in one
        See `sharpness`. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_given rows
        The rows, learned ones or others.
    y : array-like of shape (n_given,)
        Their labels.
    other : fitted classifier, default=None
        With it the points are on the line from `estimator` to the other, which must
        have the same net, the same classes, and encode rows alike. All parameters move,
        those that did not learn as well.
    dimensions : {1, 2}, default=1
        Whether to go along one random direction, or to span a plane by two.
    n_points : int, default=31
        Points along each direction.
    span : float, default=None
        How far to go, both ways: by default 1, where steps are as long as the weights;
        with `other` beyond both ends, as a share of the distance, by default 0.
    normalization : {"filter", "layer", "weight"} or None, default="filter"
        How long directions are: for each filter, or each layer, as its weights are, or
        each weight times a random number. See Notes. None takes normal numbers as they
        are.
    one_dimensional : {"zero", "copy"}, default="zero"
        Biases, and what normalizations multiply with, do not move, or have themselves
        as a direction, as in the code of [1]_.
    batch_norm : {"interpolate", "reestimate"}, default="interpolate"
        Statistics that normalizations keep are those between two nets, and stay as they
        are along random directions, or are computed anew at each point from the rows.
    n_rows : int or None, default=2000
        Most rows to look at; more are sampled. None looks at all.
    random_state : int, RandomState instance or None, default=None
        Draws rows and directions.

    Returns
    -------
    landscape : LossLandscape
        Loss and error at the points.

    Raises
    ------
    ValueError
        If a parameter is none of its values, rows do not go with the classifier, or
        `other` cannot be compared; says what differs.
    NotFittedError
        If a classifier is not fitted.

    See Also
    --------
    instability : Whether two trainings from the same weights end in one valley.
    sharpness : How fast the loss rises, in numbers.

    Notes
    -----
    Computed is :math:`L(w + a d_1 + b d_2)` [1]_ with normal directions :math:`d`, of
    which each filter is scaled,

    .. math:: d_i \leftarrow d_i \frac{\|w_i\|}{\|d_i\| + 10^{-10}},

    so that nets whose layers differ in scale only have the same picture. A filter is
    all that goes into one unit: a row of a dense layer, a channel's kernel of a
    convolution, a row of an embedding, and, in the perceptrons of an ensemble that are
    computed together, the column of a unit of one member. The loss is that of
    `sharpness`, in evaluation mode.

    Between two nets it is :math:`L((1 - a) w_1 + a w_2)`. Where the line is no higher
    than its ends they are linearly connected [2]_; `barrier` is the highest point of
    the line minus the mean of both ends.

    A random direction among very many weights misses the steep ones mostly: what looks
    flat need not be so in all directions.

    References
    ----------
    .. [1] Li et al., "Visualizing the Loss Landscape of Neural Nets", 2018,
       https://arxiv.org/abs/1712.09913
    .. [2] Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
       2020, https://arxiv.org/abs/1912.05671

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import loss_landscape
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> landscape = loss_landscape(model, X, y, n_points=11, random_state=0)
    >>> landscape.to_frame().columns.tolist()
    ['a', 'b', 'loss', 'error']
    >>> bool(landscape.loss[5, 0] < landscape.loss[[0, -1], 0].min())
    True
    """
    if dimensions not in (1, 2):
        raise ValueError(f"dimensions must be 1 or 2; got {dimensions!r}")
    if other is not None and dimensions == 2:
        raise ValueError("dimensions=2 does not go with other=, which gives a line")
    check_scalar(n_points, "n_points", (int, np.integer), min_val=2)
    if span is None:
        span = 1.0 if other is None else 0.0
    include = "neither" if other is None else "left"
    check_scalar(span, "span", (int, float), min_val=0, include_boundaries=include)
    if normalization is not None:
        check_option("normalization", normalization, _NORMALIZATIONS)
    check_option("one_dimensional", one_dimensional, ("zero", "copy"))
    check_option("batch_norm", batch_norm, ("interpolate", "reestimate"))
    rng = check_random_state(random_state)
    subject = read_fitted(estimator, X, y)
    rows = sample_rows(subject, n_rows, rng)
    surface = LossSurface(subject.net, subject.data, rows, frozen=other is not None)
    b = np.zeros(1)
    if other is not None:
        target = read_fitted(other, X, y)
        check_alike(subject, target, rows)
        a = np.union1d(np.linspace(-span, 1 + span, n_points), [0.0, 1.0])
        walk = walk_between(surface, target.net.module_, a)
    else:
        a = np.linspace(-span, span, n_points)
        b = a if dimensions == 2 else b
        directions = [
            _direction(surface, normalization, one_dimensional, rng)
            for _ in range(dimensions)
        ]
        walk = _walk_around(surface, directions, a, b)
    points = []
    for _ in walk:
        if batch_norm == "reestimate":
            surface.estimate_statistics()
        points.append(surface.look())
    loss, error = np.asarray(points).T.reshape(2, len(a), len(b))
    return LossLandscape(
        a,
        b,
        loss,
        error,
        len(rows),
        len(subject.data),
        other is not None,
        None if other is not None else normalization,
    )


# Around a net


def _direction(
    surface: LossSurface,
    normalization: str | None,
    one_dimensional: str,
    rng: np.random.RandomState,
) -> dict[str, Tensor]:
    """Draw a direction; on the host, so that a GPU draws the same."""
    draw = torch.Generator().manual_seed(int(rng.randint(2**31)))
    axes = filter_axes(surface.module)
    direction = {}
    for name, weight in surface.weights.items():
        drawn = torch.randn(weight.shape, generator=draw).to(weight)
        if not axes[name]:
            copied = one_dimensional == "copy"
            direction[name] = weight.clone() if copied else torch.zeros_like(weight)
        elif normalization is None:
            direction[name] = drawn
        elif normalization == "weight":
            direction[name] = drawn * weight
        else:
            whole = tuple(range(weight.ndim))
            over = axes[name] if normalization == "filter" else whole
            lengths, drawn_lengths = (
                torch.linalg.vector_norm(v, dim=over, keepdim=True)
                for v in (weight, drawn)
            )
            direction[name] = drawn * (lengths / (drawn_lengths + _SMALL))
    return direction


def filter_axes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return, for each parameter, the axes along which one filter lies.

    None for those of one number a unit.
    """
    axes = {
        name: tuple(range(1, parameter.ndim))
        for name, parameter in module.named_parameters()
    }
    for prefix, layer in module.named_modules():
        if isinstance(layer, MemberLinear):  # (n_members, n_inputs, n_outputs)
            start = f"{prefix}." if prefix else ""
            axes |= {f"{start}weight": (1,), f"{start}bias": ()}
    return axes


def _walk_around(
    surface: LossSurface,
    directions: list[dict[str, Tensor]],
    a: np.ndarray,
    b: np.ndarray,
) -> Iterator[None]:
    """Go from point to point of a line or a plane."""
    first, second = directions[0], directions[-1]
    for share in a:
        start = {n: w + share * first[n] for n, w in surface.weights.items()}
        for further in b:
            surface.place({n: w + further * second[n] for n, w in start.items()})
            yield


# Between two nets


def walk_between(
    surface: LossSurface, module: nn.Module, shares: np.ndarray
) -> Iterator[None]:
    """Go from point to point of the line from a net to another module.

    Parameters
    ----------
    surface : LossSurface
        Of the one, with all parameters. Statistics that normalizations keep move, too.
    module : Module
        The other.
    shares : ndarray of shape (n_points,)
        Where on the line.
    """
    statistics = running_statistics(surface.module)
    mine = surface.weights | {n: v.clone() for n, v in statistics.items()}
    others = dict(module.named_parameters()) | running_statistics(module)
    theirs = {n: others[n].detach().to(v) for n, v in mine.items()}
    for share in shares:
        weights = weights_between(mine, theirs, float(share))
        for name, value in statistics.items():
            value.copy_(weights.pop(name))
        surface.place(weights)
        yield
