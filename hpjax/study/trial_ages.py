"""The trials of a study, as its loop knows them."""

from __future__ import annotations

import numpy as np


class Trials:
    """Every trial of a study, by number: where it stands, how old its network is, and whether it is finished.

    Attributes:
        count: how many there are.
        unit: [capacity D] where each stands now.
        age: [capacity] epochs behind its network; 0 before its first report.
        reported: [capacity] bool: it was trained.
        finished: [capacity] bool: its network is gone.
    """

    def __init__(self, dims: int):
        self.count = 0
        self.unit = np.zeros((64, dims))
        self.age = np.zeros(64, np.int64)
        self.reported, self.finished = np.zeros(64, bool), np.zeros(64, bool)

    def add(self, unit: np.ndarray) -> np.ndarray:
        """Takes points [n D] in; returns their numbers [n]."""
        first, self.count = self.count, self.count + len(unit)
        if self.count > len(self.age):
            room = 2 * self.count - len(self.age)
            self.unit = np.concatenate([self.unit, np.zeros((room, self.unit.shape[1]))])
            self.age = np.concatenate([self.age, np.zeros(room, np.int64)])
            self.reported = np.concatenate([self.reported, np.zeros(room, bool)])
            self.finished = np.concatenate([self.finished, np.zeros(room, bool)])
        self.unit[first : self.count] = unit
        return np.arange(first, self.count)
