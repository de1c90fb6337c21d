"""What compaction makes of a pruned LeNet-300-100: size and seconds.

    python benchmarks/compaction.py --mnist FOLDER [--remaining 0.036] [--rounds 21]

The net is trained on MNIST's four files of images and digits in FOLDER, and pruned
layer by layer to the weights that are largest, in five rounds of two epochs each, its
last layer to twice the share. Then it predicts 1 row to 10,000 rows: dense, masked by
`torch.nn.utils.prune`, made smaller by Torch-Pruning if `torch_pruning` is installed,
without its dead units only, and by `compact`. All of these are NetClassifiers. They
take turns, in random order; "times faster" is the median of the ratios to the dense one
in the same round, "by the least" the ratio of the least times.
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
from mnist import LeNet, load_mnist
from torch import nn
from torch.nn.utils import prune

from sklearn_memgen import NetClassifier
from sklearn_memgen.compaction import compact
from sklearn_memgen.nets import BATCH_SIZES, SparseLinear, choose_kernel, compact_module

N_ROUNDS = 5


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


@torch.no_grad()
def find_masks(module: nn.Module, remaining: float) -> list[torch.Tensor]:
    """Mark the largest weights of each layer; of the last twice the share."""
    masks = []
    layers = linear_layers(module)
    for layer in layers:
        share = min(2 * remaining, 1) if layer is layers[-1] else remaining
        size = layer.weight.abs()
        n_kept = max(round(share * size.numel()), 1)
        masks.append(size >= size.flatten().topk(n_kept).values[-1])
    return masks


def train(X: np.ndarray, y: np.ndarray, remaining: float) -> tuple[NetClassifier, ...]:
    """Return the dense classifier, and one whose weights are zero where pruned."""
    model = NetClassifier(
        LeNet,
        learning_rate=1.2e-3,
        batch_size=60,
        max_epochs=2,
        early_stopping=False,
        warm_start=True,
        random_state=0,
        device="cpu",
    ).fit(X, y)
    dense = copy.deepcopy(model)
    for i in range(N_ROUNDS):
        masks = find_masks(model.net_.module_, remaining ** ((i + 1) / N_ROUNDS))
        for layer, mask in zip(linear_layers(model.net_.module_), masks, strict=True):
            layer.weight.register_hook(lambda grad, mask=mask: grad * mask)
            with torch.no_grad():
                layer.weight.mul_(mask)
        # No decay and no momentum of old gradients, so that what is zero stays zero.
        model.set_params(weight_decay=0.0, max_epochs=2)
        model.net_.initialize_optimizer()
        model.fit(X, y)
        for layer, mask in zip(linear_layers(model.net_.module_), masks, strict=True):
            layer.weight._backward_hooks = None
            assert (layer.weight[~mask] == 0).all()
    return dense, model


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
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    X, y = load_mnist(args.mnist)
    test, answers = load_mnist(args.mnist, "t10k")
    dense, pruned = train(X[: args.rows], y[: args.rows], args.remaining)

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
