"""Where a net computes, and the random numbers it draws there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

__all__ = [
    "OwnRandomness",
    "at_most_threads",
    "in_bfloat16",
    "resolve_device",
    "seeded",
]


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn the parameter `device` into a device of this machine.

    Parameters
    ----------
    device : str or torch.device
        "auto" takes a CUDA device when there is one; else a name such as "cpu",
        "cuda" or "cuda:1".

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    ValueError
        If `device` is no name of a device, or this machine does not have it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device must be 'auto' or the name of a torch device, such as 'cpu' or "
            f"'cuda:0'; got {device!r}"
        ) from error
    if resolved.type == "cuda":
        n_devices = torch.cuda.device_count()
        if (resolved.index or 0) >= n_devices:
            raise ValueError(
                f"device={device!r} was asked for, but torch sees {n_devices} CUDA "
                "devices here; use device='auto' to take one only where there is one"
            )
    return resolved


@lru_cache
def in_bfloat16(precision: str, device: str) -> bool:
    """Tell whether to compute in bfloat16; asked for each batch, so remembered."""
    if precision == "auto":
        cuda = torch.device(device).type == "cuda"
        return cuda and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators, and put them back as they were afterwards.

    Parameters
    ----------
    seed : int
        The seed.
    device : torch.device
        The device in use, whose generator is seeded beside the host's.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


class OwnRandomness:
    """Random numbers that go on where they were, whoever draws between.

    A context manager, within which torch's generators are in the state kept here. They
    stay there afterwards: put them back by `seeded` or `torch.random.fork_rng`.

    Parameters
    ----------
    device : torch.device
        The device in use. The state that its generator and the host's have now is the
        first.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._keep()

    def _keep(self) -> None:
        self._host = torch.get_rng_state()
        if self._cuda is not None:
            self._device = torch.cuda.get_rng_state(self._cuda)

    def __enter__(self) -> None:
        torch.set_rng_state(self._host)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._device, self._cuda)

    def __exit__(self, *exception: object) -> None:
        self._keep()


@contextmanager
def at_most_threads(n_threads: int | None) -> Iterator[None]:
    """Let torch use fewer threads on the CPU for a while.

    Small operations gain nothing from threads, and lose much where other processes
    have work for the same cores: all threads then wait for the last one.

    Parameters
    ----------
    n_threads : int or None
        Most threads; None leaves torch's setting.
    """
    before = torch.get_num_threads()
    if n_threads is None or n_threads >= before:
        yield
        return
    torch.set_num_threads(max(n_threads, 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
