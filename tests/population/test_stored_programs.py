"""Names of programs: one for each thing that is traced, and none where it is not known what is."""

import dataclasses

import jax
import pytest

from hpjax import program_cache
from hpjax.configurations import single_network
from hpjax.models.base import Target
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.population import stored_programs
from hpjax.population.kernels import KERNELS
from hpjax.population.plan import Program
from hpjax.training.losses import LOSSES
from hpjax.training.optimizers import OPTIMIZERS

SPEC = single_network(Target(4, 3, "cross_entropy"), hidden=(8,))[0]
PROGRAM = Program(SPEC, 4, 1, 2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(program_cache, "folder", lambda: tmp_path)
    return tmp_path


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
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    names.append(name())
    monkeypatch.setattr(stored_programs, "source", lambda: "another version")
    names.append(name())
    assert None not in names
    assert len(set(names)) == len(names)


def own(*anything):
    return anything


@pytest.mark.parametrize(
    ("table", "entry", "value"),
    [
        (ACTIVATIONS, "relu", own),
        (LOSSES, "mse", stored_programs.Loss("mse", own, None, False, own, None)),
        (OPTIMIZERS, "lion", OPTIMIZERS["adam"]._replace(direction=own)),
        (KERNELS, "mine", KERNELS["vmap"]._replace(build=own)),
    ],
)
def test_what_somebody_brings_along_has_no_name(monkeypatch, table, entry, value):
    assert name() is not None
    monkeypatch.setitem(table, entry, value)
    assert name() is None


def test_a_loss_of_a_users_own_has_no_name():
    loss = stored_programs.Loss("mine", own, None, False, own, None)
    assert name(PROGRAM._replace(spec=dataclasses.replace(SPEC, loss=loss))) is None


def test_source_that_changed_since_it_was_loaded_has_no_name(monkeypatch):
    stored_programs.source.cache_clear()
    monkeypatch.setattr(stored_programs, "LOADED", 0.0)
    assert name() is None
    monkeypatch.undo()
    stored_programs.source.cache_clear()


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


def test_a_folder_that_cannot_be_written_is_said(folder, monkeypatch, capsys):
    call = jax.jit(lambda x: 2 * x).lower(jax.numpy.arange(3.0)).compile()
    (folder / "file").write_text("")
    monkeypatch.setattr(program_cache, "folder", lambda: folder / "file")
    stored_programs.keep("a", call)
    assert "hpjax: a compiled program is not kept: cannot write" in capsys.readouterr().err
