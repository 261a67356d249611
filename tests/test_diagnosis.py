"""`mgips doctor RUN`: each illness is brought about on purpose and named, and a healthy run has none."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import tiny_config, tiny_model
from PIL import Image

import mgips
from mgips.cli import main
from mgips.config import TrainConfig
from mgips.data.corpus import Corpus, Tweet
from mgips.data.load import drawn_corpus
from mgips.data.twitter import save_corpus
from mgips.errors import ConfigError, DataError, RunError
from mgips.lab import diagnosis, doctor
from mgips.lab.diagnosis import CHECKS, diagnose
from mgips.training import Trainer

NAMES = {
    "PER": ["Ada", "Bob", "Cleo", "Dan"],
    "LOC": ["Oslo", "Rome", "Lima", "Kyiv"],
    "ORG": ["Acme", "Hooli", "Initech", "Umbra"],
}
COLOURS = {"PER": (200, 30, 30), "LOC": (30, 200, 30), "ORG": (30, 30, 200)}
WORDS = "the a today we saw great big news from my new with never again more".split()


def posts(split: str, count: int, kinds=tuple(NAMES), pictures=True, ambiguous=0.0, names=None, seed=0) -> tuple:
    """Posts with a name each. Its type is that of the name, except for "Juno": there only the picture's colour tells."""
    rng, made = random.Random(f"{split} {seed}"), []
    for number in range(count):
        kind = rng.choice(kinds)
        name = names(split, number) if names else "Juno" if rng.random() < ambiguous else rng.choice(NAMES[kind])
        words = [rng.choice(WORDS) for _ in range(rng.randint(4, 8))]
        tags, place = ["O"] * len(words), rng.randrange(len(words) + 1)
        words.insert(place, name)
        tags.insert(place, f"B-{kind}")
        pixel = tuple(colour + rng.randint(-25, 25) for colour in COLOURS[kind])
        image = Image.new("RGB", (16, 16), pixel) if pictures else None
        made.append(Tweet(f"{split}{number}", tuple(words), tuple(tags), image))
    return tuple(made)


def colours(train: int = 160, other: int = 80, **options) -> Corpus:
    """A corpus of such posts."""
    return Corpus(
        "colours", *(posts(name, n, **options) for name, n in (("train", train), ("dev", other), ("test", other)))
    )


def rates(rate: float) -> dict[str, float]:
    return {f"lr_{part}": rate for part in ("text", "image", "fusion", "contrast", "head")}


def settings(**changes) -> TrainConfig:
    return TrainConfig(**{"epochs": 4, "batch_size": 16, "cpu": True, **rates(4e-3), **changes})


def text_only(**changes):
    return tiny_config(images=False, **changes)


def full(**changes):
    return tiny_config(crop_size=16, **changes)


@pytest.fixture
def trained(tmp_path):
    """Trains, and diagnoses the run folder: its findings by name."""

    def run(corpus, model, config, folder="run"):
        mgips.train(corpus, model, config, tmp_path / folder, progress=False)
        return findings(tmp_path / folder, corpus)

    run.folder = tmp_path / "run"
    return run


def findings(run, corpus=None):
    return {finding.name: finding for finding in diagnose(run, corpus, progress=False).findings}


def wrong(found) -> set[str]:
    return {name for name, finding in found.items() if finding.state == "wrong"}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    """A short run that is all right, of a corpus on disk."""
    folder = tmp_path_factory.mktemp("healthy")
    save_corpus(colours(ambiguous=0.4), folder / "colours")
    model = full(ips_loss=False)
    mgips.train(mgips.load_corpus(folder / "colours"), model, settings(epochs=6), folder / "run", progress=False)
    return folder / "run"


# ---- nothing wrong ----


def test_a_healthy_run_has_nothing_wrong_and_every_check_tells_its_numbers(healthy, capsys):
    assert main(["doctor", str(healthy)]) == 0
    out = capsys.readouterr().out
    assert "10 of 11 checks made, nothing wrong found." in out and "wrong  " not in out
    found = findings(healthy)
    assert list(found) == list(CHECKS)
    assert {name for name, f in found.items() if f.state == "not checked"} == {"hubs"}
    assert "neither its loss" in found["hubs"].evidence
    assert all(any(map(str.isdigit, f.evidence)) and not f.remedy for name, f in found.items() if name != "hubs")
    assert "60 steps, 4 of them warm-up" in found["schedule"].evidence
    assert "it has 80" in found["entities"].evidence


