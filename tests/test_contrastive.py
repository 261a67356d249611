"""§3.4: relevance, mining and both losses against plain loops; and the same gradient on two processes as on one."""

import math
import os
import socket

import pytest
import torch
import torch.multiprocessing as mp
from torch.nn import functional as F

from mgips.errors import ConfigError
from mgips.model.contrastive import ContrastHead, Temperature, cl_loss, gather_with_gradient, ips_loss, mine, relevance

N, D, TAU = 7, 5, 0.3


@pytest.fixture
def features():
    torch.manual_seed(3)
    return torch.randn(N, D, requires_grad=True), torch.randn(N, D, requires_grad=True)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def loops(text, image, k):
    """Relevance, positives and both losses by the equations, in Python numbers."""
    text, image = text.tolist(), image.tolist()
    sim = [[cosine(t, v) for v in image] for t in text]
    mined = [set(sorted(range(len(image)), key=lambda j: -row[j])[:k]) for row in sim]
    ips = cl = 0.0
    for i, row in enumerate(sim):
        total = sum(math.exp(s / TAU) for s in row)
        ips -= math.log(sum(math.exp(row[j] / TAU) for j in mined[i]) / total) / len(sim)
        cl -= math.log(math.exp(row[i] / TAU) / total) / len(sim)
    return sim, mined, ips, cl


@pytest.mark.released(12, 19)
@pytest.mark.parametrize("k", [1, 3, N])
def test_against_plain_loops(features, k):
    sim, mined, ips, cl = loops(*features, k)
    found = relevance(*features)
    torch.testing.assert_close(found, torch.tensor(sim))
    positives = mine(found, k)
    assert positives.dtype == torch.bool and positives.shape == (N, N)
    assert [set(row.nonzero().flatten().tolist()) for row in positives] == mined
    assert ips_loss(found, positives, TAU).item() == pytest.approx(ips, abs=1e-5)
    assert cl_loss(found, TAU).item() == pytest.approx(cl, abs=1e-5)


@pytest.mark.released(12)
def test_rows_are_texts(features):
    text, image = features
    found = relevance(text[:2], image)
    assert found.shape == (2, N)
    assert found[1, 4].item() == pytest.approx(cosine(text[1].tolist(), image[4].tolist()), abs=1e-6)


def test_invariances(features):
    text, image = (x.detach() for x in features)
    found = relevance(text, image)
    order = torch.randperm(N)
    moved = relevance(text[order], image[order])
    assert torch.equal(mine(moved, 3), mine(found, 3)[order][:, order])
    torch.testing.assert_close(relevance(7 * text, 0.1 * image), found)
    losses = [(ips_loss(r, mine(r, 3), TAU), cl_loss(r, TAU)) for r in (found, moved)]
    torch.testing.assert_close(losses[0], losses[1])
    assert ips_loss(found, mine(found, N), TAU).abs() < 1e-6
    torch.testing.assert_close(ips_loss(found, torch.eye(N, dtype=torch.bool), TAU), cl_loss(found, TAU))
    torch.testing.assert_close(cl_loss(found, TAU), F.cross_entropy(found / TAU, torch.arange(N)))


def test_gradients_flow_through_relevance_and_not_through_mining(features):
    found = relevance(*features)
    positives = mine(found, 3)
    assert not positives.requires_grad
    ips_loss(found, positives, TAU).backward()
    assert features[0].grad.abs().sum() > 0 and features[1].grad.abs().sum() > 0

    def loss(text):
        return ips_loss(relevance(text, features[1].detach().double()), positives, TAU)

    text = features[0].detach().double()
    step = torch.zeros_like(text)
    step[2, 1] = 1e-3
    slope = (loss(text + step) - loss(text - step)) / 2e-3
    assert features[0].grad[2, 1].item() == pytest.approx(slope.item(), abs=1e-3)


def test_texts_without_positives_contribute_nothing_and_stay_finite(features):
    found = relevance(*features)
    positives = mine(found, 2).clone()
    positives[0] = False
    loss = ips_loss(found, positives, TAU)
    rest = ips_loss(found[1:], positives[1:], TAU)
    assert loss.item() == pytest.approx(rest.item() * (N - 1) / N, abs=1e-6)
    loss.backward()
    assert torch.isfinite(features[0].grad).all() and features[0].grad[0].abs().sum() == 0


