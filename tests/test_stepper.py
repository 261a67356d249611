"""The stepping panel: its buttons do what they say, the run is the one that would have been without it."""

import asyncio
import os
import re
import signal

import pytest
from builders import HostReads, corpus, text_of, tiny_config
from test_forks import ended, trainer, walked
from test_training import quick

from mgips.config import VARIANTS
from mgips.data.load import load_corpus
from mgips.errors import ConfigError
from mgips.lab.widgets import step_through, stepper
from mgips.model.pretrained import weights_hash
from mgips.training import Trainer


def waited(panel, meanwhile=lambda: None) -> None:
    """Until the panel's task is done, as a kernel's loop would wait."""

    async def loop():
        meanwhile()
        while panel.running:
            await asyncio.sleep(0)

    asyncio.run(loop())


def parts(widget) -> list:
    return [widget, *(part for child in getattr(widget, "children", ()) for part in parts(child))]


def press(panel, name: str) -> None:
    found = [part for part in parts(panel) if f"mgips-{name}" in part._dom_classes]
    assert len(found) == 1 and not found[0].disabled, name
    found[0].click()


@pytest.fixture(scope="module")
def plain() -> str:
    return ended(trainer())


def test_the_buttons_step_and_the_run_is_what_it_would_have_been(tmp_path, plain):
    panel = step_through(trainer(tmp_path / "run", checkpoint_every=0))
    assert "No step has been made" in panel.describe()
    press(panel, "step")
    assert panel.trainer.number == 1 and "Step 1 of 12" in panel.status.value
    press(panel, "epoch")
    assert panel.trainer.number == 4 and len(panel.trainer.history) == 1 and "best dev F1" in panel.status.value
    press(panel, "run")
    assert panel.trainer.finished and "The run is complete" in panel.note.value
    whole = trainer()
    best = whole.run()
    assert weights_hash(panel.run.model) == weights_hash(best.model) and panel.run.test.f1 == best.test.f1
    assert (tmp_path / "run/results.json").exists()
    assert all(button.disabled for button in panel._while_paused)


def test_a_run_pauses_while_others_have_their_turn_and_goes_on_after_a_restart(tmp_path, plain):
    panel = step_through(trainer(tmp_path / "run", checkpoint_every=0))
    turns = []

    async def kernel():
        panel.go()
        assert panel._pause.disabled  # until it has begun
        while panel.running:
            await asyncio.sleep(0)
            turns.append(panel.trainer.number)
            if panel.trainer.number == 6 and not panel._pausing:
                assert not panel._pause.disabled and panel._while_paused[0].disabled
                press(panel, "pause")

    asyncio.run(kernel())
    assert set(turns) >= {1, 2, 3, 4, 5, 6} and panel.trainer.number == 6
    assert "Paused after step 6, and saved" in panel.note.value
    again = step_through(tmp_path / "run", corpus())  # another kernel knows the folder only
    assert again.trainer.number == 6
    assert ended(again.trainer) == plain


def test_the_stop_button_pauses_and_saves(tmp_path, plain):
    panel = step_through(trainer(tmp_path / "run", checkpoint_every=0))
    before = signal.getsignal(signal.SIGINT)

    async def kernel():
        panel.go()
        while panel.running:
            await asyncio.sleep(0)
            if panel.trainer.number == 5 and panel.running and not panel._pausing:
                os.kill(os.getpid(), signal.SIGINT)

    asyncio.run(kernel())
    assert panel.trainer.number in (5, 6) and "saved" in panel.note.value
    assert signal.getsignal(signal.SIGINT) == before
    assert ended(step_through(tmp_path / "run", corpus()).trainer) == plain


def test_saving_and_going_back(tmp_path, plain):
    for folder in (tmp_path / "run", None):
        panel = step_through(trainer(folder, checkpoint_every=0))
        press(panel, "step")
        press(panel, "save")
        panel.change(temperature=0.2)
        walked(panel.trainer, 1)
        press(panel, "back")
        assert panel.trainer.number == 1 and not panel.trainer.forks and "undone" in panel.note.value
        assert panel.tau.value == tiny_config().temperature
        assert ended(panel.trainer) == plain


