"""What a network is trained to make small: losses of its outputs, targets smoothed, penalties on its weights.

A loss is an entry of `LOSSES`: its value, its derivative under it, and what outputs mean under it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models.base import Array, Batch, Config, Place, Spec, per_layer


class Loss:
    """A loss of outputs [B C] against targets [B C]. Two are the same only if they are one object.

    Attributes:
        name: in the catalogue, in plans and in run.json.
        hyperparameters: hyperparameters that it has, which `each` and `slope` take behind their other arguments, in this order.
        logits: whether outputs are logits of classes, so that the network has no output activation.
        predictions: outputs -> probabilities of classes, or the numbers that they are.
        smooths: outputs C -> how many values label smoothing spreads over; None where nothing is smoothed.
        of: which targets it is for: "classes", "numbers" or "both".

    Args:
        each: (outputs, y) -> each example's loss [B].
        slope: (outputs, y, share [B 1]) -> d sum(share * each) / d outputs [B C]; by autodiff where None.
    """

    def __init__(
        self,
        name: str,
        each: Callable[..., Array],
        slope: Callable[..., Array] | None,
        logits: bool,
        predictions: Callable[[Array], Array],
        smooths: Callable[[int], int] | None,
        of: str = "both",
        hyperparameters: Sequence[str] = (),
    ):
        self.name, self._each, self._slope = name, each, slope
        self.logits, self.predictions, self.smooths = logits, predictions, smooths
        self.of, self.hyperparameters = of, tuple(hyperparameters)

    def __repr__(self) -> str:
        return f"<Loss {self.name}>"

    def _of(self, config: Config | None, dtype: Any) -> list[Array]:
        """Its hyperparameters."""
        return [jnp.asarray((config or {})[name], dtype) for name in self.hyperparameters]

    def each(self, outputs: Array, y: Array, config: Config | None = None) -> Array:
        """Each example's loss [B]; `config` has its hyperparameters."""
        return self._each(outputs, y, *self._of(config, outputs.dtype))

    def slope(self, outputs: Array, y: Array, share: Array, config: Config | None = None) -> Array:
        """d sum(share * each) / d outputs [B C]."""
        if self._slope is not None:
            return self._slope(outputs, y, share, *self._of(config, outputs.dtype))
        total = lambda outputs: (share[:, 0] * self.each(outputs, y, config)).sum()
        return jax.grad(total)(outputs)


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


# --- mean over outputs of the absolute error --------------------------------------------------------------------------
def absolute_error(a: Array, y: Array) -> Array:
    """mean over outputs of |a - y|."""
    return jnp.abs(a - y).mean(-1)


def absolute_error_slope(a: Array, y: Array, share: Array) -> Array:
    """sign(a - y) / C."""
    return share * jnp.sign(a - y) / a.shape[-1]


# --- mean over outputs of Huber's error (Huber 1964) ------------------------------------------------------------------
def huber(a: Array, y: Array, delta: Array) -> Array:
    """r^2 / 2 where |r| = |a - y| is at most delta, else delta (|r| - delta / 2)."""
    r = jnp.abs(a - y)
    return jnp.where(r <= delta, r**2 / 2, delta * (r - delta / 2)).mean(-1)


def huber_slope(a: Array, y: Array, share: Array, delta: Array) -> Array:
    """r = a - y, cut at -delta and delta, / C."""
    return share * jnp.clip(a - y, -delta, delta) / a.shape[-1]


# --- mean over outputs of the quantile error (Koenker & Bassett 1978) -------------------------------------------------
def quantile(a: Array, y: Array, level: Array) -> Array:
    """level (y - a) where y is above a, else (1 - level) (a - y)."""
    r = y - a
    return jnp.where(r > 0, level * r, (level - 1) * r).mean(-1)


def quantile_slope(a: Array, y: Array, share: Array, level: Array) -> Array:
    """-level where y is above a, else 1 - level; / C."""
    return share * jnp.where(y > a, -level, 1 - level) / a.shape[-1]


