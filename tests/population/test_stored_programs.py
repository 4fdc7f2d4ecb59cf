"""Names of programs: one for each thing that is traced, and none where it is not known what is."""

import dataclasses
import hashlib
import zlib

import jax
import numpy as np
import pytest

from hpjax import program_cache
from hpjax.configurations import single_network
from hpjax.models.base import Target
from hpjax.models.mlp import network
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.population import stored_programs
from hpjax.population.kernels import KERNELS
from hpjax.population.plan import Program
from hpjax.training.losses import LOSSES, Loss
from hpjax.training.optimizers import OPTIMIZERS

SPEC = single_network(Target(4, 3, "cross_entropy"), hidden=(8,))[0]
PROGRAM = Program(SPEC, 4, 1, 2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where programs are kept; no module counts as changed, and no file, however new this checkout is."""
    known = stored_programs.AS_LOADED[stored_programs.__name__]
    monkeypatch.setattr(stored_programs, "LOADED", np.inf)
    monkeypatch.setitem(known, "LOADED", np.inf)
    before = jax.config.values["jax_compilation_cache_dir"]
    keep_in(tmp_path)
    yield tmp_path
    program_cache._kept_in.clear()
    jax.config.update("jax_compilation_cache_dir", before)


def keep_in(path):
    program_cache._kept_in[:] = [path]
    jax.config.update("jax_compilation_cache_dir", str(path))


def name(program=PROGRAM, kernel="vmap", others=(1, 20), devices=None):
    return stored_programs.name_of(program, devices or jax.devices(), KERNELS[kernel], *others)


def test_names_tell_apart_all_that_programs_are_made_from(monkeypatch):
    wider = dataclasses.replace(SPEC, hidden=(9,))
    names = [
        name(),
        name(PROGRAM._replace(chunk=5)),
        name(PROGRAM._replace(spec=wider)),
        name(PROGRAM._replace(spec=dataclasses.replace(SPEC, loss="focal"))),
        name(kernel="last axis"),
        name(others=(2, 20)),
        name(devices=jax.devices()[:1]),
    ]
    assert name() == names[0]
    monkeypatch.setattr(stored_programs.optax, "__version__", "another")
    stored_programs.source.cache_clear()
    names.append(name())
    stored_programs.source.cache_clear()
    assert None not in names
    assert len(set(names)) == len(names)


def own(*anything):
    return anything


@pytest.mark.parametrize(
    ("table", "entry", "value"),
    [
        (ACTIVATIONS, "relu", own),
        (ACTIVATIONS, "relu", ACTIVATIONS["tanh"]),
        (LOSSES, "mse", Loss("mse", own, None, False, own, None)),
        (OPTIMIZERS, "lion", OPTIMIZERS["adam"]._replace(direction=own)),
        (KERNELS, "mine", KERNELS["vmap"]._replace(build=own)),
    ],
)
def test_what_somebody_brings_along_has_no_name(monkeypatch, table, entry, value):
    assert name() is not None
    monkeypatch.setitem(table, entry, value)
    assert name() is None


def test_a_loss_of_a_users_own_has_no_name():
    loss = Loss("mine", own, None, False, own, None)
    assert name(PROGRAM._replace(spec=dataclasses.replace(SPEC, loss=loss))) is None


def test_source_that_changed_since_it_was_loaded_has_no_name(monkeypatch):
    monkeypatch.setattr(stored_programs, "LOADED", 0.0)
    monkeypatch.setitem(stored_programs.AS_LOADED[stored_programs.__name__], "LOADED", 0.0)
    assert name() is None


def test_another_function_in_a_module_has_no_name(monkeypatch):
    monkeypatch.setattr(network, "locate", own)
    assert name() is None


@pytest.mark.parametrize("flags", ["--xla_cpu_enable_fast_math=true", "a_file_of_flags"])
def test_flags_that_were_set_late_or_are_in_a_file_have_no_name(monkeypatch, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert name() is None


def test_a_program_comes_back_as_it_was_and_a_torn_file_does_not(folder):
    call = jax.jit(lambda x: {"twice": 2 * x}).lower(jax.numpy.arange(3.0)).compile()
    assert stored_programs.load("a", jax.devices()[:1]) is None
    stored_programs.keep("a", call)
    again = stored_programs.load("a", jax.devices()[:1])
    assert again is not None
    assert again(jax.numpy.arange(3.0))["twice"].tolist() == [0, 2, 4]
    (path,) = folder.iterdir()
    assert path in program_cache.contents(folder).files
    path.write_bytes(path.read_bytes()[:-1])
    assert stored_programs.load("a", jax.devices()[:1]) is None


def test_what_cannot_be_loaded_is_said_and_made_anew(folder, capsys):
    body = zlib.compress(b"nothing that was pickled")
    (folder / "a.program").write_bytes(hashlib.sha256(body).digest() + body)
    assert stored_programs.load("a", jax.devices()[:1]) is None
    assert "made anew" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(folder, capsys):
    call = jax.jit(lambda x: 2 * x).lower(jax.numpy.arange(3.0)).compile()
    (folder / "file").write_text("")
    keep_in(folder / "file")
    stored_programs.keep("a", call)
    assert "hpjax: a compiled program is not kept: cannot write" in capsys.readouterr().err
