"""Error and size at once: how much of the best front do searches of several objectives find, beside Optuna's; and what does pruning save?

    HPJAX_DATA=... python -m experiments.several_objectives
    python -m experiments.several_objectives --only pruned
    python -m experiments.several_objectives --plot results/several_objectives

tables  the two tables of 62,208 published networks (Klein & Hutter 2019): validation error and number of parameters, both as logarithms
        from the best to the worst of the table. Share of the hypervolume of the table's own front, over evaluations; points one at a
        time where Optuna's samplers are, in the searches' own batches else
pruned  networks on digits, error and parameters: epochs until a search with hyperband or asha has the hypervolume that the same search
        without has at its end
naval   the same in FCNet's own space (of networks up to 128 wide) on 1,500 rows of the data of its table naval, logarithm of the squared
        error and parameters
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._objectives import Problem, stored_table, tables

FEATURES = {"protein": 9, "naval": 16}  # of the raw data
OURS = ("random", "genetic", "nsga2", "tpe", "bayes")
PEERS = {"Optuna NSGA-II": "NSGAIISampler", "Optuna TPE": "TPESampler"}
PRUNED = ("random", "nsga2", "tpe")
SCHEDULERS = ("full", "hyperband", "asha")
RIVALS = (("nsga2", "Optuna NSGA-II"), ("tpe", "Optuna TPE"))
DASHES = {"full": "-", "hyperband": "--", "asha": ":"}
PRUNINGS = {"pruned": "digits", "naval": "FCNet's naval"}  # part -> what it trains on
VOLUMES = {
    "pruned": "hypervolume of error and parameters",
    "naval": "hypervolume: decades of error,\nshare of parameters",
}
EVERY = 5  # evaluations between two points of a curve


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    evaluations: int  # of a table
    seeds: int  # searches of a table
    epochs: int  # of a network that lives to the end
    trials: int  # of a search that trains all of them to the end; the others have as many epochs
    networks: int  # seeds of the searches of networks
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(20, 2, 3, 6, 1),
    "small": Parameters(200, 20, 27, 60, 5),
    "paper": Parameters(1000, 100, 81, 120, 20),
}


# --- tables -----------------------------------------------------------------------------------------------------------
def sized(
    name: str, problem: Problem, folder: Path | None
) -> tuple[Callable[[Any], np.ndarray], float]:
    """A function of configurations [P] -> [P 2], and the hypervolume of the table's front before the point (1, 1)."""
    from hpjax import fronts

    loss, axes = stored_table(name, folder)
    widths = [np.array(axes[f"width_{layer}"], float) for layer in (1, 2)]
    ends = np.log10([loss.min(), loss.max()])

    def scaled_size(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        weights = (FEATURES[name] + 1) * one + (one + 1) * two + two + 1
        least, most = (
            (FEATURES[name] + 1) * w + (w + 1) * w + w + 1
            for w in (widths[0].min(), widths[0].max())
        )
        return (np.log(weights) - np.log(least)) / (np.log(most) - np.log(least))

    scaled_loss = lambda values: (np.log10(values) - ends[0]) / (ends[1] - ends[0])

    def both(point: Any) -> np.ndarray:
        one, two = (widths[layer][np.asarray(point[f"width_{layer + 1}"], int)] for layer in (0, 1))
        return np.stack([scaled_loss(problem.loss(point)), scaled_size(one, two)], 1)

    names = list(axes)
    places = np.indices(loss.shape)
    one, two = (widths[layer][places[names.index(f"width_{layer + 1}")]] for layer in (0, 1))
    every = np.stack([scaled_loss(loss).ravel(), scaled_size(one, two).ravel()], 1)
    return both, fronts.hypervolume(every, np.ones(2))


def ours(
    search: str, both: Callable[[Any], np.ndarray], space: dict, count: int, seed: int
) -> np.ndarray:
    """What one of our searches saw [count 2]."""
    import hpjax

    found = hpjax.minimize(both, space, search=search, trials=count, seed=seed)
    return found.table["objectives"]


def optuna(
    name: str, both: Callable[[Any], np.ndarray], space: dict, count: int, seed: int
) -> np.ndarray:
    """What one of Optuna's samplers saw [count 2], asked and told one at a time."""
    import optuna as library

    import hpjax

    library.logging.set_verbosity(library.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = getattr(library.samplers, name)(seed=seed)
    study = library.create_study(directions=["minimize", "minimize"], sampler=sampler)
    seen = []
    for _ in range(count):
        trial = study.ask()
        point = {
            axis: trial.suggest_categorical(axis, list(entry.values))
            if isinstance(entry, hpjax.Choice)
            else trial.suggest_int(axis, entry.low, entry.high)
            for axis, entry in space.items()
        }
        values = both({axis: np.array([value]) for axis, value in point.items()})[0]
        study.tell(trial, values.tolist())
        seen.append(values)
    return np.array(seen)


def covered(seen: np.ndarray, whole: float, count: int) -> list[float]:
    """The share of a hypervolume that is covered after every few evaluations."""
    from hpjax import fronts

    front, shares = np.zeros((0, 2)), []
    for at in range(0, count, EVERY):
        front = np.concatenate([front, seen[at : at + EVERY]])
        front = front[fronts.front(front)]
        shares.append(fronts.hypervolume(front, np.ones(2)) / whole)
    return shares


def searched(parameters: Parameters) -> dict[str, Any]:
    """All contestants on both tables."""
    found: dict[str, Any] = {}
    for title, problem in tables(parameters.data).items():
        name = title.split()[-1]
        both, whole = sized(name, problem, parameters.data)
        found[name] = {}
        contestants = {one: functools.partial(ours, one) for one in OURS}
        contestants |= {
            title: functools.partial(optuna, sampler) for title, sampler in PEERS.items()
        }
        for title, contestant in contestants.items():
            count = parameters.evaluations
            curves = [
                covered(contestant(both, problem.space, count, seed), whole, count)
                for seed in range(parameters.seeds)
            ]
            found[name][title] = curves
            print(f"{name} {title}: {np.mean(curves, 0)[-1]:.4f} of the front's volume", flush=True)
    return found


# --- networks ---------------------------------------------------------------------------------------------------------
def pruned(parameters: Parameters) -> dict[str, Any]:
    """Networks of one layer on digits."""
    import hpjax

    space = {
        "hidden": hpjax.Choice([(4,), (8,), (16,), (32,), (64,), (128,)]),
        "learning_rate": hpjax.LogUniform(1e-4, 1e-1),
        "l2": hpjax.LogUniform(1e-7, 1e-2),
        "activation": hpjax.Choice(["relu", "tanh"]),
        "batch_size": 64,
    }
    reference = {"error": 1.0, "parameters": 11_000}  # of the widest: 9,610
    return raced(space, "digits", reference, parameters)


def naval(parameters: Parameters) -> dict[str, Any]:
    """FCNet's networks on a part of its data."""
    import jax.numpy as jnp

    import hpjax
    from experiments._objectives import stored_file

    with np.load(stored_file("uci_naval.npz", "the data of naval", parameters.data)) as held:
        rows = np.random.default_rng(0).permutation(len(held["x"]))[:1500]
        task = hpjax.Task.of(held["x"][rows], held["y"][rows], "naval", test=0, kind="numbers")

    def log_mse(predicted: Any, y: Any, weight: Any) -> Any:
        squares = ((predicted - y) ** 2).mean(-1)
        return jnp.log10(jnp.maximum((squares * weight).sum() / weight.sum(), 1e-12))

    choice = hpjax.Choice
    space = {
        "depth": 2,
        "width_1": choice([16, 32, 64, 128]),
        "width_2": choice([16, 32, 64, 128]),
        "learning_rate": choice([5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1]),
        "batch_size": choice([8, 16, 32, 64]),
        "dropout_1": choice([0.0, 0.3, 0.6]),
        "dropout_2": choice([0.0, 0.3, 0.6]),
        "activation": choice(["relu", "tanh"]),
        "schedule": choice(["constant", "cosine"]),
    }
    # a mean's squared error is 1; the widest has 18,817
    reference = {"log_mse": 0.0, "parameters": 20_000}
    return raced(space, task, reference, parameters, metrics={"log_mse": log_mse})


def raced(
    space: dict, task: Any, reference: dict[str, float], parameters: Parameters, **options: Any
) -> dict[str, Any]:
    """Searches of networks under each scheduler: hypervolume over epochs, as a share of what lies between 0 and the reference."""
    import hpjax

    epochs = parameters.epochs
    found: dict[str, Any] = {}
    for search in PRUNED:
        for scheduler in SCHEDULERS:
            curves = []
            for seed in range(parameters.networks):
                result = hpjax.tune(
                    space,
                    task,
                    objective=list(reference),
                    search=search,
                    scheduler=scheduler,
                    epochs=epochs,
                    batch=8,
                    seed=seed,
                    stop={"epochs": parameters.trials * epochs},
                    say=lambda text: None,
                    **options,
                )
                table = result.hypervolume(reference)
                volume = table["hypervolume"] / np.prod([end or 1.0 for end in reference.values()])
                curves.append({"epochs": table["epochs"].tolist(), "volume": volume.tolist()})
            found[f"{search}, {scheduler}"] = curves
            last = np.mean([curve["volume"][-1] for curve in curves])
            print(f"{search} with {scheduler}: {last:.4f}", flush=True)
    return found


def savings(entry: dict[str, Any]) -> dict[str, float]:
    """Epochs of a search without pruning over those that the same with a scheduler needs for the same hypervolume; the median over seeds."""
    found = {}
    for search in PRUNED:
        for scheduler in SCHEDULERS[1:]:
            ratios = []
            for whole, one in zip(entry[f"{search}, full"], entry[f"{search}, {scheduler}"]):
                volume, epochs = np.array(one["volume"]), np.array(one["epochs"])
                reached = np.flatnonzero(volume >= whole["volume"][-1] - 1e-12)
                needed = epochs[reached[0]] if len(reached) else np.inf
                ratios.append(_first_at_end(whole) / needed)
            found[f"{search}, {scheduler}"] = float(np.median(ratios))
    return found


def _first_at_end(curve: dict[str, Any]) -> float:
    """Epochs at which a curve first has what it ends with."""
    volume = np.array(curve["volume"])
    return float(np.array(curve["epochs"])[np.flatnonzero(volume >= volume[-1] - 1e-12)[0]])


# --- figures ----------------------------------------------------------------------------------------------------------
def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The figures of the parts that were run."""
    if "tables" in numbers:
        draw_tables(numbers["tables"], sheet)
    for part in PRUNINGS:
        if part in numbers:
            draw_pruned(part, numbers[part], sheet)


def draw_tables(entry: dict[str, Any], sheet: Sheet) -> None:
    """Shares of the front's volume over evaluations: medians and quartiles over seeds."""
    from hpjax import plots

    looks = plots.LOOKS | {"Optuna NSGA-II": plots.LOOKS["nsga2"][:2] + ("--",)}
    figure, axes = plots.figure(1, len(entry), width=plots.WIDE, height=2.8, squeeze=False)
    rows = []
    for ax, (name, found) in zip(axes[0], entry.items()):
        for title, curves in found.items():
            low, middle, high = np.quantile(np.array(curves), [0.25, 0.5, 0.75], axis=0)
            at = EVERY * np.arange(1, len(middle) + 1)
            color, _, dash = looks[title]
            ax.plot(at, middle, color=color, ls=dash, label=title)
            ax.fill_between(at, low, high, color=color, alpha=0.12, lw=0)
            rows += [[name, title, *row] for row in zip(at, low, middle, high)]
        ax.set(
            xlabel="evaluations", ylabel="share of the best front's volume", title=f"FCNet {name}"
        )
        ax.set_ylim(0.6, 1.0)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), ncols=4, loc="outside lower center", fontsize=6.5
    )
    sheet.figure(figure, "tables")
    header = ["table", "search", "evaluations", "lower quartile", "median", "upper quartile"]
    sheet.table("tables", header, rows)


