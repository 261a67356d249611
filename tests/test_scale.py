"""Mining at scale: the same numbers as comparing everything in float64, in little memory, in parts, and by an index."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from entmax import sparsemax
from torch.nn import functional as F

from mgips import load
from mgips.cli import main
from mgips.config import preset
from mgips.data.batch import TweetDataset
from mgips.data.load import load_corpus
from mgips.errors import ConfigError, DataError
from mgips.mining import MinedFolder, approximate, best, exact, mine_dataset, mine_into, mine_split, streamed
from mgips.mining.approximate import mine_approximately
from mgips.mining.exact import ROWS, error_bound, parse_memory
from mgips.model.reading import SHORTLIST, Pool, Reader, empty

NAMES = ("index", "score", "own_rank", "own_score")
SCALE = Path(__file__).parent / "benchmarks/mining_scale.json"


def same(a, b) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in NAMES)


def everything(texts, images, k, candidates=None, csls=0, bias=None):
    """The oracle: every cosine in float64, rounded to float32 once, and whole rows sorted."""
    scores = (F.normalize(texts.double(), dim=-1) @ F.normalize(images.double(), dim=-1).T).float()
    allowed = torch.ones(len(images), dtype=torch.bool) if candidates is None else candidates
    if csls:
        of_texts = scores[:, allowed].topk(min(csls, int(allowed.sum()))).values.double().mean(1)
        of_images = scores.topk(min(csls, len(texts)), dim=0).values.double().mean(0)
        scores = (2 * scores.double() - of_texts[:, None] - of_images).float()
    if bias is not None:
        scores = (scores.double() + bias).float()
    own = scores.diagonal().clone()
    scores[:, ~allowed] = -torch.inf
    index = best(scores, k)
    value, places = scores.gather(1, index), torch.arange(len(images))
    before = (scores > own[:, None]) | ((scores == own[:, None]) & (places < places[:, None]))
    rank = (before & (scores > -torch.inf)).sum(1)
    return streamed.Mined(index.masked_fill(value == -torch.inf, -1), value, rank, own)


def vectors(kind: str, count: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(count)
    texts, images = torch.randn(count, d, generator=g), torch.randn(count, d, generator=g)
    if kind == "one image":
        images[:] = images[0]
    if kind == "repeated":
        images[::3] = images[0].clone()
    if kind == "zeros":
        texts[::2] = images[1::3] = 0
    if kind == "signs":  # thousands of exact ties
        texts, images = texts.sign(), images.sign()
    if kind == "cone":  # all cosines within the error of a float32 product
        texts, images = (x + 1e3 * torch.ones(d) for x in (texts, images))
    if kind == "own":
        images = texts.clone()
    return texts, images


KINDS = ("any", "one image", "repeated", "zeros", "signs", "cone", "own")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count, d, k", [(1, 3, 1), (130, 1, 7), (200, 16, 200), (700, 33, 20)])
def test_bitwise_what_comparing_everything_in_float64_gives(kind, count, d, k, monkeypatch):
    monkeypatch.setattr(exact, "TILE", 256)
    monkeypatch.setattr(exact, "BLOCK", 96)
    texts, images = vectors(kind, count, d)
    assert same(mine_split(texts, images, k), everything(texts, images, k))
    some = torch.arange(count) % 4 != 1
    k = min(k, int(some.sum()))
    assert same(mine_split(texts, images, k, some), everything(texts, images, k, some))


@pytest.mark.parametrize("kind", ["any", "repeated", "cone"])
@pytest.mark.parametrize("csls, biased", [(5, False), (0, True), (5, True)])
def test_bitwise_with_csls_and_a_bias_too(kind, csls, biased):
    texts, images = vectors(kind, 150, 12)
    days = torch.arange(150, dtype=torch.float64) / 9
    apart = (days[:, None] - days).abs()
    bias = (-0.01 * apart - 30 * (apart > 3)).masked_fill(apart > 6, -torch.inf) if biased else None
    given = {"csls": csls, "bias": None if bias is None else lambda rows: bias[rows]}
    some = torch.arange(150) % 5 > 0
    assert same(mine_split(texts, images, 12, some, **given), everything(texts, images, 12, some, csls, bias))


def test_the_error_of_a_float32_product_is_below_its_bound_and_a_narrower_one_is_seen(monkeypatch):
    texts, images = (F.normalize(x.double(), dim=-1) for x in vectors("cone", 400, 384))
    error = (texts.float() @ images.float().T - texts @ images.T).abs().max()
    assert 0 < error < error_bound(384)
    whole = everything(*vectors("cone", 700, 33), 20)
    monkeypatch.setattr(exact, "error_bound", lambda d: -1e-3)
    assert not same(mine_split(*vectors("cone", 700, 33), 20), whole), "the bound decides nothing"


def test_neither_training_in_half_precision_nor_autocast_makes_a_product_coarser():
    texts, images = vectors("cone", 300, 64)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = mine_split(texts, images, 9)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert same(found, everything(texts, images, 9))


def test_other_texts_than_images_say_which_is_their_own():
    texts, images = vectors("any", 300, 8)
    own = torch.arange(300).roll(7)[:40]
    own[3] = -1
    found, whole = mine_split(texts[:40], images, 5, own=own), everything(texts, images, 5)
    assert torch.equal(found.index, whole.index[:40]) and torch.equal(found.score, whole.score[:40])
    cosine = F.cosine_similarity(texts[:40, None].double(), images[None].double(), dim=-1)
    for text in set(range(40)) - {3}:
        assert found.own_score[text] == cosine[text, own[text]].float()
        assert found.own_rank[text] == (cosine[text] > cosine[text, own[text]]).sum()
    assert found.own_rank[3] == -1 and found.own_score[3].isnan()
    for wrong in (own[:-1], own + 300):
        with pytest.raises(ConfigError, match="own must give each of 40 texts a place among 300 images"):
            mine_split(texts[:40], images, 5, own=wrong)
    with pytest.raises(ConfigError, match="cannot be compared"):
        mine_split(texts[:40], images[:, :7], 5, own=own)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_refused_with_its_place(bad):
    texts, images = vectors("any", 20, 4)
    images[13, 2] = bad
    with pytest.raises(DataError, match=r"vector of image 13 is not finite \(1 of 20 are not\)"):
        mine_split(texts, images, 3)
    with pytest.raises(DataError, match="vector of text 13 is not finite"):
        mine_split(images, texts, 3)


def test_memory_is_a_size():
    sizes = ("2GB", "2 gb", "1.5GiB", 77, "512MB", "10kb")
    assert [parse_memory(x) for x in sizes] == [2 * 10**9, 2 * 10**9, 3 * 2**29, 77, 512 * 10**6, 10_000]
    for wrong in ("", "GB", "2 gigs", "-1GB", "0", "nan", "inf", "1e400"):
        with pytest.raises(ConfigError, match="give a size such as 2GB"):
            parse_memory(wrong)


def test_the_memory_decides_the_chunk_and_nothing_else():
    texts, images = vectors("repeated", 500, 8)
    job = streamed.job_of(texts, images, 5)
    each, fixed = exact.bytes_a_text(8, 5), exact.fixed_bytes(job, 500)
    rows = slice(0, 500)
    assert [len(range(*part.indices(500))) for part in streamed.chunks(job, rows, fixed + 200 * each)] == [
        200,
        200,
        100,
    ]
    whole = everything(texts, images, 5)
    for count in (1, 7, 300):
        assert same(mine_split(texts, images, 5, memory=fixed + count * each), whole)
    with pytest.raises(ConfigError, match="memory is 1000, but to compare these vectors takes .*MB at least"):
        mine_split(texts, images, 5, memory=1000)


def test_arrays_on_disk_are_mined_as_they_are(tmp_path):
    texts, images = vectors("repeated", 300, 8)
    np.save(tmp_path / "texts.npy", texts), np.save(tmp_path / "images.npy", images)
    mapped = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("texts", "images"))
    assert same(mine_split(*mapped, 6), mine_split(texts, images, 6))
    halves = (x.half() for x in (texts, images))
    assert same(mine_split(*halves, 6), everything(texts.half().float(), images.half().float(), 6))


@pytest.fixture
def in_parts(monkeypatch):
    """Vectors of 500 posts, which are mined in five parts."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(streamed, "PART", 100)
    return vectors("repeated", 500, 8)


