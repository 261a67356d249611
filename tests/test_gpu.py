"""What only a GPU shows: the same numbers as on the CPU, training in bf16, resuming. Skipped where there is none."""

import dataclasses
import gc
import shutil
import warnings

import pytest
import torch
from benchmarks.test_real_sizes import STEPS, STOP, posts, save_encoders
from builders import corpus, loss_of, tiny_config, tiny_model, tweets

from mgips.config import RELEVANCE, TrainConfig, preset
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


def test_the_stepping_panel_adds_no_wait_between_two_drawings(monkeypatch):
    from mgips.lab.widgets import step_through, stepper

    def waits(go) -> int:
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                go()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(warning.message) for warning in told)

    def begun() -> Trainer:
        trainer = Trainer(corpus(), tiny_config(), TrainConfig(epochs=9, batch_size=4), progress=False)
        trainer.step()  # lazy initialisation may wait
        return trainer

    plain = begun()
    least = waits(lambda: [plain.step() for _ in range(5)])
    monkeypatch.setattr(stepper, "LEAST_SECONDS", 1e9)
    panel = step_through(begun())
    monkeypatch.setattr(panel, "redraw", lambda: None)
    stop = iter((False, False, False, False, True))
    assert waits(lambda: panel._start(lambda: next(stop))) == least


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_layers_computed_twice_drop_out_the_same_on_a_gpu(precision):
    model = tiny_model(dropout=0.3).cuda().train()
    model.encoder.text.attention_dropout = 0.2
    batch, gradients = model.batcher(tweets(8)).to("cuda"), []
    for model.encoder.gradient_checkpointing in (False, True):
        torch.manual_seed(3)
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = model.loss(model(batch), batch).total
        loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)  # not every kernel is deterministic


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "bertweet", "large"])
def test_a_preset_trains_and_resumes_at_its_real_size_on_a_gpu(name, tmp_path):
    """In bf16, from random weights; with layers computed twice and two batches a step the memory is less."""
    data = posts((STEPS + 1) * 16)
    places = save_encoders(name, tmp_path, data)
    peaks, losses = {}, {}
    for how, changes in {
        "plain": {"batch_size": 16},
        "saving": {"batch_size": 8, "accumulate": 2, "gradient_checkpointing": True},
    }.items():
        model, config = preset(name, precision="bf16", checkpoint_every=STOP, **changes, **places)
        gc.collect()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        trainer = Trainer(data, model, config, progress=False)
        losses[how] = [trainer.step().loss.total.item() for _ in range(STEPS)]
        peaks[how] = torch.cuda.max_memory_allocated() - held
        del trainer
        trainer = Trainer(data, model, config, tmp_path / how, progress=False)
        while trainer.number < STOP:
            trainer.step()
        del trainer
        trainer = Trainer(data, model, config, tmp_path / how, resume=True, progress=False)
        assert trainer.number == STOP
        after = [trainer.step().loss.total.item() for _ in range(STEPS - STOP - 1)]
        assert after == pytest.approx(losses[how][STOP:-1], rel=0.05)  # not every kernel is deterministic
        del trainer
        shutil.rmtree(tmp_path / how)
    assert peaks["saving"] < peaks["plain"], peaks


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
