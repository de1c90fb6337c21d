"""Sharpness: how fast the loss of a net rises around its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state, check_scalar
from torch import Tensor

from sklearn_memgen.inspection._fitted_subject import read_fitted
from sklearn_memgen.inspection._loss_surface import LossSurface, sample_rows
from sklearn_memgen.inspection.sharpness_display import MEASURES, SharpnessDisplay

__all__ = ["Sharpness", "sharpness"]

#: Length of a step of the ascent in the box, as a share of the box.
_STEP = 0.25
#: Residual, as a share of the eigenvalue, at which the search for it ends.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Sharpness:
    """How sharp the minimum is that a net is in.

    Parameters
    ----------
    values : dict of str to float
        Each measure.
    std_errors : dict of str to float
        Their standard errors over random draws, where there are any.
    loss, error : float
        Mean loss, nats, and share of wrong predictions on the rows, at the weights.
    n_rows : int
        How many rows were looked at.
    n_given : int
        How many were given.
    n_parameters : int
        How many numbers the loss was taken as a function of.
    ascent : ndarray of shape (n_steps + 1,)
        The loss on the way up in the box, in nats, by step; empty without "keskar".
    eigenvalues : ndarray of shape (n_steps, 2)
        What the smallest and the largest eigenvalue were taken for after each product
        with the Hessian; empty without "hessian_eigenvalue".
    residual : float
        Norm of Hessian times vector minus eigenvalue times vector, at the largest.
    traces : ndarray of shape (n_probes,)
        What each probe says the trace is; empty without "hessian_trace".
    settings : dict
        The `rho`, `adaptive_rho` and `epsilon` that were used.
    """

    values: dict[str, float]
    std_errors: dict[str, float]
    loss: float
    error: float
    n_rows: int
    n_given: int
    n_parameters: int
    ascent: np.ndarray
    eigenvalues: np.ndarray
    residual: float
    traces: np.ndarray
    settings: dict[str, float]

    @property
    def smallest_eigenvalue(self) -> float:
        """The smallest eigenvalue; below zero, the weights are at no minimum."""
        return float(self.eigenvalues[-1, 0]) if len(self.eigenvalues) else np.nan

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each measure: `measure`, `value`, `std_error`, `n_rows`.

        `std_error` is missing for what is not drawn at random.
        """
        return pd.DataFrame(
            {
                "measure": list(self.values),
                "value": list(self.values.values()),
                "std_error": [
                    self.std_errors.get(name, np.nan) for name in self.values
                ],
                "n_rows": self.n_rows,
            }
        )

    def plot(self, ax: Any = None) -> SharpnessDisplay:
        """Draw the measures; see `SharpnessDisplay`."""
        return SharpnessDisplay(self).plot(ax)


