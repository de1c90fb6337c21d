"""compact: a fitted estimator without what its net does not need to predict."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import nn

from sklearn_memgen._inputs import as_rows, read_inputs
from sklearn_memgen._net_estimator import NetEstimator
from sklearn_memgen.nets import (
    CannotCompactError,
    HeadedTableNet,
    TableBody,
    WideDeep,
    compact_module,
    store_sparsely,
)
from sklearn_memgen.training import ResidentNet

__all__ = ["compact", "example_inputs"]

_Estimator = TypeVar("_Estimator", bound=NetEstimator)

#: Nets of tables, which are understood without inputs.
_TABLE_NETS = (WideDeep, TableBody, HeadedTableNet)
#: What a fitted estimator has only for training.
_FOR_TRAINING = ("net_", "history_", "_rng")
#: Most rows that the net predicts at once on a CPU: what small layers make of so many
#: stays in the cache.
_MAX_PREDICTED = 1024


def compact(estimator: _Estimator, X: Any = None) -> _Estimator:
    """Return a copy of a fitted estimator that predicts the same and is smaller.

    Units of the net that do nothing are taken out. Layers of which at least half the
    weights are zero are pickled without the zeros, and multiplied by the kernel that is
    fastest on this machine. What is only there for training goes: the state of the
    optimizer, history and trace.

    Parameters
    ----------
    estimator : NetClassifier, WideDeepClassifier or WideDeepRegressor
        Fitted, with zeros in the weights of its net. It stays as it is.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, default=None
        Two rows or more, such as some of those it was fitted on. Needed if its net is a
        module of your own that takes something else than a table of numbers.

    Returns
    -------
    compacted : estimator of the same class
        Fitted. Its predictions are the same, but for rounding. `fit` trains a new net;
        `partial_fit`, and `fit` with `warm_start`, raise a ValueError.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is not an estimator of this package around a net.
    CannotCompactError
        If its net cannot be traced, or `X` is needed; see `nets.compact_module`.

    See Also
    --------
    nets.compact_module : Which units are taken out.
    nets.choose_kernel : How the fastest kernel is found.
    export_onnx : The net for another runtime.

    Notes
    -----
    Parameters are those of `estimator`, but for a `module` that was given as an
    instance: the compacted module takes its place, since the whole one would be
    pickled. A `source` stays, and is pickled too.

    Examples
    --------
    >>> import pickle
    >>> import numpy as np
    >>> import torch
    >>> from torch import nn
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_memgen import NetClassifier, compact
    >>> X, y = load_digits(return_X_y=True)
    >>> net = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10))
    >>> model = NetClassifier(net, max_epochs=3, random_state=0).fit(X / 16, y)
    >>> with torch.no_grad():  # keep the tenth of the weights that are largest
    ...     for layer in model.net_.module_[::2]:
    ...         size = layer.weight.abs()
    ...         _ = layer.weight.mul_(size > size.quantile(0.9))
    >>> small = compact(model)
    >>> bool(np.allclose(small.predict_proba(X), model.predict_proba(X), atol=1e-5))
    True
    >>> len(pickle.dumps(small)) < len(pickle.dumps(model)) / 10
    True
    """
    if not isinstance(estimator, NetEstimator):
        raise TypeError(
            "only estimators of sklearn_memgen that have a net can be compacted; got "
            f"{type(estimator).__name__}"
        )
    check_is_fitted(estimator)
    module = estimator.net_.module_
    inputs = None if isinstance(module, _TABLE_NETS) else example_inputs(estimator, X)
    smaller = store_sparsely(compact_module(module, inputs)).eval()

    compacted = clone(estimator)
    params = estimator.get_params(deep=False)
    if isinstance(params.get("module"), nn.Module):
        compacted.set_params(module=smaller)
    for name, value in vars(estimator).items():
        if name not in params and name not in _FOR_TRAINING:
            setattr(compacted, name, copy.deepcopy(value))
    compacted.net_ = _predicting_net(estimator.net_, smaller)
    return compacted


def example_inputs(estimator: NetEstimator, X: Any = None) -> Any:
    """Return a few rows as the module of a fitted estimator takes them.

    Parameters
    ----------
    estimator : NetEstimator
        Fitted.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, default=None
        Rows; without them numbers are drawn, if it was fitted on an array of two axes.

    Returns
    -------
    inputs : Tensor or dict of str to Tensor
        On the device of the net.

    Raises
    ------
    CannotCompactError
        If `X` is needed.
    """
    encoder = estimator.encoder_
    device = estimator.net_.device
    if X is not None:
        data = read_inputs(estimator, X, encoder, reset=False)
        rows = as_rows(data if encoder is None else encoder.transform(data))
        return rows[torch.arange(4) % len(rows)].to(device).inputs()
    n_features = getattr(estimator, "n_features_in_", None)
    if encoder is not None or n_features is None:
        raise CannotCompactError(
            f"{type(estimator).__name__} takes no plain table of numbers; pass a few "
            "rows as X"
        )
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, n_features, generator=generator).to(device)


def _predicting_net(net: ResidentNet, module: nn.Module) -> ResidentNet:
    """Return a copy of a net around another module, without what trains it."""
    trainers = {f"{name}_" for name in net._optimizers}
    state = {k: copy.copy(v) for k, v in vars(net).items() if k not in trainers}
    made = object.__new__(type(net))
    made.__dict__.update(state)
    made.__dict__.update(
        module=module, module_=module, callbacks=None, callbacks_=[], _optimizers=[]
    )
    made.__dict__["history_"] = History()
    made.max_predicted = _MAX_PREDICTED
    return made
