"""How does what a user writes become a space, a task, a search, a scheduler? The same for every door, with the same defaults."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from hpjax import catalogue, schedulers, tasks
from hpjax.evaluation import BUILT_IN, Evaluation
from hpjax.methods import METHODS
from hpjax.models import MLP, Family
from hpjax.models.base import Target
from hpjax.schedulers import Scheduler
from hpjax.search import SEARCHES, Searcher, grid, manual
from hpjax.settings import Networks, Stop, Validation
from hpjax.space import Choice, LogUniform, Range, Space, Uniform, spelled, unspelled
from hpjax.tasks import Task
from hpjax.training.losses import own_loss, own_name
from hpjax.training.metrics import as_metrics
from hpjax.training.stepping import GRADIENTS

# The space that is searched when none is given.
SPACE = {
    "learning_rate": {"log_uniform": [3e-4, 3e-2]},
    "depth": {"int_uniform": [1, 2]},
    "width_1": {"log_int_uniform": [16, 256]},
    "width_2": {"log_int_uniform": [16, 256], "when": {"depth": [2]}},
    "activation": {"choice": ["relu", "tanh"]},
    "l2": {"log_uniform": [1e-6, 1e-2]},
}
METHOD_NAMES = ("random", "bayes", "tpe", "genetic", "hyperband", "bohb")  # compared when none are
# combinations of a grid that are looked at before it begins, to count and to plan them
GRID = 50_000
TRIALS = 64  # of a study that names no limit
FIRST_RUNG = 81  # networks of halving's first rung where trials are not named
MOST_LEVELS = 100_000  # of a grid, per range
MOST = 10_000_000  # trials, epochs, networks: more is a slip of the keyboard


def as_family(
    model: Any, space: Space | Mapping | str | Path | None, task: Task | Target, loss: Any = None
) -> Family:
    """The family of the networks that are searched: multilayer perceptrons where None, else what a user's function builds.

    Args:
        model: a function of structural hyperparameters that returns a `Model`, a `Model`, or None.
        space: as the user wrote it; tells structural values.
        task: tells how many inputs and outputs there are.
        loss: the user's, (outputs [B C], y [B C]) -> [B]; as the task or the space says where None.

    Raises:
        ValueError: something else, or hyperparameters that training has already.
    """
    read = Space.load(space) if isinstance(space, (Mapping, str, Path)) else space
    known = isinstance(read, Space)  # what else it may be is refused later
    entries = read.ranges | read.dropped | read.constants if known else {}
    values = {name: _values(entry) for name, entry in entries.items()}
    family = catalogue.family_of(model, values, task.inputs, task.outputs)
    if loss is None:
        return family
    if not callable(loss):
        raise ValueError(
            f"loss must be a function (outputs, y) -> [B], got {loss!r:.80}; one by name belongs in the space: {{'loss': {loss!r:.40}}}"
        )
    if "loss" in entries:
        raise ValueError("the space has a loss, and loss is given; leave one out")
    return catalogue.trained_on(family, own_loss(loss, task.outputs, task.loss != "mse"))


def as_validation(validation: Any, fewest: int = 1) -> Validation:
    """How configurations are scored: a Validation, a dict of its fields, or a number of folds.

    Args:
        validation: as the user wrote it.
        fewest: folds.

    Raises:
        ValueError: a field that it has not, or a number that cannot be.
    """
    if isinstance(validation, Validation):
        named: dict[str, Any] = msgspec.structs.asdict(validation)
    elif isinstance(validation, Mapping):
        named = dict(validation)
    else:
        named = {"folds": validation}
    for name, value in named.items():
        if name not in Validation.__struct_fields__:
            raise ValueError(
                f"validation has no {name!r:.80}; it has {', '.join(Validation.__struct_fields__)}"
            )
        least = fewest if name == "folds" else 1
        _count(name, value, least=least)
    return Validation(**{name: int(value) for name, value in named.items()})


def as_evaluation(
    space: Any,
    task: Any,
    *,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    model: Any = None,
    loss: Any = None,
    metrics: Mapping[str, Any] | None = None,
    objective: str = "loss",
    validation: Any = 1,
    gradients: str = "explicit",
    fewest: int = 1,
) -> tuple[Space, Task, Evaluation]:
    """What a user says of space, data, networks and their judging, as `tune` takes it, resolved.

    Args:
        fewest: folds that there may be.

    Raises:
        ValueError: anything that can be wrong with them.
    """
    check(kind=kind, gradients=gradients)
    found = as_task(task, data, target, kind)
    family = as_family(model, space, found, loss)
    resolved = as_space(space, family)
    own = as_metrics(metrics, found.outputs)
    names = [name for name, _ in own]
    for name in {*names} & {*resolved.ranges, *resolved.constants}:
        raise ValueError(f"{name} is a hyperparameter of the space and a metric; rename the metric")
    if objective not in (*BUILT_IN, *names):
        raise ValueError(f"objective={objective!r:.80} is none of {', '.join((*BUILT_IN, *names))}")
    settings = Networks(
        task=str(task) if isinstance(task, (str, Path)) else None,
        data=None if data is None else str(data),
        target=target,
        kind=kind,  # type: ignore[arg-type]
        model=None if model is None else family.name,
        loss=None if loss is None else own_name(loss),
        metrics={name: metric.greater_is_better for name, metric in own},
        objective=objective,
        validation=as_validation(validation, fewest),
        gradients=gradients,  # type: ignore[arg-type]
    )
    return resolved, found, Evaluation(settings, family, own)


def as_space(space: Space | Mapping | str | Path | None, family: Family = MLP) -> Space:
    """A space whose names are all in the catalogue and whose values all lie within its bounds; the default one where None.

    Raises:
        ValueError: an unknown name (with the nearest known one) or a value out of bounds.
    """
    if space is None:
        space = {"learning_rate": SPACE["learning_rate"]} if family.own else SPACE
    if not isinstance(space, (Space, Mapping, str, Path)):
        raise ValueError(
            f"space must be a dict of ranges, a Space, or the path of a TOML file, got {type(space).__name__}"
        )
    structural = functools.partial(catalogue.structural, family=family)
    known = isinstance(space, Space) and any(dim.structural for dim in space.dims)
    if not known or family.own:
        entries = space.ranges | space.constants if isinstance(space, Space) else space
        space = Space.load(entries, structural)
    entries = space.ranges | space.constants
    for name, entry in entries.items():
        values = _values(entry)
        if structural(catalogue.known(name, family)) and isinstance(entry, (Uniform, LogUniform)):
            raise ValueError(
                f"{name} changes the shape of a network, so that it takes choices or whole numbers, not {entry}"
            )
        for value in values:
            if value is None and isinstance(entry, Choice):  # the default
                _refuse_none(name, family)
                continue
            catalogue.check(name, value, family)
            if any(number != number for number in np.ravel(np.array(value, object)).tolist()):
                raise ValueError(
                    f"{name} is {value!r:.80}, which is no number; leave it out for the default"
                )
    given = lambda entry: [value for value in _values(entry) if value is not None]
    family.refuse({name: given(entry) for name, entry in entries.items()})
    return space


def _refuse_none(name: str, family: Family) -> None:
    """Refuses None for a structural hyperparameter of a user's own that holds something else where it is left out."""
    static = family.static.get(name)
    if family.own and static is not None and static.default is not None:
        raise ValueError(
            f"None means the default of {name}, which {family.name} has not or has other than None; write another value for it, such as 'none'"
        )


