"""Your function in the trained model's place: what the lessons ask for, put where the package has its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.evaluate import score
from mgips.lab.lessons.exercises import MARKS, exercise_of, judge, told
from mgips.model.crf import CRF
from mgips.model.mgips import MGIPS

Function = Callable[..., Any]
BATCH = 32


def _attend(yours: Function) -> Function:
    """The lesson's (queries, keys, values, mask) → context, called as the package calls its own."""

    def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, dropout: float, weights: bool = False):
        return torch.as_tensor(yours(queries, keys, values, mask)).to(queries), None

    return attend


def _mine(yours: Function) -> Function:
    """The lesson's (relevance, k) → positives."""
    return lambda relevance, k, candidates=None: torch.as_tensor(yours(relevance.detach(), k)).bool()


def _log_partition(yours: Function) -> Function:
    """The lesson's (emissions, transitions, start, end) of one post → log Z, for a batch."""

    def log_partition(crf: CRF, emissions: Tensor, mask: Tensor) -> Tensor:
        arguments = crf.transitions, crf.start_transitions, crf.end_transitions
        return torch.stack(
            [
                torch.as_tensor(yours(emissions[: int(words.sum()), row], *arguments))
                for row, words in enumerate(mask.unbind(1))
            ]
        )

    return log_partition


PLACES: dict[str, tuple[Any, str, Callable[[Function], Function]]] = {
    "interweave.row_weights": ("mgips.model.interweave", "row_weights", lambda yours: yours),
    "interweave.column_weights": ("mgips.model.interweave", "column_weights", lambda yours: yours),
    "mutual_attention.attend": ("mgips.model.mutual_attention", "attend", _attend),
    "pair_mining.mine": ("mgips.model.mgips", "mine", _mine),
    "pair_mining.ips_loss": ("mgips.model.mgips", "ips_loss", lambda yours: yours),
    "crf.forward": (CRF, "_compute_normalizer", _log_partition),
}
"""For each exercise where its function goes, and how it is called there."""


def rebuild(name: str, yours: Function, model: MGIPS, posts: Sequence[Tweet]) -> None:
    """Check a function; where it is right, put it into a trained model, and print F1 and loss before and with it.

    Args:
        name: an exercise of PLACES.
        yours: the function.
        model: a trained model. Where it has no part that the function computes, that is said.
        posts: what to score, with tags.

    Raises:
        ConfigError: the exercise is no part of the model, or there are no tagged posts.
    """
    if name not in PLACES:
        raise ConfigError(f"{name!r} is no part of the model; choose one of {', '.join(PLACES)}.")
    if not posts or not all(post.tags for post in posts):
        raise ConfigError("Give posts with tags: they are scored before and with your function.")
    verdict = judge(exercise_of(name), yours)
    print(verdict)
    if not verdict.right:
        return
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        # What a function writes into its arguments stays with it.
        return yours(*(x.clone() if isinstance(x, Tensor) else x for x in arguments), **named)

    with_ours = measured(model, posts)
    try:
        with replaced(name, counted):
            with_yours = measured(model, posts)
    except Exception as error:  # the reader's own code, or what it returned
        where = "stopped in the trained model" if calls else "could not be put into the model"
        print(f"  {MARKS[False]} Your function {where}: {told(error)}")
        return
    if not calls:
        print(f"  {MARKS[None]} This model has no such part: it never called your function.")
        return
    for what, ours in with_ours.items():
        now = with_yours[what]
        same = MARKS[now == ours or abs(now - ours) <= 1e-4 * max(1.0, abs(ours)) or (now != now and ours != ours)]
        print(f"  {same} {what}: {ours:.4f} with the package's, {now:.4f} with yours")


@contextlib.contextmanager
def replaced(name: str, yours: Function) -> Iterator[None]:
    """Every model computes this part with `yours`, for as long as it lasts."""
    place, attribute, called = PLACES[name]
    target = mock.patch.object(place, attribute, called(yours)) if isinstance(place, type) else mock.patch(f"{place}.{attribute}", called(yours))  # fmt: skip
    with target:
        yield


def measured(model: MGIPS, posts: Sequence[Tweet]) -> dict[str, float]:
    """F1 in per cent on all posts, and each term of the loss on the first BATCH of them."""
    found = {"F1": 100 * score([post.tags for post in posts], model.predict(posts)).f1}
    with model.evaluating():
        batch = model.batcher(posts[:BATCH]).to(model.device)
        terms = model.loss(model(batch), batch).terms
    return found | {f"loss, {term}": float(value) for term, value in terms.items()}
