"""Beyond the paper: reading the mined pictures, at training and at inference.

In the paper another post's picture can be a positive of the loss (§3.4), and never reaches the answer. Here a post
looks its text up among the pictures of a pool, and reads those that fit:

    s_ij = (cos(g(text_i), f(image_j)) - penalty(days between i and j)) / τ     relevance, eq. 14, and time
    s_i0 = null(g(text_i)) / τ                                                  the score of reading nothing
    w_i  = sparsemax(s_i)           softmax, or softmax over the K best, by choice
    r_i  = Σ_j w_ij · mean(image_j)                                             nothing adds zero
    z'   = LayerNorm(z + gate ⊙ (W r + f(z, W r)))                              one gate per token, times 1 - w_i0

Both sides of the cosine are taken before the towers meet: a state that has read its own picture finds that picture.
Sparsemax (Martins and Astudillo 2016) gives exact zeros, so the number of pictures read adapts to the post, which the
paper names as future work. Reading is soft and differentiable: the tags teach the relevance. The small network f can
take back what the own picture has said wrongly, which a sum alone learns late.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from entmax import sparsemax
from torch import Tensor, nn

from mgips.config import ModelConfig
from mgips.data.batch import Batch
from mgips.errors import ConfigError, DataError
from mgips.files import read_tensors, with_checksum, write_atomically
from mgips.model.contrastive import gather_with_gradient

SHORTLIST = 128
"""Best-scored pictures among which sparsemax first looks for those that it gives weight; `entmax` checks that it has
found all of them, and looks among twice as many where it has not, so the weights are those of the whole pool."""
FORBIDDEN = -1e4
"""The score of what may not be read: finite, and nothing beside any other score."""

HEADER = 90_000_000
"""Characters of ids that a pool's file may hold: safetensors reads no header of more than 100 MB."""

Rule = Callable[[Batch, "Pool"], Tensor]
"""Which of a pool's N pictures each of B posts may read: (B, N) bool."""


@dataclass(frozen=True)
class Pool:
    """Pictures to read: of N posts, each as what it is found by and what is read of it.

    `model.pool(posts)` builds one. It serves the very weights that it was built with.
    """

    keys: Tensor
    """(N, d) float32, of length 1."""
    values: Tensor
    """(N, d) float32."""
    times: Tensor
    """(N,) float64: when each was posted, in days; not a number where that is unknown."""
    there: Tensor
    """(N,) bool: False for a post without a picture, which nobody reads."""
    ids: tuple[str, ...]
    """The posts."""
    days: int | None = None
    """Read only pictures at most so many days before or after; None for any."""
    rule: Rule | None = None
    """Any other rule of what may be read by whom. It is not saved."""
    weights: str = ""
    """Hash of the weights that it was built with."""

    def __len__(self) -> int:
        return len(self.ids)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Pool:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(x) for name, x in values.items() if isinstance(x, Tensor)})

    def to(self, device: torch.device | str) -> Pool:
        """The same pool on another device."""
        return self._map(lambda x: x.to(device))

    def detach(self) -> Pool:
        """The same pool without gradients."""
        return self._map(Tensor.detach)

    def take(self, places: Tensor) -> Pool:
        """Some of its posts, by their places (int64) or by a mask (bool)."""
        chosen = torch.arange(len(self))[places.cpu()].tolist()
        return replace(self._map(lambda x: x[places.to(x.device)]), ids=tuple(self.ids[i] for i in chosen))

    def places(self, ids: Sequence[str]) -> Tensor:
        """Where each of some posts is in the pool: (B,) int64, -1 for one that is not there."""
        place = {id: index for index, id in enumerate(self.ids)}
        return torch.tensor([place.get(id, -1) for id in ids], dtype=torch.int64)

    def own(self, ids: Sequence[str]) -> Tensor:
        """Which pictures are some posts' own: (B, N) bool. A memory of past batches can hold a post's more than once."""
        number = {id: index for index, id in enumerate(dict.fromkeys(ids))}
        posts, pictures = (
            torch.tensor([number.get(id, -1) for id in part], dtype=torch.int64) for part in (ids, self.ids)
        )
        return (posts[:, None] == pictures).to(self.keys.device, non_blocking=True)

    def readable(self, batch: Batch, own: bool = True) -> Tensor:
        """Which pictures each post of a batch may read, by the pool's rules: (B, N) bool.

        Args:
            own: whether a post's own picture is one of them.
        """
        allowed = self.there.repeat(len(batch), 1)
        if self.days is not None:
            apart = days_apart(batch.times, self.times)
            allowed = allowed & ~(apart > self.days)  # an unknown time forbids nothing
        if self.rule is not None:
            allowed = allowed & self.rule(batch, self)
        if not own:
            allowed = allowed & ~self.own(batch.ids)
        return allowed

    def save(self, path: str | Path) -> None:
        """Write one file in safetensors' format.

        Raises:
            ConfigError: a pool with a rule of its own, which no file can hold; or of ids that take more than HEADER.
        """
        if self.rule is not None:
            raise ConfigError("A pool's rule is code and cannot be saved; save the pool without it, and set it again.")
        ids = json.dumps(self.ids)
        if len(ids) > HEADER:
            raise ConfigError(
                f"The ids of {len(self)} posts take {len(ids) / 1e6:.0f} MB, and a file has room for {HEADER / 1e6:.0f}; "
                "save parts of the pool (pool.take) and join them again (mgips.model.reading.joined)."
            )
        about = {"ids": ids, "days": json.dumps(self.days), "weights": self.weights}
        tensors = {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}
        write_atomically(Path(path), with_checksum(tensors, about))

    @classmethod
    def load(cls, path: str | Path) -> Pool:
        """Read what `save` wrote.

        Raises:
            DataError: nothing there, not a pool, or a damaged one.
        """
        try:
            read, about = read_tensors(path)
            tensors: dict[str, Any] = {**read}
            ids, days = tuple(json.loads(about["ids"])), json.loads(about["days"])
            pool = cls(**tensors, ids=ids, days=days, weights=about["weights"])
            if {len(x) for x in tensors.values()} != {len(ids)}:
                raise ValueError("its parts differ in length")
        except (DataError, KeyError, TypeError, ValueError) as error:
            why = str(error).removeprefix(f"{path} ").rstrip(".")
            raise DataError(
                f"{path} is not a pool ({why}); build it again with model.pool(posts).save(path)."
            ) from error
        return pool


