"""Mining measured against what the generator knows."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from builders import contrast_of, tiny_model, tweets

from mgips.config import preset
from mgips.data.batch import TweetDataset, training_batches
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError
from mgips.lab.demo import Demo
from mgips.lab.precision import MiningPrecision, batch_relevance, mining_precision, split_precision
from mgips.mining import Mined, contrast_vectors, hubs, mine_split
from mgips.model.mgips import MGIPS


@pytest.fixture(scope="module")
def small():
    posts = tinytweets(sizes=(64, 1, 1)).train
    return posts, tiny_model()


def test_precision_counted_text_by_text(small):
    posts, model = small
    data = TweetDataset(posts, model.batcher, progress=False)
    found = mining_precision(model, data, 32)
    precision, chance, at_one, at_one_best, mined, texts = [], [], [], [], [], 0
    for batch in training_batches(posts, 32, 0, 0):
        with torch.no_grad():
            scores = contrast_of(model, data[batch]).relevance
        for row, i in enumerate(batch):
            true = [relevant(posts[i], posts[j]) for j in batch]
            order = scores[row].argsort(descending=True).tolist()
            best = order[:3]
            mined += [batch[j] for j in best]
            if any(true):
                at_one.append(true[next(j for j in order if j != row)])
                at_one_best.append(any(t for j, t in enumerate(true) if j != row))
                precision.append(np.mean([true[j] for j in best]))
                chance.append(np.mean(true))
                texts += 1
    assert found.texts == texts
    assert (found.precision, found.chance) == pytest.approx((np.mean(precision), np.mean(chance)))
    assert 0 <= found.others_chance <= found.chance + 1e-9
    assert (found.at_one, found.at_one_attainable) == pytest.approx((np.mean(at_one), np.mean(at_one_best)))
    assert found.at_one_chance == pytest.approx(found.others_chance)
    expected = hubs(torch.tensor(mined), 64)
    assert (found.skewness, found.top_ten) == pytest.approx((expected.skewness, expected.top_ten))
    assert 0 < found.skewness_chance < 1 and 10 / 64 < found.top_ten_chance < 0.5


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("mine_missing", [True, False])
def test_a_perfect_miner_reaches_exactly_what_is_attainable_and_a_guess_stays_below(k, mine_missing, monkeypatch):
    posts = tinytweets(sizes=(80, 1, 1), missing=0.2).train
    model = tiny_model(mine_missing=mine_missing)
    data = TweetDataset(posts, model.batcher, progress=False)
    real, g = MGIPS.contrast, torch.Generator().manual_seed(0)

    def measured(score):
        def contrast(self, out, batch):
            members = [next(p for p in posts if p.id == i) for i in batch.ids]
            scores = score(torch.tensor([[float(relevant(a, b)) for b in members] for a in members]))
            ranked = scores if mine_missing else scores.masked_fill(~batch.has_image, -torch.inf)
            mined = torch.zeros_like(scores, dtype=torch.bool).scatter(1, ranked.topk(k, 1).indices, True)
            return dataclasses.replace(real(self, out, batch), relevance=scores, positives=mined)

        monkeypatch.setattr(MGIPS, "contrast", contrast)
        return mining_precision(model, data, 32)

    others_first = measured(lambda true: 2 * true - 0.5 * torch.eye(len(true)) * true + 0.5 * torch.eye(len(true)))
    assert others_first.precision == others_first.attainable
    knows = measured(lambda true: true + 0.5 * torch.eye(len(true)) * (((true.sum(1) - true.diagonal()) < k)[:, None]))
    assert knows.others == knows.others_attainable and knows.at_one == knows.at_one_attainable
    guesses = measured(lambda true: torch.rand(true.shape, generator=g))
    for name in ("attainable", "others_attainable", "at_one_attainable"):
        assert getattr(guesses, name) == getattr(knows, name) <= 1
    assert guesses.precision < guesses.attainable and guesses.others < guesses.others_attainable


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("all_candidates", [True, False])
def test_no_choice_of_k_images_does_better_than_what_is_attainable(k, all_candidates):
    day = tinytweets(sizes=(32, 1, 1), missing=0.3).train
    storied = sorted((t for t in day if t.truth.story), key=lambda t: t.truth.story)
    posts = storied[:5] + [next(t for t in day if t.image is None and t not in storied[:5])]
    pool = torch.tensor([all_candidates or t.image is not None for t in posts])
    k = min(k, int(pool.sum()))
    some = pool.nonzero()[:k, 0].expand(6, k)  # what was mined plays no part, only how many
    found = split_precision(posts, Mined(some, *[torch.zeros(6, k)] * 3), k, pool)
    true = [[relevant(a, b) for b in posts] for a in posts]
    assert 3 <= sum(map(any, true)) and not all(map(all, true))
    precision, others = [], []
    for text in (i for i in range(6) if any(true[i])):
        choices = list(itertools.combinations([j for j in range(6) if pool[j]], k))
        precision.append(max(np.mean([true[text][j] for j in chosen]) for chosen in choices))
        rest = [[true[text][j] for j in chosen if j != text] for chosen in choices]
        others.append({np.mean(some) if some else None for some in rest})  # None: the text does not count
    best = max(np.mean(kept) for some in itertools.product(*others) if (kept := [x for x in some if x is not None]))
    assert found.attainable == pytest.approx(np.mean(precision))
    assert found.others_attainable == pytest.approx(best)


def test_a_split_is_measured_as_one_batch_that_holds_it(small):
    posts, anything = small
    for model in (anything, tiny_model(mine_missing=False)):
        data = TweetDataset(posts, model.batcher, progress=False)
        together = mining_precision(model, data, 64)
        pool = None if model.config.mine_missing else torch.from_numpy(np.array(data.crops.has_image))
        mined = mine_split(*contrast_vectors(model, data, progress=False), 7, pool)
        split = split_precision(posts, mined, 3, pool)
        assert dataclasses.asdict(split) == pytest.approx(dataclasses.asdict(together))
    with pytest.raises(ConfigError, match="k is 8, but 7 images"):
        split_precision(posts, mined, 8)


def test_what_cannot_be_said_is_none_and_no_file_holds_nan(small):
    posts, _ = small
    own = Mined(torch.arange(64)[:, None], torch.ones(64, 1), torch.zeros(64, dtype=torch.int64), torch.ones(64))
    found = split_precision(posts, own)
    assert found.others is None and found.at_one is None and found.skewness == 0
    storyless = [t for t in posts if not t.truth.story]
    index = torch.arange(len(storyless)).roll(1)[:, None]
    nothing = split_precision(storyless, dataclasses.replace(own, index=index))
    assert nothing.texts == 0 and nothing.precision is None and nothing.top_ten is not None
    excluded = split_precision(posts, dataclasses.replace(own, index=torch.full((64, 1), -1)))
    assert excluded.precision is None and excluded.top_ten is None
    for some in (found, nothing, excluded):
        json.dumps(dataclasses.asdict(some), allow_nan=False)


def test_the_demo_prints_what_was_measured_and_older_results_have_less():
    old = MiningPrecision(precision=0.314, chance=0.086, others=None, others_chance=0.068, texts=258)
    ceilings = {"text": 0.645, "own_image": 0.864, "mined": 0.995}
    made = Demo(0, ceilings, 0.648, 0.85, 0.669, 0.64, old, 3, 63)
    assert str(made).splitlines()[-1] == "  mining precision@3                              31.4   chance 8.6"
    measured = {"others": 0.169, "attainable": 0.797, "others_attainable": 0.829, "top_ten": 0.068, "skewness": 0.24}
    measured |= {"at_one": 0.205, "at_one_chance": 0.068, "at_one_attainable": 0.961}
    measured |= {"top_ten_chance": 0.079, "skewness_chance": 0.48}
    new = dataclasses.replace(made, mining=dataclasses.replace(old, **measured))
    assert str(new).splitlines()[-5:] == [
        "  mining precision@3                              31.4   chance 8.6, attainable 79.7",
        "    without the text's own image                  16.9   chance 6.8, attainable 82.9",
        "    the best other image alone                    20.5   chance 6.8, attainable 96.1",
        "    places that the ten most mined images fill     6.8   chance 7.9",
        "    skewness of how often each is mined            0.2   chance 0.5",
    ]


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
