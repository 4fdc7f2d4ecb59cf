"""One multilayer perceptron: its initial weights and its forward pass.

A layer is  z = a W + b,  z = normalise(z),  a = activation(z),  dropout,  (+ the layer's input, when residual).
Every function here is for ONE network; widths may be padded (`MLPSpec.masked`), and then masks follow every activation,
so that a padded network computes exactly what the narrow one alone computes.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models.base import Array, Batch, Config, Place, per_layer
from hpjax.models.mlp.activations import activate
from hpjax.models.mlp.dropout import dropout_scale
from hpjax.models.mlp.embeddings import EMBEDDINGS, learned, learned_start
from hpjax.models.mlp.shape import MLPSpec
from hpjax.training.losses import loss_of
from hpjax.training.optimizers import OPTIMIZERS

# per layer: w [in out], b [out], gain [out], shift [out], slope []; in the first also the arrays of an embedding
Params = tuple[dict[str, Array], ...]
# per hidden layer, with batch normalisation: mean [out], var [out]
Stats = tuple[dict[str, Array], ...]

MATRICES = ("w", *(embedding.matrix for embedding in EMBEDDINGS.values() if embedding.matrix))
NORMALIZATION_EPS = 1e-5
STATS_DECAY = 0.9  # of batch normalisation's running mean and variance, per step
PRELU_SLOPE = 0.25  # prelu's initial slope (He et al. 2015)


# --- shapes -----------------------------------------------------------------------------------------------------------
def unit_masks(spec: MLPSpec, config: Config) -> list[Array | None]:
    """Which units of each layer exist, what enters and outputs included: [L+2] of [width] 0/1, None where all do."""
    if not spec.masked:
        return [None] * len(spec.sizes)
    dtype = jnp.dtype(spec.dtype)
    hidden = [
        (jnp.arange(n, dtype=jnp.int32) < config["width"][i]).astype(dtype)
        for i, n in enumerate(spec.hidden)
    ]
    return [None, *hidden, None]


def true_sizes(spec: MLPSpec, config: Config) -> list[Any]:
    """Widths from what enters to outputs, without padding: ints, or traced int32."""
    if not spec.masked:
        return list(spec.sizes)
    return [spec.sizes[0], *(config["width"][i] for i in range(len(spec.hidden))), spec.outputs]


def skips(spec: MLPSpec, config: Config, layer: int) -> Any:
    """Whether a hidden layer adds its input: False, True, or a traced 0/1 under padding."""
    if not spec.residual:
        return False
    if not spec.masked:
        return spec.sizes[layer] == spec.sizes[layer + 1]
    true = true_sizes(spec, config)
    return jnp.equal(true[layer], true[layer + 1]).astype(spec.dtype)


# --- initial weights --------------------------------------------------------------------------------------------------
def init(flat: Array, config: Config, spec: MLPSpec) -> tuple[Params, Stats]:
    """Initial weights and batch statistics.

    All weights come from one flat normal draw, gathered by true shape: a padded network starts from the very numbers
    that the narrow one alone starts from.

    Args:
        flat: at least `draws(spec)` standard normal numbers.
        config: scalar leaves; `init_scale` multiplies the standard deviation.
        spec: the shape.

    Returns:
        Params and Stats.

    References:
        Glorot & Bengio 2010 (xavier); He et al. 2015; LeCun et al. 1998; Saxe et al. 2014 (orthogonal);
        Yang et al. 2021, table 8 (mup).
    """
    dtype = jnp.dtype(spec.dtype)
    sizes, true, masks = spec.sizes, true_sizes(spec, config), unit_masks(spec, config)
    embedding, offset = _embedding(flat, config, spec)
    layers, stats = [], []
    for layer, (rows, columns) in enumerate(pairwise(sizes)):
        fan_in, fan_out = true[layer], true[layer + 1]
        if spec.masked:
            down, across = jnp.arange(rows, dtype=jnp.int32), jnp.arange(columns, dtype=jnp.int32)
            at = offset + down[:, None] * fan_out + across[None, :]
            w = flat[jnp.minimum(at, flat.size - 1)]
        else:
            w = jax.lax.slice(flat, (offset,), (offset + rows * columns,)).reshape(rows, columns)
        offset = offset + fan_in * fan_out
        if spec.init == "orthogonal":
            w = _orthogonal(w)
        w = w * (
            _deviation(spec, config, layer, fan_in, fan_out)
            * per_layer(config["init_scale"], layer)
        ).astype(dtype)
        above, below = masks[layer], masks[layer + 1]
        w = w if above is None else w * above[:, None]
        w = w if below is None else w * below[None, :]
        here = {"w": w}
        if spec.bias:
            here["b"] = jnp.zeros(columns, dtype)
        if layer < len(spec.hidden):
            if spec.normalization != "none":
                here |= {"gain": jnp.ones(columns, dtype), "shift": jnp.zeros(columns, dtype)}
            if "prelu" in spec.activations:
                here["slope"] = jnp.asarray(PRELU_SLOPE, dtype)
            if spec.normalization == "batch":
                stats.append({"mean": jnp.zeros(columns, dtype), "var": jnp.ones(columns, dtype)})
        layers.append(here | (embedding if layer == 0 else {}))
    return tuple(layers), tuple(stats)


def _embedding(flat: Array, config: Config, spec: MLPSpec) -> tuple[dict[str, Array], int]:
    """The embedding's arrays at the start, and how many of the normal numbers they took."""
    normal, offset = {}, 0
    for name, shape in spec.embedding_shapes.items():
        normal[name] = flat[offset : offset + math.prod(shape)].reshape(shape)
        offset += math.prod(shape)
    arrays = {}
    if spec.blocks:
        arrays["categories"] = learned_start(normal["categories"])
    if spec.embedding != "none":
        scale = config["frequency_scale"].astype(spec.dtype)
        arrays |= EMBEDDINGS[spec.embedding].start(normal, scale)
    return arrays, offset


