"""Memorization scores: what a model gets right only where it has seen the row."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm  # skorch's own progress bar depends on it

from sklearn_memgen._sklearn import Interval, StrOptions, validate_params
from sklearn_memgen.inspection._subject import TRAINING_PARAMETERS, read_subject
from sklearn_memgen.inspection._subset_nets import SubsetNets
from sklearn_memgen.inspection.memorized_rows import MemorizationScores

__all__ = ["memorization_scores", "score_subsets"]


@validate_params(
    {
        **TRAINING_PARAMETERS,
        "n_models": [Interval(Integral, 4, None, closed="left")],
        "subset": [Interval(Real, 0, 1, closed="neither")],
        "outcome": [StrOptions({"correct", "probability"})],
        "encode": [StrOptions({"auto", "once", "each"})],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def memorization_scores(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    n_models: int = 100,
    subset: float = 0.7,
    outcome: str = "correct",
    encode: str = "auto",
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
    verbose: int = 0,
) -> MemorizationScores:
    r"""Tell how much a model gets each row right only because it has learned that row.

    Many nets learn random subsets of the rows. A row that nets predict as well without
    it is generalized: others teach its label. One that only those get right that have
    learned it is memorized: an exception, a rare case, or a wrong label.

    Parameters
    ----------
    estimator : classifier with a net, or Pipeline that ends in one
        What the nets are, and how they learn, early stopping included; rows held out
        for that are not learned. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
        The inputs.
    y : array-like of shape (n_rows,)
        Class labels.
    X_test, y_test : inputs of n_test_rows rows and their labels, default=None
        Rows that no net learns, for `MemorizationScores.influence`.
    n_models : int, default=100
        Nets. Standard errors fall with its root: with 100 they are 0.1 at most, but
        for rounding. The paper has 2,000 and 4,000.
    subset : float, default=0.7
        Share of the rows that each net learns.
    outcome : {"correct", "probability"}, default="correct"
        Whether a net's outcome on a row is 1 or 0, as in the paper, or the probability
        that it gives the label, which says more where nets are few.
    encode : {"auto", "once", "each"}, default="auto"
        "once" fits the encoder of a table on all rows, "each" anew on each subset.
        "auto" takes "each" where the encoder learns target statistics, which would
        tell a net the labels that it is not to know, else "once".
    random_state : int, RandomState instance or None, default=None
        Draws subsets and seeds.
    strategy, n_jobs
        See `training.Population`. Nets whose tables are encoded each on their own
        cannot be stacked.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    scores : MemorizationScores
        ``scores.to_frame()`` has the columns `memorization` and `std_error`.

    Raises
    ------
    ValueError
        If a parameter is out of its range, the rows are too few for the subsets, or
        data cannot be learned from.
    TypeError
        If `estimator` has no net.

    Warns
    -----
    UserWarning
        If a class has one row: no net without it knows the class.

    Notes
    -----
    .. math:: mem(i) = P_{S \ni i}[h_S(x_i) = y_i] - P_{S \not\ni i}[h_S(x_i) = y_i]

    estimated over nets :math:`h_S` on random subsets :math:`S` [1]_. Here subsets are
    drawn so that each row is left out as often as any other. The authors call rows
    from 0.25 on memorized. Standard errors of shares are those of Agresti and Caffo
    [2]_: one success and one failure are added to each side.

    References
    ----------
    .. [1] Feldman and Zhang, "What Neural Networks Memorize and Why", 2020,
       https://arxiv.org/abs/2008.03703
    .. [2] Agresti and Caffo, "Simple and Effective Confidence Intervals for
       Proportions and Differences of Proportions", The American Statistician, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.inspection import memorization_scores
    >>> X, y = load_iris(return_X_y=True)
    >>> y[25] = 2  # a wrong label
    >>> net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    >>> model = NetClassifier(net, batch_size=16, max_epochs=60, learning_rate=0.01)
    >>> scores = memorization_scores(model, X, y, n_models=20, random_state=0)
    >>> scores.to_frame().loc[25, ["label", "predicted_out"]].tolist()
    [2, 0]
    """
    with tqdm(total=n_models, desc="nets", disable=not verbose) as bar:
        return score_subsets(
            estimator,
            X,
            y,
            X_test=X_test,
            y_test=y_test,
            n_models=n_models,
            subset=subset,
            outcome=outcome,
            encode=encode,
            random_state=random_state,
            strategy=strategy,
            n_jobs=n_jobs,
            advance=bar.update,
        )


def score_subsets(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    advance: Callable[[int], object],
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    n_models: int,
    subset: float = 0.7,
    outcome: str = "correct",
    encode: str = "auto",
    random_state: int | np.random.RandomState | None = None,
    strategy: str = "auto",
    n_jobs: int | None = None,
) -> MemorizationScores:
    """Do what `memorization_scores` does, and tell `advance` how many nets are done."""
    subject = read_subject(
        estimator,
        X,
        y,
        X_test=X_test,
        y_test=y_test,
        random_state=random_state,
        strategy=strategy,
        n_jobs=n_jobs,
    )
    is_probability = outcome == "probability"
    nets = SubsetNets(
        subject, n_models, subset, encode=encode, as_probability=is_probability
    )
    predictions, outcomes, test_outcomes = nets.run(advance)
    return MemorizationScores(
        nets.included,
        predictions,
        outcomes,
        test_outcomes,
        subject.classes[subject.codes],
        subject.classes,
        subject.index,
        None if X_test is None else subject.test_index,
        is_probability,
    )
