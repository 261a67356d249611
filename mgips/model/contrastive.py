"""§3.4: implicit-positive-sample mining and the two contrastive losses (eqs 14-17).

    sim(i, j) = cos(g(text_i), f(image_j))                                        (14)
    V_K(i)    = the K images of highest relevance to text i                       (15)
    IPS       = mean_i  -log( Σ_{j in V_K(i)} e^{sim/τ} / Σ_j e^{sim/τ} )         (16)
    CL        = mean_i  -log( e^{sim(i, i)/τ} / Σ_j e^{sim/τ} )                   (17)

Rows are texts, columns are images, everywhere. Mining reads scores and has no gradient; the losses' gradient
flows through the relevance.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.errors import ConfigError


class ContrastHead(nn.Module):
    """f or g of eq. 14: one vector of the positions that exist, a linear layer, then length 1."""

    def __init__(self, d: int, pooling: Literal["mean", "attention"] = "mean", norm: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(d, d)
        self.attention = None
        if pooling == "attention":
            self.attention = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1, bias=False))
        self.norm = nn.LayerNorm(d) if norm else None

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(B, p, d) and (B, p) bool → (B, d), float32. A row without positions stays finite."""
        pooled = mean(features, mask) if self.attention is None else attended(features, mask, self.attention)
        if self.norm is not None:
            pooled = self.norm(pooled)
        return F.normalize(self.linear(pooled).float(), dim=-1)


def mean(features: Tensor, mask: Tensor) -> Tensor:
    """Over the positions that exist: (B, p, d) and (B, p) bool → (B, d), float32; zeros for a row without any."""
    total = torch.einsum("bpd,bp->bd", features, mask.to(features.dtype)).float()  # (B, d)
    return total / mask.sum(1, keepdim=True).clamp(min=1)


def attended(features: Tensor, mask: Tensor, score: nn.Module) -> Tensor:
    """Additive attention over the positions (Bahdanau et al. 2015): (B, p, d), (B, p) bool → (B, d), float32.

    Args:
        score: (B, p, d) → (B, p, 1).
    """
    scores = score(features)[..., 0].float().masked_fill(~mask, torch.finfo(torch.float32).min)  # (B, p)
    return torch.einsum("bpd,bp->bd", features.float(), scores.softmax(-1) * mask)


def relevance(text: Tensor, image: Tensor) -> Tensor:
    """Potential relevance, eq. 14: the cosine of every text with every image, in float32.

    (N, d), (N, d) → (N, N); rows are texts. Also (B, d), (N, d) → (B, N).
    """
    with torch.autocast(text.device.type, enabled=False):  # which would take the product back to half precision
        return F.normalize(text.float(), dim=-1) @ F.normalize(image.float(), dim=-1).T


def mine(relevance: Tensor, k: int, candidates: Tensor | None = None) -> Tensor:
    """Implicit positives, eq. 15: the K images of highest relevance for each text.

    Args:
        relevance: (N, N), rows are texts, or (B, N); read without its gradient.
        k: K. A text's own image may be one of them.
        candidates: (N,) bool, the images that may be mined; all by default.

    Returns:
        (N, N) bool, True for exactly K images a row (fewer only where there are fewer than K candidates:
        counting them would make a training step wait for the device).

    Raises:
        ConfigError: K exceeds N; the message names both.
    """
    images = relevance.shape[1]
    if not 1 <= k <= images:
        raise ConfigError(f"k is {k}, but there are {images} images to mine from; choose k between 1 and {images}.")
    scores = relevance.detach()
    if candidates is not None:
        scores = scores.masked_fill(~candidates, -torch.inf)
    positives = torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.topk(k, dim=1).indices, True)
    return positives if candidates is None else positives & candidates


def ips_loss(relevance: Tensor, positives: Tensor, temperature: float | Tensor) -> Tensor:
    """Implicit-positive-sample loss, eq. 16, mean over texts.

    Args:
        relevance: (N, N), rows are texts.
        positives: (N, N) bool, from `mine`. A text without any contributes 0.
        temperature: τ.
    """
    scores = relevance.float() / temperature
    # The lowest finite number, not -inf: a row without positives then keeps a finite gradient, of zero.
    chosen = scores.masked_fill(~positives, torch.finfo(scores.dtype).min)
    losses = torch.logsumexp(scores, 1) - torch.logsumexp(chosen, 1)  # (N,)
    return torch.where(positives.any(1), losses, 0.0).mean()


def cl_loss(relevance: Tensor, temperature: float | Tensor, own: Tensor | None = None) -> Tensor:
    """Standard contrastive loss, eq. 17, mean over texts: the own image is the only positive.

    Args:
        relevance: (N, N), rows are texts; or (B, N) with `own`. Rows of images and columns of texts give the other
            half of the symmetric loss.
        temperature: τ.
        own: (B,) column of each text's own image; the diagonal by default.
    """
    if own is None:
        own = torch.arange(relevance.shape[0], device=relevance.device)
    return F.cross_entropy(relevance.float() / temperature, own)


class Temperature(nn.Module):
    """A learned τ, as the exponential of a parameter; it never falls below 0.01."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor([start]).log())

    def forward(self) -> Tensor:
        """τ, (1,)."""
        return self.log.exp().clamp(min=0.01)


class _Gather(torch.autograd.Function):
    """The rows of all processes, in rank order.

    By hand: accelerate's `gather` cuts the gradient here, torch.distributed.nn.functional's is deprecated, and the
    private function that replaces it has another name in each of the torch versions that mgips supports.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        everyone = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, x.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        # Every process's loss depends on every row, so a row's gradient is the sum over all processes.
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        size = len(gradient) // dist.get_world_size()
        return gradient[dist.get_rank() * size : (dist.get_rank() + 1) * size]


def gather_with_gradient(x: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, with their gradient, and where this process's rows start among them.

    (B, …) → (B × processes, …). Every process must hold equally many rows. With one process: x and 0.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x, 0
    if x.dtype == torch.bool:  # not every backend gathers bool
        return _Gather.apply(x.to(torch.uint8)).bool(), dist.get_rank() * x.shape[0]
    return _Gather.apply(x), dist.get_rank() * x.shape[0]


CSLS_NEIGHBOURS = 10
"""Neighbours that CSLS averages over, as in MUSE."""


@torch.no_grad()
def csls(relevance: Tensor, neighbours: int = CSLS_NEIGHBOURS) -> Tensor:
    """Cross-domain similarity local scaling (Conneau et al. 2018, eq. 2): 2·s_ij − r_i − r_j, to mine by.

    r_i is the mean of text i's highest relevances, r_j that of image j's: a hub, which is near to everything, loses
    its head start. The paper does not do this.

    Args:
        relevance: (N, M), rows are texts; finite, read without its gradient.
        neighbours: values that r_i and r_j average over; all where there are fewer.

    Returns:
        (N, M), no cosines any more: between -4 and 4.

    Raises:
        ConfigError: fewer than one neighbour.
    """
    if neighbours < 1:
        raise ConfigError(f"neighbours is {neighbours}; average over at least one, or leave CSLS out.")
    texts, images = (
        relevance.topk(min(neighbours, relevance.shape[dim]), dim=dim).values.mean(dim, keepdim=True) for dim in (1, 0)
    )
    return 2 * relevance - texts - images
