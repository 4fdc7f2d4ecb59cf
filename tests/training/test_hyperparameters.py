"""Training's hyperparameters: what acts where, and defaults that are written in two forms."""

import dataclasses

import pytest

import hpjax
from hpjax.hypergrad.coordinates import RULES
from hpjax.models.base import Spec
from hpjax.models.mlp import hyperparameters as mlp
from hpjax.models.mlp.shape import MLPSpec
from hpjax.resolve import as_space
from hpjax.training.hyperparameters import NEEDS, STATIC, TRACED

CASES = [
    (name, value) for name, (choice, _) in NEEDS.items() for value in STATIC[choice].choices or ()
]


def inside(name):
    low, high = max(TRACED[name].low, 0.1), min(TRACED[name].high, 0.9)
    return hpjax.Uniform(low, high)


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_number_acts_or_is_refused(name, value):
    choice, needed = NEEDS[name]
    space = {name: inside(name), choice: value}
    if value in needed:
        as_space(space)
        other = next(v for v in STATIC[choice].choices if v not in needed)
        as_space(space | {choice: hpjax.Choice([value, other])})
        return
    with pytest.raises(ValueError, match=f"{name} acts on no network.*{needed[0]}"):
        as_space(space)


@pytest.mark.parametrize("name", NEEDS)
def test_where_the_choice_is_not_said_its_default_counts(name):
    choice, needed = NEEDS[name]
    if STATIC[choice].default in needed:
        as_space({name: inside(name)})
        return
    with pytest.raises(ValueError, match=f"{name} acts on no network"):
        as_space({name: inside(name)})


def test_one_of_a_layer_is_refused_too():
    with pytest.raises(
        ValueError, match="momentum_1 acts on no network of the space; give optimizer=sgd"
    ):
        as_space({"momentum_1": hpjax.Uniform(0, 0.9)})


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
