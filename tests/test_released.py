"""The table of differences: complete, its names real, its arithmetic right; and what only it says about mgips."""

import ast
import html
import pkgutil
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from builders import loss_of, tiny_model, tweets

from mgips.config import ModelConfig, TrainConfig
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.grids import GRIDS
from mgips.lab.paper import released, tables
from mgips.lab.paper.released import ITEMS, leak_gain
from mgips.lab.stats import counts_f1
from mgips.model.crf import CRF

TESTS = Path(__file__).parent


def test_there_are_21_items_and_no_field_is_empty():
    assert [item.number for item in ITEMS] == list(range(1, 22))
    assert len({item.topic for item in ITEMS}) == 21
    for item in ITEMS:
        for name in ("topic", "paper", "place", "released", "mgips", "home"):
            assert getattr(item, name).strip(), f"{item.number}: {name}"


def test_every_item_has_a_test_that_is_marked_with_it():
    marked = {
        ast.literal_eval(number)
        for path in TESTS.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.released"
        for number in mark.args
    }
    assert marked == {item.number for item in ITEMS}


def test_every_switch_that_is_named_is_a_row_of_a_grid():
    named = {name for item in ITEMS for name in item.switches}
    rows = {name: {row.name for row in GRIDS[name].rows} for name in ("switches", "protocol", "table3")}
    assert named <= rows["switches"] | rows["protocol"] | {"tau-0.1"} and "tau-0.1" in rows["table3"]
    assert rows["switches"] | rows["protocol"] <= named, "an effect without an item"


def test_every_home_exists():
    for item in ITEMS:
        for path in re.split(r"[;,] ", item.home):
            if path.startswith(("ModelConfig.", "TrainConfig.")):
                kind, name = path.split(".")
                assert hasattr({"ModelConfig": ModelConfig, "TrainConfig": TrainConfig}[kind](), name), path
            elif path.startswith("mgips."):
                pkgutil.resolve_name(path)
            else:
                assert (item.number, path) == (19, "ips_loss")


def test_what_is_quoted_stands_in_the_paper(printed):
    text = " ".join(printed.split())
    quotes = [quote for item in ITEMS for quote in re.findall(r'"(.+?)"', item.paper)]
    assert len(quotes) == 3 and all(quote in text for quote in quotes)


def test_the_counts_of_item_1_follow_from_its_offsets():
    """A reader that drops only the last rows of a file trains on the rest."""
    sizes = {name: {s: column["tweets"] for s, column in splits.items()} for name, splits in tables.TABLE1.items()}
    dropped = [
        ("twitter2017", 653, 653, "70 dev and 70 of 723", 9.7),
        ("twitter2015", 653, 653, "347 dev and 2,604 of 3,257", 80),
        ("twitter2015", 870, 3000, "130 dev and 257", 7.9),
    ]
    for corpus, dev, test, sentence, percent in dropped:
        trained = [sizes[corpus]["dev"] - dev, sizes[corpus]["test"] - test]
        assert [int(n.replace(",", "")) for n in re.findall(r"[\d,]+", sentence)[:2]] == trained
        assert sentence in ITEMS[0].released and f"({percent} %)" in ITEMS[0].released
        assert 100 * trained[1] / sizes[corpus]["test"] == pytest.approx(percent, abs=0.06)
        assert f"leak-{percent}" in ITEMS[0].switches


def test_the_provenance_names_its_source_and_what_is_not_known():
    assert released.COMMIT in released.PROVENANCE and released.REPOSITORY in released.PROVENANCE
    assert "is not known" in released.PROVENANCE and "do not show how" in released.PROVENANCE


@pytest.mark.parametrize(("share", "f1", "points"), [(0.097, 87.4, 1.2), (0.079, 75.4, 1.9)])
def test_the_estimates_of_a_leak(share, f1, points):
    assert leak_gain(share, f1) == pytest.approx(points, abs=0.05)


def test_the_estimate_is_the_micro_f1_of_posts_of_which_some_are_perfect():
    """Where its assumptions hold to the letter: all posts alike, a share of them then predicted perfectly."""
    before = np.tile([3, 4, 4], (100, 1))  # right, predicted, gold
    after = before.copy()
    after[:10, 0] = 4
    gain = 100 * (counts_f1(after) - counts_f1(before))
    assert leak_gain(0.10, 100 * counts_f1(before)) == pytest.approx(gain)
    assert leak_gain(0, 80) == leak_gain(0.5, 100) == 0


def test_rows_and_markdown_hold_every_item_and_its_effects():
    plain, measured = released.rows(), released.rows({"neftune": "No difference.", "one-loss": "Hurts by 1."})
    assert len(plain) == len(measured) == 21
    assert list(plain[0]) == ["#", "topic", "paper", "released code", "mgips"] and "measured" in measured[0]
    effects = {int(row["#"]): row["measured"] for row in measured}
    assert effects[13] == "No difference." and effects[12] == effects[19] == "Hurts by 1."
    assert effects[7] == "not yet measured" and effects[9] == "-"
    lines = released.markdown({}).splitlines()
    assert len(lines) == 21 and all(line.startswith("<details><summary>") and line.count("<li>") == 4 for line in lines)
    assert all(html.escape(item.topic) in line for item, line in zip(released.ITEMS, lines, strict=True))
    with pytest.raises(ConfigError, match="'neftuna'"):
        released.rows({"neftuna": "?"})


# ---- what mgips does, where no other test says so ----


@pytest.mark.released(3)
def test_every_grid_has_several_seeds():
    for grid in GRIDS.values():
        least = 1 if grid.name == "fig5" else 3  # Figure 5 shows one batch
        assert len(set(grid.seeds)) == len(grid.seeds) >= least, grid.name
    assert len(GRIDS["table3"].seeds) == 5


@pytest.mark.released(13)
def test_without_dropout_a_training_pass_is_not_random():
    model = tiny_model(dropout=0.0).train()
    batch = model.batcher(tweets())
    first, second = (model(batch) for _ in range(2))
    assert torch.equal(first.emissions, second.emissions)
    assert torch.equal(first.image, second.image) and torch.equal(first.text, second.text)
    dropped = tiny_model(dropout=0.5).train()
    assert not torch.equal(dropped(batch).emissions, dropped(batch).emissions), "a random pass would show"


@pytest.mark.released(18)
def test_a_training_step_decodes_nothing(monkeypatch):
    model = tiny_model().train()
    batch = model.batcher(tweets())

    monkeypatch.setattr(CRF, "_viterbi_decode", Mock(side_effect=AssertionError("decoded")))
    loss_of(model, batch).total.backward()
    with pytest.raises(AssertionError, match="decoded"):
        model.predict(tweets(1))


@pytest.mark.released(15)
def test_a_word_of_many_pieces_is_tagged_once():
    model = tiny_model()
    batch = model.batcher([Tweet("1", ("go", "Zzyzx", "Lions"), ("O", "B-LOC", "B-ORG"))])
    assert int(batch.piece_mask.sum()) - 2 > 3, "the invented word falls apart"
    assert batch.word_mask.tolist() == [[True] * 3] and batch.tags.shape == (1, 3)
    assert model(batch).emissions.shape == (1, 3, 9)
