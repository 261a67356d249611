"""Corpora of one's own: every format, what is refused in which words, splitting without leaks, and what audit advises."""

import base64
import dataclasses
import itertools
import json
import math
import random

import pytest
import regex
from builders import encoded, picture
from hypothesis import given
from hypothesis import strategies as st

import mgips
from mgips import Corpus, Tweet, load_corpus
from mgips.cli import main
from mgips.data import jsonlines
from mgips.data.conll import read_conll
from mgips.data.jsonlines import Remarks, marks, read_jsonl, write_jsonl
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.data.splitting import split_corpus, together
from mgips.data.table import read_table
from mgips.data.text import placed, words_of
from mgips.errors import ConfigError, DataError
from mgips.lab.audit import audit
from mgips.tags import tag_set

# ---- text ----


def test_words_of_many_scripts():
    def words(text):
        return [word for word, _ in words_of(text)]

    assert words("Ada's in #London — @x_y! https://a.b/c U.S. e-mail ☀️ 3.5") == [
        *("Ada", "'", "s", "in", "#", "London", "—", "@", "x_y", "!", "https://a.b/c", "U", ".", "S", ".", "e", "-"),
        *("mail", "☀️", "3.5"),
    ]
    assert words("12,000 at 9.30, v2.0: 3-1 … 5. @_ab_ _") == [
        *("12,000", "at", "9.30", ",", "v2.0", ":", "3", "-", "1", "…", "5", ".", "@", "_ab_", "_")
    ]
    assert words("(https://a.b/c_(d)). www.a.com! HTTP://a.b/Café,看https://t.cn/a今。") == [
        *(
            "(",
            "https://a.b/c_(d)",
            ")",
            ".",
            "www.a.com",
            "!",
            "HTTP://a.b/Café",
            ",",
            "看",
            "https://t.cn/a",
            "今",
            "。",
        )
    ]
    assert words("https:// www. e\u0301te\u0301 3\ufe0f\u20e3") == [
        *("https", ":", "/", "/", "www", ".", "e\u0301te\u0301", "3\ufe0f\u20e3")
    ]
    assert words("می\u200cخواهم क्\u200dष") == ["می\u200cخواهم", "क्\u200dष"]  # joiners that are not seen stay inside
    assert words("हिन्दी में") == ["हिन्दी", "में"]  # vowel signs are marks, and stay with their letter
    assert words("東京へ行くTokyo") == ["東", "京", "へ", "行", "く", "Tokyo"]
    assert words("タワーX") == ["タ", "ワ", "ー", "X"]
    assert words("مرحبا، يا عالم") == ["مرحبا", "،", "يا", "عالم"]
    assert words("Москва-Сити") == ["Москва", "-", "Сити"]


PIECES = st.sampled_from(
    "a é 5 . , : _ - ' # 東 ー ก ि \ufe0f \u200d ( ) https:// www. ☀ 👍🏽 ½ \u2028".split(" ") + [" "]
)
MIXED = st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=20).map("".join))


@given(MIXED)
def test_every_character_but_blanks_is_in_one_word(text):
    found = words_of(text)
    assert "".join(word for word, _ in found) == regex.sub(r"\s", "", text)
    assert all(text[at : at + len(word)] == word and word for word, at in found)
    assert placed(text, [word for word, _ in found]) == (text, [at for _, at in found])


@given(MIXED, MIXED)
def test_words_are_found_the_same_beside_other_words(text, other):
    assert words_of(f"{text} {other}") == [*words_of(text), *((w, at + len(text) + 1) for w, at in words_of(other))]


@given(MIXED)
def test_punctuation_is_in_a_word_with_others_in_links_numbers_and_underscores_only(text):
    for word, _ in words_of(text):
        if len(word) > 1 and not regex.match(r"(?i)https?://|www\.", word):
            bare = regex.sub(r"(?<=\p{Nd})[.,:](?=\p{Nd})|[_\p{M}]", "", word)
            assert not regex.search(r"[\p{P}\p{S}]", bare[1:])
            assert not regex.match(r"[\p{P}\p{S}].", bare)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_words_of_twitter_2017_are_left_whole(twitter_root, split):
    """Dates with their comma (`21,`) and smileys are what is left."""
    words = [word for tweet in read_conll(twitter_root / "twitter2017" / f"{split}.txt") for word in tweet.words]
    cut = [word for word in words if words_of(word) != [(word, 0)]]
    assert len(cut) < 0.002 * len(words)
    assert all(regex.fullmatch(r"\d+,|:.{1,2}", word) for word in cut)


