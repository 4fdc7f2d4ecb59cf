"""What the columns of a table are: numbers, categories and dates, with gaps in any of them; and rows as arrays of numbers and codes.

A schema tells the columns apart by the whole table; whatever is estimated from values (means, deviations, which categories are rare)
is estimated on a fold's training part alone, in `training.encoding`.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpjax.tasks import dates
from hpjax.tasks.columns import Groups, TaskError, as_groups
from hpjax.tasks.gap_spellings import is_gap

if TYPE_CHECKING:
    import pandas

KINDS = ("number", "category", "date")
WHAT = (*KINDS, "weight", "group", "drop")  # what a user can say of a column
GAP = ""  # the category of what is not there
MOST = 255  # categories of a column that a network tells apart; the least frequent others are none
FEW = 20  # different texts that are kinds, however few rows there are
SAME = 0.5  # share of rows with different text from which on a column names rows rather than kinds
MARKS = 2  # different texts among numbers that may mark gaps in half of the rows; more of them in a tenth
AMOUNT = re.compile(r"[-+]?[$€£]?\s?[-+]?\d{1,3}([,.' ]?\d{3})*([.,]\d+)?\s?[%€$£]?")


class Column(NamedTuple):
    """A column of numbers or codes, as networks are given them.

    Attributes:
        name: of the numbers or codes; that of the table's column, but for parts of dates.
        source: the table's column that they come from.
        kind: "number", "category" or "date".
        values: categories as text, the most frequent first.
        gaps: whether some row has none.
    """

    name: str
    source: str
    kind: str
    values: tuple[str, ...] = ()
    gaps: bool = False

    @property
    def categorical(self) -> bool:
        """Whether it holds codes."""
        return self.kind == "category"


class Table(NamedTuple):
    """A table as arrays.

    Attributes:
        x: [N F] float64; NaN where a number is not there, codes 0, 1, ... of categories, -1 of those without one.
        schema: of the columns.
        notes: what became of columns, a line each.
        weights: [N] of the examples, where a column holds them.
        groups: of the examples, where a column holds them.
        names: of all columns that were given, where there is a schema.
    """

    x: np.ndarray
    schema: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    groups: Groups | None = None
    names: tuple[str, ...] = ()


def column_kinds(
    columns: Mapping[str, str] | None, names: Sequence[str], where: str
) -> dict[str, str]:
    """What a user says of columns: name -> "number", "category", "date", "weight", "group" or "drop".

    Raises:
        TaskError: a column that is not there, or another word.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise TaskError(
            f"columns must be a dict of {' or '.join(WHAT)} by name, got {columns!r:.80}"
        )
    for name, what in columns.items():
        if name not in names:
            some = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise TaskError(f"{where}: no column {name!r:.80}; it has {some}")
        if what not in WHAT:
            raise TaskError(
                f"column {name!r:.80} is {what!r:.80}, which is none of {', '.join(WHAT)}"
            )
    return dict(columns)


def all_numbers(frame: pandas.DataFrame, columns: Mapping[str, str]) -> bool:
    """Whether a table is one of finite numbers of which nothing else was said."""
    return not columns and all(
        series.dtype.kind in "fiub" and np.isfinite(series.to_numpy(np.float64)).all()
        for _, series in frame.items()
    )


