"""Embeddings: each number, or each category, of an example becomes several numbers before the first layer.

An embedding of numbers is an entry of `EMBEDDINGS`: what enters the first layer in the place of x, with its derivative under it. Its
arrays stand beside the first layer's weights. x [B F] has its Fn numbers first; k is `frequencies`, d is `embedding_width`.
Categories, which are the last of the inputs, one-hot, are embedded by `learned`, before the numbers are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.models.base import Array

# what enters [B E]; and d loss / d of it -> d loss / d of the embedding's arrays, and of the inputs that are no numbers
Pulled = tuple[Array, Callable[[Array], tuple[dict[str, Array], Array]]]
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


# --- waves ------------------------------------------------------------------------------------------------------------
def sine_cosine(turns: Array) -> tuple[Array, Array]:
    """sin(2 pi t) and cos(2 pi t), of t in turns.

    In float32 by Taylor's polynomials on an eighth of a turn to either side of the nearest quarter, within 1e-7 of the true values: XLA's own
    functions take ten times as long on CPUs, and lose digits where the angle is large.
    """
    if turns.dtype != jnp.float32:
        return jnp.sin(2 * math.pi * turns), jnp.cos(2 * math.pi * turns)
    turns = turns - jnp.round(turns)
    quarter = jnp.round(4 * turns)
    angle = 2 * math.pi * (turns - quarter / 4)
    square = angle * angle
    s = angle * (
        1 + square * (-1 / 6 + square * (1 / 120 + square * (-1 / 5040 + square / 362880)))
    )
    c = 1 + square * (
        -1 / 2 + square * (1 / 24 + square * (-1 / 720 + square * (1 / 40320 - square / 3628800)))
    )
    odd = jnp.abs(quarter) == 1
    sine, cosine = jnp.where(odd, c, s), jnp.where(odd, s, c)
    sine = jnp.where((quarter == -1) | (jnp.abs(quarter) == 2), -sine, sine)
    return sine, jnp.where((quarter == 1) | (jnp.abs(quarter) == 2), -cosine, cosine)


# --- cosine: x, and cos(2 pi c x + b) with learned frequencies c and phases b ----------------------------------------
def cosine_start(normal: Mapping[str, Array], scale: Array) -> dict[str, Array]:
    """Frequencies are normal with deviation `scale`, phases uniform over a turn."""
    phases = math.pi * jax.lax.erf(normal["phases"] / math.sqrt(2))
    return {"frequencies": scale * normal["frequencies"], "phases": phases}


def cosine(p: Mapping[str, Array], x: Array) -> Pulled:
    """x, then cos(2 pi c x + b) of every number."""
    numbers = x[:, : len(p["frequencies"]), None]
    sine, wave = sine_cosine(numbers * p["frequencies"] + p["phases"] / (2 * math.pi))
    flat = wave.reshape(x.shape[0], math.prod(wave.shape[1:]))

    def back(da: Array):
        dangle = -sine * da[:, x.shape[1] :].reshape(sine.shape)
        grads = {
            "frequencies": (2 * math.pi * numbers * dangle).sum(0),
            "phases": dangle.sum(0),
        }
        return grads, da[:, len(p["frequencies"]) : x.shape[1]]

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
    """relu(M [sin, cos](2 pi c x) + m) of every number, then the inputs that are no numbers.

    The examples are the last axis of all that is between, which is long where k and d are short: products take half as long on CPUs.
    """
    count, k = p["frequencies"].shape
    numbers = x[:, :count].T[:, None, :]  # [Fn 1 B]
    sine, cosine = sine_cosine(numbers * p["frequencies"][:, :, None])
    waves = jnp.concatenate([sine, cosine], 1)  # [Fn 2k B]
    z = jnp.einsum("fkd,fkb->fdb", p["mix"], waves) + p["mix_bias"][:, :, None]
    a = jnp.where(z <= 0, 0, z)
    width = a.shape[0] * a.shape[1]

    def back(da: Array):
        dz = jnp.where(z <= 0, 0, da[:, :width].T.reshape(a.shape))
        dwaves = jnp.einsum("fkd,fdb->fkb", p["mix"], dz)
        dangle = dwaves[:, :k] * cosine - dwaves[:, k:] * sine
        grads = {
            "frequencies": (2 * math.pi * numbers * dangle).sum(2),
            "mix": jnp.einsum("fkb,fdb->fkd", waves, dz),
            "mix_bias": dz.sum(2),
        }
        return grads, da[:, width:]

    return jnp.concatenate([a.reshape(width, x.shape[0]).T, x[:, count:]], 1), back


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


# --- categories: a learned vector each, the rows of E, in the place of their one-hot inputs ---------------------------
def learned_start(normal: Array) -> Array:
    """Vectors of length 1 in the mean."""
    return normal / math.sqrt(normal.shape[1])


def learned(vectors: Array, hot: Array, blocks: Sequence[int]) -> tuple[Array, Callable]:
    """The vector of each column's category [B J d]: hot E, column by column.

    Args:
        vectors: E [H d].
        hot: [B H] one-hot within the block of each of the J columns; all zeros where there is none.
        blocks: [J] how many of the inputs each column has.

    Returns:
        [B J d] side by side, and d loss / d of it -> d loss / d E.
    """
    column = jnp.asarray(np.repeat(np.arange(len(blocks)), blocks))
    of_column = (column[:, None] == jnp.arange(len(blocks))).astype(vectors.dtype)  # [H J]
    wide = (of_column[:, :, None] * vectors[:, None, :]).reshape(len(vectors), -1)

    def back(da: Array) -> Array:
        dwide = (hot.T @ da).reshape(*of_column.shape, -1)
        return (of_column[:, :, None] * dwide).sum(1)

    return hot @ wide, back
