"""A linear layer of many zeros, multiplied by whichever kernel is fastest here."""

from __future__ import annotations

import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BATCH_SIZES", "SparseLinear", "choose_kernel", "store_sparsely"]

#: Batches that kernels are timed on. One of another size takes what was best for the
#: next smaller one.
BATCH_SIZES = (1, 16, 512)
#: Rows that the CSR kernel multiplies at once: as many as a compacted net predicts at
#: once, whose parts need not be put together then.
_CSR_ROWS = 1024
#: Up to so many rows are not worth being transposed before.
_FEW_ROWS = 64
#: If less than this share of the inputs has weights, only these are transposed.
_SELECT_BELOW = 0.8
#: Another kernel than the dense one must take at most this share of its time.
_WORTHWHILE = 0.9
#: How often kernels take turns, and the share of entries from which on only the dense
#: kernel is considered.
_N_ROUNDS, _DENSE_FROM = 9, 0.5

#: What was found in this process.
_CHOSEN: dict[tuple[Any, ...], tuple[str, ...]] = {}

Kernel = Callable[[Tensor], Tensor]


def choose_kernel(
    weight: Tensor,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    *,
    transposed: bool = False,
) -> tuple[str, ...]:
    """Find out by timing how a matrix is best multiplied on this machine.

    Parameters
    ----------
    weight : Tensor of shape (n_outputs, n_inputs)
        The matrix, on the CPU.
    batch_sizes : sequence of int, default=(1, 16, 512)
        Numbers of rows, ascending.
    transposed : bool, default=False
        Whether the inputs lie column after column in memory, as behind a layer that was
        multiplied in CSR form.

    Returns
    -------
    kernels : tuple of {"dense", "gather", "csr"}
        The best for each batch size: the matrix as it is, only the columns that are not
        zero, or only the entries that are not zero. "dense", unless another takes at
        most 90 % of its time; the least of 9 rounds counts, in which all take turns.

    Notes
    -----
    Timed once a process for each shape, number of entries that are not zero, number of
    columns that are not, and number of threads. For a layer of 784 inputs and 300
    outputs that takes about a tenth of a second.
    """
    n_columns = int(weight.ne(0).any(0).sum())
    n_entries = int(weight.count_nonzero())
    sizes = tuple(batch_sizes)
    threads = torch.get_num_threads()
    shape = tuple(weight.shape)
    key = (shape, weight.dtype, n_columns, n_entries, threads, sizes, transposed)
    if key not in _CHOSEN:
        if n_entries > _DENSE_FROM * weight.numel():
            _CHOSEN[key] = ("dense",) * len(sizes)
        else:
            kernels = {name: _MAKERS[name](weight, None) for name in _MAKERS}
            if n_columns == weight.shape[1]:
                del kernels["gather"]
            _CHOSEN[key] = tuple(
                _fastest(kernels, _make_rows(weight, n, transposed)) for n in sizes
            )
    return _CHOSEN[key]


def _make_rows(weight: Tensor, n_rows: int, transposed: bool) -> Tensor:
    """Return inputs for a matrix, (n_rows, n_inputs)."""
    n_inputs = weight.shape[1]
    if transposed:
        return weight.new_ones(n_inputs, n_rows).T
    return weight.new_ones(n_rows, n_inputs)


def _fastest(kernels: dict[str, Kernel], rows: Tensor) -> str:
    """Return the kernel that takes the least time."""
    calls = 1 + 256 // len(
        rows
    )  # so that what is timed is longer than the clock's tick
    seconds: dict[str, list[float]] = {name: [] for name in kernels}
    with torch.no_grad():
        for _ in range(_N_ROUNDS + 1):
            for name in list(seconds):
                started = time.perf_counter()
                try:
                    for _ in range(calls):
                        kernels[name](rows)
                except RuntimeError:  # this build of torch does not have it
                    del seconds[name]
                    continue
                seconds[name].append(time.perf_counter() - started)
    # The least of each, since a busy machine only ever adds to it.
    least = {name: min(times[1:]) for name, times in seconds.items()}
    best = min(least, key=least.__getitem__)
    return best if least[best] <= _WORTHWHILE * least["dense"] else "dense"


