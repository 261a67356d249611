"""Changing a run on its way: what changes, what is recorded, and that nothing pretends to be what it is not."""

import dataclasses
import json
import math

import pytest
import torch
from builders import corpus, tiny_config, tiny_model
from test_training import quick

from mgips.config import RELEVANCE
from mgips.errors import ConfigError, DataError, RunError
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.training import IN_THE_LOSS, PARTS, Trainer, train


def trainer(folder=None, config=None, **changes) -> Trainer:
    return Trainer(corpus(), config or tiny_config(), quick(**changes), folder, progress=False)


def walked(run: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        run.step()
    return run


def ended(run: Trainer) -> str:
    """The weights after the last step, those of the best epoch or not."""
    for _ in run:
        pass
    return weights_hash(run.model)


@pytest.fixture(scope="module")
def plain() -> str:
    return ended(trainer())


def test_a_stopped_run_goes_on_from_its_folder_alone(tmp_path, plain):
    walked(trainer(tmp_path / "cut"), 6)
    again = Trainer.resume(tmp_path / "cut", corpus(), progress=False)
    assert again.number == 6
    assert ended(again) == plain
    again.finish()
    with pytest.raises(RunError, match="is complete"):
        Trainer.resume(tmp_path / "cut", corpus())


def test_a_run_on_a_corpus_made_in_memory_asks_for_it(tmp_path):
    walked(trainer(tmp_path / "cut"), 1)
    with pytest.raises(
        DataError, match=r"was made in memory and cannot be loaded; give it: Trainer.resume\(folder, corpus\)"
    ):
        Trainer.resume(tmp_path / "cut")


def test_a_run_on_a_named_corpus_loads_it(tmp_path):
    from mgips.data.load import load_corpus

    data = load_corpus("tinytweets:train=24,dev=8,test=8")
    started = Trainer(data, tiny_config(), quick(), tmp_path / "run", progress=False)
    walked(started, 2)
    again = Trainer.resume(tmp_path / "run", progress=False)
    assert again.corpus.fingerprint() == data.fingerprint() and again.number == 2


@pytest.mark.parametrize("changes", [
    {"temperature": 0.2}, {"k": 1}, {"ips_loss": False}, {"cl_loss": False}, {"ips_loss": False, "cl_loss": False},
    {"lr_text": 1e-4, "lr_head": 1e-5}, {"epochs": 5}, {"max_grad_norm": 0.01}, {"ips_warmup": 3},
], ids=str)  # fmt: skip
def test_a_changed_run_ends_elsewhere_and_is_repeated_to_the_bit_after_a_kill(tmp_path, plain, changes):
    cut = walked(trainer(tmp_path / "cut", checkpoint_every=0), 6)  # a checkpoint after the epoch of 4 only
    cut.change(**changes)
    walked(cut, 1)
    cut.folder.release()
    again = Trainer.resume(tmp_path / "cut", corpus(), progress=False)
    assert again.number == 4, "the change lies ahead, and is made again when it is due"
    assert ended(again) == ended(cut) != plain
    assert json.loads((tmp_path / "cut/run.json").read_text())["forks"] == [{"step": 6, "changes": changes}]


@pytest.mark.parametrize("second", [{"temperature": 0.2}, {"epochs": 5}, {"ips_warmup": 3}], ids=str)
def test_a_run_is_resumed_behind_its_changes_and_taken_back_before_them(tmp_path, plain, second):
    cut = walked(trainer(tmp_path / "cut", checkpoint_every=0), 2)
    kept = cut.state()
    cut.change(epochs=2)
    walked(cut, 1)
    cut.change(**{"epochs": 3, **second})
    walked(cut, 6)  # past two checkpoints, and past the end that the first change would have set
    cut.folder.release()
    again = Trainer.resume(tmp_path / "cut", corpus(), progress=False)
    assert again.number == 8 and again.config == cut.config and again.model.config == cut.model.config
    assert ended(again) == ended(cut) != plain
    again.back(kept)
    told = json.loads((tmp_path / "cut/config.json").read_text())["model"]
    assert told["temperature"] == tiny_config().temperature, "the saved model is told by what it is now"
    assert again.steps == 12 and ended(again) == plain


def test_a_change_is_recorded_and_shown(tmp_path):
    forked = walked(trainer(tmp_path / "run"), 3)
    before = json.loads((tmp_path / "run/run.json").read_text())
    forked.change(temperature=0.2, lr_text=1e-4)
    told = json.loads((tmp_path / "run/run.json").read_text())
    assert told.pop("forks") == [{"step": 3, "changes": {"temperature": 0.2, "lr_text": 1e-4}}]
    assert told == before, "the rest says how the run began"
    run = forked.run()
    assert "After step 3 of this run: temperature = 0.2, lr_text = 0.0001." in (tmp_path / "run/README.md").read_text()
    assert MGIPS.from_pretrained(tmp_path / "run").config.temperature == run.model.config.temperature == 0.2
    assert tiny_config().temperature != 0.2


def test_rates_follow_the_schedule_of_the_changed_settings():
    forked = walked(trainer(warmup_ratio=0.0), 6)
    forked.change(lr_text=1e-3, epochs=6)
    rates = {g["name"]: g["lr"] for g in forked.optimizer.param_groups}
    assert rates["text"] == pytest.approx(1e-3 * (24 - 6) / 24) and rates["head"] == pytest.approx(5e-3 * (24 - 6) / 24)
    forked.step()
    assert forked.schedule.get_last_lr()[0] == pytest.approx(1e-3 * (24 - 7) / 24)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"batch_size": 8}, "batch_size cannot change during a run"),
    ({"temperature": -1.0}, "temperature is -1.0; it must be"),
    ({"epochs": 1}, "epochs is 1, but 2 have begun"),
    ({"k": 99}, "a batch holds only 4 images"),
])  # fmt: skip
def test_what_cannot_change_is_refused_and_nothing_has_changed(tmp_path, plain, changes, sentence):
    run = walked(trainer(tmp_path / "run"), 6)
    with pytest.raises(ConfigError, match=sentence):
        run.change(**changes)
    assert not run.forks and ended(run) == plain


