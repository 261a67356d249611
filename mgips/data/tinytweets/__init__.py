"""TinyTweets: a corpus that the package draws, with a seed, whose every answer is known."""

from mgips.data.tinytweets.posts import VERSION, tinytweets
from mgips.data.tinytweets.truth import Truth, oracle, relevance_matrix, relevant

__all__ = ["VERSION", "Truth", "oracle", "relevance_matrix", "relevant", "tinytweets"]
