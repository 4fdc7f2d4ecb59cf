"""A task: data and splits. Everything that can be wrong with data is refused here, in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpjax.defaults import TEST_SEED, TEST_SHARE
from hpjax.notebooks import shown
from hpjax.tasks.columns import (
    Groups,
    TaskError,
    as_features,
    as_frame,
    as_groups,
    as_targets,
    as_weights,
    far,
    first_place,
    frame_names,
    guessed,
    refuse_lost_labels,
    refuse_one_class,
)
from hpjax.tasks.schema import (
    Column,
    Table,
    all_numbers,
    column_kinds,
    decimals,
    frame_of,
    layout,
    read_table,
)
from hpjax.tasks.signature import Signature
from hpjax.tasks.splits import Split, folds_by, folds_of, holdout, is_splitter

KINDS = ("classes", "numbers")
# of a feature: its square is still far from where float64 ends, and it from where float32 does
LARGEST = 1e30


class TaskOptions(NamedTuple):
    """What is said of a task beside its data, as `Task.of` takes it."""

    test: float = TEST_SHARE  # held out
    seed: int = TEST_SEED  # of the hold-out
    kind: str | None = None
    columns: Mapping[str, str] | None = None
    values: tuple = ()  # all classes, where they are known


@dataclasses.dataclass(frozen=True, repr=False)
class Task:
    """Examples, which of them are held out for the test, and what the targets are.

    Attributes:
        name: for tables and figures.
        x: [N F] float64 features; under a schema NaN where a number is not there, and codes of categories.
        y: [N] class numbers, or [N C] float64 targets.
        labels: the classes' names for people, () for numbers.
        values: the classes as they were given (what a network predicts); 0, 1, ... where absent.
        test: [t] rows held out, never trained or validated on.
        standardize: whether features (and numeric targets) are brought to mean 0 and deviation 1 of the training part.
        folds: ready-made, instead of drawn ones.
        features: names of the columns that were given, () where they have none; under a schema, of which `schema` says which are used.
        doubt: what was doubtful when the kind of the targets was told from them.
        schema: what the columns of x are, where not all of them are numbers without gaps.
        notes: what became of columns and rows, for people.
        weights: [N] of the examples, in training, validation and metrics; 1 each where None.
        groups: [N] int: rows of one group are never apart, in no fold and not for the test.
        group_values: the groups as they were given, by number.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    labels: tuple[str, ...] = ()
    values: tuple = ()
    test: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    standardize: bool = True
    folds: tuple[Split, ...] = ()
    features: tuple[str, ...] = ()
    doubt: str = ""
    schema: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    group_values: tuple = ()

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
        self._refuse_test(np.asarray(self.test))
        if self.weights is not None:
            self._refuse_weights(self.weights)
        if self.groups is not None:
            self._refuse_groups(self.groups)
        for what, values in (("feature", self.x), ("target", self.y)):
            gaps = np.isnan(values) if what == "feature" and self.schema else False
            bad = first_place(~(np.isfinite(values) | gaps).reshape(len(values), -1))
            if bad is not None:
                row, column = bad
                raise TaskError(
                    f"{self.name}: row {row + 1} has no finite {what} in column {column + 1}; fill or drop it"
                )
        huge = first_place(np.abs(self.x) > LARGEST)
        if huge is not None:
            row, column = huge
            raise TaskError(
                f"{self.name}: row {row + 1} has {self.x[row, column]:g} in column {self.signature.column(column)}; no network can use numbers beyond {LARGEST:g}, rescale or drop it"
            )

    def _refuse_test(self, rows: np.ndarray) -> None:
        """Refuses rows to hold out that are no numbers of rows."""
        if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
            raise TaskError(
                f"{self.name}: rows to hold out are whole numbers [n], got {rows.dtype} {list(rows.shape)}; of a mask take np.flatnonzero(mask)"
            )
        outside = rows[(rows < 0) | (rows >= len(self.x))]
        if len(outside):
            raise TaskError(
                f"{self.name}: row {outside[0]} cannot be held out; rows are from 0 to {len(self.x) - 1}"
            )

    def _refuse_weights(self, weights: np.ndarray) -> None:
        """Refuses weights that are not one for each example, negative or not finite, or nothing but zeros."""
        if weights.shape != (len(self.x),):
            raise TaskError(
                f"{self.name}: {len(self.x)} rows but weights of shape {weights.shape}; give one for each row"
            )
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong):
            raise TaskError(
                f"{self.name}: row {wrong[0] + 1} has weight {weights[wrong[0]]:g}; weights are finite and not negative"
            )
        if not weights.any():
            raise TaskError(f"{self.name}: all weights are zero; give some examples a weight")

    def _refuse_groups(self, groups: np.ndarray) -> None:
        """Refuses groups that are not one for each example."""
        if groups.shape != (len(self.x),):
            raise TaskError(
                f"{self.name}: {len(self.x)} rows but groups of shape {groups.shape}; give one for each row"
            )
        if (groups < 0).any():
            raise TaskError(
                f"{self.name}: row {int(np.argmax(groups < 0)) + 1} has no group; fill or drop it"
            )

    @property
    def classes(self) -> bool:
        """Whether the targets are classes."""
        return bool(self.labels)

    @property
    def inputs(self) -> int:
        """F of a network: under a schema every category is an input, and so is every number's gap."""
        return layout(self.schema).inputs if self.schema else self.x.shape[1]

    @property
    def numeric(self) -> int | None:
        """How many of the inputs, the first ones, are numbers; None where all are."""
        return len(layout(self.schema).numbers) if self.schema else None

    @property
    def categories(self) -> tuple[int, ...] | None:
        """Of the last inputs, one-hot: how many each column of categories has; None where there is none."""
        return (layout(self.schema).blocks or None) if self.schema else None

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
        there = np.ones(len(self.x), bool)
        there[np.asarray(self.test, np.int64)] = False
        return np.flatnonzero(there)

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

    def examples(self, rows: np.ndarray) -> Any:
        """The examples of some rows as a network takes them: an array, or a table where there is a schema."""
        return frame_of(self.x[rows], self.schema) if self.schema else self.x[rows]

    def table(self, rows: np.ndarray) -> Any:
        """The features of some rows by the names of their columns, numbers as float64; an array where columns have no names."""
        if self.schema or not self.features:
            return self.examples(rows)
        import pandas

        return pandas.DataFrame(self.x[rows], columns=list(self.features))

    def with_test(self, test: np.ndarray) -> Task:
        """The same task with these rows held out.

        Raises:
            TaskError: rows that there are none of, or that its ready-made folds train or validate on.
        """
        rows = np.asarray(test)
        self._refuse_test(rows)
        rows = rows.astype(np.int64)
        taken = np.intersect1d(
            rows, np.concatenate([part for f in self.folds for part in f] or [[]])
        )
        if len(taken):
            raise TaskError(
                f"{self.name}: row {int(taken[0])} is of a ready-made fold and cannot be held out; hold out first, then with_folds"
            )
        return dataclasses.replace(self, test=rows)

    def with_folds(self, folds: Any) -> Task:
        """The same task with ready-made folds.

        Args:
            folds: a splitter of scikit-learn's kind, which is given the development part, or pairs of rows (train, valid).

        Raises:
            TaskError: folds that cannot be.
        """
        if is_splitter(folds):
            return dataclasses.replace(self, folds=folds_by(self, folds))
        return dataclasses.replace(self, folds=folds_of(self, folds))

    def with_labels(self, labels: tuple[str, ...]) -> Task:
        """The same task with other names for its classes."""
        return dataclasses.replace(self, labels=labels)

    def renamed(self, name: str) -> Task:
        """The same task under another name."""
        return dataclasses.replace(self, name=name)

    @property
    def kind(self) -> str:
        """Of the targets: "classes" or "numbers"."""
        return "classes" if self.classes else "numbers"

    def __repr__(self) -> str:
        return f"<Task {self.name}: {len(self.x)} examples of {self.inputs} features, {self.summary()}>"

    def _repr_html_(self) -> str:
        return shown(self, self.about())

    def summary(self) -> str:
        """What is to be learned, in a phrase.

        Example:
            >>> Task.of([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "a", "b"], test=0).summary()
            'classification, 2 classes: a, b'
        """
        if not self.classes:
            count = self.targets().shape[1]
            return "regression" if count == 1 else f"regression, {count} targets"
        plain = [" ".join(label.split()) for label in self.labels[:10]]
        shown = [label if len(label) <= 20 else label[:17] + "..." for label in plain]
        more = f" and {len(self.labels) - 10} more" if len(self.labels) > 10 else ""
        return f"classification, {len(self.labels)} classes: {', '.join(shown)}{more}"

    def about(self, folds: int = 1) -> list[str]:
        """What a run says first, a line each: what is learned, and what of that is doubtful.

        Args:
            folds: of the study.
        """
        lines = [f"{self.name}: {self.summary()}"]
        lines += [f"{self.name}: {note}" for note in self.described()]
        if self.doubt:
            lines.append(f"{self.name}: {self.doubt}")
        if self.classes:
            counts = np.bincount(self.y[self.development], minlength=len(self.labels))
            rare = int(counts.argmin())
            if counts[rare] < max(2, folds):
                lines.append(
                    f"{self.name}: class {self.labels[rare]!r:.80} has {counts[rare]} rows to train on, for {folds} fold(s){self.remedy()}"
                )
        return lines

    def described(self, most: int = 5) -> list[str]:
        """What became of the columns of a table; nothing where all are numbers without gaps.

        Args:
            most: columns with gaps that are named.
        """
        if not self.schema:
            return list(self.notes)
        dates = {column.source for column in self.schema if column.kind == "date"}
        numbers = [column for column in self.schema if column.kind == "number"]
        categories = [column for column in self.schema if column.categorical]
        gaps = sorted({column.source for column in self.schema if column.gaps})
        parts = [f"{len(numbers)} numbers"] if numbers else []
        if categories:
            parts.append(
                f"{len(categories)} columns of {sum(len(c.values) for c in categories)} categories"
            )
        parts += [f"{len(dates)} dates"] if dates else []
        line = f"{', '.join(parts)}; {self.inputs} inputs"
        if gaps:
            shown = ", ".join(gaps[:most]) + (
                f" and {len(gaps) - most} more" if len(gaps) > most else ""
            )
            line += f"; gaps in {shown}"
        return [line, *self.notes]

    def remedy(self) -> str:
        """What a refusal over classes adds where the classes may be quantities; "" where they cannot."""
        if all(_is_number(value) and not isinstance(value, bool) for value in self.values):
            return "; if the target is a quantity, give kind='numbers' (--kind numbers)"
        return decimals(self.labels)

    @property
    def signature(self) -> Signature:
        """What a network of the task takes and gives."""
        values = self.values if self.classes else ()
        single = self.y.ndim == 1
        return Signature(self.name, self.inputs, self.features, self.schema, values, single)

    @classmethod
    def of(
        cls,
        x: Any,
        y: Any,
        name: str = "data",
        test: float = TEST_SHARE,
        seed: int = TEST_SEED,
        kind: str | None = None,
        columns: Mapping[str, str] | None = None,
        values: tuple = (),
        weights: Any = None,
        groups: Any = None,
        standardize: bool = True,
        notes: Sequence[str] = (),
    ) -> Task:
        """A task from arrays, or from tables with named columns.

        Args:
            x: [N F] numbers, text, booleans and dates, with gaps; a data frame's columns keep their names, an array's are "1", "2", ...
            y: [N] labels (text, booleans or at most 20 different whole numbers: classes) or [N] or [N C] numbers.
            name: for tables.
            test: share held out, stratified for classes; 0 for none.
            seed: of the hold-out.
            kind: "classes" or "numbers"; told from the targets where None.
            columns: what columns are, where that is not to be told from them: name -> "number", "category", "date", "weight", "group" or "drop".
            values: all classes, in their order, where not each of them need be there; those that are there where ().
            weights: [N] of the examples, as a column of "weight" says, too; 1 each where None.
            groups: [N] of the examples, as a column of "group" says, too: those of one group are never apart.
            standardize: whether features (and numeric targets) are brought to mean 0 and deviation 1 of the training part.
            notes: what became of rows, for people.

        Raises:
            TaskError: mismatched lengths, labels that are missing, one class only, numbers that are infinite, a column that is not
                what it is said to be.
        """
        if not isinstance(name, str):
            raise TaskError(
                f"the third part of a task is its name, got {type(name).__name__}; weights are weights=..."
            )
        if kind is not None and kind not in KINDS:
            raise TaskError(f"{name}: kind={kind!r:.80} is none of {', '.join(KINDS)}")
        names = frame_names(x)
        table = features_of(x, name, columns)
        x, y = table.x, as_targets(y, name)
        if x.ndim == 0:
            raise TaskError(f"{name}: features must be a table of rows, got a single value")
        if len(x) != len(y):
            raise TaskError(
                f"{name}: {len(x)} rows of features but {len(y)} targets; give as many of each"
            )
        doubt = ""
        if kind is None:
            kind, doubt = guessed(y)
        if kind == "classes":
            y, values = _classes(y, values, name)
        else:
            values = ()
            y = _numbers(y, name)
        labels = tuple(str(value) for value in values)
        weights, groups = _beside(table, weights, groups, name)
        features = names or table.names
        task = cls(
            name,
            x,
            y,
            labels,
            values,
            features=features,
            standardize=standardize,
            doubt=doubt,
            schema=table.schema,
            notes=(
                *notes,
                *table.notes,
                *far(x, [column.name for column in table.schema] or features),
            ),
            weights=weights,
            groups=None if groups is None else groups.number,
            group_values=() if groups is None else groups.values,
        )
        if test:
            return dataclasses.replace(
                task, test=holdout(task, np.arange(len(x)), test, seed).valid
            )
        return task


