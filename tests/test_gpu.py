"""What only a GPU shows: the same numbers as on the CPU, training in bf16, resuming. Skipped where there is none."""

import pytest
import torch
from builders import corpus, loss_of, tiny_config, tiny_model, tweets

from mgips.config import TrainConfig
from mgips.training import train

pytestmark = pytest.mark.gpu


def test_a_gpu_computes_what_a_cpu_computes():
    model = tiny_model()
    batch = model.batcher(tweets(8))
    here, losses = model(batch, attention=True), loss_of(model, batch)
    model.cuda()
    there, losses_there = model(batch.to("cuda"), attention=True), loss_of(model, batch.to("cuda"))
    torch.testing.assert_close(there.emissions.cpu(), here.emissions, rtol=1e-4, atol=1e-4)
    for name, value in losses.terms.items():
        assert losses_there.terms[name].item() == pytest.approx(value.item(), rel=1e-4)
    assert model.predict(tweets(8)) == tiny_model().predict(tweets(8))


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_it_learns_on_a_gpu(precision, tmp_path):
    rates = {f"lr_{part}": 5e-3 for part in ("text", "image", "fusion", "contrast", "head")}
    config = TrainConfig(epochs=15, batch_size=4, precision=precision, **rates)
    data = corpus()
    run = train(data, tiny_config(), config, tmp_path / "run", progress=False)
    assert run.model.device.type == "cuda"
    assert run.history[-1]["loss_crf"] < 0.2 * run.history[0]["loss_crf"]


def test_a_training_step_never_waits_for_the_device():
    model = tiny_model().cuda().train()
    batch = model.batcher(tweets(8)).to("cuda")
    loss_of(model, batch).total.backward()  # lazy initialisation may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss_of(model, batch).total.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(p.grad is not None for p in model.parameters())
