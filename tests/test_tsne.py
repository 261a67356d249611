"""Figure 11 and its inspector, on invented results and a small random model."""

import json

import numpy as np
import pytest
from builders import HOSTILE, assert_apart_on_the_page, save_result, structure, text_of, tiny_model, tweets
from hypothesis import given, settings
from hypothesis import strategies as st

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError, DataError
from mgips.lab.figures import style
from mgips.lab.figures.tsne import fig11, fig11_html, hover, turning
from mgips.lab.grids import GRIDS
from mgips.lab.representation import entity_vectors, neighbours, purity, tsne
from mgips.lab.results import result_path
from mgips.lab.widgets import inspect_tsne

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


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.tsne.ITERATIONS", 250)


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
    assert "step embedding" in inspector.view.value and "data:image/png" in inspector.view.value


def test_each_control_draws_anew_and_each_tsne_is_computed_once(inspector, monkeypatch):
    asked = []
    monkeypatch.setattr("mgips.lab.widgets.tsne.tsne", lambda *args: asked.append(args[1:]) or tsne(*args))
    views = {inspector.view.value}
    for control, value in (
        (inspector.perplexity, 5),
        (inspector.entity, 4),
        (inspector.turn, 60),
        (inspector.step, "embedding"),
        (inspector.step, "MGI"),
        (inspector.perplexity, inspector.perplexity.options[-1]),
    ):
        control.value = value
        views.add(inspector.view.value)
    assert len(views) == 6  # back at MGI it is the picture of before
    assert asked == [(2, 5, 250), (3, 5, 250)] * 2 + [(2, 50, 250), (3, 50, 250)]
    flat, solid = inspector.coordinates()
    assert flat.shape == (len(inspector.vectors), 2) and solid.shape == (len(inspector.vectors), 3)
    assert "seconds, and kept" in inspector.status.value and inspector.error.value == ""


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


def test_it_leaves_a_picture_where_there_are_no_widgets(inspector):
    data, more = inspector._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG") and data["text/plain"] == inspector.describe()
    assert more["image/png"]["alt"] == inspector.describe()


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
    monkeypatch.setattr(inspector, "picture", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inspector.turn.value = 0
    assert "ZeroDivisionError" in inspector.error.value and inspector.error.layout.display is None
