"""The folder of a run: begun whole or not at all, never over files of others, and read whatever happened to its files."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import hpjax
from hpjax import records
from hpjax.records import ledger as ledgers

SPACE = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 3}
quiet = dict(say=lambda text: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder") / "run"
    scheduler = hpjax.halving(((1, 6), (3, 3)))
    hpjax.tune(SPACE, "iris", scheduler=scheduler, trials=12, out=folder, **quiet)
    return folder


@pytest.fixture
def copy(run, tmp_path):
    import shutil

    return shutil.copytree(run, tmp_path / "copy")


def cut(folder, lines):
    """Leaves only the first lines of a ledger."""
    path = folder / "ledger.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


STEPS = ("refuse_occupied", "open_own", "write_json", "encode")


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_while_a_run_begins_leaves_a_run_or_nothing(tmp_path, monkeypatch, step):
    """Ends the process's work before every file operation in turn; after each, the folder can be begun or resumed."""
    out = tmp_path / "run"
    whole = hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=4).trials

    class Killed(BaseException):
        pass

    real = getattr(ledgers, step)
    for moment in range(1, 5):
        calls = []

        def failing(*arguments, calls=calls, moment=moment, **more):
            calls.append(arguments)
            if len(calls) == moment:
                raise Killed
            return real(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(ledgers, step, failing)
            try:
                hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=4, out=out)
            except Killed:
                pass
            else:
                break
        begun = (out / "run.json").exists()
        found = hpjax.minimize(
            lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=4, out=out, resume=begun
        )
        assert found.trials.equals(whole)
        for file in sorted(out.iterdir()):
            file.unlink()


def test_files_of_others_are_left_as_they_are(tmp_path):
    victim = tmp_path / "victim"
    for name in ("lock", *ledgers.OURS):
        if name == "ledger.jsonl":
            continue
        for link in (False, True):
            out = tmp_path / f"{name}{link}"
            out.mkdir()
            victim.write_text("mine")
            (out / name).symlink_to(victim) if link else (out / name).write_text("mine")
            with pytest.raises(hpjax.RunError) as caught:
                hpjax.tune(SPACE, "iris", trials=2, out=out, **quiet)
            assert "choose another --out" in str(caught.value)
            assert "\n" not in str(caught.value)
            assert victim.read_text() == "mine"
            assert (out / name).read_text() == "mine"


def test_a_link_called_figure_is_replaced_and_not_followed(copy, tmp_path):
    from hpjax import report

    victim = tmp_path / "victim.png"
    victim.write_text("mine")
    (copy / "figure.png").unlink(missing_ok=True)
    (copy / "figure.png").symlink_to(victim)
    report.overview(hpjax.open_run(copy), copy / "figure")
    assert victim.read_text() == "mine"
    assert (copy / "figure.png").stat().st_size > 5000


def test_a_folder_with_an_empty_ledger_and_nothing_else_is_no_run(tmp_path):
    (tmp_path / "ledger.jsonl").write_bytes(b"")
    assert len(hpjax.tune(SPACE, "iris", trials=2, out=tmp_path, **quiet).trials) == 2


@pytest.mark.parametrize("name", ["..", ".", "...", " a", "a/b", "", "x" * 200, ".hidden"])
def test_a_method_names_a_folder_within_the_comparison(tmp_path, name):
    with pytest.raises(ValueError, match="cannot name a folder"):
        hpjax.compare({name: "random"}, SPACE, "iris", out=tmp_path / "a" / "in", **quiet)
    assert not list(tmp_path.rglob("seed0"))


def changed(settings, change):
    """Settings with other values, those of networks and their validation where they stand."""
    for at in (settings["networks"]["validation"], settings["networks"]):
        at |= {name: value for name, value in change.items() if name in at}
    inner = {**settings["networks"], **settings["networks"]["validation"]}
    return settings | {name: value for name, value in change.items() if name not in inner}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("objective", "error"),
        ("seed", 1),
        ("folds", 2),
        ("repeats", 3),
        ("score_every", 2),
        ("batch", 7),
        ("gradients", "autodiff"),
        ("search", "sobol"),
        ("constraints", {"parameters": "<= 50"}),
        ("stream", True),
    ],
)
def test_a_field_that_was_changed_is_named(copy, field, value):
    path = copy / "run.json"
    path.write_text(json.dumps(changed(json.loads(path.read_text()), {field: value})))
    for call in (hpjax.open_run, hpjax.resume):
        with pytest.raises(hpjax.RunError, match=rf"run.json: {field} changed since the run began"):
            call(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "x"}, "objective"),
        ({"seed": "0"}, "seed"),
        ({"folds": 0}, "folds"),
        ({"stop": []}, "stop"),
        ({"surprise": 1}, "surprise"),
        ({"schema": 99}, "schema 99"),
        ({"scheduler": 3}, "scheduler"),
        ({"levels": -1}, "levels"),
    ],
)
def test_a_field_of_another_kind_is_named_with_its_file(copy, change, message):
    path = copy / "run.json"
    path.write_text(json.dumps(changed(json.loads(path.read_text()), change)))
    with pytest.raises(hpjax.RunError, match=rf"run.json: .*{message}"):
        hpjax.open_run(copy)


