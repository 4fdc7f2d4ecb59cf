"""The page in a real browser, headless Chromium: it draws, filters, sorts, brushes, marks, and follows a run that grows."""

import contextlib
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

import hpjax
from hpjax.report import write_page
from hpjax.report.live import Live, server

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here"),
]
SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1.0),
    "width_1": hpjax.LogIntUniform(4, 12),
    "activation": hpjax.Choice(["relu", "tanh"]),
    "epochs": 6,
}
quiet = dict(say=lambda text: None, progress=False)


@pytest.fixture(scope="module")
def browser():
    with (
        playwright.sync_playwright() as started,
        contextlib.closing(
            started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        ) as opened,
    ):
        yield opened


@pytest.fixture
def tab(browser):
    """A tab, and what went wrong in it."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    faults, asked = [], []
    page.on(
        "console", lambda message: faults.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.asked = asked
    yield page
    assert not faults
    page.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "run"
    result = hpjax.tune(
        SPACE, "iris", scheduler=hpjax.halving(((2, 24), (6, 8))), trials=24, out=folder, **quiet
    )
    return result, write_page(result, folder / "page.html")


def opened(tab, path):
    tab.goto(path if isinstance(path, str) else path.as_uri())
    tab.wait_for_selector("body[data-ready]")
    return tab


def shown(tab):
    """Trials of the table that are drawn."""
    return [
        int(row.get_attribute("data-trial"))
        for row in tab.query_selector_all("#rows tr[data-trial]")
    ]


def test_it_draws_everything_and_asks_nobody(tab, study):
    result, path = study
    opened(tab, path)
    assert tab.inner_text("h1") == "iris"
    for section in (
        "trials",
        "together",
        "slices",
        "table",
        "curves",
        "importance",
        "network",
        "facts",
    ):
        assert tab.is_visible(f"#{section} h2"), section
    assert tab.locator("#slices figure").count() == len(result.space.names)
    assert shown(tab)[:8] == result.ranking.tolist()
    assert all(url.startswith(("file:", "data:")) for url in tab.asked)


def test_the_table_filters_and_sorts(tab, study):
    result, path = study
    trials = result.trials
    opened(tab, path)
    tab.fill("#filter", "activation = relu learning_rate > 0.03")
    tab.wait_for_function("document.querySelector('#looked').textContent.includes(' of ')")
    wanted = trials[
        (trials["activation"] == "relu") & (trials["learning_rate"].astype(float) > 0.03)
    ]
    tab.wait_for_timeout(300)
    assert set(shown(tab)) == set(wanted.index)
    assert tab.inner_text("#looked").startswith(f"{len(wanted)} of {len(trials)}")
    tab.fill("#filter", "pruned")
    tab.wait_for_timeout(300)
    assert set(shown(tab)) == set(trials.index[trials["status"] == "PRUNED"])
    tab.fill("#filter", "nosuch > 1")
    assert "there is no column nosuch" in tab.inner_text("#table")
    tab.keyboard.press("Escape")
    tab.wait_for_timeout(300)
    assert len(shown(tab)) == len(trials)
    for _ in range(2):
        tab.click("th button:text-is('learning_rate')")
    expected = trials["learning_rate"].astype(float).sort_values(ascending=False).index
    assert shown(tab)[:10] == expected[:10].tolist()
    assert tab.get_attribute("th[aria-sort='descending']", "scope") == "col"


def test_brushing_an_axis_selects(tab, study):
    result, path = study
    opened(tab, path)
    handle = tab.locator("rect.handle[data-axis=activation]")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x = box["x"] + box["width"] / 2
    tab.mouse.move(x, box["y"] + 2)  # the upper half is tanh
    tab.mouse.down()
    tab.mouse.move(x, box["y"] + box["height"] * 0.45, steps=4)
    tab.mouse.up()
    tab.wait_for_timeout(400)
    trials = result.trials
    assert set(shown(tab)) == set(trials.index[trials["activation"] == "tanh"])
    tab.mouse.click(x, box["y"] + 5)
    tab.wait_for_timeout(400)
    assert len(shown(tab)) == len(trials)


def test_a_trial_that_is_chosen_is_marked_everywhere(tab, study):
    _, path = study
    opened(tab, path)
    tab.focus("#rows")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    tab.wait_for_timeout(300)
    assert tab.get_attribute("tr.chosen", "data-trial") == str(shown(tab)[1])
    marks = tab.locator("circle.chosen-mark[visibility=visible]").count()
    assert marks >= 1 + len(SPACE) - 1  # the history, and every slice
    lines = tab.evaluate(
        "[...document.querySelectorAll('path.chosen-line')].filter(p => p.getAttribute('d')).length"
    )
    assert lines == 2  # parallel coordinates and learning curves
    tab.keyboard.press("Escape")
    tab.wait_for_timeout(300)
    assert tab.locator("tr.chosen").count() == 0


def test_dark_and_light_differ_and_print_has_no_controls(tab, study):
    opened(tab, study[1])
    paper = lambda: tab.evaluate("getComputedStyle(document.body).backgroundColor")
    first = paper()
    tab.click("#theme")
    assert paper() != first
    tab.emulate_media(media="print")
    assert not tab.is_visible("#theme")


@pytest.mark.parametrize("method", ["pbt", "bayes"])
def test_other_methods(tab, tmp_path, method):
    space = {n: v for n, v in SPACE.items() if n != "width_1"}
    result = hpjax.tune(space, "diabetes", search=method, trials=16, **quiet)
    opened(tab, write_page(result, tmp_path / "page.html"))
    assert tab.is_visible("#lineage h2") == (method == "pbt")


def test_a_comparison(tab, tmp_path):
    result = hpjax.compare(["random", "tpe"], SPACE, "iris", seeds=2, stop={"trials": 6}, **quiet)
    opened(tab, write_page(result, tmp_path / "page.html"))
    assert tab.locator("#methods tbody tr").count() == 2
    assert tab.locator("#ends circle").count() == 4


# --- the live page ----------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def watched(folder):
    live = server(Live(folder))
    thread = threading.Thread(target=live.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{live.server_address[1]}/"
    finally:
        live.shutdown()
        live.server_close()
        thread.join(10)


def test_the_live_page_follows_a_run_through_its_end_and_a_restart(tab, tmp_path, monkeypatch):
    monkeypatch.setattr("hpjax.report.live.AGAIN", 0.2)
    monkeypatch.setattr("hpjax.report.live.SHARE", 1.0)
    folder = tmp_path / "run"
    hpjax.tune(SPACE, "iris", trials=4, batch=2, out=folder, **quiet)
    with watched(folder) as address:
        opened(tab, address)
        assert tab.get_attribute("body", "data-ready") == "4"
        tab.fill("#filter", "relu")
        hpjax.resume(folder, trials=10, **quiet)
        tab.wait_for_selector("body[data-ready='10']", timeout=20_000)
        assert tab.input_value("#filter") == "relu"  # what was looked at stays
        shutil.rmtree(folder)
        tab.wait_for_selector("#live:has-text('no run')", timeout=20_000)
        hpjax.tune(SPACE, "iris", trials=3, out=folder, **quiet)
        tab.wait_for_selector("body[data-ready='3']", timeout=20_000)
    assert {url.split("?")[0] for url in tab.asked if not url.startswith("data:")} == {
        address,
        f"{address}data.json",
    }


def refusal(address, **options):
    """The status with which a request is refused."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(address, **options), timeout=10)
    with contextlib.closing(refused.value):
        return refused.value.code


