"""How long each network lives: orders out, losses in. Trial numbers and epochs; never the networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hpjax.search.base import Array, Key

State = Any


class Order(NamedTuple):
    """Work for the population: plain numbers, one row per trial."""

    trial: Array  # [n] trial number
    unit: Array  # [n D] its point now (PBT moves it between orders)
    source: Array  # [n] whose weights it goes on from: its own, another's (PBT), or -1 for a fresh start
    epochs: Array  # [n] train until this epoch
    seed: Array  # [n] 0 unless fresh randomness is asked for
    grad: bool = False  # also answer with d loss / d unit


class Scheduler(NamedTuple):
    """An ask/tell machine.

    init:  () -> state
    room:  state -> (how many new trials it can take now, at which fidelity they start)
    admit: (state, trial [n], unit [n D]) -> state
    close: state -> state; no more trials will come
    ask:   (state, key) -> (Order or None, state)
    tell:  (state, order, losses [n]) -> (state, the trials that are finished)
    """

    fidelity: int  # epochs of a network that lives to the end
    rungs: tuple[tuple[int, int], ...]  # (epochs, networks) as planned, for the plan and the table
    init: Callable[[], State]
    room: Callable[[State], tuple[int, int]]
    admit: Callable[[State, Array, Array], State]
    close: Callable[[State], State]
    ask: Callable[[State, Key], tuple[Order | None, State]]
    tell: Callable[[State, Order, Array], tuple[State, Array]]


def order(trial: Array, unit: Array, epochs: int, fresh: bool) -> Order:
    """The common order: these trials, from their own weights or from the start, until one epoch."""
    trial = np.asarray(trial)
    source = np.full(len(trial), -1) if fresh else trial
    return Order(trial, unit, source, np.full(len(trial), epochs), np.zeros(len(trial), np.int64))
