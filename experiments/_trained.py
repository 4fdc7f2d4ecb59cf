"""Trained networks themselves, not only their scores: weights of many configurations and repeats, and what they compute."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from hpjax.tasks import Task


class Trained(NamedTuple):
    """The networks of one configuration, one per repeat."""

    spec: Any  # their shape
    config: dict  # its numbers
    params: Any  # leaves [R ...]; with patience those of the best epoch
    stats: Any
    # [R scores 4] epoch, training loss, validation loss and error; NaN after a stop
    curve: np.ndarray
    weights_epoch: np.ndarray  # [R] epoch whose weights these are


def trained(
    space: Mapping,
    task: Task,
    points: Sequence[Mapping],
    epochs: int,
    repeats: int = 1,
    seed: int = 0,
    score_every: int = 1,
) -> list[Trained]:
    """Trains one population, every configuration `repeats` times, and hands out its networks.

    Args:
        space: as `hpjax.tune` takes it.
        task: with ready-made folds of one split, or none.
        points: configurations of that space.
        epochs: of training.
        repeats: R networks per configuration.
        seed: names all randomness.
        score_every: epochs between scores.
    """

    import hpjax

    constants = {n: v for n, v in space.items() if not isinstance(v, hpjax.space.Range)}
    configs = [constants | dict(point) for point in points]
    found = hpjax.train(
        configs,
        task,
        epochs,
        seeds=[seed],
        validation={"repeats": repeats, "score_every": score_every},
        say=lambda text: None,
    )
    result = []
    for row in range(len(configs)):
        (spec, config), state = found.shape(row), found.states(row)
        result.append(
            Trained(
                spec,
                config,
                state.params,
                state.stats,
                found.results.curves[row],
                found.results.weights_epoch[row],
            )
        )
    return result


def losses(one: Trained, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean losses [R] on inputs [N F] and targets [N C] as the networks see them."""
    import jax

    from hpjax.training.losses import loss_of

    with jax.enable_x64(one.spec.dtype == "float64"):
        targets = jax.numpy.asarray(y, one.spec.dtype)
        loss = jax.vmap(lambda z: loss_of(one.spec).each(z, targets).mean())
        return np.asarray(loss(outputs(one, x)))


def seen(task: Task, rows: np.ndarray, trained_on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples as networks see them, standardised by the part that they were trained on: [n F] and [n C]."""
    from hpjax import tasks
    from hpjax.training import batches

    examples = batches.examples_of(task, (tasks.Split(trained_on, trained_on[:1]),))
    found = batches.standards(examples, trained_on)
    y = task.targets()[rows]
    x = found.inputs(task.x[rows], task.schema)
    return x, y if task.classes else (y - found.y_shift) * found.y_scale


def outputs(one: Trained, x: np.ndarray) -> np.ndarray:
    """Outputs [R N C] for inputs as the networks see them [N F]."""
    import jax

    from hpjax.models.base import cast

    with jax.enable_x64(one.spec.dtype == "float64"):
        config = cast(one.config, one.spec)
        return np.asarray(
            _look()(one.params, one.stats, config, np.asarray(x, one.spec.dtype), one.spec)
        )


@functools.cache
def _look():
    """The forward pass of several networks; one function, so that a second look compiles nothing."""
    import jax

    return jax.jit(
        lambda params, stats, config, x, spec: jax.vmap(
            lambda p, s: spec.functions.outputs(p, s, config, x)[0]
        )(params, stats),
        static_argnames="spec",
    )
