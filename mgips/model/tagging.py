"""How probable tags are, and the entities that a CRF has found."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mgips.model.baselines import IndependentTags
from mgips.model.crf import CRF


def marginals(crf: CRF | IndependentTags, emissions: Tensor, mask: Tensor) -> Tensor:
    """P(y_t | X): how probable each tag of each word is, over everything that the other words may be.

    The gradient of log Z by the emissions, which is what a forward and a backward pass over the chain give. Of all
    paths, also those that `bio_allowed` keeps out of decoding; without a CRF it is the softmax.

    Args:
        emissions: (B, w, C).
        mask: (B, w) bool, True on words.

    Returns:
        (B, w, C), which sums to 1 over the tags of a word; 0 on padding.
    """
    with torch.enable_grad():
        held = emissions.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(crf.log_partition(held, mask).sum(), held)
    return slopes


def entity_probabilities(
    crf: CRF | IndependentTags,
    tags: Sequence[str],
    emissions: Tensor,
    mask: Tensor,
    entities: Sequence[tuple[int, int, int, str]],
) -> list[float]:
    """How probable entities are: the share of all paths through the CRF, by their weight, that have each.

    A path has an entity if it reads B- at its first word (or I-, where no entity of the type is before it), I- at the
    others, and no I- of the type behind it. That is a CRF with all other tags forbidden there over the free one: exact,
    and no product of single words' shares.

    Args:
        tags: the C tags, BIO.
        emissions: (B, w, C).
        mask: (B, w) bool, True on words.
        entities: E times the row, its words [start, end), and the type.
    """
    if not entities:
        return []
    rows = torch.tensor([row for row, *_ in entities], device=emissions.device)
    free = crf.log_partition(emissions, mask)[rows]  # (E,)
    total = torch.zeros_like(free)
    for opening in "BI":
        held = emissions[rows].clone()  # (E, w, C)
        for one, (_, start, end, kind) in zip(held, entities, strict=True):
            begin, inside = tags.index(f"B-{kind}"), tags.index(f"I-{kind}")
            forbidden = torch.ones_like(one[start:end], dtype=torch.bool)
            forbidden[0, begin if opening == "B" else inside] = False
            forbidden[1:, inside] = False
            one[start:end].masked_fill_(forbidden, -torch.inf)
            one[end : end + 1, inside] = -torch.inf
            if opening == "I" and start:
                one[start - 1, [begin, inside]] = -torch.inf
        total += (crf.log_partition(held, mask[rows]) - free).exp()
    return total.tolist()
