"""§3.3: the multi-granularity interweave module (eqs 5-13).

    M   = f1(Linear1(source)) ⊙ f2(Linear2(guide))                 (5)
    M_C = softmax(M · w3) over tokens,  M_F = softmax(Mᵀ · w4) over features   (6)
    V_F = M_F ⊙ f1(Linear1(source)),    V_C = M_C ⊙ f1(Linear1(source))        (7)
    MGE(guide, source) = f3(V_F + V_C)                             (8, 9)
    X_l = X_{l-1} + MGE(X_{l-1}, T_{l-1})                          (10)
    T_l = T_{l-1} + MGE(T_{l-1}, X_l)                              (11)
    I   = σ(W1 T + W2 H + b),   z = I ⊙ H + (1 - I) ⊙ T            (12, 13)

Eq. 6 prints w4 ∈ R^d and a softmax over an axis of length one, which is 1 whatever M is. Here w4 ∈ R^n
acts on M's columns and the softmax runs over the d features; `column_weights="printed"` keeps the
printed form, whose weights are constant and never trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def row_weights(m: Tensor, w: Tensor, mask: Tensor) -> Tensor:
    """Row-grained weights, eq. 6 first line: softmax over tokens of M · w3.

    Args:
        m: M, (B, n, d).
        w: w3, (d,).
        mask: (B, n) bool, False on padding.

    Returns:
        (B, n, 1), float32, summing to 1 over a tweet's tokens and 0 on padding.
    """
    scores = (m @ w.to(m.dtype)).float().masked_fill(~mask, torch.finfo(torch.float32).min)  # (B, n)
    return (scores.softmax(-1) * mask).unsqueeze(-1)


def column_weights(m: Tensor, w: Tensor, mask: Tensor) -> Tensor:
    """Column-grained weights, eq. 6 second line as READ here: softmax over features of Mᵀ · w4.

    Args:
        m: M, (B, n, d).
        w: w4, at least n numbers (one per text position; the first n are used).
        mask: (B, n) bool; padding contributes zero.

    Returns:
        (B, 1, d), float32, summing to 1 over the features.
    """
    w = (w[: m.shape[1]] * mask).to(m.dtype)  # (B, n)
    return torch.einsum("bnd,bn->bd", m, w).float().softmax(-1).unsqueeze(1)


def printed_column_weights(m: Tensor, w: Tensor) -> Tensor:
    """Eq. 6 second line as PRINTED: softmax over the one column of M · M4, M4 ∈ R^{d×1}. Always 1.

    (B, n, d), (d,) → (B, n, 1).
    """
    return (m @ w.to(m.dtype)).float().unsqueeze(-1).softmax(dim=-1)


@dataclass
class MGEWeights:
    """The weights of one pass through an MGE."""

    guide: Literal["image", "text"]
    row: Tensor | None
    """(B, n, 1) per token, before any rescaling."""
    column: Tensor | None
    """(B, 1, d) per feature, before any rescaling; (B, n, 1) as printed."""
    matrix: Tensor
    """M of eq. 5, (B, n, d)."""


class LengthMap(nn.Module):
    """f1, f2 or f3's change of length: a learned linear map over positions, (B, p, d) → (B, q, d).

    Built for the longest text; a shorter batch uses the map's first rows or columns, so that how far a
    batch is padded changes nothing.
    """

    def __init__(self, positions: int, to: int) -> None:
        super().__init__()
        self.linear = nn.Linear(positions, to)

    def forward(self, x: Tensor, to: int) -> Tensor:
        weight, bias = self.linear.weight[:to, : x.shape[1]], self.linear.bias[:to]
        return F.linear(x.transpose(1, 2), weight, bias).transpose(1, 2)


class MGE(nn.Module):
    """Multi-granularity excavator, §3.3.1: the source, weighted by token and by feature under the guide.

    f1 and f2 bring both sides to the text's length: the identity for text; for the image a learned map
    over positions, then GELU. f3 brings the result back to the guide's length and is a transformer
    layer's output half.

    Args:
        guide: which side guides; the other is the source.
        d: hidden width.
        n: longest text, in pieces.
        m: image positions.
        row: use row-grained weights.
        column: "feature", "printed" or "off".
        scale: "sum" (weights sum to 1, the paper) or "mean" (weights average 1).
    """

    def __init__(
        self,
        guide: Literal["image", "text"],
        d: int,
        n: int,
        m: int,
        row: bool = True,
        column: Literal["feature", "printed", "off"] = "feature",
        scale: Literal["sum", "mean"] = "sum",
        ffn_ratio: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.guide: Literal["image", "text"] = guide
        self.scale = scale
        self.column = column
        self.linear1 = nn.Linear(d, d)
        self.linear2 = nn.Linear(d, d)
        self.image_to_text = LengthMap(m, n)
        self.text_to_image = LengthMap(n, m) if guide == "image" else None
        self.w3 = nn.Parameter(torch.randn(d) * d**-0.5) if row else None
        size = {"feature": n, "printed": d, "off": 0}[column]
        self.w4 = nn.Parameter(torch.randn(size) * size**-0.5) if size else None
        width = max(1, round(ffn_ratio * d))
        self.project = nn.Sequential(nn.Linear(d, d), nn.Dropout(dropout))
        self.norm1 = nn.LayerNorm(d)
        self.ffn = nn.Sequential(nn.Linear(d, width), nn.GELU(), nn.Linear(width, d), nn.Dropout(dropout))
        self.norm2 = nn.LayerNorm(d)

    def forward(
        self, guide: Tensor, source: Tensor, text_mask: Tensor, image_mask: Tensor | None = None
    ) -> tuple[Tensor, MGEWeights]:
        """`MGE(guide, source)`, eq. 9.

        Args:
            guide: image (B, m, d) and source text (B, n, d), or the other way round.
            text_mask: (B, n) bool, False on padding.
            image_mask: (B, m) bool, False on padding; by default there is none.

        Returns:
            The guide's shape, and the weights of eq. 6.
        """
        n = text_mask.shape[1]
        source, weighing = self.linear1(source), self.linear2(guide)
        if image_mask is not None:  # the map over positions must not see padding
            shown = image_mask.unsqueeze(-1)
            source, weighing = (source, weighing * shown) if self.guide == "image" else (source * shown, weighing)
        if self.guide == "image":
            weighing = F.gelu(self.image_to_text(weighing, n))  # f2: (B, m, d) → (B, n, d)
        else:
            source = F.gelu(self.image_to_text(source, n))  # f1: (B, m, d) → (B, n, d)
        matrix = source * weighing  # eq. 5: (B, n, d)

        row = column = None
        weights = 0.0
        if self.w3 is not None:
            row = row_weights(matrix, self.w3, text_mask)
            # departure by switch: "mean" undoes the 1/n that a softmax over n tokens brings
            weights = weights + (row * text_mask.sum(1)[:, None, None] if self.scale == "mean" else row)
        if self.w4 is not None:
            column = self.column_grained(matrix, self.w4, text_mask)
            rescale = self.scale == "mean" and self.column == "feature"
            weights = weights + (column * column.shape[-1] if rescale else column)
        fused = (weights * text_mask.unsqueeze(-1)).to(source.dtype) * source  # eq. 7, and the sum of eq. 8

        if self.text_to_image is not None:
            fused = self.text_to_image(fused, guide.shape[1])  # f3: (B, n, d) → (B, m, d)
        y = self.norm1(guide + self.project(fused))
        return self.norm2(y + self.ffn(y)), MGEWeights(self.guide, row, column, matrix)

    def column_grained(self, matrix: Tensor, w4: Tensor, text_mask: Tensor) -> Tensor:
        """Eq. 6, second line, as `column` says: (B, n, d) and (B, n) → (B, 1, d), or (B, n, 1) as printed."""
        if self.column == "printed":
            return printed_column_weights(matrix, w4)
        return column_weights(matrix, w4, text_mask)


@dataclass
class Interwoven:
    """The states of both sides, step by step through the interweave encoder."""

    text: list[Tensor]
    """T_0 … T_L, (B, n, d) each."""
    image: list[Tensor]
    """X_0 … X_L and, after the last image-guided pass, X_{L+1}; (B, m, d) each."""
    weights: list[MGEWeights] = field(default_factory=list)
    """One per pass, in order: image, text, image, text, …, image."""


class InterweaveEncoder(nn.Module):
    """§3.3.2, eqs 10-11: L rounds of an image-guided and a text-guided MGE, weights shared across rounds.

    One more image-guided pass ends it, so that image-guided MGEs outnumber text-guided ones by one;
    `last_image_pass=False` leaves it out where nothing reads its result.
    """

    def __init__(self, image_guided: MGE, text_guided: MGE, rounds: int, last_image_pass: bool = True) -> None:
        super().__init__()
        self.image_guided = image_guided
        self.text_guided = text_guided
        self.rounds = rounds
        self.last_image_pass = last_image_pass

    def forward(self, text: Tensor, image: Tensor, text_mask: Tensor, image_mask: Tensor | None = None) -> Interwoven:
        """H^t (B, n, d), H^v (B, m, d), masks (B, n) and (B, m) → every T_l and X_l."""
        walk = Interwoven([text], [image])
        for index in range(self.rounds + 1):
            if index == self.rounds and not self.last_image_pass:
                break
            excavated, weights = self.image_guided(image, text, text_mask, image_mask)
            image = image + excavated  # eq. 10
            walk.image.append(image)
            walk.weights.append(weights)
            if index < self.rounds:
                excavated, weights = self.text_guided(text, image, text_mask, image_mask)
                text = text + excavated  # eq. 11
                walk.text.append(text)
                walk.weights.append(weights)
        return walk


class PrePostGate(nn.Module):
    """§3.3.3, eqs 12-13: how much of the features before fusion (H) and after it (T) goes on."""

    def __init__(self, d: int, kind: Literal["vector", "scalar"] = "vector") -> None:
        super().__init__()
        self.w1 = nn.Linear(d, d if kind == "vector" else 1, bias=False)
        self.w2 = nn.Linear(d, d if kind == "vector" else 1)

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """H (B, p, d), T (B, p, d) → z (B, p, d) and the gate I, (B, p, d) or (B, p, 1), in (0, 1)."""
        gate = torch.sigmoid(self.w1(post) + self.w2(pre))  # eq. 12
        return gate * pre + (1 - gate) * post, gate  # eq. 13
