"""One model, many pools: each holds what it says, and what is counted of its reading against plain loops."""

import dataclasses
import math

import pytest
import torch
from builders import tiny_model

from mgips.config import RELEVANCE
from mgips.data.corpus import Corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import relevant
from mgips.lab import pools
from mgips.lab.pools import POOLS, READ, read_pools
from mgips.lab.stats import tweet_counts
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool


@pytest.fixture(scope="module")
def drawn() -> Corpus:
    return tinytweets(sizes=(40, 4, 72), missing=0.1)  # two days of 32 and one of 8


def model_of(corpus: Corpus, **changes) -> MGIPS:
    """A random model that reads several pictures, of several days."""
    settings = {**RELEVANCE, "read": "softmax", "crop_size": 32, "hidden_size": 16, "intermediate_size": 32, **changes}
    model = MGIPS.build(tiny_model(**settings).config, corpus.train, seed=0).eval()
    with torch.no_grad():
        if model.reader.time is not None:
            model.reader.time.fill_(0.05)
    return model


@pytest.fixture(scope="module")
def read(drawn):
    """What was read of each pool, and every pool with its outputs as `read_pool` was given them."""
    model, given = model_of(drawn), {}
    real = pools.read_pool

    def spy(model, data, pool, posts):
        outputs = {}
        for indices, batch, out in model.outputs(data, pool=pool):
            paths = model.decode(out, batch)
            for row, index in enumerate(indices):
                outputs[index] = (out.reading.scores[row], out.reading.weights[row], out.reading.read[row], paths[row])
        given[len(given)] = (pool, outputs)
        return real(model, data, pool, posts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "read_pool", spy)
        found = read_pools(model, drawn)
    return model, found, dict(zip(found, given.values(), strict=True))


def test_every_pool_is_read_and_holds_what_it_says(drawn, read):
    _, found, given = read
    assert list(found) == [name for name in POOLS if name != "100"]  # 100 are more than there are
    here, there = ([t.id for t in split if t.image is not None] for split in (drawn.test, drawn.train))
    ids = {name: list(pool.ids) for name, (pool, _) in given.items()}
    for name in ("day", "split", "others", "past", "shuffled days", "random", "mean", "oracle"):
        assert ids[name] == here, name
    assert ids["train"] == there and ids["split+train"] == here + there and ids["none"] == []
    assert len(set(ids["32"])) == 32 and set(ids["32"]) < set(here)
    assert {name: reading.size for name, reading in found.items()} == {name: len(x) for name, x in ids.items()}
    windows = {name: pool.days for name, (pool, _) in given.items()}
    assert {name for name, days in windows.items() if days == 0} == {"day", "others", "random", "mean", "oracle"}
    assert {days for days in windows.values()} == {0, None}


@pytest.mark.parametrize("name", [name for name in POOLS if name not in ("100", "none")])
def test_each_post_reads_what_its_pool_allows(drawn, read, name):
    pool, outputs = read[2][name]
    posts = {t.id: t for t in (*drawn.train, *drawn.test)}
    for index, post in enumerate(drawn.test):
        weights = outputs[index][1][:-1]
        mine = {pool.ids[j] for j in weights.nonzero().flatten()}
        same_day = {id for id in pool.ids if posts[id].group == post.group}
        expected = {
            "day": same_day,
            "random": same_day,
            "mean": same_day,
            "others": same_day - {post.id},
            "past": {id for id in pool.ids if posts[id].time < post.time},
            "oracle": {id for id in pool.ids if relevant(post, posts[id])},
        }.get(name, set(pool.ids))
        assert mine == expected, (name, post.id)


def test_wrong_values_change_what_is_read_and_not_how_it_is_weighed(drawn, read):
    given = read[2]
    day, outputs = given["day"]
    groups = {t.id: t.group for t in drawn.test}
    places = [[j for j, id in enumerate(day.ids) if groups[id] == group] for group in sorted(set(groups.values()))]
    for name in ("random", "mean"):
        pool, others = given[name]
        assert torch.equal(pool.keys, day.keys) and torch.equal(pool.times, day.times) and pool.ids == day.ids
        for index in outputs:
            assert torch.equal(others[index][1], outputs[index][1])
        assert not torch.allclose(others[0][2], outputs[0][2])
    for group in places:
        before, after = (sorted(given[name][0].values[group].tolist()) for name in ("day", "random"))
        assert before == after, "a value has left its day"
        mean = sum(day.values[j] for j in group) / len(group)
        torch.testing.assert_close(given["mean"][0].values[group], mean.expand(len(group), -1), atol=1e-5, rtol=1e-5)
    assert not torch.equal(given["random"][0].values, day.values)
    shuffled = given["shuffled days"][0]
    assert sorted(shuffled.times.tolist()) == sorted(day.times.tolist()) and torch.equal(shuffled.values, day.values)
    assert not torch.equal(shuffled.times, day.times)


