"""Tasks that stay in the host's memory: whatever is asked of networks, they become what they are with all examples on the devices."""

import threading

import jax.numpy as jnp
import numpy as np
import pandas
import pytest

import hpjax
from hpjax import workload
from hpjax.population import plan
from hpjax.training import batches, host_pieces, stepping

EPOCHS = 4


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Epochs of several pieces, the last one not full, and validation in several parts."""
    monkeypatch.setattr(plan, "PIECE_BYTES", 2**9)
    monkeypatch.setattr(stepping, "SCORED", 7)


def quiet(text):
    """Says nothing."""


def table(rows=90):
    """Numbers with gaps, categories, weights, and what to predict."""
    rng = np.random.default_rng(0)
    x = pandas.DataFrame(
        {
            "size": rng.normal(3, 2, rows),
            "weight": rng.lognormal(size=rows),
            "colour": rng.choice(["red", "green", "blue"], rows),
        }
    )
    x.loc[rng.random(rows) < 0.2, "size"] = np.nan
    label = x["weight"] + (x["colour"] == "red") + rng.normal(0, 0.5, rows)
    return x, label, rng.uniform(0.5, 2, rows)


def classes():
    x, label, weight = table()
    return hpjax.Task.of(x, np.digitize(label, [1.0, 2.0]), weights=weight, name="classes")


def numbers():
    x, label, _ = table()
    return hpjax.Task.of(x, np.stack([np.exp(label), label], 1), kind="numbers", name="numbers")


def of_width(width=4):
    """A user's own network."""

    def init(key, config):
        return {"w": 0.1 * jnp.ones((4, width)), "v": 0.1 * jnp.ones((width, 1))}

    def apply(params, x):
        return jnp.tanh(x @ params["w"]) @ params["v"]

    return hpjax.Model(init, apply)


RATE = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": EPOCHS, "dtype": "float64"}
SIZES = {"batch_size": hpjax.Choice([7, 16])}
CASES = {
    "classes, weights, metrics of device and host": lambda: dict(
        space=RATE
        | SIZES
        | {"hidden": (5,), "class_weight": "balanced", "dropout": 0.2, "patience": 1},
        task=classes(),
        validation={"folds": 3, "repeats": 2, "score_every": 1},
        metrics=["roc_auc", "matthews_corrcoef"],
    ),
    "numbers, ranks, a transform, epochs of their own": lambda: dict(
        space=RATE
        | {
            "hidden": hpjax.Choice([(3,), (4, 4)]),
            "epochs": hpjax.IntUniform(1, EPOCHS),
            "scaling": "quantile",
            "target_transform": "yeo_johnson",
            "sampling": "replacement",
            "batch_size": 16,
        },
        task=numbers(),
        epochs=EPOCHS,
        metrics=["rmse"],
        validation={"score_every": 3},
    ),
    "halving": lambda: dict(
        space=RATE | {"hidden": (4,), "batch_size": 8},
        task="iris",
        scheduler=hpjax.halving(((1, 6), (2, 3), (4, 1))),
        validation=4,
    ),
    "networks that stopped and go on later": lambda: dict(
        space={
            "hidden": (4,),
            "batch_size": 32,
            "epochs": hpjax.IntUniform(1, 8),
            "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
            "patience": hpjax.IntUniform(1, 3),
            "dropout": 0.1,
            "dtype": "float64",
        },
        task="iris",
        scheduler=hpjax.pbt(population=12, epochs=8, every=2, quantile=0.5, resample=0.8),
        trials=12,
        validation={"score_every": 1},
    ),
    "a user's network": lambda: dict(
        space=RATE | {"width": hpjax.Choice([2, 3]), "batch_size": 8},
        task=hpjax.Task.of(table()[0][["weight"]].to_numpy() ** [1, 2, 3, 4] * 0.1, table()[1] > 1),
        model=of_width,
        gradients="autodiff",
    ),
}
DEFAULT = (
    "classes, weights, metrics of device and host",
    "numbers, ranks, a transform, epochs of their own",
    "networks that stopped and go on later",
)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in DEFAULT else pytest.mark.slow)
        for case in sorted(CASES)
    ],
)
def test_networks_are_those_of_a_task_on_the_devices(case):
    """Scores, curves and epochs, to the last digits but rounding."""
    asked = CASES[case]()
    asked = {"trials": 6} | asked
    found = [hpjax.tune(**asked, stream=stream, say=quiet) for stream in (False, True)]
    whole, streamed = (each.population.programs for each in found)
    assert not any(program.piece for program in whole)
    assert all(program.piece for program in streamed)
    a, b = (each.trials.drop(columns="seconds") for each in found)
    pandas.testing.assert_frame_equal(a, b, rtol=1e-9)
    pandas.testing.assert_frame_equal(*(each.curves for each in found), rtol=1e-6)
    a, b = (each.refit().outputs(each.task.examples(each.task.test)) for each in found)
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_chunks_of_different_length_share_a_block(monkeypatch):
    """Of one group and epoch, one at its end, the other not: as where a run goes on with fewer devices."""
    monkeypatch.setattr(plan, "CHUNKS", 2)
    methods = {
        "halving": {"search": "random", "scheduler": hpjax.halving(((1, 2), (2, 1), (4, 1)))},
        "random": {"search": "random", "batch": 1},
    }
    space = RATE | {"hidden": (4,), "batch_size": 16}
    a, b = (
        hpjax.compare(methods, space, "iris", seeds=1, stop={"trials": 2}, stream=stream, say=quiet)
        for stream in (False, True)
    )
    for one, other in zip(a.studies.values(), b.studies.values()):
        np.testing.assert_allclose(one[0].trials["loss"], other[0].trials["loss"], rtol=1e-9)


