"""Whether there is a line between two nets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from sklearn_memgen.inspection._fitted_subject import FittedSubject
from sklearn_memgen.inspection._loss_surface import running_statistics
from sklearn_memgen.training import Rows

__all__ = ["check_alike"]


def check_alike(one: FittedSubject, other: FittedSubject, rows: np.ndarray) -> None:
    """Raise a ValueError unless there is a line between two classifiers."""
    classes = [subject.estimator.classes_.tolist() for subject in (one, other)]
    if classes[0] != classes[1]:
        raise ValueError(
            f"other has the classes {classes[1]}, estimator has {classes[0]}"
        )
    modules = [subject.net.module_ for subject in (one, other)]
    _check_tensors(
        "parameter", *(dict(m.named_parameters()) for m in modules), equal=False
    )
    kept = [running_statistics(m) for m in modules]
    buffers = [
        {
            name: buffer
            for name, buffer in module.named_buffers()
            if name not in known and not name.endswith("num_batches_tracked")
        }
        for module, known in zip(modules, kept, strict=True)
    ]
    _check_tensors("buffer", *buffers, equal=True)
    some = torch.from_numpy(rows)
    inputs = [_named_inputs(subject.data.X[some]) for subject in (one, other)]
    _check_tensors("encoded input", *inputs, equal=True)


def _named_inputs(X: Rows) -> dict[str, Tensor]:
    inputs = X.inputs()
    return dict(inputs) if isinstance(inputs, Mapping) else {"X": inputs}


def _check_tensors(
    what: str, mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, equal: bool
) -> None:
    """Raise a ValueError if names, shapes or, if they must be equal, values differ."""
    for differs, how in _differences(mine, theirs, equal):
        raise ValueError(
            f"other must have the net of estimator, and encode rows as it does; the "
            f"{what} {differs!r} {how}"
        )


def _differences(
    mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], equal: bool
) -> Iterator[tuple[str, str]]:
    for name in sorted(mine.keys() ^ theirs.keys()):
        yield name, "is there in one of them only"
    for name in mine:
        shapes = tuple(mine[name].shape), tuple(theirs[name].shape)
        if shapes[0] != shapes[1]:
            yield name, f"has the shape {shapes[1]} there, {shapes[0]} here"
        elif equal and not _same(mine[name], theirs[name]):
            yield name, "has other values there"


def _same(one: Tensor, other: Tensor) -> bool:
    other = other.to(one)
    if one.is_floating_point():
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    return torch.equal(one, other)
