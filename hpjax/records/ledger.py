"""The memory of a study: what was asked and what came back, append-only, in memory or in a run folder.

Every line of ledger.jsonl is canonical JSON with a checksum of itself and of all lines before it, so that an edit, a flipped
bit, a lost or a moved line is seen.
"""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hpjax.files import (
    RunError,
    encode,
    open_own,
    plain,
    read_bytes,
    reason,
    uncollected,
    write_arrays,
    write_bytes,
    write_json,
)
from hpjax.records import curves as curve_files
from hpjax.records import lock

LEDGER, SETTINGS, ENVIRONMENT, TIMES = (
    "ledger.jsonl",
    "run.json",
    "environment.json",
    "times.jsonl",
)
CHECKPOINT = "checkpoint.npz"
OURS = (LEDGER, curve_files.NAME, ENVIRONMENT, TIMES, CHECKPOINT, "figure.png", "figure.svg")
SEAL = b',"crc":"%08x"}\n'
SEALED = len(SEAL % 0)


def sealed(record: dict, before: int) -> tuple[bytes, int]:
    """A record as a line, and the checksum of the ledger up to and with it."""
    body = encode(record).encode()
    crc = zlib.crc32(body, before)
    return body[:-1] + SEAL % crc, crc


@uncollected()
def read_ledger(path: Path) -> tuple[list[dict], bytes, int]:
    """The records of a ledger, the bytes of a torn last line, and the checksum of what is whole.

    Raises:
        RunError: a line that is not what was written; names file and line.
    """
    data = read_bytes(path)
    records: list[dict] = []
    at = crc = 0
    plain_lines = False  # schema 2 had no checksums
    while at < len(data):
        end = data.find(b"\n", at) + 1
        line = data[at:end]
        record = _parsed(line) if end else None
        if record is None:
            if not end:
                return records, data[at:], crc
            raise RunError(f"{path}: line {len(records) + 1} is not JSON; restore it from a copy")
        plain_lines = plain_lines or (not records and record.get("schema") == 2)
        if not plain_lines:
            crc = zlib.crc32(line[:-SEALED] + b"}", crc)
            if line[-SEALED:] != SEAL % crc:
                raise RunError(
                    f"{path}: line {len(records) + 1} is not what was written (its checksum differs); restore the file from a copy"
                )
            del record["crc"]
        records.append(record)
        at = end
    return records, b"", crc


def _parsed(line: bytes) -> dict | None:
    try:
        record = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


