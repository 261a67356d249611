"""Figure 11 and its inspector, on invented results and a small random model."""

import asyncio
import html
import json
import re
import threading
from collections import Counter

import numpy as np
import pytest
from builders import HOSTILE, assert_apart_on_the_page, save_result, structure, text_of, tiny_model, tweets
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import Span, spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError, DataError
from mgips.lab.figures import style
from mgips.lab.figures.tsne import fig11, fig11_html, hover, turning
from mgips.lab.grids import GRIDS
from mgips.lab.representation import entity_vectors, neighbours, purity, tsne
from mgips.lab.results import result_path
from mgips.lab.widgets import inspect_tsne
from mgips.lab.widgets.base import FALLBACK_BYTES, png
from mgips.lab.widgets.html import clean, render
from mgips.lab.widgets.tsne import COMPONENTS, PAGE, SOLID, Layout

PURITY = {"embedding": 0.4, "mutual attention": 0.6, "text tower": 0.41, "MGI": 0.601}


def invented(folder, corpus="tinytweets", coordinates=True, truth=True, gain=0.2, words=True):
    """The runs of the grid fig11 with invented numbers; mutual attention adds `gain`, MGI next to nothing."""
    known = tinytweets(0) if words else None
    entities = [
        [tweet.id, span.type, span.start, span.end]
        for tweet in (known.test[:40] if known else ())
        for span in spans(tweet.words, tweet.tags)
    ] or [["7", "PER", 0, 1], ["8", "LOC", 1, 2], ["9", "ORG", 0, 1], ["9", "MISC", 2, 3]]
    for row in GRIDS["fig11"].rows:
        for seed in GRIDS["fig11"].seeds:
            rng, spread = np.random.RandomState(seed), (-0.01, 0.0, 0.01)
            names = ("embedding", "mutual attention", "MGI") if row.name == "full" else ("embedding", "text tower")
            record = {"split": "test", "k": 10, "beyond": 0}
            for which in ("trained", "untrained"):
                record[which] = {}
                for place, name in enumerate(names):
                    value = PURITY[name] if which == "trained" else 0.3
                    value += (gain - 0.2) * (name in ("mutual attention", "MGI")) + spread[(seed + place) % 3]
                    numbers = {"purity": value, "chance": 0.25, "count": len(entities)}
                    record[which][name] = {
                        "silhouette": value / 5,
                        **numbers,
                        "ambiguous": {**numbers, "purity": value - 0.1} if truth else None,
                    }
                    if coordinates and seed == 0:
                        record[which][name].update(
                            xyz=rng.randn(len(entities), 3).round(2).tolist(),
                            xy=rng.randn(len(entities), 2).round(2).tolist(),
                        )
            if coordinates and seed == 0:
                record.update(perplexity=30, entities=entities)
            save_result(folder, "fig11", row, seed, corpus, counts=[[0, 1, 1]], representation=record)
    return entities


def test_the_figure_shows_every_step_in_3d_and_2d_and_says_what_the_numbers_allow(tmp_path):
    style.use()
    entities = invented(tmp_path)
    figure = fig11(folder=tmp_path)
    solid = [ax for ax in figure.axes if ax.name == "3d"]
    assert len(solid) == 3 and len(figure.axes) == 9
    drawn = sum(len(collection._offsets3d[0]) for collection in solid[0].collections)
    assert drawn == len(entities)
    text = text_of(figure)
    assert "40 % in the embedding" in text and "60 % after mutual attention" in text and "text only 41 %" in text
    # mutual attention adds 20 points, MGI none
    assert "helps; MGI" in text and text.count("no detectable difference") == 1
    assert "Measured on TinyTweets" in text and "seeds 0-2" in text and "left open" not in text


def test_the_title_follows_the_numbers(tmp_path):
    invented(tmp_path, gain=-0.1)
    text = text_of(fig11(folder=tmp_path))
    assert "30 % after mutual attention" in text and "hurts; MGI" in text and "helps" not in text


