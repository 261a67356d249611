"""The embedded corpus: the same bytes everywhere, a text that gives nothing away, a truth that can be relied on."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgips.data.batch import training_batches
from mgips.data.conll import read_conll, write_conll
from mgips.data.corpus import Tweet
from mgips.data.crops import crop_array
from mgips.data.spans import spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import oracle, relevance_matrix, relevant
from mgips.data.tinytweets.words import AMBIGUOUS
from mgips.errors import ConfigError

DIGEST = """
import hashlib
from mgips.data.tinytweets import tinytweets
from mgips.data.crops import crop_array
corpus = tinytweets(3, sizes=(40, 8, 8))
digest = hashlib.sha256(corpus.fingerprint().encode())
for tweet in corpus.train:
    digest.update(repr(tweet.truth).encode())
    digest.update(crop_array(tweet, size=32)[0].tobytes())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def corpus():
    return tinytweets()


def test_the_words_of_seed_0_are_pinned(corpus):
    """A change of words, tags or which pictures there are must raise VERSION and this hash together."""
    assert corpus.fingerprint() == "1b8f92be1aab7ce545084588da0a148662035937122b17e6bc32b88cbc7e6939"
    truth = hashlib.sha256(repr([t.truth for s in corpus.splits.values() for t in s]).encode()).hexdigest()
    assert truth == "277f0771b54dd9b4f72a1b62b34be379fd7bad5eeee5eb658da8cdb55b740788"


def test_the_pixels_of_seed_0_are_pinned(corpus):
    """By brightness on a coarse grid: font-free drawing, but Pillow's last bits may differ between versions."""
    grid = np.stack([crop_array(tweet, size=32)[0].mean(-1) for tweet in corpus.test[:8]])
    coarse = grid.reshape(8, 3, 4, 8, 4, 8).mean((3, 5))
    brightness = [211.1, 194.8, 195.5, 194.7, 180.4, 135.0, 123.4, 186.6]
    brightness += [167.3, 122.5, 122.5, 171.9, 191.3, 138.9, 141.7, 189.5]
    assert coarse[0, 0].ravel() == pytest.approx(np.array(brightness), abs=4)


def test_two_processes_draw_the_same_bytes():
    def digest(hash_seed):
        env = {"PYTHONHASHSEED": hash_seed, "PATH": "", "OMP_NUM_THREADS": "1"}
        return subprocess.check_output([sys.executable, "-c", DIGEST], env=env)

    assert digest("1") == digest("2")


def test_seeds_differ_and_shares_change_only_pictures():
    a, b = tinytweets(1, (64, 8, 8)), tinytweets(2, (64, 8, 8))
    assert [t.words for t in a.train] != [t.words for t in b.train]
    for other in (tinytweets(1, (64, 8, 8), unrelated=0.0), tinytweets(1, (64, 8, 8), missing=1.0)):
        assert [t.words for t in a.train] == [t.words for t in other.train]
        assert [t.truth.story for t in a.train] == [t.truth.story for t in other.train]
    assert all(t.image is None and not t.truth.related for t in tinytweets(1, (64, 8, 8), missing=1.0).train)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_truth_and_text_agree_for_any_seed(seed, unrelated, missing):
    for tweet in tinytweets(seed, (48, 8, 8), unrelated, missing).train:
        truth, found = tweet.truth, spans(tweet.words, tweet.tags)
        assert len(tweet.words) == len(tweet.tags)
        assert truth.related <= (tweet.image is not None)
        kinds = {(s.start, s.end): s.type for s in found}
        for span in truth.ambiguous:
            assert kinds[span] == truth.means and truth.means in AMBIGUOUS[" ".join(tweet.words[slice(*span)])]
        if truth.story and truth.related:
            assert (truth.shows, truth.wears) == (truth.means, truth.signature)
        if truth.story and not truth.related:
            assert truth.wears != truth.signature or truth.wears is None


