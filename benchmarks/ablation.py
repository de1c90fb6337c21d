"""What each part of WideDeepClassifier's default is worth.

    python benchmarks/ablation.py DIR [--tables ...] [--variants ...] [--json FILE]

Takes every parquet file of the folder, whose last column is the target, and only the
training rows of the first split of `tabular.py`: these are split once more, 80/20, so
that no decision rests on a test row. Each variant switches one part of the default off.
Prints log-losses in nats and, beneath, how much each variant loses to the default.
With `--json` each result is stored when it is there, and not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from tabular import load, split_rows

from sklearn_memgen import WideDeepClassifier

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "one member": {"n_members": 1},
    "eight members": {"n_members": 8},
    "layers of 128": {"hidden_layer_sizes": (128, 128)},
    "layers of 256": {"hidden_layer_sizes": (256, 256)},
    "no averaged weights": {"ema_decay": None},
    "bins at quantiles": {"bins": "quantile", "n_bins": 48},
    "no exact values": {"memorize": "none"},
    "no crosses, no statistics": {"crosses": ()},
    "never cautious": {"caution": False},
    "not calibrated": {"calibrate": False},
    "no wide part": {"wide": False},
    "wide part only": {"hidden_layer_sizes": ()},
}


def measure(
    table: tuple[pd.DataFrame, pd.Series], params: dict[str, Any]
) -> tuple[float, float]:
    """Return the log-loss on held-out training rows, and the seconds of the fit."""
    X, y = table
    for seed in (0, 1):  # the test rows go first, then those of the inner split
        train, held_out = split_rows(y, seed)
        if seed == 0:
            X, y = X.iloc[train], y.iloc[train]
    start = time.perf_counter()
    model = WideDeepClassifier(random_state=0, **params)
    model.fit(X.iloc[train], y.iloc[train])
    seconds = time.perf_counter() - start
    probabilities = np.clip(model.predict_proba(X.iloc[held_out]), 1e-7, 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    loss = log_loss(y.iloc[held_out], probabilities, labels=model.classes_)
    return float(loss), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--tables", nargs="+", help="all by default")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    results = []
    if args.json and args.json.exists():
        results = json.loads(args.json.read_text())
    done = {(row["table"], row["variant"]) for row in results}
    paths = sorted(args.folder.glob("*.parquet"))
    for path in paths:
        if args.tables and path.stem not in args.tables:
            continue
        for variant in args.variants:
            if (path.stem, variant) in done:
                continue
            loss, seconds = measure(load(path), VARIANTS[variant])
            row = {"table": path.stem, "variant": variant, "loss": loss, "s": seconds}
            results.append(row)
            print(f"{path.stem}, {variant}: {loss:.4f} in {seconds:.1f} s", flush=True)
            if args.json:
                args.json.write_text(json.dumps(results, indent=1))
    frame = pd.DataFrame(results)
    losses = frame.pivot(index="table", columns="variant", values="loss")
    losses = losses[[variant for variant in VARIANTS if variant in losses]]
    print(losses.T.round(4).to_string())
    worse = losses.sub(losses["default"], axis=0).T
    print("\nlog-loss beyond the default's")
    print(worse.round(4).to_string())


if __name__ == "__main__":
    main()
