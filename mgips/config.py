"""Every hyper-parameter (§4.3 and the places where the paper is silent), in two frozen dataclasses.

The defaults are the paper's; a value that the paper leaves out says where it comes from. The command
line is generated from these fields, so a field's docstring is also its help text. A field's type says what
it may hold: a number's has its range, and both classes refuse anything else.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import reprlib
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from mgips.errors import ConfigError
from mgips.tags import TYPES, check_types

RANDOM = "random"
"""In place of an encoder's name: start that tower from random weights."""
CAPTIONS = "captions"
"""In place of the image encoder's name: read the captions of the pictures, by a second encoder like the text tower's."""
WORDS, CHARACTERS = "words", "words+characters"
"""In place of the text encoder's name: word vectors from a random start, without or with a CNN over letters."""


@dataclass(frozen=True)
class Range:
    """Where a number must lie: an interval "[a, b)" with a, or "(a, b)" without it."""

    interval: str

    def __contains__(self, value: float) -> bool:
        low, high = (float(end) for end in self.interval[1:-1].split(","))
        return (low <= value if self.interval[0] == "[" else low < value) and value < high


def within(interval: str) -> tuple[Range, Any]:
    """A number's range for its type, and for the command line's help."""
    return Range(interval), tyro.conf.arg(metavar=interval)


Count = Annotated[int, *within("[1, inf)")]
CountOrZero = Annotated[int, *within("[0, inf)")]
# Above these limits nothing ends, or fits into memory.
Width = Annotated[int, *within("[1, 100000)")]
Layers = Annotated[int, *within("[1, 1000)")]
Epochs = Annotated[int, *within("[1, 1000000)")]
Length = Annotated[int, *within("[3, 100000)")]
"""[CLS], one piece and [SEP] need 3."""
Seed = Annotated[int, *within("[0, 4294967296)")]
"""What numpy takes."""
Positive = Annotated[float, *within("(0, inf)")]
NotNegative = Annotated[float, *within("[0, inf)")]
Share = Annotated[float, *within("[0, 1)")]


