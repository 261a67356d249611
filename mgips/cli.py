"""`python -m mgips train | evaluate | probe | predict | inspect | explorer | export | pool | mine | sweep | audit | split | crops | doctor | demo`.

The options of `train` are the fields of ModelConfig and TrainConfig; a preset and a variant set their
defaults. A user's mistake is printed as one sentence, with exit status 2.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import dataclasses
import io
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, Union, get_type_hints

import tyro

from mgips.config import (
    PRESETS,
    RANDOM,
    VARIANTS,
    Count,
    CountOrZero,
    Length,
    ModelConfig,
    Seed,
    TrainConfig,
    check,
    preset,
)
from mgips.errors import ConfigError, DataError, MGIPSError
from mgips.lab.grids import GRIDS

if TYPE_CHECKING:
    from mgips import MGIPS, Corpus, Tweet

LAB = ("matplotlib", "scipy", "sklearn", "pandas", "plotly", "ipywidgets", "jinja2", "nbformat")
"""Packages that only `mgips[lab]` brings."""
PLACES = ("corpus", "detector", "text_encoder", "image_encoder")
"""Arguments that name a folder or something else."""
CorpusName = Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER")]
OtherCorpus = Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")]
Encoder = Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")]
Root = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
Days = Annotated[int | None, tyro.conf.arg(metavar="[0, inf)")]
Whose = Literal["split", "train", "split+train", "none"]
MODEL = "a run folder, a saved model's folder, tiny-text, tiny-full or tiny-reads, or a model's name on the hub"
CorpusPath = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CORPUS")]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help=f"{MODEL[0].upper()}{MODEL[1:]}.")]


@dataclass
class Train:
    """Train on a corpus, choose the epoch on dev, score test once."""

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """The run folder; otherwise runs/CORPUS-PRESET-VARIANT-sSEED."""
    corpus: CorpusName = "tinytweets"
    """tinytweets (as in tinytweets:train=4800,seed=1), twitter2015, twitter2017, a folder of posts, or hub:OWNER/NAME."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(PRESETS))] = "tiny"
    """Sets the defaults of everything below. Without it: tiny for tinytweets, base for the rest."""
    variant: Annotated[str, tyro.conf.arg(metavar="|".join(VARIANTS))] = "full"
    """full; a part left out; a text row of Table 2; or, beyond the paper, reads: one that reads other posts' pictures."""
    resume: bool = False
    """Go on with the run in that folder."""
    model: tyro.conf.OmitArgPrefixes[ModelConfig] = dataclasses.field(default_factory=ModelConfig)
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = dataclasses.field(default_factory=TrainConfig)

    def __call__(self) -> int:
        from mgips.data.load import load_corpus
        from mgips.training import Trainer

        corpus = load_corpus(self.corpus, self.root)
        name = f"{corpus.name}-{self.preset}-{self.variant}-s{self.train.seed}"
        trainer = Trainer(corpus, self.model, self.train, self.run or Path("runs") / name, self.resume)
        first = trainer.accelerator.is_main_process
        if first:
            print(*corpus.notes, sep="\n", end="\n" * bool(corpus.notes), flush=True)
        run = trainer.run()
        trainer.accelerator.end_training()
        if not first:
            return 0
        problems = sorted({p for split in run.data.values() if split.crops for p in split.crops.problems})
        for problem in problems:
            print(problem)
        print(
            f"\nEpoch {run.epoch} of {len(run.history)} has the best dev F1, {100 * run.dev.f1:.2f}. Test:\n{run.test}"
        )
        print(f"\nRun folder: {run.folder}")
        print(f"Next: {shlex.join(['mgips', 'predict', str(run.folder)])} FILE.jsonl, or --text … --image …")
        return 0


