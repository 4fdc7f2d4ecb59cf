"""`hpjax.train`: the networks that it hands out are those of a study, of networks alone, of `fit`; refusals."""

import jax
import numpy as np
import pytest

import hpjax
from hpjax import configurations, tasks
from hpjax.models.base import Target, cast
from hpjax.training import batches, loop

quiet = dict(say=lambda text: None)
CONFIGS = [
    {"hidden": (5,), "learning_rate": 0.01},
    {"hidden": (7, 3), "activation": "prelu", "l2": 0.01},
    {"hidden": (9, 4), "activation": ("tanh", "prelu"), "learning_rate": (0.1, 0.01, 0.001)},
]


@pytest.mark.slow
def test_every_network_is_the_one_that_is_trained_alone():
    """Padded and selected ones among them; weights, statistics, curves; over seeds, folds and repeats."""
    common = {"dtype": "float64", "normalization": "batch", "optimizer": "sgd", "momentum": 0.5}
    configs = [common | config for config in CONFIGS[1:]]
    found = hpjax.train(
        configs, "iris", 3, seeds=[4, 1], validation={"folds": 2, "repeats": 2}, **quiet
    )
    task, rate = tasks.load("iris"), (0.1, 0.01, 0.001)
    for number, config in enumerate(configs):
        alone = config | {"l2": config.get("l2", 0.0)}
        alone |= {"learning_rate": rate if number else (1e-3,) * 3}
        spec, values = configurations.single_network(Target(4, 3, "cross_entropy", 3), **alone)
        for seed in (4, 1):
            examples = batches.examples_of(task, tasks.splits(task, 2, seed))
            data = batches.prepare(examples, 2, (seed,), 3, spec)
            for fold, repeat in ((0, 1), (1, 0)):
                with jax.enable_x64(True):
                    trainer = loop.Trainer(spec, 1, 3, uneven=batches.uneven(examples, spec))
                    ready, numbers = batches.keyed(data, np.uint32(0)), cast(values, spec)
                    state = trainer.init(batches.drawn(seed, repeat, fold, 0, spec), numbers)
                    state, curve = jax.jit(trainer.advance)(
                        state, numbers, ready, fold * 2 + repeat, 3
                    )
                network = found.network(number, seed, fold, repeat)
                assert network.spec.hidden == spec.hidden
                ours, theirs = (network.params, network.stats), (state.params, state.stats)
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10),
                    ours,
                    jax.tree.map(np.asarray, theirs),
                )
                rows = found.curves.query(
                    f"config == {number} and seed == {seed} and fold == {fold} and repeat == {repeat}"
                )
                np.testing.assert_allclose(
                    rows[["train", "loss", "error"]], curve[:, 1:], rtol=1e-5, atol=1e-7
                )
        np.testing.assert_allclose(
            found.table.loc[(number, 1), "loss"],
            found.curves.query(f"config == {number} and seed == 1 and epoch == 3")["loss"].mean(),
            rtol=1e-5,
        )


def test_it_trains_what_a_study_trains():
    found = hpjax.train(CONFIGS[:1], "iris", 3, seeds=[2], validation={"repeats": 2}, **quiet)
    study = hpjax.tune(CONFIGS[0], "iris", epochs=3, seed=2, validation={"repeats": 2}, **quiet)
    np.testing.assert_allclose(found.table["loss"].iloc[0], study.best["loss"], rtol=1e-6)


def test_each_trains_for_its_own_epochs_along_one_horizon():
    common = {"hidden": (4,), "dtype": "float64", "schedule": "cosine"}
    configs = [common | {"learning_rate": rate} for rate in (0.01, 0.02, 0.05)]
    found = hpjax.train(configs, "iris", [2, 5, 3], horizon=6, **quiet)
    assert found.table["epochs"].tolist() == [2, 5, 3]
    assert found.curves.groupby("config").size().tolist() == [2, 5, 3]
    whole = hpjax.train(configs, "iris", 6, **quiet)
    for number, epochs in enumerate([2, 5, 3]):
        rows = whole.curves.query(f"config == {number} and epoch == {epochs}")
        assert found.table["loss"].loc[number, 0] == pytest.approx(rows["loss"].item(), rel=1e-6)


