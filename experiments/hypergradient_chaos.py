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
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes


HORIZONS = (10, 25, 50, 100, 200)
LOW, HIGH = 0.5, 2.5
PUBLISHED = 1.49  # log rate at which the authors' gradient turns to noise
FACTORS = (0.3, 0.7, 1.0, 1.3)  # of the rate at the edge
SMOOTH = 0.1  # standard deviation, in log rate, of the smoothed loss


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    rates: int  # of the curve
    steps: int  # of training, but for the horizons
    edge_rates: int  # at which edges of other seeds are looked for
    edge_seeds: int
    horizons: tuple[int, ...]
    seeds: int  # of each horizon
    agreement_rates: int
    pairs: int  # of moves of evolution strategies
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(21, 10, 5, 2, (5, 10), 4, 5, 4),
    "small": Parameters(1000, 50, 105, 9, HORIZONS, 12, 16, 16),
    "paper": Parameters(1000, 50, 105, 9, HORIZONS, 30, 16, 16),
}


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


def take(setup: Any, rates: Any, steps: int, mode: Any, key: int = 0):
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


def curve(parameters: Parameters) -> dict[str, Any]:
    """Loss and gradient at every rate; exact differences at every tenth."""
    setup, steps = setting(parameters.data), parameters.steps
    logs = np.linspace(LOW, HIGH, parameters.rates)
    loss, slope = take(setup, np.exp(logs), steps, "forward")
    near, picked = 1e-6, logs[::10]
    up, _ = take(setup, np.exp(picked + near), steps, "forward")
    down, _ = take(setup, np.exp(picked - near), steps, "forward")
    return {
        "log rate": logs.tolist(),
        "loss": loss.tolist(),
        "slope": slope.tolist(),
        "picked": picked.tolist(),
        "difference": ((up - down) / (2 * near)).tolist(),
    }


def other_seeds(parameters: Parameters) -> dict[str, Any]:
    """Gradients over the rate, from other weights and minibatches."""
    setup = setting(parameters.data)
    rates = np.linspace(0.9, 2.2, parameters.edge_rates)
    slopes = [
        take(setup, np.exp(rates), parameters.steps, "forward", key=key)[1].tolist()
        for key in range(1, 1 + parameters.edge_seeds)
    ]
    return {"log rate": rates.tolist(), "slopes": slopes}


def horizon(parameters: Parameters) -> list[list[float]]:
    """Share of the edge's rate, steps, and the gradient of each seed."""
    setup, table = setting(parameters.data), []
    for factor in FACTORS:
        rate = factor * np.exp(PUBLISHED)
        for steps in parameters.horizons:
            slopes = [
                float(take(setup, [rate], steps, "forward", key=key)[1][0])
                for key in range(parameters.seeds)
            ]
            table.append([factor, steps, *slopes])
        print(f"rate {factor} x edge done", flush=True)
    return table


def agreement(parameters: Parameters) -> dict[str, Any]:
    """Gradients in both precisions, and those of evolution strategies."""
    from hpjax import hypergrad

    steps = parameters.steps
    rates = np.linspace(LOW + 0.2, HIGH - 0.3, parameters.agreement_rates)
    double, single = setting(parameters.data), setting(parameters.data, "float32")
    evolution = hypergrad.Evolution(steps, pairs=parameters.pairs, sigma=SMOOTH)
    ways = {
        "float64": (double, "forward"),
        "float32": (single, "forward"),
        "evolution": (single, evolution),
    }
    slopes = {
        name: take(setup, np.exp(rates), steps, mode)[1].tolist()
        for name, (setup, mode) in ways.items()
    }
    return {"log rate": rates.tolist(), "slopes": slopes}


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


def edges_of(numbers: Numbers) -> list[float]:
    """The edge of every seed; first that of the curve."""
    curve, others = numbers["curve"], numbers.get("seeds", {"log rate": [], "slopes": []})
    found = [edge(np.array(curve["log rate"]), np.array(curve["slope"]))]
    return found + [edge(np.array(others["log rate"]), np.array(s)) for s in others["slopes"]]


def noises(table: np.ndarray) -> list[list[float]]:
    """Share of the edge's rate, steps, the gradient's median size over seeds, and its signal over its noise."""
    with np.errstate(all="ignore"):
        middle = np.median(np.abs(table[:, 2:]), 1)
        ratio = np.abs(table[:, 2:].mean(1)) / table[:, 2:].std(1, ddof=1)
    return [
        [factor, int(steps), m, r]
        for wanted in FACTORS
        for factor, steps, m, r in zip(table[:, 0], table[:, 1], middle, ratio)
        if factor == wanted
    ]


def right_signs(numbers: Numbers) -> dict[str, np.ndarray]:
    """Where each way's gradient has the sign of the smoothed loss's slope, [rates] bool.

    d/dx of the mean of loss(x + e), e normal, is the mean of loss(x + e) e / variance: over all rates of the curve.
    """
    logs, loss = (np.array(numbers["curve"][n]) for n in ("log rate", "loss"))
    entry = numbers["agreement"]
    away = logs - np.array(entry["log rate"])[:, None]
    weights = np.exp(-0.5 * (away / SMOOTH) ** 2)
    weights /= weights.sum(1, keepdims=True)
    height = np.where(np.isfinite(loss), loss, np.nanmax(loss[np.isfinite(loss)]))
    truth = (weights * away * height).sum(1) / SMOOTH**2
    return {n: np.sign(v) == np.sign(truth) for n, v in entry["slopes"].items()}


