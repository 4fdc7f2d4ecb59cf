"""Population-based training on digits: schedules, lineage, and whether the schedule that it found is worth more than the best constant.

    python -m experiments.pbt_schedule
    python -m experiments.pbt_schedule --plot results/pbt_schedule

After Jaderberg et al. (2017). 32 networks, 64-64-64-10, SGD with momentum 0.9, each in three folds; learning rate, l2 and dropout move. Then two
things at equal cost: the schedule of the best network's line, and the best of 32 constant settings trained as long (random search);
both followed by fresh networks on fresh splits, in pairs. Without selection, members would descend from as few ancestors as chance
leaves them: neutral copying of the same numbers of members is drawn for comparison (the Wright-Fisher model).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

# with one, the population learns its 288 validation examples by heart: fresh networks are worse on what it found
FOLDS = 3
# of a range: a factor of 1.6 of the learning rate, 1.8 of l2; nothing is drawn afresh, as in the paper
JUMP = 0.05
NAMES = ("learning_rate", "l2", "dropout")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    members: int  # of a population
    epochs: int
    every: int  # epochs between copies
    studies: int
    seeds: int  # fresh networks of a study


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(4, 4, 2, 1, 2),
    "small": Parameters(32, 40, 2, 6, 6),
    "paper": Parameters(128, 100, 2, 10, 50),
}


def ancestors(sources: np.ndarray) -> np.ndarray:
    """Of how many first members each generation descends, [t], given rows of whose weights each member took [t n]."""
    line, found = np.arange(sources.shape[1]), []
    for row in sources:
        line = line[row]
        found.append(len(np.unique(line)))
    return np.array(found)


def run(parameters: Parameters) -> dict[str, Any]:
    """The population, its rival, and fresh networks for both."""
    import hpjax
    from hpjax import records

    space = {
        "hidden": (64, 64),
        "optimizer": "sgd",
        "momentum": 0.9,
        "epochs": parameters.epochs,
        "learning_rate": hpjax.LogUniform(1e-4, 1.0),
        "l2": hpjax.LogUniform(1e-6, 1e-1),
        "dropout": hpjax.Uniform(0.0, 0.8),
    }
    entry: dict = {
        "members": parameters.members,
        "epochs": parameters.epochs,
        "every": parameters.every,
        "studies": [],
    }
    quiet = lambda text: None
    for study in range(parameters.studies):
        found = hpjax.tune(
            space,
            "digits",
            search="random",
            scheduler=hpjax.pbt(
                parameters.members, parameters.epochs, parameters.every, resample=0.0, jump=JUMP
            ),
            seed=study,
            trials=parameters.members,
            validation=FOLDS,
            say=quiet,
        )
        reports = [record for _, record in records.reports(found.records)]
        trial = reports[0]["trial"]
        row = {number: place for place, number in enumerate(trial)}
        sources = np.array(
            [[row[s] if s >= 0 else place for place, s in enumerate(r["source"])] for r in reports]
        )
        losses = np.array([[np.nan if v is None else v for v in r["loss"]] for r in reports])
        schedule = found.schedule()
        lines = []
        for number in trial:
            frame = found.schedule(number).frame
            lines.append({name: frame[name].tolist() for name in ("until", *NAMES)})
        constant = hpjax.tune(
            space,
            "digits",
            search="random",
            seed=study,
            trials=parameters.members,
            validation=FOLDS,
            say=quiet,
        )
        best = constant.config(constant.best["trial"])
        fresh = range(1000 + parameters.seeds * study, 1000 + parameters.seeds * (study + 1))
        rivals = {
            "schedule": {"search": [schedule.start], "scheduler": hpjax.replay(schedule.segments)},
            "constant": {"search": [best]},
        }
        replayed, steady = hpjax.compare(
            rivals, space, "digits", seeds=fresh, stop={"trials": 1}, validation=FOLDS, say=quiet
        ).final.T
        kept = lambda values: np.round(np.nan_to_num(values, nan=99.0, posinf=99.0), 6).tolist()
        one = {
            "sources": sources.tolist(),
            "losses": kept(losses),
            "steps": [r["epochs"][0] for r in reports],
            "line": [row[m] for m in schedule.members],
            "best": row[found.best["trial"]],
            "loss": found.best["loss"],
            "rival": constant.best["loss"],
            "constant": best,
            "schedule": {name: schedule.frame[name].tolist() for name in ("until", *NAMES)},
            "replayed": kept(replayed),
            "steady": kept(steady),
        }
        if study == 0:
            one["lines"] = lines
        entry["studies"].append(one)
        print(
            f"study {study}: {one['loss']:.4f} and {one['rival']:.4f}; fresh {np.median(replayed):.4f} and {np.median(steady):.4f}",
            flush=True,
        )
    return entry


def without_selection(entry: dict[str, Any]) -> list[np.ndarray]:
    """Ancestors left [200 t] where members at random are copied, as many in each generation as in the study; for every study."""
    members, rng, found = entry["members"], np.random.default_rng(0), []
    for study in entry["studies"]:
        taken = np.array(study["sources"])
        neutral = []
        for _ in range(200):
            drawn = np.tile(np.arange(members), (len(taken), 1))
            for place, row in enumerate(taken):
                moved = np.flatnonzero(row != np.arange(members))
                who = rng.permutation(members)[: len(moved)]
                drawn[place, who] = rng.integers(members, size=len(moved))
            neutral.append(ancestors(drawn))
        found.append(np.array(neutral))
    return found


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Lineage, schedules, ancestors, and fresh networks in pairs."""
    from hpjax import plots

    entry = numbers["schedule"]
    one, members = entry["studies"][0], entry["members"]
    made, axes = plots.figure(2, 3, width=plots.WIDE, height=4.2)
    sources, losses = np.array(one["sources"]), np.array(one["losses"])
    plots.lineage(
        axes[0, 0], np.array(one["steps"]), list(range(members)), sources, losses, one["line"]
    )
    axes[0, 0].legend(fontsize=6, loc="upper left", ncols=2, columnspacing=0.8)
    axes[0, 0].set_title("study 1; dots: yellow is a low loss")
    axes[0, 0].set_ylim(-0.5, 1.2 * members)
    for ax, name in zip((axes[0, 1], axes[0, 2], axes[1, 0]), NAMES):
        segments = {
            m: (np.array(line["until"]), np.array(line[name]))
            for m, line in enumerate(one["lines"])
        }
        plots.schedules(ax, segments, one["best"], name.replace("_", " "), name != "dropout")
        ax.axhline(
            one["constant"][name],
            color="k",
            lw=0.8,
            ls=":",
            label="best constant of a random search",
        )
        ax.plot([], [], color="#BBBBBB", lw=0.8, label="other members")
        ax.get_legend().remove()
        ax.set_title("study 1")
    ax = axes[1, 1]
    rows = []
    neutrals = without_selection(entry)
    for number, (study, neutral) in enumerate(zip(entry["studies"], neutrals)):
        mine = ancestors(np.array(study["sources"]))
        ax.plot(
            study["steps"],
            mine,
            color="#8C564B",
            lw=0.8,
            label=None if number else f"{len(entry['studies'])} populations",
        )
        if not number:
            band = np.quantile(neutral, [0.025, 0.5, 0.975], axis=0)
            ax.plot(
                study["steps"], band[1], color="#777777", ls="--", label="without selection, 95 %"
            )
            ax.fill_between(study["steps"], band[0], band[2], color="#777777", alpha=0.2, lw=0)
        rows += [[number, step, int(m)] for step, m in zip(study["steps"], mine)]
    ax.set(xlabel="epoch", ylabel="ancestors left", ylim=(0, members * 1.35))
    ax.legend(fontsize=6)
    ax = axes[1, 2]
    steady, replayed = (
        np.concatenate([s[n] for s in entry["studies"]]) for n in ("steady", "replayed")
    )
    for number, study in enumerate(entry["studies"]):
        ax.plot(
            study["steady"],
            study["replayed"],
            "os^Dv"[number % 5],
            ms=2.5,
            color=plots.COLORS[number % 7],
            label=f"study {number + 1}",
        )
    ends = np.array(
        [min(steady.min(), replayed.min()) * 0.9, np.append(steady, replayed).max() * 1.1]
    )
    ax.plot(ends, ends, color="k", lw=0.6, ls=":")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="best constant",
        ylabel="found schedule",
        xlim=ends,
        ylim=ends,
    )
    ax.legend(fontsize=6)
    ax.set_title("fresh networks (dotted: equal)")
    made.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    sheet.figure(made, "schedule")
    sheet.table("ancestors", ["study", "epoch", "first members with descendants"], rows)
    sheet.table(
        "pairs",
        ["study", "seed", "best constant", "found schedule"],
        [
            [n, s, a, b]
            for n, study in enumerate(entry["studies"])
            for s, (a, b) in enumerate(zip(study["steady"], study["replayed"]))
        ],
    )
    sheet.table(
        "schedules",
        ["study", "until epoch", *NAMES],
        [
            [n, *values]
            for n, study in enumerate(entry["studies"])
            for values in zip(*study["schedule"].values())
        ],
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    from hpjax import analysis

    entry = numbers["schedule"]
    studies = entry["studies"]
    left = [
        (ancestors(np.array(study["sources"]))[-1], float(np.mean(neutral[:, -1])))
        for study, neutral in zip(studies, without_selection(entry))
    ]
    rates = [study["schedule"]["learning_rate"] for study in studies]
    falls = [rate[-1] < rate[0] for rate in rates]
    pairs = np.array([[np.median(s[n]) for n in ("replayed", "steady")] for s in studies])
    p = analysis.wilcoxon(*pairs.T)
    return [
        Criterion(
            f"found schedules whose learning rate ends below its start, share of {len(falls)}",
            float(np.mean(falls)),
            0.75,
        ),
        Criterion(
            "ancestors left over those that copying without selection leaves, mean of the studies",
            float(np.mean([a / b for a, b in left])),
            0.75,
            at_least=False,
        ),
        Criterion(
            f"one-sided p that found schedules end below best constants, medians of {len(pairs)} studies in pairs",
            p,
            0.05,
            at_least=False,
        ),
        Criterion(
            f"median loss of fresh networks ({sum(len(s['steady']) for s in studies)} of each), found schedule over best constant, median of the studies",
            float(np.median(pairs[:, 0] / pairs[:, 1])),
            1.0,
            at_least=False,
        ),
        Criterion(
            "best loss within the studies, population over random at equal cost, median",
            float(np.median([s["loss"] / s["rival"] for s in studies])),
            1.0,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "pbt_schedule",
    presets=PRESETS,
    parts={"schedule": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
