"""The table of posts and what was mined for them: pools, filters, orders, hubs and tags, each beside a plain loop."""

import asyncio
import dataclasses
import json
import math
import threading

import numpy as np
import pytest
import torch
from builders import encoded, picture, tiny_model, tweets, variant_model

from mgips.data.batch import TweetDataset, training_batches
from mgips.data.corpus import Corpus, Tweet
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError, DataError
from mgips.lab.mined import FOUND, ORDERS, SEEN, UNTAGGED, Filter, MinedPosts, Read, Tags, embedding, sources, within
from mgips.lab.widgets import inspect_pairs
from mgips.mining import contrast_vectors, mine_into, mine_split

K = 3


def run(steps):
    """What a generator returns; its shares grow to 1 at most."""
    last = 0.0
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        assert last <= share <= 1
        last = share


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def cosines(model, days):
    """(40, 40), rows are texts."""
    data = TweetDataset(days.test, model.batcher, progress=False)
    texts, images = contrast_vectors(model, data, progress=False)
    return (texts.double() @ images.double().T).float()


def table(model, corpus, read=None) -> MinedPosts:
    """The test split, mined whole."""
    data = TweetDataset(corpus.test, model.batcher, progress=False)
    mining = mine_split(*contrast_vectors(model, data, progress=False), len(corpus.test))
    predicted = model.predict_dataset(data)
    return MinedPosts(corpus.test, predicted, mining, train=corpus.train, model=model, data=data)


@pytest.fixture
def posts(model, days):
    return table(model, days)


def best(cosines, place, k, own_too=False, allowed=lambda other: True) -> list[int]:
    """The K best images for a text, by a plain loop; of equal ones the first."""
    others = [j for j in range(cosines.shape[1]) if (own_too or j != place) and allowed(j)]
    return sorted(others, key=lambda j: (-cosines[place, j].item(), j))[:k]


@pytest.mark.parametrize("own_too", [False, True])
def test_what_is_shown_and_counted_is_what_a_loop_finds(posts, cosines, own_too):
    posts.own_too = own_too
    wanted = [best(cosines, place, K, own_too) for place in range(40)]
    index, score = posts.chosen(K)
    assert index.tolist() == wanted
    assert [[i for i, _ in posts.row(place).images[:K]] for place in range(40)] == wanted
    assert torch.allclose(score, cosines.gather(1, index), atol=1e-6)
    counts = [sum(place in row for row in wanted) for place in range(40)]
    assert posts.counts(K).tolist() == counts
    hubs, chance = posts.hubs(K)
    assert hubs == sorted(((i, c) for i, c in enumerate(counts) if c), key=lambda hub: (-hub[1], hub[0]))
    assert chance == 40 * K / 40


def test_orders_are_by_what_they_say(posts, cosines, days):
    tags = [[s.type for s in row] for row in posts.predicted]
    by = {
        "split order": list(range(40)),
        "best score": [max(cosines[i, j].item() for j in range(40) if j != i) for i in range(40)],
        "margin": [max(cosines[i, j].item() for j in range(40) if j != i) - cosines[i, i].item() for i in range(40)],
        "own rank": [sum(cosines[i, j] > cosines[i, i] for j in range(40)).item() + 1 for i in range(40)],
        "hub count": [sum(i in best(cosines, j, K) for j in range(40)) for i in range(40)],
        "wrong entities": [
            len({(s.start, s.end, s.type) for s in posts.gold[i]} ^ {(s.start, s.end, s.type) for s in posts.predicted[i]})
            for i in range(40)
        ],
    }  # fmt: skip
    assert set(by) == set(ORDERS) and any(tags)
    for name, values in by.items():
        if name != "wrong entities":  # there a pair with words in common counts once
            assert posts.values(name, K).tolist() == pytest.approx(values, abs=1e-6)
        else:
            found = posts.values(name, K).tolist()
            assert all(math.ceil(v / 2) <= f <= v for v, f in zip(values, found, strict=True)) and max(found) > 0
            values = found
        for high in (False, True):
            chosen = posts.choose(Filter(), K, name, high)
            if name == "split order":
                assert chosen == (values if high else values[::-1])
                continue
            shown = [posts.values(name, K)[i].item() for i in chosen]
            assert shown == sorted(shown, reverse=high) and sorted(chosen) == list(range(40))
    bare = dataclasses.replace(days, test=tuple(dataclasses.replace(t, tags=()) for t in days.test[:6]))
    plain = table(posts.model, bare)
    assert plain.values("wrong entities", K).isnan().all()
    assert plain.choose(Filter(), K, "wrong entities") == list(range(6))  # unknown: as in the split


