"""Label sets of any corpus: the tags made of them, the schemes that files write them in, and models that have them."""

import dataclasses
import json

import pytest
import torch
from builders import corpus
from hypothesis import given
from hypothesis import strategies as st

from mgips import MGIPS, Corpus, Tweet, load_corpus, preset, train
from mgips.cli import main
from mgips.data.spans import spans
from mgips.errors import ConfigError, DataError
from mgips.evaluate import score
from mgips.tags import MOST, TYPES, check_types, found_types, in_order, tag_set, to_bio

KINDS = ("PER", "LOC", "x-y")
# A post as runs of words: each run is an entity of a type, or words outside of any.
POSTS = st.lists(
    st.lists(st.tuples(st.sampled_from([None, *KINDS]), st.integers(1, 3)), min_size=1, max_size=6),
    min_size=1, max_size=5,
)  # fmt: skip


def bio(post):
    return [tag for kind, n in post for tag in (["O"] * n if kind is None else [f"B-{kind}", *[f"I-{kind}"] * (n - 1)])]


def bioes(post, single="S", end="E"):
    tags = []
    for kind, n in post:
        if kind is None:
            tags += ["O"] * n
        elif n == 1:
            tags.append(f"{single}-{kind}")
        else:
            tags += [f"B-{kind}", *[f"I-{kind}"] * (n - 2), f"{end}-{kind}"]
    return tags


def iob1(post):
    tags, before = [], None
    for kind, n in post:
        first = "B" if kind is not None and kind == before else "I"
        tags += ["O"] * n if kind is None else [f"{first}-{kind}", *[f"I-{kind}"] * (n - 1)]
        before = kind
    return tags


@given(POSTS)
def test_every_scheme_is_read_as_the_same_bio(posts):
    wanted = [tuple(bio(post)) for post in posts]
    assert to_bio(wanted) == wanted
    assert to_bio([bioes(post) for post in posts]) == wanted
    assert to_bio([bioes(post, "U", "L") for post in posts]) == wanted
    assert to_bio([iob1(post) for post in posts]) == wanted


def test_a_bio_file_keeps_its_slips():
    """Twitter-2015 has entities that begin with I-; its B- tags after O show that it is no IOB1."""
    tags = [("O", "I-PER", "I-PER"), ("O", "B-LOC", "I-LOC")]
    assert to_bio(tags) == tags


def test_twitter_2015_is_read_as_bio(twitter_root):
    found = load_corpus("twitter2015", twitter_root)
    assert found.types == TYPES and sum(
        t.tags[i] == "I-PER" and (not i or t.tags[i - 1] == "O") for t in found.test for i in range(len(t.tags))
    )


def test_types_have_an_order():
    assert in_order(["b", "ORG", "a", "PER", "b"]) == ("PER", "ORG", "a", "b")
    assert found_types([["O", "B-b"], ["I-PER"]]) == ("PER", "b")
    assert tag_set() == tuple("O B-PER I-PER B-LOC I-LOC B-ORG I-ORG B-MISC I-MISC".split())


@pytest.mark.parametrize("types", [(), ("a",) * 2, ("a b",), ("",), tuple(map(str, range(MOST + 1)))])
def test_what_cannot_be_a_label_set_is_refused(types):
    with pytest.raises(ConfigError, match="entity type"):
        check_types(types)
    with pytest.raises(ConfigError, match="entity type"):
        preset("tiny", types=types)


def relabelled(kinds):
    """The invented corpus with other types: PER becomes one of `kinds`, by the entity's first word."""
    small = corpus()

    def changed(tweet):
        tags = ["O"] * len(tweet.words)
        for number, span in enumerate(spans(tweet.words, tweet.tags)):
            kind = kinds[(span.start + number) % len(kinds)]
            tags[span.start : span.end] = [f"B-{kind}", *[f"I-{kind}"] * (span.end - span.start - 1)]
        return dataclasses.replace(tweet, tags=tuple(tags))

    return Corpus("own", *(tuple(map(changed, tweets)) for tweets in small.splits.values()))


@pytest.mark.parametrize("count", [1, 16, MOST])
def test_a_model_has_the_types_of_its_corpus(tmp_path, count):
    kinds = [f"type-{i}" for i in range(count)]
    own = dataclasses.replace(relabelled(kinds), label_set=tuple(kinds))
    model, config = preset("tiny", epochs=1, batch_size=4)
    run = train(own, model, config, folder=tmp_path / "run", progress=False)
    assert run.model.tags == tag_set(kinds) and run.model.crf.transitions.shape == (2 * count + 1,) * 2
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["tags"] == list(tag_set(kinds)) and told["model"]["types"] == kinds
    again = MGIPS.from_pretrained(tmp_path / "run")
    assert again.config == run.model.config and again.predict(own.test) == run.model.predict(own.test)
    with torch.no_grad():  # every tag can come out
        again.classifier[-1].weight.zero_()
        again.classifier[-1].bias.zero_()[again.tags.index(f"B-{kinds[-1]}")] = 99.0
    assert {tag for tags in again.predict(own.test) for tag in tags} == {f"B-{kinds[-1]}"}


def test_a_model_refuses_a_corpus_with_other_labels(tmp_path, capsys):
    own = relabelled(["a", "b"])
    assert own.types == ("a", "b")
    config, _ = preset("tiny")
    model = MGIPS.build(config, own.train, seed=0)
    with pytest.raises(
        DataError, match=r"has the tag '[BI]-[ab]', and this model's entity types are PER, LOC, ORG, MISC;"
    ):
        model.predict(own.test)
    unlabelled = [dataclasses.replace(tweet, tags=()) for tweet in own.test]
    assert len(model.predict(unlabelled)) == len(unlabelled)
    with pytest.raises(DataError, match="entity types are PER"):
        train(own, model, progress=False)


def test_a_corpus_with_another_split_has_that_splits_types_too():
    own = relabelled(["a"])
    assert own.types == ("a",)
    assert dataclasses.replace(own, dev=relabelled(["b"]).dev).types == ("a", "b")


def test_scores_name_every_type():
    gold = [["B-b", "O", "B-PER"], ["B-a", "I-a", "O"]]
    found = score(gold, [["B-b", "O", "O"], ["B-a", "O", "O"]])
    assert list(found.per_type) == ["PER", "a", "b"] and found.per_type["b"].f1 == 1 and found.per_type["PER"].f1 == 0


def test_a_corpus_without_entities_is_refused():
    plain = tuple(Tweet(f"{i}", ("a", "b"), ("O", "O")) for i in range(6))
    with pytest.raises(ConfigError, match="has no entity"):
        train(Corpus("plain", plain[:4], plain[4:5], plain[5:]), *preset("tiny"), progress=False)


def test_the_command_line_trains_and_scores_other_types(tmp_path, capsys):
    from mgips.data.conll import write_conll

    own = relabelled(["product", "event"])
    for split, tweets in own.splits.items():
        write_conll(tweets, tmp_path / "data" / f"{split}.txt")
    folder = tmp_path / "data"
    options = ["--preset", "tiny", "--epochs", "1", "--batch-size", "4", str(tmp_path / "run")]
    assert main(["train", "--corpus", str(folder), *options]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert "product" in capsys.readouterr().out
    assert main(["audit", str(folder)]) == 0
    assert "event" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run"), "--corpus", "tinytweets"]) == 2
    assert "entity types are event, product" in capsys.readouterr().err
