"""WideDeepClassifier: memorize with a wide part, generalize with a deep one."""

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
from sklearn_memgen._trainable import Trainable
from sklearn_memgen._wide_deep import WideDeepEstimator
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.explanation import Explanation, quote
from sklearn_memgen.training import (
    ResidentDataset,
    ResidentNet,
    calibrate,
    probabilities,
)

__all__ = ["WideDeepClassifier"]


class WideDeepClassifier(WideDeepEstimator, NetClassifier):
    r"""A wide linear model and a deep net, trained jointly on a raw table.

    The wide part has a weight for every category, every exact number worth remembering
    and every cross of columns: it memorizes. The deep part sees embeddings of the ids
    and smooth encodings of the numbers: it generalizes. Their logits are added, and
    both learn from the one loss.

    Parameters
    ----------
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Units of the deep part's hidden layers. "auto" is ``(128, 128)`` for two
        classes and ``(256, 256)`` for more. ``()`` leaves the deep part out: the model
        is wide only.
    wide : bool, default=True
        Whether there is a wide part; False is deep only.
    memorize : {"auto", "none", "exact"} or array-like of columns, default="auto"
        Which numeric columns are remembered exactly, value by value, beside going in
        smoothly. "exact" takes all with values that repeat; "auto" those of them whose
        exact values predict the class better than smooth bins out of fold. What was
        decided, and why, is in `memorized_`.
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
    calibrate : bool, default=True
        Whether to divide the logits by a temperature above 1 where the rows that early
        stopping holds out show that the net is too sure of itself.
    wide_optimizer : {"ftrl", "adagrad"} or callable, default="ftrl"
        Optimizer of the wide weights; a callable makes one from the parameters.
    wide_learning_rate : float, default=0.2
        Its learning rate.
    wide_l1, wide_l2 : float, default=0.0
        Penalties on the wide weights, for "ftrl", in units of the summed loss: a
        weight stays exactly zero while its rows together pull it by less than
        `wide_l1`.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        Optimizer of all other parameters.
    learning_rate : float, default=0.003
        Its learning rate, the largest one unless `schedule` is "constant".
    weight_decay : float, default=0.01
        Weight decay of `optimizer`.
    ema_decay : float or None, default=0.99
        Share of the running average of the weights that remains after a step; the net
        is validated with the average and keeps it. None keeps the last weights.
        `partial_fit` does not average.
    schedule, batch_size, max_epochs, clip_norm, precision, device
        How to train, and where; see `NetClassifier`. If no rows are held out,
        ``max_epochs="auto"`` is 20.
    early_stopping, validation_fraction, n_iter_no_change, tol
        When to stop; see `NetClassifier`.
    source : SourceNet, default=None
        A base fitted on a table, from which the deep part starts: encoder, embeddings
        and hidden layers are the source's, which stays as it is, for each member; heads
        and the wide part are new. Parameters of the encoder, `hidden_layer_sizes` and
        `embedding_dim` must then be left at their defaults, and `caution="auto"` is
        False. Columns that only `X` has are left out, with a warning.
    class_weight, warm_start, callbacks, net_params, random_state, verbose, trainable
        See `NetClassifier`. With `warm_start`, and in `partial_fit`, values that are
        new get ids, embeddings and weights beside those that have been learned.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.
    encoder_ : TableEncoder
        The fitted encoder.
    memorized_ : DataFrame
        One row per `column` of numbers with values that repeat (`kind` "number") and
        per cross that was found (`kind` "cross"): the number `n_values` of its values
        that have ids, whether it is `memorized`, and the evidence where it was tested,
        `gain` and its `standard_error`. The gain of a number is `loss_bins` minus
        `loss_exact`, log-losses in nats a row, out of fold. The gain of a cross is the
        share of the variance of the target, an indicator of the class, from 0 to 1,
        that it explains out of fold beyond what was chosen before it; its losses are
        NaN.
    cautious_ : bool
        Whether rare values were treated with caution.
    temperature_ : float
        What the logits were divided by, from 1 to 4; 1 if held-out rows did not ask
        for more. Weights and logits are those after the division.
    net_ : ResidentNet
        The skorch net; ``net_.module_`` is a `nets.WideDeep`.
    history_ : DataFrame of shape (n_epochs, n_columns)
        Losses in nats, learning rate and duration in seconds of each epoch.
    wide_weights_ : DataFrame
        What was memorized: a row per id of the wide part with its `feature`, weights
        and weighted `count` of training rows.
    trace_ : Trace
        What each training row did, if `callbacks` has a `training.Trace`.
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
    WideDeepRegressor : The same for numbers.
    NetClassifier : The training, for a module of your own.
    sklearn_memgen.tables.TableEncoder : The encoding of the table.

    Notes
    -----
    The log-odds are

    .. math:: z(x) = w^T [x, \phi(x)] + W a(x) + b

    with the wide features :math:`x`, their crosses :math:`\phi(x)` and the last hidden
    activations :math:`a(x)`: eq. 3 of [1]_, which trains the wide part with FTRL and
    an L1 penalty and the deep part with AdaGrad, both at once. Here AdamW, with a
    cosine schedule, takes the place of AdaGrad.

    References
    ----------
    .. [1] Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016,
       https://arxiv.org/abs/1606.07792

    Examples
    --------
    >>> from sklearn_memgen import WideDeepClassifier
    >>> from sklearn_memgen.datasets import make_memgen_classification
    >>> X, y = make_memgen_classification(n_samples=3000, random_state=0)
    >>> model = WideDeepClassifier(crosses=[("cat_0", "cat_1")], random_state=0)
    >>> model.fit(X[:2000], y[:2000]).score(X[2000:], y[2000:]) > 0.7
    True
    """

    _parameter_constraints: dict = {
        **WideDeepEstimator._parameter_constraints,
        "calibrate": ["boolean"],
        "class_weight": NetClassifier._parameter_constraints["class_weight"],
    }

    def __init__(
        self,
        *,
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
        calibrate: bool = True,
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
        class_weight: dict | str | None = None,
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
            class_weight=class_weight,
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
        self.calibrate = calibrate

    temperature_: float

    def _finish(self, net: ResidentNet, validation: ResidentDataset | None) -> None:
        self.temperature_ = 1.0
        if self.calibrate and validation is not None:
            self.temperature_ = calibrate(net, validation)

    def explain(self, X: Any, target: Any = None) -> Explanation:
        r"""Take predictions apart: what was memorized, word by word, and what was not.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns)
            The rows.
        target : class label, default=None
            The class whose logit is explained. By default the second of two classes, so
            that contributions add up to `decision_function`; of more classes the one
            that is predicted, row by row.

        Returns
        -------
        explanation : Explanation
            The terms, in words. It prints itself; `to_frame` has a row for each row,
            `terms` all that spoke.

        Raises
        ------
        ValueError
            If `target` is no class.

        Notes
        -----
        Of two classes the log-odds of `target` are explained; of more its logit minus
        the mean of all logits, since a softmax sees only differences. The terms are

        - wide ids, crosses and words of texts: their weights, as in `wide_weights_`;
        - wide numbers: slope times the squashed number, or the weight of its missing;
        - the target statistics, together the logit minus what it would be if all of
          them were 0, as those of the whole table are; each has its integrated
          gradient [1]_, brought to this sum;
        - the deep part: all else. With several members it is the logit of their mean
          probability, without statistics, minus the wide terms.

        Bias and terms add up to the logit. The memorized share is the share of ids,
        crosses, words and statistics, which are tied to exact values, in the sum of the
        absolute terms; 0 if there is none. The deep part, of which embeddings of the
        same values are inputs, counts as smooth.

        References
        ----------
        .. [1] Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks",
           2017, https://arxiv.org/abs/1703.01365

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from sklearn_memgen import WideDeepClassifier
        >>> X = pd.DataFrame({"city": ["Rome", "Oslo"] * 300})
        >>> model = WideDeepClassifier(hidden_layer_sizes=(), random_state=0)
        >>> model = model.fit(X, np.where(X["city"] == "Rome", "yes", "no"))
        >>> explanation = model.explain(X[:2])
        >>> explanation.terms[["row", "feature", "part"]]
           row    feature     part
        0    0  city=Rome  wide id
        1    1  city=Oslo  wide id
        >>> explanation.to_frame()["memorized_share"].tolist()
        [1.0, 1.0]
        """
        check_is_fitted(self)
        labels = pd.Index(self.classes_)
        binary = len(labels) == 2
        if target is not None and target not in labels:
            raise ValueError(f"target={target!r} is no class; there are {list(labels)}")
        if target is None and binary:
            target = labels[1]

        def codes(logits: np.ndarray) -> np.ndarray:
            if target is None:
                return logits.argmax(axis=1)
            return np.full(len(logits), labels.get_loc(target))

        def choose(logits: np.ndarray) -> Explained:
            if not binary:
                return Explained(codes(logits), centered=True)
            sign = 1.0 if target == labels[1] else -1.0
            return Explained(np.zeros(len(logits), dtype=np.int64), factor=sign)

        def describe(logits: np.ndarray) -> pd.DataFrame:
            chosen = codes(logits)
            shares = probabilities(torch.from_numpy(logits)).numpy()
            chances = shares[np.arange(len(shares)), chosen]
            return pd.DataFrame({"target": labels[chosen], "probability": chances})

        of_class = "the explained class" if target is None else quote(target)
        unit = f"{'log-odds' if binary else 'centered logit'} of {of_class}"
        return self._explain(X, choose, describe, unit)
