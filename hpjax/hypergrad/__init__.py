"""d loss / d hyperparameters, through training: reverse, mixed, forward, truncated, implicit, evolution strategies."""

from hpjax.hypergrad.cost import MODES, Cost, Mode, candidates, estimate, table
from hpjax.hypergrad.gradient import Hypergradient, configure, hypergradient, hypergradients

__all__ = [
    "MODES",
    "Cost",
    "Hypergradient",
    "Mode",
    "candidates",
    "configure",
    "estimate",
    "hypergradient",
    "hypergradients",
    "table",
]
