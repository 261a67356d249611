"""The inspectors: what was mined, what attends to what, what the MGEs weigh, other pictures and words, entity vectors in
2D and 3D; and a training run with buttons.

>>> from mgips.lab.widgets import inspect_pairs
>>> inspector = inspect_pairs("runs/tiny", corpus)     # doctest: +SKIP
>>> inspector.selected, inspector.mined                # doctest: +SKIP

Every inspector takes a model, a run, the folder of either or the name of a model that comes with the package. It can be
driven by mouse, by keyboard or from Python, shows its errors inside itself, and leaves a picture with an alternative text
where there is no kernel.
"""

from mgips.lab.widgets.attention import AttentionInspector, inspect_attention
from mgips.lab.widgets.explore import Explorer, explore
from mgips.lab.widgets.mge import MGEInspector, inspect_mge
from mgips.lab.widgets.pairs import PairInspector, inspect_pairs
from mgips.lab.widgets.play import Play, play
from mgips.lab.widgets.stepper import StepPanel, step_through
from mgips.lab.widgets.swap import SwapInspector, inspect_swap
from mgips.lab.widgets.tsne import TSNEInspector, inspect_tsne

__all__ = [
    "AttentionInspector",
    "Explorer",
    "MGEInspector",
    "PairInspector",
    "Play",
    "StepPanel",
    "SwapInspector",
    "TSNEInspector",
    "explore",
    "inspect_attention",
    "inspect_mge",
    "inspect_pairs",
    "inspect_swap",
    "inspect_tsne",
    "play",
    "step_through",
]
