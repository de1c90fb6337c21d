"""A callback that hands a guide to the training of any estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen.training.guide import Guide

__all__ = ["GuideCallback"]


class GuideCallback(Callback):
    """Train under a guide, in any estimator that takes skorch callbacks.

    The guide is attached when training begins and removed when it ends. There is no
    hook for batches, so that the training loop remains quick.

    Parameters
    ----------
    guide : Guide or callable
        The guide, or what makes it of the module, such as
        ``partial(Guide.only, names="head.*")``: the module of an estimator is not there
        before `fit`.
    apply_to : {"update", "gradient"}, default="update"
        See `Guide.attach`.

    Attributes
    ----------
    guide_ : Guide
        The guide of the last training.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.training import Guide, GuideCallback
    >>> X, y = load_iris(return_X_y=True)
    >>> module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> head_only = GuideCallback(partial(Guide.only, names="2.*"))
    >>> model = NetClassifier(module, callbacks=[head_only], random_state=0).fit(X, y)
    >>> fitted = model.net_.module_
    >>> bool((fitted[0].weight == module[0].weight).all())
    True
    >>> bool((fitted[2].weight == module[2].weight).any())
    False
    """

    def __init__(
        self, guide: Guide | Callable[[nn.Module], Guide], *, apply_to: str = "update"
    ) -> None:
        self.guide = guide
        self.apply_to = apply_to

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Attach the guide."""
        self._remove()  # an error may have ended the last training
        guide = self.guide
        self.guide_ = guide if isinstance(guide, Guide) else guide(net.module_)
        self._handle = self.guide_.attach(net, apply_to=self.apply_to)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Remove the guide."""
        self._remove()

    def _remove(self) -> None:
        if hasattr(self, "_handle"):
            self._handle.remove()
            del self._handle

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle keeps: hooks belong to the training that goes on."""
        return {k: v for k, v in self.__dict__.items() if k != "_handle"}
