"""export_onnx: the net of a fitted classifier, for runtimes without Python."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_memgen.base import NetClassifier
from sklearn_memgen.compaction import example_inputs
from sklearn_memgen.nets import SparseLinear
from sklearn_memgen.training import probabilities

__all__ = ["export_onnx"]


def export_onnx(
    classifier: NetClassifier, path: str | os.PathLike[str], X: Any = None
) -> list[str]:
    """Write the net of a fitted classifier to an ONNX file.

    Parameters
    ----------
    classifier : NetClassifier or WideDeepClassifier
        Fitted. Call `compact` before, where its net has zeros.
    path : str or path-like
        The file.
    X : DataFrame, array-like, sparse matrix, or dict of arrays, default=None
        Two rows or more, such as some of those it was fitted on. Needed unless it was
        fitted on an array of two axes, without an encoder.

    Returns
    -------
    names : list of str
        Names of the file's inputs, in order: those of the arguments of the module's
        ``forward``. Its output is "probabilities", of shape (n_rows, n_classes) and
        float64, in the order of ``classes_``.

    Raises
    ------
    NotFittedError
        If the classifier is not fitted.
    ImportError
        If onnx or onnxscript is not installed.
    ValueError
        If the module takes a sparse matrix, as it does for columns of text.
    CannotCompactError
        If `X` is needed.

    Notes
    -----
    The file has the net and the softmax, not the encoder: its inputs are what
    ``classifier.encoder_.transform(X)`` returns. The number of rows may vary. Weights
    are stored densely.
    """
    check_is_fitted(classifier)
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "export_onnx needs onnx and onnxscript; install them by "
            "pip install 'sklearn-memgen[onnx]'"
        ) from error
    inputs = example_inputs(classifier, X)
    named = inputs if isinstance(inputs, dict) else {"x": inputs}
    if "offsets" in named:
        raise ValueError(
            "a net that takes a sparse matrix, as for columns of text, cannot be "
            "exported to ONNX"
        )
    module = copy.deepcopy(classifier.net_.module_)
    names = list(inputs) if isinstance(inputs, dict) else None
    net = _Probabilities(_with_dense_layers(module), names)
    rows = torch.export.Dim("rows")
    torch.onnx.export(
        net.cpu().eval(),
        tuple(values.cpu() for values in named.values()),
        os.fspath(path),
        input_names=list(named),
        output_names=["probabilities"],
        dynamic_shapes=(tuple({0: rows} for _ in named),),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return list(named)


class _Probabilities(nn.Module):
    """A net and the softmax, for inputs in the order of `names`, or a single one."""

    def __init__(self, module: nn.Module, names: list[str] | None) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.names is None:
            return probabilities(self.module(*inputs))
        return probabilities(self.module(**dict(zip(self.names, inputs, strict=True))))


def _with_dense_layers(module: nn.Module) -> nn.Module:
    """Put ordinary layers in the place of those that choose a kernel, in place."""
    if isinstance(module, SparseLinear):
        return module.to_linear()
    for name, child in list(module.named_children()):
        setattr(module, name, _with_dense_layers(child))
    return module
