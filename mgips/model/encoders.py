"""Hugging Face's encoders taken apart, so that a text and an image encoder can meet layer by layer (§3.2).

Mutual attention changes only the attention call of a pretrained layer, so each tower offers a layer's two halves:
`project` (hidden states to queries, keys, values) and `finish` (attention's result to the layer's output), both
computed by the pretrained modules themselves. One adapter serves each pattern of layers:

    text    BertLayers          BERT, RoBERTa, BERTweet, XLM-R
            ModernBertLayers    ModernBERT
    image   ClipLayers          CLIP, SigLIP, SigLIP 2
            DinoLayers          DINOv2
            Dinov3Layers        DINOv3

The last norm. Without the exchange a tower's output is the `last_hidden_state` of the Hugging Face model. SigLIP, DINO
and ModernBERT norm that state, so the norm is the end of their last layer. CLIP does not: its post_layernorm feeds the
pooled output alone, and is left out.

Rotary positions (ModernBERT, DINOv3). A tower turns its own queries and keys by their positions, and its keys cross
turned, as eq. 2 takes them. Positions of the other side are met as the tower meets its own class token, which is not
turned: DINOv3 leaves its class and register tokens as they are, and ModernBERT's [CLS] stands at position 0. So no
distance between a word and a patch is invented. DeBERTa scores every pair by such a distance, and is refused.

A first layer attends to the other side's embeddings as they are (eq. 3). BERT's and CLIP's have passed a norm;
SigLIP's and DINO's have none at that place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.data.crops import CROPS
from mgips.errors import ConfigError

QKV = tuple[Tensor, Tensor, Tensor]
Encoder = Any
"""A Hugging Face encoder. Its parts are modules that are read by name, which types cannot follow."""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, p, d) → (B, heads, p, d / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, p, d / heads) → (B, p, d)."""
    return x.transpose(1, 2).flatten(2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: (B, heads, p, e), turned by angles whose cosine and sine are (p, e)."""
    first, second = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)


class Layers(nn.Module):
    """A tower: the layers of one encoder, each in two halves."""

    def __init__(
        self, layers: Iterable[nn.Module], heads: int, attention_dropout: float, norm: nn.Module | None = None
    ) -> None:
        """
        Args:
            layers: the encoder's own; their parameters are named by their index.
            heads: attention heads of each layer.
            attention_dropout: on attention weights, while training.
            norm: what the output of the last layer passes, where the family has it so.
        """
        super().__init__()
        self.depth = 0
        for layer in layers:
            self.add_module(str(self.depth), layer)
            self.depth += 1
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.norm = norm

    def __len__(self) -> int:
        return self.depth

    def __getitem__(self, index: int) -> Any:
        return self._modules[str(range(self.depth)[index])]

    def project(self, index: int, hidden: Tensor) -> QKV:
        """Queries, keys and values of layer `index`: (B, p, d) → three of (B, heads, p, d / heads)."""
        raise NotImplementedError

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        """The rest of layer `index`, from its input (B, p, d) and its attention's result (B, heads, p, d / heads)."""
        raise NotImplementedError

    def visible(self, index: int, mask: Tensor) -> Tensor:
        """Which of the tower's own positions layer `index` attends to: (B, 1, 1, p) bool, False on padding → the same,
        or (B, 1, p, p) where it depends on the position that asks."""
        return mask

    def _split(self, queries: Tensor, keys: Tensor, values: Tensor) -> QKV:
        return split_heads(queries, self.heads), split_heads(keys, self.heads), split_heads(values, self.heads)

    def _out(self, index: int, hidden: Tensor) -> Tensor:
        return self.norm(hidden) if self.norm is not None and index == self.depth - 1 else hidden


class BertLayers(Layers):
    """BERT's layers (post-norm): attention, add and norm, feed-forward, add and norm."""

    def __init__(self, model: Encoder) -> None:
        config = model.config
        super().__init__(model.encoder.layer, config.num_attention_heads, config.attention_probs_dropout_prob)

    def project(self, index: int, hidden: Tensor) -> QKV:
        attention = self[index].attention.self
        return self._split(attention.query(hidden), attention.key(hidden), attention.value(hidden))

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        layer = self[index]
        attended = layer.attention.output(merge_heads(context), hidden)
        return layer.output(layer.intermediate(attended), attended)


class ModernBertLayers(Layers):
    """ModernBERT's layers (pre-norm): rotary positions, and two of three layers that see only near words.

    The window holds between words. A near-sighted layer sees all of the other side, which has no place in the text.
    """

    def __init__(self, model: Encoder) -> None:
        config = model.config
        super().__init__(model.layers, config.num_attention_heads, config.attention_dropout, model.final_norm)
        self.rotary = model.rotary_emb
        self.window: int = config.sliding_window

    def project(self, index: int, hidden: Tensor) -> QKV:
        layer = self[index]
        q, k, v = self._split(*layer.attn.Wqkv(layer.attn_norm(hidden)).chunk(3, -1))
        places = torch.arange(hidden.shape[1], device=hidden.device).unsqueeze(0)
        cos, sin = self.rotary(hidden, places, layer.attention_type)  # (1, n, e)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        layer = self[index]
        attended = hidden + layer.attn.out_drop(layer.attn.Wo(merge_heads(context)))
        return self._out(index, attended + layer.mlp(layer.mlp_norm(attended)))

    def visible(self, index: int, mask: Tensor) -> Tensor:
        if self[index].attention_type == "full_attention":
            return mask
        places = torch.arange(mask.shape[-1], device=mask.device)
        distance = (places[:, None] - places).abs()
        # Every position sees itself: padding far from all words would have nothing to attend to.
        return mask & (distance <= self.window) | (distance == 0)


class ClipLayers(Layers):
    """CLIP's and SigLIP's layers (pre-norm): norm, attention, add; norm, feed-forward, add."""

    def __init__(self, model: Encoder, crops: int = CROPS) -> None:
        config = model.config
        norm = model.post_layernorm if config.model_type == "siglip_vision_model" else None
        super().__init__(model.encoder.layers, config.num_attention_heads, config.attention_dropout, norm)

    def project(self, index: int, hidden: Tensor) -> QKV:
        layer = self[index]
        normed, attention = layer.layer_norm1(hidden), layer.self_attn
        return self._split(attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed))

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        layer = self[index]
        attended = hidden + layer.self_attn.out_proj(merge_heads(context))
        return self._out(index, attended + layer.mlp(layer.layer_norm2(attended)))


