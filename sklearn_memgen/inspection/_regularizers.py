"""An estimator without its explicit regularizers."""

from __future__ import annotations

from copy import copy
from typing import Any

from skorch.callbacks import Callback
from torch import nn

from sklearn_memgen.base import NetClassifier

__all__ = ["NoDropout", "unregularized"]

#: Parameters of estimators, and their values without effect.
_OFF: dict[str, Any] = {
    "weight_decay": 0.0,
    "dropout": 0.0,
    "ema_decay": None,
    "unknown_rate": 0.0,
    "wide_l1": 0.0,
    "wide_l2": 0.0,
    "caution": False,
}
_DROPOUTS = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout),
)


class NoDropout(Callback):
    """Switch the dropout layers of a net off before it is trained."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Let the layers drop nothing."""
        for layer in net.module_.modules():
            if isinstance(layer, _DROPOUTS):
                layer.p = 0.0


def unregularized(estimator: NetClassifier) -> NetClassifier:
    """Return an estimator whose parameters that regularize are switched off.

    Dropout layers of a user's module are left to `NoDropout`.
    """
    parameters = estimator.get_params(deep=False)
    off = {name: value for name, value in _OFF.items() if name in parameters}
    if own := parameters.get("net_params"):
        off["net_params"] = {
            name: 0.0 if name == "optimizer__weight_decay" else value
            for name, value in own.items()
        }
    made = copy(estimator).set_params(**off)
    made.__dict__.pop("cautious_", None)  # as `caution` says from now on
    return made
