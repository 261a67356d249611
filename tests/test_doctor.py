"""The doctor: what it finds, what it misses, and that each miss comes with a remedy."""

import importlib.metadata

import pytest
from builders import corpus, text_encoder

from mgips.cli import main
from mgips.config import PRESETS, preset
from mgips.data.twitter import save_corpus
from mgips.lab import doctor
from mgips.model.encoders import PAIRS
from mgips.model.mgips import MGIPS


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
    for content, says in (("word\tO\nalone\n", "test.txt:3:"), ("word\n", "Tweet '1' of the test split")):
        (tmp_path / "twitter2017" / "test.txt").write_text(f"IMGID:1\n{content}")
        found = by_name(tmp_path)["twitter2017"]
        assert not found.ok and says in found.remedy


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


# ---- encoders and presets ----


def put_in_cache(name, file, content, cache):
    """A file of a hub repository, where `huggingface_hub` looks for it."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True, exist_ok=True)
    (folder / "snapshots" / "abc" / file).write_bytes(content)


def test_weights_are_looked_for_and_not_only_the_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    bert, clip = "google-bert/bert-base-uncased", "openai/clip-vit-base-patch32"
    put_in_cache(bert, "config.json", b"{}", tmp_path)
    found = by_name(tmp_path)
    assert not found[bert].ok and "about 0.44 GB, computed" in found[bert].remedy
    assert not found["preset base"].ok and f"fetches {bert} and {clip}" in found["preset base"].remedy
    put_in_cache(bert, "model.safetensors", b"x" * 20_000_000, tmp_path)
    found = by_name(tmp_path)
    assert found[bert].ok and "0.02 GB" in found[bert].detail
    assert not found["preset base"].ok and bert not in found["preset base"].remedy
    put_in_cache(clip, "pytorch_model.bin", b"x", tmp_path)
    assert by_name(tmp_path)["preset base"].ok


def test_every_preset_is_computed_and_says_that_it_is(tmp_path):
    found = by_name(tmp_path)
    assert found["preset tiny"].ok, "nothing to fetch"
    for name in PRESETS:
        check, count = found[f"preset {name}"], doctor.parameters(name)
        assert f"{count / 1e6:.1f} million parameters" in check.detail and doctor.COMPUTED in check.detail
        assert doctor.gigabytes(16 * count) in check.detail
    assert "minute" not in "".join(check.detail for check in found.values())


def test_parameters_are_those_of_the_model_that_is_built(monkeypatch):
    """On a device without memory as on the CPU; and the encoders' sizes are those of the pairs that fit."""
    model = MGIPS.build(preset("tiny")[0])
    assert doctor.parameters("tiny") == sum(p.numel() for p in model.parameters())
    for shape, sides in PAIRS.items():
        for name in [name for side in sides for name in side if name in doctor.SIZES]:
            config = getattr(doctor.SIZES[name], "vision_config", doctor.SIZES[name])
            assert shape == (config.num_hidden_layers, config.hidden_size, config.num_attention_heads), name
    small = text_encoder().config
    monkeypatch.setitem(doctor.SIZES, "small", small)
    d, layers, words, head = 32, 3, 99, 32 * 32 + 32 + 2 * 32 + 99
    layer = 4 * (d * d + d) + 2 * d * 64 + 64 + d + 4 * d
    assert doctor.checkpoint_bytes("small") == 4 * (d * (words + 64 + 2) + 2 * d + layers * layer + head)


def test_an_encoder_of_unknown_size(monkeypatch):
    model = preset("base", text_encoder="someone/elses")
    monkeypatch.setitem(doctor.PRESETS, "other", model)
    found = by_name()
    assert "not known" in found["preset other"].detail and "someone/elses" in found["preset other"].remedy
    assert doctor.checkpoint_bytes("someone/elses") is None and found["someone/elses"].remedy.startswith("fetched")
    assert doctor.encoders(["other"]) == ["someone/elses", "openai/clip-vit-base-patch32"]


@pytest.mark.parametrize("name", ["bertweet", "large"])
def test_the_larger_presets_are_listed(name):
    assert set(doctor.encoders([name])) <= set(doctor.SIZES)
