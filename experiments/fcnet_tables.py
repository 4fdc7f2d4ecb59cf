"""62,208 published networks: how good they are, what matters, how fast searches find the best; and 50 of them trained again.

    HPJAX_DATA=... python -m experiments.fcnet_tables
    HPJAX_DATA=... python -m experiments.fcnet_tables --preset paper --only retrained
    python -m experiments.fcnet_tables --plot results/fcnet_tables

After Klein & Hutter (2019), on two of their four tables (protein, naval); losses are means of the table's four seeds.

table      distribution of the losses; exact analysis of variance of log10 loss over the whole grid, and what a forest says of it
           from 1,000 points; importance for being among the best tenth and hundredth
race       our searches, 100 evaluations one at a time: regret, ranks, critical differences over seeds
retrained  points of the tables drawn at random, trained from the raw data by the published recipe as one population (100 epochs, Adam,
           60 % of the examples, which the authors' split may not be): rank correlation with the table. `small` has 10 points of
           naval, `paper` 50 of each
"""

from __future__ import annotations

import dataclasses
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, of_part
from experiments._objectives import stored_table, tables
from experiments._races import race

TITLES = {"protein": "FCNet protein", "naval": "FCNet naval"}
SEARCHES = ("random", "sobol", "bayes", "tpe", "genetic", "differential", "cmaes")
# Of the mean of the four seeds: best, 1 %, 10 %, 50 % and 90 % quantiles; share of var(log10 loss) of the learning rate, of the
# second hyperparameter, and of all main effects.
PUBLISHED = {
    "protein": {
        "quantiles": (0.221379, 0.25604, 0.31094, 0.40038, 0.65729),
        "first": 0.456,
        "second": ("schedule", 0.030),
        "sum": 0.571,
    },
    "naval": {
        "quantiles": (3.19113e-5, 1.4385e-4, 3.6137e-3, 0.14447, 1.0197),
        "first": 0.498,
        "second": ("dropout_1", 0.134),
        "sum": 0.707,
    },
}
SHARES = (0.0, 0.01, 0.1, 0.5, 0.9)
LOOKS = {"protein": ("#4477AA", "o"), "naval": ("#EE6677", "s")}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    points: int  # of a table, that a forest is fitted to
    budget: int | None  # of a search; each table's own where None
    searches: tuple[str, ...]
    seeds: int  # searches
    tasks: tuple[str, ...]  # whose points are trained again
    retrained: int  # points
    epochs: int
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(200, 12, SEARCHES[:2], 2, ("naval",), 3, 1),
    "small": Parameters(1000, None, SEARCHES, 20, ("naval",), 10, 100),
    "paper": Parameters(1000, None, SEARCHES, 100, ("protein", "naval"), 50, 100),
}


def variance(loss: np.ndarray, names: list[str]) -> dict[str, float]:
    """Shares of the variance of a full grid that main effects and pairs explain, by name ("a", "a x b"); exact."""
    everywhere, total = range(loss.ndim), loss.var()
    centred = loss - loss.mean()
    effect = lambda *kept: centred.mean(
        tuple(i for i in everywhere if i not in kept), keepdims=True
    )
    found = {names[i]: float((effect(i) ** 2).mean() / total) for i in everywhere}
    for i, j in combinations(everywhere, 2):
        joint = effect(i, j) - effect(i) - effect(j)
        found[f"{names[i]} x {names[j]}"] = float((joint**2).mean() / total)
    return found


