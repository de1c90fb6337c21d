"""Instability: whether two trainings from the same weights end in one valley."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_scalar
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_memgen._axes import SOFT, set_title
from sklearn_memgen._lottery_nets import begin_with
from sklearn_memgen._lottery_plan import check_epochs
from sklearn_memgen.inspection._display import InspectionDisplay
from sklearn_memgen.inspection._loss_surface import LossSurface
from sklearn_memgen.inspection._subject import Subject, read_subject
from sklearn_memgen.inspection.landscape import barrier_of, walk_between
from sklearn_memgen.training import (
    Member,
    ResidentNet,
    auto_batch_size,
    auto_max_epochs,
    resolve_device,
)
from sklearn_memgen.training.multipliers import check_option

__all__ = ["Instability", "InstabilityDisplay", "instability"]


@dataclass(frozen=True)
class Instability:
    """What lies between nets that parted after some epochs.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        After how many epochs nets parted.
    a : ndarray of shape (n_points,)
        Points on the line from one net, 0, to the other, 1.
    error, loss : ndarray of shape (n_epochs, n_repeats, n_points)
        Share of wrong predictions and mean loss, nats, on the test rows, on the lines.
    train_loss : ndarray of shape (n_epochs, n_repeats, n_points)
        Mean loss on the rows that both learned.
    max_epochs : int
        Epochs of a whole training.
    n_test : int
        How many rows were tested on.
    """

    epochs: np.ndarray
    a: np.ndarray
    error: np.ndarray
    loss: np.ndarray
    train_loss: np.ndarray
    max_epochs: int
    n_test: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each pair of nets.

        Returns
        -------
        frame : DataFrame of shape (n_epochs * n_repeats, 7)
            `epoch`, `repeat`, the mean `error` of both, the highest `error_between`,
            their difference, the `instability`, and the same difference of losses,
            `loss_barrier` and `train_loss_barrier`.
        """
        rows = []
        for place, epoch in enumerate(self.epochs):
            for repeat, error in enumerate(self.error[place]):
                barrier = barrier_of(error)
                rows.append(
                    {
                        "epoch": epoch,
                        "repeat": repeat,
                        "error": error.max() - barrier,
                        "error_between": error.max(),
                        "instability": barrier,
                        "loss_barrier": barrier_of(self.loss[place, repeat]),
                        "train_loss_barrier": barrier_of(
                            self.train_loss[place, repeat]
                        ),
                    }
                )
        return pd.DataFrame(rows)

    def plot(self, ax: Any = None) -> InstabilityDisplay:
        """Draw the lines; see `InstabilityDisplay`."""
        return InstabilityDisplay(self).plot(ax)


