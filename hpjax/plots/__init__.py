"""Draw records on given Axes."""

from hpjax.plots.compare import (
    anytime,
    critical_difference,
    ecdfs,
    pareto,
    profiles,
    rank_curves,
)
from hpjax.plots.confusion import confusion
from hpjax.plots.curves import incumbent, learning_curves
from hpjax.plots.style import COLORS, COLUMN, LOOKS, WIDE, figure, look, save

__all__ = [
    "COLORS",
    "COLUMN",
    "LOOKS",
    "WIDE",
    "anytime",
    "confusion",
    "critical_difference",
    "ecdfs",
    "figure",
    "incumbent",
    "learning_curves",
    "look",
    "pareto",
    "profiles",
    "rank_curves",
    "save",
]
