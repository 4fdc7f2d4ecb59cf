"""Studies in trackers, read back by the trackers' own readers: the same numbers, the same ends."""

import json
import math
import os
import sqlite3
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

import hpjax
from hpjax import cli
from hpjax.integrations import following, mlflow_runs, tensorboard, wandb_runs

SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
    "optimizer": hpjax.Choice(["sgd", "adam"]),
    "momentum": hpjax.Uniform(0.0, 0.9).when("optimizer", "sgd"),
    "depth": hpjax.IntUniform(1, 2),
    "width": 4,
    "residual": hpjax.Choice([False, True]),
}
quiet = dict(say=lambda text: None, progress=False)
SCHEDULER = hpjax.halving(((1, 9), (3, 3)))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Nine trials, six of them pruned after an epoch."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    options = dict(trials=9, scheduler=SCHEDULER, metrics=["accuracy"], objective="accuracy")
    return hpjax.tune(SPACE, "iris", out=folder, **options, **quiet)


class Heard:
    """A tracker that remembers."""

    most = 1000

    def __init__(self):
        self.study, self.rows, self.ends, self.closed = None, {}, {}, 0
        self.described = set()

    def begin(self, study):
        assert self.study is None
        self.study = study

    def describe(self, trial):
        assert trial.number not in self.described, "told twice"
        self.described.add(trial.number)

    def scores(self, trial, epochs, scores):
        assert self.study is not None
        assert trial.number not in self.ends, "told after its end"
        for at, epoch in enumerate(epochs):
            key = (trial.number, epoch)
            assert key not in self.rows, "told twice"
            self.rows[key] = {name: values[at] for name, values in scores.items()}

    def end(self, trial, status):
        assert trial.number in self.described
        assert trial.number not in self.ends
        self.ends[trial.number] = status, trial.config

    def close(self, whole):
        self.closed += 1
        self.whole = whole


def check(rows, ends, study):
    """What was told is what the study has."""
    curves = study.curves.set_index(["trial", "epoch"])
    assert rows.keys() == set(curves.index)
    for key, row in rows.items():
        for name in ("train", "loss", "error", "accuracy"):
            assert row[name] == curves.at[key, name]
    assert {n: status for n, (status, *_) in ends.items()} == dict(study.trials["status"])


def test_a_finished_run_is_told_whole_and_once(study):
    heard = Heard()
    assert following.write(study, heard) == 9
    check(heard.rows, heard.ends, study)
    assert heard.closed == 1
    assert (heard.study.objective, heard.study.greater) == ("accuracy", True)
    for number, (_, config) in heard.ends.items():
        assert config == {k: v for k, v in study.config(number).items()}


def test_a_run_that_trains_is_told_whole_and_once(tmp_path, monkeypatch):
    """After each report, however long that takes; the same as a finished run is told."""
    monkeypatch.setattr(following, "SHARE", math.inf)
    heard, told = Heard(), []
    with following.Follower(tmp_path / "run", heard) as follower:

        def watch(progress, population):
            follower(progress, population)
            told.append(len(heard.rows))

        found = hpjax.tune(
            SPACE,
            "iris",
            trials=9,
            metrics=["accuracy"],
            scheduler=SCHEDULER,
            out=tmp_path / "run",
            watch=watch,
            **quiet,
        )
        assert told == sorted(told)
        assert 0 < told[0] < len(found.curves)
        assert not any(status == "PRUNED" for status, *_ in heard.ends.values())
    check(heard.rows, heard.ends, found)
    assert heard.closed == 1


def test_a_member_that_diverged_and_is_revived_goes_on(tmp_path, monkeypatch):
    """Broke: population-based training gives it another's weights, but its end had been told."""
    monkeypatch.setattr(following, "SHARE", math.inf)
    space = {"learning_rate": hpjax.LogUniform(1e-2, 3.0), "hidden": (4,), "optimizer": "sgd"}
    run, heard = tmp_path / "run", Heard()
    options = dict(scheduler=hpjax.pbt(8, 8, 2), trials=8, out=run, **quiet)
    with following.Follower(run, heard) as follower:
        found = hpjax.tune(space, "diabetes", watch=follower, **options)
    diverged = {row[0] for row in heard.rows if not math.isfinite(heard.rows[row]["loss"])}
    assert diverged & {n for n, (status, _) in heard.ends.items() if status == "OK"}
    assert {n: status for n, (status, _) in heard.ends.items()} == dict(found.trials["status"])


