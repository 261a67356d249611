"""Entity vectors on their way through the model, and how well their types lie apart (§4.9, Figure 11).

The paper shows a 3D t-SNE of entity vectors. Two t-SNE pictures cannot be compared with each other, so two numbers are
measured on the full vectors: the silhouette, and how many of an entity's nearest neighbours share its type.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import Span, spans
from mgips.errors import ConfigError, DataError
from mgips.model.mgips import MGIPS, Output

EMBEDDING, MUTUAL, TOWER, MGI, READING = "embedding", "mutual attention", "text tower", "MGI", "reading"
NEIGHBOURS = 10
"""Neighbours that each entity is compared with."""
PERPLEXITY = 30
"""t-SNE's default: roughly the number of neighbours that count."""


class Entity(NamedTuple):
    """A gold entity of a post."""

    tweet: Tweet
    span: Span

    @property
    def ambiguous(self) -> bool | None:
        """Whether the text leaves its type open; None where that is unknown (only TinyTweets knows)."""
        return None if self.tweet.truth is None else (self.span.start, self.span.end) in self.tweet.truth.ambiguous


@dataclass(frozen=True)
class EntityVectors:
    """The N gold entities of a split, in its order, and their vectors at each step through a model."""

    entities: tuple[Entity, ...]
    steps: dict[str, np.ndarray]
    """For each step, in the model's order, (N, d) float32."""
    beyond: int
    """Further gold entities, which start past the cut at `max_length`: the model has no vector for them."""

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def types(self) -> np.ndarray:
        """(N,) the entities' types."""
        return np.array([entity.span.type for entity in self.entities])

    @property
    def ambiguous(self) -> np.ndarray | None:
        """(N,) bool, see `Entity.ambiguous`; None where that is unknown."""
        known = [entity.ambiguous for entity in self.entities]
        return None if None in known else np.array(known)


def steps(model: MGIPS, out: Output) -> dict[str, Tensor]:
    """The text's vectors at each step through a model, by the step's name: (B, n, d) each.

    "embedding" is S^e (eq. 1); "mutual attention" is T_0 = H^t (eqs 2-4), "text tower" where it meets no image; "MGI"
    is z (eq. 13), what the classifier reads. Of a model that reads other posts' pictures the last is "reading", z'.
    """
    meets = model.config.images and model.config.mutual_attention
    vectors = {EMBEDDING: out.embedded[0], MUTUAL if meets else TOWER: out.towers[0]}
    if out.reading is not None:
        return {**vectors, READING: out.text}
    return vectors if out.text_gate is None else {**vectors, MGI: out.text}


def entity_vectors(model: MGIPS, data: TweetDataset, batch_size: int = 64) -> EntityVectors:
    """The vectors of a split's gold entities (seqeval's default reading): the mean over an entity's words, each by its
    first piece. Words past the cut do not count; DataError if no entity is before it. What a model that reads may read
    are the split's own pictures."""
    total = sum(len(spans(tweet.words, tweet.tags)) for tweet in data.tweets)
    inside = [
        [Entity(tweet, span) for span in spans(tweet.words, tweet.tags) if span.start < len(encoded.first)]
        for tweet, encoded in zip(data.tweets, data.encoded, strict=True)
    ]
    entities = tuple(chain.from_iterable(inside))
    if not entities:
        raise DataError("None of these posts has a gold entity before the cut; give labelled posts.")

    vectors: dict[str, dict[int, list[np.ndarray]]] = {}  # by step, by the post's place
    pool = model.pool(data) if model.reader is not None else None
    for indices, batch, out in model.outputs(data, batch_size, pool):
        for name, values in steps(model, out).items():
            words = values.gather(1, batch.first.unsqueeze(-1).expand(-1, -1, values.shape[-1]))  # (B, w, d)
            for place, row in zip(indices, words.float().cpu().numpy(), strict=True):
                row = row[: len(data.encoded[place].first)]
                means = [row[span.start : span.end].mean(0) for _, span in inside[place]]
                vectors.setdefault(name, {})[place] = means
    matrices = {
        name: np.array([mean for place in range(len(inside)) for mean in means[place]])
        for name, means in vectors.items()
    }
    return EntityVectors(entities, matrices, beyond=total - len(entities))


@dataclass(frozen=True)
class Purity:
    """What `purity` returns."""

    purity: float
    """Share of neighbours of the own type, averaged over entities, in [0, 1]."""
    chance: float
    """The same if the neighbours were drawn at random from all other entities."""
    count: int
    """Entities averaged over."""


