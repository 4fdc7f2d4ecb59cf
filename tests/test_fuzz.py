"""Readers, arguments and the command line against damaged files and nonsense: one line, or what was written; nothing else.

Cases come from a generator with a fixed seed. A case that is refused must be refused by our own errors, in one line; a case that is
accepted must mean what the file or the argument says.
"""

import contextlib
import gzip
import io
import json
import math
import shutil
import struct
import warnings

import numpy as np
import pytest

import hpjax
from hpjax import cli, resolve, schedulers, search, tasks
from hpjax.records import checkpoint
from hpjax.search.base import Dim

SPACE = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 2}
REFUSALS = (ValueError, hpjax.RunError)
LONGEST = 700  # letters of a refusal


def quiet(text):
    """Hears nothing."""


def outcome(call):
    """What a call returns; None where it refuses as it should."""
    try:
        return call()
    except REFUSALS as fault:
        refusal = fault
    text = str(refusal)
    assert "\n" not in text, text
    assert 0 < len(text) <= LONGEST, text
    assert type(refusal) in (ValueError, hpjax.TaskError, hpjax.RunError), repr(refusal)
    return None


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A file after an accident: a flipped bit, bytes lost, added or overwritten, a part moved, or the end cut off."""
    kind, at = rng.integers(7), int(rng.integers(max(1, len(data))))
    some = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8))
    match int(kind):
        case 0:
            return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[at + int(rng.integers(1, 40)) :]
        case 3:
            return data[:at] + some + data[at:]
        case 4:
            return data[:at] + some + data[at + len(some) :]
        case 5:
            lines = data.split(b"\n")
            rng.shuffle(lines)
            return b"\n".join(lines)
        case _:
            end = at + int(rng.integers(1, 60))
            return data[:at] + data[at:end] * 2 + data[end:]


NONSENSE = [None, True, -1, 0, 1.5, 2**70, math.inf, math.nan, "", "x", "nan", "\0", "a" * 5000, [], [[]], {}, {"x": 1}, (1, 2, 3), b"1", 1j, object, np.array([1.0, np.nan]), np.int64(3)]  # fmt: skip


def edited(value, rng: np.random.Generator):
    """JSON after a hand's edit: somewhere another value, a field less or a field more."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = str(rng.choice(sorted(value)))
        kind = rng.integers(5)
        if kind == 0:
            return {n: v for n, v in value.items() if n != name}
        if kind == 1:
            return value | {name + "x": value[name]}
        return value | {name: edited(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = int(rng.integers(len(value)))
        return [*value[:at], edited(value[at], rng), *value[at + 1 :]]
    plain = [
        None,
        True,
        False,
        -1,
        0,
        1,
        7,
        1.5,
        2**70,
        1e300,
        "",
        "x",
        "error",
        [],
        [1],
        {},
        {"x": None},
    ]
    return plain[int(rng.integers(len(plain)))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run and a comparison, whole."""
    folder = tmp_path_factory.mktemp("whole")
    hpjax.tune(
        SPACE,
        "iris",
        scheduler=hpjax.halving(((1, 6), (2, 3))),
        trials=12,
        out=folder / "run",
        say=quiet,
    )
    hpjax.compare(
        ["random", "sobol"],
        SPACE,
        "iris",
        seeds=1,
        stop={"trials": 3},
        out=folder / "compare",
        say=quiet,
    )
    return folder


def damaged_runs(runs, folder, count, seed):
    """Opens runs of which one file was damaged; they are refused, or say what they said before."""
    rng, whole = np.random.default_rng(seed), hpjax.open_run(runs / "run", say=quiet)
    run = folder / "run"
    shutil.copytree(runs / "run", run)
    refused = 0
    for number in range(count):
        name = str(
            rng.choice(
                [
                    "ledger.jsonl",
                    "ledger.jsonl",
                    "run.json",
                    "run.json",
                    "curves.bin",
                    "times.jsonl",
                    "environment.json",
                ]
            )
        )
        data = (run / name).read_bytes()
        if name == "run.json" and number % 2:
            (run / name).write_text(json.dumps(edited(json.loads(data), rng)))
        else:
            (run / name).write_bytes(damaged(data, rng))
        said = []
        found = outcome(lambda said=said: hpjax.open_run(run, say=said.append))
        refused += found is None
        if found is not None:
            trials = outcome(lambda found=found: found.trials)
            assert trials is not None
            kept = found.records == whole.records[: len(found.records)]
            assert kept, name
            if len(found.records) < len(whole.records):
                assert name == "ledger.jsonl"
            same = ("networks", "space", "seed", "scheduler", "search")
            for field in same:
                assert getattr(found.settings, field) == getattr(whole.settings, field)
            curves = found.curves
            if name == "curves.bin" and not said:
                assert curves.equals(whole.curves)
            if name == "curves.bin" and said:
                assert "missing or damaged" in said[0]
            assert np.isin(curves["loss"], whole.curves["loss"]).all()
        (run / name).write_bytes(data)
    assert refused > count // 4


def damaged_comparisons(runs, folder, count, seed):
    rng, place = np.random.default_rng(seed), folder / "compare"
    shutil.copytree(runs / "compare", place)
    whole = hpjax.open_comparison(place)
    data = (place / "compare.json").read_bytes()
    for number in range(count):
        text = (
            json.dumps(edited(json.loads(data), rng)).encode() if number % 2 else damaged(data, rng)
        )
        (place / "compare.json").write_bytes(text)
        found = outcome(lambda: hpjax.open_comparison(place))
        if found is not None:
            assert set(found.names) <= set(whole.names)
    (place / "compare.json").write_bytes(data)


def damaged_checkpoints(folder, count, seed):
    rng, path = np.random.default_rng(seed), folder / "checkpoint.npz"
    arrays = {
        "orders": np.array(3),
        "behind": np.zeros(32, np.uint8),
        "p0_0": rng.normal(size=(4, 2, 3)),
    }
    np.savez(path, **checkpoint.signed(arrays))
    data = path.read_bytes()
    for _ in range(count):
        path.write_bytes(damaged(data, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's, of names that stand twice
            try:
                found = checkpoint.verified(path)
            except checkpoint.FAULTS:
                continue
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


def data_files(folder, rng):
    """Small data sets in every format: name -> bytes."""
    x, y = rng.normal(size=(30, 3)).round(3), np.arange(30) % 3
    rows = [",".join([*map(str, row), f"c{label}"]) for row, label in zip(x.tolist(), y)]
    csv = "a,b,c,label\n" + "\n".join(rows) + "\n"
    quoted = 'a;"b;c";"the\nlabel"\n' + "\n".join(f'{i};{i * 0.5};"x{i % 2}"' for i in range(20))
    arff = (
        "@relation r\n@attribute a numeric\n@attribute 'b c' real\n@attribute d numeric\n@attribute label {c0,c1,'c2'}\n@data\n"
        + "\n".join(rows)
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=x, y=y, x_test=x[:6], y_test=y[:6])
    images = struct.pack(">BBBB3I", 0, 0, 8, 3, 30, 2, 2) + bytes(range(120))
    labels = struct.pack(">BBBBI", 0, 0, 8, 1, 30) + bytes(y.astype(np.uint8))
    files = {
        "a.csv": csv.encode(),
        "q.csv": quoted.encode(),
        "a.csv.gz": gzip.compress(csv.encode()),
        "a.arff": arff.encode(),
        "a.npz": buffer.getvalue(),
        "t-images-idx3-ubyte": images,
        "t-labels-idx1-ubyte": labels,
    }
    try:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({"a": x[:, 0], "b": x[:, 1], "label": [f"c{i}" for i in y]})
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        files["a.parquet"] = sink.getvalue().to_pybytes()
    except ImportError:
        pass
    return files


def damaged_data(folder, count, seed):
    rng = np.random.default_rng(seed)
    files = data_files(folder, rng)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    names = sorted(files)
    for number in range(count):
        name = names[number % len(names)]
        (folder / name).write_bytes(damaged(files[name], rng))
        read = "t-images-idx3-ubyte" if "idx" in name else name
        found = outcome(lambda read=read: tasks.read(folder / read))
        if found is not None:
            assert not np.isinf(found.x).any()
            gaps = np.isnan(found.x).any(0)  # a cell that lost its number, which `about` says
            assert not gaps.any() or found.schema
            assert all(c.gaps or c.categorical for c, gap in zip(found.schema, gaps) if gap)
            assert len(found.x) == len(found.y)
        (folder / name).write_bytes(files[name])


TOML = b"""learning_rate = { log_uniform = [1e-4, 1e-1] }
depth = { int_uniform = [1, 2] }
width_1 = { log_int_uniform = [16, 256] }
width_2 = { log_int_uniform = [16, 256], when = { depth = 2 } }
activation = { choice = ["relu", "tanh"] }
batch_size = 32
l2 = [0.1, 0.2, 0.3]
"""


def damaged_spaces(folder, count, seed):
    rng, path = np.random.default_rng(seed), folder / "space.toml"
    whole = resolve.as_space({name: value for name, value in [("learning_rate", 0.1)]}).constants
    assert whole == {"learning_rate": 0.1}
    for number in range(count):
        if number % 2:
            path.write_bytes(damaged(TOML, rng))
            found = outcome(lambda: resolve.as_space(path))
        else:
            entries = {
                "learning_rate": {"uniform": [0.1, 1.0]},
                "depth": 2,
                "width_2": {"int_uniform": [1, 9]},
            }
            name = str(
                rng.choice([*entries, "hidden", "activation", "l2", "batch_size", "dropout", "zzz"])
            )
            value = NONSENSE[int(rng.integers(len(NONSENSE)))]
            value = (
                value
                if rng.random() < 0.5
                else {"choice": value}
                if rng.random() < 0.5
                else {"uniform": [value, 1.0]}
            )
            found = outcome(
                lambda entries=entries, name=name, value=value: resolve.as_space(
                    entries | {name: value}
                )
            )
        if found is not None and found.dims:
            units = np.random.default_rng(0).random((4, len(found.dims)))
            for column in found.decode(units).values():
                assert len(column) == 4


TUNED = [
    "columns",
    "space",
    "task",
    "search",
    "start",
    "scheduler",
    "epochs",
    "eta",
    "trials",
    "seed",
    "validation",
    "objective",
    "metrics",
    "loss",
    "stop",
    "levels",
    "batch",
    "gradients",
    "stream",
    "data",
    "target",
    "kind",
    "say",
    "watch",
]
MADE = [
    lambda v: hpjax.full(v), lambda v: hpjax.halving(v), lambda v: hpjax.halving(((1, v), (3, 1))), lambda v: hpjax.hyperband(v), lambda v: hpjax.hyperband(9, v),
    lambda v: hpjax.median(v, 1), lambda v: hpjax.median(4, v), lambda v: hpjax.pbt(v), lambda v: hpjax.pbt(4, 4, v), lambda v: hpjax.pbt(quantile=v), lambda v: hpjax.pbt(jump=v),
    lambda v: hpjax.replay(v), lambda v: hpjax.ladder(v, 9), lambda v: hpjax.Choice(v), lambda v: hpjax.Uniform(0, v), lambda v: hpjax.Uniform(v, 1), lambda v: hpjax.LogUniform(v, 1),
    lambda v: hpjax.IntUniform(0, v), lambda v: hpjax.LogIntUniform(1, v), lambda v: schedulers.from_settings({"name": v}), lambda v: schedulers.from_settings({"name": "full", "epochs": v}),
    lambda v: hpjax.open_run(str(v)), lambda v: hpjax.resume("nowhere", trials=v), lambda v: hpjax.open_comparison(str(v)), lambda v: tasks.load(str(v)), lambda v: hpjax.Task.of([[0.0], [1.0]] * 9, v),
    lambda v: hpjax.Task.of(v, [0, 1] * 9), lambda v: hpjax.Task.of([[0.0], [1.0]] * 9, [0, 1] * 9, kind=v), lambda v: hpjax.Task.of([[0.0], [1.0]] * 9, [0, 1] * 9, v),
    lambda v: hpjax.compare(v, SPACE, "iris", seeds=1), lambda v: hpjax.compare(["random"], SPACE, "iris", seeds=v) if not isinstance(v, (int, np.integer)) else None,
    lambda v: hpjax.compare({"a": v}, SPACE, "iris", seeds=1, stop={"trials": 1}, say=quiet) if not isinstance(v, str) or v != "x" else None,
    lambda v: hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=3, search=v), lambda v: hpjax.minimize(lambda p: v, {"x": hpjax.Uniform(0, 1)}, trials=3),
    lambda v: hpjax.minimize(v, {"x": hpjax.Uniform(0, 1)}, trials=3), lambda v: hpjax.minimize(lambda p: p["x"], {"x": v}, trials=3), lambda v: hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=v) if not isinstance(v, (int, np.integer)) else None,
]  # fmt: skip


@pytest.mark.parametrize("name", TUNED)
def test_each_argument_with_each_nonsense(name):
    for value in NONSENSE:
        options = {"space": SPACE, "task": "iris", "trials": 2, "say": quiet, name: value}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            outcome(lambda options=options: hpjax.explain(**options))


@pytest.mark.parametrize(
    "name", ["gradients", "budget", "hyperband", "tpe", "differential", "gradient", "by_name"]
)
def test_each_word_with_each_nonsense(name):
    dims = (Dim("continuous"),)
    words = {
        "gradients": lambda v: hpjax.train({"width": 2}, "iris", 1, gradients=v),
        "budget": lambda v: hpjax.MLPClassifierCV(budget=v).fit([[0.0], [1.0]] * 9, [0, 1] * 9),
        "hyperband": lambda v: schedulers.hyperband(9, promote=v),
        "by_name": lambda v: schedulers.by_name(v, 9),
        "tpe": lambda v: search.tpe(dims, model=v),
        "differential": lambda v: search.differential(dims, strategy=v),
        "gradient": lambda v: search.gradient(dims, rule=v),
    }
    for value in NONSENSE:
        assert outcome(lambda value=value: words[name](value)) is None


def wrong_arguments(count, seed):
    """Public functions with nonsense for an argument; nothing is trained where it is accepted."""
    rng = np.random.default_rng(seed)
    plain = dict(space=SPACE, task="iris", trials=2)
    for number in range(count):
        value = NONSENSE[int(rng.integers(len(NONSENSE)))]
        if number % 3:
            made = MADE[int(rng.integers(len(MADE)))]
            outcome(lambda made=made, value=value: made(value))
            continue
        name = str(rng.choice(TUNED))
        if name == "stop" and rng.random() < 0.7:
            value = {str(rng.choice(["epochs", "seconds", "rounds", "trials"])): value}
        if name == "validation" and rng.random() < 0.7:
            value = {str(rng.choice(["folds", "repeats", "score_every"])): value}
        options = plain | {"say": quiet, name: value}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            outcome(lambda options=options: hpjax.explain(**options))


WORDS = [
    *[
        "tune",
        "compare",
        "resume",
        "show",
        "confirm",
        "tasks",
        "iris",
        "digits",
        "nowhere",
        "--trials",
        "--seed",
        "--folds",
        "--out",
        "--space",
        "--search",
        "--scheduler",
        "--epochs",
        "--seconds",
        "--top",
        "--budget",
        "--seeds",
        "--methods",
        "--kind",
        "--objective",
        "--levels",
        "--explain",
        "0",
        "-1",
        "nan",
        "1.5",
        "x",
        "grid",
        "bayes",
        "full",
        "classes",
        "/dev/null",
        "../..",
        "99999999999999999999",
    ],
    "",
    "a" * 300,
    "\x00",
]


def wrong_commands(folder, count, seed, capsys, monkeypatch):
    """Command lines of random words: exit code 2 with something on standard error, or an exit that is meant."""
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        words = [
            WORDS[int(rng.integers(6))],
            *(WORDS[int(at)] for at in rng.integers(6, len(WORDS), int(rng.integers(0, 5)))),
        ]
        if words[0] in ("tune", "compare"):
            words += ["--explain"] if words[0] == "tune" else ["--methods", ""]
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        said = capsys.readouterr()
        assert caught.value.code in (0, 1, 2), words
        assert "Traceback" not in said.err + said.out, words
        if caught.value.code == 2:
            assert said.err, words
        if said.err.startswith("hpjax: ") and caught.value.code == 2:
            last = said.err.rstrip("\n").split("\n")[-1]
            assert len(last) <= LONGEST, words


def everything(runs, folder, seed, scale, capsys, monkeypatch):
    monkeypatch.delenv("HPJAX_DATA", raising=False)
    damaged_runs(runs, folder, 120 * scale, seed)
    damaged_comparisons(runs, folder, 30 * scale, seed + 1)
    damaged_checkpoints(folder, 60 * scale, seed + 2)
    damaged_data(folder, 120 * scale, seed + 3)
    damaged_spaces(folder, 80 * scale, seed + 4)
    wrong_arguments(120 * scale, seed + 5)
    wrong_commands(folder, 20 * scale, seed + 6, capsys, monkeypatch)


@pytest.mark.slow
def test_550_damaged_files_and_wrong_words(runs, tmp_path, capsys, monkeypatch):
    everything(runs, tmp_path, 0, 1, capsys, monkeypatch)


@pytest.mark.slow
def test_2200_damaged_files_and_wrong_words(runs, tmp_path, capsys, monkeypatch):
    everything(runs, tmp_path, 1000, 4, capsys, monkeypatch)
