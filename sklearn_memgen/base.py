"""NetClassifier: the scikit-learn contract, kept once for all nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from sklearn_memgen._encodings import SharedEncodings
from sklearn_memgen._labels import LabeledExamples, read_labeled
from sklearn_memgen._modules import module_maker
from sklearn_memgen._net_estimator import Learning, NetEstimator
from sklearn_memgen._prediction import LogitClassifierMixin
from sklearn_memgen._sklearn import (
    HasMethods,
    StrOptions,
    _check_partial_fit_first_call,
    _fit_context,
)
from sklearn_memgen._trainable import Trainable
from sklearn_memgen.training import LogisticLoss, Trace

__all__ = ["NetClassifier"]


class NetClassifier(LogitClassifierMixin, NetEstimator):
    """A classifier around a torch module that behaves like scikit-learn's own.

    Parameters
    ----------
    module : torch.nn.Module class or instance, or callable that makes one
        The net. It is called with a float tensor of the shape of `X`, or with one
        keyword argument for each array if `X` is a dict, and returns logits of shape
        (batch, n_classes); for two classes (batch, 1) or (batch,) will do. A class or
        callable is given `n_features` and `n_classes` if its signature names them. An
        instance is copied.
    module_params : dict, default=None
        Further keyword arguments for `module`.
    encoder : estimator, default=None
        Turns `X` into the module's inputs, such as `tables.TableEncoder`; it is
        cloned, and fitted on the training rows with their labels and weights.
    criterion : callable, default=None
        Makes the loss, called with ``reduction="none"``: a loss of (logits, class
        indices) that has a value for each row, such as `torch.nn.CrossEntropyLoss`.
        By default the cross-entropy.
    optimizer : {"adamw", "adam", "sgd"} or torch.optim.Optimizer class, \
            default="adamw"
        "sgd" has Nesterov momentum of 0.9.
    learning_rate : float, default=0.003
        Learning rate, the largest one unless `schedule` is "constant".
    weight_decay : float, default=0.01
        Weight decay of `optimizer`.
    schedule : {"cosine", "linear", "constant"}, default="cosine"
        "cosine" lets the learning rate rise over the first 5 % of the steps and fall
        to zero along a cosine, "linear" over the first 10 %, and linearly.
    batch_size : int or "auto", default="auto"
        Rows a step. "auto" takes the power of two next to a 64th of the rows, from 32
        to 512.
    max_epochs : int or "auto", default="auto"
        Passes over the rows. "auto" takes as many as give 3,000 steps, from 20 to 120.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, to stop when their loss has not fallen for
        `n_iter_no_change` epochs, and to return to the best epoch. "auto" does so from
        200 rows on.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out, in every class.
    n_iter_no_change : int, default=5
        Epochs without improvement after which training stops.
    tol : float, default=0.0
        Improvement of the validation loss, in nats, that counts.
    clip_norm : float, default=None
        Largest norm of the gradients of a step.
    ema_decay : float or None, default=None
        Share of the running average of the weights that remains after a step; the net
        is validated with the average and keeps it. None keeps the last weights.
        `partial_fit` does not average.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" computes in bfloat16 on a CUDA device that has it, else in float32.
    device : str or torch.device, default="auto"
        Where to compute; "auto" takes a CUDA device when there is one.
    warm_start : bool, default=False
        Whether `fit` goes on with the net of the last fit.
    callbacks : list of skorch callbacks, default=None
        Further callbacks, such as `training.Trace`. Those with a hook for batches slow
        training down to skorch's speed.
    net_params : dict, default=None
        Further parameters of the skorch net, such as
        ``{"optimizer__betas": (0.9, 0.95)}``.
    random_state : int, RandomState instance or None, default=None
        Draws initial weights, order of rows, and rows held out. torch's and NumPy's
        global generators stay as they were.
    verbose : int, default=0
        1 shows a progress bar with the losses.
    source : SourceNet, default=None
        A fitted base to start from, in the place of `module` and `encoder`: `X` is
        encoded as it was for the source, and the net is a copy of its body with a new
        linear head. Columns that only `X` has are left out, with a warning. The source
        stays as it is.
    trainable : {"all", "batch_norm"}, list of str, Guide or callable, default="all"
        What may change in training; all else keeps its first values to the bit.
        "batch_norm" is scale and shift of all normalizations, whatever their kind,
        without the output layer; see `batch_norm_study`. A list has patterns of names,
        such as ``["body.*"]``; a callable makes a `training.Guide` of the module.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.
    net_ : ResidentNet
        The skorch net.
    encoder_ : estimator or None
        The fitted encoder.
    history_ : DataFrame of shape (n_epochs, n_columns)
        Losses in nats, learning rate and duration in seconds of each epoch, and what
        callbacks recorded.
    trace_ : Trace
        What each training row did, if `callbacks` has a `training.Trace`.
    n_features_in_ : int
        Number of features. Not defined if `X` is a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` is a DataFrame and all are strings.

    See Also
    --------
    WideDeepClassifier : For tables of mixed columns, without a module of your own.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> class MLP(nn.Sequential):
    ...     def __init__(self, n_features, n_classes, n_units=16):
    ...         super().__init__(
    ...             nn.Linear(n_features, n_units), nn.ReLU(),
    ...             nn.Linear(n_units, n_classes),
    ...         )
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NetClassifier(MLP, module_params={"n_units": 32}, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict = {
        **NetEstimator._parameter_constraints,
        "module": [callable, None],
        "module_params": [dict, None],
        "encoder": [HasMethods(["fit", "transform"]), None],
        "criterion": [callable, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        module: Callable[..., nn.Module] | nn.Module | None = None,
        *,
        module_params: dict[str, Any] | None = None,
        encoder: Any = None,
        criterion: Callable[..., nn.Module] | None = None,
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
        ema_decay: float | None = None,
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
        self.module = module
        self.module_params = module_params
        self.encoder = encoder
        self.criterion = criterion
        self.class_weight = class_weight

    classes_: np.ndarray

    def _make_encoder(self) -> Any:
        if self.source is not None:
            return getattr(self.source, "encoder_", None)
        return None if self.encoder is None else clone(self.encoder)

    def _check_source(self) -> None:
        super()._check_source()
        if self.source is None:
            return
        for name in ("module", "encoder"):
            if getattr(self, name, None) is not None:
                raise ValueError(
                    "source= brings its own body and encoder, so module and encoder "
                    f"must be None; got {name}={getattr(self, name)!r}"
                )

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        if self.source is not None:
            return self.source.make_net(1 if n_outputs == 2 else n_outputs)
        if self.module is None:
            raise ValueError("module=None; NetClassifier needs a torch module")
        sizes = {"n_features": n_features, "n_classes": n_outputs}
        return module_maker(self.module, self.module_params, sizes)

    def _make_criterion(self) -> Callable[..., nn.Module]:
        criterion = getattr(self, "criterion", None)
        return (
            LogisticLoss if criterion is None else partial(criterion, reduction="none")
        )

    # What classifiers of other inputs replace

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        encoder: Any,
        classes: np.ndarray | None,
        reset: bool,
    ) -> LabeledExamples:
        """Check what is to be learned; see `read_labeled`."""
        return read_labeled(
            self, X, y, sample_weight, encoder=encoder, classes=classes, reset=reset
        )

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NetClassifier:
        """Train the net.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            The inputs, as far as encoder and module take them.
        y : array-like of shape (n_rows,)
            Class labels: strings, integers or booleans.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the loss: a row of weight 2 counts as two rows, one
            of weight 0 is left out.

        Returns
        -------
        self : NetClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If `X` or `y` cannot be learned from, or `device` is not there.
        FloatingPointError
            If the loss becomes infinite or NaN.

        Warns
        -----
        UserWarning
            On Ctrl-C during training; the classifier keeps what it has learned.
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
        self._check_source()
        going_on = self._goes_on
        encoder = self.encoder_ if going_on else self._make_encoder()
        examples = self._read(
            X,
            y,
            sample_weight,
            encoder=encoder,
            classes=self.classes_ if going_on else None,
            reset=not going_on,
        )
        classes = examples.classes
        examples = replace(examples, encodings=encodings)
        learning = self._fit(examples, encoder, going_on=going_on)
        del X, y, examples  # only tensors are learned from
        yield from learning
        self.classes_ = classes

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> NetClassifier:
        """Pass once over a chunk of data, at a constant learning rate.

        The encoder is fitted on the first chunk. A `WideDeepClassifier` extends it by
        the values of later ones; elsewhere, what only they hold is unknown to it.

        Parameters
        ----------
        X : DataFrame, array-like, sparse matrix, or dict of arrays, of n_rows rows
            A chunk of the inputs.
        y : array-like of shape (n_rows,)
            Its class labels.
        classes : array-like of shape (n_classes,), default=None
            All labels there will be; needed in the first call.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows.

        Returns
        -------
        self : NetClassifier
            The classifier.

        Raises
        ------
        ValueError
            If `classes` is missing in the first call or differs in a later one, if a
            label is not among them, or with ``class_weight="balanced"``, for which all
            rows have to be known.
        """
        first = not hasattr(self, "net_")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit, which does "
                "not see all rows; pass the weights as a dict"
            )
        self._check_source()
        encoder = self._make_encoder() if first else self.encoder_
        _check_partial_fit_first_call(self, classes)
        examples = self._read(
            X, y, sample_weight, encoder=encoder, classes=self.classes_, reset=first
        )
        self._learn_alone(self._partial_fit(examples, encoder, first=first))
        return self

    @property
    def trace_(self) -> Trace:
        """What each training row did in the last fit; see `Trace.to_frame`."""
        check_is_fitted(self)
        for _, callback in self.net_.callbacks_:
            if isinstance(callback, Trace):
                return callback
        raise AttributeError(
            "there is no trace: the last fit had no Trace among its callbacks; pass "
            "callbacks=[Trace()]"
        )
