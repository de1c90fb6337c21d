"""The nets of a probe: one table, many copies of its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sklearn_memgen._course import CURVES, TINY, Course
from sklearn_memgen._label_noise import LabelNoise, draw_folds, draw_other_classes
from sklearn_memgen._net_estimator import Encoded
from sklearn_memgen._table_nets import (
    labels_of,
    net_maker,
    own_callbacks,
    row_classes,
    train_all,
)
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.training import (
    Member,
    ResidentDataset,
    ResidentNet,
    Trace,
    TrainedMember,
    pool_logits,
    resolve_device,
    seeded,
)
from sklearn_memgen.training.accumulators import label_margins

__all__ = [
    "PRESETS",
    "ProbeNet",
    "ProbePlan",
    "as_curves",
    "settled",
    "takes_outputs",
]

#: Parameters of the estimator, as papers have them; see `NoisyFineTuneProbe`.
PRESETS: dict[str, dict[str, Any]] = {
    "tanzer2022": {
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "head_learning_rate": None,
        "weight_decay": 0.01,
        "schedule": "linear",
        "clip_norm": 1.0,
        "batch_size": 64,
        "max_length": 50,
        "dropout": 0.1,
    }
}
#: Epochs up to the end of settling whose weights are averaged to predict. At a constant
#: learning rate one epoch differs from the next; the mean of three was as good as the
#: last or better on seven of ten tables and noises, and never 0.003 worse.
_N_AVERAGED = 3
#: What is recorded of each epoch without a callback that asks for it.
_RECORDED_ANYWAY = frozenset({"epoch", "train_loss", "learning_rate", "duration"})


@dataclass(frozen=True)
class ProbeNet:
    """A net of a probe.

    Parameters
    ----------
    level : float
        The share of its labels that was made wrong: of a net with threshold samples
        their share.
    repeat : int
        Which repeat it belongs to.
    course : Course
        What it made of every row.
    trained : TrainedMember or None
        The net itself, once it is trained.
    has_threshold : bool, default=False
        Whether the wrong labels are threshold samples.
    """

    level: float
    repeat: int
    course: Course
    trained: TrainedMember | None = None
    has_threshold: bool = False

    @property
    def trace(self) -> Trace:
        """What each learned row did."""
        assert self.trained is not None and self.trained.trace is not None
        return self.trained.trace


class ProbePlan:
    """Which nets there are, what each learns, and how they are trained.

    Parameters
    ----------
    estimator : NetClassifier
        Says what the nets are. They are trained for `max_epochs` by `schedule`,
        without early stopping, running averages of weights or calibration.
    encoded : Encoded
        The one table, and the labels as they were given.
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    max_epochs, validation_fraction
        See `NoisyFineTuneProbe`.
    rng : RandomState
        Draws rows, noise and seeds.
    schedule : str, default="constant"
        How learning rates change.
    """

    def __init__(
        self,
        estimator: NetClassifier,
        encoded: Encoded,
        classes: np.ndarray,
        *,
        max_epochs: int,
        validation_fraction: float,
        rng: np.random.RandomState,
        schedule: str = "constant",
    ) -> None:
        self.schedule = schedule
        self.estimator = estimator
        self.encoder = encoded.encoder
        self.training: ResidentDataset = encoded.training
        self.n_classes = len(classes)
        self.max_epochs = max_epochs
        self.rng = rng
        self.codes = self.training.targets.numpy()
        self.n_folds = max(round(1 / validation_fraction), 2)
        self.folds = draw_folds(row_classes(self.training), self.n_folds, rng)
        self.nets: list[ProbeNet] = []
        self.members: list[Member] = []
        self.references: list[Member] = []

    def add_level(self, level: float, repeat: int, noise: LabelNoise) -> None:
        """Add a net that learns labels of a level of noise."""
        rows, held_out = self._divide()
        learned, labels = self.codes.copy(), labels_of(self.training, rows)
        learned[labels] = noise.inject(learned[labels], level, self.rng)
        self._add(level, repeat, rows, held_out, learned, self.n_classes, False)

    def add_threshold(self, fraction: float, repeat: int) -> None:
        """Add a net in which some rows have a label that cannot be right.

        It is that of a further class, if the module can be made for one class more;
        else another class than the one given, at random.
        """
        rows, held_out = self._divide()
        labels = labels_of(self.training, rows)
        n_samples = max(round(fraction * len(labels)), 1)
        chosen = self.rng.choice(labels, n_samples, replace=False)
        learned, n_outputs = self.codes.copy(), self.n_classes
        make_net = self._net_maker(self.n_classes + 1)
        if takes_outputs(make_net, self.training, self.n_classes + 1):
            learned[chosen] = self.n_classes
            n_outputs += 1
        else:
            learned[chosen] = draw_other_classes(
                learned[chosen], self.n_classes, self.rng
            )
        self._add(fraction, repeat, rows, held_out, learned, n_outputs, True)

    def add_reference(self) -> None:
        """Add a net that learns the given labels as the estimator says.

        Without rows to stop by there is none.
        """
        rows, held_out = self._divide()
        if not len(held_out):
            return
        estimator = self.estimator
        member = Member(
            net_maker(estimator, self.encoder, self.training, self.n_classes),
            self.training,
            self.training.take(torch.from_numpy(held_out)),
            seed=self.rng.randint(2**31),
            rows=rows,
            callbacks=own_callbacks(estimator),
            n_iter_no_change=estimator.n_iter_no_change,
            tol=estimator.tol,
        )
        self.references.append(member)

    def train(self, strategy: str, n_jobs: int | None) -> list[ProbeNet]:
        """Train all nets, and return those that are watched.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C.
        Exception
            The error of the first net that failed.
        """
        device = resolve_device(self.estimator.device)
        members = [*self.members, *self.references]
        results = train_all(members, strategy, n_jobs, device)
        self.trained_references = results[len(self.members) :]
        trained = []
        for net, result in zip(self.nets, results, strict=False):
            # Those of another process are copies.
            course = next(c for c in result.callbacks if isinstance(c, Course))
            trained.append(replace(net, course=course, trained=result))
        return trained

    def reference_losses(self) -> np.ndarray | None:
        """Return the mean loss of each given label in references, in nats, or None."""
        losses = []
        for trained in self.trained_references:
            assert trained.net is not None
            logits = pool_logits(trained.net.logits(self.training.X).float())
            _, given = label_margins(logits, self.training.targets)
            losses.append(-given.clamp(min=TINY).log().numpy())
        return np.mean(losses, axis=0) if losses else None

    def _divide(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that the next net learns, and those it is validated with."""
        n_nets = len(self.nets) + len(self.references)
        is_held_out = self.folds == n_nets % self.n_folds
        return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)

    def _add(
        self,
        level: float,
        repeat: int,
        rows: np.ndarray,
        held_out: np.ndarray,
        learned: np.ndarray,
        n_outputs: int,
        has_threshold: bool,
    ) -> None:
        labels = torch.from_numpy(learned)
        others = torch.from_numpy(held_out)
        course = Course(
            self.training.targets,
            labels,
            torch.from_numpy(labels_of(self.training, rows)),
            torch.from_numpy(labels_of(self.training, held_out)),
            self.training.X[others] if len(others) else None,
            keep_weights=level == 0,
            keep_margins=has_threshold,
        )
        callbacks = [course, Trace(), *own_callbacks(self.estimator)]
        member = Member(
            self._net_maker(n_outputs),
            replace(self.training, y=labels),
            seed=self.rng.randint(2**31),
            rows=rows,
            callbacks=callbacks,
        )
        self.members.append(member)
        self.nets.append(ProbeNet(level, repeat, course, has_threshold=has_threshold))

    def _net_maker(self, n_outputs: int) -> Callable[[], ResidentNet]:
        return net_maker(
            self.estimator,
            self.encoder,
            self.training,
            n_outputs,
            self.max_epochs,
            self.schedule,
        )


