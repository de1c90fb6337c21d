"""Capacity: training and test error of nets that are ever wider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_memgen._label_noise import LabelNoise
from sklearn_memgen._sklearn import Interval, validate_params
from sklearn_memgen.inspection._measures import accuracy_and_loss
from sklearn_memgen.inspection._norms import (
    InitialWeights,
    n_trained_parameters,
    norms_of,
)
from sklearn_memgen.inspection._subject import (
    TRAINING_PARAMETERS,
    Subject,
    read_subject,
)
from sklearn_memgen.inspection._widths import find_width, with_width
from sklearn_memgen.inspection.capacity_display import CapacityCurveDisplay
from sklearn_memgen.training import Member, TrainedMember

__all__ = ["CapacityCurve", "capacity_curve"]


@dataclass(frozen=True)
class CapacityCurve:
    """How nets of different width learn and generalize.

    Parameters
    ----------
    runs : DataFrame of shape (n_noises * n_widths * n_repeats, 12)
        A row for each net, in the order of noise, width and repeat; see `to_frame`.
    tolerance : float
        Largest training error of nets that interpolate.
    n_rows, n_test_rows : int
        Numbers of labels that were learned and tested.
    constant_error : float
        Share of the test labels that the most frequent class would miss.

    See Also
    --------
    capacity_curve : Trains the nets.
    """

    runs: pd.DataFrame
    tolerance: float
    n_rows: int
    n_test_rows: int
    constant_error: float

    @property
    def widths(self) -> np.ndarray:
        """The widths, ascending, shape (n_widths,)."""
        return np.unique(self.runs["width"])

    @property
    def label_noise(self) -> np.ndarray:
        """The levels of noise, ascending, shape (n_noises,)."""
        return np.unique(self.runs["label_noise"])

    @property
    def train_error(self) -> np.ndarray:
        """Share of learned labels missed, shape (n_noises, n_widths, n_repeats)."""
        return self._array("train_error")

    @property
    def test_error(self) -> np.ndarray:
        """Share of test labels missed, shape (n_noises, n_widths, n_repeats)."""
        return self._array("test_error")

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each net.

        Returns
        -------
        frame : DataFrame of shape (n_noises * n_widths * n_repeats, 12)
            - `label_noise`, `width`, `repeat`: which net it is;
            - `n_parameters`: how many of them are trained;
            - `train_error`, `test_error`: share of labels that it misses, of those that
              it learned, wrong ones among them, and of those of the test rows;
            - `train_loss`, `test_loss`: mean loss, nats;
            - `weight_norm`: length of all trained parameters as one vector;
            - `distance`: how far that vector went from where it began;
            - `spectral_product`: product of the largest singular values of all weight
              matrices; NaN if there are weights of other layers than linear ones and
              convolutions;
            - `path_norm`: see `capacity_curve`; NaN if the net is no plain chain of
              linear layers and ReLUs.
        """
        return self.runs.copy()

    def means(self) -> pd.DataFrame:
        """Return the means over repeats, indexed by `label_noise` and `width`."""
        by_width = self.runs.drop(columns="repeat").groupby(["label_noise", "width"])
        return by_width.mean()

    @property
    def interpolation_width(self) -> pd.Series:
        """The smallest width that fits the labels, by level of noise.

        The mean training error over repeats is at most `tolerance`. NaN where no width
        was enough.
        """
        error = self.means()["train_error"].unstack("width")
        fits = (error <= self.tolerance).to_numpy()
        widths = np.where(fits.any(axis=1), self.widths[fits.argmax(axis=1)], np.nan)
        return pd.Series(widths, index=error.index, name="interpolation_width")

    def plot(self, ax: Any = None) -> CapacityCurveDisplay:
        """Draw training and test error against width.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : CapacityCurveDisplay
            The picture.
        """
        return CapacityCurveDisplay(self).plot(ax)

    def _array(self, name: str) -> np.ndarray:
        shape = len(self.label_noise), len(self.widths), -1
        return self.runs[name].to_numpy().reshape(shape)


