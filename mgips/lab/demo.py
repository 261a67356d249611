"""`make demo`: is a picture worth anything, and are other posts' pictures? Text-only and the full model, trained here on the
embedded corpus, and a model that comes with the package and reads the day's pictures, in one table."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mgips.config import preset
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Tweet
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import oracle
from mgips.errors import RunError
from mgips.evaluate import score
from mgips.lab.counterfactual import blank, shuffled
from mgips.lab.precision import MiningPrecision, mining_precision
from mgips.lab.weights import cards, f1, read
from mgips.model.shipped import load
from mgips.run import Run, best_device, one_thread
from mgips.training import train

READER = "tiny-reads"
"""The model of the package that reads the day's pictures."""


@dataclass(frozen=True)
class DayRead:
    """READER on the demo's test split."""

    posts: int
    """Posts that it was trained on, before it came into the package."""
    none: float
    """Test F1 with nothing to read but the post's own picture."""
    day: float
    """Test F1 with the pictures of the same day to read."""
    pictures: float
    """Pictures of the day that are read a post."""
    mining: MiningPrecision


@dataclass(frozen=True)
class Demo:
    """The demo's numbers: test F1 and mining precision, each in [0, 1]."""

    seed: int
    ceilings: dict[str, float]
    """What a reader who knows the generator can reach: text, own_image, mined."""
    text: float
    full: float
    blank: float
    """The full model, every picture removed at test time."""
    shuffled: float
    """The full model, every picture given to another post."""
    mining: MiningPrecision
    k: int
    seconds: float
    trained_on: int = 1200
    """Posts that text and full were trained on."""
    read: DayRead | None = None
    """None in results written by earlier versions."""

    def __str__(self) -> str:
        rows = (
            ("best possible from the text alone", self.ceilings["text"], "ceiling"),
            ("best possible with the post's own image", self.ceilings["own_image"], "ceiling"),
            ("best possible with the best image of the day", self.ceilings["mined"], "ceiling"),
            (),
            ("text only", self.text, ""),
            ("full model", self.full, f"{100 * (self.full - self.text):+.1f} with images"),
            ("full model, blank images at test", self.blank, f"{100 * (self.blank - self.text):+.1f}"),
            ("full model, shuffled images at test", self.shuffled, f"{100 * (self.shuffled - self.text):+.1f}"),
            (),
        )
        head = f"TinyTweets, seed {self.seed}: entity F1 on the test split (seqeval, default reading)\n"
        lines = [_line(row[0], 100 * row[1], row[2]) if row else "" for row in rows]
        return "\n".join([head, *lines, *self._mining(), *self._reading()])

    def _mining(self) -> list[str]:
        """Lines for what was measured of mining; results written by earlier versions lack some of it."""
        mining = self.mining
        lines = []
        for name, unit, share, chance, best in (
            (f"mining precision@{self.k}", 100, mining.precision, mining.chance, mining.attainable),
            ("  without the text's own image", 100, mining.others, mining.others_chance, mining.others_attainable),
            ("  the best other image alone", 100, mining.at_one, mining.at_one_chance, mining.at_one_attainable),
            ("  places that the ten most mined images fill", 100, mining.top_ten, mining.top_ten_chance, None),
            ("  skewness of how often each is mined", 1, mining.skewness, mining.skewness_chance, None),
        ):
            if share is not None:
                notes = (("chance", chance), ("attainable", best))
                note = ", ".join(f"{label} {unit * number:.1f}" for label, number in notes if number is not None)
                lines.append(_line(name, unit * share, note))
        return lines

    def _reading(self) -> list[str]:
        """Lines for the model that reads."""
        if self.read is None:
            return []
        read, mining = self.read, self.read.mining
        at_one, chance, best = (100 * (x or 0) for x in (mining.at_one, mining.at_one_chance, mining.at_one_attainable))
        return [
            "",
            f"Reading other posts' images too: {READER} comes with the package, trained beforehand on {read.posts:,} posts;",
            f"the two models above were trained here, on {self.trained_on:,}. The test split is the same.",
            "",
            _line(f"{READER}, own image only", 100 * read.none),
            _line(
                f"{READER}, the day's images to read", 100 * read.day, f"{100 * (read.day - read.none):+.1f} by reading"
            ),
            _line("  images read a post", read.pictures),
            _line("  precision@1 among other posts' images", at_one, f"chance {chance:.1f}, attainable {best:.1f}"),
        ]


def _line(name: str, number: float, note: str = "") -> str:
    return f"  {name:<46}{number:6.1f}   {note}".rstrip()


def day_read(tweets: Sequence[Tweet], batch_size: int = 32) -> DayRead:
    """Score READER on posts of TinyTweets, with their days' pictures and without."""
    model = load(READER).to(best_device())
    readings = read(model, tweets)
    mining = mining_precision(model, TweetDataset(tweets, model.batcher, progress=False), batch_size)
    day, posts = readings["day"], cards()[READER]["posts"]["train"]
    return DayRead(posts, f1(readings["none"]), f1(day), day.pictures, mining)


@one_thread()
def demo(seed: int = 0, folder: str | Path = "runs/demo", progress: bool = True) -> Demo:
    """Train both models, score the one that reads, print the table; leave two run folders and demo.json in `folder`."""
    started = time.perf_counter()
    folder = Path(folder)
    corpus = tinytweets(seed)
    runs: dict[str, Run] = {}
    for variant in ("text", "full"):
        place = folder / variant
        if place.exists():
            if not (place / "run.json").exists():
                raise RunError(f"{place} exists and is not a run folder; choose another: mgips demo FOLDER.")
            shutil.rmtree(place)
        model, config = preset("tiny", variant, seed=seed)
        print(f"Training the {variant} model on TinyTweets …", flush=True)
        runs[variant] = train(corpus, model, config, place, progress=progress)

    full, gold = runs["full"].model, [tweet.tags for tweet in corpus.test]
    reads = day_read(corpus.test, config.batch_size)
    result = Demo(
        seed=seed,
        ceilings={name: oracle(corpus.test)[name] for name in ("text", "own_image", "mined")},
        text=runs["text"].test.f1,
        full=runs["full"].test.f1,
        blank=score(gold, full.predict(blank(corpus.test))).f1,
        shuffled=score(gold, full.predict(shuffled(corpus.test, seed))).f1,
        mining=mining_precision(full, runs["full"].data["test"], config.batch_size),
        k=full.config.k,
        seconds=round(time.perf_counter() - started, 1),
        trained_on=len(corpus.train),
        read=reads,
    )
    (folder / "demo.json").write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    print(f"\n{result}\n")
    print(f"{result.seconds:.0f} seconds. The runs are in {folder}/text and {folder}/full.")
    print("Next: mgips predict, evaluate and train (--help each), or `make lab` for the notebooks.")
    return result
