"""How far a study is, what it is made of, and what a watcher is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hpjax.records import Ledger
from hpjax.schedulers.base import Order, Scheduler
from hpjax.search.base import Dim, Searcher
from hpjax.settings import Stop
from hpjax.study.reports import Report
from hpjax.study.trial_ages import Trials


class Progress(NamedTuple):
    """What a watcher is shown after every report."""

    asked: int
    finished: int
    epochs: int  # summed over trials
    incumbent: float
    best: int  # trial number, -1 for none
    seconds: float
    until: int = 0  # epoch that the last order trained until
    total: int | None = None  # trials that the study may have


def _nobody(order: Order) -> Report:
    raise NotImplementedError("orders of this study are carried out by `together`")


class Callbacks(NamedTuple):
    """The population, as the loop sees it."""

    carry_out: Callable[[Order], Report] = _nobody
    # an order that was carried out before a resume
    recall: Callable[[Order], None] = lambda order: None
    release: Callable[[np.ndarray], None] = lambda trials: None  # these trials are finished
    save: Callable[[], None] = lambda: None  # a moment to write a checkpoint
    extended: Callable[[int], None] = lambda trials: None  # the study goes on to have so many


class StudyParts(NamedTuple):
    """What a study is made of; arguments of `play`."""

    search: Searcher
    scheduler: Scheduler
    dims: tuple[Dim, ...]
    ledger: Ledger
    stop: Stop
    seed: int
    batch: int


@dataclasses.dataclass
class State:
    """How far a study is."""

    searching: Any
    scheduling: Any
    trials: Trials
    limit: float  # trials, as long as it holds
    spent: int = 0  # epochs
    finished: int = 0
    started: int = 0  # trials that were ever in an order
    reports: int = 0
    # most epochs that a trial was charged at once, where that is not what it trained
    charge: int = 0
    # [O] of each objective at full fidelity; None before the first
    lowest: np.ndarray | None = None
    best: int = -1  # trial that has the lowest first objective
    waited: int = 0  # reports at full fidelity without gain
    closed: bool = False  # the scheduler was told that no more trials come for now
    # the scheduler was closed because of the limit of trials, with room for more
    short: bool = False
    cut: bool = False  # the limit of trials made an ask or a bracket smaller
    why: str = "done"

    @property
    def trial_limit(self) -> int | None:
        """The limit of trials; None where there is none."""
        return None if np.isinf(self.limit) else int(self.limit)

    @property
    def incumbent(self) -> float:
        """The lowest first objective at full fidelity."""
        return np.inf if self.lowest is None else float(self.lowest[0])
