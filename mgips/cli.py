"""`python -m mgips train | evaluate | probe | predict | pool | sweep | audit | doctor | demo`.

The options of `train` are the fields of ModelConfig and TrainConfig; a preset and a variant set their
defaults. A user's mistake is printed as one sentence, with exit status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro

from mgips.config import PRESETS, VARIANTS, ModelConfig, TrainConfig, preset
from mgips.errors import ConfigError, MGIPSError

if TYPE_CHECKING:
    from mgips import MGIPS, Corpus

LAB = ("matplotlib", "scipy", "sklearn", "pandas", "plotly", "ipywidgets", "jinja2")
"""Packages that only `mgips[lab]` brings."""
CorpusName = Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER")]
Root = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
Whose = Literal["split", "train", "split+train", "none"]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass
class Train:
    """Train on a corpus, choose the epoch on dev, score test once."""

    corpus: CorpusName = "tinytweets"
    """tinytweets (or, with settings, tinytweets:train=4800,seed=1), twitter2015, twitter2017, or a folder in their
    layout."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(PRESETS))] = "tiny"
    """Sets the defaults of everything below. Without it: tiny for tinytweets, base for the rest."""
    variant: Annotated[str, tyro.conf.arg(metavar="|".join(VARIANTS))] = "full"
    """The full model, or one with a part left out."""
    run: Root = None
    """The run folder; otherwise runs/CORPUS-PRESET-VARIANT-sSEED."""
    resume: bool = False
    """Go on with the run in that folder."""
    model: tyro.conf.OmitArgPrefixes[ModelConfig] = dataclasses.field(default_factory=ModelConfig)
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = dataclasses.field(default_factory=TrainConfig)

    def __call__(self) -> int:
        from mgips.data.load import load_corpus
        from mgips.training import Trainer

        corpus = load_corpus(self.corpus, self.root)
        for note in corpus.notes:
            print(note)
        name = f"{corpus.name}-{self.preset}-{self.variant}-s{self.train.seed}"
        run = Trainer(corpus, self.model, self.train, self.run or Path("runs") / name, self.resume).run()
        problems = sorted({p for split in run.data.values() if split.crops for p in split.crops.problems})
        for problem in problems:
            print(problem)
        print(
            f"\nEpoch {run.epoch} of {len(run.history)} has the best dev F1, {100 * run.dev.f1:.2f}. Test:\n{run.test}"
        )
        print(f"\nRun folder: {run.folder}")
        return 0


@dataclass(kw_only=True)
class Posts:
    """A split of a corpus."""

    corpus: CorpusName | None = None
    """Otherwise the one that the model was trained on."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    split: Literal["train", "dev", "test"] = "test"
    """Which split."""


@dataclass(kw_only=True)
class Evaluate(Posts):
    """Score a trained model on one split."""

    run: RunPath
    """A run folder, a saved model's folder, or a model's name on the hub."""
    scheme: Literal["default", "strict"] = "default"
    """seqeval's default reading of tags, or strict IOB2."""
    pool: Whose = "split"
    """For a model that reads: whose pictures. The split's own, the training split's, both, or none."""
    days: int | None = None
    """For a model that reads: only pictures at most so many days before or after a post."""
    json: bool = False
    """Print JSON instead of a table."""

    def __call__(self) -> int:
        from mgips.evaluate import score
        from mgips.model.mgips import READS_NOTHING

        model, corpus = load(self.run, self.corpus, self.root)
        tweets = corpus.splits[self.split]
        if model.reader is None and (self.pool, self.days) != ("split", None):
            raise ConfigError(READS_NOTHING)
        both = tweets if self.split == "train" else (*tweets, *corpus.train)
        posts = {"split": tweets, "train": corpus.train, "split+train": both, "none": ()}[self.pool]
        pool = model.pool(posts, self.days, progress=True) if model.reader is not None else None
        predicted = model.predict(tweets, progress=True, pool=pool)
        scores = score([t.tags for t in tweets], predicted, self.scheme)
        print(json.dumps(scores.to_dict(), indent=2) if self.json else scores)
        return 0


