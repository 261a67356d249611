"""§3.3: eqs 5-13 against loops over tokens and features, and what padding may not change."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from mgips.model.interweave import (
    MGE,
    InterweaveEncoder,
    PrePostGate,
    column_weights,
    printed_column_weights,
    row_weights,
)

B, N, M, D, LONGEST = 3, 5, 7, 6, 9


@pytest.fixture
def sides():
    torch.manual_seed(1)
    mask = torch.arange(N) < torch.tensor([[5], [3], [1]])
    return torch.randn(B, N, D), torch.randn(B, M, D), mask


def softmax(values):
    top = max(values)
    total = sum(math.exp(v - top) for v in values)
    return [math.exp(v - top) / total for v in values]


def test_row_weights_by_hand(sides):
    matrix, _, mask = sides
    w = torch.randn(D)
    found = row_weights(matrix, w, mask)
    assert found.shape == (B, N, 1)
    for b in range(B):
        length = int(mask[b].sum())
        by_hand = softmax([sum(float(matrix[b, i, j] * w[j]) for j in range(D)) for i in range(length)])
        assert found[b, :length, 0].tolist() == pytest.approx(by_hand, abs=1e-6)
        assert found[b, length:].abs().sum() == 0


@pytest.mark.released(4, 5)
def test_column_weights_by_hand(sides):
    matrix, _, mask = sides
    w = torch.randn(LONGEST)
    found = column_weights(matrix, w, mask)
    assert found.shape == (B, 1, D)
    for b in range(B):
        length = int(mask[b].sum())
        by_hand = softmax([sum(float(matrix[b, i, j] * w[i]) for i in range(length)) for j in range(D)])
        assert found[b, 0].tolist() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.released(4)
def test_equation_6_as_printed_is_constant(sides):
    matrix, _, _ = sides
    assert torch.equal(printed_column_weights(matrix, torch.randn(D)), torch.ones(B, N, 1))


def test_a_tweet_of_padding_alone_stays_finite(sides):
    matrix, _, mask = sides
    nobody = torch.zeros_like(mask)
    assert row_weights(matrix, torch.randn(D), nobody).abs().sum() == 0
    assert torch.isfinite(column_weights(matrix, torch.randn(LONGEST), nobody)).all()


@pytest.mark.released(5)
@pytest.mark.parametrize(
    ("guide", "row", "column", "scale"),
    [
        case
        for case in itertools.product(["image", "text"], [True, False], ["feature", "printed", "off"], ["sum", "mean"])
        if case[1] or case[2] != "off"  # no weights at all is refused by ModelConfig
    ],
)
@torch.no_grad()
def test_mge_is_equations_5_to_9(sides, guide, row, column, scale):
    text, image, mask = sides
    mge = MGE(guide, D, LONGEST, M, row, column, scale, ffn_ratio=2).eval()
    inputs = (image, text) if guide == "image" else (text, image)
    out, weights = mge(*inputs, mask)
    assert out.shape == inputs[0].shape
    to_text, bias = mge.image_to_text.linear.weight, mge.image_to_text.linear.bias
    for b in range(B):
        length = int(mask[b].sum())
        t, v = text[b, :length], image[b]

        def stretched(x, length=length):  # the image at the text's length
            return F.gelu(to_text[:length] @ x + bias[:length, None])

        if guide == "image":
            source, weighing, start = mge.linear1(t), stretched(mge.linear2(v)), v
        else:
            source, weighing, start = stretched(mge.linear1(v)), mge.linear2(t), t
        m = source * weighing  # (5)
        fused = torch.zeros_like(source)
        if row:
            m_c = torch.softmax(m @ mge.w3, -1)[:, None] * (length if scale == "mean" else 1)  # (6)
            fused += m_c * source  # (7)
        if column == "feature":
            m_f = torch.softmax(m.T @ mge.w4[:length], -1)[None] * (D if scale == "mean" else 1)
            fused += m_f * source
        elif column == "printed":
            fused += source
        if guide == "image":
            back = mge.text_to_image.linear
            fused = back.weight[:, :length] @ fused + back.bias[:, None]
        y = mge.norm1(start + mge.project(fused))  # (8)
        expected = mge.norm2(y + mge.ffn(y))
        found = out[b] if guide == "image" else out[b, :length]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (weights.row is None) == (not row) and (weights.column is None) == (column == "off")


@pytest.mark.parametrize("rounds", [1, 3])
@torch.no_grad()
def test_interweave_walks_as_equations_10_and_11(sides, rounds):
    text, image, mask = sides
    guided_v, guided_t = MGE("image", D, LONGEST, M).eval(), MGE("text", D, LONGEST, M).eval()
    walk = InterweaveEncoder(guided_v, guided_t, rounds)(text, image, mask)
    x, t = image, text
    for _ in range(rounds):
        x = x + guided_v(x, t, mask)[0]
        t = t + guided_t(t, x, mask)[0]
    torch.testing.assert_close(walk.text[-1], t)
    torch.testing.assert_close(walk.image[-2], x)
    torch.testing.assert_close(walk.image[-1], x + guided_v(x, t, mask)[0])
    passes = [w.guide for w in walk.weights]
    assert passes.count("image") == passes.count("text") + 1 == rounds + 1
    assert len(InterweaveEncoder(guided_v, guided_t, rounds, False)(text, image, mask).image) == rounds + 1


@pytest.mark.released(11)
@torch.no_grad()
def test_more_padding_changes_nothing(sides):
    text, image, mask = sides
    walk = InterweaveEncoder(MGE("image", D, LONGEST, M), MGE("text", D, LONGEST, M), 2)
    short = walk(text, image, mask)
    more = torch.cat([text, torch.randn(B, 4, D)], 1), image, torch.cat([mask, mask.new_zeros(B, 4)], 1)
    long = walk(*more)
    torch.testing.assert_close(long.text[-1][:, :N][mask], short.text[-1][mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(long.image[-1], short.image[-1], atol=1e-5, rtol=0)


@pytest.mark.released(7)
@pytest.mark.parametrize(("kind", "width"), [("vector", D), ("scalar", 1)])
@torch.no_grad()
def test_gate_is_equations_12_and_13(sides, kind, width):
    text, _, _ = sides
    gate, post = PrePostGate(D, kind), torch.randn(B, N, D)
    z, share = gate(text, post)
    assert share.shape == (B, N, width)
    w1, w2, b = gate.w1.weight, gate.w2.weight, gate.w2.bias
    expected = 1 / (1 + torch.exp(-(post @ w1.T + text @ w2.T + b)))
    torch.testing.assert_close(share, expected)
    torch.testing.assert_close(z, expected * text + (1 - expected) * post)
