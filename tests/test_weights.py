"""The models that come with the package: they load offline, are small, and score what their cards and their page say."""

import dataclasses
import json
import socket
import tomllib
from pathlib import Path

import pytest
import torch
from builders import tiny_model, tweets
from safetensors.torch import load_file

import mgips
from mgips.cli import main
from mgips.config import ModelConfig, TrainConfig
from mgips.data.batch import TweetDataset
from mgips.errors import ConfigError, RunError
from mgips.evaluate import score, split_score
from mgips.lab import weights
from mgips.lab.demo import READER, day_read
from mgips.lab.weights import LIMIT, RECIPES, cards, f1, page, read, ship
from mgips.mining import contrast_vectors
from mgips.model.pretrained import weights_hash
from mgips.model.shipped import FOLDER, located, shipped
from mgips.run import one_thread, recorded_corpus
from mgips.training import train

CARDS = cards()
CLOSE = 0.003
"""0.3 F1. The weights are compared exactly; sums are rounded otherwise on another processor, which may turn a word or two."""


@pytest.fixture
def offline(monkeypatch):
    """Every attempt to reach the network, which fails."""
    attempts = []

    def refuse(*arguments, **_):
        attempts.append(arguments)
        raise OSError("no network here")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return attempts


def test_every_recipe_is_shipped_and_nothing_else():
    assert set(shipped()) == set(RECIPES) == set(CARDS)
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_loads_by_its_name_without_a_connection(name, offline):
    model = mgips.load(name)
    assert offline == []
    assert not model.training and {p.dtype for p in model.parameters()} == {torch.float32}
    stored = load_file(FOLDER / name / "model.safetensors")
    assert {x.dtype for x in stored.values() if x.is_floating_point()} == {torch.float16}
    assert all(torch.isfinite(x).all() for x in stored.values())
    assert weights_hash(model) == CARDS[name]["weights"]
    assert sum(p.numel() for p in model.parameters()) == CARDS[name]["parameters"]


