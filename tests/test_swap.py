"""The image-swap inspector without a browser: what its controls show, and what it does with a file that is no picture."""

import dataclasses
import datetime

import numpy as np
import pytest
import torch
from builders import assert_apart_on_the_page, best_others_by_loop, encoded, picture, tiny_model, tweets, variant_model
from PIL import Image

from mgips.config import CAPTIONS
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.errors import ConfigError, DataError
from mgips.lab.counterfactual import blank, noise, same_type, shuffled
from mgips.lab.stats import flips
from mgips.lab.widgets import inspect_swap
from mgips.lab.widgets.base import FALLBACK_BYTES, png
from mgips.model.mgips import MGIPS
from mgips.model.shipped import shipped


@pytest.fixture(scope="module")
def models():
    """Random models of four kinds; their weights are made larger, so that a picture can turn an answer."""
    made = {
        "full": tiny_model(),
        "w/o MGI": tiny_model(mgi=False),
        "apart": tiny_model(mutual_attention=False),
        "text only": tiny_model(images=False),
    }
    with torch.no_grad():
        for model in made.values():
            model.classifier[1].weight.mul_(50)
    return made


@pytest.fixture
def swap(models, days):
    return inspect_swap(models, days)


def give(swap, content: bytes, name: str = "photo.png") -> None:
    """Upload a file, as the front end does."""
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    swap.upload.value = ({**file, "last_modified": datetime.datetime.now(datetime.UTC)},)


def test_it_starts_with_the_first_post_as_it_is(swap, days):
    assert swap.selected is days.test[0] and swap.swapped is swap.selected and swap.flipped() == []
    assert all(own == other for own, other in swap.answers().values())
    assert {"mgips-swap"} <= set(swap._dom_classes)
    for control, name in ((swap.image, "mgips-image"), (swap.post, "mgips-post"), (swap.upload, "mgips-upload")):
        assert name in control._dom_classes


@pytest.mark.parametrize("kind", ["blank", "noise", "shuffled", "same type"])
def test_answers_are_the_models_own_for_the_very_same_picture(kind, swap, models, days):
    swaps = {"blank": blank, "noise": noise, "shuffled": shuffled, "same type": lambda t: same_type(t)[0]}
    others = swaps[kind](days.test)
    swap.image.value = kind
    turns = np.flatnonzero(flips(models["full"].predict(days.test), models["full"].predict(others)))
    for place in {0, 9, *turns[:2].tolist()}:
        swap.select(place)
        assert swap.selected is days.test[place]
        assert (swap.swapped.image, swap.swapped.crops) == (others[place].image, others[place].crops)
        for name, (own, other) in swap.answers().items():
            assert own.tags == models[name].predict([days.test[place]])[0]
            assert other.tags == models[name].predict([others[place]])[0]
            assert (name in swap.flipped()) == (own.tags != other.tags)
        assert ("full" in swap.flipped()) == (place in turns) and "text only" not in swap.flipped()
    assert len(turns), "no picture turns an answer"


def test_gate_and_attention_are_what_the_forward_pass_weighs(swap, models, days):
    swap.image.value = "shuffled"
    swap.select(5)
    for post, which in ((swap.selected, 0), (swap.swapped, 1)):
        answers = {name: both[which] for name, both in swap.answers().items()}
        model = models["full"]
        batch = model.batcher([post])
        with torch.no_grad():
            out = model(batch, attention=True)
        n = batch.pieces.shape[1]
        gates, shares = [], []
        for piece in batch.first[0].tolist():
            gates.append(float(out.text_gate[0, piece].mean()))
            for layer in out.attention:
                for head in layer.text[0]:
                    assert len(head[piece]) == n + 49
                    shares.append(float(head[piece][:49].sum()))
        assert answers["full"].gate == pytest.approx(np.mean(gates), abs=1e-5)
        assert answers["full"].image == pytest.approx(np.mean(shares), abs=1e-5)
        assert answers["w/o MGI"].gate is None and 0 < answers["w/o MGI"].image < 1
        assert answers["apart"].image == 0 and 0 < answers["apart"].gate < 1
        assert answers["text only"].gate is answers["text only"].image is None


def test_the_mined_picture_is_the_best_of_another_post(swap, models, days):
    best = best_others_by_loop(models["full"], days.test)
    swap.image.value = "mined"
    for place in (0, 7, 31):
        swap.select(place)
        assert swap.swapped.image == days.test[best[place]].image


def test_nothing_is_mined_without_a_model_that_mines(models, days):
    assert "mined" not in inspect_swap({"text only": models["text only"]}, days).image.options
    assert "mined" not in inspect_swap({"full": models["full"]}, days.test[:1]).image.options


