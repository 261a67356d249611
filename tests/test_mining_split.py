"""Mining over a whole split: exact, chunked, in order, kept beside the run."""

from collections import Counter

import pytest
import scipy.stats
import torch
from builders import best_others_by_loop, contrast_of, tiny_model, tweets
from torch.utils._python_dispatch import TorchDispatchMode

from mgips.data.batch import TweetDataset
from mgips.errors import ConfigError
from mgips.mining import best_of_others, contrast_vectors, hubs, hubs_by_chance, mine_dataset, mine_split
from mgips.mining.exact import BLOCK, GROUP, ROWS, TILE
from mgips.model.contrastive import csls, mine, relevance


def vectors(count: int, d: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, d, generator=g), torch.randn(count, d, generator=g)


@pytest.fixture(scope="module")
def small():
    model = tiny_model()
    return model, TweetDataset(tweets(12), model.batcher, progress=False)


def same(a, b) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("index", "score", "own_rank", "own_score"))


@pytest.mark.parametrize("allowed", [None, 9])
def test_the_same_images_as_a_plain_loop_finds(allowed):
    texts, images = vectors(23)
    candidates = None if allowed is None else torch.arange(23) % 23 < allowed
    found = mine_split(texts, images, 4, candidates)
    scores = relevance(texts, images)
    for text in range(23):
        others = [i for i in range(23) if candidates is None or candidates[i]]
        order = sorted(others, key=lambda i: -float(scores[text, i]))
        assert found.index[text].tolist() == order[:4]
        assert found.score[text].tolist() == pytest.approx([float(scores[text, i]) for i in order[:4]], abs=1e-6)
        assert found.own_score[text] == pytest.approx(float(scores[text, text]), abs=1e-6)
        assert found.own_rank[text] == sum(bool(scores[text, i] > scores[text, text]) for i in others)
    chosen = torch.zeros(23, 23, dtype=torch.bool).scatter(1, found.index, True)
    assert torch.equal(chosen, mine(scores, 4, candidates))


@pytest.fixture(params=[1, 7, ROWS, 300])
def chunk(request, monkeypatch):
    """Texts that are mined together."""
    monkeypatch.setattr("mgips.mining.streamed.PART", request.param)
    return request.param


def test_the_chunk_changes_nothing(chunk, monkeypatch):
    texts, images = vectors(172, seed=1)
    images[50:60] = images[50]  # ties too
    found = mine_split(texts, images, 20)
    monkeypatch.setattr("mgips.mining.streamed.PART", 128)
    assert same(found, mine_split(texts, images, 20))


def test_of_equal_images_the_earlier_comes_first():
    texts, images = vectors(90)
    images[:] = images[0]
    images[70] = texts[3]
    found = mine_split(texts, images, 5)
    assert found.index[3].tolist() == [70, 0, 1, 2, 3]
    assert found.own_rank[3] == 4  # 70, and three equal ones before it
    assert all(found.own_rank[i] in (i, i + 1) for i in range(70))


def test_a_smaller_k_is_a_slice():
    found = mine_split(*vectors(30), 9)
    assert same(found.top(4), mine_split(*vectors(30), 4)) and found.top(4).k == 4
    with pytest.raises(ConfigError, match="k is 10, but 9 images"):
        found.top(10)


def test_a_k_that_cannot_be_filled_is_refused_with_both_numbers():
    texts, images = vectors(6)
    with pytest.raises(ConfigError, match="k is 7, but there are 6 images"):
        mine_split(texts, images, 7)
    with pytest.raises(ConfigError, match="k is 3, but there are 2 images"):
        mine_split(texts, images, 3, torch.tensor([True, True, False, False, False, False]))
    with pytest.raises(ConfigError, match="6 texts and 5 images"):
        mine_split(texts, images[:5], 2)


