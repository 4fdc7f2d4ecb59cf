"""One study on several workers: throughput beside one process, what a trial and a block cost the host, and how many devices that feeds.

    python -m experiments.scaling
    python -m experiments.scaling --only blocks

Parts: `reference` trains 256 networks of the reference sweep on all devices of one process and on two worker processes with a core each, in
turn; `processes` the same for fewer epochs on one, two and four workers (strong scaling), and 128 networks for every worker (weak
scaling); all on this machine, so that more workers than cores share these. `trials` runs 100,000 random trials of 2-4-1 networks, ledger
included, in one process and on two workers. `blocks` hands out blocks of four reference networks to workers that sleep instead of training, in processes of their own beside the client's and the
scheduler's, and reads the processor time that these two take.

The model: a study on n workers takes of the client or of the scheduler f(n) seconds to begin, a share i(n) of a processor for signs of
life, and c seconds for a block. One that hands out all it can gives (1 - i) / c blocks a second, so that blocks of s seconds keep
s (1 - i) / c devices busy; the slower of the two decides.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments.contenders.sweep import Sweep, digits

FILES = 65_536  # that a process may have open; a worker needs some of the scheduler
IDLE = 5.0  # seconds that signs of life are watched for
SECONDS = (0.1, 1.0, 10.0)  # of a block, for which the largest useful cluster is told
NETWORKS = 4  # of a block of the reference network
QUIET = {"say": lambda text: None}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    networks: int  # of the strong scaling; half as many for each worker of the weak one
    epochs: int  # of the scaling
    reference_epochs: int
    workers: tuple[int, ...]  # processes
    repeats: int  # in pairs
    trials: int  # of 2-4-1 networks
    asleep: tuple[int, ...]  # workers that sleep
    seconds: float  # that they do, for a block
    blocks: int  # that they are handed, all together


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(8, 1, 1, (1, 2), 1, 1000, (2,), 0.01, 12),
    "small": Parameters(256, 5, 20, (1, 2, 4), 4, 100_000, (2, 16, 64, 256), 0.05, 1200),
    "paper": Parameters(256, 20, 20, (1, 2, 4), 9, 100_000, (2, 16, 64, 256, 1000), 0.05, 12_000),
}


# --- processes --------------------------------------------------------------------------------------------------------
def trained(networks: int, epochs: int, executor: Any) -> float:
    """Seconds of a sweep by `hpjax.train`."""
    import hpjax

    x, y, x_valid, y_valid = digits()
    rows = np.arange(len(x) + len(x_valid))
    folds = [(rows[: len(x)], rows[len(x) :])]
    task = hpjax.Task.of(
        np.concatenate([x, x_valid]), np.concatenate([y, y_valid]), test=0, kind="classes"
    )
    sweep = Sweep(networks)
    rates = np.geomspace(5e-4, 2e-3, networks)
    common = {"hidden": sweep.hidden, "batch_size": sweep.batch}
    configs = [common | {"learning_rate": float(rate)} for rate in rates]
    started = time.perf_counter()
    hpjax.train(configs, task, epochs, validation=folds, executor=executor, **QUIET)
    return time.perf_counter() - started


@contextlib.contextmanager
def local(workers: int) -> Iterator[Any]:
    """A client of worker processes on this machine, a core each."""
    from distributed import Client, LocalCluster

    from hpjax.cluster.pool import DEVICE

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=2,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={DEVICE: 1},
            memory_limit=0,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.run(pinned)
        yield client


def pinned(dask_worker: Any) -> None:
    """Keeps this worker to a core, as `executor=2` does."""
    import os

    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(dask_worker.name) % len(cores)]})


def processes(parameters: Parameters) -> list[dict[str, Any]]:
    """Seconds of short sweeps by workers."""
    rows = []
    for count in parameters.workers:
        sizes = {"strong": parameters.networks, "weak": parameters.networks // 2 * count}
        rows += paired(count, sizes, parameters.epochs, parameters.repeats)
    return rows


def reference(parameters: Parameters) -> list[dict[str, Any]]:
    """Seconds of the reference sweep, as long as it is, on two workers."""
    sizes = {"reference": parameters.networks}
    return paired(2, sizes, parameters.reference_epochs, parameters.repeats)


def paired(count: int, sizes: dict[str, int], epochs: int, repeats: int) -> list[dict[str, Any]]:
    """Seconds of sweeps on workers, and in turn on this process alone; both compile before."""
    rows = []
    with local(count) as client:
        for kind, networks in sizes.items():
            for repeat in range(repeats + 1):
                alone = trained(networks, epochs, None)
                seconds = trained(networks, epochs, client)
                row = {"kind": kind, "workers": count, "networks": networks}
                if repeat:
                    rows.append(row | {"seconds": seconds, "alone": alone})
    return rows


def shares(rows: list[dict[str, Any]], kind: str) -> dict[int, float]:
    """Throughput over that of this process alone, by workers: the median over pairs."""
    found: dict[int, list[float]] = {}
    for row in (row for row in rows if row["kind"] == kind):
        found.setdefault(row["workers"], []).append(row["alone"] / row["seconds"])
    return {workers: float(np.median(each)) for workers, each in found.items()}


# --- trials -----------------------------------------------------------------------------------------------------------
def trials(parameters: Parameters) -> list[dict[str, Any]]:
    """Seconds and processor time of many random trials in one process (0 workers), and on two workers; in turn."""
    rows = []
    with local(2) as client:
        for repeat in range(parameters.repeats + 1):
            for workers, executor in ((0, None), (2, client)):
                row = studied(parameters.trials, executor)
                if repeat:
                    rows.append({"workers": workers, "trials": parameters.trials} | row)
    return rows


def studied(count: int, executor: Any) -> dict[str, float]:
    """A study of 2-4-1 networks on XOR: seconds, those of the processor, and those in which devices of this process were busy."""
    import hpjax
    from experiments.contenders.overhead import SPACE

    with tempfile.TemporaryDirectory() as folder:
        started, processor = time.perf_counter(), time.process_time()
        result = hpjax.tune(
            SPACE,
            "xor",
            trials=count,
            validation={"score_every": 50},
            out=f"{folder}/run",
            executor=executor,
            **QUIET,
        )
        seconds = time.perf_counter() - started
        processor = time.process_time() - processor
    busy = result.population.compile_seconds + result.population.run_seconds
    return {"seconds": seconds, "processor": processor, "devices": busy}


def host(rows: list[dict[str, Any]]) -> dict[int, float]:
    """Host seconds by workers, the median over repeats: without workers all but training, with them what this process computes."""
    found: dict[int, list[float]] = {}
    for row in rows:
        own = row["processor"] if row["workers"] else row["seconds"] - row["devices"]
        found.setdefault(row["workers"], []).append(own)
    return {workers: float(np.median(each)) for workers, each in found.items()}


# --- blocks -----------------------------------------------------------------------------------------------------------
def blocks(parameters: Parameters) -> list[dict[str, Any]]:
    """What client and scheduler take of a processor, by workers: to begin, while nothing is done, and for a block."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    return [handed(count, parameters) for count in parameters.asleep]


