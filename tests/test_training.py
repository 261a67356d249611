"""The loop: it learns, it records, it resumes bitwise, and it fails in one sentence without losing anything."""

import dataclasses
import errno
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from builders import corpus, tiny_config, tiny_model, tweets

import mgips
import mgips.training as training
from mgips.config import RELEVANCE, TrainConfig
from mgips.data.batch import evaluation_batches, training_batches
from mgips.data.corpus import Corpus
from mgips.errors import ConfigError, RunError
from mgips.evaluate import score
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.model.reading import Pool
from mgips.training import LossGuard, Trainer, linear_schedule, out_of_patience, train


def quick(**changes) -> TrainConfig:
    rates = {f"lr_{part}": 5e-3 for part in ("text", "image", "fusion", "contrast", "head")}
    return TrainConfig(**{"epochs": 3, "batch_size": 4, "checkpoint_every": 1, "log_every": 2, **rates, **changes})


def cut_after(step_to_stop: int, folder: Path, **changes) -> None:
    """A run that is abandoned after a step."""
    for step in Trainer(corpus(), tiny_config(), quick(**changes), folder, progress=False):
        if step.number == step_to_stop:
            break


def test_training_learns_its_own_sentences_and_leaves_a_run_folder(tmp_path):
    data = corpus()
    again = tuple(dataclasses.replace(tweet, id=f"again-{tweet.id}") for tweet in data.train)
    same = dataclasses.replace(data, dev=again, test=again)
    run = train(same, tiny_config(), quick(epochs=15), tmp_path / "run", progress=False)
    assert run.test.f1 > 0.9, "the model cannot even learn sixteen posts by heart"
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"run.json", "config.json", "model.safetensors", "metrics.jsonl", "results.json", "tokenizer.json"} <= files
    assert "checkpoint.pt" not in files
    told = json.loads((tmp_path / "run/run.json").read_text())
    assert told["corpus"]["sha256"] == same.fingerprint()
    assert told["train"]["lr_text"] == 5e-3 and "torch" in told["versions"] and told["device"]["type"] == "cpu"
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 16))
    assert lines[-1]["loss_crf"] < lines[0]["loss_crf"] and {"loss_ips", "loss_cl"} <= lines[0].keys()
    assert run.epoch == max(lines, key=lambda line: line["dev_f1"])["epoch"]  # the first of the best
    assert json.loads((tmp_path / "run/results.json").read_text())["test"]["f1"] == run.test.f1
    assert MGIPS.from_pretrained(tmp_path / "run").predict(same.test) == run.model.predict(same.test)


@pytest.mark.released(3)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    hashes = [weights_hash(train(corpus(), tiny_config(), quick(seed=s), progress=False).model) for s in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, step):
    whole = train(corpus(), tiny_config(), quick(), tmp_path / "whole", progress=False)
    cut_after(step, tmp_path / "cut")
    torch.rand(7)  # whatever happens in between
    resumed = train(corpus(), tiny_config(), quick(), tmp_path / "cut", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole.model)
    for line, expected in zip(resumed.history, whole.history, strict=True):
        assert {**line, "seconds": 0} == {**expected, "seconds": 0}
    assert resumed.test == whole.test


def test_looking_between_steps_changes_nothing(tmp_path):
    whole = train(corpus(), tiny_config(), quick(), progress=False)
    trainer, seen = Trainer(corpus(), tiny_config(), quick(), tmp_path / "run", progress=False), []
    for step in trainer:
        seen.append(step)
        torch.rand(step.number)
        if step.number % 3 == 0:
            trainer.model.predict(tweets(2))
            trainer.model.eval()
        if step.number == 7:
            break
    trainer.save()
    seen += trainer  # the same object goes on where it was
    assert [step.number for step in seen] == list(range(1, 13))
    assert [step.epoch for step in seen] == [1] * 4 + [2] * 4 + [3] * 4
    assert [step.number for step in seen if step.scores] == [4, 8, 12]
    assert all(torch.isfinite(step.norm) and set(step.loss.terms) == {"crf", "ips", "cl"} for step in seen)
    assert not any(x.requires_grad for step in seen for x in (step.loss.total, *vars(step.loss.contrast).values()))
    run = trainer.finish()
    assert weights_hash(run.model) == weights_hash(whole.model) and run.test == whole.test
    with pytest.raises(RunError, match="This run is over"):
        trainer.step()


