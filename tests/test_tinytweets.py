"""The embedded corpus: the same bytes everywhere, a text that gives nothing away, a truth that can be relied on."""

import hashlib
import itertools
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgips.data.batch import training_batches
from mgips.data.conll import read_conll, write_conll
from mgips.data.corpus import Tweet
from mgips.data.crops import crop_array
from mgips.data.load import drawn_corpus, is_drawn, load_corpus
from mgips.data.spans import spans
from mgips.data.tinytweets.posts import DAY, tinytweets
from mgips.data.tinytweets.scenes import Scene
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


@pytest.mark.parametrize(
    ("seed", "train", "words", "truth"),
    [
        (1, 1200, "e1fcaa433d2b628f", "5571eef615cfc8cc"),
        (7, 1200, "30b29d4f9d1fb702", "04fc8ebb9fa1c8bb"),
        (1, 4800, "99ee2be07c76ad98", "e70dc81898f0ba05"),
    ],
)
def test_the_words_and_truth_of_other_seeds_and_sizes_are_pinned(seed, train, words, truth):
    corpus = tinytweets(seed, (train, 300, 300))
    assert corpus.fingerprint().startswith(words)
    told = repr([(t.image, t.crops, t.group, t.truth) for split in corpus.splits.values() for t in split])
    assert hashlib.sha256(told.encode()).hexdigest().startswith(truth)
    assert len({t.id for t in corpus.train}) == train


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
        ({"chatter": float("nan")}, "chatter is nan"),
        ({"misleading": 1.01}, "misleading is 1.01"),
        ({"kinds": 4}, "kinds is 4"),
        ({"posts_per_story": 0.5}, "posts_per_story is 0.5"),
        ({"posts_per_story": float("inf")}, "posts_per_story is inf"),
        ({"signatures": 6}, "signatures is 6"),
        ({"signatures": 52}, "signatures is 52"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        tinytweets(**arguments)


# ---- the dials ----


def likely(hits: int, of: int, share: float) -> bool:
    """Whether so many hits are within four standard deviations of what a share gives."""
    return abs(hits - of * share) <= 4 * max(1, of * share * (1 - share)) ** 0.5


def stories_of(tweets):
    """The number of posts of each story."""
    return Counter(t.truth.story for t in tweets if t.truth.story)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(0, 1), st.integers(1, 200))
def test_chatter_is_the_share_of_posts_without_an_ambiguous_name(seed, chatter, size):
    train = tinytweets(seed, (size, 1, 1), chatter=chatter).train
    without = sum(not t.truth.ambiguous for t in train)
    assert abs(without - chatter * size) <= 0.5 and without == sum(not t.truth.story for t in train)
    assert all(len(t.truth.ambiguous) == bool(t.truth.story) for t in train)


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_a_name_is_of_so_many_kinds_and_of_each_as_often(kinds):
    corpus = tinytweets(2, (2400, 300, 300), kinds=kinds)
    found: dict[str, Counter] = {}
    for split in corpus.splits.values():
        for t in split:
            for span in t.truth.ambiguous:
                name = " ".join(t.words[slice(*span)])
                found.setdefault(name, Counter())[t.truth.means, t.truth.story] += 1
                assert t.truth.means in t.truth.options and set(t.truth.options) <= set(AMBIGUOUS[name])
    assert len(found) == len(AMBIGUOUS)
    for name, meant in found.items():
        stories = Counter(kind for kind, _ in meant)
        # a split may end before a name has had all its kinds the same number of times
        assert len(stories) == kinds and max(stories.values()) - min(stories.values()) <= 3, name
    assert len({(t.words[s.start], t.truth.options) for t in corpus.test for s in ambiguous(t)}) <= len(AMBIGUOUS)


def ambiguous(tweet):
    """The spans of the ambiguous names."""
    return [s for s in spans(tweet.words, tweet.tags) if (s.start, s.end) in tweet.truth.ambiguous]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(1, 12), st.floats(0, 1))
def test_stories_have_so_many_posts(seed, posts_per_story, chatter):
    train = tinytweets(seed, (DAY, 1, 1), posts_per_story=posts_per_story, chatter=chatter).train
    posts = stories_of(train)
    if posts:
        assert abs(len(posts) - posts.total() / posts_per_story) <= 0.5 or len(posts) == 1


def test_stories_of_one_post_have_only_their_own_picture():
    posts = stories_of((corpus := tinytweets(0, (320, 32, 320), posts_per_story=1)).train)
    assert len(posts) == 280 and set(posts.values()) == {1}
    found = oracle(corpus.test)
    assert found["mined"] == found["own_image"]


