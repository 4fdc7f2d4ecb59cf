"""What can be tuned: names, defaults and bounds of training's own hyperparameters, beside those of a family of models.

Structural ones change a program (`Spec`), the others are numbers inside it (`Config`). Everything that turns named values into a
Spec and a Config stands here, for every family.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpjax.learning_rate_schedules import SCHEDULES
from hpjax.losses import LOSSES
from hpjax.models import MLP, Model
from hpjax.models.base import INF, Config, Family, Spec, Static, Target, Traced, cast, checked
from hpjax.models.own import own
from hpjax.optimizers import OPTIMIZERS

__all__ = ["Config", "Group", "Spec", "Static", "Target", "Traced", "base", "cast", "check", "known", "one", "plain", "split", "structural"]  # fmt: skip

ALIASES = {"lr": "learning_rate", "alpha": "l2", "batchsize": "batch_size", "bs": "batch_size", "wd": "weight_decay", "layers": "hidden", "units": "width", "nonlinearity": "activation", "epsilon": "eps", "gamma": "decay_rate", "solver": "optimizer", "dropout_rate": "dropout", "n_layers": "depth", "num_layers": "depth", "max_iter": "epochs", "initializer": "init"}  # fmt: skip
BELOW_ONE = 1 - 2**-24  # the largest decay that float32 tells from 1
STATIC: dict[str, Static] = {
    "optimizer": Static("adam", tuple(OPTIMIZERS), 0, "update rule"),
    "schedule": Static("constant", tuple(SCHEDULES), 0, "learning rate over the horizon"),
    "batch_size": Static(32, None, 0, "examples a minibatch; 0 is the whole training part"),
    "sampling": Static(
        "permutation", ("permutation", "replacement"), 0, "how an epoch's minibatches are drawn"
    ),
    "loss": Static(None, LOSSES, 0, "default by task: cross_entropy for classes, mse for numbers"),
    "dtype": Static("float32", ("float32", "float64"), 0, "precision of everything"),
}
TRACED: dict[str, Traced] = {
    "learning_rate": Traced(1e-3, 0.0, INF, "weights", "step size"),
    "momentum": Traced(0.0, 0.0, 1.0, "weights", "of sgd (heavy ball), nesterov, damped"),
    "beta1": Traced(0.9, 0.0, BELOW_ONE, None, "decay of adam's first moment"),
    "beta2": Traced(0.999, 0.0, BELOW_ONE, None, "decay of the second moment (adam, rmsprop)"),
    "eps": Traced(1e-8, 1e-30, INF, None, "added to the root of the second moment"),
    "l1": Traced(0.0, 0.0, INF, "weights", "adds l1 * sum |W|"),
    "l2": Traced(0.0, 0.0, INF, "weights", "adds l2/2 * sum W^2"),
    "weight_decay": Traced(
        0.0, 0.0, INF, None, "decoupled decay of the weight matrices, times learning rate"
    ),
    "input_noise": Traced(0.0, 0.0, INF, None, "standard deviation of noise on the inputs"),
    "label_smoothing": Traced(0.0, 0.0, 1.0, None, "probability spread over all classes"),
    "clip_norm": Traced(INF, 0.0, INF, None, "largest global norm of a gradient"),
    "decay_rate": Traced(0.1, 0.0, INF, None, "of step, exponential, inverse_time"),
    "decay_time": Traced(
        1.0, 1e-6, INF, None, "fraction of the horizon in which decay_rate applies once"
    ),
    "warmup": Traced(0.1, 0.0, 1.0, None, "fraction of the horizon, of warmup_cosine"),
    "hypergradient_rate": Traced(
        1e-7,
        0.0,
        INF,
        None,
        "how fast the schedule hypergradient moves the learning rate; 1e-3 suits sgd",
    ),
    "end_factor": Traced(
        0.0, 0.0, 1.0, None, "what the cosines end at, as a fraction of learning_rate"
    ),
    "horizon": Traced(
        0.0, 0.0, INF, None, "epochs the schedule runs over; 0 is the study's full fidelity"
    ),
    "epochs": Traced(20.0, 1.0, INF, None, "caps the epochs of training"),
    "patience": Traced(
        0.0,
        0.0,
        INF,
        None,
        "scores without gain before training stops and the best weights return; 0 never",
    ),
}
# Traced hyperparameters whose code is in a program only when they are named: off, they cost nothing.
SWITCHED = ("momentum", "l1", "l2", "weight_decay", "input_noise", "label_smoothing", "clip_norm", "patience", "epochs")  # fmt: skip


def tables(family: Family) -> tuple[dict[str, Static], dict[str, Traced]]:
    """The structural and the traced hyperparameters of training and of a family."""
    return STATIC | dict(family.static), TRACED | dict(family.traced)


def family_of(model: Any, values: Mapping[str, list]) -> Family:
    """The family of a user's networks; multilayer perceptrons where None.

    Args:
        model: a function of structural hyperparameters that returns a `Model`, a `Model`, a Family, or None.
        values: name -> values that will be given; the first of each shows which hyperparameters a network has.

    Raises:
        ValueError: something else, or hyperparameters that training has already.
    """
    if model is None:
        return MLP
    if isinstance(model, Family):
        return model
    if isinstance(model, Model):
        return own(functools.partial(_same, model), values, (*STATIC, *TRACED))
    if not callable(model) or isinstance(model, type):
        raise ValueError(f"model must be a function that returns a hpjax.Model, got {model!r:.80}")
    return own(model, values, (*STATIC, *TRACED))


def _same(model: Model) -> Model:
    """A network without structural hyperparameters."""
    return model


def base(name: str, family: Family = MLP) -> str:
    """The catalogue's name of a possibly numbered one: `width_2` -> `width`."""
    match = family.numbered.match(name) if family.numbered is not None else None
    return match.group(1) if match else name


