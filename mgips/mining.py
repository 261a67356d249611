"""Implicit positives of a whole split, mined exactly (§3.4, eqs 14-15)."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from mgips.data.batch import TweetDataset, evaluation_batches
from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically
from mgips.model.mgips import MGIPS, MINES_NOTHING
from mgips.run import weights_hash

K_MAX = 20
"""Images mined per text where a split is mined once, to be looked at with any smaller K."""
ROWS = 16
"""Texts whose scores are sorted together."""
BLOCK = 128
"""Texts, and images, that are compared at once in float64."""


@dataclass(frozen=True)
class Mined:
    """The images mined for each of a split's N texts, the best first."""

    index: Tensor
    """(N, K) int64, the mined images by the place of their tweet in the split."""
    score: Tensor
    """(N, K) float32, their relevance (eq. 14), in [-1, 1]."""
    own_rank: Tensor
    """(N,) int64: how many candidates come before the text's own image; 0 where it is the first."""
    own_score: Tensor
    """(N,) float32, the relevance of the own image."""

    @property
    def k(self) -> int:
        """Images per text."""
        return self.index.shape[1]

    def top(self, k: int) -> Mined:
        """The same with a smaller K.

        Raises:
            ConfigError: fewer were mined.
        """
        if not 1 <= k <= self.k:
            raise ConfigError(f"k is {k}, but {self.k} images were mined per text; choose k between 1 and {self.k}.")
        return Mined(self.index[:, :k], self.score[:, :k], self.own_rank, self.own_score)


def contrast_vectors(
    model: MGIPS, data: TweetDataset, batch_size: int = 64, progress: bool = True
) -> tuple[Tensor, Tensor]:
    """The vectors that eq. 14 compares, for a whole split: texts (N, d) and images (N, d), float32 on the CPU, in its order.

    Raises:
        ConfigError: a model without a contrastive part.
    """
    texts = images = torch.zeros(0, 0)
    with (
        model.evaluating(),
        tqdm(total=len(data), desc="comparing texts and images", disable=not progress, delay=1) as bar,
    ):
        for indices in evaluation_batches(data.lengths, batch_size):
            batch = data[indices].to(model.device)
            contrast = model.contrast(model(batch), batch)
            pair = contrast.texts.float().cpu(), contrast.images.float().cpu()
            if not len(texts):
                texts, images = (torch.empty(len(data), vectors.shape[1]) for vectors in pair)
            texts[indices], images[indices] = pair
            bar.update(len(indices))
    return texts, images


@torch.no_grad()
def mine_split(texts: Tensor, images: Tensor, k: int, candidates: Tensor | None = None, chunk: int = 1024) -> Mined:
    """The K most relevant images of each text among all images of a split, exactly (eqs 14-15).

    The cosines are computed in float64 and rounded to float32, so that neither the order of a sum nor `chunk`
    decides between two images; of equally relevant ones the earlier comes first. One chunk × M matrix of float32
    is all that is kept besides the result.

    Args:
        texts: (N, d).
        images: (N, d); image i is text i's own.
        k: K. A text's own image may be one of them.
        candidates: (N,) bool, the images that may be mined; all by default.
        chunk: texts compared at once.

    Raises:
        ConfigError: K exceeds the candidates, naming both; or not one image a text.
    """
    if texts.shape != images.shape:
        raise ConfigError(f"There are {len(texts)} texts and {len(images)} images; give each text its own image.")
    _check_k(k, len(images), candidates)
    if chunk < 1:
        raise ConfigError(f"chunk is {chunk}; compare at least one text at a time.")
    index = torch.empty(len(texts), k, dtype=torch.int64)
    score = torch.empty(len(texts), k)
    own_rank = torch.empty(len(texts), dtype=torch.int64)
    own_score = torch.empty(len(texts))
    places = torch.arange(len(images))
    buffer = torch.empty(min(chunk, len(texts)), len(images))  # every chunk's scores in turn
    for start in range(0, len(texts), chunk):
        scores = buffer[: len(texts) - start]  # (chunk, N)
        for first in range(0, len(scores), BLOCK):
            block = F.normalize(texts[start + first : start + first + BLOCK][: len(scores) - first].double(), dim=-1)
            for left in range(0, len(images), BLOCK):
                right = F.normalize(images[left : left + BLOCK].double(), dim=-1)
                scores[first : first + BLOCK, left : left + BLOCK] = block @ right.T  # rounds
        own_score[start : start + chunk] = scores.diagonal(start)
        if candidates is not None:
            scores.masked_fill_(~candidates, -torch.inf)
        for first in range(0, len(scores), ROWS):  # keeps the extra memory for sorting small
            rows = slice(start + first, start + min(first + ROWS, len(scores)))
            some = scores[first : first + ROWS]
            index[rows] = best(some, k)
            score[rows] = some.gather(1, index[rows])
            own = own_score[rows, None]
            before = (some == own) & (places < torch.arange(rows.start, rows.stop)[:, None])
            own_rank[rows] = ((some > own) | before).sum(1)
    return Mined(index, score, own_rank, own_score)


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


