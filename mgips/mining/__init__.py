"""Implicit positives of a whole split or of millions of posts, mined exactly or approximately (§3.4, eqs 14-15)."""

from mgips.mining.encode import EncodedFolder, encode_into
from mgips.mining.exact import best
from mgips.mining.result import Mined, MinedFolder, save_mined
from mgips.mining.split import (
    K_MAX,
    MINES_NOTHING,
    Hubs,
    best_of_others,
    by_time,
    contrast_vectors,
    fingerprint,
    hubs,
    hubs_by_chance,
    load_mined,
    mine_dataset,
)
from mgips.mining.streamed import mine_into, mine_split

__all__ = [
    "K_MAX",
    "MINES_NOTHING",
    "EncodedFolder",
    "Hubs",
    "Mined",
    "MinedFolder",
    "best",
    "best_of_others",
    "by_time",
    "contrast_vectors",
    "encode_into",
    "fingerprint",
    "hubs",
    "hubs_by_chance",
    "load_mined",
    "mine_dataset",
    "mine_into",
    "mine_split",
    "save_mined",
]
