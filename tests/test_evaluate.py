"""Scores against sets of spans counted by hand, in both readings."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgips.data.spans import spans
from mgips.errors import MGIPSError
from mgips.evaluate import score
from mgips.lab.stats import (
    Difference,
    concluded,
    corrected,
    counts_f1,
    f1_interval,
    flip_rate,
    flips,
    holm,
    paired_bootstrap,
    rank_correlation,
    t_difference,
    t_interval,
    tweet_counts,
)
from mgips.tags import tag_set

sequences = st.lists(st.lists(st.sampled_from(tag_set()), min_size=1, max_size=8), min_size=1, max_size=4)


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
    predicted = [data.draw(st.lists(st.sampled_from(tag_set()), min_size=len(g), max_size=len(g))) for g in gold]

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


# ---- significance ----


def some_counts(seed: int, better: float = 0.0, tweets: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Two systems on the same tweets, the second right more often."""
    rng = np.random.RandomState(seed)
    gold = rng.randint(0, 4, tweets)
    systems = []
    for share in (0.6, 0.6 + better):
        predicted = rng.randint(0, 4, tweets)
        right = rng.binomial(np.minimum(gold, predicted), share)
        systems.append(np.stack([right, predicted, gold], 1))
    return systems[0], systems[1]


def test_tweet_counts_add_up_to_seqevals_score():
    gold = [["B-PER", "I-PER", "O"], ["I-LOC", "O"], ["O"], ["B-ORG", "B-ORG"]]
    predicted = [["B-PER", "O", "O"], ["B-LOC", "O"], ["B-PER"], ["B-ORG", "B-ORG"]]
    counts = tweet_counts(gold, predicted)
    assert counts.tolist() == [[0, 1, 1], [1, 1, 1], [0, 1, 0], [2, 2, 2]]
    assert counts_f1(counts) == pytest.approx(score(gold, predicted).f1)
    assert tweet_counts([], []).shape == (0, 3)


def test_the_bootstrap_agrees_with_a_plain_loop():
    pairs = [some_counts(s, 0.3) for s in range(3)]
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = paired_bootstrap(first, second, draws=4000)
    rng, samples = np.random.RandomState(7), []
    for _ in range(2000):
        gains = []
        for s in rng.randint(3, size=3):
            drawn = rng.randint(60, size=60)
            gains.append(counts_f1(second[s][drawn]) - counts_f1(first[s][drawn]))
        samples.append(np.mean(gains))
    assert found.difference == pytest.approx(np.mean([counts_f1(b) - counts_f1(a) for a, b in pairs]))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(samples, [2.5, 97.5])), abs=0.012)
    assert found.verdict == "helps" and found.p < 0.05


def test_the_bootstrap_does_not_see_what_is_not_there():
    first = [some_counts(s)[0] for s in range(3)]
    same = paired_bootstrap(first, first)
    assert (same.difference, same.low, same.high, same.p, same.verdict) == (0, 0, 0, 1, "no detectable difference")
    back = paired_bootstrap([some_counts(s, 0.3)[1] for s in range(3)], [some_counts(s, 0.3)[0] for s in range(3)])
    assert back.verdict == "hurts"


def test_systems_scored_on_different_tweets_are_refused():
    a, b = some_counts(0)
    for other in ([b[:-1]], [np.roll(b, 1, 0)], [b, b]):
        with pytest.raises(MGIPSError, match="same tweets"):
            paired_bootstrap([a], other)


def pooled_f1(rows) -> float:
    """F1 of some tweets' (right, predicted, gold), added up one by one."""
    right, predicted, gold = (sum(int(row[i]) for row in rows) for i in range(3))
    return 2 * right / (predicted + gold) if predicted + gold else 0.0


def test_an_f1s_interval_is_that_of_resampling_tweet_by_tweet():
    counts, draws = some_counts(4)[0], 300
    rng, samples = np.random.RandomState(9), []
    rng.randint(1, size=draws)  # which seed, of one
    for times in rng.multinomial(len(counts), [1 / len(counts)] * len(counts), size=draws):
        samples.append(pooled_f1([row for row, n in zip(counts, times, strict=True) for _ in range(n)]))
    found = f1_interval([counts], draws, seed=9)
    assert (found.value, found.count) == (pytest.approx(pooled_f1(counts)), counts[:, 2].sum())
    assert (found.low, found.high) == pytest.approx((np.quantile(samples, 0.025), np.quantile(samples, 0.975)))
    assert found.low < found.value < found.high


def test_an_f1s_interval_tends_to_that_of_all_resamples_there_are():
    counts = np.array([[1, 1, 1], [0, 1, 2], [2, 3, 2]])
    every = sorted(pooled_f1(chosen) for chosen in product(counts, repeat=3))  # 27, each as likely as the others
    found = f1_interval([counts], 40_000)
    # Each resample holds 3.7 % of the probability: a tail of 2.5 % lies inside the first and inside the last.
    assert (found.low, found.high) == pytest.approx((every[0], every[-1]))


def test_an_f1_of_several_seeds_is_their_mean_and_its_interval_covers_their_spread():
    good, bad = np.array([[2, 2, 2]] * 40), np.array([[1, 2, 2]] * 40)
    found = f1_interval([good, bad])
    assert found.value == pytest.approx(0.75) and found.count == 160
    assert (found.low, found.high) == pytest.approx((0.5, 1.0))  # one time in four both draws are the same seed
    assert f1_interval([good, good]).low == f1_interval([good]).high == 1.0


