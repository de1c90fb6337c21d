"""Which parameter of an estimator is the width of its nets."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from typing import Any

from sklearn.base import clone
from torch import nn

from sklearn_memgen.base import NetClassifier

__all__ = ["Width", "find_width", "with_width"]

#: How a width is given: the name of a parameter, or what sets it.
Width = str | Callable[[Any, int], Any]

#: Names under which modules take their width, the more telling ones first.
_NAMES = (
    "n_units",
    "n_hidden_units",
    "n_hidden",
    "hidden_size",
    "hidden_dim",
    "hidden_width",
    "hidden",
    "hidden_features",
    "hidden_units",
    "hidden_channels",
    "num_units",
    "num_hidden",
    "width",
    "d_model",
    "units",
)
_MODULE_PREFIX = "module_params__"
_LAYERS = "hidden_layer_sizes"


def find_width(estimator: NetClassifier, width: Width | None) -> Width:
    """Return which parameter is the width.

    Parameters
    ----------
    estimator : NetClassifier
        Says what the nets are.
    width : str, callable or None
        What the user says; None looks for it.

    Raises
    ------
    ValueError
        If there is none, or not the one that the user says.
    """
    if callable(width):
        return width
    parameters = estimator.get_params(deep=False)
    accepted = _module_parameters(estimator)
    if width is not None:
        name = width.removeprefix(_MODULE_PREFIX)
        known = accepted if width.startswith(_MODULE_PREFIX) else set(parameters)
        if name not in known and "**" not in known:
            raise ValueError(
                f"width={width!r} is no parameter of {type(estimator).__name__} or of "
                f"its module; there are {sorted(parameters)} and, with the prefix "
                f"{_MODULE_PREFIX!r}, {sorted(accepted)}"
            )
        return width
    if getattr(estimator, "source", None) is None:
        if _LAYERS in parameters:
            return _LAYERS
        given = set(parameters.get("module_params") or {})
        # One that the user has set is more likely meant than one of the signature.
        for names in (given & set(_NAMES), accepted):
            for name in _NAMES:
                if name in names:
                    return _MODULE_PREFIX + name
    raise ValueError(
        "width=None found no parameter that is the width of the nets of "
        f"{type(estimator).__name__}; pass its name, such as "
        f"width='{_MODULE_PREFIX}n_units', or a function width(estimator, n) that "
        "returns an estimator of that width"
    )


def with_width(estimator: NetClassifier, width: Width, n: int) -> NetClassifier:
    """Return an estimator of nets of a width, which knows what the other one knows."""
    if callable(width):
        made = width(clone(estimator), n)
        if type(made) is not type(estimator):
            raise TypeError(
                f"width must return a {type(estimator).__name__}; for {n} it returned "
                f"{made!r}"
            )
        changed = made.get_params(deep=False)
    elif width.startswith(_MODULE_PREFIX):
        own = dict(estimator.get_params(deep=False)["module_params"] or {})
        changed = {"module_params": own | {width.removeprefix(_MODULE_PREFIX): n}}
    elif width == _LAYERS:
        changed = {width: (n,) * _n_layers(estimator)}
    else:
        changed = {width: n}
    made = copy(estimator).set_params(**changed)
    made._validate_params()
    made._check_source()
    return made


def _module_parameters(estimator: NetClassifier) -> set[str]:
    """Return what the module is called with; "**" if it takes any name."""
    module = getattr(estimator, "module", None)
    if module is None or isinstance(module, nn.Module):
        return set()
    parameters = inspect.signature(module).parameters.values()
    return {"**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters}


def _n_layers(estimator: Any) -> int:
    sizes = estimator.hidden_layer_sizes
    # "auto" has as many layers whatever the number of classes is.
    return len(estimator._layer_sizes(2) if isinstance(sizes, str) else sizes)
