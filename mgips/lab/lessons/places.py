"""Where a lesson finds what comes with the repository, as seen from the notebooks' folder."""

from __future__ import annotations

from pathlib import Path

from mgips.lab.results import RESULTS

COMMITTED = Path("..") / RESULTS
"""The committed results."""
BENCHMARKS = Path("../tests/benchmarks")
"""What steps of real sizes cost."""
KEPT = Path("../runs/lessons")
"""Where models go that a lesson trains."""
