"""The analyst's loop: three classes arrive that no label has.

Offers of pricerunner arrive in batches. Of seven classes there are labels, of CPUs,
Freezers and Microwaves there are none; `rules_pricerunner.csv` holds the rules that an
analyst wrote after a look at the first batch. A product (cluster) is in one batch only.
Four classifiers decide each batch, all with ``target_precision=0.92``:

- learner: TF-IDF and logistic regression, without rules;
- rules: rules alone;
- both: rules and the learner;
- both, learning: the same, fitted anew before each batch, with all batches before it as
  rows without labels.

Then the learner of the last one alone: how many rows of the new classes it gets right,
beside a learner that was given the true labels of all batches before.

    python benchmarks/rules.py pricerunner_aggregate.csv
    python benchmarks/rules.py pricerunner_aggregate.csv --cost
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_memgen import (
    Rule,
    RuleAugmentedClassifier,
    RuleSet,
    WideDeepClassifier,
    col,
)

COLUMNS = "product_id title merchant_id cluster_id cluster_label category_id category"
NEW = ["CPUs", "Freezers", "Microwaves"]
RULES = Path(__file__).parent / "rules_pricerunner.csv"
TARGET = 0.92
N_PARTS = 8


def read(path: Path) -> pd.DataFrame:
    """Read the offers, and part them by product."""
    offers = pd.read_csv(path, header=None, names=COLUMNS.split())
    products = np.sort(offers["cluster_id"].unique())
    shuffled = np.random.default_rng(0).permutation(products)
    part = pd.Series(np.arange(len(shuffled)) * N_PARTS // len(shuffled), shuffled)
    return offers.assign(part=offers["cluster_id"].map(part))


def make_learner() -> object:
    words = make_column_transformer(
        (TfidfVectorizer(ngram_range=(1, 2), min_df=2), "title")
    )
    return make_pipeline(words, LogisticRegression(C=10, tol=1e-3, max_iter=1000))


def split(
    offers: pd.DataFrame, seed: int, n_labeled: int
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return labeled offers and batches; the first one is what the analyst saw."""
    rng = np.random.default_rng(seed)
    others = rng.permutation([0, 1, 3, 4, 5, 6, 7])
    labeled = offers[offers["part"].isin(others[:2]) & ~offers["category"].isin(NEW)]
    products = rng.permutation(labeled["cluster_id"].unique())
    place = labeled["cluster_id"].map(pd.Series(np.arange(len(products)), products))
    labeled = labeled.iloc[np.argsort(place, kind="stable")[:n_labeled]]
    return labeled, [offers[offers["part"] == part] for part in (2, *others[2:])]


def fit(model, labeled, unlabeled=None):
    """Fit on titles; products are held out together."""
    rows = None if unlabeled is None else unlabeled[["title"]]
    return model.fit(
        labeled[["title"]], labeled["category"], rows, groups=labeled["cluster_id"]
    )


def judge(model, batch: pd.DataFrame) -> dict[str, float]:
    told = model.decide(batch[["title"]])
    decided = (told["source"] != "declined").to_numpy()
    right = told["label"].to_numpy() == batch["category"].to_numpy()
    is_new = batch["category"].isin(NEW).to_numpy()
    return {
        "precision": right[decided].mean(),
        "coverage": decided.mean(),
        "coverage of new": decided[is_new].mean(),
        "recall": (right & decided).mean(),
    }