def test_without_folds_it_trains_as_fit_does():
    found = hpjax.train(CONFIGS[0], "iris", 4, validation=0, **quiet)
    task = tasks.load("iris")
    fitted = hpjax.fit(task, CONFIGS[0], epochs=4)
    np.testing.assert_allclose(
        found.network().outputs(task.x), fitted.outputs(task.x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_what_was_left_out_holds_its_default_and_patience_keeps_the_best():
    found = hpjax.train(
        [{"learning_rate": 0.3, "patience": 2, "optimizer": "sgd"}, {}], "iris", 12, **quiet
    )
    assert found.shape(1)[1]["learning_rate"] == 1e-3
    assert found.shape(1)[0].optimizer == "adam"
    curve = found.curves.query("config == 0")
    best = curve.loc[curve["loss"].idxmin()]
    assert found.table.loc[(0, 0), "epochs"] == best["epoch"]
    np.testing.assert_allclose(found.table.loc[(0, 0), "loss"], best["loss"], rtol=1e-6)


@pytest.mark.slow
def test_defaults_alone_and_no_validation():
    found = hpjax.train(
        [{}, {"hidden": [8]}, {"hidden": (np.int64(8),)}], "iris", 2, seeds=2, validation=0, **quiet
    )
    assert found.table["train"].notna().all()
    assert found.table["loss"].isna().all()
    assert not found.table["diverged"].any()
    assert hpjax.train({}, "iris", 2, seeds=3, **quiet).table["loss"].notna().all()


def test_own_networks_and_their_numbers():
    def build(width, outputs):
        def init(key, x):
            return jax.random.normal(key, (x.shape[1], outputs)) / width

        return hpjax.Model(
            init, lambda params, x, tau: tau * (x @ params), {"tau": hpjax.Number(1.0)}
        )

    found = hpjax.train([{"width": 2, "tau": 0.5}, {"width": 3}], "iris", 3, model=build, **quiet)
    assert found.shape(1)[1]["tau"] == 1.0
    assert found.network(0).params.shape == (4, 3)
    assert "2 configurations, 1 seeds, 2 networks" in repr(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(configs=[]), "configs must be configurations"),
        (dict(configs=[3]), "configs must be configurations"),
        (dict(configs={"hiden": 3}), "did you mean 'hidden'"),
        (dict(configs={}, epochs=0), "epochs must be a whole number of at least 1, got 0"),
        (dict(configs={}, epochs=[1, 2]), "epochs has 2 numbers for 1 configurations"),
        (dict(configs={}, epochs=[None]), "epochs must be a whole number of at least 1, got None"),
        (dict(configs={}, epochs=3, horizon=2), "horizon must be a whole number of at least 3"),
        (dict(configs={}, seeds=[1, 1]), "each once"),
        (dict(configs={"learning_rate": hpjax.Uniform(0.1, 0.2)}), "configurations hold values"),
        (dict(configs={"patience": 3}, validation=0), "patience needs validation"),
        (dict(configs={}, validation=-1), "folds must be a whole number of at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        hpjax.train(**({"task": "iris"} | arguments), **quiet)


def test_networks_that_are_not_there_are_refused():
    found = hpjax.train({"hidden": (2,)}, "iris", 1, **quiet)
    for wrong in (dict(config=1), dict(seed=3), dict(fold=1), dict(repeat=-1)):
        with pytest.raises(ValueError, match=r"is none of|there are"):
            found.network(**wrong)


@pytest.mark.slow
def test_one_value_and_one_per_layer_side_by_side():
    configs = [{"hidden": (8, 8), "dropout": dropout} for dropout in (0.2, (0.2, 0.2), (0.0, 0.4))]
    both = hpjax.train(configs, "iris", 2, say=lambda text: None)
    assert both.table["loss"][0].tolist() == both.table["loss"][1].tolist()
    assert both.table["loss"][0].tolist() != both.table["loss"][2].tolist()
