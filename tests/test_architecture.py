"""Who may import whom, as the map of rooms draws it; and what `import hpjax` must not load."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hpjax

ROOT = Path(hpjax.__file__).parent
MAP = Path(__file__).parents[1] / "docs" / "imports.md"
COMES_WITH = {  # the package to declare for a module of another name
    "IPython": "ipykernel",
    "cloudpickle": "distributed",
    "dask": "distributed",
    "jaxlib": "jax",
    "joblib": "scikit-learn",
    "mlflow": "mlflow-skinny",
    "psutil": "distributed",
    "sklearn": "scikit-learn",
}
MAY = {
    "tune": {"assemble", "cluster", "defaults", "messages", "population", "records", "resolve", "result", "schedulers", "settings", "space", "study", "tasks", "watching"},
    "resume": {"assemble", "cluster", "user_objects", "messages", "models", "outcome", "records", "resolve", "result", "schedulers", "settings", "space", "tasks", "tune", "watching", "workload"},
    "user_objects": {"evaluation", "models", "records", "resolve", "settings", "tasks", "training.losses", "training.metrics", "training.named_metrics"},
    "compare": {"assemble", "cluster", "compared_studies", "comparison", "defaults", "evaluation", "user_objects", "messages", "records", "resume", "resolve", "result", "schedulers", "search", "settings", "space", "tasks"},
    "compared_studies": {"assemble", "cluster", "defaults", "evaluation", "population", "records", "schedulers", "space", "study", "tasks", "watching", "workload"},
    "comparison": {"analysis", "fronts", "notebooks", "records", "result", "schedulers"},
    "confirm": {"defaults", "evaluation", "messages", "resume", "resolve", "result", "train", "trained", "workload"},
    "analysis": set(),
    "archives": set(),
    "defaults": set(),
    "report": {"analysis", "compare", "comparison", "configurations", "files", "fronts", "hypergrad", "messages", "models", "outcome", "plots", "population", "records", "resume", "result", "search", "settings", "space", "training"},
    "minimize": {"assemble", "cluster", "defaults", "messages", "outcome", "records", "resolve", "schedulers", "settings", "space", "study"},
    "result": {"catalogue", "configurations", "defaults", "ensemble", "evaluation", "fit", "curve_columns", "messages", "models", "network", "outcome", "population", "records", "resolve", "settings", "space", "tasks", "train", "training"},
    "ensemble": {"archives", "evaluation", "files", "models", "network", "population", "tasks", "training"},
    "fit": {"devices", "evaluation", "hypergrad", "models", "network", "resolve", "settings", "space", "tasks", "train", "training"},
    "trained": {"configurations", "curve_columns", "network", "notebooks", "population", "training", "workload"},
    "outcome": {"configurations", "fronts", "defaults", "notebooks", "records", "schedulers", "settings", "space"},
    "network": {"catalogue", "files", "models", "notebooks", "tasks", "training"},
    "assemble": {"cluster", "defaults", "evaluation", "population", "randomness", "records", "resolve", "schedulers", "search", "settings", "space", "study", "tasks", "workload"},
    "resolve": {"checks", "catalogue", "defaults", "evaluation", "methods", "models", "schedulers", "search", "settings", "space", "tasks", "training"},
    "train": {"catalogue", "checks", "cluster", "defaults", "evaluation", "curve_columns", "messages", "population", "resolve", "schedulers", "space", "tasks", "trained", "watching", "workload"},
    "estimators": {"checks", "defaults", "ensemble", "models", "network", "resolve", "schedulers", "space", "tasks", "training.named_metrics", "tune"},
    "watching": {"cluster", "notebooks", "population", "workload"},
    "methods": {"schedulers", "search"},
    "study": {"defaults", "randomness", "records", "schedulers.base", "search.base", "settings"},
    "population": {"catalogue", "configurations", "devices", "files", "hypergrad", "curve_columns", "messages", "models", "processor", "program_cache", "records", "schedulers.base", "space", "training"},
    "hypergrad": {"catalogue", "checks", "configurations", "defaults", "devices", "files", "models", "randomness", "space", "tasks", "training"},
    "configurations": {"catalogue", "models", "space", "training.hyperparameters", "training.losses"},
    "catalogue": {"models", "training.hyperparameters", "training.losses"},
    "models": {"defaults", "devices", "randomness", "training.losses", "training.optimizers"},
    "space": {"search.base"},
    "search": {"checks", "defaults", "fronts", "randomness", "search.base"},
    "fronts": set(),
    "schedulers": {"checks", "defaults", "fronts", "randomness", "schedulers.base", "search.base"},
    "curve_columns": set(),
    "checks": set(),
    "devices": {"messages", "processor", "program_cache"},
    "program_cache": {"processor"},
    "processor": set(),
    "messages": set(),
    "randomness": set(),
    "search.base": {"randomness"},
    "tasks": {"archives", "defaults", "notebooks"},
    "evaluation": {"models", "settings", "training.metrics"},
    "settings": {"files"},
    "files": set(),
    "records": {"archives", "devices", "files", "curve_columns", "messages", "settings"},
    "plots": set(),
    "cluster": {"devices", "files", "messages", "population", "processor", "program_cache", "records", "schedulers.base"},
    "workload": {"catalogue", "cluster", "configurations", "devices", "evaluation", "curve_columns", "models", "population", "records", "space", "study", "tasks", "training"},
    "training": {"checks", "curve_columns", "messages", "models", "randomness", "tasks"},
    "training.hyperparameters": {"defaults", "models.base", "training.learning_rate_schedules", "training.losses", "training.optimizers", "training.targets"},
    "training.losses": {"models.base"},
    "training.targets": set(),
    "training.optimizers": {"models.base"},
    "training.learning_rate_schedules": {"models.base"},
    "training.metrics": set(),
    "notebooks": set(),
    "integrations": {"checks", "configurations", "messages", "outcome", "records", "resume", "result", "settings", "space"},
}  # fmt: skip
FREE = {"cli", "__init__", "__main__"}


def imports(path: Path) -> set[str]:
    """The hpjax modules that a file imports, as dotted names below hpjax."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == "hpjax"
        ):
            inner = node.module.split(".")[1:]
            found |= {".".join(inner)} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name[6:] for alias in node.names if alias.name.startswith("hpjax.")}
    return found