def table(name: str, points: int, folder: Path | None) -> dict[str, Any]:
    """What a table says of itself."""
    from hpjax import analysis

    loss, axes = stored_table(name, folder)
    names, levels = list(axes), [len(values) for values in axes.values()]
    log = np.log10(loss)
    unit = (np.stack(np.unravel_index(np.arange(loss.size), loss.shape), 1) + 0.5) / levels
    exact = variance(log, names)
    rng = np.random.default_rng(0)
    some = rng.choice(loss.size, points, replace=False)
    guessed = analysis.fanova(unit[some], log.ravel()[some])
    among = {
        str(share): analysis.ped_anova(unit, loss.ravel(), levels, better=share).tolist()
        for share in (0.1, 0.01)
    }
    steps = np.concatenate([np.geomspace(1e-5, 0.01, 40), np.linspace(0.01, 1, 200)[1:]])
    return {
        "names": names,
        "exact": exact,
        "guessed": guessed.single.tolist(),
        "deviation": guessed.deviation.tolist(),
        "among": among,
        "published": np.quantile(loss, SHARES, method="lower").tolist(),
        "shares": steps.tolist(),
        "losses": np.quantile(loss, steps).tolist(),
    }


def plateau(loss: np.ndarray) -> float:
    """Where most losses of a table above its median lie: those of networks that predict a constant."""
    log = np.log10(loss[loss > np.median(loss)])
    counts, edges = np.histogram(log, np.arange(log.min(), 1, 1e-3))
    at = int(counts.argmax())
    return float(10 ** ((edges[at] + edges[at + 1]) / 2))


def retrained(name: str, parameters: Parameters) -> dict[str, Any]:
    """Random points of a table, trained again: our loss and the table's four."""
    import hpjax
    from hpjax.tasks import Split

    count, epochs = parameters.retrained, parameters.epochs
    loss, axes = stored_table(name, parameters.data, seeds=True)
    task, rng = hpjax.tasks.load(name, parameters.data), np.random.default_rng(0)
    rows = rng.permutation(len(task.x))
    first, second = int(0.6 * len(rows)), int(0.8 * len(rows))
    split = Split(np.sort(rows[:first]), np.sort(rows[first:second]))
    task = dataclasses.replace(task, test=np.sort(rows[second:]), folds=(split,))
    at = np.stack(
        np.unravel_index(rng.choice(loss[..., 0].size, count, replace=False), loss.shape[:-1]), 1
    )
    points = [{axis: values[i] for (axis, values), i in zip(axes.items(), row)} for row in at]
    # a constant rate is the cosine that ends where it starts
    trials = [
        {n: v for n, v in p.items() if n != "schedule"}
        | {"end_factor": float(p["schedule"] == "constant")}
        for p in points
    ]
    space = {
        n: hpjax.Choice(axes[n])
        for n in ("activation_1", "activation_2", "batch_size", "width_1", "width_2")
    }
    space |= {
        "depth": 2,
        "optimizer": "adam",
        "eps": 1e-7,
        "init": "xavier",
        "schedule": "cosine",
        "end_factor": hpjax.Uniform(0.0, 1.0),
        "epochs": epochs,
        "learning_rate": hpjax.LogUniform(5e-4, 0.1),
        "dropout_1": hpjax.Uniform(0.0, 0.9),
        "dropout_2": hpjax.Uniform(0.0, 0.9),
    }
    started = time.perf_counter()
    found = hpjax.tune(
        space, task, search=trials, validation={"score_every": epochs}, say=lambda text: None
    )
    seconds = round(time.perf_counter() - started, 1)
    ours = [v if np.isfinite(v) else None for v in found.table["loss"].tolist()]
    print(
        f"retrained, {name}: {count} networks in {seconds:g} s, {len(found.population.compiled)} programs",
        flush=True,
    )
    return {
        "points": points,
        "ours": ours,
        "table": loss[tuple(at.T)].tolist(),
        "plateau": plateau(loss.mean(-1)),
        "seconds": seconds,
    }


def described(parameters: Parameters) -> dict[str, Any]:
    """Both tables: quantiles, and what matters."""
    return {name: table(name, parameters.points, parameters.data) for name in TITLES}


def raced(parameters: Parameters) -> dict[str, Any]:
    """Searches of both tables."""
    problems = {
        name: problem._replace(budget=parameters.budget or problem.budget)
        for name, problem in tables(parameters.data).items()
    }
    found = race(problems, parameters.searches, parameters.seeds, 1)
    return {"seeds": parameters.seeds, "found": found}


