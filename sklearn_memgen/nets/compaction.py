"""A smaller net that computes the same: units that do nothing are taken out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_memgen.nets.body import HeadedNet, HeadedTableNet, TableBody
from sklearn_memgen.nets.deep import DeepPart
from sklearn_memgen.nets.layer_graph import (
    CannotCompactError,
    Connection,
    find_connections,
)
from sklearn_memgen.nets.member_compaction import shrink_members
from sklearn_memgen.nets.members import SplitMembers
from sklearn_memgen.nets.wide_deep import WideDeep

__all__ = ["compact_module", "keep_units", "traceable_part"]

#: Largest difference of outputs, as a share of the largest one, that is rounding.
_ROUNDING = 1e-4


@torch.no_grad()
def compact_module(module: nn.Module, example_inputs: Any = None) -> nn.Module:
    r"""Return a copy of a net without the units that do nothing.

    Parameters
    ----------
    module : Module
        A net with zeros in its weights. It stays as it is.
    example_inputs : Tensor or dict of str to Tensor, default=None
        Inputs of some rows, two at least. `WideDeep`, `DeepPart`, `TableBody` and
        `HeadedTableNet` do without.

    Returns
    -------
    compacted : Module
        Of the same class, with smaller layers. In evaluation mode it returns the same
        outputs, but for rounding.

    Raises
    ------
    CannotCompactError
        If the net cannot be traced, does not take the inputs, or would return
        something else; the message says why.

    Notes
    -----
    A unit whose outgoing weights are all zero goes. So does a unit whose incoming
    weights are all zero: with the bias :math:`b_j` and the activation :math:`a` it is
    the constant :math:`a(b_j)`, and the next layer's bias takes it over,
    :math:`b'_i = b_i + w_{ij} a(b_j)`. What is gone may leave other units without
    weights, so this is repeated until nothing changes. A layer may lose all its units;
    the net is constant from there on.

    Layers are linear and convolutional ones (`Conv1d`, `Conv2d`, of one group). Between
    two layers there may be elementwise activations, dropout, batch normalization,
    max pooling, adaptive pooling and flattening. The net is traced by `torch.fx`, so
    that any module will do; where its units go elsewhere as well, such as in a residual
    connection, they stay. So do units that become a constant before a convolution that
    pads with zeros, unless the constant is zero.

    Of several members each loses its own dead units, but all keep as many as the one
    with the most.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklearn_memgen.nets import compact_module
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     _ = net[0].weight[:3].zero_()     # three units see nothing,
    ...     _ = net[2].weight[:, 3:5].zero_()  # and two are not seen
    >>> compact_module(net, torch.randn(2, 4))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    try:
        compacted = copy.deepcopy(module)
    except RuntimeError as error:
        raise CannotCompactError(
            f"{type(module).__name__} cannot be compacted, since it cannot be copied "
            f"({error}); if it was pruned by torch.nn.utils.prune, call its function "
            "remove for each layer before"
        ) from error
    modes = {part: part.training for part in compacted.modules()}
    compacted.eval()
    chain, inputs = traceable_part(compacted, example_inputs)
    if chain is not None:
        expected = _call(chain, inputs)
        if any(isinstance(part, SplitMembers) for part in chain.modules()):
            _until_nothing_changes([lambda: shrink_members(list(chain))])
        else:
            connections = find_connections(chain, inputs)
            _until_nothing_changes([_shrinker(found) for found in connections])
        _check_same(module, expected, _call(chain, inputs))
    for part, training in modes.items():
        part.training = training
    return compacted


def traceable_part(module: nn.Module, inputs: Any) -> tuple[Any, Any]:
    """Return what to trace, whose layers are those of the module, and its inputs.

    None if there are no layers. Tables are read by code that cannot be traced, but what
    comes behind it is a chain of layers.
    """
    if isinstance(module, WideDeep):
        if module.deep is None:
            return None, None
        module = module.deep
    parts: list[nn.Module] = []
    if isinstance(module, HeadedTableNet):
        parts, module = [nn.ReLU(), module.body.dropout, module.head], module.body
    if isinstance(module, TableBody):
        module = module.deep
    if isinstance(module, DeepPart):
        chain = nn.Sequential(*module.layers, *parts).eval()
        first: Any = module.layers[0]
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(4, first.in_features, generator=generator)
        return chain, rows.to(first.weight)
    if inputs is None:
        raise CannotCompactError(
            f"{type(module).__name__} cannot be compacted without inputs of some rows"
        )
    if type(module) is HeadedNet and not isinstance(inputs, Mapping):
        return nn.Sequential(module.body, module.head).eval(), inputs
    return module, inputs


