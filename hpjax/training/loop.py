"""One network through time: `init`, `advance`.

Time nests: `advance` loops over scores, a score over epochs, an epoch over steps. There is no population axis here;
`population/kernels.py` vmaps these functions. Data and minibatch order are arguments, never constants, and the end of training is
a traced number, so a longer rung never compiles. Where a device does not hold all examples, `piece`, `predict` and `score` are what
`advance` does, a few minibatches at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hpjax.learning_curves import COLUMNS
from hpjax.models import Batch, Spec
from hpjax.models.base import Array, Config
from hpjax.training import optimizers
from hpjax.training.batches import Data, Part, importance, inputs, validation_part
from hpjax.training.metrics import Metrics
from hpjax.training.stepping import (
    SCORED,
    Carried,
    in_blocks,
    scores,
    update,
    value_and_grad_of,
    where,
)


class Scores(NamedTuple):
    """What is known of a network; NaN is kept as NaN."""

    train: Array  # [] mean data loss over the last epoch's minibatches
    loss: Array  # [] validation loss
    error: Array  # [] validation error: wrong classes, or 1 - R^2
    metrics: tuple[Array, ...] = ()  # [] each, other than loss and error

    def values(self) -> list[Array]:
        """All of them, in the order of a curve's columns."""
        return [self.train, self.loss, self.error, *self.metrics]


class Best(NamedTuple):
    """What early stopping remembers."""

    params: Any
    stats: Any
    scores: Scores
    epoch: Array  # [] int32
    waited: Array  # [] int32 scores without gain
    stopped: Array  # [] bool


class TrainState(NamedTuple):
    """What the next step needs, and the last scores. No hyperparameters."""

    params: Any
    stats: Any
    opt: Any
    epoch: Array  # [] int32 epochs done
    scores: Scores
    best: Any  # Best, or () without patience


class Trainer(NamedTuple):
    """One network through time.

    init:    (draw, config) -> TrainState; a draw as `drawn` makes it
    advance: (state, config, data, group, until) -> (TrainState, curve [rows 4+M])
    piece:   (state, total, config, data, epoch, first, many, steps, until) -> (TrainState, total, [] bool whether it ended the epoch):
        minibatches first, first + 1, ..., of `steps` in this epoch, if that is the network's next; `data` are their examples in
        order; `total` is the epoch's loss so far
    predict: (state, outputs [V C], config, data, first) -> outputs, with those of some examples of validation, `data`, from row
        `first` on
    score:   (state, curve, outputs, config, data, ended, until) -> (TrainState, curve, [] bool whether it trains on): where the
        network has just `ended` an epoch; `data` are the examples of validation, whose inputs are not needed
    """

    init: Callable[[Array, Config], TrainState]
    advance: Callable[..., tuple[TrainState, Array]]
    piece: Callable[..., tuple[TrainState, Array, Array]]
    predict: Callable[..., Array]
    score: Callable[..., tuple[TrainState, Array, Array]]


def own_pace(spec: Spec) -> bool:
    """Whether networks that begin together may stop at different epochs."""
    return bool({"epochs", "patience"} & set(spec.features))