@pytest.mark.parametrize("signatures", [4, 8, 12, 48])
def test_there_are_so_many_signatures(signatures):
    corpus = tinytweets(1, (1600, 800, 800), signatures=signatures)
    seen: dict[str, dict[str, set]] = {}
    for name, split in corpus.splits.items():
        worn: dict[str, set] = {}
        for t in split:
            if t.truth.story:
                seen.setdefault(t.truth.story.rpartition("-")[2], {}).setdefault(name, set()).add(t.truth.signature)
                worn.setdefault(t.group, set()).add((t.truth.story, t.truth.signature))
        for stories in worn.values():
            assert len({signature for _, signature in stories}) == len(stories) == min(7, signatures)
    for of in seen.values():
        assert not of["train"] & of["dev"] | of["train"] & of["test"] | of["dev"] & of["test"]
        assert len(of["train"]) <= signatures // 2 and max(len(of["dev"]), len(of["test"])) <= signatures // 4
    all_of = {t.truth.wears for split in corpus.splits.values() for t in split} - {None}
    assert len(all_of) == signatures
    for t in corpus.test:
        assert not t.truth.story or t.truth.related or t.truth.wears != t.truth.signature


def test_misleading_pictures_are_on_unambiguous_posts_only():
    arguments = {"chatter": 0.5, "unrelated": 0.2}
    plain, half, all_ = (tinytweets(4, (1600, 1, 1), misleading=m, **arguments).train for m in (0, 0.5, 1))
    candidates = {t.id for t in plain if t.truth.related and not t.truth.story}
    misled = {t.id for t in half if t.truth.misleads}
    assert not any(t.truth.misleads for t in plain) and {t.id for t in all_ if t.truth.misleads} == candidates
    assert misled < candidates and likely(len(misled), len(candidates), 0.5)
    for a, b in zip(plain, half, strict=True):
        assert (a.words, a.tags, a.truth.story, a.truth.ambiguous) == (
            b.words,
            b.tags,
            b.truth.story,
            b.truth.ambiguous,
        )
        if b.truth.misleads:
            named = {s.type for s in spans(b.words, b.tags)}
            assert named and not b.truth.related and b.truth.shows not in named and a.truth.shows in named
            assert isinstance(b.image, Scene) and replace(b.image, shows=a.truth.shows) == a.image  # all else stays
        else:
            assert a == b and a.truth == b.truth
    assert oracle(plain) == oracle(half) == oracle(all_)


def test_unrelated_and_missing_have_their_shares():
    tweets = tinytweets(5, (3200, 1, 1), unrelated=0.6, missing=0.3).train
    assert likely(sum(t.image is None for t in tweets), len(tweets), 0.3)
    told = [t.truth.related for t in tweets if t.truth.story and t.image is not None]
    assert likely(sum(told), len(told), 0.4)


def test_ceilings_move_with_the_dials():
    def found(**dials):
        return oracle(tinytweets(0, (32, 32, 640), **dials).test)

    own = [found(unrelated=share)["own_image"] for share in (0, 0.3, 0.6, 1)]
    assert own == sorted(own, reverse=True) and own[0] > 0.97 and own[-1] == found(unrelated=1)["text"]
    text = [found(kinds=kinds)["text"] for kinds in (3, 2, 1)]
    assert text == sorted(text) and text[-1] == 1.0 and text[1] < 0.85
    text = [found(chatter=share)["text"] for share in (0, 0.3, 0.6, 1)]
    assert text == sorted(text) and text[-1] == 1.0
    mined = [found(posts_per_story=posts) for posts in (1, 2, 4)]
    gains = [one["mined"] - one["own_image"] for one in mined]
    assert gains == sorted(gains) and gains[0] == 0 < gains[1]
    chances = [one["chance"] for one in mined]
    assert chances == sorted(chances)


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_the_oracle_is_the_average_over_all_ways_to_guess(kinds):
    """Every combination of guesses, and F1 by counting; a guess has the right span always and the right type or not."""
    tweets = tinytweets(6, (1, 1, 10), kinds=kinds, unrelated=0.5).test
    gold = sum(len(spans(t.words, t.tags)) for t in tweets)
    best = {"text": {i: False for i, t in enumerate(tweets) if t.truth.ambiguous}}
    best["own_image"] = {i: tweets[i].truth.related for i in best["text"]}
    best["mined"] = {i: any(relevant(tweets[i], other) for other in tweets) for i in best["text"]}
    expected = {}
    for reader, sees in best.items():
        open_ = [tweets[i].truth for i in sees if not sees[i]]
        ways = [
            sum(guess == truth.means for guess, truth in zip(guesses, open_, strict=True))
            for guesses in itertools.product(*(truth.options for truth in open_))
        ]
        expected[reader] = (gold - len(open_) + np.mean(ways)) / gold
    found = oracle(tweets)
    assert {reader: found[reader] for reader in expected} == pytest.approx(expected)
    pictures = [j for j, t in enumerate(tweets) if t.image is not None]
    chance = [np.mean([relevant(tweets[i], tweets[j]) for j in pictures]) for i in best["text"]]
    assert found["chance"] == pytest.approx(np.mean(chance))


