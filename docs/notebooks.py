"""Notebooks of the pages: `python docs/notebooks.py` writes examples/*.ipynb; a test holds both together, and runs them.

Prose becomes cells of text, snippets cells of code, commands cells of bash; what a snippet prints at its end is shown as notebooks show it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {  # notebook -> page
    "first_hour": "first_hour.md",
    "backpropagation": "backpropagation.md",
    "comparing": "guides/comparing.md",
    "gradients": "guides/gradients.md",
    "own_networks": "guides/own_networks.md",
    "tables": "guides/tables.md",
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^print\((?P<what>(?:[^(),]|\([^()]*\))+)\)(?P<comment>  #.*)?$")


def notebook(page: str) -> str:
    """A page as a notebook without outputs, in nbformat 4.5."""
    text = (ROOT / "docs" / page).read_text()
    cells, at = [], 0
    for block in BLOCK.finditer(text):
        cells += _prose(text[at : block.start()], page)
        kind, code = block.groups()
        at = block.end()
        if kind == "python":
            cells.append(("code", _shown(code)))
        elif kind == "":
            cells.append(("code", f"%%bash\n{code.rstrip()}"))
        elif kind == "toml":
            cells.append(("code", f"%%writefile space.toml\n{code.rstrip()}"))
        else:
            cells += _prose(block.group(), page)
    cells += _prose(text[at:], page)
    made = [
        {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
        | ({"execution_count": None, "outputs": []} if kind == "code" else {})
        for number, (kind, source) in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _prose(text: str, page: str) -> list[tuple[str, str]]:
    """Text as a cell, its links from where notebooks are."""
    if not text.strip():
        return []
    folder = (ROOT / "docs" / page).parent

    def one(match: re.Match) -> str:
        where, _, anchor = match.group(2).partition("#")
        if where.startswith("http") or not where:
            return match.group()
        path = (folder / where).resolve().relative_to(ROOT)
        if "generated" in path.parts:  # pages that only the site has
            return match.group(1).lstrip("!").strip("[]") if match.group(1)[0] != "!" else ""
        return f"{match.group(1)}(../{path}{'#' + anchor if anchor else ''})"

    return [("markdown", re.sub(r"(!?\[[^\]]*\])\(([^)]+)\)", one, text.strip()))]


def _shown(code: str) -> str:
    """Code whose last line shows instead of printing, where it prints one thing."""
    lines = code.rstrip().splitlines()
    match = PRINTED.match(lines[-1])
    if match:
        lines[-1] = match["what"] + (match["comment"] or "")
    return "\n".join(lines)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / "examples" / f"{name}.ipynb").write_text(notebook(page))
