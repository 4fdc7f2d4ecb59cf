"""Tasks: what is read, split and standardised, and every refusal in one line that names file, row or field."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpjax import tasks
from hpjax.tasks import Task, TaskError, files
from hpjax.tasks.named import NAMES, STORED
from hpjax.training import batches


@pytest.mark.parametrize("name", NAMES)
def test_named_tasks_load_and_split(name):
    task = tasks.load(name)
    for folds in (1, 3):
        for fold in tasks.splits(task, folds):
            if not task.folds:
                assert not set(fold.train) & set(fold.valid)
            assert not set(fold.train) & set(task.test)
            assert not set(fold.valid) & set(task.test)


@pytest.mark.parametrize("name", STORED)
def test_stored_tasks(name, monkeypatch):
    import os

    folder = os.environ.get("HPJAX_DATA")
    if folder is None:
        monkeypatch.delenv("HPJAX_DATA", raising=False)
        with pytest.raises(TaskError, match=r"--data DIR or HPJAX_DATA"):
            tasks.load(name)
        pytest.skip("runs where HPJAX_DATA names the folder of stored data sets")
    assert len(tasks.load(name).x) >= 5000


def test_standardisation_is_fitted_on_the_training_part_only():
    task = Task.of(np.arange(20.0)[:, None] ** 2, np.arange(20) % 2, "t", test=0.0)
    train_rows = np.arange(10)
    found = batches.standards(
        batches.examples_of(task, [(train_rows, np.arange(10, 20))]), train_rows
    )
    assert found.shift[0] == np.mean(np.arange(10.0) ** 2)
    assert found.scale[0] == pytest.approx(1 / np.std(np.arange(10.0) ** 2))


def test_folds_are_stratified_and_named_by_the_seed():
    task = tasks.load("iris")
    a, b, c = (tasks.splits(task, 4, seed) for seed in (0, 0, 1))
    assert all((x.train == y.train).all() for x, y in zip(a, b))
    assert any((x.train != y.train).any() for x, y in zip(a, c))
    for fold in a:
        assert np.bincount(task.y[fold.valid]).max() - np.bincount(task.y[fold.valid]).min() <= 1
    together = np.sort(np.concatenate([fold.valid for fold in a]))
    np.testing.assert_array_equal(together, task.development)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), min_size=4, max_size=12),
    st.sampled_from([",", ";", "\t"]),
)
def test_csv_keeps_every_number(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    labels = ["yes" if i % 2 else "no" for i in range(len(rows))]
    lines = [delimiter.join(["a", "b", "c", "label"])]
    lines += [delimiter.join([*map(repr, row), label]) for row, label in zip(rows, labels)]
    path.write_text("\n".join(lines) + "\n")
    task = tasks.read(path, test=0.0)
    np.testing.assert_array_equal(task.x, np.array(rows))
    assert task.labels == ("no", "yes")
    assert task.truth(np.arange(2)).tolist() == ["no", "yes"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(files.IDX_TYPES)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.booleans(),
)
def test_idx_round_trip(tmp_path_factory, kind, shape, zipped):
    array = np.arange(np.prod(shape)).reshape(shape).astype(files.IDX_TYPES[kind])
    data = struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + array.tobytes()
    path = tmp_path_factory.mktemp("idx") / ("a-idx.gz" if zipped else "a-idx")
    path.write_bytes(gzip.compress(data) if zipped else data)
    np.testing.assert_array_equal(files.read_idx(path), array)


def test_npz_arff_parquet_and_idx(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y, x_test=x[:6], y_test=y[:6])
    task = tasks.read(tmp_path / "a.npz")
    assert (len(task.development), len(task.test)) == (30, 6)
    lines = [
        "@relation r",
        *(f"@attribute f{i} numeric" for i in range(4)),
        "@attribute 'the class' {0,1,2}",
        "@data",
    ]
    lines += [",".join([*map(repr, row.tolist()), f"'{label}'"]) for row, label in zip(x, y)]
    (tmp_path / "a.arff").write_text("% comment\n" + "\n".join(lines))
    np.testing.assert_array_equal(tasks.read(tmp_path / "a.arff").x, x)
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {f"f{i}": x[:, i] for i in range(4)} | {"y": y}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    again = tasks.read(tmp_path / "a.parquet", target="y")
    np.testing.assert_array_equal(again.x, x)
    assert again.labels == ("0", "1", "2")
    images = rng.integers(0, 256, size=(30, 5, 5)).astype(np.uint8)
    (tmp_path / "t-images-idx3-ubyte").write_bytes(
        struct.pack(">BBBB3I", 0, 0, 8, 3, 30, 5, 5) + images.tobytes()
    )
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(
        struct.pack(">BBBBI", 0, 0, 8, 1, 30) + y.astype(np.uint8).tobytes()
    )
    found = tasks.read(tmp_path / "t-images-idx3-ubyte")
    assert found.x.shape == (30, 25)
    assert found.x.max() <= 1
    monkeypatch.chdir(tmp_path)  # MNIST's files have no ending
    assert tasks.load("t-images-idx3-ubyte").x.shape == (30, 25)


BAD = {
    "empty.csv": ("", "the file is empty"),
    "header.csv": ("a,b,c\n", "no rows below the header"),
    "ragged.csv": ("a,b,c\n1,2,3\n4,5\n", "row 3 has 2 fields, the header 3"),
    "wild.csv": ("a,b,c\n1,2,3\n1,inf,4\n", "row 3, column 'b': 'inf' is not finite"),
    "blank.csv": ("a,c\n,3\n?,4\n", "no feature is left; a: left out, no row has a value"),
    "missing.csv": ("a,b,c\n1,2,\n1,3,NA\n", "no row has a target in column 'c'"),
    "missing.arff": (
        "@attribute a numeric\n@attribute b {x,y}\n@data\n1,?\n2,?\n",
        "no row has a target in column 'b'",
    ),
    "one.csv": ("a,b,c\n1,2,x\n3,4,x\n5,6,x\n", "every example has class 'x'"),
    "twice.csv": ("a,a,c\n1,2,x\n", "column 'a' stands twice"),
    "sparse.arff": ("@attribute a numeric\n@attribute b {x,y}\n@data\n{0 1}\n", "sparse ARFF"),
    "none.arff": ("hello\n", "not an ARFF file"),
    "bad.npz": ("not a zip", "not a plain NPZ"),
    "what.xls": ("", "unknown ending '.xls'"),
    "bad.parquet": ("PAR", "not a Parquet file"),
    "x-idx3-ubyte": ("abcd", "its labels x-idx1-ubyte are missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line_that_names_them(tmp_path, name):
    path = tmp_path / name
    path.write_text(BAD[name][0])
    with pytest.raises(TaskError, match=BAD[name][1]) as caught:
        tasks.read(path)
    assert str(path) in str(caught.value) or path.stem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_headers_are_told_from_rows(tmp_path):
    (tmp_path / "iris.data.csv").write_text(
        "5.1,3.5,setosa\n4.9,3.0,setosa\n6.0,3.1,other\n6.1,3.2,other\n"
    )
    assert tasks.read(tmp_path / "iris.data.csv", test=0).x.shape == (4, 2)
    (tmp_path / "pandas.csv").write_text("0,1,2\n5.1,3.5,0\n4.9,3.0,1\n6.0,3.1,0\n6.1,3.2,1\n")
    assert tasks.read(tmp_path / "pandas.csv", test=0).x[0].tolist() == [5.1, 3.5]


SHEETS = {
    "a blank row of delimiters": ("a,b\n1,0\n,\n3,1\n4,0\n5,1\n", [[1.0], [3.0], [4.0], [5.0]], ("0", "1")),
    "a header of two lines": ('"a\nb",c\n1,0\n2,1\n3,0\n4,1\n', [[1.0], [2.0], [3.0], [4.0]], ("0", "1")),
    "years as a header": ("1990,1991,kind\n1,2,x\n4,5,y\n7,8,x\n1,3,y\n", [[1.0, 2.0], [4.0, 5.0], [7.0, 8.0], [1.0, 3.0]], ("x", "y")),
    "a column called nan": ("a,nan,kind\n1,2,x\n4,5,y\n7,8,x\n1,3,y\n", [[1.0, 2.0], [4.0, 5.0], [7.0, 8.0], [1.0, 3.0]], ("x", "y")),
    "binary columns without a header": ("0,1\n1,0\n0,1\n1,0\n", [[0.0], [1.0], [0.0], [1.0]], ("0", "1")),
    "apostrophes that quote nothing": ("1,'tis\n2,'tis\n3,dogs'\n4,dogs'\n", [[1.0], [2.0], [3.0], [4.0]], ("'tis", "dogs'")),
    "blanks around cells": ("a b,c\n 1 , 0\n 2 , 1\n3,0 \n4,1\n", [[1.0], [2.0], [3.0], [4.0]], ("0", "1")),
    "a quoted newline": ('a,b\n1,"p\nq"\n2,z\n3,z\n4,"p\nq"\n', [[1.0], [2.0], [3.0], [4.0]], ("p\nq", "z")),
    "other line separators": ("a,b\n1,x\u2028y\n2,z\n3,z\n4,x\u2028y\n", [[1.0], [2.0], [3.0], [4.0]], ("x\u2028y", "z")),
}  # fmt: skip


@pytest.mark.parametrize("name", SHEETS)
def test_sheets_are_read_as_they_are_meant(tmp_path, name):
    text, x, labels = SHEETS[name]
    (tmp_path / "a.csv").write_text(text)
    task = tasks.read(tmp_path / "a.csv", test=0)
    assert task.x.tolist() == x
    assert task.labels == labels
    assert all("\n" not in line for line in task.about())


GAPPED = {
    "a row of NA": ("a,b\n1,0\nNA,NA\n3,1\n", [[1.0], [3.0]], "1 rows without a target"),
    "a gap in the first row, no header": (
        "?,3.5,s\n5.1,3.0,s\n5.0,3.1,x\n5.0,3.1,x\n",
        [[np.nan, 3.5], [5.1, 3.0], [5.0, 3.1], [5.0, 3.1]],
        "gaps in 1",
    ),
    "a blank behind a gap": ("a,b\n1,0 \n3,? \n4,1 \n", [[1.0], [4.0]], "1 rows without a target"),
    "NaN as others spell it": (
        "a,b\n1,2\n3,4\nNaN,5\n",
        [[1.0], [3.0], [np.nan]],
        "gaps in a",
    ),
    "underscores are no numbers": (
        "a,b\n1_000,x\n2,y\n",
        [[0.0], [1.0]],
        "1 columns of 2 categories",
    ),
}


@pytest.mark.parametrize("name", GAPPED)
def test_gaps_and_text_are_read_and_said(tmp_path, name):
    text, x, said = GAPPED[name]
    (tmp_path / "a.csv").write_text(text)
    task = tasks.read(tmp_path / "a.csv", test=0)
    np.testing.assert_array_equal(task.x, x)
    assert any(said in line for line in task.about())


def test_a_row_of_another_length_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,c\n1,2,3,4\n,\n7,8,9\n7,8,1\n")
    with pytest.raises(TaskError, match="row 2 has 4 fields, the header 3"):
        tasks.read(tmp_path / "a.csv", test=0)


def test_nominal_targets_of_arff_are_classes(tmp_path):
    head = "@relation r\n@attribute a numeric\n@attribute c {1,2,'3 4'}\n@data\n"
    (tmp_path / "a.arff").write_text(head + "1,1\n2,2\n3,'3 4'\n4,1\n")
    assert tasks.read(tmp_path / "a.arff", test=0).labels == ("1", "2", "3 4")
    (tmp_path / "b.arff").write_text(head.replace("'3 4'", "3") + "1,1\n2,2\n3,3\n4,1\n")
    assert tasks.read(tmp_path / "b.arff", test=0).kind == "classes"
    for wrong, message in (
        ("5,7\n", "is none of the attribute's classes"),
        ("5\n", "has 1 fields"),
    ):
        (tmp_path / "c.arff").write_text(head + wrong)
        with pytest.raises(TaskError, match=message):
            tasks.read(tmp_path / "c.arff")
    (tmp_path / "d.arff").write_text(head.replace("@data", "@attribute a real\n@data") + "1,1,1\n")
    with pytest.raises(TaskError, match="attribute 'a' stands twice"):
        tasks.read(tmp_path / "d.arff")


def test_large_offsets_keep_their_digits_in_float32():
    """Unix times differ by less than float32 can tell; they are centred in float64 before the cast."""
    x = 1.7e9 + np.arange(100.0)[:, None]
    task = Task.of(x, np.arange(100) % 2, "times", test=0.0)
    rows = np.arange(60)
    from hpjax import configurations
    from hpjax.models.base import Target

    spec, _ = configurations.single_network(Target(1, 1, "bce"), batch_size=0)
    data = batches.prepare(batches.examples_of(task, [(rows, rows)]), 1, (0,), 1, spec)
    seen = (data.x - data.shift[0]) * data.scale[0]
    np.testing.assert_allclose(seen[:60, 0], (x[:60, 0] - x[:60].mean()) / x[:60].std(), atol=1e-5)
    constant = Task.of(np.full((100, 1), 0.1), np.arange(100) % 2, "constant", test=0.0)
    assert batches.standards(batches.examples_of(constant, [(rows, rows)]), rows)[1][0] == 1


def test_other_refusals(tmp_path):
    np.savez(tmp_path / "p.npz", x=np.array([{}], object), y=np.zeros(1))
    np.savez(tmp_path / "q.npz", y=np.zeros(3))
    (tmp_path / "cut-images-idx3").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 9, 9, 9) + b"123")
    (tmp_path / "cut-labels-idx1").write_bytes(b"")
    (tmp_path / "c.csv").write_text("a,b\n1,x\n2,y\n3,x\n4,y\n")
    for call, message in (
        (lambda: tasks.read(tmp_path / "p.npz"), "not a plain NPZ"),
        (lambda: tasks.read(tmp_path / "q.npz"), "needs arrays x and y, has y"),
        (
            lambda: tasks.read(tmp_path / "cut-images-idx3"),
            "holds 3 bytes of data, its header says 729",
        ),
        (lambda: tasks.read(tmp_path / "c.csv", target="z"), "no column 'z'; it has a, b"),
        (lambda: tasks.load("digit"), "did you mean 'digits'"),
        (lambda: tasks.load("missing.csv"), "no file missing.csv"),
        (lambda: Task.of(np.zeros((3, 2)), [0, 1]), "3 rows of features but 2 targets"),
        (lambda: Task.of(np.zeros((2, 1), complex), [0, 1]), "features must be a table of rows"),
        (
            lambda: Task.of([[{}], [[]]], [0, 1]),
            "all of one length|neither number, text nor date|holds neither",
        ),
        (
            lambda: Task.of(np.array([[1.0], [np.inf]]), [0, 1], test=0),
            "row 2, column '1': inf is not finite",
        ),
        (lambda: Task.of(np.zeros((4, 1)), ["a", "a", "a", "b"]), "has one example"),
        (lambda: tasks.splits(tasks.load("iris"), 99), "for 99 folds"),
        (
            lambda: tasks.splits(Task.of(np.zeros((6, 1)), [0, 0, 0, 0, 0, 1], test=0), 2),
            "class '1' has 1 rows for 2 folds",
        ),
    ):
        with pytest.raises(TaskError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_class_missing_from_a_fold_is_named():
    groups = ["a", "a", "b", "b", "c", "c"]  # the rare class is in one of them
    task = Task.of(np.zeros((6, 1)), [0, 0, 0, 0, 1, 1], "rare", test=0, groups=groups)
    with pytest.raises(
        TaskError, match=r"class '1' is missing from the training part of fold .; give finer groups"
    ):
        tasks.splits(task, 3)
