"""Plain stacks of linear layers, as PyTorch and Flax have them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.models.base import Spec
from hpjax.models.mlp.shape import MLPSpec

# activations that Flax has as layers, the same as ours
FLAX: dict[str, Callable] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "elu": jax.nn.elu,
}


def torch_state_dict(spec: Spec, params: Any) -> dict[str, np.ndarray]:
    """Weights as a `torch.nn.Sequential` of `Linear` and activation layers has them.

    Raises:
        ValueError: a network that is no plain stack of linear layers.
    """
    stack, arrays = plain_stack(spec), {}
    for layer, (w, b) in enumerate(linear_layers(params)):
        arrays[f"{2 * layer}.weight"] = w.T.copy()
        if b is not None:
            arrays[f"{2 * layer}.bias"] = b.copy()
        if "slope" in params[layer] and stack.activation[layer] == "prelu":
            arrays[f"{2 * layer + 1}.weight"] = np.reshape(params[layer]["slope"], 1)
    return arrays


def flax_module(spec: Spec, params: Any) -> tuple[Any, dict[str, Any]]:
    """A `flax.linen.Sequential` and its variables.

    Raises:
        ValueError: a network that is no plain stack of linear layers, or an activation that Flax has not.
    """
    from flax import linen

    stack, layers, variables = plain_stack(spec), [], {}
    linear = linear_layers(params)
    for layer, (w, b) in enumerate(linear):
        layers.append(linen.Dense(w.shape[1], use_bias=b is not None))
        variables[f"layers_{len(layers) - 1}"] = {"kernel": w} | ({} if b is None else {"bias": b})
        if layer < len(linear) - 1:
            name = stack.activation[layer]
            if name not in FLAX:
                raise ValueError(f"activation {name} has no layer in Flax that is the same")
            layers.append(FLAX[name])
    return linen.Sequential(layers), {"params": variables}


def linear_layers(params: Any) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Weights [in out] and biases [out] of every layer."""
    return [(np.asarray(p["w"]), np.asarray(p["b"]) if "b" in p else None) for p in params]


def plain_stack(spec: Spec) -> MLPSpec:
    """A shape that is nothing but linear layers and activations.

    Raises:
        ValueError: another one.
    """
    if (
        not isinstance(spec, MLPSpec)
        or spec.residual
        or spec.normalization != "none"
        or spec.masked
        or spec.embedding != "none"
        or spec.blocks
        or spec.parametrization != "standard"
        or spec.output != "identity"
    ):
        raise ValueError(
            "only multilayer perceptrons without normalisation, residual connections, embeddings, and scales or activations at their outputs can be carried elsewhere"
        )
    return spec
