"""The inspectors without a browser: what their controls do, what they say, and what they do with bad input."""

import dataclasses
import io
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from builders import (
    HOSTILE,
    assert_apart_on_the_page,
    caption_model,
    captioned,
    picture,
    structure,
    tiny_model,
    tweets,
    variant_model,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from seqeval.metrics.sequence_labeling import get_entities

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import Span
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError, DataError
from mgips.lab.figures.text import fitted, text_width
from mgips.lab.mined import MinedPosts
from mgips.lab.precision import split_precision
from mgips.lab.representation import READING
from mgips.lab.widgets import inspect_attention, inspect_mge, inspect_pairs, inspect_swap, inspect_tsne
from mgips.lab.widgets.base import FALLBACK_BYTES, Button, Hit, Inspector, Page, png, under_test
from mgips.lab.widgets.html import Thumbnails, clean, render, thumbnail, tinted
from mgips.lab.widgets.pairs import PairInspector
from mgips.mining import by_time, contrast_vectors, mine_dataset, mine_split
from mgips.model.shipped import shipped
from mgips.run import Run
from mgips.tags import TAG


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def pairs(model, days):
    return inspect_pairs(model, days, progress=False)


def views(pairs) -> list[str]:
    """The HTML of the page: the post, the card of its own image, and those of the mined ones."""
    return re.split('<(?:button|span) class="mgips-pair-card', pairs._main.value)


def post_view(pairs) -> str:
    """The HTML of the post, without the cards and the style."""
    return views(pairs)[0].partition("</style>")[2]


def own_view(pairs) -> str:
    """The HTML of the card of the post's own image."""
    return views(pairs)[1].partition("<div")[0]


def cards(pairs) -> list[str]:
    """The HTML of the cards that are shown."""
    return views(pairs)[2:]


def by_hand(tweets, tags, mining, k, **more) -> PairInspector:
    """An inspector of what was mined elsewhere."""
    return PairInspector([MinedPosts(tweets, tags, mining, **more)], k)


def others_of(index, place, k) -> list[int]:
    """The K best images of other posts."""
    return [i for i in index[place].tolist() if i != place][:k]


def test_it_shows_what_the_model_mined(pairs, model, days):
    data = TweetDataset(days.test, model.batcher, progress=False)
    mining = mine_split(*contrast_vectors(model, data, progress=False), 4)
    assert pairs.k == model.config.k == 3 and pairs.selected is days.test[0]
    for own_too in (False, True):
        pairs._own.value = own_too
        for place in (0, 17, 39):
            pairs.select(place)
            best = mining.index[place].tolist()[:3] if own_too else others_of(mining.index, place, 3)
            score = dict(zip(mining.index[place].tolist(), mining.score[place].tolist(), strict=True))
            assert pairs.mined == [days.test[i].id for i in best] and len(cards(pairs)) == 3
            for card, i in zip(cards(pairs), best, strict=True):
                assert f">{days.test[i].id}<" in card and f"{score[i]:.3f}" in card and 'alt="Image of post' in card
                assert ("own image" in card) == (i == place)
            assert f"rank {mining.own_rank[place] + 1} of 40" in own_view(pairs)
            truth = [relevant(days.test[place], days.test[i]) for i in best]
            assert ["✓ relevant" in card for card in cards(pairs)] == truth
            assert ["✗ not relevant" in card for card in cards(pairs)] == [not t for t in truth]
    ranks = mining.own_rank.tolist()
    assert min(ranks) < 3 < max(ranks)  # own images that would be among the three, and others


def test_precision_and_hubs_of_the_whole_split_are_shown(pairs, days, tmp_path):
    for k in (3, 7):
        pairs.k = k
        found = split_precision(days.test, pairs.mining, k)
        precision, hub = pairs.summary()
        assert precision in pairs._status.value and hub in pairs._status.value and f"K = {k}" in hub
        true = [
            np.mean([relevant(tweet, days.test[j]) for j in index])
            for tweet, index in zip(days.test, pairs.mining.index[:, :k].tolist(), strict=True)
            if any(relevant(tweet, other) for other in days.test)
        ]
        assert f"K = {k}: relevant {np.mean(true):.0%} (chance {found.chance:.0%}, at most" in precision
        assert f"own left out {found.others:.0%}" in precision and f"best other {found.at_one:.0%}" in precision
        pairs._own.value = True
        both = pairs.summary()
        assert both[0] == precision  # it tells of both ways in any case
        assert f"fill {found.top_ten:.0%} of all places" in both[1] and f"N_k {found.skewness:.1f}" in both[1]
        pairs._own.value = False
        shown = [i for place in range(40) for i in others_of(pairs.mining.index, place, k)]
        counts = sorted(np.bincount(shown, minlength=40))
        assert f"fill {sum(counts[-10:]) / len(shown):.0%} of all places" in hub
    page = pairs.to_html(tmp_path / "pairs.html", limit=1).read_text(encoding="utf-8")
    assert precision in page and hub in page
    bare = [dataclasses.replace(tweet, truth=None) for tweet in days.test]
    tags = [["O"] * len(tweet.words) for tweet in bare]
    (only,) = by_hand(bare, tags, pairs.mining, 7).summary()
    assert only == hub


def test_posts_with_fewer_mined_images_show_those(pairs, days, tmp_path):
    index = pairs.mining.index.clone()
    index[0, 2:] = -1
    tags = [["O"] * len(tweet.words) for tweet in days.test]
    some = by_hand(days.test, tags, dataclasses.replace(pairs.mining, index=index), 5)
    assert len(cards(some)) == len(some.mined) == 2
    some._next.click()
    assert len(cards(some)) == 5
    some.select(0)
    page = some.to_html(tmp_path / "pairs.html", limit=2).read_text(encoding="utf-8")
    assert page.count("<img") == 3 + 6 and len(some.static(2).axes) == 3 + 6
    assert len(some.to_frame()) == 2 + 5 * 39


# ---- a model that reads ----


@pytest.fixture(scope="module")
def reader():
    """A random model that reads a few pictures, of other days too."""
    model = variant_model("reads")
    with torch.no_grad():
        model.reader.time[0] = 0.02
        model.reader.null.bias.fill_(-1.0)  # or a random model may read nothing
        model.learned_temperature.log.fill_(-4.2)  # sparser
    return model


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_weights_are_those_with_which_the_model_reads(reader, days, tmp_path):
    pairs = inspect_pairs(reader, days, progress=False)
    data = TweetDataset(days.test, reader.batcher, progress=False)
    pool = reader.pool(days.test)
    vectors = contrast_vectors(reader, data, progress=False)
    mining = mine_split(*vectors, 4, candidates=data.has_image, bias=by_time(reader, data))
    table, zeros = pairs.to_frame(), 0
    assert list(table.columns)[-1] == "weight" and len(table) == 120 and not table.own.any()
    for place in range(40):
        post = days.test[place]
        (_, _, out), = reader.outputs(TweetDataset([post], reader.batcher, progress=False), pool=pool)  # fmt: skip
        weights = dict(zip(pool.ids, out.reading.weights[0, :-1].tolist(), strict=True))
        nothing = float(out.reading.weights[0, -1])
        pairs.select(place)
        assert pairs.mined == [days.test[i].id for i in others_of(mining.index, place, 3)]
        own = table[table.id == post.id].weight.tolist()
        assert own == pytest.approx([weights[id] for id in pairs.mined], abs=1e-5)
        shown = {post.id, *pairs.mined}
        inside = sum(weights.get(id, 0) for id in shown)
        texts = (f"nothing: {nothing:.0%}; ", f"the images shown: {inside:.0%}; ")
        assert all(text in post_view(pairs) and text in pairs.describe() for text in texts)
        for card, weight in zip(cards(pairs), own, strict=True):
            zeros += weight == 0
            assert (f"read with {weight:.0%}<" in card) == (weight > 0) == ("not read<" not in card)
        assert ("not read" in own_view(pairs)) == (weights.get(post.id, 0) == 0)
    assert zeros > 5 and (table.weight > 0.05).sum() > 5
    page = pairs.to_html(tmp_path / "pairs.html", limit=3).read_text(encoding="utf-8")
    assert page.count("reads</span>") == 3 and page.count("<img") == 12


def test_the_share_of_shown_pairs_that_fit_is_counted_and_shown(reader, days):
    pairs = inspect_pairs(reader, days, progress=False)
    truth = {t.id: t for t in days.test}
    for k, own_too in ((3, False), (6, False), (6, True)):
        pairs.k, pairs._own.value = k, own_too
        table = pairs.to_frame()
        assert table.own.any() == own_too
        fits = np.array([relevant(truth[a], truth[b]) for a, b in zip(table.id, table.mined, strict=True)])
        read = table.weight.to_numpy() >= 0.01
        others = (table.id != table.mined).to_numpy()
        line, weight = pairs.summary()[2:]
        assert line == (
            f"Of the {40 * k} shown pairs {fits.mean():.0%} truly fit"
            + (f", own left out {fits[others].mean():.0%}; " if own_too else "; ")
            + f"of the {read.sum()} that are read {fits[read].mean():.0%}, "
            f"by weight {(fits * table.weight).sum() / table.weight.sum():.0%}"
        )
        assert f"nothing {float(pairs.read.nothing.mean()):.0%}" in weight and "a pool of 33" in weight
        assert line in pairs.describe() and line in pairs._status.value
        assert any(line == text.get_text() for text in pairs.static(2).texts)
    bare = [dataclasses.replace(tweet, truth=None) for tweet in days.test]
    plain = inspect_pairs(reader, dataclasses.replace(days, test=tuple(bare)), progress=False)
    assert len(plain.summary()) == 2 and "Mean weight" in plain.summary()[1]


def test_a_pool_can_be_given_and_what_is_not_in_it_is_not_read(reader, days):
    half = days.test[1::2]
    for pool in (half, reader.pool(half)):
        pairs = inspect_pairs(reader, days, progress=False, pool=pool)
        table = pairs.to_frame()
        inside = table.mined.isin([t.id for t in half])
        assert (table.weight[~inside] == 0).all() and (table.weight[inside] > 0).any() and (~inside).any()
        assert [[s.text for s in row] for row in pairs.predicted] == [
            [" ".join(t.words[a : b + 1]) for _, a, b in get_entities(tags)]
            for t, tags in zip(days.test, reader.predict(days.test, pool=half), strict=True)
        ]
    nothing = inspect_pairs(
        reader, days, progress=False, pool=reader.pool(half).take(torch.zeros(0, dtype=torch.int64))
    )
    assert (nothing.to_frame().weight == 0).all() and (nothing.read.nothing == 1).all()
    assert "a pool of 0: the shown 0%, others of the pool 0%, nothing 100%" in nothing.describe()
    other = variant_model("own")
    for pool in (half, reader.pool(half)):
        with pytest.raises(ConfigError, match="reads no pool"):
            inspect_pairs(other, days, pool=pool, progress=False)


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_last_vectors_of_a_model_that_reads_are_those_after_reading(reader, days):
    assert list(inspect_tsne(reader, days, limit=30).vectors.steps)[-1] == READING


def test_nothing_overlaps_on_the_sheet_of_a_model_that_reads(reader, days):
    pairs = inspect_pairs(reader, days, progress=False)
    sheet = pairs.static(3, k=5)
    assert_apart_on_the_page(sheet, [*sheet.texts, *sheet.axes])


def test_names_of_shipped_models_are_taken(days):
    if "tiny-reads" not in shipped():
        pytest.skip("no weights are in the package; make weights")
    assert inspect_pairs("tiny-reads", days, progress=False).read is not None
    assert inspect_tsne("tiny-full", days, limit=20).error.value == ""


# ---- captions in place of pictures ----


@pytest.mark.parametrize("variant", ["full", "reads"])
@pytest.mark.filterwarnings("error::UserWarning")
def test_captions_are_shown_where_pictures_would_be(variant, tmp_path):
    posts, model = captioned(), caption_model(variant)
    pairs = inspect_pairs(model, Corpus("said", (), (), posts), progress=False)
    assert (pairs.read is not None) == (variant == "reads")
    pairs._image.value = "missing"
    assert pairs.visible == [posts[2].id, posts[8].id] and "(no caption)" in own_view(pairs)
    pairs._image.value = "any"
    for place in range(6):
        pairs.select(place)
        for view, name in zip([own_view(pairs), *cards(pairs)], [posts[place].id, *pairs.mined], strict=True):
            said = next(t.caption for t in posts if t.id == name) or "(no caption)"
            assert (
                said.replace("<", "&lt;").replace(">", "&gt;") in view and "<img" not in view and "<b>bold" not in view
            )
    sheet = pairs.static(6, k=4)
    assert_apart_on_the_page(sheet, sheet.texts)
    assert any(text.get_text() == "a dog in a boat" for text in sheet.texts)
    assert "<img" not in pairs.to_html(tmp_path / "page.html").read_text(encoding="utf-8")


def test_gold_and_predicted_spans_are_named_beside_their_colour(pairs, model, days):
    tags = model.predict(days.test)
    for place in (1, 5):
        pairs.select(place)
        gold, predicted = post_view(pairs).split("predicted</span>")
        for half, row in ((gold, days.test[place].tags), (predicted, tags[place])):
            for kind in ("PER", "LOC", "ORG", "MISC"):
                assert half.count(f">{kind}</b>") == sum(entity[0] == kind for entity in get_entities(list(row)))


def test_next_previous_and_the_slider_go_from_post_to_post(pairs, days):
    assert pairs._previous.disabled and not pairs._next.disabled
    pairs._next.click()
    pairs._next.click()
    assert pairs.selected is days.test[2] and pairs._position.value == 3
    pairs._previous.click()
    assert pairs.selected is days.test[1] and days.test[1].id in post_view(pairs)
    pairs._position.value = 40
    assert pairs.selected is days.test[39] and pairs._next.disabled
    pairs._next.click()
    assert pairs.selected is days.test[39]
    assert "<b>40</b> of 40" in pairs._status.value


def test_k_shows_more_and_fewer_images(pairs):
    best, shown = cards(pairs), pairs.children
    for k in (5, 1, 20, 2):
        pairs.k = k
        assert len(cards(pairs)) == len(pairs.mined) == k == pairs._k.value
        assert pairs.mined[0] in cards(pairs)[0] and cards(pairs)[0].partition("</button>")[0] in best[0]
    pairs._next.click()
    pairs._k.value = 20
    assert len(set(pairs.mined)) == 20 and pairs.children == shown  # cards are no widgets
    for k in (0, 21):
        with pytest.raises(ConfigError, match=f"k is {k}, but 20 images"):
            pairs.k = k


def test_filters_choose_posts(pairs, model, days):
    predicted = model.predict(days.test)

    def shown(**values):
        for name in ("type", "right", "image"):
            getattr(pairs, f"_{name}").value = values.get(name, "any")
        return pairs.visible

    everything = [t.id for t in days.test]
    assert shown() == everything
    assert shown(type="LOC") == [t.id for t in days.test if "B-LOC" in t.tags]
    wrong = [t.id for t, p in zip(days.test, predicted, strict=True) if list(t.tags) != p]
    assert shown(right="wrong") == wrong
    assert shown(right="right") == [i for i in everything if i not in wrong]
    missing = shown(image="missing")
    assert missing == [t.id for t in days.test if t.image is None] and missing
    assert "no image" in own_view(pairs)
    related = shown(image="related")
    assert related == [t.id for t in days.test if t.truth.related]
    assert sorted(missing + related + shown(image="unrelated")) == sorted(everything)
    both = shown(type="PER", image="related")
    assert both == [t.id for t in days.test if "B-PER" in t.tags and t.truth.related]
    assert pairs.selected.id in both and f"of {len(both)} that fit, of 40" in pairs._status.value


def test_the_post_stays_where_it_passes_the_filter(pairs, days):
    pairs.select(next(i for i, t in enumerate(days.test) if "B-LOC" in t.tags and i > 4))
    here = pairs.selected
    pairs._type.value = "LOC"
    assert pairs.selected is here
    pairs._next.click()
    assert pairs.selected.id == pairs.visible[pairs.visible.index(here.id) + 1]


def test_search_finds_ids_and_words_and_says_when_there_is_nothing(pairs, days):
    wanted = days.test[7]
    pairs._search.value = wanted.id.upper()
    assert pairs.visible == [wanted.id] and pairs.selected is wanted
    word = next(w for w in wanted.words if len(w) > 4)
    pairs._search.value = word
    assert pairs.visible == [t.id for t in days.test if word.lower() in f"{t.id} {' '.join(t.words)}".lower()]
    pairs._search.value = "no such word"
    assert pairs.visible == [] and "No post fits" in pairs._status.value and pairs.selected is not None
    assert pairs._next.disabled and pairs._previous.disabled and pairs._position.disabled
    pairs._next.click()
    assert len(pairs.to_frame()) == 0
    pairs._search.value = ""
    assert len(pairs.visible) == 40 and not pairs._next.disabled


def test_a_mined_image_opens_its_post_and_back_returns(pairs, days):
    pairs._next.click()
    first = pairs.selected.id
    pairs._search.value = first
    wanted = pairs.mined[1]
    pick = re.search(r'data-pick="([^"]*)"', cards(pairs)[1])[1]
    pairs._main.picked(pick)
    assert pairs.selected.id == wanted and pairs.visible == [first] and pairs._search.value == first
    assert f"{wanted} is shown, which lies outside these filters" in pairs._status.value
    assert not pairs._next.disabled and not pairs._back.disabled
    again = next(i for i, id in enumerate(pairs.mined) if id != first)
    pairs._main.picked(re.search(r'data-pick="([^"]*)"', cards(pairs)[again])[1])
    pairs._back.click()
    assert pairs.selected.id == wanted
    pairs._main.picked(f"post {days.test.index(pairs.selected)}")  # the open post's own name is a way back
    assert pairs.selected.id == first and pairs._back.disabled and "outside" not in pairs._status.value
    pairs.select(wanted)
    pairs._next.click()
    assert pairs.selected.id == first


def test_select_by_id_and_an_id_that_is_not_there(pairs, days):
    pairs.select(days.test[9].id)
    assert pairs.selected is days.test[9] and pairs._position.value == 10
    for wrong in ("nobody", 40, -1):
        with pytest.raises(ConfigError, match="no post"):
            pairs.select(wrong)
    assert pairs.selected is days.test[9]


def test_the_table_holds_a_row_for_each_pair(pairs, days, tmp_path):
    pairs.k = 4
    table = pairs.to_frame()
    assert list(table.columns) == ["id", "rank", "mined", "score", "own", "relevant", "tags"] and len(table) == 160
    assert not table.own.any() and (table.tags == "").all()
    pairs._own.value = True
    assert pairs.to_frame().own.any()
    by_id = {t.id: t for t in days.test}
    for row in pairs.to_frame().itertuples():
        assert row.own == (row.id == row.mined) and row.relevant == relevant(by_id[row.id], by_id[row.mined])
    pairs._own.value = False
    pairs.select(12)
    assert table[table.id == pairs.selected.id].mined.tolist() == pairs.mined
    assert (table.groupby("id").score.diff().dropna() <= 0).all()
    path = pairs.to_csv(tmp_path / "pairs.csv")
    pd.testing.assert_frame_equal(pd.read_csv(path, keep_default_na=False), table, check_dtype=False)


def test_nothing_is_overwritten_unless_it_is_asked_for(pairs, tmp_path):
    for write in (pairs.to_csv, pairs.to_html):
        path = tmp_path / "file"
        path.write_text("mine")
        with pytest.raises(DataError, match="file is there already; give another name, or overwrite=True"):
            write(path)
        assert path.read_text() == "mine"
        assert write(path, overwrite=True).read_text() != "mine"


def test_downloads_are_named_by_run_split_and_filters(pairs, days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = []
    for part in pairs._downloads.values():
        monkeypatch.setattr(part, "send", lambda told, buffers: sent.append((told["name"], buffers[0])))
    pairs._image.value, pairs._type.value, pairs._least.value = "missing", "LOC", "0,1"
    pairs._downloads["csv"].click()
    name, content = sent.pop()
    assert name == "model-tinytweets-test-k3-LOC-missing-from0.1.csv"
    assert pd.read_csv(io.BytesIO(content)).id.unique().tolist() == pairs.visible != []
    pairs.clear()
    pairs._own.value, pairs._pool.value = True, "batch"
    pairs._downloads["png"].click()
    name, content = sent.pop()
    assert name == "model-tinytweets-test-k3-batch-own.png" and content.startswith(b"\x89PNG")
    pairs._search.value = "../ <b>"
    pairs._downloads["html"].click()
    name, content = sent.pop()
    assert re.fullmatch(r"model-tinytweets-test-k3-batch-own[\w.-]*\.html", name) and b"<title>" in content
    assert list(tmp_path.iterdir()) == []


def test_the_page_stands_alone(pairs, tmp_path):
    page = pairs.to_html(tmp_path / "pairs.html", limit=5).read_text(encoding="utf-8")
    assert page.count("<section>") == 5 and page.count("<img") == 5 * 4 == page.count('src="data:image/jpeg;base64,')
    assert "<script" not in page and "<button" not in page and "<title>K = 3" in page
    assert page.count('alt="') == 20


def test_words_never_become_markup(model, tmp_path):
    bad = '<script>alert("x")</script>'
    post = Tweet(f"1{bad}", ("<b>bold</b>", bad, "&amp;"), ("O", "B-PER", "O"), picture(0))
    pairs = inspect_pairs(model, Corpus("bad", (), (), (post, *tweets(4))), progress=False)
    pairs._search.value = bad
    pairs.to_html(tmp_path / "page.html")
    for view in (pairs._main.value, (tmp_path / "page.html").read_text()):
        assert "<script" not in view and "<b>bold" not in view
    assert "&lt;script&gt;" in post_view(pairs) and "&amp;amp;" in post_view(pairs)
    assert tinted(["<i>"], []) == "&lt;i&gt;"


@given(st.lists(HOSTILE, min_size=9, max_size=9))
@settings(max_examples=80, deadline=None)
def test_no_text_becomes_part_of_a_page(texts):
    """Every template, filled in with hostile text, has the elements that it has with harmless text, and the text in them."""

    def pages(id, word, entity, kind, read, caption, title, note, message):
        words = (word, entity)
        tweet, span = Tweet(id, words, ("O", f"B-{kind}")), Span(1, 2, kind, entity)
        near = SimpleNamespace(tweet=tweet, span=span, place=0, thumbnail=(png, note))
        card = {"tweet": tweet, "thumbnail": (png, note), "score": 0.5, "own_rank": 1, "count": 2, "read": read}
        card |= {"own": False, "relevant": None, "small": False, "pick": message}
        lines = [("gold", tinted(words, [span])), (caption, read)]
        about = {"right": True, "image": note, "lines": lines, "tags": [kind, message]}
        posts = [render("post", tweet=tweet, pick=pick, removable=bool(pick), **about) for pick in ("", note)]
        cards = [render("card", **card, rank=rank, caption=said) for rank in (0, 1) for said in (None, caption)]
        sides = [render("pairs_side", name=name, own=cards[0], cards=cards) for name in ("", title)]
        yield from (*posts, *cards, *sides, tinted(words, [span]))
        yield render("page", title=title, summary=[note], sections=[(posts[0], sides)])
        yield render("pairs_post", post=posts[1], sides=sides, photo=True)
        item = {"id": id, "text": caption, "short": word, "says": read, "tags": kind, "pick": message, "current": True}
        items = [{**item, "thumbnail": (png, note), "caption": said} for said in (None, entity)]
        yield render("pairs_grid", items=items, hub=(message, title), label=note)
        yield render(
            "neighbours", selected=near, nearest=[near, near], chosen=[near], why=message, mix=note, page=0, pages=2
        )
        yield render("error", message=message)
        yield render("status", message=message)
        hits = [Hit(pick, note, title, 0, 0, 1, 1, pressed) for pick, pressed in ((word, True), (kind, False))]
        yield render("picture", picture=png, alt=message, groups={title: hits})
        yield render("place", what=title, place=id, visible=2, count=3, notes=[note], summary=[message])

    png, letters = b"\x89PNG", "αβγδεζηθι"  # no page holds them otherwise
    for page, harmless in zip(pages(*texts), pages(*letters), strict=True):
        parts, text = structure(page)
        expected, plain = structure(harmless)
        assert parts == expected
        page.encode()  # as a file is written
        for hostile, letter in zip(texts, letters, strict=True):
            assert letter not in plain or clean(hostile) in text


@pytest.mark.slow
@given(st.lists(HOSTILE, min_size=8, max_size=8), HOSTILE.filter(lambda kind: TAG.fullmatch(f"B-{kind}")))
@settings(max_examples=2, deadline=None)
def test_no_text_becomes_part_of_an_inspector(texts, kind):
    """Ids, words, names of pictures and of types, all hostile, in what every inspector shows and writes."""

    def shown(id, word, entity, caption, title, name, other, wrong, kind):
        model = tiny_model(types=("PER", "LOC", "ORG", "MISC", kind))
        words, tags = (word, entity, other), ("O", f"B-{kind}", "O")
        posts = (
            Tweet(id, words, tags, Path(name)),
            Tweet(f"{id}-", words, tags, picture(0), caption=caption),
            *tweets(14),
        )
        pairs = inspect_pairs(model, Corpus(title, (), (), posts), progress=False)
        with tempfile.TemporaryDirectory() as folder:
            yield pairs.to_html(Path(folder) / "page.html", limit=3).read_text(encoding="utf-8")
        for view in ("Post", "Grid", "Hubs"):
            pairs._view.value = view
            yield pairs._main.value
        for inspector in (
            inspect_attention(model, posts),
            inspect_mge(model, posts),
            inspect_swap({wrong: model}, posts),
        ):
            yield inspector.view.value
        tsne = inspect_tsne(model, Corpus(title, (), (), posts))
        yield from (tsne.view.value, tsne.near.value, tsne.status.value)

    hostile, harmless = (
        {part for page in shown(*some) for part in structure(page)[0]} for some in ((*texts, kind), "abcdefghi")
    )
    assert hostile <= harmless


def test_missing_and_broken_pictures_get_a_placeholder(model, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    broken = dataclasses.replace(tweets(1)[0], id="broken", image=tmp_path / "broken.jpg", crops=())
    gone = dataclasses.replace(broken, id="gone", image=tmp_path / "gone.jpg")
    missing = dataclasses.replace(broken, id="missing", image=None)
    posts = (broken, gone, missing, *tweets(3))
    notes = [thumbnail(post)[1] for post in posts]
    assert notes == ["image cannot be read", "image cannot be read", "no image", "", "", ""]
    sizes = [Image.open(io.BytesIO(thumbnail(post)[0])).size for post in posts]
    assert all(max(size) <= 140 for size in sizes)
    pairs = inspect_pairs(model, Corpus("odd", (), (), posts), k=5, progress=False)
    assert "cannot be read" in own_view(pairs) and pairs.error.value == ""
    assert sum("no image" in card for card in cards(pairs)) == 1
    png(pairs.static(6))


def test_few_thumbnails_stay_in_memory():
    kept = Thumbnails(tweets(5), keep=2)
    first, second = kept(0), kept(1)
    assert kept(0) is first and 1 in kept and 2 not in kept
    kept(2)  # the oldest goes
    assert kept(0) is first and 1 not in kept and kept(1) is not second and kept(1) == second


def test_posts_without_labels_or_truth(model):
    posts = [dataclasses.replace(t, tags=()) for t in tweets(6)]
    pairs = inspect_pairs(model, Corpus("plain", (), (), tuple(posts)), progress=False)
    assert "(not labelled)" in post_view(pairs) and "prediction" not in post_view(pairs)
    assert not any("relevant" in card for card in cards(pairs))
    assert pairs.to_frame().relevant.isna().all()
    assert list(pairs._image.options) == ["any", "missing"]
    pairs._right.value = "right"
    assert pairs.visible == []


def test_a_run_and_its_folder(model, days, tmp_path):
    model.save_pretrained(tmp_path)
    inside = inspect_pairs(tmp_path, days, progress=False)
    (kept,) = tmp_path.glob("mined-*.safetensors")
    data = {"test": TweetDataset(days.test, model.batcher, progress=False)}
    run = Run(model, None, None, 1, [], tmp_path, data)
    assert inspect_pairs(run, days, progress=False).mined == inside.mined
    assert list(tmp_path.glob("mined-*")) == [kept]
    best = mine_dataset(model, data["test"], 3).index[0]
    assert [days.test[i].id for i in best] == inside.mined


def test_what_cannot_be_inspected(model, days):
    with pytest.raises(ConfigError, match="no split 'train2'; the splits are train, dev, test"):
        inspect_pairs(model, days, "train2")
    with pytest.raises(ConfigError, match="train split of empty is empty"):
        inspect_pairs(model, Corpus("empty", (), (), days.test), "train")
    with pytest.raises(ConfigError, match="k is 5, but there are 4 images"):
        inspect_pairs(model, days, "dev", k=5, progress=False)
    with pytest.raises(ConfigError, match="mines nothing"):
        inspect_pairs(tiny_model(ips_loss=False, cl_loss=False), days)


def test_the_mined_are_read_with_k_max_no_larger_than_the_split(model, days):
    few = inspect_pairs(model, days, "dev", k=2, progress=False)
    assert few.mining.k == 4 and few._k.max == 3  # of four images one is the own one
    assert inspect_pairs(model, days, "dev", k=4, progress=False).k == 3
    some = inspect_pairs(model, days, k=2, k_max=5, progress=False)
    assert some.mining.k == 6 and some._k.max == 5


def test_an_error_shows_and_is_raised_under_test(pairs, monkeypatch):
    monkeypatch.setattr(pairs, "_post", Mock(side_effect=ValueError("a <bad> day")))
    with pytest.raises(ValueError):
        pairs._next.click()
    assert "ValueError: a &lt;bad&gt; day" in pairs.error.value and pairs.error.layout.display is None
    with pytest.raises(ValueError):
        pairs._position.value = 9
    monkeypatch.undo()
    pairs._next.click()
    assert pairs.error.value == "" and pairs.error.layout.display == "none"


def test_an_error_shows_and_is_not_raised_in_a_notebook(pairs, monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.base.under_test", lambda: False)
    monkeypatch.setattr(pairs, "to_frame", Mock(side_effect=DataError("The disk is full.")))
    pairs._downloads["csv"].click()
    assert "The disk is full." in pairs.error.value and "DataError" not in pairs.error.value
    monkeypatch.setattr(pairs, "picture", lambda: 1 / 0)
    displayed = Mock()
    monkeypatch.setattr("IPython.display.display", displayed)
    pairs._ipython_display_()
    assert "ZeroDivisionError" in pairs.error.value
    (bundle,) = (call.args[0] for call in displayed.call_args_list)  # no picture, and the widget all the same
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_under_test(monkeypatch):
    assert under_test()
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("MGIPS_TEST", raising=False)
    assert not under_test()
    monkeypatch.setenv("MGIPS_TEST", "1")
    assert under_test()


def test_the_front_end_can_press_a_button():
    press = Mock()
    Button(press)._handle_custom_msg({"event": "click"}, [])
    press.assert_called_once_with()


def test_a_page_without_widgets_shows_a_picture_with_its_text(model, days, monkeypatch):
    made, displayed = inspect_pairs(model, days, progress=False), Mock()
    monkeypatch.setattr("IPython.display.display", displayed)
    made._ipython_display_()
    (kept, metadata), _, (widget, _) = (
        (call.args[0], call.kwargs.get("metadata")) for call in displayed.call_args_list
    )
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert kept["image/png"].startswith(b"\x89PNG") and len(kept["image/png"]) < FALLBACK_BYTES
    assert Image.open(io.BytesIO(kept["image/png"])).width > 500
    assert kept["text/plain"] == metadata["image/png"]["alt"] == made.describe()
    assert made.selected.id in made.describe()
    assert made.picture().get_suptitle()


def test_a_picture_full_of_noise_still_fits(model):
    drawn = Page(4, 4, "Noise", margin=0.1)
    drawn.add_axes((0, 0, 1, 1)).imshow(np.random.RandomState(0).rand(400, 400, 3))
    assert len(png(drawn)) > FALLBACK_BYTES >= len(png(drawn, limit=FALLBACK_BYTES))


def test_drawing_leaves_the_settings_of_matplotlib_and_pyplot_alone(pairs):
    before, figures = dict(matplotlib.rcParams), plt.get_fignums()
    png(pairs.static(2))
    assert dict(matplotlib.rcParams) == before and plt.get_fignums() == figures


def test_the_contact_sheet_says_what_it_shows(pairs, monkeypatch):
    pairs.select(5)
    sheet = pairs.static(3, k=4)
    texts = [text.get_text() for text in sheet.texts]
    assert "K = 4" in sheet.get_suptitle() and "3 posts" in sheet.get_suptitle()
    assert len(sheet.axes) == 3 * 5 and pairs.selected.id in texts
    show = Mock()
    monkeypatch.setattr("mgips.lab.widgets.pairs.show", show)
    assert all(line in texts for line in pairs.summary(4)) and pairs.summary(4) != pairs.summary()
    pairs.show_static(2)
    drawn, text = show.call_args.args
    assert all(line in text for line in pairs.summary())
    assert pairs.selected.id in text and len(drawn.axes) == 2 * 4


def test_long_text_is_cut_to_its_place():
    assert fitted("short", 3, 8) == "short"
    cut = fitted("W" * 200, 2, 8)
    assert cut.endswith("…") and 1.7 < text_width(cut, 8) <= 2
    assert fitted("i" * 200, 20, 8) == "i" * 200 and fitted("", 2, 8) == "" and fitted("W", -1, 8) == "…"


def test_of_a_whole_book_only_what_may_fit_is_laid_out(monkeypatch):
    seen = []
    wide = lambda text, points: seen.append(len(text)) or text_width(text, points)  # noqa: E731
    monkeypatch.setattr("mgips.lab.figures.text.text_width", wide)
    for letter in "Wi":
        cut = fitted(letter * 10**6, 2, 8)
        assert cut.endswith("…") and 1.7 < text_width(cut, 8) <= 2
    assert max(seen) < 1000


def test_an_inspector_without_a_picture_is_our_own_mistake():
    with pytest.raises(NotImplementedError):
        Inspector("x").picture()
