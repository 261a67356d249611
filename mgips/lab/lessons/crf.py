"""Lesson 05: the CRF on a chain of three words, by hand and with every path in view, and what the trained one does."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Tweet
from mgips.data.spans import spans
from mgips.errors import ConfigError, MGIPSError
from mgips.evaluate import score
from mgips.lab.figures import show
from mgips.lab.figures.shared import headed
from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT
from mgips.lab.figures.text import printable
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.results import RESULTS, load_results
from mgips.lab.stats import Difference, corrected, paired_bootstrap, tweet_counts
from mgips.model.crf import CRF, bio_allowed
from mgips.model.mgips import MGIPS
from mgips.model.tagging import entity_probabilities, marginals

Numbers = tuple[Tensor, Tensor, Tensor, Tensor]
"""Emissions (w, C), transitions (C, C) [from, to], start (C,), end (C,)."""
Path_ = tuple[int, ...]
LIT = 3.2
"""Width of a path that is meant."""


# ---- the toy ----


@dataclass(frozen=True)
class Toy:
    """A chain of three words and three tags, small enough to list its 27 paths."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    emissions: Tensor
    """(w, C)."""
    transitions: Tensor
    """(C, C), [from, to]."""
    start: Tensor
    """(C,)."""
    end: Tensor
    """(C,)."""

    @property
    def numbers(self) -> Numbers:
        """What the exercises take: emissions, transitions, start, end."""
        return self.emissions, self.transitions, self.start, self.end

    @cached_property
    def paths(self) -> list[Path_]:
        """All C^w paths."""
        return list(itertools.product(range(len(self.tags)), repeat=len(self.words)))

    @cached_property
    def scores(self) -> Tensor:
        """Of all paths, (C^w,)."""
        return torch.stack([_score(*self.numbers, path=path) for path in self.paths])

    @property
    def shares(self) -> Tensor:
        """How probable each path is, (C^w,)."""
        return self.scores.softmax(0)

    @property
    def single(self) -> Path_:
        """Each word's tag of the highest emission."""
        return tuple(self.emissions.argmax(1).tolist())

    @property
    def best(self) -> Path_:
        """The path of the highest score."""
        return self.paths[int(self.scores.argmax())]

    def spell(self, path: Path_) -> str:
        """A path in its letters: "B I O"."""
        return " ".join(self.tags[tag] for tag in path)

    def layer(self) -> CRF:
        """The package's CRF with these numbers."""
        crf = CRF(len(self.tags), batch_first=True).requires_grad_(False)
        for there, here in zip(
            (crf.transitions, crf.start_transitions, crf.end_transitions), self.numbers[1:], strict=True
        ):
            there.copy_(here)
        return crf


def toy(weight: float = 1.5) -> Toy:
    """The chain of the lesson; `weight` is the transition from B to I."""
    return Toy(
        ("Ada", "Lovelace", "sang"),
        ("O", "B", "I"),
        torch.tensor([[1.0, 0.5, -1.0], [0.0, 0.5, 1.0], [1.5, 0.0, 0.5]]),
        torch.tensor([[0.5, 0.0, -2.0], [0.0, -1.0, weight], [0.5, -1.0, 0.0]]),
        torch.tensor([0.0, 0.5, -2.0]),
        torch.tensor([1.0, -0.5, 0.0]),
    )


def _score(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, path: Path_ = (1, 2, 0)) -> Tensor:
    """The score of a path, by default that of B I O."""
    steps = sum((transitions[a, b] for a, b in itertools.pairwise(path)), torch.zeros(()))
    return start[path[0]] + emissions[range(len(path)), list(path)].sum() + steps + end[path[-1]]


