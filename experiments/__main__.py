"""Lists every claim with its figure, command, time and last verdict."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import experiments


def main() -> None:
    """Prints the table of claims."""
    made = Table("claim", "command", "preset: seconds", "last verdict")
    for found in pkgutil.iter_modules(experiments.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"experiments.{found.name}")
        folder = Path("results") / found.name
        ran, verdict = "not run", "-"
        if (folder / "run.json").exists() and (folder / "criteria.json").exists():
            run = json.loads((folder / "run.json").read_text())
            criteria = json.loads((folder / "criteria.json").read_text())
            ran = f"{run['preset']}: {run['seconds']:g}"
            verdict = f"{sum(c['pass'] for c in criteria)} of {len(criteria)} criteria hold"
        made.add_row(
            (module.__doc__ or "").splitlines()[0],
            f"python -m experiments.{found.name}",
            ran,
            verdict,
        )
    wide = sys.stdout.isatty()
    Console(width=None if wide else 160).print(made)


if __name__ == "__main__":
    main()
