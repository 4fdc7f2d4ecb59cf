"""What searches and schedulers hand over, checked once before it is believed: a user's own cannot write nonsense into a ledger."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpjax.schedulers.base import Order
from hpjax.search.base import Dim
from hpjax.study.trial_ages import Trials


def points(unit: Any, wanted: int, dims: tuple[Dim, ...], who: str = "the search") -> np.ndarray:
    """Points [n D] float64 that a search proposed.

    Raises:
        ValueError: no real numbers, another width, more than were asked for, or outside the unit cube.
    """
    array = np.asarray(unit)
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.shape[1] != len(dims):
        raise ValueError(
            f"{who} proposed an array of {array.dtype} {array.shape}; real numbers [n {len(dims)}] are needed"
        )
    if len(array) > wanted:
        raise ValueError(f"{who} proposed {len(array)} points when asked for at most {wanted}")
    bad = ~((array >= 0) & (array <= 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{who} proposed {array[row, column]!s} in dimension {column}; points lie in [0, 1]"
        )
    return array.astype(np.float64)


def order(given: Order, trials: Trials, dims: tuple[Dim, ...], fidelity: int) -> Order:
    """An order that a scheduler gave, as arrays.

    Raises:
        ValueError: columns of unequal length or wrong kind, a trial that is unknown, finished or twice in it, a source without
            a network, epochs outside [1, fidelity], or points outside the unit cube.
    """
    whole: dict[str, Any] = {}
    for name in ("trial", "source", "epochs", "seed"):
        array = np.asarray(getattr(given, name))
        if array.dtype.kind not in "iu" or array.ndim != 1 or not len(array):
            raise ValueError(
                f"the scheduler's order has {name} of {array.dtype} {array.shape}; whole numbers [n] are needed"
            )
        whole[name] = array.astype(np.int64)
    unit = points(given.unit, len(whole["trial"]), dims, "the scheduler")
    lengths = {name: len(array) for name, array in (whole | {"unit": unit}).items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the scheduler's order has columns of unequal length: {lengths}")
    trial, source, epochs = whole["trial"], whole["source"], whole["epochs"]
    _known("trial", trial, trials, trained=False)
    _known("source", source[source != -1], trials, trained=True)
    if len(trial) > 1 and len(np.unique(trial)) < len(trial):
        raise ValueError("the scheduler's order has a trial twice")
    if (epochs < 1).any() or (epochs > fidelity).any():
        raise ValueError(
            f"the scheduler's order trains until epoch {epochs[(epochs < 1) | (epochs > fidelity)][0]}, outside 1 to its fidelity {fidelity}"
        )
    if (whole["seed"] < 0).any() or (whole["seed"] >= 2**32).any():
        raise ValueError("the scheduler's order has a negative seed, or one beyond 2^32")
    begun = np.where(source >= 0, trials.age[np.maximum(source, 0)], 0)
    if (epochs <= begun).any():
        at = int(np.argmax(epochs <= begun))
        raise ValueError(
            f"the scheduler's order trains trial {trial[at]} until epoch {epochs[at]}, where its network is at epoch {begun[at]} already"
        )
    return given._replace(**whole, unit=unit)


def _known(name: str, numbers: np.ndarray, trials: Trials, trained: bool) -> None:
    if not len(numbers):
        return
    outside = (numbers < 0) | (numbers >= trials.count)
    if outside.any():
        raise ValueError(
            f"the scheduler's order names {name} {numbers[outside][0]}, which was never asked for"
        )
    lost = trials.finished[numbers]
    lost = lost | ~trials.reported[numbers] if trained else lost
    if lost.any():
        raise ValueError(
            f"the scheduler's order names {name} {numbers[lost][0]}, which is finished or has no network yet"
        )


def finished(done: Any, given: Order, trials: Trials) -> np.ndarray:
    """The trials [n] that a scheduler ended after a report.

    Raises:
        ValueError: no whole numbers, or a trial that is unknown or already finished.
    """
    array = np.asarray(done)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(
            f"the scheduler finished an array of {array.dtype} {array.shape}; trial numbers [n] are needed"
        )
    outside = (array < 0) | (array >= trials.count)
    if outside.any() or trials.finished[array].any() or len(set(array.tolist())) < len(array):
        raise ValueError(
            f"the scheduler finished trials {array.tolist()[:5]} after an order of {given.trial.tolist()[:5]}; each ends once"
        )
    return array
