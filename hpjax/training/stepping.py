"""One step of training, and what a network scores: the same for plain training and for hypergradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models import Spec
from hpjax.models.base import Array, Config
from hpjax.training import metrics, optimizers
from hpjax.training.losses import loss_of

GRADIENTS = ("explicit", "autodiff")


def gradient(spec: Spec, gradients: str) -> Callable:
    """The gradient of a network's loss: by hand where its family has that, or by `jax.grad`."""
    if gradients not in GRADIENTS:
        raise ValueError(f"gradients={gradients!r} is none of {', '.join(GRADIENTS)}")
    by_hand = spec.functions.value_and_grad
    if gradients == "explicit" and by_hand is not None:
        return by_hand
    return jax.value_and_grad(spec.functions.loss, has_aux=True)


def update(
    spec: Spec, config: Config, params: Any, opt: Any, grads: Any, epoch: Array
) -> tuple[Any, Any]:
    """Weights and optimizer state after a step along these gradients; epoch [] with the fraction done, for schedules."""
    rule = optimizers.optimizer(spec, config, epoch)
    updates, opt = rule.update(grads, opt, params)
    return jax.tree.map(jnp.add, params, updates), opt


def scores(
    spec: Spec,
    params: Any,
    stats: Any,
    config: Config,
    x: Array,
    y: Array,
    weight: Array,
    own: metrics.Metrics = (),
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Loss, error and a user's own metrics of a network on weighted examples."""
    outputs, _ = spec.functions.outputs(params, stats, config, x, None)
    loss = loss_of(spec)
    mean = (loss.each(outputs, y) * weight).sum() / jnp.maximum(weight.sum(), 1)
    boundary = 0.0 if loss.logits else 0.5
    predictions = loss.predictions(outputs)
    values = tuple(metric(predictions, y, weight) for _, metric in own)
    return mean, metrics.error(outputs, y, weight, spec.classes, boundary), values
