"""Lesson 03: attention by hand, what a trained model looks at, and what of it the model uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from mgips.config import preset
from mgips.data.batch import Batch, TweetDataset, evaluation_batches
from mgips.data.corpus import Tweet
from mgips.data.crops import crop_array
from mgips.data.spans import spans
from mgips.lab.counterfactual import blank, gives, handed, patched, shuffled, with_pictures_of
from mgips.lab.figures import show, style
from mgips.lab.figures.text import printable
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import Opened
from mgips.lab.stats import Estimate, flip_rate, rank_correlation
from mgips.lab.widgets.attention import framed
from mgips.model.encoders import ImageLayers, TextLayers
from mgips.model.mgips import MGIPS
from mgips.model.mutual_attention import MutualAttentionEncoder
from mgips.model.pretrained import load_image_encoder, load_text_encoder
from mgips.model.tagging import marginals

WORDS, PATCHES = ("Jordan", "again"), ("ball", "wall", "sky")
"""The toy's positions."""


@dataclass(frozen=True)
class Toy:
    """Two words and three patches with e = 2 numbers each, and one head's matrices."""

    h_text: Tensor
    """H^t, (n, e)."""
    h_image: Tensor
    """H^v, (m, e)."""
    w_q: Tensor
    w_k: Tensor
    w_v: Tensor
    """(e, e) each."""


TOY = Toy(
    h_text=torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
    h_image=torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
    w_q=torch.tensor([[2.0, 0.0], [0.0, 1.0]]),
    w_k=torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
    w_v=torch.tensor([[1.0, 2.0], [0.0, 1.0]]),
)


# Exercises.


def attention_of(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float = 0.5, over: int = -1
) -> Tensor:
    """Attention from queries (B, heads, q, e) over keys and values (B, heads, k, e): (B, heads, q, e).

    Args:
        mask: (B, 1, 1, k) or (B, 1, q, k) bool, True where a key may be attended to.
        scale: the power of e that scores are divided by; 0.5 is right.
        over: what the softmax sums over; -1, the keys, is right.
    """
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** scale
    return scores.masked_fill(~mask, -torch.inf).softmax(over).nan_to_num() @ values


