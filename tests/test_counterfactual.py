"""Pictures swapped on purpose: who gets which, that nothing else changes, and that a seed gives the same again."""

from dataclasses import replace

import numpy as np
import pytest
from builders import tiny_model, tweets

from mgips.config import CAPTIONS, ModelConfig
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Drawing, Tweet
from mgips.data.crops import crop_array
from mgips.data.tinytweets.posts import tinytweets
from mgips.lab.counterfactual import Noise, blank, noise, same_type, seen, shuffled, with_pictures_of


def owner_of(posts: list[Tweet]) -> dict[int, int]:
    """The place of the post that a picture belongs to, by the picture's identity."""
    return {id(tweet.image): i for i, tweet in enumerate(posts) if tweet.image is not None}


def types_of(tweet: Tweet) -> set[str]:
    return {tag[2:] for tag in tweet.tags if tag != "O"}


@pytest.fixture(scope="module")
def posts():
    return tinytweets(sizes=(96, 1, 1)).train


def test_blank_takes_every_picture():
    assert all(t.image is None and t.crops == () for t in blank(tweets()))
    assert [t.words for t in blank(tweets())] == [t.words for t in tweets()]


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_gives_every_picture_to_another_post(seed):
    posts = tweets(12)
    moved = shuffled(posts, seed)
    owner = owner_of(posts)
    taken = [owner[id(t.image)] for t in moved if t.image is not None]
    assert sorted(taken) == sorted(owner.values())
    for i, (before, after) in enumerate(zip(posts, moved, strict=True)):
        assert (before.image is None) == (after.image is None)
        assert before.image is None or owner[id(after.image)] != i
        assert after.words == before.words
        assert after.crops == (posts[owner[id(after.image)]].crops if after.image else ())
    assert shuffled(posts, seed)[0].image is moved[0].image


def test_noise_replaces_what_is_there_and_nothing_else(posts):
    for before, after in zip(posts, noise(posts, 3), strict=True):
        assert replace(after, image=before.image, crops=before.crops) == before
        assert (after.image is None) == (before.image is None) and len(after.crops) == len(before.crops)
        assert all(isinstance(p, Drawing) for p in (*after.crops, *([after.image] if after.image else [])))


def test_noise_is_the_same_for_a_seed_and_a_post_and_differs_between_any_two(posts):
    first, again, other = noise(posts[:8], 0), noise(posts[:8][::-1], 0)[::-1], noise(posts[:8], 1)
    seen = set()
    for a, b, c in zip(first, again, other, strict=True):
        pixels = crop_array(a, size=32)[0]
        assert (pixels == crop_array(b, size=32)[0]).all()  # the order of the posts plays no part
        if a.image is not None:
            assert (pixels != crop_array(c, size=32)[0]).any()
            seen |= {crop.tobytes() for crop in pixels}
    assert len(seen) == 3 * sum(t.image is not None for t in first)  # crops of a post differ too


def test_noise_is_noise_at_the_size_a_model_reads():
    """Uniform, without a pattern: mean 127.5, standard deviation 73.9, and neighbours that know nothing of another."""
    pixels = np.stack([crop_array(t, size=32)[0] for t in noise([t for t in tweets(16) if t.image])]).astype(float)
    assert pixels.mean() == pytest.approx(127.5, abs=1) and pixels.std() == pytest.approx(73.9, abs=1)
    near = pixels[..., :-1, :].ravel(), pixels[..., 1:, :].ravel()
    assert abs(np.corrcoef(*near)[0, 1]) < 0.02
    assert Noise("a").key() != Noise("b").key()


