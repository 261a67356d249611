"""The inspectors: what was mined, what attends to what, what the MGEs weigh. Plain ipywidgets.

>>> from mgips.lab.widgets import inspect_pairs
>>> inspector = inspect_pairs("runs/tiny", corpus)     # doctest: +SKIP
>>> inspector.selected, inspector.mined                # doctest: +SKIP

Every inspector can be driven by its controls or from Python, shows its errors inside itself, and leaves a picture
with an alternative text where a page shows no widgets.
"""

from mgips.lab.widgets.attention import AttentionInspector, inspect_attention
from mgips.lab.widgets.mge import MGEInspector, inspect_mge
from mgips.lab.widgets.pairs import PairInspector, inspect_pairs
from mgips.lab.widgets.stepper import StepPanel, step_through
from mgips.lab.widgets.swap import SwapInspector, inspect_swap
from mgips.lab.widgets.tsne import TSNEInspector, inspect_tsne

__all__ = [
    "AttentionInspector",
    "MGEInspector",
    "PairInspector",
    "StepPanel",
    "SwapInspector",
    "TSNEInspector",
    "inspect_attention",
    "inspect_mge",
    "inspect_pairs",
    "inspect_swap",
    "inspect_tsne",
    "step_through",
]