def _forward(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    scores = start + emissions[0]
    for now in emissions[1:]:
        scores = torch.logsumexp(scores[:, None] + transitions, 0) + now
    return torch.logsumexp(scores + end, 0)


def _best(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    scores = start + emissions[0]
    for now in emissions[1:]:
        scores = (scores[:, None] + transitions).amax(0) + now
    return (scores + end).amax()


def _cases() -> list[Numbers]:
    """Chains of one, three and six words."""
    draw = torch.Generator().manual_seed(5)
    made = []
    for w, c in ((1, 3), (3, 3), (6, 5)):
        emissions, transitions, start, end = (
            torch.randn(size, generator=draw) for size in ((w, c), (c, c), (c,), (c,))
        )
        made.append((emissions, transitions, start, end))
    return made


def _step(first: Tensor, transitions: Tensor, now: Tensor) -> Tensor:
    return torch.logsumexp(first[:, None] + transitions, 0) + now


def _share_of(paths: Sequence[Path_], shares: Tensor, emissions: Tensor) -> float:
    return float(sum(share for path, share in zip(paths, shares.tolist(), strict=True) if path[1] == 2))


TOY = toy()
EXERCISES: dict[str, Exercise] = {
    "score": Exercise(
        _score,
        {
            "You left the start out: the first word has no tag in front of it, so B pays or gains its start score.":
                lambda e, t, s, n: _score(e, t, torch.zeros_like(s), n),
            "You left the end out: the last tag has a score of its own for standing last.":
                lambda e, t, s, n: _score(e, t, s, torch.zeros_like(n)),
            "These are the emissions alone: where are the steps from tag to tag?":
                lambda e, t, s, n: _score(e, torch.zeros_like(t), torch.zeros_like(s), torch.zeros_like(n)),
            "The table of transitions was read the wrong way round: its row is the tag that a step comes from.":
                lambda e, t, s, n: _score(e, t.T, s, n),
        },
        [TOY.numbers],
        "A path's score is a sum, so two paths can share most of their terms. The forward algorithm lives on that.",
    ),
    "log_z": Exercise(
        lambda scores: torch.logsumexp(scores, 0),
        {
            "That is the best path's score. Z sums over all paths, also the bad ones.": lambda scores: scores.max(),
            "You added the scores themselves. A score is a logarithm: which function turns it into a weight first?":
                lambda scores: scores.sum(),
            "That is Z, and its logarithm is asked for.": lambda scores: scores.exp().sum(),
            "You averaged where a sum is asked for: with more paths Z grows.":
                lambda scores: scores.exp().mean().log(),
        },
        [(TOY.scores,)],
        "Score minus log Z is a log-probability, and the loss of eq. 18 is minus that of the gold path.",
    ),
    "paths": Exercise(
        lambda: 9**10,
        {
            "That is one choice for each word, added up. Choices of different words multiply.": lambda: 9 * 10,
            "Base and exponent are the wrong way round: each of ten words has nine choices.": lambda: 10**9,
            "That counts the steps from tag to tag of one word, not whole paths.": lambda: 9**2,
        },
        [()],
        "Over three billion paths for one short post. The next cells sum over all of them in a blink.",
    ),
    "step": Exercise(
        _step,
        {
            "You summed over where a step goes, not over where it comes from: which axis of the table is which?":
                lambda first, transitions, now: torch.logsumexp(first[:, None] + transitions, 1) + now,
            "The transitions are transposed: first[:, None] must meet the row, the tag that a step comes from.":
                lambda first, transitions, now: torch.logsumexp(first[:, None] + transitions.T, 0) + now,
            "You kept the best edge into each node and dropped the others: that is Viterbi's step, which comes later.":
                lambda first, transitions, now: (first[:, None] + transitions).amax(0) + now,
            "The edges are right, but the second word's own emissions are missing.":
                lambda first, transitions, now: torch.logsumexp(first[:, None] + transitions, 0),
        },
        [(TOY.start + TOY.emissions[0], TOY.transitions, TOY.emissions[1])],
        "Nine edges, three numbers: no path is listed any more, and none is forgotten.",
    ),
    "forward": Exercise(
        _forward,
        {
            "You take the best edge into each node where all of them are to be summed: this is Viterbi's score, not log Z.":
                _best,
            "The transitions are transposed: a step into I must read the column of I, not its row.":
                lambda e, t, s, n: _forward(e, t.T, s, n),
            "The end scores are missing: add them to the last column before its sum.":
                lambda e, t, s, n: _forward(e, t, s, torch.zeros_like(n)),
            "The start scores are missing: add them to the first column.":
                lambda e, t, s, n: _forward(e, t, torch.zeros_like(s), n),
        },
        _cases(),
        "One line in a loop sums over all paths.",
    ),
    "marginal": Exercise(
        _share_of,
        {
            "That is the softmax of one word's emissions: it never asks the neighbours. Sum shares of paths instead.":
                lambda paths, shares, emissions: float(emissions[1].softmax(0)[2]),
            "That is the share of the best path alone. Other paths have I at this word, too.":
                lambda paths, shares, emissions: float(shares.max()),
            "You counted the paths as if all were equally probable. Each counts by its share.":
                lambda paths, shares, emissions: sum(path[1] == 2 for path in paths) / len(paths),
            "This sums over the first word's tag. Words count from 0, so the second is path[1].":
                lambda paths, shares, emissions: float(sum(s for p, s in zip(paths, shares.tolist(), strict=True) if p[0] == 2)),
        },
        [(TOY.paths, TOY.shares, TOY.emissions)],
        "A marginal asks every path what it has at one word.",
    ),
}  # fmt: skip


# ---- the toy's pictures ----

Edge = tuple[int, int, int]
"""From word t, tag a, to tag b of the next word."""


def _edges(path: Path_) -> list[Edge]:
    return [(t, a, b) for t, (a, b) in enumerate(itertools.pairwise(path))]


def draw_trellis(
    ax: Axes,
    chain: Toy,
    numbers: Tensor,
    edges: Mapping[Edge, float],
    lit: Collection[tuple[int, int]] = (),
    colour: str = TEXT,
    written: Mapping[Edge, str] | None = None,
) -> None:
    """Words from left to right, a row for each tag, a number in every node.

    Args:
        numbers: (w, C) what stands in the nodes; NaN leaves one empty.
        edges: how wide each edge is drawn; those of width 1 or less are grey.
        lit: nodes (word, tag) that are filled.
        written: text on an edge.
    """
    w, c = numbers.shape
    ax.set(xlim=(-0.75, 1.6 * (w - 1) + 0.45), ylim=(-c + 0.4, 0.75), aspect="equal")
    ax.axis("off")
    for (t, a, b), width in edges.items():
        strong = width > 1
        look = {"color": colour if strong else "#C4C4C4", "lw": width, "zorder": 2 if strong else 1}
        ax.plot([1.6 * t, 1.6 * (t + 1)], [-a, -b], **look)
        if written and (t, a, b) in written:
            place = 1.6 * (t + 0.36), -(a + 0.36 * (b - a)) + 0.02
            box = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
            ax.text(*place, written[t, a, b], ha="center", va="center", fontsize=8, color=colour, bbox=box, zorder=3)
    for t, tag in itertools.product(range(w), range(c)):
        on = (t, tag) in lit
        ax.add_patch(
            Circle(
                (1.6 * t, -tag), 0.27, facecolor=colour if on else "white", edgecolor=colour if on else GREY, zorder=4
            )
        )
        if not numbers[t, tag].isnan():
            look: dict[str, Any] = {"color": "white", "weight": "bold"} if on else {"color": "black"}
            ax.text(
                1.6 * t, -tag, f"{float(numbers[t, tag]):.1f}", ha="center", va="center", fontsize=9, zorder=5, **look
            )
    for t, word in enumerate(chain.words[:w]):
        ax.text(1.6 * t, 0.52, word, ha="center", va="center", fontsize=10)
    for tag, name in enumerate(chain.tags):
        ax.text(-0.55, -tag, name, ha="center", va="center", fontsize=10, weight="bold")


def two_ways(chain: Toy) -> None:
    """Show the toy twice: each word's best tag by itself, and the best path."""
    figure, axes = plt.subplots(1, 2, figsize=(9.3, 3.1), layout="constrained")
    grey = dict.fromkeys(itertools.product(range(2), range(3), range(3)), 0.6)
    ways = (("each word by itself", chain.single, IMAGE), ("the best path", chain.best, TEXT))
    for ax, (name, path, colour) in zip(axes, ways, strict=True):
        steps = {} if name.startswith("each") else {**grey, **dict.fromkeys(_edges(path), LIT)}
        draw_trellis(ax, chain, chain.emissions, steps, set(enumerate(path)), colour)
        ax.set_title(f"{name}: {chain.spell(path)}", fontsize=10)
    headed(figure, f"Word by word {chain.spell(chain.single)}, as one path {chain.spell(chain.best)}")
    show(
        figure,
        f"The toy's scores. Each word by itself takes {chain.spell(chain.single)}; the best path is {chain.spell(chain.best)}.",
    )


def every_path(chain: Toy) -> None:
    """Show version 1: all paths through the trellis, and how probable each is."""
    shares, order = chain.shares, chain.shares.argsort(descending=True).tolist()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.3, 3.3), layout="constrained", width_ratios=(1, 1.45))
    edges: dict[Edge, float] = {}
    for path, share in zip(chain.paths, shares.tolist(), strict=True):
        for edge in _edges(path):
            edges[edge] = edges.get(edge, 0) + share
    draw_trellis(left, chain, torch.full((3, 3), torch.nan), {edge: 0.6 + 7 * share for edge, share in edges.items()})
    left.set_title("an edge is as wide as its paths are probable", fontsize=9)
    colours = [TEXT if place == 0 else GREY for place in range(len(order))]
    right.bar(range(len(order)), [100 * float(shares[i]) for i in order], color=colours)
    right.set_xticks(
        range(len(order)), [chain.spell(chain.paths[i]).replace(" ", "") for i in order], rotation=90, fontsize=8
    )
    right.set(ylabel="share of all weight, %")
    right.margins(x=0.01)
    top = 100 * float(shares.max())
    headed(figure, f"Version 1, all {len(order)} paths: {chain.spell(chain.best)} has {top:.0f} % of the weight")
    show(figure, f"All {len(order)} paths by their share. {chain.spell(chain.best)} has {top:.0f} %.")


