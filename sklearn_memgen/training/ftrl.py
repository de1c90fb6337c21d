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

    A weight with a multiplier :math:`m`, see `set_multiplier`, has :math:`m g` in the
    place of :math:`g` in `z`, but not in `n`, and :math:`m l_1` in the place of
    :math:`l_1`. From zero it is then exactly `m` times as far as it would have been
    after the same gradients. To scale the weights after a step instead would be of no
    use: the next step makes them anew from `z`.

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
        self._multipliers: dict[Tensor, Tensor] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("_multipliers", {})  # not in the state, as hooks

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
                multiplier = self._multipliers.get(parameter)
                if not parameter.grad.is_sparse:
                    self._update(
                        parameter,
                        parameter.grad,
                        state["n"],
                        state["z"],
                        group,
                        multiplier,
                    )
                    continue
                gradient = parameter.grad.coalesce()
                rows = gradient.indices()[0]
                tables = (parameter, state["n"], state["z"])
                w, n, z = (table[rows] for table in tables)
                if multiplier is not None:
                    multiplier = multiplier.expand_as(parameter)[rows]
                self._update(w, gradient.values(), n, z, group, multiplier)
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
                    beyond = _shrink(z, self._threshold(parameter, group))
                    z.add_(beyond, alpha=factor - 1)

    @torch.no_grad()
    def set_multiplier(self, parameter: Tensor, multiplier: Tensor | None) -> None:
        """Let steps move a parameter so many times as far, from now on.

        Parameters
        ----------
        parameter : Parameter
            One of the optimizer's.
        multiplier : Tensor that broadcasts to the shape of `parameter`, or None
            Not negative, of the dtype and on the device of `parameter`. Weights of
            multiplier 0 stay as they are to the bit. None ends it; the weights stay
            where they are.

        Raises
        ------
        ValueError
            If the parameter has a multiplier already.
        """
        if multiplier is not None and parameter in self._multipliers:
            raise ValueError(
                f"the parameter of shape {tuple(parameter.shape)} has a multiplier "
                "already; multiply them, or remove the first"
            )
        group = next(g for g in self.param_groups if _holds(g, parameter))
        before = self._threshold(parameter, group)
        self._multipliers.pop(parameter, None)
        if multiplier is not None:
            self._multipliers[parameter] = multiplier
        state = self.state.get(parameter)
        if state and group["l1"]:
            after = self._threshold(parameter, group)
            state["z"] = _move_threshold(state["z"], before, after)

    def _threshold(self, parameter: Tensor, group: dict[str, Any]) -> float | Tensor:
        """Return what `z` has to exceed for a weight that is not zero."""
        if not group["l1"] or parameter not in self._multipliers:
            return group["l1"]
        return group["l1"] * self._multipliers[parameter]

    def _begin(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        state["n"] = torch.zeros_like(parameter)
        # The state holds -z of the formula, which saves a sign at every step. It begins
        # at the value that yields the weights, by the closed form at n = 0.
        scale = group["beta"] / group["lr"] + group["l2"]
        state["z"] = parameter * scale + parameter.sign() * self._threshold(
            parameter, group
        )

    @staticmethod
    def _update(
        w: Tensor,
        gradient: Tensor,
        n: Tensor,
        z: Tensor,
        group: dict[str, Any],
        multiplier: Tensor | None,
    ) -> None:
        """Update the weights and their state in place."""
        root = n.sqrt()
        n.addcmul_(gradient, gradient)
        new_root = n.sqrt()
        threshold = group["l1"]
        if multiplier is not None:
            gradient = gradient * multiplier
            threshold = threshold and threshold * multiplier
        # -z -= g - sigma * w, with sigma = (new_root - root) / lr
        z.sub_(gradient).addcmul_(new_root - root, w, value=1 / group["lr"])
        scale = new_root.add_(group["beta"]).div_(group["lr"]).add_(group["l2"])
        if multiplier is None:
            torch.div(_shrink(z, threshold), scale, out=w)
        else:
            # What may not move is not computed anew, for that would round it.
            new = _shrink(z, threshold).div(scale)
            w.copy_(torch.where(multiplier == 0, w, new))


def _holds(group: dict[str, Any], parameter: Tensor) -> bool:
    return any(parameter is one for one in group["params"])


def _shrink(z: Tensor, threshold: float | Tensor) -> Tensor:
    """Bring values nearer to zero, by the threshold at most."""
    if isinstance(threshold, Tensor):
        return z - z.clamp(-threshold, threshold)
    return softshrink(z, threshold) if threshold else z


def _move_threshold(z: Tensor, old: float | Tensor, new: float | Tensor) -> Tensor:
    """Return the state that yields the same weights with another threshold.

    Within the threshold, where weights are zero, the same share of it is kept.
    """
    old, new = (torch.as_tensor(t, dtype=z.dtype, device=z.device) for t in (old, new))
    share = torch.where(old > 0, z / old, 0)
    return torch.where(z.abs() > old, z + z.sign() * (new - old), share * new)
