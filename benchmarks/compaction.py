"""What compaction makes of a pruned LeNet-300-100: size and seconds.

    python benchmarks/compaction.py --mnist FOLDER [--remaining 0.036] [--rounds 21]

The net is trained on MNIST's four files of images and digits in FOLDER, as
`lottery.py` does, and a ticket of it is found by the cheap search. Then it predicts 1
row to 10,000 rows: dense, masked by `torch.nn.utils.prune`, made smaller by
Torch-Pruning if `torch_pruning` is installed, without its dead units only, and by
`compact`. All of these are NetClassifiers. They take turns, in random order; "times
faster" is the median of the ratios to the dense one in the same round, "by the least"
the ratio of the least times.
"""

from __future__ import annotations

import argparse
import copy
import io
import itertools
import pickle
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lottery import load, make, make_net
from torch import nn
from torch.nn.utils import prune

from sklearn_memgen import NetClassifier
from sklearn_memgen.compaction import compact
from sklearn_memgen.nets import BATCH_SIZES, SparseLinear, choose_kernel, compact_module


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def train(
    X: np.ndarray, y: np.ndarray, remaining: float, n_epochs: int
) -> tuple[NetClassifier, NetClassifier]:
    """Return the dense classifier, and a ticket whose weights are zero where pruned."""
    dense = make_net(max_epochs=n_epochs, early_stopping=False, random_state=0)
    search = make(n_epochs, 1, search="cheap", remaining=remaining, select=remaining)
    return dense.fit(X, y), search.fit(X, y).estimator_


def with_module(model: NetClassifier, module: nn.Module) -> NetClassifier:
    """Return a copy of a classifier around another module, without an optimizer."""
    changed = compact(model)
    changed.net_.module = changed.net_.module_ = module.eval()
    del changed.net_.max_predicted  # batches are as large as those of the dense one
    return changed


def masked_by_torch(dense: nn.Module, pruned: nn.Module) -> nn.Module:
    """Return a module with a mask on each layer."""
    masked = copy.deepcopy(pruned)
    for layer, source in zip(linear_layers(masked), linear_layers(dense), strict=True):
        prune.custom_from_mask(layer, "weight", layer.weight.detach() != 0)
        with torch.no_grad():
            layer.weight_orig.copy_(
                torch.where(layer.weight_mask.bool(), layer.weight_orig, source.weight)
            )
    return masked


def by_torch_pruning(pruned: nn.Module) -> nn.Module | None:
    """Take out units whose incoming and outgoing weights are all zero."""
    try:
        import torch_pruning
    except ImportError:
        return None
    module = copy.deepcopy(pruned)
    rows = torch.randn(2, 784)
    graph = torch_pruning.DependencyGraph().build_dependency(module, rows)
    layers = linear_layers(module)
    for before, after in itertools.pairwise(layers):
        # It drops units with their constants: exact where nothing sees the unit, or
        # where its constant is zero.
        unseen = after.weight.eq(0).all(0)
        zero = before.weight.eq(0).all(1) & (before.bias <= 0)
        dead = (unseen | zero).nonzero().flatten().tolist()
        if dead:
            prune_units = torch_pruning.prune_linear_out_channels
            graph.get_pruning_group(before, prune_units, idxs=dead).prune()
    return module


def seconds_of_rounds(
    models: dict[str, NetClassifier], X: np.ndarray, rounds: int
) -> dict[str, np.ndarray]:
    """Time `predict_proba`, models in turn, after one round unseen.

    In another order each round, since what ran before leaves its data in the cache.
    """
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name in rng.permutation(list(models)):
            started = time.perf_counter()
            models[name].predict_proba(X)
            seconds[name].append(time.perf_counter() - started)
    return {name: np.array(times[1:]) for name, times in seconds.items()}


def n_bytes(model: NetClassifier) -> int:
    file = io.BytesIO()
    pickle.dump(model, file)
    return file.tell()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--remaining", type=float, default=0.036)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    X, y = load(args.mnist)
    test, answers = load(args.mnist, "t10k")
    dense, pruned = train(X, y, args.remaining, args.epochs)

    module = pruned.net_.module_.eval()
    units_gone = compact_module(module, torch.randn(2, 784))
    compacted = compact(pruned)
    models = {
        "dense": dense,
        "dense, no optimizer": with_module(dense, dense.net_.module_),
        "zeros in dense layers": pruned,
        "torch prune": with_module(pruned, masked_by_torch(dense.net_.module_, module)),
        "dead units taken out": with_module(pruned, units_gone),
        "compact": compacted,
    }
    smaller = by_torch_pruning(module)
    if smaller is not None:
        models["Torch-Pruning"] = with_module(pruned, smaller)

    layers = linear_layers(compacted.net_.module_)
    print(
        f"LeNet-300-100, {args.remaining:.1%} remaining, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}"
    )
    for layer, whole in zip(layers, linear_layers(module), strict=True):
        kernels = ("dense",) * len(BATCH_SIZES)
        if isinstance(layer, SparseLinear):
            # As a first layer in CSR form leaves the inputs of the others.
            later = layer is not layers[0]
            kernels = choose_kernel(layer.weight.detach(), transposed=later)
        print(
            f"{tuple(whole.weight.shape)} -> {tuple(layer.weight.shape)}, "
            f"{int(layer.weight.count_nonzero())} weights, "
            f"{int(layer.weight.ne(0).any(0).sum())} inputs; "
            + ", ".join(
                f"{kernel} from {size}"
                for size, kernel in zip(BATCH_SIZES, kernels, strict=True)
            )
        )
    expected = pruned.predict_proba(test)
    table: dict[str, dict[str, str]] = {}
    for n_rows in (1, 16, 256, len(test)):
        rounds = args.rounds if n_rows > 1000 else 10 * args.rounds
        times = seconds_of_rounds(models, test[:n_rows], rounds)
        for name, seconds in times.items():
            row = table.setdefault(name, {})
            row[f"{n_rows:,} rows: ms"] = f"{1000 * np.median(seconds):.2f}"
            ratio = np.median(times["dense"] / seconds)
            row[f"{n_rows:,} rows: times faster"] = f"{ratio:.2f}"
            least = times["dense"].min() / seconds.min()
            row[f"{n_rows:,} rows: by the least"] = f"{least:.2f}"
    for name, model in models.items():
        found = model.predict_proba(test)
        row = table[name]
        row["pickle kB"] = f"{n_bytes(model) / 1000:,.1f}"
        row["accuracy %"] = f"{100 * np.mean(found.argmax(1) == answers):.2f}"
        difference = abs(found - expected).max()
        row["largest difference"] = "" if name[:5] == "dense" else f"{difference:.1e}"
    print(pd.DataFrame(table).to_string())


if __name__ == "__main__":
    main()