def test_nothing_of_the_figure_lies_outside_the_page_or_on_another_title(tmp_path):
    style.use()
    invented(tmp_path)
    figure = fig11(folder=tmp_path)
    titles = [ax.title if ax.title.get_text() else ax._left_title for ax in figure.axes]
    assert_apart_on_the_page(figure, [*titles, figure._suptitle, figure._supxlabel])


def test_a_corpus_without_truth_has_no_panel_of_open_names_and_shows_no_words(tmp_path):
    invented(tmp_path, "twitter2017", truth=False, words=False)
    assert len(fig11("twitter2017", tmp_path).axes) == 8
    page = fig11_html("twitter2017", tmp_path)
    assert {text for trace in page.data for text in trace.hovertext} == {"PER · 7", "LOC · 8", "ORG · 9", "MISC · 9"}


def test_missing_runs_and_missing_coordinates_are_reported(tmp_path):
    invented(tmp_path, coordinates=False)
    for draw in (fig11, fig11_html):
        with pytest.raises(DataError, match="coordinates; run it again: mgips sweep fig11"):
            draw(folder=tmp_path)
    result_path(tmp_path, "fig11", "text", 1).unlink()
    assert "text-s1" in text_of(fig11(folder=tmp_path))
    assert fig11_html(folder=tmp_path) is None


def test_the_page_holds_each_step_each_type_by_form_and_the_posts_words(tmp_path):
    entities = invented(tmp_path)
    page = fig11_html(folder=tmp_path)
    assert [trace.name for trace in page.data] == ["PER", "LOC", "ORG", "MISC"]
    assert len({trace.marker.symbol for trace in page.data}) == len({trace.marker.color for trace in page.data}) == 4
    choices, turn = page.layout.updatemenus
    labels = [button.label for button in choices.buttons]
    assert labels == [
        f"{s}, {w}" for w in ("trained", "before training") for s in ("embedding", "mutual attention", "MGI")
    ]
    assert labels[choices.active] == "MGI, trained" and "61 % of" in page.layout.title.text  # seed 0's

    record = json.loads(result_path(tmp_path, "fig11", "full", 0).read_text())["representation"]
    types = np.array([kind for _, kind, _, _ in entities])
    for button in choices.buttons:
        step, when = button.label.split(", ")
        points = np.array(record["trained" if when == "trained" else "untrained"][step]["xyz"])
        for number, trace in enumerate(page.data):
            for place, axis in enumerate("xyz"):
                assert list(button.args[0][axis][number]) == points[types == trace.name, place].tolist()
    posts = {tweet.id: tweet for tweet in tinytweets(0).test}
    texts = [text for trace in page.data for text in trace.hovertext]
    shown = sorted(range(len(types)), key=lambda i: ["PER", "LOC", "ORG", "MISC"].index(types[i]))  # stable
    for text, i in zip(texts, shown, strict=True):
        id, kind, start, _ = entities[i]
        assert text.startswith(f"{kind} · {id}<br>") and f"<b>{posts[id].words[start]}</b>" in text
    eyes = {(frame.layout.scene.camera.eye.x, frame.layout.scene.camera.eye.y) for frame in page.frames}
    assert len(eyes) == len(page.frames) == 72 and [b.method for b in turn.buttons] == ["animate"] * 2
    page.write_html(tmp_path / "page.html", include_plotlyjs=True, auto_play=False)
    assert (tmp_path / "page.html").stat().st_size < 7_000_000


def test_what_a_point_says_is_escaped_and_wrapped():
    assert hover("<1>", "PER") == "PER · &lt;1&gt;"
    text = hover("1", "LOC", ("<i>", *["word"] * 30, "Port", "Alder"), 31, 33)
    assert "&lt;i&gt;" in text and "<b>Port</b>" in text and "<b>Alder</b>" in text
    assert text.count("<br>") == 3 and max(map(len, text.split("<br>"))) < 90