def test_of_more_trials_than_a_tracker_bears_the_best_and_a_sample(study):
    heard, said = Heard(), []
    heard.most = 4
    assert following.write(study, heard, said.append) == 4
    assert set(heard.ends) >= set(study.ranking[:2].tolist())
    assert said == ["hpjax: writes 4 of 9 trials: the best, and a sample of the others"]


@pytest.mark.parametrize("name", ["tensorboardX", "mlflow", "wandb", "trackio"])
def test_a_library_that_is_missing_is_named_with_its_remedy(tmp_path, study, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    calls = {
        "tensorboardX": lambda: tensorboard.write(study, tmp_path / "logs"),
        "mlflow": lambda: mlflow_runs.write(study, f"sqlite:///{tmp_path}/m.db"),
        "wandb": lambda: wandb_runs.write(study, "p", tmp_path),
        "trackio": lambda: wandb_runs.write(study, "p", library="trackio"),
    }
    with pytest.raises(ValueError, match=r"is not installed; pip install 'hpjax\["):
        calls[name]()


# --- TensorBoard ------------------------------------------------------------------------------------------------------
def scalars(folder):
    """(trial, epoch) -> scores, as TensorBoard reads them."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = {}
    for path in sorted(folder.glob("trial_*")):
        events = reader.EventAccumulator(str(path))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                rows.setdefault((int(path.name[6:]), event.step), {})[tag] = event.value
    return rows


def hparams(folder):
    """What the HParams plugin reads of each run: the experiment, or where a session starts and ends."""
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import metadata

    found = {}
    for path in [folder, *sorted(folder.glob("trial_*"))]:
        events = event_accumulator.EventAccumulator(str(path))
        events.Reload()
        content = events.PluginTagToContent("hparams")
        found[path.name] = {
            tag: parse(content[tag])
            for tag, parse in (
                (metadata.EXPERIMENT_TAG, metadata.parse_experiment_plugin_data),
                (metadata.SESSION_START_INFO_TAG, metadata.parse_session_start_info_plugin_data),
                (metadata.SESSION_END_INFO_TAG, metadata.parse_session_end_info_plugin_data),
            )
            if tag in content
        }
    return found


def test_tensorboard_reads_scalars_and_hyperparameters(tmp_path, study):
    pytest.importorskip("tensorboardX")
    assert tensorboard.write(study, tmp_path / "logs") == 9
    rows = scalars(tmp_path / "logs")
    curves = study.curves.set_index(["trial", "epoch"])
    assert rows.keys() == set(curves.index)
    for key, row in rows.items():
        for name in ("train", "loss", "error", "accuracy"):
            assert row[name] == pytest.approx(curves.at[key, name], rel=1e-6)
    read = hparams(tmp_path / "logs")
    experiment = read["logs"]["_hparams_/experiment"]
    assert {info.name for info in experiment.hparam_infos} == set(study.space.names)
    assert experiment.metric_infos[0].name.tag == "accuracy"
    assert len(read) == 10
    for number in range(9):
        session = read[f"trial_{number:05d}"]["_hparams_/session_start_info"].hparams
        config = study.config(number)
        assert set(session) == set(config)
        assert session["learning_rate"].number_value == config["learning_rate"]
        assert session["optimizer"].string_value == config["optimizer"]
        assert session["residual"].bool_value == config["residual"]
        assert read[f"trial_{number:05d}"]["_hparams_/session_end_info"].status == 1
    with pytest.raises(hpjax.RunError, match="holds files already"):
        tensorboard.write(study, tmp_path / "logs")


# --- MLflow -----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own use of SQLAlchemy
def test_mlflow_reads_nested_runs(tmp_path, study):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert mlflow_runs.write(study, uri) == 9
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("hpjax").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(runs) == 10
    assert len(parents) == 1
    assert parents[0].data.params["objective"] == "maximize accuracy"
    curves = study.curves.set_index(["trial", "epoch"])
    seen = set()
    for run in runs:
        if run in parents:
            continue
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        number = int(run.data.tags["trial"])
        status = study.trials["status"][number]
        assert run.data.tags["status"] == status
        assert run.info.status == mlflow_runs.STATUS[status]
        assert run.data.params == {n: str(v) for n, v in study.config(number).items()}
        for metric in client.get_metric_history(run.info.run_id, "loss"):
            seen.add((number, metric.step))
            assert metric.value == curves.at[(number, metric.step), "loss"]
    assert seen == set(curves.index)
    with pytest.raises(hpjax.RunError, match=parents[0].info.run_id):
        mlflow_runs.write(study, uri)
    assert mlflow_runs.write(study, uri, experiment="another") == 9
    client.delete_run(parents[0].info.run_id)
    assert mlflow_runs.write(study, uri) == 9


# --- Weights & Biases, Trackio ----------------------------------------------------------------------------------------
def logged(data):
    """Records of a log as LevelDB writes it, which W&B's files are: blocks of 32 KiB; checksum, length, and whether a record goes on."""
    at, parts = 7, []
    while at + 7 <= len(data):
        if (room := 2**15 - at % 2**15) < 7:
            at += room
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []


def records(path):
    """What W&B has written of a run, up to its end: a service of W&B's writes, and may be behind `finish()`."""
    from wandb.proto import wandb_internal_pb2

    for _ in range(600):
        found = [wandb_internal_pb2.Record.FromString(data) for data in logged(path.read_bytes())]
        if any(record.HasField("exit") for record in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end after a minute")


@pytest.mark.slow
def test_wandb_reads_a_group_of_runs(tmp_path, study):
    pytest.importorskip("wandb")
    assert wandb_runs.write(study, "project", tmp_path) == 9
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 9
    rows, groups = {}, set()
    for path in files:
        config, history = {}, {}
        for record in records(path):
            if record.HasField("run"):
                groups.add(record.run.run_group)
                config |= {item.key: item.value_json for item in record.run.config.update}
            if record.HasField("history"):
                items = {
                    item.key or ".".join(item.nested_key): float(item.value_json)
                    for item in record.history.item
                    if item.value_json.replace(".", "").replace("e-", "").isdigit()
                }
                history[record.history.step.num] = items
        for epoch, items in history.items():
            rows[int(config["trial"]), epoch] = items
    assert groups == {"run"}
    curves = study.curves.set_index(["trial", "epoch"])
    assert rows.keys() == set(curves.index)
    for key, row in rows.items():
        assert row["loss"] == pytest.approx(curves.at[key, "loss"])


@pytest.mark.slow
def test_trackio_reads_a_group_of_runs(tmp_path, study, monkeypatch):
    """In a process of its own: Trackio reads TRACKIO_DIR when it is imported."""
    pytest.importorskip("trackio")
    code = f"""
import hpjax
from hpjax import cli
from hpjax.integrations import wandb_runs

if __name__ == "__main__":
    run = hpjax.open_run({str(study.folder)!r}, say=lambda text: None)
    print(wandb_runs.write(run, "project", library="trackio"))
"""
    script = tmp_path / "export.py"
    script.write_text(code)
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(next((tmp_path / "trackio").glob("*.db"))) as base:
        names = {name for (name,) in base.execute("select distinct run_name from metrics")}
        count = base.execute("select count(*) from metrics").fetchone()[0]
    assert names == {f"run-{number:05d}" for number in range(9)}
    assert count == len(study.curves)


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    pytest.importorskip("tensorboardX")
    space = {"learning_rate": hpjax.Choice([1e-3, 1e30]), "optimizer": "sgd", "hidden": (3,)}
    found = hpjax.tune(space, "diabetes", search="grid", epochs=2, out=tmp_path / "run", **quiet)
    tensorboard.write(found, tmp_path / "logs")
    diverged = int(np.flatnonzero(found.trials["status"] == "DIVERGED")[0])
    assert all(
        math.isfinite(v) for row in scalars(tmp_path / "logs").values() for v in row.values()
    )
    ending = hparams(tmp_path / "logs")[f"trial_{diverged:05d}"]["_hparams_/session_end_info"]
    assert ending.status == 2


def test_several_at_once_from_the_command_line(tmp_path, study, capsys):
    pytest.importorskip("tensorboardX")
    where = ["--tensorboard", str(tmp_path / "logs"), "--optuna", str(tmp_path / "journal.log")]
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", str(study.folder), *where, "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)["written"]
    assert {name: row["trials"] for name, row in said.items()} == {"tensorboard": 9, "optuna": 9}
    assert len(scalars(tmp_path / "logs")) == len(study.curves)


def test_hyperparameters_that_move_are_those_of_the_end(tmp_path, monkeypatch):
    """Population-based training, followed: what stands beside a trial's last score is what it had then."""
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(following, "SHARE", math.inf)
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "hidden": (4,)}
    run, logs = tmp_path / "run", tmp_path / "logs"
    with tensorboard.follow(run, logs) as follower:
        found = hpjax.tune(
            space, "iris", scheduler=hpjax.pbt(6, 6, 2), trials=6, out=run, watch=follower, **quiet
        )
    read = hparams(logs)
    for number in range(6):
        session = read[f"trial_{number:05d}"]["_hparams_/session_start_info"].hparams
        assert session["learning_rate"].number_value == found.config(number)["learning_rate"]


