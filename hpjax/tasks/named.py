"""Tasks by name: scikit-learn's bundled data sets, and made ones whose answer is known."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from hpjax.defaults import TEST_SEED, TEST_SHARE
from hpjax.tasks.base import Split, Task, TaskError
from hpjax.tasks.files import read


def _bundled(loader: str, kind: str) -> Callable[[], Task]:
    def make() -> Task:
        from sklearn import datasets

        data = getattr(datasets, loader)()
        name = loader.removeprefix("load_")
        task = Task.of(data.data, data.target, name, test=TEST_SHARE, seed=TEST_SEED, kind=kind)
        if kind == "classes" and hasattr(data, "target_names"):
            return task.with_labels(tuple(str(label) for label in data.target_names))
        return task

    return make


def xor() -> Task:
    """The four points of exclusive or; trained and validated on all four, nothing held out."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
    rows = np.arange(4)
    return Task(
        "xor", x, np.array([0, 1, 1, 0]), ("0", "1"), standardize=False, folds=(Split(rows, rows),)
    )


def two_moons(count: int = 1000, noise: float = 0.2, seed: int = 0) -> Task:
    """Two interleaved half circles with noise."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi, count)
    y = np.arange(count) % 2
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    x[y == 1] = np.array([1.0, 0.5]) - x[y == 1]
    return Task.of(
        x + noise * rng.normal(size=x.shape),
        y,
        "two_moons",
        test=TEST_SHARE,
        seed=TEST_SEED,
        kind="classes",
    )


def spirals(count: int = 1200, arms: int = 3, noise: float = 0.1, seed: int = 0) -> Task:
    """Intertwined spiral arms."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % arms
    radius = np.sqrt(rng.uniform(0.02, 1, count))
    angle = 4 * radius + 2 * np.pi * y / arms + noise * rng.normal(size=count)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return Task.of(x, y, "spirals", test=TEST_SHARE, seed=TEST_SEED, kind="classes")


def noisy_sine(count: int = 400, noise: float = 0.15, seed: int = 0) -> Task:
    """sin(2 pi x) on [-1, 1] with noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, 1))
    y = np.sin(2 * np.pi * x[:, 0]) + noise * rng.normal(size=count)
    return Task.of(x, y, "noisy_sine", test=TEST_SHARE, seed=TEST_SEED, kind="numbers")


def _stored(name: str, file: str, about: str, kind: str) -> Callable[[Path | None], Task]:
    def make(data: Path | None) -> Task:
        folder = data if data is not None else os.environ.get("HPJAX_DATA")
        if folder is None:
            raise TaskError(
                f"{name} needs {file} ({about}); give its folder by --data DIR or HPJAX_DATA"
            )
        path = Path(folder) / file
        if not path.exists():
            raise TaskError(
                f"{name} needs {path} ({about}), which is missing; put it there, or name another folder"
            )
        return read(path, kind=kind, test=TEST_SHARE, seed=TEST_SEED).renamed(name)

    return make


NAMES: dict[str, tuple[Callable[..., Task], str]] = {
    "digits": (_bundled("load_digits", "classes"), "1,797 handwritten digits of 8 x 8, 10 classes"),
    "iris": (_bundled("load_iris", "classes"), "150 flowers, 4 measures, 3 classes"),
    "wine": (_bundled("load_wine", "classes"), "178 wines, 13 measures, 3 classes"),
    "breast_cancer": (
        _bundled("load_breast_cancer", "classes"),
        "569 tumours, 30 measures, 2 classes",
    ),
    "diabetes": (_bundled("load_diabetes", "numbers"), "442 patients, 10 measures, regression"),
    "xor": (xor, "the four points of exclusive or"),
    "two_moons": (two_moons, "1,000 points on two half circles"),
    "spirals": (spirals, "1,200 points on three spiral arms"),
    "noisy_sine": (noisy_sine, "400 points of sin(2 pi x) with noise, regression"),
}
STORED: dict[str, tuple[Callable[[Path | None], Task], str]] = {
    "mnist10k": (
        _stored(
            "mnist10k", "t10k-images-idx3-ubyte.gz", "MNIST's 10,000 test images, IDX", "classes"
        ),
        "MNIST's 10,000 test images",
    ),
    "mnist1d": (
        _stored("mnist1d", "mnist1d.npz", "MNIST-1D, 4,000 + 1,000 series", "classes"),
        "MNIST-1D: 4,000 series of 40, 10 classes",
    ),
    "protein": (
        _stored("protein", "uci_protein.npz", "UCI protein tertiary structure", "numbers"),
        "45,730 proteins, 9 measures, regression",
    ),
    "naval": (
        _stored("naval", "uci_naval.npz", "UCI naval propulsion plants", "numbers"),
        "11,934 plants, 16 measures, regression",
    ),
}


def load(
    name: str | Path,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Task:
    """A task by name, or from a file.

    Args:
        name: one of `NAMES` or `STORED`, or a path.
        data: folder of the stored ones; the variable HPJAX_DATA where None.
        target: column to predict, for files.
        kind: of a file's targets: "classes" or "numbers"; told from them where None.
        columns: what a file's columns are, as for `Task.of`.

    Raises:
        TaskError: an unknown name (with the nearest known one), or a missing file.

    Example:
        >>> task = load("iris")
        >>> task.inputs, task.outputs, len(task.test)
        (4, 3, 30)
    """
    text = str(name)
    if columns and text in (*NAMES, *STORED):
        raise TaskError(f"{text} has its own columns; leave columns out, which is for tables")
    if text in NAMES and target is None:
        return _of_kind(NAMES[text][0](), kind)
    if text in STORED and target is None:
        return _of_kind(STORED[text][0](Path(data) if data is not None else None), kind)
    if text in (*NAMES, *STORED):
        raise TaskError(
            f"{text} has its own target; leave the target column {target!r:.80} out, which is for files"
        )
    if Path(text).suffix or os.sep in text or os.path.isfile(text):
        return read(text, target, kind=kind, columns=columns)
    if not text:
        raise TaskError("the task has no name; give one that `hpjax tasks` lists, or a file")
    near = difflib.get_close_matches(text, [*NAMES, *STORED], 1, 0.0)[0]
    raise TaskError(
        f"no task is called {text!r:.80}; did you mean {near!r:.80}? A table needs its ending, e.g. data.csv"
    )


def _of_kind(task: Task, kind: str | None) -> Task:
    if kind is not None and kind != task.kind:
        raise TaskError(f"{task.name} has {task.kind} for targets; leave kind={kind!r:.80} out")
    return task
