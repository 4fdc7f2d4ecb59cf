"""How do results, networks and tasks look in a notebook? A line of words, and a table."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

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
