"""Reading a pool against plain loops in double precision; pools, and what must not change what is read."""

import dataclasses
import itertools
import math
import warnings

import pytest
import torch
from builders import tiny_config, tiny_model, tweets
from safetensors.torch import load_file, save_file

from mgips.config import RELEVANCE, ModelConfig
from mgips.data.batch import Batch, TweetDataset
from mgips.errors import ConfigError, DataError
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.model.reading import Pool, Reader, empty, joined
from mgips.model.shipped import load

D, TAU = 6, 0.3
NAN = math.nan


def a_reader(**changes) -> Reader:
    """A random reader in double precision."""
    settings = {"read": "sparsemax", "k": 3, **RELEVANCE, **changes}
    torch.manual_seed(5)
    reader = Reader(D, tiny_config(**settings)).double()
    with torch.no_grad():
        if reader.null is not None:
            reader.null.weight.normal_()
            reader.null.bias.fill_(0.2)
        if reader.time is not None:
            reader.time.copy_(torch.tensor([0.3, -0.1]))
    return reader


def a_batch(ids, times) -> Batch:
    """Posts of which only ids and times matter."""
    nothing = torch.zeros(len(ids), 2, dtype=torch.int64)
    times = times if times is None else torch.tensor(times, dtype=torch.float64)
    return Batch(tuple(ids), ((),) * len(ids), nothing, nothing == 0, nothing, nothing == 0, None, None,
                 torch.ones(len(ids), dtype=torch.bool), times)  # fmt: skip


def a_pool(count=13, seed=1, days=None) -> Pool:
    """Random pictures of posts p0, p1, …, every fourth missing, over ten days, some of an unknown one."""
    random = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, count, D, generator=random, dtype=torch.float64)
    times = torch.rand(count, generator=random, dtype=torch.float64) * 10 - 3
    times[2::5] = NAN
    ids = tuple(f"p{i}" for i in range(count))
    return Pool(torch.nn.functional.normalize(keys, dim=1), values, times, torch.arange(count) % 4 != 3, ids, days)


def some_queries(count=6) -> tuple[torch.Tensor, torch.Tensor, Batch]:
    """z, g(text) and the batch of posts, some of them of the pool, one of an unknown time."""
    random = torch.Generator().manual_seed(2)
    text = torch.randn(count, 5, D, generator=random, dtype=torch.float64)
    queries = torch.nn.functional.normalize(torch.randn(count, D, generator=random, dtype=torch.float64), dim=1)
    return text, queries, a_batch(["p0", "p5", "x", "p4", "y", "p12"][:count], [1.2, -0.1, 4.0, NAN, 2.99, 3.0][:count])


def simplex(scores: list[float]) -> list[float]:
    """Sparsemax as what it is: the nearest point of the probability simplex, its threshold found by bisection."""
    low, high = min(scores) - 1, max(scores)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(max(s - middle, 0) for s in scores) > 1 else (low, middle)
    return [max(s - low, 0) for s in scores]


def read_by_loop(reader: Reader, query, id, time, pool: Pool) -> tuple[list[float], float]:
    """Weights of the pictures and of nothing, of one post, in Python numbers."""
    config, query = reader.config, query.tolist()
    scores = {}
    for j, key in enumerate(pool.keys.tolist()):
        other = pool.times[j].item()
        days = abs(math.floor(time) - math.floor(other)) if not (math.isnan(time) or math.isnan(other)) else None
        if not pool.there[j] or (not config.reads_own and pool.ids[j] == id):
            continue
        if pool.days is not None and days is not None and days > pool.days:
            continue
        score = sum(a * b for a, b in zip(query, key, strict=True))
        if reader.time is not None and days is not None:
            score -= reader.time[0].item() * (days >= 1) + reader.time[1].item() * math.log(1 + days)
        scores[j] = score / TAU
    if config.read == "top":
        scores = {j: scores[j] for j in sorted(scores, key=lambda j: -scores[j])[: config.k]}
    options: list = list(scores)
    values = list(scores.values())
    if reader.null is not None:
        null = sum(a * b for a, b in zip(query, reader.null.weight[0].tolist(), strict=True)) + reader.null.bias.item()
        options, values = [*options, "nothing"], [*values, null / TAU]
    if not options:
        return [0.0] * len(pool), 1.0
    if config.read == "sparsemax":
        weights = simplex(values)
    else:
        exponentials = [math.exp(v - max(values)) for v in values]
        weights = [e / sum(exponentials) for e in exponentials]
    found = dict(zip(options, weights, strict=True))
    return [found.get(j, 0.0) for j in range(len(pool))], found.get("nothing", 0.0)