def trained_again(parameters: Parameters) -> dict[str, Any]:
    """Random points of the tables, trained by hpjax."""
    return {name: retrained(name, parameters) for name in parameters.tasks}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The figures of the parts that were run."""
    for part, how in (("table", draw_table), ("race", draw_race), ("retrained", draw_retrained)):
        if part in numbers:
            how(numbers[part], sheet)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    judges = {"table": judge_table, "race": judge_race, "retrained": judge_retrained}
    return [
        criterion
        for part, judge in judges.items()
        if part in numbers
        for criterion in of_part(part, judge(numbers[part]))
    ]


def draw_table(entry: dict[str, Any], sheet: Sheet) -> None:
    """Distributions, and what matters."""
    from hpjax import plots

    made, axes = plots.figure(
        1, 3, width=plots.WIDE, height=2.6, gridspec_kw={"width_ratios": [1, 1, 1]}
    )
    rows, bars = [], []
    for name, one in entry.items():
        color = LOOKS[name][0]
        axes[0].plot(one["losses"], one["shares"], color=color, label=name)
        published = PUBLISHED[name]
        axes[0].plot(
            published["quantiles"], np.maximum(SHARES, 1e-5), "x", ms=4, mew=1, color=color
        )
        rows += [[name, loss, share] for loss, share in zip(one["losses"], one["shares"])]
    axes[0].plot([], [], "x", ms=4, mew=1, color="k", label="published")
    axes[0].set(
        xscale="log",
        xlabel="validation MSE",
        ylabel="share of configurations",
        xlim=(2e-5, 5),
        ylim=(0, 1.02),
    )
    axes[0].legend(loc="upper left")
    for ax, (name, one) in zip(axes[1:], entry.items()):
        names = sorted(one["names"], key=lambda n: one["exact"][n])
        place = np.arange(len(names))
        ax.barh(
            place + 0.2, [one["exact"][n] for n in names], 0.38, color=LOOKS[name][0], label="exact"
        )
        at = [one["names"].index(n) for n in names]
        guessed = np.array(one["guessed"])[at]
        ax.barh(
            place - 0.2,
            guessed,
            0.38,
            color="#BBBBBB",
            xerr=np.array(one["deviation"])[at],
            error_kw={"lw": 0.6},
            label="forest, 1,000 points",
        )
        for mark, share, what, up in (
            ("^", "0.1", "best 10 %", 0.15),
            ("v", "0.01", "best 1 %", -0.15),
        ):
            ax.plot(
                np.array(one["among"][share])[at],
                place + up,
                mark,
                ms=3,
                color="k" if up > 0 else "#AA3377",
                label=f"for the {what}",
            )
        ax.set_yticks(place, [n.replace("_", " ") for n in names], fontsize=6)
        ax.set(xlabel="share of variance (bars)\nPED-ANOVA (marks)", xlim=(0, 0.72))
        ax.set_title(name)
        ax.xaxis.label.set_fontsize(6.5)
        ax.legend(fontsize=6, loc="lower right")
        bars += [
            [name, n, one["exact"][n], g, one["among"]["0.1"][i], one["among"]["0.01"][i]]
            for n, g, i in zip(names, guessed, at)
        ]
    sheet.figure(made, "table")
    sheet.table("ecdf", ["table", "validation MSE", "cumulative share"], rows)
    sheet.table(
        "importance",
        [
            "table",
            "hyperparameter",
            "exact share",
            "forest of 1,000 points",
            "for the best tenth (PED-ANOVA)",
            "for the best hundredth",
        ],
        bars,
    )
    pairs = [
        [name, n, v] for name, one in entry.items() for n, v in one["exact"].items() if " x " in n
    ]
    sheet.table("pairs", ["table", "pair", "exact share"], pairs)


def judge_table(entry: dict[str, Any]) -> list[Criterion]:
    """Distances from the published numbers; what a forest says."""
    found = []
    for name, one in entry.items():
        quantiles = PUBLISHED[name]["quantiles"]
        far = np.max(np.abs(np.array(one["published"]) / quantiles - 1))
        found.append(
            Criterion(
                f"{name}: quantiles of the table, largest relative distance from the published",
                far,
                1e-4,
                at_least=False,
            )
        )
    for name, one in entry.items():
        published, exact = PUBLISHED[name], {n: one["exact"][n] for n in one["names"]}
        order = sorted(exact, key=lambda n: -exact[n])
        found += [
            Criterion(
                f"{name}: share of the learning rate, distance from the published {published['first']:.3f}",
                abs(exact["learning_rate"] - published["first"]),
                1e-3,
                at_least=False,
            ),
            Criterion(
                f"{name}: share of {published['second'][0]} ({order[1]} is second), distance from the published {published['second'][1]:.3f}",
                abs(exact[published["second"][0]] - published["second"][1])
                if order[1] == published["second"][0]
                else 1.0,
                1e-3,
                at_least=False,
            ),
            Criterion(
                f"{name}: sum of main effects, distance from the published {published['sum']:.3f}",
                abs(sum(exact.values()) - published["sum"]),
                1e-3,
                at_least=False,
            ),
            Criterion(
                f"{name}: main effects by a forest of 1,000 points, largest distance from the exact",
                np.max([abs(exact[n] - g) for n, g in zip(one["names"], one["guessed"])]),
                0.05,
                at_least=False,
            ),
        ]
    return found


def draw_race(entry: dict[str, Any], sheet: Sheet) -> None:
    """Regret over evaluations, and mean ranks on each table."""
    from hpjax import analysis, plots

    made, axes = plots.figure(
        2, 2, width=plots.WIDE, height=4.0, gridspec_kw={"height_ratios": [1.2, 1]}
    )
    rows, ends = [], []
    for column, (title, one) in enumerate(entry["found"].items()):
        curves = {
            n: np.maximum(analysis.bands(np.array(m["regret"]).T), 1e-7)
            for n, m in one["methods"].items()
        }
        plots.anytime(
            axes[0, column], one["grid"], curves, "evaluations", "regret (validation MSE)"
        )
        axes[0, column].set_title(
            f"{title.removeprefix('FCNet ')}: median and quartiles of {entry['seeds']} seeds"
        )
        axes[0, column].set_yticks(
            [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1],
            [
                "0",
                "$10^{-6}$",
                "$10^{-5}$",
                "$10^{-4}$",
                "$10^{-3}$",
                "$10^{-2}$",
                "$10^{-1}$",
                "$10^0$",
            ],
        )
        rows += [
            [title, n, e, *band] for n, c in curves.items() for e, band in zip(one["grid"], c.T)
        ]
        mean = mean_ranks(one)
        ends.append(mean)
        difference = analysis.critical_difference(len(mean), entry["seeds"])
        plots.critical_difference(
            axes[1, column],
            mean,
            difference,
            analysis.cliques(np.array(list(mean.values())), difference),
        )
        axes[1, column].set_title(
            f"mean ranks on this table over {entry['seeds']} seeds", fontsize=7, pad=10
        )
    axes[0, 1].set_ylabel("")
    made.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ends[0])
    )
    sheet.figure(made, "race")
    sheet.table(
        "race",
        ["table", "search", "evaluations", "lower quartile", "median", "upper quartile"],
        rows,
    )
    sheet.table(
        "ranks",
        ["table", "search", "mean rank"],
        [[t, n, r] for t, mean in zip(entry["found"], ends) for n, r in mean.items()],
    )


def mean_ranks(one: dict[str, Any]) -> dict[str, float]:
    """Each search's rank at the end, the mean over seeds."""
    from hpjax import analysis

    final = np.stack([m["regret"][-1] for m in one["methods"].values()], 1)
    return dict(zip(one["methods"], analysis.ranks(final).mean(0)))


