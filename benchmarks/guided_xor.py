"""XOR without pretraining: how many runs stagnate, plain and guided.

    python benchmarks/guided_xor.py [--runs 200] [--sizes 2 3 4 5 6 8] [--steps 1000]
        [--optimizers sgd adam] [--scout-rows 3] [--activation tanh]

A run is a 2-h-1 net from random weights, trained on the four rows by whole batches. It
stagnates if it does not know all four rows after the last step. Its scouts begin with
the same random weights and learn three of the four rows each, as those of
``GuidedTransferClassifier(source_params={"max_epochs": 0, ...}, head="kept")`` do. Here
the nets of all runs lie side by side in the same tensors and are moved by one optimizer
under one `Guide`, which is much quicker; first a few runs are compared with the
estimator, and it stops if they differ.

Learning rates are tuned on other seeds, for each arm and size: the one of fewest runs
that stagnate, of equally good ones a middle one. Scouts have that of the plain arm. Run
k has the same random weights in all arms: differences are paired.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_memgen import GuidedTransferClassifier
from sklearn_memgen.datasets import make_xor
from sklearn_memgen.training import Displacement, Guide

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
RATES = {"sgd": (0.1, 0.3, 1.0, 3.0, 10.0), "adam": (0.003, 0.01, 0.03, 0.1, 0.3)}
X, Y = make_xor(4, noise=0.0, random_state=0)
INPUTS, LABELS = torch.tensor(X, dtype=torch.float32), torch.from_numpy(Y).float()

#: Parameters by name, those of all runs side by side.
Nets = dict[str, Tensor]


def by_tensor(displacement: Displacement, of: Callable[[Tensor], Tensor]) -> Guide:
    """Return a guide by tensor, changed by a function of the multipliers of each."""
    guide = displacement.guide(scope="tensor")
    return Guide({name: of(value) for name, value in guide.items()})


def constant(displacement: Displacement) -> Guide:
    """Return the mean of the guide by tensor over all parameters."""
    guide = displacement.guide(scope="tensor")
    mean = float(torch.cat([value.flatten() for value in guide.values()]).mean())
    return Guide(dict.fromkeys(guide, mean))


#: The guide of a run, made of its displacements. The last four have parts of the guide
#: by tensor only: they tell what it is that does what it does.
ARMS: dict[str, Callable[[Displacement], Guide] | None] = {
    "plain": None,
    "tensor": lambda d: d.guide(),
    "global": lambda d: d.guide(scope="global"),
    "tensor, absolute": lambda d: d.guide(spread="absolute"),
    "global, absolute": lambda d: d.guide(scope="global", spread="absolute"),
    "tensor, warm": lambda d: d.guide().temper("warm"),
    "global, warm": lambda d: d.guide(scope="global").temper("warm"),
    "tensor, zero not enforced": lambda d: d.guide(focus="normalized"),
    "zeros of tensor alone": lambda d: by_tensor(d, lambda g: (g > 0).float()),
    "means of tensor alone": lambda d: by_tensor(d, lambda g: g.mean()),
    "one mean": constant,
}


def random_nets(seeds: Iterable[int], size: int) -> Nets:
    """Return nets with the random weights of torch's linear layers."""
    nets = []
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = nn.ModuleDict({"hidden": nn.Linear(2, size)})
            net["head"] = nn.Linear(size, 1)
            nets.append(dict(net.named_parameters()))
    return side_by_side(nets)


def side_by_side(nets: Sequence[Nets]) -> Nets:
    """Put the parameters of nets into the same tensors."""
    return {n: torch.stack([net[n].detach() for net in nets]) for n in nets[0]}


def logits_of(nets: Nets, rows: Tensor, activation: Callable) -> Tensor:
    """Return the logits of some rows, shape (n_runs, n_rows)."""
    weight, bias, head, shift = nets.values()
    hidden = activation(INPUTS[rows] @ weight.mT + bias[:, None])
    return (hidden @ head.mT).squeeze(2) + shift


class Setting:
    """How runs are trained."""

    def __init__(self, args: argparse.Namespace, optimizer: str) -> None:
        self.args, self.optimizer = args, OPTIMIZERS[optimizer]
        self.activation = ACTIVATIONS[args.activation]()

    def train(
        self,
        nets: Nets,
        rates: float | Tensor,
        rows: Iterable[int] = range(4),
        *,
        steps: int,
        guide: Guide | None = None,
    ) -> Nets:
        """Return what becomes of nets, at one rate or at a rate of each."""
        nets = {name: value.clone().requires_grad_() for name, value in nets.items()}
        rows = torch.tensor(list(rows))
        # What a step does is proportional to the rate: runs of several can be one set.
        optimizer = self.optimizer(nets.values(), lr=1.0, fused=True)
        rates = torch.as_tensor(rates)
        multipliers = {
            name: rates.view(-1, *[1] * (value.ndim - 1))
            * (1.0 if guide is None else guide[name])
            for name, value in nets.items()
        }
        Guide(multipliers).attach(optimizer, nets)
        loss = nn.BCEWithLogitsLoss(reduction="none")
        for _ in range(steps):
            optimizer.zero_grad()
            logits = logits_of(nets, rows, self.activation)
            losses = loss(logits, LABELS[rows].expand_as(logits))
            losses.mean(1).sum().backward()  # each run has the gradient of its own
            optimizer.step()
        return {name: value.detach() for name, value in nets.items()}

    def scout(self, nets: Nets, rate: float) -> list[Displacement]:
        """Send the scouts of each run."""
        found = [Displacement(one_of(nets, run)) for run in range(n_runs(nets))]
        for rows in itertools.combinations(range(4), self.args.scout_rows):
            scouts = self.train(nets, rate, rows, steps=self.args.scout_steps)
            for run, displacement in enumerate(found):
                displacement.add(one_of(scouts, run))
        return found

    def stagnating(
        self, nets: Nets, rates: Sequence[float], guide: Guide | None
    ) -> np.ndarray:
        """Tell which runs do not know all rows in the end, shape (n_rates, n_runs)."""
        n, k = n_runs(nets), len(rates)
        each = torch.tensor(rates).repeat_interleave(n)
        nets = {name: torch.cat([value] * k) for name, value in nets.items()}
        if guide is not None:
            guide = Guide({name: torch.cat([v] * k) for name, v in guide.items()})
        trained = self.train(nets, each, steps=self.args.steps, guide=guide)
        logits = logits_of(trained, torch.arange(4), self.activation)
        return ((logits > 0) != LABELS.bool()).any(1).view(k, n).numpy()


