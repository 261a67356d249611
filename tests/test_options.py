"""Options of training that save memory: the same gradients with layers computed twice, and from several batches a step."""

import contextlib
import dataclasses
import itertools
import signal

import pytest
import torch
from builders import corpus, save_text_checkpoint, tiny_config, tiny_model, tweets
from test_training import READS, assert_two_processes_do_what_one_does, dated_corpus, quick, reading_config

import mgips.training as training
from mgips.config import CAPTIONS
from mgips.data.batch import TweetDataset
from mgips.errors import ConfigError, RunError
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.training import Trainer, train

PARTS = ("text", "image", "fusion", "contrast", "head")
STILL = {f"lr_{part}": 0.0 for part in PARTS}


# ---- gradient checkpointing ----


def gradients(model: MGIPS, checkpointing: bool, precision: torch.dtype | None = None):
    """Losses, every gradient and the generator's state after a step with dropout; layers computed, and bytes kept."""
    posts = [dataclasses.replace(t, time=i / 3, caption="a dog on a beach") for i, t in enumerate(tweets(8))]
    batch, kept, calls = model.batcher(posts), {}, []
    model.train().zero_grad()
    model.encoder.gradient_checkpointing = checkpointing
    real = model.encoder.layer
    model.encoder.layer = lambda *arguments: (calls.append(1), real(*arguments))[1]
    torch.manual_seed(3)

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        with torch.autocast("cpu", precision) if precision else contextlib.nullcontext():
            loss = model.loss(model(batch), batch)
    forward = len(calls)
    loss.total.backward()
    del model.encoder.layer
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return [loss.total.detach(), grads, torch.get_rng_state()], (forward, len(calls)), sum(kept.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"images": False},
        {"mutual_attention": False},
        {"contrast_on": "unimodal"},
        {"image_encoder": CAPTIONS},
        dataclasses.asdict(reading_config()),
    ],
    ids=["full", "text", "no-mutual", "unimodal", "captions", "reads"],
)
def test_layers_computed_twice_give_the_same_bits(changes):
    model = tiny_model(**{**changes, "dropout": 0.3})
    model.encoder.text.attention_dropout = 0.2  # as pretrained encoders of text have it
    plain, (forward, done), kept = gradients(model, False)
    again, (_, twice), less = gradients(model, True)
    assert forward == done and twice == 2 * done, "the layers were not computed a second time"
    assert plain[0] == again[0] and torch.equal(plain[2], again[2])
    assert plain[1].keys() == again[1].keys()
    for name, gradient in plain[1].items():
        assert torch.equal(gradient, again[1][name]), name
    assert less < kept


def test_layers_computed_twice_in_mixed_precision_and_without_gradients():
    model = tiny_model(dropout=0.3)
    plain, again = gradients(model, False, torch.bfloat16)[0], gradients(model, True, torch.bfloat16)[0]
    assert plain[0] == again[0] and all(torch.equal(g, again[1][name]) for name, g in plain[1].items())
    expected = tiny_model(dropout=0.3).predict(tweets(8))
    calls = []
    real = model.encoder.layer
    model.encoder.layer = lambda *arguments: (calls.append(1), real(*arguments))[1]
    assert model.predict(tweets(8)) == expected and len(calls) == 4  # two layers of two towers, once


def test_training_with_checkpointing_ends_in_the_same_bits_and_is_written_down(tmp_path):
    text = str(save_text_checkpoint(tmp_path / "bert", num_hidden_layers=2))  # with dropout on attention
    config = tiny_config(text_encoder=text, dropout=0.2)
    plain = train(corpus(), config, quick(), progress=False)
    run = train(corpus(), config, quick(gradient_checkpointing=True), tmp_path / "run", progress=False)
    assert weights_hash(run.model) == weights_hash(plain.model) and run.test == plain.test
    assert '"gradient_checkpointing": true' in (tmp_path / "run" / "run.json").read_text()
    model = run.model
    assert model.encoder.gradient_checkpointing
    with pytest.warns(UserWarning, match="trained already"):
        Trainer(corpus(), model, quick(), progress=False)
    assert not model.encoder.gradient_checkpointing, "a model keeps what an earlier trainer asked for"


# ---- several batches a step ----


def gradients_of_steps(posts, config, model) -> list[dict[str, torch.Tensor]]:
    """What a trainer gives the optimiser, step by step."""
    model = MGIPS.build(model, posts.train, seed=0)
    trainer = Trainer(posts, model, config, progress=False)
    real, steps = trainer.optimizer.step, []

    def step():
        steps.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        real()

    trainer.optimizer.step = step
    for _ in trainer:
        pass
    return steps


