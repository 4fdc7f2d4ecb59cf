"""Which rows a fold trains and validates on, and which are held out for the test: drawn, or as a splitter of scikit-learn's makes them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpjax.defaults import VALIDATION_SHARE
from hpjax.tasks.columns import TaskError, refuse_one_class

if TYPE_CHECKING:
    from hpjax.tasks.base import Task


DRAWS = 20  # of groups to set aside


class Split(NamedTuple):
    """One fold: rows of the development part to train on and to validate on."""

    train: np.ndarray  # [n] int
    valid: np.ndarray  # [m] int


def holdout(task: Task, rows: np.ndarray, share: float, seed: int) -> Split:
    """Part of the rows set aside at random, every class in proportion, groups whole.

    Raises:
        TaskError: a class with a single example, or too few rows or groups.
    """
    from sklearn.model_selection import train_test_split

    if task.groups is not None:
        return _holdout_of_groups(task, rows, share, seed)
    if task.classes:
        _refuse_rare(task, rows)
    try:
        stratify = task.y[rows] if task.classes else None
        train, valid = train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
    except ValueError as fault:
        raise TaskError(
            f"{task.name}: cannot set aside {share:g} of {len(rows)} rows: {_line(fault)}{task.remedy() if task.classes else ''}"
        ) from None
    return Split(np.sort(train), np.sort(valid))


def _refuse_rare(task: Task, rows: np.ndarray) -> None:
    """Refuses a class with one example, which cannot be on both sides of a split."""
    counts = _counts(task, task.y[rows])
    if (counts == 1).any():
        rare = task.labels[int(np.argmax(counts == 1))]
        raise TaskError(
            f"{task.name}: class {rare!r:.80} has one example, which cannot be trained on and validated on; drop it, or call it as another class{task.remedy()}"
        )


def _holdout_of_groups(task: Task, rows: np.ndarray, share: float, seed: int) -> Split:
    """Groups set aside at random: of `DRAWS` draws the one that comes nearest to the share, of every class."""
    from sklearn.model_selection import GroupShuffleSplit

    assert task.groups is not None
    groups, y = task.groups[rows], task.y[rows]
    many = len(np.unique(groups))
    if many < 2:
        raise TaskError(f"{task.name}: one group alone cannot be split; give finer groups")
    counts = _counts(task, y)

    def distance(split: Split) -> float:
        """Rows too many or too few, over the classes; lost classes count as all rows."""
        lost = (_counts(task, task.y[split.train]) == 0) & (counts > 0)
        off = np.abs(_counts(task, task.y[split.valid]) - share * counts).sum()
        return float(off + len(rows) * lost.sum())

    maker = GroupShuffleSplit(DRAWS, test_size=max(share, 1 / many), random_state=seed)
    drawn = [Split(rows[train], rows[valid]) for train, valid in maker.split(rows, y, groups)]
    return min(drawn, key=distance)


def _counts(task: Task, y: np.ndarray) -> np.ndarray:
    """Rows of every class [C], or of all [1] where targets are numbers."""
    return np.bincount(y, minlength=len(task.labels)) if task.classes else np.array([len(y)])


def all_of(task: Task) -> Split:
    """All of the development part to train on; what is validated on then is a row that stands there for the form."""
    rows = task.development
    counted = rows if task.weights is None else rows[task.weights[rows] > 0]
    return Split(rows, counted[:1])


def splits(
    task: Task,
    folds: int = 1,
    seed: int = 0,
) -> tuple[Split, ...]:
    """The folds of a study, from the development part; of classes, every fold has each in proportion.

    Args:
        task: data; its ready-made folds are taken where it has some.
        folds: 1 holds out a fifth (`VALIDATION_SHARE`); K >= 2 makes K folds.
        seed: of the draw.

    Returns:
        `folds` Splits.

    Raises:
        TaskError: more folds than examples of the rarest class (or than rows or groups), or a class missing from a training part.
    """
    rows = task.development
    if task.classes:
        refuse_one_class([task.labels[at] for at in np.unique(task.y[rows]).tolist()], task.name)
    if task.folds:
        return task.folds
    if folds < 1 or folds > len(rows):
        raise TaskError(f"{task.name}: folds={folds} for {len(rows)} rows; give 1 to {len(rows)}")
    if folds == 1:
        found = [holdout(task, rows, VALIDATION_SHARE, seed)]
    elif task.groups is not None:
        found = _folds_of_groups(task, rows, folds, seed)
    else:
        found = _folds_of_rows(task, rows, folds, seed)
    _refuse_lost_classes(task, rows, found)
    return tuple(found)


def _folds_of_rows(task: Task, rows: np.ndarray, folds: int, seed: int) -> list[Split]:
    from sklearn.model_selection import KFold, StratifiedKFold

    if task.classes:
        present, counts = np.unique(task.y[rows], return_counts=True)
        if counts.min() < folds:
            rare = task.labels[int(present[counts.argmin()])]
            raise TaskError(
                f"{task.name}: class {rare!r:.80} has {counts.min()} rows for {folds} folds; use folds={max(1, counts.min())}{task.remedy()}"
            )
    maker = (StratifiedKFold if task.classes else KFold)(folds, shuffle=True, random_state=seed)
    return [Split(rows[train], rows[valid]) for train, valid in maker.split(rows, task.y[rows])]


def _folds_of_groups(task: Task, rows: np.ndarray, folds: int, seed: int) -> list[Split]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    assert task.groups is not None
    groups = task.groups[rows]
    many = len(np.unique(groups))
    if many < folds:
        raise TaskError(
            f"{task.name}: {many} group(s) for {folds} folds; each fold needs a group of its own, give fewer folds or finer groups"
        )
    kind: Any = StratifiedGroupKFold if task.classes else GroupKFold
    maker = kind(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        found = list(maker.split(rows, task.y[rows], groups))
    for _, valid in found:
        if not len(valid):
            raise TaskError(
                f"{task.name}: {many} groups do not fill {folds} folds; give fewer folds or finer groups"
            )
    return [Split(rows[train], rows[valid]) for train, valid in found]


def _refuse_lost_classes(task: Task, rows: np.ndarray, folds: list[Split]) -> None:
    if not task.classes:
        return
    for number, fold in enumerate(folds):
        missing = np.setdiff1d(np.unique(task.y[rows]), np.unique(task.y[fold.train]))
        if len(missing):
            raise TaskError(
                f"{task.name}: class {task.labels[int(missing[0])]!r:.80} is missing from the training part of fold {number + 1}; give finer groups, or fewer folds{task.remedy()}"
            )


# --- ready-made folds -------------------------------------------------------------------------------------------------
def is_splitter(value: Any) -> bool:
    """Whether it splits rows into folds as scikit-learn's splitters do."""
    return callable(getattr(value, "split", None)) and not isinstance(value, (str, bytes))


