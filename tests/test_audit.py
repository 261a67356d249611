"""The audit: its counts against plain loops, its alarms against corpora with a known fault, the published facts."""

import dataclasses
import json

import pytest
from builders import corpus, save_text_checkpoint

from mgips.config import ModelConfig
from mgips.data.corpus import Corpus, Tweet
from mgips.data.load import load_corpus
from mgips.data.twitter import save_corpus
from mgips.lab.audit import VERSIONS, audit
from mgips.lab.paper.tables import TABLE1
from mgips.model.pretrained import load_tokenizer, wordpiece_tokenizer


def tweet(identity: str, *rows: str) -> Tweet:
    words, tags = zip(*(row.split("/") for row in rows), strict=True)
    return Tweet(identity, words, tags)


SMALL = Corpus(
    "small",
    train=(tweet("1", "Ann/B-PER", "Lee/I-PER", "in/O", "Rome/B-LOC"), tweet("2", "Rome/B-ORG", "again/O")),
    dev=(tweet("3", "ROME/B-LOC", "x/O"),),
    test=(tweet("2", "so/O", "Bob/I-PER", "!/O", "Rome/B-LOC"), tweet("4", "Rome/B-ORG", "again/O")),
)


def test_counts_and_alarms_of_a_corpus_small_enough_to_count_by_hand():
    found = audit(SMALL)
    assert found.splits["train"].strict == {"PER": 1, "LOC": 1, "ORG": 1, "entities": 3}
    assert found.splits["test"].strict["entities"] == 2
    assert found.splits["test"].default == {"PER": 1, "LOC": 1, "ORG": 1, "entities": 3}
    assert found.same_text == {"train-dev": 0, "train-test": 1, "dev-test": 0}
    assert found.same_image == {"train-dev": (), "train-test": ("2",), "dev-test": ()}
    assert found.leaks == ("2",)
    assert found.seen == {"dev": 1.0, "test": pytest.approx(2 / 3)}
    assert (found.published, found.version, found.differences) == ("", "", [])
    text = found.to_text()
    assert "LEAK: 1 test images are in train: 2." in text and "--text-encoder" in text
    assert json.loads(json.dumps(found.to_dict()))["leaks"] == ["2"]


def test_what_the_cut_takes_away():
    words = [word for split in SMALL.splits.values() for t in split for word in t.words]
    tokenizer = wordpiece_tokenizer(words * 2)
    strange = dataclasses.replace(SMALL, dev=(tweet("3", "Rome/B-LOC", "\ufe0f/O", "Rome/B-LOC", "Rome/B-LOC", "x/O"),))
    found = audit(strange, tokenizer, max_length=4).splits
    assert (found["dev"].cut, found["dev"].entities_past_cut, found["dev"].pieceless) == (1, 2, 1)
    assert (found["train"].cut, found["train"].entities_past_cut, found["train"].pieceless) == (1, 1, 0)
    found = audit(strange, tokenizer, max_length=7).splits
    assert [split.cut for split in found.values()] == [0, 0, 0]
    assert "gold entities past the cut" in audit(strange, tokenizer).to_text()


def test_missing_and_broken_pictures_are_named(tmp_path):
    save_corpus(corpus(), tmp_path / "invented")
    bad = sorted((tmp_path / "invented" / "invented_images").iterdir())[0]
    bad.write_bytes(bad.read_bytes()[:100])
    found = audit(load_corpus(tmp_path / "invented"))
    assert [split.without_image for split in found.splits.values()] == [4, 2, 2]
    (problem,) = [p for split in found.splits.values() for p in split.broken]
    assert str(bad) in problem and problem in found.to_text()


def made_like(version: int, tmp_path) -> Corpus:
    """Empty-handed tweets in the numbers of Twitter-2015, with the entities of one of its versions."""
    wanted = {"train": 6352, **VERSIONS["twitter2015"][version].entities}
    splits = {}
    for split, table in TABLE1["twitter2015"].items():
        left, tweets = wanted[split], []
        for i in range(table["tweets"]):
            share = min(left, 2)
            left -= share
            tweets.append(Tweet(f"{split}{i}", ("a", "b"), ("B-PER",) * share + ("O",) * (2 - share)))
        splits[split] = tuple(tweets)
    return Corpus("mine", **splits)


@pytest.mark.parametrize(("version", "name"), [(0, "original"), (1, "repaired")])
def test_the_version_of_twitter_2015_by_counts(tmp_path, version, name):
    found = audit(made_like(version, tmp_path))
    assert (found.published, found.version, found.version_by) == ("twitter2015", name, "counts")


def test_a_version_that_nobody_knows(tmp_path):
    made = made_like(0, tmp_path)
    one = dataclasses.replace(made.test[0], tags=("O", "O"))
    found = audit(dataclasses.replace(made, test=(one, *made.test[1:])))
    assert found.version == "unknown" and "Version: unknown" in found.to_text()


def test_tinytweets_is_clean():
    found = audit(load_corpus("tinytweets"))
    assert not found.leaks and sum(found.same_text.values()) < 5 and not found.splits["test"].broken
    assert found.splits["test"].strict == found.splits["test"].default


@pytest.mark.parametrize(
    ("name", "strict", "default", "texts", "seen", "differences"),
    [
        ("twitter2015", (6166, 1541, 5072), (6352, 1594, 5207), (2, 4, 3), 0.333, 8),
        ("twitter2017", (6049, 1324, 1351), (6049, 1324, 1351), (1, 0, 0), 0.536, 0),
    ],
)
def test_the_published_facts(twitter_root, name, strict, default, texts, seen, differences):
    found = audit(load_corpus(name, twitter_root))
    assert (found.published, found.version, found.version_by) == (name, "original", "checksum")
    assert tuple(split.strict["entities"] for split in found.splits.values()) == strict
    assert tuple(split.default["entities"] for split in found.splits.values()) == default
    assert tuple(found.same_text.values()) == texts and not found.leaks
    assert found.seen["test"] == pytest.approx(seen, abs=5e-4)
    assert len(found.differences) == differences
    assert "5,072  ≠ 5,078 printed" in found.to_text() or name == "twitter2017"


def test_the_command_counts_with_a_tokenizer_from_a_folder(tmp_path):
    folder = save_text_checkpoint(tmp_path / "bert")
    found = audit(corpus(), load_tokenizer(ModelConfig(text_encoder=str(folder))), max_length=8)
    assert found.splits["train"].cut > 0
