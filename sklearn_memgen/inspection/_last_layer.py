"""What the last linear layer of a net sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_X_y
from torch import Tensor, nn

from sklearn_memgen._labels import check_labels
from sklearn_memgen.inspection._fitted_subject import read_fitted
from sklearn_memgen.inspection._subject import read_subject
from sklearn_memgen.nets.members import MemberLinear
from sklearn_memgen.training import ResidentDataset, ResidentNet, resolve_device, seeded

__all__ = ["read_features"]


def read_features(
    estimator: Any, X: Any, y: Any, random_state: Any
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Return what a linear classifier is to learn from.

    Parameters
    ----------
    estimator : fitted classifier, classifier of one linear layer, or None
        See `margin_path`.
    X, y : inputs and labels
        The rows.
    random_state : int, RandomState instance or None
        Of an encoder that draws.

    Returns
    -------
    features : Tensor of shape (n_rows, n_features), float64
        On the device of the net.
    codes : ndarray of shape (n_rows,)
        Class indices.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.

    Raises
    ------
    ValueError
        If there is no such layer, or the classifier has to be fitted before.
    """
    if estimator is None:
        array, y = check_X_y(X, y, dtype=np.float64, multi_output=False)
        classes, codes = np.unique(check_labels(y), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y needs at least 2 classes; got {classes.tolist()!r}")
        return torch.from_numpy(array).to(resolve_device("auto")), codes, classes
    if is_regressor(estimator):
        raise TypeError(f"estimator must be a classifier; got {estimator!r}")
    try:
        fitted = read_fitted(estimator, X, y)
    except NotFittedError:
        subject = read_subject(estimator, X, y, random_state=random_state)
        device = resolve_device(subject.estimator.device)
        with seeded(0, device):
            net = subject.member(seed=0).make_net()
            net.set_params(device=str(device)).initialize()
        _check_one_layer(net.module_)
        data, classes = subject.training, subject.classes
    else:
        net, data, classes = fitted.net, fitted.data, fitted.estimator.classes_
    widths = {1, 2} if len(classes) == 2 else {len(classes)}
    features = _inputs_of_head(net, data, widths)
    return features, data.targets.cpu().numpy(), classes


def _check_one_layer(module: nn.Module) -> None:
    """Raise a ValueError unless a net that is not trained has one linear layer only."""
    layers = [m for m in module.modules() if any(True for _ in m.parameters(False))]
    if len(layers) == 1 and isinstance(layers[0], nn.Linear):
        return
    names = [type(layer).__name__ for layer in layers]
    raise ValueError(
        "estimator is not fitted. Only a net of one linear layer has features before "
        f"it is trained; this one has the layers {names}. Fit it first, to follow its "
        "last layer, or pass estimator=None to follow a linear model of X itself"
    )


def _inputs_of_head(
    net: ResidentNet, data: ResidentDataset, widths: set[int]
) -> Tensor:
    """Return the inputs of the last linear layer with one of some numbers of outputs.

    Of the members of an ensemble they are side by side.
    """
    module = net.module_
    seen: list[Tensor] = []

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        hidden = inputs[0]
        if isinstance(layer, MemberLinear):  # (n_members, batch, n_features)
            hidden = hidden.transpose(0, 1).flatten(1)
        seen[:] = [hidden]

    hooks = [
        layer.register_forward_pre_hook(look)
        for layer in module.modules()
        if isinstance(layer, nn.Linear | MemberLinear) and _width(layer) in widths
    ]
    was_training, parts = module.training, []
    try:
        module.eval()
        with torch.inference_mode():
            for inputs, _ in net.get_iterator(ResidentDataset(data.X)):
                net.infer(inputs)
                parts += [hidden.double() for hidden in seen]
                seen.clear()
    finally:
        for hook in hooks:
            hook.remove()
        module.train(was_training)
    # A copy, since tensors of inference mode cannot be used outside of it.
    features = torch.cat(parts).clone() if parts else torch.empty(0)
    if features.ndim != 2 or len(features) != len(data.targets):
        raise ValueError(
            "estimator must have a net that ends in a torch.nn.Linear layer with an "
            "output for each class, called with features of shape (batch, n_features);"
            f" {type(module).__name__} has none"
        )
    return features


def _width(layer: nn.Linear | MemberLinear) -> int:
    """Return the number of outputs of a layer."""
    if isinstance(layer, MemberLinear):
        return layer.weight.shape[-1]
    return layer.out_features
