"""Case studies: errors sorted by hand and by brute force, rules checked post by post, cards that fit on their page."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import assert_apart_on_the_page, contrast_scores, save_result, text_of, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from test_evaluate import default_spans

from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError, DataError
from mgips.lab import cases
from mgips.lab.cases import RULES, Answers, answers, choose, collect, fitting, load_answers, tally
from mgips.lab.error_kinds import ERRORS, error_kinds, matched
from mgips.lab.figures import style
from mgips.lab.figures.cases import cards, fig9, fig10, verdicts
from mgips.lab.grids import GRIDS
from mgips.lab.results import result_path
from mgips.lab.stats import tweet_counts
from mgips.tags import TYPES, tag_set

ROWS = {"full": "full", "no-ips": "w/o IPS-CL", "no-mgi": "w/o MGI", "text": "text only"}


@pytest.mark.parametrize(
    ("gold", "predicted", "kinds"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", ["right"]),
        ("B-PER I-PER O", "B-PER O O", ["boundary"]),
        ("B-PER I-PER O", "B-LOC I-LOC O", ["type"]),
        ("B-PER I-PER O", "O B-LOC I-LOC", ["boundary and type"]),
        ("B-PER I-PER O", "O O O", ["missed"]),
        ("O O O", "O I-ORG O", ["spurious"]),
        ("B-PER O B-LOC", "O B-PER O", ["missed", "spurious", "missed"]),
        # one prediction over two names: the longer common part takes it, the other is missed
        ("B-PER B-PER I-PER", "B-PER I-PER I-PER", ["missed", "boundary"]),
        # the same type goes before more words in common
        ("B-PER I-PER I-PER O", "B-LOC I-LOC B-PER I-PER", ["spurious", "boundary"]),
        # the right one is right whatever else overlaps
        ("B-PER B-LOC I-LOC", "B-PER B-PER I-PER", ["right", "type"]),
    ],
)
def test_each_kind_of_error_is_what_it_says(gold, predicted, kinds):
    found = matched(gold.split(), predicted.split())
    assert [kind for kind, *_ in found] == kinds
    counts = error_kinds([gold.split()], [predicted.split()])
    assert counts == {kind: kinds.count(kind) for kind in ("right", *ERRORS)}


def by_brute_force(gold, predicted):
    """The stated rule, literally: again and again the best of all pairs that are left."""
    left = [(a, b - 1, t) for a, b, t in default_spans(gold)], [(a, b - 1, t) for a, b, t in default_spans(predicted)]
    found = dict.fromkeys(("right", *ERRORS), 0)
    while True:
        best = None
        for g in left[0]:
            for p in left[1]:
                common = len(set(range(g[0], g[1] + 1)) & set(range(p[0], p[1] + 1)))
                if common:
                    turn = ["right", "type", "boundary", "boundary and type"][2 * (g[:2] != p[:2]) + (g[2] != p[2])]
                    order = ["right", "type", "boundary", "boundary and type"].index(turn), -common, g[0], p[0]
                    best = min(best or (order, turn, g, p), (order, turn, g, p))
        if best is None:
            return {**found, "missed": len(left[0]), "spurious": len(left[1])}
        found[best[1]] += 1
        left[0].remove(best[2])
        left[1].remove(best[3])


words = st.lists(st.sampled_from(tag_set()), min_size=1, max_size=9)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_every_entity_is_counted_once_and_as_the_rule_says(data):
    gold = data.draw(words)
    predicted = data.draw(st.lists(st.sampled_from(tag_set()), min_size=len(gold), max_size=len(gold)))
    found = error_kinds([gold], [predicted])
    assert found == by_brute_force(gold, predicted)
    ((right, said, true),) = tweet_counts([gold], [predicted])
    total = sum(found.values())
    assert (found["right"], total - found["missed"], total - found["spurious"]) == (right, said, true)
    back = error_kinds([predicted], [gold])
    assert back == {**found, "missed": found["spurious"], "spurious": found["missed"]}
    assert error_kinds([gold, gold], [predicted, gold])["right"] == right + true


@pytest.fixture(scope="module")
def small():
    return tinytweets(3, (32, 32, 40))


def test_a_run_keeps_its_tags_and_what_it_mined(small):
    model = tiny_model()
    kept = json.loads(json.dumps(collect(model, small)))
    predicted = model.predict(small.test)
    one = answers(3, small.test, {"full": kept})
    assert one.tags["full"] == predicted
    assert kept["errors"] == error_kinds([t.tags for t in small.test], predicted)
    for row, scores in zip(one.mined, contrast_scores(model, small.test), strict=True):
        assert len(row) == model.config.k
        assert [s for _, s in row] == pytest.approx(sorted(scores.tolist(), reverse=True)[: len(row)], abs=1e-4)
        assert [s for _, s in row] == pytest.approx([float(scores[i]) for i, _ in row], abs=1e-4)


def test_a_model_that_mines_nothing_keeps_no_images(small):
    kept = collect(tiny_model(images=False), small)
    assert kept["mined"] == [] and len(kept["tags"]) == len(small.test)


def invented(seed: int, tweets, wrong) -> Answers:
    """Gold tags, with another type for an entity of some posts; `wrong` says how many of each row."""
    rng, tags = np.random.RandomState(seed), {}
    for row, share in wrong.items():
        tags[row] = [
            [tag[:2] + TYPES[(TYPES.index(tag[2:]) + 1) % 4] if tag != "O" and spoil else tag for tag in tweet.tags]
            for tweet, spoil in zip(tweets, rng.random_sample(len(tweets)) < share, strict=True)
        ]
    mined = [[(int(i), 0.9 - 0.1 * k) for k, i in enumerate(rng.permutation(len(tweets))[:3])] for _ in tweets]
    return Answers(seed, tweets, tags, mined)


SHARES = {"full": 0.3, "no-ips": 0.3, "no-mgi": 0.4, "text": 0.6}


@pytest.fixture(scope="module")
def found():
    return [invented(seed, tinytweets(seed, (8, 8, 80)).test, SHARES) for seed in (0, 1)]


def holds(letter, full, ips, mgi, text, unrelated):
    return {
        "a": (full and not ips, ips and not full),
        "b": (unrelated and full and not mgi, unrelated and mgi and not full),
        "c": (not full and (ips or mgi or text), full and not (ips and mgi and text)),
    }[letter]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.letter)
def test_a_rule_holds_where_it_says(rule, found):
    like = reverse = of = 0
    shares = []
    for one in found:
        fits, turned, could = fitting(rule, one)
        for place, tweet in enumerate(one.tweets):
            right = [default_spans(tweet.tags) == default_spans(one.tags[row][place]) for row in ROWS]
            unrelated = tweet.image is not None and not tweet.truth.related
            assert (fits[place], turned[place]) == holds(rule.letter, *right, unrelated)
            assert could[place] == (unrelated or not rule.unrelated)
        like, reverse, of = like + fits.sum(), reverse + turned.sum(), of + could.sum()
        shares.append((fits.sum() - turned.sum()) / could.sum())
    counted = tally(rule, found)
    assert (counted.like, counted.reverse, counted.of) == (like, reverse, of) and like and reverse
    if counted.difference:
        assert counted.difference.difference == pytest.approx(np.mean(shares))
        assert counted.difference.low <= counted.difference.difference <= counted.difference.high


def test_with_the_two_variants_exchanged_a_rule_turns_into_its_reverse(found):
    turned = [replace(o, tags={**o.tags, "full": o.tags["no-ips"], "no-ips": o.tags["full"]}) for o in found]
    one, two = tally(RULES[0], found), tally(RULES[0], turned)
    assert (one.like, one.reverse) == (two.reverse, two.like)
    assert one.difference.difference == pytest.approx(-two.difference.difference)


def test_a_clear_difference_is_said_and_a_null_one_is_not_made_up():
    tweets = tinytweets(0, (8, 8, 120)).test
    clear = [invented(s, tweets, {**SHARES, "full": 0.1, "no-ips": 0.6}) for s in range(3)]
    assert tally(RULES[0], clear).difference.verdict == "helps"
    same = [replace(o, tags={**o.tags, "no-ips": o.tags["full"]}) for o in clear]
    counted = tally(RULES[0], same)
    assert (counted.like, counted.reverse, counted.difference.verdict) == (0, 0, "no detectable difference")
    assert choose(RULES[0], same) is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.letter)
def test_the_case_is_the_first_in_the_stated_order(rule, found):
    right_of = {one.seed: one.right for one in found}

    def order(one, place):
        tweet, right = one.tweets[place], right_of[one.seed]
        beside = sum(right[row][place] == rule.full_right for row in ROWS)
        good = sum(relevant(tweet, one.tweets[i]) for i, _ in one.mined[place])
        return tweet.image is None, beside, -good, one.seed, place

    best = min(order(one, place) for one in found for place in np.flatnonzero(fitting(rule, one)[0]))
    for ordered in (found, found[::-1]):
        case = choose(rule, ordered)
        assert (case.seed, case.place) == best[-2:]
        assert case.tweet is found[case.seed].tweets[case.place]
        assert [known for *_, known in case.mined] == [relevant(case.tweet, other) for other, *_ in case.mined]
        assert case.tags == {row: found[case.seed].tags[row][case.place] for row in ROWS}


def test_posts_of_unknown_truth_make_no_cases(small):
    posts = [replace(tweet, truth=None) for tweet in small.test]
    with pytest.raises(ConfigError, match="only TinyTweets does"):
        answers(0, posts, {"full": collect(tiny_model(), small)})


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Invented runs of the grid, on small draws of TinyTweets; the folder."""
    monkeypatch.setattr(cases, "grid_corpus", lambda name, seed: tinytweets(seed, (8, 8, 80)))
    for seed in GRIDS["fig9"].seeds:
        corpus = tinytweets(seed, (8, 8, 80))
        one = invented(seed, corpus.test, SHARES)
        gold = [tweet.tags for tweet in corpus.test]
        for row in GRIDS["fig9"].rows:
            kept = {
                "tags": ["".join(str(tag_set().index(tag)) for tag in tags) for tags in one.tags[row.name]],
                "mined": one.mined if row.name != "text" else [],
                "errors": error_kinds(gold, one.tags[row.name]),
            }
            counts = tweet_counts(gold, one.tags[row.name]).tolist()
            save_result(tmp_path, "fig9", row, seed, sha256=corpus.fingerprint(), counts=counts, cases=kept)
    return tmp_path