def csls_by_loop(texts: torch.Tensor, images: torch.Tensor, k: int, allowed: list[int]) -> torch.Tensor:
    """CSLS entry by entry, from float64 cosines: a text's neighbours are allowed images, an image's are all texts."""
    cosine = [[float(t.double() @ i.double() / t.double().norm() / i.double().norm()) for i in images] for t in texts]

    def mean_of_highest(values):
        highest = sorted(values, reverse=True)[:k]
        return sum(highest) / len(highest)

    of_texts = [mean_of_highest([row[j] for j in allowed]) for row in cosine]
    of_images = [mean_of_highest([row[j] for row in cosine]) for j in range(len(images))]
    scores = [[2 * s - of_texts[i] - of_images[j] for j, s in enumerate(row)] for i, row in enumerate(cosine)]
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("neighbours", [1, 4, 50])
@pytest.mark.parametrize("allowed", [None, 9])
def test_csls_is_that_of_plain_loops(neighbours, allowed):
    texts, images = vectors(23)
    candidates = None if allowed is None else torch.arange(23) % 23 < allowed
    places = list(range(allowed or 23))
    expected = csls_by_loop(texts, images, neighbours, places)
    found = mine_split(texts, images, 4, candidates, csls=neighbours)
    for text in range(23):
        order = sorted(places, key=lambda i: -float(expected[text, i]))
        assert found.index[text].tolist() == order[:4]
        assert found.score[text].tolist() == pytest.approx(expected[text, order[:4]].tolist(), abs=1e-6)
        assert found.own_score[text] == pytest.approx(float(expected[text, text]), abs=1e-6)
        assert found.own_rank[text] == sum(bool(expected[text, i] > expected[text, text]) for i in places)
    if allowed is None:
        scores = relevance(texts, images).requires_grad_()
        torch.testing.assert_close(csls(scores, neighbours).double(), expected, atol=1e-6, rtol=0)
        assert not csls(scores, neighbours).requires_grad


def test_csls_of_a_rectangle_and_without_neighbours():
    scores = torch.tensor([[0.9, 0.1, 0.3], [0.8, 0.5, 0.2]])
    expected = [
        [1.8 - 0.6 - 0.85, 0.2 - 0.6 - 0.3, 0.6 - 0.6 - 0.25],
        [1.6 - 0.65 - 0.85, 1 - 0.65 - 0.3, 0.4 - 0.65 - 0.25],
    ]
    torch.testing.assert_close(csls(scores, 2), torch.tensor(expected))
    with pytest.raises(ConfigError, match="neighbours is 0"):
        csls(scores, 0)
    with pytest.raises(ConfigError, match="csls is -1"):
        mine_split(*vectors(6), 2, csls=-1)


def gap_in_time(count: int):
    """A penalty for distance in time, with some pairs excluded, rows of it as `mine_split` asks for them."""
    days = torch.arange(count, dtype=torch.float64) / 7
    bias = -0.01 * (days[:, None] - days).abs()
    return bias.masked_fill((days[:, None] - days).abs() > count / 20, -torch.inf)


@pytest.mark.parametrize("neighbours", [0, 10])
def test_the_chunk_changes_nothing_with_csls_and_bias_either(chunk, neighbours, monkeypatch):
    texts, images = vectors(172, seed=1)
    images[50:60] = images[50]
    candidates, bias = torch.arange(len(texts)) % 5 > 0, gap_in_time(len(texts))
    every = [{"csls": neighbours}, {"csls": neighbours, "bias": lambda rows: bias[rows]}]
    found = [mine_split(texts, images, 20, candidates, **options) for options in every]
    monkeypatch.setattr("mgips.mining.streamed.PART", 128)
    for one, options in zip(found, every, strict=True):
        assert same(one, mine_split(texts, images, 20, candidates, **options))