def test_a_trainer_is_finished_with_the_best_epoch_so_far():
    trainer = Trainer(corpus(), tiny_config(), quick(), progress=False)
    with pytest.raises(RunError, match="No epoch of this run is done"):
        trainer.finish()
    trainer = Trainer(corpus(), tiny_config(), quick(), progress=False)
    while trainer.number < 6:
        trainer.step()
    assert trainer.finish().epoch == 1 and list(trainer) == []


@pytest.mark.parametrize("where", ["step", "dev"])
def test_ctrl_c_finishes_the_step_saves_and_resumes_to_the_same_bits(tmp_path, monkeypatch, listening, where):
    """A signal inside a step takes effect after it; one while dev is scored takes effect at once."""
    whole = train(corpus(), tiny_config(), quick(), progress=False)
    trainer = Trainer(corpus(), tiny_config(), quick(checkpoint_every=0), tmp_path / "run", progress=False)
    pressed = []

    def press(*_):
        if len(pressed) < 6:
            pressed.append(trainer.number)
            if len(pressed) == 6:
                signal.raise_signal(signal.SIGINT)

    if where == "step":
        trainer.model.register_forward_pre_hook(lambda module, inputs: press() if module.training else None)
    else:
        real = training.split_score
        monkeypatch.setattr(training, "split_score", lambda *rest: (pressed.extend([0] * 5), press(), real(*rest))[-1])
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    monkeypatch.undo()
    saved = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert saved["step"] == trainer.number == (6 if where == "step" else 4)
    assert len(saved["history"]) == (1 if where == "step" else 0)
    resumed = train(corpus(), tiny_config(), quick(checkpoint_every=0), tmp_path / "run", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole.model) and resumed.test == whole.test
    assert [r["dev_f1"] for r in resumed.history] == [r["dev_f1"] for r in whole.history]


# ---- a model that reads: its pool is a memory of past batches, and part of what is resumed ----

READS = {"memory": 3, "strangers": 0.3}


def reading_config(**changes):
    return tiny_config(**{**RELEVANCE, "read": "sparsemax", **changes})


def dated_corpus(train: int = 16) -> Corpus:
    """The invented corpus, four posts a day."""
    data = corpus(train)
    splits = {
        name: tuple(dataclasses.replace(t, time=i / 4) for i, t in enumerate(data.splits[name])) for name in data.splits
    }
    return dataclasses.replace(data, **splits)


@pytest.fixture(scope="module")
def whole_reading_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reads") / "whole"
    return train(dated_corpus(), reading_config(), quick(**READS), folder, progress=False)


@pytest.mark.parametrize(("step", "every"), [(2, 1), (5, 1), (7, 2), (11, 3)])
def test_a_killed_run_that_reads_resumes_to_the_same_bits(tmp_path, whole_reading_run, step, every):
    settings = quick(**READS, checkpoint_every=every)
    trainer = Trainer(dated_corpus(), reading_config(), settings, tmp_path / "cut", progress=False)
    while trainer.number < step:
        trainer.step()
    torch.rand(7)
    resumed = train(dated_corpus(), reading_config(), settings, tmp_path / "cut", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole_reading_run.model)
    for line, expected in zip(resumed.history, whole_reading_run.history, strict=True):
        assert {**line, "seconds": 0} == {**expected, "seconds": 0}
    assert resumed.test == whole_reading_run.test


def test_looking_between_steps_changes_nothing_that_is_read(tmp_path, whole_reading_run):
    data = dated_corpus()
    trainer = Trainer(data, reading_config(), quick(**READS), tmp_path / "run", progress=False)
    for step in trainer:
        torch.rand(step.number)
        np.random.rand(3)
        model = trainer.model
        pool = model.pool(data.test, days=0)
        model.predict(data.test, pool=pool)
        with torch.no_grad():
            model(model.batcher(data.test), pool=pool, read_batch=step.number % 2 == 0)
        model.train(step.number % 2 == 1)
    run = trainer.finish()
    assert weights_hash(run.model) == weights_hash(whole_reading_run.model) and run.test == whole_reading_run.test