@pytest.mark.slow
def test_settings_are_fingerprinted_as_they_are_read_again(tmp_path):
    """Whole seconds, NumPy's numbers, tuples and infinities come back from JSON in another form."""
    space = SPACE | {"clip_norm": hpjax.Choice([1.0, float("inf")])}
    configs = [{"clip_norm": float("inf")}, {"clip_norm": 1.0, "learning_rate": 0.01}]
    for name, options in (
        ("seconds", dict(trials=2, stop={"seconds": 600})),
        ("listed", dict(search=configs)),
        ("start", dict(trials=3, start=configs[:1], seed=np.int64(3))),
    ):
        found = hpjax.tune(space, "iris", out=tmp_path / name, **options, **quiet)
        assert hpjax.open_run(tmp_path / name).trials.equals(found.trials)
        whole = (tmp_path / name / "ledger.jsonl").read_bytes()
        cut(tmp_path / name, 2)
        hpjax.resume(tmp_path / name, **quiet)
        assert (tmp_path / name / "ledger.jsonl").read_bytes() == whole
    hpjax.compare(
        ["random"],
        SPACE,
        "iris",
        seeds=1,
        stop={"trials": 2, "seconds": 600},
        out=tmp_path / "compare",
        **quiet,
    )
    assert hpjax.open_comparison(tmp_path / "compare").names == ["random"]
    assert hpjax.resume_comparison(tmp_path / "compare", **quiet).names == ["random"]
    with pytest.raises(hpjax.RunError, match="methods, studies was another"):
        hpjax.compare(
            ["random", "sobol"],
            SPACE,
            "iris",
            seeds=1,
            stop={"trials": 2, "seconds": 600},
            out=tmp_path / "compare",
            resume=True,
            **quiet,
        )


def test_a_comparison_killed_before_its_studies_began_goes_on(tmp_path):
    options = dict(seeds=2, stop={"trials": 2})
    hpjax.compare(["random", "sobol"], SPACE, "iris", out=tmp_path, **options, **quiet)
    import shutil

    shutil.rmtree(tmp_path / "sobol")
    (tmp_path / "random" / "seed1" / "ledger.jsonl").unlink()
    with pytest.raises(hpjax.RunError, match="no run in"):
        hpjax.open_comparison(tmp_path)
    found = hpjax.resume_comparison(tmp_path, **quiet)
    assert [len(one.trials) for studies in found.studies.values() for one in studies] == [2] * 4


def test_what_a_resume_does_not_need_may_be_broken(copy):
    whole = (copy / "ledger.jsonl").read_bytes()
    cut(copy, 3)
    (copy / "environment.json").write_text("garbage {")
    (copy / "times.jsonl").write_text("garbage\n\n[1]\n")
    said = []
    hpjax.resume(copy, say=said.append)
    assert (copy / "ledger.jsonl").read_bytes() == whole
    assert any("environment.json cannot be read" in text for text in said)
    assert (copy / "environment.json.unreadable").read_text() == "garbage {"


def test_seconds_that_cannot_be_are_left_out(copy):
    lines = [
        '{"at":1,"each":[1,2]}',
        '{"at":1,"each":[1],"report":0}',
        '{"at":1,"each":"x","report":1}',
        '{"at":1,"report":[],"each":[1]}',
    ]
    (copy / "times.jsonl").write_text("\n".join(lines))
    assert hpjax.open_run(copy).trials["seconds"].isna().all()


