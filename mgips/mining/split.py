"""Implicit positives of a whole split with a model: its vectors, what is mined of them, and how evenly."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mgips.data.batch import TweetDataset, evaluation_batches
from mgips.errors import ConfigError, DataError
from mgips.files import read_tensors, with_checksum, write_atomically
from mgips.mining.result import Mined
from mgips.mining.streamed import check_k, mine_split
from mgips.model.contrastive import CSLS_NEIGHBOURS
from mgips.model.mgips import MGIPS, MINES_NOTHING
from mgips.model.pretrained import weights_hash

K_MAX = 20
"""Images mined per text where a split is mined once, to be looked at with any smaller K."""


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
    candidates, own_csls = settings_of(model, data.has_image)
    csls = csls or own_csls
    count = check_k(k, len(data), candidates)
    file = Path(cache) / f"mined-{fingerprint(model, data, csls)}.safetensors" if cache else None
    mined = load_mined(file, len(data)) if file else None
    if mined is None or mined.k < k:
        texts, images = contrast_vectors(model, data, batch_size, progress)
        mined = mine_split(texts, images, min(max(k, K_MAX), count), candidates, csls=csls, bias=by_time(model, data))
        if file:
            try:
                write_atomically(file, with_checksum({f.name: getattr(mined, f.name) for f in fields(Mined)}))
            except DataError as error:
                warnings.warn(f"What was mined is not kept: {error}", stacklevel=2)
    return mined.top(k)


def settings_of(model: MGIPS, has_image: Tensor) -> tuple[Tensor | None, int]:
    """What a model's settings say of mining a split of N posts: the candidates, (N,) bool or None for all, and the number
    of CSLS's neighbours, 0 where it ranks by cosines.

    Args:
        has_image: (N,) bool, whose picture is there.

    Raises:
        ConfigError: a model without a contrastive part.
    """
    if not model.config.relates or model.image_embedding is None:
        raise ConfigError(MINES_NOTHING)
    missing_too = model.config.mine_missing and model.reader is None  # nobody reads a missing picture
    return None if missing_too else has_image, CSLS_NEIGHBOURS * model.config.csls


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


def by_time(model: MGIPS, data: TweetDataset | Tensor) -> Callable[[slice], Tensor] | None:
    """What distance in time takes from the relevance, for a model that reads and has learned it; a `bias`.

    Args:
        data: N posts, or their times, (N,) in days.
    """
    reader = model.reader
    if reader is None or reader.time is None:
        return None
    days = (
        data if isinstance(data, Tensor) else torch.tensor([tweet.time for tweet in data.tweets], dtype=torch.float64)
    )
    times = days.to(reader.time.device, torch.float64)

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
        for shard in data.crops.shards:  # a file of crops is named by its content
            digest.update((shard.name if isinstance(shard, Path) else str(zlib.crc32(shard.tobytes()))).encode())
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
        kept = Mined(**read_tensors(file)[0])
    except (DataError, TypeError):
        return None
    return kept if kept.index.ndim == 2 and len(kept.index) == len(kept.own_rank) == count else None