def test_words_that_a_text_does_not_have_are_placed_in_themselves():
    assert placed("something else", ["a", "bc"]) == ("a bc", [0, 2])


# ---- CoNLL ----


@pytest.mark.parametrize(
    "content",
    [
        "Ada\tB-PER\nwas\tO\n\nRome\tB-LOC\n",
        "Ada B-PER\nwas O\n\nRome B-LOC\n",
        "-DOCSTART- -X- O O\n\nAda NNP B-NP I-PER\nwas VBD B-VP O\n\nRome NNP B-NP I-LOC\n",
        "# a comment\nAda\tx\tS-PER\nwas\ty\tO\n   \n# another, with a\ttab\nRome\tz\tS-LOC\n",
        "\ufeffAda\tB-PER\r\nwas\tO\r\n\r\n\r\nRome\tB-LOC\r\n",
    ],
    ids=["tabs", "blanks", "four columns, IOB1", "comments, three columns, BIOES", "BOM and CRLF"],
)
def test_dialects_of_conll(tmp_path, content):
    (tmp_path / "train.txt").write_bytes(content.encode())
    found = read_conll(tmp_path / "train.txt")
    assert [(t.id, t.words, t.tags) for t in found] == [
        ("train-1", ("Ada", "was"), ("B-PER", "O")), ("train-2", ("Rome",), ("B-LOC",)),
    ]  # fmt: skip


def test_comments_name_posts_and_hashes_are_words(tmp_path):
    (tmp_path / "x.conll").write_text("# id 7f domain=en\n# O\nRome B-LOC\n\n# sent_id = b\nOslo B-LOC\n# O\n")
    first, second = read_conll(tmp_path / "x.conll")
    assert (first.id, first.words) == ("7f", ("#", "Rome")) and (second.id, second.words) == ("b", ("Oslo", "#"))


# ---- JSON Lines ----


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_posts_in_text_and_in_words(tmp_path):
    (tmp_path / "a b.png").write_bytes(encoded(picture(0)))
    file = lines(
        tmp_path / "posts.jsonl",
        {
            "text": "Ada in #London",
            "spans": [{"start": 8, "end": 14, "type": "LOC"}, [0, 3, "PER"]],
            "image": "a b.png",
        },
        "",
        {
            "words": ["Ada", "was"],
            "tags": ["S-PER", "O"],
            "id": 7,
            "time": 3.5,
            "caption": "a cat",
            "group": "g",
            "x": 1,
        },
        {
            "text": "Ada in London",
            "time": "1970-01-02T12:00",
            "image": {"bytes": base64.b64encode(encoded(picture(1))).decode()},
        },
        {"text": "no entity", "spans": []},
    )
    first, second, third, fourth = read_jsonl(file)
    assert (first.words, first.tags) == (("Ada", "in", "#", "London"), ("B-PER", "O", "O", "B-LOC"))
    assert first.id == "posts-1" and first.text == "Ada in #London" and open_picture(first.image).size == (40, 40)
    assert (second.id, second.tags, second.time, second.caption, second.group) == (
        "7",
        ("B-PER", "O"),
        3.5,
        "a cat",
        "g",
    )
    assert third.time == 1.5 and third.tags == () and open_picture(third.image).tobytes() == picture(1).tobytes()
    assert fourth.tags == ("O", "O") and math.isnan(fourth.time)


def where(post):
    return [(m["start"], m["end"], m["type"]) for m in marks(post, spans(post.words, post.tags))]


