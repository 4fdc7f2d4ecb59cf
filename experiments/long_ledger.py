"""Long runs: seconds to resume and to show a run, over the lines of its ledger.

The networks are stood in for by random numbers, since only the loop, the files and the tables are timed: one trial a round, so that a
run of n trials has 2n + 2 lines. Each time is that of one call in a process of its own, imports left out.

python -m experiments.long_ledger                 up to 100,000 lines, two minutes
python -m experiments.long_ledger --preset smoke  up to 1,000
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

LINES = {
    "smoke": (200, 1_000),
    "small": (1_000, 10_000, 100_000),
    "paper": (1_000, 10_000, 100_000, 300_000),
}
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


def make(folder: Path, trials: int) -> float:
    """A run of so many trials, one a round, whose networks are random numbers; seconds that it took."""
    import hpjax
    from hpjax import population

    rng = np.random.default_rng(0)

    def invented(self, order):
        results = population.nothing(len(order.trial), self.regime)
        loss = rng.random(results.loss.shape)
        for column in (results.loss, results.error, results.train):
            column[:] = loss
        results.reached[:] = results.kept[:] = order.epochs[:, None]
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


def run(flags: Flags, folder: Path) -> None:
    """Makes, resumes and shows a run of every length; a run is resumed without its last line."""
    found = []
    for lines in LINES[flags.preset]:
        place = folder / "run"
        shutil.rmtree(place, ignore_errors=True)
        made = make(place, lines // 2 - 1)
        show = timed(SHOW, place)
        whole = (place / "ledger.jsonl").read_bytes()
        (place / "ledger.jsonl").write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
        resume = timed(RESUME, place)
        if (place / "ledger.jsonl").read_bytes() != whole:
            raise ValueError(f"a run of {lines} lines did not resume to the same ledger")
        found.append({"lines": whole.count(b"\n"), "make": made, "resume": resume, "show": show})
        shutil.rmtree(place)
        print({name: round(value, 2) for name, value in found[-1].items()}, flush=True)
    write(folder / "seconds.json", found)


def draw(folder: Path) -> list[dict]:
    """Seconds over lines."""
    from hpjax import plots

    found = read(folder / "seconds.json")
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
    plots.save(made, folder / "seconds")
    write_rows(folder / "seconds.csv", list(found[0]), [entry.values() for entry in found])
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


if __name__ == "__main__":
    main("long_ledger", run, draw)
