"""Named ranges <-> the unit cube, with conditions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpjax.search.base import Dim, Parent, active, center, level

LARGEST = 2**53  # whole numbers up to which floats hold each
HUGE = float("inf")


class When(NamedTuple):
    """A condition: active only where another hyperparameter takes one of these values."""

    name: str
    values: tuple


class Range:
    """What a hyperparameter may be. Use one of the five below."""

    if TYPE_CHECKING:  # low, high, values, condition: as each range has them

        def __getattr__(self, name: str) -> Any: ...

    def __post_init__(self):
        self.validate()

    def validate(self) -> None:
        """Refuses inverted or empty ranges."""

    def when(self, name: str, *values) -> Range:
        """The same range, active only where hyperparameter `name` takes one of `values`.

        Example:
            >>> Uniform(0.0, 0.99).when("optimizer", "sgd", "nesterov").condition
            When(name='optimizer', values=('sgd', 'nesterov'))
        """
        if not values:
            raise ValueError(
                f"when({name!r:.80}) needs at least one value, e.g. .when({name!r:.80}, 2, 3)"
            )
        made: Any = self
        return dataclasses.replace(made, condition=When(name, frozen(values)))

    def _between(self, positive: bool) -> None:
        kind, low, high = type(self).__name__, self.low, self.high
        whole = isinstance(self, (IntUniform, LogIntUniform))
        numbers = all(
            isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in (low, high)
        )
        if (
            not numbers
            or not (abs(low) < HUGE and abs(high) < HUGE)
            or not low < high
            or (positive and low <= 0)
        ):
            floor = "0 < " if positive else ""
            raise ValueError(
                f"{kind} needs {floor}low < high, got low={low!r:.80}, high={high!r:.80}"
            )
        if whole and max(abs(low), abs(high)) > LARGEST:
            raise ValueError(
                f"{kind} needs whole numbers within 2^53, got low={low!r:.80}, high={high!r:.80}"
            )
        if not math.isfinite(float(high) - float(low)):
            raise ValueError(
                f"{kind} is wider than numbers go, got low={low!r:.80}, high={high!r:.80}"
            )
        if whole and (low != int(low) or high != int(high)):
            raise ValueError(f"{kind} needs whole numbers, got low={low!r:.80}, high={high!r:.80}")


@dataclasses.dataclass(frozen=True)
class Uniform(Range):
    """A number between low and high, all equally likely."""

    low: float
    high: float
    condition: When | None = None

    def validate(self):
        self._between(positive=False)

    def decode(self, unit):
        return _clipped(self.low + unit * (self.high - self.low), self)

    def encode(self, value):
        return (value - self.low) / (self.high - self.low)

    def slope(self, value):
        """d value / d unit."""
        return np.full_like(np.asarray(value, float), self.high - self.low)


@dataclasses.dataclass(frozen=True)
class LogUniform(Range):
    """A number between low and high, its logarithm equally likely."""

    low: float
    high: float
    condition: When | None = None

    def validate(self):
        self._between(positive=True)

    def decode(self, unit):
        return _clipped(self.low * (self.high / self.low) ** unit, self)

    def encode(self, value):
        return np.log(value / self.low) / math.log(self.high / self.low)

    def slope(self, value):
        """d value / d unit."""
        return np.asarray(value, float) * math.log(self.high / self.low)


class _Levels:
    """What ranges of finitely many values share."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def levels(self) -> int:
        return self.high - self.low + 1

    @property
    def scale(self) -> Dim:
        """Where its levels lie in the unit interval."""
        return Dim("integer", self.levels)

    def index(self, unit):
        return level(unit, self.scale)

    def decode(self, unit):
        return self.low + self.index(unit)

    def encode(self, value):
        return center(np.asarray(value) - self.low, self.scale)


@dataclasses.dataclass(frozen=True)
class IntUniform(_Levels, Range):
    """A whole number from low to high, both included."""

    low: int
    high: int
    condition: When | None = None

    def validate(self):
        self._between(positive=False)


@dataclasses.dataclass(frozen=True)
class LogIntUniform(_Levels, Range):
    """A whole number from low to high, both included, its logarithm equally likely."""

    low: int
    high: int
    condition: When | None = None

    def validate(self):
        self._between(positive=True)

    @property
    def scale(self) -> Dim:
        return Dim("integer", self.levels, low=self.low)


@dataclasses.dataclass(frozen=True)
class Choice(_Levels, Range):
    """One of the given values, all equally likely, without an order."""

    values: tuple
    condition: When | None = None

    def validate(self):
        if isinstance(self.values, (str, Mapping, set, frozenset)) or not isinstance(
            self.values, Iterable
        ):
            raise ValueError(f"Choice needs a list of values, got {self.values!r:.100}")
        object.__setattr__(self, "values", frozen(tuple(self.values)))
        for value in _flat(self.values):
            if not isinstance(value, (str, bool, int, float, type(None))):
                raise ValueError(f"Choice needs numbers and text, got {value!r:.80}")
        if not self.values:
            raise ValueError("Choice needs at least one value, got none")
        if len(set(map(repr, self.values))) < len(self.values):
            raise ValueError(f"Choice has a value twice: {self.values!r:.80}")

    @property
    def levels(self) -> int:
        return len(self.values)

    def decode(self, unit):
        picked = np.empty(len(self.values), object)
        for i, value in enumerate(self.values):  # one by one: values may be tuples
            picked[i] = value
        return picked[self.index(unit)]

    def encode(self, value):
        known = {repr(v): i for i, v in enumerate(self.values)}
        return center([known[repr(frozen(v))] for v in value], self.scale)


