"""TabPack's setting (arXiv 2607.05380): wide networks, each with a rate and a dropout of its own, on a table of Adult's shape.

hpjax beside PyTorch's packed loop, in which the networks of a layer are one product of three axes.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep

FEATURES = 104  # of Adult, its categories as columns


def table(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """Examples [n F] and classes of two [n], those to validate on last."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((sweep.train + sweep.valid, FEATURES)).astype(np.float32)
    score = x @ rng.standard_normal(FEATURES) + 5 * rng.standard_normal(len(x))
    return x, (score > 0).astype(np.int64)


def rates_and_dropouts(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """Of each network."""
    return np.geomspace(3e-4, 3e-3, sweep.networks), np.linspace(0, 0.5, sweep.networks)


def packed_hpjax_worker(sweep: Sweep) -> tuple[Run, About]:
    """All of them by `hpjax.train`."""
    import hpjax
    from hpjax.tasks import Split

    x, y = table(sweep)
    task = hpjax.Task.of(x, y, test=0, kind="classes", standardize=False)
    fold = Split(np.arange(sweep.train), np.arange(sweep.train, len(x)))
    task = dataclasses.replace(task, folds=(fold,))
    common = {"hidden": sweep.hidden, "batch_size": sweep.batch}
    configs = [
        common | {"learning_rate": float(rate), "dropout": float(share)}
        for rate, share in zip(*rates_and_dropouts(sweep))
    ]
    latest = []

    def run() -> float:
        latest[:] = [hpjax.train(configs, task, sweep.epochs, say=lambda text: None)]
        return float(latest[0].table["loss"].median())

    return run, lambda: {"compile_seconds": latest[0].population.compile_seconds}


def packed_torch_worker(sweep: Sweep) -> tuple[Run, About]:
    """PyTorch: weights [networks, in, out], dropout and Adam with numbers of each network."""
    import torch

    x, y = (torch.tensor(part) for part in table(sweep))
    sizes = (FEATURES, *sweep.hidden, 2)
    rates, shares = (
        torch.tensor(part.astype(np.float32))[:, None, None] for part in rates_and_dropouts(sweep)
    )

    def forward(params: Any, x: Any, training: bool):
        out = x.expand(sweep.networks, *x.shape)
        for at, (weight, bias) in enumerate(params):
            out = torch.baddbmm(bias, out, weight)
            if at < len(params) - 1:
                out = torch.relu(out)
                if training:
                    out = out * ((torch.rand_like(out) >= shares) / (1 - shares))
        return out

    def losses(params: Any, index: Any, training: bool = True):
        logits = forward(params, x[index], training).flatten(0, 1)
        each = torch.nn.functional.cross_entropy(
            logits, y[index].repeat(sweep.networks), reduction="none"
        )
        return each.view(sweep.networks, -1).mean(1)

    def run() -> float:
        params = [
            (
                (torch.randn(sweep.networks, a, b) * (2 / a) ** 0.5).requires_grad_(),
                torch.zeros(sweep.networks, 1, b).requires_grad_(),
            )
            for a, b in pairwise(sizes)
        ]
        leaves = [leaf for layer in params for leaf in layer]
        first, second = [torch.zeros_like(p) for p in leaves], [torch.zeros_like(p) for p in leaves]
        step = 0
        for _ in range(sweep.epochs):
            for index in torch.randperm(sweep.train).split(sweep.batch):
                grads = torch.autograd.grad(losses(params, index).sum(), leaves)
                step += 1
                scale = rates * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                with torch.no_grad():
                    for p, m, v, g in zip(leaves, first, second, grads):
                        m.mul_(0.9).add_(g, alpha=0.1)
                        v.mul_(0.999).addcmul_(g, g, value=0.001)
                        p.addcdiv_(m * scale, v.sqrt().add_(1e-8), value=-1)
        with torch.no_grad():
            return float(losses(params, torch.arange(sweep.train, len(x)), False).median())

    return run, lambda: {}