@dataclass(kw_only=True)
class Posts:
    """A split of a corpus."""

    corpus: OtherCorpus = None
    """Otherwise the one that the model was trained on."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    split: Literal["train", "dev", "test"] = "test"
    """Which split."""


@dataclass(kw_only=True)
class Evaluate(Posts):
    """Score a trained model on one split."""

    run: RunPath
    scheme: Literal["default", "strict"] = "default"
    """seqeval's default reading of tags, or strict IOB2."""
    pool: Whose = "split"
    """For a model that reads: whose pictures. The split's own, the training split's, both, or none."""
    days: Days = None
    """For a model that reads: only pictures at most so many days before or after a post."""
    json: bool = False
    """Print JSON instead of a table."""

    def __call__(self) -> int:
        from mgips.evaluate import score
        from mgips.model.mgips import READS_NOTHING
        from mgips.run import recorded_corpus

        model, corpus = load(self.run, self.corpus, self.root)
        tweets = corpus.labelled(self.split)
        tell_of(self.run, corpus)
        if model.reader is None and (self.pool, self.days) != ("split", None):
            raise ConfigError(READS_NOTHING)
        both = tweets if self.split == "train" else (*tweets, *corpus.train)
        posts = {"split": tweets, "train": corpus.train, "split+train": both, "none": ()}[self.pool]
        pool = model.pool(posts, self.days, progress=True) if model.reader is not None else None
        predicted = model.predict(tweets, progress=True, pool=pool)
        scores = score([t.tags for t in tweets], predicted, self.scheme)
        trained_on = (recorded_corpus(self.run) or {}).get("sha256")
        of = {"corpus": corpus.name, "sha256": corpus.fingerprint(), "trained_on": trained_on, "split": self.split}
        if self.json:
            print(json.dumps({**of, **scores.to_dict()}, indent=2))
        else:
            print(f"{scores}\n({corpus.name}, {self.split} split; SHA-256 of the posts {of['sha256'][:12]})")
        return 0


@dataclass(kw_only=True)
class Probe(Posts):
    """Show a trained model blank, noisy and swapped pictures, and measure what that changes.

    Prints a table, and leaves probe.json and a figure, probe.png and probe.svg, in the run folder.
    """

    run: RunPath
    seed: Seed = 0
    """Seeds the noise, the swaps and the bootstrap."""
    json: bool = False
    """Print JSON instead of a table."""
    out: Root = None
    """Where probe.json and the figure go instead."""

    def __call__(self) -> int:
        from mgips.lab.figures.probe import save
        from mgips.lab.probe import probe

        model, corpus = load(self.run, self.corpus, self.root)
        folder = self.out or self.run
        with contextlib.suppress(OSError):
            if self.out is not None:
                folder.mkdir(parents=True, exist_ok=True)
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise ConfigError(f"{folder} is not a folder that can be written to; name one with --out.")
        tell_of(self.run, corpus)
        result = probe(model, corpus, self.split, self.seed)
        save(result.to_dict(), folder)
        print(json.dumps(result.to_dict(), indent=2) if self.json else result)
        if not self.json:
            print(f"\nprobe.json, probe.png and probe.svg are in {folder}.")
        return 0