def test_what_if_shows_both_and_changes_nothing(plain):
    panel = step_through(trainer())
    with pytest.raises(ConfigError, match="make a step first"):
        panel.what_if(k=1)
    walked_by = panel.step()
    assert walked_by is None
    panel.tau.value = 0.1
    panel.ips.value = False
    press(panel, "what")
    assert "temperature = 0.1, ips_loss = False" in panel.tried.value and "nothing updated" in panel.tried.value
    rows = dict(
        re.findall(r'font-weight:normal;padding:0 10px">([^<]+)</th>\s*<td[^>]*>([^<]+)</td>', panel.tried.value)
    )
    now, other = panel.what_if(temperature=0.1, ips_loss=False)
    assert float(rows["loss cl"]) == pytest.approx(float(now.terms["cl"]), rel=1e-3)
    assert "ips" in now.terms and "ips" not in other.terms and other.terms["cl"] != now.terms["cl"]
    assert not panel.trainer.forks and ended(panel.trainer) == plain


def test_a_change_from_the_controls_is_a_fork(tmp_path):
    panel = step_through(trainer(tmp_path / "run"))
    panel.step()
    with pytest.raises(ConfigError, match="Nothing differs"):
        press(panel, "change")
    panel.other.value, panel.to.value = "lr_head", "fast"
    with pytest.raises(ConfigError, match="lr_head cannot be 'fast'; give a number"):
        press(panel, "change")
    panel.k.value, panel.to.value = 1, "1e-4"
    press(panel, "change")
    assert panel.trainer.forks == [{"step": 1, "changes": {"k": 1, "lr_head": 1e-4}}]
    assert "fork after step 1" in panel.note.value and "after step 1 k = 1, lr_head = 0.0001" in panel.status.value
    panel.step()
    assert int(panel.last.loss.contrast.positives.sum()) == len(panel.last.batches[0])


def test_the_page_shows_this_batch_and_what_was_mined_of_it():
    data = load_corpus("tinytweets:train=24,dev=8,test=8")

    panel = step_through(Trainer(data, tiny_config(), quick(batch_size=8), progress=False))
    panel.step()
    batch = panel.last.batches[0]
    shown = re.findall(r"<b>([^<]+)</b> [✓✗]", panel.posts.value)
    assert shown == [*batch.ids[: stepper.POSTS]]
    panel.page.value = 2
    assert re.findall(r"<b>([^<]+)</b> [✓✗]", panel.posts.value) == [*batch.ids[stepper.POSTS :]]
    scores, mined, truth = panel._mined()
    assert scores.shape == mined.shape == truth.shape == (8, 8)
    assert (mined.sum(1) == tiny_config().k).all()
    for row in range(8):  # by hand: the K largest
        assert set(mined[row].nonzero()[0]) == set(scores[row].argsort()[::-1][: tiny_config().k])
    words = text_of(panel.picture())
    assert f"{mined.diagonal().mean():.0%} of 8 texts mine their own image" in words
    assert "truly relevant" in words and "Gradient's norm by part" in words
    for name, term in panel.last.loss.terms.items():
        assert f"{name} {term:.2f}" in words
    assert "mined, truly relevant" in words


@pytest.mark.parametrize("variant", ["text", "reads", "own"])
def test_other_variants_step_too(variant):
    panel = step_through(
        trainer(config=tiny_config(**{k: v for k, v in VARIANTS[variant].items() if k not in ("memory", "strangers")}))
    )
    panel.step()
    assert panel.error.layout.display == "none"
    assert ("mines nothing" in text_of(panel.picture())) == (variant == "text")
    assert panel.tau.disabled  # none, or a learned one


def test_an_error_shows_and_the_run_stays_usable(monkeypatch, tmp_path):
    panel = step_through(trainer(tmp_path / "run"))
    panel.step()
    monkeypatch.setattr(stepper.Trainer, "step", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        panel.step()
    assert "ZeroDivisionError" in panel.error.value and not panel.running
    monkeypatch.undo()
    panel.step()
    assert panel.trainer.number == 2


def test_nothing_more_is_read_between_two_drawings(monkeypatch):
    """On a GPU every read waits for it; the panel adds none to those of the steps themselves."""
    monkeypatch.setattr(stepper, "LEAST_SECONDS", 1e9)
    bare, panel = trainer(log_every=1000), step_through(trainer(log_every=1000))
    counts = []

    async def kernel():
        panel.go()
        while panel.trainer.number < 1:
            await asyncio.sleep(0)
        with HostReads() as reads:
            while panel.trainer.number < 3:
                await asyncio.sleep(0)
        counts.append(reads.count)
        panel.pause()

    walked(bare, 1)
    with HostReads() as reads:
        walked(bare, 2)
    asyncio.run(kernel())
    assert counts == [reads.count] and panel.last.norms
