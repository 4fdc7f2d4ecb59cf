"""Data sets from files: CSV, NPZ, IDX, ARFF, Parquet. Every fault names the file and the row or field."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hpjax.archives import FAULTS, read_arrays, read_whole
from hpjax.defaults import TEST_SEED, TEST_SHARE
from hpjax.tasks import arff, csv_files, parquet_files
from hpjax.tasks.base import Task, TaskError, TaskOptions

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_RANK = 8  # dimensions of an IDX array; NumPy stops at 64, and pictures at 4


def read(
    path: str | Path,
    target: str | None = None,
    test: float = TEST_SHARE,
    seed: int = TEST_SEED,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    values: tuple = (),
) -> Task:
    """A task from a file, by its ending.

    CSV and ARFF and Parquet: one row an example; `target` names the column to predict, the last one by default. NPZ (no
    pickles): arrays x and y, and x_test and y_test where there are. IDX(.gz): the images' file; the labels' file stands
    beside it with `labels` and `idx1` for `images` and `idx3` in its name.

    Args:
        path: the file.
        target: column to predict.
        test: share held out, where the file has no test set.
        seed: of the hold-out.
        kind: "classes" or "numbers"; told from the targets where None.
        columns, values: what columns are, and all classes, as for `Task.of`.

    Raises:
        TaskError: one line that names the file, the row or field, and the remedy.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except (OSError, ValueError) as fault:
        raise TaskError(f"no file {str(path)[:100]}...: {fault!s:.100}") from None
    if not there:
        raise TaskError(
            f"no file {path}; give a path, or one of the names that `hpjax tasks` lists"
        )
    name = path.name.removesuffix(".gz")
    readers = {
        ".csv": csv_files.read_csv,
        ".tsv": csv_files.read_csv,
        ".npz": _npz,
        ".arff": arff.read_arff,
        ".parquet": parquet_files.read_parquet,
    }
    ending = Path(name).suffix.lower()
    options = TaskOptions(test, seed, kind, columns, values)
    try:
        if ending in readers:
            return readers[ending](path, target, options)
        if "idx" in name:
            if target is not None:
                raise TaskError(
                    f"{path}: the target of an IDX file is its labels' file; leave the target column {target!r:.80} out"
                )
            return _idx_pair(path, options._replace(kind=kind or "classes"))
    except TaskError:
        raise
    except FAULTS as fault:
        raise TaskError(f"cannot read {path}: {' '.join(str(fault).split())[:200]}") from None
    raise TaskError(
        f"{path}: unknown ending {ending!r:.80}; use csv, tsv, npz, arff, parquet or idx(.gz)"
    )


def _npz(path: Path, target: str | None, options: TaskOptions) -> Task:
    if target is not None:
        raise TaskError(
            f"{path}: an NPZ's target is its array y; leave the target column {target!r:.80} out"
        )
    try:
        arrays = read_arrays(path)
    except FAULTS as fault:
        raise TaskError(f"{path}: not a plain NPZ: {' '.join(str(fault).split())[:200]}") from None
    if "x" not in arrays or "y" not in arrays:
        raise TaskError(f"{path}: needs arrays x and y, has {', '.join(arrays) or 'none'}")
    x, y = arrays["x"], arrays["y"]
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise TaskError(f"{path}: has only one of x_test and y_test; give both or neither")
    for name in ("y", "y_test"):
        if name in arrays and arrays[name].ndim == 0:
            raise TaskError(f"{path}: {name} is a single value; give one for every row")
    if "x_test" not in arrays:
        return Task.of(_rows(path, "x", x), y, path.stem, **options._asdict())
    x_test, y_test = arrays["x_test"], arrays["y_test"]
    if x_test.shape[1:] != x.shape[1:]:
        raise TaskError(
            f"{path}: x has rows of {x.shape[1:]}, x_test of {x_test.shape[1:]}; make them alike"
        )
    text = [array.dtype.kind in "OUS" for array in (y, y_test)]
    if text[0] != text[1] or y.shape[1:] != y_test.shape[1:]:
        raise TaskError(
            f"{path}: y is {y.dtype} {y.shape}, y_test {y_test.dtype} {y_test.shape}; make them alike"
        )
    for name, rows, targets in (("", x, y), ("_test", x_test, y_test)):
        if len(rows) != len(targets):
            raise TaskError(
                f"{path}: x{name} has {len(rows)} rows, y{name} {len(targets)}; give as many of each"
            )
    together = np.concatenate([_rows(path, "x", x), _rows(path, "x_test", x_test)])
    targets = np.concatenate([y, y_test])
    test = np.arange(len(x), len(together))
    whole = options._replace(test=0)._asdict()
    return Task.of(together, targets, path.stem, **whole).with_test(test)


def _rows(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "fiub" or x.ndim < 2 or not x.size:
        raise TaskError(f"{path}: {name} must be a table of numbers [N F], got {x.dtype} {x.shape}")
    return x.reshape(len(x), -1)


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file, gzipped or not.

    Raises:
        TaskError: not an IDX file, or cut short.
    """
    path = Path(path)
    try:
        data = read_whole(path)
    except FAULTS as fault:
        raise TaskError(f"cannot read {path}: {' '.join(str(fault).split())[:200]}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES:
        raise TaskError(f"{path}: not an IDX file (it must begin with two zero bytes and a type)")
    rank, kind = data[3], np.dtype(IDX_TYPES[data[2]])
    if not 1 <= rank <= MOST_RANK:
        raise TaskError(f"{path}: an array of {rank} dimensions; 1 to {MOST_RANK} are read")
    if len(data) < 4 + 4 * rank:
        raise TaskError(f"{path}: cut short in its header; fetch it again")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    wanted = math.prod(shape) * kind.itemsize
    if len(data) - 4 - 4 * rank != wanted:
        raise TaskError(
            f"{path}: holds {len(data) - 4 - 4 * rank} bytes of data, its header says {wanted}; fetch it again"
        )
    return np.frombuffer(data, kind, offset=4 + 4 * rank).reshape(shape)


def _idx_pair(path: Path, options: TaskOptions) -> Task:
    labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if labels == path or not labels.exists():
        raise TaskError(
            f"{path}: its labels {labels.name} are missing beside it; name the images' file"
        )
    x, y = read_idx(path), read_idx(labels)
    if len(x) != len(y):
        raise TaskError(
            f"{path}: {len(x)} images but {len(y)} labels in {labels.name}; they belong to different sets"
        )
    if y.ndim != 1 or x.ndim < 2 or not x.size:
        raise TaskError(
            f"{path}: pictures [N ...] and labels [N] are needed, got {x.shape} and {y.shape}"
        )
    scale = 255.0 if x.dtype == np.dtype(">u1") else 1.0
    return Task.of(
        x.reshape(len(x), -1) / scale,
        y if y.dtype.kind == "f" else y.astype(np.int64),
        path.name.split("-")[0],
        **options._asdict(),
    )
