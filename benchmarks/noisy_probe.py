"""NoisyFineTuneProbe beside cleanlab, AUM and plain loss on labels of known noise.

    python benchmarks/noisy_probe.py DIR [--mnist DIR] [--tables ...] [--noises ...]
        [--rows 6000] [--seeds 5] [--results DIR] [--cost]

DIR holds parquet files whose last column is the target; the folder of MNIST the four
files of the original. Of each, seeded samples of `--rows` rows are learned and up to as
many others predicted; classes of fewer than 40 rows are left out. Of the labels that
are learned a share is made wrong: any other class with the same probability, or
"conditional", 20 % on average by a random transition matrix, in which each class has
its own rate and its own mistakes. Labels of test rows stay as they are.

*Who finds the wrong labels*: areas under the ROC curve, and average precisions, of
`label_quality` of a probe by default; of a short one, of level 0 for 6 epochs and a net
of an ordinary fit; of cleanlab's `get_label_quality_scores` on five-fold out-of-sample
probabilities of the same net, with its early stopping, and of LightGBM; of the area
under the margin; and of the loss of a net of one ordinary fit. Seconds are those of one
thread.

*Who predicts well in spite of them*: accuracy by the true labels of test rows, of the
probe, of the net of an ordinary fit with early stopping, of the net fitted to what the
probe does not name (``refit="clean"``), of LightGBM, and of cleanlab's CleanLearning
around the net and around LightGBM.

With `--results` each result is stored when it is there, and those that are there are
not computed again. Several runs may share a folder. With `--cost` only the seconds of
one probe by default on the training rows of adult.parquet, the first 32,561, are
measured, beside those of fits of its net.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mnist import LeNet, load_mnist
from peers import make_lightgbm, with_categories

from sklearn_memgen import NetClassifier, NoisyFineTuneProbe, WideDeepClassifier

TABLES = ["pendigits", "mnist", "adult", "connect_4", "nursery"]
#: Share of wrong labels, and whether it depends on the class.
NOISES = {
    "0 %": (0.0, False),
    "10 %": (0.1, False),
    "20 %": (0.2, False),
    "40 %": (0.4, False),
    "conditional": (0.2, True),
}
FINDERS = [
    "probe",
    "short probe",
    "cleanlab, net",
    "cleanlab, LightGBM",
    "AUM",
    "loss",
]
PREDICTORS = [
    "probe",
    "early stopping",
    "clean refit",
    "CleanLearning, net",
    "LightGBM",
    "CleanLearning, LightGBM",
]
#: Smaller classes are hardly sampled, and not in every fold.
MIN_CLASS = 40
N_FOLDS = 5
#: Training rows of Adult.
N_ADULT = 32_561


def load(name: str, folder: Path, mnist: Path | None) -> tuple[pd.DataFrame, pd.Series]:
    """Read a table, or the images of MNIST, a column a pixel from 0 to 1."""
    if name != "mnist":
        table = pd.read_parquet(folder / f"{name}.parquet")
        return table.iloc[:, :-1], table.iloc[:, -1].astype(str)
    assert mnist is not None, "mnist needs --mnist"
    pixels, digits = load_mnist(mnist)
    return pd.DataFrame(pixels), pd.Series(digits).astype(str)


def sample(
    X: pd.DataFrame, y: pd.Series, n_rows: int, seed: int
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Draw rows to learn and others to predict; labels become class indices."""
    counts = y.value_counts()
    rows = np.flatnonzero(y.isin(counts[counts >= MIN_CLASS].index))
    rows = np.random.default_rng(seed).permutation(rows)
    train = rows[: min(n_rows, len(rows) * 2 // 3)]
    test = rows[len(train) : len(train) + n_rows]
    classes = np.unique(y.iloc[rows])
    codes = np.searchsorted(classes, y.to_numpy())
    return X.iloc[train], codes[train], X.iloc[test], codes[test]


def corrupt(codes: np.ndarray, rate: float, conditional: bool, seed: int) -> np.ndarray:
    """Make a share of the labels wrong."""
    rng = np.random.default_rng([seed, round(100 * rate), conditional])
    n, noisy = codes.max() + 1, codes.copy()
    if not conditional:
        rows = rng.choice(len(codes), round(rate * len(codes)), replace=False)
        noisy[rows] = (codes[rows] + rng.integers(1, n, len(rows))) % n
        return noisy
    # Each class has its own rate, twice the mean at most, and a few frequent mistakes.
    rates = rng.uniform(0, 2 * rate, n)
    matrix = np.diag(1 - rates)
    for code in range(n):
        others = np.arange(n) != code
        matrix[code, others] = rates[code] * rng.dirichlet(np.full(n - 1, 0.5))
    ends = matrix.cumsum(axis=1)[codes]
    drawn = rng.uniform(size=len(codes))
    return (drawn[:, None] >= ends[:, :-1]).sum(axis=1)


def make_net(name: str, seed: int) -> NetClassifier:
    """Make the net of a table: what a probe has by default, or one for images."""
    if name == "mnist":
        return NetClassifier(LeNet, random_state=seed)
    return WideDeepClassifier(
        hidden_layer_sizes=(128,),
        memorize="none",
        crosses=(),
        bins="quantile",
        n_bins=32,
        n_members=1,
        caution=False,
        random_state=seed,
    )


def make_short_probe(net: NetClassifier, seed: int) -> NoisyFineTuneProbe:
    """Make a probe that tells nothing but label quality."""
    return NoisyFineTuneProbe(
        net,
        noise_levels=(0.0,),
        threshold_fraction=None,
        max_epochs=6,
        random_state=seed,
    )


def for_lightgbm(name: str, X: pd.DataFrame) -> pd.DataFrame:
    """Give LightGBM categories, and means of 2 x 2 pixels, of which it has plenty."""
    if name != "mnist":
        return with_categories(X)
    images = X.to_numpy().reshape(-1, 14, 2, 14, 2)
    return pd.DataFrame(images.mean(axis=(2, 4)).reshape(len(X), -1), index=X.index)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its seconds of one thread."""
    started = time.process_time()
    value = call()
    return value, time.process_time() - started


def measure(
    name: str, noise: str, seed: int, n_rows: int, data: tuple[pd.DataFrame, pd.Series]
) -> dict[str, Any]:
    """Rate all on one sample of a table with one kind of noise."""
    from cleanlab.classification import CleanLearning
    from cleanlab.rank import get_label_quality_scores
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    X, true, X_test, true_test = sample(*data, n_rows, seed)
    y = corrupt(true, *NOISES[noise], seed)
    both = for_lightgbm(name, pd.concat([X, X_test]))
    X_trees, X_trees_test = both.iloc[: len(X)], both.iloc[len(X) :]
    is_image = name == "mnist"
    if is_image:
        X, X_test = X.to_numpy(), X_test.to_numpy()
    net, folds = make_net(name, seed), StratifiedKFold(N_FOLDS, shuffle=True)
    folds.random_state = seed
    trees = make_lightgbm(X_trees, seed)[0].set_params(n_jobs=1)
    quality, seconds, accuracy = {}, {}, {}

    def rate(key: str, model: Any, inputs: Any = X_test) -> None:
        accuracy[key] = float(np.mean(model.predict(inputs) == true_test))

    probe = NoisyFineTuneProbe(net, random_state=seed)
    _, seconds["probe"] = timed(lambda: probe.fit(X, y))
    quality["probe"] = probe.examples_["label_quality"]
    quality["AUM"] = probe.examples_["aum"].fillna(probe.examples_["aum"].mean())
    rate("probe", probe)
    short = make_short_probe(net, seed)
    _, seconds["short probe"] = timed(lambda: short.fit(X, y))
    quality["short probe"] = short.examples_["label_quality"]
    _, seconds["early stopping"] = timed(lambda: net.fit(X, y))
    quality["loss"] = net.predict_proba(X)[np.arange(len(y)), y]
    rate("early stopping", net)
    clean = ~probe.find_label_issues()
    rate("clean refit", net.fit(X[clean], y[clean]))
    trees.fit(X_trees, y)
    rate("LightGBM", trees, X_trees_test)
    for kind, model, table, test in (
        ("net", net, X, X_test),
        ("LightGBM", trees, X_trees, X_trees_test),
    ):
        key = f"cleanlab, {kind}"
        probabilities, seconds[key] = timed(
            lambda model=model, table=table: cross_val_predict(
                model, table, y, cv=folds, method="predict_proba"
            )
        )
        quality[key] = get_label_quality_scores(y, probabilities)
        learning = CleanLearning(model, seed=seed)
        issues = learning.find_label_issues(labels=y, pred_probs=probabilities)
        learning.fit(table, y, label_issues=issues)
        rate(f"CleanLearning, {kind}", learning, test)
        if kind == "net":
            n_cleanlab = int(issues["is_label_issue"].sum())
    return {
        "table": name,
        "noise": noise,
        "seed": seed,
        **rate_quality(quality, y != true),
        **{f"accuracy {key}": value for key, value in accuracy.items()},
        **{f"seconds {key}": value for key, value in seconds.items()},
        "issues there": int((y != true).sum()),
        "issues probe": int(probe.n_label_issues_),
        "issues cleanlab": n_cleanlab,
    }


def rate_quality(quality: dict[str, Any], is_wrong: np.ndarray) -> dict[str, float]:
    """Rate orders of rows, in which wrong labels should be lowest."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not is_wrong.any():
        return {}
    figures = {}
    for key, value in quality.items():
        suspicion = -np.asarray(value, dtype=float)
        figures[f"AUROC {key}"] = float(roc_auc_score(is_wrong, suspicion))
        figures[f"precision {key}"] = float(
            average_precision_score(is_wrong, suspicion)
        )
    return figures


def show(results: pd.DataFrame) -> None:
    """Print the tables."""
    noises = [noise for noise in NOISES if noise in set(results["noise"])]
    tables = [table for table in TABLES if table in set(results["table"])]
    results = results.assign(
        table=pd.Categorical(results["table"], tables),
        noise=pd.Categorical(results["noise"], noises),
    )
    groups = results.groupby(["table", "noise"], observed=True)
    print(f"\nMeans of {groups.size().min()} to {groups.size().max()} samples\n")
    titles = {"AUROC": "ROC AUC", "precision": "average precision"}
    titles |= {"accuracy": "accuracy on test rows", "seconds": "seconds"}
    for figure, title in titles.items():
        keys = PREDICTORS if figure == "accuracy" else FINDERS
        keys = [key for key in keys if f"{figure} {key}" in results]
        part = results[["table", "noise", *(f"{figure} {key}" for key in keys)]]
        part.columns = ["table", "noise", *keys]
        means = part.groupby(["table", "noise"], observed=True).mean().dropna()
        means.loc[("all", "mean"), :] = means.mean()
        digits = 1 if figure == "seconds" else 4
        print(f"{title}\n{means.round(digits).to_string()}\n")
        spread = part.groupby(["table", "noise"], observed=True).std().mean()
        print(f"standard deviation of samples\n{spread.round(digits).to_string()}\n")
    counts = ["issues there", "issues probe", "issues cleanlab"]
    print(f"number of issues\n{groups[counts].mean().round(0).to_string()}\n")
    ratios = results["seconds short probe"] / results["seconds cleanlab, net"]
    full = results["seconds probe"] / results["seconds cleanlab, net"]
    fits = results["seconds probe"] / results["seconds early stopping"]
    print(
        f"Seconds of cleanlab with the same net: short probe {ratios.median():.2f}, "
        f"probe {full.median():.2f} times as long; probe {fits.median():.1f} fits"
    )


def show_cost(folder: Path, n_turns: int = 3) -> None:
    """Print seconds of a probe of Adult and of single fits, in turns."""
    X, y = load("adult", folder, None)
    X, y = X[:N_ADULT], y[:N_ADULT]
    seconds: dict[str, list[float]] = {}
    for turn in range(n_turns):
        net = make_net("adult", turn)
        whole = make_net("adult", turn).set_params(early_stopping=False, max_epochs=20)
        models = {
            "fit with early stopping": net,
            "fit of 20 epochs": whole,
            "probe of 6 levels": NoisyFineTuneProbe(
                net, threshold_fraction=None, random_state=turn
            ),
            "and threshold samples": NoisyFineTuneProbe(net, random_state=turn),
        }
        for key, model in models.items():
            _, spent = timed(lambda model=model: model.fit(X, y))
            seconds.setdefault(key, []).append(spent)
    medians = pd.Series({key: np.median(spent) for key, spent in seconds.items()})
    table = pd.DataFrame({"seconds": medians})
    for key in list(models)[:2]:
        table[f"x {key}"] = medians / medians[key]
    print(table.round(1).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--noises", nargs="+", default=list(NOISES), choices=NOISES)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--cost", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if args.cost:
        show_cost(args.folder)
        return
    results = []
    for seed in range(args.seeds):
        for name in args.tables:
            data = load(name, args.folder, args.mnist)
            for noise in args.noises:
                path = None
                if args.results is not None:
                    args.results.mkdir(parents=True, exist_ok=True)
                    path = args.results / f"{name} {noise} {seed}.json"
                if path is not None and path.exists():
                    results.append(json.loads(path.read_text()))
                    continue
                results.append(measure(name, noise, seed, args.rows, data))
                if path is not None:
                    path.write_text(json.dumps(results[-1]))
                print(name, noise, seed, flush=True)
    show(pd.DataFrame(results))


if __name__ == "__main__":
    main()
