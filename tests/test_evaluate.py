"""Scores against sets of spans counted by hand, in both readings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgips.data.corpus import TAGS
from mgips.errors import MGIPSError
from mgips.evaluate import score, spans

sequences = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1, max_size=4)


def default_spans(tags):
    """conlleval's reading: an entity starts at B-, or at I- that does not continue one of its type."""
    found, open_ = set(), None
    for i, tag in enumerate([*tags, "O"]):
        kind = tag[2:]
        if open_ and not (tag.startswith("I-") and kind == open_[1]):
            found.add((open_[0], i, open_[1]))
            open_ = None
        if tag != "O" and (tag.startswith("B-") or open_ is None):
            open_ = (i, kind)
    return found


def strict_spans(tags):
    """IOB2: an entity is B-X and the I-X that follow it, nothing else."""
    found, i = set(), 0
    while i < len(tags):
        end = i + 1
        if tags[i].startswith("B-"):
            while end < len(tags) and tags[end] == "I-" + tags[i][2:]:
                end += 1
            found.add((i, end, tags[i][2:]))
        i = end
    return found


@pytest.mark.parametrize(("scheme", "reading"), [("default", default_spans), ("strict", strict_spans)])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_scores_are_counts_of_spans(scheme, reading, data):
    gold = data.draw(sequences)
    predicted = [data.draw(st.lists(st.sampled_from(TAGS), min_size=len(g), max_size=len(g))) for g in gold]

    def count(kind=None):
        pairs = [({s for s in reading(g) if kind in (None, s[2])}, {s for s in reading(p) if kind in (None, s[2])})
                 for g, p in zip(gold, predicted, strict=True)]  # fmt: skip
        return sum(len(a & b) for a, b in pairs), sum(len(b) for _, b in pairs), sum(len(a) for a, _ in pairs)

    found = score(gold, predicted, scheme)
    for name, one in {None: found, **found.per_type}.items():
        right, said, true = count(name)
        p, r = right / said if said else 0, right / true if true else 0
        assert (one.precision, one.recall) == (pytest.approx(p), pytest.approx(r))
        assert one.f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0)
        assert one.support == true
    assert set(found.per_type) >= {s[2] for tags in gold for s in reading(tags)}


def test_the_two_readings_differ_where_an_entity_starts_with_i():
    gold = [["I-PER", "O", "B-LOC"]]
    assert score(gold, gold).support == 2
    assert score(gold, gold, "strict").support == 1
    assert score(gold, gold, "strict").scheme == "strict"


def test_nothing_gold_and_nothing_found_is_zero():
    for scheme in ("default", "strict"):
        assert score([["O", "O"]], [["O", "O"]], scheme).f1 == 0.0
    assert score([["I-PER"]], [["O"]], "strict").support == 0


def test_wrong_shapes_say_where():
    with pytest.raises(MGIPSError, match="2 tweets in gold and 1"):
        score([["O"], ["O"]], [["O"]])
    with pytest.raises(MGIPSError, match="Tweet 1 has 2 gold tags and 1"):
        score([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(MGIPSError, match="'loose'"):
        score([["O"]], [["O"]], "loose")


def test_the_table_names_its_reading_and_numbers_are_plain():
    found = score([["B-PER", "O"], ["B-LOC"]], [["B-PER", "O"], ["B-ORG"]])
    text = str(found)
    assert "default reading" in text and "PER" in text and "50.00" in text
    assert type(found.f1) is float and type(found.support) is int
    assert found.to_dict()["per_type"]["PER"]["f1"] == 1.0


def test_spans_have_words():
    found = spans(("Ada", "Lovelace", "in", "Paris"), ("B-PER", "I-PER", "O", "B-LOC"))
    assert [(s.start, s.end, s.type, s.text) for s in found] == [(0, 2, "PER", "Ada Lovelace"), (3, 4, "LOC", "Paris")]
