"""Tables whose groups are a source, groups to tune on, and groups to test on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sklearn_memgen import SourceNet, few_shot_curve
from sklearn_memgen.tables import TableEncoder

__all__ = ["N_BUCKETS", "TASKS", "Table"]

SCORING = "roc_auc_ovr"
MOST_SOURCE_ROWS = 12_000
#: Rows of an episode that are tested on, of all classes together.
N_TEST = 600
#: Rows of a class that an episode leaves to be tested on at least.
FEWEST_TEST = 15
N_BUCKETS = 2**12


@dataclass(frozen=True)
class Task:
    """Which groups of a table the source learns, and which are tuned and tested on.

    `scouts` is the column that divides the source's rows among scouts, by default
    `group`. `left_out` are columns that say what the group says, or whose values no
    other group has.
    """

    group: str
    source: tuple[str, ...]
    tuning: tuple[str, ...]
    target: tuple[str, ...]
    scouts: str = ""
    left_out: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


#: Groups were chosen by their sizes.
TASKS = {
    "adult": Task(
        "occupation",
        (
            *("Prof-specialty", "Craft-repair", "Exec-managerial", "Adm-clerical"),
            *("Other-service", "Handlers-cleaners"),
        ),
        ("Machine-op-inspct", "Farming-fishing"),
        ("Sales", "Transport-moving", "Tech-support", "Protective-serv"),
    ),
    "diabetes130": Task(
        "medical_specialty",
        (
            *("InternalMedicine", "Emergency/Trauma", "Pulmonology", "Psychiatry"),
            *("Radiologist", "Orthopedics-Reconstructive"),
        ),
        ("Surgery-General", "Orthopedics"),
        ("Family/GeneralPractice", "Cardiology", "Nephrology", "Urology"),
    ),
    "airlines": Task(
        "UniqueCarrier",
        ("US", "UA", "WN", "PI", "CO"),
        ("PS", "AA"),
        ("HP", "DL", "TW"),
        left_out=("FlightNum", "TailNum"),
    ),
    "womens_clothing": Task(
        "Department Name",
        ("Tops", "Trend"),
        ("Intimate", "Jackets"),
        ("Dresses", "Bottoms"),
        scouts="Class Name",
        left_out=("Class Name", "Division Name"),
        text=("Title", "Review Text"),
    ),
}


class Table:
    """A table, divided by groups."""

    def __init__(self, folder: Path, name: str) -> None:
        frame = pd.read_parquet(folder / f"{name}.parquet")
        self.task = task = TASKS[name]
        for column in task.text:
            frame[column] = frame[column].fillna("")
        self.y = frame["target"]
        self.X = frame.drop(columns=["target", task.group, *task.left_out])
        self.rows_of = frame.groupby(task.group).indices
        rows = np.concatenate([self.rows_of[group] for group in task.source])
        if len(rows) > MOST_SOURCE_ROWS:
            rng = np.random.default_rng(0)
            rows = rng.choice(rows, MOST_SOURCE_ROWS, replace=False)
        self.X_source, self.y_source = self.take(rows)
        self.scout_groups = frame[task.scouts or task.group].iloc[rows].to_numpy()
        self.n_classes = self.y.nunique()

    def take(self, rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Return rows without the index, and their labels."""
        return self.X.iloc[rows].reset_index(drop=True), self.y.iloc[rows].to_numpy()

    def divide(self, X: Any, y: Any, n_scouts: Any, rng: Any) -> list[np.ndarray]:
        """Return the rows of each scout: those of a group that has a hundred."""
        names, sizes = np.unique(self.scout_groups, return_counts=True)
        return [
            np.flatnonzero(self.scout_groups == name) for name in names[sizes >= 100]
        ]

    def run(
        self,
        arms: Mapping[str, Any],
        groups: tuple[str, ...],
        n_shots: int,
        n_episodes: int,
        seed: int,
    ) -> pd.DataFrame:
        """Score on as many episodes of each group that has rows enough.

        If none has, episodes have as many rows of each class as there are to give.
        """
        most = {
            group: self.y.iloc[self.rows_of[group]].value_counts().min() - FEWEST_TEST
            for group in groups
        }
        n_shots = min(n_shots, max(most.values()))
        groups = tuple(group for group in groups if most[group] >= n_shots)
        each = -(-n_episodes // len(groups))
        curves = []
        for number, group in enumerate(groups):
            curve = few_shot_curve(
                arms,
                *self.take(self.rows_of[group]),
                shots=(n_shots,),
                n_episodes=each,
                n_test=N_TEST // self.n_classes,
                scoring=SCORING,
                error_score="raise",
                random_state=seed,
            )
            curve["episode"] += number * each
            curves.append(curve)
        return pd.concat(curves, ignore_index=True)

    def pretrain(self) -> SourceNet:
        """Train the base and send a scout to each group.

        Numbers go in by their exact values, too, where the encoder finds that it pays.
        """
        started = time.perf_counter()
        text = self.task.text or None
        encoder = TableEncoder(memorize="auto", text_features=text)
        tested = encoder.fit(self.X_source, self.y_source).memorized_
        numbers = tested[(tested["kind"] == "number") & tested["memorized"]]
        source = SourceNet(
            objective="supervised",
            memorize=numbers["column"].tolist(),
            n_scouts="all",
            scout_tasks=self.divide,
            text_features=text,
            n_text_buckets=N_BUCKETS,
            device="cpu",
            random_state=0,
        ).fit(self.X_source, self.y_source)
        seconds = time.perf_counter() - started
        print(
            f"{len(self.y_source):,} rows, {len(source.history_)} epochs, "
            f"{len(source.scouts_)} scouts: {seconds:.0f} s",
            flush=True,
        )
        return source
