"""The grids behind Tables 2-3, Figures 5-11 and the tests of trust, declared: rows, seeds, settings.

`mgips sweep NAME` runs what a grid still lacks; `mgips sweep --help` lists corpora, presets and options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mgips.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """One setting of a grid."""

    name: str
    """Names its files; letters, digits, dots and dashes."""
    label: str
    """What tables and figures call it."""
    variant: str = "full"
    """A name of `mgips.config.VARIANTS`."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of ModelConfig or TrainConfig."""
    settings: dict[str, Any] = field(default_factory=dict)
    """More of them, which belong to the grid's own preset and are dropped where another preset is named."""
    drawn: dict[str, Any] = field(default_factory=dict)
    """Its TinyTweets, where it is not the default one: arguments of `mgips.data.tinytweets.posts.tinytweets`."""
    share: float = 1.0
    """Share of the training split that is used: its first part, after a shuffle by the seed."""
    edit: str = ""
    """What the authors' released code does otherwise: a name of `mgips.lab.integrity.EDITS`."""
    leak: tuple[float, float] = (0.0, 0.0)
    """Shares of dev and of test that are put into train, to measure the effect (`mgips.lab.integrity.leaky`)."""
    seeds: tuple[int, ...] = ()
    """Its own seeds, where they are fewer than the grid's."""
    collect: tuple[str, ...] = ()
    """What its runs keep besides their scores: names of `mgips.lab.sweep.COLLECTORS`, or "by_test"."""
    x: int = 0
    """Its place on the figure's axis, where the figure has one."""


@dataclass(frozen=True)
class Grid:
    """A table or a figure of the paper."""

    name: str
    about: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    """Each seeds the weights, the batches and, for TinyTweets, the corpus itself."""
    base: str = "tiny"
    """The preset that every row starts from, unless another is named."""
    reference: tuple[str, str] = ("", "")
    """The grid and the row that its rows are compared with."""


LABELS = {
    "full": "full",
    "no-ips": "w/o IPS-CL",
    "no-mgi": "w/o MGI",
    "no-row": "w/o row weights",
    "no-column": "w/o column weights",
    "no-cl": "w/o CL",
    "no-contrast": "w/o IPS-CL and CL",
    "no-mutual": "w/o mutual attention",
    "text": "text only",
}
"""What tables and figures call the variants."""


def variants(*names: str, collect: tuple[str, ...] = ()) -> tuple[Row, ...]:
    """One row for each variant, of the same name."""
    return tuple(Row(name, LABELS[name], name, collect=collect) for name in names)


# Table 2's text rows, with a small pretrained encoder in BERT's place: settings, and numbers of seeds, that two CPU
# cores can afford. On a GPU ask for more seeds (`--seeds 0 1 2 3 4`); tables and figures use all runs that exist.
# Row names are those of `mgips.lab.paper.tables.TABLE2`'s text baselines in lower case.
TRANSFORMER = {"epochs": 4, "batch_size": 32, "lr_text": 2e-4, "precision": "bf16"}
FROM_SCRATCH = {"epochs": 15, "batch_size": 32}
TEXT_ROWS = (
    Row("bilstm-crf", "BiLSTM-CRF", "bilstm-crf", settings=FROM_SCRATCH, seeds=(0,)),
    Row("cnn-bilstm-crf", "CNN-BiLSTM-CRF", "cnn-bilstm-crf", FROM_SCRATCH, seeds=(0,)),
    Row("bert", "BERT", "bert", settings=TRANSFORMER, seeds=(0,)),
    Row("bert-crf", "BERT-CRF", "text", settings=TRANSFORMER, collect=("by_test", "readings")),  # MGIPS-CL's text side
    Row("bert-bilstm-crf", "BERT-BiLSTM-CRF", "bert-bilstm-crf", settings=TRANSFORMER, seeds=(0,)),
)

ABLATION = (
    *variants("full", "no-ips", "no-mgi", "no-row", "no-column", "no-cl", "no-contrast", "no-mutual"),
    Row("unimodal", "contrast on unimodal features", changes={"contrast_on": "unimodal"}),
    Row("tau-0.1", "τ = 0.1", changes={"temperature": 0.1}),
    Row("mean", "weights average 1", changes={"weight_scale": "mean"}),
    Row("mean-no-mutual", "weights average 1, w/o mutual att.", "no-mutual", {"weight_scale": "mean"}),
    *variants("text"),
)

SHARES = tuple(
    Row(f"{variant}-{percent}", f"{variant}, {percent} %", variant, share=percent / 100, x=percent)
    for variant in ("full", "text")
    for percent in (10, 20, 30, 40, 50, 100)
)

