"""Requests to end a command: Ctrl-C (SIGINT), and a cluster's own (SIGTERM), which is as Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

asked_to_end: list[int] = []  # signals that came
worked_on: list[Path] = []  # run folders, the last one now


def listen() -> None:
    """From now on a request to end is a KeyboardInterrupt."""
    for request in (signal.SIGINT, signal.SIGTERM):
        signal.signal(request, interrupt)


def interrupt(number: int, frame: Any) -> None:
    """What a request to end does: it is remembered, since one that falls into a library's own code may be swallowed there."""
    asked_to_end.append(number)
    signal.default_int_handler(number, frame)


def mind_interrupts(*shown: Any) -> None:
    """After each report: an interrupt that was swallowed takes place."""
    if asked_to_end:
        raise KeyboardInterrupt


def exit_code() -> int:
    """128 and the number of the signal, as shells have it."""
    return 128 + (asked_to_end[-1] if asked_to_end else signal.SIGINT)


def remedy() -> str:
    """How an interrupted command goes on."""
    begun = worked_on and any((worked_on[-1] / n).exists() for n in ("run.json", "compare.json"))
    return f"`hpjax resume {worked_on[-1]}` goes on with the run" if begun else "nothing was begun"