def test_strangers_are_refused(tmp_path):
    hpjax.tune(SPACE, "iris", trials=2, out=tmp_path / "run", **quiet)
    with pytest.raises(ValueError, match="reached by other machines"):
        server(Live(tmp_path / "run"), host="0.0.0.0")
    with watched(tmp_path / "run") as address:
        for path, host, status in (
            ("", "evil.example", 403),
            ("data.json", "evil.example", 403),
            ("../../etc/passwd", "127.0.0.1", 404),
        ):
            assert refusal(address + path, headers={"Host": host}) == status
        assert refusal(address, data=b"x", method="POST") == 501
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "curves.bin",
        "environment.json",
        "ledger.jsonl",
        "lock",
        "run.json",
        "times.jsonl",
    ]


def test_watching_by_command(tab, tmp_path):
    hpjax.tune(SPACE, "iris", trials=2, out=tmp_path / "run", **quiet)
    words = [sys.executable, "-m", "hpjax", "watch", str(tmp_path / "run")]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        try:
            line = watching.stdout.readline()
            opened(tab, line.split(" at ")[1].split()[0])
            assert tab.get_attribute("body", "data-ready") == "2"
            time.sleep(0.2)
            watching.send_signal(2)
            assert watching.wait(20) == 0
            assert watching.stderr.read() == ""
        finally:
            watching.kill()
    done = subprocess.run([*words[:-1], str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no run in" in done.stderr