def test_each_control_draws_anew_and_says_what_is_shown(swap, days):
    seen = {swap.view.value}
    for kind in ("blank", "shuffled", "noise", "mined"):
        swap.image.value = kind
        assert f"picture “{kind}”" in swap.describe() and f"{len(swap.flipped())} of 4 models" in swap.describe()
        assert swap.view.value not in seen and swap.error.value == ""
        seen.add(swap.view.value)
    swap.post.value = 3
    assert swap.selected is days.test[2] and swap.view.value not in seen and "picture “mined”" in swap.describe()


def test_a_picture_of_ones_own_is_shown_and_kept_from_post_to_post(swap, models):
    swap.image.value = "blank"
    mine = picture(77)
    give(swap, encoded(mine))
    assert swap.image.value == "upload" and swap.error.value == ""
    assert np.array_equal(np.asarray(swap.swapped.image), np.asarray(mine)) and swap.swapped.crops == ()
    swap.post.value = 4
    post = dataclasses.replace(swap.selected, image=mine, crops=())
    assert swap.answers()["full"][1].tags == models["full"].predict([post])[0]
    before = swap.view.value
    give(swap, encoded(Image.new("RGB", (90, 20), "red")))
    assert swap.view.value != before and swap.swapped.image.size == (90, 20)
    swap.image.value = "own"
    assert swap.swapped is swap.selected
    swap.image.value = "upload"
    assert swap.swapped.image.size == (90, 20)


@pytest.mark.parametrize("content", [b"no picture at all", b"", b"\x89PNG\r\n\x1a\n cut"])
def test_a_file_that_is_no_picture_is_reported_in_one_sentence_and_changes_nothing(content, swap):
    swap.image.value = "shuffled"
    before = swap.view.value
    with pytest.raises(DataError, match=r"^<b>\.png is [^/]+\.$"):
        give(swap, content, "<b>.png")
    assert "&lt;b&gt;.png is " in swap.error.value and swap.error.layout.display is None
    assert swap.image.value == "shuffled" and "upload" not in swap.image.options and swap.view.value == before
    give(swap, encoded(picture(1)))
    assert swap.error.value == "" and swap.image.value == "upload"
    good = swap.view.value
    with pytest.raises(DataError):
        give(swap, content)
    assert swap.view.value == good and swap.image.value == "upload"


