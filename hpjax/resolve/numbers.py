"""Counts, seeds and limits, as a user writes them: what cannot be is refused here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from hpjax import checks, tasks
from hpjax.settings import Stop
from hpjax.training.stepping import GRADIENTS

MOST_LEVELS = 100_000  # of a grid, per range
COUNTS = ("trials", "epochs", "eta", "batch", "seeds", "top", "size", "candidates", "repeats")


def as_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Seeds: so many, or these.

    Raises:
        ValueError: none, one twice, or what is no seed.
    """
    if isinstance(seeds, (int, np.integer)):
        check(seeds=seeds)
        return list(range(int(seeds)))
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes, Mapping, type)):
        raise ValueError(f"seeds must be a number of studies or a list of seeds, got {seeds!r:.80}")
    numbers = list(seeds)
    for seed in numbers:
        check(seed=seed)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds must be at least one, each once, got {seeds!r:.80}")
    return [int(seed) for seed in numbers]


def _seed(name: str, value: Any) -> None:
    if not checks.is_whole(value) or not 0 <= value < 2**63:
        raise ValueError(f"{name} must be a whole number of at least 0, got {value!r:.80}")


def _levels(name: str, value: Any) -> None:
    named = value.items() if isinstance(value, Mapping) else [("", value)]
    for dimension, levels in named:
        checks.count(f"{name} of {dimension}" if dimension else name, levels, most=MOST_LEVELS)


def _start(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(row, Mapping) for row in value):
        raise ValueError(f"{name} must be a list of configurations (dicts), got {value!r:.80}")


def _function(name: str, value: Any) -> None:
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"{name} must be a function, got {value!r:.80}")


def _switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True, False or None, got {value!r:.80}")


# what refuses an option that cannot be, by the option's name
RULES: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(COUNTS, checks.count),
    "gradients": lambda name, value: checks.one_of(name, value, GRADIENTS),
    "kind": lambda name, value: checks.one_of(name, value, tasks.KINDS),
    "levels": _levels,
    "say": _function,
    "seed": _seed,
    "start": _start,
    "stop": lambda _, value: as_stop(value),
    "stream": _switch,
    "watch": _function,
}
REQUIRED = ("gradients", "start", "seed", "repeats")  # None is no value of these


def check(**options: Any) -> None:
    """Refuses options that cannot be: counts below 1, unknown words, unknown limits. None says that an option is not given.

    Raises:
        ValueError: in one line, with the remedy.
    """
    for name, value in options.items():
        if value is not None or name in REQUIRED:
            RULES[name](name, value)


def as_stop(stop: Any, trials: int | None = None) -> Stop:
    """Limits of a study: a Stop, or a dict of them.

    Args:
        stop: as the user wrote it.
        trials: limit of them, where it is given beside.

    Raises:
        ValueError: a limit that there is not, or a number that cannot be.
    """
    if isinstance(stop, Stop):
        named: dict[str, Any] = msgspec.structs.asdict(stop)
    elif isinstance(stop, Mapping):
        named = dict(stop)
    else:
        raise ValueError(f"stop must be a dict such as {{'seconds': 60}}, got {stop!r:.80}")
    for name, value in named.items():
        if name not in Stop.__struct_fields__:
            raise ValueError(
                f"stop has no limit called {name!r:.80}; it has {', '.join(Stop.__struct_fields__)}"
            )
        if value is None:
            continue
        if name != "seconds":
            checks.count(f"stop's {name}", value, most=2**63 - 1)
        elif (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not 0 <= value < math.inf
        ):
            raise ValueError(f"stop's seconds must be a number of at least 0, got {value!r:.80}")
    plain = {n: v.item() if isinstance(v, np.generic) else v for n, v in named.items()}
    return Stop(**plain | ({} if trials is None else {"trials": int(trials)}))
