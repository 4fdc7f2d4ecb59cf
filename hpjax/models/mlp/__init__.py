"""Multilayer perceptrons: `shape`, `hyperparameters`, `network` (forward), `backprop` (by hand), `activations`."""

from hpjax.models.mlp.hyperparameters import FAMILY

__all__ = ["FAMILY"]
