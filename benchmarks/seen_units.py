"""Training a ticket without the units that nothing sees, beside the whole net.

    python benchmarks/seen_units.py [--rounds 5]

A perceptron of two hidden layers learns 8,000 rows of 40 numbers and two classes; the
cheap search finds a ticket. Then the ticket is trained for 200 steps of Adam under its
mask: as a whole, and without unseen units, as the cheap search does it. Both take
turns; "times faster" is the median of the ratios of a round.
"""

from __future__ import annotations

import argparse
import copy
import time

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_memgen import LotteryPrunedNet, NetClassifier
from sklearn_memgen.nets import SeenUnits
from sklearn_memgen.training import Guide

N_ROWS, N_COLUMNS, BATCH, N_STEPS = 8000, 40, 256, 200


def make_rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)


def make_net(n_units: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(N_COLUMNS, n_units), nn.ReLU()),
        *(nn.Linear(n_units, n_units), nn.ReLU()),
        nn.Linear(n_units, 1),
    )


def seconds(module: nn.Module, guide: Guide, X: Tensor, y: Tensor) -> float:
    """Train a copy of a net under a guide, and return how long it took."""
    module = copy.deepcopy(module)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    started = time.perf_counter()
    with guide.attach(optimizer, module.named_parameters()):
        for step in range(N_STEPS):
            rows = torch.arange(step * BATCH, (step + 1) * BATCH) % N_ROWS
            optimizer.zero_grad()
            logits = module(X[rows])[:, 0]
            F.binary_cross_entropy_with_logits(logits, y[rows]).backward()
            optimizer.step()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    X, y = make_rows()
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y).float()
    table = []
    for n_units in (128, 256, 512):
        for remaining in (0.135, 0.05, 0.02):
            net = NetClassifier(make_net(n_units))
            search = LotteryPrunedNet(
                net, remaining=remaining, select="last", max_epochs=10, random_state=0
            )
            ticket = search.fit(X, y).ticket_
            whole = ticket.apply(make_net(n_units))
            seen = SeenUnits.find(whole, ticket.masks, inputs[:2])
            small = seen.keep(copy.deepcopy(whole))
            guide = Guide.from_mask(seen.take(ticket.masks))
            times = np.array(
                [
                    (
                        seconds(whole, ticket.guide(), inputs, targets),
                        seconds(small, guide, inputs, targets),
                    )
                    for _ in range(args.rounds)
                ]
            )
            table.append(
                {
                    "units": f"{n_units}, {n_units}",
                    "remaining": f"{remaining:.1%}",
                    "seen": f"{len(small[0].weight)}, {len(small[2].weight)}",
                    "ms a step": 1000 * np.median(times[:, 0]) / N_STEPS,
                    "without unseen": 1000 * np.median(times[:, 1]) / N_STEPS,
                    "times faster": np.median(times[:, 0] / times[:, 1]),
                }
            )
    print(pd.DataFrame(table).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
