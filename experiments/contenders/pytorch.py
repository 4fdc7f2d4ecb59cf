"""PyTorch: a loop over networks, and `torch.func.vmap` over all of them."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep, digits


def torch_data(sweep: Sweep) -> tuple[Any, ...]:
    """PyTorch's tensors, on its accelerator where it has one, and sizes."""
    import torch

    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    x, y, x_valid, y_valid = (torch.tensor(np.ascontiguousarray(a)) for a in digits())
    return torch, x, y.long(), x_valid, y_valid.long(), (64, *sweep.hidden, 10)


def torch_worker(sweep: Sweep) -> tuple[Run, About]:
    """A PyTorch loop with fused Adam, one network after another, in as many processes as cores, or one with an accelerator; as many networks
    for each, four of them or more (times are scaled to all).
    """
    from joblib import Parallel, delayed

    torch, x, y, x_valid, y_valid, sizes = torch_data(sweep)
    processes = 1 if torch.cuda.is_available() else os.cpu_count() or 1
    rates = np.geomspace(5e-4, 2e-3, min(sweep.networks, processes * -(-4 // processes)))

    def one(rate: float):
        torch.set_num_threads(1)  # faster than more, on networks of this size
        layers = []
        for a, b in pairwise(sizes):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(network.parameters(), lr=float(rate), fused=True)
        loss = float("nan")
        for _ in range(sweep.epochs):
            for index in torch.randperm(len(x)).split(sweep.batch):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(x[index]), y[index]).backward()
                optimizer.step()
            with torch.no_grad():
                loss = torch.nn.functional.cross_entropy(network(x_valid), y_valid)
        return float(loss)

    pool = Parallel(n_jobs=processes)

    def run():
        return float(np.median(pool(delayed(one)(rate) for rate in rates)))

    return run, lambda: {"share": len(rates) / sweep.networks}


def torch_vmap_worker(sweep: Sweep) -> tuple[Run, About]:
    """PyTorch's `torch.func.vmap` over all networks, Adam written out; a quarter of the epochs (times are scaled)."""
    torch, x, y, x_valid, y_valid, sizes = torch_data(sweep)
    epochs = max(1, sweep.epochs // 4)

    def forward(params: Any, x: Any):
        for w, b in zip(params[0::2][:-1], params[1::2][:-1]):
            x = torch.relu(x @ w + b)
        return x @ params[-2] + params[-1]

    def loss(params: Any, x: Any, y: Any):
        return torch.nn.functional.cross_entropy(forward(params, x), y)

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))

    def run():
        params = []
        for a, b in pairwise(sizes):
            params += [
                torch.randn(sweep.networks, a, b) * (2 / (a + b)) ** 0.5,
                torch.zeros(sweep.networks, b),
            ]
        first, second = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
        rates = torch.tensor(np.geomspace(5e-4, 2e-3, sweep.networks).astype(np.float32))
        step = 0
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(sweep.batch):
                grads = gradient(params, x[index], y[index])
                step += 1
                scale = rates * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                for p, m, v, g in zip(params, first, second, grads):
                    m.mul_(0.9).add_(g, alpha=0.1)
                    v.mul_(0.999).addcmul_(g, g, value=0.001)
                    p.addcdiv_(
                        m * scale.reshape(-1, *[1] * (p.ndim - 1)), v.sqrt().add_(1e-8), value=-1
                    )
        return float(
            torch.func.vmap(loss, in_dims=(0, None, None))(params, x_valid, y_valid).median()
        )

    return run, lambda: {"share": epochs / sweep.epochs}
