"""How fast populations train: against peers, against the machine, and as they grow.

    python -m experiments.throughput
    python -m experiments.throughput --only reference --preset smoke --out /tmp/throughput

Every contender (`contenders/`) is a process of its own that waits while another is timed; repeats are interleaved. Peers: a hand-written
`jit(vmap(scan))` loop, scikit-learn, and PyTorch and Keras where they are installed. The roofline (float32 matrix product,
copy) is measured between the repeats of the same run.

Parts: `reference` (32 networks 64-128-128-128-10, ReLU, batch 32, Adam, 20 epochs of 1,437 digits), `notebook` (the course's
grid, whole process, cold and with a warm compilation cache), `tiny` (2-4-1 networks on XOR), `overhead` (100,000 random trials
of those), `mixed` (a sweep of many shapes) and `growth` (cost against population size, width and epochs).
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from experiments._common import Criterion, Flags, main, read, write, write_rows
from experiments.contenders.process import contest, installed, program
from experiments.contenders.sweep import Sweep

PARTS = ("reference", "notebook", "tiny", "overhead", "mixed", "growth")
REPEATS = {"smoke": 1, "small": 5, "paper": 9}


# --- parts ------------------------------------------------------------------------------------------------------------
def reference(preset: str) -> dict:
    """The reference sweep against all peers."""
    sweep = Sweep(networks=4, epochs=2) if preset == "smoke" else Sweep()
    peers = ["PyTorch loop", "PyTorch vmap", "Keras"]
    here, missing = installed(
        [
            "roofline",
            "hpjax",
            "jit(vmap(scan)) by hand",
            "hpjax one at a time",
            "scikit-learn",
            *peers,
        ]
    )
    for name in missing:
        print(f"reference: {name} is not installed and left out")
    found = contest(here, sweep, REPEATS[preset])
    roof = found.pop("roofline")
    ours = found["hpjax"]["seconds"]
    bound = max(sweep.flop / (roof["gflops"] * 1e9), sweep.moved / (roof["copy_gbytes"] * 1e9))
    for entry in found.values():
        # the hand-written loop drops the last, partial minibatch
        steps = entry.get("steps", sweep.steps)
        entry["network_steps_per_second"] = sweep.networks * steps / entry["seconds"]
        entry["gflops"] = sweep.flop / entry["seconds"] / 1e9
        entry["times_hpjax"] = entry["seconds"] / ours
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


def notebook(preset: str) -> dict:
    """The notebook's grid, whole processes: hpjax cold and with a warm cache, scikit-learn; no refit in either."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        commands = {
            "hpjax cold": ("notebook_hpjax", "cold"),
            "hpjax warm cache": ("notebook_hpjax", "warm"),
            "scikit-learn": ("notebook_scikit_learn", "-"),
        }

        def run(name: str) -> tuple[float, list[float]]:
            file, mode = commands[name]
            seconds, printed = program(file, mode, preset, environment=environment)
            return seconds, [float(v) for v in printed.split()]

        run("hpjax warm cache")  # fills the cache
        timed = {name: [] for name in commands}
        said = {}
        for _ in range(REPEATS[preset] if preset != "small" else 3):
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


def tiny(preset: str) -> dict:
    """Network-steps per second of 2-4-1 networks."""
    sweep = (
        Sweep(networks=512, epochs=100) if preset == "smoke" else Sweep(networks=8192, epochs=2000)
    )
    found = contest(["tiny"], sweep, REPEATS[preset])["tiny"]
    return {
        **found,
        "networks": sweep.networks,
        "steps": sweep.epochs,
        "network_steps_per_second": sweep.networks * sweep.epochs / found["seconds"],
    }


