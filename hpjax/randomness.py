"""How randomness is named: by whole numbers that say whose it is and what it is for, never by when it is drawn.

Whatever has the same names is drawn alike by every process, worker and resumed run:

=============================== =========================================
what                            names
=============================== =========================================
the order of an epoch's rows    seed, repeat, fold, epoch, ORDER
dropout and noise: a JAX key    seed, repeat, fold, KEY
initial weights                 seed, repeat, fold, fresh seed, INIT
points that a search proposes   seed, SEARCH, number of the first trial
decisions of a scheduler        seed, SCHEDULE, number of reports
=============================== =========================================

NumPy's `SeedSequence` mixes the names, its Philox draws (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3). Inside a
program a key is folded with the fresh seed, the epoch, the step and the layer.
"""

from __future__ import annotations

import numpy as np

Names = tuple[int, ...]

ORDER, KEY, INIT = 1, 2, 3  # what for, of a network
SEARCH, SCHEDULE = 11, 12  # of a study


def generator(names: Names) -> np.random.Generator:
    """NumPy's Philox under these names.

    Example:
        >>> generator((0, 1)).random() == generator((0, 1)).random()
        True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(names)))


def words(names: Names, count: int) -> np.ndarray:
    """`count` random words, uint32 [count]: two make a JAX key, one a seed.

    Example:
        >>> words((0, 1), 2).shape
        (2,)
    """
    return np.random.SeedSequence(names).generate_state(count)
