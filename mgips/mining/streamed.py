"""Mining within a memory budget: in chunks of texts, into memory or, resumable, into a folder."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from mgips.errors import ConfigError, DataError
from mgips.files import hold, let_go, write_atomically
from mgips.mining.exact import Bias, Job, Side, Vectors, bytes_a_text, fixed_bytes, mine_chunk, parse_memory
from mgips.mining.result import (
    ABOUT,
    Mined,
    MinedFolder,
    gaps_between,
    parquet,
    parts_in,
    read_about,
    undamaged,
    write_part,
)

MEMORY = "1GB"
"""What mining may take besides the vectors and the result, by default."""
PART = 65_536
"""Texts of a part at most, so that a killed run loses little."""


@torch.no_grad()
def mine_split(
    texts: Vectors,
    images: Vectors,
    k: int,
    candidates: Tensor | None = None,
    memory: int | str = MEMORY,
    csls: int = 0,
    bias: Bias | None = None,
    own: Tensor | None = None,
    progress: bool = False,
) -> Mined:
    """The K most relevant images of each text among all images of a split, exactly (eqs 14-15).

    What decides are the cosines in float64, rounded to float32, so neither the order of a sum nor `memory` decides
    between two images; of equally relevant ones the earlier comes first. Most pairs are told apart by a float32 product
    and the bound of its error (`mgips.mining.exact`). .github/SCALE.md says what it costs.

    Args:
        texts: (N, d), a tensor or an array, which may be a memory map.
        images: (M, d); image i is text i's own unless `own` says otherwise.
        k: K. A text's own image may be one of them.
        candidates: (M,) bool, the images that may be mined; all by default.
        memory: how much the work may take besides the vectors and the result, such as "2GB". With more of it the images
            are read less often.
        csls: rank by CSLS instead of the cosine (`mgips.model.contrastive.csls`), with this many neighbours; 0 is off.
            A text's neighbours are candidates, an image's are any texts. Everything is then compared three times.
        bias: gives for a slice of the texts, of at most `mgips.mining.exact.ROWS`, what is added before ranking to the
            cosines (to the CSLS values with `csls`): (rows, M) float64, such as a penalty for distance in time; -inf
            excludes an image. A row must not depend on which others are asked for with it.
        own: (N,) int64, the place of each text's own image, -1 for one without.
        progress: show a bar with an estimate.

    Raises:
        ConfigError: K exceeds the candidates, naming both; not one image a text; a setting out of range; or more memory
            is needed than there may be, naming both.
        DataError: a vector that is not finite, by its place.
    """
    job = job_of(texts, images, k, candidates, memory, csls, bias, own, progress)
    with bar(job, len(job.texts), progress) as told:
        parts = [mine_chunk(job, rows, told.update) for rows in chunks(job, slice(0, len(job.texts)), memory)]
    return joined(parts)


@torch.no_grad()
def mine_into(
    folder: str | Path,
    texts: Vectors,
    images: Vectors,
    k: int,
    candidates: Tensor | None = None,
    memory: int | str = MEMORY,
    csls: int = 0,
    bias: Bias | None = None,
    own: Tensor | None = None,
    progress: bool = False,
    about: str = "",
) -> MinedFolder:
    """The same as `mine_split`, written to a folder chunk by chunk; a call that was killed goes on where it was.

    Parts that are there are checked; a damaged one is mined again. `memory` may differ from call to call.

    Args:
        about: whatever else decides the result: the settings of a `bias`, which no file can hold.

    Raises:
        ConfigError: as `mine_split`; pyarrow is not installed; or a `bias` that nothing is said `about`.
        DataError: as `mine_split`; the folder holds what was mined of other vectors or settings, or cannot be written.
        RunError: another process writes there.
    """
    parquet()
    if bias is not None and not about:
        raise ConfigError("A bias is code, which a folder cannot tell from another; say in `about` what it depends on.")
    folder = Path(folder)
    job = job_of(texts, images, k, candidates, memory, 0, bias, own)
    if csls < 0:
        raise ConfigError(NO_CSLS.format(csls))
    digest = hashlib.sha256(f"{job.texts.digest()} {job.images.digest()} {k} {csls} {about}".encode())
    digest.update(job.own.numpy().tobytes())
    if job.candidates is not None:
        digest.update(b"candidates" + job.candidates.numpy().tobytes())
    told = {"texts": len(job.texts), "images": len(job.images), "k": k, "fingerprint": digest.hexdigest()}
    kept = read_about(folder)
    if kept is None:
        if parts_in(folder):
            raise DataError(f"{folder} holds parts of a mining without its {ABOUT}; give another folder.")
        write_atomically(folder / ABOUT, json.dumps(told).encode())
    elif kept != told:
        raise DataError(f"{folder} holds what was mined of other vectors or settings; give another folder.")

    lock = hold(folder)
    try:
        done = []
        for rows, file in parts_in(folder):
            if undamaged(file) and rows.stop <= len(job.texts) and (not done or rows.start >= done[-1][0].stop):
                done.append((rows, file))
            else:
                warnings.warn(f"{file} is damaged, and is mined again.", stacklevel=2)
                file.unlink()
        gaps = gaps_between(done, len(job.texts))
        if gaps:
            job.near = neighbourhoods(job, csls, memory, progress)
            left = sum(gap.stop - gap.start for gap in gaps)
            with bar(job, len(job.texts), progress, len(job.texts) - left) as told_bar:
                for gap in gaps:
                    for rows in chunks(job, gap, memory):
                        write_part(folder, rows, mine_chunk(job, rows, told_bar.update))
    finally:
        let_go(lock)
    return MinedFolder(folder)


NO_CSLS = "csls is {}; give the number of neighbours to average over, or 0 to rank by cosines."


def job_of(
    texts: Vectors,
    images: Vectors,
    k: int,
    candidates: Tensor | None = None,
    memory: int | str = MEMORY,
    csls: int = 0,
    bias: Bias | None = None,
    own: Tensor | None = None,
    progress: bool = False,
) -> Job:
    """What is to be mined, checked; see `mine_split`."""
    if own is None:
        if texts.shape != images.shape:
            raise ConfigError(f"There are {len(texts)} texts and {len(images)} images; give each text its own image.")
        own = torch.arange(len(texts))
    elif len(own) != len(texts) or (len(own) and not -1 <= int(own.min()) <= int(own.max()) < len(images)):
        raise ConfigError(f"own must give each of {len(texts)} texts a place among {len(images)} images, or -1.")
    if texts.ndim != 2 or images.ndim != 2 or texts.shape[1] != images.shape[1]:
        raise ConfigError(
            f"Texts of {tuple(texts.shape)[1:]} and images of {tuple(images.shape)[1:]} numbers cannot be compared."
        )
    check_k(k, len(images), candidates)
    if csls < 0:
        raise ConfigError(NO_CSLS.format(csls))
    places = None if candidates is None else candidates.nonzero()[:, 0]
    job = Job(Side(texts, "text"), Side(images, "image"), k, own, places, None, bias)
    next(chunks(job, slice(0, len(texts)), memory), None)
    job.near = neighbourhoods(job, csls, memory, progress)
    return job


def check_k(k: int, images: int, candidates: Tensor | None) -> int:
    """How many images may be mined; refuses a K that exceeds them."""
    count = images if candidates is None else int(candidates.sum())
    if not 1 <= k <= count:
        raise ConfigError(f"k is {k}, but there are {count} images to mine from; choose k between 1 and {count}.")
    return count


def chunks(job: Job, texts: slice, memory: int | str) -> Iterator[slice]:
    """Texts in chunks that the memory allows, PART at most.

    Raises:
        ConfigError: it allows none.
    """
    each, fixed = bytes_a_text(job.texts.d, job.k), fixed_bytes(job, len(job.texts))
    size = min((parse_memory(memory) - fixed) // each, PART)
    if size < 1:
        raise ConfigError(
            f"memory is {memory}, but to compare these vectors takes {(fixed + each) / 1e6:.0f}MB at least, better "
            "twice that."
        )
    for start in range(texts.start, texts.stop, size):
        yield slice(start, min(start + size, texts.stop))


def bar(job: Job, texts: int, progress: bool, done: int = 0) -> tqdm:
    """Counts pairs, and says how long the rest will take."""
    total, first = texts * job.count, done * job.count
    return tqdm(
        total=total, initial=first, desc="mining", unit=" pairs", unit_scale=True, disable=not progress, delay=1
    )


def joined(parts: list[Mined]) -> Mined:
    """Several parts as one."""
    return Mined(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Mined)))


def neighbourhoods(job: Job, neighbours: int, memory: int | str, progress: bool) -> tuple[Tensor, Tensor] | None:
    """r_i of every text and r_j of every image (MUSE's `get_nn_avg_dist`): (N,) and (M,) float64; None without CSLS."""
    if not neighbours:
        return None
    means = []
    for one, other, candidates in ((job.texts, job.images, job.candidates), (job.images, job.texts, None)):
        k = min(neighbours, len(other) if candidates is None else len(candidates))
        side = Job(one, other, k, torch.full((len(one),), -1), candidates)
        with bar(side, len(one), progress) as told:
            parts = [mine_chunk(side, rows, told.update) for rows in chunks(side, slice(0, len(one)), memory)]
        means.append(torch.cat([part.score.double().T.contiguous().mean(0) for part in parts]))
    return means[0], means[1]
