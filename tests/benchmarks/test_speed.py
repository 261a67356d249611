"""Speed and waste, each as a ratio of two things measured in one run, beside its goal (`make bench`).

Timings are process-CPU seconds on one thread, the two sides taken in turn, the fastest round of each:
a ratio survives a busy machine and a slow one. Nothing here fails for being slow; it is a measurement.
"""

import dataclasses
import gc
import os
import time
from collections.abc import Callable, Iterator

import pytest
import torch
import torchcrf
from builders import HostReads, loss_of
from torch.utils._python_dispatch import TorchDispatchMode

from mgips.config import RANDOM, TrainConfig, preset
from mgips.data.batch import TweetDataset, evaluation_batches, training_batches
from mgips.data.load import load_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import DataError
from mgips.mining import mine_split
from mgips.mining.exact import BLOCK, TILE
from mgips.model.crf import CRF
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import load_image_encoder, load_text_encoder
from mgips.model.reading import Pool, Reader
from mgips.training import Trainer, parameter_groups

LINES: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_a_table(pytestconfig) -> Iterator[None]:
    """Measure on one thread; print all ratios together at the end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n\n" + "\n".join(LINES))


def tell(benchmark, what: str, value: float, goal: float, at_most: bool = True) -> None:
    """Record one measured number beside its goal."""
    met = value <= goal if at_most else value >= goal
    LINES.append(f"{what:<58}{value:8.3f}   goal {'≤' if at_most else '≥'} {goal:<5g} {'met' if met else 'NOT MET'}")
    benchmark.extra_info.update({"value": value, "goal": goal, "met": met})


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The fastest of `rounds` of each, taken in turn, after one of each to warm up."""
    ours(), theirs()
    gc.collect()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def base_model(tweets) -> MGIPS:
    """The paper's sizes from a random start."""
    config = dataclasses.replace(preset("base")[0], text_encoder=RANDOM, image_encoder=RANDOM)
    return MGIPS.build(config, tweets, seed=0).train()


def test_full_model_against_its_two_encoders(benchmark):
    """A step of the whole model over a step of bare BERT and bare CLIP on the same inputs."""
    tweets = tinytweets(sizes=(64, 1, 1)).train
    model = base_model(tweets)
    batch = model.batcher(tweets[: int(os.environ.get("MGIPS_BENCH_BATCH", 32))])
    # Both sides read 40 pieces, as in the paper.
    wide = 40 - batch.pieces.shape[1]
    batch = dataclasses.replace(
        batch,
        pieces=torch.nn.functional.pad(batch.pieces, (0, wide)),
        piece_mask=torch.nn.functional.pad(batch.piece_mask, (0, wide), value=True),
    )
    bert = load_text_encoder(model.config, len(model.batcher.tokenizer)).train()
    clip = load_image_encoder(model.config, bert.config).train()

    def whole():
        loss_of(model, batch).total.backward()
        model.zero_grad()

    def bare():
        text = bert(input_ids=batch.pieces, attention_mask=batch.piece_mask.long()).last_hidden_state
        image = clip.encoder(inputs_embeds=model.image_embedding(batch.crops)).last_hidden_state
        (text.sum() + image.sum()).backward()
        for module in (bert, clip, model.image_embedding):
            module.zero_grad()

    ours, theirs = benchmark.pedantic(lambda: in_turn(whole, bare, 4), rounds=1)
    tell(benchmark, "full model step ÷ (BERT + CLIP alone)", ours / theirs, 1.10)


@pytest.mark.parametrize("length", [40, 128])
def test_crf(benchmark, length):
    """Loss (forward and backward) and decoding, over pytorch-crf's."""
    torch.manual_seed(0)
    ours, theirs = CRF(9, batch_first=True), torchcrf.CRF(9, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    scores = torch.randn(32, length, 9, requires_grad=True)
    tags = torch.randint(9, (32, length))
    mask = torch.arange(length) < torch.randint(length // 2, length + 1, (32, 1))
    mask[0] = True

    def loss(crf):
        return lambda: crf(scores, tags, mask, reduction="mean").backward()

    def decode(crf):
        return lambda: crf.decode(scores.detach(), mask)

    assert decode(ours)() == decode(theirs)()
    (a, b), (c, d) = benchmark.pedantic(
        lambda: (in_turn(loss(ours), loss(theirs), 40), in_turn(decode(ours), decode(theirs), 40)), rounds=1
    )
    tell(benchmark, f"CRF loss ÷ pytorch-crf, T = {length}", a / b, 0.65)
    tell(benchmark, f"CRF decoding ÷ pytorch-crf, T = {length}", c / d, 0.40)


class Products(TorchDispatchMode):
    """Notes every matrix product that is computed, with the layout of its arguments, to compute them again by themselves."""

    KINDS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default)

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable, list[torch.Tensor]]] = []
        self.like: dict[tuple, torch.Tensor] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in self.KINDS:
            self.calls.append((func, [self.stand_in(x) for x in args]))
        return func(*args, **(kwargs or {}))

    def stand_in(self, x: torch.Tensor) -> torch.Tensor:
        layout = x.shape, x.stride(), x.dtype
        if layout not in self.like:
            self.like[layout] = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).normal_()
        return self.like[layout]

    def again(self) -> None:
        for func, args in self.calls:
            func(*args)


