"""Many initial learning rates, one optimum: what descent along the full horizon finds, and what short horizons find instead.

    HPJAX_DATA=... python -m experiments.many_starts
    python -m experiments.many_starts --plot results/many_starts

After Wu, Ren, Liao & Grosse (2018): a rate that decays over T steps, its first value and its decay moved by hypergradients of the
training loss, over the whole of training (forward mode, 2 tangents) or over its first K steps only. They took MNIST and
(1 + t/5000)^-decay; here MNIST-1D, a network 40-50-50-10 (ReLU, momentum 0.9, batches of 100), T = 5,000 and 1 / (1 + decay t / T).

surface    the loss after training over a grid of both
descents   from log-uniform first rates, for every horizon
live       the same rates adapting within one run (hypergradient descent, Baydin et al. 2018)
rescue     starts beyond the edge, with rescue
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("surface", "descents", "live", "rescue")
STEPS = 5000
HORIZONS = (100, 1000, 5000)
RATES, DECAYS = (1e-4, 1.0), (0.1, 1000.0)


def setting(flags: Flags):
    """Task and network, and the horizon."""
    from hpjax import hypergrad, tasks

    smoke = flags.preset == "smoke"
    steps = 60 if smoke else STEPS
    made = tasks.load("mnist1d", flags.data)
    per_epoch = -(-len(tasks.splits(made, 1, 0)[0].train) // 100)
    spec, config = hypergrad.configure(
        made, hidden=(50, 50), optimizer="sgd", momentum=0.9, batch_size=100, schedule="inverse_time", horizon=steps / per_epoch
    )  # fmt: skip
    return made, spec, config, steps


def run(flags: Flags, folder: Path) -> None:
    """The surface, then the descents."""
    from hpjax import hypergrad

    if flags.only is not None and flags.only not in PARTS:
        raise ValueError(f"--only {flags.only!r} is none of {', '.join(PARTS)}")
    smoke = flags.preset == "smoke"
    made, spec, config, steps = setting(flags)
    side = {"smoke": 3, "small": 24, "paper": 40}[flags.preset]
    starts = {"smoke": 2, "small": 32, "paper": 64}[flags.preset]
    rng = np.random.default_rng(0)
    first = np.exp(rng.uniform(*np.log(RATES), starts))
    decay = np.exp(rng.uniform(*np.log(DECAYS), starts))
    at = [config | {"learning_rate": r, "decay_rate": d} for r, d in zip(first, decay)]
    wrt = ("learning_rate", "decay_rate")
    for part in [flags.only] if flags.only else PARTS:
        if part == "surface":
            grid = [np.geomspace(*bounds, side) for bounds in (RATES, DECAYS)]
            points = [config | {"learning_rate": r, "decay_rate": d} for r in grid[0] for d in grid[1]]  # fmt: skip
            losses = hypergrad.hypergradients(
                made, spec, points, wrt, steps, objective="train", mode="plain"
            ).loss
            write(folder / "surface.json", {"rates": grid[0].tolist(), "decays": grid[1].tolist(), "loss": np.round(losses, 6).reshape(side, side).tolist()}, indent=None)  # fmt: skip
        elif part == "descents":
            for horizon in (20, 60) if smoke else HORIZONS:
                found = hypergrad.learn(
                    made, spec, at, wrt, horizon, iterations=2 if smoke else 60, rate=0.15, end_factor=0.2, fresh=False,
                    objective="train", mode="forward", watch=lambda i, loss, horizon=horizon: print(f"horizon {horizon}, {i}: {np.median(loss):.4f}", flush=True) if i % 10 == 0 else None,
                )  # fmt: skip
                write(folder / f"descents{horizon}.json", _entry(found, made, spec, config, steps), indent=None)  # fmt: skip
        elif part == "rescue":
            wild = [config | {"learning_rate": r, "decay_rate": 1.0} for r in (2.0, 5.0, 20.0, 100.0)]  # fmt: skip
            found = hypergrad.learn(made, spec, [at[0], *wild], wrt, steps, iterations=2 if smoke else 40, rate=0.15, end_factor=0.2, fresh=False, objective="train", mode="forward")  # fmt: skip
            write(folder / "rescue.json", _entry(found, made, spec, config, steps), indent=None)
        else:
            import dataclasses

            live = dataclasses.replace(spec, schedule="hypergradient")
            points = [config | {"learning_rate": r, "hypergradient_rate": 1e-3} for r in first]
            ends = hypergrad.hypergradients(made, live, points, "learning_rate", steps, objective="train", mode="plain")  # fmt: skip
            last = first + np.asarray(ends.state.opt.shift, float)
            write(folder / "live.json", {"first": first.tolist(), "loss": ends.loss.tolist(), "rate": last.tolist()}, indent=None)  # fmt: skip


def _entry(found, made, spec, config, steps) -> dict:
    """Paths of the starts, and the loss of where they ended after training of the full length."""
    from hpjax import hypergrad

    ends = [config | found.values(s) for s in range(len(found.history.loss[0]))]
    losses = hypergrad.hypergradients(made, spec, ends, tuple(found.scales), steps, objective="train", mode="plain").loss  # fmt: skip
    keep = lambda a: np.round(np.asarray(a, float), 6).tolist()
    return {
        "horizon": found.steps, "path": {n: keep(v) for n, v in found.path.items()}, "ends": {n: keep(v) for n, v in found.learned.items()},
        "loss": keep(losses), "objective": keep(found.history.loss), "rescued": found.history.rescued.sum(0).tolist(),
    }  # fmt: skip


def draw(folder: Path) -> list[dict]:
    """The surface with paths and ends; losses of the ends."""
    from hpjax import plots

    surface = read(folder / "surface.json")
    rates, decays, loss = (np.array(surface[n]) for n in ("rates", "decays", "loss"))
    shown = np.where(np.isfinite(loss), loss, np.nan)
    best = float(np.nanmin(shown))
    at = np.unravel_index(np.nanargmin(shown), shown.shape)
    horizons = sorted(int(p.stem[8:]) for p in folder.glob("descents*.json"))
    found = {horizon: read(folder / f"descents{horizon}.json") for horizon in horizons}
    made, axes = plots.figure(1, len(found) + 1, width=plots.WIDE, height=2.5, squeeze=False)
    levels = np.geomspace(max(best, 1e-6), np.nanmedian(shown[shown < 2.2]) * 3, 14)
    criteria = []
    for ax, (horizon, entry) in zip(axes[0], found.items()):
        ax.contourf(rates, decays, np.clip(shown.T, levels[0], levels[-1]), levels, cmap="cividis_r", norm="log")  # fmt: skip
        path = {n: np.concatenate([np.array(v), np.array(entry["ends"][n])[None]]) for n, v in entry["path"].items()}  # fmt: skip
        ax.plot(path["learning_rate"], path["decay_rate"], color="w", lw=0.4, alpha=0.7)
        ax.plot(path["learning_rate"][-1], path["decay_rate"][-1], "o", ms=2.5, color="#EE6677")
        ax.plot(rates[at[0]], decays[at[1]], "*", ms=7, color="k")
        ax.set(xscale="log", yscale="log", xlabel="first learning rate", xlim=(rates[0], 10), ylim=(decays[0] / 2, decays[-1] * 2))  # fmt: skip
        ax.set_title(f"horizon {horizon:,}")
        if horizon == horizons[0]:
            ax.set_ylabel("decay over training")
        rows = [[*(float(path[n][i, s]) for n in ("learning_rate", "decay_rate")), s, i] for s in range(path["learning_rate"].shape[1]) for i in range(len(path["learning_rate"]))]  # fmt: skip
        write_rows(folder / f"paths{horizon}.csv", ["learning rate", "decay", "start", "meta-step"], rows)  # fmt: skip
        ends = np.array(entry["loss"], float)
        axes[0, -1].plot(np.sort(ends), (np.arange(len(ends)) + 1) / len(ends), drawstyle="steps-post", label=f"horizon {horizon:,}")  # fmt: skip
    if (folder / "live.json").exists():
        live = read(folder / "live.json")
        ends = np.sort(np.array(live["loss"], float))
        axes[0, -1].plot(ends, (np.arange(len(ends)) + 1) / len(ends), drawstyle="steps-post", ls="--", label="live, one run")  # fmt: skip
    axes[0, -1].axvline(best, color="k", lw=0.6, ls=":")
    axes[0, -1].set(xscale="log", xlabel="loss after full training", ylabel="share of starts at most that", ylim=(0, 1.02))  # fmt: skip
    axes[0, -1].legend(fontsize=6, loc="lower right")
    plots.save(made, folder / "starts")
    full, short = found[horizons[-1]], found[horizons[0]]
    calm = np.isfinite(np.array(full["objective"], float)[0]) & (np.array(full["rescued"]) == 0)
    ends = np.array(full["loss"], float)[calm]
    criteria.append(Criterion("full horizon: share of starts that never diverged and end within 5 % of the grid's best loss", np.mean(ends <= 1.05 * best), 0.9))  # fmt: skip
    ratio = rates[at[0]] / np.median(np.array(short["ends"]["learning_rate"]))
    criteria.append(Criterion(f"horizon {horizons[0]}: grid's best first rate over the median of the ends", ratio, 10))  # fmt: skip
    if (folder / "rescue.json").exists():
        entry = read(folder / "rescue.json")
        wild = np.array(entry["loss"], float)[1:]
        criteria.append(Criterion("starts beyond the edge that were rescued and ended below the loss of chance, of 4", float(np.sum(wild < np.log(10))), 4))  # fmt: skip
        criteria.append(Criterion("rescues that those took, at least", float(np.min(entry["rescued"][1:])), 1))  # fmt: skip
    return criteria


if __name__ == "__main__":
    main("many_starts", run, draw)
