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
overhead  host microseconds per trial: of a search alone (ask and tell), of a whole study of a free function, of Optuna; alone, on an
          idle machine

Regret is the best loss so far minus the least possible one. Peers that are not installed are left out, and the figures say so.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments._counting_ones import counting, draw_counting, judge_counting
from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._objectives import CONTINUOUS, Problem, synthetic, tables, with_noise
from experiments._races import (
    draw_anytime,
    draw_profile,
    draw_ranks,
    not_worse,
    race,
)
from experiments._search_overhead import judge_overhead, overhead, overhead_rows
from experiments._search_peers import OURS

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


# --- parts --------------------------------------------------------------------------------------------------------------
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


# --- figures and criteria -----------------------------------------------------------------------------------------------


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
        header = [
            "search",
            "history",
            "ask and tell alone, microseconds",
            "whole study",
            "Optuna's",
            "Optuna's over ask and tell",
            "over whole study",
        ]
        sheet.table("overhead", header, overhead_rows(numbers["overhead"]["found"]))


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
                figure="law",
                part="law",
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
                part="branin",
            )
        )
    if "handicap" in numbers:
        p = beaten(numbers["handicap"])
        judged.append(
            Criterion(
                f"bayes: functions, of {len(p)}, on which it beats random with twice the evaluations (p < .05)",
                sum(value < 0.05 for value in p.values()),
                len(p) - 1,
                part="handicap",
            )
        )
    if "valley" in numbers:
        title, needed = next(iter(numbers["valley"]["found"].items()))
        judged.append(
            Criterion(
                f"cmaes: share of seeds that reach 1e-8 on Rosenbrock-10 within 8,000 evaluations, {title}",
                float(np.mean(np.array(needed) <= 8000)),
                0.8,
                part="valley",
            )
        )
    if "counting" in numbers:
        judged += judge_counting(numbers["counting"]["found"])
    if "overhead" in numbers:
        judged += judge_overhead(numbers["overhead"]["found"])
    return judged


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
