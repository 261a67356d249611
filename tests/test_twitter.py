"""The published folder layout: read with whatever is there, refused with help where nothing is."""

import dataclasses
import datetime
import json
import math
import pickle
import shutil

import numpy as np
import pytest
import torch
from builders import corpus

from mgips.data.corpus import Tweet
from mgips.data.crops import crop_array
from mgips.data.load import load_corpus
from mgips.data.twitter import posted, read_crop_map, save_corpus
from mgips.errors import DataError


def test_a_saved_corpus_reads_back_the_same(disk):
    made, found = corpus(), load_corpus(disk)
    assert found.name == "invented" and found.source == disk
    for split in made.splits:
        for a, b in zip(made.splits[split], found.splits[split], strict=True):
            assert (a.id, a.words, a.tags) == (b.id, b.words, b.tags)
            assert (a.image is None) == (b.image is None) and len(a.crops) == len(b.crops)
            assert np.array_equal(crop_array(a, size=16)[0], crop_array(b, size=16)[0])
    (note,) = found.notes
    assert note.startswith("24 of 32 images found; ") and "3 of 3 crop maps and 72 of 96 crops" in note


def test_missing_pieces_fall_back_and_are_counted(disk):
    shutil.rmtree(disk / "invented_aux_images")
    (disk / "invented_val_dict.pth").unlink()
    found = load_corpus(disk)
    assert "2 of 3 crop maps and 0 of 96 crops found" in found.notes[0]
    assert all(not tweet.crops for tweets in found.splits.values() for tweet in tweets)
    shutil.rmtree(disk / "invented_images")
    assert load_corpus(disk).notes[0].startswith("0 of 32 images found")


@pytest.mark.parametrize("name", ["valid.txt", "val.txt", "dev.txt"])
def test_the_dev_split_by_any_of_its_names(disk, name):
    (disk / "valid.txt").rename(disk / name)
    assert len(load_corpus(disk).dev) == 8


def test_a_renamed_folder_keeps_its_pictures(disk):
    renamed = disk.rename(disk.parent / "copy")
    assert load_corpus(renamed).notes == load_corpus(renamed).notes
    assert load_corpus(renamed).notes[0].startswith("24 of 32 images found")


def test_pictures_change_the_fingerprint_and_words_do(disk):
    before = load_corpus(disk).fingerprint()
    assert before == load_corpus(disk).fingerprint()
    next((disk / "invented_images").iterdir()).unlink()
    without = load_corpus(disk).fingerprint()
    (disk / "test.txt").write_text((disk / "test.txt").read_text().replace("Paris", "Rome"))
    assert len({before, without, load_corpus(disk).fingerprint()}) == 3


def test_nothing_there_says_what_to_get_and_where_to_put_it(tmp_path):
    with pytest.raises(DataError) as caught:
        load_corpus("twitter2017", tmp_path)
    message = str(caught.value)
    for part in ("jefferyYu/UMT", "zjunlp/HVPNeT", f"{tmp_path}/twitter2017/train.txt", "MGIPS_DATA", "tinytweets"):
        assert part in message


def test_one_split_missing_names_it(disk):
    (disk / "test.txt").unlink()
    with pytest.raises(DataError, match="has no test split; put test.txt there"):
        load_corpus(disk)


def test_the_environment_names_the_root(disk, monkeypatch):
    shutil.move(disk, disk.parent / "twitter2015")
    monkeypatch.setenv("MGIPS_DATA", str(disk.parent))
    assert len(load_corpus("twitter2015").train) == 16


class Bomb:
    def __reduce__(self):
        return eval, ("open('harm', 'w').close()",)


