"""The way of someone with posts of their own, in the shell alone: another language, sixteen types, their own pictures."""

import json
import shlex
from collections import Counter

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image, ImageDraw
from test_boxes import save_owlv2

import mgips
from mgips import load_corpus
from mgips.cli import main
from mgips.data.pictures import open_picture

# Ukrainian, its types in its own words: sixteen, with names for each.
NAMES = {
    "особа": "Олена Марко Ярина Тарас Софія Богдан".split(),
    "місто": "Львів Київ Одеса Полтава Суми Луцьк".split(),
    "країна": "Польща Італія Японія Канада Індія Греція".split(),
    "річка": "Дніпро Десна Дунай Вісла Рось Прут".split(),
    "компанія": "Світоч Розетка Аврора Нафтогаз Київстар Сільпо".split(),
    "клуб": "Динамо Шахтар Карпати Ворскла Зоря Металіст".split(),
    "пісня": "Червона рута|Обійми|Без бою|Стріляй|Човен|Вишиванка".split("|"),
    "фільм": "Плем'я|Мавка|Довбуш|Земля|Захар Беркут|Поводир".split("|"),
    "книга": "Кобзар|Лісова пісня|Місто|Тигролови|Зачарована Десна|Енеїда".split("|"),
    "страва": "борщ вареники деруни голубці галушки сирники".split(),
    "напій": "узвар квас кава чай лимонад какао".split(),
    "тварина": "кіт собака лелека заєць лисиця їжак".split(),
    "рослина": "калина верба соняшник дуб барвінок мак".split(),
    "свято": "Різдво Великдень Купала Покрова Маланка Обжинки".split(),
    "дата": "1 травня|24 серпня|8 березня|14 жовтня|2 лютого|31 грудня".split("|"),
    "мова": "українська польська грецька японська хінді литовська".split(),
}
SAYINGS = (
    "Сьогодні бачили {} і дуже зраділи!",
    "А ви знаєте, що таке {}? #цікаво",
    "{} та {} — найкраще за весь тиждень 😍",
    "Пишуть про {}, але ми чекали на {}.",
    "Ще одне фото: {} 📷 https://приклад.укр/1",
)


