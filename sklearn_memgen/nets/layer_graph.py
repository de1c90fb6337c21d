"""Which layer's units go straight into which other layer, found by tracing a net."""

from __future__ import annotations

import copy
import inspect
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sklearn_memgen.nets.sparse_linear import SparseLinear

__all__ = ["CannotCompactError", "Connection", "find_connections"]

_LINEAR = (nn.Linear, SparseLinear)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink),
    *(nn.Tanhshrink, nn.Threshold, nn.Identity, nn.Dropout, nn.Dropout1d),
    *(nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
)
_ELEMENTWISE_FUNCTIONS = {
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish),
    *(F.logsigmoid, F.softplus, F.hardtanh, F.hardswish, F.hardsigmoid, F.tanh),
    *(F.sigmoid, torch.relu, torch.tanh, torch.sigmoid),
}
_ELEMENTWISE_METHODS = {"relu", "tanh", "sigmoid", "relu_", "contiguous"}
#: Number of axes of what each normalization takes, and the kind of units.
_NORMS = {
    (nn.BatchNorm1d, "features", 2),
    (nn.BatchNorm1d, "channels", 3),
    (nn.BatchNorm2d, "channels", 4),
}
_POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
)


class CannotCompactError(ValueError):
    """The net cannot be compacted; the message says why."""


@dataclass(frozen=True)
class Connection:
    """Two layers of which one is all that sees the units of the other.

    Parameters
    ----------
    before, after : Linear, Conv1d or Conv2d
        The layers.
    steps : sequence of callable
        What each unit goes through on its way, alone.
    norms : sequence of Module
        Those of the steps that have an entry for each unit.
    block : int
        Number of inputs of `after` that a unit of `before` has become; more than one
        where channels were flattened.
    """

    before: Any
    after: Any
    steps: Sequence[Callable[[Tensor], Tensor]]
    norms: Sequence[Any]
    block: int = 1

    def outgoing(self) -> Tensor:
        """Return the weights from each unit, (n_outputs, n_units, n_weights)."""
        weight = self.after.weight
        per_unit = self.block * math.prod(weight.shape[2:])
        return weight.reshape(len(weight), len(self.before.weight), per_unit)

    def constants(self) -> Tensor:
        """Return what units without inputs are, (n_units,), float64."""
        weight, bias = self.before.weight, self.before.bias
        values = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        values = values.clone().view(1, -1, *[1] * (weight.ndim - 2))
        for step in self.steps:
            values = step(values)
        return values.flatten().double()


def find_connections(module: nn.Module, inputs: Any) -> list[Connection]:
    """Trace a module and find the pairs of layers it applies one after the other.

    Parameters
    ----------
    module : Module
        In evaluation mode.
    inputs : Tensor or dict of str to Tensor
        Inputs of some rows.

    Returns
    -------
    connections : list of Connection
        In no particular order. Layers that are used twice, share parameters, have
        hooks, or whose units go elsewhere as well are not among them.

    Raises
    ------
    CannotCompactError
        If the module cannot be traced or does not take the inputs.
    """
    graph = _Graph(module, inputs)
    found = [graph.follow(node) for node in graph.layer_nodes()]
    return [connection for connection in found if connection is not None]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = super().is_leaf_module(m, module_qualified_name)
        return leaf or isinstance(m, SparseLinear)


