"""What a net can learn by the scale and shift of its normalizations alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from sklearn_memgen._sklearn import Interval, StrOptions, validate_params
from sklearn_memgen.inspection._batch_statistics import (
    accuracy_by_batch,
    has_running_statistics,
)
from sklearn_memgen.inspection._parts import PartNet, PartNets
from sklearn_memgen.inspection._subject import (
    TRAINING_PARAMETERS,
    Subject,
    accuracy_of,
    read_subject,
)
from sklearn_memgen.inspection.batch_norm_display import BatchNormStudyDisplay
from sklearn_memgen.training import ResidentNet, TrainedMember

__all__ = ["BatchNormStudy", "batch_norm_study"]

#: In how many orders the test rows are divided into batches.
_N_ORDERS = 5
_MODES = ["training_batch_size", "repeat", "statistics", "batch_size", "test_accuracy"]


@dataclass(frozen=True)
class BatchNormStudy:
    """How well a net does if only a part of it is trained.

    Parameters
    ----------
    nets : DataFrame of shape (n_nets, 7)
        A row for each net; see `to_frame`.
    modes : DataFrame of shape (n_modes, 5)
        The accuracy on test rows of nets that were trained in full, by what BatchNorm
        normalizes by: `training_batch_size`, rows of a step of training; `repeat`;
        `statistics`, "running" for those that it has gathered in training, as in
        prediction, or "batch" for those of each batch, as in training; `batch_size`,
        rows that are normalized together, missing for "running"; `test_accuracy`.
        Without rows if no normalization has statistics: then the modes do not differ.
    constant_accuracy : float
        Share of the test labels that are of the most frequent class in training.
    n_rows, n_test_rows : int
        Numbers of labels that were learned and tested.

    See Also
    --------
    batch_norm_study : Trains the nets.
    """

    nets: pd.DataFrame
    modes: pd.DataFrame
    constant_accuracy: float
    n_rows: int
    n_test_rows: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each net.

        Returns
        -------
        frame : DataFrame of shape (n_nets, 7)
            - `trained`: "all", "batch_norm" (scale and shift of all normalizations,
              and nothing else), "random" (as many other parameters), "output" (the
              layer that is computed last) or "none";
            - `repeat`: which first weights it has; `draw`: of "random", which draw;
            - `n_trained`, `share`: how many parameters are trained, and which share of
              all that are;
            - `train_accuracy`, `test_accuracy`: share of labels that are predicted.
        """
        return self.nets.copy()

    def means(self) -> pd.DataFrame:
        """Return the means over repeats and draws, indexed by `trained`."""
        numbers = self.nets.drop(columns=["repeat", "draw"])
        return numbers.groupby("trained", sort=False).mean()

    def plot(self, ax: Any = None) -> BatchNormStudyDisplay:
        """Draw the accuracy on test rows by what is trained.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; by default on a new figure.

        Returns
        -------
        display : BatchNormStudyDisplay
            The picture; its `plot_modes` draws the other one.
        """
        return BatchNormStudyDisplay(self).plot(ax)