@pytest.mark.parametrize("count", [16, 20, 18])
def test_two_batches_of_four_are_one_of_eight_for_a_model_without_contrast(count):
    """Also where the epoch's last step has fewer batches, or a smaller one alone."""
    posts, model = corpus(count), tiny_config(images=False, dropout=0.0)
    changes = {"max_grad_norm": 0.0, "epochs": 2}
    two = gradients_of_steps(posts, quick(accumulate=2, **STILL, **changes), model)
    one = gradients_of_steps(posts, quick(batch_size=8, **STILL, **changes), model)
    assert len(two) == len(one) == 2 * -(-count // 8)
    for a, b in zip(two, one, strict=True):
        assert a.keys() == b.keys() and any(g.abs().max() > 1e-2 for g in a.values())
        for name, gradient in a.items():
            torch.testing.assert_close(gradient, b[name], atol=1e-6, rtol=1e-5, msg=name)


def test_two_batches_of_four_train_as_one_of_eight_does():
    """In double precision: Adam makes whole steps of what rounding leaves of a gradient of zero."""
    ends = []
    for config in (quick(accumulate=2, epochs=4), quick(batch_size=8, epochs=4)):
        model = MGIPS.build(tiny_config(images=False, dropout=0.0), corpus(20).train, seed=0).double()
        trainer = Trainer(corpus(20), model, config, progress=False)
        terms = torch.tensor([step.loss.terms["crf"] for step in trainer])
        ends.append(
            (trainer.number, terms, dict(model.named_parameters()), [line["dev_f1"] for line in trainer.history])
        )
    (number, terms, weights, scores), (others, others_terms, others_weights, others_scores) = ends
    assert number == others == 12 and scores == others_scores
    torch.testing.assert_close(terms, others_terms, atol=1e-5, rtol=0)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others_weights[name], atol=1e-6, rtol=0, msg=name)


