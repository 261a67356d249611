"""Entities with their places and probabilities, and posts longer than the encoder reads."""

import dataclasses
import itertools

import pytest
import torch
from builders import corpus, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mgips
from mgips import Tweet, preset, train
from mgips.data.batch import TweetDataset
from mgips.data.spans import spans
from mgips.data.windows import in_windows, merged, window_bounds
from mgips.errors import ConfigError, DataError
from mgips.model.baselines import IndependentTags
from mgips.model.crf import CRF
from mgips.model.tagging import entity_probabilities
from mgips.tags import tag_set

TAGS = tag_set(("a", "b"))


@pytest.mark.parametrize("crf", [CRF(5, batch_first=True), IndependentTags()], ids=["crf", "softmax"])
def test_probabilities_are_the_shares_of_all_paths(crf):
    torch.manual_seed(0)
    emissions, mask = torch.randn(2, 4, 5), torch.tensor([[True] * 4, [True] * 3 + [False]])
    for row, length in enumerate((4, 3)):
        chance: dict[tuple[int, int, str], float] = {}
        paths = list(itertools.product(range(5), repeat=length))
        for path in paths:
            tags = torch.tensor([path])
            weight = crf(emissions[row : row + 1, :length], tags, torch.ones(1, length, dtype=torch.bool)).exp().item()
            for span in spans(["x"] * length, [TAGS[i] for i in path]):
                key = (span.start, span.end, span.type)
                chance[key] = chance.get(key, 0.0) + weight
        entities = [(row, *key) for key in chance]
        found = entity_probabilities(crf, TAGS, emissions, mask, entities)
        assert found == pytest.approx(list(chance.values()), abs=1e-6)
        assert len(chance) == length * (length + 1)  # every span of both types


def test_no_entities_no_probabilities():
    assert entity_probabilities(CRF(5, batch_first=True), TAGS, torch.randn(1, 2, 5), torch.ones(1, 2).bool(), []) == []


def test_a_tagger_says_which_words_it_did_not_read():
    tagger = mgips.Tagger("tiny-text")
    tagger("Went to Mira Falkner's show")
    assert tagger.problems == []
    tagger([Tweet("long", ("word",) * 10_000), Tweet("short", ("word",))])
    read = len(TweetDataset([Tweet("long", ("word",) * 10_000)], tagger.model.batcher).encoded[0].first)
    (said,) = tagger.problems
    assert said.startswith(f"Post long: the last {10_000 - read:,} of 10,000 words lie past the")


def test_half_a_character_is_refused_by_its_post():
    tagger = mgips.Tagger("tiny-text")
    with pytest.raises(DataError, match="Tweet 'odd' holds half a character"):
        tagger([Tweet("fine", ("a",)), Tweet("odd", ("b\ud800",))])


def test_a_tagger_says_what_and_where():
    tagger = mgips.Tagger("tiny-text")
    text = "Went to  Mira Falkner's show"
    (found,) = tagger([text])
    assert tagger(text) == found
    tags = tagger.model.predict([Tweet.from_text(text)])[0]
    words = Tweet.from_text(text).words
    assert [(e.type, e.words) for e in found] == [(s.type, (s.start, s.end)) for s in spans(words, tags)]
    assert found and all(text[e.start : e.end] == e.text and 0 < e.probability <= 1 for e in found)


def test_a_post_in_words_has_places_in_its_words():
    tagger = mgips.Tagger("tiny-text")
    post = mgips.load_corpus("tinytweets").test[0]
    for entity in tagger(post):
        assert (
            " ".join(post.words)[entity.start : entity.end] == entity.text == " ".join(post.words[slice(*entity.words)])
        )


def test_a_photo_that_cannot_be_read_is_an_error(tmp_path):
    tagger = mgips.Tagger("tiny-full")
    with pytest.raises(DataError, match="is not there"):
        tagger("Ada in London", tmp_path / "none.jpg")
    with pytest.raises(ConfigError, match="cannot belong to several"):
        tagger(["a", "b"], tmp_path / "none.jpg")
    with pytest.raises(DataError, match="no words"):
        tagger("  ")
    assert tagger([]) == []


def test_what_is_not_a_post_is_one_sentence():
    tagger = mgips.Tagger("tiny-full")
    for posts, message in [
        (None, r"The posts are None \(NoneType\); give a text, a Tweet, or several"),
        ({"text": "Ada"}, "The posts are {'text': 'Ada'}"),
        (b"Ada", "The posts are b'Ada'"),
        (["Ada", None], "post-2 is None"),
        ([("Ada", "photo.jpg")], r"post-1 is \('Ada', 'photo.jpg'\) \(tuple\); give a text, or Tweet.from_text"),
        (["Ada", " "], "post-2: The text has no words"),
        (Tweet("7", ()), "Tweet '7' has no words"),
        (Tweet("7", ("Ada",), image=3), r"The photo is 3 \(int\)"),
    ]:
        with pytest.raises(DataError, match=message):
            tagger(posts)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("", "The photo is ''"),
        (b"", "is an empty file"),
        (b"nothing", "is not a picture that can be read"),
        (Image.new("RGB", (0, 0)), "has no pixels"),
        (3, r"The photo is 3 \(int\); give a file's name"),
        ("x" * 300, "cannot be read .File name too long"),
        ("a\0b", "is not a file"),
    ],
    ids=["no-name", "empty", "bytes", "no-pixels", "number", "long-name", "nul"],
)
def test_what_is_not_a_photo_is_one_sentence(image, message):
    with pytest.raises(DataError, match=message):
        mgips.Tagger("tiny-full")("Ada in London", image)


