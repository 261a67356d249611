"""What the tests in a browser do with a page: run, press, wait, time, and look for what is cut off or has no name."""

import contextlib
import json
import os
import time
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_ALL = 1000 * int(os.environ.get("MGIPS_BROWSER_TIMEOUT", "600"))
"""Milliseconds that a notebook may take to run."""
LOOK = 90_000
"""Milliseconds that a change on the page may take."""

KERNEL_READY = """() => {
    const context = window.jupyterapp.shell.currentWidget?.sessionContext, kernel = context?.session?.kernel;
    return context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
"""The page says idle before there is a kernel, and cells that run too early are forgotten."""
TIMES: dict[str, list[float]] = defaultdict(list)
"""Seconds from an action to the page, by what was done."""


def expect(target):
    """Playwright's `expect`, imported late: without playwright these tests are skipped."""
    from playwright.sync_api import expect

    return expect(target)


def notebook_of(*sources: str) -> str:
    """A notebook with these code cells."""
    from nbformat import writes
    from nbformat.v4 import new_code_cell, new_notebook

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return writes(new_notebook(cells=[new_code_cell(s) for s in sources], metadata={"kernelspec": kernel}))


def command(page, name: str, milliseconds: int) -> None:
    """One of JupyterLab's commands, waited for; `evaluate` alone would wait for ever."""
    page.evaluate(
        "name => { window.ended = false; window.jupyterapp.commands.execute(name).then(() => { window.ended = true }) }",
        name,
    )
    page.wait_for_function("window.ended", timeout=milliseconds)


@contextlib.contextmanager
def timed(name: str):
    """Counts the seconds of its block among `TIMES`; they are printed when all tests are over."""
    started = time.monotonic()
    yield
    TIMES[name].append(time.monotonic() - started)


def key(slider, name: str) -> None:
    """Focus a slider as a reader would with the tab key, and press a key."""
    handle = slider.locator("input[type=range]")
    handle.focus()
    handle.press(name)


def finish(inspector) -> None:
    """No error shows; the inspector is what a screenshot then shows."""
    expect(inspector.locator(".mgips-error").first).to_be_hidden()
    inspector.evaluate("node => node.scrollIntoView()")


def changed(view, before: str) -> str:
    """Waits until a picture is another one, and gives its alternative text."""
    # on every frame: `expect` looks again after 100, 350 and 850 ms only, and would time that
    view.page.wait_for_function(
        "([view, before]) => { const now = view.querySelector('img')?.alt; return now && now !== before }",
        arg=[view.element_handle(), before],
        timeout=LOOK,
    )
    return view.locator("img").first.get_attribute("alt")


def use(inspector, *steps: tuple[str, str, str]) -> str:
    """Use controls one after the other; the picture must change each time. Gives the last alternative text.

    Each step is a control's CSS class without "mgips-", a key for a slider or an option of a list, and a text that the
    alternative text then holds.
    """
    view = inspector.locator(".mgips-view")
    alt = view.locator("img").first.get_attribute("alt")
    for name, value, text in steps:
        control = inspector.locator(f".mgips-{name}")
        with timed(f"{inspector_name(inspector)}, {name}"):
            if value.startswith(("Arrow", "End", "Home", "Page")):
                key(control, value)
            else:
                control.locator("select").select_option(value)
            alt = changed(view, alt)
        assert text in alt
    return alt


def shows(node, text: str, gone: bool = False) -> None:
    """Waits frame by frame until an element's text has `text` in it, or no longer; `expect` looks at 0, 100, 350 ms, …"""
    node.page.wait_for_function(
        "([node, text, gone]) => node.innerText.includes(text) !== gone",
        arg=[node.element_handle(), text, gone],
        timeout=LOOK,
    )


def inspector_name(inspector) -> str:
    """The inspector's own CSS class without "mgips-"."""
    names = (inspector.get_attribute("class") or "").split()
    return next(n for n in names if n.startswith("mgips-") and n != "mgips-inspector").removeprefix("mgips-")


def inside(page, inspector) -> None:
    """Nothing is cut off or reaches out of the page, and no two pictures or controls lie on each other."""
    texts = inspector.locator(".widget-html-content, .widget-readout, .mgips-part-view")
    cut = texts.evaluate_all("all => all.filter(n => n.scrollWidth > n.clientWidth + 1).map(n => n.innerText)")
    assert not cut
    # all at once: a redraw between two questions would take away what the second one asks for
    boxes = inspector.locator(
        ".widget-dropdown, .mgips-part-range, .mgips-part-field, .widget-button, .widget-text, img"
    ).evaluate_all(
        """all => all.filter(n => n.checkVisibility()).map(n => n.getBoundingClientRect())
            .map(box => ({x: box.x, y: box.y, width: box.width, height: box.height}))"""
    )
    wide = page.viewport_size["width"]
    assert boxes and all(box["x"] + box["width"] <= wide for box in boxes)
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            wide = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
            high = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
            assert wide <= 1 or high <= 1, (a, b)


def photographed(page, inspector, name: str) -> None:
    """With MGIPS_SCREENSHOTS a folder, pictures of an inspector on a page of 1,440 and of 1,000 pixels stay there."""
    if not (keep := os.environ.get("MGIPS_SCREENSHOTS")):
        return
    Path(keep).mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    for wide in (1000, 1440):
        page.set_viewport_size({"width": wide, "height": 1400})
        inspector.evaluate("node => node.scrollIntoView()")
        page.wait_for_timeout(300)
        page.screenshot(path=Path(keep) / f"{name}_{wide}.png")
    page.set_viewport_size(size)


def theme(page, name: str) -> None:
    """JupyterLab Light or JupyterLab Dark."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", f"JupyterLab {name}")
    page.wait_for_function(
        "dark => document.body.dataset.jpThemeLight === (dark ? 'false' : 'true')", arg=name == "Dark", timeout=LOOK
    )


def accessible(page, selector: str) -> None:
    """axe-core finds nothing serious inside, and nothing that scrolls without need."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="pip install -e '.[dev]'")
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(axe.AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = page.evaluate("selector => axe.run(selector, {resultTypes: ['violations']})", selector)
    serious = [
        f"{problem['id']} ({problem['impact']}): {problem['help']}: {json.dumps([n['html'][:200] for n in problem['nodes'][:3]])}"
        for problem in found["violations"]
        if problem["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)
    scrolling = page.locator(f"{selector}, {selector} *").evaluate_all(
        """all => all.filter(n => ['auto', 'scroll'].includes(getComputedStyle(n).overflowY)
            && n.scrollHeight > n.clientHeight + 1 && !n.dataset.scrolls).map(n => n.className)"""
    )
    assert not scrolling, scrolling
