"""A residual network for tables, written in Equinox: a search, then its learning rate and its shrinkage by hypergradients.

pip install 'hpjax[equinox]'
python examples/residual_equinox.py

Gorishniy et al. 2021, Revisiting Deep Learning Models for Tabular Data (NeurIPS), section 3.2.
"""

import equinox as eqx
import jax

import hpjax


class Block(eqx.Module):
    """x + shrink * Linear(ReLU(Linear(LayerNorm(x))))."""

    norm: eqx.nn.LayerNorm
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, width, key):
        first, second = jax.random.split(key)
        self.norm = eqx.nn.LayerNorm(width)
        self.up = eqx.nn.Linear(width, 2 * width, key=first)
        self.down = eqx.nn.Linear(2 * width, width, key=second)

    def __call__(self, x, shrink):
        return x + shrink * self.down(jax.nn.relu(self.up(self.norm(x))))


class ResNet(eqx.Module):
    """One example [F] -> outputs [C]."""

    first: eqx.nn.Linear
    blocks: list
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear

    def __init__(self, inputs, width, blocks, outputs, key):
        keys = jax.random.split(key, blocks + 2)
        self.first = eqx.nn.Linear(inputs, width, key=keys[0])
        self.blocks = [Block(width, key) for key in keys[2:]]
        self.norm = eqx.nn.LayerNorm(width)
        self.last = eqx.nn.Linear(width, outputs, key=keys[1])

    def __call__(self, x, shrink):
        x = self.first(x)
        for block in self.blocks:
            x = block(x, shrink)
        return self.last(jax.nn.relu(self.norm(x)))


def build(width, blocks, inputs, outputs):
    """Structural hyperparameters come in, one program per value; `inputs` and `outputs` are told by the task."""
    make = lambda key: ResNet(inputs, width, blocks, outputs, key)
    return hpjax.models.equinox(make, {"shrink": hpjax.Number(1.0, low=0.0)})


SPACE = {
    "width": hpjax.Choice([16, 32]),
    "blocks": hpjax.Choice([1, 2]),
    "learning_rate": hpjax.LogUniform(1e-4, 1e-2),
    "shrink": hpjax.LogUniform(0.1, 1.0),
}


def main(task="wine", epochs=27, trials=None, iterations=20):
    result = hpjax.tune(SPACE, task, model=build, search="hyperband", epochs=epochs, trials=trials)
    print(result.best["config"], result.test())
    data = result.task
    spec, config = hpjax.hypergrad.configure(data, model=build, **result.best["config"])
    learned = hpjax.hypergrad.learn(
        data, spec, config, ["learning_rate", "shrink"], steps=60, iterations=iterations, rate=0.1
    )
    print(learned.values())
    return result, learned


if __name__ == "__main__":
    main()
