"""A training step of the paper's size in bf16 on a GPU, from random weights: written to MGIPS_BENCH_OUT as JSON.

Samples a second, the share of the device's own matrix-product rate, and the peak of its memory.
"""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest
import torch
import torchcrf
from benchmarks.test_speed import tiny_epoch
from torch.utils.flop_counter import FlopCounterMode

from mgips.config import RANDOM, TrainConfig, preset
from mgips.data.tinytweets.posts import tinytweets
from mgips.model.crf import CRF
from mgips.model.mgips import MGIPS
from mgips.training import parameter_groups

pytestmark = pytest.mark.gpu


def timed(call, rounds: int) -> float:
    """Seconds of one call, averaged over `rounds` after three to warm up."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(rounds):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / rounds


def test_base_size_step(benchmark):
    tweets = tinytweets(sizes=(128, 1, 1)).train
    config = dataclasses.replace(preset("base")[0], text_encoder=RANDOM, image_encoder=RANDOM)
    model = MGIPS.build(config, tweets, seed=0).cuda().train()
    optimizer = torch.optim.AdamW(parameter_groups(model, TrainConfig()))
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    rate = 2 * 8192**3 / timed(lambda: square @ square, 20)
    found = {"device": torch.cuda.get_device_name(0), "torch": torch.__version__, "matmul_tflops": rate / 1e12}
    for size in (32, 64, 128):
        batch = model.batcher(tweets[:size]).to("cuda")

        def step(batch=batch):
            with torch.autocast("cuda", torch.bfloat16):
                loss = model.loss(model(batch), batch).total
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        torch.cuda.reset_peak_memory_stats()
        seconds = timed(step, 20)

        with FlopCounterMode(display=False) as flops:
            step()
        found[f"batch {size}"] = {
            "samples_per_second": size / seconds,
            "share_of_matmul_rate": flops.get_total_flops() / seconds / rate,
            "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        }
    benchmark.pedantic(step, rounds=1)
    print(json.dumps(found, indent=2))
    if out := os.environ.get("MGIPS_BENCH_OUT"):
        Path(out).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_crf_decoding(benchmark):
    """Over pytorch-crf's, which waits for the device at every tag."""
    ours, theirs = CRF(9, batch_first=True).cuda(), torchcrf.CRF(9, batch_first=True).cuda()
    theirs.load_state_dict(ours.state_dict())
    scores, mask = torch.randn(32, 128, 9, device="cuda"), torch.arange(128, device="cuda") < 100
    mask = mask.expand(32, -1).contiguous()
    assert ours.decode(scores, mask) == theirs.decode(scores, mask)
    ratio = timed(lambda: ours.decode(scores, mask), 10) / timed(lambda: theirs.decode(scores, mask), 3)
    print(f"CRF decoding ÷ pytorch-crf, T = 128: {ratio:.3f}")
    benchmark.pedantic(lambda: ours.decode(scores, mask), rounds=1)
    assert ratio < 1


def test_tiny_epoch_against_its_products(benchmark):
    """Launches, not products, are what a tiny epoch on a GPU waits for; also with windows sorted by length."""
    epoch, products = tiny_epoch()
    windowed, _ = tiny_epoch(length_window=8)
    seconds = {"epoch": timed(epoch, 2), "length_window 8": timed(windowed, 2), "products": timed(products.again, 2)}
    print(json.dumps({name: value / seconds["products"] for name, value in seconds.items()}, indent=2))
    benchmark.pedantic(epoch, rounds=1)
    assert min(seconds.values()) > 0
