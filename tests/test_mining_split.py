"""Mining over a whole split: exact, chunked, in order, kept beside the run."""

import pytest
import torch
from builders import best_others_by_loop, contrast_of, tiny_model, tweets
from torch.utils._python_dispatch import TorchDispatchMode

from mgips.data.batch import TweetDataset
from mgips.errors import ConfigError
from mgips.mining import BLOCK, ROWS, best_of_others, contrast_vectors, mine_dataset, mine_split
from mgips.model.contrastive import mine, relevance


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
    found = mine_split(texts, images, 4, candidates, chunk=5)
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


@pytest.mark.parametrize("chunk", [1, 7, ROWS, 300, 10_000])
def test_the_chunk_changes_nothing(chunk):
    texts, images = vectors(BLOCK + 44, seed=1)
    images[50:60] = images[50]  # ties too
    assert same(mine_split(texts, images, 20, chunk=chunk), mine_split(texts, images, 20, chunk=128))


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
    with pytest.raises(ConfigError, match="chunk is 0"):
        mine_split(texts, images, 2, chunk=0)


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, torch.Tensor):
                self.bytes = max(self.bytes, x.untyped_storage().nbytes())
        return result


def test_nothing_larger_than_a_chunk_is_ever_made():
    texts, images = vectors(3000)
    with Largest() as largest:
        mine_split(texts, images, 5, chunk=100)
    assert largest.bytes == 100 * 3000 * 4


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
    monkeypatch.setattr("mgips.mining.contrast_vectors", lambda *a: calls.append(1) or real(*a))

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
