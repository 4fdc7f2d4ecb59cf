"""Counting Ones with fidelities: regret of searches and methods over epochs (Falkner, Klein & Hutter 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments._experiment import Criterion, Sheet
from experiments._objectives import counting_ones
from experiments._races import GRID


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
            figure="counting",
            part="counting",
        )
        for name in ("bohb", "dehb")
    ]
