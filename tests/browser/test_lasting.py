"""Inspectors that last: what a reader sees after a restart of the kernel, and in a saved notebook opened again."""

import pytest
from pages import KERNEL_READY, LOOK, accessible, command, expect, key, photographed, theme

START = """\
import mgips
corpus = mgips.load_corpus("tinytweets:train=200,dev=20,test=20")"""
SHOWN = {
    "attention": 'from mgips.lab.widgets import inspect_attention\ninspect_attention("tiny-full", corpus.test)',
    "mge": 'from mgips.lab.widgets import inspect_mge\ninspect_mge("tiny-full", corpus.test)',
    "pairs": 'from mgips.lab.widgets import inspect_pairs\ninspect_pairs("tiny-full", corpus, progress=False)',
    "swap": 'from mgips.lab.widgets import inspect_swap\ninspect_swap({"full": "tiny-full"}, corpus)',
    "tsne": 'from mgips.lab.widgets import inspect_tsne\ninspect_tsne("tiny-full", corpus)',
    "steps": """\
from mgips.lab.widgets import step_through
model, training = mgips.preset("tiny", "full", epochs=2)
step_through(mgips.Trainer(corpus, model, training, progress=False))""",
    "play": """\
import matplotlib.pyplot as plt
from mgips.lab.figures import show
from mgips.lab.widgets import play

def line(slope):
    print("slope", slope)
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1], [0, slope])
    ax.set_title(f"Slope {slope}")
    show(figure, f"A line of slope {slope}")

play(line, slope=range(6), start={"slope": 2})""",
}
WHAT_SHOWS = """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].at(-1)
    .querySelector('.jp-OutputArea').innerText"""


@pytest.mark.parametrize("name", SHOWN)
def test_after_a_restart_and_when_opened_again_a_picture_and_a_sentence_stay(opened, name):
    page = opened(f"lasting_{name}", START, SHOWN[name])
    cell = page.locator(".jp-Cell").last
    inspector, kept = cell.locator(f".mgips-{name}"), cell.locator(".mgips-kept")
    saved = cell.locator(".jp-OutputArea-child .jp-RenderedHTMLCommon img")
    expect(inspector).to_be_visible(timeout=LOOK)
    expect(saved).to_be_hidden()
    expect(kept).to_be_hidden()
    for shade in ("Light", "Dark", "Light"):
        theme(page, shade)
        accessible(page, f".mgips-{name}")
        photographed(page, inspector, f"{name}_{shade}")
    for slider in inspector.locator(".mgips-part-range:visible").all():
        handle = slider.locator("input")
        key(slider, "End")
        assert handle.input_value() == handle.get_attribute("max")
        key(slider, "Home")
        assert handle.input_value() == handle.get_attribute("min")

    # the kernel is restarted: what was seen stays, in one piece, with a sentence
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(kept).to_be_visible(timeout=LOOK)
    page.wait_for_function(KERNEL_READY, timeout=LOOK)
    expect(inspector).to_be_visible()
    broken = cell.locator(".jupyter-widgets-disconnected").evaluate_all(
        "all => all.filter(n => !['none', 'normal', ''].includes(getComputedStyle(n, '::before').content)"
        " && getComputedStyle(n, '::before').display !== 'none').length"
    )
    assert broken == 0

    # and opened again
    command(page, "docmanager:save", LOOK)
    opened(f"lasting_{name}", run=False)
    expect(kept).to_be_visible(timeout=LOOK)
    expect(saved).to_be_visible()
    assert saved.get_attribute("alt")
    page.wait_for_timeout(1500)  # the widgets' manager looks for its models
    told = page.evaluate(WHAT_SHOWS)
    assert "Run this cell" in told and "model not found" not in told and "Loading" not in told
