"""What is in a corpus, which version of it this is, and what is wrong: leaks, pictures, what is cut off: `mgips audit`."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from mgips.config import RANDOM, ModelConfig
from mgips.data.batch import Batcher
from mgips.data.corpus import Corpus, Tweet
from mgips.data.crops import THREADS
from mgips.data.load import is_drawn
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.data.twitter import ENDINGS, split_files
from mgips.errors import DataError
from mgips.lab.paper.claims import table1_files
from mgips.lab.paper.tables import CORPORA, TABLE1
from mgips.tags import TYPES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


LONGEST = 512
"""Word pieces that most text encoders read; `large` and `base` do, BERTweet reads 128."""


@dataclass(frozen=True)
class Version:
    """One circulating version of a corpus."""

    name: str
    sha256: tuple[str, ...]
    """The first digits of the SHA-256 of the train, dev and test file; empty where they are unknown."""
    entities: dict[str, int]
    """Entities of each split, seqeval's default reading."""


VERSIONS: dict[str, tuple[Version, ...]] = {
    "twitter2015": (
        Version(
            "original",
            ("a6246e37aa1c8acd", "9dcc7f9df7331de3", "edb2665b89bfe58b"),
            {"train": 6352, "dev": 1594, "test": 5207},
        ),
        # Bundled with visual-grounding crops: 239 test and 4 train tweets relabelled.
        Version("repaired", (), {"dev": 1594, "test": 5237}),
    ),
    "twitter2017": (
        Version(
            "original",
            ("801e149e8635b19d", "41b5db90cb32059c", "a7d9e172ae85bd3e"),
            {"train": 6049, "dev": 1324, "test": 1351},
        ),
    ),
}


@dataclass(frozen=True)
class SplitAudit:
    """One split, counted."""

    tweets: int
    strict: dict[str, int]
    """Entities by type in the strict IOB2 reading, that is, B- tags; "entities" is their sum."""
    default: dict[str, int]
    """The same in seqeval's default reading, where an I- without a B- before it starts an entity too."""
    without_image: int
    """Tweets whose picture is missing."""
    broken: tuple[str, ...]
    """Pictures that exist but cannot be read, one sentence each."""
    pieceless: int | None = None
    """Words that the tokenizer turns into nothing (a lone U+FE0F); None where no tokenizer was given."""
    cut: int | None = None
    """Tweets longer than `max_length` pieces."""
    entities_past_cut: int | None = None
    """Gold entities that begin past the cut: they count, and no model can find them."""
    longest: int | None = None
    """Word pieces of the longest tweet, with [CLS] and [SEP]."""
    unlabelled: int = 0
    """Tweets without tags: they can be predicted, not trained on."""


