"""Studies of random spaces, under every scheduler, alone and in comparisons, with programs added on the way and kills:
every network's loss is that of the same network trained alone, and a resumed ledger is the whole one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import hpjax
from hpjax import assemble, compared_studies, configurations, devices, records, tasks, workload
from hpjax.models import MLP
from hpjax.models.base import Target, cast
from hpjax.population import plan
from hpjax.schedulers import asha, full, halving, hyperband, median, pbt
from hpjax.training import batches, loop

EPOCHS = 4
SCHEDULERS = {
    "asha": lambda: asha(EPOCHS, eta=2, together=3),
    "asha that stops": lambda: asha(EPOCHS, eta=2, together=2, variant="stopping"),
    "full": lambda: full(EPOCHS),
    "halving": lambda: halving(((1, 6), (2, 3), (4, 1))),
    "hyperband": lambda: hyperband(EPOCHS, eta=2),
    "fresh hyperband": lambda: hyperband(EPOCHS, eta=2, promote="fresh"),
    "median": lambda: median(EPOCHS, 1),
    "pbt": lambda: pbt(5, EPOCHS, 1, resample=0.5),
}


class Killed(Exception):
    """What ends a study before its time."""


@st.composite
def spaces(draw):
    """Spaces of few shapes, so that a test compiles little: depths or conditions, widths, activations, batches."""
    space = {
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
        "epochs": EPOCHS,
        "dtype": "float64",
        "optimizer": draw(st.sampled_from(["sgd", "adam", "rmsprop"])),
    }
    widths = draw(st.sampled_from([(2, 5), (3, 9), (4, 6)]))
    width = draw(
        st.sampled_from(
            [hpjax.Choice(list(widths)), hpjax.IntUniform(*widths), hpjax.LogIntUniform(*widths)]
        )
    )
    form = draw(st.sampled_from(["depth", "hidden", "asked of a choice"]))
    if form == "hidden":
        space["hidden"] = hpjax.Choice([widths, (widths[1],), (widths[0], widths[0])])
    else:
        space |= {"depth": hpjax.IntUniform(1, 2), "width_1": width}
        parent = ("depth", 2)
        if form == "asked of a choice":  # a number that switches a shape
            space["dropout"] = hpjax.Choice([0.0, 0.25])
            parent = ("dropout", 0.25)
        space["width_2"] = width.when(*parent)
    if draw(st.booleans()):
        space["activation"] = hpjax.Choice(["relu", "tanh", "elu"])
    if draw(st.booleans()):
        space["batch_size"] = hpjax.Choice([0, 16])
    if draw(st.booleans()):
        space["l2"] = hpjax.LogUniform(1e-5, 1e-2)
    return space


@functools.cache
def jitted(spec, uneven):
    trainer = loop.Trainer(spec, 1, EPOCHS, uneven=uneven)
    return jax.jit(trainer.init), jax.jit(trainer.advance)


def alone(result, trial, folds):
    """A trial's losses [folds], by `train` only: no plan, no padding, no population."""
    task, seed = result.task, result.settings.seed
    target = Target(task.inputs, task.outputs, task.loss, EPOCHS)
    examples = batches.examples_of(task, tasks.splits(task, folds, seed))
    losses = []
    for fold in range(folds):
        state = None
        for _, until, point in records.lineage(result.records, trial):
            group = configurations.split(result.space.decode(point[None]), target, MLP)[0]
            spec = group.spec
            with jax.enable_x64(True):
                init, advance = jitted(spec, batches.uneven(examples, spec))
                data = batches.keyed(
                    batches.prepare(examples, 1, (seed,), EPOCHS, spec), jnp.uint32(0)
                )
                config = cast({name: leaf[0] for name, leaf in group.config.items()}, spec)
                if state is None:
                    state = init(batches.drawn(seed, 0, fold, 0, spec), config)
                state, _ = advance(state, config, data, jnp.int32(fold), jnp.int32(until))
        losses.append(float(state.scores.loss))
    return losses