def _masked_late(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    return (scores.softmax(-1) * mask) @ values


def _masked_by_zero(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    return scores.masked_fill(~mask, 0).softmax(-1) @ values


def visible_to_patches(text_mask: Tensor, m: int) -> Tensor:
    """Which keys an image position may attend to, (B, 1, 1, n + m) bool: the text's first, without its pads."""
    return torch.cat([text_mask, text_mask.new_ones(len(text_mask), m)], -1)[:, None, None]


def _random(seed: int, queries: int, keys: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two posts of two heads with e = 4, the second with two hidden keys and the first with one."""
    draw = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(2, 2, size, 4, generator=draw) for size in (queries, keys, keys))
    mask = torch.arange(keys) < torch.tensor([[keys - 1], [keys - 2]])
    return q, k, v, mask[:, None, None]


EXERCISES: dict[str, Exercise] = {
    "keys": Exercise(
        right=lambda image_keys, h_text, w_k: torch.cat([image_keys, h_text @ w_k]),
        mistakes={
            "All keys are there, but in the other order: read once more whose stand first in eq. 2.": (
                lambda image_keys, h_text, w_k: torch.cat([h_text @ w_k, image_keys])
            ),
            "The patches' keys came ready made, and you project them a second time.": (
                lambda image_keys, h_text, w_k: torch.cat([image_keys, h_text]) @ w_k
            ),
            "The words' own keys are their rows as they came in; a matrix is missing.": (
                lambda image_keys, h_text, w_k: torch.cat([image_keys, h_text])
            ),
            "A word can only see patches with these keys; where are the words?": (
                lambda image_keys, h_text, w_k: image_keys
            ),
        },
        cases=((TOY.h_image, TOY.h_text, TOY.w_k),),
        praise="Three patches first, as they were handed over, then two words.",
    ),
    "attend": Exercise(
        right=attention_of,
        mistakes={
            "The scores grow with e; nothing in your function keeps them in bounds.": (
                lambda q, k, v, mask: attention_of(q, k, v, mask, 0)
            ),
            "The scores are scaled down too far: all keys come out nearly alike.": (
                lambda q, k, v, mask: attention_of(q, k, v, mask, 1)
            ),
            "Your weights sum to 1 down the queries, so that queries compete for a key; it is the other way round.": (
                lambda q, k, v, mask: attention_of(q, k, v, mask, over=-2)
            ),
            "Hidden keys get attention: the mask is not used.": (
                lambda q, k, v, mask: attention_of(q, k, v, torch.ones_like(mask))
            ),
            "Hidden keys had their share when the weights were made to sum to 1, and took it with them.": _masked_late,
            "You gave hidden keys the score 0, which is an ordinary score: the softmax still gives them a share.": (
                _masked_by_zero
            ),
            "You hide the keys that are there and show those that are not.": (
                lambda q, k, v, mask: attention_of(q, k, v, ~mask)
            ),
        },
        cases=(_random(0, 3, 5), _random(1, 4, 4)),
        praise="This is all that both towers do with their keys.",
    ),
    "key_count": Exercise(
        right=lambda: 49 + 12,
        mistakes={
            "Eight of these keys are padding, and no query may see padding.": lambda: 49 + 20,
            "These are the image's positions; a word still sees the words of its own post.": lambda: 49,
            "These are the words' own keys; the other side handed its keys over, too.": lambda: 12,
            "You count the patches; something stands in front of them.": lambda: 48 + 12,
        },
        praise="Every image position, and the pieces that exist.",
    ),
    "visible": Exercise(
        right=visible_to_patches,
        mistakes={
            "The image's own positions stand first here; in eq. 2 it is the other side that comes first.": (
                lambda text_mask, m: visible_to_patches(text_mask, m).roll(m, -1)
            ),
            "Now every patch sees the pads of the text.": (
                lambda text_mask, m: torch.ones_like(visible_to_patches(text_mask, m))
            ),
            "The pads are the ones that are seen, and the real pieces are hidden.": (
                lambda text_mask, m: visible_to_patches(~text_mask, m)
            ),
            "Patches cannot see patches any more; their own keys stand behind the text's.": (
                lambda text_mask, m: text_mask[:, None, None]
            ),
        },
        cases=(
            (torch.tensor([[True, True, False], [True, False, False]]), 4),
            (torch.tensor([[True, True, True, False, False]]), 2),
        ),
        praise="Pads are hidden from the other side as well.",
    ),
}


# The idea.


def sketch() -> None:
    """Show two towers of two layers, and what crosses between them."""
    figure = plt.figure(figsize=(9.3, 3.5))
    ax = figure.add_axes((0, 0, 1, 0.9), xlim=(0, 93), ylim=(0, 34))
    ax.axis("off")
    rows = {"in": 4.5, 1: 14.5, 2: 24.5}
    left, right = 27, 66
    for x, hue, names in (
        (left, style.TEXT, ("$S^e$: words", "text layer 1", "text layer 2")),
        (right, style.IMAGE, ("$V^e$: patches", "image layer 1", "image layer 2")),
    ):
        for y, name in zip(rows.values(), names, strict=True):
            _rounded(ax, x, y, name, hue)
        for y in (*list(rows.values())[:2], rows[2]):
            end = y + 6.9 if y != rows[2] else y + 6
            ax.annotate("", (x, end), (x, y + 2.9), arrowprops={"arrowstyle": "-|>", "color": hue, "lw": 2})
    for start, end, what in (("in", 1, "the embeddings"), (1, 2, "keys and values\nof layer 1")):
        for x, to, hue in ((left, right, style.TEXT), (right, left, style.IMAGE)):
            side = 1 if to > x else -1
            look = {"arrowstyle": "-|>", "color": hue, "lw": 1.4, "linestyle": (0, (4, 2))}
            ax.annotate("", (to - side * 10, rows[end]), (x + side * 10, rows[start]), arrowprops=look)
        ax.text(46.5, rows[start] + 1.1, what, ha="center", va="center", fontsize=8.5, color=style.GREY)
    ax.text(left, 32, "$H^t$", ha="center", color=style.TEXT, fontsize=11)
    ax.text(right, 32, "$H^v$", ha="center", color=style.IMAGE, fontsize=11)
    ax.text(0.8, rows[1], "own path", color=style.GREY, fontsize=9, va="center")
    ax.text(0.8, rows[1] - 3, "(solid)", color=style.GREY, fontsize=9, va="center")
    ax.text(80, rows[1], "handed across", color=style.GREY, fontsize=9, va="center")
    ax.text(80, rows[1] - 3, "(dashed)", color=style.GREY, fontsize=9, va="center")
    figure.suptitle("Each tower keeps its own path, and in every layer may look at what the other one had a layer before", x=0.012, ha="left")  # fmt: skip
    alt = "A drawing of two towers with two layers each. Layer 1 of each also gets the other side's embeddings, and layer 2 "
    show(figure, alt + "the keys and values of the other side's layer 1.")


def _rounded(ax: Axes, x: float, y: float, text: str, hue: str) -> None:
    box = FancyBboxPatch((x - 9, y - 2.3), 18, 4.6, boxstyle="round,pad=0,rounding_size=0.9", facecolor="white", edgecolor=hue, linewidth=1.6)  # fmt: skip
    ax.add_patch(box)
    ax.text(x, y, text, ha="center", va="center", color=hue, fontsize=9.5)


def draw_toy(attention: Tensor) -> None:
    """Show the toy's attention, (2, 5), as a table."""
    table = attention.numpy()
    figure, ax = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
    drawn = ax.imshow(table, vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(2, 5):
        colour = "white" if attention[i, j] < 0.5 else "black"
        ax.text(j, i, f"{attention[i, j]:.2f}", ha="center", va="center", color=colour)
    ax.axvline(2.5, color="white", linewidth=3)
    ax.set(
        xticks=range(5),
        xticklabels=[*PATCHES, *WORDS],
        yticks=range(2),
        yticklabels=WORDS,
        ylabel="query",
        xlabel="key",
    )
    ax.tick_params(length=0)
    for place, label in enumerate(ax.get_xticklabels()):
        label.set_color(style.IMAGE if place < 3 else style.TEXT)
    for label in ax.get_yticklabels():
        label.set_color(style.TEXT)
    figure.colorbar(drawn, ax=ax, label="attention")
    share = 100 * attention[:, :3].sum(-1)
    title = f"{WORDS[0]} gives {share[0]:.0f} % of its attention to the patches, {WORDS[1]} {share[1]:.0f} %"
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, f"A table of two queries by five keys, three patches and two words. {title}.")


def toy_scores() -> Tensor:
    """The toy's scores, (2, 5)."""
    keys = torch.cat([TOY.h_image, TOY.h_text @ TOY.w_k])
    return TOY.h_text @ TOY.w_q @ keys.T / 2**0.5


# The encoder.


def exchange_off_difference(seed: int = 0) -> float:
    """How far two towers without the exchange are from Hugging Face's own forward passes of the same encoders.

    Returns:
        The largest difference in H^t, padding apart, and in H^v, of a random BERT and a random CLIP.
    """
    torch.manual_seed(seed)
    config = preset("tiny")[0]
    bert = load_text_encoder(config, vocabulary=100).eval()
    clip = load_image_encoder(config, bert.config).eval()
    towers = MutualAttentionEncoder(TextLayers(bert), ImageLayers(clip))
    ids, pixels = torch.randint(100, (2, 9)), torch.randn(2, 3, config.crop_size, config.crop_size)
    real = torch.arange(9) < torch.tensor([[9], [6]])
    with torch.no_grad():
        embedded = bert.embeddings(ids), clip.pre_layrnorm(clip.embeddings(pixels))
        text, image, _ = towers(*embedded, real, exchange=False)
        assert image is not None
        text_off = text - bert(input_ids=ids, attention_mask=real.long()).last_hidden_state
        return float(max(text_off[real].abs().max(), (image - clip(pixels).last_hidden_state).abs().max()))


# A post.


def shown_post(lesson: Opened) -> Tweet:
    """A short test post that the model gets right and, in TinyTweets, whose picture decides; elsewhere a short one."""
    model, test = lesson.model, lesson.corpus.test
    short = [t for t in test if len(t.words) < 12 and not any("http" in w for w in t.words) and set(t.tags) != {"O"}]
    if lesson.tiny:
        for tweet in short:
            if tweet.truth.related and tweet.truth.ambiguous and tuple(model.predict([tweet])[0]) == tweet.tags:
                return tweet
    return next(iter([t for t in short if gives(t)] or short or test))


def name_of(tweet: Tweet) -> int:
    """The first word of a post's ambiguous name; without one, of its first entity; otherwise 0."""
    truth = tweet.truth
    if truth is not None and truth.ambiguous:
        return truth.ambiguous[0][0]
    return next((i for i, tag in enumerate(tweet.tags) if tag != "O"), 0)


def padded(model: MGIPS, batch: Batch, extra: int, masked: bool = True) -> Batch:
    """The batch with `extra` pads behind each text; `masked=False` makes all pads, old ones too, visible."""
    more = batch.pieces.new_full((len(batch), extra), model.batcher.tokenizer.pad_token_id)
    mask = torch.cat([batch.piece_mask, torch.zeros_like(more, dtype=torch.bool)], 1)
    mask = mask if masked else torch.ones_like(mask)
    return replace(batch, pieces=torch.cat([batch.pieces, more], 1), piece_mask=mask)


def draw_pads(model: MGIPS, post: Tweet) -> None:
    """Show how far pads change a post's H^t and H^v, with the mask and without."""
    batch = model.batcher([post]).to(model.device)
    n = batch.pieces.shape[1]
    extras = list(range(1, max(2, model.config.max_length - n + 1)))
    change: dict[tuple[bool, str], list[float]] = {(m, s): [] for m in (True, False) for s in ("text", "image")}
    with model.evaluating():
        alone = model(batch, read_batch=False).towers
        for extra in extras:
            for masked in (True, False):
                now = model(padded(model, batch, extra, masked), read_batch=False).towers
                for side, a, b in (("text", now[0][:, :n], alone[0]), ("image", now[1], alone[1])):
                    change[masked, side].append(float((a - b).abs().max() / b.abs().max()))
    figure, ax = plt.subplots(figsize=(8.6, 3.3), layout="constrained")
    for (masked, side), values in change.items():
        look: dict[str, Any] = {
            "color": style.TEXT if side == "text" else style.IMAGE,
            "linestyle": "-" if masked else "--",
        }
        label = f"{side}, {'masked' if masked else 'not masked'}"
        ax.plot(extras, np.maximum(values, 1e-8), marker="o" if masked else "s", markersize=4, label=label, **look)
    ax.set(
        yscale="log",
        xlabel="pads behind the text",
        ylabel="largest change of one number\n/ largest number",
        ylim=(5e-9, 30),
    )
    ax.legend(frameon=False, ncols=2, loc="center right", bbox_to_anchor=(1, 0.42))
    worst = max(change[False, "text"] + change[False, "image"])
    title = f"Seen pads change a number of the output by up to {100 * worst:.0f} % of the largest; masked ones change nothing"
    figure.suptitle(title, x=0.01, ha="left")
    show(
        figure,
        f"{title}. Four lines over the number of pads, on a logarithmic scale: masked ones stay at rounding error.",
    )


def said_of_pads(model: MGIPS, tweets: Sequence[Tweet]) -> str:
    """How many predictions change when all texts are padded to the model's length, with visible pads."""
    data = TweetDataset(tweets, model.batcher, progress=False)
    tags: dict[bool, dict[int, list[str]]] = {True: {}, False: {}}
    with model.evaluating():
        for indices in evaluation_batches(data.lengths, 50):
            batch = data[indices].to(model.device)
            for masked, rows in tags.items():
                longer = padded(model, batch, model.config.max_length - batch.pieces.shape[1], masked)
                rows.update(zip(indices, model.decode(model(longer, read_batch=False), longer), strict=True))
    differ = sum(tags[True][i] != tags[False][i] for i in range(len(tweets)))
    return (
        f"All {len(tweets)} texts padded to {model.config.max_length} pieces: with pads that are seen, {differ} posts get other "
        "tags. " + ("The masks matter for what is predicted, too." if differ else "On these posts no tag changes.")
    )


# Where a model looks.


def _few_layers(count: int) -> list[int]:
    """Every layer of a small model; of a deeper one the first and the last."""
    return list(range(count)) if count <= 3 else [0, count - 1]


THIN = 0.5
"""The thickest frame of `draw_over_crops`, of that in the inspector: what is looked at stays visible."""


def draw_over_crops(model: MGIPS, tweet: Tweet, word: int) -> None:
    """Show a word's attention to the patches, a line a layer: the thicker a patch's frame, the more; one scale for all.

    A number stands in the corner of each patch that gets more than an even share.
    """
    batch = model.batcher([tweet]).to(model.device)
    with model.evaluating():
        layers = model(batch, attention=True, read_batch=False).attention
    embedding: Any = model.image_embedding
    m, first, n = embedding.length, embedding.first, batch.pieces.shape[1]
    side = round(((m - first) / 3) ** 0.5)
    position, crops = int(batch.first[0, word]), crop_array(tweet, size=128)[0]
    chosen = _few_layers(len(layers))
    shares = [layers[i].text[0, :, position, first:m].mean(0).cpu().reshape(3, side, side).numpy() for i in chosen]
    full, cell = max(share.max() for share in shares), 128 / side
    figure, axes = plt.subplots(len(chosen), 3, figsize=(8, 2.75 * len(chosen) + 0.5), layout="constrained", squeeze=False)  # fmt: skip
    for row, (layer, share) in enumerate(zip(chosen, shares, strict=True)):
        for crop in range(3):
            ax = axes[row, crop]
            ax.imshow(framed(crops[crop], THIN * share[crop] / full))
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"layer {layer + 1}, crop {crop + 1}: {100 * share[crop].sum():.0f} %", fontsize=9.5)
            for (y, x), value in np.ndenumerate(share[crop]) if side <= 4 else ():
                if value > 1 / (n + m):
                    box = {"facecolor": "white", "alpha": 0.85, "pad": 1, "linewidth": 0}
                    place = (cell * (x + 0.03), cell * (y + 0.97) - 1)
                    ax.text(*place, f"{100 * value:.1f}", ha="left", va="bottom", fontsize=7.5, bbox=box)
    even = 100 / (n + m)
    name = printable(tweet.words[word])
    by_crop = np.mean([share.sum((1, 2)) for share in shares], 0)
    best = int(by_crop.argmax())
    most = " and ".join(
        f"{100 * share[best].sum():.0f} % in layer {i + 1}" for i, share in zip(chosen, shares, strict=True)
    )
    title = f"“{name}” looks most at crop {best + 1}: {most}"
    if by_crop.max() - by_crop.min() < 0.02:
        title = f"“{name}” looks at all three crops alike: {100 * by_crop.mean():.0f} % each"
    axes[-1, 0].set_xlabel(f"even: {even * side**2:.0f} % a crop, {even:.1f} % a patch", fontsize=9.5, loc="left")
    figure.suptitle(title, x=0.01, ha="left")
    by_layer = "; ".join(f"layer {i + 1}: {', '.join(f'{100 * x:.0f}' for x in s.sum((1, 2)))} % by crop" for i, s in zip(chosen, shares, strict=True))  # fmt: skip
    show(figure, f"{title}. The three crops of the post, with thick frames where the word looks. {by_layer}.")


def draw_over_words(model: MGIPS, tweet: Tweet, word: int) -> None:
    """Show the attention of all patches to each piece, a panel a layer, beside an even spread; `word` stands out."""
    batch = model.batcher([tweet]).to(model.device)
    with model.evaluating():
        layers = model(batch, attention=True, read_batch=False).attention
    pieces = [printable(p) for p in model.batcher.tokenizer.convert_ids_to_tokens(batch.pieces[0].tolist())]
    embedding: Any = model.image_embedding
    n, m, chosen = len(pieces), embedding.length, _few_layers(len(layers))
    shares = []
    for i in chosen:
        image = layers[i].image
        assert image is not None
        shares.append(image[0, :, embedding.first :, :n].mean((0, 1)).cpu().numpy())
    even = 100 / (n + m)
    figure, axes = plt.subplots(len(chosen), 1, figsize=(8.6, 1.75 * len(chosen) + 1.1), layout="constrained", sharex=True, sharey=True, squeeze=False)  # fmt: skip
    for ax, layer, share in zip(axes[:, 0], chosen, shares, strict=True):
        hues = [style.TEXT if place == int(batch.first[0, word]) else style.GREY for place in range(n)]
        ax.bar(range(n), 100 * share, width=0.6, color=hues)
        ax.axhline(even, color="black", linestyle=":", linewidth=1.2)
        ax.text(1.005, even, "even", fontsize=8.5, va="center", transform=ax.get_yaxis_transform())
        ax.set(ylabel="% of attention")
        together = f"layer {layer + 1}: all {n} pieces together get {100 * share.sum():.0f} % (even: {n * even:.0f} %)"
        ax.set_title(together, fontsize=9.5)
    axes[-1, 0].set_xticks(range(n), pieces, rotation=60, ha="right", rotation_mode="anchor", fontsize=9)
    position = int(batch.first[0, word])
    given = " and ".join(
        f"{100 * share[position]:.1f} % in layer {i + 1}" for i, share in zip(chosen, shares, strict=True)
    )
    title = f"Patches give “{pieces[position]}” {given} of their attention (even: {even:.1f} %)"
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, f"{title}. Bars: how much attention the patches give to each word piece, on average, in each layer.")


# Attention share against use.

SWAPS = 3
"""Other pictures that each post is shown."""
KINDS = ("other words", "unambiguous names", "ambiguous names")


@dataclass(frozen=True)
class Uses:
    """For each word of some posts how much it attends to the picture, and how far its tag depends on it."""

    share: np.ndarray
    """(W,) of its attention that goes to the image side; mean over layers and heads."""
    effect: np.ndarray
    """(W,) how much probability moves between its tags when the picture is another post's; mean over SWAPS pictures."""
    kind: np.ndarray
    """(W,) a place in KINDS."""
    first: np.ndarray
    """(W,) bool: the one word of its post that stands for it, the first word of its ambiguous name or first entity."""
    posts: np.ndarray
    """(N, layers): share of attention that a post's pieces give to the image side."""
    has: np.ndarray
    """(N,) bool: posts with a picture. The words are theirs."""
    known: bool
    """Whether TinyTweets says which names are ambiguous."""


def uses(model: MGIPS, tweets: Sequence[Tweet]) -> Uses:
    """Measure both for each word of some posts, in one forward pass for attention and SWAPS for other pictures."""
    data = TweetDataset(tweets, model.batcher, progress=False)
    has = data.has_image.numpy()
    givers = [_passed_on(has, seed) for seed in range(SWAPS)]
    m = model.image_embedding.length if model.image_embedding is not None else 0
    known = all(tweet.truth is not None for tweet in tweets)
    rows: list[tuple[float, float, int, bool]] = []
    posts = np.zeros((len(tweets), len(model.encoder.text)))
    with model.evaluating():
        for indices in evaluation_batches(data.lengths, 50):
            batch = data[indices].to(model.device)
            out = model(batch, attention=True, read_batch=False)
            to_image = torch.stack([x.text[..., :m].sum(-1).mean(1) for x in out.attention], 1)  # (B, layers, n)
            real = batch.piece_mask[:, None] / batch.piece_mask.sum(1)[:, None, None]
            posts[indices] = (to_image * real).sum(-1).cpu().numpy()
            own = marginals(model.crf, out.emissions, batch.word_mask)
            moved = torch.zeros_like(own[..., 0])  # (B, w)
            for giver in givers:
                other = replace(batch, crops=data[giver[indices].tolist()].crops)
                now = marginals(model.crf, model(other.to(model.device), read_batch=False).emissions, batch.word_mask)
                moved += (now - own).abs().sum(-1) / 2 / SWAPS
            for row, index in enumerate(indices):
                if has[index]:
                    share = to_image[row].mean(0)[batch.first[row]]
                    rows += _words(tweets[index], batch.word_mask[row], share, moved[row])
    share, effect, kind, first = (np.array(column) for column in zip(*rows, strict=True))
    return Uses(share, effect, kind, first.astype(bool), posts, has, known)


def _passed_on(has: np.ndarray, seed: int) -> np.ndarray:
    """Whose picture each post gets: of those with a picture, on one cycle, so that none keeps its own."""
    index, owners = np.arange(len(has)), np.flatnonzero(has)
    cycle = np.random.RandomState(seed).permutation(owners)
    index[cycle] = np.roll(cycle, 1)
    return index


def _words(tweet: Tweet, real: Tensor, share: Tensor, moved: Tensor) -> list[tuple[float, float, int, bool]]:
    names = {i for s in spans(tweet.words, tweet.tags) for i in range(s.start, s.end)} if tweet.tags else set()
    ambiguous = {i for start, end in tweet.truth.ambiguous for i in range(start, end)} if tweet.truth else set()
    stands = name_of(tweet) if (ambiguous or (names and tweet.truth is None)) else -1
    return [
        (float(share[i]), float(moved[i]), 2 if i in ambiguous else 1 if i in names else 0, i == stands)
        for i in range(int(real.sum()))
    ]


LITTLE = 0.3
"""A rank correlation below it says little: one order explains less than a tenth of the other."""
ALIKE = 0.05
"""Two shares of attention that differ by less are called alike."""


def joined(measured: Sequence[Uses]) -> Uses:
    """Several splits as one."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(each, name) for each in measured])

    return Uses(
        column("share"), column("effect"), column("kind"), column("first"), column("posts"), column("has"),
        all(each.known for each in measured),
    )  # fmt: skip


def _correlation(measured: Uses) -> Estimate:
    return rank_correlation(measured.share[measured.first], measured.effect[measured.first])


def _written(found: Estimate) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def uses_title(found: Estimate) -> str:
    """The finding in one line."""
    if abs(found.value) < LITTLE:
        return "How much a name looks at the picture says little about how far it uses it"
    return f"Names that look more at the picture use it {'more' if found.value > 0 else 'less'}"


def draw_uses(measured: Mapping[str, Uses]) -> None:
    """Show attention share against swap effect for one name a post, and the means of both by kind of word.

    Args:
        measured: by the name of a split.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.3, 4.0), layout="constrained", width_ratios=(1.15, 1))
    for (name, each), colour, marker in zip(
        measured.items(), (style.TEXT, style.IMAGE, style.LOSS), "o^s", strict=False
    ):
        x, y = each.share[each.first], each.effect[each.first]
        label = f"{name}: {_written(_correlation(each))}"
        left.scatter(100 * x, 100 * y, s=15, color=colour, marker=marker, alpha=0.55, linewidths=0, label=label)
    left.set(xlim=(0, 100), ylim=(-2, 122), yticks=range(0, 101, 20), xlabel="% of the name's attention on the picture", ylabel="% of tag probability that moves\nwhen the picture is swapped")  # fmt: skip
    left.legend(
        frameon=False, fontsize=8.5, loc="upper left", title="rank correlation", title_fontsize=8.5, handletextpad=0.2
    )
    whole = joined(list(measured.values()))
    kinds = [kind for kind in range(3) if (whole.kind == kind).any()]
    for offset, values, colour, label in ((-0.19, whole.share, style.GREY, "attention on the picture"), (0.19, whole.effect, style.LOSS, "moves when it is swapped")):  # fmt: skip
        means = [100 * values[whole.kind == kind].mean() for kind in kinds]
        bars = right.barh(np.arange(len(kinds)) + offset, means, 0.36, color=colour, label=label)
        right.bar_label(bars, [f"{value:.0f}" for value in means], padding=3, fontsize=9)
    right.set(yticks=range(len(kinds)), yticklabels=[_called(kind, whole) for kind in kinds], xlim=(0, 100), xlabel="%, mean over words", ylim=(len(kinds) - 0.5, -0.5))  # fmt: skip
    right.legend(frameon=False, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.3, 1), ncols=2, columnspacing=1, handlelength=1.2)  # fmt: skip
    found = _correlation(whole)
    title = uses_title(found)
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, f"{title}. Left, a cloud of {found.count} names; right, mean share and effect by kind of word.")


