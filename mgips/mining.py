"""Implicit positives of a whole split, mined exactly (§3.4, eqs 14-15)."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Callable
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
from mgips.model.contrastive import CSLS_NEIGHBOURS
from mgips.model.mgips import MGIPS, MINES_NOTHING
from mgips.model.pretrained import weights_hash

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
    """(N, K) int64, the mined images by the place of their tweet in the split; -1 where a `bias` left fewer than K."""
    score: Tensor
    """(N, K) float32, what they were ranked by: their relevance (eq. 14), in [-1, 1]; with `csls` the CSLS value, in
    [-4, 4]; a `bias` is added to either, and -inf stands where there was no K-th image."""
    own_rank: Tensor
    """(N,) int64: how many candidates come before the text's own image; 0 where it is the first."""
    own_score: Tensor
    """(N,) float32, the same number for the own image, which need not be a candidate."""

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
            contrast = model.contrast(model(batch, read_batch=False), batch)
            pair = contrast.texts.float().cpu(), contrast.images.float().cpu()
            if not len(texts):
                texts, images = (torch.empty(len(data), vectors.shape[1]) for vectors in pair)
            texts[indices], images[indices] = pair
            bar.update(len(indices))
    return texts, images


@dataclass(frozen=True)
class Hubs:
    """How unevenly the mined places fall on the images: a hub is an image that very many texts mine."""

    skewness: float
    """Of N_k, the number of texts that mine an image, over all images (Radovanović et al. 2010, S_{N_k}); 0 where all
    are mined equally often."""
    top_ten: float
    """Share of all mined places that the ten most mined images fill, in [0, 1]."""


def hubs(index: Tensor, images: int, candidates: Tensor | None = None) -> Hubs:
    """Count how often each image is mined.

    Args:
        index: the mined images by their numbers, in any shape, such as `Mined.index`; negative ones are left out.
        images: how many there are; those that nobody mines count as 0.
        candidates: (images,) bool, those that may be mined; all by default.
    """
    counts = torch.bincount(index[index >= 0], minlength=images)
    return _hubs(counts if candidates is None else counts[candidates])


def hubs_by_chance(texts: Tensor, share: Tensor, draws: int = 100) -> Hubs:
    """What `hubs` gives on average if each text mines at random, which is not even either; always the same draws.

    Args:
        texts, share: (M,) for each image, how many texts may mine it, and with what probability each of them does.
    """
    random = np.random.RandomState(0)
    drawn = [_hubs(torch.from_numpy(random.binomial(texts.numpy(), share.numpy()))) for _ in range(draws)]
    return Hubs(*(float(np.mean([getattr(one, f.name) for one in drawn])) for f in fields(Hubs)))


def _hubs(counts: Tensor) -> Hubs:
    """(M,) → both measures; NaN without an image, or without any that is mined."""
    away = counts.double() - counts.double().mean()
    spread = away.square().mean() ** 1.5
    skewness = 0.0 if len(counts) and not spread else float((away**3).mean() / spread)
    return Hubs(skewness, float(counts.sort(descending=True).values[:10].sum().double() / counts.sum()))


@torch.no_grad()
def mine_split(
    texts: Tensor,
    images: Tensor,
    k: int,
    candidates: Tensor | None = None,
    chunk: int = 1024,
    csls: int = 0,
    bias: Callable[[slice], Tensor] | None = None,
) -> Mined:
    """The K most relevant images of each text among all images of a split, exactly (eqs 14-15).

    The cosines are computed in float64 and rounded to float32, so that neither the order of a sum nor `chunk`
    decides between two images; of equally relevant ones the earlier comes first. One chunk × N matrix of float32
    is all that is kept besides the result; with `csls` also that many numbers for each text and image, and the
    cosines are computed twice.

    Args:
        texts: (N, d).
        images: (N, d); image i is text i's own.
        k: K. A text's own image may be one of them.
        candidates: (N,) bool, the images that may be mined; all by default.
        chunk: texts compared at once.
        csls: rank by CSLS instead of the cosine (`mgips.model.contrastive.csls`), with this many neighbours; 0 is off.
            A text's neighbours are candidates, an image's are any texts.
        bias: gives for a slice of the texts, of at most `ROWS`, what is added before ranking to the cosines (to the
            CSLS values with `csls`): (rows, N) float64, such as a penalty for distance in time; -inf excludes an
            image. A row must not depend on which others are asked for with it.

    Raises:
        ConfigError: K exceeds the candidates, naming both; not one image a text; or `csls` is negative.
    """
    if texts.shape != images.shape:
        raise ConfigError(f"There are {len(texts)} texts and {len(images)} images; give each text its own image.")
    count = _check_k(k, len(images), candidates)
    if chunk < 1:
        raise ConfigError(f"chunk is {chunk}; compare at least one text at a time.")
    if csls < 0:
        raise ConfigError(f"csls is {csls}; give the number of neighbours to average over, or 0 to rank by cosines.")
    index = torch.empty(len(texts), k, dtype=torch.int64)
    score = torch.empty(len(texts), k)
    own_rank = torch.empty(len(texts), dtype=torch.int64)
    own_score = torch.empty(len(texts))
    places = torch.arange(len(images))
    buffer = torch.empty(min(chunk, len(texts)), len(images))  # every chunk's scores in turn
    near = _neighbourhoods(texts, images, csls, count, candidates, buffer) if csls else None
    for start in range(0, len(texts), chunk):
        scores = _cosines(texts[start : start + chunk], images, buffer)  # (chunk, N)
        for first in range(0, len(scores), ROWS):  # keeps the extra memory for sorting small
            rows = slice(start + first, start + min(first + ROWS, len(scores)))
            some = scores[first : first + ROWS]
            if near is not None:
                some.copy_(2 * some.double() - near[0][rows, None] - near[1])  # rounds
            if bias is not None:
                some.copy_(some.double() + bias(rows))
            own_score[rows] = some.diagonal(rows.start)
            if candidates is not None:
                some.masked_fill_(~candidates, -torch.inf)
            index[rows] = best(some, k)
            score[rows] = some.gather(1, index[rows])
            own = own_score[rows, None]
            before = (some == own) & (places < torch.arange(rows.start, rows.stop)[:, None])
            own_rank[rows] = (((some > own) | before) & (some > -torch.inf)).sum(1)
    return Mined(index.masked_fill_(score == -torch.inf, -1), score, own_rank, own_score)


