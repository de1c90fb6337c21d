"""The way of gradient descent to the separator of the largest margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.inspection._descents import OPTIMIZERS, descend, stable_rate
from sklearn_memgen.inspection._last_layer import read_features
from sklearn_memgen.inspection._max_margin import NotSeparableError, max_margin
from sklearn_memgen.inspection.margin_display import MarginPathDisplay

__all__ = ["MarginPath", "margin_path"]


@dataclass(frozen=True)
class MarginPath:
    """How linear classifiers turned toward the separator of the largest margin.

    Parameters
    ----------
    optimizers : tuple of str
        Names of the optimizers.
    steps : ndarray of shape (n_records,), int
        The steps after which was recorded, counted from 1.
    loss : ndarray of shape (n_optimizers, n_records)
        Mean logistic loss of the rows, nats.
    norm : ndarray of shape (n_optimizers, n_records)
        Length of the weights.
    cos_gap : ndarray of shape (n_optimizers, n_records)
        One minus the cosine of the angle to `svm_direction`.
    margin : ndarray of shape (n_optimizers, n_records)
        The smallest lead of a label over the other classes, in units of `norm`: for two
        classes the distance of the nearest row to the plane that separates them.
        Negative while there are errors.
    svm_direction : ndarray of shape (n_features,) or (n_features, n_classes)
        The hard-margin SVM without intercept, of length 1.
    max_margin : float
        Its margin.
    learning_rate : float
        That of all optimizers.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.

    See Also
    --------
    margin_path : Goes the way.
    """

    optimizers: tuple[str, ...]
    steps: np.ndarray
    loss: np.ndarray
    norm: np.ndarray
    cos_gap: np.ndarray
    margin: np.ndarray
    svm_direction: np.ndarray
    max_margin: float
    learning_rate: float
    classes: np.ndarray

    @property
    def angle(self) -> np.ndarray:
        """The angle to `svm_direction`, degrees, (n_optimizers, n_records)."""
        return np.degrees(2 * np.arcsin(np.sqrt(self.cos_gap / 2).clip(0, 1)))

    @property
    def margin_gap(self) -> np.ndarray:
        """By how much `margin` is below `max_margin`, (n_optimizers, n_records)."""
        return self.max_margin - self.margin

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each optimizer and recorded step.

        Returns
        -------
        frame : DataFrame of shape (n_optimizers * n_records, 8)
            `optimizer`, `step`, `loss`, `norm`, `angle` in degrees, `cos_gap`, `margin`
            and `margin_gap`.
        """
        n_records = len(self.steps)
        names = ("loss", "norm", "angle", "cos_gap", "margin", "margin_gap")
        return pd.DataFrame(
            {
                "optimizer": np.repeat(self.optimizers, n_records),
                "step": np.tile(self.steps, len(self.optimizers)),
            }
            | {name: getattr(self, name).ravel() for name in names}
        )

    def plot(self, axes: Any = None) -> MarginPathDisplay:
        """Draw norm, angle and margin gap against the step; see `MarginPathDisplay`."""
        return MarginPathDisplay(self).plot(axes)