def test_terms_that_a_model_has_no_parts_for_cannot_be_added():
    run = trainer(config=tiny_config(ips_loss=False, cl_loss=False))
    with pytest.raises(ConfigError, match="no contrastive part"):
        run.change(cl_loss=True)
    learned = trainer(config=tiny_config(**RELEVANCE))
    with pytest.raises(ConfigError, match="learns its temperature"):
        learned.change(temperature=0.3)


@pytest.mark.parametrize("folder", [True, False])
def test_going_back_undoes_steps_and_changes(tmp_path, folder):
    run = walked(trainer(tmp_path / "run" if folder else None, checkpoint_every=0), 3)
    run.change(lr_text=1e-3)
    kept = run.state()
    run.save()
    run.change(temperature=0.2)
    walked(run, 4)  # past the end of the epoch, which writes a checkpoint too
    before = run.number
    run.back(kept)
    assert run.number == 3 < before and run.forks == [{"step": 3, "changes": {"lr_text": 1e-3}}]
    assert run.model.config.temperature == tiny_config().temperature and not run.history
    other = walked(trainer(checkpoint_every=0), 3)
    other.change(lr_text=1e-3)
    assert ended(run) == ended(other)
    if folder:
        told = json.loads((tmp_path / "run/run.json").read_text())
        assert told["forks"] == [{"step": 3, "changes": {"lr_text": 1e-3}}]


def test_going_back_to_the_folders_checkpoint(tmp_path, plain):
    run = walked(trainer(tmp_path / "run", checkpoint_every=0), 6)
    run.back()
    assert run.number == 4 and len(run.history) == 1
    assert ended(run) == plain
    run.finish()
    with pytest.raises(RunError, match="complete"):
        run.back()
    with pytest.raises(RunError, match="no checkpoint"):
        trainer().back()


