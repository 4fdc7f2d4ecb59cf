"""d loss / d hyperparameters, through training: reverse, mixed, forward, truncated, implicit, evolution strategies."""

from hpjax.hypergrad.coordinates import rules
from hpjax.hypergrad.cost import MEMORY, MODES, SHARE, Cost, Mode, candidates, estimate, table
from hpjax.hypergrad.gradient import (
    Hypergradient,
    carry_out,
    configure,
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
    resolve,
)
from hpjax.hypergrad.process import Plan

__all__ = [
    "MEMORY",
    "MODES",
    "SHARE",
    "Cost",
    "Evolution",
    "Forward",
    "Hypergradient",
    "Implicit",
    "Learned",
    "Mixed",
    "Mode",
    "Plan",
    "Reverse",
    "Truncated",
    "candidates",
    "carry_out",
    "configure",
    "estimate",
    "hypergradient",
    "hypergradients",
    "learn",
    "resolve",
    "rules",
    "table",
    "width_of",
]