@dataclass(kw_only=True)
class Predict(Posts):
    """Find the entities in a file of posts, in a text with a photo, or in a split of a corpus.

    Prints, or writes, a line of JSON a post: its spans with their characters, their words and how probable they are.
    """

    run: RunPath
    posts: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE]")] = None
    """Posts in JSON Lines (text or words, image), a table (.csv) or CoNLL; tags that they may have are left alone."""
    corpus: OtherCorpus = None
    """A split of this corpus instead of a file."""
    text: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """One post's text instead of a file."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Its photo."""
    detector: Annotated[str | None, tyro.conf.arg(metavar="NAME|FOLDER")] = None
    """Finds the crops of photos that have none, as `mgips crops` does; otherwise the whole photo stands in."""
    recipe: Literal["umgf", "hvpnet"] = "umgf"
    """What the detector looks for, see `mgips crops`."""
    stream: bool = False
    """Read the posts of FILE or --corpus one by one, for more than fit in memory: JSON Lines, Parquet, or by `datasets`."""
    pool: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """For a model that reads: what `mgips pool` wrote; otherwise RUN/pool.safetensors, or the posts' own pictures."""
    time: Annotated[float | None, tyro.conf.arg(metavar="DAYS")] = None
    """When the text was posted, as its pool counts the days; otherwise time counts for nothing."""
    batch_size: Count = 32
    """Posts at a time."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the answers here, batch by batch; in the corpora's own format where the name ends as theirs do (.txt)."""

    def __call__(self) -> int:
        from mgips.data.conll import conll, write_conll
        from mgips.data.corpus import Tweet
        from mgips.data.load import load_corpus
        from mgips.data.pictures import open_picture
        from mgips.data.streaming import stream_posts
        from mgips.data.twitter import ENDINGS
        from mgips.model.detector import load_detector
        from mgips.model.reading import Pool
        from mgips.tagger import Tagger

        if sum(given is not None for given in (self.posts, self.text, self.corpus)) != 1:
            raise ConfigError("Give one of: a FILE of posts, --text (with --image), or --corpus.")
        if self.text is None and (self.image is not None or self.time is not None):
            raise ConfigError("--image and --time belong to --text; in a file each post has its own.")
        if self.out is not None and self.posts is not None and self.out.resolve() == self.posts.resolve():
            raise ConfigError(f"{self.out} would be overwritten by its answers; name another file with --out.")
        in_conll = self.out is not None and self.out.suffix in ENDINGS
        if self.stream and (self.text is not None or in_conll):
            raise ConfigError("--stream reads a FILE or --corpus and writes JSON Lines: name a .jsonl with --out.")
        if self.image is not None:
            open_picture(self.image)  # a photo that was asked for and cannot be read is an error here
        model = load_model(self.run)
        if self.image is not None and model.image_embedding is None:
            raise ConfigError(f"{self.run} reads no pictures (variant text); leave --image out, or take another model.")
        tweets: Iterable[Tweet]
        if self.stream:
            tweets = stream_posts(self.posts or self.corpus, self.split)
        elif self.text is not None:
            tweet = Tweet.from_text(self.text, self.image)
            tweets = [tweet if self.time is None else dataclasses.replace(tweet, time=self.time)]
        elif self.posts is not None:
            if not self.posts.is_file():
                raise DataError(f"{self.posts} is not a file here; name one with posts.")
            heap = load_corpus(self.posts)
            tweets = heap.train
            print(*heap.notes, sep="\n", end="\n" * bool(heap.notes), file=sys.stderr)
        else:
            tweets = load_corpus(str(self.corpus), self.root).splits[self.split]
        if not self.stream:
            tweets = [dataclasses.replace(tweet, tags=()) for tweet in tweets]
        if in_conll:  # what the format cannot hold is said before anything is computed
            conll(dataclasses.replace(tweet, tags=("O",) * len(tweet.words)) for tweet in tweets)
        pool: Any = None
        if self.pool is not None:
            pool = Pool.load(self.pool)
        elif model.reader is not None:
            saved = self.run / "pool.safetensors"
            own = self.corpus is not None and not self.stream
            pool = tweets if own else Pool.load(saved) if saved.exists() else None
        detector = None if self.detector is None else load_detector(self.detector)
        tagger = Tagger(model, pool, self.batch_size, detector, self.recipe)
        if self.out is not None and in_conll:
            predicted = model.predict([*tweets], self.batch_size, progress=True, pool=tagger.pool)
            count = len(predicted)
            write_conll(
                [dataclasses.replace(t, tags=tuple(p)) for t, p in zip(tweets, predicted, strict=True)], self.out
            )
        else:
            count = 0
            with contextlib.ExitStack() as stack:
                file = None if self.out is None else stack.enter_context(writable(self.out))
                for tweet, entities in tagger.stream(tweets, progress=file is not None):
                    count += 1
                    given = {"text": tweet.text} if tweet.text else {"words": tweet.words}
                    row = {"id": tweet.id, **given, "spans": [dataclasses.asdict(entity) for entity in entities]}
                    print(json.dumps(row, ensure_ascii=False), file=file)
        for problem in tagger.problems:
            print(problem, file=sys.stderr)
        if self.out is not None:
            print(f"{count:,} posts written to {self.out}")
            print(f"Next: {shlex.join(['mgips', 'inspect', str(self.run)])}")
        return 0


def writable(path: Path) -> TextIO:
    """A text file to write, with its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); give another place.") from error


@dataclass(kw_only=True)
class Inspect:
    """Open the inspectors on a trained model in JupyterLab: mined pairs, attention, weights, swapped pictures, t-SNE."""

    run: RunPath
    corpus: OtherCorpus = None
    """Whose posts are shown; otherwise those that the model was trained and tested on."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    mined: Root = None
    """What `mgips mine` has left of the test split: only the pictures that are looked at are read, and none are mined anew."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the notebook goes; otherwise inspect.ipynb in the run folder. One that you have edited stays as it is."""
    open: bool = True
    """--no-open leaves the notebook and does not start JupyterLab."""

    def __call__(self) -> int:
        import subprocess

        from mgips.data.load import data_root
        from mgips.lab.inspection import write_inspection

        out = self.out or (self.run if self.run.is_dir() else Path()) / "inspect.ipynb"
        if out.suffix != ".ipynb":
            raise ConfigError(f"{out} is not a notebook's name; it must end in .ipynb, as {out.name}.ipynb does.")
        model, _, place = load_with_place(self.run, self.corpus, self.root)
        root = data_root(self.root).resolve()  # a notebook runs in its own folder
        run = self.run.resolve() if self.run.exists() else self.run
        mined = None if self.mined is None else self.mined.resolve()
        asked_for = write_inspection(out, run, model, place, root, mined)
        print(f"The notebook: {out}")
        if not asked_for:
            print("It was edited and stays as it is. For a new one, remove it, or name another file with --out.")
        if not self.open:
            print(f"Next: {shlex.join(['jupyter', 'lab', str(out)])}")
            return 0
        return subprocess.call([sys.executable, "-m", "jupyterlab", str(out)])


