"""`make weights`: train the models that come with the package anew, round them to float16, score what was rounded.

python -m mgips.lab.weights [NAME ...]      all by default; tiny-reads takes most of the time

Each gets its folder in mgips/weights, with a card.json of what it is; README.md there is written from the cards.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from mgips.config import ModelConfig, TrainConfig, preset
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Tweet
from mgips.data.load import load_corpus
from mgips.data.tinytweets.truth import oracle
from mgips.errors import ConfigError, MGIPSError
from mgips.evaluate import split_score
from mgips.files import write_atomically
from mgips.lab.grids import SLOWER
from mgips.lab.pools import PoolReading, read_pool
from mgips.lab.precision import mining_precision
from mgips.lab.stats import counts_f1
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.model.shipped import FOLDER
from mgips.run import json_bytes, one_thread
from mgips.training import train


@dataclass(frozen=True)
class Recipe:
    """How a model is made: preset tiny, seed 0."""

    variant: str
    """A name of `mgips.config.VARIANTS`."""
    corpus: str = "tinytweets"
    """What `load_corpus` takes."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of ModelConfig or TrainConfig."""

    def settings(self) -> tuple[ModelConfig, TrainConfig]:
        """Both configurations. On the CPU, so that the same weights come out on a machine with a GPU."""
        return preset("tiny", self.variant, cpu=True, **self.changes)


RECIPES = {
    "tiny-text": Recipe("text"),
    "tiny-full": Recipe("full"),
    "tiny-reads": Recipe("reads", "tinytweets:train=4800", SLOWER),
}
POOLS = {
    "split": "all pictures of the test split",
    "day": "the day's pictures",
    "none": "none (the post's own picture only)",
}
"""What `read` reads, as the page calls it."""
LIMIT = 2_000_000
"""Bytes that all models together may take."""


def read(model: MGIPS, tweets: Sequence[Tweet]) -> dict[str, PoolReading]:
    """A model that reads, on some posts of TinyTweets with each of POOLS, built from these posts."""
    data = TweetDataset(tweets, model.batcher, progress=False)
    here = model.pool(data)
    nothing = here.take(torch.zeros(len(here), dtype=torch.bool))
    pools = {"split": replace(here, days=None), "day": replace(here, days=0), "none": nothing}
    return {name: read_pool(model, data, pools[name], {t.id: t for t in tweets}) for name in POOLS}


def f1(reading: PoolReading) -> float:
    """Entity F1 in [0, 1] of what was predicted with a pool."""
    return float(counts_f1(np.array(reading.counts)))


def measure(model: MGIPS, corpus: str, batch_size: int) -> dict[str, Any]:
    """A model's numbers for its card, all on the test split but for "dev": of TinyTweets by its specification."""
    splits = load_corpus(corpus).splits
    data = {name: TweetDataset(splits[name], model.batcher, progress=False) for name in ("dev", "test")}
    measured: dict[str, Any] = {name: split_score(model, split).to_dict() for name, split in data.items()}
    if model.config.relates:
        measured["mining"] = asdict(mining_precision(model, data["test"], batch_size))
    if model.reader is not None:
        readings = {name: {"f1": f1(one), **asdict(one)} for name, one in read(model, splits["test"]).items()}
        measured["reading"] = {
            name: {key: value for key, value in one.items() if key != "counts"} for name, one in readings.items()
        }
    return measured


