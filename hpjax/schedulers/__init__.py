"""How long each network lives: one scheduler a file, all of them ask/tell machines over trial numbers."""

from hpjax.defaults import FIRST_RUNG
from hpjax.schedulers.asha import asha
from hpjax.schedulers.base import Order, Scheduler
from hpjax.schedulers.full import full
from hpjax.schedulers.halving import ETA, halving, ladder
from hpjax.schedulers.hyperband import brackets, hyperband
from hpjax.schedulers.median import median
from hpjax.schedulers.pbt import pbt
from hpjax.schedulers.replay import replay

# made again from Scheduler.settings
SCHEDULERS = {
    factory.__name__: factory for factory in (asha, full, halving, hyperband, median, pbt, replay)
}

MOVING = ("pbt", "replay")  # those that change points between orders


def by_name(name: str, epochs: int, eta: int = ETA, networks: int = FIRST_RUNG) -> Scheduler:
    """A scheduler that is known by no more than its name.

    Args:
        name: "asha", "full", "halving", "hyperband", "median" or "pbt"; the last two decide ten times in a network's life.
        epochs: of a network that lives to the end.
        eta: halving, asha and hyperband keep one network in eta.
        networks: of halving's first rung.

    Raises:
        ValueError: an unknown name.
    """
    interval = max(1, epochs // 10)
    factories = {
        "full": lambda: full(epochs),
        "asha": lambda: asha(epochs, eta),
        "halving": lambda: halving(ladder(networks, epochs, eta)),
        "hyperband": lambda: hyperband(epochs, eta),
        "median": lambda: median(epochs, interval),
        "pbt": lambda: pbt(epochs=epochs, every=interval),
    }
    if not isinstance(name, str) or name not in factories:
        raise ValueError(
            f"scheduler={name!r:.80} is none of {', '.join(factories)}; or make one: hpjax.halving(...)"
        )
    return factories[name]()


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
    "ETA",
    "MOVING",
    "SCHEDULERS",
    "Order",
    "Scheduler",
    "asha",
    "brackets",
    "by_name",
    "from_settings",
    "full",
    "halving",
    "hyperband",
    "ladder",
    "median",
    "pbt",
    "replay",
]
