"""Features and targets as they are given: tables, arrays, labels, gaps, and what kind of targets they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpjax.tasks.gap_spellings import is_lost_label

if TYPE_CHECKING:
    import pandas


FAR = 1e6  # times the middle half of a column
SAMPLED = 10_000  # rows that tell the middle half


class TaskError(ValueError):
    """Something about the data that the user can put right; the message is one line."""


def first_place(wrong: np.ndarray) -> tuple[int, int] | None:
    """The first row and column where a table of booleans [N F] is true; None where it is nowhere."""
    if not wrong.any():
        return None
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return int(row), int(column)


def frame_names(x: Any) -> tuple[str, ...] | None:
    """The names of a table's columns, of any library (pandas, polars, pyarrow); None for arrays.

    Raises:
        TaskError: a name that stands twice.
    """
    if not hasattr(x, "shape") or not hasattr(x, "columns"):
        return None
    pandas_like = hasattr(x, "iloc")  # whose attributes may be columns
    columns = x.columns if pandas_like else getattr(x, "column_names", x.columns)
    names = tuple(str(name) for name in columns)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TaskError(f"column {twice!r:.80} stands twice in the table; rename one")
    return names


def as_features(x: Any, name: str) -> np.ndarray:
    """Features [N F] as float64.

    Raises:
        TaskError: no real numbers; names the column of a data frame.
    """
    names = frame_names(x)
    try:
        array = np.asarray(x)
        if array.dtype.kind in "cmMVSU":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        where = ""
        if names is not None:
            wrong = [str(n) for n in x.columns if getattr(x[n].dtype, "kind", "O") not in "fiub"]
            where = f", column {wrong[0]!r:.80} does not hold them" if wrong else ""
        raise TaskError(
            f"{name}: features must be numbers{where}; encode text and dates first"
        ) from None


def far(x: np.ndarray, names: Sequence[str]) -> list[str]:
    """What is said of features [N F] where a number lies so far from the others that it decides their scale.

    The middle half of a column is that of some rows, evenly spaced; columns where it is one number are left alone.
    """
    if x.ndim != 2 or not len(x):
        return []
    some = x[:: -(-len(x) // SAMPLED)]
    said = []
    for at, column in enumerate(some.T):
        there = column[np.isfinite(column)]
        low, middle, high = np.quantile(there, [0.25, 0.5, 0.75]) if len(there) else (0, 0, 0)
        least, most = np.fmin.reduce(x[:, at]), np.fmax.reduce(x[:, at])
        with np.errstate(over="ignore"):
            end = least if middle - least > most - middle else most
            lies_far = high > low and abs(end - middle) > FAR * (high - low)
        if lies_far:
            name = names[at] if names else str(at + 1)
            said.append(
                f"{name}: {end:g} lies far from {low:g} to {high:g}, where half of the rows are, and decides the column's scale; correct or drop it, or take 'scaling': 'quantile'"
            )
    return said


def as_frame(
    x: Any, names: Sequence[str], where: str, used: Sequence[str] = ()
) -> pandas.DataFrame:
    """Features as a table with named columns.

    Args:
        x: a data frame, or an array [N F].
        names: of an array's columns; "1", "2", ... where there are none.
        where: for messages.
        used: the columns that an array may have instead: those that were not left out.

    Raises:
        TaskError: no table of rows, or complex and structured values.
    """
    import pandas

    known = frame_names(x)
    if isinstance(x, pandas.DataFrame):
        return x.set_axis(list(known or ()), axis=1)
    if known is not None:  # of another library, column by column
        columns = {name: np.asarray(x[name]) for name in known}
        for name, column in columns.items():
            if column.ndim != 1:
                raise TaskError(
                    f"{where}: column {name!r:.80} holds neither numbers, text nor dates; leave it out"
                )
        return pandas.DataFrame(columns)
    try:
        array = np.asarray(x)
    except ValueError:
        array = np.zeros(0)
    if array.ndim != 2 or array.dtype.kind in "cmV":
        raise TaskError(
            f"{where}: features must be a table of rows [N F], got {array.dtype} of shape {array.shape}"
        )
    count = array.shape[-1]
    names = list(names) or [str(at + 1) for at in range(count)]
    if len(names) != count and len(used) == count:
        names = list(used)
    if len(names) != count:
        raise TaskError(
            f"{where}: a row has {len(names)} columns, as it was given first, got {array.shape}"
        )
    return pandas.DataFrame(array, columns=names)


def as_targets(y: Any, name: str) -> np.ndarray:
    """Targets as an array of text, booleans or numbers.

    Raises:
        TaskError: dates, complex or structured values, or no column of values at all.
    """
    try:
        y = np.asarray(y)
    except ValueError:
        raise TaskError(f"{name}: targets must be a column of labels or numbers") from None
    if y.dtype.kind in "cmMV":
        raise TaskError(
            f"{name}: targets must be labels or real numbers, got {y.dtype}; convert them first"
        )
    if y.ndim == 0 or y.ndim > 2:
        raise TaskError(f"{name}: targets must be [N] or [N C], got shape {y.shape}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "O" and y.ndim == 1:
        kinds = {type(value) for value in y.tolist() if not is_lost_label(value)}
        if kinds and kinds <= {bool}:
            return y if any(map(is_lost_label, y.tolist())) else y.astype(bool)
        if kinds and kinds <= {int, float}:
            return np.array([np.nan if is_lost_label(v) else v for v in y.tolist()])
    return y


def as_weights(weights: Any, name: str) -> np.ndarray:
    """Weights [N] of examples as float64.

    Raises:
        TaskError: no numbers.
    """
    try:
        return np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise TaskError(f"{name}: weights must be numbers, one for each row") from None


class Groups(NamedTuple):
    """Which examples belong together.

    Attributes:
        number: [N] int, in the order of the groups' values; -1 where there is none.
        values: the groups as they were given, by number.
    """

    number: np.ndarray
    values: tuple


def as_groups(groups: Any, name: str) -> Groups:
    """Groups of examples [N].

    Raises:
        TaskError: no column of numbers, text or dates.
    """
    import pandas

    values = np.asarray(groups, object)
    if values.ndim != 1:
        raise TaskError(f"{name}: groups must be one for each row, got shape {values.shape}")
    try:
        number, found = pandas.factorize(values, sort=True)
    except TypeError:
        raise TaskError(f"{name}: groups must be numbers, text or dates") from None
    return Groups(number, tuple(found.tolist()))


def refuse_lost_labels(y: np.ndarray, name: str) -> None:
    """Refuses labels that are missing, with the row."""
    if y.dtype.kind in "OUSf":
        for row, value in enumerate(y.tolist()):
            if is_lost_label(value):
                raise TaskError(
                    f"{name}: row {row + 1} has no label ({value!r:.80}); fill it, or drop the row"
                )


def refuse_one_class(there: Sequence, name: str) -> None:
    """Refuses examples that have one class, of the classes that are there."""
    if len(there) < 2:
        raise TaskError(f"{name}: every example has class {there[0]!r:.80}; two are needed")


FEW, SURE = 20, 10  # different whole numbers that are taken for classes, and that raise no doubt


def guessed(y: np.ndarray) -> tuple[str, str]:
    """The kind of targets, and what is doubtful about that, with the remedy; "" where nothing is."""
    if y.ndim != 1:
        return "numbers", ""
    if y.dtype.kind in "OUSb":
        return "classes", ""
    distinct = np.unique(y[np.isfinite(y)])
    count = len(distinct)
    if y.dtype.kind in "iu":
        if count > FEW:
            doubt = f"the target is whole numbers, {count} of them different: taken for a quantity; if they are classes, give kind='classes' (--kind classes)"
            return "numbers", doubt if count < min(200, len(y) // 2) else ""
        doubt = f"the target is {count} different whole numbers: taken for classes; if it is a quantity, give kind='numbers' (--kind numbers)"
        return "classes", doubt if count > SURE else ""
    if count <= SURE and (distinct == np.round(distinct)).all():
        values = ", ".join(f"{value:g}" for value in distinct[:5])
        return (
            "numbers",
            f"the target has only the numbers {values}{', ...' if count > 5 else ''}: taken for a quantity; if they are classes, give kind='classes' (--kind classes)",
        )
    return "numbers", ""