@dataclass(kw_only=True)
class Explorer(Posts):
    """Build a page on which a reader changes a post and watches the model answer, with nothing installed.

    It holds the models and one day of posts; everything is computed in the browser. Prints where it is and how large.
    """

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[RUN …]", help=f"One to three to compare, each {MODEL}."),
    ] = (Path("tiny-text"), Path("tiny-full"), Path("tiny-reads"))
    day: Annotated[str | None, tyro.conf.arg(metavar="GROUP")] = None
    """Which day's posts (`group`); otherwise the day with the clearest post that only a picture decides."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("explorer")
    """Where the files for a web server go."""
    single: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write one HTML file instead, which opens from the disk without a server."""
    lessons: Annotated[str | None, tyro.conf.arg(metavar="PLACE")] = None
    """Where the course's notebooks are, as seen from the page; its boxes then link to them."""

    def __call__(self) -> int:
        from mgips.lab.explorer.build import named, page
        from mgips.lab.lessons.contents import explained

        if self.single is not None and self.single.suffix != ".html":
            raise ConfigError(
                f"{self.single} is not a page's name; it must end in .html, as {self.single.name}.html does."
            )
        if not self.runs:
            raise ConfigError("Name a RUN, or leave the models of the package.")
        _, corpus = load(self.runs[0], self.corpus, self.root)
        posts = corpus.splits[self.split]
        if not posts:
            raise ConfigError(f"The {self.split} split of {corpus.name} has no posts; name another with --split.")
        for run in self.runs:
            tell_of(run, corpus)
        made = page(named([load_model(run) for run in self.runs]), posts, self.day, explained(self.lessons))
        if self.single is not None:
            size, place = made.write_single(self.single), self.single
        else:
            size, place = made.write(self.out), self.out
        print(f"The page, {size / 1e6:.1f} MB: {place}")
        if self.single is None:
            print(f"Next: {shlex.join(['python', '-m', 'http.server', '--directory', str(self.out)])}")
        return 0


@dataclass(kw_only=True)
class Export:
    """Write a model's forward pass as an ONNX graph, for runtimes without torch; needs `mgips[onnx]`.

    Not for a model that reads a pool or captions, or has a BiLSTM.
    """

    run: RunPath
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("model.onnx")
    """Where it goes. Its inputs and output: `mgips.model.export`."""

    def __call__(self) -> int:
        import mgips
        from mgips.model.export import export_onnx

        export_onnx(mgips.load(self.run), self.out)
        print(f"The graph of the emissions is in {self.out}; decoding them is left to you (`mgips.model.export`).")
        return 0


