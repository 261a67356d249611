"""The parts of the inspectors that have a page side: what they do with what the page says; and `play`."""

import asyncio
import io
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from mgips.errors import ConfigError
from mgips.lab.figures import as_png, show
from mgips.lab.widgets import base, play
from mgips.lab.widgets.base import Inspector
from mgips.lab.widgets.parts import CHUNK, Download, Field, Photo, Range, View, file_name


def test_a_slider_stays_inside_and_names_its_places():
    slider = Range(min=1, max=9)
    assert slider.value == 1 and slider.label == "1"
    slider.value = 40
    assert slider.value == 9
    slider.max = 4
    assert slider.value == 4
    named = Range(names=["PER", "LOC", "ORG"])
    assert (named.min, named.max, named.value, named.label) == (0, 2, 0, "PER")
    seen = []
    named.observe(lambda change: seen.append(change["new"]), "value")
    named.offer(["PER", "LOC", "ORG"], 1)
    assert named.value == 0, "the same places leave it where it is"
    named.offer(["a", "b", "c", "d"], 3)
    assert named.label == "d" and named.max == 3 and seen == [3]
    named.offer(["x"])
    assert named.label == "x" and named.max == 0


def test_a_view_says_what_was_picked_and_which_box_was_drawn():
    heard = []
    view = View(picked=heard.append, boxed=lambda *box: heard.append(box))
    view._hear(view, {"pick": "word 3"}, [])
    view._hear(view, {"area": "map", "box": [0.25, -1, 0.5, 7]}, [])
    assert heard == ["word 3", ("map", 0.25, 0.0, 0.5, 1.0)]
    View()._hear(view, {"pick": "nobody listens"}, [])


def test_a_photo_is_taken_or_refused_in_a_sentence():
    taken, refused = [], []
    photo = Photo(lambda *file: taken.append(file), refused.append)
    photo._hear(photo, {"name": "a.png"}, [memoryview(b"png")])
    photo._hear(photo, {"name": "b.tif", "size": 60 * 2**20}, [])
    assert taken == [("a.png", b"png")]
    assert refused == ["b.tif has 60 MiB; choose a picture of at most 50 MiB."]


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_download_arrives_whole_in_parts_that_a_server_lets_through(size, monkeypatch):
    content = bytes(i % 251 for i in range(size))
    button, got = Download(lambda: ("a b.csv", content)), []
    monkeypatch.setattr(button, "send", lambda told, buffers: got.append((told, bytes(buffers[0]))))
    button._hear(button, {"press": True}, [])
    while (at := sum(len(part) for _, part in got)) < size:
        button._hear(button, {"next": at}, [])
    assert b"".join(part for _, part in got) == content and all(len(part) <= CHUNK for _, part in got)
    assert got[0][0] == {"name": "a-b.csv", "at": 0, "of": size}
    button._hear(button, {"next": size}, [])
    assert len(got) == max(1, -(-size // CHUNK))


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("é 1.csv", "é-1.csv"),
        ("\0", "file"),
        ("x" * 300 + ".csv", "x" * 116 + ".csv"),
        ("x" * 9 + "-.hidden" + "x" * 113, "hidden" + "x" * 113),
        ("漢" * 300 + ".csv", "漢" * 78 + ".csv"),  # a file system takes 255 bytes
    ],
)
def test_names_of_files_are_such_that_every_system_takes_them(name, there):
    assert file_name(name) == there


# ---- what takes long ----


def slow(parts, seen):
    for i in range(parts):
        seen.append(i)
        yield (i + 1) / parts


def test_work_from_python_is_done_when_it_returns():
    seen, inspector = [], Inspector("mgips-x")
    inspector.work("counting", slow(5, seen), lambda: seen.append("then"))
    assert seen == [0, 1, 2, 3, 4, "then"] and not inspector.working


def test_work_from_the_page_goes_on_beside_and_the_newest_wins(monkeypatch):
    monkeypatch.setattr(base, "asked_on_the_page", lambda: True)
    monkeypatch.setattr(base, "PATIENCE", 0)
    seen, inspector = [], Inspector("mgips-x")

    async def use():
        inspector.work("counting to 500", slow(500, seen), lambda: seen.append("first"))
        assert inspector.working and seen == [], "the page's message is answered at once"
        for _ in range(10):
            await asyncio.sleep(0)
        assert 0 < len(seen) < 500
        assert "counting to 500" in inspector.doing.value and inspector._progress_row.layout.display == "flex"
        inspector.work("again", slow(3, seen), lambda: seen.append("second"))
        while inspector.working:
            await asyncio.sleep(0)
        assert "first" not in seen and seen[-4:] == [0, 1, 2, "second"]
        assert inspector._progress_row.layout.display == "none"
        inspector.work("given up", slow(500, seen), lambda: seen.append("third"))
        await asyncio.sleep(0)
        inspector.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert "third" not in seen and not inspector.working
        assert inspector._progress_row.layout.display == "none"

    asyncio.run(use())


