"""Searches and schedulers, as a user writes them, resolved."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from hpjax import catalogue, schedulers
from hpjax.defaults import FIRST_RUNG
from hpjax.methods import METHODS
from hpjax.resolve.networks import fidelity_of
from hpjax.schedulers import Scheduler
from hpjax.schedulers.halving import ETA
from hpjax.search import SEARCHES, Searcher, grid, manual
from hpjax.space import Space, spelled, unspelled

# combinations of a grid that are looked at before it begins, to count and to plan them
GRID = 50_000


class ResolvedSearch(NamedTuple):
    """A search, resolved."""

    make: Callable[..., Searcher]  # dims -> Searcher
    trials: int | None  # how many it proposes, where it is known
    points: np.ndarray | None  # [n D] what it proposes, where it is known


def as_points(configs: Any, space: Space, what: str = "search") -> np.ndarray:
    """Configurations (dicts) as points [n D] of the unit cube.

    Raises:
        ValueError: none given, or a name or value that is not in the space.
    """
    if not all(isinstance(config, Mapping) for config in configs):
        raise ValueError(f"{what} must hold configurations (dicts), got {configs!r:.80}")
    if not configs:
        raise ValueError(f"{what} is an empty list of configurations; give at least one")
    names = sorted({name for config in configs for name in config})
    points = space.encode({n: [unspelled(config.get(n)) for config in configs] for n in names})
    return points if names else np.full((len(configs), len(space.dims)), 0.5)


def as_search(search: Any, space: Space, levels: int | Mapping[str, int]) -> ResolvedSearch:
    """A search from its name, a list of configurations, or a factory of `dims`.

    Raises:
        ValueError: a name that is not known.
    """
    if isinstance(search, (list, tuple)):
        points = as_points(search, space)
        return ResolvedSearch(functools.partial(manual, points=points), len(points), points)
    if search == "grid":
        axes = space.axes(levels)
        total = int(np.prod([len(axis) for axis in axes], dtype=float))
        points = None
        if total <= GRID:
            searcher = grid(space.dims, axes=axes)
            points, _ = searcher.ask(searcher.init(()), (), total, 1)
        make = functools.partial(grid, axes=axes)
        return ResolvedSearch(make, total if points is None else len(points), points)
    if isinstance(search, str):
        if search in METHODS:
            return ResolvedSearch(METHODS[search].search, None, None)
        if search not in SEARCHES:
            raise ValueError(
                f"search={search!r:.80} is none of {', '.join(sorted(SEARCHES | METHODS))}, or a list of configurations"
            )
        return ResolvedSearch(SEARCHES[search], None, None)
    if takes(search, ()):
        return ResolvedSearch(functools.partial(_made, search), None, None)
    raise ValueError(
        f"search must be a name, a list of configurations or a factory of dims, got {search!r:.80}"
    )


def written_search(search: Any) -> Any:
    """A search as run.json keeps it: its name or its configurations; None for a factory, which has to be given again."""
    return spelled(search) if isinstance(search, (str, list, tuple)) else None


def takes(function: Any, *arguments: Any) -> bool:
    """Whether something may be called with so many arguments."""
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _made(factory: Callable[..., Any], dims: Any) -> Searcher:
    """What a user's factory makes, if it is a search."""
    searcher = factory(dims)
    if not isinstance(searcher, Searcher):
        raise ValueError(f"search must make a hpjax.search.Searcher, got {searcher!r:.80}")
    return searcher


def first_rung(
    search: Any, space: Space, levels: int | Mapping[str, int], trials: int | None
) -> int | None:
    """Networks of halving's first rung where it is named: the trials, or all points of a grid; None for the default."""
    if search == "grid" and trials is None:
        return as_search("grid", space, levels).trials
    return trials


def as_scheduler(
    search: Any,
    scheduler: Scheduler | str | None,
    space: Space | None = None,
    *,
    epochs: int | None = None,
    trials: int | None = None,
    eta: int = ETA,
    default: int = 20,
) -> Scheduler:
    """The scheduler that is given, by name or made; else the one that belongs to a named method; else `full`.

    Args:
        search: names of methods bring their scheduler.
        scheduler: one that was made, or a name: "full", "halving", "hyperband", "median", "pbt".
        space: tells the epochs, where they are not given.
        epochs: of a network that lives to the end.
        trials: of halving's first rung.
        eta: halving and hyperband keep one in eta.
        default: epochs where neither is given.

    Raises:
        ValueError: an unknown name, a method with another scheduler than its own, or epochs beside a scheduler that knows its own.
    """
    method = METHODS.get(search) if isinstance(search, str) else None
    if isinstance(scheduler, Scheduler):
        if epochs is not None and epochs != scheduler.fidelity:
            raise ValueError(
                f"epochs={epochs}, but the scheduler ends at epoch {scheduler.fidelity}; leave epochs out"
            )
        resolved_scheduler = scheduler
    else:
        until = epochs or (default if space is None else fidelity_of(space))
        if scheduler is None:
            return schedulers.full(until) if method is None else method.scheduler(until)
        tenth = max(1, until // 10)
        makers: dict[str, Callable[[], Scheduler]] = {
            "full": lambda: schedulers.full(until),
            "halving": lambda: schedulers.halving(
                schedulers.ladder(trials or FIRST_RUNG, until, eta)
            ),
            "hyperband": lambda: schedulers.hyperband(until, eta),
            "median": lambda: schedulers.median(until, tenth),
            "pbt": lambda: schedulers.pbt(epochs=until, every=tenth),
        }
        if not isinstance(scheduler, str) or scheduler not in makers:
            raise ValueError(
                f"scheduler={scheduler!r:.80} is none of {', '.join(makers)}; or make one: hpjax.halving(...)"
            )
        resolved_scheduler = makers[scheduler]()
    if method is not None:
        usual = method.scheduler(resolved_scheduler.fidelity)
        if resolved_scheduler.settings["name"] != usual.settings["name"]:
            raise ValueError(
                f"{search} is a search with {usual.settings['name']}; leave scheduler={resolved_scheduler.settings['name']} out, "
                f"or give that one's arguments: scheduler=hpjax.{usual.settings['name']}(...)"
            )
    return resolved_scheduler


def varying(space: Space, search: Any, trials: int | None, repeats: int) -> int | None:
    """The trials of a study: as asked for, or one where nothing but seeds varies.

    Raises:
        ValueError: nothing varies, and neither configurations nor repeats say that this is meant.
    """
    if space.dims or isinstance(search, (list, tuple)):
        return trials
    if repeats > 1 and trials in (None, 1):
        return 1
    listed = [
        name
        for name, value in space.constants.items()
        if isinstance(value, tuple) and not catalogue.structural(name)
    ]
    name = listed[0] if listed else "learning_rate"
    values = list(space.constants[name]) if listed else [0.1, 0.01]
    meaning = f"{name} = {values} means one value per layer; " if listed else ""
    raise ValueError(
        f"nothing varies in the space, so that all trials would be the same network; {meaning}to try values write {name} = Choice({values}), "
        f"in TOML {name} = {{ choice = {values} }}; to train one configuration on 8 seeds give 8 repeats and no trials: validation={{'repeats': 8}}, --repeats 8"
    )
