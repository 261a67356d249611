"""Corpora larger than memory: posts read one at a time, encoded in parts, mined, predicted and looked at."""

import gc
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import encoded as as_file
from builders import picture, tiny_model, tweets
from test_training import dated_corpus, reading_config

from mgips import Tagger, load
from mgips.cli import main
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.hub import datasets_library
from mgips.data.jsonlines import read_jsonl, write_jsonl
from mgips.data.streaming import PostStream, stream_posts
from mgips.errors import ConfigError, DataError, RunError
from mgips.files import hold, let_go
from mgips.lab.widgets import inspect_pairs
from mgips.mining import (
    EncodedFolder,
    MinedFolder,
    by_time,
    contrast_vectors,
    encode,
    encode_into,
    mine_dataset,
    mine_into,
    mine_split,
    result,
)
from mgips.model.mgips import MGIPS

NAMES = ("index", "score", "own_rank", "own_score")


@pytest.fixture(scope="module")
def model() -> MGIPS:
    return tiny_model()


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 10 posts, encoded in blocks of 4 with `batch_size=2`."""
    monkeypatch.setattr(encode, "PART", 10)
    monkeypatch.setattr(encode, "BATCHES", 2)


@pytest.fixture
def lines(tmp_path) -> Path:
    """A file of 35 posts with their pictures beside it, a quarter of them without."""
    folder = tmp_path / "posts"
    write_jsonl(tweets(35), folder / "posts.jsonl")
    return folder / "posts.jsonl"


def bare(post: Tweet) -> tuple:
    """What a stream gives of a post."""
    pixels = post.image.read_bytes() if isinstance(post.image, Path) else post.image
    return post.id, post.words, post.text, post.tags, pixels


def same(one, other) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in NAMES)


# ---- reading ----


def test_lines_are_read_as_the_whole_file_is_but_for_the_tags(lines):
    text = lines.read_text().splitlines()
    text[2:2] = ["", '{"text": "Ada in #London", "spans": [[0, 3, "PER"]], "ner": 5, "time": "2026-05-13"}']
    lines.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(text).encode())
    whole = read_jsonl(lines)
    stream = stream_posts(lines)
    for _ in ("once", "and again"):
        streamed = [*stream]
        assert [bare(post)[:3] for post in streamed] == [bare(post)[:3] for post in whole]
        assert [post.image for post in streamed] == [post.image for post in whole] and streamed[2].time == whole[2].time
        assert not any(post.tags for post in streamed) and whole[2].tags


def test_only_the_lines_asked_for_are_read(lines):
    lines.write_text(lines.read_text() + "{not JSON}\n")
    rest = iter(stream_posts(lines))
    assert [next(rest).id for _ in range(35)] == [post.id for post in tweets(35)]
    with pytest.raises(DataError, match=r"posts.jsonl:36: this is not JSON; write one object a line"):
        next(rest)


@pytest.mark.parametrize(
    "line, reason",
    [
        (b"[1]", "this is not an object"),
        (b'{"image": null}', 'a post needs either "text" or "words"'),
        (b'{"text": "\xff"}', "this is not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, reason):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a"}\n\n' + line)
    with pytest.raises(DataError, match=f"x.jsonl:3: {reason}"):
        [*stream_posts(tmp_path / "x.jsonl")]


@pytest.fixture
def table(lines):
    """The posts of `lines` as a `Dataset`, with their pictures inside and tags as numbers."""
    datasets = datasets_library()
    names = sorted({tag for post in tweets(35) for tag in post.tags})
    rows = [
        {
            "id": post.id,
            "tokens": [*post.words],
            "ner_tags": [names.index(tag) for tag in post.tags],
            "image": {"bytes": post.image.read_bytes(), "path": None} if isinstance(post.image, Path) else None,
        }
        for post in read_jsonl(lines)
    ]
    features = {
        "id": datasets.Value("string"),
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=names)),
        "image": datasets.Image(),
    }
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


@pytest.mark.parametrize("kind", ["Dataset", "IterableDataset", "DatasetDict", "on disk", "file", "folder", "shards"])
def test_what_datasets_holds_is_read_as_the_lines_are(lines, table, tmp_path, kind):
    expected = [bare(post) for post in stream_posts(lines)]
    datasets, split = datasets_library(), "train"
    if kind == "Dataset":
        source = table
    elif kind == "IterableDataset":
        source = table.to_iterable_dataset(num_shards=3)
    elif kind == "DatasetDict":
        source, split = datasets.DatasetDict(validation=table, test=table.select([1])), "dev"
    elif kind == "on disk":
        source = tmp_path / "saved"
        datasets.DatasetDict(test=table).save_to_disk(source)
        split = "test"
    elif kind == "shards":
        source = tmp_path / "shards"
        source.mkdir()
        for number in range(2):
            table.shard(2, number).to_parquet(source / f"train-{number:05}-of-00002.parquet")
    else:
        source = tmp_path / "parquet" / "test.parquet"
        source.parent.mkdir()
        table.to_parquet(source)
        source, split = (source, "train") if kind == "file" else (source.parent, "test")
    stream = stream_posts(source, split)
    assert [bare(post) for post in stream] == [bare(post) for post in stream] == expected


def test_what_datasets_filters_and_shuffles_is_read_in_that_order(table):
    stream = table.to_iterable_dataset().filter(lambda row: len(row["tokens"]) > 4).shuffle(seed=1, buffer_size=9)
    read = [post.id for post in stream_posts(stream)]
    assert sorted(read) == sorted(post.id for post in tweets(35) if len(post.words) > 4) and read != sorted(read)


def test_what_cannot_be_streamed_is_one_sentence(tmp_path, table):
    (tmp_path / "x.csv").write_text("text\na\n")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    for source, kind, reason in (
        (tmp_path / "no.jsonl", DataError, "There is no file or folder"),
        (tmp_path / "x.csv", ConfigError, "x.csv cannot be read post by post; write JSON Lines"),
        (tmp_path / "x.parquet", DataError, "x.parquet cannot be (opened|read)"),
        (5, ConfigError, "int cannot be read post by post"),
        ({"train": table}, ConfigError, "The data set has no split 'test'; its splits are train"),
    ):
        with pytest.raises(kind, match=reason):
            [*stream_posts(source, "test" if isinstance(source, dict) else "train")]
    (tmp_path / "x.parquet").unlink()
    with pytest.raises(ConfigError, match=r"has no test.jsonl or test.parquet"):
        stream_posts(tmp_path, "test")


# ---- encoding ----


@pytest.mark.usefixtures("small_parts")
def test_a_stream_is_encoded_and_mined_as_a_split_in_memory_is(model, lines, tmp_path):
    kept = encode_into(tmp_path / "e", model, stream_posts(lines), batch_size=2)
    posts = read_jsonl(lines)
    data = TweetDataset(posts, model.batcher, progress=False)
    texts, images = contrast_vectors(model, data, progress=False)
    assert kept.texts.dtype == np.float32 and kept.texts.shape == kept.images.shape == (35, texts.shape[1])
    assert np.allclose(kept.texts, texts, atol=1e-5) and np.allclose(kept.images, images, atol=1e-5)
    assert torch.equal(kept.has_image, data.has_image) and len(kept._parts) == 4 and len(kept) == 35
    assert kept.ids(slice(8, 12)) == [post.id for post in posts[8:12]] and kept.ids([-1, 0]) == [
        posts[34].id,
        posts[0].id,
    ]
    assert np.array_equal(np.load(tmp_path / "e" / "texts.npy"), kept.texts)
    mined = mine_into(tmp_path / "m", kept.texts, kept.images, 5, kept.has_image).whole()
    assert same(mined, mine_split(np.array(kept.texts), np.array(kept.images), 5, kept.has_image))
    whole = mine_dataset(model, data, 5, progress=False)
    assert torch.allclose(mined.score, whole.score, atol=1e-5)


def test_one_block_gives_the_very_bits_of_a_split_in_memory(model, tmp_path):
    posts = tweets(30)
    kept = encode_into(tmp_path, model, posts)
    texts, images = contrast_vectors(model, TweetDataset(posts, model.batcher, progress=False), progress=False)
    assert np.array_equal(kept.texts, texts) and np.array_equal(kept.images, images)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("after", range(6))
def test_a_call_that_stops_goes_on_at_the_last_finished_part(model, tmp_path, monkeypatch, after):
    posts = tweets(35)
    whole = encode_into(tmp_path / "whole", model, posts, batch_size=2)
    real, calls, encoded_posts = encode.contrast_vectors, [], []

    def stopping(model, data, *rest, **more):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(model, data, *rest, **more)

    def counting(model, data, *rest, **more):
        encoded_posts.extend(data.tweets)
        return real(model, data, *rest, **more)

    monkeypatch.setattr(encode, "contrast_vectors", stopping)
    with pytest.raises(KeyboardInterrupt):
        encode_into(tmp_path / "e", model, posts, batch_size=2)
    with pytest.raises(DataError, match="does not hold all vectors of its posts; encode into it again"):
        EncodedFolder(tmp_path / "e")
    monkeypatch.setattr(encode, "contrast_vectors", counting)
    again = encode_into(tmp_path / "e", model, posts, batch_size=2)
    assert len(encoded_posts) == 35 - 10 * (after // 3)  # a part is three blocks: 4, 4 and 2 posts
    assert {file.name: file.read_bytes() for file in (tmp_path / "e").iterdir()} == {
        file.name: file.read_bytes() for file in whole.folder.iterdir()
    }
    encoded_posts.clear()
    encode_into(tmp_path / "e", model, posts, batch_size=2)
    assert not encoded_posts and np.array_equal(again.texts, whole.texts)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("damage", ["part", "vectors", "lost part", "lost vectors", "cut vectors"])
def test_damage_is_encoded_again_and_nothing_else(model, tmp_path, monkeypatch, damage):
    posts = tweets(35)
    kept = encode_into(tmp_path, model, posts, batch_size=2)
    whole, part = {file.name: file.read_bytes() for file in tmp_path.iterdir()}, kept._parts[1][1]
    again = 10
    if damage == "part":
        part.write_bytes(whole[part.name][:-1] + b"x")
    elif damage == "lost part":
        part.unlink()
    elif damage == "lost vectors":
        (tmp_path / "images.npy").unlink()
        again = 35
    else:
        flipped, place = bytearray(whole["images.npy"]), -1 if damage == "cut vectors" else 128 + 15 * 32 * 4
        flipped[place] ^= 1
        (tmp_path / "images.npy").write_bytes(flipped[:-1] if damage == "cut vectors" else flipped)
        again = 5 if damage == "cut vectors" else 10
    encoded_posts, real = [], encode.contrast_vectors
    monkeypatch.setattr(
        encode, "contrast_vectors", lambda m, d, *a, **k: encoded_posts.extend(d.tweets) or real(m, d, *a, **k)
    )
    if damage == "lost part":
        encode_into(tmp_path, model, posts, batch_size=2)
    else:
        with pytest.warns(UserWarning, match="damaged; they are encoded again"):
            encode_into(tmp_path, model, posts, batch_size=2)
    assert len(encoded_posts) == again
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == whole


@pytest.mark.usefixtures("small_parts")
def test_a_folder_is_never_used_for_another_model_or_other_posts(model, tmp_path):
    posts = tweets(25)
    encode_into(tmp_path, model, posts)
    with pytest.raises(DataError, match="holds vectors of another model"):
        encode_into(tmp_path, tiny_model(1), posts)
    for others in (posts[:24], posts[:9], (), (*posts[:12], posts[13], *posts[13:])):
        with pytest.raises(DataError, match="holds vectors of other posts"):
            encode_into(tmp_path, model, others)
    more = encode_into(tmp_path, model, (*posts, *tweets(7, 3)))
    assert len(more) == 32 and more.ids([31]) == ["3-6"]  # posts that come later are added
    (tmp_path / "encoding.json").write_text("{")
    with pytest.raises(DataError, match="encoding.json cannot be read"):
        encode_into(tmp_path, model, posts)
    (tmp_path / "encoding.json").unlink()
    with pytest.raises(DataError, match="encoding.json cannot be read"):
        encode_into(tmp_path, model, posts)


def test_no_posts_a_missing_picture_and_a_model_that_mines_nothing(model, tmp_path):
    none = encode_into(tmp_path / "none", model, iter(()))
    assert len(none) == 0 and none.texts.shape == (0, 32) and none.ids(slice(None)) == []
    lost = [Tweet("a", ("x",), image=tmp_path / "no.png"), Tweet("b", ("y",), image=picture(1))]
    with pytest.warns(UserWarning, match=r"1 pictures could not be read.*no.png is not there") as caught:
        assert encode_into(tmp_path / "lost", model, lost).has_image.tolist() == [False, True]
    assert caught[0].filename == __file__
    with pytest.raises(ConfigError, match="mines nothing|contrastive"):
        encode_into(tmp_path / "text", tiny_model(images=False), lost)
    assert not (tmp_path / "text").exists()
    with pytest.raises(DataError, match="does not hold all vectors"):
        EncodedFolder(tmp_path / "nowhere")


def test_only_one_call_at_a_time_writes_into_a_folder(model, tmp_path):
    lock = hold(tmp_path)
    with pytest.raises(RunError, match=f"is being written to by process {os.getpid()}"):
        encode_into(tmp_path, model, tweets(3))
    let_go(lock)
    encode_into(tmp_path, model, tweets(3))
    assert not {".lock", ".holder"} & {file.name for file in tmp_path.iterdir()}


def test_times_reach_the_bias_of_a_model_that_reads(tmp_path):
    posts = dated_corpus().train
    reader = MGIPS.build(reading_config(), posts, seed=0).eval()
    data = TweetDataset(posts, reader.batcher, progress=False)
    kept = encode_into(tmp_path, reader, posts)
    one, other = by_time(reader, kept.times), by_time(reader, data)
    assert one is not None and other is not None and torch.equal(one(slice(0, 5)), other(slice(0, 5)))
    assert one(slice(0, 5)).unique().numel() > 1


# ---- memory ----


def many(count: int, size: int = 20_000) -> PostStream:
    """Posts with a picture of `size` bytes and a word of its own each, made when they are asked for."""
    image = as_file(picture(1, 16), "PNG")

    def read():
        for number in range(count):
            filler = np.random.RandomState(number).bytes(size)
            yield Tweet(f"{number}", ("Ada", "in", f"word{number}"), image=image + filler)

    return PostStream("many", read)


def peak(work) -> float:
    """MB that Python's objects and arrays take at most while `work` is done."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", ["encoding", "predicting"])
