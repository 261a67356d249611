"""Entity types and the tags made of them: the paper's four, or those of any other corpus.

Inside the package tags are BIO. Files may also say IOB1 (I- begins an entity unless it touches one of its own type) or
BIOES, also written BILOU; `to_bio` reads all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mgips.errors import ConfigError

TYPES = ("PER", "LOC", "ORG", "MISC")
"""The paper's entity types, in the order of Table 1. Where a corpus has PER, LOC, ORG and OTHER, as the files of
Twitter-2015 have, OTHER is read as MISC."""
MOST = 100
"""Entity types that a model may have."""
TAG = re.compile(r"O|([BIESLU])-(\S+)")
"""A tag of any of the schemes."""


def tag_set(types: Sequence[str] = TYPES) -> tuple[str, ...]:
    """The C = 1 + 2T tags of T entity types, in the order of their ids: O, then B- and I- of each type.

    >>> tag_set(["PER", "LOC"])
    ('O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC')
    """
    return ("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def in_order(types: Iterable[str]) -> tuple[str, ...]:
    """Types without repetition: the paper's in their order, then the others by name."""
    found = set(types)
    return (*(kind for kind in TYPES if kind in found), *sorted(found.difference(TYPES)))


def found_types(sequences: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The entity types of BIO tags, in order."""
    return in_order(tag[2:] for tag in {tag for tags in sequences for tag in tags} if tag != "O")


def check_types(types: Sequence[str]) -> None:
    """Refuse what cannot be a label set.

    Raises:
        ConfigError: no type or more than MOST, one twice, or one that is empty or holds a blank.
    """
    if not 1 <= len(types) <= MOST:
        raise ConfigError(f"There are {len(types)} entity types; a model has 1 to {MOST}.")
    for kind in types:
        if not isinstance(kind, str) or not TAG.fullmatch(f"B-{kind}"):
            raise ConfigError(f"The entity type {kind!r} is empty or holds a blank; name it by one word.")
    if len(set(types)) < len(types):
        raise ConfigError(f"An entity type is listed twice in {', '.join(types)}; name each once.")


def to_bio(sequences: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Tags of one file, in whichever scheme it has, as BIO.

    The scheme is read off the whole file: BIOES where there is an E-, S-, L- or U-; IOB1 where entities begin with I-
    and each B- touches an entity of its own type; otherwise BIO, where an I- without a B- is kept as it is.
    """
    prefixes = {tag[0] for tags in sequences for tag in tags}
    if prefixes & set("ESLU"):
        return [tuple(_from_bioes(tags)) for tags in sequences]
    begun = [
        (tag, tag[1:] == before[1:])
        for tags in sequences
        for before, tag in zip(("O", *tags), tags, strict=False)
        if tag[0] == "B" or (tag[0] == "I" and tag[1:] != before[1:])
    ]
    if any(tag[0] == "I" for tag, _ in begun) and all(touches for tag, touches in begun if tag[0] == "B"):
        return [tuple(_from_iob1(tags)) for tags in sequences]
    return [tuple(tags) for tags in sequences]


def _from_bioes(tags: Sequence[str]) -> Iterable[str]:
    inside = ""
    for tag in tags:
        prefix, kind = tag[0], tag[2:]
        goes_on = prefix in "IEL" and inside == kind
        yield tag if tag == "O" else f"{'I' if goes_on else 'B'}-{kind}"
        inside = kind if prefix in "BI" else ""


def _from_iob1(tags: Sequence[str]) -> Iterable[str]:
    for before, tag in zip(("O", *tags), tags, strict=False):
        yield f"B{tag[1:]}" if tag[0] == "I" and before[1:] != tag[1:] else tag