def test_a_run_that_reads_leaves_the_pool_that_its_test_posts_read(whole_reading_run):
    run = whole_reading_run
    pool = Pool.load(run.folder / "pool.safetensors")
    assert pool.ids == tuple(t.id for t in dated_corpus().test if t.image is not None)
    predicted = MGIPS.from_pretrained(run.folder).predict(dated_corpus().test, pool=pool)
    assert score([t.tags for t in dated_corpus().test], predicted) == run.test


def test_what_a_step_reads():
    """Past batches in half of the steps, the oldest forgotten; strangers without the batch's own."""
    trainer, calls = Trainer(dated_corpus(), reading_config(), quick(**READS, epochs=15), progress=False), []
    trainer.model.register_forward_pre_hook(
        lambda module, inputs, options: calls.append(options) if module.training else None, with_kwargs=True
    )
    done: list[tuple[str, ...]] = []
    for step in trainer:
        options = calls[-1]
        past = options["pool"].ids if options["pool"] is not None else ()
        kept = [id for ids in done[-3:] for id in ids]
        assert list(past) == kept[len(kept) - len(past) :], "not the most recent batches"
        if options["pool"] is not None:
            assert not options["pool"].keys.requires_grad and not options["pool"].values.requires_grad
        if options["read_batch"]:
            done.append(step.batches[0].ids)
    assert len(calls) == 60
    share = {
        "past": [c["pool"] is not None for c in calls],
        "strangers": [not c["read_batch"] for c in calls],
    }
    for name, low, high in (("past", 0.3, 0.7), ("strangers", 0.15, 0.45)):
        assert low < sum(share[name]) / len(share[name]) < high, name
    assert {len(c["pool"]) for c in calls if c["pool"] is not None} == {4, 8, 12}


def test_without_memory_or_strangers_a_batch_reads_itself():
    assert Trainer(dated_corpus(), reading_config(), quick(), progress=False)._pool() == {}
    plain = Trainer(corpus(), tiny_config(), quick(**READS), progress=False)
    assert plain._pool() == {} and all(step.loss is not None for step in plain) and plain._memory == []


@pytest.mark.parametrize(
    ("changes", "may_wait"),
    [
        ({"read": "off"}, set()),
        ({"read": "softmax"}, set()),
        ({}, {"reader.time", "reader.null.weight", "reader.null.bias"}),  # sparsemax: no slope where nothing is read
    ],
)
def test_every_parameter_learns_over_a_few_steps(changes, may_wait):
    """Also what one batch alone does not reach: the cost of other days, and the score of reading nothing."""
    trainer = Trainer(dated_corpus(), reading_config(**changes), quick(**READS), progress=False)
    still = {name for name, _ in trainer.model.named_parameters()}
    for name, p in trainer.model.named_parameters():
        p.register_hook(lambda g, name=name: still.discard(name) if g.abs().sum() > 0 else None)
    for _ in trainer:
        pass
    assert still <= may_wait


def test_warming_up_on_own_pictures_leaves_the_self_mined_out():
    config = quick(ips_warmup=2)
    terms = [(step.epoch, set(step.loss.terms)) for step in Trainer(corpus(), tiny_config(), config, progress=False)]
    assert terms == [(1, {"crf", "cl"})] * 4 + [(2, {"crf", "cl"})] * 4 + [(3, {"crf", "ips", "cl"})] * 4
    run = train(corpus(), tiny_config(), config, progress=False)
    assert ["loss_ips" in line for line in run.history] == [False, False, True]


CASES: list[tuple[dict, dict]] = [
    ({}, {"memory": 0}),
    ({"read": "softmax", "read_own": False, "ips_loss": True}, {"memory": 0}),
    ({}, READS),
    ({"read": "softmax", "read_own": False}, READS),
    ({"cl_loss": False}, READS),
    ({"read": "softmax", "read_learned": False}, READS),
]


