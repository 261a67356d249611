"""Model cards, and models on their way to the hub and back."""

import json
import shutil
from pathlib import Path

import pytest
from builders import corpus, tiny_config
from huggingface_hub import HfApi, ModelCard

import mgips
import mgips.model.pretrained as pretrained
from mgips import MGIPS, TrainConfig, train
from mgips.cli import main
from mgips.errors import ConfigError
from mgips.model.export import export_onnx


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "a-run"
    return train(corpus(), tiny_config(), TrainConfig(epochs=1, batch_size=4), folder, progress=False)


def test_a_run_writes_a_card_with_its_numbers(run):
    results = json.loads((run.folder / "results.json").read_text())
    card = ModelCard.load(run.folder / "README.md")
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {key: round(results["test"][key], 4) for key in ("f1", "precision", "recall")}
    assert card.data.library_name == "mgips" and card.data.model_name == "a-run"
    assert card.data.eval_results[0].dataset_name == "invented"
    for label, score in (
        ("test", results["test"]),
        ("dev", results["dev"]),
        *((f"test, {k}", v) for k, v in results["test"]["per_type"].items()),
    ):
        numbers = " | ".join(f"{100 * score[key]:.2f}" for key in ("precision", "recall", "f1"))
        assert f"| {label} | {numbers} | {score['support']} |" in card.text
    assert corpus().fingerprint() in card.text and "PER, LOC, ORG, MISC" in card.text
    assert "| `batch_size` | 4 | 32 |" in card.text and "| `k` |" not in card.text
    assert str(run.folder.parent) not in card.text  # no machine's path


def test_the_card_of_a_text_model_speaks_of_no_picture(tmp_path):
    own = train(corpus(), tiny_config(images=False, overlap=4), TrainConfig(epochs=1), tmp_path / "t", progress=False)
    assert (
        "It reads no pictures." in own.model.card
        and '"photo.jpg"' not in own.model.card
        and "in windows" in own.model.card
    )


def test_a_card_is_valid_whatever_the_run_is_called_and_names_no_folder(run):
    from mgips.card import model_card

    described = json.loads((run.folder / "run.json").read_text())
    described["model"]["text_encoder"] = str(run.folder / "my-encoder")
    text = model_card('a: "b"', described, json.loads((run.folder / "results.json").read_text()))
    card = ModelCard(text)
    assert card.data.model_name == 'a: "b"' and card.data.base_model is None
    assert str(run.folder) not in text and "| `text_encoder` | my-encoder |" in text


class Hub:
    """A folder that stands for the hub: what is pushed is copied there, what is fetched comes from there."""

    def __init__(self, folder: Path, monkeypatch):
        def create(_, repo_id, **options):
            (folder / repo_id).mkdir(parents=True, exist_ok=True)
            return type("Url", (), {"repo_id": repo_id})

        def upload(_, repo_id, folder_path, **options):
            shutil.copytree(folder_path, folder / repo_id, dirs_exist_ok=True)

        monkeypatch.setattr(HfApi, "create_repo", create)
        monkeypatch.setattr(HfApi, "upload_folder", upload)
        monkeypatch.setattr(pretrained, "snapshot_download", lambda name, **_: str(folder / name))


def test_to_the_hub_and_back(run, tmp_path, monkeypatch):
    Hub(tmp_path / "hub", monkeypatch)
    loaded = MGIPS.from_pretrained(run.folder)
    assert loaded.card == (run.folder / "README.md").read_text()
    loaded.push_to_hub("someone/a-run")
    pushed = tmp_path / "hub" / "someone" / "a-run"
    assert (pushed / "README.md").read_text() == loaded.card
    assert not {"run.json", "checkpoint.pt", "metrics.jsonl"} & {path.name for path in pushed.iterdir()}
    again = mgips.load("someone/a-run")
    assert again.predict(corpus().test) == run.model.predict(corpus().test) and again.card == loaded.card
    found = mgips.Tagger("someone/a-run")("Ada Lovelace was right")
    assert isinstance(found, list)


def test_a_model_without_a_run_gets_the_hubs_own_card(tmp_path):
    MGIPS.build(tiny_config(), corpus().train, seed=0).save_pretrained(tmp_path / "bare")
    assert ModelCard.load(tmp_path / "bare" / "README.md").data.library_name == "mgips"


def test_the_shell_exports_a_graph(tmp_path, capsys):
    assert main(["export", "tiny-reads", "--out", str(tmp_path / "x.onnx")]) == 2
    assert "reads a pool cannot be exported" in capsys.readouterr().err


@pytest.mark.slow
def test_the_shell_writes_a_graph(tmp_path, capsys):
    import onnx

    assert main(["export", "tiny-text", "--out", str(tmp_path / "x.onnx")]) == 0
    assert {value.name for value in onnx.load(tmp_path / "x.onnx").graph.output} == {"emissions"}


def test_without_the_packages_the_export_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'mgips\[onnx\]'"):
        export_onnx(run.model, tmp_path / "x.onnx")
