"""How fast populations train: against peers, against the machine, and as they grow.

    python -m experiments.throughput
    python -m experiments.throughput --only reference --preset smoke --out /tmp/throughput

Every contender (`contenders/`) is a process of its own that waits while another is timed; repeats are interleaved. Peers: a hand-written
`jit(vmap(scan))` loop, scikit-learn, and PyTorch and Keras where they are installed. The roofline (float32 matrix product,
copy) is measured between the repeats of the same run.

Parts: `reference` (32 networks 64-128-128-128-10, ReLU, batch 32, Adam, 20 epochs of 1,437 digits), `notebook` (the course's
grid, whole process, cold and with a warm compilation cache), `tiny` (2-4-1 networks on XOR), `overhead` (100,000 random trials
of those), `mixed` (a sweep of many shapes), `growth` (cost against population size, width and epochs), `packed` (TabPack's
setting: 64 networks of width 384 with rates and dropouts of their own, on a table of Adult's shape), `few` (one to eight small
networks, as a call of `hpjax.train` and as an order of a study that runs) and `streamed` (a task that stays in the host's memory,
beside the same on the devices; and a very large one).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import statistics
import tempfile
from typing import Any

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments.contenders.process import contest, installed, program
from experiments.contenders.sweep import Sweep
from hpjax import program_cache

TRIALS = (1000, 10_000, 100_000)
LARGE = 200_000, 100_000_000
FEW = (1, 2, 4, 8)  # networks
BOUNDS = {"flop": "products", "bytes": "Adam's passes through memory, at the rate of a copy,"}
GROWTH = (1, 4, 16, 64, 256, 1024, 4096), (16, 32, 64, 128, 256, 512), (1, 4, 16, 64)


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    repeats: int  # interleaved, of a contest
    networks: int  # of the reference sweep
    epochs: int
    notebook: Preset  # of the notebook's grid
    notebook_repeats: int
    tiny_networks: int
    tiny_epochs: int
    trials: tuple[int, ...]  # in overhead
    overhead_repeats: int
    mixed_trials: int
    mixed_epochs: int
    growth_networks: tuple[int, ...]
    growth_widths: tuple[int, ...]
    growth_epochs: tuple[int, ...]
    growth_size: int  # networks, where the width or the epochs grow
    growth_shortest: int  # epochs, where the networks grow; twice as many where the width does
    packed_networks: int  # of TabPack's setting
    packed_examples: int
    streamed_examples: int  # of a task that the devices can hold, too
    large_examples: int  # of one that stays with the host


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(
        1,
        4,
        2,
        "smoke",
        1,
        512,
        100,
        (100, 1000),
        1,
        8,
        1,
        (1, 4),
        (16, 32),
        (1, 2),
        4,
        1,
        2,
        512,
        2000,
        20_000,
    ),
    "small": Parameters(
        5, 32, 20, "small", 3, 8192, 2000, TRIALS, 3, 48, 20, *GROWTH, 16, 2, 64, 20_000, *LARGE
    ),
    "paper": Parameters(
        9, 32, 20, "paper", 9, 8192, 2000, TRIALS, 3, 48, 20, *GROWTH, 16, 2, 64, 39_000, *LARGE
    ),
}


# --- parts ------------------------------------------------------------------------------------------------------------
def reference(parameters: Parameters) -> dict[str, Any]:
    """The reference sweep against all peers."""
    sweep = Sweep(networks=parameters.networks, epochs=parameters.epochs)
    peers = ["PyTorch loop", "PyTorch vmap", "Keras"]
    here, missing = installed(
        [
            "roofline",
            "hpjax",
            "jit(vmap(scan)) by hand",
            "jit(vmap(step)) looped in Python",
            "hpjax one at a time",
            "scikit-learn",
            *peers,
        ]
    )
    for name in missing:
        print(f"reference: {name} is not installed and left out")
    found = contest(here, sweep, parameters.repeats)
    roof = found.pop("roofline")
    ours = found["hpjax"]["seconds"]
    # what products would take alone, or Adam's passes through memory; weights that stay in a cache are faster than that
    bound = max(sweep.flop / (roof["gflops"] * 1e9), sweep.moved / (roof["copy_gbytes"] * 1e9))
    for entry in found.values():
        # the hand-written loops drop the last, partial minibatch
        share = entry.get("steps", sweep.steps) / sweep.steps
        entry["network_steps_per_second"] = sweep.networks * sweep.steps * share / entry["seconds"]
        entry["gflops"] = sweep.flop * share / entry["seconds"] / 1e9
        entry["times_hpjax"] = entry["seconds"] / share / ours
    return {
        "sweep": dataclasses.asdict(sweep),
        "contenders": found,
        "missing": missing,
        "roofline": roof,
        "share_of_sgemm": found["hpjax"]["gflops"] / roof["gflops"],
        "share_of_bound": bound / ours,
        "bound_seconds": bound,
        "bound_by": "flop" if bound == sweep.flop / (roof["gflops"] * 1e9) else "bytes",
    }


def notebook(parameters: Parameters) -> dict[str, Any]:
    """The notebook's grid, whole processes: hpjax cold and with a warm cache, scikit-learn; no refit in either."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {program_cache.SWITCH: cache}
        commands = {
            "hpjax cold": ("notebook_hpjax", "cold"),
            "hpjax warm cache": ("notebook_hpjax", "warm"),
            "scikit-learn": ("notebook_scikit_learn", "-"),
        }

        def run(name: str) -> tuple[float, list[float]]:
            file, mode = commands[name]
            seconds, printed = program(file, mode, parameters.notebook, environment=environment)
            return seconds, [float(v) for v in printed.split()]

        run("hpjax warm cache")  # fills the cache
        timed = {name: [] for name in commands}
        said = {}
        for _ in range(parameters.notebook_repeats):
            for name in commands:
                seconds, said[name] = run(name)
                timed[name].append(seconds)
    found = {
        name: {
            "seconds": statistics.median(times),
            "fastest": min(times),
            "slowest": max(times),
            "loss": said[name][0],
        }
        for name, times in timed.items()
    }
    for name in ("hpjax cold", "hpjax warm cache"):
        found[name] |= dict(zip(("compile_seconds", "run_seconds", "programs"), said[name][1:]))
        found[name]["sklearn_over_this"] = found["scikit-learn"]["seconds"] / found[name]["seconds"]
    return found