def neighbours(vectors: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The k nearest others of each vector (Euclidean), the nearest first: (N, d) → (N, k) int64; 1 ≤ k < N."""
    count = len(vectors)
    if not 1 <= k < count:
        raise ConfigError(f"k is {k}, but each of these {count} entities has {count - 1} others; choose k among them.")
    search = NearestNeighbors(n_neighbors=k).fit(vectors.astype(np.float64))
    return search.kneighbors(return_distance=False)  # without arguments: no vector is its own neighbour


def purity(vectors: np.ndarray, types: np.ndarray, k: int = NEIGHBOURS, of: np.ndarray | None = None) -> Purity:
    """k-NN purity: the share of an entity's k nearest neighbours that have its type, averaged over entities.

    Args:
        vectors, types: (N, d) and (N,), with 1 ≤ k < N.
        of: (N,) bool, the entities to average over, at least one; all by default. Neighbours come from all N either way.
    """
    of = np.ones(len(types), dtype=bool) if of is None else of
    if not of.any():
        raise ConfigError("There is no entity to average over; choose at least one.")
    same = types[neighbours(vectors, k)] == types[:, None]  # (N, k)
    _, inverse, counts = np.unique(types, return_inverse=True, return_counts=True)
    chance = (counts[inverse] - 1) / (len(types) - 1)
    return Purity(float(same[of].mean()), float(chance[of].mean()), int(of.sum()))


def silhouette(vectors: np.ndarray, types: np.ndarray) -> float:
    """Mean silhouette of at least two types (Euclidean), in [-1, 1]: 0 if a type is no closer to itself than to the next."""
    if len(np.unique(types)) < 2:
        raise ConfigError(
            "A silhouette compares types, and these entities have fewer than two; give entities of more types."
        )
    return float(silhouette_score(vectors.astype(np.float64), types))


def tsne(vectors: np.ndarray, dimensions: int, perplexity: float = PERPLEXITY, iterations: int = 1000) -> np.ndarray:
    """t-SNE from the principal components, with a fixed seed: (N, d) → (N, dimensions) float32; 0 < perplexity < N."""
    count = len(vectors)
    if not 0 < perplexity < count:
        raise ConfigError(
            f"The perplexity is {perplexity:g}, but there are {count} entities; choose it between 0 and {count}."
        )
    # scikit-learn's own rate, N / 48 but at least 50, scatters a hundred points far too widely in 3D.
    rate: Any = min(max(count / 48, 50), count / 12)  # a number, which scikit-learn's annotation does not know
    method = TSNE(
        dimensions, perplexity=perplexity, max_iter=iterations, learning_rate=rate, init="pca", random_state=0
    )
    return method.fit_transform(vectors)


def measure(entities: EntityVectors) -> dict[str, dict[str, Any]]:
    """For each step its silhouette and its purity, both on the full vectors, ready for JSON.

    "ambiguous" holds the purity of the entities that the text leaves open, None where it is unknown which.
    """
    types, ambiguous = entities.types, entities.ambiguous
    return {
        name: {
            "silhouette": silhouette(vectors, types),
            **vars(purity(vectors, types)),
            "ambiguous": None if ambiguous is None else vars(purity(vectors, types, of=ambiguous)),
        }
        for name, vectors in entities.steps.items()
    }


def collect(model: MGIPS, corpus: Corpus, seed: int, coordinates: bool = False) -> dict[str, Any]:
    """What Figure 11 is drawn from: the test split's entities in a trained model and in the one it started from.

    Args:
        model, corpus, seed: of a run; the start's vocabulary comes from the training split.
        coordinates: add the t-SNE in 3D and 2D (half a minute), and which entity is where. Posts are kept by id,
            without their words.

    Returns:
        A record for JSON: "k", "beyond", and under "trained" and "untrained", step by step, what `measure` returns;
        with coordinates also "perplexity", "entities" (id, type, first word and word after the last), and in every
        step "xyz" and "xy".
    """
    start = MGIPS.build(model.config, corpus.train, seed).to(model.device)
    data = TweetDataset(corpus.test, model.batcher, progress=False)
    trained, untrained = entity_vectors(model, data), entity_vectors(start, data)
    record: dict[str, Any] = {"split": "test", "k": NEIGHBOURS}
    record |= {"trained": measure(trained), "untrained": measure(untrained), "beyond": trained.beyond}
    if coordinates:
        record["perplexity"] = min(PERPLEXITY, (len(trained) - 1) // 3)  # a third of the entities at most
        record["entities"] = [[tweet.id, span.type, span.start, span.end] for tweet, span in trained.entities]
        for name, vectors in (("trained", trained), ("untrained", untrained)):
            for step, matrix in vectors.steps.items():
                for axes in ("xyz", "xy"):
                    points = tsne(matrix, len(axes), record["perplexity"])
                    record[name][step][axes] = points.astype(float).round(2).tolist()
    return record