def _call(module: nn.Module, inputs: Any) -> Tensor:
    inputs = copy.deepcopy(inputs)  # a module may change them in place
    name = type(module).__name__
    try:
        outputs = module(**inputs) if isinstance(inputs, Mapping) else module(inputs)
    except Exception as error:  # whatever a module may raise
        raise CannotCompactError(
            f"{name} cannot be compacted: it does not take the inputs; it raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(outputs, Tensor):
        raise CannotCompactError(
            f"{name} cannot be compacted: it returns a {type(outputs).__name__}, "
            "not a tensor"
        )
    return outputs


def _check_same(module: nn.Module, expected: Tensor, outputs: Tensor) -> None:
    """Raise a CannotCompactError if a net returns something else than it did."""
    if not expected.isfinite().all():
        raise CannotCompactError(
            f"{type(module).__name__} cannot be compacted: it returns values that are "
            "NaN or infinite; are there such weights?"
        )
    scale = float(expected.abs().max().clamp(min=1))
    if not torch.allclose(outputs, expected, rtol=0, atol=scale * _ROUNDING):
        raise CannotCompactError(
            f"{type(module).__name__} cannot be compacted: without its dead units its "
            f"outputs differ by up to {(outputs - expected).abs().max():.3g}. Are they "
            "random, or do they depend on more than the layers' outputs?"
        )


def _until_nothing_changes(shrinkers: list[Callable[[], bool]]) -> None:
    while any(shrink() for shrink in shrinkers):
        pass


def _shrinker(connection: Connection) -> Callable[[], bool]:
    return lambda: _shrink(connection)


def _shrink(connection: Connection) -> bool:
    """Take dead units out, in place, and return whether there were any."""
    before, after = connection.before, connection.after
    outgoing = connection.outgoing()
    used = outgoing.ne(0).any(2).any(0)
    constant = before.weight.flatten(1).eq(0).all(1)
    values = connection.constants()
    foldable = values.isfinite()
    if getattr(after, "padding", 0) not in (0, (0,), (0, 0), "valid"):
        foldable &= values == 0  # at the border it would not be constant
    folded = used & constant & foldable
    kept = (used & ~folded).nonzero().flatten()
    if not len(kept) and (connection.norms or before.weight.ndim > 2):
        kept = torch.zeros_like(folded[:1]).long()  # they need a unit at least
    if len(kept) == len(used):
        return False
    _add_to_bias(after, outgoing[:, folded].double().sum(2) @ values[folded])
    # One of those may stay, where there must be a unit.
    after.weight.copy_(
        outgoing.masked_fill(folded[:, None], 0).reshape(after.weight.shape)
    )
    keep_units(connection, kept)
    return True


def keep_units(connection: Connection, kept: Tensor) -> None:
    """Take all units between two layers out but some, in place.

    Parameters
    ----------
    connection : Connection
        The layers.
    kept : Tensor of shape (n_kept,), int
        Which units are kept.
    """
    outgoing = connection.outgoing()[:, kept]
    _keep_outputs(connection.before, kept)
    for norm in connection.norms:
        _keep_features(norm, kept)
    _keep_inputs(connection.after, outgoing, len(kept) * connection.block)


def _add_to_bias(layer: Any, shift: Tensor) -> None:
    if layer.bias is not None:
        layer.bias.copy_(layer.bias.double() + shift)
    elif shift.any():
        layer.bias = nn.Parameter(
            shift.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad
        )


def _keep_outputs(layer: Any, kept: Tensor) -> None:
    for name in ("weight", "bias"):
        _replace(layer, name, lambda values: values[kept])
    name = "out_features" if hasattr(layer, "out_features") else "out_channels"
    setattr(layer, name, len(kept))


def _keep_inputs(layer: Any, outgoing: Tensor, n_inputs: int) -> None:
    """Set the weights, given as (n_outputs, n_units, n_weights)."""
    if hasattr(layer, "in_features"):
        layer.in_features = n_inputs
    else:
        layer.in_channels = n_inputs
    shape = (len(layer.weight), n_inputs, *layer.weight.shape[2:])
    _replace(layer, "weight", lambda _: outgoing.reshape(shape))


def _keep_features(norm: Any, kept: Tensor) -> None:
    norm.num_features = len(kept)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _replace(norm, name, lambda values: values[kept])


def _replace(layer: Any, name: str, change: Callable[[Tensor], Tensor]) -> None:
    """Change a parameter or buffer, which may be None, to another size."""
    values = getattr(layer, name)
    if values is None:
        return
    changed = change(values.detach()).contiguous()
    if isinstance(values, nn.Parameter):
        changed = nn.Parameter(changed, requires_grad=values.requires_grad)
    setattr(layer, name, changed)
