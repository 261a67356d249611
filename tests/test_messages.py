"""Messages are true: the fault is made, the message comes, its remedy is followed, and then it works."""

import base64
import contextlib
import dataclasses
import io
import json
import re
import shlex
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from builders import (
    corpus,
    encoded,
    picture,
    save_result,
    save_text_checkpoint,
    text_encoder,
    tiny_config,
    tiny_model,
    tweets,
)
from PIL import Image
from test_training import quick
from transformers import CLIPVisionConfig, CLIPVisionModel

from mgips.cli import main
from mgips.config import VARIANTS, ModelConfig, TrainConfig, preset
from mgips.data.boxes import FILE, growing_boxes, read_boxes
from mgips.data.conll import read_conll
from mgips.data.corpus import Corpus, Tweet
from mgips.data.load import drawn_corpus, load_corpus
from mgips.data.pictures import open_picture
from mgips.data.splitting import split_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.twitter import save_corpus
from mgips.errors import MGIPSError
from mgips.lab.grids import find_grid
from mgips.lab.results import load_results, result_path, wanted
from mgips.lab.widgets import inspect_pairs
from mgips.mining import MinedFolder, mine_into, mine_split
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.tagger import Tagger
from mgips.training import Trainer

Story = Generator[Callable[[], object], str, None]
"""Yields what fails, is sent the message, does what it says, and yields what works then."""
STORIES: dict[str, tuple[str, Callable[[Path], Story]]] = {}


def told(message: str):
    """A story about a message, given as a regular expression."""

    def keep(story: Callable[[Path], Story]) -> Callable[[Path], Story]:
        assert story.__name__ not in STORIES
        STORIES[story.__name__] = (message, story)
        return story

    return keep


def shell(*arguments: str) -> None:
    """A command; what it says on a mistake is raised."""
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        status = main([*arguments])
    if status == 2:
        raise MGIPSError(err.getvalue().splitlines()[-1].removeprefix("mgips: "))
    assert status == 0


