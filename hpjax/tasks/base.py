"""A task: data and splits. Everything that can be wrong with data is refused here, in one line."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np


class TaskError(ValueError):
    """Something about the data that the user can put right; the message is one line."""


class Split(NamedTuple):
    """One fold: rows of the development part to train on and to validate on."""

    train: np.ndarray  # [n] int
    valid: np.ndarray  # [m] int


@dataclasses.dataclass(frozen=True)
class Task:
    """Examples, which of them are held out for the test, and what the targets are.

    Attributes:
        name: for tables and figures.
        x: [N F] float64 features.
        y: [N] class numbers, or [N C] float64 targets.
        labels: the classes' names for people, () for numbers.
        values: the classes as they were given (what a network predicts); 0, 1, ... where absent.
        test: [t] rows held out, never trained or validated on.
        standardize: whether features (and numeric targets) are brought to mean 0 and deviation 1 of the training part.
        groups: ready-made folds instead of drawn ones.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    labels: tuple[str, ...] = ()
    values: tuple = ()
    test: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    standardize: bool = True
    groups: tuple[Split, ...] = ()

    def __post_init__(self):
        if self.labels and not self.values:
            object.__setattr__(self, "values", tuple(range(len(self.labels))))
        if self.x.ndim != 2 or not self.x.size:
            raise TaskError(
                f"{self.name}: features must be a table of rows, got shape {self.x.shape}"
            )
        if len(self.x) != len(self.y):
            raise TaskError(
                f"{self.name}: {len(self.x)} rows of features but {len(self.y)} targets; give as many"
            )
        for what, values in (("feature", self.x), ("target", self.y)):
            bad = np.argwhere(~np.isfinite(values.reshape(len(values), -1)))
            if len(bad):
                row, column = bad[0]
                raise TaskError(
                    f"{self.name}: row {row + 1} has no finite {what} in column {column + 1}; fill or drop it"
                )
        if self.labels and len(np.unique(self.y)) < 2:
            raise TaskError(
                f"{self.name}: every example has class {self.labels[int(self.y[0])]!r}; two are needed"
            )

    @property
    def classes(self) -> bool:
        """Whether the targets are classes."""
        return bool(self.labels)

    @property
    def inputs(self) -> int:
        """F."""
        return self.x.shape[1]

    @property
    def outputs(self) -> int:
        """C: 1 for two classes."""
        if self.classes:
            return 1 if len(self.labels) == 2 else len(self.labels)
        return self.targets().shape[1]

    @property
    def loss(self) -> str:
        """The loss that suits the targets."""
        if not self.classes:
            return "mse"
        return "bce" if self.outputs == 1 else "cross_entropy"

    @property
    def development(self) -> np.ndarray:
        """Rows that are not held out."""
        return np.setdiff1d(np.arange(len(self.x)), self.test)

    def targets(self) -> np.ndarray:
        """[N C] float64: one-hot rows, 0/1 in one column for two classes, or the numbers."""
        if not self.classes:
            return self.y.reshape(len(self.y), -1).astype(np.float64)
        if len(self.labels) == 2:
            return self.y[:, None].astype(np.float64)
        return np.eye(len(self.labels))[self.y]

    def truth(self, rows: np.ndarray) -> np.ndarray:
        """The targets of some rows as they were given."""
        return np.array(self.values)[self.y[rows]] if self.classes else self.y[rows]

    def with_test(self, test: np.ndarray) -> Task:
        """The same task with these rows held out."""
        return dataclasses.replace(self, test=test)

    def with_labels(self, labels: tuple[str, ...]) -> Task:
        """The same task with other names for its classes."""
        return dataclasses.replace(self, labels=labels)

    def renamed(self, name: str) -> Task:
        """The same task under another name."""
        return dataclasses.replace(self, name=name)

    @classmethod
    def of(
        cls,
        x,
        y,
        name: str = "data",
        test: float = 0.2,
        seed: int = 42,
        kind: str | None = None,
        **options,
    ) -> Task:
        """A task from arrays.

        Args:
            x: [N F] numbers.
            y: [N] labels (text, booleans or whole numbers: classes) or [N] or [N C] real numbers.
            name: for tables.
            test: share held out, stratified for classes; 0 for none.
            seed: of the hold-out.
            kind: "classes" or "numbers"; told from the targets where None.

        Raises:
            TaskError: text in the features, mismatched lengths, one class only, values that are not finite.
        """
        try:
            x = np.asarray(x, np.float64)
        except (TypeError, ValueError):
            raise TaskError(
                f"{name}: features must be numbers; encode text columns first"
            ) from None
        y = np.asarray(y)
        if len(x) != len(y):
            raise TaskError(
                f"{name}: {len(x)} rows of features but {len(y)} targets; give as many of each"
            )
        labels: tuple[str, ...] = ()
        options = dict(options)
        if kind is None:
            few = y.dtype.kind in "OUSb" or len(np.unique(y)) <= max(20, len(y) // 20)
            kind = "classes" if y.ndim == 1 and y.dtype.kind in "OUSbiu" and few else "numbers"
        if kind == "classes":
            values, codes = np.unique(
                y.astype(str) if y.dtype.kind in "OUS" else y, return_inverse=True
            )
            labels, y = tuple(str(value) for value in values), codes
            options["values"] = tuple(values.tolist())
        elif kind != "numbers":
            raise TaskError(f"{name}: kind={kind!r} is neither 'classes' nor 'numbers'")
        else:
            try:
                y = y.astype(np.float64)
            except (TypeError, ValueError):
                raise TaskError(
                    f"{name}: targets must be numbers for kind='numbers', got text"
                ) from None
        task = cls(name, x, y, labels, **options)
        if test and not len(task.test):
            return dataclasses.replace(
                task, test=holdout(task, np.arange(len(x)), test, seed).valid
            )
        return task


def holdout(task: Task, rows: np.ndarray, share: float, seed: int) -> Split:
    """Part of the rows set aside at random, every class in proportion.

    Raises:
        TaskError: a class with a single example, or too few rows.
    """
    from sklearn.model_selection import train_test_split

    try:
        stratify = task.y[rows] if task.classes else None
        train, valid = train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
    except ValueError as fault:
        raise TaskError(
            f"{task.name}: cannot set aside {share:g} of {len(rows)} rows: {_line(fault)}"
        ) from None
    return Split(np.sort(train), np.sort(valid))


def splits(
    task: Task, folds: int = 1, seed: int = 0, share: float = 0.2, stratified: bool | None = None
) -> tuple[Split, ...]:
    """The folds of a study, from the development part.

    Args:
        task: data.
        folds: 1 holds out `share`; K >= 2 makes K folds.
        seed: of the draw.
        share: held out when folds is 1.
        stratified: whether every fold has every class in proportion; None does so for classes.

    Returns:
        `folds` Splits.

    Raises:
        TaskError: more folds than examples of the rarest class (or than rows), or a class missing from a training part.
    """
    if task.groups:
        return task.groups
    rows = task.development
    if folds < 1 or folds > len(rows):
        raise TaskError(f"{task.name}: folds={folds} for {len(rows)} rows; give 1 to {len(rows)}")
    if folds == 1:
        found = [holdout(task, rows, share, seed)]
    else:
        from sklearn.model_selection import KFold, StratifiedKFold

        stratified = task.classes if stratified is None else stratified
        if stratified:
            present, counts = np.unique(task.y[rows], return_counts=True)
            if counts.min() < folds:
                rare = task.labels[int(present[counts.argmin()])]
                raise TaskError(
                    f"{task.name}: class {rare!r} has {counts.min()} rows for {folds} folds; use folds={max(1, counts.min())}"
                )
        maker = (StratifiedKFold if stratified else KFold)(folds, shuffle=True, random_state=seed)
        found = [
            Split(rows[train], rows[valid]) for train, valid in maker.split(rows, task.y[rows])
        ]
    for number, fold in enumerate(found):
        if task.classes:
            missing = np.setdiff1d(np.unique(task.y[rows]), np.unique(task.y[fold.train]))
            if len(missing):
                raise TaskError(
                    f"{task.name}: class {task.labels[int(missing[0])]!r} is missing from fold {number + 1}; use stratified folds"
                )
    return tuple(found)


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())
