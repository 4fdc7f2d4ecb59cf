"""Training's hyperparameters: what acts where, and defaults that are written in two forms."""

import dataclasses
import json

import pytest

import hpjax
from hpjax.hypergrad.coordinates import RULES
from hpjax.models import MLP
from hpjax.models.base import Spec
from hpjax.models.mlp import hyperparameters as mlp
from hpjax.models.mlp.shape import MLPSpec
from hpjax.resolve import as_space, refuse_idle_numbers
from hpjax.training.hyperparameters import NEEDS, STATIC, TRACED

CASES = [
    (name, value) for name, (choice, _) in NEEDS.items() for value in STATIC[choice].choices or ()
]


def inside(name):
    low, high = max(TRACED[name].low, 0.1), min(TRACED[name].high, 0.9)
    return hpjax.Uniform(low, high)


def refused(space):
    refuse_idle_numbers(as_space(space), MLP)


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_number_acts_or_is_refused(name, value):
    choice, needed = NEEDS[name]
    space = {name: inside(name), choice: value}
    if value in needed:
        refused(space)
        other = next(v for v in STATIC[choice].choices if v not in needed)
        refused(space | {choice: hpjax.Choice([value, other])})
        return
    with pytest.raises(ValueError, match=f"{name} acts on no network.*{needed[0]}"):
        refused(space)


@pytest.mark.parametrize("name", NEEDS)
def test_where_the_choice_is_not_said_its_default_counts(name):
    choice, needed = NEEDS[name]
    default, others = STATIC[choice].default, [v for v in STATIC[choice].choices if v not in needed]
    if default in needed:
        refused({name: inside(name)})
        refused({name: inside(name), choice: hpjax.Choice([None, others[0]])})
        sometimes = hpjax.Choice(others[:2]).when("width", 8)
        refused({name: inside(name), "width": hpjax.Choice([8, 16]), choice: sometimes})
        return
    with pytest.raises(ValueError, match=f"{name} acts on no network"):
        refused({name: inside(name)})


def test_one_of_a_layer_is_refused_too():
    with pytest.raises(
        ValueError, match="momentum_1 acts on no network of the space; give optimizer=sgd"
    ):
        refused({"momentum_1": hpjax.Uniform(0, 0.9)})


def test_a_trial_whose_numbers_do_not_act_is_trained_again_and_older_runs_are_read(tmp_path):
    quiet = dict(say=lambda text: None, progress=False)
    space = {
        "optimizer": hpjax.Choice(["sgd", "adam"]),
        "beta1": hpjax.Uniform(0.5, 0.9),
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
        "epochs": 2,
    }
    result = hpjax.tune(space, "iris", trials=6, out=tmp_path / "run", **quiet)
    plain = [t for t in range(6) if result.config(t)["optimizer"] == "sgd"]
    result.refit(plain[0])
    hpjax.train([result.config(t) for t in plain], "iris", epochs=1, **quiet)
    hpjax.train([{"beta1": 0.8}, {"optimizer": "sgd", "momentum": 0.9}], "iris", epochs=1, **quiet)
    # what a run of an earlier version may hold
    old = hpjax.Space({"momentum": hpjax.Uniform(0, 0.9), "epochs": 2})
    path = tmp_path / "run" / "run.json"
    text = json.loads(path.read_text()) | {"space": old.to_dict(), "space_hash": old.hash()}
    path.write_text(json.dumps(text))
    (tmp_path / "run" / "ledger.jsonl").unlink()
    assert hpjax.open_run(tmp_path / "run", **{"say": quiet["say"]}).space.names == ("momentum",)


def test_what_has_a_derivative_acts():
    for name, rule in RULES.items():
        choice, needed = NEEDS.get(name, (None, ()))
        for value in STATIC[choice].choices or () if choice else ():
            spec = MLPSpec(2, 1, **{choice: value})
            assert rule.acts(spec) <= (value in needed)


@pytest.mark.parametrize(
    ("shape", "table"), [(Spec, STATIC), (MLPSpec, mlp.STATIC)], ids=["training", "mlp"]
)
def test_shapes_and_the_catalogue_have_the_same_defaults(shape, table):
    fields = {field.name: field.default for field in dataclasses.fields(shape)}
    # as many activations as layers; sizes of an embedding that there is not
    apart = {"activation", "frequencies", "embedding_width", "category_width", "output", "loss"}
    both = (fields.keys() & table.keys()) - apart
    assert len(both) > 5
    assert {name: fields[name] for name in both} == {name: table[name].default for name in both}