@pytest.mark.parametrize("ips_warmup", [0, 1])
def test_a_step_has_the_mean_gradient_of_its_batches(ips_warmup):
    """Each contrasts its own tweets alone. 22 posts: 4 + 4 + 4 + 4, then 4 + 2."""
    posts, config = corpus(22), tiny_config(dropout=0.0)
    settings = quick(accumulate=4, epochs=2, ips_warmup=ips_warmup, max_grad_norm=0.0, **STILL)
    steps = gradients_of_steps(posts, settings, config)
    model = MGIPS.build(config, posts.train, seed=0).train()
    data = TweetDataset(posts.train, model.batcher, progress=False)
    trainer = Trainer(posts, MGIPS.build(config, posts.train, seed=0), settings, progress=False)
    assert trainer.steps_per_epoch == 2
    for number, (given, step) in enumerate(zip(steps, trainer, strict=True)):
        places = training.training_batches(posts.train, 4, settings.seed, number // 2)
        group = places[4 * (number % 2) :][:4]
        assert [batch.ids for batch in step.batches] == [tuple(posts.train[i].id for i in batch) for batch in group]
        assert step.epoch == number // 2 + 1 and (step.scores is not None) == (number % 2 == 1)
        total: dict[str, torch.Tensor] = {}
        losses = []
        for batch in group:
            model.zero_grad()
            loss = model.loss(model(data[batch]), data[batch], self_mined=number >= 2 * ips_warmup)
            loss.total.backward()
            losses.append(loss)
            for name, p in model.named_parameters():
                if p.grad is not None:
                    total[name] = total.get(name, torch.zeros_like(p)) + p.grad / len(group)
        assert given.keys() == total.keys()
        for name, gradient in given.items():
            torch.testing.assert_close(gradient, total[name], atol=1e-5, rtol=1e-4, msg=name)
        assert step.loss.terms.keys() == losses[0].terms.keys()
        for name, value in step.loss.terms.items():
            mean = sum(loss.terms[name].item() for loss in losses) / len(losses)
            assert value.item() == pytest.approx(mean, rel=1e-5)
        assert step.norm.item() == pytest.approx(
            torch.stack([g.norm() for g in total.values()]).norm().item(), rel=1e-4
        )
        torch.testing.assert_close(step.loss.contrast.relevance, losses[-1].contrast.relevance.detach())
    line = trainer.history[1]
    assert line["step"] == 4 and line["loss_crf"] > 0


GROUPED = {"batch_size": 3, "accumulate": 2}  # 14 posts: 3 + 3, 3 + 3, 2 an epoch


@pytest.fixture(scope="module")
def whole_run():
    return train(corpus(14), tiny_config(), quick(**GROUPED), progress=False)


@pytest.mark.parametrize(("step", "every"), [(1, 1), (3, 1), (5, 2), (8, 3)])
def test_a_killed_run_of_several_batches_a_step_resumes_to_the_same_bits(tmp_path, whole_run, step, every):
    settings = quick(**GROUPED, checkpoint_every=every)
    trainer = Trainer(corpus(14), tiny_config(), settings, tmp_path / "cut", progress=False)
    assert trainer.steps_per_epoch == 3
    steps = [trainer.step() for _ in range(step)]
    assert [[len(b.ids) for b in s.batches] for s in steps] == ([[3, 3], [3, 3], [2]] * 3)[:step]
    torch.rand(7)
    resumed = train(corpus(14), tiny_config(), settings, tmp_path / "cut", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole_run.model) and resumed.test == whole_run.test
    assert [line["step"] for line in resumed.history] == [3, 6, 9]
    for line, expected in zip(resumed.history, whole_run.history, strict=True):
        assert {**line, "seconds": 0} == {**expected, "seconds": 0}


def test_a_killed_run_that_reads_and_accumulates_resumes_to_the_same_bits(tmp_path):
    """Its memory holds batches, not steps, and all batches of a step read the same past ones."""
    settings = quick(**GROUPED, **READS)
    whole, read = Trainer(dated_corpus(14), reading_config(), settings, progress=False), []
    whole.model.register_forward_pre_hook(
        lambda module, inputs, options: read.append(options) if module.training else None, with_kwargs=True
    )
    seen = set()
    for step in whole:
        past = [options["pool"].ids if options["pool"] is not None else () for options in read]
        assert len(step.batches) == len(read) and len(set(past)) == 1, "two batches of a step read different pools"
        if read[0]["read_batch"]:  # not among strangers
            assert [pool.ids for pool in whole._memory][-len(read) :] == [batch.ids for batch in step.batches]
        seen.add((bool(past[0]), read[0]["read_batch"]))
        read.clear()
    assert len(seen) == 4, "not every way of reading was met"
    expected = whole.finish()
    trainer = Trainer(dated_corpus(14), reading_config(), settings, tmp_path / "cut", progress=False)
    for _ in range(5):
        trainer.step()
    resumed = train(dated_corpus(14), reading_config(), settings, tmp_path / "cut", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(expected.model) and resumed.test == expected.test


@pytest.mark.parametrize("where", ["step", "batch"])
def test_ctrl_c_between_two_batches_of_a_step(tmp_path, whole_run, monkeypatch, listening, where):
    """While one is computed: the whole step is done first. While one is assembled: the step is not begun."""
    settings = quick(**GROUPED, checkpoint_every=0)
    trainer, count = Trainer(corpus(14), tiny_config(), settings, tmp_path / "run", progress=False), itertools.count(1)

    def press():
        if next(count) == 7:  # the second batch of step 4
            signal.raise_signal(signal.SIGINT)

    if where == "step":
        trainer.model.register_forward_pre_hook(lambda module, inputs: press() if module.training else None)
    else:
        data, real = trainer.data["train"], TweetDataset.__getitem__
        monkeypatch.setattr(
            TweetDataset, "__getitem__", lambda self, i: (press() if self is data else None, real(self, i))[1]
        )
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    monkeypatch.undo()
    saved = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert saved["step"] == trainer.number == (4 if where == "step" else 3)
    resumed = train(corpus(14), tiny_config(), settings, tmp_path / "run", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole_run.model) and resumed.test == whole_run.test


def test_patience_and_the_schedule_count_steps_of_the_optimiser():
    settings = quick(**GROUPED, epochs=9, patience=2, **STILL)
    run = train(corpus(14), tiny_config(), settings, progress=False)
    assert [line["step"] for line in run.history] == [3, 6, 9]
    trainer = Trainer(corpus(14), tiny_config(), quick(**GROUPED, warmup_ratio=0.0), progress=False)
    rates = []
    for _ in trainer:
        rates.append(trainer.schedule.get_last_lr()[0] / 5e-3)
    assert rates == pytest.approx([1 - step / 9 for step in range(1, 10)])


def test_a_bad_step_names_the_tweets_of_all_its_batches():
    model = tiny_model(k=1)
    trainer = Trainer(corpus(), model, quick(batch_size=2, accumulate=2, log_every=1), progress=False)
    with torch.no_grad():
        model.classifier[1].weight.fill_(float("nan"))
    expected = training.training_batches(corpus().train, 4, 0, 0)[0]
    with pytest.raises(RunError, match=", ".join(corpus().train[i].id for i in expected)):
        trainer.step()


def test_k_is_limited_by_one_batch():
    with pytest.raises(ConfigError, match="k is 6, but a batch holds only 4"):
        train(corpus(), tiny_config(k=6), quick(accumulate=4), progress=False)


TWO = [
    ({}, {"memory": 0, "accumulate": 2}),
    ({}, {**READS, "accumulate": 2, "gradient_checkpointing": True}),
]


@pytest.mark.slow
def test_two_processes_accumulate_as_one_does(tmp_path):
    assert_two_processes_do_what_one_does(TWO, 2, tmp_path)