KINDS = ("softmax", "top", "sparsemax")


@pytest.mark.parametrize(
    ("kind", "null", "time", "own", "days"),
    [*itertools.product(KINDS, (True, False), (True, False), (True, False), (None, 0, 2))],
)
def test_reading_against_plain_loops(kind, null, time, own, days):
    reader = a_reader(read=kind, read_null=null, read_time=time, read_own=own)
    text, queries, batch = some_queries()
    for pool in (a_pool(days=days), a_pool(2, days=days), a_pool(5, days=days)):
        after, reading = reader(text, queries, batch, pool, TAU)
        torch.testing.assert_close(reading.weights.sum(1), torch.ones(6, dtype=torch.float64))
        for i, (id, when) in enumerate(zip(batch.ids, batch.times.tolist(), strict=True)):
            weights, nothing = read_by_loop(reader, queries[i], id, when, pool)
            assert reading.weights[i, :-1].tolist() == pytest.approx(weights, abs=1e-6)
            assert reading.weights[i, -1].item() == pytest.approx(nothing, abs=1e-6)
            rows = pool.values.tolist()
            read = [sum(w * row[c] for w, row in zip(weights, rows, strict=True)) for c in range(D)]
            assert reading.read[i].tolist() == pytest.approx(read, abs=1e-5)
            value = reader.value(torch.tensor(read, dtype=torch.float64))
            for position in range(5):
                z = text[i, position]
                both = torch.cat([z, value])
                gate = torch.sigmoid(reader.gate(both)) * sum(weights)
                expected = reader.norm(z + gate * (value + reader.revise(both)))
                torch.testing.assert_close(after[i, position], expected, atol=1e-5, rtol=0)


def test_sparsemax_reads_few_and_softmax_all_that_may_be_read():
    text, queries, batch = some_queries()
    pool = a_pool(60)
    allowed = pool.readable(batch)
    for kind, low, high in (("softmax", 45, 45), ("top", 3, 3), ("sparsemax", 1, 20)):
        _, reading = a_reader(read=kind, read_null=False, read_time=False)(text, queries, batch, pool, TAU)
        count = (reading.weights[:, :-1] > 0).sum(1)
        assert low <= count.min() and count.max() <= high
        assert not reading.weights[:, :-1][~allowed].any()
    assert allowed.sum(1).tolist() == [45] * 6


