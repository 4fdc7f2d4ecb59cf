"""The commands that read: `show`, `report`, `watch`, `export`, `tasks`, `hyperparameters`; and `cache`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpjax import checks
from hpjax.cli.console import Output, table_of
from hpjax.cli.flags import Cache, Export, Hyperparameters, Report, Show, Watch
from hpjax.cli.results_shown import comparison_shown, outcome_shown, study_shown

if TYPE_CHECKING:
    from hpjax import Outcome, catalogue

KINDS = {"structural": "one compiled program per value", "traced": "a new value never compiles"}


def show(options: Show, output: Output) -> int:
    """Runs `hpjax show`."""
    import hpjax
    from hpjax import report as figures

    checks.count("--top", options.top)
    if (options.run / "compare.json").exists():
        return comparison_shown(hpjax.open_comparison(options.run), output)
    result = _opened(options.run)
    if isinstance(result, hpjax.Result):
        study_shown(result, output, options.top)
    else:
        outcome_shown(result, output, options.top)
    output.show(
        f"ended: {result.stopped}; seed {result.settings.seed}, space {result.settings.space_hash}"
    )
    if len(result.trials) and isinstance(result, hpjax.Result):
        drawn = (
            figures.figures(result, options.run)
            if options.all
            else figures.overview(result, options.run / "figure")[:1]
        )
        output.show("figures: " + ", ".join(map(str, drawn)))
        output.note(figures=drawn)
    return 0


def _opened(run: Path) -> Outcome:
    """What a run folder holds: a study of networks (a Result), or of a function."""
    import hpjax
    from hpjax.settings import read_run

    path = run / "run.json"
    of_function = path.exists() and read_run(path).networks is None
    return hpjax.open_outcome(run) if of_function else hpjax.open_run(run)


def report(options: Report, output: Output) -> int:
    """Runs `hpjax report`."""
    import hpjax
    from hpjax.report import write_page

    several = (options.run / "compare.json").exists()
    opened = hpjax.open_comparison(options.run) if several else hpjax.open_run(options.run)
    path = write_page(opened, options.out or options.run / "report.html", options.refit)
    output.note(written=path)
    output.show(f"written: {path} ({path.stat().st_size / 1e6:.2f} MB); open it in any browser")
    return 0


def watch(options: Watch, output: Output) -> int:
    """Runs `hpjax watch`."""
    from hpjax.report.live import Live, opened, server

    checks.count("port", options.port, 0, 65535)
    opened(options.run)  # refuses a folder without a run
    with server(Live(options.run), options.host, options.port, options.public) as page:
        host, port = page.server_address[:2]
        output.show(f"{options.run} at http://{host}:{port}/ until interrupted")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            page.serve_forever()
    return 0


def export(options: Export, output: Output) -> int:
    """Runs `hpjax export`."""
    import hpjax
    from hpjax.integrations import mlflow_runs, optuna_studies, tensorboard, wandb_runs

    project = options.project
    # where to, how, and what shows it
    asked: dict[str, tuple[Any, Callable[..., int], str]] = {
        "optuna": (options.optuna, optuna_studies.write_journal, "optuna-dashboard {}"),
        "tensorboard": (options.tensorboard, tensorboard.write, "tensorboard --logdir {}"),
        "mlflow": (
            options.mlflow,
            lambda run, uri: mlflow_runs.write(run, uri, project),
            "mlflow ui --backend-store-uri {}",
        ),
        "wandb": (
            options.wandb,
            lambda run, folder: wandb_runs.write(run, project, folder),
            "wandb sync {}/wandb/offline-run-*",
        ),
        "trackio": (
            "Trackio's folder" if options.trackio else None,
            lambda run, _: wandb_runs.write(run, project, library="trackio"),
            f"trackio show --project {project}",
        ),
    }
    wanted = {name: row for name, row in asked.items() if row[0] is not None}
    if not wanted:
        raise ValueError(f"say where to: --{', --'.join(asked)}")
    run, written = _opened(options.run), {}
    if not isinstance(run, hpjax.Result) and wanted.keys() != {"optuna"}:
        raise ValueError(
            f"{options.run} is a run of hpjax.minimize, without learning curves; only --optuna takes it"
        )
    for name, (where, write, shown) in wanted.items():
        count = write(run, where)
        written[name] = {"where": where, "trials": count}
        output.show(f"written: {count} trials to {where}; {shown.format(where)}")
    output.note(written=written)
    return 0


def cache(options: Cache, output: Output) -> int:
    """Runs `hpjax cache`."""
    import pandas

    from hpjax import program_cache

    if options.clear:
        dropped = program_cache.clear()
        output.note(dropped=dropped)
        output.show(f"{dropped} programs dropped")
    above, here = program_cache.root(), program_cache.kind()
    rows = [
        {
            "kind of machine": kept.folder.name,
            "this one": "yes" if kept.folder.name == here else "no",
            "programs": len(kept.files),
            "MB": round(kept.bytes / 1e6, 2),
        }
        for kept in program_cache.everything()
    ]
    output.note(folder=above, limit=program_cache.LIMIT, kinds=rows)
    if above is None:
        output.show(f"compiled programs are not kept: {program_cache.SWITCH}={program_cache.OFF}")
    elif rows:
        output.show(table_of(pandas.DataFrame(rows), f"in {above}", "compiled programs"))
    else:
        output.show(f"no compiled programs in {above}")
    return 0


def tasks(output: Output) -> int:
    """Runs `hpjax tasks`."""
    import pandas

    from hpjax.tasks.named import NAMES, STORED

    needs = "needs --data DIR or HPJAX_DATA"
    rows = [{"name": name, "what": about, "stored": False} for name, (_, about) in NAMES.items()]
    rows += [
        {"name": name, "what": f"{about} ({needs})", "stored": True}
        for name, (_, about) in STORED.items()
    ]
    output.answer = rows
    output.show(table_of(pandas.DataFrame(rows)[["name", "what"]], "", "tasks", justify="left"))
    output.show(
        "or a file: .csv, .tsv, .npz, .arff, .parquet, idx(.gz); --target names the column to predict"
    )
    return 0


def hyperparameters(options: Hyperparameters, output: Output) -> int:
    """Runs `hpjax hyperparameters`."""
    import pandas

    from hpjax import catalogue
    from hpjax.models import MLP

    rows = catalogue.described()
    if options.name is not None:
        name = catalogue.ALIASES.get(options.name, options.name)
        name = catalogue.base(catalogue.known(name, MLP), MLP)
        rows = [row for row in rows if row.name == name]
    output.answer = [row._asdict() for row in rows]
    if options.name is not None:
        output.show(_in_words(rows[0]))
        return 0
    named = [
        {"name": r.name, "default": r.default, "values": r.values, "what": r.about} for r in rows
    ]
    output.show(table_of(pandas.DataFrame(named), "", "hyperparameters", justify="left"))
    return 0


def _in_words(row: catalogue.Described) -> str:
    """All that is known of a hyperparameter, in lines."""
    layer = {"weights": ", or one per weight layer", "hidden": ", or one per hidden layer"}
    lines = [
        f"{row.name}: {row.about}",
        f"  default     {row.default}",
        f"  values      {row.values}{layer.get(row.per or '', '')}",
        f"  kind        {row.kind}: {KINDS[row.kind]}",
        f"  of          {row.of}",
    ]
    lines += [f"  acts with   {row.needs}"] if row.needs else []
    lines += [f"  others say {', '.join(row.other_names)}"] if row.other_names else []
    return "\n".join(lines)
