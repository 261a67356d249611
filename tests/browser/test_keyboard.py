"""One whole way by the keyboard alone: an own run, a wrong post, another picture for it, a tag, a download."""

import io
import re

import pandas as pd
from pages import LOOK, RUN_ALL, expect

START = """\
from pathlib import Path
import mgips
from mgips.lab.widgets import inspect_pairs, inspect_swap
corpus = mgips.load_corpus("tinytweets:train=200,dev=20,test=20")
if not Path("own-run/results.json").exists():
    mgips.train(corpus, *mgips.preset("tiny", "full", epochs=2), "own-run", progress=False)"""


def tab_to(page, target, back: bool = False) -> None:
    """Press the tab key until a control has the focus."""
    for _ in range(150):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"The tab key does not reach {target}")


def test_from_an_own_run_to_a_download_without_a_mouse(opened):
    page = opened("keyboard", START, 'inspect_pairs("own-run", corpus)', 'inspect_swap("own-run", corpus)', run=False)
    pairs, swap = page.locator(".mgips-pairs"), page.locator(".mgips-swap")
    for ready in (page.locator(".jp-Cell").first.locator(".jp-InputPrompt", has_text="1"), pairs, swap):
        page.keyboard.press("Shift+Enter")
        expect(ready).to_be_visible(timeout=RUN_ALL)
    page.keyboard.press("Escape")

    # a wrong post
    status = pairs.locator(".mgips-status")
    tab_to(page, pairs.locator(".mgips-filter-right select"), back=True)
    page.keyboard.press("w")
    expect(status).to_contain_text("that fit", timeout=LOOK)
    post = pairs.locator(".mgips-view .mgips-pair-post b").first.inner_text()

    # tag it
    tab_to(page, pairs.locator(".mgips-tag input"))
    page.keyboard.type("look at the picture")
    page.keyboard.press("Enter")
    expect(pairs.locator(".mgips-view")).to_contain_text("look at the picture", timeout=LOOK)

    # the same post with another picture
    view = swap.locator(".mgips-view")
    tab_to(page, swap.locator(".mgips-position input"))
    for _ in range(20):
        if post in view.inner_text():
            break
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(400)
    expect(view).to_contain_text(post, timeout=LOOK)
    tab_to(page, swap.locator(".mgips-image select"))
    page.keyboard.press("b")
    expect(view).to_contain_text("blank", timeout=LOOK)

    # and take the table home
    tab_to(page, pairs.locator(".mgips-csv button"), back=True)
    with page.expect_download() as coming:
        page.keyboard.press("Enter")
    assert coming.value.suggested_filename.startswith("own-run-tinytweets")
    assert re.search(r"wrong.*\.csv$", coming.value.suggested_filename)
    table = pd.read_csv(io.BytesIO(coming.value.path().read_bytes()))
    assert set(table.loc[table.id == post, "tags"]) == {"look at the picture"}
