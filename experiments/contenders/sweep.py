"""What every contender trains: the reference sweep, and its data."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import resource
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

Run = Callable[[], float]  # trains the whole sweep once; its median validation loss
About = Callable[[], dict]  # what else there is to say of it


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The reference sweep."""

    networks: int = 32
    hidden: tuple[int, ...] = (128, 128, 128)
    batch: int = 32
    epochs: int = 20
    train: int = 1437
    valid: int = 360

    @property
    def steps(self) -> int:
        """Of one network's training."""
        return -(-self.train // self.batch) * self.epochs

    @property
    def flop(self) -> float:
        """Of all networks: training (no gradient of the inputs) and a validation per epoch."""
        sizes = (64, *self.hidden, 10)
        pairs = [a * b for a, b in pairwise(sizes)]
        step = self.train * (6 * sum(pairs) - 2 * pairs[0])
        return self.networks * self.epochs * (step + 2 * self.valid * sum(pairs))

    @property
    def moved(self) -> float:
        """Bytes that Adam moves through weights, moments and gradients: 4 reads and 3 writes of float32 a weight."""
        sizes = (64, *self.hidden, 10)
        weights = sum(a * b + b for a, b in pairwise(sizes))
        return self.networks * self.steps * weights * 28.0


def peak_mib() -> float:
    """The most memory of this process, and, where the system tells (Linux), of the processes that it has started and that live."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return own + sum(_high_water(child) for child in _descendants(os.getpid()))


def _descendants(process: int) -> list[int]:
    """Processes below one; none where the system does not tell, or it has ended."""
    found = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _high_water(process: int) -> float:
    """The most memory of a process, in MiB; 0 of one that has ended."""
    line = None
    with contextlib.suppress(OSError):
        line = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(line[1]) / 1024 if line else 0.0


def digits() -> tuple[np.ndarray, ...]:
    """Standardised digits: 1,437 examples to train on, 360 to validate on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, x_valid, y, y_valid = train_test_split(
        *load_digits(return_X_y=True), test_size=0.2, random_state=42
    )
    mean, deviation = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
    return (
        ((x - mean) / deviation).astype(np.float32),
        y,
        ((x_valid - mean) / deviation).astype(np.float32),
        y_valid,
    )
