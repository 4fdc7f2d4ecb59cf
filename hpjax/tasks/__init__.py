"""Small in-memory data sets: bundled, from files, made; with splits and folds."""

from hpjax.tasks.base import KINDS, Task, TaskError
from hpjax.tasks.files import read
from hpjax.tasks.joined import validated_on
from hpjax.tasks.named import NAMES, load
from hpjax.tasks.splits import Split, all_of, is_splitter, splits, splitter_name, wants_groups

__all__ = [
    "KINDS",
    "NAMES",
    "Split",
    "Task",
    "TaskError",
    "all_of",
    "is_splitter",
    "load",
    "read",
    "splits",
    "splitter_name",
    "validated_on",
    "wants_groups",
]
