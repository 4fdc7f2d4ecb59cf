"""A residual network for tables, written in Flax, searched by BOHB.

pip install 'hpjax[flax]'
python examples/residual_flax.py

Gorishniy et al. 2021, Revisiting Deep Learning Models for Tabular Data (NeurIPS), section 3.2.
"""

import flax.linen as nn
import jax

import hpjax


class ResNet(nn.Module):
    """x -> Linear -> blocks of x + Linear(Dropout(ReLU(Linear(BatchNorm(x))))) -> Linear(ReLU(BatchNorm(x)))."""

    width: int
    blocks: int
    outputs: int

    @nn.compact
    def __call__(self, x, train, drop):
        norm = lambda x: nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dense(self.width)(x)
        for _ in range(self.blocks):
            h = nn.relu(nn.Dense(2 * self.width)(norm(x)))
            if train:  # the rate is traced: all rates share one compiled program
                kept = jax.random.uniform(self.make_rng("dropout"), h.shape, h.dtype) >= drop
                h = h * kept.astype(h.dtype) / (1 - drop)
            x = x + nn.Dense(self.width)(h)
        return nn.Dense(self.outputs)(nn.relu(norm(x)))


def build(width, blocks, outputs):
    """Structural hyperparameters come in, one program per value; `outputs` is told by the task."""
    module = ResNet(width, blocks, outputs)
    return hpjax.models.linen(module, {"drop": hpjax.Number(0.0, low=0.0, high=0.99)})


SPACE = {
    "width": hpjax.Choice([32, 64]),
    "blocks": hpjax.Choice([1, 2]),
    "learning_rate": hpjax.LogUniform(1e-4, 1e-2),
    "weight_decay": hpjax.LogUniform(1e-6, 1e-2),
    "drop": hpjax.Uniform(0.0, 0.5),
    "optimizer": "adamw",
}


def main(task="wine", epochs=27, trials=None):
    result = hpjax.tune(SPACE, task, model=build, search="bohb", epochs=epochs, trials=trials)
    print(result.trials.sort_values("objective").head())
    print(result.best["config"], result.test())
    return result


if __name__ == "__main__":
    main()
