"""Forward mode: one tangent per hyperparameter, carried along with training; memory does not grow with the horizon.

Z_(t+1) = (d step / d state) Z_t + d step / d hyperparameters (Franceschi et al. 2017, forward-HG).
"""

from __future__ import annotations

import jax
from jax.flatten_util import ravel_pytree

from hpjax.hypergrad.process import Process


def forward(process: Process, coordinates: dict):
    """The objective, the last state, and the gradient: m tangents beside one training run.

    Args:
        process: a training run.
        coordinates: where to differentiate, m numbers in all.
    """
    flat, restore = ravel_pytree(coordinates)

    def objective(flat):
        hyper = process.hyper(restore(flat))
        state = process.advance(process.begin(hyper), hyper, process.clock(hyper))
        return process.end(state, hyper), state

    along = lambda direction: jax.jvp(objective, (flat,), (direction,), has_aux=True)
    basis = jax.numpy.eye(flat.size, dtype=flat.dtype)
    loss, slopes, state = jax.vmap(along, out_axes=(None, 0, None))(basis)
    return loss, state, restore(slopes)
