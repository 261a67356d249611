"""The inspectors without a browser: what their controls do, what they say, and what they do with bad input."""

import dataclasses
import io
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
from builders import HOSTILE, assert_apart_on_the_page, picture, structure, tiny_model, tweets, variant_model
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from seqeval.metrics.sequence_labeling import get_entities

from mgips.config import CAPTIONS
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import Span
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError, DataError
from mgips.lab.figures.text import fitted, printable, text_width
from mgips.lab.precision import split_precision
from mgips.lab.representation import READING
from mgips.lab.widgets import inspect_attention, inspect_mge, inspect_pairs, inspect_swap, inspect_tsne
from mgips.lab.widgets.attention import PICTURE, WORDS
from mgips.lab.widgets.base import FALLBACK_BYTES, Button, Inspector, Page, png, under_test
from mgips.lab.widgets.html import clean, render, thumbnail, thumbnails, tinted
from mgips.lab.widgets.pairs import PairInspector
from mgips.mining import by_time, contrast_vectors, mine_dataset, mine_split
from mgips.model.mgips import MGIPS
from mgips.model.shipped import shipped
from mgips.run import Run
from mgips.tags import TAG


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def pairs(model, days):
    return inspect_pairs(model, days, progress=False)


def cards(pairs) -> list[str]:
    """The HTML of the cards that are shown."""
    return [card.value for card, box in zip(pairs._cards, pairs._pool, strict=True) if box.layout.display != "none"]


def test_it_shows_what_the_model_mined(pairs, model, days):
    data = TweetDataset(days.test, model.batcher, progress=False)
    mining = mine_split(*contrast_vectors(model, data, progress=False), 3)
    assert pairs.k == model.config.k == 3 and pairs.selected is days.test[0]
    for place in (0, 17, 39):
        pairs.select(place)
        assert pairs.mined == [days.test[i].id for i in mining.index[place]]
        for card, name, score in zip(cards(pairs), pairs.mined, mining.score[place], strict=True):
            assert f">{name}<" in card and f"{score:.3f}" in card and 'alt="Image of post' in card
        assert f"rank {mining.own_rank[place] + 1} of 40" in pairs._own_view.value
        truth = [relevant(days.test[place], days.test[i]) for i in mining.index[place]]
        assert ["✓ relevant" in card for card in cards(pairs)] == truth
        assert ["✗ not relevant" in card for card in cards(pairs)] == [not t for t in truth]


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
        assert f"fill {found.top_ten:.0%} of all places" in hub and f"N_k {found.skewness:.1f}" in hub
    page = pairs.to_html(tmp_path / "pairs.html", limit=1).read_text(encoding="utf-8")
    assert precision in page and hub in page
    bare = [dataclasses.replace(tweet, truth=None) for tweet in days.test]
    tags = [["O"] * len(tweet.words) for tweet in bare]
    (only,) = PairInspector(bare, tags, pairs.mining, 7).summary()
    assert only == hub


def test_posts_with_fewer_mined_images_show_those(pairs, days, tmp_path):
    index = pairs.mining.index.clone()
    index[0, 2:] = -1
    tags = [["O"] * len(tweet.words) for tweet in days.test]
    some = PairInspector(days.test, tags, dataclasses.replace(pairs.mining, index=index), 5)
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
    mining = mine_split(*vectors, 3, candidates=data.has_image, bias=by_time(reader, data))
    table, zeros = pairs.to_frame(), 0
    assert list(table.columns)[-1] == "weight" and len(table) == 120
    for place in range(40):
        post = days.test[place]
        (_, _, out), = reader.outputs(TweetDataset([post], reader.batcher, progress=False), pool=pool)  # fmt: skip
        weights = dict(zip(pool.ids, out.reading.weights[0, :-1].tolist(), strict=True))
        nothing = float(out.reading.weights[0, -1])
        pairs.select(place)
        assert pairs.mined == [days.test[i].id for i in mining.index[place]]
        own = table[table.id == post.id].weight.tolist()
        assert own == pytest.approx([weights[id] for id in pairs.mined], abs=1e-5)
        shown = {post.id, *pairs.mined}
        inside = sum(weights.get(id, 0) for id in shown)
        texts = (f"nothing: {nothing:.0%}; ", f"the images shown: {inside:.0%}; ")
        assert all(text in pairs._post_view.value and text in pairs.describe() for text in texts)
        for card, weight in zip(cards(pairs), own, strict=True):
            zeros += weight == 0
            assert (f"read with {weight:.0%}<" in card) == (weight > 0) == ("not read<" not in card)
        assert ("not read" in pairs._own_view.value) == (weights.get(post.id, 0) == 0)
    assert zeros > 5 and (table.weight > 0.05).sum() > 5
    page = pairs.to_html(tmp_path / "pairs.html", limit=3).read_text(encoding="utf-8")
    assert page.count("reads</span>") == 3 and page.count("<img") == 12


