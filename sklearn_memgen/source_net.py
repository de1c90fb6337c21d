"""SourceNet: a pretrained base to start other nets from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from sklearn_memgen._encodings import SharedEncodings
from sklearn_memgen._inputs import Examples, as_rows, read_inputs
from sklearn_memgen._labels import read_labeled
from sklearn_memgen._masking import read_unlabeled
from sklearn_memgen._net_estimator import Learning, NetEstimator
from sklearn_memgen._scouting import ScoutingBody
from sklearn_memgen._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
)
from sklearn_memgen._source import ENCODER_PARAMS
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.training import BodyFeatures

__all__ = ["SourceNet"]


class SourceNet(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ScoutingBody):
    r"""A pretrained base, from which nets for other tasks start.

    It learns what a table or an array is like, without labels, or with those of
    another task. Give it as ``source=`` to a `NetClassifier`, a `WideDeepClassifier` or
    a `WideDeepRegressor`: encoder and body come from it, the head is new. Or take its
    features by `transform`.

    With `n_scouts` it also sends scouts: copies of the base that learn a part of what
    it has learned each. What they had to change a net for another task may change,
    and what all of them left alone should stay, as `guide_` says: guided transfer
    learning [2]_.

    Once fitted it does not change: `fit` and `set_params` raise, and it clones to
    itself, so that it can be a parameter of an estimator in a search.

    Parameters
    ----------
    objective : {"masked", "supervised"}, default="masked"
        "masked" masks cells at random and predicts them from the other cells of the
        row: categories and numbers, the latter by bins. It needs no labels. In arrays,
        which need a `module`, entries are set to 0 and reconstructed. "supervised"
        learns the class labels of a source task.
    module : torch.nn.Module class or instance, or callable that makes one, default=None
        The body for arrays of any rank: it is called with a float tensor of the shape
        of `X` and returns features of shape (batch, n_units). A class or callable is
        given `n_features` if its signature names it. By default hidden layers behind
        a `tables.TableEncoder`.
    module_params : dict, default=None
        Further keyword arguments for `module`.
    encoder : estimator, default=None
        With a `module` and ``objective="supervised"``, turns `X` into the module's
        inputs, such as `tables.TextEncoder` for a `nets.TextBody`. It is cloned and
        fitted.
    mask_rate : float, default=0.15
        Share of the cells or entries that are masked, anew for each batch. In a table
        it is one cell a row on average at least.
    n_target_bins : int, default=16
        Largest number of bins by which a number is predicted.
    hidden_layer_sizes : sequence of int, default=(128, 128)
        Units of the hidden layers; those of the last are the features.
    embedding_dim : int, default=8
        Dimensions of the embedding of an id.
    dropout : float, default=0.0
        Share of the hidden units that are zeroed at random in training.
    unknown_rate : float, default=0.01
        Share of ids that are replaced by "unknown" at random, in training with labels,
        here and in a net with this body.
    categorical_features, numeric_features, text_features : array-like, default=None
        Columns whose kind is given rather than found; see `tables.TableEncoder`. Text
        is read, but not predicted.
    memorize : {"auto", "none", "exact"} or array-like of columns, default="auto"
        Which numeric columns go in by their exact values as well. "auto" takes those
        whose exact values tell more of the labels than bins do, out of fold; see
        `tables.TableEncoder`. With ``objective="masked"`` it takes none.
    min_frequency : float, default=2
        How often a value must occur to have an id of its own.
    n_bins : int, default=64
        Largest number of piecewise-linear bins by which a number goes in.
    n_text_buckets : int, default=131072
        Buckets that the n-grams of each text column are hashed into.
    optimizer, learning_rate, weight_decay, schedule, batch_size, clip_norm
        How to train; see `NetClassifier`.
    max_epochs : "auto" or int, default="auto"
        See `NetClassifier`. With 0 the base is not pretrained: scouts begin with its
        random weights, as in the XOR experiment of [2]_.
    early_stopping, validation_fraction, n_iter_no_change, tol
        When to stop; see `NetClassifier`. The rows held out have one mask, drawn once.
    ema_decay, precision, device, callbacks, net_params, random_state, verbose
        See `NetClassifier`.
    n_scouts : int, "all" or None, default=None
        How many scouts to send, each to another subset of what there is, drawn at
        random; "all" sends one to every subset. None sends none. A few are enough.
    classes_per_scout : int, default=3
        Classes, clusters or columns of a scout.
    scout_tasks : {"auto", "classes", "clusters", "columns"} or callable, default="auto"
        What scouts learn. With "classes" the rows of some classes. With "clusters" the
        rows of some clusters, of ten that k-means finds in the features of the body.
        With "columns" all rows, but to predict some columns only. "auto" takes classes
        if ``objective="supervised"`` and there are more than `classes_per_scout`, else
        the columns of a table if ``objective="masked"`` and there are more, else
        clusters. A function of (X, y, n_scouts, random_state) returns an array of row
        numbers for each scout.
    scout_epochs : int or None, default=20
        Passes of a scout over its rows; None for as many as `max_epochs` says.
    scout_learning_rate : float, default=None
        Learning rate of the scouts, by default `learning_rate`.
    scout_stages : int, default=1
        In how many parts, of as many epochs each, the way of scouts is measured, for
        guides by the distance from the start. Scouts are copied at the end of each.

    Attributes
    ----------
    encoder_ : TableEncoder, estimator or None
        The fitted encoder; with a `module` that of `encoder`.
    net_ : ResidentNet
        The skorch net, with its decoder or head.
    history_ : DataFrame of shape (n_epochs, n_columns)
        Losses, learning rate and duration in seconds of each epoch. Losses are in nats
        a masked cell, squared errors a masked entry, or nats a row.
    classes_ : ndarray of shape (n_classes,)
        The class labels of the source task, sorted, if ``objective="supervised"``.
    guide_ : Guide
        How much each parameter may change in another task, by the scouts; names are
        those of the source's own net, such as "body.deep.layers.0.weight". Like the two
        below it is there if `n_scouts` is not None.
    displacement_ : Displacement
        How far the scouts went, for other guides.
    displacement_path_ : DisplacementPath
        How far they went in each stage, if ``scout_stages > 1``.
    scouts_ : DataFrame of shape (n_scouts, n_columns)
        A row for each scout: its `classes`, `clusters` or `columns`, or the number of
        its `task`; `n_rows`; its `loss` in the last epoch, in nats; `accuracy` on its
        rows, if the source has classes; and for each layer, by its name, the root mean
        squared displacement.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, if all are strings.

    See Also
    --------
    NetClassifier : Takes a source, and so do `WideDeepClassifier` and
        `WideDeepRegressor`.
    sklearn.frozen.FrozenEstimator : Makes a fitted source a step of a pipeline.

    Notes
    -----
    A masked category has the unknown id of its column, a masked number is missing; all
    that comes of a column, such as month and day of a date, is masked together. The
    loss is the cross-entropy of masked cells alone [1]_. Values that are missing or
    unknown are no targets.

    Scouts begin with the whole base, its decoder or head included, and have all of its
    outputs. They are trained as one `Population`, like the base but without early
    stopping and without a running average, from one seed, so that they differ by their
    tasks alone, and are not kept. They learn rows held out by early stopping, too.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", 2019, https://arxiv.org/abs/1810.04805
    .. [2] Nikolic, Andric and Nikolic, "Guided Transfer Learning", 2023,
       https://arxiv.org/abs/2303.16154

    Examples
    --------
    >>> from sklearn_memgen import NetClassifier, SourceNet
    >>> from sklearn_memgen.datasets import make_memgen_classification
    >>> X, y = make_memgen_classification(n_samples=2000, random_state=0)
    >>> source = SourceNet(max_epochs=5, random_state=0).fit(X)
    >>> source.transform(X[:3]).shape
    (3, 128)
    >>> model = NetClassifier(source=source, random_state=0).fit(X[:200], y[:200])
    >>> model.predict(X[200:]).shape
    (1800,)
    """

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in NetEstimator._parameter_constraints.items()
            if name not in ("warm_start", "source", "trainable")
        },
        **{name: TableEncoder._parameter_constraints[name] for name in ENCODER_PARAMS},
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
        ],
        "objective": [StrOptions({"masked", "supervised"})],
        "module": [callable, None],
        "module_params": [dict, None],
        "encoder": [HasMethods(["fit", "transform"]), None],
        "mask_rate": [Interval(Real, 0, 1, closed="neither")],
        "n_target_bins": [Interval(Integral, 2, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "unknown_rate": [Interval(Real, 0, 1, closed="left")],
        "memorize": [StrOptions({"auto", "none", "exact"}), "array-like"],
        "n_scouts": [
            StrOptions({"all"}),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "classes_per_scout": [Interval(Integral, 1, None, closed="left")],
        "scout_tasks": [
            StrOptions({"auto", "classes", "clusters", "columns"}),
            callable,
        ],
        "scout_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "scout_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "scout_stages": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        objective: str = "masked",
        module: Callable[..., nn.Module] | nn.Module | None = None,
        module_params: dict[str, Any] | None = None,
        encoder: Any = None,
        mask_rate: float = 0.15,
        n_target_bins: int = 16,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        embedding_dim: int = 8,
        dropout: float = 0.0,
        unknown_rate: float = 0.01,
        categorical_features: Iterable[Hashable] | None = None,
        numeric_features: Iterable[Hashable] | None = None,
        text_features: Iterable[Hashable] | None = None,
        memorize: str | Iterable[Hashable] = "auto",
        min_frequency: float = 2,
        n_bins: int = 64,
        n_text_buckets: int = 2**17,
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
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        n_scouts: int | str | None = None,
        classes_per_scout: int = 3,
        scout_tasks: str | Callable[..., Iterable[ArrayLike]] = "auto",
        scout_epochs: int | None = 20,
        scout_learning_rate: float | None = None,
        scout_stages: int = 1,
    ) -> None:
        super().__init__(
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
            warm_start=False,
            callbacks=callbacks,
            net_params=net_params,
            random_state=random_state,
            verbose=verbose,
        )
        self.objective = objective
        self.module = module
        self.module_params = module_params
        self.encoder = encoder
        self.mask_rate = mask_rate
        self.n_target_bins = n_target_bins
        self.hidden_layer_sizes = hidden_layer_sizes
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.unknown_rate = unknown_rate
        self.categorical_features = categorical_features
        self.numeric_features = numeric_features
        self.text_features = text_features
        self.memorize = memorize
        self.min_frequency = min_frequency
        self.n_bins = n_bins
        self.n_text_buckets = n_text_buckets
        self.n_scouts = n_scouts
        self.classes_per_scout = classes_per_scout
        self.scout_tasks = scout_tasks
        self.scout_epochs = scout_epochs
        self.scout_learning_rate = scout_learning_rate
        self.scout_stages = scout_stages

    classes_: np.ndarray

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> SourceNet:
        """Train the base, once, and send scouts.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns), or \
                with a module array-like of shape (n_rows, ...)
            The table or the arrays.
        y : array-like of shape (n_rows,), default=None
            Class labels of the source task, for ``objective="supervised"``; else they
            are ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the loss.

        Returns
        -------
        self : SourceNet
            The fitted source.

        Raises
        ------
        ValueError
            If it is fitted already, there are no labels to learn from, `X` has nothing
            to mask, the body returns no features, there are fewer classes, clusters or
            columns than a scout is to have, or fewer subsets of them than scouts,
            `scout_tasks` returns no rows, or scouts are to make no passes.
        FloatingPointError
            If the loss becomes infinite or NaN.

        Warns
        -----
        UserWarning
            If the scouts did not leave the base, so that the guide is all zero, or on
            Ctrl-C; what has been learned is kept.
        """
        self._learn_alone(self._learning(X, y, sample_weight))
        return self

    def _learning(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        encodings: SharedEncodings | None = None,
    ) -> Learning[None]:
        self._refuse_change("fit")
        sizes = self.hidden_layer_sizes
        if not len(sizes) or not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise ValueError(
                "hidden_layer_sizes must be one positive integer or more; got "
                f"{sizes!r}"
            )
        if self.encoder is not None and (
            self.module is None or self.objective == "masked"
        ):
            raise ValueError(
                "encoder= is for the inputs of a module with objective='supervised'; "
                f"got module={self.module!r} and objective={self.objective!r}"
            )
        encoder = self._make_encoder()
        classes = None
        examples: Examples
        if self.objective == "masked":
            if issparse(X):
                raise ValueError(
                    "sparse input is not supported by objective='masked', which has "
                    "no columns to mask in it; pass a dense table"
                )
            examples = read_unlabeled(self, X, sample_weight, encoder=encoder)
            if isinstance(examples.data, dict):
                raise ValueError(
                    "objective='masked' masks one array; X is a dict of arrays"
                )
        elif y is None:
            raise ValueError("objective='supervised' needs class labels; got y=None")
        else:
            examples = labeled = read_labeled(
                self, X, y, sample_weight, encoder=encoder, classes=None, reset=True
            )
            classes = labeled.classes
        self._check_scouts(None if classes is None else len(classes))
        learning = self._fit(
            replace(examples, encodings=encodings), encoder, going_on=False
        )
        scouted = None if self.n_scouts is None else (examples, X, y)
        del X, y, examples  # only tensors are learned from
        yield from learning
        if classes is not None:
            self.classes_ = classes
        if scouted is not None:
            try:
                self._scout(*scouted)
            except BaseException:
                del self.net_  # so that fit can be called again
                raise

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of the body.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns), or \
                with a module array-like of shape (n_rows, ...)
            The inputs, with the columns or of the shape seen in `fit`.

        Returns
        -------
        features : ndarray of shape (n_rows, n_units), float32
            The activations of the last hidden layer.
        """
        check_is_fitted(self)
        data = read_inputs(self, X, self.encoder_, reset=False)
        if self.encoder_ is not None:
            data = self.encoder_.transform(data)
        else:
            self.check_arrays(data)
        self._follow_device()
        body = BodyFeatures(
            self.net_.module_.body, self.net_.device, self.net_.precision
        )
        return body.features(as_rows(data)).numpy()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.sparse &= self.objective == "supervised"
        tags.target_tags.required = self.objective == "supervised"
        return tags