def handed(workers: int, parameters: Parameters) -> dict[str, Any]:
    """Studies of one order, whose blocks go to workers that sleep: a small one, which trains the block that they answer with, a quarter
    of the blocks, and all of them.
    """
    import psutil
    from distributed import Client

    import hpjax

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    where = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    commands = (
        ("distributed.cli.dask_scheduler", *where),
        ("experiments._asleep", address, str(workers), str(parameters.seconds)),
    )
    begun = []
    try:
        for words in commands:
            command = [sys.executable, "-m", *words]
            begun.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        processes = [psutil.Process(), *(psutil.Process(one.pid) for one in begun)]
        computed = lambda: np.array([sum(one.cpu_times()[:2]) for one in processes])
        space = {"hidden": (128, 128, 128), "learning_rate": hpjax.LogUniform(1e-4, 1e-2)}

        def taken(work: Callable[[], object]) -> np.ndarray:
            """Seconds, and those of a processor for client, scheduler, and all workers."""
            before, started = computed(), time.perf_counter()
            work()
            return np.array([time.perf_counter() - started, *(computed() - before)])

        def study(count: int) -> np.ndarray:
            trials = NETWORKS * count
            return taken(
                lambda: hpjax.tune(
                    space, "digits", trials=trials, epochs=1, executor=client, **QUIET
                )
            )

        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=900)
            study(1)
            nothing = taken(lambda: time.sleep(IDLE))
            part, whole = study(parameters.blocks // 4), study(parameters.blocks)
    finally:
        for one in reversed(begun):
            one.terminate()
            one.wait()
    idle = nothing[1:] / nothing[0]
    more = whole - part
    each = (more[1:] - idle * more[0]) / (parameters.blocks - parameters.blocks // 4)
    begin = part[1:] - idle * part[0] - each * (parameters.blocks // 4)
    row: dict[str, Any] = {"workers": workers, "blocks": parameters.blocks, "seconds": whole[0]}
    for at, name in enumerate(("client", "scheduler", "workers_together")):
        row[name] = {"begin": begin[at], "idle": idle[at], "block": each[at]}
    return row


# --- what is shown ----------------------------------------------------------------------------------------------------
def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Throughput over workers; host time of trials; what a block costs over workers, and the devices that this feeds."""
    from hpjax import plots

    there = [name for name in ("processes", "blocks") if name in numbers]
    panels = {"processes": 1, "blocks": 2}
    lines: list[tuple] = []
    if there:
        made, axes = plots.figure(
            1, sum(panels[name] for name in there), plots.WIDE, 2.5, squeeze=False
        )
        left = list(axes[0])
        for name in there:
            own, left = left[: panels[name]], left[panels[name] :]
            lines += PANELS[name](numbers[name], own)
        sheet.figure(made, "scaling")
    if "reference" in numbers:
        for workers, share in shares(numbers["reference"], "reference").items():
            lines.append(("reference sweep: throughput over one process", workers, share))
    if "trials" in numbers:
        rows = numbers["trials"]
        for workers, seconds in host(rows).items():
            lines.append((f"host seconds of {rows[0]['trials']} trials", workers, seconds))
    sheet.table("scaling", ["what", "workers", "value"], lines)


def _processes(rows: list[dict[str, Any]], axes: list[Any]) -> list[tuple]:
    """Throughput over that of one process."""
    (ax,), lines = axes, []
    for kind, color, marker in (("strong", "#4477AA", "o"), ("weak", "#EE6677", "s")):
        found = shares(rows, kind)
        workers = list(found)
        ax.plot(workers, list(found.values()), color=color, marker=marker, label=f"{kind} scaling")
        lines += [(f"{kind} scaling: throughput over one process", w, v) for w, v in found.items()]
        for row in (row for row in rows if row["kind"] == kind):
            ax.plot(
                row["workers"], row["alone"] / row["seconds"], ".", color=color, ms=3, alpha=0.5
            )
    ax.axhline(1, color="0.5", ls="--", lw=0.8)
    ax.annotate("one process, all devices", (1, 1), (0, 3), textcoords="offset points", size=6.5)
    ax.set(
        xlabel="worker processes",
        ylabel="networks a second,\nover one process",
        xticks=workers,
        ylim=(0, 1.25),
    )
    ax.legend(loc="lower right")
    return lines


def _blocks(rows: list[dict[str, Any]], axes: list[Any]) -> list[tuple]:
    """Processor time of a block; devices that blocks of some length keep busy."""
    cost, fed = axes
    lines = []
    workers = [row["workers"] for row in rows]
    for name, color, marker in (("client", "#228833", "o"), ("scheduler", "#AA3377", "s")):
        each = [1e3 * row[name]["block"] for row in rows]
        cost.plot(workers, each, color=color, marker=marker, label=name)
        lines += [(f"{name}: milliseconds a block", w, ms) for w, ms in zip(workers, each)]
        lines += [(f"{name}: share of a processor", r["workers"], r[name]["idle"]) for r in rows]
        lines += [(f"{name}: seconds to begin", r["workers"], r[name]["begin"]) for r in rows]
    cost.set(
        xscale="log",
        xlabel="workers",
        ylabel="processor time of a block (ms)",
        ylim=(0, None),
    )
    cost.legend()
    rate = min(handed_out(row) for row in rows)
    lengths = np.geomspace(0.01, 100, 50)
    fed.plot(lengths, lengths * rate, color="0.2")
    lines.append(("blocks a second, at least", "", rate))
    for seconds in SECONDS:
        lines.append((f"devices that blocks of {seconds:g} s keep busy", "", seconds * rate))
        fed.plot(seconds, seconds * rate, color="0.2", marker="o")
    fed.set(xscale="log", yscale="log", xlabel="seconds of a block", ylabel="devices kept busy")
    return lines


def handed_out(row: dict[str, Any]) -> float:
    """Blocks a second of the slower of client and scheduler, by the model."""
    return min((1 - row[name]["idle"]) / row[name]["block"] for name in ("client", "scheduler"))


PANELS = {"processes": _processes, "blocks": _blocks}


def criteria(numbers: Numbers) -> list[Criterion]:
    """Two workers beside two devices; the costs of a trial and of a block."""
    found = []
    if "reference" in numbers:
        share = shares(numbers["reference"], "reference")[2]
        title = (
            "reference sweep: throughput of two workers over that of one process with two devices"
        )
        found.append(Criterion(title, share, 0.9, part="reference"))
    if "trials" in numbers:
        each = host(numbers["trials"])
        title = "host time of trials of tiny networks on two workers over that in one process"
        found.append(Criterion(title, each[2] / each[0], 2, False, part="trials"))
    if "blocks" in numbers:
        for name in ("client", "scheduler"):
            most = max(1e3 * row[name]["block"] for row in numbers["blocks"])
            title = f"milliseconds of processor time that a block costs the {name}, at most"
            found.append(Criterion(title, most, 3, False, figure="scaling", part="blocks"))
    return found


EXPERIMENT = Experiment(
    "scaling",
    PRESETS,
    {"reference": reference, "processes": processes, "trials": trials, "blocks": blocks},
    draw,
    criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
