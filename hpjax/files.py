"""Files of a run, written whole or not at all, and never through a link or over a file that is not ours."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

# it can only be read by being changed: here, before there are threads
UMASK = os.umask(0)
os.umask(UMASK)


class RunError(Exception):
    """Something about a run that the user can put right; the message is one line."""


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No collection of cycles meanwhile: of a hundred thousand records without one, it takes longer than reading them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


# --- JSON with NaN and infinity as null, arrays as lists --------------------------------------------------------------
PLAIN = {int, str, bool}


def encode(record: Any) -> str:
    """One line of canonical JSON; a number that is not finite becomes null."""
    return json.dumps(plain(record), sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(value: Any) -> Any:
    """Arrays as lists, tuples as lists, numbers as Python's, and those that are not finite as None."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return plain(value.astype(float).tolist())
        return value.tolist()
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.to_builtins(value, enc_hook=plain))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return list(value) if {*map(type, value)} <= PLAIN else [plain(v) for v in value]
    return value


def numbers(values: list, missing: float) -> np.ndarray:
    """A recorded list as float64, its nulls as `missing`."""
    return np.array([missing if v is None else v for v in values], np.float64)


# --- reading and writing ----------------------------------------------------------------------------------------------
def reason(fault: Exception) -> str:
    """What went wrong, in one line."""
    text = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    return " ".join(text.split())


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Writes a file whole or not at all; a link of that name is replaced, not followed.

    Raises:
        RunError: it cannot be written.
    """
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
        with open(number, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(number)
            os.fchmod(number, 0o666 & ~UMASK)
        os.replace(part, path)
    except OSError as fault:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {reason(fault)}") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], stored: bool = False) -> None:
    """Writes arrays as NPZ, whole or not at all, without pickles.

    Args:
        path: of the archive.
        arrays: by name.
        stored: whether they lie in it uncompressed.

    Raises:
        RunError: it cannot be written.
    """
    file = io.BytesIO()
    save = np.savez if stored else np.savez_compressed
    save(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    write_bytes(path, file.getbuffer())


def open_own(path: Path, mode: str) -> IO[bytes]:
    """Opens a regular file of ours for "ab" or "r+b", made where it is missing; never follows a link, never empties it.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    number = os.open(path, flags | (os.O_APPEND if mode == "ab" else 0), 0o666)
    return open(number, mode, buffering=0)


def write_json(path: Path, value: Any) -> None:
    """Writes pretty JSON, whole or not at all."""
    write_bytes(path, (json.dumps(plain(value), indent=1, sort_keys=True) + "\n").encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable]) -> None:
    """Writes a table of text and numbers, whole or not at all."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_bytes(path, file.getvalue().encode())


def read_bytes(path: Path) -> bytes:
    """A file of a run.

    Raises:
        RunError: it is missing or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"{path} is no file; name a run folder that hpjax made")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"no run in {path.parent}: {path.name} is missing") from None
    except (OSError, ValueError) as fault:
        raise RunError(f"cannot read {str(path)[:300]}: {reason(fault)}") from None


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        RunError: it is missing, or is no JSON; names the file.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as fault:
        raise RunError(f"{path} is not JSON: {reason(fault)}") from None
