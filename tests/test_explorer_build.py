"""The explorer's page as files: what is in it, its size, what is refused; tests/browser has what a reader does with it."""

import base64
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from builders import tiny_model, tweets
from test_explorer import needs_node, node

import mgips
import mgips.lab.explorer.build as building
from mgips.cli import main
from mgips.errors import ConfigError, DataError
from mgips.lab.explorer.build import Page, named, page, page_script, page_style
from mgips.lab.figures import style
from mgips.lab.lessons.contents import explained

NAMES = ("tiny-text", "tiny-full", "tiny-reads")


@pytest.fixture(scope="module")
def corpus():
    return mgips.load_corpus("tinytweets:train=1,dev=1,test=64")


@pytest.fixture(scope="module")
def models():
    return named([mgips.load(name) for name in reversed(NAMES)])


@pytest.fixture(scope="module")
def made(models, corpus) -> Page:
    return page(models, corpus.test[:32])


def about(made: Page) -> dict:
    return json.loads(made.data["page.json"])


def test_models_have_names_by_what_they_read_whatever_their_order(models):
    assert list(models) == ["text only", "full", "reading"]
    full = mgips.load("tiny-full")
    assert list(named([full, full])) == ["full", "full 2"]
    for count in (0, 4):
        with pytest.raises(ConfigError, match=f"There are {count} models; a page compares 1 to 3"):
            named([full] * count)


def test_the_showcase_is_a_name_that_only_the_picture_decides(made, models, corpus):
    story = about(made)["showcase"]
    shown = json.loads(made.data["posts.json"])["posts"][: about(made)["day"]]
    assert story["clarity"] > 0.5
    day = [post for post in corpus.test if post.group == shown[0]["group"]]
    post, other = day[story["post"]], day[story["other"]]
    tag = slice(story["start"], story["end"])
    gold = post.tags[tag]
    assert gold[0] == f"B-{story['gold']}"
    swapped = replace(post, image=other.image, crops=other.crops)
    assert tuple(models["full"].predict([post])[0][tag]) == gold
    assert tuple(models["full"].predict([swapped])[0][tag]) != gold
    place = (story["start"], story["end"])
    blind = building._found(models["text only"], [post])[0].get(place)
    assert blind is None or blind[0] != story["gold"] or blind[1] < 0.6


def test_the_same_models_and_posts_give_the_same_bytes(made, models, corpus):
    again = page(models, corpus.test[:32])
    assert again.files() == made.files() and again.single() == made.single()


def test_a_page_asks_nobody_else_and_is_small(made):
    for text in (made.single().decode(), page_style(), page_script()):
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert not addresses, addresses
        assert "@import" not in text
    assert sum(map(len, made.files().values())) < 4e6 and len(made.single()) < 4e6
    assert set(made.files()) == {"index.html", "page.css", "page.js", *(f"data/{name}" for name in made.data)}


def test_one_file_holds_what_the_folder_holds(made):
    html = made.single().decode()
    content = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert content is not None
    assert {name: base64.b64decode(x) for name, x in json.loads(content[1]).items()} == made.data
    assert html.count("</script>") == 2 and "{{" not in html.split("<script")[0]  # no part of the code ends it early
    assert page_style() in html


@needs_node
def test_the_page_is_a_module_without_imports(tmp_path):
    script = page_script()
    assert not re.search(r"^import ", script, re.M)
    (tmp_path / "page.mjs").write_text(script)
    code = f"import('{tmp_path}/page.mjs').then((m) => console.log(typeof m.start, typeof m.default.render))"
    done = subprocess.run([node() or "", "-e", code], capture_output=True, text=True)
    assert done.stdout.strip() == "function function", done.stderr


def test_colours_and_signs_are_those_of_the_figures(made):
    looks = about(made)["looks"]
    assert {kind: colour for kind, (colour, _) in looks.items()} == style.ENTITY
    assert len({sign for _, sign in looks.values()}) == len(looks)
    assert set(building.SIGNS) == {look.marker for look in style.LOOKS.values()} | {m[0] for m in style.MARKERS}


def test_drawn_pictures_come_behind_the_day(made):
    posts = json.loads(made.data["posts.json"])["posts"]
    day = about(made)["day"]
    walls = {tuple(post["truth"]["signature"] or ()) for post in posts[:day]}
    shown = {(post["truth"]["shows"], tuple(post["truth"]["wears"] or ())) for post in posts[day:]}
    assert day == 32 and len(shown) == len(posts) - day == 4 * len(walls)
    assert {wall for _, wall in shown} == walls and all(post["pictured"] for post in posts[day:])


