"""Which members can be computed as one, and why others cannot."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import joblib
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from sklearn_memgen.training.batches import (
    MEMORY_SHARE,
    ResidentBatches,
    ResidentDataset,
    Rows,
    SelectedRows,
)
from sklearn_memgen.training.checkpoint import Checkpoint
from sklearn_memgen.training.member import StartedMember
from sklearn_memgen.training.net import ResidentNet
from sklearn_memgen.training.observers import wants_batches
from sklearn_memgen.training.ragged import lengths_of

__all__ = [
    "CannotStackError",
    "as_arguments",
    "skeleton",
    "stacking_key",
    "table_of",
    "values_differ",
]

#: What a stack computes in the place of a net; a net that does it otherwise is alone.
_OWN_STEPS = ("_loss", "infer", "_run_quietly", "_before_step", "fit_loop", "passes")
#: Attributes that are no settings: tensors and hooks, which are looked at apart.
_OF_ALL_MODULES = frozenset(nn.Module().__dict__)
#: Rows on which inputs are looked at.
_FEW_ROWS = 64


class CannotStackError(ValueError):
    """Says why a member cannot be stacked."""


def table_of(X: Rows) -> Rows:
    """Return the table that rows are taken of."""
    return X.table if isinstance(X, SelectedRows) else X


def stacking_key(started: StartedMember) -> Hashable:
    """Return what members must have in common to be stacked.

    Parameters
    ----------
    started : StartedMember
        The member.

    Returns
    -------
    key : hashable
        Members of equal keys have nets of one structure on the same table.

    Raises
    ------
    CannotStackError
        If the member cannot be stacked with any other.
    """
    net, module = started.net, started.net.module_
    _check_net(started)
    _check_module(module)
    _check_inputs(started.training.X)
    parameters = dict(module.named_parameters())
    kinds = {(p.dtype, p.device) for p in parameters.values()}
    if len(kinds) != 1 or not next(iter(kinds))[0].is_floating_point:
        raise CannotStackError("its parameters are of several types, or there are none")
    validation = started.validation
    if validation is not None:
        _check_inputs(validation.X)
    return (
        type(net),
        skeleton(module),
        skeleton(net.criterion_),
        [(n, p.shape, p.requires_grad) for n, p in parameters.items()].__repr__(),
        [(n, b.shape, b.dtype) for n, b in module.named_buffers()].__repr__(),
        id(table_of(started.training.X)),
        None if validation is None else id(table_of(validation.X)),
        started.training.targets.dtype,
        net.batch_size,
        str(net.precision),
        net.ema_decay is None,
        kinds.pop(),
    )


def _check_net(started: StartedMember) -> None:
    net = started.net
    for name in _OWN_STEPS:
        if getattr(type(net), name) is not getattr(ResidentNet, name):
            raise CannotStackError(f"{type(net).__name__} has its own {name}")
    named = [c if isinstance(c, tuple) else ("", c) for c in started.callbacks]
    if any(isinstance(callback, Checkpoint) for _, callback in named):
        raise CannotStackError("it is checkpointed")
    if wants_batches(named):
        raise CannotStackError("one of its callbacks has a hook for batches")
    iterators = (net.iterator_train, net.iterator_valid)
    if iterators != (ResidentBatches, ResidentBatches):
        raise CannotStackError("its batches are not those of ResidentBatches")
    if net.micro_batch_size is not None:
        raise CannotStackError("its batches are computed in parts")
    if any(True for _ in net.criterion_.parameters()):
        raise CannotStackError("its loss has parameters")
    for data in (started.training, started.validation):
        if data is not None and data.y is None:
            raise CannotStackError("its data has no targets")
        if data is not None and not _fits(data, started.device):
            raise CannotStackError("its table takes more than the device can hold")


def _fits(data: ResidentDataset, device: torch.device) -> bool:
    """Tell whether the data would be brought to a GPU, or streamed."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return data.X.nbytes <= MEMORY_SHARE * free


def _check_module(module: nn.Module) -> None:
    if getattr(module, "takes_labels", False):
        raise CannotStackError(f"{type(module).__name__} takes labels in training")
    for name, part in module.named_modules():
        where = f"{type(part).__name__} {name!r}"
        if isinstance(part, _NormBase) and part.track_running_stats:
            raise CannotStackError(f"{where} keeps running statistics")
        if isinstance(part, _DropoutNd) and part.p:
            raise CannotStackError(f"{where} draws at random")
        if getattr(part, "sparse", False):
            raise CannotStackError(f"{where} has sparse gradients")
        if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks:
            raise CannotStackError(f"{where} has hooks")


def _check_inputs(X: Rows) -> None:
    if lengths_of(X) is not None:
        raise CannotStackError("its rows are of different length")
    few = X[: min(len(X), _FEW_ROWS)]
    inputs = few.inputs()
    tensors = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    if not all(isinstance(t, Tensor) and len(t) == len(few) for t in tensors):
        raise CannotStackError("its inputs have no row for each example")


def skeleton(module: nn.Module) -> str:
    """Return a hash of what a module is, but for its tensors."""
    parts = [
        (
            name,
            type(part).__qualname__,
            {
                key: value
                for key, value in part.__dict__.items()
                if key not in _OF_ALL_MODULES
            },
        )
        for name, part in module.named_modules()
    ]
    try:
        return joblib.hash(parts)
    except Exception as error:
        raise CannotStackError(
            f"the attributes of {type(module).__name__} cannot be compared"
        ) from error


def values_differ(tensors: list[Tensor]) -> bool:
    """Tell whether tensors of one shape have different values."""
    return any(not torch.equal(tensors[0], other) for other in tensors[1:])


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a module's inputs as positional and named arguments."""
    return ((), dict(inputs)) if isinstance(inputs, Mapping) else ((inputs,), {})
