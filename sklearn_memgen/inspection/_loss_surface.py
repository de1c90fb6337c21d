"""The loss of a fitted net as a function of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import check_scalar
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase

from sklearn_memgen.inspection._fitted_subject import FittedSubject
from sklearn_memgen.nets.sparse_linear import SparseLinear
from sklearn_memgen.training import (
    ResidentBatches,
    ResidentDataset,
    ResidentNet,
    probabilities,
)

__all__ = ["LossSurface", "running_statistics", "sample_rows"]

#: Most rows that are computed at once, with the graph of their second derivatives.
_BATCH_ROWS = 1024


def sample_rows(
    subject: FittedSubject, n_rows: int | None, rng: np.random.RandomState
) -> np.ndarray:
    """Draw which rows to look at, in ascending order; all if there are no more.

    Raises
    ------
    ValueError
        If `n_rows` is not positive.
    """
    n_given = len(subject.data)
    if n_rows is not None:
        check_scalar(n_rows, "n_rows", (int, np.integer), min_val=1)
    if n_rows is None or n_rows >= n_given:
        return np.arange(n_given)
    return np.sort(rng.choice(n_given, n_rows, replace=False))


class LossSurface:
    """Mean loss and error of a net on some rows, at any weights.

    The net is a copy in evaluation mode, in float32: normalizations use the statistics
    they keep, nothing is dropped. The loss is that of the net's criterion. Rows are
    computed in batches, so that memory does not grow with their number.

    Parameters
    ----------
    net : ResidentNet
        A trained net; stays as it is.
    data : ResidentDataset
        The rows.
    rows : ndarray of int, default=None
        Which of them to look at; all by default.
    frozen : bool, default=False
        Whether parameters that do not learn are among `parameters`.

    Attributes
    ----------
    module : Module
        The copy, on the device of the net.
    parameters : dict of str to Parameter
        Those of the copy that the loss is a function of, by name.
    weights : dict of str to Tensor
        Their values in the trained net.
    """

    def __init__(
        self,
        net: ResidentNet,
        data: ResidentDataset,
        rows: np.ndarray | None = None,
        *,
        frozen: bool = False,
    ) -> None:
        self.device = torch.device(net.device)
        self._batch_size = min(net.micro_batch_size or _BATCH_ROWS, _BATCH_ROWS)
        if rows is not None:
            data = data.take(torch.from_numpy(rows))
        self._read(data)
        self.module = _differentiable(deepcopy(net.module_)).eval()
        self.criterion = deepcopy(net.criterion_).eval()
        self.parameters = {
            name: parameter
            for name, parameter in self.module.named_parameters()
            if parameter.is_floating_point() and (frozen or parameter.requires_grad)
        }
        for parameter in self.module.parameters():
            parameter.grad = None
        self.weights = {n: p.detach().clone() for n, p in self.parameters.items()}
        self._has_recurrence = any(
            isinstance(m, nn.RNNBase) for m in self.module.modules()
        )

    def _read(self, data: ResidentDataset) -> None:
        data = replace(data, weight=None, origin=None).resident(self.device)
        self.n_targets = len(data.targets)
        self._batches = ResidentBatches(
            data, batch_size=self._batch_size, device=self.device
        )

    def on(self, data: ResidentDataset) -> LossSurface:
        """Return the surface of other rows, which moves with this one."""
        made = copy(self)
        made._read(data)
        return made

    @property
    def n_parameters(self) -> int:
        """How many numbers the loss is a function of."""
        return sum(p.numel() for p in self.parameters.values())

    @torch.no_grad()
    def place(self, weights: Mapping[str, Tensor]) -> None:
        """Give the copy other weights, or some of them."""
        for name, value in weights.items():
            self.parameters[name].copy_(value)

    @torch.no_grad()
    def look(self, weights: Mapping[str, Tensor] | None = None) -> tuple[float, float]:
        """Return the mean loss, and the share of wrong predictions.

        Parameters
        ----------
        weights : mapping of str to Tensor, default=None
            Where; by default at the weights that the copy has.
        """
        self.place(weights or {})
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        n_wrong = torch.zeros((), device=self.device, dtype=torch.int64)
        for inputs, y in self._batches:
            logits = self._logits(inputs)
            total += self.criterion(logits, y).double().sum()
            n_wrong += (probabilities(logits).argmax(dim=1) != y).sum()
        loss, wrong = torch.stack([total, n_wrong.double()]).tolist()
        return loss / self.n_targets, wrong / self.n_targets

    def gradient(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, a tensor, and its gradient where the copy is."""
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        gradient = {n: torch.zeros_like(p) for n, p in self.parameters.items()}
        with self._differentiating():
            for loss in self._parts():
                total += loss.detach()
                parts = self._derive(loss)
                for value, part in zip(gradient.values(), parts, strict=True):
                    value += part
        return total, gradient

    def hessian_times(self, direction: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the product of the Hessian, where the copy is, and a direction.

        Raises
        ------
        RuntimeError
            If torch has no second derivative of a layer.
        """
        product = {n: torch.zeros_like(p) for n, p in self.parameters.items()}
        with self._differentiating():
            for loss in self._parts():
                # Along the direction the gradient is one number, derived once more.
                slope = torch.zeros((), device=self.device)
                first = self._derive(loss, create_graph=True)
                for name, part in zip(self.parameters, first, strict=True):
                    slope = slope + (part * direction[name]).sum()
                if not slope.requires_grad:  # linear: there is no curvature
                    continue
                for value, part in zip(
                    product.values(), self._derive(slope), strict=True
                ):
                    value += part
        return product

    def _derive(self, value: Tensor, *, create_graph: bool = False) -> Sequence[Tensor]:
        try:
            return torch.autograd.grad(
                value,
                list(self.parameters.values()),
                create_graph=create_graph,
                allow_unused=True,
                materialize_grads=True,
            )
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            raise RuntimeError(
                "the Hessian needs second derivatives, which torch does not have of a "
                f"layer of the net ({error}); leave hessian_eigenvalue and "
                "hessian_trace out of measures"
            ) from error

    def _parts(self) -> Iterator[Tensor]:
        """Yield what each batch adds to the mean loss."""
        for inputs, y in self._batches:
            yield self.criterion(self._logits(inputs), y).sum() / self.n_targets

    def _logits(self, inputs: Any) -> Tensor:
        if isinstance(inputs, Mapping):
            return self.module(**inputs)
        return self.module(inputs)

    @contextmanager
    def _differentiating(self) -> Iterator[None]:
        """Have torch use such routines only as can be derived twice."""
        with ExitStack() as stack:
            stack.enter_context(torch.enable_grad())
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if self._has_recurrence:  # which cuDNN derives in training mode only
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            yield

    @torch.no_grad()
    def estimate_statistics(self) -> None:
        """Have normalizations keep the statistics of the rows at these weights."""
        layers: list[Any]
        layers = [m for m in self.module.modules() if _keeps_statistics(m)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean over batches
            layer.train()
        for inputs, _ in self._batches:
            self._logits(inputs)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def running_statistics(module: nn.Module) -> dict[str, Tensor]:
    """Return the means and variances that normalizations of a module keep, by name."""
    return {
        f"{prefix}{'.' if prefix else ''}{name}": getattr(layer, name)
        for prefix, layer in module.named_modules()
        if _keeps_statistics(layer)
        for name in ("running_mean", "running_var")
    }


def _keeps_statistics(layer: nn.Module) -> Any:
    return isinstance(layer, _NormBase) and layer.running_mean is not None


class _Bag(nn.EmbeddingBag):
    """A sum or mean of embeddings that can be derived twice."""

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        if input.ndim == 2:
            n_bags, size = input.shape
            lengths = torch.full((n_bags,), size, device=input.device)
        else:
            assert offsets is not None
            ends = offsets[1:]
            if not self.include_last_offset:
                ends = torch.cat([ends, ends.new_tensor([len(input)])])
            lengths = ends - offsets[: len(ends)]
        bags = torch.arange(len(lengths), device=input.device)
        bags = bags.repeat_interleave(lengths)
        flat = input.reshape(-1)
        rows = F.embedding(flat, self.weight)
        if per_sample_weights is not None:
            rows = rows * per_sample_weights.reshape(-1, 1)
        counted = torch.ones_like(flat, dtype=rows.dtype)
        if self.padding_idx is not None:
            counted = (flat != self.padding_idx).to(rows.dtype)
            rows = rows * counted[:, None]
        sums = rows.new_zeros(len(lengths), rows.shape[1]).index_add(0, bags, rows)
        if self.mode == "sum":
            return sums
        counts = counted.new_zeros(len(lengths)).index_add(0, bags, counted)
        return sums / counts.clamp(min=1)[:, None]


def _differentiable(module: nn.Module) -> nn.Module:
    """Make gradients dense, and put layers that can be derived twice in; in place."""
    if isinstance(module, SparseLinear):
        return module.to_linear()
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        module.sparse = False
    if type(module) is nn.EmbeddingBag and module.mode != "max":
        module.__class__ = _Bag
    for name, child in list(module.named_children()):
        made = _differentiable(child)
        if made is not child:
            setattr(module, name, made)
    return module