def tiny(parameters: Parameters) -> dict[str, Any]:
    """Network-steps per second of 2-4-1 networks."""
    sweep = Sweep(networks=parameters.tiny_networks, epochs=parameters.tiny_epochs)
    found = contest(["tiny"], sweep, parameters.repeats)["tiny"]
    return {
        **found,
        "networks": sweep.networks,
        "steps": sweep.epochs,
        "network_steps_per_second": sweep.networks * sweep.epochs / found["seconds"],
    }


def overhead(parameters: Parameters) -> list[dict[str, Any]]:
    """Host overhead and memory of many random trials of tiny networks, ledger included."""
    found = []
    for trials in parameters.trials:
        runs = []
        for _ in range(parameters.overhead_repeats):
            with tempfile.TemporaryDirectory() as folder:
                _, printed = program("overhead", str(trials), f"{folder}/run")
            runs.append(json.loads(printed))
        found.append(sorted(runs, key=lambda run: run["host_seconds"])[len(runs) // 2])
    return found


def mixed(parameters: Parameters) -> dict[str, Any]:
    """Sweeps of random shapes: as planned, and with (nearly) every shape in a program of its own."""
    trials, epochs = parameters.mixed_trials, parameters.mixed_epochs
    found = {}
    for name in ("planned", "exact"):
        _, printed = program("mixed", name, str(trials), str(epochs))
        found[name] = json.loads(printed)
    return {"trials": trials, "epochs": epochs, **found}


def packed(parameters: Parameters) -> dict[str, Any]:
    """TabPack's setting: 64 networks of width 384 with rates and dropouts of their own, minibatches of 256, one epoch."""
    sweep = Sweep(
        networks=parameters.packed_networks,
        hidden=(384, 384),
        batch=256,
        epochs=1,
        train=parameters.packed_examples,
        valid=2000,
    )
    here, missing = installed(["hpjax, packed", "PyTorch, packed"])
    found = contest(here, sweep, min(3, parameters.repeats))
    return {"sweep": dataclasses.asdict(sweep), "contenders": found, "missing": missing}


def few(parameters: Parameters) -> list[dict[str, Any]]:
    """One to eight networks of two hidden layers of 32, for two epochs and for as many as the reference sweep's."""
    names = ["hpjax", "hpjax, an order of a study", "jit(vmap(scan)) by hand"]
    found = []
    for epochs in (2, parameters.epochs):
        for count in FEW:
            sweep = Sweep(networks=count, hidden=(32, 32), epochs=epochs)
            entries = contest(names, sweep, 5 * parameters.repeats)
            seconds = {name: entry["seconds"] for name, entry in entries.items()}
            found.append({"networks": count, "epochs": epochs, "seconds": seconds})
    return found


def streamed(parameters: Parameters) -> dict[str, Any]:
    """An epoch of networks on a task that the devices or the host holds, interleaved; and on one of four columns that is as long as it gets."""
    size = str(parameters.streamed_examples), "64", "16", "128", "256"
    runs: dict[str, list[dict[str, float]]] = {"devices": [], "host": []}
    for _ in range(min(3, parameters.repeats)):
        for name, found in runs.items():
            found.append(json.loads(program("streamed", name, *size)[1]))
    median = lambda found: sorted(found, key=lambda run: run["run_seconds"])[len(found) // 2]
    large = str(parameters.large_examples), "4", "4", "16", "4096"
    return {
        "examples": parameters.streamed_examples,
        "held by": {name: median(found) for name, found in runs.items()},
        "large examples": parameters.large_examples,
        "large": json.loads(program("streamed", "host", *large)[1]),
    }


def growth(parameters: Parameters) -> dict[str, Any]:
    """Seconds against population size, width and epochs, hpjax beside the hand-written loop."""
    size, shortest = parameters.growth_size, parameters.growth_shortest

    def line(sweeps: dict[int, Sweep]) -> list[dict[str, Any]]:
        found = []
        for value, sweep in sweeps.items():
            entries = contest(["hpjax", "jit(vmap(scan)) by hand"], sweep, 1)
            seconds = {name: entry["seconds"] for name, entry in entries.items()}
            found.append({"value": value, **seconds})
        return found

    return {
        "networks": line(
            {
                n: Sweep(networks=n, hidden=(32, 32), epochs=shortest)
                for n in parameters.growth_networks
            }
        ),
        "width": line(
            {
                w: Sweep(networks=size, hidden=(w, w), epochs=2 * shortest)
                for w in parameters.growth_widths
            }
        ),
        "epochs": line(
            {e: Sweep(networks=size, hidden=(64, 64), epochs=e) for e in parameters.growth_epochs}
        ),
    }


# --- figures and verdicts ---------------------------------------------------------------------------------------------
def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The table, and the figure where both of its parts are there."""
    (sheet.folder / "table.md").write_text(table(numbers))
    if "reference" in numbers and "growth" in numbers:
        figure(numbers, sheet)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    judged = []
    if "reference" in numbers:
        found = numbers["reference"]
        rates = {n: entry["network_steps_per_second"] for n, entry in found["contenders"].items()}
        by_hand = rates["hpjax"] / rates["jit(vmap(scan)) by hand"]
        share = found["share_of_sgemm"]
        drawn = functools.partial(Criterion, figure="throughput", part="reference")
        judged += [
            drawn("throughput over the hand-written jit(vmap(scan))", by_hand, 2.2),
            drawn("share of the float32 matrix product's rate", share, 0.5),
        ]
    if "notebook" in numbers:
        times = {n: entry.get("sklearn_over_this") for n, entry in numbers["notebook"].items()}
        judged += [
            Criterion("scikit-learn's seconds over ours, cold", times["hpjax cold"], 2.5),
            Criterion(
                "scikit-learn's seconds over ours, warm cache", times["hpjax warm cache"], 3.5
            ),
        ]
    if "tiny" in numbers:
        rate = numbers["tiny"]["network_steps_per_second"] / 1e6
        judged.append(Criterion("million network-steps per second, 2-4-1", rate, 60.0))
    if "overhead" in numbers:
        before, last = numbers["overhead"][-2:]
        seconds = last["host_seconds"] - before["host_seconds"]
        most = functools.partial(Criterion, at_least=False, part="overhead")
        judged += [
            most(
                f"host microseconds for each trial beyond {before['trials']:,}, up to {last['trials']:,}",
                seconds / (last["trials"] - before["trials"]) * 1e6,
                20.0,
            ),
            most(f"peak MiB of {last['trials']:,} trials", last["peak_mib"], 2048.0),
        ]
    for which, name in (
        ("an order of a study", "hpjax, an order of a study"),
        ("a whole call", "hpjax"),
    ):
        entries = numbers.get("few", ())
        for epochs in sorted({entry["epochs"] for entry in entries}, reverse=True):
            worst = max(
                entry["seconds"][name] / entry["seconds"]["jit(vmap(scan)) by hand"]
                for entry in entries
                if entry["epochs"] == epochs
            )
            title = f"1 to 8 small networks of {epochs} epochs: seconds of {which} over the loop by hand's, the worst"
            judged.append(Criterion(title, worst, 1.0, at_least=False, part="few"))
    if "streamed" in numbers:
        held = numbers["streamed"]["held by"]
        ratio = held["host"]["run_seconds"] / held["devices"]["run_seconds"]
        judged.append(
            Criterion(
                "seconds of training from the host's memory over the devices'", ratio, 1.1, False
            )
        )
    packed = numbers.get("packed", {}).get("contenders", {})
    if "PyTorch, packed" in packed:
        ratio = packed["PyTorch, packed"]["seconds"] / packed["hpjax, packed"]["seconds"]
        judged.append(
            Criterion("TabPack's setting: seconds of PyTorch's packed loop over ours", ratio, 1)
        )
    return judged


def table(held: Numbers) -> str:
    """The measurements as Markdown."""
    lines = ["# Throughput", ""]
    if "reference" in held:
        found, roof = held["reference"], held["reference"]["roofline"]
        lines += [
            f"Reference sweep ({found['sweep']['networks']} networks 64-128-128-128-10, batch 32, Adam, {found['sweep']['epochs']} epochs of 1,437 digits; medians of interleaved repeats)",
            "",
        ]
        lines += [
            "| contender | seconds (range) | network-steps/s | GFLOP/s | x hpjax | validation loss | compile s | peak MiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, e in sorted(found["contenders"].items(), key=lambda item: item[1]["seconds"]):
            compile_seconds = f"{e['compile_seconds']:.1f}" if "compile_seconds" in e else "-"
            lines.append(
                f"| {name} | {e['seconds']:.2f} ({e['fastest']:.2f}-{e['slowest']:.2f}) | {e['network_steps_per_second']:,.0f} | {e['gflops']:.1f} | {e['times_hpjax']:.2f} | {e['loss']:.3f} | {compile_seconds} | {e['peak_mib']:.0f} |"
            )
        lines += [
            "",
            f"Machine in the same run: matrix product {roof['gflops']:.0f} GFLOP/s ({', '.join(f'{name} {value:.0f}' for name, value in roof['products'].items())}; NumPy on one core {roof['one_core_gflops']:.0f}), a hidden layer's products of a step, on every core {roof['step_gflops']:.0f}; copy {roof['copy_gbytes']:.1f} GB/s. hpjax reaches {100 * found['share_of_sgemm']:.0f} % of the matrix product; {BOUNDS[found['bound_by']]} alone would take {found['bound_seconds']:.2f} s ({100 * found['share_of_bound']:.0f} % of hpjax's; weights that stay in a cache are faster).",
            "",
        ]
        lines += (
            [f"Not installed, left out: {', '.join(found['missing'])}.", ""]
            if found["missing"]
            else []
        )
    if "notebook" in held:
        lines += [
            "The notebook's grid, whole process (54 trainings, no refit)",
            "",
            "| what | seconds (range) | scikit-learn / this | compiling | training | validation loss |",
            "|---|---|---|---|---|---|",
        ]
        for name, e in held["notebook"].items():
            more = (
                (
                    f"{e['sklearn_over_this']:.2f}",
                    f"{e['compile_seconds']:.1f}",
                    f"{e['run_seconds']:.1f}",
                )
                if "compile_seconds" in e
                else ("1.00", "-", "-")
            )
            lines.append(
                f"| {name} | {e['seconds']:.1f} ({e['fastest']:.1f}-{e['slowest']:.1f}) | {' | '.join(more)} | {e['loss']:.4f} |"
            )
        lines.append("")
    if "tiny" in held:
        e = held["tiny"]
        lines += [
            f"2-4-1 networks, full batch of 4: {e['network_steps_per_second'] / 1e6:.1f} million network-steps per second ({e['networks']:,} networks, {e['steps']:,} steps).",
            "",
        ]
    if "overhead" in held:
        lines += [
            "Random trials of 2-4-1 networks, 50 steps each, with ledger",
            "",
            "| trials | seconds | of the host, compiling among it | peak MiB |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {e['trials']:,} | {e['seconds']:.1f} | {e['host_seconds']:.2f} | {e['peak_mib']:.0f} |"
            for e in held["overhead"]
        ] + [""]
    if "mixed" in held:
        found = held["mixed"]
        lines += [
            f"Mixed shapes ({found['trials']} random trials, {found['epochs']} epochs)",
            "",
            "| plan | seconds | programs | compiling | training | padding, share of the arithmetic |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {found[name]['seconds']:.1f} | {found[name]['programs']} | {found[name]['compile_seconds']:.1f} | {found[name]['run_seconds']:.1f} | {100 * found[name]['padding']:.0f} % |"
            for name in ("planned", "exact")
        ] + [""]
    if "packed" in held:
        found = held["packed"]
        sweep = found["sweep"]
        lines += [
            f"TabPack's setting ({sweep['networks']} networks of two hidden layers of 384, own rates and dropouts, minibatches of {sweep['batch']}, one epoch of {sweep['train']:,} examples)",
            "",
            "| contender | seconds (range) | validation loss | peak MiB |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {e['seconds']:.1f} ({e['fastest']:.1f}-{e['slowest']:.1f}) | {e['loss']:.3f} | {e['peak_mib']:.0f} |"
            for name, e in found["contenders"].items()
        ] + [""]
    if "few" in held:
        names = list(held["few"][0]["seconds"])
        lines += [
            "Few networks of two hidden layers of 32, minibatches of 32 of 1,437 digits, compiled before",
            "",
            f"| networks | epochs | {' | '.join(f'{name}, ms' for name in names)} |",
            "|---|---|---|---|---|",
        ]
        for e in held["few"]:
            each = " | ".join(f"{1000 * e['seconds'][name]:.1f}" for name in names)
            lines.append(f"| {e['networks']} | {e['epochs']} | {each} |")
        lines.append("")
    if "streamed" in held:
        found, e = held["streamed"], held["streamed"]["large"]
        lines += [
            f"One epoch of 16 networks 64-128-128-1, minibatches of 256, {found['examples']:,} examples, in a process that has compiled",
            "",
            "| examples held by | seconds | training | validation loss | peak MiB |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| the {name} | {e['seconds']:.2f} | {e['run_seconds']:.2f} | {e['loss']:.4f} | {e['peak_mib']:.0f} |"
            for name, e in found["held by"].items()
        ]
        lines += [
            "",
            f"One epoch of 4 networks 4-16-16-1, minibatches of 4,096, {found['large examples']:,} examples held by the host: {e['seconds']:.0f} s, training {e['run_seconds']:.0f} s; peak {e['peak_mib']:,.0f} MiB, of which {e['loaded_mib']:,.0f} once the task is made.",
            "",
        ]
    return "\n".join(lines)


def figure(held: Numbers, sheet: Sheet) -> None:
    """Peers on the reference sweep; cost against population size, width and epochs."""
    from hpjax import plots

    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.4, width_ratios=[1.3, 1, 1, 1])
    found = held["reference"]["contenders"]
    names = sorted(found, key=lambda name: -found[name]["seconds"])
    colors = [plots.COLORS[0] if name == "hpjax" else "#BBBBBB" for name in names]
    rates = [found[name]["network_steps_per_second"] for name in names]
    bars = axes[0].barh(names, rates, color=colors)
    axes[0].bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=2, fontsize=6)
    axes[0].set_xlim(0, 1.35 * max(rates))
    axes[0].set_xticks([])
    axes[0].spines["bottom"].set_visible(False)
    axes[0].set_xlabel("network-steps per second")
    rows = [["reference", name, found[name]["network_steps_per_second"], ""] for name in names]
    for ax, (name, points) in zip(axes[1:], held["growth"].items()):
        for which, color, marker in (
            ("hpjax", plots.COLORS[0], "o"),
            ("jit(vmap(scan)) by hand", plots.COLORS[1], "s"),
        ):
            ax.plot(
                [p["value"] for p in points],
                [p[which] for p in points],
                marker=marker,
                markersize=3,
                color=color,
                label=which,
            )
            rows += [[name, which, p["value"], p[which]] for p in points]
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.minorticks_off()
        values = [p["value"] for p in points][:: 2 if len(points) > 4 else 1]
        ax.set_xticks(values, [f"{value:,}" for value in values])
        ax.set_xlabel({"networks": "networks", "width": "hidden width", "epochs": "epochs"}[name])
    axes[1].set_ylabel("seconds")
    handles, labels = axes[1].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper right", ncols=2)
    sheet.figure(made, "throughput")
    sheet.table("throughput", ["panel", "contender", "x", "seconds"], rows)


EXPERIMENT = Experiment(
    "throughput",
    presets=PRESETS,
    parts={
        "reference": reference,
        "notebook": notebook,
        "tiny": tiny,
        "overhead": overhead,
        "mixed": mixed,
        "growth": growth,
        "packed": packed,
        "few": few,
        "streamed": streamed,
    },
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