def test_records_are_read_back(records):
    found = load_answers(folder=records)
    assert [one.seed for one in found] == list(GRIDS["fig9"].seeds)
    for one in found:
        again = invented(one.seed, one.tweets, SHARES)
        assert one.tags == again.tags and one.mined == again.mined


@pytest.mark.parametrize("spoil", [lambda r: r.pop("cases"), lambda r: r["corpus"].update(sha256="0")])
def test_records_of_other_posts_are_refused(records, spoil):
    path = result_path(records, "fig9", "no-mgi", 1)
    record = json.loads(path.read_text())
    spoil(record)
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="no-mgi-s1.*(not made on the posts of seed 1|made on different posts).*remove"):
        load_answers(folder=records)


@pytest.mark.parametrize(("draw", "letters"), [(fig9, "ab"), (fig10, "c")])
def test_a_card_says_how_many_are_like_it_and_nothing_overlaps(draw, letters, records):
    style.use()
    figure = draw(folder=records)
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert_apart_on_the_page(figure, texts)
    told, found = " ".join(t.get_text() for t in texts), load_answers(folder=records)
    for rule in RULES:
        counted, case = tally(rule, found), choose(rule, found)
        shown = f"{counted.like} of {counted.of} posts are like this one, {counted.reverse} are the reverse" in told
        assert shown == (rule.letter in letters)
        if shown:
            assert f"({rule.letter}) {counted.like} of {counted.of} posts: {rule.says}" in figure.get_suptitle()
            assert f"post {case.tweet.id} of seed {case.seed}" in told
            assert not counted.difference or counted.difference.verdict in figure.get_suptitle()
    assert "Measured on TinyTweets" in told and "seeds 0-2" in told and told.count("mined ") == 3 * len(letters)


def test_a_missing_run_is_named_in_the_figures_place(records):
    result_path(records, "fig9", "text", 2).unlink()
    told = text_of(fig9(folder=records))
    assert "1 run is missing" in told and "text-s2" in told and "sweep fig9" in told


def test_a_rule_that_no_post_fits_says_so(found):
    same = [replace(o, tags={**o.tags, "no-ips": o.tags["full"]}) for o in found]
    figure = cards([(RULES[0], choose(RULES[0], same), tally(RULES[0], same))], ROWS)
    told = text_of(figure)
    assert "no post fits" in told and "0 of 160 posts" in told


def test_an_answer_is_told_for_each_gold_entity_and_what_is_spurious_last():
    gold = "B-PER I-PER O B-LOC O O B-ORG O".split()
    said = "B-PER I-PER O B-ORG B-PER O O O".split()
    assert verdicts(gold, said) == [("PER", True), ("ORG", False), ("none", False), ("+ PER", False)]
    assert verdicts(gold[:3], "O B-PER O".split()) == [("PER …", False)]
    assert verdicts(["O"], ["O"]) == []