@dataclass(frozen=True)
class ModelConfig:
    """What the model is. Defaults: the paper's full model on BERT-base and CLIP ViT-B/32."""

    types: tuple[str, ...] = TYPES
    """Entity types; training takes those of its corpus."""

    # ---- encoders (§4.3) ----
    text_encoder: str = "google-bert/bert-base-uncased"
    """Hub name or folder of a text encoder: BERT, RoBERTa, BERTweet, XLM-R or ModernBERT; "random" for the sizes below;
    "words" or "words+characters" for vectors of words (Table 2's BiLSTM rows)."""
    image_encoder: str = "openai/clip-vit-base-patch32"
    """Hub name or folder of an image encoder with the text encoder's depth, width and heads: CLIP, SigLIP, SigLIP 2,
    DINOv2 or DINOv3; "random" for the text tower's sizes; "captions" to read the posts' captions in place of their
    pictures, by a second encoder like the text tower's."""
    hidden_size: Width = 768
    """d, for a random start; a pretrained encoder brings its own."""
    num_layers: Layers = 12
    """Layers of each tower, for a random start."""
    num_heads: Width = 12
    """Attention heads of each tower, for a random start."""
    intermediate_size: Width = 3072
    """Feed-forward width of each tower, for a random start."""
    dropout: Share = 0.1
    """In the classifier, the fusion and random-start towers; pretrained towers keep their own."""

    # ---- input (§3.1) ----
    max_length: Length = 40
    """n: word pieces with [CLS] and [SEP]; words past it are predicted O, and gold is never cut."""
    overlap: CountOrZero = 0
    """Words that two windows of a longer text share: each word is then predicted from the window with the most around it.
    0 cuts the text, as the paper does."""
    crop_size: Width = 128
    """Side of each visual-grounding crop, in pixels."""
    patch_size: Width = 32
    """Side of a patch, for a random start; crop_size // patch_size patches a side."""

    # ---- the parts, each with its switch (Tables 2-3) ----
    images: bool = True
    """Off: the text tower and the CRF alone ("text")."""
    bilstm: bool = False
    """A BiLSTM over the words, before the classifier (Table 2's BiLSTM rows)."""
    crf: bool = True
    """Off: each word's tag by itself, with a softmax (Table 2's row BERT)."""
    mutual_attention: bool = True
    """§3.2: each tower attends to the other. Off: two plain encoders."""
    mgi: bool = True
    """§3.3: interweave module and gate. Off: the text tower's output goes to the CRF."""
    row_weights: bool = True
    """Row-grained weights of the MGE, one per token (eq. 6, first line)."""
    column_weights: Literal["feature", "printed", "off"] = "feature"
    """Column-grained weights: one per feature; or eq. 6 as printed, a constant 1; or none."""
    weight_scale: Literal["sum", "mean"] = "sum"
    """Row and column weights sum to 1 (the paper), or average 1 (times length, times d)."""
    interweave_encoders: Layers = 1
    """L of eqs 10-11; the weights are shared across them."""
    mge_ffn_ratio: Positive = 1.0
    """Width of f3's feed-forward over d. The paper is silent; 1 keeps the fusion's cost small."""
    gate: Literal["vector", "scalar"] = "vector"
    """Pre-post gate per feature (eq. 12) or one number per token (the authors' code)."""
    ips_loss: bool = True
    """§3.4: implicit-positive-sample loss, eq. 16."""
    cl_loss: bool = True
    """§3.4: standard contrastive loss, eq. 17."""
    k: Count = 3
    """K: implicit positives per text. A last batch of fewer tweets takes them all."""
    temperature: Positive = 0.5
    """τ of eqs 16-17. Not in the paper; 0.5 is the authors' code."""
    contrast_on: Literal["fused", "unimodal"] = "fused"
    """Contrast the gated features (the paper), or the towers' outputs before they meet
    (with mutual attention on, that runs both towers a second time)."""
    mine_missing: bool = True
    """Whether the default image may be mined as a positive, as in the paper."""
    bio_constraint: bool = False
    """Decode only valid BIO sequences. The loss stays unconstrained."""

    # ---- relevance otherwise than in the paper ----
    pooling: Literal["mean", "attention"] = "mean"
    """How each side becomes one vector for the contrast: the mean of its positions, or a learned weight for each."""
    contrast_norm: bool = False
    """A LayerNorm in both contrastive heads, before their linear layer."""
    symmetric: bool = False
    """The standard contrastive loss from both sides: also every image finds its own text."""
    learned_temperature: bool = False
    """Learn τ, from `temperature` on."""
    csls: bool = False
    """Mine by CSLS, which takes from each relevance what hubs are given by all."""

    # ---- beyond the paper: reading the mined pictures (mgips.model.reading) ----
    read: Literal["off", "softmax", "top", "sparsemax"] = "off"
    """Read a pool of other posts' pictures, weighed by their relevance: all of them, the K best, or as many as
    sparsemax leaves above zero. Needs contrast_on="unimodal"."""
    read_time: bool = True
    """The score of a picture falls with the days between it and the post, by a learned amount."""
    read_null: bool = True
    """A learned score stands for reading nothing."""
    read_own: bool = True
    """A post's own picture may be one of those that are read."""
    read_days: CountOrZero | None = None
    """Read only pictures at most so many days before or after; None for any."""
    read_by: Literal["image", "text"] = "image"
    """What a post's text is compared with: other posts' images, or their texts."""
    read_what: Literal["image", "text"] = "image"
    """What is read of the posts that fit: their images, or their texts."""
    read_learned: bool = True
    """The relevance is also learned from the tags. Off: from the contrastive losses alone."""

    def __post_init__(self) -> None:
        if isinstance(self.types, list):
            object.__setattr__(self, "types", tuple(self.types))  # JSON gives a list
        _check(self)
        check_types(self.types)
        if self.overlap not in (allowed := Range(f"[0, {self.max_length - 2})")):
            raise ConfigError(
                f"overlap is {self.overlap}; at max_length {self.max_length} it must be {_wanted(allowed)}."
            )
        # A pretrained image encoder brings its own patch size (mgips.model.pretrained.check_fit).
        patches = [("crop_size", "patch_size")] if self.image_encoder == RANDOM else []
        for large, small in (("hidden_size", "num_heads"), *patches):
            if getattr(self, large) % getattr(self, small):
                raise ConfigError(
                    f"{large} {getattr(self, large)} is not a multiple of {small} {getattr(self, small)}."
                )
        if self.images and self.text_encoder in (WORDS, CHARACTERS):
            raise ConfigError(
                f"text_encoder {self.text_encoder!r} has no layers for an image to meet; use images=False."
            )
        if self.read != "off" and not (self.images and self.contrast_on == "unimodal"):
            raise ConfigError(
                "Reading mined pictures needs a relevance from before the towers meet; use images=True and "
                'contrast_on="unimodal".'
            )
        if self.bilstm and self.text_encoder in (RANDOM, WORDS, CHARACTERS) and self.hidden_size % 2:
            raise ConfigError(
                f"hidden_size is {self.hidden_size}; a BiLSTM needs an even one, half for each direction."
            )
        if self.bio_constraint and not self.crf:
            raise ConfigError("bio_constraint is a constraint on the CRF's paths; use crf=True.")
        if self.images and self.mgi and not self.row_weights and self.column_weights == "off":
            raise ConfigError(
                "row_weights and column_weights are both off, which leaves the MGE without output; use mgi=False."
            )

    @property
    def contrast(self) -> bool:
        """Whether any contrastive term is part of the loss."""
        return self.images and (self.ips_loss or self.cl_loss)

    @property
    def relates(self) -> bool:
        """Whether texts are compared with images at all: for a contrastive loss, or to read what fits."""
        return self.contrast or self.read != "off"

    @property
    def reads_own(self) -> bool:
        """Whether a post's own picture may be read. Its own text would find itself, and say nothing new."""
        return self.read_own and self.read_by == self.read_what == "image"