# --- focal loss (Lin et al. 2017), of one column the second of two classes --------------------------------------------
def _of_classes(z: Array, y: Array) -> tuple[Array, Array]:
    """Logits and targets of every class [B C], of two from one column."""
    if z.shape[-1] > 1:
        return z, y
    return jnp.concatenate([jnp.zeros_like(z), z], -1), jnp.concatenate([1 - y, y], -1)


def focal(z: Array, y: Array, gamma: Array) -> Array:
    """-sum y (1 - p)^gamma log p, p = softmax(z)."""
    z, y = _of_classes(z, y)
    p = softmax(z)
    return -(y * _power(1 - p, gamma) * jax.nn.log_softmax(z, axis=-1)).sum(-1)


def _power(rest: Array, exponent: Array) -> Array:
    """rest^exponent, with a derivative where rest is 0."""
    return jnp.maximum(rest, jnp.finfo(rest.dtype).tiny) ** exponent


def focal_slope(z: Array, y: Array, share: Array, gamma: Array) -> Array:
    """g_j - p_j sum g, where g = y (gamma p (1 - p)^(gamma - 1) log p - (1 - p)^gamma) is p d loss / d p."""
    both, y = _of_classes(z, y)
    p, log_p = softmax(both), jax.nn.log_softmax(both, axis=-1)
    g = y * (gamma * p * _power(1 - p, gamma - 1) * log_p - _power(1 - p, gamma))
    dz = g - p * g.sum(-1, keepdims=True)
    return share * dz[..., -z.shape[-1] :]


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", squared_error, squared_error_slope, False, identity, None),
        Loss("mae", absolute_error, absolute_error_slope, False, identity, None, "numbers"),
        Loss("huber", huber, huber_slope, False, identity, None, "numbers", ["huber_delta"]),
        Loss(
            "quantile",
            quantile,
            quantile_slope,
            False,
            identity,
            None,
            "numbers",
            ["quantile_level"],
        ),
        Loss(
            "bce",
            binary_cross_entropy,
            binary_cross_entropy_slope,
            True,
            jax.nn.sigmoid,
            lambda outputs: 2,
            "classes",
        ),
        Loss(
            "cross_entropy",
            cross_entropy,
            cross_entropy_slope,
            True,
            softmax,
            lambda outputs: outputs,
            "classes",
        ),
        Loss(
            "focal",
            focal,
            focal_slope,
            True,
            lambda z: jax.nn.sigmoid(z) if z.shape[-1] == 1 else softmax(z),
            lambda outputs: max(outputs, 2),
            "classes",
            ["focal_gamma"],
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


def penalty(params: Any, config: Config, spec: Spec, locate: Callable[..., Place]) -> Array:
    """l1 sum |W| + l2/2 sum W^2 over the weight matrices."""
    total = jnp.zeros((), jnp.dtype(spec.dtype))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        at = locate(path, leaf)
        if not at.is_matrix:
            continue
        if "l1" in spec.features:
            strength = per_layer(config["l1"], at.layer).astype(total.dtype)
            # |leaf|, with derivative 0 at 0: weights of padding stay where they are
            total = total + strength * (leaf * jnp.sign(leaf)).sum()
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
    outputs: Callable[..., tuple[Array, Any]], locate: Callable[..., Place], spec: Spec
) -> Callable[[Any, Any, Config, Batch], tuple[Array, tuple[Any, Array]]]:
    """The loss of a training step, from what a network computes.

    Args:
        outputs: (params, stats, config, x, batch) -> (outputs [B C], stats).
        locate: (path, leaf) -> Place.
        spec: the shape.

    Returns:
        (params, stats, config, batch) -> the regularised loss, and (stats, data loss); the data loss is the mean over the
        examples' weights.
    """

    def loss(params: Any, stats: Any, config: Config, batch: Batch):
        x = noisy(batch.x, batch.key, config, spec)
        found, stats = outputs(params, stats, config, x, batch)
        each = loss_of(spec).each(found, targets(batch.y, config, spec), config)
        data = (each * batch.share()).sum()
        return data + penalty(params, config, spec, locate), (stats, data)

    return loss
