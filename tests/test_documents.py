"""Everything written down is run: each block of README, in its order, as it stands, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```([\w{}-]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a default run leaves to `-m slow`, by what its commands begin with: they train for more than a few seconds.
LONG = (
    "hpjax tune d",
    "hpjax compare",
    "hpjax confirm",
    "hpjax ensemble",
    "hpjax resume",
    "hpjax show",
    "hpjax report",
)
INSTALLS = ("pip install",)  # .ci/run types these, in a fresh environment


def blocks(document: str) -> list[tuple[str, str]]:
    """The fenced blocks of a document: (language, text)."""
    path = ROOT / document
    if not path.exists():
        pytest.skip(f"{document} is not beside the tests; run them in a checkout")
    return BLOCK.findall(path.read_text())


def commands(document: str) -> list[str]:
    """Every line of the shell blocks, in order."""
    return [line for kind, text in blocks(document) if kind == "" for line in text.splitlines()]


def environment() -> dict[str, str]:
    """That of a user whose shell finds this Python's commands: XLA optimises, as `conftest` does not."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = ("HPJAX_DATA", "XLA_FLAGS")
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PATH": path}


def shell(line: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def files_of(document: str, folder: Path) -> None:
    """Writes the files that a document shows: its space as TOML."""
    for kind, text in blocks(document):
        if kind == "toml":
            (folder / "space.toml").write_text(text)


def python(texts: list[str], folder: Path) -> str:
    (folder / "snippets.py").write_text("\n".join(texts))
    done = subprocess.run(
        [sys.executable, "snippets.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "np.float64(" not in done.stdout
    return done.stdout


PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/guides/*.md")]
)


@pytest.mark.skipif(not PAGES, reason="the documentation is not beside the tests")
def test_pages_are_made_of_blocks_that_are_run():
    """Or of `text`, which is not: installing, and what stays until it is interrupted."""
    for page in PAGES:
        kinds = {kind for kind, _ in blocks(page) if not kind.startswith("{")}
        assert kinds <= {"", "python", "toml", "text"}, page


# those that are notebooks, too, are run as notebooks
BOOKS = {path.stem for path in ROOT.glob("examples/*.ipynb")}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if Path(page).stem not in BOOKS])
def test_every_block_of_a_page_in_its_order(page, tmp_path):
    """Commands and snippets as a reader types them, one after another; snippets know what was named before."""
    files_of(page, tmp_path)
    texts: list[str] = []
    fresh = False  # snippets that were not run yet
    for kind, text in [*blocks(page), ("", "")]:
        if kind == "python":
            texts.append(text)
            fresh = True
        elif kind == "":
            if fresh:
                python(texts, tmp_path)
                fresh = False
            for line in text.splitlines():
                if not line.startswith(INSTALLS):
                    shell(line, tmp_path)


def test_the_readme_is_made_of_blocks_that_are_run():
    kinds = {kind for kind, _ in blocks("README.md")}
    assert kinds == {"", "python", "toml"}
    assert len(commands("README.md")) > 8
    for line in commands("README.md"):
        assert line.startswith(("pip install", "python -c", "hpjax ")), line


def test_the_quick_commands_of_the_readme(tmp_path):
    files_of("README.md", tmp_path)
    ran = 0
    for line in commands("README.md"):
        if not line.startswith((*LONG, *INSTALLS)):
            shell(line, tmp_path)
            ran += 1
    assert ran >= 3
    assert (tmp_path / "data.csv").read_text().startswith("age,")


def test_the_quick_snippets_of_the_readme(tmp_path):
    """Those that need nothing before them and train little."""
    texts = [text for kind, text in blocks("README.md") if kind == "python"]
    quick = [text for text in texts if "hypergrad" in text]
    assert len(quick) == 1
    assert "learning_rate" in python(["import hpjax", *quick], tmp_path)


@pytest.mark.slow
def test_every_command_of_the_readme_in_its_order(tmp_path):
    files_of("README.md", tmp_path)
    for line in commands("README.md"):
        if not line.startswith(INSTALLS):
            shell(line, tmp_path)
    assert (tmp_path / "runs" / "first" / "figure.png").stat().st_size > 5000


@pytest.mark.slow
def test_every_snippet_of_the_readme_in_its_order(tmp_path):
    texts = [text for kind, text in blocks("README.md") if kind == "python"]
    said = python(texts, tmp_path)
    for words in ("mean rank", "searched", "learning_rate", "accuracy"):
        assert words in said


# --- the site ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation, built from a copy, with warnings as errors: links within it, names and directives are right."""
    pytest.importorskip("sphinx")
    if not PAGES:
        pytest.skip("the documentation is not beside the tests")
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("site")
    for name in ("docs", "results", "experiments", "hpjax", "examples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("generated"))
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", copy / "docs", out]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_every_public_name_and_every_hyperparameter_is_documented(site):
    import hpjax
    from hpjax import catalogue, hypergrad, plots, report, schedulers, search

    listed = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    written = {line.split()[0] for line in listed.splitlines() if " py:" in line}
    there = {name.rsplit(".", 1)[-1] for name in written}
    for module in (
        hpjax,
        hypergrad,
        schedulers,
        search,
        plots,
        report,
    ):
        missing = set(module.__all__) - there - {"__version__", "hypergrad"}
        assert not missing, (module.__name__, missing)
    page = (site / "generated" / "hyperparameters.html").read_text()
    assert all(f">{row.name}<" in page for row in catalogue.described())


@pytest.mark.slow
def test_every_figure_of_the_results_is_in_the_gallery(site):
    """As a file that is there: the page names them, and the site has them."""
    page = (site / "generated" / "gallery.html").read_text()
    shown = re.findall(r'<img[^>]* src="\.\./(_images/[^"]+\.png)"', page)
    assert len(shown) == len(list(ROOT.glob("results/*/*.png")))
    assert all((site / name).stat().st_size > 5000 for name in shown)


@pytest.mark.slow
def test_links_that_leave_the_site_lead_somewhere():
    """Where there is a network; the others are checked by the site's build."""
    texts = [(ROOT / page).read_text() for page in [*PAGES, "README.md"] if (ROOT / page).exists()]
    links = sorted({link for text in texts for link in re.findall(r"\]\((https?://[^)#]+)", text)})
    lost, reached = [], 0
    for link in links:
        asked = urllib.request.Request(link, method="HEAD", headers={"User-Agent": "hpjax"})
        try:
            urllib.request.urlopen(asked, timeout=10).close()
            reached += 1
        except urllib.error.HTTPError as fault:
            if fault.code in (404, 410):
                lost.append(link)
            fault.close()
        except OSError:
            continue
    if not reached:
        pytest.skip("no network")
    assert lost == []
