"""What guided transfer costs: scouts as one Population, and steps under a guide.

    python benchmarks/guided_cost.py [--mnist FOLDER] [--device cpu] [--turns 5]
        [--parts scouts steps]

Scouts: 120 of them, one for every three of ten classes, from a base of one hidden layer
of 16 units on the handwritten digits of scikit-learn, one of two layers of 64, and with
MNIST the CNN of `guided_transfer.py`; as `SourceNet` trains them ("auto"), stacked, and
one after another.

Steps: fine-tuning under a guide beside plain fine-tuning, on 20 rows and on 5,000.

All take turns, in an order that is reversed every other turn; figures are medians, of
processor seconds on a CPU and of seconds on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from guided_transfer import Body, load_digits
from sklearn import datasets
from skorch.callbacks import Callback

from sklearn_memgen import GuidedTransferClassifier, SourceNet, _scouting

STRATEGIES = ("auto", "stacked", "sequential")
#: Rows and passes over them.
STEPS = {20: 200, 5000: 3}
Data = tuple[np.ndarray, np.ndarray]


class Clock:
    """Seconds of the processor, or of a GPU that has finished."""

    def __init__(self, device: str) -> None:
        self.on_gpu = torch.device(device).type == "cuda"

    def now(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()


class Stopwatch(Callback):
    """Takes the time of training, without what comes before and after."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.begin = self.clock.now()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.seconds = self.clock.now() - self.begin


def make_sources(mnist: Path | None, device: str) -> dict[str, tuple[SourceNet, Data]]:
    """Return sources to be fitted, and what they learn."""
    common = {
        "objective": "supervised",
        "n_scouts": "all",
        "scout_tasks": "classes",
        "max_epochs": 1,
        "random_state": 0,
        "device": device,
    }
    digits = datasets.load_digits(return_X_y=True)
    sources = {
        f"table, {sizes}": (
            SourceNet(**common, hidden_layer_sizes=sizes, scout_epochs=3),
            digits,
        )
        for sizes in ((16,), (64, 64))
    }
    if mnist is not None:
        source = SourceNet(**common, module=Body, scout_epochs=1)
        sources["CNN"] = source, load_digits(mnist, 500)
    return sources


def in_turns(ways: dict[str, Any], n_turns: int) -> dict[str, float]:
    """Return the median of what each way returns when it is called."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(n_turns):
        for name in list(ways) if turn % 2 else reversed(ways):
            found[name].append(ways[name]())
    return {name: statistics.median(values) for name, values in found.items()}


def fit(source: SourceNet, data: Data) -> tuple[SourceNet, tuple[Any, ...]]:
    """Fit a source, and return with what it has its scouts trained."""
    with mock.patch.object(_scouting, "explore", wraps=_scouting.explore) as explore:
        source.fit(*data)
    return source, explore.call_args.args


def cost_of_scouts(name: str, given: tuple[Any, ...], clock: Clock, turns: int) -> None:
    """Print the seconds of 120 scouts."""

    def seconds(strategy: str) -> float:
        begin = clock.now()
        _scouting.explore(*given, strategy=strategy)
        return clock.now() - begin

    ways = {s: lambda s=s: seconds(s) for s in STRATEGIES}
    found = in_turns(ways, turns)
    weights = sum(p.numel() for p in given[0].net_.module_.parameters())
    ratios = [found["sequential"] / found[s] for s in STRATEGIES[:2]]
    cells = [name, f"{weights:,}", *(f"{s:.2f}" for s in found.values())]
    print("| " + " | ".join([*cells, *(f"{r:.2f}" for r in ratios)]) + " |", flush=True)


def cost_of_steps(
    name: str, source: SourceNet, data: Data, clock: Clock, turns: int
) -> None:
    """Print the milliseconds of a step."""
    X, y = data
    for n_rows, n_epochs in STEPS.items():
        rows = np.random.default_rng(0).choice(len(y), n_rows)

        def milliseconds(guide: str | None, rows=rows, n_epochs=n_epochs) -> float:
            watch = Stopwatch(clock)
            model = GuidedTransferClassifier(
                source,
                guide=guide,
                early_stopping=False,
                max_epochs=n_epochs,
                callbacks=[watch],
                random_state=0,
                device=source.device,
            ).fit(X[rows], y[rows])
            batch_size = model.net_.batch_size
            return 1000 * watch.seconds / n_epochs / -(-len(rows) // batch_size)

        ways = {str(g): lambda g=g: milliseconds(g) for g in (None, "tensor")}
        found = in_turns(ways, turns)
        ratio = found["tensor"] / found["None"]
        cells = [name, f"{n_rows:,}", *(f"{ms:.3f}" for ms in found.values())]
        print("| " + " | ".join([*cells, f"{ratio:.2f}"]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--parts", nargs="+", default=["scouts", "steps"])
    args = parser.parse_args()
    clock = Clock(args.device)
    fitted = {
        name: (*fit(source, data), data)
        for name, (source, data) in make_sources(args.mnist, args.device).items()
    }
    if "scouts" in args.parts:
        ratios = "sequential / auto | sequential / stacked"
        print(f"| base | weights | {' | '.join(STRATEGIES)} | {ratios} |")
        print("|---" * 7 + "|")
        for name, (_, given, _) in fitted.items():
            cost_of_scouts(name, given, clock, args.turns)
    if "steps" in args.parts:
        print("\n| net | rows | plain, ms a step | guided | guided / plain |")
        print("|---" * 5 + "|")
        for name, (source, _, data) in fitted.items():
            cost_of_steps(name, source, data, clock, 2 * args.turns + 1)


if __name__ == "__main__":
    main()
