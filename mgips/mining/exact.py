"""The K nearest images of each text, exactly, in one pass of float32 products over vectors that need not fit in memory.

A float32 product is fast and wrong in its last digits; how wrong it can be is known. For vectors of length 1 and d
dimensions the error of each cosine is below `error_bound(d)`, in whatever order the products are summed (Higham 2002,
§3.1). So the product only chooses: what comes within twice that bound of the K-th best is compared again in float64
and rounded to float32 once, and that decides. The result is that of comparing everything in float64.

    S = product of a block of texts and a tile of images, float32
    a lower bound of the K-th best: the K-th highest of the maxima of groups of GROUP images
    candidates: S ≥ bound - 2·error; each is compared in float64 at the end, when the bound is highest
    before the own image: S > own + error for certain; within the error, compared in float64

Where the error leaves too many open (all vectors alike), a row of the tile is computed in float64 as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mgips.errors import ConfigError, DataError
from mgips.mining.result import Mined

TILE = 2048
"""Images compared at once: with BLOCK texts, their scores stay in a processor's cache."""
BLOCK = 1024
"""Texts compared at once."""
GROUP = 32
"""Neighbouring images whose highest score is looked at first."""
ROWS = 16
"""Texts that a `bias` is asked for at once."""
PAIRS = 512
"""Pairs compared at once in float64."""
BIASED = 128
"""Texts compared at once where there is a bias."""
SETTLE = 8
"""Candidates held for each text, in units of K + GROUP, before they are compared exactly."""
UNIT = 2.0**-24
"""Half the distance of float32 numbers at 1."""

Vectors = Tensor | np.ndarray
"""(N, d): a tensor, or an array that may be a memory map."""
Bias = Callable[[slice], Tensor]


def error_bound(d: int) -> float:
    """How far a cosine from a float32 product of d dimensions can be from the one computed in float64, at most.

    d roundings of the sum (d·u / (1 - d·u)), one of each factor, and the scores' own, with some to spare.
    """
    return 1.05 * (d + 16) * UNIT


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 are computed in float32, whatever the user has chosen for training."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class Side:
    """Texts or images: read in parts, with the length of each vector known."""

    def __init__(self, vectors: Vectors, name: str) -> None:
        """Reads all of them once.

        Raises:
            DataError: a vector that holds no finite numbers, by its place.
        """
        self.vectors = vectors
        self.norms = torch.empty(len(vectors), dtype=torch.float64)
        for start in range(0, len(vectors), BLOCK):
            # clamped as torch's `normalize` does: a vector of zeros is at right angles to all
            self.norms[start : start + BLOCK] = self.as_is(slice(start, start + BLOCK)).norm(dim=1)
        bad = (~self.norms.isfinite()).nonzero()
        if len(bad):
            raise DataError(
                f"The vector of {name} {int(bad[0])} is not finite ({len(bad)} of {len(vectors)} are not), so nothing "
                "can be compared with it; look at the model that made it."
            )
        self.norms.clamp_(min=1e-12)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def d(self) -> int:
        return self.vectors.shape[1]

    def digest(self) -> str:
        """A hash of the vectors."""
        digest = hashlib.sha256(f"{tuple(self.vectors.shape)}".encode())
        for start in range(0, len(self), BLOCK):
            digest.update(self.as_is(slice(start, start + BLOCK)).numpy().tobytes())
        return digest.hexdigest()

    def as_is(self, places: slice | Tensor) -> Tensor:
        """(n, d) float64, as they are."""
        if isinstance(self.vectors, Tensor):
            vectors = self.vectors.detach()
            part = (vectors[places] if isinstance(places, slice) else vectors.index_select(0, places)).cpu()
        else:
            part = torch.from_numpy(np.array(self.vectors[places if isinstance(places, slice) else places.numpy()]))
        return part.double()

    def read(self, places: slice | Tensor) -> Tensor:
        """(n, d) float64, of length 1."""
        return self.as_is(places).div_(self.norms[places, None])