def test_words_do_not_depend_on_what_is_marked(tmp_path):
    """Entities that begin or end inside a word are taken as whole words, which is said."""
    rows = [
        {"text": "pre-Ada's 東京都", "spans": [[4, 7, "PER"], [10, 12, "LOC"]]},
        {"text": "in NewYorkCity  today", "spans": [[6, 10, "LOC"], [10, 14, "LOC"]]},
        {"text": "x9.30 Adams Bobs", "spans": [[0, 1, "a"], [6, 9, "b"], [11, 15, "c"]]},
        {"text": " Ada ", "spans": [[0, 5, "a"]]},
    ]
    file = lines(tmp_path / "x.jsonl", *rows)
    posts = read_jsonl(file)
    assert [post.words for post in posts] == [tuple(w for w, _ in words_of(row["text"])) for row in rows]
    assert [where(post) for post in posts] == [
        [(4, 7, "PER"), (10, 12, "LOC")],
        [(3, 14, "LOC")],
        [(0, 5, "a"), (6, 11, "b"), (12, 16, "c")],
        [(1, 4, "a")],
    ]
    corpus = load_corpus(file)
    assert corpus.notes == (
        "4 of 8 entities begin or end inside a word, and are taken as whole words (line 2, …).",
        "1 of 8 entities shares its word with another, and is left out (line 2).",
    )
    assert all(f"  {note}\n" in audit(corpus).to_text() for note in corpus.notes)
    assert not load_corpus(lines(tmp_path / "y.jsonl", rows[0])).notes
    for split in ("train", "dev", "test"):
        lines(tmp_path / "own" / f"{split}.jsonl", {**rows[split != "train"], "id": split, "image": "gone.jpg"})
    notes = load_corpus(tmp_path / "own").notes
    assert ["not there" in note for note in notes] == [True, True, True, False, False, False, False]
    assert [note[: note.index(":")] for note in notes[3:]] == ["dev", "dev", "test", "test"]


@given(MIXED.filter(str.strip), st.data())
def test_spans_widen_to_words_against_a_plain_loop(text, data):
    edges = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    marked = [(a, b, "x") for a, b in itertools.pairwise(edges) if text[a:b].strip()]
    remarks = Remarks()
    found = jsonlines.post({"text": text, "spans": [list(m) for m in marked]}, "1", remarks=remarks, place="line 1")
    of_character = [None] * len(text)  # the word that each character is of
    for place, (word, at) in enumerate(words_of(text)):
        of_character[at : at + len(word)] = [place] * len(word)
    taken, wanted, widened, left_out = set(), ["O"] * len(found.words), 0, 0
    for start, end, kind in marked:
        touched = {of_character[i] for i in range(start, end)} - {None}
        if touched & taken:
            left_out += 1
            continue
        taken |= touched
        inside = {i for i, place in enumerate(of_character) if place in touched} - set(range(start, end))
        widened += bool(inside)
        for place in touched:
            wanted[place] = f"{'B' if place == min(touched) else 'I'}-{kind}"
    assert found.words == tuple(word for word, _ in words_of(text)) and list(found.tags) == wanted
    assert (remarks.entities, len(remarks.widened), len(remarks.left_out)) == (len(marked), widened, left_out)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an object"),
        ({}, 'either "text" or "words"'),
        ({"text": "a", "words": ["a"]}, 'either "text" or "words"'),
        ({"text": 3}, '"text" is 3'),
        ({"text": "   "}, "no words"),
        ({"words": []}, "there are no words"),
        ({"words": "Ada"}, None),
        ({"words": ["a", " "]}, "one of them is empty"),
        ({"words": ["a"], "tags": ["O", "O"]}, "1 words and 2 tags"),
        ({"words": ["a"], "tags": ["PER"]}, "'PER' is not a tag"),
        ({"words": ["a"], "tags": [1]}, '"tags" is not a list of texts'),
        ({"text": "Ada", "spans": [{"start": 0}]}, "is not a span"),
        ({"text": "Ada", "spans": [[0, 9, "PER"]]}, "does not lie in the text, which has 3"),
        (
            {"text": "Ada", "spans": [[0, 2, "a b"]]},
            "'a b' is not an entity type ('Ad' has it); write a name without blanks",
        ),
        ({"text": "Ada", "spans": [[0, 2, 7]]}, "7 is not an entity type"),
        ({"text": "Ada", "spans": [[False, True, "a"]]}, "is not a span"),
        ({"text": "Ada", "spans": ["abc"]}, "'abc' is not a span"),
        ({"text": "Ada", "spans": [], "label": [[0, 3, "a"]]}, 'both "spans" and "label"'),
        ({"words": ["a"], "ner_tags": ["O"], "tags": ["O"]}, 'both "tags" and "ner_tags"'),
        ({"text": "Ada", "spans": [[0, 2, "a"], [1, 3, "a"]]}, "overlap"),
        ({"text": "a  b", "spans": [[1, 2, "a"]]}, "holds no word"),
        ({"text": "Ada", "spans": 3}, '"spans" is not a list'),
        ({"text": "Ada", "image": "HTTPS://a.b/c.jpg"}, "is a link"),
        ({"text": "Ada", "image": {"bytes": "§"}}, "not in base64"),
        ({"text": "Ada", "image": 3}, "is not a file name"),
        ({"text": "Ada", "id": [1]}, '"id" is [1]'),
        ({"text": "Ada", "time": 1747000000}, "looks like seconds"),
        ({"text": "Ada \ud83d"}, "half a character"),
        ({"words": ["\udc00"]}, "half a character"),
        ({"text": "Ada", "time": "soon"}, "\"time\" is 'soon'"),
        ({"text": "Ada", "caption": 3}, '"caption" is 3'),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, row, message):
    if message is None:
        message = '"words" is not a list of texts'
    file = lines(tmp_path / "x.jsonl", {"text": "fine"}, row)
    with pytest.raises(DataError) as caught:
        read_jsonl(file)
    assert str(caught.value).startswith(f"{file}:2: ") and message in str(caught.value)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no posts"):
        read_jsonl(lines(tmp_path / "x.jsonl", ""))


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3), max_leaves=6
)
KEYS = st.sampled_from(["text", "words", "tags", "spans", "image", "id", "time", "caption", "group"])


