"""Embeddings of numbers: each number of an example becomes several before the first layer.

An embedding is an entry of `EMBEDDINGS`: what enters the first layer in the place of x, with its derivative under it. Its arrays
stand beside the first layer's weights. x [B F] has its Fn numbers first; k is `frequencies`, d is `embedding_width`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hpjax.models.base import Array

# what enters [B E], and d loss / d of it -> d loss / d of the embedding's arrays
Pulled = tuple[Array, Callable[[Array], dict[str, Array]]]
Shapes = dict[str, tuple[int, ...]]


class Embedding(NamedTuple):
    """What numbers become.

    Attributes:
        shapes: (Fn, k, d) -> the shapes of its arrays, by name, in the order in which they are drawn.
        start: (standard normal numbers by name, frequency_scale) -> its arrays.
        pulled: (its arrays, x [B F]) -> what enters the first layer, and the way back.
        width: (F, Fn, k, d) -> how many numbers enter.
        matrix: which of its arrays is a weight matrix, that penalties and decay act on.
    """

    shapes: Callable[[int, int, int], Shapes]
    start: Callable[[Mapping[str, Array], Array], dict[str, Array]]
    pulled: Callable[[Mapping[str, Array], Array], Pulled]
    width: Callable[[int, int, int, int], int]
    matrix: str | None = None


# --- cosine: x, and cos(2 pi c x + b) with learned frequencies c and phases b ----------------------------------------
def cosine_start(normal: Mapping[str, Array], scale: Array) -> dict[str, Array]:
    """Frequencies are normal with deviation `scale`, phases uniform over a turn."""
    phases = math.pi * jax.lax.erf(normal["phases"] / math.sqrt(2))
    return {"frequencies": scale * normal["frequencies"], "phases": phases}


def cosine(p: Mapping[str, Array], x: Array) -> Pulled:
    """x, then cos(2 pi c x + b) of every number."""
    numbers = x[:, : len(p["frequencies"]), None]
    angle = 2 * math.pi * numbers * p["frequencies"] + p["phases"]
    flat = jnp.cos(angle).reshape(len(x), -1)

    def back(da: Array) -> dict[str, Array]:
        dangle = -jnp.sin(angle) * da[:, x.shape[1] :].reshape(angle.shape)
        return {
            "frequencies": (2 * math.pi * numbers * dangle).sum(0),
            "phases": dangle.sum(0),
        }

    return jnp.concatenate([x, flat], 1), back


# --- periodic: relu(M [sin, cos](2 pi c x) + m), with c, M and m of every number (PLR of Gorishniy et al. 2022) -------
def periodic_start(normal: Mapping[str, Array], scale: Array) -> dict[str, Array]:
    """Frequencies are normal with deviation `scale`, matrices as He et al. 2015 have them."""
    mix = normal["mix"]
    return {
        "frequencies": scale * normal["frequencies"],
        "mix": mix * math.sqrt(2 / mix.shape[1]),
        "mix_bias": jnp.zeros_like(normal["mix_bias"]),
    }


def periodic(p: Mapping[str, Array], x: Array) -> Pulled:
    """relu(M [sin, cos](2 pi c x) + m) of every number, then the inputs that are no numbers."""
    count, k = p["frequencies"].shape
    numbers = x[:, :count, None]
    angle = 2 * math.pi * numbers * p["frequencies"]
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    waves = jnp.concatenate([sine, cosine], -1)
    z = jnp.einsum("bfk,fkd->bfd", waves, p["mix"]) + p["mix_bias"]
    a = jnp.where(z <= 0, 0, z)

    def back(da: Array) -> dict[str, Array]:
        dz = jnp.where(z <= 0, 0, da[:, : a[0].size].reshape(a.shape))
        dwaves = jnp.einsum("bfd,fkd->bfk", dz, p["mix"])
        dangle = dwaves[..., :k] * cosine - dwaves[..., k:] * sine
        return {
            "frequencies": (2 * math.pi * numbers * dangle).sum(0),
            "mix": jnp.einsum("bfk,bfd->fkd", waves, dz),
            "mix_bias": dz.sum(0),
        }

    return jnp.concatenate([a.reshape(len(x), -1), x[:, count:]], 1), back


EMBEDDINGS: dict[str, Embedding] = {
    "periodic": Embedding(
        lambda count, k, d: {
            "frequencies": (count, k),
            "mix": (count, 2 * k, d),
            "mix_bias": (count, d),
        },
        periodic_start,
        periodic,
        lambda inputs, count, k, d: count * d + inputs - count,
        "mix",
    ),
    "cosine": Embedding(
        lambda count, k, d: {"frequencies": (count, k), "phases": (count, k)},
        cosine_start,
        cosine,
        lambda inputs, count, k, d: inputs + count * k,
    ),
}
