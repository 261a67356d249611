"""Do images matter? Every number of a probe counted again the plain way; titles that follow the intervals."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from builders import assert_apart_on_the_page, best_others_by_loop, save_result, text_of, tiny_model, tweets
from builders import corpus as small_corpus
from matplotlib.text import Text
from scipy import stats
from seqeval.metrics import f1_score

from mgips.cli import main
from mgips.config import CAPTIONS, VARIANTS
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
from mgips.data.spans import spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError
from mgips.evaluate import predict_split, score
from mgips.lab.cases import collect
from mgips.lab.counterfactual import blank, noise, same_type, shuffled, with_pictures_of
from mgips.lab.figures import style
from mgips.lab.figures.probe import average, fig_probe, finding, probe_figure
from mgips.lab.grids import GRIDS
from mgips.lab.probe import NO_NOISE, NO_POOL, READS, part_counts, probe
from mgips.lab.results import result_path
from mgips.lab.stats import NO_DIFFERENCE, paired_bootstrap, tweet_counts
from mgips.mining import best_of_others
from mgips.model.pretrained import weights_hash
from mgips.tags import tag_set

DRAWS = 200


def sensitive(**changes):
    """A random model whose tags change easily."""
    model = tiny_model(**changes)
    with torch.no_grad():
        model.classifier[-1].weight *= 40
    return model


@pytest.fixture(scope="module")
def small():
    """A corpus, a model that is touched by every picture, and its probe."""
    corpus = tinytweets(1, sizes=(64, 1, 64), missing=0.2)
    model = sensitive()
    return corpus, model, probe(model, corpus, seed=5, draws=DRAWS, progress=False)


def test_every_condition_is_what_prediction_of_the_swapped_posts_gives(small):
    corpus, model, found = small
    posts, true = corpus.test, model.predict(corpus.test)
    twins, alone = same_type(posts, 5)
    others = {"blank": blank(posts), "noise": noise(posts, 5), "shuffled": shuffled(posts, 5), "same-type": twins,
              "mined": with_pictures_of(posts, best_others_by_loop(model, posts))}  # fmt: skip
    assert [one.name for one in found.conditions] == ["true", *others]
    assert alone.any() and any(f"leaves out {alone.sum()} posts" in note for note in found.notes)
    for one in found.conditions[1:]:
        rows = [i for i in range(len(posts)) if one.name != "same-type" or not alone[i]]
        tags = model.predict(others[one.name])
        gold = [list(posts[i].tags) for i in rows]
        f1 = [f1_score(gold, [x[i] for i in rows], zero_division=0) for x in (true, tags)]
        assert one.f1.value == pytest.approx(f1[1]) and one.difference.difference == pytest.approx(f1[1] - f1[0])
        assert (one.posts, one.f1.count) == (len(rows), sum(len(spans(posts[i].words, posts[i].tags)) for i in rows))
        given = [i for i in rows if one.name == "mined" or posts[i].image is not None]
        assert one.flips.count == len(given)
        assert one.flips.value == pytest.approx(np.mean([true[i] != tags[i] for i in given]))
        assert one.f1.low <= one.f1.value <= one.f1.high and one.flips.value > 0
        before, after = (tweet_counts(gold, [x[i] for i in rows]) for x in (true, tags))
        assert one.difference == paired_bootstrap([before], [after], DRAWS, 5)
    assert found.conditions[0].f1.value == pytest.approx(score([t.tags for t in posts], true).f1)
    assert found.conditions[0].flips is None and found.conditions[0].difference is None
    told = found.corpus, found.sha256, found.weights, found.split, found.seed, found.posts
    assert told == ("tinytweets", corpus.fingerprint(), weights_hash(model), "test", 5, 64)
    assert found.pictures == sum(t.image is not None for t in posts) < 64


def test_parts_of_the_posts_are_scored_as_splits_of_their_own(small):
    corpus, model, found = small
    posts = corpus.test
    parts = {(one.by, one.name): one for one in found.parts}
    rules = {("picture", "present"): lambda t: t.image is not None, ("picture", "missing"): lambda t: t.image is None,
             ("relation", "related"): lambda t: t.truth.related,
             ("relation", "unrelated"): lambda t: t.image is not None and not t.truth.related}  # fmt: skip
    for place, rule in rules.items():
        own, one = [t for t in posts if rule(t)], parts[place]
        for estimate, shown in ((one.true, own), (one.blank, blank(own))):
            expected = score([t.tags for t in own], model.predict(shown))
            assert (estimate.value, estimate.count) == (pytest.approx(expected.f1), expected.support)
        assert one.posts == len(own)
        assert one.difference.difference == pytest.approx(one.blank.value - one.true.value)
    missing = parts["picture", "missing"].difference
    assert (missing.difference, missing.low, missing.high) == (0, 0, 0)  # nothing can be taken from them


def test_parts_of_the_entities_are_counted_one_by_one(small):
    corpus, model, found = small
    posts = corpus.test
    known = {(s.text.lower(), s.type) for t in corpus.train for s in spans(t.words, t.tags)}
    rules = {("mention", "seen"): lambda text, kind: (text.lower(), kind) in known,
             ("mention", "unseen"): lambda text, kind: (text.lower(), kind) not in known}  # fmt: skip
    types = score([t.tags for t in posts], model.predict(posts)).per_type
    parts = {(one.by, one.name): one for one in found.parts}
    for kind in ("PER", "LOC", "ORG", "MISC"):
        assert parts["type", kind].true.value == pytest.approx(types[kind].f1)
        assert parts["type", kind].true.count == types[kind].support
    for key, shown in (("true", posts), ("blank", blank(posts))):
        predicted = model.predict(shown)
        for place, rule in rules.items():
            right = said = gold = 0
            for tweet, tags in zip(posts, predicted, strict=True):
                a, b = ([s for s in spans(tweet.words, x) if rule(s.text, s.type)] for x in (tweet.tags, tags))
                right, said, gold = right + sum(s in a for s in b), said + len(b), gold + len(a)
            one = getattr(parts[place], key)
            assert one.value == pytest.approx(2 * right / (said + gold)) and one.count == gold > 0
    for by in ("type", "mention", "picture"):  # each way to group the entities loses none
        assert sum(one.true.count for one in found.parts if one.by == by) == found.entities


def test_the_parts_of_a_tweets_entities_add_up_to_its_counts(small):
    corpus, model, _ = small
    posts, predicted = corpus.test, model.predict(corpus.test)
    short = [part_counts(posts, predicted, rule) for rule in (lambda s: len(s.text) < 7, lambda s: len(s.text) >= 7)]
    assert (sum(short) == tweet_counts([t.tags for t in posts], predicted)).all() and all(x.any() for x in short)


def test_a_model_that_ignores_its_images_is_found_out():
    """It has pictures, mines them, and its tags do not know: rates and differences are 0, not merely small."""
    model = sensitive(mutual_attention=False, mgi=False)
    found = probe(model, tinytweets(0, sizes=(32, 1, 48)), draws=DRAWS, progress=False)
    assert [one.name for one in found.conditions] == ["true", "blank", "noise", "shuffled", "same-type", "mined"]
    for one in found.conditions[1:]:
        assert one.flips.value == 0 and one.flips.count > 30 and 0 < one.flips.high < 0.12
        assert (one.difference.difference, one.difference.low, one.difference.high) == (0, 0, 0)
        assert one.difference.verdict == "no detectable difference"
    assert all(one.difference.difference == 0 for one in found.parts)
    title = finding(found.to_dict())
    assert "No detectable difference" in title and "uses" not in title and "cost" not in title


@pytest.mark.parametrize("training", [True, False])
def test_a_probe_leaves_the_model_as_it_was_and_is_the_same_each_time(small, training):
    corpus, model, found = small
    before = weights_hash(model)
    model.train(training)
    again = probe(model, corpus, seed=5, draws=DRAWS, progress=False)
    assert all(module.training == training for module in model.modules()) and weights_hash(model) == before
    model.eval()
    assert again == found
    other = probe(model, corpus, seed=6, draws=DRAWS, progress=False)
    assert other.conditions[0].f1.value == found.conditions[0].f1.value and other.conditions[2] != found.conditions[2]


def test_what_a_model_cannot_be_asked_is_said_in_a_sentence():
    posts = small_corpus()
    text = probe(tiny_model(images=False), posts, draws=DRAWS, progress=False)
    assert [one.name for one in text.conditions] == ["true"] and "has no images" in str(text)
    assert all(one.blank is None for one in text.parts)
    assert {one.by for one in text.parts} == {"type", "mention", "picture"}
    plain = probe(tiny_model(ips_loss=False, cl_loss=False), posts, draws=DRAWS, progress=False)
    assert [one.name for one in plain.conditions][-1] != "mined" and "mines nothing" in str(plain)
    bare = replace(posts, test=tuple(blank(posts.test)))
    none = probe(tiny_model(), bare, draws=DRAWS, progress=False)
    assert [one.name for one in none.conditions] == ["true"]
    assert len(none.notes) == 5 and "shuffled is left out: it changes no post's picture." in none.notes
    assert "No picture could be swapped" in finding(none.to_dict())


def test_missing_pictures_are_never_mined():
    """Mined means a picture, even for a model that was trained to mine missing ones too."""
    posts = replace(small_corpus(), test=(tweets(8)[0], *blank(tweets(8)[1:7]), tweets(8)[7], tweets(8)[1]))
    pictured = [i for i, t in enumerate(posts.test) if t.image is not None]
    model = tiny_model(mine_missing=True)
    found = {one.name: one for one in probe(model, posts, draws=DRAWS, progress=False).conditions}
    assert len(pictured) == 2 and found["mined"].flips.count == len(posts.test)  # every post's picture is another's
    lonely = replace(posts, test=posts.test[:-1])
    assert "fewer than two posts have a picture" in str(probe(model, lonely, draws=DRAWS, progress=False))


def test_mistakes_are_one_sentence(small):
    corpus, model, _ = small
    unlabelled = replace(corpus, test=(*corpus.test[:3], replace(corpus.test[3], tags=())))
    with pytest.raises(ConfigError, match=r"^Tweet 'test-00-03' of the test split of tinytweets has no tags; [^.]*\.$"):
        probe(model, unlabelled)
    with pytest.raises(ConfigError, match="The dev split of tinytweets is empty"):
        probe(model, replace(corpus, dev=()), "dev")
    with pytest.raises(ConfigError, match="no split 'all'; the splits are train, dev, test"):
        probe(model, corpus, "all")


READER = {name: value for name, value in VARIANTS["reads"].items() if name not in ("memory", "strangers", "unseen")}


def reading(**changes):
    """A random model that reads, whose tags change easily with what it reads."""
    model = sensitive(**READER, **changes)
    with torch.no_grad():
        model.reader.value.weight *= 30
        model.reader.time[0] = 0.05
        model.learned_temperature.log.fill_(-3.5)
    return model


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_model_that_reads_finds_the_posts_as_they_are_shown():
    """Each condition against pools that are built by hand, its rule by a loop over the posts."""
    corpus, model = tinytweets(1, sizes=(8, 1, 48), missing=0.2), reading()
    posts = corpus.test
    found = probe(model, corpus, seed=5, draws=DRAWS, progress=False)
    twins, alone = same_type(posts, 5)
    others = {"blank": blank(posts), "noise": noise(posts, 5), "shuffled": shuffled(posts, 5), "same-type": twins,
              "mined": with_pictures_of(posts, best_of_others(model, TweetDataset(posts, model.batcher, False))), NO_POOL: list(posts)}  # fmt: skip
    assert [one.name for one in found.conditions] == ["true", *others] and READS in found.notes
    truth = predict_split(model, TweetDataset(posts, model.batcher, progress=False))
    assert found.conditions[0].f1.value == pytest.approx(score([t.tags for t in posts], truth).f1)
    places = {t.id: i for i, t in enumerate(posts)}
    for one in found.conditions[1:]:
        shown = others[one.name]
        if one.name == NO_POOL:
            pool = model.pool(blank(posts))
            assert len(pool) == 0
        else:

            def rule(batch, pool, shown=shown):
                return torch.tensor([
                    [posts[places[i]].image is None or shown[places[j]].image != posts[places[i]].image for j in pool.ids]
                    for i in batch.ids
                ], dtype=torch.bool).reshape(len(batch), len(pool))  # fmt: skip

            pool = model.pool(shown, rule=rule)
            assert len(pool) == {"blank": 0, "mined": 48}.get(one.name, found.pictures)
        tags = model.predict(shown, pool=pool)
        rows = [i for i in range(len(posts)) if one.name != "same-type" or not alone[i]]
        expected = score([posts[i].tags for i in rows], [tags[i] for i in rows]).f1
        assert one.f1.value == pytest.approx(expected)
        flipped = [truth[i] != tags[i] for i in rows]
        assert one.flips.count == len(rows) and one.flips.value == pytest.approx(np.mean(flipped))
    assert {one.name: one for one in found.conditions}[NO_POOL].flips.value > 0  # the pool is read at all


def test_the_true_picture_does_not_come_back_through_the_pool(monkeypatch):
    """Of a post that is shown another picture, none may be read, in any condition, that is truly its own."""
    corpus, model = tinytweets(1, sizes=(8, 1, 12), missing=0.0), reading()
    posts, seen_by = corpus.test, []
    predict = model.predict_dataset

    def watched(data, batch_size=32, pool=None):
        batch = data[range(len(data))]
        allowed = pool.readable(batch).numpy()
        shown = {t.id: t.image for t in data.tweets}
        seen_by.extend((t.image, shown[j]) for t, row in zip(posts, allowed, strict=True)
                       for j, may in zip(pool.ids, row, strict=True) if may and shown[t.id] != t.image)  # fmt: skip
        return predict(data, batch_size, pool)

    monkeypatch.setattr(model, "predict_dataset", watched)
    probe(model, corpus, seed=5, draws=DRAWS, progress=False)
    assert len(seen_by) > 300 and not [1 for own, read in seen_by if own == read]


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_cases_of_a_model_that_reads_are_read_with_the_splits_pool():
    corpus, model = tinytweets(1, sizes=(8, 1, 48), missing=0.2), reading(k=2)
    kept = collect(model, corpus)
    data = TweetDataset(corpus.test, model.batcher, progress=False)
    tags = predict_split(model, data)
    assert kept["tags"] == ["".join(str(tag_set().index(tag)) for tag in row) for row in tags]
    assert tags != model.predict(corpus.test, pool=blank(corpus.test))
    pictured = {i for i, tweet in enumerate(corpus.test) if tweet.image is not None}
    assert {i for row in kept["mined"] for i, _ in row} <= pictured and all(len(row) == 2 for row in kept["mined"])
    json.dumps(kept, allow_nan=False)


@pytest.mark.filterwarnings("error::UserWarning")
def test_captions_are_taken_away_and_exchanged_as_pictures_are():
    said = ("a man", "two women", "", "a dog in a boat", "a red hat", "a river", "", "a photo of a man")
    posts = tuple(replace(t, image=None, crops=(), caption=said[i % 7]) for i, t in enumerate(tweets(24)))
    corpus = Corpus("captions", posts, posts, posts)
    for changes in ({}, READER):
        model = sensitive(image_encoder=CAPTIONS, **changes)
        found = probe(model, corpus, seed=5, draws=DRAWS, progress=False)
        names = ["true", "blank", "shuffled", "same-type", "mined", *([NO_POOL] if changes else [])]
        assert [one.name for one in found.conditions] == names and NO_NOISE in found.notes
        assert found.pictures == sum(t.caption != "" for t in posts) < 24 and {
            one.name for one in found.parts if one.by == "picture"
        } == {
            "present",
            "missing",
        }
        if not changes:
            twins, alone = same_type(posts, 5)
            for one, shown in zip(found.conditions[1:4], (blank(posts), shuffled(posts, 5), twins), strict=True):
                rows = [i for i in range(24) if one.name != "same-type" or not alone[i]]
                tags = model.predict(shown)
                assert one.f1.value == pytest.approx(score([posts[i].tags for i in rows], [tags[i] for i in rows]).f1)
                changed = [i for i in rows if shown[i].caption != posts[i].caption]
                assert one.flips.count == len(changed) > 10
    # The picture of a post that a model reads the caption of is nothing to it.
    pictured = replace(corpus, test=tuple(replace(t, image=tweets(1)[0].image) for t in posts))
    assert probe(model, pictured, seed=5, draws=DRAWS, progress=False).conditions == found.conditions


def test_a_run_and_a_saved_model_are_probed(disk, tmp_path, capsys):
    run, disk = tmp_path / "run", str(disk)
    quick = ["--epochs", "1", "--hidden-size", "16", "--intermediate-size", "32", "--num-heads", "2", "--batch-size", "8"]  # fmt: skip
    assert main(["train", "--corpus", disk, "--preset", "tiny", str(run), *quick]) == 0
    capsys.readouterr()
    assert main(["probe", str(run), "--corpus", disk]) == 0
    out, err = capsys.readouterr()
    told = json.loads((run / "probe.json").read_text())
    assert "invented, test split: 8 posts, 6 with a picture" in out and f"are in {run}." in out and "Note:" not in err
    results = json.loads((run / "results.json").read_text())
    assert told["conditions"][0]["f1"]["value"] == pytest.approx(results["test"]["f1"])
    assert {row["difference"]["verdict"] for row in told["conditions"][1:]} <= {"helps", "hurts", NO_DIFFERENCE}
    assert (run / "probe.png").read_bytes()[:4] == b"\x89PNG" and "<svg" in (run / "probe.svg").read_text()

    tiny_model(images=False).save_pretrained(tmp_path / "saved")
    out_folder = tmp_path / "new" / "place"
    call = ["probe", str(tmp_path / "saved"), "--corpus", disk, "--split", "dev", "--seed", "3", "--json"]
    assert main([*call, "--out", str(out_folder)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["split"], told["seed"], told["images"]) == ("dev", 3, False)
    assert told == json.loads((out_folder / "probe.json").read_text())
    assert (out_folder / "probe.png").exists() and not (tmp_path / "saved" / "probe.json").exists()


def test_a_run_of_other_posts_is_told_and_mistakes_are_one_message(disk, tmp_path, capsys):
    tiny_model().save_pretrained(tmp_path / "saved")
    saved, disk = str(tmp_path / "saved"), str(disk)
    (tmp_path / "saved" / "run.json").write_text(json.dumps({"corpus": {"name": "tinytweets", "sha256": "0"}}))
    assert main(["probe", saved, "--corpus", disk]) == 0
    assert "not trained on these very posts" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ([saved, "--corpus", disk, "--out", str(tmp_path / "file")], "folder that can be written to"),
        ([str(tmp_path / "none"), "--corpus", disk], "is not a folder here"),
        ([saved, "--corpus", "nowhere"], "There is no corpus 'nowhere'"),
    ):
        assert main(["probe", *arguments]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("mgips: ") and message in error
    (tmp_path / "saved" / "run.json").unlink()
    assert main(["probe", saved]) == 2 and "--corpus" in capsys.readouterr().err


def invented(effects: dict[str, float], wide: float = 0.03, base: float = 0.8, related: float = -0.3) -> dict:
    """A record in which each condition changes F1 by so much, give or take `wide`."""

    def estimate(value, count):
        return {"value": value, "low": max(0, value - wide), "high": min(1, value + wide), "count": count}

    def difference(value):
        low, high = value - wide, value + wide
        # as in the committed records: the verdict follows from the interval, whatever an older version has stored
        return {"difference": value, "low": low, "high": high, "p": 0.5, "verdict": "cannot tell"}

    conditions = [{"name": "true", "posts": 90, "f1": estimate(base, 150), "difference": None, "flips": None}]
    for name, effect in effects.items():
        one = {"f1": estimate(base + effect, 150), "difference": difference(effect), "flips": estimate(abs(effect), 80)}
        conditions.append({"name": name, "posts": 90, **one})
    parts = []
    names = [("type", kind) for kind in ("PER", "LOC", "ORG", "MISC")] + [("mention", "seen"), ("mention", "unseen")]
    names += [("picture", "present"), ("picture", "missing"), ("relation", "related"), ("relation", "unrelated")]
    for by, name in names:
        effect = related if name == "related" else 0.0
        one = {"true": estimate(base, 40), "blank": estimate(base + effect, 40), "difference": difference(effect)}
        parts.append({"by": by, "name": name, "posts": 90, **(one if effects else {**one, "blank": None, "difference": None})})  # fmt: skip
    head = {"corpus": "tinytweets", "sha256": "", "weights": "", "images": bool(effects), "split": "test", "seed": 0}
    more = {"draws": 200, "posts": 90, "pictures": 80, "entities": 150, "notes": []}
    return {**head, **more, "conditions": conditions, "parts": parts}


def test_titles_say_what_the_intervals_allow():
    all_hurt = finding(invented({"blank": -0.19, "noise": -0.21, "shuffled": -0.2}))
    assert all_hurt == "Blank, noise and shuffled pictures cost 19 to 21 points: the model uses its images"
    one = finding(invented({"blank": -0.2, "mined": 0.01, "shuffled": -0.02}))
    assert one == (
        "Blank pictures cost 20 points: the model uses its images\n"
        "No detectable difference between F1 with mined and shuffled pictures and with the true ones"
    )
    assert "uses" not in finding(invented({"noise": -0.2, "blank": 0.0}))  # noise alone proves nothing
    assert finding(invented({"blank": 0.05})) == "Blank pictures gain 5 points"
    pool = finding(invented({"blank": -0.2, NO_POOL: -0.09}))
    assert pool == "Blank pictures cost 20 points: the model uses its images\nReading no pool costs 9 points"
    assert finding(invented({NO_POOL: 0.0, "blank": 0.05})).endswith("\nReading no pool: no detectable difference")
    wide = finding(invented({"blank": -0.19, "shuffled": -0.2}, wide=0.4))
    assert wide == "No detectable difference between F1 with blank and shuffled pictures and with the true ones"
    assert finding(invented({})) == "The model has no images: nothing to swap"


def test_the_figure_says_on_what_it_rests_and_nothing_is_cut_off():
    style.use()
    for record in (invented({"blank": -0.19, "noise": -0.21, "shuffled": -0.2, "same-type": -0.02, "mined": 0.01, NO_POOL: -0.1}), invented({})):  # fmt: skip
        figure = probe_figure(record)
        figure.canvas.draw()  # only then are the ticks where they are shown
        told = text_of(figure)
        assert "TinyTweets, test split: 90 posts" in told and "95 % intervals" in told and "150 entities" in told
        assert "seed 0" in told and finding(record) in told and "PER (40)" in told
        related = "Related pictures are worth 30 points,\nunrelated pictures: no detectable difference"
        assert (related in told) == record["images"]
        outside = {
            id(tick.label1)
            for ax in figure.axes
            for axis in (ax.xaxis, ax.yaxis)
            for tick in axis.get_major_ticks()
            if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        }
        texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
        assert_apart_on_the_page(figure, [text for text in texts if id(text) not in outside])
        plt.close(figure)


def test_an_average_of_seeds_is_their_mean_with_a_t_interval():
    effects = (-0.18, -0.22, -0.2, -0.17, -0.23)
    records = [invented({"blank": x, "noise": -0.2}, base=0.8 + x / 10) for x in effects]
    records[0]["parts"] = [part for part in records[0]["parts"] if part["name"] != "missing"]
    found = average(records)
    blanks = {one["name"]: one for one in found["conditions"]}["blank"]["difference"]
    test = stats.ttest_1samp(effects, 0)
    interval = test.confidence_interval(0.95)
    assert blanks["difference"] == pytest.approx(np.mean(effects)) and blanks["p"] == pytest.approx(test.pvalue)
    assert (blanks["low"], blanks["high"]) == pytest.approx((interval.low, interval.high))
    assert blanks["verdict"] == "hurts" and found["posts"] == 450 and found["entities"] == 750
    noisy = {one["name"]: one for one in found["conditions"]}["noise"]["difference"]
    assert noisy["low"] == noisy["high"] == pytest.approx(-0.2) and noisy["p"] == 0
    assert "missing" not in {part["name"] for part in found["parts"]} and len(found["parts"]) == 9
    rates = {one["name"]: one for one in found["conditions"]}["blank"]["flips"]
    assert rates["value"] == pytest.approx(0.2) and rates["count"] == 400


def test_the_grids_figure_names_its_seeds_or_what_is_missing(tmp_path):
    style.use()
    grid = GRIDS["probe"]
    for row in grid.rows:
        for seed in grid.seeds:
            shift = 0.01 * (seed - 2)
            effects = {} if row.name == "text" else {"blank": -0.2 + shift, "shuffled": -0.22 + shift}
            record = invented(effects, base=0.6 + shift if row.name == "text" else 0.8)
            save_result(tmp_path, "probe", row, seed, probe=record)
    figure = fig_probe(folder=tmp_path)
    told = text_of(figure)
    assert "seeds 0-4" in told and "t-intervals" in told and told.count("text-only model") == 2
    assert "Blank and shuffled pictures cost 20 to 22 points: the model uses its images" in told
    (dotted,) = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert dotted.get_xdata()[0] == pytest.approx(-20)
    assert "PER (200)" in told
    result_path(tmp_path, "probe", "text", 3).unlink()
    assert "text-s3" in text_of(fig_probe(folder=tmp_path))
