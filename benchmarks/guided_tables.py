"""Guided transfer to a few rows of another group of a table, beside other ways.

    python benchmarks/guided_tables.py --tables FOLDER [--only adult ...]
        [--shots 5 20 100] [--episodes 20] [--json FILE]

FOLDER has parquet files whose last column, `target`, is the class: `adult.parquet`
(OpenML "adult"), `diabetes130.parquet` (UCI "Diabetes 130-US hospitals", the first
visit of each patient, `target` is `readmitted`), `airlines.parquet` (OpenML
"Airlines_DepDelay" of one sample, without columns that leak) and
`womens_clothing.parquet` ("Women's E-Commerce Clothing Reviews", `target` is the
rating).

Each table is divided by groups, which `TASKS` names: those that the source learns,
those that every arm is tuned on, and those that it is tested on. The column of the
group is left out. The source learns the labels of at most 12,000 rows; each of its
groups is a scout's. An episode has a few rows of each class of one group and is tested
on others of it. All arms have the same episodes and six candidates: nets learning rate
and epochs, LightGBM leaves, rounds and what else it needs, logistic regression `C`.

Scores are ROC AUC, of more than two classes the mean of each against the rest: training
rows are as many of each class as of another, which accuracy and log-loss would see.
Differences are paired, with 95 % intervals. "LightGBM, source" and "source as it is" do
not see the target's rows.

With `--json` what is finished is stored, arm by arm, and not computed again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_memgen import (
    GuidedTransferClassifier,
    SourceNet,
    WideDeepClassifier,
    compare_shots,
    few_shot_curve,
)
from sklearn_memgen.training import Guide

SCORING = "roc_auc_ovr"
MOST_SOURCE_ROWS = 12_000
#: Rows of an episode that are tested on, of all classes together.
N_TEST = 600
#: Rows of a class that an episode leaves to be tested on at least.
FEWEST_TEST = 15
N_TUNING = 6
N_BUCKETS = 2**12
#: A guide slows a net down, so that its rates are higher.
EPOCHS, RATES = (6, 30), (1e-4, 5e-4, 2.5e-3)
GUIDED_RATES = (1e-3, 5e-3, 2.5e-2)
#: What all nets have in common.
COMMON = {"early_stopping": False, "device": "cpu", "random_state": 0}
#: Guided as by default; the other guided arms are variants.
GUIDED = "guided, tensor"


@dataclass(frozen=True)
class Task:
    """Which groups of a table the source learns, and which are tuned and tested on.

    `scouts` is the column that divides the source's rows among scouts, by default
    `group`. `left_out` are columns that say what the group says.
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
        """Train the base and send a scout to each group."""
        started = time.perf_counter()
        source = SourceNet(
            objective="supervised",
            n_scouts="all",
            scout_tasks=self.divide,
            text_features=self.task.text or None,
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


class Boosting(ClassifierMixin, BaseEstimator):
    """LightGBM, of the rows it is given or, with a weight, of the source's as well.

    `columns` makes numbers of words and is fitted; the rows given weigh together
    `weight` times as much as the source's.
    """

    def __init__(self, columns=None, source=None, weight=None, **params):
        self.columns, self.source, self.weight = columns, source, weight
        self.params = params

    def __sklearn_clone__(self) -> Boosting:
        return Boosting(self.columns, self.source, self.weight, **self.params)

    def fit(self, X: Any, y: Any) -> Boosting:
        Z, weights = self.columns.transform(X), np.ones(len(y))
        if self.weight is not None:
            Z_source, y_source = self.source
            weights *= self.weight * len(y_source) / len(y)
            weights = np.concatenate([np.ones(len(y_source)), weights])
            Z, y = np.vstack([Z_source, Z]), np.concatenate([y_source, y])
        self.model_ = LGBMClassifier(
            n_jobs=1, verbose=-1, max_bin=31, random_state=0, **self.params
        ).fit(Z, y, sample_weight=weights)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.model_.predict_proba(self.columns.transform(X))


def fit_columns(table: Table) -> Any:
    """Fit what makes numbers of a table for LightGBM: words one-hot, text tf-idf."""
    X, text = table.X_source, table.task.text
    words = [c for c in X if X[c].dtype == object or X[c].dtype.kind not in "iufb"]
    return make_column_transformer(
        (
            OneHotEncoder(
                max_categories=30,
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            ),
            [column for column in words if column not in text],
        ),
        *((TfidfVectorizer(max_features=100, stop_words="english"), c) for c in text),
        remainder="passthrough",
        sparse_threshold=0,
    ).fit(X)


def mean_of(guide: Guide) -> Guide:
    """Return a guide of the same mean in each tensor, without its pattern."""
    return Guide({name: float(value.mean()) for name, value in guide.items()})


def even(guide: Guide, most: float = 3.0) -> Guide:
    """Return a guide of mean 1 in each tensor, but for what is cut off at `most`."""
    return Guide(
        {n: (v / v.mean().clamp_min(1e-12)).clamp(max=most) for n, v in guide.items()}
    )


def make_arms(table: Table, source: SourceNet) -> dict[str, dict[str, Any]]:
    """Return the candidates of each arm, by their words."""

    def grid(make: Any, **values: tuple[Any, ...]) -> dict[str, Any]:
        made = {}
        for choice in itertools.product(*values.values()):
            params = dict(zip(values, choice, strict=True))
            made[", ".join(f"{name} {v}" for name, v in params.items())] = make(
                **params
            )
        return made

    def transfer(rates: tuple[float, ...], **params: Any) -> dict[str, Any]:
        params = {"schedule": "constant", "head": "kept", **COMMON, **params}
        make = partial(GuidedTransferClassifier, source, **params)
        return grid(make, learning_rate=rates, max_epochs=EPOCHS)

    def boost(**params: Any) -> Any:
        return Boosting(columns, encoded, **params)

    def boost_source(**params: Any) -> Any:
        model = Boosting(columns, **params)
        return FrozenEstimator(model.fit(table.X_source, table.y_source))

    columns = fit_columns(table)
    encoded = columns.transform(table.X_source), table.y_source
    scratch = partial(
        WideDeepClassifier,
        text_features=table.task.text or None,
        n_text_buckets=N_BUCKETS,
        **COMMON,
    )
    logistic = partial(LogisticRegression, max_iter=1000)
    still = transfer((1e-12,), guide=None)
    guide = source.guide_
    return {
        "source as it is": dict([next(iter(still.items()))]),
        "plain transfer": transfer(RATES, guide=None),
        "L2-SP": transfer(RATES, guide=None, anchor=10.0),
        "constant of equal mean": transfer(GUIDED_RATES, guide=mean_of(guide)),
        GUIDED: transfer(GUIDED_RATES),
        "guided, global": transfer(GUIDED_RATES, guide="global"),
        "guided, absolute": transfer(GUIDED_RATES, spread="absolute"),
        "guided, mean 1": transfer(RATES, guide=even(guide)),
        "logistic regression": grid(
            lambda C: make_pipeline(FrozenEstimator(source), logistic(C=C)),
            C=(1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0),
        ),
        "WideDeep from scratch": grid(
            scratch, learning_rate=(1e-3, 5e-3, 2.5e-2), max_epochs=EPOCHS
        ),
        "LightGBM, target": grid(
            boost,
            n_estimators=(20, 80),
            min_child_samples=(2, 5, 10),
            num_leaves=(5,),
        ),
        "LightGBM, source": grid(
            boost_source, num_leaves=(7, 15, 31), n_estimators=(30, 80)
        ),
        "LightGBM, both": grid(
            boost, n_estimators=(30, 80), weight=(0.03, 0.1, 0.3), num_leaves=(15,)
        ),
    }


def tune_and_test(
    table: Table, candidates: dict[str, Any], n_shots: int, n_episodes: int
) -> dict[str, Any]:
    """Choose a candidate on the tuning groups, and score it on the target groups."""
    tuned = table.run(candidates, table.task.tuning, n_shots, N_TUNING, seed=1)
    means = tuned.groupby("estimator", sort=False)["score"].mean()
    best = str(means.idxmax())
    tested = table.run(
        {best: candidates[best]}, table.task.target, n_shots, n_episodes, seed=0
    )
    return {
        "chosen": best,
        "tuning": means.round(5).to_dict(),
        "scores": tested["score"].tolist(),
        "fit_seconds": float(tested["fit_seconds"].mean()),
    }


def summarize(name: str, n_shots: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """Print the arms of a table and a number of shots; tell where guided is."""
    curve = pd.DataFrame(
        [
            (arm, n_shots, episode, score)
            for arm, part in found.items()
            for episode, score in enumerate(part["scores"])
        ],
        columns=["estimator", "shots", "episode", "score"],
    )
    columns = ["mean_difference", "low", "high"]
    frame = curve.groupby("estimator", sort=False)[["score"]].mean()
    differences = compare_shots(curve, reference="plain transfer")
    frame = frame.join(differences.set_index("estimator")[columns])
    for column in ("fit_seconds", "chosen"):
        frame[column] = [part[column] for part in found.values()]
    n_episodes = curve["episode"].nunique()
    print(f"\n{name}, {n_shots} rows of each class, {n_episodes} episodes")
    print(frame.round(4).to_string(), flush=True)
    others = [arm for arm in frame.index if not arm.startswith("guided")]
    best = frame["score"].loc[others].idxmax()
    row = {"table": name, "shots": n_shots, "best other": best}
    row["its score"] = frame["score"][best]
    beside = compare_shots(curve, reference=best).set_index("estimator")
    for arm in frame.index.difference(others, sort=False):
        low, high = beside.loc[arm, ["low", "high"]]
        place = 1 + int((frame["score"].loc[others] > frame["score"][arm]).sum())
        word = " first" if low > 0 else " tied" if high >= 0 else ""
        row[arm] = f"{frame['score'][arm]:.4f} {place}.{word}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    found: dict[str, Any] = {}
    if args.json and args.json.exists():
        found = json.loads(args.json.read_text())
    rows = []
    for name in args.only:
        table = Table(args.tables, name)
        arms = make_arms(table, table.pretrain())
        for n_shots in args.shots:
            parts = found.setdefault(f"{name}, {n_shots}", {})
            for arm, candidates in arms.items():
                if arm in parts:
                    continue
                parts[arm] = tune_and_test(table, candidates, n_shots, args.episodes)
                if args.json:
                    args.json.write_text(json.dumps(found, indent=1))
            rows.append(summarize(name, n_shots, {arm: parts[arm] for arm in arms}))
    print("\nGuided among the other arms: score, place, and whether first or tied")
    print(pd.DataFrame(rows).set_index(["table", "shots"]).T.to_string())


if __name__ == "__main__":
    main()
