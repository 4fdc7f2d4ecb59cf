"""One script for an accelerator: are its numbers right, and how fast is it as populations grow? About forty lines of output.

    python -m experiments.contenders.accelerator
    python -m experiments.contenders.accelerator --preset smoke

exact   eight networks of the reference sweep in float32, with the device's own precision of products (TF32 on NVIDIA's) and with the
        highest: how far their losses are from float64's
sweep   the reference sweep (64-128-128-128-10, batch 32, Adam) over the number of networks, beside `jit(vmap(scan))` by hand and
        PyTorch's vmap, interleaved; what does not fit in memory is left out
tiny    2-4-1 networks
mixed   random trials of many shapes: as planned, and a program for each shape

It runs on any device of JAX; on a CPU only to be tried out.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments.contenders.process import contest, installed, program
from experiments.contenders.sweep import Sweep

CONTENDERS = ("hpjax", "jit(vmap(scan)) by hand", "PyTorch vmap")
LOOKS = {
    "hpjax": ("#4477AA", "o"),
    "jit(vmap(scan)) by hand": ("#EE6677", "s"),
    "PyTorch vmap": ("#CCBB44", "^"),
}
PRECISIONS = ("default", "highest")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    networks: tuple[int, ...]  # of the sweep
    epochs: int
    repeats: int  # interleaved
    tiny_networks: int
    tiny_epochs: int
    mixed_trials: int
    mixed_epochs: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters((1, 2), 1, 1, 64, 20, 4, 1),
    "small": Parameters((1, 4, 16, 64, 256, 1024, 4096, 16384), 5, 3, 2**20, 1000, 48, 20),
    "paper": Parameters((1, 4, 16, 64, 256, 1024, 4096, 16384), 20, 5, 2**22, 2000, 96, 20),
}


def exact(parameters: Parameters) -> dict[str, Any]:
    """How far losses in float32 are from those in float64, by the precision of products."""
    import jax

    import hpjax

    configs = [
        {
            "hidden": (128, 128, 128),
            "batch_size": 32,
            "init": "xavier",
            "learning_rate": float(rate),
        }
        for rate in np.geomspace(5e-4, 2e-3, 8)
    ]
    epochs = parameters.epochs

    def losses(dtype: str) -> np.ndarray:
        typed = [config | {"dtype": dtype} for config in configs]
        return hpjax.train(typed, "digits", epochs, say=lambda text: None).table["loss"].to_numpy()

    reference, found = losses("float64"), {}
    for precision in PRECISIONS:
        with jax.default_matmul_precision(precision):
            off = np.abs(losses("float32") / reference - 1)
        found[precision] = {"median": float(np.median(off)), "most": float(off.max())}
        print(
            f"float32, products {precision}: losses off by {np.median(off):.1e}, at most {off.max():.1e}",
            flush=True,
        )
    device = jax.devices()[0]
    print(f"device: {device.device_kind}, {device.platform}", flush=True)
    return {"off": found, "device": device.device_kind, "platform": device.platform}


def swept(parameters: Parameters) -> list[dict[str, Any]]:
    """The reference sweep over the number of networks."""
    here, missing = installed(list(CONTENDERS))
    for name in missing:
        print(f"sweep: {name} is not installed and left out")
    found = []
    for networks in parameters.networks:
        sweep = Sweep(networks=networks, epochs=parameters.epochs)
        for name in here:
            try:
                entry = contest([name], sweep, parameters.repeats)[name]
            except ValueError as fault:  # it does not fit, or has ended otherwise
                print(f"{networks} networks, {name}: left out, {fault!s:.120}", flush=True)
                continue
            steps = entry.get("steps", sweep.steps)
            rate = networks * steps / entry["seconds"]
            row = {"networks": networks, "contender": name, "rate": rate} | {
                key: entry[key] for key in ("seconds", "compile_seconds", "chunk") if key in entry
            }
            print(
                f"{networks:6d} networks, {name:24s}: {rate:12,.0f} network-steps/s, {entry['seconds']:.2f} s, compiled in {entry.get('compile_seconds', 0):.1f} s",
                flush=True,
            )
            found.append(row)
    return found


def tiny(parameters: Parameters) -> dict[str, Any]:
    """Network-steps a second of 2-4-1 networks."""
    sweep = Sweep(networks=parameters.tiny_networks, epochs=parameters.tiny_epochs)
    entry = contest(["tiny"], sweep, parameters.repeats)["tiny"]
    rate = sweep.networks * sweep.epochs / entry["seconds"]
    print(f"2-4-1 networks: {rate / 1e6:.0f} million network-steps/s", flush=True)
    return {"rate": rate, "networks": sweep.networks}


def mixed(parameters: Parameters) -> dict[str, Any]:
    """A sweep of many shapes, as planned and with a program for each."""
    found = {}
    for how in ("planned", "exact"):
        _, printed = program(
            "mixed", how, str(parameters.mixed_trials), str(parameters.mixed_epochs)
        )
        found[how] = json.loads(printed)
        print(
            f"mixed shapes, {how}: {found[how]['seconds']:.1f} s, {found[how]['programs']} programs, compiling {found[how]['compile_seconds']:.1f} s",
            flush=True,
        )
    return found


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Throughput over the number of networks."""
    from hpjax import plots

    if "sweep" not in numbers:
        return
    rows = numbers["sweep"]
    figure, ax = plots.figure(1, 1, width=plots.COLUMN, height=2.6)
    for name, (color, marker) in LOOKS.items():
        own = [row for row in rows if row["contender"] == name]
        ax.plot(
            [row["networks"] for row in own],
            [row["rate"] for row in own],
            color=color,
            marker=marker,
            ms=3,
            label=name,
        )
    ax.set(xscale="log", yscale="log", xlabel="networks", ylabel="network-steps a second")
    ax.legend(fontsize=6.5)
    sheet.figure(figure, "sweep")
    header = ["networks", "contender", "rate", "seconds"]
    sheet.table("sweep", header, [[row[name] for name in header] for row in rows])


def criteria(numbers: Numbers) -> list[Criterion]:
    """Right to float32's digits; twice the loop by hand where both have most networks."""
    found = []
    if "exact" in numbers:
        off = numbers["exact"]["off"]["highest"]["median"]
        title = "losses in float32 off float64's, relative, median"
        found.append(Criterion(title, off, 1e-3, False, part="exact"))
    if "sweep" in numbers:
        rate = {(row["networks"], row["contender"]): row["rate"] for row in numbers["sweep"]}
        both = [n for n, name in rate if name == "hpjax" and (n, CONTENDERS[1]) in rate]
        if both:
            ratio = rate[max(both), "hpjax"] / rate[max(both), CONTENDERS[1]]
            title = f"throughput of {max(both)} networks over the loop by hand"
            found.append(Criterion(title, ratio, 2.0, figure="sweep", part="sweep"))
    return found


EXPERIMENT = Experiment(
    "accelerator",
    PRESETS,
    {"exact": exact, "sweep": swept, "tiny": tiny, "mixed": mixed},
    draw,
    criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