def test_the_share_of_shown_pairs_that_fit_is_counted_and_shown(reader, days):
    pairs = inspect_pairs(reader, days, progress=False)
    truth = {t.id: t for t in days.test}
    for k in (3, 6):
        pairs.k = k
        table = pairs.to_frame()
        fits = np.array([relevant(truth[a], truth[b]) for a, b in zip(table.id, table.mined, strict=True)])
        read = table.weight.to_numpy() >= 0.01
        others = (table.id != table.mined).to_numpy()
        line, weight = pairs.summary()[2:]
        assert line == (
            f"Of the {40 * k} shown pairs {fits.mean():.0%} truly fit, own left out {fits[others].mean():.0%}; "
            f"of the {read.sum()} that are read {fits[read].mean():.0%}, "
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
    for inspect in (lambda pool: inspect_pairs(other, days, pool=pool, progress=False),
                    lambda pool: inspect_attention(other, days.test, pool), lambda pool: inspect_mge(other, days.test, pool)):  # fmt: skip
        for pool in (half, reader.pool(half)):
            with pytest.raises(ConfigError, match="reads no pool"):
                inspect(pool)
    changed = variant_model("reads")
    for inspect in (inspect_attention, inspect_mge):
        with pytest.raises(ConfigError, match="other weights"):
            inspect(changed, days.test, reader.pool(half))


@pytest.mark.filterwarnings("error::UserWarning")
def test_attention_and_weights_of_a_model_that_reads_come_with_its_pool(reader, days):
    for inspect in (inspect_attention, inspect_mge):
        reading = inspect(reader, days.test).computed()[1].reading
        assert len(reading.pool) == 33 and reading.pool.ids == reader.pool(days.test).ids
        assert len(inspect(reader, days.test, days.test[:9]).computed()[1].reading.pool) == len(
            reader.pool(days.test[:9])
        )
    assert list(inspect_tsne(reader, days, limit=30).vectors.steps)[-1] == READING


def test_nothing_overlaps_on_the_sheet_of_a_model_that_reads(reader, days):
    pairs = inspect_pairs(reader, days, progress=False)
    sheet = pairs.static(3, k=5)
    assert_apart_on_the_page(sheet, [*sheet.texts, *sheet.axes])


def test_names_of_shipped_models_are_taken(days):
    if "tiny-reads" not in shipped():
        pytest.skip("no weights are in the package; make weights")
    assert inspect_pairs("tiny-reads", days, progress=False).read is not None
    for inspect in (inspect_attention, inspect_mge):
        assert inspect("tiny-full", days.test[:2]).error.value == ""
    assert inspect_tsne("tiny-full", days, limit=20).error.value == ""


# ---- captions in place of pictures ----


def captioned() -> tuple[Tweet, ...]:
    said = ("a man", "two women", "", "a dog in a boat", "<b>bold</b>", "a man " * 30)
    return tuple(dataclasses.replace(t, caption=said[i % 6]) for i, t in enumerate(tweets(12)))


def caption_model(variant: str) -> MGIPS:
    config = dataclasses.replace(variant_model(variant).config, image_encoder=CAPTIONS)
    return MGIPS.build(config, captioned(), seed=0).eval()


@pytest.mark.parametrize("variant", ["full", "reads"])
@pytest.mark.filterwarnings("error::UserWarning")
def test_captions_are_shown_where_pictures_would_be(variant, tmp_path):
    posts, model = captioned(), caption_model(variant)
    pairs = inspect_pairs(model, Corpus("said", (), (), posts), progress=False)
    assert (pairs.read is not None) == (variant == "reads")
    pairs._image.value = "missing"
    assert pairs.visible == [posts[2].id, posts[8].id] and "(no caption)" in pairs._own_view.value
    pairs._image.value = "any"
    for place in range(6):
        pairs.select(place)
        views = [pairs._own_view.value, *cards(pairs)]
        for view, name in zip(views, [posts[place].id, *pairs.mined], strict=True):
            said = next(t.caption for t in posts if t.id == name) or "(no caption)"
            assert (
                said.replace("<", "&lt;").replace(">", "&gt;") in view and "<img" not in view and "<b>bold" not in view
            )
    sheet = pairs.static(6, k=4)
    assert_apart_on_the_page(sheet, sheet.texts)
    assert any(text.get_text() == "a dog in a boat" for text in sheet.texts)
    assert "<img" not in pairs.to_html(tmp_path / "page.html").read_text(encoding="utf-8")


def test_attention_over_a_caption_is_the_models_own():
    posts, model = captioned(), caption_model("full")
    inspector = inspect_attention(model, posts)
    for place in (1, 2, 5):
        inspector.select(place)
        batch = model.batcher([posts[place]])
        with torch.no_grad():
            attention = model(batch, attention=True).attention[-1]
        count = int(batch.caption_mask.sum())
        for direction, query in ((WORDS, 1), (PICTURE, 1)):
            inspector.direction.value = direction
            inspector.word.value = query
            shares, m = inspector.shares(), batch.captions.shape[1]
            row = attention.text[0].mean(0)[batch.first[0, 1]] if direction == WORDS else attention.image[0].mean(0)[1]
            over = row[:m] if direction == WORDS else row[-m:]
            assert shares.patches == pytest.approx(over[1:count].numpy(), abs=1e-6)
            assert shares.picture + shares.words.sum() + shares.special == pytest.approx(1, abs=1e-5)
            assert "caption" in inspector.describe() and inspector.error.value == ""
        assert len(inspector.word.options) == count and inspector.word.options[0][0] == "0 [CLS]"
        drawn = inspector.picture()
        assert_apart_on_the_page(drawn, drawn.texts)
        assert ("No caption." in " ".join(text.get_text() for text in drawn.texts)) == (place == 2)
    assert inspect_mge(model, posts).error.value == ""


def test_gold_and_predicted_spans_are_named_beside_their_colour(pairs, model, days):
    tags = model.predict(days.test)
    for place in (1, 5):
        pairs.select(place)
        gold, predicted = pairs._post_view.value.split("predicted</span>")
        for half, row in ((gold, days.test[place].tags), (predicted, tags[place])):
            for kind in ("PER", "LOC", "ORG", "MISC"):
                assert half.count(f">{kind}</b>") == sum(entity[0] == kind for entity in get_entities(list(row)))


def test_next_previous_and_the_slider_go_from_post_to_post(pairs, days):
    assert pairs._previous.disabled and not pairs._next.disabled
    pairs._next.click()
    pairs._next.click()
    assert pairs.selected is days.test[2] and pairs._position.value == 3
    pairs._previous.click()
    assert pairs.selected is days.test[1] and days.test[1].id in pairs._post_view.value
    pairs._position.value = 40
    assert pairs.selected is days.test[39] and pairs._next.disabled
    pairs._next.click()
    assert pairs.selected is days.test[39]
    assert "<b>40</b> of 40" in pairs._status.value


def test_k_shows_and_hides_cards_and_makes_none(pairs):
    pool = list(pairs._pool)
    best = cards(pairs)
    for k in (5, 1, 20, 2):
        pairs.k = k
        assert len(cards(pairs)) == len(pairs.mined) == k == pairs._k.value
        assert cards(pairs)[:2] == best[: min(k, 2)] or k == 1
    pairs._next.click()
    pairs._k.value = 20
    assert len(set(cards(pairs))) == 20 and pairs._pool == pool
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
    assert "no image" in pairs._own_view.value
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


def test_a_mined_image_opens_its_post_whatever_the_filters_say(pairs):
    pairs._search.value = pairs.selected.id
    wanted = pairs.mined[0] if pairs.mined[0] != pairs.selected.id else pairs.mined[1]
    pairs._opens[pairs.mined.index(wanted)].click()
    assert pairs.selected.id == wanted and len(pairs.visible) == 40 and pairs._search.value == ""


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
    assert list(table.columns) == ["id", "rank", "mined", "score", "own", "relevant"] and len(table) == 160
    by_id = {t.id: t for t in days.test}
    for row in table.itertuples():
        assert row.own == (row.id == row.mined) and row.relevant == relevant(by_id[row.id], by_id[row.mined])
    pairs.select(12)
    assert table[table.id == pairs.selected.id].mined.tolist() == pairs.mined
    assert (table.groupby("id").score.diff().dropna() <= 0).all()
    pd.testing.assert_frame_equal(pd.read_csv(pairs.to_csv(tmp_path / "pairs.csv")), table, check_dtype=False)


def test_export_writes_beside_the_notebook_and_says_where(pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs._image.value = "missing"
    export = next(w for w in pairs.children[0].children if "mgips-export" in w._dom_classes)
    export.click()
    (file,) = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) == 1 + 3 * len(pairs.visible)
    assert str(file) in pairs._status.value and f"{3 * len(pairs.visible)} rows" in pairs._status.value


def test_the_page_stands_alone(pairs, tmp_path):
    page = pairs.to_html(tmp_path / "pairs.html", limit=5).read_text(encoding="utf-8")
    assert page.count("<section>") == 5 and page.count("<img") == 5 * 4 == page.count('src="data:image/jpeg;base64,')
    assert "<script" not in page and "http://" not in page.replace("http://t.co", "") and "<title>K = 3" in page
    assert page.count('alt="') == 20


def test_words_never_become_markup(model, tmp_path):
    bad = '<script>alert("x")</script>'
    post = Tweet(f"1{bad}", ("<b>bold</b>", bad, "&amp;"), ("O", "B-PER", "O"), picture(0))
    pairs = inspect_pairs(model, Corpus("bad", (), (), (post, *tweets(4))), progress=False)
    pairs._search.value = bad
    pairs.to_html(tmp_path / "page.html")
    views = [pairs._post_view.value, pairs._own_view.value, *cards(pairs), (tmp_path / "page.html").read_text()]
    for view in views:
        assert "<script" not in view and "<b>bold" not in view
    assert "&lt;script&gt;" in pairs._post_view.value and "&amp;amp;" in pairs._post_view.value
    assert "<script" not in inspect_attention(model, [post]).view.value
    assert tinted(["<i>"], []) == "&lt;i&gt;"


@given(st.lists(HOSTILE, min_size=9, max_size=9))
@settings(max_examples=80, deadline=None)
def test_no_text_becomes_part_of_a_page(texts):
    """Every template, filled in with hostile text, has the elements that it has with harmless text, and the text in them."""

    def pages(id, word, entity, kind, read, caption, title, note, message):
        words = (word, entity)
        tweet, span = Tweet(id, words, ("O", f"B-{kind}")), Span(1, 2, kind, entity)
        near = SimpleNamespace(tweet=tweet, span=span)
        card = {"tweet": tweet, "thumbnail": (png, note), "score": 0.5, "own_rank": 1, "count": 2, "read": read}
        card |= {"own": False, "relevant": None}
        post = render("post", tweet=tweet, right=True, image=note, gold=[span], predicted=[span], reads=read)
        cards = [render("card", **card, rank=rank, caption=said) for rank in (0, 1) for said in (None, caption)]
        yield from (post, *cards, tinted(words, [span]))
        yield render("page", title=title, summary=[note], sections=[(post, cards)])
        yield render("neighbours", selected=near, nearest=[near, near])
        yield render("error", message=message)
        yield render("status", message=message)
        yield render("picture", picture=png, alt=message)
        yield render("place", place=1, visible=2, count=3, note=note, summary=[message])

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
        yield from (pairs._post_view.value, pairs._own_view.value, *cards(pairs))
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
    pairs = inspect_pairs(model, Corpus("odd", (), (), posts), k=6, progress=False)
    assert "cannot be read" in pairs._own_view.value and pairs.error.value == ""
    assert sum("no image" in card for card in cards(pairs)) == 1
    png(pairs.static(6))


def test_few_thumbnails_stay_in_memory():
    kept = thumbnails(tweets(5), keep=2)
    first, second = kept(0), kept(1)
    assert kept(0) is first
    kept(2)  # the oldest goes
    assert kept(0) is first and kept(1) is not second and kept.cache_info().currsize == 2


def test_posts_without_labels_or_truth(model):
    posts = [dataclasses.replace(t, tags=()) for t in tweets(6)]
    pairs = inspect_pairs(model, Corpus("plain", (), (), tuple(posts)), progress=False)
    assert "(not labelled)" in pairs._post_view.value and "prediction" not in pairs._post_view.value
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
    for inspect in (inspect_attention, inspect_mge):
        with pytest.raises(ConfigError, match="no posts"):
            inspect(model, [])
        with pytest.raises(ConfigError, match="no (images|interweave)"):
            inspect(tiny_model(images=False), tweets())
    with pytest.raises(ConfigError, match="no interweave"):
        inspect_mge(tiny_model(mgi=False), tweets())


def test_the_mined_are_read_with_k_max_no_larger_than_the_split(model, days):
    assert inspect_pairs(model, days, "dev", k=2, progress=False).mining.k == 4
    assert inspect_pairs(model, days, k=2, k_max=5, progress=False).mining.k == 5


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
    monkeypatch.setattr(pairs, "to_csv", Mock(side_effect=DataError("The disk is full.")))
    pairs._export_button.click()
    assert "The disk is full." in pairs.error.value and "DataError" not in pairs.error.value
    monkeypatch.setattr(pairs, "picture", lambda: 1 / 0)
    bundle = pairs._repr_mimebundle_()
    assert "image/png" not in bundle and "ZeroDivisionError" in pairs.error.value


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


@pytest.mark.parametrize("inspect", [inspect_pairs, inspect_attention, inspect_mge])
def test_a_page_without_widgets_shows_a_picture_with_its_text(inspect, model, days):
    made = inspect(model, days) if inspect is inspect_pairs else inspect(model, days.test)
    data, metadata = made._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["image/png"].startswith(b"\x89PNG") and len(data["image/png"]) < FALLBACK_BYTES
    assert Image.open(io.BytesIO(data["image/png"])).width > 500
    assert data["text/plain"] == metadata["image/png"]["alt"] == made.describe()
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


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_become_a_box(model):
    assert printable("a🫠\ufe0f我b") == "a□□b"
    odd = Tweet("odd", ("🫠", "我", "$x$", "$", "\u200d", "x_{1", "_"), ("O",) * 7, picture(1))
    pairs = inspect_pairs(model, Corpus("odd", (), (), (odd, *tweets(3))), progress=False)
    for inspector in (pairs, inspect_attention(model, [odd]), inspect_mge(model, [odd])):
        png(inspector.picture())


def test_long_text_is_cut_to_its_place():
    assert fitted("short", 3, 8) == "short"
    cut = fitted("W" * 200, 2, 8)
    assert cut.endswith("…") and 1.7 < text_width(cut, 8) <= 2


@pytest.mark.released(21)
def test_attention_is_the_models_own_and_sums_to_one(model):
    posts = tweets(4)
    inspector = inspect_attention(model, posts)
    inspector.select(1)
    batch = model.batcher([posts[1]])
    with torch.no_grad():
        layers = model(batch, attention=True).attention
    m, n = 1 + 3 * inspector.side**2, batch.pieces.shape[1]
    for layer in (1, 2):
        for head in (0, 1, 3):
            for direction, query in ((WORDS, 2), (PICTURE, 5)):
                with inspector.setting():  # nothing is drawn
                    inspector.layer.value, inspector.head.value, inspector.direction.value = layer, head, direction
                    inspector.adapt()
                    inspector.word.value = query
                shares = inspector.shares()
                total = shares.patches.sum() + shares.class_token + shares.words.sum() + shares.special
                assert total == pytest.approx(1, abs=1e-5)
                table = layers[layer - 1].text if direction == WORDS else layers[layer - 1].image
                row = table[0].mean(0) if head == 0 else table[0, head - 1]
                row = row[batch.first[0, query] if direction == WORDS else query]
                over_image = row[:m] if direction == WORDS else row[n:]
                assert shares.patches.flatten() == pytest.approx(over_image[1:].numpy(), abs=1e-6)
                assert shares.picture == pytest.approx(float(over_image.sum()), abs=1e-5)
    assert len(shares.words) == len(posts[1].words)


def test_each_control_of_attention_draws_anew(model):
    inspector = inspect_attention(model, tweets(4))
    seen = {inspector.view.value}
    changes = ("layer", 1), ("head", 2), ("word", 3), ("direction", PICTURE), ("word", 4), ("post", 3)
    for control, value in changes:
        getattr(inspector, control).value = value
        assert inspector.view.value not in seen and inspector.error.value == ""
        seen.add(inspector.view.value)
    assert inspector.selected.id == "0-2" and inspector.word.options[0][0] == "class token"
    inspector.direction.value = WORDS
    labels = [f"{i + 1} {word}" for i, word in enumerate(inspector.selected.words)]
    assert [label for label, _ in inspector.word.options] == labels


def test_towers_without_mutual_attention_attend_to_themselves():
    inspector = inspect_attention(tiny_model(mutual_attention=False), tweets(2))
    assert inspector.shares().picture == 0
    inspector.direction.value = PICTURE
    assert inspector.shares().picture == pytest.approx(1, abs=1e-5)


def test_weights_are_the_models_own(model):
    posts = tweets(3)
    inspector = inspect_mge(model, posts)
    with torch.no_grad():
        walk = model(model.batcher([posts[2]]), attention=True).interwoven
    inspector.select("0-2")
    assert inspector.passes[:3] == ["X1", "T1", "X2"] and len(inspector.passes) == len(walk.weights)
    for place, weights in enumerate(walk.weights):
        assert inspector.rows()[place] == pytest.approx(weights.row[0, :, 0].numpy(), abs=1e-6)
        assert inspector.columns()[place] == pytest.approx(weights.column[0, 0].numpy(), abs=1e-6)
    before = inspector.view.value
    inspector.step.value = 1
    assert inspector.view.value != before and "pass T1" in inspector.view.value
    lines = [line.get_label() for axes in inspector.picture().axes for line in axes.lines]
    assert {f"uniform, 1/n = {1 / len(inspector.pieces()):.3f}", f"uniform, 1/d = {1 / 32:.4f}"} <= set(lines)


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"row_weights": False}, "Row weights are off"),
        ({"column_weights": "off"}, "Column weights are off"),
        ({"column_weights": "printed"}, "as printed: 1 for every piece"),
        ({"interweave_encoders": 7}, "Row weights of"),
    ],
)
def test_every_kind_of_weights_can_be_drawn(changes, title):
    inspector = inspect_mge(tiny_model(**changes), tweets(1))
    assert title in inspector.describe() and inspector.error.value == ""


def test_a_model_in_training_stays_in_training_and_is_inspected_in_evaluation(model):
    quiet = inspect_mge(model, tweets(1)).rows()
    model.train()
    try:
        assert np.array_equal(inspect_mge(model, tweets(1)).rows(), quiet) and model.training
    finally:
        model.eval()


def test_an_inspector_without_a_picture_is_our_own_mistake():
    with pytest.raises(NotImplementedError):
        Inspector("x").picture()
