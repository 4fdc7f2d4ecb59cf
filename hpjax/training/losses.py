"""What a network is trained to make small: losses of its outputs, targets smoothed, penalties on its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models.base import Array, Batch, Config, Place, Spec, per_layer

LOSSES = ("mse", "bce", "cross_entropy")


def predictions(outputs: Array, spec: Spec) -> Array:
    """Outputs [B C] as probabilities of classes, or as the numbers that they are."""
    match spec.loss:
        case "cross_entropy":
            return jax.nn.softmax(outputs, axis=-1)
        case "bce":
            return jax.nn.sigmoid(outputs)
    return outputs


def targets(y: Array, config: Config, spec: Spec) -> Array:
    """What the loss compares with: y, smoothed where the spec has it (classes only)."""
    if "label_smoothing" not in spec.features or spec.loss == "mse":
        return y
    amount = config["label_smoothing"].astype(y.dtype)
    return y * (1 - amount) + amount / (spec.outputs if spec.loss == "cross_entropy" else 2)


def losses(outputs: Array, y: Array, spec: Spec) -> Array:
    """Each example's loss [B]: mean over outputs of the squared error or of the binary cross-entropy, or the cross-entropy."""
    match spec.loss:
        case "cross_entropy":
            return -(y * jax.nn.log_softmax(outputs, axis=-1)).sum(-1)
        case "bce":  # -y log s(z) - (1-y) log(1 - s(z)) = max(z, 0) - y z + log(1 + exp(-|z|))
            z = outputs
            return (jnp.maximum(z, 0) - y * z + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean(-1)
    return ((outputs - y) ** 2).mean(-1)


def penalty(params: Any, config: Config, spec: Spec, place: Callable[..., Place]) -> Array:
    """l1 sum |W| + l2/2 sum W^2 over the weight matrices."""
    total = jnp.zeros((), jnp.dtype(spec.dtype))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        at = place(path, leaf)
        if not at.weights:
            continue
        if "l1" in spec.features:
            strength = per_layer(config["l1"], at.layer).astype(total.dtype)
            total = total + strength * jnp.abs(leaf).sum()
        if "l2" in spec.features:
            strength = per_layer(config["l2"], at.layer).astype(total.dtype)
            total = total + strength / 2 * (leaf**2).sum()
    return total


def noisy(x: Array, key: Array, config: Config, spec: Spec) -> Array:
    """The inputs of a training step, with noise where the spec has it; `key` is the step's."""
    if "input_noise" not in spec.features:
        return x
    noise = jax.random.normal(jax.random.fold_in(key, 0), x.shape, x.dtype)
    return x + config["input_noise"].astype(x.dtype) * noise


def training_loss(
    outputs: Callable[..., tuple[Array, Any]], place: Callable[..., Place], spec: Spec
) -> Callable[[Any, Any, Config, Batch], tuple[Array, tuple[Any, Array]]]:
    """The loss of a training step, from what a network computes.

    Args:
        outputs: (params, stats, config, x, batch) -> (outputs [B C], stats).
        place: (path, leaf) -> Place.
        spec: the shape.

    Returns:
        (params, stats, config, batch) -> the regularised loss, and (stats, data loss); the data loss is the mean over the
        examples' weights.
    """

    def loss(params, stats, config, batch):
        x = noisy(batch.x, batch.key, config, spec)
        found, stats = outputs(params, stats, config, x, batch)
        each = losses(found, targets(batch.y, config, spec), spec)
        data = (each * batch.share()).sum()
        return data + penalty(params, config, spec, place), (stats, data)

    return loss
