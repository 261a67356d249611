"""§3.2: the mutual-attention encoder (eqs 2-4).

Layer l + 1 of each tower attends over [the other tower's keys and values of layer l ; its own]:

    Q^t = H^t W^q,   K^t = [K_l^v, H^t W^k],   V^t = [V_l^v, H^t W^v]        (2)
    l = 0: the other tower's embeddings stand in for its keys and values      (3)
    H_{l+1} = Attn(Q, K, V)                                                  (4)

Eq. 2 prints `Q^t = H^v W^q`; eq. 3 shows that the text's queries come from the text, and so it is here. Both sides
read layer-l quantities only, so the order of the two does not matter. Keys and values are handed across as computed:
nothing is projected twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mgips.model.encoders import Layers, split_heads

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, (B, heads, positions, d / heads) each."""


@dataclass
class LayerAttention:
    """Attention weights of one layer, after the softmax. Keys come as in eq. 2: the other side's first."""

    text: Tensor
    """(B, heads, n, m + n): text queries over [image ; text]; (B, heads, n, n) with the exchange off."""
    image: Tensor | None
    """(B, heads, m, n + m): image queries over [text ; image]; (B, heads, m, m) with the exchange off."""


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, dropout: float, weights: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention.

    Fused kernels do not return attention weights, so with `weights` they are computed explicitly; the result is the
    same up to rounding.

    Args:
        queries: (B, heads, q, e).
        keys, values: (B, heads, k, e).
        mask: (B, 1, 1, k) or (B, 1, q, k) bool, True where a key may be attended to.

    Returns:
        The context (B, heads, q, e), and the weights (B, heads, q, k) or None.
    """
    if not weights:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout), None
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    attention = scores.float().masked_fill(~mask, float("-inf")).softmax(-1).to(values.dtype)
    return F.dropout(attention, dropout) @ values, attention


class MutualAttentionEncoder(nn.Module):
    """Two pretrained towers side by side, layer by layer. With the exchange off they equal the plain encoders.

    Attributes: `gradient_checkpointing`, whether training keeps only what goes into each layer and comes out of it, and
    computes the rest a second time in the backward pass, with the same dropout.
    """

    def __init__(self, text: Layers, image: Layers | None) -> None:
        super().__init__()
        self.text = text
        self.image = image
        self.gradient_checkpointing = False

    def forward(
        self,
        text: Tensor,
        image: Tensor | None,
        text_mask: Tensor,
        exchange: bool = True,
        attention: bool = False,
        image_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, list[LayerAttention]]:
        """The last hidden states of both towers, H^t (B, n, d) and H^v (B, m, d), and each layer's attention.

        Args:
            text: S^e, (B, n, d).
            image: V^e, (B, m, d), or None for the text tower alone.
            text_mask: (B, n) bool, False on padding, which no position of either side attends to.
            exchange: off for two towers that do not meet.
            attention: also return each layer's attention weights.
            image_mask: (B, m) bool, the same for the image side; by default all of it is there.
        """
        trace: list[LayerAttention] = []
        text_visible = text_mask[:, None, None, :]  # (B, 1, 1, n)
        if image is None or self.image is None:
            for index in range(len(self.text)):
                text, _, weights = self._run(self.text, index, text, text_visible, None, None, attention)
                trace += [LayerAttention(weights, None)] if weights is not None else []
            return text, None, trace

        if image_mask is None:
            image_mask = text_mask.new_ones(image.shape[:2])
        image_visible = image_mask[:, None, None, :]  # (B, 1, 1, m)
        text_kv = image_kv = None
        if exchange:  # eq. 3: the embeddings stand in for both
            text_heads, image_heads = split_heads(text, self.text.heads), split_heads(image, self.image.heads)
            text_kv, image_kv = (text_heads, text_heads), (image_heads, image_heads)
        for index in range(len(self.text)):
            text, next_text_kv, text_weights = self._run(
                self.text, index, text, text_visible, image_kv, image_visible, attention
            )
            image, next_image_kv, image_weights = self._run(
                self.image, index, image, image_visible, text_kv, text_visible, attention
            )
            if exchange:
                text_kv, image_kv = next_text_kv, next_image_kv
            trace += [LayerAttention(text_weights, image_weights)] if text_weights is not None else []
        return text, image, trace

    def alone(self, tower: Layers, hidden: Tensor, mask: Tensor) -> Tensor:
        """One tower that meets no other: (B, p, d) and (B, p) bool → its last hidden states, (B, p, d)."""
        for index in range(len(tower)):
            hidden, _, _ = self._run(tower, index, hidden, mask[:, None, None, :], None, None, False)
        return hidden

    def _run(self, *arguments: Any) -> tuple[Tensor, KeysValues, Tensor | None]:
        """`layer`, computed again in the backward pass where that is asked for."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(self.layer, *arguments, use_reentrant=False)
        return self.layer(*arguments)

    def layer(
        self,
        tower: Layers,
        index: int,
        hidden: Tensor,
        visible: Tensor,
        other: KeysValues | None,
        other_visible: Tensor | None,
        attention: bool,
    ) -> tuple[Tensor, KeysValues, Tensor | None]:
        """One layer of one tower (eqs 2 and 4): its output, its own keys and values, and its attention or None."""
        queries, keys, values = tower.project(index, hidden)
        own = keys, values
        visible = tower.visible(index, visible)
        if other is not None and other_visible is not None:
            keys, values = torch.cat([other[0], keys], 2), torch.cat([other[1], values], 2)  # eq. 2
            visible = torch.cat([other_visible.expand(-1, -1, visible.shape[2], -1), visible], -1)
        dropout = tower.attention_dropout if self.training else 0.0
        context, weights = attend(queries, keys, values, visible, dropout, attention)
        return tower.finish(index, hidden, context), own, weights
