"""How many rows a class needs, with the standard and with the prototype head.

    python benchmarks/class_curve.py DIR [--tables ...] [--rows 12000] [--repeats 3]

DIR holds parquet files whose last column is the target. Of each table one class is
learned from few rows and from more, and all others as they are, by the nets that
`NoisyFineTuneProbe` has by default. F1 of the class is on rows held out; "well" is 90 %
of the best F1 with the largest count. In Tanzer et al. (2022) a class needed about 25
examples to be predicted at all, and about 100 to be predicted moderately well.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd
import torch

from sklearn_memgen import NoisyFineTuneProbe, rows_needed

#: The class of each table that is made rare.
CLASSES = {
    "pendigits": "9",
    "nursery": "very_recom",
    "connect_4": "0",
    "adult": ">50K",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="+", default=list(CLASSES), choices=CLASSES)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    curves, needed = {}, {}
    for name in args.tables:
        table = pd.read_parquet(args.folder / f"{name}.parquet")
        table = table.sample(min(args.rows, len(table)), random_state=0)
        X, y = table.iloc[:, :-1], table.iloc[:, -1].astype(str)
        probe = NoisyFineTuneProbe(
            noise_levels=(0.0,),
            threshold_fraction=None,
            n_repeats=args.repeats,
            random_state=0,
        ).fit(X, y)
        curve = probe.class_learning_curve(CLASSES[name])
        print(f"{name}: {(y == CLASSES[name]).mean():.0%} of the rows", flush=True)
        means = curve.groupby(["head", "count"], sort=False)["f1"].mean()
        curves[name] = means.unstack("count")
        needed[name] = rows_needed(curve)
    print(f"\nF1, means of {args.repeats} nets")
    print(pd.concat(curves).round(2).to_string(na_rep="-"))
    print("\nRows until the class is predicted, and predicted well")
    print(pd.concat(needed).to_string(na_rep="-"))


if __name__ == "__main__":
    main()