def test_the_corpus_has_what_it_promises(corpus):
    tweets = [t for split in corpus.splits.values() for t in split]
    words = [word for t in tweets for word in t.words]
    assert [len(s) for s in corpus.splits.values()] == [1200, 300, 300]
    assert "\ufe0f" in words and "#" in words and "@" in words and any(w.startswith("http") for w in words)
    with_picture = [t for t in tweets if t.image is not None]
    unrelated = [not t.truth.related for t in with_picture if t.truth.story]
    assert np.mean(unrelated) == pytest.approx(0.338, abs=0.03)
    assert 1 - len(with_picture) / len(tweets) == pytest.approx(0.05, abs=0.02)
    assert {len(spans(t.words, t.tags)) for t in tweets} == {0, 1, 2, 3}
    assert all(len(t.crops) == 3 for t in with_picture)
    assert corpus.notes == ("Drawn with seed 0; the posts are invented.",)


def test_a_reader_of_train_learns_nothing_about_test_but_the_chance(corpus):
    """By name, by hashtag and by both together, the majority type of train is right one time in three."""

    def cues(tweet: Tweet, span):
        name = " ".join(tweet.words[slice(*span)])
        return {"name": name, "tag": tweet.truth.signature, "both": (name, tweet.truth.signature)}

    for cue in ("name", "tag", "both"):
        votes: dict = {}
        for t in corpus.train:
            for span in t.truth.ambiguous:
                votes.setdefault(cues(t, span)[cue], []).append(t.truth.means)
        right = total = 0
        for t in corpus.test:
            for span in t.truth.ambiguous:
                seen = votes.get(cues(t, span)[cue])
                guess = max(sorted(set(seen)), key=seen.count) if seen else AMBIGUOUS[cues(t, span)["name"]][0]
                right, total = right + (guess == t.truth.means), total + 1
        assert right / total < 0.42, cue


def test_ceilings_rise_and_leave_room(corpus):
    found = oracle(corpus.test)
    assert found["text"] < 0.70 and 0.82 < found["own_image"] < 0.92 and found["mined"] > 0.97
    assert 0.05 < found["chance"] < 0.12


def test_the_oracle_of_a_corpus_whose_pictures_all_fit():
    corpus = tinytweets(0, (64, 64, 64), unrelated=0, missing=0)
    assert oracle(corpus.test)["own_image"] == 1.0 == oracle(corpus.test)["mined"]
    none = tinytweets(0, (64, 64, 64), missing=1)
    found = oracle(none.test)
    assert found["own_image"] == found["mined"] == found["text"] and found["chance"] == 0


def test_relevance_is_a_matter_of_stories(corpus):
    batch = [corpus.test[i] for i in training_batches(corpus.test, 32, 0, 0)[0]]
    matrix = relevance_matrix(batch)
    for i, a in enumerate(batch):
        for j, b in enumerate(batch):
            assert matrix[i, j] == relevant(a, b) == (a.truth.story == b.truth.story != "" and b.truth.related)
    assert matrix.sum() > matrix.diagonal().sum()


def test_stories_meet_in_a_batch(corpus):
    """Most posts with a story find another post's relevant image in their batch."""
    found = []
    for batch in training_batches(corpus.train, 32, 0, 0):
        matrix = relevance_matrix([corpus.train[i] for i in batch])
        np.fill_diagonal(matrix, False)
        found += [row.any() for i, row in zip(batch, matrix, strict=True) if corpus.train[i].truth.story]
    assert np.mean(found) > 0.85


def test_it_fits_the_published_format(corpus, tmp_path):
    write_conll(corpus.dev, tmp_path / "dev.txt")
    assert [(t.words, t.tags) for t in read_conll(tmp_path / "dev.txt")] == [(t.words, t.tags) for t in corpus.dev]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"sizes": (1, 2)}, "three numbers"),
        ({"sizes": (0, 1, 1)}, "at least 1"),
        ({"unrelated": 1.2}, "unrelated is 1.2"),
        ({"missing": -0.1}, "missing is -0.1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        tinytweets(**arguments)
