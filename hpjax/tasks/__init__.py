"""Small in-memory data sets: bundled, from files, made; with splits and folds."""

from hpjax.tasks.base import KINDS, Split, Task, TaskError, splits
from hpjax.tasks.files import read
from hpjax.tasks.named import NAMES, load

__all__ = ["KINDS", "NAMES", "Split", "Task", "TaskError", "load", "read", "splits"]
