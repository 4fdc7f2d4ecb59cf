"""Name -> optax-style transformation built from a Config, on any pytree of weights.

The state of an optimizer holds no hyperparameters: it is rebuilt inside every step from traced numbers, so one compiled
step serves every learning rate. optax's own transformations stand here wherever they can be traced and differentiated;
rmsprop, adagrad and adam are ours, because optax's have a NaN hypergradient at exactly zero gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hpjax.models.base import INF, Array, Config, Place, Spec, Traced
from hpjax.training.learning_rate_schedules import schedule

BELOW_ONE = 1 - 2**-24  # the largest decay that float32 tells from 1

# the continuous hyperparameters of the optimizers
OPTIMIZER_NUMBERS: dict[str, Traced] = {
    "momentum": Traced(0.0, 0.0, 1.0, "weights", "share of the last step that is added"),
    "beta1": Traced(0.9, 0.0, BELOW_ONE, None, "decay of the first moment"),
    "beta2": Traced(0.999, 0.0, BELOW_ONE, None, "decay of the second moment"),
    "eps": Traced(1e-8, 1e-30, INF, None, "added to the root of the second moment"),
}


class Moments(NamedTuple):
    """State of the adaptive optimizers: steps done, and the moments each of them uses (else ())."""

    count: Array  # [] int32
    mu: optax.Params  # first moment
    nu: optax.Params  # second moment


def in_layer(value: Array, at: Place) -> Array:
    """A hyperparameter in one layer, for its weights or for the rest of it: one number, [L+1], or [L+1 2]."""
    here = value if jnp.ndim(value) == 0 else value[at.layer]
    return here if jnp.ndim(here) == 0 else here[int(not at.is_matrix)]


class Live(NamedTuple):
    """State of a learning rate that adapts within training."""

    rule: Any  # of the direction
    shift: Array  # [] or [L+1] what was added to the learning rate so far
    direction: optax.Params  # of the last step, before the learning rate


def along(grads: Any, direction: Any, like: Array, locate: Callable[..., Place]) -> Array:
    """-d loss / d learning rate of the step before: this step's gradient along the last direction: [], [L+1] or [L+1 2].

    w_t = w_(t-1) - rate u_(t-1), so d loss(w_t) / d rate = -g_t . u_(t-1) (Baydin et al. 2018, equation 5).
    """
    products: dict[Place, list[Array]] = {}
    for (path, g), u in zip(jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(direction)):
        products.setdefault(locate(path, g), []).append(jnp.vdot(g, u))
    layers = range(1 + max(at.layer for at in products))
    zero = jnp.zeros((), like.dtype)
    total = lambda weights: jnp.stack(
        [sum(products.get(Place(i, weights), []), zero) for i in layers]
    )
    weights, rest = total(True), total(False)
    if jnp.ndim(like) == 2:
        return jnp.stack([weights, rest], 1)
    return weights + rest if jnp.ndim(like) else (weights + rest).sum()


def safe_sqrt(x: Array) -> Array:
    """The square root, with derivative 0 at 0 instead of infinity.

    Below the smallest normal number it is that number's root (1e-19 in float32), which no eps notices; a maximum costs
    less in the inner loop than a selection.
    """
    return jnp.sqrt(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def adam(beta1: Array, beta2: Array, eps: Array) -> optax.GradientTransformation:
    """m / (sqrt(v) + eps) with bias-corrected moments (Kingma & Ba 2015, algorithm 1)."""

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del params, extra
        grads = updates
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.mu, grads)
        nu = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, state.nu, grads)
        steps = count.astype(beta1.dtype)
        fix1, fix2 = 1 / (1 - beta1**steps), 1 / (1 - beta2**steps)
        direction = jax.tree.map(lambda m, v: m * fix1 / (safe_sqrt(v * fix2) + eps), mu, nu)
        return direction, Moments(count, mu, nu)

    return optax.GradientTransformation(
        lambda params: Moments(
            jnp.zeros((), jnp.int32), optax.tree.zeros_like(params), optax.tree.zeros_like(params)
        ),
        update,
    )


def rmsprop(beta2: Array, eps: Array) -> optax.GradientTransformation:
    """g / (sqrt(v) + eps), v a running mean of g^2 (Tieleman & Hinton 2012)."""

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del params, extra
        grads = updates
        nu = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, state.nu, grads)
        direction = jax.tree.map(lambda g, v: g / (safe_sqrt(v) + eps), grads, nu)
        return direction, Moments(state.count + 1, (), nu)

    return optax.GradientTransformation(
        lambda params: Moments(jnp.zeros((), jnp.int32), (), optax.tree.zeros_like(params)), update
    )


def adagrad(eps: Array) -> optax.GradientTransformation:
    """g / sqrt(v + eps), v the sum of g^2 (Duchi et al. 2011)."""

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del params, extra
        grads = updates
        nu = jax.tree.map(lambda v, g: v + g * g, state.nu, grads)
        direction = jax.tree.map(lambda g, v: g / safe_sqrt(v + eps), grads, nu)
        return direction, Moments(state.count + 1, (), nu)

    return optax.GradientTransformation(
        lambda params: Moments(jnp.zeros((), jnp.int32), (), optax.tree.zeros_like(params)), update
    )


def momentum(
    beta: Array, locate: Callable[..., Place], nesterov: bool = False, damped: bool = False
) -> optax.GradientTransformation:
    """v = beta v + g (Polyak 1964), g + beta v of it (Nesterov 1983), or damped: v = beta v + (1 - beta) g.

    optax's have one beta; this may be one per weight layer.
    """

    def faster(path: tuple, v: Array, g: Array):
        here = in_layer(beta, locate(path, g))
        return here * v + ((1 - here) * g if damped else g)

    def ahead(path: tuple, v: Array, g: Array):
        return g + in_layer(beta, locate(path, g)) * v

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del params, extra
        speeds = jax.tree_util.tree_map_with_path(faster, state, updates)
        if not nesterov:
            return speeds, speeds
        return jax.tree_util.tree_map_with_path(ahead, speeds, updates), speeds

    return optax.GradientTransformation(lambda params: optax.tree.zeros_like(params), update)


def clip(grads: Any, largest: Array):
    """Gradients scaled to a global norm of at most `largest` (Pascanu et al. 2013, algorithm 1); finite at zero."""
    norm = safe_sqrt(jnp.asarray(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads))))
    over = norm > largest
    factor = jnp.where(over, largest / jnp.where(over, norm, 1), 1)
    return jax.tree.map(lambda g: g * factor, grads)


class Optimizer(NamedTuple):
    """An update rule's row in the table.

    Attributes:
        hyperparameters: the continuous hyperparameters that act on it.
        direction: (spec, config, locate) -> its direction before the learning rate, as optax would have it.
        moments: spec -> arrays like the weights that it carries from step to step.
        traffic: arrays like the weights that a step reads and writes, for the plan.
        adaptive: whether it divides by the size of past gradients (what mup asks).
    """

    hyperparameters: tuple[str, ...]
    direction: Callable[[Spec, Config, Callable[..., Place]], optax.GradientTransformation]
    moments: Callable[[Spec], int]
    traffic: int = 5
    adaptive: bool = False


def _sgd(spec: Spec, config: Config, locate: Callable[..., Place]) -> optax.GradientTransformation:
    return momentum(config["momentum"], locate) if "momentum" in spec.features else optax.identity()


_adam = Optimizer(
    ("beta1", "beta2", "eps"),
    lambda spec, config, locate: adam(config["beta1"], config["beta2"], config["eps"]),
    lambda spec: 2,
    traffic=7,
    adaptive=True,
)
OPTIMIZERS = {
    "sgd": Optimizer(("momentum",), _sgd, lambda spec: int("momentum" in spec.features)),
    "nesterov": Optimizer(
        ("momentum",),
        lambda spec, config, locate: momentum(config["momentum"], locate, nesterov=True),
        lambda spec: 1,
    ),
    "damped": Optimizer(
        ("momentum",),
        lambda spec, config, locate: momentum(config["momentum"], locate, damped=True),
        lambda spec: 1,
    ),
    "rmsprop": Optimizer(
        ("beta2", "eps"),
        lambda spec, config, locate: rmsprop(config["beta2"], config["eps"]),
        lambda spec: 1,
        adaptive=True,
    ),
    "adagrad": Optimizer(
        ("eps",), lambda spec, config, locate: adagrad(config["eps"]), lambda spec: 1, adaptive=True
    ),
    "adam": _adam,
    "adamw": _adam,
}


def optimizer(spec: Spec, config: Config, epoch: Array) -> optax.GradientTransformation:
    """The whole update rule of one step: clip, direction, decoupled weight decay, learning rate.

    Args:
        spec: names optimizer and schedule, and the network whose weights these are.
        config: scalar leaves (learning_rate may be one per weight layer).
        epoch: [] epochs done, for the schedule.

    Returns:
        An optax transformation whose updates are to be added to params.

    Example:
        >>> from hpjax.configurations import single_network
        >>> from hpjax.models.base import Target
        >>> spec, config = single_network(Target(2, 1, "bce"), hidden=(), optimizer="sgd", learning_rate=0.5)
        >>> rule = optimizer(spec, jax.tree.map(jnp.float32, config), jnp.float32(0))
        >>> params = ({"w": jnp.ones((2, 1))},)
        >>> updates, state = rule.update(params, rule.init(params), params)
        >>> updates[0]["w"].tolist()
        [[-0.5], [-0.5]]
    """
    locate, multiplier = spec.functions.locate, spec.functions.multiplier
    rule = OPTIMIZERS[spec.optimizer].direction(spec, config, locate)
    factor = schedule(spec, config, epoch)
    live = spec.schedule == "hypergradient"

    def init(params: Any):
        state = rule.init(params)
        if not live:
            return state
        return Live(state, jnp.zeros_like(config["learning_rate"]), optax.tree.zeros_like(params))

    def scaled(path: tuple, move: Array, weights: Any):
        if "weight_decay" in spec.features and locate(path, move).is_matrix:
            move = move + config["weight_decay"] * weights
        times = multiplier(config, path)
        return move if times is None else times * move

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del extra
        grads: Any = updates
        before = state
        if "clip_norm" in spec.features:
            grads = clip(grads, config["clip_norm"])
        moves, state = rule.update(grads, before.rule if live else before, params)
        directions = jax.tree_util.tree_map_with_path(scaled, moves, params)
        rates = factor * config["learning_rate"]
        if live:
            slope = along(updates, before.direction, rates, locate)
            shift = before.shift + config["hypergradient_rate"] * slope
            state = Live(state, shift, directions)
            rates = jnp.maximum(rates + shift, 0)
        downhill = lambda path, value: -in_layer(rates, locate(path, value)) * value
        return jax.tree_util.tree_map_with_path(downhill, directions), state

    return optax.GradientTransformation(init, update)
