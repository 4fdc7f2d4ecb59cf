"""Folds by groups, splitters, pairs of rows and files: what is trained on is never what is validated on."""

import dataclasses
import json

import numpy as np
import pandas
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

import hpjax
from hpjax.tasks import Task, TaskError, splits, validated_on

SPACE = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 2}


def quiet(text):
    pass


def patients(count=120, kind="classes", seed=0):
    """A table of patients, several rows each."""
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "patient": rng.choice([f"p{i}" for i in range(30)], count),
            "age": rng.normal(40, 9, count),
            "town": rng.choice(["Ulm", "Bern"], count),
        }
    )
    y = (frame["age"] > 40).map({True: "old", False: "young"}) if kind == "classes" else frame.age
    return frame, y.to_numpy()


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("folds", [1, 2, 5])
def test_groups_are_never_apart(kind, folds):
    frame, y = patients(kind=kind)
    task = Task.of(frame, y, "patients", columns={"patient": "group"})
    names = frame["patient"].to_numpy()
    assert {column.source for column in task.schema} == {"age", "town"}
    assert not set(names[task.test]) & set(names[task.development])
    assert 0.1 < len(task.test) / len(y) < 0.3
    found = splits(task, folds, 3)
    assert len(found) == folds
    for train, valid in found:
        assert not set(names[train]) & set(names[valid])
        assert not set(task.test) & {*train, *valid}
    if folds > 1:
        every = np.concatenate([valid for _, valid in found])
        np.testing.assert_array_equal(np.sort(every), task.development)
    again = Task.of(frame.drop(columns="patient"), y, "patients", groups=names)
    np.testing.assert_array_equal(again.test, task.test)


