"""Live networks on disk: an NPZ with a digest of its own, believed whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hpjax.archives import FAULTS, read_arrays

__all__ = ["FAULTS", "digest", "signed", "verified"]


def digest(arrays: Iterable[tuple[str, np.ndarray]]) -> np.ndarray:
    """SHA-256 [32] uint8 of named arrays, in order: names, dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for name, array in arrays:
        array = np.ascontiguousarray(array)
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return np.frombuffer(total.digest(), np.uint8)


def signed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with their digest beside them."""
    return {**arrays, "digest": digest(sorted(arrays.items()))}


def verified(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint that is what was written.

    Raises:
        One of FAULTS.
    """
    arrays = read_arrays(path, stored=True)
    if not np.array_equal(arrays.pop("digest"), digest(sorted(arrays.items()))):
        raise ValueError("its digest differs")
    return arrays
