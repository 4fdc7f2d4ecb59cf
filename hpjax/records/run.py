"""A run folder, read: settings, records, learning curves, and what of it is missing or damaged."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hpjax import settings as forms
from hpjax.files import RunError
from hpjax.records import curves, ledger


class Folder(NamedTuple):
    """A run folder, read."""

    settings: forms.Settings
    records: list[dict]
    curves: list[np.ndarray | None]
    notes: list[str]  # what is missing or damaged


def open_folder(folder: Path) -> Folder:
    """Everything that a run folder says; of an older schema as if it were of this one.

    Raises:
        RunError: no run there, or a file that is not what was written.
    """
    path = folder / ledger.SETTINGS
    settings = forms.read_run(path)
    where, notes = folder / ledger.LEDGER, []
    records, torn, _ = ledger.read_ledger(where) if where.exists() else ([], b"", 0)
    if not where.exists():
        notes.append(f"{where.name} is missing: nothing was recorded yet, or it was lost")
    if torn:
        notes.append(f"left out a torn last line of {len(torn)} bytes of {where.name}")
    if records and records[0].get("schema") != settings.schema:
        raise RunError(
            f"{path}: schema is {settings.schema}, that of the ledger {records[0].get('schema')}; restore the file from a copy"
        )
    if settings.schema == 2:
        records = [_renamed(record, settings.minimised) for record in records]
        count = sum(record["kind"] == "report" for record in records)
        found = [_old_curves(folder, number) for number in range(count)]
        lost = (
            sum(curve is None for curve in found)
            if settings.networks and settings.networks.task
            else 0
        )
    else:
        if records:
            forms.unchanged(settings, records[0], path)
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