class DinoLayers(Layers):
    """DINO's layers (pre-norm): as CLIP's, and what each half adds is scaled by feature. The feed-forward may be gated."""

    def __init__(self, model: Encoder, crops: int = CROPS) -> None:
        config = model.config
        super().__init__(
            model.encoder.layer, config.num_attention_heads, config.attention_probs_dropout_prob, model.layernorm
        )
        if len(self) and not hasattr(self[0].attention, "q_proj"):
            raise ConfigError(
                "DINOv2 needs transformers 5.18 or newer, which named its layers anew: pip install -U transformers."
            )

    def project(self, index: int, hidden: Tensor) -> QKV:
        layer = self[index]
        normed, attention = layer.norm1(hidden), layer.attention
        return self._split(attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed))

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        layer = self[index]
        attended = hidden + layer.drop_path(layer.layer_scale1(layer.attention.o_proj(merge_heads(context))))
        return self._out(index, attended + layer.drop_path(layer.layer_scale2(layer.mlp(layer.norm2(attended)))))


class Dinov3Layers(DinoLayers):
    """DINOv3's layers: DINOv2's with rotary positions, from each patch's place in its crop.

    The random rescaling of positions that Hugging Face's model has in training is left out: a crop is read alike in
    training and after.
    """

    def __init__(self, model: Encoder, crops: int = CROPS) -> None:
        config = model.config
        Layers.__init__(self, model.model.layer, config.num_attention_heads, config.attention_dropout, model.norm)
        self.rope = model.rope_embeddings
        self.crops = crops
        self.first = 1 + config.num_register_tokens  # class and register tokens, in front of the patches
        self.patch: int = config.patch_size

    def project(self, index: int, hidden: Tensor) -> QKV:
        q, k, v = super().project(index, hidden)
        cos, sin = self._angles(hidden)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def _angles(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every position's angles, (m, e) each; angle 0 for class and register tokens."""
        side = self.patch * math.isqrt((hidden.shape[1] - self.first) // self.crops)
        pixels = hidden.new_zeros(()).expand(1, 3, side, side)  # only its shape is read
        cos, sin = (x.repeat(self.crops, 1) for x in self.rope.eval()(pixels))
        front = (0, 0, self.first, 0)
        return F.pad(cos, front, value=1.0), F.pad(sin, front)


TEXT: dict[str, type[BertLayers] | type[ModernBertLayers]] = {
    "bert": BertLayers,
    "roberta": BertLayers,
    "xlm-roberta": BertLayers,
    "modernbert": ModernBertLayers,
}
"""Text encoders by Hugging Face's `model_type`. BERTweet is a roberta."""

IMAGE: dict[str, type[ClipLayers] | type[DinoLayers]] = {
    "clip_vision_model": ClipLayers,
    "siglip_vision_model": ClipLayers,
    "dinov2": DinoLayers,
    "dinov3_vit": Dinov3Layers,
}
"""Image encoders by Hugging Face's `model_type`. SigLIP 2 at a fixed resolution is a siglip."""

WHOLE = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}
"""Models of text and image, whose image encoder is taken."""

DEBERTA = "it scores two words by the distance between them, and between a word and a patch there is none"
REFUSED = {
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA,
    "siglip2": "it reads patches of any number and shape (NaFlex), and crops are square; take a SigLIP 2 of one "
    "resolution, such as google/siglip2-base-patch16-224",
}
"""Why a kind is not written for, where a user may expect it to be."""

PAIRS: dict[tuple[int, int, int], tuple[tuple[str, ...], tuple[str, ...]]] = {
    (12, 768, 12): (
        (
            "google-bert/bert-base-uncased",
            "FacebookAI/roberta-base",
            "vinai/bertweet-base",
            "FacebookAI/xlm-roberta-base",
        ),
        (
            "openai/clip-vit-base-patch32",
            "openai/clip-vit-base-patch16",
            "google/siglip-base-patch16-224",
            "google/siglip2-base-patch16-224",
            "facebook/dinov2-base",
            "facebook/dinov3-vitb16-pretrain-lvd1689m",
        ),
    ),
    (24, 1024, 16): (
        (
            "google-bert/bert-large-uncased",
            "FacebookAI/roberta-large",
            "vinai/bertweet-large",
            "FacebookAI/xlm-roberta-large",
        ),
        (
            "openai/clip-vit-large-patch14",
            "google/siglip-large-patch16-256",
            "google/siglip2-large-patch16-256",
            "facebook/dinov2-large",
            "facebook/dinov3-vitl16-pretrain-lvd1689m",
        ),
    ),
}
"""Published encoders that fit each other, by layers, hidden units and heads: text encoders and image encoders."""


def TextLayers(model: Encoder) -> Layers:
    """The adapter for a text encoder of any kind in `TEXT`."""
    return TEXT[model.config.model_type](model)


def ImageLayers(model: Encoder, crops: int = CROPS) -> Layers:
    """The adapter for an image encoder of any kind in `IMAGE`, which reads so many crops side by side."""
    return IMAGE[model.config.model_type](model, crops)