def mine_dataset(
    model: MGIPS,
    data: TweetDataset,
    k: int,
    cache: str | Path | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> Mined:
    """Mine a whole split with a model, at least K_MAX deep where there are that many images; once, with a cache.

    Args:
        data: the split, tokenized and decoded for this model.
        k: K; the result holds the best K.
        cache: a folder to keep the result in, such as the run's. A file there is named by the weights, the
            settings and the data, so it is never used for others.

    Raises:
        ConfigError: a model without a contrastive part, or fewer than K images.
    """
    if not model.config.contrast or data.crops is None:
        raise ConfigError(MINES_NOTHING)
    candidates = None if model.config.mine_missing else torch.from_numpy(np.array(data.crops.has_image))
    count = _check_k(k, len(data), candidates)
    file = Path(cache) / f"mined-{fingerprint(model, data)}.safetensors" if cache else None
    mined = load_mined(file, len(data)) if file else None
    if mined is None or mined.k < k:
        texts, images = contrast_vectors(model, data, batch_size, progress)
        mined = mine_split(texts, images, min(max(k, K_MAX), count), candidates)
        if file:
            try:
                write_atomically(file, save({f.name: getattr(mined, f.name) for f in fields(Mined)}))
            except DataError as error:
                warnings.warn(f"What was mined is not kept: {error}", stacklevel=2)
    return mined.top(k)


def _check_k(k: int, images: int, candidates: Tensor | None) -> int:
    """How many images may be mined; refuses a K that exceeds them."""
    count = images if candidates is None else int(candidates.sum())
    if not 1 <= k <= count:
        raise ConfigError(f"k is {k}, but there are {count} images to mine from; choose k between 1 and {count}.")
    return count


def best_of_others(model: MGIPS, data: TweetDataset, progress: bool = True) -> np.ndarray:
    """The most relevant picture that another post of the split has, for each of its N texts (eq. 14): (N,) places.

    Missing pictures are never candidates, whatever `mine_missing` says.

    Raises:
        ConfigError: a model without a contrastive part, or fewer than two posts with a picture.
    """
    pictured = torch.from_numpy(np.array(data.crops.has_image)) if data.crops is not None else torch.zeros(0)
    if model.config.contrast and pictured.sum() < 2:
        raise ConfigError("Fewer than two posts have a picture, so there is no other post's to mine.")
    best = mine_split(*contrast_vectors(model, data, progress=progress), k=2, candidates=pictured).index  # (N, 2)
    own = best[:, 0] == torch.arange(len(best))
    return torch.where(own, best[:, 1], best[:, 0]).numpy()


def fingerprint(model: MGIPS, data: TweetDataset) -> str:
    """A hash of weights, settings, texts and pictures: equal hashes, equal mining."""
    digest = hashlib.sha256(f"{weights_hash(model)} {sorted(asdict(model.config).items())}".encode())
    for tweet, encoded in zip(data.tweets, data.encoded, strict=True):
        digest.update(repr((tweet.id, encoded.pieces)).encode())
    if data.crops is not None:
        digest.update(data.crops.rows.tobytes() + data.crops.has_image.tobytes())
        # A file of crops is named by its content.
        pixels = data.crops.pixels
        file = getattr(pixels, "filename", None)
        digest.update(Path(file).name.encode() if file else str(zlib.crc32(pixels.tobytes())).encode())
    return digest.hexdigest()[:16]


def load_mined(file: Path, count: int) -> Mined | None:
    """A kept result for `count` texts; None where there is none, or a damaged one."""
    try:
        kept = Mined(**load(file.read_bytes()))
    except (OSError, SafetensorError, TypeError):
        return None
    return kept if kept.index.ndim == 2 and len(kept.index) == len(kept.own_rank) == count else None
