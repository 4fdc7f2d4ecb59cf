"""How good the searches are: on functions with known minima and on 62,208 published networks, beside the field's own tools.

    python -m experiments.search_quality --only models --model-seeds 30
    python -m experiments.search_quality --plot results/search_quality

models    one point at a time, 10 D evaluations (at most 100): ours, Optuna's, bayesian-optimization's, SMAC3's
batches   the same in batches of 8
noise     as models without bayesian-optimization, but each evaluation of a function has normal noise, a tenth of the losses'
          interquartile range, and of a table is one of its four seeds; regret is of the true loss of the point that looks best: of
          the lowest mean of what was observed of it
evolution 100 D evaluations: genetic, differential, cmaes beside the cmaes library, SciPy's and evosax's
handicap  bayes with N evaluations against random with 2 N
branin    bayes within 40 evaluations
valley    cmaes on Rosenbrock in 10 dimensions, to 1e-8 within 8,000 evaluations
law       random search on the tables against the exact order statistics
counting  Counting Ones with fidelities: random, hyperband, bohb, dehb, tpe at equal cost
overhead  host microseconds of ask and tell per trial; alone, on an idle machine

Regret is the best loss so far minus the least possible one. Peers that are not installed are left out, and the figures say so.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, write_json
from experiments._objectives import (
    Problem,
    best_by_mean,
    counting_ones,
    synthetic,
    tables,
    watched,
    with_noise,
)
from experiments._search_peers import ONLY_CONTINUOUS, OURS, installed

MANY = ("Rosenbrock-10", "Ackley-20", "Levy-30")  # of ten dimensions and more
CONTINUOUS = ("Branin", "six-hump camel", "Hartmann-3", "Hartmann-6", "Ackley-5", *MANY)
GRID = 40  # places of a budget at which curves are kept


KEPT = Path("runs") / "search_quality-unfinished"  # what an interrupted race has finished
RACED = ("random", "sobol", "bayes", "tpe", "Optuna TPE", "Optuna GP")
ONE_BY_ONE = ("cmaes", "Optuna CMA-ES", "bayesian-optimization", "SMAC")
OF_MODELS = (("bayes", "Optuna GP"), ("bayes", "Optuna TPE"), ("tpe", "Optuna TPE"))
RACES = {  # pairs that are judged
    "models": OF_MODELS,
    "batches": OF_MODELS,
    "noise": OF_MODELS,
    "evolution": (("differential", "SciPy DE"), ("cmaes", "cmaes library")),
}
EVOLUTIONS = (
    "random",
    "genetic",
    "differential",
    "cmaes",
    "cmaes library",
    "Optuna CMA-ES",
    "SciPy DE",
    "evosax CMA-ES",
    "evosax DE",
)


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    seeds: int
    model_seeds: int  # of models, batches and noise
    few: bool  # two small functions only, and no tables
    evolution_evaluations: int  # for each dimension
    branin_evaluations: int
    valley_evaluations: int
    brackets: int  # of Hyperband, in counting
    histories: tuple[int, ...]  # trials before an ask, in overhead
    large_history: int  # of ours only
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(2, 2, True, 3, 12, 400, 2, (200, 400), 600),
    "small": Parameters(30, 12, False, 100, 40, 8000, 6, (1000, 10_000), 100_000),
    "paper": Parameters(100, 30, False, 100, 40, 8000, 6, (1000, 10_000), 100_000),
}


# --- races --------------------------------------------------------------------------------------------------------------
def _timed(
    play: Callable[..., np.ndarray], problem: Problem, count: int, seed: int, batch: int
) -> tuple[np.ndarray, float]:
    """True losses [count] of the point that looks best so far, and the seconds that it took."""
    seen = None
    if problem.observed is not None:
        problem, seen = watched(problem, seed)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers
        losses = play(problem, count, seed, batch)
    took = time.perf_counter() - started
    if seen is None:
        return np.minimum.accumulate(losses), took
    best = best_by_mean(losses[: len(seen.points)], seen)
    return np.pad(best, (0, count - len(best)), mode="edge"), took  # a space that is used up


def race(
    problems: dict[str, Problem],
    names: Sequence[str],
    seeds: int,
    batch: int,
    budget: Callable[[Problem], int] = lambda p: p.budget,
    kept: Path | None = None,
) -> dict:
    """Every contestant on every problem and seed, two at a time.

    Args:
        problems: by title.
        names: of the contestants.
        seeds: how many.
        batch: points a round; 0 for each search's own.
        budget: of a problem.
        kept: file that holds what an interrupted run of the same commit finished, and gets every contestant's result as it comes;
            whoever calls deletes it at the end.
    """
    from joblib import Parallel, delayed

    from hpjax import records

    # of the processes that are begun here: SMAC's points depend on it
    os.environ["PYTHONHASHSEED"] = "0"
    contestants, (commit, dirty) = installed(names), records.commit(Path(__file__))
    made_by = {"seeds": seeds, "commit": commit, "dirty": dirty}
    before = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    result = before["found"] if before.get("made_by") == made_by and not dirty else {}
    for title, problem in problems.items():
        count = budget(problem)
        grid = np.unique(np.round(np.geomspace(1, count, GRID)).astype(int))
        fresh: dict[str, Any] = {"evaluations": count, "grid": grid.tolist(), "methods": {}}
        entry = result.setdefault(title, fresh)
        for name, play in contestants.items():
            if name in entry["methods"] or not allowed(name, title):
                continue
            found = Parallel(n_jobs=2)(
                delayed(_timed)(play, problem, count, seed, batch) for seed in range(seeds)
            )
            regret = np.array([incumbent[grid - 1] - problem.optimum for incumbent, _ in found])
            seconds = float(np.median([took for _, took in found]))
            entry["methods"][name] = {
                "regret": rounded(regret.T),
                "seconds": round(seconds, 3),
            }  # [grid seeds]
            if kept is not None:
                write_json(kept, {"made_by": made_by, "found": result}, indent=None)
            print(
                f"{title} after {count}: {name} {np.median(regret[:, -1]):.3g}, {seconds:.2f} s",
                flush=True,
            )
    return result


def allowed(name: str, title: str) -> bool:
    """Whether a contestant can take part: some are for continuous spaces only, and two are too slow in ten dimensions."""
    if name in ("bayesian-optimization", "SMAC") and title in MANY:
        return False  # minutes a seed
    return title in CONTINUOUS or name not in ONLY_CONTINUOUS


def rounded(values: np.ndarray) -> list:
    """Numbers to four significant digits, for small files."""
    return [[float(f"{v:.4g}") for v in row] for row in np.maximum(values, 0).tolist()]


def functions(parameters: Parameters) -> dict[str, Problem]:
    """The synthetic functions, continuous and others."""
    problems = synthetic()
    if parameters.few:
        return {name: problems[name]._replace(budget=14) for name in ("Branin", "mixed")}
    return problems


def continuous(parameters: Parameters) -> dict[str, Problem]:
    """Those of numbers only."""
    return {n: problem for n, problem in functions(parameters).items() if n in CONTINUOUS}


def stored(parameters: Parameters) -> dict[str, Problem]:
    """The tables of networks."""
    return {} if parameters.few else tables(parameters.data)


def noisy(parameters: Parameters) -> dict[str, Problem]:
    """Functions and tables whose evaluations have noise."""
    seen = {title: with_noise(problem) for title, problem in functions(parameters).items()}
    return seen if parameters.few else seen | tables(parameters.data, noise=True)


def searches(
    part: str,
    problems: dict[str, Problem],
    names: tuple[str, ...],
    batch: int,
    parameters: Parameters,
) -> dict[str, Any]:
    """Races on these; what an interrupted one finished is not run again."""
    kept, seeds = None if parameters.few else KEPT / f"{part}.json", parameters.model_seeds
    found = race(problems, names, seeds, batch, kept=kept)
    if kept is not None:
        kept.unlink(missing_ok=True)
    return {"seeds": seeds, "found": found}


def evolution(parameters: Parameters) -> dict[str, Any]:
    """Races of many evaluations on continuous functions."""
    budget = lambda problem: parameters.evolution_evaluations * len(problem.space)
    found = race(continuous(parameters), EVOLUTIONS, parameters.seeds, 0, budget=budget)
    return {"seeds": parameters.seeds, "found": found}


def branin(parameters: Parameters) -> dict[str, Any]:
    """bayes on Branin's function."""
    one = {"Branin": continuous(parameters)["Branin"]}
    budget = lambda problem: parameters.branin_evaluations
    found = race(one, ["bayes"], parameters.seeds, 1, budget=budget)
    return {"seeds": parameters.seeds, "found": found}


