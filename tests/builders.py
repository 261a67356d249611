"""Small encoders, tweets and models that the tests share. Nothing here is downloaded."""

import dataclasses
import io
import json
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from mgips.config import CAPTIONS, VARIANTS, ModelConfig, preset
from mgips.data.batch import Batch, TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.lab.grids import Row, find_grid
from mgips.lab.results import ABOUT, configured, of_preset, result_path
from mgips.lab.stats import counts_f1
from mgips.mining import contrast_vectors
from mgips.model.mgips import MGIPS, Contrast, Loss
from mgips.model.pretrained import wordpiece_tokenizer

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
TEXT_MODELS = {
    "bert": (BertModel, BertConfig, {"max_position_embeddings": 64}),
    "roberta": (RobertaModel, RobertaConfig, {"max_position_embeddings": 66, "pad_token_id": 1}),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig, {"max_position_embeddings": 66, "pad_token_id": 1}),
}


def text_encoder(family: str = "bert", **changes) -> torch.nn.Module:
    """A random text encoder of a family, in evaluation mode."""
    kind, config, extra = TEXT_MODELS[family]
    return kind(config(**{"vocab_size": 99, **SIZES, **extra, **changes}), add_pooling_layer=False).eval()


def image_encoder(**changes) -> CLIPVisionModel:
    """A random CLIP vision encoder that reads 32 × 32 pixels, in evaluation mode."""
    return CLIPVisionModel(CLIPVisionConfig(**{**SIZES, "image_size": 32, "patch_size": 8, **changes})).eval()


def picture(seed: int, size: int = 40) -> Image.Image:
    """Some pixels."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (size, size, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


SENTENCES = [
    ("Jordan beats Chicago in overtime !", "B-PER O B-ORG O O O"),
    ("Meet me in Paris", "O O O B-LOC"),
    ("The new Amazon Echo is out # gadgets", "O O B-MISC I-MISC O O O O"),
    ("nothing to see here", "O O O O"),
    ("Washington Post on Washington", "B-ORG I-ORG O B-LOC"),
    ("Ada Lovelace was right", "B-PER I-PER O O"),
    ("go Lions", "O B-ORG"),
    ("rainy day in New York with Sam and Alex near the old harbour", "O O O B-LOC I-LOC O B-PER O B-PER O O O O"),
]


def tweets(count: int = 8, seed: int = 0) -> tuple[Tweet, ...]:
    """Invented posts, each with a picture and three crops but every fourth."""
    made = []
    for i in range(count):
        words, tags = SENTENCES[(i + seed) % len(SENTENCES)]
        pictures = [picture(100 * seed + 10 * i + j) for j in range(4)] if i % 4 != 3 else []
        made.append(
            Tweet(
                id=f"{seed}-{i}",
                words=tuple(words.split()),
                tags=tuple(tags.split()),
                image=pictures[0] if pictures else None,
                crops=tuple(pictures[1:]),
            )
        )
    return tuple(made)


def corpus(train: int = 16, other: int = 8) -> Corpus:
    """A corpus of invented posts."""
    return Corpus("invented", tweets(train, 0), tweets(other, 1), tweets(other, 2))


def tiny_config(**changes) -> ModelConfig:
    """The tiny preset, smaller still."""
    small = {"hidden_size": 32, "intermediate_size": 64, "max_length": 24}
    return dataclasses.replace(preset("tiny")[0], **{**small, **changes})


def tiny_model(seed: int = 0, **changes) -> MGIPS:
    """A random model in evaluation mode."""
    return MGIPS.build(tiny_config(**changes), tweets(), seed=seed).eval()


MODELS = {
    **VARIANTS,
    "unimodal": {"contrast_on": "unimodal"},
    "unimodal-no-mutual": {"contrast_on": "unimodal", "mutual_attention": False},
    "scalar-mean-4": {"gate": "scalar", "weight_scale": "mean", "interweave_encoders": 4},
    "own-images-only": {"mine_missing": False},
}


def variant_model(name: str) -> MGIPS:
    """A small model of a variant or of one of the other settings above, in evaluation mode."""
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    return tiny_model(**{key: value for key, value in MODELS[name].items() if key in fields})


def captioned() -> tuple[Tweet, ...]:
    """Posts with captions: odd ones, one missing, one longer than is read."""
    said = ("a man", "two women", "", "a dog in a boat", "<b>bold</b>", "a man " * 30)
    return tuple(dataclasses.replace(t, caption=said[i % 6]) for i, t in enumerate(tweets(12)))


def caption_model(variant: str) -> MGIPS:
    """A random model of a variant that reads these captions."""
    config = dataclasses.replace(variant_model(variant).config, image_encoder=CAPTIONS)
    return MGIPS.build(config, captioned(), seed=0).eval()


def save_text_checkpoint(folder: Path, family: str = "bert", **changes) -> Path:
    """A random text encoder with its tokenizer, saved in the hub's format."""
    tokenizer = wordpiece_tokenizer(word for tweet in tweets() for word in tweet.words)
    text_encoder(family, **{"vocab_size": len(tokenizer), **changes}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def loss_of(model: MGIPS, batch: Batch) -> Loss:
    """The loss of one batch."""
    return model.loss(model(batch), batch)


def contrast_of(model: MGIPS, batch: Batch) -> Contrast:
    """Texts and images of one batch compared."""
    return model.contrast(model(batch), batch)


def parameters_without_gradient(model: torch.nn.Module) -> list[str]:
    """Names of parameters that a backward pass left without any gradient."""
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def contrast_scores(model: MGIPS, posts) -> torch.Tensor:
    """The cosine of every post's text with every post's image, in double precision."""
    data = TweetDataset(posts, model.batcher, progress=False)
    texts, images = contrast_vectors(model, data, progress=False)
    return texts.double() @ images.double().T  # these vectors have length 1


def best_others_by_loop(model: MGIPS, posts) -> list[int]:
    """For each post, the place of the other post whose picture its text ranks highest."""
    best = []
    for i, scores in enumerate(contrast_scores(model, posts).tolist()):
        others = {j: scores[j] for j, post in enumerate(posts) if j != i and post.image is not None}
        best.append(max(others, key=others.get))
    return best


class HostReads(TorchDispatchMode):
    """Counts operations that make a GPU's host wait: reading a value, or a shape that depends on values."""

    WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique"}
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name().removeprefix("aten::").split(".")[0] in self.WAITING
        return func(*args, **(kwargs or {}))


def save_result(
    folder: Path, grid: str, row: Row, seed: int, corpus: str = "tinytweets", sha256: str = "", **measured
) -> None:
    """An invented record of one run of a grid, where the grid's results are read from; F1 follows from the counts."""
    model, train = configured(of_preset(row, find_grid(grid), "tiny"), seed, changes=measured.get("changes"))
    counts = measured.setdefault("counts", [[1, 2, 2]])
    record = {
        "row": row.name,
        "label": row.label,
        "seed": seed,
        "preset": "tiny",
        "corpus": {"name": corpus, "sha256": sha256},
        **{name: getattr(row, name) for name in ABOUT},
        "model": dataclasses.asdict(model),
        "train": dataclasses.asdict(train),
        "device": {"name": "a CPU"},
        "test": {"f1": float(counts_f1(np.array(counts)))},
    }
    path = result_path(folder, grid, row.name, seed, corpus)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**record, **measured}))