def _cosines(texts: Tensor, images: Tensor, buffer: Tensor) -> Tensor:
    """(n, d), (N, d) → the first n rows of the buffer, (n, N) float32, filled block by block."""
    scores = buffer[: len(texts)]
    for first in range(0, len(texts), BLOCK):
        block = F.normalize(texts[first : first + BLOCK].double(), dim=-1)
        for left in range(0, len(images), BLOCK):
            right = F.normalize(images[left : left + BLOCK].double(), dim=-1)
            scores[first : first + BLOCK, left : left + BLOCK] = block @ right.T  # rounds
    return scores


def _neighbourhoods(
    texts: Tensor, images: Tensor, neighbours: int, count: int, candidates: Tensor | None, buffer: Tensor
) -> tuple[Tensor, Tensor]:
    """r_i of every text and r_j of every image (MUSE's `get_nn_avg_dist`): (N,) and (N,) float64, whatever the chunk."""
    of_texts = torch.empty(len(texts), min(neighbours, count))
    of_images = torch.empty(0, len(images))
    for start in range(0, len(texts), len(buffer)):
        scores = _cosines(texts[start : start + len(buffer)], images, buffer)  # (chunk, N)
        highest = torch.empty(min(neighbours, start + len(scores)), len(images))
        for left in range(0, len(images), BLOCK):
            columns = slice(left, left + BLOCK)
            seen = torch.cat([of_images[:, columns], scores[:, columns]])
            highest[:, columns] = seen.topk(len(highest), dim=0).values
        of_images = highest
        if candidates is not None:
            scores.masked_fill_(~candidates, -torch.inf)
        for first in range(0, len(scores), ROWS):
            rows = slice(start + first, start + min(first + ROWS, len(scores)))
            of_texts[rows] = scores[first : first + ROWS].topk(of_texts.shape[1]).values
    return of_texts.double().mean(1), of_images.double().mean(0)


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
    csls: int = 0,
) -> Mined:
    """Mine a whole split with a model, at least K_MAX deep where there are that many images; once, with a cache.

    Args:
        data: the split, tokenized and decoded for this model.
        k: K; the result holds the best K.
        cache: a folder to keep the result in, such as the run's. A file there is named by the weights, the
            settings and the data, so it is never used for others.
        csls: rank by CSLS with this many neighbours, see `mine_split`; 0 leaves it to the model's own setting.

    Raises:
        ConfigError: a model without a contrastive part, or fewer than K images.
    """
    if not model.config.relates or model.image_embedding is None:
        raise ConfigError(MINES_NOTHING)
    csls = csls or CSLS_NEIGHBOURS * model.config.csls
    missing_too = model.config.mine_missing and model.reader is None  # nobody reads a missing picture
    candidates = None if missing_too else data.has_image
    count = _check_k(k, len(data), candidates)
    file = Path(cache) / f"mined-{fingerprint(model, data, csls)}.safetensors" if cache else None
    mined = load_mined(file, len(data)) if file else None
    if mined is None or mined.k < k:
        texts, images = contrast_vectors(model, data, batch_size, progress)
        mined = mine_split(texts, images, min(max(k, K_MAX), count), candidates, csls=csls, bias=by_time(model, data))
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
    pictured = data.has_image
    if model.config.relates and pictured.sum() < 2:
        raise ConfigError("Fewer than two posts have a picture, so there is no other post's to mine.")
    vectors = contrast_vectors(model, data, progress=progress)
    best = mine_split(*vectors, k=2, candidates=pictured, bias=by_time(model, data)).index  # (N, 2)
    own = best[:, 0] == torch.arange(len(best))
    return torch.where(own, best[:, 1], best[:, 0]).numpy()


def by_time(model: MGIPS, data: TweetDataset) -> Callable[[slice], Tensor] | None:
    """What distance in time takes from the relevance, for a model that reads and has learned it; a `bias`."""
    reader = model.reader
    if reader is None or reader.time is None:
        return None
    times = torch.tensor([tweet.time for tweet in data.tweets], dtype=torch.float64, device=reader.time.device)

    def bias(rows: slice) -> Tensor:
        with torch.no_grad():
            penalty = reader.penalty(times[rows], times)
        assert penalty is not None
        return -penalty.double().cpu()

    return bias


def fingerprint(model: MGIPS, data: TweetDataset, csls: int = 0) -> str:
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
    if data.captions is not None:
        digest.update(data.captions[0].numpy().tobytes())
    if model.reader is not None:
        digest.update(repr([tweet.time for tweet in data.tweets]).encode())
    if csls:
        digest.update(f"csls {csls}".encode())
    return digest.hexdigest()[:16]


def load_mined(file: Path, count: int) -> Mined | None:
    """A kept result for `count` texts; None where there is none, or a damaged one."""
    try:
        kept = Mined(**load(file.read_bytes()))
    except (OSError, SafetensorError, TypeError):
        return None
    return kept if kept.index.ndim == 2 and len(kept.index) == len(kept.own_rank) == count else None
