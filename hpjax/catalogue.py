"""What can be tuned: names, defaults, bounds; which are shapes (`Spec`) and which are numbers (`Config`).

This file is long because it holds the tables, and everything that turns named values into a Spec and a Config.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "prelu", "softmax", "gelu", "silu", "identity")  # fmt: skip
OPTIMIZERS = ("sgd", "nesterov", "damped", "rmsprop", "adagrad", "adam", "adamw")
SCHEDULES = ("constant", "step", "exponential", "inverse_time", "cosine", "warmup_cosine", "hypergradient")  # fmt: skip
LOSSES = ("mse", "bce", "cross_entropy")


class Static(NamedTuple):
    """A hyperparameter that changes a shape or a Python branch: one program per value."""

    default: Any
    choices: tuple | None  # None: whole numbers >= low
    low: int
    about: str


class Traced(NamedTuple):
    """A hyperparameter that is a number inside the program: a new value never compiles."""

    default: float
    low: float
    high: float
    per: (
        str | None
    )  # "weights": may be one per weight layer [L+1]; "hidden": one per hidden layer [L]
    about: str


INF = float("inf")
DEEPEST = 1000  # layers; a program is compiled layer by layer
LARGEST = 10_000_000  # of a width, a depth or a batch: more is a slip of the keyboard
ALIASES = {"lr": "learning_rate", "alpha": "l2", "batchsize": "batch_size", "bs": "batch_size", "wd": "weight_decay", "layers": "hidden", "units": "width", "nonlinearity": "activation", "epsilon": "eps", "gamma": "decay_rate", "solver": "optimizer", "dropout_rate": "dropout", "n_layers": "depth", "num_layers": "depth", "max_iter": "epochs", "initializer": "init"}  # fmt: skip
BELOW_ONE = 1 - 2**-24  # the largest decay that float32 tells from 1
STATIC: dict[str, Static] = {
    "hidden": Static((64,), None, 1, "widths of the hidden layers"),
    "depth": Static(None, None, 0, "number of hidden layers, of widths width_1, width_2, ..."),
    "width": Static(64, None, 1, "width of every hidden layer; width_1, width_2, ... of one"),
    "activation": Static(
        "relu", ACTIVATIONS, 0, "hidden activation; activation_1, ... of one layer"
    ),
    "normalization": Static(
        "none", ("none", "batch", "layer"), 0, "between weights and activation"
    ),
    "residual": Static(
        False, (False, True), 0, "add a layer's input to its output where widths agree"
    ),
    "bias": Static(True, (False, True), 0, "whether layers have biases"),
    "init": Static("he", ("normal", "xavier", "he", "lecun", "orthogonal"), 0, "initial weights"),
    "parametrization": Static(
        "standard", ("standard", "mean_field", "mup"), 0, "how scale depends on width"
    ),
    "optimizer": Static("adam", OPTIMIZERS, 0, "update rule"),
    "schedule": Static("constant", SCHEDULES, 0, "learning rate over the horizon"),
    "batch_size": Static(32, None, 0, "examples a minibatch; 0 is the whole training part"),
    "sampling": Static(
        "permutation", ("permutation", "replacement"), 0, "how an epoch's minibatches are drawn"
    ),
    "loss": Static(None, LOSSES, 0, "default by task: cross_entropy for classes, mse for numbers"),
    "output": Static(
        None, ACTIVATIONS, 0, "output activation; fixed by bce and cross_entropy, identity for mse"
    ),
    "dropout_kind": Static(
        "bernoulli",
        ("bernoulli", "gaussian"),
        0,
        "activations times 0 or 1/(1-p), or N(1, p/(1-p))",
    ),
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
    "dropout": Traced(
        0.0,
        0.0,
        1.0,
        "hidden",
        "fraction of hidden activations dropped, in steps of 1/256; p of a gaussian dropout",
    ),
    "input_noise": Traced(0.0, 0.0, INF, None, "standard deviation of noise on the inputs"),
    "label_smoothing": Traced(0.0, 0.0, 1.0, None, "probability spread over all classes"),
    "clip_norm": Traced(INF, 0.0, INF, None, "largest global norm of a gradient"),
    "init_scale": Traced(1.0, 0.0, INF, "weights", "times the initialisation's standard deviation"),
    "base_width": Traced(
        64.0, 1.0, INF, None, "width at which mup is the standard parametrization"
    ),
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
SWITCHED = ("momentum", "l1", "l2", "weight_decay", "dropout", "input_noise", "label_smoothing", "clip_norm", "patience", "epochs")  # fmt: skip
NUMBERED = re.compile(
    r"^(width|activation|learning_rate|momentum|l1|l2|dropout|init_scale)_([1-9][0-9]*)$"
)

Config = dict  # one network's numbers: dict[str, Array], scalar leaves or one per layer


@dataclasses.dataclass(frozen=True)
class Spec:
    """One network's shape: everything that changes a shape, a dtype or a Python branch.

    A *padded* Spec (`masked=True`) has the array widths in `hidden`, and its networks bring their true widths in
    `config["width"]` [L] int32; with `select` they bring `config["activation"]` [L] int32, an index into `select`.
    """

    inputs: int
    outputs: int
    hidden: tuple[int, ...] = (64,)
    activation: tuple[str, ...] = ("relu",)  # one per hidden layer
    normalization: str = "none"
    residual: bool = False
    bias: bool = True
    init: str = "he"
    parametrization: str = "standard"
    optimizer: str = "adam"
    schedule: str = "constant"
    batch_size: int = 32  # 0: the whole training part
    sampling: str = "permutation"
    loss: str = "cross_entropy"
    output: str = "identity"  # activation of the outputs under mse
    dropout_kind: str = "bernoulli"
    classes: bool = (
        True  # whether the task's targets are classes (one-hot, or 0/1 in one column) or numbers
    )
    dtype: str = "float32"
    features: tuple[str, ...] = ()  # the SWITCHED hyperparameters in use
    masked: bool = False
    select: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths from inputs to outputs, [L+2]."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def activations(self) -> tuple[str, ...]:
        """Every activation that occurs in a hidden layer."""
        return self.select or tuple(dict.fromkeys(self.activation))

    @property
    def weights(self) -> int:
        """Number of trained numbers."""
        pairs = sum(a * b for a, b in zip(self.sizes, self.sizes[1:]))
        per_unit = int(self.bias) + 2 * (self.normalization != "none")
        slopes = len(self.hidden) * ("prelu" in self.activations)
        return pairs + per_unit * sum(self.hidden) + int(self.bias) * self.outputs + slopes


def base(name: str) -> str:
    """The catalogue's name of a possibly numbered one: `width_2` -> `width`."""
    match = NUMBERED.match(name)
    return match.group(1) if match else name