def into_node(chain: Toy, first: Tensor, tag: int, value: float) -> None:
    """Show version 2: the edges into one node of the second word.

    Args:
        first: the first column's numbers, (C,).
        tag: the node's.
        value: what the node gets.
    """
    numbers = torch.full((3, 3), torch.nan)
    numbers[0], numbers[1, tag] = first, value
    edges = {(0, a, tag): LIT for a in range(3)}
    written = {edge: f"{float(chain.transitions[edge[1], tag]):+.1f}" for edge in edges}
    figure, ax = plt.subplots(figsize=(9.3, 3.0), layout="constrained")
    draw_trellis(ax, chain, numbers, edges, {(1, tag)}, LOSS, written)
    headed(figure, f"Version 2, one node: {len(edges)} edges flow into {chain.tags[tag]}, and it keeps one number")
    show(figure, f"Edges from the first word's tags into {chain.tags[tag]} of the second, which gets {value:.2f}.")


def columns(chain: Toy) -> tuple[Tensor, Tensor, Tensor]:
    """Every column of the forward algorithm, (w, C), of Viterbi's, (w, C), and the tags it came from, (w - 1, C)."""
    emissions, transitions, start, end = chain.numbers
    sums = bests = start + emissions[0]
    found, kept, origins = [sums], [bests], []
    for now in emissions[1:]:
        sums = _step(sums, transitions, now)
        best, origin = (bests[:, None] + transitions).max(0)
        bests = best + now
        found.append(sums)
        kept.append(bests)
        origins.append(origin)
    return torch.stack(found), torch.stack(kept), torch.stack(origins)