def read_table(frame: pandas.DataFrame, columns: Mapping[str, str], where: str) -> Table:
    """A table as arrays, with what its columns are.

    Args:
        frame: features only.
        columns: what the user says of them, as `column_kinds` gives it.
        where: the table's name, for messages.

    Raises:
        TaskError: a number that is not finite, a column that is not what the user says, or no column that varies.
    """
    parts, schema, notes = [], [], []
    beside: dict[str, Any] = {}
    for name, series in frame.items():
        name, what = str(name), columns.get(str(name))
        if what == "drop":
            notes.append(f"{name}: left out")
            continue
        cells = _cells(series, where)
        if what in ("weight", "group"):
            if what in beside:
                raise TaskError(f"{where}: two columns of {what}s; give one")
            notes.append(f"{name}: {what}s of the examples")
            if what == "group":
                beside[what] = as_groups(cells.taken(np.array(cells.values, object), None), where)
            else:
                beside[what] = _number(cells, name, where, True)[0][0]
            continue
        kind, note = (what, "") if what else _kind(series, cells)
        if kind == "drop":
            notes.append(f"{name}: left out, {note}")
            continue
        if note:
            notes.append(f"{name}: {note}")
        reader = {"number": _number, "category": _category, "date": _date}[kind]
        for values, column in reader(cells, name, where, what is not None):
            parts.append(values)
            schema.append(column)
    if not parts:
        raise TaskError(f"{where}: no feature is left; {'; '.join(notes[:3])}")
    return Table(
        np.stack(parts, 1),
        tuple(schema),
        tuple(notes),
        beside.get("weight"),
        beside.get("group"),
        tuple(map(str, frame.columns)),
    )


def read_again(frame: pandas.DataFrame, schema: Sequence[Column], where: str) -> np.ndarray:
    """The rows of another table by a schema, [n F]; categories that it has not are -1.

    Raises:
        TaskError: a column that is missing, or text where there were numbers.
    """
    read: dict[str, list[np.ndarray]] = {}
    for column in schema:
        if column.source in read:
            continue
        if column.source not in frame.columns:
            raise TaskError(
                f"the table lacks {column.source!r:.80}; its columns must be those of {where}"
            )
        cells = _cells(frame[column.source], where)
        if column.categorical:
            read[column.source] = [_codes(cells, column.values)]
        else:
            if column.kind == "number":
                _refuse_text(cells, column, where)
            reader = _date if column.kind == "date" else _number
            read[column.source] = [v for v, _ in reader(cells, column.source, where, False)]
    return np.stack([read[column.source].pop(0) for column in schema], 1)


def _refuse_text(cells: Cells, column: Column, where: str) -> None:
    """Refuses text in a column of numbers that had no gaps, or where nothing in it is a number."""
    odd = np.isnan(_parsed(cells.values))
    if odd.any() and (odd.all() or not column.gaps):
        text = cells.values[int(odd.argmax())]
        raise TaskError(
            f"column {column.source!r:.80} has {text!r:.40}, which is no number; {where} has numbers there"
        )


def frame_of(x: np.ndarray, schema: Sequence[Column]) -> pandas.DataFrame:
    """Rows [n F] as a table that `read_again` reads as the same."""
    import pandas

    found: dict[str, Any] = {}
    for values, column in zip(x.T, schema):
        if column.source in found:
            continue
        if column.categorical:
            words = np.array([*column.values, None], object)
            found[column.source] = words[np.where(values < 0, -1, values).astype(np.int64)]
        elif column.kind == "date":
            found[column.source] = dates.moments(values)
        else:
            found[column.source] = values
    return pandas.DataFrame(found)


# --- one column -------------------------------------------------------------------------------------------------------
CELLS = (str, numbers.Real, np.bool_, datetime.date, decimal.Decimal)  # what a cell may hold


class Cells(NamedTuple):
    """A column of a table, every different value once.

    Attributes:
        codes: [N] which value; -1 where there is none.
        values: the different ones, as `_plain` has them.
    """

    codes: np.ndarray
    values: list

    def taken(self, each: np.ndarray, gone: Any = np.nan) -> np.ndarray:
        """What is said of every different value, for each row; `gone` where there is none."""
        return np.append(each, gone)[self.codes]

    @property
    def counts(self) -> np.ndarray:
        """How many rows have each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))


def _cells(series: pandas.Series, where: str) -> Cells:
    """A column; what is not there has no value, however that was spelled.

    Raises:
        TaskError: a cell that holds neither a number nor text nor a date.
    """
    import pandas

    try:
        codes, different = pandas.factorize(series)
    except TypeError:
        raise TaskError(
            f"{where}: column {series.name!r:.80} holds neither numbers, text nor dates"
        ) from None
    place: dict[Any, int] = {}
    again = np.full(len(different) + 1, -1)
    for at, value in enumerate(different.tolist()):
        if is_gap(value):
            continue
        value = _plain(value)
        if not isinstance(value, CELLS):
            row = int(np.argmax(codes == at)) + 1
            raise TaskError(
                f"{where}: row {row}, column {series.name!r:.80}: {value!r:.60} is neither number, text nor date"
            )
        again[at] = place.setdefault(value, len(place))
    return Cells(again[codes], list(place))


def _plain(value: Any) -> Any:
    """A cell's value: durations in days, periods by their beginning, text without blanks around it."""
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(days=1)
    if hasattr(value, "to_timestamp"):
        return value.to_timestamp()
    return value.strip() if isinstance(value, str) else value