def n_runs(nets: Nets) -> int:
    return len(next(iter(nets.values())))


def one_of(nets: Nets, run: int) -> Nets:
    """Return the parameters of a run."""
    return {name: value[run] for name, value in nets.items()}


def guide_of(found: Sequence[Displacement], arm: str) -> Guide | None:
    """Return the guides of all runs, side by side."""
    make = ARMS[arm]
    if make is None:
        return None
    shapes = {name: value.shape for name, value in found[0].guide().items()}
    guides = [make(displacement) for displacement in found]
    return Guide(
        {
            name: torch.stack([guide[name].float().expand(shape) for guide in guides])
            for name, shape in shapes.items()
        }
    )


def wilson(n: int, of: int) -> tuple[float, float]:
    """Return a 95 % interval of a share."""
    z, share = 1.959964, n / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * (share * (1 - share) / of + z**2 / (4 * of**2)) ** 0.5
    return max(middle - half, 0.0), min(middle + half, 1.0)


def paired(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Return the mean difference of paired runs, and a 95 % interval."""
    difference = one.astype(float) - other
    half = 1.959964 * difference.std(ddof=1) / len(difference) ** 0.5
    mean = difference.mean()
    return mean, mean - half, mean + half


def compare(size: int, optimizer: str, args: argparse.Namespace) -> None:
    """Print a row for each arm."""
    setting, rates = Setting(args, optimizer), RATES[optimizer]
    # Runs to tune on come after the others, and are trained together with them.
    nets = random_nets(range(args.runs + args.tuning_runs), size)
    plain, found = None, []
    for arm in ARMS:
        guide = None if plain is None else guide_of(found, arm)
        runs = setting.stagnating(nets, rates, guide)
        stagnating, tuning = runs[:, : args.runs], runs[:, args.runs :].sum(1)
        best = np.flatnonzero(tuning == tuning.min())
        at = best[len(best) // 2]
        stagnating = stagnating[at]
        if plain is None:
            plain = stagnating
            found = setting.scout(nets, rates[at])
        low, high = wilson(stagnating.sum(), args.runs)
        share = f"{100 * stagnating.mean():.1f} ({100 * low:.0f} to {100 * high:.0f})"
        difference = [100 * x for x in paired(stagnating, plain)]
        beside = "{:+.1f} ({:+.1f} to {:+.1f})".format(*difference)
        mean = 1.0 if guide is None else float(mean_of(guide))
        cells = [f"2-{size}-1", optimizer, arm, f"{mean:.2f}", f"{rates[at]:g}", share]
        cells.append("" if arm == "plain" else beside)
        print("| " + " | ".join(cells) + " |", flush=True)


def mean_of(guide: Guide) -> Tensor:
    return torch.cat([value.flatten() for value in guide.values()]).mean()


def check(args: argparse.Namespace, optimizer: str) -> None:
    """See that the estimator does what is done here."""
    setting, subsets = Setting(args, optimizer), itertools.combinations
    tasks = [list(rows) for rows in subsets(range(4), args.scout_rows)]
    rate, steps = RATES[optimizer][1], {"steps": 100}
    common = {"optimizer": OPTIMIZERS[optimizer], "learning_rate": rate}
    common |= {"schedule": "constant", "device": "cpu"}
    small = argparse.Namespace(**vars(args) | {"scout_steps": 50})
    for seed, arm in itertools.product(range(2), ("tensor", "global")):
        model = GuidedTransferClassifier(
            source_params={
                "module": nn.Sequential(
                    nn.Linear(2, 3), ACTIVATIONS[args.activation]()
                ),
                **common,
                **{"weight_decay": 0.0, "ema_decay": None, "max_epochs": 0},
                **{"n_scouts": len(tasks), "scout_epochs": 50},
                "scout_tasks": lambda *given: tasks,
            },
            **common,
            guide=arm,
            head="kept",
            max_epochs=100,
            random_state=seed,
        ).fit(X, Y)
        start = dict(model.source_.net_.module_.named_parameters())
        nets = side_by_side([start])
        found = Setting(small, optimizer).scout(nets, rate)
        ended = setting.train(nets, rate, guide=guide_of(found, arm), **steps)
        for name, value in model.net_.module_.named_parameters():
            torch.testing.assert_close(
                ended[name][0], value.detach(), rtol=1e-2, atol=1e-3
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--tuning-runs", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 4, 5, 6, 8])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--scout-steps", type=int, default=500)
    parser.add_argument("--scout-rows", type=int, default=3)
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS))
    parser.add_argument("--activation", choices=ACTIVATIONS, default="tanh")
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    for optimizer in args.optimizers:
        check(args, optimizer)
    print("| net | optimizer | arm | mean guide | rate | stagnate, % | beside plain |")
    print("|---" * 7 + "|")
    for optimizer in args.optimizers:
        for size in args.sizes:
            compare(size, optimizer, args)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