def lines(file: Path, *rows: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def settings_in(message: str) -> dict[str, object]:
    """What a message says to use: name=value."""
    return {name: json.loads(value.lower()) for name, value in re.findall(r'(\w+)=("[^"]*"|\w+)', message)}


# ---- posts ----


@told(r"posts.jsonl:2: this is not JSON; write one object a line")
def a_line_that_is_not_json(tmp_path):
    good = {"text": "Ada in London"}
    file = lines(tmp_path / "posts.jsonl", good, "Ada in London")
    yield lambda: load_corpus(file)
    lines(file, good, good)
    yield lambda: load_corpus(file)


@told(r'posts.jsonl holds no posts; write one JSON object a line, as \{"text": "Ada in London"\}')
def no_posts(tmp_path):
    file = lines(tmp_path / "posts.jsonl", "")
    message = yield lambda: load_corpus(file)
    lines(file, message.partition(", as ")[2].removesuffix("."))
    yield lambda: load_corpus(file)


@told(r'posts.jsonl:1: .* is not a span; write \{"start": 0, "end": 3, "type": "PER"\}')
def no_span(tmp_path):
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada in London", "spans": ["Ada"]})
    message = yield lambda: load_corpus(file)
    lines(file, {"text": "Ada in London", "spans": [json.loads(message.partition("write ")[2].removesuffix("."))]})
    yield lambda: load_corpus(file)


@told(r"posts.jsonl:1: the spans .* overlap; keep one of them")
def spans_that_overlap(tmp_path):
    spans = [[0, 3, "PER"], [1, 6, "LOC"]]
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada in London", "spans": spans})
    yield lambda: load_corpus(file)
    lines(file, {"text": "Ada in London", "spans": spans[:1]})
    yield lambda: load_corpus(file)


@told(r'posts.jsonl:1: "time" is 17.*, which looks like seconds; give days, or a date such as 2026-05-13T18:30')
def seconds(tmp_path):
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada", "time": 1.7e9})
    message = yield lambda: load_corpus(file)
    lines(file, {"text": "Ada", "time": message.rpartition(" ")[2].removesuffix(".")})
    yield lambda: load_corpus(file)


@told(r'posts.jsonl:1: "image" is a link .*; fetch the picture, and name its file')
def a_link(tmp_path):
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada", "image": "https://a.b/c.png"})
    yield lambda: load_corpus(file)
    picture(0).save(tmp_path / "c.png")
    lines(file, {"text": "Ada", "image": "c.png"})
    yield lambda: load_corpus(file).train[0].image.stat()


@told(r'posts.jsonl:1: "image" is x+, which cannot be a file \(File name too long\); shorten it')
def a_long_name(tmp_path):
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada", "image": "x" * 300})
    yield lambda: load_corpus(file)
    lines(file, {"text": "Ada", "image": "x" * 100})
    yield lambda: load_corpus(file)


@told(r'posts.jsonl:1: "image" is not a file name; write a path, or \{"bytes": BASE64\}')
def half_a_character_in_a_name(tmp_path):
    file = lines(tmp_path / "posts.jsonl", {"text": "Ada", "image": "\ud800"})
    yield lambda: load_corpus(file)
    lines(file, {"text": "Ada", "image": {"bytes": base64.b64encode(encoded(picture(0))).decode()}})
    yield lambda: open_picture(load_corpus(file).train[0].image)


@told(r"train.txt:1: byte 0xe9 is not UTF-8; save the file as UTF-8")
def latin_1(tmp_path):
    (tmp_path / "train.txt").write_bytes("Café\tB-LOC\n".encode("latin-1"))
    yield lambda: load_corpus(tmp_path / "train.txt")
    (tmp_path / "train.txt").write_text((tmp_path / "train.txt").read_text("latin-1"), encoding="utf-8")
    yield lambda: load_corpus(tmp_path / "train.txt")


@told(r"folder.txt cannot be read \(Is a directory\); give a text file that can be")
def a_folder_as_a_split(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    yield lambda: read_conll(tmp_path / "folder.txt")
    yield lambda: read_conll(lines(tmp_path / "train.txt", "Ada\tB-PER", "sings\tO"))


@told(r"posts.csv:2: here are 3 cells, and 2 columns .* put one with commas or line ends between double quotes")
def a_comma_in_a_cell(tmp_path):
    file = lines(tmp_path / "posts.csv", "text,PER", "Ada, Bob,Ada")
    yield lambda: load_corpus(file)
    lines(file, "text,PER", '"Ada, Bob",Ada')
    yield lambda: load_corpus(file)


@told(r"posts.xlsx is a spreadsheet; save it as CSV \(UTF-8\), and name that file")
def a_spreadsheet(tmp_path):
    (tmp_path / "posts.xlsx").write_bytes(b"PK")
    yield lambda: load_corpus(tmp_path / "posts.xlsx")
    yield lambda: load_corpus(lines(tmp_path / "posts.csv", "text,PER", "Ada sings,Ada"))


@told(r"has no dev split; put .* there, or make all three from one file: mgips split .* --out FOLDER")
def a_missing_split(tmp_path):
    rows = [{"text": f"Ada sings {i}", "spans": [[0, 3, "PER"]]} for i in range(10)]
    file = lines(tmp_path / "own" / "train.jsonl", *rows)
    message = yield lambda: load_corpus(file.parent)
    _, *command = shlex.split(message.rpartition("file: ")[2].replace("FOLDER", str(tmp_path / "made")))
    yield lambda: (shell(*command), load_corpus(tmp_path / "made").labelled("test"))


@told(r"is one file, all of which is train; make three splits of it: mgips split .* --out FOLDER")
def one_file(tmp_path):
    file = lines(tmp_path / "own.jsonl", *({"text": f"Ada sings {i}", "spans": [[0, 3, "PER"]]} for i in range(10)))
    message = yield lambda: shell("evaluate", "tiny-text", "--corpus", str(file))
    _, *command = shlex.split(message.rpartition("of it: ")[2].replace("FOLDER", "made"))
    yield lambda: (shell(*command), shell("evaluate", "tiny-text", "--corpus", "made"))


@told(r"holds dev.json and dev.jsonl, all for the dev split; keep one of them there")
def two_files_of_a_split(tmp_path):
    for name in ("train.jsonl", "dev.jsonl", "dev.json", "test.jsonl"):
        lines(tmp_path / "own" / name, {"text": "Ada sings", "spans": [[0, 3, "PER"]]})
    yield lambda: load_corpus(tmp_path / "own")
    (tmp_path / "own" / "dev.json").unlink()
    yield lambda: load_corpus(tmp_path / "own")


@told(r"give all three splits in one format")
def two_formats(tmp_path):
    save_corpus(corpus(), tmp_path / "own")
    for file in tmp_path.glob("own/val*.txt"):
        file.unlink()
    row = {"words": ["Ada", "sings"], "tags": ["B-PER", "O"]}
    lines(tmp_path / "own" / "dev.jsonl", row)
    yield lambda: load_corpus(tmp_path / "own")
    (tmp_path / "own" / "dev.jsonl").unlink()
    lines(tmp_path / "own" / "dev.txt", "Ada\tB-PER", "sings\tO")
    yield lambda: load_corpus(tmp_path / "own")


@told(r"Tweet 'b' of the test split of x has no tags; .* tag it, or leave it out")
def a_post_without_tags(tmp_path):
    good, bare = tweets(1)[0], Tweet("b", ("so",))
    yield lambda: Corpus("x", (), (), (good, bare)).labelled("test")
    yield lambda: Corpus("x", (), (), (good,)).labelled("test")


@told(r"The shares are 1.0, 0.0, 0.0; give three numbers above 0, as in 0.8 0.1 0.1")
def shares(tmp_path):
    file = lines(tmp_path / "own.jsonl", *({"text": f"Ada sings {i}"} for i in range(10)))
    message = yield lambda: shell("split", str(file), "--out", "made", "--shares", "1", "0", "0")
    numbers = message.rpartition("as in ")[2].removesuffix(".").split()
    yield lambda: shell("split", str(file), "--out", "made", "--shares", *numbers)


@told(r"do not fill three splits; mix the days \(--mix-days\)")
def few_days(tmp_path):
    posts = [Tweet(str(i), (f"w{i}",), ("O",), time=float(i % 2)) for i in range(40)]
    yield lambda: split_corpus(posts, days=True)
    yield lambda: split_corpus(posts, days=False)


@told(r"own/train.jsonl is there already; name another folder, or remove it")
def a_split_that_is_there(tmp_path):
    file = lines(tmp_path / "own.jsonl", *({"text": f"Ada sings {i}"} for i in range(10)))
    lines(tmp_path / "own" / "train.jsonl", {"text": "Ada"})
    yield lambda: shell("split", str(file), "--out", "own")
    (tmp_path / "own" / "train.jsonl").unlink()
    yield lambda: shell("split", str(file), "--out", "own")


@told(r"'tinytweets:posts=9' cannot be drawn \(there is no key 'posts'\); its keys are .*")
def a_key_that_is_not_there(tmp_path):
    message = yield lambda: drawn_corpus("tinytweets:posts=9")
    keys = message.rpartition("its keys are ")[2].removesuffix(".").split(", ")
    assert "train" in keys
    yield lambda: drawn_corpus("tinytweets:train=9,dev=2,test=2")


@told(r"signatures is 5; give a multiple of 4 in 4 … \d+")
def signatures(tmp_path):
    message = yield lambda: tinytweets(0, (4, 4, 4), signatures=5)
    most = int(message.rpartition(" ")[2].removesuffix("."))
    yield lambda: [tinytweets(0, (4, 4, 4), signatures=count) for count in (4, most)]


# ---- pictures ----


@told(r"x.ico is not a picture that can be read, or is cut short; save it as JPEG or PNG")
def a_format_that_is_not_read(tmp_path):
    picture(0).save(tmp_path / "x.ico")
    yield lambda: open_picture(tmp_path / "x.ico")
    Image.open(tmp_path / "x.ico").convert("RGB").save(tmp_path / "x.png")
    Image.open(tmp_path / "x.ico").convert("RGB").save(tmp_path / "x.jpg")
    yield lambda: (open_picture(tmp_path / "x.png"), open_picture(tmp_path / "x.jpg"))


@told(r"large.png has more than 64 million pixels; make it smaller")
def a_large_picture(tmp_path):
    Image.new("1", (8001, 8000)).save(tmp_path / "large.png")
    yield lambda: open_picture(tmp_path / "large.png")
    Image.open(tmp_path / "large.png").resize((80, 80)).save(tmp_path / "large.png")
    yield lambda: open_picture(tmp_path / "large.png")


@told(r"The photo is 5 \(int\); give a file's name, its bytes, or a PIL image")
def a_photo_that_is_none(tmp_path):
    tagger = Tagger(tiny_model())
    picture(0).save(tmp_path / "x.png")
    yield lambda: tagger("Ada sings", 5)
    yield lambda: [tagger("Ada sings", x) for x in (str(tmp_path / "x.png"), encoded(picture(0)), picture(0))]


@told(rf"{FILE}:2: this is not a line of JSON; correct it or remove it")
def a_damaged_line_of_boxes(tmp_path):
    growing_boxes(tmp_path / FILE, {"preset": "umgf"})
    head = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(f"{head}{{\n\n")
    yield lambda: read_boxes(tmp_path / FILE)
    (tmp_path / FILE).write_text(head)
    yield lambda: read_boxes(tmp_path / FILE)


# ---- settings ----


@pytest.mark.parametrize(
    "changes",
    [
        {"crf": False, "bio_constraint": True},
        {"row_weights": False, "column_weights": "off"},
        {"read": "top", "contrast_on": "fused"},
        {"text_encoder": "words"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_that_do_not_fit_say_which_do(changes):
    base = vars(tiny_config())
    changes = {k: v for k, v in changes.items() if k in base}
    with pytest.raises(MGIPSError, match="use ") as error:
        ModelConfig(**{**base, **changes})
    ModelConfig(**{**base, **changes, **settings_in(str(error.value).rpartition("use ")[2])})


def named_in(message: str) -> list[str]:
    """What a message lists at its end."""
    return message.rpartition(" are ")[2].removesuffix(".").split(", ")


def listing(fault: Callable[[], object], follow: Callable[[str], object]) -> Callable[[Path], Story]:
    """A story about a message that lists what there is: each of it works."""

    def story(tmp_path: Path) -> Story:
        message = yield fault
        yield lambda: [follow(name) for name in named_in(message)]

    return story


STORIES |= {
    "presets": (r"There is no preset 'huge'; the presets are (.*)\.", listing(lambda: preset("huge"), preset)),
    "variants": (
        r"There is no variant 'half'; the variants are (.*)\.",
        listing(lambda: preset("tiny", "half"), lambda name: preset("tiny", name)),
    ),
    "grids": (r"There is no grid 'fig4'; the grids are (.*)\.", listing(lambda: find_grid("fig4"), find_grid)),
}


@told(r"fig6 has no row 'x'; its rows are (.*)\.")
def rows(tmp_path):
    message = yield lambda: wanted("fig6", ("x",))
    yield lambda: wanted("fig6", named_in(message))


@told(r"An entity type is listed twice in PER, PER; name each once")
def types_twice(tmp_path):
    yield lambda: tiny_config(types=("PER", "PER"))
    yield lambda: tiny_config(types=("PER",))


@told(r"k is 5, but a batch holds only 4 images to mine from; lower k or raise batch_size")
def a_k_beyond_the_batch(tmp_path):
    yield lambda: Trainer(corpus(), tiny_config(k=5), quick(batch_size=4), progress=False)
    yield lambda: [
        Trainer(corpus(), tiny_config(k=k), quick(batch_size=size), progress=False) for k, size in ((4, 4), (5, 5))
    ]


@told(r"crop_size 30 is not a multiple of the image encoder's patch size 8; use crop_size=\d+")
def crops_that_do_not_fit(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(tmp_path / "clip")
    config = {"image_encoder": str(tmp_path / "clip"), "num_layers": 3, "patch_size": 10}
    message = yield lambda: MGIPS.build(tiny_config(**config, crop_size=30), tweets())
    yield lambda: MGIPS.build(tiny_config(**config, **settings_in(message)), tweets())


@told(r"max_length is 65, but .* reads at most 64 pieces; lower it")
def texts_beyond_the_encoder(tmp_path):
    text = str(save_text_checkpoint(tmp_path / "bert", num_hidden_layers=2))
    assert text_encoder().config.max_position_embeddings == 64
    yield lambda: MGIPS.build(tiny_config(text_encoder=text, max_length=65), tweets())
    yield lambda: MGIPS.build(tiny_config(text_encoder=text, max_length=64), tweets())


# ---- runs and saved models ----


@told(r"run holds a run already; choose another folder, or continue it with --resume")
def a_folder_with_a_run(tmp_path):
    def start(folder: str, resume: bool = False) -> None:
        trainer = Trainer(corpus(), tiny_config(), quick(), tmp_path / folder, resume, progress=False)
        trainer.step()
        assert trainer.folder
        trainer.folder.release()

    start("run")
    yield lambda: start("run")
    yield lambda: (start("other"), start("run", resume=True))


@told(r"run was started with other settings \(k was 3, is 2, lr_head was 0.005, is 0.5\); resume it with the same")
def other_settings(tmp_path):
    def start(model: ModelConfig, config: TrainConfig) -> None:
        trainer = Trainer(corpus(), model, config, tmp_path / "run", resume=True, progress=False)
        assert trainer.folder
        trainer.folder.release()

    start(tiny_config(), quick())
    message = yield lambda: start(tiny_config(k=2), quick(lr_head=0.5))
    was = {name: json.loads(value) for name, value in re.findall(r"(\w+) was ([^,]+), is", message.partition("(")[2])}
    yield lambda: start(tiny_config(k=was["k"]), quick(lr_head=was["lr_head"]))


@told(r"model.safetensors is damaged: .* Save the model again, or fetch it again")
def damaged_weights(tmp_path):
    tiny_model().save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved" / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    yield lambda: MGIPS.from_pretrained(tmp_path / "saved")
    tiny_model().save_pretrained(tmp_path / "saved")
    yield lambda: MGIPS.from_pretrained(tmp_path / "saved")


@told(r"The tokenizer in .*saved has another vocabulary than its model; save the model again")
def a_tokenizer_of_another_model(tmp_path):
    tiny_model().save_pretrained(tmp_path / "saved")
    MGIPS.build(tiny_config(), tinytweets(0, (40, 1, 1)).train).save_pretrained(tmp_path / "other")
    (tmp_path / "saved" / "tokenizer.json").write_bytes((tmp_path / "other" / "tokenizer.json").read_bytes())
    yield lambda: MGIPS.from_pretrained(tmp_path / "saved")
    tiny_model().save_pretrained(tmp_path / "saved")
    yield lambda: MGIPS.from_pretrained(tmp_path / "saved")


@told(r"here does not say what it was trained on; name a corpus with --corpus")
def a_model_without_a_corpus(tmp_path):
    tiny_model(images=False).save_pretrained(tmp_path / "here")
    yield lambda: shell("evaluate", "here")
    yield lambda: shell("evaluate", "here", "--corpus", "tinytweets:train=1,dev=1,test=8")


@told(r"Tweet .* has the tag 'B-CLUB', .* or leave them out to predict")
def tags_of_another_kind(tmp_path):
    posts = lines(tmp_path / "posts.jsonl", {"text": "Ada sings", "spans": [[0, 3, "CLUB"]]})
    model = tiny_model(images=False)
    found = load_corpus(posts).train
    yield lambda: model.predict(found)
    yield lambda: model.predict([dataclasses.replace(tweet, tags=()) for tweet in found])


@told(r"Give one of: a FILE of posts, --text \(with --image\), or --corpus")
def nothing_to_predict(tmp_path):
    tiny_model().save_pretrained(tmp_path / "run")
    picture(0).save(tmp_path / "x.png")
    lines(tmp_path / "posts.jsonl", {"text": "Ada sings"})
    yield lambda: shell("predict", "run")
    yield lambda: (
        shell("predict", "run", "posts.jsonl"),
        shell("predict", "run", "--text", "Ada", "--image", "x.png"),
        shell("predict", "run", "--corpus", "tinytweets:train=1,dev=1,test=2"),
    )


@told(r"a.html is not a notebook's name; it must end in .ipynb, as a.html.ipynb does")
def no_notebook(tmp_path):
    tiny_model().save_pretrained(tmp_path / "run")
    rest = ["run", "--no-open", "--corpus", "tinytweets:train=1,dev=1,test=2", "--out"]
    message = yield lambda: shell("inspect", *rest, "a.html")
    yield lambda: shell("inspect", *rest, message.rpartition("as ")[2].removesuffix(" does."))


@told(r"posts.jsonl would be overwritten by its answers; name another file with --out")
def answers_over_their_posts(tmp_path):
    tiny_model(images=False).save_pretrained(tmp_path / "run")
    lines(tmp_path / "posts.jsonl", {"text": "Ada sings"})
    yield lambda: shell("predict", "run", "posts.jsonl", "--out", "posts.jsonl")
    yield lambda: shell("predict", "run", "posts.jsonl", "--out", "answers.jsonl")


@told(r"answers/a.jsonl cannot be written \(.*\); give another place")
def a_place_that_cannot_be_written(tmp_path):
    tiny_model(images=False).save_pretrained(tmp_path / "run")
    (tmp_path / "answers").write_text("a file")
    yield lambda: shell("predict", "run", "--text", "Ada", "--out", "answers/a.jsonl")
    yield lambda: shell("predict", "run", "--text", "Ada", "--out", "elsewhere/a.jsonl")


@told(r"holds the run k1-s7; call it k1-s7.json, or remove it")
def a_result_under_another_name(tmp_path):
    row = find_grid("fig6").rows[0]
    save_result(tmp_path, "fig6", row, 7)
    path = result_path(tmp_path, "fig6", row.name, 7)
    wrong = path.rename(path.with_name(f"{row.name}-s8.json"))
    message = yield lambda: load_results("fig6", folder=tmp_path)
    wrong.rename(wrong.with_name(re.search(r"call it (\S+),", message)[1]))
    yield lambda: load_results("fig6", folder=tmp_path)


# ---- pools and mining ----


@told(r"x.pool is not a pool \(.*\); build it again with model.pool\(posts\).save\(path\)")
def a_damaged_pool(tmp_path):
    model, path, posts = reader(), tmp_path / "x.pool", tweets()
    model.pool(posts).save(path)
    path.write_bytes(path.read_bytes()[:-1])
    message = yield lambda: Pool.load(path)
    eval(message.rpartition("with ")[2].removesuffix("."), {"model": model, "posts": posts, "path": path})
    yield lambda: Pool.load(path)


@told(r"This pool was built with other weights, .*; build it anew")
def a_pool_of_other_weights(tmp_path):
    model = reader()
    yield lambda: model.predict(tweets(), pool=dataclasses.replace(model.pool(tweets()), weights="others"))
    yield lambda: model.predict(tweets(), pool=model.pool(tweets()))


@told(r"A pool's rule is code and cannot be saved; save the pool without it, and set it again")
def a_pool_with_a_rule(tmp_path):
    pool = dataclasses.replace(reader().pool(tweets()), rule=lambda batch, pool: torch.ones(len(batch), len(pool)) > 0)
    yield lambda: pool.save(tmp_path / "x.pool")
    dataclasses.replace(pool, rule=None).save(tmp_path / "x.pool")
    yield lambda: dataclasses.replace(Pool.load(tmp_path / "x.pool"), rule=pool.rule)


def reader() -> MGIPS:
    """A small model that reads."""
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    return tiny_model(**{name: value for name, value in VARIANTS["reads"].items() if name in fields})


@told(r"k is 9, but there are 8 images to mine from; choose k between 1 and 8")
def a_k_beyond_the_images(tmp_path):
    vectors = torch.randn(8, 4), torch.randn(8, 4)
    yield lambda: mine_split(*vectors, 9)
    yield lambda: [mine_split(*vectors, k) for k in (1, 8)]


@told(r"k is 4, but 3 images were mined per text; choose k between 1 and 3")
def a_k_beyond_what_was_mined(tmp_path):
    mined = mine_split(torch.randn(8, 4), torch.randn(8, 4), 3)
    yield lambda: mined.top(4)
    yield lambda: [mined.top(k) for k in (1, 3)]


@told(r"memory is 1000, but to compare these vectors takes (\d+)MB at least, better twice that")
def too_little_memory(tmp_path):
    vectors = torch.randn(2000, 64), torch.randn(2000, 64)
    message = yield lambda: mine_split(*vectors, 3, memory=1000)
    least = int(re.search(r"takes (\d+)MB", message)[1])
    yield lambda: mine_split(*vectors, 3, memory=f"{2 * max(least, 1)}MB")


@told(r"memory is 'much'; give a size such as 2GB, 512MB or a number of bytes")
def no_memory(tmp_path):
    vectors = torch.randn(8, 4), torch.randn(8, 4)
    yield lambda: mine_split(*vectors, 3, memory="much")
    yield lambda: [mine_split(*vectors, 3, memory=size) for size in ("2GB", "512MB", 10**8)]


@told(r"mined lacks 300 of 300 texts, the first of them number 0; mine into it again, and only these are mined")
def a_mining_that_lacks_texts(tmp_path):
    pytest.importorskip("pyarrow")
    vectors = torch.randn(300, 4), torch.randn(300, 4)
    mine_into(tmp_path / "mined", *vectors, 3, csls=0)
    for part in (tmp_path / "mined").glob("*.parquet"):
        part.unlink()
    yield lambda: MinedFolder(tmp_path / "mined")
    mine_into(tmp_path / "mined", *vectors, 3, csls=0)
    yield lambda: MinedFolder(tmp_path / "mined").whole()


# ---- inspectors ----


@told(r"There is no split 'validation'; the splits are train, dev, test")
def no_such_split(tmp_path):
    model = tiny_model()
    message = yield lambda: inspect_pairs(model, corpus(), "validation", progress=False)
    splits = named_in(message)
    yield lambda: [inspect_pairs(model, corpus(8, 4), split, progress=False) for split in splits]


@told(r"There is no post 'x' among these 8; give an id, or a place counted from 0")
def no_such_post(tmp_path):
    pairs = inspect_pairs(tiny_model(), corpus(), progress=False)
    yield lambda: pairs.select("x")
    yield lambda: (pairs.select(corpus().test[0].id), pairs.select(7))


# ---- the test ----


@pytest.mark.parametrize("name", STORIES)
def test_a_remedy_that_is_followed_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message, story = STORIES[name]
    steps = story(tmp_path)
    with pytest.raises(MGIPSError, match=message) as error:
        next(steps)()
    assert "\n" not in str(error.value)
    steps.send(str(error.value))()
    steps.close()