def _called(kind: int, measured: Uses) -> str:
    return KINDS[kind] if measured.known or not kind else "names"


def said_of_uses(measured: Mapping[str, Uses]) -> str:
    """The answers to (a) and (b) with their numbers, and the attention of posts that have no picture at all."""
    whole = joined(list(measured.values()))
    kinds = [kind for kind in range(3) if (whole.kind == kind).any()]
    looks, moves = (
        [100 * values[whole.kind == kind].mean() for kind in kinds] for values in (whole.share, whole.effect)
    )
    more = looks[-1] - looks[0]
    answer = "Neither" if abs(more) < 100 * ALIKE else "Names" if more > 0 else "Other words"
    names = ", ".join(f"{_called(kind, whole)} {look:.0f} %" for kind, look in zip(kinds, looks, strict=True))
    swaps = ", ".join(f"{move:.0f}" for move in moves)
    found = _correlation(whole)
    what = f"{'ambiguous ' if whole.known else ''}names"
    splits = "; ".join(f"{_written(each)} over {each.count} {what} of {name}, one a post" for name, each in ((name, _correlation(u)) for name, u in measured.items()))  # fmt: skip
    hardly = "Hardly" if abs(found.value) < LITTLE else "Yes" if found.value > 0 else "Less often"
    lines = [
        f"**(a) {answer}.** Attention on the picture: {names}. In the same order, a swapped picture moves {swaps} % of the "
        "probability of their tags.",
        f"**(b) {hardly}.** The rank correlation of attention share and swap effect is {splits}; together {_written(found)}. "
        f"{uses_title(found)}. (Together, a true correlation of {found.detectable:.2f} would have been detected with a chance "
        "of 80 %.)",
    ]
    if not whole.has.all():
        a, b = (100 * whole.posts[chosen].mean(0) for chosen in (~whole.has, whole.has))
        chosen = _few_layers(len(a))
        layers = " and ".join(f"{a[i]:.0f} % in layer {i + 1} (against {b[i]:.0f} %)" for i in chosen)
        count = f"{int((~whole.has).sum())} of {len(whole.has)}"
        lines.append(
            f"**Posts without a picture**, {count}, give the blank picture {layers}: "
            + ("more than the others give theirs." if all(a[i] > b[i] for i in chosen) else "not more in each layer.")
        )
    return "\n\n".join(lines)


