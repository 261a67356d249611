"""The explorer's page: over http, as one file from the disk, and in JupyterLab; by mouse and by keyboard."""

import base64
import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_model
from pages import LOOK, TIMES, accessible, expect, theme, timed
from PIL import Image

import mgips
from mgips.lab.explorer import pack as packing
from mgips.lab.explorer.build import named
from mgips.lab.explorer.build import page as make_page

NAMES = ("tiny-text", "tiny-full", "tiny-reads")
CORPUS = "tinytweets:train=200,dev=20,test=32"
WIDTHS = (390, 1000, 1440)


@pytest.fixture(scope="module")
def made():
    return make_page(named([mgips.load(name) for name in NAMES]), mgips.load_corpus(CORPUS).test)


@pytest.fixture(scope="module")
def site(made, tmp_path_factory):
    """The page's folder behind a server, and its address."""
    folder = tmp_path_factory.mktemp("explorer")
    made.write(folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def explorer(page, site):
    """Opens the page, with an address behind the #; nothing that it does may fail."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)

    def go(address: str = ""):
        page.goto("about:blank")
        page.goto(site + address)
        ready(page)
        return page

    yield go
    assert not faults, faults


def ready(page, what: str = "all") -> None:
    """Until all three models have answered and the day is mined, or until the first tags."""
    wanted = "[data-ready]" if what == "tags" else "[data-ready=all]"
    page.wait_for_selector(f"#explorer{wanted}, .mgips-explorer{wanted}", timeout=LOOK)
    if what == "all":
        page.wait_for_function("!document.querySelector('.mgips-explorer').innerText.includes('…)')")


def answer(page, name: str):
    """What a model says about the post."""
    return page.locator(".answer").filter(has=page.locator(".who b", has_text=re.compile(f"^{name}$"))).locator(".said")


def told(page, name: str) -> str:
    return answer(page, name).inner_text()


def until(page, name: str, before: str, what: str) -> str:
    """The time until a model's answer is another one, and that answer."""
    with timed(f"explorer, {what}"):
        page.wait_for_function(
            "([node, before]) => node.innerText !== before", arg=[answer(page, name).element_handle(), before]
        )
    return told(page, name)


def entities_of(model: str, posts, **pool):
    """What the package's model says, as the page writes it: words with type."""
    return [
        [(span.text, span.type) for span in mgips.data.spans.spans(post.words, tags)]
        for post, tags in zip(posts, mgips.load(model).predict(posts, **pool), strict=True)
    ]


def shown_entities(page, name: str):
    texts = answer(page, name).locator(".entity").all_inner_texts()
    found = [re.fullmatch(r"(.*?) [●■✚◆✖] (\w+) \d+ %", " ".join(text.split())) for text in texts]
    assert all(found), texts
    return [(one[1], one[2]) for one in found if one]


def test_the_opening_tells_the_story_and_every_post_has_the_packages_answer(explorer, made):
    page = explorer()
    posts = mgips.load_corpus(CORPUS).test
    expected = {
        "text only": entities_of("tiny-text", posts),
        "full": entities_of("tiny-full", posts),
        "reading": entities_of("tiny-reads", posts, pool=posts),
    }
    expect(page.locator(".lead")).to_contain_text("The words are the same; the picture decides.")
    assert len(set(page.locator(".card strong").evaluate_all("all => all.map(n => n.innerText.split(' ')[1])"))) > 1
    select = page.locator(".pick select")
    for place in (0, 7, 19, 31):
        select.select_option(str(place))
        for name, all_ in expected.items():
            page.wait_for_function(
                "([name, count]) => [...document.querySelectorAll('.answer')].some(n => n.querySelector('b').innerText === name && n.querySelectorAll('.entity').length === count)",
                arg=[name, len(all_[place])],
            )
            expect(page.locator(".post-words .chip")).to_have_count(len(posts[place].words))
            page.wait_for_timeout(150)
            assert shown_entities(page, name) == all_[place], (place, name)


MEASURED = "performance.getEntriesByType('measure').map(one => [one.name, one.duration])"
"""What the page has measured itself: from opening to the first tags, and each answer of a worker; in milliseconds."""


def counted(measures, where: str) -> None:
    """Puts them among the times that are printed."""
    for name, milliseconds in measures:
        TIMES[f"{where}, {name.removeprefix('mgips ')} (by the page)"].append(milliseconds / 1000)


def test_times(explorer):
    page = explorer()
    thumbs = page.locator(".thumbs .thumb")
    for i in range(16):
        thumbs.nth(i).click()
        expect(thumbs.nth(i)).to_have_attribute("aria-pressed", "true")
        page.wait_for_timeout(200)
    counted(page.evaluate(MEASURED), "explorer")


def test_words_by_keyboard(explorer):
    page = explorer()
    chips = page.locator(".chips .chip")
    count = chips.count()
    chosen = page.locator(".chips .chip[aria-pressed=true]")
    chosen.focus()
    word = chosen.inner_text()
    before = told(page, "full")
    page.keyboard.press("Enter")
    expect(page.locator(".chips input")).to_be_focused()
    page.keyboard.type("Paris")
    page.keyboard.press("Enter")
    after = until(page, "full", before, "a word edited")
    assert "Paris" in after and word not in after
    expect(chosen).to_be_focused()
    page.keyboard.press("Delete")
    expect(chips).to_have_count(count - 1)
    expect(chosen).to_be_focused()
    page.keyboard.press("End")
    expect(chips.last).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Delete")
    expect(chips).to_have_count(count - 2)
    page.keyboard.press("Home")
    expect(chips.first).to_be_focused()
    page.get_by_role("button", name="Add a word").click()
    expect(page.locator(".chips input")).to_be_focused()
    page.keyboard.type("two words")
    page.keyboard.press("Enter")
    expect(chips).to_have_count(count)
    assert chips.nth(1).inner_text() == "two" and chips.nth(2).inner_text() == "words"
    while chips.count() > 1:
        had = chips.count()
        page.get_by_role("button", name="Delete it").click()
        expect(chips).to_have_count(had - 1)
    expect(page.get_by_role("button", name="Delete it")).to_be_disabled()
    page.get_by_role("button", name="As it was").click()
    expect(chips).to_have_count(count)
    page.wait_for_timeout(300)
    assert told(page, "full") == before


def test_what_is_typed_stays_text(explorer):
    page = explorer()
    page.locator(".chips .chip").first.dblclick()
    page.locator("input.chip").fill("<img src=x onerror=document.title='bad'>")
    page.keyboard.press("Enter")
    expect(page.locator(".chips")).to_contain_text("onerror")
    page.wait_for_timeout(300)
    assert page.title() == "MGIPS explorer" and page.locator("img[src=x]").count() == 0


def test_other_pictures(explorer, made, tmp_path):
    page = explorer()
    own = told(page, "full")
    cards = page.locator("button.card")
    cards.nth(1).click()
    other = until(page, "full", own, "another picture")
    page.get_by_role("button", name="Its own", exact=True).click()
    assert until(page, "full", other, "its own picture") == own
    page.get_by_role("button", name="None", exact=True).click()
    expect(page.locator("figcaption")).to_contain_text("flat grey")
    page.get_by_role("button", name="Drawn", exact=True).click()
    expect(page.locator("figcaption")).to_contain_text("a drawn photo")
    kinds = set()
    for kind in ("PER", "LOC", "ORG", "MISC"):
        page.locator(".dials select").first.select_option(kind)
        expect(page.locator("figcaption")).to_contain_text(f"of type {kind}")
        page.wait_for_timeout(200)
        kinds.add(told(page, "full"))
    assert len(kinds) > 1
    page.locator(".dials select").last.select_option("plain")
    expect(page.locator("figcaption")).to_contain_text("plain wall")

    # a photo of one's own, and crops drawn by hand and moved by keyboard
    photo = tmp_path / "photo.png"
    noise = np.random.RandomState(0).randint(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(photo)
    page.get_by_role("button", name="Your photo").click()
    page.locator("input[type=file]").set_input_files(photo)
    stage = page.locator(".stage")
    expect(stage).to_be_visible()
    expect(page.locator("figcaption")).to_have_text("your photo")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 120, steps=4)
    page.mouse.up()
    crop = page.locator("button.crop-box")
    expect(crop).to_have_count(1)
    page.get_by_role("button", name="Add a crop").click()
    expect(crop).to_have_count(2)
    label = crop.last.get_attribute("aria-label")
    crop.last.focus()
    page.keyboard.press("ArrowRight")
    expect(crop.last).not_to_have_attribute("aria-label", label)
    page.keyboard.press("Shift+ArrowDown")
    accessible(page, "#explorer")
    page.keyboard.press("Delete")
    expect(crop).to_have_count(1)

    (tmp_path / "no.png").write_text("no picture")
    page.locator("input[type=file]").set_input_files(tmp_path / "no.png")
    expect(page.locator(".error")).to_be_visible(timeout=LOOK)


def test_the_machine_and_linked_selection(explorer):
    page = explorer()
    for box in ("embedding", "interweave", "crf", "reading"):
        page.locator(f"#box-{box} .head").click()
        expect(page.locator(f"#box-{box} .inside")).to_be_visible()
    accessible(page, "#explorer")
    attention = page.locator("#box-attention")
    before = attention.locator("h4").first.inner_text()
    for name, last in (("Layer", "1"), ("Head", "4")):
        attention.get_by_role("group", name=name).get_by_role("button", name=last, exact=True).click()
        with timed(f"explorer, {name.lower()}"):
            page.wait_for_function(
                "([n, before]) => n.innerText !== before", arg=[attention.locator("h4").first.element_handle(), before]
            )
        before = attention.locator("h4").first.inner_text()
    # a patch, here and in the other box
    attention.locator(".patch").nth(5).click()
    expect(attention).to_contain_text("The patch looks at the words")
    expect(page.locator("#box-embedding .patch").nth(5)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(attention.locator(".patch").nth(6)).to_be_focused()
    # a word from a box
    page.locator("#box-gate .piece").nth(1).click()
    expect(page.locator(".chips .chip").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#box-crf tr[data-chosen=true] th")).to_have_text(
        page.locator(".chips .chip").first.inner_text()
    )
    # without the exchange
    before = told(page, "full")
    for check in attention.get_by_role("checkbox").all():
        check.uncheck()
    expect(attention).to_contain_text("No keys and values are exchanged")
    # the gate, to both ends, by keyboard
    slider = page.locator("#box-gate input[type=range]")
    for key, end in (("End", "100 %"), ("Home", "0 %")):
        slider.focus()
        with timed("explorer, gate"):
            slider.press(key)
            page.wait_for_function(
                "([n, end]) => n.innerText === end", arg=[page.locator("#box-gate output").element_handle(), end]
            )
        expect(slider).to_be_focused()
    page.locator("#box-gate").get_by_role("checkbox").check()
    expect(page.locator("#box-gate output")).to_contain_text("mean")
    # every model in every box
    for name in ("text only", "reading", "full"):
        page.get_by_role("group", name="Shown is").get_by_role("button", name=name).click()
        page.wait_for_timeout(100)
        assert ("This model has no gate." in page.locator("#box-gate").inner_text()) == (name == "text only")
    # the marginals of each word sum to 1, and one cell of each row is on the path
    assert page.locator("#box-crf td[data-path=true]").count() == page.locator("#box-crf tbody tr").count()


def test_the_code_is_the_engines(explorer):
    page = explorer()
    engine = (Path(packing.__file__).parent / "model.js").read_text()
    closed = page.locator(".box .head[aria-expanded=false]")
    while closed.count():
        closed.first.click()
        page.wait_for_timeout(50)
    while page.get_by_role("button", name="Show the code").count():
        page.get_by_role("button", name="Show the code").first.click()
        page.wait_for_timeout(50)
    codes = page.locator("pre code").all_inner_texts()
    assert len(codes) == 7
    for code in codes:
        for function in re.split(r"\n\n(?=function |const \w+ = \()", code):
            assert function in engine


def test_mining_and_reading(explorer):
    page = explorer()
    mining = page.locator("#box-mining")
    expect(mining.locator("button.thumb")).to_have_count(3)
    heat = mining.locator(".heat")
    heat.focus()
    page.keyboard.press("End")
    expect(heat).to_have_attribute("aria-valuenow", str(32 * 32 - 1))
    assert heat.get_attribute("aria-valuetext").startswith("text 32, picture 32: ")
    page.keyboard.press("Enter")
    expect(page.locator(".pick select")).to_have_value("31")
    ready(page)
    before = told(page, "full")
    mining.locator("button.thumb").first.click()
    expect(mining.locator("button.thumb[aria-pressed=true]")).to_have_count(1)
    page.locator("#box-reading .head").click()
    reading = page.locator("#box-reading")
    expect(reading).to_contain_text("Reading nothing has weight")
    assert before


def test_five_steps_by_keyboard_and_an_address_that_brings_it_back(explorer):
    page = explorer()
    steps = page.locator(".steps button")
    expect(steps).to_have_count(6)
    sentences = set()
    page.locator(".steps .next").focus()
    for number in range(1, 6):
        expect(page.locator(".steps [aria-current=step]")).to_contain_text(str(number))
        page.wait_for_timeout(400)
        sentences.add(page.locator(".told").inner_text())
        if number < 5:
            page.keyboard.press("Enter")
    assert len(sentences) == 5 and not any("…" in sentence for sentence in sentences)
    expect(page.locator(".steps .next")).to_be_disabled()
    expect(page.locator("#box-reading .inside")).to_be_visible()
    page.locator(".chips .chip").first.dblclick()
    page.locator("input.chip").fill("Zürich & co")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('words')")
    page.wait_for_timeout(500)
    shared, lines = page.evaluate("location.hash"), page.locator(".said").all_inner_texts()
    page = explorer(shared)
    page.wait_for_timeout(500)
    assert page.locator(".said").all_inner_texts() == lines
    assert page.locator(".chips .chip").first.inner_text() == "Zürich"
    explorer("#post=99&layer=x&picture=day.77&model=nobody&gate=-1&open=%00&word=500&nothing=1")
    expect(page.locator(".error")).to_have_count(0)


def test_every_width_and_theme_is_whole_and_accessible(explorer, page):
    page.emulate_media(reduced_motion="reduce")
    opened = explorer("#open=embedding.attention.interweave.gate.crf.mining.reading")
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for wide in WIDTHS:
            opened.set_viewport_size({"width": wide, "height": 900})
            opened.wait_for_timeout(200)
            assert opened.evaluate("document.documentElement.scrollWidth") <= wide
            cut = opened.locator(".mgips-explorer *").evaluate_all(
                """all => all.filter(n => n.clientWidth && n.scrollWidth > n.clientWidth + 1 && getComputedStyle(n).overflowX !== 'visible'
                    && !n.closest('pre, .scroll, .stacked, .piece, select')).map(n => n.className + ': ' + n.innerText.slice(0, 40))"""
            )
            assert not cut, (wide, cut)
            accessible(opened, "#explorer")
            if keep := os.environ.get("MGIPS_SCREENSHOTS"):
                Path(keep).mkdir(parents=True, exist_ok=True)
                opened.screenshot(path=Path(keep) / f"explorer_{wide}_{scheme}.png", full_page=True)
    moving = opened.locator(".chip, .part, .patch").evaluate_all(
        "all => all.filter(n => parseFloat(getComputedStyle(n).transitionDuration) > 0).length"
    )
    assert moving == 0


def test_one_file_from_the_disk_and_offline(page, made, tmp_path):
    file = tmp_path / "explorer.html"
    made.write_single(file)
    page.context.set_offline(True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    ready(page)
    assert shown_entities(page, "full")
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked), asked
    page.locator("button.card").nth(1).click()
    page.wait_for_function("location.hash.includes('picture')")


def test_other_models_and_posts(page, tmp_path):
    """One model that reads no pictures; one without exchange, CRF and contrast on posts without labels and pictures."""
    posts = mgips.load_corpus("tinytweets:train=1,dev=1,test=6,missing=0.6").test
    bare = [mgips.Tweet(f"p{i}", ("Ada", "in", "<b>Paris</b>"), image=post.image) for i, post in enumerate(posts)]
    other = tiny_model(mutual_attention=False, crf=False, ips_loss=False, cl_loss=False, column_weights="printed")
    for number, (models, shown) in enumerate({"tiny-text": posts, "other": bare}.items()):
        file = tmp_path / f"{number}.html"
        make_page(named([mgips.load("tiny-text") if models == "tiny-text" else other]), shown).write_single(file)
        page.goto(f"{file.as_uri()}#open=embedding.attention.interweave.gate.crf.mining.reading")
        ready(page)
        for place in range(len(shown)):
            page.locator(".pick select").select_option(str(place))
            expect(page.locator(".chips .chip")).to_have_count(len(shown[place].words))
            page.wait_for_timeout(100)
        expect(page.locator(".error")).to_have_count(0)
        expect(page.locator("#box-mining")).to_contain_text("This model mines nothing.")
        assert page.locator("td[data-path=true]").count() == len(shown[-1].words)
        accessible(page, "#explorer")


def test_a_missing_file_is_told(page, made, tmp_path, site):
    page.route("**/data/full/config.json", lambda route: route.fulfill(status=404))
    page.goto(site)
    expect(page.locator("[role=alert]")).to_contain_text("full/config.json is not beside this page")


def test_in_jupyterlab(opened):
    page = opened(
        "explore",
        f'import mgips\nfrom mgips.lab.widgets import explore\ncorpus = mgips.load_corpus("{CORPUS}")',
        f"explore({list(NAMES)}, corpus)",
    )
    expect(page.locator(".mgips-explorer[data-ready=all]")).to_be_visible(timeout=LOOK)
    assert shown_entities(page, "full")
    before = told(page, "full")
    page.locator("button.card").nth(1).click()
    until(page, "full", before, "another picture in JupyterLab")
    counted(page.evaluate(MEASURED), "explorer in JupyterLab")
    accessible(page, ".mgips-explorer")
    theme(page, "Dark")
    expect(page.locator(".mgips-explorer")).to_have_attribute("data-theme", "dark")
    accessible(page, ".mgips-explorer")
    for keep in filter(None, [os.environ.get("MGIPS_SCREENSHOTS")]):
        page.locator(".mgips-explorer").evaluate("node => node.scrollIntoView()")
        page.screenshot(path=Path(keep) / "explorer_lab_dark.png")
    theme(page, "Light")
    expect(page.locator(".mgips-explorer")).to_have_attribute("data-theme", "light")


class Firefox:
    """Firefox by WebDriver BiDi, which stock Firefox speaks; as much of it as the test below needs."""

    def __init__(self, program: str, profile: Path) -> None:
        websocket = pytest.importorskip("websocket", reason="pip install websocket-client")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            program,
            "--headless",
            "--no-remote",
            "--profile",
            str(profile),
            "--remote-debugging-port",
            str(port),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.line = None
        deadline = time.monotonic() + 60
        while self.line is None and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(OSError, websocket.WebSocketException):
                address = f"ws://127.0.0.1:{port}/session"
                self.line = websocket.create_connection(address, timeout=60, suppress_origin=True)
        if self.line is None:
            self.process.kill()
            pytest.fail("Firefox did not start")
        self.ask("session.new", capabilities={})
        self.tab = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **parameters):
        number = time.monotonic_ns()
        self.line.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (told := json.loads(self.line.recv())).get("id") != number:
            pass
        assert told["type"] == "success", told
        return told["result"]

    def open(self, address: str, wide: int = 1440) -> None:
        self.ask("browsingContext.setViewport", context=self.tab, viewport={"width": wide, "height": 900})
        self.ask("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def evaluate(self, code: str):
        """The value of an expression, through JSON."""
        target = {"context": self.tab}
        told = self.ask("script.evaluate", expression=f"JSON.stringify({code})", target=target, awaitPromise=True)
        assert told["type"] == "success", told
        return json.loads(told["result"].get("value", "null"))

    def wait(self, code: str) -> None:
        deadline = time.monotonic() + LOOK / 1000
        while not self.evaluate(f"Boolean({code})"):
            assert time.monotonic() < deadline, code
            time.sleep(0.05)

    def press(self, key: str) -> None:
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("input.performActions", context=self.tab, actions=[{"type": "key", "id": "keys", "actions": keys}])

    def close(self) -> None:
        self.line.close()
        self.process.terminate()
        self.process.wait(30)


FIREFOX = os.environ.get("MGIPS_FIREFOX") or shutil.which("firefox") or shutil.which("firefox-esr")


@pytest.mark.skipif(not FIREFOX, reason="no Firefox: apt install firefox-esr, or set MGIPS_FIREFOX")
def test_the_same_in_firefox(explorer, made, site, tmp_path):
    """The same answers to four posts as in Chromium, in the folder and in the one file; keyboard, width, theme."""
    page = explorer()
    expected = {}
    for place in (0, 7, 19, 31):
        page = explorer(f"#post={place}")
        expected[place] = page.locator(".said").all_inner_texts()
    (tmp_path / "profile").mkdir()
    file = tmp_path / "explorer.html"
    made.write_single(file)
    fox = Firefox(FIREFOX or "", tmp_path / "profile")
    lines = "[...document.querySelectorAll('.said')].map(n => n.innerText)"
    done = "document.querySelector('[data-ready=all]') && document.querySelectorAll('.said').length === 4"
    try:
        for address in (site, file.as_uri()):
            for place, said in expected.items():
                fox.open("about:blank")
                fox.open(f"{address}#post={place}")
                fox.wait(done)
                assert fox.evaluate(lines) == said
        for i in range(16):
            fox.evaluate(f"document.querySelectorAll('.thumbs .thumb')[{i}].click()")
            time.sleep(0.2)
        counted(fox.evaluate(MEASURED), "explorer in Firefox")
        # a word edited by keyboard
        fox.evaluate("document.querySelector('.chip[aria-pressed=true]').focus()")
        fox.press("\ue007")  # Enter
        fox.wait("document.activeElement.matches('input.chip')")
        for letter in "Paris\ue007":
            fox.press(letter)
        fox.wait("document.activeElement.innerText === 'Paris' && location.hash.includes('Paris')")
        for wide in WIDTHS:
            fox.open("about:blank")
            fox.open(f"{site}#open=embedding.attention.interweave.gate.crf.mining.reading", wide)
            fox.wait(done)
            assert fox.evaluate("document.documentElement.scrollWidth") <= wide
            if keep := os.environ.get("MGIPS_SCREENSHOTS"):
                shot = fox.ask("browsingContext.captureScreenshot", context=fox.tab, origin="document")
                (Path(keep) / f"explorer_firefox_{wide}.png").write_bytes(base64.b64decode(shot["data"]))
    finally:
        fox.close()
