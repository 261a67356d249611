"""Patching: which picture the text reads in which layer, against eqs 2-4 written out, and the lesson's own numbers."""

import itertools
import math

import numpy as np
import pytest
import torch
from builders import tiny_model, tweets

from mgips.errors import ConfigError
from mgips.lab.counterfactual import handed, patched, with_pictures_of
from mgips.lab.lessons import mutual_attention as lesson
from mgips.model.encoders import split_heads
from mgips.model.mgips import MGIPS

LAYERS = 3
GIVERS = [1, 2, 0, 5, 6, 4, 3, 0]


@pytest.fixture(scope="module")
def model() -> MGIPS:
    return tiny_model(num_layers=LAYERS)


@pytest.fixture(scope="module")
def batches(model):
    posts = tweets(8)
    return model.batcher(posts), model.batcher(with_pictures_of(posts, GIVERS))


def attention(q, k, v, mask):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask[:, None, None], -math.inf).softmax(-1) @ v


@torch.no_grad()
def by_hand(model, own, other, layers):
    """H^t and H^v with two image towers side by side, each of which reads the text that it would read by itself.

    The text reads the second picture's tower in `layers`. The second tower belongs to a run in which nothing but the
    second picture is there, so that it needs a text of its own.
    """
    text_tower, image_tower = model.encoder.text, model.encoder.image
    mask, m = own.piece_mask, model.image_embedding.length
    there = mask.new_ones(len(own), m)

    def run(crops, borrowed):
        """A run on one picture: its H^t, H^v and, for each layer, what the image hands to the text."""
        text, image = model.text_embedding(own), model.image_embedding(crops)
        text_kv, image_kv = [split_heads(text, text_tower.heads)] * 2, [split_heads(image, image_tower.heads)] * 2
        given = []
        for index in range(LAYERS):
            given.append(image_kv)
            read = borrowed[index] if index in borrowed else image_kv
            q, k, v = text_tower.project(index, text)
            context = attention(q, torch.cat([read[0], k], 2), torch.cat([read[1], v], 2), torch.cat([there, mask], 1))
            after = text_tower.finish(index, text, context)
            next_text = [k, v]
            q, k, v = image_tower.project(index, image)
            keys, values = torch.cat([text_kv[0], k], 2), torch.cat([text_kv[1], v], 2)
            context = attention(q, keys, values, torch.cat([mask, there], 1))
            text, image = after, image_tower.finish(index, image, context)
            text_kv, image_kv = next_text, [k, v]
        return text, image, given

    others = run(other.crops, {})[2]
    return run(own.crops, {index: others[index] for index in layers})[:2]


SUBSETS = [s for size in range(LAYERS + 1) for s in itertools.combinations(range(LAYERS), size)]


@pytest.mark.parametrize("layers", SUBSETS, ids=str)
def test_the_text_reads_the_other_picture_in_these_layers_and_its_own_elsewhere(model, batches, layers):
    own, other = batches
    out = patched(model, own, handed(model, other), layers)
    text, image = by_hand(model, own, other, layers)
    real = own.piece_mask
    torch.testing.assert_close(out.towers[0][real], text[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(out.towers[1], image, atol=1e-5, rtol=0)


def test_all_places_patched_is_the_post_with_the_other_picture(model, batches):
    own, other = batches
    with model.evaluating():
        swapped, before = model(other), model(own)
    given = handed(model, other)
    everything = patched(model, own, given, range(LAYERS), after=True)
    torch.testing.assert_close(everything.emissions, swapped.emissions, atol=1e-5, rtol=0)
    # All layers, but not what comes after the towers: the text of the swapped run, beside the own picture's tower.
    exchanged = patched(model, own, given, range(LAYERS))
    torch.testing.assert_close(exchanged.towers[0], swapped.towers[0], atol=1e-5, rtol=0)
    assert (exchanged.emissions - swapped.emissions).abs().max() > 1e-4
    assert (exchanged.emissions - before.emissions).abs().max() > 1e-4


@pytest.mark.parametrize("layers", SUBSETS, ids=str)
@pytest.mark.parametrize("after", [False, True])
def test_patching_with_the_own_picture_changes_nothing(model, batches, layers, after):
    own, _ = batches
    with model.evaluating():
        before = model(own)
    out = patched(model, own, handed(model, own), layers, after)
    torch.testing.assert_close(out.emissions, before.emissions, atol=1e-6, rtol=0)


def test_no_place_patched_changes_nothing_and_leaves_nothing_behind(model, batches):
    own, other = batches
    with model.evaluating():
        before = model(own).emissions
        given = handed(model, other)
        assert torch.equal(patched(model, own, given).emissions, before)
        patched(model, own, given, range(LAYERS), after=True)
        assert torch.equal(model(own).emissions, before), "the model is still patched"


def test_a_post_that_keeps_its_picture_keeps_its_scores(model):
    posts = tweets(8)
    own, other = model.batcher(posts), model.batcher(with_pictures_of(posts, [0, 0, *range(2, 8)]))
    with model.evaluating():
        before = model(own).emissions
    moved = (patched(model, own, handed(model, other), range(LAYERS), True).emissions - before).abs().amax((1, 2))
    assert (moved > 1e-5).tolist() == [False, True, *[False] * 6]


def test_what_cannot_be_patched_is_refused(batches):
    for changes in ({"images": False, "mutual_attention": False}, {"mutual_attention": False}):
        with pytest.raises(ConfigError, match="mutual attention"):
            blind = tiny_model(**changes)
            handed(blind, blind.batcher(tweets(2)))
    model = tiny_model()
    batch = model.batcher(tweets(2))
    with pytest.raises(ConfigError, match="no layer 5"):
        patched(model, batch, handed(model, batch), [5])


def made_up(other_words, ambiguous, effects):
    """Uses of 20 posts: an ambiguous name a post, and as many other words."""
    share = np.concatenate([np.full(20, other_words), ambiguous])
    first = np.arange(40) >= 20
    return lesson.Uses(
        share, np.concatenate([np.zeros(20), effects]), np.where(first, 2, 0), first, np.full((20, 2), 0.5),
        np.ones(20, bool), True,
    )  # fmt: skip


def test_the_answers_to_the_guesses_follow_the_numbers():
    rising = np.linspace(0.5, 0.7, 20)
    for other_words, effects, looks, uses in (
        (0.60, rising, "(a) Neither.", "(b) Yes."),
        (0.30, rising[::-1], "(a) Names.", "(b) Less often."),
        (0.90, np.random.RandomState(4).rand(20), "(a) Other words.", "(b) Hardly."),
    ):
        said = lesson.said_of_uses({"dev": made_up(other_words, rising, effects)})
        assert looks in said and uses in said and "20 ambiguous names of dev" in said
        assert "Posts without a picture" not in said
