"""Where a run was made: versions, machine, git commit; and in what another machine differs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpjax import devices
from hpjax.files import RunError, read_json, write_json
from hpjax.messages import warn

PACKAGES = ("hpjax", "jax", "jaxlib", "optax", "numpy", "scipy", "scikit-learn")
DECIDING = ("hpjax", "jax", "jaxlib", "numpy")  # whose versions decide on last digits


def environment(say: Callable[[str], None] = warn) -> dict:
    """Versions, machine, devices that would train, and git commit of this process; says where devices are fewer than cores."""
    from importlib import metadata

    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    revision, dirty = commit(Path(__file__))
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": devices.cores(),
        "versions": versions,
        "commit": revision,
        "dirty": dirty,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }
    there = devices.devices(say)
    return found | {
        "device": there[0].device_kind,
        "platform": there[0].platform,
        "devices": len(there),
    }


def commit(file: Path) -> tuple[str | None, bool | None]:
    """The git commit that a source file belongs to and whether its tree is dirty; None, None outside a checkout."""

    def ask(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", file.name)
        return ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def differences(before: Any, now: dict) -> list[str]:
    """What may change the last digits of numbers between two environments: versions, devices; a phrase each."""
    if not isinstance(before, dict):
        return []
    found = []
    for name in DECIDING:
        was, here = (one.get("versions") for one in (before, now))
        was = was.get(name) if isinstance(was, dict) else None
        if isinstance(was, str) and here and was != here[name]:
            found.append(f"{name} was {was}, here is {here[name]}")
    for name in ("device", "devices"):
        if name in before and name in now and before[name] != now[name]:
            found.append(f"{name}: was {before[name]!s:.60}, here {now[name]}")
    return found


def note_environment(folder: Path, say: Callable[[str], None]) -> None:
    """Adds this process to a folder's environment.json, and says in what it differs from the last one."""
    path, before = folder / "environment.json", []
    if path.exists():
        try:
            before = read_json(path)
        except RunError:
            before = None
        if not isinstance(before, list):
            path.replace(path.with_name("environment.json.unreadable"))
            say("hpjax: environment.json cannot be read; it is kept as environment.json.unreadable")
            before = []
    now = environment(say)
    if before:
        changes = differences(before[-1], now)
        if changes:
            say(f"hpjax: not as when the run was last worked on: {'; '.join(changes)}")
    write_json(path, [*before, now])
