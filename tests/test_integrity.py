"""No test post reaches training, and what is changed on purpose changes what it says and nothing else."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import corpus, loss_of, parameters_without_gradient, tiny_config, tweets
from torch.nn import functional as F

import mgips.cli
from mgips.config import preset
from mgips.data.load import load_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError
from mgips.evaluate import score
from mgips.lab.integrity import EDITS, LEAK, OneLoss, PaddingSeen, TestWatcher, edited, leaky, readings, versions
from mgips.model.mgips import MGIPS
from mgips.model.mutual_attention import MutualAttentionEncoder
from mgips.model.pretrained import weights_hash
from mgips.training import Trainer, train

SMALL = {"epochs": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}


# ---- split integrity ----


def assert_split_integrity(posts):
    """No dev or test post is trained on: neither by its id nor, with the same picture's id, by its words."""
    config, training = preset("tiny", "text", **{**SMALL, "epochs": 1})
    met = set()
    for step in Trainer(posts, config, training, progress=False):
        met.update(id for batch in step.batches for id in batch.ids)
    ids = {name: {tweet.id for tweet in tweets} for name, tweets in posts.splits.items()}
    assert met == ids["train"]
    assert met.isdisjoint(ids["dev"]) and met.isdisjoint(ids["test"])
    trained = {tweet.words for tweet in posts.train if len(tweet.words) > 3}
    tested = [tweet.words for tweet in posts.test if len(tweet.words) > 3]
    return sum(words in trained for words in tested)