# Dev and test shares that the released reader's offsets give: Twitter-2015 with those named in a comment there,
# Twitter-2017, and Twitter-2015 as shipped.
LEAKS = (
    Row("clean", "clean", collect=("by_test",)),
    Row("leak-7.9", "7.9 % of test in train", leak=(0.130, 0.079), collect=("by_test",)),
    Row("leak-9.7", "9.7 % of test in train", leak=(0.097, 0.097), collect=("by_test",)),
    Row("leak-80", "80 % of test in train", leak=(0.347, 0.800), collect=("by_test",)),
)

SWITCHES = (
    Row("printed-column", "eq. 6 as printed", changes={"column_weights": "printed"}),
    Row("column-shift", "column weights minus 0.05", edit="shift-columns"),
    Row("frozen-image-mge", "image-guided MGE without gradient", edit="detach-image-guided"),
    Row("scalar-gate", "one gate a token", changes={"gate": "scalar"}),
    Row("frozen-gate", "gate not trained", edit="freeze-gate"),
    Row("unmasked-pads", "padding visible", edit="show-padding"),
    Row("one-loss", "one contrastive loss", edit="one-loss"),
    Row("neftune", "NEFTune noise", edit="neftune"),
)

K_ROWS = tuple(Row(f"k{k}", f"K = {k}", changes={"k": k}, x=k) for k in range(1, 7))
L_ROWS = tuple(Row(f"l{n}", f"L = {n}", changes={"interweave_encoders": n}, x=n) for n in range(1, 8))
CASES = variants("full", "no-ips", "no-mgi", "text", collect=("cases",))
STEPS, PROBED = (variants("full", "text", collect=(kept,)) for kept in ("representation", "probe"))
THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)

# Beyond the paper: reading mined pictures needs more posts than the paper's parts do.
# At the tiny preset's rates (2e-3) and dropout relevance is learned later, and on some seeds too late to be read.
SLOWER = {"epochs": 8, "lr_text": 1e-3, "lr_image": 1e-3, "dropout": 0.0}
MANY: dict[str, Any] = {"drawn": {"sizes": (4800, 300, 300)}, "settings": SLOWER}
POOLED: dict[str, Any] = {**MANY, "collect": ("pools",)}
UNREAD = {"memory": 0, "strangers": 0.0}
READS = (
    Row("own", "own picture only", "own", **MANY),
    Row("sparsemax", "reads, sparsemax", "reads", **POOLED),
    Row("softmax", "reads, softmax", "reads", {"read": "softmax"}, **POOLED),
    Row("top3", "reads the 3 best", "reads", {"read": "top", "k": 3}, **POOLED),
    Row("no-own", "reads others' pictures only", "reads", {"read_own": False}, **POOLED),
    Row("no-mutual", "reads, w/o mutual attention", "reads", {"mutual_attention": False}, **POOLED),
    Row("no-contrast", "reads, w/o contrast", "reads", {"cl_loss": False}, **POOLED),
    Row("full", "the paper's model, IPS-CL", "full", **MANY),
)
CONTROLS = (
    Row("text", "text only", "text", **MANY),
    Row("day-only", "trained on the day's pictures only", "reads",
        {**UNREAD, "read_time": False, "read_null": False, "read_days": 0}, **POOLED),
    Row("no-time", "without time", "reads", {"read_time": False}, **POOLED),
    Row("no-null", "without the null slot", "reads", {"read_null": False}, **POOLED),
    Row("no-strangers", "own day always in the pool", "reads", {"strangers": 0.0}, **POOLED),
    Row("fixed-5", "fixed relevance, 5 best", "reads", {"read": "top", "k": 5, "read_learned": False}, **POOLED),
    Row("by-text", "pictures of the nearest texts", "reads", {"read_by": "text"}, **POOLED),
    Row("texts", "texts of the nearest texts", "reads", {"read_by": "text", "read_what": "text"}, **POOLED),
    Row("mean-pooling", "texts pooled by their mean", "reads", {"pooling": "mean"}, **POOLED),
    Row("one-sided", "contrast from one side", "reads", {"symmetric": False}, **POOLED),
    Row("self-mined", "IPS-CL from the start", "reads", {"ips_loss": True}, **POOLED),
    Row("self-mined-late", "IPS-CL after 3 epochs", "reads", {"ips_loss": True, "ips_warmup": 3}, **POOLED),
)  # fmt: skip


def dial(value: float) -> str:
    """A dial's value in a row's name."""
    return f"{value:g}"