def test_a_bias_is_added_before_ranking_and_can_exclude():
    texts, images = vectors(40, seed=2)
    bias, asked = gap_in_time(40), []
    bias[3] = -torch.inf  # nothing left
    bias[4, 5:] = bias[4, :2] = -torch.inf  # three left, one of them its own
    bias[9, 9] = -torch.inf  # not its own
    candidates = torch.arange(40) != 2
    found = mine_split(texts, images, 5, candidates, bias=lambda rows: asked.append(rows) or bias[rows])
    assert max(rows.stop - rows.start for rows in asked) <= ROWS
    scores = relevance(texts, images).double() + bias
    for text in range(40):
        there = [i for i in range(40) if candidates[i] and scores[text, i] > -torch.inf]
        order = sorted(there, key=lambda i: -float(scores[text, i]))[:5]
        assert found.index[text].tolist() == order + [-1] * (5 - len(order))
        expected = scores[text, order].tolist() + [-torch.inf] * (5 - len(order))
        assert found.score[text].tolist() == pytest.approx(expected, abs=1e-6)
        assert found.own_score[text] == pytest.approx(float(scores[text, text]), abs=1e-6)
        assert found.own_rank[text] == sum(bool(scores[text, i] > scores[text, text]) for i in there)
    assert found.index[3].tolist() == [-1] * 5 and found.own_rank[3] == 0 and found.index[4, 2:].tolist() == [-1] * 3
    assert hubs(found.index, 40).top_ten <= 1


def test_a_bias_of_nothing_changes_nothing_and_one_comes_on_top_of_csls():
    texts, images = vectors(30, seed=3)
    nothing = mine_split(texts, images, 5, bias=lambda rows: torch.zeros(rows.stop - rows.start, 30).double())
    assert same(nothing, mine_split(texts, images, 5))
    scaled = mine_split(texts, images, 30, csls=4)
    shifted = mine_split(texts, images, 30, csls=4, bias=lambda rows: torch.eye(30)[rows].double() * 9)
    assert (shifted.own_rank == 0).all()
    torch.testing.assert_close(shifted.own_score, scaled.own_score + 9)


def test_csls_takes_places_from_planted_hubs():
    g = torch.Generator().manual_seed(0)
    common = 3 * torch.randn(16, generator=g)  # a narrow cone, as transformers' features are in
    texts, images = (torch.randn(200, 16, generator=g) + common for _ in range(2))
    images[:5] = common  # near to everything
    plain, scaled = (hubs(mine_split(texts, images, 3, csls=n).index, 200) for n in (0, 10))
    assert plain.skewness > 4 and scaled.skewness < plain.skewness / 2
    assert plain.top_ten > 0.25 and scaled.top_ten < 0.6 * plain.top_ten


def test_hubs_are_those_of_plain_counting():
    index = mine_split(*vectors(60, seed=4), 3).index
    counted = Counter(index.flatten().tolist())
    counts = [counted[i] for i in range(60)]
    found = hubs(index, 60)
    assert found.skewness == pytest.approx(scipy.stats.skew(counts))
    assert found.top_ten == pytest.approx(sum(sorted(counts)[-10:]) / 180)
    assert hubs(index.flatten(), 60) == found
    some = torch.tensor(counts) > 0  # those that nobody mines count, unless they cannot be mined
    assert hubs(index, 60, some).skewness == pytest.approx(scipy.stats.skew([c for c in counts if c]))
    even = hubs(torch.arange(60).reshape(20, 3), 60)
    assert (even.skewness, even.top_ten) == (0, pytest.approx(1 / 6))
    one = hubs(torch.zeros(50, 1, dtype=torch.int64), 100)
    assert one.top_ten == 1 and one.skewness == pytest.approx(scipy.stats.skew([50] + [0] * 99))