def killed_after(reports):
    """A watcher that ends the process's work after so many reports."""
    seen = []

    def watch(*shown):
        seen.append(shown)
        if len(seen) == reports:
            raise Killed

    return watch


def check(space, scheduler, foreseen, folds, several, streamed, kill, most, task, folder):
    """Trains studies of a space, killed and resumed if asked for, and compares them with networks trained alone."""
    made = SCHEDULERS[scheduler]()
    # a plan that saw few shapes must add programs on the way
    with pytest.MonkeyPatch.context() as patch:
        sample = assemble.sample
        for names in (assemble.__dict__, compared_studies.__dict__):
            patch.setitem(names, "sample", lambda space, seed: sample(space, seed)[:foreseen])
        patch.setattr(workload, "CORNERS", 0)
        if streamed:  # all but whole training parts as minibatches, in several pieces
            patch.setattr(devices, "room", lambda local_devices: 1)
            patch.setattr(plan, "PIECE_BYTES", 2**10)
        common = dict(validation=folds, say=lambda text: None)

        def run(out, **options):
            if several:
                methods = {
                    name: {"search": name, "scheduler": made, "trials": 8}
                    for name in ("random", "sobol")
                }
                found = hpjax.compare(
                    methods,
                    space,
                    task,
                    seeds=(0, 3),
                    stop={"trials": 8},
                    out=out,
                    **common | options,
                )
                return found.population, [
                    one for studies in found.studies.values() for one in studies
                ]
            result = hpjax.tune(
                space, task, scheduler=made, trials=9, seed=3, out=out, batch=5, **common | options
            )
            return result.population, [result]

        trained, results = run(folder / "whole")
        if kill:
            with pytest.raises(Killed):
                run(folder / "killed", watch=killed_after(kill))
            if several:
                run(folder / "killed", resume=True)
            else:
                hpjax.resume(folder / "killed", task=task, say=lambda text: None)
            for path in (folder / "whole").rglob("ledger.jsonl"):
                again = folder / "killed" / path.relative_to(folder / "whole")
                assert again.read_bytes() == path.read_bytes()
    rng = np.random.default_rng(0)
    oldest = [
        (one, t) for one in results for t in np.argsort(-one.table["epochs"], kind="stable")[:most]
    ]
    for at in rng.permutation(len(oldest))[:most]:
        result, trial = oldest[at]
        expected = np.mean(alone(result, int(trial), folds))
        np.testing.assert_allclose(result.table["loss"][trial], expected, rtol=1e-7)
    return trained


FEW = dict(
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CASES = dict(
    space=spaces(),
    scheduler=st.sampled_from(sorted(SCHEDULERS)),
    foreseen=st.integers(1, 3),
    folds=st.integers(1, 2),
    several=st.booleans(),
    streamed=st.booleans(),
    kill=st.integers(0, 3),
)


@settings(max_examples=1, **FEW)
@given(**CASES)
def test_every_network_is_the_network_alone(blobs, tmp_path_factory, **case):
    check(**case, most=2, task=blobs, folder=tmp_path_factory.mktemp("studies"))


@pytest.mark.slow
@settings(max_examples=8, **FEW)
@given(**CASES)
def test_every_network_is_the_network_alone_in_many_studies(blobs, tmp_path_factory, **case):
    check(**case, most=4, task=blobs, folder=tmp_path_factory.mktemp("studies"))


@pytest.mark.slow
def test_programs_that_come_later_leave_living_networks_where_they_are(blobs, tmp_path):
    """Hyperband, two methods, and programs added while networks live in those that cover more."""
    space = {
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
        "depth": 2,
        "width_1": hpjax.Choice([3, 20]),
        "width_2": hpjax.Choice([3, 20]),
        "epochs": EPOCHS,
        "dtype": "float64",
    }
    trained = check(space, "hyperband", 1, 1, True, False, 2, 1, blobs, tmp_path)
    assert len(trained.programs) > trained.planned + 1
