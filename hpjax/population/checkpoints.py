"""Live networks on disk, and what has to be trained again where they are not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hpjax.population import plan
from hpjax.population.executor import StateStore
from hpjax.population.plan import Program
from hpjax.population.weights import StoredNetworks
from hpjax.records import checkpoint
from hpjax.schedulers.base import Order


def saved(
    store: StateStore, programs: Sequence[Program], history: Sequence[Order]
) -> dict[str, np.ndarray]:
    """Arrays from which `load` makes the live networks again."""
    arrays = {"orders": np.array(len(history)), "behind": _behind(history)}
    for stored in store.saved():
        name = f"p{stored.number}"
        arrays[f"{name}_program"] = plan.packed(programs[stored.number])
        arrays[f"{name}_trials"] = stored.trials
        arrays[f"{name}_ages"] = stored.ages
        for i, leaf in enumerate(stored.leaves):
            arrays[f"{name}_{i}"] = leaf
    return checkpoint.signed(arrays)


def load(
    path: Path,
    store: StateStore,
    number_of: Callable[[np.ndarray], int],
    history: Sequence[Order],
    say: Callable[[str], None],
) -> int:
    """Reads a checkpoint into a store.

    Args:
        path: of the checkpoint.
        store: takes the networks.
        number_of: a program as bytes -> its number.
        history: the orders of the study.
        say: told where the checkpoint cannot be used.

    Returns:
        How many orders it has behind it; 0 without one.
    """
    if not path.exists():
        return 0
    try:
        arrays = checkpoint.verified(path)
        orders, behind = int(arrays.pop("orders")), arrays.pop("behind")
    except checkpoint.FAULTS as fault:
        say(f"hpjax: {path.name} is broken ({fault!s:.100}); its networks are trained again")
        return 0
    if orders > len(history) or not np.array_equal(behind, _behind(history[:orders])):
        say(f"hpjax: {path.name} does not belong to this ledger; its networks are trained again")
        return 0
    for name in sorted(name for name in arrays if name.endswith("_trials")):
        at = name.removesuffix("_trials")
        count = sum(other.startswith(f"{at}_") for other in arrays) - 3
        leaves = [arrays[f"{at}_{i}"] for i in range(count)]
        number = number_of(arrays[f"{at}_program"])
        store.load(StoredNetworks(number, arrays[name], arrays[f"{at}_ages"], leaves))
    return orders


def missing(history: Sequence[Order], base: int, live: set[int], there: set[int]) -> list[Order]:
    """The orders, or parts of them, that have to be carried out again, in their order.

    Args:
        history: all orders so far.
        base: how many of them the checkpoint has behind it.
        live: trials whose networks are wanted.
        there: trials whose networks the checkpoint brought.
    """
    changed = {t for order in history[base:] for t in order.trial.tolist()}
    needed, again = {t for t in live if t not in there or t in changed}, []
    for order in reversed(history[base:]):
        rows = np.flatnonzero(np.isin(order.trial, list(needed)))
        if len(rows):
            again.append(
                Order(
                    order.trial[rows],
                    order.unit[rows],
                    order.source[rows],
                    order.epochs[rows],
                    order.seed[rows],
                )
            )
            needed -= set(order.trial[rows].tolist())
            needed |= set(order.source[rows][order.source[rows] >= 0].tolist())
    return again[::-1]


def _behind(history: Sequence[Order]) -> np.ndarray:
    """What tells the first orders of this study from those of another."""
    columns = ("trial", "unit", "source", "epochs")
    return checkpoint.digest(
        (name, np.asarray(getattr(order, name))) for order in history for name in columns
    )
