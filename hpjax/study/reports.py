"""What comes back from an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hpjax.schedulers.base import Order


class Report(NamedTuple):
    """What comes back from an order, n rows."""

    objective: np.ndarray  # [n], or [n O], what is minimised; not finite where it failed
    # [n] each, to record: loss, error, train, reached, diverged, failed; cost (epochs), where it is not the epochs trained;
    # replicates [n G], the objective of each network, where a trial has several; violation, of constraints
    columns: dict[str, np.ndarray] = {}
    metrics: dict[str, np.ndarray] = {}  # [n] each, the user's own by name
    curves: np.ndarray | None = None  # [n rows 4+M]
    grad: np.ndarray | None = None  # [n D]
    seconds: np.ndarray | None = None  # [n] that each trial took of the devices


def recorded(objectives: np.ndarray) -> dict[str, np.ndarray]:
    """Objectives [n O] as the ledger has them: the first [n], and the others [n O-1] where there are some."""
    first = {"objective": objectives[:, 0]}
    return first if objectives.shape[1] == 1 else first | {"further": objectives[:, 1:]}


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
