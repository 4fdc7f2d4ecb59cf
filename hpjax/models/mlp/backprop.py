"""The gradient of one network by the chain rule, by hand: the same contract as `jax.value_and_grad` of the loss.

Each derivative sits under its forward line. Writing dX for d loss / d X, the four equations of backpropagation
(Rumelhart, Hinton & Williams 1986; Nielsen 2015, ch. 2, BP1-BP4) are

    dz^L = d loss / d z^L                output delta
    dz^l = (dz^(l+1) W^(l+1)T) * f'(z^l)  hidden deltas
    dW^l = a^(l-1)T dz^l                  weight gradients
    db^l = sum over the batch of dz^l     bias gradients

and dropout, normalisation, residual connections and padding each add one factor between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp

from hpjax.models.base import Array, Batch, Config, per_layer
from hpjax.models.mlp import network
from hpjax.models.mlp.activations import activation
from hpjax.models.mlp.dropout import dropout_scale
from hpjax.models.mlp.network import Params, Stats
from hpjax.models.mlp.shape import MLPSpec
from hpjax.training.losses import loss_of, noisy, penalty, targets


class Layer(NamedTuple):
    """Everything backprop knows of one layer, for teaching and plots."""

    a_in: Array  # [B in] what enters
    z: Array  # [B out] pre-activation, after normalisation
    a: Array  # [B out] what leaves: activation, dropout and residual included
    delta: Array  # [B out] d loss / d z
    dw: Array  # [in out]
    db: Array  # [out]


# --- activations ------------------------------------------------------------------------------------------------------
def hidden_activation(
    spec: MLPSpec, config: Config, layer: int, z: Array, slope: Array | None, mask: Array | None
):
    """The layer's own activation, or the one that the config selects; with its pullback."""
    if not spec.select:
        return activation(spec.activation[layer], z, slope, mask)
    chosen = config["activation"][layer]
    pieces = [activation(name, z, slope, mask) for name in spec.select]
    a = pieces[0][0]
    for index, (other, _) in enumerate(pieces[1:], 1):
        a = jnp.where(chosen == index, other, a)

    def back(da: Array):
        dz, dslope = pieces[0][1](da)
        if dslope is not None:
            dslope = jnp.where(chosen == 0, dslope, 0)
        for index, (_, pull) in enumerate(pieces[1:], 1):
            other, other_slope = pull(da)
            dz = jnp.where(chosen == index, other, dz)
            if other_slope is not None:
                dslope = jnp.where(chosen == index, other_slope, 0)
        return dz, dslope

    return a, back


# --- normalisation ----------------------------------------------------------------------------------------------------
class Average(NamedTuple):
    """A weighted mean m = sum_i share_i z_i, and its transpose: what it hands back to every z."""

    share: Array
    axis: int

    def back(self, dz: Array) -> Array:
        return self.share * dz.sum(self.axis, keepdims=True)


def normalisation(p: dict, z: Array, mean: Array, var: Array, average: Average):
    """n = gain (z - mean) / sqrt(var + eps) + shift, and its pullback.

    `average` is the mean that made mean and var: over the batch (batch normalisation, weighted) or over units (layer).
    """
    inverse = 1 / jnp.sqrt(var + network.NORMALIZATION_EPS)
    unit = (z - mean) * inverse
    n = p["gain"] * unit + p["shift"]

    def back(dn: Array):
        dunit = dn * p["gain"]
        # mean and var depend on every z they average: Ioffe & Szegedy 2015, section 3
        dz = inverse * (dunit - average.back(dunit) - unit * average.back(dunit * unit))
        return dz, (dn * unit).sum(0), dn.sum(0)

    return n, back


# --- loss -------------------------------------------------------------------------------------------------------------
def output_delta(z: Array, y: Array, share: Array, config: Config, spec: MLPSpec) -> Array:
    """d loss / d z at the outputs, [B C]; `share` [B 1] is each example's part of the mean."""
    loss = loss_of(spec)
    if loss.logits:
        return loss.slope(z, y, share, config)
    a, back = activation(spec.output, z)
    return back(loss.slope(a, y, share, config))[0]


