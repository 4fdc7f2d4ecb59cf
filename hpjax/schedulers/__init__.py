"""How long each network lives: one scheduler a file, all of them ask/tell machines over trial numbers."""

from hpjax.schedulers.base import Order, Scheduler
from hpjax.schedulers.full import full
from hpjax.schedulers.halving import halving, ladder
from hpjax.schedulers.hyperband import brackets, hyperband
from hpjax.schedulers.median import median
from hpjax.schedulers.pbt import pbt
from hpjax.schedulers.replay import replay

# made again from Scheduler.settings
SCHEDULERS = {made.__name__: made for made in (full, halving, hyperband, median, pbt, replay)}


def from_settings(settings: dict) -> Scheduler:
    """The scheduler that has these settings.

    Raises:
        ValueError: an unknown name, or arguments that it does not have.
    """
    name, arguments = settings.get("name"), {k: v for k, v in settings.items() if k != "name"}
    if not isinstance(name, str) or name not in SCHEDULERS:
        raise ValueError(
            f"scheduler={name!r:.80} is none of {', '.join(SCHEDULERS)}; give your own again: scheduler=..."
        )
    try:
        return SCHEDULERS[name](**arguments)
    except TypeError as fault:
        raise ValueError(f"scheduler {name}: {fault!s:.200}") from None


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
