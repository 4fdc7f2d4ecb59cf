"""d loss / d hyperparameters, through training: reverse, mixed, forward, truncated, implicit, evolution strategies."""

from hpjax.hypergrad.coordinates import rules
from hpjax.hypergrad.cost import SHARE, Cost, Mode, candidates, cost_table, estimate
from hpjax.hypergrad.gradient import (
    Differentiated,
    Hypergradient,
    Runs,
    configure,
    differentiate,
    hypergradient,
    hypergradients,
    width_of,
)
from hpjax.hypergrad.learn import Learned, learn
from hpjax.hypergrad.modes import (
    Evolution,
    Forward,
    Implicit,
    Mixed,
    Reverse,
    Truncated,
    resolve_mode,
)
from hpjax.hypergrad.process import TrainingPlan

__all__ = [
    "SHARE",
    "Cost",
    "Differentiated",
    "Evolution",
    "Forward",
    "Hypergradient",
    "Implicit",
    "Learned",
    "Mixed",
    "Mode",
    "Reverse",
    "Runs",
    "TrainingPlan",
    "Truncated",
    "candidates",
    "configure",
    "cost_table",
    "differentiate",
    "estimate",
    "hypergradient",
    "hypergradients",
    "learn",
    "resolve_mode",
    "rules",
    "width_of",
]
