"""What is in a corpus and what is wrong with it: `python -m mgips audit`.

Counts beside the paper's Table 1 in both readings of tags; which of the circulating versions of the files this is;
texts and images that two splits share; pictures that are missing or broken; what `max_length` cuts off; how many
test mentions train has already shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from mgips.config import RANDOM, ModelConfig
from mgips.data.batch import Batcher
from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.crops import THREADS
from mgips.data.pictures import open_picture
from mgips.data.spans import Span, spans
from mgips.data.twitter import text_files
from mgips.errors import DataError
from mgips.lab.paper.claims import table1_files
from mgips.lab.paper.tables import CORPORA, TABLE1

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Version:
    """One circulating version of a corpus."""

    name: str
    sha256: dict[str, str]
    """How the SHA-256 of each split's file begins, where it is known."""
    entities: dict[str, int]
    """Entities of each split, seqeval's default reading."""


TWEETS = {name: tuple(split["tweets"] for split in table.values()) for name, table in TABLE1.items()}
"""Tweets in train, dev and test: what tells that a folder of any name holds one of the published corpora."""

VERSIONS: dict[str, tuple[Version, ...]] = {
    "twitter2015": (
        Version(
            "original",
            {"train": "a6246e37aa1c8acd", "dev": "9dcc7f9df7331de3", "test": "edb2665b89bfe58b"},
            {"train": 6352, "dev": 1594, "test": 5207},
        ),
        # Bundled with visual-grounding crops: 239 test and 4 train tweets relabelled.
        Version("repaired", {"dev": "9dcc7f9df7331de3"}, {"dev": 1594, "test": 5237}),
    ),
    "twitter2017": (
        Version(
            "original",
            {"train": "801e149e8635b19d", "dev": "41b5db90cb32059c", "test": "a7d9e172ae85bd3e"},
            {"train": 6049, "dev": 1324, "test": 1351},
        ),
    ),
}


@dataclass(frozen=True)
class SplitAudit:
    """One split, counted."""

    tweets: int
    strict: dict[str, int]
    """Entities by type in the strict IOB2 reading, which is to say B- tags; "entities" is their sum."""
    default: dict[str, int]
    """The same in seqeval's default reading, where an I- without a B- before it starts an entity too."""
    without_image: int
    """Tweets whose picture is not there."""
    broken: tuple[str, ...]
    """Pictures that are there and cannot be read, one sentence each."""
    pieceless: int | None = None
    """Words that the tokenizer turns into nothing (a lone U+FE0F); None where no tokenizer was given."""
    cut: int | None = None
    """Tweets longer than `max_length` pieces."""
    entities_past_cut: int | None = None
    """Gold entities that begin past the cut: they count, and no model can find them."""


@dataclass(frozen=True)
class Audit:
    """What `audit` found."""

    corpus: str
    source: str
    published: str
    """Which published corpus this is, by its numbers of tweets; "" if none."""
    version: str
    """"original", "repaired" or "unknown"; "" for a corpus that is not a published one."""
    version_by: str
    """How the version was told: "checksum" or "counts"."""
    splits: dict[str, SplitAudit]
    same_text: dict[str, int]
    """"train-dev" and so on: distinct texts that both splits hold."""
    same_image: dict[str, tuple[str, ...]]
    """The same for image ids."""
    seen: dict[str, float]
    """Per dev and test: share of gold mentions that train has with the same type (words compared in lower case)."""
    max_length: int

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
        """Where the B- tags counted here are not what Table 1 prints, one line each."""
        findings = table1_files(self.published, self.counts)
        start = f"Table 1, {CORPORA.get(self.published)} "
        return [finding.sentence.removeprefix(start) for finding in findings if not finding.agrees]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "leaks": self.leaks, "differences": self.differences}

    def to_text(self) -> str:
        """Everything found, as a page of text."""
        out = [f"{self.corpus} ({self.source})", ""]
        if self.published:
            by = {"checksum": "told by checksum", "counts": "told by counts; the files' bytes are others"}
            told = by.get(self.version_by, "neither checksums nor counts fit a version that is known")
            out += [f"Version: {self.version} {self.published} ({told})", ""]

        printed = TABLE1.get(self.published)
        names = list(self.splits)
        head = f"{'':<22}" + "".join(f"{name:>25}" for name in names)
        out += ["Entities by B- tags (strict IOB2)" + (", beside the paper's Table 1" if printed else ""), head]
        for row in (*TYPES, "entities", "tweets"):
            cells = []
            for name in names:
                split = self.splits[name]
                found = split.tweets if row == "tweets" else split.strict[row]
                paper = printed[name][row] if printed else found
                cells.append(f"{found:,}" + (f"  ≠ {paper:,} printed" if paper != found else ""))
            out.append(f"  {row:<20}" + "".join(f"{cell:>25}" for cell in cells))
        out += ["Entities by seqeval's default reading (an I- without a B- starts one too)"]
        for row in (*TYPES, "entities"):
            out.append(f"  {row:<20}" + "".join(f"{self.splits[name].default[row]:>25,}" for name in names))

        def line(what: str, values: Iterable[str]) -> str:
            return f"  {what:<38}" + "   ".join(values)

        out += ["", "Between the splits"]
        out.append(line("same text", [f"{pair} {n}" for pair, n in self.same_text.items()]))
        out.append(line("same image id", [f"{pair} {len(ids)}" for pair, ids in self.same_image.items()]))
        out.append(line("mentions seen in train, same type", [f"{s} {100 * x:.1f} %" for s, x in self.seen.items()]))
        if self.leaks:
            some = ", ".join(self.leaks[:10]) + (", …" if len(self.leaks) > 10 else "")
            out.append(f"  LEAK: {len(self.leaks)} test images are in train: {some}. Remove those tweets from train.")

        out += ["", "Pictures"]
        out.append(
            line("tweets without one", [f"{n} {s.without_image:,} of {s.tweets:,}" for n, s in self.splits.items()])
        )
        out.append(line("broken", [f"{n} {len(s.broken)}" for n, s in self.splits.items()]))
        out += [f"    {problem}" for s in self.splits.values() for problem in s.broken]

        out += ["", f"Text, cut at {self.max_length} word pieces"]
        if any(s.cut is None for s in self.splits.values()):
            out.append("  not counted: name a tokenizer with --text-encoder")
        else:
            out.append(line("tweets cut", [f"{n} {s.cut:,} of {s.tweets:,}" for n, s in self.splits.items()]))
            out.append(
                line("gold entities past the cut", [f"{n} {s.entities_past_cut}" for n, s in self.splits.items()])
            )
            out.append(line("words with no piece", [f"{n} {s.pieceless}" for n, s in self.splits.items()]))
        return "\n".join(out)


