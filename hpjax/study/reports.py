"""What comes back from an order; failure becomes +inf here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hpjax.schedulers.base import Order


class Report(NamedTuple):
    """What comes back from an order, n rows."""

    objective: np.ndarray  # [n] what is minimised; not finite where it failed
    # [n] each, to record: loss, error, train, reached, diverged, failed; cost (epochs), where it is not the epochs trained
    columns: dict[str, np.ndarray] = {}
    metrics: dict[str, np.ndarray] = {}  # [n] each, the user's own by name
    curves: np.ndarray | None = None  # [n rows 4+M]
    grad: np.ndarray | None = None  # [n D]
    seconds: np.ndarray | None = None  # [n] that each trial took of the devices


def failure_as_infinity(objective: np.ndarray) -> np.ndarray:
    """An objective [n] as searches and schedulers see it: the one place where failure becomes +inf."""
    value = np.asarray(objective, np.float64)
    return np.where(np.isfinite(value), value, np.inf)


def parted(report: Report, orders: Sequence[Order]) -> list[Report]:
    """A merged order's report, cut into one for each of the orders."""
    ends = np.cumsum([len(order.trial) for order in orders])[:-1]
    parts = []
    for rows in np.split(np.arange(len(report.objective)), ends):
        cut = lambda column, rows=rows: None if column is None else column[rows]
        columns = {name: column[rows] for name, column in report.columns.items()}
        parts.append(
            Report(
                report.objective[rows],
                columns,
                {name: column[rows] for name, column in report.metrics.items()},
                cut(report.curves),
                cut(report.grad),
                cut(report.seconds),
            )
        )
    return parts