@validate_params(
    {
        **TRAINING_PARAMETERS,
        "widths": ["array-like"],
        "label_noise": ["array-like", Interval(Real, 0, 1, closed="left")],
        "width": [str, callable, None],
        "tolerance": [Interval(Real, 0, 1, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def capacity_curve(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    widths: Sequence[int] = (4, 8, 16, 32, 64, 128, 256, 512),
    *,
    label_noise: float | Sequence[float] = (0.0, 0.05),
    width: str | Callable[[Any, int], Any] | None = None,
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    test_fraction: float = 0.2,
    max_epochs: int | None = None,
    n_repeats: int = 1,
    tolerance: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> CapacityCurve:
    r"""Train nets of ever more units, and tell how they fit and how they generalize.

    In textbooks a model that is larger than it has to be to fit its training rows does
    worse on others. Of nets that is often not so: from the width on at which the
    training error is zero, the error on other rows stays as it is or falls further,
    also where some labels are wrong and learned by heart [1]_.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What the nets are but for their width, and how they learn. They are trained to
        the end, without early stopping. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
        The inputs.
    y : array-like of shape (n_rows,)
        Class labels.
    widths : sequence of int, default=(4, 8, 16, 32, 64, 128, 256, 512)
        Units of each hidden layer.
    label_noise : float or sequence of float, default=(0, 0.05)
        Shares of the training labels that are made wrong, as any other class with the
        same probability; from 0 on and below 1.
    width : str, callable or None, default=None
        Which parameter is the width: one of the estimator, such as
        "hidden_layer_sizes", of which each layer gets as many units, or one of its
        module, such as "module_params__n_units". Or a function ``width(estimator, n)``
        that returns an estimator of that width. None takes the `hidden_layer_sizes` of
        a `WideDeepClassifier`, and of a module a parameter with a name that is usual,
        such as `n_units`, `hidden_size` or `width`.
    X_test, y_test : inputs of n_test_rows rows and their labels, default=None
        What to test on.
    test_fraction : float, default=0.2
        Share of the rows that are held out to test, of every class, if there is no
        `X_test`.
    max_epochs : int, default=None
        Epochs of every net; by default those of the estimator.
    n_repeats : int, default=1
        Nets of each width and noise. Each repeat has a seed and wrong labels of its
        own, the same for all widths.
    tolerance : float, default=0
        Largest training error of a net that is said to interpolate.
    random_state : int, RandomState instance or None, default=None
        Draws test rows, wrong labels and seeds.
    strategy, n_jobs
        See `training.Population`.

    Returns
    -------
    curve : CapacityCurve
        `to_frame` has a row for each net, `interpolation_width` the smallest width that
        fits all labels, and `plot` draws.

    Raises
    ------
    ValueError
        If a parameter is out of its range, no parameter is the width, or data cannot be
        learned from.
    TypeError
        If `estimator` has no net, or `width` returns another kind of estimator.
    FloatingPointError
        If the loss of a net becomes infinite or NaN.

    Notes
    -----
    All nets see the same rows, encoded once, by an encoder that was fitted with the
    labels given: what noise does to an encoder that reads labels is no part of the
    curve. Test labels are as given. Settings such as the learning rate are those of the
    estimator for every width, so that they should suit the widest.

    Of a chain of L linear layers and ReLUs with weights :math:`W_l` the path norm is

    .. math:: \Big(\sum_{p} \prod_{l=1}^{L} (W_l)_{p_l p_{l-1}}^2\Big)^{1/2}

    over all paths p from an input, or a bias, to an output [2]_. Rescaling a unit and
    what follows it does not change it.

    References
    ----------
    .. [1] Neyshabur, Tomioka and Srebro, "In Search of the Real Inductive Bias: On the
       Role of Implicit Regularization in Deep Learning", 2015,
       https://arxiv.org/abs/1412.6614
    .. [2] Neyshabur, Tomioka and Srebro, "Norm-Based Capacity Control in Neural
       Networks", 2015, https://arxiv.org/abs/1503.00036

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import capacity_curve
    >>> class MLP(nn.Sequential):
    ...     def __init__(self, n_features, n_classes, n_units=16):
    ...         super().__init__(
    ...             nn.Linear(n_features, n_units), nn.ReLU(),
    ...             nn.Linear(n_units, n_classes),
    ...         )
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NetClassifier(MLP, weight_decay=0.0, max_epochs=30)
    >>> curve = capacity_curve(model, X, y, (1, 8, 64), random_state=0)
    >>> curve.train_error.shape  # two levels of noise, three widths
    (2, 3, 1)
    >>> curve.to_frame()["n_parameters"].tolist()
    [11, 67, 515, 11, 67, 515]
    """
    sizes = _check_widths(widths)
    levels = _check_noise(label_noise)
    subject = read_subject(
        estimator,
        X,
        y,
        X_test=X_test,
        y_test=y_test,
        test_fraction=test_fraction,
        random_state=random_state,
        strategy=strategy,
        n_jobs=n_jobs,
    )
    found = find_width(subject.estimator, width)
    estimators = [with_width(subject.estimator, found, n) for n in sizes]
    if max_epochs is not None:
        estimators = [one.set_params(max_epochs=max_epochs) for one in estimators]
    noise = LabelNoise("uniform", subject.classes, exact=True)
    keys, members = [], []
    seeds = subject.rng.randint(2**31, size=n_repeats)
    for level in levels:
        noisy = [noise.inject(subject.codes, level, subject.rng) for _ in seeds]
        for n, sized in zip(sizes, estimators, strict=True):
            for repeat, (codes, seed) in enumerate(zip(noisy, seeds, strict=True)):
                member = subject.member(
                    codes=codes,
                    estimator=sized,
                    callbacks=[InitialWeights()],
                    seed=int(seed),
                )
                keys.append((level, n, repeat))
                members.append(member)
    trained = subject.train(members)
    runs = [
        _measure(subject, member, net)
        for member, net in zip(members, trained, strict=True)
    ]
    assert subject.test is not None
    test_codes = subject.test.targets.numpy()
    frequent = np.bincount(subject.codes).argmax()
    keyed = pd.DataFrame(keys, columns=["label_noise", "width", "repeat"])
    return CapacityCurve(
        keyed.join(pd.DataFrame(runs)),
        float(tolerance),
        len(subject.codes),
        len(test_codes),
        float((test_codes != frequent).mean()),
    )


def _measure(
    subject: Subject, member: Member, trained: TrainedMember
) -> dict[str, float]:
    """Return what is to be known of a trained net."""
    net = trained.net
    assert net is not None and subject.test is not None
    initial = next(c for c in trained.callbacks if isinstance(c, InitialWeights))
    train_accuracy, train_loss = accuracy_and_loss(net, member.training)
    test_accuracy, test_loss = accuracy_and_loss(net, subject.test)
    return {
        "n_parameters": n_trained_parameters(net.module_),
        "train_error": 1 - train_accuracy,
        "test_error": 1 - test_accuracy,
        "train_loss": train_loss,
        "test_loss": test_loss,
        **norms_of(net.module_, initial.weights_, member.training.X),
    }


def _check_widths(widths: Any) -> list[int]:
    """Return the widths in ascending order."""
    array = np.ravel(np.asarray(widths))
    if not len(array) or array.dtype.kind not in "iu" or (array < 1).any():
        raise ValueError(f"widths must be positive integers; got {widths!r}")
    if len(np.unique(array)) < len(array):
        raise ValueError(f"widths must differ from one another; got {widths!r}")
    return sorted(array.tolist())


def _check_noise(label_noise: Any) -> list[float]:
    """Return the levels of noise in ascending order."""
    try:
        array = np.ravel(np.asarray(label_noise, dtype=float))
    except (TypeError, ValueError):
        raise ValueError(f"label_noise must be numbers; got {label_noise!r}") from None
    if not len(array) or not ((array >= 0) & (array < 1)).all():
        raise ValueError(
            f"label_noise must be shares from 0 on and below 1; got {label_noise!r}"
        )
    if len(np.unique(array)) < len(array):
        raise ValueError(f"label_noise must have each level once; got {label_noise!r}")
    return sorted(array.tolist())
