"""Compiled programs from one process to the next: kept where they may be, dropped where they are too many, and never believed blindly."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpjax import program_cache

STUDY = """
import sys, hpjax
{before}
space = {{"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1)}}
hpjax.tune(space | {more}, "iris", trials=3, epochs=2, out=sys.argv[1], progress=False)
{after}
"""


def study(out, cache, before="", after="", more="{}", **environment):
    """Runs a study in a process of its own; its standard error."""
    known = {n: v for n, v in os.environ.items() if n not in ("XLA_FLAGS", program_cache.SWITCH)}
    done = subprocess.run(
        [sys.executable, "-c", STUDY.format(before=before, after=after, more=more), str(out)],
        env=known | {program_cache.SWITCH: str(cache)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


NEVER_TRACED = """
from hpjax.population import executor
def refuse(*anything): raise AssertionError("traced")
executor.LocalExecutor._compile = refuse
"""


def programs(cache):
    paths = itertools.chain.from_iterable(map(cache.rglob, program_cache.PROGRAMS))
    return {path.name: path.read_bytes() for path in paths}


def ours(cache):
    return list(cache.rglob("*.program"))


def ledger(out):
    return (out / "ledger.jsonl").read_bytes()


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_finds_the_same(tmp_path):
    cache = tmp_path / "cache"
    study(tmp_path / "first", cache)
    kept = programs(cache)
    assert len(ours(cache)) == 1
    assert [folder.name for folder in cache.iterdir()] == [program_cache.kind()]
    assert (cache / program_cache.kind()).stat().st_mode & 0o777 == 0o700
    study(tmp_path / "second", cache, before=NEVER_TRACED)
    # on a busy machine a tiny one may take long enough to be kept only now
    assert {name: programs(cache)[name] for name in kept} == kept
    assert len(ours(cache)) == 1
    study(tmp_path / "without", program_cache.OFF)
    assert ledger(tmp_path / "first") == ledger(tmp_path / "second") == ledger(tmp_path / "without")


@pytest.mark.slow
def test_a_program_that_is_damaged_is_compiled_again(tmp_path):
    """As where a process was killed while it wrote."""
    cache = tmp_path / "cache"
    study(tmp_path / "first", cache)
    for path in [*cache.rglob("*-cache"), *ours(cache)]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    study(tmp_path / "second", cache)
    assert ledger(tmp_path / "first") == ledger(tmp_path / "second")


@pytest.mark.slow
def test_a_program_that_jax_kept_alone_is_traced_and_not_written_again(tmp_path):
    """XLA would write it without its code, and the next process would end at its first block."""
    cache = tmp_path / "cache"
    study(tmp_path / "first", cache)
    for path in ours(cache):
        path.unlink()
    for name in ("second", "third"):
        study(tmp_path / name, cache)
        assert not ours(cache)
        assert ledger(tmp_path / "first") == ledger(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "from hpjax.models.mlp import network; network.STATS_DECAY = 0.5",
        "from hpjax.models.mlp.activations import ACTIVATIONS as A; A['relu'] = A['tanh']",
        "from hpjax.training.optimizers import OPTIMIZERS as O; O['adam'] = O['adam']._replace(adaptive=False)",
    ],
    ids=["a number", "a row of a table", "a part of a row"],
)
def test_what_was_changed_in_the_process_is_traced(tmp_path, change):
    cache = tmp_path / "cache"
    study(tmp_path / "first", cache, before=change)
    assert not ours(cache)
    study(tmp_path / "second", cache)
    study(tmp_path / "third", cache, before=change)
    assert ledger(tmp_path / "third") == ledger(tmp_path / "first")


@pytest.mark.slow
def test_a_program_that_calls_a_library_is_traced_in_each_process(tmp_path):
    """Without tracing, LAPACK's functions would not be there (jax#28908: a crash)."""
    cache, more = tmp_path / "cache", '{"init": "orthogonal"}'
    study(tmp_path / "first", cache, more=more)
    assert programs(cache)
    assert not ours(cache)
    study(tmp_path / "second", cache, more=more)
    assert ledger(tmp_path / "first") == ledger(tmp_path / "second")


@pytest.mark.slow
def test_the_users_own_cache_is_left_alone(tmp_path):
    cache, own = tmp_path / "cache", tmp_path / "own"
    told = (
        "import jax; print(jax.config.jax_persistent_cache_min_compile_time_secs, file=sys.stderr)"
    )
    said = study(tmp_path / "run", cache, after=told, JAX_COMPILATION_CACHE_DIR=str(own))
    assert not cache.exists()
    assert said.splitlines()[-1] == "1.0"
    study(tmp_path / "again", cache, JAX_ENABLE_COMPILATION_CACHE="false")
    assert not cache.exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, mode):
    cache = tmp_path / "cache"
    folder = cache / program_cache.kind()
    folder.mkdir(parents=True)
    folder.chmod(mode)
    said = study(tmp_path / "run", cache)
    assert "others can write to it" in said
    assert "HPJAX_CACHE" in said
    assert not programs(cache)


@pytest.mark.slow
def test_a_place_that_is_no_folder_is_said_and_the_study_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    said = study(tmp_path / "run", tmp_path / "file" / "cache")
    assert said.count("hpjax: compiled programs cannot be kept") == 1
    assert (tmp_path / "run" / "ledger.jsonl").exists()


def test_where_nobody_says_where_the_users_folder_is(monkeypatch):
    monkeypatch.delenv(program_cache.SWITCH, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(program_cache.Path, "home", nowhere)
    monkeypatch.setattr(program_cache, "_asked", [])
    said, known = [], program_cache.jax.config.values["jax_compilation_cache_dir"]
    program_cache.jax.config.update("jax_compilation_cache_dir", None)
    try:
        program_cache.keep(said.append)
    finally:
        program_cache.jax.config.update("jax_compilation_cache_dir", known)
    assert len(said) == 1
    assert "Could not determine home directory" in said[0]
    with pytest.raises(FileNotFoundError, match="home directory"):
        program_cache.everything()


def filled(folder, sizes):
    """Programs of these sizes, the first written first."""
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        path = folder / f"{number}-cache"
        path.write_bytes(b"x" * size)
        os.utime(path, (1000 + number, 1000 + number))


@pytest.mark.parametrize(
    ("most", "left"), [(100, [0, 1, 2]), (60, [0, 1, 2]), (59, [1, 2]), (30, [2]), (0, [])]
)
def test_what_was_written_longest_ago_goes_first(tmp_path, most, left):
    filled(tmp_path / "kind", [10, 20, 30])
    (tmp_path / "kind" / "other.txt").write_text("stays")
    program_cache.shrink(program_cache.contents(tmp_path / "kind"), most)
    kept = program_cache.contents(tmp_path / "kind")
    assert [path.name for path in kept.files] == [f"{number}-cache" for number in left]
    assert kept.bytes == sum([10, 20, 30][number] for number in left)
    assert (tmp_path / "kind" / "other.txt").exists()


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.delenv(program_cache.SWITCH, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert program_cache.root() == tmp_path / "hpjax" / "programs"
    monkeypatch.setenv(program_cache.SWITCH, "OFF")
    assert program_cache.root() is None
    assert program_cache.everything() == []
    monkeypatch.setenv(program_cache.SWITCH, str(tmp_path / "own"))
    assert program_cache.everything() == []
    filled(tmp_path / "own" / "x86_64-0123abcd", [1, 2])
    filled(tmp_path / "own" / "x86_64-4567cdef", [3])
    filled(tmp_path / "own" / "somebody's", [4])
    assert [kept.bytes for kept in program_cache.everything()] == [3, 3]
    assert program_cache.clear() == 3
    assert [kept.bytes for kept in program_cache.everything()] == [0, 0]
    assert (tmp_path / "own" / "somebody's" / "0-cache").exists()
    monkeypatch.setenv(program_cache.SWITCH, "~/here")
    assert program_cache.root() == Path("~/here").expanduser()