def embedded(params: Params, x: Array, spec: MLPSpec) -> tuple[Array, Any]:
    """What enters the first layer [B E], and the way back to the arrays of embeddings (None where there are none)."""
    p, back_words, back_numbers = params[0], None, None
    if spec.blocks:  # categories first: they are the last of the inputs
        hot = sum(spec.blocks)
        vectors, back_words = learned(p["categories"], x[:, -hot:], spec.blocks)
        x = jnp.concatenate([x[:, :-hot], vectors], 1)
    if spec.embedding != "none":
        x, back_numbers = EMBEDDINGS[spec.embedding].pulled(p, x)
    if back_words is None and back_numbers is None:
        return x, None

    def back(da: Array) -> dict[str, Array]:
        grads: dict[str, Array] = {}
        if back_numbers is not None:
            grads, da = back_numbers(da)
        if back_words is not None:
            grads = grads | {"categories": back_words(da[:, -vectors.shape[1] :])}
        return grads

    return x, back


def draws(spec: MLPSpec) -> int:
    """How many normal numbers `init` needs."""
    embedding = sum(map(math.prod, spec.embedding_shapes.values()))
    return embedding + sum(a * b for a, b in zip(spec.sizes, spec.sizes[1:]))


def _deviation(spec: MLPSpec, config: Config, layer: int, fan_in: Any, fan_out: Any) -> Array:
    if spec.parametrization == "mean_field":  # unit variance; the width stands in the forward pass
        return jnp.asarray(1.0)
    fan_in, fan_out = jnp.asarray(fan_in, spec.dtype), jnp.asarray(fan_out, spec.dtype)
    variance = {
        "normal": jnp.ones_like(fan_in),
        "xavier": 2.0 / (fan_in + fan_out),
        "he": 2.0 / fan_in,
        "lecun": 1.0 / fan_in,
        "orthogonal": jnp.ones_like(fan_in),
    }[spec.init]
    if spec.parametrization == "mup" and layer == len(spec.hidden) and layer > 0:
        variance = variance * fan_in / config["base_width"].astype(spec.dtype)
    return jnp.sqrt(variance)


