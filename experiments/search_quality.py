"""How good the searches are: on functions with known minima and on 62,208 published networks, beside the field's own tools.

    python -m experiments.search_quality --only models --seeds 30
    python -m experiments.search_quality --plot results/search_quality

models    one point at a time, 10 D evaluations (at most 100): ours, Optuna's, bayesian-optimization's
batches   the same in batches of 8
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

import functools
import importlib.util
import time
import warnings
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows
from experiments._objectives import Problem, counting_ones, synthetic, tables
from experiments._peers import ONLY_CONTINUOUS, OURS, installed

PARTS = (
    "models",
    "batches",
    "evolution",
    "handicap",
    "branin",
    "valley",
    "law",
    "counting",
    "overhead",
)
CONTINUOUS = ("Branin", "six-hump camel", "Hartmann-3", "Hartmann-6", "Ackley-5", "Rosenbrock-10")
SEEDS = {"smoke": 2, "small": 30, "paper": 100}
GRID = 40  # places of a budget at which curves are kept


# --- races --------------------------------------------------------------------------------------------------------------
def _timed(play, problem, count, seed, batch) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers
        losses = play(problem, count, seed, batch)
    return losses, time.perf_counter() - started


def race(
    problems: dict[str, Problem],
    names,
    seeds: int,
    batch: int,
    budget=lambda p: p.budget,
    kept: Path | None = None,
) -> dict:
    """Every contestant on every problem and seed, two at a time.

    Args:
        problems: by title.
        names: of the contestants.
        seeds: how many.
        batch: points a round; 0 for each search's own.
        budget: of a problem.
        kept: file that holds what an interrupted run finished, and gets every contestant's result as it comes; whoever
            calls deletes it at the end.
    """
    from joblib import Parallel, delayed

    from hpjax import records

    contestants, commit = installed(names), records.commit(Path(__file__))[0]
    result = (
        read(kept)["found"]
        if kept is not None and kept.exists() and read(kept)["seeds"] == seeds
        else {}
    )
    for title, problem in problems.items():
        count = budget(problem)
        grid = np.unique(np.round(np.geomspace(1, count, GRID)).astype(int))
        entry = result.setdefault(
            title, {"evaluations": count, "grid": grid.tolist(), "methods": {}}
        )
        for name, play in contestants.items():
            if name in entry["methods"] or not allowed(name, title):
                continue
            found = Parallel(n_jobs=2)(
                delayed(_timed)(play, problem, count, seed, batch) for seed in range(seeds)
            )
            regret = np.array(
                [np.minimum.accumulate(losses)[grid - 1] - problem.optimum for losses, _ in found]
            )
            seconds = float(np.median([took for _, took in found]))
            entry["methods"][name] = {
                "regret": rounded(regret.T),
                "seconds": round(seconds, 3),
                "commit": commit,
            }  # [grid seeds]
            if kept is not None:
                write(kept, {"seeds": seeds, "found": result}, indent=None)
            print(
                f"{title} after {count}: {name} {np.median(regret[:, -1]):.3g}, {seconds:.2f} s",
                flush=True,
            )
    return result


def allowed(name: str, title: str) -> bool:
    """Whether a contestant can take part: some are for continuous spaces only, and one is too slow in ten dimensions."""
    if name == "bayesian-optimization" and title == "Rosenbrock-10":
        return False  # 4 minutes a seed
    return title in CONTINUOUS or name not in ONLY_CONTINUOUS


def rounded(values: np.ndarray) -> list:
    """Numbers to four significant digits, for small files."""
    return [[float(f"{v:.4g}") for v in row] for row in np.maximum(values, 0).tolist()]


def run(flags: Flags, folder: Path) -> None:
    """Runs the parts, and saves each in a file of its own."""
    seeds = flags.seeds or SEEDS[flags.preset]
    smoke = flags.preset == "smoke"
    problems = synthetic()
    continuous = {name: problems[name] for name in CONTINUOUS}
    if smoke:
        problems = {name: problems[name]._replace(budget=14) for name in ("Branin", "mixed")}
        continuous = {"Branin": problems["Branin"]}
    for part in [flags.only] if flags.only else PARTS:
        started = time.perf_counter()
        if part in ("models", "batches"):
            names = ["random", "sobol", "bayes", "tpe", "Optuna TPE", "Optuna GP"]
            names += ["cmaes", "Optuna CMA-ES", "bayesian-optimization"] if part == "models" else []
            everything = problems if smoke else problems | tables(flags.data)
            found = race(
                everything,
                names,
                seeds,
                1 if part == "models" else 8,
                kept=folder / f"{part}.partial.json",
            )
        elif part == "evolution":
            names = [
                "random",
                "genetic",
                "differential",
                "cmaes",
                "cmaes library",
                "Optuna CMA-ES",
                "SciPy DE",
                "evosax CMA-ES",
                "evosax DE",
            ]
            found = race(
                continuous, names, seeds, 0, budget=lambda p: (3 if smoke else 100) * len(p.space)
            )
        elif part == "handicap":
            found = handicap(continuous, seeds)
        elif part == "branin":
            one = {"Branin": continuous["Branin"]}
            found = race(one, ["bayes"], seeds, 1, budget=lambda p: 12 if smoke else 40)
        elif part == "valley":
            found = valley(seeds, 400 if smoke else 8000)
        elif part == "law":
            found = law({} if smoke else tables(flags.data), 10 * seeds)
        elif part == "counting":
            found = counting(seeds, 2 if smoke else 6)
        else:
            found = overhead((200, 400) if smoke else (1000, 10_000), 100_000 if not smoke else 600)
        print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
        write(folder / f"{part}.json", {"seeds": seeds, "found": found}, indent=None)
        (folder / f"{part}.partial.json").unlink(missing_ok=True)


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

    def one(low, high, start, sigma, seed):
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

    def one(name, seed):
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
        regret = np.array([analysis.at_costs(*curve, grid) for curve in found])
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

    def told_of(unit, first):
        count = len(unit)
        loss = ((unit - 0.4) ** 2).sum(1)
        return Observations(
            np.arange(first, first + count), unit, loss, np.full(count, 20), np.ones(count, bool)
        )

    def filled(made, history: int):
        """A state that was told of `history` random points, as given before the search began."""
        points = np.random.default_rng(history).random((history, len(dims)))
        return made.tell(made.init((0, 11)), told_of(points, -history))

    def measure(made, history: int, asks: int, size: int) -> float:
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
        distributions = {
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


def rank_table(found: dict, names) -> dict[str, np.ndarray]:
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


def draw(folder: Path) -> list[dict]:
    """The figures of the parts that were run, and the criteria."""
    there = {
        part: read(folder / f"{part}.json") for part in PARTS if (folder / f"{part}.json").exists()
    }
    if not there:
        raise ValueError(f"{folder} holds no results; run the experiment before drawing it")
    criteria: list[dict] = []
    if "law" in there:
        criteria += draw_law(folder, there["law"]["found"])
    for part in ("models", "batches", "evolution"):
        if part in there:
            criteria += draw_race(folder, part, there[part])
    if "branin" in there:
        regret = np.array(there["branin"]["found"]["Branin"]["methods"]["bayes"]["regret"][-1])
        criteria.append(
            Criterion(
                "bayes: median regret on Branin within 40 evaluations",
                float(np.median(regret)),
                1e-2,
                at_least=False,
            )
        )
    if "handicap" in there:
        from hpjax import analysis

        p = {
            n: analysis.wilcoxon(np.array(e["bayes"]), np.array(e["random"]))
            for n, e in there["handicap"]["found"].items()
        }
        rows = [
            [n, e["evaluations"], np.median(e["bayes"]), np.median(e["random"]), p[n]]
            for n, e in there["handicap"]["found"].items()
        ]
        write_rows(
            folder / "handicap.csv",
            [
                "problem",
                "evaluations of bayes",
                "median regret of bayes",
                "median regret of random with twice as many",
                "one-sided p",
            ],
            rows,
        )
        criteria.append(
            Criterion(
                "bayes: functions on which it beats random with twice the evaluations (p < .05)",
                sum(v < 0.05 for v in p.values()),
                5,
            )
        )
    if "valley" in there:
        for title, needed in there["valley"]["found"].items():
            hit = np.mean(np.array(needed) <= 8000)
            if title.startswith("[-2"):
                criteria.append(
                    Criterion(
                        f"cmaes: share of seeds that reach 1e-8 on Rosenbrock-10 within 8,000 evaluations, {title}",
                        float(hit),
                        0.8,
                    )
                )
            else:
                print(
                    f"cmaes on Rosenbrock-10, {title}: {hit:.2f} of seeds reach 1e-8 within 8,000"
                )
    if "counting" in there:
        criteria += draw_counting(folder, there["counting"]["found"])
    if "overhead" in there:
        criteria += draw_overhead(folder, there["overhead"]["found"])
    return criteria


def draw_race(folder: Path, part: str, saved: dict) -> list[dict]:
    """Anytime regret per problem, ranks over the budget, and the critical difference."""
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
    plots.save(made, folder / f"{part}_anytime")
    write_rows(
        folder / f"{part}_anytime.csv",
        ["problem", "method", "evaluations", "lower quartile", "median", "upper quartile"],
        table,
    )

    names = [n for n in handles if all(n in entry["methods"] for entry in found.values())]
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
    plots.save(made, folder / f"{part}_ranks")
    write_rows(
        folder / f"{part}_ranks.csv",
        ["method", "mean rank", *(f"at {100 * s:.0f} %" for s in shares)],
        [[n, mean[n], *over[n]] for n in names],
    )

    scores = {}
    # 1 is the least regret that anyone reached on the problem, 0 the most, on a logarithmic scale
    for name in names:
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
    plots.save(made, folder / f"{part}_profile")
    write_rows(
        folder / f"{part}_profile.csv", ["method", *levels], [[n, *v] for n, v in shares.items()]
    )

    peers = {
        "models": (("bayes", "Optuna GP"), ("bayes", "Optuna TPE"), ("tpe", "Optuna TPE")),
        "batches": (("bayes", "Optuna GP"), ("bayes", "Optuna TPE"), ("tpe", "Optuna TPE")),
        "evolution": (("differential", "SciPy DE"), ("cmaes", "cmaes library")),
    }[part]
    return [not_worse(found, a, b, part) for a, b in peers if {a, b} <= set(handles)]


def draw_law(folder: Path, found: dict) -> list[dict]:
    """Random search beside the exact curve."""
    from hpjax import plots

    criteria = []
    made, axes = plots.figure(
        1, max(1, len(found)), width=plots.WIDE if len(found) > 1 else 3.25, squeeze=False
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
        worst = float(np.max(np.abs(mean - exact) / error))
        criteria.append(
            Criterion(
                f"random on {name}: largest distance to the exact law, standard errors",
                worst,
                3,
                at_least=False,
            )
        )
    if found:
        plots.save(made, folder / "law")
        write_rows(
            folder / "law.csv",
            ["table", "k", "mean", "standard error", "exact"],
            [
                [n, *row]
                for n, e in found.items()
                for row in zip(e["k"], e["mean"], e["error"], e["exact"])
            ],
        )
    return criteria


def draw_counting(folder: Path, found: dict) -> list[dict]:
    """Regret over epochs with fidelities."""
    from hpjax import analysis, plots

    made, ax = plots.figure(1, 1)
    values = {
        n: np.array([[np.nan if v is None else v for v in row] for row in m]).T
        for n, m in found["methods"].items()
    }
    curves = {n: analysis.bands(v) for n, v in values.items()}
    plots.anytime(
        ax,
        found["grid"],
        {n: np.maximum(c, 1e-3) for n, c in curves.items()},
        "epochs, all trials",
        "regret of the incumbent",
    )
    ax.legend()
    plots.save(made, folder / "counting")
    write_rows(
        folder / "counting.csv",
        ["method", "epochs", "lower quartile", "median", "upper quartile"],
        [[n, e, *b] for n, c in curves.items() for e, b in zip(found["grid"], c.T)],
    )
    end = {n: v[:, -1] for n, v in values.items()}
    return [
        Criterion(
            "Counting Ones: one-sided p that bohb ends below hyperband",
            analysis.wilcoxon(end["bohb"], end["hyperband"]),
            0.05,
            at_least=False,
        ),
        Criterion(
            "Counting Ones: one-sided p that dehb ends below hyperband",
            analysis.wilcoxon(end["dehb"], end["hyperband"]),
            0.05,
            at_least=False,
        ),
    ]


def draw_overhead(folder: Path, found: dict) -> list[dict]:
    """The table of microseconds, and how many times less than Optuna's."""
    rows, criteria = [], []
    peers = {"random": "random", "tpe": "tpe", "genetic": "genetic", "differential": "genetic"}
    for name, times in found["ours"].items():
        for history, value in times.items():
            peer = found["Optuna"].get(peers[name], {}).get(history)
            rows.append([name, history, value, peer, None if peer is None else peer / value])
        ratios = [row[4] for row in rows if row[0] == name and row[4] is not None]
        if ratios:
            criteria.append(
                Criterion(
                    f"{name}: Optuna's host time per trial over ours, the lowest of the histories",
                    min(ratios),
                    50,
                )
            )
    write_rows(
        folder / "overhead.csv", ["search", "history", "microseconds", "Optuna's", "ratio"], rows
    )
    criteria.append(
        Criterion(
            "bayes: seconds for 8 points from a history of 500",
            found["bayes"]["seconds for 8 points"],
            1,
            at_least=False,
        )
    )
    return criteria


if __name__ == "__main__":
    main(
        "search_quality",
        run,
        draw,
        parts=PARTS,
        uses=(
            "seeds",
            "data",
        ),
    )
