"""Every phenomenon that `inspection` measures, beside what its paper says.

    python benchmarks/inspection.py DATA [--only capacity flatness] [--figures FOLDER]

DATA has the folders `mnist` and `tabular`. Each part is a script of its own, with
options of its own; here they run one after another, as they are by default.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
#: What each part is about: the statement of a paper that it looks for.
STATEMENTS = {
    "capacity": "Test error goes on falling past the width at which all labels are "
    "fitted, also with 5 % of them wrong (Neyshabur et al. 2015). Random labels are "
    "fitted to 100 %, with test accuracy at chance (Zhang et al. 2017).",
    "dynamics": "The angle to the hard-margin SVM falls like 1/log t for gradient "
    "descent and not for Adam (Soudry et al. 2018). 91.7 % of MNIST are never "
    "forgotten, 75.3 % with permuted pixels (Toneva et al. 2019).",
    "flatness": "Minima of large batches are sharper than those of small ones (Keskar "
    "et al. 2017). Nets that part early end in other valleys (Frankle et al. 2020).",
    "batch_norm": "Scale and shift alone learn far more than as many other parameters: "
    "CIFAR-10 48, 69.5 and 82 % with ResNet-14, -110 and -866 (Frankle et al. 2020).",
    "memorization": "Exceptions and noise are memorized, general rows are not, and two "
    "halves of the nets agree on which (Feldman and Zhang 2020).",
}


def commands(part: str, data: Path, figures: Path | None) -> list[list[str]]:
    """Return the arguments of the runs of a part."""
    mnist, tables = str(data / "mnist"), str(data / "tabular")
    adult = str(data / "tabular" / "adult.parquet")
    both = ["--mnist", mnist, "--tables", tables]
    runs = {
        "capacity": [["width", *both], ["random", *both]],
        "dynamics": [[str(data)]],
        "flatness": [[what, *both] for what in ("batches", "scaling", "lines", "cost")],
        "batch_norm": [both],
        "memorization": [
            ["known", "--n-rows", "20000"],
            ["real", "--table", adult, "--n-rows", "3000", "--n-models", "40"],
        ],
    }[part]
    if figures is not None and part != "memorization":
        drawn = ("width", "random", "batches")
        for run in runs:
            if run[0] in drawn or len(runs) == 1:
                name = f"{part}_{run[0]}.png" if len(runs) > 1 else f"{part}.png"
                run += ["--figure", str(figures / name)]
    return runs


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=STATEMENTS, default=STATEMENTS)
    parser.add_argument("--figures", type=Path, help="a folder for the pictures")
    options = parser.parse_args()
    if options.figures is not None:
        options.figures.mkdir(parents=True, exist_ok=True)
    for part in options.only:
        print(f"\n== {part}\n{STATEMENTS[part]}\n", flush=True)
        started = time.perf_counter()
        for arguments in commands(part, options.data, options.figures):
            script = str(HERE / f"inspection_{part}.py")
            subprocess.run([sys.executable, "-u", script, *arguments], check=True)
        print(f"\n{part}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