# ---- time ----


def test_time_counts_days_through_the_corpus_and_places_in_the_day(corpus):
    tweets = [t for split in corpus.splits.values() for t in split]
    times = [t.time for t in tweets]
    assert times == sorted(times) and len(set(times)) == len(times) and times[0] == 0
    groups = list(dict.fromkeys(t.group for t in tweets))
    for t in tweets:
        assert int(t.time) == groups.index(t.group) and (t.time % 1) * DAY == int(t.id.rpartition("-")[2])
    assert int(corpus.dev[0].time) == 38 and int(corpus.test[-1].time) == 38 + 10 + 9
    timeless = {name: tuple(replace(t, time=0.0) for t in split) for name, split in corpus.splits.items()}
    assert replace(corpus, **timeless).fingerprint() == corpus.fingerprint()


# ---- specifications ----


SHARES = st.floats(0, 1)
DIALS = st.fixed_dictionaries(
    {"train": st.integers(1, 40), "dev": st.just(8), "test": st.just(9)},
    optional={
        "seed": st.integers(0, 2**32 - 1),
        **{"unrelated": SHARES, "missing": SHARES, "chatter": SHARES, "misleading": SHARES},
        **{"kinds": st.integers(1, 3), "posts_per_story": st.floats(1, 99)},
        "signatures": st.sampled_from(range(4, 49, 4)),
    },
)


@settings(max_examples=25, deadline=None)
@given(DIALS, st.randoms())
def test_a_name_draws_the_same_corpus_again(dials, random):
    keys = [*dials]
    random.shuffle(keys)
    corpus = load_corpus("tinytweets:" + ",".join(f"{key}={dials[key]!r}" for key in keys))
    drawn = tinytweets(sizes=(dials.pop("train"), dials.pop("dev"), dials.pop("test")), **dials)
    again = load_corpus(corpus.name)
    for one in (drawn, again):
        assert [(t, t.truth) for s in one.splits.values() for t in s] == [
            (t, t.truth) for s in corpus.splits.values() for t in s
        ]
    assert again.name == corpus.name and re.fullmatch(r"tinytweets:[\w=.,-]+", corpus.name)  # fit for a file's name


def test_names_leave_defaults_out_and_keep_the_order_of_the_keys():
    assert load_corpus("tinytweets").name == drawn_corpus().name == tinytweets().name == "tinytweets"
    assert load_corpus("tinytweets:seed=0,dev=300,posts_per_story=4,chatter=.125,misleading=-0.0").name == "tinytweets"
    assert load_corpus("tinytweets:missing=-0.0,train=8").name == "tinytweets:train=8,missing=0"
    one = load_corpus("tinytweets:misleading=1,kinds=2,unrelated=5e-1,test=8,train=32")
    assert one.name == "tinytweets:train=32,test=8,unrelated=0.5,kinds=2,misleading=1"
    assert (
        drawn_corpus(one.name, seed=3, kinds=3).name == "tinytweets:seed=3,train=32,test=8,unrelated=0.5,misleading=1"
    )
    assert is_drawn("tinytweets") and is_drawn(one.name) and not is_drawn("twitter2015") and not is_drawn("tinytweets2")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("", "there is no key ''"),
        ("size=9", "there is no key 'size'"),
        ("sizes=9", "there is no key 'sizes'"),
        ("train=many", "train is 'many', and must be a whole number"),
        ("kinds=2.5", "kinds is '2.5', and must be a whole number"),
        ("unrelated", "unrelated is '', and must be a number"),
        ("unrelated=2", r"unrelated is 2.0; a share lies in \[0, 1\]"),
        ("seed=1,seed=1", "seed is given twice"),
    ],
)
def test_a_wrong_specification_is_one_sentence_that_lists_the_keys(listed, message):
    keys = "seed, train, dev, test, unrelated, missing, chatter, kinds, posts_per_story, signatures, misleading"
    with pytest.raises(
        ConfigError, match=rf"^'tinytweets:{listed}' cannot be drawn \({message}\); its keys are {keys}\.$"
    ):
        load_corpus(f"tinytweets:{listed}")


def test_only_tinytweets_is_drawn():
    with pytest.raises(ConfigError, match="only tinytweets is drawn, not 'twitter2015'"):
        drawn_corpus("twitter2015", seed=1)
