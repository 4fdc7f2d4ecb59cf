"""Programs of earlier processes that need neither tracing nor compiling: found by all that they were made from.

JAX's own cache spares the compiling alone: a program must be traced before it has a name there. Here its name comes from what is
traced: the shape, the block, the arrays of the task, JAX's settings, and the source of hpjax. What somebody has brought along or
changed (a network, a loss, a metric, a row of a table, a function of a module) has no name, and is traced.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import re
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
import optax
from jax.experimental import serialize_executable

from hpjax import processor, program_cache
from hpjax.devices import fast
from hpjax.files import RunError, write_bytes
from hpjax.messages import warn
from hpjax.models.mlp import functions  # noqa: F401  loaded before names are looked at
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.models.mlp.embeddings import EMBEDDINGS
from hpjax.models.mlp.shape import MLPSpec
from hpjax.population.kernels import KERNELS, Kernel
from hpjax.population.plan import Program
from hpjax.training.learning_rate_schedules import SCHEDULES
from hpjax.training.losses import LOSSES
from hpjax.training.optimizers import OPTIMIZERS

ROOT = Path(__file__).parents[1]
FLAGS = os.environ.get("XLA_FLAGS", "")  # which XLA reads once
# a function of a library that is called from a program is looked up by tracing alone: jax#28908
FOREIGN = re.compile(r"custom-call\(")
TABLES: tuple[Mapping[str, Any], ...] = (
    ACTIVATIONS,
    EMBEDDINGS,
    KERNELS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
)
SHIPPED = tuple(map(dict, TABLES))


def _process_began() -> float:
    """When this process began, in seconds since 1970; before it, nothing of the source had been read."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        age = -1.0
    return time.time() - (age if age >= 0 else 60)  # surely, where nobody says


LOADED = _process_began()
# module -> what its names stood for when it was first seen
AS_LOADED: dict[str, dict[str, Any]] = {}
_hits = threading.local()


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
    if program_cache.folder() is None or devices[0].platform != "cpu" or not processor.features():
        return None
    built = [name for name, known in KERNELS.items() if known is kernel]
    ours = type(program.spec) is MLPSpec and isinstance(program.spec.loss, str)
    files = not FLAGS or FLAGS.startswith("-")  # else flags are in a file
    same = os.environ.get("XLA_FLAGS", "") == FLAGS and files
    if not built or not ours or not same or not untouched():
        return None
    settings = sorted((name, repr(value)) for name, value in jax.config.values.items())
    flags = FLAGS, sorted(fast().items()), settings
    made_from = source(), program, built, [device.id for device in devices], others, flags
    return hashlib.sha256(repr(made_from).encode()).hexdigest()


def load(name: str, devices: Sequence[jax.Device]) -> jax.stages.Compiled | None:
    """A kept program, ready to run; None where there is none, or what is there is damaged."""
    path = _path(name)
    try:
        if not path.exists():
            return None
        held = path.read_bytes()
        seal, body = held[:32], held[32:]
        if hashlib.sha256(body).digest() != seal:
            return None
        return serialize_executable.deserialize_and_load(
            *pickle.loads(zlib.decompress(body)),
            backend=devices[0].client,
            execution_devices=tuple(devices),
        )
    except Exception as fault:  # whatever it is, the program can be made anew
        warn(f"hpjax: a kept program is made anew, it cannot be loaded: {fault!s:.200}")
        return None


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Says, after compiling in this thread, whether JAX found the program in its own cache.

    XLA cannot write such a one again: what it would write lacks the code.
    """
    _hits.found = found = []
    try:
        yield found
    finally:
        _hits.found = None


def _heard(event: str, **facts: Any) -> None:
    found = getattr(_hits, "found", None)
    if found is not None and event == "/jax/compilation_cache/cache_hits":
        found.append(event)


jax.monitoring.register_event_listener(_heard)


def keep(name: str, call: jax.stages.Compiled) -> None:
    """Keeps a program for later processes, where it holds all that it needs."""
    if FOREIGN.search(call.as_text() or ""):
        return
    body = zlib.compress(pickle.dumps(serialize_executable.serialize(call)), 1)
    try:
        write_bytes(_path(name), hashlib.sha256(body).digest(), body)
    except RunError as fault:
        warn(f"hpjax: a compiled program is not kept: {fault}")


def untouched() -> bool:
    """Whether what would be traced is what the files say: no row of a table is another, no name of a module, no file."""
    rows = all(
        now.keys() == then.keys() and all(now[name] is then[name] for name in then)
        for now, then in zip(TABLES, SHIPPED)
    )
    return rows and _names_untouched() and not _newer()


def _names_untouched() -> bool:
    for module in [name for name in sys.modules if name.startswith("hpjax.")]:
        now = vars(sys.modules[module])
        then = AS_LOADED.setdefault(module, dict(now))
        if any(now.get(name) is not then[name] for name in then):
            return False
    return True


def _files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _newer() -> bool:
    """Whether a file of the source was changed since it was loaded, or there are none."""
    stats = [path.stat() for path in _files()]
    return max((max(s.st_mtime, s.st_ctime) for s in stats), default=np.inf) > LOADED


@functools.cache
def source() -> str:
    """Names what is traced: hpjax's source, and the versions below it."""
    versions = sys.version, jax.__version__, jaxlib.__version__, optax.__version__, np.__version__
    digest = hashlib.sha256(repr(versions).encode())
    for path in _files():
        held = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(held)} ".encode() + held)
    return digest.hexdigest()


def _path(name: str) -> Path:
    folder = program_cache.folder()
    assert folder is not None  # who has a name has a folder
    return folder / f"{name}.program"


_names_untouched()  # all that is traced is loaded here, as it is
