"""Tables from ARFF files: dense, with numeric, nominal and text attributes."""

from __future__ import annotations

import re
from pathlib import Path

from hpjax.archives import read_whole
from hpjax.tasks.base import Task, TaskError, TaskOptions
from hpjax.tasks.gap_spellings import IN_FILES
from hpjax.tasks.table_checks import is_number, task_of

TOKEN = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,]*?))\s*(?:,|$)""")


def read_arff(path: Path, target: str | None, options: TaskOptions) -> Task:
    """An ARFF file, gzipped or not: dense, with numeric, nominal and text attributes."""
    import pandas

    attributes: dict[str, list[str] | None] = {}  # name -> classes, None for other attributes
    rows, lines, data = [], [], False
    for number, line in enumerate(read_whole(path).decode("utf-8-sig").split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if not data:
            if line.lower().startswith("@attribute"):
                name, classes = _attribute(path, number, line)
                if name in attributes:
                    raise TaskError(
                        f"{path}: row {number}: attribute {name!r:.80} stands twice; rename one"
                    )
                attributes[name] = classes
            data = line.lower().startswith("@data")
            continue
        if line.startswith("{"):
            raise TaskError(f"{path}: row {number} is sparse ARFF; convert the file to dense")
        rows.append(_cells(path, number, line, attributes))
        lines.append(number)
    if not attributes or not data:
        raise TaskError(f"{path}: not an ARFF file: @attribute lines and @data are needed")
    frame = pandas.DataFrame(rows, columns=list(attributes), dtype=object)
    for name, classes in attributes.items():
        if classes is None or all(is_number(one) for one in classes):
            numbers = pandas.to_numeric(frame[name], errors="coerce")
            if (numbers.isna() == frame[name].isna()).all():
                frame[name] = numbers
    nominal = attributes.get(target if target is not None else list(attributes)[-1]) is not None
    if nominal and options.kind is None:  # the header says that they are classes
        options = options._replace(kind="classes")
    cell_at = lambda row, column: (lines[row], rows[row][column] or "?")
    return task_of(path, frame, cell_at, target, options)


def _attribute(path: Path, number: int, line: str) -> tuple[str, list[str] | None]:
    """The name of an attribute, and its classes if it is nominal."""
    rest = line[len("@attribute") :].strip()
    match = re.match(r"""'((?:[^'\\]|\\.)+)'\s*|"((?:[^"\\]|\\.)+)"\s*|([^\s{]+)\s*""", rest)
    if match is None:
        raise TaskError(
            f"{path}: row {number}: an attribute needs a name and a type, got {line!r:.80}"
        )
    name = next(part for part in match.groups() if part is not None)
    kind = rest[match.end() :].strip()
    if not kind:
        raise TaskError(
            f"{path}: row {number}: attribute {name!r:.80} has no type; write numeric, string or {{a, b}}"
        )
    if not kind.startswith("{"):
        return name, None
    if not kind.endswith("}"):
        raise TaskError(
            f"{path}: row {number}: the classes of {name!r:.80} have no end; close them with }}"
        )
    return name, [cell for cell, _ in _tokens(kind[1:-1])]


def _tokens(line: str) -> list[tuple[str, bool]]:
    """The cells of a line, and whether each was quoted."""
    found, at = [], 0
    while at <= len(line):
        match = TOKEN.match(line, at)
        if match is None:
            raise ValueError("a quote without its end")
        single, double, bare = match.groups()
        quoted = bare is None
        cell = (
            bare
            if bare is not None
            else re.sub(r"\\(.)", r"\1", single if single is not None else double)
        )
        found.append((cell, quoted))
        if match.end() == len(line) and not match.group(0).endswith(","):
            break
        at = match.end()
        if at == len(line):
            found.append(("", False))
            break
    return found


def _cells(
    path: Path, number: int, line: str, attributes: dict[str, list[str] | None]
) -> list[str | None]:
    try:
        tokens = _tokens(line)
    except ValueError as fault:
        raise TaskError(f"{path}: row {number}: {fault}; mend that row") from None
    if len(tokens) != len(attributes):
        raise TaskError(
            f"{path}: row {number} has {len(tokens)} fields, the header {len(attributes)}; mend that row"
        )
    cells: list[str | None] = []
    for (cell, quoted), (name, classes) in zip(tokens, attributes.items()):
        if not quoted and cell.lower() in IN_FILES and (classes is None or cell not in classes):
            cells.append(None)
        elif classes is not None and cell not in classes:
            raise TaskError(
                f"{path}: row {number}, column {name!r:.80}: {cell!r:.60} is none of the attribute's classes; add it to the header, or mend the row"
            )
        else:
            cells.append(cell)
    return cells