def run_loop(offers: pd.DataFrame, seed: int, n_labeled: int) -> pd.DataFrame:
    """Return the figures of each batch and classifier."""
    rules = RuleSet.from_csv(RULES)
    classes = sorted(offers["category"].unique())
    labeled, batches = split(offers, seed, n_labeled)
    nothing = DummyClassifier(strategy="prior")

    def make(estimator, some_rules, **params):
        return RuleAugmentedClassifier(
            estimator,
            some_rules,
            classes=classes,
            target_precision=TARGET,
            random_state=0,
            **params,
        )

    arms = {
        "learner": fit(make(make_learner(), None), labeled),
        "rules": fit(make(nothing, rules), labeled),
        "both": fit(make(make_learner(), rules), labeled),
    }
    rows = []
    for number, batch in enumerate(batches):
        before = pd.concat(batches[:number]) if number else None
        arms["both, learning"] = fit(make(make_learner(), rules), labeled, before)
        for arm, model in arms.items():
            figures = judge(model, batch)
            rows.append({"seed": seed, "batch": number + 1, "arm": arm, **figures})
        known = labeled if before is None else pd.concat([labeled, before])
        told = clone(make_learner()).fit(known[["title"]], known["category"])
        is_new = batch[batch["category"].isin(NEW)]
        learned = arms["both, learning"].estimator_
        for arm, learner in (("its learner alone", learned), ("told the truth", told)):
            right = learner.predict(is_new[["title"]]) == is_new["category"]
            rows.append(
                {"seed": seed, "batch": number + 1, "arm": arm, "of new": right.mean()}
            )
    return pd.DataFrame(rows)


def show(table: pd.DataFrame, figure: str) -> None:
    """Print a figure, a row for each classifier and a column for each batch."""
    some = table.dropna(subset=[figure])
    wide = some.pivot_table(index="arm", columns="batch", values=figure, sort=False)
    wide["from 2 on"] = some[some["batch"] > 1].groupby("arm")[figure].mean()
    print(f"\n{figure}, %, by batch")
    print((100 * wide).round(1).to_string())


def measure_cost(offers: pd.DataFrame) -> None:
    """Print what deciding costs beside the learner's own prediction."""
    labeled, _ = split(offers, 0, 5000)
    words = labeled["title"].str.findall(r"[a-z]{3,}").explode().value_counts().index
    title, classes = col("title"), sorted(labeled["category"].unique())
    rules = RuleSet(
        Rule(
            title.matches(rf"\b{word}\b.*\w"), classes[i % len(classes)], id=f"r{i:04}"
        )
        for i, word in enumerate(words[:1000])
    )
    rows = offers[["title"]].sample(10_000, random_state=0)
    print(f"{'learner':>22} {'predict, s':>11} {'decide, s':>10} {'ratio':>6}")
    quick = WideDeepClassifier(max_epochs=2, early_stopping=False, random_state=0)
    for learner in (make_learner(), quick):
        model = RuleAugmentedClassifier(learner, rules, learn_from_rules=False)
        model.fit(labeled[["title"]], labeled["category"])
        times = {"predict": [], "decide": []}
        for _ in range(5):
            for name, call in (
                ("predict", model.estimator_.predict),
                ("decide", model.decide),
            ):
                started = time.perf_counter()
                call(rows)
                times[name].append(time.perf_counter() - started)
        own, decide = np.median(times["predict"]), np.median(times["decide"])
        name = type(learner).__name__
        print(f"{name:>22} {own:11.3f} {decide:10.3f} {decide / own:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("offers", type=Path, help="pricerunner_aggregate.csv")
    parser.add_argument("--seeds", type=int, default=3, help="orders of batches")
    parser.add_argument("--labeled", type=int, default=600, help="offers with labels")
    parser.add_argument("--cost", action="store_true", help="only what deciding costs")
    arguments = parser.parse_args()
    offers = read(arguments.offers)
    if arguments.cost:
        measure_cost(offers)
        return
    warnings.filterwarnings("ignore", "target_precision", UserWarning)
    table = pd.concat(
        [run_loop(offers, seed, arguments.labeled) for seed in range(arguments.seeds)]
    )
    for figure in ("precision", "coverage", "coverage of new", "recall", "of new"):
        show(table, figure)
    lowest = table[table["batch"] > 1].groupby("arm")["precision"].min().dropna()
    print("\nlowest precision of a batch from 2 on, %")
    print((100 * lowest).round(1).to_string())


if __name__ == "__main__":
    main()