def _kind(series: pandas.Series, cells: Cells) -> tuple[str, str]:
    """What a column is, or "drop"; and what is worth saying of it."""
    rows = len(cells.codes)
    if not cells.values:
        return "drop", "no row has a value"
    if series.dtype.kind in "fiub" or all(isinstance(v, (bool, np.bool_)) for v in cells.values):
        return "number", ""
    if series.dtype.kind == "M" or all(isinstance(v, datetime.date) for v in cells.values):
        return "date", ""
    parsed, words = _parsed(cells.values), list(map(str, cells.values))
    odd = np.isnan(parsed)
    if not odd.any():
        return "number", ""
    if all(dates.DAY.fullmatch(word) for word in words):
        return "date", ""
    strangers = cells.counts[odd].sum()
    most = 0.5 if odd.sum() <= MARKS else 0.1
    if (~odd).sum() > 20 and strangers < most * rows:
        strange = sorted(word for word, wrong in zip(words, odd) if wrong)[:3]
        return (
            "number",
            f"{', '.join(f'{word!r:.40}' for word in strange)} and the like are taken for gaps",
        )
    if len(words) == 1 and (cells.codes >= 0).all():
        return "drop", f"every row has {words[0]!r:.40}"
    if len(words) > max(FEW, SAME * rows):
        return (
            "drop",
            f"{len(words)} different texts in {rows} rows name rows, not kinds{_likely(words)}",
        )
    return "category", ""


def decimals(words: Sequence[str]) -> str:
    """The remedy where texts are amounts, some with a comma or a currency; "" where one is none, or all are numbers as they are."""
    if all(AMOUNT.fullmatch(word) for word in words) and np.isnan(_parsed(words)).any():
        return "; if they are numbers, write digits and a point alone (1234.5)"
    return ""


def _likely(words: Sequence[str]) -> str:
    """What texts may be if they name no rows, with the remedy; "" where they look like nothing."""
    if amounts := decimals(words):
        return amounts
    return dates.likely(words)


def _parsed(values: Sequence[Any]) -> np.ndarray:
    """Values as numbers, NaN where they are something else."""
    import pandas

    found = pandas.to_numeric(pandas.Series(list(values), dtype=object), errors="coerce")
    return found.to_numpy(np.float64, na_value=np.nan)


def _number(cells: Cells, name: str, where: str, asked: bool) -> list[tuple[np.ndarray, Column]]:
    """Numbers; what is none is a gap. `asked`: the user said that they are numbers."""
    each = _parsed(cells.values)
    if np.isinf(each).any():
        row = int(np.argmax(np.isinf(cells.taken(each)))) + 1
        raise TaskError(
            f"{where}: row {row}, column {name!r:.80}: {cells.taken(each)[row - 1]:g} is not finite; fill or drop it"
        )
    if asked and len(each) and np.isnan(each).all():
        raise TaskError(
            f"{where}: column {name!r:.80} has no number{decimals(list(map(str, cells.values)))}; or leave it a category, or drop it"
        )
    values = cells.taken(each)
    return [(values, Column(name, name, "number", gaps=bool(np.isnan(values).any())))]


