"""Tables from Parquet files."""

from __future__ import annotations

from pathlib import Path

from hpjax.tasks.base import Task, TaskError, TaskOptions
from hpjax.tasks.table_checks import task_of


def read_parquet(path: Path, target: str | None, options: TaskOptions) -> Task:
    """A Parquet file: columns of any kinds."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise TaskError(f"{path}: Parquet needs pyarrow; pip install 'hpjax[parquet]'") from None
    try:
        table = pyarrow.parquet.read_table(path)
        names = table.column_names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise TaskError(f"{path}: column {twice!r:.80} stands twice in the table; rename one")
        frame = table.to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as fault:
        if isinstance(fault, TaskError):
            raise
        raise TaskError(
            f"{path}: not a Parquet file: {' '.join(str(fault).split())[:200]}"
        ) from None
    cell_at = lambda row, column: (row + 1, str(frame.iat[row, column]))
    return task_of(path, frame, cell_at, target, options)
