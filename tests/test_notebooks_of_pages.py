"""examples/*.ipynb: as the pages of the documentation say, and every cell runs."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "notebooks.py"
if not SOURCE.exists():
    pytest.skip("the documentation is not beside the tests", allow_module_level=True)
SPEC = importlib.util.spec_from_file_location("notebooks_of_pages", SOURCE)
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


@pytest.mark.parametrize("name", made.PAGES)
def test_a_notebook_is_its_page(name):
    """`python docs/notebooks.py` writes them again."""
    assert (ROOT / "examples" / f"{name}.ipynb").read_text() == made.notebook(made.PAGES[name])


def test_every_notebook_has_a_page():
    assert {path.stem for path in (ROOT / "examples").glob("*.ipynb")} == set(made.PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", made.PAGES)
def test_every_cell_runs(name, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for variable in ("HPJAX_DATA", "XLA_FLAGS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    book = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
    nbformat.validate(book)
    runner = client.NotebookClient(book, timeout=600, resources={"metadata": {"path": tmp_path}})
    runner.execute()
    nbformat.write(book, tmp_path / f"{name}.ipynb")
    outputs = [o for cell in book.cells if cell.cell_type == "code" for o in cell.outputs]
    said = "".join(o.get("text", "") for o in outputs if o.output_type == "stream")
    assert "Traceback" not in said
    assert not re.search(
        r"\x1b\[[0-9;?]*[^0-9;?m]", said
    )  # colours are shown, moves of a cursor are not
    shown = [o for o in outputs if o.output_type in ("execute_result", "display_data")]
    if name in ("comparing", "tables"):
        assert any("text/html" in o.data for o in shown)
