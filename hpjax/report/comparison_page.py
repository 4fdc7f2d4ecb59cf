"""What does the page of a comparison show? Its methods over cost, as plain numbers for `page/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax import analysis
from hpjax.comparison import Comparison
from hpjax.report.study_page import environment_facts, limits_of, rounded, title_of

if TYPE_CHECKING:
    import pandas


def comparison_page(result: Comparison) -> dict[str, Any]:
    """A comparison as plain numbers."""
    one = len(result.objectives) == 1
    sign = result.settings.sign if one else 1.0
    table, several = _table(result, sign), len(result.names) > 1
    difference = (
        analysis.critical_difference(len(result.names), len(result.seeds)) if several else None
    )
    first = result.studies[result.names[0]][0]
    return {
        "kind": "comparison",
        "title": f"{title_of(first)}: {len(result.names)} methods",
        "label": f"best validation {result.settings.judged_by}" if one else result.label,
        "greater": sign < 0,
        "asked": _asked(result),
        "found": _found(result, sign),
        "seeds": result.seeds,
        "cost": rounded(result.cost),
        "methods": [_method(result, name, sign) for name in result.names],
        "table": {
            "columns": list(table.columns),
            "rows": [
                [name, *rounded(row)] for name, row in zip(table.index, table.to_numpy(float))
            ],
        },
        "difference": difference,
        "alike": _alike(result, difference) if difference is not None else [],
        "facts": environment_facts(result.folder) if result.folder is not None else [],
    }


def _table(result: Comparison, sign: float) -> pandas.DataFrame:
    """The table of methods, metrics that should be large as they are."""
    table = result.table.copy()
    if sign < 0:
        quartiles = ["lower quartile", "median", "upper quartile"]
        table[quartiles] = -table[quartiles[::-1]].to_numpy()
    return table


def _asked(result: Comparison) -> str:
    settings = result.settings
    return f"{', '.join(result.names)}, on {len(result.seeds)} seeds each; a study may cost {limits_of(settings.stop) or 'what its method asks'}. Compared by: {result.label}."


def _found(result: Comparison, sign: float) -> str:
    order = result.table.sort_values("mean rank", kind="stable")
    best, last = order.index[0], order.index[-1]
    value = sign * order["median"].iloc[0]
    text = f"Lowest mean rank: {best} ({order['mean rank'].iloc[0]:.2f}), median {value:.4g}"
    return (
        f"{text}; highest: {last} ({order['mean rank'].iloc[-1]:.2f})."
        if best != last
        else f"{text}."
    )


def _method(result: Comparison, name: str, sign: float) -> dict[str, Any]:
    """One method: median, quartiles and mean rank at each cost, and where each seed ended."""
    lower, middle, upper = analysis.bands(result.values[name])
    return {
        "name": name,
        "median": rounded(sign * middle),
        "lower": rounded(sign * (lower if sign > 0 else upper)),
        "upper": rounded(sign * (upper if sign > 0 else lower)),
        "rank": rounded(result.ranks[name]),
        "final": rounded(sign * result.final[:, result.names.index(name)]),
    }


def _alike(result: Comparison, difference: float) -> list[list[str]]:
    """Groups of methods whose mean ranks cannot be told apart."""
    mean = analysis.ranks(result.final).mean(0)
    order = np.argsort(mean, kind="stable")
    names = [result.names[i] for i in order]
    return [names[first : last + 1] for first, last in analysis.cliques(mean, difference)]
