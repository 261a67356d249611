"""Entity vectors and how they are measured, against plain loops."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from builders import tiny_model, tweets
from seqeval.metrics.sequence_labeling import get_entities

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError, DataError
from mgips.lab.representation import collect, entity_vectors, measure, neighbours, purity, silhouette, tsne
from mgips.model.mgips import MGIPS


def vectors_of(model, posts, **options):
    return entity_vectors(model, TweetDataset(posts, model.batcher, progress=False), **options)


@torch.no_grad()
def one_by_one(model, tweet):
    """(type, {step: vector}) of a post's entities: the model's own states for this post alone, its words averaged."""
    batch = dataclasses.replace(model.batcher([tweet]), tags=None)
    out = model(batch)
    walk = out.interwoven
    text = [model.text_embedding(batch), walk.text[0] if walk else out.text, out.text]
    found = []
    for kind, first, last in get_entities(list(tweet.tags)):
        places = [int(batch.first[0, word]) for word in range(first, last + 1) if word < batch.first.shape[1]]
        if places:
            found.append((kind, [sum(step[0, place] for place in places).numpy() / len(places) for step in text]))
    return found


@pytest.mark.parametrize(
    "changes, names",
    [
        ({}, ["embedding", "mutual attention", "MGI"]),
        ({"mgi": False}, ["embedding", "mutual attention"]),
        ({"mutual_attention": False}, ["embedding", "text tower", "MGI"]),
        ({"images": False}, ["embedding", "text tower"]),
        ({"contrast_on": "unimodal"}, ["embedding", "mutual attention", "MGI"]),
    ],
)
def test_an_entitys_vector_is_the_mean_of_its_words_in_a_post_by_itself(changes, names):
    model = tiny_model(max_length=64, **changes)
    found = vectors_of(model, tweets(), batch_size=3)
    wanted = [(tweet.id, *one) for tweet in tweets() for one in one_by_one(model, tweet)]
    assert list(found.steps) == names
    assert len(found) == len(wanted) == 11 and found.beyond == 0
    assert [(e.tweet.id, e.span.type) for e in found.entities] == [(id, kind) for id, kind, _ in wanted]
    assert found.types.tolist() == [kind for _, kind, _ in wanted]
    for place, name in enumerate(names):
        by_hand = np.array([vectors[place] for *_, vectors in wanted])
        np.testing.assert_allclose(found.steps[name], by_hand, atol=2e-5)
    assert max(e.span.end - e.span.start for e in found.entities) > 1  # a mean of one would prove little
    for a, b in zip(names, names[1:], strict=False):
        assert np.abs(found.steps[a] - found.steps[b]).max() > 0.02


def test_the_size_of_batches_changes_nothing():
    model = tiny_model()
    one, many = (vectors_of(model, tweets(), batch_size=size).steps for size in (1, 64))
    for name in one:
        np.testing.assert_allclose(one[name], many[name], atol=2e-5)


def test_words_past_the_cut_do_not_count_and_entities_past_it_are_counted():
    words = ("a", "b", "go", "c", "go", "go")
    post = Tweet("cut", words, ("O", "O", "B-PER", "I-PER", "I-PER", "B-LOC"))
    model = tiny_model(max_length=6, images=False)  # [CLS], four words, [SEP]
    found = vectors_of(model, [post])
    ((kind, by_hand),) = one_by_one(model, post)
    assert (len(found), found.beyond, kind) == (1, 1, "PER")
    np.testing.assert_allclose(found.steps["text tower"][0], by_hand[1], atol=2e-5)


def test_the_model_is_left_as_it_was():
    model = tiny_model().train()
    first, second = vectors_of(model, tweets()), vectors_of(model, tweets())
    assert model.training and not any(module._forward_hooks for module in model.modules())
    np.testing.assert_array_equal(first.steps["MGI"], second.steps["MGI"])  # no dropout
    assert all(p.grad is None for p in model.parameters())


def test_posts_without_gold_entities_are_refused():
    bare = [dataclasses.replace(tweet, tags=()) for tweet in tweets(2)]
    for posts in (bare, [Tweet("none", ("so", "it", "is"), ("O", "O", "O"))]):
        with pytest.raises(DataError, match="gold entity"):
            vectors_of(tiny_model(images=False), posts)


def test_the_names_that_the_text_leaves_open_are_known_for_tinytweets_only():
    posts = tinytweets(sizes=(4, 4, 40)).test
    model = tiny_model(images=False, max_length=200)
    found = vectors_of(model, posts)
    assert found.ambiguous.sum() == sum(len(tweet.truth.ambiguous) for tweet in posts) > 10
    for entity, is_open in zip(found.entities, found.ambiguous, strict=True):
        assert is_open == ((entity.span.start, entity.span.end) in entity.tweet.truth.ambiguous)
    assert vectors_of(model, tweets()).ambiguous is None


# ---- measures ----


@pytest.fixture
def some():
    rng = np.random.RandomState(0)
    types = np.array(["PER", "LOC", "ORG"])[rng.randint(3, size=60)]
    return (rng.randn(60, 7) + 1.5 * (types == "PER")[:, None]).astype(np.float32), types


def nearest(vectors, k):
    """Plain loops."""
    rows = []
    for i, a in enumerate(vectors.astype(float)):
        distance = [(float(((a - b) ** 2).sum()), j) for j, b in enumerate(vectors.astype(float)) if j != i]
        rows.append([j for _, j in sorted(distance)[:k]])
    return rows


@pytest.mark.parametrize("k", [1, 4, 59])
def test_neighbours_and_purity_are_those_of_plain_loops(some, k):
    vectors, types = some
    rows = nearest(vectors, k)
    assert neighbours(vectors, k).tolist() == rows
    shares = np.array([np.mean([types[j] == types[i] for j in row]) for i, row in enumerate(rows)])
    chances = np.array([np.mean([types[j] == types[i] for j in range(60) if j != i]) for i in range(60)])
    of = np.arange(60) % 3 == 0
    for chosen in (None, of):
        found, among = purity(vectors, types, k, chosen), slice(None) if chosen is None else chosen
        assert found.purity == pytest.approx(shares[among].mean())
        assert found.chance == pytest.approx(chances[among].mean())
        assert found.count == len(shares[among])
    if k == 59:
        assert found.purity == pytest.approx(found.chance)


def test_nobody_is_its_own_neighbour_even_among_equals():
    near = neighbours(np.zeros((30, 4), dtype=np.float32), 12)
    assert not (near == np.arange(30)[:, None]).any()
    assert all(len(set(row)) == 12 for row in near.tolist())


def test_the_silhouette_is_that_of_plain_loops(some):
    vectors, types = some
    distance = np.sqrt(((vectors[:, None].astype(float) - vectors[None]) ** 2).sum(-1))
    scores = []
    for i in range(60):
        by_type = {t: np.mean([distance[i, j] for j in range(60) if j != i and types[j] == t]) for t in set(types)}
        a, b = by_type[types[i]], min(d for t, d in by_type.items() if t != types[i])
        scores.append((b - a) / max(a, b))
    assert silhouette(vectors, types) == pytest.approx(np.mean(scores), abs=1e-6)


def test_turning_moving_and_stretching_all_vectors_changes_no_measure(some):
    vectors, types = some
    turn, _ = np.linalg.qr(np.random.RandomState(1).randn(7, 7))
    moved = 3 * vectors.astype(float) @ turn + 5
    assert purity(moved, types) == purity(vectors, types)
    assert silhouette(moved, types) == pytest.approx(silhouette(vectors, types), abs=1e-5)


def test_shuffled_types_are_as_pure_as_chance(some):
    vectors, types = some
    rng = np.random.RandomState(2)
    drawn = [purity(vectors, rng.permutation(types)) for _ in range(100)]
    assert np.mean([d.purity for d in drawn]) == pytest.approx(drawn[0].chance, abs=0.02)
    assert purity(vectors, types).purity > drawn[0].chance + 0.1


def test_what_cannot_be_measured_is_refused_in_a_sentence(some):
    vectors, types = some
    for k in (0, 60):
        with pytest.raises(ConfigError, match=f"k is {k}, but each of these 60 entities has 59 others"):
            neighbours(vectors, k)
    with pytest.raises(ConfigError, match="no entity to average over"):
        purity(vectors, types, of=np.zeros(60, dtype=bool))
    with pytest.raises(ConfigError, match="fewer than two"):
        silhouette(vectors, np.full(60, "PER"))
    for perplexity in (0, 60):
        with pytest.raises(ConfigError, match=f"perplexity is {perplexity}, but there are 60"):
            tsne(vectors, 2, perplexity)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_tsne_is_the_same_each_time_and_keeps_groups_apart(dimensions):
    rng = np.random.RandomState(0)
    groups = np.repeat(np.array(["PER", "LOC"]), 60)
    vectors = (rng.randn(120, 8) + 12 * (groups == "PER")[:, None]).astype(np.float32)
    first = tsne(vectors, dimensions, 10, 500)
    assert first.shape == (120, dimensions)
    np.testing.assert_array_equal(first, tsne(vectors, dimensions, 10, 500))
    assert purity(first, groups, 5).purity > 0.99


# ---- the record of a run ----


def test_a_run_keeps_what_figure_11_needs_and_no_words(monkeypatch):
    corpus = tinytweets(sizes=(32, 4, 40))
    model = MGIPS.build(tiny_model().config, corpus.train, seed=5).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # "trained": no longer where it started
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    record = collect(model, corpus, seed=5)
    assert json.loads(json.dumps(record)) == record
    start = MGIPS.build(model.config, corpus.train, seed=5)
    assert record["untrained"] == measure(vectors_of(start, corpus.test))
    assert record["trained"] == measure(vectors_of(model, corpus.test)) != record["untrained"]
    for numbers in record["trained"].values():
        assert numbers["ambiguous"]["count"] < numbers["count"] and "xyz" not in numbers
    assert "entities" not in record

    monkeypatch.setattr("mgips.lab.representation.tsne", lambda vectors, dimensions, _: vectors[:, :dimensions])
    drawn = collect(model, corpus, seed=5, coordinates=True)
    found = vectors_of(model, corpus.test)
    for numbers, vectors in zip(drawn["trained"].values(), found.steps.values(), strict=True):
        np.testing.assert_allclose(numbers["xyz"], vectors[:, :3], atol=0.0051)
        np.testing.assert_allclose(numbers["xy"], vectors[:, :2], atol=0.0051)
    by_id = {tweet.id: tweet for tweet in corpus.test}
    for (id, kind, start, end), entity in zip(drawn["entities"], found.entities, strict=True):
        assert (by_id[id], kind, start, end) == (entity.tweet, entity.span.type, entity.span.start, entity.span.end)
    text = json.dumps(drawn)
    assert not any(word in text for word in ("Jordan", "hiring", "today", "http"))


def test_a_corpus_without_truth_has_no_open_names():
    posts = tweets(24)
    record = collect(tiny_model(images=False), Corpus("invented", posts, posts, posts), seed=0)
    assert all(numbers["ambiguous"] is None for numbers in record["trained"].values())


@pytest.mark.gpu
def test_a_gpu_gives_the_same_vectors():
    model = tiny_model()
    on_cpu, on_gpu = vectors_of(model, tweets()).steps, vectors_of(model.cuda(), tweets()).steps
    for name in on_cpu:
        np.testing.assert_allclose(on_cpu[name], on_gpu[name], atol=1e-3)
