"""One process at a time works on a run folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from hpjax.files import RunError, open_own

NAME = "lock"  # a file in the run folder


def locked(folder: Path) -> Any:
    """The open lock of a run folder, which is this process's until it is closed.

    Raises:
        RunError: another process has it, or the file is no lock.
    """
    lock = open_own(folder / NAME, "r+b")
    try:
        if os.fstat(lock.fileno()).st_size:
            raise RunError(f"{folder / NAME} is no lock of ours; choose another --out")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RunError(
            f"another process is at work on {folder}; wait for it, or stop it first"
        ) from None
    except BaseException:
        lock.close()
        raise
    return lock
