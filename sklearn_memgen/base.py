"""NetClassifier: the scikit-learn contract, kept once for all nets."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from sklearn_memgen._inputs import (
    Examples,
    as_rows,
    read_examples,
    read_inputs,
)
from sklearn_memgen._prediction import LogitClassifierMixin
from sklearn_memgen._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _check_partial_fit_first_call,
    _fit_context,
)
from sklearn_memgen.training import (
    LogisticLoss,
    ResidentDataset,
    ResidentNet,
    at_most_threads,
    auto_batch_size,
    auto_max_epochs,
    resolve_device,
    seeded,
    train,
)

__all__ = ["NetClassifier"]

_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
}


class NetClassifier(LogitClassifierMixin, BaseEstimator):
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
        Learning rate, the largest one if `schedule` is "cosine".
    weight_decay : float, default=0.01
        Weight decay of `optimizer`.
    schedule : {"cosine", "constant"}, default="cosine"
        "cosine" lets the learning rate rise over the first 5 % of the steps and fall
        to zero along a cosine.
    batch_size : int or "auto", default="auto"
        Rows a step. "auto" takes the power of two next to a 64th of the rows, from 32
        to 512.
    max_epochs : int or "auto", default="auto"
        Passes over the rows. "auto" takes as many as give 2,000 steps, from 10 to 100.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, to stop when their loss has not fallen for
        `n_iter_no_change` epochs, and to return to the best epoch. "auto" does so from
        1,000 rows on.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out, in every class.
    n_iter_no_change : int, default=5
        Epochs without improvement after which training stops.
    tol : float, default=0.0
        Improvement of the validation loss, in nats, that counts.
    clip_norm : float, default=None
        Largest norm of the gradients of a step.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" computes in bfloat16 on a CUDA device that has it, else in float32.
    device : str or torch.device, default="auto"
        Where to compute; "auto" takes a CUDA device when there is one.
    warm_start : bool, default=False
        Whether `fit` goes on with the net of the last fit.
    callbacks : list of skorch callbacks, default=None
        Further callbacks. Those with a hook for batches slow training down to skorch's
        speed.
    net_params : dict, default=None
        Further parameters of the skorch net, such as
        ``{"optimizer__betas": (0.9, 0.95)}``.
    random_state : int, RandomState instance or None, default=None
        Draws initial weights, order of rows, and rows held out. torch's and NumPy's
        global generators stay as they were.
    verbose : int, default=0
        1 shows a progress bar with the losses.

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
        "module": [callable, None],
        "module_params": [dict, None],
        "encoder": [HasMethods(["fit", "transform"]), None],
        "criterion": [callable, None],
        "optimizer": [StrOptions(set(_OPTIMIZERS)), callable],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions({"cosine", "constant"})],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str, torch.device],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "net_params": [dict, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
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
        class_weight: dict | str | None = None,
        precision: str = "auto",
        device: str | torch.device = "auto",
        warm_start: bool = False,
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.module = module
        self.module_params = module_params
        self.encoder = encoder
        self.criterion = criterion
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.clip_norm = clip_norm
        self.class_weight = class_weight
        self.precision = precision
        self.device = device
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose

    classes_: np.ndarray
    encoder_: Any
    net_: ResidentNet

    # What subclasses replace

    def _make_encoder(self) -> Any:
        """Return an encoder to be fitted, or None."""
        return None if self.encoder is None else clone(self.encoder)

    def _make_module(self, encoder: Any, n_features: int | None, n_classes: int) -> Any:
        """Return the module, or what makes it."""
        if self.module is None:
            raise ValueError("module=None; NetClassifier needs a torch module")
        if isinstance(self.module, nn.Module):
            return copy.deepcopy(self.module)
        params = dict(self.module_params or {})
        offered = {"n_features": n_features, "n_classes": n_classes}
        accepted = inspect.signature(self.module).parameters
        params |= {
            k: v for k, v in offered.items() if k in accepted and k not in params
        }
        return partial(self.module, **params)

    def _make_criterion(self) -> Callable[..., nn.Module]:
        """Return what makes the loss."""
        criterion = getattr(self, "criterion", None)
        return (
            LogisticLoss if criterion is None else partial(criterion, reduction="none")
        )

    def _group_optimizers(self, batch_size: int) -> dict[str, Callable[..., Optimizer]]:
        """Return what makes the optimizers of a module's `optimizer_groups`."""
        return {"sparse": partial(torch.optim.SparseAdam, lr=self.learning_rate)}

    def _worthwhile_threads(self, net: ResidentNet) -> int | None:
        """Return how many threads a training step can make use of, if that is known."""
        return None

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
        going_on = self.warm_start and hasattr(self, "net_")
        encoder = self.encoder_ if going_on else self._make_encoder()
        examples = read_examples(
            self,
            X,
            y,
            sample_weight,
            encoder=encoder,
            classes=self.classes_ if going_on else None,
            reset=not going_on,
        )
        self._rng = check_random_state(self.random_state)
        examples, held_out = examples.split(
            self.early_stopping, self.validation_fraction, self._rng
        )
        if going_on:
            encoder = self._extend_encoder(encoder, examples)
        training = examples.encode(encoder, fit=not going_on)
        validation = None if held_out is None else held_out.encode(encoder, fit=False)
        if training.weight is not None:
            # So that the scale of the weights does not change the learning rate.
            scale = 1 / training.weight.mean()
            training = training.weighted(scale)
            validation = None if validation is None else validation.weighted(scale)
        self._train(
            self.net_ if going_on else None,
            encoder,
            examples.classes,
            training,
            validation,
            schedule=self.schedule,
            max_epochs=self.max_epochs,
        )
        return self

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
        encoder = self._make_encoder() if first else self.encoder_
        _check_partial_fit_first_call(self, classes)
        examples = read_examples(
            self,
            X,
            y,
            sample_weight,
            encoder=encoder,
            classes=self.classes_,
            reset=first,
        )
        if not first:
            encoder = self._extend_encoder(encoder, examples)
        chunk = examples.encode(encoder, fit=first)
        if first:
            # Kept, so that each chunk is shuffled anew.
            self._rng = check_random_state(self.random_state)
        self._train(
            None if first else self.net_,
            encoder,
            self.classes_,
            chunk,
            None,
            schedule="constant",
            max_epochs=1,
        )
        return self

    def _train(
        self,
        net: ResidentNet | None,
        encoder: Any,
        classes: np.ndarray,
        training: ResidentDataset,
        validation: ResidentDataset | None,
        *,
        schedule: str,
        max_epochs: int | str,
    ) -> None:
        """Train a net, or a new one, and keep it."""
        device = resolve_device(self.device)
        batch_size = auto_batch_size(self.batch_size, len(training))
        with seeded(self._rng.randint(2**31), device):
            if net is None:
                net = self._make_net(encoder, training, len(classes), batch_size)
                net.set_params(device=str(device)).initialize()
            else:
                net = self._make_heir(
                    net.to(device), encoder, training, len(classes), batch_size
                )
                # Together, and before training, which may fail.
                self.encoder_, self.net_ = encoder, net
                net.set_params(  # they may have been set since the net was made
                    lr=self.learning_rate,
                    optimizer__weight_decay=self.weight_decay,
                    clip_norm=self.clip_norm,
                    precision=self.precision,
                )
            net.batch_size = batch_size
            net.max_epochs = auto_max_epochs(max_epochs, len(training), batch_size)
            net.schedule = schedule
            with at_most_threads(self._worthwhile_threads(net)):
                self.history_ = train(
                    net,
                    training,
                    validation,
                    callbacks=self.callbacks or (),
                    n_iter_no_change=self.n_iter_no_change,
                    tol=self.tol,
                    verbose=self.verbose,
                )
        self.classes_, self.encoder_, self.net_ = classes, encoder, net

    def _make_net(
        self, encoder: Any, training: ResidentDataset, n_classes: int, batch_size: int
    ) -> ResidentNet:
        inputs = training.X[:1].inputs()
        n_features = inputs.shape[-1] if isinstance(inputs, torch.Tensor) else None
        optimizer = self.optimizer
        net = ResidentNet(
            self._make_module(encoder, n_features, n_classes),
            criterion=self._make_criterion(),
            optimizer=_OPTIMIZERS[optimizer]
            if isinstance(optimizer, str)
            else optimizer,
            optimizer__weight_decay=self.weight_decay,
            lr=self.learning_rate,
            group_optimizers=self._group_optimizers(batch_size),
            clip_norm=self.clip_norm,
            precision=self.precision,
            classes=list(range(n_classes)),
            verbose=0,
        )
        return net.set_params(**(self.net_params or {}))

    def _extend_encoder(self, encoder: Any, examples: Examples) -> Any:
        """Return the encoder to go on with: `encoder`, or one that knows more."""
        return encoder

    def _make_heir(
        self,
        net: ResidentNet,
        encoder: Any,
        training: ResidentDataset,
        n_classes: int,
        batch_size: int,
    ) -> ResidentNet:
        """Return the net to go on with: `net`, or one that inherits from it."""
        return net

    # Predicting

    def _logits(self, X: Any) -> torch.Tensor:
        check_is_fitted(self)
        data = read_inputs(self, X, self.encoder_, reset=False)
        if self.encoder_ is not None:
            data = self.encoder_.transform(data)
        self._follow_device()
        return self.net_.logits(as_rows(data))

    def _follow_device(self) -> None:
        """Move the net where `device` says; to the CPU where there is no such device.

        A model fitted on a GPU is loaded on the CPU, and moves from there.
        """
        try:
            device = resolve_device(self.device)
        except ValueError:
            device = torch.device("cpu")
        if str(device) != self.net_.device:
            self.net_.to(device)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encoder = self._make_encoder()
        if encoder is not None:
            tags.input_tags = get_tags(encoder).input_tags
        return tags
