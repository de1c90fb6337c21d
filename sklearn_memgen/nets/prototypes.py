"""A head that compares with the means of the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["PrototypeNet"]

#: Logit of a class that has no prototype, as in the code of Tanzer et al.
_UNSEEN = -400.0


class PrototypeNet(nn.Module):
    r"""A body, and negative squared distances to class means in its output space.

    Prototypes are buffers, which no gradient reaches. `training.ClassMeans` sets them,
    or `set_prototypes` by hand.

    Parameters
    ----------
    body : Module
        Maps its inputs to features of shape (batch, n_features), or (batch, n_members,
        n_features) if it is an ensemble. Features of shape (batch,) are single ones.
    n_features : int
        Number of features.
    n_classes : int
        Number of classes, and of logits, of two classes, too.
    n_members : int, default=None
        Members of an ensemble, each of which has prototypes of its own.

    Attributes
    ----------
    prototypes : Tensor of shape (n_classes, n_features) or \
            (n_classes, n_members, n_features)
        The mean features of each class.
    has_prototype : Tensor of shape (n_classes,), bool
        Which classes have one.

    Notes
    -----
    The logit of class :math:`c` is :math:`-\lVert f(x) - \mu_c \rVert^2` with features
    :math:`f(x)` and prototype :math:`\mu_c` [1]_, and -400 if the class has none [2]_.

    References
    ----------
    .. [1] Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning",
       2017, https://arxiv.org/abs/1703.05175
    .. [2] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.nets import PrototypeNet
    >>> net = PrototypeNet(torch.nn.Identity(), n_features=2, n_classes=3)
    >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    >>> net.set_prototypes(features, torch.tensor([0, 0, 1]))
    >>> net(torch.tensor([[1.0, 1.0]]))
    tensor([[  -1.,   -5., -400.]])
    """

    prototypes: Tensor
    has_prototype: Tensor

    def __init__(
        self,
        body: nn.Module,
        n_features: int,
        n_classes: int,
        *,
        n_members: int | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        members = () if n_members is None else (n_members,)
        prototypes = torch.zeros(n_classes, *members, n_features)
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("has_prototype", torch.zeros(n_classes, dtype=torch.bool))

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the logits, (batch, n_classes) or (batch, n_members, n_classes)."""
        return self._logits(self.body(*inputs, **named))

    @property
    def fast_forward(self) -> Callable[..., Tensor]:
        """What `forward` does, for prediction on a CPU, if the body has it, too."""
        fast: Any = self.body.fast_forward
        return lambda *inputs, **named: self._logits(fast(*inputs, **named))

    def _logits(self, features: Tensor) -> Tensor:
        away = _as_vectors(features)[:, None] - self.prototypes
        logits = -away.square().sum(-1)  # (batch, n_classes[, n_members])
        return torch.where(self.has_prototype, logits.movedim(1, -1), _UNSEEN)

    @torch.no_grad()
    def set_prototypes(
        self, features: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> None:
        """Replace the prototypes by the means of some rows.

        Parameters
        ----------
        features : Tensor of shape (n_rows, n_features) or \
                (n_rows, n_members, n_features)
            What the body makes of them.
        y : Tensor of shape (n_rows,), int64
            Their classes. One without rows is left without prototype.
        weight : Tensor of shape (n_rows,), default=None
            Their weights in the means, above zero; equal by default.
        """
        features = _as_vectors(features)
        weight = torch.ones_like(y, dtype=features.dtype) if weight is None else weight
        totals = features.new_zeros(len(self.has_prototype)).index_add(0, y, weight)
        shape = (-1,) + (1,) * (features.ndim - 1)
        sums = torch.zeros_like(self.prototypes)
        sums = sums.index_add(0, y, features * weight.view(shape))
        self.has_prototype = totals > 0
        totals = torch.where(self.has_prototype, totals, 1)
        self.prototypes = sums / totals.view(shape)

    def optimizer_groups(self) -> dict[str, list[Tensor]]:
        """Name the parameters that have an optimizer of their own: those of the body.

        Returns
        -------
        groups : dict of str to list of Parameter
            See `WideDeep.optimizer_groups`.
        """
        return getattr(self.body, "optimizer_groups", dict)()

    def draw_inputs(self, inputs: Any) -> Any:
        """Return a batch's inputs as the body draws them for training, if it does."""
        draw = getattr(self.body, "draw_inputs", None)
        return inputs if draw is None else draw(inputs)


def _as_vectors(features: Tensor) -> Tensor:
    """Return features of shape (batch,) as (batch, 1), others as they are."""
    return features[:, None] if features.ndim == 1 else features
