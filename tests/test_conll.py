"""The CoNLL/IMGID format: what is read, what is refused with file and line, and the way back byte for byte."""

import errno
import os
from dataclasses import replace
from unittest.mock import Mock

import pytest
from builders import tweets
from hypothesis import example, given
from hypothesis import strategies as st

from mgips.data.conll import read_conll, write_conll
from mgips.data.corpus import Tweet
from mgips.data.load import load_corpus
from mgips.errors import DataError
from mgips.files import safe_name, write_atomically
from mgips.tags import TAG, tag_set, to_bio


def write(folder, content):
    path = folder / "some.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_words_tags_and_ids(tmp_path):
    text = "IMGID:12\nMr\tO\nBean\tB-PER\n\nIMGID:ab\nOSCARS\tB-OTHER\n2016\tI-OTHER\n"
    first, second = read_conll(write(tmp_path, text))
    assert first == Tweet("12", ("Mr", "Bean"), ("O", "B-PER"))
    assert second == Tweet("ab", ("OSCARS", "2016"), ("B-OTHER", "I-OTHER"))


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path):
    text = "IMGID:1\nParis\tB-LOC\n\nIMGID:2\nx\tO\n"
    plain = read_conll(write(tmp_path, text))
    assert read_conll(write(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())) == plain
    assert read_conll(write(tmp_path, text.rstrip("\n"))) == plain


def test_only_a_newline_ends_a_line(tmp_path):
    """Tweets hold U+0085 and U+2028, which str.splitlines takes for line ends."""
    (tweet,) = read_conll(write(tmp_path, "IMGID:1\na\u2028b\tO\n\u0085\tO\n"))
    assert tweet.words == ("a\u2028b", "\u0085")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("IMGID:1\na\tO\nword O\n", 3, "one column; write word, tab, tag"),
        ("IMGID:1\nword\nother O\n", 2, "one column; write word, blank, tag"),
        ("IMGID:1\nword\t\n", 2, "has no tag"),
        ("IMGID:1\n\tO\n", 2, "no word before"),
        ("IMGID:1\na\tO\na\tb\tO\n", 3, "here are 3 columns, and 2 above"),
        ("IMGID:1\nword\tPERSON\n", 2, "not a tag; write O, or B- and I-"),
        ("IMGID:1\nword\tB-\n", 2, "not a tag; write"),
        ("word\tX-PER\n", 1, "not a tag; write"),
        ("word\tO\n\nIMGID:1\nword\tO\n", 1, "before any IMGID: line"),
        ("IMGID:1\na\tO\n\nb\tO\n", 4, "before any IMGID: line"),
        ("IMGID:1\na\tO\n\nIMGID:2\n\nIMGID:3\nc\tO\n", 4, "'2' has no words"),
        ("IMGID:1\n", 1, "'1' has no words"),
        ("IMGID:\na\tO\n", 1, "not a plain file name"),
        ("IMGID:../../etc/passwd\na\tO\n", 1, "not a plain file name"),
        ("IMGID:/etc/passwd\na\tO\n", 1, "not a plain file name"),
        ("IMGID:a\\b\na\tO\n", 1, "not a plain file name"),
        ("IMGID:..\na\tO\n", 1, "not a plain file name"),
        ("IMGID:\x1b[2J\na\tO\n", 1, "not a plain file name"),
        (b"IMGID:1\na\tO\nb\x00c\tO\n", 3, "NUL byte"),
        ("IMGID:1\ncafé\tO\n".encode("latin-1"), 2, "not UTF-8"),
        ("IMGID:1\na\tO\n".encode("utf-16-le"), 1, "NUL byte; this is not a text file in UTF-8"),
    ],
)
def test_refusals_name_file_line_and_reason(tmp_path, content, line, message):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_conll(path)
    assert str(caught.value).startswith(f"{path}:{line}: ") and message in str(caught.value)


