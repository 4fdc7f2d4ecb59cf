"""What became of a trial, as its last report says."""

from __future__ import annotations

import numpy as np


def status_of(
    objective: np.ndarray,
    asked: np.ndarray,
    finished: np.ndarray,
    failed: np.ndarray,
    broken: np.ndarray,
    fidelity: int,
) -> np.ndarray:
    """NEW, RUNNING, PRUNED (stopped early), OK, DIVERGED, FAILED or INFEASIBLE (a constraint does not hold), of every trial [n].

    Args:
        objective: [n] what was minimised; not finite where the network diverged.
        asked: [n] epochs that it was to train until; 0 where there was no order yet.
        finished: [n] whether no more orders come.
        failed: [n] whether it was not trained at all.
        broken: [n] whether a constraint does not hold.
        fidelity: epochs of a network that lives to the end.
    """
    status = np.full(len(asked), "NEW", dtype="<U10")
    status[asked > 0] = "RUNNING"
    status[finished & (asked < fidelity)] = "PRUNED"
    status[finished & (asked >= fidelity)] = "OK"
    status[broken] = "INFEASIBLE"
    status[(asked > 0) & ~np.isfinite(objective)] = "DIVERGED"
    status[failed] = "FAILED"
    return status
