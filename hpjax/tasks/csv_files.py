"""Tables from CSV files: dialect, header, blank rows and quotes told here, numbers read by pandas."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hpjax.archives import read_whole
from hpjax.tasks.base import Task, TaskError, TaskOptions
from hpjax.tasks.gap_spellings import IN_FILES, SPELLED
from hpjax.tasks.table_checks import is_number, task_of

DELIMITERS = ",;\t|"
CELL = 2**24  # letters of a cell; longer ones are a quote that never ends


class Sheet(NamedTuple):
    """A CSV file's rows, without those that are blank."""

    delimiter: str
    quote: str | None  # None where no cell is quoted
    header: list[str]
    body: str  # the rows below it, stripped of blanks around cells
    lines: list[int]  # where each of them ends in the file


def read_csv(path: Path, target: str | None, options: TaskOptions) -> Task:
    """A CSV file, gzipped or not, with or without a header."""
    import pandas

    try:
        text = read_whole(path).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise TaskError(f"{path} is not UTF-8 ({fault.reason}); save it as UTF-8") from None
    sheet = _sheet(path, text)
    # pandas 3 reads every digit anyway
    exact: Any = {"float_precision": "round_trip"} if pandas.__version__ < "3" else {}
    if not sheet.lines:
        raise TaskError(f"{path}: no rows below the header")
    try:
        frame = pandas.read_csv(
            io.StringIO(sheet.body),
            sep=sheet.delimiter,
            quotechar='"',
            quoting=csv.QUOTE_NONE if sheet.quote is None else csv.QUOTE_MINIMAL,
            header=None,
            names=sheet.header,
            index_col=False,
            na_values=SPELLED,
            keep_default_na=False,
            skip_blank_lines=False,
            low_memory=False,
            on_bad_lines="error",
            **exact,
        )
    except (pandas.errors.ParserError, ValueError, OverflowError) as fault:
        raise TaskError(f"{path}: {' '.join(str(fault).split())[:200]}") from None
    if len(frame) != len(sheet.lines):
        raise TaskError(
            f"{path}: {len(sheet.lines)} rows stand in the file, {len(frame)} were read; quote cells that hold the delimiter"
        )

    def cell_at(row: int, column: int) -> tuple[int, str]:
        dialect = _dialect(sheet.delimiter, '"')
        for number, (_, cells) in enumerate(_rows(sheet.body, dialect, path)):
            if number == row:
                return sheet.lines[row], cells[column]
        raise IndexError(row)

    return task_of(path, frame, cell_at, target, options)


def _sheet(path: Path, text: str) -> Sheet:
    """The rows of a CSV file: its dialect told from its beginning, blank rows left out, rows of another length refused."""
    if not text[:4096].strip() and not text.strip():
        raise TaskError(f"{path}: the file is empty; write a header and rows")
    if "\0" in text:
        raise TaskError(f"{path}: holds zero bytes; is it really a CSV file?")
    if "\n" not in text:  # lines may end as they did on old machines
        text = text.replace("\r", "\n")
    delimiter, quote = _sniffed(text)
    quote = quote if quote in text else None
    rows = (
        _split(text, delimiter) if quote is None else _rows(text, _dialect(delimiter, quote), path)
    )
    lines, header, below, kept = [], [], [], io.StringIO()
    writer = csv.writer(kept, delimiter=delimiter, lineterminator="\n")
    for line, cells in rows:
        if not header:
            header = [cell.strip() for cell in cells]
            if _is_header(header, text, delimiter, quote, path):
                continue
            cells, header = header, [str(i + 1) for i in range(len(header))]
        if len(cells) != len(header):
            raise TaskError(
                f"{path}: row {line} has {len(cells)} fields, the header {len(header)}; mend that row"
            )
        lines.append(line)
        if quote is None:
            below.append(delimiter.join(cells) if isinstance(cells, list) else str(cells))
        else:
            writer.writerow([cell.strip(" \t") for cell in cells])
    if not header:
        raise TaskError(f"{path}: the file is empty; write a header and rows")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise TaskError(f"{path}: column {twice!r} stands twice in the header; rename one")
    body = "\n".join(below) + "\n" if quote is None else kept.getvalue()
    return Sheet(delimiter, quote, header, body, lines)