def test_memory_does_not_grow_with_the_corpus(model, tmp_path, monkeypatch, what):
    monkeypatch.setattr(encode, "PART", 128)
    monkeypatch.setenv("MGIPS_CACHE", str(tmp_path / "cache"))

    def work(count: int):
        if what == "encoding":
            encode_into(tmp_path / str(count), model, many(count), batch_size=8)
        else:
            assert sum(1 for _ in Tagger(model, batch_size=8).stream(many(count))) == count

    work(16)  # what is loaded once
    words = len(model.batcher._pieces)
    small, large = peak(lambda: work(100)), peak(lambda: work(400))
    assert large < small + 1.5, f"{small:.1f} MB for 100 posts, {large:.1f} MB for 400"
    assert 64 * 0.02 < large < 6, "posts of 20 KB take nothing, or all 8 MB of them are held"
    assert len(model.batcher._pieces) == words, "each word that was met is remembered"
    assert not (tmp_path / "cache").exists(), "pictures that are looked at once are kept"


# ---- the commands, and the inspector ----


def test_the_command_mines_a_stream_as_the_package_does(lines, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines.rename(lines.with_name("test.jsonl"))
    command = ["mine", "tiny-full", "--corpus", str(lines.parent), "--stream", "--k", "3", "--out", "m"]
    assert main(command) == 0 and "3 pictures for each of 35 texts are in m." in capsys.readouterr().out
    model = load("tiny-full")
    data = TweetDataset(read_jsonl(lines.with_name("test.jsonl")), model.batcher, progress=False)
    whole, kept = mine_dataset(model, data, 3, progress=False), MinedFolder("m").whole()
    assert torch.equal(kept.index, whole.index) and torch.allclose(kept.score, whole.score, atol=1e-5)
    stamps = {file: file.stat().st_mtime_ns for file in Path("m").rglob("part-*")}
    assert main(command) == 0 and {file: file.stat().st_mtime_ns for file in stamps} == stamps
    assert main(["mine", "tiny-full", "--stream", "--out", "n"]) == 2
    assert "--stream reads a corpus that is named" in capsys.readouterr().err


def test_the_command_predicts_a_stream_as_it_predicts_a_file(lines, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, more in (("one", []), ("other", ["--stream"])):
        assert main(["predict", "tiny-full", str(lines), "--out", f"{name}.jsonl", *more]) == 0
        assert f"35 posts written to {name}.jsonl" in capsys.readouterr().out
    one, other = ([json.loads(line) for line in Path(f"{n}.jsonl").read_text().splitlines()] for n in ("one", "other"))
    assert [row["id"] for row in one] == [row["id"] for row in other] and any(row["spans"] for row in one)
    for a, b in zip(one, other, strict=True):
        assert [s["text"] for s in a["spans"]] == [s["text"] for s in b["spans"]]
    assert main(["predict", "tiny-full", str(lines), "--stream", "--out", "x.txt"]) == 2
    assert main(["predict", "tiny-full", "--text", "Ada", "--stream"]) == 2


@pytest.fixture
def reads(monkeypatch) -> list[tuple[str, int]]:
    """Each row group that is read from a part, while a test runs."""
    pq, log = result.parquet(), []

    class Counting(pq.ParquetFile):
        def __init__(self, source, **more):
            super().__init__(source, **more)
            self.named = Path(source).name

        def read_row_group(self, number, *rest, **more):
            log.append((self.named, number))
            return super().read_row_group(number, *rest, **more)

    monkeypatch.setattr(pq, "ParquetFile", Counting)
    return log


def test_the_pair_inspector_reads_of_a_mined_folder_only_what_is_shown(model, tmp_path, monkeypatch, reads):
    monkeypatch.setattr(result, "ROW_GROUP", 8)
    monkeypatch.setattr("mgips.mining.streamed.PART", 16)
    posts = tweets(40)
    corpus = Corpus("invented", posts, posts, posts)
    data = TweetDataset(posts, model.batcher, progress=False)
    vectors = contrast_vectors(model, data, progress=False)
    folder = mine_into(tmp_path / "m", *vectors, 6)
    anew = inspect_pairs(model, corpus, k=3, k_max=6, progress=False)
    assert not reads
    shown = inspect_pairs(model, corpus, k=3, progress=False, mined=tmp_path / "m")
    parts = [file.name for _, file in folder.parts]
    assert reads == [(parts[0], 0)] and shown.k == 3 and shown.mining.k == 6
    assert shown.mined == anew.mined and shown.predicted == anew.predicted and shown.summary() == []
    for place, read in ((5, None), (9, (parts[0], 1)), (33, (parts[2], 0)), (5, None)):
        reads.clear()
        for inspector in (shown, anew):
            inspector.select(posts[place].id)
        assert reads == [read][: read is not None] or reads == [(parts[0], 0)]  # post 5's, once
        assert shown.mined == anew.mined and shown._row.own_rank == anew._row.own_rank
    shown.k = anew.k = 5  # the folder holds the own picture too
    assert shown.to_frame().equals(anew.to_frame())
    assert inspect_pairs(model, corpus, k=20, progress=False, mined=folder).k == 6
    shown.static(2)
    assert shown.to_html(tmp_path / "page.html").exists() and "mined images" in shown.describe()


def test_a_folder_of_another_split_is_refused(model, tmp_path):
    posts = tweets(12)
    corpus = Corpus("invented", posts, posts, posts[:8])
    vectors = contrast_vectors(model, TweetDataset(posts, model.batcher, progress=False), progress=False)
    mine_into(tmp_path, *vectors, 6)
    with pytest.raises(
        ConfigError, match="was mined for 12 texts, and the test split of invented has 8; name the corpus"
    ):
        inspect_pairs(model, corpus, progress=False, mined=tmp_path)
    with pytest.raises(DataError, match="holds no mining"):
        inspect_pairs(model, corpus, progress=False, mined=tmp_path / "no")


def test_the_notebook_of_the_inspectors_opens_a_mined_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["inspect", "tiny-full", "--corpus", "tinytweets:train=4,dev=4,test=4", "--no-open", "--out", "x.ipynb"]
    assert main([*command, "--mined", "m"]) == 0
    assert f"inspect_pairs(run, corpus, split, mined='{tmp_path}/m')" in Path("x.ipynb").read_text()
    assert main([*command[:-1], "y.ipynb"]) == 0 and "mined=" not in Path("y.ipynb").read_text()