@validate_params(
    {
        "optimizers": ["array-like"],
        "n_steps": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "fit_intercept": ["boolean"],
        "n_records": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def margin_path(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    optimizers: Sequence[str] = OPTIMIZERS,
    n_steps: int = 50_000,
    learning_rate: float | None = None,
    momentum: float = 0.9,
    fit_intercept: bool = False,
    n_records: int = 150,
    random_state: int | np.random.RandomState | None = None,
) -> MarginPath:
    r"""Follow gradient descent toward the separator of the largest margin.

    Where a linear model can separate the classes, the logistic loss has no minimum: the
    weights grow forever. Their direction converges nevertheless, and with gradient
    descent to that of the hard-margin SVM [1]_, though nothing in the loss asks for a
    large margin. This function trains the last layer of a net, or a linear model of the
    inputs themselves, from zero on all rows at once, and compares it with that SVM on
    the way.

    Parameters
    ----------
    estimator : fitted classifier, unfitted classifier of one linear layer, or None
        Where the features come from. Of a fitted `NetClassifier` (or `Pipeline` that
        ends in one) they are what its last linear layer sees: of a
        `WideDeepClassifier` that of its deep part, all members' side by side. One that
        is not fitted may have no other layer with parameters: the features are what it
        sees of `X`. With None `X` are the features.
    X, y : inputs and labels, of n_rows rows
        What is learned.
    optimizers : sequence of str, default=("gd", "momentum", "adam")
        Gradient descent; with momentum; and Adam, which does not converge to this SVM.
    n_steps : int, default=50_000
        Steps of each. The angle falls with the logarithm of their number.
    learning_rate : float, default=None
        Of the sum of the losses. By default :math:`1 / \sigma_{max}`, the largest
        singular value of the features, as in the figure of [1]_, but
        :math:`1 / (\beta \sigma_{max}^2)` where that is less, which cannot diverge;
        :math:`\beta` is 1/4 for two classes and 1/2 for more.
    momentum : float, default=0.9
        Share of the last step's direction in the next; the gradient has the rest, so
        that steps are as long as those without.
    fit_intercept : bool, default=False
        Whether to add a feature that is 1 in all rows. Its weight counts in the norm
        and in the margin as those of the others do. The theory has no intercept.
    n_records : int, default=150
        Most steps that are recorded, from the first to the last, evenly in their
        logarithm.
    random_state : int, RandomState instance or None, default=None
        For encoders of an estimator that is not fitted, if they draw at random. All
        else is determined.

    Returns
    -------
    path : MarginPath
        Loss, norm, angle and margin by step; `to_frame` and `plot` show them.

    Raises
    ------
    ValueError
        If no linear function of the features separates the classes: gradient descent
        then converges to a finite minimum. If a parameter is none of its values, or the
        estimator has no last linear layer, or is not fitted and has others, too.
    TypeError
        If `estimator` is no classifier with a net.
    FloatingPointError
        If it diverges at the given learning rate.

    See Also
    --------
    MarginPathDisplay : The picture.
    sklearn_memgen.datasets.make_separable : The data of the figure of [1]_.

    Notes
    -----
    Theorem 3 of [1]_: :math:`w(t) = \hat w \log t + \rho(t)` with the hard-margin SVM
    :math:`\hat w = \arg\min \|w\|^2` subject to :math:`y_n w \cdot x_n \ge 1`, and
    :math:`\rho` bounded. So the norm grows like :math:`\log t`, the angle and the
    margin gap fall like :math:`1 / \log t`, one minus the cosine like
    :math:`1 / \log^2 t`, and the loss like :math:`1 / t`. These are laws of the long
    run, which may begin late.

    More than two classes have one weight vector each, the softmax cross-entropy and
    the SVM of Crammer and Singer; angle and norm are those of all vectors together
    (section 4.2 of [1]_).

    All is computed in float64, on the device of the estimator. The SVM is found to
    rounding by an active set; `sklearn.svm.SVC` with a large ``C`` comes close to it
    (where the intercept is zero). Margins of whole deep nets through their training are
    another matter: they are not normalized by one norm, and there is no SVM to compare
    with.

    References
    ----------
    .. [1] Soudry, Hoffer, Nacson, Gunasekar and Srebro, "The Implicit Bias of Gradient
       Descent on Separable Data", 2018, https://arxiv.org/abs/1710.10345

    Examples
    --------
    >>> from sklearn_memgen.datasets import make_separable
    >>> from sklearn_memgen.inspection import margin_path
    >>> X, y = make_separable(random_state=0)
    >>> path = margin_path(None, X, y, n_steps=3000)
    >>> path.svm_direction.round(4)
    array([0.7071, 0.7071])
    >>> frame = path.to_frame().set_index(["optimizer", "step"])
    >>> bool(frame.loc[("gd", 3000), "angle"] < frame.loc[("adam", 3000), "angle"])
    True
    """
    names = _check_optimizers(optimizers)
    features, codes, classes = read_features(estimator, X, y, random_state)
    if fit_intercept:
        features = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    try:
        svm = max_margin(features.cpu().numpy(), codes, len(classes))
    except NotSeparableError:
        raise ValueError(
            f"the {len(features)} rows are not linearly separable in their "
            f"{features.shape[1]} features"
            + ("" if fit_intercept else " by planes through the origin")
            + ", so that gradient descent converges to a finite minimum and there is "
            "no largest margin; take rows or features that are"
            + ("" if fit_intercept else ", or fit_intercept=True")
        ) from None
    if learning_rate is None:
        learning_rate = stable_rate(features, svm.shape[1])
    steps = np.unique(np.rint(np.geomspace(1, n_steps, n_records)).astype(int))
    records = descend(
        features,
        torch.from_numpy(codes).to(features.device),
        torch.from_numpy(svm).to(features.device),
        optimizers=names,
        steps=steps,
        learning_rate=float(learning_rate),
        momentum=float(momentum),
    )
    if not np.isfinite(records).all():
        raise FloatingPointError(
            f"weights became infinite or NaN at learning_rate={learning_rate:g}; "
            "lower it, or leave it out for one that cannot diverge"
        )
    loss, norm, cos_gap, margin = np.moveaxis(records, -1, 0)
    length = np.linalg.norm(svm)
    return MarginPath(
        names,
        steps,
        loss,
        norm,
        cos_gap,
        margin,
        (svm / length).squeeze(1) if svm.shape[1] == 1 else svm / length,
        float(1 / length),
        float(learning_rate),
        classes,
    )


def _check_optimizers(optimizers: Any) -> tuple[str, ...]:
    """Return the names of optimizers."""
    names = tuple(optimizers)
    strange = [name for name in names if name not in OPTIMIZERS]
    if isinstance(optimizers, str) or strange or not names:
        raise ValueError(
            f"optimizers must be a list of some of {list(OPTIMIZERS)}; got "
            f"{optimizers!r}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"optimizers must be named once each; got {optimizers!r}")
    return names
