"""How does what a user writes become a space, a task, a search, a scheduler? The same for every door, with the same defaults."""

from hpjax.resolve.networks import (
    as_evaluation,
    as_family,
    as_space,
    as_task,
    as_validation,
    fidelity_of,
    refuse_idle_numbers,
    refuse_unlike_losses,
    truth_of,
)
from hpjax.resolve.numbers import as_seeds, as_stop, check
from hpjax.resolve.searches import (
    as_points,
    as_scheduler,
    as_search,
    first_rung,
    of_layers,
    takes,
    varying,
)
from hpjax.resolve.studies import as_settings

__all__ = [
    "as_evaluation",
    "as_family",
    "as_points",
    "as_scheduler",
    "as_search",
    "as_seeds",
    "as_settings",
    "as_space",
    "as_stop",
    "as_task",
    "as_validation",
    "check",
    "fidelity_of",
    "first_rung",
    "of_layers",
    "refuse_idle_numbers",
    "refuse_unlike_losses",
    "takes",
    "truth_of",
    "varying",
]