# Patching.


@dataclass(frozen=True)
class Patching:
    """What the tags of some posts do when the text reads another picture in one place only."""

    places: tuple[str, ...]
    """Where the other picture was."""
    own: np.ndarray
    """(places,) posts that keep their tags."""
    other: np.ndarray
    """(places,) posts with the tags that they have when all of the picture is the other one."""
    posts: int
    """Those whose tags the whole other picture changes: own + other + neither."""
    tried: int
    """All posts that were given another picture."""
    shown: np.ndarray | None
    """(places,) of `tried`, the posts whose ambiguous name gets the type that the other picture shows; TinyTweets only."""
    flipped: tuple[Estimate, ...]
    """Share of the posts whose tags change, for each place, with Wilson's interval."""


def other_pictures(tweets: Sequence[Tweet], seed: int = 0) -> tuple[list[Tweet], list[Tweet]]:
    """Posts, and the same posts with pictures that should change them.

    In TinyTweets: posts with an ambiguous name whose picture shows its type, each with a picture of another type that the name
    could have. Elsewhere: all posts with a picture, shuffled.
    """
    if not all(tweet.truth is not None for tweet in tweets):
        chosen = [tweet for tweet in tweets if gives(tweet)]
        return chosen, shuffled(chosen, seed)
    rng = np.random.RandomState(seed)
    chosen = [tweet for tweet in tweets if tweet.truth.ambiguous and tweet.truth.related]
    wanted = [
        [
            j
            for j, other in enumerate(chosen)
            if other.truth.shows != t.truth.shows and other.truth.shows in t.truth.options
        ]
        for t in chosen
    ]
    kept = [i for i, choices in enumerate(wanted) if choices]
    moved = with_pictures_of(chosen, [rng.choice(choices) if choices else 0 for choices in wanted])
    return [chosen[i] for i in kept], [moved[i] for i in kept]


