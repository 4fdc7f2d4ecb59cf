"""Data sets from files: CSV, NPZ, IDX, ARFF, Parquet. Every fault names the file and the row or field."""

from __future__ import annotations

import csv
import gzip
import math
import struct
import zipfile
from pathlib import Path

import numpy as np

from hpjax.tasks.base import Task, TaskError

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


MISSING = (
    "",
    "?",
    "na",
    "n/a",
    "nan",
    "null",
    "none",
)  # how files spell a target that is not there


def read(
    path: str | Path,
    target: str | None = None,
    test: float = 0.2,
    seed: int = 42,
    kind: str | None = None,
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

    Raises:
        TaskError: one line that names the file, the row or field, and the remedy.
    """
    path = Path(path)
    if not path.exists():
        raise TaskError(
            f"no file {path}; give a path, or one of the names that `hpjax tasks` lists"
        )
    name = path.name.removesuffix(".gz")
    readers = {".csv": _csv, ".npz": _npz, ".arff": _arff, ".parquet": _parquet}
    ending = Path(name).suffix.lower()
    try:
        if ending in readers:
            return readers[ending](path, target, dict(test=test, seed=seed, kind=kind))
        if "idx" in name:
            return _idx_pair(path, dict(test=test, seed=seed, kind=kind or "classes"))
    except (OSError, EOFError, UnicodeDecodeError) as fault:
        raise TaskError(f"cannot read {path}: {' '.join(str(fault).split())}") from None
    raise TaskError(f"{path}: unknown ending {ending!r}; use csv, npz, arff, parquet or idx(.gz)")


def _table(
    path: Path,
    header: list[str],
    rows: list[list[str]],
    lines: list[int],
    target: str | None,
    options: dict,
) -> Task:
    """A task from text cells: numbers in the features, anything in the target column."""
    target = header[-1] if target is None else target
    if target not in header:
        raise TaskError(f"{path}: no column {target!r}; it has {', '.join(header)}")
    if len(header) < 2:
        raise TaskError(
            f"{path}: only column {header[0]!r}; a target and at least one feature are needed"
        )
    if not rows:
        raise TaskError(f"{path}: no rows below the header")
    at = header.index(target)
    x = np.empty((len(rows), len(header) - 1))
    y = []
    for number, (row, line) in enumerate(zip(rows, lines)):
        if len(row) != len(header):
            raise TaskError(
                f"{path}: row {line} has {len(row)} fields, the header {len(header)}; mend that row"
            )
        cells = row[:at] + row[at + 1 :]
        for column, cell in enumerate(cells):
            field = (header[:at] + header[at + 1 :])[column]
            try:
                x[number, column] = float(cell)
            except ValueError:
                raise TaskError(
                    f"{path}: row {line}, column {field!r}: {cell!r} is no number; encode or drop the column"
                ) from None
            if not math.isfinite(x[number, column]):
                raise TaskError(
                    f"{path}: row {line}, column {field!r}: {cell!r} is not finite; fill or drop the row"
                )
        if row[at].strip().lower() in MISSING:
            raise TaskError(
                f"{path}: row {line} has no target in column {target!r}; fill or drop the row"
            )
        y.append(row[at].strip())
    return Task.of(x, _typed(y), path.stem, **options)


def _typed(values: list[str]) -> np.ndarray:
    """Text as whole numbers or numbers where all of it is; text otherwise."""
    for kind in (np.int64, np.float64):
        try:
            return np.array([kind(v) for v in values])
        except (ValueError, OverflowError):
            continue
    return np.array(values)


def _csv(path: Path, target: str | None, options: dict) -> Task:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
        text = file.read()
    if not text.strip():
        raise TaskError(f"{path}: the file is empty; write a header and rows")
    try:
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    reader = csv.reader(text.splitlines(), dialect)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as fault:
        raise TaskError(f"{path}: row {reader.line_num}: {fault}") from None
    header = rows[0]
    numbered = [[str(i + first) for i in range(len(header))] for first in (0, 1)]
    if header not in numbered and any(_is_number(cell) for cell in header):  # no header
        return _table(path, numbered[1], rows, lines, target, options)
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise TaskError(f"{path}: column {twice!r} stands twice in the header; rename one")
    return _table(path, header, rows[1:], lines[1:], target, options)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _npz(path: Path, target: str | None, options: dict) -> Task:
    if target is not None:
        raise TaskError(
            f"{path}: an NPZ's target is its array y; leave the target column {target!r} out"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {
                name: file[name] for name in ("x", "y", "x_test", "y_test") if name in file.files
            }
            names = file.files
    except (ValueError, zipfile.BadZipFile) as fault:
        raise TaskError(f"{path}: not a plain NPZ: {' '.join(str(fault).split())}") from None
    if "x" not in arrays or "y" not in arrays:
        raise TaskError(f"{path}: needs arrays x and y, has {', '.join(names) or 'none'}")
    x, y = arrays["x"], arrays["y"]
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise TaskError(f"{path}: has only one of x_test and y_test; give both or neither")
    if "x_test" not in arrays:
        return Task.of(_rows(path, x), y, path.stem, **options)
    if arrays["x_test"].shape[1:] != x.shape[1:]:
        raise TaskError(
            f"{path}: x has rows of {x.shape[1:]}, x_test of {arrays['x_test'].shape[1:]}; make them alike"
        )
    together = np.concatenate([_rows(path, x), _rows(path, arrays["x_test"])])
    targets = np.concatenate([y, arrays["y_test"]])
    test = np.arange(len(x), len(together))
    return Task.of(together, targets, path.stem, **options | {"test": 0}).with_test(test)


def _rows(path: Path, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "fiub" or x.ndim < 2 or not x.size:
        raise TaskError(f"{path}: x must be a table of numbers [N F], got {x.dtype} {x.shape}")
    return x.reshape(len(x), -1)


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file, gzipped or not.

    Raises:
        TaskError: not an IDX file, or cut short.
    """
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError) as fault:
        raise TaskError(f"cannot read {path}: {' '.join(str(fault).split())}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES:
        raise TaskError(f"{path}: not an IDX file (it must begin with two zero bytes and a type)")
    rank, kind = data[3], np.dtype(IDX_TYPES[data[2]])
    if len(data) < 4 + 4 * rank:
        raise TaskError(f"{path}: cut short in its header; fetch it again")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    wanted = math.prod(shape) * kind.itemsize
    if len(data) - 4 - 4 * rank != wanted:
        raise TaskError(
            f"{path}: holds {len(data) - 4 - 4 * rank} bytes of data, its header says {wanted}; fetch it again"
        )
    return np.frombuffer(data, kind, offset=4 + 4 * rank).reshape(shape)


def _idx_pair(path: Path, options: dict) -> Task:
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
    scale = 255.0 if x.dtype == np.dtype(">u1") else 1.0
    return Task.of(
        x.reshape(len(x), -1) / scale, y.astype(np.int64), path.name.split("-")[0], **options
    )


def _arff(path: Path, target: str | None, options: dict) -> Task:
    opened = gzip.open if path.suffix == ".gz" else open
    header, rows, lines, data = [], [], [], False
    with opened(path, "rt", encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("%"):
                continue
            if data:
                if line.startswith("{"):
                    raise TaskError(
                        f"{path}: row {number} is sparse ARFF; convert the file to dense"
                    )
                rows.append(
                    [
                        cell.strip().strip("'\"")
                        for cell in next(csv.reader([line], skipinitialspace=True))
                    ]
                )
                lines.append(number)
            elif line.lower().startswith("@attribute"):
                rest = line[len("@attribute") :].strip()
                quote = rest[0] if rest[:1] in ("'", '"') else None
                header.append(rest[1:].split(quote)[0] if quote else rest.split()[0])
            elif line.lower().startswith("@data"):
                data = True
    if not header or not data:
        raise TaskError(f"{path}: not an ARFF file: @attribute lines and @data are needed")
    return _table(path, header, rows, lines, target, options)


def _parquet(path: Path, target: str | None, options: dict) -> Task:
    try:
        import pyarrow.parquet
    except ImportError:
        raise TaskError(f"{path}: Parquet needs pyarrow; pip install 'hpjax[parquet]'") from None
    import pyarrow

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as fault:
        raise TaskError(f"{path}: not a Parquet file: {' '.join(str(fault).split())}") from None
    header = table.column_names
    cells = [["" if v is None else str(v) for v in column.to_pylist()] for column in table.columns]
    rows = [list(row) for row in zip(*cells)]
    return _table(path, header, rows, list(range(1, len(rows) + 1)), target, options)
