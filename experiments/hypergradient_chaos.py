"""The edge of smoothness: loss after training and its gradient against the learning rate, and where the gradient stops helping.

    HPJAX_DATA=... python -m experiments.hypergradient_chaos
    python -m experiments.hypergradient_chaos --plot results/hypergradient_chaos

After the last figure of Maclaurin, Duvenaud & Adams (2015): 784-200-50-10, tanh, 1,000 images, batches of 250, 50 steps of damped
momentum 0.9, initial scale exp(-2), 1,000 log rates from 0.5 to 2.5 from the same weights. In float64.

curve      loss and d loss / d log rate at every rate, with central differences of neighbouring losses
seeds      the same at fewer rates for other initial weights and minibatches: where does smoothness end?
horizon    size of the gradient, and its signal over noise across seeds, against the number of steps, at rates below and beyond the edge
agreement  how often float32, and evolution strategies, agree in sign with the slope of the smoothed loss
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("curve", "seeds", "horizon", "agreement")
LOW, HIGH = 0.5, 2.5
PUBLISHED = 1.49  # log rate at which the authors' gradient turns to noise
FACTORS = (0.3, 0.7, 1.0, 1.3)  # of the rate at the edge
SMOOTH = 0.1  # standard deviation, in log rate, of the smoothed loss


def setting(data: Path | None, dtype: str = "float64"):
    """Task, split and network."""
    from hpjax import hypergrad, tasks

    found = tasks.load("mnist10k", data)
    found = dataclasses.replace(found, x=found.x / found.x.max(), standardize=False)
    rows = found.development[:1000]
    spec, config = hypergrad.configure(
        found,
        hidden=(200, 50),
        activation="tanh",
        optimizer="damped",
        momentum=0.9,
        init="normal",
        init_scale=float(np.exp(-2)),
        batch_size=250,
        dtype=dtype,
    )
    return found, tasks.Split(rows, found.test), spec, config


def take(setup, rates, steps: int, mode, key: int = 0):
    """Losses and d loss / d log rate at these rates."""
    from hpjax import hypergrad

    made, split, spec, config = setup
    configs = [config | {"learning_rate": float(rate)} for rate in rates]
    found = hypergrad.hypergradients(
        made,
        spec,
        configs,
        "learning_rate",
        steps,
        mode=mode,
        objective="train",
        split=split,
        key=key,
    )
    return found.loss, found.gradient["learning_rate"]


def run(flags: Flags, folder: Path) -> None:
    """Gradients at every rate; then at a few, over horizons and seeds."""
    from hpjax import hypergrad

    smoke = flags.preset == "smoke"
    setup = setting(flags.data)
    logs = np.linspace(LOW, HIGH, 21 if smoke else 1000)
    steps = 10 if smoke else 50
    for part in [flags.only] if flags.only else PARTS:
        if part == "curve":
            loss, slope = take(setup, np.exp(logs), steps, "forward")
            near = 1e-6  # exact differences at every tenth rate
            picked = logs[::10]
            up, _ = take(setup, np.exp(picked + near), steps, "forward")
            down, _ = take(setup, np.exp(picked - near), steps, "forward")
            write(
                folder / "curve.json",
                {
                    "log rate": logs.tolist(),
                    "loss": loss.tolist(),
                    "slope": slope.tolist(),
                    "picked": picked.tolist(),
                    "difference": ((up - down) / (2 * near)).tolist(),
                },
                indent=None,
            )
        elif part == "seeds":
            rates = np.linspace(0.9, 2.2, 5 if smoke else 105)
            keys = range(1, 3 if smoke else 1 + (flags.seeds or 9))
            slopes = [
                take(setup, np.exp(rates), steps, "forward", key=key)[1].tolist() for key in keys
            ]
            write(
                folder / "seeds.json", {"log rate": rates.tolist(), "slopes": slopes}, indent=None
            )
        elif part == "horizon":
            seeds = 4 if smoke else flags.seeds or (30 if flags.preset == "paper" else 12)
            horizons = (5, 10) if smoke else (10, 25, 50, 100, 200)
            table = []
            for factor in FACTORS:
                rate = factor * np.exp(PUBLISHED)
                for horizon in horizons:
                    slopes = [
                        float(take(setup, [rate], horizon, "forward", key=key)[1][0])
                        for key in range(seeds)
                    ]
                    table.append([factor, horizon, *slopes])
                print(f"rate {factor} x edge done", flush=True)
            write(folder / "horizon.json", table, indent=None)
        else:
            rates = np.linspace(LOW + 0.2, HIGH - 0.3, 5 if smoke else 16)
            table = {}
            table["float64"] = take(setup, np.exp(rates), steps, "forward")[1].tolist()
            single = setting(flags.data, "float32")
            table["float32"] = take(single, np.exp(rates), steps, "forward")[1].tolist()
            evolution = hypergrad.Evolution(steps, pairs=4 if smoke else 16, sigma=SMOOTH)
            table["evolution"] = take(single, np.exp(rates), steps, evolution)[1].tolist()
            write(
                folder / "agreement.json",
                {"log rate": rates.tolist(), "slopes": table},
                indent=None,
            )


def edge(logs: np.ndarray, slope: np.ndarray) -> float:
    """Where the gradient stops being a smooth function of the rate: the first of three neighbouring jumps.

    A jump is a change between neighbouring rates of more than ten times the largest change seen up to the middle of the smooth
    part (log rate 1).
    """
    slope = np.where(np.isfinite(slope), slope, np.inf)
    with np.errstate(invalid="ignore"):
        change = np.nan_to_num(np.abs(np.diff(slope)), nan=np.inf)
    calm = change[logs[:-1] <= 1.0].max()
    wild = change > 10 * calm
    for i in range(len(wild) - 10):
        if wild[i] and wild[i : i + 10].sum() >= 3:
            return float(logs[i])
    return float(logs[-1])


def draw(folder: Path) -> list[dict]:
    """Loss and gradient over the rate; gradient over the horizon; agreement in sign."""
    from hpjax import plots

    found = read(folder / "curve.json")
    logs, loss, slope = (np.array(found[n]) for n in ("log rate", "loss", "slope"))
    where = edge(logs, slope)
    made, axes = plots.figure(2, 2, width=plots.WIDE, height=4.4)
    axes[0, 0].plot(logs, loss, lw=0.6, color="#4477AA")
    axes[0, 0].set(xlabel="log learning rate", ylabel="training loss after 50 steps", yscale="log")
    edges = [where]
    if (folder / "seeds.json").exists():
        entry = read(folder / "seeds.json")
        edges += [edge(np.array(entry["log rate"]), np.array(s, float)) for s in entry["slopes"]]
        axes[0, 0].plot(
            edges,
            np.full(len(edges), np.nanmin(loss) / 2),
            "|",
            ms=5,
            color="#EE6677",
            label=f"edges of {len(edges)} seeds",
        )
        axes[0, 0].legend(loc="upper left", bbox_to_anchor=(0.0, 0.75))
        write_rows(folder / "edges.csv", ["seed", "log rate at the edge"], enumerate(edges))
    axes[1, 0].plot(logs, slope, lw=0.6, color="#4477AA", label="automatic")
    axes[1, 0].plot(
        found["picked"], found["difference"], ".", ms=2, color="#EE6677", label="central difference"
    )
    size = 3 * np.abs(slope[logs < 1.3]).max()
    axes[1, 0].set(xlabel="log learning rate", ylabel="d loss / d log rate", ylim=(-size, size))
    axes[1, 0].legend(loc="lower left")
    for ax in axes[:, 0]:
        ax.axvline(where, color="k", lw=0.6, ls=":")
    axes[0, 0].text(
        where - 0.03,
        0.95,
        f"edge {where:.2f}",
        rotation=90,
        va="top",
        ha="right",
        transform=axes[0, 0].get_xaxis_transform(),
        fontsize=6,
    )
    write_rows(folder / "curve.csv", ["log rate", "loss", "slope"], zip(logs, loss, slope))
    picked, difference = np.array(found["picked"]), np.array(found["difference"])
    mine = np.interp(picked, logs, slope)
    left = picked < where - 0.05
    apart = np.abs(mine - difference)[left] / np.abs(slope[logs < where]).max()
    signs = np.sign(slope)
    rough = lambda mask: float(np.mean(np.diff(signs[mask]) != 0))
    criteria = [
        Criterion(
            f"distance of the edge of smoothness, log rate {np.median(edges):.3f} in the median of {len(edges)} seeds ({min(edges):.2f} to {max(edges):.2f}), from the published {PUBLISHED}",
            abs(np.median(edges) - PUBLISHED),
            0.1,
            at_least=False,
        ),
        Criterion(
            "left of the edge: largest difference of the gradient and central differences, over the largest gradient",
            apart.max(),
            1e-6,
            at_least=False,
        ),
        Criterion(
            "sign changes between neighbours beyond the edge over those before it, plus 1 in 1,000",
            (rough(logs > where) + 1e-3) / (rough(logs < where) + 1e-3),
            5,
        ),
    ]
    if (folder / "horizon.json").exists():
        table = np.array(read(folder / "horizon.json"))
        rows = []
        for number, factor in enumerate(FACTORS):
            here = table[table[:, 0] == factor]
            slopes = here[:, 2:]
            with np.errstate(all="ignore"):
                middle = np.median(np.abs(slopes), 1)
                ratio = np.abs(slopes.mean(1)) / slopes.std(1, ddof=1)
            axes[0, 1].plot(
                here[:, 1],
                middle,
                marker="osD^"[number],
                ms=3,
                color=plots.COLORS[number],
                label=f"{factor:g} x published edge",
            )
            rows += [[factor, int(t), m, r] for t, m, r in zip(here[:, 1], middle, ratio)]
        axes[0, 1].set(
            xscale="log", yscale="log", xlabel="steps", ylabel="median |d loss / d log rate|"
        )
        axes[0, 1].legend()
        write_rows(
            folder / "horizon.csv",
            ["rate over the edge's", "steps", "median size", "signal over noise"],
            rows,
        )
        final = {factor: r for factor, t, _, r in rows if t == 50}
        if final:
            criteria.append(
                Criterion(
                    "signal over noise of the gradient over seeds, 50 steps, at 0.3 x the published edge",
                    final[0.3],
                    1.0,
                )
            )
            criteria.append(
                Criterion(
                    "signal over noise of the gradient over seeds, 50 steps, at 1.3 x the published edge",
                    final[1.3],
                    1.0,
                    at_least=False,
                )
            )
    if (folder / "agreement.json").exists():
        entry = read(folder / "agreement.json")
        at = np.array(entry["log rate"])
        slopes = {n: np.array(v) for n, v in entry["slopes"].items()}
        # d/dx of the mean of loss(x + e), e normal, is the mean of loss(x + e) e / variance: over all rates of the curve
        away = logs - at[:, None]
        weights = np.exp(-0.5 * (away / SMOOTH) ** 2)
        weights /= weights.sum(1, keepdims=True)
        height = np.where(np.isfinite(loss), loss, np.nanmax(loss[np.isfinite(loss)]))
        truth = (weights * away * height).sum(1) / SMOOTH**2
        rows = [
            [x, *(np.sign(v[i]) == np.sign(truth[i]) for v in slopes.values())]
            for i, x in enumerate(at)
        ]
        write_rows(folder / "agreement.csv", ["log rate", *slopes], rows)
        beyond = at > where
        share = {
            n: [float(np.mean(np.sign(v[m]) == np.sign(truth[m]))) for m in (~beyond, beyond)]
            for n, v in slopes.items()
        }
        place = np.arange(len(share))
        for shift, side, color in ((-0.2, 0, "#4477AA"), (0.2, 1, "#EE6677")):
            axes[1, 1].bar(
                place + shift,
                [v[side] for v in share.values()],
                0.38,
                color=color,
                label=("below the edge", "beyond")[side],
            )
        axes[1, 1].axhline(0.5, color="k", lw=0.6, ls=":")
        axes[1, 1].set_xticks(
            place, ["gradient,\nfloat64", "gradient,\nfloat32", "evolution\nstrategies"]
        )
        axes[1, 1].set(ylabel="sign right, share of rates", ylim=(0, 1.25))
        axes[1, 1].legend(ncols=2, loc="upper center")
        criteria.append(
            Criterion(
                "evolution strategies: share of signs right beyond the edge",
                share["evolution"][1],
                0.9,
            )
        )
    plots.save(made, folder / "chaos")
    return criteria


if __name__ == "__main__":
    main(
        "hypergradient_chaos",
        run,
        draw,
        parts=PARTS,
        uses=(
            "seeds",
            "data",
        ),
    )
