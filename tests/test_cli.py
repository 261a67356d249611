"""The command line as a person meets it: help, one-sentence errors, and each command on small input."""

import dataclasses
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from builders import picture, tiny_model

import mgips.cli as cli
from mgips.cli import main, train_defaults
from mgips.config import PRESETS, VARIANTS, preset
from mgips.data.load import load_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.lab.grids import GRIDS
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.model.reading import Pool
from mgips.model.shipped import shipped
from mgips.training import train

QUICK = ["--epochs", "1", "--hidden-size", "16", "--intermediate-size", "32", "--num-heads", "2", "--batch-size", "8"]


def test_a_run_from_training_to_prediction(disk, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--corpus", str(disk), "--preset", "tiny", run, *QUICK]) == 0
    out = capsys.readouterr().out
    assert "24 of 32 images found" in out and "default reading" in out and run in out
    told = json.loads((Path(run) / "run.json").read_text())
    assert told["model"]["hidden_size"] == 16 and told["train"]["epochs"] == 1
    results = json.loads((Path(run) / "results.json").read_text())

    assert main(["evaluate", run, "--corpus", str(disk), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == results["test"]["f1"]
    assert main(["evaluate", run, "--corpus", str(disk), "--scheme", "strict", "--split", "dev"]) == 0
    assert "strict reading" in capsys.readouterr().out

    assert main(["predict", run, "--text", "Ada Lovelace in Paris #math"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"id", "text", "spans"} and told["text"] == "Ada Lovelace in Paris #math"
    assert all(told["text"][e["start"] : e["end"]] == e["text"] and 0 < e["probability"] <= 1 for e in told["spans"])
    photo = next((disk / "invented_images").iterdir())
    assert main(["predict", run, "--text", "go Lions", "--image", str(photo)]) == 0
    assert main(["predict", run, "--corpus", str(disk), "--out", str(tmp_path / "out.txt")]) == 0
    capsys.readouterr()
    assert (tmp_path / "out.txt").read_text().count("IMGID:") == 8


def test_a_number_says_of_which_posts_it_is_and_other_posts_are_taken_on_purpose_only(disk, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--corpus", str(disk), "--preset", "tiny", run, *QUICK]) == 0
    trained_on = load_corpus(disk).fingerprint()
    capsys.readouterr()
    assert main(["evaluate", run, "--json"]) == 0
    told, err = capsys.readouterr()
    own = {"corpus": "invented", "sha256": trained_on, "trained_on": trained_on, "split": "test"}
    assert json.loads(told) | own == json.loads(told) and not err.startswith("Note:")

    file = disk / "test.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("B-PER", "B-ORG", 1), encoding="utf-8")
    now = load_corpus(disk).fingerprint()
    for command in (
        ["evaluate", run],
        ["probe", run],
        ["mine", run, "--k", "2", "--out", str(tmp_path / "mined")],
        ["inspect", run, "--no-open"],
    ):
        assert main(command) == 2, command
        err = capsys.readouterr().err
        assert trained_on[:12] in err and now[:12] in err and "\n" not in err.strip(), command
    remedy = shlex.split(err.rpartition(": ")[2].strip().removesuffix("."))  # as it is printed
    assert main(["evaluate", run, "--json", *remedy]) == 0
    told, err = capsys.readouterr()
    assert {**json.loads(told), "sha256": now, "trained_on": trained_on} == json.loads(told) and now != trained_on
    assert "not trained on these very posts" in err and now[:12] in err and trained_on[:12] in err
    assert main(["evaluate", run, *remedy]) == 0
    assert f"(invented, test split; SHA-256 of the posts {now[:12]})" in capsys.readouterr().out

    file.write_text(file.read_text(encoding="utf-8").replace("B-ORG", "B-club"), encoding="utf-8")
    for command in ("evaluate", "probe"):  # labels that the model cannot give
        assert main([command, run, *remedy]) == 2
        assert "has the tag 'B-club', and this model's entity types are PER, LOC, ORG, MISC" in capsys.readouterr().err


def test_a_corpus_drawn_in_python_is_not_taken_for_another_one(tmp_path, capsys):
    posts = tinytweets(1, sizes=(48, 8, 8))
    train(posts, *preset("tiny", "text", epochs=1), tmp_path / "run", progress=False)
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "was trained on other posts than tinytweets holds now" in capsys.readouterr().err
    place = "tinytweets:seed=1,train=48,dev=8,test=8"
    assert main(["evaluate", str(tmp_path / "run"), "--corpus", place, "--json"]) == 0
    told, err = capsys.readouterr()
    assert json.loads(told)["sha256"] == posts.fingerprint() and "not trained on" not in err


@pytest.fixture(scope="module")
def reading_run(tmp_path_factory) -> str:
    """A quick run of a model that reads."""
    run = str(tmp_path_factory.mktemp("cli") / "run")
    corpus = "tinytweets:train=48,dev=8,test=40"
    assert main(["train", "--corpus", corpus, "--variant", "reads", run, *QUICK]) == 0
    return run


def test_a_model_that_reads_is_scored_with_any_pool(reading_run, capsys, monkeypatch):
    results = json.loads((Path(reading_run) / "results.json").read_text())
    sizes, windows, real = [], [], MGIPS.predict

    def predict(self, tweets, **options):
        sizes.append(len(options["pool"]))
        windows.append(options["pool"].days)
        return real(self, tweets, **options)

    monkeypatch.setattr(MGIPS, "predict", predict)
    for options in (
        [],
        ["--pool", "none"],
        ["--pool", "train"],
        ["--pool", "split+train", "--days", "0"],
        ["--split", "train", "--pool", "split+train"],
    ):
        assert main(["evaluate", reading_run, "--json", *options]) == 0
        told = json.loads(capsys.readouterr().out)
        assert options or told["f1"] == results["test"]["f1"]
    corpus = load_corpus("tinytweets:train=48,dev=8,test=40")
    test, train = (sum(t.image is not None for t in split) for split in (corpus.test, corpus.train))
    assert sizes == [test, 0, train, test + train, train]
    assert windows == [None, None, None, 0, None]


def test_a_pool_is_saved_and_read(reading_run, tmp_path, capsys):
    file = tmp_path / "there" / "dev.safetensors"
    assert main(["pool", reading_run, "--split", "dev", "--days", "1", "--out", str(file)]) == 0
    pool = Pool.load(file)
    assert f"{len(pool)} pictures of tinytweets" in capsys.readouterr().out and pool.days == 1
    text = ["predict", reading_run, "--text", "Jordan wins again # Teal Stripes"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the run's own pool is there
        assert main(text) == 0
        assert main([*text, "--pool", str(file), "--time", "9.5"]) == 0
        assert main(["predict", reading_run, "--corpus", "tinytweets:test=8", "--out", str(tmp_path / "out.txt")]) == 0
    capsys.readouterr()
    bare = tmp_path / "bare"
    MGIPS.from_pretrained(reading_run).save_pretrained(bare)
    with pytest.warns(UserWarning, match="No pool was given"):
        assert main(["predict", str(bare), "--text", "Jordan wins again"]) == 0


def test_mistakes_with_pools_are_one_message(reading_run, tmp_path, capsys):
    tiny_model().save_pretrained(tmp_path / "full")
    full, file, broken = str(tmp_path / "full"), str(tmp_path / "pool"), tmp_path / "broken"
    other = str(tmp_path / "other.safetensors")
    data = ["--corpus", "tinytweets:train=8,dev=4,test=4"]
    assert main(["pool", reading_run, *data, "--out", file]) == 0
    pool = Pool.load(file)
    dataclasses.replace(pool, weights="others").save(other)
    broken.write_bytes(Path(file).read_bytes()[:99])
    text = ["--text", "hello"]
    for arguments, message in [
        (["pool", full, *data, "--out", file], "This model reads no pool"),
        (["evaluate", full, *data, "--pool", "train"], "This model reads no pool"),
        (["evaluate", full, *data, "--days", "0"], "This model reads no pool"),
        (["predict", full, *text, "--pool", file], "This model reads no pool"),
        (["predict", reading_run, *text, "--pool", other], "built with other weights"),
        (["predict", reading_run, *text, "--pool", str(broken)], "is not a pool"),
        (["predict", reading_run, *text, "--pool", "nothing"], "nothing is not a pool"),
        (["pool", reading_run, *data, "--out", file + "/in/a/file"], "cannot be written"),
    ]:
        capsys.readouterr()
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error, arguments
        assert [line for line in error.splitlines() if line.startswith("mgips: ")][-1] == error.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--preset", "huge"], "no preset 'huge'"),
        (["train", "--variant", "half"], "no variant 'half'"),
        (["train", "--k", "0"], "k is 0"),
        (["train", "--corpus", "twitter1999"], "There is no corpus 'twitter1999'"),
        (["train", "--corpus", "twitter2015", "--root", "nowhere"], "Put them here"),
        (["evaluate", "no-such-run"], "no-such-run is not a folder here, and could not be fetched"),
        (["predict", "run"], "Give one of: a FILE of posts, --text"),
        (["predict", "run", "--text", "hello", "--image", "no.jpg"], "no.jpg is not there"),
        (
            ["predict", "tiny-text", "--text", "hello", "--image", "a.png"],
            "tiny-text reads no pictures (variant text); leave",
        ),
    ],
)
def test_mistakes_are_one_message_and_status_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    picture(0).save("a.png")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("mgips: ") and "Traceback" not in error


def test_a_folder_without_a_model_is_one_message(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--corpus", "tinytweets"]) == 2
    assert "not a saved model" in capsys.readouterr().err
    tiny_model().save_pretrained(tmp_path / "saved")
    assert main(["evaluate", str(tmp_path / "saved")]) == 2
    assert "--corpus" in capsys.readouterr().err


def test_presets_and_variants_set_the_defaults():
    assert train_defaults([]).model == preset("tiny")[0]
    assert train_defaults(["--corpus", "twitter2015"]).preset == "base"
    chosen = train_defaults(["--corpus", "twitter2017", "--preset", "minilm", "--variant", "text", "--k", "5"])
    assert (chosen.model, chosen.train) == preset("minilm", "text")


def test_audit_exits_1_on_a_leak(disk, capsys):
    assert main(["audit", str(disk)]) == 0
    test = disk / "test.txt"
    test.write_text((disk / "train.txt").read_text(), encoding="utf-8")
    assert main(["audit", str(disk)]) == 1
    assert "16" in capsys.readouterr().out


def test_help_is_quick_and_complete():
    """Asking for help must not wait for torch."""
    code = "import atexit, sys, mgips.cli; atexit.register(lambda: print('torch' in sys.modules)); "
    code += "mgips.cli.main(['train', '--help'])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("False")
    for option in ("--text-encoder", "--temperature", "--lr-head", "--resume", "--contrast-on"):
        assert option in out
    out = subprocess.run([sys.executable, "-m", "mgips", "--help"], capture_output=True, text=True, check=True).stdout
    assert all(command in out for command in ("train", "evaluate", "predict", "audit", "doctor", "demo"))


def test_a_closed_pipe_prints_no_traceback():
    command = f"'{sys.executable}' -m mgips audit | true"
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert "Traceback" not in told.stderr


@pytest.mark.slow
def test_ctrl_c_in_training_says_the_command_that_goes_on_and_it_does(disk, tmp_path, listening):
    """A real process, a real Ctrl-C; what it prints is typed, and the weights come out as if nothing had happened."""
    options = ["--preset", "tiny", "--max-length", "24", "--epochs", "40", "--batch-size", "4", "--seed", "3"]

    def start(run, *more):
        arguments = ["train", "--corpus", str(disk), str(run), *options, *more]
        return subprocess.Popen([sys.executable, "-m", "mgips", *arguments], stderr=subprocess.PIPE, text=True, env=env)

    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, cut = start(tmp_path / "whole"), start(tmp_path / "cut")
    while not (tmp_path / "cut" / "checkpoint.pt").exists():
        time.sleep(0.01)
    cut.send_signal(signal.SIGINT)
    message = cut.communicate(timeout=60)[1]
    assert cut.returncode == 130 and "Traceback" not in message
    step = torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < step < 160, "the run was over before it could be stopped"
    command = shlex.split(message.rpartition("Go on with: ")[2])
    assert command[0] == "mgips" and command[-1] == "--resume"
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, env=env)
    assert whole.wait(timeout=120) == 0
    hashes = {weights_hash(MGIPS.from_pretrained(tmp_path / name)) for name in ("whole", "cut")}
    assert len(hashes) == 1


def test_a_stopped_command_says_how_to_go_on(monkeypatch, capsys):
    for name in ("mgips.data.load.load_corpus", "mgips.lab.sweep.sweep"):
        monkeypatch.setattr(name, Mock(side_effect=KeyboardInterrupt))
    assert main(["audit"]) == 130 and capsys.readouterr().err == "\nmgips: stopped.\n"
    assert main(["train", "--k", "2"]) == 130
    assert capsys.readouterr().err == "\nmgips: stopped. Go on with: mgips train --k 2 --resume\n"
    assert main(["sweep", "fig6"]) == 130
    assert capsys.readouterr().err.endswith("stopped. Go on with: mgips sweep fig6\n")


def test_a_command_of_the_lab_without_its_packages_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    for name in [name for name in sys.modules if name.startswith("mgips.lab.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["audit"]) == 2
    assert "pip install 'mgips[lab]'" in capsys.readouterr().err


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", LONG],
        ["export", LONG],
        ["doctor", LONG],
        ["doctor", "--root", LONG],
        ["inspect", LONG, "--no-open"],
        ["train", "--corpus", LONG],
        ["audit", LONG],
        ["split", LONG, "--out", "made"],
        ["crops", LONG],
        ["predict", "tiny-text", LONG],
        ["predict", "tiny-text", "posts.jsonl"],
        ["predict", "tiny-text", "--text", "Ada", "--image", LONG],
        ["predict", "tiny-text", "--corpus", "tinytweets:test=8", "--out", LONG],
        ["predict", "tiny-text", "--corpus", "tinytweets:test=8", "--out", f"{LONG}.txt"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"),
)
def test_a_name_that_is_too_long_is_one_sentence(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "posts.jsonl").write_text('{"text": "Bob"}\n' + json.dumps({"text": "Ada", "image": LONG}))
    assert main(arguments) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("mgips: ") and LONG in told and "File name too long" in told
    assert ("posts.jsonl" in arguments) == told.startswith('mgips: posts.jsonl:2: "image" is x')


def test_an_argument_with_nul_is_one_sentence(capsys):
    for arguments in (["evaluate", "a\0b"], ["train", "a\0b"], ["predict", "tiny-text", "--text", "a\0b"]):
        assert main(arguments) == 2
        assert "An argument holds a NUL character" in capsys.readouterr().err


def test_a_folder_where_a_file_belongs_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("f.jsonl", "f.txt", "f.ipynb", "f.onnx"):
        (tmp_path / name).mkdir()
    posts = ["--corpus", "tinytweets:test=8"]
    for arguments, message in [
        (["predict", "tiny-text", "f.jsonl"], "f.jsonl is not a file here"),
        (["predict", "tiny-text", *posts, "--out", "f.jsonl"], "f.jsonl cannot be written"),
        (["predict", "tiny-text", *posts, "--out", "f.txt"], "f.txt cannot be written"),
        (["predict", "tiny-text", "--text", "Ada", "--image", "f.txt"], "f.txt is not a file"),
        (["predict", "tiny-reads", "--text", "Ada", "--pool", "f.txt"], "f.txt"),
        (["predict", "tiny-reads", "--text", "Ada", "--pool", LONG], LONG),
        (["inspect", "tiny-text", "--no-open", *posts, "--out", "f.ipynb"], "f.ipynb is not a notebook"),
        (["pool", "tiny-reads", *posts, "--out", "f.onnx"], "f.onnx cannot be written"),
        (["pool", "tiny-reads", *posts, "--out", ""], ". cannot be written"),
    ]:
        assert main(arguments) == 2, arguments
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith("mgips: ") and message in told, arguments


def test_an_error_of_the_system_is_one_sentence_and_any_other_a_stack(monkeypatch, capsys):
    for error, told in [
        (PermissionError(13, "Permission denied", "/there"), "mgips: /there cannot be used: Permission denied.\n"),
        (OSError(28, "No space left on device"), "mgips: No space left on device.\n"),
    ]:
        monkeypatch.setattr("mgips.data.load.load_corpus", Mock(side_effect=error))
        assert main(["audit"]) == 2 and capsys.readouterr().err == told
    monkeypatch.setattr("mgips.data.load.load_corpus", Mock(side_effect=OSError("a library's own")))
    with pytest.raises(OSError, match="a library's own"):
        main(["audit"])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_stays_json_whatever_the_terminal_can_write(tmp_path, monkeypatch, encoding):
    text = "Ada é № 😍 in 京"
    file = tmp_path / "posts.jsonl"
    file.write_text(json.dumps({"text": text, "spans": [[0, 3, "é"]]}), encoding="utf-8")

    def run(*arguments):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        assert main([*arguments]) == 0
        stream.flush()
        return stream.buffer.getvalue().decode(encoding)

    assert json.loads(run("predict", "tiny-text", str(file)))["text"] == text
    assert json.loads(run("audit", str(file), "--json"))["types"] == ["é"]
    assert ("\\u00e9" if encoding == "ascii" else "é") in run("audit", str(file))


def test_numbers_outside_of_their_range_are_refused_at_once(capsys):
    for arguments, message in [
        (["probe", "nothing", "--seed", "-1"], "seed is -1; it must be a whole number in [0, 4294967296)."),
        (["crops", "nothing", "--batch-size", "0"], "batch_size is 0; it must be a whole number in [1, inf)."),
        (["predict", "nothing", "--text", "a", "--batch-size", "-2"], "batch_size is -2; it must be"),
        (["audit", "nothing", "--max-length", "2"], "max_length is 2; it must be a whole number in [3, "),
        (["sweep", "fig6", "--seeds", "0", "-1"], "seeds is (0, -1); it must be"),
        (["sweep", "fig6", "--jobs", "-1"], "jobs is -1; it must be a whole number in [0, inf)."),
        (["evaluate", "tiny-reads", "--corpus", "tinytweets:test=8", "--days", "-1"], "days is -1; it must be"),
        (["pool", "tiny-reads", "--corpus", "tinytweets:test=8", "--days", "-1"], "days is -1; it must be"),
    ]:
        assert main(arguments) == 2
        assert message in capsys.readouterr().err, arguments


def test_home_is_expanded_in_every_place_and_in_no_text(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tiny_model(images=False).save_pretrained(tmp_path / "run")
    (tmp_path / "posts.jsonl").write_text('{"text": "Ada"}')
    assert main(["predict", "~/run", "~/posts.jsonl", "--out=~/answers.jsonl"]) == 0
    assert (tmp_path / "answers.jsonl").exists()
    assert main(["evaluate", "~/run", "--corpus=twitter2015", "--root=~/data"]) == 2
    assert str(tmp_path / "data" / "twitter2015") in capsys.readouterr().err
    assert main(["train", "--preset", "tiny", "--text-encoder=~/none", "--corpus=tinytweets:train=8"]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert main(["predict", "~/run", "--text", "~/run"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "~/run"
    assert not (tmp_path / "~").exists()


def test_ids_that_a_file_cannot_hold_are_said_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    (tmp_path / "posts.jsonl").write_text('{"id": "a/b", "text": "Ada"}')
    monkeypatch.setattr(MGIPS, "predict", Mock(side_effect=AssertionError("computed")))
    assert main(["predict", "tiny-text", str(tmp_path / "posts.jsonl"), "--out", str(tmp_path / "s.txt")]) == 2
    assert "'a/b' cannot be written" in capsys.readouterr().err and not (tmp_path / "s.txt").exists()
    assert main(["predict", "tiny-text", str(tmp_path / "posts.jsonl"), "--out", str(tmp_path / "s.jsonl")]) == 0


@pytest.mark.slow
def test_an_export_makes_its_folder_and_says_nothing_of_the_exporter(tmp_path):
    pytest.importorskip("onnxscript")
    file = tmp_path / "missing" / "folder" / "x.onnx"
    command = [sys.executable, "-m", "mgips", "export", "tiny-text", "--out", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert file.stat().st_size > 1000 and not done.stderr and len(done.stdout.splitlines()) == 1


def test_lists_in_the_help_are_those_of_their_sources():
    names = [cli.named(command) for command in cli.COMMANDS]
    assert cli.__doc__ is not None and cli.__doc__.splitlines()[0].split("mgips ")[1].strip("`.").split(" | ") == names
    assert all(name in cli.MODEL for name in shipped()) and cli.MODEL.count("tiny-") == len(shipped())
    environment = {**os.environ, "COLUMNS": "1000"}
    for command, wanted in {"sweep": GRIDS, "evaluate": shipped(), "train": [*PRESETS, *VARIANTS]}.items():
        done = subprocess.run([sys.executable, "-m", "mgips", command, "--help"], capture_output=True, env=environment)
        assert all(name in done.stdout.decode() for name in wanted), command
