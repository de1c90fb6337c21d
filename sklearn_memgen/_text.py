"""What classifiers of texts and of tokens have in common."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path
from typing import Any

from torch import nn

from sklearn_memgen._sklearn import HasMethods, Interval, StrOptions
from sklearn_memgen._trainable import Trainable, trainable_callbacks
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.training import ClassMeans, EpisodicBatches

__all__ = ["PretrainedMixin"]

#: Parameters that weight decay leaves alone, as Devlin et al. do: biases, scales of
#: normalization, by the names that they have in transformers.
_NOT_DECAYED = ("*.bias", "*[nN]orm*.weight", "*.ln_*.weight", "*background_logit")


class PretrainedMixin:
    """The part of a classifier that fine-tunes a pretrained transformer.

    Its parameters are those of `TextClassifier` and `TokenClassifier`.
    """

    _parameter_constraints: dict = {
        "model": [str, Path, HasMethods("forward")],
        "tokenizer": [str, Path, HasMethods("convert_tokens_to_ids"), None],
        "max_length": [Interval(Integral, 3, None, closed="left")],
        "head": [StrOptions({"linear", "prototype"})],
        "episodic": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "pretrained": ["boolean"],
        "head_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "micro_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "gradient_checkpointing": ["boolean"],
        **{
            name: NetClassifier._parameter_constraints[name]
            for name in NetClassifier._parameter_constraints
            if name not in ("module", "module_params", "encoder", "source")
        },
    }

    model: Any
    tokenizer: Any
    head: str
    episodic: bool
    dropout: float | None
    pretrained: bool
    head_learning_rate: float | None
    micro_batch_size: int | None
    gradient_checkpointing: bool
    net_params: dict[str, Any] | None
    callbacks: list[Any] | None
    trainable: Trainable

    @property
    def _named_tokenizer(self) -> Any:
        if self.tokenizer is not None:
            return self.tokenizer
        if isinstance(self.model, nn.Module):
            raise ValueError(
                f"model is a {type(self.model).__name__} itself, which has no "
                "tokenizer; pass one by tokenizer="
            )
        return self.model

    def _body_params(self) -> dict[str, Any]:
        """Return what the functions of `nets.text` are given."""
        return {
            "head": self.head,
            "dropout": self.dropout,
            "pretrained": self.pretrained,
            "gradient_checkpointing": self.gradient_checkpointing,
        }

    def _make_callbacks(self) -> list[Any]:
        means = [ClassMeans()] if self.head == "prototype" else []
        return [*means, *(self.callbacks or ()), *trainable_callbacks(self.trainable)]

    def _net_settings(self) -> dict[str, Any]:
        groups: list[tuple[str, dict[str, float]]] = []
        if self.head_learning_rate is not None:
            rate = {"lr": self.head_learning_rate}
            groups += [("head.bias", rate | {"weight_decay": 0.0}), ("head.*", rate)]
        groups += [(name, {"weight_decay": 0.0}) for name in _NOT_DECAYED]
        settings: dict[str, Any] = {"optimizer__param_groups": groups}
        if self.micro_batch_size is not None:
            settings["micro_batch_size"] = self.micro_batch_size
        if self.episodic and self.head == "prototype":
            settings["iterator_train"] = EpisodicBatches
            settings["iterator_train__background"] = self._background_code
        return settings | (self.net_params or {})

    @property
    def _background_code(self) -> int | None:
        """The class that has no prototype, if there is one."""
        return None
