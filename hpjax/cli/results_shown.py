"""What is said at the end of a command that trains, and by `hpjax show`: the best trials, test metrics, a comparison's table."""

from __future__ import annotations

import sys
from typing import Any

from hpjax.cli.console import Output, fitted, table_of
from hpjax.defaults import SHOWN

RANK = {
    "OK": 0,
    "RUNNING": 1,
    "PRUNED": 1,
    "INFEASIBLE": 2,
    "NEW": 2,
    "DIVERGED": 3,
    "FAILED": 3,
}


def study_ended(result: Any, output: Output) -> int:
    """The end of a study: top trials, test metrics, and where the files are."""
    from hpjax import report as figures

    study_shown(result, output)
    if result.best["trial"] is None:
        output.show(result.why_none)
        return 1
    if len(result.task.test):
        network = result.refit()
        output.show(
            f"best trial {result.best['trial']}, trained again on all {len(result.task.development)} development examples"
        )
        test_shown(result, result.test(network), output)
    if result.folder is None:
        return 0
    again = f"again: hpjax show {result.folder}"
    try:
        drawn = figures.overview(result, result.folder / "figure")
    except OSError as fault:
        print(
            f"hpjax: the study is whole in {result.folder}, but its figure could not be drawn: {fault.strerror}; {again}",
            file=sys.stderr,
        )
        return 2
    output.show(f"files: {result.folder} (ledger.jsonl, curves.bin, {drawn[0].name}); {again}")
    return 0


def study_shown(result: Any, output: Output, top: int = SHOWN) -> None:
    """The best trials of a study as a table."""
    trials, counts = _best_of(result, top)
    minimised, main = result.settings.minimised, result.settings.judged_by
    rest = [name for name in ("loss", "error", *result.metrics) if name != main]
    columns = [main, *rest, "epochs", "status", *result.space.names, "parameters", "seconds"]
    # a space may search what the table says, too, such as epochs
    best = trials[list(dict.fromkeys(columns))]
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    shown, notes = fitted(best, output.width, ["seconds", "parameters", *reversed(rest)])
    title = f"{result.name}: best of {len(result.trials)} trials by validation {minimised} ({said})"
    output.show(table_of(shown, notes, title))
    output.note(run=result.folder, name=result.name, objective=minimised)
    _note(result, best, counts, output)


def outcome_shown(outcome: Any, output: Output, top: int = SHOWN) -> None:
    """The best trials of a study of a function as a table."""
    trials, counts = _best_of(outcome, top)
    columns = [*outcome.objectives, *outcome.space.names, *outcome.columns]
    best = trials[list(dict.fromkeys(columns))]
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    title = f"{outcome.folder.name}: best of {len(outcome.trials)} trials by {', '.join(outcome.objectives)} ({said})"
    output.show(table_of(*fitted(best, output.width, []), title=title))
    output.note(run=outcome.folder, name=outcome.folder.name)
    _note(outcome, best, counts, output)


def _note(result: Any, best: Any, counts: dict[str, int], output: Output) -> None:
    """For programs: what is known of any study."""
    output.note(
        best=result.best,
        trials=best,
        counts=counts,
        stopped=result.stopped,
        seed=result.settings.seed,
    )


def _best_of(result: Any, top: int) -> tuple[Any, dict[str, int]]:
    """The best rows of the table of trials, and how many trials there are of each status."""
    trials = result.trials
    order = trials.assign(rank=trials["status"].map(RANK))
    order = order.sort_values(["rank", "objective"], kind="stable").index[:top]
    return trials.loc[order].rename_axis("trial"), dict(trials["status"].value_counts())


def comparison_shown(comparison: Any, output: Output) -> int:
    """The table of a comparison, and where the files are."""
    from hpjax import report as figures

    title = f"{comparison.studies[comparison.names[0]][0].name}: {comparison.label} at {comparison.budget:g} epochs, {len(comparison.seeds)} seeds"
    table = comparison.table.sort_values("mean rank", kind="stable").rename_axis("method")
    output.show(
        table_of(*fitted(table, output.width, ["lower quartile", "upper quartile"]), title=title)
    )
    output.note(
        run=comparison.folder,
        objective=comparison.label
        if len(comparison.objectives) > 1
        else comparison.settings.minimised,
        budget=comparison.budget,
        seeds=comparison.seeds,
        methods=table,
    )
    if comparison.folder is not None:
        drawn = figures.comparison(figures.summary(comparison), comparison.folder)
        output.show(
            f"files: {comparison.folder} ({', '.join(path.name for path in drawn)}, table.csv, final.csv); again: hpjax show {comparison.folder}"
        )
    return 0


def test_shown(result: Any, metrics: dict[str, float], output: Output) -> None:
    """Test metrics in a line."""
    named = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    output.show(f"test ({len(result.task.test)} examples): {named}")
    output.note(test=metrics)
