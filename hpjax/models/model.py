"""A network of a user's own: two pure functions, and continuous hyperparameters beside them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hpjax.models.base import INF


class Number(NamedTuple):
    """A continuous hyperparameter of a network's own: traced, so that a new value never compiles."""

    default: float
    low: float = -INF
    high: float = INF


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as pure functions.

    Attributes:
        init: (key, x [1 F]) -> params, a pytree of real arrays; with `stateful`, (params, state).
        apply: (params, x [B F]) -> outputs [B C]: logits of classes, or numbers; with `stateful`,
            (params, state, x) -> (outputs, state). It is handed by name what it has a parameter for: `key` (this step's
            randomness; None in prediction), `train` (whether this is a training step), `weight` ([B]: 0 for the copies that fill the
            last minibatch of an epoch, which batch statistics should leave out, else 1; None in prediction), and its own
            hyperparameters.
        hyperparameters: continuous ones of its own by name, handed to `apply`.
        stateful: whether it carries something that is not trained, such as batch statistics.

    Example:
        >>> import hpjax, jax, jax.numpy as jnp
        >>> def build(width):
        ...     def init(key, x):
        ...         first, second = jax.random.split(key)
        ...         w = jax.random.normal(first, (x.shape[1], width)) / x.shape[1] ** 0.5
        ...         return {"w": w, "v": jax.random.normal(second, (width, 3)) / width**0.5}
        ...     def apply(params, x, *, slope):
        ...         h = x @ params["w"]
        ...         return jnp.where(h > 0, h, slope * h) @ params["v"]
        ...     return hpjax.Model(init, apply, {"slope": hpjax.Number(0.1, 0.0, 1.0)})
        >>> space = {"width": hpjax.Choice([4, 8]), "slope": hpjax.Uniform(0.0, 0.5), "learning_rate": 0.01}
        >>> result = hpjax.tune(space, "iris", model=build, trials=4, epochs=3, say=lambda text: None)
        >>> sorted(result.best["config"])
        ['slope', 'width']
    """

    init: Callable[..., Any]
    apply: Callable[..., Any]
    hyperparameters: Mapping[str, Number] = dataclasses.field(default_factory=dict)
    stateful: bool = False

    def __post_init__(self):
        for name, value in (("init", self.init), ("apply", self.apply)):
            if not callable(value):
                raise ValueError(f"Model needs functions, got {name}={value!r:.80}")
        for name, number in self.hyperparameters.items():
            if not isinstance(number, Number):
                raise ValueError(
                    f"hyperparameters of a Model are Numbers, got {name}={number!r:.80}; write Number({number!r:.40})"
                )
            if not number.low <= number.default <= number.high:
                raise ValueError(
                    f"{name} has the default {number.default:g} outside {number.low:g} to {number.high:g}"
                )
            if not accepts(self.apply, name):
                raise ValueError(
                    f"apply has no parameter {name!r}; write apply(params, x, *, {name})"
                )


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether a function may be handed something by this name."""
    parameters = inspect.signature(function).parameters
    whole = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return whole or (
        name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    )
