"""The loop, the schedulers and the ledger, driven without any network; then with networks, killed and resumed."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hpjax
from hpjax import search, study
from hpjax.randomness import generator
from hpjax.records import Ledger, RunError, read_ledger, write_json
from hpjax.records.ledger import sealed
from hpjax.schedulers import Order, full, halving, hyperband, ladder, median, pbt
from hpjax.search.base import Dim
from hpjax.settings import Stop
from hpjax.study import Callbacks, Report

DIMS = (Dim("continuous"), Dim("categorical", 3))


class Toy:
    """A fake population: a network is a number that falls towards a target at its own rate."""

    def __init__(self):
        self.live, self.orders = {}, []

    def carry_out(self, order: Order) -> Report:
        states = [(0.0, 0) if source < 0 else self.live[source] for source in order.source.tolist()]
        losses = []
        for trial, unit, until, (value, age) in zip(
            order.trial.tolist(), order.unit, order.epochs.tolist(), states
        ):
            for _ in range(age, until):
                value += 0.1 * unit[0]
            self.live[trial] = (value, max(age, until))
            losses.append(np.nan if unit[0] > 0.98 else 10 - value)
        self.orders.append(order)
        return Report(np.array(losses))

    def release(self, trials):
        for trial in trials.tolist():
            self.live.pop(trial, None)

    def callbacks(self):
        return Callbacks(self.carry_out, release=self.release)


SCHEDULERS = {
    "full": lambda: full(6),
    "halving": lambda: halving(((1, 9), (3, 3), (9, 1))),
    "hyperband": lambda: hyperband(9),
    "fresh hyperband": lambda: hyperband(9, promote="fresh"),
    "median": lambda: median(8, 2),
    "pbt": lambda: pbt(8, 8, 2),
}


def run(scheduler, ledger=None, trials=None, toy=None, finder=search.random, **options):
    toy, ledger = toy or Toy(), ledger or Ledger()
    study.run(
        finder(DIMS), scheduler, DIMS, toy.callbacks(), ledger, Stop(trials=trials), **options
    )
    return ledger, toy


def test_halving_follows_its_rungs_and_never_promotes_a_failure():
    ledger, toy = run(halving(((1, 9), (3, 3), (9, 1))), trials=18)
    assert [(len(o.trial), int(o.epochs[0])) for o in toy.orders] == [(9, 1), (3, 3), (1, 9)] * 2
    for first, second in zip(toy.orders, toy.orders[1:]):
        if second.epochs[0] > first.epochs[0]:
            assert set(second.trial) <= set(first.trial)
            assert (second.source == second.trial).all()
    reports = [r for r in ledger.records if r["kind"] == "report"]
    best = np.argsort([np.inf if v is None else v for v in reports[0]["objective"]])[:3]
    assert set(np.array(reports[0]["trial"])[best]) == set(reports[1]["trial"])
    assert not toy.live


def test_a_partial_bracket_finishes_with_its_share():
    _, toy = run(halving(((1, 9), (3, 3), (9, 1))), trials=13)
    assert [len(o.trial) for o in toy.orders] == [9, 3, 1, 4, 2, 1]


def test_ladder_and_refusals():
    assert ladder(81, 81) == ((1, 81), (3, 27), (9, 9), (27, 3), (81, 1))
    assert ladder(54, 18) == ((2, 54), (6, 18), (18, 6))
    for rungs in ((), ((3, 2), (1, 2)), ((1, 2), (3, 4)), ((0, 3),)):
        with pytest.raises(ValueError, match="rungs must be"):
            halving(rungs)
    with pytest.raises(ValueError, match="epochs of at least 1"):
        full(0)


def test_small_batches_ask_the_same_random_study_shape():
    ledger, toy = run(full(3), trials=10, batch=4)
    assert [len(o.trial) for o in toy.orders] == [4, 4, 2]
    assert ledger.records[-1] == {
        "kind": "stop",
        "why": "done",
        "deterministic": True,
        "trials": 10,
    }


def test_a_finite_search_exhausts():
    manual = lambda dims: search.manual(dims, np.full((5, 2), 0.5))
    _, toy = run(halving(((1, 9), (3, 3))), finder=manual)
    assert [len(o.trial) for o in toy.orders] == [5, 2]


@pytest.mark.parametrize(
    ("limit", "why"),
    [({"epochs": 20}, "epochs"), ({"rounds": 2}, "rounds"), ({"seconds": 0.0}, "seconds")],
)
def test_stops(limit, why):
    ledger = Ledger()
    study.run(
        search.random(DIMS),
        full(6),
        DIMS,
        Toy().callbacks(),
        ledger,
        Stop(trials=1000, **limit),
        batch=2,
    )
    end = {"kind": "stop", "why": why, "deterministic": why != "seconds", "trials": 1000}
    assert ledger.records[-1] == end
    assert sum(r["kind"] == "report" for r in ledger.records) < 20


@pytest.mark.parametrize("name", SCHEDULERS)
def test_any_prefix_of_a_ledger_resumes_to_the_same_bytes(tmp_path, name):
    ledger, _ = run(SCHEDULERS[name](), Ledger(tmp_path / "whole"), trials=16, batch=5)
    ledger.close()
    whole = (tmp_path / "whole" / "ledger.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    crc, again = 0, b""
    for line in lines:
        record = json.loads(line)
        assert record.pop("crc")
        sealed_line, crc = sealed(record, crc)
        again += sealed_line
    assert whole == again
    for cut in range(len(lines) + 1):
        folder = tmp_path / f"cut{cut}"
        folder.mkdir()
        torn = b"" if cut == len(lines) else lines[cut][: len(lines[cut]) // 2]
        (folder / "ledger.jsonl").write_bytes(b"".join(lines[:cut]) + torn)
        write_json(folder / "run.json", {})
        again = Ledger(folder, resume=True)
        toy = Toy()
        carried = []

        def carry_out(order, toy=toy, carried=carried):
            carried.append(order)
            return toy.carry_out(order)

        callbacks = Callbacks(carry_out, recall=toy.carry_out, release=toy.release)
        study.run(
            search.random(DIMS),
            SCHEDULERS[name](),
            DIMS,
            callbacks,
            again,
            Stop(trials=16),
            batch=5,
        )
        again.close()
        assert (folder / "ledger.jsonl").read_bytes() == whole
        done = sum(json.loads(line)["kind"] == "report" for line in lines[:cut])
        assert len(carried) == sum(json.loads(line)["kind"] == "report" for line in lines) - done
        assert bool(again.notes) == bool(torn)


def test_rounds_count_only_reports_that_could_gain():
    ledger = Ledger()
    study.run(
        search.random(DIMS),
        halving(((1, 9), (3, 3), (9, 1))),
        DIMS,
        Toy().callbacks(),
        ledger,
        Stop(trials=90, rounds=2),
    )
    full_reports = [r for r in ledger.records if r["kind"] == "report" and r["epochs"][0] == 9]
    assert len(full_reports) > 2
    assert ledger.records[-1]["why"] in ("rounds", "done")


def test_a_replay_that_differs_is_refused(tmp_path):
    run(full(2), Ledger(tmp_path / "run"), trials=4)[0].close()
    again = Ledger(tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="did not come out again"):
        run(full(2), again, trials=4, seed=1)
    again.close()


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    first, crc = sealed({"kind": "ask"}, 0)
    last, _ = sealed({"kind": "stop"}, crc)
    (tmp_path / "ledger.jsonl").write_bytes(first + b'{"kind":\n' + last)
    with pytest.raises(RunError, match="line 2 is not JSON"):
        read_ledger(tmp_path / "ledger.jsonl")
    (tmp_path / "ledger.jsonl").write_bytes(last)
    with pytest.raises(RunError, match="line 1 is not what was written"):
        read_ledger(tmp_path / "ledger.jsonl")


def test_two_processes_on_one_folder(tmp_path):
    first = Ledger(tmp_path / "run")
    with pytest.raises(RunError, match="another process is at work"):
        Ledger(tmp_path / "run", resume=True)
    first.close()
    Ledger(tmp_path / "run", resume=True).close()
    with pytest.raises(RunError, match="holds a run already"):
        Ledger(tmp_path / "run")


def test_a_full_disk_is_a_clear_error_and_the_ledger_still_reads(tmp_path):
    """A limit on file size fails a write half-way, as a full disk does."""
    ledger = Ledger(tmp_path / "run")
    ledger.put({"kind": "plan", "n": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write to .*the ledger is whole up to here"):
            ledger.put({"kind": "ask", "unit": list(range(5000))})
        with pytest.raises(RunError, match=r"cannot write to .*the ledger is whole up to here"):
            ledger.put_curves(np.zeros((1, 5000, 4)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    ledger.close()
    found, torn, _ = read_ledger(tmp_path / "run" / "ledger.jsonl")
    assert (found, torn) == ([{"kind": "plan", "n": 1}], b"")
    assert not (tmp_path / "run" / "curves.bin").stat().st_size


def test_keys_name_randomness():
    assert generator((1, 2)).random() == generator((1, 2)).random()
    assert generator((1, 2)).random() != generator((2, 1)).random()


# --- with networks ---------------------------------------------------------------------------------------------------
SPACE = {
    "learning_rate": {"log_uniform": [1e-3, 1.0]},
    "width_1": {"int_uniform": [2, 12]},
    "dropout": {"uniform": [0.0, 0.5]},
    "epochs": 6,
}
SCRIPT = """
import sys, hpjax
from hpjax.schedulers import full, halving
folder, scheduler, resume = sys.argv[1:4]
if resume == "resume":
    hpjax.resume(folder)
