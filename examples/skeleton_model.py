"""A network of your own with its loss and a metric, to copy: two layers with a gate, a loss that bounds outliers.

    python examples/skeleton_model.py

Arguments of `build` are structural (one compiled program per value); a `Number` is traced, so that it can be searched, moved by
population-based training and differentiated without compiling. `examples/residual_flax.py` and `residual_equinox.py` have the same
with modules of those libraries.
"""

import jax
import jax.numpy as jnp

import hpjax


def build(width, inputs, outputs):
    """A network of this width; inputs and outputs are told by the task."""

    def init(key, x):
        del x  # [1 F], for layers that look at it
        first, second = jax.random.split(key)
        return {
            "w": jax.random.normal(first, (inputs, 2 * width)) / inputs**0.5,
            "v": jax.random.normal(second, (width, outputs)) / width**0.5,
            "b": jnp.zeros(outputs),
        }

    def apply(params, x, *, key, train, sharpness, noise):
        value, gate = jnp.split(x @ params["w"], 2, axis=-1)
        h = value * jax.nn.sigmoid(sharpness * gate)
        if train:
            h = h + noise * jax.random.normal(key, h.shape, h.dtype)
        return h @ params["v"] + params["b"]  # logits [B C]

    numbers = {"sharpness": hpjax.Number(1.0, low=0.0), "noise": hpjax.Number(0.0, low=0.0)}
    return hpjax.Model(init, apply, numbers)


def bounded(outputs, y):
    """1 - p of the right class: no example costs more than 1."""
    return 1 - (y * jax.nn.softmax(outputs)).sum(-1)


def worst_class(predictions, y, weight):
    """The recall of the class that is recognised least."""
    hits = jnp.where(predictions.argmax(-1) == y.argmax(-1), weight, 0)
    return ((hits @ y) / jnp.maximum(weight @ y, 1)).min()


if __name__ == "__main__":
    space = {
        "width": hpjax.Choice([8, 16]),
        "sharpness": hpjax.LogUniform(0.1, 10.0),
        "noise": hpjax.Uniform(0.0, 0.5),
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
    }
    result = hpjax.tune(
        space,
        "iris",
        model=build,
        loss=bounded,
        metrics={"worst_class": hpjax.Metric(worst_class, greater_is_better=True)},
        objective="worst_class",
        trials=12,
        epochs=10,
    )
    print(result.trials)