@pytest.mark.parametrize("size", [0, -1, "8", 2.0, None])
def test_a_batch_size_must_be_a_whole_number_above_0(size):
    with pytest.raises(ConfigError, match=r"batch_size is .*; it must be a whole number in \[1, inf\)"):
        mgips.Tagger("tiny-full", batch_size=size)


def test_posts_may_come_from_a_generator(monkeypatch):
    monkeypatch.setattr("mgips.tagger.BATCHES", 1)
    posts = mgips.load_corpus("tinytweets").test[:7]
    tagger = mgips.Tagger("tiny-text", batch_size=3)
    expected = tagger(list(posts))
    assert any(expected) and tagger(post for post in posts) == expected
    taken = []
    stream = tagger.stream(taken.append(post) or post for post in posts)
    assert next(stream)[1] == expected[0] and len(taken) == 3, "more is read than is computed"
    assert [entities for _, entities in stream] == expected[1:]


# ---- windows ----


def batcher(max_length=12):
    return tiny_model(images=False, max_length=max_length).batcher


BATCHER = batcher()


def margin(a, b, place, length):
    return min(place - a if a else 10**6, b - 1 - place if b < length else 10**6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([None, "PER", "LOC"]), st.integers(1, 5)), min_size=1, max_size=25),
    st.integers(1, 9),
    st.booleans(),
)
def test_windows_cover_every_word_and_cut_no_gold(runs, overlap, whole):
    tags = [t for kind, n in runs for t in (["O"] * n if kind is None else [f"B-{kind}", *[f"I-{kind}"] * (n - 1)])]
    post = Tweet("1", tuple("ab"[i % 2] for i in range(len(tags))), tuple(tags))
    tool = BATCHER
    bounds = window_bounds(post, tool, overlap, whole)
    assert bounds[0][0] == 0 and bounds[-1][1] == len(tags)
    for (a, b), (c, d) in itertools.pairwise(bounds):
        assert a < c <= b < d
        if not whole:
            assert b - c in (0, min(overlap, b - a - 1))
    for a, b in bounds:
        assert b - a <= 10 and sum(tool.word_lengths(post)[a:b]) <= 10
        if whole:
            assert not tags[a].startswith("I-") and (b == len(tags) or not tags[b].startswith("I-"))
    places = merged(bounds, [[(a, b, place) for place in range(a, b)] for a, b in bounds])
    assert [place for *_, place in places] == list(range(len(tags)))
    for a, b, place in places:  # no other window shows more on both sides
        assert margin(a, b, place, len(tags)) == max(
            margin(c, d, place, len(tags)) for c, d in bounds if c <= place < d
        )


def test_a_word_longer_than_a_window_does_not_stop_it():
    tool = batcher(max_length=6)
    post = Tweet("1", ("a", "x" * 50, "b", "c", "d", "e", "f"))
    bounds = window_bounds(post, tool, 2)
    assert bounds[0][0] == 0 and bounds[-1][1] == 7 and all(a < b for a, b in bounds)


def test_posts_that_fit_are_read_as_without_windows():
    assert tiny_model(overlap=5, max_length=60).predict(corpus().test) == tiny_model(max_length=60).predict(
        corpus().test
    )


def test_a_long_post_is_read_to_its_end():
    """Forty posts in one, against each by itself: what is past the cut is O without windows, and found with them."""
    model = mgips.load("tiny-text")
    posts = mgips.load_corpus("tinytweets").test[:40]
    alone = [tag for tags in model.predict(posts) for tag in tags]
    long = Tweet("long", tuple(w for p in posts for w in p.words), tuple(t for p in posts for t in p.tags))
    cut = model.predict([long])[0]
    assert len(long.words) > 400 and set(cut[100:]) == {"O"}
    model.config = model.batcher.config = dataclasses.replace(model.config, overlap=12)
    (read,) = model.predict([long])
    assert len(read) == len(alone) and sum(a == b for a, b in zip(read, alone, strict=True)) > 0.85 * len(alone)
    (row,) = model.tagged(TweetDataset([long], model.batcher, progress=False))
    assert [tag for tag, _ in row] == read
    assert all(chance > 0 for (tag, chance) in row if tag.startswith("B-"))


def test_training_in_windows_sees_every_gold_entity():
    posts = corpus().train
    long = Tweet("long", tuple(w for p in posts for w in p.words), tuple(t for p in posts for t in p.tags))
    tool = batcher(30)
    parts = in_windows([long, posts[0]], tool, 4)
    assert all(sum(tool.word_lengths(part)) <= 28 or len(part.words) == 1 for part in parts)
    wanted = {(s.text, s.type) for s in spans(long.words, long.tags)}
    assert wanted <= {(s.text, s.type) for part in parts for s in spans(part.words, part.tags)}
    small = dataclasses.replace(corpus(), train=(long, *posts[:3]))
    model, config = preset("tiny", "text", max_length=12, overlap=4, epochs=1)
    run = train(small, model, config, progress=False)
    assert len(run.data["train"]) > 10 and len(run.model.predict([long])[0]) == len(long.words)


def test_an_overlap_must_leave_room():
    with pytest.raises(ConfigError, match="overlap is 10"):
        preset("tiny", max_length=12, overlap=10)
