"""Long runs: seconds to resume and to show a run, over the lines of its ledger.

The networks are stood in for by random numbers, since only the loop, the files and the tables are timed: one trial a round, so that a
run of n trials has 2n + 2 lines. Each time is that of one call in a process of its own, imports left out.

python -m experiments.long_ledger                 up to 100,000 lines, two minutes
python -m experiments.long_ledger --preset smoke  up to 1,000
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from hpjax.schedulers.base import Order


RESUME = "import hpjax; hpjax.resume(sys.argv[1], say=lambda text: None)"
SHOW = "import hpjax; from hpjax import report; r = hpjax.open_run(sys.argv[1]); r.trials; report.overview(r, r.folder / 'figure')"
CLOCK = """
import sys, time, pandas, matplotlib.figure, sklearn.datasets, sklearn.model_selection, hpjax, hpjax.report
from hpjax import devices
devices.devices()
begun = time.perf_counter()
{}
print(time.perf_counter() - begun)
"""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    lines: tuple[int, ...]  # of a ledger


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters((200, 1_000)),
    "small": Parameters((1_000, 10_000, 100_000)),
    "paper": Parameters((1_000, 10_000, 100_000, 300_000)),
}


def make(folder: Path, trials: int) -> float:
    """A run of so many trials, one a round, whose networks are random numbers; seconds that it took."""
    import hpjax
    from hpjax import population

    rng = np.random.default_rng(0)

    def invented(self: Any, order: Order):
        results = population.empty_results(len(order.trial), self.regime)
        loss = rng.random(results.loss.shape)
        for column in (results.loss, results.error, results.train):
            column[:] = loss
        results.reached[:] = results.weights_epoch[:] = order.epochs[:, None]
        results.curves[..., 0] = np.arange(1, self.regime.rows + 1)
        results.curves[..., 1:] = loss[..., None, None]
        return results

    space = {
        "learning_rate": hpjax.LogUniform(1e-4, 1e-1),
        "width_1": hpjax.IntUniform(4, 16),
        "l2": hpjax.LogUniform(1e-6, 1e-2),
        "dropout": hpjax.Uniform(0.0, 0.5),
    }
    real, begun = population.Population.carry_out, time.perf_counter()
    population.Population.carry_out = invented
    try:
        hpjax.tune(space, "iris", trials=trials, batch=1, out=folder, say=lambda text: None)
    finally:
        population.Population.carry_out = real
    return time.perf_counter() - begun


def timed(code: str, folder: Path) -> float:
    """Seconds of one call in a fresh process."""
    words = [sys.executable, "-c", CLOCK.format(code), str(folder)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def run(parameters: Parameters) -> list[dict[str, Any]]:
    """Makes, resumes and shows a run of every length; a run is resumed without its last line."""
    found = []
    for lines in parameters.lines:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(lines, Path(folder) / "run"))
        print({name: round(value, 2) for name, value in found[-1].items()}, flush=True)
    return found


def measured(lines: int, folder: Path) -> dict[str, Any]:
    """Seconds to make, resume and show a run of so many lines."""
    made = make(folder, lines // 2 - 1)
    show = timed(SHOW, folder)
    whole = (folder / "ledger.jsonl").read_bytes()
    (folder / "ledger.jsonl").write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    resume = timed(RESUME, folder)
    if (folder / "ledger.jsonl").read_bytes() != whole:
        raise ValueError(f"a run of {lines} lines did not resume to the same ledger")
    return {"lines": whole.count(b"\n"), "make": made, "resume": resume, "show": show}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Seconds over lines."""
    from hpjax import plots

    found = numbers["seconds"]
    made, ax = plots.figure(1, 1)
    lines = [entry["lines"] for entry in found]
    for name, color, marker in (("resume", "#4477AA", "o"), ("show", "#EE6677", "s")):
        ax.plot(
            lines, [entry[name] for entry in found], color=color, marker=marker, ms=3, label=name
        )
    ax.axhline(5, color="k", lw=0.4, ls=":")
    ax.set(
        xscale="log", yscale="log", xlabel="lines of the ledger", ylabel="seconds, imports left out"
    )
    ax.legend()
    sheet.figure(made, "seconds")
    sheet.table("seconds", list(found[0]), [entry.values() for entry in found])


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    found = numbers["seconds"]
    largest = min(found, key=lambda entry: abs(entry["lines"] - 100_000))
    return [
        Criterion(
            f"seconds to {name} a run of {largest['lines']:,} lines",
            largest[name],
            5,
            at_least=False,
        )
        for name in ("resume", "show")
    ]


EXPERIMENT = Experiment(
    "long_ledger",
    presets=PRESETS,
    parts={"seconds": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