@given(st.lists(HOSTILE, min_size=6, max_size=6))
@settings(max_examples=30, deadline=None)
def test_no_text_becomes_part_of_the_page(texts):
    """Ids, words, types and titles: hover texts have no elements but their own, and the page is that of harmless text."""

    def page(id, kind, before, entity, after, title):
        said = hover(id, kind, (before, entity, after), 1, 2)
        views = {"a": np.zeros((2, 3))}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mgips.lab.figures.tsne.TURN", 180)  # seconds are in its frames
            figure = turning(views, np.array([kind, "PER"]), [said, said], {"a": title}, "a")
        assert "<" not in figure.data[-1].name and "<" not in figure.layout.title.text
        return said, structure(figure.to_html(include_plotlyjs=False, div_id="tsne"))[0]

    (said, parts), (plain, expected) = page(*texts), page(*"abcdef")
    elements, text = structure("".join(c for c in said if c.isprintable()))
    assert [part for part in elements if part != "<br>"] == structure(plain)[0][1:] == ["<b>", "</b>"]
    assert parts == expected
    id, kind, *words, _ = ("".join(c for c in text if c.isprintable()) for text in texts)
    assert text.replace(" ", "") == f"{kind}·{id}{''.join(words)}".replace(" ", "")


def test_a_type_that_nobody_has_is_not_drawn():
    views = {"a": np.zeros((2, 3)), "b": np.ones((2, 3))}
    page = turning(views, np.array(["PER", "PER"]), ["x", "y"], {"a": "A", "b": "B"}, "b")
    assert [len(trace.x or ()) for trace in page.data] == [2] and page.layout.title.text == "B"


# ---- the inspector ----


@pytest.fixture(scope="module")
def model():
    return tiny_model(max_length=200)


@given(st.lists(HOSTILE, min_size=5, max_size=5))
@settings(max_examples=30, deadline=None)
def test_no_text_becomes_part_of_the_inspector(texts):
    def page(id, word, kind, note, title):
        tweet, span = Tweet(id, (word, word), ("O", f"B-{kind}")), Span(1, 2, kind, word)
        row = {"place": 1, "tweet": tweet, "span": span, "thumbnail": (b"\x89PNG", note)}
        lists = {"nearest": [row], "chosen": [row], "why": note, "mix": title, "page": 0, "pages": 2}
        points = [(1, 2, 1, escape(clean(word)), True)]
        maps = [("flat", title, [("#000000", "M0 0", points)], [(1, 2, 3, 4)], [(1, 2, 3, 4)])]
        legend = [(kind, "#000000", "M0 0", 3)]
        return render("neighbours", selected=row, **lists) + render(
            "tsne_maps", title=title, maps=maps, legend=legend, rings=note, alt=note
        )

    (parts, text), (expected, _) = structure(page(*texts)), structure(page(*"abcde"))
    assert parts == expected and all(clean(hostile) in text for hostile in texts)


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.tsne.ITERATIONS", 300)


@pytest.fixture
def inspector(model, days):
    return inspect_tsne(model, days)


def test_it_marks_an_entity_and_its_neighbours_by_the_full_vectors(inspector, model, days):
    vectors = entity_vectors(model, TweetDataset(days.test, model.batcher, progress=False))
    assert inspector.step.value == "MGI" and list(inspector.step.options) == list(vectors.steps)
    for step, place in (("MGI", 0), ("MGI", 11), ("embedding", 11)):
        inspector.step.value = step
        inspector.select(place)
        near = neighbours(vectors.steps[step])[place]
        assert inspector.selected == vectors.entities[place]
        assert inspector.neighbours == [vectors.entities[i] for i in near]
        assert all(vectors.entities[i].tweet.id in inspector.near.value for i in near)
        same = sum(vectors.types[i] == vectors.types[place] for i in near)
        assert inspector.near.value.count("✓") == same + 1 and inspector.near.value.count("✗") == 10 - same
        share = purity(vectors.steps[step], vectors.types).purity
        assert f"{share:.0%} share its type by the full vectors" in inspector.describe()
        assert f"“{vectors.entities[place].span.text}”, {vectors.types[place]}" in inspector.describe()
        for i, layout in enumerate(inspector.coordinates()):
            shown = purity(layout, vectors.types).purity
            assert f": {shown:.0%}" in inspector._titles()[i] and inspector._titles()[i] in inspector.view.value
    assert "step embedding" in inspector.view.value and inspector.view.value.count("<svg role") == 2
    assert inspector.view.value.count("<title>") == 2 * len(vectors)


