"""The command line: `hpjax tune`, `compare`, `resume RUN`, `show RUN`, `report RUN`, ...; `hpjax --help` lists them.

Exit codes: 0, done; 1, no trial was trained to the end; 2, refused, with the reason on standard error; 130, interrupted; 141, nobody
reads the output any more; 143, asked to end (SIGTERM).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import tyro

from hpjax.cli import flags, interrupts
from hpjax.cli.console import Output


def main(arguments: list[str] | None = None) -> None:
    """The entry point; a fault that the user can put right is one line and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for name in ("stdout", "stderr"):  # closed by whoever called us
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if arguments == ["--version"]:
        from hpjax import __version__

        print(f"hpjax {__version__}")
        sys.exit(0)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"hpjax: interrupted; {interrupts.remedy()}", file=sys.stderr)
        code = interrupts.exit_code()
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as fault:
        print(
            f"hpjax: {fault.strerror or fault}{f': {fault.filename}' if fault.filename else ''}",
            file=sys.stderr,
        )
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 2
    sys.exit(code)


@contextlib.contextmanager
def _plain_help() -> Iterator[None]:
    """With NO_COLOR (no-color.org) help has no colours: tyro asks for the terminal alone."""
    if not os.environ.get("NO_COLOR"):
        yield
        return
    terminal = os.environ.get("TERM")
    os.environ["TERM"] = "dumb"
    try:
        yield
    finally:
        if terminal is None:
            del os.environ["TERM"]
        else:
            os.environ["TERM"] = terminal


def _run(arguments: list[str]) -> int:
    """Parses the command line and runs its command; returns the exit code."""
    with _plain_help():
        options = tyro.cli(
            flags.Command,
            prog="hpjax",
            description="Hyperparameter search for multilayer perceptrons in JAX",
            args=arguments,
        )
    from hpjax import program_cache
    from hpjax.records import RunError

    if not getattr(options, "cache", True):
        program_cache.switch_off()
    output = Output(getattr(options, "json", False))
    interrupts.listen()  # modules are loaded
    if not gc.isenabled():  # as `hpjax` begins where it is the command line
        gc.freeze()  # what modules hold stays to the end, where nothing needs to be collected, either
        gc.enable()
        atexit.register(gc.freeze)
    try:
        code = carry_out(options, output)
    except (ValueError, RunError) as fault:
        print(f"hpjax: {' '.join(str(fault).split())}", file=sys.stderr)
        return 2
    output.end()
    return code


def carry_out(options: Any, output: Output) -> int:
    """Runs the command that was typed; returns the exit code."""
    from hpjax.cli import reading, training

    match options:
        case flags.Tune():
            return training.tune(options, output)
        case flags.Compare():
            return training.compare(options, output)
        case flags.Ensemble():
            return training.ensemble(options, output)
        case flags.Confirm():
            return training.confirm(options, output)
        case flags.Resume():
            return training.resume(options, output)
        case flags.Show():
            return reading.show(options, output)
        case flags.Report():
            return reading.report(options, output)
        case flags.Export():
            return reading.export(options, output)
        case flags.Watch():
            return reading.watch(options, output)
        case flags.Cluster():
            return training.cluster(options)
        case flags.Cache():
            return reading.cache(options, output)
        case flags.Tasks():
            return reading.tasks(output)
        case flags.Hyperparameters():
            return reading.hyperparameters(options, output)
    raise AssertionError(options)
