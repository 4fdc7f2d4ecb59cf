"""The machine itself: a matrix product and a copy."""

from __future__ import annotations

import os
import statistics
import time

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep


def roofline_worker(sweep: Sweep) -> tuple[Run, About]:
    """The machine: the float32 matrix product of the installed NumPy on all cores, and a copy."""
    del sweep
    import threading

    n, found = 2048, {}
    rng = np.random.default_rng(0)
    a, b = (rng.random((n, n), np.float32) for _ in range(2))
    source = [np.ones(2**25, np.float32) for _ in range(os.cpu_count() or 1)]
    target = [np.empty_like(s) for s in source]

    def run():
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            a @ b
            seconds.append(time.perf_counter() - started)
        found["gflops"] = 2 * n**3 / statistics.median(seconds) / 1e9
        started = time.perf_counter()
        threads = [threading.Thread(target=np.copyto, args=pair) for pair in zip(target, source)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found["copy_gbytes"] = (
            2 * sum(s.nbytes for s in source) / (time.perf_counter() - started) / 1e9
        )
        return 0.0

    return run, lambda: dict(found)
