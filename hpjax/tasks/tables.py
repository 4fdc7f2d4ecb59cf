"""Tables with named columns, from CSV and Parquet: read by pandas, refused with file, row and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax.archives import read_whole
from hpjax.tasks.base import Task, TaskError

if TYPE_CHECKING:
    import pandas

MISSING = ("", "?", "na", "n/a", "nan", "null", "none")  # how files spell what is not there
SPELLED = sorted({form for word in MISSING for form in (word, word.upper(), word.title())})
DELIMITERS = ",;\t|"
CELL = 2**24  # letters of a cell; longer ones are a quote that never ends
Place = Callable[[int, int], tuple[int, str]]


def task_of(
    path: Path,
    frame: pandas.DataFrame,
    place: Place,
    target: str | None,
    options: dict,
) -> Task:
    """A task from a table: numbers in the features, anything in the target's column.

    Args:
        path: of the file, for messages.
        frame: the table.
        place: (row, column) of the table -> the line of the file, and the cell as it is written there.
        target: column to predict, the last where None.
        options: of `Task.of`.

    Raises:
        TaskError: names the file, the row or the column.
    """
    names = [str(name) for name in frame.columns]
    if not names:
        raise TaskError(f"{path}: no columns; a target and at least one feature are needed")
    target = names[-1] if target is None else target
    if target not in names:
        raise TaskError(f"{path}: no column {target!r:.80}; it has {_some(names)}")
    if len(names) < 2:
        raise TaskError(
            f"{path}: only column {names[0]!r:.80}; a target and at least one feature are needed"
        )
    if not len(frame):
        raise TaskError(f"{path}: no rows below the header")
    features = [name for name in names if name != target]
    x = np.empty((len(frame), len(features)))
    for at, name in enumerate(features):
        x[:, at] = _numbers(frame[name])
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, at = bad[0]
        line, cell = place(int(row), names.index(features[at]))
        raise TaskError(f"{path}: row {line}, column {features[at]!r:.80}: {_fault(cell)}")
    column = frame[target]
    gaps = np.flatnonzero(column.isna().to_numpy())
    if len(gaps):
        line, _ = place(int(gaps[0]), names.index(target))
        raise TaskError(
            f"{path}: row {line} has no target in column {target!r:.80}; fill or drop the row"
        )
    return Task.of(x, _target(column), path.stem, features=tuple(features), **options)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _fault(cell: str) -> str:
    """What is wrong with a feature's cell."""
    try:
        float(cell)
    except ValueError:
        remedy = "fill it, or drop the row" if cell.strip().lower() in MISSING else "encode or drop the column"  # fmt: skip
        return f"{cell[:60]!r:.80} is no number; {remedy}"
    return f"{cell!r:.80} is not finite; fill or drop the row"


def _numbers(column: pandas.Series) -> np.ndarray:
    """A column as numbers [N], NaN where it holds something else."""
    import pandas

    if column.dtype.kind in "mM":
        return np.full(len(column), np.nan)
    if column.dtype.kind not in "fiub":
        column = pandas.to_numeric(column, errors="coerce")
    return column.to_numpy(np.float64, na_value=np.nan)


def _target(column: pandas.Series) -> np.ndarray:
    if column.dtype.kind in "fiub":
        return column.to_numpy()
    if column.dtype.kind in "mM":
        return column.to_numpy()
    return np.array([str(value).strip() for value in column])


# --- CSV --------------------------------------------------------------------------------------------------------------
def read_csv(path: Path, target: str | None, options: dict) -> Task:
    """A CSV file, gzipped or not, with or without a header."""
    import pandas

    text = read_whole(path).decode("utf-8-sig")
    if "\n" not in text:  # lines may end as they did on old machines
        text = text.replace("\r", "\n")
    if not text[:4096].strip() and not text.strip():
        raise TaskError(f"{path}: the file is empty; write a header and rows")
    if "\0" in text:
        raise TaskError(f"{path}: holds zero bytes; is it really a CSV file?")
    dialect = _dialect(text)
    first = _rows(text, dialect, 3, path)
    header = [cell.strip() for cell in first[0]]
    numbered = [[str(i + at) for i in range(len(header))] for at in (0, 1)]
    named = header in numbered or _is_header(header, first[1:], text, dialect, path)
    if named and len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise TaskError(f"{path}: column {twice!r:.80} stands twice in the header; rename one")
    # pandas 3 reads every digit anyway
    exact: Any = {"float_precision": "round_trip"} if pandas.__version__ < "3" else {}
    try:
        frame = pandas.read_csv(
            io.StringIO(text), sep=dialect.delimiter, quotechar=dialect.quotechar or '"', header=None,
            names=header if named else numbered[1], skiprows=_until(text, dialect, path) if named else 0,
            index_col=False, na_values=SPELLED, keep_default_na=False, skipinitialspace=True, low_memory=False,
            on_bad_lines="error", **exact,
        )  # fmt: skip
    except pandas.errors.EmptyDataError:
        raise TaskError(f"{path}: no rows below the header") from None
    except (pandas.errors.ParserError, ValueError, OverflowError) as fault:
        _refuse_ragged(path, text, dialect, len(header))
        raise TaskError(f"{path}: {' '.join(str(fault).split())[:200]}") from None
    plain_count = text.count(dialect.delimiter) == (len(frame) + named) * (len(header) - 1)
    if not plain_count:  # delimiters within quotes, blank rows, or rows of another length
        _refuse_ragged(path, text, dialect, len(header))
    blank = frame.isna().all(axis=1)

    def place(row: int, column: int) -> tuple[int, str]:
        rows = list(_numbered(text, dialect, path))[named:]
        line, cells = [entry for entry in rows if not _is_blank(entry[1])][row]
        return line, cells[column]

    return task_of(path, frame[~blank] if blank.any() else frame, place, target, options)


