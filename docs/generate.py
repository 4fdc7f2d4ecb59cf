"""Pages of the site that are made: the reference of every public name, of every hyperparameter, the gallery, the claims."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# page -> what it is about, and where its names are: "module: name name", or "module: *" for all that it exports
REFERENCE = {
    "studies": ("Searching", ["hpjax: tune resume open_run explain minimize open_outcome Result Outcome Stop Validation RunError"]),
    "comparing": ("Comparing and confirming", ["hpjax: compare resume_comparison open_comparison Comparison confirm Confirmation"]),
    "training": ("Training without a search", ["hpjax: train Trained fit Network load Ensemble Population"]),
    "estimators": ("Estimators of scikit-learn", ["hpjax: MLPClassifierCV MLPRegressorCV"]),
    "spaces": ("Spaces", ["hpjax: Space Choice Uniform LogUniform IntUniform LogIntUniform", "hpjax.space: When"]),
    "tasks": ("Tasks", ["hpjax: Task TaskError", "hpjax.tasks: load read Split splits all_of validated_on is_splitter splitter_name wants_groups KINDS NAMES"]),
    "models": ("Networks of your own", ["hpjax: Model Number Metric", "hpjax.models: linen nnx equinox Family Spec Functions Batch Size Place MLP"]),
    "searches": ("Searches", ["hpjax.search: *"]),
    "schedulers": ("Schedulers", ["hpjax.schedulers: *"]),
    "hypergradients": ("Hypergradients", ["hpjax.hypergrad: *"]),
    "machines": ("Several machines", ["hpjax: Cluster"]),
    "tools": ("Reports and other tools", [
        "hpjax.report: *",
        "hpjax.integrations.optuna_studies: write_journal start_from distributions",
        "hpjax.integrations.tensorboard: write follow",
        "hpjax.integrations.mlflow_runs: write follow",
        "hpjax.integrations.wandb_runs: write follow",
        "hpjax.integrations.following: Follower Tracker Study Trial",
    ]),
    "figures": ("Figures on given axes", ["hpjax.plots: *"]),
    "analysis": ("Statistics of studies", ["hpjax.analysis: *"]),
}  # fmt: skip


def everything(docs: Path) -> None:
    """Writes all of them below `generated/`; a page that would be the same is left alone, so that it is not read again."""
    pages = {"reference/index.rst": reference_index(), "hyperparameters.md": hyperparameters()}
    pages |= {f"reference/{name}.rst": reference(name) for name in REFERENCE}
    pages |= {"gallery.md": gallery(), "claims.md": claims(), "rooms.md": rooms()}
    for name, text in pages.items():
        path = docs / "generated" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


# --- names ------------------------------------------------------------------------------------------------------------
def names_of(entry: str) -> list[tuple[str, str]]:
    """(module, name) of an entry of `REFERENCE`."""
    module, names = entry.split(": ")
    if names == "*":
        loaded = importlib.import_module(module)
        exported = getattr(loaded, "__all__", None) or [
            name
            for name, value in vars(loaded).items()
            if getattr(value, "__module__", "") == module and not name.startswith("_")
        ]
        return [(module, name) for name in exported]
    return [(module, name) for name in names.split()]


def reference(page: str) -> str:
    """A page of the reference."""
    title, entries = REFERENCE[page]
    lines = [title, "=" * len(title), ""]
    for entry in entries:
        for module, name in names_of(entry):
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value):
                lines += [f".. autoclass:: {module}.{name}", "   :members:", ""]
            elif inspect.isroutine(value):
                lines += [f".. autofunction:: {module}.{name}", ""]
            else:
                lines += [f".. py:data:: {module}.{name}", "", f"   {_constant(value)}", ""]
    return "\n".join(lines)


def _constant(value: object) -> str:
    """A constant in words."""
    if isinstance(value, (tuple, dict)):
        return "One of " + ", ".join(f"``{word}``" for word in value) + "."
    if isinstance(value, (bool, int, float, str)):
        return f"``{value!r}``"
    return f"A ``{type(value).__name__}``."


def reference_index() -> str:
    """The list of the reference's pages."""
    title = "Reference"
    toc = "\n   ".join(REFERENCE)
    return f"{title}\n{'=' * len(title)}\n\nEvery public name.\n\n.. toctree::\n   :maxdepth: 1\n\n   {toc}\n"


# --- hyperparameters --------------------------------------------------------------------------------------------------
def hyperparameters() -> str:
    """A table of every hyperparameter."""
    from hpjax import catalogue

    text = "# Hyperparameters\n\nWhat a space may name. A *structural* one changes a compiled program (one program per value), a *traced* one is a number inside it (a new value never compiles; population-based training moves it, hypergradients go through it). `hpjax hyperparameters NAME` prints the same.\n"
    for of, title in (("training", "Of training"), ("mlp", "Of multilayer perceptrons")):
        for kind in ("structural", "traced"):
            text += (
                f"\n## {title}, {kind}\n\n| name | default | values | what |\n|---|---|---|---|\n"
            )
            for row in catalogue.described():
                if (row.of, row.kind) == (of, kind):
                    layers = {"weights": "weight layer", "hidden": "hidden layer"}.get(row.per)
                    more = [f"one number, or one per {layers}"] if layers else []
                    more += [f"acts with {row.needs}"] if row.needs else []
                    more += (
                        [f"others call it {', '.join(row.other_names)}"] if row.other_names else []
                    )
                    about = "; ".join([row.about, *more]).replace("|", "\\|")
                    default = "" if row.default is None else f"`{row.default}`"
                    text += f"| `{row.name}` | {default} | {row.values} | {about} |\n"
    return text


# --- results ----------------------------------------------------------------------------------------------------------
def gallery() -> str:
    """Every experiment with its figures, what it shows and how it is run."""
    text = "# Gallery of experiments\n\nEach was computed by the command beside it; what was claimed of it, and what was missed, is in the [claims](claims.md).\n"
    for path in sorted((ROOT / "experiments").glob("[a-z]*.py")):
        figures = sorted((ROOT / "results" / path.stem).glob("*.png"))
        if not figures:
            continue
        about = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]
        text += f"\n## {path.stem}\n\n{' '.join(about.split())}\n\n`python -m experiments.{path.stem}`\n\n"
        for figure in figures:
            where = f"../../results/{path.stem}/{figure.name}"
            text += f"![{path.stem}: {figure.stem}]({where})\n\n"
    return text


def claims() -> str:
    """results/README.md; files that the site does not have are named instead of linked."""
    return _linked((ROOT / "results" / "README.md").read_text(), "results")


def rooms() -> str:
    """hpjax/README.md, the map of the package."""
    return _linked((ROOT / "hpjax" / "README.md").read_text(), "hpjax")


def _linked(text: str, folder: str) -> str:
    """Links to files: those of figures lead to the gallery's copies, others become names of files."""

    def one(match: re.Match) -> str:
        mark, words, where = match.groups()
        if where.startswith(("http", "#")):
            return match.group()
        path = f"{folder}/{where}"
        if mark:
            return f"![{words}](../../{path})"
        if where.endswith(".png"):
            return f"[{words}](gallery.md#{where.split('/')[0].replace('_', '-')})"
        return f"{words} (`{path}`)" if words != where else f"`{path}`"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)]+)\)", one, text)
