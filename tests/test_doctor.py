"""The doctor: what it finds, what it misses, and that each miss comes with a remedy."""

import importlib.metadata

from builders import corpus

from mgips.cli import main
from mgips.data.twitter import save_corpus
from mgips.lab import doctor


def test_every_miss_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctor.check(tmp_path)
    assert all(f.remedy for f in found if not f.ok)
    by_name = {f.name: f for f in found}
    assert by_name["tinytweets"].ok and by_name["device"].ok and by_name["run folders"].ok
    assert not by_name["twitter2015"].ok and "audit" in by_name["twitter2015"].remedy
    assert by_name["torch"].detail == importlib.metadata.version("torch")
    assert {"google-bert/bert-base-uncased", "openai/clip-vit-base-patch32"} <= by_name.keys()


def test_it_finds_a_corpus_and_says_what_is_in_it(tmp_path):
    save_corpus(corpus(), tmp_path / "twitter2015")
    found = {f.name: f for f in doctor.check(tmp_path)}
    assert found["twitter2015"].ok and "24 of 32 images found" in found["twitter2015"].detail


def test_a_broken_corpus_is_told_with_file_and_line(tmp_path):
    save_corpus(corpus(), tmp_path / "twitter2017")
    (tmp_path / "twitter2017" / "test.txt").write_text("IMGID:1\nword\n")
    found = {f.name: f for f in doctor.check(tmp_path)}
    assert not found["twitter2017"].ok and "test.txt:2:" in found["twitter2017"].remedy


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package": "nothing"})
    (missing,) = [f for f in doctor.check() if f.name == "no-such-package"]
    assert not missing.ok and "pip install" in missing.remedy


def test_the_browser_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "BROWSERS", ("no-such-browser",))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    assert doctor.browser() is None
    (tmp_path / "chrome").touch()
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "chrome"))
    assert doctor.browser() == str(tmp_path / "chrome")


def test_the_command_prints_a_line_each(tmp_path, capsys):
    assert main(["doctor", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") >= 15 and "missing  twitter2015" in out and "OK       torch" in out
