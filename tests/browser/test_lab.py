"""The inspectors in a real JupyterLab and a real Chromium: what moves on the page when somebody uses them.

    python -m pytest -m browser tests/browser

Each test opens a copy of a notebook, runs all of its cells, uses the controls as a reader would, and looks at the
page. With MGIPS_SCREENSHOTS a folder, pictures of the pages stay there.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from mgips.lab.doctor import browser

ROOT = Path(__file__).parents[2]
RUN_ALL = 1000 * int(os.environ.get("MGIPS_BROWSER_TIMEOUT", "600"))
"""Milliseconds that a notebook may take to run."""
LOOK = 30_000
"""Milliseconds that a change on the page may take."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser() is None, reason="no Chromium: apt install chromium, or set BROWSER_PATH"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: pip install -e '.[notebooks]'")
expect = playwright.expect

KERNEL_READY = """() => {
    const context = window.jupyterapp.shell.currentWidget?.sessionContext, kernel = context?.session?.kernel;
    return context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
"""The page says idle before there is a kernel, and cells that run too early are forgotten."""
INSPECTORS = {
    "02_mutual_attention": "mgips-attention",
    "03_mge_row_column_weights": "mgips-mge",
    "05_pair_mining": "mgips-pairs",
    "08_case_studies": "mgips-swap",
    "09_tsne_3d": "mgips-tsne",
}
"""The CSS class of the inspector in each notebook that has one."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on copies of the notebooks, with settings of its own; its address and its folder."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    if (ROOT / "runs" / "lessons").is_dir():  # models that the notebooks would train first
        shutil.copytree(ROOT / "runs" / "lessons", home / "runs" / "lessons")
    shutil.copytree(ROOT / "figures" / "data", home / "figures" / "data")  # the committed runs that some of them read
    kernel = home / "data" / "kernels" / "python3"  # this very interpreter, whatever else is registered
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    for name, content in {
        "notebook-extension/tracker": {"autoStartDefaultKernel": True},  # no dialog asks which one
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # no pop-up over a corner
    }.items():
        setting = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        setting.parent.mkdir(parents=True)
        setting.write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")
    settings = {f"{place}_DIR": home / place.split("_")[1].lower() for place in places}
    settings |= {"IPYTHONDIR": home / "ipython", "OMP_NUM_THREADS": "1"}
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
    ]
    log = open(home / "lab.log", "wb")  # noqa: SIM115
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env={**os.environ, **{name: str(value) for name, value in settings.items()}},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status", server, home / "lab.log")
        yield address, folder
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    """Until the server answers, or a minute is over."""
    for _ in range(120):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def ran(lab, chromium):
    """Opens a notebook, runs all of its cells, and gives the page and the notebook's inspector."""
    address, _ = lab
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    keep = os.environ.get("MGIPS_SCREENSHOTS")

    def run(name: str):
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset", timeout=LOOK * 2)
        page.wait_for_function("window.jupyterapp && document.querySelector('.jp-NotebookPanel')", timeout=LOOK * 2)
        idle = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]")
        idle.wait_for(timeout=LOOK * 2)
        page.wait_for_function(KERNEL_READY, timeout=LOOK * 2)
        command(page, "application:toggle-left-area", LOOK)
        command(page, "notebook:run-all-cells", RUN_ALL)
        idle.wait_for(timeout=LOOK)
        page.set_default_timeout(LOOK)
        inspector = page.locator(f".{INSPECTORS.get(name, 'jp-Notebook')}").first
        inspector.scroll_into_view_if_needed()
        expect(inspector).to_be_visible(timeout=LOOK)
        return page, inspector

    yield run
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(keep) / f"{os.environ['PYTEST_CURRENT_TEST'].split('::')[-1].split(' ')[0]}.png")
    context.close()


def command(page, name: str, milliseconds: int) -> None:
    """One of JupyterLab's commands, waited for; `evaluate` alone would wait for ever."""
    page.evaluate(
        "name => { window.ended = false; window.jupyterapp.commands.execute(name).then(() => { window.ended = true }) }",
        name,
    )
    page.wait_for_function("window.ended", timeout=milliseconds)


