"""What was saved and then changed: named and refused, or read as it was. Never another answer."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from builders import corpus, tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import quick

from mgips.config import ModelConfig
from mgips.data.batch import TweetDataset
from mgips.errors import ConfigError, DataError, MGIPSError, RunError
from mgips.evaluate import predict_split
from mgips.files import read_tensors, tensors_hash, with_checksum
from mgips.model.mgips import MGIPS
from mgips.training import Trainer, train


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Path, list]:
    """A finished run, and what its model says."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    run = train(corpus(), tiny_config(), quick(epochs=1), folder, progress=False)
    return folder, answers(run.model)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> tuple[Path, str]:
    """A run after its first epoch, and the hash of its weights there."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    trainer = Trainer(corpus(), tiny_config(), quick(epochs=2), folder, progress=False)
    while trainer.step().scores is None:
        pass
    assert trainer.folder
    trainer.folder.release()
    return folder, tensors_hash(trainer.model.state_dict())


def answers(model: MGIPS) -> list:
    return predict_split(model, TweetDataset(corpus().test, model.batcher, progress=False))


def copied(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(folder, to))


@st.composite
def damages(draw):
    """What may happen to a file's bytes: a flipped bit, an end cut off, something else in its place."""
    kind = draw(st.sampled_from(["flip", "flip", "cut", "other"]))
    place, bit = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(0, 7))
    other = draw(
        st.sampled_from([b"", b"[]", b"{}", b"null", b"\xff\xfe\x00", b"nonsense", b"[" * 100_000, b'{"a": NaN}'])
    )

    def damage(content: bytes) -> bytes:
        at = int(place * len(content))
        if kind == "flip":
            return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        return content[:at] if kind == "cut" else other

    return damage


@given(damages())
@settings(max_examples=40, deadline=None)
def test_damaged_weights_are_refused(saved, tmp_path_factory, damage):
    """Wherever the bit is; but a change that leaves every number as it was changes nothing."""
    run, said = saved
    folder = copied(run, tmp_path_factory.getbasetemp() / "weights")
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    try:
        model = MGIPS.from_pretrained(folder)
    except RunError as error:
        assert "model.safetensors" in str(error) and "\n" not in str(error)
    else:
        assert answers(model) == said
        assert tensors_hash(model.state_dict()) == tensors_hash(MGIPS.from_pretrained(run).state_dict())


@given(st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json"]), damages())
@settings(max_examples=40, deadline=None)
def test_a_damaged_folder_is_one_sentence(saved, tmp_path_factory, name, damage):
    run, said = saved
    folder = copied(run, tmp_path_factory.getbasetemp() / "folder")
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    try:
        model = MGIPS.from_pretrained(folder)
    except MGIPSError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
    else:
        assert answers(model) == said


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 10**7},
        {"hidden_size": "32"},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": -1},
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"vocab_size": 10**12},
        {"model_type": "no-such-thing"},
        {"hidden_act": "no-such-thing"},
    ],
)
def test_an_impossible_encoder_is_one_sentence(saved, tmp_path, change):
    folder = copied(saved[0], tmp_path / "run")
    described = json.loads((folder / "config.json").read_text())
    described["encoders"]["text"] |= change
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=r"save the model again") as error:
        MGIPS.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_what_a_model_cannot_have_been_saved_with_is_refused(saved, tmp_path):
    folder = copied(saved[0], tmp_path / "run")
    described = json.loads((folder / "config.json").read_text())

    def told(change) -> str:
        (folder / "config.json").write_text(json.dumps(change))
        with pytest.raises(RunError) as error:
            MGIPS.from_pretrained(folder)
        return str(error.value)

    without = {name: value for name, value in described["model"].items() if name != "hidden_size"}
    assert "does not fit" in told({**described, "model": {**described["model"], "gate": "scalar"}})
    assert "gate is 'abc'; it must be" in told({**described, "model": {**described["model"], "gate": "abc"}})
    assert "this version of mgips does not know" in told({**described, "model": {**without, "strange": 1}})
    assert "another vocabulary" in told({**described, "vocabulary": "0" * 16})
    assert "tags that are not those of its types" in told({**described, "tags": described["tags"][:-1]})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelConfig)])