def test_posts_without_a_value_come_last_both_ways(posts):
    posts.pictures.mining.own_rank[[2, 5]] = -1
    for high in (False, True):
        assert posts.choose(Filter(), K, "own rank", high)[-2:] == [2, 5]


def test_filters_choose_what_a_loop_chooses(posts, cosines, days):
    train = {entity for t in days.train for entity in entities(t)}
    fits = [any(relevant(t, days.test[j]) for j in best(cosines, i, K)) for i, t in enumerate(days.test)]
    known = [[entity in train for entity in entities(t)] for t in days.test]
    top = sorted(posts.values("best score", K).tolist())[20]
    cases = {
        Filter(seen=SEEN[0]): [bool(row) and all(row) for row in known],
        Filter(seen=SEEN[1]): [bool(row) and not all(row) for row in known],
        Filter(found=FOUND[0]): fits,
        Filter(found=FOUND[1]): [not fit for fit in fits],
        Filter(type="PER"): ["B-PER" in t.tags for t in days.test],
        Filter(image="missing"): [t.image is None for t in days.test],
        Filter(prediction="right"): [g == p for g, p in zip(posts.gold, posts.predicted, strict=True)],
        Filter(least=top): [v >= top for v in posts.values("best score", K).tolist()],
        Filter(mines=7): [7 in best(cosines, i, K) for i in range(40)],
        Filter(search="PARIS"): ["paris" in " ".join(t.words).lower() for t in days.test],
    }
    for chosen, passes in cases.items():
        assert posts.choose(chosen, K) == [i for i, pass_ in enumerate(passes) if pass_]
    both = Filter(type="PER", least=top, found=FOUND[1])
    expected = set(range(40))
    for part in (Filter(type="PER"), Filter(least=top), Filter(found=FOUND[1])):
        expected &= {i for i, pass_ in enumerate(cases[part]) if pass_}
    assert posts.choose(both, K) == sorted(expected)
    assert both.words() == ["PER", FOUND[1], f"from{top:g}"]


def entities(tweet: Tweet) -> list[tuple[list[str], str]]:
    """Gold entities in lower case, by a plain walk over BIO tags."""
    found, words = [], [w.lower() for w in tweet.words]
    for i, tag in enumerate(tweet.tags):
        if tag.startswith("B-"):
            found.append(([words[i]], tag[2:]))
        elif tag.startswith("I-"):
            found[-1][0].append(words[i])
    return [(" ".join(part), kind) for part, kind in found]


@pytest.fixture
def folder(tmp_path):
    """Four pictures and a file that is none."""
    place = tmp_path / "own"
    place.mkdir()
    for number in range(4):
        (place / f"{number}.png").write_bytes(encoded(picture(number)))
    (place / "notes.txt").write_text("no picture")
    (place / ".hidden").write_text("not looked at")
    return place


