"""One network through time: `init`, `advance`.

Time nests: `advance` loops over scores, a score over epochs, an epoch over steps. There is no population axis here;
`population/kernels.py` vmaps these functions. Data and minibatch order are arguments, never constants, and the end of training is
a traced number, so a longer rung never compiles. `training/piecewise.py` does what `advance` does, a few minibatches at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hpjax.curve_columns import COLUMNS
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


def own_pace(spec: Spec) -> bool:
    """Whether networks that begin together may stop at different epochs."""
    return bool({"epochs", "patience"} & set(spec.features))


class Trainer(NamedTuple):
    """How one network of a shape goes through time.

    Attributes:
        spec: the shape.
        score_every: epochs between scores; training always ends on a score.
        rows: rows of a curve: the study's full fidelity over `score_every`, rounded up.
        gradients: "explicit" (backprop by hand) or "autodiff" (`jax.grad`).
        uneven: whether a step may have no weight at all (folds of different lengths); False saves a comparison.
        metrics: M of a user's own, beside the loss and the error.
    """

    spec: Spec
    score_every: int = 1
    rows: int = 1
    gradients: str = "explicit"
    uneven: bool = True
    metrics: Metrics = ()

    @property
    def dtype(self) -> Any:
        """Of weights and scores."""
        return jnp.dtype(self.spec.dtype)

    def init(self, draw: Array, config: Config) -> TrainState:
        """A network before its first step; a draw as `batches.drawn` makes it."""
        params, stats = self.spec.functions.init(draw, config)
        opt = optimizers.optimizer(self.spec, config, jnp.zeros((), self.dtype)).init(params)
        unknown, epoch = jnp.full((), jnp.nan, self.dtype), jnp.zeros((), jnp.int32)
        nothing = Scores(unknown, unknown, unknown, tuple(unknown for _ in self.metrics))
        best = ()
        if "patience" in self.spec.features:
            worst = nothing._replace(loss=jnp.full((), jnp.inf, self.dtype))
            best = Best(params, stats, worst, epoch, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        return TrainState(params, stats, opt, epoch, nothing, best)

    def advance(
        self, state: TrainState, config: Config, data: Data, group: Array, until: Array
    ) -> tuple[TrainState, Array]:
        """Trains to an epoch, or to the network's own end; and its curve [rows 4+M]."""
        until = self.end(config, until)
        validation = validation_part(self.spec, data, group)
        epoch = self._epoch(config, data, group)

        def period(carry: Any):
            state, curve = carry
            row = state.epoch // self.score_every
            goal = jnp.minimum(until, (row + 1) * self.score_every)
            if self.score_every == 1:
                state = epoch(state)
            else:
                state = jax.lax.while_loop(lambda s: s.epoch < goal, epoch, state)
            outputs = self.outputs_of(state, config, validation.x)
            on_grid = state.epoch % self.score_every == 0
            state = self.scored(state, outputs, config, validation, on_grid)
            return state, curve.at[row].set(self.line(state))

        curve = jnp.full((self.rows, len(COLUMNS) + len(self.metrics)), jnp.nan, self.dtype)
        go = lambda carry: self.unfinished(carry[0], until)
        return jax.lax.while_loop(go, period, (state, curve))

    def _epoch(
        self, config: Config, data: Data, group: Array
    ) -> Callable[[TrainState], TrainState]:
        """One epoch of a group."""
        count, places = data.count[group], data.order.shape[-1]
        size = self.spec.batch(places)
        steps = places // size
        undivided = self.spec.batch_size == 0
        whole = inputs(self.spec, data, group, data.order[group, 0]) if undivided else None
        there = jnp.arange(places, dtype=jnp.int32) < count
        weights = there.astype(self.dtype).reshape(steps, size)

        def epoch(state: TrainState) -> TrainState:
            body = self.minibatches(state, config, data, group, steps, whole)
            begun = state, jnp.zeros((), self.dtype)
            if steps == 1:
                index = None if undivided else data.order[group, state.epoch]
                only = jnp.zeros((), jnp.int32), index, weights[0]
                (state, total), _ = body(begun, only)
            else:
                order = data.order[group, state.epoch].reshape(steps, size)
                every = jnp.arange(steps, dtype=jnp.int32), order, weights
                (state, total), _ = jax.lax.scan(body, begun, every)
            return self.closed(state, total, count)

        return epoch

    def minibatches(
        self,
        state: TrainState,
        config: Config,
        data: Data,
        group: Array,
        steps: Array | int,
        whole: Any = None,
    ) -> Callable[[Any, Any], tuple[Any, None]]:
        """The steps of the epoch that the state is in, as `scan` has them; `whole` where every minibatch is the whole training part."""
        here = jax.random.fold_in(data.key[group], state.epoch)

        def body(carry: Any, xs: Any):
            state, total = carry
            number, index, weight = xs
            x, y = inputs(self.spec, data, group, index) if whole is None else whole
            rows = data.order[group, 0] if index is None else index
            weighted = importance(data, group, rows)
            batch = Batch(x, y, weight, jax.random.fold_in(here, number), weighted)
            done = state.epoch.astype(self.dtype) + number.astype(self.dtype) / steps
            state, loss = self._step(state, config, batch, done)
            return (state, total + jnp.where(weight.sum() > 0, loss * weight.sum(), 0)), None

        return body

    def _step(
        self, state: TrainState, config: Config, batch: Batch, epoch: Array
    ) -> tuple[TrainState, Array]:
        """One minibatch; its data loss."""
        value_and_grad = value_and_grad_of(self.spec, self.gradients)
        (_, (stats, data)), grads = value_and_grad(state.params, state.stats, config, batch)
        before = Carried(state.params, state.stats, state.opt)
        some = batch.weight.sum() > 0 if self.uneven else None
        after = update(self.spec, config, before, grads, stats, epoch, some)
        return state._replace(**after._asdict()), data

    def closed(self, state: TrainState, total: Array, count: Array) -> TrainState:
        """The state after its epoch, whose loss is `total`."""
        train = total / jnp.maximum(count, 1).astype(self.dtype)
        return state._replace(epoch=state.epoch + 1, scores=state.scores._replace(train=train))

    def outputs_of(self, state: TrainState, config: Config, x: Array) -> Array:
        """Of examples [B F], a block of them after another."""
        outputs = self.spec.functions.outputs
        network = lambda x: outputs(state.params, state.stats, config, x, None)[0]
        return in_blocks(network, x, SCORED)

    def scored(
        self, state: TrainState, outputs: Array, config: Config, part: Part, on_grid: Array
    ) -> TrainState:
        """The state with its scores, by outputs [V C], and what early stopping remembers."""
        loss, wrong, others = scores(self.spec, outputs, config, part, self.metrics)
        now = state.scores._replace(loss=loss, error=wrong, metrics=others)
        state = state._replace(scores=now)
        return _remembered(state, config, on_grid) if state.best else state

    def end(self, config: Config, until: Array) -> Array:
        """The epoch [] at which a network ends that is to be trained to `until`."""
        capped = "epochs" in self.spec.features
        return jnp.minimum(until, config["epochs"].astype(jnp.int32)) if capped else until

    def unfinished(self, state: TrainState, until: Array) -> Array:
        """Whether [] it trains on."""
        go = state.epoch < until
        return go & ~state.best.stopped if state.best else go

    def line(self, state: TrainState) -> Array:
        """The row [4+M] of the curve."""
        return jnp.stack([state.epoch.astype(self.dtype), *state.scores.values()])


def _remembered(state: TrainState, config: Config, on_grid: Array) -> TrainState:
    """The state with the best weights so far: only scores on the grid count."""
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
