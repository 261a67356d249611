"""The model card of a run: what the model is, what it scores and on what, and how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgips.config import ModelConfig, TrainConfig

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
TEMPLATE = """\
---
library_name: mgips
pipeline_tag: token-classification
tags:
- multimodal
- named-entity-recognition
{base}model-index:
- name: {quoted}
  results:
  - task:
      type: token-classification
      name: multimodal named entity recognition
    dataset:
      type: {data}
      name: {data}
      split: test
    metrics:
    - {{type: f1, value: {f1}}}
    - {{type: precision, value: {precision}}}
    - {{type: recall, value: {recall}}}
---

# {name}

Finds entities of {count} ({types}) in posts of a text{picture}: MGIPS-CL, as the package
mgips {version} implements it.

```python
import mgips

tagger = mgips.Tagger("{name}")  # this folder, or its name on the hub
tagger("the text of a post"{photo})
```

## Scores

Entity level, seqeval's default reading, gold never cut; epoch {epoch} of {epochs}, chosen by dev F1, scored on test once.

| | precision | recall | F1 | entities |
|---|---|---|---|---|
{rows}

One run, seed {seed}: another seed gives other numbers.

## Trained on

Corpus {data}, SHA-256 `{sha256}`{notes}. {device}, {seconds} seconds; {versions}.

| setting | here | default |
|---|---|---|
{settings}
{forks}
## Limits

- Words past {max_length} word pieces {past}.
- {pictures}
- Names and uses of another time, region or register are found less well; measure on posts of your own before you rely on it.
- What a picture adds can be measured: `mgips probe`.
"""


def model_card(name: str, described: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """A card in Markdown with the hub's metadata.

    Args:
        name: what the model is called.
        described: run.json.
        results: results.json.
    """
    model, train = {**vars(ModelConfig()), **described["model"]}, {**vars(TrainConfig()), **described["train"]}
    corpus = described["corpus"]
    test, dev = results["test"], results["dev"]

    def row(label: str, score: Mapping[str, Any]) -> str:
        numbers = " | ".join(f"{100 * score[key]:.2f}" for key in ("precision", "recall", "f1"))
        return f"| {label} | {numbers} | {score['support']:,} |"

    defaults = {**vars(ModelConfig()), **vars(TrainConfig())}
    changed = {k: v for k, v in {**model, **train}.items() if v != defaults[k] and k not in ("types", "seed")}
    towers = ("text_encoder", "image_encoder") if model["images"] else ("text_encoder",)
    encoders = [model[key] for key in towers if HUB_NAME.fullmatch(model[key]) and not Path(model[key]).exists()]
    changed |= {key: Path(changed[key]).name for key in towers if key in changed and changed[key] not in encoders}
    types = model["types"]
    return TEMPLATE.format(
        name=name,
        quoted=json.dumps(name, ensure_ascii=False),
        base="".join(["base_model:\n", *(f"- {encoder}\n" for encoder in encoders)]) if encoders else "",
        data=json.dumps(corpus["name"]),
        f1=round(test["f1"], 4),
        precision=round(test["precision"], 4),
        recall=round(test["recall"], 4),
        count="1 type" if len(types) == 1 else f"{len(types)} types",
        types=", ".join(types),
        picture=" and a picture" if model["images"] else "",
        photo=', "photo.jpg"' if model["images"] else "",
        version=described["versions"]["mgips"],
        epoch=results["epoch"],
        epochs=train["epochs"],
        rows="\n".join(
            [
                *(row(f"test, {kind}", score) for kind, score in test["per_type"].items()),
                row("test", test),
                row("dev", dev),
            ]
        ),
        seed=train["seed"],
        forks="".join(
            f"\nAfter step {fork['step']:,} of this run: {', '.join(f'{k} = {v}' for k, v in fork['changes'].items())}.\n"
            for fork in described.get("forks", [])
        ),
        sha256=corpus["sha256"],
        notes="".join(f"; {note.rstrip('.')}" for note in corpus["notes"]),
        device=described["device"]["name"],
        seconds=f"{results['seconds']:,.0f}",
        versions=", ".join(f"{package} {version}" for package, version in described["versions"].items()),
        settings="\n".join(f"| `{key}` | {value} | {defaults[key]} |" for key, value in changed.items()),
        max_length=model["max_length"],
        past="are read in windows" if model["overlap"] else "are not read: they are never part of an entity",
        pictures=(
            "It reads no pictures."
            if not model["images"]
            else "It reads captions in place of pictures."
            if model["image_encoder"] == "captions"
            else "A post without a picture is read with a default one."
        ),
    )
