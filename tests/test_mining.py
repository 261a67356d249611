"""Mining measured against what the generator knows."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import contrast_of, tiny_model, tweets

from mgips.config import preset
from mgips.data.batch import TweetDataset, training_batches
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError
from mgips.lab.precision import batch_relevance, mining_precision
from mgips.model.mgips import MGIPS


@pytest.fixture(scope="module")
def small():
    posts = tinytweets(sizes=(64, 1, 1)).train
    return posts, tiny_model()


def test_precision_counted_text_by_text(small):
    posts, model = small
    data = TweetDataset(posts, model.batcher, progress=False)
    found = mining_precision(model, data, 32)
    precision, chance, texts = [], [], 0
    for batch in training_batches(posts, 32, 0, 0):
        with torch.no_grad():
            scores = contrast_of(model, data[batch]).relevance
        for row, i in enumerate(batch):
            true = [relevant(posts[i], posts[j]) for j in batch]
            if any(true):
                best = scores[row].argsort(descending=True)[:3]
                precision.append(np.mean([true[j] for j in best]))
                chance.append(np.mean(true))
                texts += 1
    assert found.texts == texts
    assert (found.precision, found.chance) == pytest.approx((np.mean(precision), np.mean(chance)))
    assert 0 <= found.others_chance <= found.chance + 1e-9


def test_a_model_that_knows_the_stories_mines_perfectly_and_one_that_does_not_is_at_chance(small, monkeypatch):
    posts, model = small
    data = TweetDataset(posts, model.batcher, progress=False)

    def with_scores(make):
        def contrast(self, out, batch):
            members = [next(p for p in posts if p.id == i) for i in batch.ids]
            scores = make(members)
            k = torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.topk(1, 1).indices, True)
            return dataclasses.replace(real(self, out, batch), relevance=scores, positives=k)

        monkeypatch.setattr(MGIPS, "contrast", contrast)
        return mining_precision(model, data, 32)

    real = MGIPS.contrast
    knows = with_scores(lambda m: torch.tensor([[float(relevant(a, b)) for b in m] for a in m]))
    assert knows.precision == 1.0
    g = torch.Generator().manual_seed(0)
    guesses = [with_scores(lambda m: torch.rand(len(m), len(m), generator=g)).precision for _ in range(30)]
    assert np.mean(guesses) == pytest.approx(knows.chance, abs=0.05)


def test_mining_precision_needs_a_contrast_and_the_truth(small):
    posts, model = small
    with pytest.raises(ConfigError, match="mines nothing"):
        text = tiny_model(images=False)
        mining_precision(text, TweetDataset(posts, text.batcher, progress=False))
    with pytest.raises(ConfigError, match="only TinyTweets"):
        mining_precision(model, TweetDataset(tweets(), model.batcher, progress=False))


def test_a_batch_for_the_picture_is_what_the_model_says_of_it():
    corpus = tinytweets(0, (32, 32, 64))
    model = MGIPS.build(preset("tiny")[0], corpus.train, seed=0).train()
    found = batch_relevance(model, corpus.test, 16)
    assert model.training and len(found["ids"]) == 16
    posts = {tweet.id: tweet for tweet in corpus.test}
    batch = [posts[i] for i in found["ids"]]
    with torch.no_grad():
        out = contrast_of(model.eval(), model.batcher(batch))
    np.testing.assert_allclose(found["scores"], out.relevance, atol=6e-4)
    assert {tuple(pair) for pair in found["mined"]} == {tuple(p) for p in out.positives.nonzero().tolist()}
    true = [[i, j] for i in range(16) for j in range(16) if relevant(batch[i], batch[j])]
    assert sorted(map(list, found["relevant"])) == true
    bare = [dataclasses.replace(tweet, truth=None) for tweet in corpus.test]
    assert batch_relevance(model, bare, 16)["relevant"] is None
    with pytest.raises(ConfigError, match="mines nothing"):
        batch_relevance(MGIPS.build(preset("tiny", "text")[0], corpus.train, seed=0), corpus.test)
