"""Do hypergradients find better hyperparameters than searches, at equal cost? Learning rate, momentum and l2.

    HPJAX_DATA=... python -m experiments.gradient_versus_search
    python -m experiments.gradient_versus_search --plot results/gradient_versus_search

Gradient descent from 8 starts against random, Bayesian, Hyperband and PBT, each given as many epochs of training (a gradient is charged
what it costs), on digits and on MNIST-10k; and 200 random starts in one population on digits.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("digits", "mnist10k", "population")
BUDGET = {"smoke": 20, "small": 96, "paper": 256}  # networks of full length
EPOCHS = {"digits": 27, "mnist10k": 9}
SEEDS = {"smoke": 2, "small": 10, "paper": 30}
STARTS = 8


def space(epochs: int) -> dict:
    """What is searched."""
    import hpjax

    return {
        "hidden": (64,),
        "activation": "tanh",
        "optimizer": "sgd",
        "batch_size": 64,
        "learning_rate": hpjax.LogUniform(1e-4, 3.0),
        "momentum": hpjax.Uniform(0.0, 0.99),
        "l2": hpjax.LogUniform(1e-7, 1e-1),
        "epochs": epochs,
    }


def methods(epochs: int) -> dict:
    """By name, as `compare` takes them."""
    import hpjax
    from hpjax.search import gradient

    made = functools.partial(gradient, starts=STARTS)
    every = max(1, epochs // 9)
    return {
        "gradient": {"search": made},
        "random": "random",
        "bayes": "bayes",
        "hyperband": {"search": "hyperband", "scheduler": hpjax.hyperband(epochs)},
        "pbt": {"search": "random", "scheduler": hpjax.pbt(STARTS * 2, epochs, every)},
    }


def run(flags: Flags, folder: Path) -> None:
    """Compares on both tasks, then moves 200 starts at once."""
    import hpjax
    from hpjax.search import gradient, random

    smoke = flags.preset == "smoke"
    for part in [flags.only] if flags.only else PARTS:
        epochs = 3 if smoke else EPOCHS.get(part, EPOCHS["digits"])
        if part != "population":
            seeds = flags.seeds or SEEDS[flags.preset]
            budget = BUDGET[flags.preset] * epochs
            found = hpjax.compare(
                methods(epochs),
                space(epochs),
                part,
                seeds=seeds,
                stop={"epochs": budget},
                data=flags.data,
                watch=lambda name, seed, progress, trained: None,
            )
            entry = {
                "cost": found.cost.tolist(),
                "values": {n: v.tolist() for n, v in found.values.items()},
                "final": found.final.tolist(),
                "names": found.names,
                "table": found.table.round(5).to_dict("index"),
                "fidelity": epochs,
            }
            write(folder / f"{part}.json", entry, indent=None)
            print(found.table.round(4).to_string(), flush=True)
            continue
        made = functools.partial(gradient, starts=10 if smoke else 200, first=random)
        result = hpjax.tune(space(epochs), "digits", search=made, trials=30 if smoke else 200 * 12)
        reports = [record for record in result.records if record["kind"] == "report"]
        losses = [
            [float(v) if np.isfinite(float(v)) else None for v in record["loss"]]
            for record in reports
        ]
        write(
            folder / "population.json",
            {
                "losses": losses,
                "best": result.best,
                "trials": len(result.trials),
                "cost": int(sum(sum(r["cost"]) for r in reports)),
                "seconds": float(result.trials["seconds"].sum()),
            },
            indent=None,
        )


def draw(folder: Path) -> list[dict]:
    """Anytime curves and ranks; the population's losses round by round."""
    from hpjax import analysis, plots

    tasks = [part for part in PARTS[:2] if (folder / f"{part}.json").exists()]
    if not tasks:
        raise ValueError(f"{folder}/digits.json is missing; run the experiment before drawing it")
    others = (folder / "population.json").exists()
    made, axes = plots.figure(1, len(tasks) + others, width=plots.WIDE, height=2.7, squeeze=False)
    criteria = []
    for ax, part in zip(axes[0], tasks):
        found = read(folder / f"{part}.json")
        cost = np.array(found["cost"]) / found["fidelity"]
        values = {n: np.array(v, float) for n, v in found["values"].items()}
        curves = {
            n: analysis.quartiles(np.where(np.isnan(v), np.inf, v)) for n, v in values.items()
        }
        plots.anytime(
            ax,
            cost,
            {n: np.where(np.isfinite(c), c, np.nan) for n, c in curves.items()},
            "cost (full trainings)",
            "best validation loss",
        )
        ax.set_title(part)
        rows = [[n, c, *q[:, i]] for n, q in curves.items() for i, c in enumerate(cost)]
        write_rows(
            folder / f"{part}.csv",
            ["method", "cost", "lower quartile", "median", "upper quartile"],
            rows,
        )
        final = dict(zip(found["names"], np.array(found["final"], float).T))
        for name in found["names"][1:]:
            p = analysis.wilcoxon(final["gradient"], final[name])
            criteria.append(
                Criterion(
                    f"{part}: one-sided p that gradient ends below {name}", p, 0.05, at_least=False
                )
            )
    axes[0, 0].legend()
    if others:
        found = read(folder / "population.json")
        rounds = [
            np.array([np.nan if v is None else v for v in row], float) for row in found["losses"]
        ]
        spread = np.array(
            [
                np.nanquantile(np.where(np.isnan(r), np.inf, r), [0.05, 0.25, 0.5, 0.75])
                for r in rounds
            ]
        )
        ax = axes[0, -1]
        place = np.arange(len(rounds))
        ax.fill_between(place, spread[:, 1], spread[:, 3], color="#CC3311", alpha=0.2, lw=0)
        ax.plot(place, spread[:, 2], color="#CC3311", label="median, quartiles")
        ax.plot(place, spread[:, 0], color="#CC3311", ls="--", label="best 5 %")
        ax.set(xlabel="round", ylabel="validation loss", yscale="log")
        ax.set_title(f"{len(rounds[0])} starts, digits")
        ax.legend()
        write_rows(
            folder / "population.csv",
            ["round", "best 5 %", "lower quartile", "median", "upper quartile"],
            [[i, *row] for i, row in enumerate(spread.round(5).tolist())],
        )
        criteria.append(
            Criterion(
                "200 starts: median validation loss after the last round over the first",
                spread[-1, 2] / spread[0, 2],
                0.5,
                at_least=False,
            )
        )
    plots.save(made, folder / "comparison")
    return criteria


if __name__ == "__main__":
    main(
        "gradient_versus_search",
        run,
        draw,
        parts=PARTS,
        uses=(
            "seeds",
            "data",
        ),
    )
