"""FTRL-Proximal, the optimizer of the wide part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softshrink
from torch.optim import Optimizer

__all__ = ["FTRL"]


class FTRL(Optimizer):
    r"""Follow the regularized leader, per coordinate, with L1 and L2 penalties.

    Parameters
    ----------
    params : iterable of Parameter or of dict
        The parameters. Gradients may be dense or sparse (rows of a table); of a table
        with sparse gradients a step touches the rows of the gradient only.
    lr : float, default=0.1
        Learning rate :math:`\alpha`; each coordinate's own rate falls with the
        gradients it has seen.
    l1 : float, default=0.0
        L1 penalty; coordinates whose evidence stays below it are exactly zero.
    l2 : float, default=0.0
        L2 penalty.
    beta : float, default=1.0
        Added to the root of the summed squared gradients; keeps the first steps small.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    With the gradient :math:`g` of a step and the state :math:`n, z`:

    .. math::
        \sigma &= (\sqrt{n + g^2} - \sqrt n) / \alpha \\
        z &\leftarrow z + g - \sigma w, \quad n \leftarrow n + g^2 \\
        w &= -\frac{\mathrm{sign}(z) \max(|z| - l_1, 0)}
                   {(\beta + \sqrt n) / \alpha + l_2}

    Weights that are not zero at the start are taken as if they had been learned: `z`
    begins at the value that yields them.

    References
    ----------
    .. [1] McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013,
       algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import FTRL
    >>> weights = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = FTRL([weights], lr=1.0, l1=0.5)
    >>> (weights * torch.tensor([-3.0, -0.1])).sum().backward()
    >>> optimizer.step()
    >>> weights.data
    tensor([0.6250, 0.0000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.1,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        beta: float = 1.0,
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr must be positive; got {lr!r}")
        for name, value in {"l1": l1, "l2": l2, "beta": beta}.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative; got {value!r}")
        super().__init__(params, {"lr": lr, "l1": l1, "l2": l2, "beta": beta})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Parameters
        ----------
        closure : callable, default=None
            Computes the loss anew.

        Returns
        -------
        loss : float, Tensor or None
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if not self.state[parameter]:
                    self._begin(parameter, group)
                state = self.state[parameter]
                if not parameter.grad.is_sparse:
                    self._update(
                        parameter, parameter.grad, state["n"], state["z"], group
                    )
                    continue
                gradient = parameter.grad.coalesce()
                rows = gradient.indices()[0]
                tables = (parameter, state["n"], state["z"])
                w, n, z = (table[rows] for table in tables)
                self._update(w, gradient.values(), n, z, group)
                for table, new in zip(tables, (w, n, z), strict=True):
                    table[rows] = new
        return loss

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Bring the state to weights that have been multiplied by a positive factor.

        Without it the next step would return to the weights before.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if self.state[parameter]:
                    z = self.state[parameter]["z"]
                    # What is within `l1` of zero yields a weight of zero, and remains.
                    beyond = softshrink(z, group["l1"])
                    z.add_(beyond, alpha=factor - 1)

    def _begin(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        state["n"] = torch.zeros_like(parameter)
        # The state holds -z of the formula, which saves a sign at every step. It begins
        # at the value that yields the weights, by the closed form at n = 0.
        scale = group["beta"] / group["lr"] + group["l2"]
        state["z"] = parameter * scale + parameter.sign() * group["l1"]

    @staticmethod
    def _update(
        w: Tensor, gradient: Tensor, n: Tensor, z: Tensor, group: dict[str, Any]
    ) -> None:
        """Update the weights and their state in place."""
        root = n.sqrt()
        n.addcmul_(gradient, gradient)
        new_root = n.sqrt()
        # -z -= g - sigma * w, with sigma = (new_root - root) / lr
        z.sub_(gradient).addcmul_(new_root - root, w, value=1 / group["lr"])
        scale = new_root.add_(group["beta"]).div_(group["lr"]).add_(group["l2"])
        torch.div(z if group["l1"] == 0 else softshrink(z, group["l1"]), scale, out=w)