def test_a_folder_holds_the_same_and_is_read_in_parts(in_parts, tmp_path, monkeypatch):
    whole = everything(*in_parts, 5)
    kept = mine_into(tmp_path / "new/mined", *in_parts, 5, csls=0)
    assert same(kept.whole(), whole) and (len(kept), kept.k, len(kept.parts)) == (500, 5, 5)
    again = MinedFolder(tmp_path / "new/mined")
    some = [480, 3, 3, 299, 100]
    assert all(torch.equal(getattr(again[some], name), getattr(whole, name)[some]) for name in NAMES)
    assert torch.equal(again[7].index, whole.index[7:8]) and torch.equal(again[-1].score, whole.score[-1:])
    opened = []
    monkeypatch.setattr("mgips.mining.result._read", lambda file, *rest: opened.append(file))
    _ = again[110:190]
    assert opened == [again.parts[1][1]], "files that hold nothing of what was asked for were read"
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(again.parts[0][1])
    assert frame["index"].tolist()[0].tolist() == whole.index[0].tolist() and list(frame) == list(NAMES)


def test_a_killed_run_goes_on_and_a_damaged_part_is_mined_again(in_parts, tmp_path, monkeypatch):
    whole, mined, real = everything(*in_parts, 5), [], streamed.mine_chunk

    def dies(job, rows, tell):
        if len(mined) == 3:
            raise KeyboardInterrupt
        mined.append(rows)
        return real(job, rows, tell)

    monkeypatch.setattr(streamed, "mine_chunk", dies)
    with pytest.raises(KeyboardInterrupt):
        mine_into(tmp_path, *in_parts, 5)
    with pytest.raises(DataError, match="lacks 200 of 500 texts, the first of them number 300; mine into it again"):
        MinedFolder(tmp_path)
    del mined[:]
    assert same(mine_into(tmp_path, *in_parts, 5).whole(), whole) and mined == [slice(300, 400), slice(400, 500)]
    del mined[:]
    file = MinedFolder(tmp_path).parts[1][1]
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)
    with pytest.raises(DataError, match="is damaged .*; remove it and mine into its folder again"):
        _ = MinedFolder(tmp_path)[150]
    with pytest.warns(UserWarning, match="is damaged, and is mined again"):
        assert same(mine_into(tmp_path, *in_parts, 5, memory="2GB").whole(), whole)
    assert mined == [slice(100, 200)]
    assert same(mine_into(tmp_path, *in_parts, 5).whole(), whole) and len(mined) == 1, "nothing was left to do"


