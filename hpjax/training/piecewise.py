"""What `Trainer.advance` does, a few minibatches at a time, where a device does not hold all examples: the same losses, digit for digit.

`piece` trains, `predict` fills in outputs of validation, `score` is what comes at the end of an epoch. `data` holds the examples that
are at hand, as `training/host_pieces.py` makes it: group 0, in order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models.base import Array, Config
from hpjax.training.batches import Data, inputs, validation_part
from hpjax.training.loop import Trainer, TrainState, own_pace
from hpjax.training.stepping import where


def piece(
    trainer: Trainer,
    state: TrainState,
    total: Array,
    config: Config,
    data: Data,
    epoch: Array,
    first: Array,
    many: Array,
    steps: Array,
    until: Array,
) -> tuple[TrainState, Array, Array]:
    """Trains on minibatches `first`, `first` + 1, ..., of `steps` in this epoch, if that is the network's next.

    Args:
        trainer: of the network.
        state: before.
        total: [] loss of the epoch so far.
        config, data: of the network.
        epoch, first, many, steps: [] int32.
        until: [] epoch.

    Returns:
        The state, the epoch's loss so far, and whether [] it ended the epoch.
    """
    spec, size, count = trainer.spec, trainer.spec.batch_size, data.count[0]
    begun = state
    if not own_pace(spec):  # as all of its chunk
        state = state._replace(epoch=epoch)
    whole = steps.astype(trainer.dtype)
    body = trainer.minibatches(state, config, data, jnp.zeros((), jnp.int32), whole)
    places = jnp.arange(size, dtype=jnp.int32)

    def at(place: Array, carry: Any):
        number = first + place
        weight = (number * size + places < count).astype(trainer.dtype)
        return body(carry, (number, place * size + places, weight))[0]

    after, total = jax.lax.fori_loop(0, many, at, (state, total))
    last = (many > 0) & (first + many == steps)
    after = where(last, trainer.closed(after, total, count), after)
    total = jnp.where(last, 0, total)
    if own_pace(spec):
        ahead = trainer.unfinished(begun, trainer.end(config, until))
        go = (many > 0) & (begun.epoch == epoch) & ahead
        after, last = where(go, after, begun), last & go
    else:
        after = after._replace(epoch=jnp.where(many > 0, after.epoch, begun.epoch))
    return after, total, last


def predict(
    trainer: Trainer, state: TrainState, outputs: Array, config: Config, data: Data, first: Array
) -> Array:
    """Outputs [V C] with those of some examples of validation, `data`, from row `first` on."""
    group = jnp.zeros((), jnp.int32)
    x, _ = inputs(trainer.spec, data, group, jnp.arange(len(data.y), dtype=jnp.int32))
    some = trainer.outputs_of(state, config, x)
    return jax.lax.dynamic_update_slice(outputs, some, (first, jnp.zeros_like(first)))


def score(
    trainer: Trainer,
    state: TrainState,
    curve: Array,
    outputs: Array,
    config: Config,
    data: Data,
    ended: Array,
    until: Array,
) -> tuple[TrainState, Array, Array]:
    """Scores a network that has just `ended` an epoch, where one is due; `data` are the examples of validation, whose inputs are not needed.

    Returns:
        The state, the curve, and whether [] it trains on.
    """
    until, every = trainer.end(config, until), trainer.score_every
    on_grid = state.epoch % every == 0
    due = ended & (on_grid | (state.epoch == until))
    part = validation_part(trainer.spec, data, jnp.zeros((), jnp.int32))
    state = where(due, trainer.scored(state, outputs[: len(part.y)], config, part, on_grid), state)
    row = (state.epoch - 1) // every
    curve = curve.at[row].set(jnp.where(due, trainer.line(state), curve[row]))
    return state, curve, trainer.unfinished(state, until)