def judge_race(entry: dict[str, Any]) -> list[Criterion]:
    """Searches by a model against random points."""
    from hpjax import analysis

    found = []
    for title, one in entry["found"].items():
        if "bayes" in one["methods"]:
            for name in ("bayes", "tpe"):
                p = analysis.wilcoxon(
                    np.array(one["methods"][name]["regret"][-1]),
                    np.array(one["methods"]["random"]["regret"][-1]),
                )
                found.append(
                    Criterion(
                        f"{title}: one-sided p that {name} ends below random",
                        p,
                        0.05,
                        at_least=False,
                    )
                )
    return found


def draw_retrained(entry: dict[str, Any], sheet: Sheet) -> None:
    """Our losses beside the table's."""
    from hpjax import plots

    made, axes = plots.figure(1, 2, width=plots.WIDE, height=2.7, squeeze=False)
    rows = []
    for ax, (name, one) in zip(axes[0], entry.items()):
        color, marker = LOOKS[name]
        ours, theirs = np.array(one["ours"], float), np.array(one["table"])
        shown, mean = np.where(np.isfinite(ours), ours, np.nan), theirs.mean(1)
        ax.errorbar(
            mean,
            shown,
            xerr=[mean - theirs.min(1), theirs.max(1) - mean],
            fmt=marker,
            ms=3,
            lw=0.5,
            color=color,
            alpha=0.7,
        )
        ends = np.array(
            [min(np.nanmin(shown), mean.min()) * 0.8, max(np.nanmax(shown), mean.max()) * 1.2]
        )
        ax.plot(
            ends, ends, color="#EE6677" if name == "protein" else "#4477AA", lw=0.8, label="equal"
        )
        ax.plot(
            ends,
            ends / one["plateau"],
            color="k",
            lw=0.6,
            ls="--",
            label=f"equal, if both in units of a constant's (1 and {one['plateau']:.2f})",
        )
        ax.legend(fontsize=6)
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="validation MSE, table (range of 4 seeds)",
            ylabel="validation MSE, ours",
        )
        ax.set_title(f"{name}: {len(mean)} points, rank correlation {agreement(one):.3f}")
        rows += [
            [name, i, o, *t, str(p)]
            for i, (o, t, p) in enumerate(zip(one["ours"], one["table"], one["points"]))
        ]
    for ax in axes[0, len(entry) :]:
        ax.set_axis_off()
    sheet.figure(made, "retrained")
    sheet.table(
        "retrained",
        ["table", "point", "ours", *(f"table, seed {s}" for s in range(4)), "hyperparameters"],
        rows,
    )