KINDS = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "int_uniform": IntUniform,
    "log_int_uniform": LogIntUniform,
    "choice": Choice,
}


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

    def __init__(self, entries: Mapping[str, Any], structural=lambda name: False):
        self.ranges = {n: entries[n] for n in sorted(entries) if isinstance(entries[n], Range)}
        self.constants = {n: frozen(entries[n]) for n in sorted(entries) if n not in self.ranges}
        for name, value in self.constants.items():
            for leaf in _flat(value):
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
        levels = entry.levels if isinstance(entry, _Levels) else 0
        return Dim(kind, levels, structural, self._parent(name, entry.condition), low)

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
        possible = (
            list(parent.values)
            if isinstance(parent, Choice)
            else list(range(parent.low, parent.high + 1))
        )
        unknown = [value for value in condition.values if value not in possible]
        if unknown:
            raise ValueError(
                f"{name} is conditional on {condition.name}={unknown[0]!r:.80}, which it never takes"
            )
        return Parent(
            self.names.index(condition.name), tuple(possible.index(v) for v in condition.values)
        )

    @classmethod
    def load(cls, source: str | Path | Mapping, structural=lambda name: False) -> Space:
        """A space from a TOML file or from the mapping that one holds.

        Args:
            source: a path, or a mapping such as {"learning_rate": {"log_uniform": [1e-4, 0.1]}, "batch_size": 32}.
            structural: as for Space.

        Raises:
            ValueError: a file that cannot be read, or an entry that is no range; names file and entry.
        """
        if isinstance(source, Mapping):
            entries, where = source, "space"
        else:
            where = str(source)
            try:
                entries = tomllib.loads(Path(source).read_text())
            except FileNotFoundError:
                raise ValueError(f"no space file {where}; give the path of a TOML file") from None
            except (OSError, ValueError, RecursionError) as fault:
                raise ValueError(
                    f"cannot read the space {where[:200]}: {' '.join(str(fault).split())[:200]}"
                ) from None
        parsed = {}
        for name, entry in entries.items():
            try:
                parsed[name] = _parse(entry)
            except (ValueError, TypeError, RecursionError, OverflowError) as fault:
                raise ValueError(f"{where}: {name}: {' '.join(str(fault).split())[:300]}") from None
        return cls(parsed, structural)

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
        """Name -> values [n] -> unit points [n D]; absent or inactive ones stand at 0.5.

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
            here = [
                row
                for row, v in enumerate(values)
                if not (v is None or (isinstance(v, float) and v != v))
            ]
            given = [values[row] for row in here]
            for value in given:
                inside = (
                    repr(frozen(value)) in map(repr, entry.values)
                    if isinstance(entry, Choice)
                    else entry.low <= value <= entry.high
                )
                if not inside:
                    raise ValueError(f"{name}={value!r:.80} is outside the space's {entry}")
            if given:
                unit[here, i] = entry.encode(
                    given if isinstance(entry, Choice) else np.asarray(given)
                )
        return unit

    # --- size, identity ---
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
        inverse = {kind: name for name, kind in KINDS.items()}
        result: dict[str, Any] = {name: spelled(value) for name, value in self.constants.items()}
        for name, entry in (self.ranges | self.dropped).items():
            values = spelled(entry.values) if isinstance(entry, Choice) else [entry.low, entry.high]
            result[name] = {inverse[type(entry)]: values}
            if entry.condition is not None:
                result[name]["when"] = {entry.condition.name: list(entry.condition.values)}
        return {name: result[name] for name in sorted(result)}

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


def _parse(entry: Any) -> Any:
    if isinstance(entry, Range):
        return entry
    if not isinstance(entry, Mapping):
        return unspelled(entry)
    entry = dict(entry)
    condition = entry.pop("when", None)
    if not all(isinstance(key, str) for key in entry):
        raise ValueError(f"holds names that are no text, got {entry!r:.100}")
    if len(entry) != 1 or next(iter(entry)) not in KINDS:
        raise ValueError(
            f"is none of {', '.join(KINDS)}; write e.g. {{ uniform = [0, 1] }}, got {entry!r:.80}"
        )
    kind, values = next(iter(entry.items()))
    if kind == "choice":
        result = Choice(unspelled(values))
    elif not isinstance(values, Sequence) or len(values) != 2:
        raise ValueError(f"{kind} needs [low, high], got {values!r:.80}")
    else:
        result = KINDS[kind](*values)
    if condition is None:
        return result
    if not isinstance(condition, Mapping) or len(condition) != 1:
        raise ValueError(
            f"when needs one parent, e.g. when = {{ depth = [2, 3] }}, got {condition!r:.80}"
        )
    parent, allowed = next(iter(condition.items()))
    return result.when(parent, *(allowed if isinstance(allowed, (list, tuple)) else [allowed]))


def _clipped(value: Any, entry: Any) -> Any:
    """A number without the last rounding beyond its bounds; traced values are left alone."""
    return (
        np.clip(value, entry.low, entry.high)
        if isinstance(value, (np.ndarray, np.generic, float))
        else value
    )


def _flat(value: Any) -> list:
    """The leaves of nested tuples."""
    return [leaf for one in value for leaf in _flat(one)] if isinstance(value, tuple) else [value]


def spelled(value: Any) -> Any:
    """Infinities as text, which JSON can hold."""
    if isinstance(value, Mapping):
        return {name: spelled(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(v) for v in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def unspelled(value: Any) -> Any:
    """What `spelled` wrote, back."""
    if isinstance(value, (list, tuple)):
        return [unspelled(v) for v in value]
    return float(value) if value in ("inf", "-inf") else value


def frozen(value: Any) -> Any:
    """Lists as tuples and NumPy scalars as Python's, all the way down."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(frozen(v) for v in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a space holds numbers, text and lists of them, got {value!r:.80}")
