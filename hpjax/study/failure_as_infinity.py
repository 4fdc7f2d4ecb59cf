"""Where failure becomes +inf."""

from __future__ import annotations

import numpy as np


def failure_as_infinity(objective: np.ndarray) -> np.ndarray:
    """Objectives [n O] as searches and schedulers see them, from one [n] or several: the one place where failure becomes +inf."""
    value = np.asarray(objective, np.float64)
    value = value.reshape(len(value), -1)
    return np.where(np.isfinite(value).all(1, keepdims=True), value, np.inf)
