"""The pair inspector in JupyterLab, by mouse and by keyboard."""

import io
import re

import pandas as pd
from pages import LOOK, accessible, expect, finish, inside, key, timed
from PIL import Image

START = """\
import mgips
from pathlib import Path
from mgips.lab.widgets import inspect_pairs
corpus = mgips.load_corpus("tinytweets:train=200,dev=20,test=200")"""
SHOW = 'pairs = inspect_pairs("tiny-full", corpus, progress=False, k_max=40)\npairs'
PICTURES = """\
folder = Path("own_pictures")
folder.mkdir(exist_ok=True)
for number, post in enumerate(corpus.dev):
    if post.image is not None:
        post.image.draw().save(folder / f"photo {number}.jpg")
(folder / "broken.jpg").write_bytes(b"no picture")"""


def option(inspector, name: str, value: str, counted: str) -> None:
    """Choose from a list, and wait until the line below the filters says so."""
    with timed(f"pairs, {name}"):
        inspector.locator(f".mgips-{name} select").select_option(value)
        expect(inspector.locator(".mgips-status")).to_contain_text(counted, timeout=LOOK)


def total(status) -> int:
    """How many posts fit."""
    return int(re.search(r"of ([\d,]+)", status.inner_text())[1].replace(",", ""))


def given(page, pairs, kind: str) -> tuple[str, bytes]:
    """A download: its name and content."""
    with timed(f"pairs, download of {kind}"), page.expect_download() as coming:
        pairs.locator(f".mgips-{kind} button").click()
    return coming.value.suggested_filename, coming.value.path().read_bytes()


