"""A user's own networks as a family: a function of structural hyperparameters that returns a `Model`."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpjax import devices, randomness
from hpjax.models.base import Array, Family, Functions, Place, Size, Spec, Static, Traced
from hpjax.models.model import Model
from hpjax.training.losses import training_loss

REQUIRED = inspect.Parameter.empty
GIVEN = ("inputs", "outputs")  # arguments of a build function that the task decides
APPLIED = ("key", "train", "weight")  # what `apply` may ask for, beside its own hyperparameters


# --- the family -------------------------------------------------------------------------------------------------------
def user_family(
    build: Callable[..., Any],
    values: Mapping[str, list],
    taken: tuple[str, ...],
    inputs: int,
    outputs: int,
) -> Family:
    """The family of the networks that a function builds.

    Args:
        build: structural hyperparameters -> Model; parameters named `inputs` and `outputs` are told by the task.
        values: name -> values that the space gives it; the first of each shows which hyperparameters a network has.
        taken: names of training's own hyperparameters.
        inputs, outputs: that the task has.

    Raises:
        ValueError: a name that is taken, or a function that does not build a Model.
    """
    devices.devices()  # before the user's function starts JAX with fewer
    name = called(build)
    static = {}
    for parameter in inspect.signature(build).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{name} takes {parameter}; name its hyperparameters one by one")
        if parameter.name not in GIVEN:
            about = f"structural, of {name}"
            static[parameter.name] = Static(parameter.default, None, 0, about)
    first = {n: values[n][0] if values.get(n) else entry.default for n, entry in static.items()}
    _refuse_missing(name, first)
    function = Build(build)
    numbers = traced(built(function, _structure(first), inputs, outputs), name)
    for other in (*static, *numbers):
        if other in taken:
            raise ValueError(
                f"{other} of {name} is a hyperparameter of training already; rename it"
            )
    both = set(static) & set(numbers)
    if both:
        raise ValueError(f"{both.pop()} of {name} is structural and a Number at once; rename one")

    def spec(given: dict[str, Any], common: dict[str, Any], parts: Any) -> Own:
        del parts
        structure = {n: given.get(n, entry.default) for n, entry in static.items()}
        _refuse_missing(name, structure)
        shape = Own(**common, build=function, structure=_structure(structure))
        if set(shape.model.hyperparameters) != set(numbers):
            raise ValueError(
                f"{shape.label} has the hyperparameters {sorted(shape.model.hyperparameters)}, another {sorted(numbers)}; let all have the same"
            )
        return shape

    def read(written: dict[str, Any]) -> Own:
        fields: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in written.items()
        }
        weights, structure = fields.pop("arrays"), fields.pop("structure")
        shape = Own(**fields, build=function, structure=_structure(structure))
        if shape.written()["arrays"] != weights:
            raise ValueError(
                f"{shape.label} has other weights than the run began with; give the function that it was made with"
            )
        return shape

    return Family(
        name,
        static,
        numbers,
        (),
        None,
        spec,
        read,
        _checked,
        lambda values: None,
        user_defined=True,
    )


class Build:
    """A user's build function as one study knows it.

    What a function makes may change between two studies of a process, as when a cell of a notebook that defines a class is run
    again; networks that were built and compiled are kept by this object, not by the function.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function


NOTHING = Build(Model)


def called(build: Callable[..., Any]) -> str:
    """The name of a build function; of a partial one, that of the whole."""
    whole = build.func if isinstance(build, functools.partial) else build
    return getattr(whole, "__qualname__", type(whole).__name__)


def traced(model: Model, name: str) -> dict[str, Traced]:
    """A network's own hyperparameters, as the catalogue has them."""
    return {
        n: Traced(number.default, number.low, number.high, None, f"of {name}")
        for n, number in model.hyperparameters.items()
    }


def _refuse_missing(name: str, structure: Mapping[str, Any]) -> None:
    """Refuses structural values that a build function needs and nobody gives."""
    missing = [n for n, value in structure.items() if value is REQUIRED]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise ValueError(f"{name} needs {', '.join(missing)}; give {them} in the space")


def _checked(name: str, entry: Static, value: Any) -> Any:
    """A structural value: anything that can be told apart and written down."""
    del entry
    value = value.item() if isinstance(value, np.generic) else value
    leaves = jax.tree.leaves(value, is_leaf=lambda leaf: leaf is None)
    if any(not isinstance(leaf, (str, bool, int, float, type(None))) for leaf in leaves):
        raise ValueError(f"{name} must be text, numbers or lists of them, got {value!r:.80}")
    return value


def _structure(values: Mapping[str, Any]) -> str:
    """Structural values as text, which tells 1 from 1.0 and from true."""
    return json.dumps(dict(values), sort_keys=True, default=lambda number: number.item())


def _values(structure: str) -> dict[str, Any]:
    """What `_structure` wrote, lists as tuples."""
    tuples = lambda value: tuple(map(tuples, value)) if isinstance(value, list) else value
    return {name: tuples(value) for name, value in json.loads(structure).items()}


@functools.lru_cache(maxsize=1024)
def built(build: Build, structure: str, inputs: int, outputs: int) -> Model:
    """What a build function makes of structural values."""
    names = inspect.signature(build.function).parameters
    given = {n: v for n, v in (("inputs", inputs), ("outputs", outputs)) if n in names}
    model = build.function(**_values(structure), **given)
    if isinstance(model, tuple) and len(model) == 2:
        model = Model(*model)
    if not isinstance(model, Model):
        raise ValueError(f"{called(build.function)} must return a hpjax.Model, got {model!r:.80}")
    return model


