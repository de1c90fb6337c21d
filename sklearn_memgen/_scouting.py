"""Scouts of a pretrained base: sent out, measured, and forgotten."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from sklearn_memgen._inputs import Examples
from sklearn_memgen._net_estimator import Encoded
from sklearn_memgen._scout_tasks import (
    ScoutTask,
    choose_kind,
    column_tasks,
    count_scouts,
    draw_subsets,
    find_clusters,
    group_tasks,
    user_tasks,
)
from sklearn_memgen._source import PretrainedBody
from sklearn_memgen._warnings import user_stacklevel
from sklearn_memgen.training import (
    BodyFeatures,
    Displacement,
    DisplacementPath,
    Guide,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
    TrainedMember,
    WayPoints,
    auto_batch_size,
    auto_max_epochs,
    members_a_chunk,
    resolve_device,
)

__all__ = ["Exploration", "ScoutingBody", "explore"]

#: Scouts that are held at once at least; a GPU holds more.
_FEWEST_TOGETHER = 8


class ScoutingBody(PretrainedBody):
    """The part of `SourceNet` that sends scouts.

    Parameters
    ----------
    **params
        Those of `NetEstimator`. The other ones are set by `SourceNet`.
    """

    n_scouts: int | str | None
    classes_per_scout: int
    scout_tasks: str | Callable[..., Any]
    scout_epochs: int | None
    scout_learning_rate: float | None
    scout_stages: int

    #: Whether to send as many scouts, to as many groups, as there are, if there are
    #: fewer than asked for: where nobody has asked for a number.
    _takes_fewer = False
    #: Whether one row of each class is no reason to doubt that they are classes.
    _learns_few_rows = False

    displacement_: Displacement
    displacement_path_: DisplacementPath
    guide_: Guide
    scouts_: pd.DataFrame

    def _check_scouts(self, n_classes: int | None) -> None:
        """Raise a ValueError of what can be known of scouts before the base is trained.

        `n_classes` is None if the source learns none.
        """
        if self.n_scouts is None:
            return
        if self.scout_epochs is not None:
            stage_ends(self.scout_stages, self.scout_epochs)
        elif self.max_epochs == 0:
            raise ValueError(
                "scout_epochs=None makes as many passes as the base, but max_epochs=0; "
                "give scouts a number of their own"
            )
        if self.scout_tasks not in ("auto", "classes"):
            return
        if self._takes_fewer:
            return
        kind = choose_kind(
            self.scout_tasks,
            self.objective,
            n_classes=n_classes,
            n_cells=None,
            size=self.classes_per_scout,
        )
        if kind == "classes":
            assert n_classes is not None
            count_scouts(self.n_scouts, n_classes, self.classes_per_scout, kind)

    def _scout(self, examples: Examples, X: Any, y: Any) -> None:
        """Send scouts to all rows that count, and keep what they found.

        Parameters
        ----------
        examples : Examples
            All rows that were given to `fit`.
        X, y : Any
            What was given to `fit`, for a user's function.
        """
        n_given = len(examples)
        examples = examples.counted()
        places = np.full(n_given, -1)
        origin = examples.origin
        places[np.arange(n_given) if origin is None else origin.rows] = np.arange(
            len(examples)
        )
        encoded = Encoded(self.encoder_, examples.encode(self.encoder_), None)
        data = encoded.with_even_weights().training
        kind, tasks = self._make_tasks(data, examples, X, y, places)
        found = explore(self, tasks, data, kind, examples.n_outputs)
        if not found.displacement.n_scouts:
            warnings.warn(
                "no scout came back, so there is no guide_; the base is fitted",
                UserWarning,
                stacklevel=user_stacklevel(),
            )
            return
        self.displacement_, self.scouts_ = found.displacement.cpu(), found.scouts
        if found.path is not None:
            self.displacement_path_ = found.path.cpu()
        self.guide_ = self.displacement_.guide()

    def _make_tasks(
        self,
        data: ResidentDataset,
        examples: Examples,
        X: Any,
        y: Any,
        places: np.ndarray,
    ) -> tuple[str, list[ScoutTask]]:
        """Return what kind of tasks there are, and the task of each scout."""
        assert self.n_scouts is not None
        rng, size = self._rng, self.classes_per_scout
        classes = self.classes_ if self.objective == "supervised" else None
        cells = None if self._cells is None else self._open_cells()
        kind = choose_kind(
            self.scout_tasks,
            self.objective,
            n_classes=None if classes is None else len(classes),
            n_cells=None if cells is None else len(cells),
            size=size,
        )
        if callable(self.scout_tasks):
            function = self.scout_tasks
            return kind, user_tasks(function, X, y, self.n_scouts, rng, places=places)
        if kind == "columns":
            assert cells is not None and self._cells is not None
            subsets = self._draw_subsets(len(cells), kind)
            return kind, column_tasks(self._cells.columns, cells, subsets)
        if kind == "classes":
            assert classes is not None
            groups, names = examples.learned(), classes.tolist()
        else:
            body = self.net_.module_.body
            features = BodyFeatures(body, self.net_.device, self.net_.precision)
            groups = find_clusters(features.features(data.X).numpy(), rng)
            names = list(range(groups.max() + 1))
        subsets = self._draw_subsets(len(names), kind)
        return kind, group_tasks(groups, names, subsets)

    def _draw_subsets(self, n_groups: int, kind: str) -> list[tuple[int, ...]]:
        """Draw the classes, clusters or columns of each scout."""
        n_scouts, size = self.n_scouts, self.classes_per_scout
        assert n_scouts is not None
        if self._takes_fewer:
            size = min(size, n_groups)
            if not isinstance(n_scouts, str):
                n_scouts = min(n_scouts, math.comb(n_groups, size))
        return draw_subsets(n_scouts, n_groups, size, kind, self._rng)

    def _open_cells(self) -> list[int]:
        """Return the cells of a table in which there is something to predict."""
        module = self.net_.module_
        return sorted(set(module.cells[module.is_open].tolist()))

    classes_: np.ndarray


@dataclass(frozen=True)
class Exploration:
    """What scouts found.

    Parameters
    ----------
    displacement : Displacement
        How far all scouts went.
    scouts : DataFrame of shape (n_scouts, n_columns)
        See `SourceNet.scouts_`.
    path : DisplacementPath or None
        How far on each part of their way; None if they were measured at its end alone.
    """

    displacement: Displacement
    scouts: pd.DataFrame
    path: DisplacementPath | None


def explore(
    source: ScoutingBody,
    tasks: Sequence[ScoutTask],
    data: ResidentDataset,
    kind: str,
    n_outputs: int,
    *,
    strategy: str = "auto",
) -> Exploration:
    """Train scouts from copies of a base, and measure how far they went.

    Parameters
    ----------
    source : ScoutingBody
        Its net is the base, and stays as it is.
    tasks : sequence of ScoutTask
        What each scout learns.
    data : ResidentDataset
        All rows.
    kind : str
        What the tasks are, the name of the first column of the frame.
    n_outputs : int
        Number of classes, or 1 for a source without.
    strategy : str, default="auto"
        See `Population`.

    Returns
    -------
    found : Exploration
        On the device of the base.

    Warns
    -----
    UserWarning
        On Ctrl-C; the scouts that have come back by then count.

    Raises
    ------
    FloatingPointError
        If the loss of a scout becomes infinite or NaN.
    """
    base = source.net_.module_
    displacement = Displacement(base)
    n_stages = source.scout_stages
    path = DisplacementPath(base, n_stages) if n_stages > 1 else None
    # All scouts have one seed, so that they differ by their tasks alone.
    seed = source._rng.randint(2**31)
    make_scout, max_epochs = _scout_maker(source, tasks, data, n_outputs)
    ends = stage_ends(n_stages, max_epochs)
    members = [
        Member(
            partial(make_scout, task),
            data,
            seed=seed,
            rows=task.rows,
            callbacks=[] if path is None else [WayPoints(ends)],
        )
        for task in tasks
    ]
    # No more nets at once than are computed together, so that memory is bounded.
    together = max(_FEWEST_TOGETHER, members_a_chunk(source.net_))
    rows = []
    for begin in range(0, len(members), together):
        group = members[begin : begin + together]
        population = Population(
            group, strategy=strategy, device=resolve_device(source.device)
        )
        population.train(warn=False)
        for error in population.errors_.values():
            raise error
        for task, member, scout in zip(tasks[begin:], group, population, strict=False):
            if not scout.finished:
                continue
            assert scout.net is not None
            learned = member.dataset()
            row = {kind: task.name, "n_rows": len(learned)}
            rows.append(row | _measure(displacement, scout, learned, source.objective))
            displacement.add(scout.net.module_)
            if path is not None:
                path.add(scout.callbacks[0].points)
        if population.interrupted_:
            warnings.warn(
                f"scouting was interrupted; {displacement.n_scouts} of {len(tasks)} "
                "scouts came back",
                UserWarning,
                stacklevel=user_stacklevel(),
            )
            break
    return Exploration(displacement, pd.DataFrame(rows), path)


def stage_ends(n_stages: int, max_epochs: int) -> list[int]:
    """Return the last epoch of each stage of the way of scouts.

    Raises
    ------
    ValueError
        If there are more stages than epochs.
    """
    if n_stages > max_epochs:
        raise ValueError(
            f"scout_stages={n_stages}, but scouts learn for {max_epochs} epochs only"
        )
    return [round(max_epochs * (k + 1) / n_stages) for k in range(n_stages)]


def _scout_maker(
    source: ScoutingBody,
    tasks: Sequence[ScoutTask],
    data: ResidentDataset,
    n_outputs: int,
) -> tuple[Callable[[ScoutTask], ResidentNet], int]:
    """Return what makes the net of a scout of its task, and its epochs."""
    n_rows = [len(data) if task.rows is None else len(task.rows) for task in tasks]
    # The same for all, or they could not be computed together.
    batch_size = auto_batch_size(source.batch_size, int(np.mean(n_rows)))
    like = copy.copy(source)
    if source.scout_learning_rate is not None:
        like.learning_rate = source.scout_learning_rate
    max_epochs = source.scout_epochs or auto_max_epochs(
        source.max_epochs, int(np.mean(n_rows)), batch_size
    )
    make = partial(_make_scout, like, n_outputs, batch_size, max_epochs)
    return make, max_epochs


def _make_scout(
    source: ScoutingBody,
    n_outputs: int,
    batch_size: int,
    max_epochs: int,
    task: ScoutTask,
) -> ResidentNet:
    """Make a net around a copy of the base."""
    module = copy.deepcopy(source.net_.module_)
    if task.cells is not None:
        module.predict_only(task.cells)
    net = source._wrap(module, n_outputs, batch_size)
    net.batch_size, net.max_epochs = batch_size, max_epochs
    # Without a running average, which would lag behind where the scout went.
    net.schedule, net.ema_decay = source.schedule, None
    return net


def _measure(
    displacement: Displacement,
    scout: TrainedMember,
    learned: ResidentDataset,
    objective: str,
) -> dict[str, Any]:
    """Return how well a scout knows its rows, and how far each layer went."""
    assert scout.net is not None
    found = {"loss": float(scout.history["train_loss"].iloc[-1])}
    if objective == "supervised":
        logits = scout.net.logits(learned.X).view(len(learned), -1)
        codes = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
        right = codes == learned.targets.to(codes.device, torch.int64)
        found["accuracy"] = right.float().mean().item()
    return found | displacement.measure(scout.net.module_).to_dict()