def test_each_control_draws_anew_and_each_tsne_is_computed_once(inspector, monkeypatch):
    asked = []
    monkeypatch.setattr("mgips.lab.widgets.tsne.tsne", lambda *args: asked.append(args[1:]) or tsne(*args))
    views = {inspector.view.value}
    for control, value in (
        (inspector.perplexity, 5),
        (inspector.entity, 4),
        (inspector.beside, SOLID),
        (inspector.turn, 60),
        (inspector.step, "embedding"),
        (inspector.step, "MGI"),
        (inspector.beside, COMPONENTS),
        (inspector.perplexity, inspector.perplexity.options[-1]),
    ):
        control.value = value
        views.add(inspector.view.value)
    assert len(views) == 7  # back at MGI and back at PCA it is the picture of before
    assert asked == [(2, 5, 300), (3, 5, 300), (2, 5, 300), (3, 5, 300), (2, 50, 300)], "3D only where it is shown"
    assert "2D t-SNE took " in inspector.status.value and "3D" not in inspector.status.value
    assert inspector.error.value == ""
    inspector.beside.value = SOLID
    flat, solid = inspector.coordinates()
    assert flat.shape == (len(inspector.vectors), 2) and solid.shape == (len(inspector.vectors), 3)
    assert "3D t-SNE took " in inspector.status.value and inspector.turn.layout.display is None


def test_pca_is_that_of_the_covariance_and_its_share_of_the_variance_is_said(inspector):
    for step in inspector.step.options:
        inspector.step.value = step
        matrix = inspector.vectors.steps[step].astype(np.float64)
        values, directions = np.linalg.eigh(np.cov(matrix.T))
        ours = inspector.coordinates()[1]
        theirs = (matrix - matrix.mean(0)) @ directions[:, [-1, -2]]
        for axis in range(2):  # a direction may point either way
            assert abs(np.corrcoef(ours[:, axis], theirs[:, axis])[0, 1]) == pytest.approx(1, abs=1e-3)
            assert ours[:, axis].std() == pytest.approx(theirs[:, axis].std(), rel=1e-3)
        assert f"{values[-2:].sum() / values.sum():.0%} of the variance" in inspector.view.value
    assert inspector.turn.layout.display == "none"


@pytest.mark.parametrize("beside", [COMPONENTS, SOLID])
def test_a_click_selects_the_entity_that_is_there_and_a_box_lists_those_inside(inspector, beside):
    inspector.beside.value = beside
    for area in ("flat", "beside"):
        # where the page draws them, read from the drawing itself
        drawing = inspector.view.value.split("<svg role")[1 if area == "flat" else 2]
        drawn = {
            says: (int(x) / 1000, int(y) / 1000)
            for x, y, says in re.findall(r'translate\((-?\d+) (-?\d+)\)"[^>]*><title>(.*?)</title>', drawing)
        }
        places = inspector._places(area)
        assert ((places > 0) & (places < 1)).all()
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 9 * np.eye(len(places))
        lonely = int(apart.min(1).argmax())
        entity = inspector.vectors.entities[lonely]
        x, y = drawn[html.escape(f"{entity.span.type} · {entity.span.text} · post {entity.tweet.id}")]
        inspector.view._hear(None, {"area": area, "box": [x, y, x, y]}, [])
        assert inspector.selected == entity and "ring" in inspector.view.value
        inspector.view._hear(None, {"area": area, "box": [0, 0, 0, 0]}, [])
        assert inspector.selected == entity, "nothing is near that corner"
        left, top, right, bottom = 0.3, 0.2, 0.7, 0.6
        inspector.view._hear(None, {"area": area, "box": [left, top, right, bottom]}, [])
        inside = [i for i, (x, y) in enumerate(places) if left <= x <= right and top <= y <= bottom]
        assert inspector.chosen == [inspector.vectors.entities[i] for i in inside] and inside
        counts = Counter(inspector.vectors.types[inside])
        assert all(f"{count} {kind}" in inspector.near.value for kind, count in counts.items())
        assert f"{len(inside)} in the box: " in inspector.near.value
        assert inspector.view.value.count('stroke="#000" stroke-width="4"') == 2 * len(inside), "in both views"
        inspector.box(area, 0, 0, 0.001, 0.001)
        assert inspector.chosen == [] and "No entity is in the box" in inspector.near.value


