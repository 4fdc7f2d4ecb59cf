"""A task that stays in the host's memory: devices are given the examples of a few minibatches at a time, in the order of each epoch.

A piece is `Data` of one group with these examples alone, renumbered: what trains on it computes what it would on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from hpjax.models import Spec
from hpjax.training import batches
from hpjax.training.batches import Coded, Data, Examples

# of every group, of which a piece keeps one
OF_GROUPS = ("shift", "scale", "y_shift", "y_scale", "units", "count", "key")
OF_SOME_GROUPS = ("level", "about", "raw", "balance")  # where there are any


class Pieces:
    """A task for networks of a shape.

    Args:
        examples: the task, with its folds.
        names: group -> (seed, repeat, fold).
        spec: of the networks.
        data: as `batches.prepare` makes it, without orders.
    """

    def __init__(
        self,
        examples: Examples,
        names: Callable[[int], tuple[int, int, int]],
        spec: Spec,
        data: Data,
    ):
        self.data, self.folds, self.names = data, examples.folds, names
        self.spec, self.size = spec, spec.batch_size
        self.steps = spec.steps(max(len(train) for train, _ in self.folds))

    def order(self, group: int, epoch: int) -> np.ndarray:
        """The rows [M] of one epoch of a group; as many for all of them."""
        train, _ = self.folds[int(self.data.fold[group])]
        rows = batches.order_of(*self.names(group), epoch, train, self.spec)
        spare = self.steps * self.size - len(rows)
        return np.concatenate([rows, np.full(spare, train[0])])

    @property
    def validated(self) -> int:
        """Examples V of validation, as many for all groups."""
        return self.data.valid.shape[1]

    def validation(self, group: int) -> Data:
        """What the networks of a group are validated on, all but the inputs."""
        rows: Any = self.data.valid[group]
        every: Any = np.arange(len(rows), dtype=np.int32)[None]
        found = self.of(group, rows, inputs=False)
        return found._replace(valid=every, valid_weight=self.data.valid_weight[[group]])

    def of(self, group: int, rows: np.ndarray, inputs: bool = True) -> Data:
        """These examples [n] for one group, which is group 0 of them; their inputs, where they are wanted."""
        data = self.data
        nobody = np.zeros((1, 0), np.int32)
        fields = self.examples(group, rows, inputs) | {
            "order": nobody[None],
            "train": nobody,
            "valid": nobody,
            "valid_weight": nobody.astype(data.x.dtype),
            "fold": np.zeros(1, np.int32),
            "rows": rows.astype(np.int32),
        }
        for name in OF_GROUPS:
            fields[name] = getattr(data, name)[[group]]
        for name in OF_SOME_GROUPS:
            values = getattr(data, name)
            fields[name] = None if values is None else values[[group]]
        return Data(**fields)

    def examples(self, group: int, rows: np.ndarray, inputs: bool = True) -> dict[str, Any]:
        """What of `of` is another for other examples [n]: all that training and prediction read of them."""
        data, fold = self.data, int(self.data.fold[group])
        seen = rows if inputs else rows[:1]
        coded = data.coded
        if coded is not None:
            coded = Coded(coded.codes[seen], coded.places[[group]], coded.gaps, coded.hot)
        return {
            "x": data.x[seen if data.ranked is None else rows[:0]],
            "y": data.y[rows],
            "coded": coded,
            "weights": None if data.weights is None else data.weights[rows],
            "ranked": None if data.ranked is None else data.ranked[fold][seen][None],
            "targets": None if data.targets is None else data.targets[fold][rows][None],
        }


def stacked(parts: Sequence[Any]) -> Any:
    """Trees of several groups, leaves of [c ...]; one alone is not copied."""
    if len(parts) == 1:
        return jax.tree.map(lambda leaf: leaf[None], parts[0])
    return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)