def test_grid_post_filters_and_downloads(opened):
    page = opened("pairs_grid", START, SHOW)
    pairs = page.locator(".mgips-pairs")
    status, main = pairs.locator(".mgips-status"), pairs.locator(".mgips-view")
    cards, name = (
        main.locator(".mgips-pair-cards .mgips-pair-card"),
        main.locator(".mgips-pair-post b, .mgips-pair-post button"),
    )
    expect(cards).to_have_count(3)
    inside(page, pairs)
    accessible(page, ".mgips-pairs")
    first = name.first.inner_text()
    expect(main.locator(".mgips-pair-side > .mgips-pair-card img")).to_have_attribute(
        "alt", re.compile(re.escape(first))
    )

    # K to its end and back, the posts to theirs
    with timed("pairs, K from 3 to 40"):
        key(pairs.locator(".mgips-k"), "End")
        expect(cards).to_have_count(40)
    inside(page, pairs)
    accessible(page, ".mgips-pairs")
    key(pairs.locator(".mgips-k"), "Home")
    expect(cards).to_have_count(1)
    for count in (2, 3):
        key(pairs.locator(".mgips-k"), "ArrowRight")
        expect(cards).to_have_count(count)
    key(pairs.locator(".mgips-position"), "End")
    expect(status).to_contain_text("Post 200 of 200")
    expect(pairs.locator("button.mgips-next")).to_be_disabled()
    key(pairs.locator(".mgips-position"), "Home")
    expect(status).to_contain_text("Post 1 of 200")
    for number in (2, 3):
        with timed("pairs, next post"):
            pairs.locator("button.mgips-next").click()
            expect(status).to_contain_text(f"Post {number} of 200")

    # a mined image opens its post by keyboard, and its name goes back; filters stay
    option(pairs, "filter-right", "wrong", "that fit")
    count = total(status)
    assert 0 < count < 200
    shown = name.first.inner_text()
    card = cards.nth(1)
    pick = card.get_attribute("data-pick")
    cards.first.focus()
    page.keyboard.press("ArrowRight")
    expect(card).to_be_focused()
    with timed("pairs, open a mined post"):
        page.keyboard.press("Enter")
        expect(main.locator(f".mgips-pair-post button[data-pick='{pick}']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(main.locator(".mgips-pair-post").first).to_contain_text(shown)
    expect(main.locator(f"[data-pick='{pick}']")).to_be_focused()
    assert total(status) == count
    card.click()
    pairs.locator("button.mgips-back").click()
    expect(main.locator(".mgips-pair-post").first).to_contain_text(shown)

    # the grid
    with timed("pairs, grid"):
        pairs.locator(".mgips-show select").select_option("Grid")
        expect(main.locator("[aria-label=Posts] button")).to_have_count(24)
    inside(page, pairs)
    accessible(page, ".mgips-pairs")
    current = main.locator("[aria-current=true]")
    expect(current).to_contain_text(shown)
    with timed("pairs, next page of the grid"):
        pairs.locator("button.mgips-next").click()
        expect(status).to_contain_text("Posts 25 to")
    pairs.locator("button.mgips-prev").click()
    expect(status).to_contain_text("Posts 1 to 24")
    tiles = main.locator("[aria-label=Posts] button")
    current.focus()
    page.keyboard.press("End")
    expect(tiles.last).to_be_focused()
    page.keyboard.press("ArrowUp")
    pick = page.evaluate("document.activeElement.dataset.pick")
    assert pick != tiles.last.get_attribute("data-pick")
    page.keyboard.press("Enter")
    expect(main.locator(f".mgips-pair-post button[data-pick='{pick}']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(main.locator("[aria-label=Posts] button")).to_have_count(24)
    expect(main.locator(f"[data-pick='{pick}']")).to_be_focused()

    # every order, each filter, and Clear
    for value in pairs.locator(".mgips-order option").all_inner_texts():
        with timed("pairs, order"):
            pairs.locator(".mgips-order select").select_option(value)
            expect(pairs.locator(".mgips-error")).to_be_hidden()
    option(pairs, "filter-type", "LOC", "that fit")
    expect(main.locator("[aria-label=Posts]")).to_contain_text("wrong")
    least = pairs.locator(".mgips-least input")
    least.fill("much")
    least.press("Enter")
    expect(pairs.locator(".mgips-error")).to_contain_text("give a number")
    least.fill("-1")
    least.press("Enter")
    expect(pairs.locator(".mgips-error")).to_be_hidden()
    search = pairs.locator(".mgips-search input")
    search.fill("no such word")
    search.press("Enter")
    expect(status).to_contain_text("No post fits")
    pairs.locator("button.mgips-clear").click()
    expect(status).not_to_contain_text("No post fits")
    assert total(status) == 200

    # tags: two posts, taken away from one, kept for a new inspector
    pairs.locator(".mgips-show select").select_option("Post")
    expect(cards).to_have_count(3)
    tagged = name.first.inner_text()
    word = pairs.locator(".mgips-tag input")
    for text, press in (("mislabelled", lambda: word.press("Enter")), ("odd", pairs.locator("button.mgips-add").click)):
        word.fill(text)
        press()
        expect(main.locator(".mgips-pair-chip")).to_contain_text(["mislabelled", "odd"][: 1 + (text == "odd")])
        expect(word).to_have_value("")
    main.locator(".mgips-pair-chip", has_text="odd").click()
    expect(main.locator(".mgips-pair-chip")).to_have_count(1)
    option(pairs, "filter-tag", "mislabelled", "Post 1 of 1 that fit")

    # downloads, named by the filters
    file, content = given(page, pairs, "csv")
    assert re.fullmatch(r"tiny-full-tinytweets[\w=.-]*-test-k3-mislabelled\.csv", file)
    table = pd.read_csv(io.BytesIO(content))
    assert set(table.id) == {tagged} and set(table.tags) == {"mislabelled"} and not table.own.any() and len(table) == 3
    file, content = given(page, pairs, "png")
    assert file.endswith("-k3-mislabelled.png") and Image.open(io.BytesIO(content)).width > 500
    pairs.locator("button.mgips-clear").click()
    expect(status).to_contain_text("of 200")
    file, content = given(page, pairs, "html")
    assert file.endswith("-test-k3.html") and content.count(b"<section>") == 100
    pairs.locator(".mgips-own-too input").check()
    expect(main.locator(".mgips-pair-cards .mgips-pair-card").first).to_be_visible()
    finish(pairs)

    page = opened("pairs_again", START, SHOW)
    pairs = page.locator(".mgips-pairs")
    option(pairs, "filter-tag", "mislabelled", "Post 1 of 1 that fit")
    expect(pairs.locator(".mgips-pair-post b").first).to_have_text(tagged)


def test_pools_own_post_hubs_and_a_second_model(opened, tmp_path):
    second = SHOW.replace("k_max=40", 'k_max=300, other="tiny-reads", pictures=folder, tags="two.json"')
    page = opened("pairs_pools", START, PICTURES, second)
    pairs = page.locator(".mgips-pairs")
    status, main, doing = pairs.locator(".mgips-status"), pairs.locator(".mgips-view"), pairs.locator(".mgips-doing")
    sides = main.locator(".mgips-pair-side")
    expect(sides).to_have_count(2)
    expect(status).to_contain_text("of the pairs of tiny-full are mined by tiny-reads too")
    expect(main.locator(".mgips-pair-post")).to_contain_text("by tiny-reads")
    inside(page, pairs)
    accessible(page, ".mgips-pairs")
    ids = main.locator(".mgips-pair-cards .mgips-pair-card img")

    for pool in ("same day", "batch", "train", "folder", "split"):
        with timed(f"pairs, pool {pool}, first time"):
            pairs.locator(".mgips-pool select").select_option(pool)
            told = expect(status)
            (told.not_to_contain_text if pool == "split" else told.to_contain_text)(
                "mined from the pool" if pool == "split" else f"mined from the pool “{pool}”", timeout=LOOK
            )
        expect(doing).to_be_hidden()
        if pool == "folder":
            assert all("photo" in picture.get_attribute("alt") for picture in ids.all())
            expect(status).to_contain_text("broken.jpg")

    # a post of one's own, with and without a photo
    text = pairs.locator(".mgips-text input")
    text.fill("Meet me in Paris , says Jordan")
    with timed("pairs, own post, first time"):
        text.press("Enter")
        expect(main.locator(".mgips-pair-post")).to_contain_text("your post")
    own = main.locator(".mgips-pair-side > .mgips-pair-card img").first
    expect(own).to_have_attribute("alt", "The post's own image: no image")
    photo = tmp_path / "mine.png"
    Image.new("RGB", (3000, 2000), "red").save(photo)
    with timed("pairs, own photo"):
        pairs.locator(".mgips-photo input").set_input_files(photo)
        expect(main.locator("[data-pick='unphoto 0']")).to_be_visible()
    inside(page, pairs)
    accessible(page, ".mgips-pairs")
    text.fill("Chicago beats Boston")
    with timed("pairs, own post"):
        pairs.locator("button.mgips-mine").click()
        expect(main.locator(".mgips-pair-post")).to_contain_text("Chicago")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    pairs.locator(".mgips-photo input").set_input_files(tmp_path / "bad.png")
    expect(pairs.locator(".mgips-error")).to_contain_text("bad.png is not a picture")
    pairs.locator("button.mgips-back").click()
    expect(main.locator(".mgips-pair-post")).not_to_contain_text("your post")

    # hubs, and the posts whose text mines one
    with timed("pairs, hubs"):
        pairs.locator(".mgips-show select").select_option("Hubs")
        expect(main.locator("[aria-label^=Images]")).to_be_visible()
    accessible(page, ".mgips-pairs")
    hub = main.locator("[data-pick^='hub']").first
    count = int(re.search(r"(\d+) texts", hub.inner_text())[1])
    hub.focus()
    with timed("pairs, a hub's posts"):
        hub.press("Enter")
        expect(status).to_contain_text(f"of {count} that fit")
    back = main.locator("button[data-pick^='hub']")
    expect(back).to_be_focused()
    back.press("Enter")
    expect(main.locator("[aria-label^=Images]")).to_be_visible()

    # K to the end, with two models
    pairs.locator(".mgips-show select").select_option("Post")
    with timed("pairs, K to 199, two models"):
        key(pairs.locator(".mgips-k"), "End")
        expect(main.locator(".mgips-pair-cards .mgips-pair-card")).not_to_have_count(6, timeout=LOOK)
    expect(status).to_contain_text("K = 199", timeout=LOOK)
    inside(page, pairs)
    pairs.locator("button.mgips-next").focus()
    with timed("pairs, next post, K = 199, two models"):
        page.keyboard.press("Enter")
        expect(status).to_contain_text("Post 2 of", timeout=LOOK)
    key(pairs.locator(".mgips-k"), "Home")
    expect(main.locator(".mgips-pair-cards .mgips-pair-card")).to_have_count(2)
    file, content = given(page, pairs, "csv")
    assert file.startswith("tiny-full-tiny-reads-") and len(pd.read_csv(io.BytesIO(content))) == 400
    finish(pairs)