def measure(changes: dict, settings: dict, batch_size: int) -> list[dict]:
    """Losses, the gradient's norm and the size of the pool, step by step, of a model that stays as it is."""
    still = {f"lr_{part}": 0.0 for part in ("text", "image", "fusion", "contrast", "head")}
    config = quick(epochs=3, batch_size=batch_size, cpu=True, **still, **settings)
    trainer = Trainer(dated_corpus(), reading_config(dropout=0.0, **changes), config, progress=False)
    sizes: list[int] = []
    trainer.model.reader.register_forward_pre_hook(
        lambda module, inputs: sizes.append(len(inputs[3])) if module.training else None
    )
    return [
        {"losses": [x.item() for x in step.loss.terms.values()], "norm": step.norm.item(), "size": sizes[-1]}
        for step in trainer
    ]


def assert_two_processes_do_what_one_does(cases: list[tuple[dict, dict]], size: int, folder: Path) -> None:
    """Two processes with batches of this size take the steps of one with twice the batch: its losses, norms and pools."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_one_of_two, (port, cases, size, folder), nprocs=2)
    ranks = [torch.load(folder / f"rank{rank}") for rank in (0, 1)]
    for case, first, second in zip(cases, *ranks, strict=True):
        one = measure(*case, batch_size=2 * size)
        assert len(one) == len(first) == 6
        for a, b, c in zip(one, first, second, strict=True):
            assert a["size"] == b["size"] == c["size"], case
            mean = [(x + y) / 2 for x, y in zip(b["losses"], c["losses"], strict=True)]
            assert mean == pytest.approx(a["losses"], abs=2e-6), case
            assert b["norm"] == c["norm"] == pytest.approx(a["norm"], rel=1e-5), case


def _one_of_two(rank: int, port: int, cases: list[tuple[dict, dict]], size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    torch.save([measure(*case, batch_size=size) for case in cases], folder / f"rank{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_read_what_one_reads(tmp_path):
    """Each reads the other's pictures too, and learns as one process with twice the batch does."""
    assert_two_processes_do_what_one_does(CASES, 4, tmp_path)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from builders import corpus, tiny_config
from test_training import quick
from mgips.model.pretrained import weights_hash
from mgips.training import Trainer
trainer = Trainer(corpus(), tiny_config(), quick(epochs=6), sys.argv[1], resume=True, progress=False)
for _ in trainer:
    time.sleep(0.1)  # so that a kill finds it still training, however slowly this machine looks
print(weights_hash(trainer.finish().model))
"""


@pytest.mark.slow
def test_kill_9_at_any_moment(tmp_path):
    """A real process, a real SIGKILL, at moments spread over the run; the weights' hash must not care."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))

    def start(folder):
        return subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, text=True)

    def last_line(process):
        return process.communicate(timeout=300)[0].strip().splitlines()[-1]

    expected = last_line(start(tmp_path / "whole"))
    assert len(expected) == 64
    kills = 0
    for moment in (1, 5, 10, 14, 20):  # steps of 24
        process = start(tmp_path / "cut")
        checkpoint = tmp_path / "cut" / "checkpoint.pt"
        while process.poll() is None:
            try:
                if torch.load(checkpoint, weights_only=True)["step"] >= moment:
                    process.send_signal(signal.SIGKILL)
                    break
            except (OSError, RuntimeError):
                pass  # not there yet
            time.sleep(0.002)
        process.wait()
        kills += process.returncode == -signal.SIGKILL
    assert kills == 5, "the run ended before it could be killed"
    assert last_line(start(tmp_path / "cut")) == expected


# ---- what a user can do wrong, and what a machine can ----


def test_a_loss_that_is_no_number_names_its_tweets_and_keeps_the_checkpoint(tmp_path):
    model = tiny_model()
    before = {}
    with pytest.raises(RunError, match="The loss became nan on the batch of tweets 0-") as error:
        for step in Trainer(corpus(), model, quick(checkpoint_every=2), tmp_path / "run", progress=False):
            if step.number == 5:
                before.update(torch.load(tmp_path / "run/checkpoint.pt", weights_only=True))
                with torch.no_grad():
                    model.classifier[1].weight.fill_(float("nan"))
    after = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert "Resuming from an earlier checkpoint would repeat this" in str(error.value)
    assert all(torch.isfinite(x).all() for x in after["model"].values())
    assert after["step"] == before["step"] == 4