def _orthogonal(w: Array) -> Array:
    tall = w if w.shape[0] >= w.shape[1] else w.T
    q, r = jnp.linalg.qr(tall)
    q = q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0).astype(w.dtype)
    return q if w.shape[0] >= w.shape[1] else q.T


def forward_scale(spec: MLPSpec, config: Config, layer: int) -> Array | None:
    """What multiplies a W before the bias is added; None is 1.

    mean_field: gain sqrt(2) / sqrt(fan_in) in hidden layers with an activation, 1 / fan_in at the output
    (Sohl-Dickstein 2024). mup: base_width / fan_in at the output (Yang et al. 2021, table 8).
    """
    last = layer == len(spec.hidden)
    fan_in = jnp.asarray(true_sizes(spec, config)[layer], spec.dtype)
    if spec.parametrization == "mean_field":
        if last:
            return 1.0 / fan_in
        gain = 1.0 if not spec.select and spec.activation[layer] == "identity" else 2.0
        if "identity" in spec.select:
            identity = config["activation"][layer] == spec.select.index("identity")
            return jnp.sqrt(jnp.where(identity, 1.0, 2.0).astype(spec.dtype) / fan_in)
        return jnp.sqrt(jnp.asarray(gain, spec.dtype) / fan_in)
    if spec.parametrization == "mup" and last and layer > 0:
        return config["base_width"].astype(spec.dtype) / fan_in
    return None


# --- activations, randomness, normalisation --------------------------------------------------------------------------
def hidden_activation(
    spec: MLPSpec, config: Config, layer: int, z: Array, slope: Array | None, mask: Array | None
) -> Array:
    """The activation of one hidden layer: its own, or the one that the config selects."""
    if not spec.select:
        return activate(spec.activation[layer], z, slope, mask)
    chosen = config["activation"][layer]
    a = activate(spec.select[0], z, slope, mask)
    for index, name in enumerate(spec.select[1:], 1):
        a = jnp.where(chosen == index, activate(name, z, slope, mask), a)
    return a


def layer_keys(key: Array, spec: MLPSpec) -> list[Array]:
    """One key per purpose: the input noise, then each hidden layer's dropout."""
    return [jax.random.fold_in(key, purpose) for purpose in range(len(spec.hidden) + 1)]


