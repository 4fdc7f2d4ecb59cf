"""What a hyperparameter may be: ranges of numbers, whole numbers and choices, with conditions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpjax.search.base import Dim, center, level

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

    def when(self, name: str, *values: Any) -> Range:
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

    def holds(self, value: Any) -> bool:
        """Whether it is one of its values: a number between its bounds, whole where it has whole numbers."""
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high:
            return False
        return isinstance(self, (Uniform, LogUniform)) or value == int(value)


@dataclasses.dataclass(frozen=True)
class Uniform(Range):
    """A number between low and high, all equally likely."""

    low: float
    high: float
    condition: When | None = None

    def validate(self):
        self._between(positive=False)

    def decode(self, unit: Any):
        return _clipped(self.low + unit * (self.high - self.low), self)

    def encode(self, value: Any):
        return (value - self.low) / (self.high - self.low)

    def slope(self, value: Any):
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

    def decode(self, unit: Any):
        return _clipped(self.low * (self.high / self.low) ** unit, self)

    def encode(self, value: Any):
        return np.log(value / self.low) / math.log(self.high / self.low)

    def slope(self, value: Any):
        """d value / d unit."""
        return np.asarray(value, float) * math.log(self.high / self.low)


class Levels:
    """What ranges of finitely many values share."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def whole(self) -> range:
        """Its whole numbers; bounds may be given as 3.0."""
        return range(int(self.low), int(self.high) + 1)

    @property
    def levels(self) -> int:
        return len(self.whole)

    @property
    def scale(self) -> Dim:
        """Where its levels lie in the unit interval."""
        return Dim("integer", self.levels)

    def index(self, unit: Any):
        return level(unit, self.scale)

    def decode(self, unit: Any):
        return self.whole.start + self.index(unit)

    def encode(self, value: Any):
        return center(np.asarray(value) - self.whole.start, self.scale)


@dataclasses.dataclass(frozen=True)
class IntUniform(Levels, Range):
    """A whole number from low to high, both included."""

    low: int
    high: int
    condition: When | None = None

    def validate(self):
        self._between(positive=False)


@dataclasses.dataclass(frozen=True)
class LogIntUniform(Levels, Range):
    """A whole number from low to high, both included, its logarithm equally likely."""

    low: int
    high: int
    condition: When | None = None

    def validate(self):
        self._between(positive=True)

    @property
    def scale(self) -> Dim:
        return Dim("integer", self.levels, low=self.whole.start)


@dataclasses.dataclass(frozen=True)
class Choice(Levels, Range):
    """One of the given values, all equally likely, without an order; searches may find that numbers have one."""

    values: Sequence[Any]
    condition: When | None = None

    def validate(self):
        if isinstance(self.values, (str, Mapping, set, frozenset)) or not isinstance(
            self.values, Iterable
        ):
            raise ValueError(f"Choice needs a list of values, got {self.values!r:.100}")
        object.__setattr__(self, "values", frozen(tuple(self.values)))
        for value in leaves_of(self.values):
            if not isinstance(value, (str, bool, int, float, type(None))):
                raise ValueError(f"Choice needs numbers and text, got {value!r:.80}")
        if not self.values:
            raise ValueError("Choice needs at least one value, got none")
        if len(set(map(repr, self.values))) < len(self.values):
            raise ValueError(f"Choice has a value twice: {self.values!r:.80}")

    @property
    def levels(self) -> int:
        return len(self.values)

    def holds(self, value: Any) -> bool:
        return repr(frozen(value)) in map(repr, self.values)

    @property
    def order(self) -> tuple[int, ...]:
        """The place of each value by size; empty where they are not all numbers, or two are equal."""
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in self.values)
        if not numbers or len(set(self.values)) < len(self.values):
            return ()
        return tuple(np.argsort(np.argsort(self.values)).tolist())

    def decode(self, unit: Any):
        picked = np.empty(len(self.values), object)
        for i, value in enumerate(self.values):  # one by one: values may be tuples
            picked[i] = value
        return picked[self.index(unit)]

    def encode(self, value: Any):
        known = {repr(v): i for i, v in enumerate(self.values)}
        return center([known[repr(frozen(v))] for v in value], self.scale)


def _clipped(value: Any, entry: Any) -> Any:
    """A number without the last rounding beyond its bounds; traced values are left alone."""
    return (
        np.clip(value, entry.low, entry.high)
        if isinstance(value, (np.ndarray, np.generic, float))
        else value
    )


def leaves_of(value: Any) -> list:
    """The leaves of nested tuples."""
    return (
        [leaf for one in value for leaf in leaves_of(one)] if isinstance(value, tuple) else [value]
    )


PLAIN = (float, int, str, bool, type(None))


def frozen(value: Any) -> Any:
    """Lists as tuples and NumPy scalars as Python's, all the way down."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(frozen(v) for v in value)
    return value
