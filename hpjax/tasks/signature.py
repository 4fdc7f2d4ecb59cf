"""What a network takes and gives: columns by name, classes or numbers; all that is kept of a task where its data are not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hpjax.tasks.columns import TaskError, as_features, as_frame, first_place, frame_names
from hpjax.tasks.schema import Column, read_again


class Signature(NamedTuple):
    """What a network takes and gives.

    Attributes:
        name: of the task.
        inputs: F of the network.
        features: names of the columns that it takes, () where they have none.
        schema: what these are, where not all of them are numbers without gaps.
        values: the classes as they were given, () for numbers.
        single: whether targets are one column, given as [N].
    """

    name: str
    inputs: int
    features: tuple[str, ...]
    schema: tuple[Column, ...]
    values: tuple
    single: bool

    @property
    def classes(self) -> bool:
        """Whether it gives classes."""
        return bool(self.values)

    def column(self, number: int) -> str:
        """The name of a feature of the network, or its number from 1 where it has none."""
        names = [column.name for column in self.schema] or self.features
        return repr(names[number]) if names else str(number + 1)

    def columns(self, x: Any) -> np.ndarray:
        """Examples [n F] float64 in the order of features; a table's columns are found by name, and under a schema others are
        passed over.

        Raises:
            TaskError: another number of features, columns that the task does not have or that are missing, or no numbers.
        """
        names = frame_names(x)
        if self.schema:
            used = tuple(dict.fromkeys(column.source for column in self.schema))
            frame = as_frame(x, self.features, self.name, used)
            return read_again(frame, self.schema, self.name)
        if names is not None:
            x = as_frame(x, (), self.name)
        if names is not None and self.features:
            missing = [name for name in self.features if name not in names]
            unknown = [name for name in names if name not in self.features]
            if missing or unknown:
                what = [f"lacks {', '.join(map(repr, missing[:5]))}"] if missing else []
                what += [f"has unknown {', '.join(map(repr, unknown[:5]))}"] if unknown else []
                raise TaskError(
                    f"the table {' and '.join(what)}; its columns must be those of {self.name}"
                )
            x = x[list(self.features)]
        array = as_features(x, self.name)
        if array.ndim != 2 or array.shape[1] != self.inputs:
            raise TaskError(f"the network takes [N {self.inputs}] features, got {array.shape}")
        gap = first_place(~np.isfinite(array))
        if gap is not None:
            row, column = gap
            raise TaskError(
                f"row {row + 1} has no finite number in column {self.column(column)}; fill or drop it"
            )
        return array

    def written(self) -> dict[str, Any]:
        """As JSON holds it."""
        return self._asdict() | {"schema": [column._asdict() for column in self.schema]}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Signature:
        """What `written` made."""
        whole: Any = lambda fields: {
            n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()
        }
        columns = tuple(Column(**whole(column)) for column in written["schema"])
        return cls(**whole(written) | {"schema": columns})
