"""What an experiment is: parts that compute numbers from named parameters, figures of these numbers, and criteria on them.

    EXPERIMENT = Experiment(
        "toy",
        presets={"smoke": Parameters(seeds=2), "small": Parameters(seeds=20), "paper": Parameters(seeds=100)},
        parts={"toy": run},         # parameters -> numbers, saved as toy.json (arrays in toy.npz)
        draw=draw,                  # (numbers of all parts, sheet) -> figures and tables
        criteria=criteria,          # numbers of all parts -> what the claim stands and falls with
    )

The command line has a flag for every parameter; files, provenance and verdicts are the same for all.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_type_hints

import numpy as np
import tyro

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Preset = Literal["smoke", "small", "paper"]


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags that every experiment has; its parameters come with them."""

    preset: Preset = "small"  # smoke: seconds; small: minutes; paper: as published
    only: str | None = None  # one part of the experiment
    out: Path | None = None  # folder for figures and numbers; runs/NAME where absent
    plot: Path | None = None  # only draw again what this folder holds
    check: bool = False  # exit 1 when the claim does not hold; not for the smoke preset


@dataclasses.dataclass(frozen=True)
class Criterion:
    """Something that has to hold: a value and its bound.

    Attributes:
        name: of what is measured.
        value: measured.
        bound: that it has to keep.
        at_least: whether the bound is from below.
        figure: that shows it, where there are several.
        part: of the experiment that it judges, where these may be run one by one.
    """

    name: str
    value: float
    bound: float
    at_least: bool = True
    figure: str | None = None
    part: str | None = None

    @property
    def holds(self) -> bool:
        return bool(self.value >= self.bound if self.at_least else self.value <= self.bound)

    @property
    def threshold(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"

    def written(self) -> dict[str, Any]:
        """As criteria.json has it."""
        value = {"value": float(self.value), "threshold": self.threshold, "pass": self.holds}
        where = {"figure": self.figure, "part": self.part}
        return {"name": self.name} | value | {n: v for n, v in where.items() if v}


def of_part(part: str, criteria: Iterable[Criterion]) -> list[Criterion]:
    """Criteria, as those of a part."""
    return [dataclasses.replace(criterion, part=part) for criterion in criteria]


class Numbers(dict):
    """The numbers of an experiment's parts, by name; those that were computed."""

    def __init__(self, folder: Path, parts: Iterable[str]):
        self.folder = folder
        super().__init__((part, read(folder, part)) for part in parts if there(folder, part))
        if not self:
            raise ValueError(f"{folder} holds no results; run the experiment before drawing it")

    def __missing__(self, part: str) -> Any:
        raise ValueError(
            f"{self.folder}/{part}.json is missing; run the experiment before drawing it"
        )


class Sheet(NamedTuple):
    """Where figures and tables of an experiment go."""

    folder: Path

    def figure(self, figure: Figure, name: str) -> None:
        """Saves a figure as PNG and SVG, the same bytes from the same numbers, and closes it."""
        from hpjax import plots

        plots.save(figure, self.folder / name)

    def table(self, name: str, header: Iterable[str], rows: Iterable[Iterable]) -> None:
        """Writes a CSV of exactly the plotted points."""
        from hpjax import records

        records.write_csv(self.folder / f"{name}.csv", list(header), rows)

    def json(self, name: str, value: Any) -> None:
        """Writes something for other programs to read."""
        (self.folder / f"{name}.json").write_text(json.dumps(value) + "\n")


class Experiment(NamedTuple):
    """An experiment.

    Attributes:
        name: of its module; its committed results live in results/NAME.
        presets: parameters, a frozen dataclass, under the name of each preset.
        parts: name -> (parameters -> numbers). Numbers are what JSON holds, arrays among them; those that stand at the top keep their
            dtype in NAME.npz.
        draw: (numbers, sheet) -> None; draws from saved numbers only.
        criteria: numbers -> criteria.
        on_request: parts that run only where --only names them.
    """

    name: str
    presets: Mapping[Preset, Any]
    parts: Mapping[str, Callable[[Any], Any]]
    draw: Callable[[Numbers, Sheet], None]
    criteria: Callable[[Numbers], Sequence[Criterion]]
    on_request: Sequence[str] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(field.name for field in dataclasses.fields(self.presets["small"]))


# --- files ------------------------------------------------------------------------------------------------------------
def short(values: Any) -> Any:
    """Numbers to five significant digits, for small files; None where they are not finite. Arrays of any shape, as lists."""
    if np.ndim(values):
        return [short(value) for value in values]
    return float(f"{values:.5g}") if np.isfinite(values) else None


def plain(value: Any) -> Any:
    """What JSON cannot hold by itself."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else float(value)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes JSON; numbers on one line, without an indent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    separators = None if indent else (",", ":")
    path.write_text(json.dumps(value, indent=indent, separators=separators, default=plain) + "\n")


def write(folder: Path, part: str, numbers: Any) -> None:
    """Saves a part's numbers: PART.json, and PART.npz where arrays stand at the top."""
    top = numbers.items() if isinstance(numbers, Mapping) else ()
    arrays = {name: value for name, value in top if isinstance(value, np.ndarray)}
    if arrays:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / f"{part}.npz", allow_pickle=False, **arrays)
        numbers = {name: value for name, value in top if name not in arrays}
    write_json(folder / f"{part}.json", numbers, indent=None)


def there(folder: Path, part: str) -> bool:
    """Whether a part was computed."""
    return (folder / f"{part}.json").exists()