def handicap(problems: dict[str, Problem], seeds: int) -> dict:
    """bayes with N evaluations, random with twice as many, on the same seeds."""
    alone = race(problems, ["bayes"], seeds, 1)
    twice = race(problems, ["random"], seeds, 0, budget=lambda p: 2 * p.budget)
    return {
        name: {
            "evaluations": alone[name]["evaluations"],
            "bayes": alone[name]["methods"]["bayes"]["regret"][-1],
            "random": twice[name]["methods"]["random"]["regret"][-1],
        }
        for name in problems
    }


def valley(seeds: int, most: int) -> dict:
    """Evaluations that cmaes needs on Rosenbrock in 10 dimensions until 1e-8, in two boxes; `most` + 1 where it fails."""
    from joblib import Parallel, delayed

    import hpjax
    from experiments._objectives import _box, rosenbrock
    from hpjax import search

    boxes = {
        "[-2, 2], start 0.1, sigma 0.3": (-2, 2, 0.1, 0.3),
        "[-5, 10], start and sigma by default": (-5, 10, 2.5, 3.75),
    }

    def one(low: float, high: float, start: float, sigma: float, seed: int):
        space, loss = _box(rosenbrock, low, high, 10)
        wide = high - low
        made = functools.partial(search.cmaes, mean=(start - low) / wide, sigma=sigma / wide)
        found = hpjax.minimize(loss, space, search=made, trials=most, seed=seed)
        reached = np.flatnonzero(found.table["objective"] <= 1e-8)
        return int(reached[0]) + 1 if len(reached) else most + 1

    return {
        title: Parallel(n_jobs=2)(delayed(one)(*box, seed) for seed in range(seeds))
        for title, box in boxes.items()
    }


