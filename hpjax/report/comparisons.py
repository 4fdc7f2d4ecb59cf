"""Which figures does a comparison have?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpjax import analysis, plots, records
from hpjax.compare import Comparison


def summary(found: Comparison) -> dict:
    """A comparison as plain numbers, from which `comparison` draws: costs [g], values {method: [seeds g]}, the table."""
    table = found.table
    return {
        "label": found.label,
        "seeds": found.seeds,
        "cost": found.cost.tolist(),
        "values": {
            name: [[None if v != v else float(f"{v:.5g}") for v in row] for row in values.tolist()]
            for name, values in found.values.items()
        },
        "table": {
            "columns": list(table.columns),
            "rows": {name: row.tolist() for name, row in zip(table.index, table.to_numpy())},
        },
    }


@plots.house_style()
def comparison(numbers: dict, folder: Path) -> list[Path]:
    """Anytime curves, ranks, critical difference and distributions of a comparison, and CSV files of the plotted points.

    Args:
        numbers: as `summary` gives them.
        folder: the figures go here.

    Returns:
        The PNG files.
    """
    names, seeds, label = list(numbers["values"]), numbers["seeds"], numbers["label"]
    cost = np.array(numbers["cost"])
    values = {
        n: np.array([records.numbers(row, np.nan) for row in rows])
        for n, rows in numbers["values"].items()
    }
    curves = {name: analysis.bands(value) for name, value in values.items()}
    rank = analysis.rank_curves(values)
    figure, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.9)
    plots.anytime(left, cost, curves, "epochs, all trials", label)
    plots.rank_curves(right, cost, rank, "epochs, all trials")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    left.set_title(f"median and quartiles of {len(seeds)} seeds")
    right.set_title(f"{len(names)} methods")
    made = plots.save(figure, folder / "anytime")[:1]
    rows = [
        [n, at, *band, place]
        for n, bands in curves.items()
        for at, band, place in zip(cost, bands.T, rank[n])
    ]
    records.write_csv(
        folder / "anytime.csv",
        ["method", "epochs", "lower quartile", "median", "upper quartile", "mean rank"],
        rows,
    )

    ends = np.stack([value[:, -1] for value in values.values()], 1)
    final = np.nan_to_num(ends, nan=np.inf)
    figure, axes = plots.figure(1, 2, width=plots.WIDE, height=2.5)
    axes[0].set_axis_off()
    if len(names) > 1:
        mean = dict(zip(names, analysis.ranks(final).mean(0)))
        difference = analysis.critical_difference(len(mean), len(seeds))
        plots.critical_difference(
            axes[0], mean, difference, analysis.cliques(np.array(list(mean.values())), difference)
        )
        axes[0].set_title(
            f"mean ranks on this task at {cost[-1]:g} epochs, {len(seeds)} seeds", fontsize=7
        )
    steps = {name: analysis.ecdf(final[:, i]) for i, name in enumerate(names)}
    plots.ecdfs(axes[1], steps, f"{label} at the end")
    figure.legend(
        *axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=min(5, len(names))
    )
    made += plots.save(figure, folder / "ranks")[:1]
    table = numbers["table"]
    records.write_csv(
        folder / "table.csv",
        ["method", *table["columns"]],
        [[name, *row] for name, row in table["rows"].items()],
    )
    records.write_csv(
        folder / "final.csv", ["seed", *names], [[seed, *row] for seed, row in zip(seeds, final)]
    )
    return made
