"""What commands print: for people at any width, for programs, and how they end."""

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import typing
import urllib.request

import pandas
import pytest

import hpjax
from hpjax import catalogue, cli, program_cache
from hpjax.cli import flags
from hpjax.cli.console import fitted, plain
from hpjax.models import MLP

SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
    "l2": hpjax.LogUniform(1e-6, 1e-2),
    "hidden": (4,),
    "activation": hpjax.Choice(["relu", "tanh"]),
}
quiet = dict(say=lambda text: None, progress=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("printed")
    hpjax.tune(SPACE, "iris", trials=6, epochs=2, metrics=["f1_macro"], out=folder / "run", **quiet)
    hpjax.compare(
        ["random", "sobol"], SPACE, "iris", seeds=2, stop={"trials": 2}, out=folder / "two", **quiet
    )
    return folder


def opened(folder):
    return hpjax.open_run(folder, say=quiet["say"])


def command(*words):
    """Exit code and standard output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, words)))
    return ended.value.code, said.getvalue()


def answered(*words):
    code, said = command(*words, "--json")
    assert code == 0
    assert said.count("\n") == 1
    return json.loads(said)


# --- help -------------------------------------------------------------------------------------------------------------
COMMANDS = [typing.get_args(one)[0].__name__.lower() for one in typing.get_args(flags.Command)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_has_words(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, said = command(name, "--help")
    assert code == 0
    rows = [re.split(r"\((?:default:|required)", line) for line in said.splitlines()]
    told = [re.split(r" {2,}", row[0].strip("│ "))[-1] for row in rows if len(row) > 1]
    assert told
    for words in told:
        assert not words.startswith("-"), words
        assert re.search("[a-z]{2}", words.replace("None", "")), words


# --- for programs -----------------------------------------------------------------------------------------------------
def test_a_run_as_json(runs):
    result = opened(runs / "run")
    answer = answered("show", runs / "run", "--top", 4)
    assert answer["best"]["trial"] == result.best["trial"]
    assert [row["trial"] for row in answer["trials"]] == result.ranking[:4].tolist()
    for row in answer["trials"]:
        assert row["loss"] == result.trials["loss"][row["trial"]]
        assert row["f1_macro"] == result.trials["f1_macro"][row["trial"]]
    assert answer["counts"] == {"OK": 6}
    assert answer["stopped"] == "done"


def test_a_comparison_as_json(runs):
    answer = answered("show", runs / "two")
    assert {row["method"] for row in answer["methods"]} == {"random", "sobol"}
    assert answer["seeds"] == [0, 1]


@pytest.mark.slow
def test_what_trains_as_json(tmp_path):
    words = ("--trials", 2, "--epochs", 1, "--out", tmp_path / "run", "--no-cache")
    answer = answered("tune", "iris", *words)
    assert len(answer["trials"]) == 2
    assert set(answer["test"]) >= {"accuracy"}
    answer = answered("confirm", tmp_path / "run", "--top", 1, "--repeats", 2, "--no-cache")
    assert answer["best"]["trial"] == answer["trials"][0]["trial"]
    answer = answered("ensemble", tmp_path / "run", "--no-cache")
    assert hpjax.load(answer["saved"]).table["trial"].tolist() == [
        row["trial"] for row in answer["members"]
    ]


def test_the_cache_is_shown_and_dropped(tmp_path, monkeypatch):
    folder = tmp_path / program_cache.kind()
    folder.mkdir()
    (folder / "a-cache").write_bytes(b"x" * 2_000_000)
    monkeypatch.setenv(program_cache.SWITCH, str(tmp_path))
    row = {"kind of machine": folder.name, "this one": "yes", "programs": 1, "MB": 2.0}
    assert answered("cache")["kinds"] == [row]
    assert folder.name in command("cache")[1]
    assert answered("cache", "--clear")["dropped"] == 1
    assert answered("cache")["kinds"] == [row | {"programs": 0, "MB": 0.0}]
    monkeypatch.setenv(program_cache.SWITCH, "off")
    assert "not kept: HPJAX_CACHE=off" in command("cache")[1]


def test_lists_as_json():
    assert "iris" in {row["name"] for row in answered("tasks")}
    assert {row["name"] for row in answered("hyperparameters")} == {
        *catalogue.STATIC,
        *catalogue.TRACED,
        *hpjax.models.MLP.static,
        *hpjax.models.MLP.traced,
    }


def test_numbers_that_json_has_no_word_for():
    frame = pandas.DataFrame({"a": [1.0, float("inf")], "b": [(1, 2), None]})
    assert plain(frame) == [{"a": 1.0, "b": [1, 2]}, {"a": None, "b": None}]
    assert plain({1: float("nan"), "path": runs}) == {"1": None, "path": str(runs)}


# --- for people -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("width", [40, 80, pytest.param(200, marks=pytest.mark.slow)])
def test_a_terminal_of_any_width_is_not_overrun(runs, width):
    """A real terminal: no line is longer, no cell is broken into two lines, and what has no room is named."""
    said = typed(["show", str(runs / "run")], width)
    table = [line for line in said if line[:1] in "┏┃┡│└"]
    assert len(table) == 6 + 4
    assert max(map(len, table)) <= width
    trials = opened(runs / "run").trials
    heads = table[1].strip("┃ ").replace("┃", " ").split()
    best = int(table[3].strip("│ ").split()[0])
    for column, cell in zip(heads, table[3].strip("│ ").split("│")):
        shown = best if column == "trial" else trials[column][best]
        assert cell.strip() == (f"{shown:.4g}" if isinstance(shown, float) else str(shown))
    text = " ".join(" ".join(said).split())
    assert "all: epochs 2, status OK" in text
    for name in ("loss", "seconds", "learning_rate", "f1_macro", "activation"):
        assert name in text


def typed(words, width, **environment):
    """Lines that a command prints on a terminal of so many columns."""
    here, there = pty.openpty()
    given = os.environ | {"COLUMNS": str(width), "TERM": "xterm-256color"} | environment
    given = {name: value for name, value in given.items() if value}
    done = subprocess.Popen(
        [sys.executable, "-m", "hpjax", *words], stdout=there, stderr=there, env=given
    )
    os.close(there)
    parts = []
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(here, 65536):
            parts.append(part)
    os.close(here)
    assert done.wait() == 0
    text = b"".join(parts).decode()
    return (text if environment else uncoloured(text)).splitlines()


def uncoloured(text):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize("words", [["hyperparameters", "lr"], ["tune", "--help"]])
@pytest.mark.slow
def test_no_color_is_respected(words):
    assert "\x1b[" in "\n".join(typed(["tasks"], 80, NO_COLOR=""))
    text = "\n".join(typed(words, 80, NO_COLOR="1"))
    assert not re.search(r"\x1b\[([0-9;]*;)?(3[0-8]|4[0-8]|9[0-7])[;m]", text)


def test_a_comparison_fits_a_terminal_too(runs):
    said = typed(["show", str(runs / "two")], 60)
    table = [line for line in said if line[:1] in "┏┃┡│└"]
    assert max(map(len, table)) <= 60
    assert len(table) == 4 + 2
    assert not any("…" in line for line in table)
    assert "no room for: " in " ".join(said)


def test_a_space_that_searches_what_the_table_says(tmp_path, capsys):
    """`epochs` is a column of the table as well as of the space: it stands once."""
    space = SPACE | {"epochs": hpjax.IntUniform(1, 3)}
    found = hpjax.tune(space, "iris", trials=4, out=tmp_path / "run", **quiet)
    answer = answered("show", tmp_path / "run")
    assert [row["epochs"] for row in answer["trials"]] == [
        found.trials["epochs"][row["trial"]] for row in answer["trials"]
    ]


def test_what_trials_are_judged_by_stands_first(tmp_path):
    """Of a metric that should be large, too: it is the column that never has no room."""
    run = tmp_path / "run"
    hpjax.tune(SPACE, "iris", trials=3, epochs=1, objective="accuracy", out=run, **quiet)
    assert list(answered("show", run)["trials"][0])[:2] == ["trial", "accuracy"]


def test_words_of_others_are_no_markup(tmp_path):
    folder = tmp_path / "[red]run[/red] :smile:"
    hpjax.tune(SPACE, "iris", trials=2, epochs=1, out=folder, **quiet)
    assert f"figures: {folder}/figure.png" in command("show", folder)[1]


def test_what_is_the_same_in_all_rows_is_said_once():
    frame = pandas.DataFrame({"loss": [1.0, 2.0], "status": ["OK", "OK"], "seconds": [1.0, 1.0]})
    shown, notes = fitted(frame, 80, ["seconds"])
    assert list(shown) == ["loss", "seconds"]
    assert notes == "all: status OK"
    shown, notes = fitted(frame, 24, ["seconds"])
    assert list(shown) == ["loss"]
    assert "no room for: seconds" in notes
    assert list(fitted(frame[:1], 200, [])[0]) == ["loss", "status", "seconds"]
    near = pandas.DataFrame({"loss": [0.5, 0.5], "error": [0.12341, 0.12342]})
    assert list(fitted(near, 80, [])[0]) == ["loss", "error"]


@pytest.mark.parametrize("name", ["lr", "dropout", "width_2", "momentum"])
def test_one_hyperparameter(name):
    code, said = command("hyperparameters", name)
    row = next(
        row
        for row in catalogue.described()
        if row.name == catalogue.base(catalogue.ALIASES.get(name, name), MLP)
    )
    assert code == 0
    for text in (row.about, str(row.default), row.kind, row.values, row.needs):
        assert text in said
    assert ("per hidden layer" in said) == (row.per == "hidden")


def test_an_unknown_hyperparameter(capsys):
    assert command("hyperparameters", "learnrate")[0] == 2
    assert "did you mean 'learning_rate'?" in capsys.readouterr().err


# --- how they end -----------------------------------------------------------------------------------------------------
def test_exit_codes(tmp_path, capsys):
    """0, 1 and 2; 130, 141 and 143 are tests of interrupts and of pipes."""
    assert command("tasks")[0] == 0
    assert command("show", tmp_path)[0] == 2
    (tmp_path / "space.toml").write_text("learning_rate = { log_uniform = [1e30, 1e35] }\n")
    words = ("--space", tmp_path / "space.toml", "--trials", 2, "--epochs", 2, "--no-cache")
    assert command("tune", "diabetes", *words, "--out", tmp_path / "run")[0] == 1
    code, said = command("show", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(said)["best"]["trial"] is None


def test_an_interrupt_that_was_swallowed_takes_place_after_the_next_report(
    tmp_path, monkeypatch, capsys
):
    from hpjax.cli import interrupts

    monkeypatch.setattr(interrupts, "asked_to_end", [])
    run = tmp_path / "run"
    began = []

    def swallowed(*arguments, **options):
        with pytest.raises(KeyboardInterrupt):  # as a library may
            interrupts.interrupt(signal.SIGINT, None)
        began.append(True)
        return tune(*arguments, **options)

    tune = hpjax.tune
    monkeypatch.setattr(hpjax, "tune", swallowed)
    words = ("--trials", 4, "--epochs", 1, "--search", "tpe", "--out", run, "--no-cache")
    assert command("tune", "iris", *words)[0] == 130
    assert began == [True]
    assert f"`hpjax resume {run}` goes on with the run" in capsys.readouterr().err
    assert hpjax.open_run(run, say=quiet["say"]).stopped == "interrupted"


def test_output_that_nobody_reads():
    words = [sys.executable, "-m", "hpjax", "hyperparameters"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


# --- live -------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_run_is_shown_while_it_trains(tmp_path):
    """The page answers while the run trains, follows it, and is gone after it."""
    run, said = tmp_path / "run", tmp_path / "said"
    words = ["tune", "iris", "--trials", "30000", "--epochs", "30", "--out", str(run), "--live"]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "hpjax", *words, "--no-cache"],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while " at " not in said.read_text() and time.monotonic() < deadline:
                time.sleep(0.1)
            address = said.read_text().split(" at ")[1].split()[0]
            seen = 0
            while seen < 1 and process.poll() is None and time.monotonic() < deadline:
                with urllib.request.urlopen(f"{address}data.json") as page:
                    seen = json.loads(page.read() or b"{}").get("total", 0)
                time.sleep(0.2)
            assert process.poll() is None
            assert seen > 0
            for _ in range(3):  # as a user who sees that nothing happens
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                    break
            assert process.returncode == 130, said.read_text()
        finally:
            process.kill()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)


@pytest.mark.parametrize("typed", [False, True])
def test_garbage_is_collected_once_modules_are_loaded(typed):
    """By `import hpjax` always; by the command line from its first command on, and in processes that it starts from the beginning."""
    begin = "import sys; sys.argv[0] = 'hpjax'; " if typed else ""
    code = (
        "import gc, hpjax; before = gc.isenabled(); from hpjax import cli\n"
        "try: cli.main(['tasks'])\n"
        "except SystemExit: pass\n"
        "print(before, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{not typed} True", done.stderr
    child = (
        "import multiprocessing as m; import gc, importlib\n"
        "def told(pipe): importlib.import_module('hpjax'); pipe.send(gc.isenabled())\n"
        "if __name__ == '__main__':\n"
        "    here, there = m.Pipe(); p = m.get_context('fork').Process(target=told, args=(there,)); p.start()\n"
        "    print(here.recv()); p.join()"
    )
    done = subprocess.run([sys.executable, "-c", begin + child], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
