"""Which of the numbers moved a wide and deep net's answer, and how far."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sklearn_memgen.nets.deep import squash
from sklearn_memgen.nets.wide_deep import WideDeep, add_logits

__all__ = ["attribute_last_numbers"]

#: Where an integral from 0 to 1 is read, and the weight of each point: exact for
#: polynomials up to the fifth degree.
_FROM_MIDDLE = math.sqrt(0.15)
_POINTS = ((0.5 - _FROM_MIDDLE, 5 / 18), (0.5, 8 / 18), (0.5 + _FROM_MIDDLE, 5 / 18))


def attribute_last_numbers(
    net: WideDeep,
    inputs: dict[str, Tensor],
    n_numbers: int,
    choose: Callable[[Tensor], Tensor],
) -> Tensor:
    r"""Integrate the gradients of an answer over numbers that grow from 0.

    Parameters
    ----------
    net : WideDeep
        The net, in evaluation mode.
    inputs : dict of str to Tensor
        What it is called with, of a batch.
    n_numbers : int
        The last so many columns of `numbers`, which have neither bins nor missing
        values, take part; all else stays as it is.
    choose : callable
        Returns the answer of each row, (batch,), from what the net returns.

    Returns
    -------
    attributions : Tensor of shape (batch, n_numbers)
        They add up to the difference of the answer from that at 0, but for the error of
        the integral.

    Notes
    -----
    Three points of Gauss and Legendre for
    :math:`x_j \int_0^1 \frac{\partial f}{\partial x_j}(\alpha x) \, d\alpha`:
    Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep Networks". The
    first layer's products with all other inputs are computed once.
    """
    numbers = inputs["numbers"][:, -n_numbers:]
    wide, deep = net.wide, net.deep
    with torch.no_grad():
        squashed = squash(numbers)
        linear = 0 if wide is None else wide(**inputs)
        hidden = 0 if deep is None else deep.first_layer(**inputs)
    attributions = torch.zeros_like(numbers)
    for share, weight in _POINTS:
        point = (numbers * share).requires_grad_()
        change = squash(point) - squashed  # (batch, n_numbers)
        of_wide = of_deep = None
        if wide is not None:
            of_wide = linear + change @ wide.slopes[-n_numbers:]
        if deep is not None:
            moved = hidden + change @ deep.number_weights[:, -n_numbers:].T
            of_deep = deep.later_layers(moved)
        answer = choose(add_logits(of_deep, of_wide))
        (gradient,) = torch.autograd.grad(answer.sum(), point)
        attributions += weight * gradient * numbers
    return attributions
