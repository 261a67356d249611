"""The attention and the MGE inspector without a browser: numbers against the model's own, clicks, side by side."""

import dataclasses
import io
import re
import unicodedata

import numpy as np
import pytest
import torch
from builders import (
    assert_apart_on_the_page,
    caption_model,
    captioned,
    picture,
    structure,
    tiny_model,
    tweets,
    variant_model,
)
from PIL import Image

from mgips.data.corpus import Corpus, Tweet
from mgips.errors import ConfigError
from mgips.lab.figures.text import printable, text_width
from mgips.lab.widgets import inspect_attention, inspect_mge, inspect_pairs
from mgips.lab.widgets.attention import CLASS, COVER, PICTURE, WORDS, Places, framed
from mgips.lab.widgets.base import FALLBACK_BYTES, png
from mgips.model.mgips import MGIPS
from mgips.model.shipped import shipped


@pytest.fixture(scope="module")
def model() -> MGIPS:
    return tiny_model()


@pytest.fixture(scope="module")
def deep() -> MGIPS:
    return tiny_model(num_layers=6, num_heads=8)


@pytest.fixture(scope="module")
def reader() -> MGIPS:
    return variant_model("reads")


def written(inspector) -> list[str]:
    """The texts on the picture."""
    return [text.get_text() for text in inspector.picture().texts]


def hits(inspector, group: str) -> dict[str, str]:
    """What the places of a group say, by what is picked there."""
    return {hit.pick: hit.says for hit in inspector.picture().hits if hit.group == group}


def pressed(inspector) -> list[str]:
    return [hit.pick for hit in inspector.picture().hits if hit.pressed]


# ---- what is given ----


@pytest.mark.filterwarnings("error::UserWarning")
def test_attention_and_weights_of_a_model_that_reads_come_with_its_pool(reader, days):
    posts = days.test[:16]
    for inspect in (inspect_attention, inspect_mge):
        reading = inspect(reader, posts).computed()[1].reading
        assert len(reading.pool) > 10 and reading.pool.ids == reader.pool(posts).ids
        few = inspect(reader, posts, posts[:9]).computed()[1].reading.pool
        assert few.ids == reader.pool(posts[:9]).ids != reading.pool.ids


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_pool_for_a_model_that_reads_none_or_of_other_weights_is_refused(reader, days):
    own, changed, posts = variant_model("own"), variant_model("reads"), days.test[:6]
    with torch.no_grad():
        changed.reader.null.bias.add_(1.0)
    for inspect in (inspect_attention, inspect_mge):
        for pool in (posts, reader.pool(posts)):
            with pytest.raises(ConfigError, match="reads no pool"):
                inspect(own, posts, pool)
        with pytest.raises(ConfigError, match="other weights"):
            inspect(changed, posts, reader.pool(posts))
    # the second model reads nothing, or another pool: its attention comes before reading
    for other in (own, changed):
        assert inspect_attention(reader, posts, reader.pool(posts), other=other).error.value == ""


