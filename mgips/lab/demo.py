"""`make demo`: is a picture worth anything? Text-only and the full model on the embedded corpus, in one table."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mgips.config import preset
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import oracle
from mgips.errors import RunError
from mgips.evaluate import score
from mgips.lab.counterfactual import blank, shuffled
from mgips.lab.precision import MiningPrecision, mining_precision
from mgips.run import Run, one_thread
from mgips.training import train


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
        lines = [f"  {row[0]:<46}{100 * row[1]:6.1f}   {row[2]}".rstrip() if row else "" for row in rows]
        return "\n".join([head, *lines, *self._mining()])

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
                lines.append(f"  {name:<46}{unit * share:6.1f}   {note}".rstrip())
        return lines


@one_thread()
def demo(seed: int = 0, folder: str | Path = "runs/demo", progress: bool = True) -> Demo:
    """Train both models, print the table, and leave two run folders and demo.json in `folder`."""
    started = time.perf_counter()
    folder = Path(folder)
    corpus = tinytweets(seed)
    runs: dict[str, Run] = {}
    for variant in ("text", "full"):
        place = folder / variant
        if place.exists():
            if not (place / "run.json").exists():
                raise RunError(f"{place} exists and is no run folder; choose another place with --run.")
            shutil.rmtree(place)
        model, config = preset("tiny", variant, seed=seed)
        print(f"Training the {variant} model on TinyTweets …", flush=True)
        runs[variant] = train(corpus, model, config, place, progress=progress)

    full, gold = runs["full"].model, [tweet.tags for tweet in corpus.test]
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
    )
    (folder / "demo.json").write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    print(f"\n{result}\n")
    print(f"{result.seconds:.0f} seconds. The runs are in {folder}/text and {folder}/full.")
    print("Next: mgips predict, evaluate and train (--help each), or `make lab` for the notebooks.")
    return result