def sums_and_bests(chain: Toy) -> None:
    """Show the last two versions side by side: the forward algorithm and Viterbi's."""
    sums, bests, origins = columns(chain)
    figure, axes = plt.subplots(1, 2, figsize=(9.3, 3.2), layout="constrained")
    every = dict.fromkeys(itertools.product(range(2), range(3), range(3)), 1.4)
    draw_trellis(axes[0], chain, sums, every, colour=LOSS)
    axes[0].set_title("forward: each node sums all edges into it", fontsize=9.5)
    kept = {(t, int(origins[t, b]), b): 1.0 for t in range(2) for b in range(3)}
    kept |= dict.fromkeys(_edges(chain.best), LIT)
    draw_trellis(axes[1], chain, bests, kept, set(enumerate(chain.best)), TEXT)
    axes[1].set_title("Viterbi: each node keeps one edge, the best", fontsize=9.5)
    log_z, top = float(chain.scores.logsumexp(0)), float(chain.scores.max())
    headed(figure, f"Versions 4 and 5, same trellis: log Z = {log_z:.2f} from all paths, {top:.2f} from the best one")
    show(
        figure,
        f"The trellis with forward sums and with Viterbi's maxima. Log Z is {log_z:.2f}; the best path scores {top:.2f}.",
    )


