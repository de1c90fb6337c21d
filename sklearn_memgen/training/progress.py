"""A progress bar over epochs."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm import tqdm  # skorch's own progress bar depends on it

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """Show the epochs done and the last losses on standard error.

    Unlike skorch's own, which counts batches, it leaves the training loop alone.
    """

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(total=net.max_epochs, unit="epoch", leave=True)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Move the bar on."""
        losses = {
            name: f"{net.history[-1][name]:.4f}"
            for name in ("train_loss", "valid_loss")
            if name in net.history[-1]
        }
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()
        del self.bar_