def tiny_epoch(length_window: int = 1) -> tuple[Callable[[], object], Products]:
    """An epoch of 30 steps of the tiny model, to be called over and over, and the products of one."""
    corpus = tinytweets(sizes=(960, 1, 1))
    model, config = preset("tiny", epochs=100, length_window=length_window)
    trainer = Trainer(corpus, model, config, progress=False)

    def epoch() -> None:
        for _ in range(trainer.steps_per_epoch):
            trainer.step()

    with Products() as products:
        epoch()
    return epoch, products


def test_tiny_epoch_against_its_products(benchmark):
    """A training epoch of the tiny model over its matrix products alone; and over an epoch of windows sorted by length."""
    epoch, products = tiny_epoch()
    ours, alone = benchmark.pedantic(lambda: in_turn(epoch, products.again, 2), rounds=1)
    tell(benchmark, "tiny epoch ÷ its matrix products alone", ours / alone, 4)
    windowed, plain = in_turn(tiny_epoch(length_window=8)[0], epoch, 2)
    tell(benchmark, "tiny epoch, length_window 8 ÷ 1", windowed / plain, 0.9)


def test_host_syncs(benchmark):
    """Operations that wait for the device in a training step; reads of results in decoding a batch."""
    tweets = tinytweets(sizes=(64, 1, 1)).train
    model = MGIPS.build(preset("tiny")[0], tweets, seed=0).train()
    batch = model.batcher(tweets[:32])
    parameter_groups(model, TrainConfig())

    def step():
        with HostReads() as syncs:
            loss_of(model, batch).total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        return syncs.count

    tell(benchmark, "host syncs in a training step", benchmark.pedantic(step, rounds=1), 0)

    reads: list[int] = []
    original = torch.Tensor.tolist
    with pytest.MonkeyPatch.context() as patch, torch.no_grad(), HostReads() as syncs:
        patch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(1) or original(tensor))
        model.crf.decode(model.eval()(batch).emissions, batch.word_mask)
    tell(benchmark, "host syncs in decoding a batch", len(reads) + syncs.count, 1)


def test_loader_against_step(benchmark):
    """How many batches the loader makes while the model takes one step (crops cached as uint8)."""
    tweets = tinytweets(sizes=(256, 1, 1)).train
    model = MGIPS.build(preset("tiny")[0], tweets, seed=0).train()
    data = TweetDataset(tweets, model.batcher, progress=False)
    batches = training_batches(tweets, 32, 0, 0)
    turn = iter(batches * 1000)

    def step():
        loss_of(model, data[batches[0]]).total.backward()
        model.zero_grad()

    load, whole = benchmark.pedantic(lambda: in_turn(lambda: data[next(turn)], step, 30), rounds=1)
    tell(benchmark, "loader rate ÷ step rate, tiny model, 32-pixel crops", (whole - load) / load, 2, at_most=False)


