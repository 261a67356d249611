"""Corpora of one's own, attacked: other tools' files, names that are taken, odd encodings, and what has no labels."""

import codecs
import dataclasses
import json
import types

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from test_corpora import lines, table

import mgips
from mgips import Corpus, Tweet, load_corpus, preset
from mgips.cli import main
from mgips.data.conll import read_conll
from mgips.data.jsonlines import Remarks, read_jsonl
from mgips.data.load import data_root, loads_again, place_in
from mgips.data.spans import spans
from mgips.data.table import read_table
from mgips.data.text import words_of
from mgips.data.twitter import save_corpus
from mgips.errors import ConfigError, DataError
from mgips.lab.audit import audit
from mgips.lab.diagnosis import diagnose
from mgips.run import describe_run

# ---- what a run says of its corpus ----


def rows_of(split, count):
    return [
        {
            "id": f"{split}{i}",
            "text": f"{name} drinks {split} tea {i}",
            "spans": [{"start": 0, "end": len(name), "type": "who"}],
        }
        for i, name in zip(range(count), ["Ada", "Bob", "Cleo", "Dora"] * count, strict=False)
    ]


def folder_called(folder):
    for split, count in {"train": 12, "dev": 4, "test": 4}.items():
        lines(folder / f"{split}.jsonl", *rows_of(split, count))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A text model trained on a folder that has a published corpus's name."""
    place = tmp_path_factory.mktemp("named")
    corpus = load_corpus(folder_called(place / "twitter2015"))
    model, config = preset(
        "tiny", "text", epochs=1, hidden_size=16, intermediate_size=32, num_heads=2, num_layers=1, batch_size=4
    )
    mgips.train(corpus, model, config, place / "run", progress=False)
    return place / "run"


def recorded(corpus, run):
    accelerator = types.SimpleNamespace(device=torch.device("cpu"), num_processes=1)
    model, config = preset("tiny", "text")
    return describe_run(corpus, types.SimpleNamespace(config=model, parameters=list), config, accelerator)["corpus"]