def test_without_times_time_costs_and_forbids_nothing():
    text, queries, batch = some_queries()
    reader = a_reader()
    untimed = dataclasses.replace(a_pool(days=0), times=torch.full((13,), NAN, dtype=torch.float64))
    expected = a_reader(read_time=False)(text, queries, batch, a_pool(), TAU)[1].weights
    for pool, some in (
        (untimed, batch),
        (a_pool(days=0), dataclasses.replace(batch, times=None)),
        (a_pool(days=0), a_batch(batch.ids, [NAN] * 6)),
    ):
        torch.testing.assert_close(reader(text, queries, some, pool, TAU)[1].weights, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_a_pool_and_pictures_that_may_not_be_read_change_nothing(kind):
    reader, (text, queries, batch) = a_reader(read=kind, read_own=False), some_queries()
    pool = a_pool(days=3)
    after, reading = reader(text, queries, batch, pool, TAU)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    moved, other = reader(text, queries, batch, pool.take(order), TAU)
    torch.testing.assert_close(moved, after)
    torch.testing.assert_close(other.weights[:, :-1], reading.weights[:, :-1][:, order])
    parts, whole = [pool.take(torch.arange(13)[part]) for part in (slice(4), slice(4, 5), slice(5, 13))], pool
    assert joined(parts).ids == whole.ids
    assert torch.equal(reader(text, queries, batch, joined(parts), TAU)[0], after)

    missing = dataclasses.replace(a_pool(7, seed=3), there=torch.zeros(7, dtype=torch.bool))
    far = dataclasses.replace(a_pool(7, seed=4), times=torch.full((7,), 99.0, dtype=torch.float64))
    far = far.take(far.there)
    known = torch.tensor([not math.isnan(t) for t in batch.times])
    for more in (missing, far):
        wider, other = reader(text, queries, batch, joined([pool, more]), TAU)
        rows = known if more is far else known | True  # an unknown time forbids nothing
        torch.testing.assert_close(wider[rows], after[rows])
        assert not other.weights[rows, 13:-1].any()
        torch.testing.assert_close(other.weights[rows, -1], reading.weights[rows, -1])


@pytest.mark.parametrize(("kind", "null"), [*itertools.product(KINDS, (True, False))])
def test_what_finds_nothing_to_read_reads_nothing(kind, null):
    reader, (text, queries, batch) = a_reader(read=kind, read_null=null), some_queries()
    for pool in (empty(D, text.device), dataclasses.replace(a_pool(), there=torch.zeros(13, dtype=torch.bool))):
        pool = dataclasses.replace(pool, keys=pool.keys.double(), values=pool.values.double())
        for temperature in (TAU, 1.0, 0.01):
            after, reading = reader(text, queries, batch, pool, temperature)
            assert (reading.weights[:, -1] == 1).all() and not reading.weights[:, :-1].any()
            assert not reading.read.any()
            torch.testing.assert_close(after, reader.norm(text))


def test_a_post_finds_its_own_picture_in_every_copy():
    """A memory of past batches can hold a post twice, and `predict` may get several posts of one name."""
    pool = joined([a_pool(), a_pool(5)])
    batch = a_batch(["p0", "p4", "p0", "x"], None)
    own = pool.own(batch.ids)
    assert [row.nonzero().flatten().tolist() for row in own] == [[0, 13], [4, 17], [0, 13], []]
    assert torch.equal(pool.readable(batch, own=False), pool.readable(batch) & ~own)


def test_rules_and_windows_only_take_away():
    pool, batch = a_pool(), some_queries()[2]
    pool = dataclasses.replace(pool, days=2, rule=lambda posts, some: (torch.arange(len(some)) % 2 == 0).repeat(len(posts), 1))  # fmt: skip
    allowed = pool.readable(batch, own=False)
    for i, j in itertools.product(range(6), range(13)):
        near = not abs(math.floor(batch.times[i]) - math.floor(pool.times[j])) > 2 if not (
            batch.times[i].isnan() or pool.times[j].isnan()
        ) else True  # fmt: skip
        assert allowed[i, j] == (j % 4 != 3 and j % 2 == 0 and batch.ids[i] != f"p{j}" and near)


def test_asking_what_is_readable_never_writes_into_the_pool():
    batch = some_queries()[2]
    everything = dataclasses.replace(a_pool(), rule=lambda posts, pool: torch.ones(6, 13, dtype=torch.bool))
    for pool in (a_pool(), a_pool(days=0), everything):
        before = {name: x.clone() for name, x in vars(pool).items() if isinstance(x, torch.Tensor)}
        allowed = pool.readable(batch)
        allowed &= ~pool.own(batch.ids)
        allowed[:] = False
        for name, value in before.items():
            torch.testing.assert_close(getattr(pool, name), value, rtol=0, atol=0, equal_nan=True)


def test_the_relevance_can_be_left_to_the_contrast():
    for learned in (True, False):
        reader, (text, queries, batch) = a_reader(read_learned=learned), some_queries()
        queries.requires_grad_()
        reader(text, queries, batch, a_pool(), TAU)[0].square().sum().backward()
        assert (queries.grad is not None) == learned


def test_reading_is_computed_in_full_precision_under_autocast():
    reader, (text, queries, batch) = a_reader().float(), some_queries()
    single = a_pool()._map(lambda x: x.float() if x.dtype == torch.float64 else x)
    pool = dataclasses.replace(single, times=a_pool().times)
    plain = reader(text.float(), queries.float(), batch, pool, TAU)[1]
    with torch.autocast("cpu", torch.bfloat16):
        half = reader(text.bfloat16(), queries.float(), batch, pool, TAU)[1]
    assert torch.equal(half.weights, plain.weights) and torch.equal(half.read, plain.read)


# ---- the model ----


def reader_model(seed: int = 0, **changes) -> MGIPS:
    """A small random model that reads, in evaluation mode, and that minds what it reads."""
    model = tiny_model(seed, **{**RELEVANCE, "read": "sparsemax", **changes})
    with torch.no_grad():
        model.reader.gate.bias.fill_(3.0)
        model.reader.value.weight.mul_(5)
    return model


def dated(count: int = 8, seed: int = 0):
    """Invented posts, two a day."""
    return tuple(dataclasses.replace(post, time=i / 2) for i, post in enumerate(tweets(count, seed)))


@pytest.mark.parametrize(
    "changes",
    [{}, {"read_by": "text"}, {"read_by": "text", "read_what": "text"}, {"read_what": "text"}, {"read_days": 1},
     {"mutual_attention": False}, {"pooling": "mean", "contrast_norm": False}],
)  # fmt: skip
@torch.no_grad()
def test_a_pool_is_what_batches_make_by_hand(changes):
    model, posts = reader_model(**changes), dated()
    pool = model.pool(posts)
    there = [i for i, post in enumerate(posts) if post.image is not None or model.config.read_by == model.config.read_what == "text"]  # fmt: skip
    assert pool.ids == tuple(posts[i].id for i in there) and pool.there.all() and len(pool) == len(there)
    assert pool.times.tolist() == [posts[i].time for i in there]
    assert pool.days == model.config.read_days and pool.weights == weights_hash(model)
    assert (pool.keys.norm(dim=1) - 1).abs().max() < 1e-5
    config = model.config
    for place, i in enumerate(there):
        batch = model.batcher([posts[i]])
        text, image = model._embed(batch)  # each tower by itself, as in the plain encoders
        text = model.encoder(text, None, batch.piece_mask)[0]
        image = model.encoder(model._embed(batch)[0], image, batch.piece_mask, exchange=False)[1]
        key = model.image_head(image, torch.ones(1, image.shape[1], dtype=torch.bool))
        if config.read_by == "text":
            key = model.text_head(text, batch.piece_mask)
        value = (text if config.read_what == "text" else image)[0].mean(0)
        torch.testing.assert_close(pool.keys[place], key[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(pool.values[place], value, atol=1e-5, rtol=0)
    for size in (1, 3):
        again = model.pool(TweetDataset(posts, model.batcher, progress=False), batch_size=size)
        assert again.ids == pool.ids
        torch.testing.assert_close(again.keys, pool.keys, atol=1e-5, rtol=0)
        torch.testing.assert_close(again.values, pool.values, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_and_batch_mates_change_nothing_that_is_read():
    model, posts = reader_model(), dated()
    pool = model.pool(dated(8, seed=3))
    together = model(model.batcher(posts), pool=pool)
    plain = model(model.batcher(posts), pool=model.pool(()))
    assert (together.emissions - plain.emissions).abs().max() > 0.05, "reading changes nothing to speak of"
    for i, post in enumerate(posts):
        alone = model(model.batcher([post]), pool=pool)
        width = alone.emissions.shape[1]
        torch.testing.assert_close(together.emissions[i, :width], alone.emissions[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(together.reading.weights[i], alone.reading.weights[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_batch_that_reads_itself_reads_the_pool_of_its_posts():
    """What training does and what inference does are the same."""
    for changes in ({}, {"read_own": False}, {"read_days": 0}):
        model, posts = reader_model(**changes), dated()
        batch = model.batcher(posts)
        itself, pooled = model(batch, read_batch=True), model(batch, pool=model.pool(posts))
        torch.testing.assert_close(itself.emissions, pooled.emissions, atol=1e-4, rtol=0)
        there = [i for i, post in enumerate(posts) if post.image is not None]
        torch.testing.assert_close(itself.reading.weights[:, [*there, -1]], pooled.reading.weights, atol=1e-5, rtol=0)
        more = model(batch, read_batch=True, pool=model.pool(dated(8, 5)))
        assert more.reading.pool.ids == (*batch.ids, *model.pool(dated(8, 5)).ids)


def test_without_a_pool_it_falls_back_and_says_so_once():
    model, posts = reader_model(), dated()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        alone = [model.predict(posts) for _ in range(3)][0]
        assert [str(w.message) for w in said] == [
            "No pool was given, so this model reads no other post's picture and falls back to the own one."
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # whoever gives an empty pool knows
        fresh = reader_model()
        assert fresh.predict(posts, pool=fresh.pool(())) == fresh.predict(posts, pool=[]) == alone
        nobody = [dataclasses.replace(post, image=None, crops=()) for post in posts]
        assert len(fresh.pool(nobody)) == 0 and fresh.predict(posts, pool=nobody) == alone
        assert fresh.predict(posts, pool=posts) == fresh.predict(posts, pool=fresh.pool(posts))


@torch.no_grad()
def test_a_window_of_no_days_is_the_posts_own_day():
    model, posts = reader_model(read_null=False), dated()
    data = TweetDataset(posts, model.batcher, progress=False)
    for indices, _, out in model.outputs(data, batch_size=3, pool=model.pool(posts, days=0)):
        for row, i in enumerate(indices):
            read = {out.reading.pool.ids[j] for j in out.reading.weights[row, :-1].nonzero().flatten()}
            day = {post.id for post in posts if int(post.time) == int(posts[i].time) and post.image is not None}
            assert read and read <= day
    assert model.pool((), days=0).days == 0 and reader_model(read_days=4).pool(()).days == 4


def test_a_pool_needs_a_model_that_reads_and_the_very_weights_that_built_it(tmp_path):
    model, posts = reader_model(), dated()
    pool = model.pool(posts)
    for other in (tiny_model(), tiny_model(**RELEVANCE), tiny_model(images=False)):
        for use in (lambda m=other: m.pool(posts), lambda m=other: m.predict(posts, pool=pool), lambda m=other: m.predict(posts, pool=posts)):  # fmt: skip
            with pytest.raises(ConfigError, match="reads no pool of pictures; .* variant reads") as error:
                use()
            assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="built with other weights"):
        reader_model(seed=1).predict(posts, pool=pool)
    with torch.no_grad():
        model.reader.gate.bias += 1e-3
    with pytest.raises(ConfigError, match="built with other weights"):
        model.predict(posts, pool=pool)
    model.save_pretrained(tmp_path)
    again = MGIPS.from_pretrained(tmp_path)
    assert again.predict(posts, pool=model.pool(posts)) == model.predict(posts, pool=posts)


def test_a_pool_is_saved_and_loaded_to_the_bit(tmp_path):
    model, posts = reader_model(), dated()
    posts = (*posts, dataclasses.replace(posts[0], id='odd "name" \u2603', time=NAN))
    for pool in (model.pool(posts, days=2), model.pool(()), model.pool(posts).take(torch.tensor([2, 0]))):
        pool.save(tmp_path / "new folder" / "pool.safetensors")
        again = Pool.load(str(tmp_path / "new folder" / "pool.safetensors"))
        assert (again.ids, again.days, again.rule, again.weights) == (pool.ids, pool.days, None, pool.weights)
        for name in ("keys", "values", "times", "there"):
            a, b = getattr(again, name), getattr(pool, name)
            assert a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        assert model.predict(posts, pool=again) == model.predict(posts, pool=pool)
    assert pool.ids == (posts[2].id, posts[0].id)


def test_what_is_no_pool_is_one_sentence(tmp_path):
    path = tmp_path / "pool.safetensors"
    a_pool().save(path)
    whole, tensors = path.read_bytes(), load_file(path)
    damages = [b"", b"no pool", whole[:-9], whole[: len(whole) // 2], b"\xff" * 8 + whole[8:]]
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(DataError, match="pool.safetensors is not a pool .*build it again") as error:
            Pool.load(path)
        assert "\n" not in str(error.value)
    about = {"ids": '["a"]', "days": "null", "weights": ""}
    for content, metadata in [
        ({}, about),
        (tensors, None),
        (tensors, {"ids": "[", "days": "null", "weights": ""}),
        (tensors, {"days": "null", "weights": ""}),
        ({**tensors, "more": tensors["keys"].clone()}, about),
        (tensors, about),  # one name for thirteen pictures
    ]:
        save_file(content, path, metadata=metadata)
        with pytest.raises(DataError, match="is not a pool"):
            Pool.load(path)
    for nothing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match="is not a pool"):
            Pool.load(nothing)


def test_a_rule_is_not_saved(tmp_path):
    pool = dataclasses.replace(a_pool(), rule=lambda batch, pool: pool.there)
    with pytest.raises(ConfigError, match="rule is code and cannot be saved"):
        pool.save(tmp_path / "pool")
    assert not list(tmp_path.iterdir())


def test_parts_of_a_pool_and_places_in_it():
    pool = a_pool(days=3)
    some = pool.take(torch.tensor([4, 0, 4]))
    assert some.ids == ("p4", "p0", "p4") and some.days == 3 and torch.equal(some.keys, pool.keys[[4, 0, 4]])
    masked = pool.take(pool.there)
    assert masked.ids == tuple(f"p{i}" for i in range(13) if i % 4 != 3) and masked.there.all()
    assert len(pool.take(torch.zeros(13, dtype=torch.bool))) == 0 == len(pool.take(torch.tensor([], dtype=torch.int64)))
    assert pool.places(["p3", "x", "p0"]).tolist() == [3, -1, 0]
    one = joined([pool])
    two = joined([pool.take(torch.arange(5)), pool.take(torch.arange(5, 13))])
    assert one.ids == two.ids == pool.ids and two.days == 3
    torch.testing.assert_close(vars(two)["times"], pool.times, equal_nan=True)
    grown = dataclasses.replace(pool, keys=pool.keys.clone().requires_grad_())
    assert grown.to("cpu").keys.requires_grad and not grown.detach().keys.requires_grad


def test_the_loss_reaches_the_pictures_that_are_read():
    """Reading is learned from the tags: the gradient of the CRF alone gets to other posts' pictures."""
    model = reader_model(read="softmax", read_own=False, mgi=False, mutual_attention=False).train()
    batch = model.batcher(dated())
    out = model(batch)
    image = out.embedded[1]
    image.retain_grad()
    model.loss(out, batch).terms["crf"].backward()
    reached = image.grad.abs().sum((1, 2)) > 0
    assert reached.tolist() == batch.has_image.tolist()


def test_settings_that_cannot_read_are_refused():
    for changes in ({"contrast_on": "fused"}, {"images": False}):
        with pytest.raises(ConfigError, match="from before the towers meet"):
            ModelConfig(**{**RELEVANCE, "read": "softmax", **changes})


def test_days_of_a_pool_are_checked():
    for days in (-1, 1.5, "2", True):
        with pytest.raises(ConfigError, match=r"days is .*; it must be a whole number in \[0, inf\) or None"):
            load("tiny-reads").pool((), days=days)
