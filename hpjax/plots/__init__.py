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
from hpjax.plots.curves import incumbent, learning_curves, rungs
from hpjax.plots.learned import by_layer, meta_curves
from hpjax.plots.steps import improvement, lineage, posterior, schedules
from hpjax.plots.style import COLORS, COLUMN, LOOKS, WIDE, figure, house_style, look, save
from hpjax.plots.trials import (
    Scale,
    contour,
    importance,
    parallel_coordinates,
    partial_dependence,
    slice_,
)

__all__ = [
    "COLORS",
    "COLUMN",
    "LOOKS",
    "WIDE",
    "Scale",
    "anytime",
    "by_layer",
    "confusion",
    "contour",
    "critical_difference",
    "ecdfs",
    "figure",
    "house_style",
    "importance",
    "improvement",
    "incumbent",
    "learning_curves",
    "lineage",
    "look",
    "meta_curves",
    "parallel_coordinates",
    "pareto",
    "partial_dependence",
    "posterior",
    "profiles",
    "rank_curves",
    "rungs",
    "save",
    "schedules",
    "slice_",
]
