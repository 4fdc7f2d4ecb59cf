"""One step of training, and what a network scores: the same for plain training and for hypergradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hpjax.checks import one_of
from hpjax.models import Spec
from hpjax.models.base import Array, Config
from hpjax.training import metrics, optimizers
from hpjax.training.batches import Part
from hpjax.training.losses import loss_of
from hpjax.training.targets import in_units

GRADIENTS = ("explicit", "autodiff")
SCORED = 4096  # examples that a network is scored on at once


def value_and_grad_of(spec: Spec, gradients: str) -> Callable:
    """The gradient of a network's loss: by hand where its family has that, or by `jax.grad`."""
    one_of("gradients", gradients, GRADIENTS)
    by_hand = spec.functions.value_and_grad
    if gradients == "explicit" and by_hand is not None:
        return by_hand
    return jax.value_and_grad(spec.functions.loss, has_aux=True)


class Carried(NamedTuple):
    """What a step changes."""

    params: Any
    stats: Any
    opt: Any  # state of the optimizer


def update(
    spec: Spec,
    config: Config,
    before: Carried,
    grads: Any,
    stats: Any,
    epoch: Array,
    some: Array | None = None,
) -> Carried:
    """One step of training: the same for plain training and for hypergradients.

    Args:
        spec, config: of the network.
        before: the step.
        grads: of the loss, shaped as params.
        stats: statistics after the forward pass.
        epoch: [] with the fraction done, for schedules.
        some: [] bool, whether the minibatch has an example at all: without one nothing changes; None where each has.
    """
    rule = optimizers.optimizer(spec, config, epoch)
    updates, opt = rule.update(grads, before.opt, before.params)
    after = Carried(jax.tree.map(jnp.add, before.params, updates), stats, opt)
    return after if some is None else where(some, after, before)


def where(condition: Array, a: Any, b: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), a, b)


def in_blocks(function: Callable[[Array], Array], x: Array, size: int) -> Array:
    """What a function makes of rows [n ...], [n C], from blocks of so many."""
    if len(x) <= size:
        return function(x)
    whole = len(x) // size * size
    blocks = jax.lax.map(function, x[:whole].reshape(-1, size, *x.shape[1:]))
    found = blocks.reshape(whole, -1)
    return found if whole == len(x) else jnp.concatenate([found, function(x[whole:])])


def scores(
    spec: Spec,
    outputs: Array,
    config: Config,
    part: Part,
    others: metrics.Metrics,
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Loss, error and further metrics of a network's outputs [V C] for weighted examples.

    The loss is that of training; the others are of the target itself, where that is transformed.
    """
    _, y, weight, units, rows = part
    loss = loss_of(spec)
    mean = (loss.each(outputs, y, config) * weight).sum() / jnp.maximum(weight.sum(), 1)
    boundary = 0.0 if loss.logits else 0.5
    predictions = loss.predictions(outputs)
    if spec.target_transform == "none":
        wrong = metrics.error(outputs, y, weight, spec.classes, boundary)
        return mean, wrong, tuple(m(predictions, y, weight, units.scale, rows) for _, m in others)
    assert units.raw is not None  # a transform is undone into these
    p, truth = (in_units(spec.target_transform, v, units) for v in (predictions, y))
    values = tuple(metric(p, truth, weight, units.raw, rows) for _, metric in others)
    return mean, metrics.error(p, truth, weight, spec.classes), values
