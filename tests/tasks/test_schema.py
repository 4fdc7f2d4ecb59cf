"""Tables with text, gaps, booleans and dates: what their columns are, what networks are given, and what no fold may see."""

import json

import jax
import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

import hpjax
from hpjax import Task, TaskError, tasks
from hpjax.tasks import splits
from hpjax.tasks.schema import GAP, frame_of, layout, read_again, read_table
from hpjax.training import batches
from hpjax.training.encoding import RARE, quantiles

quiet = dict(say=lambda text: None)
SPACE = {"hidden": (8,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 3}


def messy(rows=120, seed=0):
    """A table as people have them."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: rng.choice(np.array(values, object), rows)
    frame = pandas.DataFrame(
        {
            "âge": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(40, 9, rows)),
            "home town": pick("Paris", " Paris ", "Orléans", "Lyon", None, "?"),
            "smokes": pick(True, False),
            "since": pandas.Series(pandas.Timestamp("2020-02-29"))
            .repeat(rows)
            .reset_index(drop=True)
            + pandas.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "zip": pick(75001, 69002, 45000),
            "rooms": pick(*map(str, range(30)), "n/a", "many"),
            "id": [f"row {at}" for at in range(rows)],
            "same": ["x"] * rows,
            "nothing": [None] * rows,
        }
    )
    frame.loc[3, "since"] = pandas.NaT
    frame["town of one"] = np.where(np.arange(rows) == 7, "Atlantis", frame["home town"])
    y = np.where((frame["smokes"].to_numpy(bool)) ^ (rng.random(rows) < 0.1), "ill", "well")
    return frame, y


def messy_task(**options):
    frame, y = messy()
    return Task.of(frame, y, "people", columns={"zip": "category"}, **options)


def test_columns_are_told_apart():
    task = messy_task()
    kinds = {column.name: column.kind for column in task.schema}
    assert kinds == {
        "âge": "number",
        "home town": "category",
        "smokes": "number",
        "since": "date",
        "since (weekday)": "date",
        "since (day of the year)": "date",
        "zip": "category",
        "rooms": "number",
        "town of one": "category",
    }
    by = {column.name: column for column in task.schema}
    assert set(by["home town"].values) == {"Paris", "Orléans", "Lyon", GAP}
    assert by["zip"].values[0] in ("75001", "69002", "45000")
    assert by["rooms"].gaps
    assert not by["smokes"].gaps
    said = " | ".join(task.about())
    for words in (
        "3 numbers, 3 columns of",
        "1 dates",
        "gaps in",
        "id: left out, 120 different texts in 120 rows name rows, not kinds",
        "same: left out, every row has 'x'",
        "nothing: left out, no row has a value",
        "rooms: 'many' and the like are taken for gaps",
    ):
        assert words in said, said
    days = task.x[:, list(kinds).index("since")]
    assert np.isnan(days[3])
    assert days[0] == (messy()[0]["since"][0] - pandas.Timestamp(0)).days


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"town": "drop"}, "no column 'town'; it has"),
        (
            {"zip": "text"},
            "column 'zip' is 'text', which is none of number, category, date, weight, group, drop",
        ),
        ({"home town": "number"}, "column 'home town' has no number"),
        ({"home town": "date"}, "column 'home town' has no date that can be read"),
        (["zip"], "columns must be a dict"),
    ],
)
def test_what_cannot_be_is_refused(columns, message):
    frame, y = messy()
    with pytest.raises(TaskError, match=message) as caught:
        Task.of(frame, y, "people", columns=columns)
    assert "\n" not in str(caught.value)


def test_any_column_can_be_dropped_or_taken_for_something_else():
    frame, y = messy()
    columns = {"rooms": "category", "id": "category", "zip": "number", "âge": "drop"}
    kinds = {c.name: c.kind for c in Task.of(frame, y, columns=columns).schema}
    assert (kinds["rooms"], kinds["id"], kinds["zip"]) == ("category", "category", "number")
    assert "âge" not in kinds


# --- what networks are given ------------------------------------------------------------------------------------------
def by_scikit_learn(frame, schema, train):
    """The same inputs by scikit-learn's transformers, fitted on the training rows."""
    from sklearn.preprocessing import StandardScaler

    parts, marks, blocks = [], [], []
    for at, column in enumerate(schema):
        values = frame[:, at]
        if column.categorical:
            many = len(column.values)
            block = np.zeros((len(values), many + (many > 2)))
            counts = np.bincount(values[train][values[train] >= 0].astype(int), minlength=many)
            for row, value in enumerate(values.astype(int)):
                if value >= 0 and counts[value]:
                    block[row, many if counts[value] < RARE and many > 2 else value] = 1
            blocks.append(block)
            continue
        scaled = StandardScaler().fit(values[train, None]).transform(values[:, None])[:, 0]
        parts.append(np.nan_to_num(scaled))
        if column.gaps:
            marks.append(np.isnan(values))
    return np.column_stack([*parts, *marks, *blocks])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 120))