def test_curves_that_are_missing_are_mentioned_and_left_out(copy, run):
    whole = hpjax.open_run(run).curves
    data = bytearray((copy / "curves.bin").read_bytes())
    data[5] ^= 1
    (copy / "curves.bin").write_bytes(data)
    said = []
    found = hpjax.open_run(copy, say=said.append)
    assert len(said) == 1
    assert "1 of 4 reports are missing or damaged" in said[0]
    assert 0 < len(found.curves) < len(whole)
    (copy / "curves.bin").unlink()
    said.clear()
    assert not len(hpjax.open_run(copy, say=said.append).curves)
    assert "4 of 4 reports" in said[0]


@pytest.mark.slow
def test_a_finished_run_is_read_on_any_number_of_devices_and_another_goes_on(copy, tmp_path):
    whole = (copy / "ledger.jsonl").read_bytes()
    code = "import jax; jax.config.update('jax_num_cpu_devices', 1)\nimport sys, hpjax\nprint(hpjax.resume(sys.argv[1]).best)"
    ask = [sys.executable, "-c", code, str(copy)]
    done = subprocess.run(ask, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() == str(hpjax.open_run(copy).best)
    cut(copy, 3)
    done = subprocess.run(ask, capture_output=True, text=True, check=True)
    assert "made on 2 device(s), here are 1; goes on with the recorded plan" in done.stderr
    again = hpjax.open_run(copy)
    (copy / "ledger.jsonl").write_bytes(whole)
    assert again.stopped == "done"
    np.testing.assert_allclose(again.trials["loss"], hpjax.open_run(copy).trials["loss"], rtol=1e-4)


def test_the_table_of_a_run_needs_no_data(tmp_path, capsys):
    from hpjax import cli

    path = tmp_path / "data.csv"
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}" for a, b in rng.normal(size=(80, 2))]
    path.write_text("a,b,label\n" + "\n".join(rows) + "\n")
    found = hpjax.tune(SPACE, path, trials=3, out=tmp_path / "run", **quiet)
    path.unlink()
    with pytest.raises(SystemExit) as caught:
        cli.main(["show", str(tmp_path / "run")])
    assert caught.value.code == 0
    assert "data: best of 3 trials" in capsys.readouterr().out
    assert hpjax.open_run(tmp_path / "run").trials["parameters"].equals(found.trials["parameters"])


def test_runs_of_schema_2_are_shown_and_not_resumed(tmp_path):
    """As the version before wrote them: no checksums, and `loss` was what was minimised."""
    curve = np.full((2, 3, 4), 0.5, np.float32)
    curve[:, :, 0] = [1, 2, 3]
    (tmp_path / "curves").mkdir()
    np.savez(tmp_path / "curves" / "000000.npz", curves=curve)
    space = hpjax.Space.load(SPACE)
    settings = {
        "schema": 2,
        "space": space.to_dict(),
        "space_hash": space.hash(),
        "task": "iris",
        "data": None,
        "target": None,
        "search": "random",
        "start": [],
        "scheduler": {"name": "full", "epochs": 3},
        "seed": 0,
        "folds": 1,
        "repeats": 1,
        "minimize": "error",
        "levels": 5,
        "batch": None,
        "score_every": 1,
        "gradients": "explicit",
        "stop": {"trials": 2, "epochs": None, "seconds": None, "rounds": None},
    }
    lines = [
        {"kind": "plan", "schema": 2, "programs": []},
        {"kind": "ask", "first": 0, "unit": [[0.1], [0.9]], "fidelity": 3},
        {
            "kind": "report",
            "trial": [0, 1],
            "source": [-1, -1],
            "epochs": [3, 3],
            "loss": [0.4, 0.2],
            "validation_loss": [1.5, 0.7],
            "error": [0.4, 0.2],
            "train": [1.0, 1.0],
            "kept": [3, 3],
            "reached": [3, 3],
            "diverged": [0, 0],
            "finished": [0, 1],
        },
        {"kind": "stop", "why": "done", "deterministic": True},
    ]
    (tmp_path / "run.json").write_text(json.dumps(settings))
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = hpjax.open_run(tmp_path)
    assert found.trials["objective"].tolist() == found.trials["error"].tolist() == [0.4, 0.2]
    assert found.trials["loss"].tolist() == [1.5, 0.7]
    assert found.best["trial"] == 1
    assert len(found.curves) == 6
    with pytest.raises(hpjax.RunError, match="schema 2, which this version can show"):
        hpjax.resume(tmp_path)


