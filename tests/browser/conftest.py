"""JupyterLab and Chromium for the tests of this folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
from pages import KERNEL_READY, LOOK, ROOT, RUN_ALL, TIMES, command, notebook_of

from mgips.lab.doctor import browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for test in items:
        if Path(__file__).parent in test.path.parents:
            test.add_marker(pytest.mark.browser)
            if browser() is None:
                test.add_marker(pytest.mark.skip(reason="no Chromium: apt install chromium, or set BROWSER_PATH"))


@pytest.fixture(autouse=True)
def _times(request):
    """Puts what `timed` has measured into the test's report, which a worker process sends on."""
    yield
    request.node.user_properties += [("timed", (name, seconds)) for name, all_ in TIMES.items() for seconds in all_]
    TIMES.clear()


def pytest_terminal_summary(terminalreporter) -> None:
    """The medians of what `timed` has measured."""
    found = defaultdict(list)
    for report in terminalreporter.getreports(""):
        if report.when == "teardown":
            for kind, told in report.user_properties:
                if kind == "timed":
                    found[told[0]].append(told[1])
    for name, seconds in sorted(found.items()):
        middle = sorted(seconds)[len(seconds) // 2]
        terminalreporter.write_line(f"{name}: median of {len(seconds)}: {1000 * middle:,.0f} ms from action to page")


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab on copies of the notebooks, with settings of its own; its address and its folder."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    if (ROOT / "runs" / "lessons").is_dir():  # models that the notebooks would train first
        shutil.copytree(ROOT / "runs" / "lessons", home / "runs" / "lessons")
    for measured in ("figures/data", "tests/benchmarks"):  # the committed runs and times that some of them read
        shutil.copytree(ROOT / measured, home / measured)
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


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'"
    )
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(chromium, request):
    """An empty page, 1,440 pixels wide; with MGIPS_SCREENSHOTS a folder, a picture of its end stays there."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(LOOK)
    yield opened
    if keep := os.environ.get("MGIPS_SCREENSHOTS"):
        Path(keep).mkdir(parents=True, exist_ok=True)
        opened.screenshot(path=Path(keep) / f"{request.node.name}.png")
    context.close()


@pytest.fixture
def opened(lab, page):
    """Opens a notebook: one that is there by its name, or one of these cells; `run` runs all of its cells."""
    address, folder = lab

    def go(name: str, *cells: str, run: bool = True):
        if cells:
            (folder / f"{name}.ipynb").write_text(notebook_of(*cells))
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset", timeout=LOOK * 2)
        page.wait_for_function("window.jupyterapp && document.querySelector('.jp-NotebookPanel')", timeout=LOOK * 2)
        idle = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]")
        idle.wait_for(timeout=LOOK * 2)
        page.wait_for_function(KERNEL_READY, timeout=LOOK * 2)
        command(page, "application:toggle-left-area", LOOK)
        if run:
            command(page, "notebook:run-all-cells", RUN_ALL)
            idle.wait_for(timeout=LOOK)
        return page

    yield go
    page.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")  # kernels eat memory