def test_chance_is_what_mining_at_random_gives():
    g = torch.Generator().manual_seed(0)
    drawn = [hubs(torch.rand(80, 80, generator=g).topk(4).indices, 80) for _ in range(300)]
    expected = hubs_by_chance(torch.full((80,), 80), torch.full((80,), 4 / 80))
    assert expected == hubs_by_chance(torch.full((80,), 80), torch.full((80,), 4 / 80))
    assert expected.top_ten == pytest.approx(sum(x.top_ten for x in drawn) / 300, rel=0.05)
    assert expected.skewness == pytest.approx(sum(x.skewness for x in drawn) / 300, rel=0.15)


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, torch.Tensor):
                self.bytes = max(self.bytes, x.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize(
    "options", [{}, {"csls": 10}, {"bias": lambda rows: torch.zeros(len(range(3000)[rows]), 3000).double()}]
)
def test_nothing_as_large_as_all_pairs_is_ever_made(options):
    texts, images = vectors(3000)
    with Largest() as largest:
        mine_split(texts, images, 5, **options)
    limit = 128 * 3000 * 8 + GROUP if "bias" in options else BLOCK * TILE * 4
    assert largest.bytes <= limit + GROUP * 128 * 8 < 3000 * 3000 * 4


def test_vectors_are_those_of_the_model_in_the_order_of_the_split(small):
    model, data = small
    model.train()
    texts, images = contrast_vectors(model, data, batch_size=5, progress=False)
    assert model.training and not texts.requires_grad and texts.dtype == torch.float32
    model.eval()
    assert texts.shape == images.shape == (12, model.config.hidden_size)
    for i in range(12):
        with torch.no_grad():
            found = contrast_of(model, data[[i]])
            text, image = found.texts, found.images
        torch.testing.assert_close(texts[i], text[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(images[i], image[0], atol=1e-5, rtol=1e-4)


def test_a_model_without_contrast_mines_nothing():
    model = tiny_model(images=False)
    data = TweetDataset(tweets(), model.batcher, progress=False)
    for call in (contrast_vectors, lambda *a: mine_dataset(*a, k=2)):
        with pytest.raises(ConfigError, match="mines nothing"):
            call(model, data)


def test_missing_images_are_mined_only_where_the_model_says_so(small):
    _, data = small
    missing = {i for i, tweet in enumerate(data.tweets) if tweet.image is None}
    assert missing
    for mine_missing in (True, False):
        model = tiny_model(mine_missing=mine_missing)
        some = TweetDataset(data.tweets, model.batcher, progress=False)
        found = mine_dataset(model, some, 9, progress=False)
        assert bool(missing & set(found.index.flatten().tolist())) == mine_missing
    with pytest.raises(ConfigError, match="k is 10, but there are 9"):
        mine_dataset(model, some, 10, progress=False)


def test_what_was_mined_is_kept_until_weights_or_data_change(small, tmp_path, monkeypatch):
    model, data = small
    calls = []
    real = contrast_vectors
    monkeypatch.setattr("mgips.mining.split.contrast_vectors", lambda *a: calls.append(1) or real(*a))

    def ask(model=model, data=data, k=3):
        return mine_dataset(model, data, k, cache=tmp_path, progress=False)

    first = ask()
    assert same(first, ask()) and len(calls) == 1
    assert ask(k=12).k == 12 and len(calls) == 1  # all twelve were mined the first time
    assert same(first, mine_dataset(model, data, 3, progress=False)) and len(calls) == 2
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert same(first, ask()) and len(calls) == 3  # a damaged file is made anew
    ask(model=tiny_model(seed=1))
    assert len(calls) == 4
    ask(data=TweetDataset(tweets(12, seed=1), model.batcher, progress=False))
    assert len(calls) == 5 and len(list(tmp_path.iterdir())) == 3
    scaled = [mine_dataset(model, data, 3, cache=tmp_path, progress=False, csls=4) for _ in range(2)]
    assert len(calls) == 6 and same(*scaled) and not torch.equal(scaled[0].score, first.score)
    assert same(scaled[0], mine_split(*real(model, data, progress=False), 3, csls=4)) and same(first, ask())
    assert len(calls) == 6 and len(list(tmp_path.iterdir())) == 4


def test_a_folder_that_cannot_be_written_costs_the_copy_not_the_result(small, tmp_path):
    model, data = small
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="not kept"):
        assert mine_dataset(model, data, 3, cache=tmp_path / "file", progress=False).k == 3


def test_the_best_of_others_is_the_best_by_hand():
    posts = tweets(8)  # every fourth has no picture
    model = tiny_model()
    data = TweetDataset(posts, model.batcher, progress=False)
    assert list(best_of_others(model, data, progress=False)) == best_others_by_loop(model, posts)
    with pytest.raises(ConfigError, match="Fewer than two posts have a picture"):
        best_of_others(model, TweetDataset([posts[0], posts[3]], model.batcher, progress=False))
    with pytest.raises(ConfigError, match="mines nothing"):
        best_of_others(tiny_model(images=False), data)
