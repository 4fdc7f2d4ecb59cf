"""What every test shares: two CPU devices, strict dtype promotion, small tasks."""

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")

from hpjax.tasks import Task  # noqa: E402


@pytest.fixture(scope="session")
def blobs() -> Task:
    """Ninety examples of three classes in five dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5)) * 2
    y = np.arange(90) % 3
    return Task.of(centres[y] + rng.normal(size=(90, 5)), y, "blobs", test=0.2)