def batch_moments(z: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean and variance [H] of a minibatch [B H]."""
    share = (weight / jnp.maximum(weight.sum(), 1))[:, None]
    mean = (share * z).sum(0)
    return mean, (share * (z - mean) ** 2).sum(0)


def layer_moments(z: Array, mask: Array | None) -> tuple[Array, Array]:
    """Mean and variance [B 1] over the units that exist."""
    if mask is None:
        mean = z.mean(-1, keepdims=True)
        return mean, ((z - mean) ** 2).mean(-1, keepdims=True)
    count = mask.sum()
    mean = (z * mask).sum(-1, keepdims=True) / count
    return mean, (mask * (z - mean) ** 2).sum(-1, keepdims=True) / count


def running(stats: dict, mean: Array, var: Array) -> dict:
    """The batch statistics after one more minibatch."""
    blend = lambda old, new: STATS_DECAY * old + (1 - STATS_DECAY) * new
    return {"mean": blend(stats["mean"], mean), "var": blend(stats["var"], var)}


# --- forward and loss -------------------------------------------------------------------------------------------------
def forward(
    params: Params,
    stats: Stats,
    config: Config,
    x: Array,
    spec: MLPSpec,
    batch: Batch | None = None,
) -> tuple[Array, Stats]:
    """The outputs of a network, [B F] -> [B C]: what the loss takes.

    Args:
        params, stats: of one network.
        config: scalar leaves.
        x: inputs [B F].
        spec: the shape.
        batch: in training, the minibatch (its weights and key are used, not its inputs); None predicts.

    Returns:
        The outputs and the batch statistics after this minibatch.
    """
    masks, new_stats = unit_masks(spec, config), []
    keys = layer_keys(batch.key, spec) if batch is not None else []
    a, _ = embedded(params, x, spec)
    for layer, p in enumerate(params):
        z = product(a, p["w"], spec)
        scale = forward_scale(spec, config, layer)
        z = z if scale is None else z * scale
        z = z + p["b"] if spec.bias else z
        if layer == len(params) - 1:
            return activated(z, spec), tuple(new_stats)
        mask = masks[layer + 1]
        if spec.normalization == "batch":
            if batch is not None:
                mean, var = batch_moments(z, batch.weight)
                new_stats.append(running(stats[layer], mean, var))
            else:
                mean, var = stats[layer]["mean"], stats[layer]["var"]
            z = p["gain"] * ((z - mean) / jnp.sqrt(var + NORMALIZATION_EPS)) + p["shift"]
        elif spec.normalization == "layer":
            mean, var = layer_moments(z, mask)
            z = p["gain"] * ((z - mean) / jnp.sqrt(var + NORMALIZATION_EPS)) + p["shift"]
        h = hidden_activation(spec, config, layer, z, p.get("slope"), mask)
        h = h if mask is None else h * mask
        if "dropout" in spec.features and batch is not None:
            rate = per_layer(config["dropout"], layer)
            size = (spec.hidden[layer], x.shape[0])
            h = h * dropout_scale(keys[layer + 1], rate, *size, h.dtype, spec.dropout_kind)
        skip = skips(spec, config, layer)
        if skip is not False:
            h = h + (a if skip is True else skip * resize(a, h.shape[-1]))
        a = h
    raise AssertionError("a network has an output layer")


def product(a: Array, b: Array, spec: MLPSpec) -> Array:
    """a b, of factors in `compute_dtype`, summed in the network's dtype: mixed precision (Micikevicius et al. 2018; Kalamkar et al. 2019)."""
    return jnp.matmul(*factors(a, b, spec), preferred_element_type=spec.dtype)


def factors(a: Array, b: Array, spec: MLPSpec) -> tuple[Array, Array]:
    """The factors of a product in the precision that it takes them in."""
    if spec.compute_dtype == "same":
        return a, b
    return a.astype(spec.compute_dtype), b.astype(spec.compute_dtype)


def resize(a: Array, width: int) -> Array:
    """Activations of padded layers cut or filled to another padded width."""
    return a[:, :width] if a.shape[-1] >= width else jnp.pad(a, ((0, 0), (0, width - a.shape[-1])))


def activated(z: Array, spec: MLPSpec) -> Array:
    """The network's outputs [B C]: what the loss takes, with the output activation where they are no logits."""
    return z if loss_of(spec).logits else activate(spec.output, z)


def locate(path: tuple, leaf: Any) -> Place:
    """Which layer a leaf of Params is of, and whether it is its weight matrix."""
    del leaf
    return Place(path[0].idx, path[1].key in MATRICES)


def multiplier(config: Config, path: tuple, spec: MLPSpec) -> Array | None:
    """What mup multiplies a leaf's learning rate with (Yang et al. 2021, table 8); None for 1."""
    if spec.parametrization != "mup":
        return None
    layer, weights = locate(path, None)
    if path[1].key in spec.embedding_shapes:  # no width of theirs grows
        return None
    last = layer == len(spec.hidden)
    sizes = [jnp.asarray(size, spec.dtype) for size in true_sizes(spec, config)]
    wider_in = sizes[layer] / config["base_width"] if layer > 0 else None
    wider_out = sizes[layer + 1] / config["base_width"] if not last else None
    adaptive = OPTIMIZERS[spec.optimizer].adaptive
    if not weights or wider_in is None:
        return None if adaptive else wider_out
    if wider_out is None:
        return None if adaptive else wider_in
    return 1 / wider_in if adaptive else wider_out / wider_in