@pytest.mark.parametrize("seed", range(4))
def test_same_type_passes_every_picture_to_a_post_with_the_same_types(posts, seed):
    moved, alone = same_type(posts, seed)
    owner, taken = owner_of(posts), []
    for i, (before, after) in enumerate(zip(posts, moved, strict=True)):
        assert replace(after, image=before.image, crops=before.crops) == before
        alike = [j for j, t in enumerate(posts) if t.image is not None and types_of(t) == types_of(before)]
        partners = [j for j in alike if j != i]
        assert alone[i] == (before.image is not None and not partners)
        if before.image is None:
            assert after.image is None
            continue
        giver = owner[id(after.image)]
        taken.append(giver)
        assert after.crops == posts[giver].crops
        assert giver == i if alone[i] else giver in partners
    assert sorted(taken) == sorted(owner.values()) and alone.any() and not alone.all()
    again, _ = same_type(posts, seed)
    assert [t.image for t in again] == [t.image for t in moved]
    assert [t.image for t in same_type(posts, seed + 1)[0]] != [t.image for t in moved]


def test_each_of_a_groups_permutations_without_a_stop_can_come():
    """Three posts of one set of types have two cycles; both come, and nothing else."""
    posts = [replace(tweets(3)[i], words=("x",), tags=("B-PER",)) for i in range(3)]
    owner = owner_of(posts)
    found = {tuple(owner[id(t.image)] for t in same_type(posts, seed)[0]) for seed in range(30)}
    assert found == {(1, 2, 0), (2, 0, 1)}


def test_mined_takes_the_named_posts_pictures_missing_ones_too():
    posts = tweets(8)
    index = np.array([3, 0, 0, 1, 7, 5, 2, 4])  # 3 and 7 have no picture
    for before, after, i in zip(posts, with_pictures_of(posts, index), index, strict=True):
        assert after.image is posts[i].image and after.crops == posts[i].crops
        assert (after.id, after.words, after.tags) == (before.id, before.words, before.tags)
    with pytest.raises(ValueError):
        with_pictures_of(posts, index[:-1])


def test_posts_without_any_picture_are_left_as_they_are():
    posts = [replace(t, image=None, crops=()) for t in tweets(4)]
    moved, alone = same_type(posts)
    assert moved == shuffled(posts) == noise(posts) == posts and not alone.any()


def test_a_caption_goes_where_its_picture_goes():
    posts = [replace(t, caption=f"caption {i}" if t.image else "") for i, t in enumerate(tweets(8))]
    said = {id(t.image): t.caption for t in posts if t.image is not None}
    index = np.array([3, 0, 0, 1, 7, 5, 2, 4])
    for moved in (shuffled(posts, 1), same_type(posts, 1)[0], with_pictures_of(posts, index)):
        assert [t.caption for t in moved] == [said.get(id(t.image), "") for t in moved]
    assert any(a.caption != b.caption for a, b in zip(posts, shuffled(posts, 1), strict=True))
    assert all(t.caption == "" for t in blank(posts)) and [t.caption for t in noise(posts)] == [
        t.caption for t in posts
    ]


@pytest.mark.parametrize("seed", range(3))
def test_captions_alone_are_passed_on_as_pictures_are(seed):
    """The very same posts get them: a caption without its picture makes a giver too."""
    posts = [replace(t, caption=f"caption {i}" if t.image else "") for i, t in enumerate(tweets(12))]
    bare = [replace(t, image=None, crops=()) for t in posts]
    for change in (shuffled, lambda some, seed: same_type(some, seed)[0]):
        moved = [t.caption for t in change(posts, seed)]
        assert [t.caption for t in change(bare, seed)] == moved != [t.caption for t in posts]
        assert all((a == "") == (b.caption == "") for a, b in zip(moved, posts, strict=True))


def test_what_a_model_sees_of_a_post():
    pictures, captions = ModelConfig(), ModelConfig(image_encoder=CAPTIONS)
    post = replace(tweets(1)[0], caption="two women")
    assert seen(post, pictures) == (post.image, post.crops) and seen(post, captions) == "two women"
    assert seen(replace(post, image=None), pictures) == (None, post.crops)
    assert seen(blank([post])[0], pictures) is None and seen(blank([post])[0], captions) is None


def test_a_dataset_reads_noise_as_it_reads_any_picture(posts):
    data = TweetDataset(noise(posts[:8]), tiny_model().batcher, progress=False)
    assert data.crops.has_image.tolist() == [t.image is not None for t in posts[:8]] and not data.crops.problems
    assert (data.crops[[0]][0] == crop_array(noise(posts)[0], size=32)[0]).all()
