"""Lists every claim with its figure, command, time and last verdict; brings rows of the index of claims up to date.

python -m experiments
python -m experiments --index NAME ...   rows of results/README.md, from criteria.json and run.json in results/NAME
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import experiments


def row(name: str, folder: Path, criterion: dict) -> str:
    """A criterion's row in the index; of the run that made its part, where an experiment was run part by part."""
    run, part = json.loads((folder / "run.json").read_text()), criterion.get("part")
    made = run.get("parts", {}).get(part, run)
    if made["only"] not in (None, part):
        sys.exit(
            f"experiments: {name} was last run with --only {made['only']}, and run.json knows nothing of {part or 'the rest'}; write its rows by hand"
        )
    command = f"python -m experiments.{name}"
    command += f" --only {made['only']}" if made["only"] else ""
    command += f" --preset {made['preset']}" if made["preset"] != "small" else ""
    for flag, value in made["changed"].items():
        values = value if isinstance(value, list) else [value]
        command += f" --{flag.replace('_', '-')} {' '.join(map(str, values))}"
    return (
        f"| {criterion['name']} | {_shown(name, folder, criterion)} | `{command}` | {criterion['threshold']} | {criterion['value']:.4g} | "
        f"{'holds' if criterion['pass'] else 'missed'} | {made['seconds']:g} ({made['preset']}) | {made['environment']['commit'][:7]} |"
    )


def _shown(name: str, folder: Path, criterion: dict) -> str:
    """A link to the figure of a criterion; to the numbers of its part, where that has none; else to the experiment's first."""
    figures, part = sorted(folder.glob("*.png")), criterion.get("part")
    named = criterion.get("figure", part)
    figure = next((f for f in figures if f.stem == named), None)
    if figure is None and part is not None:
        table = f"{part}.csv" if (folder / f"{part}.csv").exists() else f"{part}.json"
        return f"[numbers]({name}/{table})"
    figure = figure or figures[0]
    return f"[{figure.stem}]({name}/{figure.name})"


def index(names: list[str], readme: Path = Path("results/README.md")) -> None:
    """Replaces the rows of these experiments in the index of claims; new ones go to its end."""
    lines = readme.read_text().rstrip("\n").split("\n")
    for name in names:
        folder = readme.parent / name
        if not (folder / "criteria.json").exists():
            sys.exit(
                f"experiments: {folder}/criteria.json is missing; run `python -m experiments.{name}` first"
            )
        criteria = json.loads((folder / "criteria.json").read_text())
        rows = [row(name, folder, one) for one in criteria]
        mine = [
            i
            for i, line in enumerate(lines)
            if re.search(rf"`python -m experiments\.{name}[ `]", line)
        ]
        at = mine[0] if mine else len(lines)
        lines = [line for i, line in enumerate(lines) if i not in mine]
        lines[at:at] = rows
    readme.write_text("\n".join(lines) + "\n")


def last_run(folder: Path) -> tuple[str, str]:
    """What was run, with its seconds, and how many criteria hold."""
    if not ((folder / "run.json").exists() and (folder / "criteria.json").exists()):
        return "not run", "-"
    run = json.loads((folder / "run.json").read_text())
    criteria = json.loads((folder / "criteria.json").read_text())
    lines = [f"{run['preset']}: {run['seconds']:g}"]
    parts = run.get("parts", {})
    lines += [f"{part}, {one['preset']}: {one['seconds']:g}" for part, one in parts.items()]
    if run["only"] and parts:  # no run of the whole
        lines = lines[1:]
    holding = sum(criterion["pass"] for criterion in criteria)
    return "\n".join(lines), f"{holding} of {len(criteria)} criteria hold"


def main() -> None:
    """Prints the table of claims."""
    if sys.argv[1:2] == ["--index"]:
        index(sys.argv[2:])
        return
    made = Table("claim", "figures", "command", "preset: seconds", "last verdict")
    for found in pkgutil.iter_modules(experiments.__path__):
        if found.name.startswith("_") or found.ispkg:
            continue
        module = importlib.import_module(f"experiments.{found.name}")
        folder = Path("results") / found.name
        figures = sorted(path.name for path in folder.glob("*.png"))[:4]
        claim, command = (
            (module.__doc__ or "").splitlines()[0],
            f"python -m experiments.{found.name}",
        )
        made.add_row(claim, "\n".join(figures), command, *last_run(folder))
    wide = sys.stdout.isatty()
    Console(width=None if wide else 160).print(made)


if __name__ == "__main__":
    main()
