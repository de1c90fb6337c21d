"""The state of a training between two epochs, and the way back to it."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sklearn_memgen.training.devices import OwnRandomness

__all__ = [
    "leave_unpicklable_out",
    "parameters_of",
    "restore_snapshot",
    "take_snapshot",
]


@dataclass(frozen=True)
class _State:
    """The state of an object that belongs to the net, in the place of the object."""

    state_dict: dict[str, Any]


def take_snapshot(net: Any, callbacks: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the state of a net that is in training, between two epochs.

    Parameters
    ----------
    net : ResidentNet
        The net.
    callbacks : list of (str, Callback)
        Those whose attributes belong to the state: all but parameters, those whose
        names begin with an underscore, those that the class names in `made_anew`, and
        parts of the net.

    Returns
    -------
    snapshot : dict
        It refers to tensors of the net, so it holds until training goes on.
    """
    return {
        "module": _tensors_of(net.module_),
        "criterion": _tensors_of(net.criterion_),
        "optimizers": {n: getattr(net, f"{n}_").state_dict() for n in net._optimizers},
        "average": None if net._average is None else net._average.state_dict(),
        "step": net._step,
        "history": list(net.history),
        "randomness": OwnRandomness(torch.device(net.device)),
        "callbacks": {name: _gathered(c, net) for name, c in callbacks},
    }


@torch.no_grad()
def restore_snapshot(
    net: Any, snapshot: dict[str, Any], callbacks: list[tuple[str, Any]]
) -> None:
    """Bring a net that is about to make its first epoch to the state of a snapshot.

    Parameters
    ----------
    net : ResidentNet
        The net.
    snapshot : dict
        From `take_snapshot`, of the same fit. It becomes part of the net.
    callbacks : list of (str, Callback)
        Those of the snapshot. A callback that has a method `on_resume` is told, by the
        net, when all its attributes are back.
    """
    _put_tensors(net.module_, snapshot["module"])
    _put_tensors(net.criterion_, snapshot["criterion"])
    net.history[:] = snapshot["history"]
    for name, callback in callbacks:
        _put_gathered(callback, snapshot["callbacks"][name])
        if hasattr(callback, "on_resume"):
            callback.on_resume(net)
    # Behind callbacks, some of which change what optimizers do and keep.
    for name, state in snapshot["optimizers"].items():
        _put_state(getattr(net, f"{name}_"), state)
    if net._average is not None:
        net._average.load_state_dict(snapshot["average"])
    net._step = snapshot["step"]
    with snapshot["randomness"]:
        pass  # torch's generators stay where they were then


def parameters_of(owner: Any) -> dict[str, Any]:
    """Return the parameters of a net or callback, by name.

    skorch's `get_params` has private attributes as well, and what callbacks gather by
    names without an underscore.
    """
    signature = inspect.signature(type(owner)).parameters.values()
    names = {parameter.name for parameter in signature}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature):
        names |= {name for name in vars(owner) if not name.endswith("_")}
    return {
        name: value
        for name, value in vars(owner).items()
        if name in names and not name.startswith("_")
    }


def leave_unpicklable_out(snapshot: dict[str, Any]) -> list[tuple[str, str]]:
    """Leave out what cannot be pickled of callbacks, and return what that was.

    Parameters
    ----------
    snapshot : dict
        Changed in place.

    Returns
    -------
    left_out : list of (str, str)
        The names of callbacks and their attributes.
    """
    left_out = []
    for name, gathered in snapshot["callbacks"].items():
        for key in list(gathered):
            try:
                pickle.dumps(gathered[key])
            except Exception:  # whatever a user's object makes of it
                del gathered[key]
                left_out.append((name, key))
    return left_out


def _tensors_of(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {
        "parameters": dict(module.named_parameters()),
        "buffers": dict(module.named_buffers(remove_duplicate=False)),
    }


def _put_tensors(module: nn.Module, tensors: dict[str, dict[str, Any]]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(tensors["parameters"][name])
    for name, buffer in tensors["buffers"].items():
        owner, _, own_name = name.rpartition(".")
        # In the place of the old one, which may be of another shape.
        module.get_submodule(owner)._buffers[own_name] = buffer


def _put_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Do what `load_state_dict` does, without a cast to the dtype of the parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.state.clear()
    for k, values in state["state"].items():
        optimizer.state[parameters[k]] = values
    for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        group.update({key: value for key, value in saved.items() if key != "params"})


def _gathered(callback: Any, net: Any) -> dict[str, Any]:
    """Return what a callback has gathered in training, by name."""
    left_out = {*parameters_of(callback), *getattr(callback, "made_anew", ())}
    modules = [net.module_, net.criterion_]
    own = [net, *(getattr(net, f"{name}_") for name in net._optimizers)]
    own += [part for module in modules for part in module.modules()]
    own += [parameter for module in modules for parameter in module.parameters()]
    belongs_to_net = {id(part) for part in own}
    return {
        name: _State(value.state_dict()) if isinstance(value, LRScheduler) else value
        for name, value in vars(callback).items()
        if not name.startswith("_")
        and name not in left_out
        and id(value) not in belongs_to_net
    }


def _put_gathered(callback: Any, gathered: dict[str, Any]) -> None:
    for name, value in gathered.items():
        if isinstance(value, _State):
            getattr(callback, name).load_state_dict(value.state_dict)
        else:
            setattr(callback, name, value)
