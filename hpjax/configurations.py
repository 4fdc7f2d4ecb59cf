"""Named values of many configurations as the `Spec`s (shapes) and `Config`s (numbers) of networks, and back as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpjax.catalogue import base, check, known, numbers, structural, tables
from hpjax.models import MLP, Family, Spec
from hpjax.models.base import Config, Target
from hpjax.space import Space
from hpjax.training.hyperparameters import STATIC, SWITCHED
from hpjax.training.losses import LOSSES


class Group(NamedTuple):
    """The rows of a table that share a `Spec`."""

    spec: Spec
    rows: np.ndarray  # [m] which rows
    config: Config  # leaves [m], or [m L] and [m L+1] where given per layer; float64


def split(
    columns: Mapping[str, Sequence | np.ndarray],
    target: Target,
    family: Family,
    layered: Collection[str] = (),
) -> list[Group]:
    """Columns of named values -> the rows of each `Spec`, with their `Config`s stacked.

    Args:
        columns: name -> [n] values; absent names, and NaN or None (inactive), hold their defaults.
        target: inputs, outputs and loss that the task asks for.
        family: of the models.
        layered: names that hold one number per layer in other rows than these, so that they do so here.

    Returns:
        Groups in order of first appearance; together their rows are 0..n-1.

    Raises:
        ValueError: an unknown name, or a value out of bounds.

    Example:
        >>> target = Target(inputs=64, outputs=10, loss="cross_entropy")
        >>> [(g.spec.hidden, g.rows.tolist()) for g in split({"hidden": [(8,), (16,), (8,)]}, target, MLP)]
        [((8,), [0, 2]), ((16,), [1])]
    """
    names = sorted(known(name, family) for name in columns)
    count = len(next(iter(columns.values()))) if columns else 1
    roots = {base(name, family) for name in names}
    features = tuple(name for name in (*SWITCHED, *family.switched) if name in roots)
    static_names = [name for name in names if structural(name, family)]
    traced = {name: columns[name] for name in names if not structural(name, family)}
    groups: dict[Spec, list[np.ndarray]] = {}
    for rows in _alike([columns[name] for name in static_names], count):
        values = ((n, _hashable(columns[n][rows[0]])) for n in static_names)
        given = {n: check(n, value, family) for n, value in values if value is not None}
        groups.setdefault(_spec(given, target, features, family), []).append(rows)
    return [
        Group(spec, rows, _config(traced, rows, spec, target, family, layered))
        for spec, rows in ((spec, np.sort(np.concatenate(g))) for spec, g in groups.items())
    ]


def of_points(space: Space, unit: np.ndarray, target: Target, family: Family) -> list[Group]:
    """The rows of each `Spec` among points [n D] of a space, as `split`; all points have leaves of the same shapes."""
    return split(space.decode(unit), target, family, space.layered)


def single_network(target: Target, *, family: Family = MLP, **values: Any) -> tuple[Any, Config]:
    """One network's `Spec` and `Config` (scalar leaves, or one per layer) from named values.

    Example:
        >>> spec, config = single_network(Target(2, 1, "bce"), hidden=(4,), learning_rate=0.5)
        >>> spec.sizes, float(config["learning_rate"])
        ((2, 4, 1), 0.5)
    """
    group = split({name: [value] for name, value in values.items()}, target, family)[0]
    return group.spec, {name: leaf[0] for name, leaf in group.config.items()}


def combined(columns: Sequence[np.ndarray]) -> np.ndarray:
    """The combinations of values in columns [n] as whole numbers [n] from 0, in the order of the first column, then of the next."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        if not _constant(column):
            values, own = np.unique(column, return_inverse=True)
            codes = np.unique(codes * len(values) + own, return_inverse=True)[1]
    return codes


def plain(value: Any) -> Any:
    """A decoded value as Python's own; None where it is inactive."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and value != value else value


def _layered(column: Sequence | np.ndarray) -> bool:
    """Whether some value of a column is one number per layer."""
    plain_numbers = isinstance(column, np.ndarray) and column.dtype != object
    return not plain_numbers and any(isinstance(value, (tuple, list)) for value in column)


def _hashable(value: Any) -> Any:
    """A structural value as Python's own; None where it is inactive."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else plain(value)


