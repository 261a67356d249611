"""What the lessons say that their experiments gave, where an experiment takes seconds: run again, and held to the text.

Those that train models take minutes each, and are run when their lesson is changed.
"""

import re
from pathlib import Path

import nbformat
import pytest
import torch

from mgips.data.load import load_corpus
from mgips.evaluate import score
from mgips.lab.lessons.find_the_fault import MEASURES, SUSPECTS, pairs
from mgips.lab.lessons.real_posts import runs
from mgips.lab.stats import paired_bootstrap
from mgips.model.shipped import load

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def printed(lesson):
    """The lines of the fenced block that a lesson's experiment left."""
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4).cells]
    blocks = re.findall(r"```(?:text)?\n(.*?)```", "\n".join(cell for cell in cells if "What we found" in cell), re.S)
    assert len(blocks) == 1
    return blocks[0].rstrip().splitlines()


def test_08_two_faults_at_once():
    found = pairs(load("tiny-full"), load_corpus("tinytweets").test[:32])
    finds = {measure.finds: name for name, measure in MEASURES.items()}
    for both, caught in found.items():
        assert {*caught} == {finds[SUSPECTS[letter]] for letter in both.split(" + ")}, both
    told = {}
    for line in printed("08_find_the_fault"):
        for names, what in re.findall(r"([A-E] \+ [A-E])  (.+?)(?=\s{3,}|$)", line):
            told[names] = set(what.split(", "))
    assert told == {names: set(what) for names, what in found.items()}


def test_14_what_time_does_in_the_model_that_reads():
    model, corpus = load("tiny-reads"), load_corpus("tinytweets")

    def f1(**pool):
        tags = model.predict(corpus.test, **pool)
        return f"{100 * score([post.tags for post in corpus.test], tags).f1:.1f}"

    now = {"the whole split as pool, penalty 1": f1(pool=corpus.test), "no pool at all": f1(pool=model.pool(()))}
    with torch.no_grad():
        model.reader.time.data[0] = 0.0
    now["the whole split as pool, penalty 0"] = f1(pool=corpus.test)
    now["the day's pictures only, penalty 0"] = f1(pool=model.pool(corpus.test, days=0))
    assert dict(re.split(r":\s+", line) for line in printed("14_reading")) == now


@pytest.mark.parametrize("seed", range(3))
def test_15_one_seed_alone(seed, monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)  # where the lesson looks for the results
    own, reads = (next(run for run in runs("captions", row) if run.seed == seed) for row in ("own", "reads"))
    difference = paired_bootstrap([own.counts], [reads.counts])
    told = re.split(r"\s{3,}", printed("15_real_posts")[seed])
    assert told == [f"seed {seed}", str(difference), difference.verdict]
