"""§3.1: textual and visual embedding (eq. 1).

The towers start here: word pieces become S^e (B, n, d), three crops become V^e (B, m, d). Beyond the paper, a caption
may stand for the picture: its word pieces then become V^e.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.data.batch import CAPTION_PIECES, Batch
from mgips.data.pictures import CLIP_MEAN, CLIP_STD


class TextEmbedding(nn.Module):
    """Eq. 1, `S^e = S + S_position + S_segment`, by BERT's own layer (with its norm and dropout)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.bert = model.embeddings

    def forward(self, batch: Batch) -> Tensor:
        """The batch's word pieces, (B, n), as S^e, (B, n, d)."""
        return self.bert(input_ids=batch.pieces)


class CaptionEmbedding(nn.Module):
    """Beyond the paper: a caption's word pieces as V^e, by the embedding layer of a second BERT."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.bert = model.embeddings
        self.length = CAPTION_PIECES  # m

    def forward(self, captions: Tensor) -> Tensor:
        """(B, m) int64 → (B, m, d)."""
        return self.bert(input_ids=captions)


class ImageEmbedding(nn.Module):
    """§3.1.2: crops to patches, a class embedding in front, one learned position for each of the m.

    The patch convolution, the class embedding and the pre-norm are CLIP's. Its table of 7 × 7 positions
    is resized bicubically to one crop's grid, and each crop starts from a copy of it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, crops: int, crop_size: int) -> None:
        super().__init__()
        clip = model.embeddings
        self.patches = clip.patch_embedding
        self.class_embedding = clip.class_embedding
        self.norm = model.pre_layrnorm
        grid = crop_size // model.config.patch_size
        self.positions = nn.Parameter(crop_positions(clip.position_embedding.weight.detach(), crops, grid))  # (m, d)
        self.length = len(self.positions)  # m
        self.register_buffer("mean", 255 * torch.tensor(CLIP_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(CLIP_STD).view(3, 1, 1), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """(B, crops, side, side, 3) uint8 → (B, m, d), m = 1 + crops × grid × grid."""
        pixels = crops.flatten(0, 1).permute(0, 3, 1, 2)  # (B × crops, 3, side, side)
        pixels = (pixels.float() - self.mean) / self.std
        patches = self.patches(pixels).flatten(2).transpose(1, 2)  # (B × crops, grid², d)
        patches = patches.unflatten(0, crops.shape[:2]).flatten(1, 2)  # (B, crops × grid², d)
        first = self.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
        return self.norm(torch.cat([first, patches], dim=1) + self.positions)  # (B, m, d)


def crop_positions(table: Tensor, crops: int, grid: int) -> Tensor:
    """CLIP's position table (1 + side², d) → (1 + crops × grid², d): resized once, repeated per crop."""
    first, rest = table[:1], table[1:]
    side = round(len(rest) ** 0.5)
    if side != grid:
        square = rest.T.reshape(1, -1, side, side)  # (1, d, side, side)
        square = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
        rest = square.flatten(2)[0].T  # (grid², d)
    return torch.cat([first, rest.repeat(crops, 1)]).clone()