def read(folder: Path, part: str) -> Any:
    """What `write` saved."""
    numbers = json.loads((folder / f"{part}.json").read_text())
    arrays = folder / f"{part}.npz"
    if arrays.exists():
        with np.load(arrays) as saved:
            numbers |= dict(saved)
    return numbers


# --- the command line -------------------------------------------------------------------------------------------------
def flags_of(experiment: Experiment) -> Any:
    """The flags of an experiment: those of all, and one for each parameter, with the comments behind them for help."""
    form, fields = type(experiment.presets["small"]), []
    for field in dataclasses.fields(Flags):
        fields.append((field.name, get_type_hints(Flags)[field.name], Flags, field.default))
    for name in experiment.parameters:
        fields.append((name, get_type_hints(form)[name] | None, form, None))
    return dataclasses.make_dataclass(
        "Flags",
        [
            (name, Annotated[kind, tyro.conf.arg(help=comment(source, name))], default)
            for name, kind, source, default in fields
        ],
        frozen=True,
    )


def comment(form: type, name: str) -> str:
    """What stands behind a field of a class."""
    found = re.search(rf"^ +{name}: .*?# (.*)$", inspect.getsource(form), re.MULTILINE)
    return found[1] if found else ""


def changed(experiment: Experiment, flags: Any) -> dict[str, Any]:
    """The parameters that were given."""
    given = {name: getattr(flags, name) for name in experiment.parameters}
    return {name: value for name, value in given.items() if value is not None}


def refuse(experiment: Experiment, flags: Any) -> None:
    """Refuses flags that contradict each other.

    Raises:
        ValueError: names the flag, and what may be given.
    """
    parts = tuple(experiment.parts)
    if flags.only is not None and (len(parts) == 1 or flags.only not in parts):
        known = f"none of {', '.join(parts)}" if len(parts) > 1 else "no part: there is one only"
        raise ValueError(f"--only {flags.only!r} is {known}")
    given = changed(experiment, flags)
    for name, value in given.items():
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    others = [*given, *(name for name in ("only", "out") if getattr(flags, name) is not None)]
    if flags.plot is not None and others:
        raise ValueError(f"--plot only draws again what is there; leave --{others[0]} out")


def compute(experiment: Experiment, flags: Any, folder: Path) -> None:
    """Runs the parts that are wanted; saves their numbers, and how they came about, in run.json."""
    from hpjax import records

    given = changed(experiment, flags)
    parameters = dataclasses.replace(experiment.presets[flags.preset], **given)
    started, (_, dirty) = time.perf_counter(), records.commit(Path(__file__))
    whole = [part for part in experiment.parts if part not in experiment.on_request]
    for part in [flags.only] if flags.only else whole:
        write(folder, part, experiment.parts[part](parameters))
    made: dict[str, Any] = {
        "preset": flags.preset,
        "only": flags.only,
        # where the data lie is a matter of this machine
        "changed": {name: value for name, value in given.items() if name != "data"},
        "seconds": round(time.perf_counter() - started, 1),
        # results written meanwhile do not count
        "environment": records.environment() | {"dirty": dirty},
    }
    kept = folder / "run.json"
    before = json.loads(kept.read_text()) if kept.exists() else made
    parts = before.get("parts", {})
    if flags.only:  # what is known of the other parts, and of a whole run, stays
        made = before | {"parts": parts | {flags.only: made}}
    elif parts:
        made |= {"parts": {n: known for n, known in parts.items() if n in experiment.on_request}}
    kept.write_text(json.dumps(made, indent=1, default=str) + "\n")


def preset_of(folder: Path, flags: Any) -> str:
    """The preset that a folder's numbers come from."""
    kept = folder / "run.json"
    if flags.plot is None or not kept.exists():
        return flags.preset
    return str(json.loads(kept.read_text()).get("preset", flags.preset))


def main(experiment: Experiment, arguments: list[str] | None = None) -> None:
    """Runs, draws and judges an experiment. A smoke run is drawn, and not judged.

    Args:
        experiment: which.
        arguments: the command line where None.
    """
    from hpjax import plots, program_cache

    program_cache.switch_off()  # what an experiment times, it compiles
    name = experiment.name
    flags: Any = tyro.cli(
        flags_of(experiment), prog=f"python -m experiments.{name}", args=arguments
    )
    own = f"{name}-smoke" if flags.preset == "smoke" else name
    folder = flags.plot or flags.out or Path("runs") / own
    try:
        refuse(experiment, flags)
        if flags.plot is None:
            compute(experiment, flags, folder)
        numbers = Numbers(folder, experiment.parts)
        with plots.house_style():
            experiment.draw(numbers, Sheet(folder))
        smoke = preset_of(folder, flags) == "smoke"
        if smoke and flags.check:
            raise ValueError(
                "a smoke run is too small to be judged; leave --check out, or use --preset small"
            )
        criteria = [] if smoke else experiment.criteria(numbers)
    except ValueError as fault:
        print(f"experiments.{name}: {fault}", file=sys.stderr)
        sys.exit(2)
    if smoke:
        print(
            f"{folder}: drawn; a smoke run shows that the experiment runs, its criteria are not judged"
        )
        return
    write_json(folder / "criteria.json", [criterion.written() for criterion in criteria])
    for criterion in criteria:
        verdict = "holds" if criterion.holds else "FAILS"
        print(f"{verdict}: {criterion.name} = {criterion.value:.4g} ({criterion.threshold})")
    if flags.check and not all(criterion.holds for criterion in criteria):
        sys.exit(1)