def turn(weight: float) -> None:
    """Show the toy with another transition from B to I: its best path, and every word's marginals."""
    chain = toy(weight)
    probable = marginals(chain.layer(), chain.emissions[None], torch.ones(1, 3, dtype=torch.bool))[0]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.3, 3.0), layout="constrained")
    kept = {
        **dict.fromkeys(itertools.product(range(2), range(3), range(3)), 0.6),
        **dict.fromkeys(_edges(chain.best), LIT),
    }
    draw_trellis(left, chain, chain.emissions, kept, set(enumerate(chain.best)), written={(0, 1, 2): f"{weight:+.1f}"})
    heat(right, probable.T, chain.words, chain.tags)
    right.set_title("marginals: how probable each tag is", fontsize=9.5)
    headed(figure, f"B → I scores {weight:+.1f}: the best path is {chain.spell(chain.best)}")
    show(figure, f"With {weight:+.1f} on B to I the best path is {chain.spell(chain.best)}.")


def heat(ax: Axes, shares: Tensor, words: Sequence[str], tags: Sequence[str], write: float = 0.005) -> None:
    """Shares (C, w) as a table of colours, with the numbers from `write` on, in per cent."""
    ax.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    ax.set_xticks(range(len(words)), words)
    ax.set_yticks(range(len(tags)), tags)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    for (tag, word), share in np.ndenumerate(shares.numpy()):
        if share >= write:
            ax.text(
                word,
                tag,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share > 0.55 else "black",
            )


# ---- the trained model ----


@dataclass(frozen=True)
class Read:
    """A model's scores for some posts, and what can be made of them."""

    posts: Sequence[Tweet]
    tags: tuple[str, ...]
    crf: CRF
    """On the CPU."""
    emissions: Tensor
    """(N, w, C)."""
    mask: Tensor
    """(N, w) bool."""

    def rows(self, paths: Sequence[Sequence[int]]) -> list[list[str]]:
        """Tag ids as tags, O for words past the cut."""
        return [
            [self.tags[tag] for tag in path] + ["O"] * (len(post.words) - len(path))
            for path, post in zip(paths, self.posts, strict=True)
        ]

    def single(self, emissions: Tensor | None = None) -> list[list[str]]:
        """Each word's best tag by itself."""
        best = (self.emissions if emissions is None else emissions).argmax(-1)
        return self.rows([row[:length].tolist() for row, length in zip(best, self.mask.sum(1).tolist(), strict=True)])

    def paths(self, emissions: Tensor | None = None, bio: bool = False) -> list[list[str]]:
        """The best path, of all or of those that BIO allows."""
        crf = self.crf
        if bio:
            crf = CRF(len(self.tags), batch_first=True, allowed=bio_allowed(self.tags)).requires_grad_(False)
            crf.load_state_dict(self.crf.state_dict())
        return self.rows(crf.decode(self.emissions if emissions is None else emissions, self.mask))

    @cached_property
    def gold(self) -> list[list[str]]:
        """The right tags."""
        return [list(post.tags) for post in self.posts]

    def f1(self, rows: Sequence[Sequence[str]]) -> float:
        """In per cent."""
        return 100 * score(self.gold, rows).f1

    @cached_property
    def changed(self) -> list[int]:
        """Posts in which the path is not what each word would choose by itself."""
        return [i for i, (a, b) in enumerate(zip(self.single(), self.paths(), strict=True)) if a != b]

    @property
    def gaps(self) -> Tensor:
        """By how much each word's first choice leads its second, (words,)."""
        two = self.emissions[self.mask].topk(2).values
        return two[:, 0] - two[:, 1]


def read(model: MGIPS, posts: Sequence[Tweet]) -> Read:
    """All emissions of some labelled posts.

    Raises:
        ConfigError: a model without a CRF.
    """
    if not isinstance(model.crf, CRF):
        raise ConfigError("This model has no CRF; take a variant with one.")
    data = TweetDataset(posts, model.batcher, progress=False)
    rows: list[Tensor] = [torch.empty(0)] * len(posts)
    with torch.no_grad():
        for indices, batch, out in model.outputs(data):
            for index, emissions, words in zip(indices, out.emissions.cpu(), batch.word_mask.cpu(), strict=True):
                rows[index] = emissions[words]
    crf = CRF(len(model.tags), batch_first=True).requires_grad_(False)
    crf.load_state_dict({name: value.cpu() for name, value in model.crf.state_dict().items()})
    emissions = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return Read(posts, model.tags, crf, emissions, torch.arange(emissions.shape[1]) < lengths[:, None])


