"""Space, task, models and their judging, as a user writes them, resolved."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpjax import catalogue, checks, tasks
from hpjax.defaults import SPACE
from hpjax.evaluation import BUILT_IN, Evaluation
from hpjax.models import MLP, Family
from hpjax.models.base import Target
from hpjax.resolve.numbers import check
from hpjax.settings import COSTS, Bound, Networks, Validation
from hpjax.space import Choice, LogUniform, Range, Space, Uniform
from hpjax.tasks import Task
from hpjax.training.hyperparameters import NEEDS, STATIC
from hpjax.training.losses import own_loss, own_name
from hpjax.training.metrics import Metrics, Truth
from hpjax.training.named_metrics import ON_DEVICE, as_metrics, by_name, is_name

COUNTED = ("folds", "repeats", "score_every")  # what a user says of validation


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
    return catalogue.trained_on(family, own_loss(loss, task.outputs, task.classes))


def as_validation(
    validation: Any,
    task: Task,
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
    fewest: int = 1,
) -> tuple[Validation, Task]:
    """How configurations are scored, and the task with its folds, where these are not drawn.

    Args:
        validation: a Validation, a dict of its fields, or what makes the folds alone: a number of them, a splitter of scikit-learn's
            kind, pairs of rows (train, valid), or the path of a file that is validated on.
        task: data.
        target, columns: what the user says of the file's, as for `tune`.
        fewest: folds.

    Raises:
        ValueError: a field that it has not, a number that cannot be, or folds that cannot be made.
    """
    if isinstance(validation, Validation):
        validation = validation.by(validation.folds)
    named = dict(validation) if isinstance(validation, Mapping) else {"folds": validation}
    made: dict[str, Any] = {}
    folds = named.get("folds", 1)
    if isinstance(folds, (str, Path)):
        task = tasks.validated_on(task, folds, target, columns)
        made = {"folds": 1, "file": str(folds)}
    elif tasks.is_splitter(folds) or isinstance(folds, (list, tuple)):
        task = task.with_folds(folds)
        made = {"folds": len(task.folds), "splitter": tasks.splitter_name(folds)}
    for name, value in named.items():
        if name not in COUNTED:
            raise ValueError(f"validation has no {name!r:.80}; it has {', '.join(COUNTED)}")
        if name == "score_every" and value is None:
            continue
        if name not in made:
            checks.count(name, value, least=fewest if name == "folds" else 1)
            made[name] = int(value)
    return Validation(**made), task


def as_evaluation(
    space: Any,
    task: Any,
    *,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    model: Any = None,
    loss: Any = None,
    metrics: Mapping[str, Any] | Sequence[str] | None = None,
    objective: str | Sequence[str] = "loss",
    constraints: Mapping[str, str] | None = None,
    validation: Any = 1,
    gradients: str = "explicit",
    stream: bool | None = None,
    fewest: int = 1,
) -> tuple[Space, Task, Evaluation]:
    """What a user says of space, data, networks and their judging, as `tune` takes it, resolved.

    Args:
        fewest: folds that there may be.

    Raises:
        ValueError: anything that can be wrong with them.
    """
    check(kind=kind, gradients=gradients, stream=stream)
    resolved_task = as_task(task, data, target, kind, columns)
    family = as_family(model, space, resolved_task, loss)
    resolved_space = as_space(space, family)
    objectives = as_objectives(objective)
    limits = as_constraints(constraints)
    own, named = judging(metrics, (*objectives, *limits), resolved_task)
    every = tuple(sorted((*own, *named), key=lambda item: item[0]))
    for name in {name for name, _ in own} & {*resolved_space.ranges, *resolved_space.constants}:
        raise ValueError(f"{name} is a hyperparameter of the space and a metric; rename the metric")
    judged, resolved_task = as_validation(validation, resolved_task, target, columns, fewest)
    settings = Networks(
        task=str(task) if isinstance(task, (str, Path)) else None,
        data=None if data is None else str(data),
        target=target,
        kind=kind,  # type: ignore[arg-type]
        columns=dict(columns or {}),  # type: ignore[arg-type]
        model=None if model is None else family.name,
        loss=None if loss is None else own_name(loss),
        metrics={name: metric.greater_is_better for name, metric in every},
        by_name=[name for name, _ in named],
        objective=objectives[0],
        further=list(objectives[1:]),
        constraints=limits,
        validation=judged,
        gradients=gradients,  # type: ignore[arg-type]
        stream=stream,
    )
    return resolved_space, resolved_task, Evaluation(settings, family, every)


def as_objectives(objective: Any) -> tuple[str, ...]:
    """The names of what is minimised.

    Raises:
        ValueError: none, one twice, or a cost as the first.
    """
    names = tuple(objective) if isinstance(objective, (list, tuple)) else (objective,)
    if not names:
        raise ValueError("objective is an empty list; give 'loss', or several names")
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice:
        raise ValueError(f"objective has {twice[0]!r:.80} twice; leave one out")
    if names[0] in COSTS:
        raise ValueError(
            f"the first objective must say how well a network does, and {names[0]} is what it costs; give objective=['error', {names[0]!r}], or constraints={{{names[0]!r}: '<= ...'}}"
        )
    return names


def as_constraints(constraints: Any) -> dict[str, str]:
    """Bounds by name, as run.json keeps them.

    Raises:
        ValueError: no mapping of names to bounds.
    """
    if constraints is None:
        return {}
    if not isinstance(constraints, Mapping):
        raise ValueError(
            f"constraints must be a dict such as {{'parameters': '<= 50_000'}}, got {constraints!r:.80}"
        )
    for name, text in constraints.items():
        if not isinstance(text, str):
            raise ValueError(
                f"constraint {name!s:.80} is {text!r:.60}; write '<= 50_000' or '>= 0.9'"
            )
        Bound.read(name, text)
    return dict(constraints)


def judging(metrics: Any, judged_by: Sequence[Any], task: Task) -> tuple[Metrics, Metrics]:
    """The user's own metrics, and those that are asked for by name, objectives and constraints among them.

    Args:
        metrics: functions or scorers by name, or a list of names.
        judged_by: "loss", "error", one of the user's own, a cost, or a name.
        task: whose targets are judged.

    Raises:
        ValueError: what is no metric, or is one of other targets.
    """
    names = [metrics] if isinstance(metrics, str) else metrics
    listed = isinstance(names, (list, tuple))
    own = as_metrics(None if listed else metrics, truth_of(task))
    asked = list(names) if listed else []
    for name in asked:
        if not isinstance(name, str):
            raise ValueError(
                f"metrics must be names, or a dict of functions by name, got {name!r:.80}"
            )
    known = (*BUILT_IN, *(name for name, _ in own))
    for objective in judged_by:
        if objective in known or objective in COSTS:
            continue
        if not isinstance(objective, str) or not is_name(objective):
            raise ValueError(
                f"the objective or constraint {objective!r:.80} is none of {', '.join((*known, *COSTS, *ON_DEVICE))}, nor a scorer of scikit-learn"
            )
        asked.append(objective)
    return own, by_name([name for name in asked if name not in BUILT_IN], truth_of(task))


def truth_of(task: Task) -> Truth:
    """What metrics have to know of a task."""
    values = task.values if task.classes else ()
    weighted, single = task.weights is not None, task.y.ndim == 1
    return Truth(values, task.outputs, weighted, single, task.table, len(task.x))


def as_space(space: Space | Mapping | str | Path | None, family: Family = MLP) -> Space:
    """A space whose names are all in the catalogue and whose values all lie within its bounds; the default one where None.

    Raises:
        ValueError: an unknown name (with the nearest known one) or a value out of bounds.
    """
    if space is None:
        space = {"learning_rate": SPACE["learning_rate"]} if family.user_defined else SPACE
    if not isinstance(space, (Space, Mapping, str, Path)):
        raise ValueError(
            f"space must be a dict of ranges, a Space, or the path of a TOML file, got {type(space).__name__}"
        )
    structural = functools.partial(catalogue.structural, family=family)
    known = isinstance(space, Space) and any(dim.structural for dim in space.dims)
    if not known or family.user_defined:
        entries = space.ranges | space.constants if isinstance(space, Space) else space
        space = Space.load(entries, structural)
    entries = space.ranges | space.constants
    for name, entry in entries.items():
        values = _values(entry)
        if structural(catalogue.known(name, family)) and isinstance(entry, (Uniform, LogUniform)):
            raise ValueError(
                f"{name} changes the shape of a network, so that it takes choices or whole numbers, not {entry}"
            )
        for value in () if catalogue.are_within(name, values, family) else values:
            if value is None and isinstance(entry, Choice):  # the default
                _refuse_none(name, family)
                continue
            catalogue.check(name, value, family)
            if any(number != number for number in np.ravel(np.array(value, object)).tolist()):
                raise ValueError(
                    f"{name} is {value!r:.80}, which is no number; leave it out for the default"
                )
    given = lambda entry: [value for value in _values(entry) if value is not None]
    values = {name: given(entry) for name, entry in entries.items()}
    family.refuse(values)
    return space


def refuse_idle_numbers(space: Space, family: Family) -> None:
    """Refuses to search numbers of an optimizer, a schedule or a loss that no network of a space has.

    Raises:
        ValueError: in one line, with the choice that is missing.
    """
    for name in (*space.ranges, *space.constants):
        choice, needed = NEEDS.get(catalogue.base(name, family), ("", ()))
        if choice and not set(needed) & set(_chosen(space, choice)):
            raise ValueError(
                f"{name} acts on no network of the space; give {choice}={' or '.join(needed)}, or drop it"
            )


def _chosen(space: Space, choice: str) -> list:
    """The values that a choice takes in a space; its default where it is absent, None, or inactive."""
    default = STATIC[choice].default
    entry = space.ranges.get(choice, space.constants.get(choice))
    values = [default if value is None else value for value in _values(entry)]
    conditional = isinstance(entry, Range) and entry.condition is not None
    return [*values, default] if conditional else values


def refuse_unlike_losses(space: Space, objectives: Sequence[str]) -> None:
    """Refuses a search for the least loss where what the loss is differs from trial to trial."""
    for name in space.ranges:
        unlike = name in ("loss", "target_transform") or NEEDS.get(name, ("",))[0] == "loss"
        if "loss" in objectives and unlike:
            raise ValueError(
                f"objective='loss' would compare different losses, as {name} varies; give objective='error', or a metric such as 'rmse' or 'log_loss'"
            )


def _refuse_none(name: str, family: Family) -> None:
    """Refuses None for a structural hyperparameter of a user's own that holds something else where it is left out."""
    static = family.static.get(name)
    if family.user_defined and static is not None and static.default is not None:
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
    columns: Mapping[str, str] | None = None,
) -> Task:
    """A task from its name, a file, or arrays (x, y) or (x, y, weights).

    Raises:
        ValueError: something else.
    """
    if isinstance(task, Task):
        if kind is not None and kind != task.kind:
            raise ValueError(
                f"the task has {task.kind} for targets; make it anew with kind={kind!r:.80}"
            )
        if columns:
            raise ValueError(
                "the task was made already; make it anew with Task.of(..., columns=...)"
            )
        return task
    if isinstance(task, (tuple, list)):
        if len(task) not in (2, 3):
            raise ValueError(f"the task has {len(task)} parts; give (x, y) or (x, y, weights)")
        x, y, *weights = task
        return Task.of(x, y, kind=kind, columns=columns, weights=weights[0] if weights else None)
    if not isinstance(task, (str, Path)):
        raise ValueError(
            f"task must be a name, a file, a Task or (x, y), got {type(task).__name__}"
        )
    return tasks.load(task, data, target, kind, columns)


def fidelity_of(space: Space) -> int:
    """Epochs of a study without a scheduler: the most that the space allows."""
    entry = space.ranges.get("epochs", space.constants.get("epochs"))
    if entry is None:
        return int(catalogue.TRACED["epochs"].default)
    if isinstance(entry, Range):
        entry = max(entry.values) if isinstance(entry, Choice) else entry.high
    if not 1 <= entry <= checks.MOST:
        raise ValueError(f"epochs must be a number in [1, {checks.MOST}], got {entry!r:.80}")
    return int(entry)