def test_a_folder_with_a_published_name_is_found_again(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = run.parent / "twitter2015"
    assert json.loads((run / "run.json").read_text())["corpus"]["source"] == str(folder)
    assert main(["evaluate", str(run)]) == 0
    told = capsys.readouterr()
    assert "who" in told.out and "not trained on these very posts" not in told.err
    assert diagnose(run, progress=False).corpus == "twitter2015"
    assert main(["inspect", str(run), "--no-open", "--out", "x.ipynb"]) == 0
    assert json.dumps(f"load_corpus({str(folder)!r}")[1:-1] in (tmp_path / "x.ipynb").read_text()


def test_only_a_published_corpus_asked_for_by_name_is_recorded_by_name(run, tmp_path, monkeypatch, twitter_root):
    drawn = load_corpus("tinytweets:test=40,train=48,dev=8")
    assert "source" not in recorded(drawn, run) and loads_again(drawn) == drawn.name
    made = dataclasses.replace(drawn, called="")  # as `tinytweets(…)` gives it
    assert "source" not in recorded(made, run)
    published = load_corpus("twitter2017", twitter_root)
    assert "source" not in recorded(published, run)
    copy = load_corpus(twitter_root / "twitter2017")
    assert recorded(copy, run)["source"] == str((twitter_root / "twitter2017").resolve())
    monkeypatch.chdir(folder_called(tmp_path / "tinytweets:train=9").parent)
    own = load_corpus("./tinytweets:train=9")
    assert own.name == "tinytweets:train=9" and not loads_again(load_corpus(own.name)) == loads_again(own)
    assert recorded(own, run)["source"] == str(tmp_path / "tinytweets:train=9")
    assert load_corpus(place_in(recorded(own, run))).train == own.train


def test_a_corpus_of_the_hub_is_found_again_and_one_in_memory_is_asked_for(run, monkeypatch, capsys):
    datasets = pytest.importorskip("datasets")
    made = {
        split: datasets.Dataset.from_list(rows_of(split, count))
        for split, count in {"train": 12, "validation": 4, "test": 4}.items()
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda path, name: made if (path, name) == ("me/own", "a") else None)
    found = load_corpus("hub:me/own:a")
    assert found.name == "own" and loads_again(found) == audit(found).place == "hub:me/own:a"
    record = json.loads((run / "run.json").read_text())
    try:
        (run / "run.json").write_text(json.dumps({**record, "corpus": recorded(found, run)}))
        assert main(["evaluate", str(run)]) == 0
        assert "not trained on these very posts" not in capsys.readouterr().err
        assert diagnose(run, progress=False).corpus == "own"
        (run / "run.json").write_text(json.dumps({**record, "corpus": recorded(load_corpus(made), run)}))
        assert main(["evaluate", str(run)]) == 2
        assert "'datasets' was made in memory and cannot be loaded; name one with --corpus" in capsys.readouterr().err
        assert any("name one with --corpus" in finding.evidence for finding in diagnose(run, progress=False).findings)
    finally:
        (run / "run.json").write_text(json.dumps(record))


def test_a_data_set_on_disk_is_found_again(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {split: datasets.Dataset.from_list(rows_of(split, 2)) for split in ("train", "validation", "test")}
    datasets.DatasetDict(rows).save_to_disk(str(tmp_path / "saved"))
    found = load_corpus(tmp_path / "saved")
    assert loads_again(found) == str(tmp_path / "saved") and load_corpus(loads_again(found)) == found


# ---- files of other tools ----

DOCCANO = {"id": 7, "text": "Ada in #London", "Comments": []}


@pytest.mark.parametrize(
    "labels",
    [
        {"label": [[8, 14, "LOC"], [0, 3, "PER"]]},
        {"labels": [[0, 3, "PER"], [8, 14, "LOC"]]},
        {
            "entities": [
                {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3},
                {"id": 2, "label": "LOC", "start_offset": 8, "end_offset": 14},
            ],
            "relations": [],
        },
        {"spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 14, "label": "LOC"}], "label": None},
    ],
    ids=["doccano", "doccano 1", "doccano with relations", "prodigy"],
)
def test_exports_of_annotation_tools(tmp_path, labels):
    (post,) = read_jsonl(lines(tmp_path / "x.jsonl", DOCCANO | labels))
    assert (post.id, post.tags) == ("7", ("B-PER", "O", "O", "B-LOC"))


def test_other_names_for_words_and_tags(tmp_path):
    rows = [{"tokens": ["a", "b"], name: ["B-x", "O"]} for name in ("tags", "ner_tags", "labels")]
    assert {post.tags for post in read_jsonl(lines(tmp_path / "x.jsonl", *rows))} == {("B-x", "O")}


def test_labels_that_are_not_read_are_remarked(tmp_path):
    rows = [
        {"text": "Ada"},
        {"text": "Ada", "NER": [[0, 3, "PER"]]},
        {"text": "Ada", "label": "positive", "entities": {"urls": []}},
        {"text": "Ada", "label": 1},
        {"text": "Ada", "annotations": [], "tags": ""},
        {"text": "Ada", "spans": [], "ner": "x"},
        {"words": ["Ada"], "spans": [[0, 1, "x"]]},
    ]
    found = load_corpus(lines(tmp_path / "x.jsonl", *rows))
    assert [bool(post.tags) for post in found.train] == [False] * 5 + [True, False]
    told = {note.split()[0]: note for note in found.notes}
    assert told.keys() == {'"NER"', '"label"', '"entities"', '"spans"'}
    assert told['"label"'].startswith(
        '"label" is not read, and 2 posts with it have no labels (line 3, …); mark a text by'
    )


def test_rows_of_the_hub_under_other_names():
    datasets = pytest.importorskip("datasets")
    rows = [
        {"text": "Ada sings", "entities": [{"start_offset": 0, "end_offset": 3, "label": "who"}], "labels": None},
        {"text": "NewYork", "entities": [{"start_offset": 0, "end_offset": 3, "label": "who"}], "labels": None},
    ]
    kinds = datasets.ClassLabel(names=["O", "B-who"])
    tagged = datasets.Dataset.from_dict(
        {"tokens": [["Ada", "sings"]], "labels": [[1, 0]]},
        features=datasets.Features({"tokens": datasets.List(datasets.Value("string")), "labels": datasets.List(kinds)}),
    )
    sentiment = datasets.Dataset.from_list([{"text": "Ada sings", "label": "good", "entities": {"a": [1], "b": []}}])
    found = load_corpus({"train": datasets.Dataset.from_list(rows), "dev": tagged, "test": sentiment})
    assert found.train[0].tags == found.dev[0].tags == ("B-who", "O") and found.test[0].tags == ()
    assert found.notes[0] == "train: 1 of 2 entities begins or ends inside a word, and is taken as whole words (row 1)."
    assert found.notes[1].startswith('test: "entities" is not read') or '"label" is not read' in found.notes[1]


def test_an_array_of_objects(tmp_path):
    rows = rows_of("train", 3)
    same = [dataclasses.replace(t, id="") for t in read_jsonl(lines(tmp_path / "train.jsonl", *rows))]
    for name in ("a.json", "a.JSONL"):
        (tmp_path / name).write_text("\n " + json.dumps(rows, indent=1))
        assert [dataclasses.replace(t, id="") for t in load_corpus(tmp_path / name).train] == same
    assert len(load_corpus(lines(tmp_path / "b.json", *rows)).train) == 3
    for content, message in {
        '[\n{"text": "a"},\n{"text": "a"}': ":3: this is not JSON",
        '[{"text": "a"}, {"text": 3}]': ', object 2: "text" is 3',
        "[]": " holds no posts",
        "[" * 100_000: ":1: this is not JSON",
    }.items():
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(DataError) as caught:
            load_corpus(tmp_path / "c.json")
        assert str(caught.value).startswith(f"{tmp_path / 'c.json'}{message}")


# ---- files in a folder ----


def test_two_files_for_one_split_are_refused(tmp_path):
    folder = folder_called(tmp_path / "own")
    (folder / "train.txt").write_text("Ada\tB-PER\n")
    with pytest.raises(DataError, match=r"own holds train.jsonl and train.txt, all for the train split; keep one"):
        load_corpus(folder)
    (folder / "train.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"own holds train.txt and (dev|test).jsonl; give all three splits in one format"
    ):
        load_corpus(folder)


def test_capitals_in_names_and_tables_in_tabs(tmp_path, disk):
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("TRAIN.CSV", "Dev.tsv", "test.TSV"):
        table(folder, 'Text\tImage\tPER\tTIME \n"Ada, then"\t\tAda\t3\n'.replace("TIME ", "time"), name)
    found = load_corpus(folder)
    assert found.types == ("PER",) and found.train[0].time == 3 and found.dev[0].words == ("Ada", ",", "then")
    before = load_corpus(disk)
    (disk / "train.txt").rename(disk / "Train.TXT")
    (disk / "valid.txt").rename(disk / "valid.tsv")
    assert load_corpus(disk) == before


@pytest.mark.parametrize("ending", ["xlsx", "XLS", "ods"])
def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path, ending):
    (tmp_path / f"train.{ending}").write_bytes(b"PK\3\4\0")
    for place in (tmp_path / f"train.{ending}",):
        with pytest.raises(DataError, match=r"is a spreadsheet; save it as CSV \(UTF-8\)"):
            load_corpus(place)
    for split in ("dev", "test"):
        (tmp_path / f"{split}.{ending}").write_bytes(b"PK\3\4\0")
    with pytest.raises(DataError, match="is a spreadsheet"):
        load_corpus(tmp_path)
    for split in ("train", "dev", "test"):
        table(tmp_path, f"text\n{split}\n", f"{split}.csv")
    assert len(load_corpus(tmp_path).train) == 1  # a spreadsheet beside what was saved from it is left alone


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder_called(tmp_path / "own")
    assert len(load_corpus("~/own").train) == 12 and len(load_corpus("~/own/dev.jsonl").train) == 4
    assert data_root("~/x") == tmp_path / "x"
    monkeypatch.setenv("MGIPS_DATA", "~/y")
    assert data_root() == tmp_path / "y"
    with pytest.raises(DataError, match="There is no corpus '~nobody-here/own'"):
        load_corpus("~nobody-here/own")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings(tmp_path, encoding, end):
    texts = {"a.csv": "text,PER\nZoë sang,Zoë\n", "a.txt": "Zoë\tB-PER\nsang\tO\n"}
    texts["a.jsonl"] = json.dumps({"text": "Zoë sang", "spans": [[0, 3, "PER"]]}, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.replace("\n", end).encode(encoding))
        (post,) = load_corpus(tmp_path / name).train
        assert (post.words, post.tags) == (("Zoë", "sang"), ("B-PER", "O"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\na\n".encode("utf-16-le"), ":1: a NUL byte; .* save it as UTF-8"),
        ("text\na\n".encode("utf-32"), ":1: a NUL byte"),
        (codecs.BOM_UTF16_LE + b"a", "begins as UTF-16 does, and is damaged; save the file as UTF-8"),
        (codecs.BOM_UTF16_LE + b"\x00\xdc", "is damaged"),
        ("text\nZoë\n".encode("cp1252"), ":2: byte 0xeb is not UTF-8; save the file as UTF-8"),
    ],
)
def test_encodings_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_corpus(tmp_path / "a.csv")


# ---- tables ----


def entities(tmp_path, content):
    return [[(s.text, s.type, s.start) for s in spans(p.words, p.tags)] for p in read_table(table(tmp_path, content))]


def test_what_two_columns_list_is_marked_in_their_order(tmp_path):
    assert entities(tmp_path, "text,ORG,PER\nAda met Ada,Ada,Ada\n") == [[("Ada", "ORG", 0), ("Ada", "PER", 2)]]
    assert entities(tmp_path, "text,PER,ORG\nAda met Ada,Ada,Ada\n") == [[("Ada", "PER", 0), ("Ada", "ORG", 2)]]


def test_blank_columns_and_rows_and_capitals(tmp_path):
    content = ";TEXT;;Image;PER;;\r\n;;;;;;\r\n;Ada;;1.jpg;Ada;;\r\n;;;;;;\r\n;Bob;;;Bob;;;; \r\n"
    assert entities(tmp_path, content) == [[("Ada", "PER", 0)], [("Bob", "PER", 0)]]
    first, second = read_table(tmp_path / "posts.csv")
    assert (first.image, first.id, second.id) == (tmp_path / "1.jpg", "posts-3", "posts-5")


def test_a_table_is_widened_too(tmp_path):
    remarks = Remarks()
    (post,) = read_table(table(tmp_path, "text,x\nv 9.30,9\n"), remarks)
    assert post.tags == ("O", "B-x")
    assert remarks.notes() == ["1 of 1 entities begins or ends inside a word, and is taken as whole words (line 2)."]


@given(
    st.lists(st.text("ab ,;\t\"'\n\r東.", max_size=12).filter(str.strip), min_size=1, max_size=4),
    st.sampled_from(",;\t"),
)
def test_what_csv_writes_is_read(tmp_path_factory, texts, mark):
    import csv

    path = tmp_path_factory.mktemp("any") / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=mark).writerows([["text", "x"], *([text, ""] for text in texts)])
    assert [post.text for post in read_table(path)] == texts


# ---- words without tags ----


def test_one_column_is_words_only(tmp_path, capsys):
    (tmp_path / "x.txt").write_text("# id 7f\n#London\nis\n\n#\nhot\n-DOCSTART-\n\nIMG\n")
    found = read_conll(tmp_path / "x.txt")
    assert [(t.id, t.words, t.tags) for t in found] == [
        ("7f", ("#London", "is"), ()),
        ("x-2", ("#", "hot"), ()),
        ("x-3", ("IMG",), ()),
    ]
    assert main(["predict", "tiny-text", str(tmp_path / "x.txt")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    with pytest.raises(ConfigError, match="'7f' of the train split of x has no tags; training and scoring need them"):
        load_corpus(tmp_path / "x.txt").labelled("train")
    (tmp_path / "y.txt").write_text("# O\n")
    assert read_conll(tmp_path / "y.txt")[0].tags == ("O",)
    (tmp_path / "z.txt").write_text("Ada\nsings O\n")
    with pytest.raises(DataError, match="z.txt:1: 'Ada' is one column"):
        read_conll(tmp_path / "z.txt")


def test_what_audit_advises_without_labels(tmp_path, capsys):
    file = lines(tmp_path / "my posts.jsonl", *({"text": f"post {i}"} for i in range(30)))
    assert main(["audit", str(file)]) == 0
    told = capsys.readouterr().out
    assert "No post has tags" in told and f"mgips predict RUN '{file}'" in told
    assert "mgips train" not in told and "mgips split" not in told
    assert main(["split", str(file), "--out", str(tmp_path / "own")]) == 0
    capsys.readouterr()
    assert main(["audit", str(tmp_path / "own")]) == 0
    told = capsys.readouterr().out
    assert f"mgips predict RUN --corpus {tmp_path / 'own'}" in told and "mgips train" not in told


def test_what_audit_advises_without_entities():
    def posts(split, *tags):
        return tuple(Tweet(f"{split}{i}", (split, str(i)), row) for i, row in enumerate(tags))

    bare = Corpus("bare", posts("a", ("O", "O")), posts("b", ("O", "O")), posts("c", ("O", "O")))
    advice = "\n".join(audit(bare).advice())
    assert "No post has an entity" in advice and "mgips train" not in advice
    some = dataclasses.replace(bare, train=posts("a", ("B-x", "O"), ()))
    advice = "\n".join(audit(some).advice())
    assert "1 posts have no tags, and training refuses them" in advice and "mgips train" not in advice
    whole = dataclasses.replace(bare, train=posts("a", ("B-x", "O")))
    assert "mgips train --corpus bare" in "\n".join(audit(whole).advice())


def test_a_published_corpus_in_another_format_is_audited(tmp_path, twitter_root):
    from mgips.data.jsonlines import write_jsonl

    for split, posts in load_corpus("twitter2017", twitter_root).splits.items():
        write_jsonl([dataclasses.replace(post, image=None) for post in posts], tmp_path / "t" / f"{split}.jsonl")
    found = audit(load_corpus(tmp_path / "t"), progress=False)
    assert (found.published, found.version, found.version_by) == ("twitter2017", "original", "counts")
    assert found.place == str(tmp_path / "t")


def test_what_is_saved_is_recorded_by_its_folder(tmp_path):
    corpus = load_corpus(folder_called(tmp_path / "own"))
    save_corpus(corpus, tmp_path / "twitter2017")
    assert loads_again(load_corpus(tmp_path / "twitter2017")) == str(tmp_path / "twitter2017")


def test_a_conll_file_that_begins_with_the_word_text(tmp_path):
    (tmp_path / "x.tsv").write_text("Text\tO\nof\tO\nAda\tB-PER\n")
    (post,) = load_corpus(tmp_path / "x.tsv").train
    assert post.words == ("Text", "of", "Ada")


HOSTILE = st.sampled_from(
    [
        "https://",
        "www.",
        "....",
        "a" * 300,
        "1." * 200,
        "((((",
        "\u0301" * 90,
        "a\u200d" * 90,
        "_" * 300,
        " ",
        "東",
        "\n",
    ]
)


@given(st.lists(HOSTILE, max_size=30).map("".join))
@example("_" * 9000)
def test_no_text_takes_long_or_loses_characters(text):
    """Hypothesis ends a case that takes longer than 0.2 s."""
    assert "".join(word for word, _ in words_of(text)) == "".join(text.split())
