"""Learning curves of a run: one file of float32 numbers, report after report, each with its checksum in the ledger."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpjax.curve_columns import COLUMNS
from hpjax.files import open_own, read_bytes

NAME = "curves.bin"


def packed(curves: np.ndarray) -> tuple[bytes, int]:
    """The bytes of a report's curves [n rows 4+M] and their checksum."""
    data = np.ascontiguousarray(curves, "<f4").tobytes()
    return data, zlib.crc32(data)


def columns(records: list[dict], metrics: Sequence[str] = ()) -> tuple[str, ...]:
    """What the columns of a curve are, by the plan of a ledger; with these metrics where it has no plan yet."""
    return (*COLUMNS, *(records[0].get("metrics", ()) if records else metrics))


def shape(records: list[dict]) -> tuple[int, int]:
    """Rows and columns of every curve, by the plan of a ledger."""
    return (records[0].get("rows", 0) if records else 0), len(columns(records))


def sizes(records: list[dict]) -> list[int]:
    """Bytes [reports] that each report's curves take."""
    rows, width = shape(records)
    return [
        len(record["trial"]) * rows * width * 4 if "curves" in record else 0
        for record in records
        if record["kind"] == "report"
    ]


class CurveFile:
    """The curves of a run folder, appended while it runs."""

    def __init__(self, path: Path, records: list[dict]):
        """Opens the file and cuts off, or leaves as a gap, what does not belong to the records."""
        self.file = open_own(path, "r+b")
        self.size = sum(sizes(records))
        self.file.truncate(self.size)

    def append(self, data: bytes) -> None:
        """Adds a report's curves; they are on the disk when it returns.

        Raises:
            OSError: the disk is full or gone; what was half written is cut off again.
        """
        try:
            view = memoryview(data)
            self.file.seek(self.size)
            while view:
                view = view[self.file.write(view) :]
            os.fsync(self.file.fileno())
        except OSError:
            self.file.truncate(self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        self.file.close()


def load(path: Path, records: list[dict]) -> tuple[list[np.ndarray | None], int]:
    """The curves of every report, each [n rows 4+M]; None where a report has none or they are not what was written.

    Returns:
        One entry per report, and how many are missing or damaged.
    """
    data = read_bytes(path) if path.is_file() else b""
    reports = [record for record in records if record["kind"] == "report"]
    found: list[np.ndarray | None] = []
    at = lost = 0
    for record, size in zip(reports, sizes(records)):
        part = data[at : at + size]
        at += size
        sound = size > 0 and zlib.crc32(part) == record["curves"] and len(part) == size
        shape = (len(record["trial"]), -1, len(columns(records)))
        found.append(np.frombuffer(part, "<f4").reshape(shape) if sound else None)
        lost += size > 0 and not sound
    return found, lost