def test_in_a_notebook_the_error_stays_until_something_else_is_done(swap, monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.base.under_test", lambda: False)
    give(swap, b"GIF89a")
    assert "photo.png is " in swap.error.value
    swap.image.value = "blank"
    assert swap.error.value == ""


def test_a_page_without_widgets_shows_a_picture_with_its_text(swap):
    swap.image.value = "blank"
    data, metadata = swap._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG") and len(data["image/png"]) < FALLBACK_BYTES
    assert data["text/plain"] == metadata["image/png"]["alt"] == swap.describe()
    assert swap.picture().get_suptitle().startswith(f"Post {swap.selected.id} with the picture “blank”")


def test_nothing_overlaps_on_the_picture(swap):
    for place, kind in ((0, "own"), (3, "noise"), (11, "mined")):
        swap.select(place)
        swap.image.value = kind
        drawn = swap.picture()
        png(drawn)
        assert_apart_on_the_page(drawn, [*drawn.texts, *drawn.axes])


@pytest.mark.filterwarnings("error")
def test_odd_posts_can_be_shown(models):
    odd = Tweet("odd", ("🫠", "我", "<i>", "$x$", "_") + ("word",) * 60, image=picture(1))
    bare = dataclasses.replace(tweets(4)[3], tags=("O",) * 4)
    for posts in ((odd, bare), Corpus("odd", (), (), (odd, bare))):
        swap = inspect_swap(models, posts)
        for kind in swap.image.options:
            swap.image.value = kind
            swap.select(0)
            assert "<i>" not in swap.view.value and "Gold" not in swap.describe()
            swap.select(1)
            assert swap.error.value == ""


def test_what_cannot_be_inspected(models, days):
    with pytest.raises(ConfigError, match="no models to compare"):
        inspect_swap({}, days)
    with pytest.raises(ConfigError, match="no posts"):
        inspect_swap(models, [])
    with pytest.raises(ConfigError, match="no post 'nobody'"):
        inspect_swap(models, days).select("nobody")


# ---- models that read, models that read captions ----


@pytest.fixture(scope="module")
def reader():
    """A random model that reads, whose answers turn with what it reads."""
    made = variant_model("reads")
    with torch.no_grad():
        made.classifier[1].weight.mul_(50)
        made.reader.value.weight.mul_(30)
        made.reader.time[0] = 0.02
    return made


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("kind", ["blank", "shuffled"])
def test_a_model_that_reads_finds_the_post_as_it_is_shown_among_the_others(kind, reader, models, days):
    swap = inspect_swap({"reads": reader, "full": models["full"]}, days)
    others = {"blank": blank, "shuffled": shuffled}[kind](days.test)
    swap.image.value = kind
    changes = []
    for place in range(0, 40, 3):
        swap.post.value = place + 1
        own, other = swap.answers()["reads"]
        assert own.tags == reader.predict([days.test[place]], pool=days.test)[0]
        posts = [*days.test[:place], others[place], *days.test[place + 1 :]]
        assert other.tags == reader.predict([others[place]], pool=posts)[0]
        assert other.read.without == reader.predict([others[place]], pool=reader.pool(blank(days.test)))[0]
        (_, _, out), = reader.outputs(swap_data(reader, others[place]), pool=posts)  # fmt: skip
        weights = out.reading.weights[0]
        assert other.read.nothing == pytest.approx(float(weights[-1]), abs=1e-5)
        assert other.read.best[1] == pytest.approx(float(weights[:-1].max()), abs=1e-5)
        assert not (kind == "blank" and other.read.best[0] == days.test[place].id)  # its own is away
        changes.append(other.tags != other.read.without)
        assert ("the answer changes through what is read" in swap.describe()) == changes[-1]
        lines = [text.get_text() for text in swap.picture().texts if text.get_text().startswith("reads: it reads")]
        assert len(lines) == 1 and f"nothing with {other.read.nothing:.0%}" in lines[0]
        assert swap.answers()["full"][1].read is None
    assert True in changes


def swap_data(model, post):
    return TweetDataset([post], model.batcher, progress=False)


def test_nothing_overlaps_with_what_is_read(reader, models, days):
    swap = inspect_swap({"reads": reader, "text only": models["text only"]}, days)
    swap.image.value = "noise"
    drawn = swap.picture()
    assert_apart_on_the_page(drawn, [*drawn.texts, *drawn.axes])


def test_a_pool_can_be_given_and_holds_what_it_holds(reader, models, days):
    given = days.test[:10]
    for pool in (given, reader.pool(given)):
        swap = inspect_swap({"reads": reader, "full": models["full"]}, days, pool=pool)
        swap.image.value = "shuffled"
        swap.post.value = 31  # not in the pool, whatever it shows
        assert swap.answers()["reads"][1].tags == reader.predict([swap.swapped], pool=given)[0]
        swap.post.value = 3
        shown = [*given[:2], swap.swapped, *given[3:]]
        assert swap.answers()["reads"][1].tags == reader.predict([swap.swapped], pool=shown)[0]
    with pytest.raises(ConfigError, match="reads no pool"):
        inspect_swap({"full": models["full"]}, days, pool=given)
    with pytest.raises(ConfigError, match="other weights"):
        inspect_swap({"other": variant_model("reads")}, days, pool=reader.pool(given))
    if "tiny-reads" in shipped():
        assert inspect_swap({"by name": "tiny-reads"}, days.test[:3]).answers()["by name"][0].read is not None


@pytest.mark.filterwarnings("error::UserWarning")
def test_captions_are_exchanged_and_shown(models):
    said = ("a man", "two women", "", "a dog in a boat", "<b>bold</b>", "a man " * 30)
    posts = [dataclasses.replace(t, caption=said[i % 6]) for i, t in enumerate(tweets(12))]
    made = {}
    for name in ("full", "reads"):
        config = dataclasses.replace(variant_model(name).config, image_encoder=CAPTIONS)
        made[name] = MGIPS.build(config, posts, seed=0).eval()
    swap = inspect_swap(made, posts)
    assert swap.image.options == ("own", "blank", "shuffled", "same type", "mined") and swap.upload.disabled
    for kind, others in (("blank", blank(posts)), ("shuffled", shuffled(posts))):
        swap.image.value = kind
        for place in (0, 3, 5):
            swap.select(place)
            assert swap.swapped.caption == others[place].caption
            assert swap.answers()["full"][1].tags == made["full"].predict([others[place]])[0]
            texts = [text.get_text() for text in swap.picture().texts]
            assert place != 3 or "a dog in a boat" in texts
            assert kind != "blank" or "(no caption)" in texts
    drawn = swap.picture()
    assert_apart_on_the_page(drawn, drawn.texts)
    both = inspect_swap({"pictures": models["full"], "captions": made["full"]}, posts)
    assert "noise" in both.image.options and not both.upload.disabled
    both.image.value = "shuffled"
    both.select(3)
    drawn = both.picture()
    assert_apart_on_the_page(drawn, drawn.axes)
    assert len(drawn.axes) == 4 and "a dog in a boat" in [text.get_text() for text in drawn.texts]
    give(both, encoded(picture(5)))
    assert both.swapped.caption == ""  # nobody has said what it shows
