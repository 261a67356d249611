"""The doctor: what it finds, what it misses, and that each miss comes with a remedy."""

import importlib.metadata

from builders import corpus

from mgips.cli import main
from mgips.data.twitter import save_corpus
from mgips.lab import doctor


def by_name(root=None):
    return {finding.name: finding for finding in doctor.check(root)}


def test_every_miss_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(finding.remedy for finding in doctor.check(tmp_path) if not finding.ok)
    found = by_name(tmp_path)
    assert found["tinytweets"].ok and found["device"].ok and found["run folders"].ok
    assert not found["twitter2015"].ok and "audit" in found["twitter2015"].remedy
    assert found["torch"].detail == importlib.metadata.version("torch")
    assert {"google-bert/bert-base-uncased", "openai/clip-vit-base-patch32"} <= found.keys()


def test_it_finds_a_corpus_and_says_what_is_in_it(tmp_path):
    save_corpus(corpus(), tmp_path / "twitter2015")
    found = by_name(tmp_path)["twitter2015"]
    assert found.ok and "24 of 32 images found" in found.detail


def test_a_broken_corpus_is_reported_with_file_and_line(tmp_path):
    save_corpus(corpus(), tmp_path / "twitter2017")
    (tmp_path / "twitter2017" / "test.txt").write_text("IMGID:1\nword\n")
    found = by_name(tmp_path)["twitter2017"]
    assert not found.ok and "test.txt:2:" in found.remedy


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
