"""§3.2: parity with Hugging Face, and eqs 2-4 against a plain re-reading of them."""

import pytest
import torch
from builders import TEXT_MODELS, image_encoder, text_encoder

from mgips.model.encoders import ImageLayers, TextLayers
from mgips.model.mutual_attention import MutualAttentionEncoder


def towers(family="bert"):
    text, image = text_encoder(family), image_encoder()
    return text, image, MutualAttentionEncoder(TextLayers(text), ImageLayers(image)).eval()


def some_text(family="bert", batch=3, length=9):
    pad = 1 if family != "bert" else 0
    pieces = torch.randint(5, 99, (batch, length), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(length) < torch.tensor([[length], [6], [2]])[:batch]
    return pieces.masked_fill(~mask, pad), mask


@pytest.mark.parametrize("family", TEXT_MODELS)
@torch.no_grad()
def test_without_exchange_the_towers_are_hugging_faces(family):
    text, image, encoder = towers(family)
    pieces, mask = some_text(family)
    pixels = torch.randn(3, 3, 32, 32)
    embedded = image.pre_layrnorm(image.embeddings(pixels))
    ours_text, ours_image, _ = encoder(text.embeddings(input_ids=pieces), embedded, mask, exchange=False)
    theirs = text(input_ids=pieces, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(ours_text[mask], theirs[mask], atol=1e-6, rtol=0)
    torch.testing.assert_close(ours_image, image(pixel_values=pixels).last_hidden_state, atol=1e-6, rtol=0)


@pytest.mark.released(9, 10)
@torch.no_grad()
def test_equations_2_to_4_read_plainly():
    """One tweet at a time, head by head, with the equations' own names."""
    text, image, encoder = towers()
    pieces, mask = some_text()
    s_e, v_e = text.embeddings(input_ids=pieces), torch.randn(3, 17, 32)
    h_t, h_v, trace = encoder(s_e, v_e, mask, attention=True)

    def attention(q, k, v):
        return torch.softmax(q @ k.T / q.shape[-1] ** 0.5, -1) @ v

    def context(q, k, v, other_k, other_v):
        heads = zip(*(x.split(8, dim=-1) for x in (q, k, v, other_k, other_v)), strict=True)
        return torch.cat([attention(q, torch.cat([ko, k]), torch.cat([vo, v])) for q, k, v, ko, vo in heads], -1)

    for b in range(3):
        real = mask[b]
        text_h, image_h = s_e[b][real], v_e[b]
        k_t = v_t = text_h  # l = 0, eq. 3
        k_v = v_v = image_h
        for l in range(3):  # noqa: E741
            layer, block = text.encoder.layer[l], image.encoder.layers[l]
            w = layer.attention.self
            normed = block.layer_norm1(image_h)
            p = block.self_attn
            own = w.query(text_h), w.key(text_h), w.value(text_h)
            own_v = p.q_proj(normed), p.k_proj(normed), p.v_proj(normed)
            after = layer.attention.output(context(*own, k_v, v_v), text_h)
            text_h = layer.output(layer.intermediate(after), after)
            after = image_h + p.out_proj(context(*own_v, k_t, v_t))
            image_h = after + block.mlp(block.layer_norm2(after))
            (_, k_t, v_t), (_, k_v, v_v) = own, own_v
        torch.testing.assert_close(h_t[b][real], text_h, atol=1e-5, rtol=0)
        torch.testing.assert_close(h_v[b], image_h, atol=1e-5, rtol=0)
    assert trace[0].text.shape == (3, 4, 9, 17 + 9) and trace[0].image.shape == (3, 4, 17, 9 + 17)


@torch.no_grad()
def test_explicit_attention_equals_the_fused_kernel_and_ignores_padding():
    text, _, encoder = towers()
    pieces, mask = some_text()
    inputs = text.embeddings(input_ids=pieces), torch.randn(3, 17, 32), mask
    fused = encoder(*inputs)
    opened = encoder(*inputs, attention=True)
    torch.testing.assert_close(fused[0][mask], opened[0][mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(fused[1], opened[1], atol=1e-5, rtol=0)
    for layer in opened[2]:
        torch.testing.assert_close(layer.text.sum(-1), torch.ones(3, 4, 9))
        torch.testing.assert_close(layer.image.sum(-1), torch.ones(3, 4, 17))
        pads = ~mask[:, None, None, :]
        assert (layer.text[..., 17:] * pads).sum() == 0, "a text position attends to padding"
        assert (layer.image[..., :9] * pads).sum() == 0, "an image position attends to padding"


@torch.no_grad()
def test_the_exchange_reaches_both_towers():
    text, _, encoder = towers()
    pieces, mask = some_text()
    embedded, pictures = text.embeddings(input_ids=pieces), torch.randn(3, 17, 32)
    out = encoder(embedded, pictures, mask)
    other_pictures = encoder(embedded, torch.randn(3, 17, 32), mask)
    assert (out[0] - other_pictures[0]).abs().max() > 1e-3, "the picture does not reach the text"
    other_text = encoder(embedded.flip(0), pictures, mask.flip(0))
    assert (out[1] - other_text[1]).abs().max() > 1e-3, "the text does not reach the picture"


def test_nothing_is_projected_twice():
    text, image, encoder = towers()
    calls = []
    for tower, names in ((text, ("query", "key", "value")), (image, ("q_proj", "k_proj", "v_proj"))):
        for name, module in tower.named_modules():
            if name.endswith(names):
                module.register_forward_hook(lambda *_, tower=tower: calls.append(tower))
    pieces, mask = some_text()
    encoder(text.embeddings(input_ids=pieces), torch.randn(3, 17, 32), mask)
    assert calls.count(text) == calls.count(image) == 3 * 3
