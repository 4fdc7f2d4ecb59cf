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
from hpjax.models import Family
from hpjax.schedulers import ETA, Scheduler
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
        return ResolvedSearch(functools.partial(_checked, search), None, None)
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


def _checked(factory: Callable[..., Any], dims: Any) -> Searcher:
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
    fidelity: int,
    *,
    epochs: int | None = None,
    trials: int | None = None,
    eta: int | None = None,
) -> Scheduler:
    """The scheduler that is given, by name or made; else the one that belongs to a named method; else `full`.

    Args:
        search: names of methods bring their scheduler.
        scheduler: one that was made, or a name: "asha", "full", "halving", "hyperband", "median", "pbt".
        fidelity: epochs of a network that lives to the end, where `epochs` does not say.
        epochs: the same, as the user gave them.
        trials: of halving's first rung.
        eta: halving, asha and hyperband keep one in eta; 3 where None.

    Raises:
        ValueError: an unknown name, a method with another scheduler than its own, epochs beside a scheduler that knows its own,
            or eta where nothing is divided by it.
    """
    method = METHODS.get(search) if isinstance(search, str) else None
    if isinstance(scheduler, Scheduler):
        if epochs is not None and epochs != scheduler.fidelity:
            raise ValueError(
                f"epochs={epochs}, but the scheduler ends at epoch {scheduler.fidelity}; leave epochs out"
            )
        _refuse_idle_eta(eta, scheduler, made=True)
        if method is not None:
            _refuse_other_scheduler(search, scheduler.name, method.scheduler(1, ETA).name)
        return scheduler
    until = epochs or fidelity
    usual = None if method is None else method.scheduler(until, eta or ETA)
    if usual is not None and scheduler in (None, usual.name):
        resolved_scheduler = usual
    else:
        name = "full" if scheduler is None else scheduler
        resolved_scheduler = schedulers.by_name(name, until, eta or ETA, trials or FIRST_RUNG)
        if usual is not None:
            _refuse_other_scheduler(search, resolved_scheduler.name, usual.name)
    _refuse_idle_eta(eta, resolved_scheduler, made=False)
    return resolved_scheduler


def _refuse_other_scheduler(search: str, name: str, usual: str) -> None:
    """Refuses a named method with another scheduler than its own."""
    if name != usual:
        raise ValueError(
            f"{search} is a search with {usual}; leave scheduler={name} out, or give that one's arguments: scheduler=hpjax.{usual}(...)"
        )


def _refuse_idle_eta(eta: int | None, scheduler: Scheduler, made: bool) -> None:
    """Refuses an eta that divides nothing."""
    if eta is not None and made:
        raise ValueError(
            f"eta={eta}, but the scheduler was made with its own; leave eta out, or make it with that"
        )
    if eta is not None and scheduler.name not in ("asha", "halving", "hyperband"):
        raise ValueError(
            f"eta={eta} acts on halving, asha and hyperband, and this study has {scheduler.name}; leave eta out, or give scheduler='halving'"
        )


def of_layers(space: Space, family: Family) -> list[str]:
    """The constants of a space that hold one value per layer: what looks like values to try."""
    return [
        name
        for name, value in space.constants.items()
        if isinstance(value, tuple) and not catalogue.structural(name, family)
    ]


def varying(
    space: Space, search: Any, trials: int | None, repeats: int, family: Family
) -> int | None:
    """The trials of a study: as asked for, or one where nothing but seeds varies.

    Raises:
        ValueError: nothing varies, and neither configurations nor repeats say that this is meant.
    """
    if space.dims or isinstance(search, (list, tuple)):
        return trials
    if repeats > 1 and trials in (None, 1):
        return 1
    listed = of_layers(space, family)
    name = listed[0] if listed else "learning_rate"
    values = list(space.constants[name]) if listed else [0.1, 0.01]
    meaning = f"{name} = {values} means one value per layer; " if listed else ""
    raise ValueError(
        f"nothing varies in the space, so that all trials would be the same network; {meaning}to try values write {name} = Choice({values}), "
        f"in TOML {name} = {{ choice = {values} }}; to train one configuration on 8 seeds give 8 repeats and no trials: validation={{'repeats': 8}}, --repeats 8"
    )
