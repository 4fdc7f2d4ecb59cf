"""The contenders of the benchmark: each runs in a process of its own and trains the same sweep.

A worker is a function sweep -> (run, about), where run() trains the whole sweep once and returns its median validation loss. Whole
programs stand beside them: `notebook_hpjax`, `notebook_scikit_learn`, `overhead`, `mixed`; and `accelerator`, the one script for a GPU.
"""

from functools import partial

from experiments.contenders.jax_by_hand import loop_worker, python_loop_worker
from experiments.contenders.keras_fit import keras_worker
from experiments.contenders.one_order import order_worker
from experiments.contenders.ours import hpjax_worker, tiny_worker
from experiments.contenders.packed import packed_hpjax_worker, packed_torch_worker
from experiments.contenders.pytorch import torch_vmap_worker, torch_worker
from experiments.contenders.roofline import roofline_worker
from experiments.contenders.scikit_learn import sklearn_worker

WORKERS = {
    "hpjax": hpjax_worker,
    "hpjax, an order of a study": order_worker,
    "hpjax one at a time": partial(hpjax_worker, one_by_one=True),
    "jit(vmap(scan)) by hand": loop_worker,
    "jit(vmap(step)) looped in Python": python_loop_worker,
    "scikit-learn": sklearn_worker,
    "PyTorch loop": torch_worker,
    "PyTorch vmap": torch_vmap_worker,
    "Keras": keras_worker,
    "roofline": roofline_worker,
    "tiny": tiny_worker,
    "hpjax, packed": packed_hpjax_worker,
    "PyTorch, packed": packed_torch_worker,
}
# packages that a contender needs beside the project's own
NEEDS = {
    "PyTorch loop": "torch",
    "PyTorch vmap": "torch",
    "PyTorch, packed": "torch",
    "Keras": "keras",
}
