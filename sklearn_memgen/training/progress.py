"""A progress bar over epochs, which moves within them, too."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from torch import Tensor
from tqdm import tqdm  # skorch's own progress bar depends on it

from sklearn_memgen.training.batches import Batch

__all__ = ["ProgressBar"]

_FORMAT = (
    "{l_bar}{bar}| {n:.1f}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
)


class ProgressBar(Callback):
    """Show the epochs done, the time that remains, and the last losses.

    The bar is on standard error, and moves within an epoch by the share of its steps.
    Unlike skorch's own it is an `Observer`, so that the training loop remains quick.
    """

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self.close()  # an error may have ended the last training
        self._bar = tqdm(
            total=net.max_epochs,
            unit="epoch",
            bar_format=_FORMAT,
            miniters=0,  # look at the clock at each step, which costs little
            smoothing=0,  # passes over rows held out would shake the time that remains
        )
        self._net = net
        self._n_before = len(net.history)

    def skip_to(self, n_epochs: int) -> None:
        """Begin behind the epochs that a `Checkpoint` has."""
        self._bar.initial = self._bar.n = n_epochs
        self._bar.refresh()

    def observe(self, batch: Batch, logits: Tensor, losses: Tensor) -> None:
        """Move the bar on by a step; see `Observer`."""
        bar, share = self._bar, getattr(batch, "share", 1.0)
        bar.update(min(share / self._net._n_batches, max(bar.total - bar.n, 0)))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Show the losses, and set the bar to a whole number."""
        losses = {
            name: f"{net.history[-1][name]:.4f}"
            for name in ("train_loss", "valid_loss")
            if name in net.history[-1]
        }
        self._bar.set_postfix(losses, refresh=False)
        self._bar.update(len(net.history) - self._n_before - self._bar.n)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar, if it is open."""
        if "_bar" in self.__dict__:
            self._bar.close()
            del self._bar, self._net

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle keeps: the bar belongs to the training that goes on."""
        left = ("_bar", "_net")
        return {k: v for k, v in self.__dict__.items() if k not in left}
