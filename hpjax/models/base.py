"""What a network is to everything that trains, plans and searches: a static shape, and pure functions of it.

A *family* turns structural hyperparameters (values that change shapes: one program per value) into a `Spec`, and names its own
continuous ones, which are traced. Everything outside `models/` knows networks by what stands in this file.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.defaults import EPOCHS
from hpjax.randomness import Names

Array = jax.Array
Config = dict  # one network's numbers: dict[str, Array], scalar leaves or one per layer
INF = float("inf")
LARGEST = 10_000_000  # of a width, a depth or a batch: more is a slip of the keyboard


# --- hyperparameters --------------------------------------------------------------------------------------------------
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
    # "weights": may be one per weight layer [L+1]; "hidden": one per hidden layer [L]
    per: str | None
    about: str


def checked(name: str, entry: Static, value: Any) -> Any:
    """A structural value in canonical form, or a refusal with what it may be."""
    if isinstance(value, (list, tuple)):
        raise ValueError(
            f"{name} is one value, got {list(value)!r:.80}; to try several write {name} = Choice({list(value)!r:.80}), in TOML {{ choice = [...] }}"
        )
    if entry.choices is not None:
        value = value.item() if isinstance(value, np.generic) else value
        if value is None and entry.default is None:
            return None
        flags = isinstance(entry.choices[0], bool)
        if value not in entry.choices or isinstance(value, bool) != flags:
            options = [str(choice) for choice in entry.choices]
            near = difflib.get_close_matches(str(value), options, 1, 0.0)[0]
            raise ValueError(
                f"{name}={value!r:.80} is none of {', '.join(options)}; did you mean {near}?"
            )
        return value
    whole = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, complex))
    if not whole or not entry.low <= value <= LARGEST or value != int(value):
        raise ValueError(
            f"{name} must be a whole number of at least {entry.low} and at most {LARGEST}, got {value!r:.80}"
        )
    return int(value)


class Parts(NamedTuple):
    """What a network's inputs are.

    Attributes:
        numbers: how many of them, the first ones, are numbers.
        categories: of the last ones, one-hot: how many each column of categories has.
    """

    numbers: int
    categories: tuple[int, ...] = ()


class Target(NamedTuple):
    """What a task asks of a network."""

    inputs: int
    outputs: int
    loss: str  # the task's own loss
    fidelity: int = EPOCHS  # the study's full fidelity, epochs: the default horizon
    # how many of the inputs, the first ones, are numbers; all where None
    numeric: int | None = None
    # of the last ones: how many each column of categories has
    categories: tuple[int, ...] | None = None

    @property
    def classes(self) -> bool:
        """Whether the task's targets are classes."""
        return self.loss != "mse"

    @property
    def parts(self) -> Parts:
        """What the inputs are."""
        numbers = self.inputs if self.numeric is None else self.numeric
        return Parts(numbers, tuple(self.categories or ()))

    @classmethod
    def of(cls, task: Any, fidelity: int) -> Target:
        """What a task asks, in a study of so many epochs."""
        return cls(task.inputs, task.outputs, task.loss, fidelity, task.numeric, task.categories)


# --- one network ------------------------------------------------------------------------------------------------------
class Batch(NamedTuple):
    """The examples of one step, as one network sees them."""

    x: Array  # [B F]
    y: Array  # [B C] targets; classes as one-hot rows
    weight: Array  # [B] 0 or 1
    key: Array  # this step's randomness: dropout, input noise
    # [B] what multiplies each example's loss, not its share; None is 1
    importance: Array | None = None

    def share(self) -> Array:
        """[B] what multiplies each example's loss: the mean over the weights, times their importance."""
        share = self.weight / jnp.maximum(self.weight.sum(), 1)
        return share if self.importance is None else share * self.importance


class Place(NamedTuple):
    """Where a trained array stands in its network."""

    layer: int  # 0 where the family has no layers
    # whether it is a weight matrix (penalties and decay act on it), or a bias and the like
    is_matrix: bool


class Size(NamedTuple):
    """What a network costs, for the plan."""

    weights: int  # trained numbers
    products: int  # multiplications of a forward pass, per example
    units: int  # numbers that an example leaves behind on its way, outputs included
    longest: int  # the longest row that is summed
    statistics: int = 0  # numbers that training carries beside the weights


class Functions(NamedTuple):
    """Pure functions of one network of a shape.

    draw:           names (of `randomness`) -> array [n]: what a network starts from, made on the host
    draws:          the shape and dtype of a draw
    init:           (draw, config) -> (params, stats)
    outputs:        (params, stats, config, x [B F], batch) -> (outputs [B C], stats); batch is None in prediction
    loss:           (params, stats, config, batch) -> (loss, (stats, data loss))
    value_and_grad: as `jax.value_and_grad(loss, has_aux=True)`, by hand; None where there is only autodiff
    locate:         (path of a leaf of params, leaf) -> Place
    multiplier:     (config, path) -> what multiplies a leaf's learning rate, None for 1
    """

    draw: Callable[[Names], np.ndarray]
    draws: jax.ShapeDtypeStruct
    init: Callable[[Array, Config], tuple[Any, Any]]
    outputs: Callable[..., tuple[Array, Any]]
    loss: Callable[[Any, Any, Config, Batch], tuple[Array, tuple[Any, Array]]]
    value_and_grad: Callable[..., Any] | None
    locate: Callable[[tuple, Any], Place]
    multiplier: Callable[[Config, tuple], Array | None]