class _Graph:
    """A traced module, with the shapes of what its nodes return."""

    def __init__(self, module: nn.Module, inputs: Any) -> None:
        name = type(module).__name__
        try:
            given, fixed = _arguments(module, inputs)
            graph = _Tracer().trace(module, concrete_args=fixed or None)
            given = copy.deepcopy(given)  # a module may change them in place
            traced = fx.GraphModule(module, graph)
            with torch.no_grad():
                ShapeProp(traced).propagate(*given)
        except Exception as error:  # whatever a module may raise
            raise CannotCompactError(
                f"{name} cannot be compacted: tracing it by torch.fx on inputs of "
                f"shape {_shapes(inputs)} failed with {type(error).__name__}: {error}"
            ) from error
        self.nodes = list(graph.nodes)
        self.modules = dict(module.named_modules(remove_duplicate=False))
        self._calls = Counter(
            id(self.modules[node.target])
            for node in self.nodes
            if node.op == "call_module"
        )
        owners = [m for m in module.modules() if m._parameters]
        self._uses = Counter(
            id(p) for m in owners for p in m._parameters.values() if p is not None
        )
        # A parameter that forward reads itself, such as a weight for a penalty.
        self._read = {
            id(_get_attribute(module, str(node.target)))
            for node in self.nodes
            if node.op == "get_attr"
        }

    def layer_nodes(self) -> list[fx.Node]:
        """Return the nodes of layers whose units may be taken away."""
        layers = (*_LINEAR, *_CONVOLUTIONS)
        return [
            node
            for node in self.nodes
            if type(self._module(node)) in layers and self._is_free(node)
        ]

    def follow(self, node: fx.Node) -> Connection | None:
        """Follow the units of a layer to the next, if they go nowhere else."""
        before = self._module(node)
        kind = "features" if type(before) in _LINEAR else "channels"
        if getattr(before, "groups", 1) != 1:
            return None
        steps: list[Callable[[Tensor], Tensor]] = []
        norms: list[Any] = []
        block = 1
        while True:
            user = _only_user(node)
            if user is None or user.op == "output":
                return None
            layer = self._module(user)
            shape = _shape(node)
            if type(layer) in (*_LINEAR, *_CONVOLUTIONS):
                wanted = "features" if type(layer) in _LINEAR else "channels"
                plain = getattr(layer, "groups", 1) == 1 and self._is_free(user)
                if kind != wanted or not plain:
                    return None
                return Connection(before, layer, steps, norms, block)
            if _is_flattening(user, layer):
                flat = (shape[0], math.prod(shape[1:]))
                if _shape(user) != flat or (kind == "features" and len(shape) != 2):
                    return None
                if kind == "channels":
                    kind, block = "features", math.prod(shape[2:])
            elif (type(layer), kind, len(shape)) in _NORMS and block == 1:
                if layer.running_mean is None or not self._is_free(user):
                    return None
                steps.append(layer)
                norms.append(layer)
            elif type(layer) in _POOLS:
                if kind != "channels" or _has_hooks(layer):
                    return None
            else:
                step = self._elementwise(user, layer)
                if step is None:
                    return None
                steps.append(step)
            node = user

    def _module(self, node: fx.Node) -> Any:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _is_free(self, node: fx.Node) -> bool:
        """Whether a module is called once, plainly, and shares no parameters."""
        module = self._module(node)
        parameters = [p for p in module._parameters.values() if p is not None]
        return (
            self._calls[id(module)] == 1
            and not _has_hooks(module)
            and not self._read.intersection(map(id, [module, *parameters]))
            and all(self._uses[id(p)] == 1 for p in parameters)
            and module._parameters.get("weight", True) is not None
            and len(node.args) == 1
        )

    def _elementwise(self, node: fx.Node, layer: Any) -> Callable | None:
        """Return what an elementwise node does, or None if it may be something else."""
        args, kwargs = node.args[1:], node.kwargs
        if any(isinstance(arg, fx.Node) for arg in (*args, *kwargs.values())):
            return None
        if type(layer) in _ELEMENTWISE and not _has_hooks(layer):
            return layer
        target: Any = node.target
        if node.op == "call_function" and target in _ELEMENTWISE_FUNCTIONS:
            return lambda values: target(values, *args, **kwargs)
        if node.op == "call_method" and target in _ELEMENTWISE_METHODS:
            return lambda values: getattr(values, target)(*args, **kwargs)
        if target is F.dropout and kwargs.get("training", True) is False:
            return lambda values: values
        return None


def _arguments(module: nn.Module, inputs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return all arguments in order, and by name those that are left at defaults."""
    parameters = inspect.signature(module.forward).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise TypeError("forward has *args or **kwargs")
    given = (
        dict(inputs)
        if isinstance(inputs, Mapping)
        else {next(iter(parameters)): inputs}
    )
    fixed = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in given
    }
    return [given.get(name, fixed.get(name)) for name in parameters], fixed


def _only_user(node: fx.Node) -> fx.Node | None:
    """Return the one node that takes a node's values, first and once."""
    users = [user for user in node.users if not _reads_batch_size(user)]
    if len(users) != 1 or users[0].all_input_nodes[:1] != [node]:
        return None
    arguments = [*users[0].args, *users[0].kwargs.values()]
    return users[0] if arguments.count(node) == 1 and arguments[0] is node else None


def _reads_batch_size(node: fx.Node) -> bool:
    """Whether a node is `x.size(0)`, or `x.shape` of which only `[0]` is taken."""
    if node.op == "call_method" and node.target == "size":
        return node.args[1:] == (0,)
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] == "shape" and all(u.args[1:] == (0,) for u in node.users)
    return False


def _is_flattening(node: fx.Node, layer: Any) -> bool:
    """Whether a node flattens; the shape it returns tells which axes."""
    if type(layer) is nn.Flatten:
        return not _has_hooks(layer)
    if node.op == "call_function" and node.target is torch.flatten:
        return True
    if node.op == "call_method" and node.target in ("view", "reshape"):
        return bool(
            node.args[-1] == -1
        )  # a number would be wrong after units have gone
    return node.op == "call_method" and node.target == "flatten"


def _has_hooks(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "parametrizations")
    return any(getattr(module, name, None) for name in hooks)


def _get_attribute(module: nn.Module, target: str) -> Any:
    value: Any = module
    for name in target.split("."):
        value = getattr(value, name)
    return value


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _shapes(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: tuple(value.shape) for name, value in inputs.items()}
    return tuple(inputs.shape)
