"""Keras, one network after another."""

from __future__ import annotations

import os

from experiments.contenders.sweep import About, Run, Sweep, digits


def keras_worker(sweep: Sweep) -> tuple[Run, About]:
    """Keras, one network of all (times are scaled)."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    x, y, x_valid, y_valid = digits()

    def one(rate: float):
        layers = [keras.layers.Dense(width, "relu") for width in sweep.hidden]
        network = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10, "softmax")])
        network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        kept = network.fit(
            x, y, sweep.batch, sweep.epochs, verbose=0, validation_data=(x_valid, y_valid)
        )
        return kept.history["val_loss"][-1]

    return lambda: one(1e-3), lambda: {"share": 1 / sweep.networks}
