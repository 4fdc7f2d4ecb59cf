"""Name -> optax-style transformation built from a Config; learning-rate schedules.

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

from hpjax.catalogue import Config, Spec

Array = jax.Array


# --- schedules --------------------------------------------------------------------------------------------------------
def schedule(spec: Spec, config: Config, epoch: Array) -> Array:
    """What multiplies the learning rate.

    With t = epoch / horizon and r = decay_rate, n = t / decay_time:
    constant 1; step r^floor(n); exponential r^n; inverse_time 1 / (1 + r n);
    cosine e + (1 - e) (1 + cos(pi t)) / 2 with e = end_factor (Loshchilov & Hutter 2017, eq. 5);
    warmup_cosine rises linearly to 1 over the first `warmup` of the horizon, then falls as the cosine.

    Args:
        spec: names the schedule.
        config: scalar leaves.
        epoch: [] epochs done, with the fraction of the current one.

    Returns:
        [] the factor.
    """
    t = jnp.clip(epoch / config["horizon"], 0, 1)
    n = epoch / (config["horizon"] * config["decay_time"])
    match spec.schedule:
        case "constant" | "hypergradient":
            return jnp.ones_like(t)
        case "step":
            return config["decay_rate"] ** jnp.floor(n + 1e-6)
        case "exponential":
            return config["decay_rate"] ** n
        case "inverse_time":
            return 1 / (1 + config["decay_rate"] * n)
        case "cosine":
            return _cosine(t, config["end_factor"])
        case "warmup_cosine":
            rise = jnp.maximum(config["warmup"], 1e-6)
            fall = (t - rise) / jnp.maximum(1 - rise, 1e-6)
            return jnp.where(
                t < rise, t / rise, _cosine(jnp.clip(fall, 0, 1), config["end_factor"])
            )
    raise ValueError(f"no schedule is called {spec.schedule!r}")


def _cosine(t: Array, end: Array) -> Array:
    return end + (1 - end) * (1 + jnp.cos(jnp.pi * t)) / 2


# --- transformations --------------------------------------------------------------------------------------------------
class Moments(NamedTuple):
    """State of the adaptive optimizers: steps done, and the moments each of them uses (else ())."""

    count: Array  # [] int32
    mu: optax.Params  # first moment
    nu: optax.Params  # second moment


def in_layer(value: Array, layer: int, leaf: str) -> Array:
    """A hyperparameter in one layer, for its weights or for the rest of it: one number, [L+1], or [L+1 2]."""
    here = value if jnp.ndim(value) == 0 else value[layer]
    return here if jnp.ndim(here) == 0 else here[int(leaf != "w")]


class Live(NamedTuple):
    """State of a learning rate that adapts within training."""

    rule: Any  # of the direction
    shift: Array  # [] or [L+1] what was added to the learning rate so far
    direction: optax.Params  # of the last step, before the learning rate


def along(grads: Any, direction: Any, like: Array) -> Array:
    """-d loss / d learning rate of the step before: this step's gradient along the last direction: [], [L+1] or [L+1 2].

    w_t = w_(t-1) - rate u_(t-1), so d loss(w_t) / d rate = -g_t . u_(t-1) (Baydin et al. 2018, equation 5).
    """
    products = [{leaf: jnp.vdot(g[leaf], u[leaf]) for leaf in g} for g, u in zip(grads, direction)]
    weights = jnp.stack([made["w"] for made in products])
    others = [[v for n, v in made.items() if n != "w"] for made in products]
    rest = jnp.stack([sum(made, jnp.zeros_like(weights[0])) for made in others])
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

    def update(updates, state, params=None, **extra):
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

    def update(updates, state, params=None, **extra):
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

    def update(updates, state, params=None, **extra):
        del params, extra
        grads = updates
        nu = jax.tree.map(lambda v, g: v + g * g, state.nu, grads)
        direction = jax.tree.map(lambda g, v: g / safe_sqrt(v + eps), grads, nu)
        return direction, Moments(state.count + 1, (), nu)

    return optax.GradientTransformation(
        lambda params: Moments(jnp.zeros((), jnp.int32), (), optax.tree.zeros_like(params)), update
    )


def momentum(
    beta: Array, nesterov: bool = False, damped: bool = False
) -> optax.GradientTransformation:
    """v = beta v + g (Polyak 1964), g + beta v of it (Nesterov 1983), or damped: v = beta v + (1 - beta) g.

    optax's have one beta; this may be one per weight layer.
    """

    def update(updates, state, params=None, **extra):
        del params, extra
        grads: Any = updates
        speeds, moves = [], []
        for layer, (v, g) in enumerate(zip(state, grads)):
            of = lambda leaf, layer=layer: in_layer(beta, layer, leaf)
            new = {
                leaf: of(leaf) * v[leaf] + ((1 - of(leaf)) * g[leaf] if damped else g[leaf])
                for leaf in g
            }
            speeds.append(new)
            moves.append({leaf: g[leaf] + of(leaf) * new[leaf] for leaf in g} if nesterov else new)
        return tuple(moves), tuple(speeds)

    return optax.GradientTransformation(lambda params: optax.tree.zeros_like(params), update)


def clip(grads, largest: Array):
    """Gradients scaled to a global norm of at most `largest` (Pascanu et al. 2013, algorithm 1); finite at zero."""
    norm = safe_sqrt(jnp.asarray(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads))))
    over = norm > largest
    factor = jnp.where(over, largest / jnp.where(over, norm, 1), 1)
    return jax.tree.map(lambda g: g * factor, grads)


def direction(spec: Spec, config: Config) -> optax.GradientTransformation:
    """The optimizer's direction before the learning rate, as optax would have it."""
    match spec.optimizer:
        case "sgd":
            if "momentum" not in spec.features:
                return optax.identity()
            return momentum(config["momentum"])
        case "nesterov":
            return momentum(config["momentum"], nesterov=True)
        case "damped":
            return momentum(config["momentum"], damped=True)
        case "rmsprop":
            return rmsprop(config["beta2"], config["eps"])
        case "adagrad":
            return adagrad(config["eps"])
        case "adam" | "adamw":
            return adam(config["beta1"], config["beta2"], config["eps"])
    raise ValueError(f"no optimizer is called {spec.optimizer!r}")


