"""One HTML file of a run or a comparison: its numbers, and the page that draws them."""

from __future__ import annotations

import functools
import html
import json
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from hpjax.comparison import Comparison
from hpjax.files import write_bytes
from hpjax.outcome import Outcome
from hpjax.report.comparison_page import comparison_page
from hpjax.report.study_page import study_page

SCRIPTS = ("drawing.js", "study.js", "table.js", "findings.js", "comparison.js", "main.js")


def write_page(result: Outcome | Comparison, path: str | Path, refit: bool = True) -> Path:
    """Writes everything that is known of a study or a comparison as one HTML file that needs nothing else.

    Args:
        result: of `tune`, `minimize`, `compare`, or read by `open_run`, `open_comparison`.
        path: of the file.
        refit: whether a study's best network is trained again, for its confusion matrix and calibration.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    write_bytes(path, page(numbers_of(result, refit)).encode())
    return path


def numbers_of(result: Outcome | Comparison, refit: bool) -> dict[str, Any]:
    """What the page of a study or a comparison draws, as plain numbers."""
    several = isinstance(result, Comparison)
    numbers = comparison_page(result) if several else study_page(result, refit)
    return numbers | {"version": metadata.version("hpjax")}


def page(numbers: dict[str, Any]) -> str:
    """The page that draws these numbers."""
    text = json.dumps(numbers, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    # text of others must not end the element that it stands in
    text = text.replace("<", "\\u003c")
    frame = _file("page.html")
    for mark, content in (
        ("/* style */", _file("page.css")),
        ("/* script */", "\n".join(map(_file, SCRIPTS))),
        ('id="data">null<', f'id="data">{text}<'),
    ):
        before, after = frame.split(mark)
        frame = f"{before}{content}{after}"
    return frame


def not_yet(why: str) -> str:
    """A page in the place of one that cannot be drawn yet; it looks again by itself."""
    return f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>hpjax</title><p>Nothing to show yet: {html.escape(why)}</p>\n'


@functools.cache
def _file(name: str) -> str:
    """One of the files that the page is made of."""
    return (resources.files("hpjax.report") / "page" / name).read_text("utf-8")