def law(problems: dict[str, Problem], seeds: int) -> dict:
    """Mean best of k of random search on the tables, with its standard error, beside the exact law."""
    from joblib import Parallel, delayed

    from hpjax import analysis

    counts, result = [8, 32, 100, 500], {}
    for name, problem in problems.items():
        table = problem.loss(_everything(problem))
        losses = np.array(
            Parallel(n_jobs=2)(
                delayed(OURS["random"])(problem, counts[-1], seed, 0) for seed in range(seeds)
            )
        )
        best = np.minimum.accumulate(losses, axis=1)[:, np.array(counts) - 1]
        result[name] = {
            "k": counts,
            "mean": best.mean(0).tolist(),
            "error": (best.std(0) / np.sqrt(seeds)).tolist(),
            "exact": analysis.best_of(table, counts).tolist(),
        }
    return result


def _everything(problem: Problem) -> dict:
    """All points of a finite space, as columns."""
    import hpjax
    from hpjax import search

    space = hpjax.Space(problem.space)
    made = search.grid(space.dims, levels=100)
    unit, _ = made.ask(made.init(()), (), 10**6, 1)
    return space.decode(unit)


def counting(
    seeds: int,
    brackets: int,
    ones: int = 8,
    names: tuple[str, ...] = ("random", "tpe", "hyperband", "bohb", "dehb"),
) -> dict:
    """Regret on Counting Ones (as many choices as numbers) over epochs: the true value of the best at full fidelity."""
    from joblib import Parallel, delayed

    space, loss = counting_ones(ones, ones)
    budget = brackets * 1902  # epochs of Hyperband's brackets for R = 81

    def one(name: str, seed: int):
        import hpjax
        from hpjax import records

        scheduler = None if name in ("hyperband", "bohb", "dehb") else hpjax.full(81)
        found = hpjax.minimize(
            loss,
            space,
            search=name,
            scheduler=scheduler,
            seed=seed,
            stop={"epochs": budget},
            batch=8 if scheduler else None,
        )
        cost, value = [], []
        best, spent, age = np.inf, 0, {}
        points = found.table["unit"]
        truth = loss(found.space.decode(points)) + 2 * ones  # regret without noise
        for _, record in records.reports(found.records):
            for trial, source, epochs, objective in zip(
                record["trial"], record["source"], record["epochs"], record["objective"]
            ):
                spent += epochs - (age.get(trial, 0) if source >= 0 else 0)
                age[trial] = epochs
                # chosen by what it saw, judged by the truth
                if epochs == 81 and objective < best:
                    best = objective
                    cost.append(spent)
                    value.append(float(truth[trial]))
        return np.array(cost), np.array(value)

    from hpjax import analysis

    grid = np.geomspace(500, budget, GRID)
    result: dict = {"grid": np.round(grid).tolist(), "methods": {}}
    for name in names:
        found = Parallel(n_jobs=2)(delayed(one)(name, seed) for seed in range(seeds))
        regret = np.array([analysis.at_costs(cost, value, grid) for cost, value in found])
        result["methods"][name] = [
            [None if np.isnan(v) else float(f"{v:.4g}") for v in row] for row in regret.T
        ]
    return result