def test_other_posts_than_tinytweets(tmp_path):
    """Posts in no days, without labels, with photos: the first 32, no story, no dials."""
    model = tiny_model()
    posts = [replace(post, tags=(), id=f"p{i}") for i, post in enumerate(tweets(40))]
    made = page(named([model]), posts)
    told, listed = about(made), json.loads(made.data["posts.json"])["posts"]
    assert told["day"] == len(listed) == 32 and told["showcase"] is None
    assert set(told["looks"]) == set(model.config.types)


def test_a_day_by_name_and_days_that_are_not_there(models, corpus):
    made = page(models, corpus.test, "test-01")
    assert {post.get("group") for post in json.loads(made.data["posts.json"])["posts"][:32]} == {"test-01"}
    with pytest.raises(ConfigError, match="no day 'test-07' among these posts; take one of test-00, test-01"):
        page(models, corpus.test, "test-07")
    with pytest.raises(DataError, match="There are no posts"):
        page(models, [])
    one_day = [replace(post, group="d") for post in corpus.test for _ in range(3)]
    with pytest.raises(DataError, match="at most 128 posts, and a day has 192"):
        page({"text only": models["text only"]}, one_day)


def test_a_model_that_the_engine_does_not_compute_is_refused_by_name(corpus):
    with pytest.raises(ConfigError, match="This model has bilstm true, and the explorer has no BiLSTM"):
        page({"full": tiny_model(bilstm=True)}, corpus.test)


def test_the_command(tmp_path, capsys):
    small = ["--corpus", "tinytweets:train=1,dev=1,test=32"]
    assert main(["explorer", "tiny-text", "tiny-full", *small, "--out", str(tmp_path / "site")]) == 0
    out = capsys.readouterr().out
    assert f"MB: {tmp_path / 'site'}" in out and "http.server" in out
    posts = json.loads((tmp_path / "site" / "data" / "posts.json").read_text())
    assert posts["models"] == ["text only", "full"]

    file = tmp_path / "one.html"
    assert main(["explorer", "tiny-text", *small, "--single", str(file)]) == 0
    assert f"MB: {file}" in capsys.readouterr().out and file.read_text().startswith("<!doctype html>")

    for arguments, sentence in {
        ("tiny-text", "--single", "page.txt"): "page.txt is not a page's name; it must end in .html",
        ("tiny-text", "--day", "monday"): "There is no day 'monday' among these posts",
        ("tiny-text",) * 4: "There are 4 models; a page compares 1 to 3",
        ("nowhere",): "nowhere",
    }.items():
        assert main(["explorer", *arguments, *small]) == 2
        assert sentence in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        made.write(tmp_path / "file" / "site")


def test_the_widget_holds_the_same_data(corpus, made):
    from mgips.lab.widgets import explore
    from mgips.lab.widgets.parts import CHUNK

    widget = explore(list(NAMES), corpus, "test-00")
    assert widget.data == made.data
    assert len(json.dumps(widget.get_state(), default=str)) < 4 * len(
        page_script()
    )  # no data: a notebook would save it
    got: dict[str, bytes] = {}
    widget.send = lambda told, buffers: got.update({told["name"]: got.get(told["name"], b"") + buffers[0]})
    for name, content in made.data.items():
        for at in range(0, len(content), CHUNK):
            widget._hear(widget, {"name": name, "at": at}, [])
    assert got == made.data
    widget._hear(widget, {"name": "../secret"}, [])
    assert set(got) == set(made.data)
    assert explore("tiny-text", corpus.test[:2]).data["posts.json"]


def test_the_page_among_the_figures_is_the_one_of_now():
    """After a change of the page: `make figures`, or its last line."""
    folder = Path(__file__).parents[1] / "figures" / "explorer"
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    data = {name.removeprefix("data/"): content for name, content in files.items() if name.startswith("data/")}
    assert Page(data).files() == files and sum(map(len, files.values())) < 4e6
    assert json.loads(data["posts.json"])["models"] == ["text only", "full", "reading"]
    about = json.loads(data["page.json"])
    assert about["lessons"] == explained("../../notebooks") and len(about["lessons"]) == 7
    assert all((folder / lesson["href"]).exists() for lesson in about["lessons"].values())
    assert set(about["lessons"]) <= set(re.findall(r'box\(\s*app,\s*"(\w+)"', files["page.js"].decode()))
    for model, name in zip(("text only", "full", "reading"), NAMES, strict=True):
        assert data[f"{model}/model.safetensors"] == building.pack({model: name}, mgips.load_corpus("tinytweets:train=1,dev=1,test=1").test).files[f"{model}/model.safetensors"]  # fmt: skip
