"""What a command says: tables and lines for people, or, with --json, one object for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas

UNBOUNDED = 10_000  # letters of a line where the reader is no terminal


class Piped(Console):
    """A console that leaves a reader that has gone to whoever called it."""

    def on_broken_pipe(self) -> None:
        """rich would end the process with code 1."""
        raise BrokenPipeError


class Output:
    """Where a command writes.

    Args:
        machine: one JSON value at the end, and nothing else on standard output.
    """

    def __init__(self, machine: bool = False):
        terminal = sys.stdout.isatty()
        self.machine = machine
        self.console = Piped(soft_wrap=not terminal, width=None if terminal else UNBOUNDED)
        self.answer: Any = {}

    @property
    def width(self) -> int:
        """Letters of a line."""
        return self.console.width

    def show(self, what: str | Table) -> None:
        """For people: now."""
        if self.machine:
            return
        if isinstance(what, str):  # paths and names of others are no markup
            self.console.print(what, markup=False, emoji=False, highlight=False, soft_wrap=True)
        else:
            self.console.print(what)

    def note(self, **numbers: Any) -> None:
        """For programs: fields of the object at the end."""
        self.answer |= numbers

    def end(self) -> None:
        """Prints the object, where one was asked for."""
        if self.machine:
            print(json.dumps(plain(self.answer), allow_nan=False))
        sys.stdout.flush()


def plain(value: Any) -> Any:
    """What JSON can say: a frame as a list of rows; numbers that are not finite as null; what it has no word for as text."""
    if hasattr(value, "to_dict"):
        named = value.reset_index() if value.index.name else value
        return [plain(row) for row in named.to_dict("records")]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def cell(value: Any) -> str:
    """A value in a table."""
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table_of(
    frame: pandas.DataFrame,
    caption: str,
    title: str,
    justify: Literal["left", "right"] = "right",
) -> Table:
    """A frame as a table; its index is the first column where that has a name."""
    rows = frame.reset_index() if frame.index.name else frame
    printed = Table(title=escape(title), caption=escape(caption) or None, caption_justify="left")
    for column in rows.columns:
        printed.add_column(escape(str(column)), justify=justify)
    for _, row in rows.astype(object).iterrows():
        printed.add_row(*(escape(cell(value)) for value in row))
    return printed


def fitted(
    frame: pandas.DataFrame, width: int, sooner: Sequence[str]
) -> tuple[pandas.DataFrame, str]:
    """The columns of a frame that a line of this width holds, and what became of the others.

    A column that says the same in each of several rows is said once, below. Of the rest the columns `sooner` go first, and then the last ones; the first stays.
    """
    notes = []
    if len(frame) > 1:
        told = {column: {repr(value) for value in frame[column]} for column in frame.columns[1:]}
        same = [c for c, values in told.items() if len(values) == 1 and c not in sooner]
        if same:
            notes = ["all: " + ", ".join(f"{c} {cell(frame[c].iloc[0])}" for c in same)]
            frame = frame.drop(columns=same)
    index = max(len(str(frame.index.name)), *(len(str(name)) for name in frame.index), 1)
    needs = {
        column: 3 + max([len(column), *(len(cell(value)) for value in frame[column])])
        for column in frame.columns
    }
    gone: list[str] = []
    order = [c for c in sooner if c in needs] + [c for c in reversed(needs) if c not in sooner]
    while sum(needs.values()) + index + 4 > width and len(needs) > 1:
        gone.append(order.pop(0))
        del needs[gone[-1]]
    if gone:
        notes.append(f"no room for: {', '.join(gone)}; --json has them")
    return frame[list(needs)], "\n".join(notes)