def test_no_test_post_of_tinytweets_reaches_training():
    assert assert_split_integrity(tinytweets(0, (128, 64, 64))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name, same_text", [("twitter2015", 4), ("twitter2017", 0)])
def test_no_test_post_of_twitter_reaches_training(twitter_root, name, same_text):
    """The published files share no id; Twitter-2015 has four texts in train and test under different ids."""
    assert assert_split_integrity(load_corpus(name, twitter_root)) == same_text


@pytest.mark.released(1)
def test_a_broken_split_fails_the_test_and_is_refused_by_train():
    posts = corpus()
    broken = replace(posts, train=(*posts.train, posts.test[3]))
    with pytest.raises(ConfigError, match=f"Tweet '{posts.test[3].id}' of the test split of invented is in train too"):
        assert_split_integrity(broken)
    renamed = replace(posts.test[3], id=posts.dev[0].id)  # the id alone is known from dev
    with pytest.raises(AssertionError):
        assert_split_integrity(replace(posts, train=(*posts.train, renamed)))
    tiny = tinytweets(0, (64, 32, 32))
    leaked = sum(len(tweet.words) > 3 for tweet in tiny.test[:16])
    assert assert_split_integrity(leaky(tiny, 0, 0.5)) == leaked > 10  # ids are new, words are not


def test_the_leaky_corpus_says_what_it_is_and_leaves_dev_and_test_alone():
    posts = tinytweets(0, (64, 32, 32))
    leak = leaky(posts, 0.25, 0.5)
    assert leak.dev == posts.dev and leak.test == posts.test and leak.train[:64] == posts.train
    added = leak.train[64:]
    assert [t.id for t in added] == [LEAK + t.id for t in (*posts.dev[:8], *posts.test[:16])]
    assert [t.words for t in added] == [t.words for t in (*posts.dev[:8], *posts.test[:16])]
    assert leak.fingerprint() != posts.fingerprint() and leaky(posts, 0, 0).train == posts.train


def test_training_cannot_reach_the_leak():
    """`train`, its configurations and the command line know nothing of it."""
    for module in (mgips.training, mgips.config, mgips.cli):
        assert "leaky" not in inspect.getsource(module) and "integrity" not in inspect.getsource(module)


# ---- protocols and readings ----


def test_watching_the_test_split_changes_no_weight_and_chooses_the_best_on_test():
    posts = tinytweets(0, (96, 32, 32))
    config, training = preset("tiny", "text", **{**SMALL, "epochs": 4})
    watcher = TestWatcher(posts)
    trainer = Trainer(posts, config, training, progress=False)
    for step in trainer:
        if step.scores:
            watcher(step.epoch, trainer.model)
    watched = trainer.finish()
    alone = train(posts, config, training, progress=False)
    assert weights_hash(watched.model) == weights_hash(alone.model) and watched.test == alone.test
    told = watcher.record(watched.epoch)
    assert len(told["f1"]) == 4 and told["by_dev"]["epoch"] == watched.epoch
    assert told["by_dev"]["f1"] == watched.test.f1
    assert told["by_test"]["f1"] == max(told["f1"])
    right, predicted, gold = np.array(told["by_test"]["counts"]).sum(0)
    assert told["by_test"]["f1"] == pytest.approx(2 * right / max(1, predicted + gold))


def test_readings_by_hand():
    """Every reading equals the score of tags that were cut, or read, by hand."""
    model = MGIPS.build(tiny_config(images=False, max_length=64), tweets(), seed=1).eval()
    torch.nn.init.normal_(model.crf.transitions, std=3)
    long = replace(tweets()[7], words=tweets()[7].words * 12, tags=tweets()[7].tags * 12)
    loose = replace(tweets()[0], tags=("I-PER", *tweets()[0].tags[1:]))  # strict IOB2 does not see this one
    posts = (long, loose, *tweets(6))
    found = {(r["max_length"], r["scheme"], r["gold"]): r for r in readings(model, posts)}
    assert {length for length, _, _ in found} == {40, 64} and len(found) == 8  # its encoder reads no more than 64
    gold = [tweet.tags for tweet in posts]
    inside = MGIPS.build(tiny_config(images=False, max_length=40), tweets(), seed=1)  # what 40 pieces hold
    held = [int(inside.batcher([tweet]).word_mask.sum()) for tweet in posts]
    assert held[0] < len(long.words)
    whole, cut = found[40, "default", "whole"], found[40, "default", "cut"]
    assert whole["support"] == score(gold, gold).support
    assert cut["support"] == score(g := [t[:n] for t, n in zip(gold, held, strict=True)], g).support < whole["support"]
    assert found[40, "strict", "whole"]["support"] == whole["support"] - 1
    assert found[64, "default", "whole"]["f1"] == score(gold, model.predict(posts)).f1
    with_images = MGIPS.build(tiny_config(), tweets(), seed=1).eval()
    assert {r["max_length"] for r in readings(with_images, tweets())} == {with_images.config.max_length}


def test_two_versions_of_the_labels():
    posts = tweets()
    model = MGIPS.build(tiny_config(images=False), posts, seed=0).eval()
    predicted = model.predict(posts)
    repaired = [replace(post, tags=tuple(tags)) for post, tags in zip(posts, predicted, strict=True)]
    found = versions(model, posts, repaired)
    assert found["relabelled"] == sum(list(a.tags) != b for a, b in zip(posts, predicted, strict=True))
    assert found["original"] == score([t.tags for t in posts], predicted).f1
    assert found["repaired"] == score(predicted, predicted).f1
    with pytest.raises(ConfigError, match="same posts"):
        versions(model, posts, posts[:3])


# ---- the released code's differences ----


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_training_and_nothing_where_it_says_so(name):
    plain = MGIPS.build(tiny_config(dropout=0.0), tweets(), seed=0)
    changed = edited(name, tiny_config(dropout=0.0), tweets(), seed=0)
    assert weights_hash(plain) == weights_hash(changed)  # the same start
    losses = []
    for model in (plain, changed):
        torch.manual_seed(0)
        total = loss_of(model.train(), model.batcher(tweets(6))).total
        total.backward()
        losses.append(total.item())
    same_loss = name in ("freeze-gate", "detach-image-guided")  # these only take gradients away
    assert (losses[0] == pytest.approx(losses[1], abs=1e-6)) == same_loss
    missing = set(parameters_without_gradient(changed)) - set(parameters_without_gradient(plain))
    guided = ("linear1", "linear2", "w3", "w4", "image_to_text", "text_to_image")
    expected = {
        "freeze-gate": {"text_gate", "image_gate"},
        "detach-image-guided": {f"interweave.image_guided.{part}" for part in guided},
    }
    parts = {".".join(n.split(".")[: 3 if n.startswith("interweave.") else 1]) for n in missing}
    assert parts == expected.get(name, set())


def test_one_loss_by_hand():
    model = edited("one-loss", tiny_config(dropout=0.0), tweets(), seed=0).eval()
    assert isinstance(model, OneLoss)
    loss = loss_of(model, model.batcher(tweets(6)))
    tau, k, scores = model.config.temperature, model.config.k, loss.contrast.relevance.T  # rows are images
    total = 0.0
    for i, row in enumerate(scores.exp().pow(1 / tau)):
        mined = scores[i].argsort(descending=True)[:k]
        total -= torch.log((row[mined].sum() + row[i]) / row.sum())  # the own text counts twice if it was mined
    torch.testing.assert_close(loss.terms["one"], total / len(scores))
    assert set(loss.terms) == {"crf", "one"}


def test_visible_padding_is_what_a_mask_of_ones_does():
    plain = MGIPS.build(tiny_config(), tweets(), seed=0).eval()
    shown = edited("show-padding", tiny_config(), tweets(), seed=0).eval()
    batch = plain.batcher(tweets(2))
    n, pad = plain.config.max_length, plain.batcher.tokenizer.pad_token_id
    more = (0, n - batch.pieces.shape[1])
    pieces, mask = F.pad(batch.pieces, more, value=pad), F.pad(batch.piece_mask, more)
    ones = torch.ones_like(mask)
    with torch.no_grad():
        padded = replace(batch, pieces=pieces, piece_mask=mask)
        plain.encoder.__class__ = PaddingSeen
        text, image, _ = plain.encoder(plain.text_embedding(padded), plain.image_embedding(batch.crops), mask)
        plain.encoder.__class__ = MutualAttentionEncoder
        walk = plain.interweave(text, image, ones)
        z, _ = plain.text_gate(walk.text[0], walk.text[-1])
        words = z.gather(1, batch.first.unsqueeze(-1).expand(-1, -1, z.shape[-1]))
        torch.testing.assert_close(shown(batch).emissions, plain.classifier(words))
        assert not torch.allclose(shown(batch).emissions, plain(batch).emissions, atol=1e-4)
        alone = plain.batcher(tweets(1))
        rows = shown(alone).emissions[0], shown(batch).emissions[0, : alone.first.shape[1]]
        torch.testing.assert_close(*rows, atol=1e-5, rtol=1e-5)  # fixed length: the neighbours do not matter


def test_noise_is_only_in_training_and_no_larger_than_it_says():
    plain = MGIPS.build(tiny_config(dropout=0.0), tweets(), seed=0)
    noisy = edited("neftune", tiny_config(dropout=0.0), tweets(), seed=0)
    batch = plain.batcher(tweets(6))
    clean = plain.text_embedding(batch)
    moved = (noisy.train().text_embedding(batch) - clean).abs().max().item()
    limit = 5 / (clean.shape[1] * clean.shape[2]) ** 0.5
    assert 0.5 * limit < moved <= limit + 1e-6
    assert torch.equal(noisy.eval().text_embedding(batch), clean)


def test_the_shift_moves_only_the_image_guided_weights():
    plain = MGIPS.build(tiny_config(), tweets(), seed=0).eval()
    shifted = edited("shift-columns", tiny_config(), tweets(), seed=0).eval()
    a, b = (m(m.batcher(tweets(6)), attention=True).interwoven.weights for m in (plain, shifted))
    torch.testing.assert_close(b[0].column, a[0].column - 0.05)
    assert b[1].guide == "text" and b[1].column.sum(-1).allclose(torch.ones(1))


def test_the_package_still_trains_clean_after_an_edit():
    """An edit belongs to one model: nothing of it stays behind in the package."""
    edited("shift-columns", tiny_config(), tweets(), seed=0)
    edited("show-padding", tiny_config(), tweets(), seed=0)
    a, b = (MGIPS.build(tiny_config(), tweets(), seed=0).eval() for _ in range(2))
    batch = a.batcher(tweets(6))
    assert torch.equal(a(batch).emissions, b(batch).emissions)
    assert a(batch, attention=True).interwoven.weights[0].column.sum(-1).allclose(torch.ones(1))
    assert mgips.MGIPS is MGIPS
