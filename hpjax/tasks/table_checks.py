"""Tables of files, checked: what cannot be learned from is refused with file, row and column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpjax.tasks.base import Task, TaskError, TaskOptions
from hpjax.tasks.gap_spellings import IN_FILES

if TYPE_CHECKING:
    import pandas

CellAt = Callable[[int, int], tuple[int, str]]


def task_of(
    path: Path,
    frame: pandas.DataFrame,
    cell_at: CellAt,
    target: str | None,
    options: TaskOptions,
) -> Task:
    """A task from a table: numbers in the features, anything in the target's column.

    Args:
        path: of the file, for messages.
        frame: the table.
        cell_at: (row, column) of the table -> the line of the file, and the cell as it is written there.
        target: column to predict, the last where None.
        options: what is said of the task.

    Raises:
        TaskError: names the file, the row or the column.
    """
    names = [str(name) for name in frame.columns]
    if not names:
        raise TaskError(f"{path}: no columns; a target and at least one feature are needed")
    notes: tuple[str, ...] = ()
    if target is None:
        target = names[-1]
        notes = (f"the target is the last column, {target!r:.80}",)
    if target not in names and str(target).strip() in names:
        target = str(target).strip()  # as readers of files leave names
    if target not in names:
        raise TaskError(f"{path}: no column {target!r:.80}; it has {_some(names)}")
    if len(names) < 2:
        raise TaskError(
            f"{path}: only column {names[0]!r:.80}; a target and at least one feature are needed"
        )
    if not len(frame):
        raise TaskError(f"{path}: no rows below the header")
    features = [name for name in names if name != target]
    column = frame[target]
    gone = column.isna().to_numpy()
    if gone.all():
        raise TaskError(f"{path}: no row has a target in column {target!r:.80}")
    for name in features:
        wild = np.flatnonzero(np.isinf(_numbers(frame[name])))
        if len(wild):
            line, cell = cell_at(int(wild[0]), names.index(name))
            raise TaskError(
                f"{path}: row {line}, column {name!r:.80}: {cell!r:.80} is not finite; fill or drop the row"
            )
    if gone.any():
        notes += (f"{gone.sum()} rows without a target are left out",)
        frame, column = frame[~gone], column[~gone]
    return Task.of(frame[features], _target(column), path.stem, **options._asdict(), notes=notes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _numbers(column: pandas.Series) -> np.ndarray:
    """A column as numbers [N], NaN where it holds something else."""
    import pandas

    if column.dtype.kind in "mM":
        return np.full(len(column), np.nan)
    if column.dtype.kind not in "fiub":
        column = pandas.to_numeric(column, errors="coerce")
    return column.to_numpy(np.float64, na_value=np.nan)


def _target(column: pandas.Series) -> np.ndarray:
    if column.dtype.kind in "fiubmM":
        return column.to_numpy()
    return np.array([str(value).strip() for value in column])


def is_number(cell: str) -> bool:
    """Whether a cell reads as a finite number."""
    if cell.strip().lower() in (*IN_FILES, "inf", "-inf", "infinity"):
        return False  # a column may be called so
    try:
        float(cell)
    except ValueError:
        return False
    return True