def takes_outputs(
    make_net: Callable[[], ResidentNet], data: ResidentDataset, n_outputs: int
) -> bool:
    """Tell whether a net that is to have so many outputs has them.

    A user's module may have as many as it always has.
    """
    with seeded(0, torch.device("cpu")):
        try:
            net = make_net().set_params(device="cpu").initialize()
            return net.logits(data.X[:1]).shape[-1] == n_outputs
        except Exception:  # whatever a user's module makes of it
            return False


def as_curves(nets: Sequence[ProbeNet]) -> pd.DataFrame:
    """Return the curves of some nets, and what their callbacks recorded.

    There are also the numbers of rows that `_phases` needs.
    """
    frames = []
    for net in nets:
        course = net.course
        frame = pd.DataFrame(course.curves_, columns=list(CURVES))
        frame.insert(0, "level", np.nan if net.has_threshold else net.level)
        frame.insert(1, "repeat", net.repeat)
        frame.insert(2, "epoch", np.arange(1, len(frame) + 1))
        assert net.trained is not None
        for name, values in net.trained.history.items():
            if name not in _RECORDED_ANYWAY and not str(name).endswith("_best"):
                frame[name] = values
        frame["n_corrupted"] = int(course.corrupted[course.rows.numpy()].sum())
        frame["n_validation"] = len(course.held_out)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def settled(
    estimator: NetClassifier, net: ProbeNet, settling_end: int
) -> NetClassifier:
    """Return the classifier of a net of level 0 as it was when settling ended.

    Parameters
    ----------
    estimator : NetClassifier
        Says what the nets are, and has their encoder and classes.
    net : ProbeNet
        The trained net.
    settling_end : int
        The last epoch of settling.
    """
    assert net.trained is not None and net.trained.net is not None
    kept = net.trained.net
    epochs = net.course.weights_[:settling_end][-_N_AVERAGED:]
    kept.module_.load_state_dict(_mean_weights(epochs))
    # The course has been read; its labels and weights need not be pickled.
    kept.callbacks = [c for c in kept.callbacks if not isinstance(c, Course)]
    kept.callbacks_ = [
        (name, c) for name, c in kept.callbacks_ if not isinstance(c, Course)
    ]
    classifier = copy(estimator)
    classifier.history_ = net.trained.history
    classifier._finish(kept, None)
    classifier.net_ = kept
    return classifier


def _mean_weights(epochs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of weights; of counters and other integers the last."""
    means = {}
    for name, last in epochs[-1].items():
        if last.is_floating_point():
            last = torch.stack([weights[name] for weights in epochs]).mean(dim=0)
        means[name] = last
    return means