# --- one shape --------------------------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Own(Spec):
    """The shape of a user's own network: the function that builds it, and the values that it is built from."""

    build: Build = NOTHING
    structure: str = "{}"

    @property
    def model(self) -> Model:
        """What the user's function made."""
        return built(self.build, self.structure, self.inputs, self.outputs)

    @property
    def label(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in _values(self.structure).items())
        return f"{called(self.build.function)}({values})"

    @property
    def hyperparameters(self) -> Mapping[str, Traced]:
        return traced(self.model, self.label)

    @property
    def functions(self) -> Functions:
        return functions(self)

    @property
    def size(self) -> Size:
        return size(self)

    def written(self) -> dict:
        plain = {f.name: f.default for f in dataclasses.fields(Spec)}
        fields = {n: getattr(self, n) for n in plain}
        kept = {n: v for n, v in fields.items() if n in GIVEN or v != plain[n]}
        kept |= {"loss": getattr(self.loss, "name", self.loss)} if "loss" in kept else {}
        return kept | {"structure": json.loads(self.structure), "arrays": _digest(self)}


def _digest(spec: Own) -> str:
    """Eight hexadecimal digits that tell the arrays of two networks apart, by path and shape."""
    paths = jax.tree_util.tree_leaves_with_path(shapes(spec))
    text = ";".join(f"{jax.tree_util.keystr(path)} {leaf.shape}" for path, leaf in paths)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.lru_cache(maxsize=1024)
def shapes(spec: Own) -> Any:
    """The shapes of (params, state) of a network.

    Raises:
        ValueError: params that hold no real numbers, or outputs that are not [B C].
    """
    with jax.enable_x64(spec.dtype == "float64"):
        begun = jax.eval_shape(lambda draw: functions(spec).init(draw, {}), functions(spec).draws)
        for path, leaf in jax.tree_util.tree_leaves_with_path(begun[0]):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise ValueError(
                    f"params{jax.tree_util.keystr(path)} of {spec.label} is {leaf.dtype}; params are real numbers, keep others in a state"
                )
        x = jax.ShapeDtypeStruct((7, spec.inputs), spec.dtype)
        numbers = {
            n: jnp.asarray(v.default, spec.dtype) for n, v in spec.model.hyperparameters.items()
        }
        outputs, _ = jax.eval_shape(functions(spec).outputs, *begun, numbers, x, None)
    if outputs.shape != (7, spec.outputs):
        raise ValueError(
            f"{spec.label} gives outputs {list(outputs.shape)} for 7 examples, but the task needs [7, {spec.outputs}]"
        )
    return begun


@functools.lru_cache(maxsize=1024)
def size(spec: Own) -> Size:
    """The plan's view of a network: every matrix is taken for a dense layer's, used once."""
    params, state = shapes(spec)
    leaves = jax.tree.leaves(params)
    matrices = [leaf.shape for leaf in leaves if len(leaf.shape) > 1]
    return Size(
        weights=sum(math.prod(leaf.shape) for leaf in leaves),
        products=sum(map(math.prod, matrices)),
        units=sum(shape[-1] for shape in matrices) + spec.outputs,
        longest=max((spec.inputs, spec.outputs, *(max(shape) for shape in matrices))),
        statistics=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)),
    )


@functools.lru_cache(maxsize=1024)
def functions(spec: Own) -> Functions:
    """The pure functions of networks of a shape, as everything that trains wants them."""
    model, dtype = spec.model, jnp.dtype(spec.dtype)
    asks = {name: name in inspect.signature(model.apply).parameters for name in APPLIED}

    def typed(tree: Any) -> Any:
        real = lambda leaf: jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jax.tree.map(
            lambda a: jnp.asarray(a, dtype if real(a) else jnp.result_type(a)), tree
        )

    def init(draw: Array, config: Any) -> tuple[Any, Any]:
        del config
        key = jax.random.wrap_key_data(draw, impl="threefry2x32")
        made = model.init(key, jnp.zeros((1, spec.inputs), dtype))
        params, state = made if model.stateful else (made, ())
        return typed(params), typed(state)

    def outputs(params: Any, state: Any, config: Any, x: Array, batch: Any = None):
        asked = {n: config[n] for n in model.hyperparameters}
        if asks["key"]:
            asked["key"] = None if batch is None else jax.random.fold_in(batch.key, 1)
        if asks["train"]:
            asked["train"] = batch is not None
        if asks["weight"]:
            asked["weight"] = None if batch is None else batch.weight
        if not model.stateful:
            return jnp.asarray(model.apply(params, x, **asked), dtype), state
        found, state = model.apply(params, state, x, **asked)
        return jnp.asarray(found, dtype), typed(state)

    def locate(path: tuple, leaf: Any) -> Place:
        del path
        return Place(0, leaf.ndim > 1)

    return Functions(
        draw=lambda names: randomness.words(names, 2),
        draws=jax.ShapeDtypeStruct((2,), np.dtype(np.uint32)),
        init=init,
        outputs=outputs,
        loss=training_loss(outputs, locate, spec),
        value_and_grad=None,
        locate=locate,
        multiplier=lambda config, path: None,
    )