def test_the_guard_names_the_first_bad_batch_of_several():
    guard = LossGuard(10)
    one = torch.tensor(1.0)
    guard.add(one, one, ("a",))
    guard.add(one / 0, one, ("b", "c"))
    guard.add(one * float("nan"), one, ("d",))
    with pytest.raises(RunError, match="The loss became inf on the batch of tweets b, c"):
        guard.check()
    guard = LossGuard(10)
    guard.add(one, one / 0, ("e",))
    with pytest.raises(RunError, match="The gradient's norm became inf on the batch of tweets e"):
        guard.check()
    assert math.isnan(LossGuard(1).check())


@pytest.mark.released(20)
def test_k_larger_than_the_batch_is_refused_before_anything_is_computed():
    with pytest.raises(ConfigError, match="k is 6, but a batch holds only 4"):
        train(corpus(), tiny_config(k=6), quick(), progress=False)


def test_empty_and_unlabelled_splits_are_refused():
    with pytest.raises(ConfigError, match="dev split of invented is empty"):
        train(dataclasses.replace(corpus(), dev=()), tiny_config(), quick(), progress=False)
    bare = tuple(dataclasses.replace(t, tags=()) for t in tweets(4))
    with pytest.raises(ConfigError, match="'0-0' of the test split"):
        train(dataclasses.replace(corpus(), test=bare), tiny_config(), quick(), progress=False)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        train(corpus(), tiny_config(), quick(), tmp_path / "file" / "run", progress=False)

    monkeypatch.setattr(Path, "mkdir", Mock(side_effect=OSError(errno.EROFS, "Read-only file system")))
    with pytest.raises(RunError, match=r"cannot be written \(Read-only file system\)"):
        train(corpus(), tiny_config(), quick(), tmp_path / "run", progress=False)


def test_a_run_is_never_overwritten_or_mixed(tmp_path):
    train(corpus(), tiny_config(), quick(epochs=1), tmp_path / "done", progress=False)
    with pytest.raises(RunError, match="holds a run already"):
        train(corpus(), tiny_config(), quick(epochs=1), tmp_path / "done", progress=False)
    with pytest.raises(RunError, match="is complete"):
        train(corpus(), tiny_config(), quick(epochs=1), tmp_path / "done", resume=True, progress=False)
    cut_after(3, tmp_path / "cut")
    with pytest.raises(RunError, match=r"other settings \(epochs was 3, is 9\)"):
        train(corpus(), tiny_config(), quick(epochs=9), tmp_path / "cut", resume=True, progress=False)
    with pytest.raises(RunError, match=r"other settings \(k was 3, is 2\)"):
        train(corpus(), tiny_config(k=2), quick(), tmp_path / "cut", resume=True, progress=False)
    with pytest.raises(RunError, match=r"other settings \(corpus was \w{12}, is \w{12}\)"):
        train(corpus(12), tiny_config(), quick(), tmp_path / "cut", resume=True, progress=False)


