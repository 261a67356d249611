"""What several test files share: corpora on disk and in memory, and the paper's text where a machine has it."""

import os
import signal
from pathlib import Path

import matplotlib
import pytest
import torch
from builders import corpus
from hypothesis import settings

from mgips.data.corpus import Corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.twitter import save_corpus

matplotlib.use("agg")


FUZZ = int(os.environ.get("MGIPS_FUZZ", "1"))
"""How many times as many examples hypothesis tries (`make fuzz`)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for test in {getattr(item, "obj", None) for item in items} if FUZZ > 1 else ():
        name = "_hypothesis_internal_use_settings"  # a profile would not change what a test sets itself
        if hasattr(test, name):
            own = getattr(test, name) or settings()
            setattr(test, name, settings(own, max_examples=FUZZ * own.max_examples))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def twitter_root() -> Path:
    """The folder with twitter2015 and twitter2017; the tests that need it are skipped without one."""
    root = Path(os.environ.get("MGIPS_DATA", "../shared/data"))
    if not all((root / name / "train.txt").is_file() for name in ("twitter2015", "twitter2017")):
        pytest.skip(f"the Twitter corpora are not in {root}; set MGIPS_DATA to the folder that holds them")
    return root


@pytest.fixture(scope="session")
def printed() -> str:
    """The paper's text; the tests that need it are skipped without one."""
    folder = Path(os.environ.get("MGIPS_PAPER", "../shared/paper"))
    files = sorted(folder.glob("*.txt"))
    if not files:
        pytest.skip(f"the paper's text is not in {folder}; set MGIPS_PAPER to the folder that holds it")
    return files[0].read_text(encoding="utf-8")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An invented corpus on disk in the published layout: three of four tweets with a picture and three crops."""
    save_corpus(corpus(), tmp_path / "invented")
    return tmp_path / "invented"


@pytest.fixture(scope="session")
def days() -> Corpus:
    """TinyTweets with 40 test posts, one in five without a picture."""
    return tinytweets(sizes=(4, 4, 40), missing=0.2)


@pytest.fixture
def listening():
    """Ctrl-C is heard, here and in the processes started from here, even where a job in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
