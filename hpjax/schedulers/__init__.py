"""How long each network lives: one scheduler a file, all of them ask/tell machines over trial numbers."""

from hpjax.schedulers.base import Order, Scheduler
from hpjax.schedulers.full import full
from hpjax.schedulers.halving import halving, ladder

__all__ = ["Order", "Scheduler", "full", "halving", "ladder"]
