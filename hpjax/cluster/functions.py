"""Functions of a batch of configurations, the batch spread over workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpjax.cluster.pool import Pool

TRIES = 3  # of configurations whose function gives no answer


def spread(function: Callable[..., Any], pool: Pool) -> Callable[..., Any]:
    """A function whose configurations are cut into as many parts as there are workers.

    Args:
        function: {name: values [P]}, and perhaps epochs [P] -> values [P].
        pool: the workers.
    """

    from hpjax.cluster import worker

    def over(columns: Mapping[str, np.ndarray], *epochs: np.ndarray) -> np.ndarray:
        count = len(epochs[0]) if epochs else len(next(iter(columns.values())))
        parts = np.array_split(np.arange(count), max(1, min(count, len(pool.workers()))))
        tasks = [
            pool.submit(
                worker.called,
                function,
                {name: values[rows] for name, values in columns.items()},
                *(array[rows] for array in epochs),
                resources=pool.resources,
            )
            for rows in parts
        ]
        found = [pool.result(task, pool.function_patience, TRIES) for task in tasks]
        for values in found:
            if isinstance(values, Exception):
                raise values
        return np.concatenate([np.asarray(values) for values in found])

    return over