def known(name: str, family: Family = MLP) -> str:
    """Returns `name` if it is in the catalogue; refuses it with the nearest known one otherwise."""
    root, (static, traced) = base(name, family), tables(family)
    if root not in static and root not in traced:
        names = [*static, *traced]
        near = ALIASES.get(name.lower())
        near = near if near in names else difflib.get_close_matches(name[:100], names, 1, 0.0)[0]
        raise ValueError(f"unknown hyperparameter {name!r:.100}; did you mean {near!r:.80}?")
    return name


def structural(name: str, family: Family = MLP) -> bool:
    """Whether a hyperparameter changes a shape or a branch (so that PBT may not move it)."""
    root = base(name, family)
    return root in STATIC or root in family.static


def check(name: str, value: Any, family: Family = MLP) -> Any:
    """Returns a hyperparameter's value in canonical form, or refuses it with its bounds."""
    root = base(known(name, family), family)
    if root in family.static:
        return family.check(name, family.static[root], value)
    if root in STATIC:
        return checked(name, STATIC[root], value)
    entry = tables(family)[1][root]
    return _numbers(name, entry, root == name, [value], np.array([0]), entry.default)[0].tolist()


class Group(NamedTuple):
    """The rows of a table that share a `Spec`."""

    spec: Spec
    rows: np.ndarray  # [m] which rows
    config: Config  # leaves [m], or [m L] and [m L+1] where given per layer; float64


