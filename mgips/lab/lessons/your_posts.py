"""Lesson 16: your posts, your labels, your GPU. A small folder of posts as a reader would have them, and what it costs."""

from __future__ import annotations

import csv
import json
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

from mgips.config import PRESETS
from mgips.data.corpus import Corpus, Tweet
from mgips.data.crops import CROPS
from mgips.data.load import load_corpus
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.data.splitting import together
from mgips.errors import MGIPSError
from mgips.lab import doctor
from mgips.lab.figures import show
from mgips.lab.figures.shared import MARK, dot
from mgips.lab.figures.style import CYCLE, GREY, IMAGE, TEXT
from mgips.lab.figures.text import fitted
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import KEPT
from mgips.lab.lessons.places import BENCHMARKS, COMMITTED
from mgips.lab.results import load_results
from mgips.lab.stats import Difference, Estimate, f1_interval, paired_bootstrap, tweet_counts
from mgips.model.mgips import MGIPS

OWN = KEPT / "your-posts"
"""Where the lesson's posts go; what an earlier run has left there is replaced."""
POSTS = 420
SIDES = 160, 120
"""Width and height of a photo."""

NAMES = ("Luna", "Mint", "Cedar", "Nova", "Coral", "Ember", "Juniper", "Atlas", "Willow", "Saffron", "Orbit", "Maple")
"""Each is a café in some posts and a band in others; the text does not say which."""
TOWNS = ("Porto", "Riga", "Ghent", "Turku", "Malmo", "Split", "Bergen", "Leeds", "Graz", "Nantes")
SENTENCES = (
    "Finally {name} in {town} !",
    "{name} made my day , see you in {town}",
    "so good to see {name} again # {town}",
    "Back from {town} and still thinking of {name}",
    "{name} tonight with Kim and the others , {town} is great",
    "who else loves {name} ? best thing in {town}",
    "we waited an hour for {name} and it was worth it",
    "first time {name} , not the last",
    "rainy {town} but there is {name}",
    "my sister took me to {name} yesterday",
    "{town} with friends , no plans",
    "a long weekend in {town}",
)


@dataclass(frozen=True)
class Photo:
    """A drawn photo, and where its subject is."""

    picture: Image.Image
    box: tuple[int, int, int, int]
    """Left, upper, right, lower edge in pixels."""


def photo(kind: str, rng: random.Random) -> Photo:
    """A cup on a table for CAFE, a guitar on a stage for BAND, a skyline for anything else."""
    warm, dark = (rng.randint(190, 245), rng.randint(160, 210), rng.randint(110, 160)), (rng.randint(15, 50), rng.randint(10, 40), rng.randint(50, 110))  # fmt: skip
    width, height = SIDES
    picture = Image.new("RGB", SIDES, {"CAFE": warm, "BAND": dark}.get(kind, (150, 195, 230)))
    draw = ImageDraw.Draw(picture)
    x, y = rng.randint(15, width - 85), rng.randint(20, height - 85)
    box = (x, y, x + 70, y + 65)
    if kind == "CAFE":
        draw.rectangle((0, y + 55, width, height), fill=(120, 80, 50))
        draw.rounded_rectangle((x + 8, y + 18, x + 48, y + 56), 8, fill="white", outline="#555555", width=2)
        draw.arc((x + 40, y + 24, x + 64, y + 46), -90, 90, fill="white", width=5)
        draw.ellipse((x + 12, y + 14, x + 44, y + 24), fill="#5A3A1E")
    elif kind == "BAND":
        for _ in range(3):
            left = rng.randint(0, width)
            draw.polygon([(left, 0), (left - 18, height), (left + 18, height)], fill=(rng.randint(90, 160), 40, rng.randint(90, 170)))  # fmt: skip
        draw.ellipse((x + 4, y + 34, x + 34, y + 62), fill="#C8641E")
        draw.ellipse((x + 20, y + 24, x + 42, y + 48), fill="#C8641E")
        draw.line((x + 30, y + 38, x + 66, y + 4), fill="#F0D9B5", width=6)
    else:
        for tower in range(5):
            left, top = 14 * tower + x, y + rng.randint(5, 40)
            draw.rectangle((left, top, left + 11, y + 65), fill=(90, 100, 115))
    noise = np.random.RandomState(rng.randrange(2**31)).normal(0, 9, (height, width, 3))
    return Photo(Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)), box)