def key(slider, name: str) -> None:
    """Focus a slider as a reader would with the tab key, and press a key."""
    handle = slider.locator(".noUi-handle")
    handle.focus()
    handle.press(name)


def finish(inspector) -> None:
    """No error shows; the inspector is what a screenshot then shows."""
    expect(inspector.locator(".mgips-error").first).to_be_hidden()
    inspector.evaluate("node => node.scrollIntoView()")


def changed(view, before: str) -> str:
    """Waits until a picture is another one, and gives its alternative text."""
    picture = view.locator("img")
    expect(picture).not_to_have_attribute("alt", before, timeout=LOOK)
    return picture.get_attribute("alt")


def use(inspector, *steps: tuple[str, str, str]) -> str:
    """Use controls one after the other; the picture must change each time. Gives the last alternative text.

    Each step is a control's CSS class without "mgips-", an arrow key for a slider or an option of a list, and a text
    that the alternative text then holds.
    """
    view = inspector.locator(".mgips-view")
    alt = view.locator("img").get_attribute("alt")
    for name, value, text in steps:
        control = inspector.locator(f".mgips-{name}")
        if value.startswith("Arrow"):
            key(control, value)
        else:
            control.locator("select").select_option(value)
        alt = changed(view, alt)
        assert text in alt
    return alt


def inside(page, inspector) -> None:
    """Nothing is cut off or reaches out of the page, and no two pictures or controls lie on each other."""
    texts = inspector.locator(".widget-html-content, .widget-readout")
    cut = texts.evaluate_all("all => all.filter(n => n.scrollWidth > n.clientWidth + 1).map(n => n.innerText)")
    assert not cut
    boxes = [
        box.bounding_box()
        for box in inspector.locator(".widget-dropdown, .widget-slider, .widget-button, .widget-text, img").all()
        if box.is_visible()
    ]
    assert boxes and all(box["x"] + box["width"] <= 1280 for box in boxes)
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            wide = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
            high = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
            assert wide <= 1 or high <= 1, (a, b)