def test_a_run_of_an_older_version_is_resumed_and_what_changes_no_bit_may_change(tmp_path):
    """A setting that run.json does not know has its default; how often is saved or logged is not part of the result."""
    whole = train(corpus(), tiny_config(), quick(epochs=2), progress=False)
    trainer = Trainer(corpus(), tiny_config(), quick(epochs=2), tmp_path / "run", progress=False)
    trainer.step()
    trainer.save()
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    for part, field in (
        ("train", "accumulate"),
        ("train", "gradient_checkpointing"),
        ("model", "overlap"),
        ("model", "types"),
    ):
        del told[part][field]
    (tmp_path / "run" / "run.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match=r"other settings \(accumulate was 1, is 2\)"):
        train(corpus(), tiny_config(), quick(epochs=2, accumulate=2), tmp_path / "run", resume=True, progress=False)
    other = quick(epochs=2, gradient_checkpointing=True, checkpoint_every=1, log_every=3)
    resumed = train(corpus(), tiny_config(), other, tmp_path / "run", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole.model)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    real = torch.save

    def fill_up(state, file):
        if state["step"] == 7:
            file.write(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, file)

    monkeypatch.setattr(mgips.run.torch, "save", fill_up)
    with pytest.raises(RunError, match=r"checkpoint.pt could not be written \(No space left on device\)"):
        train(corpus(), tiny_config(), quick(), tmp_path / "run", progress=False)
    assert torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["step"] == 6
    assert not list((tmp_path / "run").glob(".*.part")), "a half-written file is left"
    monkeypatch.undo()
    whole = train(corpus(), tiny_config(), quick(), progress=False)
    resumed = train(corpus(), tiny_config(), quick(), tmp_path / "run", resume=True, progress=False)
    assert weights_hash(resumed.model) == weights_hash(whole.model)


def test_a_broken_checkpoint_is_one_sentence(tmp_path):
    cut_after(3, tmp_path / "run")
    checkpoint = tmp_path / "run/checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(RunError, match="remove it to start this run from the beginning"):
        train(corpus(), tiny_config(), quick(), tmp_path / "run", resume=True, progress=False)


# ---- the loop's small parts ----


@pytest.mark.released(1, 2)
def test_the_test_split_is_scored_once_and_never_seen_before(monkeypatch):
    scored = Mock(wraps=training.split_score)
    monkeypatch.setattr(training, "split_score", scored)
    data = corpus()
    trainer = Trainer(data, tiny_config(), quick(), progress=False)
    steps = [step.batches[0].ids for step in trainer]
    trainer.finish()
    seen = [call.args[1].tweets is data.test for call in scored.call_args_list]
    assert seen.count(True) == 1 and seen[-1]
    train_ids = {t.id for t in data.train}
    assert {i for ids in steps for i in ids} == train_ids
    assert train_ids.isdisjoint(t.id for t in data.dev + data.test)


def test_batches_are_a_pure_function_of_seed_and_epoch():
    data = tweets(10)
    assert training_batches(data, 4, 0, 0) == training_batches(data, 4, 0, 0)
    assert training_batches(data, 4, 0, 0) != training_batches(data, 4, 0, 1) != training_batches(data, 4, 1, 1)
    flat = [i for batch in training_batches(data, 4, 0, 0) for i in batch]
    assert sorted(flat) == list(range(10))
    assert [len(b) for b in training_batches(data, 4, 0, 0, drop_last=True)] == [4, 4]


@pytest.mark.parametrize(("count", "size", "window"), [(50, 4, 3), (48, 4, 3), (50, 4, 100), (3, 4, 2)])
def test_a_window_sorts_by_length_and_keeps_what_an_epoch_holds(count, size, window):
    """Against plain loops over the shuffled order: each window's batches hold its tweets, in runs of rising length."""
    data = tweets(count)
    lengths = [(7 * i) % 13 for i in range(count)]
    plain = training_batches(data, size, 5, 2)
    assert training_batches(data, size, 5, 2, lengths=lengths) == plain  # a window of 1 changes nothing
    batches = training_batches(data, size, 5, 2, lengths=lengths, window=window)
    assert batches == training_batches(data, size, 5, 2, lengths=lengths, window=window)
    assert [len(b) for b in batches] == [len(b) for b in plain]
    assert training_batches(data, size, 5, 2, True, lengths, window) == [b for b in batches if len(b) == size]
    full = count // size
    assert batches[full:] == plain[full:]  # the rest stays where it was
    for start in range(0, full, window):
        stop = min(start + window, full)
        ours, theirs = batches[start:stop], plain[start:stop]
        assert sorted(i for b in ours for i in b) == sorted(i for b in theirs for i in b)
        ranges = sorted((min(lengths[i] for i in b), max(lengths[i] for i in b)) for b in ours)
        assert all(high <= low for (_, high), (low, _) in zip(ranges, ranges[1:], strict=False))


def test_windowed_batches_are_shuffled_again():
    data = tweets(64)
    batches = training_batches(data, 4, 0, 0, lengths=list(range(64)), window=16)
    longest = [max(b) for b in batches]
    assert longest != sorted(longest)


def test_a_run_with_windows_resumes_bitwise_and_saves_padding(tmp_path):
    data, config = corpus(22), quick(epochs=2, batch_size=4, length_window=3, checkpoint_every=1)
    whole = Trainer(data, tiny_config(), config, progress=False)
    steps = [step.batches[0] for step in whole]
    assert sorted(i for b in steps[:6] for i in b.ids) == sorted(t.id for t in data.train)
    trainer = Trainer(data, tiny_config(), config, tmp_path / "run", progress=False)
    for _ in range(3):
        trainer.step()
    trainer = Trainer(data, tiny_config(), config, tmp_path / "run", resume=True, progress=False)
    assert [step.batches[0].ids for step in trainer] == [b.ids for b in steps[3:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, trainer.model.state_dict()[name]), name


def test_groups_meet_in_batches():
    data = [dataclasses.replace(t, group=str(i % 3)) for i, t in enumerate(tweets(12))]
    for batch in training_batches(data, 4, 0, 5):
        assert len({data[i].group for i in batch}) == 1


def test_evaluation_batches_hold_every_tweet_once_longest_first():
    lengths = [3, 9, 4, 9, 1]
    batches = list(evaluation_batches(lengths, 2))
    assert sorted(i for b in batches for i in b) == list(range(5))
    assert [max(lengths[i] for i in b) for b in batches] == [9, 4, 1]


def test_schedule_warms_up_and_decays_to_zero():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = linear_schedule(optimizer, 100, 0.06)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:7] == sorted(rates[:7]) and rates[6] == 1.0 and 0 < rates[0] < 0.2
    assert rates[6:] == sorted(rates[6:], reverse=True) and optimizer.param_groups[0]["lr"] == 0.0


def test_patience_stops_early():
    def history(*scores):
        return [{"dev_f1": s} for s in scores]

    assert not out_of_patience(history(0.1, 0.2, 0.2), 2)
    assert out_of_patience(history(0.1, 0.3, 0.2, 0.3), 2)
    assert not out_of_patience(history(0.3, 0.2, 0.1), 0)
    frozen = {f"lr_{part}": 0.0 for part in ("text", "image", "fusion", "contrast", "head")}
    run = train(corpus(), tiny_config(), quick(epochs=9, patience=2, **frozen), progress=False)
    assert len(run.history) == 3


def test_bf16_and_full_precision_can_follow_each_other_in_one_process():
    for precision in ("bf16", "no", "bf16"):
        run = train(corpus(), tiny_config(), quick(epochs=1, precision=precision), progress=False)
        assert {p.dtype for p in run.model.parameters()} == {torch.float32}
        assert run.model(run.model.batcher(tweets(2))).emissions.dtype == torch.float32


def test_workers_change_nothing():
    alone = train(corpus(), tiny_config(), quick(epochs=1), progress=False)
    helped = train(corpus(), tiny_config(), quick(epochs=1, num_workers=1), progress=False)
    assert weights_hash(alone.model) == weights_hash(helped.model)


def test_a_corpus_needs_no_groups_or_pictures():
    bare = tuple(dataclasses.replace(t, image=None, crops=()) for t in tweets(8))
    run = train(Corpus("bare", bare[:4], bare[4:6], bare[6:]), tiny_config(), quick(epochs=1), progress=False)
    assert 0 <= run.test.f1 <= 1


HOLDS = "import sys; from pathlib import Path; from mgips.files import hold; held = hold(Path(sys.argv[1])); print(1, flush=True); input()"


def test_a_folder_that_another_process_trains_in_says_which(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    other = subprocess.Popen([sys.executable, "-c", HOLDS, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout and other.stdout.readline() == b"1\n"
    with pytest.raises(RunError, match=rf"is being written to by process {other.pid} on .*choose another folder"):
        train(corpus(), tiny_config(), quick(epochs=1), folder, progress=False)
    (folder / ".x.part").touch()
    other.kill()  # the system frees what it held
    other.wait()
    train(corpus(), tiny_config(), quick(epochs=1), folder, progress=False)
    assert not list(folder.glob(".*"))