SPLITTERS = [
    GroupKFold(3),
    KFold(4),
    LeaveOneGroupOut(),
    PredefinedSplit(np.arange(120) % 4 - 1),
    RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
    ShuffleSplit(2, random_state=0),
    StratifiedKFold(3, shuffle=True, random_state=1),
    TimeSeriesSplit(3),
]


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda splitter: type(splitter).__name__)
def test_folds_are_those_of_the_splitter(splitter):
    frame, y = patients()
    grouped = "Group" in type(splitter).__name__
    what = "group" if grouped else "drop"
    task = Task.of(frame, y, "patients", test=0, columns={"patient": what})
    made = task.with_folds(splitter)
    groups = frame["patient"] if grouped else None
    wanted = list(splitter.split(frame, y, groups))
    assert len(made.folds) == len(wanted)
    for one, two in zip(made.folds, wanted):
        np.testing.assert_array_equal(one.train, np.sort(two[0]))
        np.testing.assert_array_equal(one.valid, np.sort(two[1]))
    assert splits(made, 7, 7) == made.folds


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_groups_are_set_aside_at_random(kind):
    """Every seed its own, groups of every size among them, and about as many rows as are asked for."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 39, 20)
    groups = np.repeat(np.arange(20), sizes)
    y = (rng.random(len(groups)) < rng.uniform(0.2, 0.8, 20)[groups]).astype(int)
    x = rng.normal(size=(len(groups), 2))
    for share in (0.2, 0.4):
        tests = [
            Task.of(
                x, y if kind == "classes" else x[:, 0], test=share, seed=seed, groups=groups
            ).test
            for seed in range(30)
        ]
        assert len({tuple(test) for test in tests}) > 26
        held = np.array([np.isin(np.arange(20), groups[test]).mean() for test in tests])
        assert abs(held.mean() - share) < 0.08
        each = np.array([np.isin(np.arange(20), groups[test]) for test in tests]).mean(0)
        assert 0 < each[sizes.argmax()] < 0.8
        assert abs(np.mean([len(test) for test in tests]) / len(y) - share) < 0.03


class Halves:
    """A splitter as one would write it, whose parts overlap if so asked."""

    def __init__(self, overlap=0):
        self.overlap = overlap

    def split(self, x, y=None, groups=None):
        half = len(x) // 2
        yield np.arange(half + self.overlap), np.arange(half, len(x))


def test_a_splitter_of_ones_own_goes_on_in_another_process(tmp_path):
    frame, y = patients()
    options = dict(columns={"patient": "drop"}, say=quiet)
    hpjax.tune(SPACE, (frame, y), trials=3, out=tmp_path / "run", validation=Halves(), **options)
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["networks"]["validation"][
            "splitter"
        ]
        == "Halves"
    )
    more = hpjax.resume(tmp_path / "run", trials=6, task=(frame, y), validation=Halves(), say=quiet)
    assert len(more.trials) == 6


def test_what_is_held_out_stays_held_out():
    frame, y = patients()
    task = Task.of(frame, y, "patients", test=0, columns={"patient": "drop"}).with_folds(KFold(3))
    with pytest.raises(TaskError, match="row 5 is of a ready-made fold and cannot be held out"):
        task.with_test(np.array([5, 7]))


def test_rows_to_hold_out_are_whole_numbers():
    task = Task.of(*patients(), "patients", test=0, columns={"patient": "drop"})
    for wrong in (np.arange(len(task.x)) < 5, np.array([1.7, 2.2]), np.array([[1, 2]])):
        with pytest.raises(TaskError, match="whole numbers"):
            task.with_test(wrong)
        with pytest.raises(TaskError, match="whole numbers"):
            dataclasses.replace(task, test=wrong)
    assert task.with_test(np.array([3, 5])).test.tolist() == [3, 5]


def test_a_splitter_sees_the_development_part_alone():
    frame, y = patients()
    task = Task.of(frame, y, "patients", columns={"patient": "drop"}).with_folds(TimeSeriesSplit(3))
    for train, valid in task.folds:
        assert not set(task.test) & {*train, *valid}
        assert train.max() < valid.min()


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (KFold(3, shuffle=True), "makes other folds each time; give it a random_state"),
        (GroupKFold(3), r"makes no folds: .*groups are a column"),
        (KFold(500), "makes no folds: Cannot have number of splits"),
        ([([0, 1], [1, 2])], "row 1 is trained and validated on in one fold"),
        ([([0, 1], [500])], "row 500 of a fold is not of the 120 development rows"),
        ([([0, 1], [])], "parts must be numbers of rows, some in each"),
        ([([0.5, 1], [2])], "parts must be numbers of rows, some in each"),
        ([(1, 2, 3)], "folds must be pairs of rows"),
        ([], "no folds are given"),
        (Halves(1), "row 60 is trained and validated on in one fold"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, message):
    frame, y = patients()
    task = Task.of(frame, y, "patients", test=0, columns={"patient": "drop"})
    with pytest.raises(TaskError, match=message) as caught:
        task.with_folds(folds)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folds", [KFold(3), StratifiedKFold(3), [(range(60), range(60, 120))]])
def test_folds_that_part_groups_are_refused(folds):
    frame, y = patients()
    task = Task.of(frame, y, "patients", test=0, columns={"patient": "group"})
    with pytest.raises(TaskError, match=r"the group of row \d+ is trained and validated on in one"):
        task.with_folds(folds)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"] * 120, "1 group"),
        (["a", "b"] * 60, "2 group.s. for 3 folds"),
        ([None] + ["a", "b", "c"] * 39 + ["d"] * 2, "row 1 has no group"),
        (["a", "b"], "120 rows but groups of shape"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups, message):
    frame, y = patients()
    with pytest.raises(TaskError, match=message):
        splits(Task.of(frame[["age"]], y, test=0, groups=groups), 3)


@pytest.mark.slow
def test_a_study_by_a_splitter_goes_on_with_it(tmp_path):
    frame, y = patients()
    task = Task.of(frame, y, "patients", columns={"patient": "group"})
    splitter = GroupKFold(3)
    options = dict(search="random", validation={"folds": splitter, "repeats": 2}, say=quiet)
    whole = hpjax.tune(SPACE, task, trials=6, **options)
    hpjax.tune(SPACE, task, trials=3, out=tmp_path / "run", **options)
    with pytest.raises(hpjax.RunError, match=r"validation GroupKFold.*; give that again"):
        hpjax.resume(tmp_path / "run", trials=6, task=task, say=quiet)
    with pytest.raises(hpjax.RunError, match=r"not GroupKFold\(n_splits=2"):
        hpjax.resume(tmp_path / "run", trials=6, task=task, validation=GroupKFold(2), say=quiet)
    more = hpjax.resume(tmp_path / "run", trials=6, task=task, validation=splitter, say=quiet)
    np.testing.assert_allclose(more.trials["loss"], whole.trials["loss"], rtol=1e-4)
    read = hpjax.open_run(tmp_path / "run", task, say=quiet)
    assert read.trials["loss"].tolist() == more.trials["loss"].tolist()
    with pytest.raises(ValueError, match=r"open_run\(out, validation=...\)"):
        read.refit()
    again = hpjax.open_run(tmp_path / "run", task, say=quiet, validation=splitter)
    np.testing.assert_allclose(
        again.refit().predict_proba(frame), whole.refit().predict_proba(frame), rtol=1e-3
    )


def test_a_comparison_by_a_splitter_goes_on_with_it(tmp_path):
    frame, y = patients()
    task = Task.of(frame, y, "patients", columns={"patient": "group"})
    splitter, options = GroupKFold(2), dict(seeds=2, stop={"trials": 3}, say=quiet)
    one = hpjax.compare(["random"], SPACE, task, validation=splitter, out=tmp_path, **options)
    with pytest.raises(hpjax.RunError, match="validation GroupKFold"):
        hpjax.resume_comparison(tmp_path, task)
    two = hpjax.resume_comparison(tmp_path, task, validation=splitter, say=quiet)
    pandas.testing.assert_frame_equal(one.table, two.table)


# --- a file that is validated on --------------------------------------------------------------------------------------
def files(folder, kind="classes"):
    """A table in two files, the second with columns in another order, a category of its own and a constant column."""
    frame, y = patients(kind=kind)
    frame["target"] = y
    frame.loc[3, "town"] = None
    first, second = frame.iloc[:90], frame.iloc[90:].copy()
    second["town"] = "Ulm"
    second.loc[95, "town"] = "Paris"
    first.to_csv(folder / "first.csv", index=False)
    second[["target", "town", "age", "patient"]].to_csv(folder / "second.csv", index=False)
    return frame


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_file_is_validated_on(tmp_path, kind):
    frame = files(tmp_path, kind)
    columns = {"patient": "drop"}
    first = hpjax.tasks.read(tmp_path / "first.csv", columns=columns)
    task = validated_on(first, tmp_path / "second.csv", "target", columns)
    ((train, valid),) = task.folds
    np.testing.assert_array_equal(train, first.development)
    np.testing.assert_array_equal(valid, np.arange(90, 120))
    np.testing.assert_allclose(task.examples(valid)["age"], frame["age"][90:])
    towns = ["Ulm"] * 5 + [""] + ["Ulm"] * 24
    assert task.examples(valid)["town"].fillna("").tolist() == towns
    assert task.truth(valid).tolist() == frame["target"][90:].tolist()


@pytest.mark.slow
def test_a_study_on_two_files_is_resumed_by_their_names(tmp_path):
    files(tmp_path)
    options = dict(
        validation=tmp_path / "second.csv", target="target", columns={"patient": "drop"}, say=quiet
    )
    whole = hpjax.tune(SPACE, tmp_path / "first.csv", trials=4, **options)
    hpjax.tune(SPACE, tmp_path / "first.csv", trials=2, out=tmp_path / "run", **options)
    more = hpjax.resume(tmp_path / "run", trials=4, say=quiet)
    np.testing.assert_allclose(more.trials["loss"], whole.trials["loss"], rtol=1e-4)
    assert hpjax.open_run(tmp_path / "run", say=quiet).test() == whole.test()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="age"), "no column 'age'"),
        (lambda frame: frame.assign(target="ancient"), "class 'ancient' is none of"),
        (
            lambda frame: frame.assign(target=["ancient"] + ["old"] * (len(frame) - 1)),
            "class 'ancient' is none of .*; drop its rows",
        ),
        (lambda frame: frame.assign(age="many"), "column 'age' has no number"),
    ],
)
def test_a_file_that_is_other_is_refused(tmp_path, change, message):
    files(tmp_path)
    change(pandas.read_csv(tmp_path / "second.csv")).to_csv(tmp_path / "second.csv", index=False)
    first = hpjax.tasks.read(tmp_path / "first.csv", columns={"patient": "drop"})
    with pytest.raises(TaskError, match=message) as caught:
        validated_on(first, tmp_path / "second.csv", "target", {"patient": "drop"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [True, False])
def test_a_file_of_one_class_is_validated_on(tmp_path, text):
    files(tmp_path)
    columns = {"patient": "drop"} if text else {"patient": "drop", "town": "drop"}
    second = pandas.read_csv(tmp_path / "second.csv")
    one = second["target"].iloc[0]
    second[second["target"] == one].to_csv(tmp_path / "second.csv", index=False)
    first = hpjax.tasks.read(tmp_path / "first.csv", columns=columns)
    task = validated_on(first, tmp_path / "second.csv", "target", columns)
    assert set(task.truth(task.folds[0].valid)) == {one}
    found = hpjax.train({"hidden": (4,)}, task, 2, metrics=["accuracy"], say=quiet)
    network = found.network(0)
    wanted = np.mean(network.predict(task.examples(task.folds[0].valid)) == one)
    assert found.table["accuracy"].iloc[0] == pytest.approx(wanted)


def test_one_class_to_train_on_is_refused(tmp_path):
    files(tmp_path)
    first = hpjax.tasks.read(tmp_path / "first.csv", values=("old", "young"))
    assert first.values == ("old", "young")
    alone = first.y == first.y[0]
    task = Task.of(first.x[alone], first.truth(alone), values=("old", "young"), test=0)
    with pytest.raises(TaskError, match=r"every example has class .*; two are needed"):
        hpjax.train({"hidden": (4,)}, task, 1, say=quiet)
    with pytest.raises(TaskError, match=r"every example has class .*; two are needed"):
        Task.of(first.x[alone], first.truth(alone))


@pytest.mark.parametrize("shared", [True, False])
def test_groups_of_two_files_are_kept_apart(tmp_path, shared):
    frame = files(tmp_path)
    columns = {"patient": "group"}
    first, second = frame.iloc[:90].copy(), frame.iloc[90:].copy()
    second["patient"] = second["patient"].str.replace("p", "q")
    if shared:
        second.loc[95, "patient"] = first["patient"][3]
    first.to_csv(tmp_path / "first.csv", index=False)
    second.to_csv(tmp_path / "second.csv", index=False)
    task = hpjax.tasks.read(tmp_path / "first.csv", columns=columns)
    if shared:
        with pytest.raises(TaskError, match=r"group 'p\d+' is in first, too") as caught:
            validated_on(task, tmp_path / "second.csv", "target", columns)
        assert "\n" not in str(caught.value)
        return
    both = validated_on(task, tmp_path / "second.csv", "target", columns)
    given = np.concatenate([first["patient"], second["patient"]])
    assert np.array(both.group_values)[both.groups].tolist() == given.tolist()


def test_groups_are_the_same_whatever_kind_of_numbers_they_are(tmp_path):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"a": rng.normal(size=20), "g": np.arange(20) % 5, "y": rng.normal(size=20)}
    )
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.assign(g=frame["g"] + 4.0).to_csv(tmp_path / "two.csv", index=False)
    task = hpjax.tasks.read(tmp_path / "one.csv", columns={"g": "group"})
    with pytest.raises(TaskError, match=r"group '4(\.0)?' is in one, too"):
        validated_on(task, tmp_path / "two.csv", None, {"g": "group"})


def test_tables_of_numbers_are_joined_by_name(tmp_path):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    frame["y"] = frame["a"] * 2
    frame.iloc[:40].to_csv(tmp_path / "one.csv", index=False)
    frame.iloc[40:][["c", "a", "b", "y"]].to_csv(tmp_path / "two.csv", index=False)
    one = hpjax.tasks.read(tmp_path / "one.csv", test=0)
    task = validated_on(one, tmp_path / "two.csv")
    np.testing.assert_allclose(task.x, frame[["a", "b", "c"]])
    frame.iloc[40:][["c", "a", "y"]].to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(TaskError, match="lacks 'b'"):
        validated_on(one, tmp_path / "two.csv")


def test_rows_that_stand_in_both_files_are_said(tmp_path):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.normal(size=60), "b": ["x", None, "z"] * 20})
    frame["y"] = frame["a"] * 2
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.iloc[30:].to_csv(tmp_path / "two.csv", index=False)
    one = hpjax.tasks.read(tmp_path / "one.csv", "y")
    task = validated_on(one, tmp_path / "two.csv", "y")
    tested = int((one.test >= 30).sum())
    assert task.notes[-1] == (
        f"{30 - tested} rows that are trained on, and {tested} that are tested on, stand in two, too: scores are too good by that"
    )
    frame.assign(a=frame["a"] + 0.5).to_csv(tmp_path / "three.csv", index=False)
    assert "stand in" not in " ".join(validated_on(one, tmp_path / "three.csv", "y").notes)


def test_classes_are_matched_by_their_values(tmp_path):
    """A gap in the second file's targets makes its whole numbers floats."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.normal(size=60), "y": np.arange(60) % 3})
    frame.iloc[:40].to_csv(tmp_path / "one.csv", index=False)
    (tmp_path / "two.csv").write_text(frame.iloc[40:].to_csv(index=False) + "0.5,\n")
    one = hpjax.tasks.read(tmp_path / "one.csv", test=0)
    task = validated_on(one, tmp_path / "two.csv")
    assert task.truth(task.folds[0].valid).tolist() == frame["y"][40:].tolist()


def test_a_class_with_one_example_is_named_where_one_part_validates():
    y = np.array(["a", "b"] * 20 + ["only"])
    with pytest.raises(TaskError, match=r"class 'only' has one example.* drop it, or call it"):
        splits(Task.of(np.arange(41.0)[:, None], y, "t", test=0))
