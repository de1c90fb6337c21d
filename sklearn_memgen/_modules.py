"""What makes a user's torch module."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

__all__ = ["module_maker"]


def module_maker(
    module: Callable[..., nn.Module] | nn.Module,
    params: Mapping[str, Any] | None,
    sizes: Mapping[str, Any],
) -> nn.Module | Callable[[], nn.Module]:
    """Return a copy of a module, or what makes one.

    Parameters
    ----------
    module : torch.nn.Module instance or class, or callable
        An instance is copied.
    params : mapping or None
        Keyword arguments of a class or callable.
    sizes : mapping
        Further ones, of which those are given that its signature names.
    """
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    accepted = inspect.signature(module).parameters
    offered = {name: size for name, size in sizes.items() if name in accepted}
    return partial(module, **offered | dict(params or {}))
