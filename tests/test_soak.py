"""Kills at random moments: what is started again ends as if nothing had happened, and leaves nothing lying about.

Three minutes in `make test`; `make soak` goes on for half an hour (MGIPS_SOAK_SECONDS). Sweeps have theirs in
test_sweep_kills.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import corpus, tiny_config
from test_training import READS, dated_corpus, quick, reading_config

from mgips.data.batch import TweetDataset
from mgips.data.crops import crop_cache
from mgips.data.tinytweets.posts import tinytweets
from mgips.files import tensors_hash
from mgips.mining import encode, mine_dataset, streamed
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.training import train

SECONDS = float(os.environ.get("MGIPS_SOAK_SECONDS", 180))


def training(folder: Path) -> str:
    """Three epochs, a checkpoint every second step."""
    settings = quick(epochs=3, checkpoint_every=2)
    run = train(corpus(), tiny_config(), settings, folder / "run", resume=True, progress=False)
    return tensors_hash(run.model.state_dict())


def training_that_reads(folder: Path) -> str:
    """The same with a memory of past batches."""
    settings = quick(epochs=2, checkpoint_every=1, **READS)
    run = train(dated_corpus(), reading_config(), settings, folder / "run", resume=True, progress=False)
    return tensors_hash(run.model.state_dict())


def caching(folder: Path) -> str:
    """Pictures of 300 posts, decoded."""
    cache = crop_cache(tinytweets(sizes=(300, 1, 1)).train, size=32, folder=folder, progress=False)
    return tensors_hash({"pixels": torch.from_numpy(cache[:].copy())})


def small_model() -> tuple[MGIPS, TweetDataset]:
    torch.manual_seed(0)
    posts = dated_corpus()
    model = MGIPS.build(reading_config(), posts.train, seed=0).eval()
    return model, TweetDataset(posts.train, model.batcher, progress=False)


def mining(folder: Path) -> str:
    """Implicit positives of a split, kept in the folder."""
    mined = mine_dataset(*small_model(), k=2, cache=folder, progress=False)
    again = mine_dataset(*small_model(), k=2, cache=folder, progress=False)
    assert torch.equal(mined.index, again.index)
    return tensors_hash({"index": mined.index, "score": mined.score})


def pooling(folder: Path) -> str:
    """A pool, written over itself again and again."""
    model, data = small_model()
    for _ in range(20):
        model.pool(data).save(folder / "pool.safetensors")
    return tensors_hash({"keys": Pool.load(folder / "pool.safetensors").keys})


def encoding(folder: Path) -> str:
    """Vectors of posts that come one by one, and the pairs mined of them, part by part into folders."""
    encode.PART = streamed.PART = 4
    model, data = small_model()
    vectors = encode.encode_into(folder / "vectors", model, iter(data.tweets), batch_size=2)
    mined = streamed.mine_into(folder / "mined", vectors.texts, vectors.images, 2)
    sides = {name: torch.from_numpy(np.array(side)) for name, side in (("t", vectors.texts), ("i", vectors.images))}
    return tensors_hash({**sides, "index": mined.whole().index})


JOBS = {job.__name__: job for job in (training, training_that_reads, caching, mining, pooling, encoding)}


def work(name: str, folder: str) -> None:
    """A process that is going to be killed, once it has said that it is at work."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("at work", flush=True)
    print(JOBS[name](Path(folder)), flush=True)


def attempt(name: str, folder: Path, after: float | None = None, kill: int = signal.SIGKILL) -> tuple[str, float, bool]:
    """What one process answers ("" where it was killed), its seconds, and whether the kill found it at work."""
    folder.mkdir(exist_ok=True)
    code = f"import test_soak; test_soak.work({name!r}, {str(folder)!r})"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert process.stdout is not None and process.stdout.readline() == "at work\n", name
    started, hit = time.monotonic(), False
    if after is not None:
        time.sleep(after)
        hit = process.poll() is None
        process.send_signal(kill)
    said = process.communicate(timeout=120)[0].strip()
    return said, time.monotonic() - started, hit


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    expected, seconds = {}, {}
    for name in JOBS:
        expected[name], seconds[name], _ = attempt(name, tmp_path / f"{name}-whole")
        assert len(expected[name]) == 64, name
    draw, end, kills, rounds = random.Random(0), time.monotonic() + SECONDS, Counter(), Counter()
    while time.monotonic() < end:
        name = min(JOBS, key=lambda job: rounds[job] * seconds[job])
        rounds[name] += 1
        folder, said = tmp_path / f"{name}-{rounds[name]}", ""
        for _ in range(draw.randint(1, 6)):
            kill = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            said, _, hit = attempt(name, folder, draw.uniform(0, 1.2 * seconds[name]), kill)
            kills[name] += hit
            if said:
                break
        if not said:
            said, _, _ = attempt(name, folder)
        if not said and name.startswith("training"):  # it was over, and says so
            said = tensors_hash(MGIPS.from_pretrained(folder / "run").state_dict())
        assert said == expected[name], f"{name} ended otherwise after {kills}"
        assert not [part for part in folder.rglob(".*.part") if name != "pooling"], name
    print(f"\nsoak: {sum(kills.values())} kills ({dict(kills)}), {sum(rounds.values())} jobs, 0 lost, 0 mismatches")
    assert sum(kills.values()) >= len(JOBS)