def _is_blank(cells: Sequence[str]) -> bool:
    return all(cell.strip().lower() in MISSING for cell in cells)


def _dialect(text: str) -> type[csv.Dialect]:
    """Delimiter and quotes of a CSV file, by its first lines."""

    class Found(csv.excel):
        pass

    try:
        sniffed = csv.Sniffer().sniff(text[:4096], DELIMITERS)
        Found.delimiter, Found.quotechar = sniffed.delimiter, sniffed.quotechar or '"'
    except csv.Error:
        first = text.split("\n", 1)[0]
        counts = {delimiter: first.count(delimiter) for delimiter in DELIMITERS}
        Found.delimiter = max(counts, key=lambda delimiter: counts[delimiter])
        if not counts[Found.delimiter]:
            Found.delimiter = ","
    Found.skipinitialspace = True
    return Found


def _rows(text: str, dialect: type[csv.Dialect], most: int | None, path: Path) -> list[list[str]]:
    """The first rows that are not blank, as text."""
    found = []
    for _, row in _numbered(text, dialect, path):
        found.append(row)
        if len(found) == most:
            break
    return found


def _numbered(text: str, dialect: type[csv.Dialect], path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank; the line is where the row ends."""
    before = csv.field_size_limit(CELL)
    reader = csv.reader(_lines(text), dialect)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as fault:
        raise TaskError(f"{path}: row {reader.line_num}: {fault}") from None
    finally:
        csv.field_size_limit(before)


def _lines(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        yield text[at:end]
        at = end


def _until(text: str, dialect: type[csv.Dialect], path: Path) -> int:
    """Lines up to and with the header."""
    return next(line for line, _ in _numbered(text, dialect, path))


def _refuse_ragged(path: Path, text: str, dialect: type[csv.Dialect], fields: int) -> None:
    for line, row in _numbered(text, dialect, path):
        if len(row) != fields:
            raise TaskError(
                f"{path}: row {line} has {len(row)} fields, the header {fields}; mend that row"
            )


def is_number(cell: str) -> bool:
    if cell.strip().lower() in (*MISSING, "inf", "-inf", "infinity"):
        return False  # a column may be called so
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_header(
    header: list[str], below: list[list[str]], text: str, dialect: type[csv.Dialect], path: Path
) -> bool:
    """Whether the first row names the columns: it has no number, or a text that its column does not have again.

    A row of data has a number wherever its column has one; a text in it (a class, say) comes again below. So `1990,1991,price` above
    numbers is a header, and `5.1,3.5,setosa` above more flowers is not.
    """
    if not any(map(is_number, header)) or not below:
        return True
    for at, cell in enumerate(header):
        under = below[0][at] if at < len(below[0]) else ""
        if not is_number(cell) and is_number(under):
            return True
    texts = [at for at, cell in enumerate(header) if not is_number(cell)]
    if not texts:
        return False
    again = set(texts)
    for number, (_, row) in enumerate(_numbered(text, dialect, path)):
        if number:
            again -= {at for at in again if at < len(row) and row[at].strip() == header[at]}
        if not again:
            return False
    return len(again) == len(texts)


# --- Parquet ----------------------------------------------------------------------------------------------------------
def read_parquet(path: Path, target: str | None, options: dict) -> Task:
    """A Parquet file."""
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
        raise TaskError(f"{path}: not a Parquet file: {' '.join(str(fault).split())[:200]}") from None  # fmt: skip
    place = lambda row, column: (row + 1, str(frame.iat[row, column]))
    return task_of(path, frame, place, target, options)
