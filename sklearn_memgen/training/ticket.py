"""Ticket: which weights of a net are kept, and where they begin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import IO, Any

import pandas as pd
import torch
from torch import Tensor, nn

from sklearn_memgen.training.guide import Guide
from sklearn_memgen.training.guided_step import list_names

__all__ = ["Ticket"]

#: What a saved ticket says it is.
_FORMAT = "sklearn_memgen.Ticket.1"


@dataclass(frozen=True, eq=False, repr=False)
class Ticket:
    """A part of a net, and the weights that it begins with.

    A lottery ticket is a mask over the weights of a net together with the weights it
    is trained from: those before training, or early in it. It does not change, and
    lives on the CPU.

    Parameters
    ----------
    masks : mapping of str to Tensor, bool
        By name of the weight: True for what is kept. Weights that are not named are
        kept as a whole.
    initial : mapping of str to Tensor
        What the net begins with: parameters and buffers by name, as in `state_dict`.
    encoder : estimator, default=None
        What encoded the table for the net, so that other rows come in the same
        columns. Pickled with the ticket, but not saved by `save`.

    Raises
    ------
    ValueError
        If a mask has no weight, or another shape than its weight, or weights are NaN.

    See Also
    --------
    sklearn_memgen.LotteryPrunedNet : Finds tickets.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen import Ticket
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    >>> masks = {"0.weight": torch.tensor([[True, False], [False, False]])}
    >>> ticket = Ticket(masks, net.state_dict())
    >>> ticket
    Ticket with 1 of 4 weights (25 %)
        layer shape  n_weights  n_remaining  remaining
     0.weight  2, 2          4            1       0.25
    >>> ticket.apply(net)[0].weight.count_nonzero().item()
    1
    """

    masks: Mapping[str, Tensor]
    initial: Mapping[str, Tensor]
    encoder: Any = None

    def __post_init__(self) -> None:
        masks = {n: m.detach().to("cpu", torch.bool) for n, m in self.masks.items()}
        initial = {n: v.detach().cpu().clone() for n, v in self.initial.items()}
        for name, mask in masks.items():
            if name not in initial:
                raise ValueError(
                    f"the mask names {name!r}; the initial weights are "
                    f"{list_names(initial)}"
                )
            if mask.shape != initial[name].shape:
                raise ValueError(
                    f"the mask of {name!r} has the shape {tuple(mask.shape)}, its "
                    f"weight {tuple(initial[name].shape)}"
                )
        broken = [name for name, value in initial.items() if value.isnan().any()]
        if broken:
            raise ValueError(f"the initial weights of {broken[0]!r} hold NaN")
        object.__setattr__(self, "masks", masks)
        object.__setattr__(self, "initial", initial)

    @property
    def remaining(self) -> float:
        """The share of the weights under masks that is kept, from 0 to 1."""
        n_weights = sum(mask.numel() for mask in self.masks.values())
        n_remaining = sum(int(mask.sum()) for mask in self.masks.values())
        return n_remaining / n_weights if n_weights else 1.0

    def to_frame(self) -> pd.DataFrame:
        """Return what is kept of each layer.

        Returns
        -------
        frame : DataFrame of shape (n_layers, 5)
            The `layer`, the `shape` of its weight, `n_weights`, `n_remaining` and the
            share `remaining`.
        """
        rows = [
            (name, tuple(mask.shape), mask.numel(), int(mask.sum()))
            for name, mask in self.masks.items()
        ]
        columns = ["layer", "shape", "n_weights", "n_remaining"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.assign(remaining=frame["n_remaining"] / frame["n_weights"])

    def guide(self) -> Guide:
        """Return the masks as a guide of zeros and ones.

        Zeros that are trained under it stay zeros, whatever the optimizer is.
        """
        return Guide.from_mask(self.masks)

    def drop(self, *patterns: str) -> Ticket:
        """Return a ticket without some parameters, which then begin anew and dense.

        Parameters
        ----------
        *patterns : str
            Names, such as ``"2.weight"`` or ``"head.*"``, as in a shell.

        Returns
        -------
        ticket : Ticket
            What is left.

        Raises
        ------
        ValueError
            If a pattern fits no name.
        """
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in self.initial):
                raise ValueError(
                    f"{pattern!r} fits none of the names {list_names(self.initial)}"
                )

        def kept(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {
                name: value
                for name, value in values.items()
                if not any(fnmatchcase(name, pattern) for pattern in patterns)
            }

        return replace(self, masks=kept(self.masks), initial=kept(self.initial))

    @torch.no_grad()
    def apply(self, module: nn.Module) -> nn.Module:
        """Give a module the initial weights, and zeros where they are pruned.

        Parameters
        ----------
        module : Module
            The net; changed in place. What the ticket does not name stays as it is.

        Returns
        -------
        module : Module
            The same.

        Raises
        ------
        ValueError
            If the module lacks a parameter or buffer of the ticket, or has it in
            another shape.
        """
        own = module.state_dict()
        wrong = [
            f"{name!r} {tuple(value.shape)} in the ticket, "
            + (f"{tuple(own[name].shape)} in the net" if name in own else "not there")
            for name, value in self.initial.items()
            if name not in own or own[name].shape != value.shape
        ]
        if wrong:
            raise ValueError(
                f"the ticket does not fit {type(module).__name__}: "
                + "; ".join(wrong)
                + ". `ticket.drop(names)` lets parameters begin anew"
            )
        module.load_state_dict(dict(self.initial), strict=False)
        for name, mask in self.masks.items():
            parameter = module.get_parameter(name)
            parameter.masked_fill_(~mask.to(parameter.device), 0)
        return module

    # Files

    def save(self, file: str | os.PathLike | IO[bytes]) -> None:
        """Save masks and initial weights, as `torch.save` does; see `load`.

        Parameters
        ----------
        file : path or binary file
            Where to.
        """
        content = {
            "format": _FORMAT,
            "masks": dict(self.masks),
            "initial": dict(self.initial),
        }
        torch.save(content, file)

    @classmethod
    def load(cls, file: str | os.PathLike | IO[bytes]) -> Ticket:
        """Load a ticket. Only tensors are read, so that a file can run no code.

        Parameters
        ----------
        file : path or binary file
            What `save` wrote.

        Returns
        -------
        ticket : Ticket
            Without an encoder.

        Raises
        ------
        ValueError
            If the file holds no ticket.
        """
        content = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"{file!r} holds no ticket")
        return cls(content["masks"], content["initial"])

    # Printing

    def __repr__(self) -> str:
        frame = self.to_frame()
        n_weights = sum(frame["n_weights"])
        title = (
            f"Ticket with {sum(frame['n_remaining']):,} of {n_weights:,} weights "
            f"({100 * self.remaining:.3g} %)"
        )
        if frame.empty:
            return title
        frame["shape"] = [", ".join(map(str, shape)) for shape in frame["shape"]]
        table = frame.to_string(index=False, float_format="{:.3g}".format)
        return f"{title}\n{table}"