def shares(numbers: Numbers) -> dict[str, list[float]]:
    """Shares of right signs below the edge and beyond it."""
    beyond = np.array(numbers["agreement"]["log rate"]) > edges_of(numbers)[0]
    right = right_signs(numbers)
    return {n: [float(np.mean(v[m])) for m in (~beyond, beyond)] for n, v in right.items()}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Loss and gradient over the rate; gradient over the horizon; agreement in sign."""
    from hpjax import plots

    made, axes = plots.figure(2, 2, width=plots.WIDE, height=4.4)
    draw_curve(axes[:, 0], numbers, sheet)
    if "horizon" in numbers:
        draw_horizon(axes[0, 1], np.array(numbers["horizon"]), sheet)
    if "agreement" in numbers:
        draw_agreement(axes[1, 1], numbers, sheet)
    sheet.figure(made, "chaos")


def draw_curve(axes: np.ndarray, numbers: Numbers, sheet: Sheet) -> None:
    """Loss and gradient over the rate, and where the gradient stops being smooth."""
    above, below = axes
    found, edges = numbers["curve"], edges_of(numbers)
    logs, loss, slope = (np.array(found[n]) for n in ("log rate", "loss", "slope"))
    where = edges[0]
    above.plot(logs, loss, lw=0.6, color="#4477AA")
    above.set(xlabel="log learning rate", ylabel="training loss after 50 steps", yscale="log")
    if "seeds" in numbers:
        above.plot(
            edges,
            np.full(len(edges), np.nanmin(loss) / 2),
            "|",
            ms=5,
            color="#EE6677",
            label=f"edges of {len(edges)} seeds",
        )
        above.legend(loc="upper left", bbox_to_anchor=(0.0, 0.75))
        sheet.table("edges", ["seed", "log rate at the edge"], enumerate(edges))
    below.plot(logs, slope, lw=0.6, color="#4477AA", label="automatic")
    below.plot(
        found["picked"], found["difference"], ".", ms=2, color="#EE6677", label="central difference"
    )
    size = 3 * np.abs(slope[logs < 1.3]).max()
    below.set(xlabel="log learning rate", ylabel="d loss / d log rate", ylim=(-size, size))
    below.legend(loc="lower left")
    for ax in axes:
        ax.axvline(where, color="k", lw=0.6, ls=":")
    above.text(
        where - 0.03,
        0.95,
        f"edge {where:.2f}",
        rotation=90,
        va="top",
        ha="right",
        transform=above.get_xaxis_transform(),
        fontsize=6,
    )
    sheet.table("curve", ["log rate", "loss", "slope"], zip(logs, loss, slope))


def draw_horizon(ax: Axes, table: np.ndarray, sheet: Sheet) -> None:
    """The gradient's size over the horizon."""
    from hpjax import plots

    rows = noises(table)
    for number, factor in enumerate(FACTORS):
        mine = [row for row in rows if row[0] == factor]
        ax.plot(
            [row[1] for row in mine],
            [row[2] for row in mine],
            marker="osD^"[number],
            ms=3,
            color=plots.COLORS[number],
            label=f"{factor:g} x published edge",
        )
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="median |d loss / d log rate|")
    ax.legend()
    sheet.table(
        "horizon", ["rate over the edge's", "steps", "median size", "signal over noise"], rows
    )


def draw_agreement(ax: Axes, numbers: Numbers, sheet: Sheet) -> None:
    """How often each way's gradient points the right way."""
    right, share = right_signs(numbers), shares(numbers)
    rates = numbers["agreement"]["log rate"]
    sheet.table("agreement", ["log rate", *right], zip(rates, *right.values()))
    place = np.arange(len(share))
    for shift, side, color in ((-0.2, 0, "#4477AA"), (0.2, 1, "#EE6677")):
        ax.bar(
            place + shift,
            [v[side] for v in share.values()],
            0.38,
            color=color,
            label=("below the edge", "beyond")[side],
        )
    ax.axhline(0.5, color="k", lw=0.6, ls=":")
    ax.set_xticks(place, ["gradient,\nfloat64", "gradient,\nfloat32", "evolution\nstrategies"])
    ax.set(ylabel="sign right, share of rates", ylim=(0, 1.25))
    ax.legend(ncols=2, loc="upper center")


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    found, edges = numbers["curve"], edges_of(numbers)
    logs, slope = (np.array(found[n]) for n in ("log rate", "slope"))
    where = edges[0]
    picked, difference = np.array(found["picked"]), np.array(found["difference"])
    mine = np.interp(picked, logs, slope)
    left = picked < where - 0.05
    apart = np.abs(mine - difference)[left] / np.abs(slope[logs < where]).max()
    signs = np.sign(slope)
    rough = lambda mask: float(np.mean(np.diff(signs[mask]) != 0))
    judged = [
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
    ratio = {}
    if "horizon" in numbers:
        rows = noises(np.array(numbers["horizon"]))
        ratio = {factor: r for factor, steps, _, r in rows if steps == 50}
    if ratio:
        judged += [
            Criterion(
                f"signal over noise of the gradient over seeds, 50 steps, at {factor:g} x the published edge",
                ratio[factor],
                1.0,
                at_least=factor < 1,
            )
            for factor in (0.3, 1.3)
        ]
    if "agreement" in numbers:
        judged.append(
            Criterion(
                "evolution strategies: share of signs right beyond the edge",
                shares(numbers)["evolution"][1],
                0.9,
            )
        )
    return judged


EXPERIMENT = Experiment(
    "hypergradient_chaos",
    presets=PRESETS,
    parts={
        "curve": curve,
        "seeds": other_seeds,
        "horizon": horizon,
        "agreement": agreement,
    },
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
