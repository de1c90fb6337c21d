"""A callback that hands a guide to the training of any estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skorch.callbacks import Callback
from torch import Tensor, nn

from sklearn_memgen.training.guide import Guide
from sklearn_memgen.training.guide_path import GuidePath, rms_distance

__all__ = ["GuideCallback"]


class GuideCallback(Callback):
    """Train under a guide, in any estimator that takes skorch callbacks.

    The guide is attached when training begins and removed when it ends. There is no
    hook for batches, so that the training loop remains quick.

    Parameters
    ----------
    guide : Guide, GuidePath or callable
        The guide, or what makes it of the module, such as
        ``partial(Guide.only, names="head.*")``: the module of an estimator is not there
        before `fit`. Of a path each epoch takes the guide for the distance that the net
        has gone by then.
    apply_to : {"update", "gradient"}, default="update"
        See `Guide.attach`.
    start : mapping of str to Tensor, default=None
        Where the distance of a path is measured from, and for which parameters, by
        name. By default from where the parameters that it names are when training
        begins.

    Attributes
    ----------
    guide_ : Guide or GuidePath
        The guide of the last training.
    place_ : int
        Of a path, which of its guides is attached.

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

    #: What training makes anew; a `Checkpoint` leaves it out.
    made_anew = ("guide_",)

    def __init__(
        self,
        guide: Guide | GuidePath | Callable[[nn.Module], Guide | GuidePath],
        *,
        apply_to: str = "update",
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.guide = guide
        self.apply_to = apply_to
        self.start = start

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Attach the guide, or the first of a path."""
        self._remove()  # an error may have ended the last training
        guide = self.guide
        self.guide_ = guide(net.module_) if callable(guide) else guide
        if isinstance(self.guide_, GuidePath):
            self._keep_start(net, self.guide_)
            self._follow(net, self.guide_)
        elif isinstance(self.guide_, Guide):
            self._handle = self.guide_.attach(net, apply_to=self.apply_to)
        else:
            raise TypeError(
                "guide must be a Guide or a GuidePath, or a callable that makes one; "
                f"got {guide!r}"
            )

    def _keep_start(self, net: Any, path: GuidePath) -> None:
        parameters = dict(net.module_.named_parameters())
        known = parameters if self.start is None else self.start
        self._start = {
            name: known[name].detach().to(parameters[name], copy=True)
            for name in path.guides[0]
            if name in known and name in parameters
        }

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Change the guide, if the net has gone so far."""
        if isinstance(self.guide_, GuidePath):
            self._follow(net, self.guide_)

    def _follow(self, net: Any, path: GuidePath) -> None:
        """Attach the guide for the distance of the net."""
        distance = rms_distance(dict(net.module_.named_parameters()), self._start)
        guide = path.at(distance)
        if guide is not self.__dict__.get("_attached"):
            self._attach(net, guide)
            self.place_ = next(k for k, g in enumerate(path.guides) if g is guide)

    def _attach(self, net: Any, guide: Guide) -> None:
        """Attach a guide of a path in the place of the one before."""
        self._remove()
        self._handle = guide.attach(net, apply_to=self.apply_to)
        self._attached = guide

    def on_resume(self, net: Any) -> None:
        """Attach the guide that was attached when a `Checkpoint` was written."""
        if isinstance(self.guide_, GuidePath):
            self._attach(net, self.guide_.guides[self.place_])

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Remove the guide."""
        self._remove()
        self.__dict__.pop("_start", None)

    def _remove(self) -> None:
        if hasattr(self, "_handle"):
            self._handle.remove()
            del self._handle
        self.__dict__.pop("_attached", None)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle keeps: hooks belong to the training that goes on."""
        left = ("_handle", "_attached", "_start")
        return {k: v for k, v in self.__dict__.items() if k not in left}
