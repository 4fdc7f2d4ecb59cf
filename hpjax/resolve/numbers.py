"""Counts, seeds and limits, as a user writes them: what cannot be is refused here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from hpjax import tasks
from hpjax.settings import Stop
from hpjax.training.stepping import GRADIENTS

MOST_LEVELS = 100_000  # of a grid, per range


COUNTS = ("trials", "epochs", "eta", "batch", "seeds", "top", "size", "candidates", "repeats")
MOST = 10_000_000  # trials, epochs, networks: more is a slip of the keyboard


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


def check(**options: Any) -> None:
    """Refuses options that cannot be: counts below 1, unknown words, unknown limits. None is no option.

    Raises:
        ValueError: in one line, with the remedy.
    """
    for name, value in options.items():
        if name == "gradients":
            if value not in GRADIENTS:
                raise ValueError(f"gradients={value!r:.80} is none of {', '.join(GRADIENTS)}")
        elif name == "start":
            if not isinstance(value, (list, tuple)) or not all(
                isinstance(one, Mapping) for one in value
            ):
                raise ValueError(
                    f"start must be a list of configurations (dicts), got {value!r:.80}"
                )
        elif name == "seed":
            if not _whole(value) or not 0 <= value < 2**63:
                raise ValueError(f"seed must be a whole number of at least 0, got {value!r:.80}")
        elif name == "repeats":
            _count(name, value)
        elif value is None:
            continue
        elif name == "kind":
            if value not in tasks.KINDS:
                raise ValueError(f"kind={value!r:.80} is none of {', '.join(tasks.KINDS)}")
        elif name == "stop":
            as_stop(value)
        elif name == "levels":
            named = value.items() if isinstance(value, Mapping) else [("", value)]
            for dimension, levels in named:
                _count(f"levels of {dimension}" if dimension else "levels", levels, MOST_LEVELS)
        elif name in ("say", "watch"):
            if not callable(value) or isinstance(value, type):
                raise ValueError(f"{name} must be a function, got {value!r:.80}")
        elif name in COUNTS:
            _count(name, value)
        else:
            raise KeyError(f"no rule for {name}")


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _count(name: str, value: Any, most: int = MOST, least: int = 1) -> None:
    if not _whole(value) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r:.80}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value!r:.80}")


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
            if not _whole(value) or value < 1:
                raise ValueError(
                    f"stop's {name} must be a whole number of at least 1, got {value!r:.80}"
                )
        elif (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not 0 <= value < math.inf
        ):
            raise ValueError(f"stop's seconds must be a number of at least 0, got {value!r:.80}")
    plain = {n: v.item() if isinstance(v, np.generic) else v for n, v in named.items()}
    return Stop(**plain | ({} if trials is None else {"trials": int(trials)}))