def own_posts(folder, count=240):
    """A spreadsheet of posts, with a photo each: a sheet in the colour of the first entity's type."""
    kinds = list(NAMES)
    lines = [",".join(["text", "image", *kinds])]
    for number in range(count):
        saying = SAYINGS[number % len(SAYINGS)]
        chosen = [kinds[(number * 5 + place * 7) % 16] for place in range(saying.count("{}"))]
        said = [NAMES[kind][(number // 3 + place) % 6] for place, kind in enumerate(chosen)]
        text = f"{saying.format(*said)} №{number}"
        marked = {kind: ";".join(word for word, own in zip(said, chosen, strict=True) if own == kind) for kind in kinds}
        lines.append(",".join([f'"{text}"', f"photos/{number}.jpg", *(f'"{marked[kind]}"' for kind in kinds)]))
        photo = Image.new("RGB", (90, 60), tuple((37 * kinds.index(chosen[0]) + 80 * c) % 256 for c in range(3)))
        ImageDraw.Draw(photo).ellipse((10 + number % 40, 10, 40 + number % 40, 50), fill="white")
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        photo.save(folder / "photos" / f"{number}.jpg")
    (folder / "posts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "posts.csv"


def next_of(out):
    """What a command's last lines say to type next."""
    return [
        line.strip().removeprefix("Next: ")
        for line in out.splitlines()
        if line.strip().removeprefix("Next: ").startswith("mgips ")
    ]


@pytest.mark.slow
def test_from_a_spreadsheet_to_the_inspectors_without_a_line_of_python(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sheet = own_posts(tmp_path / "own")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_owlv2(tmp_path / "owlv2")

    def run(command, *more):
        capsys.readouterr()
        assert main([*shlex.split(command)[1:], *more]) == 0, command
        return capsys.readouterr().out

    (split,) = next_of(run(f"mgips audit {sheet}"))
    assert split == f"mgips split {sheet} --out FOLDER"
    audit, *_ = next_of(run(split.replace("FOLDER", "corpus")))
    assert audit == "mgips audit corpus"
    told = run(audit)
    assert all(kind in told for kind in NAMES)
    crops, train = next_of(told)
    assert crops.startswith("mgips crops corpus") and train.startswith("mgips train --corpus corpus")
    (train,) = next_of(run("mgips crops corpus", "--detector", "owlv2", "--threshold", "0.3"))
    assert train == "mgips train --corpus corpus"
    with_boxes = load_corpus("corpus")
    assert Counter(len(t.crops) for t in with_boxes.train)[3] > 0 and len(with_boxes.types) == 16
    tiny = ["--preset", "tiny", "--epochs", "12", "--batch-size", "16", "run"]
    (predict,) = next_of(run(train, *tiny).replace(" FILE.jsonl, or --text … --image …", ""))
    assert predict == "mgips predict run"
    scores = json.loads((tmp_path / "run" / "results.json").read_text())
    assert scores["test"]["f1"] > 0.5 and 6 <= len(scores["test"]["per_type"]) <= 16
    (inspect,) = next_of(run(predict, str(sheet), "--out", "answers.jsonl", "--detector", "owlv2"))
    assert inspect == "mgips inspect run"
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 240 and {span["type"] for row in answers for span in row["spans"]} <= set(NAMES)
    assert all(row["text"][span["start"] : span["end"]] == span["text"] for row in answers for span in row["spans"])
    assert "jupyter lab" in run(inspect, "--no-open")
    book = nbformat.read(tmp_path / "run" / "inspect.ipynb", as_version=4)
    calls = " ".join(cell.source for cell in book.cells)
    assert all(f"inspect_{name}(" in calls for name in ("pairs", "attention", "mge", "swap", "tsne"))
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [out for cell in book.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 5  # an error would stand in the page, and leave no picture


def test_a_text_model_gets_the_inspectors_that_fit(tmp_path, capsys):
    out = tmp_path / "x.ipynb"
    assert main(["inspect", "tiny-text", "--no-open", "--out", str(out)]) == 0
    calls = " ".join(cell.source for cell in nbformat.read(out, as_version=4).cells)
    assert "inspect_tsne(" in calls and "inspect_pairs(" not in calls and "inspect_attention(" not in calls
    assert main(["inspect", "nothing", "--no-open"]) == 2
    assert "nothing is not a folder here" in capsys.readouterr().err


def test_a_notebook_is_made_anew_for_another_corpus_unless_it_was_edited(tmp_path, capsys):
    file = tmp_path / "x.ipynb"

    def inspected(corpus):
        assert main(["inspect", "tiny-text", "--no-open", "--corpus", corpus, "--out", str(file)]) == 0
        return nbformat.read(file, as_version=4), "It was edited" in capsys.readouterr().out

    book, edited = inspected("tinytweets:test=8")
    assert "test=8" in book.cells[1].source and not edited
    book.cells[1].outputs = [nbformat.v4.new_output("stream", text="kept")]
    book.cells += [nbformat.v4.new_code_cell("")]  # as Shift+Enter in the last cell adds
    nbformat.write(book, file)
    book, edited = inspected("tinytweets:test=8")
    assert book.cells[1].outputs and not edited, "the same notebook has lost its outputs"
    book, edited = inspected("tinytweets:test=9")
    assert "test=9" in book.cells[1].source and not book.cells[1].outputs and not edited
    book.cells[1].source += "\n# mine"
    nbformat.write(book, file)
    book, edited = inspected("tinytweets:test=8")
    assert "test=9" in book.cells[1].source and "# mine" in book.cells[1].source and edited


def test_a_notebook_of_ones_own_is_not_overwritten(tmp_path, capsys):
    file = tmp_path / "own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), file)
    before = file.read_bytes()
    inspect = ["inspect", "tiny-text", "--no-open", "--corpus", "tinytweets:test=8", "--out"]
    assert main([*inspect, str(file)]) == 0
    assert file.read_bytes() == before and "It was edited" in capsys.readouterr().out
    file.write_text("nothing")
    assert main([*inspect, str(file)]) == 2
    assert "own.ipynb is not a notebook" in capsys.readouterr().err and file.read_text() == "nothing"
    assert main([*inspect, str(tmp_path / "own")]) == 2
    assert "it must end in .ipynb, as own.ipynb does" in capsys.readouterr().err


def test_the_run_that_one_is_in_can_be_inspected(tmp_path, monkeypatch):
    mgips.load("tiny-text").save_pretrained(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", ".", "--no-open", "--corpus", "tinytweets:test=8"]) == 0
    assert str(tmp_path) in nbformat.read("inspect.ipynb", as_version=4).cells[1].source


def test_splits_in_a_linked_folder_find_their_pictures(tmp_path, capsys):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    rows = []
    for number in range(30):
        Image.new("RGB", (8, 8), (8 * number, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
        rows.append({"text": f"Ada {number}", "spans": [[0, 3, "PER"]], "image": f"photos/{number}.png"})
    (tmp_path / "photos" / "store").symlink_to(tmp_path / "photos")
    rows[0]["image"] = "photos/store/../photos/0.png"  # ".." of a link, in the file itself
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["split", str(tmp_path / "posts.jsonl"), "--out", str(tmp_path / "link")]) == 0
    made = load_corpus(tmp_path / "link")
    assert not made.notes, made.notes
    for split in made.splits.values():
        for post in split:
            assert open_picture(post.image).getpixel((0, 0)) == (8 * int(post.words[1]), 0, 0)


def test_one_file_is_split_before_it_is_trained_on(tmp_path, capsys):
    file = tmp_path / "posts.jsonl"
    rows = [{"words": ["Ada", str(number)], "tags": ["B-PER", "O"]} for number in range(30)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for command in (["train", "--corpus", str(file)], ["evaluate", "tiny-text", "--corpus", str(file)]):
        assert main(command) == 2  # before any encoder is fetched
        assert f"mgips split {file} --out FOLDER" in capsys.readouterr().err
    assert main(["split", str(file), "--out", str(tmp_path / "made")]) == 0
    train = tmp_path / "made" / "train.jsonl"
    train.write_text(train.read_text().replace("B-PER", "O"))
    assert main(["train", "--corpus", str(tmp_path / "made"), "--preset", "tiny", str(tmp_path / "run")]) == 2
    assert "The train split of made has no entity" in capsys.readouterr().err