@pytest.mark.parametrize("kind", ["full", "reads"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pools_are_mined_as_a_loop_would(kind, days, folder):
    model = variant_model(kind)
    split = days.test
    posts = table(model, days)
    pools = sources(split, days.train, 8, folder)
    assert list(pools) == ["split", "same day", "batch", "train", "folder"]
    batch_of = {i: n for n, row in enumerate(training_batches(split, 8, seed=0, epoch=0)) for i in row}
    for name in ("same day", "batch", "train", "folder"):
        pictures = run(posts.mine(pools[name], 5))
        candidates = pools[name].posts
        data = [TweetDataset(some, model.batcher, progress=False) for some in (split, candidates)]
        texts = contrast_vectors(model, data[0], progress=False)[0].double()
        images = contrast_vectors(model, data[1], progress=False)[1].double()
        score = texts @ images.T
        if kind == "reads":
            times = [torch.tensor([t.time for t in some], dtype=torch.float64) for some in (split, candidates)]
            with torch.no_grad():
                score -= model.reader.penalty(*times).double()
        whole = data[1].has_image if kind == "reads" or name == "folder" else torch.ones(len(candidates)).bool()
        for place in range(40):
            may = [
                j
                for j in range(len(candidates))
                if whole[j]
                and (name != "same day" or split[j].time // 1 == split[place].time // 1)
                and (name != "batch" or batch_of[j] == batch_of[place])
            ]
            found = [j for j in pictures.mining.index[place].tolist() if j >= 0]
            assert len(found) == min(5, len(may), int(whole.sum())) and set(found) <= set(may)
            wanted = sorted((score[place, j].item() for j in may), reverse=True)[: len(found)]
            assert pictures.mining.score[place, : len(found)].tolist() == pytest.approx(wanted, abs=1e-5)
        posts.use(pictures)
        row = posts.row(0)
        assert (row.own_rank is None) == (name in ("train", "folder")) and math.isfinite(row.own_score)
        assert posts.unreadable == (["notes.txt"] if name == "folder" else [])
        assert run(posts.mine(pools[name], 5)) is pictures  # mined once


def test_a_folder_that_is_none_or_holds_nothing_is_one_sentence(days, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere cannot be read \(No such file or directory\); check its name"):
        sources(days.test, (), 8, tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no file; put pictures there"):
        sources(days.test, (), 8, tmp_path)


def test_a_folder_without_pictures_cannot_be_mined_and_the_pool_stays(model, days, tmp_path):
    (tmp_path / "text.txt").write_text("no picture")
    pairs = inspect_pairs(model, days, progress=False, pictures=tmp_path, tags=tmp_path / "tags.json")
    with pytest.raises(ConfigError, match="“folder” holds no picture that can be mined"):
        pairs._pool.value = "folder"
    assert pairs._pool.value == "split" and "holds no picture" in pairs.error.value


def test_embedding_equals_that_of_the_whole_split_and_tells_how_far_it_is(model, days):
    data = TweetDataset(days.test, model.batcher, progress=False)
    texts, images = contrast_vectors(model, data, progress=False)
    for given in (data, None):
        steps = embedding(model, days.test, given)
        found = run(steps)
        assert torch.allclose(found.texts, texts, atol=1e-5) and torch.allclose(found.images, images, atol=1e-5)
        assert found.has_image.tolist() == [t.image is not None for t in days.test]
    assert list(within((x for x in (0.5, 1.0)), 0.5, 0.7)) == pytest.approx([0.6, 0.7])


@pytest.mark.parametrize("kind", ["full", "reads", "unimodal"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_post_of_ones_own_is_mined_as_it_would_be_in_the_split(kind, days):
    model = variant_model(kind)
    if kind == "reads":
        days = dataclasses.replace(days, test=tuple(dataclasses.replace(t, time=math.nan) for t in days.test))
    posts = table(model, days)
    posts.pool = model.pool(days.test) if kind == "reads" else None
    twin = days.test[3]
    alone = Tweet("mine", twin.words, image=twin.image, crops=twin.crops)
    row = run(posts.mine_post(alone, 6))
    data = TweetDataset([twin, *days.test], model.batcher, progress=False)
    texts, images = contrast_vectors(model, data, progress=False)
    score = (texts[0].double() @ images[1:].double().T).tolist()
    may = [j for j, t in enumerate(days.test) if kind != "reads" or t.image is not None]
    assert [s for _, s in row.images] == pytest.approx(sorted((score[j] for j in may), reverse=True)[:6], abs=1e-5)
    assert row.own_score == pytest.approx(score[3], abs=1e-5) and row.place is None
    blank = run(posts.mine_post(Tweet.from_text("Meet me in Paris"), 6))
    assert math.isnan(blank.own_score) and len(blank.images) == 6


def test_two_models_have_the_pairs_in_common_that_a_loop_counts(posts, days, cosines):
    other = table(tiny_model(seed=3), days)
    pairs = [
        {(i, j) for i in range(40) for j in best(c, i, K)}
        for c in (cosines, _scores(other, days))
    ]  # fmt: skip
    assert posts.same_pairs(other, K) == len(pairs[0] & pairs[1]) / len(pairs[0]) < 1
    assert posts.same_pairs(posts, K) == 1


def _scores(posts, days):
    data = TweetDataset(days.test, posts.model.batcher, progress=False)
    texts, images = contrast_vectors(posts.model, data, progress=False)
    return (texts.double() @ images.double().T).float()


def test_read_looks_weights_up():
    read = Read(("a", "b", "c"), [np.array([0.5, 0, 0.25, 0.25]), np.array([0, 0, 0, 1.0])])
    assert read.weights([0, 0, 0, 0, 1], ["a", "b", "c", "x", "a"]).tolist() == [0.5, 0, 0.25, 0, 0]
    assert read.nothing.tolist() == [0.25, 1] and read.size == 3 and read.weights([], []).tolist() == []
    assert Read((), [np.array([1.0])]).weights([0], ["a"]).tolist() == [0]


def test_a_mined_folder_gives_the_same_table(model, days, tmp_path):
    pytest.importorskip("pyarrow")
    data = TweetDataset(days.test, model.batcher, progress=False)
    vectors = contrast_vectors(model, data, progress=False)
    whole = mine_split(*vectors, 5)
    tags = model.predict_dataset(data)
    kept = MinedPosts(days.test, tags, mine_into(tmp_path / "m", *vectors, 5))
    memory = MinedPosts(days.test, tags, whole)
    assert not kept.at_hand and kept.row(4) == memory.row(4) and not kept.at_hand
    assert kept.hubs(3) == memory.hubs(3) and kept.at_hand
    for order in ORDERS:
        assert kept.choose(Filter(), 3, order) == memory.choose(Filter(), 3, order)


# ---- tags ----


def test_of_a_mined_folder_few_texts_stay_in_memory(model, days, tmp_path, monkeypatch):
    monkeypatch.setattr("mgips.lab.mined.FOUND_ROWS", 5)
    vectors = contrast_vectors(model, TweetDataset(days.test, model.batcher, progress=False), progress=False)
    mining = mine_into(tmp_path, *vectors, K)
    posts = MinedPosts(days.test, [["O"] * len(t.words) for t in days.test], mining)
    images = [posts.row(place).images for place in (*range(40), *range(40))]
    assert images[:40] == images[40:] and len(posts._found) == 5


def test_tags_are_kept_and_merged_with_those_of_another_window(tmp_path):
    path = tmp_path / "run" / "tags.json"
    one, two = Tags(path), Tags(path)
    one.add("a", " hard  case ")
    two.add("a", "funny")
    two.add("b", "funny")
    one.add("a", "funny")
    assert one.of("a") == ["hard case", "funny"] and one.all == ["funny", "hard case"]
    two.remove("a", "hard case")
    assert one.refresh() and not one.refresh()
    assert one.of("a") == ["funny"] == Tags(path).of("a")
    two.remove("a", "funny")
    assert json.loads(path.read_text()) == {"b": ["funny"]}
    assert two.of("nobody") == []


def test_threads_that_tag_at_once_lose_nothing(tmp_path):
    path = tmp_path / "tags.json"
    windows = [Tags(path) for _ in range(4)]
    work = [
        threading.Thread(target=lambda n=n, window=window: [window.add("a", f"{n}-{i}") for i in range(5)])
        for n, window in enumerate(windows)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(Tags(path).of("a")) == sorted(f"{n}-{i}" for n in range(4) for i in range(5))


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "funny"}', '{"a": [1]}', "\udcff"])
def test_a_damaged_file_of_tags_is_one_sentence_and_is_not_touched(tmp_path, content):
    path = tmp_path / "tags.json"
    tags = Tags(path)
    path.write_bytes(content.encode(errors="surrogateescape"))
    before = path.read_bytes()
    for act in (lambda: tags.add("a", "x"), lambda: tags.remove("a", "x"), lambda: Tags(path)):
        with pytest.raises(
            DataError, match="cannot be read .*so none is added; repair the file or move it away"
        ) as told:
            act()
        assert "\n" not in str(told.value) and path.read_bytes() == before


def test_a_tag_is_a_short_word(tmp_path):
    tags = Tags(tmp_path / "tags.json")
    for wrong in ("", "  ", "x" * 41, "a\0b", "\ud800", "any", UNTAGGED):
        with pytest.raises(ConfigError, match="A tag is a word or some"):
            tags.add("a", wrong)
    assert not (tmp_path / "tags.json").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written .*tags="):
        Tags(tmp_path / "file" / "tags.json").add("a", "x")


# ---- in the inspector ----


@pytest.fixture
def pairs(model, days, tmp_path):
    return inspect_pairs(model, days, progress=False, k_max=60, tags=tmp_path / "tags.json")


def test_tags_are_given_and_taken_away_and_survive(pairs, model, days, tmp_path):
    pairs.select(4)
    pairs._word.value = "funny"
    pairs._add.click()
    pairs._word._handle_custom_msg({"submit": "<b>&"}, [])
    assert "&lt;b&gt;&amp; ✕" in pairs._main.value and pairs._word.value == ""
    assert list(pairs._tag.options) == ["any", UNTAGGED, "<b>&", "funny"]
    assert set(pairs.to_frame().tags) == {"", "funny; <b>&"}
    pairs._main.picked("untag funny")
    pairs._main.picked("untag funny")  # a second click finds nothing left to take away
    again = inspect_pairs(model, days, progress=False, tags=tmp_path / "tags.json")
    again._tag.value = "<b>&"
    assert again.visible == [days.test[4].id]
    again._tag.value = UNTAGGED
    assert len(again.visible) == 39
    Tags(tmp_path / "tags.json").add(days.test[0].id, "new")  # in another window
    again.select(0)
    assert "new ✕" in again._main.value and "new" in again._tag.options


def test_the_last_of_a_tag_takes_its_filter_along(pairs, days, tmp_path):
    other = Tags(tmp_path / "tags.json")
    for take in (lambda: pairs._main.picked("untag rare"), lambda: other.remove(days.test[4].id, "rare")):
        other.add(days.test[4].id, "rare")
        pairs.select(4)
        pairs._tag.value = "rare"
        assert pairs.visible == [days.test[4].id]
        take()
        pairs.k = 5 - (pairs.k == 5)  # draws anew
        assert pairs._tag.value == "any" and len(pairs.visible) == 40 and pairs.selected is days.test[4]


def test_the_hub_on_top_of_the_grid_always_lets_go_of_it(pairs):
    pairs._view.value = "Hubs"
    hub, count = pairs.sides[0].hubs(pairs.k)[0][0]
    pairs._main.picked(f"hub {hub}")
    pairs._main.picked(f"post {pairs._visible[-1]}")
    pairs._view.value = "Grid"
    assert len(pairs.visible) == count
    pairs._main.picked(f"hub {hub}")
    assert len(pairs.visible) == 40 and pairs._back.disabled
    pairs._view.value = "Hubs"
    pairs._main.picked(f"hub {hub}")
    pairs._view.value = "Hubs"
    pairs._main.picked(f"hub {hub}")  # the same one again, among the hubs
    assert pairs._view.value == "Grid" and len(pairs.visible) == count


def test_back_at_an_own_post_its_own_text_and_photo_are_there(pairs):
    pairs.mine("Ada in Paris", encoded(picture(3)))
    shown = pairs._main.value
    pairs.select(3)
    pairs.mine("Bob in Rome")
    assert "your photo ✕" not in pairs._main.value
    pairs.back()
    pairs.back()
    assert pairs._main.value == shown and "your photo ✕" in shown and pairs._text.value == "Ada in Paris"
    pairs._main.picked("unphoto 0")
    assert pairs.selected.words == ("Ada", "in", "Paris") and pairs.selected.image is None


def test_where_tags_are_kept(model, days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save_pretrained(tmp_path / "run")
    assert inspect_pairs(model, days, progress=False).tags.path == tmp_path / "pair-tags-tinytweets-test.json"
    inside = inspect_pairs(tmp_path / "run", days, progress=False)
    assert inside.tags.path == tmp_path / "run" / "pair-tags-tinytweets-test.json"
    odd = dataclasses.replace(days, name="../a b")
    assert inspect_pairs(model, odd, progress=False).tags.path.parent == tmp_path


def test_the_grid_pages_and_opens_and_hubs_show_their_posts(pairs, days):
    pairs._view.value = "Grid"
    assert pairs._main.value.count('data-pick="post ') == 24 and "Posts <b>1 to 24</b> of 40" in pairs._status.value
    pairs._next.click()
    assert pairs._main.value.count('data-pick="post ') == 16 and "25 to 40" in pairs._status.value
    pairs._main.picked("post 30")
    assert pairs.selected is days.test[30] and pairs._view.value == "Post"
    pairs._back.click()
    assert pairs._view.value == "Grid" and "25 to 40" in pairs._status.value
    pairs._view.value = "Hubs"
    (place, count), *_ = pairs.sides[0].hubs(pairs.k)[0]
    assert f"{count} texts, {count / 3:.1f} × chance" in pairs._main.value
    pairs._main.picked(f"hub {place}")
    assert len(pairs.visible) == count and pairs._view.value == "Grid"
    for id in pairs.visible:
        pairs.select(id)
        assert days.test[place].id in pairs.mined
        pairs._back.click()
    pairs._main.picked(f"hub {place}")
    assert pairs._view.value == "Hubs" and len(pairs.visible) == 40


def test_many_cards_are_small_and_are_all_there(pairs):
    pairs.k = pairs._k.max
    assert pairs.k == 39 and pairs._main.value.count('data-pick="post ') == 39


def test_your_own_text_and_photo(pairs, days, model, tmp_path):
    found = pairs.mine("Meet me in Paris, says Jordan")
    assert len(found) == 3 and pairs.selected.words == ("Meet", "me", "in", "Paris", ",", "says", "Jordan")
    assert "no score" in pairs._main.value and "your own post is shown" in pairs._status.value
    pairs._photo_button.taken("photo.png", encoded(picture(3)))
    assert "your photo ✕" in pairs._main.value and "no score" not in pairs._main.value
    with pytest.raises(DataError, match=r"bad\.png is not a picture"):
        pairs._photo_button.taken("bad.png", b"no picture")
    with pytest.raises(DataError, match="9 MiB"):
        pairs._photo_button.refused("photo has 9 MiB")
    pairs._main.picked("unphoto 0")
    assert "no score" in pairs._main.value
    pairs._word._handle_custom_msg({"submit": "funny"}, [])  # ipywidgets swallows what a handler raises
    assert "cannot be tagged" in pairs.error.value
    pairs.k = 5
    assert len(pairs.mined) == 5
    pairs._pool.value = "same day"
    assert "has no day: mined from the whole split" in pairs._status.value
    assert len(pairs.static(2).axes) == 2 * 6
    pairs._back.click()
    assert pairs.selected is days.test[0] and pairs._back.disabled
    for wrong in ("", " "):
        with pytest.raises(DataError, match="no words"):
            pairs.mine(wrong)


def test_two_models_side_by_side(model, days, tmp_path):
    other = tiny_model(seed=3)
    other.save_pretrained(tmp_path / "second")
    both = inspect_pairs(model, days, progress=False, other=tmp_path / "second", tags=tmp_path / "tags.json")
    alone = inspect_pairs(other, days, progress=False, tags=tmp_path / "tags.json")
    assert "by model" in both._main.value and "by second" in both._main.value
    assert both._main.value.count('class="mgips-pair-side"') == 2
    frame = both.to_frame()
    assert frame[frame.model == "second"].mined.tolist() == alone.to_frame().mined.tolist()
    assert frame[frame.model == "model"].mined.tolist() != alone.to_frame().mined.tolist()
    (line,) = (line for line in both.summary() if "mined by second too" in line)
    share = both.sides[0].same_pairs(both.sides[1], 3)
    assert line.startswith(f"{share:.0%} of the pairs of model") and "of 40 posts are predicted alike" in line
    both._pool.value = "batch"
    assert both.sides[1].pictures.source.name == "batch" == both._source.name
    same = inspect_pairs(model, days, progress=False, other=model, tags=tmp_path / "tags.json")
    assert same.sides[1].name == "other model" and "100% of the pairs" in same.summary()[-1]


def test_a_score_that_is_no_number_is_one_sentence(pairs):
    for wrong in ("much", "nan", "-inf"):
        with pytest.raises(ConfigError, match="give a number such as 0.5, or leave it empty"):
            pairs._least.value = wrong
    pairs._least.value = "2"
    assert pairs.visible == []
    pairs.clear()
    assert len(pairs.visible) == 40


def test_the_pool_goes_back_where_mining_was_given_up(pairs, monkeypatch):
    monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
    monkeypatch.setattr("asyncio.get_running_loop", lambda: type("Loop", (), {"create_task": lambda _, c: _Task(c)})())
    pairs._pool.value = "train"
    assert pairs.working
    pairs.cancel()
    assert pairs._pool.value == "split" == pairs._source.name and not pairs.working


def test_a_pool_goes_on_while_k_changes_and_is_given_up_for_a_post_of_ones_own(pairs, monkeypatch):
    async def use():
        monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
        pairs._pool.value = "batch"
        await asyncio.sleep(0)
        pairs.k = 5  # has no summary yet
        while pairs.working:
            await asyncio.sleep(0)
        assert pairs._pool.value == "batch" == pairs._source.name and "K = 5" in pairs._status.value
        pairs._pool.value = "train"
        await asyncio.sleep(0)
        pairs._text.value = "Ada in Paris"
        pairs._mine_button.click()
        while pairs.working:
            await asyncio.sleep(0)
        assert pairs._pool.value == "batch" == pairs._source.name and pairs.selected.words == ("Ada", "in", "Paris")

    asyncio.run(use())


def test_pictures_that_are_not_waited_for_leave_what_is_shown(pairs, monkeypatch):
    pairs.summary(38)

    async def use():
        pairs.k = 4
        shown, status, at = pairs._main.value, pairs._status.value, pairs.selected
        monkeypatch.setattr("mgips.lab.widgets.base.asked_on_the_page", lambda: True)
        for change in (lambda: setattr(pairs, "k", 38), lambda: setattr(pairs._right, "value", "wrong")):
            pairs._shots["split"]._kept.clear()
            monkeypatch.setattr("mgips.lab.widgets.pairs.MANY", 1)
            change()
            assert pairs.working
            await asyncio.sleep(0)
            pairs.cancel()
            assert (pairs.k, pairs._right.value, pairs.selected, len(pairs.visible)) == (4, "any", at, 40)
            assert (pairs._main.value, pairs._status.value) == (shown, status)

    asyncio.run(use())


def test_of_a_pool_without_truth_no_filter_says_what_is_relevant(model, days, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture(1)))
    pairs = inspect_pairs(model, days, progress=False, pictures=tmp_path, tags=tmp_path / ".tags.json")
    pairs._pool.value = "folder"
    for kind in FOUND:
        pairs._fits.value = kind
        assert pairs.visible == []


def test_little_is_said_of_next_to_nothing(model, tmp_path):
    one = Corpus("one", (), (), tweets(4)[:1])
    pairs = inspect_pairs(model, one, k=1, progress=False, tags=tmp_path / "t.json")
    assert pairs.mined == [] and "nan" not in pairs.describe()
    pairs._own.value = True
    assert pairs.mined == [one.test[0].id] and "nan" not in pairs.describe()
    for k in (0, -1):
        with pytest.raises(ConfigError, match=f"k is {k}, but at least one image"):
            inspect_pairs(model, one, k=k, progress=False)


def test_a_long_search_leaves_the_rest_of_a_files_name(pairs):
    pairs._search.value = "x" * 300
    name, _ = pairs._downloads["csv"].make()
    assert name.startswith("model-tinytweets") and name.endswith(f"-test-k3-{'x' * 30}.csv")


class _Task:
    def __init__(self, coroutine) -> None:
        coroutine.close()

    def cancel(self) -> None:
        pass


def test_a_corpus_without_train_or_times_offers_fewer_pools(model, tmp_path):
    plain = Corpus("plain", (), (), tweets(8))
    pairs = inspect_pairs(model, plain, progress=False, tags=tmp_path / "t.json")
    assert list(pairs._pool.options) == ["split", "batch"]
