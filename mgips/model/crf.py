"""§3.5: the linear-chain CRF, pytorch-crf's with its two slow loops replaced.

Same parameters, same state dict, same results. The score of the gold path is gathered at once instead of
word by word; Viterbi keeps the whole batch together down to the traceback and reads its result once, where
pytorch-crf reads every tag by itself (a wait for the GPU each time).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchcrf
from torch import Tensor


def bio_allowed(tags: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Which tags may start a sequence, (C,) bool, and which may follow which, (C, C) bool [from, to].

    In BIO, I-X follows only B-X or I-X.
    """

    def may_follow(before: str, tag: str) -> bool:
        return not tag.startswith("I-") or before[1:] == tag[1:] and before[:1] in "BI"

    start = torch.tensor([may_follow("O", tag) for tag in tags])
    return start, torch.tensor([[may_follow(before, tag) for tag in tags] for before in tags])


def at_end(scores: list[Tensor], mask: Tensor) -> Tensor:
    """Each sequence's scores at its last word: T of (B, C), and (T, B) bool → (B, C)."""
    last = (mask.sum(0) - 1)[None, :, None].expand(1, -1, scores[0].shape[1])  # (1, B, C)
    return torch.stack(scores).gather(0, last).squeeze(0)


# torchcrf declares LongTensor and ByteTensor, which no current function of torch returns.
class CRF(torchcrf.CRF):
    """pytorch-crf's CRF, faster.

    Args:
        num_tags: C.
        batch_first: whether inputs are (B, T, …) instead of pytorch-crf's default (T, B, …).
        allowed: start (C,) and transition (C, C) masks that decoding obeys (`bio_allowed`). The loss stays
            unconstrained: Twitter-2015's gold has entities that start with I-, whose likelihood would be 0.

    Masks are bool, True on words and then False on padding, and every sequence has a word: the caller guarantees
    it, as `Batch.word_mask` does, because checking it would make each step wait for the device.
    """

    forbidden_start: Tensor | None
    forbidden_step: Tensor | None

    def __init__(self, num_tags: int, batch_first: bool = False, allowed: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__(num_tags, batch_first)
        start, step = allowed if allowed is not None else (None, None)
        # Not persistent: the state dict stays pytorch-crf's.
        self.register_buffer("forbidden_start", None if start is None else ~start, persistent=False)
        self.register_buffer("forbidden_step", None if step is None else ~step, persistent=False)

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, reduction: str = "sum") -> Tensor:
        """Log-likelihood of tag sequences.

        Args:
            emissions: (B, T, C), or (T, B, C) without `batch_first`; likewise below.
            tags: (B, T) tag ids; anything on padding.
            mask: (B, T) bool.
            reduction: none → (B,); sum, mean (per sequence) or token_mean → a scalar.
        """
        if mask is None:
            mask = torch.ones_like(tags, dtype=torch.bool)
        return super().forward(emissions, tags, mask.bool(), reduction)  # pyright: ignore[reportArgumentType]

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The most likely tag sequence of each sequence, as long as its mask."""
        if mask is None:
            mask = torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
        return super().decode(emissions, mask.bool())  # pyright: ignore[reportArgumentType]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over all paths of a sequence: (B, T, C), (B, T) → (B,). Only with `batch_first`."""
        return self._compute_normalizer(emissions.transpose(0, 1), mask.transpose(0, 1))

    def _validate(self, emissions: Tensor, tags: Tensor | None = None, mask: Tensor | None = None) -> None:
        """pytorch-crf's checks of shapes, without its look at the mask's values."""
        super()._validate(emissions, tags=tags)  # pyright: ignore[reportArgumentType]
        if mask is not None and emissions.shape[:2] != mask.shape:
            raise ValueError(f"emissions {tuple(emissions.shape[:2])} and mask {tuple(mask.shape)} must match")

    def _compute_score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Score of the given paths: (T, B, C), (T, B), (T, B) → (B,)."""
        own = emissions.gather(2, tags.unsqueeze(2)).squeeze(2)  # (T, B)
        steps = self.transitions[tags[:-1], tags[1:]]  # (T - 1, B)
        score = torch.where(mask, own, 0.0).sum(0) + torch.where(mask[1:], steps, 0.0).sum(0)
        last = tags.gather(0, mask.sum(0, keepdim=True) - 1).squeeze(0)  # (B,)
        return score + self.start_transitions[tags[0]] + self.end_transitions[last]

    def _compute_normalizer(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over all paths: (T, B, C), (T, B) → (B,)."""
        scores = [self.start_transitions + emissions[0]]  # (B, C) each
        into = self.transitions.T  # [to, from]: the sum runs over the last, contiguous axis
        for now in emissions[1:].unbind(0):
            scores.append(torch.logsumexp(scores[-1].unsqueeze(1) + into, dim=2) + now)
        score = at_end(scores, mask)
        return torch.logsumexp(score + self.end_transitions, dim=1)

    def _viterbi_decode(self, emissions: Tensor, mask: Tensor) -> list[list[int]]:
        """Best paths: (T, B, C), (T, B) → B lists of tag ids. One read of the device, at the end."""
        start, step = self.start_transitions, self.transitions
        if self.forbidden_start is not None and self.forbidden_step is not None:
            start = start.masked_fill(self.forbidden_start, -torch.inf)
            step = step.masked_fill(self.forbidden_step, -torch.inf)
        into = step.T.contiguous()  # [to, from]
        here = torch.arange(self.num_tags, device=emissions.device).expand(emissions.shape[1:])  # (B, C)
        scores = [start + emissions[0]]  # (B, C) each
        history = []
        for now in emissions[1:].unbind(0):
            best, previous = (scores[-1].unsqueeze(1) + into).max(dim=2)  # (B, C) each
            scores.append(best + now)
            history.append(previous)
        # Steps past a sequence's end were computed and are not used: there a path stays where it is.
        score = at_end(scores, mask)
        tag = (score + self.end_transitions).argmax(1, keepdim=True)  # (B, 1)
        path = [tag]
        if history:
            history = torch.where(mask[1:].unsqueeze(2), torch.stack(history), here).unbind(0)
        for previous in reversed(history):
            tag = previous.gather(1, tag)
            path.append(tag)
        rows = torch.cat([*reversed(path), mask.sum(0).unsqueeze(1)], dim=1).tolist()
        return [row[: row[-1]] for row in rows]
