"""§3.5: parity with pytorch-crf, and both against every possible tag sequence."""

import itertools

import pytest
import torch
import torchcrf
from builders import HostReads

from mgips.model.baselines import IndependentTags
from mgips.model.crf import CRF, bio_allowed
from mgips.model.tagging import marginals
from mgips.tags import tag_set


def pair(tags=9, batch_first=True):
    torch.manual_seed(0)
    ours, theirs = CRF(tags, batch_first), torchcrf.CRF(tags, batch_first)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def inputs(b, t, c, batch_first=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    emissions = torch.randn(b, t, c, generator=g)
    tags = torch.randint(c, (b, t), generator=g)
    mask = torch.arange(t) < torch.randint(1, t + 1, (b, 1), generator=g)
    if not batch_first:
        emissions, tags, mask = emissions.transpose(0, 1), tags.T, mask.T
    return emissions, tags, mask


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("b", "t"), [(1, 1), (1, 7), (5, 1), (6, 12)])
def test_parity_with_pytorch_crf(b, t, batch_first):
    ours, theirs = pair(batch_first=batch_first)
    for seed in range(3):
        emissions, tags, mask = inputs(b, t, 9, batch_first, seed)
        for m in (mask, None, mask.byte()):
            with torch.no_grad():
                given = m.bool() if m is not None else torch.ones_like(tags, dtype=torch.bool)
                assert ours.decode(emissions, m) == theirs.decode(emissions, given)
            for reduction in ("none", "sum", "mean", "token_mean"):
                results = []
                for crf in (ours, theirs):
                    crf.zero_grad()
                    x = emissions.clone().requires_grad_()
                    # pytorch-crf without a mask makes a byte mask that today's torch warns about
                    value = crf(x, tags, given if crf is theirs else m, reduction)
                    value.sum().backward()
                    slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in crf.parameters()]
                    results.append((value.detach(), x.grad, *slopes))
                for a, other in zip(*results, strict=True):
                    torch.testing.assert_close(a, other, atol=1e-4, rtol=1e-5)


def all_paths(crf, emissions):
    """Score of every tag sequence for one sequence of emissions (T, C)."""
    for path in itertools.product(range(crf.num_tags), repeat=len(emissions)):
        score = crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
        score = score + sum(emissions[i, tag] for i, tag in enumerate(path))
        score = score + sum(crf.transitions[a, b] for a, b in itertools.pairwise(path))
        yield path, score.item()


@torch.no_grad()
def test_against_every_tag_sequence():
    ours, _ = pair(tags=3)
    emissions, tags, mask = inputs(4, 5, 3)
    found = ours(emissions, tags, mask, "none")
    paths = ours.decode(emissions, mask)
    for i in range(4):
        length = int(mask[i].sum())
        scores = dict(all_paths(ours, emissions[i, :length]))
        log_z = torch.logsumexp(torch.tensor(list(scores.values())), 0)
        gold = scores[tuple(tags[i, :length].tolist())]
        assert found[i].item() == pytest.approx(gold - log_z.item(), abs=1e-4)
        assert scores[tuple(paths[i])] == pytest.approx(max(scores.values()), abs=1e-5)


@torch.no_grad()
def test_what_stands_on_padding_changes_nothing():
    ours, _ = pair()
    emissions, tags, mask = inputs(6, 9, 9)
    other = torch.where(mask.unsqueeze(2), emissions, torch.tensor(1e4))
    assert torch.equal(ours(emissions, tags, mask, "none"), ours(other, (tags * mask), mask, "none"))
    assert ours.decode(emissions, mask) == ours.decode(other, mask)


@torch.no_grad()
def test_marginals_are_the_shares_of_all_sequences_that_have_a_tag():
    crf, _ = pair(tags=3)
    emissions, _, mask = inputs(4, 5, 3)
    found = marginals(crf, emissions, mask)
    for i in range(4):
        length = int(mask[i].sum())
        scores = dict(all_paths(crf, emissions[i, :length]))
        weights = torch.tensor(list(scores.values())).softmax(0)
        for t in range(5):
            for tag in range(3):
                share = sum(
                    w for w, path in zip(weights.tolist(), scores, strict=True) if t < length and path[t] == tag
                )
                assert found[i, t, tag].item() == pytest.approx(share, abs=1e-5)
    assert not found.requires_grad and not emissions.requires_grad


@torch.no_grad()
def test_marginals_without_a_crf_are_the_softmax():
    emissions, _, mask = inputs(4, 5, 3)
    found = marginals(IndependentTags(), emissions, mask)
    torch.testing.assert_close(found[mask], emissions.softmax(-1)[mask])
    assert not found[~mask].any() and (~mask).any()


def valid_bio(path, tags):
    before = "O"
    for tag in (tags[i] for i in path):
        if tag.startswith("I-") and before[2:] != tag[2:]:
            return False
        before = tag
    return True


@torch.no_grad()
def test_constrained_decoding_finds_the_best_valid_sequence():
    tags = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    torch.manual_seed(1)
    crf = CRF(5, batch_first=True, allowed=bio_allowed(tags))
    changed = 0
    for _ in range(20):
        emissions = 3 * torch.randn(1, 4, 5)
        (path,) = crf.decode(emissions)
        scores = {p: s for p, s in all_paths(crf, emissions[0]) if valid_bio(p, tags)}
        assert valid_bio(path, tags)
        assert scores[tuple(path)] == pytest.approx(max(scores.values()), abs=1e-5)
        free = CRF(5, batch_first=True)
        free.load_state_dict(crf.state_dict())
        changed += free.decode(emissions) != [path]
    assert changed > 0, "no example needed the constraint"


@torch.no_grad()
def test_the_loss_stays_unconstrained_and_the_state_dict_pytorch_crfs():
    crf = CRF(9, batch_first=True, allowed=bio_allowed(tag_set()))
    free = torchcrf.CRF(9, batch_first=True)
    free.load_state_dict(crf.state_dict())
    emissions = torch.randn(1, 2, 9)
    tags = torch.tensor([[tag_set().index("I-PER"), tag_set().index("I-LOC")]])
    torch.testing.assert_close(crf(emissions, tags), free(emissions, tags, torch.ones(1, 2, dtype=torch.bool)))


def test_shapes_are_checked():
    ours, _ = pair()
    emissions, tags, mask = inputs(2, 3, 9)
    for wrong in (
        lambda: ours(emissions[..., :8], tags, mask),
        lambda: ours(emissions, tags[:, :2], mask),
        lambda: ours(emissions, tags, mask[:, :2]),
        lambda: ours(emissions, tags, mask, "median"),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_training_never_waits_and_decoding_reads_once(monkeypatch):
    ours, theirs = pair()
    emissions, tags, mask = inputs(4, 6, 9)
    with HostReads() as reads:
        ours(emissions.requires_grad_(), tags, mask).backward()
    assert reads.count == 0
    lists = []
    real = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: lists.append(1) or real(x))
    with HostReads() as reads, torch.no_grad():
        ours.decode(emissions, mask)
    assert (len(lists), reads.count) == (1, 0)
    with HostReads() as reads, torch.no_grad():
        theirs.decode(emissions, mask)
    assert reads.count > int(mask.sum()) // 2, "the counter misses pytorch-crf's reads"
