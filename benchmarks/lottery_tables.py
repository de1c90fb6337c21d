"""LotteryPrunedNet on a folder of tables, beside pruning after training and L1.

    python benchmarks/lottery_tables.py DIR [--tables ...] [--splits 3] [--rows 20000]
        [--json FILE]

Takes every parquet file of the folder, whose last column is the target, and the splits
of `tabular.py`; of more than `--rows` training rows so many are drawn, of each class
its share. The net is that of `LotteryPrunedNet()`, but not calibrated. All searches of
a split begin with the same dense net. The lines are

- *dense*: the dense net, like all nets at its lowest validation loss;
- *iterative*: the ticket that the search of the paper selects, and *iterative 13.5 %*,
  of the same search the one nearest to this size;
- *cheap*: the ticket that the cheap search selects, and *cheap 13.5 %*, what it finds
  if it is to select this size;
- *pruned*: the dense net without its smallest weights, in each layer as many as *cheap*
  leaves out, and *pruned, fine-tuned*, which is trained once more from there;
- *L1 selection*: a dense net that learns the inputs that an L1 penalty selects, and
  *L1 logistic regression*, which selects them: of scaled numbers and one-hot words, at
  the penalty with the lowest log-loss in three folds.

*remaining* is *weights*, of a logistic regression its coefficients, as a share of the
weights of the dense net that can be pruned. *columns* are those of the table, and
crosses, that have a weight left in the first layer. The *cost* is in trainings of the
dense net, up to a line; to find the penalty, or the size of *pruned*, counts as
nothing. *excess* is log-loss, in nats, beside the dense net; a line is as good if it is
no more than one standard error of it over the test rows, which says nothing of how nets
differ by chance. *points* are accuracy beside *iterative 13.5 %*.

With `--json` the lines of a split are stored when they are there, and those that are
there are not computed again.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import not_numbers
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tabular import Results, load, score, split_rows

from sklearn_memgen import LotteryPrunedNet, TicketInputsDisplay, WideDeepClassifier
from sklearn_memgen.training import Ticket

#: The size at which the searches are compared.
SIZE = 0.135
TICKETS = ["dense", "iterative", "iterative 13.5 %", "cheap", "cheap 13.5 %"]
OTHERS = ["pruned", "pruned, fine-tuned", "L1 selection", "L1 logistic regression"]
LINES = [*TICKETS, *OTHERS]
FIGURES = ["remaining", "weights", "columns", "log-loss", "accuracy", "cost"]
COMPARED = ["excess", "excess error", "points", "points error"]
PENALTIES = (0.01, 0.1, 1.0, 10.0)
#: Most rows among which the penalty is chosen.
N_CHOICE_ROWS = 5000


def draw_rows(y: pd.Series, rows: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Draw rows, of each class its share."""
    if len(rows) <= n_rows:
        return rows
    rows = np.random.default_rng(seed).permutation(rows)
    by_class = rows[np.argsort(y.iloc[rows].to_numpy(), kind="stable")]
    drawn = np.linspace(0, len(rows) - 1, n_rows).round().astype(int)
    return np.sort(by_class[drawn])


class Split:
    """A split of a table, and what was reached on it, line by line."""

    def __init__(self, path: Path, seed: int, n_rows: int) -> None:
        X, y = load(path)
        train, test = split_rows(y, seed)
        train = draw_rows(y, train, n_rows, seed)
        self.X, self.y = X.iloc[train], y.iloc[train]
        self.X_test, self.y_test = X.iloc[test], y.iloc[test].to_numpy()
        self.labels = np.unique(y)
        self.seed = seed
        self.lines: dict[str, dict[str, float]] = {}
        self.predicted: dict[str, np.ndarray] = {}

    def fit(self, X: pd.DataFrame, **params: Any) -> LotteryPrunedNet:
        """Fit a search; all of a split hold out the same rows."""
        net = WideDeepClassifier(
            wide=False, n_members=1, n_bins=32, caution=False, calibrate=False
        )
        params = {"keep_weights": True, "random_state": self.seed, **params}
        return LotteryPrunedNet(net, **params).fit(X, self.y)

    def rate(self, line: str, model: Any, X_test: Any, **figures: float) -> None:
        """Rate predictions of the test rows, and keep them for `compare`."""
        aligned = np.zeros((len(self.y_test), len(self.labels)))
        codes = np.searchsorted(self.labels, model.classes_)
        aligned[:, codes] = model.predict_proba(X_test)
        self.predicted[line] = aligned
        rated = score(self.y_test, aligned, self.labels, self.labels)
        self.lines[line] = {**figures, **rated}

    def rate_ticket(self, line: str, model: LotteryPrunedNet, cost: float) -> None:
        """Rate the ticket of a fitted search."""
        n_weights = int(model.ticket_.to_frame()["n_remaining"].sum())
        inputs = TicketInputsDisplay.from_estimator(model).inputs
        figures = {"columns": int((inputs["n_remaining"] > 0).sum()), "cost": cost}
        self.rate(line, model, self.X_test, weights=n_weights, **figures)

    def compare(self) -> None:
        """Add the shares that remain, and differences with their standard errors."""
        codes = np.searchsorted(self.labels, self.y_test)
        rows = np.arange(len(codes))
        losses, points = {}, {}
        for line, aligned in self.predicted.items():
            losses[line] = -np.log(aligned[rows, codes].clip(1e-7, 1))
            points[line] = 100.0 * (aligned.argmax(axis=1) == codes)
        for line, figures in self.lines.items():
            figures["remaining"] = figures["weights"] / self.lines["dense"]["weights"]
            for name, values, other in [
                ("excess", losses, "dense"),
                ("points", points, "iterative 13.5 %"),
            ]:
                differences = values[line] - values[other]
                error = differences.std() / len(rows) ** 0.5
                figures[name] = float(differences.mean())
                figures[f"{name} error"] = float(error)