def test_a_crop_map_that_is_a_pickle_bomb_is_refused_and_does_not_go_off(disk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = disk / "invented_train_dict.pth"
    torch.save({"1.jpg": [Bomb()]}, path)
    for content in (path.read_bytes(), pickle.dumps(Bomb(), protocol=2)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"invented_train_dict\.pth is not a crop map.*not run"):
            load_corpus(disk)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "content", [["a"], {"1.jpg": "x.png"}, {"1.jpg": [3]}, {"1.jpg": ["../../x.png"]}, {1: ["x.png"]}]
)
def test_a_crop_map_of_another_shape_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "map.pth")
    with pytest.raises(DataError, match="expected image names with lists of plain file names"):
        read_crop_map(tmp_path / "map.pth")


def test_a_damaged_crop_map_is_refused(tmp_path):
    (tmp_path / "map.pth").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match="map.pth is not a crop map"):
        read_crop_map(tmp_path / "map.pth")


@pytest.mark.parametrize("place", ["captions.json", "invented_captions.json", "../captions/invented_images.json"])
def test_captions_are_found_and_counted(disk, place):
    before = load_corpus(disk)
    path = disk / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"0-1.jpg": "Ein Café.", "1-2": "two dogs", "elsewhere.jpg": "a cat", "0-2.jpg": ""}))
    found = load_corpus(disk)
    assert found.notes == (*before.notes, "2 of 32 captions of images found.")
    captions = {tweet.id: tweet.caption for tweets in found.splits.values() for tweet in tweets if tweet.caption}
    assert captions == {"0-1": "Ein Café.", "1-2": "two dogs"}
    assert found.fingerprint() == before.fingerprint()


def test_captions_of_a_saved_corpus_read_back(tmp_path):
    made = corpus()
    made = dataclasses.replace(made, dev=tuple(dataclasses.replace(t, caption=f"photo {t.id} é") for t in made.dev))
    save_corpus(made, tmp_path / "again")
    found = load_corpus(tmp_path / "again")
    for split, posts in made.splits.items():
        assert [tweet.caption for tweet in found.splits[split]] == [tweet.caption for tweet in posts]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'["a cat"]', b'{"1.jpg": 3}', b'{"1.jpg": null}'])
def test_a_damaged_file_of_captions_is_refused(disk, content):
    (disk / "captions.json").write_bytes(content)
    with pytest.raises(DataError, match=r"captions\.json holds no captions: expected JSON of image names"):
        load_corpus(disk)


def test_an_id_that_begins_with_a_day_gives_the_time():
    times = {id: posted(Tweet(id, ("go",))) for id in ("16_05_13_157", "16_02_29_1", "70_01_01_0")}
    for id, time in times.items():
        year, month, day, _ = map(int, id.split("_"))
        assert datetime.date(1970, 1, 1) + datetime.timedelta(time) == datetime.date(2000 + year, month, day)
    for id in ("17_06_4983", "O_4862", "1000046", "16_13_01_5", "17_02_29_1", "16_05_13_157x", "116_05_13_157"):
        assert math.isnan(posted(Tweet(id, ("go",)))), id
    assert posted(Tweet("7", ("go",), time=3.5)) == 3.5


def test_the_real_captions_and_days(twitter_root):
    posts = [tweet for tweets in load_corpus("twitter2017", twitter_root).splits.values() for tweet in tweets]
    days = [tweet.time for tweet in posts if not math.isnan(tweet.time)]
    assert (len(posts), len(days), len(set(days))) == (4819, 1767, 31)
    assert all(day == math.floor(day) for day in days)
    if not (twitter_root / "captions").is_dir():
        pytest.skip(f"there are no captions in {twitter_root}")
    for name, count, total in (("twitter2015", "8,257", "8,257"), ("twitter2017", "4,461", "4,819")):
        assert load_corpus(name, twitter_root).notes[1] == f"{count} of {total} captions of images found."


def test_the_real_corpora(twitter_root):
    found = load_corpus("twitter2015", twitter_root)
    assert [len(tweets) for tweets in found.splits.values()] == [4000, 1000, 3257]
    assert "15 of 8,257 images found" in found.notes[0] and "3 of 3 crop maps" in found.notes[0]
    assert [len(tweets) for tweets in load_corpus("twitter2017", twitter_root).splits.values()] == [3373, 723, 723]