def split(
    columns: Mapping[str, Sequence | np.ndarray], target: Target, family: Family = MLP
) -> list[Group]:
    """Columns of named values -> the rows of each `Spec`, with their `Config`s stacked.

    Args:
        columns: name -> [n] values; absent names, and NaN or None (inactive), hold their defaults.
        target: inputs, outputs and loss that the task asks for.
        family: of the models.

    Returns:
        Groups in order of first appearance; together their rows are 0..n-1.

    Raises:
        ValueError: an unknown name, or a value out of bounds.

    Example:
        >>> target = Target(inputs=64, outputs=10, loss="cross_entropy")
        >>> [(g.spec.hidden, g.rows.tolist()) for g in split({"hidden": [(8,), (16,), (8,)]}, target)]
        [((8,), [0, 2]), ((16,), [1])]
    """
    names = sorted(known(name, family) for name in columns)
    count = len(next(iter(columns.values()))) if columns else 1
    roots = {base(name, family) for name in names}
    features = tuple(name for name in (*SWITCHED, *family.switched) if name in roots)
    static_names = [name for name in names if structural(name, family)]
    traced = {name: columns[name] for name in names if not structural(name, family)}
    keys = list(zip(*(_hashable(columns[name]) for name in static_names))) or [()] * count
    rows_of: dict[tuple, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    groups: dict[Spec, list[int]] = {}
    for key, rows in rows_of.items():
        values = [(n, value) for n, value in zip(static_names, key) if value is not None]
        given = {n: check(n, value, family) for n, value in values}
        groups.setdefault(_spec(given, target, features, family), []).extend(rows)
    return [
        Group(spec, rows, _config(traced, rows, spec, target, family))
        for spec, rows in ((spec, np.sort(rows)) for spec, rows in groups.items())
    ]


def one(target: Target, *, family: Family = MLP, **values: Any) -> tuple[Any, Config]:
    """One network's `Spec` and `Config` (scalar leaves, or one per layer) from named values.

    Example:
        >>> spec, config = one(Target(2, 1, "bce"), hidden=(4,), learning_rate=0.5)
        >>> spec.sizes, float(config["learning_rate"])
        ((2, 4, 1), 0.5)
    """
    group = split({name: [value] for name, value in values.items()}, target, family)[0]
    return group.spec, {name: leaf[0] for name, leaf in group.config.items()}


def plain(value: Any) -> Any:
    """A decoded value as Python's own; None where it is inactive."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and value != value else value


def _hashable(column: Sequence | np.ndarray) -> list:
    values = column.tolist() if isinstance(column, np.ndarray) else column
    values = [tuple(v) if isinstance(v, list) else v for v in values]
    return [None if isinstance(v, float) and v != v else v for v in values]


def _spec(given: dict, target: Target, features: tuple[str, ...], family: Family) -> Spec:
    """The Spec of structural values that were checked."""
    loss = given.get("loss") or target.loss
    if target.loss == "mse" and loss != "mse":
        raise ValueError(
            f"loss={loss!r:.80} needs classes, but the task's targets are numbers; use loss='mse'"
        )
    if loss == "cross_entropy" and target.outputs == 1:
        raise ValueError(
            "loss='cross_entropy' needs two or more outputs, but the task has 1; use loss='bce'"
        )
    plain = ("optimizer", "schedule", "batch_size", "sampling", "dtype")
    common = {name: given.get(name, STATIC[name].default) for name in plain} | {
        "inputs": target.inputs,
        "outputs": target.outputs,
        "classes": target.loss != "mse",
        "loss": loss,
        "features": features,
    }
    return family.spec({n: v for n, v in given.items() if n not in STATIC}, common)


def _config(
    traced: Mapping[str, Any], rows: np.ndarray, spec: Spec, target: Target, family: Family
) -> Config:
    """The traced values of some rows, all of one Spec; absent ones at their defaults."""
    config: Config = {}
    for name, entry in tables(family)[1].items():
        default = float(target.fidelity) if name in ("horizon", "epochs") else entry.default
        numbered = [n for n in traced if n != name and base(n, family) == name]
        parts = {int(n[len(name) + 1 :]): n for n in numbered}
        leaf: Any = (
            _numbers(name, entry, True, traced[name], rows, default)
            if name in traced
            else np.full(len(rows), default)
        )
        wanted = spec.layers.get(entry.per or "weights", 0)
        if parts:
            wide: Any = leaf if leaf.ndim == 2 else np.repeat(leaf[:, None], wanted, 1)
            for part, column in parts.items():
                if part <= wanted:  # a deeper network's layer is inactive here
                    wide[:, part - 1] = _numbers(
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


def _numbers(
    name: str,
    entry: Traced,
    whole: bool,
    column: Sequence | np.ndarray,
    rows: np.ndarray,
    default: Any,
) -> np.ndarray:
    """One traced column's rows as float64, inactive ones at their default; refuses what is out of bounds.

    Args:
        name: of the column.
        entry: of the catalogue.
        whole: whether it is of all layers, and may then hold one number per layer.
        column: [n] values.
        rows: [m] which of them.
        default: of inactive ones.
    """
    picked = column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
    try:
        if not isinstance(column, np.ndarray) and any(isinstance(v, (str, bool)) for v in picked):
            raise TypeError
        length = max((len(v) for v in picked if isinstance(v, (tuple, list))), default=0)
        if length:
            if entry.per is None or not whole:
                raise ValueError(f"{name} is one number per network, got {length}")
            picked = [
                [np.nan] * length if v is None else [v] * length if np.isscalar(v) else v
                for v in picked
            ]
        gaps = [np.nan if v is None else v for v in picked] if isinstance(picked, list) else picked
        leaf = np.array(gaps, np.float64)
    except TypeError:
        raise ValueError(
            f"{name} must be a number in [{entry.low:g}, {entry.high:g}], got {picked[0]!r:.80}"
        ) from None
    bad = (leaf < entry.low) | (leaf > entry.high)
    if bad.any():
        raise ValueError(
            f"{name} must be a number in [{entry.low:g}, {entry.high:g}], got {leaf[bad][0]:g}"
        )
    whole_default = np.ndim(default) == 0 or leaf.ndim == 1
    return np.where(
        np.isnan(leaf), default if whole_default else np.asarray(default)[:, None], leaf
    )
