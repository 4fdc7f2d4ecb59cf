"""What is there to train on? CPU devices, one per core, or accelerators; and what to say where they are fewer than they could be."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jaxlib
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

from hpjax import program_cache
from hpjax.messages import warn
from hpjax.processor import cache_size, features

S = TypeVar("S")
T = TypeVar("T")
# what a user may have set in JAX that changes results
SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_threefry_partitionable",
)
LIMIT = Path("/sys/fs/cgroup/memory.max")  # what a container may use
USED = Path("/sys/fs/cgroup/memory.current")
UNKNOWN = 4 * 2**30  # bytes that are taken to be free where the system does not say
NOTICED: list[int] = []  # CPU devices that were said to be too few: once in a process


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices(say: Callable[[str], None] = warn) -> list:
    """The devices to train on: one CPU device per core, or the accelerators.

    Says so, with the remedy, when JAX was started with fewer CPU devices than there are cores.
    """
    program_cache.keep(say)
    started, chosen = False, jax.config.values["jax_num_cpu_devices"]
    if chosen < 0 and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        try:
            jax.config.update("jax_num_cpu_devices", cores())
        except RuntimeError:
            started = True
    found = jax.devices()
    if started and found[0].platform == "cpu" and len(found) < cores() and not NOTICED:
        NOTICED.append(len(found))
        say(
            f"hpjax: JAX was already started with {len(found)} CPU device for {cores()} cores; import hpjax and call it "
            f"first, or put jax.config.update('jax_num_cpu_devices', {cores()}) at the top of the program"
        )
    return found


def in_cache(touched: int) -> int:
    """How many networks go through a hypergradient in lockstep on a core: as many as its second-level cache holds, one at least.

    Args:
        touched: bytes that a step of one of them touches.
    """
    return max(1, cache_size() // touched)


def mesh_of(local_devices: list) -> Mesh:
    """Devices side by side."""
    return Mesh(np.array(local_devices), ("device",), axis_types=(AxisType.Auto,))


def side_by_side(function: Callable, mesh: Mesh, shared: int, parted: int) -> Callable:
    """A function on all devices at once.

    Args:
        function: of `shared` arguments that are whole everywhere, and `parted` ones whose first axis is divided among the devices.
        mesh: of the devices.
        shared, parted: how many arguments of each kind.

    Returns:
        A function whose results are divided likewise.
    """
    whole, part = PartitionSpec(), PartitionSpec("device")
    specs = (whole,) * shared + (part,) * parted
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=part, check_vma=False)


def memory(local_devices: list) -> int:
    """Bytes that an accelerator has; 0 for CPU devices, where a core's cache counts instead."""
    if local_devices[0].platform == "cpu":
        return 0
    stats = local_devices[0].memory_stats() or {}
    return int(stats.get("bytes_limit", 2 * UNKNOWN))


def room(local_devices: list) -> int:
    """Bytes that a task may take on each device: half of an accelerator's memory; of CPUs, which have a copy each, all of them a quarter of
    what the machine may use, since the task is in it already. 0 where the system does not say.
    """
    if local_devices[0].platform != "cpu":
        return memory(local_devices) // 2
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0
    limit = _number_in(LIMIT)
    return (whole if limit is None else min(whole, limit)) // (4 * len(local_devices))


def free_memory() -> int:
    """Bytes that may still be taken: of the accelerator, or of this machine within its limits; `UNKNOWN` where nothing says so."""
    local_devices = devices(lambda text: None)
    if whole := memory(local_devices):
        used = (local_devices[0].memory_stats() or {}).get("bytes_in_use", 0)
        return whole - int(used)
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        free = UNKNOWN
    limit, used = _number_in(LIMIT), _number_in(USED)
    return free if limit is None or used is None else min(free, limit - used)


def _number_in(path: Path) -> int | None:
    """What a file of the system says; None where it is absent, or says "max"."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def exhausted(fault: jax.errors.JaxRuntimeError) -> bool:
    """Whether a program failed for want of memory."""
    return "RESOURCE_EXHAUSTED" in str(fault) or "out of memory" in str(fault).lower()


def narrowing(run: Callable[[S], T], size: S, narrower: Callable[[S], S | None]) -> T:
    """`run(size)`, and again with a narrower size as often as that does not fit in memory.

    Args:
        run: trains something; what it has done before it fails stays done.
        size: how much at once.
        narrower: size -> a smaller one; None where there is none.

    Raises:
        JaxRuntimeError: not even the smallest fits, or something else went wrong.
    """
    while True:
        try:
            return run(size)
        except jax.errors.JaxRuntimeError as fault:
            smaller = narrower(size) if exhausted(fault) else None
            if smaller is None:
                raise
            size = smaller


def fast() -> dict[str, Any]:
    """Compiler options for training: the widest vectors of the processor, of which XLA uses half by itself; where the user did not choose."""
    wide = devices(lambda text: None)[0].platform == "cpu" and "avx512f" in features()
    chosen = "xla_cpu_prefer_vector_width" in os.environ.get("XLA_FLAGS", "")
    options = {"xla_cpu_prefer_vector_width": 512}
    return options if wide and not chosen and _known(tuple(options.items())) else {}


@functools.cache
def _known(options: tuple[tuple[str, Any], ...]) -> bool:
    """Whether this version's compiler has these options."""
    try:
        jax.jit(lambda x: x).lower(np.float32(0)).compile(dict(options))
    except jax.errors.JaxRuntimeError:
        return False
    return True


def sound() -> dict[str, Any]:
    """Those, and such that CPUs sum rightly: jaxlib 0.10.2 and 0.11 lose rows past 128 KiB of a batched sum (jax#39103)."""
    faulty = (0, 10, 2) <= jaxlib.version.__version_info__[:3] < (0, 12)
    if not faulty or devices(lambda text: None)[0].platform != "cpu":
        return fast()
    return fast() | {"xla_cpu_experimental_ynn_fusion_type": ""}