@dataclass(kw_only=True)
class Probe(Posts):
    """Show a trained model blank, noisy and swapped pictures, and measure what that changes.

    Prints a table, and leaves probe.json and a figure, probe.png and probe.svg, in the run folder.
    """

    run: RunPath
    """A run folder, a saved model's folder, or a model's name on the hub."""
    seed: int = 0
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
        trained_on = recorded_corpus(self.run)
        if trained_on and trained_on["sha256"] != corpus.fingerprint():
            print("Note: the run was not trained on these very posts; the corpus has another hash.", file=sys.stderr)
        result = probe(model, corpus, self.split, self.seed)
        save(result.to_dict(), folder)
        print(json.dumps(result.to_dict(), indent=2) if self.json else result)
        if not self.json:
            print(f"\nprobe.json, probe.png and probe.svg are in {folder}.")
        return 0


@dataclass(kw_only=True)
class Predict(Posts):
    """Find the entities in a text with a photo, or in a split of a corpus."""

    run: RunPath
    """A run folder, a saved model's folder, or a model's name on the hub."""
    corpus: CorpusName | None = None
    """Predict a split of this corpus instead of a text."""
    text: str | None = None
    """One post's text."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Its photo."""
    pool: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """For a model that reads: what `mgips pool` wrote; otherwise RUN/pool.safetensors, or the split's own pictures."""
    time: float | None = None
    """When the text was posted, in days as its pool counts them; otherwise time counts for nothing."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the predicted tags here, in the corpora's own format."""

    def __call__(self) -> int:
        from mgips.data.conll import write_conll
        from mgips.data.corpus import Tweet
        from mgips.data.pictures import open_picture
        from mgips.data.spans import spans
        from mgips.model.reading import Pool

        if (self.text is None) == (self.corpus is None):
            raise ConfigError("Give either --text (with --image) or --corpus.")
        if self.image is not None:
            open_picture(self.image)  # a photo that was asked for and cannot be read is an error here
        if self.text is not None:
            tweet = Tweet.from_text(self.text, self.image)
            tweets = (tweet if self.time is None else dataclasses.replace(tweet, time=self.time),)
            model = load_model(self.run)
        else:
            model, corpus = load(self.run, self.corpus, self.root)
            tweets = corpus.splits[self.split]
        pool: Any = None
        if self.pool is not None:
            pool = Pool.load(self.pool)
        elif model.reader is not None:
            saved = self.run / "pool.safetensors"
            pool = tweets if self.text is None else Pool.load(saved) if saved.exists() else None
        predicted = model.predict(tweets, pool=pool)
        if self.output is not None:
            labelled = [dataclasses.replace(t, tags=tuple(tags)) for t, tags in zip(tweets, predicted, strict=True)]
            write_conll(labelled, self.output)
            print(f"{len(tweets):,} posts written to {self.output}")
            return 0
        for tweet, tags in zip(tweets, predicted, strict=True):
            entities = [
                {"type": s.type, "text": s.text, "start": s.start, "end": s.end} for s in spans(tweet.words, tags)
            ]
            print(json.dumps({"id": tweet.id, "words": tweet.words, "entities": entities}, ensure_ascii=False))
        return 0


@dataclass(kw_only=True)
class PoolOf(Posts):
    """Save the pictures of a split as a pool, for a model that reads: `mgips predict RUN --pool FILE`."""

    run: RunPath
    """A run folder, a saved model's folder, or a model's name on the hub."""
    days: int | None = None
    """Only pictures at most so many days before or after a post are read."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("pool.safetensors")
    """Where it goes."""

    def __call__(self) -> int:
        model, corpus = load(self.run, self.corpus, self.root)
        pool = model.pool(corpus.splits[self.split], self.days, progress=True)
        pool.save(self.out)
        print(f"{len(pool):,} pictures of {corpus.name}, {self.split} split, are in {self.out}.")
        return 0


@dataclass
class Audit:
    """Count a corpus, compare it with the paper's Table 1, and look for leaks between its splits.

    Exit status 1 if an image of the test split is also in train.
    """

    corpus: CorpusName = "tinytweets"
    """tinytweets, twitter2015, twitter2017, or a folder in their layout."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    text_encoder: str | None = None
    """Hub name or folder: its tokenizer counts the posts that are cut."""
    max_length: int = 40
    """Word pieces with [CLS] and [SEP], as in training."""
    json: bool = False
    """Print JSON instead of tables."""

    def __call__(self) -> int:
        from mgips.data.load import load_corpus
        from mgips.lab.audit import audit

        corpus = load_corpus(self.corpus, self.root)
        tokenizer = None
        if self.text_encoder is not None:
            from mgips.model.pretrained import load_tokenizer

            tokenizer = load_tokenizer(ModelConfig(text_encoder=self.text_encoder))
        report = audit(corpus, tokenizer, self.max_length)
        print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) if self.json else report.to_text())
        return 1 if report.leaks else 0