def test_a_shipped_model_is_healthy_and_what_needs_a_history_says_so():
    found = findings("tiny-full", drawn_corpus("tinytweets:train=100,dev=60,test=40"))
    assert not wrong(found)
    for name in ("end of the run", "schedule", "tag loss", "overfitting"):
        assert found[name].state == "not checked"
    assert found["hubs"].state == "fine" and "of dev's 60 images" in found["hubs"].evidence


def test_json_and_exit_status(healthy, tmp_path, capsys, monkeypatch):
    assert main(["doctor", str(healthy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["wrong"] == [] and told["corpus"] == "colours" and len(told["findings"]) == len(CHECKS)
    broken = tmp_path / "run"
    shutil.copytree(healthy, broken)
    (broken / "results.json").unlink()
    assert main(["doctor", str(broken), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong"] == ["end of the run"]
    monkeypatch.setattr(doctor, "check", lambda root: [doctor.Check("torch", True, "2.6")])
    assert main(["doctor", "--json"]) == 0
    assert [check["name"] for check in json.loads(capsys.readouterr().out)] == ["torch"]


# ---- each illness ----


def test_a_loss_that_is_no_number(tmp_path):
    corpus = colours(pictures=False)
    with pytest.raises(RunError, match="would repeat this") as error:
        mgips.train(corpus, text_only(), settings(**rates(1e4)), tmp_path / "run", progress=False)
    found = findings(tmp_path / "run", corpus)
    end = found["end of the run"]
    assert wrong(found) == {"end of the run"} and "at step 2; the losses before it: 1" in end.evidence
    assert "a tenth of its learning rates (now --lr-text 10000 --lr-head 10000)" in end.remedy
    assert all(found[name].state == "not checked" for name in CHECKS if name != "end of the run")
    assert "No epoch is done" in found["tag loss"].evidence and "no weights" in found["entities"].evidence
    stop = json.loads((tmp_path / "run/stopped.json").read_text())
    assert f"The {stop['what']} became {stop['value']}" in str(error.value)
    assert stop["step"] == len(stop["losses"]) == 2 and ", ".join(stop["tweets"]) in str(error.value)


def test_a_stop_names_its_step_wherever_the_loss_is_read_and_a_resumed_run_forgets_it(tmp_path):
    corpus, config = colours(train=64, pictures=False), settings(log_every=3, epochs=3)
    trainer = Trainer(corpus, text_only(), config, tmp_path / "run", progress=False)
    with pytest.raises(RunError):
        for step in trainer:
            if step.number == 6:  # 4 steps an epoch; the loss is read after 3 more and after each epoch
                with torch.no_grad():
                    trainer.model.classifier[1].weight.fill_(float("nan"))
    stop = json.loads((tmp_path / "run/stopped.json").read_text())
    assert (stop["step"], stop["what"], stop["value"], len(stop["losses"])) == (7, "loss", "nan", 2)
    found = findings(tmp_path / "run", corpus)
    assert "The loss became nan at step 7" in found["end of the run"].evidence
    assert found["entities"].state != "not checked", "the first epoch's weights are there"
    resumed = mgips.train(corpus, text_only(), config, tmp_path / "run", resume=True, progress=False)
    assert len(resumed.history) == 3 and not (tmp_path / "run/stopped.json").exists()


def test_a_run_that_was_stopped(tmp_path):
    corpus, config = colours(pictures=False), settings(epochs=3)
    for step in Trainer(corpus, text_only(), config, tmp_path / "run", progress=False):
        if step.number == 1:
            early = findings(tmp_path / "run", corpus)["end of the run"]
        if step.number == 25:
            break
    assert "0 of 3 epochs are done" in early.evidence and "from the beginning" in early.remedy
    end = findings(tmp_path / "run", corpus)["end of the run"]
    assert end.state == "wrong" and "2 of 3 epochs are done" in end.evidence
    assert "--resume, from its checkpoint" in end.remedy


def test_all_o(trained):
    """The classifier alone learns, so it knows how often each tag is and nothing of the words."""
    found = trained(colours(pictures=False), text_only(), settings(**{**rates(1e-9), "lr_head": 6e-3}, epochs=5))
    assert "entities" in wrong(found) and "All O, or nearly: " in found["entities"].evidence
    assert "% of train's words have a tag other than O" in found["entities"].remedy
    assert found["types"].state == "not checked" or "See the tag loss" in found["types"].remedy


def test_rates_near_zero_are_a_flat_loss_and_too_small_steps(trained):
    found = trained(colours(pictures=False), text_only(), settings(**rates(1e-8), epochs=2))
    assert {"schedule", "tag loss"} <= wrong(found)
    assert "20 steps a weight of the classifier moves by about 1e-07 at most" in found["schedule"].evidence
    assert found["tag loss"].evidence.startswith("Flat, or stuck: ")
    assert "Raise the learning rates tenfold (now --lr-text 1e-08 --lr-head 1e-08)" in found["tag loss"].remedy


def test_rates_far_too_high_are_a_loss_that_diverges(trained):
    high = settings(**rates(3), epochs=3, max_grad_norm=0, warmup_ratio=0.97)
    found = trained(colours(pictures=False), text_only(), high)
    assert found["tag loss"].evidence.startswith("It diverges: ")
    assert "a tenth" in found["tag loss"].remedy and "--max-grad-norm 1" in found["tag loss"].remedy


def test_the_tag_loss_without_words_is_that_of_the_best_chain(trained, tmp_path):
    """By brute force: no chain of tags has a lower mean loss on train than the one with train's own frequencies."""
    corpus = colours(train=32, pictures=False)
    found = trained(corpus, text_only(), settings(epochs=1))
    case = diagnosis._Case(tmp_path / "run", corpus, None, False)
    assert f"{case.blind:.3g}, what the frequencies of the tags alone give" in found["tag loss"].evidence
    tags = sorted({tag for tweet in corpus.train for tag in tweet.tags})

    def loss(step) -> float:
        rows = (("", *tweet.tags) for tweet in corpus.train)
        pairs = [(a, b) for row in rows for a, b in zip(row, row[1:], strict=False)]
        return -sum(step[a][tags.index(b)].log().item() for a, b in pairs) / len(corpus.train)

    counts = {
        a: torch.tensor([sum(row[i : i + 2] == (a, b) for t in corpus.train for row in [("", *t.tags)] for i in range(len(row))) for b in tags])
        for a in ("", *tags)
    }  # fmt: skip
    best = {a: n / n.sum().clamp(min=1) for a, n in counts.items()}
    assert case.blind == pytest.approx(loss(best))
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = {a: (p + 0.05 * torch.rand(len(tags), generator=generator)) for a, p in best.items()}
        assert loss({a: p / p.sum() for a, p in other.items()}) > case.blind


def test_a_run_that_ended_while_dev_still_rose(trained):
    found = trained(colours(pictures=False, ambiguous=0.4), text_only(), settings(epochs=2))
    assert found["schedule"].evidence.startswith("Dev F1 still rose when it ended")
    assert found["schedule"].remedy == "Train for longer: --epochs 4."


def test_a_run_that_ended_inside_its_warm_up(trained):
    config = settings(epochs=8, patience=1, warmup_ratio=0.9, **rates(1e-9))
    found = trained(colours(pictures=False), text_only(), config)
    assert "20 steps are done, and the warm-up takes 72 of the 80 planned" in found["schedule"].evidence
    assert "by --patience 1" in found["end of the run"].evidence
    assert found["tag loss"].evidence.startswith("Flat"), "noise is no divergence"


@pytest.mark.slow
def test_overfitting(trained):
    """Half of train's types are drawn by lot: first it learns the rule, then the lots."""
    clean, rng = colours(train=120, pictures=False), random.Random(1)
    noisy = tuple(
        replace(
            t, tags=tuple(tag if tag == "O" or rng.random() > 0.5 else f"B-{rng.choice([*NAMES])}" for tag in t.tags)
        )
        for t in clean.train
    )
    config = settings(epochs=25, batch_size=8, weight_decay=0.0, warmup_ratio=0.0, **rates(3e-3))
    found = trained(replace(clean, train=noisy), text_only(dropout=0.0), config)
    assert found["overfitting"].state == "wrong" and "below its interval for 3 epochs" in found["overfitting"].evidence
    assert "--patience 3" in found["overfitting"].remedy


def test_a_type_that_is_never_predicted(trained):
    train, test = (posts(split, 160, kinds=("PER",) * 40 + ("ORG",), pictures=False) for split in ("train", "test"))
    corpus = Corpus("rare", train, posts("dev", 80, kinds=("PER", "ORG"), pictures=False), test)
    found = trained(corpus, text_only(), settings(epochs=5))
    assert "types" in wrong(found) and found["types"].evidence.startswith("Only PER is predicted, ")
    gold = [sum(tags.count("B-ORG") for tags in (t.tags for t in split)) for split in (corpus.dev, corpus.train)]
    assert f"never predicted: ORG (gold: {gold[0]} in dev, {gold[1]} in train)" in found["types"].evidence


def test_dev_far_above_test_whose_tags_are_of_other_types(trained):
    corpus = colours(pictures=False)
    turned = {"O": "O", "B-PER": "B-LOC", "B-LOC": "B-ORG", "B-ORG": "B-PER"}
    test = tuple(replace(tweet, tags=tuple(turned[tag] for tag in tweet.tags)) for tweet in corpus.test)
    found = trained(replace(corpus, test=test), text_only(), settings())
    assert wrong(found) == {"dev and test"} and "Dev lies far above test" in found["dev and test"].evidence
    assert "tagged as train and dev are" in found["dev and test"].remedy


def test_a_leak_of_test_posts_into_train(trained):
    """Half of test is in train too; the other half has names that train has not, of types by lot. Dev has no leak."""
    corpus = colours(train=120, pictures=False)
    strange = posts("strange", 40, pictures=False, names=lambda split, number: f"{split}{number}")
    copies = tuple(replace(t, id=f"copy {t.id}", words=(*t.words, "!"), tags=(*t.tags, "O")) for t in corpus.test[:40])
    leaky = replace(corpus, train=(*corpus.train, *copies), test=(*corpus.test[:40], *strange))
    found = trained(leaky, text_only(), settings())
    assert "leak" in wrong(found) and "40 of 80 posts of test: 100.0 % of their entities" in found["leak"].evidence
    assert "of dev" not in found["leak"].evidence and "mgips split" in found["leak"].remedy
    clean = replace(
        leaky, test=(*(replace(t, words=(*t.words, "again"), tags=(*t.tags, "O")) for t in corpus.test[:40]), *strange)
    )
    assert diagnosis._leak(diagnosis._Case(trained.folder, clean, None, False))[0] == "fine", "the same, not in train"


def test_the_same_text_and_the_same_picture_are_found_in_train(tmp_path):
    tweet = Tweet("a", ("Hello", "Oslo", "http://x.y", "!"), ("O", "B-LOC", "O", "O"), b"some bytes")
    (tmp_path / "b.jpg").write_bytes(b"some bytes")
    signs = [diagnosis._signs(t) for t in (tweet, replace(tweet, words=("hello", "oslo"), image=tmp_path / "b.jpg"))]
    assert signs[0] == signs[1] and len(signs[0]) == 2
    assert set(diagnosis._signs(replace(tweet, words=("other",), image=tmp_path / "none.jpg"))).isdisjoint(signs[0])


def test_a_corpus_without_pictures_for_a_model_with_images(trained):
    found = trained(colours(pictures=False), full(), settings())
    assert (
        wrong(found) == {"pictures"}
        and "0.0 % of train's posts have one, and 0 of dev's 80" in found["pictures"].evidence
    )
    assert "--variant text" in found["pictures"].remedy and found["hubs"].state == "not checked"


def test_pictures_that_say_nothing_are_unused(trained):
    """Every post has another post's picture, and its name tells the type anyway."""
    given, others = colours(), colours(seed=1)
    mixed = {
        name: tuple(replace(a, image=b.image) for a, b in zip(split, others.splits[name], strict=True))
        for name, split in given.splits.items()
    }
    found = trained(Corpus("mixed", **mixed), full(ips_loss=False, cl_loss=False), settings(epochs=5))
    assert wrong(found) == {"pictures"} and found["pictures"].evidence.startswith("Pictures unused: 0.0 [0.0, 4.6] %")
    assert "--lr-image 0.004" in found["pictures"].remedy


def test_too_few_pictures_are_not_judged(healthy):
    corpus = mgips.load_corpus(healthy.parent / "colours")
    few = tuple(replace(t, image=None, crops=()) for t in corpus.dev[3:])
    unambiguous = tuple(t for t in corpus.dev if "Juno" not in t.words)[:3]
    finding = findings(healthy, replace(corpus, dev=(*unambiguous, *few)))["pictures"]
    assert finding.state == "not checked" and "3 posts with a picture are too few" in finding.evidence


def test_words_that_are_cut(trained):
    corpus = colours(pictures=False, other=40)
    found = trained(corpus, text_only(max_length=6), settings())
    gold, past = 0, 0
    for tweet in (*corpus.train, *corpus.dev, *corpus.test):
        gold, past = gold + 1, past + (tweet.tags.index(next(t for t in tweet.tags if t != "O")) >= 4)
    assert "cut words" in wrong(found) and f"{past} of {gold} gold entities" in found["cut words"].evidence
    assert "--max-length 16 holds the longest post" in found["cut words"].remedy
    read = trained(corpus, text_only(max_length=8, overlap=2), settings(epochs=1), "windows")
    assert read["cut words"].state == "fine" and "in windows" in read["cut words"].evidence


def test_a_collapsed_image_head_makes_hubs(tmp_path):
    model = mgips.load("tiny-full")
    with torch.no_grad():
        model.image_head.linear.weight.zero_()
    model.save_pretrained(tmp_path / "model")
    found = findings(tmp_path / "model", drawn_corpus("tinytweets:train=40,dev=40,test=40"))
    assert wrong(found) == {"hubs"} and "fill 100.0 % of the places" in found["hubs"].evidence
    assert "--contrast-norm and --csls" in found["hubs"].remedy


# ---- what cannot be checked, and mistakes ----


def test_without_its_corpus_the_run_alone_is_judged(healthy, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(healthy, run)
    record = json.loads((run / "run.json").read_text())
    record["corpus"]["source"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(record))
    found = findings(run)
    assert not wrong(found) and found["end of the run"].state == found["schedule"].state == "fine"
    assert found["entities"].state == "not checked" and "corpus was not found" in found["entities"].evidence
    with pytest.raises(DataError, match="gone"):
        diagnose(run, tmp_path / "gone", progress=False)


def test_another_corpus_is_scored_but_says_nothing_of_the_history(healthy):
    found = findings(healthy, colours(ambiguous=0.4, seed=3))
    assert found["entities"].state == "fine" and not wrong(found)
    for name in ("tag loss", "overfitting"):
        assert found[name].state == "not checked" and "not trained on the very posts" in found[name].evidence


def test_a_text_only_model_and_splits_without_tags(trained, tmp_path):
    corpus = colours(pictures=False)
    found = trained(corpus, text_only(), settings())
    assert "sees no pictures" in found["pictures"].evidence and "mines nothing" in found["hubs"].evidence
    bare = replace(corpus, dev=tuple(replace(t, tags=()) for t in corpus.dev))
    assert "has no tags" in findings(tmp_path / "run", bare)["entities"].evidence


def test_mistakes_are_told_in_one_sentence(tmp_path, capsys):
    with pytest.raises(RunError):
        diagnose(tmp_path, progress=False)
    assert main(["doctor", str(tmp_path)]) == 2 and "mgips: " in capsys.readouterr().err
    assert main(["doctor", "--corpus", "tinytweets"]) == 2
    assert "name its folder too" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        diagnose("tiny-text", "tinytweets:no=1", progress=False)


@pytest.mark.parametrize("file", ["run.json", "results.json", "metrics.jsonl", "config.json"])
@pytest.mark.parametrize("content", ['{"corp', "[1]"])
def test_a_damaged_file_is_one_sentence(tmp_path, capsys, file, content):
    if (file, content) == ("metrics.jsonl", "[1]"):
        content = "\ufffd"
    tiny_model(images=False).save_pretrained(tmp_path)
    (tmp_path / "run.json").write_text('{"corpus": {"name": "tinytweets"}, "train": {}}')
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert main(["doctor", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"mgips: {tmp_path / file}") and len(told.splitlines()) == 1
    if file == "run.json":
        assert main(["evaluate", str(tmp_path)]) == 2
        assert "run.json is damaged" in capsys.readouterr().err


def test_parts_of_a_record_that_are_not_what_a_run_writes(tmp_path):
    (tmp_path / "run.json").write_text('{"corpus": 3}')
    with pytest.raises(RunError, match="run.json is damaged"):
        diagnose(tmp_path)