def _values(entry: Any) -> list:
    """The values of a constant or a choice, or the ends of a range."""
    if not isinstance(entry, Range):
        return [entry]
    return list(entry.values) if isinstance(entry, Choice) else [entry.low, entry.high]


def as_task(
    task: Task | str | Path | tuple,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
) -> Task:
    """A task from its name, a file, or a pair of arrays (x, y).

    Raises:
        ValueError: something else, or a triple: weights of examples are not supported yet.
    """
    if isinstance(task, Task):
        if kind is not None and kind != task.kind:
            raise ValueError(
                f"the task has {task.kind} for targets; make it anew with kind={kind!r:.80}"
            )
        return task
    if isinstance(task, (tuple, list)):
        if len(task) == 3:
            raise ValueError(
                "the task has three parts; weights of examples are not supported yet, give (x, y)"
            )
        if len(task) != 2:
            raise ValueError(f"the task has {len(task)} parts; give (x, y)")
        return Task.of(*task, kind=kind)
    if not isinstance(task, (str, Path)):
        raise ValueError(
            f"task must be a name, a file, a Task or (x, y), got {type(task).__name__}"
        )
    return tasks.load(task, data, target, kind)


def as_seeds(seeds: int | Sequence[int]) -> list[int]:
    """Seeds: so many, or these.

    Raises:
        ValueError: none, one twice, or what is no seed.
    """
    if isinstance(seeds, (int, np.integer)):
        check(seeds=seeds)
        return list(range(int(seeds)))
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes, Mapping, type)):
        raise ValueError(f"seeds must be a number of studies or a list of seeds, got {seeds!r:.80}")
    numbers = list(seeds)
    for seed in numbers:
        check(seed=seed)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds must be at least one, each once, got {seeds!r:.80}")
    return [int(seed) for seed in numbers]


