"""What a Bayesian search saw and thought at one of its steps, from a study's ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpjax.files import numbers
from hpjax.records import objectives_of
from hpjax.search.base import Dim, Observations, snap
from hpjax.search.bayes import Fitted, Step, explained
from hpjax.search.history import empty, remember


def step(
    records: Sequence[dict],
    dims: tuple[Dim, ...],
    number: int,
    places: np.ndarray,
    startup: int | None = None,
) -> Step:
    """A step, made again from the hyperparameters in the ledger.

    Args:
        records: of the ledger of a study whose points no scheduler moved.
        dims: of its space, D of them.
        number: of the ask, from 0.
        places: [p D] where the process is wanted.
        startup: as the study's search was given it.

    Raises:
        ValueError: an ask that was not made by a process (the first ones are Sobol points), or several objectives.
    """
    asked, units, fit, history = 0, {}, None, empty(dims)
    for record in records:
        if record["kind"] == "ask":
            fit = Fitted.noted(record.get("note", {})) or fit
            points = np.array(record["unit"], float).reshape(-1, len(dims))
            if asked == number:
                break
            asked += 1
            units |= dict(enumerate(points, record["first"]))
        elif record["kind"] == "report":
            history = remember(history, _observed(record, units, dims))
    else:
        raise ValueError(f"the ledger has {asked} asks; number {number} is none of them")
    if fit is None:
        raise ValueError(f"ask {number} was made before there was a process; choose a later one")
    return explained(history, fit, points, dims, places, startup)


def _observed(record: dict, units: dict[int, np.ndarray], dims: tuple[Dim, ...]) -> Observations:
    """What the search was told of a report; `units` are the points that it proposed, by trial."""
    objectives = objectives_of(record)
    if objectives.shape[1] > 1:
        raise ValueError("each point of a study of several objectives has a process of its own")
    if "violation" in record:
        broken = numbers(record["violation"], np.inf) > 0
        objectives = np.where(broken[:, None], np.inf, objectives)
    trial = np.array(record["trial"], int)
    unit = snap(np.array([units[t] for t in record["trial"]]), dims)
    epochs = np.array(record["epochs"], int)
    return Observations(trial, unit, objectives, epochs, np.ones(len(trial), bool))