def patching(model: MGIPS, tweets: Sequence[Tweet], seed: int = 0) -> Patching:
    """Show the text another picture in each layer of the towers, in all of them, behind them, and everywhere.

    Args:
        tweets: of TinyTweets with their truth, or any others with pictures.
    """
    posts, moved = other_pictures(tweets, seed)
    depth = len(model.encoder.text)
    places: list[tuple[str, Collection[int], bool]] = [(f"layer {i + 1} only", (i,), False) for i in range(depth)]
    places += [
        ("all layers", range(depth), False),
        ("only behind the towers", (), True),
        ("everywhere", range(depth), True),
    ]
    tags: dict[str, list[list[str]]] = {name: [] for name in ("nowhere", *(name for name, *_ in places))}
    for start in range(0, len(posts), 60):
        batch, other = (model.batcher(some[start : start + 60]).to(model.device) for some in (posts, moved))
        given = handed(model, other)
        for name, layers, after in [("nowhere", (), False), *places]:
            tags[name] += model.decode(patched(model, batch, given, layers, after), batch)
    before, after = tags["nowhere"], tags["everywhere"]
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    names = [name for name, *_ in places]
    shown = None
    if all(tweet.truth is not None for tweet in tweets):
        types = _shown_types(tweets, moved)
        shown = np.array([sum(_type_of(t, row) == kind for t, row, kind in zip(posts, tags[name], types, strict=True)) for name in names])  # fmt: skip
    return Patching(
        tuple(names),
        np.array([sum(tags[name][i] == before[i] for i in changed) for name in names]),
        np.array([sum(tags[name][i] == after[i] for i in changed) for name in names]),
        len(changed),
        len(posts),
        shown,
        tuple(flip_rate([before[i] for i in changed], [tags[name][i] for i in changed]) for name in names),
    )


