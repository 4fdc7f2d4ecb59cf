"""Programs of earlier processes that need neither tracing nor compiling: found by all that they were made from.

JAX's own cache spares the compiling alone: a program must be traced before it has a name there. Here its name comes from what is
traced: the shape, the block, the arrays of the task, JAX's settings, and the source of hpjax. What somebody has brought along (a
network, a loss, a metric, a row of a table) has no name, and is traced.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import re
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
import optax
from jax.experimental import serialize_executable

from hpjax import program_cache
from hpjax.devices import fast, warn
from hpjax.files import RunError, write_bytes
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.models.mlp.embeddings import EMBEDDINGS
from hpjax.models.mlp.shape import MLPSpec
from hpjax.population.kernels import KERNELS, Kernel
from hpjax.population.plan import Program
from hpjax.training.learning_rate_schedules import SCHEDULES
from hpjax.training.losses import LOSSES, Loss
from hpjax.training.optimizers import OPTIMIZERS

LOADED = time.time()  # when the source was read
FROM = ("hpjax", "jax", "optax")  # packages whose versions are part of a name
TABLES: tuple[Mapping[str, Any], ...] = (
    ACTIVATIONS,
    EMBEDDINGS,
    KERNELS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
)
# a function of a library that is called from a program is looked up by tracing alone: jax#28908
FOREIGN = re.compile(r"custom-call\(")


def name_of(
    program: Program, devices: Sequence[jax.Device], kernel: Kernel, *others: Any
) -> str | None:
    """The name of a program; None where it is not known what it is made from, or where nothing may be kept.

    Args:
        program: its networks and its block.
        devices: that it runs on.
        kernel: that builds it.
        others: what else it depends on, with a `repr` that says all.
    """
    if program_cache.folder() is None or devices[0].platform != "cpu":
        return None
    built = [name for name, known in KERNELS.items() if known is kernel]
    code = source()
    ours = type(program.spec) is MLPSpec and isinstance(program.spec.loss, str) and bundled(TABLES)
    if not built or not ours or code is None:
        return None
    settings = sorted((name, repr(value)) for name, value in jax.config.values.items())
    flags = os.environ.get("XLA_FLAGS", ""), fast(), settings
    made_from = code, program, built, [device.id for device in devices], others, flags
    return hashlib.sha256(repr(made_from).encode()).hexdigest()


def load(name: str, devices: Sequence[jax.Device]) -> jax.stages.Compiled | None:
    """A kept program, ready to run; None where there is none, or what is there is damaged."""
    try:
        held = _path(name).read_bytes()
    except FileNotFoundError:
        return None
    seal, body = held[:32], held[32:]
    if hashlib.sha256(body).digest() != seal:
        return None
    return serialize_executable.deserialize_and_load(
        *pickle.loads(zlib.decompress(body)), execution_devices=tuple(devices)
    )


def keep(name: str, call: jax.stages.Compiled) -> None:
    """Keeps a program for later processes, where it holds all that it needs."""
    if FOREIGN.search(call.as_text() or ""):
        return
    body = zlib.compress(pickle.dumps(serialize_executable.serialize(call)), 1)
    try:
        write_bytes(_path(name), hashlib.sha256(body).digest(), body)
    except RunError as fault:
        warn(f"hpjax: a compiled program is not kept: {fault}")


def bundled(value: Any) -> bool:
    """Whether all functions in a row of a table come with hpjax."""
    if isinstance(value, functools.partial):
        return bundled((value.func, value.args, value.keywords))
    if isinstance(value, Mapping):
        return bundled(tuple(value.values()))
    if isinstance(value, (tuple, list)):
        return all(map(bundled, value))
    if isinstance(value, Loss):
        return bundled(vars(value))
    return not callable(value) or value.__module__.split(".")[0] in FROM


@functools.cache
def source() -> str | None:
    """Names what is traced: hpjax's source, and the versions below it; None where the files are not those that were loaded."""
    root = Path(__file__).parents[1]
    versions = sys.version, jax.__version__, jaxlib.__version__, optax.__version__, np.__version__
    digest = hashlib.sha256(repr(versions).encode())
    paths = sorted(root.rglob("*.py"))
    for path in paths:
        about = path.stat()
        if max(about.st_mtime, about.st_ctime) > LOADED:
            return None
        digest.update(f"{path.relative_to(root)} {about.st_size} ".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest() if paths else None


def _path(name: str) -> Path:
    folder = program_cache.folder()
    assert folder is not None  # who has a name has a folder
    return folder / f"hpjax-{name}-cache"
