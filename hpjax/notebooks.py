"""How do results, networks, tasks and running studies look in a notebook? A line of words and a table; a bar."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def shown(about: object, lines: Iterable[str] = (), table: pandas.DataFrame | None = None) -> str:
    """HTML of an object's `repr`, lines of text under it, and a table.

    Example:
        >>> shown("a < b", ["first", "second"])
        '<p><code>a &lt; b</code></p><ul><li>first</li><li>second</li></ul>'
    """
    text = about if isinstance(about, str) else repr(about)
    parts = [f"<p><code>{html.escape(text)}</code></p>"]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    if items:
        parts.append(f"<ul>{items}</ul>")
    if table is not None:
        parts.append(
            table.to_html(float_format=lambda number: f"{number:.4g}", border=0, na_rep="–")
        )
    return "".join(parts)


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this: that IPython is loaded is not enough."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A bar with words beside it, below the cell that runs; gone when the work is done. It is used as `rich.progress.Progress` is.

    Args:
        show: displays an object with `_repr_html_`, and returns a handle that can `update` and show another; IPython's `display` where None.
    """

    def __init__(self, show: Any = None):
        self._show = show
        self._handle: Any = None
        self._now: dict[str, Any] = {}

    def add_task(self, description: str, total: float = 1.0, **words: str) -> int:
        """What there is to do; there is one task."""
        self._now = {"description": description, "total": total, "completed": 0.0} | words
        return 0

    def start(self) -> None:
        """Shows the bar."""
        if self._show is None:
            from IPython.display import display

            self._show = lambda shown: display(shown, display_id=True)
        self._handle = self._show(self)

    def update(self, task: int, refresh: bool = True, **changes: Any) -> None:
        """Changes the bar, or the words beside it."""
        del task, refresh
        self._now |= changes
        if self._handle is not None:
            self._handle.update(self)

    def stop(self) -> None:
        """Takes the bar away."""
        self._now = {}
        if self._handle is not None:
            self._handle.update(self)

    def __repr__(self) -> str:
        return " ".join(map(str, self._words()))

    def _words(self) -> list[Any]:
        return [v for n, v in self._now.items() if v and n not in ("total", "completed")]

    def _repr_html_(self) -> str:
        if not self._now:
            return ""
        words = " &middot; ".join(html.escape(str(word)) for word in self._words())
        bar = f'<progress max="{self._now["total"]}" value="{self._now["completed"]}"></progress>'
        return f"<div>{bar} {words}</div>"