@pytest.mark.slow
def test_a_run_that_was_interrupted(tmp_path):
    """Trials that had not ended are told with what they had, and their sessions are of no known end."""
    pytest.importorskip("tensorboardX")
    run = tmp_path / "run"
    hpjax.tune(SPACE, "iris", trials=9, scheduler=SCHEDULER, out=run, **quiet)
    ledger = run / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:3]))  # the plan, an ask, a report
    found = hpjax.open_run(run, say=quiet["say"])
    assert set(found.trials["status"]) == {"PRUNED", "RUNNING"}
    heard = Heard()
    assert following.write(found, heard) == 9
    assert not heard.whole
    assert {status for status, *_ in heard.ends.values()} == {"PRUNED", "RUNNING"}
    assert tensorboard.write(found, tmp_path / "logs") == 9
    ends = [
        read["_hparams_/session_end_info"].status
        for read in hparams(tmp_path / "logs").values()
        if "_hparams_/session_end_info" in read
    ]
    assert sorted(ends) == [0] * 3 + [1] * 6


def test_values_of_several_kinds_are_text(tmp_path):
    pytest.importorskip("tensorboardX")
    space = {"learning_rate": hpjax.Choice([0.1, (0.1, 0.2)]), "hidden": (4,)}
    found = hpjax.tune(space, "iris", search="grid", epochs=1, out=tmp_path / "run", **quiet)
    tensorboard.write(found, tmp_path / "logs")
    read = hparams(tmp_path / "logs")
    (info,) = read["logs"]["_hparams_/experiment"].hparam_infos
    assert info.type == 1  # text
    for number in range(2):
        session = read[f"trial_{number:05d}"]["_hparams_/session_start_info"].hparams
        assert session["learning_rate"].string_value == str(found.config(number)["learning_rate"])


@pytest.mark.slow
def test_one_file_is_open_at_a_time(tmp_path):
    """As many trials as there are descriptors; in a process of its own, which has few."""
    pytest.importorskip("tensorboardX")
    hpjax.tune(SPACE, "iris", trials=200, epochs=1, out=tmp_path / "run", **quiet)
    code = f"""
import resource
import hpjax
from hpjax.integrations import tensorboard

run = hpjax.open_run({str(tmp_path / "run")!r}, say=lambda text: None)
run.curves
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
print(tensorboard.write(run, {str(tmp_path / "logs")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "200\n", done.stderr


@pytest.mark.parametrize("uri", ["mlruns", "foo://bar"])
def test_a_store_that_mlflow_refuses_is_one_line(tmp_path, study, monkeypatch, uri):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"MLflow cannot use .*sqlite:///mlflow.db") as caught:
        mlflow_runs.write(study, uri)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_trackio_says_is_no_json(tmp_path, study):
    pytest.importorskip("trackio")
    words = ["export", str(study.folder), "--trackio", "--json"]
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")}
    done = subprocess.run(
        [sys.executable, "-m", "hpjax", *words], env=environment, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["written"]["trackio"]["trials"] == 9