def test_names_of_shipped_models_and_folders_are_taken(model, days, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    if "tiny-full" not in shipped():
        pytest.skip("no weights are in the package; make weights")
    for inspect in (inspect_attention, inspect_mge):
        assert inspect("tiny-full", days.test[:2]).error.value == ""
    both = inspect_attention(tmp_path / "mine", days.test[:2], other="tiny-full")
    assert both.names == ["mine", "tiny-full"]
    assert [panel.name for panel in both.panels()] == [f"{name}, post {days.test[0].id}" for name in both.names]


def test_what_cannot_be_inspected(model):
    for inspect in (inspect_attention, inspect_mge):
        with pytest.raises(ConfigError, match="no posts"):
            inspect(model, [])
        with pytest.raises(ConfigError, match="no (images|interweave)"):
            inspect(tiny_model(images=False), tweets())
    with pytest.raises(ConfigError, match="no images"):
        inspect_attention(model, tweets(), other=tiny_model(images=False))
    with pytest.raises(ConfigError, match="no interweave"):
        inspect_mge(tiny_model(mgi=False), tweets())


def test_words_and_ids_never_become_markup(model):
    bad = '"><script>alert(1)</script>'
    posts = [Tweet(f"{i}{bad}", (bad, "<b>", "&amp;"), ("B-PER", "O", "O"), picture(i)) for i in range(2)]
    plain = [Tweet(str(i), ("x", "y", "z"), ("B-PER", "O", "O"), picture(i)) for i in range(2)]
    for inspect in (inspect_attention, inspect_mge):
        hostile, harmless = inspect(model, posts), inspect(model, plain)
        if inspect is inspect_attention:
            hostile.beside.value = harmless.beside.value = 2
        assert "<script" not in hostile.view.value and "&lt;script&gt;" in hostile.view.value
        assert set(structure(hostile.view.value)[0]) <= set(structure(harmless.view.value)[0])


@pytest.mark.parametrize("inspect", [inspect_attention, inspect_mge])
def test_what_stays_in_a_saved_notebook_is_a_small_picture_with_its_text(inspect, model, days):
    made = inspect(model, days.test)
    kept = png(made.picture(), limit=FALLBACK_BYTES)
    assert len(kept) < FALLBACK_BYTES and Image.open(io.BytesIO(kept)).width > 500
    assert made.picture().get_suptitle() and made.selected.id in made.describe()
    assert re.search('<img[^>]* alt="([^"]+)"', made.view.value)[1].replace("&#34;", '"') == made.describe()


# ---- letters ----


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, café, Ω, 😂 and ☕", "plain, café, Ω, 😂 and ☕"),  # the font has these
        ("so hot 🔥🔥", "so hot [fire][fire]"),
        ("a🫠\ufe0f我b", "a[melting face][U+6211]b"),
        ("안녕", "[an][nyeong]"),
        ("क", "[ka]"),
        ("👩🏽\u200d💻", "[woman][personal computer]"),  # without the skin's colour and the joiner
        ("🤭", "[smiling face with…]"),
        ("\ue000\x00", "[U+E000][U+0000]"),
    ],
)
def test_letters_that_the_font_lacks_become_their_name(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_every_emoji_has_a_short_name_that_can_be_drawn():
    emoji = [chr(c) for c in range(0x1F300, 0x1FB00) if unicodedata.name(chr(c), "")]
    lacking = [c for c in emoji if printable(c) != c]
    assert len(lacking) > 800
    for c in lacking:
        name = printable(c)
        assert name == "" or (
            name[0] == "[" and name[-1] == "]" and 3 <= len(name) <= 25 and printable(name) == name
        ), c


@pytest.mark.filterwarnings("error")
def test_odd_letters_are_drawn_without_a_warning(model):
    odd = Tweet("odd 🫠", ("🫠", "我", "$x$", "$", "\u200d", "x_{1", "_"), ("O",) * 7, picture(1))
    pairs = inspect_pairs(model, Corpus("odd", (), (), (odd, *tweets(3))), progress=False)
    for inspector in (pairs, inspect_attention(model, [odd]), inspect_mge(model, [odd])):
        png(inspector.picture())


# ---- attention: the numbers ----


@pytest.mark.released(21)
def test_attention_is_the_models_own_and_sums_to_one(model):
    posts = tweets(4)
    inspector = inspect_attention(model, posts)
    inspector.select(1)
    batch = model.batcher([posts[1]])
    with torch.no_grad():
        layers = model(batch, attention=True).attention
    m, n = 1 + 3 * inspector.places.side**2, batch.pieces.shape[1]
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
                over_image, over_text = (row[:m], row[m:]) if direction == WORDS else (row[n:], row[:n])
                assert shares.patches.flatten() == pytest.approx(over_image[1:].numpy(), abs=1e-6)
                assert shares.picture == pytest.approx(float(over_image.sum()), abs=1e-5)
                starts = [*batch.first[0].tolist(), n - 1]
                for word, share in enumerate(shares.words):
                    own = sum(float(over_text[i]) for i in range(starts[word], starts[word + 1]))
                    assert share == pytest.approx(own, abs=1e-6)
    assert len(shares.words) == len(posts[1].words)


def test_towers_without_mutual_attention_attend_to_themselves():
    inspector = inspect_attention(tiny_model(mutual_attention=False), tweets(2))
    assert inspector.shares().picture == 0
    inspector.direction.value = PICTURE
    assert inspector.shares().picture == pytest.approx(1, abs=1e-5) and inspector.error.value == ""


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
        assert len(inspector.word.names) == count and inspector.word.names[0] == "0 [CLS]"
        assert list(hits(inspector, "Caption")) == [f"0 place {i}" for i in range(1, count)]
        drawn = inspector.picture()
        assert_apart_on_the_page(drawn, drawn.texts)
        assert any("(no caption)" in text for text in written(inspector)) == (place == 2)
    assert inspect_mge(model, posts).error.value == ""


# ---- attention: controls and clicks ----


def test_each_control_of_attention_draws_anew(model):
    inspector = inspect_attention(model, tweets(4))
    seen = {inspector.view.value}
    changes = ("layer", 1), ("head", 2), ("word", 3), ("direction", PICTURE), ("word", 4), ("post", 3), ("beside", 2)
    for control, value in changes:
        getattr(inspector, control).value = value
        assert inspector.view.value not in seen and inspector.error.value == ""
        seen.add(inspector.view.value)
    assert inspector.selected.id == "0-2" and inspector.word.names[0] == CLASS
    inspector.direction.value = WORDS
    assert inspector.word.names == [f"{i + 1} {word}" for i, word in enumerate(inspector.selected.words)]
    assert inspector.word_beside.names == [f"{i + 1} {word}" for i, word in enumerate(tweets(4)[1].words)]
    assert (inspector.word_beside.description, inspector.word_beside.layout.display) == ("Word beside", None)
    inspector.beside.value = 0
    assert inspector.word_beside.layout.display == "none"


def test_every_word_patch_and_head_can_be_picked_and_says_its_share(model):
    inspector = inspect_attention(model, tweets(4))
    inspector.layer.value, inspector.head.value = 1, 2
    shares, side = inspector.shares(), inspector.places.side
    words = inspector.panels()[0].words  # inside the cut
    assert list(hits(inspector, "Words").items()) == [
        (f"0 word {i}", f"“{word}”: {100 * share:.1f} %")
        for i, (word, share) in enumerate(zip(words, shares.words, strict=True))
    ]
    for crop in range(3):
        said = hits(inspector, f"Crop {crop + 1}")
        expected = {}
        for row in range(side):
            for column in range(side):
                pick = f"0 place {1 + crop * side * side + row * side + column}"
                share = shares.patches[crop, row, column]
                expected[pick] = f"row {row + 1}, column {column + 1}: {100 * share:.1f} %"
        assert said == expected
    assert hits(inspector, "Before the patches") == {"0 place 0": f"class token: {100 * shares.class_token:.1f} %"}
    heads = hits(inspector, "Heads")
    assert list(heads) == [f"0 head {layer} {head}" for layer in (1, 2) for head in range(5)]
    assert heads["0 head 1 2"] == f"layer 1, head 2: {100 * shares.picture:.1f} % to the picture"
    assert heads["0 head 2 0"].startswith("layer 2, mean of heads: ")


def test_a_click_asks_a_word_a_patch_the_class_token_or_shows_a_head_and_the_controls_follow(model):
    inspector = inspect_attention(model, tweets(4))
    assert pressed(inspector) == ["0 word 0", "0 head 2 0"]  # Jordan, an entity
    inspector.pick("0 word 2")
    assert (inspector.direction.value, inspector.word.value, inspector.word.label) == (WORDS, 2, "3 Chicago")
    inspector.pick("0 place 18")
    assert (inspector.direction.value, inspector.word.label) == (PICTURE, "crop 2, row 1, col 2")
    assert pressed(inspector) == ["0 place 18", "0 head 2 0"]
    inspector.pick("0 head 1 3")
    assert (inspector.layer.value, inspector.head.label, inspector.word.value) == (1, "head 3", 18)
    assert "crop 2, row 1, col 2 gives" in inspector.describe() and pressed(inspector) == ["0 place 18", "0 head 1 3"]
    inspector.pick("0 place 0")
    assert inspector.word.label == CLASS and "the class token gives" in inspector.describe()
    inspector.pick("0 word 1")
    assert inspector.direction.value == WORDS and "“beats” gives" in inspector.describe()


def test_a_hit_lies_on_what_is_drawn(model):
    """The middle of the query's place is inside the black line around it."""
    inspector = inspect_attention(model, tweets(4))
    for pick in ("0 word 1", "0 place 22", "0 place 0", "0 head 1 4"):
        inspector.pick(pick)
        page = inspector.picture()
        wide, high = page.get_size_inches()
        outlines = [artist for artist in page.patches if getattr(artist, "get_edgecolor", None) is not None]
        outlines += [artist for artist in page.artists if hasattr(artist, "get_bbox")]
        (hit,) = [hit for hit in page.hits if hit.pick == pick]
        x, y = (hit.left + hit.width / 2) / 100 * wide, (1 - (hit.top + hit.height / 2) / 100) * high
        inside = [box for box in outlines if box.get_x() < x < box.get_x() + box.get_width() and box.get_y() < y < box.get_y() + box.get_height()]  # fmt: skip
        assert [box for box in inside if box.get_height() < 0.9], pick


def test_a_deep_model_shows_its_layers_and_the_heads_of_one(deep):
    inspector = inspect_attention(deep, tweets(4))
    inspector.pick("0 head 3 0")
    layers = [f"0 head {layer} 0" for layer in range(1, 7)]
    assert list(hits(inspector, "Heads")) == list(dict.fromkeys([*layers, *(f"0 head 3 {head}" for head in range(9))]))
    inspector.pick("0 head 3 8")
    assert inspector.head.label == "head 8" and "head 8" in inspector.describe()


# ---- attention: the picture ----


@pytest.mark.parametrize("k", [8, 18, 65])
def test_the_area_of_a_frame_is_proportional_to_the_share_and_the_middle_stays_free(k):
    strength = np.array([[0.0, 0.25], [0.5, 1.0]])
    photo = np.zeros((2 * k, 2 * k, 3), np.uint8)
    photo[..., 2] = 200  # blue: the frame has none
    made = framed(photo, strength).astype(float)
    for row in range(2):
        for column in range(2):
            patch = made[row * k : (row + 1) * k, column * k : (column + 1) * k]
            white = patch[..., 1].sum() - 94 / 213 * patch[..., 0].sum()  # green beyond the frame's is the white line's
            covered = patch[..., 0].sum() - white / (1 - 94 / 213)
            assert covered / 213 / k**2 == pytest.approx(COVER * strength[row, column], abs=0.03)
            assert patch[k // 2, k // 2].tolist() == [0, 0, 200]
    assert (made[:k, :k] == photo[:k, :k]).all()


def test_even_attention_looks_pale(model):
    quarter = framed(np.zeros((8, 8, 3), np.uint8), np.array([[0.5]])).mean()
    assert quarter < framed(np.zeros((8, 8, 3), np.uint8), np.array([[1.0]])).mean()
    inspector = inspect_attention(model, [dataclasses.replace(tweets(1)[0], words=("one",), tags=("B-PER",))])
    share = inspector.shares().words
    assert len(share) == 1 and f"{200 * share[0]:.1f} %" in written(inspector)  # the scale ends at twice the only share


def test_nothing_overlaps(model, deep):
    long = dataclasses.replace(tweets(1)[0], words=("W" * 60, *("word" for _ in range(25))), tags=("O",) * 26)
    for inspector in (
        inspect_attention(model, (*tweets(4), long)),
        inspect_attention(deep, (*tweets(4), long)),
        inspect_attention(model, (*tweets(4), long), other=deep),
    ):
        for beside in (0, 5):
            inspector.beside.value = beside
            inspector.pick("0 place 7" if beside else "0 word 1")
            page = inspector.picture()
            assert_apart_on_the_page(page, page.texts)
            for group in {hit.group for hit in page.hits}:
                boxes = [hit for hit in page.hits if hit.group == group]
                for i, a in enumerate(boxes):
                    assert 0 <= a.left and a.left + a.width <= 100 and 0 <= a.top and a.top + a.height <= 100
                    for b in boxes[i + 1 :]:
                        wide = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
                        high = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
                        assert wide < 0.1 or high < 0.1, (a, b)


# ---- attention: side by side ----


def test_two_posts_beside_each_other_show_what_each_shows_alone(model):
    posts = tweets(4)
    both, alone = inspect_attention(model, posts), inspect_attention(model, posts)
    both.beside.value = 3
    assert [panel.name for panel in both.panels()] == ["Post 0-0", "Post 0-2"]
    both.pick("1 word 4")  # in the second panel
    assert (both.word.value, both.word_beside.value, both.word_beside.label) == (0, 4, "5 is")
    both.pick("1 head 1 2")
    alone.select(2)
    alone.pick("0 word 4")
    alone.pick("0 head 1 2")
    second = both.panels()[1]
    assert np.array_equal(second.shares(second.layer, second.head).patches, alone.shares().patches)
    assert alone.describe().split(". ", 1)[1] in both.describe()
    assert hits(both, "Crop 2 of panel 2, Post 0-2") == {
        f"1{pick[1:]}": says for pick, says in hits(alone, "Crop 2").items()
    }
    assert not set(hits(both, "Words of panel 1, Post 0-0")) & set(hits(both, "Words of panel 2, Post 0-2"))
    both.pick("1 place 9")
    assert (both.direction.value, both.word_beside.value, both.word.value) == (PICTURE, 9, 0)
    both.pick("0 place 30")
    assert (both.word_beside.value, both.word.value) == (9, 30)


def test_two_models_beside_each_other_have_the_same_query_layer_and_head(model, deep):
    posts = tweets(4)
    both = inspect_attention(model, posts, other=deep)
    alone = inspect_attention(deep, posts)
    assert (both.layer.max, both.head.options[-1][0]) == (6, "head 8")
    both.pick("1 head 5 7")
    first, second = both.panels()
    assert (first.layer, first.head, second.layer, second.head) == (2, 4, 5, 7)  # where there is none, the last
    both.pick("1 word 3")
    alone.pick("0 head 5 7")
    alone.pick("0 word 3")
    second = both.panels()[1]
    assert np.array_equal(second.shares(second.layer, second.head).words, alone.shares().words)
    both.beside.value = 2
    names = [panel.name for panel in both.panels()]
    assert names == [f"{name}, post {id}" for id in ("0-0", "0-1") for name in ("first model", "other model")]
    both.pick("3 word 1")
    assert (both.word.value, both.word_beside.value) == (3, 1)
    assert both.describe().count("gives") == 4 and both.error.value == ""


def test_a_model_beside_itself_and_a_post_beside_itself(model, tmp_path):
    for folder in ("a/run", "b/run"):
        model.save_pretrained(tmp_path / folder)
    both = inspect_attention(tmp_path / "a" / "run", tweets(2), other=tmp_path / "b" / "run")
    assert both.names == ["run (first)", "run (other)"]
    both = inspect_attention(model, tweets(2), other=model)
    both.beside.value = 1
    assert len({hit.group for hit in both.picture().hits}) == 4 * 6
    assert len({panel.describe().split(": ", 1)[1] for panel in both.panels()}) == 1


def test_a_place_lies_at_the_same_spot_in_another_models_image_side():
    coarse, fine = Places(1 + 3 * 16, False, 1, 4), Places(3 * 49, False, 0, 7)
    register, caption = Places(5 + 3 * 16, False, 5, 4), Places(20, True, 1, 0)
    for crop in range(3):
        for row in range(4):
            for column in range(4):
                place = 1 + 16 * crop + 4 * row + column
                other = coarse.like(place, fine)
                assert other // 49 == crop
                y, x = divmod(other % 49, 7)
                assert y <= (row + 0.5) / 4 * 7 < y + 1 and x <= (column + 0.5) / 4 * 7 < x + 1
                assert fine.like(other, coarse) == place and coarse.like(place, register) == place + 4
    assert [register.like(i, coarse) for i in range(6)] == [0, 0, 0, 0, 0, 1]
    assert coarse.like(0, fine) == 0 and coarse.like(30, caption) == 0 and caption.like(7, coarse) == 0
    assert caption.like(7, Places(30, True, 1, 0)) == 7 and coarse.like(30, coarse) == 30


def test_a_model_of_captions_beside_one_of_pictures():
    posts = captioned()
    both = inspect_attention(tiny_model(), posts, other=caption_model("full"))
    assert [panel.side for panel in both.panels()] == ["picture", "caption"]
    both.pick("1 place 2")
    assert both.direction.value == PICTURE and both.error.value == "" and both.word.label == CLASS
    both.pick("0 place 40")
    assert both.panels()[1].query == 0 and both.word.value == 40


# ---- weights of the MGEs ----


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
    n = len(inspector.pieces())
    assert {f"– – uniform, 1/n = {1 / n:.3f}", f"– – uniform, 1/d = {1 / 32:.4f}"} <= set(written(inspector))


def test_bars_and_cells_say_their_weight_in_units_of_the_uniform_one(model):
    inspector = inspect_mge(model, tweets(3))
    inspector.step.value = 1
    ids = model.batcher([tweets(3)[0]]).pieces[0].tolist()
    pieces = model.batcher.tokenizer.convert_ids_to_tokens(ids)
    n, rows, columns = len(pieces), inspector.rows(), inspector.columns()
    bars, cells = hits(inspector, "Pieces"), hits(inspector, "All passes, pieces")
    assert bars == {f"pass 1 bar {i}": f"“{p}”: {rows[1, i] * n:.2f} × 1/n" for i, p in enumerate(pieces)}
    assert cells == {
        f"pass {k} piece {i}": f"{name}, “{p}”: {rows[k, i] * n:.2f} × 1/n"
        for k, name in enumerate(inspector.passes)
        for i, p in enumerate(pieces)
    }
    for k, name in enumerate(inspector.passes):
        most = max(range(32), key=lambda feature, k=k: columns[k, feature])
        says = f"{name}: most on feature {most + 1}, {columns[k, most] * 32:.2f} × 1/d"
        assert hits(inspector, "All passes, features")[f"pass {k}"] == says


def test_a_click_chooses_a_pass_a_post_and_marks_a_piece(model):
    inspector = inspect_mge(model, tweets(3))
    assert hits(inspector, "Posts") == {"post 1": "next post: 0-1"}
    inspector.pick("pass 2")
    assert inspector.step.label.startswith("X2") and inspector.piece is None
    inspector.pick("pass 1 piece 3")
    weights = inspector.rows()[:, 3] * len(inspector.pieces())
    said = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(inspector.passes, weights, strict=True))
    assert (inspector.step.value, inspector.piece) == (1, 3) and f"× 1/n: {said}." in inspector.describe()
    assert pressed(inspector) == ["pass 1 bar 3", "pass 1 piece 3", "pass 1"]
    inspector.pick("pass 1 bar 3")  # again: no longer
    assert inspector.piece is None
    inspector.pick("pass 1 bar 2")
    inspector.pick("post 1")
    assert inspector.selected.id == "0-1" and inspector.piece is None and inspector.step.value == 1
    assert set(hits(inspector, "Posts")) == {"post 0", "post 2"}
    inspector.pick("post 0")
    assert inspector.piece == 2
    inspector.post.value = 3
    assert set(hits(inspector, "Posts")) == {"post 1"}


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"row_weights": False}, "Row weights are off"),
        ({"column_weights": "off"}, "Column weights are off"),
        ({"column_weights": "printed"}, "as printed: 1 for every piece"),
        ({"interweave_encoders": 7}, "Row weights of"),
        ({"hidden_size": 320, "num_heads": 4}, "Row weights of"),  # more features than pixels
    ],
)
def test_every_kind_of_weights_can_be_drawn(changes, title):
    inspector = inspect_mge(tiny_model(**changes), [dataclasses.replace(post, id=post.id * 40) for post in tweets(2)])
    assert title in inspector.describe() and inspector.error.value == ""
    page = inspector.picture()
    assert_apart_on_the_page(page, page.texts)


def test_of_very_many_pieces_the_heaviest_have_their_name():
    words = ("Chicago", "beats") * 15
    inspector = inspect_mge(tiny_model(max_length=64), [Tweet("long", words, ("O",) * 30, picture(0))])
    pieces, row = inspector.pieces(), inspector.rows()[0]
    assert len(pieces) == 64 == len(hits(inspector, "Pieces"))
    shown = [text for text in inspector.picture().texts if text.get_rotation() == 90]
    assert 1 <= len(shown) <= 40 and pieces[int(row.argmax())] in [text.get_text() for text in shown]


def test_a_model_in_training_stays_in_training_and_is_inspected_in_evaluation(model):
    quiet = inspect_mge(model, tweets(1)).rows()
    model.train()
    try:
        assert np.array_equal(inspect_mge(model, tweets(1)).rows(), quiet) and model.training
        inspect_attention(model, tweets(1), other=model)
        assert model.training
    finally:
        model.eval()


def test_a_width_is_measured_once():
    text_width.cache_clear()
    assert text_width("twice", 9) == text_width("twice", 9) and text_width.cache_info().hits == 1