def instability(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    epochs: Sequence[int] = (0, 1),
    n_repeats: int = 1,
    n_points: int = 31,
    batch_norm: str = "interpolate",
    X_test: Any = None,
    y_test: Any = None,
    test_fraction: float = 0.25,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> Instability:
    r"""Tell whether two trainings from the same weights end in one valley.

    A net is trained for some epochs. From there two copies go on to the end, each in an
    order of rows of its own. Where the error on the line between them is no higher than
    at both ends, chance no longer decided what was learned.

    Parameters
    ----------
    estimator : NetClassifier, or Pipeline that ends in one
        See `capacity_curve`. Clones are trained.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
        The rows to learn.
    y : array-like of shape (n_rows,)
        Their labels.
    epochs : sequence of int, default=(0, 1)
        After how many epochs the copies part, 0 being before training.
    n_repeats : int, default=1
        How often it is done, from first weights of its own.
    n_points : int, default=31
        Points on the line, ends included.
    batch_norm : {"interpolate", "reestimate"}, default="interpolate"
        See `loss_landscape`.
    X_test, y_test : rows and labels, default=None
        To test on.
    test_fraction : float, default=0.25
        Share of the rows, of every class, to test on if there is no `X_test`.
    random_state : int, RandomState instance or None, default=None
        Draws test rows, weights and orders.
    strategy : {"auto", "stacked", "sequential", "joblib"}, default="auto"
        How nets are trained together; see `training.Population`.
    n_jobs : int, default=None
        Processes; see `training.Population`.

    Returns
    -------
    result : Instability
        Errors and losses on the lines.

    Raises
    ------
    ValueError
        If a parameter is none of its values, an epoch is beyond training, or rows
        cannot be learned.
    TypeError
        If `estimator` has no net.

    See Also
    --------
    loss_landscape : The line between two fitted classifiers.

    Notes
    -----
    .. math:: \sup_a E((1 - a) w_1 + a w_2) - \frac{E(w_1) + E(w_2)}{2}

    with the share of wrong predictions :math:`E`. Below 0.02 the authors call nets
    stable [1]_. Copies go on with the weights, not with the state of the optimizer,
    and with the estimator's schedule over the epochs that are left. A whole training is
    as long as the estimator says, without early stopping or a running average of the
    weights.

    References
    ----------
    .. [1] Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
       2020, https://arxiv.org/abs/1912.05671

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import instability
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> model = WideDeepClassifier(wide=False, max_epochs=10)
    >>> result = instability(model, X, y, epochs=(0, 5), random_state=0)
    >>> result.to_frame()["epoch"].tolist()
    [0, 5]
    """
    epochs = np.ravel(np.asarray(epochs)).tolist()
    if not epochs:
        raise ValueError("epochs must hold one epoch at least; got none")
    check_scalar(n_repeats, "n_repeats", (int, np.integer), min_val=1)
    check_scalar(n_points, "n_points", (int, np.integer), min_val=3)
    check_option("batch_norm", batch_norm, ("interpolate", "reestimate"))
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
    base, n_rows = subject.estimator, len(subject.training)
    max_epochs = auto_max_epochs(
        base.max_epochs, n_rows, auto_batch_size(base.batch_size, n_rows)
    )
    check_epochs("epochs", epochs, max_epochs)
    kept = _train_trunks(subject, epochs, n_repeats, max_epochs)
    members = [
        _go_on(subject, weights[epoch], max_epochs - epoch)
        for epoch in epochs
        for weights in kept
        for _ in range(2)
    ]
    nets = [trained.net for trained in subject.train(members)]
    a = np.linspace(0, 1, n_points)
    lines = []
    for one, other in zip(nets[::2], nets[1::2], strict=True):
        assert one is not None and other is not None
        lines.append(_line(subject, one, other, a, batch_norm == "reestimate"))
    shape = 3, len(epochs), n_repeats, n_points
    error, loss, train_loss = np.stack(lines, axis=1).reshape(shape)
    assert subject.test is not None
    return Instability(
        np.asarray(epochs), a, error, loss, train_loss, max_epochs, len(subject.test)
    )


class _KeepWeights(Callback):
    """Keep the weights after some epochs, and end training after the last of them."""

    def __init__(self, epochs: Sequence[int]) -> None:
        self.epochs = epochs

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        self.weights_: dict[int, dict[str, Tensor]] = {}
        self._keep(net, 0)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self._keep(net, len(net.history))
        if len(net.history) >= max(self.epochs):
            raise KeyboardInterrupt  # by which skorch's callbacks end training

    def _keep(self, net: Any, epoch: int) -> None:
        if epoch in self.epochs:
            self.weights_[epoch] = {
                name: value.detach().to("cpu", copy=True)
                for name, value in net.module_.state_dict().items()
            }


def _train_trunks(
    subject: Subject, epochs: Sequence[int], n_repeats: int, max_epochs: int
) -> list[dict[int, dict[str, Tensor]]]:
    """Return the weights after each epoch at which nets part, of each repeat."""
    members = [
        subject.member(max_epochs=max_epochs, callbacks=[_KeepWeights(epochs)])
        for _ in range(n_repeats)
    ]
    kept = []
    for trained in subject.train(members):
        # Those of another process are copies.
        keeper = next(c for c in trained.callbacks if isinstance(c, _KeepWeights))
        kept.append(keeper.weights_)
    return kept


def _go_on(subject: Subject, weights: Mapping[str, Tensor], n_epochs: int) -> Member:
    """Return a net that is to be trained from given weights."""
    member = subject.member(max_epochs=n_epochs)
    device = str(resolve_device(subject.estimator.device))
    make_net: Callable[[], ResidentNet]
    make_net = partial(begin_with, member.make_net, weights, device)
    return replace(member, make_net=make_net)


def _line(
    subject: Subject,
    one: ResidentNet,
    other: ResidentNet,
    a: np.ndarray,
    reestimate: bool,
) -> np.ndarray:
    """Return error and loss on test rows, and the loss on learned ones, on a line."""
    assert subject.test is not None
    learned = LossSurface(one, subject.training, frozen=True)
    tested = learned.on(subject.test)
    points = []
    for _ in walk_between(learned, other.module_, a):
        if reestimate:
            learned.estimate_statistics()
        loss, error = tested.look()
        points.append((error, loss, learned.look()[0]))
    return np.asarray(points).T


class InstabilityDisplay(InspectionDisplay):
    """How much the error rises between nets, by the epoch at which they parted.

    Thick lines are means over the repeats, thin ones each pair.

    Parameters
    ----------
    result : Instability
        What `instability` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.inspection import InstabilityDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> InstabilityDisplay.from_estimator(
    ...     WideDeepClassifier(max_epochs=3), X, y, n_points=5, random_state=0
    ... ).plot()
    <sklearn_memgen.inspection.connectivity.InstabilityDisplay object at ...>
    """

    _inspect = staticmethod(instability)

    def _draw(self, ax: Any) -> None:
        from matplotlib import colormaps

        result = self.result
        shades = colormaps["viridis"](np.linspace(0, 0.85, len(result.epochs)))
        rise = result.error - result.error[..., [0, -1]].mean(axis=-1, keepdims=True)
        for epoch, points, color in zip(result.epochs, 100 * rise, shades, strict=True):
            words = "before training" if epoch == 0 else f"after epoch {epoch}"
            if len(points) > 1:
                ax.plot(result.a, points.T, color=color, lw=0.8, alpha=0.35)
            ax.plot(result.a, points.mean(axis=0), color=color, lw=2.2, label=words)
        ax.axhline(0, color=SOFT, lw=0.8, ls=":")
        ax.set_xlabel("share of the other net")
        ax.set_ylabel("test error above that of both ends, points")
        set_title(ax, "On the line between two nets that parted ...")
        ax.legend(frameon=False, fontsize=8)