def test_an_error_in_work_shows(monkeypatch):
    monkeypatch.setattr(base, "asked_on_the_page", lambda: True)
    monkeypatch.setattr(base, "under_test", lambda: False)
    inspector = Inspector("mgips-x")

    def broken():
        yield 0.5
        raise ConfigError("It cannot be done; try another.")

    async def use():
        inspector.work("trying", broken(), lambda: None)
        while inspector.working:
            await asyncio.sleep(0)

    asyncio.run(use())
    assert "It cannot be done; try another." in inspector.error.value


def test_only_a_message_of_the_page_counts_as_one(monkeypatch):
    assert not base.asked_on_the_page()
    for kind, answer in (("comm_msg", True), ("execute_request", False)):
        kernel = SimpleNamespace(get_parent=lambda channel, kind=kind: {"header": {"msg_type": kind}})
        monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda kernel=kernel: SimpleNamespace(kernel=kernel))
        assert base.asked_on_the_page() is answer


# ---- play ----


@pytest.fixture
def shell(monkeypatch):
    """A shell, as a kernel has one: without it nothing that is displayed can be caught."""
    shown = []
    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, *_, **__: shown.append(data))
    yield shown
    InteractiveShell.clear_instance()


def told(slope, unit="m"):
    print("slope", slope, unit)
    figure, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, 1], [0, slope])
    ax.set_title(f"Slope {slope}")
    show(figure, f"A line of slope {slope} <in> {unit}")


def test_play_shows_what_the_function_says_at_each_place(shell):
    played = play(told, slope=(0.5, 1.0, 20.0), unit="km", start={"slope": 1.0})
    assert played.values == {"slope": 1.0, "unit": "km"} and played.text == "slope 1.0 km\n"
    assert "slope 1.0 km" in played.view.value and 'alt="A line of slope 1.0 &lt;in&gt; km"' in played.view.value
    slider, text = played.children[0].children
    assert slider.label == "1" and slider.description == "slope"
    slider.value = 2
    assert "slope 20.0 km" in played.view.value and "slope 1.0" not in played.view.value
    text.value = "<b>ft"
    assert "slope 20.0 &lt;b&gt;ft" in played.view.value and "<b>" not in played.view.value
    assert "slope = 20.0, unit = <b>ft" in played.describe() and "slope 20.0 <b>ft" in played.describe()
    played._ipython_display_()
    saved, kept, controls = shell[-3:]
    assert saved["text/html"] == played.view.value and "Run this cell" in kept["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in controls and controls["text/plain"] == "(controls)"


def test_what_cannot_be_played(shell):
    with pytest.raises(ConfigError, match="nothing to turn"):
        play(told)
    with pytest.raises(ConfigError, match="slope cannot start with 3"):
        play(told, slope=(1, 2), start={"slope": 3})
    with pytest.raises(ConfigError, match="nothing to choose for slop; start with slope"):
        play(told, slope=(1, 2), start={"slop": 2})
    with pytest.raises(ConfigError, match="no values for slope"):
        play(told, slope=())


# ---- pictures ----


def test_pictures_are_made_as_small_as_asked():
    figure, ax = plt.subplots(figsize=(4, 3))
    ax.imshow([[i * j % 255 for i in range(200)] for j in range(200)], cmap="viridis")
    whole, few = as_png(figure, 100), as_png(figure, 100, colours=256)
    assert len(few) < 0.6 * len(whole) and Image.open(io.BytesIO(few)).size == Image.open(io.BytesIO(whole)).size
    small = as_png(figure, 100, limit=10_000)
    assert len(small) <= 10_000 and Image.open(io.BytesIO(small)).width < 400
    plt.close(figure)


def test_a_line_is_submitted_to_the_last_letter():
    heard = []
    field = Field(lambda: heard.append(field.value), value="loo")
    field._hear(field, {"submit": "look at it"}, [])
    field._hear(field, {"other": 1}, [])
    assert heard == ["look at it"]
