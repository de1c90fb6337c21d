"""Checkpoint: a fit that was ended goes on where it was."""

from __future__ import annotations

import os
import pickle
import tempfile
import warnings
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback, PrintLog

from sklearn_memgen._warnings import user_stacklevel
from sklearn_memgen.training.batches import ResidentDataset
from sklearn_memgen.training.fit_key import fit_key
from sklearn_memgen.training.progress import ProgressBar
from sklearn_memgen.training.snapshot import (
    leave_unpicklable_out,
    restore_snapshot,
    take_snapshot,
)

__all__ = ["Checkpoint"]


class Checkpoint(Callback):
    """Write the state of training to a folder, and go on from there bit for bit.

    A callback for any estimator that trains a net. After an epoch it writes a file. A
    fit that is called again with the same data and parameters goes on after the last
    epoch that was written, and ends as if it had never been interrupted: by Ctrl-C, an
    error, or the end of the process. A fit that was finished is done at once.

    Parameters
    ----------
    folder : str or Path
        Where the files go; made if it is missing. One folder serves any number of fits:
        the nets of a probe or a lottery, the folds of a cross-validation, and several
        processes at once.
    every_n_epochs : int, default=1
        Epochs from one file to the next, which takes its place. The last epoch is
        written in any case.

    Attributes
    ----------
    path_ : Path
        The file of the last fit.
    n_resumed_ : int
        How many epochs of the last fit were there already; 0 if it started anew.

    Warns
    -----
    UserWarning
        If a file cannot be read, or not be written: the fit starts anew, or goes on
        without it. If an attribute of another callback cannot be pickled: a fit that
        goes on has it as it is when training begins.

    Warnings
    --------
    The files are pickles, and loading a pickle can run any code. Name only folders that
    nobody can write to whom you do not trust.

    Notes
    -----
    *What is the same fit* is told by a hash, the name of the file. It is of all data,
    targets and weights of rows, of the initial weights and the state of the optimizers,
    of the state of torch's generators, and of all parameters of the net, of its modules
    and of the other callbacks. If any of that changes, as it does in each fit without a
    fixed `random_state`, the fit starts anew, and its file is another one. Changes of
    code are not seen: name another folder when you change a module or a callback. Files
    of fits that are of no use any more are yours to delete.

    *What is kept:* parameters and buffers of module and criterion, what the optimizers
    know, the running average of the weights, the history, the state of torch's
    generators (but not of NumPy's), and the attributes of the other callbacks, such as
    `Trace` and early stopping with its best weights. Left out are parameters,
    attributes whose names begin with an underscore, and those that the class names in
    an attribute `made_anew`, since `on_train_begin` makes them anew. If a callback has
    a method ``on_resume(net)``, it is called when its attributes are back.

    *When:* behind all callbacks, at the end of an epoch. The epoch in which early
    stopping, or another callback, ends training is not written; it is made once more
    when the fit is called again, and ends it again. Each call of `partial_fit`, and
    each fit with ``warm_start=True``, is a fit of its own, with a file of its own.

    A net with a checkpoint is never stacked with others in a `Population`.

    *Size and time.* A net of 22.6 million parameters, as MiniLM has, takes 271 MB with
    AdamW: its weights and two moments. On a machine of two cores it took 1.1 to 1.7 s
    to write after an epoch, 0.3 s to read, and 0.3 s to compute the hash, once a fit. A
    running average of the weights and the best weights of early stopping take 90 MB
    each. A file is written beside the old one, which it then replaces, so that there is
    always one that is whole.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.training import Checkpoint
    >>> X, y = load_iris(return_X_y=True)
    >>> with TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(folder)
    ...     model = NetClassifier(
    ...         nn.Linear(4, 3), max_epochs=5, callbacks=[checkpoint], random_state=0
    ...     )
    ...     for _ in range(2):
    ...         n_resumed = model.fit(X, y).net_.callbacks_[1][1].n_resumed_
    ...         print(n_resumed, "of", len(model.history_), "epochs were there")
    0 of 5 epochs were there
    5 of 5 epochs were there
    """

    path_: Path
    n_resumed_: int
    # Of this training: the key of the fit, the epochs of fits before, and what cannot
    # be pickled, by callback and name.
    key_: str
    n_before_: int
    left_out_: list[tuple[str, str]]

    def __init__(self, folder: str | os.PathLike, *, every_n_epochs: int = 1) -> None:
        self.folder = folder
        self.every_n_epochs = every_n_epochs

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Check parameters.

        Raises
        ------
        TypeError
            If the net is not a `ResidentNet` trained on a `ResidentDataset`.
        ValueError
            If `every_n_epochs` is no positive number, or there are two checkpoints.
        """
        every = self.every_n_epochs
        if not isinstance(every, Integral) or every < 1:
            raise ValueError(
                f"every_n_epochs must be a number of epochs, 1 at least; got {every!r}"
            )
        if not isinstance(X, ResidentDataset):
            raise TypeError(
                "Checkpoint follows nets that are trained on a ResidentDataset, as "
                f"NetClassifier trains them; got {type(X).__name__}"
            )
        if sum(isinstance(c, Checkpoint) for _, c in net.callbacks_) > 1:
            raise ValueError("callbacks has more than one Checkpoint")

    def resume(self, net: Any, training: Any, validation: Any) -> int:
        """Go on from the file of a fit, if there is one; called by the net.

        Parameters
        ----------
        net : ResidentNet
            The net, about to make its first epoch.
        training, validation : ResidentDataset or None
            The data.

        Returns
        -------
        n_epochs : int
            How many epochs the file has; 0 if there is none that can be read.
        """
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.n_before_ = len(net.history)
        self.key_ = fit_key(net, training, validation, _others(net))
        self.path_ = folder / f"{self.key_}.pt"
        self.n_resumed_ = 0
        self.left_out_ = []
        snapshot = self._read()
        if snapshot is not None:
            try:
                restore_snapshot(net, snapshot, _others(net))
            except Exception as error:
                error.add_note(f"while going on from the checkpoint {self.path_}")
                raise
            self.n_resumed_ = len(net.history) - self.n_before_
            for _, callback in net.callbacks_:
                if isinstance(callback, ProgressBar):
                    callback.skip_to(self.n_resumed_)
        return self.n_resumed_

    def write(self, net: Any) -> None:
        """Write a file, if it is time; called by the net after an epoch.

        Parameters
        ----------
        net : ResidentNet
            The net.
        """
        n_done = len(net.history) - self.n_before_
        if n_done % self.every_n_epochs and n_done < net._n_epochs:
            return
        snapshot = take_snapshot(net, _others(net)) | {"key": self.key_}
        for name, attribute in self.left_out_:
            snapshot["callbacks"][name].pop(attribute, None)
        try:
            self._save(snapshot)
        except (pickle.PicklingError, TypeError, AttributeError):
            self._leave_out(snapshot)
            self._save(snapshot)
        except (OSError, RuntimeError) as error:
            self._warn(f"cannot be written ({error}); training goes on without it")

    def _leave_out(self, snapshot: dict[str, Any]) -> None:
        """Leave out of this file, and of later ones, what cannot be pickled."""
        for name, attribute in leave_unpicklable_out(snapshot):
            self.left_out_.append((name, attribute))
            self._warn(
                f"has no {attribute!r} of the callback {name!r}, which cannot be "
                "pickled; a fit that goes on has it as it is when training begins"
            )

    def _read(self) -> dict[str, Any] | None:
        """Return what is in the file."""
        if not self.path_.exists():
            return None
        try:
            snapshot = torch.load(self.path_, weights_only=False)
            if snapshot["key"] != self.key_:
                raise ValueError("it is that of another fit")
        except Exception as error:  # whatever a broken pickle raises
            reason = f"{type(error).__name__}: {error}"
            self._warn(f"cannot be read ({reason}); the fit starts anew")
            return None
        return snapshot

    def _save(self, snapshot: dict[str, Any]) -> None:
        """Write a file, and put it in the place of the old one when it is whole."""
        handle, path = tempfile.mkstemp(dir=self.path_.parent, suffix=".tmp")
        try:
            with open(handle, "wb") as file:
                torch.save(snapshot, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(path, self.path_)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise

    def _warn(self, what: str) -> None:
        warnings.warn(
            f"the checkpoint {self.path_} {what}",
            UserWarning,
            stacklevel=user_stacklevel(),
        )


def _others(net: Any) -> list[tuple[str, Any]]:
    """Return the callbacks of a net that do more than show and write."""
    idle = Checkpoint, ProgressBar, PrintLog
    return [(name, c) for name, c in net.callbacks_ if not isinstance(c, idle)]