def text_of(figure: Figure) -> str:
    """All text of a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text))


def assert_apart_on_the_page(figure: Figure, artists: Iterable[Artist]) -> None:
    """Each artist lies on the page, and no two overlap."""
    figure.canvas.draw()
    page, seen = figure.bbox, []
    for artist in artists:
        box = artist.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, artist
        assert not [other for other, place in seen if box.overlaps(place)], artist
        seen.append((artist, box))


class _Structure(HTMLParser):
    """What a page is made of, apart from its text: tags with their attributes' names, comments, declarations."""

    VOID = ("meta", "img", "br", "hr", "input", "link")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute stands twice in {tag}"
        self.parts.append(f"<{' '.join([tag, *names])}>")
        self.texts += [value or "" for _, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID, f"<{tag}/> stays open"
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.parts.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self.parts.append("<?")

    def unknown_decl(self, data: str) -> None:
        self.parts.append("<![")


def structure(page: str) -> tuple[list[str], str]:
    """The elements of a piece of HTML that is well formed, and all text in it, in elements and attributes."""
    parser = _Structure()
    parser.feed(page)
    parser.close()
    assert not parser.open, f"{parser.open} are not closed"
    assert not set(page) & {*map(chr, (*range(9), 11, *range(14, 32), *range(127, 160), *range(0xD800, 0xE000)))}
    return parser.parts, "".join(parser.texts)


HOSTILE = st.lists(
    st.sampled_from(
        [*"<>&\"'`=/!-;#%$[](){}\\ax1é😍", "\0", "\x1b", "\x85", "\ue000", "\ue001", "\ufffe", "\u202e"]
        + [
            "<script>",
            "</script>",
            "<b>",
            "</b>",
            "</div>",
            "<!--",
            "-->",
            "]]>",
            "{{",
            "}}",
            "{%",
            "javascript:",
            "&lt;",
        ]
        + ["<img/src=x/onerror=alert(1)>", "<a/href=javascript:alert(1)>", "onload=", "</title>", "</textarea>", "<br"]
    ),
    min_size=1,
    max_size=9,
).map("".join)
"""Text without blanks that would be more than text on a page that forgets to escape it."""