def optimizer(
    spec: Spec,
    config: Config,
    epoch: Array,
    multipliers: Callable[[str, int], Array | None] = lambda leaf, layer: None,
) -> optax.GradientTransformation:
    """The whole update rule of one step: clip, direction, decoupled weight decay, learning rate.

    Args:
        spec: names optimizer and schedule.
        config: scalar leaves (learning_rate may be one per weight layer).
        epoch: [] epochs done, for the schedule.
        multipliers: (leaf name, layer) -> what multiplies that leaf's learning rate (mup), None for 1.

    Returns:
        An optax transformation whose updates are to be added to params.

    Example:
        >>> from hpjax.catalogue import Target, one
        >>> spec, config = one(Target(2, 1, "bce"), hidden=(), optimizer="sgd", learning_rate=0.5)
        >>> rule = optimizer(spec, jax.tree.map(jnp.float32, config), jnp.float32(0))
        >>> params = ({"w": jnp.ones((2, 1))},)
        >>> updates, state = rule.update(params, rule.init(params), params)
        >>> updates[0]["w"].tolist()
        [[-0.5], [-0.5]]
    """
    rule = direction(spec, config)
    factor = schedule(spec, config, epoch)
    live = spec.schedule == "hypergradient"

    def init(params):
        state = rule.init(params)
        if not live:
            return state
        return Live(state, jnp.zeros_like(config["learning_rate"]), optax.tree.zeros_like(params))

    def update(updates, state, params=None, **extra):
        del extra
        grads: Any = updates
        held: Any = params
        before = state
        if "clip_norm" in spec.features:
            grads = clip(grads, config["clip_norm"])
        found, state = rule.update(grads, before.rule if live else before, params)
        moves: Any = found
        directions = []
        for layer, move in enumerate(moves):
            here = {}
            for leaf, value in move.items():
                if leaf == "w" and "weight_decay" in spec.features:
                    value = value + config["weight_decay"] * held[layer]["w"]
                times = multipliers(leaf, layer)
                here[leaf] = value if times is None else times * value
            directions.append(here)
        rates = factor * config["learning_rate"]
        if live:
            shift = before.shift + config["hypergradient_rate"] * along(
                updates, before.direction, rates
            )
            state = Live(state, shift, tuple(directions))
            rates = jnp.maximum(rates + shift, 0)
        made = []
        for layer, here in enumerate(directions):
            made.append(
                {leaf: -in_layer(rates, layer, leaf) * value for leaf, value in here.items()}
            )
        return tuple(made), state

    return optax.GradientTransformation(init, update)