def splitter_name(splitter: Any) -> str:
    """A splitter as run.json has it."""
    plain = type(splitter).__repr__ is object.__repr__  # would name an address
    return type(splitter).__qualname__ if plain else " ".join(repr(splitter).split())[:200]


def folds_by(task: Task, splitter: Any) -> tuple[Split, ...]:
    """The folds that a splitter makes of the development part.

    Args:
        task: data; a splitter that wants groups is given the task's.
        splitter: of scikit-learn's kind: `split(x, y, groups)` gives pairs of places among the rows that it is given.

    Raises:
        TaskError: a splitter that refuses the data, makes no folds or others the second time, or folds that `folds_of` refuses.
    """
    rows, name = task.development, splitter_name(splitter)
    examples, truth = task.examples(rows), task.truth(rows)
    groups = task.groups[rows] if task.groups is not None and wants_groups(splitter) else None

    def made() -> list[Split]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            pairs = list(splitter.split(examples, truth, groups))
        return [Split(np.sort(rows[train]), np.sort(rows[valid])) for train, valid in pairs]

    try:
        found, again = made(), made()
    except (ValueError, TypeError, IndexError) as fault:
        needs = (
            ""
            if task.groups is not None
            else "; groups are a column: columns={'name': 'group'}, or given with the data: groups=..."
        )
        raise TaskError(
            f"{task.name}: {name} makes no folds: {_line(fault)}{needs if 'group' in str(fault) else ''}"
        ) from None
    same = len(found) == len(again) and all(
        np.array_equal(a, b) for one, two in zip(found, again) for a, b in zip(one, two)
    )
    if not same:
        raise TaskError(f"{task.name}: {name} makes other folds each time; give it a random_state")
    return folds_of(task, found)


def folds_of(task: Task, pairs: Any) -> tuple[Split, ...]:
    """Pairs of rows (train, valid) as the folds of a task.

    Raises:
        TaskError: what is no such pair, an empty part, a row that is not of the development part, or a row or a group that is in both.
    """
    found = []
    for pair in pairs:
        try:
            train, valid = (np.unique(np.asarray(part)) for part in pair)
        except (TypeError, ValueError):
            raise TaskError(f"{task.name}: folds must be pairs of rows (train, valid)") from None
        if not len(train) or not len(valid) or {train.dtype.kind, valid.dtype.kind} - {*"iu"}:
            raise TaskError(f"{task.name}: a fold's parts must be numbers of rows, some in each")
        strange = np.setdiff1d(np.concatenate([train, valid]), task.development)
        if len(strange):
            raise TaskError(
                f"{task.name}: row {strange[0]} of a fold is not of the {len(task.development)} development rows (rows are numbered from 0); its test part was drawn first: give a task without one, hpjax.Task.of(x, y, test=0), or take rows of task.development"
            )
        both = np.intersect1d(train, valid)
        if len(both):
            raise TaskError(f"{task.name}: row {both[0]} is trained and validated on in one fold")
        if task.groups is not None:
            shared = np.intersect1d(task.groups[train], task.groups[valid])
            if len(shared):
                row = train[task.groups[train] == shared[0]][0]
                raise TaskError(
                    f"{task.name}: the group of row {row} is trained and validated on in one fold; give folds of groups (GroupKFold), or leave the groups out"
                )
        found.append(Split(train, valid))
    if not found:
        raise TaskError(f"{task.name}: no folds are given")
    return tuple(found)


def wants_groups(splitter: Any) -> bool:
    """Whether a splitter makes use of groups; one that does not say so is given them."""
    routing = getattr(splitter, "get_metadata_routing", None)
    return routing is None or "groups" in routing().split.requests


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())
