"""The forward pass as an ONNX graph, for runtimes without torch. Needs the packages onnx and onnxscript."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from mgips.data.batch import Batch
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.files import write_atomically
from mgips.model.mgips import MGIPS


class Emissions(nn.Module):
    """`model(batch).emissions` with tensors for arguments."""

    def __init__(self, model: MGIPS) -> None:
        super().__init__()
        self.model = model

    def forward(self, pieces: Tensor, piece_mask: Tensor, first: Tensor, crops: Tensor | None = None) -> Tensor:
        """The fields of `Batch` by these names → (B, w, C)."""
        batch = Batch((), (), pieces, piece_mask, first, torch.ones_like(first).bool(), None, crops, piece_mask[:, 0])
        return self.model(batch).emissions


def export_onnx(model: MGIPS, path: str | Path) -> None:
    """Write the graph from the fields of a `Batch` to its emissions, with any number of tweets, pieces and words.

    Inputs: pieces (B, n) int64, piece_mask (B, n) bool, first (B, w) int64, and for a model with images crops
    (B, crops, side, side, 3) uint8. Output: emissions (B, w, C) float32. n is at most `max_length`. Left to the caller:
    decoding (the transitions of the CRF are weights of the model), and the windows of a model with an `overlap`, each of
    which is a post to the graph (`mgips.data.windows`).

    Args:
        path: where the graph goes; its folder is made.

    Raises:
        DataError: it cannot be written.
        ConfigError: a text row of Table 2, whose embedding or BiLSTM the exporter does not follow, a model that reads
            captions or a pool, or packages that are not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise ConfigError("The export needs the packages onnx and onnxscript: pip install 'mgips[onnx]'.")
    if model.reader is not None:
        raise ConfigError("A model that reads a pool cannot be exported; use one that does not, such as variant own.")
    if model.bilstm is not None:
        raise ConfigError("A model with a BiLSTM cannot be exported; use a variant without one.")
    example = Tweet("example", ("a", "few", "words"))
    batch = model.batcher([example, example])
    if batch.captions is not None:
        raise ConfigError("A model that reads captions cannot be exported; use one that reads pictures.")
    tweets, words = Dim("tweets", min=1), Dim("words", min=1)
    pieces = Dim("pieces", min=3, max=model.config.max_length)
    inputs = {"pieces": batch.pieces, "piece_mask": batch.piece_mask, "first": batch.first}
    shapes = {"pieces": {0: tweets, 1: pieces}, "piece_mask": {0: tweets, 1: pieces}, "first": {0: tweets, 1: words}}
    if batch.crops is not None:
        inputs["crops"] = batch.crops
        shapes["crops"] = {0: tweets}
    with model.evaluating(), silenced():
        graph = torch.onnx.export(
            Emissions(model).eval(),
            kwargs={name: x.to(model.device) for name, x in inputs.items()},
            dynamo=True,
            input_names=list(inputs),
            output_names=["emissions"],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert graph is not None
    write_atomically(path, graph.model_proto.SerializeToString())


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silence the exporter's warnings, that equal axes share a name and that torchvision is not there; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
