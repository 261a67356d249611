"""Mining at scale, measured: exact mining and FAISS's indexes over many synthetic images; one JSON object to stdout.

    .venv/bin/python tests/benchmarks/mining_scale.py --images 1000000 --texts 10000 > tests/benchmarks/mining_scale.json

The vectors fall into clusters, as pictures of the same events do: a text and its image are a cluster's centre and noise.
Seconds are those of the processor, on one thread, since a machine may be shared; a product is a bare one of the same
sizes, in blocks. .github/SCALE.md repeats the numbers.
"""

import argparse
import json
import platform
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mgips.mining import mine_split
from mgips.mining.approximate import mine_approximately
from mgips.mining.exact import BLOCK, TILE


def cpu_seconds(call: Callable[[], object]) -> tuple[float, object]:
    """How long the processor took, and the result."""
    started = time.process_time()
    result = call()
    return round(time.process_time() - started, 2), result


def clustered(texts: int, images: int, d: int, clusters: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """(texts, d) and (images, d) float32; image i is text i's own."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((clusters, d), dtype=np.float32)
    which = rng.integers(0, clusters, images)
    made = np.empty((images, d), dtype=np.float32)
    for start in range(0, images, 1 << 16):
        part = which[start : start + (1 << 16)]
        made[start : start + len(part)] = centres[part]
        made[start : start + len(part)] += noise * rng.standard_normal((len(part), d), dtype=np.float32)
    own = centres[which[:texts]] + noise * rng.standard_normal((texts, d), dtype=np.float32)
    return own, made


def product(texts: torch.Tensor, images: torch.Tensor) -> None:
    """Every text with every image, in the blocks that mining uses, and nothing else."""
    buffer = torch.empty(BLOCK, TILE)
    for left in range(0, len(images), TILE):
        tile = images[left : left + TILE]
        for start in range(0, len(texts), BLOCK):
            some = texts[start : start + BLOCK]
            torch.mm(some, tile.T, out=buffer[: len(some), : len(tile)] if len(tile) == TILE else None)


def processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("images", 1_000_000), ("texts", 10_000), ("d", 384), ("k", 20), ("clusters", 50_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--indexes", nargs="*", default=["ivf", "ivfpq"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    texts, images = clustered(given.texts, given.images, given.d, given.clusters, noise=1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = torch.arange(given.texts)
    bare, _ = cpu_seconds(lambda: product(torch.from_numpy(texts), torch.from_numpy(images)))
    exact, mined = cpu_seconds(lambda: mine_split(texts, images, given.k, memory=given.memory, own=own))
    told = {
        "processor": processor(),
        "torch": torch.__version__,
        "sizes": {name: getattr(given, name) for name in ("texts", "images", "d", "k", "clusters")},
        "memory": given.memory,
        "product_seconds": bare,
        "exact": {
            "seconds": exact,
            "over_product": round(exact / bare, 2),
            "extra_megabytes": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000),
        },
    }
    if given.indexes:
        import faiss

        faiss.omp_set_num_threads(1)
        told["faiss"] = faiss.__version__
    for index in given.indexes:
        seconds, result = cpu_seconds(
            lambda index=index: mine_approximately(texts, images, given.k, index, own=own, cells=given.images // 1000)
        )
        share = float((result.mined.score >= mined.score[:, -1:]).sum(1).double().mean()) / given.k
        told[index] = {
            "index": result.index,
            "seconds": seconds,
            "recall": round(share, 4),
            "recall_sampled": round(result.recall, 4),
            "sampled": result.sampled,
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