class Cells:
    """A row of a file without quotes: its text, and how many cells it has; split only where it must be."""

    def __init__(self, text: str, delimiter: str):
        self.text, self.delimiter = text, delimiter

    def __len__(self) -> int:
        return self.text.count(self.delimiter) + 1

    def __iter__(self) -> Iterator[str]:
        return iter(self.text.split(self.delimiter))

    def __str__(self) -> str:
        if " " not in self.text and (self.delimiter == "\t" or "\t" not in self.text):
            return self.text
        return self.delimiter.join(cell.strip(" \t") for cell in self)


def _split(text: str, delimiter: str) -> Iterator[tuple[int, Any]]:
    """(line, cells) of every row that is not blank, of a file without quotes."""
    blank = f" \t\r{delimiter}"
    for number, line in enumerate(_lines(text), 1):
        line = line.rstrip("\r\n")
        if line.strip(blank):
            yield number, Cells(line, delimiter)


def _rows(text: str, dialect: type[csv.Dialect], path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank, of a file with quotes; the line is where the row ends."""
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


def _dialect(separator: str, quote: str) -> type[csv.Dialect]:
    class Found(csv.excel):
        delimiter = separator
        quotechar = quote
        skipinitialspace = True

    return Found


def _sniffed(text: str) -> tuple[str, str]:
    """Delimiter and quote of a CSV file, by its first lines; an apostrophe quotes only where every cell that begins with one ends with one."""
    first = text.split("\n", 1)[0]
    counts = {delimiter: first.count(delimiter) for delimiter in DELIMITERS}
    common = max(counts, key=lambda delimiter: counts[delimiter])
    try:
        sniffed = csv.Sniffer().sniff(text[:4096], DELIMITERS)
        delimiter, quote = sniffed.delimiter, sniffed.quotechar or '"'
    except csv.Error:
        delimiter, quote = (common if counts[common] else ","), '"'
    return delimiter, quote if quote == '"' or ('"' not in text and "\n'" in text) else '"'


def _lines(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        yield text[at:end]
        at = end


def _is_header(header: list[str], text: str, delimiter: str, quote: str | None, path: Path) -> bool:
    """Whether the first row names the columns: it has no number, or a text that its column does not have again.

    A row of data has a number wherever its column has one; a text in it (a class, say) comes again below. So `1990,1991,price` above
    numbers is a header, and `5.1,3.5,setosa` above more flowers is not; a gap says nothing. Columns numbered 0, 1, 2 or 1, 2, 3 are a header
    where a column below is not of whole numbers.
    """
    rows = (
        _split(text, delimiter) if quote is None else _rows(text, _dialect(delimiter, quote), path)
    )
    next(rows)
    below = [[cell.strip() for cell in cells] for _, cells in itertools.islice(rows, 20)]
    if not any(map(is_number, header)) or not below:
        return True
    if header in [[str(i + at) for i in range(len(header))] for at in (0, 1)]:
        cells = [cell for row in below for cell in row[:-1]]
        return any(is_number(cell) and float(cell) != int(float(cell)) for cell in cells)
    texts = [
        at for at, cell in enumerate(header) if not is_number(cell) and cell.lower() not in IN_FILES
    ]
    for at in texts:
        if at < len(below[0]) and is_number(below[0][at]):
            return True
    again = set(texts)
    for row in itertools.chain(below, ([cell.strip() for cell in cells] for _, cells in rows)):
        again -= {at for at in again if at < len(row) and row[at] == header[at]}
        if not again:
            return False
    return bool(texts)