@given(st.lists(st.one_of(st.dictionaries(KEYS, VALUES, max_size=4).map(json.dumps), st.text(max_size=9)), max_size=3))
def test_any_file_gives_posts_or_a_data_error(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("any") / "any.jsonl"
    file.write_bytes("\n".join(rows).encode("utf-8", "surrogatepass"))
    try:
        found = read_jsonl(file)
    except DataError as error:
        assert str(error).startswith(str(file))
    else:
        assert found and all(t.words and len(t.tags) in (0, len(t.words)) for t in found)


TEXTS = st.text(st.sampled_from("ab東 '-.#é"), min_size=1, max_size=20).filter(str.strip)


@given(st.lists(st.tuples(TEXTS, st.data()), min_size=1, max_size=3))
def test_what_is_written_is_read(tmp_path_factory, drawn):
    posts = []
    for number, (text, data) in enumerate(drawn):
        words = tuple(word for word, _ in words_of(text))
        tags = tuple(data.draw(st.sampled_from(tag_set(["x", "y-z"]))) for _ in words)
        marked = data.draw(st.booleans())
        posts.append(Tweet(f"{number}", words, tags if marked else (), text=text if data.draw(st.booleans()) else ""))
    file = tmp_path_factory.mktemp("any") / "any.jsonl"
    write_jsonl(posts, file)
    for read, post in zip(read_jsonl(file), posts, strict=True):
        assert (read.id, read.text) == (post.id, post.text) and bool(read.tags) == bool(post.tags)
        assert read.words == post.words
        assert spans(read.words, read.tags) == spans(post.words, post.tags)


# ---- tables ----


def table(tmp_path, content, name="posts.csv"):
    (tmp_path / name).write_bytes(content.encode())
    return tmp_path / name


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_has_a_column_for_each_type(tmp_path, mark):
    between = ";" if mark != ";" else ";"
    rows = [
        ["text", "image", "PER", "work of art", "time"][:3] + ["work", "time"],
        [
            '"Ada met Bob in ""Hamlet"", then Bob left\nAda"',
            "1.jpg",
            f'"Ada{between} Bob {between}Bob"',
            "Hamlet",
            "2.5",
        ],
        ['"nothing, here"', "", "", "", "1970-01-03"],
        ["", "", "", "", ""],
    ]
    file = table(tmp_path, "\ufeff" + "\r\n".join(mark.join(row) for row in rows) + "\r\n")
    first, second = read_table(file)
    assert [(s.text, s.type) for s in spans(first.words, first.tags)] == [
        ("Ada", "PER"),
        ("Bob", "PER"),
        ("Hamlet", "work"),
        ("Bob", "PER"),
    ]
    assert first.image == tmp_path / "1.jpg" and first.time == second.time + 0.5 and first.text.endswith("left\nAda")
    assert set(second.tags) == {"O"} and second.image is None and first.id == "posts-2"
    assert load_corpus(file).types == ("PER", "work")


def test_longer_mentions_come_first_and_parts_of_words_are_left_alone(tmp_path):
    file = table(tmp_path, "text,PER,ORG\nYorkshire New York Post in York,York,New York Post\n")
    (post,) = read_table(file)
    assert [(s.text, s.type, s.start) for s in spans(post.words, post.tags)] == [
        ("New York Post", "ORG", 1),
        ("York", "PER", 5),
    ]
    (bare,) = read_table(table(tmp_path, "text\nAda\n"))
    assert bare.tags == ()


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("PER,image\nAda,1.jpg\n", 1, "one the name text"),
        ("text,PER,PER\nAda,,\n", 1, "each its name once"),
        ("text,a b\nAda,\n", 1, "'a b' is empty or holds a blank"),
        ("text,PER\nAda\n", 2, "here are 1 cells, and 2 columns"),
        ("text,PER\nAda,Bob\n", 2, "'Bob' does not stand in the text"),
        (
            "text,PER\nAda,Ada;Ada\n",
            2,
            "'Ada' is listed 2 times (PER, PER), and stands in the text once as words of its own",
        ),
        (
            "text,PER,ORG\nAda met Bob,Ada,Ada\n",
            2,
            "'Ada' is listed 2 times (PER, ORG), and stands in the text once as words of its own",
        ),
        ("text,PER\nAdam,Ada\n", 2, "'Ada' stands in the text only within a word"),
        ("text,PER,ORG\nAda Bob,Bob,Ada Bob\n", 2, "'Bob' stands in the text only within"),
        ('text,PER\n"a\nb",x\n', 2, "'x' does not stand in the text"),
        ('text,PER\n\n"a\nb\n"c,\n', 3, "cannot be read"),
        ('text,PER\na,\n"b\nc,\n', 3, "write each quote in it twice"),
        ("text,,PER\nAda,x,Ada\n", 2, "column 2 has no name, and 'x' stands in it"),
        ("text,PER,,\nAda,Ada,,,y\n", 2, "here are 5 cells, and 4 columns"),
        ("text,TEXT\nAda,\n", 1, "each its name once"),
        ("text,PER\n  ,\nx,\n \t,y\n", 4, "does not stand"),
        ("text,image\nAda,http://a.b/c.jpg\n", 2, "is a link"),
        ('text,PER\n"Ada"x,Ada\n', 2, "expected after '\"'); put a cell with commas"),
        ("text,time\nAda,soon\n", 2, "\"time\" is 'soon'"),
    ],
)
def test_mistakes_in_tables_name_file_and_line(tmp_path, content, line, message):
    file = table(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_table(file)
    assert str(caught.value).startswith(f"{file}:{line}: ") and message in str(caught.value)


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no posts"):
        read_table(table(tmp_path, "text,PER\n"))


@given(
    st.binary(max_size=60) | st.lists(st.text(',;"\ntexPERAda', max_size=12), max_size=4).map("\n".join).map(str.encode)
)
def test_any_table_gives_posts_or_a_data_error(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "any.csv"
    file.write_bytes(content)
    try:
        assert read_table(file)
    except DataError as error:
        assert str(error).startswith(str(file))


@pytest.mark.parametrize("row", ["小明住在北京,小明,北京", "私は東京に住む,私,東京", "ฉันอยู่ที่เชียงใหม่,ฉัน,เชียงใหม่"])
def test_a_table_in_a_script_without_blanks(tmp_path, row):
    text, who, where = row.split(",")
    (post,) = read_table(table(tmp_path, f"text,who,where\n{row}\n"))
    found = marks(post, spans(post.words, post.tags))
    assert [(text[m["start"] : m["end"]], m["type"]) for m in found] == [(who, "who"), (where, "where")]


# ---- folders, files, the datasets library ----


def folder_of(tmp_path, counts=(8, 2, 2)):
    numbers = itertools.count()
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        rows = []
        for _ in range(count):
            i = next(numbers)
            (tmp_path / "own" / "p").mkdir(parents=True, exist_ok=True)
            (tmp_path / "own" / "p" / f"{i}.png").write_bytes(encoded(picture(i)))
            rows.append({"text": f"Ada{i} likes tea", "spans": [[0, 3 + len(str(i)), "who"]], "image": f"p/{i}.png"})
        lines(tmp_path / "own" / f"{split}.jsonl", *rows)
    return tmp_path / "own"


def test_a_folder_of_json_lines(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "p" / "0.png").unlink()
    found = load_corpus(folder)
    assert (found.name, found.types, found.source) == ("own", ("who",), folder)
    assert [len(s) for s in found.splits.values()] == [8, 2, 2]
    assert found.train[0].image is None and found.train[1].image is not None
    assert found.notes == (
        f"train: 1 of 8 pictures are not there ({folder / 'p' / '0.png'}, …); the default image stands in for them.",
    )


def test_one_file_is_a_heap(tmp_path):
    folder = folder_of(tmp_path)
    heap = load_corpus(folder / "train.jsonl")
    assert (len(heap.train), heap.dev, heap.test, heap.name) == (8, (), (), "train")
    (folder / "val.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"has no dev split; put valid.jsonl or .* mgips split .*train.jsonl --out FOLDER"
    ):
        load_corpus(folder)


def datasets_of(posts):
    datasets = pytest.importorskip("datasets")
    kinds = ["O", "B-who", "I-who"]
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=kinds)),
            "image": datasets.Image(),
        }
    )
    rows = {
        "id": [t.id for t in posts],
        "tokens": [list(t.words) for t in posts],
        "ner_tags": [[kinds.index(tag) for tag in t.tags] for t in posts],
        "image": [str(t.image) for t in posts],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_the_datasets_library(tmp_path):
    datasets = pytest.importorskip("datasets")
    own = load_corpus(folder_of(tmp_path))
    made = datasets.DatasetDict(
        {"train": datasets_of(own.train), "validation": datasets_of(own.dev), "test": datasets_of(own.test)}
    )
    made.save_to_disk(str(tmp_path / "saved"))
    for found in (load_corpus(made), load_corpus(tmp_path / "saved")):
        assert found.types == ("who",)
        for split, tweets in own.splits.items():
            for read, post in zip(found.splits[split], tweets, strict=True):
                assert (read.id, read.words, read.tags) == (post.id, post.words, post.tags)
                assert open_picture(read.image).tobytes() == open_picture(post.image).tobytes()
    with pytest.raises(DataError, match="has the splits train, and no dev"):
        load_corpus(datasets.DatasetDict({"train": made["train"]}))
    spanned = datasets.Dataset.from_list([{"text": "Ada sings", "spans": [{"start": 0, "end": 3, "type": "who"}]}] * 2)
    found = load_corpus({"train": spanned, "dev": spanned, "test": spanned})
    assert found.train[0].tags == ("B-who", "O") and found.train[0].image is None
    broken = datasets.Dataset.from_list([{"text": "Ada"}, {"text": " "}])
    with pytest.raises(DataError, match="datasets, dev, row 1: the text has no words"):
        load_corpus({"train": spanned, "dev": broken, "test": spanned})


def test_unlabelled_rows_of_the_hub(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))})  # fmt: skip

    def rows(*tags):
        return datasets.Dataset.from_dict({"tokens": [["a", "b"]] * len(tags), "ner_tags": [*tags]}, features=features)

    found = load_corpus({"train": rows([1, 0]), "dev": rows([0, 1]), "test": rows([-1, -1])})
    assert found.train[0].tags == ("B-PER", "O") and found.test[0].tags == ()
    with pytest.raises(DataError, match="dev, row 1: a tag is not a number of its 2 names"):
        load_corpus({"train": rows([1, 0]), "dev": rows([1, 0], [0, -1]), "test": rows([0, 0])})


