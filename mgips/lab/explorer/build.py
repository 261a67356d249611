"""The explorer's page: a folder for a web server, one HTML file that opens from the disk, or a module for JupyterLab."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgips.data.corpus import Tweet
from mgips.data.spans import spans
from mgips.data.tinytweets.scenes import Scene
from mgips.data.tinytweets.truth import Truth
from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically
from mgips.lab.explorer.pack import MOST, check, pack, script
from mgips.lab.figures import style
from mgips.model.mgips import MGIPS
from mgips.tagger import Tagger
from mgips.tags import TYPES

HERE = Path(__file__).parent
POSTS = 32
"""Posts of a page, where they are in no days; as many as a day of TinyTweets."""
MOST_POSTS = 128
"""Posts of a page at most: mining takes about 20 ms each in a browser."""
UNSURE = 0.6
"""Below this probability a model is not sure."""
SIGNS = {"o": "●", "s": "■", "P": "✚", "D": "◆", "X": "✖"}
"""Matplotlib's markers as characters."""


@dataclass(frozen=True)
class Page:
    """A page's data, and the three forms that it comes in. The same models and posts give the same bytes."""

    data: dict[str, bytes]
    """The files of `pack`, and page.json: what the page shows first."""

    def files(self) -> dict[str, bytes]:
        """For a web server: index.html, page.css, page.js, and the data beside them."""
        start = 'import { start } from "./page.js";\nstart(document.getElementById("explorer"), "data/");'
        head = '<link rel="stylesheet" href="page.css">'
        whole = _filled(head=head, data="", script=start)
        own = {"index.html": whole, "page.css": page_style(), "page.js": page_script()}
        made = {name: text.encode() for name, text in own.items()}
        return made | {f"data/{name}": content for name, content in self.data.items()}

    def single(self) -> bytes:
        """Everything as one HTML file, which needs no server."""
        content = {name: base64.b64encode(x).decode() for name, x in self.data.items()}
        data = f'<script type="application/json" id="data">{json.dumps(content)}</script>'
        start = 'start(document.getElementById("explorer"), JSON.parse(document.getElementById("data").textContent));'
        return _filled(head=f"<style>{page_style()}</style>", data=data, script=page_script() + start).encode()

    def write(self, folder: str | Path) -> int:
        """Write the files for a web server; returns their bytes.

        Raises:
            DataError: the folder cannot be written.
        """
        made = self.files()
        for name, content in made.items():
            write_atomically(Path(folder) / name, content)
        return sum(map(len, made.values()))

    def write_single(self, file: str | Path) -> int:
        """Write the one HTML file; returns its bytes.

        Raises:
            DataError: it cannot be written.
        """
        made = self.single()
        write_atomically(file, made)
        return len(made)


def page_style() -> str:
    """The stylesheet."""
    return (HERE / "page.css").read_text(encoding="utf-8")


def page_script() -> str:
    """The page's module with the engine in it; it exports `start` and, for anywidget, `render`."""
    worker = json.dumps(script("worker"), ensure_ascii=False).replace("</", "<\\/")
    return (
        f"{script('page')}const WORKER = {worker};\n"
        "export const start = (root, data) => modules.page.start(root, WORKER, data);\n"
        "export default { render: ({ model, el }) => modules.page.widget(model, el, WORKER) };\n"
    )


