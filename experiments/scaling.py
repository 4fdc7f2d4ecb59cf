"""One study on several workers: throughput beside one process, what a block costs the host, and how many blocks a second a client hands out.

    python -m experiments.scaling
    python -m experiments.scaling --only overhead

Strong scaling: 256 networks of the reference sweep on one process with all devices, and on worker processes with a core each; weak scaling: 128
networks for every worker. All on this machine, so that more workers than cores share these. `overhead`: blocks whose training does nothing, handed
to so many workers (threads of this process): what scheduler, client and our own records take for a block is what limits a large cluster.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments.contenders.sweep import Sweep, digits

SECONDS = (0.1, 1.0, 10.0)  # of a block, for which the largest useful cluster is told


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    networks: int
    epochs: int
    workers: tuple[int, ...]  # processes
    repeats: int
    threads: tuple[int, ...]  # workers that do nothing
    blocks: int  # that they are handed


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(8, 1, (1, 2), 1, (2,), 20),
    "small": Parameters(256, 5, (1, 2, 4), 5, (2, 16, 64, 256), 2000),
    "paper": Parameters(256, 20, (1, 2, 4), 5, (2, 16, 64, 256, 1000), 10_000),
}


def trained(networks: int, epochs: int, executor: Any) -> float:
    """Seconds of a sweep by `hpjax.train`."""
    import hpjax

    x, y, x_valid, y_valid = digits()
    rows = np.arange(len(x) + len(x_valid))
    folds = [(rows[: len(x)], rows[len(x) :])]
    task = (np.concatenate([x, x_valid]), np.concatenate([y, y_valid]))
    sweep = Sweep(networks)
    rates = np.geomspace(5e-4, 2e-3, networks)
    common = {"hidden": sweep.hidden, "batch_size": sweep.batch}
    configs = [common | {"learning_rate": float(rate)} for rate in rates]
    started = time.perf_counter()
    hpjax.train(
        configs,
        hpjax.Task.of(*task, test=0, kind="classes"),
        epochs,
        validation=folds,
        executor=executor,
        say=lambda text: None,
    )
    return time.perf_counter() - started


def scaling(parameters: Parameters) -> list[dict[str, Any]]:
    """Seconds of a sweep on this process and on workers, in turn, after one that compiles."""
    from distributed import Client, LocalCluster

    from hpjax.cluster.pool import DEVICE

    rows = []
    with_workers = {}
    for count in parameters.workers:
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=2,
            host="127.0.0.1",
            dashboard_address=None,
            resources={DEVICE: 1},
            memory_limit=0,
        )
        with_workers[count] = (cluster, Client(cluster, set_as_default=False))
    try:
        for networks, kind in ((parameters.networks, "strong"), (parameters.networks // 2, "weak")):
            for repeat in range(parameters.repeats + 1):
                for count, executor in ((0, None), *((n, c) for n, (_, c) in with_workers.items())):
                    size = networks * count if kind == "weak" and count else networks
                    seconds = trained(size, parameters.epochs, executor)
                    row = {"kind": kind, "workers": count, "networks": size, "seconds": seconds}
                    if repeat:
                        rows.append(row)
                        print(row, flush=True)
    finally:
        for cluster, client in with_workers.values():
            client.close()
            cluster.close()
    return rows


def overhead(parameters: Parameters) -> list[dict[str, Any]]:
    """Blocks a second that a client has done by workers that do nothing, by workers; as `ClusterExecutor` hands them out."""
    from distributed import Client, LocalCluster

    rows = []
    for count in parameters.threads:
        with (
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=False,
                host="127.0.0.1",
                dashboard_address=None,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.wait_for_workers(count, timeout=600)
            handed(client, count, 2 * count)
            seconds = handed(client, count, parameters.blocks)
            rows.append({"workers": count, "blocks": parameters.blocks, "seconds": seconds})
            print(rows[-1], flush=True)
    return rows


def handed(client: Any, workers: int, blocks: int) -> float:
    """Seconds of so many blocks, two tasks each, twice as many under way as there are workers."""
    from collections import deque

    started, waiting = time.perf_counter(), deque()
    for number in range(blocks):
        block = np.zeros((2, 8, 16))  # about what a block's configurations take
        trained = client.submit(_nothing, block, pure=False, priority=-number)
        waiting.append(client.submit(_nothing, trained, pure=False, priority=1))
        if len(waiting) >= 2 * workers:
            waiting.popleft().result()
    while waiting:
        waiting.popleft().result()
    return time.perf_counter() - started


def _nothing(value: Any) -> Any:
    return value


def medians(rows: list[dict[str, Any]], kind: str) -> dict[int, float]:
    """Networks a second by workers, the median over repeats; 0 workers are this process's own devices."""
    found = {}
    for workers in sorted({row["workers"] for row in rows if row["kind"] == kind}):
        of = [r for r in rows if r["kind"] == kind and r["workers"] == workers]
        found[workers] = float(np.median([row["networks"] / row["seconds"] for row in of]))
    return found


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Throughput over workers; what a block costs over workers."""
    from hpjax import plots

    there = [name for name in ("scaling", "overhead") if name in numbers]
    made, axes = plots.figure(1, len(there), plots.WIDE, 2.4, squeeze=False)
    for ax, name in zip(axes[0], there):
        if name == "scaling":
            for kind, color, marker in (("strong", "#4477AA", "o"), ("weak", "#EE6677", "s")):
                found = medians(numbers[name], kind)
                workers = [count for count in found if count]
                ax.plot(
                    workers,
                    [found[count] / found[0] for count in workers],
                    color=color,
                    marker=marker,
                    label=kind,
                )
            ax.axhline(1, color="0.5", ls="--", lw=0.8)
            ax.set(xlabel="worker processes", ylabel="throughput over one process", ylim=(0, None))
            ax.legend()
            continue
        rows = numbers[name]
        ax.plot(
            [row["workers"] for row in rows],
            [1e3 * row["seconds"] / row["blocks"] for row in rows],
            color="#228833",
            marker="o",
        )
        ax.set(xscale="log", xlabel="workers", ylabel="milliseconds a block", ylim=(0, None))
    sheet.figure(made, "scaling")
    lines: list[tuple] = []
    for kind in ("strong", "weak") if "scaling" in there else ():
        lines += [(kind, w, rate) for w, rate in medians(numbers["scaling"], kind).items()]
    for row in numbers["overhead"] if "overhead" in there else ():
        each = row["seconds"] / row["blocks"]
        lines.append(("milliseconds a block", row["workers"], 1e3 * each))
        lines += [
            (f"devices that blocks of {seconds:g} s keep busy", row["workers"], seconds / each)
            for seconds in SECONDS
        ]
    sheet.table("scaling", ["what", "workers", "value"], lines)


def criteria(numbers: Numbers) -> list[Criterion]:
    """Two workers beside two devices; the cost of a block."""
    found = []
    if "scaling" in numbers:
        rate = medians(numbers["scaling"], "strong")
        if 2 in rate:
            title = "256 networks: throughput of two workers over one process with two devices"
            found.append(Criterion(title, rate[2] / rate[0], 0.9, figure="scaling", part="scaling"))
    if "overhead" in numbers:
        each = [1e3 * row["seconds"] / row["blocks"] for row in numbers["overhead"]]
        title = "milliseconds that a block costs client and scheduler, the most over workers"
        found.append(Criterion(title, max(each), 3, False, figure="scaling", part="overhead"))
    return found


EXPERIMENT = Experiment(
    "scaling", PRESETS, {"scaling": scaling, "overhead": overhead}, draw, criteria
)

if __name__ == "__main__":
    main(EXPERIMENT)
