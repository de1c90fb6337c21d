"""MNIST from its four original files, and the usual perceptron for it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from torch import nn


def load_mnist(folder: Path, part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Read images and digits.

    Parameters
    ----------
    folder : Path
        Where the files are, gzipped.
    part : {"train", "t10k"}, default="train"
        Which of them.

    Returns
    -------
    pixels : ndarray of shape (n_images, 784), float32
        From 0 to 1.
    digits : ndarray of shape (n_images,), uint8
        The labels.
    """
    images = _read_idx(folder / f"{part}-images-idx3-ubyte.gz", 16)
    digits = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8)
    return images.reshape(-1, 784).astype(np.float32) / 255, digits


def _read_idx(path: Path, n_header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read()[n_header:], np.uint8)


class LeNetBody(nn.Sequential):
    """The hidden layers of LeNet-300-100."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU())


class LeNet(nn.Sequential):
    """LeNet-300-100."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(LeNetBody(), nn.Linear(100, n_classes))
