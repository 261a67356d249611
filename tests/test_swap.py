"""The swap inspector without a browser: what its controls show, and what it does with a file that is no picture."""

import asyncio
import dataclasses

import numpy as np
import pytest
import torch
from builders import (
    HOSTILE,
    assert_apart_on_the_page,
    best_others_by_loop,
    encoded,
    picture,
    structure,
    tiny_model,
    tweets,
    variant_model,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mgips.config import CAPTIONS
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.errors import ConfigError, DataError, RunError
from mgips.lab.counterfactual import blank, noise, same_type, shuffled
from mgips.lab.stats import flips
from mgips.lab.widgets import inspect_swap
from mgips.lab.widgets.base import FALLBACK_BYTES, png
from mgips.lab.widgets.html import clean, render
from mgips.lab.widgets.swap import PROBABLE, Answer
from mgips.model.mgips import MGIPS
from mgips.model.shipped import shipped
from mgips.run import Run


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
    swap.upload._hear(None, {"name": name}, [memoryview(content)])


def test_it_starts_with_the_first_post_as_it_is(swap, days):
    assert swap.selected is days.test[0] and swap.swapped is swap.selected and swap.flipped() == []
    assert all(own == other for own, other in swap.answers().values())
    assert {"mgips-swap"} <= set(swap._dom_classes)
    for control, name in ((swap.image, "image"), (swap.post, "post"), (swap.upload, "upload"), (swap.words, "words")):
        assert f"mgips-{name}" in control._dom_classes
    assert "upload" not in swap.image.options and swap.words.value == " ".join(days.test[0].words)


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
    give(swap, encoded(picture(1)), "first.png")
    assert swap.error.value == "" and swap.image.value == "upload"
    good = swap.view.value
    with pytest.raises(DataError):
        give(swap, content)
    with pytest.raises(DataError, match=r"second\.png has 60 MiB; choose a picture of at most 50 MiB"):
        swap.upload._hear(None, {"name": "second.png", "size": 60 * 2**20}, [])
    assert "second.png has 60 MiB" in swap.error.value
    assert swap.view.value == good and swap.image.value == "upload" and "upload first.png" in good


def test_in_a_notebook_the_error_stays_until_something_else_is_done(swap, monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.base.under_test", lambda: False)
    give(swap, b"GIF89a")
    assert "photo.png is " in swap.error.value
    swap.image.value = "blank"
    assert swap.error.value == ""


def test_what_stays_where_there_are_no_widgets_is_a_picture_and_a_sentence(swap):
    swap.image.value = "blank"
    swap.select(4)
    drawn = swap.picture()
    assert len(png(drawn, limit=FALLBACK_BYTES)) <= FALLBACK_BYTES
    assert drawn.get_suptitle().startswith(f"Post {swap.selected.id} with the picture “blank”")
    assert drawn.get_suptitle() in swap.describe() and "P(" in swap.describe()
    assert any(text.get_text().startswith("P(tag) of “") for text in drawn.texts)
    assert sum(len(axes.patches) for axes in drawn.axes) == 2 * 4 * len(swap.probable(swap.word, PROBABLE))


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


# ---- other words ----


def test_other_words_are_what_all_models_answer_for(swap, models, days):
    post = days.test[2]
    swap.image.value = "shuffled"
    swap.select(2)
    answers = swap.answers()
    swap.words.value = " ".join(["Sue", *post.words[1:]])
    words = ("Sue", *post.words[1:])
    for shown, pictured in ((swap.selected, post), (swap.swapped, shuffled(days.test)[2])):
        assert (shown.words, shown.tags, shown.image, shown.text) == (words, post.tags, pictured.image, "")
    assert "As many as before, so they keep the gold tags" in swap.describe() and "Sue" in swap.view.value
    assert "with other words" in swap.view.value and not swap.reset.disabled
    for name, both in swap.answers().items():
        for answer, shown in zip(both, (swap.selected, swap.swapped), strict=True):
            assert answer.tags == models[name].predict([shown])[0]
    assert swap.answers() != answers

    swap.words.value = "Sue Ann Smith's in Paris."  # cut as a post's text is
    assert swap.selected.words == ("Sue", "Ann", "Smith", "'", "s", "in", "Paris", ".") and swap.selected.tags == ()
    assert "no gold tags" in swap.describe() and "Gold" not in swap.describe()
    assert "mined for" not in swap.describe()
    swap.image.value = "mined"
    assert "mined for the words from before" in swap.view.value
    swap.image.value = "shuffled"
    swap.select(5)
    assert swap.selected is days.test[5] and swap.words.value == " ".join(days.test[5].words) and swap.reset.disabled
    swap.select(2)
    assert swap.words.value == "Sue Ann Smith ' s in Paris ."
    swap.reset.click()
    assert swap.selected is post and swap.answers() == answers and swap.reset.disabled
    assert swap.words.value == " ".join(post.words)


def test_the_posts_own_words_stay_as_they_are_and_typing_them_again_changes_nothing(models):
    post = Tweet("1", ("U.S.", "@Ada", "won't", "go"), ("B-LOC", "B-PER", "O", "O"))
    swap = inspect_swap(models, [post])
    swap.words.value = "U.S. @Ada won't   stay"
    assert swap.selected.words == ("U.S.", "@Ada", "won't", "stay") and swap.selected.tags == post.tags
    swap.words.value = "  U.S. @Ada won't go "
    assert swap.selected is post and swap.reset.disabled
    unlabelled = inspect_swap(models, [dataclasses.replace(post, tags=())])
    unlabelled.words.value = "go Ada"
    assert "The words were changed." in unlabelled.describe() and "gold" not in unlabelled.describe()


def test_no_words_and_half_a_character_are_refused(swap, days):
    before = swap.view.value
    for typed in ("", " \t "):
        with pytest.raises(DataError, match="No words were typed, so the post stays as it is"):
            swap.words.value = typed
        assert swap.view.value == before and swap.words.value == " ".join(days.test[0].words)
    with pytest.raises(DataError, match="Half a character"):
        swap.words.value = "half \ud83d"
    assert swap.selected is days.test[0] and swap.view.value == before


# ---- how probable each tag is ----


def test_probabilities_are_the_models_own_and_one_word_can_be_picked(swap, models, days):
    swap.image.value = "shuffled"
    swap.select(5)
    for which, post in enumerate((swap.selected, swap.swapped)):
        for name, answers in swap.answers().items():
            model = models[name]
            batch = model.batcher([post])
            with model.evaluating():
                emissions = model(batch).emissions
            for place, shares in enumerate(answers[which].probabilities):
                assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
                for tag, number in (("O", 0), ("B-LOC", model.tags.index("B-LOC"))):
                    held = emissions.clone()
                    held[0, place, [i for i in range(len(model.tags)) if i != number]] = -torch.inf
                    free, some = (model.crf.log_partition(x, batch.word_mask) for x in (emissions, held))
                    assert shares[tag] == pytest.approx(float((some - free).exp().detach()), abs=1e-4)
    tweet, answers = swap.selected, [answer for both in swap.answers().values() for answer in both]
    read = len(answers[0].probabilities)
    entity = {i for tags in (tweet.tags, *(a.tags for a in answers)) for i, tag in enumerate(tags[:read]) if tag != "O"}
    assert swap.matter() == sorted(entity) and swap.word in entity
    assert all(f"“{tweet.words[place]}”" in swap.view.value for place in entity)

    def most(place):
        gaps = [
            sum(
                abs(own.probabilities[place][tag] - shown.probabilities[place][tag]) for tag in own.probabilities[place]
            )
            for own, shown in swap.answers().values()
        ]
        return max(gaps)

    assert most(swap.word) == max(map(most, entity)) > 0
    other = next(i for i in range(read) if i != swap.word)
    swap.view._hear(None, {"pick": str(other)}, [])
    assert swap.word == other and "All tags of the picked word" in swap.view.value
    assert swap.view.value.count('scope="row"') == 4 + 9 and 'aria-pressed="true"' in swap.view.value
    swap.view._hear(None, {"pick": str(other)}, [])
    assert swap.word != other and 'aria-pressed="true"' not in swap.view.value
    swap.pick(str(other))
    swap.select(6)
    assert 'aria-pressed="true"' not in swap.view.value


def test_a_softmax_and_words_past_the_cut_have_their_places(models):
    soft, short = tiny_model(crf=False, max_length=99), tiny_model(max_length=6)
    post = dataclasses.replace(tweets(8)[7], image=picture(3))
    swap = inspect_swap({"soft": soft, "short": short}, [post])
    swap.image.value = "blank"
    with soft.evaluating():
        batch = soft.batcher([post])
        shares = soft(batch).emissions[0].softmax(-1)
    for place, row in enumerate(swap.answers()["soft"][0].probabilities):
        assert list(row.values()) == pytest.approx(shares[place].tolist(), abs=1e-5)
    last = len(post.words) - 1
    swap.pick(str(last))
    assert set(swap.probable(last)["O"]) == {"soft"} and "–" in swap.view.value and swap.describe()
    png(swap.picture())
    alone = inspect_swap({"short": short}, [post])
    alone.pick(str(last))
    assert alone.probable(last) == {} and "lies past the word pieces" in alone.view.value
    png(alone.picture())


def test_no_text_of_a_post_becomes_part_of_the_page(models):
    @given(st.lists(HOSTILE, min_size=6, max_size=6))
    @settings(max_examples=25, deadline=None)
    def check(texts):
        def page(id, word, entity, caption, name, reading):
            shares = {"O": {name: (0.5, 0.2)}}
            answer = Answer([], 0.5, None)
            return render(
                "swap_view", title=id, note=caption, words=[(0, word, "", ""), (1, entity, "#000000", name)], picked=1,
                pictures=[(caption, (b"\x89PNG", name), caption)], rows=[(name, [entity], [word], answer, answer, True)],
                readings={name: reading}, own=False, models=[name], tables=[(word, shares), (entity, {})],
                look=lambda tag: "#000000",
            )  # fmt: skip

        (parts, text), (expected, _) = structure(page(*texts)), structure(page(*"abcdef"))
        assert parts == expected and all(clean(hostile) in text for hostile in texts)

    check()


# ---- what takes long ----


def test_mining_can_be_given_up_and_nothing_that_is_shown_changes(swap, monkeypatch):
    swap.image.value = "blank"
    before = swap.view.value

    async def use():
        monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
        swap.image.value = "mined"
        await asyncio.sleep(0.02)
        swap.post.value = 4  # waits for what is mined
        swap.pick("1")
        assert swap.working and swap.view.value == before and swap.words.value == " ".join(swap.tweets[3].words)
        assert swap._word is None, "that was a word of the post before"
        swap.cancel()
        await asyncio.sleep(0.01)
        assert not swap.working and (swap.image.value, swap.post.value) == ("blank", 1) and swap.view.value == before
        swap.words.value = "other words"
        swap.cancel()
        await asyncio.sleep(0)
        assert swap.selected is swap.tweets[0] and swap.words.value == " ".join(swap.tweets[0].words)
        swap.image.value = "mined"
        swap.post.value = 3
        while swap.working:
            await asyncio.sleep(0.01)
        assert "picture “mined”" in swap.view.value and f"Post {swap.tweets[2].id} " in swap.view.value

    asyncio.run(use())


def test_a_photo_that_is_given_up_leaves_the_one_that_is_shown(swap, monkeypatch):
    first, second = encoded(picture(1)), encoded(picture(2))
    kinds = list(swap.image.options)

    async def give_up():
        monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
        give(swap, second, "second.png")
        await asyncio.sleep(0)
        swap.cancel()
        monkeypatch.undo()

    before = swap.view.value
    asyncio.run(give_up())
    assert list(swap.image.options) == kinds and swap.image.value == "own" and swap.view.value == before
    give(swap, first, "first.png")
    before = swap.view.value
    asyncio.run(give_up())
    swap.redraw()
    assert swap.image.value == "upload" and swap.view.value == before and "first.png" in before


def test_of_many_quick_changes_the_last_one_is_shown_and_few_others_are_computed(swap, monkeypatch):
    asked = []
    swap._answer = lambda *question: asked.append(question) or swap._predict(*question)

    async def use():
        monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
        for place in range(2, 12):
            swap.post.value = place
        while swap.working:
            await asyncio.sleep(0)

    asyncio.run(use())
    assert f"Post {swap.tweets[10].id} " in swap.view.value and {place for _, place, *_ in asked} == {10}


def test_a_mistake_while_mining_puts_the_controls_back(swap, monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.swap.best_of_others", lambda *_, **__: 1 / 0)
    swap.image.value = "blank"
    with pytest.raises(ZeroDivisionError):
        swap.image.value = "mined"
    assert swap.image.value == "blank" and "ZeroDivisionError" in swap.error.value
    monkeypatch.undo()
    swap.image.value = "mined"
    assert "picture “mined”" in swap.view.value


@pytest.mark.parametrize("kind", ["name", "folder", "run", "model"])
def test_a_single_model_is_called_after_its_folder(kind, models, days, tmp_path):
    models["full"].save_pretrained(tmp_path / "mine")
    run = Run(models["full"], *[None] * 2, 1, [], tmp_path / "mine")
    given, name = {
        "name": ("tiny-text", "tiny-text"),
        "folder": (tmp_path / "mine", "mine"),
        "run": (run, "mine"),
        "model": (models["full"], "this model"),
    }[kind]
    if kind == "name" and "tiny-text" not in shipped():
        pytest.skip("no weights are in the package; make weights")
    assert list(inspect_swap(given, days.test[:2]).answers()) == [name]
    with pytest.raises(RunError):
        inspect_swap("no such model", days)


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
    for place in range(0, 40, 5):
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
    assert len(drawn.axes) == 5 and "a dog in a boat" in [text.get_text() for text in drawn.texts]
    give(both, encoded(picture(5)))
    assert both.swapped.caption == ""  # nobody has said what it shows