def draw_pruned(part: str, entry: dict[str, Any], sheet: Sheet) -> None:
    """Hypervolume over epochs, with and without pruning; medians over seeds."""
    from hpjax import analysis, plots

    figure, axes = plots.figure(1, len(PRUNED), width=plots.WIDE, height=2.6, sharey=True)
    rows = []
    for ax, search in zip(axes, PRUNED):
        for scheduler in SCHEDULERS:
            curves = entry[f"{search}, {scheduler}"]
            end = min(curve["epochs"][-1] for curve in curves)
            grid = np.linspace(0, end, 101)[1:]
            every = np.array(
                [
                    analysis.at_costs(np.array(c["epochs"]), np.array(c["volume"]), grid)
                    for c in curves
                ]
            )
            middle = np.median(np.nan_to_num(every), axis=0)
            ax.plot(
                grid, middle, color=plots.LOOKS[search][0], ls=DASHES[scheduler], label=scheduler
            )
            rows += [[search, scheduler, *row] for row in zip(grid, middle)]
        ax.set(xlabel="epochs of all networks", title=search)
        if part == "pruned":
            ax.set_ylim(0.8, 1.0)
        ax.legend(fontsize=6.5, loc="lower right")
    axes[0].set_ylabel(VOLUMES[part])
    sheet.figure(figure, part)
    sheet.table(part, ["search", "scheduler", "epochs", "median hypervolume"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """No worse than Optuna's of the same kind by a hundredth of the volume; half the epochs with pruning."""
    from hpjax import analysis

    found = []
    for name, entry in numbers.get("tables", {}).items():
        for mine, other in RIVALS:
            gap = np.array(entry[mine])[:, -1] - np.array(entry[other])[:, -1]
            title = f"{name}: share of the front's volume at the end, {mine} less {other}, lower end of the mean's 95 % interval"
            low = analysis.bootstrap([gap])[1]
            found.append(Criterion(title, low, -0.01, figure="tables", part="tables"))
    for part, task in PRUNINGS.items():
        for title, ratio in savings(numbers[part]).items() if part in numbers else ():
            search, scheduler = title.split(", ")
            line = f"{search} on {task}: epochs without pruning over those with {scheduler}, to the same hypervolume (median)"
            found.append(Criterion(line, ratio, 2, figure=part, part=part))
    return found


EXPERIMENT = Experiment(
    "several_objectives",
    PRESETS,
    {"tables": searched, "pruned": pruned, "naval": naval},
    draw,
    criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