def test_what_if_changes_nothing_and_repeats_the_step():
    asked, other = walked(trainer(), 5), walked(trainer(), 5)
    asked.part_norms = other.part_norms = True
    coming = asked._next_batches()
    asked._batches = None
    loss, norms = asked.what_if(coming)
    for changes in ({"temperature": 2.0}, {"k": 1}, {"ips_loss": False}, {"cl_loss": False, "ips_loss": False}):
        told, _ = asked.what_if(coming, **changes)
        assert told.total != loss.total
        assert torch.equal(told.terms["crf"], loss.terms["crf"])
        assert set(told.terms) == {"crf"} | {t for t in ("ips", "cl") if changes.get(f"{t}_loss", True)}
    one, two = asked.step(), other.step()
    assert one.loss.terms.keys() == loss.terms.keys()
    for name, term in loss.terms.items():
        assert torch.equal(term, one.loss.terms[name]) and torch.equal(term, two.loss.terms[name])
    assert {part: norm.item() for part, norm in norms.items()} == {part: n.item() for part, n in one.norms.items()}
    assert ended(asked) == ended(other)


def test_what_if_says_what_the_loss_does_not_read():
    run = walked(trainer(), 1)
    with pytest.raises(
        ConfigError, match=f"lr_text is not read by the loss; what can be tried is {', '.join(IN_THE_LOSS)}"
    ):
        run.what_if([], lr_text=1.0)


def test_norms_of_the_parts_add_up():
    run = trainer()
    assert run.step().norms == {}
    run.part_norms = True
    step = run.step()
    assert set(step.norms) <= set(PARTS) and {"text", "image", "head"} <= set(step.norms)
    assert math.hypot(*(float(n) for n in step.norms.values())) == pytest.approx(float(step.norm), rel=1e-5)


def test_training_a_trained_model_warns_and_a_fresh_one_does_not(tmp_path, recwarn):
    fresh = tiny_model()
    run = train(corpus(), fresh, quick(epochs=1), tmp_path / "run", progress=False)
    assert not [w for w in recwarn if "trained already" in str(w.message)]
    for model in (run.model, MGIPS.from_pretrained(tmp_path / "run")):
        with pytest.warns(UserWarning, match="trained already: a new run trains on from its weights"):
            Trainer(corpus(), model, quick(), progress=False)


def test_a_stop_saves_and_says_how_to_go_on(tmp_path, plain, monkeypatch):
    run = trainer(tmp_path / "run", checkpoint_every=0)
    step = run.step
    monkeypatch.setattr(run, "step", lambda: step() if run.number < 6 else (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt) as stop:
        run.run()
    assert stop.value.__notes__ == [f"Stopped at step 6. Trainer.resume({str(tmp_path / 'run')!r}).run() goes on."]
    assert ended(Trainer.resume(tmp_path / "run", corpus(), progress=False)) == plain


@pytest.mark.parametrize("forks", [3, [3], [{"step": "one", "changes": {}}], [{"step": 1}], {"step": 1}], ids=str)
def test_damaged_forks_are_refused(tmp_path, forks):
    walked(trainer(tmp_path / "run"), 1)
    told = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps({**told, "forks": forks}))
    with pytest.raises(RunError, match="its forks are not steps with changes"):
        Trainer.resume(tmp_path / "run", corpus())


@pytest.mark.parametrize("step", [-1, 10**12, 3.5])
def test_a_step_that_a_run_cannot_be_at_is_refused(tmp_path, step):
    run = walked(trainer(tmp_path / "run"), 1)
    state = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    run.folder.release()
    torch.save({**state, "step": step}, tmp_path / "run/checkpoint.pt")
    with pytest.raises(RunError, match="The checkpoint says step"):
        Trainer.resume(tmp_path / "run", corpus())


def test_settings_of_another_version_are_refused(tmp_path):
    walked(trainer(tmp_path / "run"), 1)
    told = json.loads((tmp_path / "run/run.json").read_text())
    told["train"]["velocity"] = 3
    (tmp_path / "run/run.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match="settings that this version does not know"):
        Trainer.resume(tmp_path / "run", corpus())
    assert dataclasses.asdict(quick())
