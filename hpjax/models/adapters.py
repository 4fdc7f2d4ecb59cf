"""Flax and Equinox modules as a `Model`. The libraries are imported when they are asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from hpjax.models.base import Array
from hpjax.models.model import Model, Number

# how modules ask whether this is a training step -> what they are told
TRAINING = {
    "train": lambda train: train,
    "training": lambda train: train,
    "deterministic": lambda train: not train,
}


def _told(call: Callable[..., Any], train: bool, weight: Any = None) -> dict[str, Any]:
    """What a module's call is told of training, by the names that it asks for."""
    names = inspect.signature(call).parameters
    told = {name: of(train) for name, of in TRAINING.items() if name in names}
    return told | ({"weight": weight} if "weight" in names else {})


def linen(module: Any, hyperparameters: Mapping[str, Number] | None = None) -> Model:
    """A Flax linen module.

    Args:
        module: a `flax.linen.Module`; dropout draws from the stream "dropout"; `train`, `training`, `deterministic` or `weight` (as
            for `Model`) is given to its call where it has that argument. Collections beside "params", such as "batch_stats", are carried along.
        hyperparameters: numbers that its call takes by name.

    Example:
        >>> import flax.linen as nn
        >>> class Two(nn.Module):
        ...     width: int
        ...     @nn.compact
        ...     def __call__(self, x):
        ...         return nn.Dense(3)(nn.relu(nn.Dense(self.width)(x)))
        >>> linen(Two(8)).stateful
        True
    """
    numbers = dict(hyperparameters or {})
    call = type(module).__call__

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        values = {name: number.default for name, number in numbers.items()}
        variables = module.init({"params": key, "dropout": key}, x, **_told(call, False), **values)
        return variables["params"], {n: v for n, v in variables.items() if n != "params"}

    def apply(
        params: Any,
        state: Any,
        x: Array,
        *,
        key: Any,
        train: bool,
        weight: Any = None,
        **values: Array,
    ):
        variables = {"params": params, **state}
        arguments = _told(call, train, weight) | values
        if not train:
            return module.apply(variables, x, **arguments), state
        rngs = {"dropout": key}
        outputs, changed = module.apply(variables, x, rngs=rngs, mutable=list(state), **arguments)
        return outputs, state | dict(changed)

    return Model(init, apply, numbers, stateful=True)


def nnx(make: Callable[[Any], Any], hyperparameters: Mapping[str, Number] | None = None) -> Model:
    """A Flax NNX module.

    Args:
        make: `rngs -> flax.nnx.Module`; its `train()` and `eval()` switch dropout and batch normalisation.
        hyperparameters: numbers that its call takes by name.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> nnx(lambda rngs: flax_nnx.Linear(4, 3, rngs=rngs)).stateful
        True
    """
    from flax import nnx as library

    def parts(module: Any) -> tuple[Any, Any, Any, Any]:
        """(definition, params, random streams, what else it carries)."""
        definition, params, streams, rest = library.split(
            module, library.Param, library.RngState, ...
        )
        return definition, params, streams, rest

    def skeleton(train: bool) -> Any:
        module = make(library.Rngs(params=0, dropout=0))
        module.train() if train else module.eval()
        definition, _, streams, _ = parts(module)
        return definition, streams

    definitions = {train: skeleton(train) for train in (True, False)}

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        del x
        _, params, _, state = parts(make(library.Rngs(params=key, dropout=key)))
        return library.to_pure_dict(params), library.to_pure_dict(state)

    def apply(params: Any, state: Any, x: Array, *, key: Any, train: bool, **values: Array):
        definition, streams = definitions[train]
        key = jax.random.key(0) if key is None else key
        leaves, structure = jax.tree.flatten(streams)
        is_key = lambda leaf: jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        fresh = [
            jax.random.fold_in(key, i) if is_key(leaf) else leaf for i, leaf in enumerate(leaves)
        ]
        module = library.merge(definition, params, jax.tree.unflatten(structure, fresh), state)
        outputs = module(x, **values)
        return outputs, library.to_pure_dict(parts(module)[3])

    return Model(init, apply, dict(hyperparameters or {}), stateful=True)


def equinox(
    make: Callable[[Array], Any], hyperparameters: Mapping[str, Number] | None = None
) -> Model:
    """An Equinox module, called on one example at a time as Equinox has it.

    Args:
        make: `key -> equinox.Module`, or `key -> (module, state)` as `equinox.nn.make_with_state` has it. Its call takes `key` where
            it has that argument, one per example; in prediction it runs in inference mode. Batch normalisation goes over the
            axis "batch".
        hyperparameters: numbers that its call takes by name.

    Example:
        >>> import equinox as library
        >>> equinox(lambda key: library.nn.MLP(4, 3, 8, 1, key=key)).stateful
        True
    """
    import equinox as library

    # what is no array: structure, functions, sizes
    skeleton = library.filter_eval_shape(make, jax.random.key(0))
    with_state = isinstance(skeleton, tuple)
    module = skeleton[0] if with_state else skeleton
    is_array = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
    _, static = library.partition(module, is_array)
    trained = library.is_inexact_array
    asks = "key" in inspect.signature(type(module).__call__).parameters

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        del x
        made = make(key)
        module, state = made if with_state else (made, ())
        params, rest = library.partition(module, trained)
        return params, (library.filter(rest, library.is_array), state)

    def apply(params: Any, state: Any, x: Array, *, key: Any, train: bool, **values: Array):
        fixed, state = state
        module = library.nn.inference_mode(library.combine(params, fixed, static), not train)
        keys = jax.random.split(key, len(x)) if train and asks else None

        def one(x: Array, key: Any, state: Any) -> Any:
            arguments = values | ({"key": key} if asks else {})
            return module(x, state, **arguments) if with_state else (module(x, **arguments), ())

        axes = (0, None if keys is None else 0, None)
        outputs, state = jax.vmap(one, axes, (0, None), axis_name="batch")(x, keys, state)
        return outputs, (fixed, state)

    return Model(init, apply, dict(hyperparameters or {}), stateful=True)