def _dense_kernel(weight: Tensor, bias: Tensor | None) -> Kernel:
    return lambda rows: F.linear(rows, weight, bias)


def _gather_kernel(weight: Tensor, bias: Tensor | None) -> Kernel:
    columns = weight.ne(0).any(0).nonzero().flatten()
    part = weight[:, columns].contiguous()
    return lambda rows: F.linear(rows.index_select(1, columns), part, bias)


def _to_csr(weight: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # "Sparse CSR tensor support is in beta state": once a process.
        warnings.simplefilter("ignore", UserWarning)
        csr = weight.to_sparse_csr()
        # Half as many bytes of indices as there are by default.
        return torch.sparse_csr_tensor(
            csr.crow_indices().int(), csr.col_indices().int(), csr.values(), csr.shape
        )


def _csr_kernel(weight: Tensor, bias: Tensor | None) -> Kernel:
    columns = weight.ne(0).any(0).nonzero().flatten()
    selects = len(columns) < _SELECT_BELOW * weight.shape[1]
    whole = _to_csr(weight)
    csr = _to_csr(weight[:, columns]) if selects else whole
    zeros = weight.new_zeros(len(weight))
    column = (zeros if bias is None else bias)[:, None]

    def transpose(rows: Tensor) -> Tensor:
        if selects:
            return rows.T.index_select(0, columns)
        # With an axis more than a matrix has torch transposes twice as fast.
        return rows.T[None].contiguous()[0]

    def multiply(rows: Tensor) -> Tensor:
        if len(rows) <= _FEW_ROWS:
            return torch.addmm(column, whole, rows.T).T
        parts = [
            torch.addmm(column, csr, transpose(part)) for part in rows.split(_CSR_ROWS)
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).T

    return multiply


_MAKERS: dict[str, Callable[[Tensor, Tensor | None], Kernel]] = {
    "dense": _dense_kernel,
    "gather": _gather_kernel,
    "csr": _csr_kernel,
}


def _make_kernels(
    weight: Tensor, bias: Tensor | None, transposed: bool
) -> list[Kernel]:
    """Return the best kernel of each of `BATCH_SIZES`."""
    # Outside of inference mode, whose tensors nothing else may use.
    with torch.inference_mode(False), torch.no_grad():
        weight, bias = weight.detach(), None if bias is None else bias.detach()
        names = choose_kernel(weight, transposed=transposed)
        made = {name: _MAKERS[name](weight, bias) for name in set(names)}
    return [made[name] for name in names]


class SparseLinear(nn.Linear):
    """A linear layer that is pickled without its zeros.

    In memory the weights are an ordinary dense parameter, and in training, or on
    another device than the CPU, the layer is an ordinary `torch.nn.Linear`. In
    evaluation mode on the CPU it multiplies by the kernel that `choose_kernel` has
    found for the number of rows.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype
        See `torch.nn.Linear`.

    Notes
    -----
    The pickle holds for each weight that is not zero its value, and its column in the
    smallest of 1, 2 or 4 bytes; and the number of them in each row.

    Examples
    --------
    >>> import pickle
    >>> import torch
    >>> from sklearn_memgen.nets import SparseLinear
    >>> layer = torch.nn.Linear(200, 100)
    >>> with torch.no_grad():
    ...     _ = layer.weight[:, 4:].zero_()
    >>> sparse = SparseLinear.from_linear(layer)
    >>> len(pickle.dumps(sparse)) < len(pickle.dumps(layer)) / 10
    True
    >>> loaded = pickle.loads(pickle.dumps(sparse))
    >>> bool((loaded.weight == layer.weight).all())
    True
    """

    #: What kernels were made of; those of each batch size, by `transposed`.
    _kernels: tuple[tuple[Any, ...], dict[bool, list[Kernel]]] | None = None

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> SparseLinear:
        """Make one of the parameters of a linear layer, which they share."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.in_features, made.out_features = linear.in_features, linear.out_features
        made.weight, made.bias = linear.weight, linear.bias
        return made.train(linear.training)

    def to_linear(self) -> nn.Linear:
        """Return an ordinary linear layer of the same parameters."""
        made = nn.Linear.__new__(nn.Linear)
        nn.Module.__init__(made)
        made.in_features, made.out_features = self.in_features, self.out_features
        made.weight, made.bias = self.weight, self.bias
        return made.train(self.training)

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        weight, bias = self.weight, self.bias
        if (
            self.training
            or torch.is_grad_enabled()
            or input.ndim != 2
            or input.device.type != "cpu"
            or input.dtype != weight.dtype
            or not (input.numel() and weight.numel())
        ):
            return F.linear(input, weight, bias)
        made_of = (
            weight,
            weight._version,
            bias,
            None if bias is None else bias._version,
        )
        if self._kernels is None or not _are_same(self._kernels[0], made_of):
            self._kernels = made_of, {}
        kernels = self._kernels[1]
        transposed = input.stride(0) < input.stride(1)
        if transposed not in kernels:
            kernels[transposed] = _make_kernels(weight, bias, transposed)
        return kernels[transposed][bisect_right(BATCH_SIZES, len(input)) - 1](input)

    def train(self, mode: bool = True) -> SparseLinear:
        """Set the mode; training changes the weights, so that kernels are forgotten."""
        if mode:
            self._kernels = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the zeros out, and what can be made again."""
        state = {k: v for k, v in self.__dict__.items() if k != "_kernels"}
        state["_parameters"] = {"bias": self.bias}
        state["packed_weight"] = _pack(self.weight.detach().cpu())
        state["learns"] = self.weight.requires_grad
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put the zeros in again; the device is that of the bias, if there is one."""
        state = state.copy()
        weight = _unpack(*state.pop("packed_weight"))
        bias = state["_parameters"]["bias"]
        if bias is not None:
            weight = weight.to(bias.device)
        weight = nn.Parameter(weight, requires_grad=state.pop("learns"))
        super().__setstate__({**state, "_parameters": {"weight": weight, "bias": bias}})


def _are_same(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
    """Whether parameters and their versions are the same as before."""
    weight, weight_version, bias, bias_version = new
    same = old[0] is weight and old[2] is bias
    return same and old[1] == weight_version and old[3] == bias_version


def store_sparsely(module: nn.Module) -> nn.Module:
    """Put a `SparseLinear` in the place of each linear layer that is half zeros.

    Parameters
    ----------
    module : Module
        Changed in place.

    Returns
    -------
    module : Module
        The same, or what takes its place if it is a linear layer itself.
    """
    if type(module) is nn.Linear:
        n_entries = int(module.weight.count_nonzero())
        few = n_entries <= _DENSE_FROM * module.weight.numel()
        return SparseLinear.from_linear(module) if few else module
    for name, child in list(module.named_children()):
        setattr(module, name, store_sparsely(child))
    return module


def _pack(weight: Tensor) -> tuple[Any, ...]:
    """Return shape, types and bytes of counts, columns and values of a matrix."""
    rows, columns = weight.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(weight))
    parts = [_smallest(counts), _smallest(columns), weight[rows, columns]]
    types = tuple(part.dtype for part in parts)
    # Bytes, since each tensor by itself adds more than a thousand of them to a pickle.
    return tuple(weight.shape), types, tuple(map(_to_bytes, parts))


def _unpack(
    shape: tuple[int, int], types: tuple[torch.dtype, ...], parts: tuple[bytes, ...]
) -> Tensor:
    counts, columns, values = map(_from_bytes, parts, types)
    rows = torch.arange(shape[0]).repeat_interleave(counts.long())
    weight = torch.zeros(shape, dtype=values.dtype)
    weight[rows, columns.long()] = values
    return weight


def _smallest(numbers: Tensor) -> Tensor:
    """Return integers from 0 on as the smallest type that holds them."""
    largest = int(numbers.max()) if len(numbers) else 0
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if largest <= torch.iinfo(dtype).max:
            return numbers.to(dtype)
    return numbers


def _to_bytes(values: Tensor) -> bytes:
    return values.contiguous().view(torch.uint8).numpy().tobytes()


def _from_bytes(data: bytes, dtype: torch.dtype) -> Tensor:
    if not data:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype)
