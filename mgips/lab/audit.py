"""What is in a corpus and what is wrong with it: `mgips audit`.

Counts beside the paper's Table 1 in both readings of tags; which of the circulating versions of the files this is;
texts and images that two splits share; pictures that are missing or broken; what `max_length` cuts off; how many
test mentions also occur in train.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """The first digits of the SHA-256 of each split's file, where it is known."""
    entities: dict[str, int]
    """Entities of each split, seqeval's default reading."""


TWEETS = {name: tuple(split["tweets"] for split in table.values()) for name, table in TABLE1.items()}
"""Tweets in train, dev and test: they identify a published corpus in a folder of any name."""

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


@dataclass(frozen=True)
class Audit:
    """The result of `audit`."""

    corpus: str
    source: str
    published: str
    """Which published corpus this is, by its numbers of tweets; "" if none."""
    version: str
    """"original", "repaired" or "unknown"; "" for a corpus that is not a published one."""
    version_by: str
    """What identified the version: "checksum" or "counts"."""
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
        """Where the B- tags counted here differ from what Table 1 prints, one line each."""
        findings = table1_files(self.published, self.counts)
        start = f"Table 1, {CORPORA.get(self.published)} "
        return [finding.sentence.removeprefix(start) for finding in findings if not finding.agrees]

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

        printed = TABLE1.get(self.published)
        names = list(self.splits)
        out += ["Entities by B- tags (strict IOB2)" + (", beside the paper's Table 1" if printed else "")]
        out.append(f"{'':<22}" + "".join(f"{name:>25}" for name in names))
        for row in (*TYPES, "entities", "tweets"):
            cells = []
            for name in names:
                count = self.counts[name][row]
                paper = printed[name][row] if printed else count
                cells.append(f"{count:,}" + (f"  ≠ {paper:,} printed" if paper != count else ""))
            out.append(f"  {row:<20}" + "".join(f"{cell:>25}" for cell in cells))
        out += ["Entities by seqeval's default reading (an I- without a B- starts one too)"]
        for row in (*TYPES, "entities"):
            out.append(f"  {row:<20}" + "".join(f"{self.splits[name].default[row]:>25,}" for name in names))

        def line(name: str, values: Mapping[str, Any]) -> str:
            return f"  {name:<38}" + "   ".join(f"{split} {value}" for split, value in values.items())

        def by_split(cell: Callable[[SplitAudit], str]) -> dict[str, str]:
            return {name: cell(split) for name, split in self.splits.items()}

        out += ["", "Between the splits"]
        out.append(line("same text", self.same_text))
        out.append(line("same image id", {pair: len(ids) for pair, ids in self.same_image.items()}))
        seen = {name: f"{100 * share:.1f} %" for name, share in self.seen.items()}
        out.append(line("mentions seen in train, same type", seen))
        if self.leaks:
            some = ", ".join(self.leaks[:10]) + (", …" if len(self.leaks) > 10 else "")
            out.append(f"  LEAK: {len(self.leaks)} test images are in train: {some}. Remove those tweets from train.")

        out += ["", "Pictures"]
        out.append(line("tweets without one", by_split(lambda s: f"{s.without_image:,} of {s.tweets:,}")))
        out.append(line("broken", by_split(lambda s: str(len(s.broken)))))
        out += [f"    {problem}" for s in self.splits.values() for problem in s.broken]

        out += ["", f"Text, cut at {self.max_length} word pieces"]
        if any(s.cut is None for s in self.splits.values()):
            out.append("  not counted: name a tokenizer with --text-encoder")
        else:
            out.append(line("tweets cut", by_split(lambda s: f"{s.cut:,} of {s.tweets:,}")))
            out.append(line("gold entities past the cut", by_split(lambda s: str(s.entities_past_cut))))
            out.append(line("words with no piece", by_split(lambda s: str(s.pieceless))))
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
            strict=_by_type(tag[2:] for tweet in tweets for tag in tweet.tags if tag.startswith("B-")),
            default=_by_type(span.type for tweet in tweets for span in spans(tweet.words, tweet.tags)),
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


def _by_type(kinds: Iterable[str]) -> dict[str, int]:
    counts = Counter(kinds)
    return {**{kind: counts[kind] for kind in TYPES}, "entities": counts.total()}


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
        return [problem for problem in bar if problem is not None]


def _cut(tweets: Sequence[Tweet], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, int]:
    config = ModelConfig(text_encoder=RANDOM, images=False, max_length=max_length)
    cut, uncut = Batcher(tokenizer, config), Batcher(tokenizer, replace(config, max_length=10**9))
    uncut.learn_words(tweets)
    cut.learn_words(tweets)
    words = sorted({word for tweet in tweets for word in tweet.words})
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"]
    nothing = {word for word, ids in zip(words, pieces, strict=True) if not ids}
    pieceless = longer = past = 0
    for tweet in tweets:
        inside = len(cut.encode(tweet).first)
        pieceless += sum(word in nothing for word in tweet.words)
        longer += len(uncut.encode(tweet).pieces) > max_length
        past += sum(span.start >= inside for span in spans(tweet.words, tweet.tags))
    return {"pieceless": pieceless, "cut": longer, "entities_past_cut": past}


def _version(published: str, source: Path | None, splits: dict[str, SplitAudit]) -> tuple[str, str]:
    """The version's name and what identified it."""
    sha256 = {}
    if source is not None:
        sha256 = {split: hashlib.sha256(path.read_bytes()).hexdigest() for split, path in text_files(source).items()}
    for version in VERSIONS[published]:
        if len(version.sha256) == 3 and all(sha256.get(s, "").startswith(start) for s, start in version.sha256.items()):
            return version.name, "checksum"
    for version in VERSIONS[published]:
        if all(splits[split].default["entities"] == count for split, count in version.entities.items()):
            return version.name, "counts"
    return "unknown", ""
