"""§3.2: the mutual-attention encoder (eqs 2-4).

Layer l + 1 of each tower attends over [the other tower's keys and values of layer l ; its own]:

    Q^t = H^t W^q,   K^t = [K_l^v, H^t W^k],   V^t = [V_l^v, H^t W^v]        (2)
    l = 0: the other tower's embeddings stand in for its keys and values      (3)
    H_{l+1} = Attn(Q, K, V)                                                  (4)

Eq. 2 prints `Q^t = H^v W^q`; eq. 3 shows that the text's queries come from the text, and so it is here.
Both sides read layer-l quantities only, so neither goes first. Keys and values that a tower has computed
are handed across as they are: nothing is projected twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.model.encoders import ImageLayers, TextLayers, split_heads


@dataclass
class LayerAttention:
    """Attention of one layer, after its softmax. Keys come as in eq. 2: the other side's first."""

    text: Tensor
    """(B, heads, n, m + n): text queries over [image ; text]; (B, heads, n, n) with the exchange off."""
    image: Tensor | None
    """(B, heads, m, n + m): image queries over [text ; image]; (B, heads, m, m) with it off."""


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, dropout: float, weights: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention: (B, heads, q, e), (B, heads, k, e) twice, mask (B, 1, 1, k) True = visible.

    Returns the context (B, heads, q, e) and, if asked for, the attention (B, heads, q, k): fused kernels
    keep theirs to themselves, so it is then computed in the open, with the same result to rounding.
    """
    if not weights:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout), None
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    attention = scores.float().masked_fill(~mask, float("-inf")).softmax(-1).to(values.dtype)
    return F.dropout(attention, dropout) @ values, attention


class MutualAttentionEncoder(nn.Module):
    """Two pretrained towers, layer by layer side by side; with the exchange off, exactly themselves."""

    def __init__(self, text: TextLayers, image: ImageLayers | None) -> None:
        super().__init__()
        self.text = text
        self.image = image

    def forward(
        self,
        text: Tensor,
        image: Tensor | None,
        text_mask: Tensor,
        exchange: bool = True,
        attention: bool = False,
        image_sees: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, list[LayerAttention]]:
        """Both towers' last hidden states, H^t (B, n, d) and H^v (B, m, d).

        Args:
            text: S^e, (B, n, d).
            image: V^e, (B, m, d), or None for the text tower alone.
            text_mask: (B, n) bool, False on padding, which nobody attends to, on either side.
            exchange: off for two towers that do not meet.
            attention: also return each layer's attention.
            image_sees: (B, n) bool, the text positions that image queries see; `text_mask` by default.
        """
        exchange = exchange and image is not None
        see_text = text_mask[:, None, None, :]  # (B, 1, 1, n)
        image_sees_text = see_text if image_sees is None else image_sees[:, None, None, :]
        see_image = None if image is None else text_mask.new_ones(len(image), 1, 1, image.shape[1])  # (B, 1, 1, m)
        text_keys = text_values = split_heads(text, self.text.heads)  # eq. 3: the raw embeddings
        image_keys = image_values = None if image is None else split_heads(image, self.image.heads)
        trace: list[LayerAttention] = []
        for index in range(len(self.text)):
            q, own_keys, own_values = self.text.project(index, text)
            if exchange:
                k, v = torch.cat([image_keys, own_keys], 2), torch.cat([image_values, own_values], 2)  # eq. 2
                mask = torch.cat([see_image, see_text], -1)
            else:
                k, v, mask = own_keys, own_values, see_text
            dropout = self.text.attention_dropout if self.training else 0.0
            context, text_attention = attend(q, k, v, mask, dropout, attention)
            next_text = self.text.finish(index, text, context)

            image_attention = None
            if image is not None:
                q, k, v = self.image.project(index, image)
                mask, own = see_image, (k, v)
                if exchange:
                    k, v = torch.cat([text_keys, k], 2), torch.cat([text_values, v], 2)
                    mask = torch.cat([image_sees_text, see_image], -1)
                dropout = self.image.attention_dropout if self.training else 0.0
                context, image_attention = attend(q, k, v, mask, dropout, attention)
                image = self.image.finish(index, image, context)
                image_keys, image_values = own
            text, text_keys, text_values = next_text, own_keys, own_values
            if attention:
                trace.append(LayerAttention(text_attention, image_attention))
        return text, image, trace
