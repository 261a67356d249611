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
from torch.utils.flop_counter import FlopCounterMode

from mgips.config import RANDOM, TrainConfig, preset
from mgips.data.tinytweets.posts import tinytweets
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
