"""Ten training steps of each preset at its real size, stopped once and resumed: peak memory and seconds a step.

The encoders have the shapes of the published ones and random weights, and are saved and read as those are. The texts are
Twitter-2017's ($MGIPS_DATA says where; skipped without them) and the pictures are drawn, since sizes alone matter here.

    MGIPS_REAL_SIZES='{"large": {"batch_size": 4, "gradient_checkpointing": true}}' MGIPS_BENCH_OUT=large.json \\
      .venv/bin/python -m pytest -s tests/benchmarks/test_real_sizes.py

names the presets, each with fields of ModelConfig or TrainConfig. For each weight the weights, their gradients and AdamW's
two moments are 16 bytes of memory, besides what a batch needs; the encoders and a checkpoint are 16 bytes of disk.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from mgips.config import ModelConfig, TrainConfig, preset
from mgips.data.corpus import Corpus
from mgips.data.load import load_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import DataError
from mgips.model.pretrained import weights_hash, wordpiece_tokenizer
from mgips.training import Trainer

STEPS, STOP = 10, 5
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ROBERTA = {"pad_token_id": 0, "type_vocab_size": 1, "layer_norm_eps": 1e-5}  # 0 is what the tokenizer below pads with
BASE_CLIP = CLIPVisionModel, CLIPVisionConfig()  # ViT-B/32 is the library's default
ENCODERS = {
    "base": ((BertModel, BertConfig()), BASE_CLIP),
    "bertweet": (
        (RobertaModel, RobertaConfig(vocab_size=64_001, max_position_embeddings=130, **ROBERTA)),
        BASE_CLIP,
    ),
    "large": (
        (XLMRobertaModel, XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, **LARGE, **ROBERTA)),
        (CLIPVisionModel, CLIPVisionConfig(patch_size=14, projection_dim=768, **LARGE)),
    ),
}
"""A text and an image encoder for each preset, of the published ones' shapes."""


def posts(count: int, texts: Corpus | None = None) -> Corpus:
    """`count` posts to train on, with drawn pictures; 8 for dev and test each."""
    sizes = {"train": count, "dev": 8, "test": 8}
    drawn = tinytweets(sizes=(*sizes.values(),))
    if texts is None:
        return drawn
    return Corpus(
        texts.name,
        *(
            tuple(
                replace(tweet, image=picture.image, crops=picture.crops)
                for tweet, picture in zip(texts.splits[name][:size], drawn.splits[name], strict=True)
            )
            for name, size in sizes.items()
        ),
    )


def save_encoders(name: str, folder: Path, corpus: Corpus) -> dict[str, str]:
    """A preset's encoders with random weights, saved in the hub's format: the fields of ModelConfig that name them."""
    torch.manual_seed(0)
    places: dict[str, str] = {}
    kind: type[PreTrainedModel]
    for field, (kind, shape) in zip(("text_encoder", "image_encoder"), ENCODERS[name], strict=True):
        kind(shape).save_pretrained(folder / field)
        places[field] = str(folder / field)
    # Any tokenizer does: a vocabulary's size is that of the embedding.
    wordpiece_tokenizer(word for tweet in corpus.train for word in tweet.words).save_pretrained(places["text_encoder"])
    return places


def settings(name: str, changes: dict[str, Any]) -> tuple[ModelConfig, TrainConfig]:
    """A preset's configurations, on the CPU, with a checkpoint where this script asks for one."""
    return preset(name, **{"cpu": True, "batch_size": 8, "checkpoint_every": 10**6, **changes})


def steps(job: dict[str, Any]) -> dict[str, Any]:
    """One process's part: from the start, or from the folder's checkpoint, to step `last`."""
    model, config = settings(job["preset"], job["changes"])
    corpus = posts(
        (STEPS + 1) * config.batch_size * config.accumulate, job["root"] and load_corpus("twitter2017", job["root"])
    )
    trainer = Trainer(corpus, model, config, job["folder"], job["resume"], progress=False)
    begun, wall, cpu, losses = trainer.number, [], [], []
    while trainer.number < job["last"]:
        started = time.perf_counter(), time.process_time()
        step = trainer.step()
        losses.append(step.loss.total.item())
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 2**20
    if job["folder"] and not job["resume"]:
        trainer.save()
    return {
        "begun": begun,
        "step": trainer.number,
        "losses": losses,
        "weights": sum(p.numel() for p in trainer.model.parameters()),
        "seconds_per_step": statistics.median(wall),
        "cpu_seconds_per_step": statistics.median(cpu),
        "peak_memory_gib": peak,
        "sha256": weights_hash(trainer.model),
    }


def in_a_process(job: dict[str, Any]) -> dict[str, Any]:
    """`steps` in a process of its own, whose peak of memory is then its own too."""
    done = subprocess.run([sys.executable, __file__, json.dumps(job)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


WANTED: dict[str, dict[str, Any]] = json.loads(os.environ.get("MGIPS_REAL_SIZES", '{"base": {}}'))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read as Linux tells it")
@pytest.mark.parametrize("name", WANTED)
def test_ten_steps_at_real_size(benchmark, tmp_path, name):
    root = os.environ.get("MGIPS_DATA", "../shared/data")
    try:
        texts = load_corpus("twitter2017", root)
    except DataError:
        pytest.skip(f"twitter2017 is not under {root} (set MGIPS_DATA)")
    places = save_encoders(name, tmp_path, texts)
    held = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    if shutil.disk_usage(tmp_path).free < 4 * held:
        pytest.skip(f"a checkpoint of {name} needs {4 * held / 2**30:.0f} GiB of disk in {tmp_path}")
    changes = {**WANTED[name], **places}
    job = {"preset": name, "changes": changes, "root": str(Path(root).resolve()), "resume": False}
    run = str(tmp_path / "run")

    def measured() -> dict[str, Any]:
        whole = in_a_process({**job, "folder": None, "last": STEPS})
        cut = in_a_process({**job, "folder": run, "last": STOP})
        resumed = in_a_process({**job, "folder": run, "last": STEPS, "resume": True})
        return {"whole": whole, "cut": cut, "resumed": resumed}

    parts = benchmark.pedantic(measured, rounds=1)
    assert [parts[part]["begun"] for part in parts] == [0, 0, STOP]
    assert parts["whole"]["losses"] == parts["cut"]["losses"] + parts["resumed"]["losses"]
    assert parts["whole"]["sha256"] == parts["resumed"]["sha256"] != parts["cut"]["sha256"]
    told = {
        "preset": name,
        "changes": WANTED[name],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **parts,
    }
    print(json.dumps(told, indent=2))
    if out := os.environ.get("MGIPS_BENCH_OUT"):
        with Path(out).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
    shutil.rmtree(tmp_path)


if __name__ == "__main__":
    print(json.dumps(steps(json.loads(sys.argv[1]))))