def _alike(columns: Sequence[Sequence | np.ndarray], count: int) -> list[np.ndarray]:
    """The rows of each combination of values, in order of first appearance."""
    columns = [column for column in columns if not _constant(column)]
    if not columns:
        return [np.arange(count)] if count else []
    codes = combined([_codes(column) for column in columns])
    _, first, sizes = np.unique(codes, return_index=True, return_counts=True)
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    return [rows[at] for at in np.argsort(first)]


def _constant(column: Sequence | np.ndarray) -> bool:
    """Whether a column holds one value, or one object, all the way."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        return bool((column == column[:1]).all())
    return all(value is column[0] for value in column)


def _codes(column: Sequence | np.ndarray) -> np.ndarray:
    """Whole numbers [n], the same where values are written alike: 1 is neither 1.0 nor True."""
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype != object:
        return np.unique(column, return_inverse=True)[1]
    column = list(column)  # holds what an array would make anew for each look
    # most values are one of a few objects: each object is written once
    objects = np.fromiter(map(id, column), np.int64, len(column))
    _, first, which = np.unique(objects, return_index=True, return_inverse=True)
    words = [repr(_hashable(column[at])) for at in first]
    number = {word: n for n, word in enumerate(dict.fromkeys(words))}
    return np.array([number[word] for word in words])[which]


def _spec(given: dict, target: Target, features: tuple[str, ...], family: Family) -> Spec:
    """The Spec of structural values that were checked."""
    loss = given.get("loss") or target.loss
    classes = target.classes
    if LOSSES[loss].of == ("numbers" if classes else "classes"):
        wanted, there = ("numbers", "classes") if classes else ("classes", "numbers")
        raise ValueError(
            f"loss={loss!r:.80} needs {wanted}, but the task's targets are {there}; use loss={target.loss!r}"
        )
    if classes and given.get("target_transform", "none") != "none":
        raise ValueError(
            "target_transform needs numbers, but the task's targets are classes; drop it"
        )
    if not classes and given.get("class_weight", "none") != "none":
        raise ValueError("class_weight needs classes, but the task's targets are numbers; drop it")
    if loss == "cross_entropy" and target.outputs == 1:
        raise ValueError(
            "loss='cross_entropy' needs two or more outputs, but the task has 1; use loss='bce'"
        )
    common = {name: given.get(name, entry.default) for name, entry in STATIC.items()} | {
        "inputs": target.inputs,
        "outputs": target.outputs,
        "classes": classes,
        "loss": loss,
        "features": features,
    }
    own = {n: v for n, v in given.items() if n not in STATIC}
    return family.spec(own, common, target.parts)


def _config(
    traced: Mapping[str, Any],
    rows: np.ndarray,
    spec: Spec,
    target: Target,
    family: Family,
    layered: Collection[str],
) -> Config:
    """The traced values of some rows, all of one Spec; absent ones at their defaults."""
    config: Config = {}
    numbered: dict[str, dict[int, str]] = {}  # name -> layer -> the name of its own number
    for own in traced:
        name = base(own, family)
        if own != name:
            numbered.setdefault(name, {})[int(own[len(name) + 1 :])] = own
    for name, entry in tables(family)[1].items():
        default = float(target.fidelity) if name in ("horizon", "epochs") else entry.default
        parts = numbered.get(name)
        leaf: Any = (
            numbers(name, entry, True, traced[name], rows, default)
            if name in traced
            else np.full(len(rows), default)
        )
        wanted = spec.layers.get(entry.per or "weights", 0)
        if leaf.ndim == 1 and wanted and (name in layered or _layered(traced.get(name, ()))):
            # so that all networks of a program are alike
            leaf = np.repeat(leaf[:, None], wanted, 1)
        if parts:
            wide: Any = leaf if leaf.ndim == 2 else np.repeat(leaf[:, None], wanted, 1)
            for part, column in parts.items():
                if part <= wanted:  # a deeper network's layer is inactive here
                    wide[:, part - 1] = numbers(
                        column, entry, False, traced[column], rows, wide[:, part - 1]
                    )
            leaf = wide
        if leaf.ndim == 2 and not spec.layers:
            raise ValueError(f"{name} is one number per network, got {leaf.shape[1]}")
        if leaf.ndim == 2 and leaf.shape[1] != wanted:
            raise ValueError(
                f"{name} has {leaf.shape[1]} values for {wanted} layers of {spec.label}"
            )
        config[name] = leaf
    if "horizon" in traced:
        config["horizon"] = np.where(config["horizon"] == 0, target.fidelity, config["horizon"])
    return config
