"""The swap inspector in JupyterLab, by mouse and by keyboard."""

import numpy as np
import pytest
from pages import LOOK, accessible, expect, finish, inside, key, photographed, shows, theme, timed
from PIL import Image

import mgips

START = """\
import mgips
from mgips.lab.widgets import inspect_swap
corpus = mgips.load_corpus("tinytweets:train=200,dev=20,test=200")"""
SHOW = """\
swap = inspect_swap({"full": "tiny-full", "text": "tiny-text", "reads": "tiny-reads"}, corpus)
swap"""


POSTS = mgips.load_corpus("tinytweets:train=200,dev=20,test=200").test


@pytest.fixture
def swap(opened):
    page = opened("swap", START, SHOW)
    inspector = page.locator(".mgips-swap")
    expect(inspector).to_be_visible(timeout=LOOK)
    return inspector


def title(swap):
    return swap.locator(".mgips-view [role=status] b").first


def choose(swap, kind: str, told: str) -> None:
    """Choose a kind of picture, and wait until the title says so."""
    with timed(f"swap, picture {kind}"):
        swap.locator(".mgips-image select").select_option(kind)
        shows(swap.locator(".mgips-view"), told)


def write(swap, words: str) -> None:
    """Type words over those of the post, and press Enter."""
    field = swap.locator(".mgips-words input")
    field.fill(words)
    field.press("Enter")


def test_pictures_and_posts(swap):
    page = swap.page
    inside(page, swap)
    accessible(page, ".mgips-swap")
    expect(title(swap)).to_have_text("Post test-00-00 with its own picture")
    for kind in ("blank", "noise", "shuffled", "same type", "mined", "own"):
        choose(swap, kind, "own picture" if kind == "own" else f"picture “{kind}”")
    choose(swap, "shuffled", "picture “shuffled”")
    photographed(page, swap, "swap_light")

    # to the last post and back, by keyboard and by mouse
    last = page.evaluate("document.querySelector('.mgips-swap .mgips-post input').max")
    assert last == "200"
    ids = []
    for pressed in ("End", "Home", "ArrowRight", "PageUp", "ArrowLeft"):
        before = title(swap).inner_text()
        with timed("swap, post that is new"):
            key(swap.locator(".mgips-post"), pressed)
            shows(swap.locator(".mgips-view"), before, gone=True)
        ids.append(title(swap).inner_text().split()[1])
    assert ids[1:3] == ["test-00-00", "test-00-01"] and len(set(ids)) == 5
    for pressed in ("ArrowRight", "ArrowLeft") * 3:
        before = title(swap).inner_text()
        with timed("swap, post that was shown"):
            key(swap.locator(".mgips-post"), pressed)
            shows(swap.locator(".mgips-view"), before, gone=True)
    slider = swap.locator(".mgips-post input")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    expect(title(swap)).to_contain_text(f"Post {ids[0]} ", timeout=LOOK)
    page.mouse.click(box["x"] + 3, box["y"] + box["height"] / 2)
    expect(title(swap)).to_contain_text("Post test-00-00 ", timeout=LOOK)

    # ten quick arrows: what shows is the last one
    slider.focus()
    with timed("swap, ten quick arrows"):
        for _ in range(10):
            slider.press("ArrowRight")
        shows(swap.locator(".mgips-view"), f"Post {POSTS[10].id} ")
    expect(swap.locator(".mgips-post output")).to_have_text("11")
    inside(page, swap)
    accessible(page, ".mgips-swap")
    finish(swap)