def test_an_edited_run_of_schema_3_is_noticed(tmp_path):
    """Fingerprints of the version before: of the fields as they stand in the file."""
    settings = {
        "schema": 3,
        "space": {"hidden": [4], "learning_rate": {"log_uniform": [0.001, 0.1]}},
        "task": "iris",
        "model": None,
        "search": "random",
        "start": [],
        "scheduler": {"name": "full", "epochs": 3},
        "seed": 0,
        "folds": 1,
        "repeats": 1,
        "minimize": "error",
        "levels": 5,
        "batch": None,
        "stop": {"trials": 2, "epochs": None, "seconds": None, "rounds": None},
    }
    settings["space_hash"] = hpjax.Space.load(settings["space"]).hash()
    named = settings | {"stop": {n: v for n, v in settings["stop"].items() if n != "trials"}}
    encoded = {n: json.dumps(v, sort_keys=True, separators=(",", ":")) for n, v in named.items()}
    digests = {n: hashlib.sha256(text.encode()).hexdigest()[:8] for n, text in encoded.items()}
    plan = {"kind": "plan", "schema": 3, "programs": [], "settings": digests}
    ledger = records.Ledger(tmp_path / "made")
    ledger.put(plan)
    ledger.close()
    (tmp_path / "made" / "run.json").write_text(json.dumps(settings))
    assert hpjax.open_run(tmp_path / "made").settings.minimised == "error"
    longer = settings | {"stop": settings["stop"] | {"trials": 9}}
    (tmp_path / "made" / "run.json").write_text(json.dumps(longer))
    hpjax.open_run(tmp_path / "made")
    for name, value in (("seed", 1), ("folds", 2), ("minimize", "loss")):
        (tmp_path / "made" / "run.json").write_text(json.dumps(settings | {name: value}))
        with pytest.raises(hpjax.RunError, match=f"{name} changed since the run began"):
            hpjax.open_run(tmp_path / "made")


def test_a_point_that_was_edited_does_not_come_out_again(tmp_path):
    """Checksums made anew, as somebody could: the replay still compares points, sources, seeds and notes."""
    options = dict(scheduler=hpjax.pbt(5, 4, 1), trials=5, seed=1)
    objective = lambda p, epochs: (p["x"] - 0.3) ** 2 / epochs
    space = {"x": hpjax.Uniform(0, 1), "y": hpjax.Uniform(0, 1)}
    hpjax.minimize(objective, space, out=tmp_path, **options)
    kept, _, _ = records.read_ledger(tmp_path / "ledger.jsonl")
    moved = next(
        i for i, record in enumerate(kept) if "unit" in record and record["kind"] == "report"
    )
    asked = next(i for i, record in enumerate(kept) if record["kind"] == "ask")

    def rewritten(at, change):
        crc, lines = 0, []
        for number, record in enumerate(kept[:-1]):
            line, crc = ledgers.sealed(record | change if number == at else record, crc)
            lines.append(line)
        (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines))

    unit = [[0.5 for _ in row] for row in kept[moved]["unit"]]
    source = [kept[moved]["source"][-1]] * len(kept[moved]["source"])
    for at, change, field in (
        (moved, {"unit": unit}, "unit"),
        (moved, {"source": source}, "source"),
        (moved, {"seed": [1] * 5}, "seed"),
        (moved, {"finished": [0]}, "finished"),
        (asked, {"note": {"theta": [1.0]}}, "note"),
        (asked, {"unit": [[0.1, 0.1]] * 5}, "unit"),
    ):
        rewritten(at, change)
        with pytest.raises(hpjax.RunError, match=rf"did not come out again: .*{field}"):
            hpjax.minimize(objective, space, out=tmp_path, resume=True, **options)
    rewritten(-9, {})
    with pytest.raises(hpjax.RunError, match=r"run.json: scheduler changed"):
        hpjax.minimize(
            objective,
            space,
            out=tmp_path,
            resume=True,
            scheduler=hpjax.pbt(5, 4, 1, jump=0.2),
            trials=5,
            seed=1,
        )


def test_a_full_disk_while_the_figure_is_drawn_is_one_line(copy, monkeypatch, capsys):
    from hpjax import cli, report

    def failing(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "overview", failing)
    with pytest.raises(SystemExit) as caught:
        cli.main(["resume", str(copy)])
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert "the study is whole" in said.err
    assert "Traceback" not in said.out + said.err


@pytest.mark.slow
def test_standard_output_that_is_full_or_closed_is_no_traceback():
    for words in (
        f"{sys.executable} -m hpjax tasks > /dev/full",
        f"{sys.executable} -m hpjax tasks >&-",
        f"{sys.executable} -m hpjax tasks | true",
    ):
        done = subprocess.run(words, shell=True, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1
    assert os.path.exists("/dev/full")
