"""Table 2's text rows: each part against the same computed by hand, and each row as a model that trains and loads."""

import dataclasses
import itertools

import pytest
import torch
from builders import corpus, tweets, variant_model

from mgips.config import preset
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.model.baselines import LETTERS, BiLSTM, CharacterCNN, IndependentTags, letters, letters_of, word_tokenizer
from mgips.model.mgips import MGIPS
from mgips.training import train

ROWS = ("bert", "text", "bert-bilstm-crf", "bilstm-crf", "cnn-bilstm-crf")


def test_independent_tags_are_every_words_own_softmax():
    torch.manual_seed(0)
    emissions, tags = torch.randn(2, 3, 4), torch.randint(0, 4, (2, 3))
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = IndependentTags()(emissions, tags, mask, "none")
    for row, words in enumerate((3, 2)):
        # the likelihood of a path is the product over its words: all paths of those words sum to 1
        paths = itertools.product(range(4), repeat=words)
        scores = {path: sum(emissions[row, i, tag] for i, tag in enumerate(path)) for path in paths}
        total = torch.logsumexp(torch.stack(list(scores.values())), 0)
        torch.testing.assert_close(found[row], scores[tuple(tags[row, :words].tolist())] - total)
        assert IndependentTags().decode(emissions, mask)[row] == list(max(scores, key=scores.get))
    assert IndependentTags()(emissions, tags, mask, "mean") == found.mean()
    assert IndependentTags()(emissions, tags, mask) == found.sum()


def test_the_lstm_reads_each_tweet_as_if_it_were_alone():
    torch.manual_seed(0)
    lstm = BiLSTM(8, dropout=0.0).eval()
    words, mask = torch.randn(3, 5, 8), torch.arange(5) < torch.tensor([[5], [2], [3]])
    found = lstm(words, mask)
    assert found.shape == (3, 5, 8) and not found[~mask].any()
    for row, count in enumerate((5, 2, 3)):
        torch.testing.assert_close(found[row, :count], lstm.lstm(words[row : row + 1, :count])[0][0])


def test_the_letters_cnn_is_the_largest_window_of_each_filter():
    torch.manual_seed(0)
    cnn = CharacterCNN(6)
    read = letters("Añ")
    assert read == [0x41 + 1, 0xC3 + 1, 0xB1 + 1] and len(letters("x" * 100)) == LETTERS
    padded = torch.tensor([[read + [0] * 4, [0] * 7]])
    found = cnn(padded)
    assert found.shape == (1, 2, 6) and not found[0, 1].any()
    x = torch.cat([torch.zeros(1, 30), cnn.embedding(torch.tensor(read)), torch.zeros(1, 30)])  # one letter more a side
    windows = torch.stack([(cnn.filters.weight * x[i : i + 3].T).sum((1, 2)) + cnn.filters.bias for i in range(3)])
    torch.testing.assert_close(found[0, 0], windows.relu().amax(0))
    torch.testing.assert_close(cnn(padded[:, :, :5]), found)  # more padding changes nothing


def test_a_word_is_one_piece_and_rare_words_are_unknown():
    tokenizer = word_tokenizer("Paris in paris said Zoë".split())
    assert tokenizer.tokenize("PARIS") == ["paris"] and tokenizer.tokenize("Zoë") == ["[UNK]"]
    model = variant_model("cnn-bilstm-crf")
    posts = [Tweet("1", ("Unseenword", "in", "Paris")), *tweets(2)]
    batch = model.batcher(posts)
    assert batch.first[0].tolist()[:3] == [1, 2, 3]
    read = letters_of(batch)
    assert read[0, 1].tolist() == letters("Unseenword") + [0] * (LETTERS - 10)
    assert not read[0, 0].any() and not read[0, 4:].any()
    other = [dataclasses.replace(posts[0], words=("Otherword", "in", "Paris")), *posts[1:]]
    with torch.no_grad():
        assert not torch.equal(model(batch).emissions[0], model(model.batcher(other)).emissions[0])
        words_only = variant_model("bilstm-crf")
        a, b = (words_only(words_only.batcher(p)).emissions[0] for p in (posts, other))
        assert torch.equal(a, b)  # both unknown


@pytest.mark.parametrize("name", ROWS)
def test_neighbours_and_padding_change_nothing(name):
    model, posts = variant_model(name), tweets(6)
    with torch.no_grad():
        together = model(model.batcher(posts)).emissions
        for row, post in enumerate(posts):
            alone = model(model.batcher([post])).emissions[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ROWS)
def test_each_row_learns_by_heart_and_loads_as_it_was_saved(name, tmp_path):
    posts = corpus(8, 4)
    config, training = preset("tiny", name, epochs=40, batch_size=8, dropout=0.0)
    training = dataclasses.replace(training, lr_text=5e-3, lr_head=5e-3)
    run = train(posts, config, training, tmp_path / "run", progress=False)
    loss = "loss_softmax" if name == "bert" else "loss_crf"
    assert run.history[-1][loss] < 0.15 * run.history[0][loss]
    loaded = MGIPS.from_pretrained(tmp_path / "run")
    data = TweetDataset(posts.test, loaded.batcher, progress=False)
    assert loaded.predict_dataset(data) == run.model.predict(posts.test)
    unseen = [Tweet("new", ("Entirely", "new", "words", "🙂"))]
    assert loaded.predict(unseen) == run.model.predict(unseen)


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match="no layers for an image to meet"):
        preset("tiny", "bilstm-crf", images=True)
    with pytest.raises(ConfigError, match="crf=True"):
        preset("tiny", "bert", bio_constraint=True)