def broken(rows: Sequence[Sequence[str]]) -> int:
    """Posts with an I- that follows neither B- nor I- of its type."""
    return sum(any(_loose(before, tag) for before, tag in zip(["O", *row], row, strict=False)) for row in rows)


def _loose(before: str, tag: str) -> bool:
    return tag.startswith("I-") and (before[:1] not in "BI" or before[1:] != tag[1:])


def differs(found: Read) -> str:
    """What the chain changes against each word's best tag, in sentences."""
    single, paths = found.single(), found.paths()
    both = paired_bootstrap([tweet_counts(found.gold, single)], [tweet_counts(found.gold, paths)])
    better, worse = 0, 0
    for i in found.changed:
        right = [sum(a == b for a, b in zip(found.gold[i], rows[i], strict=True)) for rows in (single, paths)]
        better, worse = better + (right[1] > right[0]), worse + (right[1] < right[0])
    verdict = "That is a detectable difference" if both.low > 0 or both.high < 0 else "The interval has zero in it"
    return (
        f"Of {len(found.posts)} test posts, {len(found.changed)} get other tags from the chain than from each word's best tag: "
        f"{better} come nearer to the gold tags and {worse} farther from them. F1 is {found.f1(single):.1f} word by word and "
        f"{found.f1(paths):.1f} by the best path, a difference of {both}. {verdict}, and a difference of "
        f"{100 * both.detectable:.1f} could have been detected. Invalid tag sequences: {broken(single)} word by word, "
        f"{broken(paths)} by the best path."
    )


def probable(found: Read) -> None:
    """Show the marginals of the shortest post that the chain changes, with what each word chooses alone and the path."""
    choices = found.changed or list(range(len(found.posts)))
    row = min(choices, key=lambda i: len(found.posts[i].words))
    words, length = found.posts[row].words, int(found.mask[row].sum())
    shares = marginals(found.crf, found.emissions[row : row + 1], found.mask[row : row + 1])[0, :length].T
    chosen = {"O", *(tag for rows in (found.gold, found.single(), found.paths()) for tag in rows[row])}
    kept = [t for t, tag in enumerate(found.tags) if tag in chosen or float(shares[t].max()) >= 0.005]
    figure, ax = plt.subplots(figsize=(9.3, 0.9 + 0.42 * len(kept)), layout="constrained")
    shown = [printable(word)[:14] for word in words[:length]]
    heat(ax, shares[kept], shown, [found.tags[t] for t in kept])
    ax.tick_params(axis="x", labelrotation=30)
    names = [found.tags[t] for t in kept]
    sides = (
        ("gold", found.gold[row], "black", "-", 0.47),
        ("word by word", found.single()[row], IMAGE, "--", 0.40),
        ("best path", found.paths()[row], LOSS, "-", 0.33),
    )
    for name, tags, colour, line, half in sides:
        for word, tag in enumerate(tags[:length]):
            if all(each[word] == "O" for _, each, *_ in sides):
                continue
            box = (word - half, names.index(tag) - half)
            ax.add_patch(Rectangle(box, 2 * half, 2 * half, fill=False, edgecolor=colour, lw=1.6, ls=line, label=name))
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    first = next((t for t in range(length) if found.single()[row][t] != found.paths()[row][t]), 0)
    sure = 100 * float(shares[:, first].max())
    title = f"“{shown[first]}”: {found.single()[row][first]} by itself, {found.paths()[row][first]} in the path; the likeliest tag has {sure:.0f} %"
    headed(figure, title)
    show(figure, f"Marginals of each tag for: {' '.join(shown)}. {title}.")


def learned(found: Read) -> tuple[float, float, float]:
    """Mean transition of steps that BIO allows, of those that it forbids, and how far a word's first choice leads (median)."""
    allowed, steps = bio_allowed(found.tags)[1], found.crf.transitions
    return float(steps[allowed].mean()), float(steps[~allowed].mean()), float(found.gaps.median())


