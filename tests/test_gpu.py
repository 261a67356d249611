"""What only a GPU shows: the same numbers as on the CPU, training in bf16, resuming. Skipped where there is none."""

import dataclasses

import pytest
import torch
from builders import corpus, loss_of, tiny_config, tiny_model, tweets

from mgips.config import RELEVANCE, TrainConfig
from mgips.model.pretrained import weights_hash
from mgips.model.reading import Pool
from mgips.training import Trainer, train

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


READS = {**RELEVANCE, "read": "sparsemax"}


def dated(posts):
    return tuple(dataclasses.replace(post, time=i / 3) for i, post in enumerate(posts))


def test_a_pool_of_a_gpu_serves_a_cpu(tmp_path):
    model, posts = tiny_model(**READS), dated(tweets(8))
    here = model.pool(posts)
    expected = model(model.batcher(posts), pool=here)
    model.cuda()
    there = model.pool(posts)
    assert there.keys.is_cuda and there.there.is_cuda and there.weights == here.weights
    torch.testing.assert_close(there.keys.cpu(), here.keys, rtol=1e-4, atol=1e-4)
    out = model(model.batcher(posts).to("cuda"), pool=there)
    torch.testing.assert_close(out.emissions.cpu(), expected.emissions, rtol=1e-4, atol=1e-3)
    tags = model.predict(posts, pool=here)  # a pool follows its model
    there.save(tmp_path / "pool")
    assert tiny_model(**READS).predict(posts, pool=Pool.load(tmp_path / "pool")) == tags


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_run_that_reads_resumes_on_a_gpu(tmp_path, precision):
    data = corpus()
    data = dataclasses.replace(data, **{name: dated(data.splits[name]) for name in data.splits})
    config = TrainConfig(epochs=3, batch_size=4, precision=precision, checkpoint_every=1, memory=3, strangers=0.3)
    whole = train(data, tiny_config(**READS), config, progress=False)
    trainer = Trainer(data, tiny_config(**READS), config, tmp_path / "run", progress=False)
    while trainer.number < 7:
        trainer.step()
    resumed = train(data, tiny_config(**READS), config, tmp_path / "run", resume=True, progress=False)
    assert [line["step"] for line in resumed.history] == [4, 8, 12]
    for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)  # not every kernel is deterministic
    assert Pool.load(tmp_path / "run/pool.safetensors").weights == weights_hash(resumed.model)


@pytest.mark.parametrize("changes", [{}, {"read": "top"}, {"read": "softmax", "read_own": False, "read_days": 1}])
def test_reading_never_waits_for_the_device(changes):
    model = tiny_model(**{**READS, **changes}).cuda().train()
    batch = model.batcher(dated(tweets(8))).to("cuda")
    past = model.pool(dated(tweets(8, 1)))

    def step():
        model.loss(model(batch, pool=past, read_batch=True), batch).total.backward()

    step()  # lazy initialisation may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert model.reader.value.weight.grad is not None
