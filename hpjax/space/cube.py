"""Named ranges as a unit cube: points to values, values to points, and which of them are active."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpjax.search.base import Dim, Parent, active
from hpjax.space.ranges import (
    Choice,
    IntUniform,
    Levels,
    LogIntUniform,
    LogUniform,
    Range,
    Uniform,
    When,
    frozen,
    leaves_of,
)
from hpjax.space.toml import read, written


class Space:
    """Named ranges and constants, as a unit cube of the D ranges in the order of their names.

    Args:
        entries: name -> Uniform, LogUniform, IntUniform, LogIntUniform, Choice, or a constant.
        structural: tells which names change a network's shape.

    Raises:
        ValueError: a condition on an unknown, continuous or circular parent.

    Example:
        >>> space = Space({"rate": LogUniform(1e-3, 1.0), "width": Choice([8, 16]), "batch_size": 32})
        >>> {name: values.tolist() for name, values in space.decode(np.array([[0.0, 0.9]])).items()}
        {'batch_size': [32], 'rate': [0.001], 'width': [16]}
    """

    def __init__(
        self, entries: Mapping[str, Any], structural: Callable[[str], bool] = lambda name: False
    ):
        self.ranges = {n: entries[n] for n in sorted(entries) if isinstance(entries[n], Range)}
        self.constants = {n: frozen(entries[n]) for n in sorted(entries) if n not in self.ranges}
        for name, value in self.constants.items():
            for leaf in leaves_of(value):
                if not isinstance(leaf, (str, bool, int, float, type(None))):
                    raise ValueError(
                        f"{name} must be a range, a number, text or a list of them, got {leaf!r:.80}"
                    )
        self.dropped: dict[str, Any] = {}  # never active: a constant parent does not match
        self._settle()
        self.names = tuple(self.ranges)
        dims = tuple(self._dim(name, structural(name)) for name in self.names)
        active(np.zeros((1, len(dims))), dims)  # refuses conditions that go round in a circle
        self.dims = _shaping(dims)

    def __repr__(self) -> str:
        names = ", ".join(self.names[:6]) + (", ..." if len(self.names) > 6 else "")
        return f"<Space of {len(self.names)} ranges ({names}) and {len(self.constants)} constants>"

    def _settle(self) -> None:
        """Takes out ranges whose condition a constant decides against, and those that are conditional on them."""
        while True:
            never = {
                name: entry
                for name, entry in self.ranges.items()
                if entry.condition is not None
                and (
                    entry.condition.name in self.dropped
                    or (
                        entry.condition.name in self.constants
                        and self.constants[entry.condition.name] not in entry.condition.values
                    )
                )
            }
            if not never:
                return
            self.dropped |= never
            self.ranges = {n: entry for n, entry in self.ranges.items() if n not in never}

    def _dim(self, name: str, structural: bool) -> Dim:
        entry = self.ranges[name]
        kind = "continuous" if isinstance(entry, (Uniform, LogUniform)) else "integer"
        kind = "categorical" if isinstance(entry, Choice) else kind
        low = entry.low if isinstance(entry, LogIntUniform) else 0
        levels = entry.levels if isinstance(entry, Levels) else 0
        order = entry.order if isinstance(entry, Choice) else ()
        return Dim(kind, levels, structural, self._parent(name, entry.condition), low, order)

    def _parent(self, name: str, condition: When | None) -> Parent | None:
        if condition is None:
            return None
        if condition.name in self.constants:  # and matches: the others are taken out
            return None
        if condition.name not in self.ranges:
            raise ValueError(
                f"{name} is conditional on {condition.name!r:.80}, which is not in the space; add it"
            )
        parent = self.ranges[condition.name]
        if isinstance(parent, (Uniform, LogUniform)):
            raise ValueError(
                f"{name} is conditional on {condition.name!r:.80}, a continuous range; use a Choice or integers"
            )
        if isinstance(parent, LogIntUniform):
            raise ValueError(
                f"{name} is conditional on {condition.name!r:.80}; make that an IntUniform or a Choice"
            )
        possible = list(parent.values) if isinstance(parent, Choice) else list(parent.whole)
        unknown = [value for value in condition.values if value not in possible]
        if unknown:
            raise ValueError(
                f"{name} is conditional on {condition.name}={unknown[0]!r:.80}, which it never takes"
            )
        return Parent(
            self.names.index(condition.name), tuple(possible.index(v) for v in condition.values)
        )

    @classmethod
    def load(
        cls, source: str | Path | Mapping, structural: Callable[[str], bool] = lambda name: False
    ) -> Space:
        """A space from a TOML file or from the mapping that one holds.

        Args:
            source: a path, or a mapping such as {"learning_rate": {"log_uniform": [1e-4, 0.1]}, "batch_size": 32}.
            structural: as for Space.

        Raises:
            ValueError: a file that cannot be read, or an entry that is no range; names file and entry.
        """
        return cls(read(source), structural)

    # --- to and from the unit cube ---
    def active(self, unit: np.ndarray) -> np.ndarray:
        """Which dimensions of each point are active, [n D] bool."""
        return active(unit, self.dims)

    def decode(self, unit: np.ndarray) -> dict[str, np.ndarray]:
        """Unit points [n D] -> name -> values [n]; inactive ones are NaN (numbers) or None. Constants are included."""
        mask = self.active(np.asarray(unit))
        columns: dict[str, Any] = {}
        for i, (name, entry) in enumerate(self.ranges.items()):
            values = entry.decode(unit[:, i])
            if not mask[:, i].all():
                blank = None if isinstance(entry, Choice) else np.nan
                values = np.where(mask[:, i], values, blank)
                if isinstance(entry, (IntUniform, LogIntUniform)):
                    values = np.array([int(v) if v == v else None for v in values], object)
            columns[name] = values
        for name, value in self.constants.items():
            column = np.empty(len(unit), object)
            column.fill(value)
            columns[name] = column
        return {name: columns[name] for name in sorted(columns)}

    def slopes(self, unit: np.ndarray) -> np.ndarray:
        """d value / d unit [n D] of each point; 0 for whole numbers, choices and what is inactive."""
        found = np.zeros(np.shape(unit))
        for i, entry in enumerate(self.ranges.values()):
            if isinstance(entry, (Uniform, LogUniform)):
                found[:, i] = entry.slope(entry.decode(np.asarray(unit)[:, i]))
        return np.where(self.active(unit), found, 0.0)

    def encode(self, columns: Mapping[str, Sequence]) -> np.ndarray:
        """Name -> values [n] -> unit points [n D]; absent or inactive ones, None or NaN, stand at 0.5.

        None is a value where a choice has it.

        Raises:
            ValueError: a name that is not in the space, or a value outside its range.
        """
        count = len(next(iter(columns.values()))) if columns else 0
        unit = np.full((count, len(self.dims)), 0.5)
        for name, values in columns.items():
            if name in self.constants:
                wrong = [v for v in values if frozen(v) != self.constants[name]]
                if wrong:
                    raise ValueError(
                        f"{name}={wrong[0]!r:.80}, but the space fixes it at {self.constants[name]!r:.80}"
                    )
                continue
            if name in self.dropped and all(value is None for value in values):
                continue
            if name not in self.ranges:
                raise ValueError(
                    f"{name!r:.80} is not in the space; it has {', '.join(self.names)}"
                )
            entry, i = self.ranges[name], self.names.index(name)
            valued = isinstance(entry, Choice) and None in entry.values  # None is one of its values
            here = [
                row
                for row, v in enumerate(values)
                if not ((v is None and not valued) or (isinstance(v, float) and v != v))
            ]
            given = [values[row] for row in here]
            for value in given:
                if not entry.holds(value):
                    raise ValueError(f"{name}={value!r:.80} is outside the space's {entry}")
            if given:
                unit[here, i] = entry.encode(
                    given if isinstance(entry, Choice) else np.asarray(given)
                )
        return unit

    # --- size, identity ---
    @property
    def layered(self) -> frozenset[str]:
        """Names that hold several numbers, one per layer, somewhere in the space."""
        choices = {n: entry.values for n, entry in self.ranges.items() if isinstance(entry, Choice)}
        values = choices | {n: (value,) for n, value in self.constants.items()}
        return frozenset(
            n for n, given in values.items() if any(isinstance(v, tuple) for v in given)
        )

    def axes(self, levels: int | Mapping[str, int]) -> list[np.ndarray]:
        """A grid's unit values per dimension: every category, `levels` values of a range, evenly spaced on its scale.

        Args:
            levels: of every range, or by name.
        """
        result, wanted = [], levels
        for name, entry in self.ranges.items():
            levels = wanted.get(name, 1) if isinstance(wanted, Mapping) else int(wanted)
            if isinstance(entry, Choice):
                values = (np.arange(entry.levels) + 0.5) / entry.levels
            elif isinstance(entry, (Uniform, LogUniform)):
                values = np.linspace(0, 1, levels) if levels > 1 else np.array([0.5])
            else:
                spaced = np.geomspace if isinstance(entry, LogIntUniform) else np.linspace
                count = min(levels, entry.levels)
                values = entry.encode(
                    np.unique(np.round(spaced(entry.low, entry.high, count)).astype(int))
                )
                values = values if count > 1 else np.array([0.5])
            result.append(values)
        return result

    def to_dict(self) -> dict:
        """The mapping that a TOML file of this space would hold."""
        return written(self.ranges | self.dropped | self.constants)

    def json(self) -> str:
        """Canonical JSON: sorted names, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), default=_plain)

    def hash(self) -> str:
        """Sixteen hexadecimal digits that tell two spaces apart."""
        return hashlib.sha256(self.json().encode()).hexdigest()[:16]


def _shaping(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Dimensions, structural where they decide whether a structural one is active."""
    shapes = {i for i, dim in enumerate(dims) if dim.structural}
    for i in tuple(shapes):
        parent = dims[i].parent
        while parent is not None:
            shapes.add(parent.dim)
            parent = dims[parent.dim].parent
    return tuple(dim._replace(structural=i in shapes) for i, dim in enumerate(dims))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a space holds numbers, text and lists of them, got {value!r:.80}")
