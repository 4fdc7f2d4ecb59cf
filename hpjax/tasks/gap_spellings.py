"""How what is not there is spelled: gaps in files, in cells of frames, and in labels."""

from __future__ import annotations

import itertools
import numbers
from typing import Any

IN_FILES = ("", "?", "na", "n/a", "nan", "null", "none")  # in any letters, small or capital
IN_CELLS = (*IN_FILES, "<na>", "nat")  # of frames and arrays, likewise
IN_LABELS = ("", "nan", "NaN", "None", "<NA>", "NaT")  # exactly so: "NA" and "null" may be classes
SPELLED = sorted(
    {
        "".join(letters)
        for word in IN_FILES
        for letters in itertools.product(*((c.lower(), c.upper()) for c in word))
    }
)


def is_gap(value: Any) -> bool:
    """Whether a cell of a feature is missing."""
    if isinstance(value, str):
        return value.strip().lower() in IN_CELLS
    return _is_nothing(value)


def is_lost_label(value: Any) -> bool:
    """Whether a label is missing."""
    return value.strip() in IN_LABELS if isinstance(value, str) else _is_nothing(value)


def _is_nothing(value: Any) -> bool:
    """None, NaN, or one of pandas' marks."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Number) and bool(value != value)
