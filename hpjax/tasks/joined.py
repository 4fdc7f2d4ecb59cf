"""A task and the rows of another file below its own: a fixed validation part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hpjax.tasks.base import Task
from hpjax.tasks.columns import TaskError
from hpjax.tasks.files import read
from hpjax.tasks.schema import read_again
from hpjax.tasks.splits import Split


def validated_on(
    task: Task,
    path: str | Path,
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Task:
    """A task whose development part is trained on, and another file's rows validated on.

    Args:
        task: data; its test part stays as it is.
        path: of a file with the same columns, in any order.
        target: its column to predict.
        columns: what the user said of the task's columns.

    Raises:
        TaskError: a file without a column of the task's, with other kinds of values in one, with a class that the task has not, or with
            a group that it has, too.
    """
    below = _alike(task, path, target, columns)
    x = _features(task, below)
    y = np.concatenate([task.y, _targets(task, below)])
    if (task.weights is None) != (below.weights is None):
        raise TaskError(f"{below.name}: weights stand in one of {task.name} and {path} alone")
    groups, group_values = _groups(task, below)
    notes = (f"{len(x)} rows of {path} are validated on", *_shared(task, below.name, x, y))
    together = dataclasses.replace(
        task,
        x=np.concatenate([task.x, x]),
        y=y,
        weights=None if task.weights is None else np.concatenate([task.weights, below.weights]),  # type: ignore[list-item]
        groups=groups,
        group_values=group_values,
        notes=(*task.notes, *notes),
    )
    rows = np.arange(len(task.x), len(together.x))
    return dataclasses.replace(together, folds=(Split(task.development, rows),))


def _alike(
    task: Task, path: str | Path, target: str | None, columns: Mapping[str, str] | None
) -> Task:
    """The file as a task, its columns read as those of another."""
    values = task.values if task.classes else ()
    if not task.schema:
        below = read(path, target, 0, kind=task.kind, columns=columns, values=values)
        if below.schema:
            raise TaskError(
                f"{path}: has text or gaps, or a column that varies otherwise, where {task.name} has numbers alone; make them alike"
            )
        return below
    kinds = {column.source: column.kind for column in task.schema}
    beside = {name: what for name, what in (columns or {}).items() if what in ("weight", "group")}
    return read(path, target, 0, kind=task.kind, columns=kinds | beside, values=values)


def _features(task: Task, below: Task) -> np.ndarray:
    """Rows [n F] of a task like another, its columns in that one's order."""
    if task.schema:
        import pandas

        frame = below.examples(np.arange(len(below.x)))
        assert isinstance(frame, pandas.DataFrame)
        return read_again(frame, task.schema, task.name)
    if task.features:
        lost = [name for name in task.features if name not in below.features]
        if lost:
            raise TaskError(
                f"{below.name}: the table lacks {lost[0]!r:.80}; its columns must be those of {task.name}"
            )
        return below.x[:, [below.features.index(name) for name in task.features]]
    if below.x.shape[1] != task.x.shape[1]:
        raise TaskError(
            f"{below.name}: rows of {below.x.shape[1]} features, {task.name} has {task.x.shape[1]}; make them alike"
        )
    return below.x


def _targets(task: Task, below: Task) -> np.ndarray:
    """Targets of a task like another."""
    if below.y.shape[1:] != task.y.shape[1:]:
        raise TaskError(f"{below.name}: other targets than {task.name}; make them alike")
    return below.y


def _shared(task: Task, name: str, x: np.ndarray, y: np.ndarray) -> list[str]:
    """What is said where rows of a file, features x [n F], stand in the task, too; y are the targets of both."""
    columns = y.reshape(len(y), -1)
    every = np.column_stack([np.concatenate([task.x, x]), columns]).astype(np.float64) + 0.0
    rows = [row.tobytes() for row in every]
    below = set(rows[len(task.x) :])
    trained = sum(rows[at] in below for at in task.development)
    tested = sum(rows[at] in below for at in task.test)
    if not trained and not tested:
        return []
    said = (
        f"{trained} rows that are trained on, and {tested} that are tested on, stand in {name}, too"
    )
    return [f"{said}: scores are too good by that"]


def _groups(task: Task, below: Task) -> tuple[np.ndarray | None, tuple]:
    """Groups of both and their values; each row of a file without groups is one of its own."""
    if task.groups is None:
        return None, ()
    own, values = below.groups, below.group_values
    if own is None:
        own, values = np.arange(len(below.x)), (None,) * len(below.x)
    there = [value for value in values if value is not None]
    shared = {*map(str, task.group_values)} & {*map(str, there)}
    shared |= {str(value) for value in {*task.group_values} & {*there}}  # 1.0 is 1
    if shared:
        raise TaskError(
            f"{below.name}: group {min(shared)!r:.80} is in {task.name}, too, and would be trained and validated on; drop its rows, or leave the groups out"
        )
    return np.concatenate([task.groups, len(task.group_values) + own]), (
        *task.group_values,
        *values,
    )
