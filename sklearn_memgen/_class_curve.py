"""How well a class is predicted by nets that learn few of its rows, and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_memgen._class_draws import ClassPredictions, draw_repeats
from sklearn_memgen._net_estimator import Encoded
from sklearn_memgen._table_nets import net_maker, own_callbacks, train_all
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.entities import find_entities
from sklearn_memgen.nets import PrototypeNet
from sklearn_memgen.training import (
    ClassMeans,
    ResidentNet,
    Rows,
    TrainedMember,
    resolve_device,
)

__all__ = ["ClassCurveMixin", "FittedTable"]

_HEADS = ("standard", "prototype")
#: Features between which the prototype head measures distances. With 64 in their place
#: F1 was no better on pendigits and connect_4.
_N_FEATURES = 16


@dataclass(frozen=True)
class FittedTable:
    """What a probe was fitted on, and how nets are made for it.

    Parameters
    ----------
    estimator : NetClassifier
        Says what the nets are.
    encoded : Encoded
        The table.
    seed : int
        Of all that is drawn later.
    """

    estimator: NetClassifier
    encoded: Encoded
    seed: int


class ClassCurveMixin:
    """The part of `NoisyFineTuneProbe` that learns a class from few rows and more."""

    classes_: np.ndarray
    max_epochs: int
    n_repeats: int
    validation_fraction: float
    strategy: str
    n_jobs: int | None

    _table: FittedTable

    def class_learning_curve(
        self,
        class_: Any,
        counts: ArrayLike = (5, 15, 25, 50, 100, 200, 500, 1000),
        *,
        heads: Sequence[str] = _HEADS,
    ) -> pd.DataFrame:
        """Learn a class from few rows and from more, and all other classes as they are.

        Parameters
        ----------
        class_ : label
            One of `classes_`, of two rows or more. Of a `TokenClassifier` also a type
            of entities: "PER" stands for "B-PER" and "I-PER".
        counts : array-like of int, default=(5, 15, 25, 50, 100, 200, 500, 1000)
            How many rows of the class are learned: of a `TokenClassifier` sentences in
            which it is. Counts above the rows that there are, besides those held out,
            are left out.
        heads : sequence of str, default=("standard", "prototype")
            With the head "standard" the nets are those of `estimator`. With "prototype"
            they return 16 features in the place of logits, and the logits are the
            negative squared distances from the mean features of the classes; see
            `nets.PrototypeNet`. A `TextClassifier` or `TokenClassifier` has its own
            prototype head.

        Returns
        -------
        curve : DataFrame of shape (n_heads * n_counts * n_repeats, 8)
            A row for each `head`, `count` and `repeat`. `precision`, `recall` and `f1`
            of the class on held-out rows, after the last epoch; precision is missing if
            no row is predicted as the class. `first_predicted_epoch`: the first after
            which a held-out row is predicted as the class, rightly or not.
            `first_learned_epoch`: the first epoch in which a learned row of the class
            was right in training, on average over those that ever were. Both count
            from 1, and are missing if there is none.

        Raises
        ------
        ValueError
            If `class_` is none of `classes_` or has one row, if a count is no positive
            integer, if all counts are above the rows there are, or a head is unknown.
        NotFittedError
            If the probe is not fitted, or was unpickled, which leaves its rows behind.
        FloatingPointError
            If the loss of a net becomes infinite or NaN.

        See Also
        --------
        rows_needed : Reads off the curve how many rows the class needs.
        ClassCurveDisplay : Draws the curve.

        Notes
        -----
        This is the few-shot experiment of Tanzer, Ruder and Rei (2022), "Memorisation
        versus Generalisation in Pre-trained Language Models". All nets of a repeat have
        the same held-out rows and the same seed, and the rows of a small count are
        among those of a larger one. A further call draws the same rows. Nets are
        trained as those of `fit` are, for `max_epochs`.

        The table is encoded once, in `fit`, by all rows, and rows and classes have the
        weights that they had there.

        In training the prototype head has a row count in the mean of its class before
        it compares the row, so that `first_learned_epoch` comes a little early. Its
        nets are trained one by one, whatever `strategy` says of stacks.
        """
        check_is_fitted(self)
        if not hasattr(self, "_table"):
            raise NotFittedError(
                "class_learning_curve needs the rows that the probe was fitted on; "
                "they are not pickled with it, so call fit again"
            )
        for head in heads:
            if head not in _HEADS:
                raise ValueError(f"heads must be among {list(_HEADS)}; got {head!r}")
        estimator, encoded = self._table.estimator, self._table.encoded
        draws = draw_repeats(
            encoded.training,
            _codes_of(class_, self.classes_),
            self.n_repeats,
            max(round(1 / self.validation_fraction), 2),
            np.random.RandomState(self._table.seed),
        )
        n_there = min(len(draw.own) for draw in draws)
        if n_there == 0:
            raise ValueError(
                f"class_={class_!r} has a single row; one is learned and one held out, "
                "so it needs 2"
            )
        counts = _check_counts(counts, n_there, class_)
        nets, trained = [], []
        for head in heads:
            headed, wrapped = _with_head(estimator, head)
            make_net = _head_maker(
                headed, encoded, wrapped, len(self.classes_), self.max_epochs
            )
            of_head = [(head, count, draw) for count in counts for draw in draws]
            members = [
                draw.member(
                    encoded.training, make_net, count, _callbacks(headed, wrapped)
                )
                for _, count, draw in of_head
            ]
            # Nets that learn by running means are never stacked.
            alone = head == "prototype" and self.strategy == "stacked"
            strategy = "auto" if alone else self.strategy
            nets += of_head
            trained += train_all(
                members, strategy, self.n_jobs, resolve_device(estimator.device)
            )
        rows = [
            {"head": head, "count": count, "repeat": draw.repeat}
            | _read_off(result, draw.labels_of_class(encoded.training, count))
            for (head, count, draw), result in zip(nets, trained, strict=True)
        ]
        return pd.DataFrame(rows)


def _codes_of(class_: Any, classes: np.ndarray) -> np.ndarray:
    """Return the class, or the classes that a type of entities stands for."""
    known = classes.tolist()
    if class_ in known:
        return np.array([known.index(class_)])
    own = [k for k, tag in enumerate(known) if _type_of(tag) == class_]
    if not own:
        raise ValueError(f"class_={class_!r} is none of the classes {known!r}")
    return np.array(own)


def _type_of(tag: Any) -> str | None:
    """Return the type of entities that a tag such as "B-PER" is of."""
    found = find_entities([tag]) if isinstance(tag, str) and tag else []
    return found[0][0] if found else None


def _check_counts(counts: ArrayLike, n_there: int, class_: Any) -> list[int]:
    """Return the counts that there are rows for, in ascending order."""
    wanted = np.ravel(np.asarray(counts)).tolist()
    for count in wanted:
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ValueError(f"counts must be positive integers; got {count!r}")
    kept = sorted({count for count in wanted if count <= n_there})
    if not kept:
        raise ValueError(
            f"class_={class_!r} has {n_there} rows to learn, fewer than each of "
            f"counts={wanted}"
        )
    return kept


def _with_head(estimator: NetClassifier, head: str) -> tuple[NetClassifier, bool]:
    """Return what has the head, and whether its nets are to be wrapped for it."""
    if not hasattr(estimator, "head"):
        return estimator, head == "prototype"
    headed = copy(estimator)
    headed.head = "linear" if head == "standard" else head
    return headed, False


def _callbacks(estimator: NetClassifier, wrapped: bool) -> list[Any]:
    """Return the callbacks that a net learns with; the first sets its prototypes."""
    means = [ClassMeans()] if wrapped else []
    return [*means, *own_callbacks(estimator)]


def _head_maker(
    estimator: NetClassifier,
    encoded: Encoded,
    wrapped: bool,
    n_classes: int,
    max_epochs: int,
) -> Callable[[], ResidentNet]:
    """Return what makes a net with a head; it may be sent away, and has no data."""
    encoder, training = encoded.encoder, encoded.training
    n_outputs = _N_FEATURES if wrapped else n_classes
    make_net = net_maker(estimator, encoder, training, n_outputs, max_epochs)
    if not wrapped:
        return make_net
    device = str(resolve_device(estimator.device))
    return partial(_with_prototypes, make_net, training.X[:2], n_classes, device)


def _with_prototypes(
    make_net: Callable[[], ResidentNet], few: Rows, n_classes: int, device: str
) -> ResidentNet:
    """Make a net, and have its outputs compared with those of the classes."""
    net = make_net()
    if not net.initialized_:
        net.set_params(device=device).initialize()
    # A user's module may return other outputs than it was asked for.
    net.module_.eval()
    with torch.no_grad():
        outputs = net.infer(few.to(device).inputs())
    net.module_ = PrototypeNet(
        net.module_,
        1 if outputs.ndim == 1 else outputs.shape[-1],
        n_classes,
        n_members=outputs.shape[1] if outputs.ndim == 3 else None,
    ).to(device)
    net.classes = list(range(n_classes))
    net.initialize_optimizer()  # by the new names of the parameters
    return net


def _read_off(result: TrainedMember, own: np.ndarray) -> dict[str, float]:
    """Return the scores of a net, and when it learned; `own` are its rows."""
    watch = next(c for c in result.callbacks if isinstance(c, ClassPredictions))
    right, n_predicted = watch.counts_[-1]
    n_there = int(watch.is_class.sum())
    epochs = [k for k, (_, n) in enumerate(watch.counts_, start=1) if n]
    assert result.trace is not None
    learned = result.trace.to_frame()["first_learned_epoch"].iloc[own].dropna()
    return {
        "precision": right / n_predicted if n_predicted else np.nan,
        "recall": right / n_there,
        "f1": 2 * right / (n_predicted + n_there),
        "first_predicted_epoch": epochs[0] if epochs else np.nan,
        "first_learned_epoch": float(learned.mean()) if len(learned) else np.nan,
    }
