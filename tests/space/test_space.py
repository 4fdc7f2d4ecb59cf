"""Spaces: the unit cube and back, conditions, grids, TOML, identity, and every refusal."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpjax import configurations, resolve, search
from hpjax.models import MLP
from hpjax.models.base import Target
from hpjax.search.base import Dim, Parent, active
from hpjax.space import Choice, IntUniform, LogIntUniform, LogUniform, Space, Uniform

numbers = st.floats(-1e6, 1e6).map(lambda v: round(v, 3))
positive = st.floats(1e-6, 1e6)
whole = st.integers(1, 5000)


def pair(values):
    return st.tuples(values, values).filter(
        lambda p: p[1] - p[0] > 1e-6 * (1e-6 + abs(p[0]) + abs(p[1]))
    )


ranges = st.one_of(
    pair(numbers).map(lambda p: Uniform(*p)),
    pair(positive).map(lambda p: LogUniform(*p)),
    pair(whole).map(lambda p: IntUniform(*p)),
    pair(whole).map(lambda p: LogIntUniform(*p)),
    st.lists(
        st.one_of(st.text(max_size=3), st.integers(), st.tuples(whole, whole)),
        min_size=1,
        max_size=5,
        unique_by=repr,
    ).map(Choice),
)


@settings(max_examples=150, deadline=None)
@given(ranges, st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_values_survive_the_way_to_the_cube_and_back(entry, units):
    space = Space({"x": entry})
    unit = np.array(units)[:, None]
    values = space.decode(unit)["x"]
    again = space.decode(np.clip(space.encode({"x": values.tolist()}), 0, 1))["x"]
    if isinstance(entry, (Uniform, LogUniform)):
        np.testing.assert_allclose(
            again, values, rtol=1e-9, atol=1e-6 * max(abs(entry.low), abs(entry.high)) * 1e-3
        )
        assert (values >= entry.low - 1e-9 * abs(entry.low)).all()
    else:
        assert again.tolist() == values.tolist()


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abcdefg", min_size=1, max_size=4), ranges, min_size=1, max_size=4))
def test_json_and_hash_are_canonical(entries):
    one = Space(entries)
    other = Space.load(json.loads(Space(dict(reversed(entries.items()))).json()))
    assert one.json() == other.json()
    assert one.hash() == other.hash()
    assert Space(entries | {"zzzzzz": 1}).hash() != one.hash()


def test_every_level_has_its_share():
    unit = np.linspace(0, 1, 100_001)[:, None]
    counts = np.bincount(Space({"x": IntUniform(3, 7)}).decode(unit)["x"])[3:]
    assert counts.max() - counts.min() <= 2
    values = Space({"x": LogIntUniform(1, 100)}).decode(unit)["x"]
    assert set(values) == set(range(1, 101))


def test_conditions_deactivate_and_chain():
    space = Space(
        {
            "depth": IntUniform(1, 3),
            "width_2": IntUniform(2, 9).when("depth", 2, 3),
            "width_3": IntUniform(2, 9).when("depth", 3),
            "kind": Choice(["a", "b"]).when("width_3", 2, 3, 4),
        }
    )
    columns = space.decode(
        space.encode(
            {"depth": [1, 2, 3, 3], "width_3": [None, None, 2, 9], "kind": [None, None, "b", None]}
        )
    )
    assert columns["depth"].tolist() == [1, 2, 3, 3]
    assert [v is None for v in columns["width_2"]] == [True, False, False, False]
    assert [v is None for v in columns["width_3"]] == [True, True, False, False]
    assert columns["kind"].tolist() == [None, None, "b", None]


def test_a_condition_on_a_constant_is_settled():
    entries = {"optimizer": "adam", "momentum": Uniform(0, 1).when("optimizer", "sgd")}
    dropped = Space(
        entries
        | {
            "decay_rate": Uniform(0, 1).when("schedule", "step"),
            "schedule": Choice(["step"]).when("optimizer", "sgd"),
        }
    )
    assert dropped.names == ()
    assert list(dropped.decode(np.zeros((1, 0)))) == ["optimizer"]
    assert dropped.encode({"momentum": [None]}).shape == (1, 0)
    assert dropped.hash() != Space({"optimizer": "adam"}).hash()
    assert Space(entries | {"optimizer": "sgd"}).decode(np.array([[0.5]]))["momentum"][0] == 0.5


def test_toml(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        "learning_rate = { log_uniform = [1e-4, 0.1] }\ndepth = { int_uniform = [1, 2] }\nbatch_size = 16\n"
        "width_2 = { log_int_uniform = [8, 64], when = { depth = 2 } }\nhidden = 3\n"
    )
    space = Space.load(path)
    assert space.names == ("depth", "learning_rate", "width_2")
    assert space.constants == {"batch_size": 16, "hidden": 3}
    assert space.dims[2].parent == Parent(0, (1,))
    with pytest.raises(ValueError, match=r"hidden must be a list of widths, got 3"):
        resolve.as_space(path)


def test_infinities_survive_json_and_bounds_are_kept():
    space = Space({"clip_norm": Choice([1.0, float("inf")]), "horizon": float("inf")})
    again = Space.load(json.loads(space.json()))
    assert again.hash() == space.hash()
    assert again.ranges["clip_norm"].values == (1.0, float("inf"))
    assert again.constants["horizon"] == float("inf")
    for low, high in ((1e-5, 0.3), (3e-7, 0.7), (1e-3, 0.9)):
        assert LogUniform(low, high).decode(np.array([1.0]))[0] <= high


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (lambda: {"x": Uniform(2, 1)}, "Uniform needs low < high, got low=2, high=1"),
        (lambda: {"x": LogUniform(0, 1)}, "LogUniform needs 0 < low < high"),
        (lambda: {"x": IntUniform(1.5, 3)}, "IntUniform needs whole numbers"),
        (lambda: {"x": LogUniform(1, float("inf"))}, "low < high, got"),
        (lambda: {"x": Choice([])}, "at least one value"),
        (lambda: {"x": Choice([1, 1])}, "a value twice"),
        (lambda: {"x": Choice("abc")}, "needs a list"),
        (
            lambda: {"x": Uniform(0, 1).when("y", 1)},
            "conditional on 'y', which is not in the space",
        ),
        (lambda: {"x": Uniform(0, 1).when("y", 1), "y": Uniform(0, 1)}, "a continuous range"),
        (lambda: {"x": Uniform(0, 1).when("y", 9), "y": IntUniform(1, 3)}, "which it never takes"),
        (
            lambda: {"x": Choice([1, 2]).when("y", 1), "y": Choice([1, 2]).when("x", 1)},
            "in a circle",
        ),
    ],
)
def test_refusals(entries, message):
    with pytest.raises(ValueError, match=message):
        Space(entries())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [1", "cannot read the space"),
        ("x = { uniform = [1] }", "x: uniform needs"),
        ("x = { unifrom = [1, 2] }", "is none of uniform"),
        ("x = { uniform = [0, 1], when = 3 }", "when needs one parent"),
    ],
)
def test_bad_toml_names_file_and_entry(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Space.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"learning_rat": 0.1},
            "unknown hyperparameter 'learning_rat'; did you mean 'learning_rate'",
        ),
        (
            {"learning_rate": Uniform(-1, 1)},
            r"learning_rate must be a number in \[0, inf\], got -1",
        ),
        ({"dropout": 1.5}, "dropout must be a number"),
        ({"activation": Choice(["relu", "tahn"])}, "did you mean tanh"),
        ({"batch_size": -1}, "batch_size must be a whole number"),
        ({"width_1": 0}, "width_1 must be a whole number of at least 1"),
        ({"optimizer": "Adam"}, "did you mean adam"),
        ({"residual": "yes"}, "residual='yes' is none of False, True"),
    ],
)
def test_the_catalogue_refuses(entries, message):
    with pytest.raises(ValueError, match=message):
        resolve.as_space(entries)


def test_split_groups_rows_and_fills_in_defaults():
    target = Target(4, 3, "cross_entropy", 7)
    groups = configurations.split(
        {
            "depth": [1, 2, 1],
            "width_1": [5, 6, 5],
            "width_2": [None, 3, None],
            "learning_rate": [0.1, np.nan, 0.3],
            "dropout_2": [0.5, 0.6, 0.7],
        },
        target,
        MLP,
    )
    assert [(g.spec.hidden, g.rows.tolist()) for g in groups] == [((5,), [0, 2]), ((6, 3), [1])]
    assert groups[0].config["learning_rate"].tolist() == [0.1, 0.3]
    assert groups[1].config["learning_rate"].tolist() == [1e-3]
    assert groups[1].config["dropout"].tolist() == [[0.0, 0.6]]
    assert groups[0].config["horizon"].tolist() == [7.0, 7.0]
    assert groups[0].spec.features == ("dropout",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": [(4,)], "depth": [1]}, "not both"),
        ({"hidden": [(4, 4)], "activation": [("relu",)]}, "activation has 1 entries for 2"),
        ({"hidden": [(4, 4)], "l2": [(0.1, 0.2)]}, "l2 has 2 values for 3 layers"),
        ({"loss": ["mse"], "output": ["prelu"]}, "is for hidden layers"),
        ({"output": ["tanh"]}, "has no effect"),
        ({"beta1": [(0.1, 0.2)]}, "beta1 is one number per network"),
    ],
)
def test_split_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        configurations.split(values, Target(4, 3, "cross_entropy"), MLP)


def test_grid_counts_inactive_duplicates_once_and_is_indexable():
    dims = (Dim("categorical", 2), Dim("continuous", parent=Parent(0, (1,))), Dim("integer", 3))
    found = search.grid(dims, levels=4)
    state = found.init(())
    points = []
    while True:
        unit, state = found.ask(state, (), 5, 1)
        if not len(unit):
            break
        points.append(unit)
    points = np.concatenate(points)
    assert len(points) == 3 + 4 * 3
    assert len(np.unique(points, axis=0)) == len(points)
    assert active(points, dims)[:, 1].sum() == 12
    from hpjax.search.grid import axis, point

    axes = [axis(dim, 4) for dim in dims]
    unit, _ = point(np.array([10**3 % 24]), axes)
    assert unit.shape == (1, 3)


def test_grid_axes_follow_the_scale():
    space = Space(
        {"a": LogIntUniform(16, 256), "b": LogUniform(1e-4, 1.0), "c": Choice(["x", "y"])}
    )
    a, b, c = space.axes(5)
    columns = space.decode(np.stack([a, b, np.resize(c, 5)], 1))
    assert columns["a"].tolist() == [16, 32, 64, 128, 256]
    np.testing.assert_allclose(columns["b"], [1e-4, 1e-3, 1e-2, 1e-1, 1.0])


@pytest.mark.parametrize(
    "make",
    [search.random, search.grid, lambda dims: search.manual(dims, np.full((7, len(dims)), 0.5))],
)
def test_searches_are_deterministic_and_stay_in_the_cube(make):
    dims = (
        Dim("continuous"),
        Dim("categorical", 3),
        Dim("integer", 5),
        Dim("continuous", parent=Parent(1, (2,))),
    )
    asked = []
    for _ in range(2):
        found = make(dims)
        state = found.init((3,))
        unit, state = found.ask(state, (3, 1), 6, 1)
        assert unit.shape == (6, 4)
        assert ((unit >= 0) & (unit <= 1)).all()
        asked.append(unit)
    np.testing.assert_array_equal(*asked)
