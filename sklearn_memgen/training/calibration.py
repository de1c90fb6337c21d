"""Temperature scaling: probabilities no surer than held-out rows bear out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from sklearn_memgen.training.batches import ResidentDataset
from sklearn_memgen.training.net import ResidentNet

__all__ = ["calibrate", "find_temperature"]

#: The highest temperature.
_HIGHEST = 4.0


@torch.no_grad()
def calibrate(net: ResidentNet, validation: ResidentDataset) -> float:
    """Divide the logits of a trained net by a temperature, if held-out rows ask for it.

    The temperature goes into the weights that the logits are linear in, so that
    nothing else has to know of it.

    Parameters
    ----------
    net : ResidentNet
        The net, whose module has a method `scale_logits`; changed in place.
    validation : ResidentDataset
        The rows held out.

    Returns
    -------
    temperature : float
        See `find_temperature`.
    """
    if validation.y is None:
        raise ValueError("the held-out rows have no targets")
    logits = net.logits(validation.X).to(net.device)
    criterion = net.criterion_.eval()
    targets = validation.y.to(net.device)
    temperature = find_temperature(
        logits, lambda scaled: criterion(scaled, targets), validation.weight
    )
    if temperature > 1:
        net.module_.scale_logits(1 / temperature)
        for name in net._optimizers:
            rescale = getattr(getattr(net, f"{name}_"), "rescale", None)
            if rescale is not None:
                rescale(1 / temperature)
    return temperature


def find_temperature(
    logits: Tensor, losses: Callable[[Tensor], Tensor], weight: Tensor | None = None
) -> float:
    """Find the temperature at which the mean loss is lowest.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, ...)
        Logits of rows held out.
    losses : callable
        Maps such logits to the losses of the rows, shape (n_rows,).
    weight : Tensor of shape (n_rows,), default=None
        Weights of the rows.

    Returns
    -------
    temperature : float
        What to divide logits by, from 1 to 4: 1 if no higher one lowers the mean loss
        by more than a standard error of the difference. It never makes a net surer
        than it is: a few hundred rows without a mistake do not show that there are
        none.

    References
    ----------
    .. [1] Guo et al., "On Calibration of Modern Neural Networks", 2017,
       https://arxiv.org/abs/1706.04599

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import LogisticLoss
    >>> from sklearn_memgen.training.calibration import find_temperature
    >>> y = torch.tensor([0, 1, 1, 1]).repeat(50)  # 3 of 4 are 1, nearly all it says
    >>> logits = torch.full((200, 1), 4.0)
    >>> T = find_temperature(logits, lambda z: LogisticLoss()(z, y))
    >>> round(float(torch.sigmoid(logits[0, 0] / T)), 2)
    0.75
    """
    if weight is None:
        weight = torch.ones(len(logits))
    weight = (weight / weight.sum()).double().cpu()

    def losses_at(temperature: float) -> Tensor:
        return losses(logits / temperature).double().cpu()

    found = minimize_scalar(
        lambda temperature: float(weight @ losses_at(temperature)),
        bounds=(1, _HIGHEST),
        method="bounded",
    )
    gains = losses_at(1.0) - losses_at(found.x)
    gain = weight @ gains
    error = (weight.square() @ (gains - gain).square()).sqrt()
    return float(found.x) if gain > error else 1.0
