"""Where are compiled programs kept from one process to the next? In the user's cache, a folder for each kind of machine.

JAX's own persistent compilation cache does the work; here it is switched on, and kept small.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import platform
import re
import stat
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import jaxlib

from hpjax import processor

SWITCH = "HPJAX_CACHE"  # environment variable: a folder for the cache, or OFF
OFF = "off"
QUICK = 0.05  # seconds of compiling below which a program is not kept
KIND = re.compile(r".+-[0-9a-f]{8}")  # what folders are called
LIMIT = 2**30  # bytes, of all kinds of machines; what was written longest ago goes first
PROGRAMS = ("*-cache", "*.program")  # names of files, as JAX gives them, and as we do
_asked: list[bool] = []  # once in a process
_kept_in: list[Path] = []  # the folder of this process, where it keeps programs


class Kept(NamedTuple):
    """The programs of one kind of machine, or of several."""

    folder: Path  # the first
    files: list[Path]  # what was written longest ago first
    bytes: int


def root() -> Path | None:
    """The folder of all kinds of machines; None where the cache is switched off.

    Raises:
        FileNotFoundError: nobody says where the user's folder is.
    """
    said = os.environ.get(SWITCH, "")
    if said.lower() in (OFF, "0", "no", "false"):
        return None
    try:
        if said:
            return Path(said).expanduser().absolute()
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as fault:
        raise FileNotFoundError(0, str(fault)) from None
    return Path(caches).absolute() / "hpjax" / "programs"


def kind() -> str:
    """Names what a program is compiled for: the processor, with what it can do, and the versions of hpjax and JAX.

    A home folder may be that of several machines, and a cloud's machines of one name may differ in what they can do.
    """
    able, version = sorted(processor.features()), metadata.version("hpjax")
    about = (platform.machine(), processor.model(), able, jaxlib.__version__, version)
    return f"{platform.machine()}-{hashlib.sha256(repr(about).encode()).hexdigest()[:8]}"


def keep(say: Callable[[str], None]) -> None:
    """Lets JAX keep the programs that it compiles from now on, unless the user has set JAX's own cache, or switched this one off.

    Args:
        say: told where the folder cannot be used; programs are then compiled in every process.
    """
    if _asked:
        return
    _asked.append(True)
    known = jax.config.values
    if not known["jax_enable_compilation_cache"] or known["jax_compilation_cache_dir"] is not None:
        return
    folder: Path | None = None
    try:
        if (above := root()) is None:
            return
        folder = above / kind()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_others(folder)
        shrink(contents(*kinds(above)))
    except OSError as fault:
        say(
            f"hpjax: compiled programs cannot be kept in {folder or 'a folder of the user'} ({fault.strerror or fault}); set {SWITCH} to another folder, or to {OFF}"
        )
        return
    _kept_in[:] = [folder]
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", QUICK)
    if "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES" not in os.environ:
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def folder() -> Path | None:
    """Where this process keeps programs; None where it keeps none, or where the user has set JAX's own cache."""
    set_now = jax.config.values["jax_compilation_cache_dir"]
    return next((kept for kept in _kept_in if str(kept) == set_now), None)


def switch_off() -> None:
    """For this process, and those that it starts."""
    os.environ[SWITCH] = OFF


def refuse_others(folder: Path) -> None:
    """Refuses a folder that somebody else can write to: a compiled program is code that this process would run.

    Raises:
        PermissionError: it is.
    """
    if os.name != "posix":  # whose folders have no such marks
        return
    about = folder.stat()
    if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "others can write to it")


def contents(*folders: Path) -> Kept:
    """What folders hold, together."""
    known = []
    every = itertools.product(folders, PROGRAMS)
    for path in itertools.chain.from_iterable(folder.glob(names) for folder, names in every):
        with contextlib.suppress(FileNotFoundError):  # another process drops programs, too
            about = path.stat()
            known.append((about.st_mtime, about.st_size, path))
    known.sort()
    return Kept(folders[0], [path for *_, path in known], sum(size for _, size, _ in known))


def shrink(kept: Kept, most: int = LIMIT) -> None:
    """Drops programs, those that were written longest ago first, until at most so many bytes are left."""
    left = kept.bytes
    for path in kept.files:
        if left <= most:
            return
        with contextlib.suppress(FileNotFoundError):
            left -= path.stat().st_size
            path.unlink()


def everything() -> list[Kept]:
    """What is kept for every kind of machine."""
    above = root()
    if above is None or not above.is_dir():
        return []
    return [contents(folder) for folder in kinds(above)]


def kinds(above: Path) -> list[Path]:
    """The folders of all kinds of machines, and of all versions."""
    named = [folder for folder in sorted(above.iterdir()) if KIND.fullmatch(folder.name)]
    return [folder for folder in named if folder.is_dir()]


def clear() -> int:
    """Drops all programs of all kinds of machines; returns how many these were."""
    dropped = 0
    for kept in everything():
        for path in kept.files:
            path.unlink(missing_ok=True)
            dropped += 1
    return dropped