@dataclass(kw_only=True)
class PoolOf(Posts):
    """Save the pictures of a split as a pool, for a model that reads: `mgips predict RUN --pool FILE`."""

    run: RunPath
    days: Days = None
    """Only pictures at most so many days before or after a post are read."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("pool.safetensors")
    """Where it goes."""

    def __call__(self) -> int:
        model, corpus = load(self.run, self.corpus, self.root)
        pool = model.pool(corpus.splits[self.split], self.days, progress=True)
        pool.save(self.out)
        print(f"{len(pool):,} pictures of {corpus.name}, {self.split} split, are in {self.out}.")
        return 0


@dataclass(kw_only=True)
class Mine(Posts):
    """Mine the implicit positives of a split into a folder of Parquet files; needs `mgips[scale]`.

    What was mined before the command was stopped is kept, and mining goes on there.
    """

    run: RunPath
    k: Count = 20
    """Pictures per text."""
    memory: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "1GB"
    """How much to take for scores, as 500MB or 2GB; the result does not depend on it."""
    index: Literal["exact", "flat", "ivf", "ivfpq"] = "exact"
    """exact, or an index of FAISS (`mgips[faiss]`), whose recall is measured and printed."""
    stream: bool = False
    """Read the posts one by one, for a corpus larger than memory: JSON Lines, Parquet, or by `datasets` (--corpus)."""
    num_workers: CountOrZero = 0
    """Processes that decode the pictures; without --stream."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("mined")
    """Where it goes; `mgips.mining.MinedFolder` reads it, and so does pandas."""

    def __call__(self) -> int:
        from mgips.data.batch import TweetDataset
        from mgips.data.streaming import stream_posts
        from mgips.mining import by_time, contrast_vectors, encode_into, fingerprint, mine_into, save_mined
        from mgips.mining.approximate import mine_approximately
        from mgips.mining.split import settings_of

        if self.stream:
            if self.corpus is None:
                raise ConfigError("--stream reads a corpus that is named: add --corpus FILE, FOLDER or hub:OWNER/NAME.")
            model, posts = load_model(self.run), stream_posts(self.corpus, self.split)
        else:
            model, corpus = load(self.run, self.corpus, self.root)
            tell_of(self.run, corpus)
            posts = corpus.splits[self.split]
        timed = model.reader is not None and model.reader.time is not None
        if self.index != "exact" and (model.config.csls or timed):
            raise ConfigError("An index ranks by cosines alone, and this model does not; mine it with --index exact.")
        if isinstance(posts, Sequence):
            data = TweetDataset(posts, model.batcher, workers=self.num_workers)
            has_image, times, vectors = data.has_image, data, contrast_vectors(model, data)
            told = fingerprint(model, data, settings_of(model, has_image)[1])
        else:
            data = encode_into(self.out / "vectors", model, posts, progress=True)
            has_image, times, vectors = data.has_image, data.times, (data.texts, data.images)
            told = "{weights} {settings}".format(**data.about)
        candidates, csls = settings_of(model, has_image)
        bias = by_time(model, times)
        if self.index == "exact":
            mine_into(self.out, *vectors, self.k, candidates, self.memory, csls, bias, progress=True, about=told)
        else:
            found = mine_approximately(*vectors, self.k, self.index, candidates, self.memory, progress=True)
            about = {"fingerprint": told, "index": found.index, "recall": found.recall}
            save_mined(self.out, found.mined, len(vectors[1]), **about)
            print(f"Recall at {self.k}: {100 * found.recall:.1f} %, measured on {found.sampled} texts.")
        print(f"{self.k} pictures for each of {len(data):,} texts are in {self.out}.")
        return 0