def _shown_types(tweets: Sequence[Tweet], moved: Sequence[Tweet]) -> list[str]:
    """What each post's new picture shows."""
    shows = {id(tweet.image): tweet.truth.shows for tweet in tweets if tweet.image is not None}
    return [shows[id(tweet.image)] for tweet in moved]


def _type_of(tweet: Tweet, tags: list[str]) -> str:
    return str(tags[tweet.truth.ambiguous[0][0]])[2:]


def draw_patching(found: Patching) -> None:
    """Show for each place how many posts follow the other picture."""
    figure, ax = plt.subplots(figsize=(8.6, 0.42 * len(found.places) + 1.5), layout="constrained")
    total = max(found.posts, 1)
    rows, neither = range(len(found.places)), found.posts - found.own - found.other
    left = np.zeros(len(found.places))
    for values, colour, hatch, label in (
        (found.other, style.IMAGE, "", "tags of the other picture"),
        (neither, "#CFCFCF", "//", "neither"),
        (found.own, style.TEXT, "", "tags of the own picture"),
    ):
        bars = ax.barh(rows, 100 * values / total, 0.66, left=left, color=colour, hatch=hatch, edgecolor="white", label=label)  # fmt: skip
        for bar, value in zip(bars, values, strict=True):
            if value >= 0.06 * total:
                place = (bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2)
                ax.text(*place, f"{100 * value / total:.0f}", ha="center", va="center", color="white" if not hatch else "black")  # fmt: skip
        left = left + 100 * values / total
    ax.set(yticks=rows, yticklabels=found.places, xlim=(0, 100), xlabel=f"% of the {found.posts} posts whose tags another picture changes", ylim=(len(found.places) - 0.5, -0.5))  # fmt: skip
    ax.set_title("The text reads another picture …", fontsize=9.5)
    figure.legend(frameon=False, ncols=3, loc="outside lower center", fontsize=9)
    title = patching_title(found)
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, f"{title}. Stacked bars, one for each place: how many posts have the tags of the other picture, of their own, or neither.")  # fmt: skip