def test_a_folder_is_never_used_for_other_vectors_or_settings(in_parts, tmp_path):
    texts, images = in_parts
    mine_into(tmp_path, texts, images, 5)
    changed = images.clone()
    changed[7, 1] += 1e-6
    some = torch.arange(500) > 3
    others = ((texts, changed, 5, {}), (texts, images, 6, {}), (texts, images, 5, {"csls": 3}))
    others += ((texts, images, 5, {"candidates": some}), (texts, images, 5, {"own": torch.arange(500).roll(1)}))
    others += ((texts, images, 5, {"about": "days"}),)
    for texts, images, k, settings in others:
        with pytest.raises(DataError, match="holds what was mined of other vectors or settings"):
            mine_into(tmp_path, texts, images, k, **settings)
    with pytest.raises(ConfigError, match="say in `about`"):
        mine_into(tmp_path, texts, images, 5, bias=lambda rows: torch.zeros(ROWS, 500))
    (tmp_path / "mining.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read; remove the folder"):
        MinedFolder(tmp_path)
    (tmp_path / "mining.json").unlink()
    with pytest.raises(DataError, match="without its mining.json"):
        mine_into(tmp_path, texts, images, 5)
    with pytest.raises(DataError, match="holds no mining"):
        MinedFolder(tmp_path)


def test_progress_counts_every_pair(in_parts, tmp_path, capsys, monkeypatch):
    told = []
    real = streamed.mine_chunk
    monkeypatch.setattr(streamed, "mine_chunk", lambda job, rows, tell: real(job, rows, told.append))
    mine_into(tmp_path, *in_parts, 5)
    assert sum(told) == 500 * 500


def test_without_its_library_an_extra_is_named(monkeypatch, tmp_path):
    texts, images = vectors("any", 30, 4)
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'mgips\[faiss\]'"):
        mine_approximately(texts, images, 3)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'mgips\[scale\]'"):
        mine_into(tmp_path, texts, images, 3)


@pytest.mark.parametrize("kind", ["any", "repeated"])
def test_a_flat_index_finds_what_exact_mining_finds(kind):
    pytest.importorskip("faiss")
    texts, images = vectors(kind, 400, 16)
    some = torch.arange(400) % 3 > 0
    found, whole = mine_approximately(texts, images, 5, "flat", some), mine_split(texts, images, 5, some)
    assert found.recall == 1 and found.index == "Flat" and torch.equal(found.mined.score, whole.score)
    if kind == "any":
        assert torch.equal(found.mined.index, whole.index) and torch.equal(found.mined.own_score, whole.own_score)
        near = some & (whole.own_rank < 5)
        assert torch.equal(found.mined.own_rank, torch.where(near, whole.own_rank, -1)) and near.any()


@pytest.mark.parametrize("index", ["ivf", pytest.param("ivfpq", marks=pytest.mark.slow)])
def test_the_recall_of_an_index_is_what_plain_counting_gives_and_grows_with_the_cells_searched(index):
    pytest.importorskip("faiss")
    texts, images = vectors("any", 10_000, 8)
    texts, own = texts[:60], torch.arange(60)
    truth, recalls = mine_split(texts, images, 4, own=own), []
    for probes in (1, 10_000):
        found = mine_approximately(texts, images, 4, index, own=own, probes=probes, sample=60)
        pairs = zip(found.mined.index.tolist(), truth.index.tolist(), strict=True)
        assert found.recall == pytest.approx(sum(len(set(a) & set(b)) for a, b in pairs) / 240) and found.sampled == 60
        recalls.append(found.recall)
    assert recalls[0] < recalls[1] and recalls[1] > 0.8
    if index == "ivf":
        assert recalls[1] == 1 and torch.equal(found.mined.index, truth.index)


