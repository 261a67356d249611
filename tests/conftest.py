"""What several test files share: the real Twitter corpora, where a machine has them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def twitter_root() -> Path:
    """The folder with twitter2015 and twitter2017; the tests that need it are skipped without one."""
    root = Path(os.environ.get("MGIPS_DATA", "../shared/data"))
    if not all((root / name / "train.txt").is_file() for name in ("twitter2015", "twitter2017")):
        pytest.skip(f"the Twitter corpora are not in {root}; set MGIPS_DATA to the folder that holds them")
    return root