def patching_title(found: Patching) -> str:
    """The finding in one line."""
    depth = len(found.places) - 3
    best = int(found.other[:depth].argmax())
    share = 100 * found.other[best] / max(found.posts, 1)
    swapped = f"swapped there alone, {share:.0f} % of the posts follow it"
    if share > 50:
        return f"Where the layers disagree, layer {best + 1} wins: {swapped}"
    return f"Where the layers disagree, none wins alone; most often layer {best + 1}: {swapped}"


def said_of_patching(found: Patching) -> str:
    """The answer to (c), and the numbers of that picture."""
    depth, total = len(found.places) - 3, max(found.posts, 1)
    best = int(found.other[:depth].argmax())
    posts = "posts with an ambiguous name and a related picture" if found.shown is not None else "posts"
    lines = [
        f"**(c) Layer {best + 1}.** The whole of another picture changes the tags of {found.posts} of {found.tried} {posts}; the "
        f"tags of the others are the same with both, and say nothing about a layer. Of these {found.posts} posts,",
        "",
    ]
    lines += [
        f"- {name}: {rate} % change their tags; {100 * other / total:.1f} % take the other picture's"
        for name, rate, other in zip(found.places, found.flipped, found.other, strict=True)
    ]
    text = "\n".join(lines)
    if found.shown is not None:
        right, whole = (f"{100 * found.shown[place] / max(found.tried, 1):.1f} %" for place in (best, -1))
        text += (
            f"\n\nBy the truth of TinyTweets, of all {found.tried} ambiguous names {right} get the type that the other "
            f"picture shows if it stands in {found.places[best]}, and {whole} if it stands everywhere."
        )
    return text