def audit(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None = None, max_length: int = 40, progress: bool = True
) -> Audit:
    """Count and check a corpus. Every picture is decoded, to find those that cannot be.

    Args:
        tokenizer: counts word pieces; without one, what `max_length` cuts is left out.
        max_length: word pieces a tweet with [CLS] and [SEP].
    """
    published = next((name for name, sizes in TWEETS.items() if sizes == tuple(map(len, corpus.splits.values()))), "")
    splits = {}
    for name, tweets in corpus.splits.items():
        split = SplitAudit(
            tweets=len(tweets),
            strict=_counts(tag[2:] for tweet in tweets for tag in tweet.tags if tag.startswith("B-")),
            default=_counts(span.type for tweet in tweets for span in spans(tweet.words, tweet.tags)),
            without_image=sum(tweet.image is None for tweet in tweets),
            broken=tuple(_broken(tweets, progress)),
        )
        splits[name] = replace(split, **_cut(tweets, tokenizer, max_length)) if tokenizer is not None else split
    version, by = _version(published, corpus.source, splits) if published else ("", "")
    pairs = [(f"{a}-{b}", corpus.splits[a], corpus.splits[b]) for a, b in combinations(corpus.splits, 2)]
    known = {_mention(span) for tweet in corpus.train for span in spans(tweet.words, tweet.tags)}
    return Audit(
        corpus=corpus.name,
        source=str(corpus.source) if corpus.source else "drawn by the package",
        published=published,
        version=version,
        version_by=by,
        splits=splits,
        same_text={pair: len({t.words for t in a} & {t.words for t in b}) for pair, a, b in pairs},
        same_image={pair: tuple(sorted({t.id for t in a} & {t.id for t in b})) for pair, a, b in pairs},
        seen={name: _seen(corpus.splits[name], known) for name in ("dev", "test")},
        max_length=max_length,
    )


def _counts(kinds: Iterable[str]) -> dict[str, int]:
    counts = dict.fromkeys(TYPES, 0)
    for kind in kinds:
        counts[kind] += 1
    return {**counts, "entities": sum(counts.values())}


def _mention(span: Span) -> tuple[str, str]:
    return span.text.lower(), span.type


def _seen(tweets: Sequence[Tweet], known: set[tuple[str, str]]) -> float:
    mentions = [_mention(span) for tweet in tweets for span in spans(tweet.words, tweet.tags)]
    return sum(mention in known for mention in mentions) / max(1, len(mentions))


def _broken(tweets: Sequence[Tweet], progress: bool) -> list[str]:
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
        return [found for found in bar if found is not None]


def _cut(tweets: Sequence[Tweet], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, int]:
    config = ModelConfig(text_encoder=RANDOM, images=False, max_length=max_length)
    cut, uncut = Batcher(tokenizer, config), Batcher(tokenizer, replace(config, max_length=10**9))
    uncut.learn_words(tweets)
    cut.learn_words(tweets)
    found = {"pieceless": 0, "cut": 0, "entities_past_cut": 0}
    words = sorted({word for tweet in tweets for word in tweet.words})
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"]
    nothing = {word for word, ids in zip(words, pieces, strict=True) if not ids}
    for tweet in tweets:
        inside = len(cut.encode(tweet).first)
        found["pieceless"] += sum(word in nothing for word in tweet.words)
        found["cut"] += len(uncut.encode(tweet).pieces) > max_length
        found["entities_past_cut"] += sum(span.start >= inside for span in spans(tweet.words, tweet.tags))
    return found


def _version(published: str, source: Path | None, splits: dict[str, SplitAudit]) -> tuple[str, str]:
    """The version's name and how it was told."""
    found = {}
    if source is not None:
        found = {split: hashlib.sha256(path.read_bytes()).hexdigest() for split, path in text_files(source).items()}
    for version in VERSIONS[published]:
        if len(version.sha256) == 3 and all(found.get(s, "").startswith(start) for s, start in version.sha256.items()):
            return version.name, "checksum"
    for version in VERSIONS[published]:
        if all(splits[split].default["entities"] == count for split, count in version.entities.items()):
            return version.name, "counts"
    return "unknown", ""
