"""GuidedTransferClassifier: scouts say which parameters a few rows may change."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch.optim import Optimizer

from sklearn_memgen._guide_explanation import explain_guide
from sklearn_memgen._inputs import Examples
from sklearn_memgen._labels import LabeledExamples
from sklearn_memgen._net_estimator import Encoded, Learning, NetEstimator
from sklearn_memgen._sklearn import Interval, StrOptions
from sklearn_memgen._target_guide import (
    HEADS,
    choose_head,
    make_guide,
    set_head,
    transferred,
)
from sklearn_memgen._trainable import Trainable
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.source_net import SourceNet
from sklearn_memgen.training import (
    AnchorCallback,
    Guide,
    GuideCallback,
    GuidePath,
    ResidentDataset,
)
from sklearn_memgen.training.guide_spread import FOCUSES, SCOPES, TEMPERATURES

__all__ = ["GuidedTransferClassifier"]


class GuidedTransferClassifier(NetClassifier):
    r"""Learn a task from a few rows, changing only what scouts had to change.

    The net starts from a `SourceNet`: its encoder, a copy of its body, and a head. Its
    scouts learned problems like the one that is coming, but easier. What they had to
    change this net may change, too; what all of them left alone is what the problems
    have in common, and a few rows shall not spoil it: guided transfer learning [1]_.

    Parameters
    ----------
    source : SourceNet, default=None
        A fitted base, with scouts if there is to be a guide of them. With None the
        classifier pretrains one on the rows that it is given, and sends its scouts.
    guide : {"tensor", "global"}, Guide, GuidePath or None, default="tensor"
        How much each parameter may change. "tensor" takes the smallest and the largest
        displacement of a parameter tensor for 0 and 1, "global" those of all that is
        transferred. A `Guide` names parameters of the net, "body.*" and "head.*"; those
        that it does not name are free. None is plain transfer.
    by_distance : bool, default=False
        Whether there are several guides, by how far the net is from its start: one for
        each stage that scouts were measured in, `SourceNet(scout_stages=...)`. Each
        epoch takes the guide of the stage in which scouts were as far. Several guides
        of your own are a `GuidePath`, whatever this says.
    temperature : str or (slope, intercept), default="room"
        How strict the guide is: "freezing", "icy", "chilly", "room", "warm" or
        "evaporating", or a line; see `Guide.temper`.
    focus : str, default="zero_enforced_and_normalized"
        How displacements are scaled; see `Guide.from_displacements`.
    spread : {"squared", "absolute"}, default="squared"
        Whether scouts' displacements are squared. "absolute" is more lenient.
    apply_to : {"update", "gradient"}, default="update"
        What the guide multiplies; see `Guide.attach`. Under Adam a guide of the
        gradient does next to nothing.
    head : {"auto", "new", "kept", "averaged"}, default="auto"
        "new" has random weights, and is free to move. "kept" is the source's, for the
        same classes; it is guided like the body. "averaged" starts all classes at the
        mean of the source's classes, so that none is ahead, and may change as much as
        those on average. "auto" is "kept" if the source has learned the same classes,
        else "new".
    sparsify_below : float or None, default=None
        Multipliers that do not exceed this become zero.
    layer_decay : float, default=1.0
        Multiplier of a layer of the body over that of the one behind it, beside the
        guide or with ``guide=None`` in its place; that of the last is 1. Layers near
        the input change the less the smaller it is, as in the discriminative
        fine-tuning of [3]_.
    anchor : float or None, default=None
        Strength of a pull back to the source, L2-SP [2]_, beside the guide or with
        ``guide=None`` in its place. It is decoupled: a step goes the share
        ``learning_rate * anchor`` of the way back, and obeys the guide; see
        `training.AnchorCallback`. A new head is not pulled.
    source_params : dict, default=None
        With ``source=None``, parameters of the `SourceNet` in its place. By default it
        learns the labels, and sends ten scouts, or as many as there are subsets.
    optimizer : {"adamw", "adam", "sgd"} or torch.optim.Optimizer class, default="adamw"
        See `NetClassifier`.
    learning_rate : float, default=0.01
        Learning rate. Guides are below 1 and slow a net down, so that it is higher
        than elsewhere; compare guides at the best rate of each.
    weight_decay : float, default=0.0
        Weight decay, which pulls to zero rather than to the source.
    schedule : {"cosine", "linear", "constant"}, default="cosine"
        See `NetClassifier`.
    batch_size, max_epochs, clip_norm, ema_decay, class_weight, precision, device
        See `NetClassifier`.
    early_stopping, validation_fraction, n_iter_no_change, tol
        See `NetClassifier`. By default no rows are held out below 200.
    warm_start, callbacks, net_params, random_state, verbose
        See `NetClassifier`.
    trainable : str, list, Guide or callable, default="all"
        See `NetClassifier`. What it lets change obeys `guide`, too.
    epochs_per_call : int, default=1
        Passes that `partial_fit` makes over the rows of a call, if only one.

    Attributes
    ----------
    guide_ : Guide, GuidePath or None
        How much each parameter of the net may change.
    head_ : {"new", "kept", "averaged"}
        Where the head comes from.
    source_ : SourceNet
        The source, the one given or the one pretrained.
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.
    net_ : ResidentNet
        The skorch net.
    encoder_ : TableEncoder or None
        The encoder of the source.
    history_ : DataFrame of shape (n_epochs, n_columns)
        See `NetClassifier`.
    n_features_in_ : int
        Number of features. Not defined if `X` is a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` is a DataFrame and all are strings.

    See Also
    --------
    SourceNet : The base and its scouts.
    NetClassifier : Starts from a source without a guide.
    few_shot_curve : Compares classifiers that learn from few rows.

    Notes
    -----
    With the displacements :math:`\theta_s - \theta_0` of scouts :math:`s` from the base
    the guide of a parameter :math:`w` is

    .. math::
        m_w = \frac1S \sum_s (\theta_{s,w} - \theta_{0,w})^2, \qquad
        g_w = \frac{m_w - \min m}{\max m - \min m}, \qquad
        \theta_w \leftarrow \theta_w + g_w \, \Delta\theta_w

    where :math:`\Delta\theta` is what the optimizer does in a step.

    Columns are matched by name. Those of the source that `X` lacks are named in a
    warning and taken as missing; those that only `X` has are left out, with a warning.

    References
    ----------
    .. [1] Nikolic, Andric and Nikolic, "Guided Transfer Learning", 2023,
       https://arxiv.org/abs/2303.16154
    .. [2] Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning
       with Convolutional Networks", 2018, https://arxiv.org/abs/1802.01483
    .. [3] Howard and Ruder, "Universal Language Model Fine-tuning for Text
       Classification", 2018, https://arxiv.org/abs/1801.06146

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_memgen import GuidedTransferClassifier, SourceNet
    >>> X, y = load_digits(return_X_y=True)
    >>> source = SourceNet(
    ...     objective="supervised", n_scouts=5, max_epochs=5, scout_epochs=5,
    ...     random_state=0,
    ... )
    >>> source = source.fit(X[y < 6], y[y < 6])
    >>> few = slice(0, 40)
    >>> X, y = X[y >= 6], y[y >= 6]
    >>> model = GuidedTransferClassifier(source=source, random_state=0)
    >>> model.fit(X[few], y[few]).score(X[40:], y[40:]) > 0.7
    True
    >>> model.guide_["head.weight"]  # the head is new
    tensor(1., dtype=torch.float64)
    """

    _parameter_constraints: dict = {
        **NetEstimator._parameter_constraints,
        "class_weight": NetClassifier._parameter_constraints["class_weight"],
        "guide": [StrOptions(set(SCOPES)), Guide, GuidePath, None],
        "by_distance": ["boolean"],
        "temperature": [StrOptions(set(TEMPERATURES)), tuple, list],
        "focus": [StrOptions(set(FOCUSES))],
        "spread": [StrOptions({"squared", "absolute"})],
        "apply_to": [StrOptions({"update", "gradient"})],
        "head": [StrOptions(set(HEADS))],
        "sparsify_below": [Interval(Real, 0, None, closed="left"), None],
        "layer_decay": [Interval(Real, 0, None, closed="neither")],
        "anchor": [Interval(Real, 0, None, closed="left"), None],
        "source_params": [dict, None],
        "epochs_per_call": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        source: SourceNet | None = None,
        *,
        guide: str | Guide | GuidePath | None = "tensor",
        by_distance: bool = False,
        temperature: str | tuple[float, float] = "room",
        focus: str = "zero_enforced_and_normalized",
        spread: str = "squared",
        apply_to: str = "update",
        head: str = "auto",
        sparsify_below: float | None = None,
        layer_decay: float = 1.0,
        anchor: float | None = None,
        source_params: dict[str, Any] | None = None,
        optimizer: str | Callable[..., Optimizer] = "adamw",
        learning_rate: float = 0.01,
        weight_decay: float = 0.0,
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
        epochs_per_call: int = 1,
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        trainable: Trainable = "all",
    ) -> None:
        NetEstimator.__init__(
            self,
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
        self.guide = guide
        self.by_distance = by_distance
        self.temperature = temperature
        self.focus = focus
        self.spread = spread
        self.apply_to = apply_to
        self.head = head
        self.sparsify_below = sparsify_below
        self.layer_decay = layer_decay
        self.anchor = anchor
        self.source_params = source_params
        self.class_weight = class_weight
        self.epochs_per_call = epochs_per_call

    source_: SourceNet
    head_: str
    guide_: Guide | GuidePath | None

    # What the net is, and what it obeys

    #: Columns that the source knows and `X` lacks have missing values.
    _fills_columns = True
    #: One row of each class is no reason to doubt that they are classes.
    _learns_few_rows = True

    def _check_source(self) -> None:
        super()._check_source()
        if not isinstance(self.temperature, str) and (
            len(self.temperature) != 2
            or not all(isinstance(number, Real) for number in self.temperature)
        ):
            raise ValueError(
                "temperature must be a name or a pair of numbers, slope and intercept; "
                f"got {self.temperature!r}"
            )

    def _make_source(self) -> SourceNet:
        """Return the source to be pretrained in the place of a given one."""
        params: dict[str, Any] = {
            "objective": "supervised",
            "device": self.device,
            "precision": self.precision,
        }
        return SourceNet(**params | (self.source_params or {}))

    def _make_encoder(self) -> Any:
        if self.source is not None:
            return getattr(self.source, "encoder_", None)
        return self._make_source()._make_encoder()

    def _fit_encoder(
        self, encoder: Any, examples: Examples
    ) -> tuple[Any, ResidentDataset]:
        return encoder, examples.encode(encoder)  # it was fitted for the source

    def _encode(
        self, examples: Examples, held_out: Examples | None
    ) -> Learning[Encoded]:
        yield from self._find_source(examples)
        return self._encode_by(self.source_.encoder_, examples, held_out)

    def _partial_fit(
        self, examples: Examples, encoder: Any, *, first: bool, n_epochs: int = 1
    ) -> Learning[None]:
        if first:
            yield from self._find_source(examples)
            encoder = self.source_.encoder_
        n_epochs = n_epochs * self.epochs_per_call
        yield from super()._partial_fit(
            examples, encoder, first=first, n_epochs=n_epochs
        )

    def _find_source(self, examples: Examples) -> Learning[None]:
        """Take the source that is given, or pretrain one."""
        assert isinstance(examples, LabeledExamples)
        if self.source is not None:
            self.source_ = self.source
        else:
            yield from self._pretrain(examples)
        self.head_ = choose_head(self.head, self.source_, examples.classes)

    def _pretrain(self, examples: LabeledExamples) -> Learning[None]:
        source = self._make_source()
        source._learns_few_rows = True
        given = self.source_params or {}
        if "random_state" not in given:
            # Drawn apart, so that the net draws what it draws with a given source.
            seed = check_random_state(self.random_state).randint(2**31)
            source.set_params(random_state=seed)
        if "n_scouts" not in given and isinstance(self.guide, str):
            source.set_params(n_scouts=10)
            source._takes_fewer = True
        if "scout_stages" not in given and self.by_distance:
            source.set_params(scout_stages=3)
        yield from source._learning(examples.data, examples.y, examples.sample_weight)
        self.source_ = source

    @property
    def _start(self) -> SourceNet:
        """What the net starts from."""
        return self.source_ if self.source is None else self.source

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        net = self._start.make_net(1 if n_outputs == 2 else n_outputs)
        set_head(net, self.head_, self._start)
        return net

    def _make_callbacks(self) -> list[Any]:
        callbacks = super()._make_callbacks()
        # Anew for each training, before which parameters may have been set.
        self.guide_ = make_guide(
            self._start,
            self.guide,
            by_distance=self.by_distance,
            scale={"spread": self.spread, "focus": self.focus},
            temperature=self.temperature,
            sparsify_below=self.sparsify_below,
            layer_decay=self.layer_decay,
            head=self.head_,
        )
        start = transferred(self._start, self.head_)
        if self.guide_ is not None:
            callbacks.append(
                GuideCallback(self.guide_, apply_to=self.apply_to, start=start)
            )
        if self.anchor:
            callbacks.append(AnchorCallback(self.anchor, start))
        return callbacks

    # What may change

    def explain_guide(self) -> pd.DataFrame:
        """Tell which columns, layers and units may change how much.

        Returns
        -------
        frame : DataFrame of shape (n_features + n_layers + n_units, 5)
            Its `kind` is "feature", "layer" or "unit". `name`: of the column; of the
            layer, as in `named_parameters`; or of the layer with the number of the
            unit. `n_parameters`: how many parameters it has: a column those that
            nothing else goes in by, its embeddings and weights of the first layer.
            `mean`: their mean multiplier. `zeros`: the share of them that is frozen. A
            body of your own has features if its first layer has weights for each.
            If there are several guides, a first column `distance` says from where on
            each holds, in the unit of the parameters.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        ValueError
            If there is no guide.
        """
        check_is_fitted(self)
        if self.guide_ is None:
            raise ValueError("guide=None: there is no guide to explain")
        features = getattr(self, "feature_names_in_", None)
        if features is None and hasattr(self, "n_features_in_"):
            features = [f"x{j}" for j in range(self.n_features_in_)]
        net = self.net_.module_
        if isinstance(self.guide_, Guide):
            return explain_guide(self.guide_, net, self.encoder_, features)
        frames = [
            explain_guide(guide, net, self.encoder_, features)
            for guide in self.guide_.guides
        ]
        begins = [0.0, *self.guide_.distances]
        for frame, begin in zip(frames, begins, strict=True):
            frame.insert(0, "distance", begin)
        return pd.concat(frames, ignore_index=True)