@pytest.mark.parametrize("name", ["tinytweets", "twitter2015", "twitter2017"])
def test_useful_positions(benchmark, name):
    """Word pieces over padded positions, in training batches and in evaluation batches."""
    root = os.environ.get("MGIPS_DATA", "../shared/data")
    try:
        corpus = load_corpus(name, None if name == "tinytweets" else root)
    except DataError:
        pytest.skip(f"{name} is not under {root} (set MGIPS_DATA)")
    config = dataclasses.replace(preset("tiny", "text")[0], max_length=64)
    model = MGIPS.build(config, corpus.train, seed=0)

    def share(data, batches):
        lengths = data.lengths
        return sum(lengths) / sum(len(b) * max(lengths[i] for i in b) for b in batches)

    def all_three():
        train, test = (TweetDataset(t, model.batcher) for t in (corpus.train, corpus.test))
        return (
            *(share(train, training_batches(corpus.train, 32, 0, 0, lengths=train.lengths, window=w)) for w in (1, 8)),
            share(test, list(evaluation_batches(test.lengths, 32))),
        )

    training, windowed, evaluation = benchmark.pedantic(all_three, rounds=1)
    tell(benchmark, f"useful ÷ padded text positions, training, {name}", training, 0.55, at_most=False)
    tell(benchmark, f"the same with length_window 8, {name}", windowed, 0.55, at_most=False)
    tell(benchmark, f"useful ÷ padded text positions, evaluation, {name}", evaluation, 0.90, at_most=False)


@pytest.mark.parametrize("size", ["tiny", "base"])
def test_reading_against_its_twin_without(benchmark, size):
    """A step and a prediction of a model that reads over those of its twin that does not (variant own), and over those
    of the paper's model; the pool is the batch in training, and holds 300 pictures when predicting."""
    tweets = tinytweets(sizes=(332, 1, 1)).train
    encoders = {} if size == "tiny" else {"text_encoder": RANDOM, "image_encoder": RANDOM}
    models = {
        name: MGIPS.build(dataclasses.replace(preset(size, name)[0], **encoders), tweets, seed=0).train()
        for name in ("reads", "own", "full")
    }
    batch = models["reads"].batcher(tweets[:32] if size == "tiny" else tweets[:8])
    pool = models["reads"].pool(tweets[32:] if size == "tiny" else tweets[32:64])

    def step(name: str) -> None:
        loss_of(models[name], batch).total.backward()

    def predict(name: str) -> None:
        with models[name].evaluating() as model:
            model.decode(model(batch, pool=pool if name == "reads" else None), batch)

    rounds = 7 if size == "tiny" else 3
    for what, run in (("step", step), ("prediction", predict)):
        for twin, goal in (("own", 1.15), ("full", 2.2)):
            ours, theirs = in_turn(lambda run=run: run("reads"), lambda run=run, twin=twin: run(twin), rounds)
            tell(benchmark, f"{what} of reads over {twin}, {size} size", ours / theirs, goal)
    benchmark.pedantic(lambda: predict("reads"), rounds=1)


def test_mining_against_one_product(benchmark):
    """Mining 20,000 texts among 20,000 images, exactly, over one float32 product of the same vectors; and the memory."""
    texts, images = torch.randn(20_000, 256), torch.randn(20_000, 256)
    buffer = torch.empty(BLOCK, TILE)

    def product():
        for left in range(0, len(images), TILE):
            tile = images[left : left + TILE]
            for start in range(0, len(texts), BLOCK):
                some = texts[start : start + BLOCK]
                torch.mm(some, tile.T, out=buffer.view(-1)[: len(some) * len(tile)].view(len(some), len(tile)))

    ours, theirs = benchmark.pedantic(lambda: in_turn(lambda: mine_split(texts, images, 20), product, 3), rounds=1)
    tell(benchmark, "mining 20k × 20k, d = 256, over one float32 product", ours / theirs, 1.5)


def test_memory_of_a_large_pool(benchmark):
    """Bytes of a pool of 100,000 pictures, in GB, and seconds to look 32 texts up in it, at the paper's width."""
    d, count = 768, 100_000
    keys = torch.nn.functional.normalize(torch.randn(count, d), dim=-1)
    ids = tuple(map(str, range(count)))
    pool = Pool(keys, torch.randn(count, d), torch.zeros(count).double(), torch.ones(count).bool(), ids)
    size = sum(x.numel() * x.element_size() for x in vars(pool).values() if isinstance(x, torch.Tensor)) / 1e9
    tell(benchmark, "GB of a pool of 100,000 pictures, d = 768", size, 0.7)
    reader = Reader(d, preset("base", "reads")[0]).eval()
    batch = MGIPS.build(preset("tiny")[0], tweets := tinytweets(sizes=(32, 1, 1)).train, seed=0).batcher(tweets)
    queries = torch.nn.functional.normalize(torch.randn(32, d), dim=-1)
    with torch.no_grad():
        look = lambda: reader.weigh(*reader.score(queries, batch, pool, 0.1))  # noqa: E731
        tell(benchmark, "seconds to look 32 texts up in it", min(seconds(look) for _ in range(3)), 2)
        benchmark.pedantic(look, rounds=1)