@dataclass(frozen=True)
class TrainConfig:
    """How the model is trained. Defaults: §4.3, and the authors' code where the paper is silent."""

    epochs: Epochs = 40
    """Epochs of the K study; the paper gives no other number."""
    batch_size: Count = 32
    """Tweets per batch and process: the candidates of the contrastive losses. Not in the paper."""
    accumulate: Count = 1
    """Batches per step, whose gradients are averaged. Each contrasts its own tweets alone, so that more of them save the
    memory of a larger batch but do not widen what is mined from."""
    length_window: Count = 1
    """Within so many batches of an epoch's shuffled order tweets are sorted by length and the batches shuffled again:
    less padding, but other tweets meet in a batch and are contrasted. 1 leaves the order as it is."""
    gradient_checkpointing: bool = False
    """Compute the towers' layers a second time in the backward pass instead of keeping what they computed: the same
    gradients from less memory, in more time."""
    lr_text: NotNegative = 5e-5
    """Text tower. A rate of 0 leaves its part as it is."""
    lr_image: NotNegative = 3e-5
    """Image tower."""
    lr_fusion: NotNegative = 5e-5
    """MGEs and gates: the text tower's rate, as in the authors' code."""
    lr_contrast: NotNegative = 4.5e-3
    """The two contrastive heads (the authors' code)."""
    lr_head: NotNegative = 5e-2
    """Classifier and CRF (the authors' code)."""
    weight_decay: NotNegative = 1e-2
    """AdamW's, on matrices; biases and norms have none."""
    warmup_ratio: Share = 0.06
    """Share of all steps spent warming up; then a linear decay to 0."""
    max_grad_norm: NotNegative = 1.0
    """Gradient-norm clipping; 0 turns it off."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better dev F1; 0 never stops early."""
    ips_warmup: CountOrZero = 0
    """Epochs on own pictures alone, before self-mined positives enter the loss."""
    memory: CountOrZero = 0
    """Past batches whose pictures may be read as well in training, in half of the steps; 0 reads the batch only."""
    strangers: Share = 0.0
    """Share of the steps whose pool lacks the batch's own pictures, so that reading nothing is learned too."""
    seed: Seed = 0
    """Seeds weights, batches and dropout."""
    precision: Literal["no", "bf16"] = "no"
    """Mixed precision, as accelerate names it."""
    cpu: bool = False
    """Stay on the CPU even where a GPU is found."""
    checkpoint_every: CountOrZero = 0
    """Steps between resumable checkpoints; 0 writes one after each epoch."""
    log_every: Count = 20
    """Steps between reads of the loss: the only time a training step waits for the device."""
    num_workers: CountOrZero = 0
    """Processes that decode the pictures before training, and then assemble batches."""
    tensorboard: bool = False
    """Also log to TensorBoard in the run folder (needs the tensorboard package)."""

    def __post_init__(self) -> None:
        _check(self)