def _classes(y: np.ndarray, known: tuple, name: str) -> tuple[np.ndarray, tuple]:
    """Labels [N] as class numbers [N], and the classes as they were given; those that are known already where there are some."""
    if y.ndim != 1:
        raise TaskError(
            f"{name}: classes need one column of labels, got {y.shape}; give them as [N]"
        )
    refuse_lost_labels(y, name)
    labels = y.astype(str) if y.dtype.kind in "OUS" else y
    values, codes = np.unique(labels, return_inverse=True)
    values = tuple(values.tolist())
    if not known:
        refuse_one_class(values, name)
        return codes, values
    place = {str(value): number for number, value in enumerate(known)}
    place |= {value: number for number, value in enumerate(known)}  # 0.0 is 0
    numbers = [place.get(value, place.get(str(value))) for value in values]
    if None in numbers:
        raise TaskError(
            f"{name}: class {values[numbers.index(None)]!r:.80} is none of {', '.join(map(str, known))!s:.100}; drop its rows, or train on some"
        )
    return np.array(numbers)[codes], known


def _numbers(y: np.ndarray, name: str) -> np.ndarray:
    """Targets as float64."""
    try:
        return y.astype(np.float64)
    except (TypeError, ValueError):
        text = next((str(value) for value in y.ravel().tolist() if not _is_number(value)), "text")
        raise TaskError(
            f"{name}: targets must be numbers for kind='numbers', got {text!r:.80}{decimals([text])}"
        ) from None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _beside(
    table: Table, weights: Any, groups: Any, name: str
) -> tuple[np.ndarray | None, Groups | None]:
    """Weights and groups, given beside a table or in a column of it."""
    for what, beside, column in (
        ("weights", weights, table.weights),
        ("groups", groups, table.groups),
    ):
        if beside is not None and column is not None:
            raise TaskError(f"{name}: {what} are given, and a column of {what}; leave one out")
    weights = table.weights if weights is None else weights
    return (
        None if weights is None else as_weights(weights, name),
        table.groups if groups is None else as_groups(groups, name),
    )


def features_of(x: Any, name: str, columns: Mapping[str, str] | None) -> Table:
    """Features as arrays: numbers without gaps as they are, anything else by a schema."""
    if columns is None and not hasattr(x, "columns"):
        try:
            array = np.asarray(x)
        except ValueError:
            raise TaskError(
                f"{name}: features must be a table of rows [N F], all of one length"
            ) from None
        if array.dtype.kind in "fiub" and (array.ndim != 2 or np.isfinite(array).all()):
            return Table(as_features(array, name))
    frame = as_frame(x, (), name)
    wanted = column_kinds(columns, [str(column) for column in frame.columns], name)
    if all_numbers(frame, wanted):
        return Table(as_features(frame, name))
    return read_table(frame, wanted, name)
