"""Starts a scheduler and workers for hpjax on this machine, or workers that join a scheduler elsewhere; one worker for each core or
accelerator.
"""

from __future__ import annotations

import itertools
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from hpjax.cluster.pool import DEVICE
from hpjax.devices import cores

CORE = "HPJAX_CORE"  # the core that a worker keeps to
PAUSE = 1.0  # seconds between looks whether a worker has ended, and before it is started again
GONE = 300.0  # seconds without the scheduler, and without workers, after which it is given up
WAIT = 30.0  # seconds that the scheduler has to come up
# of Dask's worker, however it is started
WORKER_OPTIONS = [
    *("--resources", f"{DEVICE}=1"),
    *("--nthreads", "2"),  # one trains, one answers meanwhile
    *("--memory-limit", "0"),  # what does not fit is seen, and halved
    "--no-dashboard",
]


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
        *("--name", name, *WORKER_OPTIONS),
    ]


def workers_of(address: str, count: int | None, say: Callable[[str], None]) -> None:
    """Runs workers for a scheduler until it is gone, or this process is interrupted; one that ends is started again.

    Args:
        address: of the scheduler.
        count: how many; one for each accelerator, or core where there is none, where None.
        say: told of workers that end.
    """
    found = accelerators()
    # others, whom this process does not know, may have workers on the same cores
    first = random.randrange(cores())
    own = [
        {"CUDA_VISIBLE_DEVICES": str(number % found)} if found else {CORE: str(first + number)}
        for number in range((found or cores()) if count is None else count)
    ]

    def begun(number: int) -> subprocess.Popen:
        name = f"{platform.node()}-{os.getpid()}-{number}-{next(starts)}"
        return subprocess.Popen(worker_command(address, name), env=os.environ | own[number])

    starts, processes, heard = itertools.count(), [], time.monotonic()
    try:
        for number in range(len(own)):
            processes.append(begun(number))
        while True:
            time.sleep(PAUSE)
            ended = [at for at, process in enumerate(processes) if process.poll() is not None]
            if not ended or answers(address):
                heard = time.monotonic()
                for number in ended:
                    status = processes[number].returncode
                    say(f"hpjax: worker {number} ended with status {status}; again")
                    processes[number] = begun(number)
            elif len(ended) == len(own) and time.monotonic() - heard > GONE:
                say(f"hpjax: the scheduler at {address} is gone")
                return
    finally:
        stop(processes)


def serve(workers: int | None, host: str, port: int, say: Callable[[str], None]) -> None:
    """Runs a scheduler and workers until it is interrupted.

    Args:
        workers: as `count` of `workers_of`; the scheduler alone where 0.
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
    try:
        _await(address, scheduler)
        say(
            f"hpjax: a cluster at {address}; hpjax tune --cluster {address}, more workers by hpjax cluster --join {address}"
        )
        if workers == 0:
            scheduler.wait()
        else:
            workers_of(address, workers, say)
    finally:
        stop([scheduler])


def answers(address: str) -> bool:
    """Whether a scheduler does."""
    from distributed import Client

    try:
        Client(address, timeout=2, set_as_default=False).close()
    except OSError:
        return False
    return True


def _await(address: str, scheduler: subprocess.Popen) -> None:
    """Waits until a scheduler answers.

    Raises:
        ValueError: it ended, or does not answer.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < WAIT:
        if scheduler.poll() is not None:
            raise ValueError(
                f"the scheduler at {address} ended at once; is the port in use? give another --port"
            )
        if answers(address):
            return
    raise ValueError(f"the scheduler at {address} does not answer after {WAIT:.0f} s")


def stop(processes: list[subprocess.Popen]) -> None:
    """Ends processes."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
