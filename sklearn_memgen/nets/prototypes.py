"""A head that compares with the means of the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_memgen.nets.body import draws_inputs

__all__ = ["PrototypeNet"]

#: Logit of a class that has no prototype, as in the code of Tanzer et al.
_UNSEEN = -400.0
#: The logit that the background begins with, as there.
_BACKGROUND = -4.0
#: Share of a running mean that remains after a step, as there.
_MOMENTUM = 0.9


class PrototypeNet(nn.Module):
    r"""A body, and negative squared distances to class means of what it returns.

    In training it takes the labels of a batch, and learns by running means. It predicts
    by `prototypes`: the last running means, unless `training.ClassMeans` puts the means
    of all training rows in their place, which are better for classes of few rows.

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
    background : int, default=None
        A class that has no prototype, but one logit for all rows, which is learned and
        begins with -4 [2]_: that of tokens which are no entity, say.

    Attributes
    ----------
    background_logit : Parameter of shape ()
        The logit of `background`, if there is one.
    prototypes : Tensor of shape (n_classes, [n_members,] n_features)
        The mean features of each class.
    has_prototype : Tensor of shape (n_classes,), bool
        Which classes have one.
    running_means : Tensor of the shape of `prototypes`
        Those of training.

    Notes
    -----
    The logit of class :math:`c` is :math:`-\lVert f(x) - \mu_c \rVert^2` with features
    :math:`f(x)` and prototype :math:`\mu_c` [1]_, and -400 if the class has none [2]_.
    In a step of training :math:`\mu_c` is 0.9 times what it was and 0.1 times the mean
    of the batch, if the class is in it; gradients pass through the latter, as in
    episodic training. The first batch with a class sets its mean.

    In a step of an episode, some of whose labels are not told, rows are compared with
    the means of those in the batch that have labels, and with running means of the
    classes that have none there.

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

    #: Asks `training.ResidentNet` for the labels.
    takes_labels = True

    prototypes: Tensor
    has_prototype: Tensor
    running_means: Tensor
    is_running: Tensor  # (n_classes,): which classes have been in a batch

    def __init__(
        self,
        body: nn.Module,
        n_features: int,
        n_classes: int,
        *,
        n_members: int | None = None,
        background: int | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.background = background
        if background is not None:
            self.background_logit = nn.Parameter(torch.tensor(_BACKGROUND))
        members = () if n_members is None else (n_members,)
        for name in ("prototypes", "running_means"):
            zeros = torch.zeros(n_classes, *members, n_features)
            self.register_buffer(name, zeros)
        for name in ("has_prototype", "is_running"):
            self.register_buffer(name, torch.zeros(n_classes, dtype=torch.bool))

    def forward(
        self, *inputs: Any, labels: Tensor | None = None, **named: Any
    ) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        *inputs, **named
            What the body is called with.
        labels : Tensor of shape (batch,), int64, optional
            The classes of the rows, which move the running means and the prototypes;
            -1 for the queries of an episode, which move nothing.

        Returns
        -------
        logits : Tensor of shape (batch, n_classes) or (batch, n_members, n_classes)
            By the prototypes, or with labels by the running means.
        """
        features = self.body(*inputs, **named)
        if labels is None:
            return self._logits(features, self.prototypes, self.has_prototype)
        means, there = self._means(features, labels)
        mixed = _MOMENTUM * self.running_means + (1 - _MOMENTUM) * means
        known = _beside(there & self.is_running, means)
        first = torch.where(_beside(there, means), means, self.running_means)
        running = torch.where(known, mixed, first)
        self.running_means = running.detach()
        self.is_running = self.is_running | there
        # Copies, as loading a state writes into each buffer.
        self.prototypes = self.running_means.clone()
        self.has_prototype = self.is_running.clone()
        # Not read on the host, which would wait for a GPU at each step.
        is_episode = (labels < 0).any()
        compared = torch.where(known & ~is_episode, mixed, first)
        return self._logits(features, compared, self.is_running)

    @property
    def fast_forward(self) -> Callable[..., Tensor]:
        """What `forward` does, for prediction on a CPU, if the body has it, too."""
        fast: Any = self.body.fast_forward

        def forward(*inputs: Any, **named: Any) -> Tensor:
            features = fast(*inputs, **named)
            return self._logits(features, self.prototypes, self.has_prototype)

        return forward

    def _logits(self, features: Tensor, means: Tensor, there: Tensor) -> Tensor:
        away = _as_vectors(features)[:, None] - means
        logits = -away.square().sum(-1)  # (batch, n_classes[, n_members])
        logits = torch.where(there, logits.movedim(1, -1), _UNSEEN)
        if self.background is None:
            return logits
        classes = torch.arange(len(there), device=there.device)
        own = self.background_logit.to(logits.dtype)
        return torch.where(classes.eq(self.background), own, logits)

    def _means(
        self, features: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean features of each class, and which classes there are."""
        features = _as_vectors(features).to(self.prototypes.dtype)
        if weight is None:
            weight = features.new_ones(len(features))
        counts = y >= 0
        if self.background is not None:
            counts = counts & (y != self.background)
        weight, y = weight * counts, y.clamp(min=0)
        totals = features.new_zeros(len(self.has_prototype)).index_add(0, y, weight)
        sums = torch.zeros_like(self.prototypes)
        sums = sums.index_add(0, y, features * _beside(weight, features))
        there = totals > 0
        return sums / _beside(torch.where(there, totals, 1), sums), there

    @torch.no_grad()
    def set_prototypes(
        self, features: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> None:
        """Replace prototypes by the means of some rows; running means stay.

        Parameters
        ----------
        features : Tensor of shape (n_rows, n_features) or \
                (n_rows, n_members, n_features)
            What the body makes of them.
        y : Tensor of shape (n_rows,), int64
            Their classes. A class without rows keeps its prototype; the background
            has none.
        weight : Tensor of shape (n_rows,), default=None
            Their weights in the means, above zero; equal by default.
        """
        means, there = self._means(features, y, weight)
        self.prototypes = torch.where(_beside(there, means), means, self.prototypes)
        self.has_prototype = self.has_prototype | there

    def optimizer_groups(self) -> dict[str, list[Tensor]]:
        """Name the parameters that have an optimizer of their own: those of the body.

        Returns
        -------
        groups : dict of str to list of Parameter
            See `WideDeep.optimizer_groups`.
        """
        return getattr(self.body, "optimizer_groups", dict)()

    @property
    def draws_inputs(self) -> bool:
        """Whether the body draws its inputs for training."""
        return draws_inputs(self.body)

    def draw_inputs(self, inputs: Any) -> Any:
        """Return a batch's inputs as the body draws them for training, if it does."""
        draw = getattr(self.body, "draw_inputs", None)
        return inputs if draw is None else draw(inputs)


def _as_vectors(features: Tensor) -> Tensor:
    """Return features of shape (batch,) as (batch, 1), others as they are."""
    return features[:, None] if features.ndim == 1 else features


def _beside(values: Tensor, rows: Tensor) -> Tensor:
    """Return a value a row in a shape that goes with the rows."""
    return values.view(-1, *[1] * (rows.ndim - 1))