def test_what_no_index_can_be():
    pytest.importorskip("faiss")
    texts, images = vectors("any", 300, 8)
    with pytest.raises(ConfigError, match="index is 'hnsw'; choose exact, flat, ivf or ivfpq"):
        mine_approximately(texts, images, 3, "hnsw")
    with pytest.raises(ConfigError, match="learned from 9984 images, and there are 300; use exact"):
        mine_approximately(texts, images, 3, "ivfpq")
    assert approximate.description("ivfpq", 10**6, 384) == "IVF1000,PQ96"


@pytest.mark.parametrize("spread", [0.0, 0.001, 1.0])
def test_reading_from_a_shortlist_gives_the_weights_of_the_whole_pool(spread):
    """Also where the pictures that have weight are more than the shortlist."""
    reader = Reader(8, preset("tiny", "reads")[0]).eval()
    assert reader.config.read == "sparsemax"
    scores = spread * torch.randn(3, 20 * SHORTLIST, generator=torch.Generator().manual_seed(0))
    scores[:, 5 * SHORTLIST] = scores.max() + 0.01 * spread
    with torch.no_grad():
        weights = reader.weigh(scores, torch.ones(3, 20 * SHORTLIST - 1, dtype=torch.bool))
    read = (weights > 0).sum(1).float().mean()
    assert read < SHORTLIST if spread == 1 else read > 3 * SHORTLIST
    torch.testing.assert_close(weights, sparsemax(scores, dim=-1), atol=1e-7, rtol=0)


def test_ids_that_a_file_has_no_room_for_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mgips.model.reading.HEADER", 50)
    pool = empty(4, torch.device("cpu"))
    pool.save(tmp_path / "small")
    nine = torch.zeros(9, 4)
    many = Pool(nine, nine, nine[:, 0].double(), nine[:, 0].bool(), tuple(f"post {i}" for i in range(9)))
    with pytest.raises(ConfigError, match="The ids of 9 posts take .* save parts of the pool"):
        many.save(tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_the_page_repeats_what_was_measured():
    told = json.loads(SCALE.read_text())
    page = (Path(__file__).parent.parent / ".github/SCALE.md").read_text(encoding="utf-8")
    sizes, exact_, ivf = told["sizes"], told["exact"], told["ivf"]
    pairs = sizes["texts"] * sizes["images"]
    rate = pairs / exact_["seconds"] / 1e6
    rows = [
        f"{sizes['texts']:,} texts, {sizes['images']:,} images, d = {sizes['d']}, K = {sizes['k']}",
        f"| one float32 product | {told['product_seconds']:.0f} s |",
        f"| exact mining | {exact_['seconds']:.0f} s, {exact_['over_product']:.2f} times the product | 100 % |",
        f"| `{ivf['index']}` | {ivf['seconds']:.0f} s | {100 * ivf['recall']:.1f} % |",
        f"{100 * ivf['recall_sampled']:.1f} % over {ivf['sampled']} texts",
        f"{exact_['extra_megabytes']} MB",
        f"{rate:.0f} million pairs a second",
        # 10^9 images: d is 128 in the measurement, and a pair costs in proportion to d
        f"{1e9 * 1e9 / (rate * 1e6) / 86400 / 365:,.0f} years",
        f"{1e6 * 1e9 / (rate * 1e6) / 86400:,.0f} days",
        f"{1e9 * sizes['d'] * 4 / 1e9:,.0f} GB",
    ]
    for row in rows:
        assert row in page, row


@pytest.mark.parametrize("index", ["exact", "flat"])
def test_the_command_mines_what_the_package_mines(tmp_path, monkeypatch, capsys, index):
    if index != "exact":
        pytest.importorskip("faiss")
    monkeypatch.chdir(tmp_path)
    corpus = "tinytweets:train=4,dev=4,test=60"
    command = ["mine", "tiny-full", "--corpus", corpus, "--k", "3", "--memory", "10MB", "--index", index, "--out", "m"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "3 pictures for each of 60 texts are in m." in told
    model = load("tiny-full")
    data = TweetDataset(load_corpus(corpus).test, model.batcher, progress=False)
    expected, found = mine_dataset(model, data, 3, progress=False), MinedFolder("m").whole()
    assert torch.equal(found.score, expected.score) and torch.equal(found.index, expected.index)
    if index == "exact":
        assert main(command) == 0  # it is all there
    else:
        assert "Recall at 3: 100.0 %" in told
        assert main(command) == 2 and "holds a mining already" in capsys.readouterr().err
