"""The names, phrases and marks that TinyTweets is written with, read from words.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

WORDS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
"""words.toml; its comments say what each key holds."""

AMBIGUOUS: dict[str, list[str]] = {name: group["types"] for group in WORDS["ambiguous"] for name in group["names"]}
"""Each ambiguous name and its three types."""