def test_a_setting_that_is_missing_is_not_taken_for_the_default(saved, tmp_path, field):
    folder = copied(saved[0], tmp_path / "run")
    described = json.loads((folder / "config.json").read_text())
    del described["model"][field]
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=r"config.json"):
        MGIPS.from_pretrained(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_missing_file_of_the_tokenizer_is_one_sentence(saved, tmp_path, name):
    folder = copied(saved[0], tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(RunError, match=r"save the model again"):
        MGIPS.from_pretrained(folder)


def test_a_changed_number_that_fits_the_weights_is_refused_and_an_older_model_is_loaded(saved, tmp_path):
    folder = copied(saved[0], tmp_path / "run")
    described = json.loads((folder / "config.json").read_text())
    described["encoders"]["text"]["layer_norm_eps"] = 1e-2  # would change every answer
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=r"config.json was changed after the model was saved; restore it, or save"):
        MGIPS.from_pretrained(folder)
    shutil.copy(saved[0] / "config.json", folder)
    pieces = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(
        pieces.replace('"continuing_subword_prefix":"##"', '"continuing_subword_prefix":"#!"').replace(
            '"continuing_subword_prefix": "##"', '"continuing_subword_prefix": "#!"'
        )
    )
    assert (folder / "tokenizer.json").read_text() != pieces
    with pytest.raises(RunError, match=r"tokenizer.json was changed after the model was saved"):
        MGIPS.from_pretrained(folder)
    (folder / "tokenizer.json").write_text(pieces)
    older = {
        name: value
        for name, value in json.loads((folder / "config.json").read_text()).items()
        if name not in ("sha256", "files")
    }
    (folder / "config.json").write_text(json.dumps(older))
    assert answers(MGIPS.from_pretrained(folder)) == saved[1]


def test_weights_that_are_not_finite_are_refused(saved, tmp_path):
    folder = copied(saved[0], tmp_path / "run")
    weights, _ = read_tensors(folder / "model.safetensors")
    name = min(name for name, value in weights.items() if value.is_floating_point())
    weights[name].view(-1)[0] = torch.nan
    (folder / "model.safetensors").write_bytes(with_checksum(weights))
    with pytest.raises(RunError, match=f"not finite .in {name}"):
        MGIPS.from_pretrained(folder)


@given(damages())
@settings(max_examples=20, deadline=None)
def test_a_damaged_checkpoint_is_refused_or_harmless(begun, tmp_path_factory, damage):
    run, weights = begun
    folder = copied(run, tmp_path_factory.getbasetemp() / "checkpoint")
    file = folder / "checkpoint.pt"
    file.write_bytes(damage(file.read_bytes()))
    try:
        trainer = Trainer(corpus(), tiny_config(), quick(epochs=2), folder, resume=True, progress=False)
    except RunError as error:
        assert "checkpoint.pt is damaged or was written by another version; remove it" in str(error)
        file.unlink()  # the remedy
        trainer = Trainer(corpus(), tiny_config(), quick(epochs=2), folder, resume=True, progress=False)
        assert trainer.number == 0
    else:
        assert tensors_hash(trainer.model.state_dict()) == weights
    assert trainer.folder
    trainer.folder.release()


@given(damages())
@settings(max_examples=20, deadline=None)
def test_a_damaged_record_is_one_sentence(begun, tmp_path_factory, damage):
    folder = copied(begun[0], tmp_path_factory.getbasetemp() / "record")
    file = folder / "run.json"
    file.write_bytes(damage(file.read_bytes()))
    with contextlib.suppress(RunError):
        trainer = Trainer(corpus(), tiny_config(), quick(epochs=2), folder, resume=True, progress=False)
        assert trainer.folder
        trainer.folder.release()


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 4), max_size=3), st.data())
@settings(max_examples=50, deadline=None)
def test_tensors_come_back_and_any_flipped_bit_is_found(tmp_path_factory, sizes, data):
    tensors = {name: torch.arange(count, dtype=torch.float32) for name, count in sizes.items()}
    tensors["one"] = torch.tensor(3.0, dtype=torch.bfloat16)
    file = tmp_path_factory.getbasetemp() / "any.safetensors"
    content = with_checksum(tensors, {"days": "3"})
    file.write_bytes(content)
    read, about = read_tensors(file)
    assert about["days"] == "3" and tensors_hash(read) == tensors_hash(tensors)
    at = data.draw(st.integers(0, len(content) - 1))
    file.write_bytes(content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1 :])
    try:
        again, _ = read_tensors(file)
    except DataError as error:
        assert str(file) in str(error)
    else:
        assert tensors_hash(again) == tensors_hash(tensors), "only what says nothing about the tensors may differ"


def test_sizes_beyond_memory_are_refused_before_it_is_taken():
    config = ModelConfig(
        text_encoder="random",
        image_encoder="random",
        hidden_size=90_000,
        num_heads=4,
        intermediate_size=90_000,
        num_layers=900,
    )
    with pytest.raises(ConfigError, match="GiB of weights, and this machine"):
        MGIPS.build(config, corpus().train)