def joined(pools: Sequence[Pool]) -> Pool:
    """Several pools as one, with the first one's rules."""
    first, *rest = pools
    if not rest:
        return first
    names = [name for name, x in vars(first).items() if isinstance(x, Tensor)]
    tensors: dict[str, Any] = {name: torch.cat([getattr(pool, name) for pool in pools]) for name in names}
    return replace(first, ids=tuple(id for pool in pools for id in pool.ids), **tensors)


def empty(d: int, device: torch.device) -> Pool:
    """A pool of no picture."""
    nothing = torch.zeros(0, d, device=device)
    times = torch.zeros(0, dtype=torch.float64, device=device)
    return Pool(nothing, nothing, times, times.bool(), ())


def gathered(pool: Pool) -> Pool:
    """The pools of all processes as one, with their gradient. Posts of other processes have no name here."""
    keys, offset = gather_with_gradient(pool.keys)
    if len(keys) == len(pool):
        return pool
    ids = [""] * len(keys)
    ids[offset : offset + len(pool)] = pool.ids
    tensors: dict[str, Any] = {
        name: gather_with_gradient(getattr(pool, name))[0] for name in ("values", "times", "there")
    }
    return replace(pool, keys=keys, ids=tuple(ids), **tensors)


def days_apart(times: Tensor | None, others: Tensor) -> Tensor:
    """Calendar days between posts: (B,), (N,) → (B, N) float32; not a number where a time is unknown."""
    if times is None:
        return torch.full((1, len(others)), math.nan, device=others.device)
    return (times.floor()[:, None] - others.floor()).abs().float()


@dataclass
class Reading:
    """What the posts of a batch have read."""

    pool: Pool
    """Where they read."""
    scores: Tensor
    """(B, N + 1) float32, relevance and time over τ; the last column is that of reading nothing."""
    weights: Tensor
    """(B, N + 1) float32, summing to 1; the last column is nothing's."""
    read: Tensor
    """r: (B, d) float32."""
    gate: Tensor
    """(B, n, 1), in [0, 1): how much of it each token takes; 0 where nothing is read."""