# --- the network ------------------------------------------------------------------------------------------------------
def value_and_grad(spec: MLPSpec) -> Callable:
    """The explicit gradient of `network.loss`, with the contract of `jax.value_and_grad(loss, has_aux=True)`.

    Args:
        spec: one network's shape.

    Returns:
        A function (params, stats, config, batch) -> ((loss, (stats, data loss)), gradients), gradients shaped as params.

    Example:
        >>> from hpjax.configurations import single_network
        >>> from hpjax.models.base import Target, cast
        >>> spec, config = single_network(Target(2, 1, "bce"), hidden=(4,), activation="sigmoid")
        >>> config = cast(config, spec)
        >>> params, stats = network.init(jax.random.normal(jax.random.key(0), (network.draws(spec),)), config, spec)
        >>> batch = Batch(jnp.eye(2), jnp.ones((2, 1)), jnp.ones(2), jax.random.key(1))
        >>> (value, aux), grads = value_and_grad(spec)(params, stats, config, batch)
        >>> [g["w"].shape for g in grads]
        [(2, 4), (4, 1)]
    """

    def of(params: Params, stats: Stats, config: Config, batch: Batch):
        value, grads, _ = _chain(params, stats, config, batch, spec)
        return value, grads

    return of


def intermediates(
    params: Params, stats: Stats, config: Config, batch: Batch, spec: MLPSpec
) -> tuple[Array, tuple[Layer, ...]]:
    """One step of backprop with everything it computes: the loss, and z, a, delta, dW, db of each layer."""
    (value, _), _, layers = _chain(params, stats, config, batch, spec)
    return value, layers


def after(grad: Array, use: Array) -> Array:
    """The same gradient, made to depend on the last use of the weights that it updates.

    XLA then updates the weights in place, instead of copying them in every step in case they are still to be read (5 % of
    a step). Where `use` is NaN the network has diverged, and so does this gradient.
    """
    first = use[0, 0]
    return jnp.where(first == first, grad, jnp.nan)


def weight_gradient(a: Array, dz: Array, spec: MLPSpec) -> Array:
    """dW = a^T dz [in out]. On CPUs a is transposed on its own before: a product that reads it by columns takes a tenth longer."""
    return network.product(turned(a) if jax.default_backend() == "cpu" else a.T, dz, spec)


@jax.custom_jvp
def turned(a: Array) -> Array:
    """a^T as an array of its own. Its derivative is a view: what a hypergradient does with it takes a tenth longer otherwise."""
    return jax.lax.optimization_barrier(a.T)


@turned.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return turned(primals[0]), tangents[0].T


def back_through(dz: Array, w: Array, spec: MLPSpec) -> Array:
    """da = dz W^T [B in], the product over W's columns as they lie: `dz @ w.T` may copy W in every step."""
    dz, w = network.factors(dz, w, spec)
    along_columns = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(dz, w, along_columns, preferred_element_type=spec.dtype)


class Saved(NamedTuple):
    """What the forward pass of a layer leaves for the way back; what the network has not is None (skip: False)."""

    a_in: Array  # [B in]
    z: Array  # [B out]
    a: Array  # [B out]
    scale: Array | None  # of z
    mask: Array | None  # units that exist, of a padded network
    normal: Callable | None  # the way back through normalisation
    pull: Callable | None  # the way back through the activation
    drop: Array | None  # what dropout multiplied a with
    skip: Any  # how much of a_in was added to a


def _chain(params: Params, stats: Stats, config: Config, batch: Batch, spec: MLPSpec):
    tape, new_stats, embedding = _forward(params, stats, config, batch, spec)
    z, y, share = tape[-1].z, targets(batch.y, config, spec), batch.share()
    data = (loss_of(spec).each(network.activated(z, spec), y, config) * share).sum()
    value = data + penalty(params, config, spec, network.locate)
    delta = output_delta(z, y, share[:, None], config, spec)
    grads, layers = _backward(params, config, tape, embedding, delta, spec)
    return (value, (new_stats, data)), grads, layers


