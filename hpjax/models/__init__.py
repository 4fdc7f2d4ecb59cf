"""Families of models: what a network computes, and which hyperparameters change its shape."""

from hpjax.models.adapters import equinox, linen, nnx
from hpjax.models.base import Batch, Family, Functions, Place, Size, Spec
from hpjax.models.mlp import FAMILY as MLP
from hpjax.models.model import Model, Number

__all__ = [
    "MLP",
    "Batch",
    "Family",
    "Functions",
    "Model",
    "Number",
    "Place",
    "Size",
    "Spec",
    "equinox",
    "linen",
    "nnx",
]
