"""What every test shares: two CPU devices, strict dtype promotion, one cache of compiled programs, small tasks."""

import os
import tempfile

# code is compiled in two thirds of the time; what is computed, and in which order, is the same
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
# tests run side by side, one on each core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
# a program that two tests share compiles once
CACHE = tempfile.TemporaryDirectory(prefix="hpjax-tests-")
jax.config.update("jax_compilation_cache_dir", CACHE.name)
os.environ.setdefault("HPJAX_CACHE", CACHE.name)  # of processes that tests start
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

from hpjax.tasks import Task  # noqa: E402


@pytest.fixture(scope="session")
def blobs() -> Task:
    """Ninety examples of three classes in five dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5)) * 2
    y = np.arange(90) % 3
    return Task.of(centres[y] + rng.normal(size=(90, 5)), y, "blobs", test=0.2)
