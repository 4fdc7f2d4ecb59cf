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
        TaskError: a file without a column of the task's, with other kinds of values in one, or with a class that the task has not.
    """
    below = _alike(task, path, target, columns)
    x = _features(task, below)
    y = np.concatenate([task.y, _targets(task, below)])
    if (task.weights is None) != (below.weights is None):
        raise TaskError(f"{below.name}: weights stand in one of {task.name} and {path} alone")
    apart = "" if task.groups is None else "; their groups are taken for others than the task's"
    together = dataclasses.replace(
        task,
        x=np.concatenate([task.x, x]),
        y=y,
        weights=None if task.weights is None else np.concatenate([task.weights, below.weights]),  # type: ignore[list-item]
        groups=None if task.groups is None else _groups(task.groups, below),
        notes=(*task.notes, f"{len(x)} rows of {path} are validated on{apart}"),
    )
    rows = np.arange(len(task.x), len(together.x))
    return dataclasses.replace(together, folds=(Split(task.development, rows),))


def _alike(
    task: Task, path: str | Path, target: str | None, columns: Mapping[str, str] | None
) -> Task:
    """The file as a task, its columns read as those of another."""
    if not task.schema:
        below = read(path, target, 0, kind=task.kind, columns=columns)
        if below.schema:
            raise TaskError(
                f"{path}: has text or gaps, or a column that varies otherwise, where {task.name} has numbers alone; make them alike"
            )
        return below
    kinds = {column.source: column.kind for column in task.schema}
    beside = {name: what for name, what in (columns or {}).items() if what in ("weight", "group")}
    return read(path, target, 0, kind=task.kind, columns=kinds | beside)


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
    """Targets of a task like another, classes numbered as there."""
    if not task.classes:
        if below.y.shape[1:] != task.y.shape[1:]:
            raise TaskError(f"{below.name}: other targets than {task.name}; make them alike")
        return below.y
    place = {str(value): number for number, value in enumerate(task.values)}
    place |= {value: number for number, value in enumerate(task.values)}  # 0.0 is 0
    for label, value in zip(below.labels, below.values):
        if value not in place and str(value) not in place:
            raise TaskError(
                f"{below.name}: class {label!r:.80} is none of {task.name}; drop its rows, or train on some"
            )
    return np.array([place.get(value, place.get(str(value))) for value in below.values])[below.y]


def _groups(groups: np.ndarray, below: Task) -> np.ndarray:
    """Groups of both; those of the file are others than the task's."""
    own = np.arange(len(below.x)) if below.groups is None else below.groups
    return np.concatenate([groups, groups.max() + 1 + own])
