"""What makes a fit, as a hash: fits of one key come out the same."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator
from types import CodeType, FunctionType
from typing import Any

import joblib
import numpy as np
import torch
from joblib.hashing import NumpyHasher
from torch import Tensor, nn
from torch.optim import Optimizer

from sklearn_memgen.training.batches import ResidentDataset
from sklearn_memgen.training.snapshot import parameters_of

__all__ = ["fit_key"]

#: Parameters of a net that are looked at apart, or change nothing in what it learns.
_APART = frozenset({"module", "callbacks", "train_split", "max_epochs"})
_IDLE = frozenset({"verbose", "warm_start"})
#: Attributes of a module that are no settings.
_OF_ALL_MODULES = frozenset(nn.Module().__dict__)
#: Rows whose inputs are looked at together.
_BLOCK_ROWS = 2**12


def fit_key(
    net: Any, training: Any, validation: Any, callbacks: list[tuple[str, Any]]
) -> str:
    """Return a hash of all that a fit depends on, but for the code and the machine.

    Parameters
    ----------
    net : ResidentNet
        A net that is about to make its first epoch.
    training, validation : ResidentDataset or other Dataset or None
        What it learns, and what it is validated with.
    callbacks : list of (str, Callback)
        Those that count.

    Returns
    -------
    key : str
        32 characters. Objects that cannot be pickled count by the name of their class,
        functions by their name or, if they have none that can be imported, by their
        code.
    """
    parts = [
        torch.__version__,
        net._n_epochs,
        len(net.history),
        *_settings_of(net),
        *_content_of(net.module_),
        *_content_of(net.criterion_),
    ]
    for name in net._optimizers:
        parts += _optimizer_state(getattr(net, f"{name}_"))
    parts += [_hash(torch.get_rng_state())]
    if torch.device(net.device).type == "cuda":
        parts += [_hash(torch.cuda.get_rng_state(torch.device(net.device)))]
    for data in (training, validation):
        parts += _content_of_data(data)
    for name, callback in callbacks:
        parts += [name, *_settings_of(callback)]
    return joblib.hash(parts)


def _settings_of(owner: Any) -> Iterator[Hashable]:
    """Yield the class of a net or callback, and hashes of its parameters."""
    yield _name_of(type(owner))
    params = parameters_of(owner)
    for name in sorted(params.keys() - _APART - _IDLE):
        yield name, _hash(params[name])


def _content_of(module: nn.Module) -> Iterator[Hashable]:
    """Yield what modules are: classes, attributes, parameters and buffers."""
    known: dict[int, str] = {}  # modules of one net share settings
    for name, part in module.named_modules():
        yield name, _name_of(type(part))
        for key in sorted(part.__dict__.keys() - _OF_ALL_MODULES):
            value = part.__dict__[key]
            if id(value) not in known:
                known[id(value)] = _hash(value)
            yield key, known[id(value)]
    for name, parameter in module.named_parameters():
        yield name, parameter.requires_grad, _hash(parameter)
    for name, buffer in module.named_buffers():
        yield name, _hash(buffer)


def _optimizer_state(optimizer: Optimizer) -> Iterator[Hashable]:
    """Yield what an optimizer is, and what it has learned in fits before."""
    state = optimizer.state_dict()
    yield _name_of(type(optimizer))
    yield _hash(state["param_groups"])
    yield _hash(state["state"])


def _content_of_data(data: Any) -> Iterator[Hashable]:
    """Yield hashes of inputs, targets and weights."""
    if not isinstance(data, ResidentDataset):
        yield _hash(data)
        return
    yield len(data)
    yield _hash((data.y, data.weight, data.origin))
    for start in range(0, len(data), _BLOCK_ROWS):
        rows = data.X[start : min(start + _BLOCK_ROWS, len(data))]
        yield _hash(rows.inputs())


def _hash(content: Any) -> str:
    try:
        return _Hasher().hash(content)
    except Exception:  # of pickling, such as that of a file
        return _name_of(type(content))


class _Hasher(NumpyHasher):
    """joblib's, for tensors and for functions without a name, too."""

    def save(self, obj: Any) -> None:
        """Add an object to the hash."""
        if isinstance(obj, Tensor):
            obj = ("tensor", str(obj.dtype), tuple(obj.shape), _as_bytes(obj))
        elif isinstance(obj, CodeType):
            obj = obj.co_code, obj.co_consts, obj.co_names
        elif isinstance(obj, FunctionType) and not _can_be_imported(obj):
            cells = [cell.cell_contents for cell in obj.__closure__ or ()]
            obj = obj.__code__, obj.__defaults__, obj.__kwdefaults__, cells
        elif isinstance(obj, type) and not _can_be_imported(obj):
            obj = _name_of(obj)
        super().save(obj)


def _as_bytes(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy()


def _can_be_imported(obj: Any) -> bool:
    module = sys.modules.get(obj.__module__)
    return getattr(module, obj.__qualname__, None) is obj


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
