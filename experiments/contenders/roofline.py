"""The machine itself: the fastest large matrix product that anyone finds, products of the step's own shapes, and a copy."""

from __future__ import annotations

import importlib.util
import os
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep

SIZE = 2048  # of the large product
STEPS = 2000  # of the step's products


def roofline_worker(sweep: Sweep) -> tuple[Run, About]:
    """The machine: float32 products of NumPy, XLA and, where it is installed, PyTorch, on all cores; the fastest counts. NumPy's on one
    core; three products of a hidden layer (forward, of the weights, of the inputs) again and again, on every core for itself; a copy.
    """
    from hpjax import devices

    count = len(devices.devices())  # before JAX is started with one
    found: dict[str, Any] = {}
    products, own = large_products(), step_products(sweep)
    source = [np.ones(2**25, np.float32) for _ in range(os.cpu_count() or 1)]
    target = [np.empty_like(s) for s in source]

    def run():
        flop = 2 * SIZE**3 / 1e9
        found["products"] = {name: flop / seconds_of(product) for name, product in products.items()}
        found["gflops"] = max(found["products"].values())
        found["one_core_gflops"] = flop / on_one_core(products["NumPy"])
        width = sweep.hidden[0]
        flop = 6 * sweep.batch * width * width * STEPS * count / 1e9
        found["step_gflops"] = flop / seconds_of(own)
        started = time.perf_counter()
        threads = [threading.Thread(target=np.copyto, args=pair) for pair in zip(target, source)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        moved = 2 * sum(s.nbytes for s in source)
        found["copy_gbytes"] = moved / (time.perf_counter() - started) / 1e9
        return 0.0

    return run, lambda: dict(found)


def seconds_of(work: Callable[[], object]) -> float:
    """The median of six."""
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def on_one_core(work: Callable[[], object]) -> float:
    """Seconds of NumPy's work on one core."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return seconds_of(work)


def large_products() -> dict[str, Callable[[], object]]:
    """A product of two large matrices, by library."""
    import jax

    rng = np.random.default_rng(0)
    a, b = (rng.random((SIZE, SIZE), np.float32) for _ in range(2))
    given = [jax.device_put(v) for v in (a, b)]
    product = jax.jit(lambda a, b: a @ b)
    found: dict[str, Callable[[], object]] = {
        "NumPy": lambda: a @ b,
        "XLA": lambda: jax.block_until_ready(product(*given)),
    }
    if importlib.util.find_spec("torch"):
        import torch

        tensors = [torch.from_numpy(v) for v in (a, b)]
        found["PyTorch"] = lambda: tensors[0] @ tensors[1]
    return found


def step_products(sweep: Sweep) -> Callable[[], object]:
    """The products of a hidden layer in a step of training, on every core."""
    import jax
    import jax.numpy as jnp

    from hpjax import devices
    from hpjax.models.mlp.backprop import back_through, weight_gradient
    from hpjax.models.mlp.shape import MLPSpec

    local_devices = devices.devices()
    count, width = len(local_devices), sweep.hidden[0]
    rng = np.random.default_rng(0)
    a = rng.random((count, sweep.batch, width), np.float32)
    w = rng.random((count, width, width), np.float32) / width
    spec = MLPSpec(64, 10, hidden=sweep.hidden)

    def step(carry: Any, _: None):
        a, w = carry
        z = a @ w
        return (a + 1e-9 * back_through(z, w, spec), w - 1e-9 * weight_gradient(a, z, spec)), None

    def all_steps(a: Any, w: Any):
        return jax.vmap(lambda *pair: jax.lax.scan(step, pair, None, length=STEPS)[0])(a, w)

    mesh = devices.mesh_of(local_devices)
    spread = devices.side_by_side(all_steps, mesh, shared=0, parted=2)
    given = jnp.asarray(a), jnp.asarray(w)
    compiled = jax.jit(spread).lower(*given).compile(devices.fast())
    return lambda: jax.block_until_ready(compiled(*given))
