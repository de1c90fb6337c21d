"""How a net moves from one device to another, and into a pickle."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["MovesDevices"]


class MovesDevices:
    """The part of `ResidentNet` that moves."""

    module_: Any
    criterion_: Any
    device: Any
    initialized_: bool
    _optimizers: Any

    def to(self, device: torch.device | str) -> Self:
        """Move the net and the state of its optimizers to a device, in place."""
        self.module_.to(device)
        self.criterion_.to(device)
        for name in self._optimizers:
            optimizer = getattr(self, f"{name}_")
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    state = optimizer.state[parameter]
                    for key, value in state.items():
                        # Step counters are scalars; only fused optimizers want them
                        # beside the parameters.
                        follows = isinstance(value, Tensor) and (
                            value.ndim > 0 or group.get("fused")
                        )
                        if follows:
                            state[key] = value.to(device)
        self.device = str(device)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return a state that any machine can load: everything on the CPU."""
        device = self.device
        if not self.initialized_ or torch.device(device).type == "cpu":
            return super().__getstate__()  # type: ignore[return-value]
        try:
            return self.to("cpu").__getstate__()
        finally:
            self.to(device)