class Reader(nn.Module):
    """Looks a batch's texts up in a pool and adds what it reads to their states; see the formulas above."""

    def __init__(self, d: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # In units of the cosine. It starts where a picture of another day loses even to reading nothing, unless it fits
        # perfectly: from 0 it was learned only as far as the day's own pictures beat the others', and where the day had
        # none that fit, another day's were read.
        self.time = nn.Parameter(torch.tensor([1.0, 0.0])) if config.read_time else None
        self.null = nn.Linear(d, 1) if config.read_null else None
        self.value = nn.Linear(d, d, bias=False)
        self.revise = nn.Sequential(nn.Linear(2 * d, 2 * d), nn.GELU(), nn.Linear(2 * d, d, bias=False))
        self.gate = nn.Linear(2 * d, 1)
        self.norm = nn.LayerNorm(d)
        if self.null is not None:
            nn.init.zeros_(self.null.weight)
            nn.init.zeros_(self.null.bias)

    def penalty(self, times: Tensor | None, others: Tensor) -> Tensor | None:
        """What distance in time costs, in units of the cosine: (B,), (N,) → (B, N), or (1, N) where no time is known.

        A learned constant from the next day on, and a learned multiple of log(1 + days). Nothing where either time is
        unknown.
        """
        if self.time is None:
            return None
        days = days_apart(times, others).nan_to_num(0.0)
        return self.time[0] * (days >= 1) + self.time[1] * days.log1p()

    def score(self, queries: Tensor, batch: Batch, pool: Pool, temperature: Tensor | float) -> tuple[Tensor, Tensor]:
        """Scores of the pool and of nothing, (B, N + 1), and which of them may be read, (B, N) bool.

        Args:
            queries: g(text), (B, d) float32, of length 1.
            temperature: τ.
        """
        with torch.autocast(queries.device.type, enabled=False):
            scores = queries @ pool.keys.T
            # Without a learned score nothing loses to all that may be read, and is left where nothing may.
            null = queries.new_full((len(queries), 1), FORBIDDEN / 2)
            if self.null is not None:
                null = self.null(queries) / temperature
            penalty = self.penalty(batch.times, pool.times)
            if penalty is not None:
                scores = scores - penalty
        allowed = pool.readable(batch, own=self.config.reads_own)
        scores = torch.cat([(scores / temperature).masked_fill(~allowed, FORBIDDEN), null], 1)
        return scores if self.config.read_learned else scores.detach(), allowed

    def weigh(self, scores: Tensor, allowed: Tensor) -> Tensor:
        """Scores (B, N + 1) to weights (B, N + 1), as `read` says; zero where reading is not allowed."""
        if self.config.read == "top" and scores.shape[1] - 1 > self.config.k:
            best = scores[:, :-1].topk(self.config.k, dim=1).indices
            kept = torch.zeros_like(allowed).scatter(1, best, True)
            allowed = allowed & kept
            scores = scores.masked_fill(~torch.cat([kept, kept.new_ones(len(kept), 1)], 1), FORBIDDEN)
        shortlist = None if self.training else SHORTLIST  # checking it would make a training step wait for the device
        weights = sparsemax(scores, dim=-1, k=shortlist) if self.config.read == "sparsemax" else scores.softmax(-1)
        return torch.cat([weights[:, :-1] * allowed, weights[:, -1:]], 1)

    def forward(
        self, text: Tensor, queries: Tensor, batch: Batch, pool: Pool, temperature: Tensor | float
    ) -> tuple[Tensor, Reading]:
        """z (B, n, d) and g(text) (B, d) → z' (B, n, d), and what was read."""
        scores, allowed = self.score(queries, batch, pool, temperature)
        weights = self.weigh(scores, allowed)
        with torch.autocast(queries.device.type, enabled=False):
            read = weights[:, :-1] @ pool.values  # (B, d)
        value = self.value(read)[:, None].expand(-1, text.shape[1], -1)  # (B, n, d)
        both = torch.cat([text, value.to(text.dtype)], -1)  # (B, n, 2d)
        share = weights[:, :-1].sum(1)[:, None, None]  # (B, 1, 1), 0 where nothing is read
        gate = torch.sigmoid(self.gate(both)) * share  # (B, n, 1)
        return self.norm(text + gate * (value + self.revise(both))), Reading(pool, scores, weights, read, gate)