@validate_params(
    {
        **TRAINING_PARAMETERS,
        "n_random": [Interval(Integral, 0, None, closed="left")],
        "random_from": [StrOptions({"hidden", "all"})],
        "scale_init": [StrOptions({"uniform", "ones"}), None],
        "batch_sizes": ["array-like"],
        "training_batch_sizes": ["array-like"],
    },
    prefer_skip_nested_validation=True,
)
def batch_norm_study(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    n_random: int = 3,
    random_from: str = "hidden",
    n_repeats: int = 1,
    scale_init: str | None = None,
    batch_sizes: Sequence[int] = (2, 8, 32, 128),
    training_batch_sizes: Sequence[int] = (),
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    test_fraction: float = 0.2,
    max_epochs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> BatchNormStudy:
    r"""Train only scale and shift of a net's normalizations, and compare.

    Normalizations end in a scale and a shift for each unit, a small part of all
    parameters. Trained alone, while all other weights stay as they were drawn, they
    reach far more than as many other parameters do, and the more the wider and the
    deeper the net is: random features are enough, if training may choose among
    them [1]_.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What the nets are, and how they learn; its `trainable` is replaced. They are
        trained to the end, without early stopping. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
        The inputs.
    y : array-like of shape (n_rows,)
        Class labels.
    n_random : int, default=3
        How often as many other parameters are drawn, for each repeat.
    random_from : {"hidden", "all"}, default="hidden"
        What they are drawn from. "hidden" are the weights of all layers but the output
        layer, which then stays as it is, as it does with scale and shift alone; from
        each layer in proportion to its units: two a unit, as in [1]_, where each layer
        has a normalization. "all" are all other parameters, in proportion to the sizes
        of their tensors, so that the output may change.
    n_repeats : int, default=1
        How often first weights are drawn. Nets of a repeat begin with the same ones,
        whatever is trained of them.
    scale_init : {"uniform", "ones"} or None, default=None
        What scales are at first: drawn between 0 and 1, as in [1]_, or 1; shifts are
        then 0. None leaves both as the module makes them.
    batch_sizes : sequence of int, default=(2, 8, 32, 128)
        Rows that are normalized together, to compare the modes of BatchNorm. Sizes of
        more than the test rows are left out.
    training_batch_sizes : sequence of int, default=()
        Further nets are trained in full with so many rows a step, to compare the modes
        of BatchNorm after small batches.
    X_test, y_test : inputs of n_test_rows rows and their labels, default=None
        What to test on.
    test_fraction : float, default=0.2
        Share of the rows that are held out to test, of every class, if there is no
        `X_test`.
    max_epochs : int, default=None
        Epochs of every net, without a running average of the weights. By default both
        are as the estimator says.
    random_state : int, RandomState instance or None, default=None
        Draws test rows, seeds and parameters.
    strategy, n_jobs
        See `training.Population`. Nets with BatchNorm are not stacked.

    Returns
    -------
    study : BatchNormStudy
        `to_frame` has a row for each net, `modes` the accuracy by what BatchNorm
        normalizes by, and `plot` draws.

    Raises
    ------
    ValueError
        If the net has no normalization with scale and shift, or fewer other parameters
        than these; if a parameter is out of its range, or data cannot be learned from.
    TypeError
        If `estimator` has no net.
    FloatingPointError
        If the loss of a net becomes infinite or NaN.

    Notes
    -----
    A normalization computes, for each unit or channel,

    .. math:: \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    "batch_norm" trains :math:`\gamma` and :math:`\beta` alone. Running statistics are
    no parameters, and follow in all nets that are trained.

    With "batch" statistics, dropout and the like are off, as in prediction; the rows
    are divided at random, five times, up to 500 batches. A last batch of one row cannot
    be normalized; to avoid it one row is not learned, if need be.

    References
    ----------
    .. [1] Frankle, Schwab and Morcos, "Training BatchNorm and Only BatchNorm: On the
       Expressive Power of Random Features in CNNs", 2021,
       https://arxiv.org/abs/2003.00152

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import batch_norm_study
    >>> X, y = load_iris(return_X_y=True)
    >>> module = nn.Sequential(
    ...     nn.Linear(4, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3)
    ... )
    >>> study = batch_norm_study(
    ...     NetClassifier(module, max_epochs=20), X, y, n_random=1, random_state=0
    ... )
    >>> study.to_frame()[["trained", "n_trained"]]
          trained  n_trained
    0         all        643
    1  batch_norm        128
    2      random        128
    3      output        195
    4        none          0
    """
    sizes = _check_sizes("batch_sizes", batch_sizes)
    trained_at = _check_sizes("training_batch_sizes", training_batch_sizes)
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
    subject.estimator.set_params(trainable="all")
    settings = PartNets(subject, random_from, scale_init, max_epochs)
    nets = [
        net
        for repeat, seed in enumerate(subject.rng.randint(2**31, size=n_repeats))
        for net in settings.plan(repeat, int(seed), n_random)
    ]
    small = [
        replace(net, batch_size=size)
        for net in nets
        if net.trained == "all"
        for size in trained_at
    ]
    members = [settings.member(net) for net in [*nets, *small] if net.learns]
    trained = iter(subject.train(members))
    made = {
        net: _net_of(next(trained)) if net.learns else settings.untrained(net)
        for net in [*nets, *small]
    }
    modes = [
        row
        for net in [*nets, *small]
        if net.trained == "all"
        for row in _modes(subject, net, made[net], sizes)
    ]
    assert subject.test is not None
    test_codes = subject.test.targets.numpy()
    frequent = np.bincount(subject.codes).argmax()
    return BatchNormStudy(
        pd.DataFrame([settings.measure(net, made[net]) for net in nets]),
        pd.DataFrame(modes, columns=_MODES),
        float((test_codes == frequent).mean()),
        len(subject.codes),
        len(test_codes),
    )


def _net_of(trained: TrainedMember) -> ResidentNet:
    assert trained.net is not None
    return trained.net


def _modes(
    subject: Subject, planned: PartNet, net: ResidentNet, sizes: Sequence[int]
) -> list[tuple[Any, ...]]:
    """Return the accuracy by what BatchNorm normalizes by."""
    if not has_running_statistics(net.module_):
        return []
    test = subject.test
    assert test is not None
    key = net.batch_size, planned.repeat
    rng = np.random.RandomState(planned.seed)
    orders = [torch.from_numpy(rng.permutation(len(test))) for _ in range(_N_ORDERS)]
    return [
        (*key, "running", np.nan, accuracy_of(net, test)),
        *(
            (*key, "batch", size, accuracy_by_batch(net, test, size, orders))
            for size in sizes
            if size <= len(test)
        ),
    ]


def _check_sizes(name: str, sizes: Sequence[int]) -> list[int]:
    """Return numbers of rows in ascending order."""
    wanted = np.ravel(np.asarray(sizes)).tolist()
    for size in wanted:
        if not isinstance(size, int) or isinstance(size, bool) or size < 2:
            raise ValueError(
                f"{name} must be integers of at least 2, since one row has no "
                f"variance; got {size!r}"
            )
    return sorted(set(wanted))