def transitions(found: Read) -> None:
    """Show the trained transitions; a dot marks a step that BIO forbids."""
    steps, allowed = found.crf.transitions, bio_allowed(found.tags)[1]
    table = torch.cat([found.crf.start_transitions[None], steps])
    ok = torch.cat([bio_allowed(found.tags)[0][None], allowed])
    figure, ax = plt.subplots(figsize=(7.6, 4.5), layout="constrained")
    far = float(table.abs().max())
    drawn = ax.imshow(table, cmap="PuOr", norm=TwoSlopeNorm(0, -far, far), aspect="auto")
    for (a, b), value in np.ndenumerate(table.numpy()):
        ax.text(
            b,
            a,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if abs(value) > 0.7 * far else "black",
        )
        if not ok[a, b]:
            ax.add_patch(Rectangle((b - 0.46, a - 0.46), 0.92, 0.92, fill=False, edgecolor="black", lw=1, ls=":"))
    ax.set_xticks(range(len(found.tags)), found.tags)
    ax.set_yticks(range(len(found.tags) + 1), ["start", *found.tags])
    ax.set(xlabel="to (dotted: BIO forbids the step)", ylabel="from")
    ax.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=ax, label="score of the step")
    good, bad, gap = learned(found)
    title = f"Allowed steps score {good - bad:+.2f} above forbidden ones; a word's own first choice leads by {gap:.1f}"
    headed(figure, title)
    show(figure, f"Heat map of transitions between {len(found.tags)} tags. {title}.")


def told_transitions(found: Read) -> str:
    """What the transitions have learned, beside the emissions, in a sentence or two."""
    good, bad, gap = learned(found)
    scale = "small beside" if good - bad < 0.2 * gap else "of the size of"
    learns = "has learned the rule's direction" if good > bad else "has not learned the rule"
    return (
        f"The chain {learns}: steps that BIO forbids score {good - bad:.2f} less than the others. That is {scale} the "
        f"{gap:.1f} by which half of all words' first choices lead their second at least."
    )


NOISE = (0.0, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Noisy:
    """Decoding with noise on the emissions: by way of decoding, a value for each of NOISE."""

    f1: Mapping[str, list[float]]
    broken: Mapping[str, list[float]]
    """Posts with an invalid sequence, in per cent."""


WAYS = {"word by word": (IMAGE, "--", "s"), "best path": (TEXT, "-", "o"), "best path, BIO only": (LOSS, "-", "^")}


def noisy(found: Read, draws: int = 3) -> Noisy:
    """Decode in three ways with normal noise of growing spread on every emission, averaged over some draws."""
    f1 = {way: [0.0] * len(NOISE) for way in WAYS}
    wrong = {way: [0.0] * len(NOISE) for way in WAYS}
    for (place, spread), seed in itertools.product(enumerate(NOISE), range(draws)):
        draw = torch.Generator().manual_seed(seed)
        emissions = found.emissions + spread * torch.randn(found.emissions.shape, generator=draw)
        decoded = found.single(emissions), found.paths(emissions), found.paths(emissions, bio=True)
        for way, rows in zip(WAYS, decoded, strict=True):
            f1[way][place] += found.f1(rows) / draws
            wrong[way][place] += 100 * broken(rows) / len(rows) / draws
    return Noisy(f1, wrong)


def constraint(found: Read) -> Noisy:
    """Show how F1 and invalid sequences go with noise on the emissions, decoded in three ways."""
    measured = noisy(found)
    figure, axes = plt.subplots(1, 2, figsize=(9.3, 3.3), layout="constrained")
    for ax, values, label in zip(
        axes, (measured.broken, measured.f1), ("posts with an invalid sequence, %", "F1"), strict=True
    ):
        for way, (colour, line, marker) in WAYS.items():
            ax.plot(NOISE, values[way], color=colour, ls=line, marker=marker, label=way, clip_on=False)
        ax.set(xlabel="spread of noise on each emission", ylabel=label, ylim=(0, None))
    axes[0].legend(frameon=False)
    free, bio = measured.f1["best path"], measured.f1["best path, BIO only"]
    gains = f"F1 {bio[0] - free[0]:+.1f} without noise, {bio[-1] - free[-1]:+.1f} with the most"
    headed(figure, f"Deciding over valid sequences alone: {gains}")
    show(figure, f"Invalid sequences and F1 against noise on emissions, decoded in three ways. {gains}.")
    return measured


@dataclass(frozen=True)
class Sure:
    """Predicted entities: how probable each is, and whether it is right."""

    exact: np.ndarray
    """Share of all paths that have it, (E,)."""
    product: np.ndarray
    """The product of its words' marginals, (E,)."""
    right: np.ndarray
    """(E,) bool."""
    words: np.ndarray
    """How many words it has, (E,)."""


def sure(found: Read) -> Sure:
    """How probable each entity of the best paths is."""
    shares = marginals(found.crf, found.emissions, found.mask)
    listed = [(i, s.start, s.end, s.type) for i, row in enumerate(found.paths()) for s in spans(row, row)]
    gold = {(i, s.start, s.end, s.type) for i, row in enumerate(found.gold) for s in spans(row, row)}
    exact = entity_probabilities(found.crf, found.tags, found.emissions, found.mask, listed)
    paths = found.paths()
    product = [
        float(np.prod([float(shares[i, t, found.tags.index(paths[i][t])]) for t in range(start, end)]))
        for i, start, end, _ in listed
    ]
    right = [each in gold for each in listed]
    return Sure(np.array(exact), np.array(product), np.array(right, dtype=bool), np.array([end - start for _, start, end, _ in listed]))  # fmt: skip


BINS = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)


