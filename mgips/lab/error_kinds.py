"""What is wrong with a wrong entity: its boundary, its type, both; or it was missed, or is spurious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

from seqeval.metrics.sequence_labeling import get_entities

Chunk = tuple[str, int, int]
"""seqeval's entity: type, first and last word."""

ERRORS = ("boundary", "type", "boundary and type", "missed", "spurious")
"""The ways in which an entity can be wrong, see `matched`."""


def matched(gold: Sequence[str], predicted: Sequence[str]) -> list[tuple[str, Chunk | None, Chunk | None]]:
    """The gold and the predicted entities of one tweet (default reading), matched one to one, in the order of their words.

    Each entity is used once. Pairs are made in four rounds: the same words and type ("right"); the same words, another
    type ("type"); words in common, the same type ("boundary"); words in common, another type ("boundary and type").
    Within a round the pair with the most words in common goes first, of these the one whose gold entity starts first,
    then the one whose predicted entity does. Gold entities that are left over are "missed", predicted ones "spurious".

    Returns:
        (kind, gold entity or None, predicted entity or None).
    """
    left: tuple[list[Chunk], list[Chunk]] = get_entities(list(gold)), get_entities(list(predicted))
    pairs = []
    for g, p in product(*left):
        common = min(g[2], p[2]) - max(g[1], p[1]) + 1  # words in both; 0 or less where there is none
        if common > 0:
            pairs.append((g[1:] != p[1:], g[0] != p[0], -common, g[1], p[1], g, p))
    matches: list[tuple[str, Chunk | None, Chunk | None]] = []
    for other_words, other_type, *_, g, p in sorted(pairs):
        if g in left[0] and p in left[1]:
            left[0].remove(g)
            left[1].remove(p)
            matches.append((" and ".join(["boundary"] * other_words + ["type"] * other_type) or "right", g, p))
    matches += [("missed", g, None) for g in left[0]] + [("spurious", None, p) for p in left[1]]
    return sorted(matches, key=lambda match: (match[1] or match[2] or ())[1:])


def error_kinds(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many entities are right, and how many wrong in which way, by the rule of `matched`.

    All but "spurious" add up to the gold entities, all but "missed" to the predicted ones.
    """
    counts = Counter(kind for a, b in zip(gold, predicted, strict=True) for kind, _, _ in matched(a, b))
    return {kind: counts[kind] for kind in ("right", *ERRORS)}
