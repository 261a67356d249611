"""The site: every lesson as a page, its links right, and nothing on it that a page would fetch from elsewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mgips.lab.lessons.contents import CONTENTS

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci/site/build.py"


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("site_build", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    out = tmp_path_factory.mktemp("site") / "html"
    done = subprocess.run([sys.executable, SCRIPT, "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


@pytest.mark.slow
def test_every_lesson_is_a_page_with_its_pictures_and_folded_solutions(site):
    for lesson in CONTENTS:
        page = (site / "lessons" / f"{lesson.name}.html").read_text(encoding="utf-8")
        assert lesson.title.replace("'", "’") in page or lesson.title in page
        assert page.count("<summary>Solution</summary>") >= 3 and "<details open" not in page
        assert "model not found" not in page and "widget-view" not in page
        for picture in re.findall(r"<img [^>]*>", page):
            assert re.search(r'alt="[^"]{10,}"', picture), picture[:200]
    page = (site / "lessons" / "04_interweave.html").read_text(encoding="utf-8")
    assert "<math" in page and "MathJax" not in page
    assert (site / "explorer" / "index.html").exists() and (site / "searchindex.js").exists()
    assert "excav" in (site / "searchindex.js").read_text(encoding="utf-8")
    assert "explorer/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_what_a_page_may_not_do_is_seen(build, tmp_path):
    page = tmp_path / "a.html"
    page.write_text(
        '<p id="here"></p><a href="#here">x</a><a href="https://example.org">y</a><img src="data:image/png;base64,x">'
    )
    assert build.faults(tmp_path) == []
    page.write_text('<script src="https://cdn.example.org/x.js"></script><a href="b.html">x</a><a href="#there">x</a>')
    assert [line.split(" ", 1)[1][:7] for line in build.faults(tmp_path)] == ["fetches", "links t", "links t"]
    (tmp_path / "a.html").write_text("")
    (tmp_path / "a.css").write_text("@import url(https://fonts.example.org/x);")
    assert len(build.faults(tmp_path)) == 1


def test_a_link_into_the_repository_becomes_a_page(build, tmp_path):
    text = (
        "[a](../mgips/config.py) [b](../figures/README.md#results) [c](00_tour.ipynb) [d](https://example.org) [e](#x)"
    )
    told = build.linked(text, "notebooks/00_tour.ipynb", tmp_path)
    assert "](../files/mgips-config.py.md)" in told and "](../figures/README.md#results)" in told
    assert "](00_tour.ipynb)" in told and "](https://example.org)" in told and "](#x)" in told
    assert "class ModelConfig" in (tmp_path / "files" / "mgips-config.py.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match="which is not there"):
        build.linked("[a](../nothing.py)", "notebooks/00_tour.ipynb", tmp_path)
