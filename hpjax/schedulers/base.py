"""How long each network lives: orders out, objectives in. Trial numbers and epochs; never the networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hpjax.checks import is_whole
from hpjax.search.base import Array, Dim, Key

State = Any
Rungs = tuple[tuple[int, int], ...]  # (until epoch, networks; 0 for any number) as planned
UNBOUNDED = 2**31


class Order(NamedTuple):
    """Work for the population: plain numbers, one row per trial."""

    trial: Array  # [n] trial number
    unit: Array  # [n D] its point now (PBT moves it between orders)
    # [n] whose weights it goes on from: its own, another's (PBT), or -1 for a fresh start
    source: Array
    epochs: Array  # [n] train until this epoch
    seed: Array  # [n] 0 unless fresh randomness is asked for
    grad: bool = False  # also answer with d objective / d unit


class Scheduler(NamedTuple):
    """An ask/tell machine.

    init:  dims -> state
    room:  state -> (how many new trials it can take now, at which fidelity they start)
    admit: (state, trial [n], unit [n D]) -> state
    close: state -> state; no more trials come for now: go on with those that wait
    ask:   (state, key) -> (Order or None, state)
    tell:  (state, order, objectives [n O]) -> (state, the trials that are finished)
    """

    settings: dict  # {"name": ..., and the arguments that make it again}
    fidelity: int  # epochs of a network that lives to the end
    brackets: tuple[Rungs, ...]  # for the plan and the table
    init: Callable[[tuple[Dim, ...]], State]
    room: Callable[[State], tuple[int, int]]
    admit: Callable[[State, Array, Array], State]
    close: Callable[[State], State]
    ask: Callable[[State, Key], tuple[Order | None, State]]
    tell: Callable[[State, Order, Array], tuple[State, Array]]

    fresh: bool = False  # every rung takes new trials, trained from the start
    several: bool = False  # whether it takes several objectives
    together: int = 0  # trials of an order, about, where that is not a rung; 0 where it is

    @property
    def name(self) -> str:
        """Of the algorithm."""
        return self.settings["name"]

    @property
    def trials(self) -> int:
        """Trials that all brackets take between them; 0 for any number."""
        entering = [rungs if self.fresh else rungs[:1] for rungs in self.brackets]
        return sum(networks for rungs in entering for _, networks in rungs)

    @property
    def orders(self) -> tuple[tuple[int, int], ...]:
        """(Networks that are trained together, 0 for any number; for how many epochs), for each rung of each bracket, as planned."""
        return tuple(
            (self.together or networks, until - (0 if self.fresh else before))
            for rungs in self.brackets
            for (until, networks), before in zip(rungs, (0, *(until for until, _ in rungs)))
        )

    @property
    def mean_epochs(self) -> float:
        """Epochs that a trial trains on average, as planned."""
        rungs = [networks or 1 for rungs in self.brackets for _, networks in rungs]
        spent = sum(epochs * many for many, (_, epochs) in zip(rungs, self.orders))
        return spent / (self.trials or len(self.brackets))


def check_whole(who: str, **numbers: tuple[Any, int]) -> None:
    """Refuses arguments that are no whole numbers, or too small; each is (value, least).

    Raises:
        ValueError: in one line.
    """
    for name, (value, least) in numbers.items():
        if not is_whole(value) or not least <= value < UNBOUNDED:
            raise ValueError(
                f"{who} needs {name} of at least {least}, a whole number, got {value!r:.60}"
            )


def order(trial: Array, unit: Array, epochs: int, fresh: bool) -> Order:
    """The common order: these trials, from their own weights or from the start, until one epoch."""
    trial = np.asarray(trial)
    source = np.full(len(trial), -1) if fresh else trial
    return Order(trial, unit, source, np.full(len(trial), epochs), np.zeros(len(trial), np.int64))


def nobody(dims: tuple[Dim, ...]) -> tuple[Array, Array]:
    """No trials [0], and no points [0 D]."""
    return np.zeros(0, np.int64), np.zeros((0, len(dims)))