def fidelity_of(space: Space) -> int:
    """Epochs of a study without a scheduler: the most that the space allows."""
    entry = space.ranges.get("epochs", space.constants.get("epochs"))
    if entry is None:
        return int(catalogue.TRACED["epochs"].default)
    if isinstance(entry, Range):
        entry = max(entry.values) if isinstance(entry, Choice) else entry.high
    if not 1 <= entry <= MOST:
        raise ValueError(f"epochs must be a number in [1, {MOST}], got {entry!r:.80}")
    return int(entry)


def check(**options: Any) -> None:
    """Refuses options that cannot be: counts below 1, unknown words, unknown limits. None is no option.

    Raises:
        ValueError: in one line, with the remedy.
    """
    for name, value in options.items():
        if name == "gradients":
            if value not in GRADIENTS:
                raise ValueError(f"gradients={value!r:.80} is none of {', '.join(GRADIENTS)}")
        elif name == "start":
            if not isinstance(value, (list, tuple)) or not all(
                isinstance(one, Mapping) for one in value
            ):
                raise ValueError(
                    f"start must be a list of configurations (dicts), got {value!r:.80}"
                )
        elif name == "seed":
            if not _whole(value) or not 0 <= value < 2**63:
                raise ValueError(f"seed must be a whole number of at least 0, got {value!r:.80}")
        elif name == "repeats":
            _count(name, value)
        elif value is None:
            continue
        elif name == "kind":
            if value not in tasks.KINDS:
                raise ValueError(f"kind={value!r:.80} is none of {', '.join(tasks.KINDS)}")
        elif name == "stop":
            as_stop(value)
        elif name == "levels":
            named = value.items() if isinstance(value, Mapping) else [("", value)]
            for dimension, levels in named:
                _count(f"levels of {dimension}" if dimension else "levels", levels, MOST_LEVELS)
        elif name in ("say", "watch"):
            if not callable(value) or isinstance(value, type):
                raise ValueError(f"{name} must be a function, got {value!r:.80}")
        else:
            _count(name, value)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _count(name: str, value: Any, most: int = MOST, least: int = 1) -> None:
    if not _whole(value) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r:.80}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value!r:.80}")


def as_stop(stop: Any, trials: int | None = None) -> Stop:
    """Limits of a study: a Stop, or a dict of them.

    Args:
        stop: as the user wrote it.
        trials: limit of them, where it is given beside.

    Raises:
        ValueError: a limit that there is not, or a number that cannot be.
    """
    if isinstance(stop, Stop):
        named: dict[str, Any] = msgspec.structs.asdict(stop)
    elif isinstance(stop, Mapping):
        named = dict(stop)
    else:
        raise ValueError(f"stop must be a dict such as {{'seconds': 60}}, got {stop!r:.80}")
    for name, value in named.items():
        if name not in Stop.__struct_fields__:
            raise ValueError(
                f"stop has no limit called {name!r:.80}; it has {', '.join(Stop.__struct_fields__)}"
            )
        if value is None:
            continue
        if name != "seconds":
            if not _whole(value) or value < 1:
                raise ValueError(
                    f"stop's {name} must be a whole number of at least 1, got {value!r:.80}"
                )
        elif (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not 0 <= value < math.inf
        ):
            raise ValueError(f"stop's seconds must be a number of at least 0, got {value!r:.80}")
    plain = {n: v.item() if isinstance(v, np.generic) else v for n, v in named.items()}
    return Stop(**plain | ({} if trials is None else {"trials": int(trials)}))


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
            found = grid(space.dims, axes=axes)
            points, _ = found.ask(found.init(()), (), total, 1)
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
    made = factory(dims)
    if not isinstance(made, Searcher):
        raise ValueError(f"search must make a hpjax.search.Searcher, got {made!r:.80}")
    return made


def as_scheduler(
    search: Any,
    scheduler: Scheduler | str | None,
    space: Space | None = None,
    *,
    epochs: int | None = None,
    trials: int | None = None,
    eta: int = 3,
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
    own = METHODS.get(search) if isinstance(search, str) else None
    if isinstance(scheduler, Scheduler):
        if epochs is not None and epochs != scheduler.fidelity:
            raise ValueError(
                f"epochs={epochs}, but the scheduler ends at epoch {scheduler.fidelity}; leave epochs out"
            )
        made = scheduler
    else:
        until = epochs or (default if space is None else fidelity_of(space))
        if scheduler is None:
            return schedulers.full(until) if own is None else own.scheduler(until)
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
        made = makers[scheduler]()
    if own is not None:
        its = own.scheduler(made.fidelity)
        if made.settings["name"] != its.settings["name"]:
            raise ValueError(
                f"{search} is a search with {its.settings['name']}; leave scheduler={made.settings['name']} out, "
                f"or give that one's arguments: scheduler=hpjax.{its.settings['name']}(...)"
            )
    return made


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