def overhead(preset: str) -> list[dict]:
    """Host overhead and memory of many random trials of tiny networks, ledger included."""
    found = []
    for trials in (100, 1000) if preset == "smoke" else (1000, 10_000, 100_000):
        runs = []
        for _ in range(1 if preset == "smoke" else 3):
            with tempfile.TemporaryDirectory() as folder:
                _, printed = program("overhead", str(trials), f"{folder}/run")
            runs.append(json.loads(printed))
        found.append(
            sorted(runs, key=lambda run: run["host_microseconds_per_trial"])[len(runs) // 2]
        )
    return found


def mixed(preset: str) -> dict:
    """Sweeps of random shapes: as planned, and with (nearly) every shape in a program of its own."""
    trials, epochs = (8, 1) if preset == "smoke" else (48, 20)
    found = {}
    for name in ("planned", "exact"):
        _, printed = program("mixed", name, str(trials), str(epochs))
        found[name] = json.loads(printed)
    return {"trials": trials, "epochs": epochs, **found}


def growth(preset: str) -> dict:
    """Seconds against population size, width and epochs, hpjax beside the hand-written loop."""
    smoke = preset == "smoke"
    lines = {"networks": [], "width": [], "epochs": []}
    names = ["hpjax", "jit(vmap(scan)) by hand"]
    small = (32, 32)
    for networks in (1, 4) if smoke else (1, 4, 16, 64, 256, 1024, 4096):
        if networks <= 1024 or not smoke:
            found = contest(
                names, Sweep(networks=networks, hidden=small, epochs=1 if smoke else 2), 1
            )
            lines["networks"].append(
                {"value": networks, **{name: entry["seconds"] for name, entry in found.items()}}
            )
    for width in (16, 32) if smoke else (16, 32, 64, 128, 256, 512):
        found = contest(
            names,
            Sweep(networks=4 if smoke else 16, hidden=(width, width), epochs=1 if smoke else 4),
            1,
        )
        lines["width"].append(
            {"value": width, **{name: entry["seconds"] for name, entry in found.items()}}
        )
    for epochs in (1, 2) if smoke else (1, 4, 16, 64):
        found = contest(
            names, Sweep(networks=4 if smoke else 16, hidden=(64, 64), epochs=epochs), 1
        )
        lines["epochs"].append(
            {"value": epochs, **{name: entry["seconds"] for name, entry in found.items()}}
        )
    return lines


def run(flags: Flags, folder: Path) -> None:
    """Measures the parts; each leaves its JSON as soon as it is done."""
    measures = {
        "reference": reference,
        "notebook": notebook,
        "tiny": tiny,
        "overhead": overhead,
        "mixed": mixed,
        "growth": growth,
    }
    for part in [flags.only] if flags.only else PARTS:
        started = time.perf_counter()
        found = measures[part](flags.preset)
        write(
            folder / f"{part}.json",
            {
                "preset": flags.preset,
                "seconds": round(time.perf_counter() - started, 1),
                "found": found,
            },
        )
        print(f"{part}: {json.dumps(found)[:400]}")


# --- figures and verdicts ---------------------------------------------------------------------------------------------
def draw(folder: Path) -> list[dict]:
    """The table, the figure and the criteria of whatever parts the folder holds."""
    held = {
        part: read(folder / f"{part}.json")["found"]
        for part in PARTS
        if (folder / f"{part}.json").exists()
    }
    if not held:
        raise ValueError(f"{folder} holds no measurements; run the experiment before drawing it")
    criteria = []
    if "reference" in held:
        found = held["reference"]
        rates = {
            name: entry["network_steps_per_second"] for name, entry in found["contenders"].items()
        }
        by_hand = rates["hpjax"] / rates["jit(vmap(scan)) by hand"]
        criteria.append(Criterion("throughput over the hand-written jit(vmap(scan))", by_hand, 2.0))
        criteria.append(
            Criterion("share of the float32 matrix product's rate", found["share_of_sgemm"], 0.6)
        )
    if "notebook" in held:
        found = held["notebook"]
        criteria.append(
            Criterion(
                "scikit-learn's seconds over ours, cold",
                found["hpjax cold"]["sklearn_over_this"],
                5.0,
            )
        )
        criteria.append(
            Criterion(
                "scikit-learn's seconds over ours, warm cache",
                found["hpjax warm cache"]["sklearn_over_this"],
                7.0,
            )
        )
    if "tiny" in held:
        criteria.append(
            Criterion(
                "million network-steps per second, 2-4-1",
                held["tiny"]["network_steps_per_second"] / 1e6,
                10.0,
            )
        )
    if "overhead" in held:
        last = held["overhead"][-1]
        criteria.append(
            Criterion(
                f"host microseconds per trial of {last['trials']:,}",
                last["host_microseconds_per_trial"],
                20.0,
                at_least=False,
            )
        )
        criteria.append(
            Criterion(
                f"peak MiB of {last['trials']:,} trials", last["peak_mib"], 2048.0, at_least=False
            )
        )
    (folder / "table.md").write_text(table(held))
    if "reference" in held and "growth" in held:
        figure(folder, held)
    return criteria


def table(held: dict) -> str:
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
            f"Machine in the same run: matrix product {roof['gflops']:.0f} GFLOP/s, copy {roof['copy_gbytes']:.1f} GB/s. hpjax reaches {100 * found['share_of_sgemm']:.0f} % of the matrix product and {100 * found['share_of_bound']:.0f} % of the bound ({found['bound_by']}, {found['bound_seconds']:.2f} s).",
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
            "| trials | seconds | host us/trial | peak MiB |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {e['trials']:,} | {e['seconds']:.1f} | {e['host_microseconds_per_trial']:.1f} | {e['peak_mib']:.0f} |"
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
    return "\n".join(lines)


def figure(folder: Path, held: dict) -> None:
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
    plots.save(made, folder / "throughput")
    write_rows(folder / "throughput.csv", ["panel", "contender", "x", "seconds"], rows)


if __name__ == "__main__":
    main("throughput", run, draw, parts=PARTS)
