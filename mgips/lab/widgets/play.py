"""A function with a slider for each of its arguments, for the lessons: turn one and see what changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from IPython.core.display_functions import display
from IPython.utils.capture import RichOutput, capture_output

from mgips.errors import ConfigError
from mgips.lab.widgets.base import Inspector, control, slider
from mgips.lab.widgets.html import render
from mgips.lab.widgets.parts import Range, View


class Play(Inspector):
    """What a function prints and shows, again for each place of its sliders; `values` are its arguments of now."""

    def __init__(
        self, function: Callable[..., Any], start: Mapping[str, Any] | None = None, **choices: Sequence[Any] | str
    ) -> None:
        """
        Args:
            function: prints, or shows figures with `mgips.lab.figures.show`.
            start: the values to start with; the first of each choice by default.
            choices: for each argument the values to choose from, in order, on a slider; or a text, to be typed over.

        Raises:
            ConfigError: no choice, one without values, or a start that is none of the values or of no argument.
        """
        super().__init__("mgips-play")
        if not choices:
            raise ConfigError("There is nothing to turn; name an argument of the function and its values.")
        if unknown := ", ".join(set(start or {}) - set(choices)):
            raise ConfigError(f"There is nothing to choose for {unknown}; start with {', '.join(choices)}.")
        self.function = function
        self._choices: dict[str, Sequence[Any]] = {}
        self._controls: dict[str, Any] = {}
        for name, choice in choices.items():
            if isinstance(choice, str):
                text = (start or {}).get(name, choice)
                self._controls[name] = control(
                    widgets.Text, name, "90%", value=text, description=name, continuous_update=False
                )
                continue
            values = list(choice)
            if not values:
                raise ConfigError(f"There are no values for {name}; give at least one.")
            first = (start or {}).get(name, values[0])
            if first not in values:
                raise ConfigError(f"{name} cannot start with {first!r}; choose one of its values.")
            self._choices[name] = values
            written = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
            places = {"names": written, "value": values.index(first)}
            self._controls[name] = slider(name, "420px", description=name.replace("_", " "), **places)
        self.view = control(View, "view", "100%")
        self.text, self.outputs = "", list[RichOutput]()
        """What the function printed, and what it showed."""
        self.on_change(self.redraw, *self._controls.values())
        self.arrange([*self._controls.values()], self.view)
        self.redraw()

    @property
    def values(self) -> dict[str, Any]:
        """The arguments of now, by their names."""
        return {
            name: self._choices[name][place.value] if isinstance(place, Range) else place.value
            for name, place in self._controls.items()
        }

    def redraw(self) -> None:
        """Call the function, and show what it says."""
        with capture_output() as said:
            self.function(**self.values)
        self.text, self.outputs = said.stdout, list(said.outputs)
        self.view.value = render("play", text=self.text, shown=[output.data or {} for output in self.outputs])

    def describe(self) -> str:
        """The values of now, and what the function says."""
        values = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        shown = [str((output.data or {}).get("text/plain", "")) for output in self.outputs]
        return "\n".join(part for part in (f"{values}:", self.text.strip(), *shown) if part)

    def leave(self) -> None:
        """What the function says, in one output."""
        bundle: dict[str, Any] = {"text/html": self.view.value, "text/plain": self.describe()}
        pictures = [output.data["image/png"] for output in self.outputs if "image/png" in (output.data or {})]
        if len(pictures) == 1 and not self.text:  # for readers of notebooks that show no HTML
            bundle["image/png"] = pictures[0]
        display(bundle, raw=True)


play = Play
