"""TextClassifier: a pretrained transformer, fine-tuned to classify texts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from sklearn_memgen._sklearn import StrOptions
from sklearn_memgen._text import PretrainedMixin
from sklearn_memgen._trainable import Trainable
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.nets.text import sequence_net
from sklearn_memgen.tables import TextEncoder

__all__ = ["TextClassifier"]


class TextClassifier(PretrainedMixin, NetClassifier):
    """Classify texts by a pretrained transformer, fine-tuned as a whole.

    A tokenizer makes ids of the texts, a transformer of the Hugging Face library makes
    a vector of each, and a head makes logits of that. All weights are trained [1]_.
    Needs the extra ``text``: ``pip install "sklearn-memgen[text]"``.

    Parameters
    ----------
    model : str, Path or transformers.PreTrainedModel
        A local folder with a model, its name on the Hugging Face hub, or the model
        itself, which is copied.
    tokenizer : str, Path or transformers tokenizer, default=None
        The same for its tokenizer. None takes that of `model`.
    columns : str, int or sequence of such, default=None
        Which column of a data frame is the text, or which two are text and second
        text. A frame of one column needs no name.
    max_length : int, default=128
        Sub-word tokens, special ones included, after which a text is cut off.
    pooling : {"mean", "cls", "max"}, default="mean"
        How the vectors of the tokens become that of the text: their mean, that of the
        first token, or the largest value of each feature.
    head : {"linear", "prototype"}, default="linear"
        "linear" is a linear layer on the vector. "prototype" compares 300 linear
        features of it with the means of each class; see `nets.PrototypeNet`. It is
        better for classes of very few texts.
    episodic : bool, default=False
        Whether the prototype head learns from episodes: the classes of one half of the
        texts of a step are found by the means of the other half; see
        `training.EpisodicBatches`. If not, running means of the classes are compared.
    dropout : float or None, default=0.1
        Share of values that are zeroed at random in training, within the transformer
        and before the head. None leaves the transformer as its configuration says,
        without any before the head.
    pretrained : bool, default=True
        Whether to begin with the weights that are there. If not they are drawn at
        random, by the configuration of the model alone.
    optimizer, weight_decay
        See `NetClassifier`. Biases and normalization are not decayed.
    learning_rate : float, default=1e-4
        The largest learning rate of the transformer.
    head_learning_rate : float or None, default=0.002
        That of the linear head, which begins at random. None takes `learning_rate`, and
        so does the prototype head.
    schedule : {"linear", "cosine", "constant"}, default="linear"
        "linear" lets the learning rates rise over the first 10 % of the steps and fall
        linearly to zero.
    batch_size : int or "auto", default=32
        Texts a step, of like length.
    micro_batch_size : int, default=None
        Texts that are computed at once: gradients are added up over the parts of a
        batch. It saves memory and changes nothing but rounding.
    gradient_checkpointing : bool, default=False
        Whether to compute activations a second time in the backward pass in the place
        of keeping them, which saves more memory and takes a third more time.
    max_epochs : int or "auto", default=10
        Passes over the texts.
    early_stopping, validation_fraction, n_iter_no_change, tol
        When to stop; see `NetClassifier`. By default all epochs are made.
    clip_norm : float or None, default=1.0
        Largest norm of the gradients of a step.
    ema_decay, criterion, class_weight, precision, device, warm_start, callbacks, \
            net_params, random_state, verbose, trainable
        See `NetClassifier`. ``precision="bfloat16"`` halves the memory of activations;
        on a CPU without instructions for it, it is slow.
        ``callbacks=[training.Checkpoint(folder)]`` lets a fit that was ended go on.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, sorted.
    net_ : ResidentNet
        The skorch net, with all weights: `model` is not needed to predict.
    encoder_ : tables.TextEncoder
        The tokenizer.
    history_ : DataFrame of shape (n_epochs, n_columns)
        Losses in nats, learning rate and duration in seconds of each epoch.
    trace_ : Trace
        What each text did, if `callbacks` has a `training.Trace`.
    n_features_in_ : int
        Number of columns, if `X` is a DataFrame.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names.

    See Also
    --------
    TokenClassifier : Gives a tag to each token.
    NetClassifier : Takes ``encoder=tables.TextEncoder(...)`` and a module of your own.

    Notes
    -----
    Batches have texts of like length and are padded to the longest, which saves most
    of the padding. The prediction for a text depends on the texts beside it by no more
    than rounding.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", 2019, https://arxiv.org/abs/1810.04805

    Examples
    --------
    >>> from sklearn_memgen import TextClassifier
    >>> model = TextClassifier("sentence-transformers/all-MiniLM-L6-v2")
    >>> model.fit(texts, labels).predict(["where is my card?"])  # doctest: +SKIP
    array(['card_arrival'], dtype='<U13')
    """

    _parameter_constraints: dict = {
        **PretrainedMixin._parameter_constraints,
        "columns": [str, Integral, "array-like", None],
        "pooling": [StrOptions({"mean", "cls", "max"})],
    }

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        columns: str | int | Sequence[Hashable] | None = None,
        max_length: int = 128,
        pooling: str = "mean",
        head: str = "linear",
        episodic: bool = False,
        dropout: float | None = 0.1,
        pretrained: bool = True,
        optimizer: str | Callable[..., Optimizer] = "adamw",
        learning_rate: float = 1e-4,
        head_learning_rate: float | None = 2e-3,
        weight_decay: float = 0.01,
        schedule: str = "linear",
        batch_size: int | str = 32,
        micro_batch_size: int | None = None,
        gradient_checkpointing: bool = False,
        max_epochs: int | str = 10,
        early_stopping: bool | str = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 0.0,
        clip_norm: float | None = 1.0,
        ema_decay: float | None = None,
        criterion: Callable[..., nn.Module] | None = None,
        class_weight: dict | str | None = None,
        precision: str = "auto",
        device: str | torch.device = "auto",
        warm_start: bool = False,
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
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
            criterion=criterion,
            class_weight=class_weight,
            precision=precision,
            device=device,
            warm_start=warm_start,
            callbacks=callbacks,
            net_params=net_params,
            random_state=random_state,
            verbose=verbose,
            trainable=trainable,
        )
        self.model = model
        self.tokenizer = tokenizer
        self.columns = columns
        self.max_length = max_length
        self.pooling = pooling
        self.head = head
        self.episodic = episodic
        self.dropout = dropout
        self.pretrained = pretrained
        self.head_learning_rate = head_learning_rate
        self.micro_batch_size = micro_batch_size
        self.gradient_checkpointing = gradient_checkpointing

    def _make_encoder(self) -> TextEncoder:
        return TextEncoder(
            self._named_tokenizer, columns=self.columns, max_length=self.max_length
        )

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        return partial(
            sequence_net,
            self.model,
            n_outputs,
            pooling=self.pooling,
            **self._body_params(),
        )
