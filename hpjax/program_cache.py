"""Where are compiled programs kept from one process to the next? In the user's cache, a folder for each kind of machine.

JAX's own persistent compilation cache does the work; here it is switched on, and kept small.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jaxlib

from hpjax import processor

SWITCH = "HPJAX_CACHE"  # environment variable: a folder for the cache, or OFF
OFF = "off"
LIMIT = 2**30  # bytes; what was written longest ago goes first
PROGRAMS = "*-cache"  # names of files, as JAX gives them
_asked: list[bool] = []  # once in a process


class Kept(NamedTuple):
    """The programs of one kind of machine."""

    folder: Path
    files: list[Path]  # what was written longest ago first
    bytes: int


def root() -> Path | None:
    """The folder of all kinds of machines; None where the cache is switched off."""
    said = os.environ.get(SWITCH, "")
    if said.lower() == OFF:
        return None
    if said:
        return Path(said)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpjax" / "programs"


def kind() -> str:
    """Names what a program is compiled for: the processor and the version of JAX. A home folder may be that of several machines."""
    about = (platform.machine(), processor.model(), jaxlib.__version__)
    return f"{platform.machine()}-{hashlib.sha256(repr(about).encode()).hexdigest()[:8]}"


def keep(say: Callable[[str], None]) -> None:
    """Lets JAX keep the programs that it compiles from now on, unless the user has set JAX's own cache, or switched this one off.

    Args:
        say: told where the folder cannot be used; programs are then compiled in every process.
    """
    if _asked:
        return
    _asked.append(True)
    above = root()
    if above is None or not jax.config.values["jax_enable_compilation_cache"]:
        return
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    folder = above / kind()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_others(folder)
        shrink(contents(folder))
    except OSError as fault:
        say(
            f"hpjax: compiled programs cannot be kept in {folder} ({fault.strerror or fault}); set {SWITCH} to another folder, or to {OFF}"
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def switch_off() -> None:
    """For this process, and those that it starts."""
    os.environ[SWITCH] = OFF


def refuse_others(folder: Path) -> None:
    """Refuses a folder that somebody else can write to: a compiled program is code that this process would run.

    Raises:
        PermissionError: it is.
    """
    about = folder.stat()
    own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    if not own or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "others can write to it")


def contents(folder: Path) -> Kept:
    """What a folder holds."""
    known = [(path.stat(), path) for path in folder.glob(PROGRAMS)]
    known.sort(key=lambda one: one[0].st_mtime)
    return Kept(folder, [path for _, path in known], sum(about.st_size for about, _ in known))


def shrink(kept: Kept, most: int = LIMIT) -> None:
    """Drops programs, those that were written longest ago first, until at most so many bytes are left."""
    left = kept.bytes
    for path in kept.files:
        if left <= most:
            return
        left -= path.stat().st_size
        path.unlink(missing_ok=True)


def everything() -> list[Kept]:
    """What is kept for every kind of machine."""
    above = root()
    if above is None or not above.is_dir():
        return []
    return [contents(folder) for folder in sorted(above.iterdir()) if folder.is_dir()]


def clear() -> int:
    """Drops all programs of all kinds of machines; returns how many these were."""
    dropped = 0
    for kept in everything():
        for path in kept.files:
            path.unlink(missing_ok=True)
            dropped += 1
    return dropped