def known(name: str) -> str:
    """Returns `name` if it is in the catalogue; refuses it with the nearest known one otherwise."""
    root = base(name)
    if root not in STATIC and root not in TRACED:
        near = ALIASES.get(name.lower()) or difflib.get_close_matches(name[:100], [*STATIC, *TRACED], 1, 0.0)[0]  # fmt: skip
        raise ValueError(f"unknown hyperparameter {name!r:.100}; did you mean {near!r:.80}?")
    return name


def layer(name: str) -> tuple[int, str | None] | None:
    """Which layer a numbered name is of, from 1, and what is counted: "weights" or "hidden" layers; None for other names."""
    match = NUMBERED.match(name)
    if match is None:
        return None
    root = match.group(1)
    return int(match.group(2)), TRACED[root].per if root in TRACED else "hidden"


def structural(name: str) -> bool:
    """Whether a hyperparameter changes a shape or a branch (so that PBT may not move it)."""
    return base(name) in STATIC


def check(name: str, value: Any) -> Any:
    """Returns a hyperparameter's value in canonical form, or refuses it with its bounds."""
    root = base(known(name))
    if root in STATIC:
        entry = STATIC[root]
        if isinstance(value, (list, tuple)) and root not in ("hidden", "activation"):
            raise ValueError(f"{name} is one value, got {list(value)!r:.80}; to try several write {name} = Choice({list(value)!r:.80}), in TOML {{ choice = [...] }}")  # fmt: skip
        if root == "hidden":
            if isinstance(value, str) or not isinstance(value, Sequence) or any(isinstance(width, (str, Sequence)) for width in value):  # fmt: skip
                raise ValueError(
                    f"hidden must be a list of widths, got {value!r:.80}; write [64] for one layer"
                )
            return tuple(check("width", width) for width in value)
        if root == "activation" and isinstance(value, (list, tuple)):
            return tuple(check("activation", one) for one in value)
        if entry.choices is not None:
            value = value.item() if isinstance(value, np.generic) else value
            if value is None and entry.default is None:
                return None
            if value not in entry.choices or isinstance(value, bool) != isinstance(
                entry.choices[0], bool
            ):
                near = difflib.get_close_matches(
                    str(value), [str(c) for c in entry.choices], 1, 0.0
                )[0]
                options = ", ".join(str(c) for c in entry.choices)
                raise ValueError(f"{name}={value!r:.80} is none of {options}; did you mean {near}?")
            return value
        whole = isinstance(value, (int, float, np.number)) and not isinstance(
            value, (bool, complex)
        )
        if not whole or not entry.low <= value <= LARGEST or value != int(value):
            raise ValueError(
                f"{name} must be a whole number of at least {entry.low} and at most {LARGEST}, got {value!r:.80}"
            )
        return int(value)
    return _numbers(name, [value], np.array([0]), TRACED[root].default)[0].tolist()