def test_inputs_are_those_of_scikit_learns_transformers(seed, rows):
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame({"n": rng.normal(3, 2, rows), "m": rng.integers(0, 5, rows) * 1.0})
    frame.loc[rng.random(rows) < rng.random() * 0.6, "n"] = np.nan
    frame["c"] = rng.choice(list("abcdefgh"), rows, p=rng.dirichlet(np.ones(8)))
    frame["d"] = rng.choice(np.array(["u", "v", None], object), rows)
    task = Task.of(frame, np.arange(rows) % 2, test=0)
    train = np.sort(rng.permutation(rows)[: rows * 2 // 3])
    if np.isnan(task.x[train]).all(0).any():
        return
    found = batches.standards(batches.examples_of(task, [(train, train)]), train)
    theirs = by_scikit_learn(task.x, task.schema, train)
    assert task.inputs == theirs.shape[1]
    np.testing.assert_allclose(found.inputs(task.x, task.schema), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_and_prediction_see_the_same_inputs(dtype):
    task = messy_task()
    folds = hpjax.tasks.splits(task, 3, 0)
    examples = batches.examples_of(task, folds)
    spec, _ = hpjax.hypergrad.configure(task, hidden=(4,), dtype=dtype)
    data = batches.prepare(examples, 1, (0,), 1, spec)
    for group, fold in enumerate(folds):
        with jax.enable_x64(dtype == "float64"):
            x, _ = batches.inputs(spec, data, group, np.arange(len(task.x)))
        mine = batches.standards(examples, fold.train).inputs(task.x, task.schema)
        np.testing.assert_allclose(x, mine, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("gaps", [True, False])
def test_numbers_are_made_normal_by_the_ranks_of_the_training_part(gaps):
    """As scikit-learn's QuantileTransformer has it, in training and prediction; held-out rows change nothing."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "skewed": rng.exponential(size=400) ** 3,
            "counts": rng.poisson(1.0, 400).astype(float),
            "same": np.ones(400),
        }
    )
    if gaps:
        frame.loc[rng.random(400) < 0.2, "counts"] = np.nan
    y = np.where(frame["skewed"] > 1, "much", "little")
    task = Task.of(frame, y, "ranks", test=0)
    fold = splits(task, 1, 0)[0]
    examples = batches.examples_of(task, [fold])
    spec, _ = hpjax.hypergrad.configure(task, hidden=(4,), scaling="quantile", batch_size=16)
    data = batches.prepare(examples, 2, [0], 1, spec)
    seen, _ = batches.inputs(spec, data, 1, np.arange(400))
    given = np.asarray(task.examples(np.arange(400)), float)
    many = QuantileTransformer(n_quantiles=10, output_distribution="normal", subsample=None)
    wanted = np.nan_to_num(many.fit(given[fold.train]).transform(given))
    wanted[:, 2] = 0
    np.testing.assert_allclose(seen[:, :3], wanted, rtol=1e-5, atol=1e-5)
    mine = batches.standards(examples, fold.train, spec).inputs(task.x, task.schema)
    np.testing.assert_allclose(mine, seen, rtol=1e-5, atol=1e-5)
    held = task.x.copy()
    held[fold.valid] *= 100
    changed = batches.standards(
        examples._replace(x=held[:, : examples.x.shape[1]]), fold.train, spec
    )
    np.testing.assert_array_equal(
        changed.quantiles, batches.standards(examples, fold.train, spec).quantiles
    )


def test_weights_count_among_quantiles():
    """A weight of six is nearly six rows; equal weights are none."""
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(600, 1)) ** 2
    x[rng.random(600) < 0.1] = np.nan
    weights = rng.integers(1, 7, 600)
    copies = np.repeat(x, weights, 0)
    levels = np.linspace(0, 1, 20)
    wanted = np.nanquantile(copies, levels)
    np.testing.assert_allclose(
        quantiles(x, weights.astype(float))[:, 0], wanted, rtol=0.05, atol=0.01
    )
    np.testing.assert_allclose(quantiles(x, np.full(600, 0.3)), quantiles(x), rtol=1e-9)


@pytest.mark.slow
def test_scaling_is_searched_and_kept(tmp_path):
    frame, y = messy()
    space = SPACE | {"scaling": hpjax.Choice(["standard", "quantile"])}
    task = Task.of(frame, y, "people", columns={"id": "drop"})
    found = hpjax.tune(space, task, trials=6, validation=2, out=tmp_path / "run", **quiet)
    assert set(found.trials["scaling"]) == {"standard", "quantile"}
    whole = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    (tmp_path / "run" / "ledger.jsonl").write_bytes(b"".join(whole.splitlines(True)[:2]))
    hpjax.resume(tmp_path / "run", task=task, **quiet)
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == whole
    for trial in range(6):
        network = found.refit(trial)
        network.save(tmp_path / "n.npz")
        np.testing.assert_array_equal(
            hpjax.load(tmp_path / "n.npz").predict_proba(frame), network.predict_proba(frame)
        )
    assert found.ensemble().predict(frame).shape == (len(frame),)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [("scaling", ["standard", "quantile"]), ("class_weight", ["none", "balanced"])],
)
def test_a_gradient_study_trains_each_shape_on_arrays_of_its_own(name, values):
    frame, y = messy()
    task = Task.of(frame, y, "people", columns={"id": "drop"})
    space = SPACE | {name: hpjax.Choice(values)}
    found = hpjax.tune(space, task, search="gradient", trials=4, epochs=3, **quiet)
    assert set(found.trials[name]) == set(values)
    configs = [found.config(trial) for trial in found.trials.index]
    again = hpjax.tune(space, task, search=configs, epochs=3, **quiet)
    np.testing.assert_allclose(found.trials["loss"], again.trials["loss"], rtol=1e-3)


@pytest.mark.slow
def test_text_where_a_network_has_numbers_is_refused():
    frame, y = messy()
    numbers = [name for name in frame if frame[name].dtype.kind == "f"]
    task = Task.of(frame, y, "people", columns={"id": "drop"})
    network = hpjax.fit(task, {"hidden": (8,)}, epochs=2)
    for name in numbers:
        column = next(column for column in task.schema if column.source == name)
        with pytest.raises(TaskError, match=f"column '{name}' has 'forty'"):
            network.predict(frame.assign(**{name: "forty"}))
        some = frame.assign(**{name: ["forty", *frame[name].astype(object)[1:]]})
        if column.gaps:  # spelled in a way of its own, perhaps
            assert len(network.predict(some)) == len(frame)
        else:
            with pytest.raises(TaskError, match="no number"):
                network.predict(some)


@pytest.mark.slow
def test_unseen_categories_are_zeros_and_tables_may_come_in_any_order():
    task = messy_task()
    network = hpjax.fit(task, {"hidden": (8,)}, epochs=3)
    frame, _ = messy()
    plain = network.predict_proba(frame)
    np.testing.assert_array_equal(network.predict_proba(frame[list(frame)[::-1]]), plain)
    where = layout(task.schema)
    strange = frame.assign(**{"home town": "Rome"})
    inputs = network.standards.inputs(task.signature.columns(strange), task.schema)
    at = len(where.numbers) + len(where.gaps)
    block = inputs[:, at : at + len(task.schema[1].values) + 1]
    assert (block == 0).all()
    assert np.isfinite(network.predict_proba(strange)).all()
    with pytest.raises(TaskError, match="lacks 'smokes'"):
        network.predict(frame.drop(columns="smokes"))
    np.testing.assert_allclose(network.predict_proba(frame.to_numpy(object)), plain)


def test_rows_come_back_as_they_were_given():
    task = messy_task()
    rows = np.arange(0, 120, 7)
    again = hpjax.tasks.schema.read_again(task.examples(rows), task.schema, task.name)
    np.testing.assert_allclose(again, task.x[rows])


# --- what no fold may see ---------------------------------------------------------------------------------------------
def test_values_of_rows_that_are_held_out_change_nothing_that_is_trained():
    frame, y = messy()
    task = Task.of(frame, y, "people", columns={"zip": "category"}, test=0.2)
    held = np.union1d(task.test, hpjax.tasks.splits(task, 1, 0)[0].valid)
    other = frame.copy()
    rng = np.random.default_rng(1)
    for name in frame:
        mixed = frame[name].to_numpy(object).copy()
        mixed[held] = mixed[rng.permutation(held)]
        other[name] = pandas.Series(mixed).astype(frame[name].dtype)
    changed = Task.of(other, y, "people", columns={"zip": "category"}, test=0.2)
    assert not np.array_equal(task.x, changed.x, equal_nan=True)
    config = {"hidden": (8,), "batch_size": 16}
    first, second = (hpjax.train(config, t, 3, seeds=[0], **quiet) for t in (task, changed))
    for a, b in zip(first.network().params, second.network().params):
        np.testing.assert_allclose(a["w"], b["w"], rtol=1e-5, atol=1e-6)


def test_shuffled_targets_score_at_chance():
    frame, y = messy(400)
    y = np.random.default_rng(0).permutation(y)
    found = hpjax.tune(
        SPACE, Task.of(frame, y, columns={"id": "drop"}), trials=4, validation=4, **quiet
    )
    share = max(np.mean(y == "ill"), np.mean(y == "well"))
    assert found.trials["error"].min() > 1 - share - 0.12


# --- studies ----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_study_of_a_table_is_resumed_read_and_confirmed(tmp_path):
    frame, y = messy()
    frame.assign(health=y).to_csv(tmp_path / "people.csv", index=False)
    options = dict(target="health", columns={"zip": "category", "id": "drop"}, **quiet)
    path, out = str(tmp_path / "people.csv"), tmp_path / "run"
    found = hpjax.tune(SPACE, path, trials=5, validation=2, out=out, **options)
    assert json.loads((out / "run.json").read_text())["networks"]["columns"] == options["columns"]
    whole = (out / "ledger.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (out / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    hpjax.resume(out, **quiet)
    assert (out / "ledger.jsonl").read_bytes() == whole
    shown = hpjax.open_run(out, **quiet)
    assert 0 <= shown.test()["accuracy"] <= 1
    assert len(hpjax.confirm(shown, top=2, repeats=2).table) == 2
    network = found.refit()
    assert network.predict(frame[list(network.takes.features)]).shape == (120,)
    gradient = hpjax.tune(SPACE, path, search="gradient", trials=2, **options)
    assert np.isfinite(gradient.trials["loss"]).all()


def test_numbers_alone_are_as_before():
    """No schema, and the same arrays, for a table of finite numbers."""
    x = np.random.default_rng(0).normal(size=(30, 3))
    for given_as in (x, x.tolist(), pandas.DataFrame(x, columns=["a", "b", "c"])):
        task = Task.of(given_as, np.arange(30) % 2)
        assert task.schema == ()
        np.testing.assert_array_equal(task.x, x)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 500])
def test_many_columns_and_one_member_classes(columns):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({f"c {at} é": rng.choice(list("abcde"), 200) for at in range(columns)})
    y = np.array([f"class {at % 20}" for at in range(200)])
    found = hpjax.tune(SPACE, Task.of(frame, y), trials=2, **quiet)
    assert np.isfinite(found.trials["loss"]).all()
    y[0] = "alone"
    with pytest.raises(TaskError, match="class 'alone' has one example") as caught:
        Task.of(frame, y)
    assert "\n" not in str(caught.value)


def told(values, **options):
    """The first schema column and the notes of a table of one odd column beside a plain one."""
    rows = len(values)
    frame = pandas.DataFrame({"odd": values, "plain": np.arange(rows) / rows})
    table = read_table(frame, options, "t")
    return [c for c in table.schema if c.source == "odd"], "; ".join(table.notes), table.x


DAYS = pandas.date_range("2020-01-05", periods=60)


@pytest.mark.parametrize(
    ("values", "kind", "note"),
    [
        (
            ["missing" if i % 3 == 0 else f"{i / 7:.3f}" for i in range(60)],
            "number",
            "'missing' and",
        ),
        ([f"${i * 37:,}.50" for i in range(1, 61)], None, "write digits and a point alone"),
        ([f"{i},5" for i in range(60)], None, "write digits and a point alone"),
        (DAYS.strftime("%d.%m.%Y"), None, "say so (columns="),
        (DAYS.strftime("%d/%m/%Y"), None, "write YYYY-MM-DD"),
        (DAYS.tz_localize("Europe/Berlin").astype(str), "date", ""),
        (pandas.period_range("2020-01", periods=60, freq="D"), "date", ""),
        (pandas.to_timedelta(np.arange(60), unit="h"), "number", ""),
        ([day.date() for day in DAYS], "date", ""),
        ([f"{i}a" for i in range(60)], None, "name rows, not kinds"),
        ([f"{i % 24}:{i}" for i in range(10, 60)], None, "name rows, not kinds"),
        (["a", "b"] * 30 + [f"{i}" for i in range(25)], "category", ""),
        ([f"{year}-12-31" for year in range(9940, 10000)], "date", ""),
    ],
    ids=[
        "words",
        "money",
        "commas",
        "points",
        "slashes",
        "zones",
        "periods",
        "durations",
        "dates",
        "flats",
        "clocks",
        "kinds",
        "ends",
    ],
)
def test_spellings_that_strangers_use(values, kind, note):
    columns, notes, _ = told(values)
    assert note in notes
    assert {c.kind for c in columns} == ({kind} if kind else set())


def test_dates_with_points_have_the_day_first_and_slashes_are_refused():
    _, _, x = told(DAYS.strftime("%d.%m.%Y"), odd="date")
    np.testing.assert_array_equal(x[:, 0], (DAYS - pandas.Timestamp(0)).days)
    with pytest.raises(TaskError, match="has the day or the month first; write YYYY-MM-DD"):
        told(DAYS.strftime("%d/%m/%Y"), odd="date")


def test_dates_of_any_century_are_days_weekdays_and_days_of_the_year():
    days = pandas.date_range("1680-02-27", "2261-12-31", periods=500).as_unit("us")
    _, _, x = told(days.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    expected = (days - pandas.Timestamp(0)) / pandas.Timedelta(days=1)
    np.testing.assert_allclose(x[:, 0], expected, rtol=1e-14)
    np.testing.assert_array_equal(x[:, 1], days.day_of_week)
    np.testing.assert_array_equal(x[:, 2], days.day_of_year)
    frame = pandas.DataFrame({"end": ["9999-12-31", "1500-01-02", "2024-02-29"] * 10})
    table = read_table(frame, {"end": "date"}, "t")
    np.testing.assert_array_equal(table.x[:3, 2], [365, 2, 60])
    back = frame_of(table.x, table.schema)
    np.testing.assert_array_equal(read_again(back, table.schema, "t"), table.x)


class Columns:
    """A table of another library than pandas: all that hpjax needs of one."""

    def __init__(self, frame):
        self._held = {name: frame[name].to_numpy() for name in frame}
        self.columns, self.shape = list(self._held), frame.shape

    def __getitem__(self, name):
        return self._held[name]

    def __len__(self):
        return self.shape[0]


def arrow(frame):
    """The same as a table of pyarrow's."""
    return pytest.importorskip("pyarrow").Table.from_pandas(frame, preserve_index=False)


@pytest.mark.parametrize("estimator", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_a_table_is_trained_as_it_is_predicted_as(estimator):
    """Columns that are left out are among them; other libraries' tables keep their names."""
    frame, y = messy()[0], np.arange(120) % 2
    kinds = {
        "table": (frame, frame[frame.columns[::-1]]),
        "another library's": (Columns(frame), Columns(frame[frame.columns[::-1]])),
        "pyarrow's": (arrow(frame), arrow(frame[frame.columns[::-1]])),
        "array": (frame.to_numpy(object), frame.to_numpy(object)),
        "lists": (frame.to_numpy(object).tolist(), frame.to_numpy(object).tolist()),
        "numbers": (np.stack([y, np.full(120, np.nan)], 1), np.stack([y, np.zeros(120)], 1)),
    }
    found = {}
    for name, (x, again) in kinds.items():
        if estimator and name in ("another library's", "pyarrow's", "lists", "table"):
            again = x  # scikit-learn refuses another order, and takes lists for text
        if estimator and name == "lists":
            continue
        options = dict(trials=1, epochs=2)
        if estimator:
            network = hpjax.MLPClassifierCV(SPACE, cv=2, random_state=0, **options).fit(x, y)
        else:
            network = hpjax.tune(SPACE, (x, y), seed=0, **options, **quiet).refit()
        found[name] = network.predict_proba(again)
        np.testing.assert_array_equal(found[name], network.predict_proba(x))
    np.testing.assert_allclose(found["table"], found["array"], atol=1e-6)
    np.testing.assert_allclose(found["table"], found["another library's"], atol=1e-6)
    np.testing.assert_allclose(found["table"], found["pyarrow's"], atol=1e-6)


def test_a_row_to_predict_needs_no_weight():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(60, 2)), rng.uniform(1, 2, 60)])
    task = Task.of(x, np.arange(60) % 2, test=0, columns={"3": "weight"})
    network = hpjax.fit(task, {"hidden": (4,)}, epochs=1)
    np.testing.assert_array_equal(network.predict(x), network.predict(x[:, :2]))
    with pytest.raises(TaskError, match="a row has 3 columns"):
        network.predict(x[:, :1])


def test_numbers_of_another_library_are_found_by_name():
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"])
    network = hpjax.fit((Columns(frame), np.arange(60) % 2), {"hidden": (4,)}, epochs=1)
    plain = network.predict_proba(frame)
    for turned in (frame[["c", "a", "b"]], Columns(frame[["c", "a", "b"]])):
        np.testing.assert_array_equal(network.predict_proba(turned), plain)


def test_amounts_with_commas_are_told_the_remedy(tmp_path):
    rows = [f"{at % 7};-{at},5;{at / 8:.3f}".replace(".", ",") for at in range(40)]
    path = tmp_path / "prices.csv"
    path.write_text("a;b;c\n" + "\n".join(rows))
    for options in ({}, {"kind": "numbers"}, {"columns": {"b": "number"}}):
        with pytest.raises(TaskError, match=r"write digits and a point alone \(1234.5\)"):
            hpjax.tune(SPACE, path, target="c", trials=1, **options, **quiet)
    path.write_bytes("a;b\n1;2".encode("utf-16"))
    with pytest.raises(TaskError, match=r"is not UTF-8 .*; save it as UTF-8"):
        tasks.read(path)


def test_the_column_that_is_predicted_is_named_and_all_that_are_left_out(tmp_path):
    frame = messy()[0].assign(
        **{f"name{at}": [f"{at} {row}" for row in range(120)] for at in range(9)}
    )
    frame.assign(y=np.arange(120) % 3).to_csv(tmp_path / "last.tsv", sep="\t", index=False)
    said = []
    hpjax.tune(SPACE, tmp_path / "last.tsv", trials=1, epochs=1, say=said.append)
    text = "\n".join(said)
    assert "the target is the last column, 'y'" in text
    assert all(
        f"{name}: left out" in text for name in ("id", "same", *(f"name{n}" for n in range(9)))
    )


def test_a_number_far_from_all_others_is_said():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=300), rng.lognormal(0, 3, 300), np.arange(300) == 7], 1)
    y = np.arange(300) % 2
    assert Task.of(x, y).notes == ()
    x[5, 0] = -1e30
    assert Task.of(x, y).notes[0].startswith("1: -1e+30 lies far from")
    frame = pandas.DataFrame(x, columns=["a", "b", "c"]).assign(b=np.nan)
    (note,) = [note for note in Task.of(frame, y).notes if "far" in note]
    assert note.startswith("a: -1e+30 lies far from -0.")
    assert "'scaling': 'quantile'" in note