def sharpness(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    measures: Sequence[str] = tuple(MEASURES),
    rho: float = 0.05,
    adaptive_rho: float = 0.5,
    epsilon: float = 1e-3,
    n_rows: int | None = 2000,
    n_iter: int = 30,
    n_probes: int = 20,
    random_state: int | np.random.RandomState | None = None,
) -> Sharpness:
    r"""Measure how fast the loss of a fitted classifier rises around its weights.

    Wide minima are often said to generalize better than sharp ones. Five measures of
    it, on the same rows, mostly those that were learned.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline that ends in one
        See `memorization_scores`. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_given rows
        The rows.
    y : array-like of shape (n_given,)
        Their labels.
    measures : sequence of str, default=all
        "keskar", "sam", "adaptive", "hessian_eigenvalue" and "hessian_trace", see
        Notes.
    rho : float, default=0.05
        Length of the step of "sam".
    adaptive_rho : float, default=0.5
        Length of the step of "adaptive", in which each weight counts relative to
        itself.
    epsilon : float, default=0.001
        Size of the box of "keskar".
    n_rows : int or None, default=2000
        Most rows to look at; more are sampled, of which `n_rows` of the result says.
        None looks at all.
    n_iter : int, default=30
        Steps of the ascent in the box, and most products with the Hessian in the search
        for its largest eigenvalue. Each costs two passes over the rows or less.
    n_probes : int, default=20
        Random vectors for the trace, a product each.
    random_state : int, RandomState instance or None, default=None
        Draws rows and vectors.

    Returns
    -------
    result : Sharpness
        The measures, their standard errors, and how they came about.

    Raises
    ------
    ValueError
        If a parameter is none of its values, `X` does not go with the classifier, or
        the loss at its weights is not finite.
    NotFittedError
        If the classifier is not fitted.
    RuntimeError
        If torch has no second derivative of a layer, which the Hessian needs.

    See Also
    --------
    loss_landscape : The loss along random directions.

    Notes
    -----
    With the mean loss :math:`L` in nats, as the criterion has it in evaluation mode
    (statistics of normalizations are those that are kept, nothing is dropped), without
    weight decay and weights of rows, and its gradient :math:`g` at the weights
    :math:`w`:

    "keskar" [1]_, in percent, the highest point that projected ascent by the signs of
    the gradient finds in the box, a lower bound as any search has it:

    .. math:: 100 \max_{|z_i| \le \epsilon (|w_i| + 1)}
        \frac{L(w + z) - L(w)}{1 + L(w)}

    "sam" [2]_ is :math:`L(w + \rho g / \|g\|) - L(w)`. "adaptive" [3]_ is
    :math:`L(w + \rho T^2 g / \|T g\|) - L(w)` with :math:`T = \mathrm{diag}(|w|)`.

    "hessian_eigenvalue" is the largest eigenvalue of the Hessian, and "hessian_trace"
    its trace, the mean of :math:`v^T H v` over vectors :math:`v` of random signs. The
    eigenvalue is searched for in the vectors of the power iteration, :math:`v, H v,
    H^2 v, ...`, by the recurrence of Lanczos, which needs far fewer of them and does
    not take a large negative one for the largest.

    Layers of ReLUs can be scaled, one up and the next down, without a change of what
    the net computes. All measures but "adaptive" change with it, so they can be made
    any number [4]_: compare by them only nets that were trained alike.

    References
    ----------
    .. [1] Keskar et al., "On Large-Batch Training for Deep Learning: Generalization Gap
       and Sharp Minima", 2017, https://arxiv.org/abs/1609.04836
    .. [2] Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
       Generalization", 2021, https://arxiv.org/abs/2010.01412
    .. [3] Kwon et al., "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant
       Learning of Deep Neural Networks", 2021, https://arxiv.org/abs/2102.11600
    .. [4] Dinh et al., "Sharp Minima Can Generalize For Deep Nets", 2017,
       https://arxiv.org/abs/1703.04933

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import sharpness
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> result = sharpness(model, X, y, random_state=0)
    >>> result.to_frame()["measure"].tolist()
    ['keskar', 'sam', 'adaptive', 'hessian_eigenvalue', 'hessian_trace']
    >>> bool(result.values["keskar"] > 0)
    True
    """
    measures = _check_measures(measures)
    positive = {"min_val": 0, "include_boundaries": "neither"}
    settings = {"rho": rho, "adaptive_rho": adaptive_rho, "epsilon": epsilon}
    for name, value in settings.items():
        check_scalar(value, name, (int, float), **positive)
    check_scalar(n_iter, "n_iter", (int, np.integer), min_val=1)
    check_scalar(n_probes, "n_probes", (int, np.integer), min_val=2)
    rng = check_random_state(random_state)
    subject = read_fitted(estimator, X, y)
    rows = sample_rows(subject, n_rows, rng)
    surface = LossSurface(subject.net, subject.data, rows)
    if not surface.parameters:
        raise ValueError("estimator has a net in which no parameter can change")
    loss, error = surface.look()
    if not np.isfinite(loss):
        raise ValueError(f"the loss of the estimator on the rows given is {loss}")
    draw = torch.Generator().manual_seed(int(rng.randint(2**31)))
    values: dict[str, float] = {}
    std_errors: dict[str, float] = {}
    ascent, traces, eigenvalues = np.empty(0), np.empty(0), np.empty((0, 2))
    residual = np.nan
    if "keskar" in measures:
        ascent = _climb(surface, epsilon, n_iter, draw)
        values["keskar"] = 100 * (ascent.max() - ascent[0]) / (1 + ascent[0])
    if "sam" in measures:
        values["sam"] = _rise(surface, loss, rho, adaptive=False)
    if "adaptive" in measures:
        values["adaptive"] = _rise(surface, loss, adaptive_rho, adaptive=True)
    if "hessian_eigenvalue" in measures:
        eigenvalues, residual = _search_eigenvalues(surface, n_iter, draw)
        values["hessian_eigenvalue"] = float(eigenvalues[-1, 1])
    if "hessian_trace" in measures:
        traces = _probe_trace(surface, n_probes, draw)
        values["hessian_trace"] = float(traces.mean())
        std_errors["hessian_trace"] = float(traces.std(ddof=1) / np.sqrt(n_probes))
    return Sharpness(
        {name: float(values[name]) for name in measures},
        std_errors,
        loss,
        error,
        len(rows),
        len(subject.data),
        surface.n_parameters,
        ascent,
        eigenvalues,
        residual,
        traces,
        settings,
    )


