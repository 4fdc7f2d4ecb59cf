"""Draw records on given Axes."""

from hpjax.plots.confusion import confusion
from hpjax.plots.curves import incumbent, learning_curves
from hpjax.plots.style import COLORS, WIDE, figure, save

__all__ = ["COLORS", "WIDE", "confusion", "figure", "incumbent", "learning_curves", "save"]
