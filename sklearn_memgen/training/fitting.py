"""Training a net to the end, with early stopping and progress."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split

from sklearn_memgen.training.anchor import AnchorCallback
from sklearn_memgen.training.batches import Pass, ResidentDataset
from sklearn_memgen.training.guide_callback import GuideCallback
from sklearn_memgen.training.net import ResidentNet
from sklearn_memgen.training.progress import ProgressBar

__all__ = ["auto_batch_size", "auto_max_epochs", "train", "train_in_passes"]

#: What "auto" aims at: steps a pass and steps in all, within these bounds.
_STEPS_A_PASS, _BATCH_SIZES = 64, (32, 512)
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 3000, 20, 120


def auto_batch_size(batch_size: int | str, n_rows: int) -> int:
    """Return `batch_size`, or for "auto" the power of two next to a 64th of the rows.

    It lies between 32 and 512.
    """
    if not isinstance(batch_size, str):
        return batch_size
    wanted = max(n_rows / _STEPS_A_PASS, 1)
    return int(np.clip(2 ** np.rint(np.log2(wanted)), *_BATCH_SIZES))


def auto_max_epochs(
    max_epochs: int | str, n_rows: int, batch_size: int, *, most: int | None = None
) -> int:
    """Return `max_epochs`, or for "auto" as many as give 3,000 steps.

    They lie between 20 and `most`, by default 120.
    """
    if not isinstance(max_epochs, str):
        return max_epochs
    steps_an_epoch = -(-n_rows // batch_size)
    return int(
        np.clip(-(-_STEPS // steps_an_epoch), _FEWEST_EPOCHS, most or _MOST_EPOCHS)
    )


def train(
    net: ResidentNet,
    training: ResidentDataset,
    validation: ResidentDataset | None,
    *,
    callbacks: Iterable[Any] = (),
    n_iter_no_change: int = 5,
    tol: float = 0.0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Train an initialized net for its `max_epochs`.

    Parameters
    ----------
    net : ResidentNet
        The net; trained in place.
    training, validation : ResidentDataset
        The data. With validation data training stops when their loss no longer falls,
        and the net goes back to its best epoch.
    callbacks : iterable of skorch callbacks
        Further callbacks.
    n_iter_no_change : int, default=5
        Epochs without improvement after which training stops.
    tol : float, default=0.0
        Improvement, in nats, that counts.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    history : DataFrame of shape (n_epochs, n_columns)
        What was recorded in each epoch since the net was made.
    """
    settings = (callbacks, n_iter_no_change, tol, verbose)
    with _prepared(net, validation, *settings):
        net.partial_fit(training)
    return history_frame(net.history)


def train_in_passes(
    net: ResidentNet,
    training: ResidentDataset,
    validation: ResidentDataset | None,
    *,
    callbacks: Iterable[Any] = (),
    n_iter_no_change: int = 5,
    tol: float = 0.0,
) -> Generator[Pass, float, None]:
    """Do what `train` does, but let the caller compute the passes.

    Parameters
    ----------
    net, training, validation, callbacks, n_iter_no_change, tol
        See `train`.

    Yields
    ------
    wanted : Pass
        See `ResidentNet.passes`.
    """
    with _prepared(net, validation, callbacks, n_iter_no_change, tol, 0):
        net.notify("on_train_begin", X=training, y=None)
        yield from net.passes(training)
        net.notify("on_train_end", X=training, y=None)


@contextmanager
def _prepared(
    net: ResidentNet,
    validation: ResidentDataset | None,
    callbacks: Iterable[Any],
    n_iter_no_change: int,
    tol: float,
    verbose: int,
) -> Iterator[None]:
    """Give a net its callbacks, and rows to validate with for a while."""
    callbacks = list(callbacks)
    if validation is not None and net.max_epochs:  # of no epoch none is the best
        stopping = EarlyStopping(
            patience=n_iter_no_change,
            threshold=tol,
            threshold_mode="abs",
            load_best=True,
            sink=_say_nothing,
        )
        callbacks.append(("early_stopping", stopping))
    if verbose:
        callbacks.append(("progress_bar", ProgressBar()))
    net.callbacks = callbacks
    net.initialize_callbacks()
    net.train_split = None if validation is None else predefined_split(validation)
    try:
        yield
    finally:
        # The net keeps no data, neither in memory nor when it is pickled.
        net.train_split = None
        for _, callback in net.callbacks_:
            if isinstance(callback, GuideCallback | AnchorCallback | ProgressBar):
                callback.on_train_end(net)  # which skorch leaves out after an error


def _say_nothing(text: str) -> None:
    """Take skorch's messages; the history has what they say."""


def history_frame(history: Any) -> pd.DataFrame:
    """Make skorch's history a frame of one row an epoch."""
    kept = [
        {
            name: value
            for name, value in epoch.items()
            if name != "batches" and not name.endswith("_batch_count")
        }
        for epoch in history
    ]
    return pd.DataFrame(kept).rename(columns={"dur": "duration"})