def _check(config: ModelConfig | TrainConfig) -> None:
    """Refuse a field whose value its type does not allow.

    Raises:
        ConfigError: naming the first such field, its value, and what it may be.
    """
    for name, hint in _types(type(config)).items():
        check(name, getattr(config, name), hint)


def check(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that a type, such as `Count`, does not allow.

    Raises:
        ConfigError: with what it may be.
    """
    if not _allows(hint, value):
        raise ConfigError(f"{name} is {reprlib.repr(value)}; it must be {_wanted(hint)}.")


@functools.cache
def _types(config: type[ModelConfig | TrainConfig]) -> dict[str, Any]:
    """Each field's type, with its range."""
    return get_type_hints(config, include_extras=True)


def _allows(hint: Any, value: Any) -> bool:
    """Whether a type allows a value: a whole number where a number is meant, but neither True for 1 nor a text."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _allows(parts[0], value) and all(value in part for part in parts[1:] if isinstance(part, Range))
    if kind is Literal:
        return isinstance(value, str) and value in parts
    if kind in (Union, UnionType):
        return any(_allows(part, value) for part in parts)
    if kind is tuple:
        return isinstance(value, tuple) and all(_allows(parts[0], item) for item in value)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)  # a bool is an int
    return isinstance(value, hint)


def _wanted(hint: Any) -> str:
    """What a type allows, as the end of a sentence."""
    kind, parts = get_origin(hint), get_args(hint)
    if isinstance(hint, Range):
        return f"in {hint.interval}"
    if kind is Annotated:
        return " ".join([_wanted(parts[0]), *(_wanted(part) for part in parts[1:] if isinstance(part, Range))])
    if kind is Literal:
        return " or ".join(map(json.dumps, parts))
    if kind in (Union, UnionType):
        return " or ".join(map(_wanted, parts))
    if kind is tuple:
        return f"a tuple of {_wanted(parts[0])}"
    return {int: "a whole number", float: "a number", bool: "True or False", str: "text", type(None): "None"}[hint]


PRESETS: dict[str, tuple[ModelConfig, TrainConfig]] = {
    # For the embedded corpus and any laptop: random start, seconds per epoch.
    "tiny": (
        ModelConfig(
            text_encoder=RANDOM, image_encoder=RANDOM, hidden_size=64, num_layers=2, num_heads=4,
            intermediate_size=256, crop_size=32, patch_size=8,
        ),
        TrainConfig(epochs=8, lr_text=2e-3, lr_image=2e-3, lr_fusion=2e-3, lr_contrast=2e-3, lr_head=2e-3),
    ),
    # A small pretrained text tower (6 × 384), an image tower of the same size from a random start.
    "minilm": (
        ModelConfig(text_encoder="sentence-transformers/all-MiniLM-L6-v2", image_encoder=RANDOM, max_length=64),
        TrainConfig(epochs=8, batch_size=16, lr_text=1e-4, lr_image=1e-4, lr_fusion=1e-4, lr_contrast=1e-3, lr_head=5e-3),
    ),
    # The paper's towers.
    "base": (ModelConfig(), TrainConfig()),
    # A text tower that was trained on tweets, of the same size. It reads up to 128 pieces.
    "bertweet": (ModelConfig(text_encoder="vinai/bertweet-base"), TrainConfig()),
    # The large towers: XLM-R and CLIP ViT-L/14, whose patches ask for crops of a multiple of 14. Not from the paper.
    "large": (
        ModelConfig(
            text_encoder="FacebookAI/xlm-roberta-large", image_encoder="openai/clip-vit-large-patch14",
            crop_size=112,
        ),
        TrainConfig(lr_text=7e-6, lr_image=7e-6),
    ),
}  # fmt: skip

# No pretrained tower: high learning rates and dropout 0.5.
FROM_WORDS = {"hidden_size": 300, "num_heads": 1, "dropout": 0.5, "lr_text": 2e-3, "lr_head": 2e-3}

# Relevance that is learned before the towers meet, from own pictures.
RELEVANCE: dict[str, Any] = {
    "contrast_on": "unimodal", "pooling": "attention", "contrast_norm": True, "symmetric": True, "temperature": 0.1,
    "learned_temperature": True, "ips_loss": False,
}  # fmt: skip

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "text": {"images": False},
    "no-ips": {"ips_loss": False},
    "no-cl": {"cl_loss": False},
    "no-contrast": {"ips_loss": False, "cl_loss": False},
    "no-mgi": {"mgi": False},
    "no-row": {"row_weights": False},
    "no-column": {"column_weights": "off"},
    "no-mutual": {"mutual_attention": False},
    # Beyond the paper, with its own parts of the contrast left out: own pictures only, and reading the mined ones.
    "own": RELEVANCE,
    "reads": {**RELEVANCE, "read": "sparsemax", "memory": 30, "strangers": 0.2},
    "bert": {"images": False, "crf": False},
    "bert-bilstm-crf": {"images": False, "bilstm": True, "lr_head": 2e-3},
    "bilstm-crf": {"images": False, "text_encoder": WORDS, "bilstm": True, **FROM_WORDS},
    "cnn-bilstm-crf": {"images": False, "text_encoder": CHARACTERS, "bilstm": True, **FROM_WORDS},
}
"""The ablations of Table 3 and a few more, and Table 2's text rows ("text" is BERT-CRF), as changes to either
configuration."""


def preset(name: str, variant: str = "full", **changes: Any) -> tuple[ModelConfig, TrainConfig]:
    """The model's and the training's configuration for a preset and a variant.

    `changes` may name fields of either dataclass.

    >>> model, train = preset("tiny", "no-ips", epochs=3)
    >>> model.ips_loss, train.epochs
    (False, 3)
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}; the presets are {', '.join(PRESETS)}.")
    if variant not in VARIANTS:
        raise ConfigError(f"There is no variant {variant!r}; the variants are {', '.join(VARIANTS)}.")
    model, train = PRESETS[name]
    fields = {f.name for f in dataclasses.fields(ModelConfig)}, {f.name for f in dataclasses.fields(TrainConfig)}
    for change in changes:
        if change not in fields[0] | fields[1]:
            raise ConfigError(f"There is no setting {change!r} in ModelConfig or TrainConfig.")
    changes = {**VARIANTS[variant], **changes}
    return (
        dataclasses.replace(model, **{k: v for k, v in changes.items() if k in fields[0]}),
        dataclasses.replace(train, **{k: v for k, v in changes.items() if k in fields[1]}),
    )
