"""The stepping panel in JupyterLab."""

import os
import re
import signal
from pathlib import Path

from pages import LOOK, RUN_ALL, accessible, command, expect, finish, inside, key, timed

STEPS = """\
import os, time
import mgips
from mgips.data.load import load_corpus
from mgips.lab.widgets import step_through

if os.path.exists("steps/run.json"):
    panel = step_through("steps")
else:
    corpus = load_corpus("tinytweets:train=320,dev=32,test=32")
    model, training = mgips.preset("tiny", "full", epochs=30)
    panel = step_through(mgips.Trainer(corpus, model, training, "steps", progress=False))
panel"""
WHOLE = """\
import mgips
from mgips.data.load import load_corpus
from mgips.model.pretrained import weights_hash
from mgips.training import Trainer

def hashed(trainer, stop):
    while trainer.number < stop:
        trainer.step()
    return weights_hash(trainer.model)

corpus = load_corpus("tinytweets:train=320,dev=32,test=32")
model, training = mgips.preset("tiny", "full", epochs=30)
again = Trainer.resume("steps", progress=False)
stop = again.number + 12
print("SAME" if hashed(again, stop) == hashed(Trainer(corpus, model, training, progress=False), stop) else "OTHER")"""


def test_stepping(opened):
    """Step, epoch, run and pause by mouse and by keyboard; the kernel answers while it runs; the stop button, a closed
    browser and a killed kernel lose nothing."""
    page = opened("steps", STEPS, "import os\nprint('answer', 6 * 7, panel.running, os.getpid())")
    panel = page.locator(".mgips-steps").first
    status, note = panel.locator(".mgips-status"), panel.locator(".mgips-note")
    expect(panel).to_be_visible(timeout=LOOK)
    inside(page, panel)

    def pressed(name: str, text: str, by_key: bool = False, where=status) -> None:
        button = panel.locator(f"button.mgips-{name}")
        expect(button).to_be_enabled(timeout=LOOK)
        with timed(f"steps, {name}"):
            if by_key:
                button.focus()
                button.press("Enter")
            else:
                button.click()
            expect(where).to_contain_text(text, timeout=LOOK)

    for number in (1, 2, 3):
        pressed("step", f"Step {number} of 300", by_key=number == 2)
    expect(panel.locator(".mgips-posts")).to_contain_text("of this batch of 32")
    pressed("epoch", "Step 10 of 300")
    expect(status).to_contain_text("best dev F1")
    inside(page, panel)
    accessible(page, ".mgips-steps")

    # what if, and the end of the posts' slider by keyboard
    panel.locator(".mgips-tau input").fill("0.1")
    panel.locator(".mgips-tau input").press("Tab")
    pressed("what", "temperature = 0.1", where=panel.locator(".mgips-tried"))
    with timed("steps, page"):
        key(panel.locator(".mgips-page"), "End")
        expect(panel.locator(".mgips-posts")).to_contain_text("Posts 31 to 32")

    # the kernel answers other cells while the run goes on
    pressed("run", "Step 1", by_key=True)
    expect(panel.locator("button.mgips-pause")).to_be_enabled()
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    command(page, "notebook:run-cell", LOOK)
    answer = page.locator(".jp-OutputArea-output").last
    expect(answer).to_contain_text("answer 42 True", timeout=LOOK)
    kernel = int(answer.inner_text().split()[-1])
    panel.locator("button.mgips-pause").click()
    expect(note).to_contain_text("and saved", timeout=LOOK)

    # the stop button
    pressed("run", "Step")
    expect(note).not_to_contain_text("Paused")
    expect(panel.locator("button.mgips-pause")).to_be_enabled()
    command(page, "notebook:interrupt-kernel", LOOK)
    expect(note).to_contain_text("Paused after step", timeout=LOOK)
    expect(panel.locator("button.mgips-step")).to_be_enabled()
    finish(panel)
    if keep := os.environ.get("MGIPS_SCREENSHOTS"):
        page.screenshot(path=Path(keep) / "stepping_panel.png")

    # the browser is closed in the middle of a run, and opened again: the panel is there, and has gone on
    command(page, "docmanager:save", LOOK)
    pressed("run", "Step")
    expect(panel.locator("button.mgips-pause")).to_be_enabled()
    before = step_of(status)
    page.goto("about:blank")
    page.wait_for_timeout(1000)
    opened("steps", run=False)
    expect(panel).to_be_visible(timeout=LOOK)
    expect(panel.locator("button.mgips-pause")).to_be_enabled(timeout=LOOK)
    panel.locator("button.mgips-pause").click()
    expect(note).to_contain_text("and saved", timeout=LOOK)
    assert before < step_of(status) < 300

    # the kernel dies in the middle of a run; another goes on from the folder, to the same weights
    pressed("run", "Step")
    os.kill(kernel, signal.SIGKILL)
    opened("whole", WHOLE)
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("SAME", timeout=RUN_ALL)


def step_of(status) -> int:
    """The step that the panel's line names."""
    return int(re.search(r"Step ([\d,]+) of", status.inner_text())[1].replace(",", ""))