def agreement(one: dict[str, Any]) -> float:
    """Rank correlation of our losses with the table's."""
    from scipy.stats import spearmanr

    ours, mean = np.array(one["ours"], float), np.mean(one["table"], 1)
    return float(spearmanr(np.nan_to_num(ours, nan=np.inf), mean)[0])


def judge_retrained(entry: dict[str, Any]) -> list[Criterion]:
    """How far our losses are from the table's."""
    found = []
    for name, one in entry.items():
        ours, mean, rank = np.array(one["ours"], float), np.mean(one["table"], 1), agreement(one)
        shown = np.where(np.isfinite(ours), ours, np.nan)
        apart = np.log(shown / mean)
        ratio = lambda kept, unit=1.0, apart=apart: float(
            np.median(np.exp(np.abs(apart[kept] + np.log(unit))))
        )
        learned = np.isfinite(shown) & (mean < 0.9 * one["plateau"])
        found += [
            Criterion(
                f"{name}: rank correlation of {len(mean)} retrained points with the table",
                rank,
                0.9,
            ),
            Criterion(
                f"{name}: factor between our loss and the table's, median",
                ratio(np.isfinite(shown)),
                1.5,
                at_least=False,
            ),
            Criterion(
                f"{name}: the same in shares of a constant prediction's loss (1 here, {one['plateau']:.3f} in the table), of the {learned.sum()} points that beat it by a tenth",
                ratio(learned, one["plateau"]),
                1.5,
                at_least=False,
            ),
        ]
    return found


EXPERIMENT = Experiment(
    "fcnet_tables",
    presets=PRESETS,
    parts={"table": described, "race": raced, "retrained": trained_again},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
