"""Contenders as processes that wait while another is timed; repeats are interleaved."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from experiments.contenders import NEEDS
from experiments.contenders.sweep import Sweep

COMPILING = "compile_seconds"


class Contender:
    """A worker process, asked for one repeat at a time."""

    def __init__(self, name: str, sweep: Sweep):
        self.name, self.seconds, self.answers = name, [], []
        words = [
            sys.executable,
            "-m",
            "experiments.contenders",
            name,
            json.dumps(dataclasses.asdict(sweep)),
        ]
        environment = dict(os.environ)
        # several processes share an accelerator's memory
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if name == "roofline":  # what may keep NumPy from the fastest product of this processor
            for hindrance in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
                environment.pop(hindrance, None)
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.first = self.ask()  # warm: everything compiled, every buffer touched

    def ask(self) -> dict:
        """One repeat; the worker's own seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(
                f"the contender {self.name!r} ended without an answer; its error stands above"
            )
        return json.loads(line)

    def repeat(self) -> None:
        """One timed repeat."""
        answer = self.ask()
        self.seconds.append(answer["seconds"] / answer.get("share", 1.0))
        self.answers.append(answer)

    def close(self) -> None:
        """Ends the worker."""
        self.process.communicate()

    def summary(self) -> dict:
        """Median and range of the seconds, the most memory, the seconds of compiling before the first repeat; medians of the rest."""
        middle = {name: _middle([one[name] for one in self.answers]) for name in self.answers[0]}
        once = {"compile_seconds": self.first[COMPILING]} if COMPILING in self.first else {}
        return (
            middle
            | once
            | {
                "seconds": statistics.median(self.seconds),
                "fastest": min(self.seconds),
                "slowest": max(self.seconds),
                "peak_mib": max(one["peak_mib"] for one in self.answers),
            }
        )


def _middle(values: list[Any]) -> Any:
    """The median of numbers, or of each named one."""
    if isinstance(values[0], dict):
        return {name: _middle([one[name] for one in values]) for name in values[0]}
    return statistics.median(values)


def contest(names: list[str], sweep: Sweep, repeats: int) -> dict:
    """Interleaved repeats of several contenders."""
    contenders = [Contender(name, sweep) for name in names]
    try:
        for _ in range(repeats):
            for contender in contenders:
                contender.repeat()
        return {contender.name: contender.summary() for contender in contenders}
    finally:
        for contender in contenders:
            contender.close()


def installed(names: list[str]) -> tuple[list[str], list[str]]:
    """Those whose packages are here, and those that are not."""
    here = [name for name in names if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]
    return here, [name for name in names if name not in here]


def program(name: str, *words: str, environment: dict[str, str] | None = None) -> tuple[float, str]:
    """Runs one of the whole programs.

    Args:
        name: of the file, beside this one.
        words: its arguments.
        environment: of the process; this one's where None.

    Returns:
        Seconds, and what it printed.

    Raises:
        ValueError: it failed; with its last line.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.contenders.{name}", *words],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - started, done.stdout
