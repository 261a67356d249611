"""§3.1: textual and visual embedding (eq. 1).

The towers start here: word pieces become S^e (B, n, d), three crops become V^e (B, m, d). Beyond the paper, a caption
may stand for the picture: its word pieces then become V^e.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.data.batch import CAPTION_PIECES, Batch
from mgips.data.pictures import CLIP_MEAN, CLIP_STD


class TextEmbedding(nn.Module):
    """Eq. 1, `S^e = S + S_position + S_segment`, by the encoder's own layer (with its norm and dropout).

    ModernBERT adds neither positions nor segments: its layers rotate.
    """

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
    """§3.1.2: crops to patches, the encoder's own tokens in front, one learned position for each of the m.

    Pixel normalisation, patch convolution, class token (SigLIP has none), register tokens (DINOv3) and pre-norm (CLIP)
    are the encoder's. Its table of positions is resized bicubically to one crop's grid, and each crop starts from a
    copy of it. DINOv3 has no table, since its layers rotate: its positions start at 0, and tell crops apart once learned.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, crops: int, crop_size: int) -> None:
        super().__init__()
        own, kind, d = model.embeddings, model.config.model_type, model.config.hidden_size
        table = registers = None
        if kind == "clip_vision_model":
            patches, token, norm = own.patch_embedding, own.class_embedding, model.pre_layrnorm
            table = own.position_embedding.weight
        elif kind == "siglip_vision_model":
            patches, token, norm = own.patch_embedding, None, nn.Identity()
            table = own.position_embedding.weight
        elif kind == "dinov2":
            patches, token, norm = own.patch_embeddings.projection, nn.Parameter(own.cls_token[0, 0]), nn.Identity()
            table = own.position_embeddings[0]
        else:
            patches, token, norm = own.patch_embeddings, nn.Parameter(own.cls_token[0, 0]), nn.Identity()
            registers = nn.Parameter(own.register_tokens[0]) if model.config.num_register_tokens else None
        self.patches, self.class_embedding, self.registers, self.norm = patches, token, registers, norm
        self.first = (token is not None) + (0 if registers is None else len(registers))
        """Positions in front of the patches."""
        grid = crop_size // model.config.patch_size
        if table is None:
            positions = torch.zeros(self.first + crops * grid**2, d)
        else:
            positions = crop_positions(table.detach(), crops, grid, self.first)
        self.positions = nn.Parameter(positions)  # (m, d)
        self.length = len(self.positions)  # m
        mean, std = pixel_statistics(model.config)
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """(B, crops, side, side, 3) uint8 → (B, m, d), m = tokens in front + crops × grid × grid."""
        pixels = crops.flatten(0, 1).permute(0, 3, 1, 2)  # (B × crops, 3, side, side)
        pixels = (pixels.float() - self.mean) / self.std
        patches = self.patches(pixels).flatten(2).transpose(1, 2)  # (B × crops, grid², d)
        patches = patches.unflatten(0, crops.shape[:2]).flatten(1, 2)  # (B, crops × grid², d)
        tokens = [x.view(-1, x.shape[-1]) for x in (self.class_embedding, self.registers) if x is not None]
        front = [x.to(patches.dtype).expand(patches.shape[0], -1, -1) for x in tokens]
        return self.norm(torch.cat([*front, patches], dim=1) + self.positions)  # (B, m, d)


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
NORMALISATION = {
    "clip_vision_model": (CLIP_MEAN, CLIP_STD),
    "siglip_vision_model": HALF,
    "dinov2": IMAGENET,
    "dinov3_vit": IMAGENET,
}
"""Mean and standard deviation of each channel, of pixels in [0, 1], by which each kind of encoder was trained."""


def pixel_statistics(config: Any) -> tuple[Sequence[float], Sequence[float]]:
    """An image encoder's mean and standard deviation of each channel: those in its configuration, else its kind's."""
    mean, std = NORMALISATION[config.model_type]
    return getattr(config, "image_mean", None) or mean, getattr(config, "image_std", None) or std


def crop_positions(table: Tensor, crops: int, grid: int, first: int = 1) -> Tensor:
    """A position table (first + side², d) → (first + crops × grid², d): resized once, repeated per crop.

    Args:
        first: rows for positions in front of the patches, which stay as they are.
    """
    front, rest = table[:first], table[first:]
    side = round(len(rest) ** 0.5)
    if side != grid:
        square = rest.T.reshape(1, -1, side, side)  # (1, d, side, side)
        square = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
        rest = square.flatten(2)[0].T  # (grid², d)
    return torch.cat([front, rest.repeat(crops, 1)]).clone()
