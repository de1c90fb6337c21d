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
import warnings
from collections.abc import Mapping
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
from table_groups import N_BUCKETS, TASKS, Table

from sklearn_memgen import (
    GuidedTransferClassifier,
    SourceNet,
    WideDeepClassifier,
    compare_shots,
)
from sklearn_memgen.training import Guide

N_TUNING = 6
#: A guide slows a net down, so that its rates are higher.
EPOCHS, RATES = (5, 20), (1e-4, 1e-3, 1e-2)
GUIDED_RATES = (1e-3, 1e-2, 1e-1)
#: What all nets have in common.
COMMON = {"early_stopping": False, "device": "cpu", "random_state": 0}
#: Guided as by default; the other guided arms are variants.
GUIDED = "guided, tensor"


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
            n_jobs=1, verbose=-1, random_state=0, **self.params
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