def _filled(**parts: str) -> str:
    """page.html with what stands for {{each}} part."""
    text = (HERE / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def page(
    models: Mapping[str, MGIPS],
    posts: Sequence[Tweet],
    day: str | None = None,
    lessons: Mapping[str, Mapping[str, str]] | None = None,
) -> Page:
    """A page with one to three models and some posts.

    Args:
        models: by the names that the page shows; see `named`.
        posts: of them the page shows one day, or the first POSTS where they are in no days. Pictures that can be drawn are
            offered where these are TinyTweets'.
        day: which one (`Tweet.group`); otherwise the one with the clearest post that only a picture decides.
        lessons: by the id of a box of the page, the title and the address (href) of the lesson that explains it.

    Raises:
        ConfigError: no model or more than three, a model that the engine refuses, or a day that is not there.
        DataError: no posts, or more than a page holds.
    """
    for model in models.values():
        check(model.config)
    groups = list(dict.fromkeys(post.group for post in posts))
    if day is not None and day not in groups:
        raise ConfigError(f"There is no day {day!r} among these posts; take one of {', '.join(filter(None, groups))}.")
    wanted = [day] if day is not None else groups
    days = [[post for post in posts if post.group == group] for group in wanted]
    if wanted == [""]:
        days = [days[0][:POSTS]]
    if days and max(map(len, days)) > MOST_POSTS:
        raise DataError(
            f"A page holds at most {MOST_POSTS} posts, and a day has {max(map(len, days)):,}; give fewer posts."
        )
    shown, story = [], None
    for some in days:
        found = _showcase(models, some)
        if not shown or (found and (story is None or found["clarity"] > story["clarity"])):
            shown, story = some, found
    drawn = _dials(shown)
    config = next(iter(models.values()), None)
    looks = {kind: style.look(kind) for kind in (config.config.types if config else ())}
    about = {
        "day": len(shown),
        "showcase": story,
        "looks": {kind: [look.colour, SIGNS[look.marker]] for kind, look in looks.items()},
        "grey": style.GREY,
        "lessons": {box: dict(lesson) for box, lesson in (lessons or {}).items()},
    }
    data = pack(models, [*shown, *drawn]).files
    return Page(data | {"page.json": json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()})


def named(models: Sequence[MGIPS]) -> dict[str, MGIPS]:
    """Models by what they read: "text only", "full", "reading"; a second one of a kind has a number. In this order.

    Raises:
        ConfigError: no model, or more than three.
    """
    if not 1 <= len(models) <= MOST:
        raise ConfigError(f"There are {len(models)} models; a page compares 1 to {MOST}.")
    kinds = ("text only", "full", "reading")
    found: dict[str, MGIPS] = {}
    for model in sorted(models, key=_kind):
        name, taken = kinds[_kind(model)], sum(_kind(other) == _kind(model) for other in found.values())
        found[f"{name} {taken + 1}" if taken else name] = model
    return found


def _kind(model: MGIPS) -> int:
    return 0 if not model.config.images else 1 if model.config.read == "off" else 2


def _showcase(models: Mapping[str, MGIPS], posts: Sequence[Tweet]) -> dict[str, Any] | None:
    """The labelled entity whose type a picture decides most clearly, and a picture of another post that changes it.

    The text-only model must have it wrong or be UNSURE, the full model must have it right with the own
    picture and say another type with the other one. Clarity is the product of the full model's two probabilities, less
    .01 for each word of the post. None where there is no such entity, or no pair of models.
    """
    by = {_kind(model): model for model in reversed(list(models.values()))}
    if 0 not in by or 1 not in by:
        return None
    said = {kind: _found(by[kind], posts) for kind in (0, 1)}
    pictures = [j for j, post in enumerate(posts) if post.image is not None]
    asked: list[tuple[int, tuple[int, int], str]] = []
    for i in pictures:
        for place, gold in _labelled(posts[i]).items():
            blind, own = said[0][i].get(place), said[1][i].get(place)
            unsure = blind is None or blind[0] != gold or blind[1] < UNSURE
            if unsure and own is not None and own[0] == gold:
                asked.append((i, place, gold))
    # All at once: a picture is decoded for all texts that get it.
    swaps = list(dict.fromkeys((i, j) for i, _, _ in asked for j in pictures))
    swapped = [replace(posts[i], image=posts[j].image, crops=posts[j].crops) for i, j in swaps]
    found = dict(zip(swaps, _found(by[1], swapped), strict=True))
    best: dict[str, Any] | None = None
    for i, place, gold in asked:
        for j in pictures:
            other = found[i, j].get(place)
            if other is None or other[0] == gold:
                continue
            clarity = round(said[1][i][place][1] * other[1] - 0.01 * len(posts[i].words), 4)
            if best is None or clarity > best["clarity"]:
                best = {"post": i, "start": place[0], "end": place[1], "gold": gold, "other": j, "clarity": clarity}
    return best


def _found(model: MGIPS, posts: Sequence[Tweet]) -> list[dict[tuple[int, int], tuple[str, float]]]:
    """Type and probability of each entity of each post, by its words."""
    return [{e.words: (e.type, e.probability) for e in entities} for _, entities in Tagger(model).stream(list(posts))]


def _labelled(post: Tweet) -> dict[tuple[int, int], str]:
    """The types of the labelled entities, by their words."""
    return {(span.start, span.end): span.type for span in spans(post.tags, post.tags)} if post.tags else {}


def _dials(posts: Sequence[Tweet]) -> list[Tweet]:
    """TinyTweets' pictures drawn anew: each type before each wall of the day and before a plain one."""
    walls = {post.truth.signature: None for post in posts if isinstance(post.truth, Truth)}
    made = []
    for shows in TYPES if walls else ():
        for wall in sorted(walls, key=lambda wall: wall or ("", "")):
            scene = Scene(shows, wall, seed=7)
            truth = Truth("", "", None, related=False, shows=shows, wears=wall, ambiguous=())
            made.append(Tweet(f"drawn-{len(made)}", ("drawn",), image=scene, crops=scene.crops, truth=truth))
    return made
