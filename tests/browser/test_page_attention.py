"""The attention and the MGE inspector on a page: clicks, keys to the end of every slider, what shows on hover, times."""

import re

import pytest
from pages import accessible, changed, expect, finish, inside, key, theme, timed, use

START = """\
import mgips
from mgips.lab.widgets import inspect_attention, inspect_mge
corpus = mgips.load_corpus("tinytweets:train=200,dev=20,test=20")"""


@pytest.fixture
def attention(opened):
    """The inspector of the shipped model on a page."""
    page = opened("attention", START, 'inspect_attention("tiny-full", corpus.test)')
    return page, page.locator(".mgips-attention")


def alt(inspector) -> str:
    return inspector.locator(".mgips-view img").get_attribute("alt")


def pick(inspector, name: str, what: str) -> str:
    """Click a place; gives the new alternative text."""
    before = alt(inspector)
    with timed(f"{name}, click"):
        inspector.locator(f"[data-pick='{what}']").click()
        return changed(inspector.locator(".mgips-view"), before)


def value(inspector, name: str) -> str:
    return inspector.locator(f".mgips-{name} output").inner_text()


def ends(inspector, name: str) -> None:
    """A slider goes to its end and back, by keys and by mouse."""
    slider = inspector.locator(f".mgips-{name}")
    handle = slider.locator("input")
    expect(handle).to_be_visible()  # one that comes with a second post
    last = handle.get_attribute("max")
    key(slider, "End")
    assert handle.input_value() == last
    key(slider, "Home")
    assert handle.input_value() == handle.get_attribute("min")
    box = handle.bounding_box()
    handle.page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    expect(handle).to_have_value(last)
    finish(inspector)


def test_from_a_word_to_the_patches_and_back_by_clicks(attention):
    page, inspector = attention
    inside(page, inspector)
    group = inspector.locator("[role=group]")
    assert group.evaluate_all("all => all.map(n => n.ariaLabel)") == [
        "Crop 1", "Crop 2", "Crop 3", "Before the patches", "Words", "Heads",
    ]  # fmt: skip
    word = inspector.get_by_role("group", name="Words").locator("button").nth(1)
    said = word.get_attribute("title")
    assert re.fullmatch(r"“.+”: \d+\.\d %", said)
    assert f"{said.split('”')[0]}” gives" in pick(inspector, "attention", word.get_attribute("data-pick"))
    assert value(inspector, "word").startswith("2 ")
    expect(inspector.locator("[data-pick='0 word 1']")).to_have_attribute("aria-pressed", "true")

    patch = inspector.get_by_role("group", name="Crop 2").locator("button").nth(5)
    assert re.fullmatch(r"row 2, column 2: \d+\.\d %", patch.get_attribute("title"))
    patch.hover()
    assert "crop 2, row 2, col 2 gives" in pick(inspector, "attention", patch.get_attribute("data-pick"))
    assert value(inspector, "word") == "crop 2, row 2, col 2"
    assert inspector.locator(".mgips-direction select").input_value() == "picture looks at the words"
    assert "the class token gives" in pick(inspector, "attention", "0 place 0")
    last = inspector.get_by_role("group", name="Crop 3").locator("button").last
    assert "crop 3, row 4, col 4 gives" in pick(inspector, "attention", last.get_attribute("data-pick"))
    accessible(page, ".mgips-attention")
    finish(inspector)


def test_all_heads_at_once_and_a_click_shows_one(attention):
    _, inspector = attention
    heads = inspector.get_by_role("group", name="Heads").locator("button")
    assert heads.count() == 2 * (1 + 4)
    assert heads.nth(2).get_attribute("title").startswith("layer 1, head 2: ")
    assert "layer 1, head 2" in pick(inspector, "attention", "0 head 1 2")
    assert value(inspector, "layer") == "1"
    expect(inspector.locator(".mgips-head option:checked")).to_have_text(re.compile(r"^head\s2$"))
    assert "layer 2, mean of heads" in pick(inspector, "attention", "0 head 2 0")
    finish(inspector)


