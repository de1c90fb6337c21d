"""Transformers of the Hugging Face library, made ready to be a part of a module."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["load_transformer", "longest_input", "takes_token_types"]

#: What architectures call the shares of values that are zeroed in training.
_DROPOUT_NAMES = (
    "activation_dropout",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "dropout",
    "dropout_rate",
    "embd_pdrop",
    "embedding_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "mlp_dropout",
    "resid_pdrop",
)
_CONFIG_FILES = ("config.json",)
_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
#: Tables of embedded positions, by the ends of their names.
_POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe")
#: Whether to show progress is a setting of the whole process.
_LOADING = threading.Lock()


def load_transformer(
    model: Any,
    *,
    dropout: float | None = None,
    pretrained: bool = True,
    gradient_checkpointing: bool = False,
) -> nn.Module:
    """Load a transformer, or copy one, for fine-tuning.

    Parameters
    ----------
    model : str, Path or transformers.PreTrainedModel
        A local folder, a name on the Hugging Face hub, or the model itself. Of one with
        encoder and decoder the encoder is taken, and of one with a head the rest.
    dropout : float, default=None
        Share of values that are zeroed at random in training, wherever the architecture
        does so. None leaves it as the configuration says.
    pretrained : bool, default=True
        Whether to have the weights that are there. If not they are drawn by torch's
        generator, and of a folder ``config.json`` alone is read.
    gradient_checkpointing : bool, default=False
        Whether to compute activations again in the backward pass, not to keep them.

    Returns
    -------
    encoder : transformers.PreTrainedModel
        With float32 weights, on the host, and without the pooling layer that some
        architectures have for another task.

    Raises
    ------
    ImportError
        If transformers is not installed.
    TypeError
        If `model` is none of these.
    ValueError
        If a folder has no configuration, or not all weights.
    OSError
        If there is no such folder, and the hub cannot be reached or has no such model.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "models of texts need the package transformers: "
            'pip install "sklearn-memgen[text]"'
        ) from error
    if isinstance(model, transformers.PreTrainedModel):
        encoder = _copy(model, dropout, pretrained)
    elif isinstance(model, str | Path):
        encoder = _load(model, dropout, pretrained)
    else:
        raise TypeError(
            "model must be a folder, a name on the Hugging Face hub or a "
            f"transformers.PreTrainedModel; got {model!r:.80}"
        )
    if encoder.config.is_encoder_decoder:
        encoder = encoder.get_encoder()
    # Its output is not used: it would be pruned, guided and decayed without a reason.
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = nn.Identity()
    if gradient_checkpointing:
        _checkpoint_gradients(encoder)
    return encoder.float().train()


def _load(model: str | Path, dropout: float | None, pretrained: bool) -> Any:
    from transformers import AutoConfig, AutoModel

    name = str(model)
    config = _reading(name, _CONFIG_FILES, lambda: AutoConfig.from_pretrained(name))
    _set_config(config, dropout)
    if not pretrained:
        return AutoModel.from_config(config, dtype=torch.float32)
    with _quietly():
        encoder, info = _reading(
            name,
            _WEIGHT_FILES,
            lambda: AutoModel.from_pretrained(
                name, config=config, output_loading_info=True
            ),
        )
    # Of what is thrown away nothing need be there.
    unused = ("pooler.", "decoder.") if config.is_encoder_decoder else ("pooler.",)
    missing = sorted(k for k in info["missing_keys"] if not k.startswith(unused))
    if missing:
        raise ValueError(
            f"model={name!r} lacks {len(missing)} of the {config.model_type} "
            f"model's weights, such as {missing[0]!r}; pretrained=False draws all"
        )
    return encoder


def _copy(model: Any, dropout: float | None, pretrained: bool) -> Any:
    base = model.base_model
    if pretrained:
        # What a user has frozen or added remains so, unlike in a model made anew.
        encoder = copy.deepcopy(base).cpu()
    else:
        config = copy.deepcopy(base.config)
        _set_config(config, dropout)
        encoder = type(base)(config)
    _set_config(encoder.config, dropout)
    if dropout is not None:
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
            for name in _DROPOUT_NAMES:
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, dropout)
    return encoder


def _set_config(config: Any, dropout: float | None) -> None:
    """Set dropout wherever an architecture has it, and save nothing for generation."""
    if hasattr(config, "use_cache"):
        config.use_cache = False
    if dropout is not None:
        for name in _DROPOUT_NAMES:
            if hasattr(config, name):
                setattr(config, name, dropout)


def _reading(name: str, patterns: Sequence[str], read: Callable[[], Any]) -> Any:
    """Read files of a model, or say that they are not there."""
    try:
        return read()
    # Broken files raise what their parsers do.
    except Exception as error:
        folder = Path(name)
        if folder.is_dir():
            found = sorted(p.name for each in patterns for p in folder.glob(each))
            raise ValueError(
                f"model={name!r} is a folder without a model that can be loaded: "
                f"expected {' or '.join(patterns)}, found {found or 'none'}; {error}"
            ) from error
        if isinstance(error, OSError):
            raise OSError(
                f"model={name!r} is no local folder, and the Hugging Face hub "
                "could not be reached or has no model of this name; give a local "
                "folder that holds the model's files"
            ) from error
        raise


def _checkpoint_gradients(encoder: Any) -> None:
    """Keep the inputs of each layer alone for the backward pass."""
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(encoder, name) for name in names if hasattr(encoder, name))
    enable({"use_reentrant": False})
    # The reentrant kind needs inputs that have gradients. The hook that sees to it
    # cannot be pickled.
    encoder.disable_input_require_grads()


@contextmanager
def _quietly() -> Iterator[None]:
    """Load without a progress bar, and without a table of weights of other heads."""
    from transformers.utils import logging as messages

    # Versions without it show no bar for a model in one file.
    set_hook = getattr(messages, "set_tqdm_hook", lambda hook: None)
    logger = logging.getLogger("transformers.modeling_utils")
    with _LOADING:
        hook = set_hook(_without_bar)
        logger.addFilter(_is_error)
        try:
            yield
        finally:
            logger.removeFilter(_is_error)
            set_hook(hook)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _without_bar(make: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    return make(*args, **kwargs | {"disable": True})


def takes_token_types(encoder: nn.Module) -> bool:
    """Tell whether a transformer has embeddings for the two texts of a pair."""
    return getattr(encoder.config, "type_vocab_size", None) not in (None, 0, 1)


def longest_input(encoder: nn.Module) -> int | None:
    """Return the most tokens that a transformer reads; None if it has no such limit."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith(_POSITION_TABLES):
            # Where padding has a position of its own, those of tokens follow it.
            n_before = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - int(getattr(module, "offset", n_before))
    return None