def with_ticket(model: LotteryPrunedNet, ticket: Ticket) -> LotteryPrunedNet:
    """Return a fitted search with another ticket, whose weights are trained."""
    other = copy.copy(model)
    other.ticket_, other.estimator_ = ticket, copy.deepcopy(model.estimator_)
    ticket.apply(other.net_.module_)
    return other


def with_round(model: LotteryPrunedNet, number: int) -> LotteryPrunedNet:
    """Return a fitted search with the net of a row of `rounds_`, as it was trained."""
    # Weights of a round that was not selected are in no public attribute.
    weights = model._weights[number]
    masks = {name: weights[name] != 0 for name in model.ticket_.masks}
    return with_ticket(model, Ticket(masks, weights, model.encoder_))


def prune(dense: Ticket, like: Ticket) -> Ticket:
    """Keep the largest weights, of each layer as many as another ticket does."""
    masks = {}
    for name, mask in like.masks.items():
        sizes = dense.initial[name].abs().flatten()
        kept = torch.zeros(mask.numel(), dtype=torch.bool)
        kept[sizes.topk(int(mask.sum())).indices] = True
        masks[name] = kept.view_as(mask)
    return replace(dense, masks=masks)


def run_nets(split: Split) -> None:
    """Rate the dense net, the tickets, and what is pruned after training."""
    X = split.X
    model = split.fit(X, search="iterative")
    rounds = model.rounds_
    at = int((rounds["remaining"] - SIZE).abs().idxmin())
    cost = rounds["n_epochs"].cumsum() / rounds["n_epochs"][0]
    dense = with_round(model, 0)
    split.rate_ticket("dense", dense, 1.0)
    split.rate_ticket("iterative", model, model.cost_["dense_trainings"])
    split.rate_ticket("iterative 13.5 %", with_round(model, at), cost[at])
    cheap = split.fit(X)
    split.rate_ticket("cheap", cheap, cheap.cost_["dense_trainings"])
    small = split.fit(X, remaining=SIZE, select=SIZE)
    split.rate_ticket("cheap 13.5 %", small, small.cost_["dense_trainings"])
    pruned = with_ticket(dense, prune(dense.ticket_, cheap.ticket_))
    split.rate_ticket("pruned", pruned, 1.0)
    tuned = split.fit(X, ticket=pruned.ticket_)
    split.rate_ticket("pruned, fine-tuned", tuned, 2.0)