def _forward(
    params: Params, stats: Stats, config: Config, batch: Batch, spec: MLPSpec
) -> tuple[list[Saved], Stats, Callable | None]:
    """The forward pass, keeping z and a of every layer; the new statistics; the way back through an embedding of numbers."""
    masks, keys = network.unit_masks(spec, config), network.layer_keys(batch.key, spec)
    last, new_stats, tape = len(params) - 1, [], []
    a, embedding = network.embedded(params, noisy(batch.x, batch.key, config, spec), spec)
    for layer, p in enumerate(params):
        scale, mask = network.forward_scale(spec, config, layer), masks[layer + 1]
        z = network.product(a, p["w"], spec)
        z = z if scale is None else z * scale
        z = z + p["b"] if spec.bias else z
        normal = pull = drop = None
        a_in, skip = a, False
        if layer < last:
            if spec.normalization == "batch":
                mean, var = network.batch_moments(z, batch.weight)
                new_stats.append(network.running(stats[layer], mean, var))
                each = (batch.weight / jnp.maximum(batch.weight.sum(), 1))[:, None]
                z, normal = normalisation(p, z, mean, var, Average(each, 0))
            elif spec.normalization == "layer":
                mean, var = network.layer_moments(z, mask)
                each = jnp.asarray(1 / z.shape[-1], z.dtype) if mask is None else mask / mask.sum()
                z, normal = normalisation(p, z, mean, var, Average(each, 1))
            a, pull = hidden_activation(spec, config, layer, z, p.get("slope"), mask)
            a = a if mask is None else a * mask
            if "dropout" in spec.features:
                rate = per_layer(config["dropout"], layer)
                size = (a.shape[-1], a.shape[0])
                drop = dropout_scale(keys[layer + 1], rate, *size, a.dtype, spec.dropout_kind)
                a = a * drop
            skip = network.skips(spec, config, layer)
            if skip is not False:
                a = a + (a_in if skip is True else skip * network.resize(a_in, a.shape[-1]))
        tape.append(Saved(a_in, z, a, scale, mask, normal, pull, drop, skip))
    return tape, tuple(new_stats), embedding


def _backward(
    params: Params,
    config: Config,
    tape: list[Saved],
    embedding: Callable | None,
    delta: Array,
    spec: MLPSpec,
) -> tuple[Params, tuple[Layer, ...]]:
    """Gradients and intermediates of every layer, from the output delta back."""
    last, da = len(params) - 1, delta
    grads, layers = [], []
    for layer in range(last, -1, -1):
        p, at = params[layer], tape[layer]
        grad, dskip, dz = {}, None, delta
        if layer < last:
            if at.skip is not False:  # a = h + a_in
                dskip = da if at.skip is True else at.skip * network.resize(da, at.a_in.shape[-1])
            da = da if at.drop is None else da * at.drop  # h = h * drop
            da = da if at.mask is None else da * at.mask  # h = h * mask
            assert at.pull is not None
            dz, dslope = at.pull(da)  # h = f(z)
            delta = dz
            if "slope" in p:  # every hidden layer has one where any is prelu
                grad["slope"] = jnp.zeros_like(p["slope"]) if dslope is None else dslope
            if at.normal is not None:  # z = gain unit(z) + shift
                dz, grad["gain"], grad["shift"] = at.normal(dz)
        if spec.bias:  # z = a W + b
            grad["b"] = dz.sum(0)
        dz = dz if at.scale is None else dz * at.scale
        grad["w"] = weight_gradient(at.a_in, dz, spec)
        if layer > 0 or embedding is not None:
            da = back_through(dz, p["w"], spec)
            grad["w"] = after(grad["w"], da)
            da = da if dskip is None else da + dskip
        if layer == 0 and embedding is not None:
            grad |= embedding(da)  # a = embedding(x)
        outputs = (
            loss_of(spec).predictions(network.activated(at.z, spec)) if layer == last else at.a
        )
        layers.append(Layer(at.a_in, at.z, outputs, delta, grad["w"], delta.sum(0)))
        for name in p.keys() & network.MATRICES:
            grad[name] = _penalised(grad[name], p[name], config, layer, spec)
        grads.append(grad)
    return tuple(grads[::-1]), tuple(layers[::-1])


def _penalised(dw: Array, w: Array, config: Config, layer: int, spec: MLPSpec) -> Array:
    """d loss / d W of a layer with that of its penalties."""
    if "l1" in spec.features:  # l1 sum |W|
        dw = dw + per_layer(config["l1"], layer).astype(w.dtype) * jnp.sign(w)
    if "l2" in spec.features:  # l2/2 sum W^2
        dw = dw + per_layer(config["l2"], layer).astype(w.dtype) * w
    return dw


def finite_differences(
    params: Params, stats: Stats, config: Config, batch: Batch, spec: MLPSpec, step: float = 1e-6
) -> Params:
    """The naive perturbation method: every number moved both ways, (L(w + h) - L(w - h)) / 2h.

    Costs two forward passes per number, against backprop's one forward and one backward for all of them.

    Args:
        params, stats, config, batch, spec: as `network.loss` takes them.
        step: h.

    Returns:
        Gradients shaped as params, with an error of order h^2.
    """
    flat, restore = jax.flatten_util.ravel_pytree(params)
    loss = spec.functions.loss

    def difference(index: Array):
        move = jnp.zeros_like(flat).at[index].set(step)
        up, down = (loss(restore(flat + sign * move), stats, config, batch)[0] for sign in (1, -1))
        return (up - down) / (2 * step)

    return restore(jax.lax.map(difference, jnp.arange(flat.size)))
