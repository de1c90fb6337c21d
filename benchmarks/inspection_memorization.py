"""Memorization scores: do they find what has to be memorized, and do they agree?

On a table of known parts, scores should be high for exceptions and noise and low for
general rows. Scores of two disjoint halves of the nets should rank rows alike. What
they cost is told as a multiple of one fit.
"""

import argparse
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.datasets import make_memgen_classification
from sklearn_memgen.inspection import memorization_scores


class MLP(nn.Sequential):
    """Hidden layers of one width."""

    def __init__(self, n_features, n_classes, n_units=512, n_layers=3):
        widths = [n_features, *[n_units] * n_layers]
        layers = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers, nn.Linear(n_units, n_classes))


def dense(max_epochs, **params):
    """Return a dense net on numbers and one-hot categories, trained to the end."""
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encode = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0, "early_stopping": False}
    model = NetClassifier(
        MLP, module_params=params, max_epochs=max_epochs, **settings, random_state=0
    )
    return make_pipeline(encode, model)


def fit_seconds(model, X, y):
    """Time one fit of the model on all rows."""
    started = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - started


def by_outcome(scores):
    """Yield scores by probabilities, and by whether nets are right."""
    yield "probability", scores
    codes = np.searchsorted(scores.classes, scores.labels)
    correct = (scores.predictions == codes).astype(np.float32)
    yield "correct", replace(scores, outcomes=correct, is_probability=False)


def run(name, model, X, y, n_models, **params):
    """Train the nets, and print cost and agreement."""
    one = fit_seconds(model, X, y)
    started = time.perf_counter()
    scores = memorization_scores(
        model, X, y, n_models=n_models, outcome="probability", random_state=0, **params
    )
    seconds = time.perf_counter() - started
    print(
        f"{name}: {len(y):,} rows, {n_models} nets in {seconds:.0f} s: "
        f"{seconds / one:.1f} fits of {one:.1f} s, {seconds / one / n_models:.2f} each",
        flush=True,
    )
    for outcome, kind in by_outcome(scores):
        frame = kind.to_frame()
        memorized = (frame["memorization"] >= 0.25).mean()
        print(
            f"  {outcome}: memorized {memorized:.3f}, median standard error "
            f"{frame['std_error'].median():.3f}, rank correlation of two halves "
            f"{kind.agreement():.3f}",
            flush=True,
        )
    return scores


def known_parts(n_models, n_rows, max_epochs, seed):
    """Exceptions, each pair of which has two rows, and noise against general rows."""
    n_pairs = min(n_rows // 20, 500)
    X, y, parts = make_memgen_classification(
        n_rows,
        n_numeric=2,
        n_categorical=2,
        exception_fraction=2 * n_pairs / n_rows,
        n_exceptions=n_pairs,
        random_state=seed,
        return_parts=True,
    )
    scores = run("known parts", dense(max_epochs), X, y, n_models)
    for outcome, kind in by_outcome(scores):
        frame = kind.to_frame()
        means = frame.groupby(parts)[["memorization", "correct_in", "correct_out"]]
        print(means.mean().round(3).to_string())
        for odd in (["exception", "noise"], ["exception"], ["noise"]):
            some = parts.isin(["general", *odd]).to_numpy()
            auc = roc_auc_score(
                parts[some] != "general", frame["memorization"].to_numpy()[some]
            )
            print(f"  {outcome}: AUROC of {' and '.join(odd)}: {auc:.3f}", flush=True)


def real_table(path, n_models, n_rows):
    """The default classifier, with early stopping, and one trained to the end."""
    table = pd.read_parquet(path).sample(n_rows, random_state=0)
    X, y = table.drop(columns="target"), table["target"]
    run(f"{path.stem}, WideDeepClassifier", WideDeepClassifier(), X, y, n_models)
    model = dense(60, n_units=128, n_layers=2)
    run(f"{path.stem}, dense to the end", model, X, y, n_models)


def many_nets(n_models, n_rows):
    """Thousands of small nets, which a GPU trains together."""
    X, y = make_memgen_classification(n_rows, random_state=0)
    model = dense(20, n_units=128, n_layers=2)
    where = "cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name()
    run(f"many nets on {where}", model, X, y, n_models)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["known", "real", "many"])
    parser.add_argument("--table", type=Path, help="a parquet file, the target last")
    parser.add_argument("--n-models", type=int, default=60)
    parser.add_argument("--n-rows", type=int, default=10_000)
    parser.add_argument("--max-epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1, help="of the known table")
    options = parser.parse_args()
    if options.part == "known":
        known_parts(options.n_models, options.n_rows, options.max_epochs, options.seed)
    elif options.part == "real":
        real_table(options.table, options.n_models, options.n_rows)
    else:
        many_nets(options.n_models, options.n_rows)


if __name__ == "__main__":
    main()