CELLS = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells, told = [];
    for (let i = 0; i < cells.length; i++) {
        const cell = cells.get(i);
        if (cell.type !== 'code') continue;
        const kinds = [];
        for (let j = 0; j < cell.outputs.length; j++) kinds.push(cell.outputs.get(j).type);
        told.push({count: cell.executionCount, kinds: kinds});
    }
    return told;
}"""


@pytest.mark.parametrize("name", sorted({path.stem for path in ROOT.glob("notebooks/*.ipynb")} - INSPECTORS.keys()))
def test_it_runs_from_top_to_bottom(ran, name):
    """The notebooks without an inspector; the others are run by the tests of theirs."""
    page, _ = ran(name)
    cells = page.evaluate(CELLS)
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("error" in cell["kinds"] for cell in cells)
    wide = page.locator(".jp-Notebook .jp-OutputArea-output img").evaluate_all(
        "all => all.map(picture => picture.getBoundingClientRect().right)"
    )
    assert all(right <= 1280 for right in wide)


def test_pairs(ran, lab):
    page, pairs = ran("05_pair_mining")
    cards, status = pairs.locator(".mgips-mined:visible"), pairs.locator(".mgips-status")
    shown = pairs.locator(".mgips-post-view b").first
    expect(cards).not_to_have_count(0)
    inside(page, pairs)

    # K, by the keyboard
    k = cards.count()
    key(pairs.locator(".mgips-k"), "ArrowRight")
    expect(cards).to_have_count(k + 1)
    key(pairs.locator(".mgips-k"), "ArrowRight")
    expect(cards).to_have_count(k + 2)
    inside(page, pairs)

    # next and previous, by button and by key
    first = shown.inner_text()
    pairs.locator(".mgips-next").click()
    expect(shown).not_to_have_text(first)
    expect(status).to_contain_text("Post 2 of")
    second = shown.inner_text()
    key(pairs.locator(".mgips-position"), "ArrowRight")
    expect(status).to_contain_text("Post 3 of")
    expect(shown).not_to_have_text(second)
    key(pairs.locator(".mgips-position"), "ArrowLeft")
    expect(shown).to_have_text(second)
    pairs.locator(".mgips-prev").click()
    expect(shown).to_have_text(first)
    expect(pairs.locator(".mgips-prev")).to_be_disabled()

    # a mined image opens its post
    card = next(c for c in cards.all() if f"Image of post {first}" != c.locator("img").get_attribute("alt"))
    wanted = re.sub(r"Image of post |: .*", "", card.locator("img").get_attribute("alt"))
    card.locator(".mgips-open").click()
    expect(shown).to_have_text(wanted)
    expect(pairs.locator(".mgips-own img")).to_have_attribute("alt", re.compile(f"{re.escape(wanted)}|no image"))

    # filters
    total = int(re.search(r"of ([\d,]+)", status.inner_text())[1].replace(",", ""))
    pairs.locator(".mgips-filter-type select").select_option("LOC")
    expect(status).to_contain_text("that fit")
    fit = int(re.search(r"of ([\d,]+) that fit", status.inner_text())[1].replace(",", ""))
    assert 0 < fit < total
    expect(pairs.locator(".mgips-post-view")).to_contain_text("LOC")
    pairs.locator(".mgips-filter-image select").select_option("missing")
    expect(pairs.locator(".mgips-own img")).to_have_attribute("alt", re.compile("no image"))
    pairs.locator(".mgips-filter-image select").select_option("any")
    pairs.locator(".mgips-filter-right select").select_option("wrong")
    expect(pairs.locator(".mgips-post-view")).to_contain_text("prediction wrong")
    pairs.locator(".mgips-filter-right select").select_option("any")
    pairs.locator(".mgips-filter-type select").select_option("any")
    expect(status).not_to_contain_text("that fit")

    # search
    search = pairs.locator(".mgips-search input")
    search.fill(first)
    search.press("Enter")
    expect(shown).to_have_text(first)
    expect(status).to_contain_text("Post 1 of 1 that fit")
    search.fill("no such word anywhere")
    search.press("Enter")
    expect(status).to_contain_text("No post fits")
    search.fill("")
    search.press("Enter")
    expect(status).not_to_contain_text("No post fits")

    # export
    pairs.locator(".mgips-export").click()
    expect(status).to_contain_text("rows are in")
    (file,) = lab[1].glob("mgips-pairs-*.csv")
    assert len(file.read_text().splitlines()) == 1 + total * (k + 2)
    finish(pairs)


def test_attention(ran):
    page, attention = ran("02_mutual_attention")
    inside(page, attention)
    use(
        attention,
        ("layer", "ArrowLeft", ""),
        ("head", "head 2", "head 2"),
        ("word", "ArrowRight", ""),
        ("direction", "picture looks at the words", "class token gives"),
        ("word", "ArrowRight", "crop 1, row 1, col 1 gives"),
    )
    inside(page, attention)
    use(attention, ("post", "ArrowRight", ""))
    finish(attention)


def test_mge(ran):
    page, mge = ran("03_mge_row_column_weights")
    inside(page, mge)
    assert "pass X1" in use(mge)
    use(mge, ("pass", "ArrowRight", "pass T1"), ("post", "ArrowRight", ""))
    finish(mge)


def test_swap(ran):
    page, swap = ran("08_case_studies")
    inside(page, swap)
    first = use(swap)
    assert "with the picture “blank”" in first
    second = use(swap, ("image", "shuffled", "with the picture “shuffled”"))
    answers = first.partition("Gold")[2]
    assert second.partition("Gold")[2] != answers, "neither an answer nor a gate nor the attention has moved"
    inside(page, swap)
    alt = use(swap, ("image", "own", ""), ("post", "ArrowRight", ""))
    photo = (ROOT / "figures" / "architecture.png").read_bytes()
    for name, content in (("bad.png", b"no picture"), ("photo.png", photo)):
        with page.expect_file_chooser() as chooser:
            swap.locator(".mgips-upload").click()
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": content})
        if name == "bad.png":
            expect(swap.locator(".mgips-error").first).to_contain_text("bad.png is not a picture", timeout=LOOK)
    assert "with the picture “upload”" in changed(swap.locator(".mgips-view"), alt)
    finish(swap)


def test_tsne(ran):
    page, entities = ran("09_tsne_3d")
    near = entities.locator(".mgips-neighbours")
    inside(page, entities)
    assert "step MGI, perplexity 30" in use(entities)
    use(entities, ("perplexity", "ArrowRight", "perplexity 50"))
    expect(entities.locator(".mgips-status")).to_contain_text("seconds, and kept")
    posts = near.inner_text()
    use(entities, ("entity", "ArrowRight", ""))
    expect(near).not_to_have_text(posts)
    use(entities, ("turn", "ArrowLeft", "turned by 285°"), ("step", "embedding", "step embedding, perplexity 50"))
    inside(page, entities)
    finish(entities)
    turning = page.locator(".js-plotly-plot")
    turning.scroll_into_view_if_needed()
    expect(turning.get_by_text("▶ Turn")).to_be_visible()


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


def notebook_of(*sources: str) -> str:
    """A notebook with these code cells."""
    from nbformat import writes
    from nbformat.v4 import new_code_cell, new_notebook

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return writes(new_notebook(cells=[new_code_cell(s) for s in sources], metadata={"kernelspec": kernel}))


def test_stepping(ran, lab):
    """Step, epoch, run and pause by mouse and by keyboard; the kernel answers while it runs; the stop button, a closed
    page and a killed kernel lose nothing."""
    address, folder = lab
    (folder / "steps.ipynb").write_text(notebook_of(STEPS, "print('answer', 6 * 7, panel.running)"))
    (folder / "whole.ipynb").write_text(notebook_of(WHOLE))
    page, _ = ran("steps")
    panel = page.locator(".mgips-steps").first
    status, note = panel.locator(".mgips-status"), panel.locator(".mgips-note")
    inside(page, panel)
    times = {}

    def pressed(name: str, text: str, by_key: bool = False, where=status) -> None:
        button, started = panel.locator(f"button.mgips-{name}"), time.monotonic()
        expect(button).to_be_enabled(timeout=LOOK)
        if by_key:
            button.focus()
            button.press("Enter")
        else:
            button.click()
        expect(where).to_contain_text(text, timeout=LOOK)
        times.setdefault(name, []).append(time.monotonic() - started)

    for number in (1, 2, 3):
        pressed("step", f"Step {number} of 300", by_key=number == 2)
    expect(panel.locator(".mgips-posts")).to_contain_text("of this batch of 32")
    pressed("epoch", "Step 10 of 300")
    expect(status).to_contain_text("best dev F1")
    inside(page, panel)

    # what if, and the end of the posts' slider by keyboard
    panel.locator(".mgips-tau input").fill("0.1")
    panel.locator(".mgips-tau input").press("Tab")
    pressed("what", "temperature = 0.1", where=panel.locator(".mgips-tried"))
    key(panel.locator(".mgips-page"), "End")
    expect(panel.locator(".mgips-posts")).to_contain_text("Posts 31 to 32")

    # the kernel answers other cells while the run goes on
    pressed("run", "Step 1", by_key=True)
    expect(panel.locator("button.mgips-pause")).to_be_enabled()
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    command(page, "notebook:run-cell", LOOK)
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("answer 42 True", timeout=LOOK)
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
    print(
        f"\nstepping, median seconds from key to page: { {n: round(sorted(t)[len(t) // 2], 2) for n, t in times.items()} }"
    )

    finish(panel)
    if keep := os.environ.get("MGIPS_SCREENSHOTS"):
        page.screenshot(path=Path(keep) / "stepping_panel.png")

    # the kernel dies in the middle of a run; another goes on from the folder, to the same weights
    pressed("run", "Step")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.shutdown()")
    page.goto(f"{address}/lab/tree/whole.ipynb?reset", timeout=LOOK * 2)
    page.wait_for_function("window.jupyterapp && document.querySelector('.jp-NotebookPanel')", timeout=LOOK * 2)
    page.wait_for_function(KERNEL_READY, timeout=LOOK * 2)
    command(page, "notebook:run-all-cells", RUN_ALL)
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("SAME", timeout=RUN_ALL)
