"""WideDeepRegressor: memorize with a wide part, generalize with a deep one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch.optim import Optimizer

from sklearn_memgen._contributions import Explained
from sklearn_memgen._net_regressor import NetRegressor
from sklearn_memgen._trainable import Trainable
from sklearn_memgen._wide_deep import WideDeepEstimator
from sklearn_memgen.explanation import Explanation
from sklearn_memgen.tables import TableEncoder

__all__ = ["WideDeepRegressor"]


class WideDeepRegressor(WideDeepEstimator, NetRegressor):
    r"""A wide linear model and a deep net that predict a number, trained jointly.

    The regressor of the idea of `WideDeepClassifier`. The wide part has a weight for
    every category, every exact number worth remembering and every cross of columns:
    it memorizes. The deep part sees embeddings of the ids and smooth encodings of the
    numbers: it generalizes. Their outputs are added, and both learn from the one loss.
    The target is standardized inside; predictions are in its own unit.

    Parameters
    ----------
    loss : str, default="squared_error"
        What is made small, and so what is predicted: "squared_error" the mean,
        "absolute_error" the median, "quantile" the quantile `quantile`, "poisson" the
        mean of counts and other targets of 0 or more, which it predicts by its
        logarithm and which are then above zero.
    quantile : float, default=0.5
        The quantile that ``loss="quantile"`` predicts, between 0 and 1: 0.9 predicts
        a value that 90 % of the targets stay below.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Units of the deep part's hidden layers. "auto" is ``(128, 128)``. ``()`` leaves
        the deep part out: the model is wide only.
    wide : bool, default=True
        Whether there is a wide part; False is deep only.
    memorize : {"auto", "none", "exact"} or array-like of columns, default="auto"
        Which numeric columns are remembered exactly, value by value, beside going in
        smoothly. "exact" takes all with values that repeat; "auto" those of them whose
        exact values predict the target better than smooth bins out of fold, by squared
        error. What was decided, and why, is in `memorized_`.
    crosses : "auto" or sequence of tuple of columns, default="auto"
        "auto" looks for pairs and triples of columns of values whose combinations tell
        what no sum over the columns tells, such as day and month; these, whole rows
        that repeat, and categories of many values, go in by cross-fitted statistics of
        the target. What was found is in `memorized_`. Crosses that are named, such as
        ``[("education", "occupation")]``, have weights of their own in the wide part;
        ``()`` leaves all of this out.
    categorical_features, numeric_features, text_features : array-like, default=None
        Columns whose kind is given rather than found; see `TableEncoder`. Name
        integer-coded categories in `categorical_features`.
    min_frequency : float, default=2
        How often a value must occur to have an id of its own.
    bins : {"target", "quantile"}, default="target"
        Where the piecewise-linear bins of a number end: where the target changes, or at
        quantiles.
    n_bins : int, default=256
        Largest number of bins of a number.
    n_cross_buckets : int, default=65536
        Crosses with more combinations than this are hashed into so many buckets.
    n_text_buckets : int, default=131072
        Buckets that the n-grams of each text column are hashed into.
    n_members : int, default=4
        Number of perceptrons in the deep part. They share embeddings and the wide part,
        learn at once, each by its own loss, and their predictions are averaged. 1 is
        the fastest; 8 or 16 gain a little more.
    embedding_dim : int, default=8
        Dimensions of the embedding of an id.
    dropout : float, default=0.0
        Share of the hidden units that are zeroed at random in training.
    caution : bool or "auto", default="auto"
        Whether rare values are treated with caution: those of a category of 30 values
        or more have ids only if they occur 50 times (their target statistics stay), and
        the wide weights learn at a quarter of `wide_learning_rate` with 5 more of
        `wide_l2`. "auto" asks two nets of one member which has the lower validation
        loss, if there is such a category and early stopping holds rows out.
    unknown_rate : float, default=0.01
        Share of ids that are replaced by "unknown" at random in training, so that the
        model knows what to do with a category it has never seen.
    wide_optimizer : {"ftrl", "adagrad"} or callable, default="ftrl"
        Optimizer of the wide weights; a callable makes one from the parameters.
    wide_learning_rate : float, default=0.2
        Its learning rate.
    wide_l1, wide_l2 : float, default=0.0
        Penalties on the wide weights, for "ftrl", in units of the summed loss of the
        standardized target: a weight stays exactly zero while its rows together pull
        it by less than `wide_l1`.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        Optimizer of all other parameters. "sgd" has Nesterov momentum of 0.9.
    learning_rate : float, default=0.003
        Its learning rate, the largest one unless `schedule` is "constant".
    weight_decay : float, default=0.01
        Weight decay of `optimizer`.
    schedule : {"cosine", "linear", "constant"}, default="cosine"
        "cosine" lets the learning rate rise over the first 5 % of the steps and fall
        to zero along a cosine, "linear" over the first 10 %, and linearly.
    batch_size : int or "auto", default="auto"
        Rows a step. "auto" takes the power of two next to a 64th of the rows, from 32
        to 512.
    max_epochs : int or "auto", default="auto"
        Passes over the rows. "auto" takes as many as give 3,000 steps, from 20 to 120,
        or 20 if no rows are held out.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, to stop when their loss has not fallen for
        `n_iter_no_change` epochs, and to return to the best epoch. "auto" does so from
        200 rows on.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out, drawn at random.
    n_iter_no_change : int, default=5
        Epochs without improvement after which training stops.
    tol : float, default=0.0
        Improvement of the validation loss that counts; see `history_` for its unit.
    clip_norm : float, default=None
        Largest norm of the gradients of a step.
    ema_decay : float or None, default=0.99
        Share of the running average of the weights that remains after a step; the net
        is validated with the average and keeps it. None keeps the last weights.
        `partial_fit` does not average.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" computes in bfloat16 on a CUDA device that has it, else in float32.
    device : str or torch.device, default="auto"
        Where to compute; "auto" takes a CUDA device when there is one.
    warm_start : bool, default=False
        Whether `fit` goes on with the net of the last fit; the target is then
        standardized as it was. Then, and in `partial_fit`, values that are new get
        ids, embeddings and weights beside those that have been learned.
    callbacks : list of skorch callbacks, default=None
        Further callbacks; they see the standardized target. Those with a hook for
        batches slow training down to skorch's speed.
    net_params : dict, default=None
        Further parameters of the skorch net, such as
        ``{"optimizer__betas": (0.9, 0.95)}``.
    random_state : int, RandomState instance or None, default=None
        Draws initial weights, order of rows, and rows held out. torch's and NumPy's
        global generators stay as they were.
    verbose : int, default=0
        1 shows a progress bar with the losses.
    source : SourceNet, default=None
        A base fitted on a table, from which the deep part starts; see
        `WideDeepClassifier`.
    trainable : str, list, Guide or callable, default="all"
        What may change in training; see `NetClassifier`.

    Attributes
    ----------
    target_scale_ : TargetScale
        How the target was standardized: `center` and `scale`, in its unit. They are
        the weighted mean and standard deviation for "squared_error"; the median or
        quantile and the interquartile range for "absolute_error" and "quantile"; and
        for "poisson" the logarithm of the mean, and 1.
    encoder_ : TableEncoder
        The fitted encoder.
    memorized_ : DataFrame
        One row per `column` of numbers with values that repeat (`kind` "number") and
        per cross that was found (`kind` "cross"): the number `n_values` of its values
        that have ids, whether it is `memorized`, and the evidence where it was tested,
        `gain` and its `standard_error`. The gain of a number is `loss_bins` minus
        `loss_exact`, Gaussian log-losses in nats a row, out of fold. The gain of a
        cross is the share of the target's variance, from 0 to 1, that it explains out
        of fold beyond what was chosen before it; its losses are NaN.
    cautious_ : bool
        Whether rare values were treated with caution.
    net_ : ResidentRegressionNet
        The skorch net; ``net_.module_`` is a `nets.WideDeep`. It knows the
        standardized target only.
    history_ : DataFrame of shape (n_epochs, n_columns)
        Losses, learning rate and duration in seconds of each epoch. The losses are
        those of the standardized target: half the squared error in units of its
        variance, the absolute error or pinball loss in units of its interquartile
        range, or half the Poisson deviance in units of its mean.
    wide_weights_ : DataFrame
        What was memorized: a row per id of the wide part with its `feature`, its
        `weight` in the target's unit and the weighted `count` of training rows.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, if all are strings.

    Raises
    ------
    ValueError
        If there is neither a wide nor a deep part.

    See Also
    --------
    WideDeepClassifier : The same for classes.
    sklearn_memgen.tables.TableEncoder : The encoding of the table.

    Notes
    -----
    The prediction is

    .. math:: \hat y(x) = c + s \, z(x), \qquad z(x) = w^T [x, \phi(x)] + W a(x) + b

    with the center :math:`c` and scale :math:`s` of the target, the wide features
    :math:`x`, their crosses :math:`\phi(x)` and the last hidden activations
    :math:`a(x)`: eq. 3 of [1]_ without the logistic function around it. For the
    Poisson loss it is :math:`\exp(c + z(x))`. The losses are those of scikit-learn's
    `HistGradientBoostingRegressor`.

    References
    ----------
    .. [1] Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016,
       https://arxiv.org/abs/1606.07792

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_memgen import WideDeepRegressor
    >>> rng = np.random.default_rng(0)
    >>> area = rng.uniform(30, 150, 1500)
    >>> city = rng.choice(["Oslo", "Rome"], 1500)
    >>> rent = area * np.where(city == "Oslo", 20, 12) + rng.normal(0, 50, 1500)
    >>> X = pd.DataFrame({"area": area, "city": city})
    >>> model = WideDeepRegressor(random_state=0).fit(X[:1000], rent[:1000])
    >>> model.score(X[1000:], rent[1000:]) > 0.9
    True

    A rent that nine of ten stay below:

    >>> model = WideDeepRegressor(loss="quantile", quantile=0.9, random_state=0)
    >>> high = model.fit(X[:1000], rent[:1000]).predict(X[1000:])
    >>> bool(0.8 < (rent[1000:] < high).mean() < 0.97)
    True
    """

    _parameter_constraints: dict = {
        **WideDeepEstimator._parameter_constraints,
        **NetRegressor._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: str = "squared_error",
        quantile: float = 0.5,
        hidden_layer_sizes: str | Sequence[int] = "auto",
        wide: bool = True,
        memorize: str | Iterable[Hashable] = "auto",
        crosses: str | Sequence[tuple[Hashable, ...]] = "auto",
        categorical_features: Iterable[Hashable] | None = None,
        numeric_features: Iterable[Hashable] | None = None,
        text_features: Iterable[Hashable] | None = None,
        min_frequency: float = 2,
        bins: str = "target",
        n_bins: int = 256,
        n_cross_buckets: int = 2**16,
        n_text_buckets: int = 2**17,
        n_members: int = 4,
        embedding_dim: int = 8,
        dropout: float = 0.0,
        caution: bool | str = "auto",
        unknown_rate: float = 0.01,
        wide_optimizer: str | Callable[..., Optimizer] = "ftrl",
        wide_learning_rate: float = 0.2,
        wide_l1: float = 0.0,
        wide_l2: float = 0.0,
        optimizer: str | Callable[..., Optimizer] = "adamw",
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        schedule: str = "cosine",
        batch_size: int | str = "auto",
        max_epochs: int | str = "auto",
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 0.0,
        clip_norm: float | None = None,
        ema_decay: float | None = 0.99,
        precision: str = "auto",
        device: str | torch.device = "auto",
        warm_start: bool = False,
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        source: Any = None,
        trainable: Trainable = "all",
    ) -> None:
        super().__init__(
            loss=loss,
            quantile=quantile,
            hidden_layer_sizes=hidden_layer_sizes,
            wide=wide,
            memorize=memorize,
            crosses=crosses,
            categorical_features=categorical_features,
            numeric_features=numeric_features,
            text_features=text_features,
            min_frequency=min_frequency,
            bins=bins,
            n_bins=n_bins,
            n_cross_buckets=n_cross_buckets,
            n_text_buckets=n_text_buckets,
            n_members=n_members,
            embedding_dim=embedding_dim,
            dropout=dropout,
            caution=caution,
            unknown_rate=unknown_rate,
            wide_optimizer=wide_optimizer,
            wide_learning_rate=wide_learning_rate,
            wide_l1=wide_l1,
            wide_l2=wide_l2,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            schedule=schedule,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            clip_norm=clip_norm,
            ema_decay=ema_decay,
            precision=precision,
            device=device,
            warm_start=warm_start,
            callbacks=callbacks,
            net_params=net_params,
            random_state=random_state,
            verbose=verbose,
            source=source,
            trainable=trainable,
        )

    def _make_encoder(self) -> TableEncoder:
        return super()._make_encoder().set_params(target_type="continuous")

    def explain(self, X: Any) -> Explanation:
        """Take predictions apart: what was memorized, word by word, and what was not.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.

        Returns
        -------
        explanation : Explanation
            The terms, in words. It prints itself; `to_frame` has a row for each row,
            `terms` all that spoke.

        Notes
        -----
        Bias and terms add up to the prediction, in the unit of the target; with
        ``loss="poisson"`` to its logarithm, so that a term multiplies the prediction by
        its exponential. The bias holds the center of the target. See
        `WideDeepClassifier.explain` for the terms and the memorized share.
        """
        check_is_fitted(self)
        scale = self.target_scale_

        def choose(outputs: np.ndarray) -> Explained:
            zeros = np.zeros(len(outputs), dtype=np.int64)
            return Explained(zeros, factor=scale.scale, offset=scale.center)

        def describe(outputs: np.ndarray) -> pd.DataFrame:
            return pd.DataFrame({"prediction": scale.restore(outputs[:, 0])})

        is_log = scale.loss == "poisson"
        unit = "logarithm of the prediction" if is_log else "prediction"
        return self._explain(X, choose, describe, unit)

    @property
    def wide_weights_(self) -> pd.DataFrame:
        """What the wide part has memorized, the largest weights first.

        One row per id: `feature` in words, its `weight` in the unit of the target
        (``loss="poisson"``: on the logarithm of the rate), and the weighted `count` of
        training rows that had it (NaN for sparse features, which are not counted).
        Weights that `wide_l1` holds at zero are exactly zero, and come last.
        """
        weights = super().wide_weights_
        return weights.assign(weight=weights["weight"] * self.target_scale_.scale)
