"""Build the site: all lessons, the results and the explorer as pages that need no server: `python .ci/site/build.py`.

The lessons are taken as they are committed. Files of the repository that a page links to become pages, too; a link that
leads nowhere, or anything that a page would fetch from elsewhere, is an error.
"""

from __future__ import annotations

import argparse
import html
import json
import posixpath
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from mgips.lab.lessons.contents import CONTENTS, PARTS, explained

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GUIDES = ("YOUR_POSTS", "PROCESSES", "SCALE", "CONTRIBUTING", "CHANGELOG")
LINK = re.compile(r"(?<=\]\()(?!https?://|site:|#|mailto:)(?P<place>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
FETCHED = re.compile(r"<(?:script|img|link|iframe|source|audio|video)\b[^>]*?\b(?:src|href)=\"(?:https?:)?//[^\"]*\"|@import\s+url\((?:https?:)?//|url\(['\"]?(?:https?:)?//")  # fmt: skip
INDEX = """\
# mgips

Which words of a post name a person, a place, an organisation or something else, and what does its photo add? A course
on MGIPS-CL, a model that reads both, with its complete code.

![A post's words and three crops of its photo go through two towers, excavators, gates and a CRF.](figures/architecture.png)

**[See it run](site:explorer/index.html)**: the trained model in your browser. Change a word or take another picture, and watch
its answer change. Nothing to install.

To run the lessons yourself: clone the repository, `make lab`.

{parts}

```{{toctree}}
:hidden:
:caption: Look up

lessons/glossary
figures/README
{guides}
```
"""


def assemble(source: Path) -> None:
    """Everything that becomes a page, as one folder; the repository's paths stay as they are, so links stay right."""
    shutil.rmtree(source, ignore_errors=True)
    for folder in ("lessons", "figures", "guides", "extra"):
        (source / folder).mkdir(parents=True)
    for picture in (ROOT / "figures").glob("*.png"):
        shutil.copy(picture, source / "figures")
    explorer = source / "extra" / "explorer"
    shutil.copytree(ROOT / "figures" / "explorer", explorer)
    about = json.loads((explorer / "data" / "page.json").read_text(encoding="utf-8"))
    about["lessons"] = explained("../lessons", ".html")
    (explorer / "data" / "page.json").write_text(json.dumps(about), encoding="utf-8")
    for lesson in CONTENTS:
        book = json.loads((ROOT / "notebooks" / f"{lesson.name}.ipynb").read_text(encoding="utf-8"))
        for cell in book["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = linked("".join(cell["source"]), f"notebooks/{lesson.name}.ipynb", source)
            for output in cell.get("outputs", []):
                said = output.get("data", {})
                if "text/markdown" in said:  # there Sphinx does not look for the pages that links lead to
                    text = linked("".join(said["text/markdown"]), f"notebooks/{lesson.name}.ipynb", source)
                    said["text/markdown"] = re.sub(r"(\]\([^)#\s:]+)\.(?:ipynb|md)(?=[)#])", r"\1.html", text).replace(
                        "](site:", "]("
                    )
        (source / "lessons" / f"{lesson.name}.ipynb").write_text(json.dumps(book, ensure_ascii=False), encoding="utf-8")
    for page in ("notebooks/glossary.md", "figures/README.md", *(f".github/{name}.md" for name in GUIDES)):
        text = linked((ROOT / page).read_text(encoding="utf-8"), page, source)
        (source / placed(page)).write_text(text, encoding="utf-8")
    guides = "\n".join(f"guides/{name}" for name in GUIDES)
    (source / "index.md").write_text(INDEX.format(parts="\n".join(map(part, PARTS)), guides=guides), encoding="utf-8")


def part(name: str) -> str:
    """A part of the course: a table of its lessons, and what the sidebar lists."""
    lessons = [lesson for lesson in CONTENTS if lesson.part == name]
    rows = "\n".join(f"| [{each.name[:2]} · {each.title}](lessons/{each.name}.ipynb) | {each.question} |" for each in lessons)  # fmt: skip
    listed = "\n".join(f"lessons/{each.name}" for each in lessons)
    return f"## {name}\n\n| lesson | question |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n:caption: {name}\n\n{listed}\n```\n"


def placed(path: str) -> str:
    """Where a page of the repository stands in the site's source."""
    return path.replace("notebooks/", "lessons/").replace(".github/", "guides/")


def linked(text: str, page: str, source: Path) -> str:
    """A page's text with its links to files of the repository leading to pages of the site."""

    def lead(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link["place"]))
        file = ROOT / target
        if not file.exists():
            raise SystemExit(f"{page} links to {link['place']}, which is not there.")
        if target.startswith("figures/explorer"):
            goes = "explorer/index.html"
        elif file.suffix in (".ipynb", ".png") or (source / placed(target)).exists() or target in PAGES:
            goes = placed(target)
        elif target == "README.md":
            goes = "index.md"
        else:
            goes = shown(file, target, source)
        way = posixpath.relpath(goes, posixpath.dirname(placed(page)))
        return ("site:" if goes.startswith("explorer") else "") + way + (link["anchor"] or "")

    return LINK.sub(lead, text)


PAGES = {"notebooks/glossary.md", "figures/README.md", *(f".github/{name}.md" for name in GUIDES)}


def shown(file: Path, target: str, source: Path) -> str:
    """A file of the repository, or a list of a folder's files, as a page of its own; its place."""
    page = f"files/{target.replace('/', '-')}.md"
    place = source / page
    place.parent.mkdir(exist_ok=True)
    if file.is_dir():
        body = "\n".join(f"- `{each.name}`" for each in sorted(file.iterdir()) if not each.name.startswith(("_", ".")))
    else:
        body = f"```{ {'.py': 'python', '.json': 'json', '.yml': 'yaml', '.toml': 'toml'}.get(file.suffix, 'text') }\n{file.read_text(encoding='utf-8')}\n```"
    place.write_text(f"---\norphan: true\n---\n\n# {target}\n\n{body}\n", encoding="utf-8")
    return page


def faults(folder: Path) -> list[str]:
    """Links of a built site that lead nowhere, and what its pages would fetch from elsewhere; one line each."""
    found = []
    for page in sorted(folder.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        where = page.relative_to(folder)
        found += [f"{where} fetches {what.group()[:120]}" for what in FETCHED.finditer(text)]
        for target in re.findall(r"<(?:a|img|link|script)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"", text):
            place, _, anchor = html.unescape(target).partition("#")
            if re.match(r"[a-z]+:|//", place):
                continue
            there = (page.parent / place.split("?")[0]).resolve() if place else page
            if there.is_dir():
                there /= "index.html"
            if not there.exists():
                found.append(f"{where} links to {target}, which is not there")
            elif (
                anchor
                and "=" not in anchor
                and there.suffix == ".html"
                and f'id="{anchor}"' not in there.read_text(encoding="utf-8")
            ):
                found.append(f"{where} links to {target}, and that place is not there")
    for sheet in folder.rglob("*.css"):
        found += [f"{sheet.relative_to(folder)} fetches {what.group()[:120]}" for what in FETCHED.finditer(sheet.read_text(encoding="utf-8"))]  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "site", help="where the pages go")
    out = parser.parse_args().out
    source = out.with_name(f"{out.name}-source")
    assemble(source)
    shutil.rmtree(out, ignore_errors=True)
    extra = f"html_extra_path={source / 'extra'}"
    options = ["-q", "-W", "--keep-going", "-b", "html", "-D", extra, "-c", str(HERE)]
    failed = build_main([*options, str(source), str(out)])
    wrong = faults(out) if not failed else []
    print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
    if not failed and not wrong:
        print(f"Open {out / 'index.html'} in a browser, or serve the folder.")
    return failed or bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
