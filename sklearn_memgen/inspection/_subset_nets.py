"""Many nets on random subsets of the rows, and what they make of all rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from sklearn_memgen._inputs import hold_out
from sklearn_memgen._table_nets import encode_all, labels_of, row_classes
from sklearn_memgen.inspection._subject import Subject
from sklearn_memgen.inspection._subsets import draw_subsets
from sklearn_memgen.training import (
    Member,
    ResidentDataset,
    ResidentNet,
    probabilities,
    resolve_device,
)

__all__ = ["SubsetNets"]

#: Nets that are trained together, and then forgotten but for what they predict.
_BLOCK = {"cpu": 32, "cuda": 256}


class SubsetNets:
    """Nets that learn random subsets of a table.

    Parameters
    ----------
    subject : Subject
        The classifier and the rows.
    n_models : int
        Nets.
    subset : float
        Share of the rows that each learns.
    encode : {"auto", "once", "each"}
        See `memorization_scores`.
    as_probability : bool
        Whether the outcome of a net is the probability of the given label, or whether
        it is right.

    Attributes
    ----------
    included : ndarray of shape (n_models, n_labels), bool
        Which labels each net learned.
    """

    def __init__(
        self,
        subject: Subject,
        n_models: int,
        subset: float,
        *,
        encode: str,
        as_probability: bool,
    ) -> None:
        self.subject = subject
        self.as_probability = as_probability
        self.encodes_each = encode == "each" or (
            encode == "auto" and getattr(subject.encoder, "n_statistics_", 0) > 0
        )
        self.classes = row_classes(subject.training)
        self._check_size(subset)
        self.subsets = draw_subsets(self.classes, n_models, subset, subject.rng)
        # All subsets are of one size.
        self.holds_out = subject.examples.take(
            np.flatnonzero(self.subsets[0])
        ).holds_out(subject.estimator.early_stopping)
        self.included = np.zeros((n_models, len(subject.codes)), dtype=bool)

    def _check_size(self, subset: float) -> None:
        n_rows = len(self.classes)
        if not 2 <= round(subset * n_rows) < n_rows:
            raise ValueError(
                f"subset={subset} of {n_rows} rows leaves {round(subset * n_rows)} to "
                "learn; there must be 2 at least, and others to leave out"
            )
        sizes = np.bincount(self.classes, minlength=self.subject.n_classes)
        if (single := sizes == 1).any():
            warnings.warn(
                f"classes {self.subject.classes[single].tolist()!r} have one row each: "
                "no net that is without it knows the class",
                UserWarning,
                stacklevel=4,
            )

    def run(
        self, advance: Callable[[int], object]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Train all nets, and return what they make of all rows and of those to test.

        Parameters
        ----------
        advance : callable
            Told, now and then, how many nets were trained since.

        Returns
        -------
        predictions : ndarray of shape (n_models, n_labels), int32
            Class indices for the rows of the table.
        outcomes : ndarray of shape (n_models, n_labels), float32
            Whether these are right, or the probability of the given labels.
        test_outcomes : ndarray of shape (n_models, n_test_labels), float32, or None
            The same of the rows to test, if there are any.
        """
        subject, n_models = self.subject, len(self.subsets)
        device = resolve_device(subject.estimator.device)
        data = subject.training.to(device)
        test = None if subject.test is None else subject.test.to(device)
        outcomes = np.empty(self.included.shape, dtype=np.float32)
        predictions = np.empty(self.included.shape, dtype=np.int32)
        test_outcomes = None
        if test is not None:
            test_outcomes = np.empty((n_models, len(test.targets)), dtype=np.float32)
        # Nets with tables of their own have nothing in common that could be stacked.
        size = 1 if self.encodes_each else _BLOCK[device.type]
        for start in range(0, n_models, size):
            block = range(start, min(start + size, n_models))
            if self.encodes_each:
                members, data, test = self._own_table(start)
            else:
                members = [self._member(k) for k in block]
            for k, trained in zip(block, subject.train(members), strict=True):
                assert trained.net is not None
                predictions[k], outcomes[k] = self._outcome(trained.net, data)
                if test is not None and test_outcomes is not None:
                    _, test_outcomes[k] = self._outcome(trained.net, test)
            advance(len(block))
        return predictions, outcomes, test_outcomes

    def _learned(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that a net learns, and those of its subset that stop it."""
        subject = self.subject
        rows, stopping = np.flatnonzero(self.subsets[k]), np.arange(0)
        if self.holds_out:
            fraction = subject.estimator.validation_fraction
            kept, others = hold_out(self.classes[rows], fraction, subject.rng)
            rows, stopping = rows[kept], rows[others]
        self.included[k, labels_of(subject.training, rows)] = True
        return rows, stopping

    def _member(self, k: int) -> Member:
        """Return a net that learns its subset of the one table."""
        rows, stopping = self._learned(k)
        stop_by = None
        if len(stopping):
            stop_by = self.subject.training.select(torch.from_numpy(stopping))
        return self.subject.member(rows=rows, stop_by=stop_by)

    def _own_table(
        self, k: int
    ) -> tuple[list[Member], ResidentDataset, ResidentDataset | None]:
        """Return a net whose encoder knows its subset only, and tables to test on."""
        subject = self.subject
        rows, stopping = self._learned(k)
        examples = subject.examples
        encoded = encode_all(subject.estimator, examples.take(rows))
        own = replace(subject, encoder=encoded.encoder, training=encoded.training)
        stop_by = None
        if len(stopping):
            stop_by = examples.take(stopping).encode(encoded.encoder)
        test = subject.test_examples
        return (
            [own.member(stop_by=stop_by)],
            examples.encode(encoded.encoder),
            None if test is None else test.encode(encoded.encoder),
        )

    def _outcome(
        self, net: ResidentNet, data: ResidentDataset
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what a net predicts for each label, and how that turned out."""
        expected = probabilities(net.logits(data.X))
        predicted, targets = expected.argmax(dim=1), data.targets.cpu()
        if self.as_probability:
            outcome = expected.gather(1, targets[:, None])[:, 0]
        else:
            outcome = predicted == targets
        return predicted.numpy(), outcome.numpy()
