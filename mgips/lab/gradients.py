"""Which parts of a model a number reaches: the gradient of a loss, or of one of its terms, part by part."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgips.model.mgips import MGIPS


def reached(model: MGIPS, value: Tensor) -> dict[str, float]:
    """The norm of a scalar's gradient in each part that has parameters; 0.0 where it does not reach. Neither the model nor
    the scalar's graph is changed."""
    parts = {name: [p for module in modules for p in module.parameters()] for name, modules in model.parts().items()}
    parts = {name: parameters for name, parameters in parts.items() if parameters}
    everything = [p for parameters in parts.values() for p in parameters]
    gradients = torch.autograd.grad(value, everything, retain_graph=True, allow_unused=True)
    squares = {p: 0.0 if g is None else float(g.square().sum()) for p, g in zip(everything, gradients, strict=True)}
    return {name: math.sqrt(sum(squares[p] for p in parameters)) for name, parameters in parts.items()}