@dataclasses.dataclass(frozen=True)
class Spec:
    """Everything static about a network and its training: one compiled program per value.

    Abstract: a family adds the fields of its own shape, and `functions` and `size`. A family whose narrow networks can run inside
    a wide one also says how: `covers`, `signature`, `joined`, `roomier`, `laddered`, `member`.
    """

    inputs: int
    outputs: int
    # whether the task's targets are classes (one-hot, or 0/1 in one column) or numbers
    classes: bool = True
    loss: Any = "cross_entropy"  # its name in the catalogue, or a Loss of a user's own
    optimizer: str = "adam"
    schedule: str = "constant"
    batch_size: int = 32  # 0: the whole training part
    sampling: str = "permutation"
    scaling: str = "standard"
    target_transform: str = "none"
    class_weight: str = "none"
    dtype: str = "float32"
    features: tuple[str, ...] = ()  # the switched hyperparameters in use

    @property
    def functions(self) -> Functions:
        """What its networks compute."""
        raise NotImplementedError

    @property
    def size(self) -> Size:
        """What they cost."""
        raise NotImplementedError

    def batch(self, examples: int) -> int:
        """Examples of a minibatch, where there are so many to train on."""
        return self.batch_size or examples

    def steps(self, examples: int) -> int:
        """Minibatches of an epoch; the last one may be filled up."""
        return -(-examples // self.batch(examples))

    @property
    def label(self) -> str:
        """Its shape in words, for plans and messages."""
        raise NotImplementedError

    @property
    def layers(self) -> dict[str, int]:
        """How many values a hyperparameter has that may be one per layer: of "weights" and of "hidden" layers; {} for none."""
        return {}

    @property
    def hyperparameters(self) -> Mapping[str, Traced]:
        """Continuous hyperparameters of a network of a user's own."""
        return {}

    @property
    def weights(self) -> int:
        """Number of trained numbers."""
        return self.size.weights

    def in_full_precision(self) -> Any:
        """The same network, with nothing computed in less than dtype."""
        return self

    def written(self) -> dict:
        """What of it is not the default, as the ledger's plan keeps it."""
        plain = type(self)(self.inputs, self.outputs)
        named = ("inputs", "outputs")
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        kept = {n: v for n, v in fields.items() if n in named or v != getattr(plain, n)}
        return kept | ({"loss": getattr(self.loss, "name", self.loss)} if "loss" in kept else {})

    # --- padding: by default a network runs in the program of its own shape only ---
    @property
    def overhead(self) -> float:
        """Times that a step takes for masks and the like."""
        return 1.0

    def covers(self, spec: Spec) -> bool:
        """Whether a network of another shape can be trained in a program of this one."""
        return self == spec

    def signature(self) -> Any:
        """What specs must agree in to share a program."""
        return self

    @staticmethod
    def joined(specs: Sequence[Any]) -> Any:
        """The narrowest program that covers all of these, of one signature."""
        raise NotImplementedError

    def roomier(self) -> Any:
        """The program of a shape that the plan did not foresee."""
        return self

    @staticmethod
    def laddered(specs: Sequence[Any], every: int) -> list[Any]:
        """Shapes rounded up, so that there are fewer of them; `every` is how coarsely."""
        del every
        return list(specs)

    def cut(self, spec: Any, params: Any, stats: Any) -> tuple[Any, Any]:
        """Weights and statistics, leaves of [... shape], of a network of a shape without this program's padding."""
        del spec
        return params, stats

    def member(self, spec: Spec, config: Config) -> Config:
        """Config leaves [m] of networks of a shape as this program wants them."""
        del spec
        return config


class Family(NamedTuple):
    """Networks that differ in values of the same structural hyperparameters.

    Attributes:
        name: of the family.
        static: its structural hyperparameters.
        traced: its continuous ones.
        switched: those of `traced` whose code is in a program only when they are named.
        numbered: names of one layer, such as width_2; None where there are none.
        spec: (structural values by name, fields of Spec that every family has, what the inputs are) -> Spec; refuses what cannot be.
        read: what `Spec.written` made -> Spec.
        check: (name, its entry in `static`, value) -> the value in canonical form; refuses what cannot be.
        refuse: name -> values that a space gives it; refuses names that act on no network of the space.
        user_defined: whether a user's function builds its networks.
    """

    name: str
    static: Mapping[str, Static]
    traced: Mapping[str, Traced]
    switched: tuple[str, ...]
    numbered: re.Pattern | None
    spec: Callable[[dict[str, Any], dict[str, Any], Parts], Spec]
    read: Callable[[dict[str, Any]], Spec]
    check: Callable[[str, Static, Any], Any]
    refuse: Callable[[Mapping[str, list]], None]
    user_defined: bool = False


def cast(config: Mapping[str, Any], spec: Spec) -> Config:
    """A Config as arrays of the spec's dtype; arrays of whole numbers (widths under padding) stay int32."""
    whole = lambda v: hasattr(v, "dtype") and jnp.issubdtype(v.dtype, jnp.integer)
    return {n: jnp.asarray(v, jnp.int32 if whole(v) else spec.dtype) for n, v in config.items()}


def per_layer(value: Array, layer: int) -> Array:
    """A hyperparameter's value in one layer: it may be one number or one per layer."""
    return value if jnp.ndim(value) == 0 else value[layer]
