"""How a net learns: resident data, the training loop, optimizers."""

from sklearn_memgen.training.batches import (
    ArrayTensors,
    Batch,
    ResidentBatches,
    ResidentDataset,
)
from sklearn_memgen.training.devices import resolve_device, seeded
from sklearn_memgen.training.ftrl import FTRL
from sklearn_memgen.training.net import LogisticLoss, ResidentNet, probabilities
from sklearn_memgen.training.progress import ProgressBar

__all__ = [
    "FTRL",
    "ArrayTensors",
    "Batch",
    "LogisticLoss",
    "ProgressBar",
    "ResidentBatches",
    "ResidentDataset",
    "ResidentNet",
    "probabilities",
    "resolve_device",
    "seeded",
]
