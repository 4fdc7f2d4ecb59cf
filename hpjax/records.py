"""Runs on disk, with provenance: config, environment, ledger, curves, checkpoints.

A run folder holds
    run.json         what was asked for, resolved; written once
    environment.json versions, device, cores, git commit, of every process that worked on it
    ledger.jsonl     append-only: the plan, then asks and reports in the order they happened, then why it stopped
    curves/*.npz     learning curves, one file per report
    times.jsonl      seconds; the only thing that differs between two equal runs
    checkpoint.npz   live networks: a cache, made again from the ledger when missing
    lock             held while a process works on the run

This file is long because every byte that a run leaves on disk is written and read here.
"""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 2


class RunError(Exception):
    """Something about a run that the user can put right; the message is one line."""


# --- JSON with NaN and infinity as null, arrays as lists --------------------------------------------------------------
def encode(record: Any) -> str:
    """One line of canonical JSON; a number that is not finite becomes null."""
    return json.dumps(_plain(record), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return _plain(value.astype(float).tolist())
        return value.tolist()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def numbers(values: list, missing: float) -> np.ndarray:
    """A recorded list as float64, its nulls as `missing`."""
    return np.array([missing if v is None else v for v in values], np.float64)


# --- where it ran -----------------------------------------------------------------------------------------------------
def environment() -> dict:
    """Versions, machine and git commit of this process. Loads nothing that is not loaded already."""
    from importlib import metadata

    versions: dict[str, str | None] = {}
    for name in ("hpjax", "jax", "jaxlib", "optax", "numpy", "scipy", "scikit-learn"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    revision, dirty = commit(Path(__file__))
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "versions": versions,
        "commit": revision,
        "dirty": dirty,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }
    jax = sys.modules.get("jax")
    if jax is not None:
        devices = jax.devices()
        found |= {
            "device": devices[0].device_kind,
            "platform": devices[0].platform,
            "devices": len(devices),
        }
    return found


def commit(file: Path) -> tuple[str | None, bool | None]:
    """The git commit that a source file belongs to and whether its tree is dirty; None, None outside a checkout."""

    def ask(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", file.name)
        return ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None, None


# --- the run folder ---------------------------------------------------------------------------------------------------
class Ledger:
    """The memory of a study: an append-only list of records, in memory or in a run folder.

    Opened on a folder that has records, it replays them first: `put` then checks that the same thing happens again, and
    `recorded` hands back what was reported.
    """

    def __init__(self, folder: str | Path | None = None, resume: bool = False):
        self.folder = Path(folder) if folder is not None else None
        self.records: list[dict] = []
        self.curves: dict[int, np.ndarray] = {}
        self.times: list[dict] = []  # where there is no folder
        self.notes: list[str] = []
        self._at = 0
        self._file: Any = None
        self._lock: Any = None
        if self.folder is not None:
            self._open(self.folder, resume)

    def _open(self, folder: Path, resume: bool) -> None:
        path = folder / "ledger.jsonl"
        if resume and not path.exists():
            raise RunError(f"no run in {self.folder}: ledger.jsonl is missing")
        if not resume and path.exists():
            raise RunError(
                f"{self.folder} holds a run already; `hpjax resume {self.folder}` goes on with it"
            )
        try:
            (folder / "curves").mkdir(parents=True, exist_ok=True)
            self._lock = open(folder / "lock", "w")  # noqa: SIM115  (held as long as the process lives)
        except OSError as fault:
            raise RunError(
                f"cannot write to {self.folder}: {fault.strerror}; choose another --out"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RunError(
                f"another process is at work on {self.folder}; wait for it, or stop it first"
            ) from None
        if resume:
            kept, dropped = read_lines(path)
            self.records = kept
            if dropped:
                os.truncate(path, path.stat().st_size - len(dropped))
                self.notes.append(
                    f"dropped a torn last line of {len(dropped)} bytes from {path.name}"
                )
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115

    @property
    def replaying(self) -> bool:
        """Whether recorded steps are still to be gone through again."""
        return self._at < len(self.records)

    def put(self, record: dict) -> None:
        """Appends a record; while replaying, requires that it is the recorded one."""
        if self.replaying:
            known = self.records[self._at]
            again = json.loads(encode(record))
            if known != again:
                keys = [k for k in sorted(set(known) | set(again)) if known.get(k) != again.get(k)]
                raise RunError(
                    f"record {self._at} ({known.get('kind')}) did not come out again: {', '.join(keys)} differ; "
                    "was the run made by another version, or on another machine?"
                )
            self._at += 1
            return
        line = encode(record)
        if self._file is not None:
            self._append(self._file, (line + "\n").encode())
        self.records.append(json.loads(line))
        self._at += 1

    def upcoming(self, kind: str) -> dict | None:
        """While replaying, the next record if it is of this kind."""
        if self.replaying and self.records[self._at]["kind"] == kind:
            return self.records[self._at]
        return None

    def recorded(self, kind: str) -> dict | None:
        """While replaying, the next record if it is of this kind, and goes past it."""
        found = self.upcoming(kind)
        self._at += found is not None
        return found

    def _append(self, file, data: bytes) -> None:
        start = os.fstat(file.fileno()).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        except OSError as fault:
            os.ftruncate(file.fileno(), start)
            raise RunError(
                f"cannot write to {self.folder}: {fault.strerror}; the ledger is whole up to here, make room and "
                f"`hpjax resume {self.folder}`"
            ) from None

    def put_curves(self, number: int, curves: np.ndarray) -> None:
        """Keeps the learning curves of report `number`: [n rows 4] of (epoch, train, loss, error)."""
        if self.folder is None:
            self.curves[number] = curves
        else:
            self.save(self.folder / "curves" / f"{number:06d}.npz", curves=curves)

    def get_curves(self, number: int) -> np.ndarray | None:
        """The learning curves of report `number`, if they are there."""
        return self.curves.get(number) if self.folder is None else load_curves(self.folder, number)

    def save(self, path: Path, **arrays: np.ndarray) -> None:
        """Writes arrays as NPZ, whole or not at all."""
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.replace(part, path)
        except OSError as fault:
            part.unlink(missing_ok=True)
            raise RunError(
                f"cannot write {path.name} to {self.folder}: {fault.strerror}; the ledger is whole, make room and "
                f"`hpjax resume {self.folder}`"
            ) from None

    def time(self, **record) -> None:
        """Notes seconds, beside the ledger and never in it."""
        if self.folder is None:
            self.times.append(record)
        else:
            try:
                with open(self.folder / "times.jsonl", "a") as file:
                    file.write(encode({"at": time.time(), **record}) + "\n")
            except OSError as fault:
                raise RunError(
                    f"cannot write to {self.folder}: {fault.strerror}; make room and resume"
                ) from None

    def close(self) -> None:
        """Lets go of the run folder."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None


def load_curves(folder: Path, number: int) -> np.ndarray | None:
    """The learning curves of a run folder's report `number`, [n rows 4]; None where they are missing."""
    path = folder / "curves" / f"{number:06d}.npz"
    return np.load(path, allow_pickle=False)["curves"] if path.exists() else None


def read_lines(path: Path) -> tuple[list[dict], bytes]:
    """The whole records of a ledger, and the bytes of a torn last line."""
    data = path.read_bytes()
    records, at = [], 0
    while at < len(data):
        end = data.find(b"\n", at)
        if end < 0:
            return records, data[at:]
        try:
            records.append(json.loads(data[at:end]))
        except ValueError:
            if end + 1 == len(data):
                return records, data[at:]
            raise RunError(
                f"{path}: line {len(records) + 1} is not JSON; restore it from a copy"
            ) from None
        at = end + 1
    return records, b""


def write_json(path: Path, value: Any) -> None:
    """Writes pretty JSON, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(_plain(value), indent=1, sort_keys=True) + "\n")
        os.replace(part, path)
    except OSError as fault:
        raise RunError(f"cannot write {path}: {fault.strerror}") from None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable]) -> None:
    """Writes a table of text and numbers."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as fault:
        raise RunError(f"cannot write {path}: {fault.strerror}") from None


def read_json(path: Path) -> Any:
    """Reads JSON, or says which file is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"no run in {path.parent}: {path.name} is missing") from None
    except ValueError as fault:
        raise RunError(f"{path} is not JSON: {fault}") from None


# --- what the ledger says ---------------------------------------------------------------------------------------------
def reports(records: list[dict]) -> Iterator[tuple[int, dict]]:
    """The reports of a ledger, numbered as their curves are."""
    yield from enumerate(record for record in records if record["kind"] == "report")


def incumbent(records: list[dict], fidelity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best value so far over cost. The trials of a report count one after another, in its order, as if trained so.

    Returns:
        Epochs spent over all trials after each trial of each report [n]; the best value by then at any fidelity [n], and among
        trials at full fidelity [n] (infinite before the first).
    """
    age: dict[int, int] = {}
    costs, losses, fully = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, bool)]
    for _, record in reports(records):
        reached = record.get("reached", record["epochs"])
        before = [age.get(source, 0) if source >= 0 else 0 for source in record["source"]]
        costs.append(record.get("cost", np.maximum(0, np.subtract(reached, before))))
        losses.append(numbers(record["loss"], np.inf))
        fully.append(np.array(record["epochs"]) >= fidelity)
        age |= dict(zip(record["trial"], reached))
    loss, full = np.concatenate(losses), np.concatenate(fully)
    best = np.minimum.accumulate(loss)
    return (
        np.cumsum(np.concatenate(costs)),
        best,
        np.minimum.accumulate(np.where(full, loss, np.inf)),
    )


def summarise(records: list[dict], dims: int, fidelity: int) -> dict[str, np.ndarray]:
    """Every trial's last report.

    Args:
        records: of one study.
        dims: D.
        fidelity: epochs of a network that lives to the end.

    Returns:
        Columns by trial number: unit [n D], told (what was minimised), loss, error, train, kept, epochs, diverged [n] (epoch, 0 if not) and status:
        OK, PRUNED, DIVERGED, FAILED, RUNNING or NEW.
    """
    count = sum(len(record["unit"]) for record in records if record["kind"] == "ask")
    unit = np.full((count, dims), np.nan)
    table = {name: np.full(count, np.nan) for name in ("told", "loss", "error", "train", "kept")}
    asked, epochs, diverged = (np.zeros(count, np.int64) for _ in range(3))
    finished, failed = np.zeros(count, bool), np.zeros(count, bool)
    for record in records:
        if record["kind"] == "ask":
            rows = slice(record["first"], record["first"] + len(record["unit"]))
            unit[rows] = np.reshape(record["unit"], (len(record["unit"]), dims))
        elif record["kind"] == "report":
            trial = np.array(record["trial"], int)
            table["told"][trial] = numbers(record["loss"], np.inf)
            table["loss"][trial] = numbers(record.get("validation_loss", record["loss"]), np.inf)
            for name in ("error", "train", "kept"):
                if name in record:
                    table[name][trial] = numbers(record[name], np.nan)
            asked[trial] = record["epochs"]
            epochs[trial] = record.get("reached", record["epochs"])
            diverged[trial] = record.get("diverged", 0)
            failed[trial] = record.get("failed", False)
            finished[np.array(record["finished"], int)] = True
            if "unit" in record:
                unit[trial] = np.reshape(record["unit"], (len(record["unit"]), dims))
    status = np.full(count, "NEW", dtype="<U8")
    status[asked > 0] = "RUNNING"
    status[finished & (asked < fidelity)] = "PRUNED"
    status[finished & (asked >= fidelity)] = "OK"
    status[(asked > 0) & ~np.isfinite(table["told"])] = "DIVERGED"
    status[failed] = "FAILED"
    return {"unit": unit, **table, "epochs": epochs, "diverged": diverged, "status": status}


def lineage(records: list[dict], trial: int) -> list[tuple[int, int, np.ndarray]]:
    """Whose network a trial's became, from its first epoch on, by following the sources of weights backwards.

    Returns:
        (member, until epoch, point [D]) of every stretch, in the order of epochs.
    """
    proposed: dict[int, list] = {}
    orders = []
    for record in records:
        if record["kind"] == "ask":
            proposed |= dict(enumerate(record["unit"], record["first"]))
        elif record["kind"] == "report":
            if "unit" in record:
                proposed |= dict(zip(record["trial"], record["unit"]))
            orders.append((record, {t: proposed[t] for t in record["trial"]}))
    stretches, member = [], trial
    for record, points in reversed(orders):
        if member in points:
            row = record["trial"].index(member)
            stretches.append((member, record["epochs"][row], np.array(points[member], float)))
            member = record["source"][row]
            if member < 0:
                break
    return stretches[::-1]


def read_times(folder: Path) -> list[dict]:
    """What times.jsonl holds; a torn last line is left out."""
    path = folder / "times.jsonl"
    return read_lines(path)[0] if path.exists() else []


def seconds(records: list[dict], times: list[dict], count: int) -> np.ndarray:
    """Seconds of the devices that each trial took [count]; NaN where no process wrote them down."""
    each = {entry["report"]: entry["each"] for entry in times if "each" in entry}
    total = np.full(count, np.nan)
    for number, record in reports(records):
        if number in each:
            trial = np.array(record["trial"], int)
            total[trial] = np.nan_to_num(total[trial]) + np.asarray(each[number])
    return total
