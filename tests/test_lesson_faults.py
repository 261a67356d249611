"""Lesson 08's planted faults: each is caught by the measurement that the lesson teaches for it, and by no other."""

import copy

import pytest
import torch

from mgips.data.load import load_corpus
from mgips.errors import ConfigError
from mgips.lab.counterfactual import blank
from mgips.lab.lessons.exercises import exercise_of, judge
from mgips.lab.lessons.find_the_fault import (
    HINTS,
    LETTERS,
    MEASURES,
    NAMES,
    SUSPECTS,
    diagnosed,
    faulty,
    gradients,
    shifted,
    table,
)
from mgips.model.mgips import MGIPS
from mgips.model.shipped import load


@pytest.fixture(scope="module")
def healthy():
    return load("tiny-full")


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("tinytweets")


@pytest.fixture(scope="module")
def posts(corpus):
    return corpus.test[:32]


@pytest.fixture(scope="module")
def found(healthy, posts):
    return table(healthy, posts)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("letter", LETTERS)
def test_a_fault_is_caught_by_its_measurement_and_by_no_other(found, letter, measure):
    assert MEASURES[measure].wrong(found[letter][measure]) == (MEASURES[measure].finds == SUSPECTS[letter])


@pytest.mark.parametrize("measure", MEASURES)
def test_the_healthy_model_passes(found, measure):
    assert not MEASURES[measure].wrong(found["healthy"][measure])


def test_each_measurement_finds_another_fault_and_two_names_are_decoys():
    assert tuple(SUSPECTS) == LETTERS and len({*SUSPECTS.values()}) == len(LETTERS)
    assert {measure.finds for measure in MEASURES.values()} == {*SUSPECTS.values()} < {*NAMES}
    assert len(NAMES) == 7 == len({*NAMES}) and list(HINTS) == list(NAMES)


def test_suspects_leave_the_model_untouched(healthy, posts):
    before, predicted = copy.deepcopy(healthy.state_dict()), healthy.predict(posts)
    for letter in LETTERS:
        suspect = faulty(letter, healthy)
        suspect.predict(posts[:4])
        gradients(suspect, posts[:4])
        with torch.no_grad():
            suspect.classifier[1].weight.zero_()
    assert type(healthy) is MGIPS and healthy.predict(posts) == predicted and not healthy.training
    assert all(torch.equal(value, before[name]) for name, value in healthy.state_dict().items())
    assert all(p.grad is None for p in healthy.parameters())
    assert load("tiny-full").predict(posts) == predicted


@pytest.mark.parametrize("letter", LETTERS)
def test_a_suspect_does_not_say_what_it_has(healthy, letter):
    suspect = faulty(letter, healthy)
    assert repr(suspect) == repr(healthy) and isinstance(suspect, MGIPS)
    for module, own in zip(suspect.modules(), healthy.modules(), strict=True):
        assert type(module).__name__ == type(own).__name__


@pytest.mark.parametrize("letter", LETTERS)
def test_the_decoys_are_in_no_suspect(healthy, posts, letter):
    """What the check says of them can be seen."""
    suspect = faulty(letter, healthy)
    assert suspect.predict(posts) == suspect.predict(posts) != suspect.predict(blank(posts))


@pytest.mark.parametrize("letter", LETTERS)
def test_a_wrong_name_is_told_what_one_would_see(letter):
    exercise = exercise_of(f"find_the_fault.{letter.lower()}")
    for name in NAMES:
        verdict = judge(exercise, name)
        assert verdict.right == (name == SUSPECTS[letter])
        assert verdict.right or verdict.says == HINTS[name]


def test_the_doctor_does_not_see_what_no_file_holds(healthy, corpus):
    assert diagnosed(faulty("B", healthy), corpus).wrong == ()


def test_what_has_no_place_for_a_fault_is_refused(healthy):
    with pytest.raises(ConfigError, match="no suspect 'F'"):
        faulty("F", healthy)
    with pytest.raises(ConfigError, match="made of a full model"):
        faulty("A", load("tiny-text"))
    for letter in LETTERS:
        with pytest.raises(ConfigError, match="already"):
            faulty(letter, faulty(letter, healthy))


def test_tags_move_to_the_left():
    assert shifted([["O", "B-PER", "I-PER"]], 1) == [["B-PER", "I-PER", "O"]]
    assert shifted([["O", "B-PER", "I-PER"]], -1) == [["O", "O", "B-PER"]]
