"""What a search costs the host: microseconds for each trial, of ask and tell alone and of a whole study, beside Optuna's."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import numpy as np

from experiments._experiment import Criterion

# ours -> Optuna's sampler
PEERS = {"random": "random", "tpe": "tpe", "genetic": "NSGA-II", "differential": "NSGA-II"}
ASKS, SIZE = 20, 100  # that are timed, and trials of each


def searched() -> Any:
    """A space of five hyperparameters."""
    import hpjax

    return hpjax.Space(
        {
            "rate": hpjax.LogUniform(1e-5, 1.0),
            "width": hpjax.LogIntUniform(16, 512),
            "depth": hpjax.IntUniform(1, 4),
            "l2": hpjax.LogUniform(1e-7, 1e-2),
            "kind": hpjax.Choice(["relu", "tanh", "gelu"]),
        }
    )


def whole(name: str, history: int) -> float:
    """Microseconds per trial of a study of a free function, its ledger in memory, once it has `history` trials."""
    import hpjax

    at, rng = [0.0], np.random.default_rng(0)
    hpjax.minimize(
        lambda points: rng.random(len(points["rate"])),
        searched(),
        search=name,
        trials=history + ASKS * SIZE,
        batch=SIZE,
        watch=lambda progress: at.append(time.perf_counter()),
    )
    return (at[-1] - at[-1 - ASKS]) / (ASKS * SIZE) * 1e6


def overhead(histories: tuple[int, ...], large: int) -> dict:
    """Host microseconds per trial over 20 rounds of 100, at given lengths of the history; bayes: 8 points from 500."""
    from hpjax import search
    from hpjax.search.base import Observations

    space = searched()
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

    def measure(made: Any, history: int) -> float:
        state, count = filled(made, history), 0
        started = time.perf_counter()
        for _ in range(ASKS):
            unit, state = made.ask(state, (0, 11, count), SIZE, 20)
            state = made.tell(state, told_of(unit, count))
            count += len(unit)
        return (time.perf_counter() - started) / count * 1e6

    result: dict = {"ours": {}, "whole": {}, "Optuna": {}}
    for name in ("random", "genetic", "differential", "tpe"):
        made = search.SEARCHES[name](dims)
        result["ours"][name] = {
            str(history): measure(made, history) for history in (*histories, large)
        }
        print(name, result["ours"][name], flush=True)
        result["whole"][name] = {str(history): whole(name, history) for history in histories}
        print(name, "whole", result["whole"][name], flush=True)
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
            ("NSGA-II", library.samplers.NSGAIISampler(seed=0)),
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
                while count < ASKS * SIZE and (not count or time.perf_counter() - started < 30):
                    asked = [study.ask(distributions) for _ in range(SIZE)]
                    for trial in asked:
                        study.tell(trial, float(rng.random()))
                    count += SIZE
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


def overhead_rows(found: dict[str, Any]) -> list[list[Any]]:
    """Search, history, microseconds of ask and tell, of a whole study, Optuna's, and how many times these are of either."""
    rows = []
    for name, times in found["ours"].items():
        for history, alone in times.items():
            study = found["whole"][name].get(history)
            peer = found["Optuna"].get(PEERS[name], {}).get(history)
            times_more = [None, None] if peer is None else [peer / alone, peer / study]
            rows.append([name, history, alone, study, peer, *times_more])
    return rows


def judge_overhead(found: dict[str, Any]) -> list[Criterion]:
    """How many times less time an ask and a tell take than Optuna's, and a whole study."""
    judged = []
    for name in found["ours"]:
        rows = [r for r in overhead_rows(found) if r[0] == name and r[4] is not None]
        for column, what in ((5, "ask and tell alone"), (6, "whole study")) if rows else ():
            judged.append(
                Criterion(
                    f"{name}, {what}: host time per trial of Optuna's {PEERS[name]} over ours, the lowest of the histories",
                    min(row[column] for row in rows),
                    50,
                    part="overhead",
                )
            )
    return [
        *judged,
        Criterion(
            "bayes: seconds for 8 points from a history of 500",
            found["bayes"]["seconds for 8 points"],
            1,
            at_least=False,
            part="overhead",
        ),
    ]