def trainer(
    spec: Spec,
    score_every: int = 1,
    rows: int = 1,
    gradients: str = "explicit",
    uneven: bool = True,
    metrics: Metrics = (),
) -> Trainer:
    """Makes the functions that train one network of a shape.

    Args:
        spec: the shape.
        score_every: epochs between scores; training always ends on a score.
        rows: rows of a curve: the study's full fidelity over `score_every`, rounded up.
        gradients: "explicit" (backprop by hand) or "autodiff" (`jax.grad`).
        uneven: whether a step may have no weight at all (folds of different lengths); False saves a comparison.
        metrics: M of a user's own, beside the loss and the error.

    Returns:
        A Trainer.
    """
    value_and_grad = value_and_grad_of(spec, gradients)
    dtype = jnp.dtype(spec.dtype)
    unknown = jnp.full((), jnp.nan, dtype)
    nothing = Scores(unknown, unknown, unknown, tuple(unknown for _ in metrics))

    def init(draw: Array, config: Config):
        params, stats = spec.functions.init(draw, config)
        opt = optimizers.optimizer(spec, config, jnp.zeros((), dtype)).init(params)
        epoch = jnp.zeros((), jnp.int32)
        best = ()
        if "patience" in spec.features:
            worst = nothing._replace(loss=jnp.full((), jnp.inf, dtype))
            best = Best(params, stats, worst, epoch, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return TrainState(params, stats, opt, epoch, nothing, best)

    def step(state: TrainState, config: Config, batch: Batch, epoch: Array):
        (_, (stats, data)), grads = value_and_grad(state.params, state.stats, config, batch)
        before = Carried(state.params, state.stats, state.opt)
        some = batch.weight.sum() > 0 if uneven else None
        after = update(spec, config, before, grads, stats, epoch, some)
        return state._replace(**after._asdict()), data

    def outputs_of(state: TrainState, config: Config, x: Array):
        """Of examples [B F], a block of them after another."""
        network = lambda x: spec.functions.outputs(state.params, state.stats, config, x, None)[0]
        return in_blocks(network, x, SCORED)

    def evaluate(state: TrainState, outputs: Array, config: Config, part: Part):
        loss, wrong, others = scores(spec, outputs, config, part, metrics)
        return state._replace(scores=state.scores._replace(loss=loss, error=wrong, metrics=others))

    def remember(state: TrainState, config: Config, on_grid: Array):
        best, now = state.best, state.scores
        gained = on_grid & (now.loss < best.scores.loss)
        keep = lambda a, b: jnp.where(gained, a, b)
        params, stats = jax.tree.map(keep, (state.params, state.stats), (best.params, best.stats))
        waited = jnp.where(gained, 0, best.waited + on_grid.astype(jnp.int32))
        stopped = (config["patience"] > 0) & (waited >= config["patience"].astype(jnp.int32))
        kept = jax.tree.map(keep, now, best.scores)
        return state._replace(
            best=Best(params, stats, kept, keep(state.epoch, best.epoch), waited, stopped)
        )

    def end(config: Config, until: Array):
        capped = "epochs" in spec.features
        return jnp.minimum(until, config["epochs"].astype(jnp.int32)) if capped else until

    def unfinished(state: TrainState, until: Array):
        go = state.epoch < until
        return go & ~state.best.stopped if state.best else go

    def minibatches(
        state: TrainState,
        config: Config,
        data: Data,
        group: Array,
        steps: Array | int,
        whole: Any = None,
    ):
        """The steps of the epoch that the state is in, as `scan` has them; `whole` where every minibatch is the whole training part."""
        here = jax.random.fold_in(data.key[group], state.epoch)

        def body(carry: Any, xs: Any):
            state, total = carry
            number, index, weight = xs
            x, y = inputs(spec, data, group, index) if whole is None else whole
            rows = data.order[group, 0] if index is None else index
            weighted = importance(data, group, rows)
            batch = Batch(x, y, weight, jax.random.fold_in(here, number), weighted)
            done = state.epoch.astype(dtype) + number.astype(dtype) / steps
            state, data_loss = step(state, config, batch, done)
            return (
                state,
                total + jnp.where(weight.sum() > 0, data_loss * weight.sum(), 0),
            ), None

        return body

    def closed(state: TrainState, total: Array, count: Array):
        """The state after its epoch, whose loss is `total`."""
        train = total / jnp.maximum(count, 1).astype(dtype)
        return state._replace(epoch=state.epoch + 1, scores=state.scores._replace(train=train))

    def line(state: TrainState):
        return jnp.stack([state.epoch.astype(dtype), *state.scores.values()])

    def piece(
        state: TrainState,
        total: Array,
        config: Config,
        data: Data,
        epoch: Array,
        first: Array,
        many: Array,
        steps: Array,
        until: Array,
    ):
        size, count = spec.batch_size, data.count[0]
        begun = state
        if not own_pace(spec):  # as all of its chunk
            state = state._replace(epoch=epoch)
        whole = steps.astype(dtype)
        body = minibatches(state, config, data, jnp.zeros((), jnp.int32), whole)
        places = jnp.arange(size, dtype=jnp.int32)

        def at(place: Array, carry: Any):
            number = first + place
            weight = (number * size + places < count).astype(dtype)
            return body(carry, (number, place * size + places, weight))[0]

        trained, total = jax.lax.fori_loop(0, many, at, (state, total))
        last = (many > 0) & (first + many == steps)
        trained = where(last, closed(trained, total, count), trained)
        total = jnp.where(last, 0, total)
        if own_pace(spec):
            go = (many > 0) & (begun.epoch == epoch) & unfinished(begun, end(config, until))
            trained, last = where(go, trained, begun), last & go
        else:
            trained = trained._replace(epoch=jnp.where(many > 0, trained.epoch, begun.epoch))
        return trained, total, last

    def predict(state: TrainState, outputs: Array, config: Config, data: Data, first: Array):
        group = jnp.zeros((), jnp.int32)
        x, _ = inputs(spec, data, group, jnp.arange(len(data.y), dtype=jnp.int32))
        some = outputs_of(state, config, x)
        return jax.lax.dynamic_update_slice(outputs, some, (first, jnp.zeros_like(first)))

    def score(
        state: TrainState,
        curve: Array,
        outputs: Array,
        config: Config,
        data: Data,
        ended: Array,
        until: Array,
    ):
        until = end(config, until)
        on_grid = state.epoch % score_every == 0
        due = ended & (on_grid | (state.epoch == until))
        part = validation_part(spec, data, jnp.zeros((), jnp.int32))
        scored = evaluate(state, outputs[: len(part.y)], config, part)
        if state.best:
            scored = remember(scored, config, on_grid)
        state = where(due, scored, state)
        row = (state.epoch - 1) // score_every
        curve = curve.at[row].set(jnp.where(due, line(state), curve[row]))
        return state, curve, unfinished(state, until)

    def advance(state: TrainState, config: Config, data: Data, group: Array, until: Array):
        until = end(config, until)
        validation = validation_part(spec, data, group)
        count = data.count[group]
        places = data.order.shape[-1]
        size = spec.batch(places)
        steps = places // size
        undivided = spec.batch_size == 0
        whole = inputs(spec, data, group, data.order[group, 0]) if undivided else None
        weights = (jnp.arange(places, dtype=jnp.int32) < count).astype(dtype).reshape(steps, size)

        def epoch(state: TrainState, _: None = None):
            body = minibatches(state, config, data, group, steps, whole)
            zero = jnp.zeros((), dtype)
            if steps == 1:
                index = None if undivided else data.order[group, state.epoch]
                (state, total), _ = body(
                    (state, zero), (jnp.zeros((), jnp.int32), index, weights[0])
                )
            else:
                order = data.order[group, state.epoch].reshape(steps, size)
                (state, total), _ = jax.lax.scan(
                    body, (state, zero), (jnp.arange(steps, dtype=jnp.int32), order, weights)
                )
            return closed(state, total, count)

        def period(carry: Any):
            state, curve = carry
            row = state.epoch // score_every
            goal = jnp.minimum(until, (row + 1) * score_every)
            if score_every == 1:
                state = epoch(state)
            else:
                state = jax.lax.while_loop(lambda s: s.epoch < goal, epoch, state)
            state = evaluate(state, outputs_of(state, config, validation.x), config, validation)
            if state.best:
                state = remember(state, config, state.epoch % score_every == 0)
            return state, curve.at[row].set(line(state))

        curve = jnp.full((rows, len(COLUMNS) + len(metrics)), jnp.nan, dtype)
        go = lambda carry: unfinished(carry[0], until)
        return jax.lax.while_loop(go, period, (state, curve))

    return Trainer(init, advance, piece, predict, score)
