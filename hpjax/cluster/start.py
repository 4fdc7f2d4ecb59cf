"""Starts a scheduler and workers for hpjax on this machine, or workers that join a scheduler elsewhere; one worker for each core or
accelerator.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from hpjax.cluster.pool import DEVICE
from hpjax.devices import cores

CORE = "HPJAX_CORE"  # the core that a worker keeps to
WAIT = 30.0  # seconds that the scheduler has to come up


def accelerators() -> int:
    """NVIDIA devices of this machine; without starting JAX, which would take their memory."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def worker_command(address: str, name: str) -> list[str]:
    """How a worker is started."""
    return [
        *(sys.executable, "-m", "distributed.cli.dask_worker", address),
        *("--name", name, "--resources", f"{DEVICE}=1"),
        *("--nthreads", "2"),  # one trains, one answers meanwhile
        *("--memory-limit", "0"),  # what does not fit is seen, and halved
        "--no-dashboard",
    ]


def join(address: str, workers: int | None) -> list[subprocess.Popen]:
    """Starts workers for a scheduler, each with a core or an accelerator of its own.

    Args:
        address: of the scheduler.
        workers: how many; one for each accelerator, or core where there is none, where None.
    """
    found = accelerators()
    processes = []
    for number in range(workers or found or cores()):
        own = {"CUDA_VISIBLE_DEVICES": str(number % found)} if found else {CORE: str(number)}
        command = worker_command(address, f"{platform.node()}-{os.getpid()}-{number}")
        processes.append(subprocess.Popen(command, env=os.environ | own))
    return processes


def serve(workers: int | None, host: str, port: int, say: Callable[[str], None]) -> None:
    """Runs a scheduler and workers until it is interrupted.

    Args:
        workers: as for `join`.
        host: that the scheduler listens at; only this machine can reach 127.0.0.1.
        port: of the scheduler.
        say: told the address.
    """
    address = f"tcp://{host}:{port}"
    scheduler = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
            *("--host", host, "--port", str(port), "--dashboard-address", f"{host}:0"),
        ]
    )
    processes = [scheduler]
    try:
        _await(address, scheduler)
        processes += join(address, workers)
        say(
            f"hpjax: a cluster at {address}; hpjax tune --cluster {address}, more workers by hpjax cluster --join {address}"
        )
        watch(processes)
    finally:
        stop(processes)


def _await(address: str, scheduler: subprocess.Popen) -> None:
    """Waits until a scheduler answers.

    Raises:
        ValueError: it ended, or does not answer.
    """
    from distributed import Client

    begun = time.monotonic()
    while time.monotonic() - begun < WAIT:
        if scheduler.poll() is not None:
            raise ValueError(
                f"the scheduler at {address} ended at once; is the port in use? give another --port"
            )
        try:
            Client(address, timeout=2, set_as_default=False).close()
            return
        except OSError:
            continue
    raise ValueError(f"the scheduler at {address} does not answer after {WAIT:.0f} s")


def watch(processes: list[subprocess.Popen]) -> None:
    """Returns when one of some processes has ended."""
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)


def stop(processes: list[subprocess.Popen]) -> None:
    """Ends processes."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