def test_a_second_study_compiles_nothing():
    asked = dict(task="iris", epochs=2, stream=True, say=quiet)
    first = hpjax.train({"hidden": (9,), "learning_rate": 0.01}, **asked).population
    again = hpjax.train({"hidden": (9,), "learning_rate": 0.02}, **asked).population
    assert first.compile_seconds > 0 == again.compile_seconds


def test_gradients_through_training_have_the_task_on_the_devices(monkeypatch):
    """Whatever it takes."""
    monkeypatch.setattr(workload.devices, "room", lambda local_devices: 1)
    space = RATE | {"hidden": (3,), "epochs": 2}
    found = hpjax.tune(space, "iris", search="gradient", trials=2, say=quiet)
    assert not any(program.piece for program in found.population.programs)


def test_spare_places_keep_nobody_waiting(monkeypatch):
    """Networks with patience that go on from a rung: their epochs alone are drawn, not those of a place that nobody has."""
    drawn, order = [], host_pieces.Pieces.order

    def noted(self, group, epoch):
        drawn.append(epoch)
        return order(self, group, epoch)

    monkeypatch.setattr(host_pieces.Pieces, "order", noted)
    space = RATE | {"hidden": (4,), "patience": 50, "batch_size": 16, "epochs": 9}
    scheduler = hpjax.halving(((6, 20), (9, 5)))
    found = hpjax.tune(space, "iris", scheduler=scheduler, trials=20, stream=True, say=quiet)
    assert found.population.programs[0].chunk > 5
    assert drawn.count(6) <= drawn.count(0)
    assert drawn[-3:] == [6, 7, 8]


def test_plans_of_runs_that_do_not_stream_are_as_before(tmp_path):
    """So that runs of earlier versions go on."""
    hpjax.tune(RATE | {"hidden": (4,)}, "iris", trials=2, out=tmp_path / "run", say=quiet)
    plan_record = (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()[0]
    assert "stream" not in plan_record
    assert "piece" not in plan_record


def test_a_study_that_is_killed_goes_on_in_pieces(tmp_path):
    """The plan keeps which programs stream; the ledger is the whole one, byte for byte."""

    class Killed(Exception):
        pass

    def kill(*shown):
        raise Killed

    asked = CASES["halving"]() | {"trials": 6, "stream": True, "say": quiet}
    hpjax.tune(**asked, out=tmp_path / "whole")
    with pytest.raises(Killed):
        hpjax.tune(**asked, out=tmp_path / "killed", watch=kill)
    again = hpjax.resume(tmp_path / "killed", say=quiet)
    assert all(program.piece for program in again.population.programs)
    ledgers = [tmp_path / name / "ledger.jsonl" for name in ("whole", "killed")]
    assert ledgers[0].read_bytes() == ledgers[1].read_bytes()


def test_what_a_device_cannot_hold_streams(monkeypatch):
    """Without being asked; whole training parts as minibatches stay on the devices."""
    monkeypatch.setattr(workload.devices, "room", lambda local_devices: 2**10)
    space = RATE | {"hidden": (4,), "batch_size": hpjax.Choice([0, 16])}
    found = hpjax.tune(space, "iris", trials=8, say=quiet)
    pieced = {program.spec.batch_size: program.piece for program in found.population.programs}
    assert pieced[0] == 0 < pieced[16]


def test_more_orders_than_memory_has_stream(monkeypatch):
    monkeypatch.setattr(batches, "MOST_ORDERS", 100)
    monkeypatch.setattr(workload, "MOST_ORDERS", 100)
    found = hpjax.tune(RATE | {"hidden": (4,)}, "iris", trials=2, say=quiet)
    assert all(program.piece for program in found.population.programs)
    with pytest.raises(ValueError, match="stream=True"):
        hpjax.tune(RATE | {"hidden": (4,)}, "iris", trials=2, stream=False, say=quiet)


def test_what_cannot_stream_is_refused():
    with pytest.raises(ValueError, match=r"batch_size=0.*stream=False"):
        hpjax.tune(RATE | {"hidden": (4,), "batch_size": 0}, "iris", stream=True, say=quiet)
    with pytest.raises(ValueError, match=r"gradients through training.*stream=False"):
        hpjax.tune(RATE | {"hidden": (4,)}, "iris", search="gradient", stream=True, say=quiet)
    with pytest.raises(ValueError, match="stream must be True, False or None, got 1"):
        hpjax.tune(RATE | {"hidden": (4,)}, "iris", stream=1, say=quiet)


def test_what_goes_wrong_with_a_piece_ends_the_study(monkeypatch):
    """Orders are drawn in a thread of their own; what is raised there is what the user sees."""
    order = host_pieces.Pieces.order

    def torn(self, group, epoch):
        assert threading.current_thread().name.startswith("hpjax-orders")
        if epoch == 1:
            raise OSError("the disk is gone")
        return order(self, group, epoch)

    monkeypatch.setattr(host_pieces.Pieces, "order", torn)
    with pytest.raises(OSError, match="the disk is gone"):
        hpjax.tune(RATE | {"hidden": (4,)}, "iris", trials=2, stream=True, say=quiet)
