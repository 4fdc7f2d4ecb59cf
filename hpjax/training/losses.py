"""What a network is trained to make small: losses of its outputs, targets smoothed, penalties on its weights.

A loss is an entry of `LOSSES`: its value, its derivative under it, and what outputs mean under it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models.base import Array, Batch, Config, Place, Spec, per_layer


class Loss:
    """A loss of outputs [B C] against targets [B C]. Two are the same only if they are one object.

    Attributes:
        name: in the catalogue, in plans and in run.json.
        each: (outputs, y) -> each example's loss [B].
        slope: (outputs, y, share [B 1]) -> d sum(share * each) / d outputs [B C]; by autodiff where None.
        logits: whether outputs are logits of classes, so that the network has no output activation.
        predictions: outputs -> probabilities of classes, or the numbers that they are.
        smooths: outputs C -> how many values label smoothing spreads over; None where nothing is smoothed.
    """

    def __init__(
        self,
        name: str,
        each: Callable[[Array, Array], Array],
        slope: Callable[[Array, Array, Array], Array] | None,
        logits: bool,
        predictions: Callable[[Array], Array],
        smooths: Callable[[int], int] | None,
    ):
        self.name, self.each, self._slope = name, each, slope
        self.logits, self.predictions, self.smooths = logits, predictions, smooths

    def __repr__(self) -> str:
        return f"<Loss {self.name}>"

    def slope(self, outputs: Array, y: Array, share: Array) -> Array:
        """d sum(share * each) / d outputs [B C]."""
        if self._slope is not None:
            return self._slope(outputs, y, share)
        return jax.grad(lambda outputs: (share[:, 0] * self.each(outputs, y)).sum())(outputs)


def softmax(z: Array) -> Array:
    """Probabilities of classes that exclude each other."""
    return jax.nn.softmax(z, axis=-1)


def identity(outputs: Array) -> Array:
    """Numbers as they are."""
    return outputs


# --- mean over outputs of the squared error ---------------------------------------------------------------------------
def squared_error(a: Array, y: Array) -> Array:
    """mean over outputs of (a - y)^2."""
    return ((a - y) ** 2).mean(-1)


def squared_error_slope(a: Array, y: Array, share: Array) -> Array:
    """2 (a - y) / C."""
    return share * 2 * (a - y) / a.shape[-1]


# --- mean over outputs of the binary cross-entropy, s(z) = 1 / (1 + exp(-z)) ------------------------------------------
def binary_cross_entropy(z: Array, y: Array) -> Array:
    """-y log s(z) - (1-y) log(1 - s(z)) = max(z, 0) - y z + log(1 + exp(-|z|))."""
    return (jnp.maximum(z, 0) - y * z + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean(-1)


def binary_cross_entropy_slope(z: Array, y: Array, share: Array) -> Array:
    """(s(z) - y) / C."""
    return share * (jax.nn.sigmoid(z) - y) / z.shape[-1]


# --- cross-entropy ----------------------------------------------------------------------------------------------------
def cross_entropy(z: Array, y: Array) -> Array:
    """-sum y log softmax(z)."""
    return -(y * jax.nn.log_softmax(z, axis=-1)).sum(-1)


def cross_entropy_slope(z: Array, y: Array, share: Array) -> Array:
    """softmax(z) sum y - y."""
    return share * (y.sum(-1, keepdims=True) * softmax(z) - y)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", squared_error, squared_error_slope, False, identity, None),
        Loss(
            "bce",
            binary_cross_entropy,
            binary_cross_entropy_slope,
            True,
            jax.nn.sigmoid,
            lambda outputs: 2,
        ),
        Loss(
            "cross_entropy",
            cross_entropy,
            cross_entropy_slope,
            True,
            softmax,
            lambda outputs: outputs,
        ),
    )
}


def own_name(function: Callable[..., Any]) -> str:
    """How a user's function is called in messages and in run.json."""
    return getattr(function, "__qualname__", type(function).__name__)


def own_loss(function: Callable[[Array, Array], Array], outputs: int, classes: bool) -> Loss:
    """A user's loss; of classes it is handed logits, and probabilities are their softmax, or the sigmoid of one column.

    Args:
        function: (outputs [B C], y [B C]) -> each example's loss [B].
        outputs: C of the task.
        classes: whether the task's targets are classes.

    Raises:
        ValueError: a function that gives anything but one number for each example.
    """
    name = own_name(function)
    example = jax.ShapeDtypeStruct((7, outputs), jnp.float32)
    try:
        found = jax.eval_shape(function, example, example)
    except TypeError as fault:
        raise ValueError(
            f"loss={name} must take (outputs [B, {outputs}], y [B, {outputs}]): {' '.join(str(fault).split())[:200]}"
        ) from None
    if getattr(found, "shape", None) != (7,):
        shape = list(getattr(found, "shape", ())) or "something else"
        raise ValueError(
            f"loss={name} must give one number for each example, [7] for 7 of them, got {shape}"
        )
    each = lambda outputs, y: jnp.asarray(function(outputs, y), outputs.dtype)
    if not classes:
        return Loss(name, each, None, False, identity, None)
    predictions = jax.nn.sigmoid if outputs == 1 else softmax
    return Loss(name, each, None, True, predictions, lambda outputs: max(outputs, 2))


# --- of a network of a shape ------------------------------------------------------------------------------------------
def loss_of(spec: Spec) -> Loss:
    """The loss that networks of a shape are trained with."""
    return spec.loss if isinstance(spec.loss, Loss) else LOSSES[spec.loss]


def targets(y: Array, config: Config, spec: Spec) -> Array:
    """What the loss compares with: y, smoothed where the spec has it (classes only)."""
    smooths = loss_of(spec).smooths
    if "label_smoothing" not in spec.features or smooths is None:
        return y
    amount = config["label_smoothing"].astype(y.dtype)
    return y * (1 - amount) + amount / smooths(spec.outputs)


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

    def loss(params: Any, stats: Any, config: Config, batch: Batch):
        x = noisy(batch.x, batch.key, config, spec)
        found, stats = outputs(params, stats, config, x, batch)
        each = loss_of(spec).each(found, targets(batch.y, config, spec))
        data = (each * batch.share()).sum()
        return data + penalty(params, config, spec, place), (stats, data)

    return loss