def reliable(entities: Sure) -> None:
    """Show for entities of like probability how many are right."""
    figure, ax = plt.subplots(figsize=(7.2, 3.9), layout="constrained")
    ax.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":", label="as sure as right")
    for low, high in itertools.pairwise(BINS):
        inside = (entities.exact > low) & (entities.exact <= high)
        if not inside.any():
            continue
        x, estimate = 100 * entities.exact[inside].mean(), _wilson(entities.right[inside])
        ax.errorbar(x, 100 * estimate[0], [[100 * (estimate[0] - estimate[1])], [100 * (estimate[2] - estimate[0])]],
                    fmt="o", color=TEXT, capsize=3, clip_on=False)  # fmt: skip
        ax.annotate(f"{inside.sum()} entities", (x, 100 * estimate[0]), xytext=(-9, 0), textcoords="offset points",
                    ha="right", va="center", fontsize=8.5)  # fmt: skip
    mean, right = 100 * entities.exact.mean(), 100 * entities.right.mean()
    ax.set(
        xlim=(0, 101),
        ylim=(0, 103),
        xlabel="how probable the model finds an entity, %",
        ylabel="share that is right, %",
    )
    ax.legend(frameon=False, loc="upper left")
    title = f"Predicted entities are {mean:.0f} % probable on average, and {right:.0f} % of them are right"
    headed(figure, title)
    show(figure, f"Share of right entities against their probability, with 95 % intervals. {title}.")


def _wilson(right: np.ndarray) -> tuple[float, float, float]:
    from scipy import stats

    low, high = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return float(right.mean()), float(low), float(high)


def told_sure(entities: Sure) -> str:
    """How the exact probability and the product of marginals differ, in a sentence."""
    long = entities.words > 1
    if not long.any():
        return f"All {len(long)} predicted entities have one word."
    apart = 100 * np.abs(entities.exact - entities.product)
    return (
        f"The model found {len(long)} entities, {int(long.sum())} of them with more than one word. The product of their words' "
        f"marginals differs from the exact probability by at most {apart.max():.1f} percentage points."
    )


def real_worth(folder: str | Path = RESULTS) -> str:
    """What a CRF adds to a softmax on the Twitter corpora, from the committed runs, in sentences.

    Raises:
        MGIPSError: there are no such runs in the folder.
    """
    found: dict[str, Difference] = {}
    seeds: set[int] = set()
    for corpus in ("twitter2015", "twitter2017"):
        rows = load_results("table2-text", corpus, folder)
        soft, chain = ({run.seed: run.counts for run in rows[name]} for name in ("bert", "bert-crf"))
        both = sorted(soft.keys() & chain.keys())
        seeds |= set(both)
        if not both:
            raise MGIPSError(f"There is no pair of runs on {corpus}.")
        found[corpus] = paired_bootstrap([soft[seed] for seed in both], [chain[seed] for seed in both])
    p = corrected(found)
    said = [
        f"{each} on {corpus.replace('twitter', 'Twitter-')} ({'detectable' if p[corpus] < 0.05 else 'not detectable; '}"
        f"{'' if p[corpus] < 0.05 else f'a true difference of {100 * each.detectable:.1f} would have been'})"
        for corpus, each in found.items()
    ]
    trainings = "one training of each" if len(seeds) == 1 else f"{len(seeds)} trainings of each"
    return (
        f"On real posts, a text model with a CRF minus the same with a softmax: F1 {' and '.join(said)}. Paired bootstrap over "
        f"posts, corrected for the two comparisons; {trainings}, so the intervals say little about other trainings."
    )