def test_flips_are_posts_with_any_other_tag():
    first = [["O", "B-PER"], ["B-LOC"], ["O", "O", "O"]]
    second = [("O", "B-PER"), ("B-ORG",), ("O", "O", "B-LOC")]
    assert flips(first, second).tolist() == [False, True, True]
    assert flips(first, first).tolist() == [False] * 3 and flips([], []).shape == (0,)


@pytest.mark.parametrize(("changed", "posts"), [(0, 12), (3, 12), (12, 12), (61, 300)])
def test_a_flip_rates_ends_are_the_rates_that_the_data_would_just_refuse(changed, posts):
    """Wilson's interval by its definition: |share - p| = 1.96 standard errors, the errors being those of p."""
    found = flip_rate([["O"]] * posts, [["B-PER"]] * changed + [["O"]] * (posts - changed))
    assert (found.value, found.count) == (changed / posts, posts) and 0 <= found.low <= found.value <= found.high <= 1
    for p in (found.low, found.high):
        if 1e-9 < p < 1 - 1e-9:
            assert abs(found.value - p) == pytest.approx(1.959964 * np.sqrt(p * (1 - p) / posts), rel=1e-5)
    assert (found.low < 1e-9) == (changed == 0) and (found.high > 1 - 1e-9) == (changed == posts)


def test_of_no_posts_nothing_is_known():
    found = flip_rate([], [])
    assert (found.value, found.low, found.high, found.count) == (0, 0, 1, 0)


def test_a_t_interval_is_the_textbooks_and_a_single_seed_has_none():
    mean = t_interval([0.1, 0.2, 0.3])  # t = 4.303 with two degrees of freedom; s = 0.1
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert (mean.value, mean.low, mean.high, mean.count) == pytest.approx((0.2, 0.2 - half, 0.2 + half, 3))
    one, same = t_difference([0.2]), t_difference([0.0, 0.0])
    assert (one.low, one.high, one.p) == (0.2, 0.2, 0) and (same.p, same.verdict) == (1, "no detectable difference")


def test_a_detectable_difference_is_found_four_times_in_five():
    se = 0.01
    size = Difference(0.0, -1.959964 * se, 1.959964 * se, 1.0).detectable
    estimates = np.random.RandomState(0).normal(size, se, 20_000)
    assert np.mean(np.abs(estimates) > 1.959964 * se) == pytest.approx(0.8, abs=0.01)
    stored = {"difference": 0.3, "low": 0.1, "high": 0.5, "p": 0.01, "verdict": "cannot tell"}
    assert Difference.from_dict(stored).to_dict() == {**stored, "verdict": "helps"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.012, 0.02, 0.04, 0.3, 1.0]) | st.floats(0, 1), max_size=6))
def test_holm_is_the_closed_test_of_all_subsets(p_values):
    """A row's corrected p is the largest Bonferroni p of all sets of rows that it is in."""
    rows = range(len(p_values))
    sets = [chosen for size in rows for chosen in combinations(rows, size + 1)]
    expected = [
        max(min(1.0, len(chosen) * min(p_values[i] for i in chosen)) for chosen in sets if row in chosen)
        for row in rows
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_what_is_concluded_of_a_row_depends_on_the_others():
    row, clear = Difference(0.02, 0.001, 0.04, 0.03), Difference(-0.3, -0.4, -0.2, 0.0)
    alone, table = corrected({"row": row}), corrected({"row": row, "clear": clear, "same": Difference(0, 0, 0, 1)})
    assert (alone["row"], table) == (0.03, {"row": 0.06, "clear": 0.0, "same": 1.0})
    assert concluded(row, alone["row"]) == "helps" and concluded(clear, table["clear"]) == "hurts"
    assert concluded(row, table["row"]) == "no detectable difference" and row.verdict == "helps"


def spearman(x, y):
    """By counting: a value's rank is how many are smaller, and half of the others that are equal."""
    ranks = [[sum(b < a for b in of) + (sum(b == a for b in of) - 1) / 2 for a in of] for of in (x, y)]
    away = [[rank - sum(of) / len(of) for rank in of] for of in ranks]
    size = (sum(a * a for a in away[0]) * sum(b * b for b in away[1])) ** 0.5
    return sum(a * b for a, b in zip(*away, strict=True)) / size if size else 0.0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=2, max_size=9))
def test_rank_correlation_by_counting(pairs):
    x, y = zip(*pairs, strict=True)
    found = rank_correlation(x, y, draws=50)
    assert found.value == pytest.approx(spearman(x, y)) and found.count == len(pairs)
    assert -1 - 1e-9 <= found.low <= found.high <= 1 + 1e-9


def test_a_rank_correlation_and_what_it_would_have_detected():
    x, noise = np.arange(60.0), np.random.RandomState(1).rand(60)
    assert rank_correlation(x, x**3).value == pytest.approx(1) and rank_correlation(x, -x).value == pytest.approx(-1)
    found = rank_correlation(x, noise)
    assert found.low < 0 < found.high and found.low < found.value < found.high
    assert found == rank_correlation(x, noise) != rank_correlation(x, noise, seed=1)
    assert found.detectable == Difference(found.value, found.low, found.high, 1.0).detectable
    # The interval's half is 1.96 standard errors; 80 % power needs 1.96 + 0.84 of them.
    assert found.detectable == pytest.approx(2.80 / 3.92 * (found.high - found.low), rel=1e-3)
    for wrong in (([1.0], [2.0]), ([1.0, 2.0], [1.0])):
        with pytest.raises(MGIPSError, match="two lists of one length"):
            rank_correlation(*wrong)
