"""Training as a function of its hyperparameters, one step after another: what every mode differentiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.catalogue import tables
from hpjax.hypergrad.coordinates import Kind, decode
from hpjax.models import MLP, Batch, Spec
from hpjax.models.base import Array, Config, cast
from hpjax.training import batches, loop, optimizers, stepping
from hpjax.training.metrics import Metrics

OBJECTIVES = ("validation", "train", "curve", "next")


class Hyper(NamedTuple):
    """Hyperparameters as training meets them, by name."""

    constant: dict[str, Array]
    scheduled: dict[str, Array]  # [T ...] one for every step

    def at(self, step: int) -> Config:
        """Those of one step, counted from the end where negative."""
        return self.constant | {name: value[step] for name, value in self.scheduled.items()}


class State(NamedTuple):
    """What training carries from step to step."""

    params: Any
    stats: Any
    opt: Any
    total: Array | None  # [] data losses so far, where the objective is their mean


class TrainingPlan(NamedTuple):
    """Everything static about a differentiated training run; hashable, names one compiled program."""

    spec: Spec
    steps: int
    scales: tuple[tuple[str, Kind], ...]  # of what is differentiated, by name
    segments: tuple[tuple[str, int], ...] = ()  # name -> equal stretches of the steps
    objective: str = "validation"
    gradients: str = "explicit"
    uneven: bool = False  # whether a step may have no weight at all (folds of different lengths)
    metrics: Metrics = ()  # of a user's own, reported with the error
    report: bool = False  # whether validation error and training loss are wanted too
    curve: bool = False  # whether every minibatch's loss is wanted too, in plain training


class Process(NamedTuple):
    """A training run, taken apart; t is a step's number, h the hyperparameters of that step.

    A step is `update(state, h, t, *gradient(state.params, state.stats, h, t))`.
    """

    steps: int
    hyper: Callable[[dict], Hyper]  # coordinates -> hyperparameters
    begin: Callable[[Hyper], State]
    loss: Callable[..., tuple]  # (params, stats, h, t) -> (loss [], (stats, data loss))
    gradient: Callable[..., tuple]  # (params, stats, h, t) -> (gradients, (stats, data loss))
    update: Callable[..., State]  # (state, h, t, gradients, (stats, data loss)) -> state
    end: Callable[[State, Hyper], Array]  # the objective []
    # validation error and training loss, where the plan wants them
    report: Callable[[State, Hyper], dict]
    # (params, stats, h) -> what is zero where training with the whole training part stands still
    rest: Callable[..., Any]
    lost: bool  # whether the objective or the state depends on (stats, data loss)

    def step(self, state: State, h: Config, t: Array) -> State:
        """One step of training."""
        return self.update(state, h, t, *self.gradient(state.params, state.stats, h, t))

    def clock(self, hyper: Hyper) -> tuple[Array, dict]:
        """What a scan over the steps runs through: (t [T], scheduled [T ...])."""
        return jnp.arange(self.steps, dtype=jnp.int32), hyper.scheduled

    def watched(self, state: State, hyper: Hyper, clock: tuple[Array, dict]) -> tuple[State, Array]:
        """As `advance`, with the loss of every minibatch [T]."""

        def body(state: State, now: tuple[Array, Config]):
            t, scheduled = now
            h = hyper.constant | scheduled
            grads, aux = self.gradient(state.params, state.stats, h, t)
            return self.update(state, h, t, grads, aux), aux[1]

        return jax.lax.scan(body, state, clock)

    def advance(self, state: State, hyper: Hyper, clock: tuple[Array, dict]) -> State:
        """The steps of a clock, or of a part of it."""

        def body(state: State, now: tuple[Array, Config]):
            t, scheduled = now
            return self.step(state, hyper.constant | scheduled, t), None

        return jax.lax.scan(body, state, clock)[0]


def process_of(
    plan: TrainingPlan, fixed: Config, data: batches.Data, group: Array, draw: Array
) -> Process:
    """A network's training on a task.

    Args:
        plan: what is static.
        fixed: the config; what is differentiated is replaced by what its coordinates say.
        data: the task, with the order of the minibatches.
        group: [] which of the data's groups.
        draw: what the network starts from.

    Returns:
        A Process whose state after T steps is that of plain training.
    """
    spec, scales, segments = plan.spec, dict(plan.scales), dict(plan.segments)
    value_and_grad = stepping.value_and_grad_of(spec, plan.gradients)
    fixed = cast(fixed, spec)
    places = data.order.shape[-1]
    size = spec.batch(places)
    per_epoch = places // size
    dtype = jnp.dtype(spec.dtype)
    count, key = data.count[group], data.key[group]

    def hyper(coordinates: dict) -> Hyper:
        values = cast(decode(coordinates, scales), spec)
        which = lambda name: np.arange(plan.steps, dtype=np.int64) * segments[name] // plan.steps
        scheduled = {name: values[name][which(name).astype(np.int32)] for name in segments}
        return Hyper({n: v for n, v in values.items() if n not in segments}, scheduled)

    def batch(h: Config, t: Array) -> Batch:
        epoch, number = t // per_epoch, t % per_epoch
        row = jnp.zeros_like(epoch) if spec.batch_size == 0 else epoch
        index = jax.lax.dynamic_slice(data.order, (group, row, number * size), (1, 1, size))[0, 0]
        weight = (number * size + jnp.arange(size, dtype=jnp.int32) < count).astype(dtype)
        x, y = batches.inputs(spec, data, group, index)
        noise = jax.random.fold_in(jax.random.fold_in(key, epoch), number)
        given, learned = (
            batches.importance(data, group, index),
            h.get("data_weights", fixed.get("data_weights")),
        )
        if learned is not None:
            given = learned[index] if given is None else given * learned[index]
        return Batch(x, y, weight, noise, given)

    def config(h: Config) -> Config:
        return fixed | {name: value for name, value in h.items() if name != "data_weights"}

    def begin(h: Hyper) -> State:
        started = loop.Trainer(spec).init(draw, config(h.at(0)))
        total = jnp.zeros((), dtype) if plan.objective == "curve" else None
        return State(started.params, started.stats, started.opt, total)

    def loss(params: Any, stats: Any, h: Config, t: Array):
        return spec.functions.loss(params, stats, config(h), batch(h, t))

    def gradient(params: Any, stats: Any, h: Config, t: Array):
        (_, aux), grads = value_and_grad(params, stats, config(h), batch(h, t))
        return grads, aux

    def update(state: State, h: Config, t: Array, grads: Any, aux: tuple[Any, Array]):
        stats, data_loss = aux
        epoch = (t // per_epoch).astype(dtype) + (t % per_epoch).astype(dtype) / per_epoch
        before = stepping.Carried(state.params, state.stats, state.opt)
        some = (t % per_epoch) * size < count if plan.uneven else None
        after = stepping.update(spec, config(h), before, grads, stats, epoch, some)
        total = state.total
        if total is not None:
            total = total + (data_loss if some is None else jnp.where(some, data_loss, 0))
        return State(*after, total)

    def end(state: State, h: Hyper) -> Any:
        values = h.at(-1)
        if state.total is not None:
            return state.total / plan.steps
        if plan.objective == "next":
            now = batch(values, jnp.asarray(plan.steps, jnp.int32))
            return spec.functions.loss(state.params, state.stats, config(values), now)[0]
        return scores(state, values, plan.objective == "train")[0]

    def scores(state: State, values: Config, training: bool) -> tuple[Array, Array, tuple]:
        """Loss, error and own metrics on the training or the validation part."""
        if training:
            weight = jnp.arange(places, dtype=jnp.int32) < count
            part = batches.part_of(spec, data, group, data.train[group], weight)
        else:
            part = batches.validation_part(spec, data, group)
        of = config(values)
        outputs, _ = spec.functions.outputs(state.params, state.stats, of, part.x, None)
        return stepping.scores(spec, outputs, of, part, plan.metrics)

    def report(state: State, h: Hyper) -> dict:
        if not plan.report:
            return {}
        values = h.at(-1)
        _, wrong, others = scores(state, values, False)
        found = {"error": wrong, "train": scores(state, values, True)[0]}
        return found | ({"metrics": jnp.stack(others)} if others else {})

    def rest(params: Any, stats: Any, h: Config):
        grads, _ = gradient(params, stats, h, jnp.zeros((), jnp.int32))
        return _with_decay(spec, config(h), grads, params)

    lost = spec.size.statistics > 0 or plan.objective == "curve"
    return Process(plan.steps, hyper, begin, loss, gradient, update, end, report, rest, lost)


def _with_decay(spec: Spec, config: Config, grads: Any, params: Any) -> Any:
    """The gradients of what training comes to rest at: of the loss, and decay of weights where there is one."""
    if "weight_decay" not in spec.features:
        return grads
    decay = config["weight_decay"]
    if spec.optimizer == "nesterov" or (spec.optimizer == "sgd" and "momentum" in spec.features):
        # the decay is added to v = g / (1 - momentum)
        kept = lambda at: decay * (1 - optimizers.in_layer(config["momentum"], at))
    else:
        kept = lambda at: decay

    def pulled(path: tuple, g: Array, p: Array):
        at = spec.functions.locate(path, g)
        return g + kept(at) * p if at.is_matrix else g

    return jax.tree_util.tree_map_with_path(pulled, grads, params)


def with_real(tree: Any, real: list) -> Any:
    """The tangents or cotangents of a tree, from those of its real leaves; counts have none."""
    leaves, structure = jax.tree.flatten(tree)
    given = iter(real)
    none = lambda leaf: np.zeros(np.shape(leaf), jax.dtypes.float0)
    return jax.tree.unflatten(structure, [next(given) if _real(a) else none(a) for a in leaves])


def real_leaves(tree: Any, like: Any) -> list:
    """The leaves of a tree of tangents or cotangents that belong to real leaves of `like`."""
    return [d for d, a in zip(jax.tree.leaves(tree), jax.tree.leaves(like)) if _real(a)]


def _real(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def shape(name: str, value: Any, segments: int | None, steps: int, spec: Spec) -> np.ndarray:
    """A hyperparameter's values, with a leading axis of `segments` where it has a schedule.

    Args:
        name: of the hyperparameter.
        value: one number, one per layer, for learning rate and momentum also one for a layer's weights and one for the rest
            of it, [L+1 2]; or a whole schedule of these, which is what S values are taken for.
        segments: S stretches of the steps, None for no schedule.
        steps: T.
        spec: of the network.

    Raises:
        ValueError: values for another number of layers or stretches; names both.
    """
    value = np.asarray(value, np.float64)
    traced = tables(MLP)[1]
    layers = spec.layers.get((traced[name].per if name in traced else None) or "", 0)
    single = [
        (),
        *([(layers,)] if layers else []),
        *([(layers, 2)] if name in ("learning_rate", "momentum") else []),
    ]
    if segments is None:
        if value.shape not in single:
            each = f"one number, or {layers}, one per layer" if layers else "one number"
            raise ValueError(
                f"{name} has {' x '.join(map(str, value.shape))} values; give {each}, or name it in segments if it is a schedule"
            )
        return value
    if not 1 <= segments <= steps:
        raise ValueError(
            f"{name} has {segments} segments for {steps} steps; give from 1 to {steps}"
        )
    if value.ndim and len(value) == segments and value.shape[1:] in single:
        return value
    if value.shape in single:
        return np.tile(value, (segments,) + (1,) * value.ndim)
    per_layer = f", or one per layer ({layers})" if layers else ""
    raise ValueError(
        f"the schedule of {name} has length {len(value)}, but {segments} segments are asked for; give {segments} values{per_layer}"
    )


def resized(plan: TrainingPlan, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose leaves have the lengths that a plan says."""
    segments = dict(plan.segments)
    whole = ("data_weights",)
    return {
        name: np.asarray(value, np.float64)
        if name in whole
        else shape(name, value, segments.get(name), plan.steps, plan.spec)
        for name, value in config.items()
    }