@dataclass
class Audit:
    """Count a corpus, compare it with the paper's Table 1, and look for leaks between its splits.

    Exit status 1 if an image of the test split is also in train.
    """

    corpus: CorpusPath = "tinytweets"
    """tinytweets, twitter2015, twitter2017, or a folder or file of posts."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    text_encoder: Encoder = None
    """Hub name or folder: its tokenizer counts the posts that are cut. Otherwise the vocabulary of a random start does."""
    max_length: Length = 40
    """Word pieces with [CLS] and [SEP], as in training."""
    json: bool = False
    """Print JSON instead of tables."""

    def __call__(self) -> int:
        from mgips.data.load import load_corpus
        from mgips.lab.audit import audit
        from mgips.model.pretrained import load_tokenizer

        corpus = load_corpus(self.corpus, self.root)
        tokenizer = load_tokenizer(ModelConfig(text_encoder=self.text_encoder or RANDOM), corpus.train)
        report = audit(corpus, tokenizer, self.max_length)
        print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if self.json else report.to_text())
        return 1 if report.leaks else 0


@dataclass
class Split:
    """Make train, dev and test from posts in one heap, so that nothing in dev or test was seen in training.

    Posts of one id, group, picture or text stay together; so do those of one day, where every post has a time.
    """

    corpus: CorpusPath
    """A file or folder of posts, or any other corpus."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Where train.jsonl, dev.jsonl and test.jsonl go."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Of train, dev and test."""
    mix_days: bool = False
    """Do not keep the posts of a day together."""
    seed: Seed = 0
    """Seeds what goes where."""

    def __call__(self) -> int:
        from mgips.data.jsonlines import write_jsonl
        from mgips.data.load import PICTURES_MISSING, load_corpus
        from mgips.data.splitting import split_corpus

        files = {split: self.out / f"{split}.jsonl" for split in ("train", "dev", "test")}
        there = next((file for file in files.values() if file.exists()), None)
        if there is not None:
            raise ConfigError(f"{there} is there already; name another folder, or remove it.")
        corpus = load_corpus(self.corpus, self.root)
        for note in corpus.notes:
            print(note)
        if any(PICTURES_MISSING in note for note in corpus.notes):
            raise DataError(f"{corpus.notes[0]} Put them there first, or the splits are made without them.")
        tweets = [tweet for split in corpus.splits.values() for tweet in split]
        made = split_corpus(tweets, self.shares, False if self.mix_days else None, self.seed)
        for split, file in files.items():
            write_jsonl(made.splits[split], file)
            print(f"{len(made.splits[split]):6,} posts in {file}")
        print(*made.notes)
        print(f"Next: {shlex.join(['mgips', 'audit', str(self.out)])}")
        return 0


@dataclass
class Crops:
    """Find the crops of a corpus's photos with a zero-shot detector, and leave their boxes in the corpus's folder.

    For posts that come without published crops; on a GPU where there is one. A run that was stopped goes on where it was.
    """

    corpus: CorpusPath
    """twitter2015, twitter2017, or a folder or file of posts."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    detector: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER")] = "google/owlv2-base-patch16-ensemble"
    """OWLv2 or Grounding DINO: hub name or folder."""
    recipe: Literal["umgf", "hvpnet"] = "umgf"
    """What is looked for: the names of the corpus's entity types, or each post's noun phrases."""
    threshold: float | None = None
    """A box is kept where the detector's confidence is higher; otherwise what the detector's authors use."""
    batch_size: Count = 8
    """Photos at a time."""
    splits: tuple[Literal["train", "dev", "test"], ...] = ("train", "dev", "test")
    """Only these splits."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the boxes go; otherwise boxes.jsonl in the corpus's folder, which is read with the corpus."""
    anew: bool = False
    """Replace a file that is there."""

    def __call__(self) -> int:
        from mgips.data.boxes import FILE, growing_boxes
        from mgips.data.corpus import Cropped
        from mgips.data.crops import CROPS
        from mgips.data.load import is_drawn, load_corpus
        from mgips.model.detector import find_boxes, load_detector, make_recipe

        corpus = load_corpus(self.corpus, self.root)
        if corpus.source is None:
            drawn = is_drawn(corpus.name)
            why = "is drawn and its crops with it" if drawn else "has no folder that the boxes could go to"
            raise ConfigError(f"{corpus.name} {why}; name a folder or file of posts with photos.")
        own = (corpus.source if corpus.source.is_dir() else corpus.source.parent) / FILE
        out = self.out or own
        tweets = [tweet for split in dict.fromkeys(self.splits) for tweet in corpus.splits[split]]
        files = [tweet for tweet in tweets if isinstance(tweet.image, str | Path)]
        bare = [tweet for tweet in files if all(isinstance(crop, Cropped) for crop in tweet.crops)]
        print(f"{len(bare):,} of {len(tweets):,} posts have a photo and no published crops.")
        if bare:
            detector = load_detector(self.detector)
            recipe = make_recipe(self.recipe, detector, corpus.types, self.threshold)
            boxes, add = growing_boxes(out, recipe.to_dict(), self.anew)
            for post in find_boxes(bare, detector, recipe, self.batch_size, boxes):
                if post.fault:
                    print(post.fault)
                add(post)
            found = [post for post in map(boxes.of, bare) if post is not None]
            count = sum(len(post.boxes[:CROPS]) for post in found)
            lacking = CROPS * len(found) - count
            print(f"{count:,} crops by boxes; the whole photo stands in for the other {lacking:,}. File: {out}")
            if out.resolve() != own.resolve():
                print(f"It is read with the corpus as {own}.")
        root = [] if self.root is None else ["--root", str(self.root)]
        print(f"Next: {shlex.join(['mgips', 'train', '--corpus', self.corpus, *root])}")
        return 0