def test_they_are_small_and_packaged():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= LIMIT
    project = tomllib.loads((FOLDER.parent.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["mgips"]
    packaged = {file for pattern in patterns for file in FOLDER.parent.glob(pattern)}
    assert {file for file in FOLDER.rglob("*") if file.is_file()} <= packaged


@pytest.mark.parametrize("name", RECIPES)
def test_a_card_says_how_its_model_was_made(name):
    """Fails where a preset, a variant or TinyTweets has changed since: `make weights`, or another recipe."""
    card, recipe = CARDS[name], RECIPES[name]
    corpus = mgips.load_corpus(recipe.corpus)
    assert (card["name"], card["corpus"]["name"]) == (name, corpus.name)
    assert card["corpus"]["sha256"] == corpus.fingerprint()
    assert card["posts"] == {split: len(posts) for split, posts in corpus.splits.items()}
    assert (ModelConfig(**card["model"]), TrainConfig(**card["train"])) == recipe.settings()
    assert card["variant"] == recipe.variant and card["seed"] == card["train"]["seed"] == 0
    assert 1 <= card["epoch"] <= card["train"]["epochs"] and "torch" in card["versions"]
    assert mgips.load(name).config == ModelConfig(**card["model"])


def close(measured, written):
    """Whether all numbers of a card's measurements are nearly these."""
    if isinstance(written, dict):
        return measured.keys() == written.keys() and all(close(measured[key], written[key]) for key in written)
    if isinstance(written, float):
        # What is said of single pictures, and not of entities, may move a little more; a skewness is no share.
        return measured == pytest.approx(written, abs=0.02)
    return measured == written


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_scores_what_its_card_says(name):
    card = CARDS[name]
    with one_thread():
        measured = weights.measure(mgips.load(name), RECIPES[name].corpus, card["train"]["batch_size"])
    written = card["scores"]
    for split in ("dev", "test"):
        assert measured[split]["f1"] == pytest.approx(written[split]["f1"], abs=CLOSE), split
        assert abs(written[split]["f1"] - card["before_rounding"][split]) <= CLOSE, "rounding has cost too much"
    assert measured.get("reading", {}).keys() == written.get("reading", {}).keys()
    for pool, reading in written.get("reading", {}).items():
        assert measured["reading"][pool]["f1"] == pytest.approx(reading["f1"], abs=CLOSE), pool
    assert close(measured, written)
    assert card["ceilings"]["text"] < card["ceilings"]["own_image"] < card["ceilings"]["mined"]


def test_the_page_is_written_from_the_cards():
    written = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert written == page()
    for name, card in CARDS.items():
        row = next(line for line in written.splitlines() if line.startswith(f"| `{name}`"))
        for number in (card["scores"]["dev"]["f1"], card["scores"]["test"]["f1"], card["before_rounding"]["test"]):
            assert f"| {100 * number:.1f} " in row
        assert f"| {card['parameters']:,} |" in row and card["corpus"]["name"] in row


def test_reading_is_what_the_pools_say():
    """`read` against predictions with posts as pool; the demo's numbers are the card's, whatever day is the first."""
    model, posts = mgips.load(READER), mgips.load_corpus("tinytweets").test
    readings = read(model, posts)
    gold = [post.tags for post in posts]
    for name, pool in (("split", posts), ("none", posts[:0])):
        assert f1(readings[name]) == pytest.approx(f1_of(gold, model.predict(posts, pool=model.pool(pool))))
    by_day = {}
    for post in posts:
        by_day.setdefault(post.group, []).append(post)
    tags = [tags for day in by_day.values() for tags in model.predict(day, pool=day)]
    assert f1(readings["day"]) == pytest.approx(f1_of([p.tags for day in by_day.values() for p in day], tags))

    shown, written = day_read(posts), CARDS[READER]["scores"]
    assert shown.posts == 4800 and shown.pictures == pytest.approx(written["reading"]["day"]["pictures"], abs=0.02)
    assert shown.day == pytest.approx(written["reading"]["day"]["f1"], abs=CLOSE)
    assert shown.none == pytest.approx(written["reading"]["none"]["f1"], abs=CLOSE)
    assert shown.day > shown.none + 0.05 and shown.mining.at_one > 0.5


def f1_of(gold, predicted) -> float:
    return score(gold, predicted).f1


def test_a_name_stands_where_a_run_folder_does(capsys, tmp_path):
    assert recorded_corpus(Path("tiny-reads"))["name"] == "tinytweets:train=4800"
    assert recorded_corpus(Path("tiny-full"))["sha256"] == mgips.load_corpus("tinytweets").fingerprint()
    assert main(["evaluate", "tiny-text", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["f1"] == pytest.approx(CARDS["tiny-text"]["scores"]["test"]["f1"], abs=CLOSE)
    assert main(["predict", "tiny-full", "--text", "Jordan again # Teal Stripes"]) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("Jordan")
    assert main(["pool", "tiny-reads", "--corpus", "tinytweets:test=32", "--out", str(tmp_path / "pool")]) == 0
    assert main(["evaluate", "tiny-full", "--pool", "none"]) == 2  # it reads none


def test_folders_load_too_and_a_wrong_name_is_one_sentence(tmp_path, monkeypatch, offline):
    model = tiny_model()
    model.save_pretrained(tmp_path / "tiny-full")
    assert weights_hash(mgips.load(tmp_path / "tiny-full")) == weights_hash(model)
    with monkeypatch.context() as inside:
        inside.chdir(tmp_path)  # a folder of one's own goes before the package's model
        assert weights_hash(mgips.load("tiny-full")) == weights_hash(model) != CARDS["tiny-full"]["weights"]
    assert located("tiny-full") == FOLDER / "tiny-full" and located("someone/tiny-full") == "someone/tiny-full"
    for wrong in ("tiny-fool", "someone/a-model", str(tmp_path / "none")):
        with pytest.raises(RunError) as error:
            mgips.load(wrong)
        assert str(error.value).endswith("or one of tiny-full, tiny-reads, tiny-text.") and wrong in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="is not a saved model: config.json") as error:
        mgips.load(tmp_path / "empty")
    assert "tiny-text" not in str(error.value)
    with pytest.raises(ConfigError, match="no recipe for 'tiny-fool'; there are tiny-text"):
        weights.main(["tiny-text", "tiny-fool"])


def test_shipping_rounds_a_run_and_measures_what_was_rounded(tmp_path, monkeypatch):
    """A small run of its own, shipped: the card's scores are those of the rounded weights, and loading changes no bit."""
    small = weights.Recipe("reads", "tinytweets:train=32,dev=32,test=32", {"epochs": 1, "memory": 2})
    monkeypatch.setitem(RECIPES, "tiny-small", small)
    corpus = mgips.load_corpus(small.corpus)
    run = train(corpus, *small.settings(), tmp_path / "run", progress=False)
    with torch.no_grad():  # rounding must show
        run.model.classifier[1].bias += torch.linspace(0, 1e-4, 9)
    card = ship("tiny-small", tmp_path / "run", tmp_path / "shipped")
    monkeypatch.setattr("mgips.model.shipped.FOLDER", tmp_path / "shipped")
    assert shipped() == ("tiny-small",)
    model, before = mgips.load("tiny-small"), load_file(tmp_path / "run/model.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name].half().float()) and value.dtype == before[name].dtype, name
    assert not torch.equal(model.classifier[1].weight, before["classifier.1.weight"])
    assert card["weights"] == weights_hash(model) and card == cards(tmp_path / "shipped")["tiny-small"]
    whole = split_score(model, TweetDataset(corpus.test, model.batcher, progress=False))
    assert card["scores"]["test"] == json.loads(json.dumps(whole.to_dict()))
    told = json.loads((tmp_path / "run/results.json").read_text())
    assert card["before_rounding"] == {split: told[split]["f1"] for split in ("dev", "test")}
    assert card["scores"]["reading"].keys() == {"split", "day", "none"} and card["scores"]["mining"]["texts"] > 0
    assert "`tiny-small`" in page(tmp_path / "shipped")

    kept = json.loads((tmp_path / "run/tokenizer.json").read_text(encoding="utf-8"))
    assert json.loads((tmp_path / "shipped/tiny-small/tokenizer.json").read_text(encoding="utf-8")) == kept
    data = TweetDataset(corpus.dev, model.batcher, progress=False)
    again = contrast_vectors(mgips.MGIPS.from_pretrained(tmp_path / "shipped/tiny-small"), data, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(again, contrast_vectors(model, data, progress=False), strict=True))
    assert (
        model.predict(tweets(), pool=tweets())
        and json.loads(json.dumps(dataclasses.asdict(model.config))) == card["model"]
    )
