"""Named ranges <-> the unit cube, with conditions."""

from hpjax.space.cube import Space
from hpjax.space.ranges import (
    Choice,
    IntUniform,
    LogIntUniform,
    LogUniform,
    Range,
    Uniform,
    When,
    frozen,
)
from hpjax.space.toml import spelled, unspelled

__all__ = [
    "Choice",
    "IntUniform",
    "LogIntUniform",
    "LogUniform",
    "Range",
    "Space",
    "Uniform",
    "When",
    "frozen",
    "spelled",
    "unspelled",
]