@dataclass
class Sweep:
    """Run the grid behind a table or a figure, and leave one result file a run; what is there is not run again."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GRID", help=f"One of {', '.join(GRIDS)}.")]
    corpus: Annotated[str, tyro.conf.arg(metavar="NAME")] = "tinytweets"
    """tinytweets, twitter2015 or twitter2017."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="|".join(PRESETS))] = None
    """Where every row starts from; otherwise the grid's own."""
    text_encoder: Encoder = None
    """In place of the preset's: hub name or folder."""
    image_encoder: Encoder = None
    """In place of the preset's: hub name or folder."""
    precision: Literal["no", "bf16"] | None = None
    """In place of the preset's: mixed precision, as accelerate names it."""
    rows: tuple[str, ...] = ()
    """Only these rows of the grid."""
    seeds: tuple[Seed, ...] = ()
    """Only these seeds, or others than the grid's own."""
    jobs: CountOrZero = 0
    """Runs at a time; 0: one per CPU core, or one on a GPU."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("figures/data")
    """Where the result files go."""

    def __call__(self) -> int:
        from mgips.lab.results import load_results, missing
        from mgips.lab.sweep import sweep

        given = {name: getattr(self, name) for name in ("text_encoder", "image_encoder", "precision")}
        changes = {name: value for name, value in given.items() if value is not None}
        done = sweep(
            self.name, self.corpus, self.root, self.preset or "", changes, self.rows, self.seeds, self.jobs, self.out
        )
        lacking = missing(self.name, self.corpus, self.out)
        print(f"{done} runs done; {len(lacking)} of the grid still to run. Test F1 on {self.corpus}:")
        for results in load_results(self.name, self.corpus, self.out).values():
            if results:
                values = [100 * result.f1 for result in results]
                by_seed = "  ".join(
                    f"s{result.seed} {value:.1f}" for result, value in zip(results, values, strict=True)
                )
                print(f"  {results[0].record['label']:<34}{sum(values) / len(values):6.1f}   {by_seed}")
        return 0


@dataclass
class Doctor:
    """Say what is wrong with a run; without one, which packages, device, data, encoders and browser are found.

    Exit status 1 if something is wrong with the run.
    """

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """A run folder, finished or not, or a saved model; otherwise the installation is looked at."""
    corpus: OtherCorpus = None
    """For a run: otherwise the one that it was trained on."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    json: bool = False
    """Print JSON instead of lines."""

    def __call__(self) -> int:
        if self.run is not None:
            from mgips.lab.diagnosis import diagnose

            diagnosis = diagnose(self.run, self.corpus, self.root)
            print(json.dumps(diagnosis.to_dict(), indent=2, ensure_ascii=False) if self.json else diagnosis)
            return 1 if diagnosis.wrong else 0
        from mgips.lab.doctor import check, report

        if self.corpus is not None:
            raise ConfigError("--corpus is for a run; name its folder too.")
        checks = check(self.root)
        print(json.dumps([dataclasses.asdict(one) for one in checks], indent=2) if self.json else report(checks))
        return 0


@dataclass
class Demo:
    """Train text-only and the full model on the embedded corpus, and show what the images are worth."""

    seed: Seed = 0
    """Seeds the corpus, the weights and the batches."""
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER]")] = Path("runs/demo")
    """Where the two run folders go; those of an earlier demo there are replaced."""

    def __call__(self) -> int:
        from mgips.lab.demo import demo

        demo(self.seed, self.run)
        return 0


def load_model(run: Path) -> MGIPS:
    """A trained model, where it computes fastest."""
    import mgips
    from mgips.run import best_device

    return mgips.load(run).to(best_device())


def load(run: Path, corpus: str | None, root: Path | None) -> tuple[MGIPS, Corpus]:
    """A trained model, and a corpus by name: the one it was trained on by default.

    Raises:
        ConfigError: none was named, and the run does not say which it was trained on, or that one has other posts by now.
    """
    model, found, _ = load_with_place(run, corpus, root)
    return model, found


def load_with_place(run: Path, corpus: str | None, root: Path | None) -> tuple[MGIPS, Corpus, str]:
    """The same, with the name or place that the corpus has."""
    from mgips.data.load import load_corpus, loads_again, place_in
    from mgips.run import recorded_corpus

    model = load_model(run)
    record = recorded_corpus(run) or {}
    name = corpus or place_in(record)
    if name is None:
        raise ConfigError(f"{run} does not say what it was trained on; name a corpus with --corpus.")
    found = load_corpus(name, root)
    before, now = record.get("sha256"), found.fingerprint()
    if corpus is None and before not in (None, now):
        raise ConfigError(
            f"{run} was trained on other posts than {name} holds now (SHA-256 {str(before)[:12]}, now {now[:12]}); restore "
            f"them, or take those of now on purpose: --corpus {shlex.quote(name)}."
        )
    return model, found, loads_again(found) or name


def tell_of(run: Path, corpus: Corpus) -> None:
    """Say on stderr what a number on this corpus rests on: that it is not the one trained on, and pictures that lack."""
    from mgips.run import recorded_corpus

    trained_on, now = recorded_corpus(run), corpus.fingerprint()
    if trained_on and (before := trained_on.get("sha256")) != now:
        print(
            f"Note: {run} was not trained on these very posts, {corpus.name} (SHA-256 {now[:12]}), but on "
            f"{trained_on.get('name')} ({str(before)[:12]}).",
            file=sys.stderr,
        )
    for note in corpus.notes if trained_on and [*corpus.notes] != trained_on.get("notes", [*corpus.notes]) else ():
        print(note, file=sys.stderr)