class Target(NamedTuple):
    """What a task asks of a network."""

    inputs: int
    outputs: int
    loss: str  # the task's own loss
    fidelity: int = 20  # the study's full fidelity, epochs: the default horizon


class Group(NamedTuple):
    """The rows of a table that share a `Spec`."""

    spec: Spec
    rows: np.ndarray  # [m] which rows
    config: Config  # leaves [m], or [m L] and [m L+1] where given per layer; float64


def split(columns: Mapping[str, Sequence | np.ndarray], target: Target) -> list[Group]:
    """Columns of named values -> the rows of each `Spec`, with their `Config`s stacked.

    Args:
        columns: name -> [n] values; absent names, and NaN or None (inactive), hold their defaults.
        target: inputs, outputs and loss that the task asks for.

    Returns:
        Groups in order of first appearance; together their rows are 0..n-1.

    Raises:
        ValueError: an unknown name, or a value out of bounds.

    Example:
        >>> target = Target(inputs=64, outputs=10, loss="cross_entropy")
        >>> [(g.spec.hidden, g.rows.tolist()) for g in split({"hidden": [(8,), (16,), (8,)]}, target)]
        [((8,), [0, 2]), ((16,), [1])]
    """
    names = sorted(known(name) for name in columns)
    count = len(next(iter(columns.values()))) if columns else 1
    features = tuple(f for f in SWITCHED if any(base(name) == f for name in names))
    static_names = [name for name in names if structural(name)]
    traced = {name: columns[name] for name in names if not structural(name)}
    keys = list(zip(*(_hashable(columns[name]) for name in static_names))) or [()] * count
    rows_of: dict[tuple, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    groups: dict[Spec, list[int]] = {}
    for key, rows in rows_of.items():
        given = {n: check(n, value) for n, value in zip(static_names, key) if value is not None}
        groups.setdefault(_spec(given, target, features), []).extend(rows)
    return [
        Group(spec, rows, _config(traced, rows, spec, target))
        for spec, rows in ((spec, np.sort(rows)) for spec, rows in groups.items())
    ]


def one(target: Target, **values) -> tuple[Spec, Config]:
    """One network's `Spec` and `Config` (scalar leaves, or one per layer) from named values.

    Example:
        >>> spec, config = one(Target(2, 1, "bce"), hidden=(4,), learning_rate=0.5)
        >>> spec.sizes, float(config["learning_rate"])
        ((2, 4, 1), 0.5)
    """
    group = split({name: [value] for name, value in values.items()}, target)[0]
    return group.spec, {name: leaf[0] for name, leaf in group.config.items()}


def plain(value: Any) -> Any:
    """A decoded value as Python's own; None where it is inactive."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and value != value else value


def _hashable(column: Sequence | np.ndarray) -> list:
    values = column.tolist() if isinstance(column, np.ndarray) else column
    values = [tuple(v) if isinstance(v, list) else v for v in values]
    return [None if isinstance(v, float) and v != v else v for v in values]


def _spec(given: dict, target: Target, features: tuple[str, ...]) -> Spec:
    depth = given.get("depth")
    if "hidden" in given:
        if depth is not None or any(base(name) == "width" for name in given):
            raise ValueError(
                "give the widths as hidden, or as depth and width_1, width_2, ...; not both"
            )
        hidden = given["hidden"]
    else:
        numbered = sorted(int(name[6:]) for name in given if name.startswith("width_"))
        if depth is None and numbered != list(range(1, len(numbered) + 1)):
            raise ValueError(f"width_{numbered[-1]} is named, but not all of width_1 to width_{numbered[-1]}; name them, or give depth")  # fmt: skip
        depth = depth if depth is not None else max(numbered, default=1)
        if depth > DEEPEST:
            raise ValueError(f"depth must be at most {DEEPEST}, got {depth}")
        width = given.get("width", STATIC["width"].default)
        hidden = tuple(given.get(f"width_{i + 1}", width) for i in range(depth))
    activation = given.get("activation", STATIC["activation"].default)
    if isinstance(activation, str):
        activation = (activation,) * len(hidden)
    if len(activation) != len(hidden):
        raise ValueError(
            f"activation has {len(activation)} entries for {len(hidden)} hidden layers; one per layer is meant, to try several write Choice({list(activation)})"
        )
    activation = tuple(given.get(f"activation_{i + 1}", one) for i, one in enumerate(activation))
    loss = given.get("loss") or target.loss
    if target.loss == "mse" and loss != "mse":
        raise ValueError(
            f"loss={loss!r:.80} needs classes, but the task's targets are numbers; use loss='mse'"
        )
    if loss == "cross_entropy" and target.outputs == 1:
        raise ValueError(
            "loss='cross_entropy' needs two or more outputs, but the task has 1; use loss='bce'"
        )
    output = given.get("output") or "identity"
    if loss != "mse" and output != "identity":
        raise ValueError(
            f"output={output!r:.80} has no effect: loss={loss!r:.80} fixes the output activation; drop it"
        )
    if output == "prelu":
        raise ValueError("output='prelu' is for hidden layers; use 'leaky_relu'")
    plain = ("normalization", "residual", "bias", "init", "parametrization", "optimizer", "schedule", "batch_size", "sampling", "dropout_kind", "dtype")  # fmt: skip
    return Spec(
        inputs=target.inputs, outputs=target.outputs, classes=target.loss != "mse",
        hidden=hidden, activation=activation, loss=loss, output=output,
        features=features, **{name: given.get(name, STATIC[name].default) for name in plain},
    )  # fmt: skip


def _config(traced: Mapping[str, Any], rows: np.ndarray, spec: Spec, target: Target) -> Config:
    layers = {"weights": len(spec.hidden) + 1, "hidden": len(spec.hidden)}
    config: Config = {}
    for name, entry in TRACED.items():
        default = float(target.fidelity) if name in ("horizon", "epochs") else entry.default
        parts = {int(n[len(name) + 1 :]): n for n in traced if n != name and base(n) == name}
        leaf: Any = (
            _numbers(name, traced[name], rows, default)
            if name in traced
            else np.full(len(rows), default)
        )
        if parts:
            length = layers[entry.per or "weights"]
            wide: Any = leaf if leaf.ndim == 2 else np.repeat(leaf[:, None], length, 1)
            for part, column in parts.items():
                if part <= length:  # a deeper network's layer is inactive here
                    wide[:, part - 1] = _numbers(column, traced[column], rows, wide[:, part - 1])
            leaf = wide
        wanted = layers[entry.per or "weights"]
        if leaf.ndim == 2 and leaf.shape[1] != wanted:
            raise ValueError(
                f"{name} has {leaf.shape[1]} values for {wanted} layers of hidden={spec.hidden}"
            )
        config[name] = leaf
    if "horizon" in traced:
        config["horizon"] = np.where(config["horizon"] == 0, target.fidelity, config["horizon"])
    return config


def _numbers(name: str, column: Sequence | np.ndarray, rows: np.ndarray, default) -> np.ndarray:
    """One traced column's rows as float64, inactive ones at their default; refuses what is out of bounds."""
    entry = TRACED[base(name)]
    picked = column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
    try:
        if any(
            isinstance(value, (str, bool))
            for value in (picked if not isinstance(column, np.ndarray) else ())
        ):
            raise TypeError
        length = max((len(v) for v in picked if isinstance(v, (tuple, list))), default=0)
        if length:
            if entry.per is None or base(name) != name:
                raise ValueError(f"{name} is one number per network, got {length}")
            picked = [
                [np.nan] * length if v is None else [v] * length if np.isscalar(v) else v
                for v in picked
            ]
        leaf = np.array(
            [np.nan if v is None else v for v in picked] if isinstance(picked, list) else picked,
            np.float64,
        )
    except TypeError:
        raise ValueError(
            f"{name} must be a number in [{entry.low:g}, {entry.high:g}], got {picked[0]!r:.80}"
        ) from None
    bad = (leaf < entry.low) | (leaf > entry.high)
    if bad.any():
        raise ValueError(
            f"{name} must be a number in [{entry.low:g}, {entry.high:g}], got {leaf[bad][0]:g}"
        )
    return np.where(
        np.isnan(leaf),
        default if np.ndim(default) == 0 or leaf.ndim == 1 else np.asarray(default)[:, None],
        leaf,
    )
