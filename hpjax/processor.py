"""What is this machine's processor? Its model, what it can do, and its caches, as Linux tells them."""

from __future__ import annotations

import functools
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@functools.cache
def model() -> str:
    """Its name, which XLA compiles for; "" where the system does not say."""
    # x86 has a name, ARM numbers
    return _said("model name") or " ".join(map(_said, ("CPU implementer", "CPU part")))


@functools.cache
def features() -> frozenset[str]:
    """What it can do, such as "avx512f"; empty where the system does not say."""
    return frozenset((_said("flags") or _said("Features")).split())


@functools.cache
def cache_size() -> int:
    """Bytes of a core's second-level cache; 1 MiB where the system does not say."""
    try:
        return _bytes((CACHES / "index2" / "size").read_text())
    except (OSError, KeyError, ValueError):
        return 2**20


@functools.cache
def shared_cache_size() -> int:
    """Bytes of the third-level cache, divided by the cores that share it; 0 where the system does not say."""
    try:
        size = _bytes((CACHES / "index3" / "size").read_text())
        return size // _counted((CACHES / "index3" / "shared_cpu_list").read_text())
    except (OSError, KeyError, ValueError):
        return 0


def _said(field: str) -> str:
    """What the system says of the first core."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith(field)), "")


def _bytes(text: str) -> int:
    """Bytes of a size as the system writes it, such as 1024K."""
    return int(text.strip()[:-1]) * {"K": 2**10, "M": 2**20}[text.strip()[-1]]


def _counted(text: str) -> int:
    """How many cores a list such as 0-3,8 has."""
    ends = [part.split("-") for part in text.strip().split(",")]
    return sum(int(part[-1]) - int(part[0]) + 1 for part in ends)