def said_of_blank(model: MGIPS, tweets: Sequence[Tweet]) -> str:
    """How many ambiguous names keep their right type where the text reads the blank picture; the posts of `patching`."""
    if not all(tweet.truth is not None for tweet in tweets):
        return "How many names keep their type with a blank picture is counted with the truth of TinyTweets only."
    posts = other_pictures(tweets)[0]
    depth = len(model.encoder.text)
    places: list[tuple[str, Collection[int], bool]] = [("nowhere", (), False)]
    places += [(f"in layer {i + 1} only", (i,), False) for i in _few_layers(depth)]
    places += [("everywhere", range(depth), True)]
    right = dict.fromkeys([name for name, *_ in places], 0)
    for start in range(0, len(posts), 60):
        some = posts[start : start + 60]
        batch, none = (model.batcher(each).to(model.device) for each in (some, blank(some)))
        given = handed(model, none)
        for name, layers, after in places:
            tags = model.decode(patched(model, batch, given, layers, after), batch)
            right[name] += sum(_type_of(t, row) == _type_of(t, list(t.tags)) for t, row in zip(some, tags, strict=True))
    counts = ", ".join(f"{name} {count}" for name, count in right.items())
    guessed = sum(1 / len(tweet.truth.options) for tweet in posts)
    return (
        f"**With no picture in place of another.** Of the {len(posts)} names, so many have their right type where the text "
        f"reads the blank picture: {counts} (guessing among a name's types: {guessed:.0f})."
    )