def test_words_and_probabilities(swap):
    page, field, reset = swap.page, swap.locator(".mgips-words input"), swap.locator(".mgips-reset")
    choose(swap, "blank", "picture “blank”")
    words = field.input_value()
    expect(reset).to_be_disabled()
    with timed("swap, other words"):
        write(swap, "Sue " + words.partition(" ")[2])
        shows(swap.locator(".mgips-view"), "with other words")
    expect(swap.locator(".mgips-view [role=status]")).to_contain_text("keep the gold tags")
    expect(swap.locator(".mgips-word").first).to_contain_text("Sue")
    write(swap, "Meet Sue Smith at the harbour of Port Alder 😀 <b>now</b>")
    expect(swap.locator(".mgips-view [role=status]")).to_contain_text("no gold tags", timeout=LOOK)
    expect(swap.locator(".mgips-word")).to_have_count(18)  # cut as a post's text is
    write(swap, "   ")
    expect(swap.locator(".mgips-error").first).to_contain_text("No words were typed", timeout=LOOK)
    expect(swap.locator(".mgips-word")).to_have_count(18)
    inside(page, swap)
    reset.focus()
    reset.press("Enter")
    expect(title(swap)).not_to_contain_text("with other words", timeout=LOOK)
    assert field.input_value() == words
    finish(swap)

    # one word by mouse, others by keyboard, to the last
    tables, buttons = swap.locator(".mgips-view table"), swap.locator(".mgips-word")
    before = tables.count()
    with timed("swap, word picked"):
        buttons.nth(2).click()
        shows(swap.locator(".mgips-view"), "All tags of the picked word")
    expect(buttons.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(tables).to_have_count(2)  # of the answers, and of this word
    expect(tables.last.locator("tbody tr")).to_have_count(9)
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(buttons.nth(3)).to_have_attribute("aria-pressed", "true", timeout=LOOK)
    expect(buttons.nth(3)).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Space")
    expect(buttons.last).to_have_attribute("aria-pressed", "true", timeout=LOOK)
    photographed(page, swap, "swap_word")
    page.keyboard.press("Space")
    expect(buttons.last).to_have_attribute("aria-pressed", "false", timeout=LOOK)
    expect(tables).to_have_count(before)
    theme(page, "Dark")
    accessible(page, ".mgips-swap")
    photographed(page, swap, "swap_dark")
    inside(page, swap)
    theme(page, "Light")


def test_photos_of_any_size(swap, tmp_path):
    page, error, options = swap.page, swap.locator(".mgips-error").first, swap.locator(".mgips-image option")
    names = ["own", "blank", "noise", "shuffled", "same type", "mined"]
    bad, huge, good = tmp_path / "bad.png", tmp_path / "huge.jpg", tmp_path / "good <b>.png"
    bad.write_bytes(b"no picture")
    (tmp_path / "empty.png").touch()
    with huge.open("wb") as file:
        file.truncate(50 * 2**20 + 1)
    pixels = np.random.RandomState(0).randint(0, 256, (3200, 3300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(good, compress_level=0)
    Image.fromarray(pixels[:2400, :2400]).save(tmp_path / "large.jpg", quality=100, subsampling=0)
    assert good.stat().st_size > 30 * 2**20 and (tmp_path / "large.jpg").stat().st_size > 8 * 2**20
    Image.new("RGB", (90, 40), "red").save(tmp_path / "small.png")

    def upload(path) -> None:
        with page.expect_file_chooser() as chooser:
            swap.locator(".mgips-upload label").click()
        chooser.value.set_files(path)

    for path, told in (
        (bad, "bad.png is not a picture"),
        (huge, "huge.jpg has 50 MiB; choose a picture of at most 50 MiB"),
        (tmp_path / "empty.png", "empty.png is an empty file"),
    ):
        upload(path)
        expect(error).to_contain_text(told, timeout=LOOK)
        assert [name.replace("\xa0", " ") for name in options.all_inner_texts()] == names
        expect(title(swap)).to_have_text("Post test-00-00 with its own picture")
    with timed("swap, photo of 30 MiB"):
        upload(good)
        shows(swap.locator(".mgips-view"), "picture “upload good <b>.png”")
    expect(options.last).to_have_text("upload")
    expect(error).to_be_hidden()
    shown = swap.locator(".mgips-view figure img").last
    expect(shown).to_have_attribute("alt", "shown: upload good <b>.png")

    # what is refused leaves the one from before, under its own name; so does another post
    upload(huge)
    expect(error).to_contain_text("huge.jpg has", timeout=LOOK)
    expect(title(swap)).to_contain_text("picture “upload good <b>.png”")
    key(swap.locator(".mgips-post"), "ArrowRight")
    expect(title(swap)).to_contain_text("Post test-00-01 with the picture “upload good <b>.png”", timeout=LOOK)
    expect(error).to_be_hidden()
    for name in ("large.jpg", "small.png", "large.jpg"):
        with timed(f"swap, photo {name}"):
            upload(tmp_path / name)
            shows(swap.locator(".mgips-view"), f"picture “upload {name}”")
    choose(swap, "own", "own picture")
    choose(swap, "upload", "picture “upload large.jpg”")
    inside(page, swap)
    accessible(page, ".mgips-swap")
    photographed(page, swap, "swap_photo")
    finish(swap)


def test_mining_shows_how_far_it_is_and_can_be_cancelled(opened):
    page = opened(
        "swap_mining",
        'import mgips\nfrom mgips.lab.widgets import inspect_swap\ncorpus = mgips.load_corpus("tinytweets:test=1600")',
        'swap = inspect_swap("tiny-full", corpus)\nswap',
    )
    swap = page.locator(".mgips-swap")
    expect(title(swap)).to_have_text("Post test-00-00 with its own picture", timeout=LOOK)
    swap.locator(".mgips-image select").select_option("mined")
    expect(swap.locator(".mgips-doing")).to_contain_text("mining a picture for each of 1,600 posts", timeout=LOOK)
    photographed(page, swap, "swap_mining")
    with timed("swap, cancel"):
        swap.locator(".mgips-cancel").click()
        expect(swap.locator(".mgips-cancel")).to_be_hidden(timeout=LOOK)
    expect(swap.locator(".mgips-image select")).to_have_value("own")
    expect(title(swap)).to_have_text("Post test-00-00 with its own picture")
    with timed("swap, 1,600 posts mined"):
        choose(swap, "mined", "picture “mined”")
    finish(swap)
