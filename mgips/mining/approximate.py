"""Mining by an index of FAISS, for sizes where comparing everything takes too long; how much it misses is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mgips.errors import ConfigError
from mgips.mining.exact import BLOCK, Job, Vectors
from mgips.mining.result import Mined, empty
from mgips.mining.streamed import MEMORY, job_of, mine_split

INDEXES = ("flat", "ivf", "ivfpq")
"""Kinds of index: all images; those of the nearest cells; the same with each vector as a few bytes."""
REFINE = {"flat": 2, "ivf": 2, "ivfpq": 8}
"""Images taken from the index for each of the K, which are then compared exactly."""


@dataclass(frozen=True)
class Approximation:
    """What an index has found, and how good it is."""

    mined: Mined
    """The scores are exact; images may be missing, then -1. `own_rank` is -1 where the own image was not found."""
    recall: float
    """Share of the K truly best images that were found, over `sampled` texts; equal scores at the K-th place count as
    one image as good as the other."""
    sampled: int
    index: str
    """In the words of FAISS."""


def faiss_library() -> Any:
    """The `faiss` package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import faiss  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError("Approximate mining needs FAISS: pip install 'mgips[faiss]'.") from None
    return faiss


def description(kind: str, count: int, d: int, cells: int = 0) -> str:
    """What `faiss.index_factory` is given for one of INDEXES, over `count` images of d dimensions.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in INDEXES:
        raise ConfigError(f"index is {kind!r}; choose exact, {', '.join(INDEXES[:-1])} or {INDEXES[-1]}.")
    if kind == "flat":
        return "Flat"
    cells = cells or max(1, min(round(math.sqrt(count)), count // 39))  # FAISS wants 39 to learn a cell from
    if kind == "ivf":
        return f"IVF{cells},Flat"
    codes = max(part for part in range(1, max(1, d // 4) + 1) if d % part == 0)
    return f"IVF{cells},PQ{codes}"


@torch.no_grad()
def mine_approximately(
    texts: Vectors,
    images: Vectors,
    k: int,
    index: str = "ivf",
    candidates: Tensor | None = None,
    memory: int | str = MEMORY,
    own: Tensor | None = None,
    probes: int = 0,
    sample: int = 200,
    cells: int = 0,
    progress: bool = False,
) -> Approximation:
    """The K most relevant images of each text, as far as an index finds them; see `mine_split` for the arguments.

    An index holds the candidates' vectors in memory besides `memory`: 4·d bytes each, or d / 4 with "ivfpq". It proposes;
    what it proposes is compared in float64 and ranked as by `mine_split`. Which of equal images it proposes is its own
    affair.

    Args:
        index: one of INDEXES.
        probes: cells that are searched; by default one in 32, and 8 at least.
        sample: texts, evenly spaced, that are mined exactly too, to measure the recall.
        cells: into how many cells the images fall; about √M by default.

    Raises:
        ConfigError: as `mine_split`; FAISS is not installed, there is no such index, or too few images to learn it from.
        DataError: as `mine_split`.
    """
    faiss = faiss_library()
    job = job_of(texts, images, k, candidates, memory, own=own)
    wanted = description(index, job.count, job.images.d, cells)
    if index == "ivfpq" and job.count < 256 * 39:
        raise ConfigError(f"An index ivfpq is learned from {256 * 39} images, and there are {job.count}; use exact.")
    if sample < 1 or probes < 0 or cells < 0:
        raise ConfigError("sample must be 1 or more, probes and cells 0 or more.")
    built = _build(faiss, job, wanted, progress)
    if index != "flat":
        inverted = faiss.extract_index_ivf(built)
        inverted.nprobe = min(inverted.nlist, probes or max(8, inverted.nlist // 32))

    mined = empty(len(job.texts), k)
    wide = min(REFINE[index] * k, job.count)
    with tqdm(total=len(job.texts), desc="mining", unit=" texts", disable=not progress, delay=1) as bar:
        for start in range(0, len(job.texts), BLOCK):
            rows = torch.arange(start, min(start + BLOCK, len(job.texts)))
            _, places = built.search(job.texts.read(rows).float().numpy(), wide)
            _rank(job, rows, torch.from_numpy(places), mined)
            bar.update(len(rows))

    some = torch.from_numpy(np.unique(np.linspace(0, len(job.texts) - 1, sample).round().astype(np.int64)))
    truth = mine_split(job.texts.as_is(some), images, k, candidates, memory, own=job.own[some])
    found = (mined.score[some] >= truth.score[:, -1:]).sum(1)
    return Approximation(mined, float(found.double().mean()) / k, len(some), wanted)


def _build(faiss: Any, job: Job, wanted: str, progress: bool) -> Any:
    """An index that holds every candidate."""
    built = faiss.index_factory(job.images.d, wanted, faiss.METRIC_INNER_PRODUCT)
    if not built.is_trained:
        inverted = faiss.extract_index_ivf(built)
        size = min(job.count, max(64 * inverted.nlist, 256 * 64))
        spread = torch.linspace(0, job.count - 1, size, dtype=torch.float64).long()
        built.train(job.images.read(spread if job.candidates is None else job.candidates[spread]).float().numpy())
    with tqdm(total=job.count, desc="indexing", unit=" images", disable=not progress, delay=1) as bar:
        for start in range(0, job.count, 64 * BLOCK):
            columns = job.columns(start, min(start + 64 * BLOCK, job.count))
            built.add(job.images.read(columns).float().numpy())
            bar.update(len(columns))
    return built


def _rank(job: Job, rows: Tensor, places: Tensor, mined: Mined) -> None:
    """What an index proposes for some texts, (n, p) numbers of candidates or -1, ranked exactly, into the result."""
    n, p = places.shape
    there = places >= 0
    columns = places.clamp(min=0) if job.candidates is None else job.candidates[places.clamp(min=0)]
    scores = job.exact(rows.repeat_interleave(p), columns.reshape(-1)).view(n, p).masked_fill(~there, -torch.inf)
    columns, order = columns.masked_fill(~there, len(job.images)).sort(dim=1)
    scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    k = min(job.k, p)
    mined.score[rows, :k] = scores[:, :k]
    mined.index[rows, :k] = columns[:, :k].masked_fill(scores[:, :k] == -torch.inf, -1)
    own = job.own[rows]
    with_own = (own >= 0).nonzero()[:, 0]
    mined.own_score[rows[with_own]] = job.exact(rows[with_own], own[with_own])
    hit = columns[:, :k] == own[:, None]
    mined.own_rank[rows] = torch.where(hit.any(1) & (own >= 0), hit.int().argmax(1), -1)