def train_defaults(arguments: list[str]) -> Train:
    """`Train` with the defaults of the preset and the variant named among the arguments."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--corpus", default="tinytweets")
    early.add_argument("--preset")
    early.add_argument("--variant", default="full")
    known, _ = early.parse_known_args(arguments)
    name = known.preset or ("tiny" if known.corpus.startswith("tinytweets") else "base")
    model, train = preset(name, known.variant)
    return Train(corpus=known.corpus, preset=name, variant=known.variant, model=model, train=train)


COMMANDS: dict[type, Any] = dict.fromkeys(
    (
        Train,
        Evaluate,
        Probe,
        Predict,
        Inspect,
        Explorer,
        Export,
        PoolOf,
        Mine,
        Sweep,
        Audit,
        Split,
        Crops,
        Doctor,
        Demo,
    ),
    tyro.MISSING_NONPROP,
)


def named(command: type) -> str:
    """What a command is called."""
    return "pool" if command is PoolOf else command.__name__.lower()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    tolerate(sys.stdout)
    try:
        with terminable():
            return run_command(arguments)
    except KeyboardInterrupt as stop:
        if os.environ.get("RANK", "0") == "0":  # of several processes one says it
            kept = f" {stop}." if str(stop) else ""
            print(f"\nmgips: stopped.{kept}{_how_to_resume(arguments)}", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a scheduler sends before it kills; it ends a command as Ctrl-C does."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` inside where the process is asked to end."""

    def end(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_command(arguments: list[str]) -> int:
    """Run one command, and tell a mistake in one sentence; returns its exit status."""
    try:
        if any("\0" in argument for argument in arguments):
            raise ConfigError("An argument holds a NUL character; no name or text here can have one.")
        commands = [
            Annotated[command, tyro.conf.subcommand(named(command), default=default, prefix_name=False)]
            for command, default in {**COMMANDS, Train: train_defaults(arguments[1:])}.items()
        ]
        chosen: Any = tyro.cli(
            Union[tuple(commands)],  # noqa: UP007  # pyright: ignore[reportArgumentType, reportCallIssue]
            prog="mgips",
            description="Multimodal named entity recognition: MGIPS-CL, trained, scored, explained.",
            args=arguments,
        )
        return ready(chosen)()
    except MGIPSError as error:
        print(f"mgips: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a name that is too long, a folder in place of a file, a disk that is full
        if error.strerror is None:
            raise
        name = f"{error.filename} cannot be used: " if error.filename is not None else ""
        print(f"mgips: {name}{error.strerror}.", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in LAB:
            raise
        print(f"mgips: this command needs {error.name}: pip install 'mgips[lab]'.", file=sys.stderr)
        return 2


def ready(command: Any) -> Any:
    """A command with its numbers checked, and with every ~ in its paths expanded: a shell leaves that of --out=~/x.

    Raises:
        ConfigError: a number outside of its range.
    """
    hints, changes = get_type_hints(type(command), include_extras=True), {}
    for name, value in vars(command).items():
        if dataclasses.is_dataclass(value):
            changes[name] = ready(value)
        elif isinstance(value, Path) or (isinstance(value, str) and name in PLACES):
            changes[name] = type(value)(os.path.expanduser(value))
        else:
            check(name, value, hints[name])
    return dataclasses.replace(command, **changes)


def tolerate(stream: TextIO) -> None:
    """Characters that a stream's encoding does not have are written as JSON escapes them, so that JSON stays JSON."""

    def escaped(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("mgips", escaped)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="mgips")


def _how_to_resume(arguments: list[str]) -> str:
    """What to type after Ctrl-C to go on, for a command that can."""
    if arguments[:1] == ["train"] and os.environ.get("WORLD_SIZE", "1") != "1":
        return " The last checkpoint is kept. Go on with the same launch, and --resume."
    if arguments[:1] == ["train"]:
        return f" Go on with: {shlex.join(['mgips', *arguments, *['--resume'][: '--resume' not in arguments]])}"
    if arguments[:1] == ["sweep"]:
        return f" Go on with: {shlex.join(['mgips', *arguments])}"
    if arguments[:1] == ["crops"]:
        rest = [argument for argument in arguments if argument != "--anew"]
        return f" Boxes found so far are kept. Go on with: {shlex.join(['mgips', *rest])}"
    return ""
