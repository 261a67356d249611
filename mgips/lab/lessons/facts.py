"""What prose may cite of the committed results: `85.0<!-- fact: f1("table3", "full") -->`.

A test works each expression out again and compares it with the number in front of it.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mgips.errors import ConfigError
from mgips.lab.figures.grids import compare
from mgips.lab.paper.tables import TABLE2
from mgips.lab.results import RESULTS, load_results

FACT = re.compile(r"(?P<sign>[+\-−]?)(?P<number>\d[\d,]*(?:\.\d+)?)(?P<unit>\s?%)?<!-- fact: (?P<expression>.*?) -->")
MEASURED = re.compile(
    r"(?<![\w.§–-])[+\-−]?\d[\d,]*\.\d+|[=≈]\s?\.\d+|(?<![\w.])\d+\s?(?:%|per ?cent|percentage)|(?<![\w.])\d+(?:\.\d+)? points?\b"
)
"""What looks like a measured number: with a decimal point, per cent, or points."""


def f1(grid: str, row: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> float:
    """Test F1 of a row in per cent, mean over its seeds."""
    return 100 * float(np.mean([run.f1 for run in load_results(grid, corpus, folder)[row]]))


def gain(grid: str, row: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> float:
    """What a row has more than its grid's reference, in points."""
    return 100 * compare(grid, corpus, folder)[row].difference


def reported(row: str, corpus: str) -> float:
    """F1 that the paper's Table 2 reports.

    Raises:
        ConfigError: it reports none.
    """
    score = TABLE2[row].scores[corpus].f1
    if score is None:
        raise ConfigError(f"The paper reports no F1 of {row} on {corpus}.")
    return score


def values(folder: str | Path = RESULTS) -> dict[str, Any]:
    """The functions that an expression may call."""
    return {each.__name__: partial(each, folder=folder) for each in (f1, gain)} | {"reported": reported}


def wrong(text: str, folder: str | Path = RESULTS) -> list[str]:
    """The facts of a text that are not what the results say, one line each."""
    faults = [] if len(re.findall(r"<!--\s*facts?\b", text)) == len(FACT.findall(text)) else ["a fact is not written as `85.0<!-- fact: … -->`"]  # fmt: skip
    for fact in FACT.finditer(text):
        if re.search(r"\d", re.sub(r"\"[^\"]*\"|f1", "", fact["expression"])):
            faults.append(f"{fact['expression']} has a number of its own")
        value = eval(fact["expression"], {"__builtins__": {}}, values(folder))  # the repository's own notebooks
        digits = fact["number"].partition(".")[2]
        written = f"{value:+.{len(digits)}f}" if fact["sign"] else f"{value:.{len(digits)}f}"
        stands = (fact["sign"] + fact["number"]).replace("−", "-").replace(",", "")
        if written != stands:
            faults.append(f"{stands} stands where {fact['expression']} is {written}")
    return faults


def loose(text: str) -> list[str]:
    """Numbers in a text that look measured and come from nowhere."""
    text = FACT.sub("", text)
    for left_out in (
        r"```.*?```",
        r"``.*?``",
        r"`[^`\n]*`",
        r"\$\$.*?\$\$",
        r"\$[^$\n]*\$",
        r"<!--.*?-->",
        r"\]\([^)]*\)",
    ):
        text = re.sub(left_out, "", text, flags=re.S)
    return [found.group().strip() for found in MEASURED.finditer(text)]