def test_blanks_around_an_id_are_not_part_of_it(tmp_path):
    (tweet,) = read_conll(write(tmp_path, "IMGID: 12 \na\tO\n"))
    assert tweet.id == "12"
    with pytest.raises(DataError, match="needs a plain id"):
        write_conll([Tweet(" 12", ("a",), ("O",))], tmp_path / "out.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    for place in (tmp_path / "train.txt", tmp_path):
        with pytest.raises(DataError):
            load_corpus(place)


@pytest.mark.parametrize("content", ["", "\n\n\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="some.txt holds no posts"):
        read_conll(write(tmp_path, content))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="none.txt cannot be read"):
        read_conll(tmp_path / "none.txt")


@pytest.mark.parametrize(("name", "final_blank"), [("twitter2015", False), ("twitter2017", True)])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_published_files_come_out_byte_for_byte(twitter_root, tmp_path, name, split, final_blank):
    path = twitter_root / name / f"{split}.txt"
    write_conll(read_conll(path), tmp_path / "again.txt", final_blank)
    assert (tmp_path / "again.txt").read_bytes() == path.read_bytes()


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0"), min_size=1, max_size=8)
ROWS = st.lists(st.tuples(WORDS, st.sampled_from(tag_set([*"ab", "PER", "x-y"]))), min_size=1, max_size=6)
IDS = st.text(st.sampled_from("0123456789abc.-_ "), min_size=1, max_size=8).filter(safe_name)
# The tab behind a word distinguishes it from the start of a tweet, whatever the word looks like.
TWEETS = st.lists(
    st.builds(lambda i, rows: Tweet(i, *map(tuple, zip(*rows, strict=True))), IDS, ROWS), min_size=1, max_size=4
)


@given(TWEETS, st.booleans())
def test_what_is_written_is_read(tmp_path_factory, made, final_blank):
    path = tmp_path_factory.mktemp("any") / "any.txt"
    write_conll(made, path, final_blank)
    read = read_conll(path)
    assert [replace(tweet, tags=()) for tweet in read] == [replace(tweet, tags=()) for tweet in made]
    assert [tweet.tags for tweet in read] == to_bio([tweet.tags for tweet in made])


KNOWN = ["IMGID:1", "IMGID:../x", "", "a\tO", "b\tB-PER", "c\tI-OTHER", "d\tX", "e", "\tO", "f\t", "\r", "g\th\tO"]
BLANKS = [b"\x0b", "a O\n\u00a0\nb O\n".encode()]  # lines of nothing but other blanks
LINES = st.lists(st.one_of(st.sampled_from(KNOWN), st.text(max_size=6)), max_size=12)


@example(BLANKS[0])
@example(BLANKS[1])
@given(st.one_of(LINES.map("\n".join).map(lambda s: s.encode("utf-8", "surrogatepass")), st.binary(max_size=80)))
def test_any_file_gives_tweets_or_a_data_error(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("any"), content)
    try:
        found = read_conll(path)
    except DataError as error:
        assert str(error).startswith(str(path))
    else:
        assert found and all(t.words and len(t.tags) in (0, len(t.words)) for t in found)
        assert all(map(TAG.fullmatch, (tag for t in found for tag in t.tags)))


@pytest.mark.parametrize(
    "tweet",
    [
        Tweet("1", (), ()),
        Tweet("1", ("a",), ()),
        Tweet("../1", ("a",), ("O",)),
        Tweet("1", ("a\tb",), ("O",)),
        Tweet("1", ("a\nb",), ("O",)),
        Tweet("1", ("",), ("O",)),
    ],
)
def test_what_the_format_cannot_hold_is_not_written(tmp_path, tweet):
    with pytest.raises(DataError, match="cannot be written"):
        write_conll([tweet], tmp_path / "out.txt")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path, monkeypatch):
    path = tmp_path / "out.txt"
    write_conll(tweets(2), path)
    before = path.read_bytes()

    monkeypatch.setattr(os, "replace", Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(DataError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
