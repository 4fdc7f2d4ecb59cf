"""Who may import whom, as the map of rooms draws it; and what `import hpjax` must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import hpjax

ROOT = Path(hpjax.__file__).parent
MAY = {
    "api": {"devices", "models", "assemble", "resolve", "result", "study", "population", "space", "schedulers", "records", "tasks", "training", "watching"},
    "compare": {"devices", "models", "api", "analysis", "assemble", "resolve", "search", "population", "result", "study", "space", "schedulers", "records", "tasks", "training", "watching"},
    "confirm": {"api", "devices", "population", "resolve", "result", "schedulers", "training", "watching"},
    "analysis": set(),
    "archives": set(),
    "report": {"hypergrad", "analysis", "plots", "records", "compare", "outcome", "result", "search", "space"},
    "minimize": {"assemble", "resolve", "outcome", "study", "space", "schedulers", "records"},
    "result": {"network", "outcome", "space", "catalogue", "configurations", "models", "records", "tasks", "metrics"},
    "outcome": {"catalogue", "configurations", "records", "schedulers", "space"},
    "network": {"hypergrad", "devices", "resolve", "training", "population", "space", "catalogue", "configurations", "schedulers", "tasks", "plan", "train", "models", "losses", "metrics"},
    "assemble": {"resolve", "models", "training", "study", "population", "space", "search", "schedulers", "records", "tasks"},
    "resolve": {"methods", "models", "study", "space", "catalogue", "search", "schedulers", "tasks", "train"},
    "watching": {"plan", "training"},
    "training": {"models", "records", "slopes", "devices", "study", "population", "space", "catalogue", "configurations", "tasks", "plan", "train"},
    "methods": {"search", "schedulers"},
    "study": {"contracts", "search.base", "schedulers.base", "records"},
    "contracts": {"search.base", "schedulers.base"},
    "slopes": {"devices", "catalogue", "models", "hypergrad", "space", "train"},
    "population": {"devices", "slopes", "schedulers.base", "space", "plan", "train", "catalogue", "configurations", "models", "records"},
    "plan": {"models", "optimizers"},
    "hypergrad": {"configurations", "optimizers", "space", "plan", "devices", "train", "models", "catalogue", "tasks"},
    "train": {"models", "losses", "optimizers", "metrics", "tasks"},
    "configurations": {"catalogue", "models"},
    "catalogue": {"learning_rate_schedules", "losses", "models", "optimizers"},
    "models": {"devices", "losses", "optimizers"},
    "losses": {"models.base"},
    "optimizers": {"models.base", "learning_rate_schedules"},
    "learning_rate_schedules": {"models.base"},
    "space": {"search.base"},
    "search": {"search.base"},
    "schedulers": {"schedulers.base", "search.base"},
    "devices": set(),
    "search.base": set(),
    "tasks": {"archives"},
    "records": {"archives"},
    "metrics": set(),
    "plots": set(),
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


def test_every_import_is_drawn_on_the_map():
    wrong = []
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        room = name.split(".")[0]
        if room in FREE:
            continue
        allowed = MAY[name] if name in MAY else MAY[room]
        for other in imports(path):
            own = other.split(".")[0] == room  # a room may know itself
            if not own and other not in allowed and other.split(".")[0] not in allowed:
                wrong.append(f"{name} -> {other}")
    assert not wrong


def drawn() -> str:
    """The map of imports as hpjax/README.md has it."""
    width = max(map(len, MAY))
    lines = [f"{', '.join(sorted(FREE)):{width}} -> anything"]
    for room in sorted(MAY, key=lambda room: (-len(MAY[room]), room)):
        lines.append(f"{room:{width}} -> {', '.join(sorted(MAY[room])) or 'nothing'}")
    return "\n".join(lines)


def test_the_map_in_the_readme_is_the_one_that_is_tested():
    """`python tests/test_architecture.py` writes it there."""
    assert drawn() in (ROOT / "README.md").read_text()


def test_import_loads_nothing_heavy():
    code = "import sys, hpjax; print([m for m in ('sklearn', 'matplotlib', 'pandas', 'scipy.stats', 'tyro') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_long_files_say_why():
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        if len(text.splitlines()) > 300:
            assert "This file is long because" in text, path.name


if __name__ == "__main__":
    path = ROOT / "README.md"
    before, rest = path.read_text().split("```\n", 1)
    _, after = rest.split("```\n", 1)
    path.write_text(f"{before}```\n{drawn()}\n```\n{after}")
