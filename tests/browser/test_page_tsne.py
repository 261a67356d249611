"""The t-SNE inspector in JupyterLab, by mouse and by keyboard."""

import re

import pytest
from pages import LOOK, accessible, expect, finish, inside, key, photographed, shows, theme, timed

START = """\
import mgips
from mgips.lab.widgets import inspect_tsne
corpus = mgips.load_corpus("tinytweets:train=200,dev=20,test=200")"""
SHOW = 'entities = inspect_tsne("tiny-full", corpus)\nentities'


@pytest.fixture
def tsne(opened):
    page = opened("tsne", START, SHOW)
    inspector = page.locator(".mgips-tsne")
    expect(inspector.locator(".mgips-map")).to_have_count(2, timeout=LOOK)
    return inspector


def says(tsne):
    """The line that names the selected entity."""
    return tsne.get_by_text("Large ring: ")


def middle(locator) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def choose(tsne, name: str, value: str, told: str) -> None:
    with timed(f"tsne, {name}"):
        tsne.locator(f".mgips-{name} select").select_option(value)
        shows(tsne.locator(".mgips-view"), told)


def test_clicks_boxes_and_lists(tsne):
    page, near, maps = tsne.page, tsne.locator(".mgips-neighbours"), tsne.locator(".mgips-map")
    inside(page, tsne)
    accessible(page, ".mgips-tsne")
    count = int(page.evaluate("document.querySelector('.mgips-entity input').max"))
    expect(tsne.locator(".mgips-map title")).to_have_count(2 * count)
    expect(tsne.locator(".mgips-view")).to_contain_text(re.compile(r"PCA, \d+% of the variance: \d+% in this view"))
    photographed(page, tsne, "tsne_light")

    # a click selects what is there, in each view; both views and the list follow
    for view, point in ((0, 5), (1, 40), (0, 90)):
        target = maps.nth(view).locator("g path").nth(point)
        kind, text, post = re.fullmatch(r"(\w+) · (.+) · post (\S+)", target.locator("title").text_content()).groups()
        spot = middle(target)
        before = says(tsne).inner_text()
        with timed("tsne, click"):
            page.mouse.click(*spot)
            shows(tsne.locator(".mgips-view"), before, gone=True)
        # of points that lie on each other another one may be meant; the ring is where the click was
        x, y = middle(maps.nth(view).locator("circle").first)
        assert abs(x - spot[0]) < 8 and abs(y - spot[1]) < 8
        selected = near.locator("button", has_text="○")
        expect(selected).to_have_count(1)
        expect(maps.nth(1 - view).locator("circle")).to_have_count(11)
        if text in says(tsne).inner_text():
            expect(says(tsne)).to_contain_text(f"“{text[:20]}")

    # a box lists what is inside and marks it in both views
    box = maps.nth(0).bounding_box()
    start, end = (box["x"] + 20, box["y"] + 20), (box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.8)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    expect(tsne.locator(".mgips-band")).to_be_visible()
    page.mouse.move(*end)
    with timed("tsne, box"):
        page.mouse.up()
        shows(near, "in the box: ")
    expect(tsne.locator(".mgips-band")).to_have_count(0)
    number = int(re.search(r"(\d+) in the box", near.inner_text())[1])
    assert 20 < number <= count
    for view in range(2):
        expect(maps.nth(view).locator("path[stroke='#000']")).to_have_count(number)
    photographed(page, tsne, "tsne_box")
    inside(page, tsne)

    # through its pages to the last, by keyboard; then one is selected from the list, and the list is cleared
    pages = -(-number // 10)
    expect(near).to_contain_text(f"page 1 of {pages}")
    later = near.get_by_role("button", name="Later ▶")
    for at in range(2, pages + 1):
        later.focus()
        with timed("tsne, page of a list"):
            page.keyboard.press("Enter")
            shows(near, f"page {at} of {pages}")
    expect(later).to_be_disabled()
    near.get_by_role("button", name="◀ Earlier").click()
    expect(near).to_contain_text(f"page {pages - 1} of {pages}", timeout=LOOK)
    wanted = near.locator("button[title]").nth(3)
    post = wanted.inner_text().split()[-1]
    before = says(tsne).inner_text()
    wanted.click()
    expect(near.locator("button", has_text="○").first).to_contain_text(post, timeout=LOOK)
    assert before
    near.get_by_role("button", name="Clear").click()
    expect(near).not_to_contain_text("in the box", timeout=LOOK)

    theme(page, "Dark")
    accessible(page, ".mgips-tsne")
    photographed(page, tsne, "tsne_dark")
    theme(page, "Light")
    finish(tsne)


def test_the_entity_by_slider_and_by_search(tsne):
    page, near, find = tsne.page, tsne.locator(".mgips-neighbours"), tsne.locator(".mgips-find input")
    slider = tsne.locator(".mgips-entity")
    for pressed in ("End", "ArrowLeft", "Home", "ArrowRight", "PageUp"):
        before = near.inner_text()
        with timed("tsne, entity"):
            key(slider, pressed)
            shows(near, before, gone=True)
    assert slider.locator("input").get_attribute("max") not in ("1", slider.locator("input").input_value())
    box = slider.locator("input").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    expect(slider.locator("output")).to_have_text(slider.locator("input").get_attribute("max"))

    key(slider, "Home")
    word = re.search(r"“(.+?)”", says(tsne).inner_text())[1]
    for wanted in (word.upper(), "test-00-01"):
        with timed("tsne, search"):
            find.fill(wanted)
            find.press("Enter")
            shows(near, f"that “{wanted}” finds: ")
    expect(near.locator("button[title]").first).to_contain_text("test-00-01")
    found = near.inner_text()
    find.fill("no such name")
    find.press("Enter")
    expect(tsne.locator(".mgips-error").first).to_contain_text("No entity has “no such name” in it", timeout=LOOK)
    assert near.inner_text() == found
    find.fill("")
    find.press("Enter")
    expect(near).not_to_contain_text("finds", timeout=LOOK)
    inside(page, tsne)
    finish(tsne)


def test_views_steps_and_perplexities_and_a_turn_all_the_way_round(tsne):
    page, turn = tsne.page, tsne.locator(".mgips-turn")
    expect(turn).to_be_hidden()
    choose(tsne, "perplexity", "20", "2D t-SNE, perplexity 20")
    choose(tsne, "step", "embedding", "embedding: of an entity's")
    choose(tsne, "step", "MGI", "MGI: of an entity's")
    choose(tsne, "perplexity", "30", "2D t-SNE, perplexity 30")
    choose(tsne, "beside", "3D t-SNE", "3D t-SNE, perplexity 30")
    expect(turn).to_be_visible()
    drawing = tsne.locator(".mgips-map").nth(1).locator("svg")
    for pressed, degrees in (
        ("End", 360), ("ArrowRight", 15), ("Home", 0), ("ArrowLeft", 345), ("ArrowRight", 360), ("ArrowRight", 15),
        ("ArrowUp", 30), ("PageUp", 60), ("End", 360),
    ):  # fmt: skip
        before = drawing.get_attribute("aria-label")
        with timed("tsne, turn"):
            key(turn, pressed)
            page.wait_for_function(
                "before => document.querySelectorAll('.mgips-map svg')[1].ariaLabel !== before", arg=before
            )
        expect(drawing).to_have_attribute("aria-label", re.compile(f"turned by {degrees}°"))
        expect(turn.locator("output")).to_have_text(str(degrees))
    photographed(page, tsne, "tsne_3d")
    inside(page, tsne)
    accessible(page, ".mgips-tsne")
    finish(tsne)


def test_a_new_perplexity_shows_how_far_it_is_and_can_be_cancelled(opened):
    page = opened("tsne_cancel", START.replace("test=200", "test=1500"), SHOW.replace("corpus)", "corpus, limit=1500)"))
    tsne = page.locator(".mgips-tsne")
    expect(tsne.locator(".mgips-view")).to_contain_text("2D t-SNE, perplexity 30", timeout=LOOK)
    tsne.locator(".mgips-perplexity select").select_option("100")
    expect(tsne.locator(".mgips-doing")).to_contain_text("computing t-SNE at perplexity 100", timeout=LOOK)
    expect(tsne.locator(".mgips-doing")).to_contain_text("s left", timeout=LOOK)
    near = tsne.locator(".mgips-neighbours").inner_text()
    with timed("tsne, entity while it computes"):
        key(tsne.locator(".mgips-entity"), "End")
        shows(tsne.locator(".mgips-neighbours"), near, gone=True)
    with timed("tsne, cancel"):
        tsne.locator(".mgips-cancel").click()
        expect(tsne.locator(".mgips-cancel")).to_be_hidden(timeout=LOOK)
    expect(tsne.locator(".mgips-perplexity select")).to_have_value("30")
    expect(tsne.locator(".mgips-view")).to_contain_text("2D t-SNE, perplexity 30")
    photographed(page, tsne, "tsne_many")
    finish(tsne)
