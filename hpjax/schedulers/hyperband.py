"""Hyperband: brackets of successive halving, from many networks trained a little to few trained long.

Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar 2018, Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization, JMLR 18, algorithm 1. Breeding afresh at every rung: Awad, Mallik & Hutter 2021, DEHB.
"""

from __future__ import annotations

from hpjax.checks import one_of
from hpjax.defaults import HYPERBAND_EPOCHS
from hpjax.schedulers.base import Rungs, Scheduler, check_whole
from hpjax.schedulers.halving import ETA, climb

PROMOTE = ("live", "fresh")


def brackets(epochs: int, eta: int = ETA) -> tuple[Rungs, ...]:
    """The brackets of algorithm 1, by integer arithmetic: s from the largest down to 0, n = ceil((s_max+1)/(s+1) eta^s).

    Example:
        >>> [[networks for _, networks in rungs] for rungs in brackets(81)]
        [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    """
    check_whole("hyperband", epochs=(epochs, 1), eta=(eta, 2))
    most = 0
    while eta ** (most + 1) <= epochs:
        most += 1
    return tuple(
        tuple(
            (epochs // eta ** (s - i), -(-(most + 1) * eta**s // (s + 1)) // eta**i)
            for i in range(s + 1)
        )
        for s in range(most, -1, -1)
    )


def hyperband(epochs: int = HYPERBAND_EPOCHS, eta: int = ETA, promote: str = "live") -> Scheduler:
    """All brackets, one after another, and again until the study ends.

    Args:
        epochs: R, of a network that lives to the end.
        eta: keeps one in eta at every rung.
        promote: "live": survivors go on from their weights; "fresh": every rung takes new trials that are trained from the
            start (for searches that breed for a fidelity, as DEHB does).

    Returns:
        A Scheduler.

    Raises:
        ValueError: epochs, eta or promote out of bounds.
    """
    one_of("promote", promote, PROMOTE)
    settings = {"name": "hyperband", "epochs": epochs, "eta": eta, "promote": promote}
    return climb(settings, brackets(epochs, eta), fresh=promote == "fresh")