class Timing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A line of times.jsonl: the seconds of a report, or those of a process when it ended."""

    at: float  # seconds since 1970
    report: int | None = None
    seconds: float | None = None
    trials: int | None = None
    each: list[float] | None = None  # [n] of the report's trials
    compile_seconds: float | None = None
    run_seconds: float | None = None
    workers: dict[str, float] | None = None  # seconds that each of a cluster trained


@uncollected()
def read_times(folder: Path) -> list[dict]:
    """What times.jsonl holds; lines that are torn or damaged are left out, as nothing depends on them."""
    path = folder / TIMES
    if not path.is_file():
        return []
    entries = []
    for line in read_bytes(path).splitlines():
        try:
            timing = msgspec.to_builtins(msgspec.json.decode(line, type=Timing))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        entries.append({name: value for name, value in timing.items() if value is not None})
    return entries


class Ledger:
    """A study's records, and the files of its run folder.

    Opened on a folder that has records, it replays them first: `put` then checks that the same thing happens again, and
    `recorded` hands back what was reported.

    Args:
        folder: of the run; nothing is written where None.
        resume: go on with the run that is there, instead of beginning one.
        settings: what was asked for, plain, written to run.json before anything else.

    Raises:
        RunError: a folder that holds a run (or holds none, where one is resumed), that holds other people's files under our
            names, that another process works on, or that cannot be written; or a ledger that was changed.
    """

    def __init__(
        self, folder: str | Path | None = None, resume: bool = False, settings: Any = None
    ):
        self.folder = Path(folder) if folder is not None else None
        self.records: list[dict] = []
        self.curves: list[np.ndarray | None] = []  # where there is no folder
        self.times: list[dict] = []  # where there is no folder
        self.notes: list[str] = []
        self._at = self._crc = 0
        self._file: Any = None
        self._lock: Any = None
        self._store: curve_files.CurveFile | None = None
        if self.folder is not None:
            try:
                self._open(self.folder, resume, settings or {})
            except OSError as fault:
                self.close()
                raise RunError(
                    f"cannot write to {self.folder}: {reason(fault)}; choose another --out"
                ) from None
            except BaseException:
                self.close()
                raise

    def _open(self, folder: Path, resume: bool, settings: Any) -> None:
        if resume and not (folder / SETTINGS).is_file():
            raise RunError(f"no run in {folder}: {SETTINGS} is missing")
        if not resume:
            folder.mkdir(parents=True, exist_ok=True)
            refuse_occupied(folder)
        self._lock = lock.locked(folder)
        path = folder / LEDGER
        if not resume:
            refuse_occupied(folder)
            write_json(folder / SETTINGS, settings)
        elif path.exists():
            self.records, torn, self._crc = read_ledger(path)
            if torn:
                os.truncate(path, path.stat().st_size - len(torn))
                self.notes.append(f"dropped a torn last line of {len(torn)} bytes from {path.name}")
        self._file = open_own(path, "ab")

    @property
    def replaying(self) -> bool:
        """Whether recorded steps are still to be gone through again."""
        return self._at < len(self.records)

    @property
    def plan(self) -> dict | None:
        """The recorded plan of a run that is resumed."""
        return self.records[0] if self.records else None

    @property
    def ended(self) -> bool:
        """Whether the study came to its end."""
        return bool(self.records) and self.records[-1]["kind"] == "stop"

    def put_settings(self, settings: Any) -> None:
        """Writes what is asked for from now on to run.json."""
        if self.folder is not None:
            write_json(self.folder / SETTINGS, settings)

    def put(self, record: dict) -> None:
        """Appends a record; while replaying, requires that it is the recorded one."""
        if self.replaying:
            self.same(self.records[self._at], plain(record))
            self._at += 1
            return
        line, self._crc = sealed(record, self._crc)
        if self._file is not None:
            self._append(line)
        self.records.append(msgspec.json.decode(line[:-SEALED] + b"}"))
        self._at += 1

    def same(self, known: dict, again: dict, past: int = 0) -> None:
        """Requires that a step that is gone through again is the recorded one, `past` records ago.

        Raises:
            RunError: it is another; names what differs.
        """
        if known == again:
            return
        again = plain(again)
        if known == again:
            return
        keys = [k for k in sorted(set(known) | set(again)) if known.get(k) != again.get(k)]
        raise RunError(
            f"record {self._at - past} ({known.get('kind')}) did not come out again: {', '.join(keys)} differ; "
            "was the run made by another version, or on another machine?"
        )

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

    def reopened(self, record: dict | None) -> None:
        """Takes back the end of a study, and adds a record in its place where there is one.

        The file is replaced whole: a kill leaves the study as it was or as it is to be.
        """
        kept = self.records[:-1] if self.ended else self.records
        lines, crc = [], 0
        for entry in [*kept, *([record] if record else [])]:
            line, crc = sealed(entry, crc)
            lines.append(line)
        if self.folder is not None:
            write_bytes(self.folder / LEDGER, *lines)
            self._file.close()
            self._file = open_own(self.folder / LEDGER, "ab")
        self.records, self._crc = [*kept, *([plain(record)] if record else [])], crc

    def _append(self, data: bytes) -> None:
        start = os.fstat(self._file.fileno()).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError as fault:
            os.ftruncate(self._file.fileno(), start)
            raise self._full(fault) from None

    def _full(self, fault: OSError) -> RunError:
        return RunError(
            f"cannot write to {self.folder}: {reason(fault)}; the ledger is whole up to here, make room and "
            f"`hpjax resume {self.folder}`"
        )

    def put_curves(self, curves: np.ndarray) -> int:
        """Keeps the learning curves of the report that is put next: [n rows 4+M].

        Returns:
            Their checksum, for the report.
        """
        data, crc = curve_files.packed(curves)
        if self.folder is None:
            self.curves.append(np.frombuffer(data, "<f4").reshape(curves.shape))
            return crc
        try:
            if self._store is None:
                self._store = curve_files.CurveFile(self.folder / curve_files.NAME, self.records)
            self._store.append(data)
        except OSError as fault:
            raise self._full(fault) from None
        return crc

    def all_curves(self) -> list[np.ndarray | None]:
        """The learning curves of every report, as far as they are there."""
        if self.folder is None:
            return self.curves
        return curve_files.load(self.folder / curve_files.NAME, self.records)[0]

    def save(self, path: Path, **arrays: np.ndarray) -> None:
        """Writes arrays as NPZ, whole or not at all."""
        write_arrays(path, arrays, stored=True)

    def time(self, **record: Any) -> None:
        """Notes seconds, beside the ledger and never in it."""
        if self.folder is None:
            self.times.append(record)
            return
        try:
            with open_own(self.folder / TIMES, "r+b") as file:
                end = file.seek(0, os.SEEK_END)
                torn = end and os.pread(file.fileno(), 1, end - 1) != b"\n"
                line = encode({"at": time.time(), **record}) + "\n"
                file.write((("\n" if torn else "") + line).encode())
        except OSError as fault:
            raise self._full(fault) from None

    def close(self) -> None:
        """Lets go of the run folder."""
        for file in (self._file, self._store, self._lock):
            if file is not None:
                file.close()
        self._file = self._store = self._lock = None


def refuse_occupied(folder: Path) -> None:
    """Refuses a folder that holds a run, or files of other people under our names.

    Raises:
        RunError: in one line, with the remedy.
    """
    if os.path.lexists(folder / SETTINGS):
        raise RunError(
            f"{folder} holds a run already; go on with it (`hpjax resume {folder}`; minimize(..., resume=True)), or choose another --out"
        )
    for name in OURS:
        path = folder / name
        empty = (
            name == LEDGER and path.is_file() and not path.is_symlink() and not path.stat().st_size
        )
        if os.path.lexists(path) and not empty:
            raise RunError(
                f"{folder} holds {name}, but no run; choose another --out, or move the file away"
            )