@one_thread()
def ship(name: str, run: Path, folder: Path = FOLDER) -> dict[str, Any]:
    """Round a finished run's model to float16 and put it into `folder`/NAME, with its card; returns the card."""
    recipe, place = RECIPES[name], folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    MGIPS.from_pretrained(run).save_description(place)
    tokenizer = place / "tokenizer.json"  # a third of it is indentation
    words = json.loads(tokenizer.read_text(encoding="utf-8"))
    tokenizer.write_text(json.dumps(words, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    weights = {key: value.half() if value.is_floating_point() else value
               for key, value in load_file(run / "model.safetensors").items()}  # fmt: skip
    write_atomically(place / "model.safetensors", save(weights, metadata={"format": "pt"}))

    record, results = (json.loads((run / f"{part}.json").read_text(encoding="utf-8")) for part in ("run", "results"))
    corpus, model = load_corpus(recipe.corpus), MGIPS.from_pretrained(place)
    ceilings = oracle(corpus.test)
    card = {
        "name": name,
        "preset": "tiny",
        "variant": recipe.variant,
        "seed": record["train"]["seed"],
        **record,
        "posts": {split: len(tweets) for split, tweets in corpus.splits.items()},
        "epoch": results["epoch"],
        "seconds": results["seconds"],
        "weights": weights_hash(model),
        "before_rounding": {split: results[split]["f1"] for split in ("dev", "test")},
        "scores": measure(model, recipe.corpus, record["train"]["batch_size"]),
        "ceilings": {reader: ceilings[reader] for reader in ("text", "own_image", "mined")},
    }
    (place / "card.json").write_bytes(json_bytes(card))
    return card


def cards(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The cards of the models in a folder, by name, in the order of RECIPES."""
    files = {name: folder / name / "card.json" for name in RECIPES}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}


def page(folder: Path = FOLDER) -> str:
    """README.md of a folder of models, written from their cards."""

    def row(*cells: str) -> str:
        return f"| {' | '.join(cells)} |"

    def percent(share: float | None) -> str:
        return "-" if share is None else f"{100 * share:.1f}"

    models, lines = cards(folder), []
    for name, card in models.items():
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        dev, test = (card["scores"][split]["f1"] for split in ("dev", "test"))
        lines.append(
            row(
                f"`{name}`",
                card["variant"],
                f"`{card['corpus']['name']}`, {card['posts']['train']:,}",
                f"{card['epoch']} of {card['train']['epochs']}",
                f"{card['seconds']:.0f}",
                f"{card['parameters']:,}",
                f"{size / 1000:.0f}",
                percent(dev),
                percent(test),
                percent(card["before_rounding"]["test"]),
            )
        )
    first, last = next(iter(models.values())), models[[*models][-1]]
    best = {reader: percent(share) for reader, share in first["ceilings"].items()}
    mining = [
        row(f"`{name}`", *(f"{percent(m[share])} ({percent(m[f'{share}_chance'])}, {percent(m[f'{share}_attainable'])})"
                           for share in ("others", "at_one")),
            f"{percent(m['top_ten'])} ({percent(m['top_ten_chance'])})",
            f"{m['skewness']:.1f} ({m['skewness_chance']:.1f})")
        for name, m in ((name, card["scores"].get("mining")) for name, card in models.items())
        if m
    ]  # fmt: skip
    reading = [
        row(POOLS[pool], percent(r["f1"]), f"{r['pictures']:.1f}", percent(r["mass"]), percent(r["at_one"]))
        for card in models.values()
        for pool, r in card["scores"].get("reading", {}).items()
    ]
    versions = ", ".join(f"{package} {version}" for package, version in last["versions"].items())
    return PAGE.format(
        models="\n".join(lines), mining="\n".join(mining), reading="\n".join(reading), versions=versions,
        names=", ".join(f"`{name}`" for name in models), k=last["model"]["k"], **best,
    )  # fmt: skip


PAGE = """# Trained models that come with the package

{names}: small models of the package's own corpus, to look into without training one
first. They load by name, without a connection, in float32:

```python
import mgips

model = mgips.load("tiny-full")
posts = mgips.load_corpus("tinytweets").test
print(model.predict(posts[:1]))

reader = mgips.load("tiny-reads")  # reads other posts' pictures too: those of `pool`
print(reader.predict(posts[:1], pool=posts))
```

In the shell a name stands where a run folder does: `mgips evaluate tiny-full`.

## What they are

Preset `tiny` (two towers of two layers, 64 wide, from random weights), seed 0, the epoch with the best dev F1; then
every weight rounded to float16. All numbers are those of the rounded weights, but for the last column. F1 is entity F1 in
percent (seqeval, default reading).

| name | variant | trained on, posts | epoch | seconds | parameters | kB | dev F1 | test F1 | test F1 before rounding |
|---|---|---|---|---|---|---|---|---|---|
{models}

`tiny-text` sees no pictures. `tiny-full` is the paper's model. `tiny-reads` goes beyond the paper: it looks up other
posts' pictures in a pool and reads those that fit (`mgips.model.reading`); its scores above are with the split's own
pictures as pool. The test split is the same 300 posts for all three. On it the best possible F1 is {text} from the text
alone, {own_image} with the post's own picture, and {mined} with the best picture of the same day.

### What `tiny-reads` reads, on the test split

| pool | F1 | pictures read a post | weight on relevant pictures, % | precision@1 among others, % |
|---|---|---|---|---|
{reading}

A picture counts as read from a weight of 0.01 on. The last two columns are over posts with a relevant picture in reach.

### What is mined, in batches of 32 of the test split

In brackets what chance gives, and, where there is a second number, what is attainable.

| model | precision@{k} among others, % | precision@1 among others, % | the ten most mined pictures' share of places, % | skewness of how often each is mined |
|---|---|---|---|---|
{mining}

## What for, and what not

They were trained on invented posts with drawn pictures, which the package makes by itself; no real post or photo was used.
They are meant for the lessons, the demo and the inspectors. On real posts they are of no use: they know the words,
phrases and pictures of TinyTweets and nothing else. One seed each: a difference between two of them says little about their
kinds; for that see the results page, with several seeds and intervals. `tiny-reads` had four times as many posts as the
other two. A pool serves only the weights that built it.

## How they are made

`make weights` trains them anew, one thread, on the CPU, and writes this page from the `card.json` files, which hold all
settings, the corpus' hash, versions and scores. The same versions on the same machine give the same weights; other machines
round differently. The seconds are those of a busy machine. Versions:
{versions}.

Licence: MIT, as the package.
"""


def main(names: Sequence[str]) -> None:
    """Train, ship and describe the named models, one after the other.

    Raises:
        ConfigError: a name that has no recipe.
    """
    for name in names:
        if name not in RECIPES:
            raise ConfigError(f"There is no recipe for {name!r}; there are {', '.join(RECIPES)}.")
    for name in names or RECIPES:
        with tempfile.TemporaryDirectory() as folder, one_thread():
            print(f"Training {name} …", flush=True)
            train(load_corpus(RECIPES[name].corpus), *RECIPES[name].settings(), Path(folder) / name)
            scores = ship(name, Path(folder) / name)["scores"]
        print(f"{name}: dev F1 {100 * scores['dev']['f1']:.1f}, test F1 {100 * scores['test']['f1']:.1f}")
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MGIPSError as error:
        sys.exit(f"mgips: {error}")