@dataclass(frozen=True)
class Audit:
    """The result of `audit`."""

    corpus: str
    source: str
    published: str
    """Which published corpus this is, by its numbers of tweets; "" if none."""
    version: str
    version_by: str
    """"original" or "repaired", identified by "checksum" or "counts", or "unknown"; "" if it is not a published one."""
    types: tuple[str, ...]
    """The corpus's entity types."""
    cropped: int
    """Tweets that have crops."""
    splits: dict[str, SplitAudit]
    same_text: dict[str, int]
    """"train-dev" and so on: distinct texts that both splits hold."""
    same_image: dict[str, tuple[str, ...]]
    """The same for image ids."""
    seen: dict[str, float]
    """Per dev and test: share of gold mentions that train has with the same type (words compared in lower case)."""
    max_length: int
    notes: tuple[str, ...]
    """What the reader of the corpus remarked."""
    tokenizer: str
    """Whose word pieces were counted; "" where none were."""
    place: str = ""
    """What a command calls the corpus."""

    @property
    def leaks(self) -> tuple[str, ...]:
        """Image ids of the test split that train holds too."""
        return self.same_image["train-test"]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Split → B- tags of each type, all of them, tweets: what Table 1 prints."""
        return {name: {**split.strict, "tweets": split.tweets} for name, split in self.splits.items()}

    @property
    def differences(self) -> list[str]:
        """Where the B- tags counted here differ from what Table 1 prints, one line each."""
        differing = [f.sentence for f in table1_files(self.published, self.counts) if not f.agrees]
        return [sentence.removeprefix(f"Table 1, {CORPORA[self.published]} ") for sentence in differing]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "leaks": self.leaks, "differences": self.differences}

    def to_text(self) -> str:
        """The whole audit as a page of text."""
        out = [f"{self.corpus} ({self.source})", ""]
        if self.published:
            by = {"checksum": "identified by checksum", "counts": "identified by counts; the files' bytes differ"}
            how = by.get(self.version_by, "neither checksums nor counts fit a known version")
            out += [f"Version: {self.version} {self.published} ({how})", ""]

        def cells(row: str, values: Iterable[str]) -> str:
            return f"{row:<22}" + "".join(f"{value:>25}" for value in values)

        def line(name: str, values: Mapping[str, Any]) -> str:
            return f"  {name:<38}" + "   ".join(f"{split} {value}" for split, value in values.items())

        counted, splits = self.counts, self.splits
        printed = TABLE1.get(self.published, counted)
        out += ["Entities by B- tags (strict IOB2)" + (", beside the paper's Table 1" if self.published else "")]
        out.append(cells("", splits))
        for row in (*self.types, "entities", "tweets"):
            pairs = [(counted[name][row], printed[name][row]) for name in splits]
            out.append(cells(f"  {row}", (f"{a:,}" + (f"  ≠ {b:,} printed" if a != b else "") for a, b in pairs)))
        out += ["Entities by seqeval's default reading (an I- without a B- starts one too)"]
        out += [
            cells(f"  {row}", (f"{s.default[row]:,}" for s in splits.values())) for row in (*self.types, "entities")
        ]

        out += ["", "Between the splits", line("same text", self.same_text)]
        out.append(line("same image id", {pair: len(ids) for pair, ids in self.same_image.items()}))
        seen = {name: f"{100 * share:.1f} %" for name, share in self.seen.items()}
        out.append(line("mentions seen in train, same type", seen))
        if self.leaks:
            some = ", ".join(self.leaks[:10]) + (", …" if len(self.leaks) > 10 else "")
            out.append(f"  LEAK: {len(self.leaks)} test images are in train: {some}. Remove those tweets from train.")

        out += ["", "Reading", *(f"  {note}" for note in self.notes)] if self.notes else []
        out += ["", "Pictures"]
        out.append(line("tweets without one", {n: f"{s.without_image:,} of {s.tweets:,}" for n, s in splits.items()}))
        out.append(line("broken", {name: len(split.broken) for name, split in splits.items()}))
        out += [f"    {problem}" for split in splits.values() for problem in split.broken]

        out += ["", f"Text, cut at {self.max_length} word pieces of {self.tokenizer or 'no tokenizer'}"]
        if any(split.cut is None for split in splits.values()):
            return "\n".join([*out, "  not counted: name a tokenizer with --text-encoder"])
        out.append(line("tweets cut", {name: f"{s.cut:,} of {s.tweets:,}" for name, s in splits.items()}))
        out.append(line("gold entities past the cut", {name: s.entities_past_cut for name, s in splits.items()}))
        out.append(line("words with no piece", {name: split.pieceless for name, split in splits.items()}))
        out.append(line("pieces of the longest", {name: split.longest for name, split in splits.items()}))
        return "\n".join([*out, "", *self.advice()])

    def advice(self) -> list[str]:
        """Settings that fit the corpus, each with its reason, and the command that they make."""
        name = shlex.quote(self.place)
        unlabelled = sum(split.unlabelled for split in self.splits.values())
        if unlabelled == sum(split.tweets for split in self.splits.values()):
            posts = name if Path(self.place).is_file() else f"--corpus {name}"
            return [
                "No post has tags, so there is nothing to train on or to score.",
                "Next: mark what each post names, or let a trained model find it",
                f"  mgips predict RUN {posts}",
            ]
        if not any(split.default["entities"] for split in self.splits.values()):
            return [
                "No post has an entity: all tags are O, and there is nothing to learn from them.",
                "Next: mark what the posts name, and look again",
                f"  mgips audit {name}",
            ]
        if unlabelled:
            return [
                f"{unlabelled:,} posts have no tags, and training refuses them.",
                "Next: mark them or take them out, and look again",
                f"  mgips audit {name}",
            ]
        if any(not split.tweets for split in self.splits.values()):
            return ["Next: make train, dev and test without leaks", f"  mgips split {name} --out FOLDER"]
        said, options = ["Settings that fit"], []
        longest = max(split.longest or 0 for split in self.splits.values())
        if longest > self.max_length:
            fitting = min(-(-longest // 8) * 8, LONGEST)
            options.append(f"--max-length {fitting}")
            said.append(
                f"  {options[-1]}: {self.max_length} cuts {sum(s.cut or 0 for s in self.splits.values()):,} posts."
            )
            if longest > fitting:
                options.append("--overlap 16")
                said.append(f"  {options[-1]}: the longest post has {longest:,} pieces, and is then read in windows.")
        pictured = sum(split.tweets - split.without_image for split in self.splits.values())
        if not pictured:
            options.append("--variant text")
            said.append(f"  {options[-1]}: there are no pictures.")
        elif not self.cropped:
            said.append(f"  mgips crops {name}: no picture has crops; the whole one stands in for each until then.")
        if self.splits["train"].tweets < 32 and pictured:
            options.append("--batch-size 8")
            said.append(f"  {options[-1]}: train has only {self.splits['train'].tweets} posts.")
        said += ["  The defaults: nothing asks for others."] if len(said) == 1 else []
        command = f"mgips train --corpus {name} {' '.join(options)}".rstrip()
        return [
            *said,
            "Next",
            f"  {command}",
            "  with --preset tiny from a random start, on any laptop; base on a GPU.",
        ]


def audit(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None = None, max_length: int = 40, progress: bool = True
) -> Audit:
    """Count and check a corpus. Every picture is decoded, to find those that cannot be.

    What `max_length` (word pieces a tweet, with [CLS] and [SEP]) cuts off is counted by a tokenizer, or left out.
    """
    sizes = [len(tweets) for tweets in corpus.splits.values()]
    published = next((n for n, table in TABLE1.items() if sizes == [split["tweets"] for split in table.values()]), "")
    splits = {
        name: SplitAudit(
            tweets=len(tweets),
            strict=_by_type(corpus.types, (tag[2:] for tweet in tweets for tag in tweet.tags if tag.startswith("B-"))),
            default=_by_type(corpus.types, (kind for _, kind in mentions(tweets))),
            without_image=sum(tweet.image is None for tweet in tweets),
            broken=_broken(tweets, progress),
            unlabelled=sum(not tweet.tags for tweet in tweets),
            **(_cut(tweets, tokenizer, max_length, corpus.types) if tokenizer is not None else {}),
        )
        for name, tweets in corpus.splits.items()
    }
    version, by = _version(published, corpus.source, splits) if published else ("", "")
    pairs = [(f"{a}-{b}", corpus.splits[a], corpus.splits[b]) for a, b in combinations(corpus.splits, 2)]
    known = {*mentions(corpus.train)}
    seen = {name: [mention in known for mention in mentions(corpus.splits[name])] for name in ("dev", "test")}
    return Audit(
        corpus=corpus.name,
        source=str(
            corpus.source or corpus.called or ("drawn by the package" if is_drawn(corpus.name) else "in memory")
        ),
        published=published,
        version=version,
        version_by=by,
        types=corpus.types,
        cropped=sum(bool(tweet.crops) for tweets in corpus.splits.values() for tweet in tweets),
        splits=splits,
        same_text={pair: len({t.words for t in a} & {t.words for t in b}) for pair, a, b in pairs},
        same_image={pair: tuple(sorted({t.id for t in a} & {t.id for t in b})) for pair, a, b in pairs},
        seen={name: sum(hits) / max(1, len(hits)) for name, hits in seen.items()},
        max_length=max_length,
        notes=corpus.notes,
        tokenizer="" if tokenizer is None else tokenizer.name_or_path or "a vocabulary made from train",
        place=corpus.called or str(corpus.source or corpus.name),
    )


def _by_type(types: Iterable[str], kinds: Iterable[str]) -> dict[str, int]:
    counts = Counter(kinds)
    return {**{kind: counts[kind] for kind in types}, "entities": counts.total()}


def mentions(tweets: Iterable[Tweet]) -> list[tuple[str, str]]:
    """The gold entities (seqeval's default reading): words in lower case, and type."""
    return [(span.text.lower(), span.type) for tweet in tweets for span in spans(tweet.words, tweet.tags)]


def _broken(tweets: Sequence[Tweet], progress: bool) -> tuple[str, ...]:
    """One sentence for every file that cannot be decoded; drawings always can."""
    files = sorted({p for tweet in tweets for p in (tweet.image, *tweet.crops) if isinstance(p, Path)})

    def fault(path: Path) -> str | None:
        try:
            open_picture(path)
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        bar = tqdm(pool.map(fault, files), "pictures", len(files), disable=not progress or len(files) < 100)
        return tuple(filter(None, bar))


def _cut(
    tweets: Sequence[Tweet], tokenizer: PreTrainedTokenizerBase, max_length: int, types: Sequence[str]
) -> dict[str, int]:
    config = ModelConfig(types=tuple(types) or TYPES, text_encoder=RANDOM, images=False, max_length=max_length)
    batcher = Batcher(tokenizer, config)
    batcher.learn_words(tweets)
    words = sorted({word for tweet in tweets for word in tweet.words})
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    nothing = {word for word, ids in zip(words, pieces, strict=True) if not ids}
    pieceless = longer = past = longest = 0
    for tweet in tweets:
        inside = len(batcher.encode(tweet).first)
        pieceless += sum(word in nothing for word in tweet.words)
        length = sum(batcher.word_lengths(tweet)) + 2  # [CLS] and [SEP]
        longest, longer = max(longest, length), longer + (length > max_length)
        past += sum(span.start >= inside for span in spans(tweet.words, tweet.tags))
    return {"pieceless": pieceless, "cut": longer, "entities_past_cut": past, "longest": longest}


def _version(published: str, source: Path | None, splits: dict[str, SplitAudit]) -> tuple[str, str]:
    """The version's name and what identified it."""
    files = split_files(source, ENDINGS).values() if source else ()
    sha256 = tuple(hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files)
    for version in VERSIONS[published]:
        if version.sha256 and version.sha256 == sha256:
            return version.name, "checksum"
    for version in VERSIONS[published]:
        if all(splits[split].default["entities"] == count for split, count in version.entities.items()):
            return version.name, "counts"
    return "unknown", ""