@dataclass
class Sweep:
    """Run the grid behind a table or a figure, and leave one result file a run; what is there is not run again."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GRID")]
    """table2-text, table3, fig5, fig6, fig7, fig8, fig9, fig11, probe, protocol or switches (`mgips.lab.grids.GRIDS`)."""
    corpus: CorpusName = "tinytweets"
    """tinytweets, twitter2015 or twitter2017."""
    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="|".join(PRESETS))] = None
    """Where every row starts from; otherwise the grid's own."""
    text_encoder: str | None = None
    """In place of the preset's: hub name or folder."""
    image_encoder: str | None = None
    """In place of the preset's: hub name or folder."""
    precision: Literal["no", "bf16"] | None = None
    """In place of the preset's: mixed precision, as accelerate names it."""
    rows: tuple[str, ...] = ()
    """Only these rows of the grid."""
    seeds: tuple[int, ...] = ()
    """Only these seeds, or others than the grid's own."""
    jobs: int = 0
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
    """Print which packages, device, data, encoders and browser are found, and how to get what is missing."""

    root: Root = None
    """Where the Twitter folders are; otherwise $MGIPS_DATA, otherwise ./data."""

    def __call__(self) -> int:
        from mgips.lab.doctor import check, report

        print(report(check(self.root)))
        return 0


@dataclass
class Demo:
    """Train text-only and the full model on the embedded corpus, and show what the images are worth."""

    seed: int = 0
    """Seeds the corpus, the weights and the batches."""
    run: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/demo")
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
    """A trained model, and a corpus by name: the one it was trained on by default."""
    from mgips import load_corpus

    model = load_model(run)
    recorded = recorded_corpus(run)
    name = corpus or (recorded or {}).get("name")
    if name is None:
        raise ConfigError(f"{run} does not say what it was trained on; name a corpus with --corpus.")
    return model, load_corpus(name, root)


def recorded_corpus(run: Path) -> dict[str, Any] | None:
    """Name and hash of the corpus that a run or a model of the package was trained on; None where that is not recorded."""
    from mgips.model.shipped import located

    records = (Path(located(run)) / name for name in ("run.json", "card.json"))
    record = next((record for record in records if record.exists()), None)
    return json.loads(record.read_text(encoding="utf-8"))["corpus"] if record else None


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
    (Train, Evaluate, Probe, Predict, PoolOf, Sweep, Audit, Doctor, Demo), tyro.MISSING_NONPROP
)


def named(command: type) -> str:
    """What a command is called."""
    return "pool" if command is PoolOf else command.__name__.lower()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
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
        return chosen()
    except MGIPSError as error:
        print(f"mgips: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in LAB:
            raise
        print(f"mgips: this command needs {error.name}: pip install 'mgips[lab]'.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmgips: stopped.{_how_to_resume(arguments)}", file=sys.stderr)
        return 130


def _how_to_resume(arguments: list[str]) -> str:
    """What to type after Ctrl-C to go on, for a command that can."""
    if arguments[:1] == ["train"]:
        return f" Go on with: {shlex.join(['mgips', *arguments, *['--resume'][: '--resume' not in arguments]])}"
    if arguments[:1] == ["sweep"]:
        return f" Finished runs are kept. Go on with: {shlex.join(['mgips', *arguments])}"
    return ""
