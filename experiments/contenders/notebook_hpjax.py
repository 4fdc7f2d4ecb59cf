"""The course's grid by hpjax, a whole process: MODE (cold, or warm: with a compilation cache) and PRESET."""

import sys

import hpjax
from experiments.digits_notebook import digits, search
from hpjax.cli import use_cache

if __name__ == "__main__":
    mode, preset = sys.argv[1:]
    if mode == "warm":
        use_cache()
    space, options = search("grid", preset)
    result = hpjax.tune(space, digits(), validation=3, seed=42, **options)
    assert result is not None
    trained = result.trained
    print(result.best["loss"], trained.compile_seconds, trained.run_seconds, len(trained.compiled))
