"""Archives and compressed files, read without more memory than the file deserves, and without pickles."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

# what a broken archive may raise
FAULTS = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)
LEAST, RATIO = 2**28, 100  # a file may unpack to 256 MiB, or to a hundred times its size


def read_arrays(path: Path, stored: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an NPZ.

    Args:
        path: of the archive.
        stored: whether its members must lie in it uncompressed, as ours do.

    Raises:
        One of FAULTS: a broken archive, one with pickles, or one that claims more than it holds.
    """
    size = path.stat().st_size
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
        most = size if stored else max(LEAST, RATIO * size)
        if claimed > most:
            raise ValueError(f"unpacks to {claimed} bytes, from a file of {size}")
        for member in archive.infolist():
            _header(archive, member)
        file.seek(0)
        with np.load(file, allow_pickle=False) as saved:
            return dict(saved)


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuses a member whose header asks for more or less than its bytes."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        old = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects")
        wanted = dtype.itemsize
        for length in shape:
            wanted *= int(length)
        if file.tell() + wanted != member.file_size:
            raise ValueError(f"{member.filename} holds other than its header says")


def read_whole(path: Path) -> bytes:
    """A file's bytes, unpacked where its name ends in .gz.

    Raises:
        One of FAULTS: it cannot be read, is broken, or unpacks to more than a hundred times its size.
    """
    if path.suffix != ".gz":
        return path.read_bytes()
    size = path.stat().st_size
    most = max(LEAST, RATIO * size)
    with gzip.open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"unpacks to more than {most} bytes, from a file of {size}")
    return data