def test_without_the_datasets_library(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "dataset_dict.json").write_text("{}")
    for name in (tmp_path, "hub:someone/something"):
        with pytest.raises(ConfigError, match=r"pip install 'mgips\[hub\]'"):
            load_corpus(name)


def test_a_dataset_that_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    (tmp_path / "dataset_dict.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as a data set"):
        load_corpus(tmp_path)


# ---- splitting ----


def heap_of(count=60, seed=0):
    draw = random.Random(seed)
    posts = []
    for i in range(count):
        text = f"word{draw.randint(0, 200)} and {draw.choice('abc')}"
        posts.append(
            Tweet(
                f"{i}",
                tuple(text.split()),
                ("O",) * 3,
                image=bytes([draw.randint(0, 250)]),
                time=i // 2 + draw.random(),
            )
        )
    return posts


@pytest.mark.parametrize("seed", range(5))
def test_nothing_of_dev_or_test_was_seen_in_training(seed):
    posts = heap_of(seed=seed)
    made = split_corpus(posts, (0.6, 0.2, 0.2), seed=seed)
    assert sorted(t.id for s in made.splits.values() for t in s) == sorted(t.id for t in posts)
    for a, b in itertools.combinations(made.splits.values(), 2):
        assert not {t.words for t in a} & {t.words for t in b}
        assert not {t.image for t in a} & {t.image for t in b}
        assert not {t.time // 1 for t in a} & {t.time // 1 for t in b}
    assert split_corpus(posts, (0.6, 0.2, 0.2), seed=seed) == made


def test_sizes_are_those_asked_for_where_nothing_holds_posts_together():
    posts = [Tweet(f"{i}", (f"w{i}",), ("O",)) for i in range(200)]
    made = split_corpus(posts)
    assert [len(s) for s in made.splits.values()] == [160, 20, 20]
    assert {t.id for t in split_corpus(posts, seed=1).test} != {t.id for t in made.test}


def test_texts_are_compared_without_links_and_capitals():
    heaps = together(
        [
            Tweet("1", ("Go", "Lions", "!", "https://a")),
            Tweet("2", ("go", "lions", "https://b")),
            Tweet("3", ("go",)),
            Tweet("4", ("!",)),
            Tweet("5", ("?",)),
        ]
    )
    assert sorted(map(sorted, heaps)) == [[0, 1], [2], [3], [4]]


def test_what_cannot_be_split():
    same = [dataclasses.replace(t, group="g") for t in heap_of()]
    with pytest.raises(ConfigError, match="60 posts in 1 heaps"):
        split_corpus(same)
    with pytest.raises(ConfigError, match="three numbers above 0"):
        split_corpus(heap_of(), (1, 0, 0))


# ---- the way of a user, in the shell ----


def test_from_one_file_to_predictions(tmp_path, capsys):
    rows = []
    for i in range(60):
        (tmp_path / f"{i}.png").write_bytes(encoded(picture(i)))
        name = ["Ada", "Bob", "Cleo", "Dora"][i % 4]
        rows.append(
            {"text": f"{name} number {i} drinks tea {i}", "spans": [[0, len(name), "who"]], "image": f"{i}.png"}
        )
    heap = lines(tmp_path / "posts.jsonl", *rows)
    out = tmp_path / "own"
    assert main(["audit", str(heap)]) == 0
    assert f"mgips split {heap} --out FOLDER" in capsys.readouterr().out
    assert main(["split", str(heap), "--out", str(out)]) == 0
    assert f"mgips audit {out}" in capsys.readouterr().out
    assert main(["split", str(heap), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["audit", str(out)]) == 0
    told = capsys.readouterr().out
    assert f"mgips crops {out}" in told and f"mgips train --corpus {out}" in told and "who" in told
    run = str(tmp_path / "run")
    quick = [
        "--preset",
        "tiny",
        "--epochs",
        "1",
        "--hidden-size",
        "16",
        "--intermediate-size",
        "32",
        "--num-heads",
        "2",
    ]
    assert main(["train", "--corpus", str(out), *quick, "--batch-size", "8", run]) == 0
    assert f"mgips predict {run}" in capsys.readouterr().out
    answers = tmp_path / "answers.jsonl"
    assert main(["predict", run, str(heap), "--out", str(answers)]) == 0
    assert "60 posts written" in capsys.readouterr().out
    read = read_jsonl(answers)
    assert [t.id for t in read] == [f"posts-{i}" for i in range(1, 61)] and read[0].text == rows[0]["text"]
    model = mgips.load(run)
    bare = [dataclasses.replace(t, tags=()) for t in load_corpus(heap).train]
    assert [spans(t.words, t.tags) for t in read] == [
        spans(t.words, p) for t, p in zip(bare, model.predict(bare), strict=True)
    ]


def test_splitting_without_the_pictures_is_refused_and_audit_says_so(tmp_path, capsys):
    file = lines(tmp_path / "x.jsonl", *({"text": f"post {i}", "image": f"{i}.png", "spans": []} for i in range(20)))
    assert main(["split", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "20 of 20 pictures are not there" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main(["audit", str(file)]) == 0
    assert "20 of 20 pictures are not there" in capsys.readouterr().out
    assert main(["predict", "tiny-full", str(file)]) == 0
    assert "20 of 20 pictures are not there" in capsys.readouterr().err
    assert main(["predict", "tiny-full", str(file), "--out", str(file)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert main(["predict", "tiny-full", str(file), "--time", "3"]) == 2
    assert "belong to --text" in capsys.readouterr().err


def test_a_number_on_another_corpus_says_so(tmp_path, capsys):
    assert main(["evaluate", "tiny-text", "--corpus", "tinytweets:test=40"]) == 0
    assert "not trained on these very posts" in capsys.readouterr().err


def test_predicting_notes_what_cannot_be_read(tmp_path, capsys):
    (tmp_path / "x.png").write_bytes(b"no picture")
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada sings", "image": "x.png"}, {"words": ["Ada", "sings"]})
    assert main(["predict", "tiny-full", str(file)]) == 0
    told = capsys.readouterr()
    assert "x.png is not a picture" in told.err
    first, second = map(json.loads, told.out.splitlines())
    assert first["text"] == "Ada sings" and second["words"] == ["Ada", "sings"]
    assert main(["predict", "tiny-full", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl is not a file" in capsys.readouterr().err
    assert main(["predict", "tiny-full", str(file), "--out", str(file / "x.jsonl")]) == 2
    assert "cannot be written" in capsys.readouterr().err


# ---- what audit advises ----


def posts_of(count, words=5, image=None, tags=True):
    row = tuple(f"w{i}" for i in range(words))
    return tuple(
        Tweet(f"{words}-{i}", row, (("B-x", *("O",) * (words - 1)) if tags else ()), image) for i in range(count)
    )


def test_audit_says_which_settings_fit():
    from mgips.config import RANDOM, ModelConfig
    from mgips.model.pretrained import load_tokenizer

    own = Corpus("own", posts_of(40), posts_of(4), (*posts_of(3), *posts_of(1, 60)))
    tokenizer = load_tokenizer(ModelConfig(text_encoder=RANDOM), own.train)
    advice = "\n".join(audit(own, tokenizer).advice())
    assert "--max-length" in advice and "40 cuts 1 posts" in advice and "--variant text" in advice
    long = "\n".join(audit(Corpus("own", posts_of(40), posts_of(4), posts_of(1, 700)), tokenizer).advice())
    assert "--max-length 512" in long and "--overlap 16" in long
    pictured = "\n".join(
        audit(Corpus("own", posts_of(20, image=picture(0)), posts_of(4), posts_of(4)), tokenizer).advice()
    )
    assert "mgips crops own" in pictured and "--batch-size 8" in pictured
    assert "4 posts have no tags" in "\n".join(
        audit(Corpus("own", posts_of(40), posts_of(4, tags=False), posts_of(4)), tokenizer).advice()
    )