def test_the_list_of_a_box_is_paged_to_its_end_and_selects(inspector):
    inspector.box("flat", 0, 0, 1, 1)
    count = len(inspector.vectors)
    assert len(inspector.chosen) == count > 2 * PAGE
    pages, seen = -(-count // PAGE), []
    for page in range(pages):
        assert f"page {page + 1} of {pages}" in inspector.near.value
        listed = inspector.near.value.split("page ")[0]
        seen += [int(place) for place in re.findall(r'data-pick="(\d+)"', listed)]
        last = re.search(r'data-pick="page \d+" +(disabled)?[^>]*>Later', inspector.near.value)
        assert bool(last[1]) == (page == pages - 1)
        if page < pages - 1:
            inspector.near._hear(None, {"pick": f"page {page + 1}"}, [])
    assert seen == list(range(count))
    inspector.near._hear(None, {"pick": str(count - 1)}, [])
    assert inspector.selected is inspector.vectors.entities[-1] and f"page {pages} of" in inspector.near.value
    inspector.near._hear(None, {"pick": "clear"}, [])
    assert inspector.chosen == [] and "in the box" not in inspector.near.value


def test_search_finds_words_of_entities_and_ids_of_posts(inspector):
    entities = inspector.vectors.entities
    wanted = entities[7]
    inspector.find.value = f" {wanted.span.text.upper()} "
    assert inspector.chosen == [e for e in entities if wanted.span.text.lower() in e.span.text.lower()]
    assert wanted in inspector.chosen and inspector.selected is inspector.chosen[0]
    inspector.find.value = entities[-1].tweet.id
    assert [e.tweet for e in inspector.chosen] == [e.tweet for e in entities if e.tweet is entities[-1].tweet]
    before = inspector.chosen
    with pytest.raises(ConfigError, match="No entity has “nobody” in it"):
        inspector.find.value = "nobody"
    assert inspector.chosen == before and "nobody" in inspector.error.value
    inspector.find.value = ""
    assert inspector.chosen == [] and inspector.error.value == ""


def test_turning_goes_round_and_shows_what_a_rotation_of_the_points_shows(inspector):
    inspector.beside.value = SOLID
    spread = Layout(np.random.RandomState(0).randn(len(inspector.vectors), 3) * (9, 5, 2), 0.5, 0.1)
    inspector._layouts["MGI", SOLID, 20] = spread
    assert inspector.turn.circle and (inspector.turn.min, inspector.turn.max) == (0, 360)
    points = inspector.coordinates()[1].astype(float)
    centre, size = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0).max()
    inspector.turn.value = 0
    start = inspector.view.value
    for degrees in (0, 105, 345, 360):
        inspector.turn.value = degrees
        # the camera of matplotlib's view_init, without perspective
        turn, up = np.deg2rad(degrees), np.deg2rad(22)
        turned = (
            (points - centre)
            / size
            @ np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        )
        x, y = turned[:, 1], np.cos(up) * turned[:, 2] - np.sin(up) * turned[:, 0]
        expected = np.stack((0.5 + 0.6 * x, 0.5 - 0.6 * y), 1)
        np.testing.assert_allclose(inspector._places("beside"), expected, atol=1e-5)
    assert inspector.view.value.replace("turned by 360°", "turned by 0°") == start