def _check_measures(measures: Any) -> list[str]:
    wanted = [measures] if isinstance(measures, str) else list(measures)
    unknown = [name for name in wanted if name not in MEASURES]
    if unknown or not wanted:
        raise ValueError(
            f"measures must be some of {list(MEASURES)}; got {unknown or wanted}"
        )
    return list(dict.fromkeys(wanted))


# A vector is a dict of tensors, one a parameter


def _norm(vector: Mapping[str, Tensor]) -> Tensor:
    squares = [value.double().square().sum() for value in vector.values()]
    return torch.stack(squares).sum().sqrt()


def _dot(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
    products = [(v.double() * other[name].double()).sum() for name, v in one.items()]
    return torch.stack(products).sum()


def _signs(like: Mapping[str, Tensor], draw: torch.Generator) -> dict[str, Tensor]:
    """Draw -1 or 1 for each weight; on the host, so that a GPU draws the same."""
    return {
        name: (torch.randint(2, value.shape, generator=draw) * 2 - 1).to(value)
        for name, value in like.items()
    }


# The measures


def _climb(
    surface: LossSurface, epsilon: float, n_steps: int, draw: torch.Generator
) -> np.ndarray:
    """Return the loss on the way up in the box of Keskar et al."""
    weights = surface.weights
    size = {name: epsilon * (w.abs() + 1) for name, w in weights.items()}
    # The way of weights whose gradient is zero, as in a net that errs nowhere.
    otherwise = _signs(weights, draw)
    shift = {name: torch.zeros_like(w) for name, w in weights.items()}
    losses = []
    for _ in range(n_steps):
        loss, gradient = surface.gradient()
        losses.append(loss)
        for name, slope in gradient.items():
            way = torch.where(slope == 0, otherwise[name], slope.sign())
            # Share of the box, so that its borders are -1 and 1.
            shift[name] = (shift[name] + _STEP * way).clamp(-1, 1)
        surface.place({n: w + shift[n] * size[n] for n, w in weights.items()})
    highest, _ = surface.look()
    surface.place(weights)
    return np.append(torch.stack(losses).cpu().numpy(), highest)


def _rise(surface: LossSurface, loss: float, rho: float, *, adaptive: bool) -> float:
    """Return by how much the loss rises on a step up the gradient."""
    _, step = surface.gradient()
    if adaptive:
        scale = {name: w.abs() for name, w in surface.weights.items()}
        step = {name: g * scale[name] for name, g in step.items()}
    length = _norm(step)
    if not length > 0:
        return 0.0
    if adaptive:
        step = {name: g * scale[name] for name, g in step.items()}
    factor = (rho / length).float()
    there, _ = surface.look(
        {name: w + (factor * step[name]).to(w) for name, w in surface.weights.items()}
    )
    surface.place(surface.weights)
    return there - loss


def _search_eigenvalues(
    surface: LossSurface, n_iter: int, draw: torch.Generator
) -> tuple[np.ndarray, float]:
    """Return the smallest and largest eigenvalue by step, and the last residual.

    The recurrence of Lanczos. Only three vectors are kept: those of steps long ago lose
    their right angles to new ones by rounding, which leaves the outermost eigenvalues
    as they are.
    """
    vector = {
        name: torch.randn(w.shape, generator=draw).to(w)
        for name, w in surface.weights.items()
    }
    length = _norm(vector)
    vector = {name: v / length.float() for name, v in vector.items()}
    before = {name: torch.zeros_like(v) for name, v in vector.items()}
    diagonal: list[float] = []
    beside: list[float] = []
    found, residual, beta = [], np.nan, 0.0
    for _ in range(min(n_iter, surface.n_parameters)):
        product = surface.hessian_times(vector)
        alpha = float(_dot(vector, product))
        product = {
            name: p - alpha * vector[name] - beta * before[name]
            for name, p in product.items()
        }
        beta = float(_norm(product))
        diagonal.append(alpha)
        if not np.isfinite([alpha, beta]).all():
            raise FloatingPointError("the Hessian of the loss is not finite")
        small = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(small)
        found.append((values[0], values[-1]))
        residual = float(abs(beta * vectors[-1, -1]))
        largest = np.abs(values).max()
        if residual <= _TOLERANCE * abs(values[-1]) or beta <= 1e-7 * largest:
            break
        beside.append(beta)
        before = vector
        vector = {name: p / beta for name, p in product.items()}
    return np.asarray(found), residual


def _probe_trace(
    surface: LossSurface, n_probes: int, draw: torch.Generator
) -> np.ndarray:
    """Return what each of some vectors of random signs says the trace is."""
    traces = []
    for _ in range(n_probes):
        signs = _signs(surface.weights, draw)
        traces.append(_dot(signs, surface.hessian_times(signs)))
    return torch.stack(traces).cpu().numpy()