def overhead(histories: tuple[int, ...], large: int) -> dict:
    """Host microseconds of ask + tell per trial over 20 asks of 100, at given lengths of the history; bayes: 8 points from 500."""
    import hpjax
    from hpjax import search
    from hpjax.search.base import Observations

    space = hpjax.Space(
        {
            "rate": hpjax.LogUniform(1e-5, 1.0),
            "width": hpjax.LogIntUniform(16, 512),
            "depth": hpjax.IntUniform(1, 4),
            "l2": hpjax.LogUniform(1e-7, 1e-2),
            "kind": hpjax.Choice(["relu", "tanh", "gelu"]),
        }
    )
    dims = space.dims

    def told_of(unit: np.ndarray, first: int):
        count = len(unit)
        loss = ((unit - 0.4) ** 2).sum(1)
        return Observations(
            np.arange(first, first + count),
            unit,
            loss[:, None],
            np.full(count, 20),
            np.ones(count, bool),
        )

    def filled(made: Any, history: int):
        """A state that was told of `history` random points, as given before the search began."""
        points = np.random.default_rng(history).random((history, len(dims)))
        return made.tell(made.init((0, 11)), told_of(points, -history))

    def measure(made: Any, history: int, asks: int, size: int) -> float:
        state, count = filled(made, history), 0
        started = time.perf_counter()
        for _ in range(asks):
            unit, state = made.ask(state, (0, 11, count), size, 20)
            state = made.tell(state, told_of(unit, count))
            count += len(unit)
        return (time.perf_counter() - started) / count * 1e6

    result: dict = {"ours": {}, "Optuna": {}}
    for name in ("random", "genetic", "differential", "tpe"):
        made = search.SEARCHES[name](dims)
        result["ours"][name] = {
            str(history): measure(made, history, 20, 100) for history in (*histories, large)
        }
        print(name, result["ours"][name], flush=True)
    if importlib.util.find_spec("optuna") is not None:
        import optuna as library

        library.logging.set_verbosity(library.logging.ERROR)
        distributions: dict[str, Any] = {
            "rate": library.distributions.FloatDistribution(1e-5, 1.0, log=True),
            "width": library.distributions.IntDistribution(16, 512, log=True),
            "depth": library.distributions.IntDistribution(1, 4),
            "l2": library.distributions.FloatDistribution(1e-7, 1e-2, log=True),
            "kind": library.distributions.CategoricalDistribution(["relu", "tanh", "gelu"]),
        }
        for name, sampler in (
            ("random", library.samplers.RandomSampler(seed=0)),
            ("tpe", library.samplers.TPESampler(seed=0)),
            ("genetic", library.samplers.NSGAIISampler(seed=0)),
        ):
            result["Optuna"][name] = {}
            for history in histories:
                rng = np.random.default_rng(0)
                study = library.create_study(sampler=sampler)
                values = space.decode(rng.random((history, len(dims))))
                study.add_trials(
                    [
                        library.trial.create_trial(
                            params={
                                n: (values[n][i] if n == "kind" else values[n][i].item())
                                for n in distributions
                            },
                            distributions=distributions,
                            value=float(rng.random()),
                        )
                        for i in range(history)
                    ]
                )
                started, count = time.perf_counter(), 0
                # 20 asks of 100, or as many as 30 s allow
                while count < 2000 and (count < 100 or time.perf_counter() - started < 30):
                    asked = [study.ask(distributions) for _ in range(100)]
                    for trial in asked:
                        study.tell(trial, float(rng.random()))
                    count += 100
                result["Optuna"][name][str(history)] = (time.perf_counter() - started) / count * 1e6
            print("Optuna", name, result["Optuna"][name], flush=True)
    made = search.bayes(dims, batch=8)
    history = 500 if large > 1000 else 60
    state = filled(made, history - 8)
    unit, state = made.ask(state, (0, 11, 0), 8, 20)  # warms it up: imports, and the first fit
    state = made.tell(state, told_of(unit, 0))
    started = time.perf_counter()
    made.ask(state, (0, 11, 8), 8, 20)
    result["bayes"] = {"history": history, "seconds for 8 points": time.perf_counter() - started}
    print("bayes", result["bayes"], flush=True)
    return result


