"""Every door makes the same study: Python and the command line; what they say first; what they refuse; and how studies go on."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas
import pytest

import hpjax
from hpjax import cli, defaults

SPACE = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 3}
quiet = dict(say=lambda text: None)


def settings_of(folder):
    return json.loads((folder / "run.json").read_text())


DOORS = {
    "objectives": (
        [
            "--objective",
            "error, parameters",
            "--constraints",
            "parameters<=500, error <= 0.9",
            "--search",
            "nsga2",
            "--trials",
            "4",
            "--epochs",
            "2",
        ],
        dict(
            objective=["error", "parameters"],
            constraints={"parameters": "<=500", "error": "<= 0.9"},
            search="nsga2",
            trials=4,
            epochs=2,
        ),
    ),
    "asha": (
        ["--scheduler", "asha", "--trials", "9", "--epochs", "3"],
        dict(scheduler="asha", trials=9, epochs=3),
    ),
    "nothing": ([], {}),
    "halving": (
        ["--scheduler", "halving", "--trials", "6", "--epochs", "4"],
        dict(scheduler="halving", trials=6, epochs=4),
    ),
    "eta": (
        ["--scheduler", "hyperband", "--epochs", "4", "--eta", "2"],
        dict(scheduler="hyperband", epochs=4, eta=2),
    ),
    "median": (
        ["--scheduler", "median", "--epochs", "4", "--trials", "3"],
        dict(scheduler="median", epochs=4, trials=3),
    ),
    "method": (
        ["--search", "bohb", "--epochs", "3", "--trials", "4"],
        dict(search="bohb", epochs=3, trials=4),
    ),
    "grid": (
        ["--search", "grid", "--levels", "2", "--scheduler", "halving", "--epochs", "3"],
        dict(search="grid", levels=2, scheduler="halving", epochs=3),
    ),
    "others": (
        [
            "--trials",
            "2",
            "--epochs",
            "2",
            "--folds",
            "2",
            "--repeats",
            "2",
            "--seed",
            "5",
            "--objective",
            "error",
            "--seconds",
            "600",
        ],
        dict(
            trials=2,
            epochs=2,
            validation={"folds": 2, "repeats": 2},
            seed=5,
            objective="error",
            stop={"seconds": 600.0},
        ),
    ),
}


@pytest.mark.parametrize("name", DOORS)
def test_the_same_words_make_the_same_study(tmp_path, monkeypatch, name):
    """Both doors up to the point at which training would begin: the same run.json and the same plan."""
    from hpjax import assemble

    class Begun(Exception):
        pass

    def begun(*arguments, **more):
        raise Begun

    monkeypatch.setattr(assemble.study, "run", begun)
    words, options = DOORS[name]
    typed = ["tune", "iris", *words, "--out", str(tmp_path / "typed"), "--no-cache"]
    options_typed = cli.tyro.cli(cli.flags.Command, args=typed)
    with pytest.raises(Begun):
        cli.carry_out(options_typed, cli.Output())
    with pytest.raises(Begun):
        hpjax.tune(None, "iris", out=tmp_path / "called", **quiet, **options)
    assert settings_of(tmp_path / "typed") == settings_of(tmp_path / "called")
    assert (tmp_path / "typed" / "ledger.jsonl").read_bytes() == (
        tmp_path / "called" / "ledger.jsonl"
    ).read_bytes()


def test_defaults_of_every_command_are_those_of_its_function():
    import dataclasses
    import inspect

    for command, function in (
        (cli.flags.Tune, hpjax.tune),
        (cli.flags.Compare, hpjax.compare),
        (cli.flags.Confirm, hpjax.confirm),
    ):
        typed = {field.name: field.default for field in dataclasses.fields(command)}
        called = {n: p.default for n, p in inspect.signature(function).parameters.items()}
        shared = set(typed) & set(called) - {"task", "methods", "space", "run", "out"}
        assert {name: typed[name] for name in shared} == {name: called[name] for name in shared}
    assert cli.flags.Compare().methods == ",".join(defaults.METHOD_NAMES)


def test_signatures_show_no_objects():
    import inspect

    for name in (
        "tune",
        "resume",
        "compare",
        "minimize",
        "confirm",
        "resume_comparison",
        "open_run",
    ):
        assert " at 0x" not in str(inspect.signature(getattr(hpjax, name)))


# --- nothing varies ---------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_space_in_which_nothing_varies_is_refused_with_the_remedy(tmp_path):
    space = {"learning_rate": [0.1, 0.01], "hidden": (4,), "epochs": 2}
    for call in (
        lambda: hpjax.tune(space, "iris", out=tmp_path / "run", **quiet),
        lambda: hpjax.compare(["random"], space, "iris", **quiet),
    ):
        with pytest.raises(ValueError, match="nothing varies in the space") as caught:
            call()
        assert "one value per layer" in str(caught.value)
        assert "Choice([0.1, 0.01])" in str(caught.value)
        assert "validation={'repeats': 8}" in str(caught.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="nothing varies"):
        hpjax.tune(space, "iris", trials=5, validation={"repeats": 2}, **quiet)
    found = hpjax.tune(space, "iris", validation={"repeats": 3}, **quiet)
    assert len(found.trials) == 1
    assert len(hpjax.tune(space, "iris", search=[{}], **quiet).trials) == 1
    with pytest.raises(ValueError, match=r"Choice\(\[0.1, 0.01\]\)"):
        hpjax.MLPClassifierCV(space).fit(np.arange(40.0).reshape(20, 2), np.arange(20) % 2)


# --- the kind of a target ---------------------------------------------------------------------------------------------
ROWS = np.random.default_rng(0).normal(size=(200, 3))
KINDS = {
    "text": (np.array(["a", "b"])[np.arange(200) % 2], "classification, 2 classes: a, b", ""),
    "few whole numbers": (np.arange(200) % 3, "classification, 3 classes: 0, 1, 2", ""),
    "many whole numbers": (np.arange(200) % 48, "regression", "48 of them different"),
    "some whole numbers": (np.arange(200) % 15, "classification, 15 classes", "15 different whole"),
    "zero and one as floats": (np.arange(200) % 2 * 1.0, "regression", "only the numbers 0, 1"),
    "real numbers": (ROWS[:, 0], "regression", ""),
    "booleans": (ROWS[:, 0] > 0, "classification, 2 classes: False, True", ""),
    "two targets": (ROWS[:, :2], "regression, 2 targets", ""),
    "a class with one row": (np.array([0] * 100 + [1] * 98 + [2, 3]), "classification, 4", "class '2' has"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_the_first_line_says_the_kind_and_the_next_what_is_doubtful(name):
    y, summary, doubt = KINDS[name]
    if name == "a class with one row":
        with pytest.raises(
            hpjax.TaskError, match=r"if the target is a quantity, give kind='numbers'"
        ):
            hpjax.Task.of(ROWS, y)
        task = hpjax.Task.of(ROWS, y, test=0)
    else:
        task = hpjax.Task.of(ROWS, y)
    lines = task.about()
    assert lines[0].startswith(f"data: {summary}")
    assert len(lines) == 1 + bool(doubt)
    if doubt:
        assert doubt in lines[1]
    other = {"classes": "numbers", "numbers": "classes"}[task.kind]
    if doubt and name != "a class with one row":
        assert f"kind='{other}'" in lines[1]
        assert f"--kind {other}" in lines[1]
        assert hpjax.Task.of(ROWS, y, kind=other, test=0).about()[0] != lines[0]
        assert len(hpjax.Task.of(ROWS, y, kind=task.kind, test=0).about()) == 1


@pytest.mark.slow
def test_the_kind_is_said_and_may_be_given_at_every_door(tmp_path, capsys):
    path = tmp_path / "ages.csv"
    rng = np.random.default_rng(0)
    path.write_text(
        "a,b,age\n"
        + "".join(
            f"{a:.3f},{b:.3f},{int(20 + 48 * rng.random())}\n" for a, b in rng.normal(size=(300, 2))
        )
    )
    said = []
    found = hpjax.tune(SPACE, path, trials=2, say=said.append)
    assert said[0] == "hpjax: ages: regression"
    assert said[1] == "hpjax: ages: the target is the last column, 'age'"
    assert "--kind classes" in said[2]
    assert found.task.kind == "numbers"
    said.clear()
    hpjax.tune(SPACE, path, trials=2, kind="numbers", say=said.append)
    assert said == [
        "hpjax: ages: regression",
        "hpjax: ages: the target is the last column, 'age'",
    ]
    with pytest.raises(SystemExit):
        cli.main(
            [
                "tune",
                str(path),
                "--kind",
                "numbers",
                "--trials",
                "2",
                "--epochs",
                "1",
                "--out",
                str(tmp_path / "run"),
                "--no-cache",
            ]
        )
    assert capsys.readouterr().err.startswith("hpjax: ages: regression\n")
    assert settings_of(tmp_path / "run")["networks"]["kind"] == "numbers"
    with pytest.raises(ValueError, match="kind='real' is none of classes, numbers"):
        hpjax.tune(SPACE, path, kind="real")
    with pytest.raises(hpjax.TaskError, match="leave kind='numbers' out"):
        hpjax.tune(SPACE, "iris", kind="numbers")


@pytest.mark.parametrize("gap", [None, float("nan"), pandas.NA, pandas.NaT, "nan", ""])
def test_labels_with_gaps_are_refused_with_the_row(gap):
    labels = np.array(["male", "female"] * 20, object)
    labels[7] = gap
    with pytest.raises(hpjax.TaskError, match=r"row 8 has no label"):
        hpjax.tune(SPACE, (ROWS[:40], labels))
    with pytest.raises(hpjax.TaskError, match=r"row 8 has no label"):
        hpjax.tune(SPACE, (ROWS[:40], pandas.Series(labels)))


def test_numbers_with_gaps_are_refused_with_the_row():
    y = ROWS[:40, 0].copy()
    y[7] = np.nan
    with pytest.raises(hpjax.TaskError, match="row 8 has no finite target"):
        hpjax.tune(SPACE, (ROWS[:40], y))
    with pytest.raises(hpjax.TaskError, match="row 8 has no label"):
        hpjax.Task.of(ROWS[:40], y, kind="classes")


# --- names of columns -------------------------------------------------------------------------------------------------
def test_columns_are_found_by_name_in_any_order():
    frame = pandas.DataFrame(ROWS, columns=["a", "b", "c"])
    y = np.where(frame["a"] > frame["b"], "up", "down")
    network = hpjax.fit(hpjax.Task.of(frame, y), {"hidden": (8,)}, epochs=5)
    assert network.takes.features == ("a", "b", "c")
    plain = network.predict_proba(frame)
    np.testing.assert_array_equal(network.predict_proba(frame[["c", "b", "a"]]), plain)
    np.testing.assert_array_equal(network.predict_proba(ROWS), plain)
    for wrong, message in (
        (frame[["a", "b"]], "lacks 'c'"),
        (frame.rename(columns={"b": "z"}), "lacks 'b' and has unknown 'z'"),
        (frame.assign(d=1.0), "has unknown 'd'"),
        (frame.assign(c="text"), "column 'c' does not hold them"),
        (ROWS[:, :2], r"takes \[N 3\] features"),
        (
            frame.assign(a=frame["a"].where(frame.index != 3)),
            "row 4 has no finite number in column 'a'",
        ),
    ):
        with pytest.raises(hpjax.TaskError, match=message):
            network.predict(wrong)


def test_a_file_keeps_its_names(tmp_path):
    frame = pandas.DataFrame(ROWS, columns=["a", "b", "c"]).assign(label=["x", "y"] * 100)
    frame[["b", "label", "a", "c"]].to_csv(tmp_path / "data.csv", index=False)
    task = hpjax.tasks.load(str(tmp_path / "data.csv"), target="label")
    assert task.features == ("b", "a", "c")
    network = hpjax.fit(task, {"hidden": (4,)}, epochs=2)
    np.testing.assert_array_equal(network.predict(frame[["a", "b", "c"]]), network.predict(task.x))


def test_what_is_no_weight_is_refused():
    x, y, w = ROWS, np.arange(200) % 2, np.ones(200)
    for weights, message in (
        (w[:5], "200 rows but weights of shape"),
        (np.where(w.cumsum() == 3, -1, w), "row 3 has weight -1"),
        (np.where(w.cumsum() == 3, np.nan, w), "row 3 has weight nan"),
        (w * 0, "all weights are zero"),
        (["a"] * 200, "weights must be numbers"),
    ):
        with pytest.raises(hpjax.TaskError, match=message):
            hpjax.Task.of(x, y, weights=weights)
    with pytest.raises(hpjax.TaskError, match="the third part of a task is its name"):
        hpjax.Task.of(x, y, w)
    with pytest.raises(ValueError, match=r"has 4 parts; give \(x, y\) or \(x, y, weights\)"):
        hpjax.tune(SPACE, (x, y, w, w))


def test_reprs_are_one_short_line():
    found = hpjax.tune(SPACE, "iris", trials=2, **quiet)
    for thing in (found, found.task, found.refit(), found.space, found.schedule()):
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 160
        assert " at 0x" not in repr(thing)
    assert (
        repr(found.task)
        == "<Task iris: 150 examples of 4 features, classification, 3 classes: setosa, versicolor, virginica>"
    )


# --- more trials ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "first", "then"),
    [
        (dict(scheduler=hpjax.halving(((1, 6), (3, 2))), batch=6), 6, 18),
        (dict(scheduler=hpjax.hyperband(3)), 5, 10),
        (dict(search="sobol", batch=3), 6, 12),
        (dict(search="tpe", batch=2), 6, 10),
        (dict(scheduler=hpjax.pbt(4, 3, 1)), 4, 8),
    ],
)
def test_a_study_that_goes_on_is_the_study_asked_for_as_many_at_once(
    tmp_path, options, first, then
):
    said = []
    hpjax.tune(SPACE, "iris", trials=first, out=tmp_path / "run", **quiet, **options)
    found = hpjax.resume(tmp_path / "run", trials=then, say=said.append)
    whole = hpjax.tune(SPACE, "iris", trials=then, out=tmp_path / "whole", **quiet, **options)
    np.testing.assert_allclose(found.trials["objective"], whole.trials["objective"], rtol=1e-4)
    ledgers = [hpjax.open_run(tmp_path / name).records for name in ("run", "whole")]
    assert [r["unit"] for r in ledgers[0] if r["kind"] == "ask"] == [
        r["unit"] for r in ledgers[1] if r["kind"] == "ask"
    ]
    assert [r["kind"] for r in ledgers[0]] == [r["kind"] for r in ledgers[1]]
    if ledgers[0][0] == ledgers[1][0]:  # the plan did not depend on the number of trials
        assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == (
            tmp_path / "whole" / "ledger.jsonl"
        ).read_bytes()
        assert said == []
    else:
        assert said == [
            f"hpjax: programs and blocks stay as they were planned at first, not as for {then} trials at once"
        ]
    assert hpjax.resume(tmp_path / "run").trials.equals(found.trials)


def test_equal_plans_give_equal_bytes_and_a_kill_on_the_way_changes_nothing(tmp_path):
    space = {
        "hidden": (4,),
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
        "batch_size": 0,
        "epochs": 3,
    }
    # so many rows that a chunk is one network
    x = np.random.default_rng(0).normal(size=(45_000, 2))
    data = (x, (x[:, 0] > 0).astype(int))
    options = dict(scheduler=hpjax.halving(((1, 4), (3, 2))), batch=4, **quiet)
    hpjax.tune(space, data, trials=4, out=tmp_path / "run", **options)
    hpjax.tune(space, data, trials=12, out=tmp_path / "whole", **options)

    class Killed(Exception):
        pass

    def watch(progress, trained):
        if progress.finished >= 8:
            raise Killed

    said = []
    with pytest.raises(Killed):
        hpjax.resume(tmp_path / "run", trials=12, task=data, watch=watch, say=said.append)
    hpjax.resume(tmp_path / "run", task=data, say=said.append)
    assert said == []
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == (
        tmp_path / "whole" / "ledger.jsonl"
    ).read_bytes()
    assert settings_of(tmp_path / "run") == settings_of(tmp_path / "whole")


def test_a_limit_that_cut_a_round_is_recorded_and_said(tmp_path):
    said = []
    options = dict(scheduler=hpjax.halving(((1, 6), (3, 2))))
    hpjax.tune(SPACE, "iris", trials=4, out=tmp_path / "run", **quiet, **options)
    hpjax.resume(tmp_path / "run", trials=10, say=said.append)
    assert any("was cut at 4 trials" in text for text in said)
    kinds = [record["kind"] for record in hpjax.open_run(tmp_path / "run").records]
    assert kinds.count("more") == 1
    data = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    lines = data.splitlines(keepends=True)
    for at in range(2, len(lines)):  # a kill after any line, old limit or new
        (tmp_path / "run" / "ledger.jsonl").write_bytes(b"".join(lines[:at]))
        first = at < kinds.index("more") + 1
        settings = settings_of(tmp_path / "run")
        settings["stop"]["trials"] = 4 if first else 10
        (tmp_path / "run" / "run.json").write_text(json.dumps(settings))
        hpjax.resume(tmp_path / "run", trials=10 if first else None, **quiet)
        assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == data, at
    hpjax.resume(tmp_path / "run", trials=16, **quiet)
    found = hpjax.open_run(tmp_path / "run")
    assert len(found.trials) == 16
    assert hpjax.resume(tmp_path / "run").trials.equals(found.trials)


def test_more_trials_are_refused_where_they_mean_nothing(tmp_path):
    hpjax.tune(SPACE, "iris", trials=4, out=tmp_path / "run", **quiet)
    with pytest.raises(ValueError, match="trials=4, but the run has 4 already; give more"):
        hpjax.resume(tmp_path / "run", trials=4)
    with pytest.raises(ValueError, match="trials must be a whole number"):
        hpjax.resume(tmp_path / "run", trials=2.5)
    hpjax.tune(SPACE, "iris", trials=50, stop={"epochs": 6}, out=tmp_path / "short", **quiet)
    with pytest.raises(hpjax.RunError, match="ended at its limit of epochs, not of trials"):
        hpjax.resume(tmp_path / "short", trials=90)
    hpjax.tune(SPACE, "iris", search="grid", levels=3, out=tmp_path / "grid", **quiet)
    with pytest.raises(hpjax.RunError, match="the search has no more than 3 trials"):
        hpjax.resume(tmp_path / "grid", trials=9, **quiet)
    assert len(hpjax.resume(tmp_path / "grid").trials) == 3


def test_random_points_do_not_depend_on_how_many_are_asked_for_at_once(tmp_path):
    hpjax.tune(SPACE, "iris", trials=3, out=tmp_path / "run", **quiet)
    found = hpjax.resume(tmp_path / "run", trials=8, **quiet)
    whole = hpjax.tune(SPACE, "iris", trials=8, **quiet)
    np.testing.assert_array_equal(found.trials["learning_rate"], whole.trials["learning_rate"])


CUT = {
    "halving": lambda: hpjax.halving(((1, 6), (3, 2))),
    "hyperband": lambda: hpjax.hyperband(9, 3),
    "fresh": lambda: hpjax.hyperband(9, 3, promote="fresh"),
    "pbt": lambda: hpjax.pbt(6, 4, 1),
    "median": lambda: hpjax.median(4, 1),
    "full": lambda: hpjax.full(4),
}


@pytest.mark.parametrize("batch", [2, 4, 5])
@pytest.mark.parametrize("name", CUT)
def test_a_study_goes_on_from_any_limit_through_kills_and_again(tmp_path, name, batch):
    """Limits at, before and behind the ends of batches and brackets; each ledger then replays, also with still more trials."""
    space = {"x": hpjax.Uniform(0, 1), "y": hpjax.Uniform(0, 1)}
    objective = lambda p, epochs: (p["x"] - 0.3) ** 2 + p["y"] / epochs
    options = dict(search="random", batch=batch, seed=2)
    for limit in (2, 4, 5, 6, 8):
        out = tmp_path / f"{limit}"
        ask = lambda trials, out=out, **more: hpjax.minimize(
            objective, space, scheduler=CUT[name](), trials=trials, out=out, **options, **more
        )
        ask(limit)
        found = ask(13, resume=True)
        assert len(found.trials) == 13
        data = (out / "ledger.jsonl").read_bytes()
        lines = data.splitlines(keepends=True)
        (out / "ledger.jsonl").write_bytes(b"".join(lines[:-2]))
        assert ask(13, resume=True).trials.equals(found.trials)
        assert (out / "ledger.jsonl").read_bytes() == data
        more = ask(20, resume=True)
        assert len(more.trials) == 20
        if not any(record["kind"] == "more" for record in more.records):
            whole = hpjax.minimize(
                objective,
                space,
                scheduler=CUT[name](),
                trials=20,
                out=tmp_path / f"whole{limit}",
                **options,
            )
            assert whole.trials.equals(more.trials)
            assert (out / "ledger.jsonl").read_bytes() == (
                tmp_path / f"whole{limit}" / "ledger.jsonl"
            ).read_bytes()
    with pytest.raises(ValueError, match="the run was asked for 20 trials, now it is 3"):
        ask(3, resume=True)


# --- progress and interrupts ------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_bar_shows_compiling_trials_rate_and_the_time_left(monkeypatch):
    from hpjax import watching

    seen = []
    text = io.StringIO()
    console = __import__("rich.console").console.Console(file=text, force_terminal=True, width=200)
    monkeypatch.setattr(watching, "on_terminal", partial(watching.on_terminal, console))
    update = watching.Bar._show

    def show(bar):
        update(bar)
        seen.append(bar.left())

    monkeypatch.setattr(watching.Bar, "_show", show)
    scheduler = hpjax.halving(((1, 9), (3, 3)))
    hpjax.tune(SPACE, "iris", scheduler=scheduler, trials=18, batch=9, progress=True, **quiet)
    shown = text.getvalue()
    for words in (
        "compiling program 1 of 1",
        "training",
        "18/18 trials",
        "epoch 3",
        "networks/s",
        "best 0.",
        "left",
    ):
        assert words in shown, words
    assert len(seen) == 4
    assert all(left is not None and left >= 0 for left in seen)
    text.truncate(0)
    hpjax.compare(
        ["random", "sobol"], SPACE, "iris", seeds=2, stop={"trials": 3}, progress=True, **quiet
    )
    assert "4/4 studies" in text.getvalue()
    text.truncate(0)
    found = hpjax.tune(SPACE, "iris", trials=4, progress=False, **quiet)
    assert text.getvalue() == ""
    hpjax.confirm(found, top=2, repeats=2, progress=True, **quiet)
    assert "training" in text.getvalue()


def test_a_bar_of_a_resumed_run_counts_what_is_left(tmp_path, monkeypatch):
    from hpjax import watching

    made = []
    init = watching.Bar.__init__
    monkeypatch.setattr(
        watching.Bar, "__init__", lambda bar, *args: (made.append(args[3]), init(bar, *args))[1]
    )
    console = __import__("rich.console").console.Console(file=io.StringIO())
    monkeypatch.setattr(watching, "on_terminal", partial(watching.on_terminal, console))
    hpjax.tune(SPACE, "iris", trials=8, batch=2, out=tmp_path / "run", progress=True, **quiet)
    path = tmp_path / "run" / "ledger.jsonl"
    # three of four reports
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:7]))
    hpjax.resume(tmp_path / "run", progress=True, **quiet)
    hpjax.resume(tmp_path / "run", trials=12, progress=True, **quiet)
    assert np.allclose(np.array(made) / made[0], [1, 1 / 4, 1 / 2])


@pytest.mark.slow
def test_where_there_is_no_terminal_nothing_is_drawn(tmp_path):
    words = [
        sys.executable,
        "-m",
        "hpjax",
        "tune",
        "iris",
        "--trials",
        "3",
        "--epochs",
        "2",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == "hpjax: iris: classification, 3 classes: setosa, versicolor, virginica\n"


@pytest.mark.slow
@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["import", "training"])
def test_an_interrupt_is_one_line_with_the_command_that_goes_on(tmp_path, moment, request_to_end):
    run = tmp_path / "run"
    words = [
        sys.executable,
        "-m",
        "hpjax",
        "tune",
        "digits",
        "--trials",
        "4000",
        "--epochs",
        "50",
        "--out",
        str(run),
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if moment == "import":
        time.sleep(0.6)
    else:
        until = time.monotonic() + 60
        while not (run / "run.json").exists() and time.monotonic() < until:
            time.sleep(0.05)
    process.send_signal(request_to_end)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + request_to_end, (out, err)
    assert "Traceback" not in out + err
    last = err.rstrip("\n").split("\n")[-1]
    if moment == "training":
        assert last == f"hpjax: interrupted; `hpjax resume {run}` goes on with the run"
    else:
        assert last == "hpjax: interrupted; nothing was begun"
        assert not os.path.exists(run / "ledger.jsonl")


def test_versions():
    import importlib.metadata

    done = subprocess.run(
        [sys.executable, "-m", "hpjax", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"hpjax {importlib.metadata.version('hpjax')}\n"
    assert hpjax.__version__ in done.stdout
