"""A word and a count that a user gives: what cannot be is refused in one line, with the value and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

MOST = 10_000_000  # trials, epochs, networks: more is a slip of the keyboard


def one_of(name: str, value: Any, options: Iterable[str]) -> None:
    """Refuses a value that is none of these words.

    Raises:
        ValueError: with the words that there are.
    """
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}={value!r:.80} is none of {', '.join(options)}")


def is_whole(value: Any) -> bool:
    """Whether this is a whole number; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def count(name: str, value: Any, least: int = 1, most: int = MOST) -> None:
    """Refuses what is no whole number from `least` to `most`.

    Raises:
        ValueError: with the bound that was passed.
    """
    if not is_whole(value) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r:.80}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value!r:.80}")