def test_places_are_reached_and_picked_by_keys_and_keep_the_focus(attention):
    page, inspector = attention
    inspector.locator("[data-pick='0 place 1']").focus()
    for name in ("ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(name)
    assert page.evaluate("document.activeElement.title").startswith("row 3, column 2: ")
    before = alt(inspector)
    with timed("attention, key"):
        page.keyboard.press("Enter")
        assert "crop 1, row 3, col 2 gives" in changed(inspector.locator(".mgips-view"), before)
    assert page.evaluate("document.activeElement.title").startswith("row 3, column 2: ")  # the new picture has it too
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.title").startswith("row 4, column 4: ")
    inspector.locator("[data-pick='0 word 0']").focus()
    page.keyboard.press("End")
    page.keyboard.press(" ")
    words = inspector.get_by_role("group", name="Words").locator("button").count()
    expect(inspector.locator(".mgips-word output")).to_have_text(re.compile(f"^{words} "))


def test_every_control_of_attention_to_its_end(attention):
    page, inspector = attention
    use(
        inspector,
        ("layer", "ArrowLeft", "layer 1"),
        ("head", "head 2", "head 2"),
        ("word", "ArrowRight", ""),
        ("word", "End", ""),
        ("direction", "picture looks at the words", "class token gives"),
        ("word", "ArrowRight", "crop 1, row 1, col 1 gives"),
        ("word", "End", "crop 3, row 4, col 4 gives"),
        *[("post", "ArrowRight", "")] * 6,
        ("post", "End", ""),
        *[("layer", "ArrowRight", "layer 2"), ("layer", "ArrowLeft", "layer 1")] * 3,
    )
    inside(page, inspector)
    for name in ("post", "layer", "word", "beside", "word-beside"):
        ends(inspector, name)


@pytest.mark.parametrize("width", [1440, 1000])
def test_two_posts_and_two_models_beside_each_other(opened, width):
    cell = 'inspect_attention("tiny-full", corpus.test, other="tiny-reads")'
    page = opened("attention_beside", START, cell)
    page.set_viewport_size({"width": width, "height": 1400})
    inspector = page.locator(".mgips-attention")
    names = "all => all.map(n => n.ariaLabel)"
    titles = inspector.locator("[role=group]").evaluate_all(names)
    assert any(title.startswith("Words of panel 2, tiny-reads, post ") for title in titles)
    use(inspector, ("beside", "ArrowRight", ""), ("beside", "ArrowRight", ""), ("word-beside", "ArrowRight", ""))
    titles = inspector.locator("[role=group]").evaluate_all(names)
    assert len(titles) == 4 * 6 == len(set(titles))
    assert pick(inspector, "attention, four panels", "3 word 0").count(" gives ") == 4
    assert value(inspector, "word-beside").startswith("1 ")
    assert "crop 2, row 1, col 1 gives" in pick(inspector, "attention, four panels", "2 place 17")
    inside(page, inspector)
    accessible(page, ".mgips-attention")
    picture = inspector.locator(".mgips-view img").bounding_box()
    assert picture["width"] > 0.9 * min(900, width - 200)
    finish(inspector)


@pytest.mark.parametrize("colours", ["Light", "Dark"])
def test_mge_by_clicks_and_keys(opened, colours):
    page = opened("mge", START, 'inspect_mge("tiny-full", corpus.test)')
    theme(page, colours)
    page.set_viewport_size({"width": 1000, "height": 900})
    inspector = page.locator(".mgips-mge")
    inside(page, inspector)
    assert "pass X1" in alt(inspector)
    bar = inspector.get_by_role("group", name="Pieces", exact=True).locator("button").first
    assert re.fullmatch(r"“\[CLS\]”: \d+\.\d\d × 1/n", bar.get_attribute("title"))
    assert "pass T1" in pick(inspector, "mge", "pass 1 piece 2")
    assert value(inspector, "pass").startswith("T1")
    assert "pass X2" in pick(inspector, "mge", "pass 2")
    before = alt(inspector)
    post = pick(inspector, "mge, post", "post 1")
    assert value(inspector, "post") == "2" and post.split(",")[0] != before.split(",")[0]
    inspector.locator("[data-pick='pass 0 piece 0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    before = alt(inspector)
    page.keyboard.press("Enter")
    assert "pass T1" in changed(inspector.locator(".mgips-view"), before)
    use(inspector, *[("pass", "ArrowRight", "pass X2"), ("pass", "ArrowLeft", "pass T1")] * 3)
    use(inspector, *[("post", "ArrowRight", "")] * 6, ("post", "End", ""))
    for name in ("post", "pass"):
        ends(inspector, name)
    accessible(page, ".mgips-mge")


@pytest.mark.parametrize("width", [1440, 1000])
def test_attention_in_the_dark(attention, width):
    page, inspector = attention
    page.set_viewport_size({"width": width, "height": 900})
    theme(page, "Dark")
    use(inspector, ("beside", "ArrowRight", ""))
    inside(page, inspector)
    accessible(page, ".mgips-attention")
    finish(inspector)