def encode(split: Split) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return scaled numbers and one-hot words, and of which column each is."""
    words = not_numbers(split.X)
    numbers = [column for column in split.X if column not in words]
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    one_hot = OneHotEncoder(  # what is missing is a word
        min_frequency=20,
        handle_unknown="infrequent_if_exist",
        feature_name_combiner=lambda column, word: column,
    )
    scaled = make_pipeline(imputer, StandardScaler())
    encoder = ColumnTransformer(
        [("numbers", scaled, numbers), ("words", one_hot, words)], sparse_threshold=0
    )
    X = pd.DataFrame(encoder.fit_transform(split.X)).rename(columns=str)
    X_test = pd.DataFrame(encoder.transform(split.X_test)).rename(columns=str)
    if words:
        numbers += list(encoder.named_transformers_["words"].get_feature_names_out())
    return X, X_test, np.array(numbers)


def fit_sparse(X: pd.DataFrame, y: pd.Series, seed: int) -> LogisticRegression:
    """Fit with the penalty that has the lowest log-loss in three folds."""
    model = LogisticRegression(l1_ratio=1.0, solver="saga", tol=1e-3, random_state=0)
    labels = np.unique(y)

    def rate(fitted: Any, X: pd.DataFrame, y: pd.Series) -> float:
        rated = score(y.to_numpy(), fitted.predict_proba(X), fitted.classes_, labels)
        return -rated["log-loss"]

    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    grid = GridSearchCV(model, {"C": PENALTIES}, scoring=rate, cv=folds, refit=False)
    few = draw_rows(y, np.arange(len(y)), N_CHOICE_ROWS, seed)
    grid.fit(X.iloc[few], y.iloc[few])
    return model.set_params(**grid.best_params_).fit(X, y)


def run_l1(split: Split) -> None:
    """Rate a sparse logistic regression, and a net on the inputs that it selects."""
    X, X_test, columns = encode(split)
    model = fit_sparse(X, split.y, split.seed)
    selector = SelectFromModel(model, threshold=1e-5, prefit=True)
    chosen = selector.get_support()
    figures = {"columns": len(set(columns[chosen])), "cost": 0.0}
    n_weights = int((model.coef_ != 0).sum())
    split.rate(LINES[-1], model, X_test, weights=n_weights, **figures)
    net = split.fit(X.loc[:, chosen], n_rounds=0)
    figures["cost"] = 1.0
    n_weights = int(net.ticket_.to_frame()["n_weights"].sum())
    split.rate(LINES[-2], net, X_test.loc[:, chosen], weights=n_weights, **figures)


def run(path: Path, seed: int, n_rows: int) -> dict[str, dict[str, float]]:
    """Rate all lines on one split of one table."""
    split = Split(path, seed, n_rows)
    run_nets(split)
    run_l1(split)
    split.compare()
    return {line: split.lines[line] for line in LINES}


def show(frame: pd.DataFrame) -> None:
    formats = {"weights": "{:.0f}".format, "columns": "{:.1f}".format}
    print(frame.to_string(formatters=formats, float_format="{:.4f}".format))


def summarize(frame: pd.DataFrame) -> None:
    """Print the means of each table, then those over tables."""
    means = frame.groupby(["table", "model"])[FIGURES + COMPARED].mean()
    splits = frame.groupby("table")["split"].nunique()
    for table, part in means[FIGURES + COMPARED[:2]].groupby(level="table"):
        print(f"\n{table}, splits: {splits[table]}")
        show(part.droplevel("table").reindex(LINES))
    means["as good"] = means["excess"] <= means["excess error"]
    by_line = means.groupby("model")
    summary = by_line[["remaining", "excess", "cost"]].mean()
    summary.insert(2, "median excess", by_line["excess"].median())
    summary.insert(3, "as good", by_line["as good"].sum())
    print(f"\n{len(splits)} tables, log-loss beside the dense net")
    show(summary.reindex(LINES))
    cheap = means.xs("cheap 13.5 %", level="model")
    iterative = means.xs("iterative 13.5 %", level="model")
    beside = cheap[["accuracy", "points", "points error", "cost"]]
    beside.insert(3, "excess", cheap["log-loss"] - iterative["log-loss"])
    beside = beside.assign(**{"iterative cost": iterative["cost"]})
    beside.loc["mean"] = beside.mean()
    print("\nThe cheap search beside the iterative one at 13.5 %")
    show(beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tables", nargs="+", help="all by default")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.folder.glob("*.parquet"))}
    tables = args.tables or list(paths)
    if not tables or not set(tables) <= set(paths):
        parser.error(f"{args.folder} has the tables {list(paths)}; asked for {tables}")
    results = Results(args.json)
    if any(row["rows"] != args.rows for row in results.rows):
        parser.error(f"{args.json} has results of other --rows than {args.rows}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for split in range(args.splits):
        for table in tables:
            if all(results.has((table, split, line)) for line in LINES):
                continue
            started = time.perf_counter()
            for line, figures in run(paths[table], split, args.rows).items():
                results.put((table, split, line), {**figures, "rows": args.rows})
            seconds = time.perf_counter() - started
            print(f"{table}, split {split}: {seconds:.0f} s", flush=True)
    done = pd.DataFrame(results.rows)
    summarize(done[done["table"].isin(tables) & (done["split"] < args.splits)])


if __name__ == "__main__":
    main()