@pytest.mark.parametrize("name", [name for name in POOLS if name != "100"])
def test_what_is_counted_against_plain_loops(drawn, read, name):
    _, found, given = read
    pool, outputs = given[name]
    posts = {t.id: t for t in (*drawn.train, *drawn.test)}
    pictures, nothing, mass, at_one = [], [], [], []
    for index, post in enumerate(drawn.test):
        scores, weights = outputs[index][0].tolist(), outputs[index][1].tolist()
        pictures.append(sum(w >= READ for w in weights[:-1]))
        nothing.append(weights[-1])
        reach = [j for j, w in enumerate(weights[:-1]) if w > 0]  # softmax: whatever may be read
        fits = [j for j in reach if relevant(post, posts[pool.ids[j]])]
        if fits:
            mass.append(sum(weights[j] for j in fits) / sum(weights[:-1]))
        others = [j for j in reach if pool.ids[j] != post.id]
        if any(j in fits for j in others):
            at_one.append(max(others, key=lambda j: scores[j]) in fits)
    mean = lambda values: sum(values) / len(values) if values else None  # noqa: E731
    expected = (mean(pictures), mean(nothing), mean(mass), mean(at_one))
    measured = found[name]
    for a, b in zip((measured.pictures, measured.nothing, measured.mass, measured.at_one), expected, strict=True):
        assert a == (b if b is None else pytest.approx(b, abs=1e-6))
    tags = [outputs[i][3] for i in range(len(drawn.test))]
    assert measured.counts == tweet_counts([list(t.tags) for t in drawn.test], tags).tolist()
    if name == "oracle":
        assert measured.mass == pytest.approx(1)
    if name in ("none", "train"):
        assert measured.mass is None and measured.at_one is None
    assert not any(math.isnan(x) for x in (measured.pictures, measured.nothing))


def test_a_model_that_never_reads_its_own_picture_is_counted_without_it(drawn):
    """A post whose only relevant picture is its own has none in reach."""
    one_a_story = {t.truth.story: t for t in drawn.test if relevant(t, t)}
    few = dataclasses.replace(drawn, test=tuple(one_a_story.values()))
    assert len(few.test) > 3
    without, with_own = (read_pools(model_of(drawn, **changes), few)["day"] for changes in ({"read_own": False}, {}))
    assert without.mass is None and with_own.mass > 0 and without.at_one is with_own.at_one is None


def test_without_times_and_truth_only_what_needs_neither_is_left(drawn):
    bare = {
        name: tuple(dataclasses.replace(t, time=math.nan, group="", truth=None) for t in drawn.splits[name])
        for name in drawn.splits
    }
    corpus = dataclasses.replace(drawn, **bare)
    found = read_pools(model_of(drawn), corpus)
    assert set(found) == set(POOLS) - {"100", "past", "shuffled days", "oracle"}
    assert found["day"] == found["split"], "the split stands for the day"
    assert all(reading.mass is None and reading.at_one is None for reading in found.values())
    assert found["others"].pictures < found["day"].pictures


def test_the_training_split_has_no_other_split_to_read_and_the_seed_decides(drawn):
    model = model_of(drawn)
    found = read_pools(model, drawn, "train")
    assert not {"train", "split+train"} & set(found)
    assert read_pools(model, drawn, "train") == found != read_pools(model, drawn, "train", seed=1)


def test_the_same_id_in_two_splits_is_two_posts(drawn):
    """On Twitter a post's id is its picture's, and returns."""
    corpus = dataclasses.replace(
        drawn, train=tuple(dataclasses.replace(t, id=drawn.test[i].id, truth=None) for i, t in enumerate(drawn.train)),
        test=tuple(dataclasses.replace(t, truth=None) for t in drawn.test),
    )  # fmt: skip
    sizes = {name: reading.size for name, reading in read_pools(model_of(drawn), corpus).items()}
    pictures = {name: sum(t.image is not None for t in corpus.splits[name]) for name in ("train", "test")}
    assert sizes["split"] == pictures["test"] and sizes["train"] == pictures["train"]
    assert sizes["split+train"] == pictures["test"] + pictures["train"]


def test_rules_of_pools():
    pool = Pool(torch.zeros(3, 2), torch.zeros(3, 2), torch.tensor([0.5, 1.5, math.nan]).double(),
                torch.ones(3, dtype=torch.bool), ("a", "b", "c"))  # fmt: skip
    model = tiny_model()
    posts = [dataclasses.replace(t, id=i, time=w) for t, i, w in zip(tinytweets(sizes=(3, 1, 1)).train, "bxc", (1.5, 2.0, math.nan), strict=True)]  # fmt: skip
    batch = model.batcher(posts)
    assert pools.earlier(batch, pool).tolist() == [[True, False, False], [True, True, False], [False] * 3]
    assert not pools.earlier(dataclasses.replace(batch, times=None), pool).any()
    assert pools.others(batch, pool).tolist() == [[True, False, True], [True] * 3, [True, True, False]]