@dataclass
class Job:
    """What is to be mined; N texts, M images."""

    texts: Side
    images: Side
    k: int
    own: Tensor
    """(N,) int64, the place of each text's own image; -1 where there is none."""
    candidates: Tensor | None = None
    """Places of the images that may be mined, ascending; None for all."""
    near: tuple[Tensor, Tensor] | None = None
    """CSLS: (N,) and (M,) float64, what is taken from twice the cosine."""
    bias: Bias | None = None

    def columns(self, start: int, stop: int) -> Tensor:
        """The places of candidates number start to stop."""
        return torch.arange(start, stop) if self.candidates is None else self.candidates[start:stop]

    @property
    def count(self) -> int:
        """How many images may be mined."""
        return len(self.images) if self.candidates is None else len(self.candidates)

    @property
    def error(self) -> float:
        """How far a score from float32 products can be from the exact one, besides what its own size costs."""
        return error_bound(self.texts.d) if self.near is None else 2 * error_bound(self.texts.d) + 32 * UNIT

    def finish(self, cosines: Tensor, rows: Tensor, columns: Tensor, bias: Tensor | None) -> Tensor:
        """float64 cosines of pairs → what is ranked, float32; rounded after each step."""
        scores = cosines.float()
        if self.near is not None:
            scores = (2 * scores.double() - self.near[0][rows] - self.near[1][columns]).float()
        return scores if bias is None else (scores.double() + bias).float()

    def exact(self, rows: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
        """(P,) texts and (P,) images → (P,) float32. A pair's score does not depend on what it is computed with."""
        return self.finish(self._cosines(rows, columns), rows, columns, bias)

    def _cosines(self, rows: Tensor, columns: Tensor) -> Tensor:
        cosines = torch.empty(len(rows), dtype=torch.float64)
        for start in range(0, len(rows), PAIRS):
            row, column = rows[start : start + PAIRS], columns[start : start + PAIRS]
            products = self.texts.as_is(row).mul_(self.images.as_is(column)).sum(1)
            cosines[start : start + PAIRS] = products / (self.texts.norms[row] * self.images.norms[column])
        return cosines

    def exact_rows(self, rows: Tensor, columns: Tensor, bias: Tensor | None) -> Tensor:
        """(r,) texts and (c,) images → (r, c) float32, the same numbers as `exact`."""
        texts, scores = self.texts.read(rows), torch.empty(len(rows), len(columns))
        error = 2 * (self.texts.d + 16) * 2.0**-53
        for start in range(0, len(columns), TILE):
            some = columns[start : start + TILE]
            cosines = texts @ self.images.read(some).T
            # Where the order of the sum could decide how a number is rounded, it is the order of `exact`.
            row, column = ((cosines - error).float() != (cosines + error).float()).nonzero(as_tuple=True)
            cosines[row, column] = self._cosines(rows[row], some[column])
            part = slice(start, start + TILE)
            scores[:, part] = self.finish(cosines, rows[:, None], some[None], None if bias is None else bias[:, part])
        return scores


def bytes_a_text(d: int, k: int) -> int:
    """Memory that mining takes for each text of a chunk: its vector, its candidates, and these again while sorted."""
    return 4 * d + 60 * (SETTLE * (k + GROUP) + 4 * k)


def fixed_bytes(job: Job, count: int) -> int:
    """Memory that mining takes whatever the chunk: a block's scores, a tile's vectors, pairs, the vectors' lengths."""
    d, n, m = job.texts.d, count, job.count
    block, tile = (BLOCK, TILE) if job.bias is None else (BIASED, m)
    block, tile = min(block, n), min(tile, m)
    return (
        block * tile * (16 if job.bias is None else 40) + 4 * tile * d + 20 * min(TILE, m) * d + 40 * PAIRS * d + 8 * m
    )


def mine_chunk(job: Job, rows: slice, tell: Callable[[int], object] = lambda pairs: None) -> Mined:
    """The result for texts rows.start to rows.stop.

    Args:
        tell: is told how many pairs have been compared since it was told last.
    """
    with full_precision():
        return _Chunk(job, rows, tell).mine()


class _Chunk:
    """Texts whose results are found together, in one pass over the images."""

    def __init__(self, job: Job, rows: slice, tell: Callable[[int], object]) -> None:
        self.job, self.start, self.tell = job, rows.start, tell
        self.places = torch.arange(rows.start, rows.stop)
        count = len(self.places)
        self.own = job.own[rows]
        self.bound = torch.full((count, job.k), -torch.inf)
        """The K highest maxima of groups so far, the least of them first."""
        self.before = np.zeros(count, dtype=np.int64)
        self.own_score = torch.full((count,), torch.nan)
        self.pairs: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        """Candidates: rows of the chunk, places of images, scores, biases."""
        self.held = 0
        self.crowd = min(max(4 * job.k, TILE // 8), TILE // 2)

    def mine(self) -> Mined:
        job, count = self.job, len(self.places)
        with_own = (self.own >= 0).nonzero()[:, 0]
        if job.bias is None:
            self.own_score[with_own] = job.exact(self.places[with_own], self.own[with_own])
        texts = torch.empty(count, job.texts.d)
        for start in range(0, count, BLOCK):
            part = slice(start, start + BLOCK)
            texts[part] = job.texts.read(self.places[part])
        # A bias comes in whole rows, so the texts then meet all images at once, and few of them at a time.
        tile, block = (TILE, BLOCK) if job.bias is None else (job.count, BIASED)
        tile, block = min(tile, job.count), min(block, count)
        buffer = torch.empty(block * -(-tile // GROUP) * GROUP)
        self.flags = np.empty((2, len(buffer)), dtype=bool)
        for left in range(0, job.count, tile):
            columns = job.columns(left, min(left + tile, job.count))
            images = self._padded(columns)
            for start in range(0, count, block):
                part = slice(start, min(start + block, count))
                shape = part.stop - start, len(images)
                scores = torch.mm(texts[part], images.T, out=buffer[: shape[0] * shape[1]].view(shape))
                self._look(part, columns, scores)
                self.tell((part.stop - start) * len(columns))
                if self.held > SETTLE * count * (job.k + GROUP):
                    self._settle()
        rows, columns, scores, _ = self._settle()
        index = torch.full((count, job.k), -1, dtype=torch.int64)
        score = torch.full((count, job.k), -torch.inf)
        place = torch.arange(len(rows)) - torch.searchsorted(rows, rows)  # 0 for the best of each row
        index[rows, place], score[rows, place] = columns, scores
        rank = torch.from_numpy(self.before).masked_fill(self.own < 0, -1)
        return Mined(index, score, rank, self.own_score)

    def _padded(self, columns: Tensor) -> Tensor:
        """The images at some places, and zeros up to a multiple of GROUP: (c, d) float32."""
        images = torch.zeros(-(-len(columns) // GROUP) * GROUP, self.job.images.d)
        for start in range(0, len(columns), TILE):
            some = columns[start : start + TILE]
            images[start : start + len(some)] = self.job.images.read(
                some if self.job.candidates is not None else slice(int(some[0]), int(some[-1]) + 1)
            )
        return images

    def _look(self, part: slice, columns: Tensor, scores: Tensor) -> None:
        """Take from a block of scores, (r, c) with columns of padding at the end, what may matter."""
        job, r, n = self.job, len(scores), len(columns)
        places, own, bias = self.places[part], self.own[part], None
        if job.near is not None:
            scores.mul_(2).sub_(job.near[0][places, None].float())
            scores[:, :n].sub_(job.near[1][columns].float())
        if job.bias is not None:
            bias = torch.empty(r, n, dtype=torch.float64)
            for start in range(0, r, ROWS):
                few = slice(start, min(start + ROWS, r))
                asked = job.bias(slice(int(places[few][0]), int(places[few][-1]) + 1))
                bias[few] = asked if n == asked.shape[1] else asked[:, columns]
                mine = (own[few] >= 0).nonzero()[:, 0]
                texts, its = places[few][mine], own[few][mine]
                self.own_score[part.start + start + mine] = job.exact(texts, its, asked[mine, its].double())
                scores[few, :n] = (scores[few, :n].double() + bias[few]).float()
        scores[:, n:] = -torch.inf

        maxima = scores.view(r, -1, GROUP).amax(2)  # (r, groups)
        bound = self.bound[part]
        higher = (maxima > bound[:, :1]).any(1).nonzero()[:, 0]
        some = torch.cat([bound[higher], maxima[higher]], 1).numpy()
        bound[higher] = torch.from_numpy(np.partition(some, -job.k, axis=1)[:, -job.k :])  # the least of the K first
        least = _below(bound[:, 0], 2 * job.error)
        row, group = _places((maxima >= least[:, None]).numpy())  # never an image that is excluded: least is above -inf
        inside = scores.view(-1, GROUP).index_select(0, row * maxima.shape[1] + group)  # (hits, GROUP)
        which, place = _places((inside >= least[row, None]).numpy())
        row, column, value = row[which], group[which] * GROUP + place, inside[which, place]

        own_score = self.own_score[part].nan_to_num(torch.inf, torch.inf, -torch.inf)  # no own image: nothing before it
        certain, maybe = (flags[: scores.numel()].reshape(scores.shape) for flags in self.flags)
        np.greater(scores.numpy(), _above(own_score, job.error)[:, None].numpy(), out=certain)
        np.greater_equal(scores.numpy(), _below(own_score, job.error)[:, None].numpy(), out=maybe)
        above = _count(certain)
        eights = np.flatnonzero(certain.view(np.uint64) != maybe.view(np.uint64))  # eight flags are one number
        which, place = _places(certain.reshape(-1, 8)[eights] != maybe.reshape(-1, 8)[eights])
        near = 8 * torch.from_numpy(eights)[which] + place
        near_row, near_column = near // scores.shape[1], near % scores.shape[1]

        counts = torch.bincount(row, minlength=r), torch.bincount(near_row, minlength=r)
        crowded = (counts[0] > self.crowd) | (counts[1] > self.crowd)
        if crowded.any():
            kept = ~crowded[row]
            row, column, value = row[kept], column[kept], value[kept]
            kept = ~crowded[near_row]
            near_row, near_column = near_row[kept], near_column[kept]
            for rows in crowded.nonzero()[:, 0].split(max(1, BLOCK * 32 // n)):
                above[rows.numpy()] = self._whole_rows(part.start, rows, columns, bias)

        def of(some: Tensor, at: Tensor) -> Tensor | None:
            return None if bias is None else bias[some, at]

        self._hold(part.start + row, columns[column], value, of(row, column))
        exact = job.exact(places[near_row], columns[near_column], of(near_row, near_column))
        first = _first(exact, columns[near_column], own_score[near_row], own[near_row])
        self.before[part] += above + torch.bincount(near_row[first], minlength=r).numpy()

    def _whole_rows(self, start: int, rows: Tensor, columns: Tensor, bias: Tensor | None) -> np.ndarray:
        """Rows of a block in float64: hold the best K of each, and return how many come before the own image."""
        job = self.job
        scores = job.exact_rows(self.places[start + rows], columns, None if bias is None else bias[rows])
        found = best(scores, min(job.k, len(columns)))  # (r, K)
        row = rows[:, None].expand_as(found)
        value = scores.gather(1, found)
        there = value > -torch.inf
        self._hold(
            start + row[there],
            columns[found][there],
            value[there],
            None if bias is None else bias[row[there], found[there]],
        )
        own_score, own = self.own_score[start + rows, None], self.own[start + rows, None]
        own_score = own_score.nan_to_num(torch.inf, torch.inf, -torch.inf)
        return (_first(scores, columns[None], own_score, own) & (scores > -torch.inf)).sum(1).numpy()

    def _hold(self, row: Tensor, column: Tensor, value: Tensor, bias: Tensor | None) -> None:
        self.pairs.append((row, column, value, value.new_zeros(0).double() if bias is None else bias))
        self.held += len(row)

    def _settle(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compare the candidates so far exactly and keep the best K of each text: sorted by text, the best first."""
        row, column, value, bias = (torch.cat(x) for x in zip(*self.pairs, strict=True))
        kept = value >= _below(self.bound[:, 0], 2 * self.job.error)[row]
        row, column, bias = row[kept], column[kept], bias[kept] if len(bias) else bias
        value = self.job.exact(self.places[row], column, bias if len(bias) else None)
        # By row, then from the highest score; pairs of a row that are equal came in order of their columns.
        bits = (value + 0.0).view(torch.int32).long()  # + 0.0: no negative zero
        rising = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)  # as the scores
        order = (row * 2**33 - rising).sort(stable=True).indices
        row, column, value, bias = (x[order] if len(x) else x for x in (row, column, value, bias))
        first = (torch.arange(len(row)) - torch.searchsorted(row, row)) < self.job.k
        result = row[first], column[first], value[first], bias[first] if len(bias) else bias
        self.pairs, self.held = [result], len(result[0])
        return result


def _places(flags: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows and columns of the flags that are set: (r, c) bool → two of int64, in order. Faster than `nonzero`."""
    at = torch.from_numpy(np.flatnonzero(flags))
    return at // flags.shape[1], at % flags.shape[1]


def _count(flags: np.ndarray) -> np.ndarray:
    """How many flags of each row are set: (r, c) → (r,) int64. Eight are added at once, as the bytes of a number."""
    eights = flags.view(np.uint64)  # (r, c / 8)
    sums = np.add.reduceat(eights, np.arange(0, eights.shape[1], 128), axis=1)  # no byte exceeds 128
    return sums.view(np.uint8).sum(1, dtype=np.int64)


def _below(scores: Tensor, by: float) -> Tensor:
    """A number less by an error, and by what float32 numbers of this size cost. Above -inf; inf stays."""
    less = scores - by - 16 * UNIT * scores.abs()
    return torch.where(scores == torch.inf, scores, less).clamp(min=torch.finfo(torch.float32).min)


def _above(scores: Tensor, by: float) -> Tensor:
    """A number more by as much. -inf and inf stay."""
    return torch.where(scores.isinf(), scores, scores + by + 16 * UNIT * scores.abs())


def _first(scores: Tensor, columns: Tensor, own_score: Tensor, own: Tensor) -> Tensor:
    """Which images come before the own one: those of a higher score, and earlier ones of the same."""
    return (scores > own_score) | ((scores == own_score) & (columns < own))


def best(scores: Tensor, k: int) -> Tensor:
    """Columns of the k highest scores of each row, best first, the earlier one first where two are equal.

    (B, N) → (B, k) int64. `topk` alone guarantees no order among equal scores.
    """
    values, columns = scores.topk(k, dim=1)
    columns, order = columns.sort(dim=1)
    by_score = values.gather(1, order).sort(dim=1, descending=True, stable=True).indices
    columns = columns.gather(1, by_score)
    more = (scores >= values[:, -1:]).sum(1) > k  # more candidates than places for the lowest score
    if more.any():
        columns[more] = scores[more].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return columns


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_memory(memory: int | str) -> int:
    """Bytes, from a number or such as "2GB", "512 MB", "1.5GiB".

    Raises:
        ConfigError: none of these.
    """
    text = str(memory).strip()
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text[len(digits) :].strip().upper()
    try:
        size = float(digits) * UNITS[unit]
        if not 0 < size < 2.0**63:  # also refuses what is not a number
            raise ValueError
    except (ValueError, KeyError):
        raise ConfigError(f"memory is {memory!r}; give a size such as 2GB, 512MB or a number of bytes.") from None
    return int(size)
