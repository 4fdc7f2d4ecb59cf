"""The functions of one multilayer perceptron, as everything that trains wants them."""

from __future__ import annotations

import functools
from functools import partial

import jax
import numpy as np

from hpjax.models.base import Array, Batch, Config, Functions
from hpjax.models.mlp import backprop, network
from hpjax.models.mlp.shape import MLPSpec
from hpjax.randomness import Names, generator
from hpjax.training.losses import training_loss


@functools.lru_cache(maxsize=1024)
def functions(spec: MLPSpec) -> Functions:
    """The pure functions of networks of a shape.

    What a network starts from is one flat draw of standard normal numbers; a narrow network's is the beginning of a wide one's.
    """

    def draw(names: Names) -> np.ndarray:
        return generator(names).standard_normal(network.draws(spec), np.float32).astype(spec.dtype)

    def outputs(
        params: network.Params,
        stats: network.Stats,
        config: Config,
        x: Array,
        batch: Batch | None = None,
    ):
        return network.forward(params, stats, config, x, spec, batch)

    return Functions(
        draw=draw,
        draws=jax.ShapeDtypeStruct((network.draws(spec),), np.dtype(spec.dtype)),
        init=lambda normal, config: network.init(normal, config, spec),
        outputs=outputs,
        loss=training_loss(outputs, network.locate, spec),
        value_and_grad=backprop.value_and_grad(spec),
        locate=network.locate,
        multiplier=partial(network.multiplier, spec=spec),
    )
