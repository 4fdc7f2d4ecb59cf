"""The median stopping rule: a network that falls behind the median of the others ends early.

Golovin et al. 2017, Google Vizier: A Service for Black-Box Optimization, section 3.2.2. There a trial stops at step s if
its best value is worse than the median of the running averages, up to s, of the completed trials. Here networks train
side by side, so the median is over all trials that have reached s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.defaults import EPOCHS
from hpjax.schedulers.base import UNBOUNDED, Order, Scheduler, check_whole, nobody, order
from hpjax.search.base import Key, single


class Field(NamedTuple):
    """The trials in training, all of the same age, and what earlier ones reached."""

    step: int  # steps done
    trial: np.ndarray  # [n]
    unit: np.ndarray  # [n D]
    best: np.ndarray  # [n] lowest objective so far
    total: np.ndarray  # [n] sum of objectives, one a step
    averages: tuple[np.ndarray, ...]  # per step: running averages of all trials that reached it


def median(epochs: int = EPOCHS, every: int = 2, grace: int = 0) -> Scheduler:
    """Trains trials in steps, and stops those whose best objective is above the median running average.

    Args:
        epochs: of a network that lives to the end.
        every: epochs between decisions.
        grace: epochs before the first decision.

    Returns:
        A Scheduler with room for any number of trials whenever none is in training.

    Raises:
        ValueError: epochs or every below 1, or grace below 0.
    """
    check_whole("median", epochs=(epochs, 1), every=(every, 1), grace=(grace, 0))
    steps = [*range(every, epochs, every), epochs]

    def admit(state: Field, trial: np.ndarray, unit: np.ndarray):
        best = np.concatenate([state.best, np.full(len(trial), np.inf)])
        total = np.concatenate([state.total, np.zeros(len(trial))])
        trial, unit = np.concatenate([state.trial, trial]), np.concatenate([state.unit, unit])
        return state._replace(trial=trial, unit=unit, best=best, total=total)

    def ask(state: Field, key: Key):
        del key
        if not len(state.trial):
            return None, state
        return order(state.trial, state.unit, steps[state.step], fresh=state.step == 0), state

    def tell(state: Field, done: Order, objectives: np.ndarray):
        objective = single(objectives)
        best, total = np.minimum(state.best, objective), state.total + objective
        average = total / (state.step + 1)
        seen = state.averages[state.step] if state.step < len(state.averages) else average[:0]
        seen = np.concatenate([seen, average])
        averages = (*state.averages[: state.step], seen, *state.averages[state.step + 1 :])
        last = state.step == len(steps) - 1
        kept = np.isfinite(objective) & (best <= np.median(seen))
        if steps[state.step] < grace:
            kept = np.isfinite(objective)
        if last or not kept.any():
            none = np.zeros(0)
            return Field(0, done.trial[:0], done.unit[:0], none, none, averages), done.trial
        live = Field(
            state.step + 1, done.trial[kept], done.unit[kept], best[kept], total[kept], averages
        )
        return live, done.trial[~kept]

    return Scheduler(
        settings={"name": "median", "epochs": epochs, "every": every, "grace": grace},
        fidelity=epochs,
        brackets=(tuple((until, 0) for until in steps),),
        init=lambda dims: Field(0, *nobody(dims), np.zeros(0), np.zeros(0), ()),
        room=lambda state: (UNBOUNDED if state.step == 0 else 0, steps[0]),
        admit=admit,
        close=lambda state: state,
        ask=ask,
        tell=tell,
    )