# --- figures and criteria -----------------------------------------------------------------------------------------------
def final(found: dict, name: str) -> dict[str, np.ndarray]:
    """Problem -> final regrets [seeds] of a method, where it took part."""
    return {
        title: np.array(entry["methods"][name]["regret"][-1])
        for title, entry in found.items()
        if name in entry["methods"]
    }


def rank_table(found: dict, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Problem -> ranks [seeds k] of these methods by final regret."""
    from hpjax import analysis

    return {
        title: analysis.ranks(np.stack([final(found, name)[title] for name in names], 1))
        for title, entry in found.items()
        if all(name in entry["methods"] for name in names)
    }


def not_worse(found: dict, one: str, other: str, where: str, margin: float = 0.25) -> Criterion:
    """Upper end of the 95 % interval of the mean difference of ranks, of these two among themselves."""
    from hpjax import analysis

    parts = [table[:, 0] - table[:, 1] for table in rank_table(found, [one, other]).values()]
    _, _, high = analysis.bootstrap(parts)
    return Criterion(
        f"{where}: rank of {one} minus rank of {other}, upper end of its 95 % interval",
        high,
        margin,
        at_least=False,
    )


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The figures and tables of the parts that were run."""
    if "law" in numbers:
        draw_law(numbers["law"]["found"], sheet)
    for part in RACES:
        if part in numbers:
            draw_anytime(part, numbers[part], sheet)
            draw_ranks(part, numbers[part], sheet)
            draw_profile(part, numbers[part], sheet)
    if "handicap" in numbers:
        header = [
            "problem",
            "evaluations of bayes",
            "median regret of bayes",
            "median regret of random with twice as many",
            "one-sided p",
        ]
        p, entries = beaten(numbers["handicap"]), numbers["handicap"]["found"].items()
        median = lambda entry, name: np.median(entry[name])
        rows = [
            [n, e["evaluations"], median(e, "bayes"), median(e, "random"), p[n]] for n, e in entries
        ]
        sheet.table("handicap", header, rows)
    if "counting" in numbers:
        draw_counting(numbers["counting"]["found"], sheet)
    if "overhead" in numbers:
        header = ["search", "history", "microseconds", "Optuna's", "ratio"]
        sheet.table("overhead", header, overhead_rows(numbers["overhead"]["found"]))


def everywhere_there(found: dict[str, Any]) -> list[str]:
    """The methods that took part in every problem, in the order in which they first appear."""
    names = dict.fromkeys(n for entry in found.values() for n in entry["methods"])
    return [n for n in names if all(n in entry["methods"] for entry in found.values())]


def draw_anytime(part: str, saved: dict[str, Any], sheet: Sheet) -> None:
    """Regret over evaluations, a panel for each problem."""
    from hpjax import analysis, plots

    found, seeds = saved["found"], saved["seeds"]
    columns = 5 if len(found) > 6 else max(1, min(3, len(found)))
    rows = -(-len(found) // columns)
    made, axes = plots.figure(
        rows, columns, width=plots.WIDE, height=1.75 * rows + 0.6, squeeze=False
    )
    table, handles = [], {}
    for ax, (title, entry) in zip(axes.ravel(), found.items()):
        curves = {n: analysis.bands(np.array(m["regret"]).T) for n, m in entry["methods"].items()}
        curves = {n: np.maximum(c, 1e-9) for n, c in curves.items()}
        plots.anytime(ax, entry["grid"], curves, "evaluations", "regret")
        ax.set_title(title)
        ax.set_xlabel("evaluations" if ax in axes[-1] else "")
        ax.set_ylabel("regret" if ax in axes[:, 0] else "")
        handles |= dict(zip(ax.get_legend_handles_labels()[1], ax.get_legend_handles_labels()[0]))
        for name, bands in curves.items():
            table += [[title, name, count, *point] for count, point in zip(entry["grid"], bands.T)]
    for ax in axes.ravel()[len(found) :]:
        ax.set_axis_off()
    made.legend(handles.values(), handles, loc="outside lower center", ncols=5)
    made.suptitle(f"median and quartiles of {seeds} seeds", fontsize=8)
    sheet.figure(made, f"{part}_anytime")
    sheet.table(
        f"{part}_anytime",
        ["problem", "method", "evaluations", "lower quartile", "median", "upper quartile"],
        table,
    )


def draw_ranks(part: str, saved: dict[str, Any], sheet: Sheet) -> None:
    """Ranks over the budget, and the critical difference."""
    from hpjax import analysis, plots

    found, seeds = saved["found"], saved["seeds"]
    names = everywhere_there(found)
    everywhere = rank_table(found, names)
    mean = {
        n: float(np.mean([t[:, i].mean() for t in everywhere.values()]))
        for i, n in enumerate(names)
    }
    made, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.3)
    shares = np.linspace(0.1, 1, 19)
    over = {n: [] for n in names}
    for share in shares:
        at = []
        for entry in found.values():
            place = np.searchsorted(entry["grid"], share * entry["evaluations"], side="right") - 1
            at.append(
                analysis.ranks(
                    np.stack([entry["methods"][n]["regret"][place] for n in names], 1)
                ).mean(0)
            )
        for n, rank in zip(names, np.mean(at, 0)):
            over[n].append(rank)
    plots.rank_curves(
        left,
        100 * shares,
        {n: np.array(r) for n, r in over.items()},
        "share of the evaluations (%)",
    )
    difference = analysis.critical_difference(len(names), len(found))
    plots.critical_difference(
        right, mean, difference, analysis.cliques(np.array(list(mean.values())), difference)
    )
    right.set_title(f"{len(found)} problems, ranks averaged over {seeds} seeds", fontsize=7)
    sheet.figure(made, f"{part}_ranks")
    sheet.table(
        f"{part}_ranks",
        ["method", "mean rank", *(f"at {100 * s:.0f} %" for s in shares)],
        [[n, mean[n], *over[n]] for n in names],
    )


def draw_profile(part: str, saved: dict[str, Any], sheet: Sheet) -> None:
    """On what share of problems and seeds each method reaches a score."""
    from hpjax import analysis, plots

    found = saved["found"]
    scores = {}
    # 1 is the least regret that anyone reached on the problem, 0 the most, on a logarithmic scale
    for name in everywhere_there(found):
        each = []
        for entry in found.values():
            ends = {
                n: np.log(np.maximum(m["regret"][-1], 1e-9)) for n, m in entry["methods"].items()
            }
            low, high = min(v.min() for v in ends.values()), max(v.max() for v in ends.values())
            each.append((high - ends[name]) / max(high - low, 1e-12))
        scores[name] = np.concatenate(each)
    made, ax = plots.figure(1, 1)
    levels = np.linspace(0, 1, 101)
    shares = {n: analysis.profile(v[None], levels)[0] for n, v in scores.items()}
    plots.profiles(ax, levels, shares, "score (1: least log regret of anyone)")
    ax.legend(fontsize=5.5, loc="upper right")
    sheet.figure(made, f"{part}_profile")
    sheet.table(f"{part}_profile", ["method", *levels], [[n, *v] for n, v in shares.items()])


def draw_law(found: dict[str, Any], sheet: Sheet) -> None:
    """Random search beside the exact curve."""
    from hpjax import plots

    if not found:
        return
    made, axes = plots.figure(
        1, len(found), width=plots.WIDE if len(found) > 1 else 3.25, squeeze=False
    )
    for ax, (name, entry) in zip(axes[0], found.items()):
        k, mean, error, exact = (np.array(entry[c]) for c in ("k", "mean", "error", "exact"))
        ax.plot(k, exact, color="black", linewidth=0.8, label="exact")
        ax.errorbar(
            k,
            mean,
            2 * error,
            fmt="o",
            color=plots.COLORS[1],
            markersize=3,
            label="random search, 2 s.e.",
        )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(name)
        ax.set_xlabel("evaluations")
        ax.set_ylabel("E[best validation MSE]")
        ax.legend()
    sheet.figure(made, "law")
    sheet.table(
        "law",
        ["table", "k", "mean", "standard error", "exact"],
        [
            [n, *row]
            for n, e in found.items()
            for row in zip(e["k"], e["mean"], e["error"], e["exact"])
        ],
    )


def incumbents(found: dict[str, Any]) -> dict[str, np.ndarray]:
    """Regret of each method [seeds grid], NaN before its first network at full fidelity."""
    return {
        n: np.array([[np.nan if v is None else v for v in row] for row in m]).T
        for n, m in found["methods"].items()
    }


def draw_counting(found: dict[str, Any], sheet: Sheet) -> None:
    """Regret over epochs with fidelities."""
    from hpjax import analysis, plots

    made, ax = plots.figure(1, 1)
    curves = {n: analysis.bands(v) for n, v in incumbents(found).items()}
    plots.anytime(
        ax,
        found["grid"],
        {n: np.maximum(c, 1e-3) for n, c in curves.items()},
        "epochs, all trials",
        "regret of the incumbent",
    )
    ax.legend()
    sheet.figure(made, "counting")
    sheet.table(
        "counting",
        ["method", "epochs", "lower quartile", "median", "upper quartile"],
        [[n, e, *b] for n, c in curves.items() for e, b in zip(found["grid"], c.T)],
    )


def overhead_rows(found: dict[str, Any]) -> list[list[Any]]:
    """Search, history, microseconds, Optuna's, and how many times less ours are."""
    peers = {"random": "random", "tpe": "tpe", "genetic": "genetic", "differential": "genetic"}
    rows = []
    for name, times in found["ours"].items():
        for history, value in times.items():
            peer = found["Optuna"].get(peers[name], {}).get(history)
            rows.append([name, history, value, peer, None if peer is None else peer / value])
    return rows


# --- criteria -----------------------------------------------------------------------------------------------------------
def beaten(saved: dict[str, Any]) -> dict[str, float]:
    """One-sided p that bayes ends below random with twice the evaluations, of each problem."""
    from hpjax import analysis

    return {
        n: analysis.wilcoxon(np.array(e["bayes"]), np.array(e["random"]))
        for n, e in saved["found"].items()
    }


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    judged = []
    for name, entry in numbers.get("law", {"found": {}})["found"].items():
        mean, error, exact = (np.array(entry[c]) for c in ("mean", "error", "exact"))
        judged.append(
            Criterion(
                f"random on {name}: largest distance to the exact law, standard errors",
                float(np.max(np.abs(mean - exact) / error)),
                3,
                at_least=False,
            )
        )
    for part, pairs in RACES.items():
        found = numbers[part]["found"] if part in numbers else {}
        names = {n for entry in found.values() for n in entry["methods"]}
        judged += [not_worse(found, a, b, part) for a, b in pairs if {a, b} <= names]
    if "branin" in numbers:
        regret = numbers["branin"]["found"]["Branin"]["methods"]["bayes"]["regret"][-1]
        judged.append(
            Criterion(
                "bayes: median regret on Branin within 40 evaluations",
                float(np.median(regret)),
                1e-2,
                at_least=False,
            )
        )
    if "handicap" in numbers:
        judged.append(
            Criterion(
                "bayes: functions on which it beats random with twice the evaluations (p < .05)",
                sum(p < 0.05 for p in beaten(numbers["handicap"]).values()),
                5,
            )
        )
    if "valley" in numbers:
        title, needed = next(iter(numbers["valley"]["found"].items()))
        judged.append(
            Criterion(
                f"cmaes: share of seeds that reach 1e-8 on Rosenbrock-10 within 8,000 evaluations, {title}",
                float(np.mean(np.array(needed) <= 8000)),
                0.8,
            )
        )
    if "counting" in numbers:
        judged += judge_counting(numbers["counting"]["found"])
    if "overhead" in numbers:
        judged += judge_overhead(numbers["overhead"]["found"])
    return judged


def judge_counting(found: dict[str, Any]) -> list[Criterion]:
    """BOHB and DEHB against Hyperband."""
    from hpjax import analysis

    end = {n: values[:, -1] for n, values in incumbents(found).items()}
    return [
        Criterion(
            f"Counting Ones: one-sided p that {name} ends below hyperband",
            analysis.wilcoxon(end[name], end["hyperband"]),
            0.05,
            at_least=False,
        )
        for name in ("bohb", "dehb")
    ]


def judge_overhead(found: dict[str, Any]) -> list[Criterion]:
    """How many times less time an ask and a tell take than Optuna's."""
    rows, judged = overhead_rows(found), []
    for name in found["ours"]:
        ratios = [row[4] for row in rows if row[0] == name and row[4] is not None]
        if ratios:
            judged.append(
                Criterion(
                    f"{name}: Optuna's host time per trial over ours, the lowest of the histories",
                    min(ratios),
                    50,
                )
            )
    return [
        *judged,
        Criterion(
            "bayes: seconds for 8 points from a history of 500",
            found["bayes"]["seconds for 8 points"],
            1,
            at_least=False,
        ),
    ]


def of_seeds(call: Callable[[Parameters], Any]) -> Callable[[Parameters], dict[str, Any]]:
    """A part whose numbers say how many seeds they are of."""
    return lambda parameters: {"seeds": parameters.seeds, "found": call(parameters)}


EXPERIMENT = Experiment(
    "search_quality",
    presets=PRESETS,
    parts={
        "models": lambda p: searches("models", functions(p) | stored(p), RACED + ONE_BY_ONE, 1, p),
        "batches": lambda p: searches("batches", functions(p) | stored(p), RACED, 8, p),
        "noise": lambda p: searches(
            "noise", noisy(p), RACED + ("cmaes", "Optuna CMA-ES", "SMAC"), 1, p
        ),
        "evolution": evolution,
        "handicap": of_seeds(lambda p: handicap(continuous(p), p.seeds)),
        "branin": branin,
        "valley": of_seeds(lambda p: valley(p.seeds, p.valley_evaluations)),
        "law": of_seeds(lambda p: law(stored(p), 10 * p.seeds)),
        "counting": of_seeds(lambda p: counting(p.seeds, p.brackets)),
        "overhead": of_seeds(lambda p: overhead(p.histories, p.large_history)),
    },
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
