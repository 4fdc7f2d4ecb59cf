"""What a run was asked for: run.json and compare.json, read field by field, and told apart from what began the ledger."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np

from hpjax.records import curves, ledger
from hpjax.records.files import RunError, encode, read_bytes

SCHEMA = 3
READ = (2, SCHEMA)  # schemas that `show` reads

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    """What ends a study: the first limit that is reached."""

    trials: Count | None = None
    epochs: Count | None = None
    seconds: Seconds | None = None
    rounds: Count | None = None


class StudySettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every run.json says."""

    schema: int
    space: dict[str, Any]
    space_hash: Text
    search: str | list[dict[str, Any]] | None
    start: list[dict[str, Any]]
    scheduler: dict[str, Any]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    levels: Count | dict[str, Count]
    batch: Count | None
    stop: Limits


class FunctionSettings(StudySettings, kw_only=True):
    """run.json of `minimize`."""

    task: None = None
    minimize: Literal["objective", "loss"] = "objective"
    fidelities: bool = False


class Settings(StudySettings, kw_only=True):
    """run.json of `tune`, and of a study within a comparison."""

    task: str | None
    data: str | None
    target: str | None
    kind: Literal["classes", "numbers"] | None = None
    folds: Count
    repeats: Count
    minimize: Literal["loss", "error"]
    score_every: Count
    gradients: Literal["explicit", "autodiff"]
    comparison: bool = False
    model: str | None = None  # the function that builds the networks; None: multilayer perceptrons


class ComparisonSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """compare.json."""

    schema: int
    space: dict[str, Any]
    space_hash: Text
    task: str | None
    data: str | None
    target: str | None
    kind: Literal["classes", "numbers"] | None = None
    folds: Count
    repeats: Count
    minimize: Literal["loss", "error"]
    score_every: Count
    gradients: Literal["explicit", "autodiff"]
    comparison: Literal[True]
    model: str | None = None
    seeds: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=1)]
    stop: dict[str, Any]
    methods: Annotated[list[Text], msgspec.Meta(min_length=1)]
    studies: dict[str, dict[str, Any]] = {}


class _Kind(msgspec.Struct):
    """What tells the files apart before they are read."""

    schema: int
    folds: Any = None


def read_settings(path: Path) -> dict:
    """A run's or a comparison's settings.

    Raises:
        RunError: no such file, no JSON, or a field that is missing, unknown or of another type; names file and field.
    """
    data = read_bytes(path)
    try:
        kind = msgspec.json.decode(data, type=_Kind)
        if kind.schema not in READ:
            raise RunError(
                f"{path}: schema {kind.schema} is not {' or '.join(map(str, READ))}; use the version of hpjax that made it"
            )
        if path.name == "compare.json":
            form = ComparisonSettings
        else:
            form = FunctionSettings if kind.folds is None else Settings
        return msgspec.to_builtins(msgspec.json.decode(data, type=form))
    except msgspec.MsgspecError as fault:
        text = str(fault).replace("$.", "")
        raise RunError(
            f"{path}: {text[:1].lower()}{text[1:]}; restore the file from a copy"
        ) from None
    except (ValueError, RecursionError) as fault:
        raise RunError(f"{path} is not JSON: {fault!s:.200}; restore it from a copy") from None


def settled(settings: dict) -> dict:
    """Settings as they will be read again: with the types that run.json has.

    Raises:
        ValueError: what cannot be written.
    """
    form = FunctionSettings if "folds" not in settings else Settings
    form = ComparisonSettings if "methods" in settings else form
    try:
        return msgspec.to_builtins(msgspec.json.decode(encode(settings), type=form))
    except (msgspec.MsgspecError, TypeError, RecursionError) as fault:
        raise ValueError(f"these settings cannot be written: {fault!s:.200}") from None


def fingerprints(settings: dict) -> dict[str, str]:
    """Eight hexadecimal digits for every field of a run's settings, as the plan keeps them.

    The number of trials is left out: it may be raised later.
    """
    stop = {name: limit for name, limit in settings["stop"].items() if name != "trials"}
    fields = settings | {"stop": stop}
    return {name: hashlib.sha256(encode(v).encode()).hexdigest()[:8] for name, v in fields.items()}


def unchanged(settings: dict, plan: dict, path: Path) -> None:
    """Requires that settings are those that a ledger began with.

    Raises:
        RunError: names the fields that were changed.
    """
    known, now = plan.get("settings"), fingerprints(settings)
    if known is None or known == now:
        return
    # fields that came later hold their defaults in older runs
    fields = [name for name in sorted(known) if known[name] != now.get(name)]
    if not fields:
        return
    raise RunError(
        f"{path}: {', '.join(fields)} changed since the run began; put back what was there"
    )


class Folder(NamedTuple):
    """A run folder, read."""

    settings: dict
    records: list[dict]
    curves: list[np.ndarray | None]
    notes: list[str]  # what is missing or damaged


def open_folder(folder: Path) -> Folder:
    """Everything that a run folder says; of schema 2 as if it were of schema 3.

    Raises:
        RunError: no run there, or a file that is not what was written.
    """
    path = folder / ledger.SETTINGS
    settings = read_settings(path)
    where, notes = folder / ledger.LEDGER, []
    records, torn, _ = ledger.read_ledger(where) if where.exists() else ([], b"", 0)
    if not where.exists():
        notes.append(f"{where.name} is missing: nothing was recorded yet, or it was lost")
    if torn:
        notes.append(f"left out a torn last line of {len(torn)} bytes of {where.name}")
    if records and records[0].get("schema") != settings["schema"]:
        raise RunError(
            f"{path}: schema is {settings['schema']}, that of the ledger {records[0].get('schema')}; restore the file from a copy"
        )
    if settings["schema"] == 2:
        records = [_renamed(record, settings["minimize"]) for record in records]
        count = sum(record["kind"] == "report" for record in records)
        found = [_old_curves(folder, number) for number in range(count)]
        lost = sum(curve is None for curve in found) if settings["task"] else 0
    else:
        if records:
            unchanged(settings, records[0], path)
        found, lost = curves.load(folder / curves.NAME, records)
    if lost:
        notes.append(
            f"the learning curves of {lost} of {len(found)} reports are missing or damaged; tables and figures leave them out"
        )
    return Folder(settings, records, found, notes)


def _renamed(record: dict, minimize: str) -> dict:
    """A record of schema 2, in which `loss` was whatever was minimised, in today's names."""
    if record["kind"] != "report":
        return record
    renamed = {**record, "objective": record["loss"]}
    if minimize == "error":
        renamed["loss"] = renamed.pop("validation_loss", None) or [None] * len(record["trial"])
    return renamed


def _old_curves(folder: Path, number: int) -> np.ndarray | None:
    """A report's curves in a run of schema 2; None where they are missing or broken."""
    path = folder / "curves" / f"{number:06d}.npz"
    try:
        return np.load(path, allow_pickle=False)["curves"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