def rooms() -> dict[str, set[str]]:
    """What each room of the map imports from others."""
    found = {room: set() for room in MAY}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.split(".")[0] not in FREE:
            room = name if name in MAY else name.split(".")[0]
            found[room] |= {o for o in imports(path) if o.split(".")[0] != name.split(".")[0]}
    return found


def covers(allowed: str, imported: str) -> bool:
    """Whether an entry of the map is what is imported, or a room around it."""
    return f"{imported}.".startswith(f"{allowed}.")


def test_every_import_is_drawn_on_the_map():
    wrong, idle = [], []
    for room, found in rooms().items():
        own = {one for one in MAY[room] if one.split(".")[0] == room.split(".")[0]}
        wrong += [f"{room} -> {o}" for o in found if not any(covers(may, o) for may in MAY[room])]
        idle += [
            f"{room} -> {may}" for may in MAY[room] - own if not any(covers(may, o) for o in found)
        ]
    assert wrong == []
    assert idle == []


def drawn() -> str:
    """The map of imports as docs/imports.md has it."""
    width = max(map(len, MAY))
    lines = [f"{', '.join(sorted(FREE)):{width}} -> anything"]
    for room in sorted(MAY, key=lambda room: (-len(MAY[room]), room)):
        lines.append(f"{room:{width}} -> {', '.join(sorted(MAY[room])) or 'nothing'}")
    return "\n".join(lines)


@pytest.mark.skipif(not MAP.exists(), reason="runs in a checkout, which has the docs")
def test_the_map_that_is_drawn_is_the_one_that_is_tested():
    """`python tests/test_architecture.py` writes it there."""
    assert drawn() in MAP.read_text()


def test_every_room_is_on_the_map():
    """hpjax/README.md names every module and package."""
    text = (ROOT / "README.md").read_text()
    rooms = [p.name for p in ROOT.glob("*.py") if not p.name.startswith("__")]
    rooms += [f"{p.parent.name}/" for p in ROOT.glob("*/__init__.py")]
    assert [room for room in rooms if f"`{room}`" not in text] == []