# Two dials at a time, as names of `tinytweets`'s arguments with three values each. Where both stand at their defaults the
# runs of "reads" are the runs.
STORIES = {"unrelated": (0.1, 0.338, 0.6), "posts_per_story": (1.0, 2.0, 4.0)}
NOISE = {"unrelated": (0.0, 0.338, 0.7), "misleading": (0.0, 0.5, 1.0)}
READS_DIALS = tuple(
    Row(f"{variant}-{dial(a)}-{dial(b)}", f"{variant}, {100 * a:.0f} % unrelated, {dial(b)} posts a story", variant,
        drawn={**MANY["drawn"], "unrelated": a, "posts_per_story": b}, settings=MANY["settings"])
    for a in STORIES["unrelated"]
    for b in STORIES["posts_per_story"]
    for variant in ("own", "reads")
)  # fmt: skip
PARTS_DIALS = tuple(
    Row(f"{variant}-{dial(a)}-{dial(b)}", f"{LABELS[variant]}, {100 * a:.0f} % unrelated, {100 * b:.0f} % misleading",
        variant, drawn={"chatter": 0.5, "unrelated": a, "misleading": b})
    for a in NOISE["unrelated"]
    for b in NOISE["misleading"]
    for variant in ("full", "text", "no-mgi", "no-ips")
)  # fmt: skip

# Real posts, with a caption of each photo in the photo's place.
CAPTIONED = {"image_encoder": "captions"}
FINE_TUNED = {**TRANSFORMER, "lr_image": 2e-4, "lr_fusion": 2e-4}
CAPTION_ROWS = (
    Row("text", "text only", "text", settings=FINE_TUNED, collect=("visible",)),
    Row("full", "the paper's model", "full", CAPTIONED, FINE_TUNED, collect=("visible",)),
    Row("own", "own caption only", "own", CAPTIONED, FINE_TUNED, collect=("visible",)),
    Row("reads", "reads captions", "reads", CAPTIONED, FINE_TUNED, collect=("visible", "pools")),
    Row("reads-softmax", "reads captions, softmax", "reads", {**CAPTIONED, "read": "softmax"}, FINE_TUNED,
        collect=("visible", "pools")),
    Row("texts", "texts of the nearest texts", "reads", {**CAPTIONED, "read_by": "text", "read_what": "text"},
        FINE_TUNED, collect=("visible", "pools")),
)  # fmt: skip

# fmt: off
GRIDS = {grid.name: grid for grid in (
    Grid("table2-text", "Text rows of Table 2, on the Twitter corpora", TEXT_ROWS, THREE, "minilm",
         reference=("table2-text", "bert-crf")),
    Grid("table3", "Ablation (Table 3), and the switches that the paper does not ablate", ABLATION, FIVE,
         reference=("table3", "full")),
    Grid("fig5", "Relevance of one batch (Figure 5)", variants("full", collect=("relevance",)), (0,)),
    Grid("fig6", "Number of implicit positives K (Figure 6)", K_ROWS, THREE, reference=("fig6", "k3")),
    Grid("fig7", "Number of interweave encoders L (Figure 7)", L_ROWS, THREE, reference=("fig7", "l1")),
    Grid("fig8", "Share of the training data (Figure 8)", SHARES, THREE),
    Grid("fig9", "What each variant predicts for each post (Figures 9 and 10)", CASES, THREE),
    Grid("fig11", "Entity vectors on their way through the model (Figure 11)", STEPS, THREE),
    Grid("probe", "What other pictures do to a trained model", PROBED, FIVE),
    Grid("protocol", "Clean training against test posts in train, and against choosing the epoch by test F1", LEAKS,
         FIVE, reference=("protocol", "clean")),
    Grid("reads", "Reading the mined pictures (beyond the paper)", READS, FIVE, reference=("reads", "own")),
    Grid("reads-controls", "What reading rests on", CONTROLS, THREE, reference=("reads", "sparsemax")),
    Grid("reads-dials", "Where reading begins to pay: unrelated pictures and posts a story", READS_DIALS, THREE),
    Grid("parts-dials", "Where the paper's parts pay: unrelated and misleading pictures", PARTS_DIALS, THREE),
    Grid("neither", "Neither mutual attention nor interweave, to Table 3's three other corners",
         (Row("neither", "w/o mutual attention and MGI", "no-mutual", {"mgi": False}),), FIVE,
         reference=("table3", "full")),
    Grid("captions", "Real posts with captions of their photos", CAPTION_ROWS, THREE, "minilm",
         reference=("captions", "own")),
    Grid("switches", "What the authors' released code does otherwise, one at a time", SWITCHES, THREE,
         reference=("table3", "full")),
)}
# fmt: on


def find_grid(name: str) -> Grid:
    """A grid by its name, or a ConfigError with the names that there are."""
    if name not in GRIDS:
        raise ConfigError(f"There is no grid {name!r}; the grids are {', '.join(GRIDS)}.")
    return GRIDS[name]