def test_images_can_be_left_out_of_mining(features):
    found = relevance(*features).detach()
    may = torch.tensor([True, False, True, True, False, True, True])
    positives = mine(found, 3, may)
    assert not positives[:, ~may].any() and (positives.sum(1) == 3).all()
    assert torch.equal(positives[:, may], mine(found[:, may], 3))
    few = mine(found, 3, torch.arange(N) < 2)
    assert (few.sum(1) == 2).all()


@pytest.mark.parametrize("k", [0, N + 1, 99])
def test_k_out_of_range_names_both_numbers(features, k):
    with pytest.raises(ConfigError, match=f"k is {k}, but there are {N} images"):
        mine(relevance(*features), k)


def test_scores_that_overflow_an_exponential_stay_finite():
    found = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert torch.isfinite(ips_loss(found, mine(found, 1), 1e-3)) and torch.isfinite(cl_loss(found, 1e-3))


def test_half_precision_features_are_compared_in_float32(features):
    text, image = (x.detach().bfloat16() for x in features)
    exact = F.normalize(text.float(), dim=-1) @ F.normalize(image.float(), dim=-1).T
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(relevance(text, image), exact)


def test_head_averages_what_exists():
    head = ContrastHead(D)
    x, mask = torch.randn(2, 4, D), torch.tensor([[True, True, False, False], [False] * 4])
    found = head(x, mask)
    expected = F.normalize(head.linear((x[0, 0] + x[0, 1]) / 2), dim=0)
    torch.testing.assert_close(found[0], expected)
    assert torch.isfinite(found[1]).all()


# ---- otherwise than in the paper ----


def test_head_attends_to_what_exists():
    torch.manual_seed(1)
    head = ContrastHead(D, "attention", norm=True)
    x, mask = torch.randn(3, 4, D), torch.tensor([[True, True, False, True], [False, True, False, False], [False] * 4])
    found = head(x, mask)
    for row in (0, 1):
        there = [position for position in range(4) if mask[row, position]]
        first, _, last = head.attention
        weights = [torch.exp(last.weight[0] @ torch.tanh(first.weight @ x[row, p] + first.bias)) for p in there]
        pooled = sum(w / sum(weights) * x[row, p] for w, p in zip(weights, there, strict=True))
        torch.testing.assert_close(found[row], F.normalize(head.linear(head.norm(pooled)), dim=0))
    assert torch.isfinite(found).all()
    wider = head(torch.cat([x, 99 * torch.ones(3, 2, D)], 1), torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], 1))
    torch.testing.assert_close(wider, found)


def test_a_learned_temperature_starts_where_it_is_told_and_stays_above_its_floor():
    temperature = Temperature(TAU)
    assert temperature().item() == pytest.approx(TAU) and temperature.log.item() == pytest.approx(math.log(TAU))
    with torch.no_grad():
        temperature.log.fill_(-99)
    assert temperature().item() == pytest.approx(0.01)


def one_of_two(rank, port, weights, x, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    local = [half[rank * 3 : rank * 3 + 3] for half in x]
    gradient, loss = contrast_gradient(weights, *local)
    torch.distributed.all_reduce(gradient)  # what DistributedDataParallel does
    torch.distributed.all_reduce(loss)
    if rank == 0:
        torch.save((gradient / 2, loss / 2), out)
    torch.distributed.destroy_process_group()


def contrast_gradient(weights, text, image):
    weights = weights.clone().requires_grad_()
    images, start = gather_with_gradient(image @ weights)
    there, _ = gather_with_gradient(torch.ones(len(text), dtype=torch.bool))
    found = relevance(text @ weights, images)
    own = torch.arange(len(text)) + start
    loss = ips_loss(found, mine(found, 2, there), TAU) + cl_loss(found, TAU, own)
    loss.backward()
    return weights.grad, loss.detach()


def test_two_processes_have_the_gradient_of_one(tmp_path):
    torch.manual_seed(0)
    weights, x = torch.randn(D, D), torch.randn(2, 6, D)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(one_of_two, (port, weights, x, tmp_path / "out.pt"), nprocs=2)
    two, loss_two = torch.load(tmp_path / "out.pt")
    one, loss_one = contrast_gradient(weights, *x)
    assert loss_two.item() == pytest.approx(loss_one.item(), abs=1e-6)
    assert F.cosine_similarity(one.flatten(), two.flatten(), dim=0).item() == pytest.approx(1, abs=1e-5)
    assert (two.norm() / one.norm()).item() == pytest.approx(1, abs=1e-5)