def write(folder: Path = OWN, posts: int = POSTS, seed: int = 0) -> Path:
    """Write posts as a reader has them: a spreadsheet `posts.csv` with own types, photos, and boxes drawn by hand.

    An ambiguous name is a café or a band, which the photo shows; one post in eight has a photo of something else, and
    one in ten has none.

    Returns:
        The folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "photos").mkdir(parents=True)
    rng, rows, boxes = random.Random(seed), [], []
    for number in range(1, posts + 1):
        name, town, kind = rng.choice(NAMES), rng.choice(TOWNS), rng.choice(("CAFE", "BAND"))
        sentence = rng.choice(SENTENCES)
        text = sentence.format(name=name, town=town)
        shows = kind if "{name}" in sentence else "TOWN"
        shows = rng.choice(("CAFE", "BAND", "TOWN")) if rng.random() < 1 / 8 else shows
        file = f"photos/{number}.jpg" if rng.random() > 0.1 else ""
        if file:
            made = photo(shows, rng)
            made.picture.save(folder / file, quality=85)
            boxes.append({"id": f"p{number}", "picture": f"{number}.jpg", "boxes": [{"box": made.box}]})
        rows.append({
            "id": f"p{number}", "text": text, "image": file, "CAFE": name * (kind == "CAFE" and name in text),
            "BAND": name * (kind == "BAND" and name in text), "TOWN": town * (town in text),
        })  # fmt: skip
    with open(folder / "posts.csv", "w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "boxes-by-hand.jsonl").write_text("".join(json.dumps(line) + "\n" for line in boxes), "utf-8")
    return folder


def crops_by_hand(own: Path = OWN) -> None:
    """Put the boxes that were drawn by hand beside the split posts, where they are read as crops."""
    shutil.copy(own / "boxes-by-hand.jsonl", own / "corpus" / "boxes.jsonl")


def shell(line: str) -> int:
    """Run one line of the shell, `mgips …`, with this Python; returns its exit status, and prints what the shell prints.

    Raises:
        MGIPSError: another command.
    """
    name, *arguments = shlex.split(line)
    if name != "mgips":
        raise MGIPSError(f"This runs mgips only, and not {name!r}.")
    print(f"$ {line}", flush=True)
    done = subprocess.run([sys.executable, "-m", "mgips", *arguments], capture_output=True, text=True, encoding="utf-8")
    print(done.stdout + done.stderr * bool(done.returncode), end="")  # otherwise that is progress
    return done.returncode


# ---- a broken file ----

BROKEN = """\
id,text,image,BAND,CAFE
1,Luna tonight, finally,1.jpg,Luna,
2,Back at Mint with Kim,2.jpg,,mint
3,Cedar and Cedar again,3.jpg,Cedar; Cedar; Cedar,
"""
"""A spreadsheet with three mistakes that users make."""
REPAIRED = """\
id,text,image,BAND,CAFE
1,"Luna tonight, finally",1.jpg,Luna,
2,Back at Mint with Kim,2.jpg,,Mint
3,Cedar and Cedar again,3.jpg,Cedar; Cedar,
"""


def told(table: str) -> Any:
    """What reading a table (the text of a CSV file) says: its entities, a line a post, or the sentence of the first error.

    A blank `...` stays one.
    """
    if not isinstance(table, str):
        return ...
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "posts.csv"
        path.write_text(table, encoding="utf-8")
        try:
            corpus = load_corpus(path)
        except MGIPSError as error:
            return str(error).replace(str(path), "posts.csv")
    return [f"{post.id}: " + ", ".join(f"{span.text} {span.type}" for span in spans(post.words, post.tags)) for post in corpus.train]  # fmt: skip


# ---- pictures ----


def gallery(posts: Sequence[Tweet]) -> None:
    """Show the first eight posts: photo, words, labels."""
    figure, axes = plt.subplots(2, 4, figsize=(10.4, 4.6), layout="constrained")
    for ax, post in zip(np.ravel(axes), posts, strict=False):
        ax.set(xticks=[], yticks=[])
        if post.image is None:
            ax.text(0.5, 0.5, "no photo", transform=ax.transAxes, ha="center", va="center", color=GREY)
            ax.set_aspect(SIDES[1] / SIDES[0])
        else:
            ax.imshow(open_picture(post.image))
        labels = ", ".join(f"{span.text} {span.type}" for span in spans(post.words, post.tags)) or "no entity"
        ax.set_xlabel(f"{fitted(' '.join(post.words), 2.45, 8.5)}\n{fitted(labels, 2.45, 8.5)}", fontsize=8.5)
    types = sorted({span.type for post in posts for span in spans(post.words, post.tags)})
    title = f"{len(posts)} posts with labels of their own: {', '.join(types)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title)


def crops_picture(corpus: Corpus) -> None:
    """Show photos with what the model gets of each: its crops, the whole photo in the missing places."""
    posts = [post for post in corpus.train if post.image is not None][:3]
    if not posts:
        print("These posts have no photos, so there is nothing to crop.")
        return
    figure, axes = plt.subplots(len(posts), 1 + CROPS, figsize=(8.4, 1.7 * len(posts) + 0.5), layout="constrained")
    for row, post in zip(np.atleast_2d(axes), posts, strict=True):
        seen = [*post.crops, *[post.image] * (CROPS - len(post.crops))]
        for place, (ax, part) in enumerate(zip(row, (post.image, *seen), strict=True)):
            assert part is not None
            picture = open_picture(part)
            ax.imshow(picture if place == 0 else picture.resize((128, 128)))
            ax.set(xticks=[], yticks=[])
            by = "photo" if place == 0 else "crop, by a box" if place <= len(post.crops) else "whole photo"
            ax.set_title(by, fontsize=9, loc="center", color=IMAGE if by.startswith("crop") else GREY)
    boxed = sum(len(post.crops) for post in posts)
    title = f"Each photo reaches the model as {CROPS} squares; {boxed} of these {CROPS * len(posts)} come from boxes"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title)


def scores(models: Mapping[str, MGIPS], posts: Sequence[Tweet]) -> tuple[dict[str, Estimate], Difference]:
    """Test F1 of each model with its interval over posts, and the last model's minus the first's, paired."""
    gold = [post.tags for post in posts]
    counts = {name: tweet_counts(gold, model.predict(posts)) for name, model in models.items()}
    first, *_, last = counts.values()
    return {name: f1_interval([each]) for name, each in counts.items()}, paired_bootstrap([first], [last])


def scores_picture(estimates: Mapping[str, Estimate], difference: Difference) -> None:
    """Show F1 with its interval, one row a model."""
    figure, ax = plt.subplots(figsize=(8.8, 1.1 + 0.4 * len(estimates)), layout="constrained")
    for place, (name, estimate) in enumerate(estimates.items()):
        dot(ax, estimate, place, MARK[difference.verdict][0] if place else "o", TEXT if name == "text" else IMAGE, markersize=7)  # fmt: skip
        ax.annotate(str(estimate), (1, place), (8, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    ax.set(yticks=range(len(estimates)), yticklabels=list(estimates), ylim=(len(estimates) - 0.5, -0.5), xlabel="test F1 (95 % interval over posts, one training each)")  # fmt: skip
    title = f"Pictures add {difference} points to F1: {difference.verdict.replace('helps', 'they help')}"
    ax.set_title(title)
    show(figure, title)


# ---- what it costs ----


def costs() -> list[dict[str, Any]]:
    """For each preset its parameters and what was measured of it; None where nothing was."""
    sizes = {each["preset"]: each for each in _json("real_sizes.json", [])}
    gpu = _json("gpu_step.json", {})
    rows = []
    for name in PRESETS:
        measured = sizes.get(name, {})
        whole = measured.get("whole", {})
        batch = measured.get("changes", {}).get("batch_size", 8) if measured else None
        on_gpu = 32 / gpu["batch 32"]["samples_per_second"] if name == "base" and gpu else None
        rows.append({
            "preset": name, "parameters": doctor.parameters(name), "batch": batch,
            "cpu": whole.get("cpu_seconds_per_step"), "cpu_memory": whole.get("peak_memory_gib"),
            "gpu": on_gpu, "gpu_memory": gpu["batch 32"]["peak_memory_gib"] if on_gpu else None,
            "gpu_name": gpu.get("device") if on_gpu else None,
        })  # fmt: skip
    return rows


def _json(name: str, otherwise: Any) -> Any:
    path = BENCHMARKS / name
    return json.loads(path.read_text("utf-8")) if path.exists() else otherwise


def costs_table() -> str:
    """`costs` as a Markdown table, with "not yet run" where nothing was measured."""

    def cell(value: float | None, unit: str, digits: int = 1) -> str:
        return "not yet run" if value is None else f"{value:.{digits}f} {unit}"

    whole = ("tiny", "minilm")  # `measured_runs` has whole trainings of these

    lines = [
        "| preset | parameters | CPU: a step (batch) | CPU: memory | GPU: a step of 32 | GPU: memory |",
        "|---|---|---|---|---|---|",
    ]
    for row in costs():
        count = "from your corpus" if row["parameters"] is None else f"{row['parameters'] / 1e6:.1f} M"
        step = (
            cell(row["cpu"], f"s ({row['batch']})")
            if row["cpu"]
            else "whole runs below"
            if row["preset"] in whole
            else "not yet run"
        )
        gpu = cell(1000 * row["gpu"], f"ms, {row['gpu_name']}", 0) if row["gpu"] else "not yet run"
        lines.append(f"| `{row['preset']}` | {count} | {step} | {cell(row['cpu_memory'], 'GiB')} | {gpu} | {cell(row['gpu_memory'], 'GiB')} |")  # fmt: skip
    return "\n".join(lines)


def measured_runs() -> dict[str, float]:
    """Minutes of whole committed runs on one CPU core, and what they were: median over seeds."""
    text = load_results("table2-text", "twitter2017", COMMITTED)["bert-crf"]
    captions = load_results("captions", "twitter2017", COMMITTED)["own"]
    tiny = load_results("table3", folder=COMMITTED)
    rows = {
        "tiny, text: TinyTweets, 8 epochs": tiny["text"],
        "tiny, full: TinyTweets, 8 epochs": tiny["full"],
        "minilm, text: Twitter-2017, 4 epochs": text,
        "minilm, two text towers: Twitter-2017, 4 epochs": captions,
    }
    return {name: float(np.median([run.record["seconds"] for run in runs])) / 60 for name, runs in rows.items()}


def hours(preset_name: str, posts: int, epochs: int, batch: int = 32) -> dict[str, float]:
    """Hours of training by device, from the measured steps, in proportion to the posts; only what was measured."""
    row = next(row for row in costs() if row["preset"] == preset_name)
    found = {}
    if row["cpu"]:
        found["one CPU core"] = posts * epochs / row["batch"] * row["cpu"] / 3600
    if row["gpu"]:
        found[row["gpu_name"]] = posts * epochs / batch * row["gpu"] / 3600
    return found


def cost_picture(posts: int = 3000, epochs: int = 10) -> None:
    """Show how long training takes, on a logarithmic axis: measured runs, and estimates from measured steps."""
    bars = {f"{name} (measured)": (value, TEXT) for name, value in measured_runs().items()}
    for preset_name in ("base", "bertweet"):
        for device, value in hours(preset_name, posts, epochs).items():
            bars[f"{preset_name}, {device}: {posts:,} posts, {epochs} epochs (estimate)"] = (60 * value, CYCLE[4])
    figure, ax = plt.subplots(figsize=(9.6, 1.0 + 0.36 * len(bars)), layout="constrained")
    for place, (value, colour) in enumerate(bars.values()):
        ax.plot(value, place, "D" if colour == CYCLE[4] else "o", color=colour, markersize=8)
        said = f"{60 * value:.0f} s" if value < 1 else f"{value:.1f} min" if value < 90 else f"{value / 60:.1f} h"
        ax.annotate(said, (value, place), (9, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set(yticks=range(len(bars)), yticklabels=list(bars), xscale="log", xlabel="minutes of training")
    ax.set_xticks((0.1, 1, 10, 100, 1000), labels=("0.1", "1", "10", "100", "1,000"))
    ax.grid(axis="x", color="#E5E5E5")
    ax.set(xlim=(0.1, 3000), ylim=(len(bars) - 0.5, -0.5))
    both = hours("base", posts, epochs)
    ratio = max(both.values()) / min(both.values()) if len(both) > 1 else 1
    title = "What training takes"
    if ratio > 1:
        title = f"{min(both, key=lambda device: both[device])} trains base about {round(ratio, -1):,.0f} times as fast as one CPU core"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title)


# ---- exercises ----

TOY_HEAP = (
    ("a", "Luna tonight", "1.jpg"),
    ("b", "luna TONIGHT !", "2.jpg"),
    ("c", "Back at Mint", "2.jpg"),
    ("d", "Cedar again", "3.jpg"),
    ("e", "Nova in Porto", ""),
    ("f", "Nova in Riga", ""),
)
"""Posts to be split: id, text, photo."""


def _heaps(posts: Sequence[tuple[str, str, str]]) -> int:
    return len(together([Tweet.from_text(text, file.encode() or None, id) for id, text, file in posts]))


def _steps(posts: int, batch: int, epochs: int, seconds: float) -> float:
    return epochs * posts / batch * seconds / 60


EXERCISES: dict[str, Exercise] = {
    "repaired": Exercise(
        right=lambda: told(REPAIRED),
        mistakes={
            "Line 2 still has a cell too many: a comma within a cell needs double quotes around the cell.": (
                lambda: told(BROKEN)
            ),
            "Line 3 is still wrong: what is marked must stand in the text letter by letter, capitals too.": (
                lambda: told(REPAIRED.replace(",,Mint", ",,mint"))
            ),
            "Line 4 is still wrong: a name is listed as often as it stands in the text, and no oftener.": (
                lambda: told(REPAIRED.replace("Cedar; Cedar,", "Cedar; Cedar; Cedar,"))
            ),
            "It can be read now, but in post 3 one mention is not marked any more: the model would learn that it is none.": (
                lambda: told(REPAIRED.replace("Cedar; Cedar,", "Cedar,"))
            ),
        },
        praise="Three posts, four entities, and nothing was lost on the way.",
    ),
    "heaps": Exercise(
        right=_heaps,
        mistakes={
            "These posts are not all strangers: some share a text (capitals and marks aside) or a photo.": len,
            "a and b have one text, b and c one photo: so all three belong together, also a and c.": (
                lambda posts: _heaps(posts) + 1
            ),
            "Two posts that share only a name may be parted: the model has to know names from training.": (
                lambda posts: _heaps(posts) - 1
            ),
        },
        cases=[(TOY_HEAP,)],
        praise="a, b and c in one heap, and three heaps of one post each. No heap is cut by a split.",
    ),
    "minutes": Exercise(
        right=_steps,
        mistakes={
            "One epoch only: every epoch takes all batches again.": lambda p, b, e, s: p / b * s / 60,
            "A step takes a whole batch, not one post.": lambda p, b, e, s: e * p * s / 60,
            "These are seconds, and minutes are asked for.": lambda p, b, e, s: e * p / b * s,
        },
        cases=[(3200, 32, 10, 0.093)],
        praise="A thousand steps of a tenth of a second. Scoring dev after each epoch comes on top.",
        within=0.01,
    ),
}