def _date(cells: Cells, name: str, where: str, asked: bool) -> list[tuple[np.ndarray, Column]]:
    """Days since 1970, the weekday from 0 (Monday) and the day of the year."""
    unclear = dates.unclear(cells.values)
    if unclear is not None:
        raise TaskError(
            f"{where}: column {name!r:.80}: {unclear!r:.40} has the day or the month first; write YYYY-MM-DD, or parse it: pandas.to_datetime(..., format='%m/%d/%Y')"
        )
    days = dates.days(cells.values)
    if asked and len(days) and np.isnan(days).all():
        raise TaskError(
            f"{where}: column {name!r:.80} has no date that can be read; write YYYY-MM-DD"
        )
    found = []
    for part, each in dates.parts(days).items():
        values = cells.taken(each)
        gaps = bool(np.isnan(values).any())
        found.append((values, Column(name + part, name, "date", gaps=gaps)))
    return found


def _category(cells: Cells, name: str, where: str, asked: bool) -> list[tuple[np.ndarray, Column]]:
    del where, asked
    words, counts = list(map(_word, cells.values)), cells.counts
    order = sorted(range(len(words)), key=lambda at: (-counts[at], words[at]))
    values = [words[at] for at in order[: MOST - 1]]
    gaps = bool((cells.codes < 0).any())
    values = tuple(dict.fromkeys([*values, *([GAP] if gaps else [])]))
    return [(_codes(cells, values), Column(name, name, "category", values, gaps))]


def _word(value: Any) -> str:
    """A category as text, whole numbers without a point."""
    if isinstance(value, (float, np.floating)) and value == int(value):
        return str(int(value))
    return str(value)


def _codes(cells: Cells, values: Sequence[str]) -> np.ndarray:
    """Places of a column's cells among the values [N] float64; -1 where they are not."""
    place = {value: float(at) for at, value in enumerate(values)}
    each = np.array([place.get(_word(value), -1.0) for value in cells.values])
    return cells.taken(each, place.get(GAP, -1.0))


# --- where the inputs stand ---------------------------------------------------------------------------------------
class Layout(NamedTuple):
    """Where the inputs of a schema stand: numbers, then marks of gaps, then a block for each category.

    Attributes:
        numbers: [Fn] columns of numbers.
        gaps: [Fg] which of these have a mark of gaps.
        codes: [Fc] columns of codes.
        first: [Fc] of every column of codes, the first of its values among all V.
        column: [V] which column of codes a value is of.
        position: [V] of each value among the one-hot inputs.
        pooled: [V] that of its column's rare values.
        hot: number of one-hot inputs.
    """

    numbers: np.ndarray
    gaps: np.ndarray
    codes: np.ndarray
    first: np.ndarray
    column: np.ndarray
    position: np.ndarray
    pooled: np.ndarray
    hot: int

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many one-hot inputs each column of codes has, [Fc]."""
        ends = np.append(self.first, len(self.position))
        return tuple(int(many + (many > 2)) for many in np.diff(ends))

    @property
    def inputs(self) -> int:
        """F of a network."""
        return len(self.numbers) + len(self.gaps) + self.hot


def layout(schema: Sequence[Column]) -> Layout:
    """Where the inputs of a schema stand; a column of more than two categories has a place for its rare ones."""
    plain = [at for at, column in enumerate(schema) if not column.categorical]
    gaps = [place for place, at in enumerate(plain) if schema[at].gaps]
    codes = [at for at, column in enumerate(schema) if column.categorical]
    first, owner, position, pooled, hot = [], [], [], [], 0
    for number, at in enumerate(codes):
        many = len(schema[at].values)
        first.append(len(position))
        owner += [number] * many
        position += range(hot, hot + many)
        pooled += [hot + many if many > 2 else -1] * many
        hot += many + (many > 2)
    integers = lambda values: np.array(values, np.int32)
    return Layout(
        integers(plain),
        integers(gaps),
        integers(codes),
        integers(first),
        integers(owner),
        integers(position),
        integers(pooled),
        hot,
    )


def apart(x: np.ndarray, where: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Rows [N F] as numbers [N Fn] and as codes among all values [N Fc] int32; V stands for none."""
    codes = x[:, where.codes]
    return x[:, where.numbers], np.where(
        codes < 0, len(where.position), codes + where.first
    ).astype(np.int32)