else:
    made = {{"full": full(6), "halving": halving(((1, 12), (3, 6), (6, 3)))}}[scheduler]
    hpjax.tune({space!r}, "iris", scheduler=made, trials=24, validation=2, batch=6, out=folder, seed=3)
"""


def start(folder, scheduler, resume, **options):
    code = SCRIPT.format(space=SPACE)
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(Path(folder).parent / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), scheduler, resume], env=environment, **options
    )


@pytest.mark.parametrize("scheduler", [pytest.param("full", marks=pytest.mark.slow), "halving"])
def test_kill_and_resume_give_the_same_ledger(tmp_path, scheduler):
    assert start(tmp_path / "whole", scheduler, "new").wait() == 0
    whole = (tmp_path / "whole" / "ledger.jsonl").read_bytes()
    rng = np.random.default_rng(len(scheduler))
    folder = tmp_path / "killed"
    process = start(folder, scheduler, "new")
    kills = 0
    wanted = int(rng.integers(2, whole.count(b"\n") - 1))
    while process.poll() is None:
        path = folder / "ledger.jsonl"
        lines = path.read_bytes().count(b"\n") if path.exists() else 0
        if kills < 2 and lines >= wanted:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            wanted = lines + 2
            process = start(folder, scheduler, "resume")
        time.sleep(0.002)
    assert process.returncode == 0
    assert kills >= 1
    assert (folder / "ledger.jsonl").read_bytes() == whole
    result = hpjax.open_run(folder)
    assert len(result.trials) == 24
    assert result.stopped == "done"


@pytest.mark.slow
def test_resume_makes_live_networks_again_with_and_without_a_checkpoint(tmp_path, monkeypatch):
    """Interrupted after every report in turn, with the checkpoint that stood at that moment, or a broken or older one."""
    from hpjax import assemble

    monkeypatch.setattr(assemble, "SAVED", 0.0)
    rungs = halving(((1, 8), (3, 4), (6, 2)))
    hpjax.tune(SPACE, "iris", scheduler=rungs, trials=8, validation=2, out=tmp_path / "whole")
    whole = (tmp_path / "whole" / "ledger.jsonl").read_bytes()

    class Interrupted(Exception):
        pass

    for stop_after, checkpoint in (
        (1, "kept"),
        (2, "kept"),
        (2, "missing"),
        (2, "broken"),
        (2, "older"),
    ):
        folder = tmp_path / f"{stop_after}{checkpoint}"
        reports = []

        def watch(progress, trained, reports=reports, stop_after=stop_after, folder=folder):
            reports.append(progress)
            saved = folder / "checkpoint.npz"
            if len(reports) == 1 and saved.exists():
                (folder / "first.npz").write_bytes(saved.read_bytes())
            if len(reports) == stop_after:
                raise Interrupted

        with pytest.raises(Interrupted):
            hpjax.tune(
                SPACE, "iris", scheduler=rungs, trials=8, validation=2, out=folder, watch=watch
            )
        saved = folder / "checkpoint.npz"
        assert saved.exists()
        if checkpoint == "missing":
            saved.unlink()
        elif checkpoint == "broken":
            saved.write_bytes(saved.read_bytes()[:200])
        elif checkpoint == "older":
            (folder / "first.npz").replace(saved)
        said = []
        hpjax.resume(folder, say=said.append)
        assert (folder / "ledger.jsonl").read_bytes() == whole, checkpoint
        assert bool(said) == (checkpoint == "broken")


@pytest.mark.parametrize("scheduler", [hpjax.full(3), hpjax.halving(((3, 8),)), hpjax.median(3)])
def test_several_objectives_reach_searches_that_take_them(tmp_path, scheduler):
    """The front of what was seen, by a search of one's own; a replay tells it the same. Those that take one objective say so."""
    told = []

    def tell(state, observations):
        told.append(observations.objectives)
        return state

    def objectives(order):
        x = order.unit[:, 0]
        values = np.stack([x, (1 - x) ** 2], 1)
        return study.Report(np.where(x[:, None] > 0.8, np.nan, values))

    dims = (Dim("continuous"),)
    points = np.linspace(0, 0.9, 8)[:, None]
    mine = search.manual(dims, points)._replace(tell=tell)
    words = (mine, scheduler, dims, study.Callbacks(objectives))
    if scheduler.settings["name"] == "median":
        with pytest.raises(ValueError, match="takes one objective, the study has 2"):
            study.run(*words, Ledger(), hpjax.Stop(trials=8))
        return
    ledger = Ledger(tmp_path)
    study.run(*words, ledger, hpjax.Stop(trials=8, rounds=3), seed=1)
    ledger.close()
    whole, first = (tmp_path / "ledger.jsonl").read_bytes(), np.concatenate(told)
    assert first.shape == (8, 2)
    assert np.isinf(first[points[:, 0] > 0.8]).all()
    assert np.isfinite(first[points[:, 0] <= 0.8]).all()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines[:-1]))
    told.clear()
    ledger = Ledger(tmp_path, resume=True)
    study.run(*words, ledger, hpjax.Stop(trials=8, rounds=3), seed=1)
    ledger.close()
    np.testing.assert_array_equal(np.concatenate(told), first)
    assert (tmp_path / "ledger.jsonl").read_bytes() == whole
