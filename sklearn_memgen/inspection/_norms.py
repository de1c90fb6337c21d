"""Norms of a net's weights, which are said to bound how well it generalizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from sklearn_memgen.training import Rows

__all__ = ["NORMS", "InitialWeights", "n_trained_parameters", "norms_of"]

#: What `norms_of` computes.
NORMS = ("weight_norm", "distance", "spectral_product", "path_norm")
#: Layers whose weight is one matrix.
_MATRIX_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
#: Rows on which a net must agree with the chain of its layers.
_FEW_ROWS = 32


class InitialWeights(Callback):
    """Keep the weights that a net begins with.

    Attributes
    ----------
    weights_ : dict of str to Tensor
        The trained parameters by name, on the CPU.
    """

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Copy the weights; one net of a stack has no memory of its own."""
        self.weights_ = {
            name: parameter.detach().cpu().clone()
            for name, parameter in _trained(net.module_).items()
        }


def n_trained_parameters(module: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in _trained(module).values())


def norms_of(
    module: nn.Module, initial: Mapping[str, Tensor], X: Rows
) -> dict[str, float]:
    """Compute the norms of a trained net.

    Parameters
    ----------
    module : Module
        The net.
    initial : mapping of str to Tensor
        Its weights before training.
    X : Rows
        Rows that it learned.

    Returns
    -------
    norms : dict of str to float
        By the names of `NORMS`; see `capacity_curve`.
    """
    weights = {name: p.detach().cpu().double() for name, p in _trained(module).items()}
    moved = [weight - initial[name].double() for name, weight in weights.items()]
    return {
        "weight_norm": _length(list(weights.values())),
        "distance": _length(moved),
        "spectral_product": _spectral_product(module),
        "path_norm": _path_norm(module, X),
    }


def _trained(module: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _length(tensors: list[Tensor]) -> float:
    """Return the Euclidean length of all entries together."""
    return math.sqrt(sum(float(tensor.square().sum()) for tensor in tensors))


def _spectral_product(module: nn.Module) -> float:
    """Return the product of the largest singular values; NaN for other weights."""
    layers = [layer for layer in module.modules() if isinstance(layer, _MATRIX_LAYERS)]
    matrices = [layer.weight for layer in layers]
    known = {id(matrix) for matrix in matrices}
    if any(p.ndim > 1 and id(p) not in known for p in module.parameters()):
        return math.nan
    product = 1.0
    for matrix in matrices:
        flat = matrix.detach().cpu().double().flatten(1)
        # The largest eigenvalue of the smaller Gram matrix is quicker than an SVD.
        gram = flat @ flat.T if len(flat) <= flat.shape[1] else flat.T @ flat
        largest = float(torch.linalg.eigvalsh(gram)[-1])
        product *= math.sqrt(max(largest, 0.0))
    return product


def _path_norm(module: nn.Module, X: Rows) -> float:
    """Return the path norm of a plain chain of linear layers and ReLUs, else NaN."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    own = {id(parameter) for layer in layers for parameter in layer.parameters()}
    if not layers or {id(parameter) for parameter in module.parameters()} != own:
        return math.nan
    inputs = X[: min(_FEW_ROWS, len(X))].inputs()
    if not isinstance(inputs, Tensor) or not _is_chain(module, layers, inputs):
        return math.nan
    paths = torch.ones(layers[0].in_features, dtype=torch.float64)
    for layer in layers:
        paths = layer.weight.detach().cpu().double().square() @ paths
        if layer.bias is not None:
            paths += layer.bias.detach().cpu().double().square()
    return math.sqrt(float(paths.sum()))


def _is_chain(module: nn.Module, layers: list[nn.Linear], inputs: Tensor) -> bool:
    """Tell whether the net computes what its layers do, one after another."""
    inputs = inputs.to(layers[0].weight.device)
    hidden = inputs.flatten(1)
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            outputs = module(inputs)
            for k, layer in enumerate(layers):
                if hidden.shape[1] != layer.in_features:
                    return False
                hidden = layer(hidden.relu() if k else hidden)
    finally:
        module.train(was_training)
    same_size = outputs.numel() == hidden.numel()
    return same_size and torch.allclose(
        outputs.reshape(hidden.shape), hidden, rtol=1e-3, atol=1e-4
    )
