"""How long each network lives: one scheduler a file, all of them ask/tell machines over trial numbers."""

from hpjax.schedulers.base import Order, Scheduler
from hpjax.schedulers.full import full
from hpjax.schedulers.halving import halving, ladder
from hpjax.schedulers.hyperband import brackets, hyperband
from hpjax.schedulers.median import median
from hpjax.schedulers.pbt import pbt
from hpjax.schedulers.replay import replay

SCHEDULERS = {
    made.__name__: made for made in (full, halving, hyperband, median, pbt, replay)
}  # made again from Scheduler.settings


def from_settings(settings: dict) -> Scheduler:
    """The scheduler that has these settings."""
    return SCHEDULERS[settings["name"]](**{k: v for k, v in settings.items() if k != "name"})


__all__ = [
    "SCHEDULERS",
    "Order",
    "Scheduler",
    "brackets",
    "from_settings",
    "full",
    "halving",
    "hyperband",
    "ladder",
    "median",
    "pbt",
    "replay",
]
