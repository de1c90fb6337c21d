"""A callback that pulls a net back to where it started: L2-SP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["AnchorCallback"]


class AnchorCallback(Callback):
    r"""Pull parameters back to where they started, a little in each step.

    It is what weight decay is, but towards the parameters of a pretrained net in the
    place of zero. Like that of AdamW it is decoupled from the gradient. There is no
    hook for batches, so that the training loop remains quick.

    Parameters
    ----------
    strength : float
        How strongly. With the learning rate :math:`\eta` a step begins with the share
        :math:`\eta \cdot strength` of the way back.
    start : mapping of str to Tensor, default=None
        Where parameters are pulled to, by name; those that are not named are free. By
        default all of them, to where they are when training begins.

    See Also
    --------
    GuideCallback : Limits how far parameters go. Listed before this callback, it
        limits the way back as well, as it does weight decay.

    Notes
    -----
    Li, Grandvalet and Davoine [1]_ add
    :math:`\frac\alpha2 \lVert\theta - \theta_0\rVert^2` to the loss. By plain SGD that
    is the same. Adam would divide the pull by the size of the gradients, as it does
    with a weight decay in the loss, so here it is not part of them.

    References
    ----------
    .. [1] Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning
       with Convolutional Networks", 2018, https://arxiv.org/abs/1802.01483

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.training import AnchorCallback
    >>> X, y = load_iris(return_X_y=True)
    >>> module = nn.Linear(4, 3)
    >>> def distance(*callbacks):
    ...     model = NetClassifier(module, callbacks=callbacks, random_state=0)
    ...     return (model.fit(X, y).net_.module_.weight - module.weight).norm()
    >>> bool(distance(AnchorCallback(10.0)) < 0.5 * distance())
    True
    """

    def __init__(
        self, strength: float, start: Mapping[str, Tensor] | None = None
    ) -> None:
        self.strength = strength
        self.start = start

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Keep where to pull to.

        Raises
        ------
        ValueError
            If a name is unknown, or a shape is another.
        """
        self.on_train_end(net)  # an error may have ended the last training
        parameters = dict(net.module_.named_parameters())
        start = parameters if self.start is None else self.start
        self._anchors: dict[Tensor, Tensor] = {}
        for name, value in start.items():
            if name not in parameters or parameters[name].shape != value.shape:
                raise ValueError(
                    f"the anchor names {name!r} of shape {tuple(value.shape)}; the net "
                    "has no such parameter"
                )
            parameter = parameters[name]
            self._anchors[parameter] = value.detach().to(parameter, copy=True)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Take hold, behind a guide that may have changed with the epoch."""
        self._let_go()
        self._hooks = [
            getattr(net, f"{name}_").register_step_pre_hook(self._pull)
            for name in net._optimizers
        ]

    @torch.no_grad()
    def _pull(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Go back a share of the way, before a step."""
        for group in optimizer.param_groups:
            share = min(self.strength * float(group["lr"]), 1.0)
            for parameter in group["params"]:
                anchor = self._anchors.get(parameter)
                if anchor is not None and parameter.grad is not None:
                    parameter.lerp_(anchor, share)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Let go."""
        self._let_go()
        self.__dict__.pop("_anchors", None)

    def _let_go(self) -> None:
        for hook in self.__dict__.pop("_hooks", ()):
            hook.remove()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle keeps: hooks belong to the training that goes on."""
        left = ("_hooks", "_anchors")
        return {k: v for k, v in self.__dict__.items() if k not in left}
