"""What every experiment shares: its flags, its folder, its verdict."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import tyro

Preset = Literal["smoke", "small", "paper"]


@dataclasses.dataclass(frozen=True)
class Flags:
    """The same flags for every experiment."""

    # smoke: seconds, to see that it runs; small: minutes; paper: as published
    preset: Preset = "small"
    only: str | None = None  # one part of the experiment
    seeds: int | None = None  # how many; the preset's where absent
    # folder for figures and numbers; runs/NAME where absent: results/NAME changes only when it is named
    out: Path | None = None
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent
    plot: Path | None = None  # only draw again what this folder holds
    # exit 1 when the claim does not hold; not for the smoke preset, which is not judged
    check: bool = False


class Criterion(dict):
    """A numeric criterion: {name, value, threshold, pass}."""

    def __init__(
        self,
        name: str,
        value: float,
        threshold: float,
        at_least: bool = True,
        figure: str | None = None,
    ):
        holds = bool(value >= threshold if at_least else value <= threshold)
        sense = ">=" if at_least else "<="
        super().__init__(
            {
                "name": name,
                "value": float(value),
                "threshold": f"{sense} {threshold:g}",
                "pass": holds,
            }
            | ({"figure": figure} if figure else {})  # where there are several
        )


def write(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes JSON; large tables of numbers on one line, without an indent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    separators = None if indent else (",", ":")
    path.write_text(json.dumps(value, indent=indent, separators=separators, default=float) + "\n")


def short(values: Any) -> Any:
    """Numbers to five significant digits, for small files; None where they are not finite. Arrays of any shape, as lists."""
    import numpy as np

    if np.ndim(values):
        return [short(value) for value in values]
    return float(f"{values:.5g}") if np.isfinite(values) else None


def read(path: Path) -> Any:
    """Reads JSON, or says in one line which file is missing."""
    if not path.exists():
        raise ValueError(f"{path} is missing; run the experiment before drawing it")
    return json.loads(path.read_text())


def write_rows(path: Path, header: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Writes a CSV of exactly the plotted points."""
    from hpjax import records

    records.write_csv(path, list(header), rows)


def refuse_unused(flags: Flags, parts: Sequence[str], uses: Sequence[str]) -> None:
    """Refuses flags that an experiment would ignore.

    Raises:
        ValueError: names the flag, and what may be given.
    """
    if flags.only is not None and flags.only not in parts:
        known = f"none of {', '.join(parts)}" if parts else "a part: this experiment has none"
        raise ValueError(f"--only {flags.only!r} is {known}")
    for name in ("seeds", "data"):
        if getattr(flags, name) is not None and name not in uses:
            raise ValueError(f"--{name} changes nothing in this experiment; leave it out")
    if flags.seeds is not None and flags.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {flags.seeds}")
    given = [name for name in ("only", "seeds", "out", "data") if getattr(flags, name) is not None]
    if flags.plot is not None and given:
        raise ValueError(f"--plot only draws again what is there; leave --{given[0]} out")


def judged_by(folder: Path, flags: Flags) -> str:
    """The preset that a folder's numbers come from."""
    kept = folder / "run.json"
    if flags.plot is None or not kept.exists():
        return flags.preset
    return str(read(kept).get("preset", flags.preset))


def main(
    name: str,
    run: Callable[[Flags, Path], None],
    draw: Callable[[Path], list[dict]],
    arguments: list[str] | None = None,
    *,
    parts: Sequence[str] = (),
    uses: Sequence[str] = (),
) -> None:
    """Runs, draws and judges an experiment. A smoke run is drawn, and not judged.

    Args:
        name: of the experiment; its committed results live in results/NAME.
        run: (flags, folder) -> None; computes, and saves numbers in the folder.
        draw: folder -> criteria; draws from saved numbers only.
        arguments: the command line where None.
        parts: that --only may name.
        uses: which of the flags "seeds" and "data" it heeds; the others are refused.
    """
    from hpjax import records

    flags = tyro.cli(Flags, prog=f"python -m experiments.{name}", args=arguments)
    folder = (
        flags.plot
        or flags.out
        or Path("runs") / (f"{name}-smoke" if flags.preset == "smoke" else name)
    )
    try:
        refuse_unused(flags, parts, uses)
        if flags.plot is None:
            started, (_, dirty) = time.perf_counter(), records.commit(Path(__file__))
            run(flags, folder)
            seconds = round(time.perf_counter() - started, 1)
            # results written meanwhile do not count
            where = records.environment() | {"dirty": dirty}
            said = {
                "preset": flags.preset,
                "only": flags.only,
                "seeds": flags.seeds,
                "seconds": seconds,
                "environment": where,
            }
            if flags.only:  # what is known of the other parts, and of a whole run, stays
                kept = folder / "run.json"
                whole = read(kept) if kept.exists() else said
                said = whole | {"parts": whole.get("parts", {}) | {flags.only: said}}
            write(folder / "run.json", said)
        criteria = draw(folder)
        smoke = judged_by(folder, flags) == "smoke"
        if smoke and flags.check:
            raise ValueError(
                "a smoke run is too small to be judged; leave --check out, or use --preset small"
            )
    except ValueError as fault:
        print(f"experiments.{name}: {fault}", file=sys.stderr)
        sys.exit(2)
    if smoke:
        print(
            f"{folder}: drawn; a smoke run shows that the experiment runs, its criteria are not judged"
        )
        return
    write(folder / "criteria.json", criteria)
    for criterion in criteria:
        verdict = "holds" if criterion["pass"] else "FAILS"
        print(
            f"{verdict}: {criterion['name']} = {criterion['value']:.4g} ({criterion['threshold']})"
        )
    if flags.check and not all(criterion["pass"] for criterion in criteria):
        sys.exit(1)
