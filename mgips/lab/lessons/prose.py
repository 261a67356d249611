"""Sentences with numbers in them, said by the cell that has the numbers, so that neither drifts from the other."""

from __future__ import annotations

from IPython.core.display_functions import display


def say(text: str) -> None:
    """Show Markdown. A number in it comes from a variable: `say(f"F1 is {100 * f1:.1f}.")`."""
    display({"text/markdown": text, "text/plain": text}, raw=True)