def test_every_package_that_is_imported_is_declared():
    """What only some machine has installed, the type checker knows nothing of elsewhere."""
    project = tomllib.loads((MAP.parents[1] / "pyproject.toml").read_text())
    described = project["project"]
    wanted = described["dependencies"] + described["optional-dependencies"]["test"]
    declared = {re.split("[>=]", one)[0] for one in wanted} | {"hpjax", "experiments"}
    declared |= set(project["tool"]["pyrefly"]["ignore-missing-imports"])
    found = set()
    for path in [*ROOT.rglob("*.py"), *(MAP.parents[1] / "experiments").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    found -= sys.stdlib_module_names
    assert {name for name in found if COMES_WITH.get(name, name) not in declared} == set()


def test_import_loads_nothing_heavy():
    code = "import sys, hpjax; print([m for m in ('sklearn', 'matplotlib', 'pandas', 'scipy.stats', 'tyro') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LONGEST_FUNCTION = 60  # lines
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.mark.parametrize(("folder", "longest"), [(ROOT, 520), (EXPERIMENTS, 565)])
def test_files_are_short(folder, longest):
    if not folder.exists():
        pytest.skip("experiments are no part of the built package")
    long = [p.name for p in folder.rglob("*.py") if len(p.read_text().splitlines()) > longest]
    assert not long


def own_lines(function: ast.FunctionDef) -> int:
    """Lines of a function's body, without its docstring and the functions within it."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    inner, waiting = 0, list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef):
            inner += node.end_lineno - node.lineno + 1
        else:
            waiting += ast.iter_child_nodes(node)
    return body[-1].end_lineno - body[0].lineno + 1 - inner


def test_functions_fit_on_a_screen():
    """A factory may hold several functions; each of them, and what it says itself, fits."""
    long = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and own_lines(node) > LONGEST_FUNCTION:
                long.append(f"{path.name}: {node.name} has {own_lines(node)} lines")
    assert not long


def name_of(node: ast.expr) -> str | None:
    """The last part of a name that is read."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def uses(folders: list[Path]) -> tuple[dict[str, list], set[str]]:
    """By the name of a function, its calls (positional arguments, names of others, whether some are unpacked); names that are read otherwise."""
    calls, values = {}, set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        for node in nodes:
            if isinstance(node, ast.Call) and name_of(node.func) is not None:
                named = {argument.arg for argument in node.keywords}
                unpacked = None in named or any(isinstance(a, ast.Starred) for a in node.args)
                calls.setdefault(name_of(node.func), []).append((len(node.args), named, unpacked))
            elif isinstance(node, ast.expr) and id(node) not in called:
                values.add(name_of(node))
    return calls, values


@pytest.mark.skipif(not MAP.exists(), reason="runs in a checkout, which has the experiments")
def test_every_option_is_used():
    """An argument with a default that nobody gives is a constant. Of functions for users this cannot be known."""
    calls, values = uses([MAP.parents[1] / name for name in ("hpjax", "experiments", "tests")])
    unused = []
    for path in ROOT.rglob("*.py"):
        for function in ast.parse(path.read_text()).body:
            if not isinstance(function, ast.FunctionDef) or path.name == "analysis.py":
                continue
            if function.name in values or function.name in hpjax.__all__:
                continue
            own, asked = function.args, calls.get(function.name, [])
            before = [*own.posonlyargs, *own.args]
            first = len(before) - len(own.defaults)
            for place, argument in enumerate(before[first:], first):
                if not any(n > place or argument.arg in named or star for n, named, star in asked):
                    unused.append(f"{path.name}: {function.name}({argument.arg}=)")
            for argument, default in zip(own.kwonlyargs, own.kw_defaults):
                if default and not any(argument.arg in named or star for _, named, star in asked):
                    unused.append(f"{path.name}: {function.name}({argument.arg}=)")
    assert unused == []


if __name__ == "__main__":
    before, rest = MAP.read_text().split("```text\n", 1)
    _, after = rest.split("```\n", 1)
    MAP.write_text(f"{before}```text\n{drawn()}\n```\n{after}")
