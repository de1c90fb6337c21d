"""TokenClassifier: a pretrained transformer, fine-tuned to tag tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from sklearn_memgen._text import PretrainedMixin
from sklearn_memgen._tokens import (
    TokenExamples,
    read_tokens,
    split_values,
    token_index,
)
from sklearn_memgen._trainable import Trainable
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.entities import entity_f1_score
from sklearn_memgen.nets.text import token_net
from sklearn_memgen.tables import TokenEncoder
from sklearn_memgen.tables.token_encoder import check_sentences

__all__ = ["TokenClassifier"]


class TokenClassifier(PretrainedMixin, NetClassifier):
    """Give each token of a sentence a tag, by a pretrained transformer.

    `X` is a list of sentences, each a list of tokens, and `y` a list of lists of tags,
    such as "B-PER", "I-PER" and "O" of named entities. A transformer of the Hugging
    Face library reads the whole sentence; the vector of the first sub-word token of
    each token carries its tag [1]_. All weights are trained. Needs the extra ``text``:
    ``pip install "sklearn-memgen[text]"``.

    Parameters
    ----------
    model : str, Path or transformers.PreTrainedModel
        A local folder with a model, its name on the Hugging Face hub, or the model
        itself, which is copied.
    tokenizer : str, Path or transformers tokenizer, default=None
        The same for its tokenizer, a fast one. None takes that of `model`.
    max_length : int, default=128
        Most sub-word tokens that are read at once, special ones included. Longer
        sentences are read in parts, so that every token gets a tag.
    head : {"linear", "prototype"}, default="linear"
        "linear" is a linear layer. "prototype" compares 300 linear features of a token
        with the means of each class, but for `background`, which has a logit that is
        learned: ProtoBERT [2]_, better for tags of very few tokens.
    background : str, default="O"
        The tag of tokens that are of no kind.
    episodic : bool, default=False
        Whether the prototype head learns from episodes: the classes of one half of the
        sentences of a step are found by the means of the other half; see
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
        Sentences a step, of like length.
    micro_batch_size : int, default=None
        Sentences that are computed at once: gradients are added up over the parts of a
        batch. It saves memory and changes nothing but rounding.
    gradient_checkpointing : bool, default=False
        Whether to compute activations a second time in the backward pass in the place
        of keeping them, which saves more memory and takes a third more time.
    max_epochs : int or "auto", default=5
        Passes over the sentences.
    early_stopping, validation_fraction, n_iter_no_change, tol
        When to stop; see `NetClassifier`. By default all epochs are made. Whole
        sentences are held out.
    clip_norm : float or None, default=1.0
        Largest norm of the gradients of a step.
    ema_decay, criterion, class_weight, precision, device, warm_start, callbacks, \
            net_params, random_state, verbose, trainable
        See `NetClassifier` and `TextClassifier`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The tags, sorted.
    net_ : ResidentNet
        The skorch net, with all weights: `model` is not needed to predict.
    encoder_ : tables.TokenEncoder
        The tokenizer.
    history_ : DataFrame of shape (n_epochs, n_columns)
        Losses in nats a token, learning rate and duration in seconds of each epoch.
    trace_ : Trace
        What each token did, if `callbacks` has a `training.Trace`: pass the index
        `token_index` makes to its `to_frame`.

    See Also
    --------
    TextClassifier : Classifies whole texts.
    entity_scores : Precision, recall and F1 of entities, type by type.

    Notes
    -----
    As taggers elsewhere this is no classifier to scikit-learn, whose classifiers have
    one label a row: `cross_val_score` and `GridSearchCV` split sentences without
    strata, and `score` is the F1 score of entities. ``scoring=make_scorer(
    entity_f1_score)`` is the same.

    Loss, weights and traces are those of tokens: each counts as much, whatever sentence
    it is in.

    References
    ----------
    .. [1] Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", 2019, https://arxiv.org/abs/1810.04805
    .. [2] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828

    Examples
    --------
    >>> from sklearn_memgen import TokenClassifier
    >>> model = TokenClassifier("sentence-transformers/all-MiniLM-L6-v2")
    >>> model.fit(sentences, tags)  # doctest: +SKIP
    >>> model.predict([["Empire", "State", "Building"]])  # doctest: +SKIP
    [['B-location', 'I-location', 'I-location']]
    """

    _parameter_constraints: dict = {
        **PretrainedMixin._parameter_constraints,
        "background": [str],
    }

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        max_length: int = 128,
        head: str = "linear",
        episodic: bool = False,
        background: str = "O",
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
        max_epochs: int | str = 5,
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
        self.max_length = max_length
        self.head = head
        self.episodic = episodic
        self.background = background
        self.dropout = dropout
        self.pretrained = pretrained
        self.head_learning_rate = head_learning_rate
        self.micro_batch_size = micro_batch_size
        self.gradient_checkpointing = gradient_checkpointing

    def _make_encoder(self) -> TokenEncoder:
        return TokenEncoder(self._named_tokenizer, max_length=self.max_length)

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        return partial(
            token_net,
            self.model,
            n_outputs,
            background=self._background_code,
            **self._body_params(),
        )

    @property
    def _background_code(self) -> int | None:
        codes = np.flatnonzero(self._known_classes == self.background)
        return int(codes[0]) if len(codes) else None

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        encoder: Any,
        classes: np.ndarray | None,
        reset: bool,
    ) -> TokenExamples:
        examples = read_tokens(self, X, y, sample_weight, classes=classes)
        # Which of them is the background must be known before the net is made.
        self._known_classes = examples.classes
        return examples

    @staticmethod
    def _arrange(X: Any, values: np.ndarray) -> list[Any]:
        """Divide values by sentences; tags become lists."""
        parts = split_values(X, values)
        return [p.tolist() if values.dtype.kind == "U" else p for p in parts]

    @staticmethod
    def _index_of(X: Any) -> pd.MultiIndex:
        return token_index(X)

    @staticmethod
    def _as_frame(X: Any) -> pd.DataFrame:
        tokens = list(chain.from_iterable(X))
        return pd.DataFrame({"token": tokens}, index=token_index(X))

    @staticmethod
    def _score_predictions(y: Any, predicted: Any, sample_weight: Any = None) -> float:
        if sample_weight is not None:
            raise ValueError("sample_weight is not supported by the score of entities")
        return entity_f1_score(y, predicted)

    # Predicting

    def _logits(self, X: Any) -> torch.Tensor:
        check_is_fitted(self)
        rows = self.encoder_.transform(X)
        self._follow_device()
        if not len(rows):
            return torch.empty(0, len(self.classes_))
        return self._pool(self.net_.logits(rows))

    def decision_function(self, X: Any) -> Any:
        """Compute the logits of each token.

        Parameters
        ----------
        X : list of list of str
            The sentences.

        Returns
        -------
        logits : list of ndarray of shape (n_tokens,) or (n_tokens, n_classes)
            Those of each sentence; see `NetClassifier.decision_function`.
        """
        return self._arrange(X, super().decision_function(X))

    def predict_proba(self, X: Any) -> Any:
        """Compute the probability of each tag.

        Parameters
        ----------
        X : list of list of str
            The sentences.

        Returns
        -------
        probabilities : list of ndarray of shape (n_tokens, n_classes)
            Those of each sentence, in the order of `classes_`.
        """
        return self._arrange(X, self._probabilities(X))

    def predict(self, X: Any) -> Any:
        """Predict the most probable tag of each token.

        Parameters
        ----------
        X : list of list of str
            The sentences.

        Returns
        -------
        tags : list of list of str
            Those of each sentence, one a token.

        Raises
        ------
        TypeError
            If a token is no string.
        ValueError
            If `X` is empty or no list of lists.
        """
        return self._arrange(X, super().predict(X))

    def score(self, X: Any, y: Any, sample_weight: None = None) -> float:
        """Return the F1 score of entities, over all types together.

        Parameters
        ----------
        X : list of list of str
            The sentences.
        y : list of list of str
            Their tags. Tags that the classifier has never seen are entities that it
            misses.
        sample_weight : None
            Not supported.

        Returns
        -------
        score : float
            See `entity_f1_score`.
        """
        return self._score_predictions(y, self.predict(X), sample_weight)

    def token_index(self, X: Any) -> pd.MultiIndex:
        """Return an index of all tokens, for traces.

        Parameters
        ----------
        X : list of list of str
            The sentences.

        Returns
        -------
        index : MultiIndex of shape (n_tokens,)
            The numbers of `sentence` and `token`.
        """
        check_sentences(X)
        return token_index(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = None
        tags.classifier_tags = None
        tags.input_tags.two_d_array = False
        return tags