def test_a_new_perplexity_can_be_given_up_and_others_go_on_meanwhile(inspector, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr("mgips.lab.widgets.tsne.tsne", lambda *args: held.wait(5) and tsne(*args))
    before = inspector.view.value

    async def use():
        monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
        inspector.perplexity.value = 5
        await asyncio.sleep(0.5)
        assert inspector.working and inspector._progress_row.layout.display == "flex"
        assert "computing t-SNE at perplexity 5" in inspector.doing.value
        assert inspector.view.value == before
        inspector.entity.value = 3  # marks in the views of now
        assert inspector.working and inspector.view.value != before and "perplexity 20" in inspector.view.value
        inspector.cancel()
        await asyncio.sleep(0.05)
        assert not inspector.working and inspector.perplexity.value == 20
        held.set()
        inspector.perplexity.value = 10
        while inspector.working:
            await asyncio.sleep(0.01)
        assert "perplexity 10" in inspector.view.value and inspector._progress_row.layout.display == "none"

    asyncio.run(use())


def test_select_by_post_and_what_is_not_there(inspector, days):
    wanted = next(tweet for tweet in days.test[5:] if any(tag != "O" for tag in tweet.tags))
    inspector.select(wanted.id)
    assert inspector.selected.tweet is wanted and inspector.selected.span == spans(wanted.words, wanted.tags)[0]
    for wrong in ("nobody", -1, 10_000):
        with pytest.raises(ConfigError, match="no such entity among these"):
            inspector.select(wrong)


def test_a_large_split_is_thinned_evenly_and_says_so(model, days):
    vectors = entity_vectors(model, TweetDataset(days.test, model.batcher, progress=False))
    inspector = inspect_tsne(model, days, limit=20)
    places = [vectors.entities.index(entity) for entity in inspector.vectors.entities]
    assert len(places) == 20 and places[0] == 0 and places[-1] == len(vectors) - 1 and places == sorted(places)
    assert max(np.diff(places)) - min(np.diff(places)) <= 1
    assert f"20 of {len(vectors)} entities" in inspector.status.value
    np.testing.assert_array_equal(inspector.vectors.steps["MGI"], vectors.steps["MGI"][places])


@pytest.mark.parametrize("beside", [COMPONENTS, SOLID])
def test_what_stays_where_there_are_no_widgets_is_a_picture(inspector, beside):
    inspector.beside.value = beside
    drawn = inspector.picture()
    assert len(png(drawn, limit=FALLBACK_BYTES)) <= FALLBACK_BYTES
    assert drawn.get_suptitle() in inspector.describe() and len(drawn.axes) == 2
    assert [axes.name == "3d" for axes in drawn.axes] == [False, beside == SOLID]
    assert_apart_on_the_page(drawn, [*drawn.texts, *drawn.legends])


def test_words_never_become_markup(model):
    bad = '<script>alert("x")</script>'
    posts = (Tweet(f"1{bad}", ("<b>bold</b>", bad), ("B-PER", "I-PER")), *tweets(16))
    inspector = inspect_tsne(model, Corpus("bad", (), (), posts))
    for view in (inspector.near.value, inspector.view.value, inspector.status.value):
        assert "<script" not in view and "<b>bold" not in view
    assert "&lt;script&gt;" in inspector.near.value


def test_what_cannot_be_inspected(model, days):
    with pytest.raises(ConfigError, match="no split 'train2'; the splits are train, dev, test"):
        inspect_tsne(model, days, "train2")
    with pytest.raises(ConfigError, match="10 neighbours need more"):
        inspect_tsne(model, days, limit=10)
    with pytest.raises(DataError, match="gold entity"):
        inspect_tsne(model, Corpus("none", (), (), (Tweet("1", ("so", "it", "is"), ("O", "O", "O")),)))


def test_an_error_shows_in_the_inspector(inspector, monkeypatch):
    monkeypatch.setattr(inspector, "as_html", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inspector.turn.value = 0
    assert "ZeroDivisionError" in inspector.error.value and inspector.error.layout.display is None
